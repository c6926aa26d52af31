#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# sub -x: a command for each event, acknowledged by its status.

load ../lib
load ../servers/redis

setup() {
	lib_setup
	export MICRO_REGISTRY=file
	T=$(topic)
}

# A stream of redis keeps what was not acknowledged.
stream() {
	start redis redis-server --port 7000 --bind 127.0.0.1 --save ''
	wait_for sh -c 'redis-cli -p 7000 ping 2>&1 | grep -q PONG'
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:7000
	X=(-X redis.mode=stream)
}
pending() { redis-cli -p 7000 XPENDING "$T" g | head -n 1; }

@test "a command has the body, the event and its headers" {
	printf 'a\0b\377' > body
	start_sub sub -c 1 -x 'cat > got; cat <&3 > event; echo "$MBUS_TOPIC $MBUS_N $MBUS_HEADER_X_ID ${MBUS_HEADER_BIG-none}"' "$T"
	mbus pub -H x-id:7 -H X_ID:8 -H "big:$(head -c 5000 /dev/zero | tr '\0' x)" "$T" -f body
	finish sub
	is "$status" 0
	same_bytes got body
	is "$(cat sub.out)" "$T 1 8 none"	# sorted on the wire; the first of a clash wins
	has "$(cat event)" '"body_b64":"YQBi/w=="' "\"topic\":\"$T\""
}

@test "status 0 acknowledges, another gives the event back and ends the run with 1" {
	stream
	start_sub sub "${X[@]}" -g g -c 3 -x 'grep -q good' "$T"
	printf '%s\n' good bad good | mbus pub "${X[@]}" -l "$T"
	finish sub
	is "$status" 1
	is "$(cat sub.err)" "mbus: sub: --exec: event 2: the command's exit status is 1"
	is "$(pending)" 1
}

@test "--retry runs it again" {
	start_sub sub -c 1 --retry 3 -x 'echo x >> tries; [ $(wc -l < tries) -ge 3 ]' "$T"
	mbus pub "$T" x
	finish sub
	is "$status" 0
	is "$(wc -l < tries)" 3
}

@test "--on-fail publishes what failed, and acknowledges it then" {
	stream
	start_sub dead "${X[@]}" -J -c 1 "$T.dead"
	start_sub sub "${X[@]}" -g g -c 2 -x 'grep -q good' --on-fail "$T.dead" "$T"
	mbus pub "${X[@]}" -k key -H id:7 "$T" bad
	mbus pub "${X[@]}" "$T" good
	finish sub
	is "$status" 0
	is "$(pending)" 0
	finish dead
	has "$(cat dead.out)" '"id":"7"' '"key":"key"' '"body":"bad"'
}

@test "-j: so many at a time, and those of one key in their order" {
	stream
	start_sub sub "${X[@]}" -g g -c 40 -j 8 -x 'sleep 0.0$((RANDOM % 5)); echo "$MBUS_KEY $(cat)" >> log' "$T"
	for i in $(seq 10); do for k in a b c d; do echo "$k:$i"; done; done | mbus pub "${X[@]}" -K : "$T"
	finish sub 40
	is "$status" 0
	for k in a b c d; do
		is "$(sed -n "s/^$k //p" log | paste -sd ' ')" '1 2 3 4 5 6 7 8 9 10'
	done
	is "$(pending)" 0
	unset MICRO_BROKER MICRO_BROKER_ADDRESS
	start_sub sub -c 8 -j 8 -x 'sleep 1' "$T"
	begin=$(now_ms)
	seq 8 | mbus pub -l "$T"
	finish sub 20
	[ $(($(now_ms) - begin)) -lt 5000 ]
}

@test "--exec-timeout ends a command that hangs, and all that it started" {
	start_sub sub -c 1 --exec-timeout 300ms -x 'sleep 100 & echo $! > pid; wait' "$T"
	mbus pub -W 5 "$T" x || true
	finish sub
	is "$status" 1
	has "$(cat sub.err)" 'event 1: the command was ended after 0.3 s'
	wait_for gone "$(cat pid)"
}

@test "a signal: what runs is finished and acknowledged, what waits is given back" {
	stream
	start_sub sub "${X[@]}" -g g -x 'touch begun; sleep 1; echo done >> log' "$T"
	seq 3 | mbus pub "${X[@]}" -l "$T"
	wait_for test -e begun
	stop sub TERM
	is "$status" 0
	is "$(cat log)" "done"
	is "$(pending)" 2
}

@test "--reply answers on the event's reply topic, with its correlation" {
	start_sub answers -c 1 -J "$T.answers"
	start_sub sub -c 2 --reply -x 'tr a-z A-Z' "$T"
	mbus pub "$T" nobody
	mbus pub -H "Reply-To:$T.answers" -H Correlation-Id:c1 "$T" hello
	finish sub
	is "$status" 0
	finish answers
	has "$(cat answers.out)" '"body":"HELLO"' '"Correlation-Id":"c1"'
	has "$(cat sub.err)" 'an event has no reply topic'
}

@test "what contradicts is refused" {
	local c

	for c in '-x true -J' '-x true --body' '-j 2' '--retry 1' '--reply' '--on-fail x' '-x true --tee f'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus sub $c t
		status_is 2
		is "$(wc -l <<< "$stderr")" 1
	done
}

@test "examples/worker.sh: two share a queue, and what fails is put aside" {
	start_sub failed -c 1 --body "$T.failed"
	export MBUS
	start one "$ROOT/examples/worker.sh" "$T"
	start two "$ROOT/examples/worker.sh" "$T"
	for i in 1 2 3 4; do printf '%0*d' $i 0 | mbus pub --wait 2 -H name:$i "$T" -; done
	mbus pub -H name:no/such/folder "$T" lost
	for i in 1 2 3 4; do wait_for test -e done.$i; done
	is "$(cat done.4)" 4
	finish failed
	is "$(cat failed.out)" lost
	stop one
	is "$status" 0
	stop two
	is "$status" 0
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus sub: what it prints, what it acknowledges, how it ends.

load ../lib
load fake

setup_file() { fake_build; }

# acked: the acknowledgements of the fake broker, joined: "1-5" when 1 to 5 were
# acknowledged, each once and in order.
acked() {
	awk '$1 + 0 { if ($1 != last + 1 || $3 != 1) print "gap at " $0; last = $2 } END { print "1-" last + 0 }' acks
}

# ---- what it prints ----

@test "the default output, into a pipe and onto a terminal" {
	local text='#1 t  2026-11-18T11:06:40.000Z  10 B
id: 1

xxxxxxxxxx
'
	is "$(fake sub t -X count=1 -c 1)" "${text%?}"
	is "$(fake sub t -X count=1 -c 1 --color always)" \
		$'\e[2m#1 \e[0m\e[1mt\e[0m\e[2m  2026-11-18T11:06:40.000Z  10 B\e[0m\n\e[2mid:\e[0m 1\n\nxxxxxxxxxx'
	run script -qec "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS sub -B null --color never t -X count=1 -c 1" /dev/null
	is "$(tr -d '\r' <<< "$output")" "${text%?}"
}

@test "--body, --raw, -J and --max-body" {
	fake sub t -X count=2 -c 2 --body > out && is "$(cat out)" $'xxxxxxxxxx\nxxxxxxxxxx'
	fake sub t -X count=2 -c 2 --raw > out && is "$(cat out)" xxxxxxxxxxxxxxxxxxxx
	is "$(fake sub t -X count=1 -c 1 -J)" '{"v":1,"n":1,"topic":"t","ts":"2026-11-18T11:06:40.000001Z","headers":{"id":"1"},"body":"xxxxxxxxxx","len":10,"meta":{"broker":"null","wire":"micro","ts":"recv"}}'
	has "$(fake sub t -X count=1 -c 1 --max-body 3)" $'10 B\nid: 1\n\nxxx\n... 7 more bytes (--max-body all'
	fake sub t -X count=1 -X size=5000 -c 1 > out
	has "$(cat out)" '... 904 more bytes'
	is "$(fake sub t -X count=1 -X size=5000 -c 1 --max-body all | sed -n 4p | tr -d '\n' | wc -c)" 5000
	fake sub t -X count=1 -X size=16000000 -c 1 --raw | tr -d x > out
	[ ! -s out ]
}

@test "what a peer sends does not steer the terminal" {
	run script -qec "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS sub -B null --color never t -X count=300 -X batch=50 -X random=5 -c 300" /dev/null
	is "$(LC_ALL=C tr -d '\n\r\t\40-\176\200-\377' <<< "$output" | wc -c)" 0
	is "$(LC_ALL=C grep -c $'\xc2[\x80-\x9f]' <<< "$output")" 0
}

@test "usage errors" {
	local args
	for args in '' '-J --raw t' '--body -J t' 't t' 't -t t' '-c 0 t' '-c x t' '--ready-fd 99 t' '-W x t' \
	    '-f %s t' '-D ; t' '-N --raw -0 t' '-o middle t' '--hex t'; do
		# shellcheck disable=SC2086
		run --separate-stderr fake sub $args
		status_is 2
		is "$output" ''
		has "$stderr" 'mbus: sub: '
	done
}

# ---- when it ends ----

@test "-c: exactly so many are printed and acknowledged, more are given back" {
	local n
	for n in 1 99 100; do
		fake sub t -c $n --body -X count=1000 -X batch=100 -X acks=acks > out
		is "$(wc -l < out)" $n
		is "$(acked)" 1-$n
		is "$(tail -n 1 acks)" disconnect
	done
}

@test "-W: the whole run; 124 without an event, or with fewer than -c" {
	local t0
	t0=$(now_ms)
	run --separate-stderr fake sub t -W 300ms
	status_is 124
	is "$stderr" 'mbus: sub: timed out: no event'
	run --separate-stderr fake sub t -W 300ms --body -X count=2
	status_is 0
	is "$output$stderr" $'xxxxxxxxxx\nxxxxxxxxxx'
	run --separate-stderr fake sub t -W 300ms --body -X count=2 -c 3
	status_is 124
	is "$stderr" 'mbus: sub: timed out: 2 of 3 events'
	run --separate-stderr fake sub t -W 300ms -X connect=hang
	status_is 124
	has "$stderr" 'before the subscription was live'
	[ $(($(now_ms) - t0)) -lt 4000 ]
	run --separate-stderr fake sub t -W 10 -c 1 --body -X count=1
	status_is 0
	[ $(($(now_ms) - t0)) -lt 6000 ]
}

@test "a signal ends an open-ended run with 0, all that came printed and acknowledged" {
	local sig
	for sig in INT TERM; do
		rm -f sub.out
		start sub env --default-signal=INT "${FAKE[@]}" sub t --body -X count=50 -X batch=50 -X acks=acks
		wait_for lines_in sub.out 50
		stop sub $sig
		is "$status" 0
		is "$(cat sub.err)" ''
		is "$(acked)" 1-50
	done
}

@test "a signal before -c is reached is death by that signal, after cleaning up" {
	local sig
	for sig in INT TERM; do
		rm -f sub.out
		start sub env --default-signal=INT "${FAKE[@]}" sub t -c 51 --body -X count=50 -X batch=50 -X acks=acks
		wait_for lines_in sub.out 50
		stop sub $sig
		is "$status" $((128 + $(kill -l $sig)))
		is "$(acked)" 1-50
		is "$(tail -n 1 acks)" disconnect
	done
}

@test "stdout gone is a normal end: at once when writing, within a second when idle" {
	local t0
	set -o pipefail
	fake sub t --body -X count=1000000 -X batch=1000 | head -n 1 > out
	is "$(cat out)" xxxxxxxxxx
	t0=$(now_ms)
	fake sub t --body | true
	[ $(($(now_ms) - t0)) -lt 1000 ]
	fake sub t --body -c 100000 -X count=1000000 -X batch=1000 | head -n 1 > out
}

@test "stdout that cannot be written is 6" {
	run --separate-stderr sh -c "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS sub -B null t -X count=1 > /dev/full"
	status_is 6
	is "$stderr" 'mbus: sub: stdout: No space left on device'
	run --separate-stderr sh -c "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS sub -B null t -X count=1 >&-"
	status_is 6
	# Also for the very event that -c ends with.
	run --separate-stderr sh -c "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS sub -B null t -c 1 -X count=1 > /dev/full"
	status_is 6
	is "$stderr" 'mbus: sub: stdout: No space left on device'
}

@test "statuses of a broker that fails: 3 lost or refused, 4 not allowed" {
	run --separate-stderr fake sub t --body -X count=10 -X fail=3
	status_is 3
	is "$output" $'xxxxxxxxxx\nxxxxxxxxxx\nxxxxxxxxxx'
	is "$stderr" 'mbus: sub: fake: connection lost'
	run --separate-stderr fake sub t -X connect=refused
	status_is 3
	run --separate-stderr fake sub t forbidden
	status_is 4
	is "$stderr" 'mbus: sub: forbidden: fake: not authorized'
}

# ---- a slow reader ----

@test "a reader that does not read: reading is paused, memory is bounded, nothing is lost" {
	mkfifo sub.out
	start sub "${FAKE[@]}" sub t --body -X count=200000 -X size=1000 -X batch=100 -X acks=acks -c 200000
	exec 7< sub.out
	wait_for grep -qs pause acks
	sleep 0.3
	# The pipe's 64 KiB were written, and no more were acknowledged.
	[ "$(acked | cut -d- -f2)" -le 66 ]
	[ "$(awk '/VmRSS/ { print $2 }' "/proc/${PID[sub]}/status")" -lt 30000 ]
	is "$(wc -lc <&7 | tr -s ' ')" ' 200000 200200000'
	exec 7<&-
	finish sub
	is "$status" 0
	is "$(acked)" 1-200000
}

@test "a reader that does not read does not hold up the end" {
	local t0
	mkfifo sub.out
	t0=$(now_ms)
	start sub "${FAKE[@]}" sub t --body -X count=500 -X size=1000 -X batch=500 -c 500 -W 300ms
	exec 7< sub.out
	finish sub
	is "$status" 124
	has "$(cat sub.err)" 'stdout is full'
	[ $(($(now_ms) - t0)) -lt 5000 ]
	start sub "${FAKE[@]}" sub t --body -X count=500 -X size=1000 -X batch=500 -c 500 -X acks=acks
	wait_for grep -qs pause acks
	stop sub
	is "$status" 143
	is "$(acked)" 1-0
	exec 7<&-
	rm acks
	start sub "${FAKE[@]}" sub t --body -X count=200000 -X size=1000 -X batch=100 -X acks=acks
	exec 7< sub.out
	wait_for grep -qs pause acks
	t0=$(now_ms)
	stop sub
	[ $(($(now_ms) - t0)) -lt 3000 ]
	is "$status" 0
	has "$(cat sub.err)" 'stdout is full'
	exec 7<&-
	[ "$(acked | cut -d- -f2)" -le 66 ]
}

# ---- being live ----

@test "--ready-fd writes a line and closes; --ready runs a command and does not wait" {
	fake sub t --ready-fd 5 -X count=1 -X every=100 -c 1 --body 5> word > out
	is "$(cat word)" ready
	mkfifo f
	start sub sh -c 'exec "$@" 5> f' sh "${FAKE[@]}" sub t --ready-fd 5
	is "$(cat f)" ready
	stop sub
	# shellcheck disable=SC2016
	run --separate-stderr fake sub t --ready 'echo ran $PPID; kill -PIPE $$' -X count=1 -X every=300 -c 1 --body
	status_is 0
	matches "${lines[0]}" 'ran [0-9]+'
	is "${lines[1]}" xxxxxxxxxx
	has "$stderr" 'ended by signal 13'
	run --separate-stderr fake sub t --ready 'sleep 30 > /dev/null 2>&1 & exit 3' -X count=1 -X every=300 -c 1 --body
	status_is 0
	has "$stderr" "the command's exit status is 3"
	run --separate-stderr fake sub forbidden --ready 'echo no' --ready-fd 1
	status_is 4
	is "$output" ''
}

@test "-v says on stderr what is subscribed; nothing else goes to stdout" {
	run --separate-stderr fake sub -v -t a b -g team -W 100ms
	status_is 124
	is "$output" ''
	has "$stderr" 'mbus: sub: subscribed to a, b, group team (null)'
}

# ---- over http ----

@test "http: several topics, each event once" {
	start_sub sub -J -c 4 a -t b c
	mbus pub a 1; mbus pub b 2; mbus pub c 3; mbus pub a 4
	finish sub
	is "$status" 0
	is "$(sed 's/.*"topic":"\([abc]\)".*"body":"\([0-9]\)".*/\1\2/' sub.out | tr '\n' ' ')" 'a1 b2 c3 a4 '
}

@test "http: a group shares, without one each gets all" {
	start_sub one --body -g team shared
	start_sub two --body -g team shared
	start_sub all --body shared
	seq 300 | mbus pub -l shared
	wait_for lines_in all.out 300
	stop one; stop two; stop all
	is "$(sort -n one.out two.out)" "$(seq 300)"
	is "$(cat all.out)" "$(seq 300)"
	[ -s one.out ] && [ -s two.out ]
}

@test "http: sub -J | pub -J carries every byte of a body, and text headers" {
	local i
	start_sub first -J -c 5 first
	for i in $'a\nb' '' 'ä€😀' '{"a":1}'; do mbus pub first "$i" -H 'x: y' --content-type none; done
	head -c 100000 /dev/urandom | mbus pub first -H $'u: \u2028<&>"\\'
	finish first
	start_sub second -J -c 5 second
	mbus pub -J -t second < first.out
	finish second
	is "$(sed 's/"topic":"second"/"topic":"first"/; s/"ts":"[^"]*Z"//' second.out)" "$(sed 's/"ts":"[^"]*Z"//' first.out)"
}

@test "http: an event is on the screen as soon as it came" {
	local t0
	start_sub sub --body quick
	t0=$(now_ms)
	mbus pub quick one
	# Confirmed means printed.
	is "$(cat sub.out)" one
	[ $(($(now_ms) - t0)) -lt 1000 ]
	stop sub
	is "$status" 0
}

@test "http: subscribe, then act, then wait" {
	run --separate-stderr mbus sub --body -c 1 -W 5 replies --ready "$MBUS pub replies pong"
	status_is 0
	is "$output" pong
}

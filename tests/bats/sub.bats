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
	fake sub t -X count=2 -c 2 --body > out
	is "$(cat out)" $'xxxxxxxxxx\nxxxxxxxxxx'
	fake sub t -X count=2 -c 2 --raw > out
	is "$(cat out)" xxxxxxxxxxxxxxxxxxxx
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
	    '-f %y t' '-D ; t' '-N --raw -0 t' '-o middle t' '--hexx t'; do
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
	fake sub t --body -w 60 -X count=1000000 -X batch=1000 | head -n 1 > out
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

# standing [OPTION...]: a sub whose reader (descriptor 7) does not read, with the pipe
# full, so that an event is partly out. Its bodies are a thousand bytes and tell their end.
standing() {
	rm -f sub.out acks
	mkfifo sub.out
	start sub "${FAKE[@]}" sub t --body -X count=200000 -X size=1000 -X batch=100 -X acks=acks "$@"
	exec 7< sub.out
	wait_for grep -qs pause acks
}
# whole_lines FILE: nothing in it is a piece of an event.
whole_lines() {
	[ -s "$1" ]
	is "$(grep -cvE '^x{1000}$' "$1")" 0
	is "$(tail -c 1 "$1" | od -An -c | tr -d ' ')" '\n'
}

@test "sub ends at an event's end: what is partly out goes out, what is behind it is dropped and said" {
	local n

	standing --verbose
	kill "${PID[sub]}"
	# Longer than a slow reader is waited for.
	sleep 2
	kill -0 "${PID[sub]}"
	cat <&7 > got
	finish sub
	is "$status" 0
	whole_lines got
	n=$(wc -l < got)
	[ "$n" -ge 60 ]
	is "$(acked)" "1-$n"
	matches "$(grep full sub.err)" 'mbus: sub: warning: stdout is full: [0-9]+ events \([0-9]+ bytes\) were not written'
	exec 7<&-
	# A reader that is slow only gets all that had come.
	standing
	kill "${PID[sub]}"
	{ sleep 0.5; cat; } <&7 > got
	finish sub
	is "$status" 0
	is "$(cat sub.err)" ''
	whole_lines got
	[ "$(wc -l < got)" -gt 200 ]
	is "$(acked)" "1-$(wc -l < got)"
	exec 7<&-
}

@test "an event that stays cut off is status 6, in bounded time; a second signal ends at once" {
	local t0

	standing
	t0=$(now_ms)
	stop sub
	is "$status" 6
	[ $(($(now_ms) - t0)) -lt 9000 ]
	has "$(cat sub.err)" 'events (' 'stdout is full: the last event is cut off, ' 'of its bytes were not written'
	is "$(acked)" 1-65
	exec 7<&-
	# With a task unfinished, and by -W, too.
	standing -c 200000 -W 3
	finish sub 15
	is "$status" 6
	has "$(cat sub.err)" 'timed out: ' 'the last event is cut off'
	exec 7<&-
	standing
	kill "${PID[sub]}"
	sleep 0.3
	t0=$(now_ms)
	stop sub
	is "$status" 143
	[ $(($(now_ms) - t0)) -lt 900 ]
	exec 7<&-
}

@test "an idle second costs no CPU, whoever is waited for" {
	start_ready idle "${FAKE[@]}" sub t --ready-fd 8
	start_ready quiet "${FAKE[@]}" sub t --ready-fd 8 -w 100 -W 100
	# The reader of stdout has gone before the subscription was live.
	start early sh -c '"$@" | true' sh "${FAKE[@]}" sub late -X late=60000
	standing
	idle_costs_nothing idle
	idle_costs_nothing quiet
	idle_costs_nothing sub
	PID[pub]=$(pgrep -P "${PID[early]}" mbus)
	idle_costs_nothing pub
	start topics "${FAKE[@]}" topics -X delay=60000
	sleep 0.2
	idle_costs_nothing topics
	exec 7<&-
}

@test "stdout counts once the subscription is live; gone before -c or -e: 1; --check does not look" {
	# shellcheck disable=SC2016
	gone_() {
		run --separate-stderr bash -c 'f=$1; shift; "$@" | true; exit "${PIPESTATUS[0]}"' gone_ "" "${ABLE[@]}" sub "$@"
		is "$output" ""
	}
	gone_ forbidden --check; status_is 4
	gone_ forbidden; status_is 4
	gone_ late --check -X late=500; status_is 0
	is "$stderr" ''
	gone_ late -X late=500; status_is 0
	is "$stderr" ''
	gone_ t -c 5; status_is 1
	is "$stderr" 'mbus: sub: the reader of stdout has gone before -c was reached'
	gone_ t -e; status_is 1
	is "$stderr" 'mbus: sub: the reader of stdout has gone before the end'
	gone_ t -X connect=refused -c 1; status_is 3
	gone_ t -X connect=hang -W 300ms; status_is 124
}

@test "several topics: ready and at the end with the last of them" {
	local t0

	t0=$(now_ms)
	fake_able sub t late --check -X late=700
	[ $(($(now_ms) - t0)) -ge 700 ]
	t0=$(now_ms)
	is "$(fake_able sub late t -e --body -X count=3 -X ends=1 -X late=700 | wc -l)" 3
	[ $(($(now_ms) - t0)) -ge 700 ]
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
	run --separate-stderr fake sub forbidden --ready 'echo no' --ready-fd 2
	status_is 4
	is "$output" ''
}

@test "--ready-fd 1 would put its word among the events: refused" {
	run --separate-stderr fake sub t --ready-fd 1
	status_is 2
	has "$stderr" '--ready-fd: 1 is stdout, where the events go'
	is "$output" ''
}

@test "-v says which form events come in" {
	run --separate-stderr fake sub -v t -c 2 -X count=2
	has "$stderr" "t: events come in go-micro's envelope"
	is "$(grep -c 'events come' <<< "$stderr")" 1
	run --separate-stderr fake sub -v t -c 2 -X count=2 -X meta=1
	has "$stderr" 't: events come as bare bodies'
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

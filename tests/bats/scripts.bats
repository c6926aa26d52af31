#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2030,SC2031,SC2034 # stderr is set by run, PID is lib's
#
# mbus in scripts, as their users write them: loops, pipes, xargs, timeout, jq, cron. Over
# http, which needs no server, memory, and redis at its default port.

load ../lib

BROKERS=(http memory redis)

setup() {
	lib_setup
	start server redis-server --save ''
	wait_for sh -c 'redis-cli ping 2>&1 | grep -q PONG'
	PATH=$(dirname "$MBUS"):$PATH
}

# each COMMAND...: with each broker.
each() {
	local broker

	for broker in "${BROKERS[@]}"; do
		export MICRO_BROKER=$broker
		echo "over $broker"
		"$@"
	done
}
# script: runs what a user has in a file, here on stdin; status and output are run's.
script() {
	cat > script
	run --separate-stderr bash script
}

each_line() {
	start_sub got --line -c 4 a b
	printf '%s\n' 'a one' 'b two words' 'a three' 'b four' > list
	script <<- 'END'
	while read -r topic body; do
		mbus pub "$topic" "$body"
	done < list
	END
	status_is 0
	finish got
	is "$(cut -f 1,3 got.out | sort)" "$(printf '%s\t%s\n' a one a three b four b 'two words')"
}
@test "a loop of while read publishes every line: pub with a body leaves stdin alone" { each each_line; }

at_once() {
	start_sub got --body -c 60 jobs
	run -0 --separate-stderr sh -c 'seq 60 | xargs -P 6 -I {} mbus pub jobs "job {}"'
	is "$stderr" ''
	finish got
	is "$(sort -k 2n got.out)" "$(seq -f 'job %g' 60)"
}
@test "xargs -P: six at a time, and all arrive" { each at_once; }

strictly() {
	start_sub got --body -c 2 t
	script <<- 'END'
	set -euo pipefail
	mbus pub t one
	printf '%s\n' two | mbus pub -l t
	first=$(mbus sub --body --ready 'mbus pub u x; mbus pub -q u y || true' u | head -n 1)
	[ "$first" = x ]
	if mbus pub -q t three --qos 7; then echo "not reached"; fi
	mbus sub -W 0.2 silent 2> silent.err || echo "silence $?"
	mbus pub -q -J < nowhere.jsonl
	echo "not reached"
	END
	status_is 1
	is "$output" 'silence 124'
	finish got
	is "$(cat got.out)" $'one\ntwo'
	# A pipe in which pub fails fails.
	script <<< 'set -euo pipefail; echo "no event" | mbus pub -q -J | cat; echo "not reached"'
	status_is 2
	is "$output" ''
}
@test "set -euo pipefail: what goes well goes on, what fails stops the script" { each strictly; }

timed() {
	run timeout 0.5 "$MBUS" sub t
	status_is 124
	run timeout --preserve-status 0.5 "$MBUS" sub t
	status_is 0
	run timeout --preserve-status 0.5 "$MBUS" sub -c 1 t
	status_is 143
	run timeout 20 "$MBUS" sub -W 0.3 t
	status_is 124
	run timeout 20 "$MBUS" sub -c 1 -W 10 --body --ready 'mbus pub t in-time' t
	status_is 0
	is "$output" in-time
}
@test "timeout(1) and -W say the same" { each timed; }

json() {
	start_sub got -J -c 3 orders
	script <<- 'END'
	set -o pipefail
	jq -nc 'range(3) | {topic: "orders", headers: {id: "\(.)"}, body: {n: ., "é\n": [true]} | tojson}' |
		mbus pub -J
	END
	status_is 0
	finish got
	is "$(jq -r '.headers.id + " " + (.body | fromjson | .n | tostring)' got.out)" $'0 0\n1 1\n2 2'
	is "$(jq -r .len got.out | sort -u)" "$(printf '{"n":0,"é\\n":[true]}' | wc -c)"
	# Sorted and indented, and on its way to another topic.
	start_sub copy --body -c 3 copies
	jq -S . got.out | jq -c '.topic = "copies"' | "$MBUS" pub -J
	finish copy
	is "$(cat copy.out)" "$(jq -r .body got.out)"
	run --separate-stderr sh -c 'jq . got.out | mbus pub -J -t t'
	status_is 2
	has "$stderr" 'write one a line, as jq -c does'
}
@test "jq before pub and behind sub" { each json; }

teed() {
	rm -f sent log
	start_sub got --body -c 5 t
	script <<- 'END'
	set -euo pipefail
	seq 5 | tee sent | mbus pub -l t --tee | sed 's/^/published /' > log
	END
	status_is 0
	finish got
	same_bytes sent got.out
	is "$(cat log)" "$(seq -f 'published %g' 5)"
}
@test "tee(1) before pub, and --tee behind it" { each teed; }

here() {
	start_sub got --body -c 3 t
	script <<- 'END'
	name=world
	mbus pub -l t << EOF
	hello $name
	  two

	EOF
	END
	status_is 0
	finish got
	is "$(cat got.out)" $'hello world\n  two'
	[ "$(wc -l < got.out)" -eq 3 ]
	start_sub whole --raw -c 2 t
	script <<- 'END'
	mbus pub t <<< word
	printf 'a\n\nb' | mbus pub t -
	END
	status_is 0
	finish whole
	is "$(cat whole.out)" $'word\na\n\nb'
}
@test "a here-document, a here-string" { each here; }

by_cron() {
	start_sub got --line -c 2 zähler
	run -0 --separate-stderr env -i PATH=/usr/bin:/bin LANG=C "MICRO_BROKER=$MICRO_BROKER" setsid "$MBUS" pub zähler 'größer' < /dev/null
	is "$stderr" ''
	run -0 --separate-stderr env -i "MICRO_BROKER=$MICRO_BROKER" setsid "$MBUS" pub zähler -l <<< 'naïve'
	is "$stderr" ''
	finish got
	is "$(cut -f 1,3 got.out)" $'zähler\tgrößer\nzähler\tnaïve'
	run --separate-stderr env -i "MICRO_BROKER=$MICRO_BROKER" setsid "$MBUS" sub -c 1 -W 5 --body --ready "$MBUS pub t x" t < /dev/null
	status_is 0
	is "$output" x
}
@test "as cron starts it: no HOME, no PATH, no terminal, LANG=C" { each by_cron; }

closed() {
	start_sub got --body -c 2 t
	run sh -c 'mbus pub t one <&- >&- 2>&-; echo $?'
	is "$output" 0
	run sh -c 'mbus pub t two >&- 2> err; echo $?'
	is "$output" 0
	is "$(cat err)" ''
	finish got
	is "$(cat got.out)" $'one\ntwo'
	# What needs stdin or stdout says that it is not there.
	run sh -c 'mbus pub t <&-'
	status_is 6
	has "$output" 'stdin: Bad file descriptor'
	run sh -c 'mbus pub --help >&-'
	status_is 6
	run sh -c 'mbus sub --check t <&- >&-; echo $?'
	is "$output" 0
	# A reader that goes ends an idle sub within a second.
	run timeout 5 sh -c 'mbus sub --body t | true'
	status_is 0
}
@test "stdin and stdout closed, and a reader that goes" { each closed; }

late() {
	start_sub got --body -c 2 t
	{ echo first; sleep 1; echo second; } | "$MBUS" pub -l t & PID[pub]=$!
	wait_for lines_in got.out 1
	is "$(cat got.out)" first
	finish pub
	finish got
	is "$(cat got.out)" $'first\nsecond'
}
@test "a line is published when it comes" { each late; }

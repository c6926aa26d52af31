#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What `make bench` and `make bench-quick` run works: with so few events that the
# figures mean nothing.

load ../lib

setup() {
	lib_setup
	make -s -C "$ROOT" B="$MBUS_TEST_BUILD" "$MBUS_TEST_BUILD/bench/bench_wait" > make.err 2>&1
}

@test "make bench: rows are measured, and written as Markdown with machine and versions" {
	run --separate-stderr "$ROOT/tests/bench/run.sh" -r 1 -d 1000 -m "$PWD/table.md" B1 T1 T2 B5
	status_is 0
	[[ $output != *"cannot be measured"* ]] || fail "$output"
	for row in B1 T1 T2 B5; do
		grep -qE "^$row +.* (ok|aim|BELOW)\$" <<< "$output" || fail "no row $row" "$output"
		is "$(grep -cE "^\| $row \|.*\| (ok|aim|BELOW) \|\$" table.md)" 1
	done
	has "$(cat table.md)" "mbus 0." "redis " "Linux" "CPUs" "with 1/1000 of the events"
	run --separate-stderr "$ROOT/tests/bench/run.sh" nonsense
	status_is 2
	has "$stderr" "no row nonsense"
}

@test "make bench-quick: a verdict for each figure of two builds" {
	run --separate-stderr "$ROOT/tests/bench/quick.sh" "$MBUS" null http-rtt
	has "$output" "== null" "== http-rtt" "== start"
	[ "$(grep -cE ' (no difference|faster|slower|less|more)( \(p [0-9.]+\))?$' <<< "$output")" -ge 10 ] || fail "$output"
	run --separate-stderr "$ROOT/tests/bench/quick.sh" /bin/true
	status_is 2
	has "$stderr" "has no mbus bench"
	run --separate-stderr "$ROOT/tests/bench/quick.sh" no-such-commit
	status_is 2
}

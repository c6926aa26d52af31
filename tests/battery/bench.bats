#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: mbus bench, and what it says of a broker that fails. It ends by itself, in
# time, with what was measured until then and no word of success.

load battery

bench() { timeout 60 mbus bench "${OPTIONS[@]}" "$@"; }
# bench_is STATUS ARG...: ends in time with this status.
bench_is() {
	run --separate-stderr bench "${@:2}"
	status_is "$1"
}

# bats test_tags=deliver
@test "bench: every event of two publishers arrives at both subscribers, once" {
	server lenient
	bench_is 0 -t "$(topic)" -x 2 -y 2 -n 2000 --warmup 100
	has "$output" "published  2,000 in " "0 refused  0 unknown" "received   4,000 in " \
		"0 lost  0 duplicated  0 out of order" "end-to-end " "rss "
}

# under_way: bench runs for a minute if nothing happens, and events have come.
under_way() {
	t=$(topic)
	server lenient
	start bench mbus bench "${OPTIONS[@]}" -t "$t" -d 60s --rate 500 --warmup 0 --interval 200ms "$@"
	wait_for -t 30 grep -qE '^ .*s +pub +[0-9.,]+/s.* sub +[1-9]' bench.out
}
# ended_badly: in time, and with what was measured.
ended_badly() {
	finish bench 40
	[ "$status" = 1 ] || [ "$status" = 3 ] || fail "status $status" "$(cat bench.err)"
	has "$(cat bench.out)" "published " "received "
	has "$(tail -n 1 bench.err)" "mbus: bench: "
}

# bats test_tags=server
@test "bench: the server is killed in the middle: what was measured, and no success" {
	under_way --drain 1s --stall 2s
	kill -KILL "${PID[server]}"
	ended_badly
}

# bats test_tags=server
@test "bench: the server stands still: given up after --stall, and it says so" {
	under_way --drain 1s --stall 1s
	freeze server
	ended_badly
	thaw server
}

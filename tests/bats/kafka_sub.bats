#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What sub is asked for of a Kafka: which events, of which partitions, and its end.

load ../lib
load kafka

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

@test "-o -N: the last N events, where transactions have offsets, too" {
	local k

	admin create "$t"
	for k in 1 2 3 4 5 6; do mbus pub --transaction "$t" "event $k"; done
	is "$(admin ends "$t")" 12
	for k in 1 2 3 5 6; do
		is "$(mbus sub --body -o -$k -e "$t")" "$(seq $((7 - k)) 6 | sed 's/^/event /')"
		is "$(mbus sub --body -g "g$t.$k" -o -$k -e "$t")" "$(seq $((7 - k)) 6 | sed 's/^/event /')"
	done
	is "$(mbus sub --body -o -20 -e "$t")" "$(seq 6 | sed 's/^/event /')"
	# What was aborted is none.
	{ seq 500; echo '}'; } | sed 's/[0-9]*/{"topic":"'"$t"'","body":"&"}/; s/^{.*}}$/no/' > mixed
	run mbus pub --transaction -J < mixed
	[ "$status" != 0 ]
	is "$(mbus sub --body -o -2 -e "$t")" $'event 5\nevent 6'
	mbus pub "$t" 'event 7'
	is "$(mbus sub --body -o -3 -e "$t")" $'event 5\nevent 6\nevent 7'
	is "$(mbus sub --body -o -3 -c 3 "$t")" $'event 5\nevent 6\nevent 7'
}

@test "-o -N of several partitions, and of one that has nothing" {
	local p

	admin create "$t" 3
	for p in 0 1; do seq -f "$p:%.0f" 1000 | mbus pub -l --partition $p "$t"; done
	is "$(mbus sub --body -o -2 -e "$t" | sort)" $'0:1000\n0:999\n1:1000\n1:999'
	is "$(mbus sub --body -o -1500 -e "$t" | wc -l)" 2000
	admin create "$t.0"
	is "$(mbus sub --body -o -2 -e "$t.0")" ''
}

@test "--partition: that one only" {
	local p

	admin create "$t" 3
	for p in 0 1 2; do seq -f "$p:%.0f" 3 | mbus pub -l --partition $p "$t"; done
	for p in 0 1 2; do
		is "$(mbus sub --body --partition $p -o beginning -e "$t")" "$(seq -f "$p:%.0f" 3)"
		is "$(mbus sub --body --partition $p -o -1 -e "$t")" "$p:3"
	done
	start_sub one --body --partition 1 "$t"
	for p in 0 1 2; do mbus pub --partition $p "$t" "new $p"; done
	mbus pub --partition 1 "$t" last
	wait_for lines_in one.out 2
	is "$(cat one.out)" $'new 1\nlast'
	run --separate-stderr mbus sub --partition 3 -e "$t"
	status_is 5
	is "$stderr" "mbus: sub: $t: there is no partition 3 (0 to 2: mbus topics $t)"
	run --separate-stderr mbus sub --partition 1 -g "g$t" "$t"
	status_is 2
	has "$stderr" '--partition' 'without -g'
}

@test "-e of a topic that is not there: status 5, and it is not made" {
	local how

	for how in '' "-g g$t" '-o beginning' '-o -3' '--partition 0'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus sub -e $how "$t"
		status_is 5
		has "$stderr" 'there is no such topic'
		run --separate-stderr mbus topics "$t"
		status_is 5
	done
}

@test "-X auto.offset.reset and transactional.id: refused, with what to use" {
	run --separate-stderr mbus sub -X auto.offset.reset=earliest "$t"
	status_is 2
	has "$stderr" 'auto.offset.reset: where to begin is -o beginning'
	run --separate-stderr mbus pub -X transactional.id=x "$t" x
	status_is 2
	is "$stderr" 'mbus: pub: -X transactional.id: that is --transaction'
	run --separate-stderr mbus pub -X transactional.id="x$t" --transaction "$t" x
	status_is 0
	run --separate-stderr mbus pub -z brotli "$t" x
	status_is 2
	has "$stderr" "--compress: 'brotli' is none of none, gzip, snappy, lz4, zstd"
}

@test "a group whose next events were deleted: how many, once" {
	admin create "$t"
	seq 100 | mbus pub -l "$t"
	is "$(mbus sub --body -g "g$t" -o beginning -c 10 "$t" | tail -n 1)" 10
	wait_for committed "g$t" "$t" 10
	admin forget "$t" 0 40
	run --separate-stderr mbus sub --body -g "g$t" -e "$t"
	status_is 0
	is "$output" "$(seq 41 100)"
	is "$(grep -c deleted <<< "$stderr")" 1
	has "$stderr" "group g$t: ${t}[0]: up to 30 events were deleted before they were read (offsets 10 to 39)"
	seq 101 103 | mbus pub -l "$t"
	run --separate-stderr mbus sub --body -g "g$t" -e "$t"
	is "$output" "$(seq 101 103)"
	is "$stderr" ''
}

# member: one that has printed something, which cannot be stored any more.
member() {
	start_sub member -g "g$t" -o beginning --body "$t"
	mbus pub "$t" one
	wait_for lines_in member.out 1
	wait_for committed "g$t" "$t" 1
	seq 300000 > pub.in
	start pub mbus pub -l "$t"
	wait_for lines_in member.out 100
	kafka_signal STOP
	sleep 0.3
}

@test "the server stands still: a member's end is bounded, and a second signal is one at once" {
	local since

	admin create "$t"
	member
	since=$(now_ms)
	stop member
	is "$status" 0
	[ $(($(now_ms) - since)) -lt 4000 ] || fail "$(($(now_ms) - since)) ms"
	kafka_signal CONT
	# What it printed is stored, or it says that it is not.
	grep -q 'it will come again' member.err || committed "g$t" "$t" "$(wc -l < member.out)"
	end_pid "${PID[pub]}"
	t=$t.2
	admin create "$t"
	member
	since=$(now_ms)
	kill -TERM "${PID[member]}"
	sleep 0.2
	stop member
	is "$status" 143
	[ $(($(now_ms) - since)) -lt 1000 ] || fail "$(($(now_ms) - since)) ms"
	kafka_signal CONT
}

@test "a key's partition is Java's, and kcat's where it is told so" {
	local k

	admin create "$t" 7
	# Hashes of Java's client, as its own tests have them.
	while read -r k hash; do
		mbus pub --wire raw -k "$k" "$t" "$k $(((hash & 0x7fffffff) % 7))"
	done <<- 'END'
		21 -973932308
		foobar -790332482
		a-little-bit-long-string -985981536
		a-little-bit-longer-string -1486304829
		lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8 -58897971
		abc 479470107
	END
	is "$(consume "$t" | wc -l)" 6
	consume "$t" -f '%s %p\n' | awk '$2 != $3 { print; bad = 1 } END { exit bad }'
	# A tombstone meets the value that Java's wrote.
	mbus pub -Z -k abc "$t"
	is "$(consume "$t" -f '%k %p\n' | grep abc | sort -u | wc -l)" 1
	mbus pub -X partitioner=consistent_random -k abc "$t.c" x
	admin create "$t.d" 7
	mbus pub -X partitioner=consistent_random -k abc "$t.d" x
	echo y | kcat -P -q -b $K -k abc -t "$t.d"
	is "$(consume "$t.d" -f '%p\n' | sort -u | wc -l)" 1
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What pub says of events that Kafka does not take, where one is refused for another's
# sake, or is late.

load ../lib
load kafka

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

# large N BYTES: numbered lines.
large() { seq -f "%0$2.0f" "$1"; }

@test "a batch past the topic's limit: all of it is sent again, one by one, in order" {
	admin create "$t" 1 max.message.bytes=100000
	large 300 5000 > in
	run --separate-stderr mbus pub -v -l --wire raw "$t" < in
	status_is 0
	has "$stderr" 'mbus: pub: 300 confirmed' 'sent one by one'
	consume "$t" > out
	same_bytes in out
}

@test "one event that is too large does not make its neighbours fail" {
	local k

	admin create "$t" 1 max.message.bytes=2000
	{ large 200 10; large 1 3000; large 100 20; large 1 4000; large 50 30; } > in
	run --separate-stderr mbus pub -l --wire raw "$t" < in
	status_is 1
	has "$stderr" 'stdin:201: ' '2 of 352 not delivered: 2 refused'
	grep -v '^0\{2900\}' in > small
	consume "$t" > out
	same_bytes small out
	# The run has begun when it comes: what was confirmed before is not sent again.
	mkfifo feed
	start pub sh -c 'mbus pub -l -v --wire raw "$1" < feed' sh "$t.2"
	admin create "$t.2" 1 max.message.bytes=2000
	exec 7> feed
	for k in 1 2 3; do
		large 100 10 >&7
		wait_for ends_at "$t.2" $((k * 100))
	done
	cat in >&7
	exec 7>&-
	finish pub
	is "$status" 1
	has "$(cat pub.err)" '2 of 652 not delivered: 2 refused'
	{ large 100 10; large 100 10; large 100 10; cat small; } > want
	consume "$t.2" > out
	same_bytes want out
}
ends_at() { [ "$(admin ends "$1")" = "$2" ]; }

@test "what is sent again has its key, headers, time, and partition" {
	local k

	admin create "$t" 3 max.message.bytes=1500
	for k in {1..60}; do
		printf '{"topic":"%s","key":"k%d","headers":{"h":["%d","b"]},"ts":"2026-01-01T00:00:%02dZ","body":"%0100d"}\n' \
			"$t" $((k % 7)) "$k" "$((k % 60))" "$k"
	done > in
	run --separate-stderr mbus pub -v -J --wire raw < in
	status_is 0
	has "$stderr" '60 confirmed' 'sent one by one'
	consume "$t" -f '%T %k %h %s\n' | sort -k4 > out
	for k in {1..60}; do
		printf '%d000 k%d h=%d,h=b %0100d\n' "$(date -d "2026-01-01T00:00:$(printf %02d $((k % 60)))Z" +%s)" \
			$((k % 7)) "$k" "$k"
	done | sort -k4 > want
	same_bytes want out
	# A key is in one partition, and in order there.
	consume "$t" -f '%k %p\n' | sort -u > keys
	is "$(wc -l < keys)" 7
	consume "$t" -f '%p %s\n' | sort -s -k1,1 | sort -c -k1,1n -k2,2
}

@test "in a transaction it aborts, and nothing of it is there" {
	admin create "$t" 1 max.message.bytes=2000
	run --separate-stderr mbus pub --transaction -l --wire raw "$t" < <(large 20 10; large 1 3000; large 20 10)
	status_is 1
	has "$stderr" 'the transaction is aborted: nothing is published'
	is "$(consume "$t" | wc -l)" 0
}

@test "one event alone that is too large is refused at once" {
	admin create "$t" 1 max.message.bytes=2000
	run --separate-stderr mbus pub -v "$t" "$(large 1 3000)"
	status_is 1
	run ! grep -q 'one by one' <<< "$stderr"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus topics, by a real Apache Kafka whose users see only what they may.

load ../lib
load kafka

setup_file() { KAFKA_ACL=true kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

@test "a topic: partitions, offsets, leaders, replicas in sync" {
	admin create "$t" 3
	seq 5 | mbus pub -l --partition 1 "$t"
	mbus pub --partition 2 "$t" x
	run -0 --separate-stderr mbus topics "$t"
	is "$output" "$t  3 partitions
  [0]  0...0  leader 1, in sync 1 of 1
  [1]  0...5  leader 1, in sync 1 of 1
  [2]  0...1  leader 1, in sync 1 of 1"
	is "$stderr" ''
	run -0 --separate-stderr mbus topics -J "$t"
	is "$output" '{"v":1,"type":"topic","topic":"'"$t"'","partitions":[{"partition":0,"leader":1,"replicas":1,"in_sync":1,"first":0,"end":0},{"partition":1,"leader":1,"replicas":1,"in_sync":1,"first":0,"end":5},{"partition":2,"leader":1,"replicas":1,"in_sync":1,"first":0,"end":1}]}'
	admin create "$t.one"
	has "$(mbus topics "$t.one")" "$t.one  1 partition"$'\n'
}

@test "groups: state, members, place and lag, also of kcat's, sorted" {
	admin create "$t" 12
	for k in {0..11}; do echo; done | mbus pub -l --partition 3 "$t"
	mbus sub -g "b$t" -o beginning -c 5 --body "$t" > out
	mbus sub -g "a$t" -o beginning -e --body "$t" > out
	run -0 mbus topics "$t"
	is "$(grep '^group' <<< "$output")" "group a$t  Empty, 0 members
group b$t  Empty, 0 members"
	is "$(grep -o '[0-9]*\] *at .*' <<< "$output" | head -n 12)" "$(for k in {0..11}; do
		if [ $k = 3 ]; then echo '3]  at 12, lag 0'; else echo "$k]  at 0, lag 0"; fi; done)"
	has "$output" "  ${t}[3]  at 5, lag 7"
	start_sub a -g "a$t" --body "$t"
	start kcat kcat -q -b $K -G "k$t" -X auto.offset.reset=earliest "$t"
	grouped() { [ "$(mbus topics "$t" | grep -c -e "^group a$t  Stable, 1 member\$" -e "^group k$t  Stable, 1 member\$")" = 2 ]; }
	wait_for grouped
	has "$(mbus topics -J "$t")" \
		'{"v":1,"type":"group","group":"b'"$t"'","state":"Empty","members":0,"places":[{"topic":"'"$t"'","partition":0,"offset":0,"lag":0},' \
		'{"topic":"'"$t"'","partition":3,"offset":5,"lag":7}' '"type":"group","group":"a'"$t"'","state":"Stable","members":1'
	# Of the topics that were named only.
	admin create "$t.other"
	is "$(mbus topics "$t.other" | grep -c group)" 0
}

@test "all topics, in order, and each is one line of JSON" {
	admin create "$t.b"
	admin create "$t.a"
	run -0 mbus topics
	has "$output" "$t.a  1 partition" "$t.b  1 partition"
	grep '^[^ ]* *[0-9]* partition' <<< "$output" | cut -d ' ' -f 1 > names
	LC_ALL=C sort -c names
	is "$(mbus topics)" "$output"
	mbus topics -J | python3 -c '
import json, sys
for line in sys.stdin:
	o = json.loads(line)
	assert o["v"] == 1 and o["type"] in ("topic", "group"), line
	print(o["topic"]) if o["type"] == "topic" else 0' | cmp - names
}

@test "60 topics of 5 partitions, in little time" {
	local begin k

	for k in {10..69}; do printf '{"topic":"%s.%d","body":"x"}\n' "$t" $k; done > lines
	mbus pub -J --create 5 < lines
	begin=$(now_ms)
	mbus topics > all
	[ $(($(now_ms) - begin)) -lt 3000 ] || fail "$(($(now_ms) - begin)) ms"
	grep -A5 "^${t}[.]" all > some
	is "$(grep -c ' 5 partitions' some)" 60
	is "$(grep -c ']  0...[01]  leader 1, in sync 1 of 1' some)" 300
	is "$(grep -c ']  0...1 ' some)" 60
	# shellcheck disable=SC2046
	mbus topics $(seq -f "$t.%.0f" 69 -1 10) | cmp - some
}

@test "a topic that is not there: status 5, the others are shown, and none is made" {
	admin create "$t"
	run --separate-stderr mbus topics "$t.none" "$t" 'no name'
	status_is 5
	is "$stderr" "mbus: topics: $t.none: there is no such topic
mbus: topics: no name: there is no such topic"
	has "$output" "$t  1 partition"
	run -0 mbus topics
	[[ $output != *"$t.none"* ]]
}

@test "what a user may not see: not shown, and status 4 when it was asked for" {
	echo reader > pw
	chmod 600 pw
	# shellcheck disable=SC2120
	as_reader() { mbus topics -b 127.0.0.1:9093 --username reader --password-file pw "$@"; }
	admin create "$t.a"
	admin create "$t.b"
	admin allow reader read topic "$t.a"
	seq 3 | mbus pub -l "$t.a"
	mbus sub -g "g$t" -o beginning -c 2 --body "$t.a" > out
	visible() { [ "$(as_reader)" = "$t.a  1 partition"$'\n  [0]  0...3  leader 1, in sync 1 of 1' ]; }
	wait_for visible || { as_reader; return 1; }
	run --separate-stderr as_reader "$t.a" "$t.b" "$t.c"
	status_is 4
	is "$stderr" "mbus: topics: $t.b: not allowed
mbus: topics: $t.c: not allowed"
	has "$output" "$t.a  1 partition"
	# Nor groups, until that is allowed.
	admin allow reader describe group "g$t"
	group() { as_reader | grep -qF "${t}.a[0]  at 2, lag 1"; }
	wait_for group
}

@test "no server, a wrong password, no answer, and brokers that keep nothing" {
	local begin

	begin=$(now_ms)
	run --separate-stderr mbus topics -b 127.0.0.1:9
	status_is 3
	has "$stderr" 'mbus: topics: 127.0.0.1:9: ' 'Connection refused'
	echo wrong > pw
	chmod 600 pw
	run --separate-stderr mbus topics -b 127.0.0.1:9093 --username reader --password-file pw
	status_is 4
	has "$stderr" 'mbus: topics: 127.0.0.1:9093: ' password
	[ $(($(now_ms) - begin)) -lt 4000 ] || fail "$(($(now_ms) - begin)) ms"
	kafka_signal STOP
	run --separate-stderr mbus topics --connect-timeout 1
	kafka_signal CONT
	status_is 3
	has "$stderr" 'no answer within 1 s'
	kafka_signal STOP
	run --separate-stderr mbus topics -W 1
	kafka_signal CONT
	status_is 124
	[ $(($(now_ms) - begin)) -lt 8000 ] || fail "$(($(now_ms) - begin)) ms"
	for b in null mqtt; do
		run --separate-stderr mbus topics -B $b
		status_is 5
		has "$stderr" "$b"
	done
}

@test "stdout that cannot be written: status 6" {
	admin create "$t"
	run bash -c "mbus topics $t 2>&1 > /dev/full"
	status_is 6
}

@test "a group of the new protocol: its state is not known, and said to be so" {
	admin create "$t"
	seq 5 | mbus pub -l "$t"
	is "$(mbus sub --body -g "g$t" -o beginning -e "$t" | tail -n 1)" 5
	admin joins "g$t" "$t"
	run --separate-stderr mbus topics "$t"
	status_is 0
	has "$output" "group g$t  ?"$'\n'"  ${t}[0]  at 5, lag 0"
	has "$stderr" "group g$t: of a kind (KIP-848) that librdkafka"
	has "$(mbus topics -J "$t" 2> /dev/null | grep group)" '"state":"?","places":['
}

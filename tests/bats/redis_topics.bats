#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus topics, by a real Redis: channels with their subscribers, streams with their
# groups, and no more work for the server than was allowed.

load ../lib
load ../servers/redis

setup() {
	lib_setup
	export MICRO_BROKER=redis
	redis_start main
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	X=(-X redis.mode=stream)
}

@test "channels and streams, each with what the server knows of it" {
	run -0 --separate-stderr mbus topics
	is "$output" ''
	start_sub a --body news
	start_sub b --body news
	seq 10 | mbus pub "${X[@]}" -l orders
	redis_cli set text x
	mbus sub "${X[@]}" -g billing -o beginning -c 3 --body orders > out
	redis_cli xgroup create orders audit '$' > out
	start_sub c "${X[@]}" -g billing --body orders
	wait_for lines_in c.out 7		# and who has left is still known by its name
	listed() { mbus topics > now; grep -q 'lag 0$' now && ! grep -q pending now; }
	wait_for listed
	last=$(redis_cli xrevrange orders + - count 1 | head -n 1)
	run -0 --separate-stderr mbus topics
	is "$output" "news  channel, 2 subscribers
orders  stream, 10 events
group audit  0 members
  orders  at $last, lag 0
group billing  2 members
  orders  at $last, lag 0"
	is "$stderr" ''
	run -0 mbus topics -J
	is "$output" '{"v":1,"type":"topic","topic":"news","kind":"channel","subscribers":2,"events":null,"lost":0,"partitions":[]}
{"v":1,"type":"topic","topic":"orders","kind":"stream","subscribers":null,"events":10,"lost":0,"partitions":[]}
{"v":1,"type":"group","group":"audit","state":null,"members":0,"places":[{"topic":"orders","partition":null,"offset":null,"id":"'"$last"'","lag":0,"pending":0}]}
{"v":1,"type":"group","group":"billing","state":null,"members":2,"places":[{"topic":"orders","partition":null,"offset":null,"id":"'"$last"'","lag":0,"pending":0}]}'
	# By mode, and by name.
	is "$(mbus topics -X mode=pubsub)" 'news  channel, 2 subscribers'
	is "$(mbus topics "${X[@]}" | head -n 1)" 'orders  stream, 10 events'
	is "$(mbus topics news)" 'news  channel, 2 subscribers'
	is "$(mbus topics orders | wc -l)" 5
	run --separate-stderr mbus topics orders text nothing
	status_is 5
	is "$(head -n 1 <<< "$output")" 'orders  stream, 10 events'
	is "$stderr" 'mbus: topics: text: there is no such topic
mbus: topics: nothing: there is no such topic'
}

@test "what a group has not got and not acknowledged, and what the server does not know" {
	seq 10 | mbus pub "${X[@]}" -l S
	redis_cli xgroup create S g 0 > out
	redis_cli xreadgroup group g me count 4 streams S '>' > out
	has "$(mbus topics)" ', lag 6, 4 pending'
	# With a hole between it and the end it cannot count.
	is "$(redis_cli xdel S "$(redis_cli xrange S - + count 7 | grep '^[0-9]*-[0-9]*$' | tail -n 1)")" 1
	has "$(mbus topics)" ', lag ?, 4 pending'
	has "$(mbus topics -J)" '"lag":null,"pending":4'
}

@test "many streams and channels, sorted, each once; names do nothing to a terminal" {
	for ((i = 0; i < 1500; i++)); do echo "xadd s$i * body x"; done | redis_cli > out
	mapfile -t channels < <(seq -f 'c%g' 1200)
	start_sub sub --body "${channels[@]}"
	redis_cli xadd $'esc\e[31m' '*' body x > out
	run -0 --separate-stderr mbus topics
	is "$(wc -l <<< "$output")" 2701
	LC_ALL=C sort -c <<< "$output"
	has "$output" 'esc\x1b[31m  stream, 1 event' 's1499  stream, 1 event' 'c1200  channel, 1 subscriber'
	is "$stderr" ''
}

@test "among many keys no more are looked at than was said, and it says so" {
	for ((i = 0; i < 5000; i++)); do echo "set k$i x"; done | redis_cli > out
	for ((i = 0; i < 100; i++)); do echo "xadd s$i * body x"; done | redis_cli > out
	run -0 --separate-stderr mbus topics -X redis.scan=1000
	n=$(grep -c stream <<< "$output" || true)
	[ "$n" -lt 100 ]
	[[ $stderr =~ "mbus: topics: warning: at least $n stream"s?": "1[05]00" of 5100 keys were looked at (-X redis.scan=N)" ]] || fail "$stderr"
	has "$(mbus topics -q -J -X redis.scan=1000)" '{"v":1,"type":"incomplete","why":"at least '
	run -0 --separate-stderr mbus topics -X redis.scan=0
	is "$(wc -l <<< "$output")" 100
	is "$stderr" ''
	run --separate-stderr mbus sub -X redis.scan=5 t
	status_is 2
}

@test "a user who may list, as the manual says, and those who may not" {
	mbus pub "${X[@]}" S x
	redis_cli acl setuser lists on '>secret' '~*' '&*' nocommands +pubsub +scan +exists +xlen +xinfo +dbsize +ping +cluster > out
	redis_cli acl setuser some on '>secret' '~other' '&*' nocommands +pubsub +scan +exists +xlen +xinfo +ping > out
	redis_cli acl setuser none on '>secret' '~*' '&*' nocommands +ping > out
	export MBUS_PASSWORD=secret
	is "$(mbus topics --username lists)" 'S  stream, 1 event'
	run --separate-stderr mbus topics --username some S
	status_is 4
	is "$stderr" 'mbus: topics: S: not allowed'
	run --separate-stderr mbus topics --username none
	status_is 4
	is "$(wc -l <<< "$stderr")" 1
	has "$stderr" 'not allowed'
}

@test "of a cluster, one node is asked, and it says so" {
	redis_start node --cluster-enabled yes
	redis_use node
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	run -0 --separate-stderr mbus topics
	has "$stderr" "127.0.0.1:$REDIS_PORT is one node of a cluster: what others have is not shown"
}

@test "the server goes, or stands still: an end, and its status" {
	freeze redis-main
	run --separate-stderr mbus topics -W 500ms --connect-timeout 300ms
	status_is 3
	thaw redis-main
	redis_stop main KILL
	run --separate-stderr mbus topics
	status_is 3
}

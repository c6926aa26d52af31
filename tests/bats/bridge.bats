#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# From one broker to another: sub -J of the one, pub -J of the other. Redis and
# Mosquitto are at their default ports, as are the commands.

load ../lib

EVENTS=$ROOT/tests/battery/events

setup() {
	lib_setup
	start server-redis redis-server --save '' --client-output-buffer-limit 'pubsub 0 0 0'
	printf '%s\n' 'user root' 'listener 1883 127.0.0.1' 'allow_anonymous true' \
		'max_queued_messages 0' 'max_queued_bytes 0' > m.conf
	start server-mqtt mosquitto -c m.conf
	wait_for sh -c 'redis-cli ping 2>&1 | grep -q PONG'
	wait_for sh -c 'mosquitto_pub -t ready -n 2> probe.err'
}

# bridge FROM TO TOPIC [OPTION...]: the pipe of the README, in the background.
bridge() {
	mkfifo "$1.out"
	ln -s "$1.out" "$2.in"
	MICRO_BROKER=$2 start "$2" mbus pub -J "${@:4}"
	MICRO_BROKER=$1 start_sub "$1" -J "${@:4}" "$3"
	mv "$1.out" "$1.pipe"
}

# moved FROM TO: 500 random events, published on FROM, come out of TO the same.
moved() {
	"$EVENTS" make $RANDOM 500 'header null-body control' orders > sent
	MICRO_BROKER=$2 start_sub there -J -c 500 orders
	bridge "$1" "$2" orders
	run -0 env MICRO_BROKER="$1" mbus pub --content-type none -J < sent
	finish there 30
	is "$status" 0
	"$EVENTS" plain < sent > want
	"$EVENTS" plain < there.out > got
	diff want got | head -n 6
	cmp want got
	stop "$1"
	finish "$2"
	is "$status" 0
}

@test "from redis to mqtt, event for event" { moved redis mqtt; }
@test "from mqtt to redis, event for event" { moved mqtt redis; }

@test "from redis to mqtt and back, and what is on both wires is the same bytes" {
	local n

	MICRO_BROKER=redis start_sub again -J -c 3 back
	MICRO_BROKER=mqtt start_sub wire --wire raw --body -c 3 there
	MICRO_BROKER=redis start_sub first --wire raw --body -c 3 here
	bridge redis mqtt here -t there
	mkdir back
	cd back
	MICRO_BROKER=mqtt start_sub back -J there
	cd ..
	start one tail -n +1 -f back/back.out
	ln -s one.out two.in
	for n in 1 2; do MICRO_BROKER=redis mbus pub -H "n:$n" -H 'ü:"<&>' here "$n é"; done
	head -c 3000 /dev/urandom > body
	MICRO_BROKER=redis mbus pub -H n:3 -f body here
	finish wire
	finish first
	same_bytes first.out wire.out
	wait_for lines_in back/back.out 3
	MICRO_BROKER=redis mbus pub -J -t back < back/back.out
	finish again
	tail -n 1 again.out | "$EVENTS" bodies body
	has "$(head -n 1 again.out)" '"topic":"back"' '"n":"1"' '"ü":"\"<&>"' '"body":"1 é"'
}

@test "from a redis stream to mqtt 5 without the envelope: what it cannot carry is left out and counted" {
	MICRO_BROKER=mqtt start_sub there --wire raw -J -c 3 t
	export MICRO_BROKER=redis
	mbus pub -X redis.mode=stream -H a:1 -H a:2 -H b:3 t one
	mbus pub -X redis.mode=stream -k key t two
	mbus pub -X redis.mode=stream -Z t
	mbus sub -X redis.mode=stream -J -o beginning -e t |
		MICRO_BROKER=mqtt mbus pub -v --wire raw -J --omit key,null 2> pub.err
	finish there
	has "$(sed -n 1p there.out)" '"headers":{"a":["1","2"],"b":"3"}' '"body":"one"'
	has "$(sed -n 2p there.out)" '"body":"two"'
	has "$(sed -n 3p there.out)" '"body":""'
	has "$(cat pub.err)" '3 confirmed' '2 events'
	# Without --omit they are refused, by name.
	mbus sub -X redis.mode=stream -J -o beginning -e t > events
	MICRO_BROKER=mqtt run --separate-stderr mbus pub --wire raw -J < events
	status_is 1
	has "$stderr" key null '2 of 3 not delivered: 2 refused'
}

@test "50,000 events through a bridge, in order" {
	seq 50000 > sent
	MICRO_BROKER=mqtt start_sub there --body t
	bridge redis mqtt t
	MICRO_BROKER=redis mbus pub -l t < sent
	wait_for -t 30 lines_in there.out 50000
	same_bytes sent there.out
}

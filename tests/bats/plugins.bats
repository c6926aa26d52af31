#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus and go-micro programs that use its broker plugins: redis of v1 to v4, mqtt of
# v1 and v2 (tests/go), by the default addresses of both sides. What is on the wire is
# compared as redis-cli and mosquitto_sub see it.

load ../lib

setup() {
	lib_setup
	# go-micro's own default for redis is an address that its plugin cannot use.
	export REDIS=127.0.0.1:6379
}

# server BROKER
server() {
	export MICRO_BROKER=$1
	case $1 in
	redis)
		start redis redis-server --save ''
		wait_for sh -c 'redis-cli ping 2>&1 | grep -q PONG'
		export MICRO_BROKER_ADDRESS=$REDIS
		;;
	mqtt)
		printf '%s\n' 'user root' 'listener 1883 127.0.0.1' 'allow_anonymous true' \
			'max_queued_messages 0' > m.conf
		start mosquitto mosquitto -c m.conf
		wait_for sh -c 'mosquitto_pub -t ready -n 2> probe.err'
		;;
	esac
}

# gm_sub NAME LINE TOPIC [OPTION...]. The redis plugin is deaf after 5 s of silence.
gm_sub() {
	local o=()

	[ "$MICRO_BROKER" != redis ] || o=(-no-read-timeout)
	start_ready "$1" "gm-$2" sub -topic "$3" -ready-fd 8 "${o[@]}" "${@:4}"
}

# watch NAME TOPIC N: the payloads of N events, one a line, by the broker's own tool.
watch() {
	case $MICRO_BROKER in
	redis)
		start "$1.all" timeout 20 redis-cli --no-raw --csv subscribe "$2"
		wait_for lines_in "$1.all.out" 1
		;;
	mqtt)
		start "$1" timeout 20 stdbuf -oL mosquitto_sub -t "$2" -C "$3" -d
		wait_for grep -q '^Subscribed' "$1.out"
		;;
	esac
}
# watched NAME
watched() {
	case $MICRO_BROKER in
	redis) sed -n 's/^"message","[^"]*",//p' "$1.all.out" ;;
	mqtt) grep '^{' "$1.out" ;;
	esac
}

# ---- mbus pub to go-micro ----

to_line() {
	local t

	t=$(topic)
	server "$1"
	gm_sub sub "$2" "$t" -n 6
	printf '%s\n' 'plain' 'tab	"quote" <é>' '' | mbus pub -l -H id:7 -H Aa=1 "$t"
	printf 'not\0text\377' | mbus pub -s -H id:8 -H 'Ü é:x' "$t"
	mbus pub -Z "$t"
	mbus pub -Z -H only:header "$t"
	finish sub
	is "$status" 0 || fail "$(cat sub.out)"
	is "$(cat sub.out)" '{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"plain"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"tab\t\"quote\" <é>"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":""}
{"topic":"'"$t"'","header":{"id":"8","Ü é":"x"},"body_b64":"bm90AHRleHT/"}
{"topic":"'"$t"'","header":'"$(empty_header "$2")"'}
{"topic":"'"$t"'","header":{"only":"header"}}'
}
empty_header() { echo '{}'; }

@test "redis: mbus pub reaches v1" { to_line redis v1; }
@test "redis: mbus pub reaches v2" { to_line redis v2; }
@test "redis: mbus pub reaches v3" { to_line redis v3; }
@test "redis: mbus pub reaches v4" { to_line redis v4; }
@test "mqtt: mbus pub reaches v1" { to_line mqtt v1; }
@test "mqtt: mbus pub reaches v2" { to_line mqtt v2; }

# ---- go-micro to mbus sub ----

from_line() {
	local t

	t=$(topic)
	server "$1"
	head -c 3000 /dev/urandom > body
	start_sub sub -J -c 5 "$t"
	"gm-$2" pub -topic "$t" -n 2 -header 'Aa=1' -body 'say "é" <&>' 2> pub.err
	"gm-$2" pub -topic "$t" -null 2> pub.err
	"gm-$2" pub -topic "$t" -file body 2> pub.err
	"gm-$2" pub -topic "$t" -file /dev/null 2> pub.err
	finish sub
	is "$status" 0
	has "$(sed -n 1p sub.out)" "\"topic\":\"$t\"" '"headers":{"Aa":"1","id":"0"}' '"body":"say \"é\" <&>","len":12' \
		"\"broker\":\"$1\"" '"wire":"micro"'
	has "$(sed -n 2p sub.out)" '"headers":{"Aa":"1","id":"1"}'
	has "$(sed -n 3p sub.out)" '"body":null,"len":-1'
	sed -n 4p sub.out | "$ROOT/tests/battery/events" bodies body
	has "$(sed -n 5p sub.out)" '"body":"","len":0'
}

@test "redis: mbus sub hears v1" { from_line redis v1; }
@test "redis: mbus sub hears v2" { from_line redis v2; }
@test "redis: mbus sub hears v3" { from_line redis v3; }
@test "redis: mbus sub hears v4" { from_line redis v4; }
@test "mqtt: mbus sub hears v1" { from_line mqtt v1; }
@test "mqtt: mbus sub hears v2" { from_line mqtt v2; }

# ---- the same bytes ----

same_wire() {
	local t

	t=$(topic)
	server "$1"
	watch wire "$t" 8
	"gm-$2" pub -topic "$t" -header 'Aa=1' -header 'b<>&=é"\/' -body 'hello <world>' 2> pub.err
	mbus pub -H 'b<>&:é"\/' -H id:0 -H Aa:1 "$t" 'hello <world>'
	"gm-$2" pub -topic "$t" -null 2> pub.err
	mbus pub -H id:0 -Z "$t"
	"gm-$2" pub -topic "$t" -file /dev/null 2> pub.err
	mbus pub -H id:0 "$t" ''
	printf '\0\377\r\n' > body
	"gm-$2" pub -topic "$t" -file body 2> pub.err
	mbus pub -H id:0 -f body "$t"
	have_eight() { [ "$(watched wire | wc -l)" = 8 ]; }
	wait_for have_eight
	is "$(watched wire | sed -n 'n;p')" "$(watched wire | sed -n 'p;n')"
	is "$(watched wire | uniq | wc -l)" 4
	has "$(watched wire | head -n 1)" Header Body aGVsbG8gPHdvcmxkPg==
}

@test "redis: what mbus writes is what v1 writes" { same_wire redis v1; }
@test "redis: what mbus writes is what v2 writes" { same_wire redis v2; }
@test "redis: what mbus writes is what v3 writes" { same_wire redis v3; }
@test "redis: what mbus writes is what v4 writes" { same_wire redis v4; }
@test "mqtt: what mbus writes is what v1 writes" { same_wire mqtt v1; }
@test "mqtt: what mbus writes is what v2 writes" { same_wire mqtt v2; }

# ---- what these plugins are like ----

@test "redis: the plugins know no queues, every one of a queue gets every event" {
	local t l

	t=$(topic)
	server redis
	for l in v1 v2 v3 v4; do gm_sub $l $l "$t" -queue q; done
	start_sub sub --body "$t"
	seq 50 | mbus pub -l "$t"
	for l in v1 v2 v3 v4; do wait_for lines_in $l.out 50; done
	is "$(cat sub.out)" "$(seq 50)"
	# And mbus says so, where it is asked for one.
	run --separate-stderr timeout 5 mbus sub -g q -W 1 "$t"
	status_is 5
	has "$stderr" redis.mode=stream
}

@test "mqtt: the plugins know no queues; mbus has groups, also for what they publish" {
	local t

	t=$(topic)
	server mqtt
	gm_sub v1 v1 "$t" -queue q
	gm_sub v2 v2 "$t" -queue q
	start_sub a -g q --body "$t"
	start_sub b -g q --body "$t"
	gm-v1 pub -topic "$t" -n 40 -interval 1ms -body x 2> pub.err
	wait_for lines_in v1.out 40
	wait_for lines_in v2.out 40
	wait_for sh -c '[ "$(cat a.out b.out | wc -l)" = 40 ]'
	sleep 0.2
	is "$(cat a.out b.out | wc -l)" 40
	[ -s a.out ]
	[ -s b.out ]
}

@test "mqtt: wildcards, and mbus names the topic" {
	server mqtt
	gm_sub v2 v2 'a/#'
	start_sub sub -J -c 2 'a/#' 
	mbus pub a/b 1
	gm-v1 pub -topic a/c/d -body 2 2> pub.err
	finish sub
	has "$(sed -n 1p sub.out)" '"topic":"a/b"'
	has "$(sed -n 2p sub.out)" '"topic":"a/c/d"'
	wait_for lines_in v2.out 2
}

@test "redis: a go-micro subscriber is deaf after 5 s of silence, unless its program says otherwise" {
	local t l

	t=$(topic)
	server redis
	for l in v1 v2 v3 v4; do
		start_ready "deaf-$l" "gm-$l" sub -topic "$t" -ready-fd 8
		gm_sub $l $l "$t"
	done
	start_sub sub --body "$t"
	sleep 6
	run --separate-stderr mbus pub -v "$t" x
	status_is 0
	for l in v1 v2 v3 v4; do wait_for lines_in $l.out 1; done
	wait_for lines_in sub.out 1
	is "$(cat deaf-*.out)" ''
	# The server counts five.
	has "$stderr" 5
}

@test "redis: a thousand events of each line in a burst" {
	local t l

	t=$(topic)
	server redis
	start_sub sub --body "$t"
	for l in v1 v2 v3 v4; do "gm-$l" pub -topic "$t" -n 1000 -burst -body "$l" 2> pub.err; done
	wait_for lines_in sub.out 4000
	is "$(uniq -c sub.out | tr -s ' \n' ' ')" ' 1000 v1 1000 v2 1000 v3 1000 v4 '
}

@test "mqtt: a thousand events of each line in a burst" {
	local t l

	t=$(topic)
	server mqtt
	start_sub sub --body "$t"
	for l in v1 v2; do "gm-$l" pub -topic "$t" -n 1000 -burst -body "$l" 2> pub.err; done
	wait_for lines_in sub.out 2000
	is "$(sort sub.out | uniq -c | tr -s ' \n' ' ')" ' 1000 v1 1000 v2 '
}

hundred_thousand() {
	local t

	t=$(topic)
	server "$1"
	seq 100000 > sent
	gm_sub sub "$2" "$t" -n 100000
	mbus pub -l "$t" < sent
	finish sub 60
	is "$status" 0
	sed 's/.*,"body":"\([0-9]*\)"}$/\1/' sub.out | cmp - sent
}

@test "redis: 100,000 events of mbus to v4, in order" { hundred_thousand redis v4; }
@test "mqtt: 100,000 events of mbus to v2" { hundred_thousand mqtt v2; }

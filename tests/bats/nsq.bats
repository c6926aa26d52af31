#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The nsq broker against nsqd, with NSQ's own tools as the other side. What every broker
# must do is in tests/battery.

load ../lib

setup() {
	lib_setup
	export MICRO_BROKER=nsq MICRO_BROKER_ADDRESS=127.0.0.1:7150
}

# nsqd_start [NAME [OPTION...]]: at 7150, or $TCP; its statistics at $((TCP + 1)).
nsqd_start() {
	local name=${1-server} tcp=${TCP-7150}

	mkdir -p "$name.d"
	start "$name" nsqd -tcp-address "127.0.0.1:$tcp" -http-address "127.0.0.1:$((tcp + 1))" \
		-data-path "$name.d" -log-level warn "${@:2}"
	wait_for curl -fsS "http://127.0.0.1:$((tcp + 1))/ping" -o ping
}
# channel TOPIC CHANNEL FIELD: a number of nsqd's statistics.
channel() {
	curl -fsS "http://127.0.0.1:7151/stats?format=json&topic=$1&channel=$2" |
		python3 -c 'import json, sys
print(json.load(sys.stdin)["topics"][0]["channels"][0][sys.argv[1]])' "$3"
}
channel_is() { [ "$(channel "$1" "$2" "$3")" = "$4" ]; }
# pub_is STATUS ARG...
pub_is() {
	run --separate-stderr timeout 20 mbus pub "${@:2}"
	status_is "$1"
}

@test "to nsq_tail and from to_nsq, with go-micro's envelope and without" {
	nsqd_start
	start tail nsq_tail -nsqd-tcp-address 127.0.0.1:7150 -topic T -channel tail
	wait_for channel_is T tail client_count 1
	pub_is 0 -H k:v T hi
	pub_is 0 --wire raw T bare
	wait_for lines_in tail.out 2
	is "$(sort tail.out)" $'bare\n{"Header":{"k":"v"},"Body":"aGk="}'
	start_sub sub --line -c 2 T
	printf 'one\ntwo\n' | to_nsq -nsqd-tcp-address 127.0.0.1:7150 -topic T 2> to.err
	finish sub
	is "$status" 0
	is "$(sort sub.out)" $'T\t-\tone\nT\t-\ttwo'
}

@test "what was written is finished; what failed comes again" {
	nsqd_start
	run -0 mbus sub -g g --check T
	seq 10 | mbus pub -l T
	run -0 mbus sub -g g --body -c 10 T
	is "$(sort -n <<< "$output")" "$(seq 10)"
	is "$(channel T g depth)$(channel T g in_flight_count)$(channel T g requeue_count)" 000
	mbus pub T again
	# It fails once.
	run -1 mbus sub -g g -c 1 -W 10 --retry 0 -x 'cat >> seen; [ -e failed ] || { : > failed; exit 1; }' T
	run -0 timeout 10 mbus sub -g g --body -c 1 -W 5 T
	is "$output" again
}

@test "what a subscriber had and did not write goes to the next one at once" {
	nsqd_start
	mkfifo slow
	exec 6<> slow
	run -0 mbus sub -g g --check T
	seq -f '%05.0f 0123456789012345678901234567890123456789' 4000 | mbus pub -l T
	mbus sub -g g --body T > slow 6>&- 3>&- & first=$!
	wait_for in_flight
	sleep 0.3
	kill -TERM $first
	wait $first || true
	dd iflag=nonblock bs=65536 <&6 > got 2> dd.err || true
	exec 6<&-
	start_sub rest -g g --body T
	# The last line of `got` may be a part of one.
	rest_came() { { cat got; echo; cat rest.out; } | cut -c 1-5 | grep -x '[0-9]\{5\}' | sort -u | wc -l | grep -qx 4000; }
	wait_for rest_came
}
in_flight() { [ "$(channel T g in_flight_count)" -gt 0 ]; }

@test "a reader that stands still for longer than msg_timeout keeps its events" {
	nsqd_start
	mkfifo slow
	exec 6<> slow
	run -0 mbus sub -g g --check T
	seq -f '%05.0f 0123456789012345678901234567890123456789' 4000 | mbus pub -l T
	mbus sub -g g -X msg_timeout=1s --body -c 4000 T > slow 6>&- 3>&- & first=$!
	sleep 5
	is "$(channel T g timeout_count)" 0
	cat <&6 > got 3>&- & reader=$!
	exec 6<&-
	wait $first
	wait_for lines_in got 4000
	is "$(sort -u got | wc -l)" 4000
	kill $reader || true
}

@test "an event that is too large is refused, and those behind it are not lost" {
	nsqd_start server -max-msg-size 1000
	start_sub sub --body T
	{ seq 100; printf '%02000d\n' 0; seq 101 200; } > sent
	pub_is 1 -v -l --wire raw T < sent
	has "$stderr" 'message too big' '1 of 201 not delivered: 1 refused'
	wait_for lines_in sub.out 200
	is "$(sort -n sub.out)" "$(seq 200)"
	# Without --reconnect, too: it is nsqd's way to refuse.
	pub_is 1 -v --reconnect no -l --wire raw T < sent
	has "$stderr" '1 of 201 not delivered: 1 refused'
}

@test "defer: not before its time" {
	nsqd_start
	start_sub sub --body -c 1 T
	begin=$(now_ms)
	mbus pub -X defer=1s T late
	finish sub
	[ $(($(now_ms) - begin)) -ge 900 ]
	is "$(< sub.out)" late
}

@test "names that nsq has not, an empty body: refused before anything is sent" {
	nsqd_start
	for name in 'a b' '' "$(printf '%065d' 0)" 'a#b' 'ü'; do
		pub_is 1 "$name" x
		run --separate-stderr mbus sub "$name"
		status_is 2
	done
	run --separate-stderr mbus sub -g 'a b' T
	status_is 2
	has "$stderr" channel
	pub_is 1 --wire raw T ''
	has "$stderr" 'empty body'
	pub_is 0 T ''
	MBUS_PASSWORD=x pub_is 5 --username me T x
	pub_is 5 --ack all T x
}

@test "sub takes from every nsqd of the list, and waits for one that is away" {
	nsqd_start
	TCP=7160 nsqd_start other
	start_sub sub -b 127.0.0.1:7150,127.0.0.1:7160,127.0.0.1:7170 --body T
	has "$(< sub.err)" '127.0.0.1:7170: cannot connect'
	mbus pub T one
	mbus pub -b 127.0.0.1:7160 T two
	wait_for lines_in sub.out 2
	TCP=7170 nsqd_start late
	there() { curl -fsS 'http://127.0.0.1:7171/stats?format=json' | grep -q '"topic_name":"T"'; }
	wait_for there
	mbus pub -b 127.0.0.1:7170 T three
	wait_for lines_in sub.out 3
	is "$(sort sub.out)" $'one\nthree\ntwo'
}

@test "a server with secrets: the right one, a wrong one, none" {
	start auth "$ROOT/tests/tools/nsq_auth" 7180
	wait_for bash -c ': 2> /dev/null < /dev/tcp/127.0.0.1/7180'
	nsqd_start server -auth-http-address 127.0.0.1:7180
	export MBUS_PASSWORD=secret
	start_sub sub --body -c 1 T
	pub_is 0 T hi
	finish sub
	is "$(< sub.out)" hi
	pub_is 4 forbidden hi
	has "$stderr" E_UNAUTHORIZED
	run --separate-stderr timeout 10 mbus sub forbidden
	status_is 4
	MBUS_PASSWORD=wrong pub_is 4 T hi
	unset MBUS_PASSWORD
	pub_is 4 T hi
	has "$stderr" --password-file
}

@test "a server that has no TLS, or no users, says so" {
	nsqd_start
	pub_is 3 --url nsqs://127.0.0.1:7150 T x
	has "$stderr" 'has no TLS'
	MBUS_PASSWORD=x pub_is 2 T x
	has "$stderr" 'no users'
}

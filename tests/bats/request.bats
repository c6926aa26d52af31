#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Requests and replies: pub --request asks, sub -x CMD --reply answers, over brokers that
# have reply topics and over those where they are headers.

load ../lib
load ../servers/redis
load ../servers/mosquitto

setup() {
	lib_setup
}

# asks: one and three events, each answered.
asks() {
	start_sub service -q --reply -x 'read -r n; printf "hello %s" "$n"' greeter
	run --separate-stderr timeout 20 mbus pub --request -W 5 greeter Ann
	is "$status $output" '0 hello Ann'
	run --separate-stderr timeout 20 mbus pub --request -W 5 -l greeter <<< $'a\nb\nc'
	is "$status $(sort <<< "$output")" $'0 hello a\nhello b\nhello c'
	stop service
}

@test "over memory: a reply topic is a property" {
	export MICRO_BROKER=memory MICRO_BROKER_ADDRESS=request
	asks
}

@test "over mqtt 5: likewise; over 3.1.1 it is a header" {
	mosquitto_alone
	export MICRO_BROKER=mqtt MICRO_BROKER_ADDRESS=127.0.0.1:$MQTT_PORT
	asks
	export MICRO_BROKER_ADDRESS="mqtt://127.0.0.1:$MQTT_PORT?version=3.1.1"
	asks
}

@test "over nats: a subject of ours" {
	start nats nats-server -a 127.0.0.1 -p 7222
	wait_for bash -c ': 2> /dev/null < /dev/tcp/127.0.0.1/7222'
	export MICRO_BROKER=nats MICRO_BROKER_ADDRESS=127.0.0.1:7222
	asks
}

@test "over redis and http: headers" {
	redis_start main
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	asks
	unset MICRO_BROKER MICRO_BROKER_ADDRESS
	asks
}

@test "what the event asks with: topic and number" {
	redis_start main
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	start_sub sub -J -c 2 T
	run -124 mbus pub --request -W 300ms -l -H a:b T <<< $'1\n2'
	has "$output" '0 of 2 replies came within 0.3 s'
	finish sub
	python3 - <<-'END'
		import json
		a, b = (json.loads(line)["headers"] for line in open("sub.out"))
		assert a["a"] == "b" and a["Correlation-Id"] == "1" and b["Correlation-Id"] == "2", (a, b)
		assert a["Reply-To"] == b["Reply-To"] and a["Reply-To"].startswith("mbus.reply."), (a, b)
	END
}

@test "--replies: of so many subscribers; a reply that does not come is status 124" {
	export MICRO_BROKER=memory MICRO_BROKER_ADDRESS=request
	start_sub one -q --reply -x 'printf one' T
	start_sub two -q --reply -x 'printf two' T
	run --separate-stderr timeout 20 mbus pub --request --replies 2 -W 5 T x
	is "$status $(sort <<< "$output")" $'0 one\ntwo'
	run --separate-stderr timeout 20 mbus pub --request --replies 3 -W 500ms T x
	is "$status $(sort <<< "$output")" $'124 one\ntwo'
	is "$stderr" 'mbus: pub: 2 of 3 replies came within 0.5 s'
}

@test "an event that is refused is not waited for; no room for a reply topic is status 5" {
	redis_start main
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	run --separate-stderr timeout 20 mbus pub --wire raw --request T x
	status_is 5
	has "$stderr" --request
	unset MICRO_BROKER MICRO_BROKER_ADDRESS
	run --separate-stderr timeout 20 mbus pub --request -W 10 nobody x
	status_is 5
}

@test "options that do not go with it" {
	for o in "--tee" "--reply-to u" "--report -" "--loop"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus pub -B memory --request $o -l T < /dev/null
		status_is 2
	done
	run --separate-stderr mbus pub -B memory --replies 2 T x
	status_is 2
}

@test "the greeter of the examples" {
	run -0 --separate-stderr "$ROOT/examples/greeter.sh" Ann Bob
	is "$output" $'Hello Ann\nHello Bob'
}

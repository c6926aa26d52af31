#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# What users of kcat, mosquitto, nats, redis-cli and rpk type: each of their options has
# the meaning that most of them know, or is refused by one line that says mbus's way, never
# taken with another meaning. A row a flag.

load ../lib
load fake

setup_file() { fake_build; }

# habit HINT -- WORD...: refused with status 2, in one line with HINT.
habit() {
	local hint=$1

	shift 2
	run --separate-stderr fake_able "$@" < /dev/null
	status_is 2 && is "$output" '' && has "$stderr" "$hint" && is "$(wc -l <<< "$stderr")" 1
}

# works TOLD -- WORD...: and the broker is told so ("" is not looked at).
works() {
	local want=$1

	shift 2
	rm -f told
	fake_able "$1" -X told=told "${@:2}" < /dev/null > out 2> err || fail "$(cat err)"
	if [ "$want" ]; then has "$(cat told)" "$want"; fi
}

@test "refused with mbus's way: what sub is asked for in other tools' words" {
	habit "takes no host: write -b HOST:PORT" -- sub -h localhost t
	habit "-b HOST:PORT" -- sub -p 1883 t
	habit "--qos N" -- sub -q 1 t
	habit "is --version here" -- sub -V 5 t
	habit "mosquitto's -c, a kept session" -- sub -c -t t
	habit "mbus sub does anyway" -- sub -C -t t
	habit "--debug" -- sub -d t
	habit "-X mqtt.keepalive" -- sub -k 60 t
	habit "--tls-key FILE" -- sub --key f t
	habit "-f %k" -- sub -K : t
	habit "to publish, use mbus pub" -- sub -m x t
	habit "-c N" -- sub -n 5 t
	habit "--body, --raw or -f %s" -- sub -s t
	habit "--exclude GLOB" -- sub -T t
	habit "MBUS_PASSWORD" -- sub -P secret t
	[[ $stderr != *secret* ]]
	habit "--username" -- sub -u me t
	habit "mbus topics" -- sub -L mqtt://h/t
	habit "-o beginning" -- sub --from-beginning t
	habit "-b HOST:PORT" -- sub --bootstrap-server h:1 t
}

@test "refused with mbus's way: what pub is asked for in other tools' words" {
	habit "takes no host: write -b HOST:PORT" -- pub -h localhost t b
	habit "-b HOST:PORT" -- pub -p 1883 t b
	habit "--qos N" -- pub -q 2 t b
	habit "mbus pub is the producer already" -- pub -P t b
	habit "to receive, use mbus sub" -- pub -C t b
	habit "the configuration file is --config" -- pub -F f t b
	habit "--tee" -- pub -T t b
	habit "--debug" -- pub -d t b
	habit "keepalive" -- pub --keepalive 5 t b
	habit "mqtt.client_id" -- pub -i me t b
	habit "-H NAME:VALUE" -- pub --property a:b t b
	habit "MBUS_PASSWORD" -- pub --pw x t b
	habit "--username USER" -- pub --user x t b
	habit "-b HOST:PORT" -- pub --broker-list h:1 t b
}

@test "taken with the meaning that most of them know" {
	echo one > f
	works "qos=1" -- pub --qos 1 -t t -m b
	works "retain=1" -- pub -t t -m b -r
	works "" -- pub -t t -f f
	works "" -- pub -t t -n
	works "" -- pub -t t -Z
	works "" -- pub -t t -s
	works "" -- pub -t t -l
	works "" -- pub -t t -m b -k key
	works "" -- pub -t t -m b -H a=b
	works "compress=gzip" -- pub -t t -m b -z gzip
	works "no_retained=1" -- sub -R -t t --check
	works "group=g" -- sub -G g t --check
	works "group=g" -- sub --queue g t --check
	for c in -c -C; do
		works "" -- sub "$c" 2 -X count=3 t -J
		is "$(wc -l < out)" 2
	done
	works "" -- sub -e -X ends=1 -X count=3 -t t
	works "" -- sub -c 1 -X count=3 -F '%t' t
	is "$(cat out)" t
}

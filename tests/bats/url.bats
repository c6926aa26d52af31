#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr and stderr_lines are set by run
#
# Parameters in a URL: ?wire=raw&qos=1. The broker of these tests writes down what it was
# told; that queries with a meaning of their own keep it is tried on real ones.

load ../lib
load fake

setup_file() { fake_build; }

# told PART...: the broker was told these by the last run.
told() {
	has "$(cat told)" "$@"
	rm told
}

# refused STATUS PART... -- WORD...
refused() {
	local want=$1 parts=()

	shift
	while [ "$1" != -- ]; do parts+=("$1"); shift; done
	shift
	run --separate-stderr fake_able "$@" < /dev/null
	status_is "$want" && is "$output" "" && has "$stderr" "mbus: " "${parts[@]}" &&
		is "${#stderr_lines[@]}" 1
}

@test "options and -X options, also %-encoded, in each place a URL may stand in" {
	fake_able pub -u 'null://h/?wire=raw&qos=1&told=told&retain=yes' t b
	told "wire=2 " "qos=1 retain=1"
	fake_able pub -u 'null://h?null.told=to%6cd&reply%2dto=a%26b%3d' t b
	told "reply=a&b="
	fake_able pub -b 'null://h?told=told&connect_timeout=7s' t b
	told "connect_timeout=7000"
	MICRO_BROKER_ADDRESS='null://h?told=told&wire=raw' fake_able pub t b
	told "wire=2 "
	mkdir -p .config/mbus
	echo 'url = null://h?told=told&wire=raw' > .config/mbus/config
	env -u MICRO_BROKER MBUS_MODULES="$BATS_FILE_TMPDIR/able" "$MBUS" pub t b
	told "wire=2 "
	fake_able sub --check -u 'null://h?told=told&qos=2&group=g' t
	told "qos=2" "sub t"
}

@test "an option comes before a parameter, that before profile and environment" {
	mkdir -p .config/mbus
	printf '%s\n' 'qos = 2' 'wire = micro' 'null.told = file' '[p]' 'wire = micro' > .config/mbus/config
	MBUS_WIRE=micro fake_able pub --profile p -u 'null://h?told=told&wire=raw&qos=1' t b
	told "wire=2 " "qos=1"
	fake_able pub --wire auto --qos 0 -u 'null://h?told=wrong&wire=raw&qos=1' -X told=told t b
	told "wire=0 " "qos=0"
	[ ! -e file ] && [ ! -e wrong ]
}

@test "what is wrong is refused before anything is asked, with the nearest name" {
	refused 2 "parameter qoss: no option" "did you mean qos?" -- pub -u 'null://h?qoss=1' t b
	refused 2 "parameter tolld: no option" "did you mean told?" -- pub -u 'null://h?tolld=1' t b
	refused 2 "parameter qos: '7' is not a whole number up to 2" -- pub -u 'null://h?qos=7' t b
	refused 2 "parameter wire: 'rw' is none of" -- pub -u 'null://h?wire=rw' t b
	refused 2 "parameter retain: yes or no" -- pub -u 'null://h?retain=x' t b
	refused 2 "NAME=VALUE with & between" -- pub -u 'null://h?qos' t b
	refused 2 "parameter qos is there twice" -- pub -u 'null://h?qos=1,null://i?qos=2' t b
	refused 2 "a NUL in one" -- pub -u 'null://h?wire=ra%00w' t b
	refused 2 "parameter group is for mbus sub" -- pub -u 'null://h?group=g' t b
	# A URL from elsewhere runs nothing, and sends no file.
	for name in exec ready save tee timeout password-file config profile url; do
		refused 2 "parameter $name: this option is for the command line" -- \
			sub -W 2 -u "null://h?$name=/dev/null" t
	done
	run --separate-stderr "$MBUS" pub -u 'redis://h?qos=1' t b
	status_is 5
	has "$stderr" "--qos: the redis broker has no QoS"
	run --separate-stderr "$MBUS" pub -u 'mqtt://h?versoin=5' t b
	status_is 2
	has "$stderr" "did you mean version?"
	run --separate-stderr "$MBUS" pub -u 'mqtt://h?keep_alive=hush' t b
	status_is 2
	[[ $stderr != *hush* ]]
}

@test "in the environment, what does not apply is ignored" {
	MICRO_BROKER_ADDRESS='redis://127.0.0.1:1?qos=1&group=g&mode=stream' MICRO_BROKER=redis \
		run "$MBUS" pub t b
	status_is 3
	MICRO_BROKER_ADDRESS='redis://127.0.0.1:1?qos=1' run "$MBUS" pub -B null t b
	status_is 0
	MICRO_BROKER_ADDRESS='redis://127.0.0.1:1?nonsense=1' MICRO_BROKER=redis \
		run "$MBUS" registry list --registry file --registry-address ./
	status_is 0
}

@test "-X dump knows them; mqtt's version is not --version" {
	has "$("$MBUS" -u 'mqtt://h?version=311' -X dump)" "mqtt.version=311"
	has "$("$MBUS" -u 'mqtt://h?version=311' -X version=5 -X dump)" "mqtt.version=5"
	has "$("$MBUS" -u 'redis+unix:///s?db=3' -X dump)" "redis.db=3"
}

@test "queries that are somebody's own stay: WebSockets" {
	run --separate-stderr "$MBUS" pub -u 'ws://127.0.0.1:1/p?token=x&qos=1' t b
	status_is 3
	[[ $stderr != *parameter* ]]
}

@test "user and password stay with the URL, and are shown nowhere" {
	run "$MBUS" --debug pub -u 'redis://me:hush@127.0.0.1:1?wire=raw' t b
	status_is 3
	[[ $output != *hush* ]]
	fake_able pub -u 'null://me:hush@h?told=told&wire=raw' t b
	told "username=me" "wire=2 "
}

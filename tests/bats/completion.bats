#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# What completion has to ask others for: topics, services. It does so as the command of
# the line would, says nothing, and does not keep who types waiting.

load ../lib
load ../servers/redis

# offers WANTED WORD...: the names that the last of these words may become.
offers() {
	run --separate-stderr timeout 5 "$MBUS" --complete "${@:2}"
	status_is 0 && is "$stderr" '' && is "$(cut -f 1 <<< "$output" | sort | paste -sd ' ')" "$1"
}

setup() {
	lib_setup
	mkdir reg
	R=(--registry file --registry-address "$PWD/reg")
}

@test "topics that somebody subscribes to, by every road to the registry" {
	start_sub s "${R[@]}" orders orders.eu 'not this'
	offers "orders orders.eu" sub "${R[@]}" or
	offers "orders orders.eu" sub "${R[@]}" -t or
	offers "--topic=orders.eu" sub "${R[@]}" --topic=orders.
	offers "orders orders.eu" "${R[@]}" pub ''
	offers "" pub "${R[@]}" orders or
	offers "orders.eu" sub "${R[@]}" orders orders.
	offers "orders orders.eu" doctor "${R[@]}" o
	MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$PWD/reg offers "orders.eu" topics orders.
	printf '[here]\nregistry = file\nregistry-address = %s\n' "$PWD/reg" > config
	offers "orders.eu" sub --config config --profile here orders.
	offers "" sub --config config --profile nowhere orders.
	is "$(cat s.out)" ''
}

@test "services of the registry, each once" {
	start_sub s "${R[@]}" orders
	start_sub s2 "${R[@]}" orders
	offers "go.micro.http.broker micro.http.broker" registry get "${R[@]}" ''
	offers "list" registry "${R[@]}" l
}

@test "who does not answer, and what would ask the user, costs 300 ms at most" {
	local began

	redis_start main
	freeze redis-main
	began=$(now_ms)
	offers "" sub -B redis -b "127.0.0.1:$REDIS_PORT" o
	offers "" sub -B kafka -b "127.0.0.1:$REDIS_PORT" o
	offers "" sub nothing-over-mdns
	[ $(($(now_ms) - began)) -lt 2500 ]
	thaw redis-main
	offers "" sub -B redis --username u --password-file - o
	offers "" sub --no-such-option o
	offers "" sub -B nosuch o
}

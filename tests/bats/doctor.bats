#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# mbus doctor with real faults: each is found, told apart from its neighbours, said with
# what to do next, and is the status. Also that it changes nothing.

load ../lib
load ../servers/redis
load ../servers/mosquitto

setup_file() { redis_certs "$BATS_FILE_TMPDIR/certs"; }

# doctor_is STATUS OPTION...: it ends so; output is its report, stderr stays empty, and
# no line is without result and check.
doctor_is() {
	local bad

	run --separate-stderr timeout 30 "$MBUS" doctor "${@:2}"
	status_is "$1" && is "$stderr" '' || return
	bad=$(grep -vE '^(ok|note|warn|FAIL) +[a-z-]+ +[^ ]' <<< "$output") || return 0
	fail "$bad"
}

# line CHECK: what was said of it.
line() {
	grep -E "^[a-zA-Z]+ +$1 " <<< "$output"
}

@test "all is well: ok from first to last, and where each setting is from" {
	redis_start main
	start_sub s -B redis -b "127.0.0.1:$REDIS_PORT" orders
	doctor_is 0 -B redis -b "localhost:$REDIS_PORT" orders
	matches "$(line broker)" "ok +broker +redis \(option -B\)"
	matches "$(line address)" "ok +address +localhost:$REDIS_PORT \(option -b\)"
	matches "$(line resolve)" "ok +resolve +localhost is .*"
	matches "$(line reach)" "ok +reach +localhost:$REDIS_PORT accepts connections"
	has "$(line connect)" "ok " "redis is there"
	has "$(line subscribe)" "ok " "orders can be subscribed to"
	matches "$(line topic)" "ok +topic +orders has 1 subscriber"
	has "$(line publish)" "note " "not tried"
	# It has left nothing behind.
	wait_for redis_subscribers orders 1
	is "$(cat s.out)" ''
	MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT doctor_is 0
	has "$(line broker)" "environment MICRO_BROKER"
	has "$(line subscribe)" "note " "no TOPIC"
}

@test "the server is down: refused, which is not silence" {
	doctor_is 3 -B redis -b 127.0.0.1:1 orders
	has "$(line reach)" "FAIL " "refuses" "start the server"
	run ! line connect
	doctor_is 3 -B mqtt -b nosuch.invalid orders
	has "$(line resolve)" "FAIL " "nosuch.invalid"
	doctor_is 3 -B redis -b "unix:$PWD/nix" orders
	has "$(line connect)" "FAIL " "No such file"
}

# A listener whose queue is full: the kernel drops what comes, as a firewall would.
full_queue() {
	exec python3 -c '
import os, socket, time
l = socket.socket()
l.bind(("127.0.0.1", int(os.environ["PORT"])))
l.listen(0)
held = []
for _ in range(4):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(l.getsockname())
    held.append(s)
time.sleep(0.2)
os.write(8, b"ready\n")
time.sleep(100)'
}

@test "silence: packets that are dropped" {
	PORT=$(free_port)
	export PORT
	export -f full_queue
	start_ready full bash -c full_queue
	doctor_is 3 -B redis -b "127.0.0.1:$PORT" --connect-timeout 1 orders
	has "$(line reach)" "FAIL " "is silent" "firewall"
	doctor_is 124 -B redis -b "127.0.0.1:$PORT" -W 200ms orders
	has "$output" "FAIL time"
}

@test "a wrong password, none, and one that is right: 4, and it is not shown" {
	redis_start main --requirepass right
	for word in wr0ng ''; do
		MBUS_PASSWORD=$word doctor_is 4 -B redis -b "127.0.0.1:$REDIS_PORT" orders
		has "$(line connect)" "FAIL " "check user, password"
		[[ $output != *wr0ng* ]]
	done
	MBUS_PASSWORD=right doctor_is 0 -B redis -b "127.0.0.1:$REDIS_PORT" orders
	[[ $output != *right* ]]
}

@test "a wrong CA; and another kind of server at that port" {
	redis_start main
	doctor_is 4 -u "rediss://127.0.0.1:$REDIS_TLS_PORT" --tls-ca "$REDIS_CERTS/foreign.crt" orders
	has "$(line connect)" "FAIL " "certificate"
	doctor_is 0 -u "rediss://127.0.0.1:$REDIS_TLS_PORT" --tls-ca "$REDIS_CERTS/ca.crt" orders
	has "$(line connect)" "over TLS"
	doctor_is 3 -B mqtt -b "127.0.0.1:$REDIS_PORT" --connect-timeout 1 orders
	has "$(line reach)" "ok "
	has "$(line connect)" "FAIL " "the right kind of server"
}

@test "may not subscribe: the server's word, 4" {
	redis_start main
	redis_cli acl setuser limited on '>word' '&allowed' +@all > acl.out
	MBUS_PASSWORD=word doctor_is 4 -B redis -b "127.0.0.1:$REDIS_PORT" --username limited secret
	has "$(line connect)" "ok " "takes this user"
	has "$(line subscribe)" "FAIL " "allow this user"
	MBUS_PASSWORD=word doctor_is 0 -B redis -b "127.0.0.1:$REDIS_PORT" --username limited allowed
}

@test "a misspelt topic: the nearest name; nobody there; the right one" {
	mkdir reg
	start_sub s --registry file --registry-address "$PWD/reg" orders
	doctor_is 5 --registry file --registry-address "$PWD/reg" ordres
	has "$(line topic)" "FAIL " "nobody has ordres, but there is orders"
	doctor_is 5 --registry file --registry-address "$PWD/reg" quite-another
	has "$(line topic)" "FAIL " "nobody has quite-another: "
	doctor_is 0 --registry file --registry-address "$PWD/reg" orders
	has "$(line topic)" "ok " "orders has 1 subscriber"
	has "$(line subscribe)" "note "
	# Nobody has come, and nothing was delivered.
	is "$(cat s.out)" ''
	has "$("$MBUS" topics --registry file --registry-address "$PWD/reg")" "1 subscriber"
}

@test "the wrong registry: nobody there" {
	mkdir one two
	start_sub s --registry file --registry-address "$PWD/one" orders
	doctor_is 5 --registry file --registry-address "$PWD/two" orders
	has "$(line registry-address)" "$PWD/two"
	has "$output" "knows of nobody who takes events" "with the same registry"
}

@test "mdns: a multicast route, and nodes that are not believed with the reason" {
	start_sub s orders
	doctor_is 0 orders
	has "$(line multicast)" "ok "
	doctor_is 5 -X mdns.allow=10.0.0.0/8 orders
	has "$(line refused)" "is not believed" "mdns.allow"
}

@test "-J: a line of JSON a check; a profile's settings say where they stand" {
	mkdir -p .config/mbus
	printf '[down]\nurl = redis://me:hush@127.0.0.1:1\n' > .config/mbus/config
	chmod 600 .config/mbus/config
	run --separate-stderr "$MBUS" doctor -J --profile down orders
	status_is 3
	[[ $output != *hush* ]]
	jq -se 'map(.check) == ["broker", "address", "username", "wire", "resolve", "reach"]' <<< "$output"
	jq -se 'last | .result == "fail" and .status == 3 and (.advice | length) > 0' <<< "$output"
	jq -se '.[0].text | endswith("config:2 [down])")' <<< "$output"
}

@test "bad options are refused; what the broker is not built with is said" {
	run --separate-stderr "$MBUS" doctor a b
	status_is 2
	doctor_is 2 -B nosuch t
	has "$output" "FAIL settings"
	doctor_is 5 -B http --username me t
	has "$output" "FAIL settings" "--username"
}

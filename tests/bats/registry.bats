# SPDX-License-Identifier: Apache-2.0
# mbus registry: list, get, watch.

bats_require_minimum_version 1.5.0
load ../lib

FAKE="$ROOT/tests/bats/mdns_fake.py"

# nowhere GREP-ARG...: no line matches.
nowhere() {
	if grep "$@"; then fail "this should not be there: $*"; fi
}

# fake NAME ARG...: a responder that is ready.
fake() {
	start "$1" python3 "$FAKE" "${@:2}"
	wait_for lines_in "$1.out" 1
}

# watch NAME ARG...: a mbus registry watch that watches.
watch() {
	start "$1" mbus registry -v watch "${@:2}"
	wait_for grep -q watching "$1.err"
}

@test "nothing registered: an empty list, and get exits 5 with what to do" {
	run --separate-stderr mbus registry list
	status_is 0
	is "$output" ""
	is "$stderr" "mbus: registry: warning: no service is registered (mdns)"
	run --separate-stderr mbus registry get nosuch
	status_is 5
	is "$output" ""
	has "$stderr" "mbus: registry: service not found: nosuch" "registry mdns" "--registry" \
		"MICRO_REGISTRY" "registry list" "-v"
	run --separate-stderr mbus registry --registry file --registry-address ./there get nosuch
	status_is 5
	has "$stderr" "service not found: nosuch" "registry file at ./there"
}

@test "get: a line a node, sorted, each once" {
	fake a answer --service greeter --id greeter-2 --id greeter-10 --id greeter-1 --times 3 \
		--version v1.2.0 --addr 10.0.0.5 --port 8080 --meta z=1 --meta a=x\ y
	run --separate-stderr mbus registry get greeter
	status_is 0
	is "$stderr" ""
	is "$output" "greeter  v1.2.0  greeter-1  10.0.0.5:8080  a=x y z=1
greeter  v1.2.0  greeter-10  10.0.0.5:8080  a=x y z=1
greeter  v1.2.0  greeter-2  10.0.0.5:8080  a=x y z=1"
}

@test "get -J: a line a version, with its nodes" {
	fake a answer --id g-2 --id g-1 --version 2 --addr ::1 --meta k='"v"'
	fake b answer --id g-3 --version 1
	run --separate-stderr mbus registry get -J greeter
	status_is 0
	is "$output" '{"v":1,"type":"service","action":"found","name":"greeter","version":"1","nodes":[{"id":"g-3","address":"127.0.0.1:9000","metadata":{}}]}
{"v":1,"type":"service","action":"found","name":"greeter","version":"2","nodes":[{"id":"g-1","address":"[::1]:9000","metadata":{"k":"\"v\""}},{"id":"g-2","address":"[::1]:9000","metadata":{"k":"\"v\""}}]}'
	python3 -c 'import json,sys; [json.loads(l) for l in sys.stdin]' <<< "$output"
}

@test "list: a name a line, sorted, each once; -J" {
	start_ready one gm-v5 reg -ready-fd 8 -id a-1 register zeta 10.77.0.1:1
	start_ready two gm-v5 reg -ready-fd 8 -id b-1 register alpha 10.77.0.1:2
	start_ready three gm-v2 reg -ready-fd 8 -id b-2 register alpha 10.77.0.1:3
	run --separate-stderr mbus registry list
	status_is 0
	is "$output" "alpha
zeta"
	run --separate-stderr mbus registry list -J
	is "$output" '{"v":1,"type":"service","action":"found","name":"alpha"}
{"v":1,"type":"service","action":"found","name":"zeta"}'
}

@test "control characters do not reach the terminal, nor stray bytes JSON" {
	fake a answer --service greeter --id $'gr\e[31m\xff' --version $'1\n2' --meta $'k=\xc2\x9bx'
	run --separate-stderr mbus registry get greeter
	status_is 0
	is "$output" 'greeter  1\x0a2  gr\x1b[31m\xff  127.0.0.1:9000  k=\xc2\x9bx'
	run --separate-stderr mbus registry get -J greeter
	is "$output" '{"v":1,"type":"service","action":"found","name":"greeter","version":"1\n2","nodes":[{"id_b64":"Z3IbWzMxbf8=","address":"127.0.0.1:9000","metadata":{"k":"'$'\xc2\x9b''x"}}]}'
}

@test "get -v says what was heard and not believed" {
	fake zero answer --id zero --addr 0.0.0.0
	fake port answer --id port --port 0
	fake txt answer --id txt --txt '{"Service":'
	fake other answer --id other --txt-service impostor
	fake bye answer --id bye --ttl 0
	run --separate-stderr mbus registry get greeter
	status_is 5
	run --separate-stderr mbus registry get -v greeter
	status_is 5
	has "$stderr" "zero at 0.0.0.0:9000 is ignored: its address is the wildcard" \
		"port at 127.0.0.1:0 is ignored: its port is 0" \
		"txt at 127.0.0.1:9000 is ignored: TXT: not JSON" \
		"other at 127.0.0.1:9000 is ignored: its TXT names another service" \
		"bye at 127.0.0.1:9000 is ignored: it says goodbye"
}

@test "wrong use: exit 2, and what was meant" {
	local args

	for args in "" "nosuch" "get" "get a b" "list a" "watch a b" "list -c 1" "get -c 1 a" \
	    "wait" "wait a b" "wait -J a" "wait -l a" "get -l a" "list --select" "watch --select a" \
	    "get --strategy random a" "get --select --strategy nosuch a" "get --select --hash-key k a" \
	    "get --select --strategy hash a" "get --select --strategy random --hash-key k a" \
	    "list --hash-key k" \
	    "-W 0 list" "-X nosuch=1 list" "-X mdns.nosuch=1 list" "-X mdns.wait=x list" \
	    "-X mdns.domain=a..b list" "-X mdns.interface=nosuch0 list" "get a..b" "--nosuch list"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus registry $args
		[ "$status" = 2 ] || fail "mbus registry $args: status $status"
		is "$output" ""
		has "$stderr" "mbus: registry: "
	done
	run --separate-stderr mbus registry --registry nosuch list
	has "$stderr" "no such registry: nosuch"
}

@test "-W ends a lookup: exit 124" {
	run --separate-stderr mbus registry -W 20ms list
	status_is 124
	has "$stderr" "timed out"
}

@test "watch: create, update, delete; each once" {
	watch w
	for i in 1 2 3; do python3 "$FAKE" announce --addr 10.0.0.5; done
	python3 "$FAKE" announce --addr 10.0.0.6
	for i in 1 2; do python3 "$FAKE" announce --addr 10.0.0.6 --ttl 0; done
	python3 "$FAKE" announce --addr 10.0.0.6
	wait_for lines_in w.out 4
	stop w
	is "$status" 0
	is "$(cat w.out)" "create  greeter  1.0  greeter-1  10.0.0.5:9000
update  greeter  1.0  greeter-1  10.0.0.6:9000
delete  greeter  1.0  greeter-1  10.0.0.6:9000
create  greeter  1.0  greeter-1  10.0.0.6:9000"
}

@test "watch NAME -J -c N ends after N changes of that service" {
	watch w -J -c 2 greeter
	python3 "$FAKE" announce --service other
	python3 "$FAKE" announce --meta k=v
	python3 "$FAKE" announce --meta k=v --ttl 0
	finish w
	is "$status" 0
	is "$(cat w.out)" '{"v":1,"type":"service","action":"create","name":"greeter","version":"1.0","nodes":[{"id":"greeter-1","address":"127.0.0.1:9000","metadata":{"k":"v"}}]}
{"v":1,"type":"service","action":"delete","name":"greeter","version":"1.0","nodes":[{"id":"greeter-1","address":"127.0.0.1:9000","metadata":{"k":"v"}}]}'
}

@test "watch -W: 124 without a change or with fewer than -c, else 0" {
	run --separate-stderr mbus registry watch -W 100ms
	status_is 124
	has "$stderr" "timed out: no change"
	watch w -W 2 -c 2
	python3 "$FAKE" announce
	finish w
	is "$status" 124
	lines_in w.out 1
	has "$(cat w.err)" "timed out: 1 of 2 changes"
	watch v -W 2
	python3 "$FAKE" announce --id two
	finish v
	is "$status" 0
	lines_in v.out 1
}

@test "watch ended by a signal: 0, with -c unmet by the signal" {
	watch w
	stop w
	is "$status" 0
	watch w -c 5
	stop w TERM
	is "$status" 143
}

@test "watch ends when its reader has gone" {
	mkfifo pipe
	start w sh -c 'exec mbus registry -v watch > pipe'
	head -n 1 pipe > first &
	wait_for grep -q watching w.err
	python3 "$FAKE" announce
	wait_for lines_in first 1
	python3 "$FAKE" announce --id two
	finish w 5
	is "$status" 0
}

@test "what others say badly is not shown" {
	watch w
	python3 "$FAKE" announce --addr 0.0.0.0
	python3 "$FAKE" announce --txt '{}'
	python3 "$FAKE" announce --txt-service other
	python3 "$FAKE" announce --domain local
	python3 "$FAKE" raw 000080000000000300000000 --multicast
	python3 "$FAKE" raw 00008000ffffffffffffffffc00cc00c --multicast
	python3 "$FAKE" raw 00 --multicast
	python3 "$FAKE" announce --id good
	wait_for lines_in w.out 1
	is "$(cat w.out)" "create  greeter  1.0  good  127.0.0.1:9000"
}

# ---- go-micro ----

@test "services of go-micro v1 to v5 are found and watched" {
	local v

	watch w
	for v in 1 2 3 4 5; do
		start_ready "r$v" "gm-v$v" reg -ready-fd 8 -version "1.$v" -id "greeter-$v" \
			-meta a=b -meta topic=t register greeter "10.77.0.1:900$v"
	done
	run --separate-stderr mbus registry get greeter
	status_is 0
	is "$output" "greeter  1.1  greeter-1  10.77.0.1:9001  a=b topic=t
greeter  1.2  greeter-2  10.77.0.1:9002  a=b topic=t
greeter  1.3  greeter-3  10.77.0.1:9003  a=b topic=t
greeter  1.4  greeter-4  10.77.0.1:9004  a=b topic=t
greeter  1.5  greeter-5  10.77.0.1:9005  a=b topic=t"
	# Their announcements come after probes of up to 750 ms.
	wait_for lines_in w.out 5
	sleep 3.2
	for v in 1 2 3 4 5; do stop "r$v"; done
	wait_for lines_in w.out 10
	is "$(sort w.out)" "$(for a in create delete; do
		for v in 1 2 3 4 5; do echo "$a  greeter  1.$v  greeter-$v  10.77.0.1:900$v"; done
	done)"
	run mbus registry get greeter
	status_is 5
}

@test "go-micro v1 to v5 and micro find and watch what mbus registers, without a complaint" {
	local v

	for v in 1 2 3 4 5; do
		start_ready "w$v" "gm-v$v" reg -ready-fd 8 watch
	done
	start wm micro registry watch
	wait_for grep -q Watching wm.out
	sleep 0.3			# its listener starts behind that line
	start_sub s orders.new
	for v in 2 3 4 5; do
		run --separate-stderr "gm-v$v" reg get micro.http.broker
		matches "$output" '\{"name":"micro.http.broker","version":"ff.http.broadcast","nodes":\[\{"id":"orders.new-[0-9a-f-]{36}","address":"127.0.0.1:[0-9]+","metadata":\{"broker":"http","mbus.ports":"[0-9,]+","secure":"false","topic":"orders.new"\}\}\]\}'
	done
	run --separate-stderr gm-v1 reg get go.micro.http.broker
	has "$output" '"name":"go.micro.http.broker"' '"id":"orders.new-' '"topic":"orders.new"'
	run --separate-stderr gm-v5 reg list
	has "$output" micro.http.broker go.micro.http.broker
	run --separate-stderr micro registry get micro.http.broker
	has "$output" '"id": "orders.new-' '"version": "ff.http.broadcast"'
	for v in 1 2 3 4 5; do wait_for grep -q 'create.*"micro.http.broker".*orders.new' "w$v.out"; done
	wait_for grep -q 'create *micro.http.broker ff.http.broadcast' wm.out
	stop s
	for v in 1 2 3 4 5; do wait_for grep -q 'delete.*"micro.http.broker".*orders.new' "w$v.out"; done
	wait_for grep -q 'delete *micro.http.broker ff.http.broadcast' wm.out
	nowhere -i -e err -e fail -e unpack w?.out w?.err wm.out wm.err
}

# SPDX-License-Identifier: Apache-2.0
# mbus registry: wait, list -l, get --select. Over mdns and file alike.

bats_require_minimum_version 1.5.0
load ../lib

FAKE="$ROOT/tests/bats/mdns_fake.py"

# fake NAME ARG...: a responder that is ready.
fake() {
	start "$1" python3 "$FAKE" "${@:2}"
	wait_for lines_in "$1.out" 1
}

@test "wait: 0 once the nodes are there, without a word; 124 when the time is over" {
	run --separate-stderr mbus registry wait -W 300ms greeter
	status_is 124
	has "$stderr" "timed out: 0 of 1 nodes of service greeter (mdns)"
	fake a answer --id one
	run --separate-stderr mbus registry wait -W 5 greeter
	status_is 0
	is "$output$stderr" ""
	run --separate-stderr mbus registry wait -W 400ms -c 2 greeter
	status_is 124
	has "$stderr" "timed out: 1 of 2 nodes"
	start w mbus registry wait -W 20 -c 2 greeter
	sleep 0.3
	fake b answer --id two
	finish w
	is "$status" 0
}

@test "wait over mdns hears of a service of go-micro by its announcement" {
	start w mbus registry --debug wait -W 20 greeter
	wait_for grep -q "0 of 1 nodes" w.err
	start_ready r gm-v5 reg -ready-fd 8 register greeter 10.77.0.1:9000
	finish w
	is "$status" 0
}

@test "wait over file: nodes that are there, and nodes that come" {
	export MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$PWD/reg
	start w mbus registry --debug wait -W 20 -c 3 micro.http.broker
	wait_for grep -q "0 of 3 nodes" w.err
	start_sub a orders
	start_sub b orders
	wait_for grep -q "2 of 3 nodes" w.err
	start_sub c orders
	finish w
	is "$status" 0
	run --separate-stderr mbus registry wait -c 3 micro.http.broker
	status_is 0
	stop c
	run --separate-stderr mbus registry wait -W 200ms -c 3 micro.http.broker
	status_is 124
	has "$stderr" "2 of 3 nodes of service micro.http.broker (file)"
}

@test "wait ended by a signal: by the signal" {
	start w mbus registry --debug wait greeter
	wait_for grep -q "0 of 1 nodes" w.err
	stop w TERM
	is "$status" 143
}

@test "list -l: a line a version with its nodes; -J; on mdns and file" {
	fake a answer --service greeter --id g-2 --id g-1 --version v1.2.0 --addr 10.0.0.5 --port 8080
	fake b answer --service greeter --id g-3 --version v1.3.0 --addr 10.0.0.6 --port 8081
	start_ready one gm-v5 reg -ready-fd 8 -id a-1 register alpha 10.77.0.1:1
	start_ready two gm-v5 reg -ready-fd 8 -id b-1 register beta 10.77.0.1:2
	run --separate-stderr mbus registry list -l
	status_is 0
	is "$output" "alpha  1.0.0  1 node  10.77.0.1:1
beta  1.0.0  1 node  10.77.0.1:2"
	run --separate-stderr mbus registry list -lJ
	is "$output" '{"v":1,"type":"service","action":"found","name":"alpha","version":"1.0.0","nodes":[{"id":"a-1","address":"10.77.0.1:1","metadata":{}}]}
{"v":1,"type":"service","action":"found","name":"beta","version":"1.0.0","nodes":[{"id":"b-1","address":"10.77.0.1:2","metadata":{}}]}'
	export MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$PWD/reg
	run --separate-stderr mbus registry list -l
	status_is 0
	is "$output" ""
	start_sub a1 orders
	start_sub a2 orders
	run --separate-stderr mbus registry list -l
	matches "$output" 'go.micro.http.broker  ff.http.broadcast  2 nodes  127.0.0.1:[0-9]+ 127.0.0.1:[0-9]+  \(subscribers of the http broker, .*\)
micro.http.broker  ff.http.broadcast  2 nodes  127.0.0.1:[0-9]+ 127.0.0.1:[0-9]+  \(subscribers of the http broker, .*\)'
}

# Over file, which tells of all nodes however busy the machine is.
select_setup() {
	local i

	export MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$PWD/reg
	for i; do start_sub "$i" "$i"; done
}
choose() { mbus registry get --select "$@" micro.http.broker; }
# address TOPIC: of the node that subscribes to it.
address() {
	mbus registry get micro.http.broker | awk -v id="^$1-" '$3 ~ id { print $4 }'
}

@test "get --select: one address; at random all of them in time" {
	local i

	select_setup a b
	for i in {1..40}; do choose; done > got
	is "$(sort -u got)" "$(for i in a b; do address $i; done | sort)"
	run --separate-stderr choose -J --strategy hash --hash-key k
	status_is 0
	has "$output" '"name":"micro.http.broker"' '"nodes":[{"id":"'
	lines_in <(echo "$output") 1
	run --separate-stderr mbus registry get --select nosuch
	status_is 5
	is "$output" ""
}

@test "get --select --strategy round-robin: one after the other, at once and over comings and goings" {
	local i a b c
	local -a jobs=()

	select_setup a b c
	a=$(address a) b=$(address b) c=$(address c)
	next() { choose --strategy round-robin; }
	is "$(next; next; next; next)" "$a
$b
$c
$a"
	# The one whose turn it was goes; then the last one that was chosen.
	stop b
	is "$(next)" "$c"
	stop c
	is "$(next)" "$a"
	# Calls at the same time do not get the same turn.
	start_sub d d
	for i in {1..8}; do next > "turn.$i" & jobs+=($!); done
	for i in "${jobs[@]}"; do wait "$i"; done
	is "$(sort turn.* | uniq -c | awk '{ print $1 }' | paste -sd ' ')" "4 4"
	run --separate-stderr env -u HOME "$MBUS" registry get --select --strategy round-robin micro.http.broker
	status_is 6
	has "$stderr" "set HOME or XDG_STATE_HOME"
	XDG_STATE_HOME=$PWD/state next
	ls state/mbus/round-robin/*
	echo > plain
	HOME=$PWD/plain run --separate-stderr next
	status_is 6
	has "$stderr" "plain/.local/state/mbus/round-robin"
}

@test "get --select --strategy hash: one key, one node; a node that goes moves its own keys only" {
	local i gone

	select_setup a b c d
	gone=$(address c)
	all() {
		for i in {1..40}; do echo "$i $(choose --strategy hash --hash-key "key $i")"; done
	}
	all > before
	all > again
	is "$(cat again)" "$(cat before)"
	is "$(cut -d ' ' -f 2 before | sort -u | wc -l)" 4
	stop c
	all > after
	grep -v "$gone" before > stayed
	is "$(comm -12 <(sort stayed) <(sort after))" "$(sort stayed)"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus bench on a real Kafka: topics are made before anybody subscribes to them.

load ../lib
load kafka

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

result() { grep '"type":"bench.result"' | python3 -c 'import json, sys
r = json.load(sys.stdin)
p, s, l = r["published"], r["received"], r["latency"]
print(*(eval(x) for x in sys.argv[1:]))' "$@"; }

@test "its own topics are made, and nothing is lost" {
	is "$(mbus bench -J -n 2000 -x 2 -y 2 --topics 2 | result 'p["confirmed"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' 's["out_of_order"]')" \
		"2200 4400 0 0 0"
	is "$(mbus bench -J -n 1000 --run mine --wire raw | result 'p["confirmed"]' 's["distinct"]' 's["lost"]' 'r["topic"]')" \
		"1100 1100 0 mbus.bench.mine"
	# What is there by now: one event that made it, and those of the run.
	is "$(consume mbus.bench.mine | wc -c)" $((1100 * 129 + 25))
}

@test "members of a group share the partitions" {
	is "$(mbus bench -J -n 4000 -y 4 -g 2 --create 4 --warmup 0 | result 'p["confirmed"]' 's["distinct"]' 's["lost"]' '[x["distinct"] for x in r["listeners"]]')" \
		"4000 8000 0 [4000, 4000]"
}

@test "rtt, with topics for the answers" {
	is "$(mbus bench rtt -J -n 100 | result 'p["confirmed"]' 's["distinct"]' 's["lost"]' 'l["end_to_end"]["n"]')" "110 110 0 100"
}

@test "a topic that is there" {
	admin create "$t" 3
	is "$(mbus bench -J -n 100 -t "$t" | result 'p["confirmed"]' 's["lost"]')" "110 0"
}

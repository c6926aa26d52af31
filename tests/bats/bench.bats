#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus bench: its runs on every broker that is to be had quickly, its audit against a
# server that drops, repeats, swaps and changes, its pacing, its exit statuses. What it
# measures is not tested (the machine is busy), but what it counts is.

load ../lib
load ../servers/redis
load ../servers/mosquitto

setup() {
	lib_setup
	P=18901
	M=(-B redis -b "127.0.0.1:$P" --wire raw)
}

# bench OPTION...: with -J, which must end with the status in want (0). The result is in
# the file result.
want=0
bench() {
	run --separate-stderr timeout 60 "$MBUS" bench -J "$@" < /dev/null
	status_is "$want" || return
	grep '"type":"bench.result"' <<< "$output" | tail -n 1 > result
}
# of EXPRESSION...: of the result r, in Python; all of them.
of() { python3 -c 'import json, sys
r = json.load(open("result"))
p, s, l = r["published"], r["received"], r["latency"]
print(*(eval(x) for x in sys.argv[1:]))' "$@"; }
# holds EXPRESSION...: likewise, each must be true.
holds() {
	local x

	for x; do [ "$(of "$x")" = True ] || fail "not true: $x" "$(cat result)" || return; done
}
mischief() { start_ready mischief "$ROOT/tests/tools/mischief" --ready-fd 8 $P "$@"; }

# ---- runs ----

@test "null: every event is counted, and the warm-up apart" {
	bench pub -B null -n 5000 --warmup 700
	is "$(of 'p["events"]' 'p["confirmed"]' 'p["measured"]' 'l["call"]["n"]' 'l["ack"]["n"]' 'p["bytes"]')" \
		"5700 5700 5000 5000 5000 640000"
	bench pub -B null -n 1000 -x 3
	is "$(of 'p["confirmed"]' 'p["measured"]' '[x["events"] for x in r["publishers"]]')" \
		"1100 1000 [367, 367, 366]"
	# Nobody gets anything from null, and that is not passed over.
	want=1 bench -B null -n 100 --warmup 0 --drain 0.2s
	is "$(of 's["lost"]' 's["expected"]' 's["distinct"]')" "100 100 0"
	has "$stderr" "mbus: bench: 100 events were lost, of 100"
}

@test "redis: many publishers, subscribers and topics, nothing lost" {
	redis_start main
	bench -B redis -b 127.0.0.1:$REDIS_PORT -n 3000 -x 3 -y 2 --topics 5 -s 200
	is "$(of 'p["confirmed"]' 's["expected"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' 's["out_of_order"]' 's["corrupted"]')" \
		"3300 6600 6600 0 0 0 0"
	is "$(of 's["measured"]' 'l["end_to_end"]["n"]' 'len(r["listeners"])')" "6000 6000 2"
	holds 'p["ns"] > 0' '0 < l["end_to_end"]["min"] <= l["end_to_end"]["p50"] <= l["end_to_end"]["p99"] <= l["end_to_end"]["max"]' \
		'p["user_ns"] + p["system_ns"] > 0' 'r["client"]["rss_kib"] > 500' 'r["machine"]["cpus"] > 0'
}

@test "mqtt: queues get each event once, the subscribers share them" {
	mosquitto_start
	bench -B mqtt -b 127.0.0.1:$MQTT_PORT -n 2000 -y 4 -g 2 --qos 1
	is "$(of 'p["confirmed"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' '[x["distinct"] for x in r["listeners"]]')" \
		"2200 4400 0 0 [2200, 2200]"
	holds 'all(0 < x["distinct"] < 2200 for x in r["subscribers"])'
	# The same without -J.
	run --separate-stderr "$MBUS" bench -B mqtt -b 127.0.0.1:$MQTT_PORT -n 1000 -s 1K
	status_is 0
	has "$output" "mbus bench: mqtt 127.0.0.1:$MQTT_PORT" "published  1,000 in " "received   1,000 in " \
		"0 lost  0 duplicated  0 out of order" "end-to-end " "warm-up 100 events excluded"
}

@test "http: with headers, and a payload of a file" {
	head -c 3000 /dev/urandom > payload
	bench -B http --registry file -n 500 -y 2 --payload payload -H a:b -H c=d
	is "$(of 'p["confirmed"]' 's["distinct"]' 's["corrupted"]' 'r["size"]' 'r["headers"]')" "550 1100 0 3024 2"
}

@test "rtt: answers come back to who asked" {
	redis_start main
	bench rtt -B redis -b 127.0.0.1:$REDIS_PORT -n 500 -x 2
	is "$(of 'p["confirmed"]' 's["distinct"]' 's["lost"]' 'l["end_to_end"]["n"]')" "550 550 0 500"
	bench rtt -B http --registry file -n 200
	is "$(of 'p["confirmed"]' 's["distinct"]' 's["lost"]' 'l["end_to_end"]["n"]')" "220 220 0 200"
	holds 'l["end_to_end"]["p50"] > 1000'
}

@test "pub and sub in two places find each other by --run" {
	redis_start main
	start sub "$MBUS" bench sub -J -B redis -b 127.0.0.1:$REDIS_PORT --run here -y 2
	bench pub -B redis -b 127.0.0.1:$REDIS_PORT --run here -y 2 -n 1000 -x 2
	is "$(of 'p["confirmed"]')" 1100
	finish sub
	is "$status" 0
	grep bench.result sub.out > result
	is "$(of 's["distinct"]' 's["expected"]' 's["lost"]' 's["measured"]' 's["foreign"]')" "2200 2200 0 2000 0"
}

# ---- the audit ----

@test "what is dropped, repeated, swapped and changed is counted, each by its name" {
	mischief drop=10
	want=1 bench "${M[@]}" -n 1000 --warmup 0 --drain 0.5s
	is "$(of 'p["confirmed"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' 's["out_of_order"]')" "1000 900 100 0 0"
	has "$stderr" "100 events were lost, of 1000 (--max-loss 0)"
	stop mischief

	mischief repeat=7
	bench "${M[@]}" -n 1000 --warmup 0
	is "$(of 's["events"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' 's["out_of_order"]' 's["measured"]')" "1142 1000 0 142 0 1000"
	stop mischief

	mischief swap=9
	bench "${M[@]}" -n 1000 --warmup 0
	is "$(of 's["distinct"]' 's["lost"]' 's["duplicated"]' 's["out_of_order"]')" "1000 0 0 111"
	stop mischief

	mischief change=100
	want=1 bench "${M[@]}" -n 1000 --warmup 0 --drain 0.5s
	is "$(of 's["distinct"]' 's["lost"]' 's["corrupted"]')" "990 10 10"
	has "$stderr" "10 events were corrupted"
	stop mischief
}

@test "refused events that came nevertheless, and every subscriber for itself" {
	mischief answer=50
	want=1 bench "${M[@]}" -n 1000 --warmup 0 -y 2
	is "$(of 'p["confirmed"]' 'p["refused"]' 's["expected"]' 's["distinct"]' 's["lost"]' 's["refused"]')" "980 20 1960 2000 0 40"
	stop mischief
}

@test "events of others on the same topic are told apart" {
	redis_start main
	start sub "$MBUS" bench sub -J -B redis -b 127.0.0.1:$REDIS_PORT --run one -t shared --drain 0.5s
	bench pub -B redis -b 127.0.0.1:$REDIS_PORT --run two -t shared -y 1 -n 100 --warmup 0
	bench pub -B redis -b 127.0.0.1:$REDIS_PORT --run one -t shared -y 1 -n 50 --warmup 0
	finish sub
	grep bench.result sub.out > result
	is "$(of 's["distinct"]' 's["foreign"]' 's["lost"]')" "50 101 0"
}

# ---- pacing ----

@test "an open loop keeps its rate, and a pause of the broker shows at full length" {
	mischief pause=800:1
	bench "${M[@]}" --rate 1000 -d 2s --warmup 0
	holds '1995 <= p["measured"] <= 2000' '1.9e9 < p["ns"] < 3.5e9' 's["lost"] == 0'
	# The thousand events that were due meanwhile all waited: coordinated omission would
	# show one.
	holds '900e6 < l["end_to_end"]["p99_9"] < 1700e6' '900e6 < l["end_to_end"]["max"]' \
		'l["end_to_end"]["p90"] > 500e6' 'l["ack"]["p99_9"] > 900e6' 'r["rate"] == 1000'
	stop mischief
	# In a closed loop, as it must be, only those that were under way.
	mischief pause=800:1
	bench "${M[@]}" -n 2000 --warmup 0 --inflight 1
	holds 'l["end_to_end"]["max"] > 900e6' 'l["end_to_end"]["p99"] < 500e6'
	stop mischief
}

relay() {
	local fd answer

	exec {fd}<> /dev/tcp/127.0.0.1/18903
	echo "$*" >&$fd
	read -r -t 5 answer <&$fd
	exec {fd}>&-
	is "$answer" ok
}

@test "a network that stands still for a second shows about a second, in the picture too" {
	redis_start main
	start_ready relay "$ROOT/tests/tools/relay" --ready-fd 8 18902 127.0.0.1:$REDIS_PORT 18903
	start b "$MBUS" bench -J -B redis -b 127.0.0.1:18902 --rate 1000 -d 3s --warmup 0 --interval 100ms --plot p.svg
	wait_for lines_in b.out 8
	relay stall
	sleep 1
	relay pass
	finish b 30
	is "$status" 0
	grep bench.result b.out > result
	holds '900e6 < l["end_to_end"]["p99_9"] < 2500e6' 's["lost"] == 0' 'p["measured"] == 3000'
	# One in three was due while it stood, so one in five waited over half a second.
	holds 'next(c["ns"] for c in r["curve"] if c["part"] >= 0.875) > 400e6'
	has "$(cat p.svg)" "data-p99-9-ns=\"$(of 'l["end_to_end"]["p99_9"]')\""
}

@test "-d measures for its time, --interval tells how it goes" {
	redis_start main
	bench -B redis -b 127.0.0.1:$REDIS_PORT -d 1s --warmup 0.3s --interval 100ms --rate 2000
	holds '0.9e9 < p["ns"] < 2e9' '1900 <= p["measured"] <= 2000' 's["measured"] == p["measured"]' \
		'10 <= len(r["intervals"]) <= 14' 'p["confirmed"] - p["measured"] >= 590'
	is "$(grep -c '"type":"bench.interval"' <<< "$output")" "$(of 'len(r["intervals"])')"
	# Together the intervals are the whole.
	holds 'sum(x["received"] for x in r["intervals"]) in range(s["distinct"] - 300, s["distinct"] + 1)'
}

@test "on a terminal it is one line that changes, and goes at the end" {
	mischief
	script -qec "$MBUS bench ${M[*]} --rate 500 -d 1s --interval 200ms" typescript < /dev/null > /dev/null
	text=$(cat typescript)
	has "$text" $'\r\e[K' "in flight" "left" "published " "0 lost"
	# Not one line of those for pipes.
	[[ $text != *"s  pub "* ]] || fail "$text"
}

# ---- ends ----

# ends STATUS TEXT OPTION...: within 20 seconds, with that.
ends() {
	local begin

	begin=$(now_ms)
	run --separate-stderr timeout 60 "$MBUS" bench "${@:3}"
	status_is "$1"
	has "$stderr" "$2"
	[ $(($(now_ms) - begin)) -lt 20000 ] || fail "it took $(($(now_ms) - begin)) ms"
}

@test "a server that is down: status 3 at once, and nothing on stdout" {
	ends 3 "refused" -B redis -b 127.0.0.1:1 -n 100 -x 2 -y 2
	is "$output" ""
	ends 3 "refused" -B mqtt -b 127.0.0.1:1 -n 100
	ends 3 "refused" --url redis://127.0.0.1:1 -n 100
}

@test "a server that dies in the middle: what was measured, and status 3" {
	mischief die=500
	ends 3 "" "${M[@]}" -n 100000 --warmup 0 --drain 1s
	has "$output" "published " "received " "unknown"
	has "$stderr" "mbus: bench: "
	mischief die=500
	ends 3 "" "${M[@]}" --rate 1000 -d 5s --drain 1s
	has "$output" "published "
}

@test "a server that stalls: the run is given up after --stall, with its status" {
	mischief mute=500
	ends 1 "nothing was confirmed and nothing came for 1 s: given up" "${M[@]}" -n 100000 --warmup 0 --stall 1s
	has "$output" "published "
	stop mischief
	# Nothing ever: 3. By time, the run ends with its time.
	mischief mute=1
	ends 3 "given up" "${M[@]}" -n 1000 --stall 1s
	stop mischief
	mischief mute=300
	ends 1 "" "${M[@]}" -d 1s --rate 1000 --drain 1s
	has "$output" "801 unknown" "kept 19."
	has "$stderr" "801 of 1100 events are unknown"
	stop mischief
	mischief mute=300
	ends 124 "timed out (-W)" "${M[@]}" -n 100000 -W 1s --drain 1s
	stop mischief
}

@test "an interrupt ends it in order, with what was measured" {
	mischief
	start b "$MBUS" bench "${M[@]}" -d 60s --rate 500 --interval 100ms
	wait_for lines_in b.out 5
	stop b			# (of a job in the background SIGINT is ignored)
	is "$status" 143
	has "$(cat b.out)" "published " "0 lost"
	# Nothing is left running.
	wait_for none_of bench
}
none_of() { ! pgrep -f "mbus $1" > /dev/null; }

@test "a worker that dies ends the run, with what was measured; one that hangs is ended" {
	mischief
	start b "$MBUS" bench "${M[@]}" -x 2 -d 60s --rate 500 --interval 100ms --drain 1s
	wait_for lines_in b.out 5
	kill -KILL "$(pgrep -P "${PID[b]}" | tail -n 1)"
	finish b 20
	is "$status" 1
	has "$(cat b.err)" "publisher 2: it has died"
	has "$(cat b.out)" "published " "received "
	start b "$MBUS" bench "${M[@]}" -x 2 -d 60s --rate 500 --interval 100ms --drain 1s --stall 1s
	wait_for lines_in b.out 5
	kill -STOP $(pgrep -P "${PID[b]}")
	finish b 30
	is "$status" 1
	has "$(cat b.err)" "given up"
	wait_for none_of bench
}

@test "limits make it a test: --max-loss, --max-p99, --min-rate" {
	mischief drop=100
	bench "${M[@]}" -n 1000 --warmup 0 --drain 0.3s --max-loss 10
	bench "${M[@]}" -n 1000 --warmup 0 --drain 0.3s --max-loss 1%
	want=1 bench "${M[@]}" -n 1000 --warmup 0 --drain 0.3s --max-loss 9
	want=1 bench "${M[@]}" -n 1000 --warmup 0 --drain 0.3s --max-loss 0.9%
	stop mischief
	mischief
	bench "${M[@]}" -n 500 --max-p99 20s --min-rate 1
	want=1 bench "${M[@]}" -n 500 --max-p99 1ns
	has "$stderr" "over --max-p99 1ns"
	want=1 bench "${M[@]}" -n 500 --min-rate 100M
	has "$stderr" "under --min-rate 100M"
}

@test "what makes no sense is refused before anything is sent" {
	for words in "-n 5 -d 5" "nonsense" "pub sub" "-s 10" "-s 1.5" "--rate fast" "--rate auto -n 5" \
		"--warmup x" "--max-p99 soon" "--payload p -s 100" "sub" "sub --run x -n 5" "pub -g 2" \
		"rtt -y 2" "-g 5 -y 2" "--brokers null -B null" "--on localhost" "--run a/b" "--fail-slower 5" \
		"--fail-slower 5 --compare p" "--compare p" "merge p" "merge p p" "compare p" "compare p p" \
		"merge -n 5 p p" "compare --repeat 5 p p" "compare --compare p p p" "merge --compare p p p" \
		"pub --max-loss 5" "sub --run x -s 100" "--rate auto --repeat 2"; do
		touch p
		run --separate-stderr "$MBUS" bench -B null $words
		[ "$status" = 2 ] || fail "status $status: $words" "$stderr"
		is "$output" ""
		[[ $stderr == "mbus: bench: "* ]] || fail "$stderr"
	done
	mischief
	ends 5 "no groups" "${M[@]}" -g 1
	ends 5 "-k: channels of Redis have no keys" "${M[@]}" -k x
	ends 5 "--qos: the redis broker has no QoS" pub "${M[@]}" --qos 1
	ends 5 "" "${M[@]}" --qos 1
	ends 2 "publishers are -x N" -c 50
	ends 2 "--inflight N" -P 16
	ends 6 "no-such-file" -B null --payload no-such-file
	ends 6 "nowhere" -B null --out nowhere/file
}

# ---- several runs ----

@test "one table of several brokers; one that cannot be reached is a row that says so" {
	mischief
	want=3 bench --on redis://127.0.0.1:$P --on redis://127.0.0.1:1 -n 300 -s 100,1K --repeat 2
	is "$(grep -c '"type":"bench.result"' <<< "$output")" 8
	run --separate-stderr "$MBUS" bench --on redis://127.0.0.1:$P --on redis://127.0.0.1:1 -n 300 -s 100,1K --repeat 2
	status_is 3
	is "$(wc -l <<< "$output")" 6
	matches "$(sed -n 2p <<< "$output")" 'redis 127\.0\.0\.1:18901 100 B +[0-9.,]+( M)?/s +[0-9]+ % .* 0 +0'
	matches "$(sed -n 3p <<< "$output")" 'redis 127\.0\.0\.1:1 100 B +not measured: .*refused.*'
	has "$output" "medians of 2 runs each"
}

@test "-X NAME.OPTION is for that one of several brokers" {
	redis_start main
	mosquitto_start
	bench --on redis://127.0.0.1:$REDIS_PORT --on mqtt://127.0.0.1:$MQTT_PORT -n 100 -X redis.mode=stream -X mqtt.version=3.1.1
	is "$(of 's["distinct"]')" 110
	want=2 bench --on redis://127.0.0.1:$REDIS_PORT -n 100 -X mqtt.version=5
	want=2 bench --on redis://127.0.0.1:$REDIS_PORT --brokers http -n 100 -X mqtt.version=5
	has "$stderr" "-X mqtt.version: mqtt is none of the brokers that are measured"
	bench --on redis://127.0.0.1:$REDIS_PORT --brokers http -n 100 -X mdns.wait=full
	# Likewise a registry is for those that have one.
	bench --brokers http --on redis://127.0.0.1:$REDIS_PORT -n 100 --registry file
	want=5 bench --on redis://127.0.0.1:$REDIS_PORT --on mqtt://127.0.0.1:$MQTT_PORT -n 100 --registry file
	has "$stderr" "uses no registry"
}

# fabricate FILE RATE...: results of earlier runs with these rates.
fabricate() {
	python3 - "$@" <<- 'PY'
	import json, sys
	r = json.load(open("result"))
	with open(sys.argv[1], "w") as f:
	    for rate in sys.argv[2:]:
	        r["published"]["ns"] = int(r["published"]["measured"] * 1e9 / float(rate))
	        print('{"v":1,"type":"bench.interval"}', file=f)
	        print(json.dumps(r), file=f)
	PY
}

@test "--compare: faster, slower, no difference, cannot tell; --fail-slower" {
	bench pub -B null -n 20000 --repeat 1
	fabricate slow 1 2 3 4 5
	fabricate fast 1e9 1.1e9 1.2e9 1.3e9 1.4e9
	fabricate few 1e9
	run --separate-stderr "$MBUS" bench pub -B null -n 20000 --compare few
	status_is 0
	has "$output" "cannot tell: 1 and 1 runs" "--repeat 4 or more" "beside few (mbus "
	# Alone, a role is one run: the default role has rounds.
	bench -B null -n 5000 --drain 10ms --max-loss 100%
	fabricate slow 1 2 3 4 5
	fabricate fast 1e9 1.1e9 1.2e9 1.3e9 1.4e9
	run --separate-stderr "$MBUS" bench -B null -n 5000 --drain 10ms --max-loss 100% --repeat 5 --compare slow --fail-slower 999999999
	status_is 0
	matches "$(grep published <<< "$output" | tail -n 1)" '  published +3 -> [0-9]+ /s  \+[0-9.]+ %  faster \(p 0\.008\)'
	run --separate-stderr "$MBUS" bench -B null -n 5000 --drain 10ms --max-loss 100% --repeat 5 --compare fast --fail-slower 5
	status_is 1
	matches "$(grep published <<< "$output" | tail -n 1)" '  published .* -[0-9.]+ %  slower \(p 0\.008\)'
	has "$stderr" "slower than fast by more than --fail-slower 5"
	# Saved ones, without measuring anything.
	for i in 1 2 3 4 5; do cat result; done > same
	run --separate-stderr "$MBUS" bench compare fast same --fail-slower 5
	status_is 1
	has "$output" "slower (p 0.0" "beside fast (mbus "
	run --separate-stderr "$MBUS" bench compare same same --fail-slower 5
	status_is 0
	[[ $output != *slower* ]] || fail "$output"
	has "$output" "no difference (p 1.000)"
	run --separate-stderr "$MBUS" bench compare few same --fail-slower 5
	status_is 2
	has "$stderr" "too few runs"
	# Something else was measured then.
	run --separate-stderr "$MBUS" bench -B null -n 5000 -s 200 --drain 10ms --max-loss 100% --compare slow
	status_is 0
	has "$output" "nothing like it is there"
}

@test "what is saved is read as it was written" {
	redis_start main
	bench -B redis -b 127.0.0.1:$REDIS_PORT pub --run merge1 -n 500 -x 2 --out pub.json
	same_bytes <(grep bench.result pub.json) result
	# (nobody was there: the other half says so)
	run --separate-stderr "$MBUS" bench sub --run merge1 -B redis -b 127.0.0.1:$REDIS_PORT -W 0.2s --out sub.json
	status_is 124
	run --separate-stderr "$MBUS" bench merge pub.json sub.json
	status_is 1
	has "$stderr" "550 events were lost, of 550"
	# Cut, changed, and what is nothing of ours.
	head -c 500 result > cut.json
	echo '{"v":1,"type":"bench.result","published":{"events":-1}}' > changed.json
	echo '{"v":1,"type":"other"}' > other.json
	for f in cut changed other; do
		run --separate-stderr "$MBUS" bench merge pub.json $f.json
		status_is 2
		has "$stderr" "mbus: bench: $f.json"
	done
	run --separate-stderr "$MBUS" bench merge pub.json nowhere.json
	status_is 6
}

@test "merge: two halves by their run id make one result" {
	redis_start main
	start sub "$MBUS" bench sub -B redis -b 127.0.0.1:$REDIS_PORT --run both -y 2 --out sub.json
	bench pub -B redis -b 127.0.0.1:$REDIS_PORT --run both -y 2 -n 1000 --out pub.json
	finish sub
	"$MBUS" bench merge -J sub.json pub.json --out merged.json --plot merged.svg > result
	same_bytes result merged.json
	is "$(of 'r["role"]' 'p["confirmed"]' 's["distinct"]' 's["lost"]' 'l["end_to_end"]["n"]' 'l["ack"]["n"]' 'r["subs"]' 'r["pubs"]')" \
		"both 1100 2200 0 2000 1000 2 1"
	run --separate-stderr "$MBUS" bench merge pub.json sub.json
	status_is 0
	has "$output" "published  1,000 in" "received   2,000 in" "between two clocks" "over the fastest event"
	bench pub -B redis -b 127.0.0.1:$REDIS_PORT --run other -n 10 --out other.json
	run --separate-stderr "$MBUS" bench merge other.json sub.json
	status_is 2
	has "$stderr" "the halves of two runs, other and both"
}

@test "two machines: each measures its half, and merge makes one result of them" {
	start far unshare -n sleep 60
	far() { nsenter -t "${PID[far]}" -n "$@"; }
	wait_for sh -c "[ \"\$(readlink /proc/${PID[far]}/ns/net)\" != \"\$(readlink /proc/$$/ns/net)\" ]"
	ip link add to-far type veth peer name to-here netns "${PID[far]}"
	ip addr add 10.78.0.1/24 dev to-far
	ip link set to-far up
	far ip addr add 10.78.0.2/24 dev to-here
	far ip link set to-here up
	redis_start main --bind 127.0.0.1 10.78.0.1 --protected-mode no
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=10.78.0.1:$REDIS_PORT
	start sub far "$MBUS" bench sub --run apart -y 2 -W 30s --out sub.json
	# Live before the first event, whichever of them was started first.
	bench pub --run apart -y 2 -n 1000 -x 2 --out pub.json
	finish sub
	is "$status" 0
	"$MBUS" bench merge -J pub.json sub.json > result
	is "$(of 'r["role"]' 'p["confirmed"]' 's["distinct"]' 's["lost"]' 's["duplicated"]' 'r["subs"]' 'r["pubs"]')" \
		"both 1100 2200 0 0 2 2"
}

@test "--rate auto: the curve, and the highest rate that holds" {
	redis_start main
	want=0 bench -B redis -b 127.0.0.1:$REDIS_PORT --rate auto -d 0.3s --warmup 0.05s --max-p99 5s
	grep -q '"type":"bench.auto"' <<< "$output"
	grep '"type":"bench.auto"' <<< "$output" | python3 -c 'import json, sys
r = json.load(sys.stdin)
assert 0 < r["holds"] <= r["top"] * 1.6, r'
	# Nothing holds a p99 of a nanosecond.
	run --separate-stderr "$MBUS" bench -B redis -b 127.0.0.1:$REDIS_PORT --rate auto -d 0.1s --warmup 0 --max-p99 1ns
	status_is 1
	has "$output" "p99 over 1ns" "highest rate that holds: none"
	has "$stderr" "no rate holds"
}

# ---- files ----

@test "--csv, --hdr and --plot have the numbers of the result" {
	redis_start main
	bench -B redis -b 127.0.0.1:$REDIS_PORT -d 1s --rate 3000 --interval 200ms --csv c.csv --hdr h.hdr --plot p.svg
	python3 - <<- 'PY'
	import csv, json, math, re
	import xml.etree.ElementTree as ET
	r = json.loads(open("result").read())
	e = r["latency"]["end_to_end"]
	row = list(csv.DictReader(open("c.csv")))
	assert len(row) == 1, row
	row = row[0]
	assert int(row["end_to_end_p99_ns"]) == e["p99"] and int(row["published"]) == r["published"]["confirmed"]
	assert row["broker"] == "redis" and row["status"] == "0"
	# HdrHistogram's file: the same curve, in milliseconds.
	lines = open("h.hdr").read().split("\n")
	assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"] and lines[1] == ""
	data = [l.split() for l in lines[2:] if l and l[0] != "#"]
	assert len(data) == len(r["curve"])
	for d, c in zip(data, r["curve"]):
	    assert abs(float(d[0]) * 1e6 - c["ns"]) < 1 and int(d[2]) == c["n"] and abs(float(d[1]) - c["part"]) < 1e-9
	assert int(data[-1][2]) == e["n"] and "Total count    = %12d]" % e["n"] in lines[-3]
	# Each count is that of the exact rank: monotone, and never under its part.
	for c in r["curve"]:
	    assert c["n"] >= c["part"] * e["n"] - 1e-6
	# The picture: each point of the path is where the curve of the result is.
	ns = {"s": "http://www.w3.org/2000/svg"}
	svg = ET.parse("p.svg").getroot()
	g = svg.find("s:g[@class='latency']", ns)
	x0, top, x1, bottom = map(float, g.get("data-box").split())
	xmax, ymin, ymax = (float(g.get(k)) for k in ("data-x-max", "data-y-min", "data-y-max"))
	path = g.find("s:path", ns)
	assert int(path.get("data-p99-ns")) == e["p99"] and int(path.get("data-max-ns")) == e["max"]
	points = [tuple(map(float, p.split())) for p in re.split("[ML]", path.get("d"))[1:]]
	curve = [c for c in r["curve"] if c["part"] < 1]
	assert len(points) == len(curve) > 20
	for (x, y), c in zip(points, curve):
	    wx = x0 + -math.log10(1 - c["part"]) / xmax * (x1 - x0)
	    wy = bottom + (math.log10(c["ns"]) - ymin) / (ymax - ymin) * (top - bottom)
	    assert abs(x - min(wx, x1)) < 0.11 and abs(y - wy) < 0.11, (x, wx, y, wy, c)
	g = svg.find("s:g[@class='rate']", ns)
	x0, top, x1, bottom = map(float, g.get("data-box").split())
	ymax = float(g.get("data-y-max"))
	points = [tuple(map(float, p.split())) for p in re.split("[ML]", g.find("s:path", ns).get("d"))[1:]]
	assert len(points) == 2 * len(r["intervals"]) > 8
	for (x, y), i in zip(points[1::2], r["intervals"]):
	    rate = i["received"] / i["ns"] * 1e9
	    assert abs(y - (bottom + rate / ymax * (top - bottom))) < 0.11
	text = "".join(svg.itertext())
	for word in ("99.9 %", "mbus 0.", "seconds", "percentile", "redis", "ms", "Linux"):
	    assert word in text, word
	PY
	# Several: a curve each, with a name; and one whose broker was not there has none.
	want=3 bench --on redis://127.0.0.1:$REDIS_PORT --on redis://127.0.0.1:1 -n 500 -s 100,1K --plot many.svg --hdr many.hdr
	is "$(grep -o 'data-label="[^"]*"' many.svg | sort -u | wc -l)" 2
	[ -s many.hdr.4 ]
	python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("many.svg")'
	# What cannot be written is said, with status 6.
	want=6 bench pub -B null -n 10 --plot nowhere/p.svg
}

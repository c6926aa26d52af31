# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The rows of run.sh that `mbus bench` measures: what it costs itself, that it is not
# the limit of what it measures, and the same question asked of every broker. Rows with
# a G have go-micro's own brokers and plugins (Go) as peers.

all_rows+=(B1 B2 B3 B4 B5 G1 G2 G3)

# bench_json OPTION...: runs mbus bench; `figure EXPRESSION` gives a number of its result.
bench_json() {
	"$mbus" bench -J "$@" > "$tmp/bench.json" 2> "$tmp/err" < /dev/null ||
		cannot "mbus bench: exit status $?: $(tail -n 1 "$tmp/err" | cut -c1-120)" || return
	grep '"type":"bench.result"' "$tmp/bench.json" | tail -n 1 > "$tmp/result.json"
}
# figure NAME: the first number of that name behind the object of that name:
# "figures publish_cpu_ns".
figure() { sed -E "s/.*\"$1\":\{[^}]*\"$2\":([0-9.e+-]+).*/\1/" "$tmp/result.json"; }

# ---- what it costs itself ----

# The peer of an absolute gate is the gate.
hundred_ns() { value=1e-7; }
bench_null() {
	bench_json pub -B null -n 5000000 -s 100 && value=$(calc "$(figure figures publish_cpu_ns) / 1e9")
}
row_B1() {
	compare hundred_ns bench_null || return
	report B1 'mbus bench -B null: CPU an event, 100 B' 'the limit that it has' s '<= 1.0' '<= 0.5'
}

# ---- is it the limit? beside tight loops with the same events ----

bench_redis_cpu() {
	bench_json pub -B redis -b 127.0.0.1:$redis_port --wire raw -s 100 -n $((1000000 / divisor)) -t $redis_topic &&
		value=$(calc "$(figure figures publish_cpu_ns) / 1e9")
}
row_B2() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare hiredis_cpu bench_redis_cpu || return
	report B2 'mbus bench, redis: publisher CPU an event' 'tight hiredis loop, which stamps nothing' s '<= 1.15' '<= 0.5'
}
bench_redis_e2e() {
	bench_json -B redis -b 127.0.0.1:$redis_port --wire raw -s 100 -n $((1000000 / divisor)) &&
		value=$(figure figures receive_rate)
}
row_B3() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare cli_sub_rate bench_redis_e2e || return
	report B3 'mbus bench, redis: events/s end to end' 'redis-cli SUBSCRIBE under a hiredis loop' /s '>= 1.0' '>= 1.4'
}
bench_mqtt_e2e() {
	bench_json -B mqtt -b 127.0.0.1:$mqtt_port --wire raw --qos 1 -s 100 -n $((200000 / divisor)) &&
		value=$(figure figures receive_rate)
}
row_B4() {
	local qos=1

	mqtt_runs || return
	lines_of 200000 "$text100"
	compare peer_to_peer bench_mqtt_e2e || return
	report B4 'mbus bench, mqtt: QoS 1 end to end, events/s' 'mosquitto_pub -q 1 -l to mosquitto_sub' /s '>= 1.0' '>= 1.1'
}

# Round trips of one event after the other, everything on one CPU.
bench_rtt() {
	taskset -c "$cpu" "$mbus" bench rtt -J "$@" -n $((20000 / divisor)) > "$tmp/bench.json" 2> "$tmp/err" ||
		cannot "mbus bench rtt: $(tail -n 1 "$tmp/err" | cut -c1-120)" || return
	grep '"type":"bench.result"' "$tmp/bench.json" > "$tmp/result.json"
	value=$(calc "$(sed -E 's/.*"end_to_end":\{[^}]*"p50":([0-9]+).*/\1/' "$tmp/result.json") / 1e9")
}
rtt_redis() { bench_rtt -B redis -b 127.0.0.1:$redis_port --wire raw -s 100; }
rtt_http() { bench_rtt -B http --registry file --registry-address "$tmp/registry"; }
row_B5() {
	pin=1
	redis_runs || return
	compare rtt_redis rtt_http || return
	report B5 'mbus bench rtt: http, p50, 1 CPU' 'the same over redis' s '<= 1.5' '<= 1.0'
}

# ---- go-micro's plugins ----

# plugin_rate BROKER ADDRESS COMMAND...: events/s of a burst that arrive at mbus sub.
plugin_rate() {
	export MICRO_BROKER=$1 MICRO_BROKER_ADDRESS=$2
	server plug lines "$mbus" sub --ready-fd 8 --body "$topic" && timed "${@:3}" && counted plug
	export -n MICRO_BROKER MICRO_BROKER_ADDRESS
	unset MICRO_BROKER MICRO_BROKER_ADDRESS
	[ "${lines:-0}" -gt 0 ] || cannot "of $count events none arrived" || return
	arrived+=("$lines")
	value=$(calc "$lines / ($last - $start)")
}
plugin_row() {		# plugin_row ID BROKER ADDRESS LINE N WHAT
	local arrived=() i id=$1 broker=$2 address=$3 line=$4

	have "$mbus" "$go/$line" || cannot "$line is not there: make go-programs" || return
	lines_of "$5"
	plugin_go() {
		plugin_rate "$broker" "$address" "$go/$line" pub -burst -n "$count" -topic "$topic" -body "$text" -linger 1s < /dev/null
	}
	plugin_mbus() { plugin_rate "$broker" "$address" "$mbus" pub -l "$topic" < "$file"; }
	compare plugin_go plugin_mbus || return
	spread "$(for ((i = 0; i < ${#arrived[@]}; i += 2)); do echo "${arrived[i]}"; done)"
	note="of $count arrived: $least ... $most"
	report "$id" "$6, burst of $count to mbus sub, /s" "go-micro's plugin ($line), same subscriber" /s '>= 1.0' '>= 5'
}
row_G1() {
	redis_runs || return
	plugin_row G1 redis 127.0.0.1:$redis_port gm-v4 20000 'redis'
}
row_G2() {
	mqtt_runs || return
	plugin_row G2 mqtt 127.0.0.1:$mqtt_port gm-v1 20000 'mqtt'
}
row_G3() {
	kafka_runs || return
	topic=bench.g3
	kafka_admin create $topic 1 || cannot 'no topic' || return
	plugin_row G3 kafka $kafka_at gm-v4 20000 'kafka'
}

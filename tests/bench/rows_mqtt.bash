# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The MQTT rows of run.sh, on Mosquitto. Bodies without an envelope (--wire raw) and
# the same QoS on both sides; M1d is M1 with mbus's envelope and its QoS 1, and has no
# gate. The server is told to keep whatever a subscriber is behind with: its defaults
# drop events of QoS 0 in silence, which no client can see.
#
# mosquitto_pub -l (2.0.11) leaves at the end of its input with what it has not sent
# yet: of 200,000 events of QoS 1 some 3,400 arrive. So its input is held open until
# all have arrived at a subscriber that counts, which both publishers have (M5, M6: of
# QoS 0), or until it has come to rest (M1).

all_rows+=(M1 M1d M2 M3 M4 M5 M6 M7 M8 M9 T3 T3b)

mqtt_port=7102
mqtt_topic=bench/m
printf -v text100 '%100s' ''
text100=${text100// /x}

mqtt_runs() {
	have mosquitto mosquitto_pub mosquitto_sub "$mbus" || return
	cat > "$tmp/mosquitto.conf" <<- CONF
		user root
		listener $mqtt_port 127.0.0.1
		allow_anonymous true
		max_queued_messages 0
		max_queued_bytes 0
		max_inflight_bytes 0
		set_tcp_nodelay true
		log_type subscribe
		log_dest file $tmp/mosquitto.log
	CONF
	beside mosquitto timeout 2 mosquitto_pub -p $mqtt_port -t up -n -- mosquitto -c "$tmp/mosquitto.conf"
}
pub_mqtt() {
	timed "$mbus" pub -B mqtt -b 127.0.0.1:$mqtt_port --wire raw -l "$@" $mqtt_topic < "$file"
}
pub_mosquitto() { hold mosquitto_pub -p $mqtt_port -t $mqtt_topic -l "$@"; }

# ---- publishing ----

mosquitto_cpu0() {
	pub_mosquitto -q 0
	settled_child pub
	let_go && value=$(calc "$cputime / $count")
}
mqtt_cpu0() { pub_mqtt --qos 0 && value=$(calc "$cputime / $count"); }
mqtt_cpu_default() { pub_mqtt --wire micro && value=$(calc "$cputime / $count"); }
row_M1() {
	mqtt_runs || return
	lines_of 1000000 "$text100"
	compare mosquitto_cpu0 mqtt_cpu0 || return
	report M1 'mqtt: QoS 0, publisher CPU an event' 'mosquitto_pub -q 0 -l' s '<= 1.0' '<= 0.1'
}
row_M1d() {
	mqtt_runs || return
	lines_of 300000 "$text100"
	compare mosquitto_cpu0 mqtt_cpu_default || return
	report M1d "the same with go-micro's envelope, QoS 1" 'as M1: no envelope, QoS 0' s '>= 0' '>= 0'
}
mosquitto_rate() { sub_qos=0 peer_to_peer; }
mqtt_rate() { sub_qos=0 mbus_to_peer; }
row_M5() {
	local qos=1

	mqtt_runs || return
	lines_of 200000 "$text100"
	compare mosquitto_rate mqtt_rate || return
	report M5 'mqtt: QoS 1, events/s' 'mosquitto_pub -q 1 -l' /s '>= 1.0' '>= 1.1'
}
row_M6() {
	local qos=2

	mqtt_runs || return
	lines_of 100000 "$text100"
	compare mosquitto_rate mqtt_rate || return
	report M6 'mqtt: QoS 2, events/s' 'mosquitto_pub -q 2 -l' /s '>= 1.0' '>= 1.2'
}

# ---- end to end ----

mqtt_subscribed() { grep -q " $mqtt_topic\$" "$tmp/mosquitto.log"; }
# e2e_mqtt PUBLISHER SUBSCRIBER...: until the subscriber, which counts, has ended; sets
# wall (from the publisher's start) and sub_cpu.
e2e_mqtt() {
	local publisher=$1 begun status user sys

	shift
	: > "$tmp/mosquitto.log"
	counting sub "$@" || return
	until_ok mqtt_subscribed || cannot "${1##*/} did not subscribe" || return
	"$publisher" || return
	ended sub || return
	[ -z "${pid[pub]-}" ] || let_go || return
	begun=$start
	wall=$(calc "$sub_end - $begun")
}
qos_mosquitto() { pub_mosquitto -q "$qos"; }
qos_mqtt() { pub_mqtt --qos "$qos"; }
mosquitto_subs() { e2e_mqtt "$1" mosquitto_sub -p $mqtt_port -t $mqtt_topic -q "${sub_qos-$qos}" -C "$count"; }
mbus_subs() {
	e2e_mqtt "$1" "$mbus" sub -B mqtt -b 127.0.0.1:$mqtt_port --wire raw --qos "$qos" --body -c "$count" $mqtt_topic
}
peer_to_peer() { mosquitto_subs qos_mosquitto && value=$(calc "$count / $wall"); }
mbus_to_peer() { mosquitto_subs qos_mqtt && value=$(calc "$count / $wall"); }
mbus_to_mbus() { mbus_subs qos_mqtt && value=$(calc "$count / $wall"); }
peer_sub_cpu() { mosquitto_subs qos_mqtt && value=$(calc "$sub_cpu / $count"); }
mbus_sub_cpu() { mbus_subs qos_mqtt && value=$(calc "$sub_cpu / $count"); }

e2e_row() {		# e2e_row ID EVENTS BYTES WHAT MUST AIM
	local qos=0 body

	mqtt_runs || return
	printf -v body '%*s' "$3" ''
	lines_of "$2" "${body// /x}"
	compare peer_to_peer mbus_to_peer || return
	report "$1" "mqtt: QoS 0 to mosquitto_sub, $4, events/s" 'mosquitto_pub -q 0 -l' /s "$5" "$6"
	[ "$3" -lt 1000 ] || rm "$file"
}
row_M2() { e2e_row M2 500000 100 '100 B' '>= 0.95' '>= 1.0'; }
row_M3() { e2e_row M3 200000 1024 '1 KiB' '>= 0.95' '>= 1.0'; }
row_M4() { e2e_row M4 10000 65536 '64 KiB' '>= 0.9' '>= 1.5'; }
row_M7() {
	local qos=0

	mqtt_runs || return
	lines_of 500000 "$text100"
	compare peer_sub_cpu mbus_sub_cpu || return
	report M7 'mqtt: QoS 0, subscriber CPU an event' 'mosquitto_sub -C N, same publisher' s '<= 1.0' '<= 0.3'
}
row_M8() {
	local qos=1

	mqtt_runs || return
	lines_of 200000 "$text100"
	compare peer_to_peer mbus_to_mbus || return
	report M8 'mqtt: QoS 1 end to end, events/s' 'mosquitto_pub -q 1 -l to mosquitto_sub -q 1' /s '>= 1.0' '>= 1.1'
}

mqtt_tight() {
	latency 1000 "$tool/mqtt_pub" $mqtt_port $mqtt_topic 0 -- "$tool/mqtt_sub" $mqtt_port $mqtt_topic 0
}
mqtt_mbus() {
	latency 1000 "$mbus" pub -B mqtt -b 127.0.0.1:$mqtt_port --wire raw --qos 0 -l $mqtt_topic -- \
		"$mbus" sub -B mqtt -b 127.0.0.1:$mqtt_port --wire raw --qos 0 --body --ready-fd 8 $mqtt_topic
}
row_M9() {
	mqtt_runs || return
	compare_latency mqtt_tight mqtt_mbus || return
	report_latency M9 'mqtt: latency at 1000/s' 'tight libmosquitto loops, TCP_NODELAY' p99.9 '<= 2' '<= 1.2'
}

# ---- start-up ----

shot_mqtt() { median_wall 40 "$mbus" pub -B mqtt -b 127.0.0.1:$mqtt_port --qos "$qos" $mqtt_topic hello; }
shot_mosquitto() { median_wall 40 mosquitto_pub -p $mqtt_port -q "$qos" -t $mqtt_topic -m hello; }
shot_row() {		# shot_row ID QOS
	local qos=$2

	mqtt_runs || return
	compare shot_mosquitto shot_mqtt || return
	report "$1" "one event, mqtt, QoS $2, time" "mosquitto_pub -q $2 -m hello" s '<= 1.1' '<= 0.6'
}
row_T3() { shot_row T3 0; }
row_T3b() { shot_row T3b 1; }

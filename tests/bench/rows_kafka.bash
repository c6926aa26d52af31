# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The Kafka rows of run.sh, on the real broker of the tests. Bodies of 100 bytes without
# an envelope (--wire raw), acks=all and no idempotence, as the peers do it; the rows
# with a d are with mbus's defaults, go-micro's envelope and idempotence, and have no
# gate. A new topic of one partition for each run, deleted after it.

all_rows+=(K1 K1d K2 K2k K3 K4 K4d K5 K6 K7 K8)

kafka_port=7201
kafka_at=127.0.0.1:$kafka_port
kafka_like=(--wire raw --ack all -X enable.idempotence=false)
ROOT=$PWD
KAFKA_HEAP=512m
. tests/servers/kafka.bash

kafka_admin() { tests/tools/kafka_admin $kafka_at "$@"; }
kafka_runs() {
	have java kcat "$mbus" || return
	[ -e "$build/modules/kafka.so" ] || cannot 'this build has no kafka broker' || return
	rm -rf "$tmp/kafka.d"
	kafka_topic=
	kafka_files "$tmp/kafka.d" "$KAFKA_NEW" plain:$kafka_port || cannot 'Kafka is not there: make kafka-server' || return
	beside kafka kafka_serves $kafka_port -- "${kafka_command[@]}"
}
# fresh_topic: a new one; the last one goes, out of the figures.
fresh_topic() {
	[ -z "$kafka_topic" ] || kafka_admin delete "$kafka_topic"
	kafka_topic=bench.k.$RANDOM$RANDOM
	kafka_admin create "$kafka_topic" 1 file.delete.delay.ms=100 || cannot 'no topic'
}
# full_topic N [BODY]: one that holds so many.
full_topic() {
	lines_of "$@"
	fresh_topic || return
	"$tool/kafka_pub" $kafka_port "$kafka_topic" < "$file" || cannot 'the topic could not be filled'
}

# ---- publishing ----

kcat_pub() { fresh_topic && timed kcat -q -P -b $kafka_at -t "$kafka_topic" -l "$file"; }
pub_kafka() { fresh_topic && timed "$mbus" pub -B kafka -b $kafka_at -l "$@" "$kafka_topic" < "$file"; }
tight_pub() { fresh_topic && timed "$tool/kafka_pub" $kafka_port "$kafka_topic" acks=-1 < "$file"; }

kcat_pub_rate() { kcat_pub && value=$(calc "$count / $wall"); }
kafka_rate() { pub_kafka "${kafka_like[@]}" && value=$(calc "$count / $wall"); }
kafka_rate_default() { pub_kafka && value=$(calc "$count / $wall"); }
kcat_pub_cpu() { kcat_pub && value=$(calc "$cputime / $count"); }
kafka_cpu() { pub_kafka "${kafka_like[@]}" && value=$(calc "$cputime / $count"); }
tight_pub_cpu() { tight_pub && value=$(calc "$cputime / $count"); }
row_K1() {
	kafka_runs || return
	lines_of 1000000 "$text100"
	compare kcat_pub_rate kafka_rate || return
	report K1 'kafka: mbus pub -l, events/s' 'kcat -q -P -l FILE' /s '>= 1.0' '>= 1.25'
}
row_K1d() {
	kafka_runs || return
	lines_of 1000000 "$text100"
	compare kcat_pub_rate kafka_rate_default || return
	report K1d "the same, go-micro's envelope, idempotent" 'as K1, which is neither' /s '>= 0' '>= 0'
}
row_K2() {
	kafka_runs || return
	lines_of 1000000 "$text100"
	compare kcat_pub_cpu kafka_cpu || return
	report K2 'kafka: publisher CPU an event, 100 B' 'kcat -q -P -l FILE' s '<= 1.0' '<= 0.75'
}
row_K2k() {
	kafka_runs || return
	printf -v text1k '%1024s' ''
	lines_of 300000 "${text1k// /x}"
	compare kcat_pub_cpu kafka_cpu || return
	report K2k 'kafka: publisher CPU an event, 1 KiB' 'kcat -q -P -l FILE' s '<= 1.0' '<= 0.7'
	rm "$file"
}
row_K3() {
	kafka_runs || return
	lines_of 1000000 "$text100"
	compare tight_pub_cpu kafka_cpu || return
	report K3 'kafka: publisher CPU an event' 'tight produceva loop, delivery reports' s '<= 1.15' '<= 0.9'
}

# ---- subscribing ----

kcat_sub() { timed kcat -q -C -b $kafka_at -t "$kafka_topic" -o beginning -e && arrived; }
sub_kafka() { timed "$mbus" sub -B kafka -b $kafka_at --body -o beginning -e "$@" "$kafka_topic" && arrived; }
arrived() {
	local n

	n=$(wc -l < "$tmp/out")
	[ "$n" = "$count" ] || cannot "of $count events $n arrived"
}
kcat_sub_cpu() { kcat_sub && value=$(calc "$cputime / $count"); }
kafka_sub_cpu() { sub_kafka --wire raw && value=$(calc "$cputime / $count"); }
kafka_sub_cpu_default() { sub_kafka && value=$(calc "$cputime / $count"); }
kcat_sub_wall() { kcat_sub && value=$wall; }
kafka_sub_wall() { sub_kafka --wire raw && value=$wall; }
row_K4() {
	kafka_runs || return
	full_topic 1000000 "$text100" || return
	compare kcat_sub_cpu kafka_sub_cpu || return
	report K4 'kafka: mbus sub -o beginning -e, CPU an event' 'kcat -q -C -o beginning -e' s '<= 0.6' '<= 0.4'
}
row_K4d() {
	kafka_runs || return
	lines_of 1000000 "$text100"
	pub_kafka || return
	compare kcat_sub_cpu kafka_sub_cpu_default || return
	report K4d "the same, events in go-micro's envelope" 'kcat, which shows the envelope' s '<= 9' '<= 9'
}
row_K7() {
	kafka_runs || return
	full_topic 1000000 "$text100" || return
	compare kcat_sub_wall kafka_sub_wall || return
	report K7 'kafka: mbus sub -o beginning -e, time' 'kcat -q -C -o beginning -e' s '<= 0.9' '<= 0.5'
}

# ---- one event ----

shot_kafka() { median_wall 40 "$mbus" pub -B kafka -b $kafka_at "${kafka_like[@]}" "$kafka_topic" hello; }
shot_kcat() { median_wall 40 kcat -q -P -b $kafka_at -X linger.ms=0 -t "$kafka_topic" "$tmp/hello"; }
row_K5() {
	kafka_runs || return
	fresh_topic || return
	echo hello > "$tmp/hello"
	compare shot_kcat shot_kafka || return
	report K5 'one event, kafka, time' 'kcat -q -P -X linger.ms=0 FILE' s '<= 1.0' '<= 0.8'
}

kafka_tight() {
	latency 200 "$tool/kafka_pub" $kafka_port "$kafka_topic" linger.ms=0 -- \
		"$tool/kafka_sub" $kafka_port "$kafka_topic"
}
kafka_mbus() {
	latency 200 "$mbus" pub -B kafka -b $kafka_at "${kafka_like[@]}" -l "$kafka_topic" -- \
		"$mbus" sub -B kafka -b $kafka_at --wire raw --body --ready-fd 8 "$kafka_topic"
}
row_K6() {
	local divisor=$((divisor * 5))

	kafka_runs || return
	fresh_topic || return
	compare_latency kafka_tight kafka_mbus || return
	report_latency K6 'kafka: latency at 200/s' 'tight loops, linger.ms=0' p50 '<= 1.2' '<= 1.0'
}

# ---- ten million ----

kcat_memory() { kcat_sub && peer_wall=$wall value=$(calc "$rss / 1024"); }
kafka_memory() { sub_kafka --wire raw && our_wall=$wall value=$(calc "$rss / 1024"); }
row_K8() {
	local rounds=1

	kafka_runs || return
	full_topic 10000000 "$text100" || return
	compare kcat_memory kafka_memory || return
	note="all $count arrived; time $(human "$our_wall" s), kcat $(human "$peer_wall" s)"
	report K8 'kafka: ten million events, peak memory' 'kcat -q -C -o beginning -e' ' MB' '<= 1.5' '<= 1.0'
	rm -f "$file" "$tmp/out"
}

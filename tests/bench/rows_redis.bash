# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The Redis rows of run.sh. Bodies of 100 bytes without an envelope (--wire raw), as
# the peers send them; R1d is R1 with mbus's defaults, go-micro's envelope, and has no
# gate. The server keeps whatever a subscriber is behind with and saves nothing.

all_rows+=(R1 R1d R2 R3 R4 R5 R6 R7 R8 R9 T2)

redis_port=7101
redis_topic=bench.r
printf -v text100 '%100s' ''
text100=${text100// /x}

redis_runs() {
	have redis-server redis-cli "$mbus" || return
	beside redis redis-cli -p $redis_port ping -- redis-server --port $redis_port \
		--bind 127.0.0.1 --save '' --appendonly no --dir "$tmp" \
		--client-output-buffer-limit 'pubsub 0 0 0'
}
pub_redis() {
	timed "$mbus" pub -B redis -b 127.0.0.1:$redis_port --wire raw -l "$@" $redis_topic < "$file"
}
sub_redis=("$mbus" sub -B redis -b "127.0.0.1:$redis_port" --wire raw --body "$redis_topic")

# ---- publishing ----

benchmark_rate() {
	timed redis-benchmark -q -p $redis_port -c 1 -n "$count" -P 100 PUBLISH $redis_topic "$1" &&
		value=$(calc "$count / $wall")
}
benchmark100() { benchmark_rate "$text100"; }
redis_rate() { pub_redis && value=$(calc "$count / $wall"); }
redis_rate_micro() { pub_redis --wire micro && value=$(calc "$count / $wall"); }
row_R1() {
	have redis-benchmark || return
	redis_runs || return
	lines_of 1000000 "$text100"
	compare benchmark100 redis_rate || return
	report R1 'redis: mbus pub -l, no subscriber, events/s' 'redis-benchmark -c 1 -P 100 PUBLISH' /s '>= 1.0' '>= 1.4'
}
row_R1d() {
	have redis-benchmark || return
	redis_runs || return
	lines_of 1000000 "$text100"
	compare benchmark100 redis_rate_micro || return
	report R1d "the same with go-micro's envelope" 'as R1, which has none' /s '>= 0' '>= 0'
}

cli_pipe() { timed redis-cli -p $redis_port --pipe < "$tmp/resp" && value=$(calc "$count / $wall"); }
row_R2() {
	redis_runs || return
	lines_of 1000000 "$text100"
	awk -v t=$redis_topic '{ printf "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", length(t), t, length($0), $0 }' \
		"$file" > "$tmp/resp"
	compare cli_pipe redis_rate || return
	report R2 'redis: mbus pub -l, no subscriber, events/s' 'redis-cli --pipe, ready-made RESP' /s '>= 0.6' '>= 1.0'
	rm "$tmp/resp"
}

hiredis_cpu() { timed "$tool/redis_pub" $redis_port $redis_topic < "$file" && value=$(calc "$cputime / $count"); }
redis_cpu() { pub_redis && value=$(calc "$cputime / $count"); }
row_R3() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare hiredis_cpu redis_cpu || return
	report R3 'redis: publisher CPU an event' 'tight hiredis loop, 1000 in flight' s '<= 1.15' '<= 0.5'
}

benchmark64k() { benchmark_rate "$text64k"; }
row_R4() {
	have redis-benchmark || return
	redis_runs || return
	printf -v text64k '%65536s' ''
	text64k=${text64k// /x}
	lines_of 20000 "$text64k"
	compare benchmark64k redis_rate || return
	report R4 'redis: 64 KiB bodies, events/s' 'redis-benchmark -c 1 -P 100' /s '>= 1.5' '>= 2.4'
	rm "$file"
}

cli_one() {
	timed redis-cli -p $redis_port -r "$count" PUBLISH $redis_topic "$text100" &&
		value=$(calc "$count / $wall")
}
redis_one() { pub_redis --inflight 1 && value=$(calc "$count / $wall"); }
row_R5() {
	pin=1
	redis_runs || return
	lines_of 30000 "$text100"
	compare cli_one redis_one || return
	report R5 'redis: one at a time, events/s, 1 CPU' "redis-cli -r $count PUBLISH" /s '>= 0.95' '>= 1.05'
}

# ---- subscribing ----

redis_listens() { [ "$(redis-cli -p $redis_port PUBSUB NUMSUB $redis_topic | tail -n 1)" = 1 ]; }
# e2e_redis COMMAND...: a subscriber of COUNT events under a fast publisher; sets wall
# (publisher's start to the last event) and cputime (the subscriber's).
e2e_redis() {
	local per=1

	[ "$1" != redis-cli ] || per=3		# lines an event
	sink sub "$@" || return
	until_ok redis_listens || cannot "$1 did not subscribe" || return
	"$tool/redis_pub" $redis_port $redis_topic < "$file" || cannot 'the publisher failed' || return
	settled sub
	cputime=$(calc "$(ticks sub) / $(getconf CLK_TCK)")
	counted sub || return
	# redis-cli says besides that it has subscribed
	[ "$((lines / per))" -ge "$count" ] || cannot "${1##*/}: of $count events $((lines / per)) arrived" || return
	wall=$(calc "$last - $first")
}
cli_sub_rate() { e2e_redis redis-cli -p $redis_port SUBSCRIBE $redis_topic && value=$(calc "$count / $wall"); }
redis_sub_rate() { e2e_redis "${sub_redis[@]}" && value=$(calc "$count / $wall"); }
cli_sub_cpu() { e2e_redis redis-cli -p $redis_port SUBSCRIBE $redis_topic && value=$(calc "$cputime / $count"); }
redis_sub_cpu() { e2e_redis "${sub_redis[@]}" && value=$(calc "$cputime / $count"); }
hiredis_sub_cpu() { e2e_redis "$tool/redis_sub" $redis_port $redis_topic 8> /dev/null && value=$(calc "$cputime / $count"); }
row_R6() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare cli_sub_rate redis_sub_rate || return
	report R6 'redis: mbus sub --body, events/s' 'redis-cli SUBSCRIBE into a pipe' /s '>= 1.2' '>= 1.4'
}
row_R7() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare cli_sub_cpu redis_sub_cpu || return
	report R7 'redis: subscriber CPU an event' 'redis-cli SUBSCRIBE into a pipe' s '<= 0.30' '<= 0.15'
}
row_R8() {
	redis_runs || return
	lines_of 1000000 "$text100"
	compare hiredis_sub_cpu redis_sub_cpu || return
	report R8 'redis: subscriber CPU an event' 'tight hiredis reader that prints' s '<= 1.1' '<= 0.6'
}

redis_tight() {
	latency 2000 "$tool/redis_pub" $redis_port $redis_topic -- "$tool/redis_sub" $redis_port $redis_topic
}
redis_mbus() {
	latency 2000 "$mbus" pub -B redis -b 127.0.0.1:$redis_port --wire raw -l $redis_topic -- \
		"${sub_redis[@]}" --ready-fd 8
}
row_R9() {
	redis_runs || return
	compare_latency redis_tight redis_mbus || return
	report_latency R9 'redis: latency at 2000/s' 'tight hiredis loops' p50 '<= 1.1' '<= 1.0' p99 '<= 1.3' '<= 1.0'
}

# ---- start-up ----

shot_redis() { median_wall 40 "$mbus" pub -B redis -b 127.0.0.1:$redis_port $redis_topic hello; }
shot_cli() { median_wall 40 redis-cli -p $redis_port PUBLISH $redis_topic hello; }
row_T2() {
	redis_runs || return
	compare shot_cli shot_redis || return
	report T2 'one event, redis, time' 'redis-cli PUBLISH' s '<= 0.5' '<= 0.3'
}

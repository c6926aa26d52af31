# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The rows of run.sh, which explains the words used here. Each event has a body of
# 153 bytes, which makes 250 bytes of go-micro's envelope: the same for every peer.
#
# One at a time (H1, H2) means a request that waits for its answer. Client and
# server are pinned to one CPU together, because waking a sleeper on another CPU
# would be most of what is measured. Both clients post to the same running `mbus
# sub`: mbus pub finds it through the registry, curl is told its address and id.
# The whole process counts, so mbus's look into the registry and its start are in
# its figure; there are enough events to make that little.

all_rows=(H1 H2 H3 H4 H5 H6 H6b mem T1 T4 T6 T)

topic=bench.h
port_sub=7001 port_mhd=7002
http=$tmp/envelope		# the request body

printf -v text '%153s' ''
text=${text// /x}
printf '{"Header":{"Micro-Topic":"%s"},"Body":"%s"}' "$topic" \
	"$(printf %s "$text" | base64 -w 0)" > "$http"

# lines_of N [BODY]: a file of N bodies, one a line.
lines_of() {
	local n=$(($1 / divisor)) body=${2-$text}

	file=$tmp/lines.$n.${#body} count=$n
	[ -e "$file" ] || yes "$body" | head -n "$n" > "$file"
}

# ---- what most rows stand on ----

# A subscriber that prints to /dev/null; sets url, where others can post to it.
sub_runs() {
	local id

	have "$mbus" || return
	MICRO_BROKER_ADDRESS=127.0.0.1:$port_sub \
		server sub "${1:-/dev/null}" "$mbus" sub --ready-fd 8 --body "$topic" || return
	id=$("$mbus" registry get micro.http.broker -J 2>> "$tmp/sub.err" |
		grep -oE "\"id\":\"$topic-[0-9a-f-]{36}\"" | head -n 1 | cut -d'"' -f4)
	[ "$id" ] || cannot "no node of $topic in the registry: $(tail -n 1 "$tmp/sub.err")" || return
	url="http://127.0.0.1:$port_sub/?id=$id"
	# Once by hand: it must be a 200, and not the 404 of an unknown id.
	[ "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' -H 'Content-Type: application/json' \
		--data-binary @"$http" "$url")" = 200 ] || cannot "mbus sub does not answer 200 to $url"
}

mhd_runs() {
	server mhd - "$tool/mhd_server" "$port_mhd" || return
	mhd_url="http://127.0.0.1:$port_mhd/?id=x"
}

# What was published must arrive: counted once, apart from the timed runs.
all_arrive() {
	lines_of 50000
	sub_runs lines || return
	"$mbus" pub -l "$topic" < "$file" > /dev/null 2> "$tmp/err" || {
		cannot "mbus pub: exit status $?: $(tail -n 1 "$tmp/err")"
		return
	}
	counted sub || return
	# one was sent by hand
	[ "$lines" = $((count + 1)) ] || cannot "of $((count + 1)) events $lines arrived"
}

pub_lines() { timed "$mbus" pub -l "$@" "$topic" < "$file"; }

# ---- http ----

easy_rate() { timed "$tool/curl_easy" "$url" "$http" "$count" && value=$(calc "$count / $wall"); }
one_rate() { pub_lines --inflight 1 && value=$(calc "$count / $wall"); }
row_H1() {
	have curl taskset || return
	pin=1
	sub_runs || return
	lines_of 100000
	compare easy_rate one_rate || return
	report H1 'one request at a time, events/s, 1 CPU' 'tight libcurl easy loop, same subscriber' /s '>= 1.0' '>= 1.4'
}

curl_rate() {
	timed curl -s -o /dev/null --noproxy '*' -H 'Content-Type: application/json' \
		--data-binary @"$http" "$url&n=[1-$count]" && value=$(calc "$count / $wall")
}
row_H2() {
	have curl taskset || return
	pin=1
	sub_runs || return
	lines_of 20000
	compare curl_rate one_rate || return
	report H2 'one request at a time, events/s, 1 CPU' "curl -d @body 'http://.../[1-$count]', same subscriber" \
		/s '>= 1.4' '>= 2.0'
}

ab_rate() {
	local n=$((200000 / divisor))

	timed ab -q -k -c 8 -n "$n" -p "$http" -T application/json "$mhd_url" || return
	grep -q '^Failed requests: *0$' "$tmp/out" && ! grep -q '^Non-2xx' "$tmp/out" ||
		cannot "ab: $(grep -E '^(Failed|Non-2xx)' "$tmp/out" | tr -s '\n ' ' ')" || return
	value=$(calc "$n / $wall")
}
pub_rate() { pub_lines && value=$(calc "$count / $wall"); }
row_H3() {
	have ab || return
	all_arrive && sub_runs && mhd_runs || return
	lines_of 500000
	compare ab_rate pub_rate || return
	report H3 'mbus pub -l to one mbus sub, events/s' 'ab -q -k -c 8 to libmicrohttpd (epoll)' /s '>= 1.0' '>= 5'
}

multi_cpu() {
	local n=$((100000 / divisor))

	timed "$tool/curl_multi" "$url" "$http" "$n" 8 && value=$(calc "$cputime / $n")
}
pub_cpu() { pub_lines && value=$(calc "$cputime / $count"); }
row_H4() {
	have curl || return
	sub_runs || return
	lines_of 500000
	compare multi_cpu pub_cpu || return
	report H4 'publisher CPU an event' 'tight libcurl multi loop, 8 in flight, same subscriber' s '<= 0.5' '<= 0.1'
}

# With the server's CPU a request, which other load disturbs less than the rate.
wrk_rate() {		# wrk_rate SERVER URL
	local word rate bad before

	before=$(ticks "$1")
	timed wrk -t1 -c64 -d3s -s tests/bench/post.lua "$2" -- "$http" || return
	read -r word rate bad < <(grep '^wrk: ' "$tmp/out") || cannot 'wrk printed no result' || return
	[ "$bad" = 0 ] || cannot "wrk: $bad requests failed" || return
	value=$rate
	server_cpu[$1]+=" $(calc "($(ticks "$1") - $before) / $(getconf CLK_TCK) / ($rate * 3) * 1e6")"
}
wrk_mhd() { wrk_rate mhd "$mhd_url"; }
wrk_sub() { wrk_rate sub "$url"; }
row_H5() {
	local -A server_cpu=()

	have wrk curl || return
	sub_runs && mhd_runs || return
	compare wrk_mhd wrk_sub || return
	# shellcheck disable=SC2086
	note="server CPU a request $(spread ${server_cpu[sub]}; printf '%.2f' "$median") us, peer $(
		spread ${server_cpu[mhd]}; printf '%.2f' "$median") us"
	report H5 'mbus sub under wrk -t1 -c64, requests/s' 'libmicrohttpd (epoll) under the same' /s '>= 0.95' '>= 1.2'
}

# Events that arrive at a go-micro subscriber, over the time from the publisher's
# start (its look into the registry included) to the last one's arrival.
burst() {		# burst COMMAND...
	server gosub lines "$go/gm-v5" sub -topic "$topic" -ready-fd 8 || return
	timed "$@" || return
	counted gosub || return
	[ "$lines" -gt 0 ] || cannot "of $count events none arrived" || return
	value=$(calc "$lines / ($last - $start)")
	arrived+=("$lines")
}
burst_go() { burst "$go/gm-v5" pub -burst -n "$count" -topic "$topic" -body "$text" -linger 3s < /dev/null; }
burst_mbus() {
	burst "$mbus" pub -l "$topic" < "$file" || return
	[ "$lines" = "$count" ] || cannot "mbus pub ended well, but of $count events $lines arrived"
}
burst_row() {		# burst_row ID N
	local arrived=() i go_least go_most

	have "$mbus" "$go/gm-v5" || return
	lines_of "$2"
	compare burst_go burst_mbus || return
	# the Go publisher's are every other one
	spread "$(for ((i = 0; i < ${#arrived[@]}; i += 2)); do echo "${arrived[i]}"; done)"
	note="of $count arrived: $least ... $most; with mbus all"
	report "$1" "burst of $count to a go-micro v5 subscriber, /s" 'go-micro v5 publisher, same subscriber' \
		/s '>= 10' '>= 50'
}
row_H6() { burst_row H6 1000; }
row_H6b() { burst_row H6b 100000; }

# The most that a subscriber ever held while events came as fast as they can, and
# when nobody reads its output.
row_mem() {
	local plain

	sub_runs || return
	lines_of 1000000
	pub_lines || return
	plain=$(peak sub) || return
	mkfifo "$tmp/stuck"
	exec 6<> "$tmp/stuck"
	sub_runs "$tmp/stuck" || return
	timeout 5 "$mbus" pub -l "$topic" < "$file" > /dev/null 2>&1
	printf '%-4s %-43s %9s KiB   stdout not read: %s KiB\n' mem \
		"peak memory of mbus sub, $count events" "$plain" "$(peak sub)"
	exec 6>&-
	rm "$tmp/stuck"
}
peak() { awk '/^VmHWM/ { print $2 }' "/proc/${pid[$1]}/status"; }

# ---- start-up ----

# median_wall RUNS COMMAND...: sets value, and what the T table shows.
median_wall() {
	local runs=$1 w u s m st walls=() cpus=()	# want: the exit status, if not 0

	shift
	rm -f "$tmp/use"
	"$tool/bench_wait" -n "$runs" "$tmp/use" "$@" > "$tmp/out" 2> "$tmp/err" < /dev/null
	while read -r _ w u s m st; do
		[ "$st" = "${want:-0}" ] ||
			cannot "${1##*/} ${2-}: exit status $st: $(tail -n 1 "$tmp/err" | cut -c1-120)" || return
		walls+=("$w")
		cpus+=("$(calc "$u + $s")")
		rss=$m
	done < "$tmp/use"
	spread "${cpus[@]}"
	cputime=$median
	spread "${walls[@]}"
	value=$median
}

true_wall() { median_wall 40 /bin/true; }
version_wall() { median_wall 40 "$mbus" --version; }
row_T1() {
	have "$mbus" || return
	compare true_wall version_wall || return
	report T1 'mbus --version, time' '/bin/true' s '<= 1.4' '<= 1.2'
}

# Both post to the same subscriber; curl is told where it is.
shot_curl() {
	median_wall 40 curl -s -o /dev/null --noproxy '*' -H 'Content-Type: application/json' -d @"$http" "$url"
}
shot_file() { median_wall 40 "$mbus" pub --registry file --registry-address "$tmp/registry" "$topic" "$text"; }
row_T4() {
	have curl || return
	MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$tmp/registry sub_runs || return
	compare shot_curl shot_file || return
	report T4 'one event, http, node known from a file, time' 'curl -d @body, same subscriber' \
		s '<= 0.5' '<= 0.25'
}

# A subscriber of each topic, so that what each publisher delivered is known.
two_subs() {
	server sub1 lines "$mbus" sub --ready-fd 8 --body bench.mbus &&
		server sub2 lines "$mbus" sub --ready-fd 8 --body bench.micro
}
shot_mbus() { median_wall 10 "$mbus" pub bench.mbus "$text"; }
shot_micro() { median_wall 5 "$go/micro" broker publish bench.micro "$text"; }
row_T6() {
	local n=$((rounds * 10)) micro=$((rounds * 5))

	have "$mbus" "$go/micro" || return
	two_subs || return
	compare shot_micro shot_mbus || return
	sleep 0.3
	counted sub1 || return
	[ "$lines" = "$n" ] || cannot "of $n one-shot events of mbus pub $lines arrived" || return
	counted sub2 || return
	note="delivers $lines of $micro, mbus $n of $n"
	report T6 'one event, http over mdns, time' 'micro broker publish' s '<= 0.3' '<= 0.1'
}

table_row() {		# table_row NAME RUNS COMMAND...
	local name=$1 why=''

	shift
	if ! have "$2" || ! median_wall "$@"; then
		printf '     %-34s cannot be measured: %s\n' "$name" "$why"
		return
	fi
	printf '     %-34s %9.2f ms (%.2f ... %.2f)  CPU %7.2f ms  %7d KiB\n' "$name" "$(calc "$value * 1e3")" \
		"$(calc "$least * 1e3")" "$(calc "$most * 1e3")" "$(calc "$cputime * 1e3")" "$rss"
}
row_T() {
	have "$mbus" || return
	two_subs || return
	echo 'T    one process: wall time (median, least ... most), CPU, memory'
	table_row /bin/true 100 /bin/true
	table_row 'mbus --version' 100 "$mbus" --version
	want=1 table_row 'mosquitto_pub --help' 50 mosquitto_pub --help
	table_row 'mbus pub, http and mdns' 30 "$mbus" pub bench.mbus "$text"
	table_row 'micro broker publish' 10 "$go/micro" broker publish bench.micro "$text"
}

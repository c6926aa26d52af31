#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/bench/run.sh [-r ROUNDS] [-d DIVISOR] [-m FILE] [ROW...]: measures mbus beside
# its peers and prints the ratios; `make bench` builds what it needs. -m FILE: the same
# as a table in Markdown, with the machine and the versions of the peers.
#
# Peer and mbus take turns, peer first, 5 rounds (-r); the figure to judge by is the
# median of the rounds' ratios mbus / peer, shown with the least and the greatest.
# Rates are better when higher, times and CPU when lower: the columns "must" and
# "aim" say which. Nothing else should be running: the load is printed on top, and
# the word "busy" when it was not low. -d 10 moves a tenth of the events, to see
# whether the rows work; such figures mean little.
#
# ROW: those of rows*.bash; none: all of them. A row that cannot run says why.
# Everything runs in a network namespace of its own, so that multicast works and
# ports are free.
# shellcheck disable=SC2034
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

rounds=5 divisor=1 markdown=
while getopts r:d:m: opt; do
	case $opt in
	m) markdown=$(realpath -m "$OPTARG") ;;
	r) rounds=$OPTARG ;;
	d) divisor=$OPTARG ;;
	*) sed -n '4,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
done

if [ -z "${MBUS_BENCH_INSIDE-}" ]; then
	for ns in '-npm --fork --kill-child --mount-proc' '-rnpm --fork --kill-child --mount-proc'; do
		# shellcheck disable=SC2086
		if unshare $ns true 2> /dev/null; then
			export MBUS_BENCH_INSIDE=1
			# shellcheck disable=SC2016
			exec unshare $ns sh -c 'ip link set lo up && ip addr add 10.77.0.1/32 dev lo &&
				ip route add 224.0.0.0/4 dev lo && exec "$@"' sh "$0" "$@"
		fi
	done
	echo "tests/bench/run.sh: network namespaces are not allowed here" >&2
	exit 1
fi
shift $((OPTIND - 1))

build=${MBUS_TEST_BUILD:-build}
mbus=$build/mbus
tool=$build/bench
go=build/go
cpu=$(($(nproc) > 1 ? 1 : 0))	# where one-at-a-time rows are pinned
tmp=$(mktemp -d)
declare -A pid=()
trap 'stop_all; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
for v in $(compgen -e | grep -E '^(MICRO_|MBUS_(CONFIG|PROFILE|BACKENDS))|_proxy$|_PROXY$'); do
	unset "$v"
done
export LC_ALL=C

# ---- arithmetic ----

calc() { awk "BEGIN { printf(\"%.9g\", ($1)) }"; }

# spread NUMBER...: sets median, least, most.
spread() {
	# shellcheck disable=SC2046
	set -- $(printf '%s\n' "$@" | sort -g)
	least=$1 most=${!#}
	median=$(calc "(${*:(($# + 1) / 2):1} + ${*:($# / 2 + 1):1}) / 2")
}

# human NUMBER UNIT
human() {
	awk -v n="$1" -v u="$2" 'BEGIN {
		if (u == "s") { if (n < 1e-3) printf "%.2f us", n * 1e6; else if (n < 1) printf "%.2f ms", n * 1e3; else printf "%.2f s", n }
		else if (n >= 1e6) printf "%.2f M%s", n / 1e6, u
		else if (n >= 1e4) printf "%.1f k%s", n / 1e3, u
		else printf "%.1f %s", n, u }'
}

# ---- running things ----

# cannot WHY: this row cannot run (or ran and is worth nothing). Use: cannot ... || return
cannot() {
	why=$*
	return 1
}

have() {
	local x

	for x; do
		command -v "$x" > /dev/null || cannot "${x##*/} is not there" || return
	done
}

# timed COMMAND...: sets start, wall, cputime, rss; its output is in $tmp/out, $tmp/err.
# With pin set, on one CPU.
timed() {
	local user sys status

	rm -f "$tmp/use"
	${pin:+taskset -c "$cpu"} "$tool/bench_wait" "$tmp/use" "$@" > "$tmp/out" 2> "$tmp/err"
	read -r start wall user sys rss status < "$tmp/use" || cannot "could not be started: $1" || return
	cputime=$(calc "$user + $sys")
	[ "$status" = 0 ] ||
		cannot "exit status $status: ${1##*/} ${2-}: $(tail -n 1 "$tmp/err" | cut -c1-120)"
}

# server NAME SINK COMMAND...: in the background, until it says that it is ready on
# descriptor 8 (or stdout, if SINK is -). With pin set, on one CPU. SINK is a file, or
# `lines`: then its stdout goes through bench_lines into $tmp/NAME.lines.
server() {
	local name=$1 sink=$2 word='' ready=$tmp/$1.ready

	shift 2
	stop "$name"
	rm -f "$ready" "$tmp/$name.lines"
	mkfifo "$ready"
	case $sink in
	-) exec ${pin:+taskset -c "$cpu"} "$@" > "$ready" ;;
	lines) exec ${pin:+taskset -c "$cpu"} "$@" 8> "$ready" \
		> >(exec 8>&-; exec "$tool/bench_lines" "$tmp/$name.lines") ;;
	*) exec ${pin:+taskset -c "$cpu"} "$@" 8> "$ready" > "$sink" ;;
	esac < /dev/null 2> "$tmp/$name.err" &
	pid[$name]=$!
	read -r -t 20 word < "$ready" || [ "$word" ] ||
		cannot "${1##*/} ${2-} did not start: $(tail -n 1 "$tmp/$name.err" | cut -c1-120)"
}

# beside NAME PROBE... -- COMMAND...: a server that cannot say when it is ready; the
# probe, another program, tells.
beside() {
	local name=$1 probe=()

	shift
	while [ "$1" != -- ]; do probe+=("$1"); shift; done
	shift
	stop "$name"
	exec ${pin:+taskset -c "$cpu"} "$@" > "$tmp/$name.err" 2>&1 < /dev/null &
	pid[$name]=$!
	until_ok "${probe[@]}" || cannot "${1##*/} did not start: $(tail -n 1 "$tmp/$name.err" | cut -c1-120)"
}

until_ok() {
	local i

	for ((i = 0; i < 250; i++)); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.02
	done
	return 1
}

# sink NAME COMMAND...: in the background, its stdout counted by bench_lines.
sink() {
	local name=$1

	shift
	stop "$name"
	rm -f "$tmp/$name.lines"
	exec "$@" < /dev/null 2> "$tmp/$name.err" > >(exec "$tool/bench_lines" "$tmp/$name.lines") &
	pid[$name]=$!
}

# counting NAME COMMAND...: in the background, timed; `ended NAME` waits for its end and
# sets sub_cpu and sub_end.
counting() {
	local name=$1

	shift
	rm -f "$tmp/$name.use"
	"$tool/bench_wait" "$tmp/$name.use" "$@" > /dev/null 2> "$tmp/$name.err" < /dev/null &
	pid[$name]=$!
}
ended() {
	local begun lasted user sys rss status i p=${pid[$1]}

	for ((i = 0; i < 1500; i++)); do
		kill -0 "$p" 2> /dev/null || break
		sleep 0.02
	done
	read -r begun lasted user sys rss status < "$tmp/$1.use" || cannot "the subscriber got stuck" || return
	wait "$p"
	unset "pid[$1]"
	[ "$status" = 0 ] || cannot "subscriber: exit status $status: $(tail -n 1 "$tmp/$1.err")" || return
	sub_cpu=$(calc "$user + $sys")
	sub_end=$(calc "$begun + $lasted")
}

# hold COMMAND...: timed in the background, with $file on stdin and no end of input
# behind it until `let_go`, which waits for its end and sets what `timed` sets.
hold() {
	rm -f "$tmp/feed" "$tmp/pub.use"
	mkfifo "$tmp/feed"
	{
		cat "$file"
		exec sleep 1000
	} > "$tmp/feed" &
	pid[feeder]=$!
	"$tool/bench_wait" "$tmp/pub.use" "$@" < "$tmp/feed" > "$tmp/out" 2> "$tmp/err" &
	pid[pub]=$!
}
let_go() {
	local user sys status p=${pid[pub]}

	stop feeder
	wait "$p"
	unset 'pid[pub]'
	read -r start wall user sys rss status < "$tmp/pub.use" || cannot 'the publisher got stuck' || return
	cputime=$(calc "$user + $sys")
	[ "$status" = 0 ] || cannot "publisher: exit status $status: $(tail -n 1 "$tmp/err" | cut -c1-120)"
}
# settled_child NAME: as settled, for what bench_wait has started.
settled_child() {
	local child

	sleep 0.1
	child=$(pgrep -P "${pid[$1]}" | head -n 1)
	pid[child]=$child
	settled child
	unset 'pid[child]'
}

# settled NAME: it has used no CPU for a while.
settled() {
	local before=-1 now i

	for ((i = 0; i < 300; i++)); do
		now=$(ticks "$1")
		[ "$now" != "$before" ] || return 0
		before=$now
		sleep 0.2
	done
}
ticks() { awk '{ print $14 + $15 }' "/proc/${pid[$1]}/stat"; }

stop() {
	local i p=${pid[$1]-}

	[ "$p" ] || return 0
	unset "pid[$1]"
	kill -TERM "$p" 2> /dev/null
	for ((i = 0; i < 150; i++)); do
		kill -0 "$p" 2> /dev/null || break
		sleep 0.02
	done
	kill -KILL "$p" 2> /dev/null
	wait "$p" 2> /dev/null
	return 0
}

stop_all() {
	local name

	for name in "${!pid[@]}"; do stop "$name"; done
}

# counted NAME: stops a server with the sink `lines`; sets lines, first, last.
counted() {
	local i

	stop "$1"
	for ((i = 0; i < 250; i++)); do
		[ ! -s "$tmp/$1.lines" ] || break
		sleep 0.02
	done
	read -r lines first last < "$tmp/$1.lines" || cannot "the sink of $1 did not end"
}

# ---- comparing and printing ----

# compare PEER MBUS: functions that measure once and set value (or say cannot).
compare() {
	local i

	peers=() ours=() ratios=()
	for ((i = 0; i < rounds; i++)); do
		value=
		"$1" || return
		peers+=("$value")
		value=
		"$2" || return
		ours+=("$value")
		[ "$(calc "${peers[i]} > 0")" = 1 ] || cannot 'the peer took no time: too few events' || return
		ratios+=("$(calc "${ours[i]} / ${peers[i]}")")
	done
}

# report ID WHAT PEER UNIT MUST AIM: the row, from what compare left. MUST and AIM:
# ">= 1.0" or "<= 0.5".
report() {
	local verdict peer our

	spread "${peers[@]}"
	peer=$(human "$median" "$4")
	spread "${ours[@]}"
	our=$(human "$median" "$4")
	spread "${ratios[@]}"
	verdict=BELOW
	[ "$(calc "$median $5")" = 0 ] || verdict=ok
	[ "$(calc "$median $6")" = 0 ] || verdict=aim
	printf '%-4s %-43s %12s %12s  %7.3f (%.3f ... %.3f)  %-7s %-7s %s\n' "$1" "$2" "$our" "$peer" \
		"$median" "$least" "$most" "$5" "$6" "$verdict"
	printf '     peer: %s%s\n' "$3" "${note:+; $note}"
	in_markdown "$1" "$2" "$our" "$3: $peer${note:+ ($note)}" "$(printf '%.2f' "$median")" \
		"$(printf '%.2f ... %.2f' "$least" "$most")" "$5" "$6" "$verdict"
}

# in_markdown CELL...: a row of the table.
in_markdown() {
	local cell

	[ "$markdown" ] || return 0
	for cell; do printf '| %s ' "${cell//|/\\|}"; done >> "$markdown"
	echo '|' >> "$markdown"
}
# What was measured with what. A peer that is not there is not in the list.
versions() {
	"$mbus" --version | head -n 1
	redis-server --version 2> /dev/null | sed -E 's/.*v=([0-9.]+).*/redis \1/'
	mosquitto -h 2> /dev/null | sed -nE 's/^mosquitto version ([0-9.]+).*/mosquitto \1/p'
	kcat -V 2> /dev/null | sed -nE 's/^Version ([^ ]+).*librdkafka ([0-9.]+).*/kcat \1, librdkafka \2/p'
	[ -z "${KAFKA_NEW-}" ] || echo "Kafka $KAFKA_NEW"
	curl --version 2> /dev/null | sed -nE '1s/^curl ([^ ]+).*/curl \1/p'
	ab -V 2> /dev/null | sed -nE '1s/.*Version ([^ ]+).*/ab \1/p'
	wrk -v 2>&1 | sed -nE '1s/^wrk ([^ ]+).*/wrk \1/p'
	case " ${ANCHORS-} " in *' aeron '*) echo 'Aeron 1.51.0' ;; esac
	case " ${ANCHORS-} " in *' iceoryx '*) echo 'iceoryx2 0.10.0' ;; esac
	[ ! -x "$go/gm-v5" ] || echo 'go-micro 1.18 to 5'
}
begin_markdown() {
	[ "$markdown" ] || return 0
	{
		echo "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), $(nproc) CPUs," \
			"Linux $(uname -r), $(. /etc/os-release && echo "$PRETTY_NAME"), load $load;" \
			"medians of $rounds rounds, peer and mbus in turn$([ "$divisor" = 1 ] || echo ", with 1/$divisor of the events")."
		versions | paste -sd '|' | sed 's/|/, /g; s/$/./'
		echo
		echo '| row | what | mbus | peer | ratio | range | must | aim | |'
		echo '|---|---|---|---|---|---|---|---|---|'
	} > "$markdown" || exit
}

# latency RATE PUBLISHER... -- SUBSCRIBER...: sets figures (p50 p99 p99.9 max lost).
latency() {
	local n=$((10000 / divisor))

	# shellcheck disable=SC2207
	figures=($("$tool/bench_latency" -r "$1" -n "$n" "${@:2}" 2> "$tmp/err")) ||
		cannot "$(tail -n 1 "$tmp/err" | cut -c1-120)" || return
	[ "${figures[4]}" = 0 ] || cannot "of $n events ${figures[4]} were lost"
}

# compare_latency PEER MBUS; report_latency ID WHAT PEER (FIGURE MUST AIM)...: a row each.
compare_latency() {
	local i

	peer_figures=() our_figures=()
	for ((i = 0; i < rounds; i++)); do
		"$1" || return
		peer_figures+=("${figures[*]}")
		"$2" || return
		our_figures+=("${figures[*]}")
	done
}
report_latency() {
	local id=$1 what=$2 peer=$3 i a b
	local -A at=([p50]=0 [p99]=1 [p99.9]=2)

	shift 3
	while [ $# -gt 0 ]; do
		peers=() ours=() ratios=()
		for ((i = 0; i < rounds; i++)); do
			read -ra a <<< "${peer_figures[i]}"
			read -ra b <<< "${our_figures[i]}"
			peers+=("$(calc "${a[${at[$1]}]} / 1e6")")
			ours+=("$(calc "${b[${at[$1]}]} / 1e6")")
			ratios+=("$(calc "${b[${at[$1]}]} / ${a[${at[$1]}]}")")
		done
		report "$id" "$what, $1" "$peer" s "$2" "$3"
		shift 3
	done
}

tests_row() {
	local pin='' note='' why=''

	"row_$1" || {
		printf '%-4s cannot be measured: %s\n' "$1" "${why:-it failed}"
		in_markdown "$1" "cannot be measured: ${why:-it failed}" '' '' '' '' '' '' ''
	}
	stop_all
}

# shellcheck source=tests/bench/rows.bash
. tests/bench/rows.bash
# shellcheck source=tests/bench/rows_redis.bash
. tests/bench/rows_redis.bash
# shellcheck source=tests/bench/rows_mqtt.bash
. tests/bench/rows_mqtt.bash
# shellcheck source=tests/bench/rows_kafka.bash
. tests/bench/rows_kafka.bash
# shellcheck source=tests/bench/rows_bench.bash
. tests/bench/rows_bench.bash
# Others bring their own.
for file in tests/bench/rows_*.bash; do
	case $file in *_redis.bash | *_mqtt.bash | *_kafka.bash | *_bench.bash) continue ;; esac
	# shellcheck disable=SC1090
	. "$file"
done

[ -x "$tool/bench_wait" ] || { echo "tests/bench/run.sh: make bench first" >&2; exit 1; }
[ $# -gt 0 ] || set -- "${all_rows[@]}"
for row; do
	declare -F "row_$row" > /dev/null ||
		{ echo "tests/bench/run.sh: no row $row; there are: ${all_rows[*]}" >&2; exit 2; }
done

load=$(cut -d' ' -f1 /proc/loadavg)
echo "$(nproc) CPUs, kernel $(uname -r), load $load$([ "$(calc "$load < 0.5")" = 1 ] || echo ' (busy)')," \
	"$rounds rounds, mbus $("$mbus" --version 2> /dev/null | head -n 1 | sed 's/^mbus //' || :)"
begin_markdown
printf '%-4s %-43s %12s %12s  %7s %-17s  %-7s %-7s\n' row '' mbus peer ratio '(least ... most)' must aim
for row; do
	tests_row "$row"
done

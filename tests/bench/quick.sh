#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/bench/quick.sh BASE [ROW...]: this build of mbus beside another one, in turn, in under
# three minutes; for each row a verdict by a rank test over the rounds (`mbus bench
# compare`). The exit status is 1 if something is slower by more than 10 % and not by
# chance. BASE is a commit, which is built in a worktree of its own, or the path of an
# mbus (whose modules are found from there).
#
# What cannot be had here (no redis-server, no mosquitto) is said and left out.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

build=${MBUS_TEST_BUILD:-build}
base=${1:?which build to compare with: a commit, or the path of an mbus}
rounds=5
shift

# The other build, kept for the next time.
if [ ! -x "$base" ] || [ -d "$base" ]; then
	commit=$(git rev-parse --verify --quiet "$base^{commit}") ||
		{ echo "make bench-quick: BASE=$base is no commit and no program" >&2; exit 2; }
	tree=$PWD/build-base/$commit
	if [ ! -x "$tree/build/mbus" ]; then
		echo "building $base ($(git log -1 --format='%h %s' "$commit"))"
		rm -rf build-base
		mkdir -p "$tree"
		git archive "$commit" | tar -x -C "$tree" &&
			make -s -C "$tree" -j"$(nproc)" all > build-base/log 2>&1 ||
			{ tail -n 20 build-base/log; exit 1; }
	fi
	base=$tree/build/mbus
fi
new=$PWD/$build/mbus old=$(realpath "$base")
"$old" bench --help 2> /dev/null | grep -q -- --compare ||
	{ echo "make bench-quick: $base has no mbus bench" >&2; exit 2; }

tmp=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2> /dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
for v in $(compgen -e | grep -E '^(MICRO_|MBUS_)'); do [ "$v" = MBUS_TEST_BUILD ] || unset "$v"; done
export PATH=$PATH:/usr/sbin LC_ALL=C

port() { shuf -i 20000-30000 -n 1; }
until_ok() {
	local i

	for ((i = 0; i < 100; i++)); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}
redis=$(port) mqtt=$(port)
rows=(null http http-rtt)
if command -v redis-server > /dev/null; then
	redis-server --port "$redis" --bind 127.0.0.1 --save '' --dir "$tmp" \
		--client-output-buffer-limit 'pubsub 0 0 0' > "$tmp/redis.log" 2>&1 &
	servers+=($!)
	! until_ok redis-cli -p "$redis" ping || rows+=(redis redis-rate)
else
	echo 'redis-server is not there: without its rows'
fi
if command -v mosquitto > /dev/null; then
	printf '%s\n' 'user root' "listener $mqtt 127.0.0.1" 'allow_anonymous true' \
		'max_queued_messages 0' 'set_tcp_nodelay true' > "$tmp/mosquitto.conf"
	mosquitto -c "$tmp/mosquitto.conf" > "$tmp/mosquitto.log" 2>&1 &
	servers+=($!)
	! until_ok mosquitto_pub -p "$mqtt" -t up -n || rows+=(mqtt0 mqtt1)
else
	echo 'mosquitto is not there: without its rows'
fi

[ $# = 0 ] || rows=("$@")

# row NAME: the options of its run, in args.
row() {
	case $1 in
	null) args=(pub -B null -n 3000000 -s 100) ;;
	http) args=(-B http --registry file -n 400000 -s 128) ;;
	http-rtt) args=(rtt -B http --registry file -n 10000) ;;
	redis) args=(-B redis -b "127.0.0.1:$redis" --wire raw -n 600000 -s 100) ;;
	redis-rate) args=(-B redis -b "127.0.0.1:$redis" --rate 5000 -d 1s) ;;
	mqtt0) args=(-B mqtt -b "127.0.0.1:$mqtt" --qos 0 -n 150000 -s 100) ;;
	mqtt1) args=(-B mqtt -b "127.0.0.1:$mqtt" --qos 1 -n 50000 -s 100) ;;
	esac
}
export XDG_RUNTIME_DIR=$tmp
for ((i = 0; i < rounds; i++)); do
	for name in "${rows[@]}"; do
		row "$name"
		for which in old new; do
			"${!which}" bench -J "${args[@]}" >> "$tmp/$name.$which" 2>> "$tmp/err" < /dev/null ||
				echo "$name, $which build: exit status $?: $(tail -n 1 "$tmp/err")"
		done
	done
	# Starting: 40 processes, the median of their times in ms.
	for which in old new; do
		"$build/bench/bench_wait" -n 40 "$tmp/use" "${!which}" pub -B null t x > /dev/null 2>&1 < /dev/null
		awk '{ print $2 * 1000 }' "$tmp/use" | sort -g | sed -n 20p >> "$tmp/start.$which"
		rm -f "$tmp/use"
	done
done

status=0
for name in "${rows[@]}"; do
	echo "== $name"
	"$new" bench compare "$tmp/$name.old" "$tmp/$name.new" --fail-slower 10 2> "$tmp/err" |
		grep '^  ' || true
	[ "${PIPESTATUS[0]}" = 0 ] || { status=1; cat "$tmp/err"; }
done
# Five of one all under five of the other: chance does that once in 126 times.
echo '== start: mbus pub -B null t x'
paste <(sort -g "$tmp/start.old") <(sort -g "$tmp/start.new") | awk '
	{ old[NR] = $1; new[NR] = $2 }
	END {
		a = old[int((NR + 1) / 2)]; b = new[int((NR + 1) / 2)]
		word = new[1] > old[NR] ? "slower" : new[NR] < old[1] ? "faster" : "no difference"
		printf("  time      %12.3f -> %.3f ms  %+.1f %%  %s\n", a, b, (b - a) / a * 100, word)
		exit word == "slower" && b > a * 1.1
	}' || status=1
exit $status

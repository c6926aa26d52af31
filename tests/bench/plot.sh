#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/bench/plot.sh FILE.svg: the picture of README.md, "How to read a benchmark":
# http, redis and mqtt at their default addresses, in a network namespace of its own
# with servers of its own.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

svg=$(realpath -m "${1:?FILE.svg}")
mbus=$PWD/${MBUS_TEST_BUILD:-build}/mbus
if [ -z "${MBUS_BENCH_INSIDE-}" ]; then
	export MBUS_BENCH_INSIDE=1
	for ns in -npm -rnpm; do
		ns="$ns --fork --kill-child --mount-proc"
		# shellcheck disable=SC2086,SC2016
		! unshare $ns true 2> /dev/null ||
			exec unshare $ns sh -c 'ip link set lo up && exec "$@"' sh "$0" "$svg"
	done
	echo "tests/bench/plot.sh: network namespaces are not allowed here" >&2
	exit 1
fi

tmp=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
for v in $(compgen -e | grep -E '^(MICRO_|MBUS_)'); do unset "$v"; done
export PATH=$PATH:/usr/sbin XDG_RUNTIME_DIR=$tmp
until_ok() {
	local i

	for ((i = 0; i < 100; i++)); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	echo "tests/bench/plot.sh: it does not start: $*" >&2
	exit 1
}
redis-server --bind 127.0.0.1 --save '' --dir "$tmp" > "$tmp/redis.log" 2>&1 &
printf '%s\n' 'user root' 'listener 1883 127.0.0.1' 'allow_anonymous true' \
	'max_queued_messages 0' 'set_tcp_nodelay true' > "$tmp/mosquitto.conf"
mosquitto -c "$tmp/mosquitto.conf" > "$tmp/mosquitto.log" 2>&1 &
until_ok redis-cli ping
until_ok mosquitto_pub -t up -n
"$mbus" bench --brokers http,redis,mqtt --registry file --rate 2000 -d 10s --interval 500ms \
	--repeat 3 --plot "$svg"

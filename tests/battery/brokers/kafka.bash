# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
# Apache Kafka: keeps everything, carries everything. Its client library makes its
# connections itself, so that a dead server is a matter of time, not of status; and it
# tells clients where they find it, so that the relay stands before a listener of its own.
# A connection lost is nothing to it: what ends an event is -W.
BROKER=kafka
LACKS='repeats unix sni cut one-part nobody'
WINDOW_KB=4096
# The library fetches ahead, up to 64 MiB (queued.max.messages.kbytes), and takes 300
# bytes for each record besides. kafka.bats has a topic that is larger than that.
SMALL_KB=110000
CARRIES='header null-body'
CARRIES_RAW='header key null-body null-header repeat-header binary-header'
# A member that was killed is given up after three seconds, not 45.
KEEPER=(-g keeper -X session.timeout.ms=3000 -X heartbeat.interval.ms=500)
# Not all to one partition that come within 10 ms.
SPREAD=(-X sticky.partitioning.linger.ms=0)
# What Kafka allows in a name.
TOPICS=(t t.a.b t_a-b "$(printf 'long%.0s' {1..60})")
# Its requests, of which a subscriber always has one, are given up after that.
ALIVE=(-X socket.timeout.ms=1500)
BEHIND=127.0.0.1:7100		# the listener behind the relay
PLAIN=7200			# one that is always there, for ourselves
. "${BASH_SOURCE[0]%/*}/../../servers/kafka.bash"

# One server for the tests of a file, as long as none of them has done it any harm: the
# next test takes up what is there. Its data folder outlives it in any case.
shared() { [[ $BATS_TEST_FILENAME != */@(refused|still|addresses|audit).bats && $1 != users && $1 != forbidden && $1 != *tls ]]; }

# As a plain Debian has it; the servers have 127.0.0.1. Without an address that is not
# ::1 the C library would ask for no IPv6 address at all.
both_localhosts() {
	if mountpoint -q /etc/hosts; then return; fi
	ip addr add fd00::77/128 dev lo
	printf '%s\n' '::1 localhost' '127.0.0.1 localhost' > "$BATS_RUN_TMPDIR/hosts"
	mount --bind "$BATS_RUN_TMPDIR/hosts" /etc/hosts
}

serve() {
	local name=$1 port=$2 kind=$3 dir=$BATS_FILE_TMPDIR/$1.d as=plain pid

	both_localhosts

	KAFKA_ACL='' KAFKA_TLS='' KAFKA_AT=${AT:+[$AT]}
	if ! shared "$kind"; then
		dir=$PWD/$name.d
	elif pid=$(cat "$dir.pid" 2> /dev/null) && [ "$pid" ] && ! gone "$pid"; then
		PID[$name]=$pid
		made
		return
	fi
	case $kind in
	users | forbidden) as=sasl KAFKA_ACL=true ;;
	tls | mtls) as=$kind KAFKA_TLS=$BATS_FILE_TMPDIR/${4-srv} ;;
	esac
	kafka_files "$dir" $KAFKA_NEW plain:$PLAIN "$as:$port" "$as:${BEHIND#*:}:$BAD" || return
	start "$name" "$ROOT/tests/servers/alone" "${kafka_command[@]}"
	wait_for -t 40 kafka_serves $PLAIN || fail "$(tail -n 20 "$dir/kafka.log")" || return
	made
	if shared "$kind"; then echo "${PID[$name]}" > "$dir.pid"; fi
	case $kind in
	users) may ;;
	forbidden) may_not ;;
	esac
}
admin() { "$ROOT/tests/tools/kafka_admin" 127.0.0.1:$PLAIN "$@"; }
# The test's topic, so that not every first event waits until the server has made one;
# for the others of a test it does.
made() { [ -z "${t-}" ] || admin create "$t" "$PARTS" 2> made.err || true; }
may() {
	admin allow reader read topic '*'
	admin allow reader read group '*'
	admin allow writer write topic '*'
	admin allow writer create topic '*'
}
may_not() {
	admin deny reader read topic '*'
	admin deny reader read group '*'
	admin deny writer write topic '*'
}

teardown() {
	local name dir

	for name in "${!PID[@]}"; do
		dir=$BATS_FILE_TMPDIR/$name.d
		if [ -e "$dir.pid" ] && [ "${PID[$name]}" = "$(cat "$dir.pid")" ]; then
			kill -CONT "${PID[$name]}" 2> /dev/null || true
			unset "PID[$name]"
		fi
	done
	lib_teardown
}

teardown_file() {
	local f

	for f in "$BATS_FILE_TMPDIR"/*.d.pid; do
		[ ! -e "$f" ] || end_pid "$(cat "$f")"
	done
}

# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# etcd for bats files: `load ../servers/etcd`, behind lib. Each test starts its own; they
# end with the test.
#
#	etcd_start NAME [OPTION...]	a cluster of one
#	etcd_stop NAME [SIGNAL]		started again by the same name it has the same ports and data
#	etcd_ctl COMMAND...		etcdctl there
#
# Sets ETCD_PORT. Where ETCD_CERTS names a folder with server.crt and server.key, it speaks
# TLS. ETCD_USER=NAME:PASSWORD is used by etcd_ctl.

declare -gA ETCD_PORTS=()
ETCD_USER=

etcd_ctl() {
	ETCDCTL_API=3 etcdctl ${ETCD_USER:+--user "$ETCD_USER"} ${ETCD_CERTS:+--cacert "$ETCD_CERTS/ca.crt"} \
		--endpoints="http${ETCD_CERTS:+s}://127.0.0.1:$ETCD_PORT" "$@"
}
etcd_serves() {
	curl -fsS ${ETCD_CERTS:+--cacert "$ETCD_CERTS/ca.crt"} "http${ETCD_CERTS:+s}://127.0.0.1:$ETCD_PORT/health" 2> /dev/null |
		grep -q true
}

etcd_start() {
	local name=$1 tls=() s='' ports

	shift
	[ -n "${ETCD_PORTS[$name]-}" ] || ETCD_PORTS[$name]="$(free_port) $(free_port)"
	read -ra ports <<< "${ETCD_PORTS[$name]}"
	ETCD_PORT=${ports[0]}
	if [ -n "${ETCD_CERTS-}" ]; then
		s=s
		tls=(--cert-file "$ETCD_CERTS/server.crt" --key-file "$ETCD_CERTS/server.key")
	fi
	start "etcd-$name" etcd --name "$name" --data-dir "$PWD/etcd-$name" --logger zap \
		--listen-client-urls "http$s://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http$s://127.0.0.1:$ETCD_PORT" \
		--listen-peer-urls "http://127.0.0.1:${ports[1]}" --initial-advertise-peer-urls "http://127.0.0.1:${ports[1]}" \
		--initial-cluster "$name=http://127.0.0.1:${ports[1]}" --unsafe-no-fsync --heartbeat-interval 10 \
		--election-timeout 50 "${tls[@]}" "$@"
	wait_for etcd_serves
}

etcd_stop() {
	stop "etcd-$1" "${2-TERM}" || true
}

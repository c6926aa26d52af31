# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# Consul agents for bats files: `load ../servers/consul`, behind lib. Each test starts its
# own; they end with the test.
#
#	consul_start NAME [OPTION...]	an agent that is a server of one, all in memory
#	consul_stop NAME [SIGNAL]	started again by the same name it has the same ports
#	consul_api METHOD PATH [CURL-OPTION...]
#
# Sets CONSUL_PORT and, where CONSUL_CERTS names a folder with server.crt and server.key,
# CONSUL_TLS_PORT; CONSUL_TOKEN is used by consul_api. Go programs find it at its default
# port when the test's file says CONSUL_DEFAULT=1.

declare -gA CONSUL_PORTS=()
CONSUL_TOKEN=

consul_api() {
	curl -fsS -X "$1" ${CONSUL_TOKEN:+-H "X-Consul-Token: $CONSUL_TOKEN"} "${@:3}" \
		"http://127.0.0.1:$CONSUL_PORT$2"
}
consul_leads() { [[ $(consul_api GET /v1/status/leader 2> /dev/null) == *:* ]]; }

consul_start() {
	local name=$1 tls=() ports

	shift
	[ -n "${CONSUL_PORTS[$name]-}" ] ||
		CONSUL_PORTS[$name]="$(free_port) $(free_port) $(free_port) $(free_port) $(free_port)"
	read -ra ports <<< "${CONSUL_PORTS[$name]}"
	CONSUL_PORT=${ports[0]}
	if [ -n "${CONSUL_CERTS-}" ]; then
		CONSUL_TLS_PORT=${ports[4]}
		tls=(-hcl "ports { https = $CONSUL_TLS_PORT } cert_file = \"$CONSUL_CERTS/server.crt\"
			key_file = \"$CONSUL_CERTS/server.key\" ca_file = \"$CONSUL_CERTS/ca.crt\"")
	fi
	start "consul-$name" "$ROOT/build/consul" agent -dev -bind=127.0.0.1 -client=127.0.0.1 \
		-http-port="$CONSUL_PORT" -dns-port=-1 -grpc-port=-1 -serf-lan-port="${ports[1]}" \
		-serf-wan-port="${ports[2]}" -server-port="${ports[3]}" -hcl 'disable_update_check = true' \
		"${tls[@]}" "$@" > /dev/null
	wait_for consul_leads
}

consul_stop() {
	stop "consul-$1" "${2-TERM}" || true
}

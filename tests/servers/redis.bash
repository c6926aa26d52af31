# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# Redis servers for bats files: `load ../servers/redis`, behind lib. Each test starts
# its own; they end with the test, as everything does that `start` started.
#
#	redis_start NAME [OPTION...]	redis-server's options: --requirepass secret
#	redis_stop NAME [SIGNAL]	started again by the same name it has the same ports
#	redis_use NAME			which one the variables and redis_cli mean
#	redis_cli COMMAND...		as administrator; --no-auth-warning and the like go first
#
# Sets REDIS_PORT, REDIS_SOCK (of a Unix socket) and, where redis_certs was called in
# setup_file, REDIS_TLS_PORT.

declare -gA REDIS_PORTS=() REDIS_TLS_PORTS=()
REDIS_AUTH=()			# for redis_cli: --user NAME --pass SECRET

# redis_certs DIR: ca signs server (localhost, 127.0.0.1), client and wrong
# (other.example); foreign is nobody's.
redis_certs() {
	local here=$PWD name san

	mkdir -p "$1"
	cd "$1" || return
	for name in ca foreign; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key \
			-out $name.crt -days 30 -subj "/CN=$name" 2> openssl.err || return
	done
	for name in server client wrong; do
		case $name in
		server) san=DNS:localhost,IP:127.0.0.1 ;;
		client) san=DNS:client ;;
		wrong) san=DNS:other.example ;;
		esac
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key \
			-out $name.csr -subj "/CN=$name" 2> openssl.err &&
			openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
				-extfile <(echo "subjectAltName=$san") -out $name.crt 2> openssl.err || return
	done
	chmod 644 ./*.key
	cd "$here" || return
	export REDIS_CERTS=$1
}

redis_use() {
	REDIS_PORT=${REDIS_PORTS[$1]}
	REDIS_TLS_PORT=${REDIS_TLS_PORTS[$1]-}
	REDIS_SOCK=$PWD/redis-$1/sock
}

redis_cli() {
	redis-cli -p "$REDIS_PORT" "${REDIS_AUTH[@]}" "$@"
}

# redis_listens: it answers, if only that it wants a password.
redis_listens() {
	[[ $(redis-cli -p "$REDIS_PORT" ping 2>&1) =~ ^(PONG|NOAUTH|.*NOPERM) ]]
}

redis_start() {
	local name=$1 tls=() dir=redis-$1

	shift
	mkdir -p "$dir"
	[ -n "${REDIS_PORTS[$name]-}" ] || REDIS_PORTS[$name]=$(free_port)
	if [ -n "${REDIS_CERTS-}" ]; then
		[ -n "${REDIS_TLS_PORTS[$name]-}" ] || REDIS_TLS_PORTS[$name]=$(free_port)
		tls=(--tls-port "${REDIS_TLS_PORTS[$name]}" --tls-auth-clients no
			--tls-cert-file "$REDIS_CERTS/${REDIS_CERT-server}.crt"
			--tls-key-file "$REDIS_CERTS/${REDIS_CERT-server}.key"
			--tls-ca-cert-file "$REDIS_CERTS/ca.crt")
	fi
	redis_use "$name"
	start "redis-$name" redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$PWD/$dir" \
		--save '' --appendonly no --unixsocket "$REDIS_SOCK" --logfile "$PWD/$dir/log" \
		--enable-debug-command local "${tls[@]}" "$@"
	wait_for redis_listens
}

redis_stop() {
	stop "redis-$1" "${2-TERM}" || true
}

# redis_subscribers CHANNEL N: so many subscribe to it.
redis_subscribers() {
	[ "$(redis_cli pubsub numsub "$1" | tail -n 1)" = "$2" ]
}

# redis_cluster NAME NAME: two servers as one cluster, half of the slots each.
redis_cluster() {
	local name from=0 to=8191

	for name; do
		redis_start "$name" --cluster-enabled yes --cluster-node-timeout 2000
		redis_cli cluster addslotsrange $from $to > cluster.out
		from=8192 to=16383
	done
	redis_use "$1"
	redis_cli cluster meet 127.0.0.1 "${REDIS_PORTS[$2]}" > cluster.out
	for name; do
		redis_use "$name"
		wait_for redis_cluster_ok
	done
	redis_use "$1"
}
redis_cluster_ok() {
	local info

	info=$(redis_cli cluster info)
	[[ $info == *cluster_state:ok* && $info == *cluster_known_nodes:2* ]]
}

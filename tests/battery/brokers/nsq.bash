# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# NSQ: a topic's messages wait for its channels, a channel is a group. Its secret needs a
# server of its own to ask (tests/bats/nsq.bats), and it knows no users.
BROKER=nsq
LACKS='password nobody acl unix keep empty'
CARRIES='header null-body'
CARRIES_RAW=''
# What was under way with a subscriber that has gone, nsqd keeps for that long.
KEEPER=(-g one -X nsq.msg_timeout=1s)
ALIVE=(-X nsq.keepalive=2s)
TOPICS=(t t.a.b t-a_b T0 "$(printf 'long%.0s' {1..16})")

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv} more=() at

	mkdir -p "$name.d"
	case $kind in
	durable) more=(-mem-queue-size 0 -sync-every 100) ;;
	# A channel that nobody named loses what is over its queue.
	lenient) more=(-mem-queue-size 1000000) ;;
	tls) more=(-mem-queue-size 1000000 -tls-cert "$c.crt" -tls-key "$c.key" -tls-required tcp) ;;
	mtls) more=(-tls-cert "$c.crt" -tls-key "$c.key" -tls-root-ca-file "$BATS_FILE_TMPDIR/ca.crt"
		-tls-client-auth-policy require-verify -tls-required tcp) ;;
	esac
	at=${AT-127.0.0.1}
	start "$name" nsqd -tcp-address "${at/::1/[::1]}:$port" -http-address 127.0.0.1:0 -https-address 127.0.0.1:0 \
		-data-path "$name.d" -max-msg-size 40000000 -max-body-size 80000000 -log-level warn "${more[@]}"
	wait_for bash -c ": 2> /dev/null < /dev/tcp/$at/$port" 2> /dev/null
}

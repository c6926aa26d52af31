# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Redis, plain pub/sub: keeps nothing, has no groups and no acknowledgements.
BROKER=redis
LACKS='group ack keep'
CARRIES='header null-body'
CARRIES_RAW=''
ALIVE=(-X redis.keepalive=1s)
# Redis 7.0 over TLS: where a subscriber's connection took only a part, it tries again with
# other bytes, OpenSSL refuses that, and it closes the connection.
CUTS_SLOW=1

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv} tls=() more=()

	mkdir -p "$name.d"
	case $kind in
	lenient | durable | *tls) more=(--client-output-buffer-limit 'pubsub 0 0 0') ;;&
	durable) more+=(--appendonly yes --appendfsync always) ;;
	forbidden)
		cat > "$name.acl" <<-'END'
			user default off
			user mbus on >secret ~* &* +@all
			user reader on >reader ~* &* -@all +@connection
			user writer on >writer ~* &* -@all +@connection
		END
		more=(--aclfile "$PWD/$name.acl")
		;;
	users)
		cat > "$name.acl" <<-'END'
			user default off
			user mbus on >secret ~* &* +@all
			user reader on >reader ~* &* -@all +@read +@connection +subscribe +psubscribe +ssubscribe +xreadgroup +xgroup +xack +xautoclaim
			user writer on >writer ~* &* -@all +@connection +publish +spublish +xadd
		END
		more=(--aclfile "$PWD/$name.acl")
		;;
	tls | mtls)
		tls=(--tls-port "$port" --tls-cert-file "$c.crt" --tls-key-file "$c.key"
			--tls-ca-cert-file "$BATS_FILE_TMPDIR/ca.crt" --tls-auth-clients no)
		[ "$kind" = tls ] || tls[-1]=yes
		port=0
		;;
	esac
	start "$name" redis-server --port "$port" --bind "${AT-127.0.0.1}" --dir "$PWD/$name.d" --save '' \
		--unixsocket "$PWD/$name.sock" "${tls[@]}" "${more[@]}"
	case $kind in
	users | forbidden) wait_for sh -c "redis-cli -p $port --user mbus --pass secret --no-auth-warning ping 2>&1 | grep -q PONG" ;;
	*) wait_for sh -c "redis-cli -s '$PWD/$name.sock' ping 2>&1 | grep -q PONG" ;;
	esac
}

# Nothing else was asked for by the tests.
unharmed() { is "$(redis-cli -s "$BATS_TEST_TMPDIR/server.sock" del pwned)" 0; }

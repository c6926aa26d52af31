# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# NATS, core subjects with go-micro's envelope: keeps nothing, acknowledges nothing; no
# blanks in subjects, no Unix sockets.
BROKER=nats
LACKS='ack keep handover unix'
CARRIES='header null-body'
CARRIES_RAW='header repeat-header plain-header'
TOPICS=(t t.a.b t/a/b t-a_b 'ünï·cødé' "$(printf 'long%.0s' {1..40})")
ALIVE=(-X nats.keepalive=1s)
CUTS_SLOW=1

# Of streams: more configuration, and what to do when it serves (NAME OPTION... ADDRESS).
READER='publish: { deny: ">" }'
WRITER='subscribe: { deny: ">" }'
serve_more() { :; }
served() { :; }

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv}

	{
		echo "server_name: $name"
		echo "host: \"${AT-127.0.0.1}\""
		echo "port: $port"
		echo 'max_payload: 33554432'
		case $kind in
		lenient | durable | *tls) printf '%s\n' 'max_pending: 4294967296' 'write_deadline: "600s"' ;;
		esac
		case $kind in
		tls) echo "tls { cert_file: $c.crt, key_file: $c.key }" ;;
		mtls)
			echo "tls { cert_file: $c.crt, key_file: $c.key, ca_file: $BATS_FILE_TMPDIR/ca.crt"
			echo '      verify: true }'
			;;
		forbidden) cat <<-'END' ;;
			authorization { users: [
			  { user: mbus, password: secret }
			  { user: reader, password: reader, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
			  { user: writer, password: writer, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
			] }
		END
		users) cat <<-'END' ;;
			authorization { users: [
			  { user: mbus, password: secret }
		END
		esac
		[ "$kind" != users ] || cat <<-END
			  { user: reader, password: reader, permissions: { $READER } }
			  { user: writer, password: writer, permissions: { $WRITER } }
			] }
		END
		serve_more "$name"
	} > "$name.conf"
	start "$name" nats-server -c "$name.conf"
	wait_for grep -q 'Server is ready' "$name.err"
	case $kind in
	tls) served "$name" -i "${AT-127.0.0.1}:$port" ;;
	mtls) served "$name" -i -c "$BATS_FILE_TMPDIR/cli.crt" -k "$BATS_FILE_TMPDIR/cli.key" "${AT-127.0.0.1}:$port" ;;
	forbidden | users) served "$name" -u mbus:secret "${AT-127.0.0.1}:$port" ;;
	*) served "$name" "${AT-127.0.0.1}:$port" ;;
	esac
}

# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 3.1.1 by nats-server: no shared subscriptions, no dots in topics, no Unix
# socket; what was not acknowledged comes again when the server's time for it is over.
. "$MBUS_TEST_ROOT/tests/battery/brokers/mqtt311.bash"
LACKS+=' group unix'
TOPICS=(t t/a/b t-a_b 'ünï·cødé' "$(printf 'long%.0s' {1..40})")

topic() { echo "t${BATS_TEST_NUMBER:-0}x$RANDOM"; }

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv}

	mkdir -p "$name.d"
	{
		echo "server_name: $name"
		echo 'listen: 127.0.0.1:-1'
		echo 'max_payload: 33554432'
		echo "jetstream { store_dir: \"$PWD/$name.d\", max_mem: 512M, max_file: 8G }"
		echo "mqtt { listen: 127.0.0.1:$port, ack_wait: \"3s\""
		case $kind in
		tls) echo "  tls { cert_file: $c.crt, key_file: $c.key }" ;;
		mtls)
			echo "  tls { cert_file: $c.crt, key_file: $c.key"
			echo "        ca_file: $BATS_FILE_TMPDIR/ca.crt, verify: true }"
			;;
		esac
		echo '}'
		[ "$kind" != forbidden ] || cat <<-'END'
			authorization { users: [
			  { user: mbus, password: secret }
			  { user: reader, password: reader, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
			  { user: writer, password: writer, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
			] }
		END
		[ "$kind" != users ] || cat <<-'END'
			authorization { users: [
			  { user: mbus, password: secret }
			  { user: reader, password: reader, permissions: { publish: { deny: ">" } } }
			  { user: writer, password: writer, permissions: { subscribe: { deny: ">" } } }
			] }
		END
	} > "$name.conf"
	start "$name" nats-server -c "$name.conf"
	wait_for grep -q 'Server is ready' "$name.err"
}

# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# MQTT 5 by Mosquitto. Without a session what is on its way to a member of a group
# goes with it.
BROKER=mqtt
LACKS='keep handover'
OPTIONS=(-X mqtt.version=5)
CARRIES='header null-body'
CARRIES_RAW='header repeat-header'
KEEPER=(-X mqtt.client_id=keeper -X mqtt.session=1h)
# It may have no more than so many unanswered, and -W is not for those behind.
QUICK=(-X mqtt.keepalive=1s)
ALIVE=(-X mqtt.keepalive=1s)

# mosquitto_users KIND: mbus, reader and writer, as the security plugin has it in its file.
mosquitto_users() {
	python3 - "$1" <<-'END'
		import base64, hashlib, json, sys
		def client(name, password, role):
		    key = hashlib.pbkdf2_hmac("sha512", password.encode(), b"twelve bytes", 101, 64)
		    return {"username": name, "password": base64.b64encode(key).decode(), "iterations": 101,
		            "salt": base64.b64encode(b"twelve bytes").decode(), "roles": [{"rolename": role}]}
		def role(name, *acls):
		    if sys.argv[1] == "forbidden" and name != "both": acls = ()
		    return {"rolename": name, "acls": [{"acltype": a, "topic": "#", "allow": True} for a in acls]}
		print(json.dumps({
		    "defaultACLAccess": {"publishClientSend": False, "publishClientReceive": True,
		                         "subscribe": False, "unsubscribe": True},
		    "clients": [client("mbus", "secret", "both"), client("reader", "reader", "read"),
		                client("writer", "writer", "write")],
		    "roles": [role("both", "publishClientSend", "subscribePattern"),
		              role("read", "subscribePattern"), role("write", "publishClientSend")]}))
	END
}

serve() {
	local name=$1 port=$2 kind=$3 c=$BATS_FILE_TMPDIR/${4-srv}

	mkdir -p "$name.d"
	{
		# Else it becomes a user who cannot read the test's files.
		echo 'per_listener_settings false'
		echo 'user root'
		echo 'log_type error'
		echo 'log_type warning'
		echo 'log_type notice'
		case $kind in
		lenient | durable | *tls)
			echo 'max_queued_messages 0'
			echo 'max_queued_bytes 0'
			;;
		esac
		echo "persistence $([ "$kind" = durable ] && echo true || echo false)"
		echo "persistence_location $PWD/$name.d/"
		echo "listener $port ${AT-127.0.0.1}"
		case $kind in
		tls | mtls)
			echo "cafile $BATS_FILE_TMPDIR/ca.crt"
			echo "certfile $c.crt"
			echo "keyfile $c.key"
			[ "$kind" = tls ] || echo 'require_certificate true'
			;;
		esac
		if [ "$kind" = users ] || [ "$kind" = forbidden ]; then
			# The plain access list of a file does not refuse subscriptions.
			echo 'allow_anonymous false'
			echo "plugin $(find /usr/lib /usr/local/lib -name mosquitto_dynamic_security.so | head -n 1)"
			echo "plugin_opt_config_file $PWD/$name.users"
			mosquitto_users "$kind" > "$name.users"
		else
			echo 'allow_anonymous true'
			echo "listener 0 $PWD/$name.sock"
		fi
	} > "$name.conf"
	start "$name" mosquitto -c "$name.conf"
	# shellcheck disable=SC2016
	wait_for bash -c 'exec 3<> "/dev/tcp/$1/$0"' "$port" "${AT-127.0.0.1}" 2> "$name.probe"
}

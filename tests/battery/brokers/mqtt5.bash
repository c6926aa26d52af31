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
		lenient | durable)
			echo 'max_queued_messages 0'
			echo 'max_queued_bytes 0'
			;;
		esac
		echo "persistence $([ "$kind" = durable ] && echo true || echo false)"
		echo "persistence_location $PWD/$name.d/"
		echo "listener $port 127.0.0.1"
		case $kind in
		tls | mtls)
			echo "cafile $BATS_FILE_TMPDIR/ca.crt"
			echo "certfile $c.crt"
			echo "keyfile $c.key"
			[ "$kind" = tls ] || echo 'require_certificate true'
			;;
		esac
		if [ "$kind" = users ]; then
			echo 'allow_anonymous false'
			echo "password_file $PWD/$name.passwd"
			echo "acl_file $PWD/$name.acl"
		else
			echo 'allow_anonymous true'
			echo "listener 0 $PWD/$name.sock"
		fi
	} > "$name.conf"
	if [ "$kind" = users ]; then
		printf '%s\n' mbus:secret reader:reader writer:writer > "$name.passwd"
		mosquitto_passwd -U "$name.passwd"
		printf 'user %s\ntopic %s #\n' mbus readwrite reader read writer write > "$name.acl"
	fi
	start "$name" mosquitto -c "$name.conf"
	# shellcheck disable=SC2016
	wait_for bash -c 'exec 3<> "/dev/tcp/127.0.0.1/$0"' "$port" 2> "$name.probe"
}

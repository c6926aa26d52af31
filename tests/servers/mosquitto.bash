# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# A Mosquitto for a test: `load ../servers/mosquitto`. It belongs to the test like all
# that is started by tests/lib.bash, and ends with it.
#
#	mosquitto_start [NAME [CONFIGURATION LINE...]]
#	mosquitto_alone [NAME [CONFIGURATION LINE...]]	MQTT_PORT only
#	mosquitto_stop [NAME [SIGNAL]]
#
# NAME (default: server) is for start, stop and PID of lib.bash. These are set, and
# the same each time, so that a server can be started again:
#
#	MQTT_PORT, MQTT_SOCK	everybody, without a password
#	MQTT_USER_PORT		users only: mbus (password secret) may all, reader
#				(reader) may only read, writer (writer) only write
#	MQTT_TLS_PORT		everybody, with TLS (certificate srv.crt, srv.key)
#	MQTT_MTLS_PORT		who has a certificate of ca.crt
#	MQTT_WS_PORT		everybody, over WebSockets
#
# TLS only where MQTT_CERTS names a folder with ca.crt, srv.crt, srv.key. Nothing is
# dropped by a full queue, and what is retained or queued is lost with the server
# (unless a line says "persistence true"). The lines stand behind those of the listener
# of MQTT_PORT.
#
# For what a session missed while nobody was connected it takes mosquitto_alone: where
# settings are per listener, Mosquitto 2.0.14 and later do not deliver it (issue 2526 of
# its repository).

MQTT_PORT=18830 MQTT_USER_PORT=18831 MQTT_TLS_PORT=18832 MQTT_MTLS_PORT=18833 MQTT_WS_PORT=18834
MQTT_CERTS=
MQTT_ALONE=

# Debian keeps it where an ordinary user does not look.
PATH=$PATH:/usr/sbin

mosquitto_conf() {
	local dir=$1 line

	shift
	[ "$MQTT_ALONE" ] || echo 'per_listener_settings true'
	echo 'user root'		# else it becomes a user who cannot read these files
	echo 'log_type error'
	echo 'log_type warning'
	echo 'max_queued_messages 0'
	echo 'max_queued_bytes 0'
	echo "persistence_location $dir/"
	echo "listener $MQTT_PORT 127.0.0.1"
	echo 'allow_anonymous true'
	for line; do echo "$line"; done
	[ -z "$MQTT_ALONE" ] || return 0
	echo "listener 0 $MQTT_SOCK"
	echo 'allow_anonymous true'
	echo "listener $MQTT_USER_PORT 127.0.0.1"
	echo 'allow_anonymous false'
	echo "password_file $dir/passwd"
	echo "acl_file $dir/acl"
	echo "listener $MQTT_WS_PORT 127.0.0.1"
	echo 'protocol websockets'
	echo 'allow_anonymous true'
	[ "$MQTT_CERTS" ] || return 0
	echo "listener $MQTT_TLS_PORT 127.0.0.1"
	mosquitto_tls
	echo "listener $MQTT_MTLS_PORT 127.0.0.1"
	mosquitto_tls
	echo 'require_certificate true'
}
mosquitto_tls() {
	echo 'allow_anonymous true'
	echo "cafile $MQTT_CERTS/ca.crt"
	echo "certfile $MQTT_CERTS/srv.crt"
	echo "keyfile $MQTT_CERTS/srv.key"
}

mosquitto_users() {
	local dir=$1 user

	# Later versions warn of those that others can read.
	(umask 077; : > "$dir/passwd"; : > "$dir/acl")
	for user in mbus:secret reader:reader writer:writer; do
		mosquitto_passwd -b "$dir/passwd" "${user%:*}" "${user#*:}"
	done
	printf '%s\n' 'user mbus' 'topic readwrite #' 'user reader' 'topic read #' \
		'user writer' 'topic write #' > "$dir/acl"
}

mosquitto_start() {
	local name=${1:-server} dir=$PWD/${1:-server}.d

	MQTT_SOCK=$PWD/$name.sock
	if [ ! -e "$dir" ]; then
		mkdir "$dir"
		mosquitto_users "$dir"
	fi
	mosquitto_conf "$dir" "${@:2}" > "$name.conf"
	start "$name" mosquitto -c "$name.conf"
	# A server is one that answers.
	wait_for mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -t mbus/probe -n 2> "$name.probe"
}

mosquitto_alone() {
	local MQTT_ALONE=1

	mosquitto_start "$@"
}

mosquitto_stop() {
	stop "${1:-server}" "${2:-TERM}" 2> /dev/null
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Users over TLS, with an Apache Kafka that has both at one listener. (Either alone is
# the battery's.) ca signs srv; alien is nobody's.

load ../lib
load kafka

C=$BATS_FILE_TMPDIR

setup_file() {
	local n

	cd "$C" || return
	for n in ca srv alien; do openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $n.key; done
	for n in ca alien; do openssl req -x509 -new -key $n.key -days 30 -subj "/O=mbus test/CN=$n" -out $n.crt; done
	openssl req -new -key srv.key -subj /CN=srv -out srv.csr
	openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
		-extfile <(echo subjectAltName=IP:127.0.0.1) -out srv.crt 2> openssl.err
	kafka_up "$KAFKA_OLD"
}
teardown_file() { kafka_down; }
setup() {
	kafka_setup
	echo secret > pw
	echo wrong > bad
	chmod 600 pw bad
	to=(-b 127.0.0.1:9095 --tls --tls-ca "$C/ca.crt" --username mbus --password-file pw)
	admin create "$t"
}

kafka_begin() {
	KAFKA_TLS=$C/srv kafka_files "$KAFKA_DIR" "$KAFKA_VERSION" plain:9092 sasl-tls:9095 sasl:9093 tls:9094 mtls:9096 || return
	"$ROOT/tests/servers/alone" "${kafka_command[@]}" < /dev/null > "$KAFKA_DIR/out" 2>&1 &
	echo $! > "$KAFKA_DIR/pid"
	wait_for -t 40 kafka_serves 9092 || fail "$(tail -n 20 "$KAFKA_DIR/out" "$KAFKA_DIR/kafka.log")"
}

@test "PLAIN and SCRAM over TLS: pub, sub, a group, a transaction, topics" {
	local m

	for m in PLAIN SCRAM-SHA-256 SCRAM-SHA-512; do
		mbus pub "${to[@]}" -X sasl.mechanism=$m "$t" $m
		is "$(mbus sub "${to[@]}" -X sasl.mechanism=$m --body -o -1 -e "$t")" $m
		is "$(mbus sub "${to[@]}" -X sasl.mechanism=$m --body -g "g$t" -o beginning -e "$t")" $m
	done
	seq 3 | mbus pub "${to[@]}" --transaction -l "$t"
	has "$(mbus topics "${to[@]}" "$t")" "group g$t" 'lag '
	mbus pub --url "kafka://mbus@127.0.0.1:9095/$t" --password-file pw --tls --tls-ca "$C/ca.crt" -m url
	is "$(mbus sub --body -o -1 -e "$t")" url
}

@test "a wrong password, a stranger's certificate, no TLS: told apart" {
	local m command

	for command in "pub $t x" "sub $t" "topics $t"; do
		for m in PLAIN SCRAM-SHA-512; do
			# shellcheck disable=SC2086
			run --separate-stderr mbus ${command%% *} "${to[@]}" --password-file bad -X sasl.mechanism=$m ${command#* }
			status_is 4
			has "$stderr" uthentication
		done
		# shellcheck disable=SC2086
		run --separate-stderr mbus ${command%% *} "${to[@]}" --tls-ca "$C/alien.crt" ${command#* }
		status_is 4
		has "$stderr" certificate
		# shellcheck disable=SC2086
		run --separate-stderr mbus ${command%% *} -b 127.0.0.1:9095 --username mbus --password-file pw \
			--connect-timeout 2 ${command#* }
		status_is 3
	done
}

# says STATUS WORDS COMMAND [OPTION...]: that of pub, sub and topics.
says() {
	local command

	for command in "pub $t x" "sub --check $t" "topics $t"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus $command "${@:3}"
		status_is "$1"
		has "$stderr" ": $2"
		run ! grep -E 'ssl\.|security\.protocol|api\.version|mechanism' <<< "$stderr"
	done
}

@test "what does not fit the port is said in the options of mbus" {
	local user=(--username mbus --password-file pw) tls=(--tls --tls-ca "$C/ca.crt")

	says 3 'the server hung up before it answered: perhaps it wants a user (--username, --password-file) or --tls' -b 127.0.0.1:9093
	says 4 'this port has no users: leave out --username and MBUS_PASSWORD' -b 127.0.0.1:9092 "${user[@]}"
	says 4 'this port has no users: leave out --username and MBUS_PASSWORD' -b 127.0.0.1:9094 "${user[@]}" "${tls[@]}"
	says 3 'the server hung up on what is not TLS (does this port speak TLS? --tls)' -b 127.0.0.1:9094
	says 3 'the server hung up on what is not TLS (does this port speak TLS? --tls)' -b 127.0.0.1:9095 "${user[@]}"
	says 3 'this port does not speak TLS: leave out --tls' -b 127.0.0.1:9092 "${tls[@]}"
	says 3 'this port does not speak TLS: leave out --tls' -b 127.0.0.1:9093 "${tls[@]}"
	says 4 'its certificate is by an authority that is not trusted (--tls-ca FILE)' -b 127.0.0.1:9094 --tls
	says 4 'its certificate is by an authority that is not trusted (--tls-ca FILE)' -b 127.0.0.1:9094 --tls --tls-ca "$C/alien.crt"
	says 3 'the server hung up before it answered: perhaps it wants a user (--username, --password-file)' -b 127.0.0.1:9095 "${tls[@]}"
	says 4 'the server wants another certificate, or one at all (--tls-cert FILE)' -b 127.0.0.1:9096 "${tls[@]}"
}

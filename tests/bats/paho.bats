#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The mqtt broker's second driver, on paho.mqtt.c. What every broker must do is in the
# battery (paho5, paho311); here is what only this driver has, and what it has not.
#
# bats sets stderr, the servers use MQTT_CERTS, and some loops just count:
# shellcheck disable=SC2016,SC2034,SC2154

load ../lib
load ../servers/mosquitto

setup_file() {
	local key=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)

	cd "$BATS_FILE_TMPDIR" || return
	openssl genpkey -quiet "${key[@]}" -out ca.key
	openssl req -x509 -new -key ca.key -days 30 -subj /CN=ca -out ca.crt
	openssl genpkey -quiet "${key[@]}" -out srv.key
	openssl req -new -key srv.key -subj /CN=srv -out srv.csr
	openssl x509 -req -in srv.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
		-extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out srv.crt 2> /dev/null
	chmod 644 ./*.key
}

setup() {
	lib_setup
	export MICRO_BROKER=mqtt MICRO_BROKER_ADDRESS=127.0.0.1:$MQTT_PORT
	PAHO=(-X mqtt.driver=paho)
	WS=ws://127.0.0.1:$MQTT_WS_PORT
}

@test "WebSockets: ws:// chooses the driver; events go both ways, in both versions" {
	mosquitto_start
	for v in 5 3.1.1; do
		start_sub ours -b "$WS" -X version=$v -J -c 3 "w/$v"
		start_sub theirs -X version=$v -J -c 3 "w/$v"
		run -0 mbus pub -b "$WS" -X version=$v --qos 0 "w/$v" zero
		run -0 mbus pub --url "$WS/w/$v" -X version=$v "one"
		run -0 mbus pub -X version=$v --qos 2 "w/$v" two
		finish ours
		is "$status" 0
		finish theirs
		is "$(grep -o '"body":"[a-z]*"' ours.out)" "$(printf '"body":"%s"\n' zero one two)"
		is "$(grep -o '"body":"[a-z]*"' theirs.out)" "$(printf '"body":"%s"\n' zero one two)"
	done
}

@test "WebSockets: 20,000 events, with --wire raw and headers" {
	mosquitto_start
	start_sub ours -b "$WS" --wire raw --body -c 20000 w
	seq 20000 > sent
	run -0 mbus pub -b "$WS" --wire raw -H a:b -l w < sent
	finish ours 30
	is "$status" 0
	same_bytes sent ours.out
}

@test "WebSockets over TLS" {
	MQTT_CERTS=$BATS_FILE_TMPDIR
	mosquitto_start server 'listener 18835 127.0.0.1' 'protocol websockets' 'allow_anonymous true' \
		"cafile $MQTT_CERTS/ca.crt" "certfile $MQTT_CERTS/srv.crt" "keyfile $MQTT_CERTS/srv.key"
	start_sub ours -c 1 --body w
	run -0 mbus pub -b wss://127.0.0.1:18835 --tls-ca "$MQTT_CERTS/ca.crt" w hello
	finish ours
	is "$(< ours.out)" hello
	run --separate-stderr mbus pub -b wss://127.0.0.1:18835 w hello
	status_is 4
	has "$stderr" certificate
}

@test "the path of a WebSocket, and an HTTP proxy" {
	MQTT_CERTS=$BATS_FILE_TMPDIR
	mosquitto_start
	cat > proxy.py <<-'END'
		import os, socket, sys, threading
		s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		os.write(8, b"\n")
		def pump(a, b):
		    while d := a.recv(65536):
		        b.sendall(d)
		    b.shutdown(socket.SHUT_WR)
		while True:
		    c, _ = s.accept()
		    head = b""
		    while b"\r\n\r\n" not in head:
		        head += c.recv(1)
		    print(head.split(b"\r\n")[0].decode(), flush=True)
		    host, port = head.split()[1].decode().rsplit(":", 1)
		    o = socket.create_connection((host, int(port)))
		    c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
		    for way in (c, o), (o, c):
		        threading.Thread(target=pump, args=way, daemon=True).start()
	END
	start_ready proxy python3 proxy.py 18836
	start_sub ours -c 3 --body p
	run -0 mbus pub "${PAHO[@]}" -X proxy=127.0.0.1:18836 p plain
	has "$(< proxy.out)" "CONNECT 127.0.0.1:$MQTT_PORT"
	run -0 mbus pub -b "$WS" -X proxy=127.0.0.1:18836 -X ws_path=/other p websocket
	has "$(< proxy.out)" "CONNECT 127.0.0.1:$MQTT_WS_PORT"
	run -0 mbus pub -b "ssl://127.0.0.1:$MQTT_TLS_PORT" "${PAHO[@]}" --tls-ca "$MQTT_CERTS/ca.crt" \
		-X proxy=127.0.0.1:18836 p tls
	has "$(< proxy.out)" "CONNECT 127.0.0.1:$MQTT_TLS_PORT"
	finish ours
	is "$(< ours.out)" $'plain\nwebsocket\ntls'
	# What the environment says is for others.
	http_proxy=http://127.0.0.1:1 run -0 mbus pub "${PAHO[@]}" p x
}

@test "what one driver has not says which one has it" {
	for o in "-b $WS -X mqtt.driver=mbus" '-X proxy=127.0.0.1:1' '-X ws_path=/x'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus pub $o t x
		status_is 5
		has "$stderr" mqtt.driver=paho
	done
	for o in "-b $PWD/sock" '--tls --tls-sni other'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus pub "${PAHO[@]}" $o t x
		status_is 5
		has "$stderr" mqtt.driver=mbus
	done
	run --separate-stderr mbus pub "${PAHO[@]}" -X alias=3 t x
	status_is 5
	for o in proxy=a@b:1 proxy= ws_path=x; do
		run --separate-stderr mbus pub "${PAHO[@]}" -X "$o" t x
		status_is 2
	done
}

@test "an event that is not written is not acknowledged: the session has it" {
	local keep=("${PAHO[@]}" -X client_id=keeper -X session=1h)

	mosquitto_alone
	for q in 1 2; do
		run -0 mbus sub "${keep[@]}" --qos 2 --idle 0.5 "s$q"
		seq 10 > sent
		run -0 mbus pub "${PAHO[@]}" --qos $q -l "s$q" < sent
		for k in 1 2; do mbus sub "${keep[@]}" --qos 2 --body -c 3 "s$q" >> got; done
		mbus sub "${keep[@]}" --qos 2 --body --idle 1 "s$q" >> got
		# Two goodbyes with an event in hand: it comes again, and none is lost.
		sort -nu got | cmp - sent
		rm got
	done
}

@test "properties, will, retained, groups and wildcards" {
	mosquitto_start
	start_sub all "${PAHO[@]}" --wire raw -J -c 1 'a/+/c'
	run -0 mbus pub "${PAHO[@]}" --wire raw -H x:1 -H x:2 --content-type text/x --reply-to r --ttl 60s \
		a/b/c body
	finish all
	has "$(< all.out)" '"topic":"a/b/c"' '"content_type":"text/x"'
	start_sub will --body -c 1 gone
	start_sub dies "${PAHO[@]}" -X will_topic=gone -X will=alas t
	stop dies KILL
	finish will
	is "$(< will.out)" alas
	run -0 mbus pub "${PAHO[@]}" -r kept old
	run -0 mbus sub "${PAHO[@]}" --body -c 1 kept
	is "$output" old
	run mbus sub "${PAHO[@]}" --no-retained -W 0.5 kept
	status_is 124
	start_sub one "${PAHO[@]}" --body -g g work
	start_sub two "${PAHO[@]}" --body -g g work
	seq 100 | mbus pub "${PAHO[@]}" -l work
	wait_for bash -c '[ "$(cat one.out two.out | wc -l)" = 100 ]'
	is "$(cat one.out two.out | sort -n)" "$(seq 100)"
}

@test "a server that answers version 5 by closing, or by 3.1.1's words, is asked with 3.1.1" {
	cat > old.py <<-'END'
		import os, socket
		s = socket.create_server(("127.0.0.1", 18837))
		os.write(8, b"\n")
		def take(c):
		    kind, n = c.recv(1), c.recv(1)
		    return kind and (kind[0], c.recv(n[0], socket.MSG_WAITALL))
		for refusal in b"", b"\x20\x02\x00\x01":
		    c, _ = s.accept()
		    assert take(c)[1][6] == 5
		    c.sendall(refusal)
		    c.close()
		    c, _ = s.accept()
		    assert take(c)[1][6] == 4
		    c.sendall(b"\x20\x02\x00\x00")
		    kind, body = take(c)
		    assert kind == 0x32
		    c.sendall(b"\x40\x02" + body[3:5])
		    assert take(c)[0] == 0xe0
	END
	start_ready old python3 old.py 18837
	for i in 1 2; do
		run --separate-stderr mbus pub -v "${PAHO[@]}" -b 127.0.0.1:18837 a body
		status_is 0
		has "$stderr" "does not speak MQTT 5" "1 confirmed"
	done
	finish old
	is "$status" 0
}

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
		run -0 mbus pub --url "$WS/mqtt" -X version=$v "w/$v" "one"
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

@test "the path of ws:// is the WebSocket's, as other clients have it; the topic is an operand" {
	cat > web.py <<-'END'
		import os, socket
		s = socket.create_server(("127.0.0.1", 18836))
		os.write(8, b"\n")
		while True:
		    c, _ = s.accept()
		    head = c.recv(4096).split(b"\r\n")[0].decode()
		    print(head, flush=True)
		    c.close()
	END
	start_ready web python3 web.py 18836
	U=ws://127.0.0.1:18836
	for a in "$U/ws/x" "$U/ws?token=a%2Fb" "$U/" "$U"; do
		run --separate-stderr mbus pub --url "$a" -X version=3.1.1 t x
		status_is 3
	done
	run mbus pub -b "$U" -X ws_path=/other -X version=3.1.1 t x
	status_is 3
	is "$(< web.out)" "$(printf 'GET %s HTTP/1.1\n' /ws/x '/ws?token=a%2Fb' / /mqtt /other)"
	run --separate-stderr mbus pub -b "$U/a" -X ws_path=/other t x
	status_is 2
	has "$stderr" "one of them"
	run --separate-stderr mbus sub --check -u "$U/a"
	status_is 2
	has "$stderr" topic
}

# fake: a server by the letter, in Python from stdin: up() accepts a connection and
# answers CONNECT, take(N) reads a packet whose first byte is N, give("40 02 0001")
# writes, gone() reads to the end. It has a port of its own, and version 5.
fake() {
	{
		cat <<-'END'
			import os, socket
			s = socket.create_server(("127.0.0.1", 18998))
			os.write(8, b"\n")
			def packet():
			    kind, n = c.recv(1), c.recv(1)
			    return kind and kind[0], c.recv(n[0], socket.MSG_WAITALL) if n and n[0] else b""
			def take(wanted):
			    kind, rest = packet()
			    assert kind == wanted, "%r %s and not %02x" % (kind, rest.hex(), wanted)
			    return rest
			def give(text):
			    c.sendall(bytes.fromhex(text))
			def up():
			    global c
			    c, _ = s.accept()
			    c.settimeout(10)
			    take(0x10)
			    give("20 03 00 00 00")
			def subscribed():
			    up()
			    give("90 04" + take(0x82)[0:2].hex() + "00 02")
			def gone():
			    """What it said until it closed."""
			    said = b""
			    while part := c.recv(1000):
			        said += part
			    return said.hex()
			def refuse():
			    s.settimeout(1.5)
			    try:
			        s.accept()
			        assert False, "a connection"
			    except socket.timeout:
			        s.settimeout(None)
		END
		cat
	} > fake.py
	start_ready fake python3 fake.py
	export MICRO_BROKER_ADDRESS=127.0.0.1:18998
}
fake_is_content() {
	finish fake
	is "$status" 0
}

@test "what the library does not look at: topics, texts, sizes; it is not acknowledged either" {
	fake <<-'END'
		good = "32 07 0001 61 0007 00 31"
		for bad in "34 07 0001 ff 0008 00 32", "34 07 0001 00 0008 00 32", "34 07 0001 2b 0008 00 32", \
		    "34 09 0003 612f23 0008 00 32", "34 0d 0001 61 0008 06 03 0003 41ff42 32":
		    subscribed()
		    give(good)
		    assert take(0x40)[0:2].hex() == "0007"
		    give(bad)
		    assert "500" not in gone(), bad
		subscribed()
		c.sendall(b"\x34\x87\x10\0\1a\0\x08\0" + b"x" * 2050)
		assert "500" not in gone()
	END
	for i in 1 2 3 4 5; do
		run --separate-stderr mbus sub "${PAHO[@]}" --reconnect no --body --qos 2 a
		status_is 3
		is "$output" 1
		has "$stderr" "the server breaks MQTT's rules: a "
	done
	run --separate-stderr mbus sub "${PAHO[@]}" -X max_packet=2000 --body --qos 2 a
	status_is 5
	has "$stderr" "larger than -X mqtt.max_packet=2000"
	fake_is_content
}

@test "an answer to a subscription does not confirm an event" {
	fake <<-'END'
		for answer in "90 04 %s 00 01", "b0 04 %s 00 00":
		    up()
		    give(answer % take(0x32)[3:5].hex())
		    gone()
		up()
		give("40 02" + take(0x32)[3:5].hex())
		gone()
	END
	for i in 1 2; do
		run --separate-stderr mbus pub -v "${PAHO[@]}" a body
		status_is 3
		has "$stderr" "an answer of another kind" "1 unknown"
	done
	run --separate-stderr mbus pub -v "${PAHO[@]}" a body
	status_is 0
	has "$stderr" "1 confirmed"
	fake_is_content
}

@test "what cannot come, and what comes to the same each time, ends the run" {
	fake <<-'END'
		up()
		take(0x82)
		c.close()
		for i in range(3):
		    subscribed()
		    give("31 08 0003 666f6f 00 31 31 31 06 0003 ff2f61 00")
		    gone()
		subscribed()
		c.close()
		for i in range(3):
		    up()
		    take(0x82)
		    c.close()
		refuse()
	END
	run --separate-stderr mbus sub "${PAHO[@]}" --check a
	status_is 3
	has "$stderr" "a: the connection went when the server was asked for it"
	run --separate-stderr mbus sub "${PAHO[@]}" --body -c 5 'foo/#'
	status_is 3
	is "$output" "$(printf '11\n11\n11')"
	has "$stderr" "3 times in a row: 127.0.0.1:18998: the server breaks MQTT's rules"
	run --separate-stderr mbus sub "${PAHO[@]}" a
	status_is 3
	has "$stderr" "3 times in a row: " "are lost, as there is no session"
	fake_is_content
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
	run --separate-stderr mbus sub "${PAHO[@]}" -X watch_drops=yes t
	status_is 5
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

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The mqtt broker against a real Mosquitto and its own clients, in both versions.
# What every broker must do is in the battery; here is what only this one has.
#
# bats sets stderr, the servers use MQTT_CERTS, and what is quoted is meant as it is:
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154

load ../lib
load ../servers/mosquitto

setup_file() {
	local key=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256) name

	cd "$BATS_FILE_TMPDIR" || return
	for name in ca foreign; do
		openssl genpkey -quiet "${key[@]}" -out $name.key
		openssl req -x509 -new -key $name.key -days 30 -subj "/CN=$name" -out $name.crt
	done
	for name in srv cli; do
		openssl genpkey -quiet "${key[@]}" -out $name.key
		openssl req -new -key $name.key -subj "/CN=$name" -out $name.csr
		openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
			-extfile <(echo 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out $name.crt 2> /dev/null
	done
}

setup() {
	lib_setup
	export MICRO_BROKER=mqtt MICRO_BROKER_ADDRESS=127.0.0.1:$MQTT_PORT
}

# Of mosquitto's clients: version 5 and 3.1.1.
V5=(-V mqttv5) V311=(-V mqttv311)

# their_sub NAME OPTION...: a mosquitto_sub that has subscribed.
their_sub() {
	start "$1" stdbuf -oL mosquitto_sub -d -h 127.0.0.1 -p "$MQTT_PORT" "${@:2}"
	wait_for grep -q 'Subscribed (mid' "$1.out"
}
# theirs NAME: what it printed of events.
theirs() { grep -vE '^(Client |Subscribed )' "$1.out"; }

# fake: a server by the letter, in Python from stdin: up() accepts a connection and
# answers CONNECT, take(N) reads a packet whose first byte is N and gives the rest of
# it, give("40 02 0001") writes, quiet() sees that nothing comes.
fake() {
	{
		cat <<-'END'
			import socket, sys, time
			s = socket.socket()
			s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
			s.bind(("127.0.0.1", 18998))
			s.listen()
			print("up", flush=True)
			def some(n):
			    got = b""
			    while len(got) < n:
			        part = c.recv(n - len(got))
			        assert part, "the connection was closed"
			        got += part
			    return got
			def packet():
			    first, length = some(1)[0], some(1)[0]
			    assert length < 128
			    return first, some(length)
			def take(wanted):
			    first, rest = packet()
			    assert first == wanted, "%02x %s and not %02x" % (first, rest.hex(), wanted)
			    return rest
			def give(text):
			    c.sendall(bytes.fromhex(text))
			def up(answer="20 03 00 00 00"):
			    global c
			    c, _ = s.accept()
			    c.settimeout(10)
			    hello = take(0x10)
			    give(answer)
			    return hello
			def quiet():
			    c.settimeout(0.3)
			    try:
			        assert False, c.recv(1).hex()
			    except socket.timeout:
			        c.settimeout(10)
		END
		cat
	} > fake.py
	start fake python3 fake.py
	wait_for lines_in fake.out 1
	export MICRO_BROKER_ADDRESS=127.0.0.1:18998
}
fake_is_content() {
	finish fake
	is "$status" 0
}

@test "events both ways, in both versions and every QoS" {
	mosquitto_start
	for v in 5 3.1.1; do
		if [ $v = 5 ]; then theirs=("${V5[@]}"); else theirs=("${V311[@]}"); fi
		for q in 0 1 2; do
			start_sub ours -J -c 1 -X version=$v --qos $q "i/$v/$q"
			mosquitto_pub "${theirs[@]}" -h 127.0.0.1 -p "$MQTT_PORT" -q $q -t "i/$v/$q" -m "one $v $q"
			finish ours
			has "$(< ours.out)" "\"body\":\"one $v $q\"" "\"qos\":$q" '"wire":"raw"'

			their_sub them "${theirs[@]}" -q 2 -C 1 -t "o/$v/$q" -F '%q %p'
			run --separate-stderr mbus pub -v -X version=$v --wire raw --qos $q "o/$v/$q" "two $v $q"
			status_is 0
			has "$stderr" "1 confirmed"
			finish them
			is "$(theirs them)" "$q two $v $q"
		done
	done
}

@test "an envelope is what is sent by default, byte for byte as go-micro's" {
	mosquitto_start
	their_sub them -q 1 -C 1 -t t.a -F '%q %r %p'
	mbus pub -H k:v t.a hi
	finish them
	is "$(theirs them)" '1 0 {"Header":{"k":"v"},"Body":"aGk="}'
	start_sub ours -J -c 3 t.a
	mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t t.a -m '{"Header":{"k":"v"},"Body":"aGk="}'
	mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t t.a -m '{"Header":null,"Body":null}'
	mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t t.a -m 'bare'
	finish ours
	has "$(sed -n 1p ours.out)" '"headers":{"k":"v"}' '"body":"hi"' '"wire":"micro"'
	has "$(sed -n 2p ours.out)" '"headers":{}' '"body":null' '"wire":"micro"'
	has "$(sed -n 3p ours.out)" '"body":"bare"' '"wire":"raw"'
}

@test "bare bodies of every byte, and empty ones" {
	mosquitto_start
	python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)' > all
	start_sub ours --raw -N -c 1 b/in
	mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t b/in -f all
	finish ours
	same_bytes ours.out all
	start them mosquitto_sub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -C 1 -N -t b/out
	wait_for mbus pub -q -r --wire raw b/out -f all
	finish them
	same_bytes them.out all
	start_sub ours -J -c 1 b/empty
	mosquitto_pub -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t b/empty -n
	finish ours
	has "$(< ours.out)" '"body":""' '"len":0'
}

@test "user properties and the other properties of version 5, both ways" {
	mosquitto_start
	start_sub ours -J -c 1 p/in
	mosquitto_pub -V 5 -h 127.0.0.1 -p "$MQTT_PORT" -q 1 -t p/in -m x \
		-D publish user-property k v1 -D publish user-property k v2 -D publish user-property a b \
		-D publish content-type text/plain -D publish response-topic re/ply \
		-D publish correlation-data abc -D publish message-expiry-interval 60
	finish ours
	has "$(< ours.out)" '"k":["v1","v2"]' '"a":"b"' 'text/plain' 're/ply' 'abc'
	their_sub them -V 5 -q 1 -C 1 -t p/out -F '%P|%C|%R|%E|%p'
	mbus pub --wire raw -H k:v1 -H k:v2 -H a:b --content-type text/plain --reply-to re/ply --ttl 60 \
		p/out x
	finish them
	has "$(theirs them)" 'k:v1 k:v2 a:b' '|x'
	has "$(theirs them)" '|re/ply|60|'
	run --separate-stderr mbus pub -X version=3.1.1 --wire raw -H k:v p/out x
	status_is 1
	has "$stderr" "headers" "--omit header"
}

@test "what Mosquitto ends the connection for is refused, and takes nobody along" {
	mosquitto_start
	start_sub ours --body -c 4 'c/#'
	cat > lines <<-'END'
		{"topic":"c/1","body":"one"}
		{"topic":"c/\t","body":"tab"}
		{"topic":"c/2","headers":{"k":"a\nb"},"body":"newline"}
		{"topic":"c/3","headers":{"\uffff":"v"},"body":"none"}
		{"topic":"c/4","headers":{"k":"v"},"body":"two"}
	END
	run --separate-stderr mbus pub --wire raw -J < lines
	status_is 1
	has "$stderr" "stdin:2: topic: holds U+0009" "header k: value: holds U+000A" \
		"header name: holds U+FFFF" "3 of 5 not delivered: 3 refused"
	# In the envelope they are JSON.
	run --separate-stderr mbus pub -J -t c/5 < <(sed -n '3p;5p' lines)
	status_is 0
	finish ours
	is "$(< ours.out)" $'one\ntwo\nnewline\ntwo'
	run --separate-stderr mbus sub -W 5 $'c/\t'
	status_is 2
	has "$stderr" "U+0009"
}

@test "wildcards show the event's own topic; + and # cannot be published to" {
	mosquitto_start
	start_sub ours -J -c 3 'w/+/x' 'v/#'
	for t in w/1/x w/1/y w/2/x v; do mbus pub $t body; done
	finish ours
	is "$(grep -o '"topic":"[^"]*"' ours.out | paste -sd ' ')" \
		'"topic":"w/1/x" "topic":"w/2/x" "topic":"v"'
	for t in 'a/+' 'a/#' '#'; do
		run --separate-stderr mbus pub -t "$t" body
		status_is 1
		has "$stderr" "wildcards"
	done
	run --separate-stderr mbus sub -W 2 'a/#/b'
	status_is 2
}

@test "an event that two subscriptions want is printed for both" {
	mosquitto_start
	for v in 5 3.1.1; do
		start_sub ours -J -X version=$v 'd/#' 'd/+'
		mbus pub d/1 one
		mbus pub d/1/2 two
		mbus pub d/end end
		wait_for grep -q '"end"' ours.out
		wait_for lines_in ours.out 5
		stop ours
		is "$(grep -c '"one"' ours.out)" 2
		is "$(grep -c '"two"' ours.out)" 1
		is "$(grep -c '"end"' ours.out)" 2
	done
}

@test "retained events: kept, shown as such, left out with -R, removed by an empty body" {
	mosquitto_start
	for v in 5 3.1.1; do
		mbus pub -X version=$v -r --wire raw "r/$v" kept
		run --separate-stderr mbus sub -X version=$v -J -c 1 -W 5 "r/$v"
		status_is 0
		has "$output" '"body":"kept"' '"retain":true'
		start_sub ours -J -R -c 1 -X version=$v "r/$v"
		mbus pub -X version=$v --wire raw "r/$v" new
		finish ours
		has "$(< ours.out)" '"body":"new"'
		mbus pub -X version=$v -r --wire raw "r/$v" ''
		run --separate-stderr mbus sub -X version=$v -W 0.5 "r/$v"
		status_is 124
	done
}

@test "a group shares the events" {
	mosquitto_start
	for v in 5 3.1.1; do
		start_sub one --body -X version=$v -g g "g/$v"
		start_sub two --body -X version=$v -g g "g/$v"
		start_sub all --body -X version=$v "g/$v"
		seq 1000 | mbus pub -X version=$v -l "g/$v"
		wait_for lines_in all.out 1000
			wait_for sh -c '[ $(cat one.out two.out | wc -l) -ge 1000 ]'
		stop one
		stop two
		stop all
		same_bytes <(sort -n one.out two.out) <(seq 1000)
		[ -s one.out ]
		[ -s two.out ]
	done
	run --separate-stderr mbus sub -g a/b x
	status_is 2
	has "$stderr" "without / + #"
}

@test "100,000 events of QoS 1 arrive, each once and in order" {
	mosquitto_start
	start_sub ours --body -c 100000 many
	seq 100000 | mbus pub -l many
	finish ours 60
	same_bytes ours.out <(seq 100000)
}

@test "QoS 0 and 2 in order, and mixed" {
	mosquitto_start
	for q in 0 2; do
		start_sub ours --body -c 20000 --qos 2 "q/$q"
		seq 20000 | mbus pub -l --qos $q "q/$q"
		finish ours 60
		same_bytes ours.out <(seq 20000)
	done
	start_sub ours --body -c 3000 --qos 2 q/mixed
	python3 -c 'for i in range(3000): print("{\"topic\":\"q/mixed\",\"body\":\"%d\",\"meta\":{\"qos\":%d}}" % (i, i % 3))' |
		mbus pub -J --keep-meta
	finish ours 60
	same_bytes <(sort -n ours.out) <(seq 0 2999)
}

@test "--ack none: pub does not wait for answers, sub gives them at once, nothing is lost" {
	mosquitto_start
	for v in 5 3.1.1; do
		for q in 0 1 2; do
			start_sub ours --body -c 5000 -X version=$v --ack none --qos $q "none/$v/$q"
			seq 5000 | mbus pub -l -X version=$v --ack none --qos $q "none/$v/$q"
			finish ours 30
			same_bytes ours.out <(seq 5000)
		done
	done
	fake <<-'END'
		up()
		take(0x32)
		take(0xc0)				# the end is made sure
		give("40 02 0001 d0 00")
		take(0xe0)
	END
	run --separate-stderr mbus pub -v --ack none a body
	status_is 0
	has "$stderr" "1 confirmed"
	fake_is_content
}

@test "topic aliases: shorter packets, the same events" {
	mosquitto_start
	start_sub ours -J -c 2000 'alias/#'
	for i in $(seq 1000); do echo "{\"topic\":\"alias/$((i % 20))\",\"body\":\"$i\"}"; done > lines
	mbus pub -J -X mqtt.alias=5 < lines
	mbus pub -J -X mqtt.alias=5 --reconnect 3 < lines
	finish ours
	is "$(sed -E 's/.*"topic":"([^"]*)".*"body":"([^"]*)".*/\1 \2/' ours.out | sort | uniq -c | sort -k 3n |
		awk '{ print $1, $2, $3 }')" "$(seq 1000 | awk '{ print 2, "alias/" $1 % 20, $1 }')"
}

@test "the server's limits: maximum packet, QoS, retain" {
	mosquitto_start server 'max_packet_size 2000' 'max_qos 1' 'retain_available false'
	start_sub ours --body -c 1 limits
	head -c 3000 /dev/zero | tr '\0' x > large
	run --separate-stderr mbus pub --wire raw limits -f large
	status_is 1
	has "$stderr" "too large" "the server takes 2000"
	run --separate-stderr mbus pub --qos 2 limits x
	status_is 1
	has "$stderr" "QoS 2: the server takes up to 1"
	run --separate-stderr mbus pub -r limits x
	status_is 1
	has "$stderr" "retain"
	mbus pub limits fits
	finish ours
	is "$(< ours.out)" fits
}

@test "our limits: a packet over -X mqtt.max_packet ends 3.1.1, and does not come with 5" {
	mosquitto_start
	head -c 3000 /dev/zero | tr '\0' x > large
	start_sub ours --body -c 1 -X max_packet=2000 lim
	mbus pub --wire raw lim -f large
	mbus pub --wire raw lim small
	finish ours
	is "$(< ours.out)" small
	start_sub ours --body -c 1 -X max_packet=2000 -X version=3.1.1 lim
	mbus pub --wire raw lim -f large
	finish ours
	is "$status" 5
	has "$(< ours.err)" "larger than -X mqtt.max_packet"
}

@test "users: wrong password and no password 4; what a reader may not publish 4" {
	mosquitto_start
	export MICRO_BROKER_ADDRESS=127.0.0.1:$MQTT_USER_PORT
	for v in 5 3.1.1; do
		MBUS_PASSWORD=wrong run --separate-stderr mbus pub -X version=$v --username mbus t x
		status_is 4
		matches "$stderr" ".*refused by the server: (Bad user name or password|Not authorized).*"
		run --separate-stderr mbus sub -X version=$v -W 5 t
		status_is 4
		MBUS_PASSWORD=secret mbus pub -X version=$v --username mbus t x
	done
	MBUS_PASSWORD=reader run --separate-stderr mbus pub --username reader t x
	status_is 4
	has "$stderr" "Not authorized (0x87)"
	# Here 3.1.1 has no word for it: see mbus-mqtt(7).
	MBUS_PASSWORD=reader run --separate-stderr mbus pub -X version=3.1.1 --username reader t x
	status_is 0
}

@test "nobody there 3, no such name 3, something that speaks no MQTT 3" {
	run --separate-stderr mbus pub -b 127.0.0.1:1 t x
	status_is 3
	run --separate-stderr mbus pub -b no-such-name.invalid t x
	status_is 3
	start other python3 -m http.server 18999 --bind 127.0.0.1
	wait_for bash -c 'exec 3<> /dev/tcp/127.0.0.1/18999' 2> /dev/null
	run --separate-stderr mbus pub -b 127.0.0.1:18999 t x
	status_is 3
	run --separate-stderr mbus pub -X mqtt.driver=mbus -b ws://127.0.0.1 t x
	status_is 5
	has "$stderr" "mqtt.driver=paho"
}

@test "TLS: verified; foreign authority and wrong name 4; client certificates" {
	MQTT_CERTS=$BATS_FILE_TMPDIR
	mosquitto_start
	C=$BATS_FILE_TMPDIR
	mbus pub -b "mqtts://127.0.0.1:$MQTT_TLS_PORT" --tls-ca "$C/ca.crt" t x
	mbus pub -b "ssl://localhost:$MQTT_TLS_PORT" --tls-ca "$C/ca.crt" t x
	run --separate-stderr mbus pub -b "mqtts://127.0.0.1:$MQTT_TLS_PORT" --tls-ca "$C/foreign.crt" t x
	status_is 4
	run --separate-stderr mbus pub -b "mqtts://127.0.0.1:$MQTT_TLS_PORT" --tls-ca "$C/ca.crt" \
		--tls-sni other.example t x
	status_is 4
	mbus pub -b "mqtts://127.0.0.1:$MQTT_MTLS_PORT" --tls-ca "$C/ca.crt" --tls-cert "$C/cli.crt" \
		--tls-key "$C/cli.key" t x
	run --separate-stderr mbus pub -b "mqtts://127.0.0.1:$MQTT_MTLS_PORT" --tls-ca "$C/ca.crt" t x
	[ "$status" = 4 ] || [ "$status" = 3 ]
	start_sub ours --body -c 5000 -b "mqtts://127.0.0.1:$MQTT_TLS_PORT" --tls-ca "$C/ca.crt" many
	seq 5000 | mbus pub -l -b "mqtts://127.0.0.1:$MQTT_TLS_PORT" --tls-ca "$C/ca.crt" many
	finish ours 30
	same_bytes ours.out <(seq 5000)
}

@test "a Unix socket, and URLs with a topic" {
	mosquitto_start
	start_sub ours --body -c 3 u
	mbus pub -b "$MQTT_SOCK" u one
	mbus pub -b "mqtt+unix://$MQTT_SOCK" u two
	mbus pub -u "mqtt://127.0.0.1:$MQTT_PORT/u" three
	finish ours
	is "$(paste -sd ' ' ours.out)" "one two three"
}

@test "a session is kept over a restart of sub, and what it missed comes" {
	mosquitto_alone
	for v in 5 3.1.1; do
		s=(-X "version=$v" -X "client_id=keeper$v" -X session=1h)
		start_sub ours --body "${s[@]}" --qos 2 "s/$v"
		mbus pub "s/$v" one
		wait_for lines_in ours.out 1
		stop ours
		seq 2 1000 | mbus pub -l --qos 2 "s/$v"
		# All of it may come before the subscription is confirmed once more.
		start ours mbus sub --body -c 999 "${s[@]}" --qos 2 "s/$v"
		finish ours
		same_bytes ours.out <(seq 2 1000)
	done
	run --separate-stderr mbus sub -X session=1h -W 1 t
	status_is 2
	has "$stderr" "client_id"
}

@test "without a session nothing is left behind in the server" {
	mosquitto_alone
	start_sub ours --body -X client_id=fleeting f
	stop ours
	mbus pub f missed
	start_sub ours --body -c 1 -X client_id=fleeting f
	mbus pub f seen
	finish ours
	is "$(< ours.out)" seen
}

@test "what was not printed is not acknowledged, and comes again with the session" {
	mosquitto_alone
	mkfifo slow
	for q in 1 2; do
		s=(-X "client_id=unread$q" -X session=1h --qos 2)
		start_sub ours --body "${s[@]}" "n/$q"
		stop ours
		seq -f "%08.0f$(printf '%0200d' 0)" 5000 | mbus pub -l --qos $q "n/$q"
		# Killed while its reader does not read: what it wrote is in the pipe.
		sh -c 'sleep 2; exec cat' < slow > some 3>&- & reader=$!
		mbus sub --body "${s[@]}" "n/$q" > slow 2> killed.err 3>&- & killed=$!
		sleep 1
		kill -KILL $killed
		wait $reader $killed || true
		start_sub ours --body "${s[@]}" "n/$q"
		wait_for grep -q '^00005000' ours.out
		stop ours
		is "$(cat some ours.out | cut -c 1-8 | sort -u | wc -l)" 5000
	done
}

@test "the will is published when we vanish, and not when we leave" {
	mosquitto_start
	start_sub watch --body -c 1 will/t
	will=(-X will_topic=will/t -X will=gone -X will_qos=1)
	start_sub ours "${will[@]}" x
	stop ours
	start_sub ours "${will[@]}" -X will=killed x
	stop ours KILL || true
	finish watch
	is "$(< watch.out)" killed
}

@test "a server that ends the connection says why; a session taken over is not fought for" {
	# (Mosquitto 2.0 just closes.)
	fake <<-'END'
		for bye in "8b", "8e":
		    up()
		    take(0x82)
		    give("e0 01" + bye)
	END
	start ours mbus sub x
	finish ours
	is "$status" 2
	has "$(< ours.err)" "Server shutting down (0x8b)" "Session taken over (0x8e)"
	fake_is_content
}

@test "a server that answers version 5 by closing, or by 3.1.1's words, is asked with 3.1.1" {
	fake <<-'END'
		for refusal in "", "20 02 00 01":
		    assert up(refusal)[6] == 5
		    c.close()
		    assert up("20 02 00 00")[6] == 4
		    publish = take(0x32)
		    give("40 02" + publish[3:5].hex())
		    take(0xe0)
	END
	for i in 1 2; do
		run --separate-stderr mbus pub -v a body
		status_is 0
		has "$stderr" "does not speak MQTT 5" "1 confirmed"
	done
	fake_is_content
}

@test "a session that was kept: PUBLISH is repeated as such, PUBREL goes on where it was" {
	fake <<-'END'
		assert up()[7] & 2 == 0			# no clean start
		first = take(0x34)
		c.close()
		assert up("20 03 01 00 00")[7] & 2 == 0
		assert take(0x3c) == first		# marked, and the same id
		id = first[3:5].hex()
		give("50 02" + id)
		assert take(0x62).hex() == id
		c.close()
		up("20 03 01 00 00")
		assert take(0x62).hex() == id
		give("70 02" + id)
		take(0xe0)
	END
	run --separate-stderr mbus pub -v --qos 2 --reconnect 9 -X client_id=me -X session=1h a body
	status_is 0
	has "$stderr" "1 confirmed"
	fake_is_content
}

@test "a session that was lost: what was not answered is new again" {
	fake <<-'END'
		up()
		first = take(0x32)
		c.close()
		up()
		assert take(0x32) == first
		give("40 02" + first[3:5].hex())
		take(0xe0)
	END
	run --separate-stderr mbus pub -v --reconnect 9 a body
	status_is 0
	has "$stderr" "1 confirmed"
	fake_is_content
}

@test "the server's receive maximum is kept, for QoS 1 and 2, and 0 passes by" {
	fake <<-'END'
		up("20 06 00 00 03 21 0002")
		one, two = take(0x32), take(0x32)
		quiet()
		give("40 03" + two[3:5].hex() + "97")	# in any order; this one is refused
		three = take(0x32)
		quiet()
		give("40 02" + three[3:5].hex() + "40 03" + one[3:5].hex() + "10")
		take(0xe0)
		up("20 06 00 00 03 21 0001")
		id = take(0x34)[3:5].hex()
		quiet()
		give("50 02" + id)
		take(0x62)
		quiet()
		give("70 02" + id)
		id = take(0x34)[3:5].hex()
		give("50 03" + id + "87")
		take(0xe0)
	END
	run --separate-stderr mbus pub -v -l a < <(seq 3)
	status_is 1
	has "$stderr" "Quota exceeded (0x97)" "1 of 3 not delivered: 1 refused" \
		"nobody subscribed to 1 of the confirmed events"
	run --separate-stderr mbus pub -v --qos 2 -l a < <(seq 2)
	status_is 4
	has "$stderr" "Not authorized (0x87)" "1 of 2 not delivered: 1 refused"
	fake_is_content
}

@test "QoS 2 received: once, also when it is repeated, also on the next connection" {
	fake <<-'END'
		one, again = "34 07 0001 61 0005 00 31", "3c 07 0001 61 0005 00 31"
		up()
		give("90 04" + take(0x82)[0:2].hex() + "00 02")
		give(one)
		assert take(0x50).hex() == "0005"
		give(again)
		assert take(0x50).hex() == "0005"
		c.close()
		up("20 03 01 00 00")
		give(again)
		assert take(0x50).hex() == "0005"
		give("62 02 0005")
		assert take(0x70).hex() == "0005"
		give("62 02 0005")
		assert take(0x70).hex() == "000592"
		give("34 07 0001 61 0005 00 32")	# the id is free again
		assert take(0x50).hex() == "0005"
		give("30 05 0001 61 00 33")
		while packet()[0] != 0xe0:
		    give("d0 00")
	END
	run --separate-stderr mbus sub --body --qos 2 -c 3 -X client_id=me -X session=1h a
	status_is 0
	is "$output" "$(seq 3)"
	fake_is_content
}

@test "QoS 0 is confirmed by the answer to one question behind a batch, and not before" {
	fake <<-'END'
		up()
		for i in range(3):
		    take(0x30)
		take(0xc0)
		quiet()
		c.close()
		up()
		for i in range(3):
		    take(0x30)
		take(0xc0)
		give("d0 00")
		take(0xe0)
	END
	run --separate-stderr mbus pub --qos 0 -l a < <(seq 3)
	status_is 3
	has "$stderr" "3 unknown"
	run --separate-stderr mbus pub -v --qos 0 -l a < <(seq 3)
	status_is 0
	has "$stderr" "3 confirmed"
	fake_is_content
}

@test "a server that breaks the rules is left: ids nobody gave, wildcards, aliases, other packets" {
	fake <<-'END'
		for bad in "30 06 0003 612f23 00", "30 07 0001 61 03 23 0001", "82 07 0001 00 0001 61 01", \
		    "20 03 00 00 00", "c0 01 00", "00 00", "36 00":
		    up()
		    give(bad)
		    while packet()[0] != 0xe0:
		        pass
	END
	for i in 1 2 3 4 5 6 7; do
		run --separate-stderr mbus sub --reconnect no a
		status_is 3
		has "$stderr" "breaks MQTT's rules"
	done
	fake_is_content
}

@test "events that reach nobody are confirmed and counted" {
	mosquitto_start
	run --separate-stderr mbus pub -v nobody/there x
	status_is 0
	has "$stderr" "nobody subscribed to 1 of the confirmed events"
}

@test "a server that stops answering ends pub after -W, also when no more may be sent" {
	mosquitto_start server 'max_inflight_messages 5'
	mkfifo pub.in
	exec 9<> pub.in
	start pub mbus pub -l --debug --qos 1 -W 1 k
	echo one >&9
	wait_for grep -q 'receive maximum 5' pub.err
	sleep 0.3
	kill -STOP "${PID[server]}"
	seq 100 >&9
	finish pub
	status_is 3
	kill -CONT "${PID[server]}"
	has "$(cat pub.err)" 'no answer to any of 5 events within 1 s' '1 confirmed, 5 unknown'
}

@test "a server that stops is noticed by the keep-alive, and one that comes back is used" {
	mosquitto_start
	start_sub ours --body -c 2 -X keepalive=1 k
	mbus pub k one
	wait_for lines_in ours.out 1
	kill -STOP "${PID[server]}"
	wait_for -t 20 grep -q 'no sign of life' ours.err
	kill -CONT "${PID[server]}"
	wait_for -t 20 grep -q 'again after' ours.err
	wait_for mbus pub k two
	finish ours
	is "$(tail -n 1 ours.out)" two
}

@test "killed under load: without --reconnect three true counts" {
	mosquitto_start
	start_sub ours --body --reconnect no load
	start pub mbus pub -l load -f <(seq 10000000)
	wait_for lines_in ours.out 5000
	stop server KILL || true
	finish pub
	is "$status" 3
	finish ours
	is "$status" 3
	said=$(grep 'stopped' pub.err)
	confirmed=$(sed -E 's/.*: ([0-9]+) confirmed.*/\1/' <<< "$said")
	[ "$confirmed" -gt 1000 ]
	# In order and without a gap, as far as it goes.
	n=$(wc -l < ours.out)
	same_bytes ours.out <(seq "$n")
}

@test "restarted under load with --reconnect: nothing confirmed is lost" {
	mosquitto_start server 'persistence true'
	for q in 1 2; do
		start_sub ours --body -X client_id=r$q -X session=1h --qos 2 "l/$q"
		start pub mbus pub -v -l --qos $q --reconnect 100 -X client_id=p$q -X session=1h "l/$q" -f <(
			for i in $(seq 40); do seq $((i * 500 - 499)) $((i * 500)); sleep 0.05; done)
		wait_for lines_in ours.out 2000
		mosquitto_stop
		sleep 0.3
		mosquitto_start server 'persistence true'
		finish pub 60
		has "$(< pub.err)" "20000 confirmed"
		wait_for -t 30 grep -qx 20000 ours.out
		is "$(sort -nu ours.out | wc -l)" 20000
		stop ours
	done
}

# unsaid TEXT PART: it is not in there.
unsaid() { [[ $1 != *"$2"* ]] || fail "this should not be there: $2" "$1"; }
# counting [LINE]: a server that counts each second; and its count is there.
counting() {
	mosquitto_start server 'sys_interval 1' "$@"
	wait_for timeout 5 mosquitto_sub -h 127.0.0.1 -p "$MQTT_PORT" -C 1 -t "$DROPPED" > count
}
DROPPED='$SYS/broker/publish/messages/dropped'
# slow_sub OPTION...: a subscriber whose reader comes once $(< go) is there.
slow_sub() {
	[ -p slow ] || mkfifo slow
	rm -f go
	sh -c 'until [ -e go ]; do sleep 0.1; done; exec cat > read' < slow 3>&- &
	PID[reader]=$!
	start_ready ours sh -c 'exec "$@" > slow' sh "$MBUS" sub --ready-fd 8 --body "$@"
}
flood() { seq -f "%0500.0f" 20000 | mbus pub -q -l "$@"; }

@test "what the server drops for its slow clients is said once, and in the end" {
	counting 'max_queued_messages 10'
	for v in 5 3.1.1; do
		for q in 1 0; do
			slow_sub -v -X version=$v --qos $q "drop/$v/$q"
			flood --qos $q "drop/$v/$q"
			: > go
			# The count may have been dropped too: it is asked for once more.
			wait_for -t 25 grep -q 'has dropped [1-9][0-9]* events .*max_queued_messages' ours.err
			stop ours
			is "$(grep -c max_queued_messages ours.err)" 1
			has "$(< ours.err)" "while we were connected"
			[ "$(grep -cvE '^0*[0-9]{1,5}$' read)" = 0 ]	# no count among the events
			wait "${PID[reader]}"
		done
	done
}

@test "-X watch_drops=no, or a session: the count is not asked for, and nothing said" {
	counting 'max_queued_messages 10'
	slow_sub -v -X watch_drops=no none
	flood none
	: > go
	sleep 2.5
	mbus pub none end
	wait_for grep -qx end read
	stop ours
	unsaid "$(< ours.err)" "dropped"
	fake <<-'END'
		for i in range(2):
		    up()
		    give("90 04" + take(0x82)[0:2].hex() + "00 01")
		    quiet()
		    give("30 05 0001 61 00 31")
		    while packet()[0] != 0xe0:
		        pass
	END
	mbus sub --body -c 1 -X watch_drops=no a
	mbus sub --body -c 1 -X client_id=me -X session=1h a
	fake_is_content
}

@test "who asks for the count himself gets it as events" {
	counting
	for v in 5 3.1.1; do
		for filter in '$SYS/#' "$DROPPED" '$SYS/broker/publish/+/dropped'; do
			run --separate-stderr mbus sub -J -W 1.5 -X version=$v "$filter"
			is "$(grep -cF "\"topic\":\"$DROPPED\"" <<< "$output")" 1
			unsaid "$stderr" "dropped"
		done
		# ... and who asks for all else, not.
		run --separate-stderr mbus sub -J -W 1.5 -X version=$v '#'
		unsaid "$output" "dropped"
	done
}

@test "the count is asked for once, behind the subscription; whom that angers is not asked again" {
	fake <<-'END'
		for i in range(2):
		    up()
		    give("90 04" + take(0x82)[0:2].hex() + "00 01")
		    if i == 0:
		        rest = take(0x82)
		        assert rest[3:] == b"\0\x24$SYS/broker/publish/messages/dropped\0", rest
		        c.close()
		quiet()
		give("30 05 0001 61 00 31")
		while packet()[0] != 0xe0:
		    give("d0 00")
	END
	run --separate-stderr mbus sub -v --body -c 1 a
	status_is 0
	is "$output" 1
	has "$stderr" "not asked any more"
	fake_is_content
}

@test "a count that is refused, is no number, falls, or comes with a higher QoS" {
	fake <<-'END'
		topic = "0024" + b"$SYS/broker/publish/messages/dropped".hex()
		def count(text, first="30", id=""):
		    body = topic + id + "00" + text.encode().hex()
		    give(first + "%02x" % (len(body) // 2) + body)
		up()
		give("90 04" + take(0x82)[0:2].hex() + "00 01")
		give("90 04" + take(0x82)[0:2].hex() + "00 87")
		give("30 05 0001 61 00 31")
		while packet()[0] != 0xe0:
		    give("d0 00")
		up()
		give("90 04" + take(0x82)[0:2].hex() + "00 01")
		give("90 04" + take(0x82)[0:2].hex() + "00 00")
		for text in "100", "x", "", "-1", "99999999999999999999999", "100", "7", "7":
		    count(text)
		quiet()
		count("10", "34", "0009")
		assert take(0x50).hex() == "0009"
		count("10", "3c", "0009")
		assert take(0x50).hex() == "0009"
		give("62 02 0009")
		assert take(0x70).hex() == "0009"
		count("15", "32", "000a")
		assert take(0x40).hex() == "000a"
		give("30 05 0001 61 00 31")
		while packet()[0] != 0xe0:
		    give("d0 00")
	END
	run --separate-stderr mbus sub -v --body -c 1 a
	status_is 0
	is "$output" 1
	unsaid "$stderr" "dropped"
	unsaid "$stderr" "refused"
	run --separate-stderr mbus sub -v --body -c 1 a
	status_is 0
	is "$output" 1
	has "$stderr" "dropped 3 events for its slow clients since" \
		"dropped 8 events for its slow clients while"
	fake_is_content
}

@test "-X options that are none are refused, and -X list shows them" {
	for o in version=4 keepalive=x session=-1 alias=70000 receive_maximum=0 max_packet=1 will_qos=3 \
		will=x will_topic=a/+ client_id= watch_drops=maybe driver=other; do
		run --separate-stderr mbus pub -X "mqtt.$o" t x
		[ "$status" = 2 ] || [ "$status" = 5 ]
		has "$stderr" "${o%%=*}"
	done
	run mbus pub -X list
	has "$output" version client_id keepalive session will_topic will will_qos will_retain alias \
		receive_maximum max_packet watch_drops driver ws_path proxy
}

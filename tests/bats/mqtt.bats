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
	rm -f "$1.out"		# of the one before
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
			import os, socket, sys, time
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
			def event(topic, text):
			    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\0" + text.encode()
			    return "31 %02x" % len(body) + body.hex()
			def version(text):
			    return event("$SYS/broker/version", text)
			def gone():
			    while True:
			        got = c.recv(100)
			        if not got:
			            return
			        assert got == b"\xe0\0", got.hex()
			def nobody(seconds):
			    s.settimeout(seconds)
			    try:
			        s.accept()
			        assert False, "a connection"
			    except socket.timeout:
			        s.settimeout(None)
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
	status_is 5
	has "$stderr" "-H: the bare body of MQTT 3.1.1 has no headers"
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
		# What clears it has no bytes, whatever the wire, from whatever says "empty".
		for how in '--wire raw -m' '--wire micro -m' -m -n; do
			mbus pub -X version=$v -r --wire raw "r/$v" kept
			their_sub them -q 1 -C 2 -t "r/$v" -F '%r %l'
			# shellcheck disable=SC2086
			if [ "$how" = -n ]; then mbus pub -X version=$v -r -n "r/$v"; else
				mbus pub -X version=$v -r "r/$v" $how ''; fi
			finish them
			is "$(theirs them)" $'1 4\n0 0'
			run --separate-stderr mbus sub -X version=$v -W 0.5 "r/$v"
			status_is 124
		done
		# With headers, or not retained, it is an event like any other.
		their_sub them -q 1 -C 2 -t "r/$v" -F '%p'
		mbus pub -X version=$v -r -n -H a:b "r/$v"
		mbus pub -X version=$v -n "r/$v"
		finish them
		is "$(theirs them)" $'{"Header":{"a":"b"},"Body":""}\n{"Header":{},"Body":""}'
		mbus pub -X version=$v -r -n "r/$v"
	done
	# Who reads envelopes only is not told that this one is none.
	start_sub ours -J -c 1 --wire micro r/none
	mbus pub -r -n r/none
	finish ours
	has "$(< ours.out)" '"len":0'
	is "$(< ours.err)" ''
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
	for g in a/b a+ '#' ''; do
		run --separate-stderr mbus sub -g "$g" x
		status_is 2
	done
	run --separate-stderr mbus sub -g a/b x
	has "$stderr" "without / + #"
}

@test "a shared subscription in MQTT's own words; those for which nothing can come are refused" {
	mosquitto_start
	for v in 5 3.1.1; do
		start_sub ours --body -c 2 -X version=$v '$share/g/a/+' b
		mbus pub a/x one
		mbus pub b two
		finish ours
		is "$(< ours.out)" $'one\ntwo'
	done
	for t in '$share/' '$share//x' '$share/g/' '$share/g' '$share/+/x' '$share/g#/x' '$share/g/a+'; do
		run --separate-stderr mbus sub --check "$t"
		status_is 2
	done
	run --separate-stderr mbus sub --check -g g '$share/h/x'
	status_is 2
	has "$stderr" "names a group, and so does --group g"
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
		matches "$stderr" ".*refused by the server: (Bad user name or password|Not authorized).*: wrong user name or password\?"
		run --separate-stderr mbus sub -X version=$v -W 5 t
		status_is 4
		has "$stderr" ": it wants a user (--username, --password-file)"
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

@test "TLS where the port has it not, and none where it has: the error says what to try" {
	MQTT_CERTS=$BATS_FILE_TMPDIR
	mosquitto_start
	run --separate-stderr mbus pub -b "127.0.0.1:$MQTT_TLS_PORT" t x
	status_is 3
	has "$stderr" "(does this port speak TLS? --tls)"
	run --separate-stderr mbus sub -b "mqtts://127.0.0.1:$MQTT_PORT" t
	status_is 3
	has "$stderr" "perhaps this port does not speak TLS: leave out --tls"
	for d in mbus paho; do
		run --separate-stderr mbus pub -X driver=$d -b "127.0.0.1:1" t x
		status_is 3
		unsaid "$stderr" TLS
	done
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
		# The kill may have cut a line, which is no event, but comes again.
		is "$({ cat some; echo; cat ours.out; } | grep -ox '[0-9]\{208\}' | sort -u | wc -l)" 5000
	done
}

@test "a subscriber that comes back says what it may have missed" {
	fake <<-'END'
		def once(flags, asked=True):
		    up("20 03 %02x 00 00" % flags)
		    if asked:
		        give("90 04" + take(0x82)[0:2].hex() + "00 01")
		def end():
		    give("30 05 0001 61 00 31")
		    while packet()[0] != 0xe0:
		        give("d0 00")
		once(0)
		c.close()
		once(0)
		end()
		for kept in 0, 1:
		    once(0)
		    c.close()
		    once(kept, not kept)
		    end()
		once(0)
		c.close()
		once(1, False)
		end()
	END
	n=0
	for o in '' '-X session=1h -X client_id=me' '-X session=1h -X client_id=me' \
		'--qos 0 -X session=1h -X client_id=me'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus sub -v --body -c 1 -X watch_drops=no $o a
		status_is 0
		echo "$stderr" >> said
		n=$((n + 1))
		echo "$stderr" > "said.$n"
	done
	fake_is_content
	has "$(< said.1)" "published meanwhile are lost, as there is no session to keep them"
	has "$(< said.2)" "no session of me: a new one begins" "the server has forgotten the session"
	unsaid "$(< said.3)" "lost,"
	unsaid "$(< said.3)" "are lost"
	has "$(< said.4)" "events of QoS 0 that were published meanwhile are lost, unless"
	is "$(grep -c 'are lost' said)" 3
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
		    give("90 04" + take(0x82)[0:2].hex() + "00 01")
		    give("e0 01" + bye)
	END
	start ours mbus sub x
	finish ours
	is "$status" 2
	has "$(< ours.err)" "Server shutting down (0x8b)" "Session taken over (0x8e)"
	fake_is_content
}

@test "a subscription that was never live ends the run, by what the server did to it" {
	mosquitto_start
	for v in 5 3.1.1; do
		for r in 2 always; do
			run --separate-stderr timeout 5 mbus sub --check -X version=$v --reconnect $r '$share'
			status_is 3
			one_line "$stderr"
			has "$stderr" '$share: the connection went when the server was asked for it'
		done
	done
	fake <<-'END'
		for bye in "", "e0 02 82 00", "e0 02 87 00":
		    up()
		    take(0x82)
		    give(bye)
		    c.close()
		nobody(1)
	END
	for wanted in 3 3 4; do
		run --separate-stderr mbus sub --check a
		status_is $wanted
		one_line "$stderr"
	done
	has "$stderr" "Not authorized (0x87)"
	fake_is_content
}
one_line() { [ "$(wc -l <<< "$1")" = 1 ] || fail "not one line:" "$1"; }

@test "a fault that comes again with each connection ends the run, and one that passes does not" {
	fake <<-'END'
		def subscribed():
		    up()
		    give("90 04" + take(0x82)[0:2].hex() + "00 01")
		# An event that is kept, and one whose topic is no UTF-8.
		for i in range(3):
		    subscribed()
		    give("31 09 0005 666f6f2f61 00 31 31 06 0003 ff2f61 00")
		# An event that is no news, then twice the fault, then one that is news.
		for i in range(5):
		    subscribed()
		    give("e0 02 83 00" if i != 2 else event("foo/a", "2").replace("31", "30", 1) + "e0 02 83 00")
		# Hung up on each time it is asked, after it was live.
		subscribed()
		c.close()
		for i in range(3):
		    up()
		    take(0x82)
		    c.close()
		# What passes.
		for i in range(5):
		    subscribed()
		    give("e0 02 8b 00")
		up()
		give("90 04" + take(0x82)[0:2].hex() + "00 01" + event("foo/a", "3"))
		while packet()[0] != 0xe0:
		    pass
	END
	run --separate-stderr mbus sub --body -c 5 'foo/#'
	status_is 3
	is "$(grep -c . <<< "$output")" 3
	has "$stderr" "3 times in a row: 127.0.0.1:18998: the server breaks MQTT's rules"
	run --separate-stderr mbus sub --body 'foo/#'
	status_is 3
	is "$output" 2
	has "$stderr" "3 times in a row:" "Implementation specific error (0x83)"
	run --separate-stderr mbus sub --body 'foo/#'
	status_is 3
	has "$stderr" "3 times in a row: 127.0.0.1:18998: the server closed the connection"
	run --separate-stderr mbus sub --body -c 1 'foo/#'
	status_is 0
	is "$output" 3
	fake_is_content
}

@test "a server that is busy is left for the next address; one that just says goodbye is not" {
	mosquitto_start
	fake <<-'END'
		for why in "98", "89":
		    up()
		    take(0x32)
		    give("e0 02 " + why + " 00")
		gone()
	END
	run --separate-stderr mbus pub -v -b "127.0.0.1:18998,127.0.0.1:$MQTT_PORT" --reconnect 9 a body
	status_is 0
	has "$stderr" "Administrative action (0x98)" "connected to 127.0.0.1:18998 again" \
		"connected to 127.0.0.1:$MQTT_PORT again" "1 confirmed"
	fake_is_content
}

@test "an event that the server ends the connection for is not sent for ever; its reason is told" {
	fake <<-'END'
		for i in range(3):
		    up()
		    take(0x32)
		    give("e0 0a 99 08 1f 0005" + b"chars".hex())
		up()
		take(0x32)
		give("e0 0a 98 08 1f 0005" + b"sorry".hex())
		nobody(1)
	END
	run --separate-stderr mbus pub -v --reconnect always a body
	status_is 3
	has "$stderr" "Payload format invalid (0x99): chars" "3 times in a row" "1 unknown"
	run --separate-stderr mbus pub a body
	status_is 3
	has "$stderr" "Administrative action (0x98): sorry"
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

@test "what came on one connection is not answered on the next; ids of a lost session are free" {
	mkfifo slow
	fake <<-'END'
		def subscribed(flags="00"):
		    up("20 03 " + flags + " 00 00")
		    give("90 04" + take(0x82)[0:2].hex() + "00 02")
		def publish(first, id, text):
		    body = b"\0\1a" + id.to_bytes(2, "big") + b"\0" + text
		    n, size = len(body), [first]
		    while n:
		        size.append(n % 128 + (128 if n > 127 else 0))
		        n //= 128
		    c.sendall(bytes(size) + body)
		subscribed()
		publish(0x32, 1, b"x" * 300000)		# more than a pipe holds
		publish(0x34, 2, b"two")
		time.sleep(0.5)
		c.close()
		subscribed()
		os.close(os.open("go", os.O_CREAT))
		time.sleep(1)
		quiet()
		publish(0x34, 2, b"new")		# not the one before
		assert take(0x50).hex() == "0002"
		c.close()
		subscribed()
		publish(0x34, 2, b"newer")		# not even answered
		assert take(0x50).hex() == "0002"
		while packet()[0] != 0xe0:
		    give("d0 00")
	END
	sh -c 'until [ -e go ]; do sleep 0.1; done; exec cat > read' < slow 3>&- & PID[reader]=$!
	start ours sh -c 'exec "$@" > slow' sh "$MBUS" sub --body --qos 2 -c 4 -X watch_drops=no a
	finish ours
	is "$status" 0
	finish reader
	is "$(sed 's/^xxx*$/x/' read)" "$(printf '%s\n' x two new newer)"
	fake_is_content
}

@test "an event of QoS 2 that was not wanted any more is not answered, and may come again" {
	fake <<-'END'
		up("20 03 01 00 00")
		give("90 04" + take(0x82)[0:2].hex() + "00 02")
		give("34 07 0001 61 0005 00 31 34 07 0001 61 0006 00 32")
		assert take(0x50).hex() == "0005"
		take(0xc0)
		give("3c 07 0001 61 0006 00 32")
		quiet()
		give("d0 00")
		take(0xe0)
	END
	run --separate-stderr mbus sub --body --qos 2 -c 1 -X client_id=me -X session=1h a
	status_is 0
	is "$output" 1
	fake_is_content
}

@test "a server that comes back and takes less: what is too much for it now is refused" {
	fake <<-'END'
		for now in "27 00000014", "24 00":
		    up()
		    take(0x32)
		    take(0x32)
		    c.close()
		    body = bytes.fromhex("00 00 05" if now[0:2] == "27" else "00 00 02") + bytes.fromhex(now)
		    give_len = "20 %02x" % len(body)
		    up(give_len + body.hex())
		    if now[0:2] == "27":
		        id = take(0x32)[3:5].hex()
		        give("40 02" + id)
		    take(0xe0)
	END
	run --separate-stderr mbus pub -v --wire raw --reconnect 9 -l a < <(seq -f 'a long line %.0f' 1; echo b)
	status_is 1
	has "$stderr" "too large: the server takes 20 bytes now" "1 of 2 not delivered: 1 refused"
	run --separate-stderr mbus pub -v --reconnect 9 -l a < <(seq 2)
	status_is 1
	has "$stderr" "QoS 1: the server takes up to 0" "2 of 2 not delivered: 2 refused"
	fake_is_content
}

@test "an event whose time is over is not sent by a later connection, whatever its QoS" {
	fake <<-'END'
		for qos in 1, 2:
		    up("20 03 01 00 00")
		    id = take(0x30 | qos << 1)[3:5].hex()
		    time.sleep(1.2)				# -W 0.5
		    c.close()
		    up("20 03 01 00 00")
		    if qos == 2:
		        assert take(0x62).hex() == id		# released, not repeated
		        give("70 03" + id + "92")
		    assert take(0x30 | qos << 1)[-1:] == b"2"
		    c.close()
		    up()					# and the session is lost
		    id = take(0x30 | qos << 1)[3:5].hex()
		    give("%02x 02" % (0x40 if qos == 1 else 0x50) + id)
		    if qos == 2:
		        take(0x62)
		        give("70 02" + id)
		    take(0xe0)
	END
	for q in 1 2; do
		mkfifo feed$q
		start "pub$q" sh -c 'exec "$@" < '"feed$q" sh "$MBUS" pub -v --wire raw --qos $q --reconnect 99 \
			-X client_id=me -X session=1h -l -W 0.5 a
		exec 7> feed$q
		echo 1 >&7
		wait_for grep -q 'no answer within 0.5 s' pub$q.err
		wait_for grep -q 'again after' pub$q.err
		echo 2 >&7
		exec 7>&-
		finish pub$q
		is "$status" 1
		has "$(< pub$q.err)" "1 of 2 not delivered: 1 unknown"
	done
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
	freeze server
	seq 100 >&9
	finish pub
	status_is 3
	thaw server
	has "$(cat pub.err)" 'no answer to anything within 1 s' '1 confirmed, 5 unknown'
}

@test "a server that stops is noticed by the keep-alive, and one that comes back is used" {
	mosquitto_start
	start_sub ours --body -c 2 -X keepalive=1 k
	mbus pub k one
	wait_for lines_in ours.out 1
	freeze server
	wait_for -t 20 grep -q 'nothing heard for' ours.err
	thaw server
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
			slow_sub --debug -X version=$v --qos $q "drop/$v/$q"
			wait_for grep -q 'dropped [0-9]* events so far' ours.err
			flood --qos $q "drop/$v/$q"
			: > go
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
		    nobody(1.6)
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
		run --separate-stderr mbus sub -J -W 2.5 -X version=$v '#'
		unsaid "$output" "dropped"
	done
}

@test "the count is asked for by a client of its own, which harms nobody" {
	# An access list that cuts, one that says so, one that refuses, a server that has
	# none, one that says nothing, one that takes no second client.
	fake <<-'END'
		for how in "", "e0 01 87", "90 04 0002 00 87", "90 04 0002 00 00" + version("nats"), \
		    "90 04 0002 00 00", None:
		    up()
		    main = c
		    give("90 04" + take(0x82)[0:2].hex() + "00 01")
		    hello = up("20 03 00 87 00" if how is None else "20 03 00 00 00")
		    assert hello[7] == 2 and hello[-6:] == b"-drops", hello
		    if how is not None:
		        rest = take(0x82)
		        assert rest[3:] == b"\0\x13$SYS/broker/version\0", rest
		        give(how)
		        if how:
		            gone()
		    c.close()
		    nobody(1.3 if how is None else 0.2)
		    c = main
		    quiet()
		    give("30 05 0001 61 00 31")
		    while packet()[0] != 0xe0:
		        give("d0 00")
	END
	for i in 1 2 3 4 5 6; do
		run --separate-stderr mbus sub -v --body -c 1 a
		status_is 0
		is "$output" 1
		unsaid "$stderr" dropped
		unsaid "$stderr" lost
	done
	fake_is_content
}

@test "a count that is no number, falls, or comes again with another connection" {
	fake <<-'END'
		def counts():
		    up()
		    give("90 04" + take(0x82)[0:2].hex() + "00 00" + version("mosquitto version 9"))
		    rest = take(0x82)
		    assert rest[3:] == b"\0\x24$SYS/broker/publish/messages/dropped\0", rest
		up()
		main = c
		give("90 04" + take(0x82)[0:2].hex() + "00 01")
		counts()
		for text in "100", "x", "", "-1", "99999999999999999999999", "100", "7", "7", "10":
		    give(event("$SYS/broker/publish/messages/dropped", text))
		watch, c = c, main
		quiet()
		c.close()
		c = watch
		gone()
		up()
		main = c
		give("90 04" + take(0x82)[0:2].hex() + "00 01")
		counts()
		give(event("$SYS/broker/publish/messages/dropped", "15"))
		watch, c = c, main
		quiet()
		give("30 05 0001 61 00 31")
		while packet()[0] != 0xe0:
		    give("d0 00")
	END
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

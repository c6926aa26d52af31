#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The redis broker's channels against redis-server, with redis-cli as the other side.
# Streams are in redis_stream.bats, broken connections in redis_faults.bats.

load ../lib
load ../servers/redis

setup_file() {
	redis_certs "$BATS_FILE_TMPDIR/certs"
}

setup() {
	lib_setup
	export MICRO_BROKER=redis
	C=$REDIS_CERTS
}

server() {
	redis_start main "$@"
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
}

# pub_is STATUS ARG...
pub_is() {
	run --separate-stderr timeout 20 mbus pub "${@:2}"
	status_is "$1"
}

@test "to redis-cli and from it, with go-micro's envelope and without" {
	server
	start cli redis-cli -p "$REDIS_PORT" subscribe T
	wait_for redis_subscribers T 1
	pub_is 0 -v T hi -H k:v
	has "$stderr" '1 confirmed' '1 events, 1 deliveries to subscribers, 0 events reached nobody'
	pub_is 0 --wire raw T 'a <bare> body'
	wait_for lines_in cli.out 9
	is "$(sed -n '4,9p' cli.out)" $'message\nT\n{"Header":{"k":"v"},"Body":"aGk="}\nmessage\nT\na <bare> body'

	start_sub sub -J -c 3 T
	redis_cli publish T '{"Header":{"k":"v"},"Body":"aGk="}' > count
	redis_cli publish T 'bare' > count
	redis_cli publish T '{"Header":{"k":1},"Body":"aGk="}' > count
	is "$(cat count)" 2
	finish sub
	is "$status" 0
	python3 -c '
import json
for line in open("sub.out"):
    e = json.loads(line)
    print(e["body"], e["headers"].get("k", ""), e["meta"]["wire"])' > said
	is "$(cat said)" $'hi v micro\nbare  raw\n{"Header":{"k":1},"Body":"aGk="}  raw'
}

@test "--wire raw shows the envelope as it is; --wire micro warns of what is none" {
	server
	start_sub raw --raw -N --wire raw -c 1 T
	start_sub micro --body --wire micro -c 2 T
	redis_cli publish T '{"Header":null,"Body":"aGk="}' > /dev/null
	redis_cli publish T 'no envelope' > /dev/null
	finish raw
	finish micro
	is "$(cat raw.out)" '{"Header":null,"Body":"aGk="}'
	is "$(cat micro.out)" $'hi\nno envelope'
	has "$(cat micro.err)" 'T: not an envelope of go-micro'
}

@test "bodies of every kind, and topics of any bytes" {
	server
	head -c 300000 /dev/urandom > big
	printf 'a\0b\r\n\xff' > odd
	: > empty
	for wire in auto raw; do
		for body in big odd empty; do
			start_sub sub --raw -N -c 1 --wire "$wire" T
			pub_is 0 --wire "$wire" -f "$body" T
			finish sub
			same_bytes "$body" sub.out
		done
	done
	start_sub sub -J -c 2 $'\xff\x01 t' T
	printf '%s\n' '{"topic_b64":"/wEgdA==","body":null}' '{"topic":"T","body":""}' | mbus pub -J
	finish sub
	has "$(sed -n 1p sub.out)" '"topic_b64":"/wEgdA=="' '"body":null'
	has "$(sed -n 2p sub.out)" '"topic":"T"' '"body":""'
	pub_is 5 --wire raw T -m x -H a:b
	has "$stderr" '-H: the bare body of a channel has no room for it'
}

@test "100,000 events in order to two subscribers, without loss" {
	server --client-output-buffer-limit 'pubsub 0 0 0'
	seq 100000 > in
	start_sub a --body -c 100000 T
	start_sub b --body -c 100000 --wire raw T
	start cli redis-cli -p "$REDIS_PORT" subscribe T
	wait_for redis_subscribers T 3
	run -0 --separate-stderr mbus pub -v --wire raw -l T < in
	has "$stderr" '100000 confirmed' '100000 events, 300000 deliveries'
	finish a 30
	finish b 30
	same_bytes in a.out
	same_bytes in b.out
}

@test "many topics, each to its own" {
	server
	mapfile -t topics < <(seq -f 't.%g' 300)
	start_sub sub -J -c 3000 "${topics[@]}"
	python3 -c '
import json
for i in range(10):
    for t in range(1, 301):
        print(json.dumps({"topic": "t.%d" % t, "body": "%d %d" % (t, i)}))' > in
	run -0 mbus pub -J < in
	finish sub
	python3 -c '
import json
seen = {}
for line in open("sub.out"):
    e = json.loads(line)
    t, i = e["body"].split()
    assert e["topic"] == "t." + t and int(i) == seen.get(t, 0), e
    seen[t] = int(i) + 1
assert len(seen) == 300 and set(seen.values()) == {10}'
}

@test "patterns: the event has its real topic" {
	server
	start_sub sub -J -c 2 -X redis.pattern=yes 'a.*' 'b.[12]'
	mbus pub a.x one
	mbus pub b.3 no
	mbus pub b.2 two
	finish sub
	has "$(sed -n 1p sub.out)" '"topic":"a.x"' '"body":"one"'
	has "$(sed -n 2p sub.out)" '"topic":"b.2"' '"body":"two"'
}

@test "--wait counts the subscribers" {
	server
	pub_is 124 --wait 2 -W 0.3 T x
	has "$stderr" 'fewer than 2 subscribers after 0.3 s; nothing sent'
	start_sub sub --body -c 1 T
	mbus pub --wait 2 T x 3>&- &
	pub=$!
	sleep 0.3
	is "$(wc -c < sub.out)" 0
	start cli redis-cli -p "$REDIS_PORT" subscribe T
	finish sub
	is "$(cat sub.out)" x
	wait $pub
	pub_is 0 -v nobody x
	has "$stderr" '1 events reached nobody'
}

@test "what channels have not names streams" {
	server
	for options in '-g g' '-o beginning' '-e'; do
		# shellcheck disable=SC2086
		run --separate-stderr timeout 10 mbus sub $options T
		status_is 5
		has "$stderr" '-X redis.mode=stream'
	done
	run --separate-stderr timeout 10 mbus sub --ack after-write T
	status_is 5
	pub_is 5 --ack all T x
	has "$stderr" 'does not wait for replicas'
	pub_is 0 --ack none T x
}

@test "-X is checked, and listed" {
	run -0 mbus sub -X list
	for name in mode pattern db keepalive reply_max trim claim consumer; do
		has "$output" "  $name="
	done
	for x in mode=queue pattern=perhaps db=-1 db=x keepalive=soon reply_max=1 trim=3 claim=x \
		consumer= nosuch=1; do
		pub_is 2 -X "redis.$x" T x
		has "$stderr" "redis.${x%%=*}"
	done
	for x in trim=0 trim=x 'trim=~'; do
		pub_is 2 -X redis.mode=stream -X "redis.$x" T x
	done
	run --separate-stderr mbus sub -X redis.mode=sharded -X redis.pattern=yes T
	status_is 2
	pub_is 2 -b http://127.0.0.1:1 T x
	pub_is 2 -b 127.0.0.1:port T x
}

# ---- users ----

@test "users and passwords: right, wrong, none, not allowed" {
	printf '%s\n' 'user default off' 'user mbus on >s3cret ~* &* +@all' \
		'user ro on >ro ~* &* -@all +subscribe +psubscribe' 'user one on >one ~* resetchannels &one +@all' > acl
	server --aclfile "$PWD/acl"
	pub_is 4 T x
	has "$stderr" 'the server wants a user or a password (NOAUTH'
	MBUS_PASSWORD=wrong pub_is 4 --username mbus T x
	has "$stderr" 'wrong user name or password'
	[[ $stderr != *wrong\"* ]]
	MBUS_PASSWORD=s3cret pub_is 0 --username mbus T x
	pub_is 0 --url "redis://mbus:s3cret@127.0.0.1:$REDIS_PORT" T x
	umask 077
	echo ro > ro
	pub_is 4 --username ro --password-file ro T x
	has "$stderr" 'T: not allowed (NOPERM'
	# Redis 7 says "this user", 8 "User ro".
	matches "$stderr" "mbus: pub: T: not allowed \(NOPERM (this user|User ro) has no permissions to run the 'publish' command\)"
	# A user without PING subscribes nevertheless.
	start_sub sub --body -c 1 --username ro --password-file ro T
	MBUS_PASSWORD=s3cret mbus pub --username mbus T hello
	finish sub
	is "$(cat sub.out)" hello
	# Channels that a user may not hear.
	echo one > one
	run --separate-stderr timeout 10 mbus sub --username one --password-file one T
	status_is 4
	has "$stderr" 'T: ' 'not allowed (NOPERM'
	start_sub sub --body -c 1 --username one --password-file one one
	MBUS_PASSWORD=s3cret mbus pub --username mbus one hello
	finish sub
	for err in *.err; do [[ $(cat "$err") != *s3cret* ]]; done
}

@test "a password alone, and one for a server that has none" {
	server --requirepass 'p w"%'
	umask 077
	printf 'p w"%%\n' > pw
	pub_is 0 --password-file pw T x
	pub_is 0 --url "redis://:p%20w%22%25@127.0.0.1:$REDIS_PORT/0" T x
	pub_is 4 T x
	redis_start open
	MBUS_PASSWORD=x pub_is 4 -b "127.0.0.1:$REDIS_PORT" T x
	has "$stderr" 'a password was given, and the server has none'
}

# ---- connections ----

@test "refused, unknown host, no Redis, no answer" {
	pub_is 3 -b 127.0.0.1:1 T x
	has "$stderr" '127.0.0.1:1' 'refused'
	pub_is 3 -b no.such.host.invalid T x
	has "$stderr" 'no.such.host.invalid'
	run --separate-stderr timeout 10 mbus sub -b 127.0.0.1:1 T
	status_is 3
	port=$(free_port)
	start web python3 -c "
import socket
s = socket.create_server(('127.0.0.1', $port))
while True:
    c, _ = s.accept()
    c.recv(1000)
    c.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')"
	wait_for grep -q ":$(printf %04X "$port") " /proc/net/tcp
	pub_is 3 -b "127.0.0.1:$port" T x
	has "$stderr" 'this is no Redis server'
	port=$(free_port)
	start mute python3 -c "
import socket, time
s = socket.create_server(('127.0.0.1', $port))
time.sleep(100)"
	wait_for grep -q ":$(printf %04X "$port") " /proc/net/tcp
	pub_is 3 -b "127.0.0.1:$port" --connect-timeout 0.4 T x
	has "$stderr" 'no answer to the greeting'
}

@test "URLs, several addresses, a Unix socket, databases" {
	server
	pub_is 0 -b "redis://127.0.0.1:$REDIS_PORT" T x
	pub_is 0 --url "redis://127.0.0.1:$REDIS_PORT/3" T x
	pub_is 0 -b "127.0.0.1:1,127.0.0.1:$REDIS_PORT" T x
	pub_is 0 -b "localhost:$REDIS_PORT" T x
	for address in "unix:$REDIS_SOCK" "$REDIS_SOCK" "unix://$REDIS_SOCK" "redis+unix://$REDIS_SOCK"; do
		start_sub sub --body -c 1 -b "$address" T
		pub_is 0 -b "$address" T x
		finish sub
		is "$(cat sub.out)" x
	done
	pub_is 3 -b "unix:$PWD/none" T x
	pub_is 5 -X redis.db=99 T x
	has "$stderr" 'no such database'
	pub_is 2 -b "redis://127.0.0.1:$REDIS_PORT/x" T x
	has "$stderr" 'no number of a database'
	# Only streams live in one.
	pub_is 0 -X redis.mode=stream -X redis.db=3 S x
	pub_is 0 -X redis.mode=stream -b "redis://127.0.0.1:$REDIS_PORT/4" S x
	pub_is 0 -X redis.mode=stream -b "redis+unix://$REDIS_SOCK?db=4" S x
	is "$(redis_cli -n 3 xlen S)$(redis_cli -n 4 xlen S)$(redis_cli xlen S)" 120
}

@test "TLS: the right name, a wrong one, a foreign authority, certificates of clients" {
	server
	tls=127.0.0.1:$REDIS_TLS_PORT
	start_sub sub --body -c 2 --tls-ca "$C/ca.crt" --tls -b "$tls" T
	pub_is 0 --tls-ca "$C/ca.crt" -b "rediss://$tls" T x
	pub_is 0 --tls-ca "$C/ca.crt" -b "rediss://localhost:$REDIS_TLS_PORT" T y
	finish sub
	is "$(cat sub.out)" $'x\ny'
	pub_is 4 -b "rediss://$tls" T x
	pub_is 4 --tls-ca "$C/foreign.crt" -b "rediss://$tls" T x
	pub_is 4 --tls-ca "$C/ca.crt" --tls-sni other.example -b "rediss://$tls" T x
	pub_is 0 --tls-insecure -b "rediss://$tls" T x
	# TLS where there is none, and the other way round.
	pub_is 3 --tls-ca "$C/ca.crt" -b "rediss://127.0.0.1:$REDIS_PORT" --connect-timeout 1 T x
	pub_is 3 -b "$tls" --connect-timeout 1 T x
	REDIS_CERT=wrong redis_start wrong
	pub_is 4 --tls-ca "$C/ca.crt" -b "rediss://127.0.0.1:$REDIS_TLS_PORT" T x
	pub_is 0 --tls-ca "$C/ca.crt" --tls-sni other.example -b "rediss://127.0.0.1:$REDIS_TLS_PORT" T x
	redis_start mutual --tls-auth-clients yes
	pub_is 0 --tls-ca "$C/ca.crt" --tls-cert "$C/client.crt" --tls-key "$C/client.key" \
		-b "rediss://127.0.0.1:$REDIS_TLS_PORT" T x
	run --separate-stderr timeout 10 mbus pub --tls-ca "$C/ca.crt" -b "rediss://127.0.0.1:$REDIS_TLS_PORT" T x
	[ "$status" = 4 ] || [ "$status" = 3 ]
	# A server that sends a lot over TLS.
	redis_use main
	seq 20000 > in
	start_sub sub --body -c 20000 --tls-ca "$C/ca.crt" -b "rediss://$tls" T
	mbus pub --tls-ca "$C/ca.crt" -b "rediss://$tls" -l T < in
	finish sub
	same_bytes in sub.out
}

# ---- clusters ----

@test "a cluster: sharded channels on both nodes, a redirect is followed" {
	redis_cluster one two
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	X=(-X redis.mode=sharded)
	# foo is the second node's (slot 12182), hello the first's (866).
	start_sub sub -J -c 2002 "${X[@]}" foo hello
	pub_is 0 -v "${X[@]}" --wait 1 foo x
	has "$stderr" '1 deliveries'
	pub_is 0 -v "${X[@]}" --wait 1 hello x
	seq 1000 | mbus pub "${X[@]}" -l foo
	seq 1000 | mbus pub "${X[@]}" -l hello
	finish sub
	python3 -c '
import json
got = {"foo": [], "hello": []}
for line in open("sub.out"):
    e = json.loads(line)
    got[e["topic"]].append(e["body"])
for bodies in got.values():
    assert bodies == ["x"] + [str(i) for i in range(1, 1001)], bodies'
	# Plain channels need no redirect: the nodes pass the events on.
	start_sub sub --body -c 1 -b "127.0.0.1:${REDIS_PORTS[two]}" T
	pub_is 0 T x
	finish sub
	# Streams: XADD goes where the stream is, sub moves there.
	X=(-X redis.mode=stream)
	seq 1000 | mbus pub "${X[@]}" -l foo
	for group in '' '-g g'; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr timeout 10 mbus sub "${X[@]}" $group --body -o beginning -c 1000 foo
		is "$output" "$(seq 1000)"
	done
	run --separate-stderr timeout 10 mbus sub "${X[@]}" -o beginning foo hello
	status_is 5
	has "$stderr" 'different nodes of the cluster'
}

@test "a cluster's slot moves: who subscribes and who publishes follow" {
	redis_cluster one two
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	one=$(redis_cli cluster myid)
	start_sub sub --body -v -c 3 -X redis.mode=sharded foo
	mkfifo in
	mbus pub -v -X redis.mode=sharded -l foo < in 3>&- 2> pub.err &
	PID[pub]=$!
	exec 7> in
	echo a >&7
	wait_for lines_in sub.out 1
	redis_use two
	two=$(redis_cli cluster myid)
	redis_cli cluster setslot 12182 node "$one" > moved
	redis_use one
	sleep 0.4			# each says that the other has it
	redis_cli cluster setslot 12182 node "$one" > moved
	wait_for grep -q 'its slot has moved' sub.err
	heard() { [ "$(redis_cli pubsub shardnumsub foo | tail -n 1)" = 1 ]; }
	wait_for heard
	echo b >&7
	echo c >&7
	exec 7>&-
	finish pub
	is "$status" 0
	finish sub
	is "$(cat sub.out)" $'a\nb\nc'
	# On its way: hello's slot 866 goes from the first to the second.
	redis_use two
	redis_cli cluster setslot 866 importing "$one" > moved
	redis_use one
	redis_cli cluster setslot 866 migrating "$two" > moved
	seq 5000 | mbus pub -X redis.mode=stream -l hello
	is "$(redis_cli cluster countkeysinslot 866)" 0
	redis_use two
	redis_cli cluster setslot 866 node "$two" > moved
	is "$(redis_cli xlen hello)" 5000
}

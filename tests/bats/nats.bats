#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The nats broker against nats-server, with the bare protocol as the other side. What every
# broker passes is in the battery (brokers/nats.bash, nats_raw.bash), go-micro's programs
# are in nats_plugins.bats.

load ../lib

setup() {
	lib_setup
	export MICRO_BROKER=nats
	PORT=4222
}

# serve NAME PORT [LINE...]: with these lines of configuration.
serve() {
	printf '%s\n' "server_name: $1" 'host: "127.0.0.1"' "port: $2" "${@:3}" > "$1.conf"
	: > "$1.err"
	start "$1" nats-server -c "$1.conf"
	wait_for grep -q 'Server is ready' "$1.err"
}
server() {
	serve main $PORT "$@"
	export MICRO_BROKER_ADDRESS=127.0.0.1:$PORT
}

# pub_is STATUS ARG..., sub_is STATUS ARG...
pub_is() {
	run --separate-stderr timeout 20 mbus pub "${@:2}"
	status_is "$1"
}
sub_is() {
	run --separate-stderr timeout 20 mbus sub "${@:2}"
	status_is "$1"
}

# bare NAME LINE...: says CONNECT and these; what comes back is in NAME.out.
bare() {
	start "$1" python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n" +
          "".join(l + "\r\n" for l in sys.argv[2:]).encode() + b"PING\r\n")
while True:
    b = s.recv(65536)
    if not b:
        break
    sys.stdout.buffer.write(b)
    sys.stdout.flush()' $PORT "${@:2}"
	wait_for grep -q PONG "$1.out"
}
# of NAME: what came behind the greeting.
of() { sed '1,/^PONG/d' "$1.out"; }

@test "the bytes are those of go-micro's plugin, and of NATS with --wire raw" {
	server
	bare peer 'SUB t.a q1 1' 'SUB t.r 2'
	pub_is 0 -H k:v --content-type none t.a hi
	pub_is 0 --wire raw t.r 'a <bare> body'
	pub_is 0 --wire raw -H Aa:1 -H b:x -H aA:2 -H b:y:z t.r hi
	pub_is 0 --reply-to r.1 --wire raw t.r ask
	wait_for lines_in peer.out 15
	is "$(of peer)" $'MSG t.a 1 34\r\n{"Header":{"k":"v"},"Body":"aGk="}\r
MSG t.r 2 13\r\na <bare> body\r
HMSG t.r 2 40 42\r\nNATS/1.0\r\nAa: 1\r\nb: x\r\naA: 2\r\nb: y:z\r\n\r\nhi\r
MSG t.r 2 r.1 3\r\nask\r'
}

@test "sub takes the envelope, the bare body and headers of NATS, and shows the reply subject" {
	server
	start_sub sub -J -c 4 t.a
	bare peer $'PUB t.a 34\r\n{"Header":{"k":"v"},"Body":"aGk="}' $'PUB t.a r.1 4\r\nbare' \
		$'HPUB t.a 36 38\r\nNATS/1.0\r\nX-y:  1\r\nx-Y: \r\nX-y: 2\r\n\r\nhi' $'HPUB t.a 17 19\r\nNATS/1.0\r\nodd\r\n\r\nhi'
	finish sub
	is "$status" 0
	has "$(sed -n 1p sub.out)" '"headers":{"k":"v"}' '"body":"hi"' '"wire":"micro"'
	has "$(sed -n 2p sub.out)" '"headers":{}' '"body":"bare"' '"wire":"raw"' '"reply":"r.1"'
	has "$(sed -n 3p sub.out)" '"headers":[["X-y","1"],["x-Y",""],["X-y","2"]]' '"body":"hi"'
	has "$(sed -n 4p sub.out)" '"headers":{}' '"body":"hi"'
	is "$(grep -c 'headers that make no sense' sub.err)" 1
}

@test "names and values that NATS does not have are refused, and named" {
	server
	for h in 'a b:1' 'é:1' $'a\tb:1'; do
		pub_is 1 --wire raw -H "$h" t x
		has "$stderr" "printable ASCII"
	done
	printf '%s\n' '{"topic":"t","headers":{"a":"x\ry"},"body":""}' '{"topic":"t","headers":{"b":" x"},"body":""}' \
		'{"topic":"t","headers":{"c":"é "},"body":"good"}' > events
	start_sub sub -J -c 1 t
	run --separate-stderr mbus pub --wire raw -J < events
	status_is 1
	has "$stderr" 'stdin:1' 'header "a"' 'one line' 'stdin:2' 'header "b"' 'begin with a blank'
	finish sub
	has "$(cat sub.out)" '"headers":{"c":"é "}' '"body":"good"'
	for t in 'a b' '' 'a..b' '.a' 'a.' 'a.*' '>'; do
		pub_is 1 "$t" x
		has "$stderr" topic
	done
	for t in 'a b' 'a..b' 'a.>.b'; do
		sub_is 2 -W 1 "$t"
		has "$stderr" "$t: topic"
	done
	sub_is 2 -W 1 -g 'a b' t
	has "$stderr" '-g: '
	pub_is 1 --reply-to 'a b' t x
	has "$stderr" '--reply-to'
	pub_is 1 "$(printf 'a%.0s' {1..3000})" x
}

@test "what NATS has not is refused before anything is sent" {
	server
	for o in '-k key' '--wait 1' '--ttl 1s' '--qos 1' '--retain' '--partition 1' '--create 1' '--ack all' '--transaction'; do
		# shellcheck disable=SC2086
		pub_is 5 $o t x
		has "$stderr" "${o%% *}"
	done
	for o in '-o beginning' '-e' '--partition 1' '--qos 1'; do
		# shellcheck disable=SC2086
		sub_is 5 $o -W 1 t
		has "$stderr" "${o%% *}"
	done
	pub_is 5 --wire raw -Z t
	has "$stderr" null
}

@test "wildcards and the real subject; a queue group with a member that is not ours" {
	server
	start_sub star -J -c 2 'a.*'
	start_sub all --body -c 3 'a.>'
	printf '{"topic":"%s","body":"%s"}\n' a.b 1 a.b.c 2 a.d 3 | mbus pub -J
	finish star
	finish all
	has "$(sed -n 1p star.out)" '"topic":"a.b"' '"body":"1"'
	has "$(sed -n 2p star.out)" '"topic":"a.d"' '"body":"3"'
	is "$(cat all.out)" $'1\n2\n3'
	bare peer 'SUB w q 9'
	start_sub a -g q --body w
	start_sub b -g q --body w
	start_sub every --body -c 300 w
	seq 300 | mbus pub --wire raw -l w
	finish every
	seen() { { of peer | grep -v MSG | tr -d '\r'; cat a.out b.out; } | sort -n | cmp -s - <(seq 300); }
	wait_for seen
	[ -s a.out ]
	[ -s b.out ]
	of peer | grep -q MSG
}

@test "nobody for an event with a reply subject: confirmed, counted, and no event" {
	server
	start_sub inbox -J r.1
	pub_is 0 -v --reply-to r.1 nobody x
	has "$stderr" '1 confirmed' 'of 1 events with a reply subject nobody got 1'
	start_sub sub -c 1 t
	pub_is 0 -v --reply-to r.1 t x
	has "$stderr" 'nobody got 0'
	# The server's word to somebody else's question is no event either.
	bare peer 'SUB r.1 1' 'PUB nobody r.1 0' ''
	pub_is 0 r.1 last
	wait_for lines_in inbox.out 1
	has "$(cat inbox.out)" '"body":"last"'
	is "$(wc -l < inbox.out)" 1
}

@test "max_payload is looked at before anything is sent" {
	server 'max_payload: 1000'
	start_sub sub --body -c 2 t
	head -c 1001 /dev/zero | tr '\0' x > big
	{ echo one; cat big; echo; echo two; } > in
	run --separate-stderr mbus pub -v --wire raw -l t < in
	status_is 1
	has "$stderr" 'stdin:2' '1001 bytes' 'the server takes 1000' '1 of 3 not delivered: 1 refused'
	finish sub
	is "$(cat sub.out)" $'one\ntwo'
	run ! grep -i 'payload violation' main.err
}

USERS='authorization { users: [
  { user: mbus, password: secret }
  { user: some, password: secret, permissions: { publish: { allow: ["ok.>"] }, subscribe: { allow: ["ok.>"] } } }
] }'

@test "an event that is not allowed is refused, alone, and its subject named" {
	server "$USERS"
	export MBUS_PASSWORD=secret
	start_sub sub --username mbus --body -c 4 '>'
	printf '{"topic":"%s","body":"%s"}\n' ok.a 1 no.a 2 ok.b 3 'no."q\b' 4 ok.c 5 no.a 6 ok.d 7 > events
	sed -i 's/"no."q\\b"/"no.\\"q\\\\b"/' events
	run --separate-stderr mbus pub -v --username some -J --report report < events
	status_is 4
	has "$stderr" '3 of 7 not delivered: 3 refused' 'Permissions Violation for Publish to' 'no.a'
	is "$(sed 's/.*"place":"stdin:\([0-9]*\)".*/\1/' report | sort | paste -sd ' ')" '2 4 6'
	finish sub
	is "$(cat sub.out)" $'1\n3\n5\n7'
	run --separate-stderr mbus pub --ack none --username some no.a x
	has "$stderr" 'not allowed'
}

@test "a subscription that is not allowed: status 4, its subject; also later" {
	server "$USERS"
	export MBUS_PASSWORD=secret
	sub_is 4 --username some -W 5 ok.a no.b
	has "$stderr" no.b 'not allowed'
	is "$(wc -l <<< "$stderr")" 1
	start_sub sub --username some ok.a
	sed -i 's/subscribe: { allow: \["ok.>"\] }/subscribe: { deny: ["ok.a"] }/' main.conf
	kill -HUP "${PID[main]}"
	finish sub
	is "$status" 4
	has "$(cat sub.err)" ok.a
}

@test "a token: as a lone password, and as the user of a URL; never shown" {
	server 'authorization { token: "s3cret" }'
	umask 077
	echo s3cret > token
	pub_is 0 --password-file token t x
	MBUS_PASSWORD=s3cret pub_is 0 t x
	pub_is 0 --url "nats://s3cret@127.0.0.1:$PORT/t" -m x
	echo other > token
	pub_is 4 --password-file token t x
	has "$stderr" 'Authorization Violation'
	pub_is 4 t x
	has "$stderr" 'it wants a user or a token'
	run ! grep -F s3cret <(echo "$stderr") main.err
}

# keys: files of tests/tools/nats_keys, that only we can read.
keys() {
	umask 077
	mkdir keys
	"$ROOT/tests/tools/nats_keys" keys
}

@test "a key: its seed signs what the server makes up; a wrong one, and what is no seed" {
	keys
	server "authorization { users: [ { nkey: $(cat keys/user.pub) } ] }"
	start_sub sub -X nats.nkey=keys/user.seed --body -c 1 t
	pub_is 0 -X nats.nkey=keys/user.seed t x
	finish sub
	is "$(cat sub.out)" x
	pub_is 4 -X nats.nkey=keys/other.seed t x
	has "$stderr" 'Authorization Violation'
	pub_is 4 t x
	pub_is 6 -X nats.nkey=keys/none t x
	for bad in SUA "$(cat keys/user.pub)" "$(tr A-Y B-Z < keys/user.seed)" "$(tr A-Z a-z < keys/user.seed)"; do
		echo "$bad" > bad
		pub_is 2 -X nats.nkey=bad t x
		has "$stderr" 'nats.nkey bad: it'
		run ! grep -F "$bad" <<< "$stderr"
	done
	pub_is 2 -X nats.nkey=keys/user.seed --username u t x
	chmod 644 keys/user.seed
	pub_is 0 -X nats.nkey=keys/user.seed t x
	has "$stderr" 'others can read'
}

@test "creds: a token and its seed, by -X and by NATS_CREDS; nothing of it is seen" {
	keys
	server "$(cat keys/operator.conf)"
	start_sub sub --debug -X nats.creds=keys/user.creds --body -c 2 t
	pub_is 0 -X nats.creds=keys/user.creds t 1
	NATS_CREDS=keys/user.creds pub_is 0 t 2
	finish sub
	is "$(cat sub.out)" $'1\n2'
	pub_is 4 -X nats.creds=keys/late.creds t x
	pub_is 4 t x
	pub_is 2 -X nats.creds=keys/user.seed t x
	NATS_CREDS=keys/none pub_is 6 t x
	has "$stderr" NATS_CREDS
	run ! grep -F -e "$(cat keys/user.seed)" -e "$(sed -n 2p keys/user.creds)" sub.err main.err
}

@test "a server that wants no key is told nothing" {
	keys
	server
	pub_is 4 -X nats.nkey=keys/user.seed t x
	has "$stderr" 'wants no key'
}

# liar BYTES: a server that says this, and prints what it hears.
liar() {
	start_ready liar python3 -c '
import os, socket, sys
s = socket.create_server(("127.0.0.1", 7009))
os.write(8, b"ready\n")
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[1].encode())
    c.settimeout(2)
    try:
        while True:
            b = c.recv(65536)
            if not b:
                break
            sys.stdout.buffer.write(b)
            sys.stdout.flush()
            if b"PING\r\n" in b:
                c.sendall(sys.argv[2].encode())
    except OSError:
        pass
    c.close()' "$@"
}

@test "TLS: what a server says in the clear behind its INFO is never believed" {
	liar $'INFO {"tls_required":true}\r\nPING\r\n' ''
	pub_is 3 -b 127.0.0.1:7009 --tls --tls-insecure t x
	has "$stderr" 'in the clear'
	is "$(cat liar.out)" ''
	pub_is 3 -b 127.0.0.1:7009 t x
	has "$stderr" '--tls'
}

@test "TLS that a server has not: no password leaves" {
	liar $'INFO {"headers":true}\r\n' ''
	MBUS_PASSWORD=secret pub_is 3 -b 127.0.0.1:7009 --username mbus --tls --tls-insecure t x
	has "$stderr" 'has no TLS'
	is "$(cat liar.out)" ''
}

@test "servers that make no sense: status 3, one line, no hang" {
	for said in 'HTTP/1.1 400 no\r\n' 'PING\r\n' 'INFO []\r\n' 'INFO {\r\n' '-ERR what\r\n'; do
		liar "$(printf '%b.' "$said" | sed '$s/\.$//')"$'\n' ''
		pub_is 3 -b 127.0.0.1:7009 --connect-timeout 2 t x
		is "$(wc -l <<< "$stderr")" 1
		stop liar
	done
	liar $'INFO {"max_payload":10}\r\n' $'PONG\r\nMSG t 1 99999999999\r\n'
	sub_is 3 -b 127.0.0.1:7009 --reconnect no t
	has "$stderr" 'more than 64 MiB'
}

@test "the server's PING is answered, an idle line stays; a server that is silent is left" {
	server 'ping_interval: "500ms"' 'ping_max: 1'
	start_sub sub --body -c 1 t
	start_sub quick --body -X nats.keepalive=1s t
	sleep 3
	is "$(cat sub.err quick.err)" ''
	freeze main
	wait_for -t 5 grep -q 'nothing heard' quick.err
	thaw main
	pub_is 0 t x
	finish sub
	is "$(cat sub.out)" x
}

@test "a subscriber that is too slow is cut, and told the settings" {
	server 'write_deadline: "500ms"' 'max_payload: 100000' 'max_pending: 1000000'
	start_sub sub --body -c 1000000 t
	freeze sub
	head -c 40000000 /dev/zero | tr '\0' x | fold -w 10000 > lines
	mbus pub --wire raw -l t < lines
	sleep 1
	thaw sub
	wait_for grep -q 'lost' sub.err
	wait_for grep -q 'write_deadline and max_pending' sub.err
}

# ---- several servers ----

cluster() {
	local i

	for i in 1 2 3; do
		serve "s$i" "422$i" "cluster { name: c, listen: \"127.0.0.1:622$i\", routes: [\"nats://127.0.0.1:6221\"] }"
	done
	wait_for -t 15 routed
}
# All know of all: an event from one arrives at the other.
routed() {
	[ "$(grep -c 'Route connection created\|Route Connection created' s1.err)" -ge 2 ] || return 1
	timeout 2 mbus sub -b 127.0.0.1:4222 -c 1 -W 1 probe --ready 'mbus pub -b 127.0.0.1:4223 probe x' > /dev/null 2>&1
}

@test "a server that dies: sub goes on at one that it was told of, pub at another of its own" {
	cluster
	start_sub sub -b 127.0.0.1:4221 --body t
	start_sub deaf -b 127.0.0.1:4221 -X nats.discover=no --reconnect 2 --body t
	mkfifo feed
	mbus pub -v -b 127.0.0.1:4221,127.0.0.1:4222 --reconnect 30 -l t < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	echo before >&7
	wait_for grep -qx before sub.out
	end_pid "${PID[s1]}" KILL || kill -KILL "${PID[s1]}" || true
	wait_for -t 10 grep -q 'again after' sub.err
	has "$(cat sub.err)" 'events that were published meanwhile are lost'
	echo after >&7
	wait_for -t 10 grep -qx after sub.out
	exec 7>&-
	finish pub 20
	is "$status" 0
	has "$(cat pub.err)" '2 confirmed'
	finish deaf 20
	is "$status" 3
}

@test "a server that is about to end is left in time" {
	cluster
	start_sub sub -v -b 127.0.0.1:4221 --body t
	nats-server -sl "ldm=${PID[s1]}"
	wait_for -t 10 grep -q 'about to end' sub.err
	wait_for -t 10 grep -q 'again after' sub.err
	mbus pub -b 127.0.0.1:4223 t x
	wait_for grep -qx x sub.out
	kill -0 "${PID[s1]}"
}

# ---- to other brokers ----

@test "nats to redis and back, byte for byte" {
	server
	start redis redis-server --port 6379 --save ''
	wait_for sh -c 'redis-cli ping 2>&1 | grep -q PONG'
	"$ROOT/tests/battery/events" make "$RANDOM" 300 'header null-body control' orders.x > sent
	start_sub last -J -c 300 'copy.>'
	mbus sub -B redis -b 127.0.0.1:6379 -J -c 300 --ready-fd 8 orders.x 8> up \
		2> to-nats.err | mbus pub -J -t copy.x --content-type none 2> pub.err 3>&- & PID[back]=$!
	wait_for test -s up
	mbus sub -J -c 300 --ready-fd 8 'orders.>' 8> up2 2> to-redis.err |
		mbus pub -B redis -b 127.0.0.1:6379 -J --content-type none 2> pub2.err 3>&- & PID[there]=$!
	wait_for test -s up2
	mbus pub -J --content-type none < sent
	finish last 30
	is "$status" 0
	"$ROOT/tests/battery/events" plain < sent | sed 's/^\["orders.x"/["copy.x"/' > from
	"$ROOT/tests/battery/events" plain < last.out | cmp from -
}

@test "the manual's table of errors is the source's" {
	sed -n '/^} meanings\[\] = {/,/^};/s/^\t{ "\([^"]*\)".*/\1/p' "$ROOT/backends/nats/nats_conn.c" | sort > source
	mandoc -T utf8 "$ROOT/man/mbus-nats.7" | plain > page
	[ -s source ]
	while read -r words; do grep -qF "$words" page || fail "mbus-nats(7) has not: $words"; done < source
}

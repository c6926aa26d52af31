#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# TLS over http: certificates that fit and such that do not, on both sides, and
# go-micro programs that set Secure or a TLSConfig. Certificates are made here by
# openssl(1): ca signs srv (127.0.0.1, 10.77.0.1), cli, other (other.example) and old (expired);
# foreign signs alien (127.0.0.1).

load ../lib

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	authority ca
	authority foreign
	certificate srv ca IP:127.0.0.1,IP:10.77.0.1
	certificate cli ca DNS:cli
	certificate other ca 'DNS:other.example,DNS:second.example'
	expired old ca IP:127.0.0.1
	certificate alien foreign IP:127.0.0.1
}

setup() {
	lib_setup
	C=$BATS_FILE_TMPDIR
}

own() { printf -- '--tls-cert\n%s\n--tls-key\n%s\n' "$C/$1.crt" "$C/$1.key"; }

# pub_is STATUS ARG...: one line on stderr at most.
pub_is() {
	run --separate-stderr timeout 20 mbus pub "${@:2}"
	status_is "$1"
	[ "$(wc -l <<< "$stderr")" -le 1 ] || fail "$stderr"
}

# sub_as NAME TOPIC CERTIFICATE [OPTION...]
sub_as() {
	local o

	mapfile -t o < <(own "$3")
	start_sub "$1" --body "${o[@]}" "${@:4}" "$2"
}

# nc_ HOST PORT: stdin there, and what comes back.
nc_() {
	# shellcheck disable=SC2016
	timeout 5 bash -c 'exec 5<> "/dev/tcp/$1/$2"; cat >&5; cat <&5' nc_ "$@" || true
}

# known TOPIC ADDRESS SECURE: a node that somebody made known.
known() {
	start_ready "reg-$2" gm-v5 reg -ready-fd 8 -version ff.http.broadcast \
		-id "$1-c0ffee00-0000-4000-8000-00000000$(printf %04x $RANDOM)" \
		-meta broker=http -meta "topic=$1" -meta "secure=$3" register micro.http.broker "$2"
}

# ---- subscriber and publisher of ours ----

@test "a certificate of a trusted authority: delivered, by TLS, to --tls and without it" {
	t=$(topic)
	sub_as s "$t" srv
	pub_is 0 --tls-ca "$C/ca.crt" "$t" one
	pub_is 0 --tls --tls-ca "$C/ca.crt" "$t" two
	pub_is 0 --tls-insecure "$t" three
	# The file may hold the node's own certificate; the environment the system's.
	pub_is 0 --tls-ca "$C/srv.crt" "$t" four
	SSL_CERT_FILE=$C/ca.crt pub_is 0 "$t" five
	wait_for lines_in s.out 5
	is "$(cat s.out)" "$(printf '%s\n' one two three four five)"
	is "$(cat s.err)" ''
	run -0 mbus registry get micro.http.broker
	has "$output" 'secure=true'
}

@test "certificate, chain and key may be in one file; other names of the options" {
	t=$(topic)
	cat "$C/srv.crt" "$C/srv.key" > both
	start_sub s --body --cert both "$t"
	pub_is 0 --cafile "$C/ca.crt" "$t" 1
	pub_is 0 --cacert "$C/ca.crt" "$t" 2
	pub_is 0 --tlsca "$C/ca.crt" --tlscert "$C/cli.crt" --tlskey "$C/cli.key" "$t" 3
	pub_is 0 --insecure "$t" 4
	wait_for lines_in s.out 4
}

@test "a self-made certificate: refused with what can be done, taken with --tls-insecure" {
	t=$(topic)
	start_sub s --tls --body "$t"
	pub_is 4 "$t" one
	has "$stderr" 'signed by itself' '--tls-ca FILE' '--tls-insecure'
	pub_is 0 --tls-insecure "$t" two
	stop s
	is "$(cat s.out)" two
	matches "$(cat s.err)" 'mbus: sub: warning: http: a publisher at 127\.0\.0\.1:[0-9]+: does not accept our certificate: .*'
}

@test "the self-made certificate is as go-micro's" {
	t=$(topic)
	start_sub s --tls -b localhost:7000 -X dialect=new "$t"
	openssl s_client -connect 127.0.0.1:7000 -showcerts < /dev/null 2> s_client.err | openssl x509 > node.crt
	# One spelling in all versions of OpenSSL: "O = mbus" is "O=mbus" in later ones.
	text=$(openssl x509 -in node.crt -noout -text -nameopt RFC2253)
	has "$text" 'Subject: O=mbus' 'Issuer: O=mbus' 'ASN1 OID: prime256v1' 'ecdsa-with-SHA256' 'CA:TRUE' \
		'Digital Signature, Key Encipherment, Certificate Sign' 'TLS Web Server Authentication' \
		'IP Address:127.0.0.1, DNS:localhost'
	# It fits, for who got it in a way that can be trusted, until the next start.
	pub_is 0 --tls-ca node.crt "$t" x
	pub_is 0 --tls-ca node.crt --tls-sni localhost "$t" x
	stop s
	start_sub s --tls -b localhost:7000 -X dialect=new "$t"
	pub_is 4 --tls-ca node.crt "$t" x
}

@test "listening on all addresses: the certificate is for the one that is told" {
	t=$(topic)
	start_sub s --tls -b 0.0.0.0:7000 -X dialect=new "$t"
	openssl s_client -connect 10.77.0.1:7000 -showcerts < /dev/null 2> s_client.err | openssl x509 > node.crt
	pub_is 0 --tls-ca node.crt "$t" x
	is "$(openssl x509 -in node.crt -noout -ext subjectAltName | tail -n 1 | tr -d ' ')" IPAddress:10.77.0.1
}

@test "an expired certificate, a wrong name, a foreign authority: one line each, status 4" {
	t=$(topic)
	sub_as s "$t" old
	pub_is 4 --tls-ca "$C/ca.crt" "$t" x
	has "$stderr" '127.0.0.1:' 'its certificate expired at 20'
	stop s
	sub_as s "$t" other
	pub_is 4 --tls-ca "$C/ca.crt" "$t" x
	has "$stderr" 'its certificate is for other.example, second.example, not for 127.0.0.1' '--tls-sni'
	pub_is 4 --tls-ca "$C/ca.crt" --tls-sni third.example "$t" x
	has "$stderr" 'not for third.example'
	pub_is 0 --tls-ca "$C/ca.crt" --tls-sni second.example "$t" named
	stop s
	is "$(cat s.out)" named
	sub_as s "$t" alien
	pub_is 4 --tls-ca "$C/ca.crt" "$t" x
	has "$stderr" 'an authority that is not trusted: CN=foreign,O=mbus test'
	pub_is 4 "$t" x
	stop s
	is "$(cat s.out)" ''
}

@test "--tls-sni is the name that is asked for; without it there is none" {
	t=$(topic)
	# This server has another certificate for who asks for that name.
	start s openssl s_server -accept 7000 -cert "$C/srv.crt" -key "$C/srv.key" -www -servername other.example \
		-cert2 "$C/other.crt" -key2 "$C/other.key"
	wait_for grep -q ACCEPT s.out
	known "$t" 127.0.0.1:7000 true
	for sni in other.example 127.0.0.1 ''; do
		run --separate-stderr mbus pub -W 2 --tls-ca "$C/ca.crt" ${sni:+--tls-sni $sni} "$t" body
		[ "$status" != 4 ]
		[[ $stderr != *certificate* && $stderr != *handshake* ]]
	done
	for sni in second.example other.example.org 10.77.0.2; do
		pub_is 4 --tls-ca "$C/ca.crt" --tls-sni $sni "$t" body
		has "$stderr" "not for $sni"
	done
}

@test "client certificates: wanted with --tls-ca, by 1.2 and 1.3, and none, foreign and old ones are refused" {
	t=$(topic)
	sub_as s "$t" srv --tls-ca "$C/ca.crt" -b 127.0.0.1:7000 -X dialect=new
	ca=(--tls-ca "$C/ca.crt")
	pub_is 4 "${ca[@]}" "$t" x
	has "$stderr" 'wants a certificate of ours (--tls-cert FILE --tls-key FILE)'
	mapfile -t o < <(own alien)
	pub_is 4 "${ca[@]}" "${o[@]}" "$t" x
	has "$stderr" 'does not accept our certificate: unknown CA'
	mapfile -t o < <(own old)
	pub_is 4 "${ca[@]}" "${o[@]}" "$t" x
	has "$stderr" 'does not accept our certificate: certificate expired'
	mapfile -t o < <(own cli)
	pub_is 0 "${ca[@]}" "${o[@]}" "$t" yes
	for v in -tls1_2 -tls1_3; do
		run openssl s_client $v -connect 127.0.0.1:7000 -CAfile "$C/ca.crt" -cert "$C/cli.crt" -key "$C/cli.key" < /dev/null
		has "$output" 'Verify return code: 0 (ok)'
	done
	sleep 0.1
	stop s
	is "$(cat s.out)" yes
	has "$(cat s.err)" 'sent no certificate, and --tls-ca asks for one'
	# Once in five seconds, or a stubborn publisher would fill the terminal.
	is "$(wc -l < s.err)" 1
}

@test "a subscriber says with -v what each failed publisher did" {
	t=$(topic)
	sub_as s "$t" srv --tls-ca "$C/ca.crt" -b 127.0.0.1:7000 -X dialect=new -v
	pub_is 4 --tls-ca "$C/ca.crt" "$t" x
	for c in alien old; do
		mapfile -t o < <(own $c)
		pub_is 4 --tls-ca "$C/ca.crt" "${o[@]}" "$t" x
	done
	printf 'hello, is this TLS?\r\n' | nc_ 127.0.0.1 7000 > raw
	wait_for grep -q 'something that is not TLS' s.err
	has "$(cat s.err)" 'sent no certificate' 'an authority that is not trusted: CN=foreign' 'its certificate expired at'
	[[ $(cat s.err) != *--tls-insecure* ]]
}

@test "plain HTTP to a TLS port: go-micro's answer, byte for byte; and pub says what it is" {
	t=$(topic)
	start_sub s --tls -b 127.0.0.1:7000 -X dialect=new -v "$t"
	printf 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello' | nc_ 127.0.0.1 7000 > raw
	is "$(od -c raw)" "$(printf 'HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n' | od -c)"
	wait_for grep -q 'sent plain HTTP to a TLS port' s.err
	known "$t-2" 127.0.0.1:7000 false
	pub_is 5 "$t-2" x
	has "$stderr" '127.0.0.1:7000: speaks TLS, and its node does not say so'
	# Others answer with an alert.
	start o openssl s_server -accept 7001 -cert "$C/srv.crt" -key "$C/srv.key" -www
	wait_for grep -q ACCEPT o.out
	known "$t-3" 127.0.0.1:7001 false
	run --separate-stderr mbus pub -W 3 "$t-3" x
	[ "$status" -gt 0 ]
}

@test "TLS to a plain port: one line" {
	t=$(topic)
	start_sub s -b 127.0.0.1:7000 -X dialect=new "$t"
	known "$t-2" 127.0.0.1:7000 true
	pub_is 3 --tls-insecure "$t-2" x
	has "$stderr" '127.0.0.1:7000: answered in plain text, not TLS'
	# One that hangs up, and one that says nothing.
	start h python3 -c 'import socket
s = socket.create_server(("127.0.0.1", 7002)); print("up", flush=True)
while True:
    c, _ = s.accept(); c.recv(1); c.close()'
	wait_for lines_in h.out 1
	known "$t-3" 127.0.0.1:7002 true
	pub_is 3 "$t-3" x
	has "$stderr" '127.0.0.1:7002: ' 'in the TLS handshake'
	start m python3 -c 'import socket
s = socket.create_server(("127.0.0.1", 7003)); print("up", flush=True); l = []
while True: l.append(s.accept())'
	wait_for lines_in m.out 1
	known "$t-5" 127.0.0.1:7003 true
	pub_is 3 --connect-timeout 1 "$t-5" x
	has "$stderr" '127.0.0.1:7003: no answer to the TLS handshake within 1000 ms'
}

@test "TLS 1.2 and 1.3, nothing before; no ALPN" {
	t=$(topic)
	sub_as s "$t" srv -b 127.0.0.1:7000 -X dialect=new
	for v in 2 3; do
		run openssl s_client -tls1_$v -alpn h2,http/1.1 -connect 127.0.0.1:7000 -CAfile "$C/ca.crt" < /dev/null
		has "$output" "New, TLSv1.$v" 'No ALPN negotiated' 'Verify return code: 0 (ok)'
	done
	for v in 1 1_1; do
		run openssl s_client -tls$v -cipher DEFAULT@SECLEVEL=0 -connect 127.0.0.1:7000 < /dev/null
		has "$output" 'alert protocol version'
	done
	start o openssl s_server -accept 7001 -cert "$C/srv.crt" -key "$C/srv.key" -www -tls1_1 \
		-cipher DEFAULT@SECLEVEL=0
	wait_for grep -q ACCEPT o.out
	known "$t-2" 127.0.0.1:7001 true
	pub_is 3 --tls-ca "$C/ca.crt" "$t-2" x
	has "$stderr" '127.0.0.1:7001: speaks neither TLS 1.2 nor 1.3'
}

@test "pub --tls sends nothing in the clear; the others get theirs" {
	t=$(topic)
	start_sub plain --body "$t"
	for o in --tls "--tls-ca $C/ca.crt" --tls-insecure; do
		# shellcheck disable=SC2086
		pub_is 5 $o "$t" secret
		has "$stderr" 'offers no TLS, and --tls asks for it'
	done
	sub_as s "$t" srv
	pub_is 5 --tls --tls-ca "$C/ca.crt" "$t" half
	wait_for lines_in s.out 1
	stop plain
	is "$(cat plain.out)" ''
	is "$(cat s.out)" half
	# A member of a group that cannot be trusted is replaced by one that can.
	t=$t-g
	start_sub bad --body --tls -g q "$t"
	sub_as good "$t" srv -g q
	for i in 1 2 3 4 5 6; do pub_is 0 --tls-ca "$C/ca.crt" "$t" "$i"; done
	wait_for lines_in good.out 6
	is "$(cat bad.out)" ''
}

@test "10,000 events in order, a body of 2 MB, and 200 publishers" {
	t=$(topic)
	sub_as s "$t" srv
	seq 10000 > in
	run -0 --separate-stderr mbus pub -v -l --tls-ca "$C/ca.crt" "$t" < in
	has "$stderr" '10000 confirmed'
	wait_for lines_in s.out 10000
	same_bytes in s.out
	stop s
	is "$status" 0
	head -c 1500000 /dev/urandom | base64 -w 0 > big
	sub_as s "$t" srv -c 3
	for i in 1 2 3; do mbus pub --tls-ca "$C/ca.crt" "$t" < big; done
	finish s
	for i in 1 2 3; do cat big; echo; done > three
	same_bytes three s.out
	sub_as s "$t" srv -c 200
	for i in $(seq 200); do echo "$i"; done | xargs -P 8 -I{} mbus pub --tls-ca "$C/ca.crt" "$t" {}
	finish s 20
	is "$(sort -n s.out)" "$(seq 200)"
}

@test "a subscriber that does not read on stops the publisher, over TLS too; nothing is lost" {
	t=$(topic)
	mkfifo pipe
	exec 7<> pipe
	mapfile -t o < <(own srv)
	# shellcheck disable=SC2016
	start_ready s bash -c 'exec mbus sub --ready-fd 8 --body "$@" > pipe' sub "${o[@]}" "$t"
	seq -f "%0200.0f" 30000 > p.in
	start p mbus pub -l --tls-ca "$C/ca.crt" "$t"
	sleep 1
	kill -0 "${PID[p]}"
	head -n 30000 <&7 > got
	finish p 30
	is "$status" 0
	same_bytes p.in got
	exec 7>&-
}

# What a torn body would be: a request of its own.
torn() {
	python3 - "$1" "$2" <<- 'END'
	import sys
	for i in range(int(sys.argv[1]), int(sys.argv[2])):
	    evil = "POST / HTTP/1.1\\r\\nHost: h\\r\\nContent-Length: 0\\r\\n\\r\\n"
	    print("%06d %s %06d" % (i, (evil * 60)[:1000 + i * 37 % 3000], i))
	END
}

@test "a subscriber that stands still under load, over TLS: no event is harmed, no word is wrong" {
	local confirmed unknown refused n i

	torn 0 6100 > all
	for i in 1 2; do
		start_sub s-$i --tls --body t.still.$i
		mkfifo in-$i
		start pub-$i sh -c "exec mbus pub -v -l -0 --tls-insecure -W 2 --inflight 100000 t.still.$i < in-$i"
		exec 7> in-$i
		head -n 100 all | tr '\n' '\0' >&7
		wait_for lines_in s-$i.out 100
		kill -STOP "${PID[s-$i]}"
		wait_for grep -q '^State:.T' "/proc/${PID[s-$i]}/status"
		tail -n +101 all | tr '\n' '\0' >&7
		sleep 4.6
		kill -CONT "${PID[s-$i]}"
		exec 7>&-
		finish pub-$i 30
		[ "$status" != 0 ]
		confirmed=$((6100 - $(sed -n 's/^mbus: pub: \([0-9]*\) of 6100 not delivered.*/\1/p' pub-$i.err)))
		unknown=$(grep -o '[0-9]* unknown' pub-$i.err | cut -d ' ' -f 1)
		refused=$((6100 - confirmed - unknown))
		sleep 0.5
		stop s-$i
		# Each line is one of those that were sent, whole, and once.
		n=$(wc -l < s-$i.out)
		is "$(sort s-$i.out | uniq -d | wc -l)" 0
		is "$(sort all s-$i.out | uniq | wc -l)" 6100
		[ "$n" -ge "$confirmed" ] || fail "$confirmed confirmed, $n there"
		[ "$n" -le $((confirmed + unknown)) ] || fail "$n there; $confirmed confirmed, $unknown unknown, $refused refused"
	done
}

# numbers NAME COMMAND...: it reads numbers without end.
numbers() {
	mkfifo "$1.in"
	start "$1" "${@:2}"
	start "$1-feed" sh -c "exec > $1.in; i=0; while echo \$i; do i=\$((i + 1)); done"
}

@test "a signal ends pub and sub in 3 s while the other side stands still, over TLS too" {
	local how t0 tls

	for how in plain tls; do
		tls=()
		[ $how = plain ] || tls=(--tls-insecure)
		start_sub s-$how "${tls[@]}" --body t.sig.$how
		numbers pub-$how mbus pub -l -W 60 "${tls[@]}" t.sig.$how
		wait_for test -s s-$how.out
		kill -STOP "${PID[s-$how]}"
		sleep 0.5
		t0=$(now_ms)
		stop pub-$how
		[ $(($(now_ms) - t0)) -le 3000 ] || fail "pub took $(($(now_ms) - t0)) ms"
		kill -CONT "${PID[s-$how]}"
		# And a publisher that reads none of its answers.
		numbers other-$how mbus pub -l -W 60 "${tls[@]}" t.sig.$how
		sleep 0.3
		kill -STOP "${PID[other-$how]}"
		t0=$(now_ms)
		stop s-$how
		is "$status" 0
		[ $(($(now_ms) - t0)) -le 3000 ] || fail "sub took $(($(now_ms) - t0)) ms"
		stop other-$how KILL
	done
}

@test "options that contradict, files that are not there or are something else" {
	not() {
		run --separate-stderr mbus "${@:3}"
		status_is "$1"
		has "$stderr" "$2"
		[ "$(wc -l <<< "$stderr")" = 1 ]
	}
	not 2 '--tls-key goes with --tls-cert' sub --tls-key "$C/srv.key" T
	not 2 'one of them' pub --tls-ca "$C/ca.crt" --tls-insecure T x
	not 2 '--tls-sni' pub --tls-sni '' T x
	not 6 '--tls-cert nowhere: No such file' sub --tls-cert nowhere T
	not 6 '--tls-key nowhere: No such file' sub --tls-cert "$C/srv.crt" --tls-key nowhere T
	not 6 '--tls-ca nowhere: No such file' sub --tls-cert "$C/srv.crt" --tls-key "$C/srv.key" --tls-ca nowhere T
	not 6 "--tls-ca .: Is a directory" sub --tls --tls-ca . T
	echo 'secret words' > junk
	not 6 '--tls-cert junk: no certificate in PEM' sub --tls-cert junk T
	[[ $stderr != *words* ]]
	not 6 "--tls-cert $C/srv.crt: no private key in it: --tls-key FILE" sub --tls-cert "$C/srv.crt" T
	not 6 '--tls-key junk: no private key in PEM' sub --tls-cert "$C/srv.crt" --tls-key junk T
	[[ $stderr != *words* ]]
	not 6 '--tls-ca junk: no certificate in PEM' sub --tls --tls-ca junk T
	not 6 'the key in it is not the one of' sub --tls-cert "$C/srv.crt" --tls-key "$C/cli.key" T
	openssl pkey -in "$C/srv.key" -aes128 -passout pass:x -out locked
	not 6 'without a passphrase' sub --tls-cert "$C/srv.crt" --tls-key locked T
	not 5 'the mdns registry has no TLS' registry --tls list
	# A publisher finds out when it meets a node that wants it.
	start_sub s --tls T
	not 6 '--tls-ca nowhere: No such file' pub --tls-ca nowhere T x
}

@test "TLS is a module: loaded only when something asks for it, missed with a word" {
	t=$(topic)
	start_sub plain "$t"
	[ "$(grep -c libssl "/proc/${PID[plain]}/maps")" = 0 ]
	stop plain
	start_sub s --tls "$t"
	[ "$(grep -c libssl "/proc/${PID[s]}/maps")" -gt 0 ]
	run -0 mbus --list
	has "$output" 'TLS 1.2 and 1.3' 'package libssl3'
	mkdir alone
	cp "$MBUS" alone/mbus
	run --separate-stderr alone/mbus sub --tls "$t"
	status_is 5
	has "$stderr" 'the tls layer is built, but its module tls.so is not beside the binary'
	run --separate-stderr alone/mbus pub --tls-insecure "$t" x
	status_is 5
	has "$stderr" 'its module tls.so'
	mkdir modules
	printf 'int from_elsewhere(void);int use(void){return from_elsewhere();}\n' |
		"${CC:-gcc}" -shared -fPIC -o modules/tls.so -x c -
	MBUS_MODULES=$PWD/modules run --separate-stderr mbus sub --tls "$t"
	status_is 5
	has "$stderr" 'the tls layer needs the Debian package libssl3'
}

@test "thousands of broken greetings, idle and vanishing peers: the subscriber lives, and stays small" {
	t=$(topic)
	sub_as s "$t" srv -b 127.0.0.1:7000 -X dialect=new
	python3 - << 'END'
import os, random, socket, ssl
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
address = ("127.0.0.1", 7000)
idle = [context.wrap_socket(socket.create_connection(address)) for _ in range(100)]
silent = [socket.create_connection(address) for _ in range(100)]
out = ssl.MemoryBIO()
try:
    context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
except ssl.SSLWantReadError:
    pass
hello = out.read()
random.seed(1)
for i in range(2000):
    b = bytearray(hello)
    for _ in range(random.randint(0, 4)):
        b[random.randrange(len(b))] = random.randrange(256)
    if random.random() < 0.3:
        b = b[:random.randint(1, len(b))]
    c = socket.create_connection(address)
    c.sendall(b)
    if random.random() < 0.2:
        c.settimeout(0.005)
        try:
            c.recv(4096)
            c.sendall(os.urandom(50))
        except OSError:
            pass
    c.close()
END
	pub_is 0 --tls-ca "$C/ca.crt" "$t" 'still here'
	wait_for lines_in s.out 1
	kb=$(awk '/^VmHWM/ { print $2 }' "/proc/${PID[s]}/status")
	[ "$kb" -lt 40000 ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$kb kB"
	stop s
	is "$status" 0
}

@test "new keys in the middle, and no renegotiation" {
	t=$(topic)
	sub_as s "$t" srv -b 127.0.0.1:7000 -X dialect=new
	run bash -c '{ sleep 0.2; echo K; sleep 0.2; printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n"; sleep 0.3; } |
		openssl s_client -tls1_3 -connect 127.0.0.1:7000 2>&1'
	has "$output" KEYUPDATE 'HTTP/1.1 405 Method Not Allowed'
	run bash -c '{ sleep 0.2; echo R; sleep 0.3; } | openssl s_client -tls1_2 -connect 127.0.0.1:7000 2>&1'
	has "$output" RENEGOTIATING 'no renegotiation'
	pub_is 0 --tls-ca "$C/ca.crt" "$t" on
}

# ---- go-micro programs that set Secure ----

# gm_pub LINE ARG...: go-micro's lookup is short for a busy machine, and says so
# before it sends anything.
gm_pub() {
	local i

	for i in 1 2 3; do
		if "gm-$1" pub "${@:2}" 2> pub.err; then return; fi
		grep -q 'service not found' pub.err || break
	done
	fail "$(cat pub.err)"
}

tls_from_line() {
	local t

	t=$(topic)
	# Self-made on both sides: they do not verify.
	start_sub s --tls --body -c 3 "$t"
	gm_pub "$1" -topic "$t" -n 3 -body hi
	finish s
	is "$(cat s.out)" "$(printf 'hi\nhi\nhi')"
	start_sub s --tls --body -c 1 "$t"
	gm_pub "$1" -topic "$t" -secure -body hi
	finish s
	# A TLSConfig verifies: ours is signed by the authority it knows, and wants one.
	sub_as s "$t" srv --tls-ca "$C/ca.crt" -c 1
	gm_pub "$1" -topic "$t" -cert "$C/cli.crt" -key "$C/cli.key" -ca "$C/ca.crt" -body both
	finish s
	is "$(cat s.out)" both
	# They fail in silence; the subscriber says it.
	sub_as s "$t" srv
	gm_pub "$1" -topic "$t" -cert "$C/alien.crt" -key "$C/alien.key" -ca "$C/foreign.crt" -body lost
	wait_for grep -q 'does not accept our certificate' s.err
	stop s
	is "$(cat s.out)" ''
	sub_as s "$t" srv --tls-ca "$C/ca.crt"
	gm_pub "$1" -topic "$t" -body lost
	wait_for grep -q 'sent no certificate' s.err
	stop s
	is "$(cat s.out)" ''
}

@test "v1 publishes to our TLS subscribers" { tls_from_line v1; }
@test "v2 publishes to our TLS subscribers" { tls_from_line v2; }
@test "v3 publishes to our TLS subscribers" { tls_from_line v3; }
@test "v4 publishes to our TLS subscribers" { tls_from_line v4; }
@test "v5 publishes to our TLS subscribers" { tls_from_line v5; }

tls_to_line() {
	local t o

	t=$(topic)
	start_ready s "gm-$1" sub -topic "$t" -secure -ready-fd 8
	pub_is 4 "$t" no
	has "$stderr" 'signed by itself'
	pub_is 0 --tls-insecure "$t" yes
	seq 100 | mbus pub -l --tls --tls-insecure "$t"
	wait_for lines_in s.out 101
	stop s
	is "$(wc -l < s.out)" 101
	has "$(head -n 1 s.out)" '"body":"yes"'
	# With a TLSConfig: their certificate verified, and ours wanted.
	start_ready s "gm-$1" sub -topic "$t" -cert "$C/srv.crt" -key "$C/srv.key" -ca "$C/ca.crt" -ready-fd 8
	pub_is 4 --tls-ca "$C/ca.crt" "$t" no
	has "$stderr" 'wants a certificate of ours'
	mapfile -t o < <(own alien)
	pub_is 4 --tls-ca "$C/ca.crt" "${o[@]}" "$t" no
	has "$stderr" 'does not accept our certificate'
	mapfile -t o < <(own cli)
	pub_is 4 --tls-ca "$C/foreign.crt" "${o[@]}" "$t" no
	pub_is 0 --tls-ca "$C/ca.crt" "${o[@]}" "$t" both
	wait_for lines_in s.out 1
	stop s
	is "$(wc -l < s.out)" 1
	# Its address says plain, its port speaks TLS.
	start_ready s "gm-$1" sub -topic "$t" -cert "$C/other.crt" -key "$C/other.key" -ready-fd 8
	pub_is 4 --tls-ca "$C/ca.crt" "$t" no
	has "$stderr" 'is for other.example'
	pub_is 0 --tls-ca "$C/ca.crt" --tls-sni other.example "$t" named
}

@test "our publisher to v1 with Secure or a TLSConfig" { tls_to_line v1; }
@test "our publisher to v2 with Secure or a TLSConfig" { tls_to_line v2; }
@test "our publisher to v3 with Secure or a TLSConfig" { tls_to_line v3; }
@test "our publisher to v4 with Secure or a TLSConfig" { tls_to_line v4; }
@test "our publisher to v5 with Secure or a TLSConfig" { tls_to_line v5; }

# ---- and long ----

# bats test_tags=long
@test "valgrind: both sides, verified, mutual, refused" {
	t=$(topic)
	mapfile -t s < <(own srv)
	mapfile -t o < <(own cli)
	vg=(valgrind -q --error-exitcode=99 --leak-check=full)
	start_ready s "${vg[@]}" "$MBUS" sub --ready-fd 8 --body -c 1001 "${s[@]}" --tls-ca "$C/ca.crt" "$t"
	run "${vg[@]}" "$MBUS" pub --tls-ca "$C/ca.crt" "$t" x
	status_is 4
	seq 1000 | "${vg[@]}" "$MBUS" pub -l --tls-ca "$C/ca.crt" "${o[@]}" "$t"
	head -c 2000000 /dev/zero | tr '\0' x | "${vg[@]}" "$MBUS" pub --tls-ca "$C/ca.crt" "${o[@]}" "$t"
	finish s 60
	is "$status" 0
}

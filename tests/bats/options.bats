#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# Options that only some brokers heed: what they tell a broker that has the thing (the
# file told of fake_broker.c), and that a broker without it refuses them. That no option
# at all is without effect.

load ../lib
load fake

setup_file() { fake_build; }

# told LINE PART...: a line of the file told that begins so has these parts.
told() {
	has "$(grep "^$1" told) " "${@:2}"
}
# told_none: nothing about an event was told.
told_none() {
	if grep ^pub told; then return 1; fi
}
# refuses STATUS WORDS -- COMMAND...
refuses() {
	local want=$1 words=$2

	shift 3
	run --separate-stderr "$@" < /dev/null
	status_is "$want"
	has "$stderr" "$words"
	is "$output" ""
}

# ---- --url ----

@test "bench --on: what a URL's parameters say is for its run alone" {
	local how=(bench rtt -n 1 --warmup 0 --stall 100ms --drain 100ms)

	run -1 --separate-stderr fake_able "${how[@]}" --wire micro \
		--on 'null://h:1/t?qos=1&null.told=one&header=a:b' \
		--on 'null://h:1?told=two&key=k&qos=2' --on 'null://h:1?told=three&wire=raw'
	is "$(grep -c '^null ' <<< "$output")" 3
	has "$(grep '^sub' one)" ' t.answers.0 ' ' qos=1 '
	has "$(grep '^sub' two)" ' qos=2 '
	has "$(grep '^sub' three)" ' qos=-1 '
	# The command line comes first.
	has "$(cat one two three)" ' wire=1 '
	if grep 'wire=2' one two three; then return 1; fi
	refuses 2 "the URL's parameter qos: '7' is not" -- fake_able "${how[@]}" --on 'null://h?qos=7'
	refuses 2 "did you mean wire?" -- fake_able "${how[@]}" --on null://h --on 'null://h?wird=raw'
	refuses 2 "the URL's parameter out: this option is for the command line" -- \
		fake_able "${how[@]}" --on 'null://h?out=f'
	refuses 5 "--qos: the memory broker has no QoS" -- \
		"$MBUS" "${how[@]}" --on 'memory://x?qos=1'
}

@test "--url: broker, address and topic" {
	export MICRO_BROKER=http MICRO_BROKER_ADDRESS=elsewhere
	fake_url() { env "MBUS_MODULES=$BATS_FILE_TMPDIR/able" "$MBUS" "$@"; }
	fake_url pub --url null://h:1/a/b -X told=told -X record=r body
	told broker " address=null://h:1 "
	is "$(cat r)" "$(record a/b - body)"
	fake_url pub -u NULL://h/a%2Fb%20%23 -X record=r body
	is "$(cat r)" "$(record 'a/b #' - body)"
	echo line | fake_url pub -l -u null://h/t -X record=r
	is "$(cat r)" "$(record t - line)"
	# -t comes before the path.
	fake_url pub -u null://h/t -t other -X record=r body
	is "$(cat r)" "$(record other - body)"
	fake_url sub -u null://h/a/b -X told=told --check
	told sub "sub a/b "
	fake_url sub -u null://h/a/b other -X told=told --check
	told sub "sub other "
	fake_url --url null://h pub -X record=r t body
	is "$(cat r)" "$(record t - body)"
	is "$("$MBUS" --url null://h -X list | head -n 1)" "-X options of the null broker:"
}

@test "--url: what does not go together, and what there is not" {
	refuses 2 "--url says which broker, and so does -B" -- "$MBUS" pub --url null://h -B null t b
	refuses 2 "--url says which address, and so does -b" -- "$MBUS" pub --url null://h -b h t b
	refuses 2 "no broker has the scheme foo:// (there are: " -- "$MBUS" pub --url foo://h t b
	refuses 2 "-u: 'h' is not a URL (write SCHEME://HOST; a user's name is --username)" -- "$MBUS" pub -u h t b
	refuses 2 "name two topics" -- fake_able pub -b null://h/a,null://i/b body
	refuses 2 "name two users" -- fake_able pub -b null://a@h,null://b@i t body
	refuses 2 "a NUL in it" -- fake_able pub -b null://h/a%00 body
	refuses 2 "the address begins with null://" -- "$MBUS" pub -B http -b null://h t b
	refuses 2 "which topic?" -- fake_able sub --url null://h
	for option in "--url null://h" "--wire raw" "--reconnect 3"; do
		# shellcheck disable=SC2086
		refuses 2 "${option%% *} is for " -- "$MBUS" registry $option list
	done
	for option in "--username me" "--password-file f"; do
		# shellcheck disable=SC2086
		refuses 5 "${option%% *}: the mdns registry has no users and passwords" -- "$MBUS" registry $option list
	done
	# Known, but not here.
	cp "$MBUS" mbus
	refuses 5 "null.so" -- ./mbus pub --url null://h t b
}

# ---- nothing is without effect ----

@test "every option is effective or refused, with every broker" {
	run "$ROOT/tests/tools/every_option" "$MBUS" "$BATS_FILE_TMPDIR/able" "$BATS_FILE_TMPDIR/bare"
	status_is 0
	matches "${lines[-1]}" "[0-9]{4} effective, [0-9]{3} refused, 0 bad; brokers: .*http .*redis.*"
}

@test "what a command has no use for is refused, from the environment it is ignored" {
	local option

	for option in "-B null" "-b h" "--broker_address h" "--url null://h" "--connect-timeout 3" "--wire raw" "--reconnect no"; do
		if [ "${option% *}" = --connect-timeout ]; then
			# shellcheck disable=SC2086
			refuses 5 "--connect-timeout: the mdns registry has no server" -- "$MBUS" registry $option list
		else
			# shellcheck disable=SC2086
			refuses 2 "${option%% *} is for" -- "$MBUS" registry $option list
		fi
		# shellcheck disable=SC2086
		refuses 2 "${option%% *} is for a command" -- "$MBUS" $option --list
	done
	refuses 2 "--wire is for events" -- fake topics --wire micro
	refuses 2 "--register_ttl is for mbus registry register: a subscription keeps its 60 s and 30 s" -- \
		"$MBUS" pub --register_ttl 60 t b
	refuses 2 "--register-interval is for mbus registry register" -- "$MBUS" --register-interval 30 sub t
	# The environment's, of a broker that is not asked, or that has it not.
	export MICRO_REGISTER_TTL=60 MICRO_REGISTER_INTERVAL=30 MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=/nowhere
	fake pub t b
	unset MICRO_REGISTRY MICRO_REGISTRY_ADDRESS
	MICRO_BROKER_ADDRESS=null://h/t "$MBUS" registry -X mdns.wait=quick list
	MICRO_BROKER_ADDRESS=mqtt://h/t fake pub -B null t b
	MICRO_BROKER_ADDRESS=127.0.0.1:1 refuses 5 "nobody subscribes" -- "$MBUS" pub t b
	MBUS_PASSWORD=secret fake pub t b
}

@test "what a broker cannot have is refused before it is asked for anything: 5" {
	# Nobody listens there: a status of 3 would mean that it was asked.
	refuses 5 "-k: the mqtt broker has no keys" -- "$MBUS" pub -B mqtt -b 127.0.0.1:1 t b -k k
	refuses 5 "--qos: the redis broker has no QoS" -- "$MBUS" pub -B redis -b 127.0.0.1:1 t b --qos 1
	refuses 5 "--ttl: MQTT 3.1.1 has none (version 5 has" -- "$MBUS" pub -B mqtt -b 127.0.0.1:1 -X version=3.1.1 t b --ttl 3
	refuses 5 "-k: channels of Redis have no keys; streams have" -- "$MBUS" pub -B redis -b 127.0.0.1:1 t b -k k
	refuses 5 "-g: channels of Redis have no groups; streams have" -- "$MBUS" sub -B redis -b 127.0.0.1:1 t -g g
	refuses 5 "-e: channels of Redis have no past" -- "$MBUS" sub -B redis -b 127.0.0.1:1 t -e
	refuses 5 "-b: http has no server to connect to" -- "$MBUS" pub -b 127.0.0.1:1 t b
	refuses 5 "--registry: the redis broker uses no registry" -- "$MBUS" pub -B redis --registry mdns t b
	refuses 5 "--registry-address: the mdns registry has no other address" -- "$MBUS" pub --registry-address h t b
	refuses 5 "-H: headers: a comes twice" -- "$MBUS" pub t b -H a:1 -H a:2
	refuses 5 "-H: headers: a has no value" -- "$MBUS" pub t b -H a
	refuses 5 "--url: http has no server to name" -- "$MBUS" pub --url http://h/ t b
	refuses 5 "this version of mbus has no stomp broker" -- "$MBUS" pub --url stomp://h t b
	refuses 5 "this version of mbus has no stomp broker" -- "$MBUS" pub -B stomp t b
	# One event of many: that one.
	printf '%s\n' '{"topic":"t","body":"x","key":"k"}' '{"topic":"t","body":"y"}' > in
	run --separate-stderr fake_text pub -J -X record=r < in
	status_is 1
	has "$stderr" "stdin:1: key: the null broker has none" "1 of 2 not delivered: 1 refused"
	is "$(cat r)" "$(record t - y)"
	# With --omit it is not asked for.
	fake_text pub t b -k k --omit key -X record=r
	is "$(cat r)" "$(record t - b)"
	fake_text pub t -Z --omit null -X record=r
	is "$(cat r)" "$(record t - '')"
	fake_text pub t b -H a:1 -H a:2 -H b --omit repeat,null -X record=r
	is "$(cat r)" "$(record t - b a 1)"
}

@test "kafka: a user and a password go together" {
	refuses 2 "a user wants a password (--password-file FILE" -- "$MBUS" sub -B kafka --username u -b localhost:1 t
	refuses 2 "a user wants a password" -- "$MBUS" sub -B kafka --username u -X sasl.mechanism=SCRAM-SHA-256 \
		-b localhost:1 t
	refuses 2 "a user wants a password" -- "$MBUS" pub -B kafka -X sasl.username=u -X sasl.mechanisms=SCRAM-SHA-512 \
		-b localhost:1 t b
	refuses 2 "a user wants a password" -- "$MBUS" pub --url kafka://u@localhost:1 -t t b
	MBUS_PASSWORD=x refuses 2 "a password wants a user (--username USER)" -- "$MBUS" sub -B kafka -b localhost:1 t
}

@test "an empty value, and an option for another broker by its name" {
	local option

	for option in -b --url --username --password-file --registry --registry-address --tls-ca -B; do
		refuses 2 "$option: " -- "$MBUS" pub "$option" '' t b
	done
	refuses 2 "-g: it is empty" -- fake sub -g '' t
	refuses 2 "-o: it is empty" -- fake_able sub -o '' t
	refuses 2 "--ready: it is empty" -- fake sub --ready '' t
	refuses 2 "-X mqtt.verion: the broker here is not mqtt" -- "$MBUS" pub -X mqtt.verion=5 t b
	refuses 2 "-X mqtt.version: the broker here is not mqtt" -- "$MBUS" pub -X mqtt.version=5 t b
	refuses 2 "-X mdns.wait: the registry here is not mdns" -- "$MBUS" pub -B redis -X mdns.wait=quick t b
	refuses 2 "-X file.wait: the registry here is not file" -- "$MBUS" pub -X file.wait=1 t b
	refuses 2 "--max-body is for the default output" -- fake sub --max-body 3 -J t
	fake pub t -m '' -k '' -X record=r
	is "$(cat r)" "$(record t '' '')"
}

# ---- TLS ----

# recorder: a port (in the file port) that writes the first byte of each connection, in
# hex, as a line of first.
recorder() {
	cat > recorder.py <<- 'END'
	import socket
	s = socket.create_server(("127.0.0.1", 0))
	print(s.getsockname()[1], file=open("port", "w"), flush=True)
	while True:
	    c, _ = s.accept()
	    print((c.recv(1) or b"-").hex(), file=open("first", "a"), flush=True)
	    c.close()
	END
	start recorder python3 recorder.py
	wait_for test -s port
	PORT=$(cat port)
}

@test "any option of TLS means TLS: nothing goes out in clear, with no broker and no scheme" {
	local broker command option schemes scheme n=0 first
	local options=(--tls "--tls-ca ca.crt" "--tls-cert both" "--cafile ca.crt" "--cacert ca.crt" \
		"--tlsca ca.crt" "--cert both" "--tlscert both" "--tls-cert me.crt --tls-key me.key" \
		"--cert me.crt --tlskey me.key" "--tls-sni example.org" --tls-insecure --insecure)

	authority ca
	certificate me ca DNS:localhost
	cat me.crt me.key > both
	recorder
	export MBUS_PASSWORD=secret
	while read -r broker schemes; do
		for scheme in "" ${schemes//,/ }; do
			for option in "${options[@]::$([ "$scheme" ] && echo 3 || echo 13)}"; do
				for command in "pub t b" "sub t"; do
					rm -f first
					# shellcheck disable=SC2086
					run timeout 20 "$MBUS" ${command%% *} -B "$broker" --username u \
						-b "${scheme:+$scheme://}localhost:$PORT" --reconnect no \
						--connect-timeout 500ms $option ${command#* }
					[ "$status" != 0 ]
					n=$((n + 1))
					# Refused, and then nothing goes out at all.
					if [ "$status" = 5 ]; then
						has "$output" "${option%% *}"
						[ ! -e first ]
						continue
					fi
					wait_for test -s first
					# 2d: a connection on which nothing came.
					first=$(sort -u first | grep -vx 2d)
					is "$broker $scheme $command $option: $first" "$broker $scheme $command $option: 16"
				done
			done
		done
	done <<- END
		mqtt mqtt,tcp
		redis redis
		kafka kafka
	END
	[ $n = $((2 * (3 * 13 + 4 * 3))) ]
}

@test "any option of TLS: over http sub listens with it, and pub speaks to no other" {
	local option

	authority ca
	certificate me ca DNS:localhost
	cat me.crt me.key > both
	start_sub plain --body t
	for option in --tls "--tls-ca ca.crt" "--cafile ca.crt" "--tls-cert both" "--tls-sni example.org" --tls-insecure; do
		# shellcheck disable=SC2086
		refuses 5 "offers no TLS, and --tls asks for it" -- "$MBUS" pub $option t secret
	done
	stop plain
	is "$(cat plain.out)" ""
	for option in --tls "--tls-cert both" "--tls-sni example.org" --tls-insecure "--tls-ca ca.crt"; do
		# shellcheck disable=SC2086
		start_sub sub --body $option t
		run -0 "$MBUS" registry get micro.http.broker
		has "$output" secure=true
		stop sub
	done
}

# ---- what the broker is told ----

@test "--reconnect: sub for ever, pub not at all, unless told" {
	fake_able sub t --check -X told=told; told broker "reconnect=-1 "
	fake_able pub t b -X told=told; told broker "reconnect=0 "
	fake_able sub t --check -X told=told --reconnect no; told broker "reconnect=0 "
	fake_able pub t b -X told=told --reconnect 3; told broker "reconnect=3 "
	fake_able pub t b -X told=told --reconnect always; told broker "reconnect=-1 "
	fake pub t b --reconnect no
	fake sub t --check
	refuses 5 "no connection that could be made again" -- fake pub t b --reconnect 3
	refuses 5 "no connection that could be made again" -- fake sub t --reconnect always
	for n in "" x -1 1.5 1000001; do
		refuses 2 "--reconnect: '$n' is neither" -- fake_able pub t b --reconnect "$n"
	done
}

@test "--wire" {
	for wire in auto:0 micro:1 raw:2; do
		fake_able pub t b -X told=told --wire "${wire%:*}"; told broker "wire=${wire#*:} "
		fake_able sub t --check -X told=told --wire "${wire%:*}"; told broker "wire=${wire#*:} "
	done
	fake pub t b --wire micro
	refuses 5 "--wire raw" -- fake pub t b --wire raw
	refuses 5 "--wire raw" -- "$MBUS" pub t b --wire raw
	refuses 2 "none of auto, micro, raw" -- fake pub t b --wire bare
	refuses 2 "'rwa' is none of auto, micro, raw; did you mean raw?" -- fake pub t b --wire rwa
	refuses 2 "did you mean always?" -- fake pub t b --color alwys
	# A bus in shared memory has no envelope.
	refuses 5 "--wire micro: the memory broker has no envelope" -- "$MBUS" pub -B memory t b --wire micro
	refuses 5 "--wire micro: the memory broker has no envelope" -- "$MBUS" sub -B memory t --wire micro
	run --separate-stderr env MBUS_WIRE=micro "$MBUS" pub -v -B memory t b
	status_is 0
	has "$stderr" "1 confirmed"
	if grep -F "go-micro's form" <<< "$stderr"; then return 1; fi
}

@test "pub: what is said about each event" {
	fake_able pub t b -X told=told; told_none
	fake_able pub t b -X told=told --qos 0; told pub "qos=0 retain=0 partition=-1 ttl=-1 "
	fake_able pub t b -X told=told --qos 2 -r --partition 7 --ttl 1.5 --reply-to 'a b'
	told pub "qos=2 retain=1 partition=7 ttl=1500 reply=a b"
	for ack in broker:0 none:1 all:2; do
		fake_able pub t b -X told=told --ack "${ack%:*}"; told broker "ack=${ack#*:} "
	done
	refuses 5 "--qos: the null broker has no QoS" -- fake pub t b --qos 0
	refuses 5 "-r: the null broker retains no events" -- fake pub t b -r
	refuses 5 "--partition: the null broker has no partitions" -- fake pub t b --partition 0
	refuses 5 "--ttl: the null broker carries no such property" -- fake pub t b --ttl 1
	refuses 5 "--reply-to: the null broker carries no such property" -- fake pub t b --reply-to x
	refuses 5 "has no choice of --ack" -- fake pub t b --ack none
	refuses 2 "--qos: '3' is not a whole number up to 2" -- fake pub t b --qos 3
	refuses 2 "--partition: '-1' is not a whole number" -- fake pub t b --partition -1
	refuses 2 "--ttl: 0 is too small" -- fake pub t b --ttl 0
}

@test "pub: key, empty and null" {
	fake pub t b -k k1 -X record=r; is "$(cat r)" "$(record t k1 b)"
	fake pub t -n -X record=r; is "$(cat r)" "$(record t - '')"
	fake pub t -Z -X record=r; is "$(cat r)" "$(record t - -)"
	fake pub t -Z '' -X record=r; is "$(cat r)" "$(record t - -)"
	fake pub t -Z b -X record=r; is "$(cat r)" "$(record t - b)"
	printf 'a\n\nb' | fake pub t -l -Z -k k -X record=r
	is "$(cat r)" "$(record t k a; record t k -; record t k b)"
	printf '{"body":"","key":"x"}\n{"body":"y"}' | fake pub -J t -Z -k k -X record=r
	is "$(cat r)" "$(record t k -; record t k y)"
	refuses 5 "-k: the null broker has no keys" -- fake_text pub t b -k k
	refuses 5 "-Z: the null broker cannot tell a null body" -- fake_text pub t -Z
	refuses 2 "only one of" -- fake pub t -n b
	refuses 2 "only one of" -- fake pub t -n -l
}

@test "pub: -D, -0 and -K" {
	printf 'a;b\n;c' | fake pub t -D ';' -X record=r
	is "$(cat r)" "$(record t - a; record t - $'b\n'; record t - c)"
	printf 'a\0b\0' | fake pub t -0 -X record=r
	is "$(cat r)" "$(record t - a; record t - b)"
	printf 'a||b|c||' | fake pub t -D '\x7c|' -X record=r
	is "$(cat r)" "$(record t - a; record t - 'b|c')"
	printf 'k1:a:b\nnone\n:x\nk2:\n' | fake pub t -K : -X record=r
	is "$(cat r)" "$(record t k1 a:b; record t - none; record t '' x; record t k2 '')"
	printf 'k1: a;k2: ;' | fake pub t -K ': ' -D ';' -Z -X record=r
	is "$(cat r)" "$(record t k1 a; record t k2 -)"
	printf '{"body":"a"}\0{"body":\n"b"}\0' | fake pub t -J -0 -X record=r
	is "$(cat r)" "$(record t - a; record t - b)"
	printf 'a\0b' > f
	fake pub t -0 -f f -X record=r
	is "$(cat r)" "$(record t - a; record t - b)"
	refuses 2 "only one of -D and -0" -- fake pub t -D x -0
	refuses 2 "unknown escape" -- fake pub t -D '\q'
	refuses 2 "-D: it is empty" -- fake pub t -D ''
	refuses 2 "-K reads a key from each line" -- fake pub t -K : -J
	# A bad line is named by its number, whatever ends it.
	printf 'x\0{"body":""}\0y' > f
	run --separate-stderr fake pub t -J -0 -f f
	status_is 2
	has "$stderr" "f:1: not JSON" "f:3: not JSON"
}

@test "pub: in the bare wire nothing is added, and a content type is a property" {
	fake_able pub t '{"a":1}' -X told=told -X record=r --wire raw
	is "$(cat r)" "$(record t - '{"a":1}')"
	told_none
	fake_able pub t '{"a":1}' -X told=told -X record=r --wire raw --content-type a/b -H h:v
	is "$(cat r)" "$(record t - '{"a":1}' h v)"
	told pub " type=a/b"
	fake_able pub t '{"a":1}' -X told=told -X record=r --wire raw --content-type none
	told_none
	fake_able pub t '{"a":1}' -X record=r --wire micro --content-type a/b
	is "$(cat r)" "$(record t - '{"a":1}' Content-Type a/b)"
	echo '{"body":"x","headers":{"a":"b"}}' | fake_able pub -J t -X told=told -X record=r --wire raw --content-type a/b
	is "$(cat r)" "$(record t - x a b)"
	told pub " type=a/b"
}

@test "sub -J | pub -J --keep-meta: the meta goes along; options come before it" {
	fake_able sub t -J -X count=1 -X meta=1 -c 1 > line
	has "$(cat line)" '"partition":2,"qos":1,"retain":true,"reply":"answers","ttl":1500,"content_type":"a/b","correlation_b64":"/wE="'
	fake_able pub -J -X told=told < line; told_none
	fake_able pub -J -X told=told --keep-meta < line
	is "$(grep -a ^pub told)" $'pub qos=1 retain=1 partition=2 ttl=1500 type=a/b reply=answers correlation=\xff\x01'
	fake_able pub -J -X told=told --keep-meta --qos 2 --partition 0 --ttl 9 --reply-to r < line
	is "$(grep -a ^pub told)" $'pub qos=2 retain=1 partition=0 ttl=9000 type=a/b reply=r correlation=\xff\x01'
	printf '%s\n%s\n' "$(cat line)" '{"topic":"t","body":"x"}' | fake_able pub -J -X told=told --keep-meta
	is "$(grep -ac ^pub told)" 1
	printf '%s\n' '{"topic":"t","body":"x","meta":{"qos":5}}' > bad
	refuses 2 "stdin:1: meta: qos: not a whole number up to 2" -- eval 'fake_able pub -J --keep-meta < bad'
	refuses 2 "--keep-meta goes with -J" -- fake_able pub t b --keep-meta
	refuses 1 "QoS: the null broker has none" -- eval 'fake pub -J --keep-meta < line'
}

@test "--omit header: where a broker has none, they are left out" {
	gcc -std=gnu11 -D_GNU_SOURCE -DMBUS_MODULE -I"$ROOT" -fPIC -shared -DFAKE_CAPS=BROKER_KEY \
		-o null.so "$ROOT/tests/bats/fake_broker.c"
	export MBUS_MODULES=$PWD MICRO_BROKER=null
	refuses 5 "-H: the null broker carries no headers" -- "$MBUS" pub t b -H a:b
	"$MBUS" pub t b -H a:b -X record=r --omit header
	is "$(cat r)" "$(record t - b)"
}

# ---- sub ----

@test "sub: where to begin and end" {
	local n=0
	while read -r words want; do
		n=$((n + 1))
		# shellcheck disable=SC2086
		fake_able sub t -X told=told --check ${words//,/ }
		told sub "ended=$want "
	done <<- 'END'
		-o,beginning 0 from=1:0:
		-o,end 0 from=2:0:
		-o,stored,-g,g 0 group=g from=3:0:
		-o,12 0 from=4:12:
		-o,-12 0 from=5:12:
		-o-12 0 from=5:12:
		-o,s@7 0 from=6:7:
		--offset=1-2 0 from=7:0:1-2
		-o,e@7 1 until=6:7:
		-o,e@2026-11-21T06:55:30Z,-o,beginning 1 from=1:0: until=6:1795244130000:
		-e 1
	END
	[ $n = 11 ]
	refuses 5 "no place to begin or to end at" -- fake sub t -o beginning
	refuses 5 "no place to begin or to end at" -- fake sub t -e
	refuses 2 "-o: 'middle' is none of beginning" -- fake_able sub t -o middle
	refuses 2 "where to begin is said twice" -- fake_able sub t -o 1 -o 2
}

@test "sub: --qos, --no-retained, --partition, --ack" {
	fake_able sub t --check -X told=told; told sub "ack=0 partition=-1 qos=-1 no_retained=0 "
	fake_able sub t --check -X told=told --qos 0 -R --partition 7 --ack after-write; told sub "ack=1 partition=7 qos=0 no_retained=1 "
	fake_able sub t --check -X told=told --no-retained --ack none; told sub "ack=2 partition=-1 qos=-1 no_retained=1 "
	fake sub t --check --ack after-write
	refuses 5 "has no choice of --ack" -- fake sub t --ack none
	refuses 5 "QoS" -- fake sub t --qos 1
	refuses 5 "the null broker has no partitions" -- fake sub t --partition 0
	refuses 2 "--partition: '-1' is not a whole number" -- fake sub t --partition -1
	refuses 5 "retain" -- fake sub t -R
}

@test "sub -e: ends with 0 when all has come, also without an event" {
	is "$(fake_able sub t -e --body -X count=3 -X ends=1)" $'xxxxxxxxxx\nxxxxxxxxxx\nxxxxxxxxxx'
	is "$(fake_able sub t -o e@5 --body -X count=3 -X ends=1 | wc -l)" 3
	run --separate-stderr fake_able sub t -e -X ends=1
	status_is 0
	is "$output$stderr" ""
	is "$(fake_able sub t -e -c 2 --body -X count=3 -X ends=1 | wc -l)" 2
	# Not reached: 124, and with a signal the death by it.
	run --separate-stderr fake_able sub t -e --body -X count=3 -W 1500ms
	status_is 124
	is "$stderr" "mbus: sub: timed out before the end"
	is "${#lines[@]}" 3
	start_ready sub "${ABLE[@]}" sub t -e --ready-fd 8
	stop sub
	is "$status" 143
}

@test "sub -w: ends when nothing has come for a time, and 0" {
	local t0 t
	t0=$(now_ms)
	run --separate-stderr fake sub t -w 300ms --body
	t=$(($(now_ms) - t0))
	status_is 0
	is "$output$stderr" ""
	[ $t -ge 300 ]
	# Each event begins the time anew.
	run --separate-stderr fake sub t --idle 1500ms --body -X count=6 -X every=300
	status_is 0
	is "${#lines[@]}" 6
	run --separate-stderr fake sub t -w 200ms --body -X count=2 -X every=1000
	status_is 0
	is "${#lines[@]}" 0
	# A reader that does not read is no silence.
	fake sub t -w 300ms --raw -X count=100 -X size=100000 -X batch=100 | (sleep 1; wc -c) > n
	is "$(cat n)" 10000000
}

@test "sub --check: subscribed, and the end" {
	run --separate-stderr fake sub t --check --ready 'echo live >&2' -X count=5
	status_is 0
	refuses 4 "not authorized" -- fake sub forbidden --check
	refuses 3 "connection refused" -- fake sub t --check -X connect=refused
	refuses 124 "timed out before the subscription was live" -- fake sub t --check -X connect=hang -W 200ms
}

@test "sub: -N, -D and -0" {
	fake sub t -c 2 -X count=2 --body -N > out; printf xxxxxxxxxxxxxxxxxxxx > want; same_bytes out want
	fake sub t -c 2 -X count=2 --body -0 > out; printf 'xxxxxxxxxx\0xxxxxxxxxx\0' > want; same_bytes out want
	fake sub t -c 2 -X count=2 --raw -D '\t-\x2d' > out; printf 'xxxxxxxxxx\t--xxxxxxxxxx\t--' > want; same_bytes out want
	fake sub t -c 2 -X count=2 -J -0 | tr '\0' '\n' > out; fake sub t -c 2 -X count=2 -J > want; same_bytes out want
	fake sub t -c 1 -X count=1 --raw -N > out; printf xxxxxxxxxx > want; same_bytes out want
	refuses 2 "go with -J, -f, -F, --body, --raw, --hex or --line" -- fake sub t -0
	refuses 2 "only one of -D, -0, -N" -- fake sub t --body -0 -N
	# In and out again.
	fake sub t -c 3 -X count=3 --body -0 | fake pub t -0 -X record=r
	is "$(cat r)" "$(record t - xxxxxxxxxx; record t - xxxxxxxxxx; record t - xxxxxxxxxx)"
}

# ---- pub: the counts ----

@test "pub: a connection that goes with events under way leaves true counts" {
	seq 100 > in
	run --separate-stderr fake pub -l t -X delay=60000 -X fail=30 --inflight 50 < in
	status_is 3
	# 30 were sent, and with the 31st the connection went.
	has "$stderr" "stopped: 0 confirmed, 31 unknown, the rest not sent"
	run --separate-stderr fake pub -l t -X fail=30 -X refuse=10 < in
	status_is 3
	matches "${stderr_lines[-1]}" "mbus: pub: stopped: [0-9]+ confirmed, 3 refused, the rest not sent"
}

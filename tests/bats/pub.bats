#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus pub: where events come from, what becomes of them, how it ends.

load ../lib
load fake

setup_file() { fake_build; }

# recorded EVENT...: what the fake broker got in the file r.
recorded() {
	is "$(cat -A r)" "$(for e; do printf '%s\n\n' "$e"; done | cat -A)"
}

# ---- where events come from ----

@test "a body from every source" {
	local want
	want=$(record t - 'hello world')
	printf 'hello world' > body
	fake pub t 'hello world' -X record=r && recorded "$want"
	fake pub -t t 'hello world' -X record=r && recorded "$want"
	fake pub t -m 'hello world' -X record=r && recorded "$want"
	fake pub t -f body -X record=r && recorded "$want"
	fake pub t -f - -X record=r < body && recorded "$want"
	fake pub t - -X record=r < body && recorded "$want"
	fake pub t -s -X record=r < body && recorded "$want"
	fake pub t -X record=r < body && recorded "$want"
	fake pub t -X record=r < <(cat body) && recorded "$want"
	fake pub t -l -X record=r < body && recorded "$want"
	fake pub -l -X record=r t - < body && recorded "$want"
	fake pub -J -X record=r <<< '{"topic":"t","body":"hello world"}' && recorded "$want"
	fake pub -J -X record=r -t t <<< '{"topic":"x","body":"hello world"}' && recorded "$want"
	fake pub -J t -X record=r <<< '{"body":"hello world"}' && recorded "$want"
}

@test "files one after the other, whole and by lines" {
	printf 'a\nb' > one; printf 'c' > two
	fake pub t -f one -f two -X record=r
	recorded "$(record t - $'a\nb')" "$(record t - c)"
	fake pub t -l -f one -f two -X record=r
	recorded "$(record t - a)" "$(record t - b)" "$(record t - c)"
	mkfifo pipe
	start pub "${FAKE[@]}" pub t -f pipe -f one -X record=r
	cat two > pipe
	finish pub
	is "$status" 0
	recorded "$(record t - c)" "$(record t - $'a\nb')"
}

@test "bytes in are bytes out: whole, lines, JSON" {
	local n
	printf '' > empty; printf '\0' > nul; printf '\377\376' > ff
	printf 'a\r\nb\r\n' > crlf; printf 'no newline' > no
	head -c 1048576 /dev/urandom > big; head -c 16777216 /dev/zero > zero
	for n in empty nul ff crlf no big zero; do
		{ printf '1:t\n-1:\n%d:' "$(wc -c < $n)"; cat $n; printf '\n\n'; } > want
		fake pub t -f $n --content-type none -X record=r && same_bytes r want
		fake pub t -s --content-type none -X record=r < $n && same_bytes r want
		fake pub t --content-type none -X record=r < <(cat $n) && same_bytes r want
		{ printf '{"topic":"t","body_b64":"'; base64 -w0 $n; echo '"}'; } |
			fake pub -J -X record=r && same_bytes r want
	done
	{ head -c 1048576 /dev/zero | tr '\0' x; printf '\n\nb\r\n\377\n last'; } > lines
	{ printf '1:t\n-1:\n1048576:'; head -c 1048576 /dev/zero | tr '\0' x; printf '\n\n'
		printf '1:t\n-1:\n%d:%b\n\n' 0 '' 2 'b\r' 1 '\0377' 5 ' last'; } > want
	fake pub -l t -X record=r < lines && same_bytes r want
	fake pub -l t -X record=r < <(cat lines) && same_bytes r want
}

@test "late lines are published when they arrive" {
	mkfifo pub.in
	start pub "${FAKE[@]}" pub -l t -X record=r
	exec 7> pub.in
	echo a >&7
	wait_for lines_in r 4
	recorded "$(record t - a)"
	printf 'b\nc' >&7
	wait_for lines_in r 8
	exec 7>&-
	finish pub
	is "$status" 0
	recorded "$(record t - a)" "$(record t - b)" "$(record t - c)"
}

@test "stdin is left alone when there is a body" {
	local t b
	printf 'a one\nb two\nc three\n' > in
	: > all
	while read -r t b; do fake pub "$t" "$b" -X record=r; cat r >> all; done < in
	is "$(cat all)" "$(record a - one; record b - two; record c - three)"
}

@test "no body on a terminal is a usage error, and waits for nothing" {
	run script -qec "MBUS_MODULES=$BATS_FILE_TMPDIR/all $MBUS pub -B null t" /dev/null
	status_is 2
	has "$output" 'no body: give one'
}

@test "headers: both separators, one space, null, empty" {
	fake pub t x -X record=r -H 'a: b: c' -H x=1:2 -H 'y=  2' -H 'e:' -H null
	recorded "$(record t - x a 'b: c' x 1:2 y ' 2' e '' null -)"
	run --separate-stderr fake pub t x -H ':v'
	status_is 2
}

@test "Content-Type: told to a body that is JSON, unless there is one or none is wanted" {
	local ct
	ct=$(record t - '{"a":1}' Content-Type application/json)
	fake pub t '{"a":1}' -X record=r && recorded "$ct"
	printf '{"a":1}' | fake pub t -X record=r && recorded "$ct"
	printf '{"a":1}\nplain\n7' | fake pub -l t -H h:v -X record=r
	recorded "$(record t - '{"a":1}' h v Content-Type application/json)" "$(record t - plain h v)" \
		"$(record t - 7 h v Content-Type application/json)"
	fake pub t '{"a":1' -X record=r && recorded "$(record t - '{"a":1')"
	fake pub t '{"a":1}' --content-type none -X record=r && recorded "$(record t - '{"a":1}')"
	fake pub t x --content-type a/b -X record=r && recorded "$(record t - x Content-Type a/b)"
	fake pub t 7 -H content-type:x -X record=r && recorded "$(record t - 7 content-type x)"
	echo '{"topic":"t","body":"7"}' | fake pub -J -X record=r && recorded "$(record t - 7)"
	run --separate-stderr fake pub t 7 -H content-type:x --content-type y
	status_is 2
}

# ---- JSON ----

@test "-J: kcat, mosquitto and nats lines; blank lines are nothing" {
	fake pub -J -X record=r <<- 'EOF'
		{"topic":"k","partition":0,"headers":["a","1","b",null],"key":null,"payload":"x"}

		{"tst":"x","topic":"m","qos":0,"payloadlen":1,"payload":"y"}
		{"Subject":"n","Reply":"","Header":{"K":["v","w"]},"Data":"eg=="}
	EOF
	recorded "$(record k - x a 1 b -)" "$(record m - y)" "$(record n - z K v K w)"
}

@test "-J: -H replaces headers of that name" {
	echo '{"topic":"t","headers":{"a":"1","b":"2"},"body":""}' | fake pub -J -H b:3 -H c:4 -X record=r
	recorded "$(record t - '' a 1 b 3 c 4)"
}

@test "-J: a bad line is told with its place and skipped" {
	printf '%s\n' '{"topic":"t","body":"1"}' '{"topic":"t","body_b64":"aG!="}' '{"topic":' \
		'{"topic":"t","body":"2"}' > in
	run --separate-stderr fake pub -J -X record=r < in
	status_is 2
	is "$stderr" "mbus: pub: stdin:2: body_b64: invalid base64, at byte 3
mbus: pub: stdin:3: not JSON: unexpected end of JSON input, at byte 10
mbus: pub: 2 of 4 not delivered: 2 bad lines"
	recorded "$(record t - 1)" "$(record t - 2)"
	run --separate-stderr fake pub -J -f in -X refuse=1
	status_is 1
	has "$stderr" 'in:2: body_b64' 'in:1: fake: refused' '4 of 4 not delivered: 2 refused, 2 bad lines'
	yes x | head -n 1000 > in
	run --separate-stderr fake pub -J < in
	status_is 2
	is "$(wc -l <<< "$stderr")" 21
	has "$stderr" '1000 of 1000 not delivered: 1000 bad lines'
}

@test "sub -J | pub -J is exact, whatever the bytes" {
	local seed
	for seed in 1 2 3; do
		fake sub any -J -X random=$seed -X count=2000 -X batch=100 -c 2000 -X record=a > j
		fake pub -J -X record=b < j
		same_bytes a b
		is "$(LC_ALL=C tr -d '\n\40-\176\200-\377' < j | wc -c)" 0
		iconv -f UTF-8 -t UTF-8 j > /dev/null
		is "$(wc -l < j)" 2000
	done
}

@test "what the broker cannot carry is refused by its name, or left out by --omit" {
	local line
	for line in 'key: "key":"k","body":"x"' 'body: "body":null' 'headers: "headers":{"a":null},"body":"x"' \
	    'headers: "headers":{"a":["1","2"]},"body":"x"' 'headers: "headers":{"a":{"b64":"/w=="}},"body":"x"'; do
		run --separate-stderr fake_text pub -J <<< "{\"topic\":\"t\",${line#* }}"
		status_is 1
		has "$stderr" "mbus: pub: stdin:1: ${line%% *}"
	done
	run --separate-stderr fake_text pub -J <<< '{"topic_b64":"/w==","body":"x"}' --omit key,null,repeat,binary
	status_is 1
	has "$stderr" "mbus: pub: stdin:1: topic"
	printf '%s\n' '{"topic":"t","key":"k","body":"x"}' '{"topic":"t","body":null}' \
		'{"topic":"t","headers":[["a","1"],["b",null],["a","2"],["a","1"],[{"b64":"/w=="},"c"]],"body":"x"}' \
		'{"topic":"t","body":"y"}' > in
	run --separate-stderr fake_text pub -J -v --omit key,null --omit repeat,binary -X record=r < in
	status_is 0
	has "$stderr" '4 confirmed' 'left out of 3 events'
	recorded "$(record t - x)" "$(record t - '')" "$(record t - x a 1)" "$(record t - y)"
	run --separate-stderr fake_text pub -J --omit key < in
	status_is 1
	has "$stderr" '2 of 4 not delivered: 2 refused'
}

# ---- what becomes of events ----

@test "each is confirmed, refused or unknown, and the status says so" {
	run --separate-stderr fake pub t x
	status_is 0
	is "$stderr" ''
	run --separate-stderr fake pub t x -X refuse=1
	status_is 1
	is "$stderr" 'mbus: pub: t: fake: refused'
	seq 1000 > in
	run --separate-stderr fake pub -l t -X refuse=500 -X unknown=999 < in
	status_is 3
	is "$stderr" 'mbus: pub: stdin:500: fake: refused
mbus: pub: stdin:999: fake: no answer
mbus: pub: 3 of 1000 not delivered: 2 refused, 1 unknown'
	run --separate-stderr fake pub -l t -v -X delay=2 --inflight 10 < in
	status_is 0
	is "$stderr" 'mbus: pub: 1000 confirmed'
	run --separate-stderr fake pub -q t x -X refuse=1
	status_is 1
	is "$stderr" ''
}

@test "exit statuses: 3 no connection, 4 not allowed, 6 no file" {
	run --separate-stderr fake pub t x -X connect=refused
	status_is 3
	is "$stderr" 'mbus: pub: fake: connection refused'
	run --separate-stderr fake pub forbidden x
	status_is 4
	run --separate-stderr fake pub t -f none
	status_is 6
	is "$stderr" 'mbus: pub: none: No such file or directory'
	run --separate-stderr fake pub t -f .
	status_is 6
	is "$stderr" 'mbus: pub: .: Is a directory'
	echo x > there
	run --separate-stderr fake pub t -f none -f there -v
	status_is 6
	has "$stderr" '1 confirmed'
}

@test "a connection that is lost ends the run: the rest is not sent" {
	seq 100 > in
	run --separate-stderr fake pub -l t -X fail=30 < in
	status_is 3
	has "$stderr" 'mbus: pub: fake: connection lost' 'confirmed, the rest not sent'
}

@test "usage errors" {
	local args
	for args in '' 't a b' 't -l x' 't -s -l' 't -m a b' 't -m a -f b' '-J --wait 2' 't x --inflight 0' \
	    't x -t u' 't x --omit nonsense' 't x --repeat 3' 't x -k a -k b' 't x --wait x' \
	    't x -K : -k a' '-D a -0 t' 't --qos 3 x' 't --keep-meta x' 't -n x' 't -D \q'; do
		# shellcheck disable=SC2086
		run --separate-stderr fake pub $args < /dev/null
		status_is 2
		is "$output" ''
		has "$stderr" 'mbus: pub: '
	done
}

@test "--wait: for subscribers, up to -W, and then nothing is sent" {
	local t0
	run --separate-stderr fake pub t x --wait 2 -X audience=2 -X record=r
	status_is 0
	recorded "$(record t - x)"
	t0=$(now_ms)
	run --separate-stderr fake pub t x --wait 3 -W 300ms -X audience=2 -X record=r
	status_is 124
	is "$stderr" 'mbus: pub: t: fewer than 3 subscribers after 0.3 s; nothing sent'
	[ $(($(now_ms) - t0)) -lt 2000 ]
	[ ! -s r ]
	run --separate-stderr mbus pub -B null t x --wait 1
	status_is 5
	has "$stderr" '--wait'
}

@test "a full window stops reading stdin" {
	mkfifo pub.in
	start pub "${FAKE[@]}" pub -l t -X delay=60000 --inflight 3 -X record=r
	run timeout 1 sh -c 'yes 0123456789 | head -c 10000000 > pub.in'
	is "$status" 124
	wait_for lines_in r 12
	is "$(wc -l < r)" 12
	stop pub
	is "$status" 143
}

@test "a signal before the end: counts, and death by that signal" {
	local sig
	mkfifo pub.in
	for sig in INT TERM HUP; do
		# A job in the background of a script ignores SIGINT: give it back.
		rm -f pub.err
		start pub env --default-signal=INT "${FAKE[@]}" pub -l t -X refuse=2
		exec 7> pub.in
		printf 'a\nb\nc\n' >&7
		wait_for grep -qs refused pub.err
		stop pub $sig
		exec 7>&-
		is "$status" $((128 + $(kill -l $sig)))
		has "$(cat pub.err)" 'mbus: pub: interrupted: 2 confirmed, 1 refused, the rest not sent'
	done
	rm pub.in
	start pub "${FAKE[@]}" pub t x -X delay=60000 -X record=r
	wait_for lines_in r 4
	stop pub
	is "$status" 143
	is "$(cat pub.err)" 'mbus: pub: interrupted: 0 confirmed, 1 unknown'
}

# ---- over http ----

@test "http: body, headers and bytes arrive; nobody there is 5" {
	run --separate-stderr mbus pub nobody.here x
	status_is 5
	is "$(wc -l <<< "$stderr")" 1
	has "$stderr" nobody
	start_sub sub -J -c 3 orders
	mbus pub orders '{"id":7}' -H 'trace: 1'
	printf 'a\0\377' | mbus pub orders
	mbus pub orders ''
	finish sub
	is "$status" 0
	has "$(cat sub.out)" '"headers":{"Content-Type":"application/json","trace":"1"},"body":"{\"id\":7}","len":8' \
		'"body_b64":"YQD/","len":3' '"headers":{},"body":"","len":0' '"broker":"http"' '"wire":"micro"'
}

@test "http: --wait holds an event back until its subscriber is there" {
	start pub mbus pub --wait 1 later hello
	sleep 0.3
	start_sub sub --body -c 1 later
	finish pub
	is "$status" 0
	finish sub
	is "$(cat sub.out)" hello
}

@test "http: 100,000 lines to two subscribers, each of them, in order" {
	seq 100000 > in
	start_sub one --body -c 100000 many
	start_sub two --body -c 100000 many
	run --separate-stderr mbus pub -l -v many < in
	status_is 0
	finish one 30
	finish two 30
	same_bytes one.out in
	same_bytes two.out in
}

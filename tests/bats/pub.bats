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
	fake pub t 'hello world' -X record=r
	recorded "$want"
	fake pub -t t 'hello world' -X record=r
	recorded "$want"
	fake pub t -m 'hello world' -X record=r
	recorded "$want"
	fake pub t -f body -X record=r
	recorded "$want"
	fake pub t -f - -X record=r < body
	recorded "$want"
	fake pub t - -X record=r < body
	recorded "$want"
	fake pub t -s -X record=r < body
	recorded "$want"
	fake pub t -X record=r < body
	recorded "$want"
	fake pub t -X record=r < <(cat body)
	recorded "$want"
	fake pub t -l -X record=r < body
	recorded "$want"
	fake pub -l -X record=r t - < body
	recorded "$want"
	fake pub -J -X record=r <<< '{"topic":"t","body":"hello world"}'
	recorded "$want"
	fake pub -J -X record=r -t t <<< '{"topic":"x","body":"hello world"}'
	recorded "$want"
	fake pub -J t -X record=r <<< '{"body":"hello world"}'
	recorded "$want"
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
		fake pub t -f $n --content-type none -X record=r
		same_bytes r want
		fake pub t -s --content-type none -X record=r < $n
		same_bytes r want
		fake pub t --content-type none -X record=r < <(cat $n)
		same_bytes r want
		{ printf '{"topic":"t","body_b64":"'; base64 -w0 $n; echo '"}'; } |
			fake pub -J -X record=r
		same_bytes r want
	done
	{ head -c 1048576 /dev/zero | tr '\0' x; printf '\n\nb\r\n\377\n last'; } > lines
	{ printf '1:t\n-1:\n1048576:'; head -c 1048576 /dev/zero | tr '\0' x; printf '\n\n'
		printf '1:t\n-1:\n%d:%b\n\n' 0 '' 2 'b\r' 1 '\0377' 5 ' last'; } > want
	fake pub -l t -X record=r < lines
	same_bytes r want
	fake pub -l t -X record=r < <(cat lines)
	same_bytes r want
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
	fake pub t '{"a":1}' -X record=r
	recorded "$ct"
	printf '{"a":1}' | fake pub t -X record=r
	recorded "$ct"
	printf '{"a":1}\nplain\n7' | fake pub -l t -H h:v -X record=r
	recorded "$(record t - '{"a":1}' h v Content-Type application/json)" "$(record t - plain h v)" \
		"$(record t - 7 h v Content-Type application/json)"
	fake pub t '{"a":1' -X record=r
	recorded "$(record t - '{"a":1')"
	fake pub t '{"a":1}' --content-type none -X record=r
	recorded "$(record t - '{"a":1}')"
	fake pub t x --content-type a/b -X record=r
	recorded "$(record t - x Content-Type a/b)"
	fake pub t 7 -H content-type:x -X record=r
	recorded "$(record t - 7 content-type x)"
	echo '{"topic":"t","body":"7"}' | fake pub -J -X record=r
	recorded "$(record t - 7)"
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

@test "-J: JSON over several lines is one clear line" {
	printf '{\n  "topic": "t",\n  "body": "x"\n}\n{\n}\n' > in
	run --separate-stderr fake pub -J < in
	status_is 2
	is "$stderr" "mbus: pub: stdin:1: not an event in one line: write one a line, as jq -c does (more bad lines are only counted)
mbus: pub: 6 of 6 not delivered: 6 bad lines"
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
	    't x -t u' 't x --omit nonsense' 't x --repeat x' 't x -k a -k b' 't x --wait x' \
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

# ---- the report ----

# fates FILE: "place fate status", a line each; every line is one JSON object.
fates() {
	python3 - "$1" <<- 'END'
	import json, sys
	for line in open(sys.argv[1]):
	    r = json.loads(line)
	    assert r["v"] == 1 and r["type"] == "fate" and ("error" in r) == (r["fate"] != "confirmed")
	    print(r.get("place", "-"), r["fate"], r["status"])
	END
}

@test "--report: what was not confirmed, with its place and reason, and -J tries exactly that again" {
	seq -f x%g 10 > in
	run --separate-stderr fake pub -l t -H h:v -k k --report rep -X refuse=3 -X unknown=5 < in
	status_is 3
	is "$(fates rep)" "$(printf 'stdin:%s\n' '3 refused 1' '5 unknown 3' '6 refused 1' '9 refused 1' '10 unknown 3')"
	has "$(head -n 1 rep)" '"error":"fake: refused","status":1,"place":"stdin:3","event":{"v":1,' '"body":"x3"'
	fake pub -J -X record=r < rep
	recorded "$(record t k x3 h v)" "$(record t k x5 h v)" "$(record t k x6 h v)" "$(record t k x9 h v)" "$(record t k x10 h v)"
	# The same with its members in another order, as jq -S writes them.
	python3 -c 'import json, sys
for l in sys.stdin: print(json.dumps(json.loads(l), sort_keys=True))' < rep > sorted
	mv r before
	fake pub -J -X record=r < sorted
	same_bytes before r
	# All confirmed: there is nothing to report.
	run --separate-stderr fake pub -l t --report rep < in
	status_is 0
	is "$(cat rep)" ''
	fake pub t one --report rep -X refuse=1 || true
	is "$(fates rep)" '- refused 1'
}

@test "--report-all, --report-fd, stdout" {
	seq 4 > in
	run --separate-stderr fake pub -l t --report - --report-all -X refuse=2 < in
	status_is 1
	printf '%s\n' "$output" > rep
	is "$(fates rep)" "$(printf 'stdin:%s\n' '1 confirmed 0' '2 refused 1' '3 confirmed 0' '4 refused 1')"
	run --separate-stderr sh -c '"$@" 5> rep' sh "${FAKE[@]}" pub -l t -f in --report-fd 5 -X refuse=2
	status_is 1
	is "$(fates rep)" "$(printf 'in:%s\n' '2 refused 1' '4 refused 1')"
	# What is refused before the broker has it, and what has no answer at a signal.
	run --separate-stderr fake pub forbidden x --report rep
	status_is 4
	is "$(fates rep)" '- refused 4'
	start pub "${FAKE[@]}" pub t x --report rep -X delay=60000 -X record=r
	wait_for lines_in r 4
	stop pub
	is "$status" 143
	is "$(fates rep)" '- unknown 1'
}

@test "--report: a connection that goes leaves all the rest of a file to be tried again" {
	seq 100 > in
	run --separate-stderr fake pub -l t -f in --report rep --report-all -X fail=30 -X delay=60000 --inflight 50
	status_is 3
	is "$(fates rep | wc -l)" 100
	is "$(fates rep | cut -d' ' -f 2 | sort | uniq -c | tr -s ' \n' ' ')" ' 69 refused 31 unknown '
	is "$(fates rep | sed 's/in:\([0-9]*\).*/\1/' | sort -n)" "$(seq 100)"
}

@test "--report: each event has one fate, also the one that waits for room" {
	local big

	big=$(head -c 1400 /dev/zero | tr '\0' x)
	for i in $(seq 40); do echo "$i $big"; done > in
	start pub "${FAKE[@]}" pub -l t -f in --report rep --report-all -X delay=60000 --inflight 10 -X record=r
	wait_for test -s r
	sleep 0.3
	stop pub || true
	python3 -c 'import json, sys
for line in open("rep"):
    r = json.loads(line)
    print(r["event"]["body"].split()[0], r["fate"])' | sort -n > fates
	is "$(cut -d " " -f 1 fates)" "$(seq 40)"
	is "$(cut -d " " -f 2 fates | uniq -c | tr -s ' ')" $' 10 unknown\n 30 refused'
}

@test "--report is exact, whatever the bytes, with --keep-meta of the options, too" {
	fake sub any -J -X random=7 -X count=1000 -X batch=100 -c 1000 -X record=a > j
	run --separate-stderr fake pub -J --report rep -X refuse=1 < j
	status_is 1
	fake pub -J -X record=b < rep
	same_bytes a b
	run --separate-stderr fake_able pub t x --qos 2 -r --partition 3 --ttl 9 --reply-to r --report rep -X refuse=1
	status_is 1
	fake_able pub -J --keep-meta -X told=told < rep
	is "$(grep -a ^pub told)" 'pub qos=2 retain=1 partition=3 ttl=9000 reply=r'
	# Other lines may have members of these names.
	fake pub -J -X record=r <<< '{"topic":"t","type":"x","event":{"body":"no"},"body":"yes"}'
	recorded "$(record t - yes)"
	run --separate-stderr fake pub -J <<< '{"type":"fate","event":{"topic":"t"}}'
	status_is 2
	has "$stderr" 'stdin:1: body: missing'
}

@test "--report: a file that cannot be written is 6; what it does not go with is 2" {
	run --separate-stderr fake pub t x --report none/rep -X record=r
	status_is 6
	has "$stderr" '--report none/rep: No such file'
	[ ! -s r ]
	run --separate-stderr fake pub t x --report /dev/full -X refuse=1
	status_is 6
	has "$stderr" 'the report: /dev/full: No space left on device'
	for args in '--report-all' '--report a --report-fd 2' '--report a --transaction'; do
		# shellcheck disable=SC2086
		run --separate-stderr fake pub t x $args
		status_is 2
	done
}

@test "--report: a run that ends early has all of a file, however long" {
	local rest

	seq 1000000 1059999 > in	# seven reads
	run --separate-stderr fake pub -l t -f in --report rep -X fail=30 -X delay=60000 --inflight 50
	status_is 3
	is "$(wc -l < rep)" 60000
	is "$(fates rep | cut -d' ' -f 2 | sort | uniq -c | tr -s ' \n' ' ')" ' 59969 refused 31 unknown '
	# Stdin that is a file, and with JSON; what was confirmed is not in it.
	run --separate-stderr fake pub -l t --report rep -X refuse=20000 --fail-fast --inflight 1 < in
	status_is 1
	rest=$(fake pub -J --tee < rep | python3 -c 'import json, sys
for l in sys.stdin: print(json.loads(l)["body"])' | md5sum)
	is "$rest" "$(tail -n +20000 in | md5sum)"
	# With -c the rest is not wanted.
	fake pub -l t -c 3 --report rep < in
	is "$(cat rep)" ''
}

# ---- how often and when ----

# bodies: what the fake broker got in the file r, in one line.
bodies() { python3 -c 'import re, sys
print(*re.findall(rb"(?m)^1:t\n-1:\n\d+:(.*)\n", open("r", "rb").read()), sep=" ")' | tr -d "b'"; }

@test "--repeat, --loop and -c" {
	seq 3 > in
	fake pub t -l --repeat 2 -X record=r < in
	is "$(bodies)" '1 1 2 2 3 3'
	fake pub t -l --repeat 2 -c 3 -X record=r < in
	is "$(bodies)" '1 1 2'
	fake pub t -l --loop -c 7 -X record=r < in
	is "$(bodies)" '1 2 3 1 2 3 1'
	# Stdin is read again from where it was.
	{ read -r _; fake pub t -l --loop -c 5 -X record=r; } < in
	is "$(bodies)" '2 3 2 3 2'
	printf x > one
	fake pub t -f one -f in --loop -c 3 -X record=r
	is "$(cat r | grep -c '^1:x')" 2
	fake pub t x --loop -c 3 -X record=r
	is "$(bodies)" 'x x x'
	# A pipe that says nothing more is not waited for when there are enough.
	fake pub t -l -c 2 -X record=r < <(seq 2; exec sleep 20)
	is "$(bodies)" '1 2'
	# Without an event in it, a file is not gone round for ever.
	: > empty
	fake pub t -l -f empty --loop
	rm r
	start pub "${FAKE[@]}" pub t x --loop --interval 20ms -X record=r
	wait_for lines_in r 12
	stop pub
	is "$status" 143
	has "$(cat pub.err)" 'interrupted: ' 'the rest not sent'
}

@test "--repeat leaves out the same of each copy, and headers stay" {
	fake_text pub t b -k k -H a:1 -H a:2 --omit key,repeat --repeat 3 -X record=r
	recorded "$(record t - b a 1)" "$(record t - b a 1)" "$(record t - b a 1)"
	fake_text pub -J --omit key --repeat 2 -H x:y -X record=r <<< '{"topic":"t","key":"k","headers":{"h":"1"},"body":"b"}'
	recorded "$(record t - b h 1 x y)" "$(record t - b h 1 x y)"
}

@test "--rate and --interval: by moments that do not drift" {
	local began took

	for args in '--rate 100' '--rate 6000/m' '--rate 360000/h' '--interval 10ms'; do
		began=$(now_ms)
		# shellcheck disable=SC2086
		seq 51 | fake pub t -l $args -X record=r
		took=$(($(now_ms) - began))
		[ "$took" -ge 495 ] && [ "$took" -lt 900 ] || fail "$args: 51 events took $took ms"
		is "$(bodies)" "$(seq -s ' ' 51)"
	done
	# A broker that answers each only after 7 ms costs nothing on top.
	began=$(now_ms)
	seq 61 | fake pub t -l --rate 100 --inflight 1 -X delay=7
	took=$(($(now_ms) - began))
	[ "$took" -ge 595 ] && [ "$took" -lt 1000 ] || fail "61 events took $took ms"
	# What the input had not is not made up for.
	{ echo a; sleep 0.5; seq 11; } | { began=$(now_ms); fake pub t -l --rate 20 -X record=r; echo $(($(now_ms) - began)) > took; }
	[ "$(cat took)" -ge 995 ] || fail "12 events after a pause took $(cat took) ms"
}

@test "--pace: a recording is played again by its times" {
	local began took

	printf '{"topic":"t","body":"%s"%s}\n' 1 ',"ts":"2026-01-01T00:00:00Z"' 2 ',"ts":"2026-01-01T00:00:01.5Z"' \
		3 '' 4 ',"ts":"2025-01-01T00:00:00Z"' 5 ',"ts":"2026-01-01T00:00:02+00:00"' > rec
	for args in '4 500 900' '8x 250 600' '0.004e 0 0'; do
		# shellcheck disable=SC2086
		set -- $args
		began=$(now_ms)
		run --separate-stderr fake pub -J --pace "$1" -X record=r < rec
		took=$(($(now_ms) - began))
		if [ "$3" -eq 0 ]; then
			status_is 2
			has "$stderr" "--pace: '0.004e' is no speed"
			continue
		fi
		status_is 0
		[ "$took" -ge $(($2 - 5)) ] && [ "$took" -lt "$3" ] || fail "--pace $1: took $took ms"
		is "$(bodies)" '1 2 3 4 5'
	done
	began=$(now_ms)
	fake pub -J --pace 10 --loop -c 15 -X record=r < rec
	took=$(($(now_ms) - began))
	[ "$took" -ge 595 ] && [ "$took" -lt 1100 ] || fail "three rounds took $took ms"
}

@test "--template: names that are known, and nothing else" {
	export WORD='a{n}b'

	fake pub 't{n}' '{"id":{n},"w":"{env:WORD}","u":"{nope}","x":{{"y":1}}' -k 'k{n}' -H 'h{n}: v{n}' --template --repeat 2 -X record=r
	recorded "$(record t1 k1 '{"id":1,"w":"a{n}b","u":"{nope}","x":{"y":1}}' 'h{n}' v1 Content-Type application/json)" \
		"$(record t2 k2 '{"id":2,"w":"a{n}b","u":"{nope}","x":{"y":1}}' 'h{n}' v2 Content-Type application/json)"
	run -0 fake pub t '{uuid} {rand:8} {ts}' --template --tee
	matches "$output" '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} [0-9a-f]{8} 20[0-9-]{8}T[0-9:.]{15}Z'
	is "$(fake pub t '{rand:8}{uuid}' --template --repeat 500 --tee | sort -u | wc -l)" 500
	is "$(fake pub t '{rand:0} {rand:65} {rand:} {rand} {n:1} {env:} {env:NOT_SET} {} {' --template --tee)" \
		'{rand:0} {rand:65} {rand:} {rand} {n:1} {env:} {env:NOT_SET} {} {'
	# Without it, braces are braces.
	is "$(fake pub t '{n}{{' --tee)" '{n}{{'
	# Somebody else's lines do not read our environment; our own words do.
	is "$(fake pub t -l --template --tee <<< '{env:WORD}{n}')" '{env:WORD}1'
	fake pub -J --template -t 't{env:WORD}' -X record=r <<< '{"topic":"x","headers":{"a":"{env:WORD}"},"body":"{env:WORD}{n}"}'
	recorded "$(record 'ta{n}b' - '{env:WORD}1' a '{env:WORD}')"
	printf '{env:WORD}' > file
	is "$(fake pub t -f file --template --tee)" 'a{n}b'
	MBUS_PASSWORD=secret run -0 fake pub t '{env:MBUS_PASSWORD}' --template --tee
	is "$output" '{env:MBUS_PASSWORD}'
}

@test "--tee: what is confirmed, as it came, when it is" {
	printf 'a\n\n\xff b\nlast' > in
	fake pub t -l --tee < in > out
	{ cat in; echo; } | cmp - out
	printf 'a;b;' | fake pub t -l -D ';' --tee > out
	is "$(cat out)" 'a;b;'
	printf 'a\0b' | fake pub t -0 --tee > out
	printf 'a\0b\0' | cmp - out
	run --separate-stderr fake pub t -l --tee -X refuse=2 <<< $'1\n2\n3'
	status_is 1
	is "$output" $'1\n3'
	fake sub any -J -X random=7 -X count=300 -c 300 -X record=a > j
	fake pub -J --tee < j > again
	fake pub -J -X record=b < again
	same_bytes a b
	# At once, and a reader that goes stops nothing.
	mkfifo pub.in
	start pub "${FAKE[@]}" pub t -l --tee
	exec 7> pub.in
	echo 1 >&7
	wait_for test -s pub.out
	is "$(cat pub.out)" 1
	exec 7>&-
	finish pub
	seq 100000 | fake pub t -l --tee -X record=r | head -n 1
	[ "$(grep -c ^1:t r)" -eq 100000 ]
	run --separate-stderr sh -c '"$@" > /dev/full' sh "${FAKE[@]}" pub t x --tee
	status_is 6
	has "$stderr" '--tee: stdout: No space left on device'
}

@test "--fail-fast: nothing is taken after the first that fails" {
	seq 100 > in
	run --separate-stderr fake pub t -l --fail-fast -X refuse=5 --inflight 1 -X record=r < in
	status_is 1
	has "$stderr" 'stdin:5: ' 'stopped: 4 confirmed, 1 refused, the rest not sent'
	run --separate-stderr fake pub -J --fail-fast -X record=r <<< $'{"topic":"t","body":"1"}\nx\n{"topic":"t","body":"3"}'
	status_is 2
	is "$(bodies)" 1
	has "$stderr" 'stopped: 1 confirmed, 1 bad line, the rest not sent'
	run --separate-stderr fake pub t -f in -f none -f in --fail-fast -X record=r
	status_is 6
	is "$(grep -c ^1:t r)" 1
	# In a transaction, too.
	run --separate-stderr fake_able pub t -l --fail-fast --transaction -X refuse=5 --inflight 1 < in
	status_is 1
	has "$stderr" 'the transaction is aborted'
}

@test "how often and when: what has no meaning is refused" {
	local args

	mkfifo fifo
	for args in '--rate 1 t b' '--interval 1 t b' '-c 2 t b' '--fail-fast t b' '-t t -l --pace 1' \
		'-J --pace 0' '-J --pace -1' '-J --pace x' '-J --pace 2y' '-J --pace inf' '-J --pace 1 --rate 1' \
		'-l t --rate 1 --interval 1' '-l t --rate 0' '-l t --rate 1/x' '-l t --rate 1.5' '-l t --rate x' \
		'-l t --rate 99999999999' '-l t --repeat 0' '-l t -c 0' 't -l -f fifo --loop' 't -l --loop --transaction -f in' \
		't b --tee --report -' 't b --tee --report-fd 1' 't b --tee --transaction'; do
		# shellcheck disable=SC2086
		run --separate-stderr fake_able pub $args < /dev/null
		status_is 2
		is "$output" ''
		is "$(wc -l <<< "$stderr")" 1
	done
	run --separate-stderr sh -c 'echo x | "$@"' sh "${FAKE[@]}" pub t -l --loop
	status_is 2
	has "$stderr" '--loop reads files again and again, and stdin is none'
	run --separate-stderr fake pub t b --repeat-delay 3
	status_is 2
	has "$stderr" 'the time between events is --interval DUR'
}

@test "-v says that events go out in go-micro's form where nobody said which" {
	run --separate-stderr fake_able pub -v t b
	has "$stderr" "events go out in go-micro's form, as no --wire was given (--wire raw: bare bodies)"
	run --separate-stderr fake_able pub -v t b --wire raw
	is "$stderr" 'mbus: pub: 1 confirmed'
	run --separate-stderr fake_able pub -v t b --wire micro
	is "$stderr" 'mbus: pub: 1 confirmed'
}

@test "an idle second costs no CPU, whoever is waited for" {
	mkfifo lines.in full.in
	start lines "${FAKE[@]}" pub -l t
	exec 7> lines.in
	start full "${FAKE[@]}" pub -l t -X delay=60000 --inflight 3
	exec 6> full.in
	yes 0123456789 | head -n 2000 >&6
	start answer "${FAKE[@]}" pub t x -X delay=60000
	seq 100 > ended.in
	start ended "${FAKE[@]}" pub -l t -X delay=60000
	start audience "${FAKE[@]}" pub t x --wait 3 -W 60
	sleep 0.3
	for name in lines full answer ended audience; do idle_costs_nothing $name; done
	exec 6>&- 7>&-
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

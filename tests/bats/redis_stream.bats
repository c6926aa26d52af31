#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The redis broker's streams: where to begin, groups, and what others wrote.

load ../lib
load ../servers/redis

setup() {
	lib_setup
	export MICRO_BROKER=redis
	redis_start main
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	X=(-X redis.mode=stream)
}

# pub_lines STREAM LINE...
pub_lines() {
	printf '%s\n' "${@:2}" | mbus pub "${X[@]}" -l "$1"
}

# read_is WANT OPTION...: what sub prints.
read_is() {
	run --separate-stderr timeout 20 mbus sub "${X[@]}" --body "${@:2}"
	status_is 0
	is "$output" "$1"
}

@test "an event is an entry: fields, names that collide, nothing at all" {
	mbus pub "${X[@]}" -J <<< \
		'{"topic":"S","headers":[["k","v"],["body","x"],[":key","y"],["::body","z"]],"body":"hello"}'
	is "$(redis_cli xrange S - + | tail -n +2)" \
		$'k\nv\n:body\nx\n::key\ny\n:::body\nz\nbody\nhello'
	printf '%s\n' '{"topic":"T","key":"K","headers":[["a","1"],["a","2"],["",""],["b",{"b64":"/wA="}]],"body":null}' \
		'{"topic":"T","body":null}' '{"topic":"T","body":"","key":""}' > in
	run -0 mbus pub "${X[@]}" -J < in
	mbus sub "${X[@]}" -J -o beginning -e T > out
	python3 -c '
import json
events = [json.loads(line) for line in open("out")]
assert events[0]["key"] == "K" and events[0]["body"] is None, events[0]
assert events[0]["headers"] == {"a": ["1", "2"], "": "", "b": {"b64": "/wA="}}, events[0]
assert events[1]["body"] is None and not events[1]["headers"] and "key" not in events[1], events[1]
assert events[2]["body"] == "" and events[2]["key"] == "", events[2]'
	run --separate-stderr mbus pub "${X[@]}" -J <<< '{"topic":"T","headers":[["a",null]],"body":"x"}'
	status_is 1
	has "$stderr" 'headers: a has no value'
}

@test "what others wrote is shown, and copied as it is" {
	redis_cli xadd F '*' temp 21 unit C > id
	redis_cli xadd F '*' body x body y key k > id
	redis_cli -x xadd F '*' bin < <(printf 'a\0\xff') > id
	redis_cli xadd F '*' :body 1 ::key 2 : 3 '' '' > id
	mbus pub "${X[@]}" F hello -H k:v -H body:b
	run -0 mbus sub "${X[@]}" -J -o beginning -c 1 F
	has "$output" '"temp":"21"' '"unit":"C"' '"body":null' "\"id\":\"$(redis_cli xrange F - + count 1 | head -n 1)\"" '"ts":"append"'
	mbus sub "${X[@]}" -J -o beginning -e F | mbus pub "${X[@]}" -J -t G
	mbus sub "${X[@]}" -J -o beginning -e G | mbus pub "${X[@]}" -J -t H
	python3 - "$REDIS_PORT" <<-'PY'
		import socket, sys
		def cmd(*words):
		    s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
		    return reply()
		def reply():
		    line = f.readline()
		    n = line[1:-2]
		    if line[:1] == b"*": return [reply() for _ in range(int(n))]
		    if line[:1] == b"$": return f.read(int(n) + 2)[:-2]
		    return n
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		f = s.makefile("rb")
		a, b, c = ([e[1] for e in cmd(b"XRANGE", t, b"-", b"+")] for t in (b"F", b"G", b"H"))
		assert b == c, (b, c)
		for i in (0, 2, 4): assert a[i] == b[i], (a[i], b[i])
		assert b[3] == [b":body", b"1", b"::key", b"2", b":", b"3"], b[3]
	PY
}

@test "where to begin and to end" {
	pub_lines S a b c d e
	mapfile -t ids < <(redis_cli xrange S - + | grep -E '^[0-9]+-[0-9]+$')
	read_is $'a\nb\nc\nd\ne' -o beginning -e S
	read_is $'a\nb\nc\nd\ne' -o 0 -e S
	read_is $'d\ne' -o -2 -e S
	read_is $'a\nb\nc\nd\ne' -o -99 -e S
	read_is $'c\nd\ne' -o "${ids[2]}" -e S
	read_is 'c' -o "${ids[2]}" -c 1 S
	read_is '' -o end -e S
	for o in beginning -3 end; do
		run --separate-stderr mbus sub "${X[@]}" -o $o -e none
		status_is 5
		has "$stderr" 'none: there is no such stream'
		run --separate-stderr mbus sub "${X[@]}" -o $o -g g -e none
		status_is 5
		is "$(redis_cli exists none)" 0
	done
	redis_cli xgroup create empty g 0 mkstream > id
	read_is '' -o beginning -e empty
	redis_cli xadd T 5000-1 body early > id
	redis_cli xadd T 7000-0 body later > id
	redis_cli xadd T 9000-0 body latest > id
	read_is $'later\nlatest' -o s@6000 -e T
	read_is $'later\nlatest' -o s@7000 -e T
	read_is $'early\nlater' -o beginning -o e@9000 T
	read_is 'later' -o s@6000 -o e@8000 T
	# A time to come is no reason to wait, here as over kafka.
	read_is $'early\nlater\nlatest' -o beginning -o e@2100-01-01T00:00:00Z T
	read_is '' -o e@2100-01-01T00:00:00Z T
	read_is $'a\nb\nc\nd\ne\nearly\nlater\nlatest' -o beginning -e S T
	run --separate-stderr timeout 10 mbus sub "${X[@]}" -o stored S
	status_is 2
	run --separate-stderr timeout 10 mbus sub "${X[@]}" -o 1-2-3 S
	status_is 2
	redis_cli set string x > id
	run --separate-stderr timeout 10 mbus sub "${X[@]}" string
	status_is 1
	has "$stderr" 'string: it is no stream (WRONGTYPE'
	run --separate-stderr timeout 10 mbus pub "${X[@]}" string x
	status_is 1
}

@test "more than 1000 back, and from now on by default" {
	seq 5000 | mbus pub "${X[@]}" -l S
	read_is "$(seq 2501 5000)" -o -2500 -e S
	start_sub new --body -c 2 "${X[@]}" S
	pub_lines S x y
	finish new
	is "$(cat new.out)" $'x\ny'
}

@test "-X redis.trim bounds a stream" {
	seq 1000 | mbus pub "${X[@]}" -X redis.trim=10 -l S
	is "$(redis_cli xlen S)" 10
	seq 1000 | mbus pub "${X[@]}" -X redis.trim=~10 -l S
	[ "$(redis_cli xlen S)" -lt 1000 ]
}

@test "100,000 events through a stream and a group, acknowledged" {
	seq 100000 > in
	start_sub plain --body -c 100000 "${X[@]}" S
	start_sub one --body -c 100000 -g g "${X[@]}" S
	run -0 --separate-stderr mbus pub -v "${X[@]}" -l S < in
	has "$stderr" '100000 confirmed'
	finish plain 60
	finish one 60
	same_bytes in plain.out
	same_bytes in one.out
	is "$(redis_cli xpending S g | head -n 1)" 0
	is "$(redis_cli xinfo consumers S g)" ''
}

@test "the members of a group share, and leave nothing behind" {
	start_sub a --body -g g "${X[@]}" S
	start_sub b --body -g g "${X[@]}" S
	seq 2000 | mbus pub "${X[@]}" -l S
	both() { [ "$(cat a.out b.out | wc -l)" -ge 2000 ]; }
	wait_for both
	is "$(redis_cli xinfo consumers S g | grep -c pending)" 2
	stop a
	stop b
	is "$(sort -n a.out b.out)" "$(seq 2000)"
	is "$(redis_cli xpending S g | head -n 1)" 0
	is "$(redis_cli xinfo consumers S g)" ''
	# The group goes on where it stopped.
	pub_lines S x y
	read_is $'x\ny' -g g -c 2 S
	pub_lines S z
	read_is 'z' -g g -o stored -e S
	read_is '' -g g -e S
	# Another group has its own place.
	read_is "$(seq 2000; printf '%s\n' x y z)" -g h -o beginning -e S
	read_is 'z' -g i -o -1 -e S
}

@test "what -c leaves unprinted is there for the next, in order" {
	seq 10 | mbus pub "${X[@]}" -l S
	read_is 1 -g g -o beginning -c 1 S
	read_is $'2\n3' -g g -c 2 S
	read_is "$(seq 4 10)" -g g -e S
	is "$(redis_cli xpending S g | head -n 1)" 0
}

@test "a member that is killed: another claims what it had not printed" {
	redis_cli xgroup create S g 0 mkstream > /dev/null
	mkfifo pipe
	seq 300 | mbus pub "${X[@]}" -l S
	# Its reader takes nothing, so nothing is acknowledged.
	exec 7<> pipe
	head -c 100000 /dev/zero | tr '\0' x > long
	mbus pub "${X[@]}" -f long S
	mbus sub "${X[@]}" --body -g g -X redis.consumer=victim S > pipe 3>&- 7>&- 2> victim.err &
	PID[victim]=$!
	pending() { [ "$(redis_cli xpending S g | head -n 1)" -ge "$1" ]; }
	wait_for pending 1
	stop victim KILL
	pending=$(redis_cli xpending S g | head -n 1)
	[ "$pending" -gt 0 ]
	run -0 --separate-stderr timeout 20 mbus sub "${X[@]}" --body -g g -X redis.claim=200ms -w 2 S
	is "$(wc -l <<< "$output")" "$pending"
	is "$(redis_cli xpending S g | head -n 1)" 0
}

@test "a named consumer gets its own pending ones first" {
	seq 5 | mbus pub "${X[@]}" -l S
	redis_cli xgroup create S g 0 > /dev/null
	redis_cli xreadgroup group g me count 3 streams S '>' > /dev/null
	redis_cli xdel S "$(redis_cli xrange S - + count 1 | head -n 1)" > /dev/null
	read_is "$(seq 2 5)" -g g -X redis.consumer=me -e S
	is "$(redis_cli xpending S g | head -n 1)" 0
}

@test "acknowledged when written, not before; --ack none never waits for that" {
	redis_cli xgroup create S g 0 mkstream > /dev/null
	redis_cli xgroup create S n 0 > /dev/null
	mkfifo pipe
	exec 7<> pipe
	for i in 1 2 3 4 5; do head -c 100000 /dev/zero | tr '\0' $i > long; mbus pub "${X[@]}" -f long S; done
	mbus sub "${X[@]}" --body -g g S > pipe 3>&- 7>&- 2> slow.err &
	PID[slow]=$!
	pending() { [ "$(redis_cli xpending S g | head -n 1)" = "$1" ]; }
	wait_for pending 5
	sleep 0.3
	pending 5
	cat <&7 > got 3>&- 7>&- &
	cat=$!
	wait_for pending 0
	stop slow
	kill $cat
	exec 7>&-
	is "$(tr -d '\n' < got | wc -c)" 500000
	run -0 timeout 10 mbus sub "${X[@]}" --ack none --raw -g n -c 5 S
	is "$(redis_cli xpending S n | head -n 1)" 0
}

@test "a group that is deleted is made again" {
	start_sub a --body -g g "${X[@]}" S
	pub_lines S one
	wait_for lines_in a.out 1
	redis_cli del S > /dev/null
	pub_lines S two
	wait_for lines_in a.out 2
	is "$(cat a.out)" $'one\ntwo'
	has "$(cat a.err)" 'the group g had gone, and its stream; made again'
}

# Its place is known to the member, and not to be taken for the beginning.
@test "a group that is destroyed under a member goes on where that was" {
	start_sub a --body -g g "${X[@]}" S
	pub_lines S one two
	wait_for lines_in a.out 2
	redis_cli xgroup destroy S g > /dev/null
	pub_lines S three
	wait_for lines_in a.out 3
	sleep 0.3
	is "$(cat a.out)" $'one\ntwo\nthree'
	has "$(cat a.err)" 'the group g had gone; made again, behind'
	wait_for pending_of S g 0
}
pending_of() { [ "$(redis_cli xpending "$1" "$2" | head -n 1)" = "$3" ]; }

@test "users with the commands that mbus-redis(7) lists, and no other" {
	acl() { redis_cli acl setuser u reset on '>pw' '~*' '&*' "$@" > acl.out; }
	as_u() { MBUS_PASSWORD=pw timeout 10 mbus "$@" --username u; }

	acl +xadd +ping
	as_u pub "${X[@]}" S one
	acl +xread +xrevrange +ping
	is "$(as_u sub "${X[@]}" --body -o beginning -c 1 S)" one
	acl +xread +xrevrange +ping +exists
	is "$(as_u sub "${X[@]}" --body -o beginning -e S)" one
	acl +xread +ping
	run --separate-stderr as_u sub "${X[@]}" -o beginning -c 1 S
	status_is 4
	acl +xreadgroup +xrevrange +xgroup +xack +xautoclaim +xclaim +xpending +client +ping
	run --separate-stderr as_u sub "${X[@]}" --body -o beginning -g g -c 1 S
	status_is 0
	is "$output$stderr" one
	is "$(redis_cli xpending S g | head -n 1)" 0
	acl +publish +ping
	as_u pub T x
	acl +subscribe +unsubscribe +ping
	as_u sub --check T
}

# How the errors are told apart in backends/redis/redis_error.c stands in the manual.
@test "the errors that pass are those of the manual" {
	while read -r word; do
		grep -qE "^\.It .*$word" "$ROOT/man/mbus-redis.7" || fail "mbus-redis(7) does not know $word"
	done < <(sed -nE 's/^\t\{ "([A-Z]+( Redis| max number of clients)?)[^"]*", ERR_[A-Z]+, (NEXT|SAME), .*/\1/p' \
		"$ROOT/backends/redis/redis_error.c" | tee words)
	[ "$(wc -l < words)" -ge 7 ]
}

# missing FILE: how many it says there were.
missing() { awk '/ missing: trimmed or deleted before / { n += $5 } END { print n + 0 }' "$1"; }
nothing_missing() { [ "$(missing sub.err)" = "$1" ]; }

@test "a stream that is trimmed past its reader: how many are missing is said" {
	# One that stands still.
	start_sub sub "${X[@]}" --body S
	seq 10 | mbus pub "${X[@]}" -l S
	wait_for lines_in sub.out 10
	freeze sub
	seq 1000 | mbus pub "${X[@]}" -X redis.trim=50 -l S
	thaw sub
	wait_for -t 20 grep -qx 1000 sub.out
	wait_for nothing_missing $((1010 - $(wc -l < sub.out)))
	[ "$(missing sub.err)" -gt 900 ]
	# One whose connection goes, and who has got what is there when it is back.
	got=$(wc -l < sub.out)
	was=$(missing sub.err)
	seq 2000 3999 | mbus pub "${X[@]}" -X redis.trim=20 -l S
	wait_for -t 20 grep -qx 3999 sub.out
	wait_for nothing_missing $((was + 2000 - ($(wc -l < sub.out) - got)))
	# Nothing is said of one that has them all.
	seq 100 | mbus pub "${X[@]}" -l S
	wait_for grep -qx 100 sub.out
	sleep 0.5
	nothing_missing $((was + 2000 - ($(wc -l < sub.out) - 100 - got)))
	stop sub
	is "$status" 0
}

@test "and to one that was away, from where it stopped; deleted ones count" {
	start_sub sub "${X[@]}" --body -o beginning S
	seq 10 | mbus pub "${X[@]}" -l S
	wait_for lines_in sub.out 10
	freeze sub
	redis_cli client kill type normal skipme yes > out
	seq 11 1010 | mbus pub "${X[@]}" -X redis.trim=100 -l S
	redis_cli xdel S "$(redis_cli xrevrange S + - count 3 | grep '^[0-9]*-[0-9]*$' | tail -n 1)" > out
	thaw sub
	wait_for grep -qx 1010 sub.out
	wait_for nothing_missing 901
	is "$(wc -l < sub.out)" 109
}

@test "a group whose next entries were trimmed while no member was there: how many" {
	mbus sub "${X[@]}" -g G -W 200ms S > out || true
	seq 10 | mbus pub "${X[@]}" -l S
	mbus sub "${X[@]}" -g G -c 10 --body S > out
	seq 1000 | mbus pub "${X[@]}" -X redis.trim=10 -l S
	start_sub sub "${X[@]}" -g G --body S
	wait_for lines_in sub.out 10
	wait_for nothing_missing 990
	has "$(cat sub.err)" 'before the group got to them'
	stop sub
	# It has been told.
	run --separate-stderr mbus sub "${X[@]}" -g G -W 300ms S
	is "$stderr" 'mbus: sub: timed out: no event'
	# A user who may not ask is not told, and no error.
	redis_cli acl setuser may on '>secret' '~*' nocommands +xread +xrevrange +ping > out
	MBUS_PASSWORD=secret start_sub sub --username may "${X[@]}" --body -o beginning S
	wait_for lines_in sub.out 10
	is "$(cat sub.err)" ''
}

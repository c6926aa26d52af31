#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The redis broker when the server dies, stops, restarts, cuts or refuses: every event
# has one fate, and the counts are true.

load ../lib
load ../servers/redis

setup() {
	TEST_SECONDS=100
	lib_setup
	export MICRO_BROKER=redis
	redis_start main
	export MICRO_BROKER_ADDRESS=127.0.0.1:$REDIS_PORT
	X=(-X redis.mode=stream)
}

# counts FILE: "confirmed refused unknown" of a pub's last words.
counts() {
	python3 - "$1" <<-'PY'
		import re, sys
		text = open(sys.argv[1]).read()
		n = {w: 0 for w in ("confirmed", "refused", "unknown")}
		for word in n:
		    found = re.findall(r"(\d+) " + word, text)
		    if found: n[word] = int(found[-1])
		all = re.search(r"(\d+) of (\d+) not delivered", text)
		if all: n["confirmed"] = int(all[2]) - int(all[1])
		print(n["confirmed"], n["refused"], n["unknown"])
	PY
}

# firehose NAME OPTION...: a publisher of 200,000 numbered events into a stream S.
firehose() {
	local name=$1

	shift
	[ -e numbers ] || seq 200000 > numbers
	ln -sf numbers "$name.in"
	start "$name" mbus pub -v "${X[@]}" "$@" -l S
}

stream_is_at() { [ "$(redis_cli xlen S)" -ge "$1" ]; }

# truthful NAME ENTRIES: all confirmed arrived, none refused did, in order, once.
truthful() {
	local confirmed refused unknown

	read -r confirmed refused unknown < <(counts "$1.err")
	echo "confirmed $confirmed, refused $refused, unknown $unknown, in the stream $2"
	[ "$confirmed" -le "$2" ] && [ "$2" -le $((confirmed + unknown)) ] || fail "that is not true" "$(cat "$1.err")"
}

# in_order: what is in the stream, each once.
in_order() {
	mbus sub "${X[@]}" --body -o beginning -e S > got
	sort -cnu got
}

@test "the connection is killed under load: the three counts are true" {
	firehose pub
	wait_for stream_is_at 2000
	redis_cli client kill type normal skipme yes > /dev/null
	finish pub 30
	is "$status" 3
	has "$(cat pub.err)" 'lost before an answer came'
	truthful pub "$(redis_cli xlen S)"
	in_order
}

@test "the same with --reconnect: what was not sent goes out later, nothing twice" {
	firehose pub --reconnect 5
	for n in 2000 4000 6000; do
		wait_for stream_is_at $n
		redis_cli client kill type normal skipme yes > /dev/null
	done
	finish pub 60
	has "$(cat pub.err)" 'connecting again' 'connected to 127.0.0.1:'
	read -r confirmed refused unknown < <(counts pub.err)
	is $((confirmed + unknown)) 200000
	is "$refused" 0
	truthful pub "$(redis_cli xlen S)"
	in_order
}

@test "the server is killed and does not come back" {
	firehose pub
	wait_for stream_is_at 2000
	redis_stop main KILL
	finish pub 30
	is "$status" 3
	firehose again --reconnect 2
	finish again 30
	is "$status" 3
}

@test "the server stops for a while: nothing is lost" {
	firehose pub
	wait_for stream_is_at 2000
	freeze redis-main
	sleep 0.5
	thaw redis-main
	finish pub 30
	is "$status" 0
	is "$(redis_cli xlen S)" 200000
}

# Each window would be lost after the other: the run ends.
@test "the server stops for longer than -W: unknown is what was sent, the rest is refused" {
	head -c 20000 /dev/zero | tr '\0' x > line
	for ((i = 0; i < 1900; i++)); do cat line; echo; done > rest
	mkfifo pub.in
	start pub mbus pub -v "${X[@]}" -W 0.5 --inflight 2000 -l S
	exec 7> pub.in
	seq 100 >&7
	wait_for stream_is_at 100
	freeze redis-main
	cat rest >&7 3>&- 2> /dev/null &
	exec 7>&-
	finish pub 5
	thaw redis-main
	is "$status" 3
	wait_for redis_idle
	truthful pub "$(redis_cli xlen S)"
	has "$(cat pub.err)" 'no answer to anything within 0.5 s'
}

# redis_idle: it has done what it was sent.
redis_idle() {
	local was

	was=$(redis_cli xlen S)
	sleep 0.2
	[ "$(redis_cli xlen S)" = "$was" ]
}

# What TLS has encrypted of an event, and could not send, cannot be taken out of the
# connection any more: cutting there would put other bytes under what counts on it, and
# the server would read pieces of bodies as commands.
@test "a slow line, plain and over TLS: no byte of an event is ever read as a command" {
	local tls

	redis_certs "$PWD/certs"
	redis_start line
	python3 - > in <<-'PY'
		import random
		random.seed(11)
		for i in range(6000):
		    piece = f"{i} SET pwned yes\r\n"
		    print((piece * 300)[:random.randint(1000, 4000)], end="\0")
	PY
	for tls in '' s; do
		redis_cli del S > /dev/null
		start_ready relay "$ROOT/tests/tools/relay" --ready-fd 8 7001 \
			"127.0.0.1:$([ "$tls" ] && echo "$REDIS_TLS_PORT" || echo "$REDIS_PORT")" 7002
		# The server answers, but the line takes a third of it in the time.
		exec 8<> /dev/tcp/127.0.0.1/7002
		echo "limit 1500000 up" >&8
		read -r -t 5 _ <&8
		exec 8>&-
		run --separate-stderr timeout 60 mbus pub -v "${X[@]}" --wire raw -0 -W 1 --inflight 100000 \
			${tls:+--tls-ca certs/ca.crt} -b "redis$tls://127.0.0.1:7001" S < in
		status_is 1
		echo "$stderr" > pub.err
		stop relay
		wait_for redis_idle
		is "$(redis_cli get pwned)" ''
		truthful pub "$(redis_cli xlen S)"
		has "$(cat pub.err)" 'not sent within 1 s'
		# Every entry is one of the bodies, and in their order.
		mbus sub -b "127.0.0.1:$REDIS_PORT" "${X[@]}" --raw -0 -o beginning -e S > got
		python3 - <<-'PY'
			want = open("in", "rb").read().split(b"\0")[:-1]
			at = 0
			for body in open("got", "rb").read().split(b"\0")[:-1]:
			    at = want.index(body, at) + 1
		PY
	done
}

@test "one event that gets no answer" {
	freeze redis-main
	run --separate-stderr timeout 10 mbus pub --connect-timeout 0.3 T x
	status_is 3
	thaw redis-main
	mkfifo in
	mbus pub -v -W 0.4 -l T < in 3>&- 2> slow.err &
	PID[slow]=$!
	exec 7> in
	echo one >&7
	wait_for grep -q connected slow.err || true
	sleep 0.3
	freeze redis-main
	echo two >&7
	wait_for grep -q 'no answer within 0.4 s' slow.err
	thaw redis-main
	echo three >&7
	exec 7>&-
	finish slow
	is "$status" 1
	has "$(cat slow.err)" '1 of 3 not delivered: 1 unknown'
}

@test "a subscriber comes back, subscribes again, and says that events were lost" {
	start_sub sub --body -c 3 T
	mbus pub T one
	redis_cli client kill type pubsub > /dev/null
	wait_for grep -q 'events that were published meanwhile are lost' sub.err
	wait_for redis_subscribers T 1
	mbus pub T two
	redis_stop main
	redis_start main
	wait_for redis_subscribers T 1
	mbus pub T three
	finish sub
	is "$(cat sub.out)" $'one\ntwo\nthree'
	is "$(grep -c 'connecting again' sub.err)" 2
	is "$(grep -c 'again after' sub.err)" 2
	start_sub once --body --reconnect no T
	redis_cli client kill type pubsub > /dev/null
	finish once
	is "$status" 3
}

@test "a reader of a stream loses nothing by a lost connection" {
	seq 50000 > in
	start_sub plain --body -c 50000 "${X[@]}" S
	start_sub member --body -c 50000 -g g "${X[@]}" S
	ln -s in pub.in
	start pub mbus pub "${X[@]}" -l S
	for n in 1000 5000 20000; do
		wait_for stream_is_at $n
		redis_cli client list | grep -E 'cmd=xread' | sed -E 's/^id=([0-9]+).*/\1/' |
			while read -r id; do redis_cli client kill id "$id" > /dev/null; done
	done
	finish pub 30
	finish plain 30
	finish member 30
	same_bytes in plain.out
	is "$(sort -nu member.out)" "$(cat in)"
	is "$(redis_cli xpending S g | head -n 1)" 0
}

@test "an emptied server: the group is made again" {
	start_sub member --body -c 2 -g g "${X[@]}" S
	mbus pub "${X[@]}" S one
	wait_for lines_in member.out 1
	redis_stop main KILL
	redis_start main
	mbus pub "${X[@]}" S two
	finish member
	is "$(cat member.out)" $'one\ntwo'
}

@test "a server that says nothing any more is noticed" {
	start_sub sub --body -X redis.keepalive=0.6s T
	freeze redis-main
	wait_for grep -q 'nothing heard for' sub.err
	thaw redis-main
	wait_for grep -q 'again after' sub.err
	start_sub reader --body -X redis.keepalive=0.6s "${X[@]}" S
	sleep 1.5
	is "$(cat reader.err)" ''
	freeze redis-main
	wait_for grep -q 'nothing heard for' reader.err
	thaw redis-main
}

@test "the server cuts a subscriber that is too slow: it is said, with the setting" {
	redis_cli config set client-output-buffer-limit 'pubsub 1mb 0 0' > /dev/null
	mkfifo pipe
	exec 7<> pipe
	mbus sub --body T > pipe 3>&- 7>&- 2> slow.err &
	PID[slow]=$!
	wait_for redis_subscribers T 1
	head -c 100000 /dev/zero | tr '\0' x > long
	for ((i = 0; i < 300; i++)); do cat long; echo; done | mbus pub --wire raw -l T
	cat <&7 > got 3>&- 7>&- &
	cat=$!
	wait_for grep -q 'client-output-buffer-limit pubsub' slow.err
	kill $cat
	exec 7>&-
	has "$(cat slow.err)" 'events that were published meanwhile are lost'
}

@test "memory stays bounded: a slow reader slows the publisher of a stream, and sub" {
	mkfifo pipe
	exec 7<> pipe
	mbus sub --raw "${X[@]}" -o beginning S > pipe 3>&- 7>&- 2> slow.err &
	PID[slow]=$!
	head -c 10000 /dev/zero | tr '\0' x > long
	for ((i = 0; i < 5000; i++)); do cat long; echo; done | mbus pub "${X[@]}" -l S
	sleep 0.5
	peak=$(sed -n 's/VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${PID[slow]}/status")
	echo "peak: $peak kB"
	[ "$peak" -lt 30000 ]
	exec 7>&-
}

@test "errors of a server that cannot" {
	redis_cli config set min-replicas-to-write 1 > /dev/null
	run --separate-stderr mbus pub "${X[@]}" S x
	status_is 1
	has "$stderr" 'NOREPLICAS'
	redis_cli config set min-replicas-to-write 0 > /dev/null
	redis_cli config set maxmemory 1 > /dev/null
	printf '%s\n' a b c > in
	run --separate-stderr mbus pub "${X[@]}" -l S < in
	status_is 1
	has "$stderr" 'OOM' '3 of 3 not delivered: 3 refused'
	redis_cli config set maxmemory 0 > /dev/null
	redis_start replica --replicaof 127.0.0.1 "$REDIS_PORT"
	run --separate-stderr mbus pub -b "127.0.0.1:$REDIS_PORT" "${X[@]}" S x
	status_is 1
	has "$stderr" 'this server is a replica (READONLY'
}

@test "--ack none: what the kernel took counts, what it did not is refused" {
	firehose pub --ack none
	wait_for stream_is_at 2000
	redis_cli client kill type normal skipme yes > /dev/null
	finish pub 30
	is "$status" 3
	read -r confirmed refused unknown < <(counts pub.err)
	is "$unknown" 0
	[ "$confirmed" -ge "$(redis_cli xlen S)" ] || fail "confirmed $confirmed" "$(cat pub.err)"
	redis_cli set string x > /dev/null
	run -0 --separate-stderr mbus pub --ack none "${X[@]}" -l string < <(seq 3)
	mbus pub --ack none "${X[@]}" T one
	wait_for redis_has T 1
}
redis_has() { [ "$(redis_cli xlen "$1")" = "$2" ]; }

# demote NAME MASTER: from now on it is a replica of the other.
demote() {
	local port=${REDIS_PORTS[$2]}

	redis_use "$1"
	redis_cli replicaof 127.0.0.1 "$port" > /dev/null
	redis_use "$2"
	redis_cli replicaof no one > /dev/null
}

# A failover: what was the master refuses, and another of the addresses is it.
@test "READONLY: pub and a group's member go to the next address" {
	redis_start b --replicaof 127.0.0.1 "${REDIS_PORTS[main]}"
	both=127.0.0.1:${REDIS_PORTS[main]},127.0.0.1:${REDIS_PORTS[b]}
	replicated() { redis_use b; redis_cli info replication | grep -q 'master_link_status:up'; }
	wait_for replicated
	redis_use main
	start_sub member --body -g g -b "$both" "${X[@]}" -o beginning S
	mkfifo pub.in
	start pub mbus pub -v "${X[@]}" --reconnect always -b "$both" -l S
	exec 7> pub.in
	seq 100 >&7
	wait_for lines_in member.out 100
	redis_use b
	wait_for stream_is_at 100
	demote main b
	seq 101 3000 >&7
	exec 7>&-
	finish pub 30
	is "$status" 0
	redis_use b
	is "$(redis_cli xlen S)" 3000
	wait_for -t 20 lines_in member.out 3000
	is "$(cat member.out)" "$(seq 3000)"
	has "$(cat pub.err)" 'this server is a replica' "connected to 127.0.0.1:${REDIS_PORTS[b]} again"
	# Without other addresses it is refused; never live, it is the end.
	run --separate-stderr timeout 10 mbus pub -b "127.0.0.1:${REDIS_PORTS[main]}" "${X[@]}" S x
	status_is 1
	run --separate-stderr timeout 10 mbus sub --check -g new -b "127.0.0.1:${REDIS_PORTS[main]}" "${X[@]}" S
	[ "$status" = 3 ] || fail "status $status" "$stderr"
}

@test "a silent server is noticed while events are under way" {
	mkfifo pub.in
	start pub mbus pub -X redis.keepalive=1s -W 60 -l T
	exec 7> pub.in
	echo one >&7
	sleep 0.3
	freeze redis-main
	echo two >&7
	finish pub 5
	is "$status" 3
	has "$(cat pub.err)" 'nothing heard for 1'
	exec 7>&-
}

@test "a payload that is almost an envelope is shown as it came" {
	payload='{"Header":{"a":"x\u0041y"},"Body":"aGVsbG8=" junk'
	for wire in auto micro raw; do
		start_sub sub --body --wire $wire -c 1 T
		redis_cli publish T "$payload" > /dev/null
		finish sub
		is "$(cat sub.out)" "$payload"
	done
}

# by_relay: from here on mbus speaks to the server through tests/tools/relay.
by_relay() {
	start_ready relay "$ROOT/tests/tools/relay" --ready-fd 8 7001 "127.0.0.1:$REDIS_PORT" 7002
	export MICRO_BROKER_ADDRESS=127.0.0.1:7001
}
# relay COMMAND...: returns when it is done.
relay() {
	local answer fd

	exec {fd}<> /dev/tcp/127.0.0.1/7002
	echo "$*" >&"$fd"
	read -r -t 5 answer <&"$fd"
	exec {fd}>&-
	[ "$answer" = ok ] || fail "relay $*: $answer"
}

@test "a server that hangs up at what a subscription asks: never live, and live before" {
	local n last form

	by_relay
	redis_cli xadd S '*' a 1
	# Behind the greeting each of its questions, up to the first read, which does not
	# wait: who hangs up while one waits may have been restarted.
	for last in 2 2s 4; do
		case $last in
		2) form= ;;
		2s) form='-X redis.mode=stream' ;;
		4) form='-X redis.mode=stream -g G' ;;
		esac
		for ((n = 2; n <= ${last%s}; n++)); do
			relay hang-up $n
			# shellcheck disable=SC2086
			run --separate-stderr timeout 30 mbus sub $form --body S
			is "$status" 3
			has "$stderr" 'Connection reset by peer'
			relay pass
			# shellcheck disable=SC2086
			start_sub sub -v $form --body S
			relay hang-up $n
			relay cut
			finish sub 30
			is "$status" 3
			has "$(cat sub.err)" ' again after' '3 times in a row'
			relay pass
		done
	done
}

@test "a server that hangs up now and then, with events between: sub goes on" {
	local i form

	by_relay
	for form in "" "-X redis.mode=stream" "-X redis.mode=stream -g G"; do
		relay pass
		# shellcheck disable=SC2086
		start_sub sub $form --body T
		for i in 1 2 3 4; do
			relay hang-up 2
			relay cut
			wait_for [ -s sub.err ]
			relay pass
			# shellcheck disable=SC2086
			wait_for comes_through $i $form
		done
		stop sub TERM
		is "$status" 0
	done
}
# comes_through WORD OPTION...: what is published now, it prints.
comes_through() {
	if [ "${2-}" ]; then redis_cli xadd T '*' body "$1"; else redis_cli publish T "$1"; fi > /dev/null
	sleep 0.05
	grep -qx "$1" sub.out
}

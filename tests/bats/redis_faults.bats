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
	kill -STOP "${PID[redis-main]}"
	sleep 0.5
	kill -CONT "${PID[redis-main]}"
	finish pub 30
	is "$status" 0
	is "$(redis_cli xlen S)" 200000
}

@test "the server stops for longer than -W: unknown is what was sent, the rest is refused" {
	head -c 20000 /dev/zero | tr '\0' x > line
	for ((i = 0; i < 1900; i++)); do cat line; echo; done > rest
	mkfifo pub.in
	start pub mbus pub -v "${X[@]}" -W 0.5 --inflight 2000 -l S
	exec 7> pub.in
	seq 100 >&7
	wait_for stream_is_at 100
	kill -STOP "${PID[redis-main]}"
	cat rest >&7 3>&- &
	exec 7>&-
	sleep 1.2
	kill -CONT "${PID[redis-main]}"
	finish pub 30
	truthful pub "$(redis_cli xlen S)"
	has "$(cat pub.err)" 'no answer within 0.5 s' 'not sent within 0.5 s'
}

@test "one event that gets no answer" {
	kill -STOP "${PID[redis-main]}"
	run --separate-stderr timeout 10 mbus pub --connect-timeout 0.3 T x
	status_is 3
	kill -CONT "${PID[redis-main]}"
	mkfifo in
	mbus pub -v -W 0.4 -l T < in 3>&- 2> slow.err &
	PID[slow]=$!
	exec 7> in
	echo one >&7
	wait_for grep -q connected slow.err || true
	sleep 0.3
	kill -STOP "${PID[redis-main]}"
	echo two >&7
	wait_for grep -q 'no answer within 0.4 s' slow.err
	kill -CONT "${PID[redis-main]}"
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
	kill -STOP "${PID[redis-main]}"
	wait_for grep -q 'nothing heard for' sub.err
	kill -CONT "${PID[redis-main]}"
	wait_for grep -q 'again after' sub.err
	start_sub reader --body -X redis.keepalive=0.6s "${X[@]}" S
	sleep 1.5
	is "$(cat reader.err)" ''
	kill -STOP "${PID[redis-main]}"
	wait_for grep -q 'nothing heard for' reader.err
	kill -CONT "${PID[redis-main]}"
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

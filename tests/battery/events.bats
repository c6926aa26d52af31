#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: what is published arrives, as it was and where it should.

load battery

EVENTS=$LIST/events

# bodies: files body.N of every kind.
bodies() {
	: > body.1
	printf '\0' > body.2
	printf 'a\0b\0' > body.3
	printf '\377\376' > body.4
	printf 'one\r\ntwo\r\n' > body.5
	printf '\r\n' > body.6
	printf '\n' > body.7
	printf 'no newline at the end' > body.8
	printf 'é \xe2\x80\xa8 \xf0\x9f\x98\x80 "\\/\b\t' > body.9
	printf '\xc3' > body.10
	printf '{"Header":{"a":"b"},"Body":"aGk="}' > body.11
	printf '{"a":1}\n' > body.12
	printf null > body.13
	head -c 65536 /dev/urandom > body.14
	head -c 1048576 /dev/urandom > body.15
	BODIES=(body.{1..15})
}

# every_body [OPTION...]: from files, by one pub; then by stdin, argument and line.
every_body() {
	local t f arg=()

	t=$(topic)
	bodies
	if lacks empty && [[ "$*" == *raw* ]]; then echo > body.1; fi
	server
	sub_ready sub "$@" -J -c 18 "$t"
	for f in "${BODIES[@]}"; do arg+=(-f "$f"); done
	pub_is 0 "$@" "${arg[@]}" "$t"
	run -0 pub "$@" -s "$t" < body.3
	run -0 pub "$@" "$t" "$(cat body.9)"
	run -0 pub "$@" -l "$t" < body.8
	finish sub 30
	is "$status" 0
	"$EVENTS" bodies "${BODIES[@]}" body.3 body.9 body.8 < sub.out
	run ! grep -vF "\"topic\":\"$t\"" sub.out
	# The default wire tells null from empty, or calls both empty.
	if [[ " $CARRIES " == *' null-body '* && "$*" != *raw* ]]; then has "$(head -n 1 sub.out)" '"body":"","len":0'; fi
}

@test "mbus --list says what this broker can" {
	local caps cap

	caps=$(mbus --list -J | sed -n "s/.*\"name\":\"$BROKER\".*\"caps\":\[\([^]]*\)\].*/\1/p")
	for cap in ${CARRIES/plain-header}; do has "$caps" "\"$cap\""; done
	for cap in group ack raw tls reconnect; do lacks $cap || has "$caps" "\"$cap\""; done
	lacks password || has "$caps" '"user"'
	lacks keep || has "$caps" '"offset"' '"end"'
}

# bats test_tags=deliver
@test "bodies of every kind arrive byte for byte" {
	every_body
}

# bats test_tags=deliver,raw
@test "bodies of every kind arrive byte for byte, bare on the wire" {
	every_body --wire raw
}

# bats test_tags=deliver,big
@test "a body of 16 MiB" {
	t=$(topic)
	server lenient
	head -c 16777216 /dev/urandom > big
	sub_ready sub --raw -c 1 "$t"
	pub_is 0 -f big "$t"
	finish sub 30
	is "$status" 0
	same_bytes big sub.out
}

# exact CAPS [OPTION...]: a thousand random events to random topics; what came is published
# again, and what comes of that is the same. MBUS_SEED repeats a run.
exact() {
	local n=1000 seed=${MBUS_SEED:-$(od -An -N4 -tu4 /dev/urandom)} to

	seed=${seed// }
	echo "MBUS_SEED=$seed"
	server lenient
	mapfile -t to < <("$EVENTS" topics "$seed" 5 "${TOPICS[@]}")
	# The stream that the test has made at a NATS server is of subjects of one part.
	[ "${OPTIONS[1]-}" != nats.mode=jetstream ] || to=("${to[@]//./-}")
	# Kept by some brokers from test to test.
	to=("${to[@]/%/$((seed % 100000))$BATS_TEST_NUMBER}")
	"$EVENTS" make "$seed" $n "$1" "${to[@]}" > sent
	sub_ready a "${@:2}" -J -c $n "${to[@]}"
	pub_is 0 "${@:2}" --content-type none -J < sent
	finish a 30
	is "$status" 0
	sub_ready b "${@:2}" -J -c $n "${to[@]}"
	pub_is 0 "${@:2}" --content-type none -J < a.out
	finish b 30
	is "$status" 0
	for k in sent a.out b.out; do "$EVENTS" plain < $k > $k.plain; done
	diff sent.plain a.out.plain | head -n 6
	cmp sent.plain a.out.plain
	cmp sent.plain b.out.plain
}

# bats test_tags=deliver
@test "random events: the copy of a copy is exact" {
	exact "$CARRIES control"
}

# bats test_tags=deliver,raw
@test "random events, bare on the wire: the copy of a copy is exact" {
	exact "$CARRIES_RAW$(if lacks empty; then echo ' nonempty'; fi)" --wire raw
}

# bats test_tags=deliver,raw
@test "sub recognises what it sees, and --wire raw shows the bytes" {
	t=$(topic)
	server
	sub_ready auto -J -c 2 "$t"
	sub_ready raw --wire raw --body -c 2 "$t"
	pub_is 0 -H a:1 "$t" hi
	pub_is 0 --wire raw "$t" hi
	finish auto
	finish raw
	is "$(cat raw.out)" $'{"Header":{"a":"1"},"Body":"aGk="}\nhi'
	has "$(sed -n 1p auto.out)" '"headers":{"a":"1"}' '"body":"hi"' '"wire":"micro"'
	has "$(sed -n 2p auto.out)" '"body":"hi"' '"wire":"raw"'
}

# bats test_tags=deliver
@test "topics of every kind, and each event says its own" {
	local k

	server
	sub_ready sub -J -c "${#TOPICS[@]}" "${TOPICS[@]}"
	for k in "${!TOPICS[@]}"; do pub_is 0 "${TOPICS[k]}" "body $k"; done
	finish sub
	# Each topic may have a connection of its own, so they have no order between them.
	for k in "${!TOPICS[@]}"; do
		has "$(grep -F "\"body\":\"body $k\"" sub.out)" "\"topic\":\"${TOPICS[k]}\""
	done
}

# Where there are more events than a server keeps for one that is slow for a moment
# (Mosquitto: 1000), it is a lenient one.

# bats test_tags=deliver
@test "fifty topics by one sub, one pub: in order within each" {
	local t k

	t=$(topic)
	server lenient
	# shellcheck disable=SC2046
	sub_ready sub -J -c 2000 $(seq -f "$t-%g" 50)
	for k in {1..40}; do
		seq -f "{\"topic\":\"$t-%g\",\"body\":\"$k\"}" 50
	done > sent
	pub_is 0 -J < sent
	finish sub 30
	is "$status" 0
	for k in 1 17 50; do
		is "$(grep -F "\"topic\":\"$t-$k\"" sub.out | sed 's/.*"body":"\([0-9]*\)".*/\1/')" "$(seq 40)"
	done
}

# bats test_tags=deliver
@test "two subs of one topic get everything, the one that comes later what comes later" {
	t=$(topic)
	server lenient
	sub_ready a --body "$t"
	sub_ready b --body "$t"
	seq 2000 | pub -l "$t"
	sub_ready c --body "$t"
	wait_for lines_in b.out 2000
	stop b
	is "$status" 0
	seq 2001 4000 | pub -l "$t"
	wait_for lines_in a.out 4000
	wait_for lines_in c.out 2000
	is "$(cat a.out)" "$(seq 4000)"
	is "$(cat b.out)" "$(seq 2000)"
	is "$(cat c.out)" "$(seq 2001 4000)"
}

# Each part has an order of its own.
in_parts() { if lacks one-part; then sort -n "$1"; else cat "$1"; fi; }

# in_bursts N SIZE: numbers from 1; where BURSTS is set SIZE at a time with a pause behind
# them, so that a member does not take all before another is awake.
in_bursts() {
	local k

	if [ -z "${BURSTS-}" ]; then seq $(($1 * $2)); return; fi
	for ((k = 0; k < $1; k++)); do
		seq $((k * $2 + 1)) $((k * $2 + $2))
		sleep 0.02
	done
}

# bats test_tags=deliver,group
@test "the members of a group share its events, and everybody else gets all" {
	t=$(topic)
	PARTS=6
	server lenient
	sub_ready all --body "$t"
	sub_ready a -g one --body "$t"
	sub_ready b -g one --body "$t"
	sub_ready c -g two --body "$t"
	seq 5000 > sent
	pub_is 0 "${SPREAD[@]}" -l "$t" < <(in_bursts 50 100)
	wait_for lines_in all.out 5000
	wait_for lines_in c.out 5000
	wait_for sh -c '[ "$(cat a.out b.out | wc -l)" -ge 5000 ]'
	in_parts all.out | cmp - sent
	in_parts c.out | cmp - sent
	cat a.out b.out | sort -n | cmp - sent
	[ -s a.out ]
	[ -s b.out ]
}

# bats test_tags=deliver,group,handover
@test "a member that leaves politely loses nothing of its group's" {
	t=$(topic)
	PARTS=6
	server lenient
	sub_ready a -g one "${KEEPER[@]}" --body "$t"
	sub_ready b -g one "${KEEPER[@]}" --body "$t"
	seq 60000 > sent
	mkfifo pub.in
	in_bursts 60 1000 > pub.in 3>&- & PID[feed]=$!
	start_pub pub -l "$t"
	wait_for lines_in a.out 500
	stop a
	is "$status" 0
	finish pub 30
	is "$status" 0
	wait_for -t 30 sh -c '[ "$(cat a.out b.out | sort -u | wc -l)" -ge 60000 ]'
	# What it had taken and not printed is printed by the other: missing is nothing.
	cat a.out b.out | sort -nu | cmp - sent
}

# bats test_tags=deliver,ack
@test "what was delivered and not written comes again" {
	t=$(topic)
	server lenient
	# A reader that does not read, until the pipe is full.
	mkfifo a.out
	exec 6<> a.out
	sub_ready a "${KEEPER[@]}" --body "$t"
	seq -f '%06.0f 0123456789012345678901234567890123456789' 20000 > sent
	pub_is 0 -l "$t" < sent
	sleep 0.3
	stop a KILL
	dd iflag=nonblock bs=65536 <&6 > got 2> dd.err || true
	exec 6<&-
	[ "$(wc -c < got)" -ge 30000 ]
	[ "$(wc -c < got)" -lt "$(wc -c < sent)" ]
	sub_ready b "${KEEPER[@]}" --body "$t"
	# The last line of `got` may be a part of one.
	all_came() { { cat got; echo; cat b.out; } | grep -x '.\{47\}' | sort -u | cmp -s - sent; }
	wait_for -t 20 all_came
}

# bats test_tags=deliver,keep
@test "events wait for their subscriber: from the beginning to the end" {
	t=$(topic)
	server lenient
	seq 3000 | pub -l "$t"
	sub_is 0 -o beginning -e --body "$t"
	is "$output" "$(seq 3000)"
	is "$stderr" ''
}

# bats test_tags=deliver
@test "sub -c N prints exactly N; -W and -c decide the status" {
	t=$(topic)
	server
	sub_ready some -c 10 --body "$t"
	sub_ready more -c 1000 -W 1.5 --body "$t"
	sub_ready any -W 1.5 --body "$t"
	sub_ready none -W 1 --body "$t-other"
	# Over http it is told that ten of them had one receiver less.
	seq 20 | pub -l "$t" 2> pub.err || true
	finish some
	is "$status" 0
	is "$(cat some.out)" "$(seq 10)"
	finish none
	is "$status" 124
	is "$(cat none.out)" ''
	finish more
	is "$status" 124
	is "$(cat more.out)" "$(seq 20)"
	finish any
	is "$status" 0
	is "$(cat any.out)" "$(seq 20)"
}

# bats test_tags=deliver
@test "--ready is true: an event published by it arrives, a hundred times" {
	local i t

	t=$(topic)
	server
	for ((i = 0; i < 100; i++)); do
		is "$(sub -c 1 -W 5 --body --ready "mbus pub ${OPTIONS[*]} $t $i" "$t")" $i
	done
}

# bats test_tags=deliver
@test "a sub ended in the middle ends with 0 and prints whole events in order" {
	local t s

	seq 100000 > pub.in
	server lenient
	for s in INT TERM; do
		t=$(topic)
		# What a shell starts in the background ignores SIGINT.
		start_ready sub env --default-signal=INT mbus sub "${OPTIONS[@]}" --ready-fd 8 --body "$t"
		start_pub pub -l -W 3 "$t"
		wait_for lines_in sub.out 1000
		stop sub $s
		is "$status" 0
		cmp sub.out <(head -n "$(wc -l < sub.out)" pub.in)
		finish pub 30
	done
}

# bats test_tags=deliver
@test "a pub interrupted in the middle dies of the signal, and what it says confirmed has arrived" {
	t=$(topic)
	yes x | head -n 3000000 | cat -n | tr -d '\tx ' > pub.in
	server lenient
	sub_ready sub --body "$t"
	start pub env --default-signal=INT mbus pub -v "${OPTIONS[@]}" -l "$t"
	wait_for lines_in sub.out 1000
	stop pub INT
	is "$status" 130
	counts pub.err
	none_lost sub.out
	none_twice sub.out
}

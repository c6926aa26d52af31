#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The nats broker's streams (JetStream) against nats-server. What every broker passes is
# in the battery (brokers/nats_stream.bash).

load ../lib

setup() {
	lib_setup
	export MICRO_BROKER=nats MICRO_BROKER_ADDRESS=127.0.0.1:4222
	JS=(-X nats.mode=jetstream)
}

server() {
	printf '%s\n' 'listen: "127.0.0.1:4222"' "jetstream { store_dir: \"$PWD/store\" }" > conf
	: > server.err
	start server nats-server -c conf
	wait_for grep -q 'Server is ready' server.err
}
# ask [-n N] SUBJECT [BODY]
ask() {
	local many=()

	[ "$1" != -n ] || { many=(-n "$2"); shift 2; }
	"$ROOT/tests/tools/nats_ask" "${many[@]}" 127.0.0.1:4222 "$@"
}
# stream NAME SUBJECT [FIELDS]
stream() {
	ask "\$JS.API.STREAM.CREATE.$1" "{\"name\":\"$1\",\"subjects\":[\"$2\"],\"storage\":\"file\"${3+,$3}}" > made
	has "$(cat made)" '"config"'
}

# pub_is STATUS ARG..., sub_is STATUS ARG...
pub_is() {
	run --separate-stderr timeout 20 mbus pub "${JS[@]}" "${@:2}"
	status_is "$1"
}
sub_is() {
	run --separate-stderr timeout 20 mbus sub "${JS[@]}" "${@:2}"
	status_is "$1"
}

@test "an event is confirmed by the stream, which says where it is" {
	server
	stream S 's.>'
	seq 10 > ten
	run --separate-stderr mbus pub "${JS[@]}" -v -l s.a < ten
	status_is 0
	has "$stderr" '10 confirmed' '10 events in streams, the last in S with sequence 10; 0 of them'
	pub_is 5 other x
	has "$stderr" 'other: no stream takes this subject'
	run --separate-stderr mbus pub "${JS[@]}" -J <<< $'{"topic":"s.a","body":"x"}\n{"topic":"no","body":"y"}\n{"topic":"s.b","body":"z"}'
	has "$stderr" 'stdin:2' '1 of 3 not delivered: 1 refused'
	pub_is 0 --ack none s.a x
	has "$(ask '$JS.API.STREAM.INFO.S')" '"messages":13'
	pub_is 5 --reply-to r s.a x
	has "$stderr" --reply-to
}

@test "an id makes a duplicate known; expected streams and sequences are checked by the stream" {
	server
	stream S 's.>'
	pub_is 0 -v --wire raw -H Nats-Msg-Id:7 s.a x
	has "$stderr" 'sequence 1; 0 of them'
	pub_is 0 -v --wire raw -H Nats-Msg-Id:7 s.a x
	has "$stderr" 'sequence 1; 1 of them were there already'
	pub_is 0 -v -X nats.msg_id=id -H id:7 s.a x
	has "$stderr" '1 of them were there already'
	seq 5 > five
	run -0 mbus pub "${JS[@]}" -X nats.expect_seq=1 -X nats.expect_stream=S -l s.a < five
	pub_is 1 -X nats.expect_seq=1 s.a x
	has "$stderr" 'wrong last sequence: 6'
	pub_is 1 -X nats.expect_stream=T s.a x
	has "$stderr" 'expected stream does not match'
	JS=()
	pub_is 2 -X nats.expect_seq=1 s.a x
	has "$stderr" nats.mode=jetstream
	# Beside go-micro's envelope such a header is no other form of event.
	sub_is 0 -X nats.mode=jetstream -o 2 -c 1 -J s.a
	sub_is 0 -X nats.mode=jetstream -o beginning -c 1 -J s.a
	has "$output" '"Nats-Msg-Id":"7"'
}

@test "a full stream refuses, and says why" {
	server
	stream S 's.>' '"max_msgs":3,"discard":"new"'
	seq 5 > five
	run --separate-stderr mbus pub "${JS[@]}" -v -l s.a < five
	status_is 1
	has "$stderr" 'maximum messages exceeded' '2 of 5 not delivered: 2 refused'
	sub_is 0 -o beginning -e --body s.a
	is "$output" $'1\n2\n3'
}

@test "from anywhere to the end: beginning, number, the last N, a time" {
	server
	stream S 's.>'
	seq 100 | mbus pub "${JS[@]}" -l s.a
	sleep 0.05
	t=$(date +%s%3N)
	sleep 0.05
	seq 101 200 | mbus pub "${JS[@]}" -l s.b
	sub_is 0 -o beginning -e --body 's.>'
	is "$output" "$(seq 200)"
	sub_is 0 -o 150 -e --body 's.>'
	is "$output" "$(seq 150 200)"
	sub_is 0 -o -5 -e --body 's.>'
	is "$output" "$(seq 196 200)"
	sub_is 0 -o -5 -e --body s.a
	is "$output" "$(seq 96 100)"
	sub_is 0 -o "s@$t" -e --body 's.>'
	is "$output" "$(seq 101 200)"
	sub_is 0 -o beginning -o "e@$t" -e --body 's.>'
	is "$output" "$(seq 100)"
	sub_is 0 -o beginning -c 1 -J s.b
	has "$output" '"topic":"s.b"' '"offset":101' '"ts":"append"'
	sub_is 0 -e s.none
	is "$output" ''
	sub_is 5 -e none
	has "$stderr" 'no stream has this subject'
	sub_is 5 -X nats.stream=NO -e s.a
	for o in '-o x-y' '-g a.b' '-o stored'; do
		# shellcheck disable=SC2086
		sub_is 2 $o -W 1 s.a
	done
}

@test "without -o only what comes now; nothing is left on the server" {
	server
	stream S 's.>'
	mbus pub "${JS[@]}" s.a old
	start_sub sub "${JS[@]}" --body -c 2 s.a
	seq 2 | mbus pub "${JS[@]}" -l s.a
	finish sub
	is "$(cat sub.out)" $'1\n2'
	none() { [[ $(ask '$JS.API.CONSUMER.NAMES.S') == *'"consumers":[]'* ]]; }
	wait_for none
}

@test "a group goes on where it stopped, and shares" {
	server
	stream S 's.>'
	seq 1000 | mbus pub "${JS[@]}" -l s.a
	w=(-g w -X nats.ack_wait=1s)
	sub_is 0 "${w[@]}" -o beginning -c 300 --body s.a
	is "$output" "$(seq 300)"
	start_sub a "${JS[@]}" "${w[@]}" --body s.a
	start_sub b "${JS[@]}" "${w[@]}" --body s.a
	seq 1001 3000 | mbus pub "${JS[@]}" -l s.a
	# What was on its way to the first one when it left comes when its time is over, and
	# then the server may have counted one of those that were given back twice.
	wait_for -t 20 sh -c '[ "$(sort -u a.out b.out | wc -l)" -ge 2700 ]'
	stop a
	stop b
	sort -nu a.out b.out | cmp - <(seq 301 3000)
	[ "$(cat a.out b.out | wc -l)" -le 2720 ]
	sub_is 0 "${w[@]}" -e --body s.a
	is "$output" ''
	has "$(ask '$JS.API.CONSUMER.INFO.S.w')" '"num_ack_pending":0' '"num_pending":0'
}

@test "a group that is there for another subject is no group for this one" {
	server
	stream S 's.>'
	run -0 mbus sub "${JS[@]}" -g w --check s.a
	run --separate-stderr mbus sub "${JS[@]}" -g w -W 5 s.b
	status_is 2
	has "$stderr" 'a group of this name for another subject: s.a'
}

has_taken() { ask '$JS.API.CONSUMER.INFO.S.w' | grep -q '"num_ack_pending":[1-9]'; }
@test "what a killed member did not write comes to another; what takes long is waited for" {
	server
	stream S 's.>'
	seq 20 | mbus pub "${JS[@]}" -l s.a
	start slow mbus sub "${JS[@]}" -g w -o beginning -X nats.ack_wait=600ms -c 1 -x 'sleep 2; cat >> slow.did' s.a
	# The group is its making, from the beginning, and it has its event.
	wait_for has_taken
	start_sub other "${JS[@]}" -g w --body s.a
	finish slow 20
	is "$status" 0
	wait_for lines_in other.out 19
	sleep 1
	# Nobody had it twice.
	{ cat slow.did; echo; cat other.out; } | grep . | sort -n | cmp - <(seq 20)
}

# with_ids FROM TO: events for pub -J.
with_ids() { seq "$1" "$2" | sed 's/.*/{"topic":"s.a","headers":{"Nats-Msg-Id":"&"},"body":"&"}/'; }

@test "a stream outlives its server: pub sends again by id, sub goes on" {
	server
	stream S 's.>'
	start_sub sub "${JS[@]}" --body s.a
	mkfifo feed
	mbus pub "${JS[@]}" -v --reconnect 50 --wire raw -J < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	with_ids 1 100 >&7
	wait_for lines_in sub.out 100
	kill -KILL "${PID[server]}"
	finish server 7>&-
	with_ids 101 200 >&7
	server 7>&-
	with_ids 201 300 >&7
	exec 7>&-
	finish pub 30
	is "$status" 0
	has "$(cat pub.err)" '300 confirmed'
	wait_for -t 20 lines_in sub.out 300
	is "$(cat sub.out)" "$(seq 300)"
}

@test "a stream to Redis streams, replayed from a time" {
	server
	stream S 'orders.>'
	start redis redis-server --port 6379 --save ''
	wait_for sh -c 'redis-cli ping 2>&1 | grep -q PONG'
	"$ROOT/tests/battery/events" make "$RANDOM" 200 'header null-body control' orders.x > sent
	run -0 mbus pub "${JS[@]}" --content-type none -J < sent
	mbus sub "${JS[@]}" -o beginning -e -J 'orders.>' |
		MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:6379 mbus pub -X redis.mode=stream --content-type none -J
	MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:6379 \
		mbus sub -X redis.mode=stream -o beginning -e -J orders.x > got
	"$ROOT/tests/battery/events" plain < sent > from
	"$ROOT/tests/battery/events" plain < got | cmp from -
}

@test "mbus topics shows streams, and how far their consumers are" {
	server
	stream S 's.>'
	stream T 't.>' '"num_replicas":1'
	seq 10 | mbus pub "${JS[@]}" -l s.a
	sub_is 0 -g w -o beginning -c 10 --body s.a
	seq 5 | mbus pub "${JS[@]}" -l s.a
	run -0 --separate-stderr mbus topics
	has "$output" 'S  1 partition' '[0]  1...16' 'T  1 partition' 'group w  durable' 'S  at 11, lag 5'
	run -0 --separate-stderr mbus topics -J S
	has "$output" '"type":"topic","topic":"S"' '"first":1,"end":16' '"type":"group","group":"w"' '"lag":5'
	[[ $output != *'"topic":"T"'* ]]
	run --separate-stderr mbus topics none
	status_is 5
	# More than a page.
	ask -n 260 '$JS.API.STREAM.CREATE.N@' '{"name":"N@","subjects":["n.@"],"storage":"memory"}' > many
	run -0 mbus topics
	is "$(grep -c partition <<< "$output")" 262
}

@test "a server without JetStream says so" {
	start server nats-server -a 127.0.0.1 -p 4222
	wait_for grep -q 'Server is ready' server.err
	pub_is 5 s.a x
	has "$stderr" 'no stream'
	sub_is 5 -W 5 s.a
	has "$stderr" 'no JetStream'
	run --separate-stderr mbus topics
	status_is 5
	has "$stderr" 'no JetStream'
}

@test "--regex: of all subjects of the stream those that an expression is in" {
	server
	stream S 's.>'
	printf '%s\n' s.a.x s.b.x s.a.y s.c | while read -r s; do mbus pub "${JS[@]}" "$s" "$s"; done
	sub_is 0 --regex -o beginning -e --body '^s[.](a|c)'
	is "$output" $'s.a.x\ns.a.y\ns.c'
	sub_is 0 --regex -o beginning -e --body -t 'b' -t 'y$'
	is "$(sort <<< "$output")" $'s.a.y\ns.b.x'
	# A group has passed by what it did not look for.
	sub_is 0 --regex -g g -o beginning -e --body '[.]x$'
	is "$output" $'s.a.x\ns.b.x'
	has "$(ask '$JS.API.CONSUMER.INFO.S.g')" '"num_pending":0' '"num_ack_pending":0'
	sub_is 2 -g g -o beginning -e --body s.a.x
	has "$stderr" 'another subject'
	# One that comes later.
	start_ready sub mbus sub "${JS[@]}" --regex -c 1 --body 'late$' --ready-fd 8
	mbus pub "${JS[@]}" s.early 1
	mbus pub "${JS[@]}" s.late 2
	finish sub 20
	is "$(cat sub.out)" 2
	sub_is 5 --regex -o -3 -e x
	has "$stderr" '-o -N' --regex
	JS=()
	sub_is 5 --regex x
	has "$stderr" --regex nats.mode=jetstream
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A Kafka that fails under load. What pub says, event by event, beside what the topic
# holds afterwards as kcat sees it: nothing confirmed is missing, nothing refused is
# there, nothing is there twice but where the options say that it may be. Each test
# shows its figures as a line of a table.

load ../lib
load kafka
TEST_SECONDS=240

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() {
	kafka_setup
	# The last test may have left it dead.
	! gone "$(cat "$KAFKA_DIR/pid")" || kafka_begin
	admin create "$t"
}

# feed N: numbers to stdout, 400 every 50 ms.
feed() {
	local k

	for ((k = 0; k < $1; k += 400)); do
		seq $((k + 1)) $((k + 400)) || return
		sleep 0.05
	done
}
# publish [OPTION...]: in the background, 16,000 events in over 2 s, as `pub`.
publish() {
	mkfifo feed
	mbus pub -v -l --wire raw "$@" "$t" < feed 2> pub.err 3>&- &
	PID[pub]=$!
	feed 16000 > feed 2> feed.err 3>&- &
	PID[feed]=$!
	wait_for holds 2000
}
# holds N: the topic has so many.
holds() { [ "$(admin ends "$t")" -ge "$1" ]; }
# published [SECONDS]: waits for pub's end; reads its counts and the topic.
published() {
	local line

	[ -z "${PID[pub]-}" ] || finish pub "${1-60}"
	line=$(grep -E '^mbus: pub: ([0-9]+ confirmed|stopped: |interrupted: |[0-9]+ of [0-9]+ not delivered)' pub.err | tail -n 1)
	C=0 R=0 U=0
	[[ $line =~ ([0-9]+)\ confirmed ]] && C=${BASH_REMATCH[1]}
	[[ $line =~ ([0-9]+)\ refused ]] && R=${BASH_REMATCH[1]}
	[[ $line =~ ([0-9]+)\ unknown ]] && U=${BASH_REMATCH[1]}
	[[ ! $line =~ ([0-9]+)\ of\ ([0-9]+)\ not\ delivered ]] || C=$((BASH_REMATCH[2] - BASH_REMATCH[1]))
	[ "$line" ] || fail "no counts" "$(cat pub.err)"
	wait_for -t 30 kafka_serves 9092
	consume "$t" > topic
	HAS=$(sort -u topic | wc -l)
	TWICE=$(($(wc -l < topic) - HAS))
	printf '# %-66s status %d: %5d confirmed %5d refused %5d unknown | topic %5d, twice %d\n' \
		"$BATS_TEST_DESCRIPTION" "$status" $C $R $U "$HAS" $TWICE >&3
}
# none_lost: as many as were confirmed at least, as many as may be at most; in order.
none_lost() {
	{ [ "$HAS" -ge "$C" ] && [ "$HAS" -le $((C + U)) ]; } || fail "$C confirmed, $U unknown, $HAS there" "$(cat pub.err)"
	[ "${1-}" = twice ] || [ $TWICE = 0 ] || fail "twice: $(sort topic | uniq -d | head -n 5)"
	[ "${1-}" = twice ] || sort -nc topic
}
back_after() { sleep "$1"; kafka_begin; }

@test "SIGKILL, back after 2 s, -W 30: all confirmed" {
	publish --reconnect 100 -W 30
	kafka_kill
	back_after 2
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "SIGKILL, back after 4 s, -W 1: what could not wait is counted" {
	publish --reconnect 100 -W 1
	kafka_kill
	back_after 4
	published
	[ "$status" = 1 ] || [ "$status" = 3 ]
	is $((C + R + U)) 16000
	[ $((R + U)) -gt 0 ]
	none_lost
}

@test "SIGKILL, and it stays away, -W 2: pub ends" {
	publish -W 2
	kafka_kill
	finish pub 20
	[ "$status" = 1 ] || [ "$status" = 3 ]
	kafka_begin
	published
	[ $((R + U)) -gt 0 ]
	none_lost
}

@test "SIGKILL three times, -W 60: all confirmed" {
	local k

	publish --reconnect 100 -W 60
	for k in 1 2 3; do
		kafka_kill
		kafka_begin
		sleep 0.5
	done
	published 90
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "SIGTERM and a start: all confirmed" {
	publish --reconnect 100 -W 30
	kafka_signal TERM
	wait_for gone "$(cat "$KAFKA_DIR/pid")"
	kafka_begin
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "SIGSTOP for 5 s, -W 30: all confirmed" {
	publish -W 30
	kafka_signal STOP
	sleep 5
	kafka_signal CONT
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "SIGSTOP for 5 s, -W 2: unknown, and bounded" {
	publish -W 2
	kafka_signal STOP
	sleep 5
	kafka_signal CONT
	published
	[ "$status" = 1 ] || [ "$status" = 3 ]
	[ $U -gt 0 ]
	none_lost
}

@test "SIGSTOP for 5 s, requests given up after 2 s: idempotence" {
	publish -W 30 --reconnect 100 -X socket.timeout.ms=2000
	kafka_signal STOP
	sleep 5
	kafka_signal CONT
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "the same without idempotence: some may be there twice" {
	publish -W 30 --reconnect 100 -X socket.timeout.ms=2000 -X enable.idempotence=false
	kafka_signal STOP
	sleep 5
	kafka_signal CONT
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost twice
}

@test "cut ten times, by the relay: all confirmed" {
	local k

	relay_on
	through publish --reconnect 100 -W 30
	for k in {1..10}; do
		relay cut
		sleep 0.2
	done
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "cut once, without --reconnect: all confirmed" {
	relay_on
	through publish
	relay cut
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "--reconnect no: pub and sub end with the connection, status 3" {
	relay_on
	through start_sub sub --reconnect no --body "$t"
	through publish --reconnect no -W 60
	relay refuse
	relay cut
	published 15
	is "$status" 3
	is "$(tail -n 2 pub.err | head -n 1)" 'mbus: pub: 127.0.0.1:9193: connection lost'
	[ "$HAS" -lt 16000 ]
	none_lost
	finish sub
	is "$status" 3
	is "$(cat sub.err)" 'mbus: sub: 127.0.0.1:9193: connection lost'
}

@test "--reconnect 3: so many attempts in a row, and when there was a connection they count anew" {
	local k

	relay_on
	through start_sub sub -v --reconnect 3 --body "$t"
	through publish --reconnect 3 -W 60
	for k in {1..5}; do
		relay cut
		sleep 0.2
		again() { [ "$(grep -c ' connected again' sub.err)$(grep -c ' connected again' pub.err)" = $k$k ]; }
		wait_for again
	done
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
	wait_for lines_in sub.out 16000
	cmp sub.out <(seq 16000)
	mkfifo more.in
	exec 7<> more.in
	through start more mbus pub -l --reconnect 3 -W 60 "$t"
	echo 16001 >&7
	wait_for lines_in sub.out 16001
	relay refuse
	relay cut
	echo 16002 >&7
	finish sub 15
	is "$status" 3
	has "$(cat sub.err)" 'not connected again in 3 tries'
	finish more 15
	is "$status" 3
	has "$(cat more.err)" 'not connected again in 3 tries' '1 unknown'
	exec 7>&-
}

@test "the answers are lost, -W 2: unknown" {
	relay_on
	through publish -W 2
	relay lose down
	published
	[ "$status" = 1 ] || [ "$status" = 3 ]
	[ $U -gt 0 ]
	none_lost
}

@test "--ack none: what is confirmed may be lost, as it says" {
	publish --ack none --reconnect 100 -W 30
	kafka_kill
	back_after 1
	published
	[ "$HAS" -gt 2000 ]
}

@test "a transaction, and SIGKILL, back at once: all of it" {
	publish --transaction -W 30
	kafka_kill
	kafka_begin
	published
	is "$status $C $R $U" '0 16000 0 0'
	none_lost
}

@test "a transaction, and SIGSTOP for 5 s, -W 1: nothing of it" {
	publish --transaction -W 1
	kafka_signal STOP
	sleep 5
	kafka_signal CONT
	published
	[ "$status" != 0 ]
	is "$C $HAS" '0 0'
}

@test "the broker's disk is full: it dies, and what it confirmed is there when it has room" {
	local was=$KAFKA_DIR

	mkdir disk
	mount -t tmpfs -o size=12m tmpfs disk
	kafka_kill
	KAFKA_DIR=$PWD/disk
	KAFKA_MORE=log.index.size.max.bytes=65536
	kafka_begin
	admin create "$t"
	mkfifo feed
	mbus pub -v --wire raw -l --reconnect 100 -W 3 "$t" < feed 2> pub.err 3>&- &
	PID[pub]=$!
	for k in {10001..40000}; do printf '%d %01000d\n' "$k" 0; done > feed 2> feed.err 3>&- &
	PID[feed]=$!
	wait_for -t 60 gone "$(cat disk/pid)"
	finish pub 60
	mount -o remount,size=200m disk
	kafka_begin
	published
	kafka_kill
	KAFKA_DIR=$was
	umount -l disk
	[ "$C" -gt 0 ]
	[ $((R + U)) -gt 0 ]
	none_lost
}

# ---- the subscriber ----

@test "sub lives through SIGKILL of the broker, and has every event once" {
	start_sub sub --body "$t"
	start_sub group -g "g$t" --body "$t"
	publish --reconnect 100 -W 30
	kafka_kill
	back_after 1
	published
	is "$C" 16000
	wait_for -t 30 lines_in sub.out 16000
	sort -n sub.out | cmp - <(seq 16000)
	wait_for -t 30 lines_in group.out 16000
	is "$(sort -u group.out | wc -l)" 16000
	printf '# %-58s group printed %d twice\n' "$BATS_TEST_DESCRIPTION" $(($(wc -l < group.out) - 16000)) >&3
	stop sub
	is "$status" 0
	stop group
	is "$status" 0
	committed "g$t" "$t" 16000
}

@test "sub is cut ten times by the relay, and has every event once" {
	local k

	relay_on
	through start_sub sub --body "$t"
	publish
	for k in {1..10}; do
		relay cut
		sleep 0.2
	done
	published
	wait_for -t 20 lines_in sub.out 16000
	cmp sub.out <(seq 16000)
	stop sub
	is "$status" 0
}

@test "a member is killed under load: the group prints all, the killed one's last events twice" {
	local k

	admin create "$t.g" 4
	start_sub a -g "g$t" -X session.timeout.ms=1000 -X heartbeat.interval.ms=200 --body "$t.g"
	for k in {1..30}; do
		seq $((k * 500 - 499)) $((k * 500)) | sed 's/.*/&:&/'
		sleep 0.1
	done | mbus pub -v -l -K : "$t.g" 2> pub.err 3>&- &
	PID[pub]=$!
	wait_for lines_in a.out 2000
	start_sub b -g "g$t" -X session.timeout.ms=1000 -X heartbeat.interval.ms=200 --body "$t.g"
	wait_for lines_in b.out 500
	stop b KILL || true
	# Half a line may be its last word.
	all_came() { cat a.out b.out | grep -x '[0-9]*' | sort -nu | cmp -s - <(seq 15000); }
	wait_for -t 60 all_came
	finish pub 60
	is "$status" 0
	printf '# %-58s %d twice\n' "$BATS_TEST_DESCRIPTION" "$(cat a.out b.out | sort | uniq -d | wc -l)" >&3
	stop a
	is "$status" 0
	committed "g$t" "$t.g" 15000
}

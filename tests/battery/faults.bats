#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: servers and networks that fail under load. What counts: confirmed,
# refused and unknown are all there is, and no confirmed event is lost as long as
# the server lives and the subscriber is there.

load battery

# many: numbered events on the stdin of `start_pub pub`.
MANY=100000
many() { seq $MANY > pub.in; }

# ---- the publisher's connection ----

# bats test_tags=server,cut
@test "pub is cut in the middle: status 3, nothing confirmed is lost, nothing comes twice" {
	local how

	many
	server lenient
	relay_on
	for how in rst fin; do
		t=$(topic)
		sub_ready sub --body "$t"
		through start_pub pub -l "$t"
		wait_for lines_in sub.out 2000
		relay cut $how
		finish pub
		is "$status" 3
		counts pub.err
		[ "$TAKEN" -lt $MANY ]
		none_lost sub.out
		none_twice sub.out
		cmp sub.out <(head -n "$(wc -l < sub.out)" pub.in)
		stop sub
	done
}

# bats test_tags=server,cut
@test "pub is cut at every place of the stream, in both directions" {
	local n way t bad=

	seq 2000 > pub.in
	server lenient
	relay_on
	for way in up down; do
		for n in 1 2 3 7 40 100 333 1001 4567; do
			t=$(topic)
			sub_ready sub --body "$t"
			relay cut-after $n $way
			through start_pub pub -l -W 5 "$t"
			finish pub
			relay pass
			case $status in
			3)
				# Not even connected, or all is counted.
				if grep -qE 'confirmed|not delivered|stopped' pub.err; then
					counts pub.err
				else
					CONFIRMED=0 UNKNOWN=0
				fi
				;;
			# It was all over by then.
			0) counts pub.err ;;
			*) fail "cut after $n $way: status $status" "$(cat pub.err)" ;;
			esac
			none_lost sub.out
			none_twice sub.out
			stop sub
		done
	done
}

# bats test_tags=server,reconnect
@test "pub --reconnect is cut three times: it goes on, and what it confirms has arrived" {
	local k

	t=$(topic)
	many
	server lenient
	relay_on
	sub_ready sub --body "$t"
	through start_pub pub --reconnect 5 -l "$t"
	for k in 1 2 3; do
		wait_for lines_in sub.out $((k * 10000))
		relay cut
	done
	finish pub 60
	[ "$status" = 0 ] || [ "$status" = 1 ]
	counts pub.err
	is "$TAKEN" $MANY
	none_lost sub.out
	[ "$CONFIRMED" -gt $((MANY * 9 / 10)) ]
}

# bats test_tags=server
@test "the answers are lost: unknown, never confirmed, and -W bounds it" {
	t=$(topic)
	server
	relay_on
	sub_ready sub --body "$t"
	mkfifo feed
	through mbus pub -v "${OPTIONS[@]}" "${QUICK[@]}" -l -W 1 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	seq 100 >&7
	wait_for lines_in sub.out 100
	sleep 0.2
	relay lose down
	seq 101 500 >&7
	begin=$(now_ms)
	exec 7>&-
	finish pub
	took 4000
	ran_badly
	counts pub.err
	is "$CONFIRMED" 100
	[ "$status" = 3 ] || is $((REFUSED + UNKNOWN)) 400
	[ "$UNKNOWN" -gt 0 ]
	none_lost sub.out
}

# bats test_tags=server
@test "one byte a packet, both ways" {
	t=$(topic)
	seq 200 > sent
	server
	relay_on
	relay dribble
	export MICRO_BROKER_ADDRESS=127.0.0.1:$BAD
	sub_ready sub --body -c 200 "$t"
	pub_is 0 -l "$t" < sent
	finish sub 20
	is "$status" 0
	same_bytes sent sub.out
}

# ---- the subscriber's connection ----

# bats test_tags=server,reconnect
@test "sub is cut: it subscribes again, says so once, and goes on" {
	local k

	t=$(topic)
	server lenient
	relay_on
	through sub_ready sub --body "$t"
	for k in 1 2 3; do
		pub_is 0 "$t" "before $k"
		wait_for grep -qx "before $k" sub.out
		relay cut
		# It is there again when it hears something.
		wait_for heard "$t" "again $k"
	done
	# Each time: lost, back, and perhaps what that means.
	[ "$(wc -l < sub.err)" -le 9 ] || fail "$(cat sub.err)"
	# Where that is the library's matter, it may say nothing of it.
	lacks cut || is "$(grep -c ' lost: ' sub.err) $(grep -c ' again after ' sub.err)" '3 3'
	stop sub
	is "$status" 0
}
heard() { pub "$1" "$2" && sleep 0.05 && grep -qx "$2" sub.out; }

# bats test_tags=server,reconnect,ack
@test "sub is cut under load and loses nothing, where the server keeps it" {
	local k

	t=$(topic)
	seq 50000 > pub.in
	server lenient
	relay_on
	through sub_ready sub "${KEEPER[@]}" --body "$t"
	start_pub pub -l "$t"
	for k in 1 2 3; do
		wait_for lines_in sub.out $((k * 5000))
		relay cut
	done
	finish pub 30
	is "$status" 0
	all_came() { sort -nu sub.out | cmp -s - pub.in; }
	wait_for -t 20 all_came
}

# bats test_tags=server,reconnect
@test "sub does not reconnect for ever when told so: status 3" {
	t=$(topic)
	server
	relay_on
	through sub_ready sub --reconnect 2 "$t"
	through sub_ready never --reconnect no "$t"
	relay refuse
	relay cut
	finish never
	is "$status" 3
	if lacks attempts; then return; fi
	finish sub 20
	is "$status" 3
}

# ---- the server ----

# bats test_tags=server
@test "the server stands still for a while: all is confirmed in the end, and all arrives" {
	t=$(topic)
	many
	server lenient
	sub_ready sub --body "$t"
	start_pub pub -l -W 20 "$t"
	wait_for lines_in sub.out 2000
	freeze server
	sleep 1.5
	run ! gone "${PID[pub]}"
	small pub
	thaw server
	finish pub 60
	is "$status" 0
	wait_for -t 30 lines_in sub.out $MANY
	same_bytes pub.in sub.out
}

# bats test_tags=server
@test "the server stands still for longer than -W: unknown, not confirmed, and pub ends" {
	t=$(topic)
	server lenient
	sub_ready sub --body "$t"
	mkfifo feed
	mbus pub -v "${OPTIONS[@]}" "${QUICK[@]}" -l -W 1 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	seq 2000 >&7
	wait_for lines_in sub.out 2000
	sleep 0.2
	freeze server
	seq 2001 2500 >&7
	begin=$(now_ms)
	exec 7>&-
	finish pub 20
	took 4000
	thaw server
	ran_badly
	counts pub.err
	is "$CONFIRMED" 2000
	[ "$status" = 3 ] || is $((REFUSED + UNKNOWN)) 500
	[ "$UNKNOWN" -gt 0 ]
	none_lost sub.out
}

# bats test_tags=server,cut
@test "the server is killed under load: pub says what is unknown, status 3" {
	t=$(topic)
	many
	server lenient
	sub_ready sub --reconnect no --body "$t"
	start_pub pub -l "$t"
	wait_for lines_in sub.out 2000
	kill -KILL "${PID[server]}"
	finish pub
	is "$status" 3
	counts pub.err
	[ "$TAKEN" -lt $MANY ]
	finish sub
	is "$status" 3
	# A dying server has confirmed what it did not pass on; it has not passed on more.
	[ "$(arrived sub.out)" -le $((CONFIRMED + UNKNOWN)) ]
	none_twice sub.out
}

# bats test_tags=server,reconnect
@test "the server is killed and started again: pub --reconnect and sub go on" {
	local n

	t=$(topic)
	server durable
	mkfifo feed
	sub_ready sub "${KEEPER[@]}" --body "$t"
	mbus pub -v "${OPTIONS[@]}" --reconnect 20 -l -W 10 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	seq 20000 >&7
	wait_for lines_in sub.out 20000
	kill -KILL "${PID[server]}"
	finish server
	seq 20001 30000 >&7
	sleep 0.3
	server durable 7>&-
	wait_for live "$t" 7>&-
	seq 40001 50000 >&7
	exec 7>&-
	finish pub 30
	[ "$status" -le 1 ] || fail "status $status" "$(cat pub.err)"
	counts pub.err
	is "$TAKEN" 40000
	settled sub.out
	is "$(sort -nu sub.out | awk '$1 > 0 && $1 <= 20000' | wc -l)" 20000
	# What came after both were back, and is not unknown, has arrived.
	n=$(sort -nu sub.out | awk '$1 > 40000' | wc -l)
	[ "$n" -ge $((10000 - REFUSED - UNKNOWN)) ] || fail "$n of 10000 after the restart"
}
# Both are back when sub hears a third.
live() { pub "$1" "0 $RANDOM" && sleep 0.05 && grep -q '^0 ' sub.out; }

# bats test_tags=server,reconnect,keep
@test "a server that keeps its word: what it confirmed before SIGKILL is there afterwards" {
	t=$(topic)
	# Where nothing but -W ends it, not more than that can pass in that time.
	if lacks cut; then many; else seq 3000000 > pub.in; fi
	server durable
	start_pub pub -l -W 3 "$t"
	sleep 0.5
	kill -KILL "${PID[server]}"
	finish server
	finish pub 20
	lacks cut || is "$status" 3
	counts pub.err
	server durable
	sub -o beginning -e --body "$t" > got
	none_lost got
	none_twice got
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: many events, small windows, readers that do not read.

load battery

# bats test_tags=deliver
@test "100,000 events to two subs: all, in order, and memory stays small" {
	t=$(topic)
	seq 100000 > sent
	server lenient
	sub_ready a --body -c 100000 "$t"
	sub_ready b --body "$t"
	pub_is 0 -l "$t" < sent
	finish a 60
	is "$status" 0
	wait_for -t 30 lines_in b.out 100000
	small b
	same_bytes sent a.out
	same_bytes sent b.out
}

@test "whatever the window, every event is confirmed" {
	local n w

	server lenient
	n=20000
	seq $n > sent
	for w in 1000000 100 3 1; do
		t=$(topic)
		[ $w != 1 ] || n=2000
		lacks deliver || sub_ready "sub$w" --body "$t"
		run --separate-stderr timeout 60 mbus pub -v "${OPTIONS[@]}" -l --inflight $w "$t" < <(head -n $n sent)
		status_is 0
		has "$stderr" "$n confirmed"
		lacks deliver || wait_for lines_in "sub$w.out" $n
		lacks deliver || head -n $n sent | cmp - "sub$w.out"
	done
}

# bats test_tags=deliver
@test "from topic to topic under load: the copy of 50,000 is whole" {
	t=$(topic)
	seq 50000 > sent
	server lenient
	sub_ready copied --body "$t-b"
	mkfifo a.out
	ln -s a.out pub.in
	start_pub pub -J -t "$t-b"
	sub_ready a -J -c 50000 "$t-a"
	pub_is 0 -l "$t-a" < sent
	finish a 60
	is "$status" 0
	finish pub 60
	is "$status" 0
	wait_for -t 30 lines_in copied.out 50000
	same_bytes sent copied.out
}

# bats test_tags=deliver
@test "a reader that does not read: memory stays small, then everything comes" {
	t=$(topic)
	server lenient
	mkfifo sub.out
	exec 6<> sub.out
	sub_ready sub --body "$t" 6>&-
	yes "$(printf '0123456789%.0s' {1..25})" | head -n 80000 > pub.in
	start_pub pub -l -W 60 "$t" 6>&-
	sleep 1.5
	small sub
	cat <&6 > got 3>&- & PID[cat]=$!
	exec 6>&-
	finish pub 60
	is "$status" 0
	wait_for -t 30 lines_in got 80000
	same_bytes pub.in got
	small sub
}

# bats test_tags=server
@test "a server that does not read: pub takes no more than its window, memory stays small" {
	t=$(topic)
	server
	relay_on
	mkfifo feed
	through mbus pub -v "${OPTIONS[@]}" -l -W 30 "$t" < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	echo first >&7
	sleep 0.3
	relay stall
	yes "$(head -c 999 /dev/zero | tr '\0' x)" 2> yes.err >&7 3>&- & PID[yes]=$!
	sleep 1.5
	small pub 20000
	stop yes
	exec 7>&-
	relay pass
	finish pub 30
	is "$status" 0
	# The window at most, the pipe, and what two reads take.
	counts pub.err
	[ "$TAKEN" -ge 20 ]
	[ "$TAKEN" -le $((WINDOW_KB + 3000)) ] || fail "$TAKEN events taken"
}

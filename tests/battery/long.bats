#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: what takes minutes. What it finds of memory is shown.

load battery
TEST_SECONDS=1500

# peak NAME...: the most memory each has used.
peak() {
	local name

	for name; do
		echo "# $BROKER ${OPTIONS[*]}: $name: peak $(awk '/^VmHWM/ { print $2, $3 }' "/proc/${PID[$name]}/status")" >&3
	done
}

# bats test_tags=deliver,long
@test "ten million events: all arrive, in order, in bounded memory" {
	t=$(topic)
	server lenient
	mkfifo sub.out
	cksum < sub.out > got 3>&- & PID[cksum]=$!
	sub_ready sub --body -c 10000001 "$t"
	mkfifo feed
	mbus pub -v "${OPTIONS[@]}" -l -W 60 "$t" < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	seq 10000000 >&7
	sleep 1
	peak sub pub
	small sub
	small pub
	exec 7>&-
	finish pub 600
	is "$status" 0
	counts pub.err
	is "$CONFIRMED" 10000000
	pub "$t" end
	finish sub 600
	is "$status" 0
	finish cksum
	is "$(cat got)" "$({ seq 10000000; echo end; } | cksum)"
}

# bats test_tags=server,deliver,reconnect,long
@test "cut every second for a minute: the counts stay true" {
	local k

	t=$(topic)
	server lenient
	relay_on
	sub_ready sub --body "$t"
	mkfifo feed
	through mbus pub -v "${OPTIONS[@]}" --reconnect 5 -l -W 10 "$t" < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	( n=0; while [ ! -e enough ]; do seq $((n + 1)) $((n += 1000)); done ) >&7 3>&- & PID[seq]=$!
	for ((k = 0; k < 60; k++)); do
		sleep 1
		relay cut
	done
	touch enough
	finish seq
	exec 7>&-
	finish pub 30
	[ "$status" -le 1 ]
	counts pub.err
	none_lost sub.out
	peak sub
}

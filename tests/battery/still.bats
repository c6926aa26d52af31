#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: servers that stand still, lines that are dead without a word, and what
# has happened meanwhile. What counts: the fates are true, events are whole, and
# everything ends.

load battery

setup_file() { certificates; }

numbered() { "$ROOT/tests/tools/numbered" "$@"; }
nuls_in() { [ "$(tr -dc '\0' < "$1" | wc -c)" -ge "$2" ]; }

# stood_still KIND: 100 events, the peer stands still, 6000 more of 1 to 4 KB, whose
# bodies would be commands if they were torn; 3 s later it goes on.
stood_still() {
	t=$(topic)
	! has_server || serve server "$PORT" "$1"
	numbered make "$t" 101 6100 > rest
	sub_ready sub "${BARE[@]}" "${TLS_SUB[@]}" -0 --body "$t"
	little_room
	feed "${BARE[@]}" "${TLS_PUB[@]}" -0 -W 2 --inflight 100000 "$t"
	numbered make "$t" 1 100 >&7
	wait_for nuls_in sub.out 100
	freeze "$PEER"
	cat rest >&7 7>&- 3>&- & PID[cat]=$!
	exec 7>&-
	sleep 3
	thaw "$PEER"
	finish pub 30
	ran_badly
	counts pub.err
	settled sub.out
	numbered read "$t" < sub.out > numbers || fail "of $CONFIRMED confirmed, $REFUSED refused, $UNKNOWN unknown"
	# What a subscriber was not told, because the server cut it, is not pub's fault.
	if was_cut sub; then UNKNOWN=$((UNKNOWN + CONFIRMED)) CONFIRMED=0; fi
	none_lost numbers
	unharmed
}
# Whether the server has done anything but what it was asked for.
[ "$(type -t unharmed)" ] || unharmed() { :; }

# bats test_tags=deliver
@test "the peer stands still for 3 s with -W 2: the fates are true, nothing is torn" {
	TLS_PUB=() TLS_SUB=()
	stood_still lenient
}

# bats test_tags=deliver,ends-tls
@test "the same over TLS, which takes what it has begun to take" {
	secretly
	stood_still tls
}

# bats test_tags=deliver
@test "SIGTERM to pub while the peer stands still: it ends within 3 s, at a second one at once" {
	local signals

	t=$(topic)
	server
	sub_ready sub --body "$t"
	for signals in 1 2; do
		feed -l "$t"
		echo "$signals" >&7
		wait_for grep -qx "$signals" sub.out
		sleep 0.1
		freeze "$PEER"
		echo 7 >&7
		sleep 0.3
		begin=$(now_ms)
		kill -TERM "${PID[pub]}"
		if [ $signals = 2 ]; then sleep 0.2; kill -TERM "${PID[pub]}" 2> kill.err || true; fi
		finish pub 30
		took $((signals == 2 ? 1200 : 3800))
		is "$status" 143
		exec 7>&-
		thaw "$PEER"
	done
}

# bats test_tags=deliver,gives-up
@test "the peer never comes back: pub ends soon after -W, not one window after the other" {
	t=$(topic)
	seq 101 20000 > rest
	server lenient
	sub_ready sub --body "$t"
	feed -l -W 1.5 --inflight 500 "$t"
	seq 100 >&7
	wait_for lines_in sub.out 100
	sleep 0.2		# all of them are answered
	freeze "$PEER"
	begin=$(now_ms)
	cat rest >&7 7>&- 3>&- 2> cat.err & PID[cat]=$!
	exec 7>&-
	finish pub 60
	took 5000
	ran_badly
	counts pub.err
	[ "$CONFIRMED" -ge 100 ]
	! has_server || [ "$UNKNOWN" -gt 0 ]
	thaw "$PEER"
	none_lost sub.out
}

# bats test_tags=server
@test "SIGTERM to sub while the server stands still: likewise" {
	local name group=()

	t=$(topic)
	lacks group || group=(-g "g$t")
	server
	for name in one two; do
		sub_ready $name "${KEEPER[@]}" "${group[@]}" --body "$t"
		pub_is 0 "$t" $name
		lacks deliver || wait_for grep -qx $name $name.out
		freeze server
		begin=$(now_ms)
		kill -TERM "${PID[$name]}"
		if [ $name = two ]; then sleep 0.2; kill -TERM "${PID[$name]}" 2> kill.err || true; fi
		finish $name 30
		took "$([ $name = two ] && echo 1200 || echo 3800)"
		thaw server
	done
}

# bats test_tags=deliver
@test "SIGTERM to sub while its reader stands still: it ends at an event's end" {
	t=$(topic)
	server lenient
	mkfifo sub.out
	exec 6<> sub.out
	sub_ready sub --body "$t" 6>&-
	exec 5< sub.out
	exec 6>&-
	seq -f '%06.0f 0123456789012345678901234567890123456789' 20000 > pub.in
	start_pub pub -l -W 20 "$t" 5<&-
	wait_for full 5
	kill -TERM "${PID[sub]}"
	sleep 1.2
	cat <&5 > got 3>&- & PID[cat]=$!
	exec 5<&-
	finish sub 20
	finish cat
	is "$status" 0
	[ "$(wc -l < got)" -gt 1000 ]
	cmp got <(head -n "$(wc -l < got)" pub.in)
}
# full FD: no more goes into this pipe: what is in it has not changed for a while.
full() {
	python3 - "$1" <<-'END'
		import fcntl, struct, sys, termios, time
		def held():
		    return struct.unpack("i", fcntl.ioctl(int(sys.argv[1]), termios.FIONREAD, b"\0" * 4))[0]
		n = held()
		time.sleep(0.3)
		sys.exit(not (n > 32768 and held() == n))
	END
}

# bats test_tags=server,reconnect,alive
@test "pub finds that its line is dead, with an event under way, and comes back" {
	t=$(topic)
	server
	sub_ready sub --body "$t"
	relay_on
	through feed "${ALIVE[@]}" --reconnect 10 -l -W 20 "$t"
	echo 1 >&7
	wait_for lines_in sub.out 1
	sleep 0.2
	relay dead
	begin=$(now_ms)
	echo 2 >&7
	sleep 2.5
	echo 3 >&7
	exec 7>&-
	finish pub 30
	took 9000
	[ "$status" -le 1 ] || fail "status $status"
	counts pub.err
	is "$TAKEN" 3
	[ "$CONFIRMED" -ge 2 ]
	wait_for grep -qx 3 sub.out
	none_lost sub.out
}

# bats test_tags=server,reconnect,alive
@test "sub finds that its line is dead, without a word from anybody, and comes back" {
	t=$(topic)
	server
	relay_on
	through sub_ready sub "${ALIVE[@]}" --body "$t"
	pub_is 0 "$t" before
	wait_for grep -qx before sub.out
	relay dead
	wait_for -t 15 heard "$t" again
}
heard() { pub "$1" "$2" && sleep 0.05 && grep -qx "$2" sub.out; }

# bats test_tags=server,reconnect
@test "an event whose time is over while the server is away never leaves" {
	local n

	t=$(topic)
	server durable
	sub_ready sub "${KEEPER[@]}" --body "$t"
	feed --reconnect 30 -l -W 1 "$t"
	seq 100 >&7
	wait_for lines_in sub.out 100
	sleep 0.2
	kill -KILL "${PID[server]}"
	finish server
	seq 1001 1300 >&7
	sleep 2
	server durable 7>&-
	wait_for -t 20 live "$t" 7>&-
	seq 2001 2100 >&7
	exec 7>&-
	finish pub 30
	[ "$status" -le 1 ] || fail "status $status"
	counts pub.err
	is "$TAKEN" 500
	settled sub.out
	n=$(sort -nu sub.out | awk '$1 > 1000 && $1 <= 1300' | wc -l)
	[ "$n" -le "$UNKNOWN" ] || fail "$n of 300 came after their time; $CONFIRMED confirmed, $REFUSED refused, $UNKNOWN unknown"
	n=$(sort -nu sub.out | awk '$1 > 2000' | wc -l)
	[ "$n" -ge $((100 - REFUSED - UNKNOWN)) ]
}
# Both are back when sub hears a third.
live() { pub "$1" "0 $RANDOM" && sleep 0.05 && grep -q '^0 ' sub.out; }

# bats test_tags=server,password,acl,reconnect
@test "a subscription that the server refuses when it comes back: status 4, one line says so" {
	t=$(topic)
	server users
	MBUS_PASSWORD=reader sub_ready sub --username reader --body "$t"
	stop server KILL
	server forbidden
	finish sub 20
	is "$status" 4
	# What led to it is a warning.
	is "$(grep -vc ' warning: ' sub.err)" 1
}

# bats test_tags=server,password,acl,reconnect
@test "an event that the server refuses when it comes back: status 4, counted as refused" {
	t=$(topic)
	server users
	MBUS_PASSWORD=writer feed --username writer --reconnect 20 -l -W 20 "$t"
	echo 1 >&7
	sleep 1			# it is confirmed
	stop server KILL
	server forbidden 7>&-
	echo 2 >&7
	exec 7>&-
	finish pub 30
	is "$status" 4
	counts pub.err
	is "$CONFIRMED $REFUSED $UNKNOWN" '1 1 0'
}

# ---- faults that repeat ----

# bats test_tags=server,repeats
@test "a server that hangs up whenever it is asked to subscribe: sub ends, status 3" {
	t=$(topic)
	server
	relay_on
	relay hang-up 2
	through sub_is 3 --body "$t"
	relay pass
	through sub_ready sub --body "$t"
	pub_is 0 "$t" x
	wait_for lines_in sub.out 1
	relay hang-up 2
	relay cut
	finish sub 30
	is "$status" 3
}

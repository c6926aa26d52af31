#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The memory broker, beside what the battery proves: names, patterns, back-pressure,
# drops, groups, the listing. memory_faults.bats has who dies and what is damaged.

load ../lib
load memory
TEST_SECONDS=1500			# of the long one

setup() {
	lib_setup
	rm -rf /dev/shm/mbus.*
	export MICRO_BROKER=memory
}

# ---- names and addresses ----

@test "without an address it is the user's default bus, which goes with its last user" {
	start_sub sub --body -c 2 t
	[ -e "/dev/shm/mbus.$(id -u).default/bus" ]
	run -0 mbus pub t one
	run -0 mbus pub -b default t two
	finish sub
	is "$(cat sub.out)" $'one\ntwo'
	no_bus
}

@test "buses are apart; NAME, UID/NAME and memory://NAME are the same one" {
	start_sub a -b a --body -c 3 t
	start_sub b -b b --body t
	run -0 mbus pub -b a t 1
	run -0 mbus pub -b "$(id -u)/a" t 2
	run -0 mbus pub --url memory://a t 3
	finish a
	is "$(cat a.out)" $'1\n2\n3'
	is "$(cat b.out)" ''
}

@test "another user's bus: a private one is refused (4), a shared one is used, not made" {
	local dir me

	# Where only one user is mapped (no root), there is no other.
	if ! setpriv --reuid 65534 --regid 65534 --clear-groups true; then return 0; fi
	me=$(id -u)
	dir=$(mktemp -d /tmp/mbus.XXXXXX)
	chmod 755 "$dir"
	cp "$MBUS" "$dir/mbus"
	other() {	# STATUS ARG...
		HOME=$dir XDG_CONFIG_HOME=$dir run --separate-stderr setpriv --reuid 65534 \
			--regid 65534 --clear-groups "$dir/mbus" "${@:2}" < /dev/null
		status_is "$1"
	}
	start_sub private -b private --body t
	start_sub shared -b shared -X memory.mode=666 --body t
	other 4 pub -b "$me/private" t x
	has "$stderr" private
	other 0 pub -b "$me/shared" t x
	wait_for grep -qx x shared.out
	other 5 sub -b "$me/none" -W 1 t
	other 0 sub -b "$me/shared" --body -c 1 -W 5 --ready "$dir/mbus pub -b $me/shared t y" t
	is "$output" y
	rm -rf "$dir"
	is "$(cat private.out)" ''
}

@test "an address that is none: status 2; another user's bus that is not there: 5" {
	for a in 127.0.0.1:7000 redis://x a/b/c '' ../x "$(printf 'x%.0s' {1..65})"; do
		[ "$a" ] || continue
		run --separate-stderr mbus pub -b "$a" t x
		status_is 2
		[ "$(wc -l <<< "$stderr")" = 1 ]
	done
	run --separate-stderr mbus sub -b 4711/x t
	status_is 5
	run --separate-stderr mbus pub -b 4711/x t x
	status_is 5
	no_bus
}

@test "an event without subscribers is confirmed, makes no bus, and -v says so" {
	run --separate-stderr mbus pub -v t x
	status_is 0
	has "$stderr" '1 confirmed' '1 event had no subscriber'
	no_bus
}

# ---- topics ----

@test "patterns: * is one part, > is all that follow" {
	start_sub star --body 'a.*.c'
	start_sub rest --body 'a.>'
	start_sub all --body '>'
	start_sub exact --body a.b.c
	for t in a a.b a.b.c a.x.c a.b.c.d b.b.c 'a.*x.c'; do mbus pub "$t" "$t"; done
	wait_for lines_in all.out 7
	wait_for lines_in rest.out 5
	is "$(cat star.out)" $'a.b.c\na.x.c\na.*x.c'
	is "$(cat rest.out)" $'a.b\na.b.c\na.x.c\na.b.c.d\na.*x.c'
	is "$(cat exact.out)" a.b.c
}

@test "a pattern that is none, a topic that is one: refused" {
	run --separate-stderr mbus sub -W 1 'a.>.b'
	status_is 2
	run --separate-stderr mbus pub 'a.*' x
	status_is 1
	has "$stderr" pattern
	run --separate-stderr mbus pub "$(printf 'x%.0s' {1..2049})" x
	status_is 1
	has "$stderr" 2048
}

@test "two that overlap in one sub get the event twice, two topics in one sub each their own" {
	start_sub sub -J -c 3 t '*' u.v
	mbus pub t 1
	mbus pub u.v 2
	finish sub
	is "$(grep -c '"topic":"t"' sub.out) $(grep -c '"topic":"u.v"' sub.out)" '2 1'
}

@test "time, time to live, reply topic and the rest of what -J says come through" {
	start_sub sub -J -c 2 t
	mbus pub --reply-to r -k key -H a -H a:1 t x
	mbus pub --ttl 1h t y
	finish sub
	has "$(sed -n 1p sub.out)" '"key":"key"' '"reply":"r"'
	has "$(sed -n 2p sub.out)" '"ttl":3600'
}

@test "an event whose time to live is over is not delivered" {
	start_sub sub --body -c 1 t
	kill -STOP "${PID[sub]}"
	mbus pub --ttl 1ms t old
	mbus pub t new
	sleep 0.05
	kill -CONT "${PID[sub]}"
	finish sub
	is "$(cat sub.out)" new
}

# ---- who is slow ----

@test "a subscriber that stands still: the publisher waits for -W, then it is refused, and nothing is lost" {
	start_sub sub --body t
	kill -STOP "${PID[sub]}"
	yes "$(printf '%0200d' 7)" | head -n 10000 > sent
	run --separate-stderr mbus pub -v -l -W 1 t < sent
	status_is 1
	has "$stderr" "does not keep up, pid ${PID[sub]} (mbus)" 'refused, the rest not sent'
	confirmed=$(sed -n 's/.*stopped: \([0-9]*\) confirmed.*/\1/p' <<< "$stderr")
	kill -CONT "${PID[sub]}"
	wait_for lines_in sub.out $confirmed
	sleep 0.1
	is "$(wc -l < sub.out)" $confirmed
}

@test "a publisher that is faster than its subscriber does not grow" {
	local slow='while dd bs=64K count=1 iflag=fullblock 2> dd.err | grep -q .; do sleep 0.003; done'

	yes "$(printf '%01000d' 7)" | head -n 60000 > sent
	mkfifo slow
	bash -c "$slow" < slow 3>&- & PID[reader]=$!
	mbus sub --body -c 60000 --ready-fd 8 t > slow 8> ready 3>&- & PID[sub]=$!
	wait_for test -s ready
	# The sanitizers have more than that of addresses alone.
	(case $MBUS in *build-*) ;; *) ulimit -v 50000 ;; esac; exec "$MBUS" pub -l -W 30 t < sent) 2> err
	is "$(cat err)" ''
	finish sub
}

@test "a subscriber that goes on in time: the publisher waits, and all arrives" {
	start_sub sub --body t
	kill -STOP "${PID[sub]}"
	seq 100000 > pub.in
	start pub mbus pub -l t
	sleep 0.5
	run ! gone "${PID[pub]}"
	kill -CONT "${PID[sub]}"
	finish pub
	is "$status" 0
	wait_for lines_in sub.out 100000
	same_bytes pub.in sub.out
}

@test "a slow subscriber of one topic holds up no other topic" {
	start_sub slow --body slow
	start_sub quick --body quick
	kill -STOP "${PID[slow]}"
	yes "$(printf '%0200d' 7)" | head -n 10000 > pub.in
	start pub mbus pub -l -W 5 slow
	sleep 0.2
	seq 50000 > sent
	run -0 mbus pub -l quick < sent
	wait_for lines_in quick.out 50000
	same_bytes sent quick.out
	kill -CONT "${PID[slow]}"
	finish pub
	is "$status" 0
}

# drops WHICH: a stopped subscriber that may lose events; sets `got` and `told`.
drops() {
	start_sub lossy -X "memory.drop=$1" --body t
	start_sub all --body t
	kill -STOP "${PID[lossy]}"
	seq -f '%08.0f 0123456789012345678901234567890123456789' 100000 > sent
	run -0 mbus pub -l t < sent
	wait_for lines_in all.out 100000
	same_bytes sent all.out
	kill -CONT "${PID[lossy]}"
	sleep 0.3
	stop lossy
	is "$status" 0
	got=$(wc -l < lossy.out)
	told=$(sed -n 's/.*: \([0-9]*\) events were dropped.*/\1/p' lossy.err | tail -n 1)
	# Whole events, in their order, each once.
	sort -cu lossy.out
	run ! grep -vxE '[0-9]{8} 0123456789012345678901234567890123456789' lossy.out
	is $((got + told)) 100000
}

@test "drop=new: the oldest events are kept, the rest is counted" {
	drops new
	head -n "$got" sent | cmp - lossy.out
}

@test "drop=old: the newest events are kept, the rest is counted" {
	drops old
	tail -n "$got" sent | cmp - lossy.out
}

@test "options that do not go together are refused" {
	for o in 'sub -g x -X memory.drop=old t' 'sub -X memory.drop=some t' 'sub -X memory.size=1K t' \
		'sub -X memory.take=0 t' 'sub -X memory.remove=all t' 'sub -X memory.mode=777 t' \
		'sub -X memory.again=x t' 'topics -X memory.remove=yes'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus $o -W 1
		status_is 2
		[ "$(wc -l <<< "$stderr")" = 1 ]
	done
	for o in 'pub -X memory.drop=old t x' 'pub -X memory.remove=all t x'; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus $o
		status_is 2
	done
	no_bus
}

# ---- groups ----

@test "a group keeps its place when nobody is there, and goes when its time is over" {
	run -0 mbus sub -g g --check t
	mbus pub t 1
	mbus pub t 2
	is "$(mbus sub -g g -X memory.group_keep=300ms --body -c 2 -W 5 t)" $'1\n2'
	mbus pub t 3
	sleep 0.4
	run -0 --separate-stderr mbus topics -J
	run ! grep -q '"type":"group"' <<< "$output"
	run --separate-stderr mbus sub -g g -X memory.group_keep=0 --body -W 0.3 t
	is "$status $output" '124 '
	wait_for no_bus
}

@test "a member reads all of what it has claimed, before it sleeps" {
	# More than it reads at a time, and over the end of the ring, with nothing behind
	# that would wake it up.
	start_sub ours -g g -X memory.size=1M --body t
	sent=0
	for n in 3 7 31 3 7 31 3 7 31; do
		seq -f "%.0f$(printf '%030000d' 0)" "$n" | mbus pub -l -W 5 t
		sent=$((sent + n))
		wait_for lines_in ours.out $sent
	done
	stop ours
}

@test "a kept group holds publishers up, and lets them go when it ends" {
	run -0 mbus sub -g g -X memory.group_keep=1s --check t
	begin=$(now_ms)
	yes "$(printf '%0200d' 7)" | head -n 10000 | mbus pub -l -W 10 t
	took=$(($(now_ms) - begin))
	[ $took -ge 500 ]
	[ $took -le 4000 ]
}

@test "a member that is killed: another gets what it had, at once" {
	mkfifo a.out
	exec 6<> a.out
	start_sub a -g g -X memory.size=8M --body t 6>&-
	seq 30000 > sent
	mbus pub -l t < sent
	start_sub b -g g --body t 6>&-
	stop a KILL
	exec 6<&-
	# All that a had not written; what it had, is in the pipe and gone.
	wait_for -t 5 grep -qx 30000 b.out
	is "$(sort -n b.out)" "$(seq "$(sort -n b.out | head -n 1)" 30000)"
	run -0 mbus topics
	has "$output" 'lag 0'
}

@test "a member that stands still: another gets what it had, after memory.again" {
	mkfifo a.out
	exec 6<> a.out
	start_sub a -g g -X memory.size=8M --body t 6>&-
	seq 30000 | mbus pub -l t
	start_sub b -g g -X memory.again=500ms --body t 6>&-
	# b has what a had not taken; what a holds on to is acknowledged only if b gets it.
	wait_for grep -qx 30000 b.out
	wait_for sh -c 'mbus topics | grep -q "lag 0"'
	run ! gone "${PID[a]}"
	exec 6<&-
}

# ---- the listing ----

@test "mbus topics shows buses, topics, who is attached and how far behind" {
	start_sub a --body t
	start_sub b -g workers --body t
	start_sub c -b other -X memory.drop=new --body 'x.*'
	kill -STOP "${PID[a]}"
	seq 10 | mbus pub -l t
	wait_for lines_in b.out 10
	run -0 mbus topics
	has "$output" 'at default  2 attached' 't  2 subscribers, 10 events' "pid ${PID[a]}  mbus  lag 10" \
		"pid ${PID[b]}  mbus  group workers" $'group workers  stable, 1 member\n  t  at 10, lag 0' \
		'at other  1 attached' 'x.*  1 subscriber' "pid ${PID[c]}  mbus  lag 0, 0 dropped"
	run -0 mbus topics -J
	python3 -c '
import json, sys
rows = [json.loads(l) for l in sys.stdin]
assert {r["address"] for r in rows if r["type"] == "address"} == {"default", "other"}
s = [r for r in rows if r["type"] == "subscriber" and r["pid"] == int(sys.argv[1])][0]
assert (s["topic"], s["group"], s["lag"], s["program"]) == ("t", None, 10, "mbus"), s
g = [r for r in rows if r["type"] == "group"][0]
assert g["members"] == 1 and g["places"][0]["lag"] == 0, g
' "${PID[a]}" <<< "$output"
	run -0 mbus topics -b other
	run ! grep -q default <<< "$output"
	run --separate-stderr mbus topics -b other nothing
	status_is 5
	kill -CONT "${PID[a]}"
}

@test "remove=unused removes what is left, not what is used; remove=all ends its users" {
	start_sub a -b x --body t
	start_sub b -b x -g g --body t
	run --separate-stderr mbus topics -b x -X memory.remove=unused
	status_is 1
	has "$stderr" 'in use'
	stop a KILL
	stop b KILL
	[ -e "/dev/shm/mbus.$(id -u).x" ]
	run -0 mbus topics -b x -X memory.remove=unused
	no_bus
	run --separate-stderr mbus topics -b x -X memory.remove=unused
	status_is 5
	start_sub c -b x --body t
	run -0 mbus topics -b x -X memory.remove=all
	finish c
	is "$status" 3
	has "$(cat c.err)" 'the bus x was removed'
	no_bus
}

# ---- waiting, sleeping ----

@test "--wait knows the subscribers exactly" {
	run --separate-stderr mbus pub --wait 1 -W 0.3 t x
	status_is 124
	start_sub a --body t
	start_sub dead --body t
	stop dead KILL
	start_sub other --body u
	run --separate-stderr mbus pub --wait 2 -W 0.3 t x
	status_is 124
	start pub mbus pub --wait 3 t x
	start_sub b --body t
	start_sub c --body -g g '*'
	finish pub
	is "$status" 0
	wait_for grep -qx x c.out
}

@test "a subscriber that has nothing to do uses no CPU and sets no timer" {
	start_sub a --body t
	start_sub b -g g --body t
	mbus pub t x
	wait_for grep -qx x b.out
	sleep 0.3
	switches() { awk '/voluntary/ { n += $2 } END { print n }' "/proc/${PID[$1]}/status"; }
	a=$(switches a) b=$(switches b)
	sleep 1
	[ $(($(switches a) - a)) -le 1 ]
	[ $(($(switches b) - b)) -le 1 ]
}

@test "the work queue of the examples does every job once" {
	MBUS=$MBUS "$ROOT/examples/work-queue.sh" 20 > out
	is "$(sed 's/job \([0-9]*\) done by .*/\1/' out | sort -n)" "$(seq 20)"
	grep -q ann out
	grep -q bob out
}

# bats test_tags=long
@test "ten thousand kills: nothing is lost, doubled or torn, nobody stands still" {
	run -0 env MEMORY_KILLS=10000 "$ROOT/$MBUS_TEST_BUILD/test/test_memory_kill"
	has "$output" '10000 kills' 'ok 1'
	echo "${lines[0]}" >&3
}

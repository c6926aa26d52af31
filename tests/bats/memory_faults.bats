#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The memory broker: who dies, who stands still, what is damaged, where there is no
# room. unit/memory kills at every step, unit/memory_kill at random.

load ../lib
load memory

setup() {
	lib_setup
	rm -rf /dev/shm/mbus.*
	export MICRO_BROKER=memory
	BUS=/dev/shm/mbus.$(id -u).default
}

# all_say STATUS PATTERN: pub, sub and topics end so, each with one line that has it.
all_say() {
	run --separate-stderr timeout 10 mbus pub t x
	one_line "$@"
	run --separate-stderr timeout 10 mbus sub -W 5 t
	one_line "$@"
	run --separate-stderr timeout 10 mbus topics -b default
	one_line "$@"
}
one_line() {
	status_is "$1"
	[ "$(wc -l <<< "$stderr")" = 1 ] || fail "$stderr"
	[[ $stderr == *$2* ]] || fail "not '$2': $stderr"
}

# poke OFFSET BYTES: writes into the segment.
poke() { printf '%b' "$2" | dd of="$BUS/bus" bs=1 seek="$1" conv=notrunc status=none; }

# lock_by PID: the bus is locked, by that process.
lock_by() {
	python3 - "$BUS/bus" "$1" <<-'END'
		import struct, sys
		with open(sys.argv[1], "r+b") as f:
		    for slot in range(1000):
		        f.seek(4096 + 64 * slot)
		        generation, bell, pid = struct.unpack("<IIi", f.read(12))
		        if pid == int(sys.argv[2]):
		            f.seek(64)
		            f.write(struct.pack("<I", slot + 1 | generation << 10))
		            sys.exit(0)
		sys.exit(1)
	END
}

# ---- what is no bus ----

@test "a symbolic link, a file, a folder of another user's: refused in one line" {
	ln -s /tmp "$BUS"
	all_say 3 'symbolic link'
	rm "$BUS"
	echo x > "$BUS"
	all_say 3 'not a bus'
	rm "$BUS"
	mkdir "$BUS"
	ln -s /etc/passwd "$BUS/bus"
	all_say 3 'symbolic link'
	rm "$BUS/bus"
	mkfifo "$BUS/bus"
	all_say 3 'not a file'
	rm "$BUS/bus"
	if [ "$(id -u)" = 0 ] && chown 4711 "$BUS" 2> /dev/null; then all_say 4 'belongs to user 4711'; fi
}

@test "random bytes, a cut one, another layout: refused, and remove=all removes it" {
	local k size

	start_sub sub t
	size=$(stat -c %s "$BUS/bus")
	cp --sparse=always "$BUS/bus" good
	stop sub
	mkdir "$BUS"
	head -c 100000 /dev/urandom > "$BUS/bus"
	all_say 3 'is no bus of mbus'
	for k in 1 63; do
		head -c $k good > "$BUS/bus"
		all_say 3 'is no bus of mbus'
	done
	for k in 64 5000 $((size - 1)); do
		cp --sparse=always good "$BUS/bus"
		truncate -s $k "$BUS/bus"
		all_say 3 'cut short'
	done
	cp --sparse=always good "$BUS/bus"
	poke 8 '\x02\0\0\0'
	all_say 3 'has layout 2'
	has "$stderr" 'knows layout 1'
	poke 8 '\x01\0\0\0'
	poke 16 '\x01'
	all_say 3 'do not add up'
	run -0 mbus topics -b default -X memory.remove=all
	no_bus
	# One that was not finished is made anew.
	mkdir "$BUS"
	truncate -s 100000 "$BUS/bus"
	start_sub sub --body -c 1 t
	run -0 mbus pub t x
	finish sub
	is "$(cat sub.out)" x
}

@test "any byte of a bus in use may change: an end with a line, never a crash or a hang" {
	local k at

	for ((k = 0; k < 25; k++)); do
		start_sub sub --body t
		start_sub member -g g -X memory.group_keep=0 --body t
		run -0 mbus pub t before
		at=$((RANDOM % 2 ? 64 + RANDOM * 4 % 120000 : 0x$(printf %x $((4096 * (RANDOM % 30) + RANDOM % 512)))))
		head -c 64 /dev/urandom | dd of="$BUS/bus" bs=1 seek=$((at > 64 ? at : 64)) conv=notrunc status=none
		run --separate-stderr timeout 20 mbus pub -W 0.5 t after
		[ "$status" -lt 124 ] || fail "pub: $status after bytes at $at" "$stderr"
		for n in sub member; do
			if gone "${PID[$n]}"; then finish $n; else stop $n; fi
			# 143: it was about to end when SIGTERM came.
			[ "$status" -lt 124 ] || [ "$status" = 143 ] || fail "$n: $status after bytes at $at" "$(cat $n.err)"
		done
		rm -rf "$BUS"
	done
}

@test "a bus that is cut short while it is used: a line and status 6, no SIGBUS" {
	start_sub sub --body t
	truncate -s 4096 "$BUS/bus"
	run --separate-stderr timeout 10 mbus pub t x
	one_line 3 'cut short'
	kill -TERM "${PID[sub]}"
	finish sub
	[ "$status" -le 6 ] || fail "status $status" "$(cat sub.err)"
}

# ---- who stands still ----

@test "a process that is stopped with the lock: refused after -W, and both name its pid" {
	start_sub still t
	start_sub sub --body u
	kill -STOP "${PID[still]}"
	lock_by "${PID[still]}"
	begin=$(now_ms)
	run --separate-stderr mbus pub -W 0.5 u x
	one_line 1 "locked by pid ${PID[still]}"
	[ $(($(now_ms) - begin)) -le 3000 ]
	run -0 mbus topics
	has "$output" "locked by pid ${PID[still]}"
	# It dies: whoever comes next has the lock in milliseconds.
	stop still KILL
	begin=$(now_ms)
	run -0 mbus pub -W 10 u y
	[ $(($(now_ms) - begin)) -le 2000 ]
	wait_for grep -qx y sub.out
	is "$(cat sub.out)" y
}

@test "a subscriber is killed while a publisher waits for it: that goes on at once" {
	start_sub slow --body t
	start_sub sub --body t
	kill -STOP "${PID[slow]}"
	seq 200000 > pub.in
	start pub mbus pub -l -W 30 t
	sleep 0.5
	run ! gone "${PID[pub]}"
	kill -KILL "${PID[slow]}"
	finish pub 10
	is "$status" 0
	wait_for lines_in sub.out 200000
	same_bytes pub.in sub.out
}

@test "a reader in another pid namespace: alive it is waited for, dead it is not" {
	mkfifo ready
	unshare -pf --kill-child --mount-proc "$MBUS" sub --ready-fd 8 --body t 8> ready > far.out 2> far.err 3>&- &
	PID[far]=$!
	read -r _ < ready
	start_sub near --body t
	run -0 mbus topics
	has "$output" 'another pid namespace' 't  2 subscribers'
	seq 200000 > pub.in
	run -0 mbus pub -l t < pub.in
	wait_for lines_in far.out 200000
	# The one there, seen from here.
	inner=$(pgrep -P "${PID[far]}")
	kill -STOP "$inner"
	start pub mbus pub -l -W 30 t
	sleep 0.5
	run ! gone "${PID[pub]}"
	kill -KILL "$inner"
	finish pub 10
	is "$status" 0
	wait_for lines_in near.out 400000
}

@test "pids that are given again: a dead member's are not taken for it" {
	local k

	# Pids are few in here: the kernel gives them again at once.
	unshare -pf --kill-child --mount-proc sh -c '
		echo 40 > /proc/sys/kernel/ns_last_pid
		exec 9> /dev/null
		mbus sub --body -c 1 -W 20 t > one.out & a=$!
		sleep 0.3; kill -KILL $a; wait $a
		for k in 1 2 3 4 5; do echo $((a - 1)) > /proc/sys/kernel/ns_last_pid; mbus topics > list.$k; done
		echo $((a - 1)) > /proc/sys/kernel/ns_last_pid
		mbus sub --body -c 1 -W 20 t > two.out & b=$!
		echo "$a $b" > pids
		sleep 0.3
		mbus pub t x
		wait $b' 2> sh.err
	is "$(cat two.out)" x
	read -r a b < pids
	is "$b" "$a"
	is "$(cat one.out)" ''
}

# ---- no room ----

@test "a /dev/shm of 1 MiB: what fits works, what does not is said, no SIGBUS" {
	local t n=0

	mount -t tmpfs -o size=1m tmpfs /dev/shm
	start_sub sub --body t
	# More topics than there is room for.
	for t in {1..20}; do
		run --separate-stderr mbus sub --check "x$t" "y$t"
		[ "$status" = 0 ] || break
		start_sub "s$t" --body "x$t"
		n=$t
	done
	[ "$n" -ge 3 ] || fail "only $n: $stderr"
	[ "$n" -lt 20 ]
	one_line 6 'No space left on device'
	# A ring that cannot grow works as it is.
	seq 100000 > sent
	run -0 mbus pub -l t < sent
	wait_for lines_in sub.out 100000
	same_bytes sent sub.out
	# A body that does not fit waits for room, then it is refused; the rest works.
	head -c 2000000 /dev/urandom > big
	run --separate-stderr mbus pub -W 0.5 -f big t
	one_line 1 'No space left on device'
	run -0 mbus pub t small
	wait_for grep -qx small sub.out
	umount -l /dev/shm
}

@test "a full /dev/shm: status 6, nothing is left" {
	mount -t tmpfs -o size=64k tmpfs /dev/shm
	run --separate-stderr mbus sub -W 5 t
	one_line 6 'No space left on device'
	no_bus
	umount -l /dev/shm
}

@test "a /dev/shm of 64 MiB: 16 MiB bodies, more of them than fit at once" {
	mount -t tmpfs -o size=64m tmpfs /dev/shm
	head -c 16777216 /dev/urandom > big
	start_sub sub --raw -c 8 t
	run -0 mbus pub -W 60 -f big -f big -f big -f big -f big -f big -f big -f big t
	finish sub 60
	is "$(cksum < sub.out)" "$(cat big big big big big big big big | cksum)"
	no_bus
	umount -l /dev/shm
}

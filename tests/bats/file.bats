#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The file registry: its directory, its files, and what is made of files that are
# old, broken, or somebody else's.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	lib_setup
	mkdir -m 700 run
	export XDG_RUNTIME_DIR=$PWD/run MICRO_REGISTRY=file
	D=$PWD/run/mbus/registry
}

# watch NAME ARG...: a mbus registry watch that watches.
watch() {
	start "$1" mbus registry -v watch "${@:2}"
	wait_for grep -q watching "$1.err"
}

# nodes: how many files of nodes there are; hidden: and others.
nodes() {
	find "$D" -name '*.node' | wc -l
}
hidden() {
	find "$D" -type f ! -name '*.node' | wc -l
}

get() {
	run --separate-stderr mbus registry get "$@" micro.http.broker
}

# one TOPIC: a subscriber of one dialect, so that it has one file; sets FILE.
one() {
	start_sub "$1" -X dialect=new "$1"
	FILE=$(grep -l "\"topic\":\"$1\"" "$D"/*.node)
}

# no_multicast COMMAND...: where no interface is up, and mdns would fail.
no_multicast() {
	unshare -n "$@"
}

@test "pub and sub meet by way of files, and a one-shot publisher waits for nobody" {
	local t i

	start_sub s --body -c 12 t.x
	is "$(nodes)" 2
	run --separate-stderr mbus pub t.x hello
	status_is 0
	is "$stderr" ""
	seq 10 | mbus pub -l t.x
	run --separate-stderr mbus pub -v nobody.here x
	status_is 5
	has "$stderr" "nobody subscribes"
	mbus pub t.x bye
	finish s
	is "$status" 0
	is "$(cat s.out)" "$(echo hello; seq 10; echo bye)"
	is "$(nodes) $(hidden)" "0 0"
}

@test "neither multicast nor an interface is needed to look up" {
	run --separate-stderr no_multicast mbus registry list
	status_is 0
	is "$output" ""
	is "$stderr" "mbus: registry: warning: no service is registered (file)"
	[ ! -e run/mbus ] || fail "a lookup made the directory"
	run --separate-stderr no_multicast mbus registry --registry mdns list
	status_is 3
}

@test "a node's address is an IP address: no name is looked up, no Unix socket connected to" {
	local a

	start bait python3 -c 'import socket
s = socket.socket(socket.AF_UNIX)
s.bind("bait")
s.listen()
open("baited", "w")
s.accept()
print("bitten")'
	wait_for [ -e baited ]
	one t
	for a in "unix:$PWD/bait" "$PWD/bait" localhost:80 127.0.0.1 127.0.0.1:http; do
		sed -i "s|\"address\":\"[^\"]*\"|\"address\":\"$a\"|" "$FILE"
		run --separate-stderr mbus pub t x
		status_is 3
		is "$stderr" "mbus: pub: t: $a: a node's address that is no IP address and port"
	done
	run ! gone "${PID[bait]}"
	is "$(cat bait.out)" ""
}

@test "--wait sees the subscriber come" {
	start p mbus pub --wait 2 t.x hello
	sleep 0.2
	start_sub a --body -c 1 t.x
	start_sub b --body -c 1 t.x
	finish p
	is "$status" 0
	finish a
	finish b
	is "$(cat a.out b.out)" "hello
hello"
}

# -W bounds the waiting, and each event; not a run that has begun.
@test "--wait is over when they are there, however long the run is" {
	start_sub a --body t.x
	run --separate-stderr mbus pub --wait 1 -W 600ms -l t.x < <(echo 1; sleep 1.2; echo 2)
	is "$status" 0
	wait_for lines_in a.out 2
}

@test "a subscriber of one dialect is found beside others of both" {
	start_sub a --body -c 1 t.x
	start_sub b --body -c 1 -X dialect=old t.x
	start_sub c --body -c 1 -X dialect=new t.x
	mbus pub t.x hello
	for s in a b c; do
		finish $s
		is "$(cat $s.out)" hello
	done
}

@test "list and get, sorted; -J; empty is no error for list and 5 for get" {
	run --separate-stderr mbus registry list
	status_is 0
	is "$output" ""
	get
	status_is 5
	start_sub a -g two t.x
	start_sub b t.y
	run --separate-stderr mbus registry list
	is "$output" "go.micro.http.broker
micro.http.broker"
	get
	status_is 0
	matches "$output" "micro.http.broker  ff.http.broadcast  t.y-[0-9a-f-]{36}  127.0.0.1:[0-9]+  broker=http mbus.ports=[0-9]+,[0-9]+ secure=false topic=t.y
micro.http.broker  two  t.x-[0-9a-f-]{36}  127.0.0.1:[0-9]+  broker=http mbus.ports=[0-9]+,[0-9]+ secure=false topic=t.x"
	get -J
	is "$(wc -l <<< "$output")" 2
	python3 -c 'import json,sys; [json.loads(l) for l in sys.stdin]' <<< "$output"
}

@test "a file is go-micro's JSON of a service, and only its user can read it" {
	one s
	is "$(stat -c %a run/mbus run/mbus/registry "$FILE" | paste -sd ' ')" "700 700 600"
	python3 - "$FILE" "${PID[s]}" <<- 'END'
	import json, sys, os
	s = json.load(open(sys.argv[1]))
	n, = s["nodes"]
	assert list(s)[:5] == ["name", "version", "metadata", "endpoints", "nodes"], s
	assert list(n) == ["metadata", "id", "address"], n
	assert s["name"] == "micro.http.broker" and s["version"] == "ff.http.broadcast"
	assert n["metadata"] == {"broker": "http", "secure": "false", "topic": "s"}
	assert s["ttl_ms"] == 60000 and s["pid"] == int(sys.argv[2])
	assert s["pid_start"] == int(open("/proc/%s/stat" % sys.argv[2]).read().rsplit(")")[-1].split()[19])
	assert s["pid_ns"] == os.stat("/proc/self/ns/pid").st_ino
	END
}

@test "any topic: long, with slashes and dots, quotes, controls, and what is not ASCII" {
	local topic i=0

	for topic in ../../etc/passwd . / 'a"b\c' $'a\nb\tc\x01' 'ünïcode 中' "$(head -c 25000 /dev/zero | tr '\0' x)"; do
		i=$((i + 1))
		start_sub "s$i" --body -c 1 "$topic"
		mbus pub "$topic" "event $i"
		finish "s$i"
		is "$(cat "s$i.out")" "event $i"
	done
	is "$(nodes) $(hidden)" "0 0"
}

@test "watch: create, update, delete, with the node that went" {
	local id

	watch w micro.http.broker
	one s
	id=$(grep -o '"id":"[^"]*' "$FILE" | cut -d '"' -f 4)
	wait_for lines_in w.out 1
	sed 's/127.0.0.1:[0-9]*/127.0.0.9:9/' "$FILE" > new
	mv new "$FILE"
	wait_for lines_in w.out 2
	rm "$FILE"
	wait_for lines_in w.out 3
	matches "$(cat w.out)" "create  micro.http.broker  ff.http.broadcast  $id  127.0.0.1:[0-9]+
update  micro.http.broker  ff.http.broadcast  $id  127.0.0.9:9
delete  micro.http.broker  ff.http.broadcast  $id  127.0.0.9:9"
	stop w
	is "$status" 0
}

# Its sweep, each two seconds, looks at how old a file may be.
@test "a watch leaves living nodes alone" {
	start_sub a t.x
	watch w micro.http.broker
	sleep 4.5
	is "$(cat w.out)" ''
	is "$(mbus registry list -q | wc -l)" 2
	mbus pub t.x hello
	wait_for grep -q hello a.out
}

@test "watch tells of killed and expired nodes, and survives the directory's removal" {
	watch w micro.http.broker
	one a
	wait_for lines_in w.out 1	# who is killed before that was never there
	stop a KILL
	wait_for lines_in w.out 2
	has "$(tail -n 1 w.out)" "delete  micro.http.broker  ff.http.broadcast  a-"
	one b
	wait_for lines_in w.out 3
	touch -d '2 minutes ago' "$FILE"
	wait_for lines_in w.out 4
	has "$(tail -n 1 w.out)" "delete  micro.http.broker  ff.http.broadcast  b-"
	is "$(nodes)" 0
	rm -rf run/mbus
	wait_for [ -d "$D" ]
	one c
	wait_for lines_in w.out 5
	has "$(tail -n 1 w.out)" "create  micro.http.broker  ff.http.broadcast  c-"
}

@test "who was killed is ignored at once, and the file is removed" {
	one s
	stop s KILL
	is "$(nodes)" 1
	run --separate-stderr mbus pub -v s hello
	status_is 5
	has "$stderr" "$FILE is ignored: its process has ended" "$FILE is removed"
	is "$(nodes)" 0
}

@test "a killed process that nobody has waited for is dead, too" {
	start parent bash -c 'mbus sub -X dialect=new s & echo $!; exec sleep 100'
	wait_for lines_in parent.out 1
	wait_for sh -c 'mbus registry get micro.http.broker > found'
	kill -KILL "$(cat parent.out)"
	wait_for gone "$(cat parent.out)"
	get -v
	status_is 5
	has "$stderr" "its process has ended"
}

@test "in a pid namespace that /proc does not show, only time counts" {
	start s unshare -p --fork --kill-child mbus sub -X dialect=new s
	wait_for sh -c "ls $D | grep -q node"
	FILE=$(echo "$D"/*.node)
	has "$(cat "$FILE")" '"pid_ns":0}'
	get
	status_is 0
	touch -d '61 seconds ago' "$FILE"
	get
	status_is 5
}

@test "a pid that is another process by now is told by its start; its own namespace counts" {
	one s
	cp "$FILE" kept
	stop s KILL
	rm -f "$FILE"
	# As if this shell had the pid.
	sed "s/\"pid\":[0-9]*/\"pid\":$$/" kept > "$FILE"
	get -v
	status_is 5
	has "$stderr" "its process has ended"
	# Of another pid namespace nothing is known, until its time is over.
	sed 's/"pid_ns":[0-9]*/"pid_ns":1/' kept > "$FILE"
	get
	status_is 0
	touch -d '59 seconds ago' "$FILE"
	get
	status_is 0
	touch -d '61 seconds ago' "$FILE"
	get -v
	status_is 5
	has "$stderr" "its time to live is over"
	sed 's/"pid_ns":[0-9]*/"pid_ns":1/' kept > "$FILE"
	touch -d '61 seconds' "$FILE"
	get
	status_is 5
	is "$(nodes)" 0
}

# bats test_tags=long
@test "a node that lives stays: touched every 30 s, and back when its file was removed" {
	local before

	one s
	before=$(stat -c %Y "$FILE")
	sleep 32
	[ "$(stat -c %Y "$FILE")" -gt "$before" ] || fail "not touched"
	rm "$FILE"
	wait_for -t 35 [ -e "$FILE" ]
	sleep 5
	get
	status_is 0
	stop s
	is "$(nodes)" 0
}

@test "what is half written or foreign is ignored, with the reason; nothing is followed" {
	local name other

	one s
	name=${FILE##*/}
	cp "$FILE" good
	stop s
	try() {
		get -v
		status_is 5
		has "$stderr" "$FILE is ignored: $1"
		rm -f "$FILE"
	}
	: > "$FILE"; try "not JSON"
	head -c 100 good > "$FILE"; try "not JSON"
	echo '[]' > "$FILE"; try "not an object"
	sed 's/ff.http/xx.http/' good > "$FILE"; try "its name is not that of its node"
	printf '\377' > "$FILE"; try "not UTF-8"
	truncate -s 1048577 "$FILE"; try "it is over 1 MiB"
	ln -s "$PWD/good" "$FILE"; try "it is a link"
	mkfifo "$FILE"; try "it is no regular file"
	mkdir "$FILE"
	get -v
	has "$stderr" "it is no regular file"
	rmdir "$FILE"
	# Names that are no node's are not even opened.
	mkfifo "$D/x.node" "$D/.hidden"
	run --separate-stderr mbus registry list -v
	status_is 0
	lacks "$stderr" ignored
}

# lacks TEXT WORD
lacks() {
	[[ $1 != *"$2"* ]] || fail "this should not be there: $2" "$1"
}

@test "what a killed writer left is removed when it is old" {
	mkdir -m 700 run/mbus "$D"
	: > "$D/.tmp-0123456789abcdef"
	: > "$D/.tmp-fedcba9876543210"
	touch -d '2 minutes ago' "$D/.tmp-fedcba9876543210"
	mbus registry list
	is "$(cd "$D" && echo .tmp-*)" .tmp-0123456789abcdef
}

@test "files are seen whole: readers beside writers that come and go" {
	local i

	start churn bash -c 'for i in 1 2 3 4 5 6 7 8 9 10; do
		mbus sub -W 0.05 -q a b c d e f & mbus sub -W 0.05 -q a b c d e f; wait; done; true'
	while ! gone "${PID[churn]}"; do
		mbus registry get -v micro.http.broker >> out 2>> err || true
	done
	lacks "$(cat err)" "is ignored: not"
	wait_for sh -c "[ \$(ls -A '$D' | wc -l) = 0 ]"
}

@test "--registry-address: a directory with a slash in it; made when a node is registered" {
	run --separate-stderr mbus registry --registry-address reg list
	status_is 2
	has "$stderr" "--registry-address reg" "./reg"
	run --separate-stderr mbus registry --registry-address ./reg list
	status_is 0
	[ ! -e reg ]
	MICRO_REGISTRY_ADDRESS=$PWD/reg start_sub s --body -c 1 t.x
	is "$(stat -c %a reg)" 700
	run --separate-stderr mbus pub t.x hello
	status_is 5
	mbus pub --registry-address ./reg/ t.x hello
	finish s
	is "$(cat s.out)" hello
	run --separate-stderr mbus sub --registry-address ./no/where t.x
	status_is 6
	has "$stderr" "cannot make ./no/where"
	: > plain
	run --separate-stderr mbus registry --registry-address ./plain list
	status_is 6
	has "$stderr" ./plain
}

@test "a directory that others may write to is refused, a sticky one is taken" {
	mkdir -m 777 open
	run --separate-stderr mbus sub --registry-address ./open t.x
	status_is 6
	has "$stderr" "./open" "chmod +t"
	chmod 1777 open
	export MICRO_REGISTRY_ADDRESS=$PWD/open
	D=$PWD/open
	umask 077
	one s
	# Whoever may read the directory may read the files.
	is "$(stat -c %a "$FILE")" 644
	unset MICRO_REGISTRY_ADDRESS
	chmod 770 run
	run --separate-stderr mbus registry list
	status_is 6
	has "$stderr" XDG_RUNTIME_DIR "$PWD/run" "chmod 700" "--registry-address"
	chmod 700 run
	mkdir -m 700 run/mbus elsewhere
	ln -s ../../elsewhere run/mbus/registry
	run --separate-stderr mbus sub t.x
	status_is 6
	has "$stderr" "run/mbus/registry is a link"
	XDG_RUNTIME_DIR=$PWD/nowhere run --separate-stderr mbus sub t.x
	status_is 6
	has "$stderr" "XDG_RUNTIME_DIR=$PWD/nowhere" "--registry-address"
	XDG_RUNTIME_DIR=run run --separate-stderr mbus sub t.x
	status_is 2
	has "$stderr" "absolute"
}

# users: a place that all users can reach, with the binary; `as N COMMAND...`: as the
# user of that number. In the namespace of a user who is not root there is but one.
users() {
	as 1001 true 2> /dev/null || skip "only root can become another user"
	mount -t tmpfs -o mode=755 tmpfs /mnt
	cp "$MBUS" /mnt/mbus
	cd /mnt || return
	MBUS=/mnt/mbus
	unset XDG_RUNTIME_DIR
}
as() {
	setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"
}

@test "two users see each other in a directory that they share, and only there" {
	users
	mkdir -m 1777 shared
	mkdir -m 700 one two
	chown 1001 one
	chown 1002 two
	start a setpriv --reuid 1001 --regid 1001 --clear-groups \
		env XDG_RUNTIME_DIR=/mnt/one ./mbus sub --body own
	start b setpriv --reuid 1001 --regid 1001 --clear-groups \
		./mbus sub --body -c 1 --registry-address /mnt/shared t.x
	wait_for sh -c 'ls one/mbus/registry shared | grep -c node | grep -q 4'
	run --separate-stderr as 1002 env XDG_RUNTIME_DIR=/mnt/two ./mbus pub own x
	status_is 5
	run --separate-stderr as 1002 env XDG_RUNTIME_DIR=/mnt/one ./mbus registry list
	status_is 6
	has "$stderr" "XDG_RUNTIME_DIR=/mnt/one cannot be opened"
	# root can open it, and is told that it is another's.
	XDG_RUNTIME_DIR=/mnt/one run --separate-stderr ./mbus registry list
	status_is 6
	has "$stderr" "/mnt/one belongs to user 1001, not to you (0)"
	run --separate-stderr as 1002 ./mbus pub --registry-address /mnt/shared t.x hello
	status_is 0
	finish b
	is "$(cat b.out)" hello
}

@test "in a shared directory: stale files of others are ignored, not removed; theirs stay theirs" {
	local file

	users
	mkdir -m 1777 shared
	export MICRO_REGISTRY_ADDRESS=/mnt/shared
	start a setpriv --reuid 1001 --regid 1001 --clear-groups ./mbus sub -X dialect=new t.x
	wait_for sh -c 'ls shared | grep -q node$'
	file=$(echo shared/*.node)
	kill -KILL "${PID[a]}"
	wait_for gone "${PID[a]}"
	run --separate-stderr as 1002 ./mbus registry -v get micro.http.broker
	status_is 5
	has "$stderr" "its process has ended"
	[ -e "$file" ]
	as 1001 ./mbus registry list
	[ ! -e "$file" ]
	# A group could replace the files of others, but for the user's own group.
	chmod 2770 shared
	chgrp 1234 shared
	run --separate-stderr ./mbus registry list
	status_is 6
	has "$stderr" "group 1234 may remove the files of others in /mnt/shared: chmod +t it"
	chgrp "$(id -g)" shared
	./mbus registry list
	chmod 1777 shared
	# A link that another user made is not followed, neither to a file nor to a folder.
	mkdir -m 700 private
	as 1001 ln -s /mnt/private shared/link
	run --separate-stderr ./mbus sub --registry-address /mnt/shared/link t.x
	status_is 6
	has "$stderr" "/mnt/shared/link is a link that user 1001 made"
	ln -s /mnt/private own
	start_ready r ./mbus sub --ready-fd 8 --registry-address ./own t.x
	is "$(find private -name '*.node' | wc -l)" 2
}

@test "without XDG_RUNTIME_DIR: /run/user/UID, else /tmp/mbus-UID, if they are the user's" {
	users
	cat > script <<- 'END'
	set -eu
	mount -t tmpfs -o mode=755 tmpfs /run
	mount -t tmpfs -o mode=1777 tmpfs /tmp
	registered() { /mnt/mbus sub -W 10 -c 1 --body t --ready "find /run /tmp -name '*.node' -printf '%h\n' | sort -u >&2; /mnt/mbus pub t x" > /dev/null; }
	registered
	mkdir -p -m 700 /run/user/0
	registered
	rm -rf /run/user /tmp/mbus-0
	mkdir -m 700 /tmp/mbus-0
	chown 1001 /tmp/mbus-0
	registered || echo "status $?" >&2
	rmdir /tmp/mbus-0
	ln -s /mnt /tmp/mbus-0
	registered || echo "status $?" >&2
	END
	run --separate-stderr unshare -m bash script
	is "$stderr" "/tmp/mbus-0/registry
/run/user/0/mbus/registry
mbus: sub: t: file registry: /tmp/mbus-0 belongs to user 1001, not to you (0); --registry-address DIR names another
status 6
mbus: sub: t: file registry: /tmp/mbus-0 is a link or no directory: remove it; --registry-address DIR names another
status 6"
}

@test "a full disk and a directory that may not be written to are said" {
	mount -t tmpfs -o size=4k,mode=700 tmpfs /mnt
	head -c 4096 /dev/zero > /mnt/full || true
	run --separate-stderr mbus sub --registry-address /mnt t.x
	status_is 6
	has "$stderr" "cannot write to /mnt" "No space left"
	is "$(find /mnt -name '.tmp*' | wc -l)" 0
	rm /mnt/full
	mount -o remount,ro /mnt
	run --separate-stderr mbus sub --registry-address /mnt t.x
	status_is 6
	has "$stderr" "cannot write to /mnt" "Read-only"
	run --separate-stderr mbus registry --registry-address /mnt list
	status_is 0
}

@test "nothing falls back: what is not in the directory is not found elsewhere, nor by mdns" {
	MICRO_REGISTRY=mdns start_sub s t.x
	run --separate-stderr mbus pub t.x hello
	status_is 5
	MICRO_REGISTRY=mdns mbus pub t.x hello
}

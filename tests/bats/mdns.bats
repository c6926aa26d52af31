# SPDX-License-Identifier: Apache-2.0
# The mdns registry: its packets, and where it works. Hosts are namespaces.

bats_require_minimum_version 1.5.0
load ../lib

FAKE="$ROOT/tests/bats/mdns_fake.py"

# nowhere GREP-ARG...: no line matches.
nowhere() {
	if grep "$@"; then fail "this should not be there: $*"; fi
}

# fake NAME [on HOST] ARG...: a responder, or a listener, that is ready.
fake() {
	local name=$1 where=()

	shift
	if [ "$1" = on ]; then where=(on "$2"); shift 2; fi
	start "$name" "${where[@]}" python3 "$FAKE" "$@"
	wait_for lines_in "$name.out" 1
}

# hex TEXT
hex() {
	printf %s "$1" | od -An -vtx1 | tr -d ' \n'
}

get() {
	run --separate-stderr mbus registry get "$@"
}

# ---- packets ----

@test "a lookup sends go-micro's query, and once more when nobody answers" {
	fake net listen
	get micro.http.broker
	wait_for lines_in net.out 3
	sleep 0.1
	sed -n 2,3p net.out | while read -r _ source packet; do
		matches "$packet" "....00000001000000000000056d6963726f04687474700662726f6b6572056d6963726f00000c0001"
		matches "$source" "127.0.0.1:[0-9]+"
		[[ $source != *:5353 ]] || fail "from port 5353"
	done
	is "$(wc -l < net.out)" 3
}

announcements() { grep ":5353 000080000000000300000000.*00210001000000780" net.out; }
announced() { [ "$(announcements | wc -l)" -ge "$1" ]; }

@test "a node is answered for at once, then probed for three times and announced at 0, 1, 3 s" {
	local probes announcements goodbyes t

	fake net listen
	start_sub s -X dialect=new t.x
	get micro.http.broker
	status_is 0
	matches "$output" "micro.http.broker  ff.http.broadcast  t.x-[0-9a-f-]{36}  127.0.0.1:[0-9]+  broker=http secure=false topic=t.x"
	wait_for announced 3
	stop s
	wait_for grep -q " [0-9a-f]\{24\}.*0021000100000000" net.out
	# A probe: the instance's PTR asked for, SRV (0 0 port) and TXT in the authority section.
	probes=$(grep -c ":5353 ....000000010000000200000174" net.out)
	is "$probes" 3
	is "$(grep -o ":5353 ....000000010000000200000174.*" net.out | sort -u | wc -l)" 1
	announcements=$(announcements | cut -d ' ' -f 1)
	is "$(wc -w <<< "$announcements")" 3
	# shellcheck disable=SC2086
	set -- $announcements
	# Not sooner. Late is a matter of the machine's load, too.
	[ $(($2 - $1)) -ge 950 ] || fail "$announcements"
	[ $(($3 - $2)) -ge 1950 ] || fail "$announcements"
	is "$(grep -c ":5353 000080000000000300000000.*0021000100000000" net.out)" 1
	# From loopback only: the node is of no use to others.
	nowhere -v " 127.0.0.1:" <(tail -n +2 net.out)
}

@test "v1's answers, without the question, are heard" {
	fake one answer --no-echo --id v1
	get greeter
	status_is 0
	has "$output" "greeter  1.0  v1  127.0.0.1:9000"
}

@test "a lost query is made good within the 100 ms" {
	fake one answer --lose 1
	get greeter
	status_is 0
}

@test "queries that are not ours to answer, or no queries, are survived" {
	start_sub s t.x
	python3 - <<-'END'
	import socket, os, struct
	s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	name = b"\5micro\4http\6broker\5micro\0"
	def q(flags=0, n=1, body=name + b"\0\x0c\0\1"):
	    return struct.pack("!HHHHHH", 9, flags, n, 0, 0, 0) + body
	bad = [b"", b"x", q()[:12], q()[:20], q(n=65535), q(flags=0x0800), q(flags=3),
	       q(body=b"\xc0\x0c\0\x0c\0\1"), q(body=b"\x3f" + b"a" * 9), os.urandom(2000),
	       q(n=17, body=(name + b"\0\x0c\0\1") * 17), q(n=16, body=(name + b"\0\x0c\0\1") * 15)]
	for p in bad * 20:
	    s.sendto(p, ("127.0.0.1", 5353))
	s.settimeout(0.3)
	try:
	    raise SystemExit("answered: %r" % s.recv(9999))
	except socket.timeout:
	    pass
	s.sendto(q(flags=0x0200), ("127.0.0.1", 5353))		# TC: still a query
	p = s.recv(9999)
	assert p[:8] == bytes.fromhex("0000840000010004"), p
	s.sendto(q(body=name + b"\0\x0c\x80\1"), ("127.0.0.1", 5353))	# QU: our id
	assert s.recv(9999)[:8] == bytes.fromhex("0009840000010004")
	s.sendto(q(n=2, body=(name + b"\0\x0c\0\1") * 2), ("127.0.0.1", 5353))
	assert s.recv(9999)[:8] == bytes.fromhex("0000840000020004")
	# Asked sixteen times it says the same once.
	s.sendto(q(n=1, body=name + b"\0\x0c\0\1"), ("127.0.0.1", 5353))
	once = len(s.recv(9999))
	s.sendto(q(n=16, body=(name + b"\0\x0c\0\1") * 16), ("127.0.0.1", 5353))
	assert len(s.recv(9999)) <= once + 15 * len(name + b"\0\x0c\0\1"), once
	END
}

@test "metadata of thousands of bytes is carried, what no packet holds is refused" {
	local long

	long=$(head -c 15000 /dev/urandom | base64 -w 0 | tr -d '+/=' | head -c 12000)
	start_sub s "$long"
	get micro.http.broker -J
	status_is 0
	has "$output" "\"topic\":\"$long\""
	long=$(head -c 60000 /dev/urandom | base64 -w 0 | tr -d '+/=' | head -c 60000)
	run --separate-stderr mbus sub -W 1 "$long"
	[ "$status" != 0 ] && [ "$status" != 124 ] || fail "status $status"
	has "$stderr" "65,507 bytes"
}

# ---- where ----

@test "loopback alone, without a multicast route" {
	cat > script <<-'END'
	mbus sub -c 1 --body --ready-fd 8 t.x 8> ready > out &
	read -r _ < ready
	mbus registry get micro.http.broker || exit
	mbus pub t.x hello || exit
	wait
	grep hello out
	END
	mkfifo ready
	run --separate-stderr in_ns bash script
	status_is 0
	has "$output" "topic=t.x" hello
}

@test "no interface is up: said at once" {
	run --separate-stderr unshare -n mbus registry list
	status_is 3
	has "$stderr" "no network interface is up"
}

@test "between hosts: nodes on real addresses are found, those on loopback are nobody else's" {
	host a
	host b
	cable a b
	start near on a sh -c 'MICRO_BROKER_ADDRESS=127.0.0.1:0 exec mbus sub near'
	start wide on a sh -c 'MICRO_BROKER_ADDRESS=0.0.0.0:0 exec mbus sub wide'
	wait_for sh -c "nsenter -t ${PID[a]} -n mbus registry get micro.http.broker | grep -c topic= | grep -q 2"
	run --separate-stderr on a mbus registry get micro.http.broker
	has "$output" "near-" "127.0.0.1:" "wide-" "10.78.0.1:"
	run --separate-stderr on b mbus registry get -v micro.http.broker
	status_is 0
	has "$output" "wide-" "10.78.0.1:"
	nowhere near <<< "$output$stderr"
	# go-micro's own: the address is the one they would reach.
	run --separate-stderr on b gm-v5 reg get micro.http.broker
	has "$output" '"address":"10.78.0.1:'
	nowhere near <<< "$output"
	# Its lists, too, know only what can be reached.
	stop wide
	run --separate-stderr on b mbus registry list
	is "$output" ""
	run --separate-stderr on a mbus registry list
	has "$output" micro.http.broker
}

@test "another host's loopback address is not believed, asked or unasked" {
	host a
	host b
	cable a b
	fake liar on a answer --addr 127.0.0.1 --id liar
	fake honest on a answer --addr 10.78.0.1 --id honest
	run --separate-stderr on b mbus registry get -v greeter
	is "$output" "greeter  1.0  honest  10.78.0.1:9000"
	has "$stderr" "liar at 127.0.0.1:9000 is ignored: its address is loopback" "said by 10.78.0.1"
	start w on b mbus registry -v watch
	wait_for grep -q watching w.err
	on a python3 "$FAKE" announce --addr ::1
	on a python3 "$FAKE" announce --addr 127.0.0.9
	on a python3 "$FAKE" announce --addr 10.78.0.1 --id honest
	wait_for lines_in w.out 1
	is "$(cat w.out)" "create  greeter  1.0  honest  10.78.0.1:9000"
	has "$(cat w.err)" "127.0.0.9:9000 is ignored"
	# On its own host the same words are true.
	run --separate-stderr on a mbus registry get greeter
	has "$output" "liar  127.0.0.1:9000"
}

@test "several interfaces: each host is heard once, this machine's programs once" {
	host a
	host b
	host c
	cable a b
	on a ip link add to-c type veth peer name to-a netns "${PID[c]}"
	on a sh -c 'ip addr add 10.79.0.1/24 dev to-c && ip link set to-c up'
	on c sh -c 'ip addr add 10.79.0.2/24 dev to-a && ip link set to-a up'
	fake nb on b answer --addr 10.78.0.2 --id on-b
	fake nc on c answer --addr 10.79.0.2 --id on-c
	fake na on a answer --addr 127.0.0.1 --id on-a
	fake listen on a listen
	run --separate-stderr on a mbus registry get greeter
	is "$output" "greeter  1.0  on-a  127.0.0.1:9000
greeter  1.0  on-b  10.78.0.2:9000
greeter  1.0  on-c  10.79.0.2:9000"
	sleep 0.2
	is "$(tail -n +2 listen.out | grep -c "$(hex greeter)")" 1
	# Only one of them.
	run --separate-stderr on a mbus registry -X mdns.interface=to-c get greeter
	is "$output" "greeter  1.0  on-a  127.0.0.1:9000
greeter  1.0  on-c  10.79.0.2:9000"
	run --separate-stderr on a mbus registry -X mdns.interface=lo get greeter
	is "$output" "greeter  1.0  on-a  127.0.0.1:9000"
}

@test "interfaces that appear later are used" {
	host a
	host b
	start w on a mbus registry -v watch
	start s on a sh -c 'MICRO_BROKER_ADDRESS=0.0.0.0:0 exec mbus sub early'
	wait_for grep -q watching w.err
	wait_for sh -c "nsenter -t ${PID[a]} -n mbus registry get micro.http.broker"
	cable a b
	wait_for sh -c "nsenter -t ${PID[b]} -n python3 $FAKE announce --addr 10.78.0.2 --id late; grep -q 'late  10.78.0.2' w.out"
	# Its address is the one it advertised when there was no other: loopback.
	run --separate-stderr on b mbus registry list
	is "$output" ""
}

@test "IPv6 is used where there is no IPv4" {
	host a
	host b
	on a ip link add to-b type veth peer name to-a netns "${PID[b]}"
	on a sh -c 'ip addr add fd00:78::1/64 dev to-b nodad && ip link set to-b up'
	on b sh -c 'ip addr add fd00:78::2/64 dev to-a nodad && ip link set to-a up'
	start s on a sh -c "MICRO_BROKER_ADDRESS='[::]:0' exec mbus sub six"
	wait_for sh -c "nsenter -t ${PID[b]} -n mbus registry get micro.http.broker > six"
	has "$(cat six)" "topic=six" "[fd00:78::1]:"
	start w on b mbus registry -v watch
	wait_for grep -q watching w.err
	stop s
	wait_for grep -q "^delete  micro.http.broker" w.out
}

# ---- beside others ----

@test "-b :0 is told as an address that others reach, where there is IPv6 alone" {
	host a
	host b
	on a ip link add to-b type veth peer name to-a netns "${PID[b]}"
	on a sh -c 'ip addr add fd00:78::1/64 dev to-b nodad && ip link set to-b up'
	on b sh -c 'ip addr add fd00:78::2/64 dev to-a nodad && ip link set to-a up'
	start s on a mbus sub -b :0 --body six
	wait_for sh -c "nsenter -t ${PID[b]} -n mbus registry get micro.http.broker > six"
	has "$(cat six)" "topic=six" "[fd00:78::1]:"
	run -0 on b mbus pub -X mdns.wait=full six hello
	wait_for grep -qx hello s.out
	# And with nothing but loopback, that.
	start_sub own -b :0 -v own
	matches "$(grep -o 'advertised as .*' own.err | head -n 1)" 'advertised as 10.77.0.1:[0-9]+'
}

@test "an interface with a link-local address alone says nothing new about this host" {
	host a
	host b
	on a ip link add to-b type veth peer name to-a netns "${PID[b]}"
	on a ip link set to-b up
	on b ip link set to-a up
	# As that of a container: fe80:: and nothing else, and it is no longer tentative.
	wait_for sh -c "nsenter -t ${PID[a]} -n ip -6 addr show dev to-b scope link | grep -q 'inet6 fe80' &&
		! nsenter -t ${PID[a]} -n ip -6 addr show dev to-b | grep -q tentative"
	start s on a mbus sub --body t.x
	wait_for sh -c "nsenter -t ${PID[a]} -n mbus registry get micro.http.broker > found"
	run --separate-stderr on a mbus pub -v --wait 1 -X mdns.wait=full t.x hello
	status_is 0
	nowhere -e ignored -e believed <<< "$stderr"
	run --separate-stderr on a mbus pub -v t.other hello
	status_is 5
	nowhere -e ignored -e believed <<< "$stderr"
}

@test "port 5353 is shared with five go-micro processes" {
	local v i

	for v in 1 2 3 4 5; do
		start_ready "r$v" "gm-v$v" reg -ready-fd 8 -id "n-$v" register greeter "10.77.0.1:900$v"
	done
	start_sub s t.x
	start w mbus registry -v watch
	wait_for grep -q watching w.err
	for i in 1 2 3; do
		get greeter
		is "$(wc -l <<< "$output")" 5
		get micro.http.broker
		is "$(wc -l <<< "$output")" 1
		run --separate-stderr gm-v5 reg get micro.http.broker
		has "$output" '"topic":"t.x"'
	done
	nowhere -i -e "\[err" -e unpack r?.out r?.err
}

@test "a name of ours that another claims stays ours, and is mentioned" {
	local id

	start s mbus sub -v -X dialect=new t.x
	wait_for sh -c "mbus registry get micro.http.broker > found"
	id=$(grep -o 't\.x-[0-9a-f-]*' found)
	python3 "$FAKE" announce --service micro.http.broker --id "$id" --addr 10.77.0.1 --port 7
	python3 "$FAKE" announce --service micro.http.broker --id "$id" --addr 10.77.0.1 --port 7 --ttl 0
	wait_for grep -q "says that $id of micro.http.broker is its own" s.err
	is "$(grep -c "is its own" s.err)" 1
	get micro.http.broker
	is "$output" "$(cat found)"
}

# many_heard: how many one lookup hears is the machine's load's, too.
many_heard() {
	get greeter
	status_is 0 && [ "$(wc -l <<< "$output")" -gt 300 ]
}

@test "ten thousand nodes, and no more" {
	local ids=()

	mapfile -t ids < <(seq -f '--id=n%.0f' 1 2000)
	fake many answer "${ids[@]}"
	# What fits the receive buffer of an ordinary user; as root all of them.
	wait_for many_heard
	fake flood answer --service flood --id a --times 30000
	run --separate-stderr mbus registry -v get flood
	is "$(wc -l <<< "$output")" 1
}

@test "another domain is another world" {
	fake one answer --domain local --id far
	get greeter
	status_is 5
	get -X mdns.domain=local greeter
	status_is 0
	has "$output" "far  127.0.0.1:9000"
	get -X mdns.domain=local. greeter
	status_is 0
}

# ---- when a lookup ends ----

@test "a publisher waits for those who are slow to read, and not 100 ms for nobody" {
	local t0 t1 i best=1000

	start_sub s t.x
	for i in 1 2 3 4 5 6 7 8 9 10; do
		t0=$(now_ms)
		mbus pub t.x hello
		t1=$(now_ms)
		[ $((t1 - t0)) -ge $best ] || best=$((t1 - t0))
	done
	[ $best -lt 60 ] || fail "the fastest of ten took $best ms"
	t0=$(now_ms)
	mbus pub -X mdns.wait=full t.x hello
	t1=$(now_ms)
	[ $((t1 - t0)) -ge 100 ] || fail "mdns.wait=full took $((t1 - t0)) ms"
	start_sub slow -c 1 --body t.x
	freeze slow
	(sleep 0.04; thaw slow) &
	mbus pub t.x to-both
	finish slow
	is "$(cat slow.out)" to-both
}

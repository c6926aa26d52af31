#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Who names a subscriber over http: programs of the same machine, or with a hand in a
# shared file registry, that say to be one. SECURITY.md has a sentence for each test: a
# liar gets a copy and can make an event fail, and takes none away.

bats_require_minimum_version 1.5.0
load ../lib

FAKE=$ROOT/tests/tools/fake_node
SAY=$ROOT/tests/bats/mdns_fake.py
FILE_LIAR=$ROOT/tests/tools/file_liar
PORT=7100
NEW=micro.http.broker OLD=go.micro.http.broker

# with mdns|file: the registry of what follows, in this test.
with() {
	export MICRO_REGISTRY=$1
	unset MICRO_REGISTRY_ADDRESS
	if [ "$1" = file ]; then
		D=$PWD/shared.$RANDOM
		mkdir -m 1777 "$D"
		export MICRO_REGISTRY_ADDRESS=$D
	fi
}

# victim NAME TOPIC [OPTION...]: a subscriber; sets ID, UUID, N and O, its ports.
victim() {
	start_sub "$1" --body "${@:3}" "$2"
	ports "$2"
}
ports() {
	local id

	ID='' N='' O=''
	read -r ID N < <(node $NEW "$1") || true
	read -r id O < <(node $OLD "$1") || true
	ID=${ID:-$id}
	UUID=${ID: -36}
	N=${N##*:} O=${O##*:}
}
node() {
	mbus registry get "$1" 2> node.err | awk -v t="topic=$2" 'index($0, t) { print $3, $4; exit }'
}

# server NAME BEHAVIOUR...: a liar's, which prints what it gets; sets PORT.
server() {
	PORT=$((PORT + 1))
	start_ready "$1" "$FAKE" $PORT "${@:2}"
}

# says NAME SERVICE ID PORT TOPIC [OPTION META...]: a node, in the registry.
says() {
	local name=$1 service=$2 id=$3 port=$4 topic=$5 version=ff.http.broadcast meta=() m

	shift 5
	if [ "${1-}" = --version ]; then version=$2; shift 2; fi
	if [ "$MICRO_REGISTRY" = file ]; then
		"$FILE_LIAR" --service "$service" --version "$version" "$D" "$id" "127.0.0.1:$port" \
			"topic=$topic" "$@" > "$name.out"
		return
	fi
	for m; do meta+=(--meta "$m"); done
	[ -z "${PID[$name]-}" ] || stop "$name"
	rm -f "$name.out"
	# Beside others at work, as quick as a program in C.
	start "$name" nice -n -20 python3 "$SAY" answer --service "$service" --id "$id" --addr 127.0.0.1 --port "$port" \
		--version "$version" --meta broker=http --meta "topic=$topic" "${meta[@]}"
	wait_for test -s "$name.out"
}

# got NAME BODY: the victim has it; copied NAME BODY: so has the liar.
got() { wait_for grep -qx "$2" "$1.out"; }
copied() { wait_for grep -qx "200 $2" "$1.out"; }
pub_is() {
	local full=()

	if [ "$MICRO_REGISTRY" = mdns ]; then full=(-X mdns.wait=full); fi
	run --separate-stderr timeout 20 mbus pub "${full[@]}" "${@:2}"
	status_is "$1"
}

# ---- another port ----

# In the file registry a node's id has one file, which only its owner can replace; so
# there the liar has the uuid in another id.
another_port() {
	local service t=t.port id

	with "$1"
	for service in $NEW $OLD; do
		t=t.port.$service
		victim v "$t"
		id=$ID
		[ "$1" = mdns ] || id=other-$UUID
		server thief ok
		says word $service "$id" $PORT "$t"
		pub_is 0 "$t" one
		got v one
		copied thief one
		has "$stderr" "is also said to be elsewhere" SECURITY
		# Nobody listens there: it fails, and says who else that is said to be.
		stop thief KILL
		pub_is 3 "$t" two
		got v two
		has "$stderr" "127.0.0.1:$PORT: cannot connect" "that subscriber is also said to be at 127.0.0.1:$N"
		# It answers no.
		server thief status 500
		[ "$1" = file ] || stop word
		says word $service "$id" $PORT "$t"
		pub_is 1 "$t" three
		got v three
		stop v
		[ "$1" = file ] || stop word
		stop thief
	done
}

@test "mdns: the victim's id at another port: a copy, or a failure that names both" { another_port mdns; }
@test "file: the victim's uuid at another port: a copy, or a failure that names both" { another_port file; }

@test "the victim's uuid in another id is one more, too (mdns)" {
	with mdns
	victim v t.x
	server thief ok
	says word $NEW "zzz-$UUID" $PORT t.x
	pub_is 0 t.x one
	got v one
	copied thief one
}

# ---- the other dialect ----

other_dialect() {
	local claim

	with "$1"
	for claim in none one both; do
		# The victim speaks the new dialect alone.
		victim new t.new.$claim -X dialect=new
		server thief ok
		case $claim in
		none) says word $OLD "$ID" $PORT t.new.none ;;
		one) says word $OLD "$ID" $PORT t.new.one "mbus.ports=$N,$PORT" ;;
		both) says word $OLD "$ID" $PORT t.new.both "mbus.ports=$PORT,$PORT" ;;
		esac
		pub_is 0 t.new.$claim one
		got new one
		copied thief one
		stop new
		stop thief
		# The old one alone, and the liar is of the new, which is asked first.
		victim old t.old.$claim -X dialect=old
		server thief ok
		case $claim in
		none) says word2 $NEW "$ID" $PORT t.old.none ;;
		one) says word2 $NEW "$ID" $PORT t.old.one "mbus.ports=$PORT,$O" ;;
		both) says word2 $NEW "$ID" $PORT t.old.both "mbus.ports=$N,$O" ;;
		esac
		pub_is 0 t.old.$claim one
		got old one
		copied thief one
		stop old
		stop thief
		# Both dialects: the liar is a third.
		victim two t.two.$claim
		server thief ok
		case $claim in
		none) says word3 $NEW "x-$UUID" $PORT t.two.none ;;
		one) says word3 $NEW "x-$UUID" $PORT t.two.one "mbus.ports=$PORT,$O" ;;
		both) says word3 $OLD "x-$UUID" $PORT t.two.both "mbus.ports=$N,$PORT" ;;
		esac
		pub_is 0 t.two.$claim one
		got two one
		copied thief one
		is "$(grep -c one two.out)" 1
		stop two
		stop thief
	done
}

@test "mdns: the victim as its other dialect is no part of the victim" { other_dialect mdns; }
@test "file: the victim as its other dialect is no part of the victim" { other_dialect file; }

# ---- the victim's own node, said otherwise ----

@test "mdns: who says for the victim that another is its half, does not become it" {
	with mdns
	victim v t.x -X dialect=old
	server thief ok
	says one $NEW "$ID" $PORT t.x "mbus.ports=$PORT,$O"
	says two $OLD "$ID" "$O" t.x "mbus.ports=$PORT,$O"
	pub_is 0 t.x one
	got v one
	copied thief one
}

@test "mdns: the victim's address with another topic, as TLS or with other ports: it gets its events" {
	local t

	with mdns
	for t in topic secure ports; do
		victim v t.$t
		server thief ok
		says thief-$t $NEW "mine-$UUID" $PORT t.$t
		case $t in
		topic) says word-$t $NEW "$ID" "$N" t.elsewhere ;;
		secure) says word-$t $NEW "$ID" "$N" t.secure secure=true ;;
		ports) says word-$t $NEW "$ID" "$N" t.ports "mbus.ports=$N,$PORT" ;;
		esac
		run --separate-stderr mbus pub -X mdns.wait=full t.$t one
		# A port that is said to speak TLS does not answer: that is a failure, and said.
		[ "$t" = secure ] || status_is 0
		[ "$t" != secure ] || [ "$status" != 0 ] || fail "confirmed: $stderr"
		got v one
		copied thief one
		stop v
		stop thief
	done
}

# ---- queues ----

queue() {
	local i

	with "$1"
	victim a t.q -g q
	start_sub b -g q --body t.q
	server thief ok
	says word $NEW "x-$UUID" $PORT t.q --version q
	seq 100 > sent
	run --separate-stderr mbus pub -l t.q < sent
	status_is 0
	# Each went to one of the two, whatever the liar says to be.
	wait_for sh -c '[ $(cat a.out b.out | wc -l) -ge 100 ]'
	is "$(sort -n a.out b.out)" "$(cat sent)"
	[ -s a.out ]
	[ -s b.out ]
	# It has got copies of those of one.
	is "$(sed 's/^200 //' thief.out | sort -n)" "$(sort -n a.out)"
	# It refuses: nobody answers for the one that it says to be.
	stop thief
	server thief status 500
	says word2 $NEW "y-$UUID" $PORT t.q --version q
	seq 101 200 > sent
	run --separate-stderr mbus pub -l t.q < sent
	[ "$status" != 0 ] || fail confirmed
	cat a.out b.out > all
	is "$(sort -n all | uniq -d)" ""
	has "$stderr" "that subscriber is also said to be at"
}

@test "mdns: who says to be a queue's member gets copies of its events, and must answer" { queue mdns; }
@test "file: who says to be a queue's member gets copies of its events, and must answer" { queue file; }

@test "a queue takes any member that says to be one: it gets its share (SECURITY.md says so)" {
	with mdns
	victim a t.q -g q
	server guest ok
	says word $NEW "guest-11111111-2222-4333-8444-555555555555" $PORT t.q --version q
	seq 100 > sent
	pub_is 0 -l t.q < sent
	is "$(wc -l < guest.out)" 50
	is "$(wc -l < a.out)" 50
	# Pinned, it gets nothing.
	pub_is 0 -l -X http.only="127.0.0.1:$N" t.q < sent
	is "$(wc -l < guest.out)" 50
	is "$(wc -l < a.out)" 150
}

# ---- goodbyes ----

goodbye() {
	python3 "$SAY" announce --service "$1" --id "$2" --addr 127.0.0.1 --port "$3" --ttl 0 \
		--version ff.http.broadcast --meta broker=http --meta "topic=$4" --meta "${5-x=y}"
}

@test "mdns: a goodbye that a program of this machine forges takes no subscriber away" {
	local id=gomicro-99999999-2222-4333-8444-555555555555 i

	with mdns
	victim v t.x
	server thief ok
	# One that is not ours, which does not defend its name.
	server theirs ok
	theirs=$PORT
	says their-word $NEW "$id" $theirs t.x
	says thief-word $NEW "mine-$UUID" $((theirs - 1)) t.x
	mkfifo pub.in
	start pub mbus pub -l -v t.x
	exec 7> pub.in
	echo first >&7
	got v first
	copied theirs first
	sleep 0.8		# it watches by now
	for i in 1 2 3 4 5; do
		goodbye $NEW "$ID" "$N" t.x "mbus.ports=$N,$O"
		goodbye $OLD "$ID" "$O" t.x "mbus.ports=$N,$O"
		goodbye $NEW "$id" $theirs t.x
		echo "event-$i" >&7
		got v "event-$i"
		copied theirs "event-$i"
		copied thief "event-$i"
	done
	exec 7>&-
	finish pub
	is "$status" 0
}

@test "mdns: who leaves is not sent to: its events do not fail" {
	local i

	with mdns
	victim stays t.x
	start_sub leaves --body t.x
	mkfifo pub.in
	start pub mbus pub -l t.x
	exec 7> pub.in
	echo first >&7
	got stays first
	got leaves first
	sleep 0.8
	stop leaves
	sleep 0.1
	for i in 1 2 3; do echo "event-$i" >&7; done
	got stays event-3
	exec 7>&-
	finish pub
	is "$status $(cat pub.err)" "0 "
}

# ---- those who do not lie ----

honest() {
	local t

	with "$1"
	start_sub a --body t.x
	start_sub b --body t.x -X dialect=old
	start_sub q1 -g q --body t.x
	start_sub q2 -g q --body t.x
	seq 100 > sent
	run --separate-stderr mbus pub --wait 4 -l t.x < sent
	status_is 0
	is "$stderr" ""
	for t in a b; do
		wait_for lines_in $t.out 100
		same_bytes sent $t.out
	done
	wait_for sh -c '[ $(cat q1.out q2.out | wc -l) -ge 100 ]'
	is "$(sort -n q1.out q2.out)" "$(cat sent)"
	# Four, and not eight.
	run --separate-stderr mbus pub --wait 5 -W 0.5 t.x no
	status_is 124
	# What is known about it stands in both nodes.
	ports t.x
	is "$(mbus registry get $NEW | grep -c 'mbus.ports=[0-9]*,[0-9]*')" 3
	is "$(mbus registry get $OLD | grep -c 'mbus.ports=[0-9]*,[0-9]*')" 3
}

@test "mdns: a subscriber in both dialects is one, and gets each event once" { honest mdns; }
@test "file: a subscriber in both dialects is one, and gets each event once" { honest file; }

@test "nodes without mbus.ports, as 0.1.0 has them, are two: each gets the event" {
	local r id=t.x-11111111-2222-4333-8444-555555555555 one

	for r in mdns file; do
		with $r
		server one-$r ok
		one=$PORT
		server two-$r ok
		says new-$r $NEW $id $one t.x
		says old-$r $OLD $id $PORT t.x
		pub_is 0 --wait 1 t.x hello
		copied one-$r hello
		copied two-$r hello
		[ $r = file ] || { stop new-mdns; stop old-mdns; }
	done
}

# ---- pins ----

@test "-X http.only: what is elsewhere is not sent to, in both registries" {
	local r

	for r in mdns file; do
		with $r
		victim v-$r t.x
		server thief-$r ok
		says word-$r $NEW "x-$UUID" $PORT t.x
		pub_is 0 -X http.only="127.0.0.1:$N" t.x pinned
		got v-$r pinned
		pub_is 0 -X http.only="10.0.0.1,127.0.0.1:$N,[::1]:80" t.x listed
		got v-$r listed
		is "$(cat thief-$r.out)" ""
		is "$stderr" ""
		# The address alone is any port of it.
		pub_is 0 -X http.only=127.0.0.1 t.x host
		copied thief-$r host
		pub_is 5 -X http.only=10.0.0.1 t.x nobody
		has "$stderr" "nobody subscribes who is believed" "is not believed: its address is not in -X http.only"
		stop v-$r
	done
}

@test "-X http.only: what is no address is refused" {
	local bad

	for bad in '' x 10.0.0.300 10.0.0.1: 10.0.0.1:0 10.0.0.1:65536 10.0.0.1:1x '[::1' '[10.0.0.1]x' ::1:x '10.0.0.1,,' host:80; do
		pub_is 2 -X "http.only=$bad" t.x one
		has "$stderr" "-X http.only=$bad: a list of IP addresses"
	done
}

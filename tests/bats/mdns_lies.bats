# SPDX-License-Identifier: Apache-2.0
# The mdns registry among hosts that lie (tests/tools/mdns_liar): to a running sub, a
# publisher that stays and a watch; and which addresses a node may have.

bats_require_minimum_version 1.5.0
load ../lib

FAKE="$ROOT/tests/bats/mdns_fake.py"
LIAR="$ROOT/tests/tools/mdns_liar"

# fake NAME [on HOST] ARG...: a responder that is ready. liar NAME [on HOST] ARG...
ready() {
	local program=$1 name=$2 where=()

	shift 2
	if [ "$1" = on ]; then where=(on "$2"); shift 2; fi
	start "$name" "${where[@]}" python3 "$program" "$@"
	wait_for lines_in "$name.out" 1
}
fake() { ready "$FAKE" "$@"; }
liar() { ready "$LIAR" "$@" --answer; }

nowhere() {
	if grep "$@"; then fail "this should not be there: $*"; fi
}

# cpu_ms NAME: the time it has taken so far.
cpu_ms() {
	local stat

	read -r stat < "/proc/${PID[$1]}/stat"
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	echo $(((${12} + ${13}) * 1000 / $(getconf CLK_TCK)))
}

# under KB NAME...: their memory has never been over it. (Sanitizers need more.)
under() {
	local kb name

	for name in "${@:2}"; do
		kb=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/${PID[$name]}/status")
		echo "$BATS_TEST_NUMBER $name: $kb kB, $(cpu_ms "$name") ms" >> "${FIGURES:-figures}"
		[ "$kb" -lt "$1" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$name: $kb kB"
	done
}

# calm MS NAME...: nor did they take more time than that.
calm() {
	local ms name

	for name in "${@:2}"; do
		ms=$(cpu_ms "$name")
		[ "$ms" -lt "$1" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$name: $ms ms of CPU"
	done
}

# all_three TOPIC [OPTION...]: sub, a pub that has published once and watches by now,
# and watch. They hear each other.
all_three() {
	local topic=$1

	shift
	start_sub sub --body "$topic"
	start watch mbus registry watch -v "$@"
	mkfifo pub.in
	start pub mbus pub -l -v "$@" "$topic"
	exec 7> pub.in
	echo first >&7
	wait_for grep -q first sub.out
	wait_for grep -q watching watch.err
	sleep 0.7		# a publisher watches once it has lived half a second
}

# they_work: an event still goes through, and so does a one-shot one's.
they_work() {
	echo "$1" >&7
	wait_for grep -q "^$1$" sub.out
	run --separate-stderr timeout 20 mbus pub "$2" "one-$1"
	status_is 0
	wait_for grep -q "^one-$1$" sub.out
}

# ---- packets ----

@test "loops, lengths past the end, TXT that is none: all go on, at once" {
	local kind t0

	all_three t.x
	for kind in loops lengths txt; do
		python3 "$LIAR" --times 2 "$kind"
		they_work "after-$kind" t.x
	done
	liar answers loops lengths txt
	t0=$(now_ms)
	they_work answered t.x
	run mbus registry get micro.http.broker
	has "$output" "topic=t.x"
	[ "$(wc -l <<< "$output")" = 1 ] || fail "$output"
	[ $(($(now_ms) - t0)) -lt 2000 ] || [ "$MBUS_TEST_BUILD" != build ] ||
		fail "$(($(now_ms) - t0)) ms"
	is "$(grep -vc -e micro.http.broker watch.out)" 0
	nowhere lie- watch.out
	under 16000 sub pub watch
	calm 1000 sub pub watch
}

@test "TXT that inflates for ever costs a MiB, and a packet of many no more than one" {
	all_three t.x
	python3 "$LIAR" --times 10 bomb
	they_work after t.x
	liar answers bomb --times 5
	they_work answered t.x
	run --separate-stderr mbus registry get -v micro.http.broker
	status_is 0
	has "$output" "topic=t.x"
	has "$stderr" "inflates to more than 1 MiB"
	under 16000 sub pub watch
	calm 1000 sub pub watch
}

@test "metadata of a MiB each: a lookup keeps 32 MiB" {
	all_three t.x
	liar answers big --service micro.http.broker --count 100
	start get mbus registry get -v micro.http.broker
	wait_for -t 20 grep -q "more than 32 MiB of answers: the rest is not shown" get.err
	finish get 20
	is "$status" 0
	nowhere -v -e fill=xxx -e topic=t.x <(cut -c 1-2000 get.out)
	[ "$(wc -c < get.out)" -lt 40000000 ] || fail "$(wc -c < get.out) bytes"
	# One that asks now may find nobody among so much, but keeps none of it.
	start one mbus pub -X mdns.wait=full t.x one
	finish one
	stop answers KILL
	they_work after t.x
	under 24000 sub pub
}

@test "a watch whose output nobody reads keeps 16 MiB" {
	mkfifo pipe
	start w sh -c "exec mbus registry -v -J watch > pipe"
	exec 6< pipe
	wait_for grep -q watching w.err
	python3 "$LIAR" big --count 40
	wait_for grep -q "stdout is not read: changes are lost" w.err
	under 60000 w
	exec 6<&-
	finish w
	is "$status" 0
}

@test "twenty thousand nodes: memory and time are bounded, those who matter are found" {
	all_three t.x
	python3 "$LIAR" nodes --count 10000
	they_work after t.x
	python3 "$LIAR" nodes --count 10000 --ttl 0
	they_work parted t.x
	[ "$(wc -l < watch.out)" -gt 10000 ] || fail "$(wc -l < watch.out) lines"
	python3 "$LIAR" packed --times 3
	they_work packed t.x
	liar answers nodes packed --count 3000
	they_work answered t.x
	under 40000 sub pub watch
	calm 500 sub
	calm 4000 pub watch
}

@test "ten thousand nodes of the wanted topic, of one uuid or each its own: it ends" {
	local kind

	start_sub sub --body t.x
	for kind in nodes same; do
		mkfifo "pub-$kind.in"
		start "pub-$kind" sh -c "ulimit -n 256; exec mbus pub -q -l --wait 1 t.x"
		eval "exec {fd}> pub-$kind.in"
		echo "first-$kind" >&"$fd"
		wait_for grep -q "^first-$kind$" sub.out
		sleep 0.7
		python3 "$LIAR" --topic t.x --count 5000 "$kind"
		echo "second-$kind" >&"$fd"
		# It goes to all who are there, ours among them.
		wait_for -t 20 grep -q "^second-$kind$" sub.out
		wait_for -t 20 sh -c "sleep 1"
		echo "third-$kind" >&"$fd"
		wait_for -t 20 grep -q "^third-$kind$" sub.out
		under 80000 "pub-$kind"
		calm 6000 "pub-$kind"
		exec {fd}>&-
		finish "pub-$kind" 30
	done
}

# ---- whose word counts ----

# id TOPIC: of our subscriber's node.
id_of() {
	mbus registry get -X mdns.allow=any micro.http.broker | grep -o "$1-[0-9a-f-]*" | head -n 1
}

@test "goodbyes for a node of ours, by another host: ours stays, for us and for others" {
	local id port

	host a
	host b
	host c
	cable a b
	on a ip link add to-c type veth peer name to-a netns "${PID[c]}"
	on a sh -c 'ip link add br0 type bridge && ip link set br0 up && ip addr flush dev to-b && ip link set to-b master br0 && ip link set to-c master br0 up && ip addr add 10.78.0.1/24 dev br0 && ip route add 224.0.0.0/4 dev br0'
	on c sh -c 'ip addr add 10.78.0.3/24 dev to-a && ip link set to-a up && ip route add 224.0.0.0/4 dev to-a'
	start sub on a mbus sub -v -b 10.78.0.1:0 -X dialect=new --body t.x
	wait_for sh -c "nsenter -t ${PID[a]} -n mbus registry get micro.http.broker > found"
	id=$(grep -o 't\.x-[0-9a-f-]*' found)
	port=$(grep -o '10.78.0.1:[0-9]*' found | cut -d : -f 2)
	for h in a c; do
		mkfifo "pub-$h.in"
		start "pub-$h" on "$h" mbus pub -v -l --wait 1 t.x
		eval "exec {fd_$h}> pub-$h.in"
		start "watch-$h" on "$h" mbus registry watch -v micro.http.broker
	done
	# shellcheck disable=SC2154
	echo "first-a" >&"$fd_a"
	# shellcheck disable=SC2154
	echo "first-c" >&"$fd_c"
	wait_for lines_in sub.out 2
	sleep 4.5		# they watch, and its own announcements are over
	# In the name of ours, with our address, and with that of b.
	for addr in 10.78.0.1 10.78.0.2; do
		on b python3 "$FAKE" announce --service micro.http.broker --id "$id" --addr $addr \
			--port "$port" --ttl 0 --version ff.http.broadcast --meta broker=http --meta topic=t.x
	done
	wait_for grep -q "10.78.0.2 says goodbye for $id of micro.http.broker, which is ours; it stays" sub.err
	wait_for grep -q "$id.* is ignored: its address is this machine's, but another machine says so" watch-a.err
	wait_for grep -q "$id.* is ignored: the goodbye is not its own (said by 10.78.0.2)" watch-c.err
	# ours is announced anew, so that others who believed it learn better.
	echo "second-a" >&"$fd_a"
	echo "second-c" >&"$fd_c"
	wait_for grep -q second-a sub.out
	wait_for grep -q second-c sub.out
	nowhere "^delete.*10.78.0.1" watch-a.out watch-c.out
	# Its own is believed.
	stop sub
	wait_for grep -q "^delete.*$id  10.78.0.1:$port" watch-a.out
	wait_for grep -q "^delete.*$id  10.78.0.1:$port" watch-c.out
}

@test "a foreign goodbye is answered with an announcement, once a second" {
	local id

	start_sub s -X dialect=new t.x
	id=$(id_of t.x)
	sleep 4.5
	fake net listen
	python3 "$FAKE" announce --service micro.http.broker --id "$id" --id "$id" --id "$id" --id "$id" \
		--addr 10.77.0.1 --port 7 --ttl 0
	sleep 0.5
	is "$(grep -c ":5353 000080000000000300000000.*00210001000000780" net.out)" 1
}

@test "who answers in the name of our subscriber gets a copy at most, not its events" {
	local id dialect

	host a
	host b
	cable a b
	start sub on a mbus sub -b 10.78.0.1:0 --body t.x
	wait_for sh -c "nsenter -t ${PID[a]} -n mbus registry get micro.http.broker > found"
	id=$(grep -o 't\.x-[0-9a-f-]*' found)
	for dialect in micro.http.broker go.micro.http.broker; do
		fake "thief-$dialect" on b answer --service $dialect --id "$id" --addr 10.78.0.2 --port 7 --times 3 \
			--version ff.http.broadcast --meta broker=http --meta topic=t.x
	done
	run --separate-stderr on a mbus pub -X mdns.wait=full t.x hello
	status_is 3
	has "$stderr" 10.78.0.2:7
	wait_for grep -q hello sub.out
	# In the name of that host, too, as far as this one knows its own addresses.
	fake forger on b answer --service micro.http.broker --id other --addr 10.78.0.1 --port 8 \
		--version ff.http.broadcast --meta broker=http --meta topic=t.x
	run --separate-stderr on a mbus registry get -v micro.http.broker
	has "$stderr" "other at 10.78.0.1:8 is ignored: its address is this machine's, but another machine says so"
}

# ---- mdns.allow ----

# claims HOST ADDR...: it answers for the service greeter with a node at each.
claims() {
	local addr

	for addr in "${@:2}"; do
		fake "f-${addr//[^0-9a-f]/_}" on "$1" answer --id "${addr//[.:]/_}" --addr "$addr"
	done
}

# addresses [OPTION...]: what registry get on a tells of it.
addresses() {
	run --separate-stderr on a mbus registry get -v "$@" greeter
	addrs=$(awk '{ print $4 }' <<< "$output" | sed 's/:9000$//' | sort | tr '\n' ' ')
}

@test "by default nodes of others are believed on networks that this machine is in" {
	host a
	host b
	cable a b
	on a ip addr add fd00:78::1/64 dev to-b nodad
	claims b 10.78.0.2 10.78.0.77 10.78.0.1 10.78.0.0 10.78.0.255 10.79.0.1 8.8.8.8 127.0.0.1 0.1.2.3 \
		0.0.0.0 224.0.0.1 255.255.255.255 fe80::1 fd00:78::9 fd00:79::9 2001:db8::1 ff02::1 \
		::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:10.78.0.78 ::ffff:0.0.0.0 ::1 ::
	addresses
	is "$addrs" "10.78.0.2 10.78.0.77 [::ffff:10.78.0.78] [fd00:78::9] "
	has "$stderr" "8_8_8_8 at 8.8.8.8:9000 is ignored: its address is on no network of this machine (-X mdns.allow) (said by 10.78.0.2)" \
		"at 10.79.0.1:9000 is ignored: its address is on no network" \
		"at 10.78.0.1:9000 is ignored: its address is this machine's, but another machine says so" \
		"at 10.78.0.0:9000 is ignored: its address is no host's" \
		"at 10.78.0.255:9000 is ignored: its address is no host's" \
		"at 255.255.255.255:9000 is ignored: its address is no host's" \
		"at 224.0.0.1:9000 is ignored: its address is no host's" \
		"at 0.1.2.3:9000 is ignored: its address is no host's" \
		"at 0.0.0.0:9000 is ignored: its address is the wildcard" \
		"at [::]:9000 is ignored: its address is the wildcard" \
		"at [ff02::1]:9000 is ignored: its address is no host's" \
		"at [fe80::1]:9000 is ignored: its address is link-local" \
		"at [::1]:9000 is ignored: its address is loopback, but another machine says so" \
		"at [::ffff:127.0.0.1]:9000 is ignored: its address is loopback, but another machine" \
		"at [::ffff:8.8.8.8]:9000 is ignored: its address is on no network" \
		"at [fd00:79::9]:9000 is ignored: its address is on no network"
	# The option decides; what nobody could use stays out, and so does loopback.
	addresses -X mdns.allow=any
	is "$addrs" "10.78.0.1 10.78.0.2 10.78.0.77 10.79.0.1 8.8.8.8 [2001:db8::1] [::ffff:10.78.0.78] [::ffff:8.8.8.8] [fd00:78::9] [fd00:79::9] "
	addresses -X mdns.allow=link
	is "$addrs" "10.78.0.2 10.78.0.77 [::ffff:10.78.0.78] [fd00:78::9] "
	addresses -X mdns.allow=private
	is "$addrs" "10.78.0.1 10.78.0.2 10.78.0.77 10.79.0.1 [::ffff:10.78.0.78] [fd00:78::9] [fd00:79::9] "
	addresses -X mdns.allow=10.78.0.76/31,8.8.8.0/24,2001:db8::/32
	is "$addrs" "10.78.0.77 8.8.8.8 [2001:db8::1] [::ffff:8.8.8.8] "
	addresses -X mdns.allow=8.8.8.8
	is "$addrs" "8.8.8.8 [::ffff:8.8.8.8] "
	has "$stderr" "at 10.78.0.2:9000 is ignored: its address is not in -X mdns.allow"
	addresses -X mdns.allow=127.0.0.0/8,::1
	status_is 5
	is "$output" ""
	has "$stderr" "no node of greeter is believed (mdns); " "is not in -X mdns.allow"
	# Only networks of the interfaces that are used.
	addresses -X mdns.interface=lo
	is "$output" ""
}

@test "watch believes what get does" {
	host a
	host b
	cable a b
	start w on a mbus registry watch -v
	start all on a mbus registry watch -v -X mdns.allow=any
	wait_for grep -q watching w.err
	wait_for grep -q watching all.err
	for addr in 8.8.8.8 10.78.0.1 127.0.0.1 fd00::1 10.78.0.2; do
		on b python3 "$FAKE" announce --id "${addr//[.:]/_}" --addr $addr
	done
	wait_for lines_in all.out 4
	wait_for lines_in w.out 1
	is "$(cat w.out)" "create  greeter  1.0  10_78_0_2  10.78.0.2:9000"
	is "$(cat all.out)" "create  greeter  1.0  8_8_8_8  8.8.8.8:9000
create  greeter  1.0  10_78_0_1  10.78.0.1:9000
create  greeter  1.0  fd00__1  [fd00::1]:9000
create  greeter  1.0  10_78_0_2  10.78.0.2:9000"
	has "$(cat w.err)" "8_8_8_8.greeter at 8.8.8.8:9000 is ignored: its address is on no network of this machine (-X mdns.allow) (said by 10.78.0.2)"
}

@test "programs of this machine may say any address, unless local is left out" {
	fake one answer --id one --addr 8.8.8.8
	fake two answer --id two --addr 127.0.0.1
	run --separate-stderr mbus registry get greeter
	is "$(wc -l <<< "$output")" 2
	run --separate-stderr mbus registry get -X mdns.allow=link greeter
	status_is 5
	run --separate-stderr mbus registry get -X mdns.allow=127.0.0.0/8 greeter
	is "$output" "greeter  1.0  two  127.0.0.1:9000"
}

@test "pub: nobody is believed: it says who was there and names the option, in both dialects" {
	local service

	host a
	host b
	cable a b
	on a ip route add 198.51.100.0/24 via 10.78.0.2
	on b ip addr add 198.51.100.7/32 dev lo
	for service in micro.http.broker go.micro.http.broker; do
		fake "f-$service" on b answer --service $service --id "t.x-far" --addr 198.51.100.7 --port 9000 \
			--version ff.http.broadcast --meta broker=http --meta topic=t.x
		start node on b python3 -um http.server -b 198.51.100.7 9000
		wait_for grep -q Serving node.out
		run --separate-stderr on a mbus pub t.x hello
		status_is 5
		is "$stderr" "mbus: pub: t.x: nobody subscribes who is believed; t.x-far at 198.51.100.7:9000 is not believed: its address is on no network of this machine (-X mdns.allow)"
		run --separate-stderr on a mbus pub t.y hello
		status_is 5
		has "$stderr" "nobody subscribes to t.y (asked mdns); --wait 1 waits for a subscriber"
		nowhere POST node.err
		# Allowed, it is asked (and has no use for it).
		run --separate-stderr on a mbus pub -X mdns.allow=198.51.100.0/24 t.x hello
		status_is 1
		has "$stderr" "198.51.100.7:9000: answered 501"
		wait_for grep -q POST node.err
		stop "f-$service" KILL
		stop node
	done
}

@test "pub: what listens on our loopback is not sent to because another host says so" {
	local addr

	host a
	host b
	cable a b
	start four on a python3 -um http.server -b 127.0.0.1 9000
	start six on a python3 -um http.server -b ::1 9000
	wait_for grep -q Serving four.out
	wait_for grep -q Serving six.out
	for addr in 127.0.0.1 ::1 ::ffff:127.0.0.1 10.78.0.1; do
		fake f on b answer --service micro.http.broker --id t.x-far --addr $addr \
			--version ff.http.broadcast --meta broker=http --meta topic=t.x
		run --separate-stderr on a mbus pub -X mdns.allow=local,link t.x hello
		status_is 5
		has "$stderr" "nobody subscribes who is believed; t.x-far at " "but another machine says so"
		run --separate-stderr on a mbus pub -W 1 --wait 1 t.x hello
		status_is 124
		is "$(grep -c "t.x-far at .* is not believed: .*, but another machine says so" <<< "$stderr")" 1
		stop f KILL
		# One that stays and hears it announced.
		mkfifo pub.in
		start pub on a mbus pub -v -l t.x
		exec 7> pub.in
		echo one >&7
		wait_for grep -q "nobody subscribes" pub.err
		sleep 0.7
		on b python3 "$FAKE" announce --service micro.http.broker --id t.x-far --addr $addr \
			--version ff.http.broadcast --meta broker=http --meta topic=t.x
		wait_for grep -q "t.x-far.*is ignored" pub.err
		echo two >&7
		exec 7>&-
		finish pub
		rm pub.in
	done
	nowhere POST four.err six.err
	# On its own host the same is true.
	fake f on a answer --service micro.http.broker --id t.x-near --addr 127.0.0.1 \
		--version ff.http.broadcast --meta broker=http --meta topic=t.x
	run --separate-stderr on a mbus pub t.x hello
	has "$stderr" "127.0.0.1:9000: answered 501"
}

@test "who is on no network of this machine is neither heard nor answered" {
	host a
	host b
	cable a b
	on a ip route add 10.90.0.0/24 via 10.78.0.2
	on b ip addr add 10.90.0.2/24 dev to-a
	start sub on a mbus sub -v -b 0.0.0.0:0 -X dialect=new t.x
	wait_for sh -c "nsenter -t ${PID[b]} -n mbus registry get micro.http.broker > found"
	ask() {
		on b python3 - "$1" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.bind((sys.argv[1], 0))
		s.settimeout(0.5)
		s.sendto(bytes.fromhex("000900000001000000000000") + b"\5micro\4http\6broker\5micro\0\0\x0c\0\1", ("10.78.0.1", 5353))
		try:
		    print(len(s.recv(9999)))
		except socket.timeout:
		    print("silence")
		END
	}
	[ "$(ask 10.78.0.2)" != silence ]
	is "$(ask 10.90.0.2)" silence
	start w on a mbus registry watch -v greeter
	wait_for grep -q watching w.err
	on b python3 "$LIAR" --source 10.90.0.2 --addr 10.78.0.2 --service greeter --count 1 nodes
	wait_for grep -q "is ignored: who says so is on no network of this machine (-X mdns.allow) (said by 10.90.0.2)" w.err
	is "$(cat w.out)" ""
	start w on a mbus registry watch -v -X mdns.allow=link,10.90.0.0/24 greeter
	wait_for grep -q watching w.err
	on b python3 "$LIAR" --source 10.90.0.2 --addr 10.78.0.2 --service greeter --count 1 nodes
	wait_for lines_in w.out 1
}

@test "mdns.allow: wrong lists are refused" {
	local list

	for list in "" x "," "local," 10.0.0.0/33 10.0.0.0/ 10.0.0/8 ::/129 fd00::/8x /8 10.0.0.0/-1 1.2.3.4:80 \
	    10.0.0.0/99999999999999999999; do
		run --separate-stderr mbus registry -X mdns.allow="$list" list
		status_is 2
		has "$stderr" "-X mdns.allow=$list: a list of local, link, private, any"
	done
	for list in local any,any ::/0 0.0.0.0/0 ::1 10.0.0.1,local; do
		run --separate-stderr mbus registry -X mdns.allow="$list" list
		status_is 0
	done
}

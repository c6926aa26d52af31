#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The http broker among nodes that fail: tests/tools/fake_node does what a broken
# subscriber does, gm-v5 reg makes it known. What counts: each event ends in exactly
# one of confirmed, refused and unknown, in bounded time, and pub says which.

load ../lib

FAKE=$ROOT/tests/tools/fake_node
PORT=6000

# fake NAME TOPIC[@VERSION] BEHAVIOUR [N]: a node, registered (new dialect).
fake() {
	local name=$1 topic=${2%@*} version=ff.http.broadcast

	[ "$2" = "$topic" ] || version=${2#*@}
	PORT=$((PORT + 1))
	start_ready "$name" "$FAKE" $PORT "${@:3}"
	known "$name" "$topic" "$version" 127.0.0.1:$PORT
}

# known NAME TOPIC VERSION ADDRESS [META...]
known() {
	start_ready "reg-$1" gm-v5 reg -ready-fd 8 -version "$3" -id "$2-$1-c0ffee00-0000-4000-8000-00000000$(printf %04x $RANDOM)" \
		-meta broker=http -meta "topic=$2" -meta "secure=${5-false}" register micro.http.broker "$4"
}

# pub_is STATUS ARG...: a run of mbus pub that ends in time.
pub_is() {
	local want=$1

	shift
	run --separate-stderr timeout 20 mbus pub "$@"
	status_is "$want"
}

# lines STATUS [OPTION...]: ten events, the numbers 1 to 10.
ten() {
	seq 10 > ten
	pub_is "$1" -l "${@:2}" < ten
}

took() { [ $(($(now_ms) - begin)) -le "$1" ] || fail "took $(($(now_ms) - begin)) ms"; }

# small NAME: its memory has never been over 30 MB. (Sanitizers need more.)
small() {
	local kb

	kb=$(awk '/^VmHWM/ { print $2 }' "/proc/${PID[$1]}/status")
	[ "$kb" -lt 30000 ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$1: $kb kB"
}

# start_pub_small NAME TOPIC: three events, half a second apart, by one pub that stays small.
start_pub_small() {
	local name=pub-$1 i

	mkfifo "$name.fifo"
	mbus pub -l -W 3 "$2" < "$name.fifo" 2> "$name.err" & PID[$name]=$!
	exec 7> "$name.fifo"
	for i in 1 2 3; do
		echo "$i" >&7
		sleep 0.5
	done
	small "$name"
	exec 7>&-
	finish "$name"
	case $1 in
	# Its connection cannot be used for more: that is found out after -W.
	endless-chunks) [ "$status" = 0 ] || [ "$status" = 1 ] ;;
	*) is "$status" 0 "$(cat "$name.err")" ;;
	esac
}

# ---- one broadcast node ----

@test "nodes that answer well in their own way: every event is confirmed" {
	local b t name

	for b in ok close chunked eof interim drip old 'late 5'; do
		t=$(topic)
		name=n-${b% *}
		# shellcheck disable=SC2086
		fake "$name" "$t" $b
		ten 0 "$t" -W 8
		is "$(cat "$name.out")" "$(seq -f '200 %g' 10)"
	done
}

@test "a node that answers 500: refused, and said" {
	local t

	t=$(topic)
	fake n "$t" status 500
	pub_is 1 "$t" x
	has "$stderr" "$t" '127.0.0.1:6001' '500 Whatever'
	ten 1 "$t"
	has "$stderr" '10 of 10 not delivered: 10 refused'
	is "$(wc -l < n.out)" 11
}

@test "statuses other than 200 are no confirmation" {
	local t s

	for s in 201 204 301 400 404 429 503 101; do
		t=$(topic)
		fake "n$s" "$t" status $s
		pub_is 1 "$t" x -W 2
		has "$stderr" "$s"
	done
}

@test "a node that refuses each third: exactly those are refused" {
	local t

	t=$(topic)
	fake n "$t" flaky 3
	ten 1 "$t"
	has "$stderr" '3 of 10 not delivered: 3 refused'
	is "$(grep -c ^200 n.out)" 7
}

@test "a node that never answers: unknown after -W, and no later" {
	local t begin

	t=$(topic)
	fake n "$t" never
	begin=$(now_ms)
	pub_is 1 "$t" x -W 0.5
	took 2500
	has "$stderr" 'may have arrived'
	# The first went alone; what waited behind it was not sent.
	begin=$(now_ms)
	ten 3 "$t" -W 0.5
	took 2500
	has "$stderr" '10 of 10 not delivered: 9 refused, 1 unknown' 'could not be sent'
	is "$(wc -l < n.out)" 2
}

@test "a node that answers too late" {
	local t

	t=$(topic)
	fake n "$t" late 1500
	pub_is 1 "$t" x -W 0.5
	has "$stderr" 'may have arrived'
	pub_is 0 "$t" x -W 5
}

@test "a node that is known but not there: status 3, and said" {
	local t begin

	t=$(topic)
	known n "$t" ff.http.broadcast 127.0.0.1:6999
	begin=$(now_ms)
	pub_is 3 "$t" x
	took 2500
	has "$stderr" 127.0.0.1:6999 refused
	ten 3 "$t"
	has "$stderr" '10 of 10 not delivered: 10 refused'
}

@test "a node that does not even refuse: --connect-timeout bounds it" {
	local t begin

	t=$(topic)
	# Routed to lo, where nobody has it: no answer at all.
	ip addr add 10.77.1.1/24 dev lo
	ip route add blackhole 10.77.2.0/24 2> /dev/null || true
	known n "$t" ff.http.broadcast 10.77.2.9:6999
	begin=$(now_ms)
	pub_is 3 "$t" x --connect-timeout 0.5 -W 5
	took 2500
}

@test "a node that closes each connection at once" {
	local t

	t=$(topic)
	fake n "$t" slam
	pub_is 1 "$t" x
	ten 1 "$t" || ten 3 "$t"
	has "$stderr" '10 of 10 not delivered'
}

@test "a node that hangs up in the middle of the pipeline: what was in flight is sent once more" {
	local t b

	for b in cut reset; do
		t=$(topic)
		fake $b "$t" $b 6
		ten 0 "$t" -W 8
		is "$(grep ^200 $b.out)" "$(seq -f '200 %g' 10)"
		# Twice without an answer: unknown. Those behind it have another chance.
		t=$(topic)
		fake $b-often "$t" $b 3
		run --separate-stderr timeout 20 mbus pub -l "$t" < ten
		[ "$status" != 0 ]
		has "$stderr" 'stdin:7: ' 'may have arrived' '1 of 10 not delivered: 1 unknown'
		is "$(grep ^200 $b-often.out)" "$(seq -f '200 %g' 10 | grep -v '200 7')"
	done
}

@test "after a loss the window opens again, for a node that keeps its connections" {
	local t

	t=$(topic)
	fake n "$t" once 5
	seq 1000 > many
	pub_is 0 -l -W 18 --inflight 200 "$t" < many
	# The most that were waiting: never more than one before 32 answers, in the end many.
	is "$(sed -n '/^deep/ { p; q }' n.out)" 'deep 1'
	is "$(grep -n '^deep 2$' n.out | cut -d: -f1)" "$(($(grep -n '^deep 1$' n.out | cut -d: -f1) + 33))"
	[ "$(sed -n 's/^deep //p' n.out | tail -n 1)" -ge 50 ] || fail "$(grep ^deep n.out)"
	# What was in flight at the loss came twice, and nothing else did.
	is "$(sed -n 's/^200 //p' n.out)" "$(cat many)"
	is "$(grep -c '^-' n.out)" "$(grep '^-' n.out | sort -u | wc -l)"
	[ "$(grep -n '^-' n.out | tail -n 1 | cut -d: -f1)" -lt "$(grep -n '^deep 1$' n.out | cut -d: -f1)" ]
}

@test "a node that closes after so many answers gets more than one in vain once alone" {
	local t

	t=$(topic)
	fake n "$t" cut 10
	seq 2000 > many
	run --separate-stderr timeout 20 mbus pub -l -W 10 "$t" < many
	status_is 1
	# From the second connection on: ten answers and one that is lost.
	awk '/^-/ { n++; next } n { runs++; if (runs > 1 && n > 1) bad = 1; n = 0 } END { exit bad || runs < 50 }' n.out ||
		fail "$(cut -c1 n.out | uniq -c | head -n 20)"
}

@test "a node that answers one request of what it reads and forgets the rest" {
	local t n

	t=$(topic)
	fake n "$t" single
	ten 1 "$t" -W 1
	n=$(grep -c ^200 n.out)
	has "$stderr" "$((10 - n)) of 10 not delivered" 'may have arrived'
	# One event at a time it is as good as any.
	ten 0 "$t" -W 8 -X http.pipeline=1
}

@test "nodes that speak no HTTP, or too much of it" {
	local t b begin

	for b in garbage big endless; do
		t=$(topic)
		fake $b "$t" $b
		begin=$(now_ms)
		run --separate-stderr timeout 20 mbus pub -W 2 "$t" x
		took 6000
		case $b in
		# The status came before what is wrong.
		endless) status_is 0 ;;
		*) [ "$status" = 1 ] || [ "$status" = 3 ]; has "$stderr" "$t" ;;
		esac
	done
}

@test "answers without end: bounded in time and memory, and no more than was said counts" {
	local t b begin

	for b in endless-head endless-1xx drip-head; do
		t=$(topic)
		fake $b "$t" $b
		begin=$(now_ms)
		run --separate-stderr timeout 20 mbus pub -W 2 "$t" x
		took 5000
		[ "$status" = 1 ] || [ "$status" = 3 ] || fail "$b: status $status"
		has "$stderr" "$t"
	done
	has "$stderr" 'may have arrived'
	# The status came first: it is the answer. The others get theirs as well.
	for b in endless-chunks drip-body endless; do
		t=$(topic)
		fake $b "$t" $b
		begin=$(now_ms)
		pub_is 0 "$t" x -W 5
		start_pub_small $b "$t"
		took 9000
	done
}

@test "a node that answers without being asked, and more often than it is" {
	local t k

	t=$(topic)
	fake n "$t" unasked
	for k in 1 2 3 4 5; do
		begin=$(now_ms)
		run --separate-stderr timeout 20 mbus pub -W 2 "$t" x
		took 5000
		[ "$status" = 0 ] || has "$stderr" 'without having been asked'
	done
}

@test "a node that wants TLS is not spoken to in the clear" {
	local t

	t=$(topic)
	fake n "$t" ok
	stop reg-n || true
	known n "$t" ff.http.broadcast 127.0.0.1:6001 true
	pub_is 3 "$t" x
	has "$stderr" TLS
	is "$(cat n.out)" ''
}

# ---- several nodes ----

@test "one broadcast node of three fails: the others get all, and it is said" {
	local t

	t=$(topic)
	start_sub a --body "$t"
	fake n "$t" status 500
	start_sub b --body "$t"
	ten 1 "$t"
	has "$stderr" 127.0.0.1:6001 '10 of 10 not delivered: 10 refused'
	is "$(cat a.out)" "$(seq 10)"
	is "$(cat b.out)" "$(seq 10)"
}

@test "a queue's node that refuses is replaced by another, whoever is asked first" {
	local t b k=0

	for b in 'status 500' 'status 404' slam garbage 'flaky 2'; do
		k=$((k + 1))
		t=$(topic)
		# shellcheck disable=SC2086
		fake "x$k" "$t@q" $b
		# shellcheck disable=SC2086
		fake "y$k" "$t@q" $b
		start_sub "s$k" -g q --body "$t"
		seq 300 > many
		run --separate-stderr timeout 20 mbus pub -l -W 5 "$t" < many
		# What a node took before it failed may be twice; nothing is missing.
		is "$(cat "x$k.out" "y$k.out" "s$k.out" | sed -n 's/^200 //; /^[0-9]*$/p' | sort -nu)" "$(seq 300)"
		case $b in
		status* | flaky*)
			status_is 0
			is "$(cat "x$k.out" "y$k.out" "s$k.out" | sed -n 's/^200 //; /^[0-9]*$/p' | wc -l)" 300 ;;
		esac
	done
}

@test "a queue all of whose nodes refuse: refused, each asked once" {
	local t

	t=$(topic)
	fake x "$t@q" status 500
	fake y "$t@q" status 503
	fake z "$t@q" status 404
	pub_is 1 "$t" once
	is "$(cat x.out y.out z.out)" $'500 once\n503 once\n404 once'
}

@test "a queue with dead members: the living one gets all" {
	local t i

	t=$(topic)
	for i in 1 2 3 4; do known d$i "$t" q 127.0.0.1:699$i; done
	start_sub s -g q --body "$t"
	for i in 1 2 3 4 5; do pub_is 0 "$t" "e$i"; done
	ten 0 "$t"
	is "$(wc -l < s.out)" 15
}

@test "a member of a queue is killed in the middle: the other gets what is left" {
	local t

	t=$(topic)
	seq 500000 > pub.in
	start_sub a -g q --body "$t"
	start_sub b -g q --body "$t"
	start pub timeout 60 mbus pub -l -W 10 "$t"
	wait_for lines_in a.out 20000
	kill -KILL "${PID[a]}"
	finish pub 60
	# The last line of the killed one may be cut; what it had printed and not
	# confirmed came again: nothing is missing.
	is "$status" 0
	cat a.out b.out | grep -x '[0-9]*' | sort -nu | cmp - pub.in
}

@test "a broadcast subscriber is killed in the middle: the other gets all, and it is said" {
	local t

	t=$(topic)
	seq 500000 > pub.in
	start_sub a --body "$t"
	start_sub b --body "$t"
	start pub timeout 60 mbus pub -l -W 10 "$t"
	wait_for lines_in a.out 20000
	kill -KILL "${PID[a]}"
	finish pub 60
	[ "$status" = 1 ] || [ "$status" = 3 ]
	same_bytes pub.in b.out
	# No more than were under way; what comes after it is not the killed one's.
	matches "$(tail -n 1 pub.err)" 'mbus: pub: [0-9]+ of 500000 not delivered: .*'
	[ "$(sed -n 's/^mbus: pub: \([0-9]*\) of .*/\1/p' pub.err)" -le 1024 ]
}

@test "a stopped subscriber: -W bounds it, and its events are unknown" {
	local t begin

	t=$(topic)
	start_sub sub --body "$t"
	freeze sub
	# It does not answer in the registry either.
	ten 5 "$t" -W 0.7
	thaw sub
	# Stopped in the middle of a stream.
	seq 3000000 > pub.in
	start pub mbus pub -l -W 1 "$t"
	wait_for lines_in sub.out 20000
	freeze sub
	finish pub 30
	[ "$status" = 1 ] || [ "$status" = 3 ]
	has "$(cat pub.err)" 'of 3000000 not delivered' unknown
}

@test "a reader that does not read slows the publisher; memory stays small" {
	local t

	t=$(topic)
	mkfifo out
	mkfifo ready
	mbus sub --ready-fd 8 --body "$t" > out 8> ready 2> sub.err & PID[sub]=$!
	exec 6< out
	read -r _ < ready
	yes 0123456789012345678901234567890123456789 | head -n 1000000 > pub.in
	start pub mbus pub -l -W 60 "$t"
	sleep 1.5
	run ! gone "${PID[pub]}"
	small sub
	small pub
	# Then everything comes.
	cat <&6 > got & PID[cat]=$!
	exec 6<&-
	finish pub 60
	is "$status" 0
	stop sub
	finish cat
	is "$(wc -l < got)" 1000000
}

@test "a client that sends for ever and reads nothing is held up; memory stays small" {
	local t address k fd fds=()

	t=$(topic)
	start_sub sub --body "$t"
	address=$(mbus registry get micro.http.broker | awk '{ print $4; exit }')
	for ((k = 0; k < 5000; k++)); do printf 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx'; done > bad
	"$ROOT/tests/tools/talk" --deaf 1.5 "$address" < bad
	small sub
	run -0 mbus pub --wait 1 -W 5 "$t" x
	is "$(cat sub.out)" x
}

@test "more connections than descriptors: those that are there are served, the rest later" {
	local t address k fd fds=()

	t=$(topic)
	start_ready sub prlimit --nofile=24 mbus sub --ready-fd 8 --body "$t"
	address=$(mbus registry get micro.http.broker | awk '{ print $4; exit }')
	for ((k = 0; k < 40; k++)); do
		exec {fd}<> "/dev/tcp/${address%:*}/${address#*:}"
		fds+=("$fd")
	done
	sleep 0.3
	has "$(cat sub.err)" 'cannot take more connections'
	is "$(wc -l < sub.err)" 1
	for fd in "${fds[@]}"; do exec {fd}>&-; done
	run -0 --separate-stderr mbus pub -W 5 "$t" x
	is "$(cat sub.out)" x
}

@test "a publisher that goes on finds subscribers that come, go and come back" {
	local t i

	t=$(topic)
	mkfifo feed
	mbus pub -l -W 2 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	start_sub a --body "$t" 7>&-
	echo one >&7
	wait_for lines_in a.out 1
	sleep 0.8			# it watches the registry from now on
	stop a
	sleep 0.2
	echo nobody >&7
	wait_for grep -q 'nobody subscribes' pub.err
	start_sub b --body "$t" 7>&-
	for i in 1 2 3 4 5 6 7 8; do
		echo "two $i" >&7
		sleep 0.1
	done
	grep -qx 'two 8' b.out
	start_sub c --body "$t" 7>&-
	wait_for -t 3 sh -c 'echo three >&7; grep -qx three c.out'
	exec 7>&-
	finish pub
	is "$status" 5
}

@test "a subscriber is killed and another takes its address: the old one is forgotten" {
	local t k

	t=$(topic)
	mkfifo feed
	start_sub a --body -b 127.0.0.1:7100 "$t"
	mbus pub -l -W 2 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	echo one >&7
	wait_for lines_in a.out 1
	sleep 0.8			# it watches the registry from now on
	kill -KILL "${PID[a]}"
	finish a
	start_sub b --body -b 127.0.0.1:7100 "$t" 7>&-
	for k in 1 2 3 4 5 6; do
		echo "two $k" >&7
		sleep 0.1
	done
	exec 7>&-
	finish pub
	# The first that met it is not confirmed by all that were discovered.
	is "$status" 1
	has "$(cat pub.err)" 'answered 404' '1 of 7 not delivered: 1 refused'
	is "$(grep -v 'two 1' b.out)" "$(printf 'two %d\n' 2 3 4 5 6)"
}

@test "another host's word about a loopback address is not believed" {
	local t

	t=$(topic)
	host near
	host far
	cable near far
	start_sub liar on far -b 127.0.0.1:7001 "$t" 2> /dev/null || start_ready liar on far mbus sub --ready-fd 8 -b 127.0.0.1:7001 --body "$t"
	start_ready fake on far gm-v5 reg -ready-fd 8 -version ff.http.broadcast -id "$t-x" \
		-meta broker=http -meta "topic=$t" -meta secure=false register micro.http.broker 127.0.0.1:7002
	start_ready victim on near "$FAKE" 7002 ok
	run --separate-stderr on near mbus pub "$t" x
	status_is 5
	is "$(cat victim.out)" ''
	# Its real address is.
	start_ready real on far mbus sub --ready-fd 8 -b 0.0.0.0:0 --body "$t"
	run --separate-stderr on near mbus pub "$t" y
	status_is 0
	is "$(cat real.out)" y
}

# ---- addresses ----

# listening ADDRESS [OPTION...]: what is advertised, by dialect.
listening() {
	start_sub sub -v -b "$1" "${@:2}" T
	sed -n 's/.*listening on \(.*\) for \(.*\)micro.http.broker, advertised as \(.*\)/\2\1 \3/p' sub.err
	run -0 --separate-stderr mbus pub T x
	stop sub
}

@test "listen addresses are advertised as go-micro does" {
	# Many machines have localhost as IPv6 too, which resolvers put first.
	printf '%s\n' '127.0.0.1 localhost' '::1 localhost six' > hosts
	mount --bind hosts /etc/hosts
	matches "$(listening six:7100)" '\[::1\]:7100 \[::1\]:7100
go\.\[::1\]:[0-9]+ \[::1\]:[0-9]+'
	matches "$(listening 127.0.0.1:7100)" '127.0.0.1:7100 127.0.0.1:7100
go\.127.0.0.1:[0-9]+ 127.0.0.1:[0-9]+'
	matches "$(listening localhost:7100)" '127.0.0.1:7100 127.0.0.1:7100
go\.127.0.0.1:[0-9]+ 127.0.0.1:[0-9]+'
	matches "$(listening '[::1]:7100')" '\[::1\]:7100 \[::1\]:7100
go\.\[::1\]:[0-9]+ \[::1\]:[0-9]+'
	matches "$(listening '[::1]:0')" '\[::1\]:[0-9]+ \[::1\]:[0-9]+
go\.\[::1\]:[0-9]+ \[::1\]:[0-9]+'
	# Any address: the private one of this host is told.
	matches "$(listening 0.0.0.0:7100)" '0.0.0.0:7100 10.77.0.1:7100
go\.0.0.0.0:[0-9]+ 10.77.0.1:[0-9]+'
	matches "$(listening ':0')" '(0.0.0.0|\[::\]):[0-9]+ 10.77.0.1:[0-9]+
go\.(0.0.0.0|\[::\]):[0-9]+ 10.77.0.1:[0-9]+'
	matches "$(listening '[::]:7100')" '\[::\]:7100 10.77.0.1:7100
go\.\[::\]:[0-9]+ 10.77.0.1:[0-9]+'
	# The first of several; the old dialect alone gets the port itself.
	matches "$(listening 127.0.0.1:7100,127.0.0.1:7200 -X http.dialect=old)" 'go\.127.0.0.1:7100 127.0.0.1:7100'
}

@test "the address comes from MICRO_BROKER_ADDRESS, and pub never listens on it" {
	export MICRO_BROKER_ADDRESS=127.0.0.1:7100

	start_sub sub -v --body T
	has "$(cat sub.err)" 'listening on 127.0.0.1:7100'
	run -0 mbus pub T x
	is "$(cat sub.out)" x
}

@test "host:min-max takes the first free port; a taken one is an error" {
	start_sub a -v -b 127.0.0.1:7101-7110 -X http.dialect=new T
	start_sub b -v -b 127.0.0.1:7101-7110 -X http.dialect=new T
	has "$(cat a.err)" 'listening on 127.0.0.1:7101 '
	has "$(cat b.err)" 'listening on 127.0.0.1:7102 '
	run --separate-stderr timeout 5 mbus sub -b 127.0.0.1:7101 T
	status_is 3
	is "$(wc -l <<< "$stderr")" 1
	has "$stderr" 127.0.0.1:7101 'in use'
	run --separate-stderr timeout 5 mbus sub -b 127.0.0.1:7101-7102 T
	status_is 3
	has "$stderr" 'in use'
	run --separate-stderr timeout 5 mbus sub -b 192.0.2.1:7101 T
	status_is 3
}

@test "addresses that are none" {
	local a

	for a in nonsense 127.0.0.1 127.0.0.1: 127.0.0.1:x 127.0.0.1:70000 127.0.0.1:20-10 127.0.0.1:-5 127.0.0.1:1-2-3 \
		'[::1' '[::1]' ::1:5 '[::1]:' unix:/tmp/x ''; do
		run --separate-stderr timeout 5 mbus sub -b "$a" T
		[ "$status" = 2 ] || fail "$a: exit status $status" "$stderr"
		is "$(wc -l <<< "$stderr")" 1
	done
	run --separate-stderr timeout 5 mbus sub -b no-such-host.invalid:80 T
	status_is 3
}

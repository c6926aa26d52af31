#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A subscriber of the http broker among clients that mean it ill: tests/tools/hostile
# opens many connections that are slow, silent, greedy or endless. What counts: who
# behaves gets through as if they were not there, memory and connections are bounded,
# and they are closed in time. (Nodes that fail a publisher: http_faults.)

load ../lib

HOSTILE=$ROOT/tests/tools/hostile
TALK=$ROOT/tests/tools/talk

# subscriber TOPIC [OPTION...]: sets ADDRESS (of the new dialect) and ID.
subscriber() {
	start_sub sub "${@:2}" --body "$1"
	read -r ID ADDRESS < <(mbus registry get micro.http.broker | awk -v t="topic=$1" 'index($0, t) { print $3, $4; exit }')
	[ "$ADDRESS" ]
}

# many_pass TOPIC [MS]: 10,000 events of a publisher that behaves, all confirmed, and
# those of a one-shot publisher, in the time.
many_pass() {
	local begin took before

	before=$(wc -l < sub.out)
	seq 10000 > many
	begin=$(now_ms)
	run -0 --separate-stderr timeout 20 mbus pub --wait 1 -l -W 5 "$1" < many
	run -0 --separate-stderr timeout 20 mbus pub --wait 1 -W 5 "$1" one-shot
	took=$(($(now_ms) - begin))
	# Alone it takes 0.1 s. Sanitizers are slower.
	[ $took -lt "${2:-2000}" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "took $took ms"
	cmp <(tail -n +$((before + 1)) sub.out) <(cat many; echo one-shot) || fail "$before lines before, now $(wc -l < sub.out)"
}

# kb FIELD NAME: of /proc/PID/status, in kB.
kb() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/${PID[$2]}/status"; }

# under KB NAME: its memory has never been over it. (Sanitizers need more.)
under() {
	local is

	is=$(kb VmHWM "$2")
	[ "$is" -lt "$1" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$2: $is kB"
}

post() {
	local LC_ALL=C

	printf 'POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s' "$1" "${#2}" "$2"
}
event() {
	printf '{"Header":{"Micro-Topic":"%s"},"Body":"%s"}' "$1" "$(printf %s "$2" | base64 -w0)"
}

@test "slow heads: 300 connections drip, the others do not notice; then they are closed" {
	local t b

	for b in drip lines half; do
		t=$(topic)
		subscriber "$t" -X http.header_timeout=2s
		start_ready bad "$HOSTILE" -n 300 --pause 0.2 --seconds 8 $b "$ADDRESS"
		many_pass "$t"
		finish bad
		matches "$(cat bad.out)" '300 opened, 300 closed, answers 408:300 \([23]\.[0-9] s to the first closed\)'
		under 20000 sub
		many_pass "$t"
		stop sub
	done
}

@test "slow bodies: likewise, by length and in chunks" {
	local t b

	for b in drip-body chunks part; do
		t=$(topic)
		subscriber "$t" -X http.body_timeout=2s
		start_ready bad "$HOSTILE" -n 300 --pause 0.2 --seconds 8 $b "$ADDRESS"
		many_pass "$t"
		finish bad
		matches "$(cat bad.out)" '300 opened, 300 closed, answers 408:300 \([23]\.[0-9] s to the first closed\)'
		under 20000 sub
		stop sub
	done
}

@test "a body that makes progress may take longer than -X http.body_timeout" {
	local t

	t=$(topic)
	subscriber "$t" -X http.body_timeout=1s
	event "$t" "$(head -c 150000 /dev/zero | tr '\0' x)" > body
	start_ready slow "$HOSTILE" --body body --size 8000 --pause 0.1 --seconds 5 --target "/?id=$ID" steady "$ADDRESS"
	finish slow
	has "$(cat slow.out)" '1 opened, 0 closed, answers 200:1'
	is "$(wc -c < sub.out)" 150001
}

@test "a connection without a request is closed after -X http.idle_timeout, and a publisher goes on" {
	local t

	t=$(topic)
	subscriber "$t" -X http.idle_timeout=1s
	start_ready bad "$HOSTILE" -n 20 --seconds 8 silent "$ADDRESS"
	mkfifo feed
	mbus pub -l -W 5 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	echo one >&7
	finish bad
	matches "$(cat bad.out)" '20 opened, 20 closed, answers none \(1\.[0-9] s to the first closed\)'
	echo two >&7
	exec 7>&-
	finish pub
	is "$status $(cat pub.err)" '0 '
	is "$(cat sub.out)" $'one\ntwo'
}

@test "a client that says that no more will come, in the middle: answered and closed" {
	local t

	t=$(topic)
	subscriber "$t"
	run -0 "$HOSTILE" -n 100 --seconds 3 fin "$ADDRESS"
	matches "$output" '100 opened, 100 closed, answers 400:100 .*'
}

@test "clients that send for ever and read nothing are closed; memory stays bounded" {
	local t

	t=$(topic)
	subscriber "$t" -X http.body_timeout=2s
	start_ready bad "$HOSTILE" -n 20 --pause 0.01 --seconds 30 deaf "$ADDRESS"
	# Until its replies are stuck each takes a share of the processor.
	many_pass "$t" 5000
	finish bad
	has "$(cat bad.out)" '20 opened, 20 closed'
	under 60000 sub
}

@test "10,000 connections: each costs a kilobyte or two, and events pass" {
	local t opened idle

	t=$(topic)
	subscriber "$t" -X http.max_connections=11000
	idle=$(kb VmRSS sub)
	start_ready bad "$HOSTILE" -n 10000 --seconds 20 silent "$ADDRESS"
	many_pass "$t"
	under $((idle + 20000)) sub
	stop bad
	read -r opened _ < bad.out
	# Where descriptors are scarce, as many as there are.
	[ "$opened" -ge 10000 ] || [ "$opened" -ge $(($(ulimit -Hn) - 40)) ]
	many_pass "$t"
	# The same with half a head each.
	start_ready bad "$HOSTILE" -n 10000 --seconds 20 half "$ADDRESS"
	many_pass "$t"
	under $((idle + 25000)) sub
}

@test "over -X http.max_connections the longest idle make room: a publisher in use stays" {
	local t b n

	for b in silent half churn; do
		t=$(topic)
		subscriber "$t" -X http.max_connections=100
		mkfifo "feed-$b"
		mbus pub -l -W 5 "$t" < "feed-$b" 2> pub.err & PID[pub]=$!
		exec 7> "feed-$b"
		# In use for as long as they last, however long that is.
		(i=0; until [ -e over ]; do echo $((i++)); sleep 0.01; done; echo $i > fed) >&7 & PID[feed]=$!
		exec 7>&-
		start_ready bad "$HOSTILE" -n 2000 --seconds 4 $b "$ADDRESS"
		[ "$(ls "/proc/${PID[sub]}/fd" | wc -l)" -lt 140 ]
		finish bad 30
		: > over
		finish feed
		rm over
		finish pub
		is "$status $(cat pub.err)" '0 '
		n=$(cat fed)
		[ "$n" -ge 50 ] || fail "$n events"
		is "$(cat sub.out)" "$(seq 0 $((n - 1)))"
		matches "$(cat bad.out)" '[0-9]+ opened, (19|[2-9][0-9]|[0-9]{3})[0-9]{2} closed.*'
		is "$(grep -c 'cannot take more connections than 100' sub.err)" 1
		has "$(cat sub.err)" '-X http.max_connections'
		is "$(wc -l < sub.err)" 1
		many_pass "$t"
		stop sub
	done
}

# full TOPIC [OPTION...]: the only connection of a subscriber is at work: its event cannot be printed.
full() {
	local tls=()

	mkfifo out ready
	mbus sub --ready-fd 8 --body -X http.max_connections=1 -X http.dialect=new "${@:2}" "$1" > out 8> ready 2> sub.err & PID[sub]=$!
	exec 6< out
	read -r _ < ready
	ADDRESS=$(mbus registry get micro.http.broker | awk '{ print $4; exit }')
	if [[ " ${*:2} " == *" --tls "* ]]; then tls=(--tls-insecure); fi
	head -c 1000000 /dev/zero | mbus pub "${tls[@]}" -W 10 "$1" - & PID[pub]=$!
	wait_for -t 5 sh -c "[ \$(ls /proc/${PID[sub]}/fd | wc -l) -ge 9 ]" || true
	sleep 0.5
}

@test "when no connection can be given up, another is told so: 503, or an alert over TLS" {
	local t

	t=$(topic)
	full "$t"
	printf 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n' > req
	has "$("$TALK" "$ADDRESS" < req)" 'HTTP/1.1 503 Service Unavailable'
	cat <&6 > got & PID[cat]=$!
	finish pub
	is "$status" 0
	stop sub
	exec 6<&-
	rm out ready
	# In TLS nothing is said in plain HTTP.
	full "$t" --tls
	: > nothing
	is "$("$TALK" "$ADDRESS" < nothing | od -An -tx1)" ' 15 03 01 00 02 02 50'
	run openssl s_client -connect "$ADDRESS" < nothing
	has "$output" 'alert internal error'
	run ! grep -q 503 <<< "$output"
	cat <&6 > got & PID[cat]=$!
	finish pub
	is "$status" 0
	exec 6<&-
}

@test "-X http.max_per_peer bounds another host, not the local clients" {
	local t

	t=$(topic)
	host far
	ip link add to-far type veth peer name to-here netns "${PID[far]}"
	ip addr add 10.78.0.1/24 dev to-far
	ip link set to-far up
	on far ip addr add 10.78.0.2/24 dev to-here
	on far ip addr add 10.78.0.3/24 dev to-here
	on far ip link set to-here up
	subscriber "$t" -b 10.78.0.1:7200 -X http.max_per_peer=10
	start_ready near "$HOSTILE" -n 50 --seconds 20 silent 10.78.0.1:7200
	start_ready other on far "$HOSTILE" -n 10 --from 10.78.0.3 --seconds 20 silent 10.78.0.1:7200
	is "$(cat sub.err)" ''
	start_ready bad on far "$HOSTILE" -n 50 --from 10.78.0.2 --seconds 3 silent 10.78.0.1:7200
	finish bad
	has "$(cat bad.out)" '50 opened, 40 closed'
	is "$(grep -c 'cannot take more connections than 10 (-X http.max_per_peer)' sub.err)" 1
	stop near
	stop other
	has "$(cat near.out)" '50 opened, 0 closed'
	has "$(cat other.out)" '10 opened, 0 closed'
}

@test "-X http.memory_max bounds what all connections hold; the slowest are closed" {
	local t

	t=$(topic)
	subscriber "$t" -X http.body_max=1M -X http.memory_max=8M
	start_ready bad "$HOSTILE" -n 100 --size 900000 --seconds 5 part "$ADDRESS"
	many_pass "$t"
	finish bad
	has "$(cat bad.out)" '100 opened, 100 closed, answers 413:'
	stop sub
	# What the largest message needs is always there: here 120 MB.
	subscriber "$t" -X http.body_max=60M -X http.memory_max=1M
	start_ready bad "$HOSTILE" -n 400 --size 900000 --seconds 8 part "$ADDRESS"
	many_pass "$t"
	under 300000 sub
	finish bad
	matches "$(cat bad.out)" '400 opened, (2[5-9][0-9]|3[0-9][0-9]) closed, answers (none|503:[0-9]+) .*'
	is "$(grep -c http.memory_max sub.err)" 1
}

@test "what two readers could read as one request or two is refused, whatever comes behind" {
	local t want rest i=0 bad=

	t=$(topic)
	subscriber "$t"
	post "/?id=$ID" "$(event "$t" smuggled)" > behind
	while read -r want rest; do
		i=$((i + 1))
		{ printf '%b' "$rest"; cat behind; } | "$TALK" "$ADDRESS" > got
		[ "$(grep -ac '^HTTP/1.1 ' got)" = 1 ] && grep -aq "^HTTP/1.1 $want" got &&
			! grep -aq 'still open\|(reset)' got && continue
		echo "$want expected for: $rest"
		cat -v got
		bad=1
	done <<-'EOF'
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 5\r\n\r\nhello
		400 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		501 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n
		501 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n
		501 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		501 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nX: y\003Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400 POST / HTTP/1.1\nHost: h\nContent-Length: 0\n\n
		400 POST http://other/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n
		400 POST * HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n
		400 CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n
		400 POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		413 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n
	EOF
	[ ! "$bad" ]
	# None of them reached the output; an honest one does.
	has "$("$TALK" "$ADDRESS" < behind)" 'HTTP/1.1 200 OK'
	is "$(cat sub.out)" smuggled
}

@test "garbage behind a good request: the good one is printed and answered" {
	local t got

	t=$(topic)
	subscriber "$t"
	{ post "/?id=$ID" "$(event "$t" good)"; printf '\0\1\2 garbage\r\n\r\n'; } | tr '\0' '\3' > mixed
	got=$("$TALK" "$ADDRESS" < mixed)
	is "$(grep -o 'HTTP/1.1 [0-9]*' <<< "$got")" $'HTTP/1.1 200\nHTTP/1.1 400'
	[[ $got != *'still open'* ]]
	is "$(cat sub.out)" good
}

@test "thousands of made-up nodes: so many are kept, it is said once, and events pass" {
	local t i

	t=$(topic)
	subscriber "$t"
	mkfifo feed
	mbus pub -l -W 5 "$t" < feed 2> pub.err & PID[pub]=$!
	exec 7> feed
	echo one >&7
	sleep 0.8			# it watches the registry from now on
	for ((i = 0; i < 40; i++)); do
		# shellcheck disable=SC2046
		python3 "$ROOT/tests/bats/mdns_fake.py" announce --service micro.http.broker --addr 10.77.0.1 \
			--meta broker=http --meta "topic=other.$i" --version ff.http.broadcast \
			$(seq -f "--id=other.$i-%.0f" 400)
		if grep -q 'subscribers are registered: no more are kept' pub.err; then break; fi
	done
	[ "$(kb VmHWM pub)" -lt 40000 ] || [ "$MBUS_TEST_BUILD" != build ]
	start_sub late --body "$t" 7>&-
	echo two >&7
	exec 7>&-
	finish pub 20
	is "$status" 0
	is "$(grep -c . pub.err)" 1
	has "$(cat pub.err)" '10000 subscribers are registered: no more are kept'
	is "$(cat sub.out)" $'one\ntwo'
}

@test "limits that are none are refused" {
	local o

	for o in header_timeout=0 body_timeout=x idle_timeout=-1s max_connections=0 max_per_peer=many memory_max=0; do
		run --separate-stderr timeout 5 mbus sub -X "http.$o" T
		status_is 2
		has "$stderr" "-X http.${o%=*}"
	done
}

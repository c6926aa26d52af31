#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The http broker on the wire: what a subscriber answers, byte for byte beside
# go-micro's own, and what a publisher sends. Failing peers are in http_faults.

load ../lib

TALK=$ROOT/tests/tools/talk
OK=$'HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Length: 0\r\n\r'

# node SERVICE TOPIC: "ID ADDRESS" of the first node of that topic.
node() {
	mbus registry get "$1" | awk -v t="topic=$2" 'index($0, t) { print $3, $4; exit }'
}

# subscriber NAME TOPIC [OPTION...]: a mbus sub, and where it is in both dialects.
subscriber() {
	start_sub "$1" "${@:3}" "$2"
	read -r ID NEW < <(node micro.http.broker "$2")
	read -r _ OLD < <(node go.micro.http.broker "$2")
	[ "$NEW" ] && [ "$OLD" ]
}

# post TARGET BODY [HEADER...]: the bytes of a request.
post() {
	local target=$1 body=$2 LC_ALL=C h

	shift 2
	printf 'POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n' "$target" "${#body}"
	for h; do printf '%s\r\n' "$h"; done
	printf '\r\n%s' "$body"
}

# event TOPIC TEXT: the body of a request, new dialect.
event() {
	printf '{"Header":{"Micro-Topic":"%s"},"Body":"%s"}' "$1" "$(printf %s "$2" | base64 -w0)"
}

# ---- replies ----

# The cases of go-micro's table and their neighbours, as files case.NAME, with @ID@
# for the node's id: cases HEADER PATH TOPIC.
cases() {
	local h=$1 path=$2 t=$3 i=10 body

	while IFS= read -r body; do
		i=$((i + 1))
		post "$path?id=@ID@" "$(printf '%b' "$body")" > "case.$i"
	done <<-EOF
		{"Header":{"$h":"$t"},"Body":"aGk="}
		{"Header":{"$h":"$t","a":null},"Body":null}
		{"header":{"$h":"$t"},"BODY":[104,105],"more":{"x":[1]}}
		{"Header":{"$h":"$t"}}
		 { "Header" : {"$h":"$t"} , "Body" : "" }
		{"Header":{"$h":"$t"},"Body":"aGk=\\\\r\\\\n"}

		{
		{"Header":{"$h":"$t"},"Body":"aGk="
		{"Header":{"$h":"$t"},"Body":"!!!!"}
		{"Header":{"$h":"$t"},"Body":"aGk"}
		{"Header":{"$h":"$t"},"Body":"a-_="}
		{"Header":{"$h":"$t"},"Body":7}
		{"Header":{"$h":"$t"},"Body":{}}
		{"Header":{"$h":"$t","n":7},"Body":""}
		{"Header":{"$h":"$t","n":[]},"Body":""}
		{"Header":{"$h":"$t","n":{}},"Body":""}
		{"Header":{"$h":"$t","n":true},"Body":""}
		{"Header":[],"Body":""}
		{"Header":"x","Body":""}
		[1,2]
		"text"
		17
		true
		nul
		{"Header":{"$h":"$t"},"Body":""}x
		{"Header":{"$h":"$t"},"Body":""} {}
		{"Header":null}
		{"Header":{}}
		{"Header":{"$h":""},"Body":"aGk="}
		{"Header":{"other":"$t"},"Body":"aGk="}
		{}
		\\xef\\xbb\\xbf{"Header":{"$h":"$t"}}
		{"Header":{"$h":"$t"},}
		{'Header':{}}
		{"a":"\\x01"}
	EOF
	post "$path?id=@ID@" "{\"Header\":{\"$h\":\"$t\"}}" 'Content-Type: application/x-www-form-urlencoded' > case.form
	post "$path?id=@ID@" "{\"Header\":{\"$h\":\"$t\"}}" 'Content-Type: text/xml' > case.type
	post "$path?a=b&id=@ID@&id=other" "{\"Header\":{\"$h\":\"$t\"}}" 'Connection: close' > case.close
	post "/other/path?id=@ID@" "{\"Header\":{\"$h\":\"$t\"}}" > case.path
	# What only looks like the literal null, which go-micro does not survive.
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n\0null' "$path" > case.nul_null
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nnull\0' "$path" > case.null_nul
	printf 'GET %s?id=@ID@ HTTP/1.1\r\nHost: h\r\n\r\n' "$path" > case.get
	printf 'PUT %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}' "$path" > case.put
	printf 'DELETE %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' "$path" > case.delete
	local chunked="POST $path?id=@ID@ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	body="{\"Header\":{\"$h\":\"$t\"}}"
	printf "$chunked"'5;x=y\r\n%s\r\n%x\r\n%s\r\n0\r\nA: b\r\n\r\n' "${body:0:5}" $((${#body} - 5)) "${body:5}" > case.chunks
	printf "$chunked"'5\r\n{"HeaXX' > case.chunk_end
	printf "$chunked"'zz\r\n' > case.chunk_hex
	printf "$chunked"'5\r\n{"Hea\r\n' > case.chunks_cut
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{"Hea' "$path" > case.body_cut
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nContent-' "$path" > case.head_cut
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nContent-Length: 0\r\n\r\n' "$path" > case.no_host
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n' "$path" > case.coding
	printf 'POST %s?id=@ID@ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n\0{}' "$path" > case.expect
}

like_go_micro() {
	local line=$1 service=$2 t id address c bad=

	t=$(topic)
	start_ready theirs "gm-$line" sub -topic "$t" -ready-fd 8
	read -r id address < <(node "$service" "$t")
	cases "$3" "$4" "$t"
	"$TALK" --half --quiet 5 --prefix theirs --id "$id" "$address" case.*
	stop theirs
	start_sub ours "$t"
	read -r id address < <(node "$service" "$t")
	"$TALK" --half --quiet 5 --prefix ours --id "$id" "$address" case.*
	for c in case.*; do
		cmp -s "theirs.$c" "ours.$c" && continue
		echo "--- $c: $(cat -v "$c")"
		diff -u <(cat -v "theirs.$c") <(cat -v "ours.$c") || true
		bad=1
	done
	[ ! "$bad" ]
}

@test "every reply of the new dialect is go-micro v5's, byte for byte" {
	like_go_micro v5 micro.http.broker Micro-Topic /
}

@test "every reply of the old dialect is go-micro v1's, byte for byte" {
	like_go_micro v1 go.micro.http.broker :topic /_sub
}

# answers TEXT: the status codes of the replies in it, in one line.
answers() {
	grep -o 'HTTP/1\.1 [0-9]*' <<< "$1" | cut -c 10- | tr '\n' ' '
}

@test "where go-micro drops the connection or says 200, mbus says what is wrong" {
	local t got

	t=$(topic)
	subscriber sub "$t" --body
	got=$(post "/?id=$ID" null | "$TALK" "$NEW")
	has "$got" 'HTTP/1.1 400 Bad Request' '"code":400,"detail":"Error parsing request body: '
	got=$(post "/?id=$ID" ' null ' | "$TALK" "$NEW")
	has "$got" 'HTTP/1.1 400 Bad Request'
	# No such id, none at all, an id of another topic, another topic's name.
	for id in "?id=$t-c0ffee" '' "?id=x$ID" '?id=' "?ID=$ID"; do
		got=$(post "/$id" '{"Header":{"Micro-Topic":"'"$t"'","a":"b","c":"d"},"Body":"aGk="}' | "$TALK" "$NEW")
		has "$got" 'HTTP/1.1 404 Not Found' "\"detail\":\"No subscription here for topic $t\""
	done
	got=$(post "/?id=$ID" '{"Header":{"A":"b","Micro-Topic":"other"},"Body":"aGk="}' | "$TALK" "$NEW")
	has "$got" 'HTTP/1.1 404 Not Found' 'No subscription here for topic other'
	# The connection is good for more.
	got=$( { post /?id=x "$(event "$t" no)"; post "/?id=$ID" "$(event "$t" yes)"; } | "$TALK" "$NEW")
	is "$(answers "$got")" '404 200 '
	has "$got" '(still open)'
	is "$(cat sub.out)" yes
}

@test "pipelined requests in one write are answered in order, each with its own reply" {
	local t got

	t=$(topic)
	subscriber sub "$t" --body
	got=$( {
		post "/?id=$ID" "$(event "$t" 1)"
		post "/?id=$ID" 'x'
		post "/?id=$ID" "$(event "$t" 2)"
		printf 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'
		post /?id=none "$(event "$t" no)"
		printf 'POST /?id=%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n' "$ID"
		printf '%x\r\n%s\r\n0\r\n\r\n' "$(event "$t" 3 | wc -c)" "$(event "$t" 3)"
		post "/?id=$ID" "$(event "$t" 4)" 'Connection: close'
		post "/?id=$ID" "$(event "$t" 'not read any more')"
	} | "$TALK" "$NEW")
	is "$(answers "$got")" '200 500 200 405 404 200 200 '
	run ! grep -q 'still open\|reset' <<< "$got"
	is "$(cat sub.out)" $'1\n2\n3\n4'
}

@test "requests that come byte by byte" {
	local t got

	t=$(topic)
	subscriber sub "$t" --body
	got=$( {
		post "/?id=$ID" "$(event "$t" 1)"
		printf 'POST /?id=%s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n' "$ID"
		printf '%x\r\n%s\r\n0\r\n\r\n' "$(event "$t" 2 | wc -c)" "$(event "$t" 2)"
		post "/?id=$ID" "$(event "$t" 3)"
	} | "$TALK" --bytewise "$NEW")
	is "$(answers "$got")" '200 200 200 '
	is "$(cat sub.out)" $'1\n2\n3'
}

@test "a client that has said all still gets every reply" {
	local t i

	t=$(topic)
	subscriber sub "$t" --body
	for i in 1 2 3; do post "/?id=$ID" "$(event "$t" "$i")"; done | "$TALK" --half "$NEW" > got
	is "$(tr -d '\r' < got)" "$(for i in 1 2 3; do printf 'HTTP/1.1 200 OK\nDate: DATE\nContent-Length: 0\n\n'; done)"
	# More than the sockets hold at once: errors, whose replies are known at once.
	for ((i = 0; i < 20000; i++)); do printf 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx'; done > many
	"$TALK" --half --quiet 5 "$NEW" < many > got
	is "$(grep -o 'HTTP/1.1 500' got | wc -l)" 20000
	run ! grep -q 'still open\|reset' got
}

@test "HTTP/1.0 and Connection: close end the connection after the reply" {
	local t got

	t=$(topic)
	subscriber sub "$t" --body
	got=$(printf 'POST /?id=%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s' "$ID" "$(event "$t" hi | wc -c)" "$(event "$t" hi)" |
		"$TALK" "$NEW")
	is "$got" $'HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Length: 0\r\nConnection: close\r\n\r'
	got=$(post "/?id=$ID" "$(event "$t" ho)" 'connection: Keep-Alive, CLOSE' | "$TALK" "$NEW")
	is "$got" $'HTTP/1.1 200 OK\r\nDate: DATE\r\nContent-Length: 0\r\nConnection: close\r\n\r'
	is "$(cat sub.out)" $'hi\nho'
}

@test "malformed requests get an answer and the end of the connection" {
	local t want rest i=0 bad=

	t=$(topic)
	subscriber sub "$t" --body
	post "/?id=$ID" "$(event "$t" smuggled)" > behind
	while read -r want rest; do
		i=$((i + 1))
		{ printf '%b' "$rest"; cat behind; } | "$TALK" "$NEW" > got
		[ "$(answers "$(cat got)")" = "$want " ] && ! grep -q 'still open\|reset' got && continue
		echo "$want expected for: $rest"
		cat -v got
		bad=1
	done <<-'EOF'
		400 hello\r\n\r\n
		400 \r\n\r\n
		400 POST\r\n\r\n
		400 POST / \r\n\r\n
		400 POST  / HTTP/1.1\r\nHost: h\r\n\r\n
		400 POST / HTTP/1.1\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n
		400 POST / HTTP/1.1\r\nHost : h\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n
		400 POST / HTTP/1.1\nHost: h\n\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n
		400 POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n
		501 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n
		417 POST / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n
		505 POST / HTTP/2.0\r\nHost: h\r\n\r\n
		500 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n
		413 POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n
	EOF
	[ ! "$bad" ]
	{ printf 'POST / HTTP/1.1\r\nHost: h\r\n'; for ((i = 0; i < 3000; i++)); do printf 'X-%d: 0123456789012345678901234567890\r\n' "$i"; done; } > long
	has "$("$TALK" "$NEW" < long)" 'HTTP/1.1 431'
	# It is none the worse for it.
	has "$("$TALK" "$NEW" < behind)" "$OK"
	is "$(cat sub.out)" smuggled
}

@test "bodies: empty, null, 16 MiB, and over -X http.body_max" {
	local t got

	t=$(topic)
	subscriber sub "$t" --raw -c 1
	head -c 16777216 /dev/urandom > big
	run -0 mbus pub -f big "$t"
	finish sub 30
	same_bytes big sub.out

	t=$(topic)
	subscriber sub "$t" -J -X http.body_max=1000
	run -0 mbus pub "$t" ''
	run --separate-stderr mbus pub -f big "$t"
	status_is 1
	has "$stderr" 413
	head -c 600 /dev/zero > fits
	run -0 mbus pub -f fits "$t"
	head -c 800 /dev/zero > fits-not
	run --separate-stderr mbus pub -f fits-not "$t"
	status_is 1
	got=$(printf 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n' | "$TALK" "$NEW")
	has "$got" 'HTTP/1.1 413 Request Entity Too Large'
	got=$(printf 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n' | "$TALK" "$NEW")
	has "$got" 'HTTP/1.1 413 Request Entity Too Large'
	got=$(post "/?id=$ID" '{"Header":{"Micro-Topic":"'"$t"'"},"Body":null}' | "$TALK" "$NEW")
	has "$got" "$OK"
	is "$(wc -l < sub.out)" 3
	has "$(sed -n 1p sub.out)" '"body":"","len":0'
	has "$(sed -n 2p sub.out)" '"len":600'
	has "$(sed -n 3p sub.out)" '"body":null,"len":-1'
}

@test "the topic header is the broker's own and is hidden; others are kept" {
	local t got

	t=$(topic)
	subscriber sub "$t" -J
	post "/?id=$ID" '{"Header":{"Micro-Topic":"'"$t"'",":topic":"x","b":"2","a":"1"},"Body":""}' | "$TALK" "$NEW" > got
	post "/_sub?id=$ID" '{"Header":{":topic":"'"$t"'","Micro-Topic":"x","b":"2"},"Body":""}' | "$TALK" "$OLD" > got
	wait_for lines_in sub.out 2
	has "$(sed -n 1p sub.out)" '"headers":{":topic":"x","a":"1","b":"2"}'
	has "$(sed -n 2p sub.out)" '"headers":{"Micro-Topic":"x","b":"2"}'
	run --separate-stderr mbus pub -H Micro-Topic:other "$t" x
	status_is 1
	has "$stderr" Micro-Topic
}

@test "sub --wire raw shows the envelope as it came; pub has no such wire" {
	local t env

	t=$(topic)
	subscriber sub "$t" --body --wire raw
	env='{ "Header":{"Micro-Topic":"'"$t"'","k":"\u0076"} ,"Body":"aGk="}'
	post "/?id=$ID" "$env" | "$TALK" "$NEW" > got
	mbus pub "$t" hi -H k:v
	wait_for lines_in sub.out 2
	is "$(sed -n 1p sub.out)" "$env"
	is "$(sed -n 2p sub.out)" '{"Header":{"Micro-Topic":"'"$t"'","k":"v"},"Body":"aGk="}'
	run --separate-stderr mbus pub --wire raw "$t" x
	status_is 5
	has "$stderr" "no --wire raw"
}

# ---- publishing ----

@test "broadcast to three, a queue of both dialects, each queue its own" {
	local t n

	t=$(topic)
	seq 3000 > sent
	for n in a b c; do start_sub $n --body "$t"; done
	start_sub q1 -g q --body -X http.dialect=new "$t"
	start_sub q2 -g q --body -X http.dialect=old "$t"
	start_sub q3 -g q --body "$t"
	start_sub r1 -g r --body "$t"
	run -0 mbus pub -l "$t" < sent
	for n in a b c r1; do wait_for lines_in $n.out 3000; same_bytes sent $n.out; done
	cat q?.out | sort -n | cmp - sent
	for n in q1 q2 q3; do sort -nc $n.out; [ "$(wc -l < $n.out)" -ge 300 ]; done
	# A publisher that speaks one dialect only reaches those of that dialect.
	for n in q1 q2 q3; do stop $n; done
	start_sub new --body -X http.dialect=new "$t"
	start_sub old --body -X http.dialect=old "$t"
	run -0 mbus pub -X http.dialect=old "$t" to-old
	run -0 mbus pub -X http.dialect=new "$t" to-new
	is "$(cat new.out old.out)" $'to-new\nto-old'
}

@test "nobody subscribes: status 5 at once, and one line" {
	local t begin

	t=$(topic)
	start_sub other "$(topic)"
	begin=$(now_ms)
	run --separate-stderr mbus pub "$t" x
	[ $(($(now_ms) - begin)) -lt 600 ]
	status_is 5
	is "$output" ''
	is "$(wc -l <<< "$stderr")" 1
	has "$stderr" "$t" 'nobody subscribes'
	seq 5000 > many
	run --separate-stderr mbus pub -l "$t" < many
	status_is 5
	has "$stderr" '5000 of 5000 not delivered'
	run --separate-stderr mbus pub -q "$t" x
	status_is 5
	is "$stderr" ''
}

@test "nobody subscribes: who was asked, and who is there instead" {
	local r

	mkdir -m 700 files
	for r in mdns file; do
		export MICRO_REGISTRY=$r
		[ $r = mdns ] || export MICRO_REGISTRY_ADDRESS=$PWD/files
		run --separate-stderr mbus pub order x
		status_is 5
		is "$stderr" "mbus: pub: order: nobody subscribes to order (asked $r); --wait 1 waits for a subscriber"
		run --separate-stderr mbus registry list
		status_is 0
		is "$output" ""
		is "$stderr" "mbus: registry: warning: no service is registered ($r)"
		start_sub a-$r orders
		start_sub b-$r -g q quite.another
		run --separate-stderr mbus pub order x
		status_is 5
		is "$stderr" "mbus: pub: order: nobody subscribes to order (asked $r); 2 subscribers of other topics, orders among them"
		stop a-$r
		run --separate-stderr mbus pub order x
		is "$stderr" "mbus: pub: order: nobody subscribes to order (asked $r); 1 subscriber of other topics, quite.another among them"
		stop b-$r
	done
}

@test "pub -v names the subscribers and says how many they are" {
	local t at

	t=$(topic)
	start_sub a "$t"
	start_sub q -g crew "$t"
	run --separate-stderr mbus pub -v -X mdns.wait=full "$t" x
	status_is 0
	at='127.0.0.1:[0-9]+'
	matches "$(head -n 1 <<< "$stderr")" "mbus: pub: $t: 2 subscribers: ($at, $at of group crew|$at of group crew, $at)"
	has "$stderr" '1 confirmed'
}

@test "mbus topics shows who subscribes, both dialects as one" {
	local id='[0-9a-f-]{36}' at='127.0.0.1:[0-9]+' r

	mkdir -m 700 files
	for r in mdns file; do
		export MICRO_REGISTRY=$r
		[ $r = mdns ] || export MICRO_REGISTRY_ADDRESS=$PWD/files
		run --separate-stderr mbus topics
		is "$status$output" 0
		start_sub a-$r orders
		start_sub b-$r -X dialect=old orders
		start_sub q-$r -g q orders
		start_sub p-$r -g q orders
		start_sub z-$r $'an\e[31mother'
		run --separate-stderr mbus topics
		status_is 0
		is "$stderr" ''
		matches "$output" "an\\\\x1b\[31mother  1 subscriber
  (t1|an\\\\x1b\[31mother)-$id \($at\)
orders  4 subscribers
  orders-$id \($at\)
  orders-$id \($at\)
  orders-$id \($at\)  group q
  orders-$id \($at\)  group q"
		run --separate-stderr mbus topics -J orders nobody
		status_is 5
		has "$stderr" 'nobody: there is no such topic'
		is "$(wc -l <<< "$output")" 5
		python3 - "$output" <<- 'END'
		import json, sys
		lines = list(map(json.loads, sys.argv[1].splitlines()))
		t = [l for l in lines if l["type"] == "topic"]
		s = [l for l in lines if l["type"] == "subscriber"]
		assert len(t) == 1 and t[0]["topic"] == "orders" and t[0]["subscribers"] == 4, t
		assert [l["group"] for l in s] == [None, None, "q", "q"], s
		assert all(l["program"].startswith("orders-") and l["where"].startswith("127.0.0.1:") for l in s), s
		END
		# Of one dialect alone.
		run --separate-stderr mbus topics -X dialect=new orders
		has "$output" 'orders  3 subscribers'
		for s in a b q p z; do stop $s-$r; done
	done
}

@test "--wait waits for so many subscribers, up to -W, and sends nothing before" {
	local t begin

	t=$(topic)
	start_sub a --body "$t"
	begin=$(now_ms)
	run --separate-stderr mbus pub --wait 2 -W 0.6 "$t" early
	status_is 124
	[ $(($(now_ms) - begin)) -ge 600 ]
	has "$stderr" 'nothing sent'
	start pub mbus pub --wait 3 -W 10 "$t" late
	sleep 0.2
	start_sub b --body "$t"
	start_sub c -g q --body "$t"
	finish pub
	is "$status" 0
	is "$(cat a.out b.out c.out)" $'late\nlate\nlate'
}

@test "sub -c N prints exactly N, and the publisher learns which were not confirmed" {
	local t

	t=$(topic)
	start_sub sub --body -c 1000 "$t"
	seq 5000 > many
	run --separate-stderr mbus pub -l -W 2 "$t" < many
	[ "$status" != 0 ]
	finish sub
	is "$status" 0
	is "$(cat sub.out)" "$(seq 1000)"
	has "$stderr" '4000 of 5000 not delivered'
}

# At full speed, cut at any moment: what was printed was confirmed, and nothing else.
cut_short() {
	local t i n

	yes x | head -n 3000000 > pub.in
	for i in 1 2 4; do
		t=$(topic)
		# What a shell starts in the background ignores SIGINT.
		start_ready sub env --default-signal=INT mbus sub --ready-fd 8 --body "$t"
		start pub mbus pub -l -W 2 "$t"
		wait_for test -s sub.out
		sleep "0.0$i"
		stop sub "$1"
		is "$status" 0
		finish pub 20
		n=$(sed -n 's/^mbus: pub: \([0-9]*\) of 3000000 not delivered.*/\1/p' pub.err)
		is "$((3000000 - n))" "$(wc -l < sub.out)"
	done
}

@test "a sub ended by SIGTERM has confirmed what it printed, and nothing else" { cut_short TERM; }
@test "a sub ended by SIGINT has confirmed what it printed, and nothing else" { cut_short INT; }
@test "a sub whose terminal is closed has confirmed what it printed, and nothing else" { cut_short HUP; }

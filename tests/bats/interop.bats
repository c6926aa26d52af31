#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus and real go-micro programs, with the defaults of both: http, found through
# mdns. gm-LINE are the programs of tests/go/gm built against v1.18.0, v2.9.1,
# v3.7.0, v4.10.2 (v4.9.0 for services) and v5.30.0; micro is the official command
# line. v1 speaks the old dialect, all others the new one.

load ../lib

# What gm sub prints: gm_event TOPIC ID BODY [HEADER], all as in JSON.
gm_event() {
	printf '{"topic":"%s","header":{%s"Micro-Topic":"%s","id":"%s"},"body":"%s"}\n' "$1" "${4:+$4,}" "$1" "$2" "$3"
}

# ---- mbus pub to go-micro ----

to_line() {
	local t

	t=$(topic)
	start_ready sub "gm-$1" sub -topic "$t" -n 4 -ready-fd 8
	printf '%s\n' 'plain' 'tab	"quote" <é>' '' | mbus pub -l -H id:7 -H Aa=1 "$t"
	printf 'not\0text\377' | mbus pub -s -H id:8 -H Aa=1 "$t"
	finish sub
	is "$status" 0
	is "$(cat sub.out)" "$(
		gm_event "$t" 7 plain '"Aa":"1"'
		gm_event "$t" 7 'tab\t\"quote\" <é>' '"Aa":"1"'
		gm_event "$t" 7 '' '"Aa":"1"'
		printf '{"topic":"%s","header":{"Aa":"1","Micro-Topic":"%s","id":"8"},"body_b64":"bm90AHRleHT/"}' "$t" "$t")"
}

@test "mbus pub reaches v1: headers and body, in order" { to_line v1; }
@test "mbus pub reaches v2: headers and body, in order" { to_line v2; }
@test "mbus pub reaches v3: headers and body, in order" { to_line v3; }
@test "mbus pub reaches v4: headers and body, in order" { to_line v4; }
@test "mbus pub reaches v5: headers and body, in order" { to_line v5; }

# ---- go-micro to mbus sub ----

from_line() {
	local t i line

	t=$(topic)
	start_sub sub -J -c 3 "$t"
	"gm-$1" pub -topic "$t" -n 3 -header 'Aa=1' -body 'say "é" <&>' 2> pub.err
	finish sub
	is "$status" 0
	is "$(wc -l < sub.out)" 3
	# go-micro's Publish is asynchronous: any order.
	for i in 0 1 2; do
		line=$(grep -F "\"headers\":{\"Aa\":\"1\",\"id\":\"$i\"}" sub.out) || fail "no event $i" "$(cat sub.out)"
		has "$line" "\"topic\":\"$t\"" '"body":"say \"é\" <&>","len":12' '"broker":"http"'
	done
}

@test "mbus sub hears v1: headers and body" { from_line v1; }
@test "mbus sub hears v2: headers and body" { from_line v2; }
@test "mbus sub hears v3: headers and body" { from_line v3; }
@test "mbus sub hears v4: headers and body" { from_line v4; }
@test "mbus sub hears v5: headers and body" { from_line v5; }

# ---- queues: of each queue one member, and everybody outside ----

total() { cat "$@" | wc -l; }
sum_is() { [ "$(total "${@:2}")" = "$1" ]; }

queue_to_line() {
	local t

	t=$(topic)
	start_ready all "gm-$1" sub -topic "$t" -ready-fd 8
	start_ready a "gm-$1" sub -topic "$t" -queue q -ready-fd 8
	start_ready b "gm-$1" sub -topic "$t" -queue q -ready-fd 8
	start_sub c -g q --body "$t"
	seq 40 | mbus pub -l "$t"
	wait_for lines_in all.out 40
	wait_for sum_is 40 a.out b.out c.out
	sleep 0.2
	is "$(total all.out)" 40
	is "$(total a.out b.out c.out)" 40
}

@test "a queue of v1 and mbus shares what mbus sends" { queue_to_line v1; }
@test "a queue of v2 and mbus shares what mbus sends" { queue_to_line v2; }
@test "a queue of v3 and mbus shares what mbus sends" { queue_to_line v3; }
@test "a queue of v4 and mbus shares what mbus sends" { queue_to_line v4; }
@test "a queue of v5 and mbus shares what mbus sends" { queue_to_line v5; }

queue_from_line() {
	local t

	t=$(topic)
	start_sub all --body "$t"
	start_sub a -g q --body "$t"
	start_sub b -g q --body "$t"
	start_ready c "gm-$1" sub -topic "$t" -queue q -ready-fd 8
	"gm-$1" pub -topic "$t" -n 40 -interval 5ms 2> pub.err
	wait_for lines_in all.out 40
	wait_for sum_is 40 a.out b.out c.out
	sleep 0.2
	is "$(total all.out)" 40
	is "$(total a.out b.out c.out)" 40
}

@test "a queue of mbus and v1 shares what v1 sends" { queue_from_line v1; }
@test "a queue of mbus and v2 shares what v2 sends" { queue_from_line v2; }
@test "a queue of mbus and v3 shares what v3 sends" { queue_from_line v3; }
@test "a queue of mbus and v4 shares what v4 sends" { queue_from_line v4; }
@test "a queue of mbus and v5 shares what v5 sends" { queue_from_line v5; }

# ---- both dialects at once ----

@test "v1 and v5 side by side: mbus pub reaches both, once each" {
	local t

	t=$(topic)
	start_ready old gm-v1 sub -topic "$t" -ready-fd 8
	start_ready new gm-v5 sub -topic "$t" -ready-fd 8
	start_sub own --body "$t"
	seq 20 | mbus pub -l "$t"
	wait_for lines_in old.out 20
	wait_for lines_in new.out 20
	wait_for lines_in own.out 20
	sleep 0.2
	is "$(total old.out) $(total new.out) $(total own.out)" '20 20 20'
}

@test "v1 and v5 side by side: mbus sub hears both, each event once" {
	local t

	t=$(topic)
	start_sub own --body "$t"
	gm-v1 pub -topic "$t" -n 10 -body old 2> v1.err &
	gm-v5 pub -topic "$t" -n 10 -body new 2> v5.err
	wait $!
	wait_for lines_in own.out 20
	sleep 0.2
	is "$(sort own.out | uniq -c | tr -s ' \n' ' ')" ' 10 new 10 old '
}

@test "v1 and v5 members of one queue: each event of mbus pub goes to one of them" {
	local t

	t=$(topic)
	start_ready old gm-v1 sub -topic "$t" -queue q -ready-fd 8
	start_ready new gm-v5 sub -topic "$t" -queue q -ready-fd 8
	seq 20 | mbus pub -l "$t"
	wait_for sum_is 20 old.out new.out
	sleep 0.2
	is "$(total old.out new.out)" 20
}

# ---- the services of the tutorials ----

to_service() {
	start_ready email "gm-$1" email -ready-fd 8
	mbus pub -H id:5 user.registered '{"id":5,"name":"bob","email":"bob@example.org"}'
	mbus pub -H id:6 user.registered '{ "id": 6, "name": "eve", "email": "eve@example.org" }'
	wait_for lines_in email.out 2
	is "$(sort email.out)" '{"to":"bob@example.org","user":5,"header_id":"5"}
{"to":"eve@example.org","user":6,"header_id":"6"}'
}

@test "mbus pub reaches an email service of v1" { to_service v1; }
@test "mbus pub reaches an email service of v2" { to_service v2; }
@test "mbus pub reaches an email service of v3" { to_service v3; }
@test "mbus pub reaches an email service of v4.9" { to_service v4.9; }
@test "mbus pub reaches an email service of v5" { to_service v5; }

from_service() {
	local line

	start_sub sub -J -c 2 user.registered
	"gm-$1" user -n 2 2> user.err
	finish sub
	is "$status" 0
	while read -r line; do
		has "$line" '"topic":"user.registered"' '"Content-Type":"application/json"' \
			'\"name\":\"ann\",\"email\":\"ann@example.org\"}'
		matches "$line" '.*"[Ii]d":"[01]".*'
	done < sub.out
}

@test "mbus sub hears a user service of v1" { from_service v1; }
@test "mbus sub hears a user service of v2" { from_service v2; }
@test "mbus sub hears a user service of v3" { from_service v3; }
@test "mbus sub hears a user service of v4" { from_service v4; }
@test "mbus sub hears a user service of v4.9" { from_service v4.9; }
@test "mbus sub hears a user service of v5" { from_service v5; }

@test "the user and email services of all lines, and mbus listening in" {
	local l

	start_sub sub --body user.registered
	for l in v2 v3 v4.9 v5; do start_ready "email-$l" "gm-$l" email -ready-fd 8; done
	for l in v2 v3 v4 v5; do "gm-$l" user -n 2 2> "user-$l.err"; done
	for l in v2 v3 v4.9 v5; do wait_for lines_in "email-$l.out" 8; done
	wait_for lines_in sub.out 8
}

@test "the example of the README: an event to a go-micro service, and its answer" {
	start_sub sub -J -c 1 email.sent
	start service email-service
	run --separate-stderr mbus pub --wait 1 -W 10 user.registered '{"name":"ann","email":"ann@example.org"}'
	status_is 0
	finish sub
	is "$status" 0
	has "$(cat sub.out)" '{\"to\":\"ann@example.org\",\"subject\":\"Welcome, ann\"}'
	has "$(cat service.out)" 'user.registered: ann <ann@example.org>'
}

# ---- the official command line ----

@test "micro broker subscribe shows what mbus pub sends" {
	local t

	t=$(topic)
	start micro micro broker subscribe "$t"
	wait_for grep -q Subscribed micro.out
	mbus pub --wait 1 -W 10 "$t" 'hello from mbus'
	wait_for grep -qx 'hello from mbus' micro.out
	stop micro INT
	is "$status" 0
}

@test "micro registry list and get show the subscriptions of mbus" {
	local t

	t=$(topic)
	start_sub sub -g crew "$t"
	run -0 --separate-stderr micro registry list
	has "$output" '"name": "micro.http.broker"'
	run -0 --separate-stderr micro registry get micro.http.broker
	has "$output" '"name": "micro.http.broker"' '"version": "crew"' "\"topic\": \"$t\"" '"broker": "http"'
	matches "$output" '.*"address": "127\.0\.0\.1:[0-9]+".*'
	stop sub
	run --separate-stderr micro registry get micro.http.broker
	has "$stderr" 'service "micro.http.broker" not found'
}

@test "micro registry watch sees a mbus sub come and go" {
	start micro micro registry watch
	wait_for grep -q Watching micro.out
	start_sub sub "$(topic)"
	wait_for grep -q '^create *micro.http.broker ff.http.broadcast' micro.out
	stop sub
	wait_for grep -q '^delete *micro.http.broker ff.http.broadcast' micro.out
}

registry_of_line() {
	local name=micro.http.broker t

	[ "$1" != v1 ] || name=go.micro.http.broker
	t=$(topic)
	start_ready watch "gm-$1" reg -ready-fd 8 watch
	start_sub sub "$t"
	wait_for grep -q "^create .*\"name\":\"$name\"" watch.out
	# An announcement that arrives in between is listed too, by the name of its node.
	is "$("gm-$1" reg list 2> list.err | grep -x '.*http\.broker')" 'go.micro.http.broker
micro.http.broker'
	"gm-$1" reg get "$name" > get.out 2> get.err
	has "$(cat get.out)" "{\"name\":\"$name\",\"version\":\"ff.http.broadcast\",\"nodes\":[{" "\"topic\":\"$t\""
	is "$(wc -l < get.out)" 1
	stop sub
	wait_for grep -q "^delete .*\"name\":\"$name\"" watch.out
}

@test "the registry of v1 shows a mbus sub come and go" { registry_of_line v1; }
@test "the registry of v2 shows a mbus sub come and go" { registry_of_line v2; }
@test "the registry of v3 shows a mbus sub come and go" { registry_of_line v3; }
@test "the registry of v4 shows a mbus sub come and go" { registry_of_line v4; }
@test "the registry of v5 shows a mbus sub come and go" { registry_of_line v5; }

mbus_sees_line() {
	start watch mbus registry watch
	sleep 0.3
	start_ready reg "gm-$1" reg -meta zone=a -version 2.1 -ready-fd 8 register greeter 10.77.0.1:4444
	wait_for grep -q '^create *greeter' watch.out
	has "$(mbus registry list)" greeter
	run -0 mbus registry get greeter
	has "$output" greeter 2.1 greeter-1 10.77.0.1:4444 zone
	run -0 mbus registry get -J greeter
	has "$output" '"name":"greeter"' '"version":"2.1"' '"id":"greeter-1"' '"address":"10.77.0.1:4444"' '"zone":"a"'
	stop reg
	wait_for grep -q '^delete *greeter' watch.out
	run ! mbus registry get greeter
}

@test "mbus registry shows a service of v1 come and go" { mbus_sees_line v1; }
@test "mbus registry shows a service of v2 come and go" { mbus_sees_line v2; }
@test "mbus registry shows a service of v3 come and go" { mbus_sees_line v3; }
@test "mbus registry shows a service of v4 come and go" { mbus_sees_line v4; }
@test "mbus registry shows a service of v5 come and go" { mbus_sees_line v5; }

# ---- nothing is lost ----

@test "100,000 events from mbus pub to two mbus sub" {
	local t

	t=$(topic)
	seq 100000 > sent
	start_sub a --body -c 100000 "$t"
	start_sub b --body -c 100000 "$t"
	mbus pub -l "$t" < sent
	finish a 60
	is "$status" 0
	finish b 60
	is "$status" 0
	same_bytes sent a.out
	same_bytes sent b.out
}

hundred_thousand_to() {
	local t

	t=$(topic)
	seq 100000 > sent
	start_ready sub "gm-$1" sub -topic "$t" -n 100000 -ready-fd 8
	mbus pub -l "$t" < sent
	finish sub 120
	is "$status" 0
	sed 's/.*,"body":"\([0-9]*\)"}$/\1/' sub.out > got
	same_bytes sent got
}

@test "100,000 events from mbus pub to a subscriber of v5, in order" { hundred_thousand_to v5; }
@test "100,000 events from mbus pub to a subscriber of v1, in order" { hundred_thousand_to v1; }

@test "what v5 sends at its best pace arrives: 1000 events, 1 ms apart" {
	local t

	t=$(topic)
	start_sub sub --body "$t"
	gm-v5 pub -topic "$t" -n 1000 -interval 1ms -body x 2> pub.err
	wait_for lines_in sub.out 1000
}

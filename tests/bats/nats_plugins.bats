#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus and go-micro programs over nats: v1 and v2 and v5 have it in their core, v3 and v4
# by its plugin (tests/go).

load ../lib

LINES='v1 v2 v3 v4 v5'

setup() {
	lib_setup
	export MICRO_BROKER=nats MICRO_BROKER_ADDRESS=127.0.0.1:4222
	start server nats-server -a 127.0.0.1 -p 4222
	wait_for grep -q 'Server is ready' server.err
}

# gm_sub NAME LINE TOPIC [OPTION...]
gm_sub() { start_ready "$1" "gm-$2" sub -topic "$3" -ready-fd 8 "${@:4}"; }

# Go-micro does not wait until the server has its subscription.
listening() { sleep 0.3; }

to_line() {
	local t

	t=$(topic)
	gm_sub sub "$1" "$t" -n 6
	listening
	printf '%s\n' 'plain' 'tab	"quote" <é>' '' | mbus pub -l -H id:7 -H Aa=1 "$t"
	printf 'not\0text\377' | mbus pub -s -H id:8 -H 'Ü é:x' "$t"
	mbus pub -Z "$t"
	mbus pub -Z -H only:header "$t"
	finish sub
	is "$status" 0 || fail "$(cat sub.out)"
	is "$(cat sub.out)" '{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"plain"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"tab\t\"quote\" <é>"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":""}
{"topic":"'"$t"'","header":{"id":"8","Ü é":"x"},"body_b64":"bm90AHRleHT/"}
{"topic":"'"$t"'","header":{}}
{"topic":"'"$t"'","header":{"only":"header"}}'
}

@test "mbus pub reaches v1" { to_line v1; }
@test "mbus pub reaches v2" { to_line v2; }
@test "mbus pub reaches v3" { to_line v3; }
@test "mbus pub reaches v4" { to_line v4; }
@test "mbus pub reaches v5" { to_line v5; }

from_line() {
	local t

	t=$(topic)
	head -c 3000 /dev/urandom > body
	start_sub sub -J -c 5 "$t"
	"gm-$1" pub -topic "$t" -n 2 -header 'Aa=1' -body 'say "é" <&>' 2> pub.err
	"gm-$1" pub -topic "$t" -null 2> pub.err
	"gm-$1" pub -topic "$t" -file body 2> pub.err
	"gm-$1" pub -topic "$t" -file /dev/null 2> pub.err
	finish sub
	is "$status" 0
	has "$(sed -n 1p sub.out)" "\"topic\":\"$t\"" '"headers":{"Aa":"1","id":"0"}' '"body":"say \"é\" <&>","len":12' \
		'"broker":"nats"' '"wire":"micro"'
	has "$(sed -n 2p sub.out)" '"headers":{"Aa":"1","id":"1"}'
	has "$(sed -n 3p sub.out)" '"body":null,"len":-1'
	sed -n 4p sub.out | "$ROOT/tests/battery/events" bodies body
	has "$(sed -n 5p sub.out)" '"body":"","len":0'
}

@test "mbus sub hears v1" { from_line v1; }
@test "mbus sub hears v2" { from_line v2; }
@test "mbus sub hears v3" { from_line v3; }
@test "mbus sub hears v4" { from_line v4; }
@test "mbus sub hears v5" { from_line v5; }

# What go-micro's bytes are is what ours are.
same_wire() {
	local t

	t=$(topic)
	start_sub wire --wire raw --body -c 8 "$t"
	"gm-$1" pub -topic "$t" -header 'Aa=1' -header 'b<>&=é"\/' -body 'hello <world>' 2> pub.err
	mbus pub -H 'b<>&:é"\/' -H id:0 -H Aa:1 "$t" 'hello <world>'
	"gm-$1" pub -topic "$t" -null 2> pub.err
	mbus pub -H id:0 -Z "$t"
	"gm-$1" pub -topic "$t" -file /dev/null 2> pub.err
	mbus pub -H id:0 "$t" ''
	printf '\0\377\r\n' > body
	"gm-$1" pub -topic "$t" -file body 2> pub.err
	mbus pub -H id:0 -f body "$t"
	finish wire
	is "$(sed -n 'n;p' wire.out)" "$(sed -n 'p;n' wire.out)"
	is "$(uniq wire.out | wc -l)" 4
}

@test "what mbus writes is what v1 writes" { same_wire v1; }
@test "what mbus writes is what v2 writes" { same_wire v2; }
@test "what mbus writes is what v3 writes" { same_wire v3; }
@test "what mbus writes is what v4 writes" { same_wire v4; }
@test "what mbus writes is what v5 writes" { same_wire v5; }

@test "a queue is shared by programs of every line and by mbus" {
	local t l

	t=$(topic)
	for l in $LINES; do gm_sub "$l" "$l" "$t" -queue q; done
	start_sub a -g q -J "$t"
	start_sub b -g q -J "$t"
	start_sub every --body -c 1400 "$t"
	listening
	seq 700 | mbus pub -l "$t"
	for l in $LINES; do "gm-$l" pub -topic "$t" -n 140 -burst -body "$l" 2> pub.err; done
	finish every 30
	is "$status" 0
	all_shared() { [ "$(cat v?.out a.out b.out | wc -l)" -ge 1400 ]; }
	wait_for all_shared
	sleep 0.3
	is "$(cat v?.out a.out b.out | wc -l)" 1400
	for l in $LINES a b; do [ -s "$l.out" ] || fail "$l got nothing"; done
	is "$(cat v?.out a.out b.out | sed 's/.*"body":"\([0-9]*\)".*/\1/' | grep -x '[0-9][0-9]*' | sort -n)" "$(seq 700)"
}

@test "wildcards on both sides" {
	gm_sub v5 v5 'a.>'
	start_sub sub -J -c 2 'a.*'
	listening
	mbus pub a.b 1
	gm-v4 pub -topic a.c -body 2 2> pub.err
	finish sub
	has "$(sed -n 1p sub.out)" '"topic":"a.b"'
	has "$(sed -n 2p sub.out)" '"topic":"a.c"'
	wait_for lines_in v5.out 2
	has "$(sed -n 1p v5.out)" '"topic":"a.b"'
}

@test "a thousand events of each line in a burst" {
	local t l

	t=$(topic)
	start_sub sub --body "$t"
	for l in $LINES; do "gm-$l" pub -topic "$t" -n 1000 -burst -body "$l" 2> pub.err; done
	wait_for lines_in sub.out 5000
	is "$(sort sub.out | uniq -c | tr -s ' \n' ' ')" ' 1000 v1 1000 v2 1000 v3 1000 v4 1000 v5 '
}

@test "100,000 events to v5, in order" {
	local t

	t=$(topic)
	seq 100000 > sent
	gm_sub sub v5 "$t" -n 100000
	listening
	mbus pub -l "$t" < sent
	finish sub 60
	is "$status" 0
	sed 's/.*,"body":"\([0-9]*\)"}$/\1/' sub.out | cmp - sent
}

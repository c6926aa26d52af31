#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Topics over http and mdns: whatever mbus can carry to mbus is carried, go-micro's
# publishers reach it too, and what cannot be is refused with the reason.

load ../lib

# letters N: that many, which do not compress.
letters() {
	head -c $((2 * $1 + 100)) /dev/urandom | base64 -w0 | tr -d '/+=' | head -c "$1"
}

# Dots where DNS has none, characters that go-micro's DNS library escapes, labels
# and names over DNS's limits, bytes that only -J can say.
odd=(a. .a . .. a..b '...' 'two words' ' ' "it's" 'say "x"' 'back\slash' '\t1' 'a@b;(c)' 'grüße' '日本.語' $'tab\there'
	$'line\nbreak' $'\x01\x1f\x7f' '*' 'a.*' 'a.>' 'a/b' 'a+b&c=d%e' '%41' '-' '$HOME' '`x`' '{}' ':topic'
	user_registered_notifications_x abcdefghijklmnopqrstuvwxyza "$(printf 'x%.0s' {1..63})" "$(printf 'x%.0s' {1..64})"
	"$(printf 'a.%.0s' {1..96})" "$(letters 300)" "$(letters 5000)" "$(letters 20000)")

@test "topics of all kinds from mbus to mbus, each to its own subscriber only" {
	local k

	start_sub all --body "${odd[@]}"
	for k in "${!odd[@]}"; do
		run -0 --separate-stderr mbus pub -t "${odd[k]}" -m "to $k"
		is "$stderr" ''
	done
	is "$(cat all.out)" "$(for k in "${!odd[@]}"; do echo "to $k"; done)"
	is "$(cat all.err)" ''
	# One name that begins like another is another.
	run --separate-stderr mbus pub -t 'a...' -m x
	status_is 5
}

@test "sub -J of such topics is what pub -J publishes" {
	printf '{"topic":"%s","headers":{},"body":"x"}\n' 'é\u0000\u0001b' '\u2028' '\"\\' 'a\tb' > in
	# An argument has no NUL: the others.
	start_sub sub -J -c 3 $'\u2028' '"\' $'a\tb'
	run --separate-stderr mbus pub -J < in
	status_is 5
	has "$stderr" 'stdin:1: ' 'nobody subscribes' '1 of 4 not delivered'
	finish sub
	sed 's/"ts":[^,]*/"ts":0/' sub.out > got
	has "$(sed -n 1p got)" '"topic":"\u2028"'
	has "$(sed -n 2p got)" '"topic":"\"\\"'
	has "$(sed -n 3p got)" '"topic":"a\tb"'
}

@test "what cannot be carried is refused with the reason" {
	run --separate-stderr mbus sub ''
	status_is 2
	is "$stderr" 'mbus: sub: the http broker has no empty topic'
	run --separate-stderr mbus sub $'a\xffb'
	status_is 2
	has "$stderr" 'not UTF-8'
	run --separate-stderr mbus sub -W 5 "$(letters 60000)"
	status_is 1
	has "$stderr" 'packet'
	run --separate-stderr mbus pub '' x
	status_is 1
	has "$stderr" 'empty'
	run --separate-stderr mbus pub $'a\xffb' x
	status_is 1
	has "$stderr" 'not UTF-8'
	printf '%s\n' '{"topic":"","body":"x"}' '{"topic_b64":"/w==","body":"x"}' > in
	run --separate-stderr mbus pub -J < in
	status_is 1
	has "$stderr" 'stdin:1: topic' 'stdin:2: topic' '2 of 2 not delivered: 2 refused'
	for group in '' ff.http.broadcast $'\xff'; do
		run --separate-stderr mbus sub -W 5 -g "$group" T
		status_is 2
	done
}

# go-micro loses topics like these among its own programs; not with a subscriber of
# ours, whose node has an id that its DNS library reads right.
from_line() {
	local k some=(4 6 8 10 11 13 15 21 30 31 34 35)

	for k in "${some[@]}"; do
		start_sub "sub$k" --body "${odd[k]}"
	done
	for k in "${some[@]}"; do
		"gm-$1" pub -topic "${odd[k]}" -body "to $k" 2> pub.err
		is "$(cat "sub$k.out")" "to $k"
	done
	for k in "${some[@]}"; do is "$(cat "sub$k.err")" ''; done
}

@test "publishers of v1 reach them" { from_line v1; }
@test "publishers of v2 reach them" { from_line v2; }
@test "publishers of v3 reach them" { from_line v3; }
@test "publishers of v4 reach them" { from_line v4; }
@test "publishers of v5 reach them" { from_line v5; }

# What they can register themselves, mbus reaches.
to_line() {
	local t

	for t in 'two words' 'grüße' "it's" 'a@b' 'back\slash' '\\a' 'a.' 'a/b'; do
		start_ready sub "gm-$1" sub -topic "$t" -n 1 -ready-fd 8
		run -0 mbus pub "$t" hello
		finish sub
		has "$(cat sub.out)" '"body":"hello"'
	done
}

@test "mbus reaches the odd topics of v1" { to_line v1; }
@test "mbus reaches the odd topics of v5" { to_line v5; }

@test "nothing that is announced for them makes go-micro's programs complain" {
	local l

	for l in v1 v2 v3 v4 v5; do start_ready "watch-$l" "gm-$l" reg -ready-fd 8 watch; done
	start_ready reader gm-v5 sub -topic "$(topic)" -ready-fd 8
	sleep 0.2
	for l in v1 v2 v3 v4 v5; do wc -c < "watch-$l.err" > "before-$l"; done
	start_sub all --body "${odd[@]}"
	for l in v1 v2 v3 v4 v5; do
		wait_for grep -q '"topic":"grüße"' "watch-$l.out"
	done
	sleep 1.2			# the second announcements
	stop all
	for l in v1 v2 v3 v4 v5; do wait_for grep -q '^delete .*"topic":"grüße"' "watch-$l.out"; done
	for l in v1 v2 v3 v4 v5; do
		is "$(tail -c +$(($(cat "before-$l") + 1)) "watch-$l.err")" ''
	done
	run ! grep -i 'mdns\|unpack\|panic' reader.err
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Which events sub takes notice of, and what else it does with them: --where, --exclude,
# --skip, --sample, --expect, --save, --tee, --stats. What expressions mean is in
# tests/unit/test_expr.c.

load ../lib

setup() {
	lib_setup
	export MICRO_REGISTRY=file
	T=$(topic)
}

# numbers N SUB_ARGUMENT...: publishes JSON lines 1 to N, to a sub that may end before.
numbers() {
	start_sub sub "${@:2}" "$T"
	seq "$1" | sed 's/.*/{"n":&}/' | mbus pub -q -l -H kind:number "$T" || true
}

@test "--where: only what it is true of is printed and counted; the rest is settled" {
	numbers 100 --body --where 'json /n > 40 && header.kind == "number"' -c 3
	finish sub
	is "$status" 0
	is "$(cat sub.out)" $'{"n":41}\n{"n":42}\n{"n":43}'
	# pub was told that each of them was taken, so nothing was held back.
	start_sub none --body --where 'size > 1000' -W 3 "$T"
	mbus pub -W 2 "$T" small
	finish none
	is "$status" 124
	is "$(cat none.err)" 'mbus: sub: timed out: no event'
}

@test "--skip and --sample" {
	numbers 10 --body --skip 8 -c 2
	finish sub
	is "$(cat sub.out)" $'{"n":9}\n{"n":10}'
	numbers 4000 --body --sample 25%
	stop sub
	[ "$(wc -l < sub.out)" -gt 700 ]
	[ "$(wc -l < sub.out)" -lt 1300 ]
}

@test "--exclude: a glob on the topic" {
	start_sub sub -c 1 -f '%t\n' --exclude '*.debug' --exclude 'x[0-9]' "$T.debug" x7 "$T"
	mbus pub "$T.debug" no
	mbus pub x7 no
	mbus pub "$T" yes
	finish sub
	is "$(cat sub.out)" "$T"
}

@test "--expect: status 1 if it is not true of an event, which is printed all the same" {
	numbers 3 --body --expect 'json /n < 4' -c 3
	finish sub
	is "$status" 0
	numbers 3 --body --expect 'json /n != 2' -c 3
	finish sub
	is "$status" 1
	is "$(wc -l < sub.out)" 3
	is "$(cat sub.err)" 'mbus: sub: event 2 is not as --expect says'
}

@test "an expression that is wrong is refused before anything is connected" {
	run --separate-stderr mbus sub -B redis -b 127.0.0.1:1 --where 'topic = "x"' t
	status_is 2
	is "$stderr" 'mbus: sub: --where: character 7: equal is =='
	run --separate-stderr mbus sub -B redis -b 127.0.0.1:1 --sample 0 t
	status_is 2
	is "$stderr" "mbus: sub: --sample: '0' is no percentage, as 10 or 0.5"
	run --separate-stderr mbus sub -B redis -b 127.0.0.1:1 --stats 1 --tee x t
	status_is 2
	[ ! -e x ]
}

@test "--save: two files an event, numbered on; pub -J reads them" {
	printf 'a\0b' > body
	start_sub sub --save dir -c 2 --body "$T"
	mbus pub -H id:7 "$T" -f body
	mbus pub "$T" two
	finish sub
	is "$(ls dir | paste -sd ' ')" '000001.body 000001.json 000002.body 000002.json'
	same_bytes body dir/000001.body
	start_sub sub --save dir -c 2 -J "$T"
	cat dir/*.json | mbus pub -J
	finish sub
	is "$(ls dir | wc -l)" 8
	same_bytes body dir/000003.body
	has "$(cat sub.out)" '"id":"7"'
}

@test "--save, --tee: what cannot be kept ends the run, and is not taken" {
	mkdir dir
	start_sub sub --save dir --body "$T"
	rmdir dir
	run --separate-stderr mbus pub -W 3 "$T" lost
	[ "$status" != 0 ]
	finish sub
	is "$status" 6
	has "$(cat sub.err)" '--save: dir/000001.body: No such file or directory'
	is "$(cat sub.out)" ''
	start_sub sub --tee /dev/full --body -c 1 "$T"
	mbus pub -W 3 "$T" x || true
	finish sub
	is "$status" 6
	has "$(cat sub.err)" 'mbus: sub: --tee /dev/full: No space left on device'
}

@test "--tee: the same bytes as on stdout" {
	numbers 5000 -J --tee copy -c 5000
	finish sub
	is "$status" 0
	is "$(wc -l < sub.out)" 5000
	same_bytes sub.out copy
}

@test "--stats: a table of topics on stderr, and no events unless an output is chosen" {
	start_sub sub --stats 300ms -c 4 "$T" "$T.b"
	mbus pub "$T" 12345678
	mbus pub "$T" 1234
	mbus pub "$T.b" $'x\n'
	wait_for grep -q "^$T  *2 " sub.err
	mbus pub "$T.b" x
	finish sub
	is "$status" 0
	is "$(cat sub.out)" ''
	matches "$(tail -n 3 sub.err | head -n 1)" 'topic +events +rate +bytes +mean size +last'
	matches "$(tail -n 2 sub.err | grep "^$T ")" "$T +2 +[0-9.]+/s +[0-9.]+ B/s +6 B +[0-9.]+ s ago"
	start_sub sub --stats 300ms --body -c 1 "$T"
	mbus pub "$T" hello
	finish sub
	is "$(cat sub.out)" hello
	grep -q "^$T  *1 " sub.err
}

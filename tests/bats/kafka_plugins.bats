#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus and go-micro programs that use its kafka plugins, v1 to v4 (tests/go), by an
# Apache Kafka 3.9: with 4.x two of them cannot talk at all, and the others store no
# offset (kafka_interop.bats has what they can).

load ../lib
load kafka

setup_file() { kafka_up "$(. "$MBUS_TEST_ROOT/tests/servers/kafka.bash"; echo $KAFKA_OLD)"; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

@test "mbus pub reaches v1" { to_line v1; }
@test "mbus pub reaches v2" { to_line v2; }
@test "mbus pub reaches v3" { to_line v3; }
@test "mbus pub reaches v4" { to_line v4; }
@test "mbus pub reaches v1, with a queue" { to_line v1 -queue "q$t"; }
@test "mbus pub reaches v2, with a queue" { to_line v2 -queue "q$t"; }
@test "mbus pub reaches v3, with a queue" { to_line v3 -queue "q$t"; }
@test "mbus pub reaches v4, with a queue" { to_line v4 -queue "q$t"; }

@test "mbus sub hears v1" { from_line v1; }
@test "mbus sub hears v2" { from_line v2; }
@test "mbus sub hears v3" { from_line v3; }
@test "mbus sub hears v4" { from_line v4; }
@test "mbus sub hears v1, with a queue" { from_line v1 -g "q$t"; }
@test "mbus sub hears v2, with a queue" { from_line v2 -g "q$t"; }
@test "mbus sub hears v3, with a queue" { from_line v3 -g "q$t"; }
@test "mbus sub hears v4, with a queue" { from_line v4 -g "q$t"; }

@test "what mbus writes is what v1 writes" { same_wire v1; }
@test "what mbus writes is what v2 writes" { same_wire v2; }
@test "what mbus writes is what v3 writes" { same_wire v3; }
@test "what mbus writes is what v4 writes" { same_wire v4; }

@test "records of v1 and v2 have no timestamp, and are shown without one" {
	local l

	admin create "$t"
	for l in v1 v2 v3 v4; do "gm-$l" pub -topic "$t" -body "$l" 2> pub.err; done
	is "$(consume "$t" -f '%T\n' | grep -cx -- -1)" 2
	run -0 mbus sub -J -o beginning -e "$t"
	has "${lines[0]}" '"body":"v1"'
	has "${lines[1]}" '"body":"v2"'
	[[ ${lines[0]}${lines[1]} != *'"ts"'* ]] || fail "${lines[0]}" "${lines[1]}"
	has "${lines[2]}" '"ts":"20' '"ts":"create"'
	has "${lines[3]}" '"ts":"20' '"ts":"create"'
	# Nor is a copy of them given the present time by the way.
	admin create "$t.b"
	mbus sub -J -o beginning -e "$t" | mbus pub -J -t "$t.b"
	is "$(mbus sub -J -o beginning -e "$t.b" | wc -l)" 4
}

# resumed LINE: a group stops and goes on, in a program of LINE and in mbus by turns.
resumed() {
	admin create "$t"
	gm_sub one "$1" "$t" -queue "q$t"
	mbus pub "$t" 'to go'
	wait_for heard_n one 1
	stop one
	mbus pub "$t" 'to mbus'
	is "$(mbus sub --body -g "q$t" -c 1 "$t")" 'to mbus'
	mbus pub "$t" 'to go again'
	start_ready two "gm-$1" sub -topic "$t" -ready-fd 8 -queue "q$t"
	wait_for -t 20 heard_n two 1
	is "$(heard two | sed 's/.*"body"://')" '"to go again"}'
	stop two
	is "$(mbus sub --body -g "q$t" -e "$t")" ''
}
@test "a queue of v1 and a group of mbus are one: each goes on where the other stopped" { resumed v1; }
@test "a queue of v2 and a group of mbus are one: each goes on where the other stopped" { resumed v2; }
@test "a queue of v3 and a group of mbus are one: each goes on where the other stopped" { resumed v3; }
@test "a queue of v4 and a group of mbus are one: each goes on where the other stopped" { resumed v4; }

# share MEMBER...: these of kcat, v1 ... v4 and mbus, in this order, and each has some of
# the 8 partitions. The first one leads the group, and deals them out.
share() {
	local m n=0

	admin create "$t" 8
	for m; do
		n=$((n + 1))
		join $m
	done
	all_share
}
join() {
	case $1 in
	mbus) start mbus mbus sub -v -g "q$t" --body "$t" ;;
	kcat) start kcat stdbuf -oL kcat -q -b $K -G "q$t" "$t" ;;
	v*) start_ready $1 "gm-$1" sub -topic "$t" -ready-fd 8 -queue "q$t" ;;
	esac
	joined() { [ "$(admin members "q$t" | wc -l)" = $n ]; }
	wait_for -t 30 joined
}
# A member that has joined gets its share when the others have heard of it: they ask
# every three seconds, and until then have all of it.
all_share() {
	each_has() { [ "$(admin shares "q$t")" = $n ]; }
	wait_for -t 90 each_has
}
# shared MEMBER...: all have had some of 800 events, nothing is missing or there twice.
shared() {
	local m

	# Until each has looked where to begin in its partitions.
	for ((k = 0; k < 8; k++)); do has_part $k "$@"; done
	seq 800 | sed 's/.*/k&:&/' | mbus pub -l -K : "$t"
	all_of_them() { bodies "$@" | awk '$1 <= 800' | cmp -s - <(seq 800); }
	wait_for -t 20 all_of_them "$@" || { wc -l ./*.out; bodies "$@" | uniq -d | head -n 5; return 1; }
	for m; do
		[ "$(bodies $m | awk '$1 <= 800' | wc -l)" -gt 0 ] || fail "nothing for $m"
	done
}
has_part() {
	local k=$1

	shift
	come() { mbus pub --partition $k "$t" 1000$k; sleep 0.2; bodies "$@" | grep -qx 1000$k; }
	wait_for -t 30 come "$@"
}
# Of the plugins' output and of kcat's, which shows the envelope, the body.
bodies() {
	local m n

	for m; do
		case $m in
		mbus) cat mbus.out ;;
		kcat) sed -n 's/.*"Body":"\([^"]*\)"}$/\1/p' kcat.out | while read -r n; do base64 -d <<< "$n"; echo; done ;;
		v*) sed -n 's/.*"body":"\([0-9]*\)"}$/\1/p' $m.out ;;
		esac
	done | sort -n
}

@test "one group of kcat, v2, v3 and mbus: each event to one of them" {
	share kcat v2 v3 mbus
	shared kcat v2 v3 mbus
}
@test "one group of mbus, kcat, v1 and v4: each event to one of them" {
	share mbus kcat v1 v4
	shared mbus kcat v1 v4
}

# led_by LINE: a plugin that leads cannot read what a member with librdkafka (kcat or
# mbus) says of itself when it joins. It says so and asks again, in a circle, until the
# server takes it for dead, ten seconds later: then one of the others leads. What comes
# meanwhile comes late.
led_by() {
	local k n=1

	admin create "$t" 8
	join "$1"
	for ((k = 0; k < 8; k++)); do has_part $k "$1"; done
	stored() { [ "$(admin committed "q$t" "$t")" = "$(admin ends "$t")" ]; }
	wait_for stored
	n=2 join kcat
	n=3 join mbus
	wait_for grep -q 'error decoding packet: invalid length' "$1.err"
	seq 801 900 | sed 's/.*/k&:&/' | mbus pub -l -K : "$t"
	n=3 all_share
	shared "$1" kcat mbus
	late() { bodies "$@" | awk '$1 > 800 && $1 < 10000' | cmp -s - <(seq 801 900); }
	wait_for late "$1" kcat mbus
	grep -q 'no word of its partitions for 5 s' mbus.err
}
# bats test_tags=long
@test "a group that v1 leads: after ten seconds kcat and mbus have their share" { led_by v1; }
# bats test_tags=long
@test "a group that v2 leads: after ten seconds kcat and mbus have their share" { led_by v2; }
# bats test_tags=long
@test "a group that v3 leads: after ten seconds kcat and mbus have their share" { led_by v3; }
@test "a group that v4 leads: after ten seconds kcat and mbus have their share" { led_by v4; }

@test "a thousand events of each line in a burst, and 20,000 of mbus to each" {
	local l

	admin create "$t"
	start_sub sub --body "$t"
	for l in v1 v2 v3 v4; do gm_sub $l $l "$t.$l"; done
	for l in v1 v2 v3 v4; do "gm-$l" pub -topic "$t" -n 1000 -burst -body "$l" 2> pub.err; done
	wait_for lines_in sub.out 4000
	is "$(uniq -c sub.out | tr -s ' \n' ' ')" ' 1000 v1 1000 v2 1000 v3 1000 v4 '
	for l in v1 v2 v3 v4; do
		seq 20000 | mbus pub -l "$t.$l"
		wait_for -t 30 heard_n $l 20000
		heard $l | sed 's/.*,"body":"\([0-9]*\)"}$/\1/' | cmp - <(seq 20000)
	done
}

@test "what the lines can and cannot read: zstd is not for v1 and v2" {
	local l body

	# What gets no smaller is not compressed.
	body=$(printf 'again and %.0s' {1..100})
	for l in v1 v2 v3 v4; do
		gm_sub $l $l "$t.$l"
		mbus pub -z lz4 "$t.$l" "$body"
		mbus pub -z snappy "$t.$l" "$body"
		mbus pub -z gzip "$t.$l" "$body"
		wait_for heard_n $l 3
		mbus pub -z zstd "$t.$l" "$body"
	done
	wait_for heard_n v3 4
	wait_for heard_n v4 4
	is "$(heard v1 | wc -l) $(heard v2 | wc -l)" '3 3'
	for l in v1 v2; do stop $l KILL; done
}

@test "SCRAM: with this broker the library can, and a wrong password is a wrong password" {
	local m begin

	echo secret > pw
	echo wrong > bad
	chmod 600 pw bad
	admin create "$t"
	for m in SCRAM-SHA-256 SCRAM-SHA-512 PLAIN; do
		mbus pub -b 127.0.0.1:9093 --username mbus --password-file pw -X sasl.mechanism=$m "$t" $m
		run --separate-stderr mbus pub -b 127.0.0.1:9093 --username mbus --password-file bad -X sasl.mechanism=$m "$t" x
		status_is 4
		run --separate-stderr mbus sub -b 127.0.0.1:9093 --username mbus --password-file bad -X sasl.mechanism=$m "$t"
		status_is 4
		has "$stderr" 127.0.0.1:9093
		# A host without a server is another thing, and takes no longer.
		begin=$(now_ms)
		run --separate-stderr mbus sub -b 127.0.0.1:9 --username mbus --password-file pw -X sasl.mechanism=$m "$t"
		status_is 3
		has "$stderr" 'Connection refused'
		[ $(($(now_ms) - begin)) -lt 5000 ]
	done
	for m in SCRAM-SHA-256 SCRAM-SHA-512 PLAIN; do
		is "$(mbus sub --body -b 127.0.0.1:9093 --username mbus --password-file pw -X sasl.mechanism=$m \
			-o beginning -e "$t")" $'SCRAM-SHA-256\nSCRAM-SHA-512\nPLAIN'
	done
	# A server that does not answer: within the time that is given.
	kafka_signal STOP
	begin=$(now_ms)
	run --separate-stderr mbus sub --connect-timeout 1 -b 127.0.0.1:9093 --username mbus --password-file bad \
		-X sasl.mechanism=SCRAM-SHA-512 "$t"
	kafka_signal CONT
	status_is 3
	[ $(($(now_ms) - begin)) -lt 3000 ]
}

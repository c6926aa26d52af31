#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# mbus and kcat, by a real Apache Kafka: what the one writes the other reads, and a
# topic is copied byte for byte. By the default address of both.

load ../lib
load kafka

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

# mixed TOPIC: records of every kind, by kcat.
mixed() {
	produce -t "$1" -k key -H a=1 -H b=x=y -H a=2 -H none -H empty= <<< 'one'
	produce -t "$1" -Z -K : -H why=old <<< gone:
	produce -t "$1" -Z -K : <<< 'gone too:'
	printf 'k1:v1;k2:;k1:v3;:v4;' | produce -t "$1" -K : -D ';'
	produce -t "$1" -H a=1 -H a=2 -H 'ü é=x "y"' <<< 'é <&> "quoted" \ '
	head -c 3000 /dev/urandom > binary
	produce -t "$1" -k "$(printf '\xff\xfe')" binary
	printf 'x' | produce -t "$1" -X compression.codec=lz4
	printf '{"Header":{"a":"b"},"Body":"aGk="}' | produce -t "$1"
	printf '{"Header":{"a":"b"},"Body":"aGk="}' | produce -t "$1" -k key -H a=native
	printf 'null' | produce -t "$1"
}

@test "what kcat writes, mbus sub shows: keys, null bodies, headers, timestamps" {
	admin create "$t"
	mixed "$t"
	run -0 --separate-stderr mbus sub -J -o beginning -e --wire raw "$t"
	is "$stderr" ''
	is "${#lines[@]}" 13
	has "${lines[0]}" "\"topic\":\"$t\"" '"key":"key"' '"body":"one"' '"partition":0' '"offset":0' \
		'"headers":[["a","1"],["b","x=y"],["a","2"],["none",null],["empty",""]]' '"broker":"kafka"' '"wire":"raw"'
	has "${lines[1]}" '"key":"gone"' '"body":null,"len":-1' '"headers":{"why":"old"}' '"offset":1'
	has "${lines[2]}" '"key":"gone too"' '"body":null,"len":-1'
	has "${lines[3]}" '"key":"k1"' '"body":"v1"'
	has "${lines[4]}" '"key":"k2"' '"body":"","len":0'
	has "${lines[7]}" '"body":"é <&> \"quoted\" \\ "' '"ü é":"x \"y\""'
	has "${lines[8]}" '"key_b64":"//4="'
	echo "${lines[8]}" | "$ROOT/tests/battery/events" bodies binary
	has "${lines[9]}" '"body":"x"'
	# The time is the record's own.
	run -0 consume "$t" -c 1 -f '%T'
	has "$(mbus sub -J -o beginning -c 1 "$t")" \
		"\"ts\":\"$(date -u -d "@$((output / 1000))" +%FT%T).$(printf %03d $((output % 1000)))000Z\"" '"ts":"create"'
}

@test "what mbus pub writes, kcat shows: keys, null bodies, headers with repeats and null" {
	admin create "$t"
	mbus pub --wire raw -H a:1 -H a:2 -H none -H empty: -H 'ü é:x' -k key "$t" one
	mbus pub --wire raw -Z -k gone "$t"
	mbus pub --wire raw -Z -H why:old "$t"
	mbus pub --wire raw "$t" ''
	printf 'k1:v1\nk2:\nk3:v3\n' | mbus pub --wire raw -l -K : "$t"
	head -c 3000 /dev/urandom > binary
	mbus pub --wire raw -f binary "$t"
	run -0 consume "$t" -c 7 -f '%k|%K|%S|%s|%h\n'
	is "${lines[0]}" 'key|3|3|one|a=1,a=2,none=NULL,empty=,ü é=x'
	is "${lines[1]}" 'gone|4|-1||'
	is "${lines[2]}" '|-1|-1||why=old'
	is "${lines[3]}" '|-1|0||'
	is "${lines[4]}" 'k1|2|2|v1|'
	is "${lines[5]}" 'k2|2|0||'
	is "${lines[6]}" 'k3|2|2|v3|'
	consume "$t" -o 7 -D '' > got
	same_bytes binary got
}

@test "without --wire, the value is go-micro's envelope, and a key stays a key" {
	admin create "$t"
	mbus pub -H a:1 -k key "$t" hi
	mbus pub -k key -Z "$t"
	is "$(consume "$t" -f '%k|%S|%s|%h\n')" $'key|34|{"Header":{"a":"1"},"Body":"aGk="}|\nkey|-1||'
	run -0 mbus sub -J -o beginning -e "$t"
	has "${lines[0]}" '"headers":{"a":"1"}' '"key":"key"' '"body":"hi"' '"wire":"micro"'
	has "${lines[1]}" '"key":"key"' '"body":null'
}

@test "a topic is copied byte for byte, as kcat -J sees it" {
	admin create "$t.a"
	admin create "$t.b"
	mixed "$t.a"
	"$ROOT/tests/battery/events" make $RANDOM 600 \
		'header key null-body null-header repeat-header binary-header control' "$t.a" | mbus pub --wire raw -J
	mbus pub -H 'a:é "<&>' -k k "$t.a" 'an envelope'
	records "$t.a" > a
	[ "$(wc -l < a)" -ge 600 ]
	mbus sub -J -o beginning -e "$t.a" | mbus pub -v -J -t "$t.b" 2> pub.err
	records "$t.b" > b
	same_bytes a b
	# Also without the envelope's being read on the way.
	admin create "$t.c"
	mbus sub -J -o beginning -e --wire raw "$t.a" | mbus pub --wire raw -J -t "$t.c"
	records "$t.c" > c
	same_bytes a c
	# And all the bytes, which kcat -J does not show.
	consume "$t.a" -f '%k|%K|%S|%s|%h|%T\n' > a
	consume "$t.b" -f '%k|%K|%S|%s|%h|%T\n' | cmp a -
	consume "$t.c" -f '%k|%K|%S|%s|%h|%T\n' | cmp a -
}

@test "a topic of three partitions is copied with them by --keep-meta" {
	local p

	admin create "$t.a" 3
	admin create "$t.b" 3
	for p in 0 1 2; do seq $((p * 100)) $((p * 100 + 50)) | produce -t "$t.a" -p $p; done
	mbus sub -J -o beginning -e "$t.a" | mbus pub --keep-meta -J -t "$t.b"
	for p in 0 1 2; do
		consume "$t.a" -p $p -f '%s %T %o\n' > a
		consume "$t.b" -p $p -f '%s %T %o\n' > b
		is "$(wc -l < a)" 51
		same_bytes a b
	done
}

@test "100,000 records of kcat's: copied by mbus, with keys and times" {
	admin create "$t.a"
	admin create "$t.b"
	seq 100000 | sed 's/.*/key &:body &/' | produce -t "$t.a" -K :
	mbus sub -J -o beginning -e "$t.a" | mbus pub -v -J -t "$t.b" 2> pub.err
	has "$(cat pub.err)" '100000 confirmed'
	consume "$t.a" -f '%k %s %T\n' > a
	consume "$t.b" -f '%k %s %T\n' > b
	same_bytes a b
}

@test "the same pipe into mqtt: what it cannot carry is left out and counted" {
	printf '%s\n' 'user root' 'listener 1883 127.0.0.1' 'allow_anonymous true' > m.conf
	start mosquitto mosquitto -c m.conf
	wait_for sh -c 'mosquitto_pub -t ready -n 2> probe.err'
	admin create "$t"
	mbus pub -H a:1 -k key "$t" one
	mbus pub -H b:2 "$t" two
	mbus pub --wire raw -k key2 "$t" three
	mbus pub --wire raw -H c:3 "$t" four
	mbus sub -J -o beginning -e "$t" > events
	MICRO_BROKER=mqtt start_sub there -J -c 4 "$t"
	MICRO_BROKER=mqtt run --separate-stderr mbus pub -v -J --omit key < events
	status_is 0
	has "$stderr" '4 confirmed' '2 events'
	finish there
	has "$(sed -n 1p there.out)" '"headers":{"a":"1"}' '"body":"one"'
	has "$(sed -n 2p there.out)" '"headers":{"b":"2"}' '"body":"two"'
	has "$(sed -n 3p there.out)" '"body":"three"'
	has "$(sed -n 4p there.out)" '"headers":{"c":"3"}' '"body":"four"'
	MICRO_BROKER=mqtt run --separate-stderr mbus pub -v -J < events
	status_is 1
	has "$stderr" key '2 of 4 not delivered: 2 refused'
}

# codec_of TOPIC: of the first batch in its log; 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
codec_of() { echo $(($(od -An -tu1 -j22 -N1 "$KAFKA_DIR/data/$1-0/00000000000000000000.log") & 7)); }

@test "compression: both ways, and the broker has it compressed" {
	local codec k=0

	for codec in gzip snappy lz4 zstd; do
		k=$((k + 1))
		admin create "$t.$codec"
		yes 'the same line again and again' | head -n 1000 > sent
		mbus pub -z $codec --wire raw -l "$t.$codec" < sent
		is "$(codec_of "$t.$codec")" $k
		consume "$t.$codec" > got
		same_bytes sent got
		admin create "$t.from.$codec"
		produce -z $codec -t "$t.from.$codec" -l sent
		is "$(codec_of "$t.from.$codec")" $k
		mbus sub --body -o beginning -e "$t.from.$codec" > got
		same_bytes sent got
	done
	run --separate-stderr mbus pub -z rot13 "$t.gzip" x
	status_is 2
}

@test "timestamps: those of pub -J are the records', and are shown as they were" {
	admin create "$t"
	printf '{"topic":"%s","ts":"%s","body":"x"}\n' "$t" 2001-02-03T04:05:06.789Z "$t" 1970-01-01T00:00:00.001Z | mbus pub -J
	is "$(consume "$t" -f '%T\n')" $'981173106789\n1'
	run -0 mbus sub -J -o beginning -e "$t"
	has "${lines[0]}" '"ts":"2001-02-03T04:05:06.789000Z"'
	# A topic that has the broker's time.
	admin create "$t.log" 1 message.timestamp.type=LogAppendTime
	mbus pub "$t.log" x
	has "$(mbus sub -J -o beginning -e "$t.log")" '"ts":"append"'
}

# ---- groups ----

@test "a group of mbus goes on where one of kcat stopped, and the other way round" {
	admin create "$t"
	seq 10 | produce -t "$t"
	is "$(kcat -q -b $K -G "g$t" -c 4 -X auto.offset.reset=earliest "$t")" "$(seq 4)"
	wait_for committed "g$t" "$t" 4
	is "$(mbus sub --body -g "g$t" -c 3 "$t")" "$(seq 5 7)"
	wait_for committed "g$t" "$t" 7
	is "$(kcat -q -b $K -G "g$t" -e -X fetch.wait.max.ms=10 "$t")" "$(seq 8 10)"
	wait_for committed "g$t" "$t" 10
	seq 11 12 | produce -t "$t"
	is "$(mbus sub --body -g "g$t" -e "$t")" "$(seq 11 12)"
	committed "g$t" "$t" 12
}

@test "members of one group: kcat and mbus share the partitions, nothing twice, nothing lost" {
	admin create "$t" 4
	start kcat stdbuf -oL kcat -q -b $K -G "g$t" -X auto.offset.reset=earliest "$t"
	start_sub a -g "g$t" -o beginning --body "$t"
	start_sub b -g "g$t" -o beginning --body "$t"
	three() { [ "$(admin members "g$t" | wc -l)" = 3 ]; }
	wait_for three
	sleep 1
	seq 2000 | sed 's/.*/&:&/' | produce -K : -t "$t"
	every() { cat kcat.out a.out b.out | sort -n | cmp -s - <(seq 2000); }
	wait_for every || { wc -l ./*.out; cat kcat.out a.out b.out | sort -n | uniq -d | head; return 1; }
	[ -s kcat.out ]
	[ -s a.out ]
	[ -s b.out ]
	# One leaves, the others have its share.
	stop a
	is "$status" 0
	sleep 1
	seq 2001 4000 | sed 's/.*/&:&/' | produce -K : -t "$t"
	every() { cat kcat.out a.out b.out | sort -n | cmp -s - <(seq 4000); }
	wait_for every || { wc -l ./*.out; cat kcat.out a.out b.out | sort -n | uniq -d | head; return 1; }
	stop b
	stop kcat
	wait_for committed "g$t" "$t" 4000
}

@test "transactions: kcat's and ours, aborted records are not shown" {
	admin create "$t"
	seq 3 | mbus pub --transaction -l --wire raw "$t"
	seq 4 6 | kcat -P -q -b $K -t "$t" -X "transactional.id=k$t"
	# Ended in the middle of one: aborted.
	mkfifo aborted.in
	exec 7<> aborted.in
	start aborted mbus pub --transaction -l --wire raw "$t"
	seq 7 9 >&7
	there() { [ "$(admin ends "$t")" -ge 11 ]; }
	wait_for there
	stop aborted || true
	is "$status" 143
	exec 7>&-
	seq 10 11 | mbus pub --wire raw -l "$t"
	is "$(mbus sub --body -o beginning -e "$t")" "$(seq 6; seq 10 11)"
	is "$(consume "$t")" "$(seq 6; seq 10 11)"
	is "$(mbus sub --body -o beginning -e -X isolation.level=read_uncommitted "$t" | sort -n | uniq)" \
		"$(consume "$t" -X isolation.level=read_uncommitted | sort -n | uniq)"
}

# ---- go-micro's plugins of v3 and v4: what they can with Kafka 4 ----

@test "mbus pub reaches v3" { to_line v3; }
@test "mbus pub reaches v4" { to_line v4; }
@test "mbus pub reaches v3, with a queue" { to_line v3 -queue "q$t"; }
@test "mbus pub reaches v4, with a queue" { to_line v4 -queue "q$t"; }
@test "mbus sub hears v3" { from_line v3; }
@test "mbus sub hears v4" { from_line v4; }
@test "mbus sub hears v3, with a queue" { from_line v3 -g "q$t"; }
@test "mbus sub hears v4, with a queue" { from_line v4 -g "q$t"; }
@test "what mbus writes is what v3 writes" { same_wire v3; }
@test "what mbus writes is what v4 writes" { same_wire v4; }

@test "v4 shows the headers of a bare record over those of the envelope" {
	gm_sub sub v4 "$t"
	printf '{"Header":{"k":"json","j":"1"},"Body":"aGk="}' | mbus pub -s --wire raw -H k:rec -H r:2 --content-type none "$t"
	wait_for heard_n sub 1
	is "$(heard sub)" "{\"topic\":\"$t\",\"header\":{\"j\":\"1\",\"k\":\"rec\",\"r\":\"2\"},\"body\":\"hi\"}"
}

# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# For the kafka*.bats files, after `load ../lib`: one Apache Kafka for all tests of a
# file, at the default port of both sides.
#
#	setup_file() { kafka_up; }	or kafka_up $KAFKA_OLD, for what the newest cannot
#	teardown_file() { kafka_down; }
#	setup() { kafka_setup; }
#
# Besides the plain listener at 9092: SASL at 9093; one at 9192 whose clients are told
# 9193, where `relay_on` puts tests/tools/relay; one at 9292 whose clients are told a name
# that does not exist.

. "$ROOT/tests/servers/kafka.bash"

kafka_up() {
	KAFKA_DIR=$BATS_FILE_TMPDIR/kafka
	KAFKA_VERSION=${1-$KAFKA_NEW}
	export KAFKA_DIR KAFKA_VERSION
	kafka_begin
}
# kafka_begin: with the data that are there.
kafka_begin() {
	kafka_files "$KAFKA_DIR" "$KAFKA_VERSION" plain:9092 sasl:9093 plain:9192:9193 \
		plain:9292:9292:nowhere.invalid || return
	"$ROOT/tests/servers/alone" "${kafka_command[@]}" < /dev/null > "$KAFKA_DIR/out" 2>&1 &
	echo $! > "$KAFKA_DIR/pid"
	wait_for -t 40 kafka_serves 9092 || fail "$(tail -n 20 "$KAFKA_DIR/out" "$KAFKA_DIR/kafka.log")"
}
kafka_signal() {
	local pid

	pid=$(cat "$KAFKA_DIR/pid")
	kill -s "$1" "$pid"
	[ "$1" != STOP ] || wait_for all_stopped "$pid"
}
kafka_down() { end_pid "$(cat "$KAFKA_DIR/pid")"; }
# kafka_kill: and it is away.
kafka_kill() {
	kafka_signal KILL
	wait_for gone "$(cat "$KAFKA_DIR/pid")"
}

kafka_setup() {
	lib_setup
	# The test before may have ended while it stood still, or dead.
	kafka_signal CONT 2> /dev/null || true
	export MICRO_BROKER=kafka
	K=127.0.0.1:9092
	t=$(topic)
}

admin() { "$ROOT/tests/tools/kafka_admin" 127.0.0.1:9092 "$@"; }
produce() { kcat -P -q -b $K -X topic.partitioner=consistent_random "$@"; }
# consume TOPIC [OPTION...]: all that it holds now.
consume() { kcat -C -q -b $K -o beginning -e -X fetch.wait.max.ms=10 -t "$@"; }
# records TOPIC: what counts of its records, as kcat shows them.
records() { consume "$1" -J | sed "s/\"topic\":\"$1\"/\"topic\":\"\"/; s/\"broker\":[0-9]*,//"; }
# committed GROUP TOPIC N: that is the sum of its offsets.
committed() { [ "$(admin committed "$1" "$2" | tr ' ' '\n' | awk '$1 > 0 { n += $1 } END { print n + 0 }')" = "$3" ]; }

# ---- the bad network ----

relay_on() {
	start_ready relay "$ROOT/tests/tools/relay" --ready-fd 8 9193 127.0.0.1:9192 9194
}
through() { MICRO_BROKER_ADDRESS=127.0.0.1:9193 "$@"; }
relay() {
	local answer fd

	exec {fd}<> /dev/tcp/127.0.0.1/9194 || return
	echo "$*" >&"$fd"
	read -r -t 5 answer <&"$fd"
	exec {fd}>&-
	[[ $answer != error* ]]
}

# ---- go-micro's plugins ----

# gm_sub NAME LINE TOPIC [OPTION...]: and it hears something; until then it may not.
gm_sub() {
	start_ready "$1" "gm-$2" sub -topic "$3" -ready-fd 8 "${@:4}"
	wait_for -t 30 probed "$1" "$3"
}
probed() { mbus pub "$2" probe && sleep 0.2 && [ -s "$1.out" ]; }
# heard NAME: what it printed but for that, and but for what v4 adds of its own.
heard() {
	grep -v '"body":"probe"}$' "$1.out" |
		sed 's/"Content-Type":"application\/json",\{0,1\}//; s/"Micro-Topic":"[^"]*",\{0,1\}//; s/,}/}/'
}
heard_n() { [ "$(heard "$1" | wc -l)" -ge "$2" ]; }

# mbus pub reaches a program of LINE: to_line LINE [OPTION...]
to_line() {
	gm_sub sub "$1" "$t" "${@:2}"
	printf '%s\n' 'plain' 'tab	"quote" <é>' '' | mbus pub -l -H id:7 -H Aa=1 "$t"
	printf 'not\0text\377' | mbus pub -s -H id:8 -H 'Ü é:x' -k 'a key' "$t"
	mbus pub -z gzip -H only:header "$t" "$(printf 'packed %.0s' {1..100})"
	wait_for heard_n sub 5
	is "$(heard sub)" '{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"plain"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":"tab\t\"quote\" <é>"}
{"topic":"'"$t"'","header":{"Aa":"1","id":"7"},"body":""}
{"topic":"'"$t"'","header":{"id":"8","Ü é":"x"},"body_b64":"bm90AHRleHT/"}
{"topic":"'"$t"'","header":{"only":"header"},"body":"'"$(printf 'packed %.0s' {1..100})"'"}'
	stop sub
}

# A program of LINE is heard by mbus sub: from_line LINE [OPTION...]
from_line() {
	head -c 3000 /dev/urandom > body
	admin create "$t"
	start_sub sub -J -c 5 "${@:2}" "$t"
	"gm-$1" pub -topic "$t" -n 2 -header 'Aa=1' -body 'say "é" <&>' 2> pub.err
	"gm-$1" pub -topic "$t" -null 2> pub.err
	"gm-$1" pub -topic "$t" -file body 2> pub.err
	"gm-$1" pub -topic "$t" -file /dev/null 2> pub.err
	finish sub
	is "$status" 0
	has "$(sed -n 1p sub.out)" "\"topic\":\"$t\"" '"headers":{"Aa":"1","id":"0"}' \
		'"body":"say \"é\" <&>","len":12' '"broker":"kafka"' '"wire":"micro"' '"partition":0' '"offset":0'
	has "$(sed -n 2p sub.out)" '"headers":{"Aa":"1","id":"1"}' '"offset":1'
	has "$(sed -n 3p sub.out)" '"body":null,"len":-1'
	sed -n 4p sub.out | "$ROOT/tests/battery/events" bodies body
	has "$(sed -n 5p sub.out)" '"body":"","len":0'
	run ! grep -q '"key"' sub.out
}

# The same bytes: same_wire LINE
same_wire() {
	admin create "$t"
	"gm-$1" pub -topic "$t" -header 'Aa=1' -header 'b<>&=é"\/' -body 'hello <world>' 2> pub.err
	mbus pub -H 'b<>&:é"\/' -H id:0 -H Aa:1 "$t" 'hello <world>'
	"gm-$1" pub -topic "$t" -null 2> pub.err
	mbus pub -H id:0 -Z "$t"
	"gm-$1" pub -topic "$t" -file /dev/null 2> pub.err
	mbus pub -H id:0 "$t" ''
	printf '\0\377\r\n' > body
	"gm-$1" pub -topic "$t" -file body 2> pub.err
	mbus pub -H id:0 -f body "$t"
	consume "$t" -f '%K %h %s\n' > wire
	is "$(sed -n 'n;p' wire)" "$(sed -n 'p;n' wire)"
	is "$(uniq wire | wc -l)" 4
	is "$(head -n 1 wire)" '-1  {"Header":{"Aa":"1","b\u003c\u003e\u0026":"é\"\\/","id":"0"},"Body":"aGVsbG8gPHdvcmxkPg=="}'
}

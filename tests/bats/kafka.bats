#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What only Kafka has: positions, partitions, groups that remember, patterns, topics
# that come later, transactions; by a real one.

load ../lib
load kafka

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

# ---- where to begin and end ----

@test "beginning, end, N, -N, and -e" {
	admin create "$t"
	seq 0 99 | mbus pub -l "$t"
	is "$(mbus sub --body -o beginning -e "$t")" "$(seq 0 99)"
	is "$(mbus sub --body -o 95 -e "$t")" "$(seq 95 99)"
	is "$(mbus sub --body -o -3 -e "$t")" "$(seq 97 99)"
	is "$(mbus sub --body -o 10 -c 2 "$t")" "$(seq 10 11)"
	is "$(mbus sub --body -o end -e "$t")" ''
	is "$(mbus sub --body -o -1000 -e "$t" | wc -l)" 100
	start_sub end -o end --body -c 1 "$t"
	mbus pub "$t" new
	finish end
	is "$(cat end.out)" new
}

@test "from a time, and until one" {
	local b

	admin create "$t"
	for b in 1000 2000 3000 4000; do
		printf '{"topic":"%s","ts":"1970-01-01T00:00:%02dZ","body":"%s"}\n' "$t" $((b / 1000)) $b
	done | mbus pub -J
	is "$(mbus sub --body -o s@2000 -e "$t")" $'2000\n3000\n4000'
	is "$(mbus sub --body -o s@1970-01-01T00:00:03Z -e "$t")" $'3000\n4000'
	is "$(mbus sub --body -o beginning -o e@3000 "$t")" $'1000\n2000'
	is "$(mbus sub --body -o s@2000 -o e@4000 "$t")" $'2000\n3000'
	is "$(mbus sub --body -o s@5000 -e "$t")" ''
	is "$(mbus sub --body -g "g$t" -o s@2000 -o e@4000 "$t")" $'2000\n3000'
	committed "g$t" "$t" 3
	is "$(mbus sub --body -g "g$t" -o e@4000 "$t")" ''
	is "$(mbus sub --body -g "g$t" -e "$t")" 4000
}

@test "-e of an empty topic, of many partitions, of several topics; and none takes half a second" {
	local begin

	admin create "$t.a"
	admin create "$t.b" 12
	begin=$(now_ms)
	is "$(mbus sub --body -o beginning -e "$t.a")" ''
	seq 1000 | sed 's/.*/&:&/' | mbus pub -l -K : "$t.b"
	is "$(mbus sub --body -o beginning -e "$t.b" | sort -n)" "$(seq 1000)"
	is "$(mbus sub --body -o beginning -e "$t.a" "$t.b" | sort -n)" "$(seq 1000)"
	[ $(($(now_ms) - begin)) -lt 3000 ] || fail "$(($(now_ms) - begin)) ms"
}

# ---- partitions ----

@test "partition and offset are shown; --partition puts it there; the same key, the same partition" {
	local p

	admin create "$t" 4
	for p in 0 1 2 3; do mbus pub --partition $p "$t" "to $p"; done
	for p in 0 1 2 3; do
		has "$(mbus sub -J -o beginning -e "$t" | grep "to $p")" "\"partition\":$p,\"offset\":0"
	done
	seq 20 | sed 's/.*/k:&/' | mbus pub -l -K : "$t"
	is "$(mbus sub -J -o beginning -e "$t" | grep '"key":"k"' | grep -o '"partition":[0-9]' | sort -u | wc -l)" 1
	run --separate-stderr mbus pub --partition 4 "$t" x
	status_is 5
	is "$(head -n 1 <<< "$stderr")" "mbus: pub: $t: there is no partition 4 (0 to 3: mbus topics $t)"
	run --separate-stderr mbus pub --partition -7 "$t" x
	status_is 2
}

@test "partitions that come later are found, and nothing of theirs is missed" {
	admin create "$t" 1
	start_sub sub --body "$t"
	start_sub group -g "g$t" --body "$t"
	mbus pub "$t" before
	admin grow "$t" 3
	mbus pub --partition 1 "$t" one
	mbus pub --partition 2 "$t" two
	wait_for -t 20 lines_in sub.out 3
	is "$(sort sub.out)" $'before\none\ntwo'
	wait_for -t 20 lines_in group.out 3
	is "$(sort group.out)" $'before\none\ntwo'
}

# ---- many ----

# measured COMMAND...: its memory at most, in kB, goes to the file kb.
measured() {
	python3 -c '
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
open("kb", "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)' "$@"
}
bounded() { [ "$(cat kb)" -lt "$1" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$(cat kb) kB"; }

@test "800,000 events of 12 partitions that nobody reads wait at the server, then they come" {
	admin create "$t" 12
	seq 1000001 1800000 | sed "s/.*/&:& $(printf %090d 0)/" | mbus pub --wire raw -l -K : "$t"
	mkfifo sub.pipe
	exec 7<> sub.pipe
	measured mbus sub --body -o beginning -e "$t" > sub.pipe 7>&- 3>&- & PID[sub]=$!
	sleep 3
	cut -c 1-7 < sub.pipe > got 7>&- 3>&- & PID[cut]=$!
	exec 7>&-
	finish sub 60
	is "$status" 0
	finish cut
	# 300 MB, if all were fetched.
	bounded 150000
	sort got | cmp - <(seq 1000001 1800000)
}

# bats test_tags=long
@test "ten million events: all, in order, in bounded memory" {
	admin create "$t"
	seq 10000000 | measured mbus pub -v -W 120 -z lz4 --wire raw -l "$t" 2> pub.err
	has "$(cat pub.err)" '10000000 confirmed'
	bounded 150000
	measured mbus sub --body -o beginning -e "$t" | cmp - <(seq 10000000)
	bounded 150000
	measured mbus sub --body -g "g$t" -o beginning -e "$t" | cmp - <(seq 10000000)
	bounded 150000
	committed "g$t" "$t" 10000000
}

# ---- topics ----

@test "several topics, and patterns of them" {
	admin create "$t.a"
	admin create "$t.b"
	admin create "$t.c"
	start_sub two --body "$t.a" "$t.b"
	start_sub pattern --body "^$t.[ac]\$"
	start_sub group -g "g$t" -o beginning --body "^$t.[ac]\$"
	mbus pub "$t.a" a
	mbus pub "$t.b" b
	mbus pub "$t.c" c
	wait_for lines_in two.out 2
	wait_for lines_in pattern.out 2
	wait_for -t 20 lines_in group.out 2
	is "$(sort two.out)" $'a\nb'
	is "$(sort pattern.out)" $'a\nc'
	is "$(sort group.out)" $'a\nc'
}

@test "--regex: topics that an expression is in, those that come later, not the server's own" {
	admin create "$t.a"
	admin create "$t.b"
	start_sub plain --regex --body -t "${t#?}[.](a|later)\$" -t "^$t.b"
	start_sub group --regex -g "g$t" -o beginning --body "${t#?}.[al]"
	mbus pub "$t.a" a
	mbus pub "$t.b" b
	admin create "$t.later"
	mbus pub "$t.later" c
	wait_for -t 20 lines_in plain.out 3
	wait_for -t 20 lines_in group.out 2
	is "$(sort plain.out)" $'a\nb\nc'
	is "$(sort group.out)" $'a\nc'
	# A group has made the server's topic of offsets.
	run -0 mbus sub --regex -e -o beginning -f '%t\n' '.'
	[[ $output != *__consumer* ]]
	has "$output" "$t.a" "$t.later"
	run -0 mbus sub --regex -e -o beginning -f '%t\n' '^__consumer'
	has "$output" __consumer_offsets
}

@test "a topic of a pattern that comes later is found" {
	admin create "$t.a"
	start_sub sub --body "^$t.*"
	admin create "$t.later"
	mbus pub "$t.later" x
	wait_for -t 20 lines_in sub.out 1
	is "$(cat sub.out)" x
}

@test "a topic that is not there yet: waited for, said once; or said at once" {
	start_sub sub --body -c 1 "$t"
	mbus pub "$t" first
	finish sub 20
	is "$status" 0
	is "$(cat sub.out)" first
	is "$(grep -c "$t" sub.err)" 1
	run --separate-stderr timeout 10 mbus sub -X missing=fail "$t.none"
	status_is 5
	has "$stderr" "$t.none"
	run --separate-stderr timeout 10 mbus sub -e "$t.none"
	status_is 5
	for how in '-X missing=fail' -e; do
		# shellcheck disable=SC2086
		run --separate-stderr timeout 10 mbus sub -g "g$t" $how "$t.none"
		status_is 5
		has "$stderr" "$t.none"
	done
	run --separate-stderr timeout 20 mbus pub "$t.none" x
	status_is 0
}

@test "a group waits for a topic that is not there yet" {
	start_sub sub -g "g$t" --body -c 1 "$t"
	mbus pub "$t" first
	finish sub 20
	is "$status" 0
	is "$(cat sub.out)" first
}

@test "--create makes the topic with so many partitions" {
	mbus pub --create 5 "$t" x
	is "$(admin ends "$t" | wc -w)" 5
	# One that is there stays as it is.
	mbus pub --create 2 "$t" y
	is "$(admin ends "$t" | wc -w)" 5
	is "$(mbus sub --body -o beginning -e "$t" | sort)" $'x\ny'
}

@test "an unwritable topic: names it cannot have, and one too large" {
	run --separate-stderr mbus pub 'no blanks' x
	[ "$status" = 2 ] || [ "$status" = 1 ] || fail "$status"
	has "$stderr" 'no blanks'
	for name in 'no blanks' "$(printf 'x%.0s' {1..250})" 'é' 'a/b'; do
		run --separate-stderr timeout 10 mbus sub "$name"
		status_is 2
		run --separate-stderr timeout 10 mbus sub -g "g$t" "$name"
		status_is 2
		has "$stderr" '1 to 249 letters'
	done
	admin create "$t" 1 max.message.bytes=1000
	head -c 2000 /dev/urandom > big
	run --separate-stderr mbus pub -f big "$t"
	status_is 1
	has "$stderr" "$t"
}

# ---- groups ----

@test "a group begins at its end, or where told, and then where it stopped" {
	admin create "$t"
	seq 5 | mbus pub -l "$t"
	is "$(mbus sub --body -g "g$t" -e "$t")" ''
	mbus pub "$t" 6
	is "$(mbus sub --body -g "g$t" -c 1 "$t")" 6
	is "$(mbus sub --body -g "h$t" -o beginning -c 2 "$t")" "$(seq 2)"
	committed "h$t" "$t" 2
	is "$(mbus sub --body -g "h$t" -o stored -e "$t")" "$(seq 3 6)"
	is "$(mbus sub --body -g "h$t" -e "$t")" ''
}

@test "a member that cannot write commits nothing of it" {
	admin create "$t"
	seq -f '%06.0f 0123456789012345678901234567890123456789' 20000 > sent
	mbus pub -l "$t" < sent
	mbus sub --body -g "g$t" -o beginning "$t" 2> sub.err | head -n 3 > got || true
	same_bytes got <(head -n 3 sent)
	[ "$(admin committed "g$t" "$t")" -lt 20000 ]
	mbus sub --body -g "g$t" -o beginning -e "$t" > rest
	[ "$(wc -l < rest)" -gt 1000 ]
	# 64 KiB were in the pipe that nobody read; what was not in it comes.
	tail -n "$(wc -l < rest)" sent | cmp - rest
}

# stuck [OPTION...]: a member whose reader does not read is killed; sets C, what it had
# committed, and P, what it had written.
stuck() {
	admin create "$t"
	seq -f '%06.0f 0123456789012345678901234567890123456789' 20000 > sent
	mbus pub -l "$t" < sent
	mkfifo stuck
	exec 7<> stuck
	mbus sub --body -g "g$t" -o beginning "$@" "$t" > stuck 2> sub.err 3>&- 7>&- & PID[sub]=$!
	quiet() { C=$(admin committed "g$t" "$t"); [ "$C" -ge 0 ] && sleep 1 && [ "$C" = "$(admin committed "g$t" "$t")" ]; }
	wait_for quiet
	stop sub KILL || true
	timeout 1 cat <&7 > got || true
	exec 7>&-
	P=$(wc -l < got)
	[ "$P" -gt 100 ]
	start_sub next -g "g$t" -X session.timeout.ms=1000 --body "$t"
	wait_for -t 20 lines_in next.out $((20000 - C))
	tail -n +$((C + 1)) sent | cmp - next.out
}

@test "a member is killed: what it had not written comes again" {
	stuck -X session.timeout.ms=1000 -X heartbeat.interval.ms=200
	[ "$C" -le "$P" ] || fail "$C committed, $P written"
}

@test "--ack none: what a member had received does not come again, written or not" {
	stuck --ack none -X session.timeout.ms=1000 -X heartbeat.interval.ms=200
	[ "$C" -gt "$P" ] || fail "$C committed, $P written"
	# And without a crash nothing is left out.
	is "$(mbus sub --body --ack none -g "h$t" -o beginning -c 10 "$t")" "$(head -n 10 sent)"
	committed "h$t" "$t" 10
	mbus sub --body --ack none -g "h$t" -e "$t" | cmp - <(tail -n +11 sent)
	committed "h$t" "$t" 20000
}

@test "rebalances and lag are said with -v" {
	admin create "$t" 2
	seq 10 | mbus pub -l --partition 1 "$t"
	start_sub a -v -g "g$t" -o beginning -c 4 --body "$t"
	finish a
	has "$(cat a.err)" "$t"
	has "$(cat a.err)" "has ${t}[0], ${t}[1]"
	grep -qi 'lag' a.err || fail "$(cat a.err)"
	# Of the empty partition perhaps nothing was heard by then.
	has "$(grep -i lag a.err)" "${t}[1] at 4, lag 6"
	# Also when there is nothing to read.
	mbus sub -v -g "g$t" -e "$t" > out 2> a.err
	mbus sub -v -g "g$t" -e "$t" > out 2> a.err
	has "$(cat a.err)" "${t}[1] at 10, lag 0" "${t}[0] at 0, lag 0"
}

# ---- time ----

@test "-W bounds each event, also when there is no server or it does not answer" {
	local begin

	admin create "$t"
	begin=$(now_ms)
	run --separate-stderr mbus pub -v -W 1 -b 127.0.0.1:9 "$t" x
	status_is 3
	kafka_signal STOP
	run --separate-stderr mbus pub -v -W 1 -l "$t" < <(seq 3)
	kafka_signal CONT
	[ "$status" = 1 ] || [ "$status" = 3 ] || fail "$status $stderr"
	has "$stderr" '3 of 3 not delivered' 'within 1 s'
	# A second, the library's second, and what a busy machine takes.
	[ $(($(now_ms) - begin)) -lt 6000 ] || fail "$(($(now_ms) - begin)) ms"
	mkfifo feed
	mbus pub -v -W 1 -l "$t" < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
	echo 1 >&7
	has_one() { [ "$(admin ends "$t")" -ge 1 ]; }
	wait_for has_one
	sleep 0.2
	kafka_signal STOP
	echo 2 >&7
	begin=$(now_ms)
	wait_for grep -q 'within 1 s' pub.err
	[ $(($(now_ms) - begin)) -lt 3000 ] || fail "$(($(now_ms) - begin)) ms"
	kafka_signal CONT
	echo 3 >&7
	exec 7>&-
	finish pub
	is "$status" 1
	has "$(cat pub.err)" '1 of 3 not delivered: 1 unknown'
}

# ---- transactions ----

@test "--transaction: all at once, or nothing when one is refused" {
	admin create "$t" 1 max.message.bytes=20000
	seq 100 | mbus pub -v --transaction -l "$t" 2> pub.err
	has "$(cat pub.err)" '100 confirmed'
	# The server marks the records after it has answered.
	shows() { [ "$(mbus sub --body -o beginning -e "$t")" = "$1" ]; }
	wait_for shows "$(seq 100)"
	head -c 60000 /dev/urandom | base64 -w 0 > big
	{ echo one; cat big; echo; echo three; } > lines
	run --separate-stderr mbus pub -v --transaction -l "$t" < lines
	status_is 1
	has "$stderr" '3 of 3 not delivered: 3 refused'
	is "$(mbus sub --body -o beginning -e "$t")" "$(seq 100)"
	is "$(mbus sub --body -o beginning -e -X isolation.level=read_uncommitted "$t" | head -n 100)" "$(seq 100)"
}

# ---- properties ----

@test "-X: any of the library's; list shows them, a secret is not shown; wrong ones are refused" {
	run --separate-stderr mbus pub -X list
	status_is 0
	has "$output" $'\n  sasl.password=@FILE\n' $'\n  one_cpu=yes|no (default yes)\n' $'\n  missing=wait|fail (default wait)\n' \
		$'\n  linger.ms=0 .. 900000 (default 5; pub)\n      Alias for queue.buffering.max.ms: Delay in milliseconds' \
		$'\n  enable.idempotence=true, false (default false; mbus pub: true)\n' $'\n  socket.timeout.ms=' 'default 60000' \
		$'\n  isolation.level=read_uncommitted, read_committed (default read_committed; sub)\n'
	run --separate-stderr mbus pub -X no.such.property=1 "$t" x
	status_is 2
	has "$stderr" no.such.property
	run --separate-stderr mbus pub -X linger.ms=soon "$t" x
	status_is 2
	run --separate-stderr mbus pub -X sasl.password=hunter2 "$t" x
	status_is 2
	run ! grep -F hunter2 <<< "$stderr"
	echo hunter2 > pw
	chmod 600 pw
	run -0 --separate-stderr mbus pub -X sasl.password=@pw -X kafka.linger.ms=3 -X dump
	has "$output" kafka.linger.ms=3
	run ! grep -F hunter2 <<< "$output$stderr"
	for x in missing=never one_cpu=perhaps kafka.one_cpu= group.id=g enable.partition.eof=true \
			partition.assignment.strategy=cooperative-sticky compression.codec=rot13; do
		run --separate-stderr mbus sub -X $x "$t"
		status_is 2
		has "$stderr" "${x%%=*}"
	done
	has "$(man "$ROOT/man/mbus-kafka.7" 2> /dev/null || mandoc "$ROOT/man/mbus-kafka.7" | plain)" missing one_cpu
	mbus pub -X kafka.linger.ms=1 -X compression.level=1 "$t" x
}

# library_before VERSION: what mbus is linked to is older.
library_before() {
	local version

	version=$(mbus pub -X list | sed -n 's/^properties of librdkafka \([0-9.]*\).*/\1/p')
	[ "$version" ] && [ "$version" != "$1" ] && [ "$(printf '%s\n' "$version" "$1" | sort -V | head -n 1)" = "$version" ]
}

@test "SCRAM with this Kafka: works, or fails with the hint when the library is older" {
	local m command
	local -a in=(-b 127.0.0.1:9093 --username mbus --password-file pw)

	echo secret > pw
	chmod 600 pw
	admin create "$t"
	for m in SCRAM-SHA-256 SCRAM-SHA-512; do
		for command in "pub $t $m" "sub --body -o -1 -e $t"; do
			# shellcheck disable=SC2086
			run --separate-stderr mbus ${command%% *} "${in[@]}" -X sasl.mechanism=$m ${command#* }
			if library_before 2.6.1; then
				status_is 4
				has "$stderr" SCRAM 2.6.1 'whatever the password'
			else
				status_is 0
				[[ $command = pub* ]] || is "$output" $m
			fi
		done
	done
	# Of PLAIN it says nothing of the kind.
	run -0 --separate-stderr mbus pub "${in[@]}" "$t" x
	is "$stderr" ''
	echo wrong > pw
	run --separate-stderr mbus pub "${in[@]}" "$t" x
	status_is 4
	[[ $stderr != *2.6.1* ]]
}

@test "the library's lines are those of --debug, and nothing else is" {
	admin create "$t"
	run -0 --separate-stderr mbus pub --debug -X debug=broker "$t" x
	has "$stderr" 'librdkafka: '
	run -0 --separate-stderr mbus pub -v -X debug=broker "$t" x
	is "$(grep -v "go-micro's form" <<< "$stderr")" 'mbus: pub: 1 confirmed'
	run -0 --separate-stderr mbus sub -v -X debug=all -o beginning -e --body "$t"
	[[ $stderr != *librdkafka* ]] || fail "$stderr"
	# A server that is not there is said once, by mbus.
	run --separate-stderr mbus sub -b 127.0.0.1:9 "$t"
	status_is 3
	is "$(wc -l <<< "$stderr")" 1
	has "$stderr" 'Connection refused'
}

# ---- and long ----

# bats test_tags=long
@test "valgrind: events, groups, transactions, topics; and what is given up" {
	local vg

	vg=(valgrind -q --error-exitcode=99 --leak-check=full "--suppressions=$ROOT/tests/valgrind.supp" "$MBUS")
	admin create "$t" 3
	seq 2000 > in
	"${vg[@]}" pub -l "$t" < in
	"${vg[@]}" pub -l --wire raw --transaction -k key -H a:b "$t" < in
	"${vg[@]}" sub --body -o beginning -e -W 60 "$t" > all
	lines_in all 4000
	"${vg[@]}" sub --body -g g -o beginning -c 3000 -W 60 "$t" > group
	lines_in group 3000
	run "${vg[@]}" sub --body -g h -W 5 "^$t"
	status_is 124
	"${vg[@]}" topics -J "$t"
	echo secret > pw
	chmod 600 pw
	"${vg[@]}" pub -b 127.0.0.1:9093 --username mbus --password-file pw "$t" x
	run "${vg[@]}" pub -b 127.0.0.1:9093 --username mbus --password-file /dev/null "$t" x
	status_is 2
	kafka_signal STOP
	run "${vg[@]}" sub --connect-timeout 2 "$t"
	status_is 3
	run "${vg[@]}" pub -W 2 "$t" x
	status_is 1
	kafka_signal CONT
}

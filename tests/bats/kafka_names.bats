#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Names of Kafka's servers: those with several addresses, of which one is the server's,
# and those that do not exist. /etc/hosts is the test's own (tests/run gives each file
# a mount namespace).

load ../lib
load kafka

setup_file() {
	# Without one that is not ::1 the C library asks for no IPv6 address at all.
	ip addr add fd00::77/128 dev lo
	kafka_up
}
teardown_file() { kafka_down; }
setup() { kafka_setup; }

# hosts LINE...: that is /etc/hosts from now on.
hosts() {
	printf '%s\n' "$@" > "$BATS_FILE_TMPDIR/hosts"
	mountpoint -q /etc/hosts || mount --bind "$BATS_FILE_TMPDIR/hosts" /etc/hosts
}
# all_reach NAME: each command, again and again: the library takes an address by lot.
all_reach() {
	local k

	admin create "$t"
	for k in {1..4}; do
		run --separate-stderr mbus pub -b "$1" "$t" "event $k"
		status_is 0
		run --separate-stderr mbus topics -b "$1" "$t"
		status_is 0
		run --separate-stderr mbus sub -b "$1" --check "$t"
		status_is 0
		run --separate-stderr mbus sub -b "$1" -g "g$t.$k" --check "$t"
		status_is 0
		run --separate-stderr mbus sub -b "$1" -o beginning -e --body "$t"
		status_is 0
		is "$(tail -n 1 <<< "$output")" "event $k"
	done
}

@test "localhost, which is ::1 as well, and the server has 127.0.0.1 only" {
	hosts '::1 localhost' '127.0.0.1 localhost'
	has "$(getent ahosts localhost)" ::1 127.0.0.1
	all_reach localhost:9092
}

@test "localhost, which is 127.0.0.1" {
	hosts '127.0.0.1 localhost'
	all_reach localhost
}

@test "a name of five addresses, and the last one is the server's" {
	hosts '::1 five' 'fd00::77 five' '10.77.0.1 five' '10.77.0.1 five' '127.0.0.1 five'
	all_reach five:9092
}

@test "an address of a name that does not answer holds nobody up" {
	local since

	hosts '10.78.9.2 dark' '127.0.0.1 dark'
	ip link add dark type veth peer name far
	ip addr add 10.78.9.1/24 dev dark
	ip link set dark up
	ip link set far up
	admin create "$t"
	since=$(now_ms)
	for k in {1..4}; do mbus pub -b dark "$t" "event $k"; done
	[ $(($(now_ms) - since)) -lt 4000 ] || fail "$(($(now_ms) - since)) ms"
	ip link del dark
	is "$(consume "$t" | wc -l)" 4
}

@test "a name none of whose addresses is the server's: status 3 soon, with the library's word" {
	local since

	hosts 'fd00::77 none' '10.77.0.1 none'
	since=$(now_ms)
	run --separate-stderr mbus sub --check -b none:9092 "$t"
	status_is 3
	has "$stderr" none:9092 refused
	[ $(($(now_ms) - since)) -lt 3000 ] || fail "$(($(now_ms) - since)) ms"
}

@test "-b with several servers, blanks behind the commas, and the last of them serves" {
	hosts '127.0.0.1 localhost' '10.77.0.1 two' 'fd00::77 three' '10.77.0.1 four'
	all_reach 'two:9092, three:1 , four:9092, localhost:9092'
}

@test "a server whose clients are told a name that does not exist: status 3 naming it, in time" {
	local since how

	admin create "$t"
	for how in --check -e "-g g$t --check" "-g g$t -e" '-o -3 -e' ''; do
		since=$(now_ms)
		# shellcheck disable=SC2086
		run --separate-stderr mbus sub -b 127.0.0.1:9292 --connect-timeout 2 $how "$t"
		status_is 3
		has "$stderr" nowhere.invalid
		[ $(($(now_ms) - since)) -lt 5000 ] || fail "$how: $(($(now_ms) - since)) ms"
	done
	run --separate-stderr mbus pub -b 127.0.0.1:9292 -W 2 "$t" x
	has "$stderr" nowhere.invalid
	[ "$status" = 1 ] || [ "$status" = 3 ]
}

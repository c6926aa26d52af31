#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# Passwords: where they may come from, and that nothing of them is to be seen. The
# broker of fake_broker.c writes what it was given into the file told; everything else
# that mbus shows must not have it.

load ../lib
load fake

setup_file() { fake_build; }

# The password of these tests, so that one grep finds it.
S=xyzzy-plugh

# told: what the broker was given, without its address.
told() {
	sed -n 's/^broker .* address=[^ ]*\( username.*\| password.*\)/\1/p; s/^broker reconnect=[^ ]* wire=0 ack=0\( username.*\| password.*\)\?$/\1/p' told | head -n 1
}
# given [OPTION...]: a pub with these has given the broker this.
given() {
	local want=$1

	shift
	rm -f told
	run --separate-stderr "$@" -X told=told
	status_is 0
	is "$(told)" "$want"
}
# other_user COMMAND...: as nobody, who may read this folder all the same.
USER=(setpriv --reuid 65534 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search)
other_user() {
	"${USER[@]}" "$@"
}
# clean FILE...: the password is in none of them.
clean() {
	[ $# -gt 0 ] || return 1
	if grep -l "$S" "$@"; then return 1; fi
}

@test "where a password may come from" {
	printf '%s\n' "$S" > pw; chmod 600 pw
	given " password=$S" fake_able pub t b --password-file pw
	is "$stderr" ""
	given " password=$S" fake_able pub t b --password-file - <<< "$S"
	given " username=me password=$S" fake_able pub t b --username me --password-file pw
	given " password=$S" env MBUS_PASSWORD="$S" "${ABLE[@]}" pub t b
	given " password=$S" env MBUS_PASSWORD_FILE=pw "${ABLE[@]}" pub t b
	given " username=me password=$S" fake_able pub t b -b "null://me:$S@h"
	given " username=me password=$S" env MICRO_BROKER_ADDRESS="null://me:$S@h:1" "${ABLE[@]}" pub t b
	given " username=m:e password=$S@" fake_able pub t b --url "null://m%3Ae:$S%40@h"
	given " password=$S" fake_able pub t b --url "null://:$S@h"
	given " username=me" fake_able pub t b --url "null://me@h"
	# The option, the URL, the environment.
	echo other > other; chmod 600 other
	given " username=u password=$S" env MBUS_PASSWORD=no "${ABLE[@]}" pub t b -b "null://u:$S@h"
	given " username=me password=other" fake_able pub t b -b "null://u:$S@h" --username me --password-file other
	# A broker without users takes no notice of the environment, but of the options.
	given "" env MBUS_PASSWORD="$S" "${FAKE[@]}" pub t b
	run --separate-stderr fake pub t b --username me
	status_is 5
	has "$stderr" "the null broker has no users and passwords"
	run --separate-stderr fake pub t b --password-file pw
	status_is 5
}

@test "the address that a backend sees has no user in it" {
	fake_able pub -X told=told -u "null://me:$S@h:1/a/b?qos=1,null://h2" body
	has "$(cat told)" " address=null://h:1,null://h2 "
	fake_able pub -X told=told -b "h:1" t body
	has "$(cat told)" " address=h:1"
}

@test "a file of a password: one line, not empty, not endless, ours alone" {
	printf '%s\r\n' "$S" > pw; chmod 644 pw
	given " password=$S" fake_able pub t b --password-file pw
	has "$stderr" "warning: --password-file: others can read pw"
	chmod 600 pw
	printf '%s' "$S" > pw
	given " password=$S" fake_able pub t b --password-file pw
	is "$stderr" ""
	head -c 65535 /dev/zero | tr '\0' x > pw
	given " password=$(cat pw)" fake_able pub t b --password-file pw
	echo x >> pw
	: > empty; printf 'a\nb\n' > two; chmod 600 empty two
	while read -r want file words; do
		run --separate-stderr fake_able pub t b --password-file "$file" < /dev/null
		status_is "$want"
		has "$stderr" "mbus: pub: --password-file " "$words"
		is "$output" ""
	done <<- 'END'
		2 pw more than 65535 bytes
		2 /dev/zero more than 65535 bytes
		2 empty empty: the file is empty
		2 two more than one line
		2 - stdin: its first line is empty
		6 missing missing: No such file or directory
		6 . Is a directory
	END
	run --separate-stderr env MBUS_PASSWORD=a MBUS_PASSWORD_FILE=two "${ABLE[@]}" pub t b
	status_is 2
	has "$stderr" "one of them"
}

@test "--password-file -: what is behind the first line is the body" {
	printf '%s\nbody\nof two' "$S" | fake_able pub t -s --password-file - -X told=told -X record=r
	is "$(told)" " password=$S"
	is "$(cat r)" "$(record t - $'body\nof two')"
	printf '%s\na\nb' "$S" | fake_able pub -l t --password-file - -X record=r
	is "$(cat r)" "$(record t - a; record t - b)"
}

@test "waiting for a password can be interrupted" {
	mkfifo fifo
	for cmd in "pub t b" "sub t"; do
		# shellcheck disable=SC2086
		start mbus "${ABLE[@]}" $cmd --password-file fifo
		sleep 0.2
		stop mbus
		is "$status" 143
	done
}

@test "--password-file - on a terminal: what is typed is not shown" {
	run -0 "$ROOT/tests/tools/terminal" Password: "$S\\n" "${ABLE[@]}" pub t b --password-file - -X told=told
	is "$(told)" " password=$S"
	has "$output" 'Password: ' $'echo off\necho on\nstatus 0'
	[[ $output != *$S* ]]
	for key in '\x03' '\x1c'; do
		run -0 "$ROOT/tests/tools/terminal" Password: "xyz$key" "${ABLE[@]}" pub t b --password-file -
		has "$output" $'echo off\necho on\nsignal '
	done
}

@test "there is no option that takes a password" {
	for option in --password --pw --pass; do
		run --separate-stderr "$MBUS" pub "$option" "$S" t b
		status_is 2
		has "$stderr" "unknown option $option" "--password-file FILE" MBUS_PASSWORD
		[[ $stderr != *$S* ]]
		run --separate-stderr "$MBUS" pub "$option=$S" t b
		status_is 2
		[[ $stderr != *$S* ]]
	done
}

@test "/proc shows no password, neither does a child" {
	printf '%s\n' "$S" > pw; chmod 600 pw
	local url="null://me:$S@host:1883" pid
	# shellcheck disable=SC2016
	local ready='tr "\0" "\n" < /proc/$PPID/cmdline > child.cmd; env > child.env; exec sleep 1000'

	start argv "${ABLE[@]}" sub t --url "$url" -X told=told --ready "$ready"
	start equals "${ABLE[@]}" sub t --address="$url/topic"
	start letter "${ABLE[@]}" sub t -b"$url,null://me:$S@other"
	start environ env MICRO_BROKER_ADDRESS="$url" "${ABLE[@]}" sub t
	start password env MBUS_PASSWORD="$S" "${ABLE[@]}" sub t --ready "$ready"
	start file "${ABLE[@]}" sub t --password-file pw
	start hanging env MBUS_PASSWORD="$S" "${ABLE[@]}" sub t -X connect=hang --url "$url"
	# In an operand, in the value of another option, where no parser would find it.
	start operand "${ABLE[@]}" sub t "http://me:$S@host" "a b://c:$S@d/e://f:$S/?#@g"
	wait_for grep -q . told
	wait_for grep -q . child.env
	for pid in "${PID[@]}"; do
		wait_for eval "tr '\0' ' ' < /proc/$pid/cmdline | grep -q 'mbus sub'"
		wait_for eval "! grep -q $S /proc/$pid/cmdline /proc/$pid/environ"
		grep -q MBUS_MODULES "/proc/$pid/environ"
	done
	clean child.cmd child.env
	is "$(grep -c MBUS_PASSWORD= child.env)" 0
	has "$(tr '\0' ' ' < "/proc/${PID[argv]}/cmdline")" "--url null://me:xxxxx@host:1883 "
	has "$(tr '\0' ' ' < "/proc/${PID[letter]}/cmdline")" "-bnull://me:xxxxx@host:1883,null://me:xxxxx@other"
	# A child is better off without a password than with a wrong one.
	grep -zqx 'MICRO_BROKER_ADDRESS=null://me@host:1883' "/proc/${PID[environ]}/environ"
	has "$(cat told)" "password=$S"
}

@test "nobody but root reads the memory, and there is no core dump" {
	printf '%s\n' "$S" > pw; chmod 600 pw
	mkdir cores; chmod 777 cores .; cd cores || return
	start plain sh -c 'ulimit -c unlimited; exec "$@"' sh "${ABLE[@]}" sub t --ready-fd 2
	start secret sh -c 'ulimit -c unlimited; exec "$@"' sh "${ABLE[@]}" sub t --ready-fd 2 --password-file ../pw
	wait_for grep -q ready plain.err
	wait_for grep -q ready secret.err
	# Of a process that may not be dumped, all of /proc/PID is root's, whoever's it is.
	if other_user true 2> /dev/null; then
		start user "${USER[@]}" "${ABLE[@]}" sub t --ready-fd 2
		start other env MBUS_PASSWORD="$S" "${USER[@]}" "${ABLE[@]}" sub t --ready-fd 2
		wait_for grep -q ready user.err
		wait_for grep -q ready other.err
		is "$(stat -c %u "/proc/${PID[user]}/environ")" 65534
		is "$(stat -c %u "/proc/${PID[other]}/environ")" 0
		other_user cat "/proc/${PID[user]}/environ" > /dev/null
		run other_user cat "/proc/${PID[other]}/environ"
		status_is 1
	fi
	kill -ABRT "${PID[secret]}" "${PID[plain]}"
	finish secret
	is "$status" 134
	finish plain
	rm -f plain.out plain.err secret.out secret.err user.* other.*
	if compgen -G '*' > /dev/null; then
		has "$(ls)" core
		is "$(find . -type f | wc -l)" 1	# the one of `plain`
		clean ./*
	fi
}

@test "no message has a password in it: -v, --debug, errors" {
	printf '%s\n' "$S" > pw; chmod 600 pw
	export MBUS_PASSWORD=$S
	local url="null://me:$S@host/t" n=0 words

	say() {
		n=$((n + 1))
		"${ABLE[@]}" "$@" > "out.$n" 2> "err.$n" < /dev/null || true
		[ -s "err.$n" ]
	}
	for level in -v --debug; do
		say pub "$level" --url "$url" body
		say pub "$level" --url "$url" body --password-file pw -X connect=refused
		say sub "$level" --url "$url" -X count=1 -c 1
		say sub "$level" -b "$url" t -W 50ms
		say registry "$level" -b "$url" list
		say registry "$level" --url "$url" list
		say sub "$level" --url "http://me:$S@127.0.0.1:1" t -W 50ms
		say pub "$level" -B http -b "http://me:$S@127.0.0.1:1" t b
	done
	# Usage errors that quote what was written.
	while read -r words; do
		# shellcheck disable=SC2086
		say ${words//URL/$url}
	done <<- 'END'
		URL
		pub t b URL
		pub -W URL t b
		pub --omit URL t b
		pub --qos URL t b
		pub --color URL t b
		pub --inflight=URL t b
		pub -H :URL t b
		pub -X URL t b
		pub -X nonsense=URL t b
		pub -X token=URL t b
		pub --reconnect URL t b
		pub --url URL --url x t b
		pub --url URL -B null b
		pub --url URL -b h b
		pub -B http -b URL b
		pub --unknown=URL t b
		pub -uURL x y z
		pub --broker URL t b
		sub URL URL
		sub -D \qURL -J t
		sub -o URL t
		sub -o s@URL t
		sub --max-body URL t
		registry URL
		registry list URL
		help URL
	END
	say pub --url "nul://me:$S@host" b
	say pub --url "null://me:$S@host:port" b
	say pub --url "null://me:$S@ho st" b
	say pub --url "null://me:$S/x@host" b
	say pub --url "null://me:a$S@host,null://me:b$S@host" b
	say pub -b "me:$S@host://" b
	say pub --url "me:$S@host" b
	say pub -B "null://me:$S x@host" t b
	say pub -B "null://me:$S" t b
	say pub --reconnect "null://me:$S@h" t b
	say pub --reconnect "me:$S@h" t b
	say sub -W "me:$S@h" t
	say pub --registry "a://b:$S@c" -B http t b
	clean out.* err.*
	[ $n -gt 40 ]
}

@test "every variable with a password is cleared, however many there are" {
	local i vars=()

	for i in $(seq 40); do vars+=("MBUS_X$i=null://u:$S@h$i"); done
	start_ready many env "${vars[@]}" "MICRO_BROKER_ADDRESS=null://u:$S@h" "${ABLE[@]}" sub t -X told=told --ready-fd 8
	has "$(cat told)" "password=$S"
	tr '\0' '\n' < "/proc/${PID[many]}/environ" > environ
	is "$(grep -c '^MBUS_X' environ)" 40
	clean environ
}

@test "-X: a secret is in a file, and shown by nothing" {
	printf '%s\n' "$S" > pw; chmod 600 pw
	fake_able pub t b -X told=told -X token=@pw
	has "$(cat told)" " token=$S"
	fake_able pub t b -X told=told -X null.token=@pw
	has "$(cat told)" " token=$S"
	for value in "$S" @ ""; do
		run --separate-stderr fake_able pub t b -X token="$value"
		status_is 2
		is "$stderr" "mbus: pub: -X token is a secret: write it into a file, and -X token=@FILE"
	done
	run --separate-stderr fake_able pub t b -X token=@missing
	status_is 6
	has "$stderr" "-X token missing: No such file"
	has "$(fake_able -X list)" "  token=@FILE"
	run --separate-stderr fake_able -X token="$S" -X dump
	status_is 0
	has "$output" "null.token=xxxxx" "null.count=0"
	[[ $output != *$S* ]]
	is "$(fake_able -X count=7 -X null.count=8 -X dump | grep count)" "null.count=8"
	has "$("$MBUS" -X mdns.wait=full -X dump)" $'\nmdns.wait=full'
}

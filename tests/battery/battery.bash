# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The battery: one list of tests (*.bats here) that every broker passes, each broker
# in each of its forms (brokers/*.bash). `tests/run battery` runs all of it,
# `tests/run battery/redis` the list for one; `make check-more` runs it with servers
# that are not easily had (more/*.bash). Every file here begins with
# `load battery`.
#
# A file of brokers/ says:
#
#	BROKER=NAME		for -B
#	OPTIONS=(...)		what else every mbus is given
#	LACKS='TAG...'		tests with these tags do not apply, and a word why
#	CARRIES='CAP...'	what its default wire carries, as --list -J names it (and
#				plain-header, see events),
#	CARRIES_RAW='CAP...'	and what --wire raw does
#	KEEPER=(...)		sub's options, by which one takes up what another left
#	SPREAD=(...)		pub's options, by which each member of a group gets something
#	BURSTS=1		groups are given their events in bursts
#	QUICK=(...)		pub's options, by which a dead connection is soon noticed
#	ALIVE=(...)		and those of both, where nothing is under way, after 2 s
#	TOPICS=(...)		topics that it can have
#	WINDOW_KB=N		its window, of events of 1 KB
#	SMALL_KB=N		the memory that a sub nobody reads may have (40000)
#	CUTS_SLOW=1		its server cuts a subscriber that is slow, lenient or not
#	BEHIND=ADDRESS		where the server listens for the relay, if that is not
#				where it listens for all
#	serve NAME PORT KIND [CERTIFICATE]	starts the server as NAME and waits
#				until it serves; once more after it has ended: with what it kept.
#				It listens at $AT, or 127.0.0.1
#
# A test that has several members of a group says PARTS=N before that, for brokers that
# have to know.
#
# The kinds of a server: plain (as it comes); lenient (does not cut or drop who is
# slow); durable (what it has confirmed it has after SIGKILL); users (mbus, secret
# may all; reader, reader may subscribe only; writer, writer may publish only; nobody
# else comes in); forbidden (reader and writer come in, and may nothing); tls CERTIFICATE
# (and lenient); mtls CERTIFICATE (and wants one of `ca`).
#
# Tags: server (has one), cut (a lost connection ends pub), deliver (events arrive at
# all), big (16 MiB), raw, group, one-part (a group does not divide a topic into parts,
# so that there is one order), ack (an event that was not written comes again), handover
# (of a group's, when a member leaves), keep (events wait for their subscriber),
# password, nobody (who gives no user is told that one is wanted), acl, tls, sni (a name
# of our own), ends-tls (both ends can speak TLS), unix, reconnect, attempts (they are counted), alive (a dead line is found
# where nothing is sent), v6 (its server can listen at ::1), repeats (a fault that repeats is seen as one),
# gives-up (pub ends where nothing is answered for -W).
# And without a tag: empty (a body of no bytes, bare on the wire).

load ../lib

TEST_SECONDS=120
PORT=7000			# of the server
BAD=7001			# of the relay in front of it
TELL=7002			# where the relay takes commands
LIST=$ROOT/tests/battery

TOPICS=(t t.a.b t/a/b 'with blanks' 'ünï·cødé' "$(printf 'long%.0s' {1..40})")
OPTIONS=()
PARTS=1
WINDOW_KB=1024
KEEPER=()
SPREAD=()
QUICK=()
ALIVE=()
CARRIES=''
CARRIES_RAW=''
# shellcheck source=/dev/null
. "$LIST"/*/"${MBUS_BATTERY:?tests/run battery/NAME}.bash"

setup() {
	lib_setup
	C=$BATS_FILE_TMPDIR
	export MICRO_BROKER=$BROKER
	if has_server; then export MICRO_BROKER_ADDRESS=127.0.0.1:$PORT; fi
}

lacks() { [[ " $LACKS " == *" $1 "* ]]; }
has_server() { ! lacks server; }
# Who confirms: PEER is the name of it.
PEER=server
has_server || PEER=sub
# The form on the wire in which an event's bytes are its own.
BARE=()
lacks raw || BARE=(--wire raw)

# server [KIND]: the server of this test, if there is such a thing.
server() {
	has_server || return 0
	serve server "$PORT" "${1-plain}"
}

# ---- mbus, of this broker ----

pub() { mbus pub "${OPTIONS[@]}" "$@"; }
sub() { mbus sub "${OPTIONS[@]}" "$@"; }
# sub_ready NAME [OPTION...] TOPIC...
sub_ready() { start_sub "$1" "${OPTIONS[@]}" "${@:2}"; }
# start_pub NAME [OPTION...]: in the background, says its counts.
start_pub() { start "$1" mbus pub -v "${OPTIONS[@]}" "${@:2}"; }

# pub_is STATUS ARG..., sub_is STATUS ARG...: ends in time with this status.
pub_is() {
	run --separate-stderr timeout 30 mbus pub "${OPTIONS[@]}" "${@:2}"
	status_is "$1"
}
sub_is() {
	run --separate-stderr timeout 30 mbus sub "${OPTIONS[@]}" "${@:2}"
	status_is "$1"
}
# Both of them, with the same options, for a topic of this test.
both_are() {
	pub_is "$1" "${@:2}" "${T:=$(topic)}" x
	one_line
	sub_is "$1" "${@:2}" -W 3 "$T"
	one_line
}
one_line() {
	[ "$(wc -l <<< "$stderr")" = 1 ] && [ "$stderr" ] || fail "not one line on stderr:" "$stderr"
}

# took MS: no more than that since begin=$(now_ms).
took() { [ $(($(now_ms) - begin)) -le "$1" ] || fail "took $(($(now_ms) - begin)) ms"; }

# feed [OPTION...]: pub reads what is written to descriptor 7, until `exec 7>&-`.
feed() {
	rm -f feed
	mkfifo feed
	mbus pub -v "${OPTIONS[@]}" "$@" < feed 2> pub.err 3>&- & PID[pub]=$!
	exec 7> feed
}

# ran_badly: some of it failed, or the connection was given up.
ran_badly() { [ "$status" = 1 ] || [ "$status" = 3 ] || fail "status $status" "$(cat pub.err)"; }

# small NAME [KB]: its memory has never been over that. (Sanitizers need more.)
small() {
	local kb

	kb=$(awk '/^VmHWM/ { print $2 }' "/proc/${PID[$1]}/status")
	[ "$kb" -lt "${2-${SMALL_KB-40000}}" ] || [ "$MBUS_TEST_BUILD" != build ] || fail "$1: $kb kB"
}

# counts FILE: what pub -v said last: CONFIRMED, REFUSED, UNKNOWN, and TAKEN, their sum.
counts() {
	local line all

	line=$(grep -E '^mbus: pub: ([0-9]+ confirmed|stopped: |interrupted: |[0-9]+ of [0-9]+ not delivered)' "$1" | tail -n 1)
	REFUSED=0 UNKNOWN=0
	[[ $line =~ \ ([0-9]+)\ refused ]] && REFUSED=${BASH_REMATCH[1]}
	[[ $line =~ \ ([0-9]+)\ unknown ]] && UNKNOWN=${BASH_REMATCH[1]}
	if [[ $line =~ ([0-9]+)\ confirmed ]]; then
		CONFIRMED=${BASH_REMATCH[1]}
		TAKEN=$((CONFIRMED + REFUSED + UNKNOWN))
	elif [[ $line =~ ([0-9]+)\ of\ ([0-9]+)\ not\ delivered ]]; then
		TAKEN=${BASH_REMATCH[2]}
		CONFIRMED=$((TAKEN - BASH_REMATCH[1]))
	else
		fail "no counts in $1" "$(cat "$1")"
	fi
	[ "$TAKEN" = $((CONFIRMED + REFUSED + UNKNOWN)) ] || fail "the counts do not add up: $line"
}

# arrived FILE: how many different events are in a sub's output of numbers.
arrived() { sort -u "$1" | wc -l; }

# none_lost FILE: every confirmed event arrives, nothing that was refused does, and
# nothing that was not sent. After counts().
none_lost() {
	local n

	if ! wait_for -t 15 at_least "$CONFIRMED" "$1"; then
		fail "$(arrived "$1") arrived of $CONFIRMED confirmed; not there: $(sort -nu "$1" |
			awk '$1 != last + 1 { printf "%d-%d ", last + 1, $1 - 1 } { last = $1 }' | head -c 300)"
		return
	fi
	settled "$1"
	n=$(arrived "$1")
	[ "$n" -le $((CONFIRMED + UNKNOWN)) ] ||
		fail "$n arrived; $CONFIRMED confirmed, $REFUSED refused, $UNKNOWN unknown"
}
at_least() { [ "$(arrived "$2")" -ge "$1" ]; }
none_twice() {
	[ "$(sort "$1" | uniq -d | wc -l)" = 0 ] || fail "twice: $(sort "$1" | uniq -d | head -n 5)"
}

# settled FILE: no more arrives.
settled() {
	local was=-1 n

	while n=$(stat -c %s "$1"); [ "$n" != "$was" ]; do
		was=$n
		sleep 0.2
	done
}

# ---- the bad network ----

# relay_on [TARGET]: from here on mbus speaks to the server through tests/tools/relay.
relay_on() {
	start_ready relay "$ROOT/tests/tools/relay" --ready-fd 8 "$BAD" "${1-${BEHIND:-127.0.0.1:$PORT}}" "$TELL"
}
# through COMMAND...: by the relay's port.
through() { MICRO_BROKER_ADDRESS=127.0.0.1:$BAD "$@"; }
# relay COMMAND...: returns when it is done.
relay() {
	local answer fd

	exec {fd}<> "/dev/tcp/127.0.0.1/$TELL" || return
	echo "$*" >&"$fd"
	read -r -t 5 answer <&"$fd"
	exec {fd}>&-
	[ "$1" != stats ] || echo "$answer"
	[[ $answer != error* ]]
}

# certificates: ca signs srv (localhost, 127.0.0.1), cli, other (other.example), old
# (expired); foreign signs alien. All in $C.
certificates() {
	cd "$BATS_FILE_TMPDIR" || return
	authority ca
	authority foreign
	certificate srv ca IP:127.0.0.1,DNS:localhost
	certificate cli ca DNS:cli
	certificate other ca DNS:other.example
	expired old ca IP:127.0.0.1
	certificate alien foreign IP:127.0.0.1
	chmod 644 ./*.key
}

# secretly: TLS_PUB, TLS_SUB, the options of both ends. After certificates.
secretly() {
	TLS_PUB=(--tls --tls-ca "$C/ca.crt")
	TLS_SUB=("${TLS_PUB[@]}")
	# Who is published to is the one who shows a certificate.
	has_server || TLS_SUB=(--tls --tls-cert "$C/srv.crt" --tls-key "$C/srv.key")
}

# hosts LINE...: what /etc/hosts says, for this test.
hosts() {
	printf '%s\n' "$@" > hosts
	mount --bind hosts /etc/hosts && at_end umount /etc/hosts
}

# was_cut SUB: the server is one that cuts who is slow, and has cut it.
was_cut() { [ "${CUTS_SLOW-}" ] && grep -q ' lost: the server closed the connection' "$1.err"; }

# little_room: the kernel keeps no more than 64 KB of what is sent on a connection that is
# made from now on in this test.
little_room() {
	local f

	for f in /proc/sys/net/ipv4/tcp_{wmem,rmem}; do
		at_end cp "$PWD/was.${f##*/}" "$f"
		cat "$f" > "was.${f##*/}"
		echo 4096 16384 65536 > "$f"
	done
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The audit: rounds of random faults in the middle of random publishing, and what pub
# said of each event held against what has arrived. `tests/run audit/redis`; in make
# check $AUDIT_ROUNDS (20) for each broker, in make check-long a thousand. It prints what
# it saw of each fault, and the seed: AUDIT_SEED=N AUDIT_ROUNDS=N tests/run audit/redis
# takes the same decisions again (what they meet is a matter of time).
#
# What a round must hold, C confirmed, R refused, U unknown:
#	- each event that was taken has one fate; status 0 means that all are confirmed
#	- what arrives is whole, and none of it was not sent
#	- C <= arrived <= C + U (a server that was killed: only where it keeps its word);
#	  with pub --report, event by event
#	- nothing comes twice where nothing was sent twice
#	- everything ends
# A violation says the round, which is enough to read on, and what it was told to do.

load ../battery/battery

TEST_SECONDS=$((${AUDIT_ROUNDS:-20} * 40 + 200))
ROUNDS=${AUDIT_ROUNDS:-20}
SEED=${AUDIT_SEED:-$((EPOCHSECONDS % 30000))}

setup_file() { certificates; }

numbered() { "$ROOT/tests/tools/numbered" "$@"; }
nuls() { tr -dc '\0' < "$1" | wc -c; }
nuls_in() { [ "$(nuls "$1")" -ge "$2" ]; }
mbus pub --help 2> /dev/null | grep -q -- --report-all && REPORTS=1 || REPORTS=

# among N: 0 to N - 1; one_of WORD...
among() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }
one_of() { shift "$(among $#)"; echo "$1"; }

# The faults that this broker can meet.
faults() {
	if has_server; then
		FAULTS=(pressed reset fin reset-after fin-after still lose stall dribble dead kill term nothing)
	else
		# The subscriber is the server.
		FAULTS=(pressed still term nothing)
	fi
}

# ---- one round ----

# plan: what this round does, by RANDOM.
plan() {
	FAULT=${FAULTS[ROUND % ${#FAULTS[@]}]}
	# Bodies of all sizes; some fill what the kernel and TLS hold, some do not.
	case $(among 3) in
	0) LEAST=20 MOST=100 FIRST=$((1 + $(among 2000))) REST=$((1 + $(among 8000))) ;;
	1) LEAST=1000 MOST=4000 FIRST=$((1 + $(among 200))) REST=$((1 + $(among 4000))) ;;
	2) LEAST=20 MOST=20000 FIRST=$((1 + $(among 20))) REST=$((1 + $(among 300))) ;;
	esac
	W=$(one_of 0.5 1 1 2)
	OVER=$(one_of 0.3 0.3 "$W" "$W" 2.5)	# how long it lasts
	INFLIGHT=$(one_of 1 10 1000 1000 100000 100000)
	AGAIN=$(one_of '' '' 5 20)
	WAYS=$(one_of up down '')
	BYTES=$(among $((REST * LEAST)))
	ROOM=$(one_of little much)
	[ "$INFLIGHT" != 1 ] || REST=$((REST % 500 + 1))
	# The worst of all: it stands still until their time is over, with more under way
	# than the kernel takes.
	if [ "$FAULT" = pressed ]; then
		LEAST=1000 MOST=4000 FIRST=$((1 + $(among 200))) REST=$((3000 + $(among 3000)))
		W=$(one_of 0.5 1 2) INFLIGHT=100000 ROOM=little
		OVER=$(awk "BEGIN { print $W + 0.8 }")
	fi
	# What is resent may come twice, and time goes on while it is tried.
	PUB=(-W "$W" --inflight "$INFLIGHT")
	[ -z "$AGAIN" ] || lacks reconnect || PUB+=(--reconnect "$AGAIN")
	[ "$FAULT" != dead ] || PUB+=("${ALIVE[@]}")
	PLAN="$FAULT ${WAYS:+$WAYS }$OVER s, $FIRST + $REST events of $LEAST to $MOST bytes, ${PUB[*]} $ROOM room"
}

# the_fault: happens now. What has to be undone is undone when it returns.
the_fault() {
	case $FAULT in
	reset) relay cut rst ;;
	fin) relay cut fin ;;
	still | pressed)
		freeze "$PEER"
		sleep "$OVER"
		thaw "$PEER"
		;;
	lose | stall | dribble)
		# shellcheck disable=SC2086
		relay $FAULT $WAYS
		sleep "$OVER"
		# What was lost of a stream makes the rest of it meaningless.
		[ "$FAULT" != lose ] || relay cut
		relay pass
		;;
	dead) relay dead ;;
	kill)
		stop server KILL || true
		sleep "$OVER"
		cd "$BATS_TEST_TMPDIR" || return
		serve server "$PORT" "$KIND"
		cd "$HERE" || return
		;;
	term) kill -TERM "${PID[pub]}" || true ;;
	esac
}

a_round() {
	HERE=$BATS_TEST_TMPDIR/round.$ROUND
	mkdir "$HERE"
	cd "$HERE" || return
	t=a$SEED.$ROUND
	case $BROKER in mqtt | nats) t=${t/./x} ;; esac
	plan
	begin=$(now_ms)
	numbered make "$t" 1 "$FIRST" "$LEAST" "$MOST" > first
	numbered make "$t" $((FIRST + 1)) $((FIRST + REST)) "$LEAST" "$MOST" > rest
	! has_server || made_topic
	# A group of a NATS stream is of one topic; and a server that stands still is not to
	# think that what is acknowledged meanwhile was not.
	local keeper=("${KEEPER[@]}")
	[ "$BROKER" != nats ] || [ ${#KEEPER[@]} = 0 ] || keeper=(-g "one$ROUND")
	sub_ready sub "${BARE[@]}" "${TLS_SUB[@]}" "${keeper[@]}" -0 --body "$t"
	case $FAULT in
	reset-after | fin-after) relay cut-after $((BYTES + 1)) "${WAYS:-up}" "$(one_of rst fin)" ;;
	esac
	[ "$ROOM" = much ] || little_room
	[ -z "$REPORTS" ] || PUB+=(--report report --report-all)
	through_relay feed "${BARE[@]}" "${TLS_PUB[@]}" "${PUB[@]}" -0 "$t"
	{ cat first; cat rest; } >&7 7>&- 3>&- 2> cat.err & PID[cat]=$!
	exec 7>&-
	wait_for some_or_gone "$(among $((FIRST + 1)))"
	the_fault
	finish pub 40 || { stop pub KILL || true; status=hang; }
	pub_status=$status
	stop cat KILL 2> stop.err || true
	! has_server || relay pass
	judge
	stop sub || true
	[ "$status" = 0 ] || [ "$FAULT" = kill ] || violation "sub: status $status"
	room_again
	cd .. || return
	[ -n "$BAD_ROUND" ] || rm -rf "$HERE"
}
through_relay() { if has_server; then through "$@"; else "$@"; fi; }
made_topic() { if [ "$(type -t made)" ]; then made; fi; }
some_or_gone() { gone "${PID[pub]}" || nuls_in sub.out "$1"; }
room_again() {
	local f

	for f in "${AT_END[@]}"; do eval "$f"; done
	AT_END=()
}

violation() {
	VIOLATIONS=$((VIOLATIONS + 1))
	BAD_ROUND=1
	echo "# audit: seed $SEED, round $ROUND ($FORM): $PLAN: $*" >&3
}

# judge: what pub said, against what there is.
judge() {
	local n stored=sub.out most

	BAD_ROUND=
	if [ "$pub_status" = hang ]; then
		violation 'pub does not end'
		add "$FAULT" 1 $((FIRST + REST)) 0 0 0 0
		return
	fi
	# Not connected at all: nothing was taken.
	if grep -qE 'confirmed|not delivered|stopped|interrupted' pub.err; then
		counts pub.err || violation 'the counts do not add up'
	else
		CONFIRMED=0 REFUSED=0 UNKNOWN=0
		[ "$pub_status" != 0 ] || violation 'status 0 and no counts'
	fi
	if [ "$pub_status" = 0 ] && [ "$CONFIRMED" != $((FIRST + REST)) ]; then
		violation "status 0, $CONFIRMED confirmed of $((FIRST + REST))"
	fi
	case $pub_status:$FAULT in
	[013]:* | 143:term) ;;
	*) violation "status $pub_status: $(tail -n 1 pub.err)" ;;
	esac
	# Where a server that was killed keeps its word, it is asked; else it is not held
	# to what it confirmed.
	if [ "$FAULT" = kill ] && ! lacks keep; then
		sub -o beginning -e "${BARE[@]}" "${TLS_SUB[@]}" -0 --body -W 20 "$t" > kept 2> kept.err || true
		stored=kept
	elif [ "$FAULT" != kill ]; then
		wait_for -t 10 nuls_in sub.out "$CONFIRMED" > wait.out || true
		settled sub.out
	fi
	numbered read "$t" "$LEAST" "$MOST" < $stored > numbers 2> harmed || violation "$(wc -l < harmed) harmed: $(head -n 2 harmed)"
	n=$(arrived numbers)
	if ! may_lose; then
		[ "$n" -ge "$CONFIRMED" ] || violation "$CONFIRMED confirmed, $n arrived"
	fi
	most=$((CONFIRMED + UNKNOWN))
	[ "$n" -le "$most" ] || violation "$CONFIRMED confirmed, $REFUSED refused, $UNKNOWN unknown, $n arrived"
	[ -n "$AGAIN" ] || [ "$FAULT" = kill ] || none_twice numbers > twice || violation "$(cat twice)"
	if [ -n "$REPORTS" ] && [ "$pub_status" != hang ]; then
		numbered fates report "$(if may_lose; then echo lossy; fi)" < numbers > fates ||
			violation "$(head -n 3 fates)"
	fi
	unharmed || violation 'the server did what an event said'
	add "$FAULT" 1 $((FIRST + REST)) "$CONFIRMED" "$REFUSED" "$UNKNOWN" "$n"
}
[ "$(type -t unharmed)" ] || unharmed() { :; }

# add FAULT NUMBER...: to the table.
declare -gA TABLE=()
add() {
	local k=0 fault=$1 x

	shift
	for x; do
		TABLE[$fault.$k]=$((${TABLE[$fault.$k]-0} + x))
		k=$((k + 1))
	done
	TABLE[$fault.6]=$((${TABLE[$fault.6]-0} + VIOLATIONS - SAID))
	SAID=$VIOLATIONS
}
# shellcheck disable=SC2059
table() {
	local f='# audit: %-24s %6s %9s %9s %9s %9s %9s %5s\n' fault k row

	printf "$f" "${MBUS_BATTERY} $FORM, seed $SEED" rounds events confirmed refused unknown stored bad >&3
	for fault in "${FAULTS[@]}"; do
		row=()
		for k in {0..6}; do row+=("${TABLE[$fault.$k]-0}"); done
		[ "${row[0]}" = 0 ] || printf "$f" "  $fault" "${row[@]}" >&3
	done
}

# audit FORM ROUNDS
audit() {
	FORM=$1
	VIOLATIONS=0 SAID=0
	faults
	RANDOM=$SEED
	! has_server || { serve server "$PORT" "$KIND" && relay_on; }
	# In another order each time, the first one first, each of them as often.
	mapfile -t -O 1 FAULTS < <(for f in "${FAULTS[@]:1}"; do echo "$RANDOM $f"; done | sort -n | cut -d ' ' -f 2)
	for ((ROUND = 0; ROUND < $2; ROUND++)); do
		RANDOM=$(((SEED + ROUND * 7919) % 32768))
		a_round
	done
	table
	[ "$VIOLATIONS" = 0 ] || fail "$VIOLATIONS violations: AUDIT_SEED=$SEED AUDIT_ROUNDS=$ROUNDS tests/run audit/$MBUS_BATTERY"
}

# may_lose: what was confirmed need not be there, because the server was killed and keeps
# nothing (with TLS it is not told to), or has cut its subscriber.
may_lose() {
	was_cut sub || { [ "$FAULT" = kill ] && { lacks keep || [ "$KIND" != durable ]; }; }
}

# bats test_tags=deliver
@test "random faults: the fates are true, events are whole" {
	KIND=durable TLS_PUB=() TLS_SUB=()
	audit plain $((ROUNDS - ROUNDS * 2 / 5))
}

# bats test_tags=deliver,ends-tls
@test "random faults over TLS: the same" {
	KIND=tls
	secretly
	audit TLS $((ROUNDS * 2 / 5))
}

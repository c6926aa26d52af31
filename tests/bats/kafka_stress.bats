#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A Kafka that stands still, dies, or loses its connections at random under load, again
# and again, and each round what pub counted beside what the topic holds: nothing
# confirmed is missing, nothing refused is there. The seed is printed;
#	AUDIT_SEED=N AUDIT_ROUNDS=N tests/run --long bats/kafka_stress
# does the same again, or more of it.

# bats file_tags=long

load ../lib
load kafka
TEST_SECONDS=10000

setup_file() { kafka_up; }
teardown_file() { kafka_down; }
setup() { kafka_setup; }

# pick N: 0 ... N-1 to `picked`. (No subshell: it would not move the sequence on.)
pick() { picked=$((RANDOM % $1)); }
one_of() { pick $#; shift "$picked"; picked=$1; }

# feed N EVERY: 400 numbered lines each time, as long as anybody reads.
feed() {
	local k

	for ((k = 0; k < $1; k += 400)); do
		seq -f "%0$3.0f" $((k + 1)) $((k + 400)) || return
		sleep "$2"
	done
}
begun() { [ "$(admin ends "$1" | tr ' ' '\n' | awk '{ n += $1 } END { print n }')" -ge 800 ]; }

# A round's figures are its line of the table; false: they contradict each other.
round() {
	local n=$1 fault stop late size parts events=12000 topic=$t.$1 more=() c=0 r=0 u=0 line has twice lost

	one_of stop stop stop kill cut; fault=$picked
	pick 40; stop=$(printf '%d.%d' $((1 + picked / 10)) $((picked % 10)))
	one_of 1 2 3; late=$picked
	one_of 20 100 1000; size=$picked
	one_of 1 1 3; parts=$picked
	pick 4; [ "$picked" != 0 ] || more=(-X enable.idempotence=false)
	admin create "$topic" "$parts"
	rm -f feed.fifo
	mkfifo feed.fifo
	MICRO_BROKER_ADDRESS=$([ $fault = cut ] && echo 127.0.0.1:9193 || echo 127.0.0.1:9092) \
		start pub sh -c 'exec mbus pub -v -l --wire raw --reconnect always "$@" < feed.fifo' sh -W "$late" "${more[@]}" "$topic"
	feed $events 0.05 "$size" > feed.fifo 2> feed.err 3>&- &
	PID[feed]=$!
	wait_for -t 30 begun "$topic"
	pick 10
	sleep "0.$picked"
	case $fault in
	stop)
		kafka_signal STOP
		sleep "$stop"
		kafka_signal CONT
		;;
	kill)
		kafka_kill
		sleep "$stop"
		kafka_begin
		;;
	cut)
		relay refuse
		relay cut
		sleep "$stop"
		relay accept
		;;
	esac
	finish pub 60
	line=$(grep -E '^mbus: pub: ([0-9]+ confirmed|stopped: |[0-9]+ of [0-9]+ not delivered)' pub.err | tail -n 1)
	[[ ! $line =~ ([0-9]+)\ confirmed ]] || c=${BASH_REMATCH[1]}
	[[ ! $line =~ ([0-9]+)\ refused ]] || r=${BASH_REMATCH[1]}
	[[ ! $line =~ ([0-9]+)\ unknown ]] || u=${BASH_REMATCH[1]}
	[[ ! $line =~ ([0-9]+)\ of\ ([0-9]+)\ not\ delivered ]] || c=$((BASH_REMATCH[2] - BASH_REMATCH[1]))
	wait_for -t 30 kafka_serves 9092
	consume "$topic" > topic
	has=$(sort -u topic | wc -l)
	twice=$(($(wc -l < topic) - has))
	printf '# %4d %-4s %s s -W %d %4d B %d part %-27s: %5d confirmed %5d refused %5d unknown | stored %5d, twice %d\n' \
		"$n" $fault "$stop" "$late" "$size" "$parts" "${more[*]}" $c $r $u "$has" $twice >&3
	[ "$line" ] && [ "$has" -ge "$c" ] && [ "$has" -le $((c + u)) ] && return
	cat pub.err
	return 1
}

@test "stops, kills and cuts at random: what is confirmed is there, what is refused is not" {
	local seed=${AUDIT_SEED:-$RANDOM} rounds=${AUDIT_ROUNDS:-25} k bad=0

	echo "# seed $seed, $rounds rounds" >&3
	relay_on
	RANDOM=$seed
	for ((k = 1; k <= rounds; k++)); do
		round $k || bad=$((bad + 1))
	done
	is "$bad" 0
}

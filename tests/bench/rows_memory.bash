# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The rows of run.sh for the memory broker. Its peers: raw rings and a pipe
# (memory_ring.c), ZeroMQ over ipc (zmq_pair.c), Aeron's Java driver and client
# (AeronBench.java) and iceoryx2 (iceoryx_bench.rs); `make bench ANCHORS=` leaves out the
# last two. S1 and S3 measure mbus whole; the others a tight loop on core/broker.h
# (micro_memory.c), as the peers are tight loops: every event is published for itself, and
# its number is checked by who gets it. S12, ten thousand kills, is a test:
# make check-long.

all_rows+=(S1 S1a S1b S1c S2 S3 S4 S4a S4b S5 S5a S6 S7 S8 S9 S10 S11 B6 T5)

memory() { bench_json -B memory -b "bench-$$" -s 100 "$@"; }
memory_rate() { memory -n $((4000000 / divisor)) && value=$(figure figures receive_rate); }

# of COMMAND...: events a second of a peer that prints seconds.
of() {
	timed "$@" "$count" && value=$(calc "$count / $(cat "$tmp/out")")
}

zmq_rate() {
	count=$((1000000 / divisor))
	of "$tool/zmq_pair" "$tmp/zmq"
}
row_S1() {
	compare zmq_rate memory_rate || return
	report S1 'memory: 1 to 1, 100 B, events/s' 'ZeroMQ 4.3 pub/sub over ipc, nothing dropped' /s '>= 5' '>= 8'
}

# ---- tight loops ----

# word N: that word of what a tool has printed.
word() { cut -d' ' -f"$1" "$tmp/out"; }

# tight PUBS SUBS N: events a second that a tight loop publishes to each subscriber.
tight() {
	timed "$tool/micro_memory" bus "$1" "$2" $(($3 / divisor)) &&
		value=$(calc "$3 / $divisor / $(word 1)")
}
tight11() { tight 1 1 10000000; }
tight21() { tight 2 1 4000000; }
tight44() { tight 4 4 2000000; }

# anchor NAME: sets `anchor` to what tests/setup/NAME says of it.
anchor() {
	case " ${ANCHORS-aeron iceoryx} " in
	*" $1 "*) ;;
	*) cannot "$1 is left out (ANCHORS)" || return ;;
	esac
	anchor=$(tests/setup/"$1" 2> "$tmp/err") ||
		cannot "$1 is not there: $(tail -n 1 "$tmp/err" | cut -c1-120)"
}

# aeron KIND PUBS SUBS N BATCH
aeron() {
	timed java -XX:+UseSerialGC -cp "$anchor" AeronBench bus "$1" "$2" "$3" $(($4 / divisor)) "$5" &&
		value=$(calc "$4 / $divisor / $(word 1)")
}
aeron_exclusive() { aeron exclusive 1 1 20000000 1; }
aeron_block() { aeron exclusive 1 1 20000000 64; }
aeron_block44() { aeron exclusive 4 4 4000000 64; }
aeron_best44() {
	local best

	aeron exclusive 4 4 2000000 1 || return
	best=$value
	aeron shared 4 4 2000000 1 || return
	value=$(calc "$value > $best ? $value : $best")
}
row_S1a() {
	anchor aeron || return
	compare aeron_exclusive tight11 || return
	report S1a 'memory: 1 to 1, 100 B, one by one, events/s' 'Aeron IPC (Java), exclusive publication' /s '>= 0.7' '>= 1.3'
}
row_S1b() {
	anchor aeron || return
	compare aeron_block tight11 || return
	report S1b 'memory: 1 to 1, 100 B, events/s' 'Aeron IPC (Java), offerBlock of 64' /s '>= 1.5' '>= 2.5'
}
row_S4a() {
	anchor aeron || return
	compare aeron_best44 tight44 || return
	report S4a 'memory: 4 to 4, 100 B, one by one, events/s' 'Aeron IPC (Java), the better of shared and exclusive' /s '>= 0.5' '>= 1.0'
}
row_S4b() {
	anchor aeron || return
	compare aeron_block44 tight44 || return
	report S4b 'memory: 4 to 4, 100 B, events/s' 'Aeron IPC (Java), offerBlock of 64' /s '>= 1.2' '>= 1.6'
}

aeron_cpu() { aeron_exclusive && value=$(calc "($(word 2) + $(word 3) + $(word 4)) / 1e9"); }
tight_cpu() { tight11 && value=$(calc "($(word 2) + $(word 3)) / 1e9"); }
row_S9() {
	anchor aeron || return
	compare aeron_cpu tight_cpu || return
	report S9 'memory: 1 to 1, CPU an event, both sides' 'Aeron IPC (Java), exclusive, its driver counted' s '<= 1.5' '<= 0.8'
}

spsc_rate() {
	count=$((20000000 / divisor))
	of "$tool/memory_ring" spsc 64
}
row_S1c() {
	compare spsc_rate tight11 || return
	report S1c 'memory: 1 to 1, 100 B, events/s' 'raw ring of one writer, a head for each 64' /s '>= 0.5' '>= 0.9'
}

ring_rate() {
	count=$((10000000 / divisor))
	of "$tool/memory_ring" ring 1 1
}
row_S2() {
	compare ring_rate tight11 || return
	report S2 'memory: 1 to 1, 100 B, events/s' 'raw ring, fetch_add, a cursor a reader' /s '>= 0.5' '>= 1.0'
}

ring2_rate() {
	count=$((4000000 / divisor))
	of "$tool/memory_ring" ring 2 1
}
row_S4() {
	compare ring2_rate tight21 || return
	report S4 'memory: 2 to 1, 100 B, events/s' 'raw ring, 2 publishers' /s '>= 0.3' '>= 0.7'
}

# ---- one event to and fro ----

# compare_latency wants microseconds: p50, p99, p99.9, the longest.
trips() { timed "$@" && figures=("$(calc "$(word 1) / 1e3")" "$(calc "$(word 2) / 1e3")" 0 0); }
ring_rtt() { trips "$tool/memory_ring" rtt $((200000 / divisor)); }
aeron_rtt() { trips java -XX:+UseSerialGC -cp "$anchor" AeronBench rtt $((200000 / divisor)); }
memory_rtt() { trips "$tool/micro_memory" rtt $((200000 / divisor)); }
row_S5() {
	compare_latency ring_rtt memory_rtt || return
	report_latency S5 'memory: round trip, hot' 'raw ring' p50 '<= 3' '<= 1.5' p99 '<= 3' '<= 1.5'
}
row_S5a() {
	anchor aeron || return
	compare_latency aeron_rtt memory_rtt || return
	report_latency S5a 'memory: round trip, hot' 'Aeron IPC (Java)' p50 '<= 1.5' '<= 1.0' p99 '<= 1.5' '<= 1.0'
}

# Readers that sleep; everything on one CPU, as waking another one is most of it.
pipe_rtt() { trips "$tool/memory_ring" pipertt 500 $((4000 / divisor)); }
asleep_rtt() { trips "$tool/micro_memory" rtt $((4000 / divisor)) 500; }
row_S6() {
	pin=1
	compare_latency pipe_rtt asleep_rtt || return
	report_latency S6 'memory: round trip, sleeping readers' 'a pipe each way' p50 '<= 1.1' '<= 1.0'
}
pipe_slow() { timed "$tool/memory_ring" pipeslow 500 $((4000 / divisor)) && value=$(calc "$(word 1) / 1e9"); }
memory_slow() { timed "$tool/micro_memory" slow $((4000 / divisor)) 500 && value=$(calc "$(word 2) / 1e9"); }
row_S8() {
	pin=1
	compare pipe_slow memory_slow || return
	report S8 'memory: writer CPU an event, reader sleeps' 'a pipe, a write each' s '<= 1.0' '<= 0.3'
}

# ---- one of them is killed ----

limit_pub() { value=0.05; }
limit_sub() { value=0.2; }
killed() { timed "$tool/micro_memory" kill "$1" $((100 / divisor + 2)) && value=$(calc "$(word 2) / 1e9"); }
killed_pub() { killed pub; }
killed_sub() { killed sub; }
row_S10() {
	compare limit_pub killed_pub || return
	report S10 'memory: others stand still, publisher killed' 'the limit that it has (p99)' s '<= 1.0' '<= 0.04'
	compare limit_sub killed_sub || return
	report S10 'memory: others stand still, subscriber killed' 'the limit that it has (p99)' s '<= 1.0' '<= 0.1'
}

# ---- large bodies ----

iceoryx_bytes() { timed "$anchor" 4 "$count" "$size" && value=$(calc "$count * $size / $(word 1)"); }
memory_bytes() {
	timed "$tool/micro_memory" bus 1 4 "$count" "$size" ${ring:+"$ring"} &&
		value=$(calc "$count * $size / $(word 1)")
}
row_S11() {
	local size ring

	anchor iceoryx || return
	size=65536 ring='' count=$((20000 / divisor))
	compare iceoryx_bytes memory_bytes || return
	report S11 'memory: 1 to 4, 64 KiB, bytes/s' 'iceoryx2 0.10, loaned and written' B/s '>= 0.3' '>= 0.8'
	size=1048576 ring=16M count=$((2000 / divisor))
	compare iceoryx_bytes memory_bytes || return
	report S11 'memory: 1 to 4, 1 MiB, bytes/s' 'iceoryx2 0.10, loaned and written; mbus with memory.size=16M' B/s '>= 0.3' '>= 0.8'
}

# ---- mbus bench itself: a loop that does no more than it must to measure ----

clock_rate() {
	timed "$tool/micro_memory" clock $((4000000 / divisor)) &&
		value=$(calc "4000000 / $divisor / $(word 1)")
}
row_B6() {
	compare clock_rate memory_rate || return
	report B6 'mbus bench, memory: events/s' 'tight loop, a look at the clock an event and side' /s '>= 0.9' '>= 0.95'
}

# ---- commands ----

pipe_rate() {
	count=$((10000000 / divisor))
	of "$tool/memory_ring" pipe 65536
}
memory_lines() {
	server memsub lines "$mbus" sub -B memory -b "bench-$$" --ready-fd 8 --body "$topic" || return
	timed "$mbus" pub -B memory -b "bench-$$" -l "$topic" < "$file" || return
	counted memsub || return
	[ "$lines" = "$count" ] || cannot "of $count events $lines arrived" || return
	value=$(calc "$lines / ($last - $start)")
}
row_S3() {
	lines_of 1000000 "$(printf '%100s' '' | tr ' ' x)"
	n=$count
	pipe_lines() { pipe_rate; count=$n; }
	compare pipe_lines memory_lines || return
	report S3 'memory: pub -l to sub --body, lines/s' 'a pipe, 64 KiB a write' /s '>= 0.1' '>= 0.25'
}

five_ms() { value=0.005; }
idle_cpu() {
	local before

	server memsub /dev/null "$mbus" sub -B memory -b "bench-$$" --ready-fd 8 "$topic" || return
	sleep 0.2
	before=$(ticks memsub)
	sleep $((10 / (divisor > 10 ? 10 : divisor)))
	value=$(calc "($(ticks memsub) - $before) / 100")
	stop memsub
}
row_S7() {
	compare five_ms idle_cpu || return
	report S7 'memory: an idle subscriber, CPU in 10 s' 'the limit that it has' s '<= 1.0' '<= 0'
}

one_memory() { median_wall 200 "$mbus" pub -B memory -b "bench-$$" "$topic" hello; }
row_T5() {
	have "$mbus" || return
	server memsub /dev/null "$mbus" sub -B memory -b "bench-$$" --ready-fd 8 "$topic" || return
	true200() { median_wall 200 /bin/true; }
	compare true200 one_memory || return
	stop memsub
	report T5 'memory: one event to a subscriber, time' '/bin/true' s '<= 2.0' '<= 1.3'
}

# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: Apache-2.0
#
# The rows of run.sh for what pub reads and sub prints: CPU time an event over the memory
# broker and the null broker, so that there is little else in it. O2, when output appears,
# is no matter of rate: tests/bats/sub holds it.

all_rows+=(O1 O3 O4)

# sub_cpu OPTION...: CPU a received event of a sub whose output goes into a pipe; the
# word N becomes how many there are.
sub_cpu() {
	local user sys wall rss status start pub

	lines_of $((2000000 / divisor)) "$text100"
	"$mbus" pub -B memory -b "bench-$$" --wait 1 -l out < "$file" > /dev/null 2> "$tmp/pub.err" & pub=$!
	rm -f "$tmp/use"
	"$tool/bench_wait" "$tmp/use" "$mbus" sub -B memory -b "bench-$$" "${@/#N/$count}" out 2> "$tmp/err" \
		> >(exec cat > /dev/null)
	wait "$pub"
	read -r start wall user sys rss status < "$tmp/use" || cannot "could not be started" || return
	[ "$status" = 0 ] || [ "$1" = --idle ] || cannot "sub: exit status $status: $(tail -n 1 "$tmp/err")" || return
	value=$(calc "($user + $sys) / $count")
}
# What printing costs is what is on top of receiving.
fwrite_cpu() {
	local n=$((4000000 / divisor)) user sys wall rss status start

	rm -f "$tmp/use"
	"$tool/bench_wait" "$tmp/use" "$tool/stdio_lines" write "$n" > >(exec cat > /dev/null)
	read -r start wall user sys rss status < "$tmp/use" || cannot "could not be started" || return
	value=$(calc "($user + $sys) / $n")
}
print_cpu() {
	local silent

	sub_cpu --idle 300ms --skip N || return
	silent=$value
	sub_cpu --body -c N || return
	value=$(calc "$value > $silent ? $value - $silent : 0")
}
row_O1() {
	compare fwrite_cpu print_cpu || return
	report O1 'sub --body: CPU an event on top of receiving' 'fwrite_unlocked into a pipe, 64 KiB' s '<= 2' '<= 1.2'
}

getline_cpu() {
	lines_of $((2000000 / divisor)) "$text100"
	timed "$tool/stdio_lines" read < "$file" && value=$(calc "$cputime / $count")
}
null_lines_cpu() {
	lines_of $((2000000 / divisor)) "$text100"
	timed "$mbus" pub -B null -l t < "$file" && value=$(calc "$cputime / $count")
}
row_O3() {
	compare getline_cpu null_lines_cpu || return
	report O3 'pub -l to null: CPU a line, publishing included' 'getline, 64 KiB' s '<= 1.5' '<= 0.8'
}

body_cpu() { sub_cpu --body -c N; }
format_cpu() { sub_cpu -c N -f '%t %k %s\n'; }
row_O4() {
	compare body_cpu format_cpu || return
	report O4 "sub -f '%t %k %s\\n': CPU an event" 'sub --body' s '<= 1.3' '<= 1.1'
}

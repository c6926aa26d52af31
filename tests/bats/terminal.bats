#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr is set by run
#
# What mbus shows on a terminal, in a real one: tmux, which keeps what a screen would show.

load ../lib
load fake

setup_file() { fake_build; }

setup() {
	lib_setup
	export TERM=xterm LC_ALL=C.UTF-8
	printf '%s\n' 'set -g default-command "exec bash --norc --noprofile"' 'set -g default-terminal screen-256color' > tmux.conf
	T=(tmux -S "$PWD/tmux.sock" -f tmux.conf)
	"${T[@]}" new-session -d -x 80 -y 20 "PS1='> ' exec bash --norc --noprofile"
	wait_for shows '^>'
}
teardown() {
	"${T[@]}" kill-server || true
	lib_teardown
}

# types WORDS: a command line.
types() { "${T[@]}" send-keys -l "$1" && "${T[@]}" send-keys Enter; }
# screen [OPTION]: what it shows.
screen() { "${T[@]}" capture-pane -p "$@"; }
# shows REGEX: in one of its lines.
shows() { screen | grep -Eq -- "$1"; }
# ended: the shell is back, and says the status.
ended() { screen | grep -q "^ended $1\$"; }

NULL() { printf 'MBUS_MODULES=%s MICRO_BROKER=null %s' "$BATS_FILE_TMPDIR/all" "$MBUS"; }

@test "pub shows how far it is, in one line that goes away" {
	seq 1000 > in
	types "clear; $(NULL) pub t -l -f in --rate 400 -v; echo ended \$?"
	wait_for shows '^pub: [0-9]+ events  [0-9]+ %  [0-9]+/s  [0-9]+ in flight  0:0[0-9] left$'
	is "$(screen | grep -c '^pub: ')" 1
	first=$(screen | sed -n 's/^pub: \([0-9]*\) .*/\1/p')
	further() { local n; n=$(screen | sed -n 's/^pub: \([0-9,]*\) .*/\1/p' | tr -d ,); [ "${n:-0}" -gt "$first" ]; }
	wait_for further
	wait_for ended 0
	run ! shows '^pub: '
	shows '^mbus: pub: 1000 confirmed$'
}

@test "progress: lines of stderr stand whole above it" {
	seq 600 > in
	types "clear; $(NULL) pub t -l --rate 200 -X refuse=300 < in; echo ended \$?"
	wait_for shows '^pub: .* left$'
	wait_for shows '^mbus: pub: stdin:300: fake: refused$'
	wait_for shows '^pub: .* left$'
	is "$(screen | grep -c '^pub: ')" 1
	wait_for ended 1
	run ! shows '^pub: '
	shows '^mbus: pub: 2 of 600 not delivered: 2 refused$'
}

@test "progress: a narrower window, and one that is wide again" {
	seq 2000 > in
	types "clear; $(NULL) pub t -l -f in --rate 400; echo ended \$?"
	wait_for shows '^pub: .* left$'
	"${T[@]}" resize-window -x 24 -y 20
	sleep 0.5
	"${T[@]}" send-keys C-l
	wait_for shows '^pub: [0-9,]+ events'
	is "$(screen | grep -Ec 'left$')" 0
	"${T[@]}" resize-window -x 100 -y 20
	wait_for shows '^pub: .* left$'
	"${T[@]}" send-keys C-c
	wait_for shows 'interrupted: [0-9]+ confirmed, the rest not sent'
}

@test "no progress: -q, a pipe, a size that is not known, stdout is the terminal" {
	seq 400 > in
	for args in '-l -f in -q' '-l -f in --tee' '-l -f in --report-all --report -' '-l'; do
		types "clear; cat in | $(NULL) pub t --rate 400 $args; echo ended \$?"
		sleep 0.8
		run ! shows '^pub: '
		wait_for ended 0
	done
	run -0 --separate-stderr fake pub t -l -f in --rate 400
	is "$stderr" ''
	# With -c it is known.
	types "clear; yes | $(NULL) pub t -l -c 800 --rate 400; echo ended \$?"
	wait_for shows '^pub: [0-9]+ events  [0-9]+ %'
	wait_for ended 0
}

@test "sub: colours, control bytes that do nothing, and none of it in a pipe" {
	printf 'a\033[2J\033]0;title\007b\302\233c\342\200\256d' > body
	types "clear; $(printf 'MICRO_BROKER=memory %s' "$MBUS") sub -c 2 t -J; echo ended \$?"
	wait_for sh -c "MICRO_BROKER=memory '$MBUS' topics 2> /dev/null | grep -q '^t'"
	MICRO_BROKER=memory "$MBUS" pub t -H h:v '{"a":1}'
	MICRO_BROKER=memory "$MBUS" pub t -f body
	wait_for ended 0
	screen -e > coloured
	grep -q $'\033\[[0-9;]*m' coloured
	shows '"topic":"t"'
	for how in '' --body --raw --line; do
		types "clear; echo here; MICRO_BROKER=memory $MBUS sub -c 1 t $how; echo; echo ended \$?"
		wait_for sh -c "MICRO_BROKER=memory '$MBUS' topics -J 2> /dev/null | grep -q subscribers"
		wait_for shows '^here$'
		sleep 0.3
		MICRO_BROKER=memory "$MBUS" pub t -f body
		wait_for ended 0
		# The screen was not cleared, and the title is as it was.
		shows '^here$'
		[ "$("${T[@]}" display-message -p '#{pane_title}')" != title ]
		[ "$(screen | grep -c 'b.*c.*d')" -ge 1 ]
	done
}

@test "sub --stats: a table in place, as wide as the window" {
	types "clear; $(NULL) sub t -X count=1000 -X every=10 --stats 200ms -c 500; echo ended \$?"
	wait_for shows '^topic +events +rate'
	wait_for shows '^t +[0-9]+ +[0-9.]+/s .* 0\.[0-9] s ago$'
	sleep 0.7
	is "$(screen | grep -c 'topic ')" 1
	"${T[@]}" resize-window -x 40 -y 20
	sleep 0.7
	"${T[@]}" resize-window -x 120 -y 20
	wait_for -t 30 ended 0
	shows '^topic {30}.* last$'
}

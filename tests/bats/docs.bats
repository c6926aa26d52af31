#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What is said about options in --help, in the manual pages, in the completion and
# by the parser is the same. An option that only some of them know fails here, with
# its name.

load ../lib

COMMANDS=(pub sub bench registry topics doctor)

# The part of --help about a command's own options, resp. about those that all
# commands share, with wrapped lines put together.
help_part() {			# help_part own|common COMMAND
	"$MBUS" help "${@:2}" | awk -v part="$1" '
		/^[A-Z].*:$/ { common = common || /^Broker and registry:/ }
		/^Examples:/ { exit }
		/^(  |      )-/ { flush(); if (common == (part == "common")) line = $0; next }
		/^                          [^ ]/ { if (line) { sub(/^ +/, ""); line = line " " $0 }; next }
		{ flush() }
		END { flush() }
		function flush() { if (line) print line; line = "" }'
}

# Their names: of the left column, resp. the other names in "(also -G, --queue)".
main_names() {
	sed -E 's/^ +//; s/^(-[^-], )?(--?[^ ]+).*/\1\2/' | tr -d ' ' | tr , '\n' | sort -u
}
other_names() {
	grep -oE '\(also [^)]*\)' | grep -oE -- '--?[A-Za-z][a-z-]*' | sort -u
}

# Options as a manual page has them: those that are described (in a tag of a list),
# resp. those that are mentioned anywhere.
man_html() {
	mandoc -T html -O fragment "$ROOT/man/$1" | tr '\n' ' '
}
man_described() {
	man_html "$1" | grep -oE '<dt[^>]*>.*' | sed 's/<dt/\n<dt/g' | grep '^<dt' |
		sed 's,</dt>.*,,' | man_flags
}
man_flags() {
	grep -oE '<code class="Fl"[^>]*>[^<]*</code>' | sed -E 's/<[^>]*>//g; s/&#x2011;|&#8209;/-/g' |
		sort -u
}

# lacking WHAT WANTED HAVE: fails with the lines of WANTED that HAVE has not.
lacking() {
	local missing

	missing=$(comm -23 <(sort -u <<< "$2") <(sort -u <<< "$3") | sed '/^$/d' | paste -sd ' ')
	[ -z "$missing" ] || fail "$1: $missing"
}

# known COMMAND OPTION: does the parser know it? Nothing is run: whatever the option
# takes, a word that is no option follows.
known() {
	local said

	said=$("$MBUS" "${@:1:$#-1}" "${!#}" --no-such --no-such 2>&1 < /dev/null) || true
	[[ $said != *"unknown option ${!#}"[:\;\ ]* ]]
}

@test "--help of this test's own reading is not empty" {
	has "$(help_part own pub | main_names)" --topic -t --inflight
	has "$(help_part own sub | other_names)" -G --queue -C
	has "$(help_part common pub | main_names)" -X --broker -B --version
	[[ $(help_part own pub | main_names) != *--broker* ]]
}

@test "every command has a page, and mbus(1) names it" {
	page=$(mandoc -T utf8 "$ROOT/man/mbus.1" | plain)
	for cmd in "${COMMANDS[@]}"; do
		[ -e "$ROOT/man/mbus-$cmd.1" ] || fail "man/mbus-$cmd.1 is missing"
		has "$page" "mbus-$cmd(1)"
	done
	listed=$("$MBUS" --complete '' | cut -f 1 | grep -v '^help$' | sort | paste -sd ' ')
	is "$listed" "$(printf '%s\n' "${COMMANDS[@]}" | sort | paste -sd ' ')"
}

@test "every option is described in its page" {
	top=$(man_described mbus.1)
	lacking "not in mbus.1" "$(help_part own | main_names)" "$top"
	for cmd in "${COMMANDS[@]}"; do
		page=$(man_described "mbus-$cmd.1")
		lacking "not in mbus-$cmd.1" "$(help_part own "$cmd" | main_names)" "$page"
		lacking "neither in mbus.1 nor in mbus-$cmd.1" \
			"$(help_part common "$cmd" | main_names)" "$top"$'\n'"$page"
		lacking "other names not in mbus-$cmd.1" "$(help_part own "$cmd" | other_names)" \
			"$(man_html "mbus-$cmd.1" | man_flags)"
	done
	# (--broker-address may be written as go-micro does.)
	lacking "other names not in mbus.1" "$(help_part common pub | other_names)" \
		"$(man_html mbus.1 | man_flags | tr _ -)"
}

@test "every option a page describes is known to the parser" {
	for option in $(man_described mbus.1); do
		known "$option" || known pub "$option" || fail "mbus.1 describes $option"
	done
	for cmd in "${COMMANDS[@]}"; do
		for option in $(man_described "mbus-$cmd.1"); do
			known "$cmd" "$option" || fail "mbus-$cmd.1 describes $option"
		done
	done
}

@test "every option of --help is known to the parser" {
	for cmd in "" "${COMMANDS[@]}"; do
		for option in $(help_part own $cmd | main_names) $(help_part own $cmd | other_names) \
			$(help_part common $cmd | main_names) $(help_part common $cmd | other_names); do
			known $cmd "$option" || fail "mbus $cmd --help shows $option"
		done
	done
}

@test "completion offers what --help shows, no more and no less" {
	for cmd in "" "${COMMANDS[@]}"; do
		# Long names, and the letters of options that have no long name.
		shown=$( (help_part own $cmd; help_part common $cmd) |
			sed -E 's/^ +//; s/^-[^-], //; s/ .*//' | sort)
		is "$("$MBUS" --complete $cmd - | cut -f 1 | sort)" "$shown"
	done
}

@test "every environment variable of --help is in the page" {
	page=$(man_html mbus.1 | grep -oE '<code class="Ev"[^>]*>[^<]*' | sed 's/.*>//' | sort -u)
	for cmd in "" "${COMMANDS[@]}"; do
		named=$( (help_part own $cmd; help_part common $cmd) | grep -oE '\[[A-Z][A-Z_]+\]' |
			tr -d '[]' | sort -u)
		has "$named" MICRO_BROKER_ADDRESS
		lacking "not in mbus.1" "$named" "$page"
	done
	has "$page" NO_COLOR
}

@test "defaults in the pages are those of --help" {
	for cmd in "${COMMANDS[@]}"; do
		while read -r option value; do
			found=			# in what the list says of the option
			for page in "mbus-$cmd.1" mbus.1; do
				text=$(man_html "$page" | sed 's/<dt/\n<dt/g' |
					grep -E "<code class=\"Fl\"[^>]*>$option</code>" |
					sed -E 's/<[^>]*>//g' | paste -sd ' ')
				if [[ $text == *"$value"* ]]; then found=1; fi
			done
			[ "$found" ] || fail "$option: the default $value is in no page"
		done < <( (help_part own "$cmd"; help_part common "$cmd") |
			sed -nE 's/^ +(-[^-], )?(--[^ ]+).*\(default ([^)]*)\).*/\2 \3/p')
	done
}

# There is no server here, and nothing for the files that they name: what is held is that
# each of them is a command line that mbus takes.
@test "the examples of the pages and of --help are what mbus takes" {
	local command n

	mkdir scripts bin work
	for command in "${COMMANDS[@]}"; do "$MBUS" "$command" --help > "$command.help"; done
	n=$("$ROOT/tests/tools/man_examples" scripts "$ROOT"/man/*.[17] ./*.help)
	[ "$n" -gt 100 ] || fail "only $n examples were found"
	# Who asks for what there is not, is told with 2.
	cat > bin/mbus <<- END
		#!/bin/sh
		echo "\$0 \$*" >> "\$RAN"
		"$MBUS" "\$@" 2> "\$RAN.err.\$\$"
		status=\$?
		grep -q 'no interface is named' "\$RAN.err.\$\$" && status=0
		[ \$status != 2 ] || { echo "mbus \$*"; cat "\$RAN.err.\$\$"; } >> "\$RAN.bad"
		exit \$status
	END
	cat > bin/curl <<- 'END'
		#!/bin/sh
	END
	chmod +x bin/*
	mkdir old new
	ln -s "$MBUS" old/mbus
	ln -s "$MBUS" new/mbus
	for file in order a b; do echo '{}' > work/$file.json; done
	for file in orders.jsonl lines jobs.txt access.log app.log log; do echo '{"topic":"t","body":"1"}' > work/$file; done
	ln -s "$PWD/old" "$PWD/new" work/
	export ROOT MBUS PATH=$PWD/bin:$PATH HOME=$PWD XDG_CONFIG_HOME=$PWD/none
	# shellcheck disable=SC2016
	printf '%s\0' scripts/* | xargs -0 -P 4 -I{} sh -c '
		RAN=$PWD/ran.$(basename {}); export RAN
		cp -R work "$RAN.work" && cd "$RAN.work"
		# What goes on behind it ends with it.
		setsid timeout --foreground -k 1 1 bash -c "$(cat ../{})" < /dev/null > /dev/null 2> "$RAN.out" 3>&- &
		wait $!
		kill -KILL -- -$! 2> /dev/null
		if grep -q "invalid option\|syntax error" "$RAN.out"; then cat "$RAN.out" >> "$RAN.bad"; fi'
	if [ "$(cat ran.*.bad 2> /dev/null)" ]; then fail "$(cat ran.*.bad)"; fi
	[ "$(find . -maxdepth 1 -name 'ran.*' ! -name 'ran.*.*' | wc -l)" -gt 100 ]
}

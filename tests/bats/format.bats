#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# sub's outputs for scripts: -f, -F, --line, --hex, --body-json, --pretty. What each
# letter writes is in tests/unit/test_format_string.c.

load ../lib

setup() {
	lib_setup
	export MICRO_REGISTRY=file
	T=$(topic)
}

# one OPTION... -- PUB_ARGUMENT...: one event, as sub prints it.
one() {
	local sub=()

	while [ "$1" != -- ]; do sub+=("$1"); shift; done
	shift
	start_sub sub -c 1 "${sub[@]}" "$T"
	mbus pub "$T" "$@"
	finish sub
	is "$status" 0
}

@test "-f writes what it says, NUL and no newline of its own included" {
	one -f '%t\t%{header:id}\t%s\0%S' -- -H id:7 'two words'
	printf '%s\t7\ttwo words\0009' "$T" > want
	same_bytes sub.out want
}

@test "-f: {q} makes words that a shell reads back" {
	body=$'it\'s\n"$HOME" \\ `x` \t*'
	one -f 'got=%s{q}\n' -- "$body"
	lines_in sub.out 1
	is "$(wc -l < sub.out)" 1
	eval "$(cat sub.out)"
	is "$got" "$body"
}

@test "-F has mosquitto's letters and ends lines, -N does not, -D does otherwise" {
	one -F '%t %p %l' -- hello
	is "$(cat sub.out)" "$T hello 5"
	is "$(wc -l < sub.out)" 1
	one -N -F '%p' -- hello
	is "$(wc -c < sub.out)" 5
	one -D ';' -f '%s' -- hello
	is "$(cat sub.out)" 'hello;'
}

@test "--line: a line an event, whatever is in it" {
	start_sub sub -c 3 --line "$T"
	mbus pub "$T" $'a\tb\nc'
	mbus pub "$T" '{"a": 1}'
	mbus pub "$T" -n
	finish sub
	is "$(cat sub.out)" "$T"$'\t-\t'"\$'a\\tb\\nc'"$'\n'"$T"$'\t-\t{"a": 1}\n'"$T"$'\t-\t'"''"
}

@test "--hex is what xxd -r -p reads" {
	printf 'a\0\377\n' > body
	one --hex -- -f body
	is "$(cat sub.out)" 6100ff0a
}

@test "--body-json and --pretty show the same values; pub -J reads both" {
	one -J --body-json -- '{ "n": 1.50, "big": 9007199254740993 }'
	has "$(cat sub.out)" '"body_json":{"n":1.50,"big":9007199254740993}'
	cp sub.out event
	one --body -- ''
	start_sub sub -c 1 --body "$T"
	mbus pub -J < event
	finish sub
	is "$(cat sub.out)" '{"n":1.50,"big":9007199254740993}'
	one --pretty -- '{"a":[1,2]}'
	has "$(cat sub.out)" $'{\n  "a": [\n    1,\n    2\n  ]\n}'
	one -J --pretty -- '{"a":[1,2]}'
	has "$(cat sub.out)" $'{\n  "v": 1,\n' $'  "body": "{\\"a\\":[1,2]}",\n'
}

@test "--local-time has the zone's offset" {
	TZ=XXX-05:30 one --local-time -- x
	has "$(head -n 1 sub.out)" +05:30
	TZ=XXX-05:30 one --local-time -f '%T{%z}' -- x
	is "$(cat sub.out)" +0530
}

@test "colours change no byte of what is JSON" {
	one -J --color always -- '{"a":1}'
	sed 's/\x1b\[[0-9]*m//g' sub.out > plain
	cp sub.out coloured
	python3 -c 'import json,sys; json.loads(open("plain").read())'
	grep -q "$(printf '\033')" coloured
}

@test "what contradicts or is wrong is refused before anything is connected" {
	local cases=(
		"-f %y|-f: character 2: unknown field %y (man 7 mbus-format)"
		"-f %|-f: character 2: a % at the end (%% is a percent sign) (man 7 mbus-format)"
		"-F %A|-F: character 2: mbus does not know an event's topic alias (man 7 mbus-format)"
		"-f %t -J|only one of -J, -f, -F, --body, --raw, --hex, --line"
		"--hex --line|only one of -J, -f, -F, --body, --raw, --hex, --line"
		"--body-json|--body-json goes with -J (in a format it is %J)"
		"--pretty --body|--pretty goes with -J or the default output"
		"--local-time -J|--local-time goes with the default output, -f or -F (-J has UTC, for programs)"
		"-0|-D, -0 and -N go with -J, -f, -F, --body, --raw, --hex or --line"
	) c

	for c in "${cases[@]}"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus sub -B redis -b 127.0.0.1:1 ${c%%|*} t
		status_is 2
		is "$stderr" "mbus: sub: ${c#*|}"
	done
}

@test "on a terminal nothing of an event acts, whatever the output" {
	local how

	printf 'a\033[2J\xe2\x80\xae\xc2\x9bz' > body
	for how in --body --raw '--max-body all' '-f %s' -J '-J --pretty' --line; do
		script -qec "mbus sub -c 1 --color never $how $T --ready 'mbus pub $T -f body'" /dev/null > sub.out
		if LC_ALL=C grep -qE "$(printf '\033|\xe2\x80\xae|\xc2\x9b')" sub.out; then
			fail "$how: $(cat -v sub.out)"
		fi
		grep -q z sub.out
	done
}

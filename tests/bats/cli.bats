#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr and stderr_lines are set by run
#
# The frame of the command line: commands, help, what is refused and how, the
# environment, --list, -X list, completion. None of these touches a network.

load ../lib

# refused STATUS PART... -- WORD...: mbus WORD... fails so, says one line on stderr
# with these parts, and nothing on stdout.
refused() {
	local want=$1 parts=()

	shift
	while [ "$1" != -- ]; do parts+=("$1"); shift; done
	shift
	run --separate-stderr "$MBUS" "$@" < /dev/null
	status_is "$want" && is "$output" "" && has "$stderr" "mbus: " "${parts[@]}" &&
		is "${#stderr_lines[@]}" 1
}

@test "--version and -V, everywhere" {
	run --separate-stderr "$MBUS" --version
	status_is 0
	matches "$output" 'mbus [0-9]+\.[0-9]+\.[0-9]+'
	is "$stderr" ""
	version=$output
	for cmd in pub sub registry; do
		run --separate-stderr "$MBUS" "$cmd" -V
		status_is 0
		is "$output" "$version"
	done
}

@test "--help goes to stdout, fits 80 columns, has examples and names the manual" {
	for cmd in "" pub sub registry; do
		run --separate-stderr "$MBUS" $cmd --help
		status_is 0
		is "$stderr" ""
		has "$output" "Usage: mbus${cmd:+ $cmd}" $'\nExamples:\n  ' "man mbus${cmd:+-$cmd}"
		long=$(awk 'length($0) > 79' <<< "$output")
		is "$long" ""
	done
}

@test "--help is a screen or two, and names every option of the command" {
	for cmd in pub sub registry topics doctor; do
		"$MBUS" $cmd --help > brief
		[ "$(wc -l < brief)" -le 54 ] || fail "$cmd --help has $(wc -l < brief) lines"
		for name in $("$MBUS" help $cmd | sed '/^Broker and registry:/,$d' |
			grep -oE '^(  -., |      )--[a-z0-9-]+' | sed 's/.* //'); do
			grep -qE -- "(^|[ ,])$name( |\$)" brief || fail "$cmd --help does not name $name"
		done
	done
}

@test "help by every road is the same" {
	"$MBUS" pub --help > want
	for road in "pub -h" "pub topic body -h" "-B null pub -qh"; do
		# shellcheck disable=SC2086
		"$MBUS" $road > got
		same_bytes want got
	done
	"$MBUS" --help > want
	for road in help -h "help --help"; do
		# shellcheck disable=SC2086
		"$MBUS" $road > got
		same_bytes want got
	done
	refused 2 nonsense "pub, sub, bench, registry" -- help nonsense
	refused 2 nonsense "pub, sub, bench, registry" -- --help nonsense
	refused 2 "one command" -- help pub sub
}

@test "mbus alone explains itself on stderr and fails" {
	run --separate-stderr "$MBUS"
	status_is 2
	is "$output" ""
	has "$stderr" "Usage: mbus" "  pub " "  sub " "  registry " "mbus --help"
	run --separate-stderr "$MBUS" -q
	status_is 2
	is "$output$stderr" ""
}

@test "an unknown command: the list, and the nearest" {
	refused 2 "unknown command 'nothing'" "(commands: pub, sub, bench, registry, topics, doctor)" -- nothing
	refused 2 "did you mean pub?" -- publish t b
	refused 2 "unknown command 'consume': events are received by mbus sub" -- consume t
	refused 2 "mbus registry list" -- services
	refused 2 "mbus --version" -- version
	refused 2 "did you mean sub?" -- subscribe t
	refused 2 "did you mean registry?" -- regstry list
	refused 2 '\x1b[31m' -- $'\e[31m'
}

@test "a usage error is one line that names the option" {
	refused 2 "pub: unknown option --hedaer" "did you mean --header?" -- pub --hedaer x t b
	refused 2 "did you mean --content-type?" -- pub --content x
	refused 2 "unknown option -j" "did you mean -J?" -- pub -j
	refused 2 "-W: 'soon' is not a duration" -- pub -W soon t b
	refused 2 "-t needs a value: -t TOPIC" -- sub -t
	refused 2 "--json takes no value" -- sub --json=1 t
	refused 2 "--color: 'blue' is none of auto, always, never" -- sub --color blue t
	refused 2 "--omit: 'all' is none of key, null, repeat, binary, header" -- pub --omit all t b
	refused 2 "-t is given twice" -- pub -t a -t b c
	refused 2 "--count: 0 is too small" -- sub --count 0 t
	refused 2 "--ready-fd: descriptor 77 is not open" -- sub --ready-fd 77 t
	refused 2 "-X novalue: write NAME=VALUE" -- pub -X novalue t b
	refused 2 "--regex: '(a': not a regular expression" -- sub --regex 'b' '(a'
	refused 2 "--regex: '(a)\\1': " "reference back" -- sub --regex '(a)\1'
	refused 2 "a long option has two dashes: --topic" -- pub -topic x b
	refused 2 "unknown option --complete" -- pub --complete x
	refused 2 "belongs to mbus itself" -- --list pub
}

@test "later options of mbus are unknown, not accepted" {
	for opt in --tls-version --flush; do
		refused 2 "unknown option $opt" -- pub "$opt" x t b
	done
	refused 2 "unknown option --pace" -- sub --pace x t
}

@test "options of kcat and mosquitto are not taken with another meaning" {
	refused 2 "-h is --help" "-b HOST:PORT" -- sub -h localhost -t x
	refused 2 "-h is --help" -- pub -hlocalhost -t x -m y
	refused 2 "-q is --quiet" "QoS" -- sub -q 1
	refused 2 "-q is --quiet" -- pub -q2 -t x -m y
	refused 2 "-V is --version" -- sub -V mqttv5 -t x
	refused 2 "unknown option -p" "-b HOST:PORT" -- pub -p 1883 -t x -m y
	refused 2 "-u: 'me' is not a URL" --username -- pub -u me -P secret -t x -m y
	refused 2 "mosquitto's -c" -- sub -c -t x
	refused 2 "kcat's -C" -- sub -C -t x
	refused 2 "mbus sub" -- pub -C -t x
	refused 2 "mbus pub" -- sub -P -t x
	refused 2 "--debug" -- sub -d -t x
	refused 2 "--tee FILE" "--exclude GLOB" -- sub -T 'a/#' -t a
	# mosquitto's secrets are not repeated.
	run --separate-stderr "$MBUS" pub -P topsecret t b
	[[ $stderr != *topsecret* ]]
}

@test "-q says nothing, the status says it all" {
	for line in "-q nonsense" "pub -q --nonsense" "-q pub --nonsense" "pub -q -B nonsense t b"; do
		# shellcheck disable=SC2086
		run --separate-stderr "$MBUS" $line
		status_is 2
		is "$output$stderr" ""
	done
}

@test "stdout that cannot be written: 6; whose reader has gone: 0" {
	for line in --version --help "pub --help" --list "--list -J" "-X list" "--completion bash"; do
		status=0
		# shellcheck disable=SC2086
		"$MBUS" $line > /dev/full 2> err || status=$?
		is "$line: $status" "$line: 6"
		has "$(cat err)" "mbus: " "stdout: No space left on device"
		status=0
		# shellcheck disable=SC2086
		"$MBUS" $line >&- 2> err || status=$?
		is "$line: $status" "$line: 6"
		mkfifo gone
		: < gone &
		exec 7> gone
		wait $!
		status=0
		# shellcheck disable=SC2086
		"$MBUS" $line >&7 2> err || status=$?
		is "$line: $status $(cat err)" "$line: 0 "
		exec 7>&-
		rm gone
	done
}

@test "the environment: flag before variable before default" {
	is "$("$MBUS" -X list | head -n 1)" "-X options of the http broker:"
	export MICRO_BROKER=null
	is "$("$MBUS" -X list | head -n 1)" "-X options of the null broker:"
	is "$("$MBUS" -B http -X list | head -n 1)" "-X options of the http broker:"
	is "$("$MBUS" pub --broker=http -X list t b | head -n 1)" "-X options of the http broker:"
	is "$("$MBUS" -B http sub -X list | head -n 1)" "-X options of the http broker:"
	is "$("$MBUS" -B http sub -B null -X list | head -n 1)" "-X options of the null broker:"
	export MICRO_BROKER=
	is "$("$MBUS" -X list | head -n 1)" "-X options of the http broker:"
}

@test "a bad variable is named, but hides neither help nor version" {
	export MICRO_REGISTER_TTL=soon
	refused 2 "MICRO_REGISTER_TTL: 'soon' is not a duration" -- pub t b
	refused 2 "MICRO_REGISTER_TTL: 'soon' is not a duration" -- -X list
	"$MBUS" --version
	"$MBUS" pub --help > /dev/null
	"$MBUS" --list > /dev/null
}

@test "go-micro's spellings" {
	"$MBUS" --broker null --broker_address h:1 --registry mdns --registry_address h:2 \
		pub --connect_timeout 1 t b
	export MICRO_BROKER=null MICRO_BROKER_ADDRESS=h:1 MICRO_REGISTRY=mdns
	export MICRO_REGISTRY_ADDRESS=h:2 MICRO_REGISTER_TTL=60 MICRO_REGISTER_INTERVAL=30
	"$MBUS" pub t b
}

@test "--list: what there is, what it can do, and why not" {
	run --separate-stderr "$MBUS" --list
	status_is 0
	is "$stderr" ""
	has "$output" $'\n  http ' $'\n  null ' $'\n  mdns ' "built in" "module" "can: headers, "
	is "$(awk 'length($0) > 79' <<< "$output")" ""
	# Elsewhere the binary has no modules, and says so.
	cp "$MBUS" mbus
	run --separate-stderr ./mbus --list
	status_is 0
	has "$output" $'\n  null ' "cannot be used: " "null.so"
	run --separate-stderr ./mbus pub --help
	status_is 0
	refused_here=$(./mbus pub -B null t b 2>&1) && status=0 || status=$?
	is "$status" 5
	has "$refused_here" "null.so"
}

@test "--list -J: one JSON object a line" {
	"$MBUS" --list -J > out
	python3 - out <<- 'END'
	import json, sys
	rows = [json.loads(line) for line in open(sys.argv[1])]
	by = {(r["type"], r["name"]): r for r in rows}
	http, null, mdns = by["broker", "http"], by["broker", "null"], by["registry", "mdns"]
	assert all(r["v"] == 1 and r["usable"] and r["why"] is None for r in rows)
	assert (http["state"], null["state"], mdns["state"]) == ("builtin", "module", "builtin")
	assert {"header", "registry", "group"} <= set(http["caps"]) and "key" not in http["caps"]
	assert "caps" not in mdns
	assert any(o["name"] == "dialect" for o in http["options"])
	END
	cp "$MBUS" mbus
	./mbus --list -J > out
	python3 - out <<- 'END'
	import json, sys
	null = [r for r in map(json.loads, open(sys.argv[1])) if r["name"] == "null"][0]
	assert not null["usable"] and "null.so" in null["why"] and "caps" not in null
	END
}

@test "-X: list shows the options, others are refused by name" {
	run --separate-stderr "$MBUS" pub -X list
	status_is 0
	has "$output" "-X options of the http broker:" "  dialect=" "(default " "of the mdns registry:" \
		"  mdns."
	run --separate-stderr "$MBUS" -X list -B null
	status_is 0
	[[ $output != *mdns* ]]
	refused 2 nonsense "no such option" -- pub -X nonsense=1 t b
	refused 2 mdns.nonsense "no such option" -- pub -X mdns.nonsense=1 t b
	refused 2 nonsense "option" -- registry -X nonsense=1 list
	refused 2 "no such broker: nul" "did you mean null?" -- -B nul -X list
	refused 2 "no such broker: nul" "did you mean null?" -- pub -B nul t b
	refused 2 "no such registry: mdsn" "did you mean mdns?" -- pub --registry mdsn t b
}

@test "help explains each command, itself, and nothing else" {
	for c in pub sub bench registry topics doctor; do
		# What --help names, in words, and what every command has; --help says where that is.
		names=$("$MBUS" $c --help | sed '/^Examples/,$d' | grep -oE -- '(^|[ ,])--[a-z0-9-]+' | tr -d ' ,' | sort -u)
		[ "$(wc -l <<< "$names")" -gt 1 ]
		for name in $names; do
			"$MBUS" help $c | grep -qE -- "^  (-., |    )$name( |\$)" || fail "$c: $name"
		done
		has "$("$MBUS" $c --help)" "(-B, -X, TLS, -v ...): mbus help $c"
		has "$("$MBUS" help $c)" --tls-ca --broker
	done
	same_bytes <("$MBUS" help) <("$MBUS" --help)
	same_bytes <("$MBUS" help help) <("$MBUS" --help)
	same_bytes <("$MBUS" --help --list) <("$MBUS" --help)
	same_bytes <("$MBUS" --version --nonsense) <("$MBUS" --version)
	refused 2 "unknown command 'pubb'" "did you mean pub?" -- help pubb
	refused 2 "unknown command '--list'" -- -- --list
	refused 2 "one command" -- help pub sub
}

@test "completion: the scripts in the binary are those in completions/" {
	"$MBUS" --completion bash > got
	same_bytes "$ROOT/completions/mbus.bash" got
	"$MBUS" --completion zsh > got
	same_bytes "$ROOT/completions/_mbus" got
	"$MBUS" --completion fish > got
	same_bytes "$ROOT/completions/mbus.fish" got
	refused 2 "--completion: 'tcsh' is none of bash, zsh, fish" -- --completion tcsh
}

# complete WORD...: what bash offers for the last of these words.
complete_in_bash() {
	bash --norc -c '
		source <("$1" --completion bash)
		compopt() { :; }
		COMP_WORDS=(mbus "${@:2}")
		COMP_CWORD=$(($# - 1))
		_mbus "$1" "${*: -1}" ""
		printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "' complete "$MBUS" "$@"
}

@test "completion in bash" {
	is "$(complete_in_bash '')" "bench doctor help pub registry sub topics"
	is "$(complete_in_bash s)" "sub"
	is "$(complete_in_bash -B '')" "http kafka memory mqtt nats nsq null redis"
	is "$(complete_in_bash pub --conte)" "--content-type"
	is "$(complete_in_bash sub --broker '')" "http kafka memory mqtt nats nsq null redis"
	# bash hands over "--color=al" in three words, and wants the last one back.
	is "$(complete_in_bash sub --color = al)" "always"
	is "$(complete_in_bash sub --color =)" "always auto never"
	is "$(complete_in_bash sub -b localhost : 80 --col)" "--color"
	is "$(complete_in_bash -b localhost : 80 s)" "sub"
	is "$(complete_in_bash help r)" "registry"
	is "$(complete_in_bash sub -- --)" ""
	is "$(complete_in_bash sub --url nul)" "null://"
	has "$(complete_in_bash sub --url null://h/t -X '')" "dump list"
	has "$(complete_in_bash sub --url http://h/t -X '')" "dialect="
	[[ $(complete_in_bash sub --url null://h/t -X '') != *dialect=* ]]
	: > file-a
	: > file-b
	is "$(complete_in_bash pub -f file)" "file-a file-b"
	has "$(complete_in_bash pub -X '')" "dialect=" "list" "mdns."
}

@test "completion never fails and never writes to stderr" {
	for line in "" "nonsense x" "--nonsense x" "-B nonsense pub -X " "pub -W x -" "-- -- --"; do
		# shellcheck disable=SC2086
		run --separate-stderr "$MBUS" --complete $line
		status_is 0
		is "$stderr" ""
	done
	MICRO_REGISTER_TTL=bad run --separate-stderr "$MBUS" --complete pub --c
	status_is 0
	is "$stderr" ""
}

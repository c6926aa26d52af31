#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The examples of README.md do what it says. A block ```sh test is a script that is
# run in an empty folder; what it prints, stderr included, is the ```text block right
# behind it. ```text demo is what examples/demo.sh prints. What differs from run to
# run (times, ids, ports, the demo's topic) is made alike before comparing.

load ../lib

alike() {
	sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]+Z/TIME/g
		s/mbus\.ports=[0-9]+,[0-9]+/mbus.ports=PORTS/
		s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/UUID/g
		s/127\.0\.0\.1:[0-9]+/127.0.0.1:PORT/g
		s/demo\.[0-9a-f]{8}/demo.TOPIC/g'
}

# NN.sh and NN.want, NN being the line the script begins at; demo.want.
extract() {
	awk '
		/^```sh test$/ { script = sprintf("%03d", NR + 1); out = script ".sh"; next }
		/^```text demo$/ { out = "demo.want"; next }
		/^```text$/ && NR == behind { out = script ".want"; next }
		/^```$/ { if (out ~ /\.sh$/) behind = NR + 1; close(out); out = ""; next }
		/^```/ { out = "/dev/null"; next }
		out { print > out }
	' "$ROOT/README.md"
}

@test "every example of the README prints what the README says" {
	extract
	scripts=(*.sh)
	[ ${#scripts[@]} -ge 5 ] || fail "only ${#scripts[@]} examples were found"
	for script in "${scripts[@]}"; do
		name=${script%.sh}
		[ -e "$name.want" ] || fail "README.md:$name: no output behind the example"
		mkdir "$name"
		status=0
		(cd "$name" && timeout 60 bash -eu "../$script") > "$name.got" 2>&1 3>&- || status=$?
		[ $status = 0 ] || fail "README.md:$name: exit status $status" "$(cat "$name.got")"
		is "$(alike < "$name.got")" "$(alike < "$name.want")" || fail "README.md:$name"
	done
}

@test "the demo prints what the README says" {
	extract
	MBUS=$MBUS "$ROOT/examples/demo.sh" > demo.got
	is "$(alike < demo.got)" "$(alike < demo.want)"
}

@test "every -X option is in the page of its broker or registry, with its default" {
	"$MBUS" --list -J > list
	while IFS=$'\t' read -r type name option default; do
		if [ "$type" = registry ]; then option=$name.$option; fi
		page=$(mandoc -T utf8 "$ROOT/man/mbus-$name.7" | plain | tr -s ' \n' ' ')
		has "$page" " $option="
		[ -z "$default" ] || has "$page" "$default"
	done < <(python3 -c '
import json, sys
for line in sys.stdin:
	b = json.loads(line)
	for o in b["options"]:
		print(b["type"], b["name"], o["name"], o["default"] or "", sep="\t")
' < list)
	for name in $(python3 -c 'import json, sys
for line in sys.stdin:
	b = json.loads(line)
	if b["type"] not in ("layer", "driver"): print(b["name"])' < list); do
		[ -e "$ROOT/man/mbus-$name.7" ] || fail "man/mbus-$name.7 is missing"
		has "$(mandoc -T utf8 "$ROOT/man/mbus.1" | plain)" "mbus-$name(7)"
	done
}

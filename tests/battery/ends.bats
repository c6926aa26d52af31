#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: a reader of stdout that goes, and what sub says of it.

load battery

# into_nothing STATUS OPTION...: of a sub whose reader has gone before it began.
into_nothing() {
	mkfifo -m 600 gone.fifo
	exec 9<> gone.fifo
	exec 8> gone.fifo 9>&-
	status=0
	timeout 30 mbus sub "${OPTIONS[@]}" "${@:2}" >&8 2> sub.err || status=$?
	exec 8>&-
	rm gone.fifo
	is "$status" "$1" || fail "sub ${*:2}" "$(cat sub.err)"
}

@test "the reader has gone before the subscription is live: that counts, not the reader" {
	t=$(topic)
	if has_server; then
		into_nothing 3 -c 5 "$t"
		into_nothing 3 --check "$t"
	fi
	server
	into_nothing 0 --check "$t"
	into_nothing 1 -c 5 "$t"
	into_nothing 0 "$t"
}

# bats test_tags=deliver,keep
@test "the reader has gone before -e was reached: status 1" {
	t=$(topic)
	server lenient
	seq 2000 | pub -l "$t"
	into_nothing 1 -o beginning -e "$t"
}

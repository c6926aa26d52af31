# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# The broker of fake_broker.c for tests of pub and sub: `load fake` after `load
# ../lib`, call fake_build in setup_file, then `fake pub ...` and `fake sub ...`
# (FAKE before them in a `start`). `fake_text` can carry text only, as http. `fake_able`
# (ABLE) can do all that a broker may be able to do, and the one in the folder bare
# nothing of it.

fake_build() {
	local cc="${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -DMBUS_MODULE -I$MBUS_TEST_ROOT -O1 -fPIC -shared"
	local src=$MBUS_TEST_ROOT/tests/bats/fake_broker.c

	mkdir -p "$BATS_FILE_TMPDIR"/{all,text,able,bare}
	$cc -o "$BATS_FILE_TMPDIR/all/null.so" "$src"
	$cc -DFAKE_CAPS='(BROKER_HEADER | BROKER_GROUP | BROKER_ACK | BROKER_AUDIENCE)' \
		-o "$BATS_FILE_TMPDIR/text/null.so" "$src"
	$cc -DFAKE_CAPS='(~0u & ~(BROKER_REGISTRY | BROKER_NO_NETWORK | BROKER_TIME | BROKER_HEEDLESS))' \
		-o "$BATS_FILE_TMPDIR/able/null.so" "$src"
	$cc -DFAKE_CAPS=0 -o "$BATS_FILE_TMPDIR/bare/null.so" "$src"
}

FAKE=(env "MBUS_MODULES=$BATS_FILE_TMPDIR/all" MICRO_BROKER=null "$MBUS")
fake() {
	"${FAKE[@]}" "$@"
}
ABLE=(env "MBUS_MODULES=$BATS_FILE_TMPDIR/able" MICRO_BROKER=null "$MBUS")
fake_able() {
	"${ABLE[@]}" "$@"
}
fake_text() {
	env "MBUS_MODULES=$BATS_FILE_TMPDIR/text" MICRO_BROKER=null "$MBUS" "$@"
}

# record TOPIC KEY BODY [NAME VALUE]...: one event as the fake broker records it;
# "-" is "not there".
record() {
	local field

	for field; do
		if [ "$field" = - ]; then
			printf -- '-1:\n'
		else
			printf '%d:%s\n' "$(printf %s "$field" | wc -c)" "$field"
		fi
	done
	echo
}

# idle_costs_nothing NAME: the process that was started so takes no CPU in a second (of
# which a tick is a hundredth; it may have been woken once).
idle_costs_nothing() {
	local before after

	before=$(ticks "$1")
	sleep 1
	after=$(ticks "$1")
	[ $((after - before)) -le 3 ] || fail "$1 took $((after - before)) ticks of CPU in an idle second"
}
ticks() {
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/${PID[$1]}/stat"
}

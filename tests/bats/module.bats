#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Modules: the null broker as one, the messages when a broker cannot be used, and the
# build's knobs, tried on a copy of the sources.

load ../lib

# One builds five times.
TEST_SECONDS=400

# listed NAME: its lines in what --list said.
listed() { awk -v n="$1" '/^  [^ ]/ { on = $1 == n } on' <<< "$output"; }

@test "the null broker is a module, and confirms everything" {
	[ -e "$ROOT/$MBUS_TEST_BUILD/modules/null.so" ]
	seq 1000 > in
	run -0 --separate-stderr mbus pub -v -B null -l T < in
	has "$stderr" '1000 confirmed'
	run --separate-stderr mbus sub -B null -W 0.2 T
	status_is 124
	run -0 mbus --list
	has "$(listed null)" ' module'
	# What others refuse: keys, null bodies, repeats, binary headers and topics.
	printf '%s\n' '{"topic_b64":"/w==","key":"k","headers":[["a","1"],["a",null],["b",{"b64":"/w=="}]],"body":null}' > in
	run -0 --separate-stderr mbus pub -B null -J < in
	is "$stderr" ''
	run --separate-stderr mbus pub -B null --wait 1 T x
	status_is 5
	has "$stderr" 'null broker does not tell who subscribes'
}

@test "no such broker: the nearest name" {
	run --separate-stderr mbus pub -B htp T x
	status_is 2
	is "$stderr" 'mbus: pub: no such broker: htp (did you mean http? mbus --list shows all)'
	run --separate-stderr mbus pub -B nul T x
	status_is 2
	has "$stderr" 'did you mean null?'
	run --separate-stderr mbus sub -B quite-another T
	status_is 2
	is "$stderr" 'mbus: sub: no such broker: quite-another (mbus --list shows all)'
	run --separate-stderr mbus pub -B ../modules/null T x
	status_is 2
	MICRO_BROKER=nill run --separate-stderr mbus pub T x
	status_is 2
	has "$stderr" null
	run --separate-stderr mbus pub --registry mdn T x
	status_is 2
	has "$stderr" 'no such registry: mdn' 'did you mean mdns?'
}

# here DIR...: the binary alone in a folder of its own.
here() {
	mkdir -p "$1"
	cp "$MBUS" "$1/mbus"
}

@test "a module is found beside the binary, in ../lib/mbus, and by MBUS_MODULES" {
	here alone/bin
	run --separate-stderr alone/bin/mbus pub -B null T x
	status_is 5
	has "$stderr" 'the null broker is built, but its module null.so is not beside the binary'
	mkdir -p alone/lib/mbus
	cp "$ROOT/$MBUS_TEST_BUILD/modules/null.so" alone/lib/mbus/
	run -0 alone/bin/mbus pub -B null T x
	mkdir else
	mv alone/lib/mbus/null.so else/
	MBUS_MODULES=$PWD/else run -0 alone/bin/mbus pub -B null T x
	MBUS_MODULES=$PWD/nowhere run --separate-stderr alone/bin/mbus pub -B null T x
	status_is 5
	mkdir alone/bin/modules
	cp else/null.so alone/bin/modules/
	run -0 alone/bin/mbus pub -B null T x
	# Through a link, as /usr/local/bin may be one.
	ln -s alone/bin/mbus link
	run -0 ./link pub -B null T x
}

# broken NAME SOURCE [OPTION...]: a module that is not what it should be, as null.so.
broken() {
	rm -rf modules
	mkdir modules
	printf '%s\n' "$1" | "${CC:-gcc}" -shared -fPIC -o modules/null.so -x c - "${@:2}"
	MBUS_MODULES=$PWD/modules run --separate-stderr mbus pub -B null T x
	status_is 5
	is "$(wc -l <<< "$stderr")" 1
}

@test "without /proc modules are found, too, and where they are not it is said why" {
	run -0 unshare -m sh -c 'mount -t tmpfs none /proc && mbus pub -B null t x'
	run -0 unshare -m sh -c 'mount -t tmpfs none /proc && cd "$1" && ./mbus pub -B null t x' sh "$ROOT/$MBUS_TEST_BUILD"
	ln -s "$ROOT/$MBUS_TEST_BUILD/mbus" link
	run -0 unshare -m sh -c 'mount -t tmpfs none /proc && ./link pub -B null t x'
	cp "$ROOT/$MBUS_TEST_BUILD/mbus" alone
	run --separate-stderr unshare -m sh -c 'mount -t tmpfs none /proc && ./alone pub -B null t x'
	status_is 5
	has "$stderr" "null.so is not beside the binary"
	run -0 unshare -m sh -c 'mount -t tmpfs none /proc && MBUS_MODULES=$1 ./alone pub -B null t x' sh "$ROOT/$MBUS_TEST_BUILD/modules"
}

@test "a module whose library is missing, that lacks a symbol, or is of another version" {
	printf 'int from_elsewhere(void) { return 1; }\n' | "${CC:-gcc}" -shared -fPIC -o libelsewhere.so -x c -
	broken 'int from_elsewhere(void); int use(void) { return from_elsewhere(); }' -L. -lelsewhere
	has "$stderr" 'the null broker cannot be loaded' libelsewhere.so
	rm libelsewhere.so
	broken 'int missing_symbol(void); int use(void) { return missing_symbol(); }'
	has "$stderr" 'the null broker cannot be loaded' missing_symbol
	broken 'int nothing;'
	has "$stderr" 'another version of mbus'
	broken 'const struct { unsigned abi; unsigned long size; void *a, *b; } mbus_module = { 99, 8, 0, 0 };'
	has "$stderr" 'another version of mbus'
	broken 'const struct { unsigned abi; unsigned long size; void *a, *b; } mbus_module = { 2, 8, 0, 0 };'
	has "$stderr" 'another version of mbus'
	rm -rf modules
	mkdir modules
	echo 'not a shared object' > modules/null.so
	MBUS_MODULES=$PWD/modules run --separate-stderr mbus pub -B null T x
	status_is 5
	has "$stderr" 'the null broker cannot be loaded'
	# The list says the same, and goes on.
	MBUS_MODULES=$PWD/modules run -0 mbus --list
	has "$output" null http mdns
}

# tree: a copy of what the build reads.
tree() {
	mkdir tree
	cp -R "$ROOT"/{Makefile,cli,core,backends} tree/
	mkdir tree/tests tree/man tree/completions
	(cd "$ROOT" && cp --parents tests/*.mk tests/*/*.mk "$OLDPWD/tree")
	cp "$ROOT"/completions/* tree/completions/ 2> /dev/null || true
	cp -R "$ROOT"/man/. tree/man/ 2> /dev/null || true
}

# made ARG...: makes it in the copy; the flags for speed.
made() {
	make -C tree -j2 CFLAGS=-O0 LDFLAGS= SANITIZE= "$@" > make.log 2>&1 || fail "$(tail -n 20 make.log)"
}

@test "the build's knobs: left out, linked in, and back" {
	tree
	made WITHOUT="null tls"
	[ ! -e tree/build/modules/null.so ]
	[ ! -e tree/build/modules/tls.so ]
	run --separate-stderr tree/build/mbus sub --tls T
	status_is 5
	has "$stderr" 'the tls layer is known, but was left out of this build'
	run --separate-stderr tree/build/mbus pub -B null T x
	status_is 5
	has "$stderr" 'the null broker is known, but was left out of this build' 'make MODULES='
	run -0 tree/build/mbus --list
	has "$output" null http

	made BUILTIN="http mdns null tls" MODULES=
	[ ! -e tree/build/modules/null.so ]
	run -0 tree/build/mbus pub -B null T x
	run -0 tree/build/mbus --list
	has "$(listed null)" ' built in'
	has "$(listed tls)" ' built in'
	run -0 tree/build/mbus sub --tls --body -c 1 -W 10 T --ready 'tree/build/mbus pub --tls --tls-insecure T x'
	is "$output" x

	made BUILTIN= MODULES="http mdns null"
	run -0 tree/build/mbus sub --body -c 1 -W 10 T --ready 'tree/build/mbus pub T x'
	is "$output" x
	made WITHOUT=mdns
	run --separate-stderr tree/build/mbus pub T x
	status_is 5
	has "$stderr" 'the mdns registry is known, but was left out of this build'

	made
	[ -e tree/build/modules/null.so ]
	run -0 tree/build/mbus pub -B null T x
	made install PREFIX=/opt/x DESTDIR="$PWD/dest"
	run -0 dest/opt/x/bin/mbus pub -B null T x
	[ -e dest/opt/x/lib/mbus/null.so ]
}

# No name of one is a name of another's, so that they can stand in one binary.
@test "all backends can be built in together" {
	local all

	tree
	all=$(sed -nE 's/^(BUILTIN|MODULES) = ([a-z ]*[a-z]).*/\2/p' "$ROOT/Makefile" | tr '\n' ' ')
	has "$all" http redis mqtt kafka tls
	made BUILTIN="$all" MODULES=
	[ -z "$(ls tree/build/modules 2> /dev/null)" ]
	run -0 tree/build/mbus pub -B null T x
	run -0 tree/build/mbus --list
	has "$(listed redis)" ' built in'
	has "$(listed kafka)" ' built in'
	run --separate-stderr tree/build/mbus pub -B redis -b 127.0.0.1:1 T x
	status_is 3
}

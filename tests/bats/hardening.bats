#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What SECURITY.md says of the binary and its modules, read from the files themselves,
# and what the Makefile does with a compiler that lacks some of the flags.

load ../lib

setup() {
	lib_setup
	BUILD=$ROOT/$MBUS_TEST_BUILD
	FILES=("$BUILD/mbus" "$BUILD"/modules/*.so)
	[ "${#FILES[@]}" -gt 1 ]
}

lacks() {			# lacks TEXT PATTERN WHAT
	if grep -E "$2" <<< "$1"; then fail "$3"; fi
}

@test "every file can be loaded anywhere, and its tables are read-only before it runs" {
	local f dynamic

	for f in "${FILES[@]}"; do
		has "$(readelf -hW "$f")" 'DYN ('
		has "$(readelf -lW "$f")" GNU_RELRO
		dynamic=$(readelf -dW "$f")
		has "$dynamic" BIND_NOW
		lacks "$dynamic" TEXTREL "$f has relocations in its code"
	done
	has "$(readelf -dW "$BUILD/mbus")" 'NOW PIE'
}

@test "no file asks for a stack or a segment that is both writable and executable" {
	local f segments

	for f in "${FILES[@]}"; do
		segments=$(readelf -lW "$f")
		has "$segments" GNU_STACK
		lacks "$segments" ' (RWE|WE) ' "$f: writable and executable"
	done
}

@test "no file says where its libraries are to be looked for" {
	local f

	for f in "${FILES[@]}"; do
		lacks "$(readelf -dW "$f")" '\((RPATH|RUNPATH)\)' "$f has a path of its own"
	done
}

@test "the stack is guarded, and the C library checks sizes it is told" {
	local f symbols

	# The null broker's module has no array, and so nothing to guard.
	for f in "$BUILD/mbus" "$BUILD/modules/tls.so"; do
		symbols=$(readelf --dyn-syms -W "$f")
		has "$symbols" __stack_chk_fail
		# The sanitizers have checks of their own.
		[ "$MBUS_TEST_BUILD" != build ] || has "$symbols" __snprintf_chk
	done
}

# flags CFLAGS: what the Makefile compiles with, by the compiler ./cc.
flags() {
	make -s -C "$ROOT" -n V=1 SANITIZE= CC="$PWD/cc" CFLAGS="$1" B="$PWD/b" "$PWD/b/core/buf.o" | tail -n 1
}

@test "a compiler that lacks flags gets those that it has" {
	local said

	# One that knows nothing but level 2, with optimization, and the guard.
	cat > cc <<- 'END'
		#!/bin/sh
		for a; do
			case $a in
			-D_FORTIFY_SOURCE=2) case " $* " in *' -O2 '*) ;; *) exit 1 ;; esac ;;
			-fstack-protector-strong) ;;
			-D_FORTIFY* | -f*) exit 1 ;;
			esac
		done
	END
	chmod +x cc
	said=$(flags '-O2 -g')
	has "$said" '-D_FORTIFY_SOURCE=2' -fstack-protector-strong
	lacks "$said" 'FORTIFY_SOURCE=3|stack-clash|cf-protection' 'a flag it does not have'
	said=$(flags '-O0')
	has "$said" -fstack-protector-strong
	lacks "$said" 'FORTIFY_SOURCE' 'a flag that needs optimization'
}

# Scripts call mbus in loops: what its start costs is paid each time.
@test "a start of mbus loads the C library alone, and touches few pages" {
	local needed faults

	[ "$MBUS_TEST_BUILD" = build ] || return 0	# the sanitizers load theirs
	needed=$(readelf -dW "$BUILD/mbus" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
	[ "$needed" = libc.so.6 ] || fail "it loads $needed"
	# Beside a program that does nothing: 29 on the day of writing.
	faults=$(python3 - "$BUILD/mbus" <<- 'END'
		import resource, subprocess, sys

		def faults(*argv):
		    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
		    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
		    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before

		print(faults(sys.argv[1], "--version") - faults("/bin/true"))
	END
	)
	[ "$faults" -lt 45 ] || fail "$faults pages more than /bin/true"
}

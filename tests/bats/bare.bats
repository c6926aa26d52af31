#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The bare machine: what the Makefile and the scripts behind it do where little is
# installed, and what they leave behind. Stand-ins for apt and its like are in ./fake.

load ../lib

setup() {
	lib_setup
	mkdir fake
}

# fake NAME < SCRIPT: a command in front of the machine's.
fake() {
	{ echo '#!/bin/sh'; cat; } > "fake/$1"
	chmod +x "fake/$1"
}

# A machine where none of the asked packages is installed yet.
nothing_installed() {
	fake dpkg-query < /dev/null
	fake update-rc.d <<< 'echo "update-rc.d $*" >> calls'
	fake apt-get <<< 'echo "apt-get $*" >> calls; [ -x /usr/sbin/policy-rc.d ] && /usr/sbin/policy-rc.d; echo "policy-rc.d said $?" >> calls'
}

# Runs setup/apt with the fakes, and with /usr/sbin, /etc/systemd and the package
# lists of its own: `before` is done to them first, `after` when it has ended.
before=: after=:
setup_apt() {
	local folders='/usr/sbin /etc/systemd /var/lib/apt/lists'

	unshare -m sh -c "
		for d in $folders; do mkdir -p \$d && mount -t tmpfs tmpfs \$d; done || exit 70
		mkdir -p /etc/systemd/system/multi-user.target.wants
		$before
		PATH=$PWD/fake:\$PATH $ROOT/tests/setup/apt 'the test' \"\$@\"
		status=\$?
		$after
		[ ! -e /usr/sbin/policy-rc.d ] || echo policy-rc.d is there
		exit \$status" sh "$@"
}

@test "the Makefile can be read where there is no compiler, pkg-config or python" {
	local tool

	for tool in make sh sed find install; do ln -s "$(command -v $tool)" fake/; done
	cd "$ROOT"
	run -0 --separate-stderr env PATH="$BATS_TEST_TMPDIR/fake" make help
	has "$output" 'make demo' 'make check'
	is "$stderr" ''
	run -0 --separate-stderr env PATH="$BATS_TEST_TMPDIR/fake" make -n deps
	has "$output" 'gcc' 'zlib1g-dev'
	is "$stderr" ''
}

@test "deps: nothing is done when all packages are there" {
	nothing_installed
	fake dpkg-query <<< 'echo "a=installed b=installed "'
	run -0 --separate-stderr setup_apt a b
	is "$output$stderr" ''
	[ ! -e calls ]
}

@test "deps: not root and no sudo: the one line to type, and a failure" {
	nothing_installed
	fake dpkg-query <<< 'echo "b=installed "'
	fake id <<< 'echo 1000'
	fake sudo <<< 'exit 1'
	run --separate-stderr setup_apt a b c < /dev/null
	status_is 1
	is "${stderr_lines[-1]}" 'apt-get install -y --no-install-recommends a c'
	[ ! -e calls ]
}

@test "deps: lists first when there are none, then the packages; no service may start" {
	nothing_installed
	run --separate-stderr setup_apt a b
	status_is 0
	has "$(cat calls)" ' update' 'install -y --no-install-recommends a b
policy-rc.d said 101'
	[[ $output != *'policy-rc.d is there'* ]]
}

@test "deps: fresh lists are not fetched again" {
	nothing_installed
	before=': > /var/lib/apt/lists/x_Packages' run --separate-stderr setup_apt a
	status_is 0
	[[ $(cat calls) != *update* ]]
}

@test "deps: a package that is gone from old lists is looked for in new ones" {
	nothing_installed
	fake apt-get <<< 'echo "apt-get $*" >> calls; case $* in *update*) : > updated;; esac; [ -e updated ]'
	before=': > /var/lib/apt/lists/x_Packages' run --separate-stderr setup_apt a
	status_is 0
	is "$(grep -c install calls)" 2
}

@test "deps: the machine's own policy-rc.d is left alone" {
	nothing_installed
	before='printf "#!/bin/sh\nexit 0\n" > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d' \
		run --separate-stderr setup_apt a
	status_is 0
	has "$(cat calls)" 'policy-rc.d said 0'
	has "$output" 'policy-rc.d is there'
}

@test "deps: Ctrl-C takes the policy-rc.d along" {
	nothing_installed
	fake apt-get <<< 'kill -INT $PPID; sleep 0.1; exit 130'
	run --separate-stderr setup_apt a
	status_is 130
	[[ $output != *'policy-rc.d is there'* ]]
}

@test "deps: the policy-rc.d of a run that was killed is taken away" {
	nothing_installed
	before='printf "#!/bin/sh\n# mbus, process 99999999\nexit 101\n" > /usr/sbin/policy-rc.d' \
		run --separate-stderr setup_apt a
	status_is 0
	[[ $output != *'policy-rc.d is there'* ]]
}

@test "deps: what would start at the next boot is switched off" {
	nothing_installed
	fake apt-get <<< 'ln -sf /lib/x.service /etc/systemd/system/multi-user.target.wants/x.service'
	before='ln -s /lib/own.service /etc/systemd/system/multi-user.target.wants/own.service' \
		after='echo enabled: /etc/systemd/system/*/*' run --separate-stderr setup_apt a
	status_is 0
	has "$output" 'enabled: /etc/systemd/system/multi-user.target.wants/own.service' 'switched off again'
}

@test "make install and uninstall: it runs from there, and nothing stays" {
	local b=()

	[ "$MBUS_TEST_BUILD" = build ] || b=(SANITIZE="$(sed 's/build-//; s/-/,/' <<< "$MBUS_TEST_BUILD")")
	run -0 make -C "$ROOT" install PREFIX=/usr DESTDIR="$PWD/root" "${b[@]}"
	run -0 root/usr/bin/mbus --version
	run -0 root/usr/bin/mbus pub -B null t m
	[ -e root/usr/share/man/man1/mbus.1 ]
	run -0 make -C "$ROOT" uninstall PREFIX=/usr DESTDIR="$PWD/root" "${b[@]}"
	is "$(find root -not -type d; find root -name 'mbus*')" ''
}

@test "the demo shows the event, headers and body, and leaves nothing running" {
	MBUS=$MBUS MICRO_BROKER=null run -0 --separate-stderr "$ROOT/examples/demo.sh"
	matches "$output" '.*
#1 demo\.[0-9a-f]+ .*
id: 1
.*
\{"name":"ann","email":"ann@example.org"\}
*'
	is "$stderr" ''
	run ! grep -lx mbus /proc/[0-9]*/comm
}

@test "make check says at once where network namespaces are not allowed" {
	fake unshare <<< 'exit 1'
	PATH=$PWD/fake:$PATH run --separate-stderr make -C "$ROOT" check
	status_is 2
	has "$output" 'not ok - network namespaces are not allowed here'
	has "$output" '0 passed, 1 failed, 0 skipped'
}

# Runs the runner in a tree of its own, without the environment of this one.
run_run() {
	run env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin tests/run "$@"
}

@test "the closing line counts what passed, failed and was skipped" {
	mkdir -p tests/bats build
	cp "$ROOT/tests/run" tests/
	# bats reads "@test" at the beginning of a line as a test, also here.
	sed 's/^- //' > tests/bats/a.bats << 'END'
- @test "good" { true; }
- @test "bad" { echo why; false; }
- @test "left out" { skip "for a reason"; }
END
	run_run bats/a
	status_is 1
	has "$output" 'why'
	is "${lines[-1]}" '1 passed, 1 failed, 1 skipped'
	run_run bats/nosuch
	status_is 2
}

@test "a program that dies has failed, whatever it said before" {
	mkdir -p tests/unit build/test
	cp "$ROOT/tests/run" tests/
	: > tests/unit/test_x.c
	printf '#!/bin/sh\necho ok 1 - first\nkill -9 $$\n' > build/test/test_x
	chmod +x build/test/test_x
	run_run unit
	status_is 1
	is "${lines[-1]}" '1 passed, 1 failed, 0 skipped'
}

@test "what make was told, and what a user has set, is not in the tests' environment" {
	mkdir -p tests/bats
	cp "$ROOT/tests/run" tests/
	echo 'check: ; @tests/run $(T)' > Makefile
	sed 's/^- //' > tests/bats/a.bats << 'END'
- @test "clean" { [ -z "${T+set}${MAKEFLAGS+set}${MAKELEVEL+set}${MICRO_BROKER+set}${FOO+set}" ] && [ "$HOME" = /here ]; }
END
	export MICRO_BROKER=no-such FOO=bar HOME=/here
	PATH=/usr/sbin:/usr/bin:/sbin:/bin run make -s check T=bats/a
	status_is 0
	is "${lines[-1]}" '1 passed, 0 failed, 0 skipped'
}

@test "the lint finds what looks like a check and cannot fail" {
	local want

	sed 's/^-//' > a.bats << 'END'
-helper() {
-	is a b
-	is c d
-}
-fine() {
-	[ a ] && [ b ]
-}
-@test "all of them" {
-	true && is a b
-	for x in 1; do
-		grep -q x y && is a b
-	done
-	! grep -q x y
-	is a b || true
-	run mbus pub
-	is a b | cat
-	if helper; then echo; fi
-	true && is a b
-}
-@test "none of them" {
-	[ "$a" ] && [ "$b" ] || fail "neither"
-	[ "$a" ] && b=1
-	if [ "$a" ] && [ "$b" ]; then is a b; fi
-	is "$(a && b)" 'c && d' # && this
-	cat << EOF
-a && is b c
-EOF
-	run ! grep -q x y
-	run mbus pub
-	status_is 0
-	a && is b c	# lint: because
-	fine
-}
END
	run "$ROOT/tests/tools/lint_bats" a.bats
	status_is 1
	want='2 ignored
9 and
11 and
13 not
14 true
15 unseen
16 pipe'
	is "$(sed -E 's/^a.bats:([0-9]+): ([a-z]+): .*/\1 \2/' <<< "$output" | sort -n)" "$want"
}

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# For every file in tests/bats: `load ../lib`. Run the files by tests/run (all of
# them, or `tests/run tests/bats/pub.bats`), never by bats itself: it gives each
# file a network namespace of its own, so that multicast, ports and default
# addresses disturb nobody, and says where the binaries are.
#
# In the namespace: lo is up and has 127.0.0.1, ::1 and 10.77.0.1; multicast is
# routed to lo. The working folder of a test is empty and its own. In PATH: mbus
# (the build under test), gm-v1, gm-v2, gm-v3, gm-v4, gm-v4.9, gm-v5 (tests/go)
# and micro.
#
# What a test starts by the functions here is ended by its pid when the test is
# over, whatever happened; their stderr is shown when the test failed.

bats_require_minimum_version 1.5.0

if [ -z "${MBUS_TEST_BUILD-}" ]; then
	echo "this needs a network namespace of its own: run tests/run ${BATS_TEST_FILENAME-FILE}" >&2
	exit 1
fi

ROOT=$MBUS_TEST_ROOT
MBUS=$ROOT/$MBUS_TEST_BUILD/mbus
declare -gA PID=()		# of what was started, by name

setup() { lib_setup; }
teardown() { lib_teardown; }

# A file with a setup() of its own calls this first ...
lib_setup() {
	local v

	cd "$BATS_TEST_TMPDIR" || return 1
	for v in $(compgen -e | grep -E '^(MICRO_|MBUS_(CONFIG|PROFILE|PASSWORD|BACKENDS))|^NO_COLOR$'); do
		unset "$v"
	done
	export HOME=$PWD TZ=UTC LC_ALL=C.UTF-8
	unset XDG_CONFIG_HOME XDG_RUNTIME_DIR
	# A sanitizer's report counts wherever it comes from.
	export ASAN_OPTIONS=log_path=$PWD/sanitizer:exitcode=99:detect_leaks=1
	export UBSAN_OPTIONS=log_path=$PWD/sanitizer:print_stacktrace=1
	export LSAN_OPTIONS=log_path=$PWD/sanitizer
	export TSAN_OPTIONS=suppressions=$ROOT/tests/tsan.supp:exitcode=66:log_path=$PWD/sanitizer
	watchdog & WATCHDOG=$!
	disown			# `wait` is not to wait for it
}

# A test that hangs fails, and is reported as any other: after TEST_SECONDS (a file
# may set it before lib_setup) all that the test has started is ended.
TEST_SECONDS=150
WATCHDOG=
watchdog() {
	local never test=$$

	set +eET
	trap - ERR DEBUG
	exec {never}<> <(:) 3>&- > /dev/null 2>&1
	read -r -t "$TEST_SECONDS" -u "$never"
	echo "the test took over $TEST_SECONDS s and was ended" > "$BATS_TEST_TMPDIR/watchdog.err"
	end_children "$test"
}

# end_children PID: and theirs, but not the caller itself.
end_children() {
	local stat pid parent

	for stat in /proc/[0-9]*/stat; do
		{ read -r stat < "$stat"; } 2> /dev/null || continue
		pid=${stat%% *}
		read -r _ parent _ <<< "${stat##*) }"
		if [ "$parent" = "$1" ] && [ "$pid" != "$BASHPID" ]; then
			end_children "$pid"
			kill -KILL "$pid"
		fi
	done
}

# at_end COMMAND...: when the test is over, however; the last one first.
AT_END=()
at_end() { AT_END=("$(printf '%q ' "$@")" "${AT_END[@]}"); }

# ... and one with a teardown() of its own calls this last.
lib_teardown() {
	local name f bad=0

	[ -z "$WATCHDOG" ] || kill "$WATCHDOG" 2> /dev/null || true
	for name in "${!PID[@]}"; do
		end_pid "${PID[$name]}"
	done
	PID=()
	cd "$BATS_TEST_TMPDIR" || return 1
	for f in "${AT_END[@]}"; do eval "$f" || bad=1; done
	[ ! -e watchdog.err ] || bad=1
	if [ -z "${BATS_TEST_COMPLETED-}" ] || [ $bad = 1 ]; then
		for f in *.err; do
			if [ -s "$f" ]; then echo "--- stderr of ${f%.err}:"; tail -n 40 "$f"; fi
		done
	fi
	for f in sanitizer.*; do
		if [ -s "$f" ]; then echo "--- $f:"; head -n 60 "$f"; bad=1; fi
	done
	return $bad
}

# ---- what fails a test ----

# fail TEXT...
fail() {
	printf '%s\n' "$@"
	return 1
}

# is GOT WANT: the same text.
is() {
	[ "$1" = "$2" ] && return
	echo "not what was wanted (- wanted, + got):"
	diff -u --label wanted --label got <(printf '%s\n' "$2") <(printf '%s\n' "$1") | tail -n +3 | head -n 60
	return 1
}

# has TEXT PART...: each part occurs in the text.
has() {
	local text=$1 part

	shift
	for part; do
		[[ $text == *"$part"* ]] || fail "not in the text: $part" "the text: $text" || return
	done
}

# matches TEXT REGEX: the whole text matches the extended expression.
matches() {
	[[ $1 =~ ^($2)$ ]] || fail "does not match: $2" "the text: $1"
}

# status_is N, after `run --separate-stderr ...`
status_is() {
	[ "${status-}" = "$1" ] && return
	fail "exit status ${status-}, not $1" "stdout: ${output-}" "stderr: ${stderr-}"
}

# same_bytes FILE FILE
same_bytes() {
	cmp -- "$1" "$2" || fail "$1 and $2 differ" "$(wc -c "$1" "$2" | head -n 2)"
}

# plain: what mandoc prints, without its overstrikes.
plain() {
	sed 's/.\x08//g'
}

# ---- waiting ----

# wait_for [-t SECONDS] COMMAND...: until it succeeds; fails after 10 seconds.
wait_for() {
	local seconds=10 end

	if [ "$1" = -t ]; then seconds=$2; shift 2; fi
	end=$((${EPOCHREALTIME//[!0-9]/} + seconds * 1000000))
	until "$@"; do
		[ "${EPOCHREALTIME//[!0-9]/}" -lt $end ] || { fail "after $seconds s still not: $*"; return; }
		sleep 0.02
	done
}

# lines_in FILE N: the file has (at least) N lines.
lines_in() {
	[ "$(wc -l < "$1")" -ge "$2" ]
}

# now_ms: for a test that bounds a time.
now_ms() {
	echo $((${EPOCHREALTIME//[!0-9]/} / 1000))
}

# ---- programs beside the test ----
# NAME is for the test to choose: stdout goes to NAME.out, stderr to NAME.err.

# start NAME COMMAND...: in the background; stdin is NAME.in if there is one. Not
# for functions, whose pid would be a shell's; but `start NAME on HOST COMMAND...`.
start() {
	local name=$1 in=/dev/null

	shift
	if [ "$1" = on ]; then set -- nsenter -t "${PID[$2]}" -n "${@:3}"; fi
	[ ! -e "$name.in" ] || in=$name.in
	"$@" < "$in" > "$name.out" 2> "$name.err" 3>&- &
	PID[$name]=$!
}

# start_ready NAME COMMAND...: the same, and waits until it writes to descriptor 8
# that it is ready: `start_ready email gm-v5 email -ready-fd 8`.
start_ready() {
	local name=$1 word in=/dev/null

	shift
	if [ "$1" = on ]; then set -- nsenter -t "${PID[$2]}" -n "${@:3}"; fi
	[ ! -e "$name.in" ] || in=$name.in
	rm -f "$name.ready"
	mkfifo "$name.ready"
	"$@" < "$in" > "$name.out" 2> "$name.err" 8> "$name.ready" 3>&- &
	PID[$name]=$!
	# The command holds the only writer: should it die, this ends at once.
	read -r -t 20 word < "$name.ready" || [ -n "$word" ] ||
		fail "$name did not become ready: $*" "$(cat "$name.err")"
}

# start_sub NAME [OPTION...] TOPIC...: a mbus sub that has subscribed.
start_sub() {
	local name=$1

	shift
	start_ready "$name" "$MBUS" sub --ready-fd 8 "$@"
}

# finish NAME [SECONDS]: waits for its end; sets `status`.
finish() {
	local pid=${PID[$1]}

	wait_for -t "${2:-10}" gone "$pid" || return
	status=0
	wait "$pid" || status=$?
	unset "PID[$1]"
}

# stop NAME [SIGNAL]: ends it and waits; sets `status`.
stop() {
	kill -s "${2:-TERM}" "${PID[$1]}" || return
	finish "$1"
}

# gone PID: has ended, waited for or not.
gone() {
	local stat

	read -r stat 2> /dev/null < "/proc/$1/stat" || return 0
	[[ ${stat##*) } == [ZX]* ]]
}

# freeze NAME, thaw NAME: it stands still, and goes on. A signal is on its way for a
# while; what is sent to a process right behind it may still be answered. A stopped one
# is continued by teardown in any case.
freeze() {
	kill -STOP "${PID[$1]}" && wait_for all_stopped "${PID[$1]}"
}
all_stopped() {
	local stat

	for stat in "/proc/$1"/task/*/stat; do
		read -r stat 2> /dev/null < "$stat" || continue
		[[ ${stat##*) } == T* ]] || return 1
	done
}
thaw() {
	kill -CONT "${PID[$1]}"
}

# end_pid PID: politely, then not.
end_pid() {
	local i

	kill -CONT "$1" 2> /dev/null || true
	kill -TERM "$1" 2> /dev/null || { wait "$1" 2> /dev/null || true; return 0; }
	for ((i = 0; i < 100; i++)); do
		if gone "$1"; then break; fi
		sleep 0.02
	done
	gone "$1" || kill -KILL "$1" 2> /dev/null || true
	wait "$1" 2> /dev/null || true
}

# ---- network ----

# in_ns COMMAND...: in another new namespace, where lo is up and nothing else.
in_ns() {
	# shellcheck disable=SC2016
	unshare -n sh -c 'ip link set lo up && exec "$@"' in_ns "$@"
}

# host NAME: another host, that is a namespace with lo up; `on NAME COMMAND...` runs
# there. cable A B: joins two hosts by a link 10.78.0.1 - 10.78.0.2.
host() {
	start "$1" unshare -n sh -c 'ip link set lo up && echo up && exec sleep 1000'
	wait_for lines_in "$1.out" 1
}
on() {
	local name=$1

	shift
	nsenter -t "${PID[$name]}" -n "$@"
}
cable() {
	on "$1" ip link add "to-$2" type veth peer name "to-$1" netns "${PID[$2]}"
	on "$1" ip addr add 10.78.0.1/24 dev "to-$2"
	on "$1" ip link set "to-$2" up
	on "$2" ip addr add 10.78.0.2/24 dev "to-$1"
	on "$2" ip link set "to-$1" up
	on "$1" ip route add 224.0.0.0/4 dev "to-$2"
	on "$2" ip route add 224.0.0.0/4 dev "to-$1"
}

# free_port: a TCP port of the loopback address that nobody uses now. (In a
# namespace of its own a test may as well take any fixed one.)
free_port() {
	local port

	for port in $(shuf -i 20000-30000 -n 50); do
		grep -q ":$(printf %04X "$port") " /proc/net/tcp /proc/net/tcp6 || { echo "$port"; return; }
	done
	return 1
}

# topic: a topic that no other test uses.
topic() {
	echo "t${BATS_TEST_NUMBER:-0}.$RANDOM"
}

# ---- certificates, by openssl(1) ----

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

# authority NAME: NAME.key and NAME.crt, here.
authority() {
	new_key "$1"
	openssl req -x509 -new -key "$1.key" -days 30 -subj "/O=mbus test/CN=$1" -out "$1.crt"
}

# certificate NAME AUTHORITY SAN: NAME.key and NAME.crt, which it signs.
certificate() {
	new_key "$1"
	openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 30 \
		-extfile <(printf 'subjectAltName=%s\n' "$3") -out "$1.crt" 2> openssl.err
}

# expired NAME AUTHORITY SAN: one of long ago. `x509` signs these in some versions of
# OpenSSL only (-days -1), `ca` in all.
expired() {
	certificate "$@"
	: > index.txt
	cat > ca.cnf <<- 'END'
		[ca]
		default_ca = ca
		database = index.txt
		new_certs_dir = .
		rand_serial = yes
		default_md = sha256
		policy = policy
		[policy]
		commonName = supplied
	END
	openssl ca -batch -notext -config ca.cnf -cert "$2.crt" -keyfile "$2.key" -in "$1.csr" \
		-startdate 20200101000000Z -enddate 20200131000000Z \
		-extfile <(printf 'subjectAltName=%s\n' "$3") -out "$1.crt" 2> openssl.err
}

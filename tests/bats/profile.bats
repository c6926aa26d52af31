#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # stderr and stderr_lines are set by run
#
# The config file: what holds, what comes before what, what is refused and where. The
# broker of these tests writes down what it was told.

load ../lib
load fake

setup_file() { fake_build; }

setup() {
	lib_setup
	mkdir -p .config/mbus
	CONFIG=.config/mbus/config
}

# config LINE...: these lines are the config file.
config() {
	printf '%s\n' "$@" > "$CONFIG"
	chmod 600 "$CONFIG"
}

# wire_is N WORD...: so the broker is told when these are mbus's words.
wire_is() {
	rm -f told
	fake_able "${@:2}" -X told=told t b
	has "$(grep ^broker told)" "wire=$1 "
}

# refused STATUS PART... -- WORD...
refused() {
	local want=$1 parts=()

	shift
	while [ "$1" != -- ]; do parts+=("$1"); shift; done
	shift
	run --separate-stderr fake_able "$@" < /dev/null
	status_is "$want" && is "$output" "" && has "$stderr" "mbus: " "${parts[@]}" &&
		is "${#stderr_lines[@]}" 1
}

@test "[default] holds, a section holds when it is chosen, the line comes before both" {
	config "wire = raw" "[soft]" "wire = micro" "[other]" "qos = 2"
	wire_is 2 pub
	wire_is 1 pub --profile soft
	wire_is 1 --profile soft pub
	wire_is 2 pub --profile other
	wire_is 0 pub --profile soft --wire auto
	run ! grep qos told
	wire_is 2 pub --profile=other
	has "$(cat told)" "pub qos=2 "
}

@test "an option, --profile, the environment, MBUS_PROFILE, [default]: in this order" {
	config "wire = micro" "[p]" "wire = raw"
	MBUS_PROFILE=p wire_is 2 pub
	MBUS_PROFILE=p MBUS_WIRE=micro wire_is 1 pub
	MBUS_WIRE=raw wire_is 2 pub
	MBUS_WIRE=micro wire_is 2 pub --profile p
	MBUS_PROFILE=nix wire_is 2 pub --profile p
	MBUS_PROFILE=p wire_is 1 pub --profile default
	MBUS_WIRE=raw wire_is 0 pub --profile p --wire auto
	MBUS_WIRE=bad refused 2 "MBUS_WIRE: 'bad' is none of" -- pub t b
}

@test "where the file is: --config, MBUS_CONFIG, XDG_CONFIG_HOME, HOME; else nowhere" {
	config "wire = raw"
	mkdir -p xdg/mbus
	echo "wire = micro" > xdg/mbus/config
	echo "wire = auto" > mine
	wire_is 2 pub
	XDG_CONFIG_HOME=$PWD/xdg wire_is 1 pub
	XDG_CONFIG_HOME=xdg wire_is 2 pub		# relative: it is none
	XDG_CONFIG_HOME=$PWD/nix wire_is 0 pub
	XDG_CONFIG_HOME=$PWD/xdg MBUS_CONFIG=mine wire_is 0 pub
	MBUS_CONFIG=mine wire_is 2 pub --config "$CONFIG"
	wire_is 0 pub --config /dev/null
	HOME='' wire_is 0 pub
	refused 6 "nix: No such file" -- pub --config nix t b
	MBUS_CONFIG=$PWD refused 6 "$PWD: Is a directory" -- pub t b
	rm "$CONFIG"
	refused 2 "there is no profile 'work'" "$HOME/$CONFIG" -- pub --profile work t b
}

@test "the HOME of somebody else has no file for us; one of ours that cannot be read is an error" {
	setpriv --reuid 1001 --clear-groups true 2> /dev/null || skip 'only root can become another user'
	# A place that every user can come to.
	mount -t tmpfs -o mode=755 tmpfs /mnt
	cp "$MBUS" /mnt/mbus
	mkdir -p /mnt/other/.config/mbus /mnt/own/.config/mbus
	echo 'broker = nothing' | tee /mnt/other/.config/mbus/config > /mnt/own/.config/mbus/config
	chmod 700 /mnt/other
	chmod 000 /mnt/own/.config/mbus/config
	at() {	# STATUS HOME
		run --separate-stderr setpriv --reuid 1001 --regid 1001 --clear-groups \
			env -i HOME="/mnt/$2" /mnt/mbus pub -B memory t b
		status_is "$1"
	}
	at 0 other
	is "$stderr" ''
	at 6 own
	has "$stderr" 'own/.config/mbus/config: Permission denied'
}

@test "what others may write is not believed, whatever it says" {
	config "[default]" "exec = touch $PWD/ran"
	for mode in 602 606 646 666 777; do
		chmod "$mode" "$CONFIG"
		refused 2 "$CONFIG: others may write to it" "chmod go-w" -- sub -B memory t
		refused 2 "$CONFIG: others may write to it" -- sub -B memory --config "$CONFIG" t
		MBUS_CONFIG=$CONFIG refused 2 "$CONFIG: others may write to it" -- --list -v
	done
	# Of a file that is named a group may be the owner, as of a project's.
	chmod 620 "$CONFIG"
	refused 2 "$CONFIG: others may write to it" -- sub -B memory t
	config "wire = raw"
	chmod 660 "$CONFIG"
	wire_is 2 pub --config "$CONFIG"
	chmod 644 "$CONFIG"
	wire_is 2 pub
	[ ! -e ran ]
}

@test "another user's file in the usual place is not believed, root's is, one that is named is" {
	[ "$(id -u)" = 0 ] || skip 'only root can give a file away'
	config "wire = raw"
	chown 1001 "$CONFIG"
	chmod 644 "$CONFIG"
	refused 2 "$CONFIG: it is user 1001's" "chown it" -- pub t b
	wire_is 2 pub --config "$CONFIG"
	chown 0 "$CONFIG"
	wire_is 2 pub
}

@test "one open(2) for the file, whether it is there or not" {
	for there in yes no; do
		strace -f -o trace -e trace=file "$MBUS" -B null pub t b
		is "$(grep -c 'mbus/config' trace)" 1
		rm -f "$CONFIG"
	done
	config "wire = raw"
	strace -f -o trace -e trace=file "$MBUS" -B null pub t b
	is "$(grep -c 'mbus/config' trace)" 1
}

@test "every form of a line" {
	printf '\xef\xbb\xbf# c\r\n ; c\r\n\r\n[ a.b-c_1 ]\r\n  reply_to="  a # b  "  \r\nretain=yes\r\n[b]\nretain = no' \
		> "$CONFIG"
	wire_is 0 pub --profile a.b-c_1
	has "$(cat told)" "retain=1" "reply=  a # b  "
	wire_is 0 pub --profile b
	run ! grep retain told
	config "[a]" "qos = 1" "[b]" "qos = 0" "[a]" "retain = on"
	wire_is 0 pub --profile a
	has "$(cat told)" "qos=1 retain=1"
}

@test "what is wrong is said with file and line" {
	local at=$HOME/$CONFIG

	config "" "wirre = raw"
	refused 2 "$at:2: no option is called 'wirre'; did you mean wire?" -- pub t b
	config "recconect = 1"
	refused 2 "$at:1: no option is called 'recconect'; did you mean reconnect?" -- pub t b
	config "partitoin = 1"
	refused 2 "did you mean partition?" -- topics
	config "wire = rar"
	refused 2 "$at:1: wire: 'rar' is none of auto, micro, raw" -- pub t b
	config "wire = raw" "wire = micro"
	refused 2 "$at:2: wire stands in line 1, too" -- pub t b
	config "retain = perhaps"
	refused 2 "$at:1: retain: yes or no" -- pub t b
	config "--wire = raw"
	refused 2 "$at:1: an option stands here without its dashes" -- pub t b
	config "wire raw"
	refused 2 "$at:1: write OPTION = VALUE" -- pub t b
	config "[a b]"
	refused 2 "$at:1: the name of a section" -- pub t b
	config "[a"
	refused 2 "$at:1: a section is written [NAME]" -- pub t b
	config 'wire = "raw'
	refused 2 "$at:1: a value that begins with '\"'" -- pub t b
	config "broker = reddis"
	MICRO_BROKER='' refused 2 "$at:1: " "did you mean redis?" -- -B '' pub t b || true
	run ! "$MBUS" pub t b
	has "$output" "$at:1: " "did you mean redis?"
	for name in help version config profile; do
		config "$name = x"
		refused 2 "$at:1: $name is for the command line" -- pub t b
	done
	config "[work]" "wire = raw"
	refused 2 "there is no profile 'wrok' in $at; did you mean work?" -- pub --profile wrok t b
	config "password = hush"
	refused 2 "$at:1: " "password-file = FILE" -- pub t b
	[[ $stderr != *hush* ]]
	printf 'wire = r\0aw\n' > "$CONFIG"
	refused 2 "$at:1: a NUL" -- pub t b
	head -c 70000 /dev/zero | tr '\0' '#' > "$CONFIG"
	refused 2 "$at: more than 65536 bytes" -- pub t b
}

@test "what does not apply is ignored: another command, another broker" {
	config "wire = raw" "reconnect = 3" "qos = 1" "header = a:b" "group = g" \
		"register-ttl = 7" "mqtt.qos = 1" "kafka.nix = 1" "key = k" "tls-ca = nix"
	"$MBUS" pub -B null t b
	"$MBUS" registry list --registry file --registry-address ./
	wire_is 2 pub
	# A broker that has none of it.
	MBUS_MODULES=$BATS_FILE_TMPDIR/bare MICRO_BROKER=null "$MBUS" pub t b
	MBUS_WIRE=raw MBUS_MODULES=$BATS_FILE_TMPDIR/bare MICRO_BROKER=null "$MBUS" pub t b
	MBUS_WIRE=raw "$MBUS" registry list --registry file --registry-address ./
	run "$MBUS" pub -B http --registry file --registry-address ./ t b
	status_is 5
	has "$output" "nobody subscribes to t"
}

@test "-X options: by their broker's name, before those of the line" {
	config "null.told = file" "[p]" "null.told = p"
	fake_able pub t b
	grep -q ^broker file
	fake_able pub --profile p t b
	grep -q ^broker p
	fake_able pub --profile p -X told=line t b
	grep -q ^broker line
	config "null.tolled = x"
	refused 2 "$HOME/$CONFIG:1: -X: the null broker has no option tolled" -- pub t b
	config "nul.told = x"
	refused 2 "$HOME/$CONFIG:1: no broker or registry is called nul" -- pub t b
	config "X = told=x"
	refused 2 "write BROKER.NAME = VALUE" -- pub t b
	# What another command has is left to it.
	config "http.body_max = 1M"
	run "$MBUS" pub -B http --registry file --registry-address ./ t b
	status_is 5
}

@test "lists: those of one place, the first that has any" {
	config "header = a:1" "header = b:2" "[p]" "header = c:3"
	fake pub -X record=r t b
	record t - b a 1 b 2 > want
	same_bytes want r
	fake pub --profile p -X record=r2 t b
	record t - b c 3 > want
	same_bytes want r2
	fake pub -H d:4 -X record=r3 t b
	record t - b d 4 > want
	same_bytes want r3
}

@test "who names another broker gets neither address nor password of the profile" {
	echo hush > secret
	chmod 600 secret
	config "broker = mqtt" "address = 127.0.0.1:1" "username = me" "password-file = $PWD/secret" \
		"[u]" "url = redis://him@127.0.0.1:2"
	run "$MBUS" pub t b
	has "$output" "127.0.0.1:1: cannot connect"
	run "$MBUS" pub -B mqtt t b
	has "$output" "127.0.0.1:1: cannot connect"
	rm -f told
	fake_able -B null pub -X told=told t b
	run ! grep -E '127.0.0.1|user' told
	run "$MBUS" pub --profile u t b
	has "$output" "127.0.0.1:2: cannot connect"
	run "$MBUS" pub --profile u --url redis://127.0.0.1:3 t b
	has "$output" "127.0.0.1:3: cannot connect"
	MICRO_BROKER=mqtt MICRO_BROKER_ADDRESS=127.0.0.1:4 MBUS_PROFILE=u run "$MBUS" pub t b
	has "$output" "127.0.0.1:4: cannot connect"
	config "url = redis://127.0.0.1:2" "broker = mqtt"
	run "$MBUS" pub t b
	status_is 2
	has "$output" "config:1: url says which broker, and so does line 2"
}

@test "a password in it: refused if others can read the file, shown nowhere" {
	config "wire = raw" "url = redis://me:hush@127.0.0.1:1"
	chmod 644 "$CONFIG"
	run "$MBUS" pub t b
	status_is 2
	has "$output" "config:2: a password stands here" "chmod 600"
	[[ $output != *hush* ]]
	chmod 600 "$CONFIG"
	run "$MBUS" --debug pub t b
	status_is 3
	[[ $output != *hush* ]]
	config "url = redis//me:hush@127.0.0.1:1"
	run "$MBUS" pub t b
	status_is 2
	[[ $output != *hush* ]]
	# A file without one may be read by all.
	config "url = redis://me@127.0.0.1:1"
	chmod 644 "$CONFIG"
	run "$MBUS" pub t b
	status_is 3
}

@test "--help and --version need no file; --list and completion live with a bad one" {
	config "nonsense"
	for line in --help --version --list "pub --help" "pub --version"; do
		# shellcheck disable=SC2086
		run -0 "$MBUS" $line
	done
	run -0 --separate-stderr "$MBUS" --complete pub --profile ''
	is "$output" ""
	is "$stderr" ""
}

@test "completion of --profile" {
	config "wire = raw" "[work]" "wire = raw" "[empty]"
	is "$("$MBUS" --complete pub --profile '' | cut -f 1 | paste -sd ' ')" "default work empty"
	is "$("$MBUS" --complete pub --profile=w | cut -f 1)" "--profile=work"
	echo "[mine]" > other
	is "$("$MBUS" --complete sub --config other --profile m | cut -f 1)" "mine"
}

@test "--list -v: what would be used, where each is from, no secret" {
	echo hush > secret
	chmod 600 secret
	config "wire = raw" "[w]" "url = mqtt://me:hush@h:1/t?version=5" "mqtt.keepalive = 10s" \
		"retain = yes" "password-file = $PWD/secret"
	line() { grep "^$1 " out; }
	MICRO_REGISTRY="file" "$MBUS" --profile w --connect-timeout 3 -X clientid=x --list -v > out
	matches "$(line broker)" "broker +mqtt +profile .*config:3 \[w\]"
	matches "$(line address)" "address +mqtt://h:1 +profile .*config:3 \[w\]"
	matches "$(line username)" "username +me +profile .*:3 \[w\]"
	matches "$(line wire)" "wire +raw +profile .*config:1 \[default\]"
	matches "$(line registry)" "registry +file +environment MICRO_REGISTRY"
	matches "$(line connect-timeout)" "connect-timeout +3000ms +option --connect-timeout"
	matches "$(line color)" "color +auto +default"
	matches "$(line version)" "version +5 +url \?version"
	matches "$(line mqtt.keepalive)" "mqtt.keepalive +10s +profile .*:4 \[w\]"
	matches "$(line clientid)" "clientid +x +option -X"
	matches "$(line retain)" "retain +yes +profile .*:5 \[w\], for pub"
	run ! grep hush out
	MBUS_PASSWORD=hush "$MBUS" --list -v -J -B redis > out
	jq -se 'any(.[]; .option == "password" and .value == "xxxxx" and .place == "MBUS_PASSWORD")' out
	jq -se 'any(.[]; .option == "broker" and .value == "redis" and .from == "option" and .place == "-B")' out
	jq -se 'any(.[]; .option == "address" and .from == "default")' out
	run ! grep hush out
	# Without -v it is the list of what there is, and takes no such options.
	run "$MBUS" --list -B redis
	status_is 2
}

# Every option of every command beside lines that have no use for it: tests/tools/every_option.
@test "a default gives way to what the line says instead" {
	config 'json = yes' 'topic = elsewhere' 'jobs = 3' 'count = 2'
	run -0 --separate-stderr "$MBUS" pub -v -B memory t hello
	has "$stderr" "1 confirmed"
	run -124 --separate-stderr "$MBUS" sub -B memory -W 100ms --body t
	run -0 "$MBUS" registry --registry file --registry-address "$PWD" list
	config 'body = yes' 'json = yes'
	run -2 --separate-stderr "$MBUS" sub -B memory -W 100ms t
	has "$stderr" "only one of -J"
}

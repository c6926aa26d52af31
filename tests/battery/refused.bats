#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: servers that cannot be had, and what they do not allow.

load battery

setup_file() { certificates; }

# ---- unreachable ----

# bats test_tags=server
@test "a port where nobody listens: status 3 at once, one line that names it" {
	begin=$(now_ms)
	both_are 3
	has "$stderr" "127.0.0.1:$PORT"
	took 2000
}

# bats test_tags=server
@test "a host that does not exist: status 3, one line that names it" {
	both_are 3 -b no-such-host.invalid:7000
	has "$stderr" no-such-host.invalid
}

# bats test_tags=server
@test "a server that accepts and says nothing: status 3 after --connect-timeout" {
	server
	relay_on
	relay stall
	begin=$(now_ms)
	through both_are 3 --connect-timeout 0.7
	took 4000
	[ $(($(now_ms) - begin)) -ge 1400 ]
}

# bats test_tags=server
@test "a host that does not answer at all: status 3 after --connect-timeout" {
	ip link add near type veth peer name far
	ip addr add 10.79.0.1/24 dev near
	ip link set near up
	ip link set far up
	begin=$(now_ms)
	both_are 3 -b 10.79.0.2:7000 --connect-timeout 0.7
	took 4000
}

# bats test_tags=server
@test "a server that cuts at once, and one that speaks something else: status 3" {
	server
	relay_on
	relay slam
	begin=$(now_ms)
	through both_are 3
	took 4000
	start_ready web "$ROOT/tests/tools/fake_node" 7005 garbage
	begin=$(now_ms)
	both_are 3 -b 127.0.0.1:7005 --connect-timeout 2
	took 8000
}

# bats test_tags=server
@test "several addresses: the first that can be had is taken" {
	t=$(topic)
	server
	export MICRO_BROKER_ADDRESS=127.0.0.1:7008,no-such-host.invalid:1,127.0.0.1:$PORT
	sub_ready sub -c 1 --body "$t"
	pub_is 0 "$t" x
	finish sub
	is "$(cat sub.out)" x
}

# bats test_tags=server,unix
@test "a Unix socket" {
	t=$(topic)
	server
	MICRO_BROKER_ADDRESS=$PWD/server.sock sub_ready sub -c 2 --body "$t"
	pub_is 0 -b "$PWD/server.sock" "$t" x
	pub_is 0 --url "$BROKER+unix://$PWD/server.sock" "$t" y
	finish sub
	is "$(cat sub.out)" $'x\ny'
	both_are 3 -b "$PWD/none.sock"
	has "$stderr" none.sock
}

# ---- not allowed ----

# bats test_tags=server,password
@test "no password, a wrong one, an unknown user: status 4, and it is not shown" {
	server users
	if lacks nobody; then both_are 3; else both_are 4; fi
	umask 077
	echo wrong-one > pw
	both_are 4 --username mbus --password-file pw
	run ! grep -rF wrong-one ./*.err <(echo "$stderr")
	echo secret > pw
	both_are 4 --username nobody --password-file pw
}

# bats test_tags=server,password
@test "bench: nobody is there, or a wrong password: 3 and 4, before anything is measured" {
	local bench=(timeout 60 mbus bench "${OPTIONS[@]}" -t "$(topic)" -n 100 --connect-timeout 2s)

	begin=$(now_ms)
	run --separate-stderr "${bench[@]}"
	status_is 3
	took 15000
	one_line
	server users
	umask 077
	echo wrong-one > pw
	run --separate-stderr "${bench[@]}" --username mbus --password-file pw
	status_is 4
	one_line
	is "$output" ""
	run ! grep -F wrong-one <<< "$stderr"
}

# bats test_tags=server,password
@test "the right password: by file, by environment, by URL, and nobody sees it" {
	t=$(topic)
	server users
	umask 077
	echo secret > pw
	sub_ready sub --username mbus --password-file pw --body "$t"
	run ! grep -qaF secret "/proc/${PID[sub]}/cmdline"
	pub_is 0 --username mbus --password-file pw "$t" 1
	MBUS_PASSWORD=secret pub_is 0 --username mbus "$t" 2
	pub_is 0 --url "$BROKER://mbus:secret@127.0.0.1:$PORT" "$t" 3
	start_ready url "$MBUS" sub "${OPTIONS[@]}" --ready-fd 8 --url "$BROKER://mbus:secret@127.0.0.1:$PORT" "$t"
	run ! grep -qaF secret "/proc/${PID[url]}/cmdline"
	MBUS_PASSWORD=secret start_ready env "$MBUS" sub "${OPTIONS[@]}" --ready-fd 8 --username mbus "$t"
	run ! grep -qaF secret "/proc/${PID[env]}/environ"
	wait_for lines_in sub.out 3
	is "$(cat sub.out)" $'1\n2\n3'
}

# bats test_tags=server,password,acl
@test "publishing that the access list refuses: status 4, counted" {
	t=$(topic)
	server users
	export MBUS_PASSWORD=reader
	sub_ready sub --username reader --body "$t"
	seq 100 > ten
	run --separate-stderr timeout 20 mbus pub -v "${OPTIONS[@]}" --username reader -l "$t" < ten
	status_is 4
	echo "$stderr" > pub.err
	counts pub.err
	is "$CONFIRMED $REFUSED $UNKNOWN" '0 100 0'
	export MBUS_PASSWORD=writer
	pub_is 0 --username writer "$t" x
	wait_for lines_in sub.out 1
	is "$(cat sub.out)" x
}

# bats test_tags=server,password,acl
@test "a subscription that the access list refuses: status 4, one line" {
	t=$(topic)
	server users
	MBUS_PASSWORD=writer sub_is 4 --username writer -W 5 "$t"
	one_line
	has "$stderr" "$t"
}

# ---- TLS ----

# bats test_tags=server,tls
@test "TLS: a certificate of a trusted authority with the right name" {
	t=$(topic)
	serve server "$PORT" tls srv
	sub_ready sub --tls-ca "$C/ca.crt" --tls --body -c 3 "$t"
	pub_is 0 --tls --tls-ca "$C/ca.crt" "$t" 1
	pub_is 0 --tls --tls-insecure "$t" 2
	pub_is 0 --tls --tls-ca "$C/ca.crt" -b "localhost:$PORT" "$t" 3
	finish sub
	is "$(cat sub.out)" $'1\n2\n3'
}

# bats test_tags=server,tls
@test "TLS: wrong name, foreign authority, expired, unknown authority: status 4" {
	local k

	for k in other alien old; do
		serve $k "$PORT" tls $k
		both_are 4 --tls --tls-ca "$C/ca.crt"
		has "$stderr" certificate
		pub_is 0 --tls --tls-insecure "$T" x
		stop $k
	done
	serve server "$PORT" tls srv
	both_are 4 --tls
	both_are 4 --tls --tls-ca "$C/foreign.crt"
}

# bats test_tags=server,tls,sni
@test "TLS: --tls-sni says the name to be checked" {
	serve server "$PORT" tls other
	pub_is 0 --tls --tls-ca "$C/ca.crt" --tls-sni other.example "$(topic)" x
}

# bats test_tags=server,tls
@test "mTLS: a server that wants a certificate of ours" {
	t=$(topic)
	serve server "$PORT" mtls srv
	sub_ready sub --tls --tls-ca "$C/ca.crt" --tls-cert "$C/cli.crt" --tls-key "$C/cli.key" --body -c 1 "$t"
	pub_is 0 --tls --tls-ca "$C/ca.crt" --tls-cert "$C/cli.crt" --tls-key "$C/cli.key" "$t" x
	finish sub
	is "$(cat sub.out)" x
	both_are 4 --tls --tls-ca "$C/ca.crt"
	both_are 4 --tls --tls-ca "$C/ca.crt" --tls-cert "$C/alien.crt" --tls-key "$C/alien.key"
}

# bats test_tags=server,tls
@test "TLS to a port without it, and none to a port with it: no hang, status 3" {
	server
	begin=$(now_ms)
	both_are 3 --tls --tls-ca "$C/ca.crt" --connect-timeout 2
	stop server
	serve server "$PORT" tls srv
	both_are 3 --connect-timeout 2
	took 12000
}

# bats test_tags=server,tls
@test "TLS through a bad network: a dribble, then a cut in the middle" {
	t=$(topic)
	serve server "$PORT" tls srv
	relay_on
	relay dribble
	export MICRO_BROKER_ADDRESS=127.0.0.1:$BAD
	sub_ready sub --tls --tls-ca "$C/ca.crt" --body "$t"
	seq 50 > some
	pub_is 0 --tls --tls-ca "$C/ca.crt" -l "$t" < some
	wait_for lines_in sub.out 50
	relay pass
	seq 300000 > pub.in
	start_pub pub --tls --tls-ca "$C/ca.crt" -l "$t"
	wait_for lines_in sub.out 1000
	relay cut
	finish pub
	lacks cut || is "$status" 3
	counts pub.err
}

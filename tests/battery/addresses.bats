#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The battery: addresses of every form.

load battery

# bats test_tags=server
@test "localhost is ::1 and 127.0.0.1, and the server listens on the latter" {
	local i

	hosts '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback'
	t=$(topic)
	server
	for i in 1 2 3 4 5; do
		pub_is 0 -b "localhost:$PORT" "$t" "$i"
		sub_is 0 -b "localhost:$PORT" --check "$t"
	done
}

# bats test_tags=server,v6
@test "a server at ::1 alone: by its number and by a name" {
	hosts '::1 localhost six'
	# A host that has nothing of it but ::1 is one without, to getaddrinfo.
	ip addr add fd00:77::1/128 dev lo nodad
	at_end ip addr del fd00:77::1/128 dev lo
	t=$(topic)
	AT=::1 serve server "$PORT" plain
	export MICRO_BROKER_ADDRESS="[::1]:$PORT"
	sub_ready sub --body -c 4 "$t"
	pub_is 0 "$t" 1
	pub_is 0 -b "six:$PORT" "$t" 2
	pub_is 0 -b "127.0.0.1:$PORT,localhost:$PORT" "$t" 3
	pub_is 0 --url "$BROKER://[::1]:$PORT" "$t" 4
	finish sub 20
	is "$(cat sub.out)" $'1\n2\n3\n4'
}

# bats test_tags=server
@test "addresses with blanks between them" {
	t=$(topic)
	server
	sub_ready sub -b "127.0.0.1:7008 , 127.0.0.1:$PORT" --body "$t"
	pub_is 0 -b "  127.0.0.1:7008,  127.0.0.1:$PORT " "$t" 1
	MICRO_BROKER_ADDRESS="127.0.0.1:7008, 127.0.0.1:$PORT" pub_is 0 "$t" 2
	pub_is 0 --url "$BROKER://127.0.0.1:$PORT" "$t" 3
	lacks deliver || wait_for lines_in sub.out 3
}

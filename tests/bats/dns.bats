#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The dns registry, against consul's name server.

bats_require_minimum_version 1.5.0
load ../lib
load ../servers/consul

setup() {
	lib_setup
	DNS_PORT=$(free_port)
	consul_start main -dns-port="$DNS_PORT" -hcl 'dns_config { enable_truncate = true }'
	export MICRO_REGISTRY=dns MICRO_REGISTRY_ADDRESS=127.0.0.1:$DNS_PORT
	X=(-X dns.domain=service.consul)
}

# put N ADDRESS: a node of greeter's.
put() {
	consul_api PUT /v1/agent/service/register -d "{\"Name\":\"greeter\",\"ID\":\"g$1\",\"Address\":\"$2\",\"Port\":8080}"
}

addresses() { mbus registry "${X[@]}" get greeter | awk '{ print $4 }' | sort | paste -sd ' '; }
addresses_are() { [ "$(addresses)" = "$1" ]; }

# name_server HEX: a name server that says this, behind the id of the question.
name_server() {
	DNS_PORT=$(free_port)
	rm -f liar.out
	start liar python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    p, a = s.recvfrom(65536)
    if sys.argv[2]: s.sendto(p[:2] + eval(sys.argv[2], {"p": p}), a)' "$DNS_PORT" "$1"
	wait_for lines_in liar.out 1
	MICRO_REGISTRY_ADDRESS=127.0.0.1:$DNS_PORT
}

@test "dns: get, wait and --select find what SRV records say" {
	run --separate-stderr mbus registry "${X[@]}" get greeter
	status_is 5
	has "$stderr" "service not found: greeter; asked was the registry dns at 127.0.0.1:$DNS_PORT"
	start w mbus registry "${X[@]}" wait greeter -c 3 -W 20
	put 1 10.0.0.1
	put 2 10.0.0.2
	put 3 fd00::3
	finish w
	is "$status" 0
	is "$(addresses)" "10.0.0.1:8080 10.0.0.2:8080 [fd00::3]:8080"
	run --separate-stderr mbus registry "${X[@]}" get -J greeter
	has "$output" '"name":"greeter","version":""' '"address":"10.0.0.1:8080","metadata":{"priority":"1","weight":"1"}'
	run --separate-stderr mbus registry "${X[@]}" get --select greeter
	matches "$output" '(10.0.0.[12]|\[fd00::3\]):8080'
	# Of other domains it says nothing.
	run --separate-stderr mbus registry get greeter
	status_is 3
	has "$stderr" "dns: _greeter._tcp.local: "
}

@test "dns: more than a datagram holds" {
	local i

	for i in {1..200}; do echo "{\"Name\":\"greeter\",\"ID\":\"g$i\",\"Address\":\"10.0.1.$i\",\"Port\":8080}"; done > all
	while read -r i; do consul_api PUT /v1/agent/service/register -d "$i"; done < all
	wait_for bash -c "[ \$('$MBUS' registry -X dns.domain=service.consul get greeter | wc -l) = 200 ]"
}

@test "dns: a watch asks again" {
	put 1 10.0.0.1
	wait_for addresses_are 10.0.0.1:8080
	start w mbus registry "${X[@]}" watch -c 2 greeter
	sleep 0.5
	put 2 10.0.0.2
	wait_for lines_in w.out 1
	consul_api PUT /v1/agent/service/deregister/g1
	finish w
	is "$(cut -d ' ' -f 1,7 w.out)" "create 0a000002.addr.dc1.consul:8080
delete 0a000001.addr.dc1.consul:8080"
	run --separate-stderr mbus registry watch
	status_is 5
	has "$stderr" "watch NAME"
}

@test "dns: it is only read" {
	run --separate-stderr mbus registry register greeter :1
	status_is 5
	has "$stderr" "nothing can be registered through DNS"
	run --separate-stderr mbus registry deregister greeter g1
	status_is 5
	run --separate-stderr mbus sub -B http orders
	status_is 5
	run --separate-stderr mbus registry --registry-address name.example:53 get greeter
	status_is 2
	run --separate-stderr mbus registry get "$(printf 'a%.0s' {1..2000})"
	status_is 2
	run --separate-stderr mbus registry --username me get greeter
	status_is 5
}

@test "dns: name servers that are away, silent, or lie" {
	local begin=${EPOCHREALTIME//[!0-9]/} liar

	consul_stop main
	run --separate-stderr mbus registry --connect-timeout 1 get greeter
	status_is 3
	has "$stderr" "the name server does not answer, or refuses"
	name_server ''
	run --separate-stderr mbus registry --connect-timeout 1 get greeter
	status_is 3
	[ $((${EPOCHREALTIME//[!0-9]/} - begin)) -lt 5000000 ]
	# Cut short, a pointer to itself, a target of nothing, port 0, a thousand records that are not there.
	for liar in 'b""' 'b"\x85\x80"' 'b"\x85\x80\0\1\0\1\0\0\0\0" + p[12:]' \
			'b"\x85\x80\0\1\3\xe8\0\0\0\0" + p[12:-11] + b"\xc0\x0c\0\x21\0\1\0\0\0\1\0\x08\0\1\0\1\0\1\xc0\x2f"' \
			'b"\x85\x80\0\1\0\1\0\0\0\0" + p[12:-11] + b"\xc0\x0c\0\x21\0\1\0\0\0\1\0\x07\0\1\0\1\0\0\0"' \
			'b"\x85\x80\0\1\0\1\0\0\0\0" + p[12:-11] + b"\xc0\x0c\0\x21\0\1\0\0\0\1\0\x07\0\1\0\1\0\1\0"'; do
		stop liar || true
		name_server "$liar"
		run --separate-stderr mbus registry --connect-timeout 1 get greeter
		[ "$status" = 3 ] || [ "$status" = 5 ]
		is "$output" ""
	done
}

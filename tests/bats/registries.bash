# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
#
# What every registry with a server has to do, for the bats file of each: `load registries`
# behind lib, then a test for each function here. The file says:
#
#	SERVER			how messages call it: "consul"
#	server_start, server_stop [SIGNAL], server_port
#	foreign_puts		entries by others, that are no services of go-micro's
#	foreign_many N		N services svc-1 ... svc-N, with a node each, as fast as it can be done
#	GO			go-micro programs that know this registry

# register NAME ARG...: one that has registered.
register() {
	rm -f "$1.err"
	start "$1" env --default-signal=INT "$MBUS" registry -v register "${@:2}"
	wait_for grep -q "registered .* as " "$1.err"
}

# nodes SERVICE: its ids and addresses, in one line.
nodes() {
	mbus registry get "$1" 2> /dev/null | awk '/^[^ ]/ { print $3 "@" $4 }' | paste -sd ' '
}
nodes_are() { [ "$(nodes "$1")" = "$2" ]; }
not_found() { ! mbus registry get "$1" > /dev/null 2>&1; }
is_found() { mbus registry get "$1" > /dev/null 2>&1; }

# watching NAME ARG...: a watch that has begun.
watching() {
	start "$1" mbus registry --debug watch "${@:2}"
	wait_for grep -q "watching" "$1.err"
	sleep 0.3	# it has asked what there is
}

both_found() {
	local endpoints='[{"name":"Greeter.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":null},"metadata":{"stream":"false"}}]'

	run --separate-stderr mbus registry get greeter
	status_is 5
	has "$stderr" "service not found: greeter; asked was the registry $SERVER at 127.0.0.1:$(server_port)"
	echo "$endpoints" > ep.json
	register r --service-version v2 --node-id g-1 --meta zone=a --meta b=x=y --endpoints ep.json greeter 10.0.0.5:8080
	register s --node-id g-2 greeter 10.0.0.6:8080
	wait_for nodes_are greeter "g-2@10.0.0.6:8080 g-1@10.0.0.5:8080"
	run --separate-stderr mbus registry get greeter
	is "$output" "greeter  latest  g-2  10.0.0.6:8080
greeter  v2  g-1  10.0.0.5:8080  b=x=y zone=a
  Greeter.Hello(Request{name string}) Response  stream=false"
	run --separate-stderr mbus registry get -J greeter
	has "$output" "\"endpoints\":$endpoints}" '"metadata":{"b":"x=y","zone":"a"}'
	run --separate-stderr mbus registry list
	has "$output" greeter
	run --separate-stderr mbus registry list -l
	has "$output" "greeter  v2  1 node  10.0.0.5:8080" "greeter  latest  1 node  10.0.0.6:8080"
	run --separate-stderr mbus registry wait greeter -c 2 -W 5
	status_is 0
	# Names with what paths and queries are made of.
	register odd --node-id 'a/b ?&=%#:ö' 'gre et/er?%ö' 10.0.0.7:1
	wait_for nodes_are 'gre et/er?%ö' 'a/b@10.0.0.7:1' || wait_for is_found 'gre et/er?%ö'
	stop odd
	wait_for not_found 'gre et/er?%ö'
	stop r
	is "$status" 0
	wait_for nodes_are greeter "g-2@10.0.0.6:8080"
	stop s INT
	is "$status" 0
	run --separate-stderr mbus registry get greeter
	status_is 5
}

both_deregister() {
	register r --node-id g-1 --register-ttl 60 greeter 10.0.0.5:8080
	wait_for is_found greeter
	run --separate-stderr mbus registry deregister greeter g-2
	status_is 5
	has "$stderr" "no node g-2 of service greeter ($SERVER)"
	run --separate-stderr mbus registry deregister greeter g-1
	status_is 0
	wait_for not_found greeter
}

# Beats bring back what somebody took away.
both_heart() {
	register r --node-id g-1 --register-ttl 20s --register-interval 300ms greeter 10.0.0.5:8080
	run -0 --separate-stderr mbus registry deregister greeter g-1
	wait_for is_found greeter
	stop r
	# The service with its program: there once it accepts connections, and gone with it.
	start p mbus registry register --node-id g-1 greeter 127.0.0.1:8080 -- python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 8080))
s.accept(); s.accept(); raise SystemExit(7)'
	wait_for nodes_are greeter "g-1@127.0.0.1:8080"
	: < /dev/tcp/127.0.0.1/8080
	finish p
	is "$status" 7
	run --separate-stderr mbus registry get greeter
	status_is 5
}

both_killed() {
	register r --node-id g-1 --register-ttl "$1" --register-interval "$1" greeter 10.0.0.5:8080
	wait_for is_found greeter
	watching w greeter
	stop r KILL || true
	wait_for -t 20 not_found greeter
	wait_for -t 20 grep -q '^delete  greeter  latest  g-1  10.0.0.5:8080' w.out
}

both_watch() {
	register old --node-id o-1 older 10.0.0.9:1
	wait_for is_found older
	watching all
	watching one greeter
	register r --node-id g-1 greeter 10.0.0.5:8080
	wait_for lines_in one.out 1
	wait_for lines_in all.out 1
	register s --node-id o-2 older 10.0.0.9:2
	wait_for lines_in all.out 2
	stop r
	wait_for lines_in one.out 2
	wait_for lines_in all.out 3
	# The same node elsewhere.
	register r --node-id o-2 older 10.0.0.9:3
	wait_for lines_in all.out 4
	is "$(< one.out)" "create  greeter  latest  g-1  10.0.0.5:8080
delete  greeter  latest  g-1  10.0.0.5:8080"
	is "$(< all.out)" "create  greeter  latest  g-1  10.0.0.5:8080
create  older  latest  o-2  10.0.0.9:2
delete  greeter  latest  g-1  10.0.0.5:8080
update  older  latest  o-2  10.0.0.9:3"
	# Ends when it has what it was to see.
	start w mbus registry watch -J -c 1 greeter
	sleep 0.3
	register g --node-id g-1 greeter 10.0.0.5:8080
	finish w
	is "$status" 0
	has "$(< w.out)" '"action":"create"' '"name":"greeter"'
}

# Whoever is registered comes back by himself, and watches see it.
both_restart() {
	register r --node-id g-1 --register-ttl 30s --register-interval 500ms greeter 10.0.0.5:8080
	wait_for is_found greeter
	watching w greeter
	server_stop
	run --separate-stderr mbus registry get greeter
	status_is 3
	wait_for grep -q 'it is tried again' r.err
	server_start
	wait_for -t 15 is_found greeter
	wait_for -t 15 grep -q 'answers again' w.err
	register s --node-id g-2 greeter 10.0.0.6:8080
	wait_for grep -q '^create  greeter  latest  g-2' w.out
}

both_garbage() {
	foreign_puts
	register r --node-id g-1 greeter 10.0.0.5:8080
	wait_for is_found greeter
	run --separate-stderr mbus registry get greeter
	status_is 0
	is "$(grep -c ' g-1 ' <<< "$output")" 1
	run --separate-stderr mbus registry list -l
	status_is 0
	has "$output" "greeter  latest  1 node"
	run --separate-stderr mbus registry watch -W 300ms
	status_is 124
}

both_down() {
	local begin

	server_stop
	begin=${EPOCHREALTIME//[!0-9]/}
	for form in "get greeter" list "register greeter :1" "deregister greeter x" "wait greeter"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus registry --connect-timeout 1 $form
		status_is 3
		has "$stderr" "$SERVER: 127.0.0.1:$(server_port)"
	done
	run --separate-stderr mbus pub --connect-timeout 1 t x
	status_is 3
	run --separate-stderr mbus sub --connect-timeout 1 t
	status_is 3
	# One that takes connections and says nothing.
	start silent python3 -c '
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
time.sleep(100)' "$(server_port)"
	wait_for lines_in silent.out 1
	run --separate-stderr mbus registry --connect-timeout 500ms get greeter
	status_is 3
	has "$stderr" "no answer within 500 ms"
	run --separate-stderr mbus pub --connect-timeout 500ms t x
	status_is 3
	[ $((${EPOCHREALTIME//[!0-9]/} - begin)) -lt 9000000 ]
}

# Answers that are none, from whoever sits there.
both_liars() {
	local answer

	server_stop
	for answer in '' 'HTTP/1.1 200 OK\r\n\r\n' 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}' \
			'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n' 'SSH-2.0-x\r\n' \
			'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}' 'HTTP/1.1 500 x\r\nContent-Length: 5\r\n\r\n\e[1mx' \
			'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n' 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue'; do
		rm -f liar.out
		start liar python3 -c '
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
while True:
    c = s.accept()[0]
    c.recv(65536)
    c.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin1"))
    c.close()' "$(server_port)" "$answer"
		wait_for lines_in liar.out 1
		run --separate-stderr mbus registry --connect-timeout 2 get greeter
		[[ $status = 3 || ($status = 5 && $answer == *true) ]] || fail "$answer: $status $stderr"
		[ "$(wc -l <<< "$stderr")" = 1 ]
		[[ $stderr != *$'\e'* ]]
		stop liar || true
	done
}

# many N: as many services, listed in under a second, and bounded memory.
both_many() {
	local begin ms rss limit=65536

	foreign_many "$1"
	begin=${EPOCHREALTIME//[!0-9]/}
	mbus registry list > list.out
	ms=$(((${EPOCHREALTIME//[!0-9]/} - begin) / 1000))
	is "$(grep -c '^svc-' list.out)" "$1"
	echo "list: $ms ms" >&3
	[ "$ms" -lt 1000 ]
	rss=$(python3 -c '
import os, subprocess, sys, resource
subprocess.run([sys.argv[1], "registry", "list", "-l"], stdout=open("long.out", "w"), check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$MBUS")
	is "$(grep -c '^svc-' long.out)" "$1"
	echo "list -l: $rss KiB" >&3
	case $MBUS_TEST_BUILD in *address*) limit=$((4 * limit)) ;; esac
	[ "$rss" -lt $limit ]
	watching w
	register r --node-id g-1 greeter 10.0.0.5:8080
	wait_for -t 30 grep -q '^create  greeter' w.out
	is "$(wc -l < w.out)" 1
}

# Two that say to be one: the last one counts, and it is not undone by the other's end.
both_same_id() {
	register a --node-id g-1 --register-interval 30s greeter 10.0.0.5:1
	register b --node-id g-1 --register-interval 30s greeter 10.0.0.5:2
	wait_for nodes_are greeter "g-1@10.0.0.5:2"
}

both_http() {
	start_sub s -B http orders
	run --separate-stderr mbus pub -B http -v orders hello
	status_is 0
	wait_for lines_in s.out 1
	run --separate-stderr mbus registry get micro.http.broker
	has "$output" "topic=orders"
	stop s
	wait_for not_found micro.http.broker
	run --separate-stderr mbus pub -B http orders hello
	status_is 5
}

# go-micro finds what mbus registers, and the other way round; events over http, too.
both_go() {
	local v

	register r --service-version v2 --node-id g-1 --meta zone=a greeter 10.77.0.1:8080
	wait_for is_found greeter
	for v in $GO; do
		run --separate-stderr "gm-$v" reg get greeter
		has "$output" '"name":"greeter"' '"version":"v2"' '"id":"g-1"' '"address":"10.77.0.1:8080"' '"zone":"a"'
		run --separate-stderr "gm-$v" reg list
		has "$output" greeter
	done
	stop r
	watching w
	for v in $GO; do
		start_ready "go-$v" "gm-$v" reg -ready-fd 8 -version 3.1 -id "n-$v" -meta a=b register "svc-$v" 10.77.0.1:9090
		wait_for is_found "svc-$v"
		run --separate-stderr mbus registry get "svc-$v"
		is "$output" "svc-$v  3.1  n-$v  10.77.0.1:9090  a=b"
		wait_for grep -q "^create  svc-$v  3.1  n-$v" w.out
		stop "go-$v"
		wait_for not_found "svc-$v"
		wait_for grep -q "^delete  svc-$v  3.1  n-$v" w.out
	done
}

both_go_http() {
	local v

	for v in $GO; do
		start_ready "sub-$v" "gm-$v" sub -ready-fd 8 -topic "t-$v"
		wait_for subscribes "t-$v"
		run --separate-stderr mbus pub -B http "t-$v" "for $v"
		status_is 0
		wait_for grep -q "for $v" "sub-$v.out"
		stop "sub-$v" || true
	done
	start_sub s -B http back
	for v in $GO; do
		"gm-$v" pub -topic back -n 1 -body "from $v" > pub.out 2>&1
		wait_for grep -q "from $v" s.out
	done
}

# subscribes TOPIC: somebody does, over http, in one dialect or the other.
subscribes() {
	local service

	for service in micro.http.broker go.micro.http.broker; do
		mbus registry get $service 2> /dev/null | grep -q "topic=$1\$" && return
	done
	return 1
}

# A client of go-micro's calls what mbus registered: a real server behind it, which itself
# is in no registry that the client asks.
both_go_call() {
	local v

	for v in $GO; do
		start_ready "srv-$v" env MICRO_REGISTRY=mdns MICRO_REGISTRY_ADDRESS= "gm-$v" serve -ready-fd 8 -address 10.77.0.1:7070 "hidden-$v"
		register r --node-id g-1 --meta protocol="${PROTOCOL[$v]-mucp}" --meta transport=http greeter 10.77.0.1:7070
		wait_for is_found greeter
		run --separate-stderr "gm-$v" call greeter ann
		status_is 0
		is "$output" '{"name":"hello ann"}'
		stop r
		stop "srv-$v" || true
	done
}
declare -A PROTOCOL=([v2]=grpc)

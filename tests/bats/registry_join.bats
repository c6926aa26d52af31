# SPDX-License-Identifier: Apache-2.0
# mbus registry: register, deregister.

bats_require_minimum_version 1.5.0
load ../lib

file_registry() { export MICRO_REGISTRY=file MICRO_REGISTRY_ADDRESS=$PWD/reg; }

# register NAME ARG...: one that has registered.
register() {
	rm -f "$1.err"
	start "$1" env --default-signal=INT "$MBUS" registry -v register "${@:2}"
	wait_for grep -q "registered .* as " "$1.err"
}

# nodes SERVICE: its addresses, in one line.
nodes() {
	mbus registry get -J "$1" 2> /dev/null | grep -o '"address":"[^"]*"' | cut -d '"' -f 4 |
		sort | paste -sd ' '
}
nodes_are() { [ "$(nodes "$1")" = "$2" ]; }

# server: a program for a port and a delay; ends with 7 at SIGTERM, with 8 at SIGINT.
server() {
	cat > server.py <<- 'END'
		import signal, socket, sys, time
		signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))
		signal.signal(signal.SIGINT, lambda *a: sys.exit(8))
		signal.signal(signal.SIGUSR1, lambda *a: print("usr1", flush=True))
		time.sleep(float(sys.argv[2]))
		s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		while True:
		    s.accept()[0].close()
	END
}

@test "register over file: found with all that was said, gone at a signal" {
	local signal

	file_registry
	for signal in TERM INT HUP; do
		register r --service-version v2 --node-id g-1 --meta zone=a --meta b=x=y greeter 10.0.0.5:8080
		run --separate-stderr mbus registry get greeter
		status_is 0
		is "$output" "greeter  v2  g-1  10.0.0.5:8080  b=x=y zone=a"
		stop r "$signal"
		is "$status" 0
		run --separate-stderr mbus registry get greeter
		status_is 5
	done
	register r greeter :8080
	run --separate-stderr mbus registry get greeter
	matches "$output" 'greeter  latest  greeter-[0-9a-f-]{36}  10.77.0.1:8080'
}

@test "go-micro v1 to v5 find over mdns what mbus registers, watch it come and see it go" {
	local v

	for v in 2 5; do start_ready "w$v" "gm-v$v" reg -ready-fd 8 watch; done
	register r --service-version v2 --node-id g-1 --meta zone=a greeter 10.77.0.1:8080
	for v in 1 2 3 4 5; do
		run --separate-stderr "gm-v$v" reg get greeter
		has "$output" '"name":"greeter"' '"version":"v2"' '"id":"g-1"' '"address":"10.77.0.1:8080"' '"zone":"a"'
	done
	run --separate-stderr gm-v5 reg list
	has "$output" greeter
	run --separate-stderr mbus registry get greeter
	is "$output" "greeter  v2  g-1  10.77.0.1:8080  zone=a"
	for v in 2 5; do wait_for grep -q 'create.*"greeter"' "w$v.out"; done
	stop r
	is "$status" 0
	for v in 2 5; do wait_for grep -q 'delete.*"greeter"' "w$v.out"; done
	run --separate-stderr mbus registry get greeter
	status_is 5
}

@test "register: what cannot be is refused, and why" {
	local args

	file_registry
	for args in "register" "register greeter" "register greeter nowhere" "register greeter h:0" \
	    "register greeter h:99999" "register greeter h:x" "register greeter 10.0.0.5:80 --meta x" \
	    "register greeter 10.0.0.5:80 --meta =x" "register greeter 10.0.0.5:80 --meta a=1 --meta a=2" \
	    "register greeter name:80 -- true" "register -W 1 greeter h:80" "register -J greeter h:80" \
	    "get --meta a=b greeter" "list --healthy true" "deregister greeter" "deregister a b c" \
	    "wait --node-id x greeter" "list --register-ttl 5" "watch --service-version x"; do
		# shellcheck disable=SC2086
		run --separate-stderr mbus registry $args
		[ "$status" = 2 ] || fail "mbus registry $args: status $status"
		is "$output" ""
		has "$stderr" "mbus: registry: "
	done
	run --separate-stderr mbus registry register --register-ttl 5 --register-interval 6 greeter h:80
	status_is 2
	has "$stderr" "--register-interval 6000 ms is longer than --register-ttl 5000 ms" "gone in between"
	run --separate-stderr mbus registry register greeter 127.0.0.1:80 -- ./nosuch
	status_is 6
	has "$stderr" "cannot run ./nosuch"
	run --separate-stderr mbus registry --registry mdns register greeter name:80
	[ "$status" != 0 ]
	has "$stderr" "name:80 is no IP address"
	# The service that was started for it does not stay.
	touch plain
	server
	run --separate-stderr mbus registry --registry-address ./plain/ register greeter 127.0.0.1:9000 -- \
		python3 server.py 9000 0
	status_is 6
	run python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9000))'
	status_is 1
}

@test "register beats: its entry outlives its TTL, comes back when it was removed, and is gone without it" {
	file_registry
	register r --register-ttl 1 --register-interval 200ms --node-id g-1 greeter 10.0.0.5:8080
	sleep 2
	nodes_are greeter 10.0.0.5:8080
	rm -r reg
	wait_for nodes_are greeter 10.0.0.5:8080
	# Stopped, it beats no more.
	freeze r
	wait_for nodes_are greeter ""
	thaw r
	wait_for nodes_are greeter 10.0.0.5:8080
}

@test "register killed: its entry is gone within the TTL, whoever looks" {
	file_registry
	register r greeter 10.0.0.5:8080
	stop r KILL
	is "$status" 137
	nodes_are greeter ""
	# Nobody sees the processes of another pid namespace; there the TTL decides.
	start u unshare -pf --kill-child=KILL "$MBUS" registry -v register --register-ttl 2 greeter 10.0.0.6:8080
	wait_for grep -q "registered .* as " u.err
	stop u KILL
	nodes_are greeter 10.0.0.6:8080
	wait_for -t 5 nodes_are greeter ""
}

@test "deregister: over file by name and id; over mdns 5" {
	file_registry
	register a --node-id g-1 --service-version 1 greeter 10.0.0.5:8080
	register b --node-id g-2 --service-version 1 greeter 10.0.0.6:8080
	run --separate-stderr mbus registry deregister greeter g-1
	status_is 0
	is "$output$stderr" ""
	nodes_are greeter 10.0.0.6:8080
	run --separate-stderr mbus registry deregister greeter g-1
	status_is 5
	has "$stderr" "no node g-1 of service greeter (file)"
	run --separate-stderr mbus registry deregister other g-2
	status_is 5
	run --separate-stderr mbus registry --registry mdns deregister greeter g-2
	status_is 5
	has "$stderr" "registry mdns: a node goes when its own process says so or ends"
}

@test "register -- COMMAND: registered once it accepts, until it ends; its status is ours" {
	file_registry
	server
	start r mbus registry -v register greeter 127.0.0.1:9000 -- python3 server.py 9000 1
	sleep 0.5
	nodes_are greeter ""
	wait_for nodes_are greeter 127.0.0.1:9000
	python3 -c 'import socket; socket.create_connection(("127.0.0.1", 9000))'
	kill -USR1 "${PID[r]}"
	wait_for grep -q usr1 r.out
	nodes_are greeter 127.0.0.1:9000
	stop r TERM
	is "$status" 7
	nodes_are greeter ""
	start r env --default-signal=INT "$MBUS" registry -v register greeter 127.0.0.1:9000 -- \
		python3 server.py 9000 0
	wait_for nodes_are greeter 127.0.0.1:9000
	stop r INT
	is "$status" 8
	nodes_are greeter ""
	run --separate-stderr mbus registry register greeter 127.0.0.1:9000 -- sh -c 'exit 3'
	status_is 3
	run --separate-stderr mbus registry register greeter 127.0.0.1:9000 -- sh -c 'kill -KILL $$'
	status_is 137
	# A service that ends by itself leaves no entry behind.
	start r mbus registry -v register greeter 127.0.0.1:9000 -- timeout -s TERM 3 python3 server.py 9000 0
	wait_for nodes_are greeter 127.0.0.1:9000
	finish r
	nodes_are greeter ""
}

@test "register --healthy: registered while the command succeeds, with a service or without" {
	file_registry
	start r mbus registry -v register --register-interval 200ms --healthy 'test -e well' greeter 10.0.0.5:8080
	sleep 0.5
	nodes_are greeter ""
	touch well
	wait_for nodes_are greeter 10.0.0.5:8080
	rm well
	wait_for nodes_are greeter ""
	has "$(cat r.err)" "--healthy: the command failed: greeter is not registered until it succeeds"
	touch well
	wait_for nodes_are greeter 10.0.0.5:8080
	stop r
	is "$status" 0
	# One that hangs has failed, and is ended with all that it started.
	echo > slow
	start r mbus registry -v register --register-interval 200ms greeter 10.0.0.5:8080 \
		--healthy 'if test -e slow; then sleep 987; fi' -- sleep 986
	wait_for grep -q "takes too long" r.err
	nodes_are greeter ""
	rm slow
	wait_for nodes_are greeter 10.0.0.5:8080
	stop r
	is "$status" 143
	nodes_are greeter ""
	run pgrep -fx 'sleep 98[67]'
	status_is 1
}

endpoints='[{"name":"Greeter.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":[{"name":"msg","type":"string","values":null}]},"metadata":{"stream":"false"}}]'

@test "endpoints: what register is given get shows, and go-micro's own command line" {
	local registry

	echo " $endpoints " > ep.json
	for registry in file mdns; do
		export MICRO_REGISTRY=$registry
		[ $registry = mdns ] || export MICRO_REGISTRY_ADDRESS=$PWD/reg
		register r --node-id g-1 --endpoints ep.json greeter 10.77.0.1:8080
		run --separate-stderr mbus registry get greeter
		is "$output" "greeter  latest  g-1  10.77.0.1:8080
  Greeter.Hello(Request{name string}) Response{msg string}  stream=false"
		run --separate-stderr mbus registry get -J greeter
		has "$output" "\"endpoints\":$endpoints}"
		if [ $registry = mdns ]; then
			run --separate-stderr micro registry get greeter
			has "$output" Greeter.Hello '"type": "Request"' '"stream": "false"'
		fi
		# What it prints it takes.
		mbus registry get -J greeter > line.json
		stop r
		register r --node-id g-1 --endpoints line.json greeter 10.77.0.1:8080
		run --separate-stderr mbus registry get -J greeter
		is "$output" "$(< line.json)"
		stop r
		unset MICRO_REGISTRY_ADDRESS
	done
}

@test "endpoints: of go-micro's services, and what is none is refused" {
	local text

	start_ready email gm-v5 email -ready-fd 8
	run --separate-stderr mbus registry get go.micro.test.email
	status_is 0
	has "$output" "subscriber=true" "topic=user.registered" "(User{id int"
	for text in '' '[1]' '{}' '[{"name":1}]' '[{"request":{"values":[{"name":[]}]}}]' '[{"metadata":{"a":1}}]' '[{}] x' $'[{"name":"\xff"}]'; do
		printf '%s' "$text" > ep.json
		run --separate-stderr mbus registry register --endpoints ep.json greeter 10.77.0.1:1
		status_is 2
		has "$stderr" "--endpoints ep.json: "
	done
	run --separate-stderr mbus registry register --endpoints nothing greeter 10.77.0.1:1
	status_is 6
}

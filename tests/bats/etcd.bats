#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The etcd registry, against a real etcd.

bats_require_minimum_version 1.5.0
load ../lib
load ../servers/etcd
load ../servers/redis
load registries

GO="v1 v2 v5"
SERVER=etcd

server_start() { etcd_start main; }
server_stop() { etcd_stop main "$@"; }
server_port() { echo "$ETCD_PORT"; }

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	redis_certs "$BATS_FILE_TMPDIR/certs"
}

setup() {
	lib_setup
	case $BATS_TEST_DESCRIPTION in *TLS*) ETCD_CERTS=$REDIS_CERTS ;; esac
	unset REDIS_CERTS
	server_start
	export MICRO_REGISTRY=etcd MICRO_REGISTRY_ADDRESS=127.0.0.1:$ETCD_PORT
}

foreign_puts() {
	local n=0 value

	etcd_ctl put /foo bar
	etcd_ctl put /micro/registry/greeter x
	etcd_ctl put /micro/registry/ x
	for value in x '' '{}' '[]' '{"name":1}' '{"name":"greeter"}' '{"name":"greeter","nodes":[]}' '{"name":"other","nodes":[{"id":"a","address":"b"}]}' \
			'{"name":"greeter","nodes":[{"id":"","address":"b"}]}' '{"name":"greeter","nodes":{"id":"a"}}' \
			"$(printf '[%.0s' {1..5000})" $'\xff\xfe'; do
		n=$((n + 1))
		etcd_ctl put "/micro/registry/greeter/x$n" -- "$value"
	done
}

foreign_many() {
	python3 - "$1" "$ETCD_PORT" <<- 'PY'
		import base64, http.client, json, sys
		n, c = int(sys.argv[1]), http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
		b = lambda s: base64.b64encode(s.encode()).decode()
		for first in range(1, n + 1, 100):
		    ops = [{"request_put": {"key": b(f"/micro/registry/svc-{i}/s{i}"), "value": b(json.dumps({"name": f"svc-{i}",
		        "version": "1", "metadata": None, "endpoints": None, "nodes": [{"id": f"s{i}", "address": "10.0.0.1:1",
		        "metadata": {"broker": "http", "registry": "etcd", "server": "mucp"}}]}))}} for i in range(first, min(first + 100, n + 1))]
		    c.request("POST", "/v3/kv/txn", json.dumps({"success": ops}))
		    r = c.getresponse()
		    text = r.read()
		    if r.status != 200: sys.exit(f"{r.status} {text[:300]}")
	PY
}

@test "etcd: registered and found, with all that was said" { both_found; }
@test "etcd: deregister takes a node away" { both_deregister; }
@test "etcd: a heart beats, and a service lives and dies with its program" { both_heart; }
@test "etcd: killed, its entry is gone after the TTL" { both_killed 2s; }
@test "etcd: watch tells of what comes, changes and goes" { both_watch; }
@test "etcd: restarted, what was registered is there" { both_restart; }
@test "etcd: entries by others do no harm" { both_garbage; }
@test "etcd: down or silent is 3 within the time" { both_down; }
@test "etcd: answers that are none" { both_liars; }
@test "etcd: ten thousand services" { both_many 10000; }
@test "etcd: two with one id" { both_same_id; }
@test "etcd: the http broker's subscribers" { both_http; }
@test "etcd: go-micro finds mbus's services, and mbus go-micro's" { both_go; }
@test "etcd: events with go-micro over http" { both_go_http; }
@test "etcd: go-micro calls a service that mbus registered" { both_go_call; }

@test "etcd: key, value and lease are go-micro's" {
	register r --node-id greeter-1 --service-version 1.2 --meta a=b --register-ttl 10s greeter 127.0.0.1:9090
	run etcd_ctl get /micro/registry/greeter/greeter-1
	is "$output" '/micro/registry/greeter/greeter-1
{"name":"greeter","version":"1.2","metadata":null,"endpoints":null,"nodes":[{"id":"greeter-1","address":"127.0.0.1:9090","metadata":{"a":"b"}}]}'
	run etcd_ctl lease list
	matches "${lines[0]}" 'found 1 leases'
	run etcd_ctl lease timetolive --keys "${lines[1]}"
	matches "$output" '.*granted with TTL\(10s\).*attached keys\(\[/micro/registry/greeter/greeter-1\]\)'
	stop r
	run etcd_ctl lease list
	has "$output" "found 0 leases"
	register r -X etcd.prefix=/micro-registry --node-id a/b gre/eter :1
	run etcd_ctl get --prefix --keys-only /micro-registry
	is "${lines[0]}" /micro-registry/gre-eter/a-b
	run --separate-stderr mbus registry -X etcd.prefix=/micro-registry get gre/eter
	status_is 0
	run --separate-stderr mbus registry -X etcd.prefix=micro list
	status_is 2
}

@test "etcd: forgotten revisions: a watch reads anew" {
	local i revision

	watching w
	freeze w
	for i in 1 2 3; do etcd_ctl put /micro/registry/g/x '{"name":"g","nodes":[{"id":"x","address":"h:'$i'"}]}'; done
	server_stop KILL
	server_start
	revision=$(etcd_ctl get /foo -w json | grep -o '"revision":[0-9]*' | cut -d : -f 2)
	etcd_ctl compact "$revision"
	thaw w
	wait_for grep -q '^create  g  -  x  h:' w.out
	etcd_ctl del /micro/registry/g/x
	wait_for grep -q '^delete  g  -  x  h:3' w.out
}

@test "etcd: users" {
	local user

	for user in root:pw mbus:secret ro:ro; do etcd_ctl user add $user; done
	etcd_ctl role add rw
	etcd_ctl role grant-permission rw readwrite --prefix=true /micro/
	etcd_ctl role add ro
	etcd_ctl role grant-permission ro read --prefix=true /micro/
	etcd_ctl user grant-role root root
	etcd_ctl user grant-role mbus rw
	etcd_ctl user grant-role ro ro
	# Before it is switched on a user does no harm.
	run --separate-stderr env MBUS_PASSWORD=secret "$MBUS" registry --username mbus list
	status_is 0
	etcd_ctl auth enable
	run --separate-stderr mbus registry list
	status_is 4
	echo secret > pw
	echo wrong > bad
	chmod 600 pw bad
	register r --username mbus --password-file pw --node-id g-1 --register-interval 300ms greeter 10.0.0.5:1
	run --separate-stderr mbus registry --username mbus --password-file pw get greeter
	status_is 0
	run --separate-stderr mbus registry --username mbus --password-file bad get greeter
	status_is 4
	has "$stderr" "etcd at 127.0.0.1:$ETCD_PORT: 400: etcdserver: authentication failed"
	run --separate-stderr env ETCD_USERNAME=ro ETCD_PASSWORD=ro "$MBUS" registry get greeter
	status_is 0
	run --separate-stderr env ETCD_USERNAME=ro ETCD_PASSWORD=ro "$MBUS" registry register greeter :1
	status_is 4
	has "$stderr" "permission denied"
	start_sub s -B http -X etcd.username=mbus -X etcd.password=@pw orders
	run --separate-stderr mbus pub -B http -X etcd.username=mbus -X etcd.password=@pw orders hello
	status_is 0
	run ! grep -l secret "/proc/${PID[r]}/cmdline" "/proc/${PID[s]}/cmdline"
	# A server that was started anew knows no token.
	start w mbus registry --username mbus --password-file pw watch
	wait_for -t 3 lines_in w.out 0
	server_stop
	server_start
	ETCD_USER=root:pw
	etcd_ctl del /micro/registry/greeter/g-1
	wait_for -t 15 env MBUS_PASSWORD=secret "$MBUS" registry --username mbus get greeter
	wait_for -t 15 grep -q '^create  greeter' w.out
}

@test "etcd: TLS" {
	local at=localhost:$ETCD_PORT

	export MICRO_REGISTRY_ADDRESS=$at
	register r --tls-ca "$ETCD_CERTS/ca.crt" --node-id g-1 greeter 10.0.0.5:1
	run --separate-stderr mbus registry --tls-ca "$ETCD_CERTS/ca.crt" get greeter
	status_is 0
	run --separate-stderr mbus registry --tls-ca "$ETCD_CERTS/foreign.crt" get greeter
	status_is 4
	run --separate-stderr mbus registry --registry-address "https://$at" --tls-insecure get greeter
	status_is 0
	start_sub s -B http -X etcd.tls_ca="$ETCD_CERTS/ca.crt" orders
	run --separate-stderr mbus pub -B http -X etcd.tls_ca="$ETCD_CERTS/ca.crt" orders hello
	status_is 0
	run --separate-stderr mbus registry get greeter
	status_is 3
}

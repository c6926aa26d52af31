#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The consul registry, against a real agent.

bats_require_minimum_version 1.5.0
load ../lib
load ../servers/consul
load ../servers/redis
load registries

GO="v1 v2 v5"
SERVER=consul

server_start() { consul_start main "$@"; }
server_stop() { consul_stop main "$@"; }
server_port() { echo "$CONSUL_PORT"; }

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	redis_certs "$BATS_FILE_TMPDIR/certs"
}

setup() {
	lib_setup
	case $BATS_TEST_DESCRIPTION in *TLS*) CONSUL_CERTS=$REDIS_CERTS ;; esac
	unset REDIS_CERTS
	server_start
	export MICRO_REGISTRY=consul MICRO_REGISTRY_ADDRESS=127.0.0.1:$CONSUL_PORT
}

foreign_puts() {
	local body

	for body in '{"Name":"web","Port":80}' '{"Name":"greeter","ID":"x1","Tags":["a","t-","t-zz","v-789c","e-00"],"Port":81}' \
			'{"Name":"greeter","ID":"x2","Tags":["t={\"k\":1}","v=","e={}","t-789c4b4bd3"],"Address":"h"}' \
			'{"Name":"greeter","ID":"x3","Tags":["v-789c4b04000062006200","t=[]"],"Address":"::1","Port":5}'; do
		consul_api PUT /v1/agent/service/register -d "$body"
	done
	# A tag that inflates to far more than it should.
	python3 -c '
import json, zlib
tag = "t-" + zlib.compress(b"{\"k\":\"" + b"x" * (64 << 20) + b"\"}", 9).hex()
print(json.dumps({"Name": "greeter", "ID": "x4", "Tags": [tag], "Port": 82}))' > bomb.json
	consul_api PUT /v1/agent/service/register -d @bomb.json
}

# In the catalogue, in transactions of 64.
foreign_many() {
	python3 - "$1" "$CONSUL_PORT" <<- 'PY'
		import http.client, json, sys
		n, c = int(sys.argv[1]), http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]))
		node = lambda: {"Node": {"Verb": "set", "Node": {"Node": "many", "Address": "10.0.0.1"}}}
		for first in range(1, n + 1, 60):
		    ops = [node()] + [{"Service": {"Verb": "set", "Node": "many", "Service": {"ID": f"s{i}",
		        "Service": f"svc-{i}", "Port": 1000, "Tags": ["v-789c32d43302040000ffff01240092"]}}}
		        for i in range(first, min(first + 60, n + 1))]
		    c.request("PUT", "/v1/txn", json.dumps(ops))
		    r = c.getresponse()
		    text = r.read()
		    if r.status != 200: sys.exit(f"{r.status} {text[:300]}")
	PY
}

@test "consul: registered and found, with all that was said" { both_found; }
@test "consul: deregister takes a node away" { both_deregister; }
@test "consul: a heart beats, and a service lives and dies with its program" { both_heart; }
@test "consul: killed, its entry is gone after the TTL" { both_killed 1s; }
@test "consul: watch tells of what comes, changes and goes" { both_watch; }
@test "consul: restarted, what was registered comes back" { both_restart; }
@test "consul: entries by others do no harm" { both_garbage; }
@test "consul: down or silent is 3 within the time" { both_down; }
@test "consul: answers that are none" { both_liars; }
@test "consul: ten thousand services" { both_many 10000; }
@test "consul: two with one id" { both_same_id; }
@test "consul: the http broker's subscribers" { both_http; }
@test "consul: go-micro finds mbus's services, and mbus go-micro's" { both_go; }
@test "consul: events with go-micro over http" { both_go_http; }
@test "consul: go-micro calls a service that mbus registered" { both_go_call; }

@test "consul: to the byte as go-micro's plugin registers it" {
	register r --node-id greeter-1 --service-version 1.2 --meta a=b --register-ttl 20s greeter 127.0.0.1:9090
	run consul_api GET /v1/agent/services
	has "$output" '"t-789caa564a54b2524a52aa05040000ffff0c70027e"' '"v-789c32d43302040000ffff01240092"'
	start_sub s -B http go.micro.topic.foo
	run consul_api GET /v1/agent/services
	has "$output" t-789caa564a2acacf4e2d52b252ca28292950aa05040000ffff364d0600 \
		t-789caa562a4e4d2e2d4a55b2524a4bcc294e55aa05040000ffff3c75064d \
		t-789caa562ac92fc84c56b2524acfd7cbcd4c2ecad7030be8a5e5e72bd502020000ffffa3c50ab7 \
		v-789c4a4bd3cb282929d04b2aca4f4c494e2c2e01040000ffff39d7069c
	run consul_api GET /v1/agent/checks
	has "$output" '"Status": "passing"' '"ServiceID": "greeter-1"' '"Type": "ttl"'
}

@test "consul: health is heeded, and shown" {
	consul_api PUT /v1/agent/service/register -d '{"Name":"web","ID":"w1","Address":"10.0.0.1","Port":80,"Check":{"TTL":"60s"}}'
	run --separate-stderr mbus registry get web
	status_is 5
	has "$stderr" "w1 at 10.0.0.1:80: its health is critical (-X consul.health=any shows it)"
	run --separate-stderr mbus registry -X consul.health=any get web
	is "$output" "web  -  w1  10.0.0.1:80  consul.health=critical"
	watching w web
	consul_api PUT /v1/agent/check/warn/service:w1
	wait_for is_found web
	wait_for grep -q '^create  web  -  w1' w.out
	run --separate-stderr mbus registry -X consul.health=passing get web
	status_is 5
	consul_api PUT /v1/agent/check/pass/service:w1
	wait_for mbus registry -X consul.health=passing get web
	consul_api PUT /v1/agent/check/fail/service:w1
	wait_for not_found web
	wait_for grep -q '^delete  web  -  w1' w.out
	run --separate-stderr mbus registry -X consul.health=good get web
	status_is 2
}

@test "consul: tokens" {
	consul_stop main
	CONSUL_TOKEN=11111111-2222-3333-4444-555555555555
	server_start -hcl "acl { enabled = true default_policy = \"deny\" tokens { master = \"$CONSUL_TOKEN\" } }"
	wait_for consul_api GET /v1/acl/tokens -o acl.out
	run --separate-stderr mbus registry register greeter :1
	status_is 4
	has "$stderr" "consul at 127.0.0.1:$CONSUL_PORT: 403: Permission denied"
	echo "$CONSUL_TOKEN" > token
	chmod 600 token
	register r -X consul.token=@token --node-id g-1 greeter 10.0.0.5:1
	run --separate-stderr mbus registry -X consul.token=@token get greeter
	status_is 0
	run --separate-stderr env "CONSUL_HTTP_TOKEN=$CONSUL_TOKEN" "$MBUS" registry get greeter
	status_is 0
	run --separate-stderr mbus registry -X consul.token=secret get greeter
	status_is 2
	has "$stderr" "is a secret"
	run --separate-stderr mbus registry -X consul.token=@nothing get greeter
	status_is 6
	run --separate-stderr mbus registry -X consul.token=@token -X dump
	[[ $output$stderr != *1111* ]]
	echo wrong > token
	run --separate-stderr mbus registry -X consul.token=@token register greeter :1
	status_is 4
	# Beside a broker, too.
	echo "$CONSUL_TOKEN" > token
	start_sub s -B http -X consul.token=@token orders
	run --separate-stderr mbus pub -B http -X consul.token=@token orders hello
	status_is 0
	run ! grep -l 11111111 "/proc/${PID[r]}/cmdline" "/proc/${PID[s]}/cmdline"
}

@test "consul: TLS" {
	local at=localhost:$CONSUL_TLS_PORT

	export MICRO_REGISTRY_ADDRESS=$at
	register r --tls-ca "$CONSUL_CERTS/ca.crt" --node-id g-1 greeter 10.0.0.5:1
	run --separate-stderr mbus registry --tls-ca "$CONSUL_CERTS/ca.crt" get greeter
	status_is 0
	run --separate-stderr mbus registry --tls-ca "$CONSUL_CERTS/foreign.crt" get greeter
	status_is 4
	run --separate-stderr mbus registry --registry-address "https://$at" get greeter
	status_is 4
	run --separate-stderr mbus registry --registry-address "https://$at" --tls-insecure get greeter
	status_is 0
	run --separate-stderr env CONSUL_HTTP_SSL=true CONSUL_CACERT="$CONSUL_CERTS/ca.crt" "$MBUS" registry get greeter
	status_is 0
	start_sub s -B http -X consul.tls_ca="$CONSUL_CERTS/ca.crt" orders
	run --separate-stderr mbus pub -B http -X consul.tls_ca="$CONSUL_CERTS/ca.crt" orders hello
	status_is 0
	run --separate-stderr mbus registry get greeter
	status_is 3
}

@test "consul: addresses, and what cannot be registered" {
	run --separate-stderr mbus registry --registry-address "h:1/x" get greeter
	status_is 2
	run --separate-stderr mbus registry --registry-address "http://me:pw@127.0.0.1:$CONSUL_PORT" get greeter
	status_is 2
	[[ $stderr != *pw* ]]
	run --separate-stderr mbus registry --registry-address "ftp://h" get greeter
	status_is 2
	has "$stderr" "http://, https://"
	run --separate-stderr mbus registry --registry-address "127.0.0.1:1,http://127.0.0.1:$CONSUL_PORT" list
	status_is 0
	is "$output" consul
	run --separate-stderr env -u MICRO_REGISTRY_ADDRESS CONSUL_HTTP_ADDR="127.0.0.1:$CONSUL_PORT" "$MBUS" registry list
	is "$output" consul
	run --separate-stderr mbus registry register --node-id $'\xff' greeter :1
	status_is 2
	run --separate-stderr mbus registry --username me list
	status_is 5
}

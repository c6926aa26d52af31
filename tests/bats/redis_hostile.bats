#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A server that is broken or means it ill: whatever it answers, mbus ends with a
# status of its own and a line that says why, and reads nothing it does not own (a
# sanitizer's report fails the test).

load ../lib

# server NAME: answers as the Python expression in NAME.py's `reply(words, n)` says; n
# counts the commands of a connection. Sets PORT.
server() {
	PORT=$(free_port)
	cat > "$1.server.py" <<-PY
		import socket, sys, threading, random
		$(cat "$1.py")
		def words(f):
		    line = f.readline()
		    if not line: raise EOFError
		    out = []
		    for _ in range(int(line[1:])):
		        n = int(f.readline()[1:])
		        out.append(f.read(n + 2)[:-2])
		    return out
		def serve(c):
		    f, n = c.makefile("rb"), 0
		    try:
		        while True:
		            w = words(f)
		            r = reply(w, n)
		            n += 1
		            if r is None: break
		            c.sendall(r)
		    except (EOFError, OSError): pass
		    c.close()
		s = socket.create_server(("127.0.0.1", $PORT), backlog=100)
		while True:
		    c, _ = s.accept()
		    threading.Thread(target=serve, args=(c,), daemon=True).start()
	PY
	start "$1" python3 "$1.server.py"
	wait_for grep -q ":$(printf %04X "$PORT") 00000000:0000 0A" /proc/net/tcp
	export MICRO_BROKER=redis MICRO_BROKER_ADDRESS=127.0.0.1:$PORT
}

# runs NAME ARG...: mbus, beside others; its status must be one of its own.
runs() {
	local name=$1 status=0

	timeout 20 mbus "${@:2}" --connect-timeout 2 -W 0.3 > "$name.out" 2> "$name.said" || status=$?
	[[ $status =~ ^(0|1|3|4|5|124)$ ]] || echo "$*: $status $(tail -n 3 "$name.said")" >> wrong
}

# survives SERVER: all that mbus does with it ends by itself, or by its time.
survives() {
	local mode pids=()

	server "$1"
	rm -f wrong
	for mode in pubsub sharded stream; do
		runs "$mode-pub" pub -X redis.mode=$mode T x 3>&- & pids+=($!)
		runs "$mode-sub" sub --reconnect 1 -X redis.mode=$mode T 3>&- & pids+=($!)
	done
	runs group sub --reconnect 1 -X redis.mode=stream -g g -X redis.consumer=c -X redis.claim=50ms \
		T U 3>&- & pids+=($!)
	runs wait pub --wait 1 T x 3>&- & pids+=($!)
	runs wait-sharded pub -X redis.mode=sharded --wait 1 T x 3>&- & pids+=($!)
	wait "${pids[@]}"
	[ ! -e wrong ] || fail "$(cat wrong)"
	stop "$1" KILL || true
}

@test "the same answer to everything behind the greeting" {
	local n=0 answer

	while read -r answer; do
		n=$((n + 1))
		echo "answer: $answer"
		printf 'def reply(w, n):\n    return b"+PONG\\r\\n" if n == 0 else %s\n' "$answer" > "a$n.py"
		survives "a$n"
	done <<-'EOT'
		b"*0\r\n"
		b"*-1\r\n"
		b"$-1\r\n"
		b":0\r\n"
		b":-9223372036854775808\r\n"
		b"+OK\r\n"
		b"-\r\n"
		b"-MOVED\r\n"
		b"-MOVED 1\r\n"
		b"-MOVED 99999 127.0.0.1:1\r\n"
		b"-MOVED 5 :\r\n"
		b"-MOVED 5 :1\r\n"
		b"-MOVED 5 127.0.0.1:1\r\n"
		b"-MOVED 5 @@@,::,:1\r\n"
		b"-ASK 5 127.0.0.1:1\r\n"
		b"-ASK 5 \r\n"
		b"-NOGROUP no\r\n"
		b"*3\r\n$7\r\nmessage\r\n$1\r\nT\r\n*0\r\n"
		b"*3\r\n$7\r\nmessage\r\n*1\r\n$1\r\nT\r\n$1\r\nx\r\n"
		b"*3\r\n$7\r\nmessage\r\n$1\r\nT\r\n$-1\r\n"
		b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\nT\r\n:0\r\n"
		b"*3\r\n*0\r\n*0\r\n*0\r\n"
		b"*1\r\n*2\r\n$1\r\nT\r\n*1\r\n*2\r\n*0\r\n*0\r\n"
		b"*1\r\n*2\r\n$1\r\nT\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*3\r\n$1\r\na\r\n*1\r\n:1\r\n$1\r\nb\r\n*1\r\n$3\r\n2-2\r\n"
		b"*2\r\n$3\r\n0-1\r\n*1\r\n*2\r\n$3\r\n1-1\r\n$-1\r\n"
		b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nx\r\n:7\r\n"
		b"*7\r\n*7\r\n*7\r\n*7\r\n*7\r\n*7\r\n*7\r\n*7\r\n"
		b"$536870913\r\n"
		b"GET / HTTP/1.1\r\n\r\n"
		None
		b"+OK\r\n" * 1000
		b":1\r\n:1\r\n"
	EOT
}

@test "a greeting that is none" {
	local n=0 answer

	while read -r answer; do
		n=$((n + 1))
		printf 'def reply(w, n):\n    return %s\n' "$answer" > "g$n.py"
		server "g$n"
		run --separate-stderr timeout 10 mbus pub --connect-timeout 0.5 T x
		status_is 3
		[ "$(wc -l <<< "$stderr")" = 1 ]
		stop "g$n" KILL || true
	done <<-'EOT'
		None
		b":1\r\n"
		b"*0\r\n"
		b"\x00\x00"
		b"x" * 100000
		b"+" * 100000
		b"-LOADING Redis is loading the dataset in memory\r\n"
		b""
	EOT
}

@test "two nodes that send us to each other, and one that names ever others" {
	cat > ring.py <<-'PY'
		import itertools
		hosts = itertools.count(1)
		def reply(w, n):
		    if w[0] == b"PING": return b"+PONG\r\n"
		    return b"-MOVED 5 127.0.%d.%d:%d\r\n" % (next(hosts) % 200, 1, s.getsockname()[1])
	PY
	survives ring
}

@test "any answers, at random" {
	cat > arbitrary.py <<-'PY'
		r = random.Random(4711)
		def value(depth):
		    kind = r.randrange(9)
		    if kind < 2 and depth < 5:
		        n = r.randrange(5)
		        return b"*%d\r\n" % n + b"".join(value(depth + 1) for _ in range(n))
		    if kind == 2: return b":%d\r\n" % r.choice([0, 1, -1, 5, 1 << 62])
		    if kind == 3: return b"$-1\r\n"
		    if kind == 4: return r.choice([b"+OK\r\n", b"+PONG\r\n", b"-ERR x\r\n", b"-NOGROUP x\r\n", b"-BUSYGROUP x\r\n"])
		    w = r.choice([b"T", b"U", b"message", b"pmessage", b"smessage", b"subscribe", b"ssubscribe",
		                  b"1-1", b"2-0", b"0-0", b"body", b"key", b"", b'{"Header":null,"Body":"aGk="}'])
		    return b"$%d\r\n%s\r\n" % (len(w), w)
		def reply(w, n):
		    return b"+PONG\r\n" if n == 0 else value(0)
	PY
	for ((i = 0; i < 4; i++)); do survives arbitrary; done
}

# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The example broker of core/broker.h: no users, no TLS, no Unix sockets, and its server
# keeps nothing for who was never there, or on a disk.
BROKER=toy
LACKS='password nobody acl tls sni ends-tls unix keep'
CARRIES='header null-body binary-topic'
CARRIES_RAW='binary-topic'
KEEPER=(-g one)
ALIVE=(-X toy.keepalive=1s)

serve() {
	start_ready "$1" "$ROOT/tests/example/toyd" "${AT-127.0.0.1}:$2"
}

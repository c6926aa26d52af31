# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# NATS, JetStream: a stream keeps everything, confirms each event, and has groups.
. "${BASH_SOURCE[0]%/*}/nats.bash"
OPTIONS=(-X nats.mode=jetstream)
LACKS='unix'
CUTS_SLOW=
KEEPER=(-g one -X nats.ack_wait=1s)

READER='publish: { allow: ["$JS.API.>", "$JS.ACK.>"] }'
WRITER='publish: { deny: "$JS.>" }, subscribe: { allow: "_INBOX.>" }'

topic() { echo "t${BATS_TEST_NUMBER:-0}x$RANDOM"; }

serve_more() {
	mkdir -p "$1.d"
	echo "jetstream { store_dir: \"$PWD/$1.d\", max_mem: 1G, max_file: 8G }"
}

# A stream of all topics.
served() {
	"$ROOT/tests/tools/nats_ask" "${@:2}" "\$JS.API.STREAM.CREATE.ALL" \
		'{"name":"ALL","subjects":["*","t.>"],"storage":"file","max_msgs":-1,"max_bytes":-1,"num_replicas":1}' > "$1.made"
	grep -qE '"config"|already in use' "$1.made" || fail "no stream: $(cat "$1.made")"
}

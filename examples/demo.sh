#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One event from one process to another, over http and found through mdns: no
# server, no configuration, and nothing that leaves this machine.
set -eu

mbus=${MBUS:-$(dirname "$0")/../mbus}
unset MICRO_BROKER MICRO_BROKER_ADDRESS MICRO_REGISTRY MICRO_REGISTRY_ADDRESS
topic=demo.$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')

scratch=$(mktemp -d)
sub=
finish() {
	if [ "$sub" ]; then kill "$sub" 2> /dev/null || :; fi
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "\$ mbus sub -c 1 $topic &"
mkfifo "$scratch/ready"
"$mbus" sub -c 1 -W 30 -X mdns.interface=lo --ready-fd 3 "$topic" 3> "$scratch/ready" &
sub=$!
# Ends at the subscriber's word, or at its end.
read -r _ < "$scratch/ready" || :

body='{"name":"ann","email":"ann@example.org"}'
echo "\$ mbus pub -H id:1 $topic '$body'"
echo
"$mbus" pub -H id:1 -X mdns.interface=lo "$topic" "$body"
wait "$sub"
sub=

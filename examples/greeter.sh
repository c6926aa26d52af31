#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A service that answers and a client that asks it, as two shell scripts. With
# MICRO_BROKER=nats, mqtt or another they can be on two machines.
#
#	examples/greeter.sh [NAME...]
set -eu

mbus=${MBUS:-$(dirname "$0")/../mbus}
: "${MICRO_BROKER:=memory}" "${MICRO_BROKER_ADDRESS=greeter-$$}"
export MICRO_BROKER MICRO_BROKER_ADDRESS

# The service: what a command prints is the answer.
"$mbus" sub -q --reply -x 'read -r name; printf "Hello %s" "$name"' greeter &
service=$!
trap 'kill $service; wait $service || :' EXIT

for name in "${@:-world}"; do
	"$mbus" pub --wait 1 -W 10 --request greeter "$name"
done

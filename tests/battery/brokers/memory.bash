# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The memory broker: no server, so nothing that a server could do, and one form of an
# event. Each test has a bus of its own, in a /dev/shm of this battery's.
BROKER=memory
LACKS='server raw keep password acl tls ends-tls unix reconnect'
CARRIES='header key null-body null-header repeat-header binary-header binary-topic'
KEEPER=(-g one -X memory.size=8M)	# which lie there while nobody takes them
BURSTS=1			# a publisher is faster than a process wakes up
OPTIONS=(-b "battery-${BATS_TEST_NUMBER:-0}")
if [ "${BATS_TEST_FILENAME-}" ] && [ ! -e /dev/shm/of-the-battery ]; then
	mount -t tmpfs -o size=256m tmpfs /dev/shm && : > /dev/shm/of-the-battery
fi

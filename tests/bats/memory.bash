# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For memory*.bats: a /dev/shm of the file's own.

setup_file() {
	mount -t tmpfs -o size=256m tmpfs /dev/shm
}

# no_bus: none is left.
no_bus() {
	local left

	left=$(ls -A /dev/shm)
	[ -z "$left" ] || fail "left in /dev/shm: $left"
}

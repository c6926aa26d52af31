# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Redis streams: keep everything, have groups, carry everything.
. "${BASH_SOURCE[0]%/*}/redis.bash"
OPTIONS=(-X redis.mode=stream)
CUTS_SLOW=
LACKS=raw			# a stream has one form
CARRIES='header key null-body repeat-header binary-header binary-topic'
KEEPER=(-g one -X redis.claim=200ms)

# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# NATS as all but go-micro use it: bare bodies, and headers of its own.
. "${BASH_SOURCE[0]%/*}/nats.bash"
OPTIONS=(--wire raw)
LACKS+=' raw'			# it is
CARRIES=$CARRIES_RAW

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker: does what is asked for on a queue, two at a time (here it counts bytes). Any number of them, on
# one or many machines, share the queue; what fails three times is put aside.
#
#	examples/worker.sh uploads &
#	mbus pub -H name:cat.jpg uploads < cat.jpg
set -eu

queue=${1:?usage: worker.sh QUEUE}
mbus=${MBUS:-$(dirname "$0")/../mbus}
# The body is on stdin, a header in the environment; status 0 acknowledges.
work='wc -c > "done.$MBUS_HEADER_NAME.part" && mv "done.$MBUS_HEADER_NAME.part" "done.$MBUS_HEADER_NAME"'
exec "$mbus" sub -g workers -j 2 --retry 2 --on-fail "$queue.failed" -x "${WORK:-$work}" "$queue"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A work queue among shell scripts, in shared memory: no server. One script hands out
# jobs, three workers share them; each takes its next job when it is done with the last.
#
#	examples/work-queue.sh [JOBS]
set -eu

mbus=${MBUS:-$(dirname "$0")/../mbus}
export MICRO_BROKER=memory MICRO_BROKER_ADDRESS=work-queue-$$

# worker NAME: a command for each job, which is acknowledged when the command has ended
# well: the job of a worker that dies in the middle of it goes to another. Until there
# has been no job for two seconds.
worker() {
	"$mbus" sub -q -g workers -X memory.take=1 -W 2 jobs \
		-x "read -r job; sleep 0.05; echo job \$job done by $1" || [ $? = 124 ]
}

for name in ann bob cid; do
	worker $name &
done
seq "${1:-12}" | "$mbus" pub --wait 3 -W 10 -l jobs
wait
"$mbus" topics -X memory.remove=unused

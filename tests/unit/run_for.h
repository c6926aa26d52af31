/* SPDX-License-Identifier: Apache-2.0 */
/* Running a loop for a while, for the tests of what lives in one. */
#ifndef MBUS_TESTS_UNIT_RUN_FOR_H
#define MBUS_TESTS_UNIT_RUN_FOR_H

#include "core/loop.h"

static void
stop_at(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
run_for(struct loop *l, unsigned ms)
{
	struct loop_timer t = { .fn = stop_at, .arg = l };

	loop_timer_set(l, &t, ms);
	loop_run(l);
	loop_timer_clear(l, &t);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Which events of an output are written whole, and what is cut behind one that is
 * written in part (cli/ends.h). */
#include "cli/ends.h"
#include "tests/unit/test.h"

static struct ends e;

static void
three(void)
{
	ends_release(&e);
	ends_add(&e, 10, 1);
	ends_add(&e, 20, 4);	/* 2 and 3 printed nothing */
	ends_add(&e, 35, 5);
}

TEST(whole_events)
{
	three();
	ends_written(&e, 0);
	check_int(e.whole, 0);
	ends_written(&e, 9);
	check_int(e.whole, 0);
	ends_written(&e, 10);
	check_int(e.whole, 1);
	ends_written(&e, 34);
	check_int(e.whole, 4);
	ends_written(&e, 35);
	check_int(e.whole, 5);
	check_int(e.n, 0);
	ends_add(&e, 40, 6);
	ends_all(&e);
	check_int(e.whole, 6);
	ends_all(&e);
	check_int(e.whole, 6);
}

TEST(what_is_behind_a_torn_event_is_cut)
{
	uint64_t at;

	three();
	check_int(ends_cut(&e, 13, &at), 1);	/* the second is torn, the third behind */
	check_int(at, 20);
	check_int(e.whole, 1);
	ends_written(&e, 20);
	check_int(e.whole, 4);
	check_int(e.n, 0);
	three();
	check_int(ends_cut(&e, 20, &at), 1);	/* nothing is torn */
	check_int(at, 20);
	check_int(e.whole, 4);
	three();
	check_int(ends_cut(&e, 0, &at), 3);
	check_int(at, 0);
	check_int(e.whole, 0);
	three();
	check_int(ends_cut(&e, 1, &at), 2);
	check_int(at, 10);
	three();
	check_int(ends_cut(&e, 35, &at), 0);
	check_int(at, 35);
	/* After all of it was written once. */
	three();
	ends_written(&e, 35);
	ends_add(&e, 50, 6);
	ends_add(&e, 60, 7);
	check_int(ends_cut(&e, 35, &at), 2);
	ends_add(&e, 50, 6);
	ends_add(&e, 60, 7);
	check_int(ends_cut(&e, 36, &at), 1);
	check_int(at, 50);
}

TEST(room_is_used_again)
{
	ends_release(&e);
	for (uint64_t i = 1; i <= 100000; i++) {
		ends_add(&e, i * 10, i);
		if (i > 100)
			ends_written(&e, (i - 100) * 10 + 5);
	}
	check_int(e.whole, 100000 - 100);
	check(e.cap <= 1024);
	ends_written(&e, 1000000);
	check_int(e.whole, 100000);
	ends_release(&e);
}

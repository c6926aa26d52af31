/* SPDX-License-Identifier: Apache-2.0 */
/* backends/kafka/kafka_marks: which offsets are done when which events are. Linked
 * here, for the tests are not linked to the module. */
#include "backends/kafka/kafka_marks.c"	/* NOLINT */

#include "tests/unit/test.h"

TEST(in_order)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT, b = KAFKA_MARK_INIT;

	kafka_marks_add(&m, 1, &a, 100);
	kafka_marks_add(&m, 2, &b, 7);
	kafka_marks_add(&m, 3, &a, 101);
	check_int(a.out, 2);
	check_int(a.done, -1);
	kafka_marks_settle(&m, 1, 2, true);
	check_int(a.done, 101);
	check_int(b.done, 8);
	check_int(a.out, 1);
	kafka_marks_settle(&m, 3, 3, true);
	check_int(a.done, 102);
	check_int(a.out, 0);
	check_int(m.first, m.next);
	kafka_marks_release(&m);
}

/* What is done never passes over an event that is not. */
TEST(gaps_hold)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT;

	for (uint64_t i = 1; i <= 10; i++)
		kafka_marks_add(&m, i, &a, (int64_t)i * 10);
	kafka_marks_settle(&m, 5, 10, true);
	check_int(a.done, -1);
	kafka_marks_settle(&m, 2, 4, true);
	check_int(a.done, -1);
	kafka_marks_settle(&m, 1, 1, true);
	check_int(a.done, 101);
	kafka_marks_release(&m);
}

/* One that failed stops its partition for good, and no other. */
TEST(failed)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT, b = KAFKA_MARK_INIT;

	kafka_marks_add(&m, 1, &a, 0);
	kafka_marks_add(&m, 2, &a, 1);
	kafka_marks_add(&m, 3, &b, 0);
	kafka_marks_add(&m, 4, &a, 2);
	kafka_marks_settle(&m, 2, 2, false);
	kafka_marks_settle(&m, 1, 4, true);
	check_int(a.done, 1);
	check(a.stuck);
	check_int(b.done, 1);
	kafka_marks_release(&m);
}

/* Numbers of other subscriptions lie between, and some are asked for that are gone. */
TEST(holes_and_strangers)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT;

	kafka_marks_add(&m, 5, &a, 1);
	kafka_marks_add(&m, 5000, &a, 2);
	kafka_marks_settle(&m, 1, 4, true);
	check_int(a.done, -1);
	kafka_marks_settle(&m, 1, 4999, true);
	check_int(a.done, 2);
	kafka_marks_settle(&m, 5000, UINT64_MAX, true);
	check_int(a.done, 3);
	kafka_marks_settle(&m, 1, UINT64_MAX, true);
	check_int(a.done, 3);
	kafka_marks_release(&m);
}

/* A partition that went: its events lead nowhere, and hold up nobody. */
TEST(forgotten)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT, b = KAFKA_MARK_INIT;

	kafka_marks_add(&m, 1, &a, 1);
	kafka_marks_add(&m, 2, &b, 1);
	kafka_marks_settle(&m, 2, 2, true);
	check_int(b.done, -1);
	kafka_marks_forget(&m, &a);
	check_int(b.done, 2);
	kafka_marks_settle(&m, 1, 1, true);
	check_int(a.done, -1);
	kafka_marks_release(&m);
}

/* A window that slides over the ring's end, and grows while it does. */
TEST(slides)
{
	struct kafka_marks m = { 0 };
	struct kafka_mark a = KAFKA_MARK_INIT;
	uint64_t acked = 0;

	for (uint64_t i = 1; i <= 100000; i++) {
		kafka_marks_add(&m, i, &a, (int64_t)i);
		if (i % 3000 == 0) {
			kafka_marks_settle(&m, acked + 1, i - 700, true);
			acked = i - 700;
			check_int(a.done, (int64_t)acked + 1);
			check_int(a.out, 700);
		}
	}
	check(m.cap <= 8192);
	kafka_marks_release(&m);
}

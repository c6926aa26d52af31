/* SPDX-License-Identifier: Apache-2.0 */
/* core/flight: a ring in order, by sequence number, that grows when it is full. */
#include "core/flight.h"
#include "tests/unit/test.h"

TEST(in_order)
{
	struct flight f = { 0 };

	check_int(flight_count(&f), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		struct flight_entry *e = flight_push(&f);

		check_int(f.next - 1, i);
		check(e->id == 0 && e->size == 0 && !e->copy && e->state == 0);
		e->id = i * 3;
		e->state = 7;
	}
	check_int(flight_count(&f), 1000);
	check_int(f.cap, 1024);
	for (uint64_t i = 0; i < 1000; i++) {
		check_int(flight_front(&f)->id, i * 3);
		check_int(flight_at(&f, i)->id, i * 3);
		flight_pop(&f);
	}
	check_int(flight_count(&f), 0);
	flight_release(&f);
	check(!f.ring && !f.cap && flight_count(&f) == 0);
}

/* A window that slides for ever allocates no more, and what is in it stays where its
 * number says, wherever in the ring it began when that grew. */
TEST(slides_and_grows)
{
	for (size_t window = 1; window < 300; window += 37) {
		struct flight f = { 0 };
		struct flight_entry *ring;

		for (size_t i = 0; i < window; i++)
			flight_push(&f)->id = i;
		ring = f.ring;
		for (uint64_t i = window; i < window + 5000; i++) {
			check_int(flight_front(&f)->id, i - window);
			flight_pop(&f);
			flight_push(&f)->id = i;
		}
		check(f.ring == ring);
		for (uint64_t i = window + 5000; i < window + 6000; i++)
			flight_push(&f)->id = i;
		for (uint64_t seq = f.first; seq != f.next; seq++)
			check_int(flight_at(&f, seq)->id, seq);
		check_int(flight_count(&f), window + 1000);
		flight_release(&f);
	}
}

/* A popped place is new when it is used again. */
TEST(zeroed)
{
	struct flight f = { 0 };

	for (int i = 0; i < 200; i++) {
		struct flight_entry *e = flight_push(&f);

		check(!e->id && !e->size && !e->until_ns && !e->end && !e->copy &&
			!e->copy_size && !e->state);
		memset(e, 0xff, sizeof *e);
		flight_pop(&f);
	}
	check_int(f.cap, 64);
	flight_release(&f);
}

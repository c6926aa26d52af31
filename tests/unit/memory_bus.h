/* SPDX-License-Identifier: Apache-2.0 */
/* A bus of a test's own, and processes on it. */
#ifndef MBUS_TESTS_UNIT_MEMORY_BUS_H
#define MBUS_TESTS_UNIT_MEMORY_BUS_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"
#include "tests/unit/test.h"

static inline struct memory_place
test_place(const char *name)
{
	struct memory_place p = { .folder = "/dev/shm", .uid = (uint32_t)geteuid(), .mode = 0600,
		.ring_bytes = MEMORY_RING_MIN, .wait_ms = 20000 };

	snprintf(p.name, sizeof p.name, "unit-%s-%d", name, (int)getpid());
	return p;
}

/* However long a busy machine takes. */
static inline bool
lock_surely(struct memory_bus *m)
{
	for (int i = 0; i < 1000; i++)
		if (memory_lock(m))
			return true;
	return false;
}

static inline bool
subscribe_for(struct memory_bus *m, const char *filter, const char *group,
	enum memory_drop drop, uint64_t keep_ms, uint32_t *sub, struct memory_cursor *c)
{
	struct memory_wish w = { .filter = bytes_str(filter), .group = bytes_str(group),
		.drop = drop, .keep_ms = keep_ms };
	struct memory_sub *s;
	struct error err;
	bool ok;

	if (!lock_surely(m))
		return false;
	ok = memory_subscribe(m, &w, sub, &err) == 0;
	s = ok ? memory_sub_at(m, *sub) : NULL;
	if (s)
		*c = (struct memory_cursor){ .ring = s->ring, .position = s->cursor,
			.until = UINT64_MAX, .drop = drop, .events = s->start_events };
	memory_unlock(m);
	return ok;
}

static inline bool
subscribe_to(struct memory_bus *m, const char *filter, const char *group,
	enum memory_drop drop, uint32_t *sub, struct memory_cursor *c)
{
	return subscribe_for(m, filter, group, drop, 0, sub, c);
}

/* A batch under way. */
struct test_batch {
	struct buf bytes;
	struct memory_item items[64];
	size_t n;
};

static inline void
batch_add(struct test_batch *b, const char *topic, struct bytes body)
{
	struct message msg = { .body = body };
	struct error err;
	size_t at = buf_len(&b->bytes);

	if (memory_encode(&b->bytes, bytes_str(topic), &msg, NULL, 1, &err) < 0)
		abort();
	b->items[b->n++] = (struct memory_item){ .at = at, .whole_at = at,
		.size = (uint32_t)(buf_len(&b->bytes) - at) };
}

/* The last one becomes a file and a stub that names it. */
static inline bool
batch_stub(struct memory_bus *m, struct test_batch *b)
{
	struct {
		struct memory_record r;
		struct memory_stub stub;
	} s = { .r = { .size = sizeof s, .flags = RECORD_BODY } };
	struct memory_item *it = &b->items[b->n - 1];

	if (memory_body_make(m, buf_data(&b->bytes) + it->at, it->size, &s.stub) < 0)
		return false;
	it->at = buf_len(&b->bytes);
	it->size = sizeof s;
	it->stub = true;
	buf_add(&b->bytes, &s, sizeof s);
	return true;
}

static inline void
batch_clear(struct test_batch *b)
{
	buf_clear(&b->bytes);
	b->n = 0;
}

/* What is done with events up to here. */
static inline void
done_to(struct memory_bus *m, uint32_t sub, uint64_t position, uint64_t events)
{
	struct memory_sub *s = memory_sub_at(m, sub);

	STORE(s->events, s->events + events);
	STORE(s->cursor, position);
}

#endif

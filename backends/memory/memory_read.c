/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a ring: a stretch of it is copied, then taken apart. The copy costs a few
 * nanoseconds an event, and buys two things: what is parsed cannot be changed by
 * anybody meanwhile, and a reader that lets itself be overtaken (DROP_OLD) sees behind
 * the copy whether it was.
 */
#include <stdlib.h>
#include <string.h>

#include "backends/memory/memory_bus.h"

/* Was what lies at `position` overwritten, or may it be just now? */
static bool
overtaken(const struct memory_ring *r, uint64_t position, uint64_t size)
{
	uint64_t writing = LOAD(r->writing);

	return writing > position && writing - position > size;
}

/* On to the oldest record that the writer is not near to. */
static void
jump(struct memory_ring *r, struct memory_cursor *c, uint64_t size)
{
	uint64_t head, events = memory_ring_events(r, &head), best = head;
	uint64_t writing = LOAD(r->writing);

	for (int i = 0; i < 16; i++) {
		uint64_t at = LOAD(r->mark[i]), n = LOAD(r->mark_events[i]);

		if (at > c->position && at < best && writing - at <= size - size / 4) {
			best = at;
			events = n;
		}
	}
	if (events > c->events)
		c->lost += events - c->events;
	c->position = best;
	c->events = events;
}

int
memory_fill(struct memory_bus *m, struct memory_cursor *c, struct memory_chunk *k,
	struct error *err)
{
	struct memory_ring *r = memory_ring_at(m, c->ring);
	uint64_t head, size, off, n;
	const char *data;

	k->n = k->at = 0;
	if (!r)
		return memory_damaged(m, err, "a ring has gone");
	head = LOAD(r->head);
	if (head > c->until)
		head = c->until;
	if (head == c->position)
		return 0;
	size = memory_ring_size(m, r);
	data = memory_ring_data(m, c->ring, err);
	if (!data)
		return -1;
	if (!size || c->position % 8 || head < c->position ||
	    (c->drop != DROP_OLD && head - c->position > size))
		return memory_damaged(m, err, "a ring's head is not where it can be");
	if (c->drop == DROP_OLD && overtaken(r, c->position, size)) {
		jump(r, c, size);
		return memory_fill(m, c, k, err);
	}
	off = c->position % size;
	n = head - c->position;
	if (n > size - off)
		n = size - off;
	if (n > MEMORY_CHUNK) {
		uint32_t first;

		/* A record larger than a chunk comes alone. */
		memcpy(&first, data + off, sizeof first);
		n = first > MEMORY_CHUNK && first <= n ? first : MEMORY_CHUNK;
	}
	if (k->cap < n) {
		free(k->p);
		k->cap = n > MEMORY_CHUNK ? m->ring_bytes : MEMORY_CHUNK;
		k->p = xmalloc(k->cap);
	}
	memcpy(k->p, data + off, n);
	k->position = c->position;
	k->n = n;
	if (c->drop == DROP_OLD) {
		FENCE();
		if (overtaken(r, c->position, size)) {
			k->n = 0;
			jump(r, c, size);
			return memory_fill(m, c, k, err);
		}
	}
	return 1;
}

int
memory_next(struct memory_bus *m, struct memory_chunk *k, struct bytes *record,
	struct error *err)
{
	while (k->at < k->n) {
		struct memory_record h = { 0 };
		size_t left = k->n - k->at;

		memcpy(&h, k->p + k->at, left < sizeof h ? 8 : sizeof h);
		if (h.size < 8 || h.size % 8)
			return memory_damaged(m, err, "a record has no size that can be");
		if (h.flags & RECORD_PAD) {
			/* To the ring's end, which may be behind the chunk. */
			k->at += h.size;
			k->position += h.size;
			continue;
		}
		if (h.size < sizeof h)
			return memory_damaged(m, err, "a record has no size that can be");
		if (h.size > left) {
			if (k->at == 0)
				return memory_damaged(m, err, "a record is longer than its ring");
			k->n = k->at;	/* the rest is for the next chunk */
			return 0;
		}
		*record = bytes_of(k->p + k->at, h.size);
		k->at += h.size;
		k->position += h.size;
		return 1;
	}
	return 0;
}

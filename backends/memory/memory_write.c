/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing a batch: sleepers are rung, the records are written behind the heads of
 * their rings, then each head is stored once. The lock is held for that alone.
 */
#include <errno.h>
#include <string.h>

#include "backends/memory/memory_bus.h"

enum { BACK_STEP = 256 * 1024 };	/* pages of a ring are asked for in such steps */

/* A ring that a run of records goes to, and where it gets to. */
struct goal {
	struct memory_ring *r;
	char *data;
	uint32_t index;
	uint64_t size, floor, head, events;
	uint64_t off, end;		/* where the head is in the data; the head to be, or
					 * more */
	bool lossy;			/* who is late loses: it holds nobody up */
};

static uint64_t
events_now(const struct memory_ring *r, uint64_t head)
{
	return r->count[r->count[0].head == head ? 0 : 1].events;
}

/* ---- sleepers ---- */

/* All readers of the rings that sleep. Without the lock a first time, so that under it
 * there is seldom anybody left, and no system call. */
static void
ring_sleepers(struct memory_bus *m, const struct memory_targets *t)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct memory_ring *r = memory_ring_at(m, t->ring[i]);
		uint32_t n = r ? LOAD(r->nreaders) : 0;

		for (uint32_t k = 0; k < n && k < MEMORY_READERS; k++) {
			uint32_t reader = r->readers[k];
			struct memory_sub *s = reader < MEMORY_SUBS ?
				memory_sub_at(m, reader) : NULL;

			if (s && LOAD(s->state) == STATE_USED)
				memory_ring_bell(m, LOAD(s->slot));
		}
	}
}

/* ---- room ---- */

/* How many bytes of padding a record of n bytes at `off` needs: none lies over the
 * ring's end. (Offsets are carried along; a division for each event would be a good
 * part of its cost.) */
static inline uint64_t
pad_at(uint64_t off, uint64_t size, uint32_t n)
{
	return off + n > size ? size - off : 0;
}

/* The offset behind them. */
static inline uint64_t
behind(uint64_t off, uint64_t size, uint64_t n)
{
	off += n;
	return off < size ? off : off - size;
}

/* There are pages up to `to` of the ring's bytes; where there is no space left, the
 * ring is as large as it has become: in its first lap nothing lies behind. */
static bool
back(struct memory_bus *m, struct goal *g, uint64_t to)
{
	struct memory_ring *r = g->r;
	uint64_t want = (to + BACK_STEP - 1) / BACK_STEP * BACK_STEP;
	uint64_t at = MEMORY_DATA_AT + (uint64_t)g->index * m->ring_bytes;

	if (to <= r->backed)
		return true;
	if (want > g->size)
		want = g->size;
	if (r->backed < MEMORY_RING_MIN || want <= r->backed)
		return false;
	if (memory_back(m, at + r->backed, want - r->backed) == 0) {
		STORE(r->backed, want);
		return true;
	}
	if (g->head > r->backed || r->backed % MEMORY_PAGE)
		return false;
	STORE(r->size, r->backed);
	g->size = r->backed;
	g->off = g->head % g->size;
	return false;
}

/* The bytes of the batch from the first record to the last one's end: at least those
 * of the records themselves. */
static uint64_t
span_of(const struct memory_item *items, size_t n)
{
	return items[n - 1].at + items[n - 1].size - items[0].at;
}

/* How many of the records fit into the ring now. */
static size_t
fits(struct memory_bus *m, struct goal *g, const struct memory_item *items, size_t n,
	uint32_t *slowest)
{
	uint64_t head = g->head, off = g->off, span = span_of(items, n);
	size_t i;

	/* Mostly all of them do, without a look at each. */
	if (span <= g->size / 2 && off + span <= g->size && off + span <= g->r->backed &&
	    head + span - g->floor <= g->size) {
		g->end = head + span;
		return n;
	}
	for (i = 0; i < n; i++) {
		uint64_t pad = pad_at(off, g->size, items[i].size), at = pad ? 0 : off;
		uint64_t end = head + pad + items[i].size;

		if (items[i].size > g->size / 2)
			break;
		if (end - g->floor > g->size) {
			g->floor = memory_floor(m, g->r, slowest);
			STORE(g->r->floor, g->floor);
			if (end - g->floor > g->size)
				break;
		}
		if (at + items[i].size > g->r->backed) {
			uint64_t size = g->size;

			if (!back(m, g, at + items[i].size)) {
				if (g->size == size)
					break;
				off = head % g->size;
				i--;		/* it is smaller now: once more */
				continue;
			}
		}
		head = end;
		off = behind(at, g->size, items[i].size);
	}
	g->end = head;
	return i;
}

/* ---- writing ---- */

static void
note_marks(struct memory_ring *r, uint64_t size, uint64_t at, uint64_t events)
{
	uint64_t k = at % size / (size / 16 + 1);

	if (r->mark[k] / size != at / size || !r->mark[k]) {
		STORE(r->mark_events[k], events);
		STORE(r->mark[k], at);
	}
}

/* Records that lie one behind the other in the batch, and in the ring. */
static void
copy(struct goal *g, const char *bytes, const struct memory_item *items, size_t n)
{
	size_t i = 0;

	while (i < n) {
		uint64_t padding = pad_at(g->off, g->size, items[i].size);
		uint64_t at = g->head + padding, off = padding ? 0 : g->off;
		size_t from = items[i].at, len = 0, first = i;

		if (padding) {
			struct memory_record pad = { .size = (uint32_t)padding,
				.flags = RECORD_PAD };

			memcpy(g->data + g->off, &pad, 8);
		}
		while (i < n && items[i].at == from + len && off + len + items[i].size <= g->size)
			len += items[i++].size;
		if (g->r->olds)
			for (size_t k = first, o = 0; k < i; o += items[k++].size)
				note_marks(g->r, g->size, at + o, g->events + (k - first));
		memcpy(g->data + off, bytes + from, len);
		g->head = at + len;
		g->off = behind(off, g->size, len);
		g->events += i - first;
	}
}

/* Behind the head: nobody looks there. `writing` says so to who is overtaken; it may
 * say more than is written. */
static void
write_ring(struct goal *g, const char *bytes, const struct memory_item *items, size_t n)
{
	memory_step("writing");
	STORE(g->r->writing, g->end);
	FENCE();
	copy(g, bytes, items, n);
	memory_step("written");
}

static void
publish_ring(struct goal *g)
{
	struct memory_ring *r = g->r;
	int other = r->count[0].head == r->head ? 1 : 0;

	STORE(r->count[other].events, g->events);
	STORE(r->count[other].head, g->head);
	memory_step("counted");
	__atomic_store_n(&r->head, g->head, __ATOMIC_SEQ_CST);
	memory_step("published");
}

/* There are as many entries for bodies as this needs, and no ring has more bytes in
 * them than MEMORY_BODIES_MAX, unless it is one. */
static bool
room_for_bodies(struct memory_bus *m, const struct memory_targets *t,
	const struct memory_item *items, size_t n)
{
	size_t need = 0, empty = 0;
	uint64_t most = 0;

	for (size_t i = 0; i < n; i++)
		need += items[i].stub ? t->n : 0;
	if (!need)
		return true;
	for (uint32_t i = 0; i < t->n; i++)
		memory_reclaim(m, t->ring[i]);
	for (uint32_t i = 0; i < t->n; i++) {
		uint64_t bytes = 0;

		for (uint32_t k = 0; k < MEMORY_BODIES; k++)
			if (LOAD(m->bodies[k].state) == STATE_USED &&
			    m->bodies[k].ring == t->ring[i])
				bytes += m->bodies[k].size;
		most = bytes > most ? bytes : most;
	}
	for (uint32_t k = 0; k < MEMORY_BODIES; k++)
		empty += LOAD(m->bodies[k].state) != STATE_USED;
	return empty >= need && most < MEMORY_BODIES_MAX;
}

/* A body's file gets an entry for each ring whose record names it. */
static void
own_bodies(struct memory_bus *m, struct goal *g, const char *bytes,
	const struct memory_item *items, size_t n)
{
	uint64_t head = g->head, off = g->off;

	for (size_t i = 0; i < n; i++) {
		struct memory_stub stub;
		struct memory_body *b = m->bodies;
		uint64_t pad = pad_at(off, g->size, items[i].size);

		head += pad + items[i].size;
		off = behind(pad ? 0 : off, g->size, items[i].size);
		if (!items[i].stub)
			continue;
		while (b < m->bodies + MEMORY_BODIES && LOAD(b->state) == STATE_USED)
			b++;
		if (b == m->bodies + MEMORY_BODIES)
			return;
		memcpy(&stub, bytes + items[i].at + sizeof(struct memory_record), sizeof stub);
		b->ring = g->index;
		b->end = head;
		b->slot = stub.slot;
		b->generation = stub.generation;
		b->number = stub.number;
		b->size = stub.size;
		memory_step("filled a body");
		STORE(b->state, STATE_USED);
		memory_step("owned a body");
	}
}

static enum memory_wrote
goals_of(struct memory_bus *m, const struct memory_targets *t, struct goal *goals)
{
	struct error err;

	for (uint32_t i = 0; i < t->n; i++) {
		struct goal *g = &goals[i];
		uint32_t sub;

		g->index = t->ring[i];
		g->r = memory_ring_at(m, g->index);
		g->data = g->r ? memory_ring_data(m, g->index, &err) : NULL;
		g->size = g->r ? memory_ring_size(m, g->r) : 0;
		if (!g->data || !g->size)
			return WROTE_DAMAGED;
		g->head = g->end = LOAD(g->r->head);
		g->off = g->head % g->size;
		g->floor = LOAD(g->r->floor);
		g->events = events_now(g->r, g->head);
		sub = LOAD(g->r->private_sub);
		g->lossy = sub != 0;
		if (g->head % 8 || g->floor > g->head || g->head - g->floor > g->size)
			g->floor = g->head > g->size ? g->head - g->size : 0;
		if (g->head % 8)
			return WROTE_DAMAGED;
	}
	return WROTE_ALL;
}

static void
count_dropped(struct memory_bus *m, const struct goal *g, size_t n)
{
	struct memory_sub *s = memory_sub_at(m, g->r->private_sub - 1);

	if (s && n)
		STORE(s->dropped, s->dropped + n);
}

/* One run: the same rings for all of it. *done: how many of it. */
static enum memory_wrote
write_run(struct memory_bus *m, const struct memory_targets *t, struct goal *goals,
	const char *bytes, const struct memory_item *items, size_t n, size_t *done,
	uint32_t *slowest)
{
	enum memory_wrote w = goals_of(m, t, goals);
	size_t all = n;

	*done = 0;
	if (w != WROTE_ALL)
		return w;
	for (uint32_t i = 0; i < t->n; i++)
		if (!goals[i].lossy) {
			size_t k = fits(m, &goals[i], items, n, slowest);

			if (k < n && items[k].size > goals[i].size / 2)
				w = WROTE_NO_SPACE;
			n = k;
		}
	if (!n)
		return w == WROTE_ALL ? WROTE_FULL : w;
	if (!room_for_bodies(m, t, items, n))
		return WROTE_FULL;
	for (uint32_t i = 0; i < t->n; i++) {
		struct goal *g = &goals[i];
		size_t k = g->lossy ? fits(m, g, items, n, slowest) : n;

		own_bodies(m, g, bytes, items, k);
		write_ring(g, bytes, items, k);
		if (k < n)
			count_dropped(m, g, n - k);
	}
	if (m->slots[m->slot].body)
		STORE(m->slots[m->slot].body, 0);
	for (uint32_t i = 0; i < t->n; i++)
		publish_ring(&goals[i]);
	*done = n;
	return n == all ? WROTE_ALL : w == WROTE_ALL ? WROTE_FULL : w;
}

static struct bytes
topic_of(const char *bytes, const struct memory_item *item)
{
	struct memory_record h;

	memcpy(&h, bytes + item->whole_at, sizeof h);
	return bytes_of(bytes + item->whole_at + sizeof h, h.topic_n);
}

/* How many from the front have the topic of the first. */
static size_t
run_of(const char *bytes, const struct memory_item *items, size_t n)
{
	struct bytes first = topic_of(bytes, items);
	size_t i = 1;

	while (i < n && (items[i].same || bytes_eq(topic_of(bytes, &items[i]), first)))
		i++;
	return i;
}

enum memory_wrote
memory_write(struct memory_bus *m, struct memory_router *router, const char *bytes,
	const struct memory_item *items, size_t n, size_t *done, size_t *unheard,
	uint32_t *slowest)
{
	enum memory_wrote w = WROTE_ALL;
	bool locked = false;

	/* 80 KiB: of the thread's own storage every start of mbus would pay for them. */
	if (!router->goals)
		router->goals = xcalloc(MEMORY_RINGS, sizeof *router->goals);
	*done = *unheard = 0;
	*slowest = UINT32_MAX;
	while (*done < n && w == WROTE_ALL) {
		size_t run = run_of(bytes, items + *done, n - *done), k = run;
		struct bytes topic = topic_of(bytes, items + *done);
		struct memory_targets *t = memory_route(m, router, topic);

		if (t->n && !locked) {
			ring_sleepers(m, t);
			locked = memory_lock(m);
			if (!locked)
				return WROTE_BUSY;
			if (m->suspects)
				memory_reap(m);
			t = memory_route(m, router, topic);
		}
		if (t->n) {
			ring_sleepers(m, t);
			w = write_run(m, t, router->goals, bytes, items + *done, run, &k, slowest);
		} else {
			*unheard += run;
		}
		*done += k;
	}
	if (locked)
		memory_unlock(m);
	return w;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: see memory.h. An event that was taken lies encoded in the batch until it
 * is in all its rings (confirmed) or its time is over (refused: it is known not to be
 * in any).
 */
#include "backends/memory/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BATCH_BYTES = 64 * 1024,	/* written at once, and not at the turn's end */
	BATCH_EVENTS = 1024,
	BATCH_KEEP = 8 * 1024 * 1024	/* a larger buffer is given back when it is empty: a
					 * window (4 MiB, mostly) needs no page faults */
};

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- outcomes ---- */

/* May be called from within by the user, who publishes: by index, not by pointer. */
static void
settle(struct memory_broker *mb, size_t n, enum fate fate, const struct error *err)
{
	while (n--) {
		struct memory_waiting w = mb->waiting[mb->first++];

		broker_outcome(&mb->b, w.id, w.size, fate, err);
	}
}

static void
empty(struct memory_broker *mb)
{
	mb->n = mb->first = 0;
	mb->time_us = 0;
	if (mb->bytes.cap > BATCH_KEEP)
		buf_release(&mb->bytes);
	buf_clear(&mb->bytes);
}

/* Who is faster than the subscribers never sees an empty batch: what is settled goes
 * away before it is more than what is not. */
static void
shrink(struct memory_broker *mb)
{
	size_t base = mb->items[mb->first].whole_at, left = mb->n - mb->first;

	if (mb->first < left)
		return;
	buf_consume(&mb->bytes, base);
	memmove(mb->items, mb->items + mb->first, left * sizeof *mb->items);
	memmove(mb->waiting, mb->waiting + mb->first, left * sizeof *mb->waiting);
	mb->first = 0;
	mb->n = left;
	for (size_t i = 0; i < left; i++) {
		mb->items[i].at -= base;
		mb->items[i].whole_at -= base;
	}
}

/* ---- large events ---- */

/* A quarter of the smallest that a ring can have become. */
static bool
is_large(const struct memory_broker *mb, const struct memory_item *it)
{
	return it->size > mb->bus->ring_bytes / 8;
}

/* Its bytes go to a file, and a record that names it into the batch. */
static int
make_stub(struct memory_broker *mb, struct memory_item *it)
{
	struct {
		struct memory_record r;
		struct memory_stub stub;
	} s = { .r = { .size = sizeof s, .flags = RECORD_BODY } };

	_Static_assert(sizeof s % 8 == 0, "records are multiples of 8");
	if (memory_body_make(mb->bus, buf_data(&mb->bytes) + it->at, it->size, &s.stub) < 0)
		return -1;
	it->at = buf_len(&mb->bytes);
	it->size = sizeof s;
	it->stub = true;
	buf_add(&mb->bytes, &s, sizeof s);
	return 0;
}

/* ---- waiting ---- */

static void
say_full(struct memory_broker *mb, uint32_t slowest)
{
	struct memory_sub *s = slowest < MEMORY_SUBS ? memory_sub_at(mb->bus, slowest) : NULL;
	struct memory_group *g = slowest < MEMORY_SUBS ? NULL :
		memory_group_at(mb->bus, slowest - MEMORY_SUBS);
	uint32_t ring = s ? LOAD(s->ring) : g ? LOAD(g->ring) : MEMORY_RINGS;
	struct memory_ring *r = memory_ring_at(mb->bus, ring);
	struct buf who = BUF_INIT;
	uint32_t i;

	mb->full_ring = r ? ring : MEMORY_RINGS;
	if (r) {
		STORE(r->want, 1);
		FENCE();
		mb->full_floor = memory_floor(mb->bus, r, &i);
	}
	memory_describe(mb->bus, slowest, &who);
	error_set(&mb->why, ERR_REFUSED, "no room: a subscriber does not keep up, %s",
		buf_cstr(&who));
	buf_release(&who);
}

static void
say_busy(struct memory_broker *mb)
{
	uint32_t owner = memory_lock_owner(mb->bus);

	mb->full_ring = MEMORY_RINGS;
	error_set(&mb->why, ERR_REFUSED, "the bus %s is locked by pid %d, which stands still",
		mb->place.name, owner < MEMORY_SLOTS ? (int)mb->bus->slots[owner].pid : 0);
}

static void
say_no_space(struct memory_broker *mb)
{
	mb->full_ring = MEMORY_RINGS;
	errno = ENOSPC;
	error_sys(&mb->why, ERR_REFUSED, "the bus %s in %s", mb->place.name, mb->place.folder);
}

bool
memory_has_room(struct memory_broker *mb)
{
	struct memory_ring *r;
	uint32_t who;

	if (!mb->full || mb->full_ring >= MEMORY_RINGS)
		return false;
	r = memory_ring_at(mb->bus, mb->full_ring);
	return !r || memory_floor(mb->bus, r, &who) != mb->full_floor;
}

static void
set_full(struct memory_broker *mb, bool full)
{
	if (mb->full != full)
		STORE(mb->bus->slots[mb->bus->slot].wants, full ? WANTS_ROOM :
			mb->audience ? WANTS_AUDIENCE : WANTS_NOTHING);
	mb->full = full;
}

static void
refuse_first(struct memory_broker *mb)
{
	if (mb->items[mb->first].stub) {
		struct memory_slot *s = &mb->bus->slots[mb->bus->slot];

		memory_body_unlink(mb->bus, mb->bus->slot, mb->bus->generation, s->body);
		STORE(s->body, 0);
	}
	settle(mb, 1, FATE_REFUSED, &mb->why);
}

/* Whose time is over, is refused. Where nothing was taken in all of that time, and the
 * publisher waits for room, the run would lose a window after the other: it ends. */
static void
refuse_late(struct memory_broker *mb)
{
	uint64_t now = loop_clock_ns(), time = mb->b.opts.timeout_ms * UINT64_C(1000000);
	bool stuck = mb->b.was_full && now - mb->moved_ns >= time, any = false;
	struct error why;

	while (mb->first < mb->n && mb->waiting[mb->first].until_ns &&
	    mb->waiting[mb->first].until_ns <= now) {
		refuse_first(mb);
		any = true;
	}
	if (!stuck || !any)
		return;
	why = mb->why;
	while (mb->first < mb->n)
		refuse_first(mb);
	memory_fail(mb, &why);
}

/* ---- the batch ---- */

/* Who holds it up may be dead: then there is room. */
static bool
reap(struct memory_broker *mb)
{
	if (!memory_lock(mb->bus))
		return false;
	memory_reap(mb->bus);
	memory_unlock(mb->bus);
	return true;
}

static enum memory_wrote
write_some(struct memory_broker *mb, size_t n, size_t *done)
{
	size_t unheard;
	uint32_t slowest;
	enum memory_wrote w = memory_write(mb->bus, &mb->router, buf_data(&mb->bytes),
		mb->items + mb->first, n, done, &unheard, &slowest);

	mb->unheard += unheard;
	if (w == WROTE_FULL && !*done && reap(mb)) {
		w = memory_write(mb->bus, &mb->router, buf_data(&mb->bytes),
			mb->items + mb->first, n, done, &unheard, &slowest);
		mb->unheard += unheard;
	}
	if (w == WROTE_FULL)
		say_full(mb, slowest);
	else if (w == WROTE_BUSY)
		say_busy(mb);
	else if (w == WROTE_NO_SPACE)
		say_no_space(mb);
	return w;
}

/* From the front: what goes in one piece, a large one alone. *done: how many. */
static enum memory_wrote
write_front(struct memory_broker *mb, size_t *done)
{
	struct memory_item *it = &mb->items[mb->first];
	size_t n = 0, left = mb->n - mb->first;
	enum memory_wrote w;

	*done = 0;
	while (n < left && !it[n].stub && !is_large(mb, &it[n]))
		n++;
	if (!n && !it->stub && make_stub(mb, it) < 0) {
		if (reap(mb) && make_stub(mb, it) == 0)
			return write_some(mb, 1, done);
		say_no_space(mb);
		return WROTE_NO_SPACE;
	}
	w = write_some(mb, n ? n : 1, done);
	/* The ring has become small, for want of space. */
	if (w == WROTE_NO_SPACE && !it[*done].stub && make_stub(mb, &it[*done]) == 0)
		w = WROTE_ALL;
	return w;
}

static void
all_unheard(struct memory_broker *mb)
{
	mb->unheard += mb->n - mb->first;
	settle(mb, mb->n - mb->first, FATE_CONFIRMED, NULL);
}

void
memory_commit(struct memory_broker *mb)
{
	enum memory_wrote w = WROTE_ALL;
	struct error err;

	loop_task_cancel(&mb->commit);
	if (mb->writing || mb->first == mb->n)
		return;
	mb->writing = true;
	if (memory_attach(mb, false, &err) < 0)
		settle(mb, mb->n - mb->first, FATE_REFUSED, &err);
	else if (!mb->bus)
		all_unheard(mb);
	while (mb->bus && mb->first < mb->n && w == WROTE_ALL) {
		size_t done;

		w = write_front(mb, &done);
		if (done)
			mb->moved_ns = loop_now_ns(mb->b.loop);
		settle(mb, done, FATE_CONFIRMED, NULL);
	}
	if (w == WROTE_DAMAGED) {
		memory_damaged(mb->bus, &err, "a ring does not add up");
		settle(mb, mb->n - mb->first, FATE_REFUSED, &err);
		memory_fail(mb, &err);
	} else if (w != WROTE_ALL) {
		refuse_late(mb);
	}
	mb->writing = false;
	if (mb->bus)
		set_full(mb, mb->first < mb->n);
	if (mb->first == mb->n) {
		empty(mb);
	} else {
		shrink(mb);
		memory_rest_soon(mb);	/* to sleep until there is room */
	}
}

static void
grow(struct memory_broker *mb)
{
	mb->cap = mb->cap ? 2 * mb->cap : 64;
	mb->items = xrealloc(mb->items, mb->cap * sizeof *mb->items);
	mb->waiting = xrealloc(mb->waiting, mb->cap * sizeof *mb->waiting);
}

int
memory_publish(struct broker *b, const struct publication *p, struct error *err)
{
	const struct publish_options *o = p->opts ? p->opts : &publish_defaults;
	struct memory_broker *mb = memory_of(b);
	bool same = mb->last_topic.data && bytes_eq(p->topic, buf_bytes(&mb->last_topic));
	const char *bad = same ? NULL : memory_bad_topic(p->topic);
	int64_t time_us = o->time_us;
	size_t at = buf_len(&mb->bytes);

	if (bad)
		return error_set(err, ERR_REFUSED, "the topic: %s", bad);
	if (time_us < 0 && !mb->time_us)
		mb->time_us = now_us();
	if (time_us < 0)
		time_us = mb->time_us;
	if (memory_encode(&mb->bytes, p->topic, &p->msg, &o->props, time_us, err) < 0)
		return -1;
	if (!same) {
		buf_clear(&mb->last_topic);
		buf_add_bytes(&mb->last_topic, p->topic);
	}
	if (mb->n == mb->cap)
		grow(mb);
	mb->items[mb->n] = (struct memory_item){ .at = at, .whole_at = at,
		.size = (uint32_t)(buf_len(&mb->bytes) - at), .same = same };
	mb->waiting[mb->n++] = (struct memory_waiting){ .id = p->id,
		.size = p->size, .until_ns = b->opts.timeout_ms ?
		loop_now_ns(b->loop) + b->opts.timeout_ms * UINT64_C(1000000) : 0 };
	if (mb->full || mb->writing)
		return 0;
	if (buf_len(&mb->bytes) - mb->items[mb->first].at >= BATCH_BYTES ||
	    mb->n - mb->first >= BATCH_EVENTS) {
		memory_commit(mb);
	} else {
		loop_defer(b->loop, &mb->commit);
	}
	return 0;
}

void
memory_pub_release(struct memory_broker *mb)
{
	buf_release(&mb->bytes);
	buf_release(&mb->last_topic);
	free(mb->items);
	free(mb->waiting);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscribing: see memory.h. A delivery lies in `taken` until it is acknowledged, and
 * is settled in the order of the deliveries: a reader's cursor then moves behind it,
 * a group's claim shrinks.
 */
#include "backends/memory/memory.h"

#include <stdlib.h>
#include <time.h>

#include "core/log.h"

enum {
	LEAVE_TRIES = 5,
	POLITE_NS = 50000000
};

static struct memory_reader *
reader_of(const struct subscription *s)
{
	return s->priv;
}

/* ---- what was delivered ---- */

static struct memory_taken *
taken_at(struct memory_broker *mb, uint64_t number)
{
	return &mb->taken[number & (mb->cap_taken - 1)];
}

static void
taken_grow(struct memory_broker *mb)
{
	size_t cap = mb->cap_taken ? 2 * mb->cap_taken : 256;
	struct memory_taken *new = xmalloc(cap * sizeof *new);

	for (uint64_t n = mb->taken_first; n != mb->taken_next; n++)
		new[n & (cap - 1)] = *taken_at(mb, n);
	free(mb->taken);
	mb->taken = new;
	mb->cap_taken = cap;
}

/* ---- telling the bus ---- */

/* A publisher may wait for the room; rung once there is a good deal of it. behind:
 * how many bytes this reader has yet to read. */
static void
tell_room(struct memory_broker *mb, struct memory_ring *r, uint64_t behind)
{
	FENCE();
	if (!r || !LOAD(r->want) || behind > LOAD(r->size) / 2)
		return;
	STORE(r->want, 0);
	memory_ring_wanting(mb->bus, WANTS_ROOM);
}

static void
move_cursor(struct memory_broker *mb, struct memory_reader *r, uint64_t to, uint64_t events)
{
	struct memory_sub *s = memory_sub_at(mb->bus, r->index);
	struct memory_ring *ring = memory_ring_at(mb->bus, r->cursor.ring);

	if (!s || !ring)
		return;
	STORE(s->events, s->events + events);
	STORE(s->lost, r->cursor.lost);
	memory_step("moving a cursor");
	STORE(s->cursor, to);
	tell_room(mb, ring, LOAD(ring->head) - to);
}

/* Bodies that this reader was the last of. */
static void
reclaim(struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers; r; r = r->next)
		if (r->bodies && memory_lock(mb->bus)) {
			memory_reclaim(mb->bus, r->cursor.ring);
			memory_unlock(mb->bus);
			r->bodies = r->unsettled != 0;
		}
}

static void
reader_free(struct memory_broker *mb, struct memory_reader *r)
{
	struct memory_reader **p = &mb->readers;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	free(r->chunk.p);
	free(r);
}

/* It has left, and nothing of it is unsettled. false: the lock was not to be had. */
static bool
reader_leave(struct memory_broker *mb, struct memory_reader *r)
{
	if (r->live) {
		if (!memory_lock(mb->bus))
			return false;
		memory_unsubscribe(mb->bus, r->index);
		memory_unlock(mb->bus);
	}
	reader_free(mb, r);
	return true;
}

/* Of a group's member. What is not done goes back in one piece, where several are. */
static void
settle_one(struct memory_broker *mb, struct memory_taken *t)
{
	struct memory_reader *r = t->reader;
	struct memory_taken *next = mb->taken_first + 1 != mb->taken_next ?
		taken_at(mb, mb->taken_first + 1) : NULL;
	bool his;

	if (t->settled == SETTLED_DONE)
		his = memory_claim_ack(mb->bus, r->index, t->claim, t->claim_to, t->end, t->events);
	else if (next && next->reader == r && next->settled == SETTLED_FAILED &&
	    next->claim == t->claim && next->claim_to == t->claim_to)
		return;
	else
		his = memory_claim_back(mb->bus, r->index, t->claim, t->claim_to, t->end);
	/* What was to come of it is another's now. */
	if (!his && r->claim == t->claim && r->claim_to == t->claim_to)
		r->claim_to = 0;
}

/* From the front, what is acknowledged. Of a plain reader the cursor is moved once. */
static void
settle(struct memory_broker *mb)
{
	struct memory_reader *last = NULL;
	uint64_t end = 0, events = 0;
	bool locked = false;

	mb->settling = false;
	while (mb->taken_first != mb->taken_next) {
		struct memory_taken *t = taken_at(mb, mb->taken_first);
		struct memory_reader *r = t->reader;

		if (t->settled == NOT_SETTLED)
			break;
		if (r->group && !locked) {
			locked = memory_lock(mb->bus);
			if (!locked) {
				mb->settling = true;
				memory_look_soon(mb);
				break;
			}
		}
		if (last && r != last) {
			move_cursor(mb, last, end, events);
			events = 0;
			last = NULL;
		}
		if (r->group) {
			settle_one(mb, t);
		} else {
			last = r;
			end = t->end;
			events += t->events;
		}
		r->unsettled--;
		mb->taken_first++;
	}
	if (last)
		move_cursor(mb, last, end, events);
	if (locked) {
		memory_unlock(mb->bus);
		for (struct memory_reader *r = mb->readers; r; r = r->next)
			if (r->group && r->live)
				tell_room(mb, memory_ring_at(mb->bus, r->cursor.ring), 0);
	}
}

static void
leave_settled(struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers, *next; r && !mb->reading; r = next) {
		next = r->next;
		if (!r->sub && !r->unsettled && !reader_leave(mb, r))
			memory_look_soon(mb);
	}
}

void
memory_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct memory_broker *mb = memory_of(b);

	if (!mb->bus || mb->over)
		return;
	if (first < mb->taken_first)
		first = mb->taken_first;
	for (uint64_t n = first; n <= last && n < mb->taken_next; n++) {
		struct memory_taken *t = taken_at(mb, n);

		if (t->settled == NOT_SETTLED)
			t->settled = ok ? SETTLED_DONE : SETTLED_FAILED;
	}
	settle(mb);
	reclaim(mb);
	leave_settled(mb);
	if (!mb->settling && b->draining)
		broker_drained(b);
}

void
memory_drain(struct broker *b)
{
	if (!memory_of(b)->settling)
		broker_drained(b);
}

void
memory_pause(struct broker *b, bool on)
{
	struct memory_broker *mb = memory_of(b);

	mb->paused = on;
	if (!on && mb->bus)
		memory_look_soon(mb);
}

/* ---- delivering ---- */

static bool
is_expired(const struct event *ev)
{
	struct timespec ts;

	if (ev->props.ttl_ms < 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - ev->time_us / 1000 >=
		ev->props.ttl_ms;
}

/* What is not delivered is settled with the delivery before it, or at once. */
static void
skip(struct memory_broker *mb, struct memory_reader *r)
{
	struct memory_taken *t;

	for (uint64_t n = mb->taken_next; r->unsettled && n-- > mb->taken_first;) {
		t = taken_at(mb, n);
		if (t->reader == r && t->claim_to == r->claim_to) {
			t->end = r->chunk.position;
			t->events++;
			return;
		}
	}
	if (!r->group) {
		move_cursor(mb, r, r->chunk.position, 1);
	} else if (memory_lock(mb->bus)) {
		memory_claim_ack(mb->bus, r->index, r->claim, r->claim_to, r->chunk.position, 1);
		memory_unlock(mb->bus);
	}
}

static void
deliver(struct memory_broker *mb, struct memory_reader *r, struct event *ev)
{
	struct memory_taken *t;
	uint64_t number = mb->taken_next;

	if (mb->taken_next - mb->taken_first == mb->cap_taken)
		taken_grow(mb);
	t = taken_at(mb, mb->taken_next++);
	*t = (struct memory_taken){ .reader = r, .end = r->chunk.position, .events = 1,
		.claim = r->claim, .claim_to = r->claim_to };
	r->unsettled++;
	if (broker_deliver(r->sub, ev) == EVENT_DROPPED)
		taken_at(mb, number)->settled = SETTLED_FAILED;
}

static int
deliver_record(struct memory_broker *mb, struct memory_reader *r, struct bytes record,
	struct error *err)
{
	struct memory_mapping map = { 0 };
	struct memory_record h;
	struct event ev;
	int ok = 0;

	memcpy(&h, record.p, sizeof h);
	if (h.flags & RECORD_BODY) {
		r->bodies = true;
		ok = memory_body_map(mb->bus, record, &map, &record, err);
		if (ok < 0 && r->cursor.drop == DROP_OLD) {
			r->cursor.lost++;	/* removed, for it was overtaken */
			return 0;
		}
	}
	if (ok == 0 && !memory_decode(record, &ev, &mb->headers))
		ok = memory_damaged(mb->bus, err, "a record does not add up");
	if (ok == 0 && is_expired(&ev))
		skip(mb, r);
	else if (ok == 0)
		deliver(mb, r, &ev);
	if (map.p || map.copy)
		memory_body_unmap(&map);
	return ok;
}

static bool
is_ignored(const struct memory_reader *r, uint64_t sleep)
{
	for (size_t i = 0; i < sizeof r->ignored / sizeof *r->ignored; i++)
		if (r->ignored[i] == sleep)
			return true;
	return false;
}

/* Another member was rung and has not looked yet. The quickest would have everything
 * before the others are awake, so it gives them a moment: once for each sleep of
 * theirs, that one who was stopped does not slow down the group for ever. */
static bool
is_polite(struct memory_broker *mb, struct memory_reader *r)
{
	struct memory_sub *me = memory_sub_at(mb->bus, r->index), *s;
	uint64_t now = 0;

	for (uint32_t i = 0; me && (s = memory_sub_at(mb->bus, i)); i++) {
		uint32_t slot = LOAD(s->slot), bell;
		uint64_t sleep;

		if (LOAD(s->state) != STATE_USED || s->group != me->group || s == me ||
		    slot >= MEMORY_SLOTS)
			continue;
		bell = LOAD(mb->bus->slots[slot].bell);
		sleep = (uint64_t)slot << 32 | bell;
		if ((bell & 3) != BELL_RUNG || is_ignored(r, sleep))
			continue;
		now = now ? now : loop_clock_ns();
		if (sleep != r->rung) {
			r->rung = sleep;
			r->polite_until_ns = now + POLITE_NS;
		}
		if (now < r->polite_until_ns)
			return true;
		r->ignored[r->nignored++ % (sizeof r->ignored / sizeof *r->ignored)] = sleep;
	}
	return false;
}

/* Of its claim there is more to read: a claim may be longer than a chunk, and go on at
 * the ring's beginning. */
static bool
has_claim(const struct memory_reader *r)
{
	return r->claim_to && r->cursor.position < r->claim_to;
}

/* A member claims the next few. */
static bool
claim(struct memory_broker *mb, struct memory_reader *r)
{
	uint64_t from, to;
	bool got;

	r->waits = false;
	if (has_claim(r))
		return true;
	if (r->claim_to && is_polite(mb, r)) {
		r->waits = true;
		return false;
	}
	if (!memory_claimable(mb->bus, r->index) &&
	    !memory_claimed_by_others(mb->bus, r->index))
		return false;
	if (!memory_lock(mb->bus)) {
		memory_look_soon(mb);
		return false;
	}
	got = memory_claim(mb->bus, r->index, (unsigned)mb->claim_max, mb->again_ms, &r->claim, &from, &to);
	memory_unlock(mb->bus);
	r->claim_to = got ? to : 0;
	r->cursor.position = got ? from : 0;
	r->cursor.until = got ? to : 0;
	return got;
}

static void
tell_drops(struct memory_broker *mb, struct memory_reader *r)
{
	struct memory_sub *s = memory_sub_at(mb->bus, r->index);
	uint64_t lost = r->cursor.lost + (s && r->cursor.drop == DROP_NEW ? LOAD(s->dropped) : 0);

	if (lost <= r->told)
		return;
	/* At once, then whenever it has doubled. */
	if (r->told && lost < 2 * r->told && r->sub)
		return;
	log_warn("%.*s: %llu events were dropped, as -X memory.drop allows", r->sub ?
		(int)r->sub->topic.n : 0, r->sub ? r->sub->topic.p : "", (unsigned long long)lost);
	r->told = lost;
}

/* One chunk of one subscription. 1: there was something; 0; -1: damaged. */
static int
read_reader(struct memory_broker *mb, struct memory_reader *r, struct error *err)
{
	struct bytes record;
	int n;

	if (r->group && !claim(mb, r))
		return 0;
	n = memory_fill(mb->bus, &r->cursor, &r->chunk, err);
	if (n <= 0)
		return n;
	while (r->sub && !mb->paused &&
	    (n = memory_next(mb->bus, &r->chunk, &record, err)) > 0) {
		r->cursor.events++;
		if (deliver_record(mb, r, record, err) < 0)
			return -1;
	}
	if (n < 0)
		return -1;
	r->cursor.position = r->chunk.position;
	return 1;
}

static void subscribe_now(struct memory_broker *, struct memory_reader *);

bool
memory_read(struct memory_broker *mb)
{
	struct error err;
	bool more = false;

	if (mb->settling)
		settle(mb);
	mb->reading = true;
	for (struct memory_reader *r = mb->readers, *next; r && !mb->over; r = next) {
		int n = 0;

		next = r->next;
		if (!r->live && r->sub)
			subscribe_now(mb, r);
		else if (r->sub && !mb->paused)
			n = read_reader(mb, r, &err);
		if (n < 0)
			memory_fail(mb, &err);
		if (n > 0)
			more = true;
		if (r->live && r->cursor.drop)
			tell_drops(mb, r);
	}
	mb->reading = false;
	if (!mb->over)
		settle(mb);	/* what was not wanted */
	leave_settled(mb);
	return more && !mb->over;
}

bool
memory_readable(struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers; r && !mb->paused; r = r->next) {
		struct memory_ring *ring = memory_ring_at(mb->bus, r->cursor.ring);

		if (!r->live || !r->sub || !ring || r->waits)
			continue;
		if (r->group ? has_claim(r) || memory_claimable(mb->bus, r->index) :
		    __atomic_load_n(&ring->head, __ATOMIC_SEQ_CST) != r->cursor.position)
			return true;
	}
	return false;
}

/* ---- coming and going ---- */

static void
subscribe_now(struct memory_broker *mb, struct memory_reader *r)
{
	struct memory_wish wish = {
		.filter = r->sub->topic,
		.group = bytes_str(r->sub->opts.group),
		.drop = (enum memory_drop)mb->drop,
		.keep_ms = mb->keep_ms,
	};
	struct subscription *sub = r->sub;
	struct memory_sub *s;
	struct error err;
	int ok;

	if (!memory_lock(mb->bus)) {
		if (loop_clock_ns() < r->until_ns)
			return;
		error_set(&err, ERR_CONNECT, "the bus %s is locked by pid %d, which stands still",
			mb->place.name, memory_lock_owner(mb->bus) < MEMORY_SLOTS ?
			(int)mb->bus->slots[memory_lock_owner(mb->bus)].pid : 0);
		broker_subscribed(sub, &err);
		return;
	}
	memory_reap(mb->bus);
	ok = memory_subscribe(mb->bus, &wish, &r->index, &err);
	s = ok < 0 ? NULL : memory_sub_at(mb->bus, r->index);
	if (s) {
		struct memory_ring *ring = memory_ring_at(mb->bus, s->ring);
		uint64_t head;

		r->cursor = (struct memory_cursor){ .ring = s->ring,
			.drop = (enum memory_drop)mb->drop,
			.position = s->cursor, .until = UINT64_MAX,
			.events = ring ? memory_ring_events(ring, &head) : 0 };
		r->live = true;
	}
	memory_unlock(mb->bus);
	broker_subscribed(sub, s ? NULL : &err);
}

static int
check_wish(const struct memory_broker *mb, const struct subscription *s, struct error *err)
{
	const char *bad = memory_bad_filter(s->topic);

	if (bad)
		return error_set(err, ERR_USAGE, "the topic: %s", bad);
	if (s->opts.group && mb->drop)
		return error_set(err, ERR_USAGE, "-X memory.drop: a group loses nothing");
	if (s->opts.group && (!*s->opts.group || strlen(s->opts.group) > MEMORY_GROUP_MAX))
		return error_set(err, ERR_USAGE, "the group's name: 1 to %d bytes",
			MEMORY_GROUP_MAX);
	return 0;
}

int
memory_subscribe_op(struct subscription *s, struct error *err)
{
	struct memory_broker *mb = memory_of(s->broker);
	struct memory_reader *r, **end = &mb->readers;

	if (check_wish(mb, s, err) < 0 || memory_attach(mb, true, err) < 0)
		return -1;
	r = xcalloc(1, sizeof *r);
	r->sub = s;
	r->group = s->opts.group != NULL;
	r->until_ns = loop_clock_ns() + mb->place.wait_ms * UINT64_C(1000000);
	s->priv = r;
	while (*end)
		end = &(*end)->next;
	*end = r;
	memory_look_soon(mb);
	subscribe_now(mb, r);
	return 0;
}

void
memory_unsubscribe_op(struct subscription *s)
{
	struct memory_broker *mb = memory_of(s->broker);
	struct memory_reader *r = reader_of(s);

	if (!r)
		return;
	if (r->live && r->cursor.drop && mb->bus) {
		r->told = r->told ? r->told - 1 : 0;
		tell_drops(mb, r);
	}
	r->sub = NULL;
	s->priv = NULL;
	if (!mb->over && mb->bus)
		memory_look_soon(mb);
}

/* All leave; who cannot get the lock is as good as dead for the others, soon. */
void
memory_sub_release(struct memory_broker *mb)
{
	while (mb->readers) {
		struct memory_reader *r = mb->readers;

		for (int i = 0; r->live && mb->bus && i < LEAVE_TRIES; i++)
			if (memory_lock(mb->bus)) {
				memory_unsubscribe(mb->bus, r->index);
				memory_unlock(mb->bus);
				break;
			}
		reader_free(mb, r);
	}
	free(mb->taken);
	mb->taken = NULL;
	mb->cap_taken = 0;
	mb->taken_first = mb->taken_next;
}

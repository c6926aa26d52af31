/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a bus: rings, subscriptions, the groups' places. Changed under the
 * lock; the order of stores is that of memory_layout.h, so that whoever inherits the
 * lock finds nothing half done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

enum { SUBS_A_PAGE = MEMORY_PAGE / sizeof(struct memory_sub) };

/* ---- finding things; indices come from outside ---- */

struct memory_sub *
memory_sub_at(struct memory_bus *m, uint32_t i)
{
	uint32_t n = LOAD(m->head->subs);

	return i < n && i < MEMORY_SUBS ? (struct memory_sub *)(m->map + MEMORY_SUBS_AT) + i : NULL;
}

struct memory_group *
memory_group_at(struct memory_bus *m, uint32_t i)
{
	uint32_t n = LOAD(m->head->groups);

	return i < n && i < MEMORY_GROUPS ?
		(struct memory_group *)(m->map + MEMORY_GROUPS_AT) + i : NULL;
}

struct memory_ring *
memory_ring_at(struct memory_bus *m, uint32_t i)
{
	uint32_t n = LOAD(m->head->rings);

	return i < n && i < MEMORY_RINGS ?
		(struct memory_ring *)(m->map + MEMORY_RINGS_AT + (uint64_t)i * MEMORY_PAGE) : NULL;
}

static uint32_t
ring_index(const struct memory_bus *m, const struct memory_ring *r)
{
	return (uint32_t)(((const char *)r - m->map - MEMORY_RINGS_AT) / MEMORY_PAGE);
}

static uint64_t
ring_offset(const struct memory_bus *m, uint32_t i)
{
	return MEMORY_DATA_AT + (uint64_t)i * m->ring_bytes;
}

char *
memory_ring_data(struct memory_bus *m, uint32_t i, struct error *err)
{
	void *p;

	if (i >= MEMORY_RINGS) {
		memory_damaged(m, err, "a ring that cannot be");
		return NULL;
	}
	if (m->rings[i])
		return m->rings[i];
	p = mmap(NULL, m->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd,
		(off_t)ring_offset(m, i));
	if (p == MAP_FAILED) {
		error_sys(err, ERR_LOCAL_IO, "%s/bus", m->path);
		return NULL;
	}
	m->rings[i] = p;
	return p;
}

uint64_t
memory_ring_size(const struct memory_bus *m, const struct memory_ring *r)
{
	uint64_t size = LOAD(r->size);

	return size < MEMORY_RING_MIN || size > m->ring_bytes || size % MEMORY_PAGE ? 0 : size;
}

uint64_t
memory_ring_events(const struct memory_ring *r, uint64_t *head)
{
	uint64_t events = 0;

	for (int tries = 0; tries < 100; tries++) {
		*head = LOAD(r->head);
		for (int i = 0; i < 2; i++)
			if (LOAD(r->count[i].head) == *head) {
				events = LOAD(r->count[i].events);
				FENCE();
				if (LOAD(r->head) == *head)
					return events;
			}
	}
	return events;
}

/* ---- the list of a ring's readers ---- */

static uint32_t
readers_of(const struct memory_ring *r)
{
	uint32_t n = LOAD(r->nreaders);

	return n < MEMORY_READERS ? n : MEMORY_READERS;
}

static int
list_add(struct memory_bus *m, struct memory_ring *r, uint32_t reader, struct error *err)
{
	uint32_t n = readers_of(r);

	if (n == MEMORY_READERS)
		return error_set(err, ERR_REFUSED, "the bus %s: %d subscribe to this already, there "
			"can be no more", m->place.name, MEMORY_READERS);
	r->readers[n] = (uint16_t)reader;
	memory_step("listing");
	STORE(r->nreaders, n + 1);
	memory_step("listed");
	return 0;
}

static void
list_del(struct memory_ring *r, uint32_t reader)
{
	for (uint32_t i = readers_of(r); i-- > 0;)
		if (r->readers[i] == reader) {
			r->readers[i] = r->readers[readers_of(r) - 1];
			memory_step("taking off the list");
			STORE(r->nreaders, readers_of(r) - 1);
		}
}

/* Whom an entry means; NULL both: nobody (any more). */
static void
reader_at(struct memory_bus *m, const struct memory_ring *r, uint32_t i, struct memory_sub **s,
	struct memory_group **g)
{
	uint32_t reader = r->readers[i], ring = ring_index(m, r);

	*s = reader < MEMORY_SUBS ? memory_sub_at(m, reader) : NULL;
	*g = reader >= MEMORY_SUBS ? memory_group_at(m, reader - MEMORY_SUBS) : NULL;
	if (*s && (LOAD((*s)->state) != STATE_USED || (*s)->ring != ring))
		*s = NULL;
	if (*g && (LOAD((*g)->state) != STATE_USED || (*g)->ring != ring))
		*g = NULL;
}

uint64_t
memory_floor(struct memory_bus *m, struct memory_ring *r, uint32_t *slowest)
{
	uint64_t head = LOAD(r->head), floor = head;

	*slowest = UINT32_MAX;
	for (uint32_t i = 0; i < readers_of(r); i++) {
		struct memory_sub *s;
		struct memory_group *g;
		uint64_t at = head;

		reader_at(m, r, i, &s, &g);
		if (s && !s->group && s->drop != DROP_OLD)
			at = LOAD(s->cursor);
		else if (g)
			at = memory_group_floor(g);
		if (at < floor) {
			floor = at;
			*slowest = r->readers[i];
		}
	}
	return floor;
}

/* ---- rings ---- */

static void
ring_free(struct memory_bus *m, struct memory_ring *r)
{
	uint32_t i = ring_index(m, r);

	STORE(r->state, STATE_FREE);
	memory_step("freed a ring");
	STORE(m->head->version, m->head->version + 1);
	memory_reclaim(m, i);
	r->backed = 0;
	fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)ring_offset(m, i),
		(off_t)m->ring_bytes);
}

static void
ring_free_if_empty(struct memory_bus *m, struct memory_ring *r)
{
	struct memory_sub *s;
	struct memory_group *g;

	for (uint32_t i = 0; i < readers_of(r); i++) {
		reader_at(m, r, i, &s, &g);
		if (s || g)
			return;
	}
	if (r->state == STATE_USED)
		ring_free(m, r);
}

static struct memory_ring *
ring_find(struct memory_bus *m, struct bytes filter)
{
	struct memory_ring *r;

	for (uint32_t i = 0; (r = memory_ring_at(m, i)); i++)
		if (r->state == STATE_USED && !r->private_sub && r->filter_n == filter.n &&
		    memcmp(r->filter, filter.p, filter.n) == 0)
			return r;
	return NULL;
}

static int
no_space(struct memory_bus *m, struct error *err)
{
	return error_sys(err, ERR_LOCAL_IO, "the bus %s: no room in %s", m->place.name,
		m->place.folder);
}

/* A free one, with a page. */
static struct memory_ring *
ring_get(struct memory_bus *m, struct error *err)
{
	struct memory_ring *r;
	uint32_t i;

	for (i = 0; (r = memory_ring_at(m, i)); i++)
		if (r->state == STATE_FREE)
			return r;
	if (i == MEMORY_RINGS) {
		error_set(err, ERR_REFUSED, "the bus %s is full: %d topics and patterns are "
			"subscribed to", m->place.name, MEMORY_RINGS);
		return NULL;
	}
	if (memory_back(m, MEMORY_RINGS_AT + (uint64_t)i * MEMORY_PAGE, MEMORY_PAGE) < 0) {
		no_space(m, err);
		return NULL;
	}
	STORE(m->head->rings, i + 1);
	return memory_ring_at(m, i);
}

static struct memory_ring *
ring_make(struct memory_bus *m, struct bytes filter, struct error *err)
{
	struct memory_ring *r = ring_get(m, err);

	if (!r)
		return NULL;
	if (memory_back(m, ring_offset(m, ring_index(m, r)), MEMORY_RING_MIN) < 0) {
		no_space(m, err);
		return NULL;
	}
	memset(r, 0, offsetof(struct memory_ring, filter));
	memcpy(r->filter, filter.p, filter.n);
	r->filter_n = (uint32_t)filter.n;
	r->pattern = memory_is_pattern(filter);
	r->size = m->ring_bytes;
	r->backed = MEMORY_RING_MIN;
	memory_step("filled a ring");
	STORE(r->state, STATE_USED);
	memory_step("made a ring");
	return r;
}

/* ---- groups ---- */

static struct memory_group *
group_find(struct memory_bus *m, uint32_t ring, struct bytes name)
{
	struct memory_group *g;

	for (uint32_t i = 0; (g = memory_group_at(m, i)); i++)
		if (g->state == STATE_USED && g->ring == ring && g->name_n == name.n &&
		    memcmp(g->name, name.p, name.n) == 0)
			return g;
	return NULL;
}

static uint32_t
group_index(const struct memory_bus *m, const struct memory_group *g)
{
	return (uint32_t)(g - (const struct memory_group *)(m->map + MEMORY_GROUPS_AT));
}

static struct memory_group *
group_make(struct memory_bus *m, uint32_t ring, const struct memory_wish *w, struct error *err)
{
	struct memory_ring *r = memory_ring_at(m, ring);
	struct memory_group *g;
	uint64_t from, to;
	uint32_t i;

	for (i = 0; (g = memory_group_at(m, i)) && g->state == STATE_USED; i++)
		;
	if (!g) {
		from = (MEMORY_GROUPS_AT + i * sizeof *g) / MEMORY_PAGE * MEMORY_PAGE;
		to = MEMORY_UP(MEMORY_GROUPS_AT + (i + 1) * sizeof *g);
		if (i == MEMORY_GROUPS) {
			error_set(err, ERR_REFUSED, "the bus %s is full: it has %d groups",
				m->place.name, MEMORY_GROUPS);
			return NULL;
		}
		if (memory_back(m, from, to - from) < 0) {
			no_space(m, err);
			return NULL;
		}
		STORE(m->head->groups, i + 1);
		g = memory_group_at(m, i);
	}
	memset(g, 0, sizeof *g);
	memcpy(g->name, w->group.p, w->group.n);
	g->name_n = (uint32_t)w->group.n;
	g->ring = ring;
	g->start_events = memory_ring_events(r, &g->next);
	memory_step("filled a group");
	STORE(g->state, STATE_USED);
	memory_step("made a group");
	if (list_add(m, r, MEMORY_SUBS + i, err) < 0) {
		STORE(g->state, STATE_FREE);
		return NULL;
	}
	return g;
}

static void
group_end(struct memory_bus *m, struct memory_group *g)
{
	struct memory_ring *r = memory_ring_at(m, g->ring);
	uint64_t head, events;

	STORE(g->state, STATE_FREE);
	memory_step("ended a group");
	if (!r)
		return;
	events = memory_ring_events(r, &head) - g->start_events;
	if (events > g->done)
		r->lost += events - g->done;
	list_del(r, MEMORY_SUBS + group_index(m, g));
	ring_free_if_empty(m, r);
}

size_t
memory_members(struct memory_bus *m, uint32_t group)
{
	struct memory_sub *s;
	size_t n = 0;

	for (uint32_t i = 0; (s = memory_sub_at(m, i)); i++)
		n += LOAD(s->state) == STATE_USED && s->group == group + 1;
	return n;
}

/* ---- subscriptions ---- */

static struct memory_sub *
sub_get(struct memory_bus *m, uint32_t *index, struct error *err)
{
	struct memory_sub *s;
	uint32_t i;

	for (i = 0; (s = memory_sub_at(m, i)) && s->state == STATE_USED; i++)
		;
	*index = i;
	if (s)
		return s;
	if (i == MEMORY_SUBS) {
		error_set(err, ERR_REFUSED, "the bus %s is full: it has %d subscriptions",
			m->place.name, MEMORY_SUBS);
		return NULL;
	}
	if (memory_back(m, MEMORY_SUBS_AT + i / SUBS_A_PAGE * (uint64_t)MEMORY_PAGE,
	    MEMORY_PAGE) < 0) {
		no_space(m, err);
		return NULL;
	}
	STORE(m->head->subs, i / SUBS_A_PAGE * SUBS_A_PAGE + SUBS_A_PAGE);
	return memory_sub_at(m, i);
}

/* Of a ring, in a group or not. */
static int
sub_make(struct memory_bus *m, const struct memory_wish *w, uint32_t ring,
	struct memory_group *g, uint32_t *index, struct error *err)
{
	struct memory_ring *r = memory_ring_at(m, ring);
	struct memory_sub *s = sub_get(m, index, err);

	if (!s)
		return -1;
	memset(s, 0, sizeof *s);
	s->slot = m->slot;
	s->generation = m->generation;
	s->ring = ring;
	s->group = g ? group_index(m, g) + 1 : 0;
	s->drop = w->drop;
	s->start_events = memory_ring_events(r, &s->cursor);
	if (w->drop == DROP_OLD)
		r->olds = 1;
	if (w->drop == DROP_NEW)
		r->private_sub = *index + 1;
	memory_step("filled a subscription");
	STORE(s->state, STATE_USED);
	memory_step("made a subscription");
	if (list_add(m, r, *index, err) < 0) {
		STORE(s->state, STATE_FREE);
		return -1;
	}
	return 0;
}

int
memory_subscribe(struct memory_bus *m, const struct memory_wish *w, uint32_t *sub,
	struct error *err)
{
	struct memory_ring *r = w->drop == DROP_NEW ? NULL : ring_find(m, w->filter);
	struct memory_group *g = NULL;
	int ok = -1;

	if (!r)
		r = ring_make(m, w->filter, err);
	if (!r)
		return -1;
	if (w->group.p)
		g = group_find(m, ring_index(m, r), w->group);
	if (w->group.p && !g)
		g = group_make(m, ring_index(m, r), w, err);
	if (g) {
		g->keep_ms = w->keep_ms;
		STORE(g->idle_ms, 0);
	}
	if (g || !w->group.p)
		ok = sub_make(m, w, ring_index(m, r), g, sub, err);
	if (ok < 0 && g && !memory_members(m, group_index(m, g)))
		group_end(m, g);
	if (ok < 0) {
		ring_free_if_empty(m, r);
		return -1;
	}
	STORE(m->head->version, m->head->version + 1);
	memory_step("subscribed");
	memory_ring_wanting(m, WANTS_AUDIENCE);
	return 0;
}

static void
leave_group(struct memory_bus *m, uint32_t sub, uint32_t group)
{
	struct memory_group *g = memory_group_at(m, group);

	if (!g || LOAD(g->state) != STATE_USED)
		return;
	for (uint32_t i = 0; i < MEMORY_CLAIMS; i++)
		if (LOAD(g->claims[i].state) == STATE_USED && g->claims[i].sub == sub + 1) {
			g->claims[i].again++;
			STORE(g->claims[i].sub, 0);
		}
	if (memory_members(m, group))
		return;
	STORE(g->idle_ms, memory_now_ms());
	if (!g->keep_ms)
		group_end(m, g);
}

void
memory_unsubscribe(struct memory_bus *m, uint32_t sub)
{
	struct memory_sub *s = memory_sub_at(m, sub);
	struct memory_ring *r;
	uint32_t group;

	if (!s || LOAD(s->state) != STATE_USED)
		return;
	r = memory_ring_at(m, s->ring);
	group = s->group;
	STORE(s->state, STATE_FREE);
	memory_step("freed a subscription");
	if (r)
		list_del(r, sub);
	if (group)
		leave_group(m, sub, group - 1);
	if (r) {
		ring_free_if_empty(m, r);
		if (LOAD(r->state) == STATE_USED)
			memory_reclaim(m, ring_index(m, r));
		STORE(r->want, 0);
	}
	/* There may be room, and other members have something to take. */
	memory_ring_wanting(m, WANTS_ROOM);
	for (uint32_t i = 0; group && r && i < readers_of(r); i++) {
		struct memory_group *g;

		reader_at(m, r, i, &s, &g);
		if (s && s->group == group)
			memory_ring_bell(m, s->slot);
	}
}

/* ---- the dead ---- */

void
memory_reap(struct memory_bus *m)
{
	uint64_t now = memory_now_ms();
	uint32_t last = UINT32_MAX;
	struct memory_group *g;
	struct memory_ring *r;
	struct memory_sub *s;
	bool lives = false;

	m->suspects = false;
	for (uint32_t i = 0; (s = memory_sub_at(m, i)); i++) {
		if (LOAD(s->state) != STATE_USED)
			continue;
		if (s->slot != last) {
			last = s->slot;
			lives = memory_alive(m, last, s->generation);
		} else if (lives) {
			lives = LOAD(m->slots[last].generation) == s->generation;
		}
		if (!lives)
			memory_unsubscribe(m, i);
		if (!lives)
			last = UINT32_MAX;
	}
	for (uint32_t i = 0; (g = memory_group_at(m, i)); i++) {
		if (LOAD(g->state) != STATE_USED)
			continue;
		/* Its last member's death may have been seen and not been noted. */
		if (!g->idle_ms && !memory_members(m, i))
			STORE(g->idle_ms, now);
		if (g->idle_ms && now - g->idle_ms >= g->keep_ms)
			group_end(m, g);
	}
	/* Made by somebody who died before he subscribed. */
	for (uint32_t i = 0; (r = memory_ring_at(m, i)); i++)
		ring_free_if_empty(m, r);
}

/* A file may be named by records of several rings. */
static bool
named_again(struct memory_bus *m, const struct memory_body *b)
{
	for (uint32_t i = 0; i < MEMORY_BODIES; i++) {
		const struct memory_body *o = &m->bodies[i];

		if (o != b && LOAD(o->state) == STATE_USED && o->number == b->number &&
		    o->slot == b->slot && o->generation == b->generation)
			return true;
	}
	return false;
}

void
memory_reclaim(struct memory_bus *m, uint32_t ring)
{
	struct memory_ring *r = memory_ring_at(m, ring);
	uint32_t who;
	uint64_t floor = r && LOAD(r->state) == STATE_USED ? memory_floor(m, r, &who) :
		UINT64_MAX;

	for (uint32_t i = 0; i < MEMORY_BODIES; i++) {
		struct memory_body *b = &m->bodies[i];

		if (LOAD(b->state) != STATE_USED || b->ring != ring || b->end > floor)
			continue;
		if (!named_again(m, b))
			memory_body_unlink(m, b->slot, b->generation, b->number);
		memory_step("unlinked a body");
		STORE(b->state, STATE_FREE);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group: members share one place in a ring. Who has nothing to do claims the next
 * few records under the lock: the claim is stored first, then the place moves behind
 * it. A claim shrinks from the front as its events are acknowledged; what is given
 * back, or was left by a member that died or does not acknowledge, changes hands by
 * one store, and comes before anything new.
 */
#include <string.h>

#include "backends/memory/memory_bus.h"

static struct memory_group *
group_of(struct memory_bus *m, uint32_t sub)
{
	struct memory_sub *s = memory_sub_at(m, sub);
	struct memory_group *g = s && s->group ? memory_group_at(m, s->group - 1) : NULL;

	return g && LOAD(g->state) == STATE_USED ? g : NULL;
}

static bool
is_claimed(const struct memory_claim *c)
{
	return LOAD(c->state) == STATE_USED;
}

uint64_t
memory_group_floor(const struct memory_group *g)
{
	uint64_t floor = LOAD(g->next);

	for (uint32_t i = 0; i < MEMORY_CLAIMS; i++) {
		uint64_t from = LOAD(g->claims[i].from);

		if (is_claimed(&g->claims[i]) && from < floor)
			floor = from;
	}
	return floor;
}

/* Behind the place and behind all claims: whoever claimed last may have died before
 * it moved the place. */
static uint64_t
next_of(const struct memory_group *g)
{
	uint64_t next = g->next;

	for (uint32_t i = 0; i < MEMORY_CLAIMS; i++)
		if (is_claimed(&g->claims[i]) && g->claims[i].to > next)
			next = g->claims[i].to;
	return next;
}

static bool
is_left(const struct memory_bus *m, const struct memory_claim *c, uint64_t again_ms)
{
	if (!c->sub || !memory_alive(m, c->slot, c->generation))
		return true;
	return again_ms && memory_now_ms() - c->taken_ms >= again_ms;
}

/* The end of up to max records from `at`: never behind a pad alone, for nobody would
 * acknowledge that, and the claim would hold up its ring for ever. */
static uint64_t
walk(struct memory_bus *m, uint32_t ring, uint64_t at, uint64_t head, unsigned max)
{
	struct memory_ring *r = memory_ring_at(m, ring);
	uint64_t size = r ? memory_ring_size(m, r) : 0, bytes = 0, end = at;
	struct error err;
	const char *data = size ? memory_ring_data(m, ring, &err) : NULL;

	if (!data || head < at || head - at > size)
		return at;
	while (at < head && max && bytes < MEMORY_CHUNK) {
		uint64_t off = at % size;
		struct memory_record h = { 0 };

		memcpy(&h, data + off, size - off < sizeof h ? 8 : sizeof h);
		if (h.size < 8 || h.size % 8 || h.size > size - off || h.size > head - at)
			return end;
		at += h.size;
		if (h.flags & RECORD_PAD)
			continue;
		bytes += h.size;
		end = at;
		max--;
	}
	return end;
}

static void
take(struct memory_bus *m, struct memory_claim *c, uint32_t sub)
{
	/* sub last: until then it is still the one's who left it, who is dead. */
	c->taken_ms = memory_now_ms();
	c->slot = m->slot;
	c->generation = m->generation;
	STORE(c->sub, sub + 1);
	memory_step("claimed again");
}

static unsigned
share(struct memory_bus *m, const struct memory_group *g, uint32_t group, unsigned max)
{
	struct memory_ring *r = memory_ring_at(m, g->ring);
	uint64_t head, events = memory_ring_events(r, &head) - g->start_events;
	uint64_t left = events > g->done ? events - g->done : 1;
	size_t members = memory_members(m, group);

	left = members ? (left + members - 1) / members : left;
	return left < max ? (left ? (unsigned)left : 1) : max;
}

bool
memory_claim(struct memory_bus *m, uint32_t sub, unsigned max, uint64_t again_ms,
	uint32_t *claim, uint64_t *from, uint64_t *to)
{
	struct memory_group *g = group_of(m, sub);
	struct memory_ring *r = g ? memory_ring_at(m, g->ring) : NULL;
	struct memory_claim *c, *empty = NULL;
	uint32_t i;

	if (!r)
		return false;
	/* First: when the last claim is done with, nothing else says how far it went. */
	if (next_of(g) > g->next)
		STORE(g->next, next_of(g));
	for (i = 0; i < MEMORY_CLAIMS; i++) {
		c = &g->claims[i];
		if (!is_claimed(c)) {
			empty = empty ? empty : c;
			continue;
		}
		if (c->from >= c->to) {
			STORE(c->state, STATE_FREE);
			continue;
		}
		if (c->sub == sub + 1 && c->slot == m->slot && c->generation == m->generation)
			continue;
		if (is_left(m, c, again_ms)) {
			take(m, c, sub);
			*claim = i;
			*from = c->from;
			*to = c->to;
			return true;
		}
	}
	if (!empty)
		return false;
	*from = g->next;
	*to = walk(m, g->ring, *from, LOAD(r->head),
		share(m, g, memory_sub_at(m, sub)->group - 1, max));
	if (*to == *from)
		return false;
	*empty = (struct memory_claim){ .sub = sub + 1, .slot = m->slot,
		.generation = m->generation, .from = *from, .to = *to,
		.taken_ms = memory_now_ms() };
	memory_step("filled a claim");
	STORE(empty->state, STATE_USED);
	memory_step("claimed");
	STORE(g->next, *to);
	memory_step("moved the place");
	*claim = (uint32_t)(empty - g->claims);
	return true;
}

static struct memory_claim *
claim_of(struct memory_bus *m, uint32_t sub, uint32_t claim, uint64_t to)
{
	struct memory_group *g = group_of(m, sub);
	struct memory_claim *c = g && claim < MEMORY_CLAIMS ? &g->claims[claim] : NULL;

	return c && is_claimed(c) && c->sub == sub + 1 && c->slot == m->slot &&
		c->generation == m->generation && c->to == to ? c : NULL;
}

bool
memory_claim_ack(struct memory_bus *m, uint32_t sub, uint32_t claim, uint64_t to,
	uint64_t position, uint64_t n)
{
	struct memory_claim *c = claim_of(m, sub, claim, to);
	struct memory_group *g = group_of(m, sub);

	if (!c)
		return false;
	if (position > c->from)
		STORE(c->from, position < c->to ? position : c->to);
	memory_step("acknowledged");
	STORE(g->done, g->done + n);
	if (c->from >= c->to)
		STORE(c->state, STATE_FREE);
	return true;
}

/* Stored as a claim of nobody's first, then taken out of this one. Where there is no
 * free entry, all the rest of it goes back. */
bool
memory_claim_back(struct memory_bus *m, uint32_t sub, uint32_t claim, uint64_t to,
	uint64_t end)
{
	struct memory_claim *c = claim_of(m, sub, claim, to), *e = NULL;
	struct memory_group *g = group_of(m, sub);

	if (!c)
		return false;
	for (uint32_t i = 0; i < MEMORY_CLAIMS && !e; i++)
		if (!is_claimed(&g->claims[i]))
			e = &g->claims[i];
	if (!e || end >= c->to) {
		c->again++;
		STORE(c->sub, 0);
		memory_step("given back");
		return false;
	}
	*e = (struct memory_claim){ .from = c->from, .to = end, .again = c->again + 1 };
	STORE(e->state, STATE_USED);
	memory_step("given back");
	STORE(c->from, end);
	return true;
}

bool
memory_claimed_by_others(struct memory_bus *m, uint32_t sub)
{
	struct memory_group *g = group_of(m, sub);

	for (uint32_t i = 0; g && i < MEMORY_CLAIMS; i++)
		if (is_claimed(&g->claims[i]) && LOAD(g->claims[i].sub) != sub + 1)
			return true;
	return false;
}

bool
memory_claimable(struct memory_bus *m, uint32_t sub)
{
	struct memory_group *g = group_of(m, sub);
	struct memory_ring *r = g ? memory_ring_at(m, g->ring) : NULL;

	if (!r)
		return false;
	if (__atomic_load_n(&r->head, __ATOMIC_SEQ_CST) > LOAD(g->next))
		return true;
	for (uint32_t i = 0; i < MEMORY_CLAIMS; i++)
		if (is_claimed(&g->claims[i]) && !LOAD(g->claims[i].sub))
			return true;
	return false;
}

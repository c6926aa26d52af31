/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters and topics. The pattern syntax is that of NATS, because go-micro's topics
 * are names with dots (go.micro.topic.orders), as NATS's are: `*` is one part between
 * dots, `>` at the end all parts that follow, at least one. Anything else is literal.
 *
 * Which rings a topic goes to is remembered until the rings change.
 */
#include <stdlib.h>
#include <string.h>

#include "backends/memory/memory_bus.h"

/* The next part; false: there is none. */
static bool
part(struct bytes *rest, struct bytes *one)
{
	const char *dot;

	if (!rest->p)
		return false;
	dot = memchr(rest->p, '.', rest->n);
	*one = bytes_of(rest->p, dot ? (size_t)(dot - rest->p) : rest->n);
	*rest = dot ? bytes_of(dot + 1, rest->n - one->n - 1) : bytes_of(NULL, 0);
	return true;
}

static bool
is(struct bytes one, char c)
{
	return one.n == 1 && *one.p == c;
}

bool
memory_is_pattern(struct bytes filter)
{
	struct bytes one;

	while (part(&filter, &one))
		if (is(one, '*') || is(one, '>'))
			return true;
	return false;
}

const char *
memory_bad_filter(struct bytes filter)
{
	struct bytes one;

	if (filter.n == 0)
		return "it is empty";
	if (filter.n > MEMORY_FILTER_MAX)
		return "longer than 2048 bytes";
	while (part(&filter, &one))
		if (is(one, '>') && filter.p)
			return "> stands for all that follows, so it is the last part of a pattern";
	return NULL;
}

const char *
memory_bad_topic(struct bytes topic)
{
	if (topic.n == 0)
		return "it is empty";
	if (topic.n > MEMORY_FILTER_MAX)
		return "longer than 2048 bytes";
	if (memory_is_pattern(topic))
		return "a pattern (with * or > for a part of it), which only sub can use";
	return NULL;
}

bool
memory_matches(struct bytes filter, struct bytes topic)
{
	struct bytes f, t;

	while (part(&filter, &f)) {
		if (is(f, '>') && !filter.p)
			return topic.p != NULL;
		if (!part(&topic, &t) || (!is(f, '*') && !bytes_eq(f, t)))
			return false;
	}
	return !topic.p;
}

static size_t
hash(struct bytes b)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * UINT64_C(1099511628211);
	return (size_t)(h >> 32);
}

/* A filter is looked at in a copy: who wrote it may be writing still. */
static bool
ring_wants(const struct memory_ring *r, struct bytes topic)
{
	uint32_t n = LOAD(r->filter_n);
	char copy[MEMORY_FILTER_MAX];

	if (LOAD(r->state) != STATE_USED || n > MEMORY_FILTER_MAX)
		return false;
	if (!r->pattern)
		return n == topic.n && memcmp(r->filter, topic.p, n) == 0;
	memcpy(copy, r->filter, n);
	return memory_matches(bytes_of(copy, n), topic);
}

struct memory_targets *
memory_route(struct memory_bus *m, struct memory_router *router, struct bytes topic)
{
	uint32_t version = LOAD(m->head->version);
	size_t at = topic.n < 8 ? topic.n : hash(topic);
	struct memory_targets **slot, *t;
	struct memory_ring *r;

	slot = &router->slot[at % (sizeof router->slot / sizeof *router->slot)];
	t = *slot;
	if (!t)
		t = *slot = xcalloc(1, sizeof *t);
	if (t->known && t->version == version && t->topic_n == topic.n &&
	    memcmp(t->topic, topic.p, topic.n) == 0)
		return t;
	if (!t->known || t->topic_n != topic.n || memcmp(t->topic, topic.p, topic.n) != 0) {
		free(t->topic);
		t->topic = xmemdup0(topic.p, topic.n);
		t->topic_n = topic.n;
	}
	t->known = true;
	t->version = version;
	t->n = 0;
	for (uint32_t i = 0; (r = memory_ring_at(m, i)); i++)
		if (ring_wants(r, topic))
			t->ring[t->n++] = (uint16_t)i;
	return t;
}

void
memory_router_release(struct memory_router *router)
{
	free(router->goals);
	router->goals = NULL;
	for (size_t i = 0; i < sizeof router->slot / sizeof *router->slot; i++) {
		if (router->slot[i])
			free(router->slot[i]->topic);
		free(router->slot[i]);
		router->slot[i] = NULL;
	}
}

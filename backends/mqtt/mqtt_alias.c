/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topic aliases: a number instead of a topic that this connection has had before.
 * The first topics get them, and keep them: whoever publishes to more topics than
 * the server takes aliases sends the others in full.
 */
#include <stdlib.h>

#include "backends/mqtt/mqtt.h"

enum { FULL = 2 };			/* at most one slot in so many is used */

void
mqtt_aliases_reset(struct mqtt_aliases *a, unsigned most)
{
	for (size_t i = 0; i < a->nslots; i++)
		free((char *)a->slots[i].topic.p);
	free(a->slots);
	*a = (struct mqtt_aliases){ .most = most };
}

/* The topic's slot, or the free one it would have. */
static struct mqtt_alias *
slot_of(const struct mqtt_aliases *a, struct bytes topic)
{
	uint64_t h = UINT64_C(14695981039346656037);
	size_t i;

	for (i = 0; i < topic.n; i++)
		h = (h ^ (unsigned char)topic.p[i]) * UINT64_C(1099511628211);
	for (i = (size_t)(h ^ h >> 32);; i++) {
		struct mqtt_alias *s = &a->slots[i & (a->nslots - 1)];

		if (!s->number || bytes_eq(s->topic, topic))
			return s;
	}
}

static void
aliases_grow(struct mqtt_aliases *a)
{
	struct mqtt_aliases old = *a;

	a->nslots = old.nslots ? old.nslots * 2 : 16;
	a->slots = xcalloc(a->nslots, sizeof *a->slots);
	for (size_t i = 0; i < old.nslots; i++)
		if (old.slots[i].number)
			*slot_of(a, old.slots[i].topic) = old.slots[i];
	free(old.slots);
}

struct mqtt_alias *
mqtt_aliases_find(struct mqtt_aliases *a, struct bytes topic)
{
	struct mqtt_alias *s;

	if (!a->most)
		return NULL;
	if ((a->used + 1) * FULL > a->nslots)
		aliases_grow(a);
	s = slot_of(a, topic);
	if (!s->number && a->used < a->most) {
		s->topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
		s->number = (uint16_t)++a->used;
		s->known_at = UINT64_MAX;
	}
	return s->number ? s : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry had when it was last looked at: see known.h. */
#include "backends/registry/known.h"

#include <stdlib.h>

#include "core/log.h"

/* One allocation, with all it points to. */
struct known {
	struct known *next;		/* in its slot */
	uint64_t hash;
	unsigned pass;			/* last seen in */
	struct service service;
	struct node node;
	size_t size;			/* of the text behind the entries of metadata */
};

static uint64_t
hash_add(uint64_t h, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	return (h ^ 0xff) * 0x100000001b3;
}

static uint64_t
hash_of(struct bytes service, struct bytes id)
{
	uint64_t h = hash_add(hash_add(0xcbf29ce484222325, service), id);

	return h ^ h >> 32;
}

static struct bytes
keep(char **to, struct bytes s)
{
	struct bytes kept = bytes_of(*to, s.n);

	if (s.n)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

static struct known *
copy(const struct service *s, const struct node *n)
{
	size_t size = s->name.n + s->version.n + s->endpoints.n + n->id.n + n->address.n;
	struct keyval *kv;
	struct known *k;
	char *to;

	for (size_t i = 0; i < n->nmetadata; i++)
		size += n->metadata[i].key.n + n->metadata[i].value.n;
	k = xcalloc(1, sizeof *k + n->nmetadata * sizeof *kv + size);
	kv = (struct keyval *)(k + 1);
	to = (char *)(kv + n->nmetadata);
	k->size = size;
	k->service = (struct service){ .name = keep(&to, s->name),
		.version = keep(&to, s->version), .nodes = &k->node, .nnodes = 1 };
	if (s->endpoints.n)
		k->service.endpoints = keep(&to, s->endpoints);
	k->node = (struct node){ .id = keep(&to, n->id), .address = keep(&to, n->address),
		.metadata = kv, .nmetadata = n->nmetadata };
	for (size_t i = 0; i < n->nmetadata; i++) {
		kv[i].key = keep(&to, n->metadata[i].key);
		kv[i].value = keep(&to, n->metadata[i].value);
	}
	return k;
}

static bool
same(const struct known *k, const struct service *s, const struct node *n)
{
	if (!bytes_eq(k->service.version, s->version) || !bytes_eq(k->node.address, n->address) ||
	    !bytes_eq(k->service.endpoints, s->endpoints) || k->node.nmetadata != n->nmetadata)
		return false;
	for (size_t i = 0; i < n->nmetadata; i++) {
		struct bytes value = { NULL, 0 };

		for (size_t j = 0; j < n->nmetadata && !value.p; j++)
			if (bytes_eq(k->node.metadata[j].key, n->metadata[i].key))
				value = k->node.metadata[j].value;
		if (!value.p || !bytes_eq(value, n->metadata[i].value))
			return false;
	}
	return true;
}

static struct known **
find(struct known_table *t, uint64_t hash, struct bytes service, struct bytes id)
{
	struct known **p = &t->slots[hash & (t->nslots - 1)];

	while (*p && ((*p)->hash != hash || !bytes_eq((*p)->service.name, service) ||
	    !bytes_eq((*p)->node.id, id)))
		p = &(*p)->next;
	return p;
}

static void
grow(struct known_table *t)
{
	struct known **old = t->slots;
	size_t n = t->nslots;

	if (t->n < n)
		return;
	t->nslots = n ? 2 * n : 16;
	t->slots = xcalloc(t->nslots, sizeof *t->slots);
	for (size_t i = 0; i < n; i++)
		for (struct known *k = old[i], *next; k; k = next) {
			struct known **to = &t->slots[k->hash & (t->nslots - 1)];

			next = k->next;
			k->next = *to;
			*to = k;
		}
	free(old);
}

static void
tell(struct known_table *t, enum registry_action action, const struct known *k)
{
	if (!t->quiet)
		t->changed(t->arg, action, &k->service);
}

void
known_begin(struct known_table *t)
{
	t->pass++;
}

void
known_see(struct known_table *t, const struct service *s, const struct node *n)
{
	uint64_t hash = hash_of(s->name, n->id);
	struct known **at, *old, *k;

	grow(t);
	at = find(t, hash, s->name, n->id);
	old = *at;
	if (old && old->pass == t->pass)
		return;
	if (old && same(old, s, n)) {
		old->pass = t->pass;
		return;
	}
	if (!old && t->n == KNOWN_MAX) {
		if (!t->full)
			log_warn("more than %d nodes: the others are not watched", KNOWN_MAX);
		t->full = true;
		return;
	}
	k = copy(s, n);
	k->hash = hash;
	k->pass = t->pass;
	k->next = old ? old->next : NULL;
	*at = k;
	if (!old)
		t->n++;
	free(old);
	tell(t, old ? REGISTRY_UPDATE : REGISTRY_CREATE, k);
}

static void
take_away(struct known_table *t, struct known **at)
{
	struct known *k = *at;

	*at = k->next;
	t->n--;
	tell(t, REGISTRY_DELETE, k);
	free(k);
}

void
known_end(struct known_table *t, struct bytes service)
{
	for (size_t i = 0; i < t->nslots; i++)
		for (struct known **p = &t->slots[i]; *p;) {
			if ((*p)->pass != t->pass &&
			    (!service.p || bytes_eq((*p)->service.name, service)))
				take_away(t, p);
			else
				p = &(*p)->next;
		}
}

void
known_forget(struct known_table *t, struct bytes service, struct bytes id)
{
	struct known **at;

	if (!t->nslots)
		return;
	at = find(t, hash_of(service, id), service, id);
	if (*at)
		take_away(t, at);
}

void
known_release(struct known_table *t)
{
	t->quiet = true;
	known_begin(t);
	known_end(t, (struct bytes){ NULL, 0 });
	free(t->slots);
	t->slots = NULL;
	t->nslots = 0;
}

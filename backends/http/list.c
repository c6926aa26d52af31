/* SPDX-License-Identifier: Apache-2.0 */
/* mbus topics: who subscribes to what, both http_dialects as one. */
#include <stdlib.h>

#include "backends/http/http.h"
#include "core/listing.h"

struct listing_made {
	struct listed_topic *topics;
	struct listed_subscriber *subscribers;
	size_t ntopics, nsubscribers;
};

/* By topic, then group (the broadcast first), then address. */
static int
by_place(const void *a, const void *b)
{
	const struct peer *x = *(struct peer *const *)a, *y = *(struct peer *const *)b;
	bool bx = strcmp(x->version, VERSION_BROADCAST) == 0;
	bool by = strcmp(y->version, VERSION_BROADCAST) == 0;
	int c = strcmp(x->topic, y->topic);

	if (!c && bx != by)
		return by - bx;
	if (!c)
		c = strcmp(x->version, y->version);
	return c ? c : strcmp(x->address, y->address);
}

static bool
is_wanted(const struct http_broker *hb, const struct peer *p)
{
	for (size_t i = 0; i < hb->list.n; i++)
		if (strcmp(hb->list.topics[i], p->topic) == 0)
			return true;
	return !hb->list.n;
}

static size_t
collect(struct http_broker *hb, struct peer **out)
{
	size_t n = 0;

	for (struct peer *p = hb->dir.peers.first; p; p = p->next)
		if (is_wanted(hb, p) && http_peers_serves(&hb->dir.peers, p))
			out[n++] = p;
	qsort(out, n, sizeof *out, by_place);
	return n;
}

static void
add_subscriber(struct listing_made *m, const struct peer *p)
{
	struct listed_topic *t = m->ntopics ? &m->topics[m->ntopics - 1] : NULL;
	bool grouped = strcmp(p->version, VERSION_BROADCAST) != 0;

	if (!t || strcmp(t->name, p->topic) != 0) {
		t = &m->topics[m->ntopics++];
		*t = (struct listed_topic){ .name = p->topic };
	}
	t->nsubscribers++;
	m->subscribers[m->nsubscribers++] = (struct listed_subscriber){ .topic = p->topic,
		.group = grouped ? p->version : NULL, .program = p->id, .where = p->address,
		.pid = -1, .lag = -1, .dropped = -1 };
}

void
http_list_looked_up(struct http_broker *hb, const struct error *err)
{
	size_t most = hb->dir.peers.n + 1, n;
	struct peer **peers = xmalloc(most * sizeof *peers);
	struct listing_made m = { xcalloc(most, sizeof *m.topics),
		xcalloc(most, sizeof *m.subscribers), 0, 0 };
	struct listing l = { .topics = m.topics, .subscribers = m.subscribers };
	listing_fn *fn = hb->list.fn;

	n = collect(hb, peers);
	for (size_t i = 0; i < n; i++)
		add_subscriber(&m, peers[i]);
	l.ntopics = m.ntopics;
	l.nsubscribers = m.nsubscribers;
	hb->list.fn = NULL;
	fn(&hb->b, err ? NULL : &l, err, hb->list.arg);
	free(peers);
	free(m.topics);
	free(m.subscribers);
}

int
http_list(struct broker *b, const char *const *topics, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	struct http_broker *hb = (struct http_broker *)b;

	hb->list.topics = topics;
	hb->list.n = n;
	(void)groups;			/* each subscriber says its own */
	hb->list.arg = arg;
	if (http_directory_look(&hb->dir, true, err) < 0)
		return -1;
	hb->list.fn = fn;
	return 0;
}

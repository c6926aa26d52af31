/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching other nodes' announcements on port 5353.
 *
 * A node announces itself three times within three seconds, and perhaps by
 * several interfaces; its goodbye comes once per interface. So what each host said
 * last about each instance is remembered, and the same again soon after is no
 * news. Later it is: then somebody registered anew, though no goodbye was heard.
 *
 * What another host says under the same name is another node's: it is no end and
 * no change of the first.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "backends/registry/mdns.h"

enum {
	BUCKETS = 1024,			/* a power of two */
	KNOWN_MAX = 10000,		/* then all is forgotten: repetitions are news again */
	REPEAT_MS = 5000		/* the announcements come at 0, 1 and 3 s */
};

struct mdns_known {
	struct mdns_known *next;
	uint64_t name, content;		/* hashes; of the name and who says it */
	uint64_t heard_ns;
	bool gone;
};

static uint64_t
hash(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

static void
forget_all(struct mdns *m)
{
	for (size_t i = 0; m->known && i < BUCKETS; i++)
		while (m->known[i]) {
			struct mdns_known *k = m->known[i];

			m->known[i] = k->next;
			free(k);
		}
	m->nknown = 0;
}

static struct mdns_known *
know(struct mdns *m, uint64_t name)
{
	struct mdns_known **bucket, *k;

	bucket = &m->known[name & (BUCKETS - 1)];
	for (k = *bucket; k; k = k->next)
		if (k->name == name)
			return k;
	if (m->nknown == KNOWN_MAX)
		forget_all(m);
	k = xcalloc(1, sizeof *k);
	k->name = name;
	k->next = *bucket;
	*bucket = k;
	m->nknown++;
	return k;
}

/* The seed keeps others from choosing names that fall into one bucket. */
static struct mdns_known *
known_as(struct mdns *m, const struct dns_name *name, const union sockaddr_any *from)
{
	uint64_t h;

	if (!m->known) {
		m->known = xcalloc(BUCKETS, sizeof(struct mdns_known *));
		if (getrandom(&m->known_seed, sizeof m->known_seed, GRND_NONBLOCK) < 0)
			m->known_seed = loop_clock_ns();
	}
	h = hash(m->known_seed, name->b, name->n);
	if (net_is_ours(from))		/* this machine has many addresses */
		return know(m, h);
	return know(m, from->sa.sa_family == AF_INET6 ? hash(h, &from->in6.sin6_addr, 16) :
		hash(h, &from->in.sin_addr, 4));
}

/* Notes what an instance says now. False: it is not news. */
static bool
is_news(struct mdns_known *k, const struct micro_instance *in, enum registry_action *action)
{
	uint64_t now = loop_clock_ns(), content = hash(in->port, in->addr, sizeof in->addr);
	bool is_new = k->heard_ns == 0, was_gone = k->gone, gone = in->ttl == 0;
	bool soon = !is_new && now - k->heard_ns < REPEAT_MS * 1000000ull;
	bool same;

	content = hash(content, in->txt.p, in->txt.n);
	same = !is_new && k->content == content;
	k->heard_ns = now;
	k->gone = gone;
	*action = gone ? REGISTRY_DELETE : REGISTRY_CREATE;
	if (gone)
		return !was_gone;
	k->content = content;
	if (is_new || was_gone)
		return true;
	if (!same)
		*action = REGISTRY_UPDATE;
	return !same || !soon;
}

static void
tell(struct mdns *m, enum registry_action action, const struct service *s)
{
	for (struct watch *w = m->watches; w; w = m->next_watch) {
		m->next_watch = w->next;
		if (!w->name.p || bytes_eq(w->name, s->name))
			w->changed(w, action, s);
	}
}

void
mdns_announced(struct mdns *m, const struct micro_instance *in, const union sockaddr_any *from)
{
	char address[NET_TEXT_MAX], source[NET_TEXT_MAX];
	enum registry_action action;
	struct mdns_known *known;
	union sockaddr_any where;
	struct dns_name service;
	struct node node;
	struct service s = { .nodes = &node, .nnodes = 1 };
	const char *why;

	if (!m->watches || !dns_name_is_under(&in->name, &m->domain))
		return;
	buf_clear(&m->text);
	dns_name_text(&m->text, &in->name, &m->domain);
	mdns_address(in, &where);
	net_text(&where, address);
	why = mdns_disbelieve(m, in, from);
	if (!why)
		why = mdns_read_txt(m, in);
	if (!why && m->txt.service.n == 0)
		why = "its TXT names no service";
	if (!why && (micro_service_name(&service, m->txt.service, &m->domain) ||
		    !dns_name_is_under(&in->name, &service)))
		why = "its TXT names another service";
	known = why ? NULL : known_as(m, &in->name, from);
	/* Who announced it may take it back, and so may the node's own machine. */
	if (known && in->ttl == 0 && !known->heard_ns && !mdns_is_from_node(in, from))
		why = "the goodbye is not its own";
	if (why) {
		log_verbose("mdns: %.*s at %s is ignored: %s (said by %s)",
			BYTES_FMT(buf_bytes(&m->text)), address, why, net_host_text(from, source));
		return;
	}
	if (!is_news(known, in, &action))
		return;
	buf_clear(&m->text);
	dns_name_text(&m->text, &in->name, &service);
	node.id = buf_bytes(&m->text);
	node.address = bytes_str(address);
	node.metadata = m->txt.metadata;
	node.nmetadata = m->txt.nmetadata;
	s.name = m->txt.service;
	s.version = m->txt.version;
	s.endpoints = m->txt.endpoints;
	tell(m, action, &s);
}

int
mdns_watch(struct registry *reg, struct watch *w, struct error *err)
{
	struct mdns *m = (struct mdns *)reg;

	if (mdns_open_port(m, err) < 0)
		return -1;
	w->next = m->watches;
	m->watches = w;
	w->added = true;
	return 0;
}

void
mdns_unwatch(struct registry *reg, struct watch *w)
{
	struct mdns *m = (struct mdns *)reg;

	for (struct watch **p = &m->watches; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	if (m->next_watch == w)
		m->next_watch = w->next;
	w->added = false;
	if (!m->watches)
		forget_all(m);
}

void
mdns_watch_release(struct mdns *m)
{
	for (struct watch *w = m->watches; w; w = w->next)
		w->added = false;
	forget_all(m);
	free(m->known);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own nodes: what a go-micro process does for each of its registrations.
 *
 *	mdns_add()	from now on queries are answered
 *	0...750 ms	three probes, random gaps of up to 250 ms
 *	then		three announcements, after 0, 1 and 3 s
 *	mdns_remove()	goodbye: the announcement with TTL 0
 *
 * Whoever says goodbye for a node of ours is answered with an announcement, so that
 * those who believed it learn better.
 *
 * For each service name with a node there is one entry more, an instance of
 * _services.micro., by which go-micro lists services. It is never announced.
 *
 * Several nodes may share an instance name (one id, two versions). go-micro's
 * readers take the first that answers; ours take all.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/random.h>

#include "backends/registry/mdns.h"

enum {
	PROBES = 3, ANNOUNCEMENTS = 3,
	PROBE_GAP_MS = 250,		/* and less */
	DEFEND_MS = 1000,		/* at least, between two such answers */
	QUESTIONS_MAX = 16		/* in a query; with more it is not answered */
};

struct mdns_entry {
	struct mdns_entry *next;
	struct mdns *m;
	struct micro_instance in;
	struct bytes service, id, version;	/* one allocation; id p NULL: the list's */
	char *txt;			/* what in.txt borrows from */
	bool local;			/* on a loopback address: for this machine only */
	bool disputed;			/* said so already */
	uint64_t defended_ns;
	unsigned step;			/* packets sent: probes, then announcements */
	uint16_t probe_id;
	struct loop_timer timer;
};

static uint16_t
random16(void)
{
	uint16_t r = 0;

	if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
		r = (uint16_t)(loop_clock_ns() >> 7);
	return r;
}

/* ---- to the group ---- */

static void
multicast(struct mdns *m, bool local)
{
	mdns_multicast(&m->port4, buf_bytes(&m->out), local);
	if (m->port6.watch.fd >= 0)
		mdns_multicast(&m->port6, buf_bytes(&m->out), local);
}

static void
send_announcement(struct mdns_entry *e, uint32_t ttl)
{
	buf_clear(&e->m->out);
	micro_add_announcement(&e->m->out, ttl, &e->in);
	multicast(e->m, e->local);
}

/* The next packet of the series, and the time of the one after it. */
static void
step(struct loop_timer *t)
{
	struct mdns_entry *e = t->arg;
	unsigned done = e->step++, wait_ms;

	if (done < PROBES) {
		buf_clear(&e->m->out);
		micro_add_probe(&e->m->out, e->probe_id, &e->in);
		multicast(e->m, e->local);
		wait_ms = random16() % PROBE_GAP_MS;
	} else {
		send_announcement(e, MICRO_TTL);
		wait_ms = 1000u << (done - PROBES);
	}
	if (e->step < PROBES + ANNOUNCEMENTS)
		loop_timer_set(e->m->base.loop, t, wait_ms);
}

/* ---- answers ---- */

/* Is there, of this service, a node that others may know of? */
static bool
has_public_node(const struct mdns *m, struct bytes service)
{
	for (const struct mdns_entry *e = m->entries; e; e = e->next)
		if (e->id.p && !e->local && bytes_eq(e->service, service))
			return true;
	return false;
}

static unsigned
count_questions(const struct dns_reader *query)
{
	struct dns_reader r = *query;
	struct dns_question q;
	unsigned n = 0;
	int rc;

	while ((rc = dns_next_question(&r, &q)) > 0)
		n++;
	return rc < 0 ? 0 : n;
}

void
mdns_answer(struct mdns *m, const struct mdns_packet *packet, const struct dns_reader *query)
{
	int fd = packet->from->sa.sa_family == AF_INET6 ? m->port6.watch.fd : m->port4.watch.fd;
	unsigned questions;
	int ours = -1;			/* not found out yet */

	if (!m->entries || fd < 0 || (query->flags & (DNS_OPCODE_MASK | DNS_RCODE_MASK)))
		return;
	/* Nor is what is no neighbour, whose address may be forged. */
	if (query->questions > QUESTIONS_MAX || !mdns_is_near(m, packet->from))
		return;
	questions = count_questions(query);
	if (questions == 0) {
		log_debug("mdns: a query of %zu bytes is malformed", packet->n);
		return;
	}
	for (struct mdns_entry *e = m->entries; e; e = e->next) {
		bool local = e->id.p ? e->local : !has_public_node(m, e->service);

		buf_clear(&m->out);
		if (!micro_add_answer(&m->out, query, &e->in))
			continue;
		if (local && ours < 0)
			ours = net_is_ours(packet->from);
		if ((local && !ours) || buf_len(&m->out) > DNS_PACKET_MAX)
			continue;
		/* One that does not fit the socket now is lost, as in any network. */
		if (sendto(fd, buf_data(&m->out), buf_len(&m->out), MSG_DONTWAIT,
			    &packet->from->sa, packet->from_len) < 0)
			log_debug("mdns: an answer could not be sent");
	}
}

static bool
says_the_same(const struct mdns_entry *e, const struct micro_instance *in)
{
	return e->in.port == in->port && in->has_addr && e->in.v6 == in->v6 &&
		memcmp(e->in.addr, in->addr, in->v6 ? 16 : 4) == 0 && bytes_eq(e->in.txt, in->txt);
}

/* Not against mere claims: two who have one name would go on for ever. */
static void
defend(struct mdns_entry *e)
{
	uint64_t now = loop_clock_ns();

	if (e->defended_ns && now - e->defended_ns < DEFEND_MS * 1000000ull)
		return;
	e->defended_ns = now;
	send_announcement(e, MICRO_TTL);
}

void
mdns_dispute(struct mdns *m, const struct micro_instance *in, const union sockaddr_any *from)
{
	struct mdns_entry *mine = NULL;
	bool goodbye = in->ttl == 0;
	char text[NET_TEXT_MAX];

	for (struct mdns_entry *e = m->entries; e; e = e->next) {
		if (!e->id.p || !dns_name_eq(&e->in.name, &in->name))
			continue;
		/* Our own packets come back to us; our goodbyes, when the entry is gone. */
		if (!goodbye && says_the_same(e, in))
			return;
		mine = e;
	}
	if (!mine)
		return;
	if (goodbye)
		defend(mine);
	if (mine->disputed)
		return;
	mine->disputed = true;
	log_verbose(goodbye ? "mdns: %s says goodbye for %.*s of %.*s, which is ours; it stays" :
		"mdns: %s says that %.*s of %.*s is its own; ours stays",
		net_host_text(from, text), BYTES_FMT(mine->id), BYTES_FMT(mine->service));
}

/* ---- adding ---- */

static struct mdns_entry *
find(struct mdns *m, struct bytes service, struct bytes id, struct bytes version)
{
	for (struct mdns_entry *e = m->entries; e; e = e->next)
		if (e->id.p && bytes_eq(e->service, service) && bytes_eq(e->id, id) &&
		    bytes_eq(e->version, version))
			return e;
	return NULL;
}

static struct mdns_entry **
find_list(struct mdns *m, struct bytes service)
{
	struct mdns_entry **p = &m->entries;

	while (*p && ((*p)->id.p || !bytes_eq((*p)->service, service)))
		p = &(*p)->next;
	return p;
}

/* The node as an instance with all but its TXT. */
static int
set_instance(struct mdns *m, struct micro_instance *in, const struct service *s,
	struct error *err)
{
	const struct node *node = &s->nodes[0];
	union sockaddr_any a;
	const char *why;
	socklen_t len;

	memset(in, 0, sizeof *in);
	why = micro_service_name(&in->service, s->name, &m->domain);
	if (why)
		return error_set(err, ERR_REFUSED, "mdns: service name %.*s: %s",
			BYTES_FMT(s->name), why);
	why = micro_name(&in->name, node->id, &in->service);
	if (why)
		return error_set(err, ERR_REFUSED, "mdns: node id %.*s: %s", BYTES_FMT(node->id),
			why);
	in->host = m->host;
	if (!net_parse(node->address, &a, &len))
		return error_set(err, ERR_REFUSED, "mdns: node address %.*s is no IP address with "
			"a port", BYTES_FMT(node->address));
	in->v6 = a.sa.sa_family == AF_INET6;
	in->port = ntohs(in->v6 ? a.in6.sin6_port : a.in.sin_port);
	memcpy(in->addr, in->v6 ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr,
		in->v6 ? 16 : 4);
	in->has_addr = true;
	/* Others would not believe it; better to say so here. */
	why = mdns_unusable(in);
	if (why)
		return error_set(err, ERR_REFUSED, "mdns: node address %.*s: %s",
			BYTES_FMT(node->address), why);
	return 0;
}

/* Does the largest of its packets (an answer that echoes the longest question, or
 * the probe) fit? */
static int
check_size(const struct micro_instance *in, struct error *err)
{
	size_t n = in->txt.n + 3 * (size_t)in->name.n + in->service.n +
		2 * (size_t)in->host.n + 100;

	if (n <= DNS_PACKET_MAX)
		return 0;
	return error_set(err, ERR_REFUSED, "mdns: over 65,507 bytes, which is what a packet holds "
		"(%zu of metadata, compressed and in hex)", in->txt.n);
}

static struct mdns_entry *
new_entry(struct mdns *m, const struct service *s, const struct node *node)
{
	size_t nid = node ? node->id.n : 0;
	struct mdns_entry *e = xcalloc(1, sizeof *e + s->name.n + nid + s->version.n);
	char *p = (char *)(e + 1);

	e->m = m;
	e->service = bytes_of(memcpy(p, s->name.p, s->name.n), s->name.n);
	p += s->name.n;
	if (node) {
		e->id = bytes_of(memcpy(p, node->id.p, nid), nid);
		p += nid;
	}
	e->version = bytes_of(p, s->version.n);
	if (s->version.n)
		memcpy(p, s->version.p, s->version.n);
	e->timer.fn = step;
	e->timer.arg = e;
	e->probe_id = random16();
	return e;
}

/* Takes over the instance, whose TXT is the buffer's content. */
static void
set_entry(struct mdns_entry *e, const struct micro_instance *in, struct buf *txt)
{
	union sockaddr_any a;

	free(e->txt);
	e->in = *in;
	e->txt = xmalloc(buf_len(txt) + 1);
	memcpy(e->txt, buf_data(txt), buf_len(txt));
	e->in.txt = bytes_of(e->txt, buf_len(txt));
	mdns_address(in, &a);
	e->local = net_is_loopback(&a);
}

/* go-micro's "wildcard" entry. */
static void
add_list(struct mdns *m, const struct service *s)
{
	struct mdns_entry **p = find_list(m, s->name), *e;

	if (*p)
		return;
	e = new_entry(m, s, NULL);
	/* Longer than the service's own name by a constant; where it does not fit,
	 * the service is found by its name and missing from lists only. */
	if (micro_service_name(&e->in.service, BYTES("_services"), &m->domain) ||
	    micro_name(&e->in.name, s->name, &e->in.service)) {
		free(e);
		return;
	}
	e->in.host = m->host;
	e->in.port = MICRO_LIST_PORT;
	e->in.has_addr = true;		/* 0.0.0.0, as go-micro has it */
	e->in.txt = BYTES("");
	*p = e;
}

int
mdns_add(struct registry *reg, const struct service *s, unsigned ttl_ms,
	struct registry_reply *reply, struct error *err)
{
	struct mdns *m = (struct mdns *)reg;
	const struct node *node = &s->nodes[0];
	struct micro_instance in;
	struct buf txt = BUF_INIT;
	struct mdns_entry *e;
	int rc = -1;

	(void)reply;
	(void)ttl_ms;			/* mdns nodes do not expire: they stop answering */
	if (set_instance(m, &in, s, err) < 0)
		return -1;
	micro_txt_write(&txt, s->name, s->version, node->metadata, node->nmetadata, s->endpoints);
	in.txt = buf_bytes(&txt);
	if (check_size(&in, err) < 0 || mdns_open_port(m, err) < 0)
		goto out;
	rc = 0;
	e = find(m, s->name, node->id, s->version);
	if (e && e->in.port == in.port && e->in.v6 == in.v6 && bytes_eq(e->in.txt, in.txt) &&
	    memcmp(e->in.addr, in.addr, sizeof in.addr) == 0)
		goto out;
	if (e) {
		e->step = PROBES;	/* changed: it is announced anew */
	} else {
		e = new_entry(m, s, node);
		e->next = m->entries;
		m->entries = e;
	}
	set_entry(e, &in, &txt);
	add_list(m, s);
	step(&e->timer);
out:
	buf_release(&txt);
	return rc;
}

/* ---- removing ---- */

static void
free_entry(struct mdns_entry *e)
{
	loop_timer_clear(e->m->base.loop, &e->timer);
	free(e->txt);
	free(e);
}

static bool
has_node(const struct mdns *m, struct bytes service)
{
	for (const struct mdns_entry *e = m->entries; e; e = e->next)
		if (e->id.p && bytes_eq(e->service, service))
			return true;
	return false;
}

void
mdns_remove(struct registry *reg, const struct service *s)
{
	struct mdns *m = (struct mdns *)reg;
	struct mdns_entry *e = find(m, s->name, s->nodes[0].id, s->version), **p = &m->entries;

	if (!e)
		return;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	send_announcement(e, 0);
	free_entry(e);
	if (!has_node(m, s->name) && *(p = find_list(m, s->name))) {
		e = *p;
		*p = e->next;
		free_entry(e);
	}
}

void
mdns_respond_release(struct mdns *m)
{
	while (m->entries) {
		struct mdns_entry *e = m->entries;

		m->entries = e->next;
		if (e->id.p)
			send_announcement(e, 0);
		free_entry(e);
	}
}

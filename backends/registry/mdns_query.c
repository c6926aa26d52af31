/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups of the mdns registry.
 *
 * Lookups that begin together (the http broker asks for two service names) make
 * a round: one socket at an ephemeral port, one question each. Each node answers
 * for itself and nobody knows how many there are, so a round needs a rule to
 * end by:
 *
 *	go-micro waits 100 ms, always. So do we for a lookup that wants all, and
 *	while nothing that was looked for has been found (after 30 ms the
 *	question is sent once more, in case it was lost).
 *
 *	Else the round ends by silence. This machine's responders have had their
 *	chance once the kernel has no unread packet for any of them
 *	(mdns_backlog.c), and SETTLE_MS later they have answered; that is looked
 *	up and not guessed, for on a busy machine they are tens of milliseconds
 *	late. With QUIET_MS without an answer besides, the round is over.
 *
 *	As soon as another machine has answered there may be more of those, whose
 *	load nobody here knows: then it takes FAR_QUIET_MS of silence, or as
 *	long as the last answer took to come if that is longer.
 *
 * How often a live node is missed by this was measured: see the manual page.
 * The last answer may lie in the socket when the timer fires on a busy machine,
 * so the socket is emptied before a round is ended.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "backends/registry/mdns.h"

enum {
	FULL_MS = 100,
	QUIET_MS = 3,
	FAR_QUIET_MS = 25,
	SETTLE_MS = 2,			/* from reading the question to having answered */
	LOOK_MS = 1,			/* between looks at the backlog */
	AGAIN_MS = 30,
	TOGETHER_US = 1000,		/* lookups this close make one round */
	NODES_MAX = 10000		/* reported to one lookup */
};

#define MS 1000000ull			/* in ns */

/* One lookup. It outlives its user's struct lookup when cancelled from within a
 * callback: user is NULL then, and the round frees it later. */
struct ask {
	struct ask *next;
	struct lookup *user;
	struct dns_name name;		/* what was asked for */
	struct bytes service;		/* NULL: the list of services */
	bool relevant;
	unsigned reported;
};

struct mdns_round {
	struct mdns_round *next;
	struct mdns *m;
	struct mdns_socket four, six;
	struct ask *asks;
	struct loop_timer timer;
	uint64_t asked_ns, last_ns;	/* last answer; 0: none yet */
	uint64_t read_ns;		/* when this machine had read it; 0: not known yet */
	bool relevant;			/* something looked for was found */
	bool far;			/* another machine has answered */
	bool again;
};

/* ---- answers ---- */

/* Has the user room for that one? Counts it. */
static bool
has_room(struct ask *a)
{
	if (a->reported == NODES_MAX)
		log_verbose("mdns: more than %d answers for one lookup: the rest is ignored",
			NODES_MAX);
	return a->reported++ < NODES_MAX;
}

static void
report(struct mdns_round *r, struct ask *a, const struct service *s)
{
	if (!has_room(a))
		return;
	if (!a->user->found(a->user, s))
		return;
	a->relevant = true;
	r->relevant = true;
}

static void
found_name(struct mdns_round *r, struct ask *a, const struct micro_instance *in,
	const union sockaddr_any *from)
{
	struct mdns *m = r->m;
	struct service s = { .version = BYTES("") };

	if (in->ttl == 0 || !mdns_is_near(m, from))
		return;
	buf_clear(&m->text);
	dns_name_text(&m->text, &in->name, &a->name);
	s.name = buf_bytes(&m->text);
	report(r, a, &s);
}

/* "go.micro.http.broker" lies under "micro.http.broker" too, as far as names go. */
static bool
is_longer_service(struct bytes found, struct bytes asked)
{
	return found.n > asked.n && found.p[found.n - asked.n - 1] == '.' &&
		bytes_eq(bytes_of(found.p + found.n - asked.n, asked.n), asked);
}

static void
found_node(struct mdns_round *r, struct ask *a, const struct micro_instance *in,
	const union sockaddr_any *from)
{
	struct mdns *m = r->m;
	char address[NET_TEXT_MAX], source[NET_TEXT_MAX];
	union sockaddr_any where;
	struct node node;
	struct service s = { .nodes = &node, .nnodes = 1 };
	const char *why = in->ttl == 0 ? "it says goodbye" : mdns_disbelieve(m, in, from);
	const char *unread = why && (in->ttl == 0 || !a->user->refused) ? why :
		mdns_read_txt(m, in);

	buf_clear(&m->text);
	dns_name_text(&m->text, &in->name, &a->name);
	mdns_address(in, &where);
	/* This machine, heard by way of another interface: loopback has said it. */
	if (why && net_is_loopback(&where) && from->sa.sa_family == AF_INET6 &&
	    !net_is_loopback(from) && net_is_ours(from))
		return;
	if (!unread && is_longer_service(m->txt.service, a->service))
		return;
	if (!unread && !bytes_eq(m->txt.service, a->service))
		unread = "its TXT names another service";
	if (why || unread)
		log_verbose("mdns: %.*s at %s is ignored: %s (said by %s)",
			BYTES_FMT(buf_bytes(&m->text)), net_text(&where, address),
			why ? why : unread, net_host_text(from, source));
	if (unread)
		return;
	node.id = buf_bytes(&m->text);
	node.address = bytes_str(net_text(&where, address));
	node.metadata = m->txt.metadata;
	node.nmetadata = m->txt.nmetadata;
	s.name = m->txt.service;
	s.version = m->txt.version;
	s.endpoints = m->txt.endpoints;
	if (!why)
		report(r, a, &s);
	else if (has_room(a))
		a->user->refused(a->user, &s, why);
}

static void
answer(struct mdns_socket *s, const struct mdns_packet *packet)
{
	struct mdns_round *r = s->arg;
	struct micro_reader reader;
	struct micro_instance in;
	struct dns_reader dns;
	int rc = 0;

	if (!dns_open(&dns, packet->p, packet->n) || !(dns.flags & DNS_FLAG_QR)) {
		log_debug("mdns: a packet of %zu bytes is no answer", packet->n);
		return;
	}
	r->m->cost = 0;
	micro_read(&reader, &dns);
	while (!mdns_overspent(r->m) && (rc = micro_next(&reader, &in)) > 0) {
		r->m->cost += MDNS_NODE_COST;
		for (struct ask *a = r->asks; a; a = a->next) {
			if (!a->user || !dns_name_is_under(&in.name, &a->name))
				continue;
			r->last_ns = loop_clock_ns();
			r->far = r->far || !net_is_ours(packet->from);
			if (a->service.p)
				found_node(r, a, &in, packet->from);
			else
				found_name(r, a, &in, packet->from);
		}
	}
	if (rc < 0)
		log_debug("mdns: an answer of %zu bytes is malformed", packet->n);
}

/* ---- asking ---- */

static unsigned
send_query(struct mdns_round *r, const struct ask *a)
{
	struct mdns *m = r->m;
	unsigned sent = 0;
	uint16_t id;

	if (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id)
		id = (uint16_t)loop_clock_ns();
	buf_clear(&m->out);
	micro_add_query(&m->out, id, &a->name);
	if (r->four.watch.fd >= 0)
		sent += mdns_multicast(&r->four, buf_bytes(&m->out), false);
	if (r->six.watch.fd >= 0)
		sent += mdns_multicast(&r->six, buf_bytes(&m->out), false);
	return sent;
}

static void
free_round(struct mdns_round *r)
{
	struct ask *next;

	for (struct ask *a = r->asks; a; a = next) {
		next = a->next;
		free(a);
	}
	mdns_close(&r->four);
	mdns_close(&r->six);
	loop_timer_clear(r->m->base.loop, &r->timer);
	free(r);
}

static bool
has_users(const struct mdns_round *r)
{
	for (const struct ask *a = r->asks; a; a = a->next)
		if (a->user)
			return true;
	return false;
}

/* Rounds nobody waits for any more; never from within one of their callbacks. */
static void
sweep(struct loop_task *t)
{
	struct mdns *m = t->arg;

	for (struct mdns_round **p = &m->rounds, *r; (r = *p);) {
		if (has_users(r)) {
			p = &r->next;
			continue;
		}
		*p = r->next;
		free_round(r);
	}
}

static void
sweep_later(struct mdns *m)
{
	m->sweep.fn = sweep;
	m->sweep.arg = m;
	loop_defer(m->base.loop, &m->sweep);
}

/* ---- the end ---- */

/* When this lookup ends as things are now. */
static uint64_t
end_ns(const struct mdns_round *r, const struct ask *a)
{
	uint64_t full = r->asked_ns + FULL_MS * MS, took, quiet, end;

	if (a->user->all || r->m->wait == MDNS_FULL || !r->relevant || !r->read_ns)
		return full;
	took = r->last_ns - r->asked_ns;
	quiet = (r->far ? FAR_QUIET_MS : QUIET_MS) * MS;
	if (r->far && took > quiet)
		quiet = took;
	end = r->last_ns + quiet;
	if (end < r->read_ns + SETTLE_MS * MS)
		end = r->read_ns + SETTLE_MS * MS;
	return end < full ? end : full;
}

/* Does anybody wait for this round to end by silence? */
static bool
is_quick(const struct mdns_round *r)
{
	for (const struct ask *a = r->asks; a; a = a->next)
		if (a->user && !a->user->all)
			return r->relevant && r->m->wait == MDNS_QUICK;
	return false;
}

static void
look_at_backlog(struct mdns_round *r, uint64_t now)
{
	enum mdns_backlog b;

	if (r->read_ns || !is_quick(r))
		return;
	b = mdns_backlog(r->m, r->six.watch.fd >= 0);
	if (b == MDNS_BACKLOG_SOME)
		return;
	r->read_ns = now;
	/* Where the kernel does not say, this machine is as unknown as others. */
	r->far = r->far || b == MDNS_BACKLOG_UNKNOWN;
}

static void
set_timer(struct mdns_round *r)
{
	uint64_t now = loop_clock_ns(), at = UINT64_MAX;

	for (const struct ask *a = r->asks; a; a = a->next) {
		uint64_t end = a->user ? end_ns(r, a) : UINT64_MAX;

		at = end < at ? end : at;
	}
	if (at == UINT64_MAX)
		return;
	if (!r->relevant && !r->again && at > r->asked_ns + AGAIN_MS * MS)
		at = r->asked_ns + AGAIN_MS * MS;
	if (!r->read_ns && is_quick(r) && at > now + LOOK_MS * MS)
		at = now + LOOK_MS * MS;
	loop_timer_set_at(r->m->base.loop, &r->timer, at);
}

static void
ask_again(struct mdns_round *r)
{
	r->again = true;
	for (const struct ask *a = r->asks; a; a = a->next)
		if (a->user)
			send_query(r, a);
}

static void
round_due(struct loop_timer *t)
{
	struct mdns_round *r = t->arg;
	uint64_t now;

	if (r->four.watch.fd >= 0)
		mdns_receive(&r->four, true);
	if (r->six.watch.fd >= 0)
		mdns_receive(&r->six, true);
	now = loop_clock_ns();
	look_at_backlog(r, now);
	if (!r->relevant && !r->again && now >= r->asked_ns + AGAIN_MS * MS)
		ask_again(r);
	for (struct ask *a = r->asks; a; a = a->next) {
		struct lookup *user = a->user;

		if (!user || now < end_ns(r, a))
			continue;
		a->user = NULL;
		user->priv = NULL;
		user->done(user, NULL);
	}
	sweep_later(r->m);
	set_timer(r);
}

/* The first relevant answer brings the end nearer; after that round_due() finds
 * out by itself that it moved away again. */
static void
packet(struct mdns_socket *s, const struct mdns_packet *p)
{
	struct mdns_round *r = s->arg;
	bool was = r->relevant;

	answer(s, p);
	if (r->relevant && !was)
		set_timer(r);
}

/* ---- the ops ---- */

static struct mdns_round *
new_round(struct mdns *m, struct error *err)
{
	struct mdns_round *r;

	if (mdns_interfaces(m, err) < 0)
		return NULL;
	r = xcalloc(1, sizeof *r);
	r->m = m;
	r->four.watch.fd = r->six.watch.fd = -1;
	r->timer.fn = round_due;
	r->timer.arg = r;
	if (mdns_open(m, &r->four, false, err) < 0 ||
	    (mdns_needs_v6(m) && mdns_open(m, &r->six, true, err) < 0)) {
		free_round(r);
		return NULL;
	}
	r->four.packet = r->six.packet = packet;
	r->four.arg = r->six.arg = r;
	r->asked_ns = loop_clock_ns();
	r->next = m->rounds;
	m->rounds = r;
	return r;
}

static int
start_ask(struct mdns *m, struct lookup *l, const struct dns_name *name, struct bytes service,
	struct error *err)
{
	struct mdns_round *r = m->rounds;
	struct ask *a;

	if (!r || r->last_ns || loop_clock_ns() - r->asked_ns > TOGETHER_US * 1000ull)
		r = new_round(m, err);
	if (!r)
		return -1;
	a = xcalloc(1, sizeof *a + service.n);
	a->name = *name;
	if (service.p) {
		a->service = bytes_of(a + 1, service.n);
		memcpy(a + 1, service.p, service.n);
	}
	if (send_query(r, a) == 0) {
		free(a);
		sweep_later(m);
		return error_sys(err, ERR_CONNECT, "mdns: no interface takes a multicast packet");
	}
	a->user = l;
	a->next = r->asks;
	r->asks = a;
	l->priv = a;
	set_timer(r);
	return 0;
}

int
mdns_get(struct registry *reg, struct bytes service, struct lookup *l, struct error *err)
{
	struct mdns *m = (struct mdns *)reg;
	struct dns_name name;
	const char *why = micro_service_name(&name, service, &m->domain);

	if (why)
		return error_set(err, ERR_USAGE, "mdns: service %.*s cannot be asked for: %s",
			BYTES_FMT(service), why);
	return start_ask(m, l, &name, service, err);
}

int
mdns_list(struct registry *reg, struct lookup *l, struct error *err)
{
	struct mdns *m = (struct mdns *)reg;
	struct dns_name name;
	const char *why = micro_service_name(&name, BYTES("_services"), &m->domain);

	if (why)
		return error_set(err, ERR_USAGE, "mdns.domain: %s", why);
	return start_ask(m, l, &name, bytes_of(NULL, 0), err);
}

void
mdns_cancel(struct registry *reg, struct lookup *l)
{
	struct ask *a = l->priv;

	if (!a)
		return;
	a->user = NULL;
	l->priv = NULL;
	sweep_later((struct mdns *)reg);
}

void
mdns_query_release(struct mdns *m)
{
	loop_task_cancel(&m->sweep);
	while (m->rounds) {
		struct mdns_round *r = m->rounds;

		m->rounds = r->next;
		free_round(r);
	}
}

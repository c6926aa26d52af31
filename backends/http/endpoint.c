/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a node, and what becomes of the requests on it: see endpoint.h.
 *
 * The first request on a connection goes alone; its answer shows that the node
 * lives and keeps connections, and opens the window.
 *
 * When a connection goes, what was in flight is sent once more on a new one: a
 * keep-alive connection may be closed by its server at any moment, and only so
 * can that be told from a dead node. The subscriber may then see it twice. Lost
 * a second time, its fate is unknown. So each connection that goes settles a
 * request or marks one, and there is an end to it.
 *
 * After such a loss requests go one at a time, so that a server that closes after
 * each answer, or each few, gets nothing twice again; a connection that has borne
 * `calm` answers is no such server's, and its window doubles, and so on. Each loss
 * doubles `calm`, too.
 */
#include <stdlib.h>

#include "backends/http/endpoint_impl.h"
#include "core/log.h"
#include "core/net.h"

enum {
	DOWN_MS = 1000,			/* a node that failed is left alone for so long */
	OUT_MAX = 512 * 1024,		/* rendered and not yet taken by the kernel */
	CALM_FIRST = 32,		/* answers before a window opens again */
	CALM_MAX = 64 * 1024,
	/* A node that sends its answers one by one wakes us for each. While more
	 * than this many are to come, and eight times what came, we look away for
	 * a millisecond: a Go subscriber then needs 4 to 17 times less CPU an event. */
	NAP_FLYING = 64,
	NAP_NS = 1000 * 1000
};

static struct endpoint **
bucket(struct endpoints *set, const char *address)
{
	uint64_t h = set->seed;

	for (const char *p = address; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3;
	return &set->buckets[(h ^ h >> 32) % ENDPOINT_BUCKETS];
}

static void
endpoint_free(struct endpoint *e)
{
	struct endpoint **p = bucket(e->set, e->address);

	if (e->busy) {
		e->doomed = true;
		return;
	}
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	loop_task_cancel(&e->pump);
	loop_task_cancel(&e->fail);
	loop_timer_clear(e->set->loop, &e->nap);
	stream_close(e->stream);
	free(e->ring);
	free(e->address);
	free(e);
}

static void
endpoint_idle(struct endpoint *e)
{
	e->busy = false;
	if (e->doomed)
		endpoint_free(e);
}

/* ---- failing ---- */

static void
endpoint_hang_up(struct endpoint *e)
{
	stream_close(e->stream);
	loop_timer_clear(e->set->loop, &e->nap);
	e->stream = NULL;
	e->proven = e->no_more = e->chunked = false;
	e->body_left = 0;
	e->drip = (struct http_drip){ 0 };
	e->interim = 0;
	e->window = e->window ? 1 : 0;
	e->answered = 0;
}

/* Requests in flight may be lost by this node: so few of them at first. */
static void
endpoint_calm_down(struct endpoint *e)
{
	e->window = 1;
	e->calm = !e->calm ? CALM_FIRST : e->calm < CALM_MAX ? 2 * e->calm : CALM_MAX;
}

static void
endpoint_went_well(struct endpoint *e, uint64_t answers)
{
	e->answered += answers;
	if (!e->window || e->answered < e->calm)
		return;
	e->answered = 0;
	e->window *= 2;
	if (e->window >= e->set->depth)
		e->window = 0;
}

/* Every request gets its result. known: what was in flight is known not to have
 * been taken. */
static void
endpoint_fail_all(struct endpoint *e, const struct error *err)
{
	uint64_t head = e->head, sent = e->sent, tail = e->tail, n = tail - head;
	struct request *all = xmalloc((size_t)n * sizeof *all + 1);
	struct error why = *err;	/* err may be e->down */

	for (uint64_t i = head; i < tail; i++)
		all[i - head] = *at(e, i);
	e->head = e->sent = e->tail = 0;
	e->down = why;
	e->down_until_ns = loop_clock_ns() + DOWN_MS * 1000000ull;
	for (uint64_t i = 0; i < n; i++) {
		/* Over TLS a node breaks off before it reads anything. */
		bool left = head + i < sent && !all[i].skipped && why.kind != ERR_AUTH &&
			why.kind != ERR_NOTFOUND;

		endpoint_done(e, &all[i], &why, 0, left || all[i].lost);
	}
	free(all);
}

/* Takes those in flight that were lost before off the ring, and marks the others. */
static struct request *
endpoint_lost_twice(struct endpoint *e, size_t *n)
{
	struct request *twice = xmalloc((size_t)(e->sent - e->head) * sizeof *twice + 1);
	uint64_t to = e->sent;

	*n = 0;
	for (uint64_t i = e->sent; i-- > e->head;)
		if (at(e, i)->lost)
			twice[(*n)++] = *at(e, i);
		else
			*at(e, --to) = *at(e, i);
	e->head = to;
	for (uint64_t i = e->head; i < e->sent; i++)
		at(e, i)->lost = true;
	return twice;
}

/* The connection has gone. What was in flight once is sent again. */
static void
endpoint_lost(struct endpoint *e, const struct error *err)
{
	bool lives = e->proven && err->kind != ERR_AUTH, answered_all = e->no_more;
	struct request *twice = NULL;
	size_t n = 0;

	endpoint_hang_up(e);
	if (e->head < e->sent && !lives) {
		endpoint_fail_all(e, err);
		return;
	}
	if (e->sent - e->head > 1)
		endpoint_calm_down(e);
	if (!answered_all)
		twice = endpoint_lost_twice(e, &n);
	e->sent = e->head;
	if (e->head < e->tail)
		loop_defer(e->set->loop, &e->pump);
	while (n-- > 0)			/* the oldest stands last */
		endpoint_done(e, &twice[n], err, 0, !twice[n].skipped);
	free(twice);
}

static void
endpoint_fail_task(struct loop_task *t)
{
	struct endpoint *e = t->arg;
	struct error err = e->down;

	e->busy = true;
	endpoint_hang_up(e);
	endpoint_fail_all(e, &err);
	endpoint_idle(e);
}

/* The node speaks something else than HTTP, or lies: nothing it says counts. */
static void
endpoint_broken(struct endpoint *e, const char *why)
{
	struct error err;

	error_set(&err, why == http_endpoint_wants_tls ? ERR_NOTFOUND : ERR_CONNECT, "%s: %s",
		e->address, why);
	endpoint_hang_up(e);
	/* Some servers say good-bye to an idle connection in words (408). */
	if (e->head < e->tail)
		endpoint_fail_all(e, &err);
	else
		log_debug("http: %s", err.text);
}

/* ---- answers ---- */

/* What came behind its last answer was not looked at, nor is the rest of its body. */
static void
endpoint_no_more(struct endpoint *e)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: closed the connection", e->address);
	endpoint_lost(e, &err);
}

static void
endpoint_nap_over(struct loop_timer *t)
{
	struct endpoint *e = t->arg;

	stream_pause(e->stream, false);
}

static void
endpoint_nap(struct endpoint *e, uint64_t answers)
{
	uint64_t flying = e->sent - e->head;

	/* Without an answer there was only the beginning of one: what is behind it
	 * must be read. */
	if (!e->stream || !answers || flying < NAP_FLYING || flying < 8 * answers)
		return;
	stream_pause(e->stream, true);
	loop_timer_set_at(e->set->loop, &e->nap, loop_clock_ns() + NAP_NS);
}

static size_t
endpoint_data(struct stream *st, char *p, size_t n)
{
	struct endpoint *e = stream_arg(st);
	const char *why = NULL;
	size_t used = 0;
	uint64_t before = e->head;

	e->busy = true;
	while (used < n && !why && e->stream == st) {
		size_t took = http_endpoint_take(e, p + used, n - used, &why);

		if (took == 0)
			break;
		used += took;
	}
	if (e->stream == st)
		endpoint_went_well(e, e->head - before);
	if (why && e->stream == st) {
		endpoint_broken(e, why);
		used = n;
	} else if (e->stream == st && e->no_more && (e->head < e->tail || !endpoint_in_body(e))) {
		endpoint_no_more(e);
		used = n;
	} else {
		endpoint_nap(e, e->head - before);
	}
	if (e->sent < e->tail)
		loop_defer(e->set->loop, &e->pump);
	endpoint_idle(e);
	return used;
}

/* ---- requests ---- */

static int endpoint_connect(struct endpoint *, struct error *);

/* Sends what the window has room for. */
static void
endpoint_fill(struct endpoint *e)
{
	size_t depth = !e->proven ? 1 : e->window ? e->window : e->set->depth;

	while (e->sent < e->tail && e->sent - e->head < depth &&
	    buf_len(stream_out(e->stream)) < OUT_MAX) {
		struct request *r = at(e, e->sent++);

		if (r->flight)
			e->set->user->render(e->set->arg, r, e->address, stream_out(e->stream));
		else
			r->skipped = true;
		http_endpoint_drop_skipped(e);
	}
	stream_kick(e->stream);
}

static void
endpoint_pump(struct loop_task *t)
{
	struct endpoint *e = t->arg;

	if (!e->stream && e->head < e->tail && endpoint_connect(e, &e->down) < 0) {
		endpoint_fail_task(&e->fail);
		return;
	}
	if (!e->stream || !stream_is_open(e->stream))
		return;
	e->busy = true;
	if (e->no_more && e->head < e->tail)
		endpoint_no_more(e);
	else if (!e->no_more)
		endpoint_fill(e);
	endpoint_idle(e);
}

static void
endpoint_opened(struct stream *st)
{
	struct endpoint *e = stream_arg(st);

	log_debug("http: connected to %s", e->address);
	loop_defer(e->set->loop, &e->pump);
}

static void
endpoint_drained(struct stream *st)
{
	struct endpoint *e = stream_arg(st);

	if (e->sent < e->tail)
		loop_defer(e->set->loop, &e->pump);
}

static void
endpoint_closed(struct stream *st, const struct error *err)
{
	struct endpoint *e = stream_arg(st);
	struct error gone;

	if (!err) {
		error_set(&gone, ERR_CONNECT, "%s: closed the connection", e->address);
		err = &gone;
	}
	log_debug("http: %s", err->text);
	e->busy = true;
	if (e->sent == e->head && e->tail > e->head && !e->proven && !e->no_more) {
		endpoint_hang_up(e);		/* it never came up */
		endpoint_fail_all(e, err);
	} else {
		endpoint_lost(e, err);
	}
	endpoint_idle(e);
}

static const struct stream_ops endpoint_ops = {
	.on_open = endpoint_opened,
	.on_data = endpoint_data,
	.on_drained = endpoint_drained,
	.on_closed = endpoint_closed,
};

static int
endpoint_connect(struct endpoint *e, struct error *err)
{
	struct stream_limits limits = {
		.input_max = ANSWER_MAX,
		.connect_timeout_ms = e->set->opts->connect_timeout_ms,
	};
	union sockaddr_any a;
	socklen_t len;

	/* Whoever reaches the registry chooses it: no Unix socket of the user's. */
	if (!net_parse(bytes_str(e->address), &a, &len))
		return error_set(err, ERR_CONNECT, "%s: a node's address that is no IP address "
			"and port", e->address);
	e->stream = stream_connect(e->set->loop, e->address, &endpoint_ops, &limits, e, err);
	if (e->stream && e->secure &&
	    e->set->user->secure(e->set->arg, e->stream, e->address, err) < 0)
		endpoint_hang_up(e);
	return e->stream ? 0 : -1;
}

void
http_endpoint_send(struct endpoint *e, const struct request *r)
{
	if (e->tail - e->head == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 16;
		struct request *ring = xmalloc(cap * sizeof *ring);

		for (uint64_t i = e->head; i < e->tail; i++)
			ring[i & (cap - 1)] = *at(e, i);
		free(e->ring);
		e->ring = ring;
		e->cap = cap;
	}
	*at(e, e->tail++) = *r;
	loop_defer(e->set->loop, &e->pump);
}

/* ---- the set of them ---- */

struct endpoint *
http_endpoint_get(struct endpoints *set, const char *address, unsigned kind, bool secure)
{
	struct endpoint **first = bucket(set, address), *e = *first;

	while (e && (e->kind != kind || e->secure != secure || strcmp(e->address, address) != 0))
		e = e->next;
	if (!e) {
		e = xcalloc(1, sizeof *e);
		e->set = set;
		e->address = xstrdup(address);
		e->kind = kind;
		e->secure = secure;
		e->pump.fn = endpoint_pump;
		e->fail.fn = endpoint_fail_task;
		e->nap.fn = endpoint_nap_over;
		e->pump.arg = e->fail.arg = e->nap.arg = e;
		e->next = *first;
		*first = e;
	}
	e->users++;
	return e;
}

void
http_endpoint_unused(struct endpoint *e)
{
	if (--e->users == 0)	/* requests refer to peers, so none is left */
		endpoint_free(e);
}

const struct error *
http_endpoint_down(const struct endpoint *e)
{
	return e->down_until_ns && loop_clock_ns() < e->down_until_ns ? &e->down : NULL;
}

static unsigned
endpoint_forget(struct endpoint *e, const struct flight *fl)
{
	unsigned sent = 0;
	bool stuck = false;

	for (uint64_t i = e->head; i < e->tail; i++) {
		struct request *r = at(e, i);

		if (r->flight != fl)
			continue;
		r->flight = NULL;
		sent += i < e->sent || r->lost;
		stuck |= i == e->head && i < e->sent;
	}
	/* It has not answered the oldest in all that time, and what came behind it
	 * waits in vain. */
	if (stuck) {
		error_set(&e->down, ERR_UNKNOWN, "%s: no answer within %u ms", e->address,
			e->set->opts->timeout_ms);
		loop_defer(e->set->loop, &e->fail);
	}
	return sent;
}

unsigned
http_endpoints_forget(struct endpoints *set, const struct flight *fl)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < ENDPOINT_BUCKETS; i++)
		for (struct endpoint *e = set->buckets[i]; e; e = e->next)
			sent += endpoint_forget(e, fl);
	return sent;
}

void
http_endpoints_stop(struct endpoints *set)
{
	struct endpoint *e, *next;

	for (unsigned i = 0; i < ENDPOINT_BUCKETS; i++)
		for (e = set->buckets[i]; e; e = next) {
			e->busy = true;		/* or its last user would free it under us */
			while (e->head < e->tail) {
				struct request r = *at(e, e->head++);

				r.flight = NULL;
				endpoint_done(e, &r, NULL, 0, false);
			}
			next = e->next;
			endpoint_idle(e);
		}
}

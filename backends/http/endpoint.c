/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One keep-alive connection to a subscriber, with pipelined requests: that keeps
 * the publisher's order and is fast at once (design.md 2).
 *
 * Requests stand in a ring: [head, sent) have left and wait for their answers,
 * [sent, tail) have not left yet. The first on a connection goes alone; its
 * answer shows that the node lives and keeps connections, and opens the window.
 *
 * When a connection goes, what was in flight is sent once more on a new one: a
 * keep-alive connection may be closed by its server at any moment, and only so
 * can that be told from a dead node. The subscriber may then see it twice. Lost
 * a second time, its fate is unknown. So each connection that goes settles a
 * request or marks one, and there is an end to it.
 */
#include <stdlib.h>

#include "backends/http/http.h"
#include "backends/proto/http.h"
#include "core/log.h"
#include "core/net.h"

enum {
	DOWN_MS = 1000,			/* a node that failed is left alone for so long */
	OUT_MAX = 512 * 1024,		/* rendered and not yet taken by the kernel */
	ANSWER_MAX = 1024 * 1024,	/* a longer answer is no answer */
	INTERIM_MAX = 64,		/* 1xx heads before an answer */
	/* A node that sends its answers one by one wakes us for each. While more
	 * than this many are to come, and eight times what came, we look away for
	 * a millisecond: a Go subscriber then needs 4 to 17 times less CPU an event. */
	NAP_FLYING = 64,
	NAP_NS = 1000 * 1000
};

struct endpoint {
	struct http_broker *hb;
	char *address;
	unsigned dialect;
	bool secure;			/* over TLS */
	unsigned users;			/* peers that point here */
	struct stream *stream;
	struct request *ring;
	size_t cap;
	uint64_t head, sent, tail;
	bool proven;			/* this connection has answered and stays */
	bool single;			/* does not pipeline: one at a time */
	bool no_more;			/* the connection will be closed by the node */
	bool busy, doomed;		/* in a callback; to be freed after it */
	struct error down;
	uint64_t down_until_ns;
	/* the answer under way */
	struct http_drip drip;
	unsigned interim;
	uint64_t body_left;
	bool chunked;
	struct http_chunks chunks;
	struct loop_timer nap;
	struct loop_task pump;
	struct loop_task fail;		/* with `down` as the reason */
	struct endpoint *next;
};

static struct request *
at(struct endpoint *e, uint64_t i)
{
	return &e->ring[i & (e->cap - 1)];
}

static void
endpoint_free(struct endpoint *e)
{
	struct endpoint **p = &e->hb->endpoints;

	if (e->busy) {
		e->doomed = true;
		return;
	}
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	loop_task_cancel(&e->pump);
	loop_task_cancel(&e->fail);
	loop_timer_clear(e->hb->loop, &e->nap);
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
	loop_timer_clear(e->hb->loop, &e->nap);
	e->stream = NULL;
	e->proven = e->no_more = e->chunked = false;
	e->body_left = 0;
	e->drip = (struct http_drip){ 0 };
	e->interim = 0;
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

		route_result(e->hb, &all[i], &why, left || all[i].lost);
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
		e->single = true;
	if (!answered_all)
		twice = endpoint_lost_twice(e, &n);
	e->sent = e->head;
	if (e->head < e->tail)
		loop_defer(e->hb->loop, &e->pump);
	while (n-- > 0)			/* the oldest stands last */
		route_result(e->hb, &twice[n], err, !twice[n].skipped);
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

static const char wants_tls[] = "speaks TLS, and its node does not say so";

/* The node speaks something else than HTTP, or lies: nothing it says counts. */
static void
endpoint_broken(struct endpoint *e, const char *why)
{
	struct error err;

	error_set(&err, why == wants_tls ? ERR_NOTFOUND : ERR_CONNECT, "%s: %s", e->address, why);
	endpoint_hang_up(e);
	/* Some servers say good-bye to an idle connection in words (408). */
	if (e->head < e->tail)
		endpoint_fail_all(e, &err);
	else
		log_debug("http: %s", err.text);
}

/* ---- answers ---- */

/* Requests given up before they left have no answer that would take them away.
 * The caller has set busy. */
static void
endpoint_drop_skipped(struct endpoint *e)
{
	while (e->head < e->sent && at(e, e->head)->skipped)
		peer_unref(e->hb, at(e, e->head++)->peer);
}

static void
endpoint_answer(struct endpoint *e, const struct http_head *h)
{
	struct request r = *at(e, e->head++);
	struct error err;

	if (h->status == 200) {
		route_result(e->hb, &r, NULL, true);
		return;
	}
	/* Another process has that address now, and never heard of this node. */
	if (h->status == 404 && !r.peer->gone)
		directory_drop(e->hb, r.peer);
	error_set(&err, ERR_REFUSED, "%s: answered %u %.*s", e->address, h->status,
		BYTES_FMT(h->reason));
	route_result(e->hb, &r, &err, false);
}

/* Takes what belongs to the body of the last answer. */
static size_t
endpoint_body(struct endpoint *e, char *p, size_t n, const char **why)
{
	enum http_result r;
	size_t used, len;

	if (!e->chunked) {
		used = e->body_left < n ? (size_t)e->body_left : n;
		e->body_left -= used;
		return used;
	}
	r = http_chunked(&e->chunks, p, n, ANSWER_MAX, &used, &len, why);
	e->chunked = r == HTTP_MORE;
	return r == HTTP_BAD ? 0 : used;
}

/* One answer's head (no body is under way); 0: not complete, or *why is set. */
static size_t
endpoint_head(struct endpoint *e, char *p, size_t n, const char **why)
{
	struct http_head h;

	if (!e->secure && !e->proven && secure_wanted(p, n)) {
		*why = wants_tls;
		return 0;
	}
	if (!http_head_ripe(&e->drip, p, n) || http_response_parse(&h, p, n, why) != HTTP_OK)
		return 0;
	e->drip = (struct http_drip){ 0 };
	*why = NULL;
	if (h.status < 200 && h.status != 101) {
		*why = ++e->interim > INTERIM_MAX ? "sends 1xx heads without end" : NULL;
		return h.size;
	}
	e->interim = 0;
	endpoint_drop_skipped(e);
	if (e->head == e->sent) {
		*why = "answered without having been asked";
		return 0;
	}
	if (h.content_length > ANSWER_MAX) {
		*why = "answered with more than a megabyte";
		return 0;
	}
	if (h.chunked) {
		e->chunked = true;
		http_chunks_init(&e->chunks);
	} else if (h.has_length) {
		e->body_left = h.content_length;
	} else if (h.status != 204 && h.status != 304) {
		h.keep_alive = false;	/* the body ends with the connection */
		e->body_left = ANSWER_MAX;	/* or when we have had enough */
	}
	if (h.keep_alive)
		e->proven = true;
	else
		e->no_more = true;
	endpoint_answer(e, &h);
	return h.size;
}

static bool
endpoint_in_body(const struct endpoint *e)
{
	return e->chunked || e->body_left;
}

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
	loop_timer_set_at(e->hb->loop, &e->nap, loop_clock_ns() + NAP_NS);
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
		size_t took = endpoint_in_body(e) ?
			endpoint_body(e, p + used, n - used, &why) :
			endpoint_head(e, p + used, n - used, &why);

		if (took == 0)
			break;
		used += took;
	}
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
		loop_defer(e->hb->loop, &e->pump);
	endpoint_idle(e);
	return used;
}

/* ---- requests ---- */

static struct bytes
endpoint_topic_id(struct http_broker *hb, const struct peer *p)
{
	struct buf *id = &hb->scratch;

	buf_clear(id);
	buf_add(id, p->topic, p->topic_len);
	buf_add(id, p->id + p->id_len - 37, 37);
	return buf_bytes(id);
}

/* A new-dialect envelope begins {"Header":{"... because the topic is always in
 * it; the old dialect's is the same with its own topic header put in front. */
static void
endpoint_render(struct endpoint *e, const struct request *r)
{
	static const struct bytes begin = BYTES("{\"Header\":{");
	struct buf *out = stream_out(e->stream);
	struct bytes body = buf_bytes(&r->flight->body), topic;
	struct bytes id = bytes_of(r->peer->id, r->peer->id_len);
	size_t extra;

	if (r->peer->says_topic)
		id = endpoint_topic_id(e->hb, r->peer);
	if (e->dialect == DIALECT_NEW) {
		http_add_publish_head(out, bytes_str(dialects[e->dialect].path), id,
			bytes_str(e->address), body.n);
		buf_add_bytes(out, body);
		return;
	}
	topic = buf_bytes(&r->flight->route->topic_json);
	extra = sizeof "\"" HEADER_OLD_TOPIC "\":," - 1 + topic.n;
	http_add_publish_head(out, bytes_str(dialects[e->dialect].path), id,
		bytes_str(e->address), body.n + extra);
	buf_add_bytes(out, begin);
	buf_add_str(out, "\"" HEADER_OLD_TOPIC "\":");
	buf_add_bytes(out, topic);
	buf_add_ch(out, ',');
	buf_add(out, body.p + begin.n, body.n - begin.n);
}

static int endpoint_connect(struct endpoint *, struct error *);

/* Sends what the window has room for. */
static void
endpoint_fill(struct endpoint *e)
{
	size_t depth = e->proven && !e->single ? e->hb->depth : 1;

	while (e->sent < e->tail && e->sent - e->head < depth &&
	    buf_len(stream_out(e->stream)) < OUT_MAX) {
		struct request *r = at(e, e->sent++);

		if (r->flight)
			endpoint_render(e, r);
		else
			r->skipped = true;
		endpoint_drop_skipped(e);
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
	loop_defer(e->hb->loop, &e->pump);
}

static void
endpoint_drained(struct stream *st)
{
	struct endpoint *e = stream_arg(st);

	if (e->sent < e->tail)
		loop_defer(e->hb->loop, &e->pump);
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
		.connect_timeout_ms = e->hb->b.opts.connect_timeout_ms,
	};
	union sockaddr_any a;
	socklen_t len;

	/* Whoever reaches the registry chooses it: no Unix socket of the user's. */
	if (!net_parse(bytes_str(e->address), &a, &len))
		return error_set(err, ERR_CONNECT, "%s: a node's address that is no IP address "
			"and port", e->address);
	e->stream = stream_connect(e->hb->loop, e->address, &endpoint_ops, &limits, e, err);
	if (e->stream && e->secure && secure_connect(e->hb, e->stream, e->address, err) < 0)
		endpoint_hang_up(e);
	return e->stream ? 0 : -1;
}

void
endpoint_send(struct http_broker *hb, struct endpoint *e, const struct request *r)
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
	peer_ref(r->peer);
	loop_defer(hb->loop, &e->pump);
}

/* ---- the set of them ---- */

struct endpoint *
endpoint_get(struct http_broker *hb, const struct peer *p)
{
	struct endpoint *e = hb->endpoints;

	while (e && (e->dialect != p->dialect || e->secure != p->secure ||
	    strcmp(e->address, p->address) != 0))
		e = e->next;
	if (!e) {
		e = xcalloc(1, sizeof *e);
		e->hb = hb;
		e->address = xstrdup(p->address);
		e->dialect = p->dialect;
		e->secure = p->secure;
		e->pump.fn = endpoint_pump;
		e->fail.fn = endpoint_fail_task;
		e->nap.fn = endpoint_nap_over;
		e->pump.arg = e->fail.arg = e->nap.arg = e;
		e->next = hb->endpoints;
		hb->endpoints = e;
	}
	e->users++;
	return e;
}

void
endpoint_unused(struct http_broker *hb, struct endpoint *e)
{
	(void)hb;
	if (--e->users == 0)	/* requests refer to peers, so none is left */
		endpoint_free(e);
}

const struct error *
endpoint_down(const struct endpoint *e)
{
	return e->down_until_ns && loop_clock_ns() < e->down_until_ns ? &e->down : NULL;
}

unsigned
endpoints_forget(struct http_broker *hb, struct flight *fl)
{
	unsigned sent = 0;

	for (struct endpoint *e = hb->endpoints; e; e = e->next) {
		bool stuck = false;

		for (uint64_t i = e->head; i < e->tail; i++) {
			struct request *r = at(e, i);

			if (r->flight != fl)
				continue;
			r->flight = NULL;
			sent += i < e->sent || r->lost;
			stuck |= i == e->head && i < e->sent;
		}
		/* It has not answered the oldest in all that time, and what came
		 * behind it waits in vain. */
		if (stuck) {
			error_set(&e->down, ERR_UNKNOWN, "%s: no answer within %u ms", e->address,
				hb->b.opts.timeout_ms);
			loop_defer(hb->loop, &e->fail);
		}
	}
	return sent;
}

/* Forgets the requests; the endpoints go with the last peers. */
void
endpoints_release(struct http_broker *hb)
{
	struct endpoint *e, *next;

	for (e = hb->endpoints; e; e = next) {
		e->busy = true;		/* or the last peer would free it under us */
		while (e->head < e->tail)
			peer_unref(hb, at(e, e->head++)->peer);
		next = e->next;
		endpoint_idle(e);
	}
}

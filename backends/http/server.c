/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subscriber's side of the http broker: requests in, events out, replies
 * when the events are safe.
 *
 * A reply is owed for each request, in order (pipelining). An event's reply is
 * not known before the user has acknowledged it, so each connection keeps a
 * queue of slots: a slot is settled at once (an error) or when its events are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backends/http/http.h"
#include "backends/proto/http.h"
#include "core/log.h"
#include "core/net.h"

enum {
	SLOTS_MAX = 8192,		/* unanswered requests of one connection */
	REPLIES_MAX = 256 * 1024,	/* bytes of replies that the peer does not read */
	LINGER_MS = 2000		/* for the peer to read our last words */
};

#define CANNOT_READ "Error reading request body: "

struct slot {
	unsigned waiting;		/* events not yet acknowledged */
	bool failed;			/* one of them was not taken: no reply, hang up */
	bool close;			/* the last reply of this connection */
	struct buf *reply;		/* NULL: 200 */
};

struct conn {
	struct server *srv;
	struct stream *stream;
	struct conn **link, *next;
	struct slot *slots;		/* a ring, indexed by the counters below */
	size_t cap;
	uint64_t head, tail;
	size_t need;			/* bytes of the request at the front; 0: not known */
	bool full;			/* too many unanswered: not reading */
	bool choked;			/* too many answered and not read: likewise */
	bool closing;			/* no further request is read */
	bool begun;			/* there is the beginning of a request */
	bool hang_up;			/* the peer sends no more: end after the replies */
	bool linger;			/* all is said; input is thrown away */
	bool busy, doomed;		/* in on_data; to be ended when it is over */
	bool chunked;			/* the body under way is; its head was: */
	struct http_chunks chunks;
	struct http_head head_kept;
	struct buf head_bytes, body;
	struct loop_timer timer;
};

static void
conn_free(struct conn *c)
{
	struct http_broker *hb = c->srv->hb;
	bool draining = hb->b.draining;

	/* What was delivered can still be acknowledged; it just leads nowhere. */
	for (size_t i = 0; i < hb->ndeliveries; i++)
		if (hb->deliveries[i].conn == c)
			hb->deliveries[i].conn = NULL;
	for (uint64_t i = c->head; i < c->tail; i++) {
		struct slot *s = &c->slots[i & (c->cap - 1)];

		if (s->reply) {
			buf_release(s->reply);
			free(s->reply);
		}
	}
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	loop_timer_clear(hb->loop, &c->timer);
	stream_close(c->stream);
	buf_release(&c->head_bytes);
	buf_release(&c->body);
	free(c->slots);
	free(c);
	if (draining)
		server_drain(hb);
}

static void
conn_end(struct conn *c)
{
	if (c->busy)
		c->doomed = true;
	else
		conn_free(c);
}

static void
conn_linger_over(struct loop_timer *t)
{
	conn_end(t->arg);
}

/* ---- replies ---- */

static const char *
http_today(struct http_broker *hb)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != hb->date_s) {
		hb->date_s = now.tv_sec;
		http_date(hb->date, now.tv_sec);
	}
	return hb->date;
}

static void
conn_reading(struct conn *c)
{
	stream_pause(c->stream, (c->full || c->choked || c->srv->hb->paused) && !c->linger);
}

/* All is said. Closing with unread input would reset the connection and take
 * what the peer has not yet read with it, and closing with unsent output would
 * lose that: so our side ends when it has left, and theirs gets some time. */
static void
conn_farewell(struct conn *c)
{
	c->linger = c->closing = true;
	stream_shutdown(c->stream);
	loop_timer_set(c->srv->hb->loop, &c->timer, LINGER_MS);
	conn_reading(c);
}

/* Writes the replies that are known, as far as the first that is not. */
static void
conn_advance(struct conn *c)
{
	struct buf *out = stream_out(c->stream);

	if (c->linger)
		return;
	while (c->head < c->tail) {
		struct slot *s = &c->slots[c->head & (c->cap - 1)];
		bool last = s->close;

		if (s->failed) {
			stream_flush(c->stream);
			if (buf_len(out))
				conn_farewell(c);
			else
				conn_end(c);
			return;
		}
		if (s->waiting)
			break;
		if (s->reply) {
			buf_add_bytes(out, buf_bytes(s->reply));
			buf_release(s->reply);
			free(s->reply);
			s->reply = NULL;
		} else {
			http_add_ok(out, c->srv->hb->date, s->close);
		}
		c->head++;
		if (last) {
			conn_farewell(c);
			return;
		}
	}
	if (c->hang_up && c->head == c->tail) {
		conn_farewell(c);
		return;
	}
	if (buf_len(out) > REPLIES_MAX)
		stream_flush(c->stream);
	else
		stream_kick(c->stream);
	if (c->full && c->tail - c->head <= SLOTS_MAX / 2)
		c->full = false;
	if (buf_len(out) > REPLIES_MAX)
		c->choked = true;	/* conn_drained() will tell */
	conn_reading(c);
}

static struct slot *
conn_push(struct conn *c)
{
	struct slot *s;

	if (c->tail - c->head == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct slot *slots = xmalloc(cap * sizeof *slots);

		for (uint64_t i = c->head; i < c->tail; i++)
			slots[i & (cap - 1)] = c->slots[i & (c->cap - 1)];
		free(c->slots);
		c->slots = slots;
		c->cap = cap;
	}
	s = &c->slots[c->tail++ & (c->cap - 1)];
	*s = (struct slot){ 0 };
	if (c->tail - c->head >= SLOTS_MAX) {
		c->full = true;
		conn_reading(c);
	}
	return s;
}

static struct buf *
conn_reply(struct conn *c, bool last)
{
	struct slot *s = conn_push(c);

	s->reply = xcalloc(1, sizeof *s->reply);
	s->close = last;
	c->closing |= last;
	return s->reply;
}

static void
conn_error(struct conn *c, unsigned status, const char *prefix, struct bytes detail, bool last)
{
	struct buf text = BUF_INIT;

	buf_add_str(&text, prefix);
	buf_add_bytes(&text, detail);
	log_verbose("http: %s: answered %u: %.*s", stream_peer(c->stream), status,
		BYTES_FMT(buf_bytes(&text)));
	http_add_error(conn_reply(c, last), status, buf_bytes(&text), http_today(c->srv->hb), last);
	buf_release(&text);
}

/* ---- events ---- */

static void
remember(struct http_broker *hb, uint64_t number, struct conn *c, uint64_t slot)
{
	if (number - hb->oldest >= hb->ndeliveries) {
		size_t n = hb->ndeliveries ? 2 * hb->ndeliveries : 256;
		struct delivery *d = xcalloc(n, sizeof *d);

		for (uint64_t i = hb->oldest; i < number; i++)
			d[i & (n - 1)] = hb->deliveries[i & (hb->ndeliveries - 1)];
		free(hb->deliveries);
		hb->deliveries = d;
		hb->ndeliveries = n;
	}
	hb->deliveries[number & (hb->ndeliveries - 1)] = (struct delivery){ c, slot };
}

/* Settles one delivered event; its connection may be ended by that. */
static void
settle(struct http_broker *hb, uint64_t number, bool ok)
{
	struct delivery *d = &hb->deliveries[number & (hb->ndeliveries - 1)];
	struct conn *c = d->conn;
	struct slot *s;

	d->conn = NULL;
	if (!c)
		return;
	s = &c->slots[d->slot & (c->cap - 1)];
	s->waiting--;
	s->failed |= !ok;
	if (d->slot == c->head && (!s->waiting || s->failed))
		conn_advance(c);
}

void
server_ack(struct http_broker *hb, uint64_t first, uint64_t last, bool ok)
{
	http_today(hb);
	for (uint64_t n = first; n <= last; n++)
		if (n >= hb->oldest && n <= hb->b.delivered)
			settle(hb, n, ok);
	while (hb->oldest <= hb->b.delivered &&
	    !hb->deliveries[hb->oldest & (hb->ndeliveries - 1)].conn)
		hb->oldest++;
}

/* The topic headers are the broker's own: publishers add them, and what is added
 * by one side is taken off by the other. */
static void
hide_topic_headers(const struct dialect *d, struct message *msg, struct header *headers,
	struct bytes topic)
{
	struct bytes dialects_own = bytes_str(d->topic_header);
	size_t kept = 0;

	for (size_t i = 0; i < msg->nheaders; i++) {
		struct bytes name = headers[i].name;

		if ((bytes_eq(name, BYTES(HEADER_MICRO_TOPIC)) || bytes_eq(name, dialects_own)) &&
		    bytes_eq(headers[i].value, topic))
			continue;
		headers[kept++] = headers[i];
	}
	msg->nheaders = kept;
}

/* Its id as registered, or as go-micro would have it: a publisher may know that
 * the registry spoils some names. */
static bool
sub_has_id(const struct http_broker *hb, const struct http_sub *hs, struct bytes id)
{
	struct bytes topic = hs->sub->topic;

	if (bytes_eq(bytes_of(hs->id, hs->id_len), id))
		return true;
	return id.n == topic.n + 37 && id.p[topic.n] == '-' &&
		memcmp(id.p, topic.p, topic.n) == 0 &&
		memcmp(id.p + topic.n + 1, hb->uuid, 36) == 0;
}

/* Gives the event to every subscription of that topic and id; false: none. */
static bool
conn_deliver(struct conn *c, struct bytes topic, struct bytes id, bool last)
{
	struct http_broker *hb = c->srv->hb;
	struct event ev = event_none;
	struct timespec now;
	struct slot *slot = NULL;
	uint64_t at = c->tail;

	clock_gettime(CLOCK_REALTIME, &now);
	ev.topic = topic;
	ev.msg = hb->envelope.msg;
	hide_topic_headers(c->srv->dialect, &ev.msg, hb->envelope.headers, topic);
	ev.wire = EVENT_WIRE_MICRO;
	ev.time_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	for (struct subscription *s = hb->b.subs; s; s = s->next) {
		struct http_sub *hs = s->priv;
		uint64_t number;

		if (!hs || !bytes_eq(s->topic, topic) || !sub_has_id(hb, hs, id))
			continue;
		if (!slot) {
			slot = conn_push(c);
			slot->close = last;
			slot->waiting = 1;	/* not settled while in here */
		}
		slot->waiting++;
		number = hb->b.delivered + 1;
		remember(hb, number, c, at);
		if (broker_deliver(s, &ev) == EVENT_DROPPED)
			server_ack(hb, number, number, false);
		slot = &c->slots[at & (c->cap - 1)];
		if (c->doomed)
			break;
	}
	if (!slot)
		return false;
	slot->waiting--;
	c->closing |= last;
	return true;
}

/* A body that is the literal null: go-micro's handler dies of it, without an
 * answer; ours says what is wrong. */
static bool
is_null(const char *p, size_t n)
{
	while (n && strchr(" \t\r\n", *p))
		p++, n--;
	while (n && strchr(" \t\r\n", p[n - 1]))
		n--;
	return n == 4 && memcmp(p, "null", 4) == 0;
}

/* Go's form parser takes such a body away before the handler reads it. */
static bool
is_form(struct bytes type)
{
	static const char form[] = "application/x-www-form-urlencoded";
	size_t n = sizeof form - 1;

	return type.n >= n && strncasecmp(type.p, form, n) == 0 &&
		(type.n == n || strchr("; \t", type.p[n]));
}

/* One request, as go-micro's handler takes it (go-micro-wire.md 2.5). */
static void
conn_handle(struct conn *c, const struct http_head *h, char *body, size_t len)
{
	struct http_broker *hb = c->srv->hb;
	const struct dialect *d = c->srv->dialect;
	const struct header *th;
	struct bytes topic;
	struct buf *id = &hb->scratch;
	bool last = !h->keep_alive, null;

	if (!d->any_path && !bytes_eq(http_path(h->target), bytes_str(d->path))) {
		http_add_page_not_found(conn_reply(c, last), http_today(hb), last);
		return;
	}
	if (!bytes_eq(h->method, BYTES("POST"))) {
		conn_error(c, 405, "", BYTES("Method not allowed"), last);
		return;
	}
	if (is_form(h->content_type))
		len = 0;
	null = len < 64 && is_null(body, len);
	if (envelope_read(&hb->envelope, body, len) < 0) {
		conn_error(c, null ? 400 : 500, "Error parsing request body: ",
			bytes_str(hb->envelope.error), last);
		return;
	}
	th = message_header(&hb->envelope.msg, bytes_str(d->topic_header));
	if (!th || !th->value.n) {
		conn_error(c, 500, "", BYTES("Topic not found"), last);
		return;
	}
	topic = th->value;	/* the headers are moved by delivering */
	if (!http_query(h->target, "id", id))
		buf_clear(id);
	if (!conn_deliver(c, topic, buf_bytes(id), last))
		conn_error(c, 404, "No subscription here for topic ", topic, last);
}

/* ---- requests ---- */

static size_t
conn_bad(struct conn *c, unsigned status, const char *why, size_t n)
{
	log_verbose("http: %s: bad request: %s", stream_peer(c->stream), why ? why : "cut short");
	http_add_bad_request(conn_reply(c, true), status, why);
	return n;
}

static size_t
conn_chunks(struct conn *c, char *p, size_t n)
{
	const char *why;
	uint64_t max = c->srv->hb->body_max;
	size_t used, len;
	enum http_result r = http_chunked(&c->chunks, p, n, max, &used, &len, &why);

	if (r == HTTP_BAD) {
		if (c->chunks.left > max || c->chunks.total > max - c->chunks.left)
			return conn_bad(c, 413, why, n);
		conn_error(c, 500, CANNOT_READ, bytes_str(why), true);
		return n;
	}
	buf_add(&c->body, p, len);
	if (r == HTTP_MORE)
		return used;
	c->chunked = false;
	conn_handle(c, &c->head_kept, buf_data(&c->body), buf_len(&c->body));
	buf_release(&c->body);
	return used;
}

/* The head's strings borrow from the input, which moves on before a chunked body
 * is complete: parse a copy of it. */
static size_t
conn_begin_chunked(struct conn *c, const char *p, size_t size)
{
	const char *why;

	buf_clear(&c->head_bytes);
	buf_add(&c->head_bytes, p, size);
	http_request_parse(&c->head_kept, buf_data(&c->head_bytes), size, &why);
	http_chunks_init(&c->chunks);
	c->chunked = true;
	return size;
}

/* Takes one request from the front of the input; 0: it is not complete. */
static size_t
conn_request(struct conn *c, char *p, size_t n)
{
	struct http_head h;
	const char *why = "";
	size_t total;

	if (c->chunked)
		return conn_chunks(c, p, n);
	if (n < c->need)
		return 0;
	switch (http_request_parse(&h, p, n, &why)) {
	case HTTP_MORE:
		return 0;
	case HTTP_BAD:
		return conn_bad(c, h.status, why, n);
	case HTTP_OK:
		break;
	}
	if (h.content_length > c->srv->hb->body_max)
		return conn_bad(c, 413, "body over the limit", n);
	total = h.size + (size_t)h.content_length;
	if (h.expect_continue && c->head == c->tail && !c->need && (h.chunked || n < total)) {
		buf_add_str(stream_out(c->stream), "HTTP/1.1 100 Continue\r\n\r\n");
		stream_kick(c->stream);
	}
	if (h.chunked)
		return conn_begin_chunked(c, p, h.size);
	if (n < total) {
		c->need = total;
		return 0;
	}
	c->need = 0;
	conn_handle(c, &h, p + h.size, (size_t)h.content_length);
	return total;
}

static size_t
conn_data(struct stream *st, char *p, size_t n)
{
	struct conn *c = stream_arg(st);
	size_t used = 0, took;

	if (c->linger)
		return n;
	c->busy = true;
	while (used < n && !c->closing && !c->full && !c->choked && !c->srv->hb->paused &&
	    !c->doomed) {
		took = conn_request(c, p + used, n - used);
		if (took == 0)
			break;
		used += took;
	}
	if (c->closing)
		used = n;
	c->begun = used < n;
	if (!c->doomed)
		conn_advance(c);
	c->busy = false;
	if (c->doomed)
		conn_free(c);
	return used;
}

static void
conn_closed(struct stream *st, const struct error *err)
{
	struct conn *c = stream_arg(st);

	if (err)
		log_debug("http: %s", err->text);
	if (err || c->linger) {
		conn_free(c);
		return;
	}
	/* A peer may close its sending side and still wait for the replies. */
	if (!c->closing && (c->need || c->chunked))
		conn_error(c, 500, CANNOT_READ, BYTES("unexpected EOF"), c->chunked);
	else if (!c->closing && c->begun)
		conn_bad(c, 400, NULL, 0);
	c->closing = c->hang_up = true;
	conn_advance(c);
}

/* The run ends: have all replies left? */
void
server_drain(struct http_broker *hb)
{
	bool waiting = false;

	for (unsigned i = 0; i < DIALECTS; i++)
		for (struct conn *c = hb->server[i].conns; c; c = c->next) {
			stream_flush(c->stream);
			waiting |= stream_is_open(c->stream) && buf_len(stream_out(c->stream)) > 0;
		}
	if (!waiting)
		broker_drained(&hb->b);
}

static void
conn_drained(struct stream *st)
{
	struct conn *c = stream_arg(st);

	c->choked = false;
	conn_reading(c);
	if (c->srv->hb->b.draining)
		server_drain(c->srv->hb);
}

static const struct stream_ops conn_ops = {
	.on_data = conn_data,
	.on_drained = conn_drained,
	.on_closed = conn_closed,
};

static void
server_accept(struct listener *l, struct stream *st, void *arg)
{
	struct server *srv = arg;
	struct conn *c = xcalloc(1, sizeof *c);

	(void)l;
	c->srv = srv;
	c->stream = st;
	c->timer.fn = conn_linger_over;
	c->timer.arg = c;
	c->link = &srv->conns;
	c->next = srv->conns;
	if (c->next)
		c->next->link = &c->next;
	srv->conns = c;
	stream_set_arg(st, c);
	conn_reading(c);
}

/* ---- listening ---- */

/* The first of the addresses given, as in go-micro; the old dialect's listener
 * takes a free port of the same host, because a port can be bound once. */
static void
listen_address(const struct http_broker *hb, bool first, char *out, size_t size)
{
	const char *given = hb->b.opts.address ? hb->b.opts.address : hb->b.ops->default_address;
	struct bytes host, port, one = { given, strcspn(given, ",") };

	if (first || !net_split(one, &host, &port)) {
		snprintf(out, size, "%.*s", BYTES_FMT(one));
		return;
	}
	if (memchr(host.p, ':', host.n))
		snprintf(out, size, "[%.*s]:0", BYTES_FMT(host));
	else
		snprintf(out, size, "%.*s:0", BYTES_FMT(host));
}

int
server_open(struct http_broker *hb, struct error *err)
{
	struct stream_limits limits = { .input_max = (size_t)hb->body_max + HTTP_HEAD_MAX };
	bool first = true;

	for (unsigned i = 0; i < DIALECTS; i++) {
		struct server *srv = &hb->server[i];
		union sockaddr_any a;
		socklen_t len;
		char address[300];

		if (!hb->speaks[i])
			continue;
		if (!srv->listener) {
			listen_address(hb, first, address, sizeof address);
			srv->hb = hb;
			srv->dialect = &dialects[i];
			srv->listener = listener_open(hb->loop, address, &conn_ops, &limits,
				server_accept, srv, err);
			if (!srv->listener)
				return -1;
			if (!net_parse(bytes_str(listener_address(srv->listener)), &a, &len))
				return error_set(err, ERR_USAGE, "%s: the http broker listens on TCP",
					address);
			net_advertise(&a, srv->advertised);
			log_verbose("http: listening on %s for %s, advertised as %s",
				listener_address(srv->listener), dialects[i].service,
				srv->advertised);
		}
		first = false;
	}
	return 0;
}

void
server_close(struct http_broker *hb)
{
	for (unsigned i = 0; i < DIALECTS; i++) {
		struct server *srv = &hb->server[i];

		listener_close(srv->listener);
		srv->listener = NULL;
		while (srv->conns) {
			stream_flush(srv->conns->stream);
			conn_free(srv->conns);
		}
	}
}

void
server_pause(struct http_broker *hb, bool on)
{
	if (hb->paused == on)
		return;
	hb->paused = on;
	for (unsigned i = 0; i < DIALECTS; i++)
		for (struct conn *c = hb->server[i].conns; c; c = c->next)
			conn_reading(c);
}

int
server_each_service(struct http_sub *hs, int (*fn)(struct registry *, const struct service *,
	struct error *), struct error *err)
{
	struct http_broker *hb = (struct http_broker *)hs->sub->broker;
	const char *group = hs->sub->opts.group;
	struct keyval meta[] = {
		{ BYTES("broker"), BYTES("http") },
		{ BYTES("secure"), BYTES("false") },
		{ BYTES("topic"), hs->sub->topic },
	};
	struct node node = { bytes_of(hs->id, hs->id_len), { NULL, 0 }, meta, 3 };
	struct service service = { .nodes = &node, .nnodes = 1 };

	service.version = group ? bytes_str(group) : BYTES(VERSION_BROADCAST);
	for (unsigned i = 0; i < DIALECTS; i++) {
		if (!hb->server[i].listener)
			continue;
		service.name = bytes_str(dialects[i].service);
		node.address = bytes_str(hb->server[i].advertised);
		if (fn(hb->registry, &service, err) < 0)
			return -1;
	}
	return 0;
}

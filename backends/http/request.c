/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in, as go-micro's handler takes them, with its answers to what is no
 * event: byte for byte, but for the literal null and for what reaches no
 * subscription, which a truthful publisher must hear of.
 */
#include <stdlib.h>
#include <time.h>

#include "backends/http/conn.h"
#include "core/log.h"

enum {
	TOPIC_SAID = 200,		/* so much of it goes into a reply */
	/* Replies other than 200 made at one go. Each costs what ten events cost, and
	 * thousands in one read would keep the others, and the registry's questions,
	 * waiting. */
	ERRORS_AT_ONCE = 64
};

#define CANNOT_READ "Error reading request body: "

/* A body that is the literal null: go-micro's handler dies of it, without an
 * answer; ours says what is wrong. */
static bool
is_null(const char *p, size_t n)
{
	while (n && memchr(" \t\r\n", *p, 4))
		p++, n--;
	while (n && memchr(" \t\r\n", p[n - 1], 4))
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

/* One request, as go-micro's handler takes it. */
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
		http_add_page_not_found(http_conn_reply(c, last), http_today(hb), last);
		return;
	}
	if (!bytes_eq(h->method, BYTES("POST"))) {
		http_conn_error(c, 405, "", BYTES("Method not allowed"), last);
		return;
	}
	if (is_form(h->content_type))
		len = 0;
	null = len < 64 && is_null(body, len);
	if (hb->b.opts.wire == WIRE_RAW) {	/* decoding is in place */
		buf_clear(&hb->payload);
		buf_add(&hb->payload, body, len);
	}
	if (envelope_read(&hb->envelope, body, len) < 0) {
		http_conn_error(c, null ? 400 : 500, "Error parsing request body: ",
			bytes_str(hb->envelope.error), last);
		return;
	}
	th = message_header(&hb->envelope.msg, bytes_str(d->topic_header));
	if (!th || !th->value.n) {
		http_conn_error(c, 500, "", BYTES("Topic not found"), last);
		return;
	}
	topic = th->value;	/* the headers are moved by delivering */
	if (!http_query(h->target, "id", id))
		buf_clear(id);
	if (!http_server_deliver(c, topic, buf_bytes(id), last))
		http_conn_error(c, 404, "No subscription here for topic ",
			bytes_of(topic.p, topic.n < TOPIC_SAID ? topic.n : TOPIC_SAID), last);
}

/* ---- requests ---- */

static size_t
conn_bad(struct conn *c, unsigned status, const char *why, size_t n)
{
	log_verbose("http: %s: bad request: %s", stream_peer(c->stream), why ? why : "cut short");
	http_add_bad_request(http_conn_reply(c, true), status, why);
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
		http_conn_error(c, 500, CANNOT_READ, bytes_str(why), true);
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

/* The answer to HEAD is the head of the answer. */
static void
drop_body(struct conn *c)
{
	struct buf *reply = c->slots[(c->tail - 1) & (c->cap - 1)].reply;
	const char *end = reply ? memmem(buf_data(reply), buf_len(reply), "\r\n\r\n", 4) : NULL;

	if (end)
		buf_truncate(reply, (size_t)(end + 4 - buf_data(reply)));
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
	if (n < c->need || !http_head_ripe(&c->drip, p, n))
		return 0;
	switch (http_request_parse(&h, p, n, &why)) {
	case HTTP_MORE:
		return 0;
	case HTTP_BAD:
		return conn_bad(c, h.status, why, n);
	case HTTP_OK:
		break;
	}
	c->drip = (struct http_drip){ 0 };
	/* Two hosts in one request: whoever stands between may have gone by the other. */
	if (*h.target.p != '/')
		return conn_bad(c, 400, "absolute-form is for proxies", n);
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
	if (bytes_eq(h.method, BYTES("HEAD")))
		drop_body(c);
	return total;
}

static size_t
conn_data(struct stream *st, char *p, size_t n)
{
	struct conn *c = stream_arg(st);
	struct timespec now;
	size_t used = 0, took, errors = c->nreplies;

	if (c->linger)
		return n;
	clock_gettime(CLOCK_REALTIME, &now);
	c->read_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	c->busy = true;
	while (used < n && !c->closing && !c->full && !c->choked && !c->srv->hb->paused &&
	    !c->doomed && !c->naps) {
		took = conn_request(c, p + used, n - used);
		if (took == 0)
			break;
		used += took;
		if (c->nreplies >= errors + ERRORS_AT_ONCE)
			http_limits_nap(c);
	}
	if (c->closing)
		used = n;
	c->begun = used < n;
	http_limits_read(c, n, n - used);
	if (!c->doomed)
		http_conn_advance(c);
	c->busy = false;
	if (c->doomed)
		http_conn_free(c);
	return used;
}

static void
conn_closed(struct stream *st, const struct error *err)
{
	struct conn *c = stream_arg(st);

	if (err && stream_is_shaking(st))
		http_secure_failed(c->srv->hb, err);
	else if (err)
		log_debug("http: %s", err->text);
	if (err || c->linger) {
		http_conn_free(c);
		return;
	}
	/* A peer may close its sending side and still wait for the replies. */
	if (!c->closing && (c->need || c->chunked))
		http_conn_error(c, 500, CANNOT_READ, BYTES("unexpected EOF"), c->chunked);
	else if (!c->closing && c->begun)
		conn_bad(c, 400, NULL, 0);
	c->closing = c->hang_up = true;
	http_conn_advance(c);
}

static void
conn_drained(struct stream *st)
{
	struct conn *c = stream_arg(st);

	c->choked = false;
	http_conn_reading(c);
	if (c->srv->hb->b.draining)
		http_server_drain(c->srv->hb);
}

const struct stream_ops http_conn_ops = {
	.on_data = conn_data,
	.on_drained = conn_drained,
	.on_closed = conn_closed,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one event. Behind the head stand topic, key, headers (two lengths, name,
 * value, each), properties and body. No shared memory in here: what is decoded has been
 * copied, or cannot be changed by anybody else.
 */
#include <stdlib.h>
#include <string.h>

#include "backends/memory/memory_bus.h"

enum { NONE = -1 };			/* a length: there is none */

struct reader {
	const char *p;
	size_t n;
};

/* ---- writing ---- */

static void
add_len(struct buf *b, struct bytes v)
{
	uint32_t n = v.p ? (uint32_t)v.n : (uint32_t)NONE;

	buf_add(b, &n, sizeof n);
}

static void
add_props(struct buf *b, const struct properties *p)
{
	buf_add(b, &p->ttl_ms, sizeof p->ttl_ms);
	add_len(b, p->content_type);
	add_len(b, p->reply_to);
	add_len(b, p->correlation);
	buf_add_bytes(b, p->content_type);
	buf_add_bytes(b, p->reply_to);
	buf_add_bytes(b, p->correlation);
}

static inline void
put(char **at, const void *p, size_t n)
{
	if (n)
		memcpy(*at, p, n);
	*at += n;
}

static bool
has_props(const struct properties *p)
{
	return p && (p->ttl_ms >= 0 || p->content_type.p || p->reply_to.p || p->correlation.p);
}

int
memory_encode(struct buf *out, struct bytes topic, const struct message *m,
	const struct properties *props, int64_t time_us, struct error *err)
{
	size_t begin = buf_len(out), size;
	char *at, *end;
	struct memory_record r = {
		.topic_n = (uint16_t)topic.n,
		.key_n = (uint32_t)m->key.n,
		.nheaders = (uint32_t)m->nheaders,
		.body_n = (uint32_t)m->body.n,
		.time_us = time_us,
		.flags = (uint16_t)((m->key.p ? RECORD_KEY : 0) | (m->body.p ? 0 : RECORD_NULL) |
			(has_props(props) ? RECORD_PROPS : 0)),
	};

	size = sizeof r + topic.n + m->key.n + m->body.n + m->nheaders * 8;
	for (size_t i = 0; i < m->nheaders; i++)
		size += m->headers[i].name.n + m->headers[i].value.n;
	if (has_props(props))
		size += 20 + props->content_type.n + props->reply_to.n + props->correlation.n;
	if (size > INT32_MAX)
		return error_set(err, ERR_REFUSED, "an event of %zu bytes: 2 GiB is the most", size);
	r.size = (uint32_t)((size + 7) & ~(size_t)7);
	at = buf_room(out, r.size);
	/* Most have neither headers nor properties: written in one go. */
	if (!m->nheaders && !(r.flags & RECORD_PROPS)) {
		end = at + r.size;
		memset(end - 8, 0, 8);
		put(&at, &r, sizeof r);
		put(&at, topic.p, topic.n);
		put(&at, m->key.p, m->key.n);
		put(&at, m->body.p, m->body.n);
		buf_added(out, r.size);
		return 0;
	}
	buf_add(out, &r, sizeof r);
	buf_add_bytes(out, topic);
	buf_add_bytes(out, m->key);
	for (size_t i = 0; i < m->nheaders; i++) {
		add_len(out, m->headers[i].name);
		add_len(out, m->headers[i].value);
		buf_add_bytes(out, m->headers[i].name);
		buf_add_bytes(out, m->headers[i].value);
	}
	if (has_props(props))
		add_props(out, props);
	buf_add_bytes(out, m->body);
	buf_add(out, "\0\0\0\0\0\0\0", begin + r.size - buf_len(out));
	return 0;
}

/* ---- reading ---- */

static bool
take(struct reader *r, size_t n, struct bytes *out)
{
	if (n > r->n)
		return false;
	*out = bytes_of(r->p, n);
	r->p += n;
	r->n -= n;
	return true;
}

static bool
take_u32(struct reader *r, uint32_t *n)
{
	struct bytes b;

	if (!take(r, sizeof *n, &b))
		return false;
	memcpy(n, b.p, sizeof *n);
	return true;
}

/* n NONE: there is none. */
static bool
take_maybe(struct reader *r, uint32_t n, struct bytes *out)
{
	*out = bytes_of(NULL, 0);
	return n == (uint32_t)NONE || take(r, n, out);
}

static bool
take_headers(struct reader *r, uint32_t n, struct memory_headers *h)
{
	if (n > r->n / 8)
		return false;
	if (h->cap < n) {
		h->cap = n;
		h->v = xrealloc(h->v, h->cap * sizeof *h->v);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t name, value;

		if (!take_u32(r, &name) || !take_u32(r, &value) ||
		    !take(r, name, &h->v[i].name) || !take_maybe(r, value, &h->v[i].value))
			return false;
	}
	return true;
}

static bool
take_props(struct reader *r, struct properties *p)
{
	uint32_t n[3];
	struct bytes ttl;

	if (!take(r, sizeof p->ttl_ms, &ttl) || !take_u32(r, &n[0]) || !take_u32(r, &n[1]) ||
	    !take_u32(r, &n[2]))
		return false;
	memcpy(&p->ttl_ms, ttl.p, sizeof p->ttl_ms);
	return take_maybe(r, n[0], &p->content_type) && take_maybe(r, n[1], &p->reply_to) &&
		take_maybe(r, n[2], &p->correlation);
}

bool
memory_decode(struct bytes record, struct event *ev, struct memory_headers *headers)
{
	struct reader r = { record.p, record.n };
	struct memory_record h;
	struct bytes head;

	if (!take(&r, sizeof h, &head))
		return false;
	memcpy(&h, head.p, sizeof h);
	if (h.size != record.n || (h.flags & (RECORD_PAD | RECORD_BODY)))
		return false;
	*ev = event_none;
	ev->wire = EVENT_WIRE_RAW;
	ev->time_kind = EVENT_TIME_CREATE;
	ev->time_us = h.time_us;
	if (!h.nheaders && !(h.flags & RECORD_PROPS)) {
		uint64_t n = (uint64_t)h.topic_n + h.key_n + h.body_n;

		if (n > r.n)
			return false;
		ev->topic = bytes_of(r.p, h.topic_n);
		if (h.flags & RECORD_KEY)
			ev->msg.key = bytes_of(r.p + h.topic_n, h.key_n);
		if (!(h.flags & RECORD_NULL))
			ev->msg.body = bytes_of(r.p + h.topic_n + h.key_n, h.body_n);
		ev->payload = ev->msg.body;
		return true;
	}
	if (!take(&r, h.topic_n, &ev->topic) || !take(&r, h.key_n, &ev->msg.key) ||
	    !take_headers(&r, h.nheaders, headers) ||
	    ((h.flags & RECORD_PROPS) && !take_props(&r, &ev->props)) ||
	    !take(&r, h.body_n, &ev->msg.body))
		return false;
	if (!(h.flags & RECORD_KEY))
		ev->msg.key = bytes_of(NULL, 0);
	if (h.flags & RECORD_NULL)
		ev->msg.body = bytes_of(NULL, 0);
	ev->msg.headers = headers->v;
	ev->msg.nheaders = h.nheaders;
	ev->payload = ev->msg.body;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the subscriber's side, and the replies they owe: see conn.h. */
#include <stdlib.h>
#include <time.h>

#include "backends/http/conn.h"
#include "core/log.h"

enum {
	SLOTS_MAX = 8192,		/* unanswered requests of one connection */
	REPLIES_MAX = 256 * 1024,	/* bytes of replies that the peer does not read */
	LINGER_MS = 2000		/* for the peer to read our last words */
};

void
http_conn_free(struct conn *c)
{
	struct http_broker *hb = c->srv->hb;
	bool draining = hb->b.draining;

	/* What was delivered can still be acknowledged; it just leads nowhere. */
	for (size_t i = 0; i < hb->ndeliveries && c->head != c->tail; i++)
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
	http_limits_end(c);
	stream_close(c->stream);
	buf_release(&c->head_bytes);
	buf_release(&c->body);
	free(c->slots);
	free(c);
	if (draining)
		http_server_drain(hb);
}

static void
conn_end(struct conn *c)
{
	if (c->busy)
		c->doomed = true;
	else
		http_conn_free(c);
}

/* ---- replies ---- */

const char *
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

void
http_conn_reading(struct conn *c)
{
	bool on = !(c->full || c->choked || c->naps || c->srv->hb->paused) || c->linger;

	http_limits_reading(c, on);
	stream_pause(c->stream, !on);
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
	http_conn_reading(c);
}

/* Writes the replies that are known, as far as the first that is not. */
void
http_conn_advance(struct conn *c)
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
			c->nreplies--;
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
	if (buf_len(out) > REPLIES_MAX && !c->choked)
		http_limits_choked(c);	/* conn_drained() will tell */
	if (out->cap != c->out_cap)
		http_limits_account(c);
	http_conn_reading(c);
}

struct slot *
http_conn_push(struct conn *c)
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
		http_conn_reading(c);
	}
	return s;
}

struct buf *
http_conn_reply(struct conn *c, bool last)
{
	struct slot *s = http_conn_push(c);

	s->reply = xcalloc(1, sizeof *s->reply);
	c->nreplies++;
	s->close = last;
	c->closing |= last;
	return s->reply;
}

void
http_conn_error(struct conn *c, unsigned status, const char *prefix, struct bytes detail,
	bool last)
{
	struct buf text = BUF_INIT;

	buf_add_str(&text, prefix);
	buf_add_bytes(&text, detail);
	log_verbose("http: %s: answered %u: %.*s", stream_peer(c->stream), status,
		BYTES_FMT(buf_bytes(&text)));
	http_add_error(http_conn_reply(c, last), status, buf_bytes(&text),
		http_today(c->srv->hb), last);
	buf_release(&text);
}

struct conn *
http_conn_new(struct server *srv, struct stream *st)
{
	struct conn *c = xcalloc(1, sizeof *c);

	c->srv = srv;
	c->stream = st;
	c->link = &srv->conns;
	c->next = srv->conns;
	if (c->next)
		c->next->link = &c->next;
	srv->conns = c;
	stream_set_arg(st, c);
	http_limits_begin(c);
	http_conn_reading(c);
	return c;
}

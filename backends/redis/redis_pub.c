/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: commands go straight into the connection's output, one behind the
 * other, and their answers come in the same order.
 *
 * Where an event may have to be sent again (by another connection, or to another
 * node of a cluster) its command is written to conn->keep and copied from there;
 * it leaves keep with its fate.
 */
#include "backends/redis/redis.h"

#include <stdlib.h>

#include "core/log.h"

/* What the server takes in one word, as it is configured by default. */
#define WORD_MAX (512ull << 20)

/* ---- the command ---- */

/* A guess of the envelope's length that is seldom wrong in its number of digits. */
static size_t
envelope_guess(const struct message *m)
{
	size_t n = sizeof "{\"Header\":null,\"Body\":\"\"}" - 1 + (m->body.n + 2) / 3 * 4;

	for (size_t i = 0; i < m->nheaders; i++)
		n += m->headers[i].name.n + m->headers[i].value.n + 6;
	return n;
}

/* The command and its topic, most often those of the event before. */
static void
write_head(struct redis_broker *rb, struct buf *to, struct bytes topic)
{
	static const struct bytes words[] = {
		[MODE_PUBSUB] = BYTES("*3\r\n$7\r\nPUBLISH\r\n"),
		[MODE_SHARDED] = BYTES("*3\r\n$8\r\nSPUBLISH\r\n"),
	};

	if (!rb->head_topic.p || !bytes_eq(rb->head_topic, topic)) {
		buf_clear(&rb->head);
		buf_add_bytes(&rb->head, words[rb->mode]);
		resp_word(&rb->head, topic);
		rb->head_topic = bytes_of(buf_data(&rb->head) + buf_len(&rb->head) - 2 - topic.n,
			topic.n);
	}
	buf_add_bytes(to, buf_bytes(&rb->head));
}

static void
write_publish(struct redis_broker *rb, struct buf *to, const struct publication *p)
{
	size_t begun;

	write_head(rb, to, p->topic);
	if (rb->b.opts.wire == WIRE_RAW) {
		resp_word(to, p->msg.body);
		return;
	}
	begun = resp_word_begin(to, envelope_guess(&p->msg));
	envelope_write(to, &p->msg, NULL, 0);
	resp_word_end(to, begun);
}

static void
write_add(struct redis_broker *rb, struct buf *to, const struct publication *p)
{
	resp_command(to, 3 + (rb->trim ? 3 : 0) + entry_words(&p->msg));
	resp_word(to, BYTES("XADD"));
	resp_word(to, p->topic);
	if (rb->trim) {
		resp_word(to, BYTES("MAXLEN"));
		resp_word_str(to, rb->trim_about ? "~" : "=");
		resp_word_u64(to, rb->trim);
	}
	resp_word(to, BYTES("*"));
	entry_write(to, &p->msg);
}

/* ---- sending ---- */

/* An event's flight_entry.copy is how many bytes its command has. */
static size_t
entry_size(const struct flight_entry *e)
{
	return (size_t)(uintptr_t)e->copy;
}

static bool
conn_keeps(const struct redis_conn *c)
{
	return !c->ready || c->rb->mode != MODE_PUBSUB || c->opts.reconnect || c->role == ROLE_SECOND;
}

/* What has been put into the output is to leave. */
static void
conn_sent(struct redis_conn *c)
{
	if (buf_len(link_out(c->link)) >= REDIS_BATCH)
		link_flush(c->link);
	else
		link_kick(c->link);
	if (c->rb->b.opts.ack == PUBLISH_ACK_NONE)
		loop_defer(c->rb->loop, &c->written);
}

static uint64_t
conn_end(struct redis_conn *c)
{
	return link_written(c->link) + buf_len(link_out(c->link));
}

static struct redis_conn *
pub_conn(struct redis_broker *rb, struct bytes topic)
{
	if (rb->mode != MODE_PUBSUB && rb->slots)
		return cluster_conn(rb, topic);
	if (!rb->publisher)
		rb->publisher = rb->subscriber == rb->main ? conn_second(rb) : rb->main;
	return rb->publisher;
}

int
pub_event(struct redis_broker *rb, const struct publication *p, struct error *err)
{
	struct redis_conn *c = pub_conn(rb, p->topic);
	struct flight_entry *e;
	struct buf *to;
	size_t begun;
	bool keep;

	if (publication_size(p) > WORD_MAX)
		return error_set(err, ERR_REFUSED, "larger than the 512 MiB that Redis takes");
	if (rb->hold_conn)
		return PUBLISH_FULL;
	keep = conn_keeps(c);
	to = keep ? &c->keep : link_out(c->link);
	begun = buf_len(to);
	if (rb->mode == MODE_STREAM)
		write_add(rb, to, p);
	else
		write_publish(rb, to, p);
	e = flight_push(&c->flight);
	e->state = EXPECT_EVENT;
	e->id = p->id;
	e->size = publication_size(p);
	e->end = UINT64_MAX;
	if (rb->b.opts.timeout_ms) {
		e->until_ns = loop_now_ns(rb->loop) + rb->b.opts.timeout_ms * 1000000ull;
		if (!loop_timer_is_set(&c->deadline))
			loop_timer_set_at(rb->loop, &c->deadline, e->until_ns);
	}
	e->copy = (void *)(uintptr_t)(buf_len(to) - begun);
	if (keep)
		e->copy_size = buf_len(to) - begun;
	if (c->ready) {
		if (keep)
			buf_add(link_out(c->link), buf_data(to) + begun, e->copy_size);
		e->end = conn_end(c);
		conn_sent(c);
	}
	return 0;
}

/* The connection is (again) there: sends what was kept. */
void
pub_resume(struct redis_conn *c)
{
	struct flight *f = &c->flight;
	uint64_t end = conn_end(c);

	if (!flight_count(f))
		return;
	for (uint64_t seq = f->first; seq != f->next; seq++)
		flight_at(f, seq)->end = end += entry_size(flight_at(f, seq));
	c->taken = f->first;
	buf_add_bytes(link_out(c->link), buf_bytes(&c->keep));
	conn_sent(c);
}

/* ---- fates ---- */

static void
pub_settle(struct redis_conn *c, const struct flight_entry *e, enum fate fate,
	const struct error *err)
{
	broker_outcome(&c->rb->b, e->id, e->size, fate, err);
}

/* The front of the flight has its answer. */
static void
pub_pop(struct redis_conn *c)
{
	const struct flight_entry *e = flight_front(&c->flight);

	if (e->copy_size)
		buf_consume(&c->keep, e->copy_size);
	flight_pop(&c->flight);
	if (c->rb->hold_conn == c && c->flight.first >= c->rb->hold) {
		c->rb->hold_conn = NULL;
		broker_room(&c->rb->b);
	}
}

static void
pub_move(struct redis_conn *from, const struct flight_entry *e, struct redis_conn *to)
{
	struct flight_entry *moved = flight_push(&to->flight);

	*moved = *e;
	moved->end = UINT64_MAX;
	buf_room(&to->keep, e->copy_size);	/* it may be the same */
	buf_add(&to->keep, buf_data(&from->keep), e->copy_size);
	if (to->ready) {
		buf_add(link_out(to->link), buf_data(&from->keep), e->copy_size);
		moved->end = conn_end(to);
		conn_sent(to);
	}
	if (e->until_ns && !loop_timer_is_set(&to->deadline))
		loop_timer_set_at(to->rb->loop, &to->deadline, e->until_ns);
}

/* Another node has the topic. true: the event is on its way there. */
static bool
pub_redirect(struct redis_conn *c, const struct flight_entry *e, const struct resp_value *v,
	struct error *err)
{
	struct redis_conn *to;
	struct bytes address;
	unsigned slot;
	bool ask;

	if (!e->copy_size || !cluster_moved(v, &slot, &address, &ask))
		return false;
	to = cluster_node(c->rb, c, address, err);
	if (!to || to == c)
		return false;
	if (ask) {
		/* Once, for this one command, while a slot is on its way. Before the
		 * other node has greeted us, this one is asked again. */
		if (to->ready)
			resp_word_str(conn_command(to, EXPECT_NOTHING, 0, 1), "ASKING");
		else
			to = c;
	} else {
		cluster_map(c->rb, slot, to);
		/* What is behind it here is to arrive before what is published now. */
		if (flight_count(&c->flight) > 1) {
			c->rb->hold_conn = c;
			c->rb->hold = c->flight.next;
		}
	}
	pub_move(c, e, to);
	return true;
}

static void
pub_count(struct redis_broker *rb, const struct resp_value *v)
{
	if (v->type == RESP_INTEGER && v->n >= 0) {
		rb->events++;
		rb->receivers += (uint64_t)v->n;
		rb->nobody += v->n == 0;
	}
}

void
pub_reply(struct redis_conn *c, const struct flight_entry *e, const struct resp_value *v)
{
	enum resp_type wanted = c->rb->mode == MODE_STREAM ? RESP_STRING : RESP_INTEGER;
	struct error err = ERROR_INIT;

	if (v->type == wanted) {
		pub_count(c->rb, v);
		pub_pop(c);
		pub_settle(c, e, FATE_CONFIRMED, NULL);
	} else if (pub_redirect(c, e, v, &err)) {
		pub_pop(c);
	} else {
		if (!err.kind)
			redis_error(v, &err);
		pub_pop(c);
		pub_settle(c, e, FATE_REFUSED, &err);
	}
}

/* --ack none: what the kernel has taken is confirmed. Its place in the flight stays,
 * for the answer. */
void
pub_written(struct redis_conn *c)
{
	uint64_t written;

	if (c->rb->b.opts.ack != PUBLISH_ACK_NONE || !c->ready)
		return;
	written = link_written(c->link);
	if (c->taken < c->flight.first)
		c->taken = c->flight.first;
	while (c->taken < c->flight.next) {
		struct flight_entry *e = flight_at(&c->flight, c->taken), told = *e;

		if (e->state == EXPECT_EVENT) {
			if (e->end > written)
				break;
			e->state = EXPECT_NOTHING;
			c->taken++;
			pub_settle(c, &told, FATE_CONFIRMED, NULL);
		} else {
			c->taken++;
		}
	}
}

/* ---- time ---- */

/* Takes n bytes at `at` out of a buffer. */
static void
buf_cut(struct buf *b, size_t at, size_t n)
{
	char *p = buf_data(b) + at;

	memmove(p, p + n, buf_len(b) - at - n);
	buf_truncate(b, buf_len(b) - n);
}

/* Events from seq on whose time is over, one behind the other: out of the flight, out
 * of what was kept, and out of the output, so that they are certainly not sent. */
static void
pub_refuse_unsent(struct redis_conn *c, uint64_t seq, uint64_t now, const struct error *err)
{
	struct flight *f = &c->flight;
	size_t n = 0, wire = 0, kept = 0, before = 0;
	uint64_t end = seq, written = c->ready ? link_written(c->link) : 0;
	struct flight_entry *gone;

	for (; end != f->next; end++) {
		const struct flight_entry *e = flight_at(f, end);

		if (e->state != EXPECT_EVENT || e->until_ns > now)
			break;
		wire += entry_size(e);
		kept += e->copy_size;
		n++;
	}
	gone = xmalloc((n + 1) * sizeof *gone);
	for (size_t i = 0; i < n; i++)
		gone[i] = *flight_at(f, seq + i);
	for (uint64_t s = f->first; s != seq; s++)
		before += flight_at(f, s)->copy_size;
	buf_cut(&c->keep, before, kept);
	if (c->ready)
		buf_cut(link_out(c->link), (size_t)(gone[0].end - entry_size(&gone[0]) - written),
			wire);
	for (uint64_t s = seq; s + n != f->next; s++) {
		*flight_at(f, s) = *flight_at(f, s + n);
		if (c->ready && flight_at(f, s)->end)
			flight_at(f, s)->end -= wire;
	}
	f->next -= n;
	if (c->taken > seq)
		c->taken = seq;
	for (size_t i = 0; i < n; i++)
		pub_settle(c, &gone[i], FATE_REFUSED, err);
	free(gone);
}

/* The events whose time is over are told so. Those that were sent, if only in part,
 * keep their place for the answer; the others must not leave any more. */
void
pub_deadline(struct loop_timer *t)
{
	struct redis_conn *c = t->arg;
	struct flight *f = &c->flight;
	uint64_t now = loop_clock_ns();
	double seconds = c->rb->b.opts.timeout_ms / 1000.0;
	struct error unknown, unsent;

	error_set(&unknown, ERR_UNKNOWN, "no answer within %g s", seconds);
	error_set(&unsent, ERR_REFUSED, "not sent within %g s", seconds);
	for (uint64_t seq = f->first; seq < f->next; seq++) {
		struct flight_entry *e = flight_at(f, seq), told = *e;

		if (e->state != EXPECT_EVENT)
			continue;
		if (e->until_ns > now) {
			loop_timer_set_at(c->rb->loop, t, e->until_ns);
			return;
		}
		if (c->ready && e->end - entry_size(e) < link_written(c->link)) {
			e->state = EXPECT_NOTHING;
			pub_settle(c, &told, FATE_UNKNOWN, &unknown);
		} else {
			pub_refuse_unsent(c, seq--, now, &unsent);
		}
	}
}

/* The connection has gone. What was sent may have arrived; what was not is kept for
 * the next connection, if there is to be one. */
void
pub_lost(struct redis_conn *c, uint64_t written, const struct error *why, bool again)
{
	struct flight *f = &c->flight;
	struct redis_broker *rb = c->rb;
	size_t n = flight_count(f), nlost = 0, bytes = 0;
	struct flight_entry *lost = xmalloc((n + 1) * sizeof *lost);
	struct error unknown, unsent;

	error_set(&unknown, again ? ERR_UNKNOWN : why->kind, "sent, but the connection was lost "
		"before an answer came (%.300s)", why->text);
	error_set(&unsent, why->kind, "not sent: %.400s", why->text);
	/* Once around the ring; nobody is told before it is in order again. */
	for (size_t i = 0; i < n; i++) {
		struct flight_entry e = *flight_front(f);
		bool sent = e.end <= written;

		flight_pop(f);
		if (e.state == EXPECT_EVENT && !sent && again && e.copy_size) {
			e.end = UINT64_MAX;
			*flight_push(f) = e;
			continue;
		}
		bytes += e.copy_size;
		if (e.state != EXPECT_EVENT)
			continue;
		e.state = sent;
		lost[nlost++] = e;
	}
	buf_consume(&c->keep, bytes);
	c->taken = f->first;
	if (rb->hold_conn == c)
		rb->hold_conn = NULL;
	for (size_t i = 0; i < nlost; i++)
		pub_settle(c, &lost[i], lost[i].state ? FATE_UNKNOWN : FATE_REFUSED,
			lost[i].state ? &unknown : &unsent);
	free(lost);
	broker_room(&rb->b);
}

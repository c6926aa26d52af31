/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing. Events without headers and time of their own are gathered and given to
 * the library by the thousand, at the end of the loop's turn at the latest, which is
 * what it takes best; others one by one. Its delivery reports are our three fates:
 * persisted, not persisted, possibly persisted.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

enum {
	SLAB = 1024,
	HELD_MS = 5,
	PUSH_MS = 1,
	FIRST_PUSH_MS = 20,	/* there is a connection to make, and a topic to be found */
	PUSH_EVENTS = 512,	/* more than that comes from a stream */
	LATE_MS = 1200		/* the library tells within a second of the time-out */
};

/* ---- what is under way ---- */

static struct kafka_sent *
sent_new(struct kafka_pub *kp)
{
	struct kafka_sent *e = kp->idle, *slab;

	if (!e) {
		slab = xcalloc(SLAB, sizeof *slab);
		kp->slabs = xrealloc(kp->slabs, (kp->nslabs + 1) * sizeof *kp->slabs);
		kp->slabs[kp->nslabs++] = slab;
		for (size_t i = 0; i < SLAB; i++) {
			slab[i].next = kp->idle;
			kp->idle = &slab[i];
		}
		e = kp->idle;
	}
	kp->idle = e->next;
	e->prev = kp->sent.prev;
	e->next = &kp->sent;
	e->prev->next = e->next->prev = e;
	return e;
}

static void
sent_free(struct kafka_pub *kp, struct kafka_sent *e)
{
	if (e->prev) {
		e->prev->next = e->next;
		e->next->prev = e->prev;
	}
	e->next = kp->idle;
	kp->idle = e;
}

/* Its report has not come, and its time is over: the library is stuck, or waits for a
 * server that is. */
static void
pub_late(struct loop_timer *t)
{
	struct kafka_broker *kb = t->arg;
	struct kafka_pub *kp = kb->pub;
	uint64_t now = loop_clock_ns(), grace = LATE_MS * UINT64_C(1000000);
	struct kafka_sent *e;
	struct error err;

	error_set(&err, ERR_UNKNOWN, "no answer within %g s", kb->b.opts.timeout_ms / 1000.0);
	while ((e = kp->sent.next) != &kp->sent && e->until_ns + grace <= now) {
		e->prev->next = e->next;
		e->next->prev = e->prev;
		e->prev = NULL;		/* told; its report ends it */
		broker_outcome(&kb->b, e->id, e->size, FATE_UNKNOWN, &err);
	}
	if (kp->sent.next != &kp->sent)
		loop_timer_set_at(kb->b.loop, &kp->late, kp->sent.next->until_ns + grace);
}

static void
pub_told(struct kafka_broker *kb, struct kafka_sent *e, enum fate fate, const struct error *err)
{
	uint64_t id = e->id;
	size_t size = e->size;
	bool told = !e->prev;

	sent_free(kb->pub, e);
	if (!told)
		broker_outcome(&kb->b, id, size, fate, err);
}

/* Of a producer that has given up, all that is left is thrown away: why it did is what
 * there is to say. */
static void
pub_error(struct kafka_broker *kb, rd_kafka_resp_err_t code, struct error *err)
{
	bool purged = code == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
		code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
	char why[300];

	if (purged || code == RD_KAFKA_RESP_ERR__FATAL) {
		rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(kb->pub->client.rk, why,
			sizeof why);

		if (fatal) {
			kafka_error(err, fatal, why);
			return;
		}
	}
	kafka_error(err, code, NULL);
	if (purged)
		error_set(err, ERR_REFUSED, "the transaction was aborted");
}

void
pub_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	struct kafka_client *c = arg;
	struct kafka_broker *kb = c->kb;
	struct error err = ERROR_INIT;
	enum fate fate = FATE_REFUSED;

	(void)rk;
	if (!m->err) {
		kb->pub->confirmed++;
		pub_told(kb, m->_private, FATE_CONFIRMED, NULL);
		return;
	}
	switch (rd_kafka_message_status(m)) {
	case RD_KAFKA_MSG_STATUS_PERSISTED:
		pub_told(kb, m->_private, FATE_CONFIRMED, NULL);
		return;
	case RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED:
		fate = FATE_UNKNOWN;
		break;
	default:
		break;
	}
	pub_error(kb, m->err, &err);
	if (err.kind == ERR_TIMEOUT) {
		enum error_kind kind = fate == FATE_UNKNOWN ? ERR_UNKNOWN : ERR_REFUSED;

		error_set(&err, kind, fate == FATE_UNKNOWN ? "no answer within %g s" :
			"not sent within %g s", kb->b.opts.timeout_ms / 1000.0);
		if (c->last.kind)
			error_set(&err, client_is_up(c) ? kind : c->last.kind,
				"%s within %g s: %s", fate == FATE_UNKNOWN ? "no answer" :
				"not sent", kb->b.opts.timeout_ms / 1000.0, c->last.text);
	}
	pub_told(kb, m->_private, fate, &err);
}

/* ---- topics ---- */

void
out_ready(struct kafka_pub *kp, struct kafka_out *t)
{
	t->made = OUT_READY;
	t->rkt = rd_kafka_topic_new(kp->client.rk, t->name.p, NULL);
	if (t->rkt)
		return;
	kafka_error(&t->why, rd_kafka_last_error(), NULL);
	t->made = OUT_FAILED;
}

static struct kafka_out *
out_find(struct kafka_broker *kb, struct bytes name, struct error *err)
{
	struct kafka_pub *kp = kb->pub;
	struct kafka_out *t = kp->recent, **head;
	uint32_t h = 2166136261u;

	if (t && bytes_eq(t->name, name))
		return t;
	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 16777619u;
	head = &kp->topics[h % (sizeof kp->topics / sizeof *kp->topics)];
	for (t = *head; t; t = t->next)
		if (bytes_eq(t->name, name))
			return kp->recent = t;
	if (!name.n || name.n > 249 || memchr(name.p, 0, name.n)) {
		error_set(err, ERR_USAGE, "a topic of Kafka has 1 to 249 letters, digits, '.', '_' "
			"and '-'");
		return NULL;
	}
	t = xcalloc(1, sizeof *t);
	t->name = bytes_of(xmemdup0(name.p, name.n), name.n);
	/* The library would ask for the topic, and a server may make it by that. */
	if (kb->b.opts.create)
		t->made = OUT_MAKING;
	else
		out_ready(kp, t);
	t->next = *head;
	*head = t;
	kp->recent = t;
	if (t->made == OUT_MAKING)
		topic_make(kb, t);
	return t;
}

/* ---- giving events to the library ---- */

static void
batch_new(struct kafka_pub *kp)
{
	kp->batch = xcalloc(1, sizeof *kp->batch);
}

static void *
at(struct kafka_batch *b, void *offset, const void *nul)
{
	return offset ? buf_data(&b->bytes) + ((uintptr_t)offset - 2) : (void *)(uintptr_t)nul;
}

/* Offsets become addresses, which the buffer's growth cannot move any more. A body
 * that is there and empty needs an address, too; 1 stands for it. */
static void
batch_fix(struct kafka_batch *b)
{
	static const char empty[1];

	for (size_t i = 0; i < b->n; i++) {
		rd_kafka_message_t *m = &b->msgs[i];

		m->payload = (uintptr_t)m->payload == 1 ? (void *)(uintptr_t)empty :
			at(b, m->payload, NULL);
		m->key = (uintptr_t)m->key == 1 ? (void *)(uintptr_t)empty : at(b, m->key, NULL);
	}
}

static void
pub_flush(struct kafka_broker *kb)
{
	struct kafka_pub *kp = kb->pub;
	struct kafka_batch *b = kp->batch;
	struct error err;

	if (!b || !b->n)
		return;
	loop_timer_clear(kb->b.loop, &kp->held);
	/* Outcomes may publish: into another batch. */
	kp->batch = kp->spare;
	kp->spare = NULL;
	batch_fix(b);
	if ((size_t)rd_kafka_produce_batch(b->topic->rkt, b->partition, RD_KAFKA_MSG_F_COPY,
	    b->msgs, (int)b->n) != b->n)
		for (size_t i = 0; i < b->n; i++)
			if (b->msgs[i].err) {
				pub_error(kb, b->msgs[i].err, &err);
				pub_told(kb, b->msgs[i]._private, FATE_REFUSED, &err);
			}
	b->n = 0;
	buf_clear(&b->bytes);
	if (kp->spare || !kp->batch) {
		struct kafka_batch *other = kp->batch;

		kp->batch = b;
		b = other;
	}
	if (b && !kp->spare)
		kp->spare = b;
	else if (b) {
		buf_release(&b->bytes);
		free(b);
	}
}

/* Given and sent: the library waits for more (linger.ms) unless it is being flushed at
 * the moment its thread looks. That moment, or until the answer, is how long this waits. */
static void
pub_push(struct kafka_broker *kb)
{
	struct kafka_pub *kp = kb->pub;
	size_t n = kp->batch ? kp->batch->n : 0;

	if (!n)
		return;
	pub_flush(kb);
	if (n <= PUSH_EVENTS)
		rd_kafka_flush(kp->client.rk, kp->pushed ? PUSH_MS : FIRST_PUSH_MS);
	kp->pushed = true;
}

/* Nothing else is under way, so that this would wait for nothing. Otherwise more are
 * gathered: many small requests cost all sides more than waiting for so short a time. */
static bool
pub_alone(const struct kafka_broker *kb)
{
	const struct kafka_batch *b = kb->pub->batch;

	return b && b->n && kb->b.flying_events <= b->n;
}

static void
pub_flush_task(struct loop_task *t)
{
	struct kafka_broker *kb = t->arg;
	struct kafka_pub *kp = kb->pub;

	if (!kp->batch || !kp->batch->n)
		return;
	if (pub_alone(kb))
		pub_push(kb);
	else if (!loop_timer_is_set(&kp->held))
		loop_timer_set(kb->b.loop, &kp->held, HELD_MS);
}

static void
pub_held(struct loop_timer *t)
{
	pub_push(t->arg);
}

static void *
stage(struct kafka_batch *b, struct bytes bytes)
{
	uintptr_t offset = buf_len(&b->bytes) + 2;

	if (!bytes.p)
		return NULL;
	if (!bytes.n)
		return (void *)1;
	buf_add_bytes(&b->bytes, bytes);
	return (void *)offset;
}

static void
pub_stage(struct kafka_broker *kb, struct kafka_out *t, int32_t partition, struct bytes key,
	struct bytes value, struct kafka_sent *e)
{
	struct kafka_pub *kp = kb->pub;
	struct kafka_batch *b = kp->batch;
	rd_kafka_message_t *m;

	if (b && b->n && (b->topic != t || b->partition != partition || b->n == KAFKA_GIVEN ||
	    buf_len(&b->bytes) + key.n + value.n > KAFKA_GIVEN_BYTES))
		pub_flush(kb);
	if (!kp->batch)
		batch_new(kp);
	b = kp->batch;
	if (!b->n)
		loop_defer(kb->b.loop, &kp->flush);
	b->topic = t;
	b->partition = partition;
	m = &b->msgs[b->n++];
	m->err = RD_KAFKA_RESP_ERR_NO_ERROR;
	m->len = value.n;
	m->key_len = key.n;
	m->payload = stage(b, value);
	m->key = stage(b, key);
	m->_private = e;
}

static int
pub_single(struct kafka_broker *kb, struct kafka_out *t, int32_t partition, struct bytes key,
	struct bytes value, const struct message *headers, int64_t time_us, struct kafka_sent *e,
	struct error *err)
{
	rd_kafka_headers_t *h = NULL;
	rd_kafka_vu_t vu[8] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = t->rkt },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition },
		{ .vtype = RD_KAFKA_VTYPE_VALUE,
			.u.mem = { (void *)(uintptr_t)value.p, value.n } },
		{ .vtype = RD_KAFKA_VTYPE_KEY, .u.mem = { (void *)(uintptr_t)key.p, key.n } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = e },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
	};
	rd_kafka_error_t *bad;
	size_t n = 6;

	if (headers && headers->nheaders) {
		h = rd_kafka_headers_new(headers->nheaders);
		for (size_t i = 0; i < headers->nheaders; i++) {
			const struct header *x = &headers->headers[i];

			rd_kafka_header_add(h, x->name.p, (ssize_t)x->name.n, x->value.p,
				(ssize_t)x->value.n);
		}
		vu[n].vtype = RD_KAFKA_VTYPE_HEADERS;
		vu[n++].u.headers = h;
	}
	if (time_us >= 0) {
		vu[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
		vu[n++].u.i64 = time_us / 1000;
	}
	pub_flush(kb);
	bad = rd_kafka_produceva(kb->pub->client.rk, vu, n);
	if (!bad)
		return 0;
	pub_error(kb, rd_kafka_error_code(bad), err);
	rd_kafka_error_destroy(bad);
	if (h)
		rd_kafka_headers_destroy(h);
	return -1;
}

/* ---- the ops ---- */

/* As go-micro's envelope? In between, what the event came as decides; and a null body
 * is a record without a value, which deletes its key, as an envelope never does. */
static bool
is_micro(const struct kafka_broker *kb, const struct publication *p)
{
	enum wire wire = kb->b.opts.wire;

	if (wire == WIRE_AUTO && p->opts)
		wire = p->opts->wire;
	if (wire == WIRE_AUTO && !p->msg.body.p && !p->msg.nheaders)
		wire = WIRE_RAW;
	return wire != WIRE_RAW;
}

int
pub_event(struct kafka_broker *kb, const struct publication *p, struct error *err)
{
	const struct publish_options *o = p->opts ? p->opts : &publish_defaults;
	struct bytes value = p->msg.body;
	const struct message *headers = &p->msg;
	struct kafka_pub *kp;
	struct kafka_out *t;
	struct kafka_sent *e;

	if (!kb->pub && pub_open(kb, err) < 0)
		return -1;
	kp = kb->pub;
	t = out_find(kb, p->topic, err);
	if (!t)
		return -1;
	if (t->made == OUT_MAKING)
		return PUBLISH_FULL;
	if (t->made == OUT_FAILED) {
		*err = t->why;
		return -1;
	}
	if (is_micro(kb, p)) {
		buf_clear(&kp->value);
		envelope_write(&kp->value, &p->msg, NULL, 0);
		value = buf_bytes(&kp->value);
		headers = NULL;
	}
	e = sent_new(kp);
	e->id = p->id;
	e->size = publication_size(p);
	if (kb->b.opts.timeout_ms) {
		e->until_ns = loop_now_ns(kb->b.loop) + kb->b.opts.timeout_ms * UINT64_C(1000000);
		if (!loop_timer_is_set(&kp->late))
			loop_timer_set_at(kb->b.loop, &kp->late,
				e->until_ns + LATE_MS * UINT64_C(1000000));
	}
	if ((headers && headers->nheaders) || o->time_us >= 0) {
		int r = pub_single(kb, t, (int32_t)o->partition, p->msg.key, value, headers,
			o->time_us, e, err);

		if (r < 0)
			sent_free(kp, e);
		return r;
	}
	pub_stage(kb, t, (int32_t)o->partition, p->msg.key, value, e);
	return 0;
}

static void
pub_poll(struct kafka_client *c)
{
	struct kafka_broker *kb = c->kb;
	uint64_t told = kb->pub->confirmed;
	int rounds = 0;

	while (rounds < 64 && rd_kafka_poll(c->rk, 0) > 0)
		rounds++;
	if (kb->pub->confirmed != told && pub_alone(kb))
		pub_push(kb);
	if (rounds == 64)
		client_again(c);
	/* Nothing published so far: whether there is a server is not known by that. */
	if (!c->up)
		client_is_up(c);
}

static void
pub_failed(struct kafka_client *c, const struct error *err)
{
	if (c->kb->b.connected)
		broker_failed(&c->kb->b, err);
	else
		broker_connected(&c->kb->b, err);
}

int
pub_open(struct kafka_broker *kb, struct error *err)
{
	struct kafka_pub *kp = xcalloc(1, sizeof *kp);

	kp->sent.next = kp->sent.prev = &kp->sent;
	kp->flush = (struct loop_task){ .fn = pub_flush_task, .arg = kb };
	kp->held = (struct loop_timer){ .fn = pub_held, .arg = kb };
	kp->late = (struct loop_timer){ .fn = pub_late, .arg = kb };
	kp->client.poll = pub_poll;
	kp->client.failed = pub_failed;
	kp->client.counts = kb->b.opts.reconnect_given;
	if (client_open(&kp->client, kb, RD_KAFKA_PRODUCER, NULL, false, err) < 0) {
		client_close(&kp->client);
		free(kp);
		return -1;
	}
	kb->pub = kp;
	if (kb->b.opts.transaction)
		txn_begin(kb);
	return 0;
}

void
pub_close(struct kafka_broker *kb)
{
	struct kafka_pub *kp = kb->pub;
	struct kafka_batch *batches[2];

	if (!kp)
		return;
	loop_task_cancel(&kp->flush);
	loop_timer_clear(kb->b.loop, &kp->late);
	loop_timer_clear(kb->b.loop, &kp->held);
	for (size_t i = 0; i < sizeof kp->topics / sizeof *kp->topics; i++)
		for (struct kafka_out *t = kp->topics[i], *next; t; t = next) {
			next = t->next;
			if (t->rkt)
				rd_kafka_topic_destroy(t->rkt);
			free((char *)t->name.p);
			free(t);
		}
	/* Without this, destroying would wait for what is under way. */
	if (kp->client.rk && kp->sent.next != &kp->sent)
		rd_kafka_purge(kp->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
			RD_KAFKA_PURGE_F_NON_BLOCKING);
	client_close(&kp->client);
	batches[0] = kp->batch;
	batches[1] = kp->spare;
	for (int i = 0; i < 2; i++)
		if (batches[i]) {
			buf_release(&batches[i]->bytes);
			free(batches[i]);
		}
	for (size_t i = 0; i < kp->nslabs; i++)
		free(kp->slabs[i]);
	free(kp->slabs);
	buf_release(&kp->value);
	free(kp);
	kb->pub = NULL;
}

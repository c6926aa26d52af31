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
	HELD_MS = 5,
	PUSH_MS = 1,
	FIRST_PUSH_MS = 20,	/* there is a connection to make, and a topic to be found */
	PUSH_EVENTS = 512	/* more than that comes from a stream */
};

static void
pub_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	struct kafka_client *c = arg;
	struct kafka_broker *kb = c->kb;
	struct kafka_sent *e = m->_private;
	struct error err = ERROR_INIT;
	enum fate fate;

	(void)rk;
	if (kb->pub->resend != RESEND_NONE || m->err)
		if (kafka_resend_takes(kb, m))
			return;
	if (!m->err) {
		kb->pub->confirmed++;
		kb->pub->heard_ns = loop_now_ns(kb->b.loop);
		kafka_pub_told(kb, e, FATE_CONFIRMED, NULL);
		return;
	}
	fate = kafka_fate(m->err, rd_kafka_message_status(m),
		e->until_ns - kb->b.opts.timeout_ms * UINT64_C(1000000));
	if (fate == FATE_CONFIRMED) {
		kafka_pub_told(kb, e, FATE_CONFIRMED, NULL);
		return;
	}
	/* Of an aborted transaction nothing counts, whatever was sent. */
	if (kb->b.opts.transaction && m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE)
		fate = FATE_REFUSED;
	kafka_pub_error(kb, m->err, &err);
	if (m->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
		kafka_no_partition(kb, rd_kafka_topic_name(m->rkt), m->partition, &err);
	if (err.kind == ERR_TIMEOUT) {
		enum error_kind kind = fate == FATE_UNKNOWN ? ERR_UNKNOWN : ERR_REFUSED;

		kafka_sent_silent(kb, e);
		error_set(&err, kind, fate == FATE_UNKNOWN ? "no answer within %g s" :
			"not sent within %g s", kb->b.opts.timeout_ms / 1000.0);
		if (c->last.kind)
			error_set(&err, kafka_client_is_up(c) ? kind : c->last.kind,
				"%s within %g s: %s", fate == FATE_UNKNOWN ? "no answer" :
				"not sent", kb->b.opts.timeout_ms / 1000.0, c->last.text);
	}
	kafka_pub_told(kb, e, fate, &err);
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

	if (!b || !b->n || kp->resend == RESEND_DRAIN)
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
				kafka_pub_error(kb, b->msgs[i].err, &err);
				if (b->msgs[i].err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
					kafka_no_partition(kb, b->topic->name.p, b->partition, &err);
				kafka_pub_told(kb, b->msgs[i]._private, FATE_REFUSED, &err);
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

	if (!n || kp->resend == RESEND_DRAIN)
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
pub_single(struct kafka_broker *kb, struct kafka_record *r, const struct message *msg,
	struct kafka_sent *e, struct error *err)
{
	if (msg && msg->nheaders) {
		r->headers = rd_kafka_headers_new(msg->nheaders);
		for (size_t i = 0; i < msg->nheaders; i++) {
			const struct header *x = &msg->headers[i];

			rd_kafka_header_add(r->headers, x->name.p, (ssize_t)x->name.n, x->value.p,
				(ssize_t)x->value.n);
		}
	}
	pub_flush(kb);
	if (kafka_pub_record(kb, r, e, err) == 0)
		return 0;
	if (r->headers)
		rd_kafka_headers_destroy(r->headers);
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
kafka_pub_event(struct kafka_broker *kb, const struct publication *p, struct error *err)
{
	const struct publish_options *o = p->opts ? p->opts : &publish_defaults;
	struct bytes value = p->msg.body;
	const struct message *headers = &p->msg;
	struct kafka_pub *kp;
	struct kafka_out *t;
	struct kafka_sent *e;

	if (!kb->pub && kafka_pub_open(kb, err) < 0)
		return -1;
	kp = kb->pub;
	t = kafka_out_find(kb, p->topic, err);
	if (!t)
		return -1;
	if (t->made == OUT_NEW) {
		t->made = OUT_MAKING;
		kafka_topic_make(kb, t);
	}
	if (t->made == OUT_MAKING || kp->resend == RESEND_DRAIN)
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
	e = kafka_sent_new(kp);
	e->id = p->id;
	e->size = publication_size(p);
	e->time_ms = o->time_us >= 0 ? o->time_us / 1000 : -1;
	if (kb->b.opts.timeout_ms) {
		e->until_ns = loop_now_ns(kb->b.loop) + kb->b.opts.timeout_ms * UINT64_C(1000000);
		if (!loop_timer_is_set(&kp->late))
			loop_timer_set_at(kb->b.loop, &kp->late,
				e->until_ns + KAFKA_LATE_MS * UINT64_C(1000000));
	}
	if ((headers && headers->nheaders) || o->time_us >= 0) {
		struct kafka_record r = { t, (int32_t)o->partition, p->msg.key, value, NULL,
			e->time_ms };

		if (pub_single(kb, &r, headers, e, err) == 0)
			return 0;
		kafka_sent_free(kp, e);
		return -1;
	}
	pub_stage(kb, t, (int32_t)o->partition, p->msg.key, value, e);
	return 0;
}

static int pub_reopen(struct kafka_broker *, struct error *);

static void
pub_resend(struct kafka_broker *kb)
{
	struct error err;

	if (pub_reopen(kb, &err) < 0) {
		broker_failed(&kb->b, &err);
		return;
	}
	kafka_resend_all(kb);
	pub_flush(kb);
	broker_room(&kb->b);
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
		kafka_client_again(c);
	if (kafka_resend_ready(kb))
		pub_resend(kb);
	kafka_sent_stuck(kb);
	/* Nothing published so far: whether there is a server is not known by that. */
	if (!c->up)
		kafka_client_is_up(c);
}

static void
pub_configure(struct kafka_client *c, rd_kafka_conf_t *conf)
{
	(void)c;
	rd_kafka_conf_set_dr_msg_cb(conf, pub_delivered);
	rd_kafka_conf_interceptor_add_on_new(conf, "mbus fate", kafka_fate_watch, NULL);
}

static void
pub_failed(struct kafka_client *c, const struct error *err)
{
	if (c->kb->b.connected)
		broker_failed(&c->kb->b, err);
	else
		broker_connected(&c->kb->b, err);
}

/* Another handle in place of this, which has nothing under way. */
static int
pub_reopen(struct kafka_broker *kb, struct error *err)
{
	struct kafka_pub *kp = kb->pub;

	for (size_t i = 0; i < sizeof kp->topics / sizeof *kp->topics; i++)
		for (struct kafka_out *t = kp->topics[i]; t; t = t->next)
			if (t->rkt)
				rd_kafka_topic_destroy(t->rkt);
	kafka_client_close(&kp->client);
	kp->client = (struct kafka_client){ .poll = pub_poll, .failed = pub_failed,
		.configure = pub_configure, .counts = kb->b.opts.reconnect_given };
	if (kafka_client_open(&kp->client, kb, RD_KAFKA_PRODUCER, NULL, false, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof kp->topics / sizeof *kp->topics; i++)
		for (struct kafka_out *t = kp->topics[i]; t; t = t->next)
			if (t->rkt)
				kafka_out_ready(kp, t);
	return 0;
}

int
kafka_pub_open(struct kafka_broker *kb, struct error *err)
{
	struct kafka_pub *kp = xcalloc(1, sizeof *kp);

	kp->sent.next = kp->sent.prev = &kp->sent;
	kp->flush = (struct loop_task){ .fn = pub_flush_task, .arg = kb };
	kp->held = (struct loop_timer){ .fn = pub_held, .arg = kb };
	kp->late = (struct loop_timer){ .fn = kafka_sent_late, .arg = kb };
	kp->client.poll = pub_poll;
	kp->client.failed = pub_failed;
	kp->client.configure = pub_configure;
	kp->client.counts = kb->b.opts.reconnect_given;
	if (kafka_client_open(&kp->client, kb, RD_KAFKA_PRODUCER, NULL, false, err) < 0) {
		kafka_client_close(&kp->client);
		free(kp);
		return -1;
	}
	kb->pub = kp;
	if (kb->b.opts.transaction)
		kafka_txn_begin(kb);
	return 0;
}

void
kafka_pub_close(struct kafka_broker *kb)
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
	kafka_client_close(&kp->client);
	batches[0] = kp->batch;
	batches[1] = kp->spare;
	for (int i = 0; i < 2; i++)
		if (batches[i]) {
			buf_release(&batches[i]->bytes);
			free(batches[i]);
		}
	while (kp->sent.next != &kp->sent)
		kafka_sent_free(kp, kp->sent.next);
	for (size_t i = 0; i < kp->nslabs; i++)
		free(kp->slabs[i]);
	free(kp->slabs);
	buf_release(&kp->value);
	free(kp);
	kb->pub = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way: each event from when it was taken until its fate is told, whether the
 * library has it or not; and the topics that are published to.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

enum {
	SLAB = 1024,
	PARTS_MS = 1000
};

/* ---- what is under way ---- */

struct kafka_sent *
kafka_sent_new(struct kafka_pub *kp)
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

void
kafka_sent_forget(struct kafka_pub *kp, struct kafka_sent *e)
{
	if (!e->copy)
		return;
	if (e->copy->headers)
		rd_kafka_headers_destroy(e->copy->headers);
	free(e->copy);
	e->copy = NULL;
	kp->nwaiting--;
}

void
kafka_sent_free(struct kafka_pub *kp, struct kafka_sent *e)
{
	kafka_sent_forget(kp, e);
	if (e->prev) {
		e->prev->next = e->next;
		e->next->prev = e->prev;
	}
	e->next = kp->idle;
	kp->idle = e;
}

void
kafka_pub_told(struct kafka_broker *kb, struct kafka_sent *e, enum fate fate,
	const struct error *err)
{
	uint64_t id = e->id;
	size_t size = e->size;
	bool told = !e->prev;

	kafka_sent_free(kb->pub, e);
	if (!told)
		broker_outcome(&kb->b, id, size, fate, err);
}

/* Its time is over, and it is to be told: has anything been answered in it? */
void
kafka_sent_silent(struct kafka_broker *kb, const struct kafka_sent *e)
{
	uint64_t given_ns = e->until_ns - kb->b.opts.timeout_ms * UINT64_C(1000000);

	kb->pub->silent |= kb->b.was_full && kb->pub->heard_ns < given_ns;
}

/* Nothing had, and the publisher could not go on: it would lose a window after the other.
 * Who said --reconnect waits as long as that allows. */
void
kafka_sent_stuck(struct kafka_broker *kb)
{
	bool silent = kb->pub->silent;
	struct error err;

	kb->pub->silent = false;
	if (!silent || kb->b.opts.reconnect_given)
		return;
	error_set(&err, ERR_CONNECT, "%s: no answer to anything within %g s", kb->servers,
		kb->b.opts.timeout_ms / 1000.0);
	broker_failed(&kb->b, &err);
}

/* Its report has not come, and its time is over: the library is stuck, or waits for a
 * server that is. */
void
kafka_sent_late(struct loop_timer *t)
{
	struct kafka_broker *kb = t->arg;
	struct kafka_pub *kp = kb->pub;
	uint64_t now = loop_clock_ns(), grace = KAFKA_LATE_MS * UINT64_C(1000000);
	struct kafka_sent *e;
	struct error err, why;

	error_set(&err, ERR_UNKNOWN, "no answer within %g s", kb->b.opts.timeout_ms / 1000.0);
	while ((e = kp->sent.next) != &kp->sent && e->until_ns + grace <= now) {
		if (e->copy) {		/* it was reported: as refused, but for others */
			error_set(&why, ERR_REFUSED, "not sent within %g s",
				kb->b.opts.timeout_ms / 1000.0);
			kafka_pub_told(kb, e, FATE_REFUSED, &why);
			continue;
		}
		e->prev->next = e->next;
		e->next->prev = e->prev;
		e->prev = NULL;		/* told; its report ends it */
		kafka_sent_silent(kb, e);
		broker_outcome(&kb->b, e->id, e->size, FATE_UNKNOWN, &err);
	}
	if (kp->sent.next != &kp->sent)
		loop_timer_set_at(kb->b.loop, &kp->late, kp->sent.next->until_ns + grace);
	kafka_sent_stuck(kb);
}

/* A partition that the topic has not: which it has is asked once. */
void
kafka_no_partition(struct kafka_broker *kb, const char *topic, int32_t partition, struct error *err)
{
	struct kafka_out *t = kafka_out_find(kb, bytes_str(topic), err);
	const struct rd_kafka_metadata *md;

	if (!t)
		return;
	if (!t->nparts && t->rkt &&
	    rd_kafka_metadata(kb->pub->client.rk, 0, t->rkt, &md, PARTS_MS) == 0) {
		t->nparts = md->topic_cnt ? md->topics[0].partition_cnt : 0;
		rd_kafka_metadata_destroy(md);
	}
	if (t->nparts)
		kafka_error_partition(err, topic, partition, t->nparts);
}

/* Of a producer that has given up, all that is left is thrown away: why it did is what
 * there is to say. */
void
kafka_pub_error(struct kafka_broker *kb, rd_kafka_resp_err_t code, struct error *err)
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

/* ---- topics ---- */

void
kafka_out_ready(struct kafka_pub *kp, struct kafka_out *t)
{
	t->made = OUT_READY;
	t->rkt = rd_kafka_topic_new(kp->client.rk, t->name.p, NULL);
	if (t->rkt)
		return;
	kafka_error(&t->why, rd_kafka_last_error(), NULL);
	t->made = OUT_FAILED;
}

struct kafka_out *
kafka_out_find(struct kafka_broker *kb, struct bytes name, struct error *err)
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
		t->made = OUT_NEW;
	else
		kafka_out_ready(kp, t);
	t->next = *head;
	*head = t;
	return kp->recent = t;
}

/* ---- one event to the library ---- */

/* Takes its headers. */
int
kafka_pub_record(struct kafka_broker *kb, const struct kafka_record *r, struct kafka_sent *e,
	struct error *err)
{
	rd_kafka_vu_t vu[8] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = r->topic->rkt },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = r->partition },
		{ .vtype = RD_KAFKA_VTYPE_VALUE,
			.u.mem = { (void *)(uintptr_t)r->value.p, r->value.n } },
		{ .vtype = RD_KAFKA_VTYPE_KEY,
			.u.mem = { (void *)(uintptr_t)r->key.p, r->key.n } },
		{ .vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = e },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
	};
	rd_kafka_error_t *bad;
	size_t n = 6;

	if (r->headers) {
		vu[n].vtype = RD_KAFKA_VTYPE_HEADERS;
		vu[n++].u.headers = r->headers;
	}
	if (r->time_ms >= 0) {
		vu[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
		vu[n++].u.i64 = r->time_ms;
	}
	bad = rd_kafka_produceva(kb->pub->client.rk, vu, n);
	if (!bad)
		return 0;
	kafka_pub_error(kb, rd_kafka_error_code(bad), err);
	rd_kafka_error_destroy(bad);
	return -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event must not make its neighbours fail. The library makes batches as large as it
 * likes, and a topic has a limit for a batch that it does not know (max.message.bytes): a
 * batch over it is refused whole, and of which events it was made is not to be learned.
 * So at the first refusal for size nothing more is taken; what is under way comes to its
 * end, what waits is taken back; and a second handle, whose batches are of one event,
 * sends all of that in its order and goes on with it. What is still refused for its size
 * is too large itself.
 *
 * Not in a transaction, which is aborted then.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

static struct bytes
keep(char **at, const void *p, size_t n)
{
	struct bytes kept = bytes_of(p ? *at : NULL, p ? n : 0);

	if (p && n)
		memcpy(*at, p, n);
	*at += kept.n;
	return kept;
}

static struct kafka_copy *
copy_of(struct kafka_out *topic, const rd_kafka_message_t *m)
{
	size_t n = (m->key ? m->key_len : 0) + (m->payload ? m->len : 0);
	struct kafka_copy *c = xmalloc(sizeof *c + n + 1);
	rd_kafka_headers_t *h;
	char *at = c->bytes;

	c->topic = topic;
	c->headers = rd_kafka_message_headers(m, &h) ? NULL : rd_kafka_headers_copy(h);
	c->partition = m->partition;
	c->key = keep(&at, m->key, m->key_len);
	c->value = keep(&at, m->payload, m->len);
	return c;
}

/* The partitions that have an event to be sent again; one in 64 looks like another. */
static uint64_t
part_bit(const rd_kafka_message_t *m)
{
	return UINT64_C(1) << (m->partition & 63);
}

bool
kafka_resend_takes(struct kafka_broker *kb, const rd_kafka_message_t *m)
{
	struct kafka_pub *kp = kb->pub;
	struct kafka_sent *e = m->_private;
	bool large = m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
		m->err == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
	struct kafka_out *topic;
	struct error err;

	if (kp->resend == RESEND_DONE || kb->b.opts.transaction)
		return false;
	if (!m->err && kp->resend == RESEND_DRAIN)
		kp->out_of_order = kp->out_of_order || (kp->parts_waiting & part_bit(m));
	if (!e->prev || rd_kafka_message_status(m) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
		return false;
	if (!large && !(kp->resend == RESEND_DRAIN && m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE))
		return false;
	/* Alone, it was too large itself. */
	if (kp->resend == RESEND_NONE && kp->sent.next == e && e->next == &kp->sent)
		return false;
	topic = kafka_out_find(kb, bytes_str(rd_kafka_topic_name(m->rkt)), &err);
	if (!topic)
		return false;
	e->copy = copy_of(topic, m);
	kp->nwaiting++;
	kp->parts_waiting |= part_bit(m);
	if (kp->resend == RESEND_NONE) {
		kp->resend = RESEND_DRAIN;
		rd_kafka_purge(kp->client.rk, RD_KAFKA_PURGE_F_QUEUE |
			RD_KAFKA_PURGE_F_NON_BLOCKING);
	}
	return true;
}

static void
send_again(struct kafka_broker *kb, struct kafka_sent *e)
{
	struct kafka_copy *c = e->copy;
	struct kafka_record r = { c->topic, c->partition, c->key, c->value, c->headers,
		e->time_ms };
	struct error err;

	if (kafka_pub_record(kb, &r, e, &err) < 0) {
		kafka_pub_told(kb, e, FATE_REFUSED, &err);
		return;
	}
	c->headers = NULL;		/* the library's now */
	kafka_sent_forget(kb->pub, e);
}

bool
kafka_resend_ready(struct kafka_broker *kb)
{
	struct kafka_pub *kp = kb->pub;

	/* But for these, and what was not given to the library. */
	if (kp->resend != RESEND_DRAIN ||
	    kb->b.flying_events > kp->nwaiting + (kp->batch ? kp->batch->n : 0))
		return false;
	kp->resend = RESEND_DONE;
	log_verbose("a batch was refused for its size: events are sent one by one from here on");
	if (kp->out_of_order)
		log_warn("events were stored out of order: some of a batch that was refused for "
			"its size stand behind younger ones of their partition");
	return true;
}

void
kafka_resend_all(struct kafka_broker *kb)
{
	struct kafka_sent *e, *next;

	for (e = kb->pub->sent.next; e != &kb->pub->sent; e = next) {
		next = e->next;
		if (e->copy)
			send_again(kb, e);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records become events: whole batches are taken from the library's queue, without
 * waiting, and each record is delivered as it lies in the library's memory.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>
#include <time.h>

#include "core/log.h"
#include "core/one_cpu.h"

static struct kafka_topic *
topic_of(struct kafka_subs *su, rd_kafka_topic_t *rkt)
{
	if (su->recent_rkt != rkt) {
		su->recent = kafka_sub_topic(su, bytes_str(rd_kafka_topic_name(rkt)));
		su->recent_rkt = rkt;
	}
	return su->recent;
}

static void
read_time(const rd_kafka_message_t *m, struct event *ev)
{
	rd_kafka_timestamp_type_t type;
	int64_t ms = rd_kafka_message_timestamp(m, &type);

	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0) {
		ev->time_kind = EVENT_TIME_NONE;
		ev->time_us = -1;
		return;
	}
	ev->time_kind = type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? EVENT_TIME_CREATE :
		EVENT_TIME_APPEND;
	ev->time_us = ms > INT64_MAX / 1000 ? INT64_MAX : ms * 1000;
}

static struct header *
header_room(struct kafka_subs *su, size_t n)
{
	if (su->cap_headers < n) {
		su->cap_headers = n + 16;
		su->headers = xrealloc(su->headers, su->cap_headers * sizeof *su->headers);
	}
	return su->headers;
}

static bool
maybe_envelope(const struct kafka_subs *su, struct bytes p)
{
	return su->client.kb->b.opts.wire != WIRE_RAW && p.n && *p.p == '{';
}

static void
read_headers(struct kafka_subs *su, const rd_kafka_message_t *m, struct message *to)
{
	rd_kafka_headers_t *h;
	size_t n;

	if (rd_kafka_message_headers(m, &h) != 0)
		return;
	n = rd_kafka_header_cnt(h);
	to->headers = header_room(su, n);
	to->nheaders = n;
	for (size_t i = 0; i < n; i++) {
		const char *name = NULL;
		const void *value = NULL;
		size_t size = 0;

		rd_kafka_header_get_all(h, i, &name, &value, &size);
		su->headers[i].name = bytes_str(name);
		su->headers[i].value = bytes_of(value, value ? size : 0);
	}
}

/* The envelope's headers, and over them those of the record, as go-micro's newer
 * plugins read it. */
static void
merge(struct kafka_subs *su, const struct message *native, struct message *msg)
{
	size_t n = native->nheaders, have = n;
	struct header *h = header_room(su, n + msg->nheaders);

	for (size_t i = 0; i < msg->nheaders; i++) {
		size_t j = 0;

		while (j < n && !bytes_eq(h[j].name, msg->headers[i].name))
			j++;
		if (j == n)
			h[have++] = msg->headers[i];
	}
	msg->headers = h;
	msg->nheaders = have;
}

/* A record with headers of its own is taken for go-micro's only when that was said:
 * its plugins write none. */
static void
read_envelope(struct kafka_subs *su, struct kafka_sub *ks, struct event *ev)
{
	enum wire wire = su->client.kb->b.opts.wire;
	struct bytes p = ev->payload;
	struct message native = ev->msg;

	if (wire == WIRE_RAW || !p.p || (wire == WIRE_AUTO && (!maybe_envelope(su, p) ||
	    native.nheaders || !envelope_looks_like(p.p, p.n))))
		return;
	/* Decoded in place, and the library's bytes are not ours to change. */
	buf_clear(&su->copy);
	buf_add_bytes(&su->copy, p);
	if (envelope_read(&su->envelope, buf_room(&su->copy, 1) - p.n, p.n) == 0) {
		ev->msg = su->envelope.msg;
		ev->msg.key = native.key;
		ev->wire = EVENT_WIRE_MICRO;
		if (native.nheaders)
			merge(su, &native, &ev->msg);
	} else if (!ks->warned) {
		ks->warned = true;
		log_warn("%.*s: not an envelope of go-micro (%s): shown as it is",
			BYTES_FMT(ev->topic), su->envelope.error);
	}
}

static void
read_record(struct kafka_subs *su, const rd_kafka_message_t *m)
{
	struct kafka_topic *t = topic_of(su, m->rkt);
	struct kafka_part *part = kafka_topic_part(t, m->partition);
	struct kafka_sub *ks = t->ks;
	struct event ev = event_none;

	if (!ks || !ks->s || part->revoking)
		return;
	if (su->group.name ? part->mark.gone : part->ended)
		return;
	/* The end was where it was when we began. */
	if (part->end >= 0 && m->offset >= part->end) {
		kafka_sub_part_ended(part);
		return;
	}
	ev.topic = t->name;
	ev.msg.key = bytes_of(m->key, m->key ? m->key_len : 0);
	ev.msg.body = bytes_of(m->payload, m->payload ? m->len : 0);
	ev.payload = ev.msg.body;
	ev.partition = m->partition;
	ev.offset = m->offset;
	read_time(m, &ev);
	/* The library takes memory for it even when there are none. */
	if (!ks->s->opts.no_headers || maybe_envelope(su, ev.payload))
		read_headers(su, m, &ev.msg);
	read_envelope(su, ks, &ev);
	part->next = m->offset + 1;
	if (su->group.name) {
		/* Numbered by the core within; the mark must be there before any ack. */
		kafka_marks_add(&su->group.marks, su->client.kb->b.delivered + 1, &part->mark,
			m->offset);
		if (broker_deliver(ks->s, &ev) == EVENT_DROPPED)
			kafka_marks_settle(&su->group.marks, ev.number, ev.number, false);
	} else {
		broker_deliver(ks->s, &ev);
	}
	if (part->end >= 0 && part->next >= part->end)
		kafka_sub_part_ended(part);
}

/* A word of the library's about a partition or the group. */
static void
read_error(struct kafka_subs *su, const rd_kafka_message_t *m)
{
	struct kafka_topic *t = m->rkt ? topic_of(su, m->rkt) : NULL;
	struct error err;

	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		struct kafka_part *part = t ? kafka_topic_part(t, m->partition) : NULL;

		/* Behind the last event there can be what is none: the marks of a
		 * transaction. */
		if (part && part->end >= 0 && m->offset >= part->end)
			kafka_sub_part_ended(part);
		return;
	}
	kafka_error(&err, m->err, m->payload ? rd_kafka_message_errstr(m) : NULL);
	switch (m->err) {
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
		if (!t || !t->ks || !t->ks->s || !su->group.name)
			break;
		if (su->client.kb->missing_fails || t->ks->s->opts.ended) {
			error_set(&err, ERR_NOTFOUND, "there is no such topic");
			kafka_sub_tell(t->ks, &err);
		} else if (!t->ks->missing_told) {
			t->ks->missing_told = true;
			log_warn("%.*s: there is no such topic yet; waiting for it",
				BYTES_FMT(t->name));
			kafka_group_missing(su);
			kafka_sub_tell(t->ks, NULL);
		}
		return;
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		if (t)
			error_prefix(&err, "%.*s", BYTES_FMT(t->name));
		if (t && t->ks && !t->ks->told) {
			kafka_sub_tell(t->ks, &err);
			return;
		}
		/* fall through */
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR__FATAL:
		kafka_sub_tell_all(su, &err);
		return;
	default:
		break;
	}
	log_verbose("kafka: %s", err.text);
}

static void
read_one(struct kafka_subs *su, rd_kafka_message_t *m)
{
	if (m->err)
		read_error(su, m);
	else
		read_record(su, m);
	rd_kafka_message_destroy(m);
}

static void
hold(struct kafka_subs *su, rd_kafka_message_t *m)
{
	if (su->nheld == su->cap_held) {
		su->cap_held = su->cap_held ? 2 * su->cap_held : 64;
		su->held = xrealloc(su->held, su->cap_held * sizeof(rd_kafka_message_t *));
	}
	su->held[su->nheld++] = m;
}

static void
read_held(struct kafka_subs *su)
{
	size_t i = 0;

	while (i < su->nheld && !su->paused)
		read_one(su, su->held[i++]);
	su->nheld -= i;
	memmove(su->held, su->held + i, su->nheld * sizeof *su->held);
}

void
kafka_read_poll(struct kafka_client *c)
{
	struct kafka_subs *su = c->kb->sub;
	ssize_t n;

	if (!su->group.name)
		rd_kafka_poll(c->rk, 0);
	else if (kafka_group_closing(su))
		return;
	if (su->paused && (!su->group.name || !su->paused_there))
		return;
	if (su->nheld && !su->paused)
		read_held(su);
	n = rd_kafka_consume_batch_queue(c->queue, 0, su->batch, KAFKA_BATCH);
	for (ssize_t i = 0; i < n; i++) {
		if (su->paused || su->nheld)
			hold(su, su->batch[i]);
		else
			read_one(su, su->batch[i]);
	}
	if (su->group.name)
		kafka_group_delivered(su);
	if (n == KAFKA_BATCH)
		one_cpu_look(loop_now_ns(c->kb->b.loop));
	if (!su->paused && (n == KAFKA_BATCH || su->nheld))
		kafka_client_again(c);
}

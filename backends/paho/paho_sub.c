/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions, and the events they get.
 *
 * Which subscription an event is for, version 5 says by the identifiers we gave them;
 * else it is found out by their filters.
 */
#include <stdlib.h>

#include "backends/paho/paho.h"
#include "core/log.h"

/* ---- asking ---- */

static void
ask_task(struct loop_task *t)
{
	struct paho_broker *pb = t->arg;
	bool ids;

	if (pb->state != PAHO_READY)
		return;
	ids = paho_client_server(pb->client)->subscription_id && pb->version == MQTT_V5;
	for (struct paho_sub *ps = pb->subs.first; ps; ps = ps->next) {
		const struct subscribe_options *o = &ps->sub->opts;

		if (ps->asked)
			continue;
		ps->asked = ps->waits = true;
		if (o->ack == SUBSCRIBE_ACK_NONE)
			paho_client_no_acks(pb->client);
		paho_client_subscribe(pb->client, ps->filter, (unsigned char)(o->qos >= 0 ? o->qos :
			MQTT_QOS_DEFAULT), o->no_retained, ids ? ps->id : 0,
			(void *)(uintptr_t)ps->id);
	}
}

static int
check_server(const struct paho_broker *pb, const struct subscription *s, struct error *err)
{
	const struct paho_server *server = paho_client_server(pb->client);
	struct bytes f = s->topic;

	if (s->opts.group && !server->shared)
		return error_set(err, ERR_NOTFOUND, "the server has no shared subscriptions, which "
			"groups need");
	if (!server->wildcard && (memchr(f.p, '+', f.n) || memchr(f.p, '#', f.n)))
		return error_set(err, ERR_NOTFOUND, "the server has no wildcards");
	return 0;
}

int
paho_sub_subscribe(struct paho_broker *pb, struct subscription *s, struct error *err)
{
	struct buf filter = BUF_INIT;
	struct paho_sub *ps;

	if (mqtt_check_filter(s->topic, s->opts.group, err) < 0 ||
	    (pb->state == PAHO_READY && check_server(pb, s, err) < 0))
		return -1;
	ps = xcalloc(1, sizeof *ps);
	ps->sub = s;
	ps->id = ++pb->subs.last_id;
	s->priv = ps;
	mqtt_add_shared(&filter, s->topic, s->opts.group);
	ps->filter = bytes_of(xmemdup0(buf_data(&filter), buf_len(&filter)), buf_len(&filter));
	buf_release(&filter);
	*pb->subs.end = ps;
	pb->subs.end = &ps->next;
	loop_defer(pb->b.loop, &pb->subs.ask);
	return 0;
}

void
paho_sub_unsubscribe(struct paho_broker *pb, struct subscription *s)
{
	struct paho_sub *ps = s->priv, **p = &pb->subs.first;

	if (!ps)
		return;
	/* A session that is kept is kept for its subscriptions. */
	if (ps->asked && pb->state == PAHO_READY && !pb->opt.session)
		paho_client_unsubscribe(pb->client, ps->filter);
	while (*p != ps)
		p = &(*p)->next;
	*p = ps->next;
	if (pb->subs.end == &ps->next)
		pb->subs.end = p;
	s->priv = NULL;
	free((char *)ps->filter.p);
	free(ps);
}

void
paho_sub_note(struct paho_broker *pb, const struct paho_note *n)
{
	struct paho_sub *ps = pb->subs.first;
	bool was_live;
	struct error err;

	while (ps && ps->id != (uint32_t)(uintptr_t)n->about)
		ps = ps->next;
	if (!ps || (n->code && !n->text))
		return;		/* unsubscribed meanwhile; or the connection has gone */
	ps->waits = false;
	if (n->kind == NOTE_SUBSCRIBED) {
		if (n->reason < (unsigned)(ps->sub->opts.qos >= 0 ? ps->sub->opts.qos :
		    MQTT_QOS_DEFAULT))
			log_verbose("%.*s: the server grants QoS %u", BYTES_FMT(ps->sub->topic),
				n->reason);
		was_live = ps->live;
		ps->live = true;
		if (!was_live)
			broker_subscribed(ps->sub, NULL);
		return;
	}
	if (n->code)
		error_set(&err, ERR_REFUSED, "paho does not take it: %s", n->text);
	else if (pb->version == MQTT_V5)
		mqtt_reason_error(&err, MQTT_AT_SUBSCRIBE, "subscription refused by the server",
			n->reason, bytes_str(n->text));
	else
		error_set(&err, ERR_REFUSED, "subscription refused by the server (0x80: MQTT 3.1.1 "
			"does not say why)");
	if (!ps->live) {
		broker_subscribed(ps->sub, &err);
		return;
	}
	error_prefix_bytes(&err, ps->sub->topic);
	broker_failed(&pb->b, &err);
}

/* ---- connections ---- */

void
paho_sub_ready(struct paho_broker *pb)
{
	bool session = paho_client_server(pb->client)->session, qos0 = false;

	/* Identifiers of a run before ours may mean anything. */
	pb->subs.only_ours = !session || pb->was_ready;
	for (struct paho_sub *ps = pb->subs.first; ps; ps = ps->next) {
		ps->asked = session && ps->live;
		qos0 |= ps->sub->opts.qos == 0;
		if (ps->sub->opts.ack == SUBSCRIBE_ACK_NONE)
			paho_client_no_acks(pb->client);
	}
	if (pb->subs.first && pb->was_ready)
		mqtt_map_missed(pb->target->name, pb->opt.session, session, qos0);
	loop_defer(pb->b.loop, &pb->subs.ask);
}

bool
paho_sub_asks(const struct paho_broker *pb)
{
	for (const struct paho_sub *ps = pb->subs.first; ps; ps = ps->next)
		if (ps->waits)
			return true;
	return false;
}

bool
paho_sub_is_new(const struct paho_broker *pb)
{
	for (const struct paho_sub *ps = pb->subs.first; ps; ps = ps->next)
		if (!ps->live)
			return true;
	return false;
}

bool
paho_sub_lost(struct paho_broker *pb, const struct error *why)
{
	bool told = false;

	pb->subs.held.on = false;
	for (struct paho_sub *ps = pb->subs.first, *next; ps; ps = next) {
		bool waits = ps->waits;
		struct error err;

		next = ps->next;
		ps->waits = false;
		if (!why || ps->live || !waits)
			continue;
		err = *why;
		error_prefix(&err, "the connection went when the server was asked for it");
		broker_subscribed(ps->sub, &err);
		told = true;
	}
	return told;
}

/* ---- events ---- */

struct delivery {
	struct event ev;
	unsigned wait, dropped;
};

static void
deliver(struct paho_sub *ps, struct delivery *d)
{
	if (ps->sub->opts.no_retained && d->ev.retain)
		return;		/* 3.1.1 cannot be asked for that */
	if (broker_deliver(ps->sub, &d->ev) == EVENT_DROPPED)
		d->dropped++;
	else if (ps->sub->opts.ack != SUBSCRIBE_ACK_NONE)
		d->wait++;
}

static bool
has_id(MQTTProperties *props, uint32_t id, bool *any)
{
	*any = false;
	for (int i = 0; i < props->count; i++) {
		if (props->array[i].identifier != MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER)
			continue;
		*any = true;
		if (props->array[i].value.integer4 == id)
			return true;
	}
	return false;
}

static void
deliver_all(struct paho_broker *pb, MQTTProperties *props, struct delivery *d)
{
	struct paho_subs *subs = &pb->subs;
	bool matched = false, by_id, single = subs->first && !subs->first->next;

	for (struct paho_sub *ps = subs->first, *next; ps; ps = next) {
		bool named = has_id(props, ps->id, &by_id);

		next = ps->next;
		if (by_id && !named)
			continue;
		if (!((by_id || single) && subs->only_ours) &&
		    !mqtt_topic_matches(mqtt_bare_filter(ps->sub->topic), d->ev.topic))
			continue;
		matched = true;
		deliver(ps, d);
	}
	if (!matched && !subs->strangers++)
		log_warn("%.*s: an event for a subscription that the session has from an earlier "
			"run; it and others like it are not shown", BYTES_FMT(d->ev.topic));
}

static struct bytes
bytes_of_len(MQTTLenString s)
{
	return bytes_of(s.data ? s.data : "", (size_t)s.len);
}

static void
take_props(struct mqtt_map_in *in, MQTTProperties *props)
{
	for (int i = 0; i < props->count; i++) {
		const MQTTProperty *p = &props->array[i];
		struct mqtt_prop prop = { .id = (enum mqtt_prop_id)p->identifier };

		switch (MQTTProperty_getType(p->identifier)) {
		case MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER:
			prop.number = p->value.integer4;
			break;
		case MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR:
			prop.value = bytes_of_len(p->value.value);
			prop.text = bytes_of_len(p->value.data);
			break;
		case MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING:
		case MQTTPROPERTY_TYPE_BINARY_DATA:
			prop.text = bytes_of_len(p->value.data);
			break;
		default:
			continue;
		}
		mqtt_map_in_prop(in, &prop);
	}
}

/* What is to be said about it later, or now. */
static void
settle(struct paho_broker *pb, const struct delivery *d, uint64_t first)
{
	struct paho_held *held = &pb->subs.held;

	*held = (struct paho_held){ true, d->dropped > 0, first, pb->b.delivered, d->wait };
	if (held->failed) {
		/* It is never answered, and so nothing more comes. */
		if (pb->draining)
			paho_session_drained(pb);
	} else if (!held->left) {
		held->on = false;
		pb->subs.answered = true;
		paho_client_settle(pb->client);
	}
}

void
paho_sub_message(struct paho_broker *pb, struct paho_message *m, int64_t now_us)
{
	static char nothing[1];
	struct delivery d = { .ev = event_none };
	struct mqtt_map_in *in = &pb->subs.in;
	uint64_t first = pb->b.delivered + 1;
	struct error err;
	size_t n;

	if (m->large) {
		error_set(&err, ERR_NOTFOUND, "%s: an event larger than -X mqtt.max_packet=%u allows",
			pb->target->name, (unsigned)pb->opt.max_packet);
		paho_session_fail(pb, &err);
		return;
	}
	if (m->fault) {
		paho_session_fault(pb, m->fault);
		return;
	}
	n = (size_t)m->m->payloadlen;
	/* What is kept comes with each connection. */
	if (!m->m->retained && !m->m->dup)
		retry_progress(&pb->retry);
	mqtt_map_in_begin(in);
	take_props(in, &m->m->properties);
	mqtt_map_in_event(in, bytes_of(m->topic, m->topic_size), n ? m->m->payload : nothing, n,
		&d.ev);
	d.ev.qos = m->m->qos;
	d.ev.retain = m->m->retained;
	d.ev.time_kind = EVENT_TIME_RECV;
	d.ev.time_us = now_us;
	deliver_all(pb, &m->m->properties, &d);
	if (m->waits)
		settle(pb, &d, first);
}

void
paho_sub_ack(struct paho_broker *pb, uint64_t first, uint64_t last, bool ok)
{
	struct paho_held *held = &pb->subs.held;
	uint64_t from = held->first > first ? held->first : first;
	uint64_t to = held->last < last ? held->last : last;

	if (!held->on || from > to)
		return;
	held->failed |= !ok;
	held->left -= to - from + 1 < held->left ? to - from + 1 : held->left;
	if (held->left || held->failed || pb->state != PAHO_READY)
		return;
	held->on = false;
	pb->subs.answered = true;
	paho_client_settle(pb->client);
}

/* ---- life ---- */

void
paho_sub_init(struct paho_broker *pb)
{
	pb->subs.end = &pb->subs.first;
	pb->subs.ask.fn = ask_task;
	pb->subs.ask.arg = pb;
	mqtt_map_in_init(&pb->subs.in, pb->b.opts.wire);
}

void
paho_sub_release(struct paho_broker *pb)
{
	loop_task_cancel(&pb->subs.ask);
	mqtt_map_in_release(&pb->subs.in);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions, and the events they get.
 *
 * A packet of QoS 1 or 2 is answered (PUBACK, PUBREC) once all its events are
 * acknowledged, in the order the packets came, as MQTT wants it: a ring keeps them
 * until they are at its front. What is never acknowledged is never answered, and
 * comes again with the session, if that is kept.
 *
 * Which subscriptions a packet is for, version 5 says by the identifiers we gave
 * them; else it is found out by their filters. With one subscription there is
 * nothing to find out.
 */
#include <stdlib.h>

#include "backends/mqtt/mqtt.h"
#include "core/log.h"

/* ---- asking ---- */

static struct bytes
own_filter(const struct mqtt_sub *ms)
{
	return mqtt_bare_filter(ms->sub->topic);
}

/* The packet, and a place for its answer. */
static void
ask_server(struct mqtt_broker *mb, struct mqtt_packet *pk, struct mqtt_sub *ms)
{
	pk->id = (uint16_t)pipeline_next_name(&mb->p);
	mqtt_write(pipeline_ask(&mb->p, NULL, ms, 0, 0), pk, mb->version);
}

static void
ask_one(struct mqtt_broker *mb, struct mqtt_sub *ms)
{
	struct mqtt_packet pk = { .type = MQTT_SUBSCRIBE };
	struct buf list = BUF_INIT, props = BUF_INIT;
	int options = ms->sub->opts.qos >= 0 ? ms->sub->opts.qos : MQTT_QOS_DEFAULT;

	ms->asked = ms->waits = true;
	mb->subs.nasking++;
	link_trial(mb->p.link, true);
	if (mb->version == MQTT_V5 && ms->sub->opts.no_retained)
		options |= 2 << 4;
	mqtt_add_filter(&list, ms->filter, options);
	if (ms->id && mb->server.subscription_id)
		mqtt_add_number(&props, MQTT_PROP_SUBSCRIPTION_ID, ms->id);
	pk.list = buf_bytes(&list);
	pk.props = buf_bytes(&props);
	ms->seq = mb->p.ring.next;
	ask_server(mb, &pk, ms);
	buf_release(&list);
	buf_release(&props);
}

static void
give_id(struct mqtt_subs *subs, struct mqtt_sub *ms)
{
	if (subs->nids % 64 == 0)
		subs->by_id = xrealloc(subs->by_id, (subs->nids + 64) * sizeof *subs->by_id);
	subs->by_id[subs->nids] = ms;
	ms->id = ++subs->nids;
}

/* At the end of the turn, when it is known whether there are several. */
static void
ask_task(struct loop_task *t)
{
	struct mqtt_broker *mb = t->arg;
	struct mqtt_subs *subs = &mb->subs;

	if (mb->state != MQTT_READY)
		return;
	for (struct mqtt_sub *ms = subs->first; ms && subs->nasking < MQTT_SUBS_ASKED; ms = ms->next) {
		if (ms->asked)
			continue;
		if (!ms->id && subs->count > 1)
			give_id(subs, ms);
		ask_one(mb, ms);
	}
	link_flush(mb->p.link);
}

static int
check_server(const struct mqtt_broker *mb, const struct subscription *s, struct error *err)
{
	struct bytes f = s->topic;

	if ((s->opts.group || mqtt_bare_filter(f).n < f.n) && !mb->server.shared)
		return error_set(err, ERR_NOTFOUND, "the server has no shared subscriptions, which "
			"groups need");
	if (!mb->server.wildcard && (memchr(f.p, '+', f.n) || memchr(f.p, '#', f.n)))
		return error_set(err, ERR_NOTFOUND, "the server has no wildcards");
	return 0;
}

int
mqtt_sub_subscribe(struct mqtt_broker *mb, struct subscription *s, struct error *err)
{
	struct buf filter = BUF_INIT;
	struct mqtt_sub *ms;

	if (mqtt_check_filter(s->topic, s->opts.group, err) < 0 ||
	    (mb->state == MQTT_READY && check_server(mb, s, err) < 0))
		return -1;
	ms = xcalloc(1, sizeof *ms);
	ms->sub = s;
	s->priv = ms;
	mqtt_add_shared(&filter, s->topic, s->opts.group);
	ms->filter = bytes_of(xmemdup0(buf_data(&filter), buf_len(&filter)), buf_len(&filter));
	buf_release(&filter);
	*mb->subs.end = ms;
	mb->subs.end = &ms->next;
	mb->subs.count++;
	mb->subs.nnew++;
	link_comes_back(mb->p.link, false);
	link_lazy(mb->p.link, MQTT_SUB_NAP_US);
	loop_defer(mb->b.loop, &mb->subs.ask);
	return 0;
}

/* A connection that goes is made again once there is something to come back for. */
static void
not_new(struct mqtt_broker *mb)
{
	mb->subs.nnew--;
	link_comes_back(mb->p.link, !mb->subs.nnew);
}

/* Its SUBSCRIBE is answered, or is not to be. */
static void
asked(struct mqtt_broker *mb, struct mqtt_sub *ms)
{
	mb->subs.nasking -= ms->waits;
	ms->waits = false;
	link_trial(mb->p.link, mb->subs.nasking);
}

void
mqtt_sub_unsubscribe(struct mqtt_broker *mb, struct subscription *s)
{
	struct mqtt_subs *subs = &mb->subs;
	struct mqtt_packet pk = { .type = MQTT_UNSUBSCRIBE };
	struct mqtt_sub *ms = s->priv, **p = &subs->first;
	struct buf list = BUF_INIT;

	if (!ms)
		return;
	/* A session that is kept is kept for its subscriptions. */
	if (ms->asked && mb->state == MQTT_READY && !mb->opt.session) {
		mqtt_add_filter(&list, ms->filter, -1);
		pk.list = buf_bytes(&list);
		ask_server(mb, &pk, NULL);
		buf_release(&list);
	}
	if (ms->waits && mb->p.ready)
		flight_at(&mb->p.ring, ms->seq)->arg = NULL;
	asked(mb, ms);
	if (ms->id)
		subs->by_id[ms->id - 1] = NULL;
	while (*p != ms)
		p = &(*p)->next;
	*p = ms->next;
	if (subs->end == &ms->next)
		subs->end = p;
	subs->count--;
	if (!ms->live)
		not_new(mb);
	s->priv = NULL;
	free((char *)ms->filter.p);
	free(ms);
}

/* ---- SUBACK ---- */

static void
refused(struct mqtt_broker *mb, struct mqtt_sub *ms, unsigned code, struct bytes props)
{
	struct mqtt_prop said;
	struct error err;

	if (mb->version == MQTT_V5)
		mqtt_reason_error(&err, MQTT_AT_SUBSCRIBE, "subscription refused by the server", code,
			mqtt_prop_find(props, MQTT_PROP_REASON, &said) ? said.text : BYTES(""));
	else
		error_set(&err, ERR_REFUSED, "subscription refused by the server (0x80: MQTT 3.1.1 "
			"does not say why)");
	if (!ms->live) {
		broker_subscribed(ms->sub, &err);
		return;
	}
	error_prefix_bytes(&err, ms->sub->topic);
	broker_failed(&mb->b, &err);
}

void
mqtt_sub_answer(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_subs *subs = &mb->subs;
	uint64_t seq = pipeline_find(&mb->p, pk->id);
	unsigned code = pk->list.n ? (unsigned char)*pk->list.p : 0;
	struct mqtt_sub *ms;

	if (seq == PIPE_NONE || (flight_at(&mb->p.ring, seq)->state & PIPE_EVENT))
		return;
	ms = flight_at(&mb->p.ring, seq)->arg;
	if (ms && (pk->type != MQTT_SUBACK || pk->list.n != 1)) {
		mqtt_session_fault(mb, 0x82, "no answer to what was asked");
		return;
	}
	pipeline_end(&mb->p, seq, FATE_CONFIRMED, NULL);
	if (!ms)
		return;		/* unsubscribed meanwhile */
	asked(mb, ms);
	if (subs->count > MQTT_SUBS_ASKED)
		loop_defer(mb->b.loop, &subs->ask);
	if (code >= 0x80) {
		refused(mb, ms, code, pk->props);
		return;
	}
	if (code < (unsigned)(ms->sub->opts.qos >= 0 ? ms->sub->opts.qos : MQTT_QOS_DEFAULT))
		log_verbose("%.*s: the server grants QoS %u", BYTES_FMT(ms->sub->topic), code);
	mqtt_drops_watch(mb);
	if (ms->live)
		return;
	ms->live = true;
	not_new(mb);
	broker_subscribed(ms->sub, NULL);
}

/* ---- connections ---- */

void
mqtt_sub_ready(struct mqtt_broker *mb, bool session, bool again)
{
	struct mqtt_subs *subs = &mb->subs;
	bool qos0 = false;

	/* Identifiers of a run before ours may mean anything. */
	subs->trust_ids = !session || again;
	if (!session && subs->received)
		memset(subs->received, 0, (UINT16_MAX + 1) / 8);
	for (struct mqtt_sub *ms = subs->first; ms; ms = ms->next) {
		ms->asked = session && ms->live;
		qos0 |= ms->sub->opts.qos == 0;
	}
	if (subs->count && again)
		mqtt_map_missed(link_name(mb->p.link), mb->opt.session, session, qos0);
	loop_defer(mb->b.loop, &subs->ask);
}

bool
mqtt_sub_lost(struct mqtt_broker *mb, const struct error *why)
{
	bool told = false;

	for (struct mqtt_sub *ms = mb->subs.first, *next; ms; ms = next) {
		bool waits = ms->waits;
		struct error err;

		next = ms->next;
		asked(mb, ms);
		if (!why || ms->live || !waits)
			continue;
		err = *why;
		error_prefix(&err, "the connection went when the server was asked for it");
		broker_subscribed(ms->sub, &err);
		told = true;
	}
	return told;
}

/* ---- the ring of what is not answered ---- */

static struct mqtt_inbound *
inbound_at(struct mqtt_subs *subs, uint64_t seq)
{
	return &subs->ring[seq & (subs->cap - 1)];
}

static struct mqtt_inbound *
inbound_push(struct mqtt_subs *subs)
{
	struct mqtt_subs old = *subs;

	if (subs->next_in - subs->first_in == subs->cap) {
		subs->cap = old.cap ? old.cap * 2 : 64;
		subs->ring = xcalloc(subs->cap, sizeof *subs->ring);
		for (uint64_t i = old.first_in; i < old.next_in; i++)
			*inbound_at(subs, i) = *inbound_at(&old, i);
		free(old.ring);
	}
	return inbound_at(subs, subs->next_in++);
}

static bool
is_received(struct mqtt_subs *subs, uint16_t id)
{
	return subs->received && (subs->received[id / 8] >> id % 8 & 1);
}

static void
set_received(struct mqtt_subs *subs, uint16_t id, bool on)
{
	if (!subs->received)
		subs->received = xcalloc(1, (UINT16_MAX + 1) / 8);
	if (on)
		subs->received[id / 8] |= (unsigned char)(1 << id % 8);
	else
		subs->received[id / 8] &= (unsigned char)~(1 << id % 8);
}

static void
answer(struct mqtt_broker *mb, enum mqtt_type type, uint16_t id, unsigned reason)
{
	mqtt_write_ack(pipeline_out(&mb->p), type, id, (unsigned char)reason, mb->version);
	mb->subs.answered = true;
	pipeline_kick(&mb->p);
}

/* Answers all at the front that are settled. */
static void
answer_settled(struct mqtt_broker *mb)
{
	struct mqtt_subs *subs = &mb->subs;

	for (; subs->first_in < subs->next_in; subs->first_in++) {
		const struct mqtt_inbound *in = inbound_at(subs, subs->first_in);

		if (in->left)
			break;
		/* One of a connection that has gone is sent again, and answered then. */
		if (!in->failed && in->generation == mb->generation && mb->state == MQTT_READY)
			answer(mb, in->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, in->id, 0);
	}
}

void
mqtt_sub_ack(struct mqtt_broker *mb, uint64_t first, uint64_t last, bool ok)
{
	struct mqtt_subs *subs = &mb->subs;

	for (uint64_t i = subs->first_in; i < subs->next_in; i++) {
		struct mqtt_inbound *in = inbound_at(subs, i);
		uint64_t from = in->first > first ? in->first : first;
		uint64_t to = in->last < last ? in->last : last;

		if (in->first > last)
			break;
		if (in->last < first)
			continue;
		in->failed |= !ok;
		in->left -= to - from + 1 < in->left ? (uint32_t)(to - from + 1) : in->left;
	}
	answer_settled(mb);
}

/* ---- PUBLISH ---- */

/* QoS 2 once more: true if it was delivered already. */
static bool
is_repeated(struct mqtt_broker *mb, uint16_t id)
{
	struct mqtt_subs *subs = &mb->subs;

	if (!is_received(subs, id)) {
		set_received(subs, id, true);
		return false;
	}
	/* Still to be printed: the answer follows then, on this connection. */
	for (uint64_t i = subs->first_in; i < subs->next_in; i++) {
		struct mqtt_inbound *in = inbound_at(subs, i);

		if (in->qos == 2 && in->id == id && !in->failed) {
			in->generation = mb->generation;
			return true;
		}
	}
	answer(mb, MQTT_PUBREC, id, 0);
	return true;
}

struct delivery {
	struct event ev;
	unsigned taken, wait, dropped;
};

static void
deliver(struct mqtt_sub *ms, struct delivery *d)
{
	bool waits = ms->sub->opts.ack != SUBSCRIBE_ACK_NONE;

	if (ms->sub->opts.no_retained && d->ev.retain)
		return;		/* 3.1.1 cannot be asked for that */
	d->taken++;
	if (broker_deliver(ms->sub, &d->ev) == EVENT_DROPPED)
		d->dropped++;
	else
		d->wait += waits;
}

/* By the identifiers in the packet; false: it has none that help. */
static bool
deliver_by_id(struct mqtt_broker *mb, struct bytes props, struct delivery *d)
{
	struct mqtt_subs *subs = &mb->subs;
	struct mqtt_prop prop;
	bool any = false;

	while (subs->by_id && mqtt_prop_next(&props, &prop)) {
		struct mqtt_sub *ms;

		if (prop.id != MQTT_PROP_SUBSCRIPTION_ID || prop.number > subs->nids)
			continue;
		ms = subs->by_id[prop.number - 1];
		if (!ms || (!subs->trust_ids && !mqtt_topic_matches(own_filter(ms), d->ev.topic)))
			continue;
		any = true;
		deliver(ms, d);
	}
	return any;
}

static void
deliver_all(struct mqtt_broker *mb, struct bytes props, struct delivery *d)
{
	struct mqtt_subs *subs = &mb->subs;
	bool matched = false;

	if (subs->count == 1 && subs->trust_ids) {
		deliver(subs->first, d);
		return;
	}
	if (props.n && deliver_by_id(mb, props, d))
		return;
	for (struct mqtt_sub *ms = subs->first, *next; ms; ms = next) {
		next = ms->next;	/* the handler may unsubscribe */
		if (!mqtt_topic_matches(own_filter(ms), d->ev.topic))
			continue;
		matched = true;
		deliver(ms, d);
	}
	if (!matched && !subs->strangers++)
		log_warn("%.*s: an event for a subscription that the session has from an earlier "
			"run; it and others like it are not shown", BYTES_FMT(d->ev.topic));
}

/* What is to be said about it later, or now. */
static void
note(struct mqtt_broker *mb, const struct mqtt_packet *pk, const struct delivery *d,
	uint64_t first)
{
	struct mqtt_subs *subs = &mb->subs;

	/* More of them than the receive maximum that it was told is no reason to leave:
	 * Mosquitto 2.0.11 sends several times as many to a subscriber that falls
	 * behind. Packet identifiers bound the ring at 65535. */
	*inbound_push(subs) = (struct mqtt_inbound){
		.first = first, .last = mb->b.delivered,
		.left = d->wait,
		.generation = mb->generation,
		.id = pk->id, .qos = pk->qos,
		.failed = d->dropped,
	};
	if (!d->wait)
		answer_settled(mb);
}

void
mqtt_sub_publish(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_map_in *in = &mb->subs.in;
	struct delivery d = { .ev = event_none };
	struct bytes props = pk->props;
	uint64_t first = mb->b.delivered + 1;
	struct mqtt_prop prop;

	mqtt_map_in_begin(in);
	while (mqtt_prop_next(&props, &prop)) {
		if (prop.id == MQTT_PROP_ALIAS) {
			mqtt_session_fault(mb, 0x94, "a topic alias, and we take none");
			return;
		}
		mqtt_map_in_prop(in, &prop);
	}
	if (pk->qos == 2 && is_repeated(mb, pk->id))
		return;
	/* What is kept comes with each connection. */
	mb->p.progress |= !pk->retain && !pk->dup;
	mqtt_map_in_event(in, pk->topic, (char *)pk->payload.p, pk->payload.n, &d.ev);
	d.ev.qos = pk->qos;
	d.ev.retain = pk->retain;
	d.ev.time_kind = EVENT_TIME_RECV;
	d.ev.time_us = mb->read_us;
	deliver_all(mb, pk->props, &d);
	/* What was dropped is not received: it may come again. */
	if (pk->qos == 2 && d.dropped)
		set_received(&mb->subs, pk->id, false);
	if (pk->qos)
		note(mb, pk, &d, first);
}

void
mqtt_sub_pubrel(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	bool known = is_received(&mb->subs, pk->id);

	if (known)
		set_received(&mb->subs, pk->id, false);
	answer(mb, MQTT_PUBCOMP, pk->id, known ? 0 : 0x92);
}

/* ---- life ---- */

void
mqtt_sub_init(struct mqtt_broker *mb)
{
	mb->subs.end = &mb->subs.first;
	mb->subs.ask.fn = ask_task;
	mb->subs.ask.arg = mb;
	mqtt_map_in_init(&mb->subs.in, mb->b.opts.wire);
}

void
mqtt_sub_release(struct mqtt_broker *mb)
{
	struct mqtt_subs *subs = &mb->subs;

	loop_task_cancel(&subs->ask);
	mqtt_map_in_release(&subs->in);
	free(subs->ring);
	free(subs->received);
	free(subs->by_id);
	subs->ring = NULL;
	subs->received = NULL;
	subs->by_id = NULL;
}

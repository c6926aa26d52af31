/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way to the server. paho searches all it holds for a free packet id
 * with each event, so it is handed a few at a time; the rest waits here. It is never
 * handed more than the server's receive maximum, because what it holds back for that it
 * looks at once a second.
 *
 * QoS 1 and 2 are confirmed by paho's word that the answer has come. QoS 0 is
 * confirmed by the answer to a question asked behind it (paho_client_barrier).
 *
 * paho does not say whether an event that got no answer was written. So what it was
 * handed may have arrived (unknown), and what it was not handed has not.
 */
#include <stdlib.h>

#include "backends/paho/paho.h"

enum {					/* flight_entry.state */
	QOS_MASK = 3,
	HANDED = 4,			/* to the present client */
	TOLD = 8,			/* has its outcome */
	DONE = 16,			/* paho has done with it */
	BEFORE = 32			/* handed to a client that has gone: it may have arrived */
};

enum {
	HANDED_MAX = 128,
	HANDED_QOS2_311 = 20,		/* 3.1.1 has no receive maximum; beyond, some servers
					 * drop */
	WAITING_MAX = 60000		/* taken, and not answered */
};

static struct paho_event *
event_of(const struct flight_entry *e)
{
	return e->copy;
}

static void
event_drop(struct paho_event *ev)
{
	MQTTProperties_free(&ev->props);
	free(ev);
}

/* ---- the end of an entry ---- */

static void
tell(struct paho_broker *pb, struct flight_entry *e, enum fate fate, const struct error *err)
{
	uint64_t id = e->id;
	size_t size = e->size;

	if (e->state & TOLD)
		return;
	e->state |= TOLD;
	broker_outcome(&pb->b, id, size, fate, err);	/* which may publish: e is no more */
}

static void
end(struct paho_broker *pb, uint64_t seq, enum fate fate, const struct error *err)
{
	struct paho_pub *pub = &pb->pub;
	struct flight_entry *at = flight_at(&pub->flight, seq), e = *at;

	if (fate == FATE_CONFIRMED)
		retry_progress(&pb->retry);
	at->state |= DONE | TOLD;
	if (at->copy)
		event_drop(event_of(at));
	at->copy = NULL;
	while (flight_count(&pub->flight) && (flight_front(&pub->flight)->state & DONE))
		flight_pop(&pub->flight);
	if (pub->next_send < pub->flight.first)
		pub->next_send = pub->flight.first;
	tell(pb, &e, fate, err);
}

/* ---- handing over ---- */

static bool
has_room(const struct paho_broker *pb, const struct flight_entry *e)
{
	unsigned qos = e->state & QOS_MASK, most = HANDED_MAX;

	if (qos == 2 && pb->version == MQTT_V311)
		most = HANDED_QOS2_311;
	if (qos && paho_client_server(pb->client)->receive_maximum < most)
		most = paho_client_server(pb->client)->receive_maximum;
	return pb->pub.handed < most;
}

static void
hand_over(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;

	while (pub->next_send < pub->flight.next) {
		struct flight_entry *e = flight_at(&pub->flight, pub->next_send);

		if (!(e->state & DONE)) {
			if (!has_room(pb, e))
				break;
			e->state |= HANDED;
			pub->handed++;
			pub->zeros += !(e->state & QOS_MASK);
			paho_client_publish(pb->client, event_of(e));
		}
		pub->next_send++;
	}
}

static void
settle(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;

	if (pb->state != PAHO_READY)
		return;
	hand_over(pb);
	if (!pub->zeros || pub->asked || pb->b.opts.ack == PUBLISH_ACK_NONE)
		return;
	pub->zeros = 0;
	pub->barrier = pub->next_send;
	pub->asked = true;
	paho_client_barrier(pb->client);
}

static void
settle_task(struct loop_task *t)
{
	settle(t->arg);
}

/* ---- properties of version 5 ---- */

static void
sink_number(void *arg, enum mqtt_prop_id id, uint32_t n)
{
	MQTTProperty p = { .identifier = (enum MQTTPropertyCodes)id };

	p.value.integer4 = n;
	MQTTProperties_add(arg, &p);
}

static MQTTLenString
len_string(struct bytes b)
{
	return (MQTTLenString){ (int)b.n, (char *)b.p };
}

static void
sink_text(void *arg, enum mqtt_prop_id id, struct bytes text)
{
	MQTTProperty p = { .identifier = (enum MQTTPropertyCodes)id };

	p.value.data = len_string(text);
	MQTTProperties_add(arg, &p);
}

static void
sink_pair(void *arg, struct bytes name, struct bytes value)
{
	MQTTProperty p = { .identifier = MQTTPROPERTY_CODE_USER_PROPERTY };

	p.value.data = len_string(name);
	p.value.value = len_string(value);
	MQTTProperties_add(arg, &p);
}

static const struct mqtt_map_sink sink = { sink_number, sink_text, sink_pair };

/* ---- publishing ---- */

static struct paho_event *
event_new(struct paho_broker *pb, const struct publication *p)
{
	const MQTTProperties none = MQTTProperties_initializer;
	struct buf *payload = &pb->pub.payload;
	struct paho_event *ev;
	size_t n;

	buf_clear(payload);
	mqtt_map_payload(payload, p, pb->b.opts.wire);
	n = buf_len(payload);
	ev = xmalloc(sizeof *ev + n + p->topic.n + 1);
	*ev = (struct paho_event){ .size = n, .props = none };
	if (n)
		memcpy(ev->payload, buf_data(payload), n);
	memcpy(ev->payload + n, p->topic.p, p->topic.n);
	ev->payload[n + p->topic.n] = '\0';
	ev->topic = ev->payload + n;
	ev->qos = p->opts && p->opts->qos >= 0 ? (unsigned char)p->opts->qos : MQTT_QOS_DEFAULT;
	ev->retain = p->opts && p->opts->retain;
	if (pb->version == MQTT_V5 && mqtt_map_has_props(p, pb->b.opts.wire))
		mqtt_map_props(p, pb->b.opts.wire, &sink, &ev->props);
	return ev;
}

/* paho does not export its own. */
static size_t
props_size(const MQTTProperties *props)
{
	size_t n = 0;

	for (int i = 0; i < props->count; i++) {
		const MQTTProperty *p = &props->array[i];

		if (p->identifier == MQTTPROPERTY_CODE_USER_PROPERTY)
			n += 2 + (size_t)p->value.value.len;
		n += p->identifier == MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL ? 5 :
			3 + (size_t)p->value.data.len;
	}
	return n + (n < 128 ? 1 : n < 16384 ? 2 : n < 2097152 ? 3 : 4);
}

static int
check_server(const struct paho_broker *pb, const struct paho_event *ev, struct error *err)
{
	const struct paho_server *s = paho_client_server(pb->client);
	size_t size = 2 + strlen(ev->topic) + (ev->qos ? 2 : 0) + ev->size;

	if (pb->version == MQTT_V5)
		size += props_size(&ev->props);
	size += size < 128 ? 2 : size < 16384 ? 3 : size < 2097152 ? 4 : 5;
	if (ev->qos > s->max_qos)
		return error_set(err, ERR_REFUSED, "QoS %u: the server takes up to %u", ev->qos,
			s->max_qos);
	if (ev->retain && !s->retain)
		return error_set(err, ERR_REFUSED, "retain: the server keeps no event");
	if (size > s->max_packet)
		return error_set(err, ERR_REFUSED, "too large: %zu bytes as a packet, and the server "
			"takes %u", size, s->max_packet);
	return 0;
}

int
paho_pub_publish(struct paho_broker *pb, const struct publication *p, struct error *err)
{
	struct paho_pub *pub = &pb->pub;
	struct paho_event *ev;
	struct flight_entry *e;

	if (mqtt_check_topic(p->topic, err) < 0 || mqtt_map_check(p, pb->b.opts.wire, err) < 0)
		return -1;
	if (flight_count(&pub->flight) >= WAITING_MAX || (pb->state != PAHO_READY && !pub->keeps))
		return PUBLISH_FULL;
	if (mqtt_map_guess(p, pb->b.opts.wire) > MQTT_BODY_MAX)
		return error_set(err, ERR_REFUSED, "too large: MQTT takes packets of up to %u bytes",
			MQTT_BODY_MAX);
	ev = event_new(pb, p);
	if (pb->state == PAHO_READY && check_server(pb, ev, err) < 0) {
		event_drop(ev);
		return -1;
	}
	e = flight_push(&pub->flight);
	ev->seq = pub->flight.next - 1;
	e->id = p->id;
	e->size = publication_size(p);
	e->copy = ev;
	e->state = ev->qos;
	if (pb->b.opts.timeout_ms) {
		e->until_ns = loop_now_ns(pb->b.loop) + pb->b.opts.timeout_ms * UINT64_C(1000000);
		if (!loop_timer_is_set(&pub->timer))
			loop_timer_set_at(pb->b.loop, &pub->timer, e->until_ns);
	}
	loop_defer(pb->b.loop, &pub->settle);
	return 0;
}

/* ---- answers ---- */

/* The entry of a note's event: it is there as long as paho has not answered. */
static void
answered(struct paho_broker *pb, const struct paho_note *n)
{
	struct paho_pub *pub = &pb->pub;
	struct paho_event *ev = n->about;
	struct flight_entry *e = flight_at(&pub->flight, ev->seq);
	struct error err;

	if (n->kind == NOTE_SENT) {
		pub->handed--;
		if (!ev->qos && pb->b.opts.ack != PUBLISH_ACK_NONE)
			return;		/* the barrier confirms it */
		end(pb, ev->seq, FATE_CONFIRMED, NULL);
	} else if (!n->code) {
		pub->handed--;
		mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused by the server", n->reason,
			bytes_str(n->text));
		end(pb, ev->seq, FATE_REFUSED, &err);
	} else if (n->code == MQTTASYNC_DISCONNECTED) {
		e->state &= ~(unsigned)HANDED;	/* and so it is certain */
	} else if (n->text) {
		pub->handed--;
		error_set(&err, ERR_REFUSED, "paho does not take it: %s", n->text);
		end(pb, ev->seq, e->state & BEFORE ? FATE_UNKNOWN : FATE_REFUSED, &err);
	}
	/* Else its connection has gone, and its client's end will say more. */
}

static void
passed(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;
	uint64_t upto = pub->barrier;

	if (!pub->asked)
		return;
	pub->asked = false;
	for (uint64_t seq = pub->flight.first; seq < upto; seq++)
		if (seq >= pub->flight.first &&
		    !(flight_at(&pub->flight, seq)->state & (QOS_MASK | DONE)))
			end(pb, seq, FATE_CONFIRMED, NULL);
}

void
paho_pub_note(struct paho_broker *pb, const struct paho_note *n)
{
	pb->pub.heard_ns = loop_clock_ns();
	if (n->kind == NOTE_BARRIER)
		passed(pb);
	else
		answered(pb, n);
	broker_room(&pb->b);
	loop_defer(pb->b.loop, &pb->pub.settle);
}

/* ---- time ---- */

static void
pub_overdue(struct loop_timer *t)
{
	struct paho_broker *pb = t->arg;
	struct paho_pub *pub = &pb->pub;
	uint64_t now = loop_clock_ns();
	struct error err;

	/* It would lose a window after the other. */
	if (pb->state == PAHO_READY && pb->b.was_full &&
	    now - pub->heard_ns >= pb->b.opts.timeout_ms * UINT64_C(1000000)) {
		error_set(&err, ERR_CONNECT, "%s: no answer to anything within %g s",
			pb->target->name, pb->b.opts.timeout_ms / 1000.0);
		paho_session_fail(pb, &err);
	}
	for (uint64_t seq = pub->flight.first; seq < pub->flight.next; seq++) {
		struct flight_entry *e;

		if (seq < pub->flight.first || (flight_at(&pub->flight, seq)->state & TOLD))
			continue;
		e = flight_at(&pub->flight, seq);
		if (e->until_ns > now) {
			loop_timer_set_at(pb->b.loop, t, e->until_ns);
			return;
		}
		if (e->state & HANDED) {
			error_set(&err, ERR_UNKNOWN, "no answer within %g s",
				pb->b.opts.timeout_ms / 1000.0);
			tell(pb, e, FATE_UNKNOWN, &err);
		} else if (e->state & BEFORE) {
			error_set(&err, ERR_UNKNOWN, "no answer within %g s",
				pb->b.opts.timeout_ms / 1000.0);
			end(pb, seq, FATE_UNKNOWN, &err);
		} else {
			error_set(&err, ERR_REFUSED, "not sent within %g s",
				pb->b.opts.timeout_ms / 1000.0);
			end(pb, seq, FATE_REFUSED, &err);
		}
	}
}

/* ---- connections ---- */

void
paho_pub_ready(struct paho_broker *pb)
{
	pb->pub.heard_ns = loop_clock_ns();
	if (flight_count(&pb->pub.flight))
		loop_defer(pb->b.loop, &pb->pub.settle);
}

void
paho_pub_lost(struct paho_broker *pb, bool again, const struct error *why)
{
	struct paho_pub *pub = &pb->pub;
	struct error unknown, refused;

	error_set(&unknown, ERR_UNKNOWN, "sent, but the connection was lost before an answer came "
		"(%.300s)", why->text);
	error_set(&refused, ERR_CONNECT, "not sent: %.400s", why->text);
	pub->keeps = again = again && pub->keeps;
	pub->zeros = pub->handed = 0;
	pub->asked = false;
	pub->next_send = pub->flight.first;
	for (uint64_t seq = pub->flight.first, last = pub->flight.next; seq < last; seq++) {
		struct flight_entry *e;
		bool handed;

		if (seq < pub->flight.first)
			continue;
		e = flight_at(&pub->flight, seq);
		if (e->state & DONE)
			continue;
		handed = e->state & HANDED;
		if (handed)
			e->state |= BEFORE;
		e->state &= ~(unsigned)HANDED;
		/* What was told is not sent again; nor is QoS 0. */
		if (again && (!handed || (e->state & QOS_MASK)) && !(e->state & TOLD))
			continue;
		handed = e->state & BEFORE;
		end(pb, seq, handed ? FATE_UNKNOWN : FATE_REFUSED, handed ? &unknown : &refused);
	}
}

void
paho_pub_close(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;

	loop_timer_clear(pb->b.loop, &pub->timer);
	loop_task_cancel(&pub->settle);
}

void
paho_pub_init(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;

	pub->keeps = pb->b.opts.reconnect != 0;
	pub->timer.fn = pub_overdue;
	pub->settle.fn = settle_task;
	pub->timer.arg = pub->settle.arg = pb;
}

void
paho_pub_release(struct paho_broker *pb)
{
	struct paho_pub *pub = &pb->pub;

	for (; flight_count(&pub->flight); flight_pop(&pub->flight))
		if (flight_front(&pub->flight)->copy)
			event_drop(event_of(flight_front(&pub->flight)));
	flight_release(&pub->flight);
	buf_release(&pub->payload);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way to the server. Each has an entry in the flight from publish()
 * until the protocol has done with it; its packet id follows from its place there.
 *
 *	QoS 1: PUBLISH, PUBACK. QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP.
 *	QoS 0: PUBLISH, and behind a batch of them a PINGREQ: its answer proves that
 *	the server has read them. Never more than one such question is open, and one is
 *	asked at half a window, so that the server has something to do meanwhile.
 *
 * Where a lost connection is made again, the packets are kept until they are
 * answered; only then, because it is one more copy. Meanwhile publish() goes on
 * taking events, which are sent when the server is back.
 *
 * What may be said of an event when its connection has gone: what the kernel took
 * may have arrived (unknown), what it did not take has not (it is sent later, or
 * refused). A packet of which only a part was taken has not arrived either.
 */
#include "backends/mqtt/mqtt.h"

#include "core/log.h"

enum { QUOTA_QOS2_311 = 20 };		/* 3.1.1 cannot say it; beyond, some servers drop */

/* ---- the end of an entry ---- */

static void
tell(struct mqtt_broker *mb, struct flight_entry *e, enum fate fate, const struct error *err)
{
	uint64_t id = e->id;
	size_t size = e->size;

	if (e->state & ENTRY_TOLD)
		return;
	e->state |= ENTRY_TOLD;
	broker_outcome(&mb->b, id, size, fate, err);	/* which may publish: e is no more */
}

/* Those at the front that are done make room. */
static void
pop_done(struct mqtt_pub *pub)
{
	while (flight_count(&pub->flight) && (flight_front(&pub->flight)->state & ENTRY_DONE)) {
		size_t size = flight_front(&pub->flight)->copy_size;

		if (pub->keeps)
			buf_consume(&pub->kept, size);
		if (pub->next_send > pub->flight.first)
			pub->send_at -= size;
		flight_pop(&pub->flight);
		if (pub->next_send < pub->flight.first)
			pub->next_send = pub->flight.first;
	}
}

/* The protocol has done with it. */
void
pub_end(struct mqtt_broker *mb, uint64_t seq, enum fate fate, const struct error *err)
{
	struct flight_entry e = *flight_at(&mb->pub.flight, seq);

	flight_at(&mb->pub.flight, seq)->state |= ENTRY_DONE | ENTRY_TOLD;
	pop_done(&mb->pub);
	tell(mb, &e, fate, err);
}

/* ---- once a turn ---- */

/* --ack none: what the kernel has taken is confirmed. */
static void
tell_taken(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t written = link_written(mb->link);

	if (pub->told < pub->flight.first)
		pub->told = pub->flight.first;
	while (pub->told < pub->next_send) {
		struct flight_entry *e = flight_at(&pub->flight, pub->told);

		if ((e->state & ENTRY_OUT) && e->end > written)
			break;
		pub->told++;
		if (e->state & ENTRY_DONE)
			continue;
		if (e->state & ENTRY_QOS)
			tell(mb, e, FATE_CONFIRMED, NULL);
		else
			pub_end(mb, pub->told - 1, FATE_CONFIRMED, NULL);
	}
}

static void
settle(struct mqtt_broker *mb)
{
	if (mb->state != MQTT_READY)
		return;
	if (pub_wants_barrier(mb))
		pub_ask(mb);
	link_flush(mb->link);
	if (mb->b.opts.ack == PUBLISH_ACK_NONE) {
		mb->pub.zeros = mb->pub.zero_bytes = 0;
		tell_taken(mb);
	}
}

static void
settle_task(struct loop_task *t)
{
	settle(t->arg);
}

void
pub_drained(struct mqtt_broker *mb)
{
	if (flight_count(&mb->pub.flight))
		settle(mb);
}

/* ---- answers ---- */

/* The event with that packet id; ~0: none. */
static uint64_t
seq_of_id(const struct mqtt_pub *pub, uint16_t id)
{
	uint64_t first = pub->flight.first, seq;

	if (id > MQTT_EVENT_IDS)
		return ~UINT64_C(0);
	seq = first + (id - 1u + MQTT_EVENT_IDS - first % MQTT_EVENT_IDS) % MQTT_EVENT_IDS;
	if (seq >= pub->next_send || !(flight_at(&pub->flight, seq)->state & ENTRY_OUT) ||
	    (flight_at(&pub->flight, seq)->state & ENTRY_DONE))
		return ~UINT64_C(0);
	return seq;
}

static void
answered(struct mqtt_broker *mb, uint64_t seq, const struct mqtt_packet *pk)
{
	struct mqtt_prop said = { .text = BYTES("") };
	struct error err;

	mb->pub.quota++;
	mb->pub.quota_qos2 += pk->type != MQTT_PUBACK;
	/* That the server has forgotten an event which it had received means that it
	 * has done with it. */
	if (pk->reason < 0x80 || (pk->type == MQTT_PUBCOMP && pk->reason == 0x92)) {
		mb->pub.nobody += pk->reason == 0x10;
		pub_end(mb, seq, FATE_CONFIRMED, NULL);
		return;
	}
	mqtt_prop_find(pk->props, MQTT_PROP_REASON, &said);
	mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused by the server", pk->reason,
		said.id == MQTT_PROP_REASON ? said.text : BYTES(""));
	pub_end(mb, seq, FATE_REFUSED, &err);
}

void
pub_answer(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t seq = seq_of_id(pub, pk->id);
	struct flight_entry *e = ~seq ? flight_at(&pub->flight, seq) : NULL;
	unsigned qos = e ? e->state & ENTRY_QOS : 0;

	if (pk->type == MQTT_PUBREC && (qos != 2 || pk->reason < 0x80)) {
		/* An id that we do not know is to be released as well. */
		mqtt_write_ack(link_out(mb->link), MQTT_PUBREL, pk->id, qos == 2 ? 0 : 0x92,
			mb->version);
		link_kick(mb->link);
		if (qos == 2 && !(e->state & ENTRY_RELEASED)) {
			pub->nobody += pk->reason == 0x10;
			e->state |= ENTRY_RELEASED;
		}
		return;
	}
	if (pk->type == MQTT_PUBACK ? qos != 1 : qos != 2 ||
	    (pk->type == MQTT_PUBCOMP && !(e->state & ENTRY_RELEASED))) {
		log_debug("%s: an answer for packet %u, which is not under way",
			link_name(mb->link), pk->id);
		return;
	}
	answered(mb, seq, pk);
	if (pub->next_send < pub->flight.next)
		pub_send_waiting(mb);
	else
		broker_room(&mb->b);
}

void
pub_pong(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t upto = pub->barrier;

	if (!pub->barrier_ping || mb->pongs < pub->barrier_ping)
		return;
	pub->barrier_ping = 0;
	/* The next batch's first: the server is not to wait for us. */
	if (pub_wants_barrier(mb))
		pub_ask(mb);
	for (uint64_t seq = pub->flight.first; seq < upto; seq++)
		if (seq >= pub->flight.first &&
		    !(flight_at(&pub->flight, seq)->state & (ENTRY_QOS | ENTRY_DONE)))
			pub_end(mb, seq, FATE_CONFIRMED, NULL);
	broker_room(&mb->b);
}

/* ---- time ---- */

static void
pub_overdue(struct loop_timer *t)
{
	struct mqtt_broker *mb = t->arg;
	struct mqtt_pub *pub = &mb->pub;
	uint64_t now = loop_clock_ns();
	struct error err;

	for (uint64_t seq = pub->flight.first; seq < pub->flight.next; seq++) {
		struct flight_entry *e = flight_at(&pub->flight, seq);

		if (seq < pub->flight.first || (e->state & ENTRY_TOLD))
			continue;
		if (e->until_ns > now) {
			loop_timer_set_at(mb->b.loop, t, e->until_ns);
			return;
		}
		if (e->state & (ENTRY_OUT | ENTRY_SENT)) {
			error_set(&err, ERR_UNKNOWN, "no answer within %g s",
				mb->b.opts.timeout_ms / 1000.0);
			tell(mb, e, FATE_UNKNOWN, &err);
		} else {
			error_set(&err, ERR_REFUSED, "not sent within %g s",
				mb->b.opts.timeout_ms / 1000.0);
			pub_end(mb, seq, FATE_REFUSED, &err);
		}
	}
	/* Nothing can be sent before an answer, and none of those that are due has come. */
	if (mb->state == MQTT_READY && flight_count(&pub->flight) && !pub->quota) {
		error_set(&err, ERR_CONNECT, "%s: no answer to any of %zu events within %g s",
			link_name(mb->link), flight_count(&pub->flight),
			mb->b.opts.timeout_ms / 1000.0);
		link_fail(mb->link, &err);
	}
}

/* ---- connections ---- */

/* Without a session, what was told is forgotten, and all the rest is new. */
static void
forget_session(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	for (uint64_t seq = pub->flight.first; seq < pub->flight.next; seq++) {
		struct flight_entry *e = flight_at(&pub->flight, seq);

		e->state &= ~(unsigned)ENTRY_RELEASED;
		if (e->state & ENTRY_TOLD)
			e->state |= ENTRY_DONE;
	}
	pop_done(pub);
}

void
pub_ready(struct mqtt_broker *mb, bool session)
{
	struct mqtt_pub *pub = &mb->pub;
	unsigned most = mb->server.alias_maximum;

	pub->quota = mb->server.receive_maximum;
	pub->quota_qos2 = mb->version == MQTT_V5 ? pub->quota : QUOTA_QOS2_311;
	pub->dup = session;
	aliases_reset(&pub->aliases, most < mb->opt.alias ? most : mb->opt.alias);
	if (!flight_count(&pub->flight))
		return;
	if (!session)
		forget_session(mb);
	pub_send_waiting(mb);
}

void
pub_lost(struct mqtt_broker *mb, bool again)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t written = link_written(mb->link);
	struct error unknown, refused;

	error_set(&unknown, ERR_UNKNOWN, "sent, and the connection went before an answer came");
	error_set(&refused, ERR_CONNECT, "not sent: the connection has gone");
	again = again && pub->keeps;
	pub->zeros = pub->zero_bytes = 0;
	pub->barrier_ping = 0;
	pub->next_send = pub->flight.first;
	pub->send_at = 0;
	for (uint64_t seq = pub->flight.first, last = pub->flight.next; seq < last; seq++) {
		struct flight_entry *e;

		if (seq < pub->flight.first)
			continue;
		e = flight_at(&pub->flight, seq);
		if ((e->state & ENTRY_OUT) && e->end <= written)
			e->state |= ENTRY_SENT;
		e->state &= ~(unsigned)ENTRY_OUT;
		if (again && ((e->state & ENTRY_QOS) || !(e->state & ENTRY_SENT)))
			continue;
		if (!(e->state & ENTRY_DONE))
			pub_end(mb, seq, e->state & ENTRY_SENT ? FATE_UNKNOWN : FATE_REFUSED,
				e->state & ENTRY_SENT ? &unknown : &refused);
	}
	/* Nothing is taken any more. */
	if (!again)
		pub->keeps = false;
}

void
pub_close(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	loop_timer_clear(mb->b.loop, &pub->timer);
	loop_task_cancel(&pub->settle);
	pub->flight.first = pub->next_send = pub->flight.next;
	buf_clear(&pub->kept);
	pub->send_at = 0;
	if (pub->nobody)
		log_verbose("nobody subscribed to %llu of the confirmed events",
			(unsigned long long)pub->nobody);
	pub->nobody = 0;
}

void
pub_init(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	pub->keeps = mb->b.opts.reconnect != 0;
	pub->timer.fn = pub_overdue;
	pub->settle.fn = settle_task;
	pub->timer.arg = pub->settle.arg = mb;
}

/* In a session that another process has left, the server may still hold some of its
 * ids: not those at which everybody begins. */
void
pub_first_id(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	if (mb->opt.session)
		pub->flight.first = pub->flight.next = pub->next_send = loop_clock_ns() %
			MQTT_EVENT_IDS;
}

void
pub_release(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	loop_timer_clear(mb->b.loop, &pub->timer);
	loop_task_cancel(&pub->settle);
	aliases_reset(&pub->aliases, 0);
	flight_release(&pub->flight);
	buf_release(&pub->kept);
	buf_release(&pub->props);
}

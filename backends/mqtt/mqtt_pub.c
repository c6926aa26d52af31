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

enum {					/* flight_entry.state */
	QOS_MASK = 3,
	IN_OUT = 4,			/* written to the present connection */
	SENT = 8,			/* a kernel has taken it, once */
	RELEASED = 16,			/* PUBREC has come */
	TOLD = 32,			/* has its outcome */
	DONE = 64			/* the protocol has done with it */
};

enum {
	BARRIER_BYTES = 64 * 1024,
	KEPT_FACTOR = 4,		/* kept packets, in windows: an envelope is larger than
					 * its event, and one unanswered holds all behind it */
	QUOTA_QOS2_311 = 20		/* 3.1.1 cannot say it; beyond, some servers drop */
};

static bool
nothing_waits(const struct mqtt_broker *mb)
{
	return mb->state == MQTT_READY && mb->pub.next_send == mb->pub.flight.next;
}

/* Does the server take one more of that QoS now? */
static bool
has_quota(const struct mqtt_pub *pub, unsigned qos)
{
	return !qos || (pub->quota && (qos < 2 || pub->quota_qos2));
}

/* ---- the end of an entry ---- */

static void
tell(struct mqtt_broker *mb, struct flight_entry *e, enum fate fate, const struct error *err)
{
	uint64_t id = e->id;
	size_t size = e->size;

	if (e->state & TOLD)
		return;
	e->state |= TOLD;
	broker_outcome(&mb->b, id, size, fate, err);	/* which may publish: e is no more */
}

/* Those at the front that are done make room. */
static void
pop_done(struct mqtt_pub *pub)
{
	while (flight_count(&pub->flight) && (flight_front(&pub->flight)->state & DONE)) {
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
static void
end(struct mqtt_broker *mb, uint64_t seq, enum fate fate, const struct error *err)
{
	struct flight_entry e = *flight_at(&mb->pub.flight, seq);

	flight_at(&mb->pub.flight, seq)->state |= DONE | TOLD;
	pop_done(&mb->pub);
	tell(mb, &e, fate, err);
}

/* ---- writing ---- */

static void
sink_number(void *arg, enum mqtt_prop_id id, uint32_t n)
{
	mqtt_add_number(arg, id, n);
}

static void
sink_text(void *arg, enum mqtt_prop_id id, struct bytes text)
{
	mqtt_add_text(arg, id, text);
}

static void
sink_pair(void *arg, struct bytes name, struct bytes value)
{
	mqtt_add_pair(arg, name, value);
}

static const struct mqtt_map_sink sink = { sink_number, sink_text, sink_pair };

/* Behind a packet that was written to the connection. */
static void
entry_written(struct mqtt_broker *mb, struct flight_entry *e, size_t size)
{
	struct mqtt_pub *pub = &mb->pub;

	e->state |= IN_OUT;
	e->end = link_written(mb->link) + buf_len(link_out(mb->link));
	pub->next_send++;
	pub->send_at += e->copy_size;
	if (e->state & QOS_MASK) {
		pub->quota--;
		pub->quota_qos2 -= (e->state & QOS_MASK) == 2;
		return;
	}
	pub->zeros++;
	pub->zero_bytes += size;
}

/* A PINGREQ behind all that was written so far. */
static void
ask_zeros(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	pub->barrier = pub->next_send;
	pub->barrier_ping = session_ping(mb);
	pub->zeros = pub->zero_bytes = 0;
}

static bool
wants_barrier(const struct mqtt_broker *mb)
{
	return mb->pub.zeros && !mb->pub.barrier_ping &&
		mb->b.opts.ack != PUBLISH_ACK_NONE;
}

/* The packet by an alias, for a topic that has one. */
static void
write_by_alias(struct mqtt_broker *mb, struct mqtt_packet *pk, uint16_t alias, bool fresh,
	struct bytes payload)
{
	mqtt_add_number(&mb->pub.props, MQTT_PROP_ALIAS, alias);
	pk->props = buf_bytes(&mb->pub.props);
	if (!fresh)
		pk->topic = BYTES("");
	mqtt_write_publish(link_out(mb->link), pk, mb->version, payload.n);
	buf_add_bytes(link_out(mb->link), payload);
}

/* Writes the packet to where it goes first. Its size; 0: err says why not. */
static size_t
write_packet(struct mqtt_broker *mb, struct mqtt_packet *pk, const struct publication *p,
	struct buf *out, size_t *payload, struct error *err)
{
	enum wire wire = mb->b.opts.wire;
	size_t at = buf_len(out), guess = mqtt_map_guess(p, wire), begin, size;
	bool fits = guess + pk->topic.n + pk->props.n + 16 <= MQTT_BODY_MAX;

	if (fits) {
		mqtt_write_publish(out, pk, mb->version, guess);
		begin = buf_len(out);
		mqtt_map_payload(out, p, wire);
		*payload = buf_len(out) - begin;
		fits = mqtt_fix_publish(out, at, guess, *payload);
	}
	size = buf_len(out) - at;
	if (fits && size <= mb->server.max_packet)
		return size;
	buf_truncate(out, at);
	if (fits)
		error_set(err, ERR_REFUSED, "too large: %zu bytes as a packet, and the server takes "
			"%u", size, mb->server.max_packet);
	else
		error_set(err, ERR_REFUSED, "too large: MQTT takes packets of up to %u bytes",
			MQTT_BODY_MAX);
	return 0;
}

/* With keeping: the packet is at the end of what is kept, in full; from there to the
 * connection, perhaps by an alias. */
static void
send_kept_last(struct mqtt_broker *mb, struct mqtt_packet *pk, uint16_t alias, bool fresh,
	size_t size, size_t payload)
{
	const char *packet = buf_data(&mb->pub.kept) + buf_len(&mb->pub.kept) - size;

	if (alias)
		write_by_alias(mb, pk, alias, fresh, bytes_of(packet + size - payload, payload));
	else
		buf_add(link_out(mb->link), packet, size);
}

static int
check_server(const struct mqtt_broker *mb, const struct mqtt_packet *pk, struct error *err)
{
	if (pk->qos > mb->server.max_qos)
		return error_set(err, ERR_REFUSED, "QoS %u: the server takes up to %u", pk->qos,
			mb->server.max_qos);
	if (pk->retain && !mb->server.retain)
		return error_set(err, ERR_REFUSED, "retain: the server keeps no event");
	return 0;
}

int
pub_publish(struct mqtt_broker *mb, const struct publication *p, struct error *err)
{
	struct mqtt_pub *pub = &mb->pub;
	struct mqtt_packet pk = {
		.type = MQTT_PUBLISH,
		.topic = p->topic,
		.qos = p->opts && p->opts->qos >= 0 ? (unsigned char)p->opts->qos :
			MQTT_QOS_DEFAULT,
		.retain = p->opts && p->opts->retain,
		.id = (uint16_t)(1 + pub->flight.next % MQTT_EVENT_IDS),
	};
	bool now = nothing_waits(mb), fresh = false;
	size_t size, payload = 0;
	uint16_t alias = 0;
	struct flight_entry *e;

	if (mqtt_map_check(p, mb->b.opts.wire, err) < 0 || check_server(mb, &pk, err) < 0)
		return -1;
	/* Who waits is told with the answer that makes room. */
	if (flight_count(&pub->flight) >= MQTT_EVENT_IDS || (now ? !has_quota(pub, pk.qos) :
	    !pub->keeps || mb->state == MQTT_READY))
		return PUBLISH_FULL;
	if (pub->keeps && buf_len(&pub->kept) / KEPT_FACTOR > mb->b.opts.window_bytes)
		return PUBLISH_FULL;
	if (mb->version == MQTT_V5) {
		buf_clear(&pub->props);
		if (mqtt_map_has_props(p, mb->b.opts.wire))
			mqtt_map_props(p, mb->b.opts.wire, &sink, &pub->props);
		pk.props = buf_bytes(&pub->props);
	}
	size = write_packet(mb, &pk, p, pub->keeps || pub->aliases.most ? &pub->kept :
		link_out(mb->link), &payload, err);
	if (!size)
		return -1;
	if (now && pub->aliases.most)
		alias = aliases_find(&pub->aliases, p->topic, &fresh);
	if (now && (pub->keeps || pub->aliases.most))
		send_kept_last(mb, &pk, alias, fresh, size, payload);
	if (!pub->keeps)
		buf_clear(&pub->kept);
	e = flight_push(&pub->flight);
	e->id = p->id;
	e->size = publication_size(p);
	e->copy_size = pub->keeps ? size : 0;
	e->state = pk.qos;
	if (mb->b.opts.timeout_ms) {
		e->until_ns = loop_now_ns(mb->b.loop) + mb->b.opts.timeout_ms * UINT64_C(1000000);
		if (!loop_timer_is_set(&pub->timer))
			loop_timer_set_at(mb->b.loop, &pub->timer, e->until_ns);
	}
	if (now) {
		entry_written(mb, e, size);
		if (wants_barrier(mb) && (pub->zeros * 2 >= mb->b.opts.window_events ||
		    pub->zero_bytes >= BARRIER_BYTES))
			ask_zeros(mb);
		loop_defer(mb->b.loop, &pub->settle);
	}
	return 0;
}

/* What waits, as far as the server takes it now. */
static void
send_waiting(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;
	struct buf *out = link_out(mb->link);
	struct error err;

	while (mb->state == MQTT_READY && pub->next_send < pub->flight.next) {
		struct flight_entry *e = flight_at(&pub->flight, pub->next_send);
		size_t at = buf_len(out), size = e->copy_size;

		if (!(e->state & DONE) && !has_quota(pub, e->state & QOS_MASK))
			break;
		if (e->state & DONE) {
			pub->next_send++;
			pub->send_at += size;
		} else if (e->state & RELEASED) {
			mqtt_write_ack(out, MQTT_PUBREL,
				(uint16_t)(1 + pub->next_send % MQTT_EVENT_IDS), 0, mb->version);
			entry_written(mb, e, 0);
		} else if (size > mb->server.max_packet) {
			error_set(&err, ERR_REFUSED, "too large: the server takes %u bytes now",
				mb->server.max_packet);
			pub->next_send++;
			pub->send_at += size;
			end(mb, pub->next_send - 1, FATE_REFUSED, &err);
		} else {
			buf_add(out, buf_data(&pub->kept) + pub->send_at, size);
			if ((e->state & QOS_MASK) && (e->state & SENT) && pub->dup)
				buf_data(out)[at] |= 8;
			entry_written(mb, e, size);
		}
	}
	loop_defer(mb->b.loop, &pub->settle);
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

		if ((e->state & IN_OUT) && e->end > written)
			break;
		pub->told++;
		if (e->state & DONE)
			continue;
		if (e->state & QOS_MASK)
			tell(mb, e, FATE_CONFIRMED, NULL);
		else
			end(mb, pub->told - 1, FATE_CONFIRMED, NULL);
	}
}

static void
settle(struct mqtt_broker *mb)
{
	if (mb->state != MQTT_READY)
		return;
	if (wants_barrier(mb))
		ask_zeros(mb);
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
	if (seq >= pub->next_send || !(flight_at(&pub->flight, seq)->state & IN_OUT) ||
	    (flight_at(&pub->flight, seq)->state & DONE))
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
		end(mb, seq, FATE_CONFIRMED, NULL);
		return;
	}
	mqtt_prop_find(pk->props, MQTT_PROP_REASON, &said);
	mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused by the server", pk->reason,
		said.id == MQTT_PROP_REASON ? said.text : BYTES(""));
	end(mb, seq, FATE_REFUSED, &err);
}

void
pub_answer(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t seq = seq_of_id(pub, pk->id);
	struct flight_entry *e = ~seq ? flight_at(&pub->flight, seq) : NULL;
	unsigned qos = e ? e->state & QOS_MASK : 0;

	if (pk->type == MQTT_PUBREC && (qos != 2 || pk->reason < 0x80)) {
		/* An id that we do not know is to be released as well. */
		mqtt_write_ack(link_out(mb->link), MQTT_PUBREL, pk->id, qos == 2 ? 0 : 0x92,
			mb->version);
		link_kick(mb->link);
		if (qos == 2 && !(e->state & RELEASED)) {
			pub->nobody += pk->reason == 0x10;
			e->state |= RELEASED;
		}
		return;
	}
	if (pk->type == MQTT_PUBACK ? qos != 1 : qos != 2 ||
	    (pk->type == MQTT_PUBCOMP && !(e->state & RELEASED))) {
		log_debug("%s: an answer for packet %u, which is not under way",
			link_name(mb->link), pk->id);
		return;
	}
	answered(mb, seq, pk);
	if (pub->next_send < pub->flight.next)
		send_waiting(mb);
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
	if (wants_barrier(mb))
		ask_zeros(mb);
	for (uint64_t seq = pub->flight.first; seq < upto; seq++)
		if (seq >= pub->flight.first &&
		    !(flight_at(&pub->flight, seq)->state & (QOS_MASK | DONE)))
			end(mb, seq, FATE_CONFIRMED, NULL);
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

		if (seq < pub->flight.first || (e->state & TOLD))
			continue;
		if (e->until_ns > now) {
			loop_timer_set_at(mb->b.loop, t, e->until_ns);
			return;
		}
		error_set(&err, ERR_TIMEOUT, "%s within %g s", e->state & (IN_OUT | SENT) ?
			"no answer" : "not sent", mb->b.opts.timeout_ms / 1000.0);
		if (e->state & (IN_OUT | SENT))
			tell(mb, e, FATE_UNKNOWN, &err);
		else
			end(mb, seq, FATE_REFUSED, &err);
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

		e->state &= ~(unsigned)RELEASED;
		if (e->state & TOLD)
			e->state |= DONE;
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
	send_waiting(mb);
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
		if ((e->state & IN_OUT) && e->end <= written)
			e->state |= SENT;
		e->state &= ~(unsigned)IN_OUT;
		if (again && ((e->state & QOS_MASK) || !(e->state & SENT)))
			continue;
		if (!(e->state & DONE))
			end(mb, seq, e->state & SENT ? FATE_UNKNOWN : FATE_REFUSED,
				e->state & SENT ? &unknown : &refused);
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
		log_verbose("%llu confirmed events reached no subscriber",
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events become packets: in the connection's output at once where the server takes
 * them now, or in what is kept for when it does. What becomes of them is in
 * mqtt_pub.c.
 */
#include "backends/mqtt/mqtt.h"

enum {
	BARRIER_BYTES = 64 * 1024,
	KEPT_FACTOR = 4			/* kept packets, in windows: an envelope is larger than
					 * its event, and one unanswered holds all behind it */
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

	e->state |= ENTRY_OUT;
	e->end = link_written(mb->link) + buf_len(link_out(mb->link));
	pub->next_send++;
	pub->send_at += e->copy_size;
	if (e->state & ENTRY_QOS) {
		pub->quota--;
		pub->quota_qos2 -= (e->state & ENTRY_QOS) == 2;
		return;
	}
	pub->zeros++;
	pub->zero_bytes += size;
}

/* A PINGREQ behind all that was written so far. */
void
pub_ask(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	pub->barrier = pub->next_send;
	pub->barrier_ping = session_ping(mb);
	pub->zeros = pub->zero_bytes = 0;
}

bool
pub_wants_barrier(const struct mqtt_broker *mb)
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
		if (pub_wants_barrier(mb) && (pub->zeros * 2 >= mb->b.opts.window_events ||
		    pub->zero_bytes >= BARRIER_BYTES))
			pub_ask(mb);
		loop_defer(mb->b.loop, &pub->settle);
	}
	return 0;
}

/* What waits, as far as the server takes it now. */
void
pub_send_waiting(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;
	struct buf *out = link_out(mb->link);
	struct error err;

	while (mb->state == MQTT_READY && pub->next_send < pub->flight.next) {
		struct flight_entry *e = flight_at(&pub->flight, pub->next_send);
		size_t at = buf_len(out), size = e->copy_size;

		if (!(e->state & ENTRY_DONE) && !has_quota(pub, e->state & ENTRY_QOS))
			break;
		if (e->state & ENTRY_DONE) {
			pub->next_send++;
			pub->send_at += size;
		} else if (e->state & ENTRY_RELEASED) {
			mqtt_write_ack(out, MQTT_PUBREL,
				(uint16_t)(1 + pub->next_send % MQTT_EVENT_IDS), 0, mb->version);
			entry_written(mb, e, 0);
		} else if (size > mb->server.max_packet) {
			error_set(&err, ERR_REFUSED, "too large: the server takes %u bytes now",
				mb->server.max_packet);
			pub->next_send++;
			pub->send_at += size;
			pub_end(mb, pub->next_send - 1, FATE_REFUSED, &err);
		} else {
			buf_add(out, buf_data(&pub->kept) + pub->send_at, size);
			if ((e->state & ENTRY_QOS) && (e->state & ENTRY_SENT) && pub->dup)
				buf_data(out)[at] |= 8;
			entry_written(mb, e, size);
		}
	}
	loop_defer(mb->b.loop, &pub->settle);
}


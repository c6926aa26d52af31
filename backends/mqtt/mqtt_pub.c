/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way to the server, over core/pipeline, whose names for them are the
 * packet ids.
 *
 *	QoS 1: PUBLISH, PUBACK. QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP.
 *	QoS 0: PUBLISH, and behind a batch of them a PINGREQ: its answer proves that
 *	the server has read them. Never more than one such question is open, and one is
 *	asked at half a window, so that the server has something to do meanwhile.
 */
#include "backends/mqtt/mqtt.h"

#include "core/log.h"

enum {
	QUOTA_QOS2_311 = 20,		/* 3.1.1 cannot say it; beyond, some servers drop */
	BARRIER_BYTES = 64 * 1024,
	KEPT_FACTOR = 4			/* kept packets, in windows: an envelope is larger than
					 * its event, and one unanswered holds all behind it */
};

enum {					/* flight_entry.state, of ours */
	EVENT_QOS = 3,
	EVENT_RELEASED = 4		/* PUBREC has come */
};

static unsigned qos_of(const struct flight_entry *e) { return e->state & EVENT_QOS; }

/* ---- what the server takes ---- */

/* One more of that QoS, now? */
static bool
has_quota(const struct mqtt_pub *pub, unsigned qos)
{
	return !qos || (pub->quota && (qos < 2 || pub->quota_qos2));
}

/* It is in the output. */
static void
spend(struct mqtt_pub *pub, unsigned qos, size_t size)
{
	if (qos) {
		pub->quota--;
		pub->quota_qos2 -= qos == 2;
		return;
	}
	pub->zeros++;
	pub->zero_bytes += size;
}

static void
regain(struct mqtt_pub *pub, unsigned qos)
{
	pub->quota += qos != 0;
	pub->quota_qos2 += qos == 2;
}

static int
check_server(const struct mqtt_broker *mb, unsigned qos, bool retain, struct error *err)
{
	if (qos > mb->server.max_qos)
		return error_set(err, ERR_REFUSED, "QoS %u: the server takes up to %u", qos,
			mb->server.max_qos);
	if (retain && !mb->server.retain)
		return error_set(err, ERR_REFUSED, "retain: the server keeps no event");
	return 0;
}

static int
check_topic(struct mqtt_pub *pub, struct bytes topic, struct error *err)
{
	if (topic.n && bytes_eq(topic, buf_bytes(&pub->topic)))
		return 0;
	if (mqtt_check_topic(topic, err) < 0)
		return -1;
	buf_clear(&pub->topic);
	buf_add_bytes(&pub->topic, topic);
	return 0;
}

/* ---- QoS 0 ---- */

static bool
wants_barrier(const struct mqtt_broker *mb)
{
	return mb->pub.zeros && !mb->pub.barrier_ping && mb->b.opts.ack != PUBLISH_ACK_NONE;
}

/* A PINGREQ behind all that was written so far; it has a place among the events. */
static void
ask(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	pub->barrier = mb->p.ring.next;
	pipeline_ask(&mb->p, NULL, NULL, mb->p.fed, 0);
	pub->barrier_ping = mqtt_session_ping(mb);
	pub->zeros = pub->zero_bytes = 0;
}

static void
ask_task(struct loop_task *t)
{
	struct mqtt_broker *mb = t->arg;

	if (mb->state == MQTT_READY && wants_barrier(mb))
		ask(mb);
}

void
mqtt_pub_pong(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;
	uint64_t barrier = pub->barrier, upto;

	if (!pub->barrier_ping || mb->pongs < pub->barrier_ping)
		return;
	upto = flight_at(&mb->p.ring, barrier)->id;
	pub->barrier_ping = 0;
	/* The next batch's first: the server is not to wait for us. */
	if (wants_barrier(mb))
		ask(mb);
	pipeline_end(&mb->p, barrier, FATE_CONFIRMED, NULL);
	pipeline_confirm(&mb->p, upto, false);
	broker_room(&mb->b);
}

/* ---- packets ---- */

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

/* The topic by a number, if it has one. Up to when the packet that says which has begun
 * to leave, it may yet be taken back: so others say it, too. */
static struct mqtt_alias *
use_alias(struct mqtt_broker *mb, struct mqtt_packet *pk)
{
	struct mqtt_alias *a = mqtt_aliases_find(&mb->pub.aliases, pk->topic);

	if (!a)
		return NULL;
	mqtt_add_number(&mb->pub.props, MQTT_PROP_ALIAS, a->number);
	pk->props = buf_bytes(&mb->pub.props);
	if (link_begun(mb->p.link) < a->known_at)
		return a;
	pk->topic = BYTES("");
	return NULL;
}

/* The packet that said it is at the end of the output. */
static void
alias_said(struct mqtt_broker *mb, struct mqtt_alias *a)
{
	if (a)
		a->known_at = link_written(mb->p.link) + buf_len(link_out(mb->p.link));
}

/* Its size; 0: err says why not, and what was written is to be taken back. */
static size_t
write_packet(const struct mqtt_broker *mb, struct mqtt_packet *pk, const struct publication *p,
	struct buf *out, struct error *err)
{
	enum wire wire = mb->b.opts.wire;
	size_t at = buf_len(out), guess = mqtt_map_guess(p, wire), begin, size;
	bool fits = guess + pk->topic.n + pk->props.n + 16 <= MQTT_BODY_MAX;

	if (fits) {
		mqtt_write_publish(out, pk, mb->version, guess);
		begin = buf_len(out);
		mqtt_map_payload(out, p, wire);
		fits = mqtt_fix_publish(out, at, guess, buf_len(out) - begin);
	}
	size = buf_len(out) - at;
	if (fits && size <= mb->server.max_packet)
		return size;
	if (fits)
		error_set(err, ERR_REFUSED, "too large: %zu bytes as a packet, and the server takes "
			"%u", size, mb->server.max_packet);
	else
		error_set(err, ERR_REFUSED, "too large: MQTT takes packets of up to %u bytes",
			MQTT_BODY_MAX);
	return 0;
}

/* Whoever waits is told with the answer that makes room. */
static bool
has_room(const struct mqtt_broker *mb, unsigned qos)
{
	const struct pipeline *pipe = &mb->p;

	if (flight_count(&pipe->ring) >= MQTT_IDS)
		return false;
	if (pipe->keeps && buf_len(&pipe->keep) / KEPT_FACTOR > mb->b.opts.window_bytes)
		return false;
	return pipe->ready ? pipe->fed == pipe->ring.next && has_quota(&mb->pub, qos) : pipe->keeps;
}

int
mqtt_pub_publish(struct mqtt_broker *mb, const struct publication *p, struct error *err)
{
	struct mqtt_pub *pub = &mb->pub;
	struct mqtt_packet pk = {
		.type = MQTT_PUBLISH,
		.topic = p->topic,
		.qos = p->opts && p->opts->qos >= 0 ? (unsigned char)p->opts->qos :
			MQTT_QOS_DEFAULT,
		.retain = p->opts && p->opts->retain,
		.id = (uint16_t)pipeline_next_name(&mb->p),
	};
	struct mqtt_alias *alias = NULL;
	struct buf *out;
	size_t size;

	if (check_topic(pub, p->topic, err) < 0 || mqtt_map_check(p, mb->b.opts.wire, err) < 0 ||
	    check_server(mb, pk.qos, pk.retain, err) < 0)
		return -1;
	if (!has_room(mb, pk.qos))
		return PUBLISH_FULL;
	out = pipeline_begin(&mb->p);
	if (mb->version == MQTT_V5) {
		buf_clear(&pub->props);
		if (mqtt_map_has_props(p, mb->b.opts.wire))
			mqtt_map_props(p, mb->b.opts.wire, &sink, &pub->props);
		pk.props = buf_bytes(&pub->props);
		if (mb->p.direct)
			alias = use_alias(mb, &pk);
	}
	size = write_packet(mb, &pk, p, out, err);
	if (!size) {
		pipeline_cancel(&mb->p);
		return -1;
	}
	alias_said(mb, alias);
	if (mb->p.direct)
		spend(pub, pk.qos, size);
	/* Before what sends it at the end of the turn. */
	if (!pk.qos)
		loop_defer(mb->b.loop, &pub->ask);
	pipeline_commit(&mb->p, p, pk.qos ? pk.qos | (unsigned)PIPE_REPEAT : PIPE_SILENT);
	if (wants_barrier(mb) && (pub->zeros * 2 >= mb->b.opts.window_events ||
	    pub->zero_bytes >= BARRIER_BYTES))
		ask(mb);
	return 0;
}

/* A kept packet once more, by its alias. */
static void
send_by_alias(struct mqtt_broker *mb, struct bytes kept, struct buf *out)
{
	struct mqtt_alias *alias;
	struct mqtt_packet pk;
	struct mqtt_frame f;
	const char *why;

	if (mqtt_frame(&f, (char *)kept.p, kept.n, kept.n, &why) != 1 ||
	    mqtt_parse(&pk, NULL, &f, mb->version, &why) < 0) {
		buf_add_bytes(out, kept);
		return;
	}
	buf_clear(&mb->pub.props);
	buf_add_bytes(&mb->pub.props, pk.props);
	alias = use_alias(mb, &pk);
	mqtt_write_publish(out, &pk, mb->version, pk.payload.n);
	buf_add_bytes(out, pk.payload);
	alias_said(mb, alias);
}

bool
mqtt_pub_send(struct pipeline *pipe, struct flight_entry *e, struct bytes kept, struct buf *out)
{
	struct mqtt_broker *mb = pipe->arg;
	struct mqtt_pub *pub = &mb->pub;
	size_t at = buf_len(out);
	struct error err;

	if (!has_quota(pub, qos_of(e)))
		return false;
	if (e->state & EVENT_RELEASED) {
		spend(pub, qos_of(e), 0);
		mqtt_write_ack(out, MQTT_PUBREL, (uint16_t)pipeline_name(pipe, pipe->fed), 0,
			mb->version);
		return true;
	}
	if (kept.n > mb->server.max_packet)
		error_set(&err, ERR_REFUSED, "too large: the server takes %u bytes now",
			mb->server.max_packet);
	if (kept.n > mb->server.max_packet || check_server(mb, qos_of(e), *kept.p & 1, &err) < 0) {
		pipeline_end(pipe, pipe->fed, FATE_REFUSED, &err);
		return true;
	}
	spend(pub, qos_of(e), kept.n);
	if (pub->aliases.most && mb->version == MQTT_V5)
		send_by_alias(mb, kept, out);
	else
		buf_add_bytes(out, kept);
	if (qos_of(e) && (e->state & PIPE_SENT) && pub->dup)
		buf_data(out)[at] |= 8;
	return true;
}

void
mqtt_pub_cut(struct pipeline *pipe, const struct flight_entry *e)
{
	struct mqtt_broker *mb = pipe->arg;

	regain(&mb->pub, qos_of(e));
}

/* ---- answers ---- */

static void
answered(struct mqtt_broker *mb, uint64_t seq, const struct mqtt_packet *pk)
{
	struct mqtt_prop said = { .text = BYTES("") };
	struct error err;

	regain(&mb->pub, qos_of(flight_at(&mb->p.ring, seq)));
	/* That the server has forgotten an event which it had received means that it
	 * has done with it. */
	if (pk->reason < 0x80 || (pk->type == MQTT_PUBCOMP && pk->reason == 0x92)) {
		mb->pub.nobody += pk->reason == 0x10;
		pipeline_end(&mb->p, seq, FATE_CONFIRMED, NULL);
		return;
	}
	mqtt_prop_find(pk->props, MQTT_PROP_REASON, &said);
	mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused by the server", pk->reason,
		said.id == MQTT_PROP_REASON ? said.text : BYTES(""));
	pipeline_end(&mb->p, seq, FATE_REFUSED, &err);
}

void
mqtt_pub_answer(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct pipeline *pipe = &mb->p;
	uint64_t seq = pipeline_find(pipe, pk->id);
	struct flight_entry *e = seq != PIPE_NONE ? flight_at(&pipe->ring, seq) : NULL;
	unsigned qos = e && (e->state & PIPE_EVENT) ? qos_of(e) : 0;

	if (pk->type == MQTT_PUBREC && (qos != 2 || pk->reason < 0x80)) {
		/* An id that we do not know is to be released as well. */
		mqtt_write_ack(pipeline_out(pipe), MQTT_PUBREL, pk->id, qos == 2 ? 0 : 0x92,
			mb->version);
		pipeline_kick(pipe);
		if (qos == 2 && !(e->state & EVENT_RELEASED)) {
			mb->pub.nobody += pk->reason == 0x10;
			e->state |= EVENT_RELEASED;
		}
		return;
	}
	if (pk->type == MQTT_PUBACK ? qos != 1 : qos != 2 ||
	    (pk->type == MQTT_PUBCOMP && !(e->state & EVENT_RELEASED))) {
		log_debug("%s: an answer for packet %u, which is not under way",
			link_name(pipe->link), pk->id);
		return;
	}
	answered(mb, seq, pk);
	pipeline_send(pipe);
	broker_room(&mb->b);
}

/* ---- connections ---- */

/* What was told of is not sent again. Of QoS 2 the server may still hold the id, and so
 * it is released, whether or not the event was there. Without the session, all that the
 * server knew is forgotten. */
void
mqtt_pub_ready(struct mqtt_broker *mb, bool session)
{
	struct pipeline *pipe = &mb->p;
	struct mqtt_pub *pub = &mb->pub;
	unsigned most = mb->server.alias_maximum;
	bool over = mb->b.opts.ack != PUBLISH_ACK_NONE || !session;

	pub->quota = mb->server.receive_maximum;
	pub->quota_qos2 = mb->version == MQTT_V5 ? pub->quota : QUOTA_QOS2_311;
	pub->dup = session;
	mqtt_aliases_reset(&pub->aliases, most < mb->opt.alias ? most : mb->opt.alias);
	for (uint64_t seq = pipe->ring.first; seq < pipe->ring.next; seq++) {
		struct flight_entry *e;

		if (seq < pipe->ring.first)
			continue;
		e = flight_at(&pipe->ring, seq);
		if (!session)
			e->state &= ~(unsigned)EVENT_RELEASED;
		if (!(e->state & PIPE_TOLD) || !over)
			continue;
		if (session && qos_of(e) == 2)
			e->state |= EVENT_RELEASED;
		else
			pipeline_end(pipe, seq, FATE_UNKNOWN, NULL);
	}
}

void
mqtt_pub_lost(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	pub->zeros = pub->zero_bytes = 0;
	pub->barrier_ping = 0;
}

void
mqtt_pub_close(struct mqtt_broker *mb)
{
	struct mqtt_pub *pub = &mb->pub;

	loop_task_cancel(&pub->ask);
	if (pub->nobody)
		log_verbose("nobody subscribed to %llu of the confirmed events",
			(unsigned long long)pub->nobody);
	pub->nobody = 0;
}

void
mqtt_pub_init(struct mqtt_broker *mb)
{
	mb->pub.ask.fn = ask_task;
	mb->pub.ask.arg = mb;
}

void
mqtt_pub_release(struct mqtt_broker *mb)
{
	loop_task_cancel(&mb->pub.ask);
	mqtt_aliases_reset(&mb->pub.aliases, 0);
	buf_release(&mb->pub.topic);
	buf_release(&mb->pub.props);
}

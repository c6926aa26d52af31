/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection after the other: CONNECT and its answer, and handing what comes to
 * those it is for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "backends/mqtt/mqtt.h"
#include "core/log.h"

/* ---- CONNECT ---- */

/* The will goes the way of any event: in an envelope, unless --wire raw. */
static void
add_will(struct mqtt_broker *mb, struct mqtt_connect *k, struct buf *payload)
{
	const struct publish_options how = { .retain = mb->opt.will_retain };
	struct publication p = { .topic = bytes_str(mb->opt.will_topic), .opts = &how };

	p.msg.body = bytes_str(mb->opt.will ? mb->opt.will : "");
	mqtt_map_payload(payload, &p, mb->b.opts.wire);
	k->will_topic = p.topic;
	k->will_payload = buf_bytes(payload);
	k->will_qos = mb->opt.will_qos;
	k->will_retain = mb->opt.will_retain;
}

void
mqtt_session_hello(struct mqtt_broker *mb, struct link *l, const char *client_id, bool whole)
{
	struct mqtt_connect k = {
		.version = mb->version,
		.clean = !whole || !mb->opt.session,
		.keepalive = mb->opt.keepalive,
		.client_id = bytes_str(client_id),
		.username = bytes_str(mb->b.opts.username),
		.password = mb->b.opts.password,
	};
	struct mqtt_packet pk = { .type = MQTT_CONNECT, .connect = &k };
	struct buf props = BUF_INIT, will = BUF_INIT;

	if (whole && mb->opt.session)
		mqtt_add_number(&props, MQTT_PROP_SESSION_EXPIRY, mb->opt.session);
	mqtt_add_number(&props, MQTT_PROP_RECEIVE_MAXIMUM, mb->opt.receive_maximum);
	mqtt_add_number(&props, MQTT_PROP_MAXIMUM_PACKET, mb->opt.max_packet);
	if (mb->version == MQTT_V5)
		pk.props = buf_bytes(&props);
	if (whole && mb->opt.will_topic)
		add_will(mb, &k, &will);
	mqtt_write(link_out(l), &pk, mb->version);
	buf_release(&props);
	buf_release(&will);
	link_flush(l);
	/* The password is not to lie about in what will be written over slowly. */
	if (k.password.p && !buf_len(link_out(l)) && link_out(l)->data)
		explicit_bzero(link_out(l)->data, link_out(l)->cap);
}

static void
session_greet(struct pipeline *p)
{
	struct mqtt_broker *mb = p->arg;
	struct error err;

	if (mb->b.opts.password.p && !mb->b.opts.username && mb->version != MQTT_V5) {
		error_set(&err, ERR_USAGE, "%s: a password without a user: MQTT 3.1.1 has no such thing",
			link_name(p->link));
		pipeline_fail(p, &err);
		return;
	}
	mb->state = MQTT_GREETING;
	mb->mute = true;
	mb->generation++;
	mb->pings = mb->pongs = 0;
	mb->greeted_ns = loop_clock_ns();
	mqtt_session_hello(mb, p->link, mb->opt.client_id, true);
}

/* ---- CONNACK ---- */

static void
read_server(struct mqtt_broker *mb, struct bytes props)
{
	struct mqtt_server *s = &mb->server;
	struct mqtt_prop prop;

	/* 3.1.1 bounds nothing. */
	*s = (struct mqtt_server){
		.receive_maximum = UINT16_MAX,
		.keepalive = mb->opt.keepalive,
		.max_packet = MQTT_BODY_MAX,
		.max_qos = 2,
		.retain = true, .wildcard = true, .shared = true,
		.subscription_id = mb->version == MQTT_V5,
	};
	while (mqtt_prop_next(&props, &prop))
		switch (prop.id) {
		case MQTT_PROP_RECEIVE_MAXIMUM: s->receive_maximum = (uint16_t)prop.number; break;
		case MQTT_PROP_ALIAS_MAXIMUM: s->alias_maximum = (uint16_t)prop.number; break;
		case MQTT_PROP_SERVER_KEEPALIVE: s->keepalive = (uint16_t)prop.number; break;
		case MQTT_PROP_MAXIMUM_PACKET: s->max_packet = prop.number; break;
		case MQTT_PROP_MAXIMUM_QOS: s->max_qos = (unsigned char)prop.number; break;
		case MQTT_PROP_RETAIN_AVAILABLE: s->retain = prop.number; break;
		case MQTT_PROP_WILDCARD_AVAILABLE: s->wildcard = prop.number; break;
		case MQTT_PROP_SHARED_AVAILABLE: s->shared = prop.number; break;
		case MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE: s->subscription_id = prop.number; break;
		default: break;
		}
}

/* The server's own words, or the other server it names. */
static struct bytes
reason_string(struct bytes props)
{
	struct mqtt_prop prop;

	return mqtt_prop_find(props, MQTT_PROP_REASON, &prop) ||
		mqtt_prop_find(props, MQTT_PROP_SERVER_REFERENCE, &prop) ? prop.text : BYTES("");
}

static void
session_refused(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	unsigned reason = mb->version == MQTT_V5 ? pk->reason : mqtt_reason_of_connack(pk->reason);
	struct error err;

	mqtt_reason_error(&err, MQTT_AT_CONNECT, "refused by the server", reason,
		reason_string(pk->props));
	mqtt_reason_advise(&err, &mb->b.opts);
	error_prefix(&err, "%s", link_name(mb->p.link));
	mb->old = mb->version == MQTT_V5 && reason == 0x84;
	pipeline_fail(&mb->p, &err);
}

static void
session_accepted(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	bool session = pk->session && mb->opt.session, again = mb->p.ever;

	if (mb->state != MQTT_GREETING) {
		mqtt_session_fault(mb, 0x82, "a second answer to CONNECT");
		return;
	}
	if (pk->reason) {
		session_refused(mb, pk);
		return;
	}
	read_server(mb, pk->props);
	mb->state = MQTT_READY;
	mb->b.caps = (mb->b.caps & ~(BROKER_HEADER | BROKER_REPEAT_HEADER | BROKER_PROPS)) |
		mqtt_map_caps(mb->b.opts.wire, mb->version);
	if (mb->opt.session && !pk->session && !again)
		log_verbose("the server has no session of %s: a new one begins", mb->opt.client_id);
	log_debug("%s: MQTT %s%s, receive maximum %u, largest packet %" PRIu32 ", aliases %u, "
		"keep-alive %u s", link_name(mb->p.link), mb->version == MQTT_V5 ? "5" : "3.1.1",
		pk->session ? ", session kept" : "", mb->server.receive_maximum,
		mb->server.max_packet, mb->server.alias_maximum, mb->server.keepalive);
	mqtt_pub_ready(mb, session);
	mb->p.opts.keepalive_ms = mb->server.keepalive * UINT64_C(1000);
	pipeline_ready(&mb->p);
	mqtt_sub_ready(mb, session, again);
}

/* ---- barriers ---- */

uint64_t
mqtt_session_ping(struct mqtt_broker *mb)
{
	static const struct mqtt_packet ping = { .type = MQTT_PINGREQ };

	mqtt_write(pipeline_out(&mb->p), &ping, mb->version);
	pipeline_kick(&mb->p);
	return ++mb->pings;
}

static void
session_beat(struct pipeline *p)
{
	mqtt_session_ping(p->arg);
}

/* Is what was to be finished? A server that writes to who has gone may stop reading
 * what came before, so QoS 2 goes to its end. */
static void
drain_end(struct mqtt_broker *mb)
{
	if (!mb->drain_ping || mb->pongs < mb->drain_ping ||
	    (mb->b.opts.ack == PUBLISH_ACK_NONE && flight_count(&mb->p.ring)))
		return;
	mb->drain_ping = 0;
	broker_drained(&mb->b);
}

static void
session_pong(struct mqtt_broker *mb)
{
	if (mb->pongs == mb->pings)
		return;
	mb->pongs++;
	mqtt_pub_pong(mb);
	drain_end(mb);
}

void
mqtt_session_drain(struct mqtt_broker *mb)
{
	/* A question costs a round trip: only for what the server may not have read. */
	if (mb->state != MQTT_READY || (!mb->subs.answered &&
	    mb->b.opts.ack != PUBLISH_ACK_NONE)) {
		broker_drained(&mb->b);
		return;
	}
	/* The answers are read only if anything is. */
	pipeline_pause(&mb->p, false);
	mb->drain_ping = mqtt_session_ping(mb);
}

/* ---- input ---- */

void
mqtt_session_fault(struct mqtt_broker *mb, unsigned reason, const char *why)
{
	struct mqtt_packet bye = { .type = MQTT_DISCONNECT, .reason = (unsigned char)reason };
	struct error err;

	if (mb->state == MQTT_READY && mb->version == MQTT_V5) {
		mqtt_write(pipeline_out(&mb->p), &bye, mb->version);
		link_flush(mb->p.link);
	}
	error_set(&err, ERR_CONNECT, "%s: the server breaks MQTT's rules: %s", link_name(mb->p.link),
		why);
	/* It would come again with every connection. */
	if (reason == 0x95)
		error_set(&err, ERR_NOTFOUND, "%s: an event larger than -X mqtt.max_packet=%" PRIu64
			" allows", link_name(mb->p.link), mb->opt.max_packet);
	mb->state = MQTT_OFF;
	pipeline_refused(&mb->p, &err);
}

static void
session_goodbye(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct error err;

	mqtt_reason_error(&err, MQTT_AT_END, "the server ended the connection", pk->reason,
		reason_string(pk->props));
	error_prefix(&err, "%s", link_name(mb->p.link));
	mb->state = MQTT_OFF;
	switch (mqtt_reason_again(pk->reason)) {
	case MQTT_FAULT: pipeline_refused(&mb->p, &err); break;
	case MQTT_PASSES: pipeline_fail(&mb->p, &err); break;
	case MQTT_NEXT: pipeline_fail_next(&mb->p, &err); break;
	}
}

static void
session_packet(struct mqtt_broker *mb, const struct mqtt_frame *f)
{
	struct mqtt_packet pk;
	struct mqtt_connect none;
	const char *why;

	/* How a server of 3.1.1 answers a CONNECT of 5. */
	if (f->type == MQTT_CONNACK && f->n == 2 && mb->version == MQTT_V5 && f->body[1]) {
		pk = (struct mqtt_packet){ .type = MQTT_CONNACK, .reason = 0x84 };
		session_accepted(mb, &pk);
		return;
	}
	if (mqtt_parse(&pk, &none, f, mb->version, &why) < 0) {
		mqtt_session_fault(mb, 0x81, why);
		return;
	}
	if (mb->state == MQTT_GREETING && f->type != MQTT_CONNACK) {
		mqtt_session_fault(mb, 0x82, "no answer to CONNECT, but something else");
		return;
	}
	switch (f->type) {
	case MQTT_CONNACK: session_accepted(mb, &pk); break;
	case MQTT_PUBLISH: mqtt_sub_publish(mb, &pk); break;
	case MQTT_PUBACK: case MQTT_PUBREC: case MQTT_PUBCOMP:
		mqtt_pub_answer(mb, &pk);
		drain_end(mb);
		break;
	case MQTT_PUBREL: mqtt_sub_pubrel(mb, &pk); break;
	case MQTT_SUBACK: case MQTT_UNSUBACK: mqtt_sub_answer(mb, &pk); break;
	case MQTT_PINGRESP: session_pong(mb); break;
	case MQTT_DISCONNECT: session_goodbye(mb, &pk); break;
	default: mqtt_session_fault(mb, 0x82, "a packet that only clients send"); break;
	}
}

static size_t
session_data(struct pipeline *pipe, char *p, size_t n)
{
	struct mqtt_broker *mb = pipe->arg;
	struct timespec now;
	size_t used = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	mb->read_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	mb->mute = false;
	while (mb->state != MQTT_OFF && !pipe->failed && !pipe->paused) {
		struct mqtt_frame f = { 0 };
		const char *why;
		int r = mqtt_frame(&f, p + used, n - used, mb->opt.max_packet, &why);

		if (r == 0)
			break;
		if (r < 0) {
			mqtt_session_fault(mb, f.size > mb->opt.max_packet ? 0x95 : 0x81, why);
			return n;
		}
		used += f.size;
		session_packet(mb, &f);
	}
	return used;
}

/* ---- the end of a connection ---- */

/* Some servers of 3.1.1 answer a CONNECT of 5 by closing. One that is merely slow
 * gets no second time-out. */
static bool
seems_old(const struct mqtt_broker *mb)
{
	return mb->version == MQTT_V5 && (mb->old || (mb->mute && loop_clock_ns() -
		mb->greeted_ns < mb->b.opts.connect_timeout_ms * UINT64_C(500000)));
}

static bool
session_lost(struct pipeline *p, struct error *why, bool *again)
{
	struct mqtt_broker *mb = p->arg;
	bool draining = mb->drain_ping != 0, told;

	mb->state = MQTT_OFF;
	mqtt_pub_lost(mb);
	told = mqtt_sub_lost(mb, *again ? NULL : why);
	mqtt_drops_lost(mb);
	/* The run is over, and this was only to end it well. */
	if (draining) {
		mb->drain_ping = 0;
		broker_drained(&mb->b);
		return false;
	}
	if (!*again && !p->ever && seems_old(mb)) {
		log_verbose("%s; does not speak MQTT 5: asked with 3.1.1", why->text);
		mb->version = MQTT_V311;
		*again = true;
		pipeline_start(p);
	}
	return !told;
}

void
mqtt_session_close(struct mqtt_broker *mb)
{
	static const struct mqtt_packet bye = { .type = MQTT_DISCONNECT };

	if (mb->state == MQTT_READY && !mb->p.failed)
		mqtt_write(pipeline_out(&mb->p), &bye, mb->version);
	mb->state = MQTT_OFF;
	pipeline_close(&mb->p);
}

static const struct pipeline_ops session_ops = {
	.greet = session_greet,
	.data = session_data,
	.lost = session_lost,
	.ping = session_beat,
	.send = mqtt_pub_send,
	.cut = mqtt_pub_cut,
};

int
mqtt_session_init(struct mqtt_broker *mb, const struct link_options *link, struct error *err)
{
	const struct pipeline_options o = {
		.broker = &mb->b,
		.link = *link,
		.keepalive_ms = mb->opt.keepalive * UINT64_C(1000),
		.beat = true,
		.names = MQTT_IDS,
		/* In a session that another process has left, the server may still hold some of
		 * its ids: not those at which everybody begins. */
		.first = mb->opt.session ? loop_clock_ns() % MQTT_IDS : 0,
		.main = true,
	};

	if (pipeline_open(&mb->p, &o, &session_ops, mb, err) < 0)
		return -1;
	mb->p.keeps = mb->b.opts.reconnect != 0;
	return 0;
}

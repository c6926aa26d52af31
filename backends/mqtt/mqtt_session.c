/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection after the other: CONNECT and its answer, keep-alive, and handing
 * what comes to those it is for.
 *
 * Keep-alive: twice in its time the server is asked whether it lives, unless a
 * question is still open; when nothing at all was heard for the whole time since
 * the question, the connection is given up.
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
	struct publication p = { .topic = bytes_str(mb->opt.will_topic) };

	p.msg.body = bytes_str(mb->opt.will ? mb->opt.will : "");
	mqtt_map_payload(payload, &p, mb->b.opts.wire);
	k->will_topic = p.topic;
	k->will_payload = buf_bytes(payload);
	k->will_qos = mb->opt.will_qos;
	k->will_retain = mb->opt.will_retain;
}

static void
session_open(struct link *l)
{
	struct mqtt_broker *mb = link_arg(l);
	struct mqtt_connect k = {
		.version = mb->version,
		.clean = !mb->opt.session,
		.keepalive = mb->opt.keepalive,
		.client_id = bytes_str(mb->opt.client_id),
		.username = bytes_str(mb->b.opts.username),
		.password = mb->b.opts.password,
	};
	struct mqtt_packet pk = { .type = MQTT_CONNECT, .connect = &k };
	struct buf props = BUF_INIT, will = BUF_INIT;
	struct error err;

	if (k.password.p && !k.username.p && mb->version != MQTT_V5) {
		error_set(&err, ERR_USAGE, "%s: a password without a user: MQTT 3.1.1 has no such thing",
			link_name(l));
		link_fail(l, &err);
		return;
	}
	mb->state = MQTT_GREETING;
	mb->mute = true;
	mb->generation++;
	mb->pings = mb->pongs = 0;
	mb->greeted_ns = loop_clock_ns();
	if (mb->opt.session)
		mqtt_add_number(&props, MQTT_PROP_SESSION_EXPIRY, mb->opt.session);
	mqtt_add_number(&props, MQTT_PROP_RECEIVE_MAXIMUM, mb->opt.receive_maximum);
	mqtt_add_number(&props, MQTT_PROP_MAXIMUM_PACKET, mb->opt.max_packet);
	if (mb->version == MQTT_V5)
		pk.props = buf_bytes(&props);
	if (mb->opt.will_topic)
		add_will(mb, &k, &will);
	mqtt_write(link_out(l), &pk, mb->version);
	buf_release(&props);
	buf_release(&will);
	link_flush(l);
	/* The password is not to lie about in what will be written over slowly. */
	if (k.password.p && !buf_len(link_out(l)) && link_out(l)->data)
		explicit_bzero(link_out(l)->data, link_out(l)->cap);
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
	error_prefix(&err, "%s", link_name(mb->link));
	mb->old = mb->version == MQTT_V5 && reason == 0x84;
	link_fail(mb->link, &err);
}

static void
keepalive_set(struct mqtt_broker *mb)
{
	if (mb->server.keepalive)
		loop_timer_set(mb->b.loop, &mb->keepalive, mb->server.keepalive * 500ull);
}

static void
session_accepted(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	if (mb->state != MQTT_GREETING) {
		session_fault(mb, 0x82, "a second answer to CONNECT");
		return;
	}
	if (pk->reason) {
		session_refused(mb, pk);
		return;
	}
	read_server(mb, pk->props);
	mb->state = MQTT_READY;
	mb->ping_ns = mb->heard_ns;
	keepalive_set(mb);
	link_ready(mb->link);
	mb->b.caps = (mb->b.caps & ~(BROKER_HEADER | BROKER_REPEAT_HEADER | BROKER_PROPS)) |
		mqtt_map_caps(mb->b.opts.wire, mb->version);
	log_debug("%s: MQTT %s%s, receive maximum %u, largest packet %" PRIu32 ", aliases %u, "
		"keep-alive %u s", link_name(mb->link), mb->version == MQTT_V5 ? "5" : "3.1.1",
		pk->session ? ", session kept" : "", mb->server.receive_maximum,
		mb->server.max_packet, mb->server.alias_maximum, mb->server.keepalive);
	sub_ready(mb, pk->session && mb->opt.session);
	pub_ready(mb, pk->session && mb->opt.session);
	if (!mb->was_ready) {
		mb->was_ready = true;
		broker_connected(&mb->b, NULL);
	}
}

/* ---- keep-alive and barriers ---- */

uint64_t
session_ping(struct mqtt_broker *mb)
{
	static const struct mqtt_packet ping = { .type = MQTT_PINGREQ };

	mqtt_write(link_out(mb->link), &ping, mb->version);
	link_kick(mb->link);
	if (mb->pings == mb->pongs)
		mb->ping_ns = loop_clock_ns();
	return ++mb->pings;
}

static void
session_alive(struct loop_timer *t)
{
	struct mqtt_broker *mb = t->arg;
	uint64_t now = loop_clock_ns(), most = mb->server.keepalive * UINT64_C(1000000000);
	uint64_t since = mb->heard_ns > mb->ping_ns ? mb->heard_ns : mb->ping_ns;
	struct error err;

	/* Paused, its answers are not read; but it wants to hear from us. */
	if (mb->paused || mb->pings == mb->pongs) {
		session_ping(mb);
	} else if (now - since >= most - most / 8) {
		error_set(&err, ERR_CONNECT, "%s: no sign of life for %u s", link_name(mb->link),
			mb->server.keepalive);
		link_fail(mb->link, &err);
		return;
	}
	keepalive_set(mb);
}

/* Is what was to be finished? A server that writes to who has gone may stop reading
 * what came before, so QoS 2 goes to its end. */
static void
drain_end(struct mqtt_broker *mb)
{
	if (!mb->drain_ping || mb->pongs < mb->drain_ping ||
	    (mb->b.opts.ack == PUBLISH_ACK_NONE && flight_count(&mb->pub.flight)))
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
	pub_pong(mb);
	drain_end(mb);
}

void
session_drain(struct mqtt_broker *mb)
{
	/* A question costs a round trip: only for what the server may not have read, or for
	 * what we have not: to close on that is a reset, and the goodbye is lost. */
	if (mb->state != MQTT_READY || (!mb->subs.answered && !drops_expected(mb) &&
	    mb->b.opts.ack != PUBLISH_ACK_NONE)) {
		broker_drained(&mb->b);
		return;
	}
	/* The answers are read only if anything is. */
	session_pause(mb, false);
	mb->drain_ping = session_ping(mb);
}

void
session_pause(struct mqtt_broker *mb, bool on)
{
	if (mb->paused == on)
		return;
	mb->paused = on;
	mb->heard_ns = loop_clock_ns();
	link_pause(mb->link, on);
	if (!on)
		drops_resumed(mb);
}

/* ---- input ---- */

void
session_fault(struct mqtt_broker *mb, unsigned reason, const char *why)
{
	struct mqtt_packet bye = { .type = MQTT_DISCONNECT, .reason = (unsigned char)reason };
	struct error err;

	if (mb->state == MQTT_READY && mb->version == MQTT_V5) {
		mqtt_write(link_out(mb->link), &bye, mb->version);
		link_flush(mb->link);
	}
	error_set(&err, ERR_CONNECT, "%s: the server breaks MQTT's rules: %s", link_name(mb->link),
		why);
	/* It would come again with every connection. */
	if (reason == 0x95)
		error_set(&err, ERR_NOTFOUND, "%s: an event larger than -X mqtt.max_packet=%" PRIu32
			" allows", link_name(mb->link), mb->opt.max_packet);
	mb->state = MQTT_OFF;
	link_fail(mb->link, &err);
}

static void
session_goodbye(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct error err;

	mqtt_reason_error(&err, MQTT_AT_END, "the server ended the connection", pk->reason,
		reason_string(pk->props));
	error_prefix(&err, "%s", link_name(mb->link));
	mb->state = MQTT_OFF;
	link_fail(mb->link, &err);
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
		session_fault(mb, 0x81, why);
		return;
	}
	if (mb->state == MQTT_GREETING && f->type != MQTT_CONNACK) {
		session_fault(mb, 0x82, "no answer to CONNECT, but something else");
		return;
	}
	switch (f->type) {
	case MQTT_CONNACK: session_accepted(mb, &pk); break;
	case MQTT_PUBLISH: sub_publish(mb, &pk); break;
	case MQTT_PUBACK: case MQTT_PUBREC: case MQTT_PUBCOMP:
		pub_answer(mb, &pk);
		drain_end(mb);
		break;
	case MQTT_PUBREL: sub_pubrel(mb, &pk); break;
	case MQTT_SUBACK: sub_answer(mb, &pk); break;
	case MQTT_UNSUBACK: break;
	case MQTT_PINGRESP: session_pong(mb); break;
	case MQTT_DISCONNECT: session_goodbye(mb, &pk); break;
	default: session_fault(mb, 0x82, "a packet that only clients send"); break;
	}
}

static size_t
session_data(struct link *l, char *p, size_t n)
{
	struct mqtt_broker *mb = link_arg(l);
	struct timespec now;
	size_t used = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	mb->read_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	mb->heard_ns = loop_now_ns(mb->b.loop);
	mb->mute = false;
	while (mb->state != MQTT_OFF && !mb->paused) {
		struct mqtt_frame f = { 0 };
		const char *why;
		int r = mqtt_frame(&f, p + used, n - used, mb->opt.max_packet, &why);

		if (r == 0)
			break;
		if (r < 0) {
			session_fault(mb, f.size > mb->opt.max_packet ? 0x95 : 0x81, why);
			return n;
		}
		used += f.size;
		session_packet(mb, &f);
	}
	return used;
}

static void
session_drained(struct link *l)
{
	pub_drained(link_arg(l));
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

static void
session_lost(struct link *l, const struct error *err, bool again)
{
	struct mqtt_broker *mb = link_arg(l);
	bool draining = mb->drain_ping != 0;

	mb->state = MQTT_OFF;
	loop_timer_clear(mb->b.loop, &mb->keepalive);
	if (mb->was_ready) {
		sub_lost(mb);
		drops_lost(mb);
		pub_lost(mb, again);
	}
	/* The run is over, and this was only to end it well. */
	if (draining) {
		mb->drain_ping = 0;
		broker_drained(&mb->b);
		return;
	}
	if (again)
		return;
	if (mb->was_ready) {
		broker_failed(&mb->b, err);
	} else if (seems_old(mb)) {
		log_verbose("%s; does not speak MQTT 5: asked with 3.1.1", err->text);
		mb->version = MQTT_V311;
		link_start(l);
	} else {
		broker_connected(&mb->b, err);
	}
}

void
session_init(struct mqtt_broker *mb)
{
	mb->keepalive.fn = session_alive;
	mb->keepalive.arg = mb;
}

void
session_close(struct mqtt_broker *mb)
{
	struct mqtt_packet bye = { .type = MQTT_DISCONNECT };

	if (mb->state == MQTT_READY)
		mqtt_write(link_out(mb->link), &bye, mb->version);
	mb->state = MQTT_OFF;
	loop_timer_clear(mb->b.loop, &mb->keepalive);
	if (mb->link)
		link_close(mb->link);
}

const struct link_ops mqtt_link_ops = {
	.on_open = session_open,
	.on_data = session_data,
	.on_drained = session_drained,
	.on_lost = session_lost,
};

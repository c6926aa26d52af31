/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server drops. MQTT has no word for it; Mosquitto counts, for all clients
 * together, and publishes the count as a retained event. A subscriber without a session
 * wants to know, and warns when the count grows.
 *
 * Servers cut or punish who asks for what he may not have, and so the count is asked for
 * by a client of its own, some time after the subscriptions are live: on the user's
 * connection there is nothing that he did not ask for. First it asks for the version, and
 * leaves unless that is a Mosquitto's. Whatever becomes of it is nobody's matter.
 */
#include <inttypes.h>
#include <stdio.h>

#include "backends/mqtt/mqtt.h"
#include "core/log.h"

enum {
	WATCH_AFTER_MS = 1000,		/* a run that is over by then needs none */
	WATCH_ANSWER_MS = 3000,		/* for the version */
	WATCH_AGAIN_MS = 10000,		/* when it was lost */
	WATCH_INPUT_MAX = 64 * 1024
};

static const struct bytes count_topic = BYTES("$SYS/broker/publish/messages/dropped");
static const struct bytes version_topic = BYTES("$SYS/broker/version");

/* Who subscribed to it himself gets it as the events he asked for. */
static bool
is_users(const struct mqtt_broker *mb)
{
	for (const struct mqtt_sub *ms = mb->subs.first; ms; ms = ms->next)
		if (mqtt_topic_matches(mqtt_bare_filter(ms->sub->topic), count_topic))
			return true;
	return false;
}

/* Says goodbye where it was greeted. */
static void
watch_close(struct mqtt_broker *mb)
{
	static const struct mqtt_packet bye = { .type = MQTT_DISCONNECT };
	struct mqtt_drops *d = &mb->drops;

	loop_timer_clear(mb->b.loop, &d->timer);
	if (d->state > DROPS_GREETING)
		mqtt_write(link_out(d->link), &bye, mb->version);
	if (d->state)
		link_close(d->link);
	d->state = DROPS_OFF;
}

static void
watch_never(struct mqtt_broker *mb, const char *why)
{
	log_debug("the server's count of dropped events: %s", why);
	mb->drops.never = true;
	watch_close(mb);
}

/* ---- its connection ---- */

static void
watch_open(struct link *l)
{
	struct mqtt_broker *mb = link_arg(l);

	mqtt_session_hello(mb, l, mb->drops.client_id, false);
}

static void
ask(struct mqtt_broker *mb, struct bytes topic, enum mqtt_drops_state state)
{
	struct mqtt_packet pk = { .type = MQTT_SUBSCRIBE, .id = (uint16_t)state };
	struct buf list = BUF_INIT;

	mqtt_add_filter(&list, topic, 0);
	pk.list = buf_bytes(&list);
	mqtt_write(link_out(mb->drops.link), &pk, mb->version);
	link_kick(mb->drops.link);
	buf_release(&list);
	mb->drops.state = state;
}

static bool
read_count(struct bytes text, uint64_t *n)
{
	*n = 0;
	if (!text.n || text.n > 19)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		*n = *n * 10 + (uint64_t)(text.p[i] - '0');
	}
	return true;
}

static void
take_count(struct mqtt_drops *d, struct bytes payload)
{
	uint64_t n;

	if (!read_count(payload, &n))
		return;
	/* Smaller: another server, or the same started again. */
	if (d->known && n > d->last) {
		if (!d->total)
			log_warn("the server has dropped %" PRIu64 " events for its slow clients since "
				"we began (Mosquitto: max_queued_messages); ours may be among them",
				n - d->last);
		d->total += n - d->last;
	}
	if (!d->known)
		log_debug("the server has dropped %" PRIu64 " events so far", n);
	d->known = true;
	d->last = n;
}

static void
watch_publish(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_drops *d = &mb->drops;

	/* It was asked for with QoS 0. */
	if (pk->qos) {
		watch_never(mb, "comes with a QoS");
	} else if (bytes_eq(pk->topic, count_topic)) {
		take_count(d, pk->payload);
	} else if (d->state == DROPS_VERSION && bytes_eq(pk->topic, version_topic)) {
		if (pk->payload.n < 9 || memcmp(pk->payload.p, "mosquitto", 9) != 0) {
			watch_never(mb, "no Mosquitto");
			return;
		}
		ask(mb, count_topic, DROPS_COUNT);
		loop_timer_clear(mb->b.loop, &d->timer);
		if (mb->server.keepalive)
			loop_timer_set(mb->b.loop, &d->timer, mb->server.keepalive * 500ull);
	}
}

static void
watch_packet(struct mqtt_broker *mb, const struct mqtt_packet *pk)
{
	struct mqtt_drops *d = &mb->drops;

	if (pk->type == MQTT_CONNACK && !pk->reason && d->state == DROPS_GREETING) {
		link_ready(d->link);
		loop_timer_set(mb->b.loop, &d->timer, WATCH_ANSWER_MS);
		ask(mb, version_topic, DROPS_VERSION);
	} else if (pk->type == MQTT_PUBLISH) {
		watch_publish(mb, pk);
	} else if (pk->type == MQTT_SUBACK ? (unsigned char)pk->list.p[0] >= 0x80 :
	    pk->type == MQTT_CONNACK) {
		watch_never(mb, "refused");
	}
}

static size_t
watch_data(struct link *l, char *p, size_t n)
{
	struct mqtt_broker *mb = link_arg(l);
	size_t used = 0;

	while (mb->drops.state) {
		struct mqtt_frame f = { 0 };
		struct mqtt_connect none;
		struct mqtt_packet pk;
		const char *why;
		int r = mqtt_frame(&f, p + used, n - used, WATCH_INPUT_MAX, &why);

		if (r == 0)
			break;
		if (r < 0 || mqtt_parse(&pk, &none, &f, mb->version, &why) < 0) {
			watch_never(mb, why);
			return n;
		}
		used += f.size;
		watch_packet(mb, &pk);
	}
	return mb->drops.state ? used : n;
}

static void
watch_lost(struct link *l, const struct error *err, bool again)
{
	struct mqtt_broker *mb = link_arg(l);
	struct mqtt_drops *d = &mb->drops;

	(void)again;
	log_debug("the server's count of dropped events: %s", err->text);
	/* Where it was welcome before, it is again. */
	d->never |= d->state != DROPS_COUNT;
	d->state = DROPS_OFF;
	loop_timer_clear(mb->b.loop, &d->timer);
	if (!d->never)
		loop_timer_set(mb->b.loop, &d->timer, WATCH_AGAIN_MS);
}

static const struct link_ops watch_ops = {
	.on_open = watch_open,
	.on_data = watch_data,
	.on_lost = watch_lost,
};

/* To the very server that the user's connection is to. */
static void
watch_begin(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;
	struct bytes scheme = link_address(mb->p.link)->scheme;
	bool by_scheme = scheme.n && !link_address(mb->p.link)->socket.p;
	struct error err;

	link_free(d->link);
	buf_clear(&d->address);
	buf_addf(&d->address, "%.*s%s%s", by_scheme ? (int)scheme.n : 0, scheme.p ? scheme.p : "",
		by_scheme ? "://" : "", link_name(mb->p.link));
	d->options = mb->b.opts;
	d->options.address = buf_cstr(&d->address);
	d->options.reconnect = 0;
	d->link_opt = mb->p.opts.link;
	d->link_opt.broker = &d->options;
	d->link_opt.input_max = WATCH_INPUT_MAX + MQTT_HEAD_MAX;
	snprintf(d->client_id, sizeof d->client_id, "%.*s-drops", (int)(sizeof d->client_id - 7),
		mb->opt.client_id);
	d->link = link_new(mb->b.loop, &d->link_opt, &watch_ops, mb, &err);
	d->never = !d->link;
	if (!d->link)
		return;
	d->state = DROPS_GREETING;
	link_start(d->link);
}

static void
watch_timer(struct loop_timer *t)
{
	static const struct mqtt_packet ping = { .type = MQTT_PINGREQ };
	struct mqtt_broker *mb = t->arg;
	struct mqtt_drops *d = &mb->drops;

	switch (d->state) {
	case DROPS_OFF:
		if (mb->state == MQTT_READY && !is_users(mb))
			watch_begin(mb);
		break;
	case DROPS_COUNT:
		mqtt_write(link_out(d->link), &ping, mb->version);
		link_kick(d->link);
		loop_timer_set(mb->b.loop, t, mb->server.keepalive * 500ull);
		break;
	default:
		watch_never(mb, "it does not come");
	}
}

/* ---- for the rest of the driver ---- */

void
mqtt_drops_watch(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	if (!mb->opt.watch_drops || mb->opt.session || d->never || d->state ||
	    loop_timer_is_set(&d->timer))
		return;
	loop_timer_set(mb->b.loop, &d->timer, WATCH_AFTER_MS);
}

void
mqtt_drops_lost(struct mqtt_broker *mb)
{
	watch_close(mb);
}

void
mqtt_drops_init(struct mqtt_broker *mb)
{
	mb->drops.timer.fn = watch_timer;
	mb->drops.timer.arg = mb;
}

void
mqtt_drops_end(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	watch_close(mb);
	if (d->total)
		log_verbose("the server has dropped %" PRIu64 " events for its slow clients while we "
			"were connected", d->total);
	d->known = false;
	d->total = 0;
}

void
mqtt_drops_release(struct mqtt_broker *mb)
{
	link_free(mb->drops.link);
	buf_release(&mb->drops.address);
}

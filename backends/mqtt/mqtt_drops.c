/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server drops. MQTT has no word for it; Mosquitto counts, for all clients
 * together, and publishes the count as a retained event. So a subscriber without a
 * session asks for that as well, behind its own subscriptions, and says it when the
 * count grows. A server that has no such topic, or refuses it, is left in peace.
 *
 * The count comes with QoS 0 on the connection that is too slow, so that it may be
 * dropped itself. Hence it is asked for once more some time after input was paused:
 * a SUBSCRIBE repeated brings what is retained once more.
 */
#include <inttypes.h>

#include "backends/mqtt/mqtt.h"
#include "core/log.h"

enum {
	DROPS_AGAIN_MS = 11000		/* Mosquitto counts every 10 s */
};

static const struct bytes drops_topic = BYTES("$SYS/broker/publish/messages/dropped");

/* Who subscribed to it himself gets it as the events he asked for. */
static bool
is_users(const struct mqtt_broker *mb)
{
	for (const struct mqtt_sub *ms = mb->subs.first; ms; ms = ms->next)
		if (mqtt_topic_matches(ms->sub->topic, drops_topic))
			return true;
	return false;
}

static void
drops_write(struct mqtt_broker *mb, enum mqtt_type type)
{
	struct mqtt_packet pk = { .type = type, .id = MQTT_DROPS_ID };
	struct buf list = BUF_INIT;

	mqtt_add_filter(&list, drops_topic, type == MQTT_SUBSCRIBE ? 0 : -1);
	pk.list = buf_bytes(&list);
	mqtt_write(link_out(mb->link), &pk, mb->version);
	link_kick(mb->link);
	buf_release(&list);
}

void
drops_ask(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	if (d->asked || d->never || !mb->opt.watch_drops || mb->opt.session || is_users(mb))
		return;
	d->asked = d->waits = true;
	drops_write(mb, MQTT_SUBSCRIBE);
}

void
drops_answer(struct mqtt_broker *mb, bool granted)
{
	mb->drops.waits = false;
	mb->drops.never |= !granted;
}

bool
drops_expected(const struct mqtt_broker *mb)
{
	return mb->drops.waits || (mb->drops.asked && !mb->drops.known && !mb->drops.never);
}

void
drops_leave(struct mqtt_broker *mb)
{
	if (!mb->drops.asked || mb->state != MQTT_READY || !is_users(mb))
		return;
	drops_write(mb, MQTT_UNSUBSCRIBE);
	mb->drops.asked = false;
}

void
drops_lost(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	loop_timer_clear(mb->b.loop, &d->again);
	/* Some servers cut who asks for what he may not have. */
	if (d->waits) {
		log_verbose("%s: the connection went when we asked for %.*s: not asked any more "
			"(-X mqtt.watch_drops=no)", link_name(mb->link), BYTES_FMT(drops_topic));
		d->never = true;
	}
	d->asked = d->waits = false;
}

void
drops_resumed(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	if (d->asked && !loop_timer_is_set(&d->again))
		loop_timer_set(mb->b.loop, &d->again, DROPS_AGAIN_MS);
}

static void
drops_again(struct loop_timer *t)
{
	struct mqtt_broker *mb = t->arg;

	if (mb->drops.asked && !mb->drops.never && mb->state == MQTT_READY)
		drops_write(mb, MQTT_SUBSCRIBE);
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

bool
drops_take(struct mqtt_broker *mb, struct bytes topic, struct bytes payload)
{
	struct mqtt_drops *d = &mb->drops;
	uint64_t n;

	if (!d->asked || !bytes_eq(topic, drops_topic))
		return false;
	if (!read_count(payload, &n))
		return true;
	/* Smaller: another server, or the same started again. */
	if (d->known && n > d->last) {
		if (!d->total)
			log_warn("the server has dropped %" PRIu64 " events for its slow clients since "
				"we began (Mosquitto: max_queued_messages); ours may be among them",
				n - d->last);
		d->total += n - d->last;
	}
	d->known = true;
	d->last = n;
	return true;
}

void
drops_init(struct mqtt_broker *mb)
{
	mb->drops.again.fn = drops_again;
	mb->drops.again.arg = mb;
}

void
drops_end(struct mqtt_broker *mb)
{
	struct mqtt_drops *d = &mb->drops;

	loop_timer_clear(mb->b.loop, &d->again);
	if (d->total)
		log_verbose("the server has dropped %" PRIu64 " events for its slow clients while we "
			"were connected", d->total);
	d->asked = d->waits = d->known = false;
	d->total = 0;
}

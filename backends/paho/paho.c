/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker on paho.mqtt.c: its life and its ops; see paho.h for the plan. */
#include "backends/paho/paho.h"

#include <stdlib.h>

enum {
	CLIENT_ID_MAX = 200		/* so that a line of paho's trace holds it */
};

static struct paho_broker *
paho_of(struct broker *b)
{
	return (struct paho_broker *)b;
}

static int
paho_connect(struct broker *b, struct error *err)
{
	(void)err;
	paho_session_start(paho_of(b));
	return 0;
}

static void
paho_disconnect(struct broker *b)
{
	struct paho_broker *pb = paho_of(b);

	paho_session_close(pb);
	paho_pub_close(pb);
	paho_sub_lost(pb, NULL);
	loop_task_cancel(&pb->subs.ask);
}

static int
paho_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return paho_pub_publish(paho_of(b), p, err);
}

static int
paho_subscribe(struct subscription *s, struct error *err)
{
	return paho_sub_subscribe(paho_of(s->broker), s, err);
}

static void
paho_unsubscribe(struct subscription *s)
{
	paho_sub_unsubscribe(paho_of(s->broker), s);
}

static void
paho_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	paho_sub_ack(paho_of(b), first, last, ok);
}

static void
paho_pause(struct broker *b, bool on)
{
	paho_session_pause(paho_of(b), on);
}

static void
paho_drain(struct broker *b)
{
	paho_session_drain(paho_of(b));
}

static const char *
paho_address(struct broker *b)
{
	const struct paho_target *t = paho_of(b)->target;

	return t ? t->name : NULL;
}

_Static_assert(offsetof(struct paho_broker, opt) == offsetof(struct mqtt_owner, opt), "");

static int
paho_init(struct broker *b, struct error *err)
{
	struct paho_broker *pb = paho_of(b);

	/* Else a tcp:// connection, too, would go where these point. While no thread
	 * may be looking. */
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	paho_pub_init(pb);
	paho_sub_init(pb);
	if (mqtt_options_read(b, &pb->opt, err) < 0)
		return -1;
	if (pb->opt.alias)
		return error_set(err, ERR_NOTFOUND, "-X mqtt.alias: the paho driver has no topic "
			"aliases");
	if (broker_xopt_given(b, "watch_drops"))
		return error_set(err, ERR_NOTFOUND, "-X mqtt.watch_drops: the paho driver does not "
			"ask for the count");
	if (strlen(pb->opt.client_id) > CLIENT_ID_MAX)
		return error_set(err, ERR_NOTFOUND, "-X mqtt.client_id: the paho driver takes %d bytes",
			CLIENT_ID_MAX);
	pb->version = pb->opt.version;
	b->caps = mqtt_map_caps(b->opts.wire, pb->version);
	return paho_session_init(pb, err);
}

static void
paho_release(struct broker *b)
{
	struct paho_broker *pb = paho_of(b);

	paho_disconnect(b);
	paho_session_forget(pb);
	paho_sub_release(pb);
	/* What a thread that hangs may still look at is left to it. */
	if (pb->box && !paho_box_release(pb->box))
		return;
	free(pb->box);
	paho_session_release(pb);
	paho_pub_release(pb);
}

const struct broker_ops paho_driver_ops = {
	.name = "mqtt",
	.default_address = "127.0.0.1:1883",
	.caps = BROKER_HEADER | BROKER_NULL_BODY | BROKER_PROPS | BROKER_GROUP | BROKER_ACK |
		BROKER_TLS | BROKER_USER | BROKER_RECONNECT | BROKER_RAW | BROKER_QOS |
		BROKER_RETAIN | BROKER_ACK_CHOICE,
	.size = sizeof(struct paho_broker),
	.options = mqtt_option_table,
	.url_path = "topic",
	.path_schemes = "ws wss",
	.init = paho_init,
	.release = paho_release,
	.lacks = mqtt_lacks,
	.connect = paho_connect,
	.disconnect = paho_disconnect,
	.publish = paho_publish,
	.subscribe = paho_subscribe,
	.unsubscribe = paho_unsubscribe,
	.ack = paho_ack,
	.pause = paho_pause,
	.drain = paho_drain,
	.address = paho_address,
};

MODULE_BROKER(paho_driver_ops);

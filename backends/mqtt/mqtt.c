/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker: its life and its ops; see mqtt.h for the plan. */
#include "backends/mqtt/mqtt.h"

#include "core/log.h"

enum {
	MQTT_PORT = 1883,
	MQTT_TLS_PORT = 8883
};

static const struct link_scheme mqtt_schemes[] = {
	{ "mqtt", false }, { "tcp", false },
	{ "mqtts", true }, { "ssl", true }, { "tls", true },
	{ "mqtt+unix", false },
	{ NULL, false }
};

static struct mqtt_broker *
mqtt_of(struct broker *b)
{
	return (struct mqtt_broker *)b;
}

static int
mqtt_connect(struct broker *b, struct error *err)
{
	struct mqtt_broker *mb = mqtt_of(b);

	(void)err;
	mb->version = mb->opt.version;
	pipeline_start(&mb->p);
	return 0;
}

static void
mqtt_disconnect(struct broker *b)
{
	struct mqtt_broker *mb = mqtt_of(b);

	mqtt_session_close(mb);
	mqtt_pub_close(mb);
	mqtt_drops_end(mb);
	loop_task_cancel(&mb->subs.ask);
	mb->p.ever = false;
}

static int
mqtt_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return mqtt_pub_publish(mqtt_of(b), p, err);
}

static int
mqtt_subscribe(struct subscription *s, struct error *err)
{
	return mqtt_sub_subscribe(mqtt_of(s->broker), s, err);
}

static void
mqtt_unsubscribe(struct subscription *s)
{
	mqtt_sub_unsubscribe(mqtt_of(s->broker), s);
}

static void
mqtt_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	mqtt_sub_ack(mqtt_of(b), first, last, ok);
}

static void
mqtt_pause(struct broker *b, bool on)
{
	pipeline_pause(&mqtt_of(b)->p, on);
}

static void
mqtt_drain(struct broker *b)
{
	mqtt_session_drain(mqtt_of(b));
}

static const char *
mqtt_address(struct broker *b)
{
	return link_name(mqtt_of(b)->p.link);
}

/* What only paho speaks is said, not looked up as a scheme of nobody's. */
static int
check_addresses(const struct broker *b, struct error *err)
{
	struct bytes list = bytes_str(b->opts.address), one;
	struct address a;

	while (address_next(&list, &one)) {
		if (address_parse(one, &a, err) < 0)
			return -1;
		if (bytes_eq(a.scheme, BYTES("ws")) || bytes_eq(a.scheme, BYTES("wss")))
			return error_set(err, ERR_NOTFOUND, "%.*s: WebSockets want "
				"-X mqtt.driver=paho", BYTES_FMT(a.scheme));
		if (a.query.p)
			return error_set(err, ERR_USAGE, "the address has a query, and mqtt has no "
				"use for one");
	}
	return 0;
}

_Static_assert(offsetof(struct mqtt_broker, opt) == offsetof(struct mqtt_owner, opt), "");

static int
mqtt_init(struct broker *b, struct error *err)
{
	struct mqtt_broker *mb = mqtt_of(b);
	struct link_options link;

	mqtt_pub_init(mb);
	mqtt_sub_init(mb);
	mqtt_drops_init(mb);
	if (mqtt_options_read(b, &mb->opt, err) < 0 || check_addresses(b, err) < 0)
		return -1;
	if (mb->opt.proxy || broker_xopt_given(b, "ws_path"))
		return error_set(err, ERR_NOTFOUND, "-X mqtt.%s wants -X mqtt.driver=paho",
			mb->opt.proxy ? "proxy" : "ws_path");
	mb->version = mb->opt.version;
	b->caps = mqtt_map_caps(b->opts.wire, mb->version);
	link = (struct link_options){
		.broker = &b->opts,
		.default_address = "127.0.0.1",
		.schemes = mqtt_schemes,
		.port = MQTT_PORT,
		.tls_port = MQTT_TLS_PORT,
		.input_max = mb->opt.max_packet + (size_t)MQTT_HEAD_MAX,
	};
	if (mqtt_session_init(mb, &link, err) < 0)
		return -1;
	link_lazy(mb->p.link, MQTT_PUB_NAP_US);
	return 0;
}

static void
mqtt_release(struct broker *b)
{
	struct mqtt_broker *mb = mqtt_of(b);

	mqtt_disconnect(b);
	pipeline_release(&mb->p);
	mqtt_drops_release(mb);
	mqtt_pub_release(mb);
	mqtt_sub_release(mb);
}

const struct broker_ops mqtt_broker_ops = {
	.name = "mqtt",
	.default_address = "127.0.0.1:1883",
	.caps = BROKER_HEADER | BROKER_NULL_BODY | BROKER_PROPS | BROKER_GROUP | BROKER_ACK |
		BROKER_TLS | BROKER_USER | BROKER_RECONNECT | BROKER_RAW | BROKER_QOS |
		BROKER_RETAIN | BROKER_ACK_CHOICE,
	.size = sizeof(struct mqtt_broker),
	.options = mqtt_option_table,
	.url_path = "topic",
	.path_schemes = "ws wss",
	.init = mqtt_init,
	.release = mqtt_release,
	.lacks = mqtt_lacks,
	.connect = mqtt_connect,
	.disconnect = mqtt_disconnect,
	.publish = mqtt_publish,
	.subscribe = mqtt_subscribe,
	.unsubscribe = mqtt_unsubscribe,
	.ack = mqtt_ack,
	.pause = mqtt_pause,
	.drain = mqtt_drain,
	.address = mqtt_address,
};

MODULE_BROKER(mqtt_broker_ops);

/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka broker: its life and its ops; see kafka.h for the plan. */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

/* What go-micro's envelope can carry, and what a record has beside it. */
enum {
	KAFKA_ALWAYS = BROKER_GROUP | BROKER_ACK | BROKER_TLS | BROKER_USER | BROKER_RECONNECT |
		BROKER_RAW | BROKER_PARTITION | BROKER_OFFSET | BROKER_END | BROKER_ACK_CHOICE |
		BROKER_TIME | BROKER_COMPRESS | BROKER_CREATE | BROKER_TRANSACTION | BROKER_REGEX |
		BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY,
	KAFKA_RAW = KAFKA_ALWAYS | BROKER_NULL_HEADER | BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER,
	KAFKA_WINDOW = 65536
};

static int
kafka_init(struct broker *b, struct error *err)
{
	struct kafka_broker *kb = kafka_of(b);
	rd_kafka_conf_t *conf;

	if (b->opts.transaction && b->opts.ack == PUBLISH_ACK_NONE)
		return error_set(err, ERR_USAGE, "--ack none: a transaction is confirmed by all");
	b->caps = b->opts.wire == WIRE_RAW ? KAFKA_RAW : KAFKA_ALWAYS;
	b->raw_caps = KAFKA_RAW;
	if (kafka_conf_servers(kb, err) < 0)
		return -1;
	conf = kafka_conf_make(kb, b->opts.publishes ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER,
		NULL, false, err);
	if (!conf)
		return -1;
	rd_kafka_conf_destroy(conf);
	return 0;
}

static void
kafka_disconnect(struct broker *b)
{
	kafka_pub_close(kafka_of(b));
	kafka_sub_close(kafka_of(b));
	kafka_list_close(kafka_of(b));
}

static void
kafka_release(struct broker *b)
{
	kafka_disconnect(b);
	free(kafka_of(b)->servers);
}

/* Who publishes needs a handle at once, and no answer before the first event: a
 * connection that cannot be made is told when that is known. */
static int
kafka_connect(struct broker *b, struct error *err)
{
	struct kafka_broker *kb = kafka_of(b);

	if (b->opts.publishes && kafka_pub_open(kb, err) < 0)
		return -1;
	if (!b->opts.transaction)
		broker_connected(b, NULL);
	return 0;
}

static int
kafka_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return kafka_pub_event(kafka_of(b), p, err);
}

static void
kafka_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct kafka_broker *kb = kafka_of(b);

	if (kb->sub && kb->sub->group.name && !kb->sub->group.on_delivery)
		kafka_group_ack(kb->sub, first, last, ok);
}

static void
kafka_pause(struct broker *b, bool on)
{
	kafka_sub_pause(kafka_of(b), on);
}

static void
kafka_drain(struct broker *b)
{
	kafka_sub_drain(kafka_of(b));
}

static void
kafka_finish(struct broker *b, bool commit)
{
	kafka_txn_finish(kafka_of(b), commit);
}

static const char *
kafka_address(struct broker *b)
{
	return kafka_of(b)->servers;
}

const struct broker_ops kafka_broker_ops = {
	.name = "kafka",
	.default_address = "127.0.0.1:9092",
	.caps = KAFKA_RAW,
	.window = KAFKA_WINDOW,
	.size = sizeof(struct kafka_broker),
	.options = kafka_options,
	.url_path = "topic",
	.init = kafka_init,
	.release = kafka_release,
	.connect = kafka_connect,
	.disconnect = kafka_disconnect,
	.publish = kafka_publish,
	.subscribe = kafka_sub_subscribe,
	.unsubscribe = kafka_sub_unsubscribe,
	.ack = kafka_ack,
	.pause = kafka_pause,
	.drain = kafka_drain,
	.finish = kafka_finish,
	.list = kafka_list_start,
	.check_option = kafka_conf_check,
	.list_options = kafka_conf_list,
	.address = kafka_address,
};

MODULE_BROKER(kafka_broker_ops);

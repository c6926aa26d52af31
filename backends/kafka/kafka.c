/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka broker: its life and its ops; see kafka.h for the plan. */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

/* What go-micro's envelope can carry, and what a record has beside it. */
enum {
	KAFKA_ALWAYS = BROKER_GROUP | BROKER_ACK | BROKER_TLS | BROKER_USER | BROKER_RECONNECT |
		BROKER_RAW | BROKER_PARTITION | BROKER_OFFSET | BROKER_END | BROKER_ACK_CHOICE |
		BROKER_TIME | BROKER_COMPRESS | BROKER_CREATE | BROKER_TRANSACTION |
		BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY,
	KAFKA_RAW = KAFKA_ALWAYS | BROKER_NULL_HEADER | BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER,
	KAFKA_WINDOW = 65536
};

static int
kafka_init(struct broker *b, struct error *err)
{
	struct kafka_broker *kb = kafka_of(b);
	const char *missing = broker_xopt(b, "missing");
	const char *one_cpu = broker_xopt(b, "one_cpu");
	rd_kafka_conf_t *conf;

	kb->missing_fails = strcmp(missing, "fail") == 0;
	if (!kb->missing_fails && strcmp(missing, "wait") != 0)
		return error_set(err, ERR_USAGE, "-X kafka.missing=%.60s: wait or fail", missing);
	kb->one_cpu = strcmp(one_cpu, "yes") == 0;
	if (!kb->one_cpu && strcmp(one_cpu, "no") != 0)
		return error_set(err, ERR_USAGE, "-X kafka.one_cpu=%.60s: yes or no", one_cpu);
	if (b->opts.transaction && b->opts.ack == PUBLISH_ACK_NONE)
		return error_set(err, ERR_USAGE, "--ack none: a transaction is confirmed by all");
	b->caps = b->opts.wire == WIRE_RAW ? KAFKA_RAW : KAFKA_ALWAYS;
	b->raw_caps = KAFKA_RAW;
	if (conf_servers(kb, err) < 0)
		return -1;
	conf = conf_make(kb, b->opts.publishes ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, NULL, false,
		err);
	if (!conf)
		return -1;
	rd_kafka_conf_destroy(conf);
	return 0;
}

static void
kafka_disconnect(struct broker *b)
{
	pub_close(kafka_of(b));
	sub_close(kafka_of(b));
	list_close(kafka_of(b));
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

	if (b->opts.publishes && pub_open(kb, err) < 0)
		return -1;
	if (!b->opts.transaction)
		broker_connected(b, NULL);
	return 0;
}

static int
kafka_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return pub_event(kafka_of(b), p, err);
}

static void
kafka_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct kafka_broker *kb = kafka_of(b);

	if (kb->sub && kb->sub->group.name && !kb->sub->group.on_delivery)
		group_ack(kb->sub, first, last, ok);
}

static void
kafka_pause(struct broker *b, bool on)
{
	sub_pause(kafka_of(b), on);
}

static void
kafka_drain(struct broker *b)
{
	sub_drain(kafka_of(b));
}

static void
kafka_finish(struct broker *b, bool commit)
{
	txn_finish(kafka_of(b), commit);
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
	.subscribe = sub_subscribe,
	.unsubscribe = sub_unsubscribe,
	.ack = kafka_ack,
	.pause = kafka_pause,
	.drain = kafka_drain,
	.finish = kafka_finish,
	.list = list_start,
	.check_option = conf_check,
	.list_options = conf_list,
	.address = kafka_address,
};

MODULE_BROKER(kafka_broker_ops);

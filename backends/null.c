/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null broker: confirms every publish at once, and a subscriber gets
 * nothing. It measures what mbus itself costs (reading input, options, the
 * window), without a network and without a peer; and being the smallest backend
 * there can be, it is the one to read first.
 */
#include "core/broker.h"

static int
null_init(struct broker *b, struct error *err)
{
	(void)b;
	(void)err;
	return 0;
}

static void
null_release(struct broker *b)
{
	(void)b;
}

static int
null_connect(struct broker *b, struct error *err)
{
	(void)err;
	broker_connected(b, NULL);
	return 0;
}

static void
null_disconnect(struct broker *b)
{
	(void)b;
}

static int
null_publish(struct broker *b, const struct publication *p, struct error *err)
{
	(void)err;
	broker_outcome(b, p->id, p->size, FATE_CONFIRMED, NULL);
	return 0;
}

static int
null_subscribe(struct subscription *s, struct error *err)
{
	(void)err;
	broker_subscribed(s, NULL);
	broker_ended(s);	/* nothing is there */
	return 0;
}

static void
null_unsubscribe(struct subscription *s)
{
	(void)s;
}

const struct broker_ops null_broker_ops = {
	.name = "null",
	.caps = BROKER_GROUP | BROKER_HEADER | BROKER_KEY | BROKER_NULL_BODY | BROKER_NULL_HEADER |
		BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER | BROKER_BINARY_TOPIC |
		BROKER_NO_NETWORK | BROKER_HEEDLESS,
	.size = sizeof(struct broker),
	.init = null_init,
	.release = null_release,
	.connect = null_connect,
	.disconnect = null_disconnect,
	.publish = null_publish,
	.subscribe = null_subscribe,
	.unsubscribe = null_unsubscribe,
};

MODULE_BROKER(null_broker_ops);

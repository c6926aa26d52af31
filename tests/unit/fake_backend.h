/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker that does nothing but remember, and its user, for the tests of
 * core/broker. It stands in the table where the null broker would: a default build
 * has that as a module, so its place in the binary is free.
 */
#ifndef MBUS_TESTS_UNIT_FAKE_BACKEND_H
#define MBUS_TESTS_UNIT_FAKE_BACKEND_H

#include <stdlib.h>

#include "core/broker.h"
#include "tests/unit/test.h"

static struct {
	unsigned caps;
	int init, release, connect, disconnect, subscribe, unsubscribe, paused;
	bool init_fails, connect_later, connect_fails, publish_fails, subscribe_fails;
	bool at_once;			/* publish confirms from within */
	enum fate fate;
	uint64_t first, last;		/* of the last ack */
	bool ack_ok;
	unsigned acks;
	struct { uint64_t id; size_t size; } flying[64];
	size_t nflying;
} fake;

static int
fake_init(struct broker *b, struct error *err)
{
	(void)b;
	fake.init++;
	return fake.init_fails ? error_set(err, ERR_USAGE, "init says no") : 0;
}

static void
fake_release(struct broker *b)
{
	(void)b;
	fake.release++;
}

static int
fake_connect(struct broker *b, struct error *err)
{
	struct error why;

	fake.connect++;
	if (fake.connect_fails)
		return error_set(err, ERR_CONNECT, "connect says no");
	if (fake.connect_later)
		return 0;
	(void)why;
	broker_connected(b, NULL);
	return 0;
}

static void
fake_disconnect(struct broker *b)
{
	(void)b;
	fake.disconnect++;
}

static int
fake_publish(struct broker *b, const struct publication *p, struct error *err)
{
	static const struct error no = { ERR_REFUSED, "no" };

	if (fake.publish_fails)
		return error_set(err, ERR_REFUSED, "publish says no");
	if (fake.at_once) {
		broker_outcome(b, p->id, p->size, fake.fate,
			fake.fate == FATE_CONFIRMED ? NULL : &no);
		return 0;
	}
	fake.flying[fake.nflying].id = p->id;
	fake.flying[fake.nflying++].size = p->size;
	return 0;
}

static int
fake_subscribe(struct subscription *s, struct error *err)
{
	fake.subscribe++;
	if (fake.subscribe_fails)
		return error_set(err, ERR_AUTH, "subscribe says no");
	broker_subscribed(s, NULL);
	return 0;
}

static void
fake_unsubscribe(struct subscription *s)
{
	(void)s;
	fake.unsubscribe++;
}

static void
fake_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	(void)b;
	fake.acks++;
	fake.first = first;
	fake.last = last;
	fake.ack_ok = ok;
}

static void
fake_pause(struct broker *b, bool on)
{
	(void)b;
	fake.paused = on;
}

static const struct broker_option fake_options[] = {
	{ "speed", "N", "7", "how fast" },
	{ "colour", "NAME", NULL, "which" },
	{ NULL, NULL, NULL, NULL }
};

/* Not const: the tests change what it can do. */
extern struct broker_ops null_broker_ops;
struct broker_ops null_broker_ops = {
	.name = "null",
	.default_address = "nowhere:1",
	.size = sizeof(struct broker) + 100,
	.options = fake_options,
	.init = fake_init,
	.release = fake_release,
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.publish = fake_publish,
	.subscribe = fake_subscribe,
	.unsubscribe = fake_unsubscribe,
	.ack = fake_ack,
	.pause = fake_pause,
};

/* ---- the user's side ---- */

static struct {
	int connected, rooms, failed;
	struct error error;
	uint64_t outcomes[100];
	enum fate fates[100];
	size_t n;
	uint64_t next;			/* published from within room() */
	uint64_t again;			/* published from within outcome() */
} user;

static struct loop *loop;

static struct publication
publication(uint64_t id, const char *body)
{
	return (struct publication){ .id = id, .topic = BYTES("topic"),
		.msg = { .body = bytes_str(body) } };
}

static void
on_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct error err;

	check(arg == &user);
	check(!o->error == (o->fate == FATE_CONFIRMED));
	user.outcomes[user.n] = o->id;
	user.fates[user.n++] = o->fate;
	if (user.again) {
		struct publication p = publication(user.again, "again");

		user.again = 0;
		check_int(broker_publish(b, &p, &err), 0);
	}
}

static void
on_room(struct broker *b, void *arg)
{
	struct error err;

	(void)arg;
	user.rooms++;
	while (user.next) {
		struct publication p = publication(user.next, "12345");

		if (broker_publish(b, &p, &err) != 0)
			break;
		user.next++;
	}
}

static void
on_connected(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	(void)arg;
	user.connected++;
	if (err)
		user.error = *err;
}

static void
on_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	(void)arg;
	user.failed++;
	user.error = *err;
}

static const struct broker_notify notify = { on_outcome, on_room, on_connected, on_failed };

static struct broker *
open_broker(size_t events, size_t bytes, unsigned caps)
{
	struct broker_options opts = { .window_events = events, .window_bytes = bytes,
		.notify = &notify, .notify_arg = &user };
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	memset(&user, 0, sizeof user);
	null_broker_ops.caps = caps;
	loop = loop_new(&err);
	b = broker_new("null", loop, &opts, &err);
	if (b && broker_connect(b, &err) < 0)
		abort();
	return b;
}

static void
close_broker(struct broker *b)
{
	broker_free(b);
	loop_free(loop);
}

#endif

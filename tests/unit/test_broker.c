/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/broker: what holds for every backend: its life, its options, the window of
 * what is under way. test_broker_events.c has the rest.
 */
#include "core/registry.h"
#include "tests/unit/fake_backend.h"

static void
settle(struct broker *b, size_t i, enum fate fate)
{
	static const struct error why = { ERR_UNKNOWN, "why" };

	broker_outcome(b, fake.flying[i].id, fake.flying[i].size, fate,
		fate == FATE_CONFIRMED ? NULL : &why);
}

static int
publish(struct broker *b, uint64_t id, const char *body)
{
	struct publication p = publication(id, body);
	struct error err = ERROR_INIT;

	return broker_publish(b, &p, &err);
}

/* ---- life ---- */

TEST(life)
{
	struct broker *b = open_broker(1, 1, 0);
	struct error err;

	need(b);
	check_int(fake.init, 1);
	check_int(fake.connect, 1);
	check_int(user.connected, 1);
	check_int(broker_connect(b, &err), 0);	/* connected already */
	check_int(fake.connect, 1);
	broker_disconnect(b);
	broker_disconnect(b);
	check_int(fake.disconnect, 1);
	close_broker(b);
	check_int(fake.disconnect, 1);
	check_int(fake.release, 1);
	broker_free(NULL);
}

TEST(init_that_fails)
{
	struct broker_options opts = { 0 };
	struct error err;

	memset(&fake, 0, sizeof fake);
	fake.init_fails = true;
	check(broker_new("null", NULL, &opts, &err) == NULL);
	check_str(err.text, "init says no");
	check_int(fake.release, 1);
	check_int(fake.disconnect, 0);
}

TEST(not_connected_yet)
{
	struct broker_options opts = { .notify = &notify };
	struct subscribe_options sub = { 0 };
	struct publication p = publication(1, "x");
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	memset(&user, 0, sizeof user);
	fake.connect_later = true;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_int(broker_connect(b, &err), 0);
	check_int(broker_publish(b, &p, &err), -1);
	check_int(err.kind, ERR_CONNECT);
	check(broker_subscribe(b, BYTES("t"), &sub, NULL, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_CONNECT);
	broker_connected(b, &(struct error){ ERR_AUTH, "wrong password" });
	check_int(user.connected, 1);
	check_int(user.error.kind, ERR_AUTH);
	check_int(broker_publish(b, &p, &err), -1);
	broker_connected(b, NULL);
	check_int(broker_publish(b, &p, &err), 0);
	broker_failed(b, &(struct error){ ERR_CONNECT, "gone" });
	check_int(user.failed, 1);
	check_str(user.error.text, "gone");
	broker_free(b);
}

TEST(nobody_to_notify)
{
	struct broker_options opts = { 0 };
	struct publication p = publication(1, "x");
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	fake.at_once = true;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_int(broker_connect(b, &err), 0);
	check_int(broker_publish(b, &p, &err), 0);
	broker_failed(b, &err);
	broker_free(b);
}

TEST(options)
{
	static const struct broker_xopt x[] = {
		{ "null.speed", "1" }, { "speed", "2" }, { "mdns.wait", "full" },
	};
	static const struct broker_xopt bad[] = { { "null.size", "1" } }, bad2[] = { { "size", "1" } },
		bad3[] = { { "mdns.wait", "full" } }, bad4[] = { { "http.speed", "1" } };
	static const struct broker_xopt *const all_bad[] = { bad, bad2, bad3, bad4 };
	struct broker_options opts = { .xopts = x, .nxopts = 2 };
	struct error err;
	struct broker *b;

	memset(&fake, 0, sizeof fake);
	null_broker_ops.caps = 0;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_str(broker_xopt(b, "speed"), "2");	/* the last one */
	check(broker_xopt(b, "colour") == NULL);
	broker_free(b);
	opts.nxopts = 0;
	b = broker_new("null", NULL, &opts, &err);
	need(b);
	check_str(broker_xopt(b, "speed"), "7");
	check_str(broker_address(b), "nowhere:1");
	broker_free(b);
	opts.nxopts = 1;
	for (size_t i = 0; i < sizeof all_bad / sizeof *all_bad; i++) {
		opts.xopts = all_bad[i];
		check(broker_new("null", NULL, &opts, &err) == NULL);
		check_int(err.kind, ERR_USAGE);
		check(strstr(err.text, all_bad[i]->name));
	}
	/* With a registry, its options are not the broker's affair. */
	null_broker_ops.caps = BROKER_REGISTRY;
	opts.xopts = x;
	opts.nxopts = 3;
	b = broker_new("null", NULL, &opts, &err);
	check(b);
	broker_free(b);
}

TEST(names)
{
	struct error err;

	check(broker_find("null", &err) == &null_broker_ops);
	check(broker_find("nul", &err) == NULL);
	check_int(err.kind, ERR_USAGE);
	check(strstr(err.text, "did you mean null?"));
	check(broker_find("", &err) == NULL);
	check(broker_find("a name that is like no other and long, too", &err) == NULL);
	check(!strstr(err.text, "did you mean"));
	check(broker_find("mdns", &err) == NULL);	/* a registry */
	check(registry_find("mdns", &err));
	check(registry_find("null", &err) == NULL);
}

/* ---- the window ---- */

TEST(window_of_events)
{
	struct broker *b = open_broker(4, 1000, 0);

	need(b);
	for (uint64_t id = 1; id <= 4; id++)
		check_int(publish(b, id, "x"), 0);
	check_int(publish(b, 5, "x"), PUBLISH_FULL);
	check_int(publish(b, 5, "x"), PUBLISH_FULL);
	check_int(fake.nflying, 4);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 5, "x"), 0);
	/* Never full again: nobody is told. */
	for (size_t i = 1; i < 5; i++)
		settle(b, i, i == 2 ? FATE_UNKNOWN : i == 3 ? FATE_REFUSED : FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(user.n, 5);
	check_int(user.fates[2], FATE_UNKNOWN);
	check_int(user.fates[3], FATE_REFUSED);
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	close_broker(b);
}

TEST(window_of_bytes)
{
	struct broker *b = open_broker(100, 40, 0);
	char large[1000];

	need(b);
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	/* One event always fits, however large. */
	check_int(publish(b, 1, large), 0);
	check_int(publish(b, 2, ""), PUBLISH_FULL);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 2, "0123456789"), 0);	/* 15 with the topic */
	check_int(publish(b, 3, "0123456789"), 0);
	check_int(publish(b, 4, "0123456789"), PUBLISH_FULL);
	check_int(publish(b, 4, "01234"), 0);		/* but a small one does */
	check_int(publish(b, 5, ""), PUBLISH_FULL);
	close_broker(b);
}

/* room() may publish, and so may outcome(); a publisher that fills the window again
 * from within is told again. */
TEST(publishing_from_within)
{
	struct broker *b = open_broker(8, 100000, 0);

	need(b);
	user.next = 1;
	on_room(b, NULL);
	user.rooms = 0;
	check_int(fake.nflying, 8);
	for (size_t i = 0; i < 40; i++)
		settle(b, i, FATE_CONFIRMED);
	check(user.rooms >= 10);
	check(fake.nflying >= 46);
	check(b->flying_events <= 8);
	for (size_t i = 0; i < user.n; i++)
		check_int(user.outcomes[i], i + 1);
	user.next = 0;
	user.again = 99;
	settle(b, 40, FATE_CONFIRMED);
	check_int(fake.flying[fake.nflying - 1].id, 99);
	close_broker(b);
}

TEST(outcome_before_publish_returns)
{
	struct broker *b = open_broker(1, 1, 0);

	need(b);
	fake.at_once = true;
	for (uint64_t id = 1; id <= 50; id++)
		check_int(publish(b, id, "x"), 0);
	check_int(user.n, 50);
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	fake.fate = FATE_REFUSED;
	check_int(publish(b, 51, "x"), 0);
	check_int(user.fates[50], FATE_REFUSED);
	close_broker(b);
}

TEST(refused_at_once)
{
	struct broker *b = open_broker(2, 1000, 0);

	need(b);
	fake.publish_fails = true;
	check_int(publish(b, 1, "x"), -1);
	check_int(publish(b, 2, "x"), -1);
	check_int(publish(b, 3, "x"), -1);
	check_int(user.n, 0);		/* no outcome follows */
	check_int(b->flying_events, 0);
	check_int(b->flying_bytes, 0);
	close_broker(b);
}

TEST(window_of_nothing_is_one)
{
	struct broker *b = open_broker(0, 0, 0);

	need(b);
	check_int(publish(b, 1, "x"), 0);
	check_int(publish(b, 2, "x"), PUBLISH_FULL);
	settle(b, 0, FATE_CONFIRMED);
	check_int(user.rooms, 1);
	check_int(publish(b, 2, "x"), 0);
	close_broker(b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* core/broker: what of an event a backend can carry, and subscriptions. */
#include "tests/unit/fake_backend.h"

/* ---- what a broker cannot carry ---- */

TEST(what_cannot_be_carried)
{
	static const struct header plain[] = { { BYTES("a"), BYTES("1") }, { BYTES("b"), BYTES("2") } },
		none[] = { { BYTES("a"), { NULL, 0 } } },
		twice[] = { { BYTES("a"), BYTES("1") }, { BYTES("b"), BYTES("2") },
			{ BYTES("a"), BYTES("3") } },
		binary[] = { { BYTES("a"), BYTES("\xff") } },
		binary_name[] = { { BYTES("\xc3"), BYTES("1") } },
		cases_differ[] = { { BYTES("a"), BYTES("1") }, { BYTES("A"), BYTES("2") } };
#define none_of { .ttl_ms = -1 }
	static const struct {
		const char *field;
		unsigned cap;
		struct bytes topic;
		struct message msg;
		struct publish_options opts;
	} cases[] = {
		{ NULL, 0, BYTES("t"), { .body = BYTES("x") } },
		{ NULL, 0, BYTES("t"), { .body = BYTES("\xff\0"), .headers = plain, .nheaders = 2 } },
		{ NULL, 0, BYTES("t"), { .body = BYTES(""), .headers = cases_differ, .nheaders = 2 } },
		{ "topic", BROKER_BINARY_TOPIC, BYTES("\xff"), { .body = BYTES("x") } },
		{ "key", BROKER_KEY, BYTES("t"), { .key = BYTES(""), .body = BYTES("x") } },
		{ "null", BROKER_NULL_BODY, BYTES("t"), { .body = { NULL, 0 } } },
		{ "null", BROKER_NULL_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = none, .nheaders = 1 } },
		{ "repeat", BROKER_REPEAT_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = twice, .nheaders = 3 } },
		{ "binary", BROKER_BINARY_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = binary, .nheaders = 1 } },
		{ "binary", BROKER_BINARY_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = binary_name, .nheaders = 1 } },
		{ "header", BROKER_HEADER, BYTES("t"),
			{ .body = BYTES(""), .headers = plain, .nheaders = 1 } },
		{ "qos", BROKER_QOS, BYTES("t"), { .body = BYTES("") }, { 1, false, -1, none_of } },
		{ "retain", BROKER_RETAIN, BYTES("t"), { .body = BYTES("") },
			{ -1, true, -1, none_of } },
		{ "partition", BROKER_PARTITION, BYTES("t"), { .body = BYTES("") },
			{ -1, false, 0, none_of } },
		{ "property", BROKER_PROPS | BROKER_REPLY, BYTES("t"), { .body = BYTES("") },
			{ -1, false, -1, { .reply_to = BYTES("r"), .ttl_ms = -1 } } },
		{ "property", BROKER_PROPS, BYTES("t"), { .body = BYTES("") },
			{ -1, false, -1, { .ttl_ms = 0 } } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		/* Able to do all but that; what every broker carries, with headers alone. */
		unsigned able = cases[i].field ? ~(cases[i].cap | BROKER_HEEDLESS) :
			BROKER_HEADER;
		struct broker *b = open_broker(10, 1000, able);
		/* A case without options is all zero: it has the defaults. */
		bool own = cases[i].opts.qos || cases[i].opts.props.ttl_ms;
		struct publication p = { 1, cases[i].topic, cases[i].msg,
			own ? &cases[i].opts : NULL };
		const char *field = broker_cannot_carry(able, &p);
		struct error err = ERROR_INIT;

		need(b);
		check(!field == !cases[i].field);
		if (field)
			check_str(field, cases[i].field);
		check_int(broker_publish(b, &p, &err), field ? -1 : 0);
		check_int(err.kind, field ? ERR_REFUSED : ERR_NONE);
		check_int(fake.nflying, !field);
		check(broker_cannot_carry(able | cases[i].cap, &p) == NULL);
		close_broker(b);
	}
}

/* ---- subscribing ---- */

static struct {
	uint64_t numbers[10];
	int n, live;
	enum handled answer;
} heard;

static enum handled
on_event(struct subscription *s, const struct event *ev, void *arg)
{
	check(arg == &heard);
	check_bytes(ev->topic, s->topic);
	heard.numbers[heard.n++] = ev->number;
	return heard.answer;
}

static void
on_subscribed(struct subscription *s, const struct error *err, void *arg)
{
	(void)s;
	(void)arg;
	heard.live += !err;
}

TEST(subscribing)
{
	struct subscribe_options opts = subscribe_defaults;
	struct broker *b = open_broker(1, 1, BROKER_ACK | BROKER_GROUP);
	char name[] = "topic-1";
	struct subscription *one, *two;
	struct event ev = event_none;
	struct error err;

	need(b);
	memset(&heard, 0, sizeof heard);
	one = broker_subscribe(b, bytes_str(name), &opts, on_event, on_subscribed, &heard, &err);
	memset(name, 'x', 5);		/* the topic was copied */
	two = broker_subscribe(b, BYTES("topic-2"), &opts, on_event, on_subscribed, &heard, &err);
	need(one && two);
	check_int(heard.live, 2);
	check_bytes(one->topic, BYTES("topic-1"));
	/* Numbers are the broker's, over all subscriptions. */
	for (int i = 0; i < 5; i++) {
		struct subscription *s = i % 2 ? two : one;

		ev.topic = s->topic;
		heard.answer = i == 4 ? EVENT_DROPPED : EVENT_TAKEN;
		check_int(broker_deliver(s, &ev), heard.answer);
		check_int(heard.numbers[i], i + 1);
	}
	broker_ack(b, 1, 4, true);
	check(fake.first == 1 && fake.last == 4 && fake.ack_ok);
	broker_ack(b, 5, 5, false);
	check(fake.first == 5 && fake.last == 5 && !fake.ack_ok);
	broker_pause(b, true);
	check_int(fake.paused, 1);
	broker_pause(b, false);
	check_int(fake.paused, 0);
	broker_unsubscribe(one);
	check_int(fake.unsubscribe, 1);
	check(b->subs == two && two->next == NULL);
	broker_disconnect(b);		/* unsubscribes what is left, first */
	check_int(fake.unsubscribe, 2);
	check(b->subs == NULL);
	broker_ack(b, 1, 1, true);	/* leads nowhere any more */
	check_int(fake.acks, 2);
	close_broker(b);
}

static void
ended(struct subscription *s, void *arg)
{
	(void)s;
	(void)arg;
}

TEST(what_a_subscription_asks_for_and_the_broker_has_not)
{
	static const struct {
		unsigned cap;
		struct subscribe_options opts;
		const char *words;
	} cases[] = {
		{ BROKER_GROUP, { .group = "g" }, "has no groups" },
		{ BROKER_ACK, { .ack = SUBSCRIBE_ACK_AFTER_WRITE }, "--ack after-write" },
		{ BROKER_ACK_CHOICE, { .ack = SUBSCRIBE_ACK_NONE }, "choice of --ack" },
		{ BROKER_OFFSET, { .from = { POSITION_END, 0, NULL } }, "keeps no events" },
		{ BROKER_OFFSET, { .until = { POSITION_TIME, 1, NULL } }, "keeps no events" },
		{ BROKER_END, { .ended = ended }, "keeps no events" },
		{ BROKER_PARTITION, { .partition = 1 }, "has no partitions" },
		{ BROKER_QOS, { .qos = 1 }, "has no QoS" },
		{ BROKER_RETAIN, { .no_retained = true }, "retains no events" },
		{ BROKER_REGEX, { .regex = true }, "lists no topics" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct broker *b = open_broker(1, 1, 0);
		struct subscribe_options opts = cases[i].opts;
		struct error err;

		need(b);
		opts.partition = opts.partition ? opts.partition : -1;
		opts.qos = opts.qos ? opts.qos : -1;
		check(!broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err));
		check_int(err.kind, ERR_NOTFOUND);
		check(strstr(err.text, cases[i].words) != NULL);
		b->caps |= cases[i].cap;
		check(broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err));
		close_broker(b);
	}
}

TEST(subscribing_refused)
{
	struct subscribe_options opts = subscribe_defaults;
	struct broker *b = open_broker(1, 1, 0);
	struct error err;

	need(b);
	opts.group = "g";
	check(broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_NOTFOUND);
	opts.group = NULL;
	check(broker_subscribe(b, BYTES("\xff"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_USAGE);
	check_int(fake.subscribe, 0);
	fake.subscribe_fails = true;
	check(broker_subscribe(b, BYTES("t"), &opts, on_event, NULL, NULL, &err) == NULL);
	check_int(err.kind, ERR_AUTH);
	check(b->subs == NULL);
	check_int(broker_audience(b, BYTES("t"), 1, NULL, NULL, &err), -1);
	check_int(err.kind, ERR_NOTFOUND);
	close_broker(b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and boundaries of what events are in MQTT: backends/mqtt/mqtt_map, mqtt_reason. */
#include <stdlib.h>

#include "backends/mqtt/mqtt_map.h"
#include "tests/unit/test.h"

TEST(filters_for_which_something_can_come)
{
	static const struct { const char *filter, *group, *bare; } rows[] = {
		{ "$share/g/x", NULL, "x" }, { "$share/g/a/+", NULL, "a/+" },
		{ "$share/g/#", NULL, "#" }, { "$share/g//", NULL, "/" },
		{ "$share", NULL, "$share" }, { "$shared/x", NULL, "$shared/x" },
		{ "share/g/x", "g", "share/g/x" }, { "$SYS/#", "g", "$SYS/#" },
		{ "$share/", NULL, NULL }, { "$share//x", NULL, NULL }, { "$share/g", NULL, NULL },
		{ "$share/g/", NULL, NULL }, { "$share/+/x", NULL, NULL },
		{ "$share/g+/x", NULL, NULL }, { "$share/#/x", NULL, NULL },
		{ "$share/g/x", "g", NULL }, { "x", "g+", NULL }, { "x", "#", NULL },
		{ "x", "g/h", NULL }, { "x", "", NULL }, { "x", "\x01", NULL }, { "x", "\xff", NULL },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes filter = bytes_str(rows[i].filter);
		struct error err;
		int r = mqtt_check_filter(filter, rows[i].group, &err);

		if ((r == 0) != (rows[i].bare != NULL))
			test_failed(__FILE__, __LINE__, "%s, group %s: %d", rows[i].filter,
				rows[i].group ? rows[i].group : "none", r);
		if (rows[i].bare)
			check_bytes(mqtt_bare_filter(filter), bytes_str(rows[i].bare));
		else
			check_int(err.kind, ERR_USAGE);
	}
}

TEST(lengths_that_just_fit)
{
	struct publish_options o = publish_defaults;
	struct publication p = { .topic = BYTES("t"), .opts = &o };
	char *x = malloc(MQTT_TEXT_MAX + 1);
	struct header h = { BYTES("k"), bytes_of(x, MQTT_TEXT_MAX) };
	struct error err;

	memset(x, 'x', MQTT_TEXT_MAX + 1);
	check_int(mqtt_check_topic(bytes_of(x, MQTT_TEXT_MAX), &err), 0);
	check_int(mqtt_check_topic(bytes_of(x, MQTT_TEXT_MAX + 1), &err), -1);
	check_int(mqtt_check_filter(bytes_of(x, MQTT_TEXT_MAX), NULL, &err), 0);
	/* "$share/g/" is nine. */
	check_int(mqtt_check_filter(bytes_of(x, MQTT_TEXT_MAX - 9), "g", &err), 0);
	check_int(mqtt_check_filter(bytes_of(x, MQTT_TEXT_MAX - 8), "g", &err), -1);
	o.props.correlation = bytes_of(x, MQTT_TEXT_MAX);
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), 0);
	o.props.correlation.n++;
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), -1);
	o.props.correlation.n = 0;
	o.props.content_type = bytes_of(x, MQTT_TEXT_MAX + 1);
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), -1);
	o.props.content_type.n--;
	p.msg.headers = &h;
	p.msg.nheaders = 1;
	check_int(mqtt_map_check(&p, WIRE_RAW, &err), 0);
	h.value.n++;
	check_int(mqtt_map_check(&p, WIRE_RAW, &err), -1);
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), 0);
	free(x);
}

static void
take_number(void *arg, enum mqtt_prop_id id, uint32_t n)
{
	check_int(id, MQTT_PROP_EXPIRY);
	*(uint32_t *)arg = n;
}

TEST(each_property_alone)
{
	static const struct mqtt_map_sink sink = { .number = take_number };
	static const struct { int64_t ms; uint32_t seconds; } rows[] = {
		{ 0, 0 }, { 1, 1 }, { 999, 1 }, { 1000, 1 }, { 1001, 2 },
		{ INT64_C(4294967295000), UINT32_MAX }, { INT64_C(4294967295001), UINT32_MAX },
		{ INT64_MAX, UINT32_MAX },
	};
	struct publish_options o = publish_defaults;
	struct publication p = { .topic = BYTES("t"), .opts = &o };
	struct header h = { BYTES("k"), BYTES("v") };
	uint32_t n = 77;

	check(!mqtt_map_has_props(&p, WIRE_RAW));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		o.props = (struct properties){ .ttl_ms = rows[i].ms };
		check(mqtt_map_has_props(&p, WIRE_MICRO));
		mqtt_map_props(&p, WIRE_MICRO, &sink, &n);
		check_int(n, rows[i].seconds);
	}
	o.props = properties_none;
	o.props.content_type = BYTES("");
	check(mqtt_map_has_props(&p, WIRE_MICRO));
	o.props = properties_none;
	o.props.reply_to = BYTES("r");
	check(mqtt_map_has_props(&p, WIRE_MICRO));
	o.props = properties_none;
	o.props.correlation = BYTES("");
	check(mqtt_map_has_props(&p, WIRE_MICRO));
	o.props = properties_none;
	p.msg = (struct message){ &h, 1, { NULL, 0 }, BYTES("") };
	check(mqtt_map_has_props(&p, WIRE_RAW));
	check(!mqtt_map_has_props(&p, WIRE_MICRO));
	p.opts = NULL;
	p.msg.nheaders = 0;
	check(!mqtt_map_has_props(&p, WIRE_RAW));
}

TEST(nothing_clears_a_retained_event_but_nothing)
{
	static const struct header h = { BYTES("k"), BYTES("v") };
	struct { bool retain; const struct header *h; struct bytes body; bool empty; } rows[] = {
		{ true, NULL, BYTES(""), true }, { true, NULL, { NULL, 0 }, true },
		{ true, &h, BYTES(""), false }, { true, NULL, BYTES("x"), false },
		{ false, NULL, BYTES(""), false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct publish_options o = publish_defaults;
		struct publication p = { .topic = BYTES("t"), .opts = &o,
			.msg = { rows[i].h, rows[i].h != NULL, { NULL, 0 }, rows[i].body } };
		struct buf b = BUF_INIT;

		o.retain = rows[i].retain;
		mqtt_map_payload(&b, &p, WIRE_MICRO);
		check_int(buf_len(&b) == 0, rows[i].empty);
		if (rows[i].empty)
			check_int(mqtt_map_guess(&p, WIRE_MICRO), 0);
		buf_release(&b);
	}
}

/* A table that its users may rely on: three kinds of ends. */
TEST(what_a_reason_means)
{
	static const unsigned char next[] = { 0x88, 0x89, 0x8b, 0x96, 0x97, 0x9c, 0x9d, 0x9f };
	static const unsigned char passing[] = { 0x00, 0x8d, 0x98, 0xa0 };
	static const unsigned char final[] = { 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e, 0x9a, 0x9b,
		0x9e, 0xa1, 0xa2 };
	static const unsigned char neither[] = { 0x80, 0x81, 0x82, 0x83, 0x8f, 0x90, 0x93, 0x94, 0x95,
		0x99, 0xee };

	for (size_t i = 0; i < sizeof passing; i++) {
		check_int(mqtt_reason_again(passing[i]), MQTT_PASSES);
		check_int(mqtt_reason_kind(passing[i], MQTT_AT_END), ERR_CONNECT);
	}
	for (size_t i = 0; i < sizeof next; i++) {
		check_int(mqtt_reason_again(next[i]), MQTT_NEXT);
		check_int(mqtt_reason_kind(next[i], MQTT_AT_END), ERR_CONNECT);
	}
	for (size_t i = 0; i < sizeof neither; i++) {
		check_int(mqtt_reason_again(neither[i]), MQTT_FAULT);
		check_int(mqtt_reason_kind(neither[i], MQTT_AT_END), ERR_CONNECT);
		check_int(mqtt_reason_kind(neither[i], MQTT_AT_PUBLISH), ERR_REFUSED);
	}
	for (size_t i = 0; i < sizeof final; i++)
		check(mqtt_reason_kind(final[i], MQTT_AT_END) != ERR_CONNECT);
}

TEST(advice_for_who_is_not_let_in)
{
	struct broker_options o = { 0 };
	struct error err;

	error_set(&err, ERR_AUTH, "no");
	mqtt_reason_advise(&err, &o);
	check_str(err.text, "no: it wants a user (--username, --password-file)");
	o.username = "me";
	error_set(&err, ERR_AUTH, "no");
	mqtt_reason_advise(&err, &o);
	check_str(err.text, "no: wrong user name or password?");
	error_set(&err, ERR_CONNECT, "no");
	mqtt_reason_advise(&err, &o);
	check_str(err.text, "no");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of MQTT, from literal packets: every type in both versions is read,
 * written again to the same bytes, and cut at every byte; what is malformed is
 * refused for the right reason. Then what events become (mqtt_map) and the words of
 * reason codes.
 */
#include <ctype.h>
#include <stdlib.h>

#include "backends/mqtt/mqtt_map.h"
#include "tests/unit/test.h"

/* "10 0c 'MQTT'": hex digits, and text between apostrophes. */
static size_t
spell(const char *spec, char *out)
{
	size_t n = 0;

	while (*spec) {
		if (*spec == '\'') {
			for (spec++; *spec != '\''; spec++)
				out[n++] = *spec;
			spec++;
		} else if (isspace((unsigned char)*spec)) {
			spec++;
		} else {
			char two[3] = { spec[0], spec[1], 0 };

			out[n++] = (char)strtoul(two, NULL, 16);
			spec += 2;
		}
	}
	return n;
}

static const struct literal {
	enum mqtt_version v;
	enum mqtt_type type;
	const char *bytes;
} literals[] = {
	/* As go-micro's plugin writes them (its client id is a time and a digit). */
	{ 4, MQTT_CONNECT, "10 20 0004'MQTT' 04 00 001e 0014'17952810000000000007'" },
	{ 4, MQTT_CONNACK, "20 02 00 00" },
	{ 4, MQTT_SUBSCRIBE, "82 08 0001 0003't.a' 01" },
	{ 4, MQTT_SUBACK, "90 03 0001 01" },
	{ 4, MQTT_PUBLISH, "32 29 0003't.a' 0001 '{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}'" },
	{ 4, MQTT_PUBACK, "40 02 0001" },
	/* The others of 3.1.1. */
	{ 4, MQTT_CONNECT, "10 27 0004'MQTT' 04 ee 003c 0002'me' 0003'w/t' 0004'gone' 0004'user' "
		"0006'secret' " },
	{ 4, MQTT_CONNACK, "20 02 01 00" },
	{ 4, MQTT_CONNACK, "20 02 00 05" },
	{ 4, MQTT_PUBLISH, "30 05 0003'a/b'" },
	{ 4, MQTT_PUBLISH, "3d 09 0003'a/b' ffff 0001" },
	{ 4, MQTT_PUBREC, "50 02 1234" },
	{ 4, MQTT_PUBREL, "62 02 1234" },
	{ 4, MQTT_PUBCOMP, "70 02 1234" },
	{ 4, MQTT_SUBSCRIBE, "82 0e 000a 0003'a/#' 02 0003'+/b' 00" },
	{ 4, MQTT_SUBACK, "90 05 000a 02 80 00" },
	{ 4, MQTT_UNSUBSCRIBE, "a2 0c 000b 0003'a/#' 0003'+/b'" },
	{ 4, MQTT_UNSUBACK, "b0 02 000b" },
	{ 4, MQTT_PINGREQ, "c0 00" },
	{ 4, MQTT_PINGRESP, "d0 00" },
	{ 4, MQTT_DISCONNECT, "e0 00" },
	/* Version 5, without and with properties. */
	{ 5, MQTT_CONNECT, "10 0f 0004'MQTT' 05 02 001e 00 0002'me'" },
	{ 5, MQTT_CONNECT, "10 4d 0004'MQTT' 05 ce 0000 14 11 0000003c 21 0014 27 00010000 22 000a "
		"17 00 19 01 0002'me' 10 18 00000005 01 01 02 00000009 03 0001'x' 0003'w/t' "
		"0004'gone' 0004'user' 0006'secret' " },
	{ 5, MQTT_CONNACK, "20 03 00 00 00" },
	{ 5, MQTT_CONNACK, "20 2d 01 00 2a 11 ffffffff 21 0014 24 01 25 00 27 0000ffff 12 0002'id' "
		"22 000a 28 01 29 00 2a 00 13 003c 1a 0001'r' 1c 0001's' " },
	{ 5, MQTT_CONNACK, "20 0b 00 87 08 1f 0005'never'" },
	{ 5, MQTT_PUBLISH, "30 06 0003'a/b' 00" },
	{ 5, MQTT_PUBLISH, "34 2d 0003'a/b' 0007 21 01 01 02 0000003c 03 0001't' 08 0001'r' "
		"09 0002 00ff 26 0001'k' 0001'v' 0b 81 01 23 0001 'body' " },
	{ 5, MQTT_PUBLISH, "30 06 0000 03 23 0001" },
	{ 5, MQTT_PUBLISH, "30 0b 0003'a/b' 05 0b 01 0b ff 7f" },
	{ 5, MQTT_PUBACK, "40 02 0001" },
	{ 5, MQTT_PUBACK, "40 03 0001 10" },
	{ 5, MQTT_PUBACK, "40 0a 0001 87 06 1f 0003'why'" },
	{ 5, MQTT_PUBREC, "50 03 1234 97" },
	{ 5, MQTT_PUBREL, "62 03 1234 92" },
	{ 5, MQTT_PUBCOMP, "70 02 1234" },
	{ 5, MQTT_SUBSCRIBE, "82 0b 0001 02 0b 01 0003't.a' 2d" },
	{ 5, MQTT_SUBSCRIBE, "82 0a 0001 00 0004'$sys' 01" },
	{ 5, MQTT_SUBACK, "90 05 0001 00 02 9e" },
	{ 5, MQTT_UNSUBSCRIBE, "a2 08 0001 00 0003't.a'" },
	{ 5, MQTT_UNSUBACK, "b0 05 0001 00 00 11" },
	{ 5, MQTT_PINGREQ, "c0 00" },
	{ 5, MQTT_PINGRESP, "d0 00" },
	{ 5, MQTT_DISCONNECT, "e0 00" },
	{ 5, MQTT_DISCONNECT, "e0 01 8e" },
	{ 5, MQTT_DISCONNECT, "e0 0a 04 08 11 00000000 1f 0000" },
	{ 5, MQTT_AUTH, "f0 06 18 04 15 0001'm'" },
};

enum { NLITERALS = sizeof literals / sizeof *literals };

TEST(literals_are_read_and_written_again)
{
	for (size_t i = 0; i < NLITERALS; i++) {
		const struct literal *l = &literals[i];
		char bytes[512];
		size_t n = spell(l->bytes, bytes);
		struct mqtt_frame f;
		struct mqtt_packet pk;
		struct mqtt_connect connect;
		struct buf b = BUF_INIT;
		const char *why = "";

		if (mqtt_frame(&f, bytes, n, n, &why) != 1 || f.size != n || f.type != l->type) {
			test_failed(__FILE__, __LINE__, "%s: no frame: %s", l->bytes, why);
			continue;
		}
		if (mqtt_parse(&pk, &connect, &f, l->v, &why) < 0) {
			test_failed(__FILE__, __LINE__, "%s: %s", l->bytes, why);
			continue;
		}
		mqtt_write(&b, &pk, l->v);
		test_eq_bytes(__FILE__, __LINE__, l->bytes, buf_bytes(&b), bytes_of(bytes, n));
		buf_release(&b);
	}
}

/* A packet that is not all there is waited for, whatever it is; one that says it is
 * shorter than it is, is malformed or another whole packet, and nothing behind its
 * end is read (the copy ends there, for the sanitizer). */
TEST(literals_cut_at_every_byte)
{
	for (size_t i = 0; i < NLITERALS; i++) {
		char bytes[512];
		size_t n = spell(literals[i].bytes, bytes);

		for (size_t cut = 0; cut < n; cut++) {
			char *some = malloc(cut ? cut : 1);
			struct mqtt_frame f;
			struct mqtt_packet pk;
			struct mqtt_connect connect;
			const char *why;

			memcpy(some, bytes, cut);
			check_int(mqtt_frame(&f, some, cut, 512, &why), 0);
			if (cut >= 2) {
				some[1] = (char)(cut - 2);
				need(mqtt_frame(&f, some, cut, 512, &why) == 1);
				check_int(f.size, cut);
				mqtt_parse(&pk, &connect, &f, literals[i].v, &why);
			}
			free(some);
		}
	}
}

TEST(malformed)
{
	static const struct {
		enum mqtt_version v;
		const char *bytes, *why;
	} bad[] = {
		{ 4, "00 00", "type 0" },
		{ 4, "30 80 00", "in more bytes" },
		{ 4, "30 ff ff ff ff 01", "four bytes" },
		{ 4, "20 02 02 00", "reserved" },
		{ 4, "21 02 00 00", "reserved" },
		{ 4, "20 03 00 00 00", "more bytes" },
		{ 4, "20 01 00", "too early" },
		{ 4, "36 05 0001't' 0001", "QoS" },
		{ 4, "38 03 0001't'", "QoS" },
		{ 4, "32 05 0001't' 0000", "packet id 0" },
		{ 4, "30 02 0000", "no topic" },
		{ 4, "30 05 0003'a/#'", "wildcards" },
		{ 4, "30 05 0003'a+b'", "wildcards" },
		{ 4, "30 04 0002 c328", "UTF-8" },
		{ 4, "30 05 0003'a' 00 'b'", "NUL" },
		{ 4, "30 05 0003 eda080", "UTF-8" },
		{ 4, "30 04 0003'ab'", "too early" },
		{ 4, "60 02 0001", "reserved" },
		{ 4, "40 02 0000", "packet id 0" },
		{ 4, "40 03 0001 00", "more bytes" },
		{ 4, "80 08 0001 0003't.a' 01", "reserved" },
		{ 4, "82 02 0001", "no filter" },
		{ 4, "82 05 0001 0000 01", "empty filter" },
		{ 4, "82 08 0001 0003't.a' 03", "options" },
		{ 4, "82 08 0001 0003't.a' 04", "options" },
		{ 4, "90 02 0001", "no answer" },
		{ 4, "90 03 0001 03", "answer that does not exist" },
		{ 4, "b0 03 0001 00", "more bytes" },
		{ 4, "c0 01 00", "more bytes" },
		{ 4, "e0 01 00", "more bytes" },
		{ 4, "f0 00", "version 5" },
		{ 4, "10 0e 0004'MQTX' 04 02 001e 0002'me'", "neither" },
		{ 4, "10 0e 0004'MQTT' 03 02 001e 0002'me'", "neither" },
		{ 4, "10 0e 0004'MQTT' 04 03 001e 0002'me'", "contradict" },
		{ 4, "10 0e 0004'MQTT' 04 08 001e 0002'me'", "contradict" },
		{ 4, "10 14 0004'MQTT' 04 42 001e 0002'me' 0004'pass'", "contradict" },
		{ 5, "30 03 0001't'", "too early" },
		{ 5, "30 05 0000 01 01 00", "too early" },
		{ 5, "30 06 0001't' 02 01 02", "0 or 1" },
		{ 5, "30 0e 0001't' 0a 02 00000001 02 00000001", "twice" },
		{ 5, "30 07 0001't' 03 23 0000", "must not be 0" },
		{ 5, "30 06 0001't' 02 0b 00", "must not be 0" },
		{ 5, "30 07 0001't' 03 0b 81 00", "in more bytes" },
		{ 5, "30 07 0001't' 03 21 0001", "cannot have" },
		{ 5, "30 05 0001't' 01 7e", "does not exist" },
		{ 5, "30 05 0001't' 01 04", "does not exist" },
		{ 5, "30 08 0001't' 04 03 0001 ff", "UTF-8" },
		{ 5, "30 04 0001't' 05", "too early" },
		{ 5, "40 04 0001 00 01", "too early" },
		{ 5, "82 07 0001 00 0001't' c1", "options" },
		{ 5, "82 07 0001 00 0001't' 31", "options" },
		{ 5, "82 0b 0001 04 0b 01 0b 02 0001't' 01", "twice" },
		{ 5, "b0 03 0001 00", "no answer" },
		{ 5, "e0 03 00 01 00", "does not exist" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char bytes[512];
		size_t n = spell(bad[i].bytes, bytes);
		struct mqtt_frame f;
		struct mqtt_packet pk;
		struct mqtt_connect connect;
		const char *why = "nothing";
		int r = mqtt_frame(&f, bytes, n, 1024, &why);

		if (r == 1)
			r = mqtt_parse(&pk, &connect, &f, bad[i].v, &why);
		if (r >= 0 || !strstr(why, bad[i].why))
			test_failed(__FILE__, __LINE__, "%s: %d, %s", bad[i].bytes, r,
				r < 0 ? why : "well");
	}
}

TEST(frame_larger_than_allowed)
{
	char p[] = "\x30\x80\x80\x01";
	struct mqtt_frame f;
	const char *why;

	check_int(mqtt_frame(&f, p, 4, 16388, &why), 0);
	check_int(mqtt_frame(&f, p, 4, 16387, &why), -1);
	check_int(mqtt_frame(&f, p, 3, 10, &why), 0);
}

TEST(connect_in_full)
{
	char bytes[512];
	size_t n = spell(literals[22].bytes, bytes);
	struct mqtt_frame f;
	struct mqtt_packet pk;
	struct mqtt_connect k;
	struct mqtt_prop prop;
	const char *why;

	need(mqtt_frame(&f, bytes, n, n, &why) == 1);
	need(mqtt_parse(&pk, &k, &f, MQTT_V311, &why) == 0);
	check_int(k.version, 5);
	check(k.clean);
	check_int(k.keepalive, 0);
	check_bytes(k.client_id, BYTES("me"));
	check_bytes(k.username, BYTES("user"));
	check_bytes(k.password, BYTES("secret"));
	check_bytes(k.will_topic, BYTES("w/t"));
	check_bytes(k.will_payload, BYTES("gone"));
	check_int(k.will_qos, 1);
	check(!k.will_retain);
	need(mqtt_prop_find(pk.props, MQTT_PROP_MAXIMUM_PACKET, &prop));
	check_int(prop.number, 65536);
	need(mqtt_prop_find(k.will_props, MQTT_PROP_WILL_DELAY, &prop));
	check_int(prop.number, 5);
	check(!mqtt_prop_find(k.will_props, MQTT_PROP_USER, &prop));
}

TEST(lists)
{
	struct buf b = BUF_INIT;
	struct bytes rest, filter;
	unsigned char options;

	mqtt_add_filter(&b, BYTES("a/#"), 2);
	mqtt_add_filter(&b, BYTES("b"), 0);
	rest = buf_bytes(&b);
	need(mqtt_filter_next(&rest, &filter, &options));
	check_bytes(filter, BYTES("a/#"));
	check_int(options, 2);
	need(mqtt_filter_next(&rest, &filter, &options));
	check_bytes(filter, BYTES("b"));
	check(!mqtt_filter_next(&rest, &filter, &options));
	buf_release(&b);
}

TEST(lengths_at_their_edges)
{
	static const size_t sizes[] = { 0, 118, 119, 120, 16374, 16375, 16376, 2097142, 2097143,
		2097144 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct mqtt_packet pk = { .type = MQTT_PUBLISH, .topic = BYTES("abcdefg") };
		char *body = calloc(1, sizes[i] + 1);
		struct buf b = BUF_INIT;
		struct mqtt_frame f;
		const char *why;

		pk.payload = bytes_of(body, sizes[i]);
		mqtt_write(&b, &pk, MQTT_V311);
		check_int(mqtt_frame(&f, buf_data(&b), buf_len(&b), 1 << 22, &why), 1);
		check_int(f.size, buf_len(&b));
		check_int(mqtt_parse(&pk, NULL, &f, MQTT_V311, &why), 0);
		check_int(pk.payload.n, sizes[i]);
		buf_release(&b);
		free(body);
	}
}

/* The length is put right whatever was guessed, also where it takes more bytes, or
 * fewer, and with something in front. */
TEST(guessed_lengths)
{
	static const size_t sizes[] = { 0, 1, 100, 119, 120, 200, 16375, 16376, 20000, 2097143, 2097150 };
	enum { N = sizeof sizes / sizeof *sizes };

	for (size_t i = 0; i < N * N; i++) {
		size_t guess = sizes[i / N], n = sizes[i % N], at;
		struct mqtt_packet pk = { .type = MQTT_PUBLISH, .topic = BYTES("abcdefg") };
		struct buf b = BUF_INIT;
		struct mqtt_frame f;
		const char *why;

		buf_add_str(&b, "front");
		at = buf_len(&b);
		mqtt_write_publish(&b, &pk, MQTT_V311, guess);
		for (size_t j = 0; j < n; j++)
			buf_add_ch(&b, 'x');
		need(mqtt_fix_publish(&b, at, guess, n));
		need(mqtt_frame(&f, buf_data(&b) + at, buf_len(&b) - at, 1 << 22, &why) == 1);
		check_int(f.size, buf_len(&b) - at);
		need(mqtt_parse(&pk, NULL, &f, MQTT_V311, &why) == 0);
		check_int(pk.payload.n, n);
		check_bytes(pk.topic, BYTES("abcdefg"));
		check(!n || (pk.payload.p[0] == 'x' && pk.payload.p[n - 1] == 'x'));
		check_bytes(bytes_of(buf_data(&b), at), BYTES("front"));
		buf_release(&b);
	}
}

TEST(matching)
{
	static const struct { const char *filter, *topic; bool yes; } rows[] = {
		{ "a", "a", 1 }, { "a", "b", 0 }, { "a", "aa", 0 }, { "aa", "a", 0 },
		{ "a/b", "a/b", 1 }, { "a/b", "a", 0 }, { "a", "a/b", 0 }, { "a/", "a", 0 },
		{ "a", "a/", 0 }, { "a/", "a/", 1 }, { "/a", "a", 0 }, { "/a", "/a", 1 },
		{ "#", "a", 1 }, { "#", "a/b/c", 1 }, { "#", "/", 1 }, { "#", "$SYS/x", 0 },
		{ "+/x", "$SYS/x", 0 }, { "$SYS/#", "$SYS/x", 1 }, { "$SYS/+", "$SYS/x", 1 },
		{ "a/#", "a", 1 }, { "a/#", "a/", 1 }, { "a/#", "a/b/c", 1 }, { "a/#", "ab", 0 },
		{ "a/#", "b", 0 }, { "+", "a", 1 }, { "+", "a/b", 0 }, { "+", "/", 0 },
		{ "+/+", "/", 1 }, { "+/+", "/a", 1 }, { "/+", "/a", 1 }, { "/+", "a", 0 },
		{ "a/+", "a/", 1 }, { "a/+", "a", 0 }, { "a/+/c", "a/b/c", 1 },
		{ "a/+/c", "a/b/d", 0 }, { "a/+/c", "a//c", 1 }, { "a/+/c", "a/b/c/d", 0 },
		{ "+/b/#", "a/b", 1 }, { "+/#", "a", 1 }, { "a/b/#", "a", 0 }, { "a+", "a+", 1 },
		{ "go.micro.srv", "go.micro.srv", 1 }, { "go.+", "go.x", 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (mqtt_topic_matches(bytes_str(rows[i].filter), bytes_str(rows[i].topic)) !=
		    rows[i].yes)
			test_failed(__FILE__, __LINE__, "%s on %s", rows[i].filter, rows[i].topic);
}

/* ---- events ---- */

TEST(topics_and_filters)
{
	static const char *const unwelcome[] = { "a\tb", "\x01", "a\x7f", "a\xc2\x80z",
		"\xc2\x9f", "\xef\xb7\x90", "\xef\xb7\xaf", "\xef\xbf\xbe", "a\xef\xbf\xbf",
		"\xf0\x9f\xbf\xbe", "\xf4\x8f\xbf\xbf" };
	static const char *const welcome[] = { " ", "~", "\xc2\xa0", "\xef\xb7\x8f",
		"\xef\xb7\xb0", "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbd" };
	struct error err;
	struct buf b = BUF_INIT;

	check_int(mqtt_check_topic(BYTES("go.micro.topic/x"), &err), 0);
	check_int(mqtt_check_topic(BYTES(""), &err), -1);
	check_int(mqtt_check_topic(BYTES("a/+"), &err), -1);
	check_int(mqtt_check_topic(BYTES("a#"), &err), -1);
	check_int(mqtt_check_topic(BYTES("a\0b"), &err), -1);
	check_int(mqtt_check_topic(BYTES("\xff"), &err), -1);
	check_int(err.kind, ERR_REFUSED);
	/* Mosquitto ends the connection for these, and takes those below. */
	for (size_t i = 0; i < sizeof unwelcome / sizeof *unwelcome; i++) {
		check_int(mqtt_check_topic(bytes_str(unwelcome[i]), &err), -1);
		check_int(mqtt_check_filter(bytes_str(unwelcome[i]), NULL, &err), -1);
	}
	for (size_t i = 0; i < sizeof welcome / sizeof *welcome; i++) {
		check_int(mqtt_check_topic(bytes_str(welcome[i]), &err), 0);
		check_int(mqtt_check_filter(bytes_str(welcome[i]), NULL, &err), 0);
	}
	check_int(mqtt_check_filter(BYTES("a/+/#"), NULL, &err), 0);
	check_int(mqtt_check_filter(BYTES("#"), "g", &err), 0);
	check_int(mqtt_check_filter(BYTES("a#"), NULL, &err), -1);
	check_int(mqtt_check_filter(BYTES("#/a"), NULL, &err), -1);
	check_int(mqtt_check_filter(BYTES("a/b+"), NULL, &err), -1);
	check_int(mqtt_check_filter(BYTES("+a"), NULL, &err), -1);
	check_int(mqtt_check_filter(BYTES("a"), "", &err), -1);
	check_int(mqtt_check_filter(BYTES("a"), "g/h", &err), -1);
	check_int(err.kind, ERR_USAGE);
	mqtt_add_shared(&b, BYTES("a/+"), "g");
	check_bytes(buf_bytes(&b), BYTES("$share/g/a/+"));
	buf_release(&b);
}

static void
put_number(void *arg, enum mqtt_prop_id id, uint32_t n)
{
	mqtt_add_number(arg, id, n);
}

static void
put_text(void *arg, enum mqtt_prop_id id, struct bytes text)
{
	mqtt_add_text(arg, id, text);
}

static void
put_pair(void *arg, struct bytes name, struct bytes value)
{
	mqtt_add_pair(arg, name, value);
}

static const struct mqtt_map_sink put = { put_number, put_text, put_pair };

TEST(an_event_there_and_back)
{
	static const struct header headers[] = {
		{ BYTES("k"), BYTES("v1") }, { BYTES("k"), BYTES("v2") }, { BYTES("a"), BYTES("") },
	};
	struct publish_options o = publish_defaults;
	struct publication p = {
		.topic = BYTES("t"), .opts = &o,
		.msg = { headers, 3, { NULL, 0 }, BYTES("body") },
	};
	struct event ev = event_none;
	struct mqtt_map_in in;
	struct buf props = BUF_INIT, payload = BUF_INIT;
	struct mqtt_prop prop;
	struct bytes rest;
	struct error err;

	o.props = (struct properties){ BYTES("text/plain"), BYTES("re/ply"), BYTES("\0\xff"), 1500 };
	check_int(mqtt_map_check(&p, WIRE_RAW, &err), 0);
	check(mqtt_map_has_props(&p, WIRE_RAW));
	mqtt_map_props(&p, WIRE_RAW, &put, &props);
	mqtt_map_payload(&payload, &p, WIRE_RAW);
	check_int(mqtt_map_guess(&p, WIRE_RAW), buf_len(&payload));
	mqtt_map_in_init(&in, WIRE_AUTO);
	mqtt_map_in_begin(&in);
	rest = buf_bytes(&props);
	while (mqtt_prop_next(&rest, &prop))
		mqtt_map_in_prop(&in, &prop);
	mqtt_map_in_event(&in, p.topic, buf_data(&payload), buf_len(&payload), &ev);
	check_int(ev.wire, EVENT_WIRE_RAW);
	check_bytes(ev.msg.body, p.msg.body);
	need(ev.msg.nheaders == 3);
	for (size_t i = 0; i < 3; i++) {
		check_bytes(ev.msg.headers[i].name, headers[i].name);
		check_bytes(ev.msg.headers[i].value, headers[i].value);
	}
	check_bytes(ev.props.content_type, o.props.content_type);
	check_bytes(ev.props.reply_to, o.props.reply_to);
	check_bytes(ev.props.correlation, o.props.correlation);
	check_int(ev.props.ttl_ms, 2000);
	/* The next one has none of that. */
	mqtt_map_in_begin(&in);
	mqtt_map_in_event(&in, p.topic, buf_data(&payload), 0, &ev);
	check_int(ev.msg.nheaders, 0);
	check_int(ev.props.ttl_ms, -1);
	check(ev.msg.body.p && !ev.msg.body.n);
	mqtt_map_in_release(&in);
	buf_release(&props);
	buf_release(&payload);
}

TEST(envelopes_by_wire)
{
	static const struct {
		enum wire wire;
		const char *payload, *body;
		enum event_wire got;
	} rows[] = {
		{ WIRE_AUTO, "{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}", "hi", EVENT_WIRE_MICRO },
		{ WIRE_MICRO, "{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}", "hi", EVENT_WIRE_MICRO },
		{ WIRE_RAW, "{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}",
			"{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}", EVENT_WIRE_RAW },
		{ WIRE_AUTO, "{\"Body\":\"aGk=\"}", "{\"Body\":\"aGk=\"}", EVENT_WIRE_RAW },
		{ WIRE_MICRO, "{\"Body\":\"aGk=\"}", "hi", EVENT_WIRE_MICRO },
		{ WIRE_MICRO, "{\"Header\":{\"a\\u0062\":\"v\"},\"Body\":\"aGk", NULL, EVENT_WIRE_RAW },
		{ WIRE_AUTO, "", "", EVENT_WIRE_RAW },
		{ WIRE_MICRO, "", "", EVENT_WIRE_RAW },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *body = rows[i].body ? rows[i].body : rows[i].payload;
		size_t n = strlen(rows[i].payload);
		struct event ev = event_none;
		struct mqtt_map_in in;
		char *copy = malloc(n + 1);

		memcpy(copy, rows[i].payload, n);
		mqtt_map_in_init(&in, rows[i].wire);
		in.warned = true;
		mqtt_map_in_begin(&in);
		mqtt_map_in_event(&in, BYTES("t"), copy, n, &ev);
		check_int(ev.wire, rows[i].got);
		check_bytes(ev.msg.body, bytes_str(body));
		mqtt_map_in_release(&in);
		free(copy);
	}
}

TEST(what_cannot_be_carried)
{
	static const struct header nul = { BYTES("k"), BYTES("a\0b") };
	struct publish_options o = publish_defaults;
	struct publication p = { .topic = BYTES("t"), .msg = { &nul, 1, { NULL, 0 }, BYTES("") } };
	struct error err;

	check_int(mqtt_map_check(&p, WIRE_RAW, &err), -1);
	check(strstr(err.text, "header k") != NULL);
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), 0);
	p.opts = &o;
	o.props.reply_to = BYTES("a/#");
	check_int(mqtt_map_check(&p, WIRE_MICRO, &err), -1);
	check(strstr(err.text, "reply topic") != NULL);
}

TEST(reasons)
{
	struct error err;

	check_int(mqtt_reason_kind(mqtt_reason_of_connack(4), MQTT_AT_CONNECT), ERR_AUTH);
	check_int(mqtt_reason_kind(mqtt_reason_of_connack(5), MQTT_AT_CONNECT), ERR_AUTH);
	check_int(mqtt_reason_kind(mqtt_reason_of_connack(3), MQTT_AT_CONNECT), ERR_CONNECT);
	check_int(mqtt_reason_of_connack(1), 0x84);
	check_int(mqtt_reason_of_connack(200), 0x80);
	check_int(mqtt_reason_kind(0x87, MQTT_AT_PUBLISH), ERR_AUTH);
	check_int(mqtt_reason_kind(0x97, MQTT_AT_PUBLISH), ERR_REFUSED);
	check_int(mqtt_reason_kind(0x97, MQTT_AT_CONNECT), ERR_CONNECT);
	check_int(mqtt_reason_kind(0x9e, MQTT_AT_SUBSCRIBE), ERR_NOTFOUND);
	mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused", 0x97, BYTES("full"));
	check_str(err.text, "refused: Quota exceeded (0x97): full");
	mqtt_reason_error(&err, MQTT_AT_PUBLISH, "refused", 0xee, BYTES(""));
	check_str(err.text, "refused: a reason that MQTT does not know (0xee)");
}

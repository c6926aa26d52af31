/* SPDX-License-Identifier: Apache-2.0 */
/* What events look like: cli/format*.c. */
#include <stdlib.h>

#include "cli/format.h"
#include "core/text.h"
#include "core/units.h"
#include "tests/unit/test.h"

/* 2026-11-21T07:21:16.323Z */
#define T0 INT64_C(1795245676323000)

static struct buf out;

static struct event
event(struct bytes body)
{
	struct event ev = event_none;

	ev.topic = BYTES("orders");
	ev.msg.body = body;
	ev.time_us = T0;
	return ev;
}

/* The event in a format, as bytes that are good until the next call. */
static struct bytes
shown(struct formatter *f, const struct event *ev)
{
	buf_clear(&out);
	f->broker = "kafka";
	format_add(f, &out, ev, 1);
	return buf_bytes(&out);
}

static struct bytes
text(const struct event *ev)
{
	struct formatter f = { .format = &format_text, .max_body = 4096 };

	return shown(&f, ev);
}

static struct bytes
on_terminal(const struct event *ev)
{
	struct formatter f = { .format = &format_text, .max_body = 4096, .terminal = true };

	return shown(&f, ev);
}

static struct bytes
json(const struct event *ev)
{
	struct formatter f = { .format = &format_json };

	return shown(&f, ev);
}

/* ---- time stamps ---- */

TEST(stamp_patches_the_fraction_and_renews_the_second)
{
	static const int64_t times[] = { T0, T0 + 1, T0 + 676999, T0 + 677000, T0 - 1, 0, 999999,
		INT64_C(253402300799999999), INT64_C(253402300800000000), -1, -1000001 };
	struct format_stamp s = { 0 };
	struct buf want = BUF_INIT;

	for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
		buf_clear(&out);
		buf_clear(&want);
		format_add_time(&s, &out, times[i], 6);
		format_add_time(&s, &out, times[i], 3);
		units_add_time_us(&want, times[i]);
		units_add_time_ms(&want, times[i]);
		check_bytes(buf_bytes(&out), buf_bytes(&want));
	}
	buf_release(&want);
}

/* ---- bodies only ---- */

TEST(body_and_raw_are_the_bytes)
{
	struct formatter body = { .format = &format_body }, raw = { .format = &format_raw };
	struct event ev = event(BYTES("a\0b\n"));

	check_bytes(shown(&body, &ev), BYTES("a\0b\n\n"));
	check_bytes(shown(&raw, &ev), BYTES("a\0b\n"));
	ev = event(bytes_of(NULL, 0));
	check_bytes(shown(&body, &ev), BYTES("\n"));
	check_bytes(shown(&raw, &ev), BYTES(""));
}

/* ---- text ---- */

TEST(text_headers_and_body)
{
	const struct header h[] = {
		{ BYTES("content-type"), BYTES("text/plain") },
		{ BYTES("trace-id"), BYTES("4bf92f3577b34da6") },
	};
	struct event ev = event(BYTES("hello world"));

	ev.msg.headers = h;
	ev.msg.nheaders = 2;
	check_bytes(text(&ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  11 B\n"
		"content-type: text/plain\n"
		"trace-id: 4bf92f3577b34da6\n"
		"\n"
		"hello world\n"
		"\n"));
}

TEST(text_kafka_status)
{
	const struct header h[] = { { BYTES("k1"), BYTES("v1") }, { BYTES("k1"), BYTES("") },
		{ BYTES("k2"), { NULL, 0 } } };
	struct event ev = event(BYTES("{\"id\":7,\"ok\":1}"));

	ev.partition = 0;
	ev.offset = 42;
	ev.msg.key = BYTES("cust-7");
	ev.msg.headers = h;
	ev.msg.nheaders = 3;
	check_bytes(text(&ev), BYTES(
		"#1 orders[0]@42  key=cust-7  2026-11-21T07:21:16.323Z  15 B\n"
		"k1: v1\n"
		"k1: \n"
		"k2 (null)\n"
		"\n"
		"{\"id\":7,\"ok\":1}\n"
		"\n"));
}

TEST(text_mqtt_status_and_lines)
{
	struct event ev = event(BYTES("panic: index\n  main.c:4\n"));

	ev.qos = 1;
	ev.retain = true;
	check_bytes(text(&ev), BYTES(
		"#1 orders  qos=1 retain  2026-11-21T07:21:16.323Z  24 B\n"
		"\n"
		"panic: index\n"
		"  main.c:4\n"
		"\n"));
}

TEST(text_empty_and_null)
{
	struct event ev = event(BYTES(""));

	check_bytes(text(&ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  0 B\n\n(empty)\n\n"));
	ev.msg.body = bytes_of(NULL, 0);
	ev.msg.key = BYTES("");
	check_bytes(text(&ev), BYTES(
		"#1 orders  key=  2026-11-21T07:21:16.323Z  null\n\n(null)\n\n"));
}

TEST(text_binary_is_a_dump)
{
	struct event ev = event(BYTES("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02"));

	check_bytes(text(&ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  19 B binary\n"
		"\n"
		"00000000  89 50 4e 47 0d 0a 1a 0a  00 00 00 0d 49 48 44 52  |.PNG........IHDR|\n"
		"00000010  00 00 02                                          |...|\n"
		"\n"));
}

TEST(text_what_is_binary)
{
	static const struct {
		struct bytes body;
		bool binary;
	} cases[] = {
		{ BYTES("tab\tcr\r\nff\f bel\a esc\033[1m"), false },
		{ BYTES("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 nel \xc2\x85"), false },
		{ BYTES("nul\0"), true },
		{ BYTES("\x01"), true },
		{ BYTES("\x7f"), true },
		{ BYTES("\xc2\x9b" "31m"), true },	/* CSI as one character */
		{ BYTES("\xff"), true },
		{ BYTES("cut \xe2\x82"), true },
		{ BYTES("\xed\xa0\x80"), true },	/* half a surrogate pair */
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct event ev = event(cases[i].body);
		struct bytes t = text(&ev);

		check_int(memmem(t.p, t.n, " binary\n", 8) != NULL, cases[i].binary);
	}
}

TEST(text_max_body)
{
	struct formatter f = { .format = &format_text, .max_body = 5 };
	struct event ev = event(BYTES("abc\xe2\x82\xac" "def"));

	check_bytes(shown(&f, &ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  9 B\n\nabc\n"
		"... 6 more bytes (--max-body all, --raw, or -J for everything)\n\n"));
	f.max_body = 6;
	check_bytes(shown(&f, &ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  9 B\n\nabc\xe2\x82\xac\n"
		"... 3 more bytes (--max-body all, --raw, or -J for everything)\n\n"));
	f.max_body = 9;
	check_bytes(shown(&f, &ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  9 B\n\nabc\xe2\x82\xac" "def\n\n"));
	f.max_body = 0;
	check_bytes(shown(&f, &ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  9 B\n\n"
		"... 9 more bytes (--max-body all, --raw, or -J for everything)\n\n"));
	f.max_body = 17;
	ev = event(BYTES("\0abcdefghijklmnopqrstuvw"));
	check_bytes(shown(&f, &ev), BYTES(
		"#1 orders  2026-11-21T07:21:16.323Z  24 B binary\n\n"
		"00000000  00 61 62 63 64 65 66 67  68 69 6a 6b 6c 6d 6e 6f  |.abcdefghijklmno|\n"
		"00000010  70                                                |p|\n"
		"... 7 more bytes (--max-body all, --raw, or -J for everything)\n\n"));
}

TEST(text_layout_cannot_be_broken)
{
	const struct header h[] = { { BYTES("a\nb"), BYTES("c\r\nd\te\033") } };
	struct event ev = event(BYTES("x"));

	ev.topic = BYTES("t\n#2 t");
	ev.msg.key = BYTES("k\nk");
	ev.msg.headers = h;
	ev.msg.nheaders = 1;
	check_bytes(text(&ev), BYTES(
		"#1 t\\n#2 t  key=k\\nk  2026-11-21T07:21:16.323Z  1 B\n"
		"a\\nb: c\\r\\nd\te\033\n\nx\n\n"));
}

TEST(text_terminal_is_safe)
{
	const struct header h[] = { { BYTES("a\033"), BYTES("\xc2\x9b\xff\x07\xc3\xa4") } };
	struct event ev = event(BYTES("\033[2Jr\rg\r\n\tb\x08\xc3\xa4\r"));

	ev.topic = BYTES("t\0\x7f");
	ev.msg.headers = h;
	ev.msg.nheaders = 1;
	check_bytes(on_terminal(&ev), BYTES(
		"#1 t\\x00\\x7f  2026-11-21T07:21:16.323Z  15 B\n"
		"a\\x1b: \\xc2\\x9b\\xff\\x07\xc3\xa4\n"
		"\n"
		"\\x1b[2Jr\\x0dg\r\n\tb\\x08\xc3\xa4\\x0d\n"
		"\n"));
}

TEST(text_colour)
{
	struct formatter f = { .format = &format_text, .max_body = 4096, .color = true };
	const struct header h[] = { { BYTES("a"), BYTES("b") } };
	struct event ev = event(BYTES("x"));

	ev.msg.headers = h;
	ev.msg.nheaders = 1;
	check_bytes(shown(&f, &ev), BYTES(
		"\033[2m#1 \033[0m\033[1morders\033[0m"
		"\033[2m  2026-11-21T07:21:16.323Z  1 B\033[0m\n"
		"\033[2ma:\033[0m b\n\nx\n\n"));
}

/* ---- JSON ---- */

TEST(json_plain)
{
	const struct header h[] = {
		{ BYTES("content-type"), BYTES("text/plain") },
		{ BYTES("k1"), BYTES("v1") }, { BYTES("k1"), BYTES("v2") },
	};
	struct event ev = event(BYTES("hello world"));

	ev.time_us = T0 + 709;
	ev.msg.headers = h;
	ev.msg.nheaders = 3;
	ev.partition = 0;
	ev.offset = 42;
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323709Z\","
		"\"headers\":{\"content-type\":\"text/plain\",\"k1\":[\"v1\",\"v2\"]},"
		"\"body\":\"hello world\",\"len\":11,\"meta\":{\"broker\":\"kafka\","
		"\"partition\":0,\"offset\":42,\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
}

TEST(json_base64_key_and_null)
{
	const struct header h[] = { { BYTES("sig"), BYTES("\0\xff") },
		{ BYTES("n"), { NULL, 0 } } };
	struct event ev = event(BYTES("bin\0\xff\xfe"));

	ev.msg.headers = h;
	ev.msg.nheaders = 2;
	ev.msg.key = BYTES("k2");
	ev.wire = EVENT_WIRE_MICRO;
	ev.time_kind = EVENT_TIME_CREATE;
	ev.qos = 1;
	ev.retain = true;
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{\"sig\":{\"b64\":\"AP8=\"},\"n\":null},\"key\":\"k2\","
		"\"body_b64\":\"YmluAP/+\",\"len\":6,\"meta\":{\"broker\":\"kafka\","
		"\"qos\":1,\"retain\":true,\"wire\":\"micro\",\"ts\":\"create\"}}\n"));
	ev = event(bytes_of(NULL, 0));
	ev.topic = BYTES("\xff");
	ev.msg.key = BYTES("\0");
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic_b64\":\"/w==\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"key_b64\":\"AA==\",\"body\":null,\"len\":-1,"
		"\"meta\":{\"broker\":\"kafka\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
}

TEST(an_id_stands_where_an_offset_would)
{
	struct event ev = event(BYTES("x"));

	ev.id = BYTES("1526919030474-55\n\xc3\xa4");
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"body\":\"x\",\"len\":1,\"meta\":{\"broker\":\"kafka\","
		"\"id\":\"1526919030474-55\\n\xc3\xa4\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
	check_bytes(text(&ev), BYTES("#1 orders@1526919030474-55\\n\xc3\xa4  "
		"2026-11-21T07:21:16.323Z  1 B\n\nx\n\n"));
	/* A line is UTF-8 whatever the broker calls its events. */
	ev.id = BYTES("\xff\0");
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"body\":\"x\",\"len\":1,\"meta\":{\"broker\":\"kafka\","
		"\"id_b64\":\"/wA=\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
	ev.id = BYTES("");
	ev.offset = 3;
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"body\":\"x\",\"len\":1,\"meta\":{\"broker\":\"kafka\","
		"\"offset\":3,\"id\":\"\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
}

TEST(properties_and_what_else_a_broker_has)
{
	struct event ev = event(BYTES("x"));

	ev.qos = 1;
	ev.retain = true;
	ev.id = BYTES("1-2");
	ev.props = (struct properties){ BYTES("a/b"), BYTES("an\nswers"), BYTES("c1"), 1500 };
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"body\":\"x\",\"len\":1,\"meta\":{\"broker\":\"kafka\",\"id\":\"1-2\","
		"\"qos\":1,\"retain\":true,\"reply\":\"an\\nswers\",\"ttl\":1500,"
		"\"content_type\":\"a/b\",\"correlation\":\"c1\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
	check_bytes(text(&ev), BYTES("#1 orders@1-2  qos=1 retain  type=a/b  reply=an\\nswers  "
		"correlation=c1  ttl=1.5s  2026-11-21T07:21:16.323Z  1 B\n\nx\n\n"));
	ev.id = BYTES("\xff");
	ev.qos = -1;
	ev.props = (struct properties){ .correlation = BYTES("\xff\x01"), .ttl_ms = -1 };
	check_bytes(json(&ev), BYTES(
		"{\"v\":1,\"n\":1,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323000Z\","
		"\"headers\":{},\"body\":\"x\",\"len\":1,\"meta\":{\"broker\":\"kafka\",\"id_b64\":\"/w==\","
		"\"retain\":true,\"correlation_b64\":\"/wE=\",\"wire\":\"raw\",\"ts\":\"recv\"}}\n"));
	check_bytes(text(&ev), BYTES("#1 orders@\xff  retain  correlation=\\xff\\x01  "
		"2026-11-21T07:21:16.323Z  1 B\n\nx\n\n"));
}

TEST(another_end_of_each_event)
{
	static const struct format *const formats[] = { &format_json, &format_body, &format_raw };
	struct event ev = event(BYTES("x"));

	for (size_t i = 0; i < 3; i++) {
		struct formatter f = { .format = formats[i] };
		struct bytes b = shown(&f, &ev);
		size_t n = b.n - (i < 2);	/* without its own */

		f.end = BYTES("\0;");
		b = shown(&f, &ev);
		check_int(b.n, n + 2);
		check_bytes(bytes_of(b.p + n, 2), f.end);
		f.end = BYTES("");
		check_int(shown(&f, &ev).n, n);
	}
}

TEST(json_escapes)
{
	struct event ev = event(BYTES("\"\\/\n\x1f\x7f\xe2\x80\xa8\xe2\x80\xa9\xc3\xa4<"));
	struct bytes line = json(&ev);

	for (size_t i = 0; i + 1 < line.n; i++)
		check((unsigned char)line.p[i] >= 0x20 && line.p[i] != 0x7f);
	check(memmem(line.p, line.n, "\xe2\x80", 2) == NULL);
	check(memmem(line.p, line.n, "\\u001f\\u007f\\u2028\\u2029\xc3\xa4<", 27) != NULL);
}

/* The array form: where an object would lose the order, or cannot have the name. */
TEST(json_header_array)
{
	static const struct bytes want = BYTES("\"headers\":[[\"a\",\"1\"],[\"b\",null],[\"a\","
		"{\"b64\":\"/w==\"}]]");
	const struct header apart[] = { { BYTES("a"), BYTES("1") }, { BYTES("b"), { NULL, 0 } },
		{ BYTES("a"), BYTES("\xff") } };
	const struct header name[] = { { BYTES("\xff"), BYTES("1") } };
	struct event ev = event(BYTES("x"));
	struct header many[40];
	struct bytes line;
	char names[40];

	ev.msg.headers = apart;
	ev.msg.nheaders = 3;
	line = json(&ev);
	check(memmem(line.p, line.n, want.p, want.n) != NULL);
	ev.msg.headers = name;
	ev.msg.nheaders = 1;
	line = json(&ev);
	check(memmem(line.p, line.n, "[[{\"b64\":\"/w==\"},\"1\"]]", 22) != NULL);
	/* Many headers are looked at in another way. */
	for (size_t i = 0; i < 40; i++) {
		names[i] = (char)('0' + i);
		many[i] = (struct header){ bytes_of(&names[i], 1), BYTES("v") };
	}
	ev.msg.headers = many;
	ev.msg.nheaders = 40;
	line = json(&ev);
	check(memmem(line.p, line.n, "\"headers\":{", 11) != NULL);
	many[20].name = many[19].name;
	line = json(&ev);
	check(memmem(line.p, line.n, "\"headers\":{", 11) != NULL);
	many[22].name = many[20].name;
	line = json(&ev);
	check(memmem(line.p, line.n, "\"headers\":[[", 12) != NULL);
	buf_release(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading events from lines of JSON, and back again what the writer writes. */
#include <stdlib.h>

#include "cli/event_json.h"
#include "cli/format.h"
#include "tests/unit/test.h"

static struct event_json e;
static struct error err;
static char *copy;

/* Reads a line that must be freed memory afterwards: nothing may stay borrowed. */
static int
read_line(struct bytes line)
{
	if (!copy)
		event_json_init(&e);
	free(copy);
	copy = xmalloc(line.n ? line.n : 1);	/* no byte behind it */
	memcpy(copy, line.p, line.n);
	err = (struct error)ERROR_INIT;
	return event_json_read(&e, copy, line.n, &err);
}

#define good(line) need(read_line(BYTES(line)) == 0)
#define bad(line, words) do { \
	check_int(read_line(BYTES(line)), -1); \
	check_int(err.kind, ERR_USAGE); \
	check_str(err.text, words); \
} while (0)
#define check_header(i, n, v) do { \
	need(e.msg.nheaders > (i)); \
	check_bytes(e.msg.headers[i].name, n); \
	check_bytes(e.msg.headers[i].value, v); \
} while (0)
#define NOTHING bytes_of(NULL, 0)

TEST(our_lines)
{
	good("{\"v\":1,\"n\":2,\"topic\":\"orders\",\"ts\":\"2026-11-21T06:55:31.000102Z\","
		"\"headers\":{\"sig\":{\"b64\":\"AP8=\"},\"k1\":[\"v1\",null,{\"b64\":\"\"}],"
		"\"e\":[],\"n\":null},\"key\":\"k2\",\"body_b64\":\"YmluAP/+\",\"len\":6,"
		"\"meta\":{\"broker\":\"kafka\",\"partition\":1,\"offset\":[{}]}}");
	check_bytes(e.topic, BYTES("orders"));
	check_bytes(e.msg.key, BYTES("k2"));
	check_bytes(e.msg.body, BYTES("bin\0\xff\xfe"));
	check_int(e.msg.nheaders, 5);
	check_header(0, BYTES("sig"), BYTES("\0\xff"));
	check_header(1, BYTES("k1"), BYTES("v1"));
	check_header(2, BYTES("k1"), NOTHING);
	check_header(3, BYTES("k1"), BYTES(""));
	check_header(4, BYTES("n"), NOTHING);
}

TEST(nothing_is_left_from_the_line_before)
{
	good("{\"topic\":\"t\",\"key\":\"k\",\"headers\":{\"a\":\"b\"},\"body\":\"x\"}");
	good("{\"body\":\"\"}");
	check_bytes(e.topic, NOTHING);
	check_bytes(e.msg.key, NOTHING);
	check_bytes(e.msg.body, BYTES(""));
	check_int(e.msg.nheaders, 0);
	good(" { \"body\" : null } ");
	check_bytes(e.msg.body, NOTHING);
}

TEST(escapes)
{
	good("{\"topic\":\"\\u00e4\\ud83d\\ude00\\/\","
		"\"b\\u006fdy\":\"\\u0000\\\"\\\\\\b\\f\\n\\r\\t\"}");
	check_bytes(e.topic, BYTES("\xc3\xa4\xf0\x9f\x98\x80/"));
	check_bytes(e.msg.body, BYTES("\0\"\\\b\f\n\r\t"));
	good("{\"topic_b64\":\"\\/w==\",\"key_b64\":\"AA==\",\"body\":\"\"}");
	check_bytes(e.topic, BYTES("\xff"));
	check_bytes(e.msg.key, BYTES("\0"));
}

/* The first and the last of each half, and what stands beside them. */
TEST(surrogate_pairs)
{
	good("{\"body\":\"\\ud800\\udc00\\udbff\\udfff\\ud7ff\\ue000\"}");
	check_bytes(e.msg.body, BYTES("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80"));
}

TEST(header_arrays)
{
	good("{\"topic\":\"t\",\"body\":\"\",\"headers\":[[\"a\",\"1\"],[\"b\",null],"
		"[{\"b64\":\"/w==\"},{\"b64\":\"AA==\"}],[\"a\",\"2\"]]}");
	check_int(e.msg.nheaders, 4);
	check_header(0, BYTES("a"), BYTES("1"));
	check_header(1, BYTES("b"), NOTHING);
	check_header(2, BYTES("\xff"), BYTES("\0"));
	check_header(3, BYTES("a"), BYTES("2"));
}

TEST(body_json_is_taken_as_it_stands)
{
	static const char *const values[] = { "{\"t\":1.50}", "{ \"a\" : [ 1 , {} ] }", "[]", "[[1],[]]",
		"[{},[]]", "{\"a\":{\"b\":[]}}",
		"[ 18446744073709551616 ]", "1.50e+10", "-0", "true", "false", "null",
		"\"a\\u00e4\"" };
	struct buf line = BUF_INIT;

	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		for (int form = 0; form < 3; form++) {
			buf_clear(&line);
			buf_add_str(&line, form ? "{\"body_json\":  " : "{\"body_json\":");
			buf_add_str(&line, values[i]);
			buf_add_str(&line, form == 2 ? " \t,\"len\":11}" : "}");
			need(read_line(buf_bytes(&line)) == 0);
			check_bytes(e.msg.body, bytes_str(values[i]));
		}
	buf_release(&line);
}

TEST(lines_of_kcat)
{
	good("{\"topic\":\"test\",\"partition\":0,\"offset\":3,\"tstype\":\"create\","
		"\"ts\":1574943141526,\"broker\":1,"
		"\"headers\":[\"a\",\"1\",\"b\",null,\"a\",\"2\"],"
		"\"key\":null,\"payload\":\"hello\"}");
	check_bytes(e.topic, BYTES("test"));
	check_bytes(e.msg.key, NOTHING);
	check_bytes(e.msg.body, BYTES("hello"));
	check_int(e.msg.nheaders, 3);
	check_header(1, BYTES("b"), NOTHING);
	check_header(2, BYTES("a"), BYTES("2"));
	good("{\"topic\":\"test\",\"key\":\"k\",\"payload\":null}");
	check_bytes(e.msg.key, BYTES("k"));
	check_bytes(e.msg.body, NOTHING);
}

TEST(lines_of_mosquitto)
{
	good("{\"tst\":\"2026-11-21T06:55:30.618709Z+0000\",\"topic\":\"a/b\",\"qos\":0,"
		"\"retain\":0,\"payloadlen\":5,\"payload\":\"hello\"}");
	check_bytes(e.topic, BYTES("a/b"));
	check_bytes(e.msg.body, BYTES("hello"));
	good("{\"topic\":\"a/b\",\"payload\":{\"t\": 1.50},\"qos\":1}");	/* %J */
	check_bytes(e.msg.body, BYTES("{\"t\": 1.50}"));
}

TEST(lines_of_nats)
{
	good("{\"Subject\":\"foo\",\"Reply\":\"\",\"Header\":{\"K\":[\"v\",\"w\"]},"
		"\"Data\":\"aGVsbG8=\"}");
	check_bytes(e.topic, BYTES("foo"));
	check_bytes(e.msg.body, BYTES("hello"));
	check_int(e.msg.nheaders, 2);
	check_header(1, BYTES("K"), BYTES("w"));
	good("{\"Subject\":\"foo\",\"Header\":null,\"Data\":null}");
	check_int(e.msg.nheaders, 0);
}

TEST(errors_name_the_field)
{
	bad("", "not JSON: unexpected end of JSON input, at byte 1");
	bad("[1]", "not a JSON object");
	bad("{\"topic\":\"t\"}", "body: missing");
	bad("{\"body\":5}", "body: not a string");
	bad("{\"topic\":null,\"body\":\"\"}", "topic: not a string");
	bad("{\"key\":{},\"body\":\"\"}", "key: not a string");
	bad("{\"body\":\"a\",\"body\":\"a\"}", "body: given twice");
	bad("{\"body\":\"a\",\"body_b64\":\"\"}", "body_b64: given twice");
	bad("{\"topic\":\"a\",\"Subject\":\"\"}", "Subject: given twice");
	bad("{\"body_b64\":\"aG!=\"}", "body_b64: invalid base64, at byte 3");
	bad("{\"body_b64\":\"aGk\"}", "body_b64: invalid base64, at byte 1");
	bad("{\"body\":\"\xff\"}", "body: invalid UTF-8");
	bad("{\"body\":\"\xed\xa0\x80\"}", "body: invalid UTF-8");
	bad("{\"body\":\"\\ud800\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\udc00\\ud800\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\ud800\\\\udc00\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\udbff\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\udfff\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\ud800\\udbff\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\ud800\\ue000\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\ud800\\n\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\udc00\\udc00\"}", "body: half a surrogate pair");
	bad("{\"body\":\"\\ud800\\udc00\\udc00\"}", "body: half a surrogate pair");
	bad("{\"v\":2,\"body\":\"\"}",
		"v: version 2 of the event lines; only version 1 is known here");
	bad("{\"v\":\"1\",\"body\":\"\"}", "v: not a number");
	bad("{\"body\":\"\"} x", "not JSON: invalid character 'x' after top-level value, at byte 13");
	bad("{\"headers\":5}", "headers: neither an object nor an array");
	bad("{\"headers\":{\"a\":5}}",
		"headers: a: the value: neither a string, null nor {\"b64\":\"...\"}");
	bad("{\"headers\":{\"a\":{\"b64\":\"=\"}}}", "headers: a: the value: invalid base64, at byte 1");
	bad("{\"headers\":{\"a\":{\"b64\":1}}}", "headers: a: the value: b64: not a string");
	bad("{\"headers\":{\"a\":{}}}",
		"headers: a: the value: neither a string, null nor {\"b64\":\"...\"}");
	bad("{\"headers\":[\"a\"]}", "headers: a name without a value");
	bad("{\"headers\":[[null,\"a\"]]}", "headers: a name is null");
	bad("{\"headers\":[[\"a\",\"b\",\"c\"]]}", "headers: not a pair of name and value");
	check_int(read_line(BYTES("{\"body\":\"x\"")), -1);
	check_int(read_line(BYTES("{\"body\":\"x\n\"}")), -1);
	check_int(read_line(BYTES("{\"body\":tru}")), -1);
	check_int(read_line(BYTES("{\"x\":[{]}")), -1);
	check_int(read_line(BYTES("{\"body_json\":[")), -1);
	check_int(read_line(BYTES("{\"body_json\":{")), -1);
}

/* ---- what is written is what is read ---- */

static uint32_t seed = 1;

static uint32_t
rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Strings of all kinds: any bytes, text, and what the writer has to escape. */
static struct bytes
random_bytes(char *room, size_t max)
{
	static const char *const pieces[] = { "a", "\"", "\\", "\n", "\x01", "\x7f", "\xc3\xa4",
		"\xe2\x80\xa8", "\xe2\x80\xa9", "\xf0\x9f\x98\x80", "/", "\xef\xbf\xbf" };
	size_t n = 0, want = rnd((uint32_t)max - 4);
	bool text = rnd(3);

	while (n < want) {
		const char *p = pieces[rnd(sizeof pieces / sizeof *pieces)];

		if (text) {
			memcpy(room + n, p, strlen(p));
			n += strlen(p);
		} else {
			room[n++] = (char)rnd(256);
		}
	}
	return bytes_of(room, n);
}

TEST(random_events_come_back)
{
	static char room[40][64], body[600];
	struct formatter f = { .format = &format_json, .broker = "b" };
	struct buf line = BUF_INIT;
	struct header h[16];

	for (int round = 0; round < 20000; round++) {
		struct event ev = event_none;

		ev.topic = random_bytes(room[0], 30);
		ev.time_us = rnd(1u << 24) * INT64_C(100000007);
		ev.msg.headers = h;
		ev.msg.nheaders = rnd(8) ? rnd(5) : rnd(16);
		for (size_t i = 0; i < ev.msg.nheaders; i++) {
			h[i].name = random_bytes(room[2 * i + 2], 8);
			h[i].value = rnd(8) ? random_bytes(room[2 * i + 3], 60) : NOTHING;
		}
		if (rnd(2))
			ev.msg.key = random_bytes(room[1], 30);
		ev.msg.body = rnd(10) ? random_bytes(body, rnd(20) ? 60 : 600) : NOTHING;
		buf_clear(&line);
		format_add(&f, &line, &ev, (uint64_t)round + 1);
		for (size_t i = 0; i + 1 < buf_len(&line); i++) {
			unsigned char c = (unsigned char)buf_data(&line)[i];

			need(c >= 0x20 && c != 0x7f);
		}
		need(read_line(bytes_of(buf_data(&line), buf_len(&line) - 1)) == 0);
		need(test_eq_bytes(__FILE__, __LINE__, "topic", e.topic, ev.topic));
		need(test_eq_bytes(__FILE__, __LINE__, "key", e.msg.key, ev.msg.key));
		need(test_eq_bytes(__FILE__, __LINE__, "body", e.msg.body, ev.msg.body));
		need(e.msg.nheaders == ev.msg.nheaders);
		for (size_t i = 0; i < ev.msg.nheaders; i++) {
			check_bytes(e.msg.headers[i].name, h[i].name);
			check_bytes(e.msg.headers[i].value, h[i].value);
		}
	}
	buf_release(&line);
	event_json_release(&e);
	free(copy);
	copy = NULL;
}

static void
keep_meta(bool on)
{
	if (!copy) {
		event_json_init(&e);
		copy = xmalloc(1);
	}
	e.keep_meta = on;
}

TEST(meta_is_read_when_it_is_to_be_kept)
{
	keep_meta(true);
	good("{\"body\":\"\",\"meta\":{\"broker\":\"b\",\"partition\":3,\"qos\":2,\"retain\":true,"
		"\"reply\":\"an\\u0073wers\",\"ttl\":1500,\"content_type\":\"a/b\","
		"\"correlation_b64\":\"/wE=\",\"offset\":[{}],\"wire\":\"raw\"}}");
	check(e.has_meta);
	check_int(e.meta.partition, 3);
	check_int(e.meta.qos, 2);
	check(e.meta.retain);
	check_bytes(e.meta.props.reply_to, BYTES("answers"));
	check_int(e.meta.props.ttl_ms, 1500);
	check_bytes(e.meta.props.content_type, BYTES("a/b"));
	check_bytes(e.meta.props.correlation, BYTES("\xff\x01"));
	/* Nothing is left from the line before. */
	good("{\"body\":\"\",\"meta\":{\"retain\":false,\"wire\":\"raw\"}}");
	check(e.has_meta && !e.meta.retain);
	check_int(e.meta.qos, -1);
	check_int(e.meta.partition, -1);
	check_int(e.meta.props.ttl_ms, -1);
	check_bytes(e.meta.props.reply_to, NOTHING);
	good("{\"body\":\"\",\"meta\":{\"wire\":\"raw\"}}");
	check(!e.has_meta);
	good("{\"body\":\"\"}");
	check(!e.has_meta);
	bad("{\"body\":\"\",\"meta\":7}", "meta: not an object");
	bad("{\"body\":\"\",\"meta\":{\"qos\":3}}", "meta: qos: not a whole number up to 2");
	bad("{\"body\":\"\",\"meta\":{\"qos\":1.0}}", "meta: qos: not a whole number up to 2");
	bad("{\"body\":\"\",\"meta\":{\"qos\":\"1\"}}", "meta: qos: not a number");
	bad("{\"body\":\"\",\"meta\":{\"retain\":1}}", "meta: retain: neither true nor false");
	bad("{\"body\":\"\",\"meta\":{\"reply\":null}}", "meta: reply: not a string");
	bad("{\"body\":\"\",\"meta\":{\"reply\":\"a\",\"reply_b64\":\"YQ==\"}}", "meta: reply_b64: given twice");
	bad("{\"body\":\"\",\"meta\":{\"reply_b64\":\"YQ==\",\"reply_b64\":\"YQ==\"}}",
		"meta: reply_b64: given twice");
	bad("{\"body\":\"\",\"meta\":{\"ttl\":-1}}",
		"meta: ttl: not a whole number up to 9223372036854");
	bad("{\"body\":\"\",\"meta\":{\"ttl\":1,\"ttl\":1}}", "meta: ttl: given twice");
	keep_meta(false);
	good("{\"body\":\"\",\"meta\":7}");
	good("{\"body\":\"\",\"meta\":{\"qos\":7}}");
	check(!e.has_meta);
}

/* What a broker that has times and a choice of wire gets. */
TEST(time_and_wire)
{
	keep_meta(false);
	e.keep_time = e.keep_wire = true;
	good("{\"body\":\"\",\"ts\":\"2026-11-21T06:55:30.618709Z\",\"meta\":{\"wire\":\"raw\","
		"\"qos\":7}}");
	check(e.has_meta);
	check_int(e.meta.time_us, 1795244130618709);
	check(e.meta.wire == WIRE_RAW);
	check_int(e.meta.qos, -1);
	good("{\"body\":\"\",\"ts\":1795244130618,\"meta\":{\"wire\":\"micro\"}}");
	check_int(e.meta.time_us, 1795244130618000);
	check(e.meta.wire == WIRE_MICRO);
	good("{\"body\":\"\",\"meta\":{\"wire\":\"other\"}}");
	check(!e.has_meta && e.meta.time_us == -1 && e.meta.wire == WIRE_AUTO);
	bad("{\"body\":\"\",\"ts\":\"2026-11-31T06:55:30Z\"}",
		"ts: no time, as 2026-11-21T06:55:30.618Z is one");
	bad("{\"body\":\"\",\"ts\":\"2026-11-21T06:55:30Z\\u0000\"}",
		"ts: no time, as 2026-11-21T06:55:30.618Z is one");
	bad("{\"body\":\"\",\"ts\":-5}", "ts: not a whole number up to 9223372036854775");
	bad("{\"body\":\"\",\"ts\":true}", "ts: not a string");
	bad("{\"body\":\"\",\"ts\":1,\"ts\":1}", "ts: given twice");
	e.keep_time = e.keep_wire = false;
	good("{\"body\":\"\",\"ts\":true,\"meta\":{\"wire\":1}}");
	check(!e.has_meta);
}

TEST(an_empty_map_of_headers_is_not_none)
{
	static const char *const lines[] = {
		"{\"topic\":\"t\",\"headers\":{},\"body\":\"\",\"meta\":{\"wire\":\"micro\",\"headers\":{}}}",
		"{\"topic\":\"t\",\"headers\":{},\"body\":\"\",\"meta\":{\"wire\":\"micro\"}}",
	};
	keep_meta(false);
	e.keep_wire = true;
	for (int i = 0; i < 4; i++) {
		char *line = xstrdup(lines[i % 2]);

		check_int(event_json_read(&e, line, strlen(line), &err), 0);
		check_int(e.msg.nheaders, 0);
		check((e.msg.headers == NULL) == (i % 2 == 1));
		free(line);
	}
	e.keep_wire = false;
}

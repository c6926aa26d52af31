/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions on events: cli/expr_parse.c, cli/expr.c. */
#include <stdlib.h>

#include "cli/expr.h"
#include "tests/unit/test.h"

/* 2026-11-21T07:21:16.323Z */
#define T0 INT64_C(1795245676323000)

static const struct header headers[] = {
	{ BYTES("Type"), BYTES("created") }, { BYTES("n"), BYTES("9") }, { BYTES("n"), BYTES("10") },
	{ BYTES("null"), { NULL, 0 } }, { BYTES("odd name"), BYTES("x") },
};

static struct event
event(void)
{
	struct event ev = event_none;

	ev.topic = BYTES("orders.eu");
	ev.msg.key = BYTES("k\0y");
	ev.msg.headers = headers;
	ev.msg.nheaders = 5;
	ev.msg.body = BYTES("{\"id\":7,\"big\":9007199254740993,\"f\":1.50,\"s\":\"7\",\"t\":true,\"z\":null,"
		"\"a\":[1,[2,3]],\"o\":{\"p/q\":{\"m~n\":\"deep\"}},\"e\\u0041\":1,\"\":\"empty\"}");
	ev.time_us = T0;
	ev.partition = 3;
	return ev;
}

static int
value_of(const char *text, const struct event *ev)
{
	struct error err = ERROR_INIT;
	struct expr *e = expr_compile("--where", text, &err);
	int r;

	if (!e) {
		test_failed(__FILE__, __LINE__, "%s: %s", text, err.text);
		return -1;
	}
	r = expr_is_true(e, ev, "kafka");
	if (expr_is_true(e, ev, "kafka") != r)
		test_failed(__FILE__, __LINE__, "%s: not the same twice", text);
	expr_free(e);
	return r;
}

static void
holds(int line, const char *text, int want)
{
	struct event ev = event();
	int got = value_of(text, &ev);

	if (got != want)
		test_failed(__FILE__, line, "%s is %d", text, got);
}
#define yes(text) holds(__LINE__, text, 1)
#define no(text) holds(__LINE__, text, 0)

static void
refused(int line, const char *text, const char *want)
{
	struct error err = ERROR_INIT;
	struct expr *e = expr_compile("--where", text, &err);

	if (e) {
		test_failed(__FILE__, line, "%s was taken", text);
		expr_free(e);
	} else {
		check_int(err.kind, ERR_USAGE);
		test_eq_bytes(__FILE__, line, text, bytes_str(err.text), bytes_str(want));
	}
}
#define bad(text, want) refused(__LINE__, text, want)

TEST(bytes_are_compared_and_ordered)
{
	yes("topic == \"orders.eu\"");
	no("topic != \"orders.eu\"");
	yes("topic<\"p\"&&topic>=\"orders\"");
	yes("key == \"k\\u0000y\"");
	no("key == \"k\"");
	yes("meta.broker == \"kafka\" && meta.wire == \"raw\" && meta.ts == \"recv\"");
}

TEST(numbers_are_compared_as_numbers_where_both_are)
{
	yes("header.n < 10 && header.n > 9");	/* 9 and 10: one each */
	no("header.n > 10");
	yes("header.n == 9.0");
	yes("size > 10 && size <= 1e3");
	yes("meta.partition == 3");
	yes("json /big == 9007199254740993");
	no("json /big == 9007199254740992");
	yes("json /f == 1.5 && json /f < 1.51 && json /f > -2");
	no("header.Type > 1");
	yes("header.Type != 1");
	no("json /s == 7");
	yes("json /s == \"7\"");
	yes("json /id == \"7\"");
}

TEST(any_of_a_repeated_header_counts)
{
	yes("header.n == \"9\" && header.n == \"10\"");
	yes("header.n != \"9\"");
	yes("header.type == \"created\"");
	yes("header.\"odd name\" == \"x\"");
	yes("header.null == null && header.null");
	no("header.null == \"\"");
}

TEST(what_is_not_there)
{
	no("header.nope == \"x\"");
	no("header.nope < \"x\" || header.nope ~ \"\" || header.nope == null");
	yes("header.nope != \"x\" && header.nope !~ \"x\"");
	yes("!header.nope && header.Type && key");
	no("json /nope == 1 || json /a/9 == 1 || json /id/x == 1 || meta.offset == -1");
	yes("meta.offset != 5 && !meta.offset");
}

TEST(pointers)
{
	yes("json /a/1/0 == 2 && json /a/0 == 1");
	yes("json /o/p~1q/m~0n == \"deep\"");
	yes("json \"/o/p~1q/m~0n\" ~ \"^d\"");
	yes("json /eA == 1");
	yes("json / == \"empty\"");
	yes("json /t == true && json /z == null && json /t != false");
	no("json /t == \"true\"");
	yes("json /a == \"[1,[2,3]]\"");
	no("json /a/01 == 1 || json /a/- == 1");
	yes("json \"\" ~ \"^.\"");
}

TEST(a_body_that_is_no_json_has_none)
{
	struct event ev = event();

	ev.msg.body = BYTES("{\"id\":7} x");
	check_int(value_of("json /id == 7", &ev), 0);
	check_int(value_of("json /id != 7", &ev), 1);
	ev.msg.body = bytes_of(NULL, 0);
	check_int(value_of("json /id", &ev), 0);
	check_int(value_of("body == null && size == 0", &ev), 1);
	check_int(value_of("body ~ \"\"", &ev), 0);
}

TEST(regular_expressions)
{
	yes("topic ~ \"^orders\\\\.(eu|us)$\"");
	yes("topic !~ \"^eu\"");
	yes("key ~ \"y$\"");
	yes("json /id ~ \"^7$\" && header.n ~ \"^1\"");
	no("json /t ~ \"true\"");
}

TEST(times)
{
	yes("ts >= 1795245676323 && ts <= 1795245676323");
	yes("ts > \"2026-11-21T07:21:16Z\" && ts < \"2026-11-21T07:21:17Z\"");
	yes("ts == \"2026-11-21T08:21:16.323+01:00\"");
}

TEST(and_or_not_and_brackets)
{
	yes("topic == \"x\" || topic ~ \"o\" && size > 1");
	no("(topic == \"x\" || topic ~ \"o\") && size < 1");
	yes("!!topic && !(size < 1)");
	no("!topic == \"orders.eu\"");
	yes("topic==\"orders.eu\"&&!key==\"x\"");
}

TEST(what_is_wrong_is_said_with_its_place)
{
	bad("", "--where: character 1: a field is wanted here: topic, key, body, size, ts, header.NAME, "
		"json /POINTER, meta.NAME");
	bad("topik == \"x\"", "--where: character 1: unknown field topik (there are topic, key, body, size, "
		"ts, header.NAME, json /POINTER, meta.NAME)");
	bad("topic = \"x\"", "--where: character 7: equal is ==");
	bad("topic == x", "--where: character 10: a string in quotes, a number, true, false or null is "
		"wanted here");
	bad("topic == \"x", "--where: character 10: this \" has no end");
	bad("(size > 1", "--where: character 1: this ( has no )");
	bad("(size > 1 size)", "--where: character 11: &&, || or ) is wanted here");
	bad("size > 1 size", "--where: character 10: && or || is wanted here");
	bad("size > 1 &&", "--where: character 12: a field is wanted here: topic, key, body, size, ts, "
		"header.NAME, json /POINTER, meta.NAME");
	bad("topic ~ \"(\"", "--where: character 9: not a regular expression: Unmatched ( or \\(");
	bad("topic ~ 5", "--where: character 9: ~ wants a regular expression in quotes");
	bad("json a == 1", "--where: character 6: a JSON pointer begins with /");
	bad("json /a~2 == 1", "--where: character 9: ~ wants a regular expression in quotes");
	bad("json \"/a~2\"", "--where: character 6: in a JSON pointer ~ is written ~0, and / in a name ~1");
	bad("ts > \"noon\"", "--where: character 6: ts is compared with milliseconds since 1970, or with a "
		"time as \"2026-11-21T06:55:30Z\"");
	bad("size < true", "--where: character 8: true, false and null have no order");
	bad("header. == 1", "--where: character 8: a name is wanted here: header.NAME");
	bad("size > 01", "--where: character 8: a string in quotes, a number, true, false or null is wanted "
		"here");
}

TEST(depth_and_length_are_bounded)
{
	char text[4000];
	struct error err;

	memset(text, '!', sizeof text);
	strcpy(text + sizeof text - 6, "topic");
	check(expr_compile("--where", text, &err) == NULL);
	check_str(err.text, "--where: character 101: too deep");
	memset(text, '(', sizeof text - 1);
	text[sizeof text - 1] = 0;
	check(expr_compile("--where", text, &err) == NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Format strings: cli/format_compile.c, cli/format_string.c; and the formats beside. */
#include <stdlib.h>
#include <time.h>

#include "cli/format_program.h"
#include "cli/json_show.h"
#include "tests/unit/test.h"

/* 2026-11-21T07:21:16.323709Z */
#define T0 INT64_C(1795245676323709)

static struct buf out;

static const struct header headers[] = {
	{ BYTES("Content-Type"), BYTES("text/plain") }, { BYTES("k1"), BYTES("a,b=c\\\n") },
	{ BYTES("k1"), BYTES("2") }, { BYTES("none"), { NULL, 0 } },
};

static struct event
event(void)
{
	struct event ev = event_none;

	ev.topic = BYTES("orders");
	ev.msg.body = BYTES("h\xc3\xa4llo");
	ev.msg.key = BYTES("k");
	ev.msg.headers = headers;
	ev.msg.nheaders = 4;
	ev.time_us = T0;
	ev.partition = 3;
	ev.offset = 42;
	return ev;
}

static struct bytes
shown_as(const char *format, bool mosquitto, bool terminal, const struct event *ev)
{
	struct formatter f = { .format = &format_string, .broker = "kafka", .terminal = terminal };
	struct error err;

	buf_clear(&out);
	f.program = format_compile(mosquitto ? "-F" : "-f", format, mosquitto, false, &err);
	if (!f.program) {
		buf_add_str(&out, err.text);
		return buf_bytes(&out);
	}
	format_add(&f, &out, ev, 7);
	format_program_free(f.program);
	return buf_bytes(&out);
}

static void
shows(const char *file, int line, const char *format, bool mosquitto, struct bytes want)
{
	struct event ev = event();

	test_eq_bytes(file, line, format, shown_as(format, mosquitto, false, &ev), want);
}
#define native(format, want) shows(__FILE__, __LINE__, format, false, BYTES(want))
#define mosquitto(format, want) shows(__FILE__, __LINE__, format, true, BYTES(want))

TEST(every_native_letter)
{
	native("%t|%s|%v|%k|%b|%m|%i", "orders|h\xc3\xa4llo|h\xc3\xa4llo|k|kafka||7");
	native("%S %V %l %K %p %o %q %r", "6 6 6 1 3 42 -1 0");
	native("%x %X", "68c3a46c6c6f 68C3A46C6C6F");
	native("%T %d", "1795245676323 1795245676323");
	native("%h", "Content-Type=text/plain,k1=a\\,b\\=c\\\\\\n,k1=2,none");
	native("%R", "\0\0\0\6");
	native("100%% \\%", "-f: character 7: unknown escape \\% (there are \\n \\r \\t \\a \\e \\v "
		"\\0 \\\\ \\{ \\} \\xHH \\NNN) (man 7 mbus-format)");
	native("%j\n", "{\"v\":1,\"n\":7,\"topic\":\"orders\",\"ts\":\"2026-11-21T07:21:16.323709Z\","
		"\"headers\":{\"Content-Type\":\"text/plain\",\"k1\":[\"a,b=c\\\\\\n\",\"2\"],"
		"\"none\":null},\"key\":\"k\",\"body\":\"h\xc3\xa4llo\",\"len\":6,\"meta\":{\"broker\":"
		"\"kafka\",\"partition\":3,\"offset\":42,\"wire\":\"raw\",\"ts\":\"recv\"}}\n");
}

TEST(escapes_are_bytes)
{
	native("\\n\\r\\t\\\\\\a\\e\\v\\{\\}\\x41\\xfF\\101\\377", "\n\r\t\\\a\033\v{}A\xff" "A\xff");
	native("a\\0b\\08", "a\0b\0" "8");
}

TEST(modifiers_encode_and_cut)
{
	native("%s{hex}%s{HEX}", "68c3a46c6c6f68C3A46C6C6F");
	native("%s{base64}", "aMOkbGxv");
	native("%s{json}%k{json}%{header:none}{json}%p{json}", "\"h\xc3\xa4llo\"\"k\"null3");
	native("%s{trunc:2}|%s{trunc:3}|%s{trunc:99}|%s{trunc:2}{hex}", "h|h\xc3\xa4|h\xc3\xa4llo|68");
	native("%o{big16}%o{little32}%q{big8}%i{big64}", "\0\x2a\x2a\0\0\0\xff\0\0\0\0\0\0\0\7");
	native("%o{hex}", "3432");
}

TEST(shell_words_are_one_word_and_one_line)
{
	static const struct { struct bytes body; const char *want; } cases[] = {
		{ BYTES("plain-1.0/x"), "plain-1.0/x" }, { BYTES(""), "''" },
		{ BYTES("two words"), "'two words'" }, { BYTES("it's"), "'it'\\''s'" },
		{ BYTES("a\nb'\\"), "$'a\\nb\\'\\\\'" }, { BYTES("\xff\0"), "$'\\377\\000'" },
		{ BYTES("\xc3\xa4"), "'\xc3\xa4'" }, { BYTES("\xe2\x80\xae"), "$'\\342\\200\\256'" },
		{ BYTES("$x"), "'$x'" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct event ev = event();

		ev.msg.body = cases[i].body;
		check_bytes(shown_as("%s{q}", false, false, &ev), bytes_str(cases[i].want));
	}
}

TEST(width_and_precision_count_characters)
{
	native("%8t|%-8t|%.2t|%8.2s|%-4.2s|", "  orders|orders  |or|      h\xc3\xa4|h\xc3\xa4  |");
	native("%06i|%6i|%-6i|%05q|%3o", "000007|     7|7     |-0001| 42");
	native("%2t", "orders");
}

TEST(times)
{
	native("%T{iso}", "2026-11-21T07:21:16.323709Z");
	native("%T{unix}", "1795245676.323709000");
	native("%T{%H:%M:%S.%N %s}", "07:21:16.323709000 1795245676");
	native("%d{strftime[%Y]}", "2026");
	native("%T{big64}", "\0\0\1\xa1\xfc\xfb\x17#");
	native("%10T{%Y}|", "      2026|");
	native("%T{%Q}", "-f: character 3: strftime has no %Q (man 7 mbus-format)");
	native("%T{%}", "-f: character 3: strftime has no % (man 7 mbus-format)");
}

TEST(a_local_time_has_its_zone)
{
	struct formatter f = { .format = &format_string, .broker = "b" };
	struct event ev = event();
	struct error err;

	setenv("TZ", "XXX-05:30", 1);
	tzset();
	f.program = format_compile("-f", "%T{iso} %T{%H:%M}", false, true, &err);
	need(f.program != NULL);
	buf_clear(&out);
	format_add(&f, &out, &ev, 1);
	check_bytes(buf_bytes(&out), BYTES("2026-11-21T12:51:16.323709+0530 12:51"));
	format_program_free(f.program);
	buf_clear(&out);
	f = (struct formatter){ .format = &format_text, .max_body = 9, .stamp.local = true };
	ev.msg.nheaders = 0;
	format_add(&f, &out, &ev, 1);
	check_bytes(buf_bytes(&out), BYTES("#1 orders[3]@42  key=k  "
		"2026-11-21T12:51:16.323+05:30  6 B\n\nh\xc3\xa4llo\n\n"));
	setenv("TZ", "UTC", 1);
	tzset();
}

TEST(headers_one_by_one)
{
	native("%{header:k1}|%{header:nope}|%{header:content-type}", "a,b=c\\\n||text/plain");
	native("%h{<%k=%v{json}>}", "<Content-Type=\"text/plain\"><k1=\"a,b=c\\\\\\n\"><k1=\"2\">"
		"<none=null>");
	native("%h{%-13k|\\n}", "Content-Type |\nk1           |\nk1           |\nnone         |\n");
	native("%h{hex}", "436f6e74656e742d547970653d746578742f706c61696e2c6b313d615c2c625c3d635c5c5c6e"
		"2c6b313d322c6e6f6e65");
	native("%h{%t}", "-f: character 5: inside %h{...} there are %k and %v, the header's name and "
		"value, not %t (man 7 mbus-format)");
	native("%h{%k", "-f: character 3: this { has no } (man 7 mbus-format)");
	native("%5h{%k}", "-f: character 1: %h{...} takes no width and no modifier: its fields do "
		"(man 7 mbus-format)");
}

TEST(meta_by_name)
{
	native("%{meta:broker} %{meta:partition} %{meta:offset} %{meta:wire} %{meta:ts} %{meta:ttl}",
		"kafka 3 42 raw recv -1");
	native("%{meta:x}", "-f: character 2: there are %{header:NAME} and %{meta:NAME}, of meta broker, "
		"partition, offset, id, qos, retain, reply, ttl, content_type, correlation, wire, ts "
		"(man 7 mbus-format)");
}

TEST(mosquitto_has_its_own_letters)
{
	mosquitto("%t %p %l %q %r %m %C %R %D %E", "orders h\xc3\xa4llo 6 -1 0  text/plain   -1");
	mosquitto("%x %X", "68c3a46c6c6f 68C3A46C6C6F");
	mosquitto("%I %U %@Y-%@m", "2026-11-21T07:21:16+0000 1795245676.323709000 2026-11");
	mosquitto("%P", "Content-Type:text/plain k1:a,b=c\\\n k1:2 none:");
	mosquitto("%.3p|%-8t|{x}", "h\xc3\xa4l|orders  |{x}");
	mosquitto("%A", "-F: character 2: mbus does not know an event's topic alias (man 7 mbus-format)");
	mosquitto("%s", "-F: character 2: unknown field %s (man 7 mbus-format)");
}

TEST(what_is_wrong_is_said_with_its_place)
{
	native("ab%y", "-f: character 4: unknown field %y (man 7 mbus-format)");
	native("ab%", "-f: character 4: a % at the end (%% is a percent sign) (man 7 mbus-format)");
	native("\\", "-f: character 1: a \\ at the end (\\\\ is one) (man 7 mbus-format)");
	native("\\x4", "-f: character 1: unknown escape \\x (there are \\n \\r \\t \\a \\e \\v \\0 \\\\ "
		"\\{ \\} \\xHH \\NNN) (man 7 mbus-format)");
	native("%s{zip}", "-f: character 3: unknown modifier {zip} (there are hex, HEX, base64, json, q, "
		"trunc:N) (man 7 mbus-format)");
	native("%p{trunc:1}", "-f: character 3: unknown modifier {trunc:1} (there are big8 to big64, "
		"little8 to little64, hex, json, q) (man 7 mbus-format)");
	native("%s{hex}{q}", "-f: character 8: one {modifier} says how the field is written; this is the "
		"second (man 7 mbus-format)");
	native("%s{hex", "-f: character 3: this { has no } (man 7 mbus-format)");
	native("%.3p", "-f: character 1: a number has no precision (man 7 mbus-format)");
	native("%99999t", "-f: character 2: a width over 10000 (man 7 mbus-format)");
	native("%s{trunc:}", "-f: character 3: {trunc:N} wants a number of bytes (man 7 mbus-format)");
}

TEST(nothing_of_the_event_acts_on_a_terminal)
{
	struct event ev = event();

	ev.topic = BYTES("t\033[2J");
	ev.msg.body = BYTES("a\xe2\x80\xae\xc2\x9b\xff\n\tb");
	check_bytes(shown_as("\033[1m%t\033[0m %s", false, true, &ev),
		BYTES("\033[1mt\\x1b[2J\033[0m a\\xe2\\x80\\xae\\xc2\\x9b\\xff\n\tb"));
	check_bytes(shown_as("%t", false, false, &ev), BYTES("t\033[2J"));
}

TEST(what_is_not_there)
{
	struct event ev = event_none;

	ev.topic = BYTES("t");
	ev.time_kind = EVENT_TIME_NONE;
	check_bytes(shown_as("%s|%S|%k|%K|%h|%h{%k}|%T|%T{iso}|%p|%s{json}|%s{hex}|%s{q}", false, false,
		&ev), BYTES("|-1||-1|||-1||-1|null||''"));
}

TEST(lines_stay_lines)
{
	struct formatter f = { .format = &format_line }, hex = { .format = &format_hex };
	struct event ev = event();

	buf_clear(&out);
	format_add(&f, &out, &ev, 1);
	ev.msg.key = bytes_of(NULL, 0);
	ev.msg.body = BYTES("a\tb\nc");
	format_add(&f, &out, &ev, 1);
	ev.msg.key = BYTES("-");
	ev.msg.body = BYTES("{\"a\": \"b c\"}");
	format_add(&f, &out, &ev, 1);
	ev.msg.key = BYTES("");
	ev.msg.body = BYTES("'x");
	format_add(&f, &out, &ev, 1);
	format_add(&hex, &out, &ev, 1);
	check_bytes(buf_bytes(&out), BYTES("orders\tk\th\xc3\xa4llo\norders\t-\t$'a\\tb\\nc'\n"
		"orders\t-\t{\"a\": \"b c\"}\norders\t''\t''\\''x'\n2778\n"));
}

static struct bytes
as(const char *json, enum json_space space, bool color)
{
	buf_clear(&out);
	json_show(&out, bytes_str(json), space, color);
	return buf_bytes(&out);
}

TEST(json_in_three_spacings)
{
	static const char text[] = " { \"a b\" : [ 1.50 , {} , [ ] , \"x\\\"y\" ] , \"n\" : null } ";

	check_bytes(as(text, JSON_KEEP, false), bytes_str(text));
	check_bytes(as(text, JSON_COMPACT, false),
		BYTES("{\"a b\":[1.50,{},[],\"x\\\"y\"],\"n\":null}"));
	check_bytes(as(text, JSON_PRETTY, false), BYTES("{\n  \"a b\": [\n    1.50,\n    {},\n    [],\n"
		"    \"x\\\"y\"\n  ],\n  \"n\": null\n}"));
	check_bytes(as("{\"a\":1,\"b\":\"c\",\"d\":[true]}", JSON_COMPACT, true),
		BYTES("{\033[34m\"a\"\033[0m:\033[36m1\033[0m,\033[34m\"b\"\033[0m:\033[32m\"c\"\033[0m,"
		"\033[34m\"d\"\033[0m:[\033[33mtrue\033[0m]}"));
	check_bytes(as("\"\xe2\x80\xae\xc2\x9b\x7f\xf3\xa0\x80\x81\"", JSON_KEEP, false),
		BYTES("\"\\u202e\\u009b\\u007f\\udb40\\udc01\""));
}

TEST(json_events_with_a_json_body)
{
	struct formatter f = { .format = &format_json, .broker = "b", .body_json = true };
	struct event ev = event_none;

	ev.topic = BYTES("t");
	ev.time_kind = EVENT_TIME_NONE;
	ev.msg.body = BYTES(" [1.50, \"a b\"]\n");
	buf_clear(&out);
	format_add(&f, &out, &ev, 1);
	ev.msg.body = BYTES("[1");
	format_add(&f, &out, &ev, 2);
	check_bytes(buf_bytes(&out), BYTES("{\"v\":1,\"n\":1,\"topic\":\"t\",\"headers\":{},\"body_json\":"
		"[1.50,\"a b\"],\"len\":15,\"meta\":{\"broker\":\"b\",\"wire\":\"raw\"}}\n"
		"{\"v\":1,\"n\":2,\"topic\":\"t\",\"headers\":{},\"body\":\"[1\",\"len\":2,"
		"\"meta\":{\"broker\":\"b\",\"wire\":\"raw\"}}\n"));
	buf_release(&out);
	buf_release(&f.line);
}

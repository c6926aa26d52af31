/* SPDX-License-Identifier: Apache-2.0 */
/* -o of sub, -D of both: what people write, and what it means. */
#include <stdlib.h>

#include "cli/delim.h"
#include <time.h>

#include "cli/position.h"
#include "tests/unit/test.h"

static struct position from, until;
static struct error err;

static int
parse(const char *text)
{
	from = until = (struct position){ 0 };
	err = (struct error)ERROR_INIT;
	return position_parse(text, &from, &until, &err);
}

#define check_from(text, k, number) do { \
	check_int(parse(text), 0); \
	check_int(from.kind, k); \
	check_int(from.n, number); \
	check_int(until.kind, POSITION_DEFAULT); \
} while (0)
TEST(words_and_numbers)
{
	check_from("beginning", POSITION_BEGINNING, 0);
	check_from("end", POSITION_END, 0);
	check_from("stored", POSITION_STORED, 0);
	check_from("0", POSITION_OFFSET, 0);
	check_from("9223372036854775807", POSITION_OFFSET, INT64_MAX);
	check_from("-10", POSITION_TAIL, 10);
	check_from("1526919030474-55", POSITION_ID, 0);
	check_str(from.text, "1526919030474-55");
	/* Too large for a number: the broker may know better. */
	check_from("9223372036854775808", POSITION_ID, 0);
}

TEST(times)
{
	check_from("s@0", POSITION_TIME, 0);
	check_from("s@1795244130123", POSITION_TIME, 1795244130123);
	check_from("s@2026-11-21T06:55:30Z", POSITION_TIME, 1795244130000);
	check_from("s@2026-11-21 06:55:30.1239z", POSITION_TIME, 1795244130123);
	check_from("s@2026-11-21T07:55:30.5+01:00", POSITION_TIME, 1795244130500);
	check_from("s@2026-11-20t23:25:30-07:30", POSITION_TIME, 1795244130000);
	check_from("s@2024-02-29T00:00:00Z", POSITION_TIME, 1709164800000);
	check_from("s@2016-12-31T23:59:60Z", POSITION_TIME, 1483228800000);
	check_int(parse("e@5"), 0);
	check_int(until.kind, POSITION_TIME);
	check_int(until.n, 5);
	check_int(from.kind, POSITION_DEFAULT);
}

TEST(what_is_neither_is_refused)
{
	static const char *const bad[] = {
		"", "-", "--5", "begin", "+5", "-5x", " 5", "5 6", "s", "stored ", NULL
	};
	static const char *const no_time[] = {
		"s@", "s@-", "s@-x", "s@--1", "s@now", "s@2026-11-21", "s@2026-11-21T06:55Z", "s@2026-11-21T06:55:30",
		"s@2026-13-21T06:55:30Z", "s@2026-00-21T06:55:30Z", "s@2026-02-30T06:55:30Z",
		"s@2026-11-21T24:00:00Z", "s@2026-11-21T06:60:30Z", "s@2026-11-21T06:55:61Z",
		"s@2026-11-21T06:55:30.Z", "s@2026-11-21T06:55:30ZZ", "s@2026-11-21T06:55:30+0100",
		"s@2026-11-21T06:55:30+24:00", "s@1969-12-31T23:59:59Z", "s@99999999999999999999",
		"e@x", NULL
	};

	for (int i = 0; bad[i]; i++) {
		check_int(parse(bad[i]), -1);
		check_int(err.kind, ERR_USAGE);
		if (!strstr(err.text, "is none of beginning, end, stored, N, -N, s@T, e@T, an id"))
			test_failed(__FILE__, __LINE__, "%s: %s", bad[i], err.text);
	}
	for (int i = 0; no_time[i]; i++) {
		check_int(parse(no_time[i]), -1);
		if (!strstr(err.text, "is no time"))
			test_failed(__FILE__, __LINE__, "%s: %s", no_time[i], err.text);
	}
	check_int(parse("s@x"), -1);
	check_str(err.text, "-o s@T: 'x' is no time (milliseconds since 1970, "
		"2026-11-21T06:55:30Z, or -1h: an hour ago)");
}

/* The time now, less what was said, and a little more that passed. */
static bool
is_ago(const struct position *p, int64_t ms)
{
	struct timespec now;
	int64_t want;

	clock_gettime(CLOCK_REALTIME, &now);
	want = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - ms;
	return p->kind == POSITION_TIME && p->n <= want && p->n > want - 60000;
}

TEST(times_may_be_relative)
{
	check_int(parse("s@-1h"), 0);
	check(is_ago(&from, 3600000));
	check_int(parse("s@-1m30s"), 0);
	check(is_ago(&from, 90000));
	check_int(parse("s@-36500d"), 0);
	check_int(from.n, 0);
	check_int(position_parse("e@-5m", &from, &until, &err), 0);
	check(is_ago(&until, 300000));
}

TEST(each_once)
{
	check_int(parse("-5"), 0);
	check_int(position_parse("e@7", &from, &until, &err), 0);
	check_int(position_parse("s@7", &from, &until, &err), -1);
	check_str(err.text, "-o: where to begin is said twice");
	check_int(position_parse("e@8", &from, &until, &err), -1);
	check_str(err.text, "-o: where to end is said twice");
	check_int(from.n, 5);
	check_int(until.n, 7);
}

TEST(delimiters)
{
	static const struct {
		const char *text;
		struct bytes want;
	} cases[] = {
		{ ";", BYTES(";") }, { "--", BYTES("--") }, { "\\n", BYTES("\n") },
		{ "a\\tb\\r\\e\\\\", BYTES("a\tb\r\033\\") }, { "\\0", BYTES("\0") },
		{ "\\x00\\xfF1", BYTES("\0\xff" "1") }, { "\xc3\xa4", BYTES("\xc3\xa4") },
	};
	static const char *const bad[] = { "\\", "a\\", "\\q", "\\x", "\\x1", "\\xg0", NULL };
	struct bytes out;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		check_int(delim_parse("-D", cases[i].text, &out, &err), 0);
		check_bytes(out, cases[i].want);
		free((char *)out.p);
	}
	for (int i = 0; bad[i]; i++) {
		check_int(delim_parse("-D", bad[i], &out, &err), -1);
		check_int(err.kind, ERR_USAGE);
	}
	check_int(delim_parse("-K", "", &out, &err), -1);
	check_str(err.text, "-K: it is empty");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* core/xopt: typed -X options: where they go, what bounds them, what is said. */
#include "core/broker.h"
#include "tests/unit/test.h"

struct typed {
	struct broker b;
	bool yes;
	int which;
	uint64_t count, time_ms, size_bytes, free_count;
	const char *text, *word, *secret;
};

#define AT(type, member) XOPT_##type(struct typed, member)
static const struct broker_option rows[] = {
	{ "yes", "yes|no", "no", "a bool", AT(BOOL, yes) },
	{ "which", "one|two|three", "two", "a choice", AT(CHOICE, which) },
	{ "count", "N", "3", "a count", AT(COUNT, count), .least = 2, .most = 9 },
	{ "time", "TIME", "30s", "a time", AT(TIME, time_ms), .least = 500, .most = 3600000 },
	{ "size", "SIZE", "1M", "a size", AT(SIZE, size_bytes), .least = 1024 },
	{ "free", "N", NULL, "without bounds or default", AT(COUNT, free_count) },
	{ "text", "TEXT", NULL, "a text", AT(STR, text) },
	{ "word", "WORD", NULL, "of some length", AT(STR, word), .least = 1, .most = 5 },
	{ "secret", "@FILE", NULL, "never shown", AT(STR, secret), .least = 3, .secret = true },
	{ "hand", "TEXT", "x", "read by hand" },
	{ NULL }
};
static const struct broker_ops ops = { .name = "typed", .options = rows };

/* One option of the user's, or none; what is said, or NULL. */
static const char *
given(struct typed *t, const char *name, const char *value)
{
	static struct error err;
	static struct broker_xopt x;

	x = (struct broker_xopt){ name, value };
	*t = (struct typed){ .b = { .ops = &ops, .opts = { .xopts = &x, .nxopts = name != NULL } } };
	err = (struct error)ERROR_INIT;
	if (broker_read_xopts(&t->b, &err) == 0)
		return NULL;
	check_int(err.kind, ERR_USAGE);
	return err.text;
}

TEST(defaults)
{
	struct typed t;

	check(!given(&t, NULL, NULL));
	check(!t.yes && t.which == 1 && t.count == 3 && t.time_ms == 30000);
	check(t.size_bytes == 1048576 && t.free_count == 0 && !t.text);
}

TEST(values)
{
	struct typed t;

	check(!given(&t, "yes", "yes") && t.yes);
	check(!given(&t, "typed.yes", "yes") && t.yes);
	check(!given(&t, "which", "one") && t.which == 0);
	check(!given(&t, "which", "three") && t.which == 2);
	check(!given(&t, "count", "2") && t.count == 2);
	check(!given(&t, "count", "9") && t.count == 9);
	check(!given(&t, "time", "500ms") && t.time_ms == 500);
	check(!given(&t, "time", "1h") && t.time_ms == 3600000);
	check(!given(&t, "size", "1K") && t.size_bytes == 1024);
	check(!given(&t, "free", "0") && t.free_count == 0);
	check(!given(&t, "free", "18446744073709551615") && t.free_count == UINT64_MAX);
	check(!given(&t, "word", "12345") && t.word);
	check(!given(&t, "text", "") && t.text && !*t.text);
	check(!given(&t, "hand", "anything"));
}

TEST(refused)
{
	struct typed t;

	check_str(given(&t, "yes", "true"), "-X typed.yes=true: yes or no");
	check_str(given(&t, "which", "tw"), "-X typed.which=tw: one of one|two|three");
	check_str(given(&t, "which", "two|three"),
		"-X typed.which=two|three: one of one|two|three");
	check_str(given(&t, "which", ""), "-X typed.which=: one of one|two|three");
	check_str(given(&t, "count", "1"), "-X typed.count=1: a whole number from 2 to 9");
	check_str(given(&t, "count", "10"), "-X typed.count=10: a whole number from 2 to 9");
	check_str(given(&t, "count", "x"), "-X typed.count=x: a whole number from 2 to 9");
	check_str(given(&t, "free", "-1"), "-X typed.free=-1: a whole number");
	check_str(given(&t, "time", "499ms"), "-X typed.time=499ms: a time, such as 30s from "
		"500ms to 3600s");
	check_str(given(&t, "word", ""), "-X typed.word=: a text from 1 to 5 bytes");
	check_str(given(&t, "word", "123456"), "-X typed.word=123456: a text from 1 to 5 bytes");
	check_str(given(&t, "secret", "ab"), "-X typed.secret=@FILE: a text, at least 3 bytes");
	check_str(given(&t, "size", "1023"), "-X typed.size=1023: a size, at least 1.00 KiB");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pattern.h"
#include "test.h"

static const char *
why_not(const char *text)
{
	static struct error err;
	regex_t re;

	err.text[0] = '\0';
	if (pattern_compile(&re, bytes_str(text), &err) == 0)
		regfree(&re);
	else
		check_int(err.kind, ERR_USAGE);
	return err.text;
}

static bool
is_in(const char *text, struct bytes b)
{
	struct error err;
	regex_t re;
	bool found;

	if (pattern_compile(&re, bytes_str(text), &err) < 0)
		return false;
	found = pattern_is_in(&re, b);
	regfree(&re);
	return found;
}

TEST(somewhere_in_it)
{
	check(is_in("rd", BYTES("orders")));
	check(is_in("^o", BYTES("orders")));
	check(!is_in("^rd", BYTES("orders")));
	check(is_in("^(orders|bills)$", BYTES("bills")));
	check(is_in("", BYTES("")));
	check(is_in("b", BYTES("a\0b")));
	check(!is_in("c", bytes_of("abc", 2)));
	check(is_in("[]a]\\{[^]\\(][[:digit:]]{2}", BYTES("a{x12")));
}

TEST(what_is_wrong_is_said)
{
	static const struct { const char *text, *words; } cases[] = {
		{ "(a", "not a regular expression" }, { "[a", "not a regular expression" },
		{ "(a)\\1", "a reference back" }, { "a{2000}", "too long" },
		{ "a++++++++++++++++++++++++++++", "too" }, { "((((a+)+)+)+b+++++++)+++", "too" },
		{ "(a{100})*{100}", "too long" }, { "(a{100})?+++++", "too long" },
		{ "a{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}{1,}", "too" },
		{ "a*****************************************", "too many repetitions" },
		{ "(a*b*c*d*){12}", "too many repetitions" },
		{ "((a{20}){20}){20}", "too long" }, { "((a|b{40}){40}x)*", "too long" },
		{ "(((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))",
			"too many parentheses" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(strstr(why_not(cases[i].text), cases[i].words) != NULL);
	{
		struct error err;
		regex_t re;
		char many[PATTERN_MAX + 1];

		memset(many, 'a', sizeof many);
		check_int(pattern_compile(&re, bytes_of(many, sizeof many), &err), -1);
		check_int(pattern_compile(&re, BYTES("a\0"), &err), -1);
	}
}

TEST(what_is_bounded_is_taken)
{
	static const char *const cases[] = {
		"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", "\\\\1", "[\\1]", "a{0,500}", "(x{10}){9}y{2}",
		"[^]{99999}]", "[+++++++++++]", "\\+\\+\\+\\+\\+\\+\\+\\+\\+\\+\\+", "(a+b+)*c?+d{3,}", "[[:alpha:]{5000}]", "^a|b$",
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_str(why_not(cases[i]), "");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* JSON strings out, JSON in. The words of errors, and where they are, were taken
 * from Go 1.26's encoding/json over the same input. */
#include "core/json.h"

#include <stdlib.h>

#include "core/text.h"
#include "tests/unit/test.h"

/* ---- writing ---- */

static const struct { struct bytes in; const char *go, *event; } strings[] = {
	{ BYTES(""), "\"\"", "\"\"" },
	{ BYTES("hello world"), "\"hello world\"", "\"hello world\"" },
	{ BYTES("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"", "\"a\\\"b\\\\c/d\"" },
	{ BYTES("<b> & </b>"), "\"\\u003cb\\u003e \\u0026 \\u003c/b\\u003e\"", "\"<b> & </b>\"" },
	{ BYTES("\n\r\t\b\f"), "\"\\n\\r\\t\\b\\f\"", "\"\\n\\r\\t\\b\\f\"" },
	{ BYTES("\0\x01\x0b\x1f"), "\"\\u0000\\u0001\\u000b\\u001f\"",
	  "\"\\u0000\\u0001\\u000b\\u001f\"" },
	{ BYTES("\x7f"), "\"\x7f\"", "\"\\u007f\"" },
	{ BYTES("\xe2\x80\xa8\xe2\x80\xa9"), "\"\\u2028\\u2029\"", "\"\\u2028\\u2029\"" },
	{ BYTES("\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xac"),
	  "\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xac\"", "\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xac\"" },
	{ BYTES("\xc3\xa9 \xf0\x9f\x98\x80"), "\"\xc3\xa9 \xf0\x9f\x98\x80\"",
	  "\"\xc3\xa9 \xf0\x9f\x98\x80\"" },
	/* What a word-wise writer gets wrong first: an escape that ends inside the
	 * last eight bytes. */
	{ BYTES("\xe2\x80\xa8%|TN=]t"), "\"\\u2028%|TN=]t\"", "\"\\u2028%|TN=]t\"" },
	{ BYTES("12345678901234567890\xe2\x80\xa8" "1234567"),
	  "\"12345678901234567890\\u20281234567\"", "\"12345678901234567890\\u20281234567\"" },
};

TEST(strings_are_written_as_go_does_and_for_events)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		buf_clear(&b);
		json_add_go_string(&b, strings[i].in);
		check_bytes(buf_bytes(&b), bytes_str(strings[i].go));
		buf_clear(&b);
		json_add_string(&b, strings[i].in);
		check_bytes(buf_bytes(&b), bytes_str(strings[i].event));
	}
	buf_clear(&b);
	json_add_go_string(&b, bytes_of(NULL, 0));
	check_bytes(buf_bytes(&b), BYTES("\"\""));
	buf_release(&b);
}

TEST(bytes_that_are_not_utf8_are_replaced_one_by_one)
{
	static const struct { struct bytes in; const char *out; } cases[] = {
		{ BYTES("a\xff" "b"), "\"a\\ufffdb\"" },
		{ BYTES("\xe2\x80"), "\"\\ufffd\\ufffd\"" },
		{ BYTES("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"" },
		{ BYTES("\xc3\x28"), "\"\\ufffd(\"" },
	};
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		buf_clear(&b);
		json_add_go_string(&b, cases[i].in);
		check_bytes(buf_bytes(&b), bytes_str(cases[i].out));
	}
	buf_release(&b);
}

/* One special byte at each place of each length, and a buffer that must grow. */
TEST(escapes_at_every_place)
{
	char in[64], want[128];

	for (size_t n = 1; n <= sizeof in; n++)
		for (size_t at = 0; at < n; at++) {
			struct buf b = BUF_INIT;
			char *p = malloc(n);

			memset(in, 'x', n);
			in[at] = '\n';
			memcpy(p, in, n);
			want[0] = '"';
			memset(want + 1, 'x', n + 1);
			memcpy(want + 1 + at, "\\n", 2);
			want[n + 2] = '"';
			json_add_go_string(&b, bytes_of(p, n));
			check_bytes(buf_bytes(&b), bytes_of(want, n + 3));
			buf_clear(&b);
			json_add_string(&b, bytes_of(p, n));
			check_bytes(buf_bytes(&b), bytes_of(want, n + 3));
			free(p);
			buf_release(&b);
		}
}

TEST(a_string_of_nothing_but_escapes)
{
	struct buf b = BUF_INIT;
	size_t n = 100000;
	char *p = calloc(1, n);

	json_add_string(&b, bytes_of(p, n));
	check_int(buf_len(&b), n * 6 + 2);
	check(memcmp(buf_data(&b) + n * 6 - 5, "\\u0000\"", 7) == 0);
	free(p);
	buf_release(&b);
}

/* ---- reading ---- */

/* The tokens of a text as one line. */
static void
check_tokens(const char *text, const char *want)
{
	static const char *const names[] = { "END", "{", "}", "[", "]", "s", "n", "true", "false",
		"null", "k", "ERROR" };
	size_t n = strlen(text);
	char *p = malloc(n + 1);
	struct buf b = BUF_INIT;
	struct json_scan s;
	enum json_token t;

	memcpy(p, text, n);
	json_scan_init(&s, p, n);
	do {
		t = json_next(&s);
		buf_add_str(&b, names[t]);
		if (t == JSON_KEY || t == JSON_STRING || t == JSON_NUMBER) {
			buf_add_ch(&b, '(');
			buf_add_bytes(&b, s.text);
			buf_add_ch(&b, ')');
		}
		if (t == JSON_ERROR)
			buf_addf(&b, " %zu %s", s.at, s.error);
		else
			buf_add_ch(&b, ' ');
	} while (t != JSON_END && t != JSON_ERROR);
	check_int(json_next(&s), t);		/* it stays at that */
	check_bytes(buf_bytes(&b), bytes_str(want));
	check_int(json_valid(p, n), t == JSON_END);
	buf_release(&b);
	free(p);
}

TEST(tokens)
{
	check_tokens("{}", "{ } END ");
	check_tokens(" \t\r\n[ ] \n", "[ ] END ");
	check_tokens("null", "null END ");
	check_tokens("true", "true END ");
	check_tokens("false ", "false END ");
	check_tokens("\"\"", "s() END ");
	check_tokens("-0.5e+10", "n(-0.5e+10) END ");
	check_tokens("[0,1.0,-12,3E5]", "[ n(0) n(1.0) n(-12) n(3E5) ] END ");
	check_tokens("{\"a\":{\"b\":[1,\"x\\\"y\"]},\"c\" : null}",
		"{ k(a) { k(b) [ n(1) s(x\\\"y) ] } k(c) null } END ");
	check_tokens("[[],[{}],{\"\":[]}]", "[ [ ] [ { } ] { k() [ ] } ] END ");
}

TEST(errors_in_go_words)
{
	check_tokens("", "ERROR 0 unexpected end of JSON input");
	check_tokens("  ", "ERROR 2 unexpected end of JSON input");
	check_tokens("{", "{ ERROR 1 unexpected end of JSON input");
	check_tokens("[1", "[ n(1) ERROR 2 unexpected end of JSON input");
	check_tokens("{\"a\"", "{ ERROR 4 unexpected end of JSON input");
	check_tokens("\"abc", "ERROR 4 unexpected end of JSON input");
	check_tokens("{}x", "{ } ERROR 2 invalid character 'x' after top-level value");
	check_tokens("1 2", "n(1) ERROR 2 invalid character '2' after top-level value");
	check_tokens("01", "n(0) ERROR 1 invalid character '1' after top-level value");
	check_tokens("x", "ERROR 0 invalid character 'x' looking for beginning of value");
	check_tokens("\xef\xbb\xbf{}",
		"ERROR 0 invalid character '\xc3\xaf' looking for beginning of value");
	check_tokens("'a'", "ERROR 0 invalid character '\\'' looking for beginning of value");
	check_tokens("[,]", "[ ERROR 1 invalid character ',' looking for beginning of value");
	check_tokens("[1,]", "[ n(1) ERROR 3 invalid character ']' looking for beginning of value");
	check_tokens("{,}",
		"{ ERROR 1 invalid character ',' looking for beginning of object key string");
	check_tokens("{\"a\":1,}", "{ k(a) n(1) ERROR 7 invalid character '}' looking for "
		"beginning of object key string");
	check_tokens("{\"a\" 1}", "{ ERROR 5 invalid character '1' after object key");
	check_tokens("{\"a\":1]",
		"{ k(a) n(1) ERROR 6 invalid character ']' after object key:value pair");
	check_tokens("[1\"", "[ n(1) ERROR 2 invalid character '\"' after array element");
	check_tokens("\"\n\"", "ERROR 1 invalid character '\\n' in string literal");
	check_tokens("\"a\x7f\x1b\"", "ERROR 3 invalid character '\\x1b' in string literal");
	check_tokens("\"\\x\"", "ERROR 2 invalid character 'x' in string escape code");
	check_tokens("\"\\'\"", "ERROR 2 invalid character '\\'' in string escape code");
	check_tokens("\"\\u12g4\"",
		"ERROR 5 invalid character 'g' in \\u hexadecimal character escape");
	check_tokens("[-]", "[ ERROR 2 invalid character ']' in numeric literal");
	check_tokens("+1", "ERROR 0 invalid character '+' looking for beginning of value");
	check_tokens("1.e5",
		"ERROR 2 invalid character 'e' after decimal point in numeric literal");
	check_tokens("1ex", "ERROR 2 invalid character 'x' in exponent of numeric literal");
	check_tokens("nul1", "ERROR 3 invalid character '1' in literal null (expecting 'l')");
	check_tokens("tRue", "ERROR 1 invalid character 'R' in literal true (expecting 'r')");
	check_tokens("falsy", "ERROR 4 invalid character 'y' in literal false (expecting 'e')");
}

/* Cut inside a token, Go complains about a space that nobody wrote. */
TEST(errors_at_a_cut)
{
	check_tokens("-", "ERROR 1 invalid character ' ' in numeric literal");
	check_tokens("1.", "ERROR 2 invalid character ' ' after decimal point in numeric literal");
	check_tokens("1e-", "ERROR 3 invalid character ' ' in exponent of numeric literal");
	check_tokens("tr", "ERROR 2 invalid character ' ' in literal true (expecting 'u')");
	check_tokens("\"\\", "ERROR 2 invalid character ' ' in string escape code");
	check_tokens("\"\\u00",
		"ERROR 5 invalid character ' ' in \\u hexadecimal character escape");
}

TEST(bad_characters_as_go_shows_them)
{
	static const struct { unsigned char c; const char *shown; } cases[] = {
		{ 0, "'\\x00'" }, { 7, "'\\a'" }, { 0x0b, "'\\v'" }, { '\\', "'\\\\'" },
		{ '~', "'~'" }, { 0x7f, "'\\x7f'" }, { 0x80, "'\\u0080'" }, { 0x9f, "'\\u009f'" },
		{ 0xa0, "'\\u00a0'" }, { 0xa1, "'\xc2\xa1'" }, { 0xad, "'\\u00ad'" },
		{ 0xff, "'\xc3\xbf'" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char c = (char)cases[i].c, want[96];
		struct json_scan s;

		json_scan_init(&s, &c, 1);
		check_int(json_next(&s), JSON_ERROR);
		snprintf(want, sizeof want, "invalid character %s looking for beginning of value",
			cases[i].shown);
		check_str(s.error, want);
	}
}

TEST(depth_is_limited_as_in_go)
{
	size_t n = JSON_DEPTH_MAX + 1;
	char *p = malloc(2 * n);
	struct json_scan s;
	enum json_token t;

	memset(p, '[', n);
	memset(p + n, ']', n);
	check(json_valid(p + 1, 2 * (n - 1)));
	check(!json_valid(p, 2 * n));
	json_scan_init(&s, p, 2 * n);
	while ((t = json_next(&s)) == JSON_ARRAY)
		;
	check_int(t, JSON_ERROR);
	check_str(s.error, "invalid character '[' exceeded max depth");
	check_int(s.at, JSON_DEPTH_MAX);
	free(p);
}

TEST(valid_says_no_to_text)
{
	static const struct bytes no[] = {
		BYTES("hello"), BYTES("the quick"), BYTES("number 5"), BYTES("12:30"), BYTES("1,2"),
		BYTES("{a:1}"), BYTES("[info] up"), BYTES("\0"), BYTES("{}\0"), BYTES("nullx"),
	};

	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		check(!json_valid(no[i].p, no[i].n));
	check(!json_valid(NULL, 0));
	check(json_valid("{\"hello\":\"world\"}\n", 18));
	/* As Go: the inside of strings is not looked at. */
	check(json_valid("\"\xff\"", 3));
}

TEST(skip_takes_the_whole_value)
{
	static const char text[] = "{\"a\":[1,{\"b\":[]},\"]\"],\"c\":2,\"d\":{}}";
	struct json_scan s;

	json_scan_init(&s, text, sizeof text - 1);
	check_int(json_next(&s), JSON_OBJECT);
	check_int(json_next(&s), JSON_KEY);
	check(json_skip(&s, json_next(&s)));
	check_int(json_next(&s), JSON_KEY);
	check_bytes(s.text, BYTES("c"));
	check(json_skip(&s, json_next(&s)));
	check(json_skip(&s, json_next(&s)));	/* a key: with its value */
	check_int(json_next(&s), JSON_OBJECT_END);
	check_int(json_next(&s), JSON_END);

	json_scan_init(&s, "[1,[2}", 6);
	check_int(json_next(&s), JSON_ARRAY);
	check(!json_skip(&s, JSON_ARRAY));
	check_str(s.error, "invalid character '}' after array element");
	check(!json_skip(&s, JSON_ERROR));
}

static void
check_unescaped(struct bytes text, struct bytes want)
{
	struct buf tmp = BUF_INIT;
	struct json_scan s;
	char *p = malloc(text.n);

	memcpy(p, text.p, text.n);
	json_scan_init(&s, p, text.n);
	check_int(json_next(&s), JSON_STRING);
	check_bytes(json_unescape(&s, &tmp), want);
	buf_release(&tmp);
	free(p);
}

TEST(unescape)
{
	check_unescaped(BYTES("\"\""), BYTES(""));
	check_unescaped(BYTES("\"plain\""), BYTES("plain"));
	check_unescaped(BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), BYTES("\"\\/\b\f\n\r\t"));
	check_unescaped(BYTES("\"a\\u0000b\\u00e9\\u20AC\\u2028\""),
		BYTES("a\0b\xc3\xa9\xe2\x82\xac\xe2\x80\xa8"));
	check_unescaped(BYTES("\"\\ud83d\\uDE00!\""), BYTES("\xf0\x9f\x98\x80!"));
	check_unescaped(BYTES("\"\\udbff\\udfff\""), BYTES("\xf4\x8f\xbf\xbf"));
	/* Halves of pairs. */
	check_unescaped(BYTES("\"\\ud83d\""), BYTES("\xef\xbf\xbd"));
	/* The first and the last of each half, and what stands beside them. */
	check_unescaped(BYTES("\"\\ud800\\udc00\""), BYTES("\xf0\x90\x80\x80"));
	check_unescaped(BYTES("\"\\udbff\\udfff\""), BYTES("\xf4\x8f\xbf\xbf"));
	check_unescaped(BYTES("\"\\ud7ff\\ue000\""), BYTES("\xed\x9f\xbf\xee\x80\x80"));
	check_unescaped(BYTES("\"\\ud800\\udbff\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"));
	check_unescaped(BYTES("\"\\ud800\\ue000\""), BYTES("\xef\xbf\xbd\xee\x80\x80"));
	check_unescaped(BYTES("\"\\udc00\\udc00\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"));
	check_unescaped(BYTES("\"\\udfff\""), BYTES("\xef\xbf\xbd"));
	check_unescaped(BYTES("\"\\ude00\\ud83d\""), BYTES("\xef\xbf\xbd\xef\xbf\xbd"));
	check_unescaped(BYTES("\"\\ud83d\\u0041\""), BYTES("\xef\xbf\xbd" "A"));
	check_unescaped(BYTES("\"\\ud83d\\n\""), BYTES("\xef\xbf\xbd\n"));
	check_unescaped(BYTES("\"\\ud83dxyz890\""), BYTES("\xef\xbf\xbdxyz890"));
	/* What is not UTF-8, with and without escapes around it. */
	check_unescaped(BYTES("\"a\xff\xc3\""), BYTES("a\xef\xbf\xbd\xef\xbf\xbd"));
	check_unescaped(BYTES("\"\\n\xed\xa0\x80\\u0041\""),
		BYTES("\n\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" "A"));
	check_unescaped(BYTES("\"\xc3\\u00e9\""), BYTES("\xef\xbf\xbd\xc3\xa9"));
}

TEST(unescape_leaves_bad_utf8_where_it_may)
{
	char p[] = "\"\\t\xff\"";
	struct json_scan s;

	json_scan_init(&s, p, sizeof p - 1);
	check_int(json_next(&s), JSON_STRING);
	check(s.escaped);
	check(!s.ascii);
	check_bytes(json_unescape(&s, NULL), BYTES("\t\xff"));
	check_bytes(json_unescape(&s, NULL), BYTES("\t\xff"));	/* not twice */
}

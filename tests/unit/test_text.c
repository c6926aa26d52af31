/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, base64 and hex. Offsets of base64 errors are what Go reports. */
#include "core/text.h"

#include <stdlib.h>

#include "tests/unit/test.h"

/* Malloc'd without slack, so that a byte read or written beyond is seen by the
 * sanitizers. */
static char *
exact(struct bytes b)
{
	char *p = malloc(b.n ? b.n : 1);

	if (b.n)
		memcpy(p, b.p, b.n);
	return p;
}

TEST(utf8_valid_takes_what_is_well_formed)
{
	check(utf8_valid("", 0));
	check(utf8_valid("\0\x7f", 2));
	check(utf8_valid("\xc2\x80", 2));
	check(utf8_valid("\xdf\xbf", 2));
	check(utf8_valid("\xe0\xa0\x80", 3));
	check(utf8_valid("\xed\x9f\xbf", 3));
	check(utf8_valid("\xee\x80\x80", 3));
	check(utf8_valid("\xef\xbf\xbf", 3));
	check(utf8_valid("\xf0\x90\x80\x80", 4));
	check(utf8_valid("\xf4\x8f\xbf\xbf", 4));
	check(utf8_valid("0123456\xc3\xa9 0123456789012345678901234567890123456789", 50));
}

TEST(utf8_valid_refuses_the_rest)
{
	check(!utf8_valid("\x80", 1));
	check(!utf8_valid("\xbf", 1));
	check(!utf8_valid("\xc0\x80", 2));		/* overlong NUL */
	check(!utf8_valid("\xc1\xbf", 2));
	check(!utf8_valid("\xe0\x9f\xbf", 3));
	check(!utf8_valid("\xed\xa0\x80", 3));		/* surrogates */
	check(!utf8_valid("\xed\xbf\xbf", 3));
	check(!utf8_valid("\xf0\x8f\xbf\xbf", 4));
	check(!utf8_valid("\xf4\x90\x80\x80", 4));	/* over U+10FFFF */
	check(!utf8_valid("\xf5\x80\x80\x80", 4));
	check(!utf8_valid("\xff", 1));
	check(!utf8_valid("\xc3", 1));
	check(!utf8_valid("\xe2\x82", 2));
	check(!utf8_valid("\xf0\x9f\x98", 3));
	check(!utf8_valid("\xe2\x82\x41", 3));
}

TEST(utf8_valid_sees_one_bad_byte_anywhere)
{
	char text[100];

	for (size_t n = 1; n <= sizeof text; n++)
		for (size_t at = 0; at < n; at++) {
			memset(text, 'a', n);
			text[at] = '\x80';
			if (utf8_valid(text, n))
				test_failed(__FILE__, __LINE__, "byte %zu of %zu", at, n);
		}
}

TEST(utf8_encode_and_decode_are_inverse)
{
	char out[4];

	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		unsigned len = utf8_encode(out, cp);
		bool surrogate = cp >= 0xd800 && cp <= 0xdfff;

		if (utf8_seq(out, len) != (surrogate ? 0 : len) || utf8_decode(out, len) != cp) {
			test_failed(__FILE__, __LINE__, "U+%04X", cp);
			return;
		}
	}
	check_int(utf8_seq("", 0), 0);
	check_int(utf8_seq("\xe2\x82\xac", 2), 0);
}

static const struct { struct bytes plain; const char *text; } pairs[] = {
	{ BYTES(""), "" },
	{ BYTES("f"), "Zg==" },
	{ BYTES("fo"), "Zm8=" },
	{ BYTES("foo"), "Zm9v" },
	{ BYTES("foob"), "Zm9vYg==" },
	{ BYTES("fooba"), "Zm9vYmE=" },
	{ BYTES("foobar"), "Zm9vYmFy" },
	{ BYTES("\xff\xfe\0"), "//4A" },
	{ BYTES("\xfb\xef\xbe"), "++++" },
	{ BYTES("hello <world>"), "aGVsbG8gPHdvcmxkPg==" },
	{ BYTES("{\"hello\":\"world\"}\n"), "eyJoZWxsbyI6IndvcmxkIn0K" },
};

TEST(base64_both_ways)
{
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct buf b = BUF_INIT;
		size_t len;
		char *p;

		buf_add_base64(&b, pairs[i].plain.p, pairs[i].plain.n);
		check_bytes(buf_bytes(&b), bytes_str(pairs[i].text));
		p = exact(buf_bytes(&b));
		check(base64_decode(p, &len, p, buf_len(&b)));
		check_bytes(bytes_of(p, len), pairs[i].plain);
		free(p);
		buf_release(&b);
	}
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"abcdefghijklmnopqrstuvwxyz0123456789+/";

/* Twice: the first of some 64 KiB go another way than the rest. */
static void
all_lengths(void)
{
	unsigned char bytes[300];
	unsigned x = 1;

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)((x = x * 1103515245 + 12345) >> 16);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		size_t size = base64_len(n), len;
		char *text = malloc(size + 1), *out = malloc(size / 4 * 3 + 1);
		char *src = exact(bytes_of(bytes, n));

		base64_encode(text, src, n);
		/* Bit by bit, as the RFC says it. */
		for (size_t i = 0; i < size; i++) {
			unsigned v = 0;

			for (size_t bit = i * 6; bit < i * 6 + 6; bit++)
				v = v << 1 |
					(bit < n * 8 ? bytes[bit / 8] >> (7 - bit % 8) & 1 : 0);
			if (text[i] != (i * 6 >= n * 8 ? '=' : letters[v])) {
				test_failed(__FILE__, __LINE__, "length %zu, character %zu", n, i);
				break;
			}
		}
		check(base64_decode(out, &len, text, size));
		check_bytes(bytes_of(out, len), bytes_of(bytes, n));
		check(base64_decode(text, &len, text, size));
		check_bytes(bytes_of(text, len), bytes_of(bytes, n));
		free(text);
		free(out);
		free(src);
	}
}

TEST(base64_all_lengths_and_alignments)
{
	all_lengths();
	all_lengths();
}

TEST(base64_every_byte_everywhere)
{
	char text[44], out[33];
	size_t len;

	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < sizeof text; at++) {
			bool in_alphabet = c && strchr(letters, c);
			bool newline = c == '\n' || c == '\r';
			bool pad = c == '=' && at == sizeof text - 1;
			bool ok;

			memset(text, 'Q', sizeof text);
			text[at] = (char)c;
			ok = base64_decode(out, &len, text, sizeof text);
			if (ok != (in_alphabet || pad))
				test_failed(__FILE__, __LINE__, "%02x at %zu", c, at);
			/* A newline leaves a group of three at the end. */
			if (!ok && newline)
				check_int(len, sizeof text - 3);
			else if (!ok && c == '=' && at % 4 == 3)
				check_int(len, at + 1);
			else if (!ok)
				check_int(len, at);
			if (base64_decode_groups(out, text, sizeof text) !=
			    (in_alphabet ? sizeof text : at / 4 * 4))
				test_failed(__FILE__, __LINE__, "%02x at %zu", c, at);
		}
}

static const struct { const char *text; int at; } faults[] = {
	{ "!!!!", 0 },
	{ "aGVsbG8", 4 },		/* padding missing: the group's begin */
	{ "aGVsbG8=x", 8 },
	{ "aGk", 0 },
	{ "aGk\n", 1 },			/* Go counts back from the end */
	{ "a", 0 },
	{ "a===", 1 },
	{ "====", 0 },
	{ "aG=", 3 },
	{ "aG=k", 2 },
	{ "aG=\nk", 3 },
	{ "aG==aGk=", 4 },
	{ "__-_", 0 },			/* the URL alphabet */
	{ "aGVs bG8=", 4 },
};

TEST(base64_faults_where_go_sees_them)
{
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		char *p = exact(bytes_str(faults[i].text));
		size_t len = 999;

		check(!base64_decode(p, &len, p, strlen(faults[i].text)));
		if (len != (size_t)faults[i].at)
			test_failed(__FILE__, __LINE__, "%s: %zu, not %d", faults[i].text, len,
				faults[i].at);
		free(p);
	}
}

TEST(base64_skips_line_ends)
{
	static const char *const texts[] = {
		"aGVsbG8=\n", "\naGVsbG8=", "aG\r\nVsbG8=", "aGVsbG8\n=",
		"a\nG\nV\ns\nb\nG\n8\n=\n\n",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char *p = exact(bytes_str(texts[i]));
		size_t len;

		check(base64_decode(p, &len, p, strlen(texts[i])));
		check_bytes(bytes_of(p, len), BYTES("hello"));
		free(p);
	}
}

TEST(base64_ignores_the_bits_behind_the_end)
{
	char p[] = "aGl=";
	size_t len;

	check(base64_decode(p, &len, p, 4));
	check_bytes(bytes_of(p, len), BYTES("hi"));
}

TEST(hex_both_ways)
{
	char out[16];

	hex_encode(out, "\0\x0f\xff\xa5", 4);
	check_bytes(bytes_of(out, 8), BYTES("000fffa5"));
	check(hex_decode(out, "000FFfa5", 8));
	check_bytes(bytes_of(out, 4), BYTES("\0\x0f\xff\xa5"));
	check(hex_decode(out, "", 0));
	check(!hex_decode(out, "0", 1));
	check(!hex_decode(out, "0g", 2));
	check(!hex_decode(out, "@0", 2));
	check(!hex_decode(out, "0\x10", 2));
}

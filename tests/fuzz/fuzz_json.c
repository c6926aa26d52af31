/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON scanner and writers, and the text functions under them, on any bytes.
 * What must hold:
 *  - json_valid(), walking the tokens and json_skip() agree;
 *  - tokens lie inside the input, in order; errors have words and a place;
 *  - a string that is decoded, written and decoded again is the same;
 *  - any bytes written as a string are valid JSON and come back, but for those
 *    that are not UTF-8 and become U+FFFD one by one;
 *  - event strings hold no control, no U+007F, U+2028, U+2029;
 *  - base64 comes back; decoding in place is decoding elsewhere;
 *  - utf8_valid() is what its sequences say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
	     abort(); } } while (0)

/* Without a byte behind it, so that the sanitizer sees reads beyond n. */
static char *
copy(const void *p, size_t n)
{
	char *c = malloc(n);

	if (n)
		memcpy(c, p, n);
	return c;
}

/* U+FFFD for each byte that begins no sequence. */
static void
add_clean(struct buf *b, struct bytes s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned len = utf8_seq(s.p + i, s.n - i);

		if (len)
			buf_add(b, s.p + i, len);
		else
			buf_add(b, "\xef\xbf\xbd", 3);
		i += len ? len : 1;
	}
}

/* Reads one string literal back into out. */
static void
read_back(struct buf *out, const struct buf *literal)
{
	struct json_scan s;
	struct buf tmp = BUF_INIT;
	char *p = copy(buf_data(literal), buf_len(literal));

	must(json_valid(p, buf_len(literal)));
	json_scan_init(&s, p, buf_len(literal));
	must(json_next(&s) == JSON_STRING);
	buf_add_bytes(out, json_unescape(&s, &tmp));
	must(json_next(&s) == JSON_END);
	free(p);
	buf_release(&tmp);
}

static void
write_strings(struct bytes s)
{
	struct buf literal = BUF_INIT, back = BUF_INIT, clean = BUF_INIT;

	add_clean(&clean, s);
	must(utf8_valid(buf_bytes(&clean).p, buf_len(&clean)));
	must(utf8_valid(s.p, s.n) == bytes_eq(s, buf_bytes(&clean)));
	json_add_go_string(&literal, s);
	read_back(&back, &literal);
	must(bytes_eq(buf_bytes(&back), buf_bytes(&clean)));

	buf_clear(&literal);
	buf_clear(&back);
	json_add_string(&literal, buf_bytes(&clean));
	read_back(&back, &literal);
	must(bytes_eq(buf_bytes(&back), buf_bytes(&clean)));
	for (size_t i = 0; i < buf_len(&literal); i++) {
		const char *c = buf_data(&literal) + i;

		must((unsigned char)*c >= 0x20 && *c != 0x7f);
		must(buf_len(&literal) - i < 3 || (memcmp(c, "\xe2\x80\xa8", 3) != 0 &&
			memcmp(c, "\xe2\x80\xa9", 3) != 0));
	}
	buf_release(&literal);
	buf_release(&back);
	buf_release(&clean);
}

static void
check_text(struct json_scan *s, struct buf *tmp, const char *last)
{
	struct buf literal = BUF_INIT, back = BUF_INIT;
	struct bytes decoded;

	must(s->text.p >= last && s->text.p + s->text.n < s->p);
	buf_clear(tmp);
	decoded = json_unescape(s, tmp);
	must(utf8_valid(decoded.p, decoded.n));
	json_add_go_string(&literal, decoded);
	read_back(&back, &literal);
	must(bytes_eq(decoded, buf_bytes(&back)));
	buf_release(&literal);
	buf_release(&back);
}

static void
walk(const uint8_t *data, size_t n)
{
	bool valid = json_valid((const char *)data, n), skipped;
	char *p = copy(data, n);
	struct buf tmp = BUF_INIT;
	struct json_scan s;
	enum json_token t;
	const char *last = p;

	json_scan_init(&s, p, n);
	skipped = json_skip(&s, json_next(&s)) && json_next(&s) == JSON_END;
	must(skipped == valid);

	json_scan_init(&s, p, n);
	while ((t = json_next(&s)) != JSON_END && t != JSON_ERROR) {
		must(s.p > last && s.p <= p + n && s.depth <= JSON_DEPTH_MAX);
		if (t == JSON_STRING || t == JSON_KEY)
			check_text(&s, &tmp, last);
		last = s.p;
	}
	must((t == JSON_END) == valid);
	must(json_next(&s) == t);
	if (valid)
		must(s.depth == 0);
	else
		must(s.error && s.error[0] && s.at <= n);
	free(p);
	buf_release(&tmp);
}

static void
base64_and_hex(const uint8_t *data, size_t n)
{
	size_t room = base64_len(n), len = 0, len2 = 0;
	char *text = malloc(room), *in_place = copy(data, n), *out = malloc(n / 4 * 3);
	char *hex = malloc(2 * n);
	bool ok;

	base64_encode(text, data, n);
	must(base64_decode_groups(text, text, 0) == 0);
	must(base64_decode(text, &len, text, room));
	must(len == n && (n == 0 || memcmp(text, data, n) == 0));

	ok = base64_decode(out, &len, (const char *)data, n);
	must(base64_decode(in_place, &len2, in_place, n) == ok && len == len2);
	must(ok ? len <= n / 4 * 3 : len <= n);
	must(!ok || len == 0 || memcmp(out, in_place, len) == 0);

	hex_encode(hex, data, n);
	must(hex_decode(hex, hex, 2 * n) && (n == 0 || memcmp(hex, data, n) == 0));
	free(text);
	free(in_place);
	free(out);
	free(hex);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	walk(data, n);
	write_strings(bytes_of(data, n));
	base64_and_hex(data, n);
	return 0;
}

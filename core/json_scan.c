/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull scanner, and the check built on it. See json.h.
 *
 * It stops at the same byte as Go's encoding/json and says the same about it,
 * because go-micro sends those words to the other side.
 * One thing looks odd in them and is kept: input that ends inside a number or a
 * word is complained about as if a space followed.
 *
 * No recursion: what is open is one bit each in the scan's own stack.
 */
#include "core/json.h"

#include <stdio.h>

#include "core/json_plain.h"
#include "core/text.h"

/* What may come next. */
enum state {
	VALUE,
	FIRST_ITEM,		/* a value, or the end of the array just begun */
	FIRST_KEY,		/* a key, or the end of the object just begun */
	AFTER,			/* a value is complete: comma, closing bracket, or end */
	FAILED
};

#define INLINE static inline __attribute__((always_inline))

/* ---- errors ---- */

/* A character as Go's quoted literals show it; room for 12 bytes. */
static void
quote_char(char *out, size_t size, unsigned char c)
{
	static const char named[] = "\a\b\f\n\r\t\v\\'", letters[] = "abfnrtv\\'";
	const char *at = c ? strchr(named, c) : NULL;
	char utf8[4];

	if (at)
		snprintf(out, size, "'\\%c'", letters[at - named]);
	else if (c < 0x20 || c == 0x7f)
		snprintf(out, size, "'\\x%02x'", c);
	else if (c >= 0x80 && (c <= 0xa0 || c == 0xad))	/* Latin-1 that is not printable */
		snprintf(out, size, "'\\u%04x'", c);
	else
		snprintf(out, size, "'%.*s'", (int)utf8_encode(utf8, c), utf8);
}

__attribute__((noinline, cold)) static enum json_token
fail(struct json_scan *s, const char *p, const char *context, bool at_end_too)
{
	char quoted[12];

	s->p = p;
	s->at = (size_t)(p - s->begin);
	s->state = FAILED;
	if (p == s->end && !at_end_too) {
		s->error = "unexpected end of JSON input";
	} else if (s->quiet) {
		s->error = "invalid";
	} else {
		quote_char(quoted, sizeof quoted, p < s->end ? (unsigned char)*p : ' ');
		snprintf(s->error_buf, sizeof s->error_buf, "invalid character %s %s", quoted,
			context);
		s->error = s->error_buf;
	}
	return JSON_ERROR;
}

/* Between tokens: the end is the fault where the input ends. */
static enum json_token
fail_at(struct json_scan *s, const char *p, const char *context)
{
	return fail(s, p, context, false);
}

/* Inside a token. */
static enum json_token
fail_in(struct json_scan *s, const char *p, const char *context)
{
	return fail(s, p, context, true);
}

/* ---- tokens ---- */

INLINE const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

INLINE bool
is_digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

INLINE bool
is_hex(const char *p, const char *end)
{
	return is_digit(p, end) || (p < end && (*p | 0x20) >= 'a' && (*p | 0x20) <= 'f');
}

INLINE enum json_token
token(struct json_scan *s, const char *p, enum json_token t)
{
	s->p = p;
	s->state = AFTER;
	return t;
}

/* p is behind the backslash; NULL: failed. */
static const char *
scan_escape(struct json_scan *s, const char *p)
{
	if (p == s->end || !*p || !strchr("bfnrt\\/\"u", *p)) {
		fail_in(s, p, "in string escape code");
		return NULL;
	}
	if (*p++ != 'u')
		return p;
	for (const char *digits = p; p - digits < 4; p++)
		if (!is_hex(p, s->end)) {
			fail_in(s, p, "in \\u hexadecimal character escape");
			return NULL;
		}
	return p;
}

/* p is behind the opening quote. */
INLINE enum json_token
scan_string(struct json_scan *s, const char *p)
{
	const char *begin = p;
	bool high = false;

	s->escaped = false;
	for (;;) {
		p = json_plain(p, s->end, &high);
		if (p < s->end && *p == '"')
			break;
		if (p == s->end || *p != '\\')
			return fail_at(s, p, "in string literal");
		s->escaped = true;
		p = scan_escape(s, p + 1);
		if (!p)
			return JSON_ERROR;
	}
	s->ascii = !high;
	s->text = bytes_of(begin, (size_t)(p - begin));
	return token(s, p + 1, JSON_STRING);
}

INLINE enum json_token
scan_number(struct json_scan *s, const char *begin)
{
	const char *p = begin, *end = s->end;

	if (*p == '-')
		p++;
	if (!is_digit(p, end))
		return fail_in(s, p, "in numeric literal");
	if (*p++ != '0')
		while (is_digit(p, end))
			p++;
	if (p < end && *p == '.') {
		if (!is_digit(++p, end))
			return fail_in(s, p, "after decimal point in numeric literal");
		while (is_digit(p, end))
			p++;
	}
	if (p < end && (*p | 0x20) == 'e') {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (!is_digit(p, end))
			return fail_in(s, p, "in exponent of numeric literal");
		while (is_digit(p, end))
			p++;
	}
	s->text = bytes_of(begin, (size_t)(p - begin));
	return token(s, p, JSON_NUMBER);
}

__attribute__((noinline, cold)) static enum json_token
fail_word(struct json_scan *s, const char *p, const char *word)
{
	char context[48] = "";
	size_t i = 0;

	while (p + i < s->end && p[i] == word[i])
		i++;
	if (!s->quiet)
		snprintf(context, sizeof context, "in literal %s (expecting '%c')", word, word[i]);
	return fail_in(s, p + i, context);
}

INLINE enum json_token
scan_word(struct json_scan *s, const char *p, const char *word, size_t n, enum json_token t)
{
	if ((size_t)(s->end - p) >= n && memcmp(p, word, n) == 0)
		return token(s, p + n, t);
	return fail_word(s, p, word);
}

INLINE enum json_token
open_container(struct json_scan *s, const char *p, bool object)
{
	unsigned char bit = (unsigned char)(1u << s->depth % 8);

	if (s->depth == JSON_DEPTH_MAX)
		return fail_at(s, p, "exceeded max depth");
	if (object)
		s->stack[s->depth / 8] |= bit;
	else
		s->stack[s->depth / 8] &= (unsigned char)~bit;
	s->depth++;
	s->p = p + 1;
	s->state = object ? FIRST_KEY : FIRST_ITEM;
	return object ? JSON_OBJECT : JSON_ARRAY;
}

INLINE enum json_token
close_container(struct json_scan *s, const char *p, enum json_token t)
{
	s->depth--;
	return token(s, p + 1, t);
}

INLINE bool
in_object(const struct json_scan *s)
{
	return s->stack[(s->depth - 1) / 8] >> (s->depth - 1) % 8 & 1;
}

/* p is behind white space, here and below. */
INLINE enum json_token
scan_value(struct json_scan *s, const char *p)
{
	switch (p < s->end ? *p : 0) {
	case '{':
		return open_container(s, p, true);
	case '[':
		return open_container(s, p, false);
	case '"':
		return scan_string(s, p + 1);
	case 't':
		return scan_word(s, p, "true", 4, JSON_TRUE);
	case 'f':
		return scan_word(s, p, "false", 5, JSON_FALSE);
	case 'n':
		return scan_word(s, p, "null", 4, JSON_NULL);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return scan_number(s, p);
	}
	return fail_at(s, p, "looking for beginning of value");
}

INLINE enum json_token
scan_key(struct json_scan *s, const char *p)
{
	if (p == s->end || *p != '"')
		return fail_at(s, p, "looking for beginning of object key string");
	if (scan_string(s, p + 1) == JSON_ERROR)
		return JSON_ERROR;
	p = skip_space(s->p, s->end);
	if (p == s->end || *p != ':')
		return fail_at(s, p, "after object key");
	s->p = p + 1;
	s->state = VALUE;
	return JSON_KEY;
}

INLINE enum json_token
scan_after(struct json_scan *s, const char *p)
{
	bool object;
	char c = p < s->end ? *p : 0;

	if (s->depth == 0) {
		if (p < s->end)
			return fail_at(s, p, "after top-level value");
		s->p = p;
		return JSON_END;
	}
	object = in_object(s);
	if (c == ',') {
		p = skip_space(p + 1, s->end);
		return object ? scan_key(s, p) : scan_value(s, p);
	}
	if (object)
		return c == '}' ? close_container(s, p, JSON_OBJECT_END) :
			fail_at(s, p, "after object key:value pair");
	return c == ']' ? close_container(s, p, JSON_ARRAY_END) :
		fail_at(s, p, "after array element");
}

INLINE enum json_token
next(struct json_scan *s)
{
	const char *p = skip_space(s->p, s->end);

	switch (s->state) {
	case AFTER:
		return scan_after(s, p);
	case FIRST_KEY:
		if (p < s->end && *p == '}')
			return close_container(s, p, JSON_OBJECT_END);
		return scan_key(s, p);
	case FIRST_ITEM:
		if (p < s->end && *p == ']')
			return close_container(s, p, JSON_ARRAY_END);
		return scan_value(s, p);
	case VALUE:
		return scan_value(s, p);
	}
	return JSON_ERROR;
}

/* The stack is left as it is: a bit is set before it is read. */
void
json_scan_init(struct json_scan *s, const char *p, size_t n)
{
	s->p = s->begin = p ? p : "";
	s->end = s->p + n;
	s->text = BYTES("");
	s->escaped = false;
	s->ascii = true;
	s->quiet = false;
	s->error = NULL;
	s->at = 0;
	s->depth = 0;
	s->state = VALUE;
}

enum json_token
json_next(struct json_scan *s)
{
	return next(s);
}

bool
json_skip(struct json_scan *s, enum json_token first)
{
	enum json_token t;
	unsigned depth;

	if (first == JSON_KEY)
		first = json_next(s);
	if (first != JSON_OBJECT && first != JSON_ARRAY)
		return first != JSON_ERROR;
	depth = s->depth - 1;
	do {
		t = next(s);
		if (t == JSON_ERROR)
			return false;
	} while (s->depth > depth);
	return true;
}

bool
json_valid(const char *p, size_t n)
{
	struct json_scan s;
	enum json_token t;

	json_scan_init(&s, p, n);
	s.quiet = true;
	do
		t = next(&s);
	while (t != JSON_ERROR && t != JSON_END);
	return t == JSON_END;
}

/* ---- decoding ---- */

/* Four hexadecimal digits that the scanner has seen to be that. */
static uint32_t
hex4(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	return v;
}

/* *p is at the four digits; takes the second half of a surrogate pair as well. */
static uint32_t
unescape_u(const char **p, const char *end)
{
	uint32_t cp = hex4(*p), low;

	*p += 4;
	if (cp < 0xd800 || cp > 0xdfff)
		return cp;
	if (cp < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		low = hex4(*p + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			*p += 6;
			return 0x10000 + (cp - 0xd800) * 0x400 + (low - 0xdc00);
		}
	}
	return 0xfffd;
}

/* In place; every escape is longer than what it stands for. */
static size_t
unescape(char *begin, size_t n)
{
	static const char letters[] = "bfnrt", meaning[] = "\b\f\n\r\t";
	const char *p = begin, *end = begin + n, *at, *l;
	char *out = begin;

	while ((at = memchr(p, '\\', (size_t)(end - p)))) {
		if (out != p)
			memmove(out, p, (size_t)(at - p));
		out += at - p;
		p = at + 2;
		if (at[1] == 'u')
			out += utf8_encode(out, unescape_u(&p, end));
		else if ((l = strchr(letters, at[1])))
			*out++ = meaning[l - letters];
		else
			*out++ = at[1];
	}
	memmove(out, p, (size_t)(end - p));
	return (size_t)(out - begin) + (size_t)(end - p);
}

static struct bytes
replace_invalid(struct bytes t, struct buf *tmp)
{
	char *begin = buf_room(tmp, t.n * 3), *out = begin;

	for (size_t i = 0; i < t.n;) {
		unsigned len = utf8_seq(t.p + i, t.n - i);

		if (len) {
			memcpy(out, t.p + i, len);
			out += len, i += len;
		} else {
			memcpy(out, "\xef\xbf\xbd", 3);
			out += 3, i++;
		}
	}
	buf_added(tmp, (size_t)(out - begin));
	return bytes_of(begin, (size_t)(out - begin));
}

struct bytes
json_unescape(struct json_scan *s, struct buf *tmp)
{
	if (s->escaped) {
		s->text.n = unescape((char *)s->text.p, s->text.n);
		s->escaped = false;
	}
	if (tmp && !s->ascii && !utf8_valid(s->text.p, s->text.n))
		return replace_invalid(s->text, tmp);
	return s->text;
}

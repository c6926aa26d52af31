/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON strings. See json.h; the scanner is json_scan.c.
 *
 * The two dialects differ in which bytes they cannot leave alone, so there is
 * one loop, made twice by the compiler. It copies while it looks: a word with
 * nothing special in it is stored at once.
 */
#include "core/json.h"

#include "core/json_plain.h"
#include "core/text.h"

enum dialect { GO, EVENT };

/* What a byte needs. */
enum {
	PLAIN,
	SHORT,			/* backslash and a letter */
	HEX,			/* \u00XX */
	LONG			/* the first byte of a sequence that must be looked at */
};

/* The letter of a short escape: Go's choice, and that of most. */
static const char letter[256] = {
	['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
	['\t'] = 't'
};

static inline int
need_of(unsigned char c, enum dialect d)
{
	if (letter[c])
		return SHORT;
	if (c < 0x20)
		return HEX;
	if (d == GO)
		return c >= 0x80 ? LONG : c == '<' || c == '>' || c == '&' ? HEX : PLAIN;
	return c == 0x7f ? HEX : c == 0xe2 ? LONG : PLAIN;
}

static inline bool
word_is_plain(uint64_t w, enum dialect d)
{
	uint64_t hit = word_equal(w, '\\') | word_below(w, 0x20);

	if (d == GO) {
		/* Pairs that differ in one bit: " and &, < and >. */
		hit |= word_equal(w | WORD_ONES * 0x04, '&') | (w & WORD_HIGHS);
		hit |= word_equal(w | WORD_ONES * 0x02, '>');
	} else {
		/* E2 is the only byte over 0x7f that matters: it begins U+2028. */
		hit |= word_equal(w, '"') | word_equal(w, 0x7f);
		hit |= word_equal(w ^ WORD_HIGHS, 0x62);
	}
	return hit == 0;
}

#ifdef __SSE2__
static inline bool
block_is_plain(const char *p, enum dialect d)
{
	__m128i v = _mm_loadu_si128((const void *)p);
	__m128i hit = _mm_or_si128(block_equal(v, '\\'), block_below(v, 0x20));

	if (d == GO) {
		hit = _mm_or_si128(hit, block_equal(_mm_or_si128(v, _mm_set1_epi8(0x04)), '&'));
		hit = _mm_or_si128(hit, block_equal(_mm_or_si128(v, _mm_set1_epi8(0x02)), '>'));
		hit = _mm_or_si128(hit, v);
	} else {
		hit = _mm_or_si128(hit, block_equal(v, '"'));
		hit = _mm_or_si128(hit, block_equal(v, 0x7f));
		hit = _mm_or_si128(hit, block_equal(v, 0xe2));
	}
	return _mm_movemask_epi8(hit) == 0;
}
#endif

static inline char *
put_u16(char *out, unsigned v)
{
	static const char digits[] = "0123456789abcdef";

	memcpy(out, "\\u", 2);
	out[2] = digits[v >> 12 & 15];
	out[3] = digits[v >> 8 & 15];
	out[4] = digits[v >> 4 & 15];
	out[5] = digits[v & 15];
	return out + 6;
}

/* One byte or sequence at *p that may be special; at most 6 bytes at out. */
static inline char *
put_one(char *out, const char **p, const char *end, enum dialect d)
{
	unsigned char c = (unsigned char)**p;
	unsigned len;

	switch (need_of(c, d)) {
	case SHORT:
		*out++ = '\\';
		*out++ = letter[c];
		break;
	case HEX:
		out = put_u16(out, c);
		break;
	case LONG:
		len = utf8_seq(*p, (size_t)(end - *p));
		if (len == 0 && d == GO) {
			out = put_u16(out, 0xfffd);
			break;
		}
		len = len ? len : 1;
		if (len == 3 && (utf8_decode(*p, 3) | 1) == 0x2029) {
			out = put_u16(out, utf8_decode(*p, 3));
		} else {
			memcpy(out, *p, len);
			out += len;
		}
		*p += len;
		return out;
	default:
		*out++ = (char)c;
	}
	++*p;
	return out;
}

/* Are the eight bytes before end in the output as they are, as far as they are
 * there? A byte over 0x7f may be the rest of an escaped sequence. */
static inline bool
last_word_is_plain(const char *end, enum dialect d)
{
	uint64_t w = word_load(end - 8);

	return !(w & WORD_HIGHS) && word_is_plain(w, d);
}

/* Room that is kept at the output beyond the input that is left: a word of
 * escapes (48) more than it takes in, and the closing quote. */
#define SLACK 64

static inline __attribute__((always_inline)) void
add_string(struct buf *b, struct bytes s, enum dialect d)
{
	const char *p = s.p ? s.p : "", *end = p + s.n;
	char *base = buf_room(b, s.n + SLACK), *out = base;
	char *limit = base + (b->cap - b->end);

	*out++ = '"';
	while (p < end) {
#ifdef __SSE2__
		for (; end - p >= 16 && block_is_plain(p, d); p += 16, out += 16)
			memcpy(out, p, 16);
#endif
		for (; end - p >= 8 && word_is_plain(word_load(p), d); p += 8, out += 8)
			memcpy(out, p, 8);
		const char *stop = end - p >= 8 ? p + 8 : end;

		if (stop == end && s.n >= 8 && last_word_is_plain(end, d)) {
			/* The last bytes, and again some of those before them. */
			out += end - p;
			memcpy(out - 8, end - 8, 8);
			p = end;
		}
		while (p < stop)
			out = put_one(out, &p, end, d);
		/* What escapes have eaten of the room comes back here. */
		if (limit - out < end - p + SLACK) {
			buf_added(b, (size_t)(out - base));
			base = out = buf_room(b, (size_t)(end - p) * 2 + SLACK);
			limit = base + (b->cap - b->end);
		}
	}
	*out++ = '"';
	buf_added(b, (size_t)(out - base));
}

void
json_add_go_string(struct buf *b, struct bytes s)
{
	add_string(b, s, GO);
}

void
json_add_string(struct buf *b, struct bytes s)
{
	add_string(b, s, EVENT);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON string by the word: what the scanner, the writer and the envelope's
 * short way share. In plain C eight bytes are tested at once for bytes that
 * equal or are below some value, by arithmetic whose carries can only spoil
 * bytes above the first hit, so the answer to "any?" is exact. Where there is
 * SSE2, as on every x86-64, sixteen go first.
 */
#ifndef MBUS_CORE_JSON_PLAIN_H
#define MBUS_CORE_JSON_PLAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define WORD_ONES 0x0101010101010101u
#define WORD_HIGHS 0x8080808080808080u

static inline uint64_t
word_load(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

/* Not 0 if any byte is c, resp. below c; c < 0x80. */
static inline uint64_t
word_equal(uint64_t w, unsigned char c)
{
	w ^= WORD_ONES * c;
	return (w - WORD_ONES) & ~w & WORD_HIGHS;
}

static inline uint64_t
word_below(uint64_t w, unsigned char c)
{
	return (w - WORD_ONES * c) & ~w & WORD_HIGHS;
}

#ifdef __SSE2__
/* All bits of each byte that is below c. */
static inline __m128i
block_below(__m128i v, unsigned char c)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8((char)(c - 1))), v);
}

static inline __m128i
block_equal(__m128i v, unsigned char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8((char)c));
}
#endif

/* The first byte of [p, end) that ends the plain run of a JSON string: quote,
 * backslash or control; end if there is none. Sets *high if what was passed has
 * a byte over 0x7f. */
static inline const char *
json_plain(const char *p, const char *end, bool *high)
{
	uint64_t seen = 0;

#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const void *)p);
		__m128i quotes = _mm_or_si128(block_equal(v, '"'), block_equal(v, '\\'));
		unsigned hit = (unsigned)_mm_movemask_epi8(_mm_or_si128(quotes,
			block_below(v, 0x20)));
		unsigned over = (unsigned)_mm_movemask_epi8(v);

		if (hit) {
			/* hit ^ (hit - 1): up to the lowest hit, which is ASCII. */
			*high |= (seen | (over & (hit ^ (hit - 1)))) != 0;
			return p + __builtin_ctz(hit);
		}
		seen |= over;
	}
#endif
	for (; end - p >= 8; p += 8) {
		uint64_t w = word_load(p);

		if (word_equal(w, '"') | word_equal(w, '\\') | word_below(w, 0x20))
			break;
		seen |= w & WORD_HIGHS;
	}
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\' || c < 0x20)
			break;
		seen |= c & 0x80;
	}
	*high |= seen != 0;
	return p;
}

#endif

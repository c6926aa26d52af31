/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eight bytes of a JSON string at a time: what the scanner, the writer and the
 * envelope's short way share. In plain C: a word is tested for bytes that equal
 * or are below some value by arithmetic whose carries can only spoil bytes above
 * the first hit, so "any?" and "the lowest" are exact.
 */
#ifndef MBUS_CORE_JSON_PLAIN_H
#define MBUS_CORE_JSON_PLAIN_H

#include <stdint.h>
#include <string.h>

#define WORD_ONES 0x0101010101010101u
#define WORD_HIGHS 0x8080808080808080u

static inline uint64_t
word_load(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	return w;
}

/* A high bit for (at least) the lowest byte that is c, resp. below c; c < 0x80. */
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

/* The first byte of [p, end) that ends the plain run of a JSON string: quote,
 * backslash or control; end if there is none. Into *high go the bits of what
 * was passed: test it with WORD_HIGHS to know whether all of it was ASCII. */
static inline const char *
json_plain(const char *p, const char *end, uint64_t *high)
{
	for (; end - p >= 8; p += 8) {
		uint64_t w = word_load(p);
		uint64_t hit = word_equal(w, '"') | word_equal(w, '\\') | word_below(w, 0x20);

		if (hit) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
			unsigned bits = (unsigned)__builtin_ctzll(hit) & ~7u;

			*high |= w & (((uint64_t)1 << bits) - 1);
			return p + bits / 8;
#else
			break;
#endif
		}
		*high |= w;
	}
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\' || c < 0x20)
			break;
		*high |= c;
	}
	return p;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of durations in the manner of HdrHistogram: three significant digits
 * from one nanosecond up to nineteen hours, in memory that does not depend on how
 * many there are. Recording is a handful of instructions and allocates nothing.
 *
 * Below 2048 ns each nanosecond has a place of its own; above, each power of two is
 * cut into 1024 places, so that a value is known to one part in 1024. Longer ones
 * count as the longest.
 *
 * A struct hist is all zero when it is empty, lives anywhere (shared memory too), and
 * has one writer; who reads meanwhile sees counts that are a little behind.
 */
#ifndef MBUS_CORE_HIST_H
#define MBUS_CORE_HIST_H

#include <stdint.h>

enum {
	HIST_HALF_BITS = 10,			/* 1024 places a power of two */
	HIST_MAX_BITS = 46,
	HIST_PLACES = (HIST_MAX_BITS - HIST_HALF_BITS - 1 + 2) << HIST_HALF_BITS
};
#define HIST_MAX_NS ((UINT64_C(1) << HIST_MAX_BITS) - 1)

struct hist {
	uint64_t n, sum;
	uint64_t least, most;			/* exact; least is stored plus one */
	uint64_t counts[HIST_PLACES];
};

static inline unsigned
hist_place(uint64_t ns)
{
	unsigned shift = 63 - (unsigned)__builtin_clzll(ns | ((2u << HIST_HALF_BITS) - 1)) -
		HIST_HALF_BITS;

	return (shift << HIST_HALF_BITS) + (unsigned)(ns >> shift);
}

static inline void
hist_record(struct hist *h, uint64_t ns)
{
	if (ns > HIST_MAX_NS)
		ns = HIST_MAX_NS;
	h->counts[hist_place(ns)]++;
	h->n++;
	h->sum += ns;
	if (!h->least || ns + 1 < h->least)
		h->least = ns + 1;
	if (ns > h->most)
		h->most = ns;
}

/* The least and the greatest value that share a place. */
uint64_t hist_low(unsigned place);
uint64_t hist_high(unsigned place);

static inline uint64_t hist_min(const struct hist *h) { return h->least ? h->least - 1 : 0; }
static inline uint64_t hist_max(const struct hist *h) { return h->most; }
double hist_mean(const struct hist *);
double hist_stddev(const struct hist *);

/* The value that so many parts of a million are at or below (500000: the median): at
 * most one part in 1024 over the exact one, and never over the greatest. 0 without
 * values. */
uint64_t hist_at(const struct hist *, uint64_t ppm);
/* How many are at or below the values of this place, all smaller ones included. */
uint64_t hist_upto(const struct hist *, unsigned place);

void hist_add(struct hist *to, const struct hist *from);
/* What has come since `before` was a copy of it; least and most are then those of
 * their places. */
void hist_since(struct hist *out, const struct hist *now, const struct hist *before);
void hist_clear(struct hist *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* See hist.h. */
#include "core/hist.h"

#include <string.h>

#include "core/stats.h"

uint64_t
hist_low(unsigned place)
{
	unsigned shift = place >> HIST_HALF_BITS;

	/* The first power of two has both halves to itself. */
	shift = shift ? shift - 1 : 0;
	return (uint64_t)(place - (shift << HIST_HALF_BITS)) << shift;
}

uint64_t
hist_high(unsigned place)
{
	unsigned shift = place >> HIST_HALF_BITS;

	shift = shift ? shift - 1 : 0;
	return hist_low(place) + (UINT64_C(1) << shift) - 1;
}

/* Places outside of least ... most are empty, and most of them never touched: so they
 * cost no memory. */
static unsigned
first_place(const struct hist *h)
{
	return h->least ? hist_place(hist_min(h)) : 0;
}

static unsigned
end_place(const struct hist *h)
{
	return h->least ? hist_place(h->most) + 1 : 0;
}

double
hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}

double
hist_stddev(const struct hist *h)
{
	double mean = hist_mean(h), sum = 0;

	for (unsigned i = first_place(h); i < end_place(h); i++) {
		double d = ((double)hist_low(i) + (double)hist_high(i)) / 2 - mean;

		sum += d * d * (double)h->counts[i];
	}
	return h->n ? stats_sqrt(sum / (double)h->n) : 0;
}

uint64_t
hist_at(const struct hist *h, uint64_t ppm)
{
	unsigned __int128 want = (unsigned __int128)h->n * ppm;
	uint64_t rank = (uint64_t)((want + 999999) / 1000000), seen = 0;

	if (!rank)
		rank = 1;
	for (unsigned i = first_place(h); i < end_place(h); i++) {
		seen += h->counts[i];
		if (seen >= rank) {
			uint64_t v = hist_high(i);

			return v < h->most ? v : h->most;
		}
	}
	return h->most;
}

uint64_t
hist_upto(const struct hist *h, unsigned place)
{
	uint64_t seen = 0;

	for (unsigned i = first_place(h); i < end_place(h) && i <= place; i++)
		seen += h->counts[i];
	return seen;
}

void
hist_add(struct hist *to, const struct hist *from)
{
	for (unsigned i = first_place(from); i < end_place(from); i++)
		to->counts[i] += from->counts[i];
	if (from->least && (!to->least || from->least < to->least))
		to->least = from->least;
	if (from->most > to->most)
		to->most = from->most;
	to->n += from->n;
	to->sum += from->sum;
}

void
hist_since(struct hist *out, const struct hist *now, const struct hist *before)
{
	hist_clear(out);
	for (unsigned i = first_place(now); i < end_place(now); i++) {
		uint64_t n = now->counts[i] - before->counts[i];

		if (!n)
			continue;
		out->counts[i] = n;
		out->n += n;
		out->sum += n * ((hist_low(i) + hist_high(i)) / 2);
		if (!out->least)
			out->least = hist_low(i) + 1;
		out->most = hist_high(i);
	}
}

void
hist_clear(struct hist *h)
{
	unsigned first = first_place(h), end = end_place(h);

	memset(h->counts + first, 0, (end - first) * sizeof *h->counts);
	h->n = h->sum = h->least = h->most = 0;
}

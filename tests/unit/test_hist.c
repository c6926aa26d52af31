/* SPDX-License-Identifier: Apache-2.0 */
/* core/hist against exact quantiles, and core/stats against numbers from elsewhere. */
#include "core/hist.h"

#include <stdlib.h>

#include "core/buf.h"
#include "core/stats.h"
#include "tests/unit/test.h"

static uint64_t state = 88172645463325252u;

static uint64_t
some(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static struct hist *
new_hist(void)
{
	return xcalloc(1, sizeof(struct hist));
}

TEST(every_place_has_its_values_and_no_others)
{
	for (unsigned i = 0; i < HIST_PLACES; i++) {
		if (hist_place(hist_low(i)) != i || hist_place(hist_high(i)) != i ||
		    (i && hist_low(i) != hist_high(i - 1) + 1)) {
			test_failed(__FILE__, __LINE__, "place %u: %llu ... %llu", i,
				(unsigned long long)hist_low(i), (unsigned long long)hist_high(i));
			return;
		}
	}
	check(hist_high(HIST_PLACES - 1) == HIST_MAX_NS);
	check(HIST_MAX_NS / 1000000000u > 19 * 3600);
}

/* Three significant digits, whatever the values look like. */
TEST(quantiles_are_those_of_the_sorted_values)
{
	static const uint64_t parts[] = { 1, 10000, 250000, 500000, 900000, 990000, 999000, 999900,
		1000000 };
	enum { N = 50000 };
	uint64_t *v = xmalloc(N * sizeof *v);

	for (int shape = 0; shape < 4; shape++) {
		struct hist *h = new_hist();
		double sum = 0, dev = 0;

		for (int i = 0; i < N; i++) {
			uint64_t x = some();

			v[i] = shape == 0 ? x % 100 : shape == 1 ? 100 + x % 1000000 :
				shape == 2 ? (UINT64_C(1) << x % 45) | x % 1000 :
				x % 1000 ? 50000 + x % 777 : 1000000000u + x % 100000000;
			hist_record(h, v[i]);
			sum += (double)v[i];
		}
		qsort(v, N, sizeof *v, by_size);
		for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
			uint64_t rank = (N * parts[i] + 999999) / 1000000;
			uint64_t want = v[rank ? rank - 1 : 0], got = hist_at(h, parts[i]);

			if (got < want || got > want + want / 1024)
				test_failed(__FILE__, __LINE__, "shape %d, %llu ppm: %llu, not %llu",
					shape, (unsigned long long)parts[i],
					(unsigned long long)got, (unsigned long long)want);
		}
		check(h->n == N);
		check(hist_min(h) == v[0]);
		check(hist_max(h) == v[N - 1]);
		check(hist_mean(h) > sum / N * 0.9999 && hist_mean(h) < sum / N * 1.0001);
		for (int i = 0; i < N; i++)
			dev += ((double)v[i] - sum / N) * ((double)v[i] - sum / N) / N;
		check(hist_stddev(h) > stats_sqrt(dev) * 0.999 - 1);
		check(hist_stddev(h) < stats_sqrt(dev) * 1.001 + 1);
		free(h);
	}
	free(v);
}

TEST(empty_one_and_too_long)
{
	struct hist *h = new_hist();

	check(hist_at(h, 500000) == 0 && hist_min(h) == 0 && hist_max(h) == 0);
	check(!(hist_mean(h) > 0) && !(hist_stddev(h) > 0));
	hist_record(h, 0);
	check(hist_at(h, 0) == 0 && hist_at(h, 1000000) == 0 && h->n == 1);
	hist_record(h, UINT64_MAX);
	check(hist_max(h) == HIST_MAX_NS && hist_at(h, 1000000) == HIST_MAX_NS);
	hist_clear(h);
	check(h->n == 0 && h->counts[0] == 0 && h->counts[HIST_PLACES - 1] == 0);
	free(h);
}

TEST(merged_and_taken_apart)
{
	struct hist *a = new_hist(), *b = new_hist(), *all = new_hist(), *sum = new_hist();

	for (int i = 0; i < 10000; i++) {
		uint64_t x = some() % 100000000;

		hist_record(i % 3 ? a : b, x);
		hist_record(all, x);
	}
	hist_add(sum, a);
	hist_add(sum, b);
	check(memcmp(sum, all, sizeof *all) == 0);
	hist_since(sum, all, b);
	check(sum->n == a->n);
	for (uint64_t p = 0; p <= 1000000; p += 50000)
		check(hist_at(sum, p) >= hist_at(a, p) &&
			hist_at(sum, p) <= hist_at(a, p) + hist_at(a, p) / 1024 + 1);
	hist_since(sum, all, all);
	check(sum->n == 0 && hist_max(sum) == 0);
	check(hist_upto(all, HIST_PLACES - 1) == 10000);
	free(a);
	free(b);
	free(all);
	free(sum);
}

static bool
near(double got, double want)
{
	double off = got > want ? got - want : want - got;

	return off <= 1e-6 * (want > 1 ? want : 1);
}

TEST(roots_and_logarithms)
{
	check(near(stats_sqrt(2), 1.41421356237));
	check(near(stats_sqrt(1e18), 1e9) && near(stats_sqrt(1e-6), 1e-3));
	check(!(stats_sqrt(0) > 0) && !(stats_sqrt(-1) > 0));
	check(near(stats_log10(1), 0) && near(stats_log10(1000), 3) && near(stats_log10(2), 0.30103));
	check(near(stats_log10(1e-9), -9) && near(stats_log10(123456789), 8.09151497717));
}

TEST(medians)
{
	double v[] = { 5, 1, 4, 2, 3 };

	check(near(stats_median(v, 5), 3));
	check(near(stats_median(v, 4), 2.5));
	check(near(stats_median(v, 1), 1));
	check(!(stats_median(v, 0) > 0));
}

/* What R's wilcox.test and scipy's mannwhitneyu (exact, two-sided) say. */
TEST(rank_test)
{
	const double a[] = { 1, 2, 3, 4, 5 }, b[] = { 6, 7, 8, 9, 10 }, c[] = { 1.5, 3.5, 6.5, 7.5 },
		d[] = { 19, 22, 16, 29, 24 }, e[] = { 20, 11, 17, 12 }, t[] = { 1, 2, 2, 3, 4, 4, 5 },
		u[] = { 2, 4, 5, 5, 6, 7, 7, 8 };

	check(near(stats_rank_test(a, 5, b, 5), 2.0 / 252));
	check(near(stats_rank_test(b, 5, a, 5), 2.0 / 252));
	check(near(stats_rank_test(a, 3, b, 3), 0.1));
	check(near(stats_rank_test(a, 4, b, 4), 2.0 / 70));
	check(near(stats_rank_test(d, 5, e, 4), 0.1111111111));
	check(near(stats_rank_test(a, 5, a, 0), 1));
	check(stats_rank_test(a, 5, c, 4) > 0.2);
	/* With ties, by the approximation: U = 8, z = 2.283345 */
	check(near(stats_rank_test(t, 7, u, 8), 0.0224100));
	check(near(stats_rank_test(t + 1, 2, t + 1, 2), 1));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* See stats.h. */
#include "core/stats.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

double
stats_sqrt(double x)
{
	double r = x;
	uint64_t bits;

	if (!(x > 0))
		return 0;
	/* Half the exponent is a first guess; Newton's steps double its digits. */
	memcpy(&bits, &x, sizeof bits);
	bits = (bits >> 1) + (UINT64_C(1023) << 51);
	memcpy(&r, &bits, sizeof r);
	for (int i = 0; i < 5; i++)
		r = (r + x / r) / 2;
	return r;
}

double
stats_log10(double x)
{
	static const double ln10 = 2.302585092994045684, ln2 = 0.693147180559945309;
	int e = 0;
	double t, power, sum = 0;

	if (!(x > 0))
		return 0;
	for (; x >= 1.5; e++)
		x /= 2;
	for (; x < 0.75; e--)
		x *= 2;
	/* ln x = 2 artanh((x - 1) / (x + 1)), and the argument is below 0.2 */
	t = (x - 1) / (x + 1);
	power = t;
	for (int i = 1; i < 24; i += 2) {
		sum += power / i;
		power *= t * t;
	}
	return (2 * sum + e * ln2) / ln10;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
stats_median(double *v, size_t n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof *v, by_size);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* e^-x for x >= 0. */
static double
exp_minus(double x)
{
	double y = x, sum = 1, term = 1;
	int halves = 0;

	if (x > 700)
		return 0;
	for (; y > 0.25; halves++)
		y /= 2;
	for (int i = 1; i < 14; i++) {
		term *= -y / i;
		sum += term;
	}
	while (halves--)
		sum *= sum;
	return sum;
}

/* Two-sided tail of the normal distribution (Abramowitz and Stegun 26.2.17, whose
 * error is below 1e-7). */
static double
normal_tails(double z)
{
	static const double c[] = { 0.319381530, -0.356563782, 1.781477937, -1.821255978,
		1.330274429 };
	double t = 1 / (1 + 0.2316419 * z), power = t, sum = 0;

	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		sum += c[i] * power;
		power *= t;
	}
	return 2 * sum * exp_minus(z * z / 2) * 0.398942280401432678;
}

/* How many of the ways to choose which ranks are a's give U <= u, over all of them:
 * ways[i][k] counts those of i of a's among the first values with sum k. */
static double
exact_tails(size_t na, size_t nb, size_t u)
{
	size_t most = na * nb;
	double *ways = xcalloc((na + 1) * (most + 1), sizeof *ways), all = 0, below = 0;

	ways[0] = 1;
	/* The value at place j of all has beaten the j - i of b's before it. */
	for (size_t j = 0; j < na + nb; j++)
		for (size_t i = j + 1 < na ? j + 1 : na; i > 0; i--) {
			size_t beats = j + 1 - i;

			if (beats > nb)
				continue;
			for (size_t k = most + 1; k-- > beats;)
				ways[i * (most + 1) + k] +=
					ways[(i - 1) * (most + 1) + k - beats];
		}
	for (size_t k = 0; k <= most; k++) {
		all += ways[na * (most + 1) + k];
		if (k <= u)
			below += ways[na * (most + 1) + k];
	}
	free(ways);
	below = 2 * below / all;
	return below < 1 ? below : 1;
}

/* The sum of t^3 - t over groups of t equal values. */
static double
ties(const double *a, size_t na, const double *b, size_t nb)
{
	double *v = xmalloc((na + nb) * sizeof *v), sum = 0;
	size_t n = na + nb, i = 0;

	memcpy(v, a, na * sizeof *v);
	memcpy(v + na, b, nb * sizeof *v);
	qsort(v, n, sizeof *v, by_size);
	while (i < n) {
		size_t j = i;
		double t;

		while (j < n && !(v[j] > v[i]))
			j++;
		t = (double)(j - i);
		sum += t * t * t - t;
		i = j;
	}
	free(v);
	return sum;
}

double
stats_rank_test(const double *a, size_t na, const double *b, size_t nb)
{
	double u = 0, most = (double)na * (double)nb, n = (double)(na + nb), tied, var, z;

	if (!na || !nb)
		return 1;
	for (size_t i = 0; i < na; i++)
		for (size_t j = 0; j < nb; j++)
			u += a[i] > b[j] ? 1 : a[i] < b[j] ? 0 : 0.5;
	if (u > most - u)
		u = most - u;
	tied = ties(a, na, b, nb);
	if (!(tied > 0) && na <= STATS_EXACT && nb <= STATS_EXACT)
		return exact_tails(na, nb, (size_t)(u + 0.5));
	var = most / 12 * (n + 1 - tied / (n * (n - 1)));
	if (!(var > 0))
		return 1;
	z = (most / 2 - u - 0.5) / stats_sqrt(var);
	return z > 0 ? normal_tails(z) : 1;
}

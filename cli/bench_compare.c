/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is it faster than it was? Runs of one thing scatter, so that two medians always
 * differ; whether the two sets of runs do is what a rank test tells. Runs are compared,
 * and not the intervals within one: these depend on each other.
 */
#include "cli/bench_out.h"

#include <stdlib.h>

#include "core/stats.h"

#define PROBABLE 0.05			/* a difference that chance makes less often is one */
/* For --fail-slower: of seven figures of several rows one differs by chance too often. */
#define FAIL_PROBABLE 0.01

struct what {
	const char *name, *unit;
	double scale;
	bool more_is_better;
};

static const struct what whats[FIGURES] = {
	[FIGURE_PUB_RATE] = { "published", "/s", 1, true },
	[FIGURE_SUB_RATE] = { "received", "/s", 1, true },
	[FIGURE_P50] = { "p50", "ms", 1e-6, false },
	[FIGURE_P99] = { "p99", "ms", 1e-6, false },
	[FIGURE_P999] = { "p99.9", "ms", 1e-6, false },
	[FIGURE_PUB_CPU] = { "cpu/pub", "us", 1e-3, false },
	[FIGURE_SUB_CPU] = { "cpu/sub", "us", 1e-3, false },
};

static size_t
values(const struct bench_cell *c, enum figure f, double *v)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i]->ran)
			v[n++] = result_figure(c->v[i], f);
	return n;
}

static void
compare_figure(struct buf *out, const struct bench_cell *was, const struct bench_cell *is,
	enum figure f, double fail_slower, bool *slower)
{
	double *a = xmalloc((was->n + 1) * sizeof *a), *b = xmalloc((is->n + 1) * sizeof *b);
	size_t na = values(was, f, a), nb = values(is, f, b);
	double p = stats_rank_test(a, na, b, nb), x = stats_median(a, na), y = stats_median(b, nb);
	double change = x > 0 ? (y - x) / x * 100 : 0;
	struct what w = whats[f];
	bool better = w.more_is_better ? y > x : y < x;

	free(a);
	free(b);
	if (w.scale < 1 && x < 1e6)
		w = (struct what){ w.name, "us", 1e-3, false };
	if (!(x > 0) || !(y > 0))
		return;
	buf_addf(out, "  %-10s%12.*f -> %.*f %s  %+.1f %%  ", w.name, w.scale < 1 ? 3 : 0,
		x * w.scale, w.scale < 1 ? 3 : 0, y * w.scale, w.unit, change);
	if (na < COMPARE_RUNS || nb < COMPARE_RUNS)
		buf_addf(out, "cannot tell: %zu and %zu runs\n", na, nb);
	else if (p > PROBABLE)
		buf_addf(out, "no difference (p %.3f)\n", p);
	else
		buf_addf(out, "%s (p %.3f)\n", better ? w.more_is_better ? "faster" : "less" :
			w.more_is_better ? "slower" : "more", p);
	if (fail_slower >= 0 && p <= FAIL_PROBABLE && !better &&
	    (change > fail_slower || change < -fail_slower))
		*slower = true;
}

/* The nth cell of the kind of `like`. */
static const struct bench_cell *
cell_like(const struct bench_cells *cells, const struct bench_result *like, size_t nth)
{
	for (size_t i = 0; i < cells->n; i++)
		if (result_same_kind(cells->v[i].v[0], like) && nth-- == 0)
			return &cells->v[i];
	return NULL;
}

bool
print_compare(struct buf *out, const struct bench_results *old, const char *name,
	const struct bench_result *r, size_t n, double fail_slower, bool *slower)
{
	struct bench_cells was, is;
	const struct bench_result *first = &old->v[0];
	bool few = false, blind = false;

	*slower = false;
	cells_make(&was, old->v, old->n);
	cells_make(&is, r, n);
	buf_addf(out, "\nbeside %s (mbus %s, kernel %s, %s)\n", name, first->version, first->kernel,
		first->cpu);
	if (n && (strcmp(first->host, r[0].host) != 0 || strcmp(first->cpu, r[0].cpu) != 0 ||
	    first->cpus != r[0].cpus))
		buf_add_str(out, "that was another machine: differences may be the machines'\n");
	for (size_t i = 0; i < is.n; i++) {
		const struct bench_cell *c = &is.v[i], *o;
		size_t nth = 0;

		for (size_t j = 0; j < i; j++)
			nth += result_same_kind(is.v[j].v[0], c->v[0]);
		o = cell_like(&was, c->v[0], nth);
		buf_addf(out, "%s%s\n", c->label, o ? "" : ": nothing like it is there");
		for (int f = 0; o && f < FIGURES; f++)
			compare_figure(out, o, c, (enum figure)f, fail_slower, slower);
		few = few || (o && (o->n < COMPARE_RUNS || c->n < COMPARE_RUNS));
		blind = blind || !o || o->n < COMPARE_FAIL_RUNS || c->n < COMPARE_FAIL_RUNS;
	}
	if (few)
		buf_addf(out, "(--repeat %d or more, then and now, would tell)\n", COMPARE_RUNS);
	cells_release(&was);
	cells_release(&is);
	return !blind;
}

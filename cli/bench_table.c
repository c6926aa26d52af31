/* SPDX-License-Identifier: Apache-2.0 */
/* Several runs in one table: a row for each broker and size, the median of its rounds. */
#include "cli/bench_out.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/stats.h"
#include "core/units.h"

bool
result_same_kind(const struct bench_result *a, const struct bench_result *b)
{
	return strcmp(a->broker, b->broker) == 0 && a->role == b->role && a->pubs == b->pubs &&
		a->subs == b->subs && a->queues == b->queues && a->topics == b->topics &&
		a->size == b->size && a->qos == b->qos && strcmp(a->ack, b->ack) == 0 &&
		strcmp(a->wire, b->wire) == 0 && a->inflight == b->inflight &&
		a->headers == b->headers && a->tls == b->tls && !(a->rate > b->rate) &&
		!(a->rate < b->rate);
}

static void
cell_add(struct bench_cell *c, const struct bench_result *r)
{
	c->v = xrealloc(c->v, (c->n + 1) * sizeof *c->v);
	c->v[c->n++] = r;
}

/* As short as tells them apart. */
static void
make_labels(struct bench_cells *cells)
{
	for (size_t i = 0; i < cells->n; i++) {
		const struct bench_result *r = cells->v[i].v[0];
		struct buf b = BUF_INIT;
		bool size = false, rate = false, address = false;

		for (size_t j = 0; j < cells->n; j++) {
			const struct bench_result *o = cells->v[j].v[0];

			size = size || o->size != r->size;
			rate = rate || o->rate > r->rate || o->rate < r->rate;
			address = address || (strcmp(o->broker, r->broker) == 0 &&
				o->target != r->target);
		}
		buf_add_str(&b, r->broker);
		if (address)
			buf_addf(&b, " %.60s", r->address);
		if (size) {
			buf_add_ch(&b, ' ');
			units_add_size(&b, r->size);
		}
		if (rate) {
			buf_add_ch(&b, ' ');
			print_rate(&b, r->rate);
		}
		snprintf(cells->v[i].label, sizeof cells->v[i].label, "%s", buf_cstr(&b));
		buf_release(&b);
	}
}

void
cells_make(struct bench_cells *cells, const struct bench_result *r, size_t n)
{
	*cells = (struct bench_cells){ 0 };
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < cells->n && (!result_same_kind(cells->v[k].v[0], &r[i]) ||
		    cells->v[k].v[0]->target != r[i].target))
			k++;
		if (k == cells->n) {
			cells->v = xrealloc(cells->v, (k + 1) * sizeof *cells->v);
			cells->v[cells->n++] = (struct bench_cell){ 0 };
		}
		cell_add(&cells->v[k], &r[i]);
	}
	make_labels(cells);
}

void
cells_release(struct bench_cells *cells)
{
	for (size_t i = 0; i < cells->n; i++)
		free(cells->v[i].v);
	free(cells->v);
	*cells = (struct bench_cells){ 0 };
}

double
result_figure(const struct bench_result *r, enum figure f)
{
	const struct bench_figures *l = result_latency(r);

	switch (f) {
	case FIGURE_PUB_RATE:
		return result_pub_rate(r);
	case FIGURE_SUB_RATE:
		return result_sub_rate(r);
	case FIGURE_P50:
		return (double)l->p50;
	case FIGURE_P99:
		return (double)l->p99;
	case FIGURE_P999:
		return (double)l->p999;
	case FIGURE_PUB_CPU:
		return result_pub_cpu(r);
	case FIGURE_SUB_CPU:
		return result_sub_cpu(r);
	case FIGURES:
		break;
	}
	return 0;
}

double
cell_median(const struct bench_cell *c, enum figure f, double *least, double *most, size_t *n)
{
	double *v = xmalloc((c->n + 1) * sizeof *v), median;

	*n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i]->ran)
			v[(*n)++] = result_figure(c->v[i], f);
	median = stats_median(v, *n);
	*least = *n ? v[0] : 0;
	*most = *n ? v[*n - 1] : 0;
	free(v);
	return median;
}

static void
add_ms(struct buf *out, double ns)
{
	struct buf t = BUF_INIT;

	buf_addf(&t, "%.*f", ns < 1e6 ? 3 : ns < 1e8 ? 2 : 0, ns / 1e6);
	print_right(out, &t, 10);
	buf_release(&t);
}

static void
add_rate(struct buf *out, double rate)
{
	struct buf t = BUF_INIT;

	print_rate(&t, rate);
	print_right(out, &t, 12);
	buf_release(&t);
}

static void
add_cpu(struct buf *out, double ns)
{
	if (ns > 0)
		buf_addf(out, "%9.2f", ns / 1e3);
	else
		buf_addf(out, "%9s", "-");
}

static void
add_row(struct buf *out, const struct bench_cell *c, int width)
{
	double least, most, median, a, b;
	uint64_t lost = 0, twice = 0;
	const char *why = "";
	size_t n;

	for (size_t i = 0; i < c->n; i++) {
		lost += c->v[i]->lost;
		twice += c->v[i]->duplicated;
		if (c->v[i]->kind)
			why = c->v[i]->text;
	}
	median = cell_median(c, FIGURE_PUB_RATE, &least, &most, &n);
	buf_addf(out, "%-*s", width, c->label);
	if (!n) {
		buf_addf(out, "  not measured: %s\n", why);
		return;
	}
	add_rate(out, median);
	buf_addf(out, " %4.0f %%", median > 0 ? (most - least) / 2 / median * 100 : 0);
	median = cell_median(c, FIGURE_SUB_RATE, &a, &b, &n);
	if (median > 0)
		add_rate(out, median);
	else
		buf_addf(out, "%12s", "-");
	for (enum figure f = FIGURE_P50; f <= FIGURE_P999; f++)
		add_ms(out, cell_median(c, f, &a, &b, &n));
	add_cpu(out, cell_median(c, FIGURE_PUB_CPU, &a, &b, &n));
	add_cpu(out, cell_median(c, FIGURE_SUB_CPU, &a, &b, &n));
	buf_addf(out, "%8llu%8llu%s\n", (unsigned long long)lost, (unsigned long long)twice,
		*why ? "  !" : "");
}

void
print_table(struct buf *out, const struct bench_result *r, size_t n)
{
	struct bench_cells cells;
	size_t width = 8;

	cells_make(&cells, r, n);
	for (size_t i = 0; i < cells.n; i++)
		if (strlen(cells.v[i].label) > width)
			width = strlen(cells.v[i].label);
	buf_addf(out, "%-*s%12s%7s%12s%10s%10s%10s%9s%9s%8s%8s\n", (int)width, "", "published",
		"+-", "received", "p50 ms", "p99 ms", "p99.9 ms", "us/pub", "us/sub", "lost", "twice");
	for (size_t i = 0; i < cells.n; i++)
		add_row(out, &cells.v[i], (int)width);
	if (n && cells.n < n)
		buf_addf(out, "medians of %zu runs each; +- is half of the range\n", n / cells.n);
	cells_release(&cells);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --plot: one picture of all runs as SVG. Above, latency by percentile as HdrHistogram
 * draws it: to the right the share of events that were slower gets a tenth with each
 * step; below, the rate over time. A curve for each broker, size and rate, of the round
 * whose 99th percentile is the median.
 *
 * It is read on light and on dark pages, and on narrow ones: the colours follow the
 * page's scheme, curves differ by their dashes, too, and letters are large beside it.
 * The numbers that are drawn stand in data-* attributes, for who wants them back.
 */
#include "cli/bench_out.h"

#include <stdlib.h>

#include "core/stats.h"
#include "core/units.h"

enum {
	WIDTH = 680, LEFT = 84, RIGHT = 20, TOP = 62, PANEL = 270, BETWEEN = 86, LINE = 24,
	CURVES = 8			/* more cannot be told apart */
};

struct axis {
	double min, max;		/* of the values; logarithms where it is logarithmic */
	double from, to;		/* pixels */
	bool log;
};

static const struct {
	const char *light, *dark, *dash;
} strokes[CURVES] = {
	{ "#0b62c4", "#6fb1ff", "" }, { "#c2410c", "#ff9d5c", "9 4" },
	{ "#15803d", "#5fd38a", "2 4" }, { "#86198f", "#e58aff", "12 4 2 4" },
	{ "#a16207", "#f2cc4d", "5 3" }, { "#0e7490", "#4fd8ef", "14 5" },
	{ "#be123c", "#ff8095", "3 3 9 3" }, { "#475569", "#b8c4d6", "1 3" },
};

static double
at(const struct axis *a, double v)
{
	double x = a->log ? stats_log10(v) : v;

	if (x < a->min)
		x = a->min;
	if (x > a->max)
		x = a->max;
	return a->from + (x - a->min) / (a->max - a->min) * (a->to - a->from);
}

static void
add_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<': buf_add_str(out, "&lt;"); break;
		case '>': buf_add_str(out, "&gt;"); break;
		case '&': buf_add_str(out, "&amp;"); break;
		case '"': buf_add_str(out, "&quot;"); break;
		default:
			/* XML has no controls; what is not UTF-8 is not here (labels). */
			buf_add_ch(out, (unsigned char)*text < 32 ? '?' : *text);
		}
	}
}

static void
add_text(struct buf *out, const char *class, double x, double y, const char *anchor,
	const char *text)
{
	buf_addf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class, x, y,
		anchor);
	add_escaped(out, text);
	buf_add_str(out, "</text>\n");
}

/* ---- which curves ---- */

static int
by_p99(const void *a, const void *b)
{
	const struct bench_result *x = *(const struct bench_result *const *)a;
	const struct bench_result *y = *(const struct bench_result *const *)b;

	return (result_latency(x)->p99 > result_latency(y)->p99) -
		(result_latency(x)->p99 < result_latency(y)->p99);
}

/* NULL: none of them ran. */
static const struct bench_result *
typical(const struct bench_cell *c)
{
	const struct bench_result **v = xcalloc(c->n + 1, sizeof *v), *r;
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i]->ncurve)
			v[n++] = c->v[i];
	qsort(v, n, sizeof *v, by_p99);
	r = n ? v[(n - 1) / 2] : NULL;
	free(v);
	return r;
}

/* ---- axes ---- */

static void
grid_line(struct buf *out, double x1, double y1, double x2, double y2)
{
	buf_addf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1,
		y1, x2, y2);
}

static void
latency_axis(struct buf *out, const struct axis *x, const struct axis *y)
{
	for (int e = 0; e < 11; e++) {
		static const char *const names[] = { "1 ns", "10 ns", "100 ns", "1 \u00b5s", "10 \u00b5s",
			"100 \u00b5s", "1 ms", "10 ms", "100 ms", "1 s", "10 s" };

		if (e < y->min - 1e-9 || e > y->max + 1e-9)
			continue;
		double py = y->from + (e - y->min) / (y->max - y->min) * (y->to - y->from);

		grid_line(out, x->from, py, x->to, py);
		add_text(out, "tick", x->from - 8, py + 6, "end", names[e]);
	}
	for (int i = 0; i < 8; i++) {
		static const struct {
			double nines;
			const char *name;
		} ticks[] = {
			{ 0, "0" }, { 0.30103, "50 %" }, { 1, "90 %" }, { 2, "99 %" },
			{ 3, "99.9 %" }, { 4, "99.99 %" }, { 5, "99.999 %" }, { 6, "99.9999 %" },
		};
		double px = x->from + ticks[i].nines / x->max * (x->to - x->from);

		/* With many nines there is no room for the half. */
		if (ticks[i].nines > x->max + 1e-9 || (i == 1 && x->max > 4.6))
			continue;
		grid_line(out, px, y->from, px, y->to);
		add_text(out, "tick", px, y->from + 24, "middle", ticks[i].name);
	}
	add_text(out, "axis", (x->from + x->to) / 2, y->from + 50, "middle", "percentile of the events");
}

static void
add_latency_curve(struct buf *out, const struct bench_result *r, const char *label, unsigned n,
	const struct axis *x, const struct axis *y)
{
	const struct bench_figures *f = result_latency(r);
	struct buf path = BUF_INIT;
	bool first = true;

	for (size_t i = 0; i < r->ncurve; i++) {
		const struct bench_curve_point *p = &r->curve[i];
		double left = 1 - p->part, px;

		/* The last, 100 %, has no place on such an axis. */
		if (left <= 0)
			break;
		px = at(x, -stats_log10(left));
		buf_addf(&path, "%s%.1f %.1f", first ? "M" : "L", px,
			at(y, (double)(p->ns ? p->ns : 1)));
		first = false;
	}
	buf_addf(out, "<path class=\"c%u\" data-label=\"", n);
	add_escaped(out, label);
	buf_addf(out, "\" data-n=\"%llu\" data-p50-ns=\"%llu\" data-p99-ns=\"%llu\" data-p99-9-ns=\"%llu\" "
		"data-max-ns=\"%llu\" d=\"%s\"/>\n", (unsigned long long)f->n,
		(unsigned long long)f->p50, (unsigned long long)f->p99,
		(unsigned long long)f->p999, (unsigned long long)f->max,
		first ? "M0 0" : buf_cstr(&path));
	buf_release(&path);
}

static double
rate_of(const struct bench_result *r, const struct bench_interval *v)
{
	uint64_t n = r->role == BENCH_PUB ? v->published : v->received;

	return v->length_ns ? (double)n * 1e9 / (double)v->length_ns : 0;
}

static void
add_rate_curve(struct buf *out, const struct bench_result *r, const char *label, unsigned n,
	const struct axis *x, const struct axis *y)
{
	buf_addf(out, "<path class=\"c%u\" data-label=\"", n);
	add_escaped(out, label);
	buf_addf(out, "\" data-rate=\"%.1f\" d=\"", r->role == BENCH_PUB ? result_pub_rate(r) :
		result_sub_rate(r));
	for (size_t i = 0; i < r->nintervals; i++) {
		const struct bench_interval *v = &r->intervals[i];
		double end = (double)v->at_ns / 1e9, begin = end - (double)v->length_ns / 1e9;
		double py = at(y, rate_of(r, v));

		/* A step: the rate is that of the whole interval. */
		buf_addf(out, "%s%.1f %.1fL%.1f %.1f", i ? "L" : "M", at(x, begin), py, at(x, end), py);
	}
	buf_add_str(out, r->nintervals ? "\"/>\n" : "M0 0\"/>\n");
}

/* 1, 2 or 5 times a power of ten, so that there are four to nine steps up to max. */
static double
step_of(double max)
{
	double step = 1;

	while (step * 10 < max)
		step *= 10;
	while (step > max)
		step /= 10;
	return max / step < 2 ? step / 5 : max / step < 5 ? step / 2 : step;
}

static void
rate_axis(struct buf *out, const struct axis *x, const struct axis *y)
{
	double step = step_of(y->max);

	for (double v = 0; v <= y->max * 1.0001; v += step) {
		struct buf t = BUF_INIT;
		double py = at(y, v);

		grid_line(out, x->from, py, x->to, py);
		if (v >= 1e6)
			buf_addf(&t, "%.4g M", v / 1e6);
		else if (v >= 1e3)
			buf_addf(&t, "%.4g k", v / 1e3);
		else
			buf_addf(&t, "%.4g", v);
		add_text(out, "tick", x->from - 8, py + 6, "end", buf_cstr(&t));
		buf_release(&t);
	}
	step = step_of(x->max);
	for (double v = 0; v <= x->max * 1.0001; v += step) {
		struct buf t = BUF_INIT;

		buf_addf(&t, "%.4g", v);
		add_text(out, "tick", at(x, v), y->from + 24, "middle", buf_cstr(&t));
		buf_release(&t);
	}
	add_text(out, "axis", (x->from + x->to) / 2, y->from + 50, "middle",
		"seconds since the beginning, warm-up included");
}

/* ---- the whole ---- */

struct plot {
	struct bench_cells cells;
	const struct bench_result *r[CURVES];
	const char *label[CURVES];
	unsigned n, left_out;
	double least_ns, most_ns, nines, rate, seconds;
};

static void
plot_measure(struct plot *p)
{
	p->least_ns = 1e18;
	for (unsigned i = 0; i < p->n; i++) {
		const struct bench_result *r = p->r[i];

		for (size_t k = 0; k < r->ncurve; k++) {
			const struct bench_curve_point *c = &r->curve[k];
			double ns = c->ns ? (double)c->ns : 1, left = 1 - c->part;

			p->least_ns = ns < p->least_ns ? ns : p->least_ns;
			p->most_ns = ns > p->most_ns ? ns : p->most_ns;
			if (left > 0 && -stats_log10(left) > p->nines)
				p->nines = -stats_log10(left);
		}
		for (size_t k = 0; k < r->nintervals; k++) {
			double end = (double)r->intervals[k].at_ns / 1e9;
			double rate = rate_of(r, &r->intervals[k]);

			p->rate = rate > p->rate ? rate : p->rate;
			p->seconds = end > p->seconds ? end : p->seconds;
		}
	}
}

static void
plot_cells(struct plot *p, const struct bench_result *r, size_t n)
{
	cells_make(&p->cells, r, n);
	for (size_t i = 0; i < p->cells.n; i++) {
		const struct bench_result *t = typical(&p->cells.v[i]);

		if (t && p->n == CURVES)
			p->left_out++;
		if (!t || p->n == CURVES)
			continue;
		p->label[p->n] = p->cells.v[i].label;
		p->r[p->n++] = t;
	}
	plot_measure(p);
}

static void
add_style(struct buf *out, unsigned n)
{
	buf_add_str(out, "<style>\n"
		"svg{background:#fff;font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\n"
		"text{fill:#1f2328}.title{font-size:20px;font-weight:600}.axis{font-size:17px}\n"
		".tick{font-size:16px;fill:#59636e}.legend{font-size:17px}.note{font-size:14px;fill:#59636e}\n"
		".grid{stroke:#d1d9e0;stroke-width:1}path{fill:none;stroke-width:2.5;stroke-linejoin:round}\n");
	for (unsigned i = 0; i < n; i++)
		buf_addf(out, ".c%u{stroke:%s%s%s}\n", i, strokes[i].light,
			*strokes[i].dash ? ";stroke-dasharray:" : "", strokes[i].dash);
	buf_add_str(out, "@media(prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}"
		".tick,.note{fill:#9198a1}.grid{stroke:#30363d}\n");
	for (unsigned i = 0; i < n; i++)
		buf_addf(out, ".c%u{stroke:%s}", i, strokes[i].dark);
	buf_add_str(out, "}\n</style>\n");
}

static void
add_legend(struct buf *out, const struct plot *p, double y)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct bench_figures *f = result_latency(p->r[i]);
		struct buf t = BUF_INIT;

		buf_addf(out, "<path class=\"c%u\" d=\"M%d %.1fL%d %.1f\"/>\n", i, LEFT, y - 6, LEFT + 44,
			y - 6);
		buf_addf(&t, "%s: ", p->label[i]);
		print_rate(&t, p->r[i]->role == BENCH_PUB || !p->r[i]->sub_n ?
			result_pub_rate(p->r[i]) : result_sub_rate(p->r[i]));
		buf_addf(&t, ", p99 %.3g ms", (double)f->p99 / 1e6);
		if (f->n)
			add_text(out, "legend", LEFT + 54, y, "start", buf_cstr(&t));
		buf_release(&t);
		y += LINE;
	}
}

static void
add_notes(struct buf *out, const struct plot *p, double y)
{
	const struct bench_result *r = p->r[0];
	struct buf t = BUF_INIT;

	buf_addf(&t, "%u publisher%s, %u subscriber%s, ", r->pubs, r->pubs == 1 ? "" : "s", r->subs,
		r->subs == 1 ? "" : "s");
	units_add_size(&t, r->size);
	buf_addf(&t, "%s%s", p->n > 1 ? " and as above" : "", r->rate > 0 ?
		"; from intended send time" : "; as fast as confirmed");
	if (p->left_out)
		buf_addf(&t, "; %u curves left out", p->left_out);
	add_text(out, "note", LEFT, y, "start", buf_cstr(&t));
	buf_clear(&t);
	buf_addf(&t, "mbus %s, Linux %s, %u CPUs", r->version, r->kernel, r->cpus);
	add_text(out, "note", LEFT, y + 20, "start", buf_cstr(&t));
	buf_clear(&t);
	buf_addf(&t, "%.70s, ", r->cpu);
	units_add_time_us(&t, r->began_us);
	buf_truncate(&t, buf_len(&t) - 17);
	add_text(out, "note", LEFT, y + 40, "start", buf_cstr(&t));
	buf_release(&t);
}

static double
whole(double v, bool up)
{
	double i = (double)(int)v;

	if (i > v)
		i--;
	return up && i < v ? i + 1 : i;
}

void
svg_results(struct buf *out, const struct bench_result *r, size_t n)
{
	struct plot p = { 0 };
	double y = TOP;
	unsigned height;
	struct axis lx = { 0, 1, LEFT, WIDTH - RIGHT, false }, ly = { 0, 1, 0, 0, true };
	struct axis rx = { 0, 1, LEFT, WIDTH - RIGHT, false }, ry = { 0, 1, 0, 0, false };
	bool rates;

	plot_cells(&p, r, n);
	rates = p.seconds > 0 && p.rate > 0;
	height = TOP + PANEL + BETWEEN + p.n * LINE + 62 + (rates ? PANEL + BETWEEN + 20 : 0);
	buf_addf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" role=\"img\">\n"
		"<title>mbus bench: latency by percentile and rate over time</title>\n", WIDTH, height);
	add_style(out, p.n);
	if (!p.n) {
		add_text(out, "title", LEFT, 34, "start", "nothing was measured");
		buf_add_str(out, "</svg>\n");
		cells_release(&p.cells);
		return;
	}
	ly = (struct axis){ whole(stats_log10(p.least_ns), false),
		whole(stats_log10(p.most_ns) + 1e-9, true), y + PANEL, y, true };
	if (ly.max - ly.min < 1)
		ly.max = ly.min + 1;
	lx.max = p.nines < 2 ? 2 : p.nines > 6 ? 6 : p.nines;
	add_text(out, "title", LEFT, y - 26, "start", p.r[0]->role == BENCH_RTT ? "Round trip" :
		p.r[0]->e2e.n ? "Latency, end to end" : "Latency of the confirmation");
	buf_addf(out, "<g class=\"latency\" data-x-max=\"%.6f\" data-y-min=\"%g\" data-y-max=\"%g\" "
		"data-box=\"%g %g %g %g\">\n", lx.max, ly.min, ly.max, lx.from, ly.to, lx.to, ly.from);
	latency_axis(out, &lx, &ly);
	for (unsigned i = 0; i < p.n; i++)
		add_latency_curve(out, p.r[i], p.label[i], i, &lx, &ly);
	buf_add_str(out, "</g>\n");
	y += PANEL + BETWEEN;
	if (rates) {
		y += 20;
		rx.max = p.seconds;
		ry = (struct axis){ 0, p.rate * 1.05, y + PANEL, y, false };
		add_text(out, "title", LEFT, y - 14, "start", p.r[0]->role == BENCH_PUB ?
			"Events confirmed a second" : "Events received a second");
		buf_addf(out, "<g class=\"rate\" data-x-max=\"%.6f\" data-y-max=\"%.6f\" "
			"data-box=\"%g %g %g %g\">\n", rx.max, ry.max, rx.from, ry.to, rx.to, ry.from);
		rate_axis(out, &rx, &ry);
		for (unsigned i = 0; i < p.n; i++)
			add_rate_curve(out, p.r[i], p.label[i], i, &rx, &ry);
		buf_add_str(out, "</g>\n");
		y += PANEL + BETWEEN;
	}
	add_legend(out, &p, y);
	add_notes(out, &p, y + p.n * LINE + 8);
	buf_add_str(out, "</svg>\n");
	cells_release(&p.cells);
}

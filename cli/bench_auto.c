/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --rate auto. A closed loop first says how much can be at all; then parts of that are
 * tried as open loops, for the curve, and at last the middle between the highest rate
 * that held and the lowest that did not, until they are 4 % apart.
 *
 * A rate holds when it was kept (99 %), nothing was lost, refused or unknown, and
 * --max-p99 is. It is the rate over the whole step: what a broker can take for a moment
 * fills queues, and the latency says so.
 */
#include "cli/bench_auto.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"

enum { AUTO_STEPS = 16 };
static const double parts[] = { 0.1, 0.25, 0.5, 0.75, 0.9, 1 };
enum { NPARTS = sizeof parts / sizeof *parts };

double
auto_next(const struct bench_auto *a)
{
	if (!a->step)
		return 0;
	if (!(a->top > 0) || a->step > AUTO_STEPS)
		return -1;
	/* Upwards, as long as it holds: what is above a rate that did not needs no try. */
	if (a->step <= NPARTS && !(a->lowest > 0))
		return a->top * parts[a->step - 1];
	if (!(a->lowest > 0))
		return a->highest < a->top * 1.5 ? a->highest * 1.15 : -1;
	if (!(a->highest > 0))
		return a->lowest > 20 ? a->lowest / 3 : -1;
	if (a->lowest / a->highest < 1.04)
		return -1;
	return (a->highest + a->lowest) / 2;
}

static void
judge(char *why, size_t size, const struct bench_plan *p, const struct bench_result *r)
{
	const struct bench_figures *f = result_latency(r);

	why[0] = '\0';
	if (r->kind)
		snprintf(why, size, "%.50s", r->text);
	else if (plan_loss(p, r) > p->max_loss)
		snprintf(why, size, "%llu lost", (unsigned long long)r->lost);
	else if (r->refused)
		snprintf(why, size, "%llu refused", (unsigned long long)r->refused);
	else if (result_kept(r) < 99)
		snprintf(why, size, "kept %.1f %%", result_kept(r));
	else if (p->max_p99_ns && f->p99 > p->max_p99_ns)
		snprintf(why, size, "p99 over %s", p->args->max_p99);
}

void
auto_told(struct bench_auto *a, const struct bench_plan *p, const struct bench_result *r)
{
	char *why = a->why[a->step];
	double pub = result_pub_rate(r), sub = result_sub_rate(r);

	a->rates[a->step] = r->rate;
	if (!a->step++) {
		if (r->nlisteners > 1)
			sub /= (double)r->nlisteners;
		a->top = r->kind && !r->ran ? 0 : sub > 0 && sub < pub ? sub : pub;
		return;
	}
	judge(why, sizeof a->why[0], p, r);
	if (!*why)
		a->highest = r->rate > a->highest ? r->rate : a->highest;
	else if (!(a->lowest > 0) || r->rate < a->lowest)
		a->lowest = r->rate;
	/* It scatters: a lower one that failed rules out the higher one that held. */
	if (a->lowest > 0 && a->highest >= a->lowest)
		a->highest = 0;
	for (unsigned i = 1; i < a->step && a->lowest > 0; i++)
		if (!*a->why[i] && a->rates[i] < a->lowest && a->rates[i] > a->highest)
			a->highest = a->rates[i];
}

static int
by_rate(const void *a, const void *b, void *arg)
{
	const struct bench_result *r = arg;
	double x = r[*(const size_t *)a].rate, y = r[*(const size_t *)b].rate;

	return (x > y) - (x < y);
}

static void
add_step(struct buf *out, const struct bench_result *r, const char *why)
{
	const struct bench_figures *f = result_latency(r);
	struct buf t = BUF_INIT;

	print_rate(&t, r->rate);
	print_right(out, &t, 12);
	buf_release(&t);
	buf_addf(out, "%8.1f %%%11.3f%11.3f%11.3f%11.3f   %s\n", result_kept(r), (double)f->p50 / 1e6,
		(double)f->p99 / 1e6, (double)f->p999 / 1e6, (double)f->max / 1e6,
		*why ? why : "holds");
}

void
print_auto(struct buf *out, const struct bench_auto *a, const struct bench_result *r, size_t n)
{
	size_t *order = xmalloc((n + 1) * sizeof *order);

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof *order, by_rate, (void *)r);
	buf_addf(out, "\n%12s%10s%11s%11s%11s%11s\n", "rate", "kept", "p50 ms", "p99 ms", "p99.9 ms",
		"max ms");
	for (size_t i = 0; i < n; i++)
		if (r[order[i]].rate > 0)
			add_step(out, &r[order[i]], a->why[order[i]]);
	buf_addf(out, "as fast as confirmed: ");
	print_rate(out, a->top);
	buf_add_str(out, "\nhighest rate that holds: ");
	if (a->highest > 0)
		print_rate(out, a->highest);
	else
		buf_add_str(out, "none");
	buf_add_ch(out, '\n');
	free(order);
}

void
json_auto(struct buf *out, const struct bench_auto *a, const struct bench_result *r)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"bench.auto\",\"broker\":");
	json_add_go_string(out, bytes_str(r->broker));
	buf_addf(out, ",\"size\":%llu,\"top\":%.1f,\"holds\":%.1f}\n", (unsigned long long)r->size,
		a->top, a->highest);
}

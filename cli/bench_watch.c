/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is seen of a run while it goes: the machine, and how far it got in each interval.
 * The workers' counters are read without asking them.
 */
#include "cli/bench_run.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the machine ---- */

/* Of all CPUs, in ticks. */
static void
machine_ticks(uint64_t *busy, uint64_t *all)
{
	FILE *f = fopen("/proc/stat", "re");
	unsigned long long v[8] = { 0 };

	*busy = *all = 0;
	if (!f)
		return;
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
	    &v[4], &v[5], &v[6], &v[7]) == 8) {
		for (int i = 0; i < 8; i++)
			*all += v[i];
		*busy = *all - v[3] - v[4];
	}
	fclose(f);
}

void
watch_begin(struct bench_run_state *run)
{
	machine_ticks(&run->busy0, &run->all0);
}

void
watch_end(struct bench_run_state *run)
{
	uint64_t busy, all;

	machine_ticks(&busy, &all);
	/* In a few ticks there is no percentage. */
	run->result->machine_busy = run->all0 && all >= run->all0 + 20 ?
		(unsigned)((busy - run->busy0) * 100 / (all - run->all0)) : 101;
}

/* ---- sums over the workers ---- */

uint64_t
run_sum(const struct bench_run_state *run, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < run->nchildren; i++)
		n += *(const uint64_t *)((const char *)child_slot(run, i) + offset);
	return n;
}

/* ---- intervals ---- */

void
watch_interval(struct bench_run_state *run, uint64_t now)
{
	struct bench_result *r = run->result;
	struct bench_interval *v;
	uint64_t published = SUM(run, confirmed), received = 0, left = 0;
	struct hist *swap;

	if (r->nintervals % 64 == 0)
		r->intervals = xrealloc(r->intervals, (r->nintervals + 64) * sizeof *v);
	v = &r->intervals[r->nintervals++];
	hist_clear(run->now);
	/* With rtt who answers is no receiver. */
	for (unsigned i = run->job->role == BENCH_RTT ? run->job->subs : 0; i < run->nchildren;
	    i++) {
		hist_add(run->now, &child_slot(run, i)->e2e);
		received += child_slot(run, i)->distinct;
	}
	hist_since(run->part, run->now, run->before);
	*v = (struct bench_interval){
		.at_ns = now - run->begin_ns,
		.length_ns = now - run->interval_ns,
		.published = published - run->published,
		.received = received - run->received,
		.in_flight = SUM(run, taken) - published - SUM(run, refused) - SUM(run, unknown),
		.n = run->part->n,
		.p50 = hist_at(run->part, 500000),
		.p99 = hist_at(run->part, 990000),
		.p999 = hist_at(run->part, 999000),
		.max = hist_max(run->part),
	};
	swap = run->before;
	run->before = run->now;
	run->now = swap;
	run->published = published;
	run->received = received;
	run->interval_ns = now;
	if (run->job->duration_ns) {
		uint64_t all = run->job->warm_ns + run->job->duration_ns;

		left = all > v->at_ns ? all - v->at_ns : 0;
	} else if (published && run->job->msgs) {
		uint64_t all = run->job->msgs + run->job->warm_msgs;

		left = published < all ? (uint64_t)((double)v->at_ns *
			(double)(all - published) / (double)published) : 0;
	}
	if (run->watcher && run->watcher->interval)
		run->watcher->interval(r, v, left, run->arg);
}

void
watch_timer(struct loop_timer *t)
{
	struct bench_run_state *run = t->arg;
	uint64_t step = run->job->args->interval_ms * 1000000u;

	watch_interval(run, loop_clock_ns());
	loop_timer_set_at(run->loop, t, run->begin_ns + (run->result->nintervals + 1) * step);
}

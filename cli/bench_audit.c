/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When all workers have ended: their counters in one result, and what was sent held
 * against what came. A publisher has left which of its numbers were refused and which
 * are unknown (all others are confirmed), a subscriber which have come; all as runs of
 * numbers, so that a hundred million events are a few lines.
 */
#include "cli/bench_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* By worker and publisher: runs_of(a, w, p). */
struct audit {
	struct bench_run_state *run;
	struct bench_runs *came;	/* [worker * pubs + publisher] */
	struct bench_runs *refused, *unknown;	/* [publisher] */
	unsigned pubs;
};

static void
read_runs(struct audit *a, unsigned w)
{
	struct run_record rec[512];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(a->run->children[w].worker.runs_fd, rec, sizeof rec, at)) >=
	    (ssize_t)sizeof *rec) {
		size_t k = (size_t)n / sizeof *rec;

		for (size_t i = 0; i < k; i++) {
			unsigned p = rec[i].publisher;
			struct bench_runs *to;

			if (p >= a->pubs)
				continue;
			to = rec[i].what == RUN_ARRIVED ? &a->came[w * a->pubs + p] :
				rec[i].what == RUN_REFUSED ? &a->refused[p] : &a->unknown[p];
			runs_add(to, rec[i].run.first, rec[i].run.n);
		}
		at += (off_t)(k * sizeof *rec);
	}
}

static struct worker_slot *
pub_slot(const struct bench_run_state *run, unsigned p)
{
	return child_slot(run, run->job->subs + p);
}

/* One publisher's events at one listener: the workers first, first + step ... end - 1. */
static void
audit_one(struct audit *a, unsigned p, unsigned first, unsigned step, unsigned end,
	struct bench_listener *l)
{
	const struct worker_slot *s = pub_slot(a->run, p);
	struct bench_runs came = { 0 }, missing = { 0 };
	uint64_t distinct, expected = s->taken - s->refused - s->unknown;

	for (unsigned w = first; w < end; w += step)
		l->duplicated += runs_unite(&came, &came, &a->came[w * a->pubs + p]);
	distinct = runs_count(&came);
	l->expected += expected;
	l->distinct += distinct;
	if (s->state != WORKER_ENDED) {
		/* It could not leave its runs: then the numbers alone must do. */
		l->lost += s->confirmed > distinct ? s->confirmed - distinct : 0;
	} else {
		runs_missing(&missing, &came, s->taken);
		l->lost += runs_count(&missing) - runs_common(&missing, &a->refused[p]) -
			runs_common(&missing, &a->unknown[p]);
		l->refused_came += runs_common(&came, &a->refused[p]);
		l->unknown_came += runs_common(&came, &a->unknown[p]);
	}
	runs_release(&came);
	runs_release(&missing);
}

/* A subscriber alone has only what publishers said when they ended. */
static void
audit_alone(struct bench_run_state *run, unsigned first, unsigned step, struct bench_listener *l)
{
	for (unsigned w = first; w < run->job->subs; w += step) {
		l->expected += child_slot(run, w)->end_confirmed;
		l->distinct += child_slot(run, w)->distinct;
	}
	l->lost = l->expected > l->distinct ? l->expected - l->distinct : 0;
}

void
bench_audit(struct bench_run_state *run)
{
	const struct bench_job *job = run->job;
	struct bench_result *r = run->result;
	struct audit a = { .run = run, .pubs = job->pubs };
	unsigned nworkers = job->subs + job->pubs;
	unsigned n = job->role == BENCH_RTT ? job->pubs : job->queues ? job->queues : job->subs;

	a.came = xcalloc((size_t)nworkers * job->pubs + 1, sizeof *a.came);
	a.refused = xcalloc(job->pubs + 1, sizeof *a.refused);
	a.unknown = xcalloc(job->pubs + 1, sizeof *a.unknown);
	for (unsigned w = 0; w < nworkers; w++)
		if (run->children[w].worker.kind)
			read_runs(&a, w);
	r->listeners = xcalloc(n + 1, sizeof *r->listeners);
	r->nlisteners = n;
	for (unsigned i = 0; i < n; i++) {
		struct bench_listener *l = &r->listeners[i];
		unsigned at = job->subs + i;

		if (job->role == BENCH_SUB)
			audit_alone(run, i, n, l);
		else if (job->role == BENCH_RTT)
			audit_one(&a, i, at, 1, at + 1, l);
		for (unsigned p = 0; p < job->pubs && job->role == BENCH_BOTH; p++)
			audit_one(&a, p, i, n, job->subs, l);
		/* What came twice to one of its members. */
		for (unsigned w = job->role == BENCH_RTT ? at : i;
		    w < (job->role == BENCH_RTT ? at + 1 : job->subs); w += n)
			l->duplicated += child_slot(run, w)->duplicated;
		r->expected += l->expected;
		r->lost += l->lost;
		r->duplicated += l->duplicated;
		r->refused_came += l->refused_came;
		r->unknown_came += l->unknown_came;
	}
	for (size_t i = 0; i < (size_t)nworkers * job->pubs; i++)
		runs_release(&a.came[i]);
	for (unsigned i = 0; i < job->pubs; i++) {
		runs_release(&a.refused[i]);
		runs_release(&a.unknown[i]);
	}
	free(a.came);
	free(a.refused);
	free(a.unknown);
}

/* ---- the counters ---- */

struct span {
	uint64_t first, last;
};

static void
widen(struct span *s, const struct worker_slot *slot)
{
	if (slot->first_ns && (!s->first || slot->first_ns < s->first))
		s->first = slot->first_ns;
	if (slot->last_ns > s->last)
		s->last = slot->last_ns;
	if (slot->first_ns && slot->over_ns > s->last)
		s->last = slot->over_ns;
}

static uint64_t
span_ns(const struct span *s)
{
	return s->last > s->first ? s->last - s->first : 0;
}

enum { BUSY_SPAN_NS = 50000000 };	/* in less, a share of a CPU says nothing */

/* In thousandths of a CPU. */
static uint64_t
busiest(uint64_t most, const struct worker_slot *s)
{
	uint64_t span = s->last_ns > s->first_ns ? s->last_ns - s->first_ns : 0;
	uint64_t part = span > BUSY_SPAN_NS ? (s->user_ns + s->sys_ns) * 1000 / span : 0;

	return s->first_ns && part > most ? part : most;
}

static void
collect_pub(struct bench_result *r, const struct worker_slot *s, struct bench_part *part)
{
	part->taken = s->taken;
	part->confirmed = s->confirmed;
	part->refused = s->refused;
	part->unknown = s->taken - s->confirmed - s->refused;
	r->published += s->taken;
	r->confirmed += s->confirmed;
	r->refused += s->refused;
	r->unknown += part->unknown;
	r->pub_n += s->measured;
	r->pub_bytes += s->bytes;
	r->due += s->due;
	r->late += s->late;
	r->full_ns += s->full_ns;
	r->pub_user_ns += s->user_ns;
	r->pub_sys_ns += s->sys_ns;
	r->pub_busiest = busiest(r->pub_busiest, s);
}

static void
collect_heard(struct bench_result *r, const struct worker_slot *s, struct bench_part *part)
{
	part->arrived = s->arrived;
	part->distinct = s->distinct;
	part->duplicated = s->duplicated;
	part->disordered = s->disordered;
	part->corrupted = s->corrupted;
	part->foreign = s->foreign;
	r->arrived += s->arrived;
	r->distinct += s->distinct;
	r->disordered += s->disordered;
	r->corrupted += s->corrupted;
	r->foreign += s->foreign;
	r->early += s->early;
}

static void
collect_sub(struct bench_result *r, const struct worker_slot *s)
{
	r->sub_n += s->measured;
	r->sub_bytes += s->bytes;
	r->sub_user_ns += s->user_ns;
	r->sub_sys_ns += s->sys_ns;
	r->sub_busiest = busiest(r->sub_busiest, s);
}

/* Was it the broker that could do no more, or were we? */
static enum bench_limit
find_limit(const struct bench_result *r)
{
	enum { FULL = 950 };

	if (r->rate > 0 && r->late * 100 > r->due)
		return LIMIT_PACING;
	if (r->pub_busiest > FULL)
		return LIMIT_PUBLISHER;
	if (r->sub_busiest > FULL)
		return LIMIT_SUBSCRIBER;
	if (r->machine_busy >= 95 && r->machine_busy <= 100)
		return LIMIT_MACHINE;
	return LIMIT_NONE;
}

static void
collect_latency(struct bench_run_state *run)
{
	struct bench_result *r = run->result;
	struct hist *h[3] = { run->now, run->before, run->part };

	for (int i = 0; i < 3; i++)
		hist_clear(h[i]);
	for (unsigned i = 0; i < run->nchildren; i++) {
		const struct worker_slot *s = child_slot(run, i);

		hist_add(h[0], &s->call);
		hist_add(h[1], &s->ack);
		/* With rtt those who answer have one, too: half of the way. */
		if (run->job->role != BENCH_RTT || run->children[i].worker.kind == &worker_pub)
			hist_add(h[2], &s->e2e);
	}
	result_figures(&r->call, h[0]);
	result_figures(&r->ack_time, h[1]);
	result_figures(&r->e2e, h[2]);
	result_curve(r, h[2]->n ? h[2] : h[1]);
}

static void
collect_error(struct bench_result *r, const struct worker_slot *s)
{
	if (!r->kind && s->first_refusal.kind) {
		r->kind = s->first_refusal.kind;
		snprintf(r->text, sizeof r->text, "%s", s->first_refusal.text);
	}
}

void
bench_collect(struct bench_run_state *run)
{
	const struct bench_job *job = run->job;
	struct bench_result *r = run->result;
	struct span pubs = { 0 }, subs = { 0 };

	r->publishers = xcalloc(job->pubs + 1, sizeof *r->publishers);
	r->subscribers = xcalloc(job->subs + 1, sizeof *r->subscribers);
	r->npublishers = job->pubs;
	r->nsubscribers = job->subs;
	for (unsigned i = 0; i < job->pubs; i++) {
		const struct worker_slot *s = pub_slot(run, i);

		collect_pub(r, s, &r->publishers[i]);
		if (job->role == BENCH_RTT)
			collect_heard(r, s, &r->publishers[i]);
		r->publishers[i].rss_kib = run->children[job->subs + i].rss_kib;
		widen(&pubs, s);
		collect_error(r, s);
	}
	for (unsigned i = 0; i < job->subs; i++) {
		const struct worker_slot *s = child_slot(run, i);

		if (job->role != BENCH_RTT)
			collect_heard(r, s, &r->subscribers[i]);
		collect_sub(r, s);
		r->subscribers[i].rss_kib = run->children[i].rss_kib;
		widen(&subs, s);
		collect_error(r, s);
	}
	for (unsigned i = 0; i < run->nchildren; i++)
		if (run->children[i].rss_kib > r->rss_kib)
			r->rss_kib = run->children[i].rss_kib;
	r->pub_ns = span_ns(&pubs);
	r->sub_ns = span_ns(&subs);
	r->ran = r->published || r->arrived;
	if (!r->kind && r->unknown) {
		r->kind = ERR_UNKNOWN;
		snprintf(r->text, sizeof r->text, "%llu of %llu events are unknown: they were sent, "
			"and not answered", (unsigned long long)r->unknown,
			(unsigned long long)r->published);
	}
	bench_audit(run);
	collect_latency(run);
	r->limit = find_limit(r);
}

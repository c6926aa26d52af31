/* SPDX-License-Identifier: Apache-2.0 */
/* The halves of a run on two machines, put together by its id. */
#include "cli/bench_out.h"

#include <stdio.h>
#include <stdlib.h>

static const struct bench_result *
half(const struct bench_results *r, int role)
{
	for (size_t i = r->n; i-- > 0;)
		if (r->v[i].role == role)
			return &r->v[i];
	return NULL;
}

static void *
copy_of(const void *p, size_t n, size_t size)
{
	void *to = xcalloc(n + 1, size);

	if (n)
		memcpy(to, p, n * size);
	return to;
}

/* The publishers say how many they got confirmed; of what is unknown it cannot be told
 * here which came, so that losses are the least there can be. */
static void
count_lost(struct bench_result *out, const struct bench_result *pub)
{
	out->expected = out->lost = 0;
	for (size_t i = 0; i < out->nlisteners; i++) {
		struct bench_listener *l = &out->listeners[i];

		l->expected = pub->confirmed;
		l->lost = l->expected > l->distinct ? l->expected - l->distinct : 0;
		out->expected += l->expected;
		out->lost += l->lost;
	}
}

int
results_merge(const struct bench_results *a, const struct bench_results *b,
	struct bench_result *out, struct error *err)
{
	const struct bench_result *pub = half(a, BENCH_PUB), *sub = half(b, BENCH_SUB);

	if (!pub || !sub) {
		pub = half(b, BENCH_PUB);
		sub = half(a, BENCH_SUB);
	}
	if (!pub || !sub)
		return error_set(err, ERR_USAGE, "merge: one file of mbus bench pub, and one of mbus "
			"bench sub");
	if (strcmp(pub->id, sub->id) != 0)
		return error_set(err, ERR_USAGE, "merge: the halves of two runs, %.40s and %.40s",
			pub->id, sub->id);
	*out = *pub;
	out->role = BENCH_BOTH;
	out->subs = sub->subs;
	out->queues = sub->queues;
	out->arrived = sub->arrived;
	out->distinct = sub->distinct;
	out->duplicated = sub->duplicated;
	out->disordered = sub->disordered;
	out->corrupted = sub->corrupted;
	out->foreign = sub->foreign;
	out->early = sub->early;
	out->sub_n = sub->sub_n;
	out->sub_bytes = sub->sub_bytes;
	out->sub_ns = sub->sub_ns;
	out->sub_user_ns = sub->sub_user_ns;
	out->sub_sys_ns = sub->sub_sys_ns;
	out->sub_busiest = sub->sub_busiest;
	out->e2e = sub->e2e;
	out->rss_kib = sub->rss_kib > pub->rss_kib ? sub->rss_kib : pub->rss_kib;
	out->limit = pub->limit ? pub->limit : sub->limit;
	out->curve = copy_of(sub->curve, sub->ncurve, sizeof *sub->curve);
	out->ncurve = sub->ncurve;
	out->intervals = copy_of(sub->intervals, sub->nintervals, sizeof *sub->intervals);
	out->nintervals = sub->nintervals;
	out->publishers = copy_of(pub->publishers, pub->npublishers, sizeof *pub->publishers);
	out->subscribers = copy_of(sub->subscribers, sub->nsubscribers, sizeof *sub->subscribers);
	out->nsubscribers = sub->nsubscribers;
	out->listeners = copy_of(sub->listeners, sub->nlisteners, sizeof *sub->listeners);
	out->nlisteners = sub->nlisteners;
	count_lost(out, pub);
	if (!out->kind && out->lost) {
		out->kind = ERR_REFUSED;
		snprintf(out->text, sizeof out->text, "%llu events were lost, of %llu",
			(unsigned long long)out->lost, (unsigned long long)out->expected);
	}
	if (!out->kind && sub->kind) {
		out->kind = sub->kind;
		memcpy(out->text, sub->text, sizeof out->text);
	}
	return 0;
}

void
print_clocks(struct buf *out, const struct bench_result *r)
{
	const struct bench_figures *f = &r->e2e;

	if (!f->n)
		return;
	buf_addf(out, "%-10s the end-to-end times are those between two clocks: shifted, all of "
		"them alike, by what these differ\n", "clocks");
	if (r->early)
		buf_addf(out, "%-10s %llu events came before they were sent, and are not in them\n", "",
			(unsigned long long)r->early);
	else
		buf_addf(out, "%-10s over the fastest event, which no clock can change: p50 +%.3f  "
			"p99 +%.3f  p99.9 +%.3f ms\n", "", (double)(f->p50 - f->min) / 1e6,
			(double)(f->p99 - f->min) / 1e6, (double)(f->p999 - f->min) / 1e6);
}

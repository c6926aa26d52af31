/* SPDX-License-Identifier: Apache-2.0 */
/* One run, for people. */
#include "cli/bench_out.h"

#include <stdio.h>

#include "core/units.h"

/* What came out of a division, or out of a file. */
static uint64_t
whole(double v)
{
	return v > 0 ? v < 1e19 ? (uint64_t)v : UINT64_C(10000000000000000000) : 0;
}

void
print_rate(struct buf *out, double rate)
{
	if (rate >= 1e6) {
		buf_addf(out, "%.2f M/s", rate / 1e6);
	} else if (rate >= 100 || rate <= 0) {
		units_add_count(out, whole(rate + 0.5));
		buf_add_str(out, "/s");
	} else {
		buf_addf(out, "%.2f/s", rate);
	}
}

void
print_right(struct buf *out, const struct buf *text, size_t width)
{
	size_t n = buf_len(text);

	for (; n < width; n++)
		buf_add_ch(out, ' ');
	buf_add_bytes(out, buf_bytes(text));
}

static void
add_rate_right(struct buf *out, double rate, size_t width)
{
	struct buf t = BUF_INIT;

	print_rate(&t, rate);
	print_right(out, &t, width);
	buf_release(&t);
}

static void
add_n(struct buf *out, uint64_t n, const char *what)
{
	buf_add_str(out, "  ");
	units_add_count(out, n);
	buf_addf(out, " %s", what);
}

static void
add_many(struct buf *out, unsigned n, const char *one)
{
	buf_addf(out, "  %u %s%s", n, one, n == 1 ? "" : "s");
}

void
print_head(struct buf *out, const struct bench_result *r)
{
	buf_addf(out, "mbus bench%s%s: %s %s  topic %s", r->role == BENCH_BOTH ? "" : " ",
		r->role == BENCH_BOTH ? "" : result_role(r->role), r->broker, r->address, r->topic);
	if (r->topics > 1)
		buf_addf(out, ".0 ... .%u", r->topics - 1);
	if (r->pubs)
		add_many(out, r->pubs, "publisher");
	if (r->subs)
		add_many(out, r->subs, "subscriber");
	if (r->queues)
		add_many(out, r->queues, "queue");
	if (r->role != BENCH_SUB) {
		buf_add_str(out, "  ");
		units_add_size(out, r->size);
	}
	if (r->qos >= 0)
		buf_addf(out, "  qos %d", (int)r->qos);
	if (strcmp(r->ack, "broker") != 0)
		buf_addf(out, "  ack %s", r->ack);
	if (strcmp(r->wire, "auto") != 0)
		buf_addf(out, "  wire %s", r->wire);
	if (r->tls)
		buf_add_str(out, "  tls");
	if (r->rate > 0) {
		buf_add_str(out, "  rate ");
		print_rate(out, r->rate);
	} else if (r->role != BENCH_SUB) {
		buf_add_str(out, "  as fast as confirmed");
	}
	buf_add_ch(out, '\n');
}

static void
add_ms(struct buf *out, uint64_t ns)
{
	buf_addf(out, "%.3g", (double)ns / 1e6);
}

void
print_interval(struct buf *out, const struct bench_result *r, const struct bench_interval *v)
{
	double seconds = (double)v->length_ns / 1e9;

	buf_addf(out, "%5.0fs", (double)v->at_ns / 1e9);
	if (r->role != BENCH_SUB) {
		buf_add_str(out, "  pub ");
		add_rate_right(out, (double)v->published / seconds, 11);
		buf_add_str(out, "  ");
		units_add_size(out, whole((double)v->published * (double)r->size / seconds));
		buf_add_str(out, "/s");
	}
	if (r->role != BENCH_PUB) {
		buf_add_str(out, r->role == BENCH_RTT ? "  answers " : "  sub ");
		add_rate_right(out, (double)v->received / seconds, 11);
	}
	if (r->role != BENCH_SUB)
		add_n(out, v->in_flight, "in flight");
	if (v->n) {
		buf_add_str(out, r->role == BENCH_RTT ? "  round trip p50 " : "  e2e p50 ");
		add_ms(out, v->p50);
		buf_add_str(out, "  p99 ");
		add_ms(out, v->p99);
		buf_add_str(out, " ms");
	}
	buf_add_ch(out, '\n');
}

void
print_progress(struct buf *out, const struct bench_interval *v, uint64_t left_ns)
{
	double seconds = (double)v->length_ns / 1e9;

	buf_addf(out, "%.0fs  ", (double)v->at_ns / 1e9);
	print_rate(out, (double)(v->published ? v->published : v->received) / seconds);
	add_n(out, v->in_flight, "in flight");
	if (v->n) {
		buf_add_str(out, "  p99 ");
		add_ms(out, v->p99);
		buf_add_str(out, " ms");
	}
	if (left_ns)
		buf_addf(out, "  %.0fs left", (double)left_ns / 1e9);
}

/* ---- the result ---- */

static void
add_rate_line(struct buf *out, const char *what, uint64_t n, uint64_t ns, uint64_t bytes)
{
	double seconds = (double)ns / 1e9;

	buf_addf(out, "%-10s ", what);
	units_add_count(out, n);
	buf_addf(out, " in %.3f s   ", seconds);
	print_rate(out, ns ? (double)n / seconds : 0);
	buf_add_str(out, "   ");
	units_add_size(out, ns ? whole((double)bytes / seconds) : 0);
	buf_add_str(out, "/s ");
}

static void
add_published(struct buf *out, const struct bench_result *r)
{
	add_rate_line(out, "published", r->pub_n, r->pub_ns, r->pub_bytes);
	add_n(out, r->refused, "refused");
	add_n(out, r->unknown, "unknown");
	if (r->rate > 0) {
		buf_add_str(out, "   (asked ");
		print_rate(out, r->rate);
		buf_addf(out, ", kept %.1f %%)", result_kept(r));
	}
	buf_add_ch(out, '\n');
}

static void
add_received(struct buf *out, const struct bench_result *r)
{
	if (r->role == BENCH_RTT) {
		buf_addf(out, "%-10s ", "answers");
		units_add_count(out, r->distinct);
		buf_add_str(out, "  ");
	} else {
		add_rate_line(out, "received", r->sub_n, r->sub_ns, r->sub_bytes);
	}
	add_n(out, r->lost, "lost");
	add_n(out, r->duplicated, "duplicated");
	add_n(out, r->disordered, "out of order");
	if (r->corrupted)
		add_n(out, r->corrupted, "corrupted");
	if (r->foreign)
		add_n(out, r->foreign, "of others");
	buf_add_ch(out, '\n');
	if (r->unknown_came)
		buf_addf(out, "%-10s of %llu unknown events %llu came\n", "", (unsigned long long)
			r->unknown * (r->nlisteners ? r->nlisteners : 1),
			(unsigned long long)r->unknown_came);
	if (r->refused_came)
		buf_addf(out, "%-10s %llu events came that were refused\n", "",
			(unsigned long long)r->refused_came);
	for (size_t i = 0; i < r->nlisteners && r->nlisteners > 1; i++) {
		const struct bench_listener *l = &r->listeners[i];

		if (r->nlisteners > 8 && !l->lost && !l->duplicated)
			continue;
		buf_addf(out, "%-10s %s %zu: ", "", r->role == BENCH_RTT ? "publisher" :
			r->queues ? "queue" : "subscriber", i + 1);
		units_add_count(out, l->distinct);
		buf_add_str(out, " of ");
		units_add_count(out, l->expected);
		add_n(out, l->lost, "lost");
		add_n(out, l->duplicated, "duplicated");
		buf_add_ch(out, '\n');
	}
}

static void
add_latency(struct buf *out, const char *what, const struct bench_figures *f, double unit)
{
	const uint64_t v[] = { f->min, f->p50, f->p90, f->p99, f->p999, f->max };
	int digits = unit > 1e5 ? 3 : 2;

	if (!f->n)
		return;
	buf_addf(out, "%-10s", what);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		buf_addf(out, " %9.*f", digits, (double)v[i] / unit);
	buf_addf(out, " %9.*f %9.*f", digits, f->mean / unit, digits, f->stddev / unit);
}

static void
add_latencies(struct buf *out, const struct bench_result *r)
{
	bool us = r->ack_time.p99 < 10000000 && r->e2e.p99 < 10000000;
	double unit = us ? 1e3 : 1e6;

	if (!r->call.n && !r->e2e.n)
		return;
	buf_addf(out, "%-10s %9s %9s %9s %9s %9s %9s %9s %9s\n", us ? "us" : "ms", "min", "p50",
		"p90", "p99", "p99.9", "max", "mean", "stddev");
	add_latency(out, "call", &r->call, unit);
	if (r->call.n)
		buf_add_ch(out, '\n');
	add_latency(out, "ack", &r->ack_time, unit);
	if (r->ack_time.n)
		buf_addf(out, "%s\n", r->rate > 0 ? "   from intended send time" : "");
	add_latency(out, r->role == BENCH_RTT ? "round trip" : "end-to-end", &r->e2e, unit);
	if (r->e2e.n)
		buf_addf(out, "%s\n", r->rate > 0 ? "   from intended send time" : "");
	if (r->early)
		buf_addf(out, "%-10s %llu events came before they were sent: the clocks of the two "
			"machines differ\n", "", (unsigned long long)r->early);
	else if (r->role == BENCH_SUB && r->e2e.n)
		buf_addf(out, "%-10s by two clocks, if the publisher ran elsewhere\n", "");
}

static void
add_client(struct buf *out, const struct bench_result *r)
{
	uint64_t span = r->pub_ns > r->sub_ns ? r->pub_ns : r->sub_ns;

	buf_addf(out, "%-10s ", "cpu");
	if (r->pub_n)
		buf_addf(out, "%.3f us an event published (%.3f user, %.3f system)",
			result_pub_cpu(r) / 1e3, (double)r->pub_user_ns / (double)r->pub_n / 1e3,
			(double)r->pub_sys_ns / (double)r->pub_n / 1e3);
	if (r->sub_n)
		buf_addf(out, "%s%.3f us received (%.3f, %.3f)", r->pub_n ? ", " : "",
			result_sub_cpu(r) / 1e3, (double)r->sub_user_ns / (double)r->sub_n / 1e3,
			(double)r->sub_sys_ns / (double)r->sub_n / 1e3);
	buf_addf(out, "\n%-10s ", "client");
	if (span)
		buf_addf(out, "%.2f CPUs   ", (double)(r->pub_user_ns + r->pub_sys_ns +
			r->sub_user_ns + r->sub_sys_ns) / (double)span);
	if (r->machine_busy <= 100)
		buf_addf(out, "machine %u %% of %u busy   ", r->machine_busy, r->cpus);
	buf_addf(out, "rss %.1f MiB", (double)r->rss_kib / 1024);
	if (r->warm_msgs) {
		buf_add_str(out, "   warm-up ");
		units_add_count(out, r->warm_msgs);
		buf_add_str(out, " events excluded");
	} else if (r->warm_ns) {
		buf_addf(out, "   warm-up %.1f s excluded", (double)r->warm_ns / 1e9);
	}
	buf_add_ch(out, '\n');
}

static void
add_warning(struct buf *out, const struct bench_result *r)
{
	static const char *const what[] = {
		[LIMIT_PACING] = "events were sent late though there was room: this machine could not "
			"keep the rate, so the latencies are its own, too",
		[LIMIT_PUBLISHER] = "a publisher used all of its CPU: it was the limit, and not the "
			"broker (-x adds publishers)",
		[LIMIT_SUBSCRIBER] = "a subscriber used all of its CPU: it was the limit, and not "
			"the broker",
		[LIMIT_MACHINE] = "all CPUs were busy: this machine was the limit, whoever used them",
	};

	if (r->limit)
		buf_addf(out, "warning    %s\n", what[r->limit]);
}

void
print_result(struct buf *out, const struct bench_result *r)
{
	if (!r->ran)
		return;
	buf_add_ch(out, '\n');
	if (r->pubs)
		add_published(out, r);
	if (r->subs)
		add_received(out, r);
	add_latencies(out, r);
	add_client(out, r);
	add_warning(out, r);
}

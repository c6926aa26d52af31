/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_result.h. */
#include "cli/bench_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

double
result_pub_rate(const struct bench_result *r)
{
	return r->pub_ns ? (double)r->pub_n * 1e9 / (double)r->pub_ns : 0;
}

double
result_sub_rate(const struct bench_result *r)
{
	return r->sub_ns ? (double)r->sub_n * 1e9 / (double)r->sub_ns : 0;
}

double
result_pub_cpu(const struct bench_result *r)
{
	return r->pub_n ? (double)(r->pub_user_ns + r->pub_sys_ns) / (double)r->pub_n : 0;
}

double
result_sub_cpu(const struct bench_result *r)
{
	return r->sub_n ? (double)(r->sub_user_ns + r->sub_sys_ns) / (double)r->sub_n : 0;
}

double
result_kept(const struct bench_result *r)
{
	double kept = r->rate > 0 ? 100 * result_pub_rate(r) / r->rate : 100;

	return kept < 100 ? kept : 100;
}

const struct bench_figures *
result_latency(const struct bench_result *r)
{
	return r->e2e.n ? &r->e2e : &r->ack_time;
}

const char *
result_role(int role)
{
	static const char *const names[] = { "both", "pub", "sub", "rtt" };

	return names[role];
}

void
result_figures(struct bench_figures *f, const struct hist *h)
{
	*f = (struct bench_figures){
		.n = h->n,
		.min = hist_min(h),
		.p50 = hist_at(h, 500000),
		.p90 = hist_at(h, 900000),
		.p99 = hist_at(h, 990000),
		.p999 = hist_at(h, 999000),
		.max = hist_max(h),
		.mean = hist_mean(h),
		.stddev = hist_stddev(h),
	};
}

enum { CURVE_STEPS = 5 };		/* for each halving, as HdrHistogram's tools have it */

static void
curve_add(struct bench_result *r, double part, uint64_t ns, uint64_t n)
{
	if (r->ncurve % 64 == 0)
		r->curve = xrealloc(r->curve, (r->ncurve + 64) * sizeof *r->curve);
	r->curve[r->ncurve++] = (struct bench_curve_point){ part, ns, n };
}

void
result_curve(struct bench_result *r, const struct hist *h)
{
	double part = 0;
	uint64_t seen = 0;
	unsigned place = 0;

	if (!h->n)
		return;
	for (;;) {
		double want = part * (double)h->n, left = 1 - part;
		uint64_t value, halves = 2;

		while (place < HIST_PLACES && (!seen || (double)seen < want))
			seen += h->counts[place++];
		value = hist_high(place - 1);
		curve_add(r, part, value < h->most ? value : h->most, seen);
		if (seen >= h->n)
			break;
		for (; left <= 0.5; left *= 2)
			halves *= 2;
		part += 1 / (double)(CURVE_STEPS * halves);
	}
	if (r->curve[r->ncurve - 1].part < 1)
		curve_add(r, 1, h->most, h->n);
}

void
result_release(struct bench_result *r)
{
	free(r->curve);
	free(r->intervals);
	free(r->publishers);
	free(r->subscribers);
	free(r->listeners);
	*r = (struct bench_result){ 0 };
}

static void
find_cpu(char *out, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[300], *value;

	snprintf(out, size, "unknown");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, "model name", 10) != 0 || !(value = strchr(line, ':')))
			continue;
		value += strspn(value, ": \t");
		value[strcspn(value, "\n")] = '\0';
		snprintf(out, size, "%s", value);
		break;
	}
	fclose(f);
}

void
result_machine(struct bench_result *r)
{
	struct utsname u;
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (uname(&u) == 0) {
		snprintf(r->host, sizeof r->host, "%.64s", u.nodename);
		snprintf(r->kernel, sizeof r->kernel, "%.64s", u.release);
	}
	find_cpu(r->cpu, sizeof r->cpu);
	r->cpus = n > 0 ? (unsigned)n : 1;
	snprintf(r->version, sizeof r->version, "%s", MBUS_VERSION);
}

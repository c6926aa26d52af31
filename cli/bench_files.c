/* SPDX-License-Identifier: Apache-2.0 */
/* --csv and --hdr, and how files are written. */
#include "cli/bench_out.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int
file_write(const char *path, const struct buf *b, struct error *err)
{
	struct bytes left = buf_bytes(b);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), r = 0;

	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s", path);
	while (left.n && r == 0) {
		ssize_t n = write(fd, left.p, left.n);

		if (n < 0 && errno != EINTR)
			r = error_sys(err, ERR_LOCAL_IO, "%s", path);
		else if (n > 0)
			left = bytes_of(left.p + n, left.n - (size_t)n);
	}
	if (close(fd) < 0 && r == 0)
		r = error_sys(err, ERR_LOCAL_IO, "%s", path);
	return r;
}

/* Quoted where it must be (RFC 4180). */
static void
add_text(struct buf *out, const char *text)
{
	if (!text[strcspn(text, ",\"\r\n")]) {
		buf_add_str(out, text);
		return;
	}
	buf_add_ch(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			buf_add_ch(out, '"');
		buf_add_ch(out, *text);
	}
	buf_add_ch(out, '"');
}

static void
add_figures(struct buf *out, const struct bench_figures *f)
{
	buf_addf(out, ",%llu,%llu,%llu,%llu,%llu", (unsigned long long)f->p50,
		(unsigned long long)f->p90, (unsigned long long)f->p99,
		(unsigned long long)f->p999, (unsigned long long)f->max);
}

void
csv_results(struct buf *out, const struct bench_result *r, size_t n)
{
	buf_add_str(out, "broker,address,role,size,publishers,subscribers,groups,rate_asked,"
		"published,refused,unknown,publish_rate,received,lost,duplicated,out_of_order,"
		"corrupted,receive_rate");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "call", "ack", "end_to_end" };

		buf_addf(out, ",%s_p50_ns,%s_p90_ns,%s_p99_ns,%s_p99_9_ns,%s_max_ns", names[i],
			names[i], names[i], names[i], names[i]);
	}
	buf_add_str(out, ",publish_cpu_ns,receive_cpu_ns,rss_kib,status,error\n");
	for (; n--; r++) {
		add_text(out, r->broker);
		buf_add_ch(out, ',');
		add_text(out, r->address);
		buf_addf(out, ",%s,%llu,%u,%u,%u,%g,%llu,%llu,%llu,%.1f,%llu,%llu,%llu,%llu,%llu,%.1f",
			result_role(r->role), (unsigned long long)r->size, r->pubs, r->subs, r->queues,
			r->rate, (unsigned long long)r->confirmed, (unsigned long long)r->refused,
			(unsigned long long)r->unknown, result_pub_rate(r),
			(unsigned long long)r->distinct, (unsigned long long)r->lost,
			(unsigned long long)r->duplicated, (unsigned long long)r->disordered,
			(unsigned long long)r->corrupted, result_sub_rate(r));
		add_figures(out, &r->call);
		add_figures(out, &r->ack_time);
		add_figures(out, &r->e2e);
		buf_addf(out, ",%.1f,%.1f,%llu,%d,", result_pub_cpu(r), result_sub_cpu(r),
			(unsigned long long)r->rss_kib, error_exit_status(r->kind));
		add_text(out, r->text);
		buf_add_ch(out, '\n');
	}
}

void
hdr_result(struct buf *out, const struct bench_result *r)
{
	const struct bench_figures *f = result_latency(r);

	buf_addf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	for (size_t i = 0; i < r->ncurve; i++) {
		const struct bench_curve_point *p = &r->curve[i];

		buf_addf(out, "%12.6f %2.12f %10llu", (double)p->ns / 1e6, p->part,
			(unsigned long long)p->n);
		if (p->part < 1)
			buf_addf(out, " %14.2f", 1 / (1 - p->part));
		buf_add_ch(out, '\n');
	}
	buf_addf(out, "#[Mean    = %12.6f, StdDeviation   = %12.6f]\n", f->mean / 1e6,
		f->stddev / 1e6);
	buf_addf(out, "#[Max     = %12.6f, Total count    = %12llu]\n", (double)f->max / 1e6,
		(unsigned long long)f->n);
	buf_addf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HIST_MAX_BITS - HIST_HALF_BITS,
		2 << HIST_HALF_BITS);
}

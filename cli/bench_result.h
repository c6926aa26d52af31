/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of one run of mbus bench when it is over; see bench.h. */
#ifndef MBUS_CLI_BENCH_RESULT_H
#define MBUS_CLI_BENCH_RESULT_H

#include "cli/bench.h"

/* One turn of --interval. */
struct bench_interval {
	uint64_t at_ns;			/* its end, since the beginning */
	uint64_t length_ns;
	uint64_t published, received, in_flight;	/* confirmed and arrived in it */
	uint64_t n, p50, p99, p999, max;	/* end-to-end, ns, of those that came in it */
};

/* What one publisher did, or one subscriber got. */
struct bench_part {
	uint64_t taken, confirmed, refused, unknown;
	uint64_t arrived, distinct, lost, duplicated, disordered, corrupted, foreign;
	uint64_t rss_kib;
};

/* One subscriber, or all members of one queue. */
struct bench_listener {
	uint64_t expected, distinct, lost;
	uint64_t duplicated;		/* to one member, or to two of them */
	uint64_t refused_came, unknown_came;	/* refused and yet there; unknown and there */
};

enum bench_limit { LIMIT_NONE, LIMIT_PACING, LIMIT_PUBLISHER, LIMIT_SUBSCRIBER, LIMIT_MACHINE };

struct bench_figures {			/* ns of one kind of latency */
	uint64_t n, min, p50, p90, p99, p999, max;
	double mean, stddev;
};

struct bench_curve_point {
	double part;			/* 0 ... 1 */
	uint64_t ns, n;			/* n: how many are at or below */
};

struct bench_result {
	/* What was run. */
	char broker[32], address[BENCH_ADDRESS_MAX], id[BENCH_ID_MAX + 1], topic[300];
	char host[65], kernel[65], cpu[100], version[20];
	unsigned cpus, target;		/* target: the number of --on or --brokers */
	int role;			/* enum bench_role */
	unsigned pubs, subs, queues, topics;
	uint64_t size, inflight, warm_msgs, warm_ns, headers;
	int64_t qos;
	char ack[8], wire[8];
	bool tls;
	double rate;			/* asked for; 0: none */
	int64_t began_us;		/* since 1970 */
	/* What came of it. */
	enum error_kind kind;		/* not ERR_NONE: it did not go its way ... */
	char text[500];			/* ... and why */
	bool ran;			/* something was published or received */
	uint64_t published, confirmed, refused, unknown;	/* with the warm-up */
	uint64_t arrived, distinct, lost, duplicated, disordered, corrupted, foreign;
	uint64_t expected, refused_came, unknown_came, early;
	uint64_t pub_n, pub_bytes, pub_ns, sub_n, sub_bytes, sub_ns;	/* measured */
	uint64_t due, late, full_ns;
	uint64_t pub_user_ns, pub_sys_ns, sub_user_ns, sub_sys_ns;
	uint64_t pub_busiest, sub_busiest;	/* CPU of one worker, in a thousandth of one */
	uint64_t rss_kib;		/* peak, of all workers */
	unsigned machine_busy;		/* percent of all CPUs; 101: not known */
	enum bench_limit limit;
	struct bench_figures call, ack_time, e2e;
	struct bench_curve_point *curve;	/* of e2e, else of ack */
	size_t ncurve;
	struct bench_interval *intervals;
	size_t nintervals;
	struct bench_part *publishers, *subscribers;
	size_t npublishers, nsubscribers;
	struct bench_listener *listeners;
	size_t nlisteners;
};

/* Rates a second, and CPU time an event in ns; 0 where there is nothing. */
double result_pub_rate(const struct bench_result *);
double result_sub_rate(const struct bench_result *);
double result_pub_cpu(const struct bench_result *);
double result_sub_cpu(const struct bench_result *);
/* Of what should have been published by now, in percent: the open loop's. */
double result_kept(const struct bench_result *);
/* The latency that says most: end-to-end, else the acknowledgement's. */
const struct bench_figures *result_latency(const struct bench_result *);
const char *result_role(int role);

void result_figures(struct bench_figures *, const struct hist *);
/* As HdrHistogram's percentile iterator: so many steps for each halving of what is left
 * to the whole. */
void result_curve(struct bench_result *, const struct hist *);
void result_release(struct bench_result *);
/* host, kernel, cpu, cpus, version. */
void result_machine(struct bench_result *);

#endif

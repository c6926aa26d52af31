/* SPDX-License-Identifier: Apache-2.0 */
/* Which runs mbus bench makes, in which order, and their results; see bench.h. */
#ifndef MBUS_CLI_BENCH_PLAN_H
#define MBUS_CLI_BENCH_PLAN_H

#include "cli/bench_result.h"

/* A broker that is measured. */
struct bench_target {
	const char *broker, *url;	/* one of them; both NULL: what the common options say */
	struct bench_args *own;		/* with the URL's parameters; NULL: the plan's */
	struct header *headers;
	size_t nheaders;
};

struct bench_plan {
	struct bench_args *args;
	enum bench_role role;
	struct bench_target *targets;
	size_t ntargets;
	uint64_t *sizes;
	size_t nsizes;
	char *file;			/* of --payload */
	size_t nfile;
	/* What was read of words. */
	double rate;
	bool rate_auto;
	uint64_t warm_msgs, warm_ns, duration_ns;
	double warm_part;		/* of the whole; 0: the others say */
	uint64_t max_p99_ns;		/* 0: none */
	double max_loss;		/* events, or ... */
	bool max_loss_part;		/* ... percent of them */
	double min_rate, fail_slower;	/* below 0: not given */
	/* What came of it: by size, then target, then round. */
	struct bench_result *results;
	size_t nresults;
};

/* Checks and reads the options; what is left of operands is one role at most. The plan
 * needs no preparation, and is released even after -1. */
int plan_init(struct bench_plan *, struct bench_args *, int noperands, char **operands,
	struct error *);
/* The first option given that only a run has a use for, which merge and compare are
 * not; NULL: none. */
const char *plan_run_option(const struct bench_args *);
/* What the result counts against max_loss: events, or percent of them. */
double plan_loss(const struct bench_plan *, const struct bench_result *);
/* Only reads what options say in words: --fail-slower, --max-loss and such. */
int plan_words(struct bench_plan *, struct error *);
void plan_release(struct bench_plan *);
/* Room for one more result, the last. */
struct bench_result *plan_result(struct bench_plan *);
/* The job of a target with a size; job_release() ends it. n: number of the run. -1: this
 * target cannot be measured, err says why. */
int plan_job(struct bench_plan *, size_t target, size_t size, unsigned n, struct bench_job *,
	struct error *);
void job_release(struct bench_job *);
/* What the result says of the job, before it runs. */
void job_describe(const struct bench_job *, struct bench_result *);

/* bench_target.c, for bench_plan.c: reads --brokers and --on. */
int plan_targets(struct bench_plan *, struct error *);
void plan_targets_release(struct bench_plan *);
/* What was said of this one. */
struct bench_args *plan_args(const struct bench_plan *, size_t target);
/* Of the -X options, and of the options given, the job gets those that are for its broker,
 * in lists of its own. */
int plan_xopts(struct bench_plan *, struct bench_job *, struct error *);
void plan_given(struct bench_plan *, struct bench_job *);

/* "500us", "5ms", "2" (seconds). */
bool plan_duration_ns(const char *text, uint64_t *ns);
/* "20000", "20k", "1.5M", with "/s" or "/m" behind it. */
bool plan_rate(const char *text, double *rate);

#endif

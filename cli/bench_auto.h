/* SPDX-License-Identifier: Apache-2.0 */
/* --rate auto: the highest rate that holds; see bench_auto.c. */
#ifndef MBUS_CLI_BENCH_AUTO_H
#define MBUS_CLI_BENCH_AUTO_H

#include "cli/bench_out.h"

struct bench_auto {
	double highest;			/* that held; 0: none yet */
	double lowest;			/* that did not; 0: none yet */
	double top;			/* as fast as confirmed */
	unsigned step;
	/* Of those that did not hold, by number of the step. */
	char why[40][60];
	double rates[40];
};

/* The rate of the next step; 0 for the first, which is a closed loop; below 0: it is
 * over. */
double auto_next(const struct bench_auto *);
/* What came of that step. */
void auto_told(struct bench_auto *, const struct bench_plan *, const struct bench_result *);
/* r: the results of the steps. */
void print_auto(struct buf *, const struct bench_auto *, const struct bench_result *r, size_t n);
void json_auto(struct buf *, const struct bench_auto *, const struct bench_result *);

#endif

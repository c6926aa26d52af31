/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of a few measurements: median, spread, and whether two sets of them
 * differ. Pure, and without libm, which would cost every start of the program.
 */
#ifndef MBUS_CORE_STATS_H
#define MBUS_CORE_STATS_H

#include <stddef.h>

double stats_sqrt(double);
/* Of a positive number, to nine digits or better. */
double stats_log10(double);

/* n values, which it sorts. 0 for n 0. */
double stats_median(double *v, size_t n);

/* Mann and Whitney's rank sum test: how probable it is that two sets of one kind fall
 * apart as much as these do (two-sided). Exact for up to STATS_EXACT in each where no
 * two values are equal, else by the normal approximation with its corrections for ties
 * and continuity. 1 where either is empty. */
enum { STATS_EXACT = 30 };
double stats_rank_test(const double *a, size_t na, const double *b, size_t nb);

#endif

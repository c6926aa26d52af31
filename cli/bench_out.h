/* SPDX-License-Identifier: Apache-2.0 */
/* What mbus bench makes of its results: text, JSON, tables, files; see bench.h. */
#ifndef MBUS_CLI_BENCH_OUT_H
#define MBUS_CLI_BENCH_OUT_H

#include "cli/bench_plan.h"

/* ---- text for people: bench_print.c ---- */

/* The line before a run, one of an interval, and the block behind it. */
void print_head(struct buf *, const struct bench_result *);
void print_interval(struct buf *, const struct bench_result *, const struct bench_interval *);
/* The one line of a terminal, without an end. */
void print_progress(struct buf *, const struct bench_interval *, uint64_t left_ns);
void print_result(struct buf *, const struct bench_result *);
/* "20,000/s", "1.25 M/s" */
void print_rate(struct buf *, double);
/* Right-aligned in so many columns. */
void print_right(struct buf *, const struct buf *text, size_t width);

/* ---- JSON: bench_json.c writes, bench_read.c reads ---- */

void json_interval(struct buf *, const struct bench_result *, const struct bench_interval *);
void json_result(struct buf *, const struct bench_result *);

/* The results in a file that -J or --out wrote, other lines aside. */
struct bench_results {
	struct bench_result *v;
	size_t n;
};
int results_read(const char *path, struct bench_results *, struct error *);
void results_release(struct bench_results *);

/* ---- several runs: bench_table.c ---- */

/* Runs of the same thing: the rounds of --repeat. */
struct bench_cell {
	const struct bench_result **v;
	size_t n;
	char label[120];		/* "redis 128 B", with what tells it from the others */
};
struct bench_cells {
	struct bench_cell *v;
	size_t n;
};
void cells_make(struct bench_cells *, const struct bench_result *, size_t n);
void cells_release(struct bench_cells *);
/* Same broker, role, numbers, size, rate and so on; the address may differ. */
bool result_same_kind(const struct bench_result *, const struct bench_result *);
void print_table(struct buf *, const struct bench_result *, size_t n);

/* What is compared, and drawn in a table. */
enum figure {
	FIGURE_PUB_RATE, FIGURE_SUB_RATE, FIGURE_P50, FIGURE_P99, FIGURE_P999, FIGURE_PUB_CPU,
	FIGURE_SUB_CPU, FIGURES
};
double result_figure(const struct bench_result *, enum figure);
/* Of the rounds that ran; n: how many these are. */
double cell_median(const struct bench_cell *, enum figure, double *least, double *most, size_t *n);

/* ---- beside an older one: bench_compare.c ---- */

/* fail_slower: percent; below 0: none. *slower: something is slower by more. false:
 * there are too few runs for that to be seen. */
bool print_compare(struct buf *, const struct bench_results *old, const char *name,
	const struct bench_result *, size_t n, double fail_slower, bool *slower);
/* Fewer runs than this of each say nothing, resp. can never fail. */
enum { COMPARE_RUNS = 4, COMPARE_FAIL_RUNS = 5 };

/* ---- two halves: bench_merge.c ---- */

/* mbus bench merge A B. out: the whole, which borrows nothing. */
int results_merge(const struct bench_results *a, const struct bench_results *b,
	struct bench_result *out, struct error *);
/* What can be said of its latency. */
void print_clocks(struct buf *, const struct bench_result *);

/* ---- files ---- */

void csv_results(struct buf *, const struct bench_result *, size_t n);
/* HdrHistogram's percentile distribution, in milliseconds. */
void hdr_result(struct buf *, const struct bench_result *);
/* bench_plot.c */
void svg_results(struct buf *, const struct bench_result *, size_t n);
int file_write(const char *path, const struct buf *, struct error *);

#endif

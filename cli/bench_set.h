/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of sequence numbers: which events of a publisher have come, or were refused.
 * Made for numbers that come nearly in order and nearly all: what is complete costs
 * nothing but its share of a table, 16 bytes for 32768 numbers.
 */
#ifndef MBUS_CLI_BENCH_SET_H
#define MBUS_CLI_BENCH_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SET_CHUNK_BITS = 15,
	SET_MAX_CHUNKS = 1 << 25	/* a million millions of events */
};

struct set_chunk {
	uint64_t *bits;			/* NULL: none are in, or all */
	uint32_t n;
};

struct bench_set {
	struct set_chunk *chunks;
	size_t nchunks;
	uint64_t n;			/* numbers in the set */
};

/* A run of numbers, [first, first + n). */
struct bench_run {
	uint64_t first, n;
};

/* Sorted runs that neither touch nor overlap. */
struct bench_runs {
	struct bench_run *v;
	size_t n, cap;
};

/* false: it was in already, or is no number that an event can have. */
bool set_add(struct bench_set *, uint64_t number);
void set_release(struct bench_set *);

/* fn for each run, in order. */
void set_each(const struct bench_set *, void (*fn)(const struct bench_run *, void *arg), void *arg);

/* Behind all that are there. */
void runs_add(struct bench_runs *, uint64_t first, uint64_t n);
void runs_release(struct bench_runs *);
uint64_t runs_count(const struct bench_runs *);
/* a and b in one; how many numbers both had is returned. Either may be `out`. */
uint64_t runs_unite(struct bench_runs *out, const struct bench_runs *a, const struct bench_runs *b);
/* How many numbers both have. */
uint64_t runs_common(const struct bench_runs *, const struct bench_runs *);
/* What of 0 ... end - 1 is not in it. */
void runs_missing(struct bench_runs *out, const struct bench_runs *, uint64_t end);

#endif

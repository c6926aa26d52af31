/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a run is, in one line at the bottom of a terminal that is written anew in
 * place, a few times a second:
 *
 *	pub: 12,400 events  41 %  5,213/s  1,024 in flight  0:03 left
 *
 * It goes away before any other line of stderr is written, and at the end. Nothing of it
 * is ever in a pipe or a file.
 */
#ifndef MBUS_CLI_PROGRESS_H
#define MBUS_CLI_PROGRESS_H

#include "core/buf.h"
#include "core/loop.h"

struct progress_now {
	uint64_t events, flying;
	uint64_t part, whole;		/* of what the run is to do; whole 0: not known */
};

struct progress {
	/* The user's: called from the timer. */
	void (*now)(struct progress *, struct progress_now *);
	void *arg;
	/* Private. */
	struct loop *loop;
	struct loop_timer timer;
	uint64_t begin_ns, last_ns, last_events;
	double rate;
	bool shown;
	struct buf out;
};

/* One at a time in a process. now and arg are set before. */
void progress_start(struct progress *, struct loop *);
/* Without effect where it was not started. */
void progress_end(struct progress *);

/* The line, without anything for the terminal, in at most width columns. For tests. */
void progress_line(struct buf *, const struct progress_now *, double rate, uint64_t ran_ns,
	size_t width);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each event ends in an output that is written in pieces: which events the
 * kernel has taken whole, and how much of the next one it has taken a part of. Kept
 * for what is not written yet only.
 */
#ifndef MBUS_CLI_ENDS_H
#define MBUS_CLI_ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ends {
	/* Once so much of the output is written, the events up to this number are. */
	struct end {
		uint64_t position, event;
	} *v;
	size_t first, n, cap;
	uint64_t whole, at;		/* the last event that is written, and where it ends */
};

void ends_grow(struct ends *);
/* The event ends there; positions and numbers only rise. */
static inline void
ends_add(struct ends *e, uint64_t position, uint64_t event)
{
	if (e->n == e->cap)
		ends_grow(e);
	e->v[e->n++] = (struct end){ position, event };
}

/* All that was added is written. */
void ends_all(struct ends *);
/* So much is written: sets whole. */
void ends_written(struct ends *, uint64_t written);
/* Forgets what is behind the event that is written in part: of so many events the
 * number is returned, and *position is where that event ends (written, if there is
 * none). */
size_t ends_cut(struct ends *, uint64_t written, uint64_t *position);
void ends_release(struct ends *);

#endif

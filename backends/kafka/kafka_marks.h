/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which offset of which partition each delivered event was, and how far that makes
 * each partition done. Events are acknowledged by ranges of numbers; a partition may
 * be committed up to the first event of any that is not done, so that what is stored
 * never passes over what was not printed. Pure: no I/O, no library.
 */
#ifndef MBUS_KAFKA_MARKS_H
#define MBUS_KAFKA_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A partition's. */
struct kafka_mark {
	int64_t done;			/* the next offset to be read by who comes after us;
					 * -1: nothing is done yet */
	int64_t stored;			/* what was committed of that */
	size_t out;			/* events that are neither done nor failed */
	bool stuck;			/* one failed: nothing behind it is ever done */
	bool gone;			/* it is not ours any more */
};

enum { MARK_OUT, MARK_DONE, MARK_FAILED };

struct kafka_marks_entry {
	struct kafka_mark *mark;	/* NULL: there is no such event */
	int64_t offset;
	unsigned state;
};

struct kafka_marks {
	struct kafka_marks_entry *ring;
	size_t cap;			/* a power of two, or 0 */
	uint64_t first, next;		/* numbers [first ... next) are in the ring */
};

#define KAFKA_MARK_INIT { -1, -1, 0, false, false }

void kafka_marks_release(struct kafka_marks *);
/* An event was delivered. Numbers rise, perhaps with gaps. */
void kafka_marks_add(struct kafka_marks *, uint64_t number, struct kafka_mark *, int64_t offset);
/* These are done, or failed. Unknown numbers are passed over. */
void kafka_marks_settle(struct kafka_marks *, uint64_t first, uint64_t last, bool ok);
/* The mark goes: its events lead nowhere from now on. */
void kafka_marks_forget(struct kafka_marks *, const struct kafka_mark *);

#endif

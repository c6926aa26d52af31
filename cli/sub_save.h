/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of what sub receives: --save DIR, two files an event, NNNNNN.body (its bytes)
 * and NNNNNN.json (the whole event, as pub -J reads it), numbered on from what is there;
 * and --tee FILE, what is printed once more.
 *
 * They are written where the event is taken, so that what is acknowledged is in them.
 * A file that cannot be written ends the run (status 6).
 */
#ifndef MBUS_CLI_SUB_SAVE_H
#define MBUS_CLI_SUB_SAVE_H

#include "cli/format.h"
#include "core/error.h"

struct sub_save {
	int dir, tee;			/* -1: not asked for */
	const char *dir_name, *tee_name;
	uint64_t next;			/* number of the next event's files */
	struct buf line, printed;	/* printed: for FILE, in batches */
	struct formatter json;
};

/* NULL: not wanted. Makes DIR if it is not there, and FILE anew. */
int sub_save_open(struct sub_save *, const char *dir, const char *tee, const char *broker,
	struct error *);
/* Closes; -1: what was written before could not be kept. */
int sub_save_close(struct sub_save *, struct error *);
int sub_save_event(struct sub_save *, const struct event *, uint64_t n, struct error *);
/* What was printed; sub_save_flush() comes before anything of it is acknowledged. */
int sub_save_printed(struct sub_save *, struct bytes, struct error *);
int sub_save_flush(struct sub_save *, struct error *);

#endif

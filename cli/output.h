/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to stdout without ever stopping the loop: while a slow reader lets the
 * pipe fill up, sockets, timers and signals go on being served, and the user
 * sees from output_pending() that it should take less.
 *
 * The user appends to out->buf and calls output_flush() when OUTPUT_BATCH bytes
 * are there and when nothing more is coming (the loop's idle hook).
 */
#ifndef MBUS_CLI_OUTPUT_H
#define MBUS_CLI_OUTPUT_H

#include "core/buf.h"
#include "core/error.h"
#include "core/loop.h"

enum { OUTPUT_BATCH = 64 * 1024 };

enum output_kind {
	OUTPUT_PLAIN,		/* a regular file, /dev/null: write(2) does not wait */
	OUTPUT_NONBLOCK,	/* a pipe or terminal, opened anew without blocking */
	OUTPUT_SOCKET,		/* send(2) can be told not to wait */
	OUTPUT_POLL		/* else: poll, then no more than what then fits */
};

struct output {
	struct buf buf;
	uint64_t written;	/* bytes the kernel has taken since output_open() */
	bool over;		/* nothing can be written any more */
	struct error error;	/* why it is over; ERR_NONE: the reader has gone */
	void (*progress)(struct output *);	/* bytes were written, or it is over;
						 * also from within output_flush() */
	void *arg;
	/* Private. */
	struct loop *loop;
	struct loop_fd watch;
	enum output_kind kind;
	const char *name;
	bool full;		/* waiting until the kernel takes more */
	bool reopened;
};

/* progress and arg are the user's to set before. name: for messages. */
int output_open(struct output *, struct loop *, int fd, const char *name, struct error *);
/* What was not written is lost. */
void output_close(struct output *);
/* Writes what the kernel takes now; the rest follows when it takes more. */
void output_flush(struct output *);

static inline size_t output_pending(const struct output *o) { return buf_len(&o->buf); }
/* Where the last byte appended is in the whole output: once o->written is there,
 * it has been written. */
static inline uint64_t
output_position(const struct output *o)
{
	return o->written + buf_len(&o->buf);
}

#endif

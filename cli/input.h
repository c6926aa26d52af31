/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what is to be published from stdin or a file: all of it as one item, or
 * line by line. It is a watch of the loop, so that a line that comes late is
 * there when it comes, and it never reads ahead of its user by more than a
 * buffer: who does not call input_next() stops it, and the writer of the pipe
 * feels that.
 */
#ifndef MBUS_CLI_INPUT_H
#define MBUS_CLI_INPUT_H

#include "core/buf.h"
#include "core/error.h"
#include "core/loop.h"

enum input_mode {
	INPUT_WHOLE,		/* one item, up to the end */
	INPUT_LINES		/* what ends them is taken off (of a newline, a '\r' before
				 * it is not); the last one needs no end; an empty line is
				 * an item */
};

enum input_got {
	INPUT_ITEM,
	INPUT_LATER,		/* nothing yet: ready() will be called */
	INPUT_END,
	INPUT_FAILED		/* err says why (ERR_LOCAL_IO) */
};

struct input {
	const char *name;	/* for messages: "stdin", or the path */
	uint64_t line;		/* of the last item, from 1 */
	void (*ready)(struct input *);	/* there is more: call input_next() */
	void *arg;
	struct bytes delim;	/* what ends a line; p NULL: a newline */
	/* Private. */
	struct loop *loop;
	struct loop_fd watch;
	enum input_mode mode;
	bool regular, readable, eof, done;
	struct buf buf;
	size_t searched;	/* bytes of buf that are known to begin no end of a line */
};

/* path NULL or "-": stdin. ready, arg and delim are the user's to set before. Waits for
 * nothing, a FIFO without a writer included. */
int input_open(struct input *, struct loop *, const char *path, enum input_mode, struct error *);
/* *p is writable and good until the next call. */
enum input_got input_next(struct input *, char **p, size_t *n, struct error *);
/* Bytes of a file that were taken so far; 0: it is no file. */
uint64_t input_taken(const struct input *);
/* Of a file there is always more until its end: input_next() after INPUT_LATER is not in
 * vain then. false: it is no file. */
bool input_again(struct input *);
/* Also after a failed input_open(). The buffer is kept for the next input;
 * input_release() frees it. */
void input_close(struct input *);
void input_release(struct input *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2, the protocol of Redis: commands written, replies read. No I/O, no clock.
 *
 * A reply is read in place, out of the buffer it arrived in, and becomes a flat
 * list of values in the order they came: an array is followed by its elements.
 *
 *	*2 $3:foo *1 :7		v[0] array n 2, size 4	v[1] string "foo", size 1
 *				v[2] array n 1, size 2	v[3] integer 7, size 1
 *
 * so `v + v->size` is what follows a value, however much is in it. Nothing is
 * copied; nothing is allocated once the list has grown to the largest reply.
 */
#ifndef MBUS_PROTO_RESP_H
#define MBUS_PROTO_RESP_H

#include <stdint.h>
#include <sys/types.h>

#include "core/buf.h"

enum resp_type {
	RESP_STATUS,			/* +OK */
	RESP_ERROR,			/* -ERR what */
	RESP_INTEGER,			/* :7 */
	RESP_STRING,			/* $3 foo */
	RESP_ARRAY,			/* *2 ... */
	RESP_NULL			/* $-1 and *-1 */
};

struct resp_value {
	const char *p;			/* STATUS, ERROR, STRING: n bytes in the input */
	int64_t n;			/* INTEGER: it; ARRAY: how many elements */
	uint32_t size;			/* values in all, with what is inside */
	uint8_t type;			/* enum resp_type */
};

enum {
	RESP_DEPTH = 7,			/* arrays in arrays */
	RESP_LINE = 64 * 1024,		/* of a status or an error */
	RESP_VALUES = 4 * 1024 * 1024	/* in one reply */
};

/* What is kept of one reply while it is not complete, and reused for the next. */
struct resp_reader {
	struct resp_value *v;		/* the reply; good until the next call */
	size_t nv;
	const char *error;		/* after -1: what is wrong with it */
	/* The rest is the reader's own. */
	size_t cap;
	size_t at;			/* so much of the input is in v */
	size_t need;			/* less input than this is no news */
	unsigned depth;
	struct { size_t index; int64_t left; } open[RESP_DEPTH];
};

void resp_release(struct resp_reader *);
/* Forgets half a reply (the connection has gone). */
void resp_reset(struct resp_reader *);
/* The reply that begins at p. Returns how many bytes it has, and it is in r->v;
 * 0: not all of it is there yet, call again with the same bytes and more behind
 * them (they may have moved); -1: this is not RESP2, r->error says why. */
ssize_t resp_read(struct resp_reader *, const char *p, size_t n);

static inline struct bytes
resp_bytes(const struct resp_value *v)
{
	return v->p ? bytes_of(v->p, (size_t)v->n) : bytes_of(NULL, 0);
}

/* ---- commands ---- */

/* "*3\r\n": a command of so many words follows. */
void resp_command(struct buf *, size_t nwords);
void resp_word(struct buf *, struct bytes);
void resp_word_str(struct buf *, const char *);
void resp_word_u64(struct buf *, uint64_t);

/* A word whose length is known only when it has been written: begin with a guess,
 * append the word to the buffer, end. Right in its number of digits, the guess saves
 * moving the word. */
size_t resp_word_begin(struct buf *, size_t guess);
void resp_word_end(struct buf *, size_t begun);

/* How many bytes a word of n bytes takes at most. */
static inline size_t resp_word_room(size_t n) { return n + 24; }

/* Unchecked, for who has made room: returns behind what was written. */
char *resp_put_word(char *to, const char *p, size_t n);

#endif

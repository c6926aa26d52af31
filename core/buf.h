/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing bytes, used as output buffer, input buffer and string builder.
 *
 *	data [start ... end)	the content: buf_data(), buf_len()
 *	     [end ... cap)	room
 *
 * Invariants: start <= end <= cap; data is NULL only while cap is 0. Taking
 * from the front (buf_consume) moves start and copies nothing; the bytes move
 * to the front of the allocation only when room is needed.
 *
 * Out of memory ends the program (xrealloc), so no function here fails.
 * Pointers into a buf are good until the next call that adds or reserves.
 */
#ifndef MBUS_CORE_BUF_H
#define MBUS_CORE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "core/bytes.h"

struct buf {
	char *data;
	size_t start, end, cap;
};

#define BUF_INIT { NULL, 0, 0, 0 }

/* Frees the contents and leaves an empty, usable buf. */
void buf_release(struct buf *);

/* By way of an integer: NULL + 0 is not defined for pointers. */
static inline char *
buf_data(const struct buf *b)
{
	return (char *)((uintptr_t)b->data + b->start);
}
static inline size_t buf_len(const struct buf *b) { return b->end - b->start; }
static inline struct bytes
buf_bytes(const struct buf *b)
{
	return bytes_of(b->data ? b->data + b->start : "", b->end - b->start);
}
static inline void buf_clear(struct buf *b) { b->start = b->end = 0; }
/* Shortens the content to n bytes; n must not be over buf_len(). */
static inline void buf_truncate(struct buf *b, size_t n) { b->end = b->start + n; }

void buf_grow(struct buf *, size_t room);

/* Makes room for n more bytes and returns where they go; buf_added() says how
 * many of them were really written. */
static inline char *
buf_room(struct buf *b, size_t n)
{
	if (b->cap - b->end < n)
		buf_grow(b, n);
	return (char *)((uintptr_t)b->data + b->end);
}
static inline void buf_added(struct buf *b, size_t n) { b->end += n; }

static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n) {
		memcpy(buf_room(b, n), p, n);
		b->end += n;
	}
}
static inline void buf_add_bytes(struct buf *b, struct bytes s) { buf_add(b, s.p, s.n); }
static inline void buf_add_str(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }
static inline void buf_add_ch(struct buf *b, char c) { *buf_room(b, 1) = c; b->end++; }
/* Decimal digits. */
void buf_add_u64(struct buf *, uint64_t);
void buf_addf(struct buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *, const char *fmt, va_list) __attribute__((format(printf, 2, 0)));

/* Takes n bytes from the front; n must not be over buf_len(). */
static inline void
buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

/* The content as a C string: puts a NUL behind it, which does not count. */
const char *buf_cstr(struct buf *);

/* Memory that must be there: these end the program with one line when it is
 * not (exit 6). */
void *xmalloc(size_t);
void *xcalloc(size_t, size_t);
void *xrealloc(void *, size_t);
char *xstrdup(const char *);
char *xmemdup0(const void *, size_t);	/* copy with a NUL behind it */

#endif

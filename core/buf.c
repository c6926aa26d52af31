/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes, and memory that must be there: see buf.h. */
#include "core/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/error.h"

/* A server that is flooded must not keep a burst's memory for ever, but giving
 * back and taking again a few pages costs more than keeping them. */
enum { BUF_FIRST = 256 };

static void
out_of_memory(size_t n)
{
	char line[64];
	int len = snprintf(line, sizeof line, "mbus: out of memory (%zu bytes)\n", n);

	if (write(STDERR_FILENO, line, (size_t)len) < 0) {
		/* nothing left to tell it to */
	}
	_exit(error_exit_status(ERR_LOCAL_IO));
}

void *
xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);

	if (!p)
		out_of_memory(n);
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory(n * size);
	return p;
}

void *
xrealloc(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);

	if (!p)
		out_of_memory(n);
	return p;
}

char *
xmemdup0(const void *src, size_t n)
{
	char *p = xmalloc(n + 1);

	if (n)
		memcpy(p, src, n);
	p[n] = '\0';
	return p;
}

char *
xstrdup(const char *s)
{
	return xmemdup0(s, strlen(s));
}

void
buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void
buf_grow(struct buf *b, size_t room)
{
	size_t len = buf_len(b), cap = b->cap;

	/* Moving to the front is enough when at least half of the room is won by
	 * it; otherwise a nearly full buffer would be moved again and again. */
	if (b->start && cap - len >= room && b->start >= cap / 2) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		return;
	}
	if (room > SIZE_MAX / 4 || len > SIZE_MAX / 4)
		out_of_memory(room);
	if (cap < BUF_FIRST)
		cap = BUF_FIRST;
	while (cap - len < room)
		cap *= 2;
	/* Copied anyway, but so that the next time moving will be enough. */
	if (b->start && cap == b->cap)
		cap *= 2;
	if (b->start == 0) {
		b->data = xrealloc(b->data, cap);
	} else {
		char *data = xmalloc(cap);

		memcpy(data, b->data + b->start, len);
		free(b->data);
		b->data = data;
	}
	b->start = 0;
	b->end = len;
	b->cap = cap;
}

void
buf_add_u64(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t i = sizeof digits;

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	buf_add(b, digits + i, sizeof digits - i);
}

void
buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n > 0) {
		vsnprintf(buf_room(b, (size_t)n + 1), (size_t)n + 1, fmt, ap);
		buf_added(b, (size_t)n);
	}
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

const char *
buf_cstr(struct buf *b)
{
	*buf_room(b, 1) = '\0';
	return buf_data(b);
}

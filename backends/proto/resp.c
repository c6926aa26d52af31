/* SPDX-License-Identifier: Apache-2.0 */
/* RESP2: see resp.h. */
#include "backends/proto/resp.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

void
resp_release(struct resp_reader *r)
{
	free(r->v);
	*r = (struct resp_reader){ 0 };
}

void
resp_reset(struct resp_reader *r)
{
	r->nv = r->at = r->need = 0;
	r->depth = 0;
}

/* Digits as Redis writes them: no '+', no zero in front, no "-0". What is between
 * p and end, all of it. */
static bool
read_number(const char *p, const char *end, int64_t *n)
{
	bool minus = p < end && *p == '-';
	uint64_t max = minus ? (uint64_t)INT64_MAX + 1 : INT64_MAX, sum = 0;

	p += minus;
	if (p == end || (*p == '0' && (minus || end - p > 1)))
		return false;
	for (; p < end; p++) {
		unsigned d = (unsigned)(unsigned char)*p - '0';

		if (d > 9 || sum > (max - d) / 10)
			return false;
		sum = sum * 10 + d;
	}
	*n = minus ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}

/* The "\r\n" that ends the line at p; NULL: it is not there yet. */
static const char *
line_end(const char *p, const char *end)
{
	while ((p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		if (end - p < 2)
			return NULL;
		if (p[1] == '\n')
			return p;
		p++;
	}
	return NULL;
}

static struct resp_value *
add_value(struct resp_reader *r)
{
	if (r->nv == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->v = xrealloc(r->v, r->cap * sizeof *r->v);
	}
	return &r->v[r->nv++];
}

static ssize_t
bad(struct resp_reader *r, const char *why)
{
	resp_reset(r);
	r->error = why;
	return -1;
}

/* One value has been added. true: the reply is complete. */
static bool
close_arrays(struct resp_reader *r)
{
	while (r->depth) {
		struct resp_value *array = &r->v[r->open[r->depth - 1].index];

		if (--r->open[r->depth - 1].left)
			return false;
		array->size = (uint32_t)(r->nv - r->open[r->depth - 1].index);
		r->depth--;
	}
	return true;
}

/* Numbers in a reply are most often short: read on the way to the end of line. NULL:
 * not that. */
static inline const char *
short_number(const char *p, const char *end, int64_t *n)
{
	int64_t sum = 0;
	const char *q = p;

	if (end - p < 12 || *p == '0')
		return NULL;
	while ((unsigned char)(*q - '0') < 10 && q - p < 9)
		sum = sum * 10 + (*q++ - '0');
	if (q == p || q[0] != '\r' || q[1] != '\n')
		return NULL;
	*n = sum;
	return q;
}

enum step { STEP_MORE, STEP_BAD, STEP_VALUE, STEP_OPEN };

/* The value at r->at, if all of it is there. */
static enum step
read_value(struct resp_reader *r, const char *base, const char *end)
{
	const char *p = base + r->at, *stop;
	struct resp_value *v;
	int64_t n = 0;
	char type;

	if (p == end)
		return STEP_MORE;
	type = *p++;
	if (type != ':' && type != '$' && type != '*' && type != '+' && type != '-') {
		r->error = "no type of RESP2";
		return STEP_BAD;
	}
	if (type == '+' || type == '-') {
		stop = line_end(p, end);
		if ((stop ? stop : end) - p > RESP_LINE) {
			r->error = "a line without an end";
			return STEP_BAD;
		}
		if (!stop)
			return STEP_MORE;
		n = stop - p;
		if (memchr(p, '\n', (size_t)n) || memchr(p, '\r', (size_t)n)) {
			r->error = "a line with half of a line's end in it";
			return STEP_BAD;
		}
	} else {
		stop = short_number(p, end, &n);
		if (!stop) {
			stop = line_end(p, end);
			/* As much as a number may have, with its line's end. */
			if (stop ? !read_number(p, stop, &n) : end - p > 22) {
				r->error = "no number where one belongs";
				return STEP_BAD;
			}
			if (!stop)
				return STEP_MORE;
		}
	}
	if (type == '$' && n >= 0) {
		if ((uint64_t)n > SIZE_MAX / 4) {
			r->error = "a string of such a length";
			return STEP_BAD;
		}
		if ((size_t)(end - stop) < (size_t)n + 4) {
			r->need = (size_t)(stop - base) + (size_t)n + 4;
			return STEP_MORE;
		}
		p = stop + 2;
		stop = p + n;
		if (stop[0] != '\r' || stop[1] != '\n') {
			r->error = "a string that is longer than was said";
			return STEP_BAD;
		}
	} else if ((type == '$' || type == '*') && n < -1) {
		r->error = "a length below nothing";
		return STEP_BAD;
	}
	v = add_value(r);
	v->size = 1;
	v->n = n;
	/* An offset for now: the input may move before the reply is complete. */
	v->p = (type == ':' || type == '*' || n < 0) ? NULL : (const char *)(uintptr_t)(p - base + 1);
	v->type = type == '+' ? RESP_STATUS : type == '-' ? RESP_ERROR :
		type == ':' ? RESP_INTEGER : n < 0 ? RESP_NULL :
		type == '$' ? RESP_STRING : RESP_ARRAY;
	r->at = (size_t)(stop + 2 - base);
	if (v->type == RESP_ARRAY && n)
		return STEP_OPEN;
	return STEP_VALUE;
}

static bool
open_array(struct resp_reader *r)
{
	int64_t n = r->v[r->nv - 1].n;

	if (r->depth == RESP_DEPTH) {
		r->error = "arrays too deep in arrays";
		return false;
	}
	if (n > RESP_VALUES - (int64_t)r->nv) {
		r->error = "an array of so many elements";
		return false;
	}
	r->open[r->depth].index = r->nv - 1;
	r->open[r->depth++].left = n;
	return true;
}

ssize_t
resp_read(struct resp_reader *r, const char *p, size_t n)
{
	size_t took;

	if (n < r->need)
		return 0;
	if (!r->at)
		r->nv = 0;
	for (;;) {
		switch (read_value(r, p, p + n)) {
		case STEP_MORE:
			return 0;
		case STEP_BAD:
			return bad(r, r->error);
		case STEP_OPEN:
			if (!open_array(r))
				return bad(r, r->error);
			break;
		case STEP_VALUE:
			if (!close_arrays(r))
				break;
			for (size_t i = 0; i < r->nv; i++)
				if (r->v[i].p)
					r->v[i].p = p + ((uintptr_t)r->v[i].p - 1);
			took = r->at;
			r->at = r->need = 0;
			return (ssize_t)took;
		}
	}
}

/* ---- writing ---- */

static unsigned
digits(uint64_t n)
{
	unsigned d = 1;

	for (; n >= 10; n /= 10)
		d++;
	return d;
}

static inline char *
put_number(char *to, char type, uint64_t n)
{
	unsigned d = digits(n);

	to[0] = type;
	for (char *q = to + d; q > to; n /= 10)
		*q-- = (char)('0' + n % 10);
	to[d + 1] = '\r';
	to[d + 2] = '\n';
	return to + d + 3;
}

char *
resp_put_word(char *to, const char *p, size_t n)
{
	to = put_number(to, '$', n);
	if (n)
		memcpy(to, p, n);
	to[n] = '\r';
	to[n + 1] = '\n';
	return to + n + 2;
}

void
resp_command(struct buf *b, size_t nwords)
{
	char *to = buf_room(b, 24);

	buf_added(b, (size_t)(put_number(to, '*', nwords) - to));
}

void
resp_word(struct buf *b, struct bytes w)
{
	char *to = buf_room(b, resp_word_room(w.n));

	buf_added(b, (size_t)(resp_put_word(to, w.p, w.n) - to));
}

void
resp_word_str(struct buf *b, const char *s)
{
	resp_word(b, bytes_str(s));
}

void
resp_word_u64(struct buf *b, uint64_t n)
{
	char text[24];

	resp_word(b, bytes_of(text, (size_t)snprintf(text, sizeof text, "%llu",
		(unsigned long long)n)));
}

size_t
resp_word_begin(struct buf *b, size_t guess)
{
	char *to = buf_room(b, resp_word_room(guess));
	size_t begun = buf_len(b);

	buf_added(b, (size_t)(put_number(to, '$', guess) - to));
	return begun;
}

void
resp_word_end(struct buf *b, size_t begun)
{
	char *head = buf_data(b) + begun;
	size_t d = (size_t)((char *)memchr(head, '\r', 24) - head) - 1;
	size_t n = buf_len(b) - begun - d - 3, right = digits(n);

	if (right != d) {
		if (right > d)
			buf_room(b, right - d);
		head = buf_data(b) + begun;
		memmove(head + right + 3, head + d + 3, n);
		b->end = b->end + right - d;
	}
	put_number(head, '$', n);
	buf_add(b, "\r\n", 2);
}

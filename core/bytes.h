/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed run of bytes. Topics, header names and values, keys and bodies
 * are length-counted everywhere: they may hold NUL and need no terminator.
 *
 * p == NULL means "not there" (a null body, a header without a value) and is
 * different from n == 0 with p != NULL, which is "there, and empty".
 */
#ifndef MBUS_CORE_BYTES_H
#define MBUS_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bytes {
	const char *p;
	size_t n;
};

/* The bytes of a string literal, resp. of a C string (NULL gives "not there"). */
#define BYTES(lit) ((struct bytes){ "" lit, sizeof(lit) - 1 })
/* For a printf "%.*s": the length first. Stops at nothing; print text only. */
#define BYTES_FMT(b) (int)(b).n, ((b).p ? (b).p : "")

static inline struct bytes
bytes_of(const void *p, size_t n)
{
	return (struct bytes){ p, n };
}

static inline struct bytes
bytes_str(const char *s)
{
	return (struct bytes){ s, s ? strlen(s) : 0 };
}

static inline bool
bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order by bytes, a prefix first: the order go-micro writes header names in. */
static inline int
bytes_cmp(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

#endif

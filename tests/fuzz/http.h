/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets of request and response heads have in common. */
#ifndef MBUS_TESTS_FUZZ_HTTP_H
#define MBUS_TESTS_FUZZ_HTTP_H

#include <stdlib.h>

#include "backends/proto/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void
must(bool holds)
{
	if (!holds)
		abort();
}

static inline void
must_lie_in(struct bytes field, const char *p, size_t n)
{
	if (field.p)
		must(field.p >= p && field.n <= n && (size_t)(field.p - p) <= n - field.n);
}

typedef enum http_result head_parser(struct http_head *, const char *, size_t, const char **);

/* A copy without room behind it: the sanitizer sees any read beyond n. */
static inline enum http_result
parse_exact(head_parser *parse, struct http_head *h, const char *p, size_t n)
{
	const char *error = NULL;
	char *copy = xmalloc(n ? n : 1);
	enum http_result r;

	if (n)
		memcpy(copy, p, n);
	r = parse(h, copy, n, &error);
	must(r != HTTP_BAD || (error && *error));
	free(copy);
	return r;
}

/* Parses p[0...n) and holds the result against that of its prefixes. true: a head
 * was read, h borrows from p. */
static inline bool
check_head(head_parser *parse, struct http_head *h, const char *p, size_t n)
{
	const char *error;
	enum http_result whole = parse_exact(parse, h, p, n), cut;
	struct http_head scratch;
	size_t size = whole == HTTP_OK ? h->size : n;
	size_t step = size > 512 ? size / 97 : 1;

	for (size_t i = 0; i < size; i += step) {
		cut = parse_exact(parse, &scratch, p, i);
		must(cut != HTTP_OK);
		must(cut == HTTP_MORE || whole == HTTP_BAD);
	}
	if (whole != HTTP_OK)
		return false;
	must(h->size <= n);
	must(parse_exact(parse, &scratch, p, h->size) == HTTP_OK);
	must(scratch.size == h->size);
	must(scratch.content_length == h->content_length && scratch.chunked == h->chunked);
	must(parse(h, p, n, &error) == HTTP_OK);
	return true;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_set.h. */
#include "cli/bench_set.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

enum { CHUNK = 1 << SET_CHUNK_BITS };

static void
grow(struct bench_set *s, size_t need)
{
	size_t n = s->nchunks ? s->nchunks : 64;

	while (n < need)
		n *= 2;
	s->chunks = xrealloc(s->chunks, n * sizeof *s->chunks);
	memset(s->chunks + s->nchunks, 0, (n - s->nchunks) * sizeof *s->chunks);
	s->nchunks = n;
}

bool
set_add(struct bench_set *s, uint64_t number)
{
	uint64_t i = number >> SET_CHUNK_BITS, bit = UINT64_C(1) << (number & 63);
	struct set_chunk *c;
	uint64_t *word;

	if (i >= s->nchunks) {
		if (i >= SET_MAX_CHUNKS)
			return false;
		grow(s, i + 1);
	}
	c = &s->chunks[i];
	if (!c->bits) {
		if (c->n)
			return false;
		c->bits = xcalloc(CHUNK / 64, sizeof *c->bits);
	}
	word = &c->bits[(number & (CHUNK - 1)) >> 6];
	if (*word & bit)
		return false;
	*word |= bit;
	s->n++;
	if (++c->n == CHUNK) {
		free(c->bits);
		c->bits = NULL;
	}
	return true;
}

void
set_release(struct bench_set *s)
{
	for (size_t i = 0; i < s->nchunks; i++)
		free(s->chunks[i].bits);
	free(s->chunks);
	*s = (struct bench_set){ 0 };
}

static bool
has(const struct bench_set *s, uint64_t number)
{
	const struct set_chunk *c = &s->chunks[number >> SET_CHUNK_BITS];

	return c->bits ? c->bits[(number & (CHUNK - 1)) >> 6] >> (number & 63) & 1 : c->n > 0;
}

void
set_each(const struct bench_set *s, void (*fn)(const struct bench_run *, void *), void *arg)
{
	struct bench_run r = { 0, 0 };

	for (size_t i = 0; i < s->nchunks; i++) {
		const struct set_chunk *c = &s->chunks[i];
		uint64_t first = (uint64_t)i << SET_CHUNK_BITS, step = c->bits ? 1 : CHUNK;

		for (uint64_t k = first; k < first + CHUNK; k += step) {
			if (has(s, k)) {
				if (!r.n)
					r.first = k;
				r.n += step;
			} else if (r.n) {
				fn(&r, arg);
				r.n = 0;
			}
		}
	}
	if (r.n)
		fn(&r, arg);
}

/* ---- runs ---- */

void
runs_add(struct bench_runs *r, uint64_t first, uint64_t n)
{
	struct bench_run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (!n)
		return;
	if (last && last->first + last->n == first) {
		last->n += n;
		return;
	}
	if (r->n == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 16;
		r->v = xrealloc(r->v, r->cap * sizeof *r->v);
	}
	r->v[r->n++] = (struct bench_run){ first, n };
}

void
runs_release(struct bench_runs *r)
{
	free(r->v);
	*r = (struct bench_runs){ 0 };
}

uint64_t
runs_count(const struct bench_runs *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].n;
	return n;
}

static uint64_t
end_of(const struct bench_run *r)
{
	return r->first + r->n;
}

/* Adds a run that may overlap the last one; returns by how much. */
static uint64_t
add_over(struct bench_runs *out, const struct bench_run *r)
{
	uint64_t end = out->n ? end_of(&out->v[out->n - 1]) : 0;
	uint64_t from = r->first > end ? r->first : end;

	if (!out->n)
		from = r->first;
	if (from < end_of(r))
		runs_add(out, from, end_of(r) - from);
	return from - r->first < r->n ? from - r->first : r->n;
}

uint64_t
runs_unite(struct bench_runs *out, const struct bench_runs *a, const struct bench_runs *b)
{
	struct bench_runs all = { 0 };
	uint64_t common = 0;
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		if (j == b->n || (i < a->n && a->v[i].first <= b->v[j].first))
			common += add_over(&all, &a->v[i++]);
		else
			common += add_over(&all, &b->v[j++]);
	}
	runs_release(out);
	*out = all;
	return common;
}

uint64_t
runs_common(const struct bench_runs *a, const struct bench_runs *b)
{
	uint64_t n = 0;
	size_t i = 0, j = 0;

	while (i < a->n && j < b->n) {
		const struct bench_run *x = &a->v[i], *y = &b->v[j];
		uint64_t from = x->first > y->first ? x->first : y->first;
		uint64_t end = end_of(x) < end_of(y) ? end_of(x) : end_of(y);

		if (from < end)
			n += end - from;
		if (end_of(x) < end_of(y))
			i++;
		else
			j++;
	}
	return n;
}

void
runs_missing(struct bench_runs *out, const struct bench_runs *r, uint64_t end)
{
	uint64_t at = 0;

	for (size_t i = 0; i < r->n && at < end; i++) {
		uint64_t first = r->v[i].first < end ? r->v[i].first : end;

		if (first > at)
			runs_add(out, at, first - at);
		at = end_of(&r->v[i]);
	}
	if (at < end)
		runs_add(out, at, end - at);
}

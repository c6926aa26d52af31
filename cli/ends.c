/* SPDX-License-Identifier: Apache-2.0 */
/* Where events end in the output: see ends.h. */
#include "cli/ends.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

void
ends_grow(struct ends *e)
{
	if (e->first > e->cap / 2) {
		e->n -= e->first;
		memmove(e->v, e->v + e->first, e->n * sizeof *e->v);
		e->first = 0;
		return;
	}
	e->cap = e->cap ? 2 * e->cap : 256;
	e->v = xrealloc(e->v, e->cap * sizeof *e->v);
}

static void
is_whole(struct ends *e, const struct end *last)
{
	e->whole = last->event;
	e->at = last->position;
}

void
ends_all(struct ends *e)
{
	if (e->n)
		is_whole(e, &e->v[e->n - 1]);
	e->first = e->n = 0;
}

void
ends_written(struct ends *e, uint64_t written)
{
	while (e->first < e->n && e->v[e->first].position <= written)
		is_whole(e, &e->v[e->first++]);
	if (e->first == e->n)
		e->first = e->n = 0;
}

size_t
ends_cut(struct ends *e, uint64_t written, uint64_t *position)
{
	bool torn;
	size_t dropped;

	ends_written(e, written);
	torn = e->n > e->first && written > e->at;
	*position = torn ? e->v[e->first].position : written;
	dropped = e->n - e->first - torn;
	e->n -= dropped;
	return dropped;
}

void
ends_release(struct ends *e)
{
	free(e->v);
	memset(e, 0, sizeof *e);
}

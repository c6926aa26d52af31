/* SPDX-License-Identifier: Apache-2.0 */
/* What is under way: see flight.h. */
#include "core/flight.h"

#include <stdlib.h>

#include "core/buf.h"

enum { FLIGHT_FIRST = 64 };

void
flight_grow(struct flight *f)
{
	struct flight old = *f;

	f->cap = old.cap ? old.cap * 2 : FLIGHT_FIRST;
	f->ring = xcalloc(f->cap, sizeof *f->ring);
	for (uint64_t seq = old.first; seq != old.next; seq++)
		*flight_at(f, seq) = *flight_at(&old, seq);
	free(old.ring);
}

void
flight_release(struct flight *f)
{
	free(f->ring);
	*f = (struct flight){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a pipeline, for pipeline.c and pipeline_fate.c only. */
#ifndef MBUS_CORE_PIPELINE_IMPL_H
#define MBUS_CORE_PIPELINE_IMPL_H

#include "core/pipeline.h"

static inline struct flight_entry *
at(const struct pipeline *p, uint64_t seq)
{
	return flight_at(&p->ring, seq);
}

/* What is done leaves at the front, and its kept bytes with it. */
static inline void
pop_done(struct pipeline *p)
{
	struct flight *f = &p->ring;

	while (f->first != f->next && (flight_front(f)->state & PIPE_DONE)) {
		size_t n = flight_front(f)->copy_size;

		if (n)
			buf_consume(&p->keep, n);
		if (p->fed == f->first)
			p->fed++;
		else
			p->fed_at -= n;
		flight_pop(f);
	}
	p->turn = p->turn < f->first ? f->first : p->turn;
	p->taken = p->taken < f->first ? f->first : p->taken;
}

/* For the timer that ends those whose time is over. */
void pipeline_deadline(struct loop_timer *);
/* The connection has gone: each event's fate, or its place in the next one. */
void pipeline_fates(struct pipeline *, const struct error *why, bool again, uint64_t written);

#endif

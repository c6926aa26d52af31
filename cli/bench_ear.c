/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes is looked at: whose is it, has it come before, in order, whole? For
 * subscribers, and for publishers that await answers.
 */
#include "cli/bench.h"

#include <stdlib.h>

enum {
	EAR_ACK = 512,			/* events that are acknowledged in one call */
	EAR_JUMP = 1 << 28		/* no number is so far from the one before */
};

static void
ear_settle(struct bench_ear *e)
{
	if (e->last == e->acked)
		return;
	broker_ack(e->w->broker, e->acked + 1, e->last, true);
	e->acked = e->last;
}

static void
settle_task(struct loop_task *t)
{
	ear_settle(t->arg);
}

static void
settle_idle(struct loop_idle *i)
{
	ear_settle(i->arg);
}

void
ear_open(struct bench_ear *e, struct bench_worker *w)
{
	const struct bench_job *job = w->job;

	e->w = w;
	e->settle = (struct loop_task){ .fn = settle_task, .arg = e };
	e->idle = (struct loop_idle){ .fn = settle_idle, .arg = e };
	e->nfill = job->size - STAMP_BYTES;
	e->fill = xmalloc(e->nfill + 1);
	memcpy(e->fill, job->body + STAMP_BYTES, e->nfill);
	loop_idle_add(w->loop, &e->idle);
}

static struct ear_pub *
find_pub(struct bench_ear *e, unsigned publisher)
{
	if (publisher >= e->npubs) {
		size_t n = (size_t)publisher + 1;

		e->pubs = xrealloc(e->pubs, n * sizeof *e->pubs);
		memset(e->pubs + e->npubs, 0, (n - e->npubs) * sizeof *e->pubs);
		for (size_t i = e->npubs; i < n; i++)
			e->pubs[i].high = xcalloc(e->w->job->topics, sizeof *e->pubs[i].high);
		e->npubs = n;
	}
	return &e->pubs[publisher];
}

/* Publishers on another machine may have another -s, but their bytes are ours. */
static bool
is_whole(struct bench_ear *e, const struct stamp *s, struct bytes body)
{
	const struct bench_job *job = e->w->job;
	size_t n = body.n - STAMP_BYTES;

	if (job->role != BENCH_SUB)
		return n == e->nfill && memcmp(body.p + STAMP_BYTES, e->fill, n) == 0;
	if ((s->flags & STAMP_FILE) && !job->file)
		return true;
	if (n > e->nfill && !job->file) {
		e->fill = xrealloc(e->fill, n);
		bench_fill(e->fill, n);
		e->nfill = n;
	}
	return n <= e->nfill && memcmp(body.p + STAMP_BYTES, e->fill, n) == 0;
}

/* A publisher says how it ended. */
static enum heard
hear_end(struct bench_ear *e, const struct stamp *s, struct bytes body)
{
	struct worker_slot *slot = e->w->slot;
	struct stamp_end end;
	struct ear_pub *p;

	if (body.n != STAMP_BYTES + sizeof end)
		return HEARD_BAD;
	memcpy(&end, body.p + STAMP_BYTES, sizeof end);
	if (end.sum != stamp_end_sum(&end))
		return HEARD_BAD;
	p = find_pub(e, s->publisher);
	if (p->ended)
		return HEARD_AGAIN;
	p->ended = true;
	slot->end_pubs = end.publishers;
	slot->end_confirmed += end.confirmed;
	slot->ends++;
	return HEARD_END;
}

static enum heard
hear(struct bench_ear *e, unsigned topic, struct bytes body, struct stamp *s)
{
	struct worker_slot *slot = e->w->slot;
	struct ear_pub *p;
	uint64_t *high;

	if (!stamp_read(body.p, body.n, s)) {
		slot->corrupted++;
		return HEARD_BAD;
	}
	if (s->run != e->w->job->run) {
		slot->foreign++;
		return HEARD_BAD;
	}
	if (s->publisher >= BENCH_WORKERS_MAX || (e->w->job->role != BENCH_SUB &&
	    s->publisher >= e->w->job->pubs)) {
		slot->corrupted++;
		return HEARD_BAD;
	}
	if (s->flags & STAMP_END)
		return hear_end(e, s, body);
	p = find_pub(e, s->publisher);
	high = &p->high[topic];
	if (!is_whole(e, s, body) || s->number > *high + EAR_JUMP) {
		slot->corrupted++;
		return HEARD_BAD;
	}
	slot->arrived++;
	if (!set_add(&p->came, s->number)) {
		slot->duplicated++;
		return HEARD_AGAIN;
	}
	slot->distinct++;
	if (s->number < *high)
		slot->disordered++;
	else
		*high = s->number + 1;
	return HEARD_NEW;
}

enum heard
ear_hear(struct bench_ear *e, unsigned topic, const struct event *ev, struct stamp *s)
{
	e->last = ev->number;
	if (e->last - e->acked == EAR_ACK)
		loop_defer(e->w->loop, &e->settle);
	return hear(e, topic, ev->msg.body, s);
}

void
ear_write_runs(struct bench_ear *e)
{
	for (size_t i = 0; i < e->npubs; i++)
		worker_write(e->w, RUN_ARRIVED, (unsigned)i, &e->pubs[i].came);
}

void
ear_close(struct bench_ear *e)
{
	if (e->w->loop)
		loop_idle_del(e->w->loop, &e->idle);
	loop_task_cancel(&e->settle);
	for (size_t i = 0; i < e->npubs; i++) {
		set_release(&e->pubs[i].came);
		free(e->pubs[i].high);
	}
	free(e->pubs);
	free(e->fill);
}

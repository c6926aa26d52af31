/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of events without an answer: whose time is over, whose connection has gone.
 * Outcomes are told last, when all is in order again: whoever is told may publish.
 */
#include <stdlib.h>

#include "core/pipeline_impl.h"

/* A fate that is still to be told. */
struct told {
	uint64_t id;
	size_t size;
	bool unknown;
};

static struct told *
told_room(const struct pipeline *p)
{
	return xmalloc((flight_count(&p->ring) + 1) * sizeof(struct told));
}

static void
told_add(struct told *list, size_t *n, struct flight_entry *e, bool unknown)
{
	e->state |= PIPE_TOLD;
	list[(*n)++] = (struct told){ e->id, e->size, unknown };
}

static void
told_all(struct pipeline *p, struct told *list, size_t n, const struct error *unknown,
	const struct error *refused)
{
	for (size_t i = 0; i < n; i++)
		broker_outcome(p->b, list[i].id, list[i].size,
			list[i].unknown ? FATE_UNKNOWN : FATE_REFUSED,
			list[i].unknown ? unknown : refused);
	free(list);
}

/* Takes pieces out of a buffer, front to back, in one pass. */
struct cutter {
	struct buf *b;
	size_t from, to;		/* what is before `from` has moved to before `to` */
};

static void
cut_move(struct cutter *c, size_t upto)
{
	char *data = buf_data(c->b);

	if (c->to != c->from)
		memmove(data + c->to, data + c->from, upto - c->from);
	c->to += upto - c->from;
	c->from = upto;
}

static void
cut(struct cutter *c, size_t pos, size_t n)
{
	cut_move(c, pos);
	c->from = pos + n;
}

static void
cut_end(struct cutter *c)
{
	if (c->to == c->from)
		return;
	cut_move(c, buf_len(c->b));
	buf_truncate(c->b, c->to);
}

static size_t cut_size(const struct cutter *c) { return c->from - c->to; }

/* ---- time ---- */

/* Nothing has been answered for the whole time of an event, and the publisher cannot go
 * on: it would lose a window after the other. */
static void
check_stuck(struct pipeline *p, uint64_t now)
{
	struct error err;

	if (!p->ready || p->failed || now - p->heard_ns < p->b->opts.timeout_ms * UINT64_C(1000000) ||
	    (!p->b->was_full && !buf_len(link_out(p->link))))
		return;
	error_set(&err, ERR_CONNECT, "%s: no answer to anything within %g s", link_name(p->link),
		p->b->opts.timeout_ms / 1000.0);
	pipeline_fail(p, &err);
}

/* One whose time is over. true: its bytes must not leave any more. */
static bool
expire(const struct pipeline *p, struct flight_entry *e, struct told *list, size_t *n)
{
	bool out = e->state & PIPE_OUT;

	if (out && e->end - e->bytes < link_begun(p->link)) {
		told_add(list, n, e, true);	/* it keeps its place */
		return false;
	}
	told_add(list, n, e, e->state & PIPE_SENT);
	e->state |= PIPE_DONE;
	return true;
}

void
pipeline_deadline(struct loop_timer *t)
{
	struct pipeline *p = t->arg;
	struct cutter keep = { .b = &p->keep }, out = { .b = p->ready ? link_out(p->link) : NULL };
	uint64_t now = loop_clock_ns(), next = 0, written = link_written(p->link);
	struct told *list = told_room(p);
	size_t n = 0, kept = 0, before_fed = 0;
	struct error unknown, refused;

	for (uint64_t seq = p->ring.first; seq != p->ring.next; seq++) {
		struct flight_entry *e = at(p, seq);
		size_t cut_before = cut_size(&out);
		bool waits = (e->state & (PIPE_EVENT | PIPE_TOLD | PIPE_DONE)) == PIPE_EVENT;

		if (waits && e->until_ns > now) {
			if (!next || e->until_ns < next)
				next = e->until_ns;
			if (!p->mixed && !cut_before && !cut_size(&keep))
				break;
		} else if (waits && e->until_ns && expire(p, e, list, &n)) {
			if (e->state & PIPE_OUT)
				cut(&out, (size_t)(e->end - e->bytes - written), e->bytes);
			if (e->state & PIPE_OUT && p->ops->cut)
				p->ops->cut(p, e);
			cut(&keep, kept, e->copy_size);
			kept += e->copy_size;
			before_fed += seq < p->fed ? e->copy_size : 0;
			e->copy_size = 0;
		}
		if (e->state & PIPE_OUT)
			e->end -= cut_before;
		kept += e->copy_size;
	}
	if (out.b)
		cut_end(&out);
	cut_end(&keep);
	p->fed_at -= before_fed;
	p->mixed = p->mixed && next;
	/* Places behind the last that has a meaning are free again. */
	while (p->ring.next != p->ring.first && p->ring.next - 1 >= p->turn &&
	    (at(p, p->ring.next - 1)->state & PIPE_DONE))
		p->ring.next--;
	if (p->fed > p->ring.next)
		p->fed = p->ring.next;
	if (p->taken > p->ring.next)
		p->taken = p->ring.next;
	pop_done(p);
	if (next)
		loop_timer_set_at(p->b->loop, t, next);
	error_set(&unknown, ERR_UNKNOWN, "no answer within %g s", p->b->opts.timeout_ms / 1000.0);
	error_set(&refused, ERR_REFUSED, "not sent within %g s", p->b->opts.timeout_ms / 1000.0);
	if (n)
		check_stuck(p, now);
	told_all(p, list, n, &unknown, &refused);
}

/* ---- a lost connection ---- */

/* What becomes of one when its connection has gone. true: it waits for the next. */
static bool
survives(struct flight_entry *e, bool again, uint64_t written)
{
	bool out = e->state & PIPE_OUT;

	if (!(e->state & PIPE_EVENT) || (e->state & PIPE_DONE))
		return false;
	if (out && e->end <= written)
		e->state |= PIPE_SENT;
	e->state &= ~(unsigned)(PIPE_OUT | PIPE_AGAIN);
	if (!again || !e->copy_size)
		return false;
	return e->state & PIPE_REPEAT || !(e->state & (PIPE_SENT | PIPE_TOLD));
}

void
pipeline_fates(struct pipeline *p, const struct error *why, bool again, uint64_t written)
{
	struct cutter keep = { .b = &p->keep };
	struct told *list = told_room(p);
	struct error unknown, refused;
	size_t n = 0, kept = 0;

	for (uint64_t seq = p->ring.first; seq != p->ring.next; seq++) {
		struct flight_entry *e = at(p, seq);
		size_t size = e->copy_size;

		if (!survives(e, again, written)) {
			if ((e->state & (PIPE_EVENT | PIPE_TOLD)) == PIPE_EVENT)
				told_add(list, &n, e, e->state & PIPE_SENT);
			e->state |= PIPE_DONE;
			cut(&keep, kept, size);
			e->copy_size = 0;
		}
		kept += size;
	}
	cut_end(&keep);
	p->fed = p->turn = p->taken = p->ring.first;
	p->fed_at = 0;
	pop_done(p);
	error_set(&unknown, again ? ERR_UNKNOWN : why->kind, "sent, but the connection was lost "
		"before an answer came (%.300s)", why->text);
	error_set(&refused, why->kind, "not sent: %.400s", why->text);
	told_all(p, list, n, &unknown, &refused);
	broker_room(p->b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions and events to a server: see pipeline.h.
 *
 * An entry never moves in the ring, so its sequence number (and the name that is made
 * of it and stands in its bytes) is good for its life. What has lost its meaning is
 * PIPE_DONE and leaves with the front. What becomes of events without an answer is in
 * pipeline_fate.c.
 */
#include "core/pipeline_impl.h"

#include "core/log.h"

enum { BATCH = 64 * 1024 };		/* so much output is sent without waiting for more */

/* ---- sending ---- */

static uint64_t
out_end(const struct pipeline *p)
{
	return link_written(p->link) + buf_len(link_out(p->link));
}

/* What has been put into the output is to leave. */
static void
sent(struct pipeline *p)
{
	if (buf_len(link_out(p->link)) >= BATCH)
		link_flush(p->link);
	else
		link_kick(p->link);
	if (p->b->opts.ack == PUBLISH_ACK_NONE)
		loop_defer(p->b->loop, &p->written);
}

void
pipeline_send(struct pipeline *p)
{
	struct buf *out;

	if (!p->ready || p->held || p->fed == p->ring.next)
		return;
	out = link_out(p->link);
	while (p->fed != p->ring.next) {
		uint64_t seq = p->fed;
		struct flight_entry *e = at(p, seq);
		struct bytes kept = bytes_of(buf_data(&p->keep) + p->fed_at, e->copy_size);
		size_t begun = buf_len(out);

		if ((e->state & (PIPE_EVENT | PIPE_OUT | PIPE_DONE)) == PIPE_EVENT) {
			if (!p->ops->send)
				buf_add_bytes(out, kept);
			else if (!p->ops->send(p, e, kept, out))
				break;
			if (p->fed != seq)	/* it was ended */
				continue;
			e = at(p, seq);
			e->bytes = buf_len(out) - begun;
			e->end = out_end(p);
			e->state |= PIPE_OUT;
		}
		p->fed_at += e->copy_size;
		p->fed++;
	}
	sent(p);
}

struct buf *
pipeline_begin(struct pipeline *p)
{
	struct buf *to;

	p->direct = p->ready && !p->keeps && !p->held && p->fed == p->ring.next;
	to = p->direct ? link_out(p->link) : &p->keep;
	p->begun = buf_len(to);
	return to;
}

void
pipeline_cancel(struct pipeline *p)
{
	buf_truncate(p->direct ? link_out(p->link) : &p->keep, p->begun);
}

void
pipeline_commit(struct pipeline *p, const struct publication *pub, unsigned state)
{
	struct flight_entry *e = flight_push(&p->ring);
	unsigned ms = p->b->opts.timeout_ms;

	e->id = pub->id;
	e->size = pub->size;
	e->state = state | PIPE_EVENT;
	if (ms) {
		e->until_ns = loop_now_ns(p->b->loop) + ms * UINT64_C(1000000);
		if (!loop_timer_is_set(&p->deadline))
			loop_timer_set_at(p->b->loop, &p->deadline, e->until_ns);
	}
	if (!p->direct) {
		e->copy_size = buf_len(&p->keep) - p->begun;
		pipeline_send(p);
		return;
	}
	e->bytes = buf_len(link_out(p->link)) - p->begun;
	e->end = out_end(p);
	e->state |= PIPE_OUT;
	p->fed = p->ring.next;
	sent(p);
}

struct buf *
pipeline_ask(struct pipeline *p, pipeline_answer *fn, void *arg, uint64_t id, uint64_t last)
{
	bool fed = p->fed == p->ring.next;
	struct flight_entry *e = flight_push(&p->ring);

	e->state = PIPE_OUT;
	e->answer = fn;
	e->arg = arg;
	e->id = id;
	e->last = last;
	if (fed)
		p->fed++;
	link_kick(p->link);
	return link_out(p->link);
}

static void
count_trial(struct pipeline *p, unsigned state, int by)
{
	p->trials += (unsigned)by;
	p->fresh += state & PIPE_FRESH ? (unsigned)by : 0;
	link_trial(p->link, p->trials);
	link_comes_back(p->link, !p->fresh);
}

struct buf *
pipeline_trial(struct pipeline *p, pipeline_answer *fn, void *arg, uint64_t id, uint64_t last,
	bool fresh)
{
	struct buf *out = pipeline_ask(p, fn, arg, id, last);
	struct flight_entry *e = at(p, p->ring.next - 1);

	e->state |= PIPE_TRIAL | (fresh ? PIPE_FRESH : 0);
	count_trial(p, e->state, 1);
	return out;
}

static void
drained(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	(void)e, (void)answer;
	broker_drained(p->b);
}

void
pipeline_drain(struct pipeline *p)
{
	uint64_t seq = p->ring.next;

	pipeline_pause(p, false);
	if (p->ready && !p->failed)
		p->ops->ping(p);
	if (p->ring.next == seq)
		broker_drained(p->b);
	else
		at(p, p->ring.next - 1)->answer = drained;
}

/* ---- answers ---- */

struct flight_entry *
pipeline_front_slowly(struct pipeline *p)
{
	for (; p->turn != p->ring.next; p->turn++) {
		struct flight_entry *e = at(p, p->turn);

		if ((e->state & (PIPE_OUT | PIPE_DONE | PIPE_SILENT)) == PIPE_OUT)
			return e;
	}
	return NULL;
}

void
pipeline_end(struct pipeline *p, uint64_t seq, enum fate fate, const struct error *err)
{
	struct flight_entry *e = at(p, seq);
	bool tell = (e->state & (PIPE_EVENT | PIPE_TOLD)) == PIPE_EVENT;
	bool event = e->state & PIPE_EVENT;
	uint64_t id = e->id;
	size_t size = e->size;

	e->state |= PIPE_DONE | PIPE_TOLD;
	pop_done(p);
	p->progress |= fate == FATE_CONFIRMED && event;
	if (tell) {
		broker_outcome(p->b, id, size, fate, err);
	} else if (event && fate == FATE_REFUSED && !p->late &&
	    p->b->opts.ack == PUBLISH_ACK_NONE) {
		p->late = true;
		log_warn("some events were refused: %s", err->text);
	}
}

/* After pipeline_retry(): all that was under way is answered. */
static void
held_end(struct pipeline *p)
{
	if (pipeline_front(p))
		return;
	if (p->next)
		pipeline_fail_next(p, &p->why);
	else
		pipeline_fail(p, &p->why);
}

void
pipeline_settle(struct pipeline *p, enum fate fate, const struct error *err)
{
	pipeline_end(p, p->turn++, fate, err);
	if (p->held)
		held_end(p);
}

void
pipeline_reply(struct pipeline *p, const void *answer)
{
	struct flight_entry e = *at(p, p->turn);

	at(p, p->turn++)->state |= PIPE_DONE;
	pop_done(p);
	if (e.state & PIPE_TRIAL)
		count_trial(p, e.state, -1);
	if (e.answer)
		e.answer(p, &e, answer);
	if (p->held)
		held_end(p);
}

bool
pipeline_retry(struct pipeline *p, const struct error *why, bool next)
{
	struct flight_entry *e = at(p, p->turn);

	if (!e->copy_size || (e->state & PIPE_TOLD) || !p->opts.link.broker->reconnect)
		return false;
	e->state = (e->state & ~(unsigned)PIPE_OUT) | PIPE_AGAIN;
	p->turn++;
	if (!p->held)
		p->why = *why;
	p->next = p->held ? p->next || next : next;
	p->held = true;
	held_end(p);
	return true;
}

void
pipeline_move(struct pipeline *from, struct pipeline *to)
{
	struct flight_entry e = *at(from, from->turn), *moved = flight_push(&to->ring);
	size_t pos = 0;

	for (uint64_t seq = from->ring.first; seq != from->turn; seq++)
		pos += at(from, seq)->copy_size;
	*moved = e;
	moved->state &= PIPE_OWN | PIPE_EVENT | PIPE_REPEAT | PIPE_TOLD;
	moved->end = 0;
	buf_room(&to->keep, e.copy_size);	/* it may be the same */
	buf_add(&to->keep, buf_data(&from->keep) + pos, e.copy_size);
	to->mixed = true;
	if (e.until_ns && (!loop_timer_is_set(&to->deadline) || to->deadline.at_ns > e.until_ns))
		loop_timer_set_at(to->b->loop, &to->deadline, e.until_ns);
	at(from, from->turn++)->state |= PIPE_DONE;
	pop_done(from);
	pipeline_send(to);
}

uint64_t
pipeline_find(const struct pipeline *p, uint32_t name)
{
	uint64_t first = p->ring.first, seq = name - UINT64_C(1);
	uint32_t names = p->opts.names;

	if (!name || (names && name > names))
		return PIPE_NONE;
	if (names)
		seq = first + (seq + names - first % names) % names;
	if (seq < first || seq >= p->ring.next ||
	    (at(p, seq)->state & (PIPE_OUT | PIPE_DONE)) != PIPE_OUT)
		return PIPE_NONE;
	return seq;
}

void
pipeline_confirm(struct pipeline *p, uint64_t upto, bool any)
{
	unsigned of = PIPE_EVENT | PIPE_OUT | PIPE_DONE | (any ? 0 : PIPE_SILENT);
	unsigned is = PIPE_EVENT | PIPE_OUT | (any ? 0 : PIPE_SILENT);

	for (uint64_t seq = p->ring.first; seq < upto; seq++)
		if (seq >= p->ring.first && (at(p, seq)->state & of) == is)
			pipeline_end(p, seq, FATE_CONFIRMED, NULL);
}

/* ---- --ack none ---- */

/* What the kernel has taken is confirmed. Its place stays, for the answer. */
static void
tell_taken(struct pipeline *p)
{
	uint64_t written;

	if (p->b->opts.ack != PUBLISH_ACK_NONE || !p->ready)
		return;
	written = link_written(p->link);
	while (p->taken < p->fed) {
		struct flight_entry *e = at(p, p->taken), told = *e;

		if ((e->state & (PIPE_EVENT | PIPE_DONE)) == PIPE_EVENT && e->end > written)
			break;
		p->taken++;
		if ((told.state & (PIPE_EVENT | PIPE_TOLD | PIPE_DONE | PIPE_OUT)) !=
		    (PIPE_EVENT | PIPE_OUT))
			continue;
		e->state |= PIPE_TOLD | (told.state & PIPE_SILENT ? PIPE_DONE : 0);
		pop_done(p);
		broker_outcome(p->b, told.id, told.size, FATE_CONFIRMED, NULL);
	}
}

static void
written_task(struct loop_task *t)
{
	struct pipeline *p = t->arg;

	if (p->ready && !p->failed)
		link_flush(p->link);
	tell_taken(p);
}

/* ---- time ---- */

/* Half of its time a server may be silent; then it is asked, and has the other half. */
static void
alive(struct loop_timer *t)
{
	struct pipeline *p = t->arg;
	uint64_t most = p->opts.keepalive_ms, half = most / 2, now = loop_clock_ns(), silent_ms;
	struct error err;

	if (!p->ready || p->failed)
		return;
	if (p->paused)		/* we do not listen */
		p->heard_ns = now;
	/* We stood still ourselves, and what was said meanwhile is not read yet. */
	if (now - t->at_ns > most * UINT64_C(125000) && now - p->heard_ns > half * UINT64_C(1000000)) {
		p->heard_ns = now - half * UINT64_C(1000000);
		p->pinged = false;
	}
	silent_ms = (now - p->heard_ns) / 1000000;
	if (silent_ms >= most) {
		error_set(&err, ERR_CONNECT, "%s: nothing heard for %llu ms", link_name(p->link),
			(unsigned long long)silent_ms);
		pipeline_fail(p, &err);
		return;
	}
	if (p->opts.beat ? p->paused || !p->pinged : silent_ms >= half && !p->pinged) {
		p->pinged = true;
		p->ops->ping(p);
	}
	if (p->opts.beat && silent_ms < half)
		silent_ms = 0;
	loop_timer_set(p->b->loop, t, (silent_ms < half ? half : most) - silent_ms + 1);
}

/* ---- the connection ---- */

void
pipeline_ready(struct pipeline *p)
{
	p->heard_ns = loop_now_ns(p->b->loop);
	p->ready = true;
	p->held = p->pinged = false;
	link_ready(p->link);
	if (p->opts.keepalive_ms)
		loop_timer_set(p->b->loop, &p->alive, p->opts.keepalive_ms / 2 + 1);
	pipeline_send(p);
	if (p->opts.main && !p->ever) {
		p->ever = true;
		broker_connected(p->b, NULL);
	}
	p->ever = true;
}

static void
rest(struct pipeline *p)
{
	p->ready = p->failed = p->held = p->pinged = false;
	p->trials = p->fresh = 0;
	loop_timer_clear(p->b->loop, &p->alive);
	loop_task_cancel(&p->written);
}

void
pipeline_forget(struct pipeline *p, const struct error *why, bool again)
{
	rest(p);
	pipeline_fates(p, why, again, link_written(p->link));
}

static void
on_lost(struct link *l, const struct error *given, bool again)
{
	struct pipeline *p = link_arg(l);
	uint64_t written = link_written(l);
	struct error why = *given;
	bool tell = p->opts.main;

	rest(p);
	if (p->ops->lost && !p->ops->lost(p, &why, &again))
		tell = false;
	pipeline_fates(p, &why, again, written);
	if (again || !tell)
		return;
	if (p->ever)
		broker_failed(p->b, &why);
	else
		broker_connected(p->b, &why);
}

static void
on_open(struct link *l)
{
	struct pipeline *p = link_arg(l);

	rest(p);
	p->ops->greet(p);
}

static size_t
on_data(struct link *l, char *data, size_t n)
{
	struct pipeline *p = link_arg(l);
	size_t used;

	p->heard_ns = loop_now_ns(p->b->loop);
	p->pinged = false;
	used = p->ops->data(p, data, n);
	tell_taken(p);
	if (p->progress)
		link_progress(p->link);
	p->progress = false;
	return p->failed ? n : used;
}

static void
on_drained(struct link *l)
{
	tell_taken(link_arg(l));
}

static const struct link_ops pipeline_link_ops = {
	.on_open = on_open,
	.on_data = on_data,
	.on_drained = on_drained,
	.on_lost = on_lost,
};

void
pipeline_fail(struct pipeline *p, const struct error *err)
{
	if (p->failed)
		return;
	p->failed = true;
	link_fail(p->link, err);
}

void
pipeline_refused(struct pipeline *p, const struct error *err)
{
	if (p->failed)
		return;
	p->failed = true;
	link_refused(p->link, err);
}

void
pipeline_fail_next(struct pipeline *p, const struct error *err)
{
	if (p->failed)
		return;
	p->failed = true;
	link_fail_next(p->link, err);
}

void
pipeline_pause(struct pipeline *p, bool on)
{
	if (p->paused == on)
		return;
	p->paused = on;
	p->heard_ns = loop_clock_ns();
	link_pause(p->link, on);
}

/* ---- life ---- */

int
pipeline_relink(struct pipeline *p, const struct link_options *opts, struct error *err)
{
	link_free(p->link);
	p->opts.link = *opts;
	p->link = link_new(p->b->loop, &p->opts.link, &pipeline_link_ops, p, err);
	if (!p->link)
		return -1;
	link_pause(p->link, p->paused);
	return 0;
}

int
pipeline_open(struct pipeline *p, const struct pipeline_options *opts,
	const struct pipeline_ops *ops, void *arg, struct error *err)
{
	*p = (struct pipeline){ .b = opts->broker, .ops = ops, .arg = arg, .opts = *opts };
	p->ring.first = p->ring.next = p->fed = p->turn = p->taken = opts->first;
	p->alive.fn = alive;
	p->deadline.fn = pipeline_deadline;
	p->written.fn = written_task;
	p->alive.arg = p->deadline.arg = p->written.arg = p;
	return pipeline_relink(p, &opts->link, err);
}

void
pipeline_start(struct pipeline *p)
{
	link_start(p->link);
}

void
pipeline_close(struct pipeline *p)
{
	if (!p->b)
		return;
	rest(p);
	loop_timer_clear(p->b->loop, &p->deadline);
	link_close(p->link);
	p->fed = p->turn = p->taken = p->ring.first = p->ring.next;
	p->fed_at = 0;
	buf_clear(&p->keep);
}

void
pipeline_release(struct pipeline *p)
{
	if (!p->b)
		return;
	rest(p);
	loop_timer_clear(p->b->loop, &p->deadline);
	link_free(p->link);
	flight_release(&p->ring);
	buf_release(&p->keep);
	p->b = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection and its coming back: see link.h. The addresses it goes
 * through, and how they are worded, are in link_target.c.
 *
 * An attempt walks over all targets (where a redirect led, then the user's list) until
 * one connection is ready. Each gets its share of what is left of the time-out, so
 * that a dead one does not use it all up; stream_dial() shares that out among the IP
 * addresses of a name. What fails within a call of the user's is told by a task, from
 * the loop.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/link_impl.h"
#include "core/log.h"

enum {
	SHARE_MIN_MS = 250,		/* of the time-out, for one target */
	STABLE_MS = 1000,		/* between redirects that are not in a row */
	REDIRECTS_MAX = 16		/* in a row, each within STABLE_MS */
};

static void attempt_next(struct link *);

static void
link_drop(struct link *l)
{
	if (l->stream)
		l->written = stream_written(l->stream);
	stream_close(l->stream);
	l->stream = NULL;
	loop_timer_clear(l->loop, &l->timer);
	loop_task_cancel(&l->task);
}

/* ---- trying again ---- */

/* err: why there is no connection. false: this is the end. */
static bool
link_retry(struct link *l, struct error *err)
{
	int ms = retry_next(&l->retry, link_name(l), l->opts.broker->reconnect, err);

	l->state = ms < 0 ? LINK_IDLE : LINK_WAITING;
	if (ms >= 0)
		loop_timer_set(l->loop, &l->timer, (uint64_t)ms);
	return ms >= 0;
}

/* No target would have us. */
static void
attempt_over(struct link *l)
{
	struct error err = l->why;

	link_drop(l);
	if (!link_retry(l, &err))
		l->ops->on_lost(l, &err, false);
}

/* It was not: that is one failure of the attempt. */
static bool
link_lost_greeting(struct link *l, struct error *err)
{
	attempt_note(l, err);
	if (retry_is_final(err->kind) || !attempt_has_more(l)) {
		*err = l->why;
		return link_retry(l, err);
	}
	log_verbose("%s", err->text);
	l->state = LINK_NEXT;
	loop_defer(l->loop, &l->task);
	return true;
}

/* A connection that on_open was told of has gone. */
static void
link_lost(struct link *l, const struct error *given)
{
	struct error err = *given;
	bool ready = l->ready, again;

	link_drop(l);
	l->ready = false;
	if (ready)
		retry_lost(&l->retry, link_name(l), &err);
	again = ready ? link_retry(l, &err) : link_lost_greeting(l, &err);
	l->ops->on_lost(l, &err, again);
}

/* ---- the stream ---- */

static void
link_opened(struct stream *s)
{
	struct link *l = stream_arg(s);

	l->state = LINK_OPEN;
	l->heard = l->retry.refused = false;
	l->written = 0;
	stream_lazy(s, l->lazy_us);
	l->ops->on_open(l);
}

static size_t
link_data(struct stream *s, char *p, size_t n)
{
	struct link *l = stream_arg(s);

	l->heard = true;
	return l->ops->on_data(l, p, n);
}

static void
link_drained(struct stream *s)
{
	struct link *l = stream_arg(s);

	if (l->state != LINK_FAILING && l->ops->on_drained)
		l->ops->on_drained(l);
}

static void
link_closed(struct stream *s, const struct error *why)
{
	struct link *l = stream_arg(s);
	struct error err;

	if (l->state == LINK_FAILING)		/* the task is on its way */
		return;
	if (why)
		err = *why;
	else
		error_set(&err, ERR_CONNECT, "%s: the server closed the connection",
			link_name(l));
	if (l->state == LINK_OPEN && !l->heard)
		target_advise(l->target, &err);
	if (l->state != LINK_CONNECTING) {
		link_lost(l, &err);
		return;
	}
	link_drop(l);
	attempt_note(l, &err);
	log_verbose("%s", err.text);
	if (retry_is_final(err.kind))
		attempt_over(l);
	else
		attempt_next(l);
}

static const struct stream_ops link_stream_ops = {
	.on_open = link_opened,
	.on_data = link_data,
	.on_drained = link_drained,
	.on_closed = link_closed,
};

/* ---- an attempt ---- */

/* What the target at hand may take of what is left of the time-out. */
static unsigned
attempt_share_ms(const struct link *l)
{
	uint64_t now = loop_clock_ns(), left_ms, ms;

	if (!l->opts.broker->connect_timeout_ms)
		return 0;
	left_ms = l->deadline_ns > now ? (l->deadline_ns - now + 999999) / 1000000 : 0;
	ms = left_ms / (target_count(l) - l->at + 1);
	if (ms < SHARE_MIN_MS)
		ms = left_ms < SHARE_MIN_MS ? left_ms : SHARE_MIN_MS;
	return ms ? (unsigned)ms : 1;
}

/* false: not even begun, and noted why. */
static bool
attempt_target(struct link *l, const struct target *t)
{
	struct stream_limits limits = { .input_max = l->opts.input_max };
	struct error err;

	l->target = t;
	l->share_ms = limits.connect_timeout_ms = attempt_share_ms(l);
	l->stream = stream_dial(l->loop, t->name, &link_stream_ops, &limits, l, &err);
	if (l->stream && t->tls && !l->opts.tls_later &&
	    stream_start_tls(l->stream, l->tls, target_tls_name(t), &err) < 0) {
		stream_close(l->stream);
		l->stream = NULL;
	}
	if (!l->stream) {
		attempt_note(l, &err);
		return false;
	}
	/* The same bound holds for the greeting, which the stream knows nothing of;
	 * up to then it is the stream that words what was late. */
	if (l->share_ms)
		loop_timer_set(l->loop, &l->timer, l->share_ms + 1);
	l->state = LINK_CONNECTING;
	return true;
}

static void
attempt_next(struct link *l)
{
	while (attempt_has_more(l))
		if (attempt_target(l, target_at(l, l->at++)))
			return;
	l->state = LINK_MISSED;
	loop_defer(l->loop, &l->task);
}

static void
attempt_begin(struct link *l)
{
	l->why = (struct error)ERROR_INIT;
	l->at = 0;
	l->deadline_ns = loop_clock_ns() + l->opts.broker->connect_timeout_ms * 1000000ull;
	attempt_next(l);
}

/* ---- from the loop ---- */

static void
link_timeout(struct loop_timer *t)
{
	struct link *l = t->arg;
	struct error err;

	switch (l->state) {
	case LINK_WAITING:
		l->retry.tries++;
		attempt_begin(l);
		break;
	case LINK_OPEN:
		error_set(&err, ERR_CONNECT, "%s: no answer to the greeting within %u ms",
			link_name(l), l->share_ms);
		link_lost(l, &err);
		break;
	default:
		break;
	}
}

static void
link_move(struct link *l)
{
	struct error err = l->error;

	link_drop(l);
	l->ready = false;
	l->state = LINK_NEXT;
	attempt_begin(l);
	l->ops->on_lost(l, &err, true);
}

static void
link_task(struct loop_task *t)
{
	struct link *l = t->arg;

	switch (l->state) {
	case LINK_NEXT:
		attempt_next(l);
		break;
	case LINK_MISSED:
		attempt_over(l);
		break;
	case LINK_FAILING:
		if (l->moving)
			link_move(l);
		else
			link_lost(l, &l->error);
		break;
	default:
		break;
	}
}

/* ---- what the user calls ---- */

struct link *
link_new(struct loop *loop, const struct link_options *opts, const struct link_ops *ops,
	void *arg, struct error *err)
{
	static const struct tls_options by_scheme = { .on = true };
	const struct tls_options *given = opts->broker->tls;
	struct link *l = xcalloc(1, sizeof *l);

	l->loop = loop;
	l->opts = *opts;
	l->ops = ops;
	l->arg = arg;
	l->timer.fn = link_timeout;
	l->task.fn = link_task;
	l->timer.arg = l->task.arg = l;
	if (targets_parse(l, err) == 0) {
		for (size_t i = 0; i < l->ntargets; i++)
			l->secure |= l->targets[i].tls;
		if (l->secure)
			l->tls = tls_client(given ? given : &by_scheme, err);
		if (!l->secure || l->tls)
			return l;
	}
	link_free(l);
	return NULL;
}

void
link_free(struct link *l)
{
	if (!l)
		return;
	link_drop(l);
	tls_free(l->tls);
	targets_release(l);
	free(l);
}

void
link_start(struct link *l)
{
	link_drop(l);
	retry_begin(&l->retry);
	l->ready = l->moving = false;
	l->redirects = 0;
	l->from = 0;
	attempt_begin(l);
}

void
link_close(struct link *l)
{
	if (l->stream) {
		stream_flush(l->stream);
		stream_shutdown(l->stream);
		stream_flush(l->stream);
	}
	link_drop(l);
	l->ready = false;
	l->state = LINK_IDLE;
}

void
link_ready(struct link *l)
{
	if (l->state != LINK_OPEN)
		return;
	loop_timer_clear(l->loop, &l->timer);
	l->state = LINK_READY;
	l->ready = true;
	retry_ready(&l->retry, link_name(l));
	if (l->paused)
		stream_pause(l->stream, true);
}

static void
link_end(struct link *l)
{
	l->state = LINK_FAILING;
	loop_timer_clear(l->loop, &l->timer);
	stream_pause(l->stream, true);
	loop_defer(l->loop, &l->task);
}

static void
link_fail_as(struct link *l, const struct error *err, bool refused)
{
	if (l->state != LINK_OPEN && l->state != LINK_READY)
		return;
	l->error = *err;
	l->moving = false;
	l->retry.refused = refused;
	link_end(l);
}

void
link_fail(struct link *l, const struct error *err)
{
	link_fail_as(l, err, false);
}

void
link_refused(struct link *l, const struct error *err)
{
	link_fail_as(l, err, true);
}

void
link_trial(struct link *l, bool on)
{
	if (l->state == LINK_READY)
		l->retry.refused = on;
}

void
link_progress(struct link *l)
{
	retry_progress(&l->retry);
}

void
link_comes_back(struct link *l, bool on)
{
	l->retry.stays_away = !on;
}

void
link_fail_next(struct link *l, const struct error *err)
{
	if (l->state == LINK_OPEN || l->state == LINK_READY)
		target_skip(l);
	link_fail(l, err);
}

int
link_redirect(struct link *l, struct bytes address, struct error *err)
{
	uint64_t now = loop_clock_ns();

	if (now - l->redirect_ns > STABLE_MS * 1000000ull)
		l->redirects = 0;
	if (++l->redirects > REDIRECTS_MAX)
		return error_set(err, ERR_CONNECT, "%s: redirected %d times in a row",
			link_name(l), (int)REDIRECTS_MAX);
	l->redirect_ns = now;
	if (target_redirect(l, address, err) < 0)
		return -1;
	if (l->state != LINK_OPEN && l->state != LINK_READY)
		return 0;
	error_set(&l->error, ERR_CONNECT, "redirected to %s", l->elsewhere.name);
	l->moving = true;
	link_end(l);
	return 0;
}

bool
link_wants_tls(const struct link *l)
{
	return (l->target ? l->target : l->targets)->tls;
}

int
link_secure(struct link *l, struct error *err)
{
	return stream_start_tls(l->stream, l->tls, target_tls_name(l->target), err);
}

void
link_learn(struct link *l, struct bytes address)
{
	target_learn(l, address);
}

void *
link_arg(const struct link *l)
{
	return l->arg;
}

bool
link_is_ready(const struct link *l)
{
	return l->state == LINK_READY;
}

const struct address *
link_address(const struct link *l)
{
	return &(l->target ? l->target : l->targets)->address;
}

const char *
link_name(const struct link *l)
{
	return (l->target ? l->target : l->targets)->name;
}

size_t
link_addresses(const struct link *l)
{
	return l->ntargets;
}

struct buf *
link_out(struct link *l)
{
	return stream_out(l->stream);
}

void
link_kick(struct link *l)
{
	stream_kick(l->stream);
}

void
link_flush(struct link *l)
{
	stream_flush(l->stream);
}

uint64_t
link_written(const struct link *l)
{
	return l->stream ? stream_written(l->stream) : l->written;
}

uint64_t
link_begun(const struct link *l)
{
	return l->stream ? stream_begun(l->stream) : l->written;
}

void
link_lazy(struct link *l, unsigned us)
{
	l->lazy_us = us;
	if (l->stream)
		stream_lazy(l->stream, us);
}

void
link_pause(struct link *l, bool on)
{
	l->paused = on;
	if (l->state == LINK_READY)
		stream_pause(l->stream, on);
}

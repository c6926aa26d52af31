/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are open: reading, writing, and how they end. How they come to be
 * open is in stream_connect.c and listener.c, what moves their bytes in
 * stream_plain.c and the tls module.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/stream_impl.h"

/* A read begins small and doubles while it comes back full: one system call then
 * brings hundreds of pipelined messages. It goes into a place that all streams of
 * the thread share; a stream keeps only what on_data left of it, so that ten
 * thousand idle connections have no input buffers at all. */
enum {
	READ_FIRST = 4 * 1024,
	READ_MAX = 256 * 1024,
	CARRY_MAX = 64 * 1024,		/* left-overs up to here go to the shared place */
	INPUT_MAX = 16 * 1024 * 1024,
	SMALL = 4 * 1024,		/* a buffer worth no thought */
	KEEP_MAX = 1024 * 1024		/* an emptied output buffer over this is freed */
};

static __thread char *shared;		/* CARRY_MAX + READ_MAX */

/* ---- state ---- */

void
stream_watch(struct stream *s)
{
	unsigned want = 0;

	if (!s->watch.added)
		return;
	if (s->open && !s->paused && !s->eof && !s->napping)
		want |= s->read_wants;
	if (s->connecting || buf_len(&s->out) || s->shut_again)
		want |= s->write_wants;
	if (s->broken)
		want &= ~(unsigned)LOOP_WRITE;
	if (s->shaking && !s->connecting)
		want = s->read_wants;
	loop_fd_set(s->loop, &s->watch, want);
}

void
stream_touch(struct stream *s)
{
	s->active_ns = loop_now_ns(s->loop);
}

void
stream_ended(struct stream *s, const struct error *err)
{
	s->open = s->connecting = false;
	stream_dial_end(s);
	loop_fd_del(s->loop, &s->watch);
	loop_timer_clear(s->loop, &s->timer);
	loop_timer_clear(s->loop, &s->again);
	s->ops->on_closed(s, err);
}

void
stream_failed(struct stream *s, const char *doing)
{
	struct error err;

	if (s->told)
		err = s->error;
	else
		error_sys(&err, ERR_CONNECT, "%s: %s", s->peer, doing);
	stream_ended(s, &err);
}

/* Gives the user n bytes; returns how many were taken. */
static size_t
stream_hand(struct stream *s, char *p, size_t n)
{
	size_t used = 0, took;

	while (used < n && !s->paused && !s->dead) {
		took = s->ops->on_data(s, p + used, n - used);
		used += took;
		if (took == 0)
			break;
	}
	return used;
}

/* A little that is left in a large buffer moves to a small one. */
static void
stream_shrink(struct buf *b)
{
	struct buf small = BUF_INIT;

	if (b->cap && !buf_len(b)) {
		buf_release(b);
	} else if (b->cap > SMALL && buf_len(b) < b->cap / 8) {
		buf_add(&small, buf_data(b), buf_len(b));
		buf_release(b);
		*b = small;
	}
}

/* What is left has been kept. false: it is too much. */
static bool
stream_given(struct stream *s)
{
	if (!s->paused && buf_len(&s->in) >= s->limits.input_max) {
		struct error err;

		error_set(&err, ERR_CONNECT, "%s: sent more than %zu bytes that make no message",
			s->peer, s->limits.input_max);
		stream_ended(s, &err);
		return false;
	}
	return !s->dead;
}

/* Gives the user what was kept. false: the stream is gone or has ended. */
static bool
stream_give(struct stream *s)
{
	size_t used = stream_hand(s, buf_data(&s->in), buf_len(&s->in));

	if (s->dead)
		return false;
	buf_consume(&s->in, used);
	stream_shrink(&s->in);
	return stream_given(s);
}

/* The same with n bytes in the shared place, the kept ones in front. */
static void
stream_give_shared(struct stream *s, size_t n)
{
	size_t used = stream_hand(s, shared, n);

	if (s->dead)
		return;
	buf_clear(&s->in);
	buf_add(&s->in, shared + used, n - used);
	stream_shrink(&s->in);
	stream_given(s);
}

/* Whether something came. */
static bool
stream_read(struct stream *s)
{
	size_t room = s->read_size, kept = buf_len(&s->in);
	bool share = kept <= CARRY_MAX;
	unsigned wanted = s->read_wants;
	ssize_t n;

	if (!shared)
		shared = xmalloc(CARRY_MAX + READ_MAX);
	n = s->transport->read(s, share ? shared + kept : buf_room(&s->in, room), room);
	if (n > 0) {
		stream_touch(s);
		if ((size_t)n == room && s->read_size < READ_MAX)
			s->read_size *= 2;
		if (share) {
			if (kept)
				memcpy(shared, buf_data(&s->in), kept);
			stream_give_shared(s, kept + (size_t)n);
		} else {
			buf_added(&s->in, (size_t)n);
			stream_give(s);
		}
		if (!s->dead && s->open && !s->eof && s->more)
			loop_timer_set_at(s->loop, &s->again, s->active_ns);
	} else if (n == 0 && s->broken) {
		stream_ended(s, &s->error);
	} else if (n == 0) {
		s->eof = true;
		stream_watch(s);
		s->ops->on_closed(s, NULL);
	} else if (errno != EAGAIN && errno != EINTR) {
		stream_failed(s, s->broken ? "connection lost" : "cannot read");
		return false;
	}
	if (s->read_wants != wanted && !s->dead)
		stream_watch(s);
	return n > 0;
}

static void
stream_nap(struct stream *s)
{
	s->napping = true;
	loop_timer_set_at(s->loop, &s->again, loop_clock_ns() + s->lazy_us * 1000u);
}

/* What the transport holds is no reason for epoll to wake us; nor is anything while
 * we nap. The nap ends when nothing has come meanwhile. */
static void
stream_again(struct loop_timer *t)
{
	struct stream *s = t->arg;
	bool came = s->open && !s->paused && !s->eof && stream_read(s);

	if (s->dead || !s->napping)
		return;
	if (came && s->open && !s->paused && !s->eof && !s->more) {
		stream_nap(s);
		return;
	}
	s->napping = false;
	stream_watch(s);
}

static void
stream_write(struct stream *s)
{
	bool waited = s->waiting;

	while (s->open && !s->broken && buf_len(&s->out)) {
		ssize_t n = s->transport->write(s, buf_data(&s->out), buf_len(&s->out));

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				break;
			/* What the peer said before it went may still be in our
			 * input; reading on finds that, and then the end. */
			if (!s->told)
				error_sys(&s->error, ERR_CONNECT, "%s: cannot write", s->peer);
			s->broken = true;
			break;
		}
		stream_touch(s);
		s->written += (size_t)n;
		buf_consume(&s->out, (size_t)n);
	}
	if (s->broken)
		buf_clear(&s->out);
	s->waiting = buf_len(&s->out) > 0;
	s->drained |= waited && !s->waiting;
	if (!s->waiting) {
		if (s->out.cap > KEEP_MAX)
			buf_release(&s->out);
		if (s->shut && s->open && !s->shut_done) {
			s->shut_done = s->broken || s->transport->shutdown(s);
			s->shut_again = !s->shut_done;
		}
	}
	stream_watch(s);
	if (s->broken && s->eof)	/* no read will find it */
		loop_defer(s->loop, &s->resume);
}

static void
stream_ready(struct loop_fd *w, unsigned ready)
{
	struct stream *s = w->arg;

	if (s->connecting || s->shaking) {
		stream_comes(s, ready);
		return;
	}
	if (ready & s->write_wants) {
		stream_write(s);
		if (s->drained && s->ops->on_drained) {
			s->drained = false;
			s->ops->on_drained(s);
		}
	}
	if (s->dead || !s->open || !(ready & s->read_wants))
		return;
	if (s->eof) {
		errno = EPIPE;
		stream_failed(s, "connection lost");
		return;
	}
	if (s->paused) {
		/* A hang-up is reported whether asked for or not; looking away is
		 * the only way not to spin until the user reads again. */
		loop_fd_del(s->loop, &s->watch);
		return;
	}
	if (s->lazy_us && !s->napping && loop_at_once(s->loop)) {
		stream_nap(s);
		stream_watch(s);
		return;
	}
	stream_read(s);
}

static void
stream_timeout(struct loop_timer *t)
{
	struct stream *s = t->arg;
	struct error err;
	uint64_t idle_ms;

	if (s->connecting || s->shaking) {
		stream_late(s);
		return;
	}
	idle_ms = (loop_clock_ns() - s->active_ns) / 1000000;
	if (idle_ms + 1 < s->limits.idle_timeout_ms) {
		loop_timer_set(s->loop, t, s->limits.idle_timeout_ms - idle_ms);
		return;
	}
	error_set(&err, ERR_CONNECT, "%s: nothing for %u ms", s->peer, s->limits.idle_timeout_ms);
	stream_ended(s, &err);
}

static void
stream_flush_task(struct loop_task *t)
{
	struct stream *s = t->arg;

	stream_write(s);
}

static void
stream_resume_task(struct loop_task *t)
{
	struct stream *s = t->arg;
	struct error err;

	if (s->broken && s->eof && s->open) {
		stream_ended(s, &s->error);
		return;
	}
	if (s->drained) {
		s->drained = false;
		if (s->ops->on_drained)
			s->ops->on_drained(s);
	}
	if (s->paused || s->dead || !s->open)
		return;
	if (!stream_give(s) || s->paused || !s->open)
		return;
	if (!s->watch.added && loop_fd_add(s->loop, &s->watch, s->watch.fd, 0, &err) < 0) {
		stream_ended(s, &err);
		return;
	}
	stream_watch(s);
	if (s->more)
		loop_timer_set_at(s->loop, &s->again, 0);
}

static void
stream_free_task(struct loop_task *t)
{
	struct stream *s = t->arg;

	buf_release(&s->in);
	buf_release(&s->out);
	free(s);
}

/* ---- making and ending ---- */

struct stream *
stream_make(struct loop *loop, int fd, const struct stream_ops *ops,
	const struct stream_limits *limits, void *arg)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	s->transport = &transport_plain;
	if (limits)
		s->limits = *limits;
	if (!s->limits.input_max)
		s->limits.input_max = INPUT_MAX;
	s->read_size = READ_FIRST;
	s->read_wants = LOOP_READ;
	s->write_wants = LOOP_WRITE;
	s->watch.fd = fd;
	s->watch.fn = stream_ready;
	s->watch.arg = s;
	s->timer.fn = stream_timeout;
	s->again.fn = stream_again;
	s->flush.fn = stream_flush_task;
	s->resume.fn = stream_resume_task;
	s->free.fn = stream_free_task;
	s->timer.arg = s->again.arg = s->flush.arg = s->resume.arg = s->free.arg = s;
	return s;
}

/* Closing with unread input resets the connection, and then the peer may not see what
 * we said last. */
static void
stream_discard(int fd)
{
	char waste[16 * 1024];

	for (int i = 0; i < 64 && recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0; i++)
		;
}

void
stream_close(struct stream *s)
{
	if (!s || s->dead)
		return;
	s->dead = true;
	s->open = false;
	stream_dial_end(s);
	loop_fd_del(s->loop, &s->watch);
	loop_timer_clear(s->loop, &s->timer);
	loop_timer_clear(s->loop, &s->again);
	loop_task_cancel(&s->flush);
	loop_task_cancel(&s->resume);
	if (s->shut_done && !s->eof && !s->broken)
		stream_discard(s->watch.fd);
	s->transport->close(s);
	loop_defer(s->loop, &s->free);
}

/* ---- using ---- */

void *
stream_arg(const struct stream *s)
{
	return s->arg;
}

void
stream_set_arg(struct stream *s, void *arg)
{
	s->arg = arg;
}

const char *
stream_peer(const struct stream *s)
{
	return s->peer;
}

struct buf *
stream_out(struct stream *s)
{
	return &s->out;
}

void
stream_kick(struct stream *s)
{
	if (s->open && !s->waiting)
		loop_defer(s->loop, &s->flush);
}

void
stream_flush(struct stream *s)
{
	loop_task_cancel(&s->flush);
	if (!s->open)
		return;
	stream_write(s);
	if (s->drained)		/* told by the loop only */
		loop_defer(s->loop, &s->resume);
}

void
stream_pause(struct stream *s, bool on)
{
	if (s->paused == on)
		return;
	s->paused = on;
	if (!on)
		loop_defer(s->loop, &s->resume);
	else
		stream_watch(s);
}

void
stream_lazy(struct stream *s, unsigned us)
{
	s->lazy_us = us;
}

bool
stream_is_open(const struct stream *s)
{
	return s->open && !s->broken;
}

size_t
stream_memory(const struct stream *s)
{
	return s->in.end + s->out.cap;
}

uint64_t
stream_written(const struct stream *s)
{
	return s->written;
}

uint64_t
stream_begun(const struct stream *s)
{
	return s->written + s->begun;
}

void
stream_trim(struct stream *s)
{
	if (!buf_len(&s->out))
		buf_release(&s->out);
}

bool
stream_is_shaking(const struct stream *s)
{
	return s->shaking;
}

void
stream_shutdown(struct stream *s)
{
	s->shut = true;
	stream_kick(s);
}

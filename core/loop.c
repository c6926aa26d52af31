/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop over epoll: see loop.h. Signals come through a signalfd, so
 * that they are handled like everything else and never in the middle of it. */
#include "core/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "core/buf.h"

enum { LOOP_BATCH = 64, LOOP_SIGNALS = 8 };

struct loop_signal {
	int signo;
	void (*fn)(int, void *);
	void *arg;
};

struct loop {
	int epoll;
	bool stop;
	bool coarse;			/* no epoll_pwait2() here */
	uint64_t now_ns;
	/* Descriptors of the turn under way: an entry is cleared when its watch
	 * is removed by a callback before its own turn came. */
	struct epoll_event ready[LOOP_BATCH];
	int nready;
	struct loop_fd *always;		/* those epoll refuses: regular files */
	struct loop_fd *next_always;	/* of the walk over them that is under way */
	struct loop_timer **heap;	/* a binary heap, the earliest first */
	size_t ntimers, cap_timers;
	struct loop_task tasks;		/* a ring, this one its end */
	struct loop_idle *idle, *next_idle;	/* likewise */
	bool at_once;			/* busy was so when this turn began */
	bool again;			/* loop_again() */
	uint64_t asked_ns;		/* when the kernel was asked last */
	bool busy;			/* something ran since the idle hooks did */
	uint64_t busy_since_ns;
	struct loop_fd signal_fd;
	sigset_t signals;
	struct loop_signal on_signal[LOOP_SIGNALS];
	int nsignals;
};

uint64_t
loop_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
loop_now_ns(const struct loop *l)
{
	return l->now_ns;
}

bool
loop_at_once(const struct loop *l)
{
	return l->at_once;
}

static void run_tasks(struct loop *);

struct loop *
loop_new(struct error *err)
{
	struct loop *l = xcalloc(1, sizeof *l);

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		error_sys(err, ERR_LOCAL_IO, "cannot make an event loop");
		free(l);
		return NULL;
	}
	l->signal_fd.fd = -1;
	l->tasks.next = l->tasks.prev = &l->tasks;
	sigemptyset(&l->signals);
	l->now_ns = loop_clock_ns();
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	run_tasks(l);		/* streams that were closed are freed there */
	if (l->signal_fd.fd >= 0) {
		close(l->signal_fd.fd);
		sigprocmask(SIG_UNBLOCK, &l->signals, NULL);
	}
	close(l->epoll);
	free(l->heap);
	free(l);
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

/* ---- descriptors ---- */

int
loop_fd_add(struct loop *l, struct loop_fd *w, int fd, unsigned events, struct error *err)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	w->fd = fd;
	w->events = events;
	w->always = false;
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
		if (errno != EPERM)
			return error_sys(err, ERR_LOCAL_IO, "cannot watch descriptor %d", fd);
		w->always = true;
		w->next_always = l->always;
		l->always = w;
	}
	w->added = true;
	return 0;
}

void
loop_fd_set(struct loop *l, struct loop_fd *w, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (!w->added || w->events == events)
		return;
	w->events = events;
	if (!w->always)
		epoll_ctl(l->epoll, EPOLL_CTL_MOD, w->fd, &ev);
}

void
loop_fd_del(struct loop *l, struct loop_fd *w)
{
	if (!w->added)
		return;
	w->added = false;
	if (w->always) {
		struct loop_fd **p = &l->always;

		while (*p != w)
			p = &(*p)->next_always;
		*p = w->next_always;
		if (l->next_always == w)
			l->next_always = w->next_always;
		return;
	}
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = 0; i < l->nready; i++)
		if (l->ready[i].data.ptr == w)
			l->ready[i].data.ptr = NULL;
}

/* ---- timers ---- */

static void
timer_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void
timer_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	while (i > 0) {
		size_t parent = (i - 1) / 2;

		if (l->heap[parent]->at_ns <= t->at_ns)
			break;
		timer_put(l, i, l->heap[parent]);
		i = parent;
	}
	timer_put(l, i, t);
}

static void
timer_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= l->ntimers)
			break;
		if (child + 1 < l->ntimers && l->heap[child + 1]->at_ns < l->heap[child]->at_ns)
			child++;
		if (t->at_ns <= l->heap[child]->at_ns)
			break;
		timer_put(l, i, l->heap[child]);
		i = child;
	}
	timer_put(l, i, t);
}

void
loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	size_t i = t->slot - 1;

	if (!t->slot)
		return;
	t->slot = 0;
	l->ntimers--;
	if (i == l->ntimers)
		return;
	l->heap[i] = l->heap[l->ntimers];
	timer_down(l, i);
	timer_up(l, l->heap[i]->slot - 1);
}

void
loop_timer_set_at(struct loop *l, struct loop_timer *t, uint64_t at_ns)
{
	loop_timer_clear(l, t);
	t->at_ns = at_ns;
	if (l->ntimers == l->cap_timers) {
		l->cap_timers = l->cap_timers ? 2 * l->cap_timers : 16;
		l->heap = xrealloc(l->heap, l->cap_timers * sizeof(struct loop_timer *));
	}
	l->heap[l->ntimers] = t;
	timer_up(l, l->ntimers++);
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	/* From the clock, not from the turn's beginning: a long callback must not
	 * eat up a short delay. */
	loop_timer_set_at(l, t, loop_clock_ns() + delay_ms * 1000000u);
}

static void
set_busy(struct loop *l)
{
	if (!l->busy)
		l->busy_since_ns = l->now_ns;
	l->busy = true;
}

static void
run_timers(struct loop *l)
{
	/* One that sets itself again with no delay runs in the next turn. */
	uint64_t now = l->now_ns;

	while (l->ntimers && l->heap[0]->at_ns <= now) {
		struct loop_timer *t = l->heap[0];

		loop_timer_clear(l, t);
		set_busy(l);
		t->fn(t);
	}
}

/* ---- deferred work and idle hooks ---- */

void
loop_defer(struct loop *l, struct loop_task *t)
{
	if (t->prev)
		return;
	t->next = &l->tasks;
	t->prev = l->tasks.prev;
	t->prev->next = t;
	l->tasks.prev = t;
}

void
loop_task_cancel(struct loop_task *t)
{
	if (!t->prev)
		return;
	t->prev->next = t->next;
	t->next->prev = t->prev;
	t->prev = NULL;
}

static void
run_tasks(struct loop *l)
{
	while (l->tasks.next != &l->tasks) {
		struct loop_task *t = l->tasks.next;

		loop_task_cancel(t);
		t->fn(t);
	}
}

void
loop_again(struct loop *l)
{
	set_busy(l);
	l->again = true;
}

void
loop_idle_add(struct loop *l, struct loop_idle *h)
{
	struct loop_idle **p = &l->idle;

	while (*p)
		p = &(*p)->next;
	h->next = NULL;
	*p = h;
}

void
loop_idle_del(struct loop *l, struct loop_idle *h)
{
	for (struct loop_idle **p = &l->idle; *p; p = &(*p)->next)
		if (*p == h) {
			*p = h->next;
			if (l->next_idle == h)
				l->next_idle = h->next;
			return;
		}
}

static void
run_idle(struct loop *l)
{
	l->busy = false;
	for (struct loop_idle *h = l->idle; h; h = l->next_idle) {
		l->next_idle = h->next;
		h->fn(h);
	}
	run_tasks(l);
}

/* ---- signals ---- */

static void
signal_ready(struct loop_fd *w, unsigned ready)
{
	struct loop *l = w->arg;
	struct signalfd_siginfo info;

	(void)ready;
	while (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info)
		for (int i = 0; i < l->nsignals; i++)
			if (l->on_signal[i].signo == (int)info.ssi_signo)
				l->on_signal[i].fn((int)info.ssi_signo, l->on_signal[i].arg);
}

int
loop_signal(struct loop *l, int signo, void (*fn)(int, void *), void *arg, struct error *err)
{
	int fd;

	if (l->nsignals == LOOP_SIGNALS)
		return error_set(err, ERR_LOCAL_IO, "too many signals watched");
	sigaddset(&l->signals, signo);
	fd = signalfd(l->signal_fd.fd, &l->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "cannot watch signal %d", signo);
	sigprocmask(SIG_BLOCK, &l->signals, NULL);
	l->on_signal[l->nsignals++] = (struct loop_signal){ signo, fn, arg };
	if (l->signal_fd.fd >= 0)
		return 0;
	l->signal_fd.fn = signal_ready;
	l->signal_fd.arg = l;
	return loop_fd_add(l, &l->signal_fd, fd, LOOP_READ, err);
}

/* ---- running ---- */

/* How long to wait for descriptors: 0 not at all, -1 for ever, else ns. */
static int64_t
wait_ns(const struct loop *l)
{
	uint64_t at;

	if (l->busy)
		return 0;
	for (const struct loop_fd *w = l->always; w; w = w->next_always)
		if (w->events)
			return 0;
	if (!l->ntimers)
		return -1;
	at = l->heap[0]->at_ns;
	return at <= l->now_ns ? 0 : (int64_t)(at - l->now_ns);
}

/* epoll_wait() counts in milliseconds and rounds up, which a one-shot publisher
 * would feel; epoll_pwait2() (Linux 5.11) in nanoseconds. */
static int
wait_ready(struct loop *l)
{
	int64_t ns = wait_ns(l);
	int n;

	/* A timer is for a moment, however long this turn took since it read the clock. */
	if (ns > 0) {
		l->now_ns = loop_clock_ns();
		ns = wait_ns(l);
	}
	if (ns > 0 && !l->coarse) {
		struct timespec ts = { ns / 1000000000, ns % 1000000000 };

		n = epoll_pwait2(l->epoll, l->ready, LOOP_BATCH, &ts, NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		l->coarse = true;
	}
	if (ns > 1000000000)
		ns = 1000000000;
	return epoll_wait(l->epoll, l->ready, LOOP_BATCH,
		ns > 0 ? (int)((ns + 999999) / 1000000) : (int)ns);
}

static bool
run_ready(struct loop *l)
{
	bool any = l->nready > 0;

	for (int i = 0; i < l->nready; i++) {
		struct loop_fd *w = l->ready[i].data.ptr;
		unsigned ev = l->ready[i].events, ready = 0;

		if (!w)
			continue;
		if (ev & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
			ready |= LOOP_READ;
		if (ev & (EPOLLOUT | EPOLLERR))
			ready |= LOOP_WRITE;
		w->fn(w, ready);
	}
	l->nready = 0;
	/* A callback may remove any of them: loop_fd_del() steps over it. */
	for (struct loop_fd *w = l->always; w; w = l->next_always) {
		l->next_always = w->next_always;
		if (w->events) {
			any = true;
			w->fn(w, w->events);
		}
	}
	return any;
}

/* A turn without a look at the descriptors; false: it is time for one. */
static bool
run_blind(struct loop *l)
{
	l->again = false;
	l->now_ns = loop_clock_ns();
	if (l->now_ns - l->asked_ns >= LOOP_BLIND_US * 1000u)
		return false;
	run_timers(l);
	run_tasks(l);
	run_idle(l);
	return true;
}

void
loop_run(struct loop *l)
{
	while (!l->stop) {
		int n;

		run_tasks(l);
		if (l->stop)
			break;
		l->at_once = l->busy;
		if (l->again && run_blind(l))
			continue;
		n = wait_ready(l);
		l->asked_ns = l->now_ns = loop_clock_ns();
		l->nready = n > 0 ? n : 0;
		if (run_ready(l)) {
			set_busy(l);
			run_timers(l);
			run_tasks(l);
			if (l->now_ns - l->busy_since_ns < LOOP_IDLE_MAX_MS * 1000000u)
				continue;
			run_idle(l);
		} else {
			run_timers(l);
			run_tasks(l);
			if (l->busy)
				run_idle(l);
		}
	}
	run_tasks(l);
	run_idle(l);
	l->stop = false;
}

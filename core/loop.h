/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: file descriptors, timers, signals and deferred work of one
 * thread, over epoll. Each broker uses one loop; `mbus pub` and `mbus sub`
 * have one in all, `bench` one per worker. Nothing here is shared between
 * threads.
 *
 * Watches, timers and tasks are structs embedded in their user's own: the loop
 * allocates nothing per event. They must stay where they are while they are
 * added. Each may be removed, and its memory freed, from within any callback,
 * its own included: the loop never looks at it again.
 *
 * One turn of the loop:
 *	1. callbacks of all descriptors that are ready, then of due timers;
 *	2. the tasks deferred meanwhile (loop_defer), e.g. writing what the
 *	   callbacks put into a stream's output buffer;
 *	3. when nothing more is ready: the idle hooks (stdout is flushed there,
 *	   so that it is flushed at once when idle and in batches when busy;
 *	   at the latest LOOP_IDLE_MAX_MS after the last time);
 *	4. waiting.
 */
#ifndef MBUS_CORE_LOOP_H
#define MBUS_CORE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define LOOP_IDLE_MAX_MS 5
#define LOOP_BLIND_US 100

struct loop;

struct loop *loop_new(struct error *);		/* NULL on failure */
void loop_free(struct loop *);

/* Runs until loop_stop(), which may have come before; what is ready by then in the
 * same turn still runs. */
void loop_run(struct loop *);
void loop_stop(struct loop *);

/* CLOCK_MONOTONIC in ns, read once a turn; loop_clock_ns() reads it now. */
uint64_t loop_now_ns(const struct loop *);
uint64_t loop_clock_ns(void);
/* What this turn handles was there before the loop waited for it: there is more to do
 * than it keeps up with, one by one. */
bool loop_at_once(const struct loop *);

/* Descriptors. A regular file, which epoll refuses, counts as always ready. */
enum { LOOP_READ = 1, LOOP_WRITE = 4 };		/* EPOLLIN, EPOLLOUT */

struct loop_fd {
	void (*fn)(struct loop_fd *, unsigned ready);	/* set by the user */
	void *arg;					/* set by the user */
	int fd;
	unsigned events;		/* 0: only errors and hang-ups */
	bool added, always;
	struct loop_fd *next_always;
};

/* fn and arg must be set. ready has LOOP_READ also on end of file, hang-up and
 * error (a read then tells which), LOOP_WRITE also on error. */
int loop_fd_add(struct loop *, struct loop_fd *, int fd, unsigned events, struct error *);
void loop_fd_set(struct loop *, struct loop_fd *, unsigned events);
void loop_fd_del(struct loop *, struct loop_fd *);	/* does not close; idempotent */

/* Timers: one shot, milliseconds from now; setting again moves it. */
struct loop_timer {
	void (*fn)(struct loop_timer *);
	void *arg;
	uint64_t at_ns;
	size_t slot;			/* index in the heap + 1; 0: not set */
};

void loop_timer_set(struct loop *, struct loop_timer *, uint64_t delay_ms);
/* The same at a moment of loop_clock_ns(); one that has passed: in the next turn. */
void loop_timer_set_at(struct loop *, struct loop_timer *, uint64_t at_ns);
void loop_timer_clear(struct loop *, struct loop_timer *);
static inline bool loop_timer_is_set(const struct loop_timer *t) { return t->slot != 0; }

/* Work to be done once at the end of this turn; deferring twice is once. */
struct loop_task {
	void (*fn)(struct loop_task *);
	void *arg;
	struct loop_task *next, *prev;	/* prev NULL: not deferred */
};

void loop_defer(struct loop *, struct loop_task *);
/* From a task: this turn has found something to do without being told by a descriptor,
 * and the next one shall begin without waiting. It is a turn like any other, but that
 * the loop asks the kernel for ready descriptors only if the last time was
 * LOOP_BLIND_US ago. For what is shared memory, and looked at. */
void loop_again(struct loop *);
void loop_task_cancel(struct loop_task *);		/* idempotent */

/* Hooks run each time when nothing more is ready, in the order added. */
struct loop_idle {
	void (*fn)(struct loop_idle *);
	void *arg;
	struct loop_idle *next;
};

void loop_idle_add(struct loop *, struct loop_idle *);
void loop_idle_del(struct loop *, struct loop_idle *);

/* The signal is blocked and delivered by the loop from then on. fn runs in the
 * loop, not in a handler. */
int loop_signal(struct loop *, int signo, void (*fn)(int signo, void *arg), void *arg,
	struct error *);

#endif

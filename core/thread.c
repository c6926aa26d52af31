/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for calls that block: see thread.h. */
#include "core/thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/buf.h"

static bool abandoned;

void
thread_abandon(void)
{
	abandoned = true;
}

bool
thread_abandoned(void)
{
	return abandoned;
}

int
thread_start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t id;
	sigset_t all, before;
	int code;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&id, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return code;
}

/* ---- a call that must not take long ---- */

enum { RUNNING, ENDED, GIVEN_UP };

struct bounded {
	void (*fn)(void *);
	void *arg;
	int state;
	int ended;			/* eventfd */
};

static void
bounded_free(struct bounded *b)
{
	close(b->ended);
	free(b);
}

static void *
bounded_run(void *arg)
{
	struct bounded *b = arg;

	b->fn(b->arg);
	if (__atomic_exchange_n(&b->state, ENDED, __ATOMIC_ACQ_REL) == GIVEN_UP)
		bounded_free(b);
	else
		eventfd_write(b->ended, 1);
	return NULL;
}

static bool
bounded_wait(struct bounded *b, int timeout_ms)
{
	struct pollfd p = { .fd = b->ended, .events = POLLIN };
	sigset_t ends, before;
	int n;

	/* The loop has them blocked and is not there to see them. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &ends, &before);
	n = poll(&p, 1, timeout_ms);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n > 0;
}

bool
thread_bounded(void (*fn)(void *), void *arg, unsigned timeout_ms)
{
	struct bounded *b = xcalloc(1, sizeof *b);
	eventfd_t n;

	b->fn = fn;
	b->arg = arg;
	b->ended = eventfd(0, EFD_CLOEXEC);
	if (b->ended < 0 || thread_start(bounded_run, b) != 0) {
		if (b->ended >= 0)
			close(b->ended);
		free(b);
		fn(arg);
		return true;
	}
	if (!bounded_wait(b, (int)timeout_ms) &&
	    __atomic_exchange_n(&b->state, GIVEN_UP, __ATOMIC_ACQ_REL) != ENDED) {
		thread_abandon();
		return false;
	}
	/* It may be about to say so, and is not to find it closed. */
	while (eventfd_read(b->ended, &n) < 0 && errno == EINTR)
		;
	bounded_free(b);
	return true;
}

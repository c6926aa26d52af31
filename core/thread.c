/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for calls that block: see thread.h. */
#include "core/thread.h"

#include <pthread.h>
#include <signal.h>

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

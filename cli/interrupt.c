/* SPDX-License-Identifier: Apache-2.0 */
/* See interrupt.h. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

void
interrupt_die(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	signal(signo, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signo);
	exit(128 + signo);
}

static sigset_t watched;
static pid_t watcher;			/* a child has no part in it */

void
interrupt_release(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	if (watcher != getpid())
		return;
	for (size_t n = 0; n < sizeof signals / sizeof *signals; n++)
		if (sigismember(&watched, signals[n]) == 1)
			signal(signals[n], SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &watched, NULL);
}

static void
interrupted(int signo, void *arg)
{
	struct interrupt *i = arg;

	if (i->signo)
		interrupt_die(signo);
	i->signo = signo;
	i->fn(i);
}

int
interrupt_watch(struct interrupt *i, struct loop *loop, struct error *err)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	for (size_t n = 0; n < sizeof signals / sizeof *signals; n++) {
		struct sigaction was;

		if (sigaction(signals[n], NULL, &was) == 0 && was.sa_handler == SIG_IGN)
			continue;
		if (loop_signal(loop, signals[n], interrupted, i, err) < 0)
			return -1;
		sigaddset(&watched, signals[n]);
		watcher = getpid();
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGINT, SIGTERM and SIGHUP (the terminal was closed) for commands that run a
 * loop: the first one is told to the command, which ends in order; a second one ends
 * the process at once.
 */
#ifndef MBUS_CLI_INTERRUPT_H
#define MBUS_CLI_INTERRUPT_H

#include "core/loop.h"

struct interrupt {
	int signo;			/* the first that came; 0: none yet */
	void (*fn)(struct interrupt *);
	void *arg;
};

/* fn and arg are the user's to set before. A signal that is ignored when the
 * program starts (nohup, a job in the background of a script) stays ignored. */
int interrupt_watch(struct interrupt *, struct loop *, struct error *);
/* Before what may wait without the loop (a library that is closed): from now on a
 * signal ends the process at once. Does nothing if none is watched. */
void interrupt_release(void);
/* Ends the process by this signal, as if it had never been caught, so that the
 * shell knows. */
void interrupt_die(int signo);

#endif

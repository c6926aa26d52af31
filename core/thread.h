/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for a call that blocks. It is nobody's to wait for, and takes no signals:
 * the loop has them blocked and waits for them, and here they would end the process.
 */
#ifndef MBUS_CORE_THREAD_H
#define MBUS_CORE_THREAD_H

#include <stdbool.h>

/* 0, or an errno: there is no such thread. */
int thread_start(void *(*fn)(void *), void *arg);

/* Runs fn(arg) in a thread of its own and waits for it, for timeout_ms at most; an
 * interrupt that comes meanwhile ends the process as if nobody had asked for it. false:
 * it was given up, as below, and goes on. For the end of a run only. */
bool thread_bounded(void (*fn)(void *), void *arg, unsigned timeout_ms);

/* The loop's thread says that it gave one up that may still run. Then the process may
 * end by _exit() only: exit() takes down what that one uses (OpenSSL's locks, say). */
void thread_abandon(void);
bool thread_abandoned(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for a call that blocks. It is nobody's to wait for, and takes no signals:
 * the loop has them blocked and waits for them, and here they would end the process.
 */
#ifndef MBUS_CORE_THREAD_H
#define MBUS_CORE_THREAD_H

/* 0, or an errno: there is no such thread. */
int thread_start(void *(*fn)(void *), void *arg);

#endif

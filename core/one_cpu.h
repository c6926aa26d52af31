/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop's thread and those of a library on one CPU, the loop's first. A record that
 * one thread writes and another reads crosses from CPU to CPU line by line, and that,
 * the lock of their queue and the waking cost a consumer of small records more than
 * half of its CPU time. And as the library's threads have the lower priority, they
 * fetch no more than what is being consumed: the queue stays short.
 *
 * Which CPU is looked at again while there is work: when others want the one we are
 * on, and another one is idle, all threads move there.
 *
 * For the whole process; begin and look are for the loop's thread. Nothing here fails:
 * where the kernel refuses, threads are where it puts them.
 */
#ifndef MBUS_CORE_ONE_CPU_H
#define MBUS_CORE_ONE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* From now on. Threads made afterwards begin where this one is. */
void one_cpu_begin(void);

/* In a thread of the library, when it begins, and when it ends. */
void one_cpu_join(void);
void one_cpu_leave(void);

/* Now and then while there is work; now as of loop_now_ns(). Costs nothing when it was
 * called a short while ago. */
void one_cpu_look(uint64_t now_ns);

/* Around the start of a child, which may run where we were allowed to: off, start, on. */
void one_cpu_hold(bool on);

#endif

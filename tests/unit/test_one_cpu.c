/* SPDX-License-Identifier: Apache-2.0 */
/* Threads kept together: where they run, what they may, and what a child gets. */
#include "core/one_cpu.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/test.h"

static int
cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) < 0 ? -1 : CPU_COUNT(&set);
}

static void *
library(void *arg)
{
	int *seen = arg;

	one_cpu_join();
	seen[0] = getpriority(PRIO_PROCESS, (id_t)gettid());
	seen[1] = cpus();
	one_cpu_leave();
	return NULL;
}

TEST(one_cpu)
{
	int all = cpus(), nice = getpriority(PRIO_PROCESS, 0), seen[2] = { -1, -1 };
	pthread_t t;

	one_cpu_hold(false);	/* before it began: nothing */
	check_int(cpus(), all);
	one_cpu_begin();
	check_int(cpus(), 1);
	check_int(pthread_create(&t, NULL, library, seen), 0);
	pthread_join(t, NULL);
	check_int(seen[0], nice < 5 ? 5 : nice);
	check_int(seen[1], 1);
	check_int(getpriority(PRIO_PROCESS, 0), nice);
	one_cpu_hold(false);
	check_int(cpus(), all);
	one_cpu_hold(true);
	check_int(cpus(), 1);
	/* A thread that has gone is not looked for. */
	for (uint64_t s = 1; s < 5; s++) {
		one_cpu_look(s * UINT64_C(500000000));
		check_int(cpus(), 1);
	}
}

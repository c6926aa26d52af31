/* SPDX-License-Identifier: Apache-2.0 */
/* Threads kept together: where they run, what they may, and what a child gets. */
#include "core/one_cpu.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
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
	check_int(seen[0], nice < 15 ? nice + 5 : 19);
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

/* Of a process that was started by nice(1) it makes none less nice, nor of its children. */
static void *
parent(void *arg)
{
	pthread_t t;

	one_cpu_join();
	if (pthread_create(&t, NULL, library, arg) == 0)
		pthread_join(t, NULL);
	one_cpu_leave();
	return NULL;
}

TEST(a_nice_process)
{
	int was = getpriority(PRIO_PROCESS, 0), status = -1;
	pid_t child;

	need(was <= 12);
	child = fork();
	need(child >= 0);
	if (child == 0) {
		int seen[2] = { -1, -1 };
		pthread_t t;

		if (setpriority(PRIO_PROCESS, 0, was + 2) < 0 ||
		    pthread_create(&t, NULL, parent, seen) != 0)
			_exit(99);
		pthread_join(t, NULL);
		_exit(seen[0] - was);
	}
	waitpid(child, &status, 0);
	check(WIFEXITED(status));
	check_int(WEXITSTATUS(status), 7);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Threads kept together: see one_cpu.h. */
#include "core/one_cpu.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	THREADS = 64,			/* more of them are left alone */
	NICER = 5,			/* a third of the loop's share while both have work */
	LOOK_MS = 200,
	STALE_MS = 2000
};

/* What was seen of a CPU at the last look, in clock ticks. */
struct cpu_seen {
	unsigned long long busy, idle;
};

static struct {
	bool on;
	int cpu;
	cpu_set_t allowed;
	uint64_t looked_ns;
	int64_t ours_ms;		/* CPU time of the process, then */
	struct cpu_seen seen[CPU_SETSIZE];
} here;

/* Threads of the library begin and end when they like. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t threads[THREADS];
static size_t nthreads;

static bool
put(pid_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(thread, sizeof set, &set) == 0;
}

void
one_cpu_begin(void)
{
	int cpu = sched_getcpu();

	if (here.on || cpu < 0 || cpu >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof here.allowed, &here.allowed) < 0)
		return;
	here.cpu = cpu;
	here.on = put(0, cpu);
}

void
one_cpu_join(void)
{
	/* Beside the main thread, whatever that was started with: a thread that begets
	 * others must not make each nicer than the last. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, (id_t)getpid()) + NICER);
	pthread_mutex_lock(&lock);
	if (nthreads < THREADS)
		threads[nthreads++] = gettid();
	pthread_mutex_unlock(&lock);
}

/* Its number may be that of a stranger's thread soon. */
void
one_cpu_leave(void)
{
	pid_t self = gettid();

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nthreads; i++)
		if (threads[i] == self) {
			threads[i] = threads[--nthreads];
			break;
		}
	pthread_mutex_unlock(&lock);
}

static void
move(int cpu)
{
	if (!put(0, cpu))
		return;
	here.cpu = cpu;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nthreads; i++)
		put(threads[i], cpu);
	pthread_mutex_unlock(&lock);
}

/* A line of /proc/stat: "cpu3 user nice system idle iowait irq softirq steal ..." */
static int
read_cpu(const char *line, struct cpu_seen *c)
{
	unsigned long long t[8] = { 0 };
	char *end;
	long cpu;

	if (strncmp(line, "cpu", 3) != 0 || line[3] < '0' || line[3] > '9')
		return -1;
	cpu = strtol(line + 3, &end, 10);
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -1;
	for (int i = 0; i < 8; i++)
		t[i] = strtoull(end, &end, 10);
	c->idle = t[3] + t[4];
	c->busy = t[0] + t[1] + t[2] + t[5] + t[6] + t[7];
	return (int)cpu;
}

static int64_t
cpu_time_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What has been done since the last look by others where we are, and which CPU was idle
 * most, in thousandths of the time. False: not known. */
static bool
look(long *others, int *best, long *idle)
{
	int64_t ours = cpu_time_ms(), used = ours - here.ours_ms;
	FILE *f = fopen("/proc/stat", "re");
	struct cpu_seen now;
	char line[512];
	bool known = false;
	long tick_ms = 1000 / sysconf(_SC_CLK_TCK);

	if (!f)
		return false;
	*idle = -1;
	while (fgets(line, sizeof line, f) && strncmp(line, "cpu", 3) == 0) {
		int cpu = read_cpu(line, &now);
		struct cpu_seen d, *seen;
		long total;

		if (cpu < 0)
			continue;
		seen = &here.seen[cpu];
		d.busy = now.busy - seen->busy;
		d.idle = now.idle - seen->idle;
		*seen = now;
		total = (long)(d.busy + d.idle);
		if (!CPU_ISSET(cpu, &here.allowed) || total == 0)
			continue;
		if (cpu == here.cpu) {
			*others = ((long)d.busy - used / tick_ms) * 1000 / total;
			known = true;
		} else if ((long)d.idle * 1000 / total > *idle) {
			*idle = (long)d.idle * 1000 / total;
			*best = cpu;
		}
	}
	fclose(f);
	here.ours_ms = ours;
	return known;
}

void
one_cpu_look(uint64_t now_ns)
{
	/* Two of us would follow each other for ever. */
	uint64_t pace = (LOOK_MS + (uint64_t)getpid() % 16 * 8) * UINT64_C(1000000);
	uint64_t since = now_ns - here.looked_ns;
	bool stale = !here.looked_ns || since > STALE_MS * UINT64_C(1000000);
	long others = 0, idle = 0;
	int best = -1;

	if (!here.on || since < pace)
		return;
	here.looked_ns = now_ns;
	if (look(&others, &best, &idle) && !stale && others > 250 && best >= 0 && idle > 500)
		move(best);
}

void
one_cpu_hold(bool on)
{
	if (!here.on)
		return;
	if (on)
		put(0, here.cpu);
	else
		sched_setaffinity(0, sizeof here.allowed, &here.allowed);
}

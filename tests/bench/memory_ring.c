/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw rings that the memory broker is held against (rows S*), and a pipe:
 *
 *	memory_ring ring PUBS SUBS N	fixed slots of 128 bytes with a sequence number;
 *			publishers claim one by fetch_add, each subscriber has a cursor;
 *			who has to wait spins 2000 times, then sleeps on a futex
 *	memory_ring spsc BATCH N	one publisher, one subscriber, a head that is stored
 *			once a batch
 *	memory_ring rtt N		two spsc rings, one event to and fro
 *	memory_ring pipertt US N	one event to and fro through two pipes, US microseconds
 *			between two; their readers sleep
 *	memory_ring pipeslow US N	an event each US microseconds through a pipe, a write each
 *	memory_ring pipe BYTES N	length-prefixed messages through a pipe, in writes of
 *			about that many bytes
 *
 * Events have 100 bytes and a number that every subscriber checks. Nothing survives a
 * killed process: that is what they are the limit of. Prints one line: seconds, for rtt
 * the median and the 99th percentile of a round trip in nanoseconds, for pipeslow
 * nanoseconds of the writer's CPU an event.
 */
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 8192, BODY = 100, SPIN = 2000, SUBS_MAX = 16 };

struct slot {
	uint64_t seq;			/* its number + 1 when it is written */
	char body[120];
};

struct line {
	_Alignas(64) uint64_t v;
};

struct ring {
	struct line claim, head, sleeping;
	struct line cursor[SUBS_MAX];
	struct slot slots[SLOTS];
};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *
share(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
		-1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

/* Until *p is not v any more: a little spinning, then sleep for a millisecond at most. */
static void
wait_change(struct ring *r, uint64_t *p, uint64_t v)
{
	struct timespec ts = { 0, 1000000 };

	for (int i = 0; i < SPIN; i++) {
		if (LOAD(*p) != v)
			return;
		relax();
	}
	__atomic_store_n(&r->sleeping.v, 1, __ATOMIC_SEQ_CST);
	if (LOAD(*p) == v)
		syscall(SYS_futex, p, FUTEX_WAIT, (uint32_t)v, &ts, NULL, 0);
}

static void
wake(struct ring *r, uint64_t *p)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->sleeping.v && __atomic_exchange_n(&r->sleeping.v, 0, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, p, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void
check(uint64_t got, uint64_t want)
{
	if (got != want)
		exit(2);
}

/* ---- slots with sequence numbers ---- */

static uint64_t
slowest(struct ring *r, int nsubs)
{
	uint64_t min = LOAD(r->cursor[0].v);

	for (int i = 1; i < nsubs; i++)
		if (LOAD(r->cursor[i].v) < min)
			min = LOAD(r->cursor[i].v);
	return min;
}

static void
ring_publish(struct ring *r, int nsubs, uint64_t n)
{
	char body[BODY] = "";
	uint64_t limit = SLOTS;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = __atomic_fetch_add(&r->claim.v, 1, __ATOMIC_RELAXED);
		struct slot *s = &r->slots[at % SLOTS];

		while (at >= limit) {
			uint64_t min = slowest(r, nsubs);

			limit = min + SLOTS;
			if (at >= limit)
				wait_change(r, &r->cursor[0].v, r->cursor[0].v);
		}
		memcpy(s->body, body, BODY);
		STORE(s->seq, at + 1);
		wake(r, &s->seq);
	}
}

static void
ring_subscribe(struct ring *r, int me, uint64_t n)
{
	char body[BODY];

	for (uint64_t at = 0; at < n; at++) {
		struct slot *s = &r->slots[at % SLOTS];
		uint64_t seq;

		while ((seq = LOAD(s->seq)) != at + 1)
			wait_change(r, &s->seq, seq);
		memcpy(body, s->body, BODY);
		__asm__ volatile("" : : "r"(body) : "memory");
		if (at % 64 == 63 || at + 1 == n)
			STORE(r->cursor[me].v, at + 1);
	}
}

/* ---- one to one, a head for each batch ---- */

static void
spsc_publish(struct ring *r, uint64_t n, uint64_t batch)
{
	char body[BODY] = "";
	uint64_t limit = SLOTS;

	for (uint64_t at = 0; at < n;) {
		uint64_t to = at + batch < n ? at + batch : n;

		while (to > limit) {
			uint64_t cursor = LOAD(r->cursor[0].v);

			limit = cursor + SLOTS;
			if (to > limit)
				wait_change(r, &r->cursor[0].v, cursor);
		}
		for (; at < to; at++) {
			memcpy(body, &at, sizeof at);
			memcpy(r->slots[at % SLOTS].body, body, BODY);
		}
		STORE(r->head.v, at);
		wake(r, &r->head.v);
	}
}

static void
spsc_subscribe(struct ring *r, uint64_t n)
{
	uint64_t at = 0;
	char body[BODY];

	while (at < n) {
		uint64_t head = LOAD(r->head.v), seen;

		if (head == at) {
			wait_change(r, &r->head.v, head);
			continue;
		}
		for (; at < head; at++) {
			memcpy(body, r->slots[at % SLOTS].body, BODY);
			memcpy(&seen, body, sizeof seen);
			check(seen, at);
		}
		STORE(r->cursor[0].v, at);
		wake(r, &r->cursor[0].v);
	}
}

/* ---- to and fro ---- */

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
echo(struct ring *in, struct ring *out, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		while (LOAD(in->head.v) != i + 1)
			wait_change(in, &in->head.v, i);
		STORE(out->head.v, i + 1);
		wake(out, &out->head.v);
	}
}

static void
round_trips(struct ring *out, struct ring *in, uint64_t n)
{
	uint32_t *took = malloc(n * sizeof *took);

	for (uint64_t i = 0; took && i < n; i++) {
		uint64_t begin = now_ns();

		STORE(out->head.v, i + 1);
		wake(out, &out->head.v);
		while (LOAD(in->head.v) != i + 1)
			wait_change(in, &in->head.v, i);
		took[i] = (uint32_t)(now_ns() - begin);
	}
	if (!took)
		exit(1);
	qsort(took, n, sizeof *took, by_size);
	printf("%u %u\n", took[n / 2], took[n - 1 - n / 100]);
}

/* ---- a pipe ---- */

static void
pipe_publish(int fd, uint64_t n, size_t bytes)
{
	static char out[1 << 20];
	size_t len = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint32_t size = BODY;

		memcpy(out + len, &size, sizeof size);
		memcpy(out + len + sizeof size, &i, sizeof i);
		len += sizeof size + BODY;
		if (len + BODY + 4 <= bytes && i + 1 < n)
			continue;
		for (size_t at = 0; at < len;) {
			ssize_t w = write(fd, out + at, len - at);

			if (w <= 0)
				exit(1);
			at += (size_t)w;
		}
		len = 0;
	}
}

static void
pipe_subscribe(int fd, uint64_t n)
{
	static char in[1 << 17];
	size_t have = 0, at = 0;
	uint64_t i = 0, seen;

	while (i < n) {
		ssize_t r = read(fd, in + have, sizeof in - have);

		if (r <= 0)
			exit(1);
		have += (size_t)r;
		for (at = 0; have - at >= BODY + 4; at += BODY + 4, i++) {
			memcpy(&seen, in + at + 4, sizeof seen);
			check(seen, i);
		}
		memmove(in, in + at, have - at);
		have -= at;
	}
}

static void
pass(int in, int out, uint64_t n)
{
	char body[BODY];

	for (uint64_t i = 0; i < n; i++)
		if (read(in, body, BODY) != BODY || (out >= 0 && write(out, body, BODY) != BODY))
			exit(1);
}

static void
rest(uint64_t us)
{
	struct timespec ts = { 0, (long)us * 1000 };

	nanosleep(&ts, NULL);
}

static void
pipe_round_trips(int out, int in, uint64_t n, uint64_t us)
{
	uint32_t *took = calloc(n, sizeof *took);
	char body[BODY] = "";

	for (uint64_t i = 0; took && i < n; i++) {
		uint64_t begin = now_ns();

		if (write(out, body, BODY) != BODY || read(in, body, BODY) != BODY)
			exit(1);
		took[i] = (uint32_t)(now_ns() - begin);
		rest(us);
	}
	if (!took)
		exit(1);
	qsort(took, n, sizeof *took, by_size);
	printf("%u %u\n", took[n / 2], took[n - 1 - n / 100]);
}

static void
pipe_slowly(int out, uint64_t n, uint64_t us)
{
	struct rusage a, b;
	char body[BODY] = "";

	getrusage(RUSAGE_SELF, &a);
	for (uint64_t i = 0; i < n; i++) {
		if (write(out, body, BODY) != BODY)
			exit(1);
		rest(us);
	}
	getrusage(RUSAGE_SELF, &b);
	printf("%.0f\n", ((double)(b.ru_utime.tv_sec + b.ru_stime.tv_sec) * 1e9 +
		(double)(b.ru_utime.tv_usec + b.ru_stime.tv_usec) * 1e3 -
		(double)(a.ru_utime.tv_sec + a.ru_stime.tv_sec) * 1e9 -
		(double)(a.ru_utime.tv_usec + a.ru_stime.tv_usec) * 1e3) / (double)n);
}

/* ---- the run ---- */

static int
finish(int n, uint64_t begin)
{
	int status, bad = 0;

	while (n--)
		if (wait(&status) < 0 || status)
			bad = 1;
	if (!bad)
		printf("%.6f\n", (double)(now_ns() - begin) / 1e9);
	return bad;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	uint64_t n = strtoull(argv[argc - 1], NULL, 10), begin = now_ns();
	struct ring *r = share(sizeof *r), *back = share(sizeof *back);
	int a = argc > 3 ? atoi(argv[2]) : 0, b = argc > 4 ? atoi(argv[3]) : 0, fd[2];
	int fd2[2];

	if (strcmp(what, "ring") == 0 && a > 0 && b > 0 && b <= SUBS_MAX) {
		for (int i = 0; i < b; i++)
			if (fork() == 0)
				return ring_subscribe(r, i, n / (uint64_t)a * (uint64_t)a), 0;
		for (int i = 0; i < a; i++)
			if (fork() == 0)
				return ring_publish(r, b, n / (uint64_t)a), 0;
		return finish(a + b, begin);
	}
	if (strcmp(what, "spsc") == 0 && a > 0) {
		if (fork() == 0)
			return spsc_subscribe(r, n), 0;
		if (fork() == 0)
			return spsc_publish(r, n, (uint64_t)a), 0;
		return finish(2, begin);
	}
	if (strcmp(what, "rtt") == 0) {
		if (fork() == 0)
			return echo(r, back, n), 0;
		round_trips(r, back, n);
		return 0;
	}
	if (strcmp(what, "pipertt") == 0 && a > 0 && pipe(fd) == 0 && pipe(fd2) == 0) {
		if (fork() == 0)
			return pass(fd[0], fd2[1], n), 0;
		pipe_round_trips(fd[1], fd2[0], n, (uint64_t)a);
		return 0;
	}
	if (strcmp(what, "pipeslow") == 0 && a > 0 && pipe(fd) == 0) {
		if (fork() == 0)
			return pass(fd[0], -1, n), 0;
		pipe_slowly(fd[1], n, (uint64_t)a);
		return 0;
	}
	if (strcmp(what, "pipe") == 0 && a > 0 && pipe(fd) == 0) {
		if (fork() == 0)
			return pipe_subscribe(fd[0], n), 0;
		if (fork() == 0)
			return pipe_publish(fd[1], n, (size_t)a), 0;
		return finish(2, begin);
	}
	fprintf(stderr, "usage: memory_ring ring PUBS SUBS N | spsc BATCH N | rtt N | pipertt US N | "
		"pipeslow US N | pipe BYTES N\n");
	return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_latency -r RATE -n EVENTS PUBLISHER... -- SUBSCRIBER...: one-way latency from
 * one program's stdin to the other's stdout, whatever is between.
 *
 * Starts the subscriber, waits until it writes to descriptor 8 that it is ready,
 * starts the publisher, and writes lines of 100 bytes to it at an even rate, each with
 * the time at which it was due (so that being late counts). Reads the subscriber's
 * lines and prints, in microseconds: "p50 p99 p99.9 max lost". The first events count
 * like all others. Both programs pay for their pipes, so compare only such pairs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, GRACE_NS = 1000000000 };

extern char **environ;

static void
die(const char *why)
{
	fprintf(stderr, "bench_latency: %s\n", why);
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* A child with fd `from` as its `as`; the other standard descriptors are ours. */
static pid_t
child(char **argv, int in, int out, int ready)
{
	posix_spawn_file_actions_t a;
	pid_t pid;

	posix_spawn_file_actions_init(&a);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&a, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&a, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&a, out, STDOUT_FILENO);
	if (ready >= 0)
		posix_spawn_file_actions_adddup2(&a, ready, 8);
	if (posix_spawnp(&pid, argv[0], &a, NULL, argv, environ) != 0)
		die("cannot start a program");
	posix_spawn_file_actions_destroy(&a);
	return pid;
}

static void
make_pipe(int fd[2])
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		die("no pipe");
}

static uint64_t *latency;
static size_t nlatency;

static void
got(const char *p, size_t n)
{
	static char line[LINE];
	static size_t have;

	for (size_t i = 0; i < n; i++) {
		if (p[i] != '\n') {
			if (have < LINE)
				line[have++] = p[i];
			continue;
		}
		line[have < LINE ? have : LINE - 1] = '\0';
		latency[nlatency++] = now_ns() - strtoull(line, NULL, 10);
		have = 0;
	}
}

int
main(int argc, char **argv)
{
	uint64_t events = 0, rate = 0, due, step, last;
	int opt, in[2], out[2], ready[2], split;
	char line[LINE + 1], buf[64 * 1024], word;
	pid_t pub, sub;
	ssize_t n;

	while ((opt = getopt(argc, argv, "+r:n:")) != -1) {
		if (opt == 'r')
			rate = strtoull(optarg, NULL, 10);
		else if (opt == 'n')
			events = strtoull(optarg, NULL, 10);
	}
	for (split = optind; split < argc && strcmp(argv[split], "--") != 0; split++)
		continue;
	if (!rate || !events || split == optind || split + 1 >= argc)
		die("usage: bench_latency -r RATE -n EVENTS PUBLISHER... -- SUBSCRIBER...");
	argv[split] = NULL;
	latency = calloc(events * 2, sizeof *latency);
	signal(SIGPIPE, SIG_IGN);
	make_pipe(in);
	make_pipe(out);
	make_pipe(ready);
	sub = child(argv + split + 1, -1, out[1], ready[1]);
	close(out[1]);
	close(ready[1]);
	if (read(ready[0], &word, 1) != 1)
		die("the subscriber did not become ready");
	pub = child(argv + optind, in[0], -1, -1);
	close(in[0]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	step = 1000000000u / rate;
	due = now_ns() + 100 * 1000000u;	/* the publisher connects meanwhile */
	last = due;
	memset(line, 'x', LINE);
	line[LINE] = '\n';
	for (uint64_t sent = 0; nlatency < events;) {
		uint64_t now = now_ns(), wait;
		struct pollfd fd = { .fd = out[0], .events = POLLIN };
		struct timespec t;

		while (sent < events && due <= now) {
			int len = snprintf(line, LINE, "%llu", (unsigned long long)due);

			line[len] = ' ';
			if (write(in[1], line, LINE + 1) != LINE + 1)
				die("the publisher has gone");
			last = due;
			due += step;
			sent++;
		}
		if (sent == events && now > last + GRACE_NS)
			break;
		wait = sent < events ? (due > now ? due - now : 0) : 10 * 1000000u;
		t = (struct timespec){ .tv_nsec = (long)wait };
		if (ppoll(&fd, 1, &t, NULL) > 0) {
			n = read(out[0], buf, sizeof buf);
			if (n == 0)
				die("the subscriber has gone");
			if (n > 0 && nlatency < events)
				got(buf, (size_t)n);
		}
	}
	close(in[1]);
	kill(sub, SIGTERM);
	waitpid(pub, NULL, 0);
	waitpid(sub, NULL, 0);
	if (!nlatency)
		die("nothing arrived");
	qsort(latency, nlatency, sizeof *latency, by_size);
	printf("%.1f %.1f %.1f %.1f %llu\n", (double)latency[nlatency / 2] / 1e3,
		(double)latency[nlatency * 99 / 100] / 1e3,
		(double)latency[nlatency * 999 / 1000] / 1e3,
		(double)latency[nlatency - 1] / 1e3, (unsigned long long)(events - nlatency));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_wait [-n RUNS] FILE COMMAND [ARGUMENT...]: runs the command, as often as
 * told, and appends a line for each run to FILE:
 *
 *	start wall user system maxrss_kib status
 *
 * Seconds, start on the monotonic clock (as bench_lines prints it). User and
 * system are the command's own and those of the children it waited for. Its exit
 * status is that of the last run that failed, or 0.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double
seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

static int
run(FILE *out, char **argv)
{
	struct rusage use;
	double start = now();
	pid_t pid;
	int err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ), status;

	if (err) {
		fprintf(stderr, "bench_wait: %s: %s\n", argv[0], strerror(err));
		return 127;
	}
	while (wait4(pid, &status, 0, &use) < 0)
		if (errno != EINTR)
			return 127;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fprintf(out, "%.6f %.6f %.6f %.6f %ld %d\n", start, now() - start,
		seconds(use.ru_utime), seconds(use.ru_stime), use.ru_maxrss, status);
	return status;
}

int
main(int argc, char **argv)
{
	int runs = 1, bad = 0;
	FILE *out;

	if (argc > 2 && strcmp(argv[1], "-n") == 0) {
		runs = atoi(argv[2]);
		argv += 2;
		argc -= 2;
	}
	if (argc < 3 || runs < 1) {
		fputs("usage: bench_wait [-n RUNS] FILE COMMAND [ARGUMENT...]\n", stderr);
		return 2;
	}
	out = fopen(argv[1], "ae");
	if (!out) {
		perror(argv[1]);
		return 2;
	}
	while (runs-- > 0) {
		int status = run(out, argv + 2);

		bad = status ? status : bad;
	}
	return fclose(out) == 0 ? bad : 2;
}

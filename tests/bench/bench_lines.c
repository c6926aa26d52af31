/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_lines FILE: the sink behind a subscriber. Counts the lines on stdin and
 * writes to FILE at the end: the count, and the times (seconds on the monotonic
 * clock) of the reads that brought the first and the last byte.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
	static char buf[256 * 1024];
	unsigned long lines = 0;
	double first = 0, last = 0;
	FILE *out;
	ssize_t n;

	if (argc != 2) {
		fputs("usage: bench_lines FILE\n", stderr);
		return 2;
	}
	while ((n = read(STDIN_FILENO, buf, sizeof buf)) != 0) {
		const char *p = buf, *end = buf + n;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			perror("bench_lines");
			return 1;
		}
		last = now();
		if (first == 0)
			first = last;
		while ((p = memchr(p, '\n', (size_t)(end - p)))) {
			lines++;
			p++;
		}
	}
	out = fopen(argv[1], "we");
	if (!out) {
		perror(argv[1]);
		return 1;
	}
	fprintf(out, "%lu %.6f %.6f\n", lines, first, last);
	return fclose(out) != 0;
}

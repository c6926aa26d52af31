/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library takes for lines, with 64 KiB buffers: the peer of rows O1 and O3.
 *
 *	stdio_lines write N	N lines of 100 bytes to stdout, by fwrite_unlocked()
 *	stdio_lines read	the lines of stdin, by getline(); prints how many
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
main(int argc, char **argv)
{
	static char buffer[65536], body[100];
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	char *line = NULL;
	size_t size = 0;

	if (argc == 3 && strcmp(argv[1], "write") == 0) {
		setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
		memset(body, 'x', sizeof body);
		for (unsigned long i = 0; i < n; i++) {
			fwrite_unlocked(body, 1, sizeof body, stdout);
			putc_unlocked('\n', stdout);
		}
		return fflush(stdout) != 0;
	}
	if (argc == 2 && strcmp(argv[1], "read") == 0) {
		setvbuf(stdin, buffer, _IOFBF, sizeof buffer);
		while (getline(&line, &size, stdin) > 0)
			n++;
		printf("%lu\n", n);
		free(line);
		return 0;
	}
	fprintf(stderr, "usage: stdio_lines write N | read\n");
	return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of every unit test program: see test.h. */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "tests/unit/test.h"

static struct { const char *name; void (*fn)(void); } tests[500];
static int ntests, failures;

void
test_register(const char *name, void (*fn)(void))
{
	if (ntests == (int)(sizeof tests / sizeof *tests))
		abort();
	tests[ntests].name = name;
	tests[ntests++].fn = fn;
}

void
test_failed(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	failures++;
	printf("# %s:%d: ", file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void
print_bytes(const char *label, struct bytes b)
{
	printf("#   %s ", label);
	if (!b.p) {
		puts("(null)");
		return;
	}
	putchar('"');
	for (size_t i = 0; i < b.n && i < 600; i++) {
		unsigned char c = (unsigned char)b.p[i];

		if (isprint(c) && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	printf("\" (%zu)\n", b.n);
}

bool
test_eq_bytes(const char *file, int line, const char *what, struct bytes got, struct bytes want)
{
	if (!got.p == !want.p && bytes_eq(got, want))
		return true;
	test_failed(file, line, "%s differs", what);
	print_bytes("got ", got);
	print_bytes("want", want);
	return false;
}

int
main(int argc, char **argv)
{
	int bad = 0, run = 0;

	for (int i = 0; i < ntests; i++) {
		if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
			continue;
		failures = 0;
		tests[i].fn();
		bad += failures != 0;
		printf("%sok %d - %s\n", failures ? "not " : "", ++run, tests[i].name);
		fflush(stdout);
	}
	printf("1..%d\n", run);
	return bad != 0;
}

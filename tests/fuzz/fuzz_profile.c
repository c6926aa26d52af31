/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config file. Properties: names and values lie in the text, in its order and with
 * the numbers of their lines; what is refused names the file and a line of it; what
 * was read, written again, is read as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/profile.h"
#include "core/buf.h"

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%d: %s\n", __LINE__, #cond); abort(); } } while (0)

static void
write_again(struct buf *out, const struct profile *p)
{
	for (size_t i = 0; i < p->n; i++)
		buf_addf(out, "[%s]\n%s=\"%s\"\n", p->v[i].section, p->v[i].name, p->v[i].value);
}

static void
check_again(const struct profile *p)
{
	struct buf b = BUF_INIT;
	struct profile again;
	struct error err;

	write_again(&b, p);
	buf_cstr(&b);
	must(profile_parse(buf_data(&b), buf_len(&b), "again", &again, &err) == 0);
	must(again.n == p->n);
	for (size_t i = 0; i < p->n; i++) {
		must(strcmp(again.v[i].section, p->v[i].section) == 0);
		must(strcmp(again.v[i].name, p->v[i].name) == 0);
		must(strcmp(again.v[i].value, p->v[i].value) == 0);
		must(again.v[i].line == 2 * i + 2);
	}
	profile_release(&again);
	buf_release(&b);
}

static void
check_lines(const struct profile *p, const char *text, size_t n)
{
	unsigned line = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct profile_line *l = &p->v[i];

		must(l->line > line);
		line = l->line;
		must(l->name >= text && l->value > l->name && l->value <= text + n);
		must(*l->name && profile_has(p, l->section));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmalloc(size + 1);
	struct profile p;
	struct error err = ERROR_INIT;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (profile_parse(text, size, "file", &p, &err) == 0) {
		check_lines(&p, text, size);
		check_again(&p);
	} else {
		must(err.kind == ERR_USAGE && strncmp(err.text, "file:", 5) == 0);
		must(atoi(err.text + 5) > 0);
	}
	profile_release(&p);
	free(text);
	return 0;
}

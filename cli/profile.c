/* SPDX-License-Identifier: Apache-2.0 */
/* The config file's form: see profile.h. */
#include "cli/profile.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

enum { NAME_MAX_LEN = 100, SECTION_MAX_LEN = 60 };

struct reading {
	struct profile *p;
	const char *file;
	struct error *err;
	const char *section;
	unsigned line;
};

static int
wrong(struct reading *r, const char *what)
{
	return error_set(r->err, ERR_USAGE, "%s:%u: %s", r->file, r->line, what);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks at both ends, and with a NUL behind it. */
static char *
trim(char *from, char *end)
{
	while (from < end && is_blank(*from))
		from++;
	while (end > from && is_blank(end[-1]))
		end--;
	*end = '\0';
	return from;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '_' || c == '.';
}

static bool
is_name(const char *s, size_t max)
{
	size_t n = 0;

	while (n <= max && is_name_char(s[n]))
		n++;
	return n && n <= max && !s[n];
}

static const char *
find_section(const struct profile *p, const char *name)
{
	for (size_t i = 0; i < p->nsections; i++)
		if (strcmp(p->sections[i], name) == 0)
			return p->sections[i];
	return NULL;
}

bool
profile_has(const struct profile *p, const char *section)
{
	return find_section(p, section) != NULL;
}

static void
enter_section(struct reading *r, const char *name)
{
	struct profile *p = r->p;

	r->section = find_section(p, name);
	if (r->section)
		return;
	if ((p->nsections & (p->nsections - 1)) == 0)
		p->sections = xrealloc(p->sections, (p->nsections ? 2 * p->nsections : 1) *
			sizeof *p->sections);
	p->sections[p->nsections++] = r->section = name;
}

static int
read_section(struct reading *r, char *text, char *end)
{
	char *name;

	if (end[-1] != ']' || end - text < 2)
		return wrong(r, "a section is written [NAME], alone on its line");
	name = trim(text + 1, end - 1);
	if (!is_name(name, SECTION_MAX_LEN))
		return wrong(r, "the name of a section is letters, digits, '.', '_' and '-', at "
			"most 60 of them");
	enter_section(r, name);
	return 0;
}

/* Quotes keep the blanks at the ends, and have no other meaning. */
static char *
unquote(struct reading *r, char *value)
{
	size_t n = strlen(value);

	if (*value != '"')
		return value;
	if (n < 2 || value[n - 1] != '"') {
		wrong(r, "a value that begins with '\"' ends with it, too (quotes in it stay as "
			"they are)");
		return NULL;
	}
	value[n - 1] = '\0';
	return value + 1;
}

static int
read_setting(struct reading *r, char *text, char *end)
{
	char *eq = memchr(text, '=', (size_t)(end - text)), *name, *value;
	struct profile *p = r->p;

	if (!eq)
		return wrong(r, "write OPTION = VALUE (of an option without a value: yes or no)");
	value = unquote(r, trim(eq + 1, end));
	if (!value)
		return -1;
	name = trim(text, eq);
	if (strncmp(name, "--", 2) == 0)
		return wrong(r, "an option stands here without its dashes");
	if (!is_name(name, NAME_MAX_LEN))
		return wrong(r, "what stands before '=' is no option's name");
	if ((p->n & (p->n - 1)) == 0)
		p->v = xrealloc(p->v, (p->n ? 2 * p->n : 1) * sizeof *p->v);
	p->v[p->n++] = (struct profile_line){ r->section, name, value, r->line };
	return 0;
}

static int
read_line(struct reading *r, char *text, char *end)
{
	if (memchr(text, '\0', (size_t)(end - text)))
		return wrong(r, "a NUL in it: this is no text");
	while (text < end && is_blank(*text))
		text++;
	while (end > text && is_blank(end[-1]))
		end--;
	if (text == end || *text == '#' || *text == ';')
		return 0;
	return *text == '[' ? read_section(r, text, end) : read_setting(r, text, end);
}

int
profile_parse(char *text, size_t n, const char *file, struct profile *p, struct error *err)
{
	struct reading r = { .p = p, .file = file, .err = err };
	char *end = text + n, *at = text;

	*p = (struct profile){ 0 };
	enter_section(&r, "default");
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	while (at < end) {
		char *nl = memchr(at, '\n', (size_t)(end - at));

		r.line++;
		if (read_line(&r, at, nl ? nl : end) < 0)
			return -1;
		at = nl ? nl + 1 : end;
	}
	return 0;
}

void
profile_release(struct profile *p)
{
	free(p->v);
	free(p->sections);
	*p = (struct profile){ 0 };
}

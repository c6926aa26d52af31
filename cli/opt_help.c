/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options as --help shows them: two columns, 80 wide, under the headings
 * the rows bring along. Default, environment variable and other names of an
 * option are added to its sentence from the row, so that they cannot be wrong.
 */
#include "cli/opt.h"

#include <string.h>

enum { WIDTH = 79, INDENT = 26 };

static void
pad(struct buf *out, size_t n)
{
	while (n--)
		buf_add_ch(out, ' ');
}

static void
add_left(struct buf *out, const struct opt *o)
{
	const char *arg = o->arg ? o->arg : o->choices;

	if (o->letter)
		buf_addf(out, "  -%c", o->letter);
	if (*o->name)
		buf_addf(out, "%s--%s", o->letter ? ", " : "      ", o->name);
	if (opt_takes_value(o))
		buf_addf(out, " %s", arg ? arg : "VALUE");
}

/* " (also -G, --queue)" */
static void
add_aliases(struct buf *out, const char *aliases)
{
	buf_add_str(out, " (also");
	for (const char *p = aliases; *p;) {
		size_t n = strcspn(p, " ");

		buf_add_str(out, n == 1 ? " -" : " --");
		buf_add(out, p, n);
		p += n + (p[n] == ' ');
		buf_add_str(out, *p ? "," : ")");
	}
}

static void
add_sentence(struct buf *out, const struct opt *o, bool brief)
{
	const char *help = o->help ? o->help : "", *end = help;
	int depth = 0;

	/* Its first part: to a semicolon that is in no parentheses. */
	for (; *end && !(brief && !depth && strncmp(end, "; ", 2) == 0); end++)
		depth += (*end == '(') - (*end == ')');
	buf_add(out, help, (size_t)(end - help));
	if (o->def)
		buf_addf(out, " (default %s)", o->def);
	if (brief)
		return;
	if (o->aliases)
		add_aliases(out, o->aliases);
	if (o->env)
		buf_addf(out, " [%s]", o->env);
}

/* Words of text from column `at` on, the following lines at INDENT. */
static void
add_wrapped(struct buf *out, struct bytes text, size_t at)
{
	while (text.n) {
		const char *space = memchr(text.p, ' ', text.n);
		size_t n = space ? (size_t)(space - text.p) : text.n;

		if (at > INDENT && at + 1 + n > WIDTH) {
			buf_add_ch(out, '\n');
			pad(out, INDENT);
			at = INDENT;
		} else if (at > INDENT) {
			buf_add_ch(out, ' ');
			at++;
		}
		buf_add(out, text.p, n);
		at += n;
		n += space != NULL;
		text = bytes_of(text.p + n, text.n - n);
	}
	buf_add_ch(out, '\n');
}

static void
add_row(struct buf *out, struct buf *tmp, const struct opt *o, bool brief)
{
	size_t left;

	buf_clear(tmp);
	add_left(tmp, o);
	buf_add_bytes(out, buf_bytes(tmp));
	left = buf_len(tmp);
	if (left + 2 > INDENT) {
		buf_add_ch(out, '\n');
		left = 0;
	}
	pad(out, INDENT - left);
	buf_clear(tmp);
	add_sentence(tmp, o, brief);
	add_wrapped(out, buf_bytes(tmp), INDENT);
}

/* "-z, --compress CODEC", one behind the other; a name and its value stay together. */
static void
add_names(struct buf *out, struct buf *tmp, const struct opt *rows)
{
	size_t at = WIDTH + 1;		/* columns that are taken */

	buf_add_str(out, "\nMore:");
	for (const struct opt *o = rows; o && o->name; o++) {
		if (!(o->flags & OPT_MORE) || (o->flags & OPT_HIDDEN))
			continue;
		buf_clear(tmp);
		add_left(tmp, o);
		while (buf_len(tmp) && *buf_data(tmp) == ' ')
			buf_consume(tmp, 1);
		if (at + 3 + buf_len(tmp) > WIDTH) {
			buf_add_str(out, "\n  ");
			at = 2;
		} else {
			buf_add_str(out, "   ");
			at += 3;
		}
		buf_add_bytes(out, buf_bytes(tmp));
		at += buf_len(tmp);
	}
	buf_add_ch(out, '\n');
}

void
opt_help(struct buf *out, const struct opt *rows, bool brief)
{
	struct buf tmp = BUF_INIT;
	const char *group = NULL;	/* to be said */
	bool more = false;

	for (const struct opt *o = rows; o && o->name; o++) {
		group = o->group ? o->group : group;
		if (o->flags & OPT_HIDDEN)
			continue;
		if (brief && (o->flags & OPT_MORE)) {
			more = true;
			continue;
		}
		if (group)
			buf_addf(out, "\n%s:\n", group);
		group = NULL;
		add_row(out, &tmp, o, brief);
	}
	if (more)
		add_names(out, &tmp, rows);
	buf_release(&tmp);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a command line by the table: see opt.h for what is accepted.
 *
 * This is not getopt_long(3): that one takes abbreviations (which break scripts
 * when an option is added), knows no '_' for '-', and cannot be asked what it
 * was about to reject, which the hints for users of other tools need.
 */
#include "cli/opt.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nearest.h"
#include "core/secret.h"
#include "core/units.h"

/* What the user wrote is cut to this many bytes in messages. */
#define SHOWN 60

struct parser {
	const struct opt_set *set;
	void *args;
	int argc, i;
	char **argv;
	struct error *err;
	char shown[SHOWN + 4];		/* "-t" or "--topic", as it was written */
	struct bytes name;		/* the same, in argv and without dashes */
	uint64_t once[2];		/* rows with OPT_ONCE that were met: own, common */
	bool stopped;
};

bool
opt_takes_value(const struct opt *o)
{
	return o->type != OPT_T_FLAG && o->type != OPT_T_SET;
}

struct bytes
opt_choice(const char *choices, size_t i)
{
	for (const char *p = choices; p; i--) {
		const char *end = strchrnul(p, '|');

		if (i == 0)
			return bytes_of(p, (size_t)(end - p));
		p = *end ? end + 1 : NULL;
	}
	return bytes_of(NULL, 0);
}

/* ---- finding a row ---- */

static bool
same_name(const char *have, size_t hlen, const char *name, size_t len)
{
	if (hlen != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (have[i] != (name[i] == '_' ? '-' : name[i]))
			return false;
	return true;
}

/* Aliases of one character are letters, the others long names. */
static bool
has_alias(const struct opt *o, const char *name, size_t len, bool letter)
{
	for (const char *p = o->aliases; p && *p;) {
		size_t n = strcspn(p, " ");

		if ((n == 1) == letter && same_name(p, n, name, len))
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static const struct opt *
find_in(const struct opt *rows, const char *name, size_t len)
{
	for (const struct opt *o = rows; len && o && o->name; o++)
		if (same_name(o->name, strlen(o->name), name, len) ||
		    has_alias(o, name, len, false))
			return o;
	return NULL;
}

static const struct opt *
find_letter_in(const struct opt *rows, char letter)
{
	for (const struct opt *o = rows; o && o->name; o++)
		if (letter && (o->letter == letter || has_alias(o, &letter, 1, true)))
			return o;
	return NULL;
}

const struct opt *
opt_find(const struct opt_set *set, const char *name, size_t len)
{
	const struct opt *o = find_in(set->own, name, len);

	return o ? o : find_in(set->common, name, len);
}

const struct opt *
opt_find_letter(const struct opt_set *set, char letter)
{
	const struct opt *o = find_letter_in(set->own, letter);

	return o ? o : find_letter_in(set->common, letter);
}

/* ---- storing a value ---- */

/* USER:PASSWORD@HOST, of whoever forgot the scheme, and SCHEME://USER:PASSWORD. */
static size_t
mask_userinfo(char *text, size_t n)
{
	char *at = memrchr(text, '@', n), *colon;
	char *scheme = memmem(text, n, "://", 3);

	/* Of a URL that was cut, a password may be left; ports are numbers. */
	if (scheme && !at) {
		colon = memchr(scheme + 3, ':', n - (size_t)(scheme + 3 - text));
		return colon && colon[1] && (colon[1] < '0' || colon[1] > '9') ?
			(size_t)(colon + 1 - text) : n;
	}
	colon = at && !scheme ? memchr(text, ':', (size_t)(at - text)) : NULL;
	if (!colon || at == colon + 1)
		return n;
	n -= (size_t)(at - colon - 1);
	memmove(colon + 1, at, n - (size_t)(colon + 1 - text));
	return n;
}

const char *
opt_shown(const char *value)
{
	static char out[SHOWN + 1];
	size_t len = strlen(value), n = len;
	char *all = xmemdup0(value, len);

	n = secret_mask(all, n, false);
	n = mask_userinfo(all, n);
	if (n > SHOWN)
		n = SHOWN;
	memcpy(out, all, n);
	out[n] = '\0';
	explicit_bzero(all, len);
	free(all);
	return out;
}

static int
bad(struct error *err, const char *where, const char *value, const char *what)
{
	return error_set(err, ERR_USAGE, "%s: '%s' is not %s", where, opt_shown(value), what);
}

static int
number(const struct opt *o, const char *where, const char *value, uint64_t *n, struct error *err)
{
	bool all = (o->flags & OPT_ALL) && strcmp(value, "all") == 0;

	if (all)
		*n = UINT64_MAX;
	else if (o->type == OPT_T_NUM && !units_count(value, o->max ? o->max : UINT64_MAX, n))
		return *value && !value[strspn(value, "0123456789")] ?
			error_set(err, ERR_USAGE, "%s: %s is too large, the most is %llu", where,
				opt_shown(value), (unsigned long long)(o->max ? o->max : UINT64_MAX)) :
			o->max ?
			error_set(err, ERR_USAGE, "%s: '%s' is not a whole number up to %llu",
				where, opt_shown(value), (unsigned long long)o->max) :
			bad(err, where, value, "a whole number");
	else if (o->type == OPT_T_DUR && !units_duration_ms(value, n))
		return bad(err, where, value, "a duration (write 5, 0.5, 500ms, 2m, 1h)");
	else if (o->type == OPT_T_SIZE && !units_size(value, n))
		return bad(err, where, value, o->flags & OPT_ALL ?
			"a size (write 4096, 64K, 1MiB, all)" : "a size (write 4096, 64K, 1MiB)");
	if (*n < o->min)
		return error_set(err, ERR_USAGE, "%s: %.*s is too small, the least is %llu%s",
			where, SHOWN, value, (unsigned long long)o->min,
			o->type == OPT_T_DUR ? "ms" : "");
	if (!all && o->max && *n > o->max)
		return error_set(err, ERR_USAGE, "%s: %.*s is too large, the most is %llu%s",
			where, SHOWN, value, (unsigned long long)o->max,
			o->type == OPT_T_DUR ? "ms" : "");
	return 0;
}

/* "auto|always|never" as "auto, always, never". */
static int
no_choice(const struct opt *o, const char *where, const char *word, struct error *err)
{
	char list[200], one[40], near[40] = "";
	unsigned best = 3, d;
	struct bytes c;
	size_t at = 0;

	for (size_t i = 0; c = opt_choice(o->choices, i), c.p; i++) {
		snprintf(one, sizeof one, "%.*s", (int)c.n, c.p);
		d = edit_distance(one, word);
		if (d < best && d < strlen(word)) {
			best = d;
			memcpy(near, one, sizeof near);
		}
	}
	for (const char *p = o->choices; *p && at + 3 < sizeof list; p++) {
		list[at++] = *p == '|' ? ',' : *p;
		if (*p == '|')
			list[at++] = ' ';
	}
	list[at] = '\0';
	return error_set(err, ERR_USAGE, "%s: '%s' is none of %s%s%s%s", where, opt_shown(word), list,
		*near ? "; did you mean " : "", near, *near ? "?" : "");
}

static int
choice(const struct opt *o, struct bytes word, int *chosen)
{
	struct bytes c;

	for (int i = 0; c = opt_choice(o->choices, (size_t)i), c.p; i++)
		if (bytes_eq(c, word)) {
			*chosen = i;
			return 0;
		}
	return -1;
}

static int
mask(const struct opt *o, const char *where, const char *value, unsigned *set, struct error *err)
{
	for (const char *p = value;; p++) {
		size_t n = strcspn(p, ",");
		int i;

		if (choice(o, bytes_of(p, n), &i) < 0) {
			char *word = xmemdup0(p, n);

			no_choice(o, where, word, err);
			free(word);
			return -1;
		}
		*set |= 1u << i;
		p += n;
		if (!*p)
			return 0;
	}
}

static int
descriptor(const char *where, const char *value, int *fd, struct error *err)
{
	uint64_t n;

	if (!units_count(value, INT_MAX, &n))
		return bad(err, where, value, "a file descriptor's number");
	if (fcntl((int)n, F_GETFD) < 0)
		return error_set(err, ERR_USAGE,
			"%s: descriptor %d is not open (the shell opens it: %d>file)",
			where, (int)n, (int)n);
	*fd = (int)n;
	return 0;
}

static void
list_add(struct opt_list *l, const char *value)
{
	/* Grows at powers of two, so that many thousand -f stay linear. */
	if ((l->n & (l->n - 1)) == 0)
		l->v = xrealloc(l->v, (l->n ? 2 * l->n : 1) * sizeof *l->v);
	l->v[l->n++] = value;
}

int
opt_store(const struct opt *o, void *args, const char *where, const char *value,
	struct error *err)
{
	void *member = (char *)args + o->offset;
	uint64_t n;

	switch ((enum opt_type)o->type) {
	case OPT_T_FLAG:
		*(bool *)member = true;
		return 0;
	case OPT_T_SET:
		*(int *)member = o->value;
		return 0;
	case OPT_T_STR:
		if ((o->flags & OPT_URL) && !strstr(value, "://"))
			return bad(err, where, value, "a URL (write SCHEME://HOST; a user's name "
				"is --username)");
		*(const char **)member = value;
		return 0;
	case OPT_T_NUM:
	case OPT_T_DUR:
	case OPT_T_SIZE:
		return number(o, where, value, member, err);
	case OPT_T_INT:
		if (!units_count(value, o->max, &n))
			return error_set(err, ERR_USAGE,
				"%s: '%s' is not a whole number up to %llu", where,
				opt_shown(value), (unsigned long long)o->max);
		*(int64_t *)member = (int64_t)n;
		return 0;
	case OPT_T_FD:
		return descriptor(where, value, member, err);
	case OPT_T_CHOICE:
		return choice(o, bytes_str(value), member) < 0 ?
			no_choice(o, where, value, err) : 0;
	case OPT_T_MASK:
		return mask(o, where, value, member, err);
	case OPT_T_LIST:
		list_add(member, value);
		return 0;
	}
	return 0;
}

int
opt_defaults(const struct opt *rows, void *args, struct error *err)
{
	int result = 0;

	for (const struct opt *o = rows; o && o->name; o++) {
		const char *env = o->env ? secret_env(o->env) : NULL;

		if (o->type == OPT_T_FD)
			*(int *)((char *)args + o->offset) = -1;
		if (o->type == OPT_T_INT)
			*(int64_t *)((char *)args + o->offset) = -1;
		/* A row of several that set the same member has the default. */
		if (o->def)
			opt_store(o, args, o->name, o->def, err);
		if (env && *env && opt_store(o, args, o->env, env, err) < 0)
			result = -1;
	}
	return result;
}

void
opt_release(const struct opt *rows, void *args)
{
	for (const struct opt *o = rows; o && o->name; o++)
		if (o->type == OPT_T_LIST) {
			struct opt_list *l = (struct opt_list *)((char *)args + o->offset);

			free(l->v);
			*l = (struct opt_list){ NULL, 0 };
		}
}

/* ---- reading the words ---- */

static int
unknown(struct parser *p, const char *name, size_t len)
{
	const char *hint = opt_hint(p->set, name, len);
	const char *sub = p->set->command, *space = *sub ? " " : "";
	char near[SHOWN];

	/* "mbus pub t -1.5" */
	if (!hint && len == 1 && *sub && strchr(".0123456789", *name))
		hint = "a word that begins with '-' and is no option stands behind -- (a body: -m)";
	if (hint)
		return error_set(p->err, ERR_USAGE, "unknown option %s: %s", p->shown, hint);
	if (opt_nearest(p->set, name, len, near, sizeof near))
		return error_set(p->err, ERR_USAGE,
			"unknown option %s; did you mean %s? (mbus help%s%s lists them)",
			p->shown, near, space, sub);
	return error_set(p->err, ERR_USAGE, "unknown option %s (mbus help%s%s lists them)",
		p->shown, space, sub);
}

static int
met_twice(struct parser *p, const struct opt *o)
{
	const struct opt *rows = p->set->own;
	int table = 0;
	uint64_t bit;

	if (!(o->flags & OPT_ONCE))
		return 0;
	for (const struct opt *r = p->set->common; r && r->name; r++)
		if (r == o) {
			rows = p->set->common;
			table = 1;
		}
	bit = (uint64_t)1 << ((o - rows) & 63);
	if (p->once[table] & bit)
		return error_set(p->err, ERR_USAGE, "%s is given twice; give it once", p->shown);
	p->once[table] |= bit;
	return 0;
}

const char *
opt_was_named(const struct opt_was *w)
{
	static char out[SHOWN + 4];

	snprintf(out, sizeof out, "%s%.*s", w->name.n > 1 ? "--" : "-",
		w->name.n > SHOWN ? SHOWN : (int)w->name.n, w->name.p);
	return out;
}

static void
note_given(struct parser *p, const struct opt *o, struct bytes name, const char *value)
{
	struct opt_given *g = p->set->given;

	if (!g)
		return;
	if ((g->n & (g->n - 1)) == 0)
		g->v = xrealloc(g->v, (g->n ? 2 * g->n : 1) * sizeof *g->v);
	g->v[g->n++] = (struct opt_was){ o, name, value };
}

static int
take(struct parser *p, const struct opt *o, const char *value)
{
	const char *hint;

	if (met_twice(p, o) < 0)
		return -1;
	if (value && !*value && (o->type == OPT_T_STR || o->type == OPT_T_LIST) &&
	    !(o->flags & (OPT_EMPTY | OPT_URL)))
		return error_set(p->err, ERR_USAGE, "%s: it is empty", p->shown);
	note_given(p, o, p->name, value);
	if (opt_store(o, p->args, p->shown, value, p->err) < 0) {
		hint = opt_hint_value(p->set, p->shown, value);
		if (hint)
			error_set(p->err, ERR_USAGE, "%s %s", p->shown, hint);
		return -1;
	}
	if (o->flags & OPT_STOP)
		p->stopped = true;
	return 0;
}

static const char *
next_word(struct parser *p)
{
	return p->i < p->argc ? p->argv[p->i] : NULL;
}

static int
take_next(struct parser *p, const struct opt *o)
{
	const char *value = next_word(p);

	if (!value)
		return error_set(p->err, ERR_USAGE, "%s needs a value: %s %s", p->shown, p->shown,
			o->arg ? o->arg : o->choices ? o->choices : "VALUE");
	p->i++;
	return take(p, o, value);
}

static void
show(struct parser *p, const char *dashes, const char *name, size_t len)
{
	snprintf(p->shown, sizeof p->shown, "%s%.*s", dashes, len > SHOWN ? SHOWN : (int)len, name);
	p->name = bytes_of(name, len);
}

static int
read_long(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;
	const struct opt *o = opt_find(p->set, word, len);

	show(p, "--", word, len);
	if (!o)
		return unknown(p, word, len);
	if (!opt_takes_value(o)) {
		if (value)
			return error_set(p->err, ERR_USAGE, "%s takes no value", p->shown);
		return take(p, o, NULL);
	}
	return value ? take(p, o, value) : take_next(p, o);
}

/* "-topic x" would publish to "opic". Who writes a long name with one dash (as
 * Go programs allow) is told, never misread. */
static int
long_with_one_dash(struct parser *p, const char *word)
{
	size_t len = strcspn(word, "=");

	if (len < 3 || !opt_find(p->set, word, len))
		return 0;
	show(p, "-", word, len);
	return error_set(p->err, ERR_USAGE, "%s: a long option has two dashes: -%s", p->shown,
		p->shown);
}

static int
read_letters(struct parser *p, const char *word)
{
	if (long_with_one_dash(p, word) < 0)
		return -1;
	for (; *word && !p->stopped; word++) {
		const struct opt *o = opt_find_letter(p->set, *word);
		const char *rest = word[1] ? word + 1 : NULL, *hint;

		show(p, "-", word, 1);
		if (!o)
			return unknown(p, word, 1);
		if (opt_takes_value(o))
			return rest ? take(p, o, rest) : take_next(p, o);
		hint = opt_hint_next(p->set, *word, rest ? rest : next_word(p), rest != NULL);
		if (hint)
			return error_set(p->err, ERR_USAGE, "%s %s", p->shown, hint);
		if (take(p, o, NULL) < 0)
			return -1;
	}
	return 0;
}

int
opt_parse(const struct opt_set *set, void *args, int argc, char **argv, bool first_only,
	int *used, struct error *err)
{
	struct parser p = { .set = set, .args = args, .argc = argc, .argv = argv, .err = err };
	int noperands = 0;
	bool only_operands = false;

	while (p.i < argc && !p.stopped) {
		char *word = argv[p.i];

		if (only_operands || word[0] != '-' || !word[1]) {
			if (first_only)
				break;
			argv[noperands++] = word;
			p.i++;
			continue;
		}
		p.i++;
		if (word[1] != '-') {
			if (read_letters(&p, word + 1) < 0)
				return -1;
		} else if (!word[2]) {
			only_operands = true;
		} else if (read_long(&p, word + 2) < 0) {
			return -1;
		}
	}
	if (used)
		*used = p.i;
	return noperands;
}

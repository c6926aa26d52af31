/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: see pattern.h. */
#include "core/pattern.h"

#include <string.h>

enum { SEEN_MAX = 4096 };

/*
 * What the library makes of it, by parentheses: x{3} is compiled as xxx, x{2,} as xxx*, x+
 * as xx*. Its time grows with the places and, from a few dozen on, doubles with each loop
 * (a "*", say) over what may be empty.
 */
struct weight { unsigned long places, loops; };
struct weighing {
	const char *p, *end;
	struct weight sum[PATTERN_DEPTH + 1];	/* of what is within each */
	struct weight last;			/* of what a repetition would repeat */
	unsigned depth;
};

/* "]" and "^]" at its front are letters of it; so is "]" within [:alpha:]. */
static void
skip_bracket(struct weighing *w)
{
	const char *p = w->p + 1;

	if (p < w->end && *p == '^')
		p++;
	if (p < w->end && *p == ']')
		p++;
	while (p < w->end && *p != ']') {
		const char *close;

		if (*p == '[' && p + 1 < w->end && strchr(".:=", p[1]) &&
		    (close = memchr(p + 2, ']', (size_t)(w->end - p - 2))))
			p = close;
		p++;
	}
	w->p = p;
}

static void
add(struct weighing *w, struct weight weight)
{
	w->last = weight;
	w->sum[w->depth].places += weight.places;
	w->sum[w->depth].loops += weight.loops;
}

static void
add_place(struct weighing *w)
{
	add(w, (struct weight){ 1, 0 });
}

/* The last one stands there n times, and again in a loop, or a part of it may be left out. */
static void
repeat(struct weighing *w, unsigned long n, bool loops)
{
	struct weight *sum = &w->sum[w->depth], *last = &w->last;

	sum->places += last->places * (n - 1);
	sum->loops += last->loops * (n - 1) + loops;
	last->places *= n;
	last->loops = last->loops * n + loops;
}

/* "{2,5}"; p is at the brace. */
static void
repeat_braces(struct weighing *w)
{
	unsigned long most = 1, n = 0;
	char before = '{';
	bool loops = false;

	while (w->p + 1 < w->end && *w->p != '}') {
		before = *w->p++;
		if (*w->p >= '0' && *w->p <= '9')
			n = n < PATTERN_MAX ? n * 10 + (unsigned long)(*w->p - '0') : n;
		else
			n = 0;
		most = n > most ? n : most;
		loops |= *w->p == ',';
	}
	repeat(w, before == ',' ? most + 1 : most, loops);
}

/* Why it may cost too much; NULL: it does not. */
static const char *
weigh(struct bytes text)
{
	struct weighing w = { .p = text.p, .end = text.p + text.n };

	for (; w.p < w.end; w.p++) {
		switch (*w.p) {
		case '\\':
			if (w.p + 1 < w.end && w.p[1] >= '1' && w.p[1] <= '9')
				return "a reference back (\\1) is none of POSIX extended";
			w.p++;
			add_place(&w);
			break;
		case '(':
			if (w.depth == PATTERN_DEPTH)
				return "too many parentheses in one another";
			w.sum[++w.depth] = (struct weight){ 0, 0 };
			break;
		case ')':
			if (w.depth) {
				w.depth--;
				add(&w, w.sum[w.depth + 1]);
			}
			break;
		case '{':
			repeat_braces(&w);
			break;
		case '+':
			repeat(&w, 2, true);
			break;
		case '*':
		case '?':
			repeat(&w, 1, true);
			break;
		case '[':
			skip_bracket(&w);
			add_place(&w);
			break;
		default:
			add_place(&w);
		}
		if (w.sum[w.depth].places > PATTERN_MAX)
			return "it is too long, with its repetitions written out";
		if (w.sum[w.depth].loops > PATTERN_LOOPS)
			return "it has too many repetitions (*, +, ?)";
	}
	return NULL;
}

int
pattern_compile(regex_t *to, struct bytes text, struct error *err)
{
	char z[PATTERN_MAX + 1], why[100];
	const char *dear;
	int code;

	if (memchr(text.p, 0, text.n))
		return error_set(err, ERR_USAGE, "a regular expression has no NUL");
	if (text.n > PATTERN_MAX)
		return error_set(err, ERR_USAGE, "a regular expression has up to %d bytes",
			PATTERN_MAX);
	dear = weigh(text);
	if (dear)
		return error_set(err, ERR_USAGE, "not a regular expression that is taken: %s", dear);
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	code = regcomp(to, z, REG_EXTENDED | REG_NOSUB);
	if (!code)
		return 0;
	regerror(code, to, why, sizeof why);
	return error_set(err, ERR_USAGE, "not a regular expression: %s", why);
}

/* In a copy: the library may look for the NUL, wherever it is told to end. */
bool
pattern_is_in(const regex_t *re, struct bytes b)
{
	char z[SEEN_MAX + 1];
	regmatch_t range = { 0, (regoff_t)(b.n < SEEN_MAX ? b.n : SEEN_MAX) };

	memcpy(z, b.p, (size_t)range.rm_eo);
	z[range.rm_eo] = '\0';
	return regexec(re, z, 0, &range, REG_STARTEND) == 0;
}

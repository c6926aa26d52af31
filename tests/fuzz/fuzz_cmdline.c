/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: the input is words with a NUL behind each. The first byte says
 * which command's table reads them. Properties: reading ends in operands that
 * are words of the line, in their order, or in one usage error that names
 * something; the same line reads the same twice; '_' for '-' in a long name
 * changes nothing; what stands behind "--" is an operand; an error comes from
 * the words, so a line whose beginning is wrong stays wrong with more behind it.
 * What is taken as a URL's password is masked wherever the word is shown.
 * Completion of the same words gives whole lines, each of which begins with what
 * was typed.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/address.h"
#include "core/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(cond) do { if (!(cond)) abort(); } while (0)

enum { WORDS_MAX = 64 };

struct line {
	char *words[WORDS_MAX + 2];
	int n;
};

struct reading {
	int noperands;
	struct error err;
	void *args;
};

static const struct opt_set *
table(unsigned i)
{
	static const struct opt_set top = { top_opts, common_opts, "" };
	static struct opt_set set;
	unsigned n = 0;

	while (command_table[n])
		n++;
	i %= n + 1;
	if (i == n)
		return &top;
	set = (struct opt_set){ command_table[i]->opts, common_opts, command_table[i]->name };
	return &set;
}

static size_t
args_size(const struct opt_set *set)
{
	const struct command *cmd = command_find(set->command);

	return cmd ? cmd->args_size : sizeof(struct top_args);
}

static struct reading
read_line(const struct opt_set *set, const struct line *l, char **words)
{
	struct reading r = { .err = ERROR_INIT, .args = xcalloc(1, args_size(set)) };

	common_defaults(r.args, &r.err);
	opt_defaults(set->own, r.args, &r.err);
	memcpy(words, l->words, sizeof l->words);
	r.noperands = opt_parse(set, r.args, l->n, words, false, NULL, &r.err);
	return r;
}

static void
release(const struct opt_set *set, struct reading *r)
{
	opt_release(set->own, r->args);
	common_release(r->args);
	free(r->args);
}

static void
check_outcome(const struct reading *r, const struct line *l, char **words)
{
	int at = 0;

	if (r->noperands < 0) {
		must(r->noperands == -1 && r->err.kind == ERR_USAGE && r->err.text[0]);
		return;
	}
	must(r->err.kind == ERR_NONE && r->noperands <= l->n);
	for (int i = 0; i < r->noperands; i++) {
		while (at < l->n && l->words[at] != words[i])
			at++;
		must(at++ < l->n);
	}
}

static void
check_twice(const struct opt_set *set, const struct reading *a, const struct line *l)
{
	char *words[WORDS_MAX + 2];
	struct reading b = read_line(set, l, words);
	struct common_args *ca = a->args, *cb = b.args;

	must(a->noperands == b.noperands && strcmp(a->err.text, b.err.text) == 0);
	must(ca->log_level == cb->log_level && ca->broker == cb->broker);
	must(ca->xopts.n == cb->xopts.n);
	release(set, &b);
}

/* Long names only: what is behind '=' is the user's. Only where nothing takes
 * the word as its value, that is in a line of one word. */
static void
check_underscore(const struct opt_set *set, char *word)
{
	struct line l = { { word }, 1 };
	char *words[WORDS_MAX + 2];
	struct reading a, b;

	if (strncmp(word, "--", 2) != 0)
		return;
	a = read_line(set, &l, words);
	l.words[0] = xstrdup(word);
	for (char *p = l.words[0] + 2; *p && *p != '='; p++)
		if (*p == '-')
			*p = '_';
	b = read_line(set, &l, words);
	must(a.noperands == b.noperands && a.err.kind == b.err.kind);
	release(set, &a);
	release(set, &b);
	free(l.words[0]);
}

static void
check_more_behind(const struct opt_set *set, const struct reading *a, struct line *l)
{
	char *words[WORDS_MAX + 2];
	struct common_args *c = a->args;
	struct reading b;
	bool ended = false, asked = c->help || c->version;

	/* A last option that lacks its value, or takes the next word: another line. */
	if (a->noperands < 0)
		return;
	for (int i = 0; i < l->n; i++)
		ended |= strcmp(l->words[i], "--") == 0;
	l->words[l->n++] = (char *)"--";
	l->words[l->n++] = (char *)"--no-such-option";
	b = read_line(set, l, words);
	l->n -= 2;
	/* -h, -q and -V without a value look at the word behind them: "--" is none. */
	must(b.noperands >= 0);
	if (!asked && !ended) {
		must(b.noperands == a->noperands + 1);
		must(strcmp(words[b.noperands - 1], "--no-such-option") == 0);
	}
	release(set, &b);
}

/* The password in the first address of a list; n 0: there is none. */
static struct bytes
password_of(struct bytes one)
{
	struct error err;
	struct address a;
	const char *colon;

	if (address_parse(one, &a, &err) < 0 || !a.userinfo.p)
		return bytes_of(NULL, 0);
	colon = memchr(a.userinfo.p, ':', a.userinfo.n);
	if (!colon)
		return bytes_of(NULL, 0);
	return bytes_of(colon + 1, (size_t)(a.userinfo.p + a.userinfo.n - colon - 1));
}

static void
check_mask(const char *word)
{
	struct bytes list = bytes_str(word), one;

	while (address_next(&list, &one)) {
		struct bytes password = password_of(one);
		char *copy = xmemdup0(one.p, one.n);
		size_t n = secret_mask(copy, one.n, false);

		must(n <= one.n && secret_mask(copy, n, false) == n);
		/* What stands behind it is there still, and it is not. */
		if (password.n) {
			size_t at = (size_t)(password.p - one.p), x = 0;

			while (x < 5 && at + x < n && copy[at + x] == 'x')
				x++;
			must(x == (password.n < 5 ? password.n : 5));
			must(n == one.n - password.n + x && copy[at + x] == '@');
		}
		free(copy);
	}
}

static void
check_completion(struct line *l)
{
	struct buf out = BUF_INIT;
	struct bytes word = bytes_str(l->n ? l->words[l->n - 1] : ""), left;

	complete_words(&out, l->n, l->words, false);
	for (left = buf_bytes(&out); left.n;) {
		const char *end = memchr(left.p, '\n', left.n);
		size_t n;

		must(end && end > left.p);
		n = (size_t)(end - left.p);
		must((n == 5 && memcmp(left.p, ":file", 5) == 0) ||
			(n >= word.n && memcmp(left.p, word.p, word.n) == 0));
		left = bytes_of(end + 1, left.n - n - 1);
	}
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct opt_set *set;
	struct reading r;
	struct line l = { .n = 0 };
	char *copy, *words[WORDS_MAX + 2];

	log_level = LOG_QUIET;
	if (size < 1 || size > 4096)
		return 0;
	set = table(data[0]);
	copy = xmemdup0(data + 1, size - 1);
	for (char *p = copy; p < copy + size - 1 && l.n < WORDS_MAX; p += strlen(p) + 1)
		l.words[l.n++] = p;
	r = read_line(set, &l, words);
	check_outcome(&r, &l, words);
	check_twice(set, &r, &l);
	check_more_behind(set, &r, &l);
	for (int i = 0; i < l.n; i++)
		check_underscore(set, l.words[i]), check_mask(l.words[i]);
	check_completion(&l);
	release(set, &r);
	free(copy);
	return 0;
}

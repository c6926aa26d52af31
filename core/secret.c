/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where passwords are kept and how they are kept to ourselves: see secret.h.
 *
 * Against core dumps there is prctl(PR_SET_DUMPABLE, 0), and nothing else. It holds
 * for all memory, also of the libraries that a password passes through, which
 * madvise(MADV_DONTDUMP) on our own copies would not; it holds where core_pattern is
 * a program, to which RLIMIT_CORE does not matter; it is not inherited through exec,
 * as that limit is, by the commands that --ready starts; and it gives /proc/PID to
 * root, so that nobody else reads memory or environ. It is taken back once all is
 * wiped. What it costs: who debugs mbus with a password given has to be root.
 */
#include "core/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/buf.h"

struct kept {
	struct kept *next;
	size_t n;
	char text[];
};

static struct kept *kept;
static int was_dumpable;

static struct hidden {
	const char *name;		/* in memory of secret_keep() */
	const char *value;
} *hidden;
static size_t nhidden;

struct bytes
secret_keep(const char *p, size_t n)
{
	struct kept *k;

	if (!kept) {
		was_dumpable = prctl(PR_GET_DUMPABLE);
		prctl(PR_SET_DUMPABLE, 0);
	}
	k = xmalloc(sizeof *k + n + 1);
	k->next = kept;
	k->n = n;
	if (n)
		memcpy(k->text, p, n);
	k->text[n] = '\0';
	kept = k;
	return bytes_of(k->text, n);
}

void
secret_wipe(void)
{
	if (!kept)
		return;
	while (kept) {
		struct kept *next = kept->next;

		explicit_bzero(kept->text, kept->n);
		free(kept);
		kept = next;
	}
	free(hidden);
	hidden = NULL;
	nhidden = 0;
	if (was_dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1);
}

/* ---- URLs ---- */

/* The next password of a URL behind *at, which moves on. Rather too much than too
 * little: whatever is between the first ':' and the last '@' counts, also where no
 * parser would have it. */
static bool
next_password(const char **at, const char *end, bool to_blank, struct bytes *password)
{
	const char *p = *at;

	while ((p = memmem(p, (size_t)(end - p), "://", 3))) {
		const char *from = p + 3, *stop, *colon, *last;

		stop = memmem(from, (size_t)(end - from), "://", 3);
		if (!stop)
			stop = end;
		for (const char *q = from; to_blank && q < stop; q++)
			if (*q == ' ' || *q == '\n' || *q == '\t')
				stop = q;
		last = memrchr(from, '@', (size_t)(stop - from));
		colon = last ? memchr(from, ':', (size_t)(last - from)) : NULL;
		if (colon && colon + 1 < last) {
			*password = bytes_of(colon + 1, (size_t)(last - colon - 1));
			*at = last;
			return true;
		}
		p = from;
	}
	return false;
}

/* Takes n bytes out of text and puts the first m of `with` in their place. */
static size_t
replace(char *text, size_t len, struct bytes what, size_t m)
{
	char *p = text + (what.p - text);
	size_t behind = len - (size_t)(what.p - text) - what.n;

	memset(p, 'x', m);
	memmove(p + m, p + what.n, behind);
	explicit_bzero(p + m + behind, what.n - m);
	return len - what.n + m;
}

size_t
secret_mask(char *text, size_t n, bool to_blank)
{
	enum { MASK = 5 };
	const char *at = text;
	struct bytes password;

	while (next_password(&at, text + n, to_blank, &password)) {
		size_t m = password.n < MASK ? password.n : MASK;

		n = replace(text, n, password, m);
		at = password.p + m;
	}
	return n;
}

static bool
has_password(const char *text)
{
	const char *at = text;
	struct bytes password;

	return strstr(text, "://") &&
		next_password(&at, text + strlen(text), false, &password);
}

/* ---- argv and environ ---- */

const char *
secret_env(const char *name)
{
	for (size_t i = 0; i < nhidden; i++)
		if (strcmp(hidden[i].name, name) == 0)
			return hidden[i].value;
	return getenv(name);
}

/* Keeps NAME=VALUE for secret_env(). */
static void
hide(const char *entry, const char *eq)
{
	if ((nhidden & (nhidden - 1)) == 0)
		hidden = xrealloc(hidden, (nhidden ? 2 * nhidden : 1) * sizeof *hidden);
	hidden[nhidden].name = secret_keep(entry, (size_t)(eq - entry)).p;
	hidden[nhidden++].value = secret_keep(eq + 1, strlen(eq + 1)).p;
}

/* Of a URL in a variable the whole ":password" goes: a child that inherits it is
 * then told that it has none, and not that it has a wrong one. */
static void
cut_passwords(char *value)
{
	size_t n = strlen(value);
	struct bytes password;
	const char *at = value;

	while (next_password(&at, value + n, false, &password)) {
		password = bytes_of(password.p - 1, password.n + 1);
		n = replace(value, n, password, 0);
		at = password.p;
	}
}

static void
scrub_env(char *entry)
{
	char *eq = strchr(entry, '=');

	if (!eq || (strncmp(entry, "MICRO_", 6) != 0 && strncmp(entry, "MBUS_", 5) != 0))
		return;
	if (strncmp(entry, "MBUS_PASSWORD=", 14) == 0 && eq[1]) {
		hide(entry, eq);
		explicit_bzero(eq + 1, strlen(eq + 1));
	} else if (has_password(eq + 1)) {
		hide(entry, eq);
		cut_passwords(eq + 1);
	}
}

void
secret_scrub(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *word = argv[i];

		if (!has_password(word))
			continue;
		argv[i] = (char *)secret_keep(word, strlen(word)).p;
		secret_mask(word, strlen(word), false);
	}
	for (char **e = environ; e && *e; e++)
		scrub_env(*e);
	unsetenv("MBUS_PASSWORD");
}

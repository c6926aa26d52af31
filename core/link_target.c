/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses a link goes through, and how failures name them: see link_impl.h. */
#include "core/link_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { LEARNT_MAX = 64 };

static const struct link_scheme *
scheme_find(const struct link_options *o, struct bytes name)
{
	const struct link_scheme *s = o->schemes;

	while (s && s->name &&
	    (strlen(s->name) != name.n || strncasecmp(s->name, name.p, name.n) != 0))
		s++;
	return s && s->name ? s : NULL;
}

static int
scheme_unknown(const struct link_options *o, struct bytes name, struct error *err)
{
	struct buf list = BUF_INIT;

	for (const struct link_scheme *s = o->schemes; s && s->name; s++)
		buf_addf(&list, "%s%s://", buf_len(&list) ? ", " : "", s->name);
	error_set(err, ERR_USAGE, "%.*s://: no address of this broker; its URLs begin with %s",
		BYTES_FMT(name), buf_cstr(&list));
	buf_release(&list);
	return -1;
}

static char *
target_word(const struct target *t)
{
	struct bytes host = t->address.host.n ? t->address.host : BYTES("localhost");
	bool v6 = memchr(host.p, ':', host.n);
	struct buf b = BUF_INIT;
	char *name;

	if (t->address.socket.p)
		buf_addf(&b, "unix:%.*s", BYTES_FMT(t->address.socket));
	else
		buf_addf(&b, "%s%.*s%s:%u", v6 ? "[" : "", BYTES_FMT(host), v6 ? "]" : "", t->port);
	name = xstrdup(buf_cstr(&b));
	buf_release(&b);
	return name;
}

/* secure: where the address itself does not say. */
static int
target_parse(const struct link_options *o, struct bytes text, bool secure, struct target *t,
	struct error *err)
{
	const struct link_scheme *s = NULL;

	*t = (struct target){ 0 };
	if (address_parse(text, &t->address, err) < 0)
		return -1;
	if (t->address.scheme.p) {
		s = scheme_find(o, t->address.scheme);
		if (!s && !bytes_eq(t->address.scheme, BYTES("unix")))
			return scheme_unknown(o, t->address.scheme, err);
	}
	t->tls = secure || (s && s->tls);
	t->port = t->address.port ? t->address.port :
		t->tls && o->tls_port ? o->tls_port : o->port;
	t->name = target_word(t);
	return 0;
}

int
targets_parse(struct link *l, struct error *err)
{
	const struct broker_options *o = l->opts.broker;
	bool secure = o->tls && o->tls->on;
	struct bytes list = bytes_str(o->address), one;

	if (!list.n)
		list = bytes_str(l->opts.default_address);
	while (address_next(&list, &one)) {
		l->targets = xrealloc(l->targets, (l->ntargets + 1) * sizeof *l->targets);
		if (target_parse(&l->opts, one, secure, &l->targets[l->ntargets], err) < 0)
			return -1;
		l->ntargets++;
	}
	return l->ntargets ? 0 : error_set(err, ERR_USAGE, "no address is given");
}

static void
target_release(struct target *t)
{
	free(t->text);
	free(t->name);
	free(t->tls_name);
}

void
targets_release(struct link *l)
{
	for (size_t i = 0; i < l->ntargets; i++)
		target_release(&l->targets[i]);
	free(l->targets);
	while (l->learnt) {
		struct target *t = l->learnt;

		l->learnt = t->next;
		target_release(t);
		free(t);
	}
	target_release(&l->elsewhere);
}

/* A server that says only :PORT means itself, and none says that it speaks TLS. */
int
target_redirect(struct link *l, struct bytes address, struct error *err)
{
	const struct target *now = l->target ? l->target : l->targets;
	struct buf whole = BUF_INIT;
	struct target t;
	char *text;

	if (address.n && *address.p == ':')
		buf_addf(&whole, memchr(now->address.host.p, ':', now->address.host.n) ?
			"[%.*s]" : "%.*s", BYTES_FMT(now->address.host));
	buf_add_bytes(&whole, address);
	text = xmemdup0(buf_bytes(&whole).p, buf_len(&whole));
	if (target_parse(&l->opts, bytes_of(text, buf_len(&whole)), now->tls, &t, err) < 0 ||
	    (t.tls && !l->tls)) {
		if (t.name)
			error_set(err, ERR_CONNECT, "%s: redirected to TLS", t.name);
		buf_release(&whole);
		t.text = text;
		target_release(&t);
		return -1;
	}
	buf_release(&whole);
	t.text = text;
	target_release(&l->elsewhere);
	l->elsewhere = t;
	return 0;
}

static bool
is_known(const struct link *l, const char *name)
{
	for (size_t i = 0; i < l->ntargets; i++)
		if (strcmp(l->targets[i].name, name) == 0)
			return true;
	for (const struct target *t = l->learnt; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return true;
	return false;
}

static bool
is_number(struct bytes host)
{
	return memchr(host.p, ':', host.n) || strspn(host.p, "0123456789.") >= host.n;
}

/* Told ones never move, as the user's do not: an attempt may be at one of them. */
void
target_learn(struct link *l, struct bytes address)
{
	const struct target *now = l->target ? l->target : l->targets;
	struct target *t = xcalloc(1, sizeof *t), **end = &l->learnt;
	char *text = xmemdup0(address.p, address.n);
	struct error err;
	bool good = target_parse(&l->opts, bytes_of(text, address.n), now->tls, t, &err) == 0;

	t->text = text;
	if (!good || !t->address.host.n || t->tls != now->tls || l->nlearnt >= LEARNT_MAX ||
	    is_known(l, t->name)) {
		target_release(t);
		free(t);
		return;
	}
	if (is_number(t->address.host) && now->address.host.n)
		t->tls_name = now->tls_name ? xstrdup(now->tls_name) :
			xmemdup0(now->address.host.p, now->address.host.n);
	while (*end)
		end = &(*end)->next;
	*end = t;
	l->nlearnt++;
}

size_t
target_count(const struct link *l)
{
	return l->ntargets + l->nlearnt + (l->elsewhere.name != NULL);
}

const struct target *
target_at(const struct link *l, size_t i)
{
	const struct target *t = l->learnt;

	if (l->elsewhere.name && i-- == 0)
		return &l->elsewhere;
	if (i < l->ntargets)
		return &l->targets[(i + l->from) % l->ntargets];
	for (i -= l->ntargets; i; i--)
		t = t->next;
	return t;
}

void
target_skip(struct link *l)
{
	for (size_t i = 0; i < l->ntargets; i++)
		if (l->target == &l->targets[i])
			l->from = (i + 1) % l->ntargets;
}

const char *
target_tls_name(const struct target *t)
{
	static __thread char name[256];

	if (t->tls_name)
		return t->tls_name;
	if (!t->address.host.n)
		return "localhost";
	snprintf(name, sizeof name, "%.*s", BYTES_FMT(t->address.host));
	return name;
}

/* ---- words ---- */

void
target_advise(const struct target *t, struct error *err)
{
	size_t n = strlen(err->text);

	if (!t->tls)
		snprintf(err->text + n, sizeof err->text - n, " (does this port speak TLS? --tls)");
}

bool
attempt_has_more(const struct link *l)
{
	return l->at < target_count(l);
}

void
attempt_note(struct link *l, const struct error *err)
{
	size_t n = strlen(l->why.text);

	if (retry_is_final(err->kind) || l->why.kind == ERR_NONE) {
		l->why = *err;
		return;
	}
	l->why.kind = error_graver(l->why.kind, err->kind);
	snprintf(l->why.text + n, sizeof l->why.text - n, "; %s", err->text);
}

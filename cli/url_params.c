/* SPDX-License-Identifier: Apache-2.0 */
/* Options in a URL's query: see url_params.h. */
#include "cli/url_params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/heed.h"
#include "cli/settings.h"
#include "core/address.h"
#include "core/nearest.h"
#include "core/secret.h"

/* ---- taking them off ---- */

/* Decoded; NULL: there is a NUL in it. */
static char *
decoded(struct bytes text)
{
	char *p = xmemdup0(text.p, text.n);
	size_t n = address_decode(p, text.n);

	p[n] = '\0';
	if (memchr(p, '\0', n)) {
		free(p);
		return NULL;
	}
	return p;
}

static void
drop(const struct url_param *one)
{
	free((char *)one->name);
	free((char *)one->value);
}

static int
add(struct url_params *p, struct url_param one, struct error *err)
{
	for (size_t i = 0; i < p->n; i++) {
		int r = 0;

		if (strcmp(p->v[i].name, one.name) != 0)
			continue;
		if (strcmp(p->v[i].value, one.value) != 0)
			r = error_set(err, ERR_USAGE, "the URL's parameter %s is there twice; "
				"there can be one", opt_shown(one.name));
		drop(&one);
		return r;
	}
	if ((p->n & (p->n - 1)) == 0)
		p->v = xrealloc(p->v, (p->n ? 2 * p->n : 1) * sizeof *p->v);
	p->v[p->n++] = one;
	return 0;
}

static int
take_one(struct url_params *p, struct bytes text, struct error *err)
{
	const char *eq = memchr(text.p, '=', text.n);
	struct url_param one = { 0 };

	if (!eq || eq == text.p)
		return error_set(err, ERR_USAGE, "the URL's parameters are NAME=VALUE with & "
			"between");
	one.name = decoded(bytes_of(text.p, (size_t)(eq - text.p)));
	one.value = decoded(bytes_of(eq + 1, text.n - (size_t)(eq + 1 - text.p)));
	if (!one.name || !one.value) {
		drop(&one);
		return error_set(err, ERR_USAGE, "the URL's parameters: a NUL in one");
	}
	return add(p, one, err);
}

static int
take_query(struct url_params *p, struct bytes query, struct error *err)
{
	while (query.n) {
		const char *amp = memchr(query.p, '&', query.n);
		size_t n = amp ? (size_t)(amp - query.p) : query.n;

		if (n && take_one(p, bytes_of(query.p, n), err) < 0)
			return -1;
		n += amp != NULL;
		query = bytes_of(query.p + n, query.n - n);
	}
	return 0;
}

int
url_params_take(struct bytes list, const char *own, struct url_params *p, struct buf *out,
	struct error *err)
{
	struct bytes one;
	struct address a;

	while (address_next(&list, &one)) {
		size_t n = one.n;

		if (address_parse(one, &a, err) < 0)
			return -1;
		if (a.query.p && !schemes_have(own, a.scheme)) {
			if (take_query(p, a.query, err) < 0)
				return -1;
			n = (size_t)(a.query.p - 1 - one.p);
			if (n && (one.p[n - 1] == ' ' || one.p[n - 1] == '\t'))
				return error_set(err, ERR_USAGE, "a URL has a blank in front of its "
					"'?'");
		}
		if (buf_len(out))
			buf_add_ch(out, ',');
		buf_add(out, one.p, n);
	}
	return 0;
}

void
url_params_release(struct url_params *p)
{
	for (size_t i = 0; i < p->n; i++)
		drop(&p->v[i]);
	free(p->v);
	*p = (struct url_params){ 0 };
}

/* ---- what they say ---- */

struct applying {
	void *args;
	struct common_args *c;
	const struct opt_set *set;
	const struct command *cmd;
	const struct broker_ops *ops;
	bool on_line;			/* the URL is */
	struct opt_list before;		/* the -X options: ours come before the line's */
	struct error *err;
};

/* Has a row to do with the broker, and with nothing here? */
static bool
may_be_a_parameter(const struct opt *o)
{
	if (o->complete && strcmp(o->complete, "file") == 0)
		return strncmp(o->name, "tls-", 4) == 0 || strcmp(o->name, "cafile") == 0;
	return o->needs || o->choice_needs ||
		(o->use & (USE_SERVER | USE_CONNECT | USE_EVENTS | USE_REGISTRY));
}

static const struct opt *
find_anywhere(const char *name, const struct command **whose)
{
	for (const struct command *const *cmd = command_table; *cmd; cmd++) {
		const struct opt_set set = { (*cmd)->opts, common_opts, (*cmd)->name };
		const struct opt *o = opt_find(&set, name, strlen(name));

		*whose = *cmd;
		if (o)
			return o;
	}
	return NULL;
}

/* Without the broker's name in front. */
static const char *
own_name(const struct broker_ops *ops, const char *name)
{
	size_t n = strlen(ops->name);

	return strncmp(name, ops->name, n) == 0 && name[n] == '.' ? name + n + 1 : name;
}

static const struct broker_option *
find_x(const struct broker_ops *ops, const char *name)
{
	name = own_name(ops, name);
	for (const struct broker_option *o = ops->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static void
consider(const char *name, const char *have, unsigned *best, char *near, size_t size)
{
	unsigned d = edit_distance(name, have);

	if (d >= *best || d >= strlen(name))
		return;
	*best = d;
	snprintf(near, size, "%s", have);
}

static int
unknown(const struct applying *a, const char *name)
{
	const struct opt *tables[] = { a->set->own, a->set->common };
	unsigned best = 3;
	char near[80] = "";

	for (size_t t = 0; t < 2; t++)
		for (const struct opt *o = tables[t]; o && o->name; o++)
			if (!(o->flags & OPT_HIDDEN) && may_be_a_parameter(o))
				consider(name, o->name, &best, near, sizeof near);
	for (const struct broker_option *o = a->ops->options; o && o->name; o++)
		consider(name, o->name, &best, near, sizeof near);
	return error_set(a->err, ERR_USAGE, "the URL's parameter %s: no option of mbus or of the %s "
		"broker is called that%s%s%s", opt_shown(name), a->ops->name,
		*near ? "; did you mean " : "", near, *near ? "?" : "");
}

/* Noted as if it stood on the command line, for cli/heed.h. */
static void
note(struct applying *a, const struct url_param *p)
{
	struct opt_given *g = &a->c->given;

	g->v = xrealloc(g->v, 2 * (g->n + 1) * sizeof *g->v);
	g->v[g->n++] = (struct opt_was){ p->opt, bytes_str(p->name), p->value };
}

static bool
is_given(const struct applying *a, const struct opt *o)
{
	for (size_t i = 0; i < a->c->given.n; i++)
		if (a->c->given.v[i].opt->offset == o->offset)
			return true;
	return false;
}

static bool
applies(const struct applying *a, const struct url_param *p)
{
	const struct opt_was was = { p->opt, { NULL, 0 }, p->value };
	unsigned wants = heed_wanted(&was);

	if (a->on_line)
		return true;		/* or is refused, by cli/heed.h */
	if (a->cmd && p->opt->use && !(a->cmd->uses & p->opt->use))
		return false;
	return !wants || (wants & a->ops->caps);
}

static int
put_switch(struct applying *a, const struct url_param *p, const char *where)
{
	if (strcmp(p->value, "yes") == 0 || strcmp(p->value, "true") == 0)
		return opt_store(p->opt, a->args, where, NULL, a->err);
	if (strcmp(p->value, "no") == 0 || strcmp(p->value, "false") == 0) {
		if (p->opt->type == OPT_T_FLAG)
			*(bool *)((char *)a->args + p->opt->offset) = false;
		return 0;
	}
	return error_set(a->err, ERR_USAGE, "%s: yes or no", where);
}

static int
put_option(struct applying *a, struct url_param *p)
{
	const struct opt *o = p->opt;
	struct opt_list *list;
	char where[140];

	snprintf(where, sizeof where, "the URL's parameter %.60s", opt_shown(p->name));
	if (!may_be_a_parameter(o))
		return error_set(a->err, ERR_USAGE, "%s: this option is for the command line", where);
	if (is_given(a, o) || !applies(a, p))
		return 0;
	if (a->on_line)
		note(a, p);
	if (!opt_takes_value(o))
		return put_switch(a, p, where);
	if (!*p->value && !(o->flags & OPT_EMPTY))
		return error_set(a->err, ERR_USAGE, "%s: it is empty", where);
	if (o->type == OPT_T_LIST) {		/* instead of the profile's */
		list = (struct opt_list *)((char *)a->args + o->offset);
		free(list->v);
		*list = (struct opt_list){ 0 };
	}
	return opt_store(o, a->args, where, p->value, a->err);
}

static int
put_x(struct applying *a, const struct url_param *p)
{
	const struct broker_option *o = find_x(a->ops, p->name);
	unsigned use = o ? o->use : 0, mine = a->cmd ? a->cmd->broker_use : 0;
	struct opt_list *l = &a->before;
	struct buf b = BUF_INIT;

	if (!o && (!a->ops->check_option ||
	    a->ops->check_option(own_name(a->ops, p->name), p->value, &use, a->err) < 0))
		return -1;
	if (o && o->secret)
		return error_set(a->err, ERR_USAGE, "the URL's parameter %s is a secret: it is for "
			"the command line, as -X %s=@FILE", p->name, p->name);
	if (!a->on_line && use && mine && !(use & mine))
		return 0;
	buf_addf(&b, "%s=%s", p->name, p->value);
	l->v = xrealloc(l->v, (l->n + 1) * sizeof *l->v);
	l->v[l->n++] = secret_keep(buf_data(&b), buf_len(&b)).p;
	buf_release(&b);
	return 0;
}

static int
put(struct applying *a, struct url_param *p)
{
	const struct command *whose;

	p->opt = opt_find(a->set, p->name, strlen(p->name));
	/* mqtt's version is not --version. */
	if (find_x(a->ops, p->name) && !(p->opt && may_be_a_parameter(p->opt))) {
		p->opt = NULL;
		return put_x(a, p);
	}
	if (p->opt)
		return put_option(a, p);
	if (find_anywhere(p->name, &whose))
		return !a->on_line ? 0 : error_set(a->err, ERR_USAGE,
			"the URL's parameter %s is for mbus %s", p->name, whose->name);
	if (a->ops->check_option) {
		if (put_x(a, p) == 0)
			return 0;
		/* What its library has not either. */
	}
	return unknown(a, p->name);
}

/* Ours in front of the line's, behind the config file's. */
static void
put_before(struct applying *a, size_t at)
{
	struct opt_list *l = &a->c->xopts;
	size_t n = a->before.n;

	a->c->params->first_x = at;
	a->c->params->nx = n;
	if (n) {
		l->v = xrealloc(l->v, 2 * (l->n + n) * sizeof *l->v);
		memmove(l->v + at + n, l->v + at, (l->n - at) * sizeof *l->v);
		memcpy(l->v + at, a->before.v, n * sizeof *l->v);
		l->n += n;
	}
	free(a->before.v);
}

/* The -X options that the config file put there. */
static size_t
count_file_x(const struct common_args *c)
{
	size_t n = 0;

	while (n < c->xopts.n && c->settings && n < c->settings->nx &&
	    c->xopts.v[n] == c->settings->x[n])
		n++;
	return n;
}

/* The broker of a text with "://" and '?' in it; NULL: there is nothing to take, or it is
 * wrong in a way that connect_urls() words. */
static const struct broker_ops *
ops_of(const struct common_args *c, const char *text)
{
	const struct backend *row = broker_of_scheme(bytes_of(text, strcspn(text, ":")));
	struct error err = ERROR_INIT;

	if (!row || (!c->url && strcmp(row->name, c->broker) != 0))
		return NULL;
	return broker_find(row->name, &err);
}

int
url_params_apply(void *args, const struct opt_set *set, const struct command *cmd,
	struct error *err)
{
	struct common_args *c = args;
	struct applying a = { .args = args, .c = c, .set = set, .cmd = cmd, .err = err };
	const char *text = c->url ? c->url : c->address, *server;
	struct buf out = BUF_INIT;
	int r;

	if (!text || !strchr(text, '?') || !strstr(text, "://") ||
	    (cmd && !(cmd->uses & USE_BROKER)))
		return 0;
	a.ops = ops_of(c, text);
	if (!a.ops)
		return 0;
	a.on_line = heed_given(c, c->url ? "url" : "address");
	c->params = xcalloc(1, sizeof *c->params);
	r = url_params_take(bytes_str(text), a.ops->path_schemes, c->params, &out, err);
	for (size_t i = 0; r == 0 && i < c->params->n; i++)
		r = put(&a, &c->params->v[i]);
	put_before(&a, count_file_x(c));
	server = secret_keep(buf_data(&out), buf_len(&out)).p;
	buf_release(&out);
	if (c->url)
		c->url = server;
	else {
		c->env_address = c->env_address == c->address ? server : c->env_address;
		c->address = server;
	}
	return r;
}

const struct url_param *
url_params_find(const struct common_args *c, const struct opt *o)
{
	for (size_t i = 0; c->params && i < c->params->n; i++)
		if (c->params->v[i].opt == o)
			return &c->params->v[i];
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the config file says, as far as it holds here: see settings.h. */
#include "cli/settings_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/heed.h"
#include "core/nearest.h"
#include "core/registry.h"
#include "core/secret.h"

/* Who comes before whom. */
/* ---- which of its lines are meant ---- */

int
settings_line_error(struct applying *a, const struct profile_line *l, const char *what)
{
	return error_set(a->err, ERR_USAGE, "%s:%u: %s", a->s->file, l->line, what);
}

static int
no_section(struct applying *a)
{
	const char *want = a->c->profile, *near = NULL;
	const struct profile *p = &a->s->profile;
	unsigned best = 4;

	for (size_t i = 0; i < p->nsections; i++) {
		unsigned d = edit_distance(want, p->sections[i]);

		if (d < best && d < strlen(want)) {
			best = d;
			near = p->sections[i];
		}
	}
	return near ?
		error_set(a->err, ERR_USAGE, "there is no profile '%s' in %s; did you mean %s?",
			opt_shown(want), a->s->file, near) :
		error_set(a->err, ERR_USAGE, "there is no profile '%s' in %s", opt_shown(want),
			a->s->file);
}

static bool
is_xname(const char *name)
{
	return strchr(name, '.');
}

static const struct opt *
find_row(const struct opt_set *set, const char *name)
{
	return is_xname(name) ? opt_find_letter(set, 'X') : opt_find(set, name, strlen(name));
}

static int
no_option(struct applying *a, const struct profile_line *l)
{
	struct opt_set set = *a->set;
	char near[80], what[200];
	size_t len = strlen(l->name);
	const char *hint = opt_hint(&set, l->name, len);
	bool found = opt_nearest(&set, l->name, len, near, sizeof near);

	for (const struct command *const *cmd = command_table; *cmd && !found; cmd++) {
		set = (struct opt_set){ (*cmd)->opts, common_opts, (*cmd)->name };
		found = opt_nearest(&set, l->name, len, near, sizeof near);
	}
	if (strcmp(l->name, "X") == 0)
		hint = "write BROKER.NAME = VALUE, as mqtt.version = 5";
	if (strcmp(l->name, "password") == 0)
		hint = "write it into a file of its own, and password-file = FILE";
	if (hint)
		snprintf(what, sizeof what, "no option is called '%.60s': %.100s", l->name, hint);
	else if (found)
		snprintf(what, sizeof what, "no option is called '%.60s'; did you mean %s?",
			l->name, near + (len == 1 ? 1 : 2));
	else
		snprintf(what, sizeof what, "no option is called '%.60s'", l->name);
	return settings_line_error(a, l, what);
}

static bool
another_has(const char *name)
{
	for (const struct command *const *cmd = command_table; *cmd; cmd++) {
		const struct opt_set set = { (*cmd)->opts, common_opts, (*cmd)->name };

		if (find_row(&set, name))
			return true;
	}
	return false;
}

/* Of a command line, and of nothing else. */
static bool
is_of_a_line(const struct opt *o)
{
	return (o->flags & OPT_STOP) || strcmp(o->name, "config") == 0 ||
		strcmp(o->name, "profile") == 0;
}

/* The same member, by any of its rows. */
static bool
same_member(const struct opt *a, const struct opt *b)
{
	return a->offset == b->offset;
}

static bool
is_list(const struct opt *o)
{
	return o->type == OPT_T_LIST || o->type == OPT_T_MASK;
}

static int
collect_one(struct applying *a, const struct profile_line *l, enum layer layer)
{
	const struct opt *o = find_row(a->set, l->name);
	bool other = !o && another_has(l->name);
	char what[120];

	if (!o && !other)
		return no_option(a, l);
	if (o && is_of_a_line(o)) {
		snprintf(what, sizeof what, "%s is for the command line", o->name);
		return settings_line_error(a, l, what);
	}
	if (other || (a->cmd && o->use && !(a->cmd->uses & o->use)))
		return 0;
	/* Whose password this is, is a broker's affair; a registry does not get it. */
	if (a->cmd && settings_is_where(o) && !(a->cmd->uses & USE_BROKER))
		return 0;
	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->v[i];

		if (!same_member(e->opt, o) || !*o->name)
			continue;
		if (e->layer == layer && e->opt == o && !is_list(o)) {
			snprintf(what, sizeof what, "%s stands in line %u, too", o->name,
				e->line->line);
			return settings_line_error(a, l, what);
		}
		if (e->layer != layer || !is_list(o))
			e->out = true;
	}
	a->v[a->n++] = (struct entry){ l, o, layer, false };
	return 0;
}

static int
collect(struct applying *a, const char *section, enum layer layer)
{
	const struct profile *p = &a->s->profile;

	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->v[i].section, section) == 0 &&
		    collect_one(a, &p->v[i], layer) < 0)
			return -1;
	return 0;
}

/* ---- what holds ---- */

static bool
on_line(const struct common_args *c, const struct opt *o)
{
	for (size_t i = 0; i < c->given.n; i++)
		if (same_member(c->given.v[i].opt, o))
			return true;
	return false;
}

static bool
in_env(const struct opt *o)
{
	const char *env = o->env ? secret_env(o->env) : NULL;

	return env && *env;
}

static void
drop_overruled(struct applying *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->v[i];

		if (!*e->opt->name)
			continue;		/* -X: each name by itself */
		if (on_line(a->c, e->opt) || (e->layer < LAYER_ENV && in_env(e->opt)))
			e->out = true;
	}
}

/* ---- putting it there ---- */

static int
put_switch(struct applying *a, const struct entry *e, const char *where)
{
	static const char *const words[] = { "yes", "true", "on", "no", "false", "off" };
	size_t i = 0;
	char what[120];

	while (i < 6 && strcmp(words[i], e->line->value) != 0)
		i++;
	if (i == 6) {
		snprintf(what, sizeof what, "%s: yes or no", e->opt->name);
		return settings_line_error(a, e->line, what);
	}
	if (i < 3)
		return opt_store(e->opt, a->args, where, NULL, a->err);
	if (e->opt->type == OPT_T_FLAG)
		*(bool *)((char *)a->args + e->opt->offset) = false;
	return 0;
}

static void
note(struct applying *a, const struct entry *e)
{
	a->s->v[a->s->n++] = (struct setting){ e->opt, e->line->value, e->line->section,
		e->line->line };
}

/* A name that no table has is wrong here, not where it is used. */
static int
check_backend(struct applying *a, const struct entry *e)
{
	const char *kind = e->opt->complete ? e->opt->complete : "", *name = e->line->value;
	bool broker = strcmp(kind, "broker") == 0;
	const struct backend *row = broker ? broker_table :
		strcmp(kind, "registry") == 0 ? registry_table : NULL;

	while (row && row->name && strcmp(row->name, name) != 0)
		row++;
	if (!row || row->name)
		return 0;
	if (broker ? broker_find(name, a->err) != NULL : registry_find(name, a->err) != NULL)
		return 0;
	return settings_line_error(a, e->line, strdupa(a->err->text));
}

static int
put(struct applying *a, struct entry *e)
{
	const struct opt *o = e->opt;
	char where[600];

	if (e->out)
		return 0;
	e->out = true;		/* it is done */
	snprintf(where, sizeof where, "%s:%u: %s", a->s->file, e->line->line, o->name);
	note(a, e);
	if (!opt_takes_value(o))
		return put_switch(a, e, where);
	if (!*e->line->value && !(o->flags & (OPT_EMPTY | OPT_URL)))
		return settings_line_error(a, e->line, "it is empty");
	return check_backend(a, e) < 0 ? -1 :
		opt_store(o, a->args, where, e->line->value, a->err);
}

static int
put_where(struct applying *a)
{
	struct common_args *c = a->c;

	for (size_t i = 0; i < a->n; i++)
		if (settings_is_where(a->v[i].opt) && put(a, &a->v[i]) < 0)
			return -1;
	/* What the command line changed is told by these. */
	if (!heed_given(c, "broker"))
		c->env_broker = c->broker;
	if (!heed_given(c, "address"))
		c->env_address = c->address;
	return 0;
}

/* What a broker has not is ignored, as with the environment. */
static bool
lacks(const struct applying *a, const struct opt_was *was, const struct broker_ops *ops)
{
	unsigned wants = heed_wanted(was);

	return wants && (!ops || !(wants & (ops->caps | a->c->excused)));
}

static bool
names_backend(const char *name, size_t n)
{
	const struct backend *tables[] = { broker_table, registry_table };

	for (size_t t = 0; t < 2; t++)
		for (const struct backend *row = tables[t]; row->name; row++)
			if (strlen(row->name) == n && memcmp(row->name, name, n) == 0)
				return true;
	return false;
}

/* Is this -X option one of this command with this broker? */
static int
check_broker_x(struct applying *a, const struct entry *e, const char *name,
	const struct broker_ops *ops, bool *holds)
{
	const struct broker_option *o = xopt_find(ops->options, name);
	unsigned use = o ? o->use : 0, mine = a->cmd ? a->cmd->broker_use : 0;
	char what[200];

	if (!o && ops->check_option) {
		if (ops->check_option(name, e->line->value, &use, a->err) < 0)
			return settings_line_error(a, e->line, strdupa(a->err->text));
	} else if (!o) {
		snprintf(what, sizeof what, "-X: the %s broker has no option %.60s", ops->name,
			name);
		return settings_line_error(a, e->line, what);
	}
	*holds = !use || !mine || (use & mine);
	return 0;
}

/* Adds NAME=VALUE in front of what the command line has, which comes last and wins. */
static void
add_x(struct applying *a, const struct entry *e)
{
	struct opt_list *l = &a->c->xopts;
	struct settings *s = a->s;
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s=%s", e->line->name, e->line->value);
	l->v = xrealloc(l->v, 2 * (l->n + 1) * sizeof *l->v);
	memmove(l->v + s->nx + 1, l->v + s->nx, (l->n - s->nx) * sizeof *l->v);
	l->n++;
	s->x = xrealloc(s->x, (s->nx + 1) * sizeof *s->x);
	l->v[s->nx] = s->x[s->nx] = xmemdup0(buf_data(&b), buf_len(&b));
	s->nx++;
	buf_release(&b);
	note(a, e);
}

static bool
is_prefix(const char *name, size_t n, const char *backend)
{
	return strlen(backend) == n && memcmp(name, backend, n) == 0;
}

/* BROKER.NAME or REGISTRY.NAME. */
static int
put_x(struct applying *a, const struct entry *e, const struct broker_ops *ops)
{
	const char *name = e->line->name;
	size_t n = strcspn(name, ".");
	const struct registry_ops *registry;
	const struct broker_option *row;
	bool holds = false;
	unsigned mine;
	char what[200];

	if (!names_backend(name, n)) {
		snprintf(what, sizeof what, "no broker or registry is called %.60s", name);
		return settings_line_error(a, e->line, what);
	}
	if (ops && is_prefix(name, n, ops->name)) {
		if (check_broker_x(a, e, name + n + 1, ops, &holds) < 0)
			return -1;
	} else if (is_prefix(name, n, a->c->registry) &&
	    (ops ? ops->caps & BROKER_REGISTRY : a->cmd && a->cmd->uses & USE_REGISTRY)) {
		registry = registry_find(a->c->registry, a->err);
		if (!registry)
			return -1;
		row = xopt_find(registry->options, name + n + 1);
		if (!row) {
			snprintf(what, sizeof what, "the %s registry has no option %.60s",
				registry->name, name + n + 1);
			return settings_line_error(a, e->line, what);
		}
		mine = a->cmd ? a->cmd->broker_use : 0;
		holds = !row->use || !mine || (row->use & mine);
	}
	if (holds)
		add_x(a, e);
	return 0;
}

/* The broker, if it is one and its module can be loaded; who uses it says why not. */
static const struct broker_ops *
broker_meant(const struct applying *a)
{
	struct error err = ERROR_INIT;
	const struct common_args *c = a->c;

	if (a->cmd && !(a->cmd->uses & USE_BROKER))
		return NULL;
	return broker_find(c->url ? settings_broker_of(c->url) : c->broker, &err);
}

static int
put_rest(struct applying *a)
{
	const struct broker_ops *ops = NULL;
	bool asked = false;

	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->v[i];
		bool x = !*e->opt->name;
		struct opt_was was = { e->opt, { NULL, 0 }, e->line->value };

		if (e->out)
			continue;
		if (!asked && (x || heed_wanted(&was)))
			ops = broker_meant(a);
		asked = asked || x || heed_wanted(&was);
		if (x ? put_x(a, e, ops) < 0 :
		    !lacks(a, &was, ops) && put(a, e) < 0)
			return -1;
	}
	return 0;
}

static int
apply(struct applying *a)
{
	struct common_args *c = a->c;
	enum layer chosen = c->profile && heed_given(c, "profile") ? LAYER_CHOSEN :
		LAYER_CHOSEN_ENV;

	if (c->profile && !profile_has(&a->s->profile, c->profile))
		return no_section(a);
	if (collect(a, "default", LAYER_DEFAULT) < 0 ||
	    (c->profile && strcmp(c->profile, "default") != 0 &&
	    collect(a, c->profile, chosen) < 0))
		return -1;
	drop_overruled(a);
	settings_drop_elsewhere(a);
	settings_drop_unfit(a);
	a->s->v = xcalloc(a->n + 1, sizeof *a->s->v);
	return settings_check_where(a) < 0 || put_where(a) < 0 || put_rest(a) < 0 ? -1 : 0;
}

int
settings_apply(void *args, const struct opt_set *set, const struct command *cmd,
	int noperands, char **operands, struct error *err)
{
	struct applying a = { .args = args, .c = args, .set = set, .cmd = cmd, .err = err,
		.operands = operands, .noperands = noperands };
	int r;

	if (settings_read(a.c, err) < 0)
		return -1;
	a.s = a.c->settings;
	if (!a.s->text)
		return 0;
	a.v = xcalloc(a.s->profile.n + 1, sizeof *a.v);
	r = apply(&a);
	free(a.v);
	return r;
}

const struct setting *
settings_find(const struct common_args *c, const struct opt *o)
{
	const struct settings *s = c->settings;

	for (size_t i = s ? s->n : 0; i-- > 0;)
		if (s->v[i].opt == o)
			return &s->v[i];
	return NULL;
}

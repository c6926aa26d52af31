/* SPDX-License-Identifier: Apache-2.0 */
/* The brokers that mbus bench measures, and what is said to each of them alone: by its
 * URL's parameters, and by -X NAME.OPTION; see bench_plan.h. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench_plan.h"
#include "cli/connect.h"
#include "cli/url_params.h"
#include "core/registry.h"

/* "N:V", "N=V" or "N", as pub has it. */
static int
read_headers(struct bench_target *t, const struct opt_list *l, struct error *err)
{
	t->headers = xcalloc(l->n + 1, sizeof *t->headers);
	for (size_t i = 0; i < l->n; i++) {
		const char *text = l->v[i];
		size_t n = strcspn(text, ":=");

		if (!n)
			return error_set(err, ERR_USAGE, "-H: a header has a name (N:V)");
		t->headers[i].name = bytes_of(text, n);
		if (text[n]) {
			const char *v = text + n + 1;

			t->headers[i].value = bytes_str(v + (text[n] == ':' && *v == ' '));
		}
	}
	t->nheaders = l->n;
	return 0;
}

/* ---- what a URL says ---- */

static void
own_lists(const struct opt *rows, struct bench_args *own)
{
	for (const struct opt *o = rows; o->name; o++)
		if (o->type == OPT_T_LIST) {
			struct opt_list *l = (struct opt_list *)((char *)own + o->offset);
			const char **v = xcalloc(l->n + 1, sizeof *v);

			memcpy(v, l->v, l->n * sizeof *v);
			l->v = v;
		}
}

/* --on URL is --url for that run, parameters and all. */
static int
own_args(struct bench_target *t, const struct bench_args *a, struct error *err)
{
	const struct command *cmd = a->common.command;
	const struct opt_set set = { cmd->opts, common_opts, cmd->name, NULL };
	struct bench_args *own = xmalloc(sizeof *own);
	struct common_args *c = &own->common;
	struct opt_given *g = &c->given;
	const struct opt_was *was = a->common.given.v;

	*own = *a;
	t->own = own;
	own_lists(common_opts, own);
	own_lists(cmd->opts, own);
	/* As url_params.c adds to it: twice as many each time. */
	g->v = xcalloc(2 * (g->n + 1), sizeof *g->v);
	if (was)
		memcpy(g->v, was, g->n * sizeof *g->v);
	g->v[g->n++] = (struct opt_was){ opt_find(&set, "url", 3), BYTES("on"), t->url };
	c->params = NULL;
	c->xpairs = NULL;
	c->nxpairs = 0;
	c->broker = c->env_broker = "";
	c->address = c->env_address = NULL;
	c->url = t->url;
	if (url_params_apply(own, &set, cmd, err) < 0)
		return -1;
	return common_resolve(c, err);
}

static void
own_release(struct bench_target *t)
{
	struct common_args *c = t->own ? &t->own->common : NULL;

	if (!c)
		return;
	c->settings = NULL;		/* they are the command's */
	opt_release(c->command->opts, t->own);
	common_release(c);
	free(t->own);
}

struct bench_args *
plan_args(const struct bench_plan *p, size_t i)
{
	return p->targets[i].own ? p->targets[i].own : p->args;
}

void
plan_targets_release(struct bench_plan *p)
{
	for (size_t i = 0; i < p->ntargets; i++) {
		own_release(&p->targets[i]);
		free((char *)p->targets[i].broker);
		free(p->targets[i].headers);
	}
	free(p->targets);
}

/* ---- the list ---- */

static int
add_target(struct bench_plan *p, const char *broker, const char *url, struct error *err)
{
	struct bench_target *t;

	if (p->ntargets == 100)
		return error_set(err, ERR_USAGE, "over a hundred brokers");
	p->targets = xrealloc(p->targets, (p->ntargets + 1) * sizeof *p->targets);
	t = &p->targets[p->ntargets++];
	*t = (struct bench_target){ .broker = broker, .url = url };
	if (url && own_args(t, p->args, err) < 0)
		return -1;
	return read_headers(t, &(t->own ? t->own : p->args)->headers, err);
}

int
plan_targets(struct bench_plan *p, struct error *err)
{
	const struct bench_args *a = p->args;
	bool several = a->brokers || a->on.n;

	if (several && (a->common.url || a->common.broker != a->common.env_broker ||
	    a->common.address != a->common.env_address))
		return error_set(err, ERR_USAGE, "%s says which brokers, and so does %s: one of them",
			a->brokers ? "--brokers" : "--on", a->common.url ? "--url" :
			a->common.address != a->common.env_address ? "-b" : "-B");
	for (const char *text = a->brokers; text && *text;) {
		size_t n = strcspn(text, ",");

		if (n && add_target(p, xmemdup0(text, n), NULL, err) < 0)
			return -1;
		text += n + (text[n] == ',');
	}
	for (size_t i = 0; i < a->on.n; i++) {
		if (!strstr(a->on.v[i], "://"))
			return error_set(err, ERR_USAGE, "--on: write SCHEME://HOST (a broker at its "
				"own address: --brokers NAME)");
		if (add_target(p, NULL, a->on.v[i], err) < 0)
			return -1;
	}
	return p->ntargets ? 0 : add_target(p, NULL, NULL, err);
}

/* ---- what is for whom ---- */

/* The row whose name a -X option begins with: "mqtt.version" is mqtt's. */
static const struct backend *
prefix_of(const struct backend *table, const char *option)
{
	size_t n = strcspn(option, ".");

	while (table->name && (!option[n] || strlen(table->name) != n ||
	    strncmp(table->name, option, n) != 0))
		table++;
	return table->name ? table : NULL;
}

/* NULL: no broker has the scheme of its URL. */
static const char *
target_broker(const struct bench_target *t)
{
	const char *end = t->url ? strstr(t->url, "://") : NULL;
	const struct backend *row = end ?
		broker_of_scheme(bytes_of(t->url, (size_t)(end - t->url))) : NULL;

	return t->broker ? t->broker : row ? row->name : NULL;
}

static bool
is_target(const struct bench_plan *p, const char *broker)
{
	for (size_t i = 0; i < p->ntargets; i++) {
		const char *name = target_broker(&p->targets[i]);

		if (name && strcmp(name, broker) == 0)
			return true;
	}
	return false;
}

/* -X NAME.OPTION=... is for that one of several brokers, or for those with that
 * registry, and for nobody else. */
int
plan_xopts(struct bench_plan *p, struct bench_job *job, struct error *err)
{
	struct common_args *c = &job->common;
	const struct broker_ops *ops = broker_find(c->broker, err);
	struct broker_xopt *own = xcalloc(c->nxpairs + 1, sizeof *own);
	size_t n = 0;
	int r = ops ? 0 : -1;

	for (size_t i = 0; i < c->nxpairs && r == 0; i++) {
		const char *name = c->xpairs[i].name;
		const struct backend *row = prefix_of(broker_table, name);
		bool several = p->ntargets > 1;

		if (several && row && !is_target(p, row->name))
			r = error_set(err, ERR_USAGE, "-X %.60s: %s is none of the brokers that are "
				"measured", name, row->name);
		else if (several && row && strcmp(row->name, c->broker) != 0)
			;
		else if (several && !row && prefix_of(registry_table, name) &&
		    !(ops->caps & BROKER_REGISTRY))
			;
		else
			own[n++] = c->xpairs[i];
	}
	c->xpairs = own;
	c->nxpairs = n;
	return r;
}

/* --registry acts on those of several brokers that have one; where none has, it is left to
 * be refused. */
void
plan_given(struct bench_plan *p, struct bench_job *job)
{
	struct opt_given *g = &job->common.given;
	struct opt_was *own = xcalloc(g->n + 1, sizeof *own);
	bool needed = false;
	size_t n = 0;
	struct error err;

	for (size_t i = 0; i < p->ntargets && p->ntargets > 1; i++) {
		const char *name = target_broker(&p->targets[i]);
		const struct broker_ops *ops = name ? broker_find(name, &err) : NULL;

		needed = needed || (ops && (ops->caps & BROKER_REGISTRY));
	}
	for (size_t i = 0; i < g->n; i++)
		if (!needed || !(g->v[i].opt->needs & BROKER_REGISTRY))
			own[n++] = g->v[i];
	g->v = own;
	g->n = n;
}

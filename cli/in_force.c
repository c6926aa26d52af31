/* SPDX-License-Identifier: Apache-2.0 */
/* What would be used: see in_force.h. Also `mbus --list -v`. */
#include "cli/in_force.h"

#include <stdio.h>
#include <string.h>

#include "cli/connect.h"
#include "cli/heed.h"
#include "cli/settings.h"
#include "cli/shown.h"
#include "cli/url_params.h"
#include "core/registry.h"
#include "core/secret.h"
#include "core/units.h"

/* A value as text, without passwords. */
static const char *
value_text(const struct common_args *c, const struct opt *o, char *text, size_t size)
{
	const void *member = (const char *)c + o->offset;
	const char *s;
	size_t n;

	switch ((enum opt_type)o->type) {
	case OPT_T_FLAG:
		return *(const bool *)member ? "yes" : "no";
	case OPT_T_CHOICE:
		snprintf(text, size, "%.*s", BYTES_FMT(opt_choice(o->choices,
			(size_t)*(const int *)member)));
		return text;
	case OPT_T_DUR:
		snprintf(text, size, "%llums", (unsigned long long)*(const uint64_t *)member);
		return *(const uint64_t *)member ? text : NULL;
	case OPT_T_STR:
		s = *(const char *const *)member;
		if (!s)
			return NULL;
		snprintf(text, size, "%s", s);
		n = secret_mask(text, strlen(text), false);
		text[n] = '\0';
		return text;
	default:
		return NULL;
	}
}

static const struct opt_was *
on_line(const struct common_args *c, const struct opt *o)
{
	for (size_t i = c->given.n; i-- > 0;)
		if (c->given.v[i].opt->offset == o->offset)
			return &c->given.v[i];
	return NULL;
}

/* A row by its origin; the places are written into text. */
static struct in_force
of_row(const struct common_args *c, const struct opt *o, char *text, size_t size)
{
	struct in_force f = { .option = o->name };
	const struct opt_was *was = on_line(c, o);
	const struct url_param *param = url_params_find(c, o);
	const struct setting *set = settings_find(c, o);
	const char *env = o->env ? secret_env(o->env) : NULL;

	if (param && (!was || was->name.p == param->name)) {
		f.from = "url";
		snprintf(text, size, "?%s", o->name);
	} else if (was) {
		f.from = "option";
		snprintf(text, size, "%s", opt_was_named(was));
	} else if (set) {
		f.from = "profile";
		snprintf(text, size, "%s:%u [%s]", c->settings->file, set->line, set->section);
	} else if (env && *env) {
		f.from = "environment";
		snprintf(text, size, "%s", o->env);
	} else {
		f.from = o->def || o->type == OPT_T_FLAG ? "default" : "unset";
	}
	f.place = strcmp(f.from, "default") == 0 || strcmp(f.from, "unset") == 0 ? NULL : text;
	return f;
}

/* Not what acts at once, nor how much is said. */
static bool
is_setting(const struct opt *o)
{
	return *o->name && !(o->flags & (OPT_HIDDEN | OPT_STOP)) && o->type != OPT_T_SET;
}

static const struct opt *
row(const char *name)
{
	const struct opt_set set = { NULL, common_opts, "" };

	return opt_find(&set, name, strlen(name));
}

/* What a URL says besides, and the broker's own default. */
static void
refine(const struct common_args *c, const struct opt *o, struct in_force *f, char *text,
	size_t size)
{
	bool broker = strcmp(o->name, "broker") == 0, user = strcmp(o->name, "username") == 0;
	struct error err;
	const struct broker_ops *ops;
	const struct registry_ops *registry;

	if ((broker || strcmp(o->name, "address") == 0) && c->url) {
		*f = of_row(c, row("url"), text, size);
		f->option = o->name;
		f->value = broker ? c->broker : c->server;
	} else if (user && !c->username && c->url_user) {
		*f = of_row(c, row(c->url ? "url" : "address"), text, size);
		f->option = o->name;
		f->value = c->url_user;
	}
	if (f->value)
		return;
	ops = strcmp(o->name, "address") == 0 ? broker_find(c->broker, &err) : NULL;
	registry = strcmp(o->name, "registry-address") == 0 ? registry_find(c->registry, &err) :
		NULL;
	f->value = ops ? ops->default_address : registry ? registry->default_address : NULL;
	if (f->value)
		f->from = "default";
}

struct in_force
in_force_one(const struct common_args *c, const char *option)
{
	static char value[1024], place[1200];
	const struct opt *o = row(option);
	struct in_force f;

	if (!o)
		return (struct in_force){ 0 };
	f = of_row(c, o, place, sizeof place);
	f.value = value_text(c, o, value, sizeof value);
	refine(c, o, &f, place, sizeof place);
	return f;
}

/* Its value is never shown; where it is from is. */
static void
each_password(const struct common_args *c, in_force_fn *fn, void *arg)
{
	struct in_force f = { .option = "password", .value = "xxxxx", .from = "environment" };
	const char *text = secret_env("MBUS_PASSWORD"), *file = secret_env("MBUS_PASSWORD_FILE");

	if (c->password_file)
		return;
	if (c->url_password.p) {
		f.from = in_force_one(c, c->url ? "url" : "address").from;
		f.place = in_force_one(c, c->url ? "url" : "address").place;
	} else if (text && *text) {
		f.place = "MBUS_PASSWORD";
	} else if (file && *file) {
		f.place = "MBUS_PASSWORD_FILE";
	} else {
		return;
	}
	fn(&f, arg);
}

static bool
is_secret_x(const struct common_args *c, const char *name)
{
	struct error err;
	const struct broker_ops *ops = broker_find(c->broker, &err);
	const struct registry_ops *registry = registry_find(c->registry, &err);
	const struct broker_option *tables[] = { ops ? ops->options : NULL,
		registry ? registry->options : NULL };
	const char *dot = strchr(name, '.');

	for (size_t t = 0; t < 2; t++)
		for (const struct broker_option *o = tables[t]; o && o->name; o++)
			if (o->secret && (strcmp(o->name, name) == 0 ||
			    (dot && strcmp(o->name, dot + 1) == 0)))
				return true;
	return false;
}

/* xpairs are the xopts, in their order: the file's, the URL's, the line's. */
static void
each_x(const struct common_args *c, in_force_fn *fn, void *arg)
{
	size_t nfile = c->settings ? c->settings->nx : 0;
	size_t nurl = nfile + (c->params ? c->params->nx : 0);
	char place[1200];

	for (size_t i = 0, s = 0; i < c->nxpairs; i++) {
		struct in_force f = { .option = c->xpairs[i].name, .place = place,
			.value = is_secret_x(c, c->xpairs[i].name) ? "xxxxx" :
				c->xpairs[i].value };

		if (i < nfile) {
			while (*c->settings->v[s].opt->name)
				s++;
			f.from = "profile";
			snprintf(place, sizeof place, "%s:%u [%s]", c->settings->file,
				c->settings->v[s].line, c->settings->v[s].section);
			s++;
		} else if (i < nurl) {
			f.from = "url";
			snprintf(place, sizeof place, "?%s", f.option);
		} else {
			f.from = "option";
			snprintf(place, sizeof place, "-X");
		}
		fn(&f, arg);
	}
}

/* "pub sub": the commands that have this option, and mbus itself has not. */
static bool
add_commands(struct buf *out, const char *name)
{
	for (const struct command *const *cmd = command_table; *cmd; cmd++) {
		const struct opt_set set = { (*cmd)->opts, NULL, (*cmd)->name };

		if (opt_find(&set, name, strlen(name)))
			buf_addf(out, "%s%s", buf_len(out) ? " " : "", (*cmd)->name);
	}
	return buf_len(out);
}

static bool
in_use(const struct common_args *c, const struct profile_line *l)
{
	return strcmp(l->section, "default") == 0 ||
		(c->profile && strcmp(l->section, c->profile) == 0);
}

/* What the file says for commands alone. The last of one name holds. */
static void
each_for_commands(const struct common_args *c, in_force_fn *fn, void *arg)
{
	const struct profile *p = c->settings ? &c->settings->profile : NULL;
	struct buf only = BUF_INIT;
	char place[1200];

	for (size_t i = 0; p && i < p->n; i++) {
		struct in_force f = { p->v[i].name, p->v[i].value, "profile", place, NULL };

		buf_clear(&only);
		if (!in_use(c, &p->v[i]) || row(f.option) || strchr(f.option, '.') ||
		    !add_commands(&only, f.option))
			continue;
		snprintf(place, sizeof place, "%s:%u [%s]", c->settings->file, p->v[i].line,
			p->v[i].section);
		f.only = buf_cstr(&only);
		fn(&f, arg);
	}
	buf_release(&only);
}

void
in_force_each(const struct common_args *c, in_force_fn *fn, void *arg)
{
	for (const struct opt *o = common_opts; o->name; o++) {
		struct in_force f;

		if (!is_setting(o))
			continue;
		f = in_force_one(c, o->name);
		fn(&f, arg);
		if (strcmp(o->name, "password-file") == 0)
			each_password(c, fn, arg);
	}
	each_x(c, fn, arg);
	each_for_commands(c, fn, arg);
}

void
in_force_add_origin(struct buf *out, const struct in_force *f)
{
	buf_add_str(out, f->from);
	if (f->place) {
		buf_add_ch(out, ' ');
		add_shown(out, f->place);
	}
	if (f->only)
		buf_addf(out, ", for %s", f->only);
}

/* ---- mbus --list -v ---- */

static void
text_line(const struct in_force *f, void *arg)
{
	struct buf *out = arg, value = BUF_INIT;

	if (!f->value && strcmp(f->from, "unset") == 0)
		return;
	add_shown(&value, f->value ? f->value : "");
	buf_addf(out, "%-18s %-24s ", f->option, buf_cstr(&value));
	in_force_add_origin(out, f);
	buf_add_ch(out, '\n');
	buf_release(&value);
}

static void
json_line(const struct in_force *f, void *arg)
{
	struct buf *out = arg;

	buf_add_str(out, "{\"v\":1,\"type\":\"setting\"");
	add_json_member(out, "option", f->option);
	add_json_member(out, "value", f->value);
	add_json_member(out, "from", f->from);
	add_json_member(out, "place", f->place);
	add_json_member(out, "for", f->only);
	buf_add_str(out, "}\n");
}

int
list_in_force(struct buf *out, struct common_args *c, bool json, struct error *err)
{
	if (common_url(c, err) < 0)
		return -1;
	in_force_each(c, json ? json_line : text_line, out);
	return 0;
}

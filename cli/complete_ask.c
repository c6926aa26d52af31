/* SPDX-License-Identifier: Apache-2.0 */
/* Names for completion, from whom a command would ask: see complete_ask.h. */
#include "cli/complete_ask.h"

#include <string.h>

#include "cli/settings.h"
#include "cli/url_params.h"
#include "core/listing.h"
#include "core/registry.h"

struct asking {
	struct loop *loop;
	struct loop_timer limit;
	struct lookup lookup;
	complete_name_fn *fn;
	void *arg;
	bool late;
};

static void
asking_late(struct loop_timer *t)
{
	struct asking *a = t->arg;

	a->late = true;
	loop_stop(a->loop);
}

/* Without what stands for a name that cannot be typed. */
static void
tell(struct asking *a, const char *name, size_t n)
{
	char text[256];

	if (!n || n >= sizeof text)
		return;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f)
			return;
	memcpy(text, name, n);
	text[n] = '\0';
	a->fn(text, a->arg);
}

static void
listed(struct broker *b, const struct listing *l, const struct error *err, void *arg)
{
	struct asking *a = arg;

	(void)b;
	for (size_t i = 0; !err && !a->late && i < l->ntopics; i++)
		tell(a, l->topics[i].name, strlen(l->topics[i].name));
	loop_stop(a->loop);
}

static void
connected(struct broker *b, const struct error *err, void *arg)
{
	struct asking *a = arg;
	struct error e;

	if (err || b->ops->list(b, NULL, 0, false, listed, a, &e) < 0)
		loop_stop(a->loop);
}

static void
failed(struct broker *b, const struct error *err, void *arg)
{
	struct asking *a = arg;

	(void)b;
	(void)err;
	loop_stop(a->loop);
}

static void
ask_broker(struct asking *a, struct common_args *c)
{
	static const struct broker_notify notify = { .connected = connected, .failed = failed };
	struct broker_options opts = { .notify = &notify, .notify_arg = a };
	struct error err;
	struct broker *b;

	if (common_prepare(c, &err) < 0 || !c->ops->list)
		return;
	b = common_open(c, a->loop, &opts, &err);
	if (b && broker_connect(b, &err) == 0)
		loop_run(a->loop);
}

static bool
service_found(struct lookup *l, const struct service *s)
{
	struct asking *a = l->arg;

	if (!a->late)
		tell(a, s->name.p, s->name.n);
	return true;
}

static void
lookup_done(struct lookup *l, const struct error *err)
{
	struct asking *a = l->arg;

	(void)err;
	loop_stop(a->loop);
}

static void
ask_registry(struct asking *a, struct common_args *c)
{
	struct error err;
	struct registry *r = common_registry(c, a->loop, &err);

	a->lookup = (struct lookup){ .found = service_found, .done = lookup_done, .arg = a };
	if (r && registry_list(r, &a->lookup, &err) == 0)
		loop_run(a->loop);
}

/* Reads the line as the command would. false: it is not in a state to be asked by. */
static bool
read_line(const struct command *cmd, struct common_args *c, int nwords, char **words)
{
	const struct opt_set top = { top_opts, common_opts, "", &c->given };
	const struct opt_set set = { cmd->opts, common_opts, cmd->name, &c->given };
	struct top_args before = { 0 };
	struct error err = ERROR_INIT;
	int used = 0;

	if (common_defaults(&before.common, &err) < 0 ||
	    opt_parse(&top, &before, nwords, words, true, &used, &err) < 0 || used >= nwords)
		return false;
	*(struct opt_given *)&before.common.given = c->given;
	*c = before.common;
	c->command = cmd;
	return opt_defaults(cmd->opts, c, &err) == 0 &&
		opt_parse(&set, c, nwords - used - 1, words + used + 1, false, NULL, &err) >= 0 &&
		settings_apply(c, &set, cmd, 0, NULL, &err) == 0 &&
		url_params_apply(c, &set, cmd, &err) == 0 && common_resolve(c, &err) == 0 &&
		!(c->password_file && strcmp(c->password_file, "-") == 0);
}

void
complete_ask(const struct command *cmd, int nwords, char **words, complete_name_fn *fn, void *arg)
{
	struct common_args *c = xcalloc(1, cmd->args_size);
	char **copy = xcalloc((size_t)nwords + 1, sizeof *copy);
	struct asking *a = xcalloc(1, sizeof *a);	/* they outlive this: see the header */
	struct error err;

	memcpy(copy, words, (size_t)nwords * sizeof *copy);
	a->fn = fn;
	a->arg = arg;
	a->loop = loop_new(&err);
	if (!a->loop || !read_line(cmd, c, nwords, copy))
		return;
	log_level = LOG_QUIET;
	a->limit = (struct loop_timer){ .fn = asking_late, .arg = a };
	loop_timer_set(a->loop, &a->limit, COMPLETE_ASK_MS);
	if (cmd->uses & USE_BROKER)
		ask_broker(a, c);
	else
		ask_registry(a, c);
	a->late = true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mbus registry: what the registry knows, to find out why two programs do not meet. */
#include <limits.h>
#include <stdlib.h>

#include "cli/registry_cmd.h"

enum registry_uses {
	USES_COUNT = 1, USES_JSON = 2, USES_LONG = 4, USES_SELECT = 8, USES_TIME = 16,
	USES_NODE = 32
};

enum { SETTLE_MS = 1000 };		/* for the registry to hear that a service has gone */

static const struct form {
	const char *word, *what;	/* how it is written in messages */
	int (*run)(struct inquiry *);
	int min, max;			/* operands behind the word */
	unsigned uses;			/* which options */
} forms[] = {
	{ "list", "list", registry_run_list, 0, 0, USES_TIME | USES_JSON | USES_LONG },
	{ "get", "get NAME", registry_run_get, 1, 1, USES_TIME | USES_JSON | USES_SELECT },
	{ "watch", "watch [NAME]", registry_run_watch, 0, 1, USES_TIME | USES_JSON | USES_COUNT },
	{ "wait", "wait NAME", registry_run_wait, 1, 1, USES_TIME | USES_COUNT },
	{ "register", "register NAME ADDRESS", registry_run_register, 2, INT_MAX, USES_NODE },
	{ "deregister", "deregister NAME ID", registry_run_deregister, 2, 2, 0 },
};

enum { NFORMS = sizeof forms / sizeof *forms };

static int
no_such_form(const char *word, struct error *err)
{
	struct buf all = BUF_INIT;

	for (size_t i = 0; i < NFORMS; i++)
		buf_addf(&all, "%s%s", i == 0 ? "" : i + 1 < NFORMS ? ", " : " or ", forms[i].what);
	if (word)
		error_set(err, ERR_USAGE, "no such thing as \"%s\": %s", opt_shown(word),
			buf_cstr(&all));
	else
		error_set(err, ERR_USAGE, "%s?", buf_cstr(&all));
	buf_release(&all);
	return -1;
}

/* An option that the form has no use for is refused, with whose it is. */
static int
check_options(const struct registry_args *a, const struct form *f, struct error *err)
{
	const struct { bool given; unsigned use; const char *option, *whose; } rows[] = {
		{ a->count, USES_COUNT, "-c", "watch and wait" },
		{ a->timeout_ms, USES_TIME, "-W", "list, get, watch and wait" },
		{ a->service_version, USES_NODE, "--service-version", "register" },
		{ a->node_id, USES_NODE, "--node-id", "register" },
		{ a->meta.n, USES_NODE, "--meta", "register" },
		{ a->endpoints, USES_NODE, "--endpoints", "register" },
		{ a->healthy, USES_NODE, "--healthy", "register" },
		{ a->json, USES_JSON, "-J", "list, get and watch" },
		{ a->longer, USES_LONG, "-l", "list" },
		{ a->select, USES_SELECT, "--select", "get" },
		{ a->strategy, USES_SELECT, "--strategy", "get --select" },
		{ a->hash_key, USES_SELECT, "--hash-key", "get --select" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].given && !(f->uses & rows[i].use))
			return error_set(err, ERR_USAGE, "%s: %s is for %s", f->word,
				rows[i].option, rows[i].whose);
	for (size_t i = 0; i < a->common.given.n && !(f->uses & USES_NODE); i++) {
		const struct opt_was *w = &a->common.given.v[i];

		if (w->opt->use & USE_REGISTER)
			return error_set(err, ERR_USAGE, "%s: %s is for register", f->word,
				opt_was_named(w));
	}
	return registry_select_check(a, err);
}

static const struct form *
choose(const struct registry_args *a, int noperands, char **operands, struct error *err)
{
	const struct form *f = forms;

	if (noperands == 0) {
		no_such_form(NULL, err);
		return NULL;
	}
	while (f < forms + NFORMS && strcmp(operands[0], f->word) != 0)
		f++;
	if (f == forms + NFORMS) {
		no_such_form(operands[0], err);
		return NULL;
	}
	if (noperands - 1 < f->min) {
		error_set(err, ERR_USAGE, f->min == 1 ? "%s: of which service?" :
			"%s: what? (mbus registry %s)", f->word, f->what);
		return NULL;
	}
	if (noperands - 1 > f->max) {
		error_set(err, ERR_USAGE, "%s: \"%s\" is too much", f->word,
			opt_shown(operands[1 + f->max]));
		return NULL;
	}
	return check_options(a, f, err) < 0 ? NULL : f;
}

static int
registry_run(void *args, int noperands, char **operands, struct error *err)
{
	struct registry_args *a = args;
	struct inquiry q = { .args = a, .err = err, .operands = operands + 1,
		.noperands = noperands - 1 };
	const struct form *form = choose(a, noperands, operands, err);
	int r = -1;

	if (!form)
		return -1;
	q.loop = loop_new(err);
	if (!q.loop)
		return -1;
	registry_look_init(&q);
	q.registry = common_registry(&a->common, q.loop, err);
	if (q.registry)
		r = form->run(&q);
	registry_settle(q.registry, SETTLE_MS);
	registry_free(q.registry);
	registry_look_clear(&q);
	loop_free(q.loop);
	if (q.signo)
		interrupt_die(q.signo);
	return r;
}

#define A struct registry_args

static const struct opt registry_opts[] = {
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .min = 1, .group = "When to end",
		.help = "watch: after N changes, wait: when there are N nodes (1)" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .min = 1,
		.help = "after this time: status 124 if the registry has not answered, resp. "
			"if no change or fewer than -c asked for were seen" },
	{ "select", 0, OPT_FLAG(A, select), .group = "One node of many",
		.help = "get: print the address of one node and nothing else" },
	{ "strategy", 0, OPT_STR(A, strategy), .arg = "HOW",
		.choices = "random|round-robin|hash",
		.help = "which one: random (default), round-robin (from one call to the next), "
			"or hash (the same for the same --hash-key)" },
	{ "hash-key", 0, OPT_STR(A, hash_key), .arg = "K",
		.help = "with --strategy hash: choose by K" },
	{ "service-version", 0, OPT_STR(A, service_version), .arg = "V",
		.group = "A service of one's own", .help = "register: its version (latest)" },
	{ "node-id", 0, OPT_STR(A, node_id), .arg = "ID",
		.help = "register: this node's id (NAME and a UUID)" },
	{ "meta", 0, OPT_LIST(A, meta), .arg = "K=V",
		.help = "register: metadata; may be given again" },
	{ "endpoints", 0, OPT_STR(A, endpoints), .arg = "FILE", .complete = "file",
		.help = "register: what it can be asked, as JSON (get -J shows it); -: stdin",
		.flags = OPT_MORE },
	{ "healthy", 0, OPT_STR(A, healthy), .arg = "CMD",
		.help = "register: be registered while CMD succeeds, which is run every "
			"--register-interval", .flags = OPT_MORE },
	{ "long", 'l', OPT_FLAG(A, longer), .group = "Output",
		.help = "list: a line for each version of a service, with its nodes' addresses" },
	{ "json", 'J', OPT_FLAG(A, json),
		.help = "JSON: a line for each version of a service, with its nodes" },
	{ NULL }
};

const struct command cmd_registry = {
	.name = "registry",
	.summary = "see, join and leave the registry of services",
	.synopsis = "[OPTION...] list\n[OPTION...] get NAME\n[OPTION...] watch [NAME]\n"
		"[OPTION...] wait NAME\n"
		"[OPTION...] register NAME ADDRESS [-- COMMAND [ARG...]]\n"
		"[OPTION...] deregister NAME ID",
	.words = "list|get|watch|wait|register|deregister",
	.opts = registry_opts,
	.args_size = sizeof(struct registry_args),
	.uses = USE_REGISTRY | USE_REGISTER | USE_SERVER | USE_CONNECT,
	.notes = "list prints the names of services; get the nodes of one, with their\n"
		"metadata; watch what is registered and deregistered from now on; wait ends\n"
		"once a service is there. register keeps a service registered until it is ended,\n"
		"or for as long as COMMAND runs. With -v, what was heard and not believed is\n"
		"said on stderr.",
	.examples = "  mbus registry list\n"
		"  mbus registry get micro.http.broker\n"
		"  mbus registry -J watch greeter\n"
		"  mbus registry wait greeter -W 30 &&\n"
		"      curl \"http://$(mbus registry get --select greeter)/\"\n"
		"  mbus registry register greeter 127.0.0.1:8000 -- python3 -m http.server 8000\n",
	.run = registry_run,
};

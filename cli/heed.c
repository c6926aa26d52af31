/* SPDX-License-Identifier: Apache-2.0 */
/* Options without effect are refused: see heed.h. */
#include "cli/heed.h"

#include <string.h>

#include "core/registry.h"

/* Why a command has no use for an option. */
static const struct {
	unsigned use;
	const char *why;
} unused[] = {
	{ USE_REGISTER, "is for mbus registry register: a subscription keeps its 60 s and 30 s" },
	{ USE_EVENTS, "is for events, and none are sent or received here" },
	{ USE_REGISTRY, "is for a registry, and none is asked here" },
	{ USE_BROKER | USE_SERVER | USE_CONNECT, "is for a broker, and no broker is asked here" },
};

/* What is wrong with a broker that has not this capability. */
static const struct {
	enum broker_caps cap;
	const char *why, *omit;		/* what --omit, where there is one, leaves out */
} lacks[] = {
	{ BROKER_REGISTRY, "uses no registry" },
	{ BROKER_TLS, "has no TLS" },
	{ BROKER_USER, "has no users and passwords" },
	{ BROKER_RECONNECT, "has no connection that could be made again" },
	{ BROKER_RAW, "has no --wire raw: everybody on it speaks go-micro's" },
	{ BROKER_HEADER, "carries no headers" },
	{ BROKER_KEY, "has no keys", "key" },
	{ BROKER_NULL_BODY, "cannot tell a null body from an empty one", "null" },
	{ BROKER_QOS, "has no QoS" },
	{ BROKER_RETAIN, "retains no events" },
	{ BROKER_PARTITION, "has no partitions" },
	{ BROKER_PROPS, "carries no such property" },
	{ BROKER_COMPRESS, "does not compress" },
	{ BROKER_CREATE, "has no topics that have to be made" },
	{ BROKER_TRANSACTION, "has no transactions" },
	{ BROKER_AUDIENCE, "does not tell who subscribes" },
	{ BROKER_GROUP, "has no groups" },
	{ BROKER_OFFSET, "keeps no events, so there is no place to begin or to end at" },
	{ BROKER_END, "keeps no events, so there is no place to begin or to end at" },
	{ BROKER_ACK_CHOICE, "has no choice of --ack" },
	{ BROKER_ACK, "is not told what was received" },
	{ BROKER_REGEX, "does not list its topics, so an expression finds none" },
};

int
heed_command(const struct common_args *c, struct error *err)
{
	for (size_t i = 0; i < c->given.n; i++) {
		const struct opt_was *w = &c->given.v[i];
		size_t k = 0;

		if (!w->opt->use || (c->command->uses & w->opt->use))
			continue;
		while (!(unused[k].use & w->opt->use))
			k++;
		return error_set(err, ERR_USAGE, "%s %s", opt_was_named(w), unused[k].why);
	}
	return 0;
}

int
heed_alone(const struct common_args *c, const struct opt *own, struct error *err)
{
	for (size_t i = 0; i < c->given.n; i++) {
		const struct opt_was *w = &c->given.v[i];
		const struct opt *o = own;

		while (o->name && o != w->opt)
			o++;
		if (!o->name && w->opt->use)
			return error_set(err, ERR_USAGE, "%s is for a command, and there is none",
				opt_was_named(w));
	}
	return 0;
}

bool
heed_given(const struct common_args *c, const char *name)
{
	for (size_t i = 0; i < c->given.n; i++)
		if (strcmp(c->given.v[i].opt->name, name) == 0)
			return true;
	return false;
}

static bool
is_idle(const char *idle, const char *value)
{
	size_t n = strlen(value);

	for (const char *p = idle; *p; p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && strncmp(p, value, n) == 0)
			return true;
	return false;
}

unsigned
heed_wanted(const struct opt_was *w)
{
	const struct opt *o = w->opt;
	struct bytes value = bytes_str(w->value), one;

	if (o->idle && w->value && is_idle(o->idle, w->value))
		return 0;
	for (size_t i = 0; o->choice_needs && (one = opt_choice(o->choices, i), one.p); i++)
		if (bytes_eq(one, value))
			return o->choice_needs[i];
	return o->needs;
}

static int
refuse(const struct common_args *c, const struct opt_was *w, unsigned want,
	const struct broker_ops *ops, const struct broker *b, struct error *err)
{
	const struct opt_set set = { c->command ? c->command->opts : NULL, NULL, "", NULL };
	const char *why = b && b->ops->lacks ? b->ops->lacks(b, want & ops->caps) : NULL;
	bool omit;
	size_t k = 0;

	while (!(lacks[k].cap & want))
		k++;
	if (why)
		return error_set(err, ERR_NOTFOUND, "%s: %s", opt_was_named(w), why);
	omit = lacks[k].omit && opt_find(&set, "omit", 4);
	return error_set(err, ERR_NOTFOUND, "%s: the %s broker %s%s%s%s%s", opt_was_named(w),
		ops->name, lacks[k].why, want & ops->caps ? ", as it is used here" : "",
		omit ? " (--omit " : "", omit ? lacks[k].omit : "", omit ? " leaves it out)" : "");
}

/* -X mqtt.version=5 says nothing to another broker. */
static int
foreign_prefix(const struct common_args *c, const struct broker_ops *ops, struct error *err)
{
	const struct backend *tables[] = { broker_table, registry_table };

	for (size_t i = 0; i < c->nxpairs; i++) {
		const char *name = c->xpairs[i].name;
		size_t n = strcspn(name, ".");

		for (size_t t = 0; t < 2 && name[n]; t++)
			for (const struct backend *row = tables[t]; row->name; row++) {
				if (strlen(row->name) != n || strncmp(row->name, name, n) != 0 ||
				    strcmp(row->name, ops->name) == 0 ||
				    ((ops->caps & BROKER_REGISTRY) &&
				    strcmp(row->name, c->registry) == 0))
					continue;
				return error_set(err, ERR_USAGE, "-X %.60s: the %s here is not %s "
					"(-X list shows the options that there are)", name,
					t ? "registry" : "broker", row->name);
			}
	}
	return 0;
}

int
heed_broker(const struct common_args *c, const struct broker_ops *ops, const struct broker *b,
	struct error *err)
{
	unsigned caps = (b ? b->caps : ops->caps) | c->excused;

	if (!b && foreign_prefix(c, ops, err) < 0)
		return -1;
	if (ops->caps & BROKER_HEEDLESS)
		return 0;
	for (size_t i = 0; i < c->given.n; i++) {
		const struct opt_was *w = &c->given.v[i];
		unsigned want = heed_wanted(w);

		if (ops->bare && strcmp(w->opt->name, "wire") == 0 && strcmp(w->value, "micro") == 0)
			return error_set(err, ERR_NOTFOUND, "%s micro: the %s broker has no envelope: "
				"events are whole without one", opt_was_named(w), ops->name);
		if (want && !(want & caps))
			return refuse(c, w, want, ops, b, err);
		if ((caps & BROKER_REGISTRY) && strcmp(w->opt->name, "address") == 0 &&
		    c->command && !(c->command->uses & USE_LISTEN))
			return error_set(err, ERR_NOTFOUND, "%s: %s has no server to connect to: "
				"its subscribers are found by the registry (--registry)",
				opt_was_named(w), ops->name);
	}
	return 0;
}

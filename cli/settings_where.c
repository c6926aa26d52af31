/* SPDX-License-Identifier: Apache-2.0 */
/* Whose address and password a config file has, and whether they are for this broker: see
 * settings.h. */
#include "cli/settings_impl.h"

#include <stdio.h>
#include <string.h>

#include "cli/heed.h"
#include "core/secret.h"

bool
settings_is_called(const struct opt *o, const char *name)
{
	return strcmp(o->name, name) == 0;
}

bool
settings_is_where(const struct opt *o)
{
	static const char *const names[] = { "broker", "address", "url", "username",
		"password-file" };
	size_t i = 0;

	while (i < sizeof names / sizeof *names && !settings_is_called(o, names[i]))
		i++;
	return i < sizeof names / sizeof *names;
}

/* The broker that something says: by its name, or by the scheme of a URL. */
struct who {
	enum layer layer;
	const char *broker;
	bool url;
};

const char *
settings_broker_of(const char *url)
{
	const struct backend *row = broker_of_scheme(bytes_of(url, strcspn(url, ":")));

	return row ? row->name : "";
}

static struct who
who_of_layer(const struct applying *a, enum layer layer)
{
	struct who w = { LAYER_NONE, NULL, false };

	for (size_t i = 0; i < a->n; i++) {
		const struct entry *e = &a->v[i];
		bool url = settings_is_called(e->opt, "url");

		if (e->layer == layer && (url || settings_is_called(e->opt, "broker")))
			w = (struct who){ layer,
				url ? settings_broker_of(e->line->value) : e->line->value, url };
	}
	return w;
}

/* The highest layer that names one. */
static struct who
who_is_meant(const struct applying *a)
{
	const struct common_args *c = a->c;
	const char *env = secret_env("MICRO_BROKER");
	struct who w;

	if (heed_given(c, "url"))
		return (struct who){ LAYER_LINE, settings_broker_of(c->url), true };
	if (heed_given(c, "broker"))
		return (struct who){ LAYER_LINE, c->broker, false };
	w = who_of_layer(a, LAYER_CHOSEN);
	if (!w.layer && env && *env)
		return (struct who){ LAYER_ENV, env, false };
	if (!w.layer)
		w = who_of_layer(a, LAYER_CHOSEN_ENV);
	return w.layer ? w : who_of_layer(a, LAYER_DEFAULT);
}

void
settings_drop_elsewhere(struct applying *a)
{
	struct who meant = who_is_meant(a);
	const char *env = secret_env("MICRO_BROKER_ADDRESS");

	for (size_t i = 0; i < a->n; i++) {
		struct entry *e = &a->v[i];
		struct who own;

		if (!settings_is_where(e->opt))
			continue;
		own = who_of_layer(a, e->layer);
		if (own.layer && meant.layer > own.layer &&
		    (meant.url || settings_is_called(e->opt, "url") ||
		    strcmp(own.broker, meant.broker) != 0))
			e->out = true;
		/* The address is the environment's, then. */
		if (settings_is_called(e->opt, "url") && e->layer < LAYER_ENV && env && *env)
			e->out = true;
	}
}

/* A layer that names both contradicts itself, as a command line does. */
int
settings_check_where(struct applying *a)
{
	const struct entry *url = NULL;
	char what[120];

	for (size_t i = 0; i < a->n; i++)
		if (!a->v[i].out && settings_is_called(a->v[i].opt, "url"))
			url = &a->v[i];
	for (size_t i = 0; url && i < a->n; i++) {
		const struct entry *e = &a->v[i];

		if (e->out || e->layer != url->layer || (!settings_is_called(e->opt, "broker") &&
		    !settings_is_called(e->opt, "address")))
			continue;
		snprintf(what, sizeof what, "url says which %s, and so does line %u: one of them",
			e->opt->name, e->line->line);
		return settings_line_error(a, url->line, what);
	}
	return 0;
}

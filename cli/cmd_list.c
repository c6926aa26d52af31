/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mbus --list`: every broker and registry (and TLS) by name, whether it can be used here
 * and if not why, and what it can do. It loads each module, so that what it
 * says was tried and not guessed. Also what `-X list` prints.
 */
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/shown.h"
#include "core/json.h"
#include "core/text.h"

enum { WIDTH = 78 };

/* What the capabilities are called: to programs, and to people. */
static const struct {
	enum broker_caps cap;
	const char *word, *text;
} caps[] = {
	{ BROKER_HEADER, "header", "headers" },
	{ BROKER_REGISTRY, "registry", "peers found through a registry" },
	{ BROKER_GROUP, "group", "groups" },
	{ BROKER_ACK, "ack", "acknowledgements" },
	{ BROKER_AUDIENCE, "audience", "--wait" },
	{ BROKER_KEY, "key", "keys" },
	{ BROKER_NULL_BODY, "null-body", "null bodies" },
	{ BROKER_NULL_HEADER, "null-header", "null header values" },
	{ BROKER_REPEAT_HEADER, "repeat-header", "repeated headers" },
	{ BROKER_BINARY_HEADER, "binary-header", "binary headers" },
	{ BROKER_BINARY_TOPIC, "binary-topic", "binary topics" },
	{ BROKER_NO_NETWORK, "no-network", "no network" },
	{ BROKER_TLS, "tls", "TLS" },
	{ BROKER_USER, "user", "users and passwords" },
	{ BROKER_RECONNECT, "reconnect", "connects again" },
	{ BROKER_RAW, "raw", "--wire raw" },
	{ BROKER_SHOWS_RAW, "shows-raw", "sub --wire raw" },
	{ BROKER_QOS, "qos", "QoS" },
	{ BROKER_RETAIN, "retain", "retained events" },
	{ BROKER_PARTITION, "partition", "partitions" },
	{ BROKER_OFFSET, "offset", "offsets" },
	{ BROKER_END, "end", "an end of what is there" },
	{ BROKER_PROPS, "properties", "content type, reply topic, correlation, time to live" },
	{ BROKER_REPLY, "reply-to", "reply topic" },
	{ BROKER_ACK_CHOICE, "ack-choice", "--ack" },
	{ BROKER_TIME, "time", "times of events" },
	{ BROKER_COMPRESS, "compress", "compression" },
	{ BROKER_CREATE, "create", "topics made (--create)" },
	{ BROKER_TRANSACTION, "transaction", "transactions" },
	{ BROKER_REGEX, "regex", "--regex" },
	{ BROKER_HEEDLESS, "heedless", "whatever is asked for, without effect" },
};

/* One backend, as far as both lists need it. */
struct found {
	const char *what;		/* "broker", "registry" */
	const struct backend *row;
	bool usable;
	bool has_caps;
	unsigned caps;
	const char *address;
	const struct broker_option *options;
	struct error why;		/* when it is not usable */
};

/* To people, and to programs. */
static const struct {
	const char *text, *word;
} state_name[] = {
	[BACKEND_BUILTIN] = { "built in", "builtin" },
	[BACKEND_MODULE] = { "module", "module" },
	[BACKEND_NOT_BUILT] = { "not built", "not-built" },
};

static struct found
look_up_broker(const struct backend *row)
{
	struct found f = { .what = "broker", .row = row, .has_caps = true };
	const struct broker_ops *ops = broker_find(row->name, &f.why);

	if (ops) {
		f.usable = true;
		f.caps = ops->caps;
		f.address = ops->default_address;
		f.options = ops->options;
	}
	return f;
}

static struct found
look_up_driver(const struct backend *row)
{
	struct found f = { .what = "driver", .row = row, .has_caps = true };
	const struct broker_ops *ops = backend_find(driver_table, "driver", row->name, &f.why);

	if (ops) {
		f.usable = true;
		f.caps = ops->caps;
	}
	return f;
}

static struct found
look_up_registry(const struct backend *row)
{
	struct found f = { .what = "registry", .row = row };
	const struct registry_ops *ops = registry_find(row->name, &f.why);

	if (ops) {
		f.usable = true;
		f.address = ops->default_address;
		f.options = ops->options;
	}
	return f;
}

static struct found
look_up_layer(const struct backend *row)
{
	struct found f = { .what = "layer", .row = row };

	f.usable = backend_find(tls_table, "layer", row->name, &f.why) != NULL;
	return f;
}

/* ---- as text ---- */

static void
text_caps(struct buf *out, unsigned has)
{
	static const char lead[] = "            can: ";
	size_t at = sizeof lead - 1;
	const char *comma = "";

	buf_add_str(out, lead);
	for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
		size_t n = strlen(caps[i].text) + strlen(comma);

		if (!(has & caps[i].cap))
			continue;
		if (at + n > WIDTH) {
			buf_addf(out, ",\n%17s%s", "", caps[i].text);
			at = 17 + n - 2;
		} else {
			buf_addf(out, "%s%s", comma, caps[i].text);
			at += n;
		}
		comma = ", ";
	}
	buf_add_ch(out, '\n');
}

static void
text_backend(struct buf *out, const struct found *f)
{
	buf_addf(out, "  %-10s%s\n", f->row->name, f->row->summary);
	if (!f->usable) {
		buf_addf(out, "            %s: %s\n", "cannot be used", f->why.text);
		return;
	}
	buf_addf(out, "            %s", state_name[backend_state(f->row)].text);
	if (f->row->package)
		buf_addf(out, " (package %s)", f->row->package);
	if (f->address)
		buf_addf(out, ", default address %s", f->address);
	buf_add_ch(out, '\n');
	if (f->has_caps)
		text_caps(out, f->caps);
}

/* ---- as JSON ---- */

static void
json_caps(struct buf *out, unsigned has)
{
	const char *comma = "";

	buf_add_str(out, ",\"caps\":[");
	for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
		if (has & caps[i].cap) {
			buf_addf(out, "%s\"%s\"", comma, caps[i].word);
			comma = ",";
		}
	buf_add_ch(out, ']');
}

/* The commands that have an effect of it, if not all have. */
static void
json_use(struct buf *out, unsigned use)
{
	const char *comma = "";

	for (unsigned one = 1; use; use &= ~one, one <<= 1)
		if (use & one) {
			buf_addf(out, "%s\"", *comma ? comma : ",\"for\":[");
			broker_add_use(out, one);
			buf_add_str(out, (use & ~one) ? "\"" : "\"]");
			comma = ",";
		}
}

/* Of the typed ones. */
static void
json_type(struct buf *out, const struct broker_option *o)
{
	static const char *const words[] = {
		[XOPT_T_STR] = "text", [XOPT_T_BOOL] = "bool", [XOPT_T_COUNT] = "count",
		[XOPT_T_TIME] = "ms", [XOPT_T_SIZE] = "bytes", [XOPT_T_CHOICE] = "choice",
	};

	if (!o->type)
		return;
	buf_addf(out, ",\"type\":\"%s\"", words[o->type]);
	if (o->least)
		buf_addf(out, ",\"least\":%" PRIu64, o->least);
	if (o->most)
		buf_addf(out, ",\"most\":%" PRIu64, o->most);
}

static void
json_options(struct buf *out, const struct broker_option *o)
{
	const char *comma = "";

	buf_add_str(out, ",\"options\":[");
	for (; o && o->name; o++, comma = ",") {
		buf_addf(out, "%s{\"name\":\"%s\"", comma, o->name);
		add_json_member(out, "arg", o->arg);
		add_json_member(out, "default", o->value);
		add_json_member(out, "help", o->help);
		json_type(out, o);
		json_use(out, o->use);
		buf_add_ch(out, '}');
	}
	buf_add_ch(out, ']');
}

static void
json_backend(struct buf *out, const struct found *f)
{
	buf_addf(out, "{\"v\":1,\"type\":\"%s\"", f->what);
	add_json_member(out, "name", f->row->name);
	add_json_member(out, "summary", f->row->summary);
	add_json_member(out, "state", state_name[backend_state(f->row)].word);
	buf_addf(out, ",\"usable\":%s", f->usable ? "true" : "false");
	add_json_member(out, "why", f->usable ? NULL : f->why.text);
	add_json_member(out, "package", f->row->package);
	add_json_member(out, "address", f->address);
	if (f->usable && f->has_caps)
		json_caps(out, f->caps);
	if (f->usable)
		json_options(out, f->options);
	buf_add_str(out, "}\n");
}

void
list_backends(struct buf *out, bool json)
{
	void (*add)(struct buf *, const struct found *) = json ? json_backend : text_backend;
	struct found f;

	if (!json)
		buf_add_str(out, "Brokers (-B):\n");
	for (const struct backend *row = broker_table; row->name; row++) {
		f = look_up_broker(row);
		add(out, &f);
	}
	if (!json && driver_table->name)
		buf_add_str(out, "\nTheir other drivers (-X driver=NAME):\n");
	for (const struct backend *row = driver_table; row->name; row++) {
		f = look_up_driver(row);
		add(out, &f);
	}
	if (!json)
		buf_add_str(out, "\nRegistries (--registry):\n");
	for (const struct backend *row = registry_table; row->name; row++) {
		f = look_up_registry(row);
		add(out, &f);
	}
	if (!json)
		buf_add_str(out, "\nUnder them (--tls):\n");
	for (const struct backend *row = tls_table; row->name; row++) {
		f = look_up_layer(row);
		add(out, &f);
	}
}

/* ---- -X list, -X dump ---- */

static void
list_options(struct buf *out, const char *prefix, const struct broker_option *o)
{
	if (!o || !o->name)
		buf_add_str(out, "  (none)\n");
	for (; o && o->name; o++) {
		buf_addf(out, "  %s%s%s=%s", prefix, *prefix ? "." : "", o->name,
			o->secret ? "@FILE" : o->arg ? o->arg : "VALUE");
		if (o->value)
			buf_addf(out, " (default %s)", o->value);
		buf_add_str(out, "\n      ");
		broker_add_use(out, o->use);
		buf_addf(out, "%s%s", o->use ? ": " : "", o->help ? o->help : "");
		if (o->type != XOPT_T_STR && (o->least || o->most)) {
			buf_add_str(out, o->least && !o->most ? "" : ",");
			xopt_add_bounds(out, o);
		}
		buf_add_ch(out, '\n');
	}
}

/* What was given for an option, the last one; the broker's name in front of it may
 * be left out, the registry's may not. NULL: nothing. */
static const char *
given(const struct common_args *c, const char *owner, bool prefixed, const char *name)
{
	size_t n = strlen(owner);

	for (size_t i = c->nxpairs; i-- > 0;) {
		const char *x = c->xpairs[i].name;
		bool prefix = strncmp(x, owner, n) == 0 && x[n] == '.';

		if (prefix || !prefixed)
			if (strcmp(prefix ? x + n + 1 : x, name) == 0)
				return c->xpairs[i].value;
	}
	return NULL;
}

static void
dump_options(struct buf *out, const struct common_args *c, const char *owner, bool prefixed,
	const struct broker_option *o)
{
	for (; o && o->name; o++) {
		const char *value = given(c, owner, prefixed, o->name);

		if (!value)
			value = o->value;
		buf_addf(out, "%s.%s", owner, o->name);
		if (!value)
			buf_add_str(out, " is not set\n");
		else
			buf_addf(out, "=%s\n", o->secret ? "xxxxx" : value);
	}
}

/* What was given for a library under the broker. */
static void
dump_others(struct buf *out, const struct common_args *c, const struct broker_ops *ops)
{
	size_t n = strlen(ops->name);

	for (size_t i = 0; i < c->nxpairs; i++) {
		const char *name = c->xpairs[i].name;
		const struct broker_option *o = ops->options;

		if (strncmp(name, ops->name, n) == 0 && name[n] == '.')
			name += n + 1;
		while (o && o->name && strcmp(o->name, name) != 0)
			o++;
		if (!o || !o->name)
			buf_addf(out, "%s.%s=%s\n", ops->name, name, c->xpairs[i].value);
	}
}

int
list_xopts(struct buf *out, const struct common_args *c, struct error *err)
{
	const struct broker_ops *broker = broker_find(c->broker, err);
	const struct registry_ops *registry;

	if (!broker)
		return -1;
	buf_addf(out, "-X options of the %s broker:\n", broker->name);
	list_options(out, "", broker->options);
	if (broker->list_options)
		broker->list_options(out);
	if (!(broker->caps & BROKER_REGISTRY))
		return 0;
	registry = registry_find(c->registry, err);
	if (!registry)
		return -1;
	buf_addf(out, "\n-X options of the %s registry:\n", registry->name);
	list_options(out, registry->name, registry->options);
	return 0;
}

int
dump_xopts(struct buf *out, const struct common_args *c, struct error *err)
{
	const struct broker_ops *broker = broker_find(c->broker, err);
	const struct registry_ops *registry;

	if (!broker)
		return -1;
	dump_options(out, c, broker->name, false, broker->options);
	if (broker->check_option)
		dump_others(out, c, broker);
	if (!(broker->caps & BROKER_REGISTRY))
		return 0;
	registry = registry_find(c->registry, err);
	if (!registry)
		return -1;
	dump_options(out, c, registry->name, true, registry->options);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options every command has, and what is made of them: a broker with its
 * registry, or a registry alone.
 */
#include "cli/connect.h"
#include "cli/heed.h"
#include "cli/interrupt.h"
#include "cli/settings.h"
#include "cli/url_params.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define C struct common_args

/* Who publishes looks for BROKER_RAW itself. */
static const unsigned wire_needs[] = { [WIRE_RAW] = BROKER_RAW | BROKER_SHOWS_RAW };

const struct opt common_opts[] = {
	{ "broker", 'B', OPT_STR(C, broker), .arg = "NAME", .def = "http",
		.env = "MICRO_BROKER", .complete = "broker", .group = "Broker and registry",
		.help = "kind of broker; mbus --list shows all",
		.use = USE_BROKER },
	{ "address", 'b', OPT_STR(C, address), .arg = "ADDR", .env = "MICRO_BROKER_ADDRESS",
		.aliases = "broker-address",
		.help = "address of the broker, or several with commas between; over http the "
			"one sub listens on",
		.use = USE_BROKER },
	{ "url", 0, OPT_STR(C, url), .arg = "URL", .aliases = "u", .flags = OPT_URL,
		.complete = "url",
		.help = "broker, address and user in one: mqtts://USER@HOST/TOPIC, "
			"redis://HOST/0",
		.use = USE_BROKER },
	{ "username", 0, OPT_STR(C, username), .arg = "USER", .help = "who we are",
		.use = USE_SERVER, .needs = BROKER_USER },
	{ "password-file", 0, OPT_STR(C, password_file), .arg = "FILE", .complete = "file",
		.help = "the password is in FILE; -: the first line of stdin (else: of the URL, "
			"or in the environment [MBUS_PASSWORD] [MBUS_PASSWORD_FILE])",
		.use = USE_SERVER, .needs = BROKER_USER },
	{ "registry", 0, OPT_STR(C, registry), .arg = "NAME", .def = "mdns",
		.env = "MICRO_REGISTRY", .complete = "registry",
		.help = "kind of registry, where the broker uses one",
		.use = USE_REGISTRY, .needs = BROKER_REGISTRY },
	{ "registry-address", 0, OPT_STR(C, registry_address), .arg = "ADDR",
		.env = "MICRO_REGISTRY_ADDRESS", .help = "address of the registry",
		.use = USE_REGISTRY, .needs = BROKER_REGISTRY },
	{ "register-ttl", 0, OPT_DUR(C, register_ttl_ms), .arg = "DUR",
		.env = "MICRO_REGISTER_TTL",
		.help = "how long a service stays registered; a subscription keeps its 60s",
		.use = USE_REGISTER },
	{ "register-interval", 0, OPT_DUR(C, register_interval_ms), .arg = "DUR",
		.env = "MICRO_REGISTER_INTERVAL",
		.help = "how often it is registered again; a subscription keeps its 30s",
		.use = USE_REGISTER },
	{ "connect-timeout", 0, OPT_DUR(C, connect_timeout_ms), .arg = "DUR", .def = "5s",
		.min = 1, .help = "give up connecting after this time",
		.use = USE_CONNECT },
	{ "reconnect", 0, OPT_STR(C, reconnect), .arg = "N|no", .flags = OPT_EMPTY,
		.help = "attempts after a connection was lost, or always (sub: always, pub: "
			"no)",
		.use = USE_EVENTS, .needs = BROKER_RECONNECT, .idle = "no 0" },
	{ "wire", 0, OPT_CHOICE(C, wire), .arg = "FORM", .choices = "auto|micro|raw",
		.def = "auto", .env = "MBUS_WIRE", .help = "micro: go-micro's envelope; raw: the bare body and the "
			"broker's own headers; auto: what go-micro does, and sub takes both",
		.use = USE_EVENTS, .choice_needs = wire_needs },
	{ "config", 0, OPT_STR(C, config), .arg = "FILE", .env = "MBUS_CONFIG",
		.complete = "file", .help = "options are in FILE, too (default: "
			"~/.config/mbus/config, if it is there)" },
	{ "profile", 0, OPT_STR(C, profile), .arg = "NAME", .env = "MBUS_PROFILE",
		.complete = "profile", .help = "heed the section NAME of that file, too" },
	{ "", 'X', OPT_LIST(C, xopts), .arg = "NAME=VALUE", .flags = OPT_EMPTY, .complete = "xopt",
		.help = "an option of the broker or, as REGISTRY.NAME=VALUE, of the registry; "
			"-X list shows them, -X dump what they are" },
	{ "tls", 0, OPT_FLAG(C, tls.on), .group = "TLS",
		.help = "use TLS, as each of the following means; over http sub listens with "
			"it, and pub speaks to no subscriber without it",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tls-ca", 0, OPT_STR(C, tls.ca), .arg = "FILE", .complete = "file",
		.help = "trust who is certified by these (default: the system's); sub then wants "
			"certificates of its clients",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tls-cert", 0, OPT_STR(C, tls.cert), .arg = "FILE", .complete = "file",
		.help = "our certificate, with the chain behind it",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tls-key", 0, OPT_STR(C, tls.key), .arg = "FILE", .complete = "file",
		.help = "its private key (default: in the file of --tls-cert)",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tls-sni", 0, OPT_STR(C, tls.sni), .arg = "NAME",
		.help = "ask for NAME and check the certificate for it, not for the host",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tls-insecure", 0, OPT_FLAG(C, tls.insecure),
		.help = "do not look at the peer's certificate: anybody can be the peer",
		.use = USE_SERVER, .needs = BROKER_TLS },
	/* As others call them. */
	{ "cafile", 0, OPT_STR(C, tls.ca), .arg = "FILE", .flags = OPT_HIDDEN, .help = "--tls-ca",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "cacert", 0, OPT_STR(C, tls.ca), .arg = "FILE", .flags = OPT_HIDDEN, .help = "--tls-ca",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tlsca", 0, OPT_STR(C, tls.ca), .arg = "FILE", .flags = OPT_HIDDEN, .help = "--tls-ca",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "cert", 0, OPT_STR(C, tls.cert), .arg = "FILE", .flags = OPT_HIDDEN,
		.help = "--tls-cert",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tlscert", 0, OPT_STR(C, tls.cert), .arg = "FILE", .flags = OPT_HIDDEN,
		.help = "--tls-cert",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "tlskey", 0, OPT_STR(C, tls.key), .arg = "FILE", .flags = OPT_HIDDEN,
		.help = "--tls-key",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "insecure", 0, OPT_FLAG(C, tls.insecure), .flags = OPT_HIDDEN,
		.help = "--tls-insecure",
		.use = USE_SERVER, .needs = BROKER_TLS },
	{ "quiet", 'q', OPT_SET(C, log_level, LOG_QUIET), .group = "Messages and help",
		.help = "nothing on stderr: the exit status says it all" },
	{ "verbose", 'v', OPT_SET(C, log_level, LOG_VERBOSE),
		.help = "say on stderr what is going on" },
	{ "debug", 0, OPT_SET(C, log_level, LOG_DEBUG), .help = "say more than that" },
	{ "color", 0, OPT_CHOICE(C, color), .arg = "WHEN", .choices = "auto|always|never",
		.def = "auto",
		.help = "colour: auto, always or never; auto heeds NO_COLOR" },
	{ "help", 'h', OPT_FLAG(C, help), .flags = OPT_STOP, .help = "show this, and end" },
	{ "version", 'V', OPT_FLAG(C, version), .flags = OPT_STOP,
		.help = "show the version, and end" },
	{ NULL }
};

int
common_defaults(struct common_args *c, struct error *err)
{
	int r = opt_defaults(common_opts, c, err);

	c->log_level = LOG_WARN;
	c->env_broker = c->broker;
	c->env_address = c->address;
	return r;
}

int
common_resolve(struct common_args *c, struct error *err)
{
	log_level = (enum log_level)c->log_level;
	if (c->xopts.n)
		c->xpairs = xcalloc(c->xopts.n, sizeof *c->xpairs);
	for (size_t i = 0; i < c->xopts.n; i++) {
		const char *x = c->xopts.v[i], *eq = strchr(x, '=');

		if (strcmp(x, "list") == 0 || strcmp(x, "dump") == 0) {
			*(*x == 'l' ? &c->xlist : &c->xdump) = true;
			continue;
		}
		if (!eq || eq == x)
			return error_set(err, ERR_USAGE,
				"-X %s: write NAME=VALUE (-X list shows the names)", opt_shown(x));
		c->xpairs[c->nxpairs].name = xmemdup0(x, (size_t)(eq - x));
		c->xpairs[c->nxpairs++].value = eq + 1;
	}
	return connect_check(c, err);
}

void
common_release(struct common_args *c)
{
	for (size_t i = 0; i < c->nxpairs; i++)
		free((char *)c->xpairs[i].name);
	free(c->xpairs);
	opt_release(common_opts, c);
	free(c->given.v);
	c->given = (struct opt_given){ NULL, 0 };
	connect_release(c);
	settings_release(c);
	if (c->params)
		url_params_release(c->params);
	free(c->params);
	c->params = NULL;
	c->xpairs = NULL;
	c->nxpairs = 0;
}

/* alone: no broker is there, whose the common options would be; else what it is for. */
static struct registry *
open_registry(struct common_args *c, bool alone, unsigned use, struct loop *loop,
	struct error *err)
{
	const struct registry_ops *ops = registry_find(c->registry, err);
	struct registry_options opts = {
		.address = c->registry_address,
		.xopts = c->xpairs,
		.nxopts = c->nxpairs,
		.use = use,
		.connect_timeout_ms = c->connect_timeout_ms > UINT32_MAX ? UINT32_MAX :
			(unsigned)c->connect_timeout_ms,
	};

	if (ops && ops->fixed_address && heed_given(c, "registry-address")) {
		error_set(err, ERR_NOTFOUND, "--registry-address: the %s registry has no other "
			"address than its own", c->registry);
		return NULL;
	}
	if (!ops || (alone && connect_registry(c, ops, &opts, err) < 0))
		return NULL;
	return registry_new(c->registry, loop, &opts, err);
}

/* registry_new() leaves what might be a broker's to the broker. Without a
 * broker that would swallow a mistake. */
struct registry *
common_registry(struct common_args *c, struct loop *loop, struct error *err)
{
	size_t n = strlen(c->registry);
	const char *brokers = connect_given(c);

	if (brokers) {
		error_set(err, ERR_USAGE, "%s is for a broker, and no broker is asked here",
			brokers);
		return NULL;
	}
	for (size_t i = 0; i < c->nxpairs; i++) {
		const char *name = c->xpairs[i].name;

		if (strncmp(name, c->registry, n) != 0 || name[n] != '.') {
			error_set(err, ERR_USAGE, "-X %.60s: not an option of the registry; they "
				"begin with %s. (-X list shows them)", name, c->registry);
			return NULL;
		}
	}
	return open_registry(c, true, 0, loop, err);
}

int
common_url(struct common_args *c, struct error *err)
{
	return connect_urls(c, err);
}

int
common_prepare(struct common_args *c, struct error *err)
{
	const struct registry_ops *registry;

	if (c->ops)
		return 0;
	if (common_url(c, err) < 0)
		return -1;
	c->ops = broker_find(c->broker, err);
	if (!c->ops || heed_broker(c, c->ops, NULL, err) < 0)
		return -1;
	if (connect_secrets(c, err) < 0)
		return -1;
	if (!(c->ops->caps & BROKER_REGISTRY))
		return 0;
	registry = registry_find(c->registry, err);
	return registry ? connect_registry_secrets(c, registry, err) : -1;
}

struct broker *
common_open(struct common_args *c, struct loop *loop, struct broker_options *opts,
	struct error *err)
{
	struct broker *b;

	if (common_prepare(c, err) < 0 || connect_options(c, opts, err) < 0)
		return NULL;
	opts->xopts = c->xpairs;
	opts->nxopts = c->nxpairs;
	opts->use |= c->command ? c->command->broker_use : 0;
	opts->registry = NULL;
	if (c->ops->caps & BROKER_REGISTRY) {
		opts->registry = open_registry(c, false, opts->use, loop, err);
		if (!opts->registry)
			return NULL;
	}
	b = broker_new(c->broker, loop, opts, err);
	if (b && heed_broker(c, c->ops, b, err) < 0) {
		broker_free(b);
		b = NULL;
	}
	if (!b) {
		registry_free(opts->registry);
		opts->registry = NULL;
	}
	return b;
}

/* How long the end of a run waits for the last acknowledgements to leave. */
enum { COMMON_DRAIN_MS = 1000 };

struct closing {
	struct loop *loop;
	bool over;
};

static void
closing_over(struct closing *c)
{
	c->over = true;
	loop_stop(c->loop);
}

static void
closing_drained(struct broker *b, void *arg)
{
	(void)b;
	closing_over(arg);
}

static void
closing_timeout(struct loop_timer *t)
{
	closing_over(t->arg);
}

static void
common_drain(struct broker *b)
{
	struct closing c = { .loop = b->loop };
	struct loop_timer bound = { .fn = closing_timeout, .arg = &c };

	broker_drain(b, closing_drained, &c);
	if (!c.over)
		loop_timer_set(c.loop, &bound, COMMON_DRAIN_MS);
	while (!c.over)
		loop_run(c.loop);
	loop_timer_clear(c.loop, &bound);
	b->draining = false;
}

void
common_close(struct broker *b, struct broker_options *opts)
{
	if (b)
		common_drain(b);
	interrupt_release();	/* a library's end may take its time */
	broker_free(b);		/* disconnects */
	registry_settle(opts->registry, COMMON_DRAIN_MS);
	registry_free(opts->registry);
	opts->registry = NULL;
}

bool
common_color(const struct common_args *c, int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (c->color != COLOR_AUTO)
		return c->color == COLOR_ALWAYS;
	if ((no && *no) || !term || strcmp(term, "dumb") == 0)
		return false;
	return isatty(fd);
}

int
stdout_write(const struct buf *b, struct error *err)
{
	struct bytes left = buf_bytes(b);

	while (left.n) {
		ssize_t w = write(STDOUT_FILENO, left.p, left.n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {	/* somebody else made it non-blocking */
			struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

			poll(&pfd, 1, -1);
			continue;
		}
		if (w < 0 && errno == EPIPE)
			return 0;
		if (w < 0)
			return error_sys(err, ERR_LOCAL_IO, "stdout");
		left = bytes_of(left.p + w, left.n - (size_t)w);
	}
	return 0;
}

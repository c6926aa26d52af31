/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every broker, written once: see broker.h. */
#include "core/broker.h"

#include <stdlib.h>

#include "core/address.h"
#include "core/buf.h"
#include "core/text.h"

const struct publish_options publish_defaults = {
	.qos = -1,
	.partition = -1,
	.time_us = -1,
	.props = { .ttl_ms = -1 },
};

const struct subscribe_options subscribe_defaults = { .partition = -1, .qos = -1 };

static const char *
xopt_name(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && name[n] == '.' ? name + n + 1 : name;
}

static const char *
find_xopt(const struct broker_ops *ops, const struct broker_options *opts, const char *name)
{
	const struct broker_option *o = xopt_find(ops->options, name);

	for (size_t i = opts->nxopts; i-- > 0;)
		if (strcmp(xopt_name(opts->xopts[i].name, ops->name), name) == 0)
			return opts->xopts[i].value;
	return o ? o->value : NULL;
}

bool
broker_xopt_given(const struct broker *b, const char *name)
{
	for (size_t i = 0; i < b->opts.nxopts; i++)
		if (strcmp(xopt_name(b->opts.xopts[i].name, b->ops->name), name) == 0)
			return true;
	return false;
}

const char *
broker_xopt(const struct broker *b, const char *name)
{
	return find_xopt(b->ops, &b->opts, name);
}

static const char *
value_of(const void *instance, const char *name)
{
	return broker_xopt(instance, name);
}

int
broker_read_xopts(struct broker *b, struct error *err)
{
	return xopt_read(b, b->ops->name, b->ops->options, value_of, err);
}

/* A -X name is the broker's own, or belongs to the registry ("mdns.wait"). */
static int
check_xopts(const struct broker_ops *ops, const struct broker_options *opts, struct error *err)
{
	for (size_t i = 0; i < opts->nxopts; i++) {
		const char *name = opts->xopts[i].name;
		const struct broker_option *o = xopt_find(ops->options, xopt_name(name, ops->name));
		unsigned use = 0;

		if (o && xopt_check_use(name, o->use, opts->use, err) < 0)
			return -1;
		if (o)
			continue;
		if (strchr(name, '.') && xopt_name(name, ops->name) == name &&
		    (ops->caps & BROKER_REGISTRY))
			continue;	/* registry_new() looks at these */
		if (ops->check_option) {
			if (ops->check_option(xopt_name(name, ops->name), opts->xopts[i].value,
			    &use, err) < 0 || xopt_check_use(name, use, opts->use, err) < 0)
				return -1;
			continue;
		}
		return error_set(err, ERR_USAGE,
			"-X %s: the %s broker has no such option (-B %s -X list shows them)",
			name, ops->name, ops->name);
	}
	return 0;
}

static bool
gave_driver(const struct broker_ops *ops, const struct broker_options *opts)
{
	for (size_t i = 0; i < opts->nxopts; i++)
		if (strcmp(xopt_name(opts->xopts[i].name, ops->name), "driver") == 0)
			return true;
	return false;
}

/* The driver that alone speaks the scheme of an address; NULL: none. */
static const char *
driver_of_address(const char *text)
{
	struct bytes list = bytes_str(text), one;

	while (address_next(&list, &one)) {
		const char *end = memmem(one.p, one.n, "://", 3);
		struct bytes scheme = bytes_of(one.p, end ? (size_t)(end - one.p) : 0);

		for (const struct backend *row = driver_table; end && row->name; row++)
			if (backend_has_scheme(row, scheme))
				return row->name;
	}
	return NULL;
}

/* The ops of the -X driver that the user chose, or that the address wants; its own
 * where that is the broker itself. */
static const struct broker_ops *
find_driver(const struct broker_ops *ops, const struct broker_options *opts, struct error *err)
{
	const struct broker_option *o = xopt_find(ops->options, "driver");
	const struct broker_ops *driver;
	const char *name;

	if (!o)
		return ops;
	name = gave_driver(ops, opts) ? NULL : driver_of_address(opts->address);
	if (!name)
		name = find_xopt(ops, opts, "driver");
	if (strcmp(name, o->value) == 0)
		return ops;
	driver = backend_find(driver_table, "driver", name, err);
	if (driver && strcmp(driver->name, ops->name) != 0) {
		error_set(err, ERR_USAGE, "-X driver=%s: not a driver of the %s broker", name,
			ops->name);
		return NULL;
	}
	return driver;
}

/* What the user asked for and this broker has not: an error, never ignored. */
static int
check_caps(const struct broker_ops *ops, const struct broker_options *opts, struct error *err)
{
	const struct {
		bool asked;
		enum broker_caps cap;
		const char *what;
	} wants[] = {
		{ opts->tls, BROKER_TLS, "TLS" },
		{ opts->username || opts->password.p, BROKER_USER, "users and passwords" },
		{ opts->reconnect > 0, BROKER_RECONNECT, "connection that could be made again" },
		{ opts->ack != PUBLISH_ACK_BROKER, BROKER_ACK_CHOICE, "choice of --ack" },
		{ opts->compress, BROKER_COMPRESS, "compression (--compress)" },
		{ opts->create, BROKER_CREATE, "topics that have to be made (--create)" },
		{ opts->transaction, BROKER_TRANSACTION, "transactions" },
	};

	for (size_t i = 0; i < sizeof wants / sizeof *wants; i++)
		if (wants[i].asked && !(ops->caps & (wants[i].cap | BROKER_HEEDLESS)))
			return error_set(err, ERR_NOTFOUND, "the %s broker has no %s", ops->name,
				wants[i].what);
	return 0;
}

struct broker *
broker_new(const char *name, struct loop *loop, const struct broker_options *opts,
	struct error *err)
{
	const struct broker_ops *ops = broker_find(name, err);
	struct broker *b;

	if (!ops || check_xopts(ops, opts, err) < 0)
		return NULL;
	ops = find_driver(ops, opts, err);
	if (!ops || check_caps(ops, opts, err) < 0)
		return NULL;
	b = xcalloc(1, ops->size);
	b->ops = ops;
	b->loop = loop;
	b->opts = *opts;
	b->caps = ops->caps;
	if (!b->opts.window_events)
		b->opts.window_events = ops->window ? ops->window : BROKER_WINDOW;
	if (broker_read_xopts(b, err) < 0) {
		free(b);
		return NULL;
	}
	if (ops->init(b, err) < 0) {
		broker_free(b);
		return NULL;
	}
	return b;
}

void
broker_free(struct broker *b)
{
	if (!b)
		return;
	broker_disconnect(b);
	b->ops->release(b);
	free(b);
}

int
broker_connect(struct broker *b, struct error *err)
{
	if (b->connected)
		return 0;
	return b->ops->connect(b, err);
}

void
broker_disconnect(struct broker *b)
{
	while (b->subs)
		broker_unsubscribe(b->subs);
	if (!b->connected)
		return;
	b->connected = false;
	b->ops->disconnect(b);
}

const char *
broker_address(struct broker *b)
{
	const char *a = b->ops->address ? b->ops->address(b) : NULL;

	if (!a)
		a = b->opts.address;
	return a ? a : b->ops->default_address;
}

void
broker_connected(struct broker *b, const struct error *err)
{
	b->connected = !err;
	if (b->opts.notify && b->opts.notify->connected)
		b->opts.notify->connected(b, err, b->opts.notify_arg);
}

void
broker_failed(struct broker *b, const struct error *err)
{
	if (b->opts.notify && b->opts.notify->failed)
		b->opts.notify->failed(b, err, b->opts.notify_arg);
}

/* ---- publishing ---- */

size_t
publication_size(const struct publication *p)
{
	size_t n = p->topic.n + p->msg.key.n + p->msg.body.n;

	for (size_t i = 0; i < p->msg.nheaders; i++)
		n += p->msg.headers[i].name.n + p->msg.headers[i].value.n;
	return n;
}

static bool
name_repeats(const struct message *m)
{
	for (size_t i = 1; i < m->nheaders; i++)
		for (size_t j = 0; j < i; j++)
			if (bytes_eq(m->headers[i].name, m->headers[j].name))
				return true;
	return false;
}

static const char *
cannot_carry_headers(unsigned caps, const struct message *m)
{
	if (!(caps & BROKER_HEADER))
		return "header";
	if (!(caps & BROKER_NULL_HEADER))
		for (size_t i = 0; i < m->nheaders; i++)
			if (!m->headers[i].value.p)
				return "null";
	if (!(caps & BROKER_REPEAT_HEADER) && name_repeats(m))
		return "repeat";
	if (!(caps & BROKER_BINARY_HEADER))
		for (size_t i = 0; i < m->nheaders; i++)
			if (!utf8_valid(m->headers[i].name.p, m->headers[i].name.n) ||
			    !utf8_valid(m->headers[i].value.p, m->headers[i].value.n))
				return "binary";
	return NULL;
}

static const char *
cannot_carry_options(unsigned caps, const struct publish_options *o)
{
	if (!(caps & BROKER_QOS) && o->qos >= 0)
		return "qos";
	if (!(caps & BROKER_RETAIN) && o->retain)
		return "retain";
	if (!(caps & BROKER_PARTITION) && o->partition >= 0)
		return "partition";
	if (!(caps & (BROKER_PROPS | BROKER_REPLY)) && o->props.reply_to.p)
		return "property";
	if (!(caps & BROKER_PROPS) && (o->props.content_type.p || o->props.correlation.p ||
	    o->props.ttl_ms >= 0))
		return "property";
	return NULL;
}

const char *
broker_cannot_carry(unsigned caps, const struct publication *p)
{
	const struct message *m = &p->msg;
	const char *field;

	if (caps & BROKER_HEEDLESS)
		return NULL;
	if (!(caps & BROKER_BINARY_TOPIC) && !utf8_valid(p->topic.p, p->topic.n))
		return "topic";
	if (!(caps & BROKER_KEY) && m->key.p)
		return "key";
	if (!(caps & BROKER_NULL_BODY) && !m->body.p)
		return "null";
	field = m->nheaders ? cannot_carry_headers(caps, m) : NULL;
	return field || !p->opts ? field : cannot_carry_options(caps, p->opts);
}

unsigned
broker_publication_caps(const struct broker *b, const struct publication *p)
{
	bool raw = b->raw_caps && b->opts.wire == WIRE_AUTO && p->opts &&
		p->opts->wire == WIRE_RAW;

	return raw ? b->raw_caps : b->caps;
}

/* The first header with that fault, for the message. */
static const struct header *
guilty_header(const char *field, const struct message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		const struct header *h = &m->headers[i];

		if (strcmp(field, "null") == 0 && !h->value.p)
			return h;
		if (strcmp(field, "repeat") == 0 && message_header(m, h->name) != h)
			return h;
		if (strcmp(field, "binary") == 0 && (!utf8_valid(h->name.p, h->name.n) ||
		    !utf8_valid(h->value.p, h->value.n)))
			return h;
	}
	return NULL;
}

int
broker_refuse_field(const struct broker *b, const char *field, const struct message *m,
	struct error *err)
{
	static const struct {
		const char *field, *why;
	} faults[] = {
		{ "null", "has no value, and this broker cannot tell that from an empty one "
			"(--omit null sends it empty)" },
		{ "repeat", "comes twice, and this broker carries a name once (--omit repeat "
			"keeps the first)" },
		{ "binary", "is not UTF-8, and this broker carries text headers only (--omit "
			"binary leaves it out)" },
	};
	static const struct {
		const char *field, *name, *why;
	} lacks[] = {
		{ "header", "headers", "carries none with this --wire (--omit header leaves them "
			"out)" },
		{ "qos", "QoS", "has none" },
		{ "retain", "retain", "keeps no event" },
		{ "partition", "partition", "has none" },
		{ "property", "content type, reply topic, correlation, time to live",
			"carries no such property" },
	};
	const struct header *h = guilty_header(field, m);

	for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++)
		if (strcmp(field, lacks[i].field) == 0)
			return error_set(err, ERR_REFUSED, "%s: the %s broker %s",
				lacks[i].name, b->ops->name, lacks[i].why);
	if (strcmp(field, "topic") == 0)
		return error_set(err, ERR_REFUSED, "topic: not UTF-8, and the %s broker carries "
			"text topics only", b->ops->name);
	if (strcmp(field, "key") == 0)
		return error_set(err, ERR_REFUSED, "key: the %s broker has none (--omit key "
			"leaves it out)", b->ops->name);
	for (size_t i = 0; h && i < sizeof faults / sizeof *faults; i++)
		if (strcmp(faults[i].field, field) == 0)
			return error_set(err, ERR_REFUSED, "headers: %.*s %s", BYTES_FMT(h->name),
				faults[i].why);
	return error_set(err, ERR_REFUSED, "body: null, which the %s broker cannot tell from an "
		"empty one (--omit null sends it empty)", b->ops->name);
}

int
broker_publish(struct broker *b, struct publication *p, struct error *err)
{
	size_t size = p->size = publication_size(p);
	const char *field;
	int r;

	if (!b->connected)
		return error_set(err, ERR_CONNECT, "%s: not connected", b->ops->name);
	if (b->flying_events && (b->flying_events >= b->opts.window_events ||
	    b->flying_bytes + size > b->opts.window_bytes)) {
		b->was_full = true;
		return PUBLISH_FULL;
	}
	field = broker_cannot_carry(broker_publication_caps(b, p), p);
	if (field)
		return broker_refuse_field(b, field, &p->msg, err);
	/* Counted before: the outcome may come before publish returns. */
	b->flying_events++;
	b->flying_bytes += size;
	r = b->ops->publish(b, p, err);
	if (r) {
		b->flying_events--;
		b->flying_bytes -= size;
	}
	if (r == PUBLISH_FULL)
		b->was_full = true;
	return r;
}

void
broker_room(struct broker *b)
{
	const struct broker_notify *n = b->opts.notify;

	if (!b->was_full)
		return;
	b->was_full = false;
	if (n && n->room)
		n->room(b, b->opts.notify_arg);
}

void
broker_outcome(struct broker *b, uint64_t id, size_t bytes, enum fate fate,
	const struct error *err)
{
	const struct broker_notify *n = b->opts.notify;
	struct outcome o = { id, fate, err };

	b->flying_events--;
	b->flying_bytes -= bytes;
	if (n && n->outcome)
		n->outcome(b, &o, b->opts.notify_arg);
	/* Told at three quarters of the window, so that the publisher fills it in
	 * one go and not event by event. */
	if (b->flying_events <= b->opts.window_events * 3 / 4 &&
	    b->flying_bytes <= b->opts.window_bytes / 4 * 3)
		broker_room(b);
}

/* ---- subscribing ---- */

/* What is asked for and this broker has not: an error, never ignored. */
static int
check_subscribe(const struct broker *b, const struct subscribe_options *o, struct error *err)
{
	const struct {
		bool asked;
		enum broker_caps cap;
		const char *what;
	} wants[] = {
		{ o->group, BROKER_GROUP, "has no groups" },
		{ o->ack == SUBSCRIBE_ACK_AFTER_WRITE, BROKER_ACK, "is not told what was received, "
			"so --ack after-write cannot work" },
		{ o->ack == SUBSCRIBE_ACK_NONE, BROKER_ACK_CHOICE, "has no choice of --ack" },
		{ o->from.kind || o->until.kind, BROKER_OFFSET, "keeps no events, so there is no "
			"place to begin or to end at" },
		{ o->ended, BROKER_END, "keeps no events, so there is no place to begin or to end "
			"at" },
		{ o->partition >= 0, BROKER_PARTITION, "has no partitions" },
		{ o->qos >= 0, BROKER_QOS, "has no QoS" },
		{ o->no_retained, BROKER_RETAIN, "retains no events" },
		{ o->regex, BROKER_REGEX, "lists no topics for --regex" },
	};

	for (size_t i = 0; i < sizeof wants / sizeof *wants; i++)
		if (wants[i].asked && !(b->caps & (wants[i].cap | BROKER_HEEDLESS)))
			return error_set(err, ERR_NOTFOUND, "the %s broker %s", b->ops->name,
				wants[i].what);
	return 0;
}

struct subscription *
broker_subscribe(struct broker *b, struct bytes topic, const struct subscribe_options *opts,
	event_handler *handler, subscribed_fn *subscribed, void *arg, struct error *err)
{
	struct subscription *s, **end = &b->subs;

	if (!b->connected) {
		error_set(err, ERR_CONNECT, "%s: not connected", b->ops->name);
		return NULL;
	}
	if (check_subscribe(b, opts, err) < 0)
		return NULL;
	if (!(b->caps & BROKER_BINARY_TOPIC) && !utf8_valid(topic.p, topic.n)) {
		error_set(err, ERR_USAGE, "topic: not UTF-8, and the %s broker carries text topics "
			"only", b->ops->name);
		return NULL;
	}
	s = xcalloc(1, sizeof *s);
	s->broker = b;
	s->topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
	s->opts = *opts;
	s->handler = handler;
	s->subscribed = subscribed;
	s->arg = arg;
	while (*end)
		end = &(*end)->next;
	*end = s;
	if (b->ops->subscribe(s, err) < 0) {
		broker_unsubscribe(s);
		return NULL;
	}
	return s;
}

void
broker_subscribed(struct subscription *s, const struct error *err)
{
	struct error why;

	if (!s->told) {
		s->told = true;
		if (s->subscribed)
			s->subscribed(s, err, s->arg);
	} else if (err) {
		why = *err;
		error_prefix_bytes(&why, s->topic);
		broker_failed(s->broker, &why);
	}
}

void
broker_ended(struct subscription *s)
{
	if (s->opts.ended)
		s->opts.ended(s, s->arg);
}

void
broker_unsubscribe(struct subscription *s)
{
	struct subscription **p = &s->broker->subs;

	s->broker->ops->unsubscribe(s);
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	free((char *)s->topic.p);
	free(s);
}

enum handled
broker_deliver(struct subscription *s, struct event *ev)
{
	ev->number = ++s->broker->delivered;
	return s->handler(s, ev, s->arg);
}

void
broker_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	if (b->ops->ack && b->connected)
		b->ops->ack(b, first, last, ok);
}

void
broker_pause(struct broker *b, bool on)
{
	if (b->ops->pause)
		b->ops->pause(b, on);
}

void
broker_drain(struct broker *b, void (*fn)(struct broker *, void *), void *arg)
{
	b->drained = fn;
	b->drained_arg = arg;
	b->draining = true;
	if (b->connected && b->ops->drain)
		b->ops->drain(b);
	else
		broker_drained(b);
}

void
broker_drained(struct broker *b)
{
	if (!b->draining)
		return;
	b->draining = false;
	b->drained(b, b->drained_arg);
}

void
broker_finish(struct broker *b, bool commit)
{
	if (b->connected && b->ops->finish)
		b->ops->finish(b, commit);
	else
		broker_finished(b, NULL);
}

void
broker_finished(struct broker *b, const struct error *err)
{
	if (b->opts.notify && b->opts.notify->finished)
		b->opts.notify->finished(b, err, b->opts.notify_arg);
}

int
broker_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	if (!(b->caps & BROKER_AUDIENCE))
		return error_set(err, ERR_NOTFOUND,
			"the %s broker does not tell who subscribes, so --wait cannot work",
			b->ops->name);
	return b->ops->audience(b, topic, n, fn, arg, err);
}

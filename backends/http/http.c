/* SPDX-License-Identifier: Apache-2.0 */
/* The http broker: options, node ids, and the ops; see http.h for the plan. */
#include "backends/http/http.h"

#include <stdlib.h>

#include "core/log.h"
#include "core/net.h"
#include "core/text.h"
#include "core/units.h"

/* As go-micro registers a subscription. */
enum {
	REGISTER_TTL_MS = 60 * 1000,
	REGISTER_EVERY_MS = 30 * 1000,
	AUDIENCE_EVERY_MS = 250		/* a lost announcement costs --wait this */
};

const struct dialect dialects[DIALECTS] = {
	[DIALECT_NEW] = { "micro.http.broker", "/", HEADER_MICRO_TOPIC, true },
	[DIALECT_OLD] = { "go.micro.http.broker", "/_sub", HEADER_OLD_TOPIC, false },
};

static const struct broker_option http_options[] = {
	{ "dialect", "new|old|both", "both",
		"which go-micro's to speak: new is v2.5 and later, old is v1 and the plugins" },
	{ "pipeline", "N", "1024", "requests in flight on one connection" },
	{ "body_max", "SIZE", "64M", "the largest message a subscriber takes" },
	{ "header_timeout", "TIME", "10s", "how long a request's head may take" },
	{ "body_timeout", "TIME", "60s",
		"how long a body may take, and the peer not to read its replies; each 16K add 1s" },
	{ "idle_timeout", "TIME", "5m", "how long a connection without a request is kept" },
	{ "max_connections", "N", "1000", "connections of a subscriber; the longest idle make room" },
	{ "max_per_peer", "N", "256", "of them from one other host" },
	{ "memory_max", "SIZE", "256M", "what all connections hold; the slowest are closed" },
	{ NULL, NULL, NULL, NULL }
};

static struct http_broker *
http_of(struct broker *b)
{
	return (struct http_broker *)b;
}

/* ---- --wait ---- */

void
audience_check(struct http_broker *hb, const struct error *err)
{
	audience_fn *fn = hb->audience.fn;
	struct error ignored;

	if (!fn)
		return;
	if (!err && directory_count(hb, hb->audience.topic) < hb->audience.n)
		return;
	/* Those who answer the same question a moment later belong to it, too. */
	if (!err && directory_is_looking(hb))
		return;
	if (!err && !hb->dir.looked_ns && directory_look(hb, &ignored) == 0)
		return;
	hb->audience.fn = NULL;
	loop_timer_clear(hb->loop, &hb->audience.again);
	fn(&hb->b, err, hb->audience.arg);
}

static void
audience_again(struct loop_timer *t)
{
	struct http_broker *hb = t->arg;
	struct error err;

	if (directory_look(hb, &err) < 0) {
		audience_check(hb, &err);
		return;
	}
	loop_timer_set(hb->loop, t, AUDIENCE_EVERY_MS);
}

static int
http_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	struct http_broker *hb = http_of(b);

	free((char *)hb->audience.topic.p);
	hb->audience.topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
	hb->audience.n = n;
	hb->audience.fn = fn;
	hb->audience.arg = arg;
	/* Asked first: watching opens more sockets, and most often nobody has to
	 * be waited for. */
	if (directory_look(hb, err) < 0)
		return -1;
	loop_timer_set(hb->loop, &hb->audience.again, AUDIENCE_EVERY_MS);
	return 0;
}

/* ---- subscribing ---- */

static int
service_add(struct registry *r, const struct service *s, struct error *err)
{
	return registry_add(r, s, REGISTER_TTL_MS, err);
}

static int
service_remove(struct registry *r, const struct service *s, struct error *err)
{
	(void)err;
	registry_remove(r, s);
	return 0;
}

static void
refresh(struct loop_timer *t)
{
	struct http_broker *hb = t->arg;
	struct error err;

	for (struct subscription *s = hb->b.subs; s; s = s->next)
		if (s->priv && server_each_service(s->priv, service_add, &err) < 0)
			log_warn("%.*s: could not register again: %s", BYTES_FMT(s->topic), err.text);
	loop_timer_set(hb->loop, t, REGISTER_EVERY_MS);
}

/* Why go-micro's programs would not reach a node of that id; NULL: they would. */
static const char *
id_foreign(struct http_broker *hb, struct bytes id)
{
	const char *why = NULL;

	for (unsigned d = 0; d < DIALECTS && !why; d++)
		if (hb->speaks[d])
			why = registry_foreign(hb->registry, bytes_str(dialects[d].service), id);
	return why;
}

/* "<topic>-<uuid>" as go-micro has it, where all can read that; else an id that
 * is safe: go-micro's publishers go by the topic in the metadata. Returns why they
 * would not reach even that; NULL: they do. */
static const char *
choose_id(struct http_broker *hb, struct http_sub *hs)
{
	struct bytes topic = hs->sub->topic;
	struct buf id = BUF_INIT;
	const char *why;

	buf_add_bytes(&id, topic);
	buf_addf(&id, "-%s", hb->uuid);
	why = id_foreign(hb, buf_bytes(&id));
	if (why) {
		log_verbose("%.*s: registered under a made-up id (%s)", BYTES_FMT(topic), why);
		buf_clear(&id);
		buf_addf(&id, "t%u-%s", ++hb->next_safe_id, hb->uuid);
		why = id_foreign(hb, buf_bytes(&id));
	}
	hs->id_len = buf_len(&id);
	hs->id = xmemdup0(buf_data(&id), hs->id_len);
	buf_release(&id);
	return why;
}

/* A queue's name is the version of its services. */
static int
check_group(const char *group, struct error *err)
{
	if (!group)
		return 0;
	if (!*group)
		return error_set(err, ERR_USAGE, "the http broker has no empty group");
	if (strcmp(group, VERSION_BROADCAST) == 0)
		return error_set(err, ERR_USAGE, "group %s: that is how go-micro calls no group",
			group);
	if (!utf8_valid(group, strlen(group)))
		return error_set(err, ERR_USAGE, "group %s: not UTF-8", group);
	return 0;
}

static int
http_subscribe(struct subscription *s, struct error *err)
{
	struct http_broker *hb = http_of(s->broker);
	struct http_sub *hs;
	const char *why;

	if (!s->topic.n)
		return error_set(err, ERR_USAGE, "the http broker has no empty topic");
	if (check_group(s->opts.group, err) < 0 || server_open(hb, err) < 0)
		return -1;
	hs = xcalloc(1, sizeof *hs);
	hs->sub = s;
	s->priv = hs;
	why = choose_id(hb, hs);
	if (server_each_service(hs, service_add, err) < 0)
		return -1;
	if (why)
		log_warn("%.*s: go-micro's programs will not find this subscriber: %s",
			BYTES_FMT(s->topic), why);
	if (!loop_timer_is_set(&hb->refresh))
		loop_timer_set(hb->loop, &hb->refresh, REGISTER_EVERY_MS);
	broker_subscribed(s, NULL);
	return 0;
}

static void
http_unsubscribe(struct subscription *s)
{
	struct http_sub *hs = s->priv;
	struct error ignored;

	if (!hs)
		return;
	if (hs->id)
		server_each_service(hs, service_remove, &ignored);
	s->priv = NULL;
	free(hs->id);
	free(hs);
}

static void
http_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	server_ack(http_of(b), first, last, ok);
}

static void
http_pause(struct broker *b, bool on)
{
	server_pause(http_of(b), on);
}

static void
http_drain(struct broker *b)
{
	server_drain(http_of(b));
}

/* ---- life ---- */

static int
read_options(struct http_broker *hb, struct error *err)
{
	const char *dialect = broker_xopt(&hb->b, "dialect");
	const char *depth = broker_xopt(&hb->b, "pipeline");
	const char *max = broker_xopt(&hb->b, "body_max");
	uint64_t n;

	hb->speaks[DIALECT_NEW] = strcmp(dialect, "old") != 0;
	hb->speaks[DIALECT_OLD] = strcmp(dialect, "new") != 0;
	if (strcmp(dialect, "new") && strcmp(dialect, "old") && strcmp(dialect, "both"))
		return error_set(err, ERR_USAGE, "-X http.dialect=%s: one of new, old, both", dialect);
	if (!units_count(depth, 1000000, &n) || !n)
		return error_set(err, ERR_USAGE, "-X http.pipeline=%s: a number from 1", depth);
	hb->depth = (size_t)n;
	if (!units_size(max, &hb->body_max) || !hb->body_max || hb->body_max > 1ull << 30)
		return error_set(err, ERR_USAGE, "-X http.body_max=%s: a size up to 1G", max);
	return limits_options(hb, err);
}

static int
http_init(struct broker *b, struct error *err)
{
	struct http_broker *hb = http_of(b);

	hb->loop = b->loop;
	hb->registry = b->opts.registry;
	hb->oldest = 1;
	hb->refresh.fn = refresh;
	hb->audience.again.fn = audience_again;
	hb->refresh.arg = hb->audience.again.arg = hb;
	envelope_init(&hb->envelope);
	directory_init(hb);
	routes_init(hb);
	return read_options(hb, err);
}

static int
http_connect(struct broker *b, struct error *err)
{
	(void)err;
	if (!http_of(b)->uuid[0])
		net_uuid(http_of(b)->uuid);
	broker_connected(b, NULL);
	return 0;
}

static void
http_disconnect(struct broker *b)
{
	struct http_broker *hb = http_of(b);

	loop_timer_clear(hb->loop, &hb->refresh);
	loop_timer_clear(hb->loop, &hb->audience.again);
	hb->audience.fn = NULL;
	server_close(hb);
	endpoints_release(hb);
	routes_release(hb);
	directory_release(hb);
}

static void
http_release(struct broker *b)
{
	struct http_broker *hb = http_of(b);

	http_disconnect(b);
	envelope_release(&hb->envelope);
	buf_release(&hb->scratch);
	buf_release(&hb->payload);
	free((char *)hb->audience.topic.p);
	secure_release(hb);
	free(hb->deliveries);
}

static int
http_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return route_publish(http_of(b), p, err);
}

static const char *
http_address(struct broker *b)
{
	struct http_broker *hb = http_of(b);

	for (unsigned i = 0; i < DIALECTS; i++)
		if (hb->server[i].listener)
			return listener_address(hb->server[i].listener);
	return NULL;
}

const struct broker_ops http_broker_ops = {
	.name = "http",
	.default_address = "127.0.0.1:0",
	.caps = BROKER_REGISTRY | BROKER_GROUP | BROKER_HEADER | BROKER_ACK | BROKER_AUDIENCE |
		BROKER_NULL_BODY | BROKER_TLS,
	.size = sizeof(struct http_broker),
	.options = http_options,
	.init = http_init,
	.release = http_release,
	.connect = http_connect,
	.disconnect = http_disconnect,
	.publish = http_publish,
	.subscribe = http_subscribe,
	.unsubscribe = http_unsubscribe,
	.ack = http_ack,
	.pause = http_pause,
	.drain = http_drain,
	.audience = http_audience,
	.address = http_address,
};

MODULE_BROKER(http_broker_ops);

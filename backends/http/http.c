/* SPDX-License-Identifier: Apache-2.0 */
/* The http broker: options, node ids, and the ops; see http.h for the plan. */
#include "backends/http/http.h"

#include <stdlib.h>

#include "core/log.h"
#include "core/net.h"
#include "core/text.h"

/* As go-micro registers a subscription. */
enum {
	REGISTER_TTL_MS = 60 * 1000,
	REGISTER_EVERY_MS = 30 * 1000,
	AUDIENCE_EVERY_MS = 250		/* a lost announcement costs --wait this */
};

const struct dialect http_dialects[DIALECTS] = {
	[DIALECT_NEW] = { "micro.http.broker", "/", HEADER_MICRO_TOPIC, true },
	[DIALECT_OLD] = { "go.micro.http.broker", "/_sub", HEADER_OLD_TOPIC, false },
};

#define AT(type, member) XOPT_##type(struct http_broker, member)

enum { DAY_MS = 86400000 };

static const struct broker_option http_options[] = {
	{ "dialect", "new|old|both", "both",
		"which go-micro's to speak: new is v2.5 and later, old is v1 and the plugins",
		AT(CHOICE, dialect) },
	{ "only", "ADDRESS,...", NULL,
		"the addresses that are sent to, no others: 10.0.0.5, 10.0.0.5:8000, [::1]:8000",
		AT(STR, only), .use = BROKER_FOR_PUB },
	{ "pipeline", "N", "1024", "requests in flight on one connection",
		AT(COUNT, endpoints.depth), .least = 1, .most = 1000000, .use = BROKER_FOR_PUB },
	{ "body_max", "SIZE", "64M", "the largest message taken",
		AT(SIZE, body_max), .least = 1, .most = 1 << 30, .use = BROKER_FOR_SUB },
	{ "header_timeout", "TIME", "10s", "how long a request's head may take",
		AT(TIME, limits.header_ms), .least = 1, .most = DAY_MS, .use = BROKER_FOR_SUB },
	{ "body_timeout", "TIME", "60s",
		"how long a body may take, and the peer not to read its replies; each 16K add 1s",
		AT(TIME, limits.body_ms), .least = 1, .most = DAY_MS, .use = BROKER_FOR_SUB },
	{ "idle_timeout", "TIME", "5m", "how long a connection without a request is kept",
		AT(TIME, limits.idle_ms), .least = 1, .most = DAY_MS, .use = BROKER_FOR_SUB },
	{ "max_connections", "N", "1000", "how many connections; the longest idle make room",
		AT(COUNT, limits.conns_max), .least = 1, .most = 1000000, .use = BROKER_FOR_SUB },
	{ "max_per_peer", "N", "256", "of them from one other host",
		AT(COUNT, limits.per_peer), .least = 1, .most = 1000000, .use = BROKER_FOR_SUB },
	{ "memory_max", "SIZE", "256M", "what all connections hold; the slowest are closed",
		AT(SIZE, limits.memory_max), .least = 1, .most = 1ull << 40, .use = BROKER_FOR_SUB },
	{ NULL, NULL, NULL, NULL }
};

static struct http_broker *
http_of(struct broker *b)
{
	return (struct http_broker *)b;
}

/* ---- --wait ---- */

bool
http_audience_waits(const struct http_broker *hb, struct bytes topic)
{
	return hb->audience.fn && bytes_eq(hb->audience.topic, topic);
}

void
http_audience_check(struct http_broker *hb, const struct error *err)
{
	audience_fn *fn = hb->audience.fn;
	struct error ignored;

	if (!fn)
		return;
	if (!err && http_peers_count(&hb->dir.peers, hb->audience.topic) < hb->audience.n)
		return;
	/* Those who answer the same question a moment later belong to it, too. */
	if (!err && http_directory_is_looking(&hb->dir))
		return;
	if (!err && !hb->dir.looked_ns && http_directory_look(&hb->dir, false, &ignored) == 0)
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

	if (http_directory_look(&hb->dir, false, &err) < 0) {
		http_audience_check(hb, &err);
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
	if (http_directory_look(&hb->dir, false, err) < 0)
		return -1;
	loop_timer_set(hb->loop, &hb->audience.again, AUDIENCE_EVERY_MS);
	return 0;
}

/* ---- subscribing ---- */

static struct http_broker *
broker_of_sub(const struct http_sub *hs)
{
	return http_of(hs->sub->broker);
}

/* In all registries that it should be in. */
static void
check_subscribed(struct http_sub *hs)
{
	for (unsigned d = 0; d < DIALECTS; d++)
		if (hs->reply[d].priv)
			return;
	if (hs->told)
		return;
	hs->told = true;
	broker_subscribed(hs->sub, NULL);
}

static void
service_added(struct registry_reply *r, const struct error *err)
{
	struct http_sub *hs = r->arg;

	if (!err) {
		check_subscribed(hs);
	} else if (hs->told) {
		log_warn("%.*s: could not register again: %s", BYTES_FMT(hs->sub->topic), err->text);
	} else {
		hs->told = true;
		broker_subscribed(hs->sub, err);
	}
}

static int
service_add(struct http_sub *hs, unsigned dialect, const struct service *s, struct error *err)
{
	struct registry_reply *reply = &hs->reply[dialect];

	/* The last time it was asked has not been answered yet. */
	if (reply->priv)
		return 0;
	reply->done = service_added;
	reply->arg = hs;
	return registry_add(broker_of_sub(hs)->registry, s, REGISTER_TTL_MS, reply, err);
}

static int
service_remove(struct http_sub *hs, unsigned dialect, const struct service *s, struct error *err)
{
	(void)err;
	registry_forget(broker_of_sub(hs)->registry, &hs->reply[dialect]);
	registry_remove(broker_of_sub(hs)->registry, s);
	return 0;
}

static void
refresh(struct loop_timer *t)
{
	struct http_broker *hb = t->arg;
	struct error err;

	for (struct subscription *s = hb->b.subs; s; s = s->next)
		if (s->priv && http_server_each_service(s->priv, service_add, &err) < 0)
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
			why = registry_foreign(hb->registry, bytes_str(http_dialects[d].service), id);
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
	hs->id = (char *)xmalloc(sizeof OLD_ID - 1 + hs->id_len) + sizeof OLD_ID - 1;
	memcpy(hs->id - (sizeof OLD_ID - 1), OLD_ID, sizeof OLD_ID - 1);
	memcpy(hs->id, buf_data(&id), hs->id_len);
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
	if (check_group(s->opts.group, err) < 0 || http_server_open(hb, err) < 0)
		return -1;
	hs = xcalloc(1, sizeof *hs);
	hs->sub = s;
	s->priv = hs;
	why = choose_id(hb, hs);
	if (http_server_each_service(hs, service_add, err) < 0)
		return -1;
	if (why)
		log_warn("%.*s: go-micro's programs will not find this subscriber: %s",
			BYTES_FMT(s->topic), why);
	if (!loop_timer_is_set(&hb->refresh))
		loop_timer_set(hb->loop, &hb->refresh, REGISTER_EVERY_MS);
	check_subscribed(hs);
	return 0;
}

static void
http_unsubscribe(struct subscription *s)
{
	struct http_broker *hb = http_of(s->broker);
	struct http_sub *hs = s->priv;
	struct error ignored;

	if (!hs)
		return;
	if (hs->id)
		http_server_each_service(hs, service_remove, &ignored);
	for (unsigned d = 0; d < DIALECTS; d++)
		registry_forget(hb->registry, &hs->reply[d]);
	s->priv = NULL;
	free(hs->id ? hs->id - (sizeof OLD_ID - 1) : NULL);
	free(hs);
}

static void
http_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	http_server_ack(http_of(b), first, last, ok);
}

static void
http_pause(struct broker *b, bool on)
{
	http_server_pause(http_of(b), on);
}

static void
http_drain(struct broker *b)
{
	http_server_drain(http_of(b));
}

/* ---- life ---- */

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
	hb->speaks[DIALECT_NEW] = hb->dialect != 1;
	hb->speaks[DIALECT_OLD] = hb->dialect != 0;
	http_limits_init(hb);
	for (unsigned d = 0; d < DIALECTS; d++)
		hb->services[d] = hb->speaks[d] ? http_dialects[d].service : NULL;
	return http_publish_init(hb, err);
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
	hb->list.fn = NULL;
	http_server_close(hb);
	http_publish_stop(hb);
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
	http_directory_release(&hb->dir);
	http_secure_release(hb);
	free(hb->deliveries);
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
		BROKER_NULL_BODY | BROKER_TLS | BROKER_SHOWS_RAW,
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
	.list = http_list,
	.address = http_address,
};

MODULE_BROKER(http_broker_ops);

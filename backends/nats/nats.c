/* SPDX-License-Identifier: Apache-2.0 */
/* The nats broker: its options and its ops; see nats.h for the plan. */
#include "backends/nats/nats.h"

#define AT(type, member) XOPT_##type(struct nats_broker, member)

static const struct broker_option nats_options[] = {
	{ "mode", "core|jetstream", "core",
		"core: subjects, as go-micro has them; jetstream: streams, which keep the events, "
		"confirm each", AT(CHOICE, mode) },
	{ "msg_id", "HEADER", NULL,
		"jetstream: the value of this header is the event's id, by which a stream knows it "
		"again", AT(STR, msg_id) },
	{ "expect_stream", "NAME", NULL, "jetstream: no other stream is to take the events",
		AT(STR, expect_stream) },
	{ "expect_seq", "N", NULL,
		"jetstream: the stream's last sequence number is to be N before the first event",
		AT(COUNT, expect_seq) },
	{ "stream", "NAME", NULL, "jetstream: of this stream sub reads; else of the one that has "
		"the topic", AT(STR, of_stream) },
	{ "ack_wait", "TIME", "30s", "jetstream: a group that is made gives to another what was not "
		"acknowledged for so long", AT(TIME, ack_wait_ms), .least = 100 },
	{ "keepalive", "TIME", "60s", "a server that says nothing for so long is gone; 0: never",
		AT(TIME, keepalive_ms) },
	{ "tls_first", "yes|no", "no",
		"TLS begins before the server has said a word (its setting is handshake_first)",
		AT(BOOL, tls_first) },
	{ "discover", "yes|no", "yes", "connect again also to those servers that a server names",
		AT(BOOL, discover) },
	{ "creds", "FILE", NULL, "who we are: a file with a user's token (JWT) and seed",
		AT(STR, creds) },
	{ "nkey", "FILE", NULL, "who we are: a file with the seed of a user's key", AT(STR, nkey) },
	{ "name", "NAME", "mbus", "what the server calls this connection in its lists",
		AT(STR, client) },
	{ NULL, NULL, NULL, NULL }
};

static struct nats_broker *
nats_of(struct broker *b)
{
	return (struct nats_broker *)b;
}

enum {
	ALWAYS = BROKER_TLS | BROKER_USER | BROKER_RECONNECT | BROKER_RAW | BROKER_ACK_CHOICE |
		BROKER_BINARY_TOPIC | BROKER_GROUP | BROKER_REPLY | BROKER_HEADER,
	MICRO = ALWAYS | BROKER_NULL_BODY,
	STREAMS = BROKER_OFFSET | BROKER_END | BROKER_ACK | BROKER_REGEX,
	BARE = ALWAYS | BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER
};

static const char *
nats_lacks(const struct broker *b, unsigned caps)
{
	(void)b;
	if (caps & BROKER_REPLY)
		return "a stream itself answers there (-X nats.mode=core has replies)";
	if (caps & STREAMS)
		return "subjects of NATS keep nothing; streams do: -X nats.mode=jetstream";
	if (caps & BROKER_NULL_BODY)
		return "the bare body of NATS is never null; go-micro's envelope has null "
			"(--wire micro; --omit null)";
	if (caps & (BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER))
		return "go-micro's envelope has no room for it; headers of NATS have (--wire raw)";
	return NULL;
}

static int
nats_init(struct broker *b, struct error *err)
{
	struct nats_broker *nb = nats_of(b);

	nats_pub_init(nb);
	wire_reader_init(&nb->wire, b->opts.wire);
	b->caps = b->opts.wire == WIRE_RAW ? BARE : MICRO;
	b->raw_caps = BARE;
	if (nb->mode == NATS_JETSTREAM) {
		b->caps = (b->caps | STREAMS) & ~(unsigned)BROKER_REPLY;
		b->raw_caps = (BARE | STREAMS) & ~(unsigned)BROKER_REPLY;
	}
	if (b->opts.ack == PUBLISH_ACK_ALL)
		return error_set(err, ERR_NOTFOUND, "--ack all: %s", nb->mode == NATS_CORE ?
			"subjects of NATS have no replicas" : "a stream has as many as it was made with, "
			"and answers when they have the event: that is the default");
	if (nats_js_init(nb, err) < 0)
		return -1;
	return nats_auth_open(nb, err) < 0 ? -1 : nats_conn_open(nb, err);
}

static int
nats_connect(struct broker *b, struct error *err)
{
	(void)err;
	pipeline_start(&nats_of(b)->p);
	return 0;
}

static void
nats_disconnect(struct broker *b)
{
	struct nats_broker *nb = nats_of(b);

	nats_pub_close(nb);
	nats_js_sub_give_back(nb);
	nats_js_close(nb);
	nb->state = NATS_OFF;
	pipeline_close(&nb->p);
}

static void
nats_release(struct broker *b)
{
	struct nats_broker *nb = nats_of(b);

	pipeline_release(&nb->p);
	wire_reader_release(&nb->wire);
	nats_pub_release(nb);
	nats_sub_release(nb);
	nats_js_release(nb);
	nats_auth_release(nb);
	buf_release(&nb->nonce);
}

static int
nats_publish(struct broker *b, const struct publication *p, struct error *err)
{
	return nats_pub_event(nats_of(b), p, err);
}

static int
nats_subscribe(struct subscription *s, struct error *err)
{
	return nats_sub_subscribe(nats_of(s->broker), s, err);
}

static void
nats_unsubscribe(struct subscription *s)
{
	nats_sub_unsubscribe(nats_of(s->broker), s);
}

static void
nats_pause(struct broker *b, bool on)
{
	struct nats_broker *nb = nats_of(b);

	nb->paused = on;
	nb->paused_ns = loop_clock_ns();
	pipeline_pause(&nb->p, on);
	if (!on)
		nats_js_sub_go_on(nb);
}

static void
nats_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	nats_js_sub_ack(nats_of(b), first, last, ok);
}

/* Only where nothing else has proved that the server has read all. */
static void
nats_drain(struct broker *b)
{
	struct nats_broker *nb = nats_of(b);

	nats_js_sub_stop(nb);
	if (b->opts.ack == PUBLISH_ACK_NONE || (nb->mode == NATS_JETSTREAM && nb->nsubs))
		pipeline_drain(&nb->p);
	else
		broker_drained(b);
}

static int
nats_topics(struct broker *b, const char *const *names, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	return nats_list(nats_of(b), names, n, groups, fn, arg, err);
}

static const char *
nats_address(struct broker *b)
{
	return link_name(nats_of(b)->p.link);
}

const struct broker_ops nats_broker_ops = {
	.name = "nats",
	.default_address = "127.0.0.1:4222",
	.caps = MICRO | BARE | STREAMS,
	.size = sizeof(struct nats_broker),
	.options = nats_options,
	.url_path = "topic",
	.init = nats_init,
	.release = nats_release,
	.lacks = nats_lacks,
	.connect = nats_connect,
	.disconnect = nats_disconnect,
	.publish = nats_publish,
	.subscribe = nats_subscribe,
	.unsubscribe = nats_unsubscribe,
	.ack = nats_ack,
	.pause = nats_pause,
	.drain = nats_drain,
	.list = nats_topics,
	.address = nats_address,
};

MODULE_BROKER(nats_broker_ops);

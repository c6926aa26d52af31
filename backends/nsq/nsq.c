/* SPDX-License-Identifier: Apache-2.0 */
/* The nsq broker's options and ops, and what it publishes: see nsq.h. */
#include "backends/nsq/nsq.h"

#include "core/log.h"

static const struct broker_option nsq_options[] = {
	{ "keepalive", "TIME", "60s", "an nsqd that says nothing for so long is gone; 0: never",
		XOPT_TIME(struct nsq_broker, keepalive_ms), .most = 120000 },
	{ "in_flight", "N", "200", "so many events at once from each nsqd (RDY)",
		XOPT_COUNT(struct nsq_broker, in_flight), .least = 1, .most = 65535,
		.use = BROKER_FOR_SUB },
	{ "msg_timeout", "TIME", NULL, "who has not said for so long that it is alive loses "
		"its events to another (nsqd's own: 60s)",
		XOPT_TIME(struct nsq_broker, msg_timeout_ms), .least = 1000, .most = 900000,
		.use = BROKER_FOR_SUB },
	{ "requeue", "TIME", "0s", "an event that failed comes again after so long",
		XOPT_TIME(struct nsq_broker, requeue_ms), .most = 3600000,
		.use = BROKER_FOR_SUB },
	{ "defer", "TIME", "0s", "nsqd gives the events out after so long (DPUB)",
		XOPT_TIME(struct nsq_broker, defer_ms), .most = 3600000,
		.use = BROKER_FOR_PUB },
	{ NULL }
};

static int
nsq_init(struct broker *b, struct error *err)
{
	struct nsq_broker *nb = nsq_of(b);

	b->caps = (b->caps & ~(BROKER_HEADER | BROKER_NULL_BODY)) | wire_caps(b->opts.wire);
	wire_reader_init(&nb->wire, b->opts.wire);
	nb->touch.fn = nsq_sub_touch;
	nb->touch.arg = nb;
	if (b->opts.ack == PUBLISH_ACK_ALL)
		return error_set(err, ERR_NOTFOUND, "--ack all: an nsqd has no replicas");
	if (b->opts.username)
		return error_set(err, ERR_NOTFOUND, "nsq has no users: its secret is a password "
			"alone (--password-file)");
	if (nb->keepalive_ms && nb->keepalive_ms < 2000)
		return error_set(err, ERR_USAGE, "-X nsq.keepalive: 2s or more, for nsqd is heard "
			"once a second at most; or 0");
	nb->main = nsq_conn_new(nb, NULL, NULL, err);
	return nb->main ? 0 : -1;
}

static void
nsq_release(struct broker *b)
{
	struct nsq_broker *nb = nsq_of(b);

	nsq_sub_release(nb);
	nsq_conn_free(nb->main);
	wire_reader_release(&nb->wire);
	ledger_release(&nb->ledger);
	buf_release(&nb->payload);
}

static int
nsq_connect(struct broker *b, struct error *err)
{
	struct nsq_broker *nb = nsq_of(b);

	(void)err;
	/* Who only subscribes needs none but the subscriptions'. */
	nb->idle = !b->opts.publishes;
	if (nb->idle)
		broker_connected(b, NULL);
	else
		pipeline_start(&nb->main->p);
	return 0;
}

/* An event to publish after all: a reply. */
static void
wake(struct nsq_broker *nb)
{
	nb->idle = false;
	nb->main->p.ever = true;
	pipeline_start(&nb->main->p);
}

static void
nsq_disconnect(struct broker *b)
{
	struct nsq_broker *nb = nsq_of(b);

	nsq_sub_give_back(nb);
	for (struct nsq_sub *ns = nb->subs; ns; ns = ns->next)
		for (struct nsq_conn *c = ns->conns; c; c = c->next)
			pipeline_close(&c->p);
	nsq_sub_release(nb);
	pipeline_close(&nb->main->p);
}

static int
nsq_publish(struct broker *b, const struct publication *p, struct error *err)
{
	struct nsq_broker *nb = nsq_of(b);
	const char *bad = nsq_bad_name(p->topic);
	struct buf *out;
	uint32_t n;

	if (bad)
		return error_set(err, ERR_REFUSED, "the topic %s", bad);
	buf_clear(&nb->payload);
	wire_write(&nb->payload, &p->msg, b->opts.wire);
	if (!buf_len(&nb->payload))
		return error_set(err, ERR_REFUSED, "an empty body, which nsq does not carry (go-micro's "
			"form does: without --wire raw)");
	if (buf_len(&nb->payload) > NSQ_FRAME_MAX - 64)
		return error_set(err, ERR_REFUSED, "too large: %zu bytes on the wire",
			buf_len(&nb->payload));
	if (nb->idle)
		wake(nb);
	out = pipeline_begin(&nb->main->p);
	buf_add_str(out, nb->defer_ms ? "DPUB " : "PUB ");
	buf_add_bytes(out, p->topic);
	if (nb->defer_ms)
		buf_addf(out, " %llu", (unsigned long long)nb->defer_ms);
	n = (uint32_t)buf_len(&nb->payload);
	buf_add(out, (const char[]){ '\n', (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n }, 5);
	buf_add_bytes(out, buf_bytes(&nb->payload));
	pipeline_commit(&nb->main->p, p, 0);
	return 0;
}

const struct broker_ops nsq_broker_ops = {
	.name = "nsq",
	.default_address = "127.0.0.1:4150",
	.caps = BROKER_HEADER | BROKER_NULL_BODY | BROKER_RAW | BROKER_GROUP | BROKER_ACK |
		BROKER_ACK_CHOICE | BROKER_RECONNECT | BROKER_TLS | BROKER_USER,
	.size = sizeof(struct nsq_broker),
	.options = nsq_options,
	.init = nsq_init,
	.release = nsq_release,
	.connect = nsq_connect,
	.disconnect = nsq_disconnect,
	.publish = nsq_publish,
	.subscribe = nsq_subscribe,
	.unsubscribe = nsq_unsubscribe,
	.ack = nsq_ack,
	.pause = nsq_pause,
	.drain = nsq_drain,
};

MODULE_BROKER(nsq_broker_ops);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subscriber's side of the http broker: listening, giving events to the
 * subscriptions, settling them when they are acknowledged, registering.
 */
#include <stdio.h>
#include <stdlib.h>

#include "backends/http/conn.h"
#include "core/log.h"
#include "core/net.h"

/* ---- events ---- */

static void
remember(struct http_broker *hb, uint64_t number, struct conn *c, uint64_t slot)
{
	if (number - hb->oldest >= hb->ndeliveries) {
		size_t n = hb->ndeliveries ? 2 * hb->ndeliveries : 256;
		struct delivery *d = xcalloc(n, sizeof *d);

		for (uint64_t i = hb->oldest; i < number; i++)
			d[i & (n - 1)] = hb->deliveries[i & (hb->ndeliveries - 1)];
		free(hb->deliveries);
		hb->deliveries = d;
		hb->ndeliveries = n;
	}
	hb->deliveries[number & (hb->ndeliveries - 1)] = (struct delivery){ c, slot };
}

/* Settles one delivered event; its connection may be ended by that. */
static void
settle(struct http_broker *hb, uint64_t number, bool ok)
{
	struct delivery *d = &hb->deliveries[number & (hb->ndeliveries - 1)];
	struct conn *c = d->conn;
	struct slot *s;

	d->conn = NULL;
	if (!c)
		return;
	s = &c->slots[d->slot & (c->cap - 1)];
	s->waiting--;
	s->failed |= !ok;
	if (d->slot == c->head && (!s->waiting || s->failed))
		http_conn_advance(c);
}

void
http_server_ack(struct http_broker *hb, uint64_t first, uint64_t last, bool ok)
{
	http_today(hb);
	for (uint64_t n = first; n <= last; n++)
		if (n >= hb->oldest && n <= hb->b.delivered)
			settle(hb, n, ok);
	while (hb->oldest <= hb->b.delivered &&
	    !hb->deliveries[hb->oldest & (hb->ndeliveries - 1)].conn)
		hb->oldest++;
}

/* The topic headers are the broker's own: publishers add them, and what is added
 * by one side is taken off by the other. */
static void
hide_topic_headers(const struct dialect *d, struct message *msg, struct header *headers,
	struct bytes topic)
{
	struct bytes dialects_own = bytes_str(d->topic_header);
	size_t kept = 0;

	for (size_t i = 0; i < msg->nheaders; i++) {
		struct bytes name = headers[i].name;

		if ((bytes_eq(name, BYTES(HEADER_MICRO_TOPIC)) || bytes_eq(name, dialects_own)) &&
		    bytes_eq(headers[i].value, topic))
			continue;
		headers[kept++] = headers[i];
	}
	msg->nheaders = kept;
	if (!kept)
		msg->headers = NULL;	/* the topic's was the only one */
}

static struct bytes
old_id(const struct http_sub *hs)
{
	return bytes_of(hs->id - (sizeof OLD_ID - 1), hs->id_len + sizeof OLD_ID - 1);
}

/* Its id as registered, or as go-micro would have it: a publisher may know that
 * the registry spoils some names. */
static bool
sub_has_id(const struct http_broker *hb, const struct http_sub *hs, struct bytes id)
{
	struct bytes topic = hs->sub->topic;

	if (bytes_eq(bytes_of(hs->id, hs->id_len), id) || bytes_eq(old_id(hs), id))
		return true;
	return id.n == topic.n + 37 && id.p[topic.n] == '-' &&
		memcmp(id.p, topic.p, topic.n) == 0 &&
		memcmp(id.p + topic.n + 1, hb->uuid, 36) == 0;
}

/* Gives the event to every subscription of that topic and id; false: none. */
bool
http_server_deliver(struct conn *c, struct bytes topic, struct bytes id, bool last)
{
	struct http_broker *hb = c->srv->hb;
	struct event ev = event_none;
	struct slot *slot = NULL;
	uint64_t at = c->tail;

	ev.topic = topic;
	if (hb->b.opts.wire == WIRE_RAW) {
		ev.msg.body = buf_bytes(&hb->payload);
		ev.wire = EVENT_WIRE_RAW;
	} else {
		ev.msg = hb->envelope.msg;
		hide_topic_headers(c->srv->dialect, &ev.msg, hb->envelope.headers, topic);
		ev.wire = EVENT_WIRE_MICRO;
	}
	ev.time_us = c->read_us;
	for (struct subscription *s = hb->b.subs; s; s = s->next) {
		struct http_sub *hs = s->priv;
		uint64_t number;

		if (!hs || !bytes_eq(s->topic, topic) || !sub_has_id(hb, hs, id))
			continue;
		if (!slot) {
			slot = http_conn_push(c);
			slot->close = last;
			slot->waiting = 1;	/* not settled while in here */
		}
		slot->waiting++;
		number = hb->b.delivered + 1;
		remember(hb, number, c, at);
		if (broker_deliver(s, &ev) == EVENT_DROPPED)
			http_server_ack(hb, number, number, false);
		slot = &c->slots[at & (c->cap - 1)];
		if (c->doomed)
			break;
	}
	if (!slot)
		return false;
	slot->waiting--;
	c->useful = true;
	c->closing |= last;
	return true;
}

/* The run ends: have all replies left? */
void
http_server_drain(struct http_broker *hb)
{
	bool waiting = false;

	for (unsigned i = 0; i < DIALECTS; i++)
		for (struct conn *c = hb->server[i].conns; c; c = c->next) {
			stream_flush(c->stream);
			waiting |= stream_is_open(c->stream) && buf_len(stream_out(c->stream)) > 0;
		}
	if (!waiting)
		broker_drained(&hb->b);
}

static void
server_accept(struct listener *l, struct stream *st, void *arg)
{
	struct server *srv = arg;
	struct error err;
	uint64_t host;

	(void)l;
	if (!http_limits_admit(srv, st, &host)) {
		stream_close(st);
		return;
	}
	if (srv->hb->tls_server && http_secure_accept(srv->hb, st, &err) < 0) {
		log_warn("http: %s", err.text);
		stream_close(st);
		return;
	}
	http_conn_new(srv, st)->host = host;
}

/* ---- listening ---- */

/* The first of the addresses given, as in go-micro; the old dialect's listener
 * takes a free port of the same host, because a port can be bound once. */
static void
listen_address(const struct http_broker *hb, bool first, char *out, size_t size)
{
	const char *given = hb->b.opts.address ? hb->b.opts.address : hb->b.ops->default_address;
	struct bytes host, port, one = { given, strcspn(given, ",") };

	if (first || !net_split(one, &host, &port)) {
		snprintf(out, size, "%.*s", BYTES_FMT(one));
		return;
	}
	if (memchr(host.p, ':', host.n))
		snprintf(out, size, "[%.*s]:0", BYTES_FMT(host));
	else
		snprintf(out, size, "%.*s:0", BYTES_FMT(host));
}

int
http_server_open(struct http_broker *hb, struct error *err)
{
	struct stream_limits limits = {
		.input_max = (size_t)hb->body_max + HTTP_HEAD_MAX,
		.connect_timeout_ms = hb->b.opts.connect_timeout_ms,
	};
	bool first = true;

	http_limits_files(hb);
	for (unsigned i = 0; i < DIALECTS; i++) {
		struct server *srv = &hb->server[i];
		union sockaddr_any a;
		socklen_t len;
		char address[300];

		if (!hb->speaks[i])
			continue;
		if (!srv->listener) {
			listen_address(hb, first, address, sizeof address);
			srv->hb = hb;
			srv->dialect = &http_dialects[i];
			srv->listener = listener_open(hb->loop, address, &http_conn_ops, &limits,
				server_accept, srv, err);
			if (!srv->listener)
				return -1;
			if (!net_parse(bytes_str(listener_address(srv->listener)), &a, &len))
				return error_set(err, ERR_USAGE, "%s: the http broker listens on TCP",
					address);
			net_advertise(&a, srv->advertised);
			if (http_secure_server(hb) && http_secure_server_open(hb, srv, err) < 0)
				return -1;
			log_verbose("http: listening on %s for %s, advertised as %s%s",
				listener_address(srv->listener), http_dialects[i].service,
				srv->advertised, hb->tls_server ? ", with TLS" : "");
		}
		first = false;
	}
	return 0;
}

void
http_server_close(struct http_broker *hb)
{
	for (unsigned i = 0; i < DIALECTS; i++) {
		struct server *srv = &hb->server[i];

		listener_close(srv->listener);
		srv->listener = NULL;
		while (srv->conns) {
			stream_flush(srv->conns->stream);
			http_conn_free(srv->conns);
		}
	}
	loop_task_cancel(&hb->limits.shed);
}

void
http_server_pause(struct http_broker *hb, bool on)
{
	if (hb->paused == on)
		return;
	hb->paused = on;
	/* Each finds out when something comes on it: a thousand idle connections
	 * would cost a thousand system calls. */
	if (on)
		return;
	for (unsigned i = 0; i < DIALECTS; i++)
		for (struct conn *c = hb->server[i].conns; c; c = c->next)
			http_conn_reading(c);
}

static const char *
server_port(const struct server *srv)
{
	return strrchr(srv->advertised, ':') + 1;
}

int
http_server_each_service(struct http_sub *hs, int (*fn)(struct http_sub *, unsigned dialect,
	const struct service *, struct error *), struct error *err)
{
	struct http_broker *hb = (struct http_broker *)hs->sub->broker;
	const char *group = hs->sub->opts.group;
	bool both = hb->server[DIALECT_NEW].listener && hb->server[DIALECT_OLD].listener;
	char ports[2 * sizeof "65535"];
	struct keyval meta[] = {
		{ BYTES("broker"), BYTES("http") },
		{ BYTES("secure"), hb->tls_server ? BYTES("true") : BYTES("false") },
		{ BYTES("topic"), hs->sub->topic },
		{ BYTES("mbus.ports"), { ports, 0 } },
	};
	struct node node = { bytes_of(hs->id, hs->id_len), { NULL, 0 }, meta, both ? 4 : 3 };
	struct service service = { .nodes = &node, .nnodes = 1 };

	/* By this a publisher knows that the two nodes are one (peers.h). */
	if (both)
		meta[3].value.n = (size_t)snprintf(ports, sizeof ports, "%s,%s",
			server_port(&hb->server[DIALECT_NEW]), server_port(&hb->server[DIALECT_OLD]));
	service.version = group ? bytes_str(group) : BYTES(VERSION_BROADCAST);
	for (unsigned i = 0; i < DIALECTS; i++) {
		if (!hb->server[i].listener)
			continue;
		service.name = bytes_str(http_dialects[i].service);
		node.address = bytes_str(hb->server[i].advertised);
		node.id = both && i == DIALECT_OLD && hb->registry->ops->unique_ids ?
			old_id(hs) : bytes_of(hs->id, hs->id_len);
		if (fn(hs, i, &service, err) < 0)
			return -1;
	}
	return 0;
}

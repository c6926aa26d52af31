/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, and one connection after the other, as core/link.h has it for brokers
 * whose wire is ours: the same time-outs; the pauses and words are core/retry's. Each try
 * is a client of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backends/paho/paho.h"
#include "core/log.h"

static void attempt_next(struct paho_broker *);

/* ---- addresses ---- */

static const struct {
	const char *name;
	bool tls, ws;
} schemes[] = {
	{ "mqtt", false, false }, { "tcp", false, false },
	{ "mqtts", true, false }, { "ssl", true, false }, { "tls", true, false },
	{ "ws", false, true }, { "wss", true, true },
};

static int
target_scheme(struct bytes name, bool *tls, bool *ws, struct error *err)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (bytes_eq(bytes_str(schemes[i].name), name)) {
			*tls |= schemes[i].tls;
			*ws = schemes[i].ws;
			return 0;
		}
	return error_set(err, ERR_USAGE, "%.*s://: no address of this driver; its URLs begin with "
		"mqtt://, tcp://, mqtts://, ssl://, tls://, ws:// or wss://", BYTES_FMT(name));
}

/* What the URL says, else the option. */
static void
add_ws_path(const struct paho_broker *pb, const struct address *a, struct buf *uri)
{
	if (a->path.p)
		buf_addf(uri, "/%.*s", BYTES_FMT(a->path));
	else
		buf_add_str(uri, pb->opt.ws_path);
	if (a->query.p)
		buf_addf(uri, "?%.*s", BYTES_FMT(a->query));
}

static int
target_parse(struct paho_broker *pb, struct bytes text, struct paho_target *t, struct error *err)
{
	const struct broker_options *o = &pb->b.opts;
	struct buf uri = BUF_INIT, name = BUF_INIT;
	struct bytes host = BYTES("localhost");
	bool ws = false, v6;
	unsigned port;

	*t = (struct paho_target){ .tls = o->tls && o->tls->on };
	if (address_parse(text, &t->address, err) < 0)
		return -1;
	if (t->address.socket.p)
		return error_set(err, ERR_NOTFOUND, "unix:%.*s: the paho driver knows no Unix "
			"sockets (-X mqtt.driver=mbus does)", BYTES_FMT(t->address.socket));
	if (t->address.scheme.p && target_scheme(t->address.scheme, &t->tls, &ws, err) < 0)
		return -1;
	if (t->address.query.p && !ws)
		return error_set(err, ERR_USAGE, "the address has a query, and mqtt has no use for "
			"one");
	if (t->address.host.n)
		host = t->address.host;
	if (ws && t->address.path.p && broker_xopt_given(&pb->b, "ws_path"))
		return error_set(err, ERR_USAGE, "the path of the WebSocket is in the address and in "
			"-X mqtt.ws_path: one of them");
	v6 = memchr(host.p, ':', host.n);
	port = t->address.port ? t->address.port : ws ? t->tls ? 443 : 80 : t->tls ? 8883 : 1883;
	buf_addf(&name, "%s%.*s%s:%u", v6 ? "[" : "", BYTES_FMT(host), v6 ? "]" : "", port);
	buf_addf(&uri, "%s://%s", ws ? t->tls ? "wss" : "ws" : t->tls ? "ssl" : "tcp",
		buf_cstr(&name));
	if (ws)
		add_ws_path(pb, &t->address, &uri);
	t->name = xstrdup(buf_cstr(&name));
	t->uri = xstrdup(buf_cstr(&uri));
	buf_release(&name);
	buf_release(&uri);
	return 0;
}

static int
targets_parse(struct paho_broker *pb, struct error *err)
{
	struct bytes list = bytes_str(pb->b.opts.address), one;

	if (!list.n)
		list = BYTES("127.0.0.1");
	while (address_next(&list, &one)) {
		pb->targets = xrealloc(pb->targets, (pb->ntargets + 1) * sizeof *pb->targets);
		pb->target = pb->targets;
		if (target_parse(pb, one, &pb->targets[pb->ntargets], err) < 0)
			return -1;
		pb->ntargets++;
	}
	return pb->ntargets ? 0 : error_set(err, ERR_USAGE, "no address is given");
}

/* ---- trying ---- */

static void
drop_client(struct paho_broker *pb)
{
	if (pb->client)
		paho_client_close(pb->client);
	pb->client = NULL;
	loop_timer_clear(pb->b.loop, &pb->timer);
}

/* err: why there is no connection. false: this is the end. */
static bool
retry(struct paho_broker *pb, struct error *err)
{
	int ms = retry_next(&pb->retry, pb->target->name, pb->b.opts.reconnect, err);

	pb->state = ms < 0 ? PAHO_OFF : PAHO_WAITING;
	if (ms >= 0)
		loop_timer_set(pb->b.loop, &pb->timer, (uint64_t)ms);
	return ms >= 0;
}

/* No address would have us. */
static void
attempt_over(struct paho_broker *pb)
{
	struct error err = pb->why;

	if (retry(pb, &err))
		return;
	if (pb->was_ready) {
		paho_pub_lost(pb, false, &err);
		broker_failed(&pb->b, &err);
	} else {
		broker_connected(&pb->b, &err);
	}
}

static void
attempt_dial(struct paho_broker *pb)
{
	uint64_t most = pb->b.opts.connect_timeout_ms * UINT64_C(1000000), spent;
	size_t left = pb->ntargets - (size_t)(pb->target - pb->targets);
	const struct paho_connect to = {
		.uri = pb->target->uri,
		.tls = pb->target->tls,
		.version = pb->version,
		.broker = &pb->b.opts,
		.opt = &pb->opt,
		.will = pb->opt.will_topic ? buf_bytes(&pb->will) : (struct bytes){ NULL, 0 },
	};

	spent = loop_clock_ns() - pb->dial_ns;
	pb->state = PAHO_DIALING;
	pb->client = paho_client_new(pb->box, &to, ++pb->generation, &pb->why);
	if (!pb->client) {
		attempt_over(pb);
		return;
	}
	if (most)
		loop_timer_set(pb->b.loop, &pb->timer, most > spent ?
			(most - spent) / left / 1000000 : 0);
}

static void
attempt_start(struct paho_broker *pb)
{
	pb->target = pb->targets;
	pb->why.kind = ERR_NONE;
	pb->dial_ns = loop_clock_ns();
	attempt_dial(pb);
}

static void
attempt_next(struct paho_broker *pb)
{
	pb->target++;
	attempt_dial(pb);
}

/* Some servers of 3.1.1 answer a CONNECT of 5 by closing, or with what paho cannot
 * read. */
static bool
seems_old(const struct paho_broker *pb, const struct paho_note *n)
{
	return pb->version == MQTT_V5 && (n->code == 0 ? n->reason == 0x84 :
		paho_client_greeted(pb->client) && !n->reason);
}

/* err: why this address has given no connection. */
static void
attempt_failed(struct paho_broker *pb, const struct error *err)
{
	drop_client(pb);
	if (!pb->why.kind || retry_is_final(err->kind))
		pb->why = *err;
	if (retry_is_final(err->kind) || pb->target + 1 == pb->targets + pb->ntargets) {
		attempt_over(pb);
		return;
	}
	log_verbose("%s", err->text);
	attempt_next(pb);
}

static void
on_timer(struct loop_timer *t)
{
	struct paho_broker *pb = t->arg;
	struct error err;

	if (pb->state == PAHO_WAITING) {
		pb->retry.tries++;
		attempt_start(pb);
	} else if (pb->state == PAHO_DIALING) {
		error_set(&err, ERR_CONNECT, "%s: not connected within %g s", pb->target->name,
			pb->b.opts.connect_timeout_ms / 1000.0);
		attempt_failed(pb, &err);
	}
}

/* ---- what a connection says ---- */

static void
note_words(const struct paho_broker *pb, const struct paho_note *n, enum mqtt_where where,
	struct error *err)
{
	enum error_kind kind = ERR_CONNECT;
	const char *perhaps = "";

	if (!n->code) {
		mqtt_reason_error(err, where, where == MQTT_AT_CONNECT ? "refused by the server" :
			"the server ended the connection", n->reason, bytes_str(n->text));
		if (where == MQTT_AT_CONNECT)
			mqtt_reason_advise(err, &pb->b.opts);
		return;
	}
	/* OpenSSL's words. */
	if (pb->target->tls && n->text && (strstr(n->text, "certificate") ||
	    strstr(n->text, "alert unknown ca")))
		kind = ERR_AUTH;
	/* How far it came it does not tell: only what points to TLS itself does. */
	if (where == MQTT_AT_CONNECT && kind == ERR_CONNECT && n->text && strstr(n->text, "reset"))
		perhaps = pb->target->tls ? "; perhaps this port does not speak TLS: leave out --tls" :
			" (does this port speak TLS? --tls)";
	error_set(err, kind, "%s: %s%s%s%s", pb->target->name, where == MQTT_AT_CONNECT ?
		"cannot connect" : "the connection has gone", n->text ? ": " : "",
		n->text ? n->text : "", perhaps);
}

static void
is_connected(struct paho_broker *pb)
{
	bool again = pb->was_ready;

	pb->state = PAHO_READY;
	loop_timer_clear(pb->b.loop, &pb->timer);
	retry_ready(&pb->retry, pb->target->name);
	pb->b.caps = (pb->b.caps & ~(unsigned)(BROKER_HEADER | BROKER_REPEAT_HEADER |
		BROKER_PROPS)) | mqtt_map_caps(pb->b.opts.wire, pb->version);
	log_debug("%s: MQTT %s by paho%s", pb->target->uri, pb->version == MQTT_V5 ? "5" : "3.1.1",
		paho_client_server(pb->client)->session ? ", session kept" : "");
	paho_sub_ready(pb);
	paho_pub_ready(pb);
	pb->was_ready = true;
	if (!again)
		broker_connected(&pb->b, NULL);
}

/* The connection was ready; its client's end is waited for, since only then all
 * fates are known. */
static void
end_connection(struct paho_broker *pb, const struct error *err)
{
	pb->why = *err;
	pb->state = PAHO_ENDING;
	drop_client(pb);
}

static void
connection_gone(struct paho_broker *pb)
{
	struct error err = pb->why;
	bool again, told;

	pb->retry.refused |= paho_sub_asks(pb);
	pb->retry.stays_away = paho_sub_is_new(pb);
	retry_lost(&pb->retry, pb->target->name, &err);
	/* The run is over, and this was only to end it well. */
	if (pb->draining) {
		pb->state = PAHO_OFF;
		paho_sub_lost(pb, NULL);
		paho_session_drained(pb);
		return;
	}
	again = retry(pb, &err);
	told = paho_sub_lost(pb, again ? NULL : &err);
	paho_pub_lost(pb, again, &err);
	if (!again && !told)
		broker_failed(&pb->b, &err);
}

static void
is_lost(struct paho_broker *pb, const struct paho_note *n)
{
	struct error err;

	if (pb->state == PAHO_READY) {
		note_words(pb, n, MQTT_AT_END, &err);
		pb->retry.refused = !n->code && mqtt_reason_again(n->reason) == MQTT_FAULT;
		end_connection(pb, &err);
	} else if (pb->state == PAHO_DIALING) {
		note_words(pb, n, MQTT_AT_CONNECT, &err);
		if (!pb->was_ready && seems_old(pb, n)) {
			log_verbose("%s: does not speak MQTT 5 (%s): asked with 3.1.1",
				pb->target->name, err.text);
			pb->version = MQTT_V311;
			drop_client(pb);
			attempt_dial(pb);
			return;
		}
		attempt_failed(pb, &err);
	}
}

static void
session_note(struct paho_broker *pb, const struct paho_note *n)
{
	bool present = pb->generation == n->generation;

	switch (n->kind) {
	case NOTE_CONNECTED:
		if (present && pb->state == PAHO_DIALING)
			is_connected(pb);
		break;
	case NOTE_LOST:
		if (present)
			is_lost(pb, n);
		break;
	case NOTE_BROKEN:
		if (present)
			paho_session_fault(pb, n->text);
		break;
	case NOTE_GONE:
		if (present && pb->state == PAHO_ENDING)
			connection_gone(pb);
		break;
	case NOTE_SENT: case NOTE_NOT_SENT:
		paho_pub_note(pb, n);
		break;
	case NOTE_SUBSCRIBED: case NOTE_NOT_SUBSCRIBED:
		if (present && pb->state == PAHO_READY)
			paho_sub_note(pb, n);
		break;
	case NOTE_BARRIER:
		if (!present || pb->state != PAHO_READY)
			break;
		paho_pub_note(pb, n);
		if (pb->draining)
			paho_session_drained(pb);
		break;
	}
}

static void
take_messages(struct paho_broker *pb)
{
	struct timespec now;
	int64_t us;

	clock_gettime(CLOCK_REALTIME, &now);
	us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	for (size_t i = 0; i < pb->messages.n; i++) {
		struct paho_message *m = paho_queue_at(&pb->messages, i);

		if (m->generation == pb->generation && pb->state == PAHO_READY)
			paho_sub_message(pb, m, us);
		paho_message_free(m);
	}
	pb->messages.n = 0;
}

static void
on_wake(struct loop_fd *fd, unsigned ready)
{
	struct paho_broker *pb = fd->arg;

	(void)ready;
	paho_box_take(pb->box, &pb->notes, pb->paused ? NULL : &pb->messages);
	for (size_t i = 0; i < pb->notes.n; i++) {
		struct paho_note *n = paho_queue_at(&pb->notes, i);

		session_note(pb, n);
		free(n->text);
	}
	pb->notes.n = 0;
	if (pb->messages.n)
		take_messages(pb);
}

/* ---- for the rest of the driver ---- */

void
paho_session_fault(struct paho_broker *pb, const char *why)
{
	struct error err;

	if (pb->state != PAHO_READY)
		return;
	error_set(&err, ERR_CONNECT, "%s: the server breaks MQTT's rules: %s", pb->target->name,
		why);
	pb->retry.refused = true;
	end_connection(pb, &err);
}

void
paho_session_fail(struct paho_broker *pb, const struct error *err)
{
	if (pb->state == PAHO_READY)
		end_connection(pb, err);
}

void
paho_session_pause(struct paho_broker *pb, bool on)
{
	if (pb->paused == on)
		return;
	pb->paused = on;
	/* What came meanwhile rings no more. */
	if (!on)
		paho_box_note(pb->box, &(struct paho_note){ .kind = NOTE_GONE });
}

void
paho_session_drained(struct paho_broker *pb)
{
	pb->draining = false;
	broker_drained(&pb->b);
}

void
paho_session_drain(struct paho_broker *pb)
{
	if (pb->state != PAHO_READY || !pb->subs.answered || pb->subs.held.on) {
		broker_drained(&pb->b);
		return;
	}
	pb->draining = true;
	paho_session_pause(pb, false);
	paho_client_barrier(pb->client);
}

void
paho_session_start(struct paho_broker *pb)
{
	pb->version = pb->opt.version;
	retry_begin(&pb->retry);
	attempt_start(pb);
}

void
paho_session_close(struct paho_broker *pb)
{
	drop_client(pb);
	pb->state = PAHO_OFF;
	pb->was_ready = pb->draining = false;
}

/* The will goes the way of any event: in an envelope, unless --wire raw. */
static void
make_will(struct paho_broker *pb)
{
	const struct publish_options how = { .retain = pb->opt.will_retain };
	struct publication p = { .topic = bytes_str(pb->opt.will_topic), .opts = &how };

	p.msg.body = bytes_str(pb->opt.will ? pb->opt.will : "");
	mqtt_map_payload(&pb->will, &p, pb->b.opts.wire);
}

int
paho_session_init(struct paho_broker *pb, struct error *err)
{
	const struct tls_options *tls = pb->b.opts.tls;

	pb->timer.fn = on_timer;
	pb->timer.arg = pb->wake.arg = pb;
	pb->wake.fn = on_wake;
	pb->notes.size = sizeof(struct paho_note);
	pb->messages.size = sizeof(struct paho_message);
	if (targets_parse(pb, err) < 0)
		return -1;
	if (tls && tls->sni)
		return error_set(err, ERR_NOTFOUND, "--tls-sni: the paho driver checks the name of "
			"the address only (-X mqtt.driver=mbus can do it)");
	if (pb->b.opts.password.p && !pb->b.opts.username && pb->opt.version != MQTT_V5)
		return error_set(err, ERR_USAGE, "a password without a user: MQTT 3.1.1 has no such "
			"thing");
	if (pb->opt.will_topic)
		make_will(pb);
	pb->box = xcalloc(1, sizeof *pb->box);
	if (paho_box_init(pb->box, err) < 0)
		return -1;
	return loop_fd_add(pb->b.loop, &pb->wake, pb->box->wake, LOOP_READ, err);
}

static void
target_release(struct paho_target *t)
{
	free(t->uri);
	free(t->name);
}

void
paho_session_forget(struct paho_broker *pb)
{
	loop_timer_clear(pb->b.loop, &pb->timer);
	loop_fd_del(pb->b.loop, &pb->wake);
}

void
paho_session_release(struct paho_broker *pb)
{
	for (size_t i = 0; i < pb->notes.n; i++)
		free(((struct paho_note *)paho_queue_at(&pb->notes, i))->text);
	paho_queue_release(&pb->notes);
	paho_queue_release(&pb->messages);
	for (size_t i = 0; i < pb->ntargets; i++)
		target_release(&pb->targets[i]);
	free(pb->targets);
	buf_release(&pb->will);
}

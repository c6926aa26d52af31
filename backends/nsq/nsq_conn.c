/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to an nsqd. After "  V2" it is told who we are and what we want; its
 * answer says what it is; then TLS, if that is wanted, and the secret, if there is one.
 * Every frame begins with its size and its kind, four bytes each, big-endian.
 */
#include "backends/nsq/nsq.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/log.h"

enum { HEARTBEAT_LEAST_MS = 1000 };	/* nsqd takes no shorter one */

static const struct link_scheme schemes[] = { { "nsq", false }, { "nsqs", true }, { NULL, false } };

static struct nsq_conn *
conn_of(struct pipeline *p)
{
	return (struct nsq_conn *)p;
}

/* ---- errors ---- */

static bool
begins(struct bytes s, const char *with)
{
	size_t n = strlen(with);

	return s.n >= n && memcmp(s.p, with, n) == 0 && (s.n == n || s.p[n] == ' ');
}

void
nsq_error(struct error *err, const struct nsq_conn *c, struct bytes what)
{
	/* See mbus-nsq(7), ERRORS. */
	static const struct { const char *name; enum error_kind kind; } known[] = {
		{ "E_AUTH_FIRST", ERR_AUTH }, { "E_AUTH_FAILED", ERR_AUTH },
		{ "E_AUTH_DISABLED", ERR_USAGE }, { "E_AUTH_ERROR", ERR_CONNECT },
		{ "E_UNAUTHORIZED", ERR_AUTH }, { "E_BAD_TOPIC", ERR_USAGE },
		{ "E_BAD_CHANNEL", ERR_USAGE }, { "E_BAD_MESSAGE", ERR_REFUSED },
		{ "E_PUB_FAILED", ERR_REFUSED }, { "E_DPUB_FAILED", ERR_REFUSED },
		{ "E_BAD_BODY", ERR_USAGE }, { "E_BAD_PROTOCOL", ERR_USAGE },
	};
	enum error_kind kind = ERR_CONNECT;

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (begins(what, known[i].name))
			kind = known[i].kind;
	if (begins(what, "E_AUTH_DISABLED"))
		error_set(err, kind, "%s: it has no users: leave the password out",
			link_name(c->p.link));
	else if (begins(what, "E_AUTH_FIRST"))
		error_set(err, kind, "%s: it wants a secret (--password-file)",
			link_name(c->p.link));
	else if (begins(what, "E_INVALID") && memmem(what.p, what.n, "TLS required", 12))
		error_set(err, ERR_CONNECT, "%s: it wants TLS (nsqs://, or --tls)",
			link_name(c->p.link));
	else
		error_set(err, kind, "%s: %.*s", link_name(c->p.link), BYTES_FMT(what));
}

static void
fault(struct nsq_conn *c, const char *why)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: %s", link_name(c->p.link), why);
	pipeline_refused(&c->p, &err);
}

/* ---- the greeting ---- */

static void
add32(struct buf *b, uint32_t v)
{
	const unsigned char p[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16),
		(unsigned char)(v >> 8), (unsigned char)v };

	buf_add(b, p, 4);
}

static void
say_identify(struct nsq_conn *c)
{
	struct buf *out = pipeline_out(&c->p), json = BUF_INIT;
	uint64_t beat = c->nb->keepalive_ms / 2;
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	buf_add_str(&json, "{\"client_id\":");
	json_add_go_string(&json, bytes_str(host));
	buf_add_str(&json, ",\"hostname\":");
	json_add_go_string(&json, bytes_str(host));
	buf_addf(&json, ",\"user_agent\":\"mbus/" MBUS_VERSION "\",\"feature_negotiation\":true,"
		"\"tls_v1\":%s", link_wants_tls(c->p.link) ? "true" : "false");
	if (beat)
		buf_addf(&json, ",\"heartbeat_interval\":%llu", (unsigned long long)
			(beat < HEARTBEAT_LEAST_MS ? HEARTBEAT_LEAST_MS : beat));
	if (c->nb->msg_timeout_ms)
		buf_addf(&json, ",\"msg_timeout\":%llu", (unsigned long long)c->nb->msg_timeout_ms);
	buf_add_str(&json, "}");
	buf_add_str(out, "  V2IDENTIFY\n");
	add32(out, (uint32_t)buf_len(&json));
	buf_add_bytes(out, buf_bytes(&json));
	buf_release(&json);
	pipeline_kick(&c->p);
}

static void
conn_greet(struct pipeline *p)
{
	struct nsq_conn *c = conn_of(p);

	/* A second time behind the handshake: nsqd says OK by itself. */
	if (c->state == NSQ_TLS)
		return;
	c->state = NSQ_IDENTIFY;
	c->live = false;
	say_identify(c);
}

static void
greeted(struct nsq_conn *c)
{
	c->state = NSQ_GREETED;
	c->opts.reconnect = c->nb->b.opts.reconnect;
	pipeline_ready(&c->p);
	if (c->sub)
		nsq_sub_resume(c);
}

static void
authenticate(struct nsq_conn *c)
{
	const struct bytes secret = c->nb->b.opts.password;
	struct buf *out = pipeline_out(&c->p);

	if (!secret.p) {
		greeted(c);
		return;
	}
	c->state = NSQ_AUTH;
	buf_add_str(out, "AUTH\n");
	add32(out, (uint32_t)secret.n);
	buf_add_bytes(out, secret);
	pipeline_kick(&c->p);
}

static void
identified(struct nsq_conn *c, struct bytes text)
{
	struct nsq_identity id = { false, c->rdy_max, c->touch_ms };
	struct error err;

	if (nsq_identity(&id, text) < 0) {
		fault(c, "this is no nsqd (its answer to IDENTIFY makes no sense)");
		return;
	}
	c->rdy_max = id.rdy_max;
	c->touch_ms = id.msg_timeout_ms;
	if (!link_wants_tls(c->p.link)) {
		authenticate(c);
		return;
	}
	if (!id.tls) {
		error_set(&err, ERR_CONNECT, "%s: this nsqd has no TLS (its setting is "
			"-tls-cert)", link_name(c->p.link));
		pipeline_fail(&c->p, &err);
		return;
	}
	c->state = NSQ_TLS;
	if (link_secure(c->p.link, &err) < 0)
		pipeline_fail(&c->p, &err);
}

/* ---- frames ---- */

static void
answered(struct nsq_conn *c, struct bytes text)
{
	struct flight_entry *e;

	if (bytes_eq(text, BYTES("_heartbeat_"))) {
		buf_add_str(pipeline_out(&c->p), "NOP\n");
		pipeline_kick(&c->p);
		return;
	}
	if (c->state == NSQ_IDENTIFY) {
		identified(c, text);
		return;
	}
	if (c->state != NSQ_GREETED) {
		if (c->state == NSQ_TLS)
			authenticate(c);
		else
			greeted(c);
		return;
	}
	e = pipeline_front(&c->p);
	if (!e)
		fault(c, "an answer to no question");
	else if (e->state & PIPE_EVENT)
		pipeline_settle(&c->p, FATE_CONFIRMED, NULL);
	else
		pipeline_reply(&c->p, NULL);
}

/* nsqd hangs up behind this. Whether or not the user wants lost connections to be made
 * again, this is its way to refuse an event, so there is another, and what nsqd did not
 * look at any more goes over that. */
static void
refused(struct nsq_conn *c, struct bytes what)
{
	struct flight_entry *e = c->state == NSQ_GREETED ? pipeline_front(&c->p) : NULL;
	bool event = e && (e->state & PIPE_EVENT);
	struct error err, rest;

	nsq_error(&err, c, what);
	if (event && err.kind == ERR_USAGE)
		err.kind = ERR_REFUSED;
	if (!event && e) {
		/* What it does not take now it will not take later. */
		bool was_live = c->was_live;

		pipeline_reply(&c->p, &err);
		link_comes_back(c->p.link, was_live);
		if (!c->p.failed)
			pipeline_refused(&c->p, &err);
		return;
	}
	if (!event || err.kind == ERR_CONNECT) {
		if (event)
			pipeline_settle(&c->p, FATE_REFUSED, &err);
		c->opts.reconnect = event ? 0 : c->opts.reconnect;
		pipeline_refused(&c->p, &err);
		return;
	}
	error_set(&rest, ERR_CONNECT, "%s has hung up, as it does behind an event that it refuses",
		link_name(c->p.link));
	if (!c->opts.reconnect)
		c->opts.reconnect = 1;
	pipeline_settle(&c->p, FATE_REFUSED, &err);
	while ((e = pipeline_front(&c->p)) && !c->p.failed)
		if (!(e->state & PIPE_EVENT))
			pipeline_reply(&c->p, &rest);
		else if (!pipeline_retry(&c->p, &rest, false))
			pipeline_settle(&c->p, FATE_REFUSED, &rest);
	if (err.kind == ERR_AUTH)
		pipeline_fail(&c->p, &err);
	else
		pipeline_fail(&c->p, &rest);
}

static void
failed(struct nsq_conn *c, struct bytes what)
{
	/* Of a message that nsqd has given to somebody else meanwhile; it stays. */
	if (begins(what, "E_FIN_FAILED") || begins(what, "E_REQ_FAILED") ||
	    begins(what, "E_TOUCH_FAILED")) {
		log_verbose("%s: %.*s", link_name(c->p.link), BYTES_FMT(what));
		return;
	}
	refused(c, what);
}

static size_t
conn_data(struct pipeline *p, char *data, size_t n)
{
	struct nsq_conn *c = conn_of(p);
	struct nsq_frame f;
	size_t used = 0;

	while (!p->failed) {
		ssize_t took = nsq_frame(&f, data + used, n - used);

		if (took == 0)
			break;
		if (took < 0) {
			fault(c, p->ready ? "what it sent makes no sense" : "this is no nsqd");
			return n;
		}
		used += (size_t)took;
		if (f.kind == NSQ_ANSWER)
			answered(c, bytes_of(f.p, f.n));
		else if (f.kind == NSQ_ERROR)
			failed(c, bytes_of(f.p, f.n));
		else if (c->live)
			nsq_sub_message(c, &f);
		else
			fault(c, "a message that nobody asked for");
	}
	return used;
}

/* It sends a heartbeat by itself, twice in the time that it may be silent. */
static void
conn_ping(struct pipeline *p)
{
	(void)p;
}

static bool
conn_lost(struct pipeline *p, struct error *why, bool *again)
{
	struct nsq_conn *c = conn_of(p);

	c->state = NSQ_IDENTIFY;
	c->live = false;
	nsq_sub_forget(c);
	return *again || !c->sub || why->kind != ERR_CONNECT || !nsq_sub_without(c, why);
}

static void
again(struct loop_timer *t)
{
	struct nsq_conn *c = t->arg;

	pipeline_start(&c->p);
}

/* ---- life ---- */

static const struct pipeline_ops conn_ops = {
	.greet = conn_greet,
	.data = conn_data,
	.lost = conn_lost,
	.ping = conn_ping,
};

struct nsq_conn *
nsq_conn_new(struct nsq_broker *nb, struct nsq_sub *sub, const char *address, struct error *err)
{
	struct nsq_conn *c = xcalloc(1, sizeof *c);
	struct pipeline_options o = { .broker = &nb->b, .main = true,
		.keepalive_ms = nb->keepalive_ms };

	c->nb = nb;
	c->sub = sub;
	c->opts = nb->b.opts;
	c->again.fn = again;
	c->again.arg = c;
	c->rdy_max = 2500;
	c->touch_ms = 60000;
	if (address) {
		c->address = xstrdup(address);
		c->opts.address = c->address;
	}
	o.link = (struct link_options){ .broker = &c->opts,
		.default_address = nb->b.ops->default_address, .schemes = schemes,
		.port = 4150, .tls_port = 4150, .input_max = NSQ_FRAME_MAX + 8, .tls_later = true };
	if (pipeline_open(&c->p, &o, &conn_ops, NULL, err) < 0) {
		nsq_conn_free(c);
		return NULL;
	}
	c->p.ever = sub != NULL;		/* its end is the end of the run */
	c->p.keeps = true;			/* see refused() */
	return c;
}

void
nsq_conn_free(struct nsq_conn *c)
{
	if (!c)
		return;
	loop_timer_clear(c->nb->b.loop, &c->again);
	pipeline_release(&c->p);
	free(c->address);
	free(c);
}

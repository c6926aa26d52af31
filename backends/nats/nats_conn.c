/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection after the other. The server speaks first:
 *
 *	INFO {...}	-> TLS, if it is wanted and has not begun; then
 *			CONNECT {...}, PING
 *	PONG		-> ready
 */
#include "backends/nats/nats.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "core/log.h"

enum { INPUT_MAX = NATS_PAYLOAD_MAX + NATS_LINE };

static const struct link_scheme schemes[] = {
	{ "nats", false }, { "tls", true }, { NULL, false }
};

static void
fault(struct nats_broker *nb, const char *why)
{
	struct error err;

	error_set(&err, ERR_CONNECT, nb->state == NATS_EXPECTS_INFO ? "%s: this is no NATS server: %s" :
		"%s: what the server sent makes no sense: %s", link_name(nb->p.link), why);
	pipeline_fail(&nb->p, &err);
}

/* ---- greeting ---- */

static void
hello(struct nats_broker *nb, struct bytes nonce)
{
	const struct broker_options *o = &nb->b.opts;
	struct nats_connect c = {
		.user = o->username,
		.password = o->password,
		.tls = link_wants_tls(nb->p.link),
		.headers = nb->headers,
		.echo = true,
		.name = nb->client,
	};
	struct buf *out = pipeline_out(&nb->p);
	struct buf token = BUF_INIT, signature = BUF_INIT;
	struct error err;

	if (nats_auth_sign(nb, nonce, &c, &signature, &err) < 0) {
		pipeline_fail(&nb->p, &err);
		return;
	}
	/* A lone password, or a lone user as in nats://TOKEN@HOST, is a token. */
	if (o->password.p && !o->username) {
		buf_add_bytes(&token, o->password);
		c.password = BYTES("");
	} else if (o->username && !o->password.p) {
		buf_add_str(&token, o->username);
	}
	if (buf_len(&token))
		c.token = buf_cstr(&token);
	nats_write_connect(out, &c);
	buf_add_str(out, "PING\r\n");
	link_flush(nb->p.link);
	/* Secrets are not to lie about in what will be written over slowly. */
	if (!buf_len(out) && out->data)
		explicit_bzero(out->data, out->cap);
	if (token.data)
		explicit_bzero(token.data, token.cap);
	buf_release(&token);
	buf_release(&signature);
	nb->state = NATS_GREETS;
}

static void
conn_greet(struct pipeline *p)
{
	struct nats_broker *nb = p->arg;

	if (nb->state == NATS_SECURES) {
		nb->secured = true;
		hello(nb, buf_bytes(&nb->nonce));
		buf_release(&nb->nonce);
		return;
	}
	nb->secured = nb->tls_first && link_wants_tls(p->link);
	nb->state = NATS_EXPECTS_INFO;
}

/* last: nothing has come behind it. What comes in the clear behind the INFO of a server
 * that speaks TLS was put there by somebody else. */
static void
secure(struct nats_broker *nb, const struct nats_info *i, bool last)
{
	struct error err;

	if (!i->tls_required && !i->tls_available)
		error_set(&err, ERR_CONNECT, "%s: the server has no TLS", link_name(nb->p.link));
	else if (!last)
		error_set(&err, ERR_CONNECT, "%s: the server went on in the clear instead of TLS",
			link_name(nb->p.link));
	else if (link_secure(nb->p.link, &err) == 0) {
		nb->state = NATS_SECURES;
		buf_clear(&nb->nonce);
		buf_add_bytes(&nb->nonce, i->nonce);
		return;
	}
	pipeline_fail(&nb->p, &err);
}

static void
greeted_by(struct nats_broker *nb, const struct nats_info *i, bool last)
{
	struct error err;

	if (link_wants_tls(nb->p.link) && !nb->secured) {
		secure(nb, i, last);
	} else if (i->tls_required && !nb->secured) {
		error_set(&err, ERR_CONNECT, "%s: the server wants TLS (--tls)", link_name(nb->p.link));
		pipeline_fail(&nb->p, &err);
	} else {
		hello(nb, i->nonce);
	}
}

static void
info(struct nats_broker *nb, struct bytes text, bool last)
{
	struct nats_info i;

	if (nats_info_read(&i, text) < 0) {
		fault(nb, "its INFO is no JSON object");
		return;
	}
	nb->headers = i.headers;
	nb->max_payload = i.max_payload;
	for (size_t k = 0; k < i.nurls && nb->discover; k++)
		link_learn(nb->p.link, i.urls[k]);
	if (nb->state == NATS_EXPECTS_INFO) {
		log_debug("%s: NATS server %.*s, version %.*s, max_payload %llu, %s headers",
			link_name(nb->p.link), BYTES_FMT(i.name), BYTES_FMT(i.version),
			(unsigned long long)i.max_payload, i.headers ? "with" : "without");
		greeted_by(nb, &i, last);
	} else if (i.lame && nb->state == NATS_READY) {
		log_verbose("%s: the server is about to end", link_name(nb->p.link));
		if (nb->b.opts.reconnect)
			nats_pub_leave(nb);
	}
}

static void
pong(struct nats_broker *nb)
{
	bool again = nb->p.ever;

	if (nb->state == NATS_READY && pipeline_front(&nb->p)) {
		pipeline_reply(&nb->p, NULL);
	} else if (nb->state == NATS_GREETS) {
		nb->state = NATS_READY;
		nats_js_ready(nb);
		pipeline_ready(&nb->p);
		nats_sub_ready(nb, again);
	} else {
		fault(nb, "a PONG to no PING");
	}
}

/* ---- errors ---- */

enum { PASSES = 1, NEXT = 2, KEEPS = 4 };	/* KEEPS: the connection goes on */

/* mbus-nats(7) shows this table (tests/bats/nats.bats holds the two together). */
static const struct {
	const char *start;
	enum error_kind kind;
	unsigned what;
	const char *say;
} meanings[] = {
	{ "Authorization Violation", ERR_AUTH, 0, "not let in" },
	{ "User Authentication Expired", ERR_AUTH, 0, NULL },
	{ "User Authentication Revoked", ERR_AUTH, 0, NULL },
	{ "Account Authentication Expired", ERR_AUTH, 0, NULL },
	{ "Permissions Violation", ERR_AUTH, KEEPS, "not allowed" },
	{ "Authentication Timeout", ERR_CONNECT, PASSES, NULL },
	{ "Stale Connection", ERR_CONNECT, PASSES, NULL },
	{ "Slow Consumer", ERR_CONNECT, PASSES,
		"too slow for the server; its settings are write_deadline and max_pending" },
	{ "Maximum Connections Exceeded", ERR_CONNECT, PASSES | NEXT, NULL },
	{ "Maximum Account Active Connections Exceeded", ERR_CONNECT, PASSES | NEXT, NULL },
	{ "Server Shutdown", ERR_CONNECT, PASSES | NEXT, NULL },
	{ "Secure Connection - TLS Required", ERR_CONNECT, 0, "the server wants TLS (--tls)" },
	{ "Maximum Subscriptions Exceeded", ERR_REFUSED, KEEPS, NULL },
	{ "Invalid Subject", ERR_USAGE, KEEPS, NULL },
	{ "Invalid Publish Subject", ERR_REFUSED, KEEPS, NULL },
	{ NULL, ERR_CONNECT, 0, NULL }
};

static unsigned
meaning(struct bytes text, struct error *err)
{
	size_t i = 0;
	int n = text.n < 300 ? (int)text.n : 300;

	while (meanings[i].start && (text.n < strlen(meanings[i].start) ||
	    strncasecmp(text.p, meanings[i].start, strlen(meanings[i].start)) != 0))
		i++;
	if (meanings[i].say)
		error_set(err, meanings[i].kind, "%s (%.*s)", meanings[i].say, n, text.p);
	else
		error_set(err, meanings[i].kind, "%.*s", n, text.p);
	return meanings[i].what;
}

static void
advise(const struct nats_broker *nb, struct error *err)
{
	const struct broker_options *o = &nb->b.opts;
	size_t n = strlen(err->text);

	if (err->kind == ERR_AUTH && nb->state == NATS_GREETS)
		snprintf(err->text + n, sizeof err->text - n, ": %s", o->username || o->password.p ?
			"wrong user name, password or token?" :
			"it wants a user or a token (--username, --password-file)");
}

/* Words about one event or one subscription. */
static bool
is_denial(struct nats_broker *nb, struct bytes text, const struct error *err)
{
	struct bytes subject;

	if (nats_err_subject(text, "Permissions Violation for Publish to ", &subject)) {
		if (!nats_js_denied(nb, subject, err))
			nats_pub_denied(nb, subject, err);
	} else if (nats_err_subject(text, "Permissions Violation for Subscription to ", &subject)) {
		/* To listen for a 503 is no must. */
		if (!nats_js_denied(nb, subject, err) && !nats_sub_denied(nb, subject, err))
			log_debug("%s: %s", link_name(nb->p.link), err->text);
	} else {
		return nats_sub_denied(nb, BYTES(""), err);
	}
	return true;
}

static void
server_error(struct nats_broker *nb, struct bytes text)
{
	struct error err;
	unsigned what = meaning(text, &err);

	if (what & KEEPS && nb->state == NATS_READY) {
		if (!is_denial(nb, text, &err))
			log_warn("%s: %s", link_name(nb->p.link), err.text);
		return;
	}
	advise(nb, &err);
	error_prefix(&err, "%s", link_name(nb->p.link));
	if (what & NEXT)
		pipeline_fail_next(&nb->p, &err);
	else if (what & PASSES || err.kind == ERR_AUTH)
		pipeline_fail(&nb->p, &err);
	else
		pipeline_refused(&nb->p, &err);
}

/* ---- input ---- */

static void
frame(struct nats_broker *nb, struct nats_frame *f, bool last)
{
	if (nb->state == NATS_EXPECTS_INFO && f->op != NATS_INFO && f->op != NATS_ERR) {
		fault(nb, "it does not begin with INFO");
		return;
	}
	switch (f->op) {
	case NATS_MSG: nats_sub_event(nb, f); break;
	case NATS_PONG: pong(nb); break;
	case NATS_PING:
		buf_add_str(pipeline_out(&nb->p), "PONG\r\n");
		pipeline_kick(&nb->p);
		break;
	case NATS_INFO: info(nb, f->text, last); break;
	case NATS_ERR: server_error(nb, f->text); break;
	case NATS_OK: break;
	}
}

static size_t
conn_data(struct pipeline *p, char *data, size_t n)
{
	struct nats_broker *nb = p->arg;
	struct nats_frame f;
	struct timespec now;
	const char *why;
	size_t used = 0;
	ssize_t took;

	clock_gettime(CLOCK_REALTIME, &now);
	nb->read_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	while (used < n && !p->failed && !p->paused && nb->state != NATS_SECURES) {
		took = nats_read(&f, data + used, n - used, &why);
		if (took == 0)
			break;
		if (took < 0) {
			fault(nb, why);
			return n;
		}
		used += (size_t)took;
		frame(nb, &f, used == n);
	}
	return used;
}

static void
conn_ping(struct pipeline *p)
{
	buf_add_str(pipeline_ask(p, NULL, NULL, 0, 0), "PING\r\n");
}

static bool
conn_lost(struct pipeline *p, struct error *why, bool *again)
{
	struct nats_broker *nb = p->arg;

	nb->state = NATS_OFF;
	nb->inbox_open = false;
	nb->deaf.kind = ERR_NONE;
	nats_pub_lost(nb);
	nats_js_sub_lost(nb);
	nb->cut = nats_sub_was_slow(nb);
	if (nb->cut && !*again) {
		struct error was = *why;

		error_set(why, was.kind, "%.300s (too slow for the server? its settings are "
			"write_deadline and max_pending)", was.text);
	}
	return true;
}

static const struct pipeline_ops conn_ops = {
	.greet = conn_greet,
	.data = conn_data,
	.lost = conn_lost,
	.ping = conn_ping,
	.send = nats_pub_send,
};

int
nats_conn_open(struct nats_broker *nb, struct error *err)
{
	const struct pipeline_options o = {
		.broker = &nb->b,
		.link = {
			.broker = &nb->b.opts,
			.default_address = nb->b.ops->default_address,
			.schemes = schemes,
			.port = 4222,
			.input_max = INPUT_MAX,
			.tls_later = !nb->tls_first,
		},
		.keepalive_ms = nb->keepalive_ms,
		.beat = true,
		.main = true,
	};

	if (pipeline_open(&nb->p, &o, &conn_ops, nb, err) < 0)
		return -1;
	nb->p.keeps = nb->b.opts.reconnect != 0;
	return 0;
}

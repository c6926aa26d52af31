/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of etcd's JSON gateway: see etcd.h. */
#include "backends/registry/etcd.h"

#include <stdlib.h>

#include "core/json.h"
#include "core/text.h"

/* ---- what calls are made of ---- */

void
etcd_add_bytes(struct buf *out, const char *name, struct bytes value)
{
	if (buf_len(out) && buf_data(out)[buf_len(out) - 1] != '{')
		buf_add_ch(out, ',');
	buf_addf(out, "\"%s\":\"", name);
	buf_add_base64(out, value.p, value.n);
	buf_add_ch(out, '"');
}

static void
add_segment(struct buf *out, struct bytes s)
{
	buf_add_ch(out, '/');
	for (size_t i = 0; i < s.n; i++)
		buf_add_ch(out, s.p[i] == '/' ? '-' : s.p[i]);
}

void
etcd_add_key(struct buf *out, const struct etcd *e, struct bytes service, struct bytes id)
{
	buf_add_str(out, e->prefix);
	if (service.p)
		add_segment(out, service);
	if (id.p)
		add_segment(out, id);
	else
		buf_add_ch(out, '/');
}

/* Up to the key that is one more in its last byte, which is a '/'. */
void
etcd_add_range(struct buf *out, struct bytes prefix)
{
	char *end = xmemdup0(prefix.p, prefix.n);

	end[prefix.n - 1]++;
	etcd_add_bytes(out, "key", prefix);
	etcd_add_bytes(out, "range_end", bytes_of(end, prefix.n));
	free(end);
}

/* ---- answers ---- */

/* grpc's codes that say more than the status. */
enum { CODE_UNAUTHENTICATED = 16, CODE_PERMISSION_DENIED = 7, CODE_INVALID = 3 };

static void
word_error(struct http_client *client, const struct http_answer *a, int *code, struct error *err)
{
	cJSON *doc = cJSON_ParseWithLength(a->body.p, a->body.n);
	struct bytes text = micro_json_text(doc, "message");
	const cJSON *number = cJSON_GetObjectItemCaseSensitive(doc, "code");
	struct http_answer shown = *a;

	*code = cJSON_IsNumber(number) ? number->valueint : 0;
	if (!text.n)
		text = micro_json_text(doc, "error");
	if (text.n)
		shown.body = text;
	http_answer_error(client, &shown, err);
	if (*code == CODE_UNAUTHENTICATED || *code == CODE_PERMISSION_DENIED ||
	    (*code == CODE_INVALID && (memmem(text.p, text.n, "authentication", 14) ||
	    memmem(text.p, text.n, "user name is empty", 18))))
		err->kind = ERR_AUTH;
	cJSON_Delete(doc);
}

static void
finish(struct etcd_call *c, const cJSON *doc, const struct error *err)
{
	c->e = NULL;
	buf_release(&c->body);
	c->done(c, doc, err);
}

static void ask_now(struct etcd_call *);
static void authenticate(struct etcd *);

static void
wait_for_token(struct etcd_call *c)
{
	struct etcd *e = c->e;

	c->waits = true;
	c->next = e->waiting;
	e->waiting = c;
	authenticate(e);
}

static void
answered(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct etcd_call *c = call->arg;
	struct etcd *e = c->e;
	struct error why;
	cJSON *doc;
	int code;

	if (err) {
		finish(c, NULL, err);
		return;
	}
	if (a->status == 200) {
		doc = c->part ? NULL : cJSON_ParseWithLength(a->body.p, a->body.n);
		if (!doc && !c->part)
			error_set(&why, ERR_CONNECT, "%s: its answer is no JSON",
				http_client_name(c->client ? c->client : e->client));
		finish(c, doc, doc || c->part ? NULL : &why);
		cJSON_Delete(doc);
		return;
	}
	word_error(c->client ? c->client : e->client, a, &code, &why);
	/* A token has its time; and who restarts etcd makes it forget them. */
	if (code == CODE_UNAUTHENTICATED && e->username && e->token.p && !c->again) {
		c->again = true;
		free((char *)e->token.p);
		e->token = (struct bytes){ NULL, 0 };
		wait_for_token(c);
		return;
	}
	finish(c, NULL, &why);
}

static bool
part(struct http_call *call, char *p, size_t n)
{
	struct etcd_call *c = call->arg;

	return c->part(c, p, n);
}

static void
ask_now(struct etcd_call *c)
{
	struct etcd *e = c->e;
	struct http_client *client = c->client ? c->client : e->client;

	c->http = (struct http_call){ .done = answered, .part = c->part ? part : NULL, .arg = c,
		.timeout_ms = c->part ? 0 : e->http.timeout_ms };
	http_client_header(client, "Authorization", e->token);
	http_client_ask(client, &c->http, "POST", bytes_str(c->path), "application/json",
		buf_bytes(&c->body));
}

/* ---- the token ---- */

static void
authenticated(struct http_call *call, const struct http_answer *a, const struct error *err)
{
	struct etcd *e = call->arg;
	struct etcd_call *waiting = e->waiting, *next, *order = NULL;
	struct error why;
	cJSON *doc = NULL;
	struct bytes token;
	int code;

	if (err)
		why = *err;
	else if (a->status != 200 && memmem(a->body.p, a->body.n, "authentication is not enabled", 29))
		e->username = NULL;	/* as go-micro's client has it */
	else if (a->status != 200)
		word_error(e->client, a, &code, &why);
	else
		doc = cJSON_ParseWithLength(a->body.p, a->body.n);
	token = micro_json_text(doc, "token");
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			token.n = 0;
	if (token.n)
		e->token = bytes_of(xmemdup0(token.p, token.n), token.n);
	else if (!err && a->status == 200)
		error_set(&why, ERR_CONNECT, "%s: it gives no token", http_client_name(e->client));
	cJSON_Delete(doc);
	/* The first one first. */
	e->waiting = NULL;
	for (; waiting; waiting = next) {
		next = waiting->next;
		waiting->next = order;
		order = waiting;
	}
	if (e->username && !e->token.p) {
		/* What they make of it may cancel others of them. */
		e->waiting = order;
		while (e->waiting) {
			struct etcd_call *c = e->waiting;

			e->waiting = c->next;
			c->waits = false;
			finish(c, NULL, &why);
			if (e->authenticate.client)
				break;
		}
		return;
	}
	for (; order; order = next) {
		next = order->next;
		order->waits = false;
		ask_now(order);
	}
}

static void
authenticate(struct etcd *e)
{
	struct buf body = BUF_INIT;

	if (e->authenticate.client)
		return;
	buf_add_str(&body, "{\"name\":");
	json_add_go_string(&body, bytes_str(e->username));
	buf_add_str(&body, ",\"password\":");
	json_add_go_string(&body, e->password);
	buf_add_ch(&body, '}');
	e->authenticate = (struct http_call){ .done = authenticated, .arg = e,
		.timeout_ms = e->http.timeout_ms };
	http_client_header(e->client, NULL, (struct bytes){ NULL, 0 });
	http_client_ask(e->client, &e->authenticate, "POST", BYTES("/v3/auth/authenticate"),
		"application/json", buf_bytes(&body));
	explicit_bzero(buf_data(&body), buf_len(&body));
	buf_release(&body);
}

/* ---- what the others call ---- */

int
etcd_open(struct etcd *e, struct error *err)
{
	if (!e->client)
		e->client = http_client_new(e->base.loop, &e->http, err);
	return e->client ? 0 : -1;
}

void
etcd_ask(struct etcd *e, struct etcd_call *c, const char *path, struct buf *body)
{
	c->e = e;
	c->path = path;
	buf_release(&c->body);
	c->body = *body;
	*body = (struct buf)BUF_INIT;
	c->again = c->waits = false;
	if (e->username && !e->token.p)
		wait_for_token(c);
	else
		ask_now(c);
}

void
etcd_cancel(struct etcd_call *c)
{
	struct etcd_call **p;

	if (!c->e)
		return;
	if (c->waits) {
		p = &c->e->waiting;
		while (*p != c)
			p = &(*p)->next;
		*p = c->next;
	} else {
		http_client_cancel(&c->http);
	}
	c->e = NULL;
	c->waits = false;
	buf_release(&c->body);
}

void
etcd_call_release(struct etcd *e)
{
	http_client_cancel(&e->authenticate);
	http_client_free(e->client);
	free((char *)e->token.p);
}

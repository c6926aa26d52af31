/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP client for documents: see http_client.h. */
#include "backends/client/http_client.h"

#include <stdlib.h>
#include <strings.h>

#include "backends/proto/http.h"
#include "core/address.h"
#include "core/log.h"
#include "core/secret.h"
#include "core/text.h"

enum { PART_MAX = 200 };		/* of an error's body that is quoted */

struct http_client {
	struct loop *loop;
	struct http_client_options opts;
	struct broker_options broker;	/* what a link wants to know */
	struct link *link;
	char *name;			/* for messages, of the address at hand */
	const char *header_name;
	struct bytes header_value;

	struct http_call *first, **last;	/* the first is the one that was sent, if any was */
	bool starting, up;		/* the link */
	bool closing;			/* on_lost is on its way */
	bool sent;			/* the first call */
	bool heard;			/* a byte of its answer */
	bool broken;			/* the answer is none: sending again will not help */
	unsigned answered;		/* on this connection */
	struct loop_timer late;
	struct loop_task kick;

	/* The answer being read. */
	bool in_body, keep_alive, chunked, taken;
	unsigned status;
	uint64_t left;
	struct http_drip drip;
	struct http_chunks chunks;
	struct buf head, body;
};

static void
kick(struct http_client *c)
{
	loop_defer(c->loop, &c->kick);
}

const char *
http_client_name(struct http_client *c)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s at %s", c->opts.what, link_name(c->link));
	free(c->name);
	c->name = xstrdup(buf_cstr(&b));
	buf_release(&b);
	return c->name;
}

/* ---- the queue ---- */

static void
unqueue(struct http_call *call)
{
	struct http_client *c = call->client;
	struct http_call **p = &c->first;

	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
	if (c->last == &call->next)
		c->last = p;
	call->next = NULL;
	call->client = NULL;
	explicit_bzero(buf_data(&call->request), buf_len(&call->request));
	buf_release(&call->request);
}

/* The first call is over. */
static void
finish(struct http_client *c, const struct error *err)
{
	struct http_call *call = c->first;
	struct http_answer answer = { c->status, buf_bytes(&c->head), buf_bytes(&c->body) };

	loop_timer_clear(c->loop, &c->late);
	c->sent = c->in_body = false;
	unqueue(call);
	kick(c);
	call->done(call, err ? NULL : &answer, err);
}

static void
send_first(struct http_client *c)
{
	struct http_call *call = c->first;

	c->sent = true;
	c->heard = c->broken = c->in_body = c->taken = false;
	c->status = 0;
	c->drip = (struct http_drip){ 0 };
	buf_clear(&c->head);
	buf_clear(&c->body);
	buf_add_bytes(link_out(c->link), buf_bytes(&call->request));
	link_kick(c->link);
	if (call->timeout_ms)
		loop_timer_set(c->loop, &c->late, call->timeout_ms);
}

static void
kicked(struct loop_task *t)
{
	struct http_client *c = t->arg;

	if (!c->first || c->closing || c->starting || c->sent)
		return;
	if (c->up) {
		send_first(c);
		return;
	}
	c->starting = true;
	c->answered = 0;
	link_start(c->link);
}

/* Ends the connection; on_lost follows. */
static void
hang_up(struct http_client *c, const struct error *err)
{
	if (!c->up || c->closing)
		return;
	c->closing = true;
	link_fail(c->link, err);
}

static void
late(struct loop_timer *t)
{
	struct http_client *c = t->arg;
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: no answer within %u ms", http_client_name(c),
		c->first->timeout_ms);
	c->broken = true;
	hang_up(c, &err);
}

/* ---- the answer ---- */

static size_t
broken(struct http_client *c, size_t n, const char *why)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: not an HTTP answer: %s", http_client_name(c), why);
	c->broken = true;
	hang_up(c, &err);
	return n;
}

static void
answer_over(struct http_client *c)
{
	struct error err;

	c->answered++;
	c->first->again = false;
	if (!c->keep_alive) {
		error_set(&err, ERR_CONNECT, "%s: it closes the connection", http_client_name(c));
		hang_up(c, &err);
	}
	finish(c, NULL);
}

static size_t
read_head(struct http_client *c, const char *p, size_t n)
{
	struct http_head head;
	const char *why;

	if (!http_head_ripe(&c->drip, p, n))
		return 0;
	switch (http_response_parse(&head, p, n, &why)) {
	case HTTP_MORE:
		return 0;
	case HTTP_BAD:
		return broken(c, n, why);
	case HTTP_OK:
		break;
	}
	c->drip = (struct http_drip){ 0 };
	if (head.status < 200)
		return head.size;
	if (!head.chunked && !head.has_length)
		return broken(c, n, "it does not say how long it is");
	if (head.has_length && head.content_length > c->opts.body_max)
		return broken(c, n, "it is too large");
	c->status = head.status;
	c->keep_alive = head.keep_alive;
	c->chunked = head.chunked;
	c->left = head.content_length;
	http_chunks_init(&c->chunks);
	buf_add(&c->head, p, head.size);
	c->in_body = true;
	if (!c->chunked && !c->left)
		answer_over(c);
	return head.size;
}

/* false: nobody wants more of it. */
static bool
take(struct http_client *c, char *p, size_t n)
{
	struct http_call *call = c->first;
	struct error err;

	if (!n)
		return true;
	if (!call->part || c->status != 200) {
		buf_add(&c->body, p, n);
		return true;
	}
	if (call->part(call, p, n))
		return true;
	/* It may have been cancelled in there, too. */
	if (call->client) {
		error_set(&err, ERR_CONNECT, "%s: enough", http_client_name(c));
		http_client_cancel(call);
	}
	return false;
}

static size_t
read_chunks(struct http_client *c, char *p, size_t n)
{
	/* A stream has no end that could be too far away; its parts have. */
	uint64_t max = c->first->part ? UINT64_MAX : c->opts.body_max;
	enum http_result r;
	size_t used, len;
	const char *why;

	r = http_chunked(&c->chunks, p, n, max, &used, &len, &why);
	if (r == HTTP_BAD)
		return broken(c, n, why);
	if (!take(c, p, len))
		return n;
	if (r == HTTP_OK)
		answer_over(c);
	return used;
}

static size_t
read_length(struct http_client *c, char *p, size_t n)
{
	if (n > c->left)
		n = (size_t)c->left;
	c->left -= n;
	if (take(c, p, n) && !c->left)
		answer_over(c);
	return n;
}

static size_t
on_data(struct link *l, char *p, size_t n)
{
	struct http_client *c = link_arg(l);
	size_t used = 0, step;

	while (used < n && !c->closing) {
		if (!c->sent) {
			c->keep_alive = false;
			return broken(c, n, "nothing was asked");
		}
		c->heard = true;
		step = !c->in_body ? read_head(c, p + used, n - used) :
			c->chunked ? read_chunks(c, p + used, n - used) :
			read_length(c, p + used, n - used);
		if (!step)
			break;
		used += step;
	}
	return c->closing ? n : used;
}

/* ---- the connection ---- */

static void
on_open(struct link *l)
{
	struct http_client *c = link_arg(l);

	c->starting = false;
	c->up = true;
	link_ready(l);
	kick(c);
}

/* Those that are asked meanwhile make a new attempt. */
static void
fail_all(struct http_client *c, const struct error *err)
{
	size_t n = 0;

	for (const struct http_call *call = c->first; call; call = call->next)
		n++;
	while (n-- && c->first)
		finish(c, err);
}

static void
on_lost(struct link *l, const struct error *err, bool again)
{
	struct http_client *c = link_arg(l);
	bool was_up = c->up, asked = c->sent && c->first;
	struct error why = *err;

	(void)again;
	loop_timer_clear(c->loop, &c->late);
	c->starting = c->up = c->closing = c->sent = c->in_body = false;
	kick(c);
	if (!was_up) {
		if (strncmp(why.text, c->opts.what, strlen(c->opts.what)) != 0)
			error_prefix(&why, "%s", c->opts.what);
		fail_all(c, &why);
		return;
	}
	if (!asked)
		return;
	if (!c->heard && !c->broken && c->answered && !c->first->again) {
		log_debug("%s; the call is made once more", why.text);
		c->first->again = true;
		return;
	}
	if (strncmp(why.text, c->opts.what, strlen(c->opts.what)) != 0)
		error_prefix(&why, "%s", c->opts.what);
	finish(c, &why);
}

static const struct link_ops link_ops = {
	.on_open = on_open,
	.on_data = on_data,
	.on_lost = on_lost,
};

/* ---- what the user calls ---- */

static int
check_addresses(const struct http_client_options *o, struct error *err)
{
	struct bytes list = bytes_str(o->address ? o->address : o->default_address), one;
	struct address a;

	while (address_next(&list, &one)) {
		if (address_parse(one, &a, err) < 0)
			return error_prefix(err, "%s", o->what);
		if (a.userinfo.p)
			return error_set(err, ERR_USAGE, "%s: a user in its address: they are "
				"given by options", o->what);
		if (a.path.n || a.query.p)
			return error_set(err, ERR_USAGE, "%s: a path in its address: %.*s", o->what,
				BYTES_FMT(a.path));
	}
	return 0;
}

struct http_client *
http_client_new(struct loop *loop, const struct http_client_options *opts, struct error *err)
{
	static const struct link_scheme schemes[] = {
		{ "http", false }, { "https", true }, { NULL, false }
	};
	struct http_client *c;
	struct link_options lo;

	if (check_addresses(opts, err) < 0)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->loop = loop;
	c->opts = *opts;
	c->last = &c->first;
	c->kick = (struct loop_task){ .fn = kicked, .arg = c };
	c->late = (struct loop_timer){ .fn = late, .arg = c };
	c->broker.address = opts->address;
	c->broker.tls = opts->tls;
	c->broker.connect_timeout_ms = opts->timeout_ms;
	lo = (struct link_options){ .broker = &c->broker, .default_address = opts->default_address,
		.schemes = schemes, .port = opts->port,
		.input_max = HTTP_HEAD_MAX + 65536 };
	c->link = link_new(loop, &lo, &link_ops, c, err);
	if (c->link)
		return c;
	error_prefix(err, "%s", opts->what);
	http_client_free(c);
	return NULL;
}

static void
header_clear(struct http_client *c)
{
	if (c->header_value.p) {
		explicit_bzero((char *)c->header_value.p, c->header_value.n);
		free((char *)c->header_value.p);
	}
	c->header_value = (struct bytes){ NULL, 0 };
}

void
http_client_free(struct http_client *c)
{
	if (!c)
		return;
	while (c->first)
		unqueue(c->first);
	loop_timer_clear(c->loop, &c->late);
	loop_task_cancel(&c->kick);
	link_free(c->link);
	header_clear(c);
	buf_release(&c->head);
	buf_release(&c->body);
	free(c->name);
	free(c);
}

void
http_client_header(struct http_client *c, const char *name, struct bytes value)
{
	header_clear(c);
	c->header_name = name;
	if (value.p)
		c->header_value = bytes_of(xmemdup0(value.p, value.n), value.n);
}

void
http_client_ask(struct http_client *c, struct http_call *call, const char *method,
	struct bytes target, const char *content_type, struct bytes body)
{
	struct buf *b = &call->request;
	const char *host = link_name(c->link);

	*b = (struct buf)BUF_INIT;
	buf_addf(b, "%s %.*s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mbus\r\n", method,
		BYTES_FMT(target), strncmp(host, "unix:", 5) == 0 ? "localhost" : host);
	if (c->header_value.p) {
		buf_addf(b, "%s: ", c->header_name);
		buf_add_bytes(b, c->header_value);
		buf_add_str(b, "\r\n");
	}
	if (content_type)
		buf_addf(b, "Content-Type: %s\r\n", content_type);
	if (content_type || strcmp(method, "GET") != 0)
		buf_addf(b, "Content-Length: %zu\r\n", body.n);
	buf_add_str(b, "\r\n");
	buf_add_bytes(b, body);
	call->client = c;
	call->again = false;
	call->next = NULL;
	*c->last = call;
	c->last = &call->next;
	kick(c);
}

void
http_client_cancel(struct http_call *call)
{
	struct http_client *c = call->client;
	struct error err;
	bool sent;

	if (!c)
		return;
	sent = c->sent && c->first == call;
	unqueue(call);
	if (!sent)
		return;
	/* Its answer is still to come, or half here. */
	loop_timer_clear(c->loop, &c->late);
	c->sent = c->in_body = false;
	error_set(&err, ERR_CONNECT, "%s: cancelled", http_client_name(c));
	hang_up(c, &err);
}

struct bytes
http_answer_header(const struct http_answer *a, const char *name)
{
	const char *p = a->head.p, *end = p + a->head.n;
	size_t n = strlen(name);

	for (; p < end; p++) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		if (!eol)
			break;
		if ((size_t)(eol - p) > n && p[n] == ':' && strncasecmp(p, name, n) == 0) {
			p += n + 1;
			while (p < eol && (*p == ' ' || *p == '\t'))
				p++;
			while (eol > p && strchr(" \t\r", eol[-1]))
				eol--;
			return bytes_of(p, (size_t)(eol - p));
		}
		p = eol;
	}
	return (struct bytes){ NULL, 0 };
}

int
http_answer_error(struct http_client *c, const struct http_answer *a, struct error *err)
{
	enum error_kind kind = a->status == 401 || a->status == 403 ? ERR_AUTH :
		a->status == 404 ? ERR_NOTFOUND : a->status >= 500 ? ERR_CONNECT : ERR_REFUSED;
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < a->body.n && buf_len(&text) < PART_MAX;) {
		unsigned len = utf8_seq(a->body.p + i, a->body.n - i);

		if (a->body.p[i] == '\n' || a->body.p[i] == '\r') {
			if (buf_len(&text))
				break;
			i++;
		} else if (len && utf8_is_shown(a->body.p + i, len)) {
			buf_add(&text, a->body.p + i, len);
			i += len;
		} else {
			buf_add_ch(&text, '?');
			i++;
		}
	}
	error_set(err, kind, buf_len(&text) ? "%s: %u: %s" : "%s: HTTP status %u%s",
		http_client_name(c), a->status, buf_cstr(&text));
	buf_release(&text);
	return -1;
}

void
http_add_segment(struct buf *out, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
		    (b && strchr("-_.~", b)))
			buf_add_ch(out, (char)b);
		else
			buf_addf(out, "%%%02X", b);
	}
}

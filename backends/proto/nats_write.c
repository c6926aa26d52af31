/* SPDX-License-Identifier: Apache-2.0 */
/* What a NATS client says, and what NATS lets nobody say: see nats.h. */
#include "backends/proto/nats.h"

#include "core/json.h"

/* ---- commands ---- */

static void
field(struct buf *b, const char *name, struct bytes value)
{
	if (!value.n)
		return;
	buf_addf(b, ",\"%s\":", name);
	json_add_go_string(b, value);
}

void
nats_write_connect(struct buf *b, const struct nats_connect *c)
{
	buf_addf(b, "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":%s",
		c->tls ? "true" : "false");
	field(b, "name", bytes_str(c->name));
	field(b, "user", bytes_str(c->user));
	field(b, "pass", c->password);
	field(b, "auth_token", bytes_str(c->token));
	field(b, "jwt", c->jwt);
	field(b, "nkey", c->nkey);
	field(b, "sig", c->sig);
	buf_addf(b, ",\"lang\":\"c\",\"version\":\"" MBUS_VERSION "\",\"protocol\":1,\"echo\":%s,"
		"\"headers\":%s,\"no_responders\":%s}\r\n", c->echo ? "true" : "false",
		c->headers ? "true" : "false", c->headers ? "true" : "false");
}

void
nats_write_sub(struct buf *b, struct bytes subject, const char *group, uint64_t sid)
{
	buf_add_str(b, "SUB ");
	buf_add_bytes(b, subject);
	buf_add_ch(b, ' ');
	if (group)
		buf_add_str(b, group);
	buf_add_ch(b, ' ');
	buf_add_u64(b, sid);
	buf_add_str(b, "\r\n");
}

void
nats_write_unsub(struct buf *b, uint64_t sid)
{
	buf_add_str(b, "UNSUB ");
	buf_add_u64(b, sid);
	buf_add_str(b, "\r\n");
}

/* ---- an event ---- */

static size_t
head_size(const struct nats_pub *p)
{
	size_t n = sizeof "NATS/1.0\r\n\r\n" - 1;

	if (!p->nheaders)
		return 0;
	for (size_t i = 0; i < p->nheaders; i++)
		n += p->headers[i].name.n + p->headers[i].value.n + sizeof ": \r\n" - 1;
	return n;
}

static void
add_headers(struct buf *b, const struct nats_pub *p)
{
	buf_add_str(b, "NATS/1.0\r\n");
	for (size_t i = 0; i < p->nheaders; i++) {
		buf_add_bytes(b, p->headers[i].name);
		buf_add(b, ": ", 2);
		buf_add_bytes(b, p->headers[i].value);
		buf_add(b, "\r\n", 2);
	}
	buf_add(b, "\r\n", 2);
}

struct nats_mark
nats_begin(struct buf *b, const struct nats_pub *p, size_t guess)
{
	size_t head = head_size(p);
	struct nats_mark m;

	buf_room(b, p->subject.n + p->reply.n + head + guess + 80);
	buf_add_str(b, head ? "HPUB " : "PUB ");
	buf_add_bytes(b, p->subject);
	buf_add_ch(b, ' ');
	if (p->reply.n) {
		buf_add_bytes(b, p->reply);
		buf_add_ch(b, ' ');
	}
	if (head) {
		buf_add_u64(b, head);
		buf_add_ch(b, ' ');
	}
	m.digits = buf_len(b);
	buf_add_u64(b, head + guess);
	m.ndigits = buf_len(b) - m.digits;
	buf_add(b, "\r\n", 2);
	m.payload = buf_len(b);
	if (head)
		add_headers(b, p);
	return m;
}

size_t
nats_end(struct buf *b, const struct nats_mark *m)
{
	size_t size = buf_len(b) - m->payload, n, left = size;
	char digits[24], *to = digits + sizeof digits, *at;

	do
		*--to = (char)('0' + left % 10);
	while (left /= 10);
	n = (size_t)(digits + sizeof digits - to);
	if (n != m->ndigits) {
		buf_room(b, n);
		at = buf_data(b) + m->digits;
		memmove(at + n, at + m->ndigits, size + 2);
		b->end = b->end + n - m->ndigits;
	}
	memcpy(buf_data(b) + m->digits, to, n);
	buf_add(b, "\r\n", 2);
	return size;
}

size_t
nats_payload_of(struct bytes event)
{
	const char *nl = event.n ? memchr(event.p, '\n', event.n) : NULL;
	size_t line = nl ? (size_t)(nl + 1 - event.p) : event.n;

	return event.n - line >= 2 ? event.n - line - 2 : 0;
}

/* ---- what may not be ---- */

const char *
nats_bad_subject(struct bytes s, bool wild)
{
	size_t begin = 0;

	if (!s.n)
		return "it is empty";
	for (size_t i = 0; i <= s.n; i++) {
		unsigned char c = i < s.n ? (unsigned char)s.p[i] : '.';

		if (c <= ' ' || c == 0x7f)
			return "NATS has no blanks and no control characters in a subject";
		if (c != '.')
			continue;
		if (i == begin)
			return "a subject of NATS has no empty part between its dots";
		if (i - begin == 1 && (s.p[begin] == '*' || s.p[begin] == '>')) {
			if (!wild)
				return "wildcards are for subscribing";
			if (s.p[begin] == '>' && i < s.n)
				return "the wildcard > is the last part of a subject";
		}
		begin = i + 1;
	}
	return NULL;
}

const char *
nats_bad_group(const char *g)
{
	if (!*g)
		return "it is empty";
	for (; *g; g++)
		if ((unsigned char)*g <= ' ' || *g == 0x7f)
			return "NATS has no blanks and no control characters in it";
	return NULL;
}

const char *
nats_bad_header(const struct header *h)
{
	if (!h->name.n)
		return "NATS has no headers without a name";
	for (size_t i = 0; i < h->name.n; i++) {
		unsigned char c = (unsigned char)h->name.p[i];

		if (c <= ' ' || c >= 0x7f || c == ':')
			return "the name of a header of NATS is printable ASCII without blanks and ':'";
	}
	if (h->value.n && (memchr(h->value.p, '\r', h->value.n) || memchr(h->value.p, '\n', h->value.n)))
		return "the value of a header of NATS is one line";
	if (h->value.n && (*h->value.p == ' ' || *h->value.p == '\t'))
		return "the value of a header of NATS does not begin with a blank";
	return NULL;
}

bool
nats_matches(struct bytes wild, struct bytes subject)
{
	const char *w = wild.p, *wend = wild.p + wild.n, *s = subject.p, *send = subject.p + subject.n;

	for (;;) {
		const char *wt = w, *st = s;

		while (w < wend && *w != '.')
			w++;
		if (w - wt == 1 && *wt == '>' && w == wend)
			return s < send;
		while (s < send && *s != '.')
			s++;
		if (!(w - wt == 1 && *wt == '*' && s > st) &&
		    (w - wt != s - st || memcmp(wt, st, (size_t)(w - wt)) != 0))
			return false;
		if (w == wend || s == send)
			return w == wend && s == send;
		w++;
		s++;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a NATS server says: see nats.h. */
#include "backends/proto/nats.h"

#include <stdlib.h>

#include "core/json.h"

/* ---- frames ---- */

enum { WORDS = 6 };

/* The words of a line, with blanks or tabs between; how many. More than WORDS: 0. */
static size_t
split(const char *p, const char *end, struct bytes *words)
{
	size_t n = 0;

	for (;;) {
		const char *begin;

		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (p == end)
			return n;
		for (begin = p; p < end && *p != ' ' && *p != '\t'; p++)
			;
		if (n == WORDS)
			return 0;
		words[n++] = bytes_of(begin, (size_t)(p - begin));
	}
}

static bool
number(struct bytes w, uint64_t *n)
{
	*n = 0;
	if (!w.n || w.n > 18)
		return false;
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] < '0' || w.p[i] > '9')
			return false;
		*n = *n * 10 + (uint64_t)(w.p[i] - '0');
	}
	return true;
}

/* MSG subject sid [reply] size, HMSG subject sid [reply] headers size. p: behind the
 * line; rest: so much is there. */
static ssize_t
message(struct nats_frame *f, const struct bytes *w, size_t nw, bool heads, char *p, size_t rest,
	const char **why)
{
	size_t plain = heads ? 5 : 4;
	uint64_t size, head = 0;

	*why = "a message that does not say its size";
	if ((nw != plain && nw != plain + 1) || !number(w[nw - 1], &size) || !number(w[2], &f->sid) ||
	    (heads && (!number(w[nw - 2], &head) || head > size)))
		return -1;
	*why = "a message of more than 64 MiB";
	if (size > NATS_PAYLOAD_MAX)
		return -1;
	if (rest < size + 2)
		return 0;
	*why = "a message that does not end where it says";
	if (p[size] != '\r' || p[size + 1] != '\n')
		return -1;
	f->op = NATS_MSG;
	f->subject = w[1];
	f->reply = nw > plain ? w[3] : bytes_of(NULL, 0);
	f->head = heads ? bytes_of(p, (size_t)head) : bytes_of(NULL, 0);
	f->body = p + head;
	f->n = (size_t)(size - head);
	return (ssize_t)(size + 2);
}

static struct bytes
unquoted(const char *p, const char *end)
{
	while (p < end && *p == ' ')
		p++;
	while (p < end && end[-1] == ' ')
		end--;
	if (end - p >= 2 && *p == '\'' && end[-1] == '\'') {
		p++;
		end--;
	}
	return bytes_of(p, (size_t)(end - p));
}

static bool
is_word(const char *p, const char *end, struct bytes word)
{
	return (size_t)(end - p) >= word.n && memcmp(p, word.p, word.n) == 0 &&
		((size_t)(end - p) == word.n || p[word.n] == ' ' || p[word.n] == '\t');
}

ssize_t
nats_read(struct nats_frame *f, char *p, size_t n, const char **why)
{
	struct bytes w[WORDS];
	char *nl = memchr(p, '\n', n < NATS_INFO_LINE ? n : NATS_INFO_LINE);
	const char *end = nl;
	ssize_t line, more = 0;
	bool heads;

	*why = "a line without an end";
	if (!nl)
		return n < NATS_INFO_LINE ? 0 : -1;
	line = nl + 1 - p;
	end -= end > p && end[-1] == '\r';
	*f = (struct nats_frame){ .op = NATS_OK };
	*why = "a word that NATS does not have";
	heads = *p == 'H';
	if (is_word(p, end, heads ? BYTES("HMSG") : BYTES("MSG"))) {
		more = message(f, w, split(p, end, w), heads, nl + 1, n - (size_t)line, why);
		return more <= 0 ? more : line + more;
	}
	if (is_word(p, end, BYTES("INFO"))) {
		f->op = NATS_INFO;
		f->text = unquoted(p + 4, end);
	} else if (is_word(p, end, BYTES("-ERR"))) {
		f->op = NATS_ERR;
		f->text = unquoted(p + 4, end);
	} else if (is_word(p, end, BYTES("PING"))) {
		f->op = NATS_PING;
	} else if (is_word(p, end, BYTES("PONG"))) {
		f->op = NATS_PONG;
	} else if (!is_word(p, end, BYTES("+OK"))) {
		return -1;
	}
	return line;
}

/* ---- headers ---- */

static struct header *
head_add(struct nats_head *h)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 8;
		h->v = xrealloc(h->v, h->cap * sizeof *h->v);
	}
	return &h->v[h->n++];
}

/* NATS/1.0 [STATUS [DESCRIPTION]] */
static void
head_status(struct nats_head *h, struct bytes line)
{
	static const char version[] = "NATS/1.0";
	size_t i = sizeof version - 1;

	if (line.n < i || memcmp(line.p, version, i) != 0) {
		h->odd = true;
		return;
	}
	while (i < line.n && line.p[i] == ' ')
		i++;
	for (; i < line.n && line.p[i] >= '0' && line.p[i] <= '9' && h->status < 1000; i++)
		h->status = h->status * 10 + (unsigned)(line.p[i] - '0');
	while (i < line.n && line.p[i] == ' ')
		i++;
	h->description = bytes_of(line.p + i, line.n - i);
}

static void
head_line(struct nats_head *h, struct bytes line)
{
	const char *colon = memchr(line.p, ':', line.n), *value, *end = line.p + line.n;
	struct header *to;

	if (!colon) {
		h->odd = true;
		return;
	}
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	to = head_add(h);
	to->name = bytes_of(line.p, (size_t)(colon - line.p));
	to->value = bytes_of(value, (size_t)(end - value));
}

void
nats_head_read(struct nats_head *h, struct bytes block)
{
	const char *p = block.p, *end = block.n ? block.p + block.n : block.p;
	bool first = true;

	h->n = 0;
	h->status = 0;
	h->odd = false;
	h->description = BYTES("");
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *next = nl ? nl + 1 : end;
		struct bytes line = bytes_of(p, (size_t)((nl ? nl : end) - p));

		line.n -= line.n && line.p[line.n - 1] == '\r';
		p = next;
		if (first)
			head_status(h, line);
		else if (line.n)
			head_line(h, line);
		first = false;
	}
}

void
nats_head_release(struct nats_head *h)
{
	free(h->v);
	*h = (struct nats_head){ 0 };
}

/* ---- INFO ---- */

struct field {
	const char *name;
	bool *flag;
	struct bytes *text;
	uint64_t *number;
};

static bool
info_urls(struct nats_info *i, struct json_scan *s, enum json_token t)
{
	if (t != JSON_ARRAY)
		return json_skip(s, t);
	while ((t = json_next(s)) != JSON_ARRAY_END) {
		if (t == JSON_STRING && i->nurls < NATS_URLS)
			i->urls[i->nurls++] = json_unescape(s, NULL);
		else if (!json_skip(s, t))
			return false;
	}
	return true;
}

/* What is of another type than it should be is passed by. */
static bool
info_field(struct nats_info *i, struct json_scan *s, struct bytes key)
{
	const struct field fields[] = {
		{ "server_name", NULL, &i->name, NULL },
		{ "version", NULL, &i->version, NULL },
		{ "nonce", NULL, &i->nonce, NULL },
		{ "headers", &i->headers, NULL, NULL },
		{ "auth_required", &i->auth, NULL, NULL },
		{ "tls_required", &i->tls_required, NULL, NULL },
		{ "tls_available", &i->tls_available, NULL, NULL },
		{ "ldm", &i->lame, NULL, NULL },
		{ "jetstream", &i->jetstream, NULL, NULL },
		{ "max_payload", NULL, NULL, &i->max_payload },
	};
	enum json_token t = json_next(s);

	if (bytes_eq(key, BYTES("connect_urls")))
		return info_urls(i, s, t);
	for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
		const struct field *f = &fields[k];

		if (!bytes_eq(key, bytes_str(f->name)))
			continue;
		if (f->flag && (t == JSON_TRUE || t == JSON_FALSE))
			*f->flag = t == JSON_TRUE;
		if (f->text && t == JSON_STRING)
			*f->text = json_unescape(s, NULL);
		if (f->number && t == JSON_NUMBER && !number(s->text, f->number))
			*f->number = 0;
	}
	return json_skip(s, t);
}

int
nats_info_read(struct nats_info *i, struct bytes text)
{
	struct json_scan s;
	enum json_token t;

	*i = (struct nats_info){ 0 };
	json_scan_init(&s, text.p, text.n);
	s.quiet = true;
	if (json_next(&s) != JSON_OBJECT)
		return -1;
	while ((t = json_next(&s)) == JSON_KEY)
		if (!info_field(i, &s, json_unescape(&s, NULL)))
			return -1;
	return t == JSON_OBJECT_END && json_next(&s) == JSON_END ? 0 : -1;
}

/* ---- errors ---- */

/* As Go quotes it: what else it escapes stays so. */
bool
nats_err_subject(struct bytes text, const char *words, struct bytes *subject)
{
	size_t n = strlen(words);
	char *p, *to, *end = (char *)text.p + text.n;

	if (text.n < n || memcmp(text.p, words, n) != 0)
		return false;
	p = memchr(text.p + n, '"', text.n - n);
	if (!p)
		return false;
	subject->p = to = ++p;
	for (; p < end && *p != '"'; p++) {
		if (*p == '\\' && p + 1 < end && (p[1] == '"' || p[1] == '\\'))
			p++;
		*to++ = *p;
	}
	subject->n = (size_t)(to - subject->p);
	return p < end;
}

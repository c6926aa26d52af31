/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go-micro's envelope. See envelope.h.
 *
 * Reading has two ways. What Go programs and we ourselves write has one shape,
 * and read_canonical() takes that apart in one pass; whatever it does not
 * recognise it leaves untouched for read_general(), which is Go's decoder in
 * all its rules. Both must say the same about the same message: the fuzz target
 * holds them against each other.
 */
#include "backends/proto/envelope.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json_plain.h"
#include "core/text.h"

/* ---- headers in order ---- */

/* Up to this many headers are sorted by insertion, and without memory. */
enum { FEW = 32 };

/* bytes_cmp(), which mostly knows by the first byte. */
static inline int
name_cmp(const struct header *a, const struct header *b)
{
	if (a->name.n && b->name.n && *a->name.p != *b->name.p)
		return (unsigned char)*a->name.p - (unsigned char)*b->name.p;
	return bytes_cmp(a->name, b->name);
}

/* Returns whether any name is there twice. */
static bool
insertion_sort(struct header *h, size_t n)
{
	bool twice = false;

	for (size_t i = 1; i < n; i++) {
		struct header moved = h[i];
		size_t j = i;
		int c = -1;

		for (; j && (c = name_cmp(&h[j - 1], &moved)) > 0; j--)
			h[j] = h[j - 1];
		twice = twice || c == 0;
		if (j < i)
			h[j] = moved;
	}
	return twice;
}

/* Bottom up and stable: hostile input may have a million names. tmp has room
 * for n. */
static void
merge_sort(struct header *h, struct header *tmp, size_t n)
{
	for (size_t i = 0; i < n; i += FEW)
		insertion_sort(h + i, n - i < FEW ? n - i : FEW);
	for (size_t width = FEW; width < n; width *= 2) {
		for (size_t i = 0; i + width < n; i += 2 * width) {
			size_t a = 0, b = i + width, o = i;
			size_t end = n - b < width ? n : b + width;

			memcpy(tmp, h + i, width * sizeof *h);
			while (a < width && b < end)
				h[o++] = name_cmp(&tmp[a], &h[b]) <= 0 ? tmp[a++] : h[b++];
			memcpy(h + o, tmp + a, (width - a) * sizeof *h);
		}
	}
}

/* By name, each name once: the last of equals stays. Returns how many are left. */
static size_t
sort_unique(struct header *h, size_t n)
{
	size_t kept = 0;

	if (n <= FEW) {
		if (!insertion_sort(h, n))
			return n;
	} else {
		struct header *tmp = xmalloc(n * sizeof *tmp);

		merge_sort(h, tmp, n);
		free(tmp);
	}
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || !bytes_eq(h[i].name, h[i + 1].name))
			h[kept++] = h[i];
	return kept;
}

/* ---- writing ---- */

static void
write_headers(struct buf *b, const struct header *h, size_t n)
{
	buf_add_ch(b, '{');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_ch(b, ',');
		json_add_go_string(b, h[i].name);
		buf_add_ch(b, ':');
		json_add_go_string(b, h[i].value);
	}
	buf_add_ch(b, '}');
}

void
envelope_write(struct buf *b, const struct message *m, const struct header *extra, size_t nextra)
{
	size_t n = m->nheaders + nextra;
	struct header few[FEW], *h = n > FEW ? xmalloc(n * sizeof *h) : few;

	if (m->nheaders)
		memcpy(h, m->headers, m->nheaders * sizeof *h);
	if (nextra)
		memcpy(h + m->nheaders, extra, nextra * sizeof *h);
	buf_add(b, "{\"Header\":", 10);
	if (n || m->headers)
		write_headers(b, h, sort_unique(h, n));
	else
		buf_add(b, "null", 4);
	if (m->body.p) {
		buf_add(b, ",\"Body\":\"", 9);
		buf_add_base64(b, m->body.p, m->body.n);
		buf_add(b, "\"}", 2);
	} else {
		buf_add(b, ",\"Body\":null}", 13);
	}
	if (h != few)
		free(h);
}

/* ---- memory ---- */

/* What scratch may keep from one message to the next. */
enum { SCRATCH_KEEP = 1 << 20 };

void
envelope_init(struct envelope *e)
{
	e->msg = (struct message){ 0 };
	e->headers = NULL;
	e->cap = 0;
	e->scratch = (struct buf)BUF_INIT;
	e->error[0] = '\0';
}

void
envelope_release(struct envelope *e)
{
	free(e->headers);
	buf_release(&e->scratch);
	envelope_init(e);
}

static struct header *
add_header(struct envelope *e)
{
	if (e->msg.nheaders == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 16;
		e->headers = xrealloc(e->headers, e->cap * sizeof *e->headers);
	}
	return &e->headers[e->msg.nheaders++];
}

/* ---- the canonical form ---- */

/* A string without escapes; p is behind its opening quote. NULL: not that. */
static inline char *
plain_string(struct bytes *s, char *p, const char *end)
{
	bool high = false;
	const char *stop = json_plain(p, end, &high);

	*s = bytes_of(p, (size_t)(stop - p));
	if (stop == end || *stop != '"' || (high && !utf8_valid(s->p, s->n)))
		return NULL;
	return p + s->n + 1;
}

/* "name":"value", in strictly rising order; p is at the brace, and something is
 * behind it. Returns behind the closing brace, or NULL. */
static char *
canonical_headers(struct envelope *e, char *p, const char *end)
{
	if (p[1] == '}')
		return p + 2;
	do {
		struct header *h = add_header(e);

		if (end - p < 6 || p[1] != '"')
			return NULL;
		p = plain_string(&h->name, p + 2, end);
		if (!p || end - p < 3 || p[0] != ':' || p[1] != '"')
			return NULL;
		p = plain_string(&h->value, p + 2, end);
		if (!p || p == end || (e->msg.nheaders > 1 && name_cmp(h - 1, h) >= 0))
			return NULL;
	} while (*p == ',');
	return *p == '}' ? p + 1 : NULL;
}

/* Base64 in place, without line breaks: JSON strings have none that are raw. */
static bool
canonical_body(struct envelope *e, char *p, size_t n)
{
	size_t plain = base64_decode_groups(p, p, n), last = 0;

	e->msg.body = bytes_of(p, plain / 4 * 3);
	if (plain == n)
		return true;
	if (n - plain == 4 && p[plain] != '\r' && p[plain] != '\n' &&
	    base64_decode(p + plain / 4 * 3, &last, p + plain, 4)) {
		e->msg.body.n += last;
		return true;
	}
	/* Not so plain after all (an escaped slash, say): put it back. */
	buf_clear(&e->scratch);
	buf_add_base64(&e->scratch, p, plain / 4 * 3);
	if (plain)
		memcpy(p, buf_data(&e->scratch), plain);
	return false;
}

/* false: it has another shape, and p is as it was. */
static bool
read_canonical(struct envelope *e, char *p, size_t n)
{
	char *end = p + n;

	if (n < 25 || memcmp(p, "{\"Header\":", 10) != 0 || end[-1] != '}')
		return false;
	p += 10;
	if (*p == '{') {
		p = canonical_headers(e, p, end);
		if (!p)
			return false;
		e->msg.headers = e->headers;
	} else if (memcmp(p, "null", 4) == 0) {
		p += 4;
	} else {
		return false;
	}
	if (end - p < 11 || memcmp(p, ",\"Body\":", 8) != 0)
		return false;
	p += 8;
	if (*p == '"' && end[-2] == '"')
		return canonical_body(e, p + 1, (size_t)(end - p) - 3);
	return end - p == 5 && memcmp(p, "null", 4) == 0;
}

/* ---- anything that Go's decoder takes ---- */

static const char *
type_name(enum json_token t)
{
	switch (t) {
	case JSON_OBJECT: return "object";
	case JSON_ARRAY: return "array";
	case JSON_STRING: return "string";
	case JSON_NUMBER: return "number";
	case JSON_NULL: return "null";
	default: return "bool";
	}
}

/* Go goes on after a value of the wrong type and reports the first of them, if
 * no syntax error follows. Skips the value. */
static void
wrong_type(struct envelope *e, enum json_token t, const char *into)
{
	if (!e->error[0])
		snprintf(e->error, sizeof e->error, "json: cannot unmarshal %s into Go %s",
			type_name(t), into);
	json_skip(&e->scan, t);
}

/* The decoded text of a header's name or value. */
static struct bytes
header_text(struct envelope *e)
{
	struct json_scan *s = &e->scan;

	/* Headers borrow from scratch, so it must not move once in use: at its
	 * first use it gets room for all that can still come. */
	if (!s->ascii && buf_len(&e->scratch) == 0 && !utf8_valid(s->text.p, s->text.n))
		buf_room(&e->scratch, 3 * (size_t)(s->end - s->text.p));
	return json_unescape(s, &e->scratch);
}

/* The scanner is behind the brace. false: syntax error. */
static bool
read_headers(struct envelope *e)
{
	enum json_token t;

	while ((t = json_next(&e->scan)) == JSON_KEY) {
		struct header *h = add_header(e);

		h->name = header_text(e);
		h->value = BYTES("");
		t = json_next(&e->scan);
		if (t == JSON_STRING)
			h->value = header_text(e);
		else if (t == JSON_ERROR)
			return false;
		else if (t != JSON_NULL)
			wrong_type(e, t, "struct field Message.Header of type string");
	}
	return t == JSON_OBJECT_END;
}

static void
read_body_string(struct envelope *e)
{
	struct bytes s = json_unescape(&e->scan, NULL);
	size_t len;

	if (base64_decode((char *)s.p, &len, s.p, s.n))
		e->msg.body = bytes_of(s.p, len);
	else if (!e->error[0])
		snprintf(e->error, sizeof e->error, "illegal base64 data at input byte %zu", len);
}

/* A whole number below 256; its text comes from the scanner. */
static bool
byte_value(struct bytes text, unsigned *v)
{
	*v = 0;
	if (text.n > 3)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		*v = *v * 10 + (unsigned)(text.p[i] - '0');
	}
	return *v < 256;
}

/* [104,105]: in place, as each number's text is longer than its byte. The
 * scanner is behind the bracket. false: syntax error. (A null in it is a zero;
 * in Go a byte of an earlier Body of the same message shows through.) */
static bool
read_body_array(struct envelope *e)
{
	static const char into[] = "struct field Message.Body of type uint8";
	char *begin = (char *)e->scan.p - 1, *out = begin;
	enum json_token t;
	unsigned v;

	while ((t = json_next(&e->scan)) != JSON_ARRAY_END) {
		v = 0;
		if (t == JSON_ERROR)
			return false;
		if (t == JSON_NUMBER && !byte_value(e->scan.text, &v)) {
			if (!e->error[0])
				snprintf(e->error, sizeof e->error,
					"json: cannot unmarshal number %.*s into Go %s",
					BYTES_FMT(e->scan.text), into);
		} else if (t != JSON_NUMBER && t != JSON_NULL) {
			wrong_type(e, t, into);
		}
		*out++ = (char)v;
	}
	e->msg.body = bytes_of(begin, (size_t)(out - begin));
	return true;
}

static bool
read_header_field(struct envelope *e, enum json_token t)
{
	if (t == JSON_OBJECT) {
		e->msg.headers = e->headers;	/* there, even if none comes */
		return read_headers(e);
	}
	if (t == JSON_NULL) {
		e->msg.headers = NULL;
		e->msg.nheaders = 0;
	} else {
		wrong_type(e, t, "struct field Message.Header of type map[string]string");
	}
	return true;
}

static bool
read_body_field(struct envelope *e, enum json_token t)
{
	if (t == JSON_ARRAY)
		return read_body_array(e);
	if (t == JSON_STRING)
		read_body_string(e);
	else if (t == JSON_NULL)
		e->msg.body = bytes_of(NULL, 0);
	else
		wrong_type(e, t, "struct field Message.Body of type []uint8");
	return true;
}

/* Go folds as Unicode does; none of these letters has a partner beyond ASCII. */
static bool
is_key(struct bytes key, const char *lower, size_t n)
{
	if (key.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((key.p[i] | 0x20) != lower[i])
			return false;
	return true;
}

static bool
read_fields(struct envelope *e)
{
	enum json_token t;

	while ((t = json_next(&e->scan)) == JSON_KEY) {
		struct bytes key = json_unescape(&e->scan, NULL);
		bool ok;

		t = json_next(&e->scan);
		if (t == JSON_ERROR)
			return false;
		if (is_key(key, "header", 6))
			ok = read_header_field(e, t);
		else if (is_key(key, "body", 4))
			ok = read_body_field(e, t);
		else
			ok = json_skip(&e->scan, t);
		if (!ok)
			return false;
	}
	return t == JSON_OBJECT_END;
}

static int
read_general(struct envelope *e, char *p, size_t n)
{
	struct json_scan *s = &e->scan;
	enum json_token t;

	json_scan_init(s, p, n);
	t = json_next(s);
	if (t == JSON_OBJECT)
		read_fields(e);
	else if (t != JSON_ERROR)
		wrong_type(e, t, "value of type broker.Message");
	/* A syntax error, here or before, is what Go sees first. */
	if (json_next(s) != JSON_END)
		snprintf(e->error, sizeof e->error, "%s", s->error);
	if (e->error[0])
		return -1;
	if (e->msg.headers) {
		e->msg.headers = e->headers;	/* it may have moved since */
		e->msg.nheaders = sort_unique(e->headers, e->msg.nheaders);
	}
	return 0;
}

int
envelope_read(struct envelope *e, char *p, size_t n)
{
	e->msg = (struct message){ 0 };
	e->error[0] = '\0';
	if (e->scratch.cap > SCRATCH_KEEP)
		buf_release(&e->scratch);
	buf_clear(&e->scratch);
	if (!e->headers) {
		/* So that an empty set of headers is there, and not null. */
		add_header(e);
		e->msg.nheaders = 0;
	}
	if (read_canonical(e, p, n))
		return 0;
	e->msg = (struct message){ 0 };
	buf_clear(&e->scratch);
	return read_general(e, p, n);
}

/* ---- is it one? ---- */

/* One character of a base64 string as JSON may have it (PHP writes "\/"): -1 for
 * a line break, which does not count; 0 for what base64 does not have. */
static int
next_char(const char **p)
{
	char c = *(*p)++;
	unsigned v = 0;

	if (c != '\\')
		return (unsigned char)c;
	c = *(*p)++;
	if (c == 'n' || c == 'r')
		return -1;
	if (c != 'u')
		return c == '/' ? '/' : 0;
	for (int i = 0; i < 4; i++) {
		c = *(*p)++;
		v = v << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v == '\n' || v == '\r' ? -1 : v < 0x80 ? (int)v : 0;
}

/* Piece by piece on the stack, as the text is not ours to write on. */
static bool
is_base64(struct bytes text, bool escaped)
{
	const char *p = text.p, *end = p + text.n;
	char piece[1024];
	bool padded = false;

	while (p < end) {
		const char *from = p;
		size_t n = 0, len;
		int c;

		if (escaped) {
			while (n < sizeof piece && p < end)
				if ((c = next_char(&p)) >= 0)
					piece[n++] = (char)c;
			from = piece;
		} else {
			n = (size_t)(end - p) < sizeof piece ? (size_t)(end - p) : sizeof piece;
			p += n;
		}
		if ((padded && n) || !base64_decode(piece, &len, from, n))
			return false;
		padded = padded || len < n / 4 * 3;
	}
	return true;
}

static bool
only_strings(struct json_scan *s)
{
	enum json_token t;

	while ((t = json_next(s)) == JSON_KEY)
		if (json_next(s) != JSON_STRING)
			return false;
	return t == JSON_OBJECT_END;
}

bool
envelope_looks_like(const char *p, size_t n)
{
	bool header = false, body = false;
	struct json_scan s;
	enum json_token t;

	json_scan_init(&s, p, n);
	s.quiet = true;
	if (json_next(&s) != JSON_OBJECT)
		return false;
	while ((t = json_next(&s)) == JSON_KEY) {
		struct bytes key = s.text;

		t = json_next(&s);
		if (bytes_eq(key, BYTES("Header")) && !header) {
			header = true;
			if (t != JSON_NULL && (t != JSON_OBJECT || !only_strings(&s)))
				return false;
		} else if (bytes_eq(key, BYTES("Body")) && !body) {
			body = true;
			if (t != JSON_NULL && (t != JSON_STRING || !is_base64(s.text, s.escaped)))
				return false;
		} else {
			return false;
		}
	}
	return t == JSON_OBJECT_END && header && body && json_next(&s) == JSON_END;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format strings, run: each event through the steps of a format_program.
 *
 * What most formats are made of (a literal, a topic, a key, a body as it is) goes
 * straight into the output. The rest is made in the program's own buffers first, to be
 * cut, encoded, padded and, on a terminal, made harmless.
 */
#include <strings.h>
#include <time.h>

#include "cli/format_program.h"
#include "core/json.h"
#include "core/text.h"

/* ---- what an event has ---- */

/* Exactly that name, else one that differs in case only: go-micro's http writes
 * "Content-Type", another publisher "content-type". */
static struct bytes
header_value(const struct message *m, struct bytes name)
{
	const struct header *h = message_header(m, name);

	for (size_t i = 0; !h && i < m->nheaders; i++)
		if (m->headers[i].name.n == name.n &&
		    strncasecmp(m->headers[i].name.p, name.p, name.n) == 0)
			h = &m->headers[i];
	return h ? h->value : bytes_of(NULL, 0);
}

static struct bytes
field_bytes(struct formatter *f, const struct format_step *s, const struct event *ev,
	const struct header *h)
{
	static const char *const kinds[] = {
		[EVENT_TIME_RECV] = "recv", [EVENT_TIME_CREATE] = "create",
		[EVENT_TIME_APPEND] = "append", [EVENT_TIME_NONE] = NULL,
	};

	switch (s->field) {
	case FIELD_LITERAL:
		return s->text;
	case FIELD_TOPIC:
		return ev->topic;
	case FIELD_BODY:
		return ev->msg.body;
	case FIELD_KEY:
		return ev->msg.key;
	case FIELD_HEADER:
		return header_value(&ev->msg, s->text);
	case FIELD_NAME:
		return h->name;
	case FIELD_VALUE:
		return h->value;
	case FIELD_CONTENT_TYPE:
		return ev->props.content_type.p ? ev->props.content_type :
			header_value(&ev->msg, BYTES("Content-Type"));
	case FIELD_REPLY:
		return ev->props.reply_to;
	case FIELD_CORRELATION:
		return ev->props.correlation;
	case FIELD_ID:
		return ev->id;
	case FIELD_WIRE:
		return ev->wire == EVENT_WIRE_MICRO ? BYTES("micro") : BYTES("raw");
	case FIELD_TIME_KIND:
		return bytes_str(kinds[ev->time_kind]);
	case FIELD_BROKER:
		return bytes_str(f->broker);
	}
	return bytes_of(NULL, 0);
}

/* -1: there is no such thing. */
static int64_t
field_number(const struct format_step *s, const struct event *ev, uint64_t n)
{
	switch (s->field) {
	case FIELD_BODY_LEN:
		return ev->msg.body.p ? (int64_t)ev->msg.body.n : -1;
	case FIELD_KEY_LEN:
		return ev->msg.key.p ? (int64_t)ev->msg.key.n : -1;
	case FIELD_TIME_MS:
		return ev->time_kind == EVENT_TIME_NONE ? -1 : ev->time_us / 1000;
	case FIELD_PARTITION:
		return ev->partition;
	case FIELD_OFFSET:
		return ev->offset;
	case FIELD_QOS:
		return ev->qos;
	case FIELD_RETAIN:
		return ev->retain;
	case FIELD_TTL:
		return ev->props.ttl_ms;
	case FIELD_COUNT:
		return (int64_t)n;
	}
	return -1;
}

static void
add_number(struct buf *out, int64_t v)
{
	if (v < 0)
		buf_add_ch(out, '-');
	buf_add_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

/* ---- lists of headers ---- */

/* In %h: what would be taken for the end of a name, a value or a line. */
static void
add_escaped(struct buf *out, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		char c = b.p[i];

		if (c == '\n' || c == '\r') {
			buf_add_ch(out, '\\');
			buf_add_ch(out, c == '\n' ? 'n' : 'r');
			continue;
		}
		if (c == '\\' || c == ',' || c == '=')
			buf_add_ch(out, '\\');
		buf_add_ch(out, c);
	}
}

static void
add_headers(struct buf *out, const struct message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		if (i)
			buf_add_ch(out, ',');
		add_escaped(out, m->headers[i].name);
		if (!m->headers[i].value.p)
			continue;
		buf_add_ch(out, '=');
		add_escaped(out, m->headers[i].value);
	}
}

static void
add_pairs(struct buf *out, const struct message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		if (i)
			buf_add_ch(out, ' ');
		buf_add_bytes(out, m->headers[i].name);
		buf_add_ch(out, ':');
		buf_add_bytes(out, m->headers[i].value);
	}
}

/* ---- times ---- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"	/* the user's, looked at before */
static void
times_set(struct format_times *t, int64_t second)
{
	time_t when = (time_t)second;
	struct tm tm;

	if (!(t->local ? localtime_r(&when, &tm) : gmtime_r(&when, &tm)))
		memset(&tm, 0, sizeof tm);
	for (size_t i = 0; i < t->n; i++) {
		struct format_part *p = &t->part[i];

		if (p->strftime)
			p->len = strftime(p->text, p->size, p->strftime, &tm);
	}
	t->second = second;
	t->set = true;
}
#pragma GCC diagnostic pop

static void
add_times(struct buf *out, struct format_times *t, int64_t time_us)
{
	int64_t second = time_us / 1000000, us = time_us % 1000000;

	if (us < 0) {
		us += 1000000;
		second--;
	}
	if (!t->set || t->second != second)
		times_set(t, second);
	for (size_t i = 0; i < t->n; i++) {
		const struct format_part *p = &t->part[i];
		char digits[9];

		if (p->strftime) {
			buf_add(out, p->text, p->len);
			continue;
		}
		if (!p->digits) {
			add_number(out, second);
			continue;
		}
		memset(digits, '0', sizeof digits);
		for (int64_t d = 5, v = us; d >= 0; d--, v /= 10)
			digits[d] = (char)('0' + v % 10);
		buf_add(out, digits, p->digits);
	}
}

/* ---- writing ---- */

static void
add_int(struct buf *out, const struct format_step *s, int64_t v)
{
	char *p = buf_room(out, s->size);

	for (unsigned i = 0; i < s->size; i++)
		p[s->little ? i : s->size - 1 - i] = (char)((uint64_t)v >> 8 * i);
	buf_added(out, s->size);
}

static void
add_hex(struct buf *out, struct bytes b, bool upper)
{
	char *p = buf_room(out, b.n * 2 + 1);

	hex_encode(p, b.p, b.n);
	for (size_t i = 0; upper && i < b.n * 2; i++)
		p[i] = (char)(p[i] >= 'a' ? p[i] - 'a' + 'A' : p[i]);
	buf_added(out, b.n * 2);
}

static void
add_encoded(struct buf *out, unsigned encoding, struct bytes b)
{
	switch (encoding) {
	case ENCODE_HEX:
	case ENCODE_HEX_UPPER:
		add_hex(out, b, encoding == ENCODE_HEX_UPPER);
		break;
	case ENCODE_BASE64:
		buf_add_base64(out, b.p, b.n);
		break;
	case ENCODE_JSON:
		format_add_json(out, b);
		break;
	case ENCODE_SHELL:
		format_add_shell(out, b);
		break;
	default:
		buf_add_bytes(out, b);
	}
}

/* How many bytes the first n characters take; what is no UTF-8 is a character a byte. */
static size_t
characters(struct bytes b, size_t n, size_t *count)
{
	size_t at = 0, i = 0;

	for (; at < b.n && i < n; i++) {
		unsigned len = utf8_seq(b.p + at, b.n - at);

		at += len ? len : 1;
	}
	*count = i;
	return at;
}

static void
add_fill(struct buf *out, char c, size_t n)
{
	if (!n)
		return;
	memset(buf_room(out, n), c, n);
	buf_added(out, n);
}

static void
add_padded(struct formatter *f, struct buf *out, const struct format_step *s, struct bytes b)
{
	size_t count = 0, pad, sign = 0;

	if (!b.p)
		b = BYTES("");
	if (s->precision != SIZE_MAX)
		b.n = characters(b, s->precision, &count);
	else if (s->width)
		characters(b, SIZE_MAX, &count);
	pad = s->width > count ? s->width - count : 0;
	if (s->left) {
		format_add_shown(f, out, b);
		add_fill(out, ' ', pad);
		return;
	}
	/* Zeros go behind the sign of a number. */
	if (s->zero && s->field >= FIELD_FIRST_NUMBER && b.n && *b.p == '-') {
		buf_add_ch(out, '-');
		sign = 1;
	}
	add_fill(out, s->zero ? '0' : ' ', pad);
	format_add_shown(f, out, bytes_of(b.p + sign, b.n - sign));
}

static void run(struct formatter *, struct format_program *, struct buf *, const struct event *,
	uint64_t n, const struct header *);

/* What is more than bytes that are there: made in scratch. */
static void
add_made(struct formatter *f, struct format_program *p, struct buf *out,
	const struct format_step *s, const struct event *ev, uint64_t n, const struct header *h)
{
	struct bytes b;

	buf_clear(&p->scratch);
	buf_clear(&p->encoded);
	if (s->field == FIELD_HEADERS) {
		add_headers(&p->scratch, &ev->msg);
	} else if (s->field == FIELD_PAIRS) {
		add_pairs(&p->scratch, &ev->msg);
	} else if (s->field == FIELD_TIME) {
		if (ev->time_kind != EVENT_TIME_NONE)
			add_times(&p->scratch, s->times, ev->time_us);
	} else if (s->field == FIELD_JSON || s->field == FIELD_JSON_BODY) {
		format_add_json_event(f, &p->scratch, ev, n, s->field == FIELD_JSON_BODY);
	} else if (s->field >= FIELD_FIRST_NUMBER) {
		add_number(&p->scratch, field_number(s, ev, n));
	}
	b = s->field >= FIELD_HEADERS && (s->field <= FIELD_PAIRS || s->field >= FIELD_TIME) ?
		buf_bytes(&p->scratch) : field_bytes(f, s, ev, h);
	if (b.n > s->trunc) {
		b.n = s->trunc;
		while (b.n && (b.p[b.n] & 0xc0) == 0x80)
			b.n--;
	}
	if (s->encoding == ENCODE_JSON && s->field >= FIELD_FIRST_NUMBER) {
		add_padded(f, out, s, b);
	} else if (s->encoding != ENCODE_PLAIN) {
		add_encoded(&p->encoded, s->encoding, b);
		add_padded(f, out, s, buf_bytes(&p->encoded));
	} else {
		add_padded(f, out, s, b);
	}
}

static void
run(struct formatter *f, struct format_program *p, struct buf *out, const struct event *ev,
	uint64_t n, const struct header *h)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct format_step *s = &p->steps[i];

		if (s->field == FIELD_LITERAL) {
			buf_add_bytes(out, s->text);
		} else if (s->field == FIELD_EACH) {
			for (size_t j = 0; j < ev->msg.nheaders; j++)
				run(f, s->each, out, ev, n, &ev->msg.headers[j]);
		} else if (s->field >= FIELD_FIRST_NUMBER && s->plain) {
			add_number(out, field_number(s, ev, n));
		} else if (s->encoding == ENCODE_INT) {
			add_int(out, s, field_number(s, ev, n));
		} else if (s->plain && !f->terminal && s->field <= FIELD_KEY) {
			buf_add_bytes(out, s->field == FIELD_TOPIC ? ev->topic :
				s->field == FIELD_BODY ? ev->msg.body : ev->msg.key);
		} else {
			add_made(f, p, out, s, ev, n, h);
		}
	}
}

static void
string_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	run(f, f->program, out, ev, n, NULL);
	buf_add_bytes(out, f->end);
}

const struct format format_string = { .name = "string", .add = string_add };

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events for people. It looks like an HTTP message: a status line, header lines,
 * an empty line, the body, an empty line.
 *
 *	#1 orders  2026-11-21T07:21:16.323Z  11 B
 *	content-type: text/plain
 *
 *	hello world
 *
 * The status line says how long the body is; the body stands as it is, from
 * column 0, so that it can be copied. What is not text is shown as a hex dump.
 * On a terminal, control characters are shown as \xNN, for what a peer sends must
 * not move the cursor; into a pipe they go as they are.
 */
#include "cli/format.h"
#include "cli/json_show.h"
#include "core/json.h"
#include "core/text.h"

#define ADD(out, lit) buf_add(out, "" lit, sizeof(lit) - 1)

enum { DUMP_WIDTH = 16 };

static void
color(struct formatter *f, struct buf *out, const char *sgr)
{
	if (f->color)
		buf_add_str(out, sgr);
}

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

/* One line's worth of somebody else's bytes: newlines never break the layout. */
static void
add_line(struct formatter *f, struct buf *out, struct bytes b)
{
	const char *p = b.p, *end = b.p + b.n;

	while (p < end) {
		unsigned len = utf8_seq(p, (size_t)(end - p));

		if (*p == '\n') {
			ADD(out, "\\n");
		} else if (*p == '\r') {
			ADD(out, "\\r");
		} else if (f->terminal && (!len || !utf8_is_shown(p, len)) && *p != '\t') {
			len = len ? len : 1;
			for (unsigned i = 0; i < len; i++)
				format_add_hex_escape(out, (unsigned char)p[i]);
		} else {
			buf_add(out, p, len ? len : 1);
		}
		p += len ? len : 1;
	}
}

/* ---- the body ---- */

enum body_kind { BODY_TEXT, BODY_BINARY };

/* Text: UTF-8 with no other controls than those that text files have (BEL to CR,
 * ESC). With U+0085, NEL, the one C1 control that texts have. */
static enum body_kind
body_kind(struct bytes b)
{
	if (!utf8_valid(b.p, b.n))
		return BODY_BINARY;
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		if (c >= 0x20 && c < 0x7f)
			continue;
		if (c < 7 || (c > 13 && c < 0x20 && c != 0x1b) || c == 0x7f)
			return BODY_BINARY;
		if (c == 0xc2 && (unsigned char)b.p[i + 1] < 0xa0 &&
		    (unsigned char)b.p[i + 1] != 0x85)
			return BODY_BINARY;
	}
	return BODY_TEXT;
}

static void
add_dump_line(struct buf *out, size_t offset, const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char line[8 + 2 + 3 * DUMP_WIDTH + 1 + 2 + DUMP_WIDTH + 2], *at = line;

	for (int shift = 28; shift >= 0; shift -= 4)
		*at++ = digits[offset >> shift & 15];
	*at++ = ' ';
	for (size_t i = 0; i < DUMP_WIDTH; i++) {
		if (i % 8 == 0)
			*at++ = ' ';
		*at++ = i < n ? digits[p[i] >> 4] : ' ';
		*at++ = i < n ? digits[p[i] & 15] : ' ';
		*at++ = ' ';
	}
	*at++ = ' ';
	*at++ = '|';
	for (size_t i = 0; i < n; i++)
		*at++ = p[i] >= 0x20 && p[i] < 0x7f ? (char)p[i] : '.';
	*at++ = '|';
	*at++ = '\n';
	buf_add(out, line, (size_t)(at - line));
}

static void
add_dump(struct buf *out, struct bytes b)
{
	for (size_t i = 0; i < b.n; i += DUMP_WIDTH)
		add_dump_line(out, i, (const unsigned char *)b.p + i,
			b.n - i < DUMP_WIDTH ? b.n - i : DUMP_WIDTH);
}

/* A number or a word alone needs no colours. */
static bool
is_document(struct bytes b)
{
	size_t i = 0;

	while (i < b.n && b.p[i] && strchr(" \t\r\n", b.p[i]))
		i++;
	return i < b.n && (b.p[i] == '{' || b.p[i] == '[') && json_valid(b.p, b.n);
}

static void
add_body(struct formatter *f, struct buf *out, struct bytes b, enum body_kind kind)
{
	struct bytes shown = b;

	if (!b.p) {
		ADD(out, "(null)\n");
		return;
	}
	if (!b.n) {
		ADD(out, "(empty)\n");
		return;
	}
	if (shown.n > f->max_body) {
		shown.n = (size_t)f->max_body;
		/* Whole characters. */
		while (kind == BODY_TEXT && shown.n && (b.p[shown.n] & 0xc0) == 0x80)
			shown.n--;
	}
	if (kind == BODY_BINARY)
		add_dump(out, shown);
	else if (shown.n == b.n && (f->color || f->pretty) && is_document(b))
		json_show(out, b, f->pretty ? JSON_PRETTY : JSON_KEEP, f->color);
	else
		format_add_shown(f, out, shown);
	if (shown.n && buf_data(out)[buf_len(out) - 1] != '\n')
		buf_add_ch(out, '\n');
	if (shown.n == b.n)
		return;
	color(f, out, DIM);
	ADD(out, "... ");
	buf_add_u64(out, b.n - shown.n);
	ADD(out, " more bytes (--max-body all, --raw, or -J for everything)");
	color(f, out, PLAIN);
	buf_add_ch(out, '\n');
}

/* ---- the whole ---- */

static void
add_property(struct formatter *f, struct buf *out, const char *name, struct bytes b)
{
	if (!b.p)
		return;
	buf_addf(out, "  %s=", name);
	if (utf8_valid(b.p, b.n)) {
		add_line(f, out, b);
		return;
	}
	for (size_t i = 0; i < b.n; i++)
		format_add_hex_escape(out, (unsigned char)b.p[i]);
}

static void
add_status(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n,
	enum body_kind kind)
{
	color(f, out, DIM);
	buf_add_ch(out, '#');
	buf_add_u64(out, n);
	buf_add_ch(out, ' ');
	color(f, out, PLAIN BOLD);
	add_line(f, out, ev->topic);
	color(f, out, PLAIN DIM);
	if (ev->partition >= 0) {
		buf_add_ch(out, '[');
		buf_add_u64(out, (uint64_t)ev->partition);
		buf_add_ch(out, ']');
	}
	if (ev->offset >= 0) {
		buf_add_ch(out, '@');
		buf_add_u64(out, (uint64_t)ev->offset);
	} else if (ev->id.p) {
		buf_add_ch(out, '@');
		add_line(f, out, ev->id);
	}
	if (ev->msg.key.p) {
		ADD(out, "  key=");
		add_line(f, out, ev->msg.key);
	}
	if (ev->qos >= 0) {
		ADD(out, "  qos=");
		buf_add_u64(out, (uint64_t)ev->qos);
	}
	if (ev->retain)
		buf_add_str(out, ev->qos >= 0 ? " retain" : "  retain");
	add_property(f, out, "type", ev->props.content_type);
	add_property(f, out, "reply", ev->props.reply_to);
	add_property(f, out, "correlation", ev->props.correlation);
	if (ev->props.ttl_ms >= 0)
		buf_addf(out, "  ttl=%gs", (double)ev->props.ttl_ms / 1000);
	if (ev->time_kind != EVENT_TIME_NONE) {
		ADD(out, "  ");
		format_add_time(&f->stamp, out, ev->time_us, 3);
	}
	if (ev->msg.body.p) {
		ADD(out, "  ");
		buf_add_u64(out, ev->msg.body.n);
		ADD(out, " B");
	} else {
		ADD(out, "  null");
	}
	if (kind == BODY_BINARY)
		ADD(out, " binary");
	color(f, out, PLAIN);
	buf_add_ch(out, '\n');
}

static void
text_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	const struct message *m = &ev->msg;
	enum body_kind kind = m->body.n ? body_kind(m->body) : BODY_TEXT;

	add_status(f, out, ev, n, kind);
	for (size_t i = 0; i < m->nheaders; i++) {
		color(f, out, DIM);
		add_line(f, out, m->headers[i].name);
		if (m->headers[i].value.p) {
			ADD(out, ":");
			color(f, out, PLAIN);
			buf_add_ch(out, ' ');
			add_line(f, out, m->headers[i].value);
		} else {
			ADD(out, " (null)");
			color(f, out, PLAIN);
		}
		buf_add_ch(out, '\n');
	}
	buf_add_ch(out, '\n');
	add_body(f, out, m->body, kind);
	buf_add_ch(out, '\n');
}

const struct format format_text = { .name = "text", .add = text_add };

/* SPDX-License-Identifier: Apache-2.0 */
/* The formats that print little, and what the others share: see format.h. */
#include "cli/format.h"

#include <stdio.h>
#include <time.h>

#include "core/text.h"
#include "core/units.h"

/* Both ends of the years that have four digits. */
#define YEAR_10000 INT64_C(253402300800)

static void
stamp_set(struct format_stamp *s, int64_t second)
{
	struct buf text = BUF_INIT;
	time_t when = (time_t)second;
	struct tm tm;
	long offset = 0;

	strcpy(s->zone, "Z");
	if (s->local && localtime_r(&when, &tm)) {
		long minutes = (tm.tm_gmtoff < 0 ? -tm.tm_gmtoff : tm.tm_gmtoff) / 60 % (24 * 60);

		offset = tm.tm_gmtoff;
		s->zone[0] = offset < 0 ? '-' : '+';
		snprintf(s->zone + 1, sizeof s->zone - 1, "%02u:%02u", (unsigned)(minutes / 60 % 24),
			(unsigned)(minutes % 60));
	}
	units_add_time_us(&text, (second + offset) * 1000000);
	memcpy(s->text, buf_data(&text), sizeof s->text - 1);
	buf_release(&text);
	s->second = second;
	s->set = true;
}

void
format_add_time(struct format_stamp *s, struct buf *out, int64_t time_us, unsigned digits)
{
	int64_t second = time_us / 1000000;
	uint32_t fraction;
	char *p;

	/* Rare: go the long way. (In the last day the local year may have five digits.) */
	if (time_us < 0 || second >= YEAR_10000 - 86400) {
		if (digits == 3)
			units_add_time_ms(out, time_us);
		else
			units_add_time_us(out, time_us);
		return;
	}
	if (!s->set || second != s->second)
		stamp_set(s, second);
	fraction = (uint32_t)(time_us % 1000000);
	if (digits == 3)
		fraction /= 1000;
	p = buf_room(out, sizeof s->text + digits);
	memcpy(p, s->text, sizeof s->text - 1);
	p += sizeof s->text - 1;
	for (unsigned i = digits; i-- > 0; fraction /= 10)
		p[i] = (char)('0' + fraction % 10);
	buf_added(out, sizeof s->text - 1 + digits);
	buf_add_str(out, s->zone);
}

void
format_add_hex_escape(struct buf *out, unsigned char c)
{
	buf_add_str(out, "\\x");
	hex_encode(buf_room(out, 2), &c, 1);
	buf_added(out, 2);
}

void
format_add_shown(struct formatter *f, struct buf *out, struct bytes b)
{
	const char *p = b.p, *end = (const char *)((uintptr_t)p + b.n), *from = p;

	while (f->terminal && p < end) {
		unsigned len = utf8_seq(p, (size_t)(end - p));

		if ((len && utf8_is_shown(p, len)) || *p == '\n' || *p == '\t' ||
		    (*p == '\r' && end - p > 1 && p[1] == '\n')) {
			p += len;
			continue;
		}
		buf_add(out, from, (size_t)(p - from));
		len = len ? len : 1;
		for (unsigned i = 0; i < len; i++)
			format_add_hex_escape(out, (unsigned char)p[i]);
		p += len;
		from = p;
	}
	buf_add(out, from, (size_t)(end - from));
}

/* A word of the shell that is these bytes. In plain quotes where that shows them;
 * $'...' (POSIX since 2024, bash, zsh, ksh, busybox) where a line would not stay a line,
 * or a terminal would do something. */
void
format_add_shell(struct buf *out, struct bytes b)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789@%+=:,./_-";
	bool plain = b.n > 0, quotes = true;
	const char *p = b.p, *end = (const char *)((uintptr_t)p + b.n);

	for (unsigned len; p < end && quotes; p += len) {
		len = utf8_seq(p, (size_t)(end - p));
		quotes = len && utf8_is_shown(p, len);
		plain = plain && len == 1 && strchr(safe, *p);
		len = len ? len : 1;
	}
	if (plain && quotes) {
		buf_add_bytes(out, b);
		return;
	}
	buf_add_str(out, quotes ? "'" : "$'");
	for (p = b.p; p < end;) {
		unsigned len = utf8_seq(p, (size_t)(end - p));
		bool as_is = len && utf8_is_shown(p, len);

		len = len ? len : 1;
		if (*p == '\'') {
			buf_add_str(out, quotes ? "'\\''" : "\\'");
		} else if (!quotes && *p == '\\') {
			buf_add_str(out, "\\\\");
		} else if (as_is) {
			buf_add(out, p, len);
		} else if (*p == '\n' || *p == '\t' || *p == '\r') {
			buf_add_ch(out, '\\');
			buf_add_ch(out, *p == '\n' ? 'n' : *p == '\t' ? 't' : 'r');
		} else {
			for (unsigned i = 0; i < len; i++)
				buf_addf(out, "\\%03o", (unsigned char)p[i]);
		}
		p += len;
	}
	buf_add_ch(out, '\'');
}

static void
body_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	struct bytes end = f->end.p ? f->end : BYTES("\n");

	(void)n;
	buf_room(out, ev->msg.body.n + end.n);
	if (f->terminal)
		format_add_shown(f, out, ev->msg.body);
	else
		buf_add_bytes(out, ev->msg.body);
	buf_add_bytes(out, end);
}

static void
raw_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	(void)n;
	format_add_shown(f, out, ev->msg.body);
	buf_add_bytes(out, f->end);
}

static void
hex_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	size_t len = ev->msg.body.n * 2;

	(void)n;
	hex_encode(buf_room(out, len + 1), ev->msg.body.p, ev->msg.body.n);
	buf_added(out, len);
	buf_add_bytes(out, f->end.p ? f->end : BYTES("\n"));
}

/* As it is where it cannot be mistaken for anything else: without what would end the
 * field or the line or act on a terminal. Not there is "-". */
static void
add_column(struct buf *out, struct bytes b)
{
	const char *p = b.p, *end = b.p + b.n;
	unsigned len;

	if (!b.p) {
		buf_add_ch(out, '-');
		return;
	}
	while (p < end && (len = utf8_seq(p, (size_t)(end - p))) && utf8_is_shown(p, len))
		p += len;
	if (p < end || !b.n || *b.p == '\'' || bytes_eq(b, BYTES("-")) ||
	    (b.n > 1 && b.p[0] == '$' && b.p[1] == '\''))
		format_add_shell(out, b);
	else
		buf_add_bytes(out, b);
}

static void
line_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	(void)n;
	add_column(out, ev->topic);
	buf_add_ch(out, '\t');
	add_column(out, ev->msg.key);
	buf_add_ch(out, '\t');
	add_column(out, ev->msg.body);
	buf_add_bytes(out, f->end.p ? f->end : BYTES("\n"));
}

const struct format format_body = { .name = "body", .add = body_add };
const struct format format_raw = { .name = "raw", .add = raw_add };
const struct format format_hex = { .name = "hex", .add = hex_add };
const struct format format_line = { .name = "line", .add = line_add };

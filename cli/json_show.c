/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for people: see json_show.h. The text is known to be valid, so that one look at
 * each byte outside of strings says what it is. */
#include "cli/json_show.h"

#include "core/text.h"

enum { INDENT = 2, INDENT_MAX = 64 };	/* deeper levels are indented no more */

#define KEY "\033[34m"
#define STRING "\033[32m"
#define NUMBER "\033[36m"
#define WORD "\033[33m"
#define PLAIN "\033[0m"

struct shower {
	struct buf *out;
	const char *p, *end;
	enum json_space space;
	bool color;
	size_t depth;
};

static void
paint(struct shower *s, const char *sgr)
{
	if (s->color)
		buf_add_str(s->out, sgr);
}

static void
add_newline(struct shower *s)
{
	size_t n = (s->depth < INDENT_MAX ? s->depth : INDENT_MAX) * INDENT;

	if (s->space != JSON_PRETTY)
		return;
	buf_add_ch(s->out, '\n');
	memset(buf_room(s->out, n), ' ', n);
	buf_added(s->out, n);
}

static void
skip_space(struct shower *s)
{
	const char *from = s->p;

	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
	if (s->space == JSON_KEEP)
		buf_add(s->out, from, (size_t)(s->p - from));
}

static void
add_escape(struct buf *out, uint32_t cp)
{
	if (cp > 0xffff) {
		cp -= 0x10000;
		buf_addf(out, "\\u%04x\\u%04x", 0xd800 + (cp >> 10), 0xdc00 + (cp & 0x3ff));
	} else {
		buf_addf(out, "\\u%04x", cp);
	}
}

/* With its quotes. */
static void
add_string(struct shower *s)
{
	const char *from = s->p++;

	while (s->p < s->end && *s->p != '"') {
		unsigned len = utf8_seq(s->p, (size_t)(s->end - s->p));

		if (*s->p == '\\' && s->end - s->p > 1)
			len = 2;
		else if (len && !utf8_is_shown(s->p, len)) {
			buf_add(s->out, from, (size_t)(s->p - from));
			add_escape(s->out, utf8_decode(s->p, len));
			from = s->p + len;
		}
		s->p += len ? len : 1;
	}
	if (s->p < s->end)
		s->p++;
	buf_add(s->out, from, (size_t)(s->p - from));
}

static bool
is_key(const struct shower *s)
{
	const char *p = s->p;

	for (p++; p < s->end && *p != '"'; p++)
		p += *p == '\\';
	for (p++; p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'); p++)
		;
	return p < s->end && *p == ':';
}

static void
add_atom(struct shower *s)
{
	const char *from = s->p;
	bool word = *from == 't' || *from == 'f' || *from == 'n';

	while (s->p < s->end && !strchr(",:]} \t\r\n", *s->p))
		s->p++;
	paint(s, word ? WORD : NUMBER);
	buf_add(s->out, from, (size_t)(s->p - from));
	paint(s, PLAIN);
}

/* p is at '{' or '['; an empty one stays on its line. */
static void
add_open(struct shower *s)
{
	char close = *s->p == '{' ? '}' : ']';

	buf_add_ch(s->out, *s->p++);
	skip_space(s);
	if (s->p < s->end && *s->p == close) {
		buf_add_ch(s->out, *s->p++);
		return;
	}
	s->depth++;
	add_newline(s);
}

void
json_show(struct buf *out, struct bytes json, enum json_space space, bool color)
{
	struct shower s = { .out = out, .p = json.p, .end = json.p + json.n, .space = space,
		.color = color };

	for (skip_space(&s); s.p < s.end; skip_space(&s)) {
		switch (*s.p) {
		case '"':
			/* Only the colour depends on it. */
			paint(&s, color && is_key(&s) ? KEY : STRING);
			add_string(&s);
			paint(&s, PLAIN);
			break;
		case '{':
		case '[':
			add_open(&s);
			break;
		case '}':
		case ']':
			s.depth -= s.depth > 0;
			add_newline(&s);
			buf_add_ch(out, *s.p++);
			break;
		case ',':
			buf_add_ch(out, *s.p++);
			add_newline(&s);
			break;
		case ':':
			buf_add_ch(out, *s.p++);
			if (space == JSON_PRETTY)
				buf_add_ch(out, ' ');
			break;
		default:
			add_atom(&s);
		}
	}
}

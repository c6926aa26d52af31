/* SPDX-License-Identifier: Apache-2.0 */
/* Format strings, read: see format_program.h. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/format_program.h"
#include "core/text.h"

enum { WIDTH_MAX = 10000, DEPTH_MAX = 1 };

struct compiler {
	const char *option, *begin, *p;
	bool mosquitto, local, inner;	/* inner: inside %h{...}, which '}' ends */
	struct format_program *program;
	struct buf literal;
	struct error *err;
};

struct letter {
	char letter;
	unsigned char field, encoding;
};

/* Letters that take no argument of their own; the others stand in compile_letter(). */
static const struct letter native[] = {
	{ 't', FIELD_TOPIC }, { 's', FIELD_BODY }, { 'v', FIELD_BODY }, { 'k', FIELD_KEY },
	{ 'h', FIELD_HEADERS },
	{ 'S', FIELD_BODY_LEN }, { 'V', FIELD_BODY_LEN }, { 'l', FIELD_BODY_LEN },
	{ 'K', FIELD_KEY_LEN }, { 'T', FIELD_TIME_MS }, { 'd', FIELD_TIME_MS },
	{ 'p', FIELD_PARTITION }, { 'o', FIELD_OFFSET }, { 'q', FIELD_QOS },
	{ 'r', FIELD_RETAIN }, { 'm', FIELD_ID }, { 'i', FIELD_COUNT }, { 'b', FIELD_BROKER },
	{ 'x', FIELD_BODY, ENCODE_HEX }, { 'X', FIELD_BODY, ENCODE_HEX_UPPER },
	{ 'j', FIELD_JSON }, { 'J', FIELD_JSON_BODY }, { 'R', FIELD_BODY_LEN, ENCODE_INT },
	{ 0 }
};

static const struct letter mosquitto[] = {
	{ 't', FIELD_TOPIC }, { 'p', FIELD_BODY }, { 'l', FIELD_BODY_LEN }, { 'q', FIELD_QOS },
	{ 'r', FIELD_RETAIN }, { 'm', FIELD_ID }, { 'P', FIELD_PAIRS },
	{ 'C', FIELD_CONTENT_TYPE }, { 'D', FIELD_CORRELATION }, { 'R', FIELD_REPLY },
	{ 'E', FIELD_TTL }, { 'x', FIELD_BODY, ENCODE_HEX }, { 'X', FIELD_BODY, ENCODE_HEX_UPPER },
	{ 'j', FIELD_JSON }, { 'J', FIELD_JSON_BODY },
	{ 0 }
};

static const struct letter of_header[] = {
	{ 'k', FIELD_NAME }, { 'v', FIELD_VALUE }, { 0 }
};

/* %{meta:NAME}, as the names are in -J. */
static const struct {
	const char *name;
	unsigned char field;
} metas[] = {
	{ "broker", FIELD_BROKER }, { "partition", FIELD_PARTITION }, { "offset", FIELD_OFFSET },
	{ "id", FIELD_ID }, { "qos", FIELD_QOS }, { "retain", FIELD_RETAIN },
	{ "reply", FIELD_REPLY }, { "ttl", FIELD_TTL }, { "content_type", FIELD_CONTENT_TYPE },
	{ "correlation", FIELD_CORRELATION }, { "wire", FIELD_WIRE }, { "ts", FIELD_TIME_KIND },
};

/* Always -1. at: what is wrong begins there. */
static int __attribute__((format(printf, 3, 4)))
wrong(struct compiler *c, const char *at, const char *fmt, ...)
{
	va_list ap;
	char what[200];

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	for (char *p = what; *p; p++)	/* what the user wrote may be in it */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return error_set(c->err, ERR_USAGE, "%s: character %zu: %s (man 7 mbus-format)", c->option,
		(size_t)(at - c->begin) + 1, what);
}

/* One character, as it may be shown. */
static const char *
shown(const char *p, char out[8])
{
	unsigned len = utf8_seq(p, strnlen(p, 4));

	if (*p == 0)
		return "the end";
	if (len > 1 || (*p >= 0x20 && *p < 0x7f))
		snprintf(out, 8, "%.*s", (int)(len ? len : 1), p);
	else
		snprintf(out, 8, "\\x%02x", (unsigned char)*p);
	return out;
}

static struct format_step *
add_step(struct compiler *c, enum format_field field)
{
	struct format_program *p = c->program;
	struct format_step *s;

	p->steps = xrealloc(p->steps, (p->n + 1) * sizeof *p->steps);
	s = &p->steps[p->n++];
	*s = (struct format_step){ .field = (unsigned char)field, .precision = SIZE_MAX,
		.trunc = SIZE_MAX };
	return s;
}

static void
end_literal(struct compiler *c)
{
	struct format_step *s;
	size_t n = buf_len(&c->literal);

	if (!n)
		return;
	s = add_step(c, FIELD_LITERAL);
	s->text = bytes_of(xmemdup0(buf_data(&c->literal), n), n);
	buf_clear(&c->literal);
}

/* ---- escapes ---- */

static int
compile_escape(struct compiler *c)
{
	static const char names[] = "nrtaev\\}{", values[] = "\n\r\t\a\033\v\\}{";
	const char *p = c->p + 1, *at = *p ? strchr(names, *p) : NULL;
	char byte, ch[8];

	if (at) {
		byte = values[at - names];
		c->p = p + 1;
	} else if (*p == 'x' && p[1] && p[2] && hex_decode(&byte, p + 1, 2)) {
		c->p = p + 3;
	} else if (*p >= '0' && *p <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' &&
	    p[2] <= '7') {
		byte = (char)((p[0] - '0') << 6 | (p[1] - '0') << 3 | (p[2] - '0'));
		c->p = p + 3;
	} else if (*p == '0') {
		byte = 0;
		c->p = p + 1;
	} else if (!*p) {
		return wrong(c, c->p, "a \\ at the end (\\\\ is one)");
	} else {
		return wrong(c, c->p, "unknown escape \\%s (there are \\n \\r \\t \\a \\e \\v \\0 "
			"\\\\ \\{ \\} \\xHH \\NNN)", shown(p, ch));
	}
	buf_add_ch(&c->literal, byte);
	return 0;
}

/* ---- {...} ---- */

/* c->p is at '{': the text up to its '}', which is taken. */
static int
take_braces(struct compiler *c, struct bytes *inside)
{
	const char *end = strchr(c->p, '}');

	if (!end)
		return wrong(c, c->p, "this { has no }");
	*inside = bytes_of(c->p + 1, (size_t)(end - c->p - 1));
	c->p = end + 1;
	return 0;
}

static bool
take_prefix(struct bytes *b, const char *prefix)
{
	size_t n = strlen(prefix);

	if (b->n < n || memcmp(b->p, prefix, n) != 0)
		return false;
	*b = bytes_of(b->p + n, b->n - n);
	return true;
}

/* Its digits and nothing else; at most 9 of them. */
static bool
read_number(struct bytes b, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] < '0' || b.p[i] > '9' || i == 9)
			return false;
		*n = *n * 10 + (size_t)(b.p[i] - '0');
	}
	return b.n > 0;
}

static bool
read_int(struct bytes b, struct format_step *s)
{
	static const char *const bits[] = { "8", "16", "32", "64" };
	bool big = take_prefix(&b, "big");

	if (!big && !take_prefix(&b, "little"))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (bytes_eq(b, bytes_str(bits[i]))) {
			s->encoding = ENCODE_INT;
			s->size = (unsigned char)(1u << i);
			s->little = !big;
			return true;
		}
	return false;
}

static int
compile_modifier(struct compiler *c, struct format_step *s, const char *at, struct bytes m)
{
	static const struct {
		const char *name;
		unsigned char encoding;
	} encodings[] = {
		{ "hex", ENCODE_HEX }, { "HEX", ENCODE_HEX_UPPER }, { "base64", ENCODE_BASE64 },
		{ "json", ENCODE_JSON }, { "q", ENCODE_SHELL },
	};
	bool number = s->field >= FIELD_FIRST_NUMBER;
	struct bytes rest = m;

	if (take_prefix(&rest, "trunc:") && !number) {
		if (!read_number(rest, &s->trunc))
			return wrong(c, at, "{trunc:N} wants a number of bytes");
		return 0;
	}
	if (s->encoding != ENCODE_PLAIN)
		return wrong(c, at, "one {modifier} says how the field is written; this is the second");
	if (number && read_int(m, s))
		return 0;
	for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
		if (bytes_eq(m, bytes_str(encodings[i].name))) {
			s->encoding = encodings[i].encoding;
			return 0;
		}
	return wrong(c, at, "unknown modifier {%.*s} (there are %s)", (int)(m.n < 40 ? m.n : 40), m.p,
		number ? "big8 to big64, little8 to little64, hex, json, q" :
		"hex, HEX, base64, json, q, trunc:N");
}

static int
compile_modifiers(struct compiler *c, struct format_step *s)
{
	struct bytes m = { NULL, 0 };

	while (*c->p == '{') {
		const char *at = c->p;

		if (take_braces(c, &m) < 0 || compile_modifier(c, s, at, m) < 0)
			return -1;
	}
	return 0;
}

/* ---- times ---- */

/* The end of a piece for strftime, if there is something in it. */
static void
add_strftime(struct format_times *t, const char *from, const char *to)
{
	enum { EXPANDS = 32 };		/* no letter makes more than that of its two bytes */
	struct format_part *p = &t->part[t->n];

	if (to == from)
		return;
	p->strftime = xmemdup0(from, (size_t)(to - from));
	p->size = (size_t)(to - from) * EXPANDS;
	p->text = xmalloc(p->size);
	t->n++;
}

/* fmt is strftime's, with %N for the nanoseconds. A letter that strftime does not have
 * is refused here, for what it then does is nowhere said. */
static int
compile_time(struct compiler *c, struct format_step *s, const char *at, struct bytes fmt)
{
	static const char known[] = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%N";
	struct format_times *t = xcalloc(1, sizeof *t + FORMAT_PARTS_MAX * sizeof *t->part);
	const char *p = fmt.p, *end = fmt.p + fmt.n, *from = p;

	s->field = FIELD_TIME;
	s->times = t;
	t->local = c->local;
	if (!fmt.n)
		return wrong(c, at, "an empty time format");
	for (; p < end; p++) {
		if (*p != '%')
			continue;
		if (p + 1 == end || !strchr(known, p[1]))
			return wrong(c, at, "strftime has no %%%.*s", p + 1 == end ? 0 : 1, p + 1);
		if (t->n + 3 > FORMAT_PARTS_MAX)
			return wrong(c, at, "a time in too many pieces");
		if (p[1] == 'N' || p[1] == 's') {
			add_strftime(t, from, p);
			t->part[t->n++].digits = p[1] == 'N' ? 9 : 0;
			from = p + 2;
		}
		p++;
	}
	add_strftime(t, from, end);
	return 0;
}

/* %T{...}: a name, or strftime's letters. */
static int
compile_time_arg(struct compiler *c, struct format_step *s)
{
	const char *at = c->p;
	struct bytes arg = { NULL, 0 }, format;

	if (take_braces(c, &arg) < 0)
		return -1;
	format = arg;
	if (take_prefix(&format, "strftime[") && format.n && format.p[format.n - 1] == ']')
		format.n--;	/* as rpk has it */
	else
		format = arg;
	if (bytes_eq(arg, BYTES("unix")))
		return compile_time(c, s, at, BYTES("%s.%N"));
	if (bytes_eq(arg, BYTES("iso"))) {
		if (compile_time(c, s, at, c->local ? BYTES("%FT%T.%N%z") : BYTES("%FT%T.%NZ")) < 0)
			return -1;
		s->times->part[1].digits = 6;	/* what an event has */
		return 0;
	}
	if (memchr(format.p, '%', format.n))
		return compile_time(c, s, at, format);
	return compile_modifier(c, s, at, arg);
}

/* ---- one % ---- */

static int compile_until(struct compiler *c, char end);

/* %h{FMT}: c->p is at the brace. */
static int
compile_each(struct compiler *c, struct format_step *s)
{
	struct compiler inner = *c;
	int r;

	s->field = FIELD_EACH;
	inner.program = s->each = xcalloc(1, sizeof *s->each);
	inner.literal = (struct buf)BUF_INIT;
	inner.inner = true;
	inner.p = c->p + 1;
	r = compile_until(&inner, '}');
	buf_release(&inner.literal);
	if (r < 0)
		return -1;
	if (*inner.p != '}')
		return wrong(c, c->p, "this { has no }");
	c->p = inner.p + 1;
	return 0;
}

/* %{header:NAME}, %{meta:NAME}: c->p is at the brace. */
static int
compile_named(struct compiler *c, struct format_step *s)
{
	const char *at = c->p;
	struct bytes name = { NULL, 0 };

	if (take_braces(c, &name) < 0)
		return -1;
	if (take_prefix(&name, "header:") && name.n) {
		s->field = FIELD_HEADER;
		s->text = bytes_of(xmemdup0(name.p, name.n), name.n);
		c->program->headers = true;
		return 0;
	}
	if (take_prefix(&name, "meta:"))
		for (size_t i = 0; i < sizeof metas / sizeof *metas; i++)
			if (bytes_eq(name, bytes_str(metas[i].name))) {
				s->field = metas[i].field;
				return 0;
			}
	return wrong(c, at, "there are %%{header:NAME} and %%{meta:NAME}, of meta broker, partition, "
		"offset, id, qos, retain, reply, ttl, content_type, correlation, wire, ts");
}

static int
compile_letter(struct compiler *c, struct format_step *s)
{
	const struct letter *l = c->inner ? of_header : c->mosquitto ? mosquitto : native;
	const char *at = c->p;
	char letter = *c->p++, ch[8];

	if (c->mosquitto && letter == 'I')
		return compile_time(c, s, at, BYTES("%FT%T%z"));
	if (c->mosquitto && letter == 'U')
		return compile_time(c, s, at, BYTES("%s.%N"));
	if (c->mosquitto && letter == '@') {
		char form[3] = { '%', *c->p, 0 };

		if (!*c->p)
			return wrong(c, at, "%%@ wants a letter of strftime's");
		c->p++;
		return compile_time(c, s, at, bytes_of(form, 2));
	}
	for (; l->letter && l->letter != letter; l++)
		;
	if (!l->letter && c->mosquitto && letter && strchr("AFS", letter))
		return wrong(c, at, "mbus does not know an event's %s", letter == 'A' ?
			"topic alias" : letter == 'F' ? "payload format" : "subscription identifier");
	if (!l->letter && c->inner)
		return wrong(c, at, "inside %%h{...} there are %%k and %%v, the header's name and "
			"value, not %%%s", shown(at, ch));
	if (!l->letter)
		return wrong(c, at, "unknown field %%%s", shown(at, ch));
	s->field = l->field;
	s->encoding = l->encoding;
	if (l->encoding == ENCODE_INT)
		s->size = 4;
	if (l->field == FIELD_HEADERS || l->field == FIELD_PAIRS || l->field == FIELD_CONTENT_TYPE)
		c->program->headers = true;
	if (l->field == FIELD_JSON || l->field == FIELD_JSON_BODY)
		c->program->headers = c->program->json = true;
	if (c->mosquitto || *c->p != '{')
		return 0;
	if (l->field == FIELD_TIME_MS)
		return compile_time_arg(c, s);
	if (l->field == FIELD_HEADERS) {
		size_t n = 0;
		const char *p = c->p + 1;

		/* A modifier of the whole list, or what to do for each? */
		while (p[n] && p[n] != '}' && p[n] != '%' && p[n] != '\\')
			n++;
		if (p[n] == '%' || p[n] == '\\')
			return compile_each(c, s);
	}
	return 0;
}

static size_t
take_digits(struct compiler *c)
{
	size_t n = 0;

	for (; *c->p >= '0' && *c->p <= '9'; c->p++)
		n = n > WIDTH_MAX ? n : n * 10 + (size_t)(*c->p - '0');
	return n;
}

static int
compile_flags(struct compiler *c, struct format_step *s)
{
	const char *at = c->p;

	for (; *c->p == '-' || *c->p == '0'; c->p++)
		*(*c->p == '-' ? &s->left : &s->zero) = true;
	s->width = take_digits(c);
	if (*c->p == '.') {
		c->p++;
		s->precision = take_digits(c);
	}
	if (s->width > WIDTH_MAX || (s->precision > WIDTH_MAX && s->precision != SIZE_MAX))
		return wrong(c, at, "a width over %d", WIDTH_MAX);
	return 0;
}

static int
compile_percent(struct compiler *c)
{
	const char *at = c->p++;
	struct format_step *s;

	if (*c->p == '%') {
		buf_add_ch(&c->literal, *c->p++);
		return 0;
	}
	if (!*c->p)
		return wrong(c, c->p, "a %% at the end (%%%% is a percent sign)");
	end_literal(c);
	s = add_step(c, FIELD_LITERAL);
	if (compile_flags(c, s) < 0)
		return -1;
	if (*c->p == '{' && !c->mosquitto && !c->inner ? compile_named(c, s) < 0 :
	    compile_letter(c, s) < 0)
		return -1;
	if (!c->mosquitto && compile_modifiers(c, s) < 0)
		return -1;
	if (s->precision != SIZE_MAX && s->field >= FIELD_FIRST_NUMBER)
		return wrong(c, at, "a number has no precision");
	if (s->encoding == ENCODE_INT && s->width)
		return wrong(c, at, "bytes of a number have no width");
	if (s->field == FIELD_EACH && (s->width || s->precision != SIZE_MAX ||
	    s->encoding || s->trunc != SIZE_MAX))
		return wrong(c, at, "%%h{...} takes no width and no modifier: its fields do");
	s->plain = !s->width && s->precision == SIZE_MAX && s->trunc == SIZE_MAX &&
		s->encoding == ENCODE_PLAIN;
	return 0;
}

static int
compile_until(struct compiler *c, char end)
{
	while (*c->p && *c->p != end) {
		int r = 0;

		if (c->program->n >= FORMAT_STEPS_MAX)
			return wrong(c, c->p, "too long");
		if (*c->p == '%')
			r = compile_percent(c);
		else if (*c->p == '\\')
			r = compile_escape(c);
		else
			buf_add_ch(&c->literal, *c->p++);
		if (r < 0)
			return -1;
	}
	end_literal(c);
	return 0;
}

struct format_program *
format_compile(const char *option, const char *text, bool mosquitto_letters, bool local,
	struct error *err)
{
	struct compiler c = { .option = option, .begin = text, .p = text,
		.mosquitto = mosquitto_letters, .local = local, .err = err };
	int r;

	c.program = xcalloc(1, sizeof *c.program);
	r = compile_until(&c, 0);
	buf_release(&c.literal);
	if (r == 0)
		return c.program;
	format_program_free(c.program);
	return NULL;
}

void
format_program_free(struct format_program *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		struct format_step *s = &p->steps[i];

		free((char *)s->text.p);
		for (size_t j = 0; s->times && j < s->times->n; j++) {
			free(s->times->part[j].strftime);
			free(s->times->part[j].text);
		}
		free(s->times);
		format_program_free(s->each);
	}
	free(p->steps);
	buf_release(&p->scratch);
	buf_release(&p->encoded);
	free(p);
}

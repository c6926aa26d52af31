/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions, read: by recursive descent, one function a level of precedence. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/expr_nodes.h"
#include "core/pattern.h"
#include "core/text.h"
#include "core/units.h"

enum { DEPTH_MAX = 100, NODES_MAX = 1000 };

struct parser {
	const char *option, *begin, *p;
	struct expr *expr;
	struct error *err;
	unsigned depth;
};

static const struct {
	const char *name;
	enum expr_field field;
} fields[] = {
	{ "topic", EXPR_TOPIC }, { "key", EXPR_KEY }, { "body", EXPR_BODY }, { "size", EXPR_SIZE },
	{ "ts", EXPR_TS }, { "meta.broker", EXPR_META_BROKER },
	{ "meta.partition", EXPR_META_PARTITION }, { "meta.offset", EXPR_META_OFFSET },
	{ "meta.id", EXPR_META_ID }, { "meta.qos", EXPR_META_QOS },
	{ "meta.retain", EXPR_META_RETAIN }, { "meta.reply", EXPR_META_REPLY },
	{ "meta.ttl", EXPR_META_TTL }, { "meta.content_type", EXPR_META_CONTENT_TYPE },
	{ "meta.correlation", EXPR_META_CORRELATION }, { "meta.wire", EXPR_META_WIRE },
	{ "meta.ts", EXPR_META_TS },
};

/* Always -1. */
static int __attribute__((format(printf, 3, 4)))
wrong(struct parser *p, const char *at, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	for (char *c = what; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return error_set(p->err, ERR_USAGE, "%s: character %zu: %s", p->option,
		(size_t)(at - p->begin) + 1, what);
}

static void
skip_blanks(struct parser *p)
{
	while (*p->p == ' ' || *p->p == '\t' || *p->p == '\n')
		p->p++;
}

static bool
take(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(p);
	if (strncmp(p->p, word, n) != 0)
		return false;
	p->p += n;
	return true;
}

static bool
is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '.';
}

/* A new node; its number, or -1. */
static int
add_node(struct parser *p, enum expr_kind kind, unsigned left, unsigned right)
{
	struct expr *e = p->expr;

	if (e->n == NODES_MAX)
		return wrong(p, p->p, "too long");
	e->nodes = xrealloc(e->nodes, (e->n + 1) * sizeof *e->nodes);
	e->nodes[e->n] = (struct expr_node){ .kind = kind, .left = left, .right = right };
	return (int)e->n++;
}

/* ---- literals ---- */

/* p->p is at the quote; out is allocated and decoded. */
static int
parse_string(struct parser *p, struct bytes *out)
{
	const char *at = p->p, *end = at + 1;
	struct json_scan *scan = &p->expr->scan;
	struct bytes text;
	char *copy;

	for (; *end && *end != '"'; end++)
		end += *end == '\\' && end[1];
	if (!*end)
		return wrong(p, at, "this \" has no end");
	p->p = end + 1;
	copy = xmemdup0(at, (size_t)(p->p - at));
	json_scan_init(scan, copy, (size_t)(p->p - at));
	if (json_next(scan) != JSON_STRING || json_next(scan) != JSON_END) {
		free(copy);
		return wrong(p, at, "not a string as JSON has them: %s",
			scan->error ? scan->error : "");
	}
	json_scan_init(scan, copy, (size_t)(p->p - at));
	json_next(scan);
	text = json_unescape(scan, NULL);
	memmove(copy, text.p, text.n);
	copy[text.n] = 0;
	*out = bytes_of(copy, text.n);
	return 0;
}

static int
parse_literal(struct parser *p, struct expr_value *v)
{
	static const struct { const char *word; enum expr_type type; } words[] = {
		{ "true", EXPR_TRUE }, { "false", EXPR_FALSE }, { "null", EXPR_NULL },
	};
	const char *at;
	struct json_scan *scan = &p->expr->scan;
	size_t n = 0;

	skip_blanks(p);
	at = p->p;
	if (*at == '"') {
		v->type = EXPR_STRING;
		return parse_string(p, &v->text);
	}
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strncmp(at, words[i].word, strlen(words[i].word)) == 0 &&
		    !is_word_char(at[strlen(words[i].word)])) {
			v->type = words[i].type;
			p->p += strlen(words[i].word);
			return 0;
		}
	while (is_word_char(at[n]) || at[n] == '+')
		n++;
	json_scan_init(scan, at, n);
	if (!n || json_next(scan) != JSON_NUMBER || json_next(scan) != JSON_END)
		return wrong(p, at, "a string in quotes, a number, true, false or null is wanted here");
	v->type = EXPR_NUMBER;
	v->text = bytes_of(xmemdup0(at, n), n);
	p->p += n;
	return 0;
}

/* ---- fields ---- */

static int
parse_name(struct parser *p, struct expr_node *node)
{
	const char *at = p->p;
	struct bytes name;
	size_t n = 0;

	if (*at == '"') {
		if (parse_string(p, &name) < 0)
			return -1;
		node->name = (char *)name.p;
		node->name_len = name.n;
		return 0;
	}
	while (is_word_char(at[n]))
		n++;
	if (!n)
		return wrong(p, at, "a name is wanted here: header.NAME");
	node->name = xmemdup0(at, n);
	node->name_len = n;
	p->p += n;
	return 0;
}

static int
parse_pointer(struct parser *p, struct expr_node *node)
{
	const char *at;
	struct bytes text;
	size_t n = 0;

	skip_blanks(p);
	at = p->p;
	if (*at == '"') {
		if (parse_string(p, &text) < 0)
			return -1;
		node->name = (char *)text.p;
		node->name_len = text.n;
	} else {
		/* ~ is an operator, but ~0 and ~1 are a pointer's. */
		while (at[n] && (!strchr(" \t\n=!<>~&|()", at[n]) ||
		    (at[n] == '~' && (at[n + 1] == '0' || at[n + 1] == '1'))))
			n++;
		node->name = xmemdup0(at, n);
		node->name_len = n;
		p->p += n;
	}
	if (node->name_len && *node->name != '/')
		return wrong(p, at, "a JSON pointer begins with /");
	if (!node->name_len && *at != '"')
		return wrong(p, at, "a JSON pointer is wanted here: json /a/b");
	for (size_t i = 0; i < node->name_len; i++)
		if (node->name[i] == '~' && (i + 1 == node->name_len ||
		    (node->name[i + 1] != '0' && node->name[i + 1] != '1')))
			return wrong(p, at, "in a JSON pointer ~ is written ~0, and / in a name ~1");
	return 0;
}

static int
parse_field(struct parser *p, struct expr_node *node)
{
	const char *at;
	size_t n = 0;

	skip_blanks(p);
	at = p->p;
	if (take(p, "header.")) {
		node->field = EXPR_HEADER;
		p->expr->headers = true;
		return parse_name(p, node);
	}
	while (is_word_char(at[n]))
		n++;
	p->p = at + n;
	if (n == 4 && strncmp(at, "json", 4) == 0) {
		node->field = EXPR_JSON;
		return parse_pointer(p, node);
	}
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		if (strlen(fields[i].name) == n && strncmp(at, fields[i].name, n) == 0) {
			node->field = fields[i].field;
			return 0;
		}
	if (!n)
		return wrong(p, at, "a field is wanted here: topic, key, body, size, ts, header.NAME, "
			"json /POINTER, meta.NAME");
	return wrong(p, at, "unknown field %.*s (there are topic, key, body, size, ts, header.NAME, "
		"json /POINTER, meta.NAME)", (int)(n < 40 ? n : 40), at);
}

/* ---- comparisons ---- */

static bool
parse_op(struct parser *p, enum expr_op *op)
{
	static const struct { const char *text; enum expr_op op; } ops[] = {
		{ "==", EXPR_EQ }, { "!=", EXPR_NE }, { "!~", EXPR_NO_MATCH }, { "<=", EXPR_LE },
		{ ">=", EXPR_GE }, { "<", EXPR_LT }, { ">", EXPR_GT }, { "~", EXPR_MATCH },
	};

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (take(p, ops[i].text)) {
			*op = ops[i].op;
			return true;
		}
	return false;
}

static int
compile_regex(struct parser *p, struct expr_node *node, const char *at)
{
	struct error err;

	if (node->literal.type != EXPR_STRING)
		return wrong(p, at, "~ wants a regular expression in quotes");
	if (pattern_compile(&node->regex, node->literal.text, &err) < 0)
		return wrong(p, at, "%s", err.text);
	node->has_regex = true;
	return 0;
}

/* A literal that a time is compared with. */
static int
compile_time(struct parser *p, struct expr_node *node, const char *at)
{
	const struct expr_value *v = &node->literal;

	if (v->type == EXPR_NUMBER) {
		double ms = strtod(v->text.p, NULL);

		/* Beyond any time, on either side: the order is the same. */
		node->time_us = ms > 1e15 ? INT64_MAX : ms < -1e15 ? INT64_MIN :
			(int64_t)(ms * 1000);
		return 0;
	}
	if (v->type != EXPR_STRING || strlen(v->text.p) != v->text.n ||
	    !units_time_us(v->text.p, &node->time_us))
		return wrong(p, at, "ts is compared with milliseconds since 1970, or with a time as "
			"\"2026-11-21T06:55:30Z\"");
	return 0;
}

static int
parse_compare(struct parser *p)
{
	int made = add_node(p, EXPR_COMPARE, 0, 0);
	struct expr_node *node;
	const char *at;

	if (made < 0)
		return -1;
	node = &p->expr->nodes[made];
	if (parse_field(p, node) < 0)
		return -1;
	skip_blanks(p);
	if (!parse_op(p, &node->op)) {
		if (*p->p == '=')
			return wrong(p, p->p, "equal is ==");
		return made;	/* is it there? */
	}
	skip_blanks(p);
	at = p->p;
	if (parse_literal(p, &node->literal) < 0)
		return -1;
	if (node->op == EXPR_MATCH || node->op == EXPR_NO_MATCH)
		return compile_regex(p, node, at) < 0 ? -1 : made;
	if (node->field == EXPR_TS)
		return compile_time(p, node, at) < 0 ? -1 : made;
	if (node->op >= EXPR_LT && node->literal.type > EXPR_NUMBER)
		return wrong(p, at, "true, false and null have no order");
	return made;
}

static int parse_or(struct parser *);

static int
parse_not(struct parser *p)
{
	int r;

	if (++p->depth > DEPTH_MAX)
		return wrong(p, p->p, "too deep");
	skip_blanks(p);
	if (*p->p == '!' && p->p[1] != '~' && p->p[1] != '=') {
		p->p++;
		r = parse_not(p);
		if (r >= 0)
			r = add_node(p, EXPR_NOT, (unsigned)r, 0);
	} else if (take(p, "(")) {
		const char *at = p->p - 1;

		r = parse_or(p);
		if (r >= 0 && !take(p, ")"))
			r = *p->p ? wrong(p, p->p, "&&, || or ) is wanted here") :
				wrong(p, at, "this ( has no )");
	} else {
		r = parse_compare(p);
	}
	p->depth--;
	return r;
}

static int
parse_and(struct parser *p)
{
	int left = parse_not(p), right;

	while (left >= 0 && take(p, "&&")) {
		right = parse_not(p);
		left = right < 0 ? -1 : add_node(p, EXPR_AND, (unsigned)left, (unsigned)right);
	}
	return left;
}

static int
parse_or(struct parser *p)
{
	int left = parse_and(p), right;

	while (left >= 0 && take(p, "||")) {
		right = parse_and(p);
		left = right < 0 ? -1 : add_node(p, EXPR_OR, (unsigned)left, (unsigned)right);
	}
	return left;
}

struct expr *
expr_compile(const char *option, const char *text, struct error *err)
{
	struct parser p = { .option = option, .begin = text, .p = text, .err = err };
	int root;

	p.expr = xcalloc(1, sizeof *p.expr);
	root = parse_or(&p);
	skip_blanks(&p);
	if (root >= 0 && *p.p)
		root = wrong(&p, p.p, "&& or || is wanted here");
	if (root < 0) {
		expr_free(p.expr);
		return NULL;
	}
	p.expr->root = (unsigned)root;
	return p.expr;
}

void
expr_free(struct expr *e)
{
	if (!e)
		return;
	for (unsigned i = 0; i < e->n; i++) {
		struct expr_node *node = &e->nodes[i];

		free(node->name);
		free((char *)node->literal.text.p);
		if (node->has_regex)
			regfree(&node->regex);
	}
	free(e->nodes);
	buf_release(&e->scratch);
	buf_release(&e->seen);
	free(e);
}

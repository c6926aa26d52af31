/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions, evaluated: see expr.h.
 *
 * A regular expression sees at most 64 KiB, and a JSON body is scanned as far as the
 * pointer leads, so that an event of any size costs little more than its bytes.
 */
#include <stdlib.h>
#include <strings.h>

#include "cli/expr_nodes.h"

enum { SEEN_MAX = 64 * 1024 };

/* ---- comparing ---- */

/* Does the text look like a number as JSON has it, and is it one to the last byte? */
static bool
is_number(struct bytes b)
{
	size_t i = 0, digits = 0;

	if (!b.n || b.n > 300)
		return false;
	i += b.p[0] == '-';
	for (; i < b.n && b.p[i] >= '0' && b.p[i] <= '9'; i++)
		digits++;
	if (!digits)
		return false;
	if (i < b.n && b.p[i] == '.')
		for (i++, digits = 0; i < b.n && b.p[i] >= '0' && b.p[i] <= '9'; i++)
			digits++;
	if (digits && i < b.n && (b.p[i] == 'e' || b.p[i] == 'E')) {
		i++;
		i += i < b.n && (b.p[i] == '+' || b.p[i] == '-');
		for (digits = 0; i < b.n && b.p[i] >= '0' && b.p[i] <= '9'; i++)
			digits++;
	}
	return digits && i == b.n;
}

static bool
is_whole(struct bytes b, int64_t *v)
{
	bool minus = b.n && b.p[0] == '-';

	*v = 0;
	if (b.n == minus || b.n - minus > 18)
		return false;
	for (size_t i = minus; i < b.n; i++) {
		if (b.p[i] < '0' || b.p[i] > '9')
			return false;
		*v = *v * 10 + (b.p[i] - '0');
	}
	*v = minus ? -*v : *v;
	return true;
}

/* Whole numbers exactly, others as C's double has them. */
static int
compare_numbers(struct bytes a, struct bytes b)
{
	char x[301], y[301];
	int64_t i, j;
	double d, e;

	if (is_whole(a, &i) && is_whole(b, &j))
		return (i > j) - (i < j);
	memcpy(x, a.p, a.n);
	memcpy(y, b.p, b.n);
	x[a.n] = y[b.n] = 0;
	d = strtod(x, NULL);
	e = strtod(y, NULL);
	return (d > e) - (d < e);
}

static bool
ordered(enum expr_op op, int c)
{
	switch (op) {
	case EXPR_EQ:
		return c == 0;
	case EXPR_NE:
		return c != 0;
	case EXPR_LT:
		return c < 0;
	case EXPR_LE:
		return c <= 0;
	case EXPR_GT:
		return c > 0;
	default:
		return c >= 0;
	}
}

/* In a copy: the library may look for the NUL, wherever it is told to end. */
static bool
matches(struct expr *e, const struct expr_node *node, struct bytes b)
{
	regmatch_t range = { 0, (regoff_t)(b.n < SEEN_MAX ? b.n : SEEN_MAX) };

	buf_clear(&e->seen);
	buf_add(&e->seen, b.p, (size_t)range.rm_eo);
	return regexec(&node->regex, buf_cstr(&e->seen), 0, &range, REG_STARTEND) == 0;
}

/* text: of bytes that may well be a number although they are a string (a header). */
static bool
holds(struct expr *e, const struct expr_node *node, const struct expr_value *v, bool text)
{
	const struct expr_value *want = &node->literal;
	bool number = v->type == EXPR_NUMBER ||
		(text && v->type == EXPR_STRING && want->type == EXPR_NUMBER && is_number(v->text));

	switch (node->op) {
	case EXPR_IS_THERE:
		return true;
	case EXPR_MATCH:
		return v->type <= EXPR_NUMBER && matches(e, node, v->text);
	case EXPR_NO_MATCH:
		return v->type > EXPR_NUMBER || !matches(e, node, v->text);
	default:
		break;
	}
	if (want->type > EXPR_NUMBER || v->type > EXPR_NUMBER)
		return (want->type == v->type) == (node->op == EXPR_EQ) && node->op <= EXPR_NE;
	if (want->type == EXPR_NUMBER && !number)
		return node->op == EXPR_NE;
	if (want->type == EXPR_NUMBER && is_number(want->text))
		return ordered(node->op, compare_numbers(v->text, want->text));
	return ordered(node->op, bytes_cmp(v->text, want->text));
}

/* ---- what an event has ---- */

static bool
is_absent(const struct expr_node *node)
{
	return node->op == EXPR_NE || node->op == EXPR_NO_MATCH;
}

static struct bytes
number_text(struct expr *e, int64_t v)
{
	buf_clear(&e->scratch);
	buf_addf(&e->scratch, "%lld", (long long)v);
	return buf_bytes(&e->scratch);
}

/* A field with one value. false: it is not there. */
static bool
get(struct expr *e, enum expr_field field, const struct event *ev, const char *broker,
	struct expr_value *v)
{
	static const char *const kinds[] = {
		[EVENT_TIME_RECV] = "recv", [EVENT_TIME_CREATE] = "create",
		[EVENT_TIME_APPEND] = "append", [EVENT_TIME_NONE] = NULL,
	};
	int64_t n = -1;

	v->type = EXPR_STRING;
	switch (field) {
	case EXPR_TOPIC:
		v->text = ev->topic;
		return true;
	case EXPR_KEY:
		v->text = ev->msg.key;
		return v->text.p;
	case EXPR_BODY:
		v->text = ev->msg.body;
		if (!v->text.p)
			v->type = EXPR_NULL;
		return true;
	case EXPR_META_BROKER:
		v->text = bytes_str(broker);
		return true;
	case EXPR_META_ID:
		v->text = ev->id;
		return v->text.p;
	case EXPR_META_REPLY:
		v->text = ev->props.reply_to;
		return v->text.p;
	case EXPR_META_CONTENT_TYPE:
		v->text = ev->props.content_type;
		return v->text.p;
	case EXPR_META_CORRELATION:
		v->text = ev->props.correlation;
		return v->text.p;
	case EXPR_META_WIRE:
		v->text = ev->wire == EVENT_WIRE_MICRO ? BYTES("micro") : BYTES("raw");
		return true;
	case EXPR_META_TS:
		v->text = bytes_str(kinds[ev->time_kind]);
		return v->text.p;
	case EXPR_META_RETAIN:
		v->type = ev->retain ? EXPR_TRUE : EXPR_FALSE;
		return true;
	case EXPR_SIZE:
		n = (int64_t)ev->msg.body.n;
		break;
	case EXPR_META_PARTITION:
		n = ev->partition;
		break;
	case EXPR_META_OFFSET:
		n = ev->offset;
		break;
	case EXPR_META_QOS:
		n = ev->qos;
		break;
	case EXPR_META_TTL:
		n = ev->props.ttl_ms;
		break;
	default:
		return false;
	}
	v->type = EXPR_NUMBER;
	v->text = number_text(e, n);
	return n >= 0;
}

/* Any that fits; the first of the name decides where none has a value that does. */
static bool
header_holds(struct expr *e, const struct expr_node *node, const struct event *ev)
{
	struct bytes name = bytes_of(node->name, node->name_len);
	bool there = false;

	for (size_t pass = 0; pass < 2 && !there; pass++)
		for (size_t i = 0; i < ev->msg.nheaders; i++) {
			const struct header *h = &ev->msg.headers[i];
			struct expr_value v = { h->value.p ? EXPR_STRING : EXPR_NULL, h->value };

			/* Exactly that name; else in upper and lower case. */
			if (pass ? h->name.n != name.n ||
			    strncasecmp(h->name.p, name.p, name.n) != 0 : !bytes_eq(h->name, name))
				continue;
			there = true;
			if (holds(e, node, &v, true))
				return true;
		}
	return !there && is_absent(node);
}

/* ---- JSON ---- */

/* Is the key this step of a pointer, in which ~1 is / and ~0 is ~? */
static bool
is_step(struct bytes key, struct bytes step)
{
	size_t i = 0, j = 0;

	for (; i < key.n && j < step.n; i++, j++) {
		char c = step.p[j];

		if (c == '~')
			c = step.p[++j] == '1' ? '/' : '~';
		if (key.p[i] != c)
			return false;
	}
	return i == key.n && j == step.n;
}

/* To the value of that member or element: its first token; JSON_END: there is none. */
static enum json_token
descend(struct json_scan *s, enum json_token in, struct bytes step)
{
	enum json_token t;
	int64_t want;

	if (in == JSON_OBJECT) {
		while ((t = json_next(s)) == JSON_KEY) {
			bool here = is_step(json_unescape(s, NULL), step);

			t = json_next(s);
			if (here)
				return t;
			if (!json_skip(s, t))
				return JSON_END;
		}
		return JSON_END;
	}
	if (in != JSON_ARRAY || !step.n || !is_whole(step, &want) || want < 0 ||
	    (step.p[0] == '0' && step.n > 1))
		return JSON_END;
	for (int64_t i = 0; (t = json_next(s)) != JSON_ARRAY_END && t != JSON_ERROR; i++) {
		if (i == want)
			return t;
		if (!json_skip(s, t))
			return JSON_END;
	}
	return JSON_END;
}

static bool
get_json(struct expr *e, const struct expr_node *node, const struct event *ev,
	struct expr_value *v)
{
	const char *p = node->name, *end = node->name + node->name_len, *next;
	struct json_scan *s = &e->scan;
	enum json_token t;
	char *begin;

	if (!json_valid(ev->msg.body.p ? ev->msg.body.p : "", ev->msg.body.n))
		return false;
	/* The scanner decodes in place. */
	buf_clear(&e->scratch);
	buf_add_bytes(&e->scratch, ev->msg.body);
	json_scan_init(s, buf_data(&e->scratch), buf_len(&e->scratch));
	s->quiet = true;
	for (t = json_next(s); p < end; p = next) {
		next = memchr(p + 1, '/', (size_t)(end - p - 1));
		next = next ? next : end;
		t = descend(s, t, bytes_of(p + 1, (size_t)(next - p - 1)));
		if (t == JSON_END)
			return false;
	}
	switch (t) {
	case JSON_STRING:
		*v = (struct expr_value){ EXPR_STRING, json_unescape(s, NULL) };
		return true;
	case JSON_NUMBER:
		*v = (struct expr_value){ EXPR_NUMBER, s->text };
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		v->type = t == JSON_TRUE ? EXPR_TRUE : EXPR_FALSE;
		return true;
	case JSON_NULL:
		v->type = EXPR_NULL;
		return true;
	case JSON_OBJECT:
	case JSON_ARRAY:
		/* As text, from its bracket on. */
		begin = (char *)s->p - 1;
		*v = (struct expr_value){ EXPR_STRING, bytes_of(begin, 1) };
		if (json_skip(s, t))
			v->text.n = (size_t)(s->p - begin);
		return true;
	default:
		return false;
	}
}

/* ---- the whole ---- */

static bool
compare(struct expr *e, const struct expr_node *node, const struct event *ev, const char *broker)
{
	struct expr_value v = { EXPR_STRING, { NULL, 0 } };

	switch (node->field) {
	case EXPR_HEADER:
		return header_holds(e, node, ev);
	case EXPR_JSON:
		return get_json(e, node, ev, &v) ? holds(e, node, &v, false) : is_absent(node);
	case EXPR_TS:
		if (ev->time_kind == EVENT_TIME_NONE)
			return is_absent(node);
		if (node->has_regex) {
			v = (struct expr_value){ EXPR_NUMBER, number_text(e, ev->time_us / 1000) };
			return holds(e, node, &v, true);
		}
		return node->op == EXPR_IS_THERE || ordered(node->op,
			(ev->time_us > node->time_us) - (ev->time_us < node->time_us));
	default:
		return get(e, node->field, ev, broker, &v) ? holds(e, node, &v, true) :
			is_absent(node);
	}
}

static bool
evaluate(struct expr *e, unsigned i, const struct event *ev, const char *broker)
{
	const struct expr_node *node = &e->nodes[i];

	switch (node->kind) {
	case EXPR_OR:
		return evaluate(e, node->left, ev, broker) || evaluate(e, node->right, ev, broker);
	case EXPR_AND:
		return evaluate(e, node->left, ev, broker) && evaluate(e, node->right, ev, broker);
	case EXPR_NOT:
		return !evaluate(e, node->left, ev, broker);
	default:
		return compare(e, node, ev, broker);
	}
}

bool
expr_is_true(struct expr *e, const struct event *ev, const char *broker)
{
	return evaluate(e, e->root, ev, broker);
}

bool
expr_wants_headers(const struct expr *e)
{
	return e->headers;
}

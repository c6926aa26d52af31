/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of a service: see endpoints.h. */
#include "core/endpoints.h"

#include <stdlib.h>

#include "core/json.h"
#include "core/text.h"

struct reader {
	struct json_scan scan;
	struct buf *out;
	unsigned depth;
};

static const char *
wrong(enum json_token t, const char *why)
{
	return t == JSON_ERROR || t == JSON_END ? "not JSON" : why;
}

static void
add_quoted(struct buf *out, struct bytes text)
{
	buf_add_ch(out, '"');
	buf_add_bytes(out, text);
	buf_add_ch(out, '"');
}

/* A string, as it stands; null is none. */
static const char *
tidy_string(struct reader *r)
{
	enum json_token t = json_next(&r->scan);

	if (t == JSON_NULL)
		buf_add_str(r->out, "\"\"");
	else if (t == JSON_STRING)
		add_quoted(r->out, r->scan.text);
	else
		return wrong(t, "not a string where one belongs");
	return NULL;
}

static const char *
tidy_metadata(struct reader *r)
{
	enum json_token t = json_next(&r->scan);
	const char *why;
	unsigned n = 0;

	if (t == JSON_NULL) {
		buf_add_str(r->out, "null");
		return NULL;
	}
	if (t != JSON_OBJECT)
		return wrong(t, "metadata is no object");
	buf_add_ch(r->out, '{');
	while ((t = json_next(&r->scan)) == JSON_KEY) {
		if (n++)
			buf_add_ch(r->out, ',');
		add_quoted(r->out, r->scan.text);
		buf_add_ch(r->out, ':');
		why = tidy_string(r);
		if (why)
			return why;
	}
	buf_add_ch(r->out, '}');
	return t == JSON_OBJECT_END ? NULL : "not JSON";
}

static const char *tidy_value(struct reader *, enum json_token);

static const char *
tidy_next_value(struct reader *r)
{
	return tidy_value(r, json_next(&r->scan));
}

static const char *
tidy_values(struct reader *r)
{
	enum json_token t = json_next(&r->scan);
	const char *why;
	unsigned n = 0;

	if (t == JSON_NULL) {
		buf_add_str(r->out, "null");
		return NULL;
	}
	if (t != JSON_ARRAY)
		return wrong(t, "values is no array");
	buf_add_ch(r->out, '[');
	while ((t = json_next(&r->scan)) != JSON_ARRAY_END) {
		if (n++)
			buf_add_ch(r->out, ',');
		why = tidy_value(r, t);
		if (why)
			return why;
	}
	buf_add_ch(r->out, ']');
	return NULL;
}

struct member {
	const char *name;
	const char *(*tidy)(struct reader *);
};

/* An object with these members and no others, each at most once. */
static const char *
tidy_object(struct reader *r, enum json_token t, const struct member *members)
{
	unsigned seen = 0;
	const char *why;

	if (t != JSON_OBJECT)
		return wrong(t, "not an object where one belongs");
	buf_add_ch(r->out, '{');
	while ((t = json_next(&r->scan)) == JSON_KEY) {
		struct bytes key = r->scan.text;
		unsigned i = 0;

		while (members[i].name && !bytes_eq(key, bytes_str(members[i].name)))
			i++;
		if (!members[i].name) {
			if (!json_skip(&r->scan, json_next(&r->scan)))
				return "not JSON";
			continue;
		}
		if (seen & 1u << i)
			return "a member is there twice";
		if (seen)
			buf_add_ch(r->out, ',');
		seen |= 1u << i;
		add_quoted(r->out, bytes_str(members[i].name));
		buf_add_ch(r->out, ':');
		why = members[i].tidy(r);
		if (why)
			return why;
	}
	buf_add_ch(r->out, '}');
	return t == JSON_OBJECT_END ? NULL : "not JSON";
}

static const char *
tidy_value(struct reader *r, enum json_token t)
{
	static const struct member members[] = {
		{ "name", tidy_string }, { "type", tidy_string }, { "values", tidy_values },
		{ NULL }
	};
	const char *why;

	if (t == JSON_NULL) {
		buf_add_str(r->out, "null");
		return NULL;
	}
	if (r->depth == ENDPOINTS_DEPTH_MAX)
		return "values in values in values, over 64 deep";
	r->depth++;
	why = tidy_object(r, t, members);
	r->depth--;
	return why;
}

static const char *
tidy_endpoint(struct reader *r, enum json_token t)
{
	static const struct member members[] = {
		{ "name", tidy_string }, { "request", tidy_next_value },
		{ "response", tidy_next_value }, { "metadata", tidy_metadata }, { NULL }
	};

	return tidy_object(r, t, members);
}

static const char *
tidy_array(struct reader *r)
{
	enum json_token t = json_next(&r->scan);
	size_t begin = buf_len(r->out);
	const char *why;
	unsigned n = 0;

	if (t == JSON_NULL)
		return NULL;
	if (t != JSON_ARRAY)
		return wrong(t, "no array");
	buf_add_ch(r->out, '[');
	while ((t = json_next(&r->scan)) != JSON_ARRAY_END) {
		if (n++)
			buf_add_ch(r->out, ',');
		why = tidy_endpoint(r, t);
		if (why)
			return why;
	}
	if (n)
		buf_add_ch(r->out, ']');
	else
		buf_truncate(r->out, begin);
	return NULL;
}

static const char *
tidy_single(struct reader *r)
{
	return tidy_endpoint(r, json_next(&r->scan));
}

static const char *
tidy(struct buf *out, struct bytes text, const char *(*fn)(struct reader *))
{
	size_t begin = buf_len(out);
	struct reader *r;
	const char *why;

	if (text.n > ENDPOINTS_SIZE_MAX)
		return "over 1 MiB";
	if (!utf8_valid(text.p, text.n))
		return "not UTF-8";
	r = xmalloc(sizeof *r);
	json_scan_init(&r->scan, text.p, text.n);
	r->scan.quiet = true;
	r->out = out;
	r->depth = 0;
	why = fn(r);
	if (!why && json_next(&r->scan) != JSON_END)
		why = "not JSON";
	if (why)
		buf_truncate(out, begin);
	free(r);
	return why;
}

const char *
endpoints_tidy(struct buf *out, struct bytes text)
{
	return tidy(out, text, tidy_array);
}

const char *
endpoints_tidy_one(struct buf *out, struct bytes text)
{
	return tidy(out, text, tidy_single);
}

/* ---- what is tidied ---- */

bool
endpoints_next(struct bytes tidied, size_t *at, struct bytes *one)
{
	size_t i = *at + 1, depth = 0, from = i;
	bool quoted = false;

	/* Behind the '[' or a ','. */
	for (; i < tidied.n; i++) {
		char c = tidied.p[i];

		if (quoted) {
			i += c == '\\';
			quoted = c != '"';
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if ((c == '}' || c == ']') && --depth == 0) {
			*one = bytes_of(tidied.p + from, i + 1 - from);
			*at = i + 1;
			return true;
		}
	}
	return false;
}

/* ---- for people ---- */

struct shower {
	struct json_scan scan;
	struct buf *out, text;
	void (*show)(struct buf *, struct bytes);
};

/* The value of the string that comes next. */
static struct bytes
shown_string(struct shower *s)
{
	struct bytes text;

	if (json_next(&s->scan) != JSON_STRING)
		return BYTES("");
	text = s->scan.text;
	if (!s->scan.escaped)
		return text;
	/* It is decoded in place, and the text is somebody's. */
	buf_clear(&s->text);
	buf_add_bytes(&s->text, text);
	s->scan.text = buf_bytes(&s->text);
	return json_unescape(&s->scan, NULL);
}

/* "name Type{...}"; of the outermost value the name and the type are most often one. */
static void
show_value(struct shower *s, bool outermost)
{
	struct buf name = BUF_INIT, type = BUF_INIT;
	struct buf inside = BUF_INIT;	/* goes behind the type, whatever came first */
	struct buf *out = s->out;
	bool any = false;

	if (json_next(&s->scan) != JSON_OBJECT)
		return;

	while (json_next(&s->scan) == JSON_KEY) {
		struct bytes key = s->scan.text;

		if (bytes_eq(key, BYTES("name"))) {
			s->show(&name, shown_string(s));
		} else if (bytes_eq(key, BYTES("type"))) {
			s->show(&type, shown_string(s));
		} else if (json_next(&s->scan) == JSON_ARRAY) {
			s->out = &inside;
			while (s->scan.p < s->scan.end && *s->scan.p != ']') {
				if (*s->scan.p == ',')
					buf_add_str(&inside, ", ");
				any = true;
				show_value(s, false);
			}
			json_next(&s->scan);
			s->out = out;
		}
	}
	if (!outermost || !buf_len(&type)) {
		buf_add_bytes(out, buf_bytes(&name));
		if (buf_len(&name) && buf_len(&type))
			buf_add_ch(out, ' ');
	}
	buf_add_bytes(out, buf_bytes(&type));
	if (any) {
		buf_add_ch(out, '{');
		buf_add_bytes(out, buf_bytes(&inside));
		buf_add_ch(out, '}');
	}
	buf_release(&inside);
	buf_release(&name);
	buf_release(&type);
}

static void
show_metadata(struct shower *s, struct buf *to)
{
	if (json_next(&s->scan) != JSON_OBJECT)
		return;
	while (json_next(&s->scan) == JSON_KEY) {
		struct buf key = BUF_INIT;

		buf_add_bytes(&key, s->scan.text);
		buf_add_str(to, buf_len(to) ? " " : "  ");
		if (s->scan.escaped) {
			s->scan.text = buf_bytes(&key);
			s->show(to, json_unescape(&s->scan, NULL));
		} else {
			s->show(to, s->scan.text);
		}
		buf_release(&key);
		buf_add_ch(to, '=');
		s->show(to, shown_string(s));
	}
}

void
endpoints_add_text(struct buf *out, struct bytes one, void (*show)(struct buf *, struct bytes))
{
	struct buf name = BUF_INIT, request = BUF_INIT, response = BUF_INIT, meta = BUF_INIT;
	struct shower *s = xcalloc(1, sizeof *s);

	json_scan_init(&s->scan, one.p, one.n);
	s->scan.quiet = true;
	s->show = show;
	json_next(&s->scan);
	while (json_next(&s->scan) == JSON_KEY) {
		struct bytes key = s->scan.text;

		if (bytes_eq(key, BYTES("name"))) {
			show(&name, shown_string(s));
		} else if (bytes_eq(key, BYTES("metadata"))) {
			show_metadata(s, &meta);
		} else {
			s->out = bytes_eq(key, BYTES("request")) ? &request : &response;
			show_value(s, true);
		}
	}
	buf_add_bytes(out, buf_bytes(&name));
	buf_add_ch(out, '(');
	buf_add_bytes(out, buf_bytes(&request));
	buf_add_ch(out, ')');
	if (buf_len(&response))
		buf_add_ch(out, ' ');
	buf_add_bytes(out, buf_bytes(&response));
	buf_add_bytes(out, buf_bytes(&meta));
	buf_release(&name);
	buf_release(&request);
	buf_release(&response);
	buf_release(&meta);
	buf_release(&s->text);
	free(s);
}

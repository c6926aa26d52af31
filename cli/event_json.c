/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads events from lines of JSON: see event_json.h. One pass over the line,
 * nothing copied but escaped strings (in place); unknown fields are skipped.
 *
 * What cannot be taken exactly is an error, never a near miss: a lone surrogate
 * or invalid UTF-8 stands for no bytes, a body that is there twice has no one
 * meaning.
 */
#include "cli/event_json.h"

#include <stdlib.h>

#include "core/text.h"
#include "core/units.h"

/* Each may come once, under whichever of its names. */
enum seen {
	SEEN_V = 1, SEEN_TOPIC = 2, SEEN_KEY = 4, SEEN_BODY = 8, SEEN_HEADERS = 16, SEEN_META = 32,
	SEEN_TIME = 64, META_WIRE = 128, META_HEADERS = 256, SEEN_TYPE = 512,
	SEEN_EVENT = 1024
};

struct field {
	const char *name;
	enum seen seen;
	int (*read)(struct event_json *, const struct field *, enum json_token, struct error *);
};

static int
bad_json(const struct event_json *e, struct error *err)
{
	return error_set(err, ERR_USAGE, "not JSON: %s, at byte %zu",
		e->scan.error ? e->scan.error : "syntax error", e->scan.at + 1);
}

static int
bad_value(const struct event_json *e, const char *what, enum json_token t, const char *want,
	struct error *err)
{
	if (t == JSON_ERROR)
		return bad_json(e, err);
	return error_set(err, ERR_USAGE, "%s: %s", what, want);
}

static int
hex4(const char *p)
{
	unsigned char b[2];

	return hex_decode((char *)b, p, 4) ? b[0] << 8 | b[1] : -1;
}

/* Does an escape stand for half a character? The text is valid JSON. */
static bool
lone_surrogate(struct bytes t)
{
	const char *p = t.p, *end = t.p + t.n;

	while ((p = memchr(p, '\\', (size_t)(end - p))) && end - p >= 2) {
		int c;

		if (p[1] != 'u' || end - p < 6) {
			p += 2;
			continue;
		}
		c = hex4(p + 2);
		p += 6;
		if (c < 0xd800 || c > 0xdfff)
			continue;
		if (c > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
			return true;
		c = hex4(p + 2);
		if (c < 0xdc00 || c > 0xdfff)
			return true;
		p += 6;
	}
	return false;
}

/* The bytes of the string or key that was just read. */
static int
take_string(struct event_json *e, const char *what, struct bytes *out, struct error *err)
{
	struct bytes t = e->scan.text;

	if (!utf8_valid(t.p, t.n))
		return error_set(err, ERR_USAGE, "%s: invalid UTF-8", what);
	if (e->scan.escaped) {
		if (lone_surrogate(t))
			return error_set(err, ERR_USAGE, "%s: half a surrogate pair", what);
		t = json_unescape(&e->scan, &e->scratch);
	}
	*out = t;
	return 0;
}

static int
take_base64(struct event_json *e, const char *what, struct bytes *out, struct error *err)
{
	struct bytes t;
	size_t len;

	if (take_string(e, what, &t, err) < 0)
		return -1;
	if (!base64_decode((char *)t.p, &len, t.p, t.n))
		return error_set(err, ERR_USAGE, "%s: invalid base64, at byte %zu", what, len + 1);
	*out = bytes_of(t.p, len);
	return 0;
}

static bool
is_base64(const struct field *f)
{
	size_t n = strlen(f->name);

	return (n > 4 && strcmp(f->name + n - 4, "_b64") == 0) || strcmp(f->name, "Data") == 0;
}

/* A field that is a string or a base64 string, as its name says. */
static int
read_bytes(struct event_json *e, const struct field *f, enum json_token t, struct bytes *out,
	struct error *err)
{
	if (t != JSON_STRING)
		return bad_value(e, f->name, t, "not a string", err);
	if (is_base64(f))
		return take_base64(e, f->name, out, err);
	return take_string(e, f->name, out, err);
}

static int
read_version(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	if (t != JSON_NUMBER)
		return bad_value(e, f->name, t, "not a number", err);
	if (!bytes_eq(e->scan.text, BYTES("1")))
		return error_set(err, ERR_USAGE, "v: version %.*s of the event lines; "
			"only version 1 is known here", e->scan.text.n > 20 ? 20 :
			(int)e->scan.text.n, e->scan.text.p);
	return 0;
}

static int
read_topic(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	return read_bytes(e, f, t, &e->topic, err);
}

/* kcat writes null where there is no key. */
static int
read_key(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	return t == JSON_NULL ? 0 : read_bytes(e, f, t, &e->msg.key, err);
}

static int
read_body(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	return t == JSON_NULL ? 0 : read_bytes(e, f, t, &e->msg.body, err);
}

/* The value's own text, as it stands in the line, is the body. */
static int
read_body_text(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	const char *from, *to;

	(void)f;
	switch (t) {
	case JSON_STRING:
		from = e->scan.text.p - 1;
		to = from + e->scan.text.n + 2;
		break;
	case JSON_NUMBER:
		from = e->scan.text.p;
		to = from + e->scan.text.n;
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		from = e->scan.p - 1;	/* the scanner is behind the bracket */
		if (!json_skip(&e->scan, t))
			return bad_json(e, err);
		to = e->scan.p;
		break;
	case JSON_TRUE:
		e->msg.body = BYTES("true");
		return 0;
	case JSON_FALSE:
		e->msg.body = BYTES("false");
		return 0;
	case JSON_NULL:
		e->msg.body = BYTES("null");
		return 0;
	default:
		return bad_json(e, err);
	}
	e->msg.body = bytes_of(from, (size_t)(to - from));
	return 0;
}

/* kcat -J and mosquitto %j have a string here, kcat null for a null message,
 * mosquitto's %J the body itself where it is JSON. */
static int
read_payload(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	if (t == JSON_NULL || t == JSON_STRING)
		return read_body(e, f, t, err);
	return read_body_text(e, f, t, err);
}

/* ---- headers ---- */

static void
add_header(struct event_json *e, struct bytes name, struct bytes value)
{
	if (e->nheaders == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 16;
		e->headers = xrealloc(e->headers, e->cap * sizeof *e->headers);
	}
	e->headers[e->nheaders++] = (struct header){ name, value };
}

static const char not_a_value[] = "neither a string, null nor {\"b64\":\"...\"}";

/* A string, null (p NULL) or {"b64":"..."}. */
static int
read_value(struct event_json *e, const char *what, enum json_token t, struct bytes *out,
	struct error *err)
{
	*out = bytes_of(NULL, 0);
	if (t == JSON_NULL)
		return 0;
	if (t == JSON_STRING)
		return take_string(e, what, out, err);
	if (t != JSON_OBJECT)
		return bad_value(e, what, t, not_a_value, err);
	t = json_next(&e->scan);
	if (t != JSON_KEY || !bytes_eq(e->scan.text, BYTES("b64")))
		return bad_value(e, what, t, not_a_value, err);
	t = json_next(&e->scan);
	if (t != JSON_STRING)
		return bad_value(e, what, t, "b64: not a string", err);
	if (take_base64(e, what, out, err) < 0)
		return -1;
	t = json_next(&e->scan);
	return t == JSON_OBJECT_END ? 0 : bad_value(e, what, t, not_a_value, err);
}

/* The value or values of one name, t being the first token. */
static int
read_values(struct event_json *e, struct bytes name, enum json_token t, struct error *err)
{
	bool array = t == JSON_ARRAY;
	struct bytes value;

	if (array)
		t = json_next(&e->scan);
	while (!array || t != JSON_ARRAY_END) {
		if (read_value(e, "the value", t, &value, err) < 0)
			return error_prefix(err, "headers: %.*s", name.n > 60 ? 60 : (int)name.n,
				name.p);
		add_header(e, name, value);
		if (!array)
			break;
		t = json_next(&e->scan);
	}
	return 0;
}

/* {"name":value,...}, where an array of values is a name that repeats. */
static int
read_header_object(struct event_json *e, const char *what, struct error *err)
{
	enum json_token t;

	while ((t = json_next(&e->scan)) == JSON_KEY) {
		struct bytes name;

		if (take_string(e, what, &name, err) < 0 ||
		    read_values(e, name, json_next(&e->scan), err) < 0)
			return -1;
	}
	return t == JSON_OBJECT_END ? 0 : bad_json(e, err);
}

/* [[name,value],...], or kcat's ["name","value",...]. */
static int
read_header_array(struct event_json *e, const char *what, struct error *err)
{
	enum json_token t;

	while ((t = json_next(&e->scan)) != JSON_ARRAY_END) {
		bool pair = t == JSON_ARRAY;
		struct bytes name, value;

		if (pair)
			t = json_next(&e->scan);
		if (read_value(e, what, t, &name, err) < 0)
			return -1;
		if (!name.p)
			return error_set(err, ERR_USAGE, "%s: a name is null", what);
		t = json_next(&e->scan);
		if (t == JSON_ARRAY_END)
			return error_set(err, ERR_USAGE, "%s: a name without a value", what);
		if (read_value(e, what, t, &value, err) < 0)
			return -1;
		add_header(e, name, value);
		if (!pair)
			continue;
		t = json_next(&e->scan);
		if (t != JSON_ARRAY_END)
			return bad_value(e, what, t, "not a pair of name and value", err);
	}
	return 0;
}

static int
read_headers(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	if (t == JSON_NULL)
		return 0;
	if (t == JSON_OBJECT)
		return read_header_object(e, f->name, err);
	if (t == JSON_ARRAY)
		return read_header_array(e, f->name, err);
	return bad_value(e, f->name, t, "neither an object nor an array", err);
}

/* ---- meta ---- */

static int
meta_number(struct event_json *e, const struct field *f, enum json_token t, uint64_t max,
	uint64_t *n, struct error *err)
{
	char text[24];
	size_t len = e->scan.text.n;

	if (t != JSON_NUMBER)
		return bad_value(e, f->name, t, "not a number", err);
	if (len < sizeof text) {
		memcpy(text, e->scan.text.p, len);
		text[len] = '\0';
		if (units_count(text, max, n))
			return 0;
	}
	return error_set(err, ERR_USAGE, "%s: not a whole number up to %llu", f->name,
		(unsigned long long)max);
}

static int
meta_qos(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	uint64_t n;

	if (meta_number(e, f, t, 2, &n, err) < 0)
		return -1;
	e->meta.qos = (int)n;
	return 0;
}

static int
meta_partition(struct event_json *e, const struct field *f, enum json_token t,
	struct error *err)
{
	uint64_t n;

	if (meta_number(e, f, t, INT32_MAX, &n, err) < 0)
		return -1;
	e->meta.partition = (int64_t)n;
	return 0;
}

static int
meta_ttl(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	uint64_t n;

	if (meta_number(e, f, t, UNITS_DURATION_MAX_MS, &n, err) < 0)
		return -1;
	e->meta.props.ttl_ms = (int64_t)n;
	return 0;
}

static int
meta_retain(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	if (t != JSON_TRUE && t != JSON_FALSE)
		return bad_value(e, f->name, t, "neither true nor false", err);
	e->meta.retain = t == JSON_TRUE;
	return 0;
}

static int
meta_reply(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	return read_bytes(e, f, t, &e->meta.props.reply_to, err);
}

static int
meta_type(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	return read_bytes(e, f, t, &e->meta.props.content_type, err);
}

static int
meta_correlation(struct event_json *e, const struct field *f, enum json_token t,
	struct error *err)
{
	return read_bytes(e, f, t, &e->meta.props.correlation, err);
}

static int
meta_wire(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	struct bytes word;

	if (!e->keep_wire)
		return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
	if (read_bytes(e, f, t, &word, err) < 0)
		return -1;
	if (bytes_eq(word, BYTES("raw")))
		e->meta.wire = WIRE_RAW;
	if (bytes_eq(word, BYTES("micro")))
		e->meta.wire = WIRE_MICRO;
	return 0;
}

/* Its value says nothing: that it is there means go-micro's "Header":{}, and not null. */
static int
meta_headers(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	(void)f;
	e->empty_map = true;
	return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
}

/* Without keep_meta. */
static const struct field wire_fields[] = {
	{ "wire", META_WIRE, meta_wire },
	{ "headers", META_HEADERS, meta_headers },
	{ NULL }
};

/* Each may come once, under whichever of its names. */
static const struct field meta_fields[] = {
	{ "partition", 1, meta_partition },
	{ "qos", 2, meta_qos },
	{ "retain", 4, meta_retain },
	{ "reply", 8, meta_reply },
	{ "reply_b64", 8, meta_reply },
	{ "ttl", 16, meta_ttl },
	{ "content_type", 32, meta_type },
	{ "content_type_b64", 32, meta_type },
	{ "correlation", 64, meta_correlation },
	{ "correlation_b64", 64, meta_correlation },
	{ "wire", META_WIRE, meta_wire },
	{ "headers", META_HEADERS, meta_headers },
	{ NULL }
};

static int read_object(struct event_json *, const struct field *, unsigned *seen,
	struct error *);

static int
read_meta(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	unsigned seen = 0;

	if (!e->keep_meta && !e->keep_wire)
		return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
	if (t != JSON_OBJECT)
		return bad_value(e, f->name, t, "not an object", err);
	if (read_object(e, e->keep_meta ? meta_fields : wire_fields, &seen, err) < 0)
		return error_prefix(err, "meta");
	if ((seen & ~(unsigned)(META_WIRE | META_HEADERS)) || e->meta.wire != WIRE_AUTO)
		e->has_meta = true;
	return 0;
}

/* RFC 3339, or kcat's milliseconds since 1970. */
static int
read_time(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	char text[48];
	struct bytes b;
	uint64_t ms;

	if (!e->keep_time)
		return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
	if (t == JSON_NUMBER) {
		if (meta_number(e, f, t, INT64_MAX / 1000, &ms, err) < 0)
			return -1;
		e->meta.time_us = (int64_t)ms * 1000;
	} else {
		if (read_bytes(e, f, t, &b, err) < 0)
			return -1;
		if (b.n < sizeof text) {
			memcpy(text, b.p, b.n);
			text[b.n] = '\0';
		}
		if (b.n >= sizeof text || strlen(text) != b.n ||
		    !units_time_us(text, &e->meta.time_us))
			return error_set(err, ERR_USAGE, "ts: no time, as 2026-11-21T06:55:30.618Z "
				"is one");
	}
	e->has_meta = true;
	return 0;
}

/* ---- lines of pub --report ---- */

static int
read_type(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	(void)f;
	e->is_fate = t == JSON_STRING && bytes_eq(e->scan.text, BYTES("fate"));
	return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
}

/* Whether it is one is known at the line's end: jq may have sorted the fields. */
static int
note_event(struct event_json *e, const struct field *f, enum json_token t, struct error *err)
{
	(void)f;
	if (t == JSON_OBJECT)
		e->event = e->scan;
	return t == JSON_ERROR || !json_skip(&e->scan, t) ? bad_json(e, err) : 0;
}

/* ---- the line ---- */

static const struct field fields[] = {
	{ "v", SEEN_V, read_version },
	{ "topic", SEEN_TOPIC, read_topic },
	{ "topic_b64", SEEN_TOPIC, read_topic },
	{ "headers", SEEN_HEADERS, read_headers },
	{ "key", SEEN_KEY, read_key },
	{ "key_b64", SEEN_KEY, read_key },
	{ "body", SEEN_BODY, read_body },
	{ "body_b64", SEEN_BODY, read_body },
	{ "body_json", SEEN_BODY, read_body_text },
	{ "payload", SEEN_BODY, read_payload },		/* kcat, mosquitto */
	{ "Subject", SEEN_TOPIC, read_topic },		/* nats */
	{ "Header", SEEN_HEADERS, read_headers },
	{ "Data", SEEN_BODY, read_body },
	{ "meta", SEEN_META, read_meta },
	{ "ts", SEEN_TIME, read_time },
	{ "type", SEEN_TYPE, read_type },
	{ "event", SEEN_EVENT, note_event },
	{ NULL }
};

static const struct field *
find_field(const struct field *f, struct bytes name)
{
	for (; f->name; f++)
		if (f->name[0] == (name.n ? *name.p : 0) && bytes_eq(bytes_str(f->name), name))
			return f;
	return NULL;
}

void
event_json_init(struct event_json *e)
{
	memset(e, 0, offsetof(struct event_json, scan));
}

void
event_json_release(struct event_json *e)
{
	free(e->headers);
	buf_release(&e->scratch);
	event_json_init(e);
}

/* The fields of an object that are in the table; others are skipped. */
static int
read_object(struct event_json *e, const struct field *table, unsigned *seen, struct error *err)
{
	enum json_token t;

	while ((t = json_next(&e->scan)) == JSON_KEY) {
		const struct field *f;
		struct bytes name;

		if (take_string(e, "a field's name", &name, err) < 0)
			return -1;
		f = find_field(table, name);
		t = json_next(&e->scan);
		if (!f) {
			if (t == JSON_ERROR || !json_skip(&e->scan, t))
				return bad_json(e, err);
			continue;
		}
		if (*seen & f->seen)
			return error_set(err, ERR_USAGE, "%s: given twice", f->name);
		*seen |= f->seen;
		if (f->read(e, f, t, err) < 0)
			return -1;
	}
	return t == JSON_OBJECT_END ? 0 : bad_json(e, err);
}

int
event_json_read(struct event_json *e, char *p, size_t n, struct error *err)
{
	enum json_token t;

	static const struct header none[1];

	e->seen = 0;
	e->is_fate = false;
	e->event.begin = NULL;
	e->nheaders = 0;
	e->empty_map = false;
	e->topic = bytes_of(NULL, 0);
	memset(&e->msg, 0, sizeof e->msg);
	e->has_meta = false;
	e->meta = publish_defaults;
	json_scan_init(&e->scan, p, n);
	t = json_next(&e->scan);
	if (t == JSON_ERROR)
		return bad_json(e, err);
	if (t != JSON_OBJECT)
		return error_set(err, ERR_USAGE, "not a JSON object");
	if (read_object(e, fields, &e->seen, err) < 0)
		return -1;
	if (json_next(&e->scan) != JSON_END)
		return bad_json(e, err);
	if (e->is_fate && e->event.begin) {
		e->scan = e->event;
		e->seen = 0;
		if (read_object(e, fields, &e->seen, err) < 0)
			return error_prefix(err, "event");
	}
	if (!(e->seen & SEEN_BODY))
		return error_set(err, ERR_USAGE, "body: missing");
	e->msg.headers = e->nheaders ? e->headers : e->empty_map ? none : NULL;
	e->msg.nheaders = e->nheaders;
	return 0;
}

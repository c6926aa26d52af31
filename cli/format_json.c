/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as lines of JSON, schema version 1:
 *
 *	{"v":1,"n":1,"topic":"t","ts":"...Z","headers":{"k":"v"},"body":"hello",
 *	"len":5,"meta":{"broker":"http","wire":"micro","ts":"recv"}}
 *
 * Whatever the bytes are, a line is valid UTF-8 without a raw control character,
 * and reading it (cli/event_json.c) gives the same bytes back: what is not text
 * goes in base64. Text means strict UTF-8 without U+0000, at which readers with
 * C strings stop.
 */
#include <stdlib.h>

#include "cli/format.h"
#include "cli/json_show.h"
#include "core/json.h"
#include "core/text.h"

#define ADD(out, lit) buf_add(out, "" lit, sizeof(lit) - 1)

static bool
is_text(struct bytes b)
{
	return b.n == 0 || (!memchr(b.p, 0, b.n) && utf8_valid(b.p, b.n));
}

static void
add_base64(struct buf *out, struct bytes b)
{
	buf_add_ch(out, '"');
	buf_add_base64(out, b.p, b.n);
	buf_add_ch(out, '"');
}

/* "name":"text" or "name_b64":"base64". */
static void
add_field(struct buf *out, const char *name, struct bytes b)
{
	bool text = is_text(b);

	buf_add_ch(out, '"');
	buf_add_str(out, name);
	if (text) {
		ADD(out, "\":");
		json_add_string(out, b);
	} else {
		ADD(out, "_b64\":");
		add_base64(out, b);
	}
}

/* A header's name or value. */
void
format_add_json(struct buf *out, struct bytes b)
{
	if (!b.p) {
		ADD(out, "null");
	} else if (is_text(b)) {
		json_add_string(out, b);
	} else {
		ADD(out, "{\"b64\":");
		add_base64(out, b);
		buf_add_ch(out, '}');
	}
}

static int
by_name(const void *a, const void *b)
{
	const struct header *const *x = a, *const *y = b;
	int c = bytes_cmp((*x)->name, (*y)->name);

	return c ? c : (*x > *y) - (*x < *y);
}

/* Does a name come again after another name was between? Then only the array
 * form keeps the order. */
static bool
repeats_apart(const struct header *h, size_t n)
{
	const struct header **sorted;
	bool apart = false;

	if (n <= 16) {
		for (size_t i = 2; i < n; i++)
			for (size_t j = 0; j + 1 < i; j++)
				if (bytes_eq(h[i].name, h[j].name) &&
				    !bytes_eq(h[i].name, h[i - 1].name))
					return true;
		return false;
	}
	sorted = xmalloc(n * sizeof *sorted);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &h[i];
	qsort(sorted, n, sizeof *sorted, by_name);
	for (size_t i = 1; i < n && !apart; i++)
		apart = sorted[i] != sorted[i - 1] + 1 &&
			bytes_eq(sorted[i]->name, sorted[i - 1]->name);
	free(sorted);
	return apart;
}

static void
add_header_array(struct buf *out, const struct header *h, size_t n)
{
	buf_add_ch(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_ch(out, ',');
		buf_add_ch(out, '[');
		format_add_json(out, h[i].name);
		buf_add_ch(out, ',');
		format_add_json(out, h[i].value);
		buf_add_ch(out, ']');
	}
	buf_add_ch(out, ']');
}

static void
add_header_object(struct buf *out, const struct header *h, size_t n)
{
	buf_add_ch(out, '{');
	for (size_t i = 0, end; i < n; i = end) {
		if (i)
			buf_add_ch(out, ',');
		json_add_string(out, h[i].name);
		buf_add_ch(out, ':');
		for (end = i + 1; end < n && bytes_eq(h[end].name, h[i].name); end++)
			;
		if (end == i + 1) {
			format_add_json(out, h[i].value);
			continue;
		}
		for (size_t j = i; j < end; j++) {
			buf_add_ch(out, j == i ? '[' : ',');
			format_add_json(out, h[j].value);
		}
		buf_add_ch(out, ']');
	}
	buf_add_ch(out, '}');
}

static void
add_headers(struct buf *out, const struct message *m)
{
	bool object = true;

	for (size_t i = 0; i < m->nheaders && object; i++)
		object = is_text(m->headers[i].name);
	if (object && !repeats_apart(m->headers, m->nheaders))
		add_header_object(out, m->headers, m->nheaders);
	else
		add_header_array(out, m->headers, m->nheaders);
}

static void
add_i64(struct buf *out, int64_t v)
{
	if (v < 0)
		buf_add_ch(out, '-');
	buf_add_u64(out, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void
add_optional(struct buf *out, const char *name, struct bytes b)
{
	if (!b.p)
		return;
	buf_add_ch(out, ',');
	add_field(out, name, b);
}

/* What the broker told. pub -J --keep-meta reads it again. */
static void
add_meta(struct formatter *f, struct buf *out, const struct event *ev)
{
	static const char *const time_kind[] = {
		[EVENT_TIME_RECV] = "recv",
		[EVENT_TIME_CREATE] = "create",
		[EVENT_TIME_APPEND] = "append",
	};

	ADD(out, ",\"meta\":{\"broker\":\"");
	buf_add_str(out, f->broker);
	buf_add_ch(out, '"');
	if (ev->partition >= 0) {
		ADD(out, ",\"partition\":");
		add_i64(out, ev->partition);
	}
	if (ev->offset >= 0) {
		ADD(out, ",\"offset\":");
		add_i64(out, ev->offset);
	}
	add_optional(out, "id", ev->id);
	if (ev->qos >= 0) {
		ADD(out, ",\"qos\":");
		add_i64(out, ev->qos);
	}
	if (ev->retain)
		ADD(out, ",\"retain\":true");
	add_optional(out, "reply", ev->props.reply_to);
	if (ev->props.ttl_ms >= 0) {
		ADD(out, ",\"ttl\":");
		add_i64(out, ev->props.ttl_ms);
	}
	add_optional(out, "content_type", ev->props.content_type);
	add_optional(out, "correlation", ev->props.correlation);
	if (ev->wire == EVENT_WIRE_MICRO)
		ADD(out, ",\"wire\":\"micro\"");
	else
		ADD(out, ",\"wire\":\"raw\"");
	/* go-micro tells an empty map of headers from none: {} from null. */
	if (ev->wire == EVENT_WIRE_MICRO && ev->msg.headers && !ev->msg.nheaders)
		ADD(out, ",\"headers\":{}");
	if (ev->time_kind == EVENT_TIME_NONE) {
		buf_add_ch(out, '}');
		return;
	}
	ADD(out, ",\"ts\":\"");
	buf_add_str(out, time_kind[ev->time_kind]);
	ADD(out, "\"}");
}

void
format_add_json_event(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n,
	bool body_json)
{
	const struct message *m = &ev->msg;

	buf_room(out, 256 + m->body.n + ev->topic.n);
	ADD(out, "{\"v\":1,\"n\":");
	buf_add_u64(out, n);
	buf_add_ch(out, ',');
	add_field(out, "topic", ev->topic);
	if (ev->time_kind != EVENT_TIME_NONE) {
		ADD(out, ",\"ts\":\"");
		format_add_time(&f->stamp, out, ev->time_us, 6);
		buf_add_ch(out, '"');
	}
	ADD(out, ",\"headers\":");
	if (m->nheaders)
		add_headers(out, m);
	else
		ADD(out, "{}");
	if (m->key.p) {
		buf_add_ch(out, ',');
		add_field(out, "key", m->key);
	}
	buf_add_ch(out, ',');
	if (m->body.p) {
		if (body_json && json_valid(m->body.p, m->body.n) &&
		    utf8_valid(m->body.p, m->body.n)) {
			ADD(out, "\"body_json\":");
			json_show(out, m->body, JSON_COMPACT, false);
		} else {
			add_field(out, "body", m->body);
		}
		ADD(out, ",\"len\":");
		buf_add_u64(out, m->body.n);
	} else {
		ADD(out, "\"body\":null,\"len\":-1");
	}
	add_meta(f, out, ev);
	buf_add_ch(out, '}');
}

static void
json_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	if (f->color || f->pretty || f->terminal) {
		buf_clear(&f->line);
		format_add_json_event(f, &f->line, ev, n, f->body_json);
		json_show(out, buf_bytes(&f->line), f->pretty ? JSON_PRETTY : JSON_KEEP, f->color);
	} else {
		format_add_json_event(f, out, ev, n, f->body_json);
	}
	buf_add_bytes(out, f->end.p ? f->end : BYTES("\n"));
}

const struct format format_json = { .name = "json", .add = json_add };

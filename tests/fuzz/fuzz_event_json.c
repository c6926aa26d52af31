/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event lines. Properties: a line is read or refused in the words of one usage
 * error; what was read, written as a line and read again, is the same topic, key,
 * headers and body, and with keep_meta the same options; the written line is valid
 * UTF-8 and one line, without a raw control character; a body taken as JSON is JSON.
 * The default output, too, takes whatever comes, and on a terminal lets no control
 * character through but its own newlines and tabs.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/event_json.h"
#include "cli/format.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(cond) do { if (!(cond)) abort(); } while (0)

static void
must_be_same(struct bytes a, struct bytes b)
{
	must(!a.p == !b.p && bytes_eq(a, b));
}

static void
must_be_one_line(struct bytes line)
{
	must(line.n > 0 && line.p[line.n - 1] == '\n');
	must(utf8_valid(line.p, line.n));
	must(!memmem(line.p, line.n, "\xe2\x80\xa8", 3));
	must(!memmem(line.p, line.n, "\xe2\x80\xa9", 3));
	for (size_t i = 0; i + 1 < line.n; i++)
		must((unsigned char)line.p[i] >= 0x20 && line.p[i] != 0x7f);
}

static void
must_be_safe(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		must(c >= 0x20 || c == '\n' || c == '\t' ||
			(c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n'));
		must(c != 0x7f);
		must(c != 0xc2 || (unsigned char)text.p[i + 1] >= 0xa0);
	}
	must(utf8_valid(text.p, text.n));
}

static void
check_event(struct event *ev)
{
	struct formatter json = { .format = &format_json, .broker = "b" };
	struct formatter text = { .format = &format_text, .terminal = true, .max_body = 40 };
	struct event_json again;
	struct buf out = BUF_INIT;
	struct error err;

	format_add(&json, &out, ev, 1);
	must_be_one_line(buf_bytes(&out));
	event_json_init(&again);
	again.keep_meta = true;
	must(event_json_read(&again, buf_data(&out), buf_len(&out) - 1, &err) == 0);
	must_be_same(again.topic, ev->topic);
	must_be_same(again.msg.key, ev->msg.key);
	must_be_same(again.msg.body, ev->msg.body);
	must(again.msg.nheaders == ev->msg.nheaders);
	for (size_t i = 0; i < ev->msg.nheaders; i++) {
		must_be_same(again.msg.headers[i].name, ev->msg.headers[i].name);
		must_be_same(again.msg.headers[i].value, ev->msg.headers[i].value);
	}
	must(again.meta.qos == ev->qos && again.meta.retain == ev->retain);
	must(again.meta.partition == ev->partition);
	must(again.meta.props.ttl_ms == ev->props.ttl_ms);
	must_be_same(again.meta.props.content_type, ev->props.content_type);
	must_be_same(again.meta.props.reply_to, ev->props.reply_to);
	must_be_same(again.meta.props.correlation, ev->props.correlation);
	event_json_release(&again);
	buf_clear(&out);
	format_add(&text, &out, ev, 1);
	must_be_safe(buf_bytes(&out));
	buf_release(&out);
}

static bool
starts_with(const uint8_t *data, size_t size, const char *what)
{
	return size >= strlen(what) && memcmp(data, what, strlen(what)) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event ev = event_none;
	struct event_json e;
	struct error err = ERROR_INIT;
	char *line = malloc(size);	/* no byte behind it */

	memcpy(line, data, size);
	event_json_init(&e);
	e.keep_meta = size && data[size - 1] != ' ';
	if (event_json_read(&e, line, size, &err) == 0) {
		ev.topic = e.topic.p ? e.topic : BYTES("");
		ev.msg = e.msg;
		if (e.keep_meta) {
			ev.qos = e.meta.qos;
			ev.retain = e.meta.retain;
			ev.partition = e.meta.partition;
			ev.props = e.meta.props;
		}
		check_event(&ev);
		if (starts_with(data, size, "{\"body_json\":"))
			must(json_valid(e.msg.body.p, e.msg.body.n));
	} else {
		must(err.kind == ERR_USAGE && *err.text);
		must(!memchr(err.text, '\n', strlen(err.text)) || memchr(data, '\n', size) ||
			memmem(data, size, "\\", 1));
	}
	event_json_release(&e);
	/* And the bytes themselves as an event. */
	ev = event_none;
	ev.topic = bytes_of(data, size < 20 ? size : 20);
	ev.msg.body = bytes_of(data, size);
	check_event(&ev);
	free(line);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What an event is in MQTT: see mqtt_map.h. */
#include "backends/mqtt/mqtt_map.h"

#include <stdlib.h>

#include "core/log.h"
#include "core/text.h"

unsigned
mqtt_map_caps(enum wire wire, enum mqtt_version v)
{
	unsigned caps = BROKER_GROUP | BROKER_ACK | BROKER_TLS | BROKER_USER | BROKER_RECONNECT |
		BROKER_RAW | BROKER_QOS | BROKER_RETAIN | BROKER_ACK_CHOICE;

	if (v == MQTT_V5)
		caps |= BROKER_PROPS;
	if (wire != WIRE_RAW)
		return caps | BROKER_HEADER | BROKER_NULL_BODY;
	return v == MQTT_V5 ? caps | BROKER_HEADER | BROKER_REPEAT_HEADER : caps;
}

/* ---- topics ---- */

/* What a text "should not include" (MQTT 5, 1.5.4: control characters, what is no
 * character): Mosquitto ends the connection for it, and with it goes the answer to
 * everything that is under way. 0: there is none. */
static uint32_t
unwelcome(struct bytes b)
{
	size_t i = 0;

	while (i < b.n && (unsigned char)(b.p[i] - ' ') < 0x7f - ' ')
		i++;
	while (i < b.n) {
		unsigned n = utf8_seq(b.p + i, b.n - i);
		uint32_t c = utf8_decode(b.p + i, n);

		if (c < ' ' || (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) ||
		    (c & 0xfffe) == 0xfffe)
			return c;
		i += n;
	}
	return 0;
}

static int
check_text(const char *what, struct bytes b, struct error *err)
{
	uint32_t c;

	if (b.n > MQTT_TEXT_MAX)
		return error_set(err, ERR_REFUSED, "%s: %zu bytes, and MQTT takes 65535", what, b.n);
	if (b.n && memchr(b.p, '\0', b.n))
		return error_set(err, ERR_REFUSED, "%s: holds a NUL, which MQTT does not carry", what);
	if (!utf8_valid(b.p, b.n))
		return error_set(err, ERR_REFUSED, "%s: not UTF-8, and MQTT carries text only", what);
	c = unwelcome(b);
	if (c)
		return error_set(err, ERR_REFUSED, "%s: holds U+%04X, for which servers of MQTT end "
			"the connection", what, (unsigned)c);
	return 0;
}

int
mqtt_check_topic(struct bytes topic, struct error *err)
{
	if (!topic.n)
		return error_set(err, ERR_REFUSED, "the mqtt broker has no empty topic");
	if (memchr(topic.p, '+', topic.n) || memchr(topic.p, '#', topic.n))
		return error_set(err, ERR_REFUSED, "topic: + and # are wildcards, for subscribing "
			"only");
	return check_text("topic", topic, err);
}

int
mqtt_check_filter(struct bytes f, const char *group, struct error *err)
{
	size_t share = group ? strlen(group) + sizeof "$share//" - 1 : 0;
	bool fits = true;

	if (!f.n)
		return error_set(err, ERR_USAGE, "the mqtt broker has no empty topic");
	if (check_text("topic", f, err) < 0 || (group && check_text("group",
	    bytes_str(group), err) < 0)) {
		err->kind = ERR_USAGE;
		return -1;
	}
	if (f.n + share > MQTT_TEXT_MAX)
		return error_set(err, ERR_USAGE, "topic: %zu bytes with its group, and MQTT takes "
			"65535", f.n + share);
	if (group && (!*group || strpbrk(group, "/+#")))
		return error_set(err, ERR_USAGE, "group %s: not empty, and without / + #", group);
	/* A wildcard is a whole level, and # the last one. */
	for (size_t i = 0; i < f.n; i++) {
		bool begins = !i || f.p[i - 1] == '/', ends = i + 1 == f.n;

		if (f.p[i] == '#')
			fits &= begins && ends;
		else if (f.p[i] == '+')
			fits &= begins && (ends || f.p[i + 1] == '/');
	}
	if (!fits)
		return error_set(err, ERR_USAGE, "topic: + stands for one whole level, # for all "
			"the rest (a/+/c, a/#)");
	return 0;
}

void
mqtt_add_shared(struct buf *b, struct bytes filter, const char *group)
{
	if (group)
		buf_addf(b, "$share/%s/", group);
	buf_add_bytes(b, filter);
}

/* ---- publishing ---- */

static int
check_props(const struct properties *props, struct error *err)
{
	if (check_text("content type", props->content_type, err) < 0)
		return -1;
	if (props->reply_to.p) {
		if (mqtt_check_topic(props->reply_to, err) < 0)
			return error_prefix(err, "reply topic");
	}
	if (props->correlation.n > MQTT_TEXT_MAX)
		return error_set(err, ERR_REFUSED, "correlation: %zu bytes, and MQTT takes 65535",
			props->correlation.n);
	return 0;
}

int
mqtt_map_check(const struct publication *p, enum wire wire, struct error *err)
{
	if (mqtt_check_topic(p->topic, err) < 0)
		return -1;
	if (p->opts && check_props(&p->opts->props, err) < 0)
		return -1;
	if (wire != WIRE_RAW)
		return 0;
	for (size_t i = 0; i < p->msg.nheaders; i++) {
		const struct header *h = &p->msg.headers[i];

		if (check_text("header name", h->name, err) < 0)
			return -1;
		if (check_text("value", h->value, err) < 0)
			return error_prefix(err, "header %.*s", BYTES_FMT(h->name));
	}
	return 0;
}

void
mqtt_map_payload(struct buf *b, const struct publication *p, enum wire wire)
{
	if (wire == WIRE_RAW)
		buf_add_bytes(b, p->msg.body);
	else
		envelope_write(b, &p->msg, NULL, 0);
}

size_t
mqtt_map_guess(const struct publication *p, enum wire wire)
{
	size_t n;

	if (wire == WIRE_RAW)
		return p->msg.body.n;
	n = sizeof "{\"Header\":null,\"Body\":\"\"}" - 1 + base64_len(p->msg.body.n);
	for (size_t i = 0; i < p->msg.nheaders; i++)
		n += p->msg.headers[i].name.n + p->msg.headers[i].value.n + sizeof "\"\":\"\"," - 1;
	return n;
}

/* Whether the user's headers travel as MQTT's own. */
static bool
own_headers(const struct publication *p, enum wire wire)
{
	return wire == WIRE_RAW && p->msg.nheaders;
}

bool
mqtt_map_has_props(const struct publication *p, enum wire wire)
{
	const struct properties *props = p->opts ? &p->opts->props : NULL;

	return own_headers(p, wire) || (props && (props->content_type.p || props->reply_to.p ||
		props->correlation.p || props->ttl_ms >= 0));
}

void
mqtt_map_props(const struct publication *p, enum wire wire, const struct mqtt_map_sink *to,
	void *arg)
{
	const struct properties *props = p->opts ? &p->opts->props : &properties_none;
	uint64_t seconds;

	if (props->ttl_ms >= 0) {
		/* Rounded up: an event that may live for a moment is not one that
		 * must not live at all. */
		seconds = ((uint64_t)props->ttl_ms + 999) / 1000;
		to->number(arg, MQTT_PROP_EXPIRY,
			seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds);
	}
	if (props->content_type.p)
		to->text(arg, MQTT_PROP_CONTENT_TYPE, props->content_type);
	if (props->reply_to.p)
		to->text(arg, MQTT_PROP_RESPONSE_TOPIC, props->reply_to);
	if (props->correlation.p)
		to->text(arg, MQTT_PROP_CORRELATION, props->correlation);
	for (size_t i = 0; own_headers(p, wire) && i < p->msg.nheaders; i++)
		to->pair(arg, p->msg.headers[i].name, p->msg.headers[i].value);
}

/* ---- receiving ---- */

void
mqtt_map_in_init(struct mqtt_map_in *in, enum wire wire)
{
	*in = (struct mqtt_map_in){ .wire = wire, .props = properties_none };
	envelope_init(&in->envelope);
}

void
mqtt_map_in_release(struct mqtt_map_in *in)
{
	envelope_release(&in->envelope);
	free(in->headers);
	in->headers = NULL;
}

void
mqtt_map_in_begin(struct mqtt_map_in *in)
{
	in->nheaders = 0;
	in->props = properties_none;
}

void
mqtt_map_in_prop(struct mqtt_map_in *in, const struct mqtt_prop *prop)
{
	switch (prop->id) {
	case MQTT_PROP_CONTENT_TYPE: in->props.content_type = prop->text; break;
	case MQTT_PROP_RESPONSE_TOPIC: in->props.reply_to = prop->text; break;
	case MQTT_PROP_CORRELATION: in->props.correlation = prop->text; break;
	case MQTT_PROP_EXPIRY: in->props.ttl_ms = (int64_t)prop->number * 1000; break;
	case MQTT_PROP_USER:
		if (in->nheaders == in->cap) {
			in->cap = in->cap ? in->cap * 2 : 16;
			in->headers = xrealloc(in->headers, in->cap * sizeof *in->headers);
		}
		in->headers[in->nheaders++] = (struct header){ prop->text, prop->value };
		break;
	default: break;
	}
}

/* true: the payload was an envelope, and is taken apart. */
static bool
in_envelope(struct mqtt_map_in *in, struct bytes topic, char *p, size_t n)
{
	if (in->wire == WIRE_RAW)
		return false;
	if (envelope_looks_like(p, n))
		return envelope_read(&in->envelope, p, n) == 0;
	if (in->wire != WIRE_MICRO)
		return false;
	/* Go's decoder takes more than that; but it works in place, so what it does
	 * not take must be put back. */
	char *copy = xmalloc(n + 1);

	if (n)
		memcpy(copy, p, n);
	if (envelope_read(&in->envelope, p, n) == 0) {
		free(copy);
		return true;
	}
	if (!in->warned)
		log_warn("%.*s: no go-micro envelope (%s): shown as it is, and so are others",
			BYTES_FMT(topic), in->envelope.error);
	in->warned = true;
	if (n)
		memcpy(p, copy, n);
	free(copy);
	return false;
}

void
mqtt_map_in_event(struct mqtt_map_in *in, struct bytes topic, char *p, size_t n,
	struct event *ev)
{
	ev->topic = topic;
	ev->props = in->props;
	if (in_envelope(in, topic, p, n)) {
		ev->wire = EVENT_WIRE_MICRO;
		ev->msg = in->envelope.msg;
		return;
	}
	ev->wire = EVENT_WIRE_RAW;
	ev->payload = bytes_of(p, n);
	ev->msg = (struct message){ in->nheaders ? in->headers : NULL, in->nheaders, { NULL, 0 },
		bytes_of(p, n) };
}

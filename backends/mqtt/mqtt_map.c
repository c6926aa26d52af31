/* SPDX-License-Identifier: Apache-2.0 */
/* What an event is in MQTT: see mqtt_map.h. */
#include "backends/mqtt/mqtt_map.h"

#include <stdlib.h>

#include "core/log.h"
#include "core/text.h"

unsigned
mqtt_map_caps(enum wire wire, enum mqtt_version v)
{
	unsigned caps = wire_caps(wire) | BROKER_GROUP | BROKER_ACK | BROKER_TLS | BROKER_USER |
		BROKER_RECONNECT | BROKER_QOS | BROKER_RETAIN | BROKER_ACK_CHOICE;

	if (v != MQTT_V5)
		return caps;
	caps |= BROKER_PROPS;
	return wire == WIRE_RAW ? caps | BROKER_HEADER | BROKER_REPEAT_HEADER : caps;
}

const char *
mqtt_lacks(const struct broker *b, unsigned caps)
{
	(void)b;
	if (caps & BROKER_PROPS)
		return "MQTT 3.1.1 has none (version 5 has: -X mqtt.version=5)";
	if (caps & BROKER_HEADER)
		return "the bare body of MQTT 3.1.1 has no headers; version 5 has, and go-micro's "
			"envelope (--wire micro)";
	if (caps & BROKER_NULL_BODY)
		return "a bare body cannot be null; in go-micro's envelope it can (--wire micro)";
	return NULL;
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

static const struct bytes share = BYTES("$share/");

static bool
is_shared(struct bytes filter)
{
	return filter.n >= share.n && memcmp(filter.p, share.p, share.n) == 0;
}

struct bytes
mqtt_bare_filter(struct bytes filter)
{
	const char *slash = is_shared(filter) ? memchr(filter.p + share.n, '/',
		filter.n - share.n) : NULL;

	return slash ? bytes_of(slash + 1, filter.n - (size_t)(slash + 1 - filter.p)) : filter;
}

/* "$share/GROUP/FILTER", written by the user. */
static int
check_shared(struct bytes f, const char *group, struct error *err)
{
	struct bytes bare = mqtt_bare_filter(f);
	size_t name = f.n - bare.n;

	if (group)
		return error_set(err, ERR_USAGE, "topic: %.*s names a group, and so does --group %s",
			BYTES_FMT(share), group);
	name = name > share.n ? name - share.n - 1 : 0;
	if (!name || !bare.n || memchr(f.p + share.n, '+', name) || memchr(f.p + share.n, '#', name))
		return error_set(err, ERR_USAGE, "topic: nothing can come for it: write "
			"$share/GROUP/TOPIC, the group without + and #, or --group GROUP TOPIC");
	return 0;
}

int
mqtt_check_filter(struct bytes f, const char *group, struct error *err)
{
	size_t more = group ? strlen(group) + sizeof "$share//" - 1 : 0;
	bool fits = true;

	if (!f.n)
		return error_set(err, ERR_USAGE, "the mqtt broker has no empty topic");
	if (check_text("topic", f, err) < 0 || (group && check_text("group",
	    bytes_str(group), err) < 0)) {
		err->kind = ERR_USAGE;
		return -1;
	}
	if (f.n + more > MQTT_TEXT_MAX)
		return error_set(err, ERR_USAGE, "topic: %zu bytes with its group, and MQTT takes "
			"65535", f.n + more);
	if (group && (!*group || strpbrk(group, "/+#")))
		return error_set(err, ERR_USAGE, "group %s: not empty, and without / + #", group);
	if (is_shared(f) && check_shared(f, group, err) < 0)
		return -1;
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

/* An empty retained event is none: it clears what the server keeps, and only a payload
 * of no bytes does. */
static bool
is_bare(const struct publication *p, enum wire wire)
{
	return wire == WIRE_RAW ||
		(p->opts && p->opts->retain && !p->msg.body.n && !p->msg.nheaders);
}

void
mqtt_map_payload(struct buf *b, const struct publication *p, enum wire wire)
{
	wire_write(b, &p->msg, is_bare(p, wire) ? WIRE_RAW : wire);
}

size_t
mqtt_map_guess(const struct publication *p, enum wire wire)
{
	return wire_guess(&p->msg, is_bare(p, wire) ? WIRE_RAW : wire);
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
	*in = (struct mqtt_map_in){ .props = properties_none };
	wire_reader_init(&in->reader, wire);
}

void
mqtt_map_in_release(struct mqtt_map_in *in)
{
	wire_reader_release(&in->reader);
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

void
mqtt_map_in_event(struct mqtt_map_in *in, struct bytes topic, char *p, size_t n,
	struct event *ev)
{
	ev->topic = topic;
	ev->props = in->props;
	wire_read(&in->reader, p, n, ev, &in->warned);
	if (ev->wire == EVENT_WIRE_RAW && in->nheaders) {
		ev->msg.headers = in->headers;
		ev->msg.nheaders = in->nheaders;
	}
}

void
mqtt_map_missed(const char *server, bool wanted, bool kept, bool qos0)
{
	if (!wanted)
		log_warn("%s: events that were published meanwhile are lost, as there is no session to "
			"keep them (-X mqtt.session, mqtt.client_id)", server);
	else if (!kept)
		log_warn("%s: the server has forgotten the session: events that it had for us, or "
			"that were published meanwhile, are lost", server);
	else if (qos0)
		log_warn("%s: events of QoS 0 that were published meanwhile are lost, unless the "
			"server keeps those, too", server);
}

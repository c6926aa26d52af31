/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT packets, reading: see mqtt.h. Writing is in mqtt_write.c. */
#include "backends/proto/mqtt.h"

#include "core/text.h"

/* ---- a reader over what is left of a packet ---- */

struct cursor {
	const unsigned char *p;
	size_t n;
	const char *why;		/* NULL: all was well so far */
};

static void
fault(struct cursor *c, const char *why)
{
	if (!c->why)
		c->why = why;
	c->n = 0;
}

static unsigned
take_byte(struct cursor *c)
{
	if (!c->n) {
		fault(c, "ends too early");
		return 0;
	}
	c->n--;
	return *c->p++;
}

static unsigned
take_u16(struct cursor *c)
{
	unsigned high = take_byte(c);

	return high << 8 | take_byte(c);
}

static uint32_t
take_u32(struct cursor *c)
{
	uint32_t high = take_u16(c);

	return high << 16 | take_u16(c);
}

/* Up to four bytes of seven bits, in as few as it takes. */
static uint32_t
take_varint(struct cursor *c)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned byte = take_byte(c);

		v |= (uint32_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		if (i && !byte)
			fault(c, "a length in more bytes than it takes");
		return v;
	}
	fault(c, "a length of more than four bytes");
	return 0;
}

static struct bytes
take(struct cursor *c, size_t n)
{
	struct bytes b;

	if (n > c->n) {
		fault(c, "ends too early");
		return BYTES("");
	}
	b = bytes_of(c->p, n);
	c->p += n;
	c->n -= n;
	return b;
}

static struct bytes
take_binary(struct cursor *c)
{
	return take(c, take_u16(c));
}

bool
mqtt_text_valid(struct bytes b)
{
	return b.n <= MQTT_TEXT_MAX && (!b.n || (!memchr(b.p, '\0', b.n) && utf8_valid(b.p, b.n)));
}

static struct bytes
take_text(struct cursor *c)
{
	struct bytes b = take_binary(c);

	if (!mqtt_text_valid(b))
		fault(c, "a text that is not UTF-8, or holds a NUL");
	return b;
}

static uint16_t
take_id(struct cursor *c)
{
	unsigned id = take_u16(c);

	if (!id)
		fault(c, "packet id 0");
	return (uint16_t)id;
}

/* ---- properties ---- */

enum prop_kind { PROP_NONE, PROP_FLAG, PROP_U16, PROP_U32, PROP_VARINT, PROP_TEXT, PROP_BINARY,
	PROP_PAIR };

enum { WILL = 0 };			/* a bit of its own beside the packets' */
#define IN(type) (1u << (type))
#define ACKS (IN(MQTT_PUBACK) | IN(MQTT_PUBREC) | IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP) | \
	IN(MQTT_SUBACK) | IN(MQTT_UNSUBACK))

static const struct prop_row {
	unsigned char kind;
	bool not_zero;
	unsigned in;			/* the packets it may be in */
} prop_rows[] = {
	[MQTT_PROP_PAYLOAD_FORMAT] = { PROP_FLAG, 0, IN(MQTT_PUBLISH) | IN(WILL) },
	[MQTT_PROP_EXPIRY] = { PROP_U32, 0, IN(MQTT_PUBLISH) | IN(WILL) },
	[MQTT_PROP_CONTENT_TYPE] = { PROP_TEXT, 0, IN(MQTT_PUBLISH) | IN(WILL) },
	[MQTT_PROP_RESPONSE_TOPIC] = { PROP_TEXT, 0, IN(MQTT_PUBLISH) | IN(WILL) },
	[MQTT_PROP_CORRELATION] = { PROP_BINARY, 0, IN(MQTT_PUBLISH) | IN(WILL) },
	[MQTT_PROP_SUBSCRIPTION_ID] = { PROP_VARINT, 1, IN(MQTT_PUBLISH) | IN(MQTT_SUBSCRIBE) },
	[MQTT_PROP_SESSION_EXPIRY] = { PROP_U32, 0,
		IN(MQTT_CONNECT) | IN(MQTT_CONNACK) | IN(MQTT_DISCONNECT) },
	[MQTT_PROP_ASSIGNED_ID] = { PROP_TEXT, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_SERVER_KEEPALIVE] = { PROP_U16, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_AUTH_METHOD] = { PROP_TEXT, 0,
		IN(MQTT_CONNECT) | IN(MQTT_CONNACK) | IN(MQTT_AUTH) },
	[MQTT_PROP_AUTH_DATA] = { PROP_BINARY, 0,
		IN(MQTT_CONNECT) | IN(MQTT_CONNACK) | IN(MQTT_AUTH) },
	[MQTT_PROP_WANT_PROBLEM] = { PROP_FLAG, 0, IN(MQTT_CONNECT) },
	[MQTT_PROP_WILL_DELAY] = { PROP_U32, 0, IN(WILL) },
	[MQTT_PROP_WANT_RESPONSE] = { PROP_FLAG, 0, IN(MQTT_CONNECT) },
	[MQTT_PROP_RESPONSE_INFO] = { PROP_TEXT, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_SERVER_REFERENCE] = { PROP_TEXT, 0, IN(MQTT_CONNACK) | IN(MQTT_DISCONNECT) },
	[MQTT_PROP_REASON] = { PROP_TEXT, 0,
		ACKS | IN(MQTT_CONNACK) | IN(MQTT_DISCONNECT) | IN(MQTT_AUTH) },
	[MQTT_PROP_RECEIVE_MAXIMUM] = { PROP_U16, 1, IN(MQTT_CONNECT) | IN(MQTT_CONNACK) },
	[MQTT_PROP_ALIAS_MAXIMUM] = { PROP_U16, 0, IN(MQTT_CONNECT) | IN(MQTT_CONNACK) },
	[MQTT_PROP_ALIAS] = { PROP_U16, 1, IN(MQTT_PUBLISH) },
	[MQTT_PROP_MAXIMUM_QOS] = { PROP_FLAG, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_RETAIN_AVAILABLE] = { PROP_FLAG, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_USER] = { PROP_PAIR, 0, ~0u },
	[MQTT_PROP_MAXIMUM_PACKET] = { PROP_U32, 1, IN(MQTT_CONNECT) | IN(MQTT_CONNACK) },
	[MQTT_PROP_WILDCARD_AVAILABLE] = { PROP_FLAG, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE] = { PROP_FLAG, 0, IN(MQTT_CONNACK) },
	[MQTT_PROP_SHARED_AVAILABLE] = { PROP_FLAG, 0, IN(MQTT_CONNACK) },
};

static void
take_prop(struct cursor *c, struct mqtt_prop *prop)
{
	uint32_t id = take_varint(c);

	*prop = (struct mqtt_prop){ 0 };
	if (c->why)
		return;
	if (id >= sizeof prop_rows / sizeof *prop_rows) {
		fault(c, "a property that does not exist");
		return;
	}
	prop->id = id;
	switch (prop_rows[id].kind) {
	case PROP_FLAG: prop->number = take_byte(c); break;
	case PROP_U16: prop->number = take_u16(c); break;
	case PROP_U32: prop->number = take_u32(c); break;
	case PROP_VARINT: prop->number = take_varint(c); break;
	case PROP_TEXT: prop->text = take_text(c); break;
	case PROP_BINARY: prop->text = take_binary(c); break;
	case PROP_PAIR:
		prop->text = take_text(c);
		prop->value = take_text(c);
		break;
	default: fault(c, "a property that does not exist");
	}
}

/* A packet's list of properties, checked. type: WILL for a will's. */
static struct bytes
take_props(struct cursor *c, unsigned type)
{
	struct bytes all = take(c, take_varint(c));
	struct cursor in = { (const unsigned char *)all.p, all.n, NULL };
	uint64_t seen = 0;

	while (in.n) {
		struct mqtt_prop prop;
		const struct prop_row *row;

		take_prop(&in, &prop);
		if (in.why)
			break;
		row = &prop_rows[prop.id];
		if (!(row->in & IN(type)))
			fault(&in, "a property that this packet cannot have");
		else if ((seen >> prop.id & 1) && prop.id != MQTT_PROP_USER &&
		    !(prop.id == MQTT_PROP_SUBSCRIPTION_ID && type == MQTT_PUBLISH))
			fault(&in, "a property twice");
		else if (row->not_zero && !prop.number)
			fault(&in, "a property that must not be 0");
		else if (row->kind == PROP_FLAG && prop.number > 1)
			fault(&in, "a property that must be 0 or 1");
		seen |= UINT64_C(1) << prop.id;
	}
	if (in.why)
		fault(c, in.why);
	return all;
}

bool
mqtt_prop_next(struct bytes *rest, struct mqtt_prop *prop)
{
	struct cursor c = { (const unsigned char *)rest->p, rest->n, NULL };

	if (!c.n)
		return false;
	take_prop(&c, prop);
	*rest = bytes_of(c.p, c.n);
	return !c.why;
}

bool
mqtt_prop_find(struct bytes props, enum mqtt_prop_id id, struct mqtt_prop *prop)
{
	while (mqtt_prop_next(&props, prop))
		if (prop->id == id)
			return true;
	return false;
}

/* ---- each packet ---- */

int
mqtt_frame(struct mqtt_frame *f, char *p, size_t n, size_t max, const char **why)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t len = 0, head = 1;

	for (;; head++) {
		if (head >= n)
			return 0;
		len |= (size_t)(u[head] & 0x7f) << (7 * (head - 1));
		if (!(u[head] & 0x80))
			break;
		if (head == 4) {
			*why = "a length of more than four bytes";
			return -1;
		}
	}
	if (head > 1 && !u[head]) {
		*why = "a length in more bytes than it takes";
		return -1;
	}
	f->type = u[0] >> 4;
	f->flags = u[0] & 15;
	f->body = p + head + 1;
	f->n = len;
	f->size = head + 1 + len;
	if (!f->type) {
		*why = "a packet of type 0";
		return -1;
	}
	if (f->size > max) {
		*why = "a packet larger than allowed";
		return -1;
	}
	return f->size <= n;
}

static void
parse_connect(struct cursor *c, struct mqtt_packet *pk, struct mqtt_connect *k)
{
	struct bytes name = take_text(c);
	unsigned flags;

	*k = (struct mqtt_connect){ 0 };
	pk->connect = k;
	k->version = take_byte(c);
	if (!c->why && (!bytes_eq(name, BYTES("MQTT")) ||
	    (k->version != MQTT_V311 && k->version != MQTT_V5)))
		fault(c, "a protocol that is neither MQTT 3.1.1 nor 5");
	flags = take_byte(c);
	k->clean = flags & 2;
	k->will_qos = flags >> 3 & 3;
	k->will_retain = flags & 32;
	if ((flags & 1) || k->will_qos == 3 || (!(flags & 4) && (flags & 56)) ||
	    (k->version == MQTT_V311 && (flags & 192) == 64))
		fault(c, "flags that contradict each other");
	k->keepalive = (uint16_t)take_u16(c);
	if (k->version == MQTT_V5)
		pk->props = take_props(c, MQTT_CONNECT);
	k->client_id = take_text(c);
	if (flags & 4) {
		if (k->version == MQTT_V5)
			k->will_props = take_props(c, WILL);
		k->will_topic = take_text(c);
		k->will_payload = take_binary(c);
	}
	if (flags & 128)
		k->username = take_text(c);
	if (flags & 64)
		k->password = take_binary(c);
}

static void
parse_connack(struct cursor *c, struct mqtt_packet *pk, enum mqtt_version v)
{
	unsigned flags = take_byte(c);

	if (flags & ~1u)
		fault(c, "reserved bits that are set");
	pk->session = flags & 1;
	pk->reason = (unsigned char)take_byte(c);
	if (v == MQTT_V5)
		pk->props = take_props(c, MQTT_CONNACK);
}

static void
parse_publish(struct cursor *c, struct mqtt_packet *pk, unsigned flags, enum mqtt_version v)
{
	struct mqtt_prop alias;

	pk->dup = flags & 8;
	pk->qos = flags >> 1 & 3;
	pk->retain = flags & 1;
	if (pk->qos == 3 || (pk->dup && !pk->qos))
		fault(c, "a QoS that does not exist, or a repetition without QoS");
	pk->topic = take_text(c);
	if (pk->topic.n && (memchr(pk->topic.p, '#', pk->topic.n) ||
	    memchr(pk->topic.p, '+', pk->topic.n)))
		fault(c, "a topic with wildcards");
	if (pk->qos)
		pk->id = take_id(c);
	if (v == MQTT_V5)
		pk->props = take_props(c, MQTT_PUBLISH);
	if (!c->why && !pk->topic.n &&
	    (v != MQTT_V5 || !mqtt_prop_find(pk->props, MQTT_PROP_ALIAS, &alias)))
		fault(c, "no topic");
	pk->payload = take(c, c->n);
}

static void
parse_ack(struct cursor *c, struct mqtt_packet *pk, enum mqtt_version v)
{
	pk->id = take_id(c);
	if (v == MQTT_V5 && c->n)
		pk->reason = (unsigned char)take_byte(c);
	if (v == MQTT_V5 && c->n)
		pk->props = take_props(c, pk->type);
}

static void
parse_filters(struct cursor *c, struct mqtt_packet *pk, enum mqtt_version v)
{
	pk->id = take_id(c);
	if (v == MQTT_V5)
		pk->props = take_props(c, pk->type);
	pk->list = bytes_of(c->p, c->n);
	if (!c->n)
		fault(c, "no filter");
	while (c->n) {
		unsigned options = 0;

		if (!take_text(c).n)
			fault(c, "an empty filter");
		if (pk->type == MQTT_SUBSCRIBE)
			options = take_byte(c);
		if ((options & 3) == 3 || (options >> 4 & 3) == 3 ||
		    options & (v == MQTT_V5 ? 0xc0 : 0xfc))
			fault(c, "options that do not exist");
	}
}

static void
parse_codes(struct cursor *c, struct mqtt_packet *pk, enum mqtt_version v)
{
	pk->id = take_id(c);
	if (v == MQTT_V5)
		pk->props = take_props(c, pk->type);
	if (pk->type == MQTT_UNSUBACK && v != MQTT_V5)
		return;
	if (!c->n)
		fault(c, "no answer");
	pk->list = take(c, c->n);
	for (size_t i = 0; i < pk->list.n; i++) {
		unsigned code = (unsigned char)pk->list.p[i];

		if (v != MQTT_V5 && code > 2 && code != 0x80)
			fault(c, "an answer that does not exist");
	}
}

/* DISCONNECT, AUTH. */
static void
parse_end(struct cursor *c, struct mqtt_packet *pk, enum mqtt_version v)
{
	if (v != MQTT_V5) {
		if (pk->type == MQTT_AUTH)
			fault(c, "a packet of version 5");
		return;
	}
	if (c->n)
		pk->reason = (unsigned char)take_byte(c);
	if (c->n)
		pk->props = take_props(c, pk->type);
}

int
mqtt_parse(struct mqtt_packet *pk, struct mqtt_connect *connect, const struct mqtt_frame *f,
	enum mqtt_version v, const char **why)
{
	struct cursor c = { (const unsigned char *)f->body, f->n, NULL };
	unsigned flags = f->type == MQTT_PUBREL || f->type == MQTT_SUBSCRIBE ||
		f->type == MQTT_UNSUBSCRIBE ? 2 : 0;

	*pk = (struct mqtt_packet){ .type = f->type };
	if (f->type != MQTT_PUBLISH && f->flags != flags)
		fault(&c, "reserved bits that are set");
	else switch (f->type) {
	case MQTT_CONNECT: parse_connect(&c, pk, connect); break;
	case MQTT_CONNACK: parse_connack(&c, pk, v); break;
	case MQTT_PUBLISH: parse_publish(&c, pk, f->flags, v); break;
	case MQTT_PUBACK: case MQTT_PUBREC: case MQTT_PUBREL: case MQTT_PUBCOMP:
		parse_ack(&c, pk, v);
		break;
	case MQTT_SUBSCRIBE: case MQTT_UNSUBSCRIBE: parse_filters(&c, pk, v); break;
	case MQTT_SUBACK: case MQTT_UNSUBACK: parse_codes(&c, pk, v); break;
	case MQTT_PINGREQ: case MQTT_PINGRESP: break;
	case MQTT_DISCONNECT: case MQTT_AUTH: parse_end(&c, pk, v); break;
	}
	if (c.n)
		fault(&c, "more bytes than it should have");
	*why = c.why;
	return c.why ? -1 : 0;
}

bool
mqtt_filter_next(struct bytes *rest, struct bytes *filter, unsigned char *options)
{
	struct cursor c = { (const unsigned char *)rest->p, rest->n, NULL };

	if (!c.n)
		return false;
	*filter = take_binary(&c);
	if (options)
		*options = (unsigned char)take_byte(&c);
	*rest = bytes_of(c.p, c.n);
	return !c.why;
}

/* ---- matching ---- */

bool
mqtt_topic_matches(struct bytes filter, struct bytes topic)
{
	const char *f = filter.p, *t = topic.p, *fe = f + filter.n, *te = t + topic.n;

	/* "#" and "+/..." do not see what begins with '$'. */
	if (topic.n && *t == '$' && filter.n && (*f == '#' || *f == '+'))
		return false;
	while (f < fe) {
		if (*f == '#')
			return true;
		if (*f == '+') {
			f++;
			while (t < te && *t != '/')
				t++;
		} else {
			while (f < fe && *f != '/' && t < te && *t == *f)
				f++, t++;
			if (f < fe && *f != '/')
				return false;
		}
		/* Both stand at the end of a level now, or do not match. */
		if (t < te && *t != '/')
			return false;
		if (f == fe)
			return t == te;
		if (t == te)		/* "a/#" matches "a" */
			return fe - f == 2 && f[1] == '#';
		f++, t++;
	}
	return t == te;
}

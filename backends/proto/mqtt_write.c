/* SPDX-License-Identifier: Apache-2.0 */
/* MQTT packets, writing: see mqtt.h. */
#include "backends/proto/mqtt.h"

/* How many bytes a length of this size takes. */
static size_t
varint_size(size_t n)
{
	return n < 128 ? 1 : n < 16384 ? 2 : n < 2097152 ? 3 : 4;
}

static char *
put_varint(char *p, size_t n)
{
	while (n > 127) {
		*p++ = (char)(n | 128);
		n >>= 7;
	}
	*p++ = (char)n;
	return p;
}

static char *
put_u16(char *p, size_t n)
{
	*p++ = (char)(n >> 8);
	*p++ = (char)n;
	return p;
}

static char *
put_bytes(char *p, struct bytes b)
{
	if (b.n)
		memcpy(p, b.p, b.n);
	return p + b.n;
}

static char *
put_text(char *p, struct bytes b)
{
	return put_bytes(put_u16(p, b.n), b);
}

static char *
put_props(char *p, struct bytes props)
{
	return put_bytes(put_varint(p, props.n), props);
}

static size_t
props_size(struct bytes props)
{
	return varint_size(props.n) + props.n;
}

/* The fixed header of a packet whose rest has n bytes, all of which have room. */
static char *
put_head(struct buf *b, unsigned first, size_t n)
{
	char *p = buf_room(b, MQTT_HEAD_MAX + n);

	buf_added(b, 1 + varint_size(n) + n);
	*p++ = (char)first;
	return put_varint(p, n);
}

void
mqtt_write_publish(struct buf *b, const struct mqtt_packet *pk, enum mqtt_version v,
	size_t payload)
{
	size_t head = 2 + pk->topic.n + (pk->qos ? 2 : 0) +
		(v == MQTT_V5 ? props_size(pk->props) : 0);
	unsigned first = MQTT_PUBLISH << 4 | (pk->dup ? 8 : 0) | (unsigned)pk->qos << 1 | pk->retain;
	char *p = buf_room(b, MQTT_HEAD_MAX + head + payload), *start = p;

	*p++ = (char)first;
	p = put_varint(p, head + payload);
	p = put_text(p, pk->topic);
	if (pk->qos)
		p = put_u16(p, pk->id);
	if (v == MQTT_V5)
		p = put_props(p, pk->props);
	buf_added(b, (size_t)(p - start));
}

bool
mqtt_fix_publish(struct buf *b, size_t at, size_t guess, size_t n)
{
	size_t end = buf_len(b), said = 0, was, is;
	char *p;

	if (guess == n)
		return true;
	p = buf_data(b) + at + 1;
	for (was = 0; p[was] & 0x80; was++)
		said |= (size_t)(p[was] & 0x7f) << (7 * was);
	said |= (size_t)p[was] << (7 * was);
	was++;
	said = said - guess + n;
	if (said > MQTT_BODY_MAX)
		return false;
	is = varint_size(said);
	if (is > was)
		buf_room(b, is - was);
	p = buf_data(b) + at + 1;
	if (is != was)
		memmove(p + is, p + was, end - at - 1 - was);
	b->end = b->end - was + is;
	put_varint(p, said);
	return true;
}

void
mqtt_write_ack(struct buf *b, enum mqtt_type type, uint16_t id, unsigned char reason,
	enum mqtt_version v)
{
	bool says = v == MQTT_V5 && reason;
	char *p = put_head(b, (unsigned)type << 4 | (type == MQTT_PUBREL ? 2 : 0), says ? 3 : 2);

	p = put_u16(p, id);
	if (says)
		*p = (char)reason;
}

static void
write_connect(struct buf *b, const struct mqtt_packet *pk)
{
	const struct mqtt_connect *k = pk->connect;
	bool v5 = k->version == MQTT_V5, will = k->will_topic.p != NULL;
	size_t n = 10 + (v5 ? props_size(pk->props) : 0) + 2 + k->client_id.n;
	unsigned flags = k->clean ? 2 : 0;
	char *p;

	if (will) {
		n += (v5 ? props_size(k->will_props) : 0) + 4 + k->will_topic.n + k->will_payload.n;
		flags |= 4 | (unsigned)k->will_qos << 3 | (k->will_retain ? 32 : 0);
	}
	if (k->username.p) {
		n += 2 + k->username.n;
		flags |= 128;
	}
	if (k->password.p) {
		n += 2 + k->password.n;
		flags |= 64;
	}
	p = put_head(b, MQTT_CONNECT << 4, n);
	p = put_text(p, BYTES("MQTT"));
	*p++ = (char)k->version;
	*p++ = (char)flags;
	p = put_u16(p, k->keepalive);
	if (v5)
		p = put_props(p, pk->props);
	p = put_text(p, k->client_id);
	if (will) {
		if (v5)
			p = put_props(p, k->will_props);
		p = put_text(p, k->will_topic);
		p = put_text(p, k->will_payload);
	}
	if (k->username.p)
		p = put_text(p, k->username);
	if (k->password.p)
		put_text(p, k->password);
}

/* SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. */
static void
write_list(struct buf *b, const struct mqtt_packet *pk, enum mqtt_version v)
{
	bool asks = pk->type == MQTT_SUBSCRIBE || pk->type == MQTT_UNSUBSCRIBE;
	size_t n = 2 + (v == MQTT_V5 ? props_size(pk->props) : 0) + pk->list.n;
	char *p = put_head(b, (unsigned)pk->type << 4 | (asks ? 2 : 0), n);

	p = put_u16(p, pk->id);
	if (v == MQTT_V5)
		p = put_props(p, pk->props);
	put_bytes(p, pk->list);
}

/* Those that may end with a reason and properties, or without: head bytes are in
 * front of them. */
static void
write_reason(struct buf *b, const struct mqtt_packet *pk, enum mqtt_version v, bool id)
{
	size_t n = id ? 2 : 0;
	bool props = v == MQTT_V5 && pk->props.n;
	bool reason = props || (v == MQTT_V5 && pk->reason);
	char *p;

	n += (reason ? 1 : 0) + (props ? props_size(pk->props) : 0);
	p = put_head(b, (unsigned)pk->type << 4 | (pk->type == MQTT_PUBREL ? 2 : 0), n);
	if (id)
		p = put_u16(p, pk->id);
	if (reason)
		*p++ = (char)pk->reason;
	if (props)
		put_props(p, pk->props);
}

void
mqtt_write(struct buf *b, const struct mqtt_packet *pk, enum mqtt_version v)
{
	char *p;

	switch (pk->type) {
	case MQTT_CONNECT:
		write_connect(b, pk);
		break;
	case MQTT_CONNACK:
		p = put_head(b, MQTT_CONNACK << 4, 2 + (v == MQTT_V5 ? props_size(pk->props) : 0));
		*p++ = pk->session;
		*p++ = (char)pk->reason;
		if (v == MQTT_V5)
			put_props(p, pk->props);
		break;
	case MQTT_PUBLISH:
		mqtt_write_publish(b, pk, v, pk->payload.n);
		buf_add_bytes(b, pk->payload);
		break;
	case MQTT_PUBACK: case MQTT_PUBREC: case MQTT_PUBREL: case MQTT_PUBCOMP:
		write_reason(b, pk, v, true);
		break;
	case MQTT_SUBSCRIBE: case MQTT_SUBACK: case MQTT_UNSUBSCRIBE: case MQTT_UNSUBACK:
		write_list(b, pk, v);
		break;
	case MQTT_PINGREQ: case MQTT_PINGRESP:
		put_head(b, (unsigned)pk->type << 4, 0);
		break;
	case MQTT_DISCONNECT: case MQTT_AUTH:
		write_reason(b, pk, v, false);
		break;
	}
}

/* ---- lists ---- */

void
mqtt_add_number(struct buf *b, enum mqtt_prop_id id, uint32_t n)
{
	char *p = buf_room(b, 5), *start = p;

	*p++ = (char)id;
	switch (id) {
	case MQTT_PROP_EXPIRY: case MQTT_PROP_SESSION_EXPIRY: case MQTT_PROP_WILL_DELAY:
	case MQTT_PROP_MAXIMUM_PACKET:
		p = put_u16(put_u16(p, n >> 16), n);
		break;
	case MQTT_PROP_SERVER_KEEPALIVE: case MQTT_PROP_RECEIVE_MAXIMUM:
	case MQTT_PROP_ALIAS_MAXIMUM: case MQTT_PROP_ALIAS:
		p = put_u16(p, n);
		break;
	case MQTT_PROP_SUBSCRIPTION_ID:
		p = put_varint(p, n);
		break;
	default:
		*p++ = (char)n;
	}
	buf_added(b, (size_t)(p - start));
}

void
mqtt_add_text(struct buf *b, enum mqtt_prop_id id, struct bytes text)
{
	char *p = buf_room(b, 3 + text.n);

	*p++ = (char)id;
	put_text(p, text);
	buf_added(b, 3 + text.n);
}

void
mqtt_add_pair(struct buf *b, struct bytes name, struct bytes value)
{
	char *p = buf_room(b, 5 + name.n + value.n);

	*p++ = MQTT_PROP_USER;
	put_text(put_text(p, name), value);
	buf_added(b, 5 + name.n + value.n);
}

void
mqtt_add_filter(struct buf *b, struct bytes filter, int options)
{
	put_text(buf_room(b, 3 + filter.n), filter);
	buf_added(b, 2 + filter.n);
	if (options >= 0)
		buf_add_ch(b, (char)options);
}

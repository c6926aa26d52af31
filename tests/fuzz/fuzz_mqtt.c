/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of MQTT. The first byte chooses the version; the rest is a stream of
 * packets. Held to:
 *	- nothing behind a packet's end is looked at (each is copied to memory of its
 *	  own size, for the sanitizer), and a packet cut short is waited for;
 *	- what is read can be written, and read again: the same packet, whose bytes,
 *	  written once more, are the same;
 *	- lists and properties that were checked can be walked to their end;
 *	- a topic matches itself, and "#" unless it begins with '$'.
 */
#include <stdlib.h>

#include "backends/proto/mqtt.h"

#define must(cond) do { if (!(cond)) abort(); } while (0)

static void
walk(const struct mqtt_packet *pk)
{
	struct bytes rest = pk->props, filter;
	struct mqtt_prop prop;

	while (rest.n)
		must(mqtt_prop_next(&rest, &prop));
	rest = pk->list;
	while (pk->type == MQTT_SUBSCRIBE && rest.n) {
		unsigned char options;

		must(mqtt_filter_next(&rest, &filter, &options));
		must(filter.n && (options & 3) < 3);
	}
	while (pk->type == MQTT_UNSUBSCRIBE && rest.n)
		must(mqtt_filter_next(&rest, &filter, NULL));
	if (pk->type == MQTT_PUBLISH && pk->topic.n) {
		must(mqtt_topic_matches(pk->topic, pk->topic));
		must(mqtt_topic_matches(BYTES("#"), pk->topic) == (*pk->topic.p != '$'));
		mqtt_topic_matches(pk->payload, pk->topic);
	}
}

static bool
same(const struct mqtt_packet *a, const struct mqtt_packet *b)
{
	return a->type == b->type && a->dup == b->dup && a->retain == b->retain &&
		a->session == b->session && a->qos == b->qos && a->reason == b->reason &&
		a->id == b->id && bytes_eq(a->props, b->props) && bytes_eq(a->topic, b->topic) &&
		bytes_eq(a->payload, b->payload) && bytes_eq(a->list, b->list);
}

static bool
same_connect(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
	return a->version == b->version && a->clean == b->clean && a->keepalive == b->keepalive &&
		bytes_eq(a->client_id, b->client_id) && bytes_eq(a->username, b->username) &&
		!a->username.p == !b->username.p && bytes_eq(a->password, b->password) &&
		!a->password.p == !b->password.p && bytes_eq(a->will_topic, b->will_topic) &&
		!a->will_topic.p == !b->will_topic.p && bytes_eq(a->will_payload, b->will_payload) &&
		bytes_eq(a->will_props, b->will_props) && a->will_qos == b->will_qos &&
		a->will_retain == b->will_retain;
}

static void
one_packet(char *p, const struct mqtt_frame *given, enum mqtt_version v)
{
	char *copy = malloc(given->size);
	struct mqtt_packet pk, again;
	struct mqtt_connect connect, connect_again;
	struct buf b = BUF_INIT, twice = BUF_INIT;
	struct mqtt_frame f;
	const char *why;

	memcpy(copy, p, given->size);
	must(mqtt_frame(&f, copy, given->size, given->size, &why) == 1);
	must(mqtt_frame(&f, copy, given->size - 1, given->size, &why) == 0);
	f = *given;
	f.body = copy + (given->body - p);
	if (mqtt_parse(&pk, &connect, &f, v, &why) == 0) {
		must(!why);
		walk(&pk);
		mqtt_write(&b, &pk, v);
		must(buf_len(&b) <= given->size);	/* empty ends are left out */
		must(mqtt_frame(&f, buf_data(&b), buf_len(&b), given->size, &why) == 1);
		must(f.size == buf_len(&b));
		must(mqtt_parse(&again, &connect_again, &f, v, &why) == 0);
		must(same(&pk, &again));
		if (pk.type == MQTT_CONNECT)
			must(same_connect(&connect, &connect_again));
		mqtt_write(&twice, &again, v);
		must(bytes_eq(buf_bytes(&b), buf_bytes(&twice)));
	} else {
		must(why);
	}
	buf_release(&b);
	buf_release(&twice);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mqtt_version v = size && data[0] & 1 ? MQTT_V5 : MQTT_V311;
	char *copy = malloc(size + 1);
	size_t at = 1;

	memcpy(copy, data, size);
	while (at < size) {
		struct mqtt_frame f;
		const char *why;
		int r = mqtt_frame(&f, copy + at, size - at, 1 << 20, &why);

		if (r <= 0)
			break;
		must(f.size <= size - at && f.body + f.n == copy + at + f.size);
		one_packet(copy + at, &f, v);
		at += f.size;
	}
	free(copy);
	return 0;
}

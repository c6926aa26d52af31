/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker's -X options: see mqtt_options.h. */
#include "backends/mqtt/mqtt_options.h"

#include <stdio.h>
#include <sys/random.h>

#include "backends/mqtt/mqtt_map.h"
#include "core/text.h"
#include "core/units.h"

enum { ID_RANDOM = 8 };			/* bytes of a made-up client id */

const struct broker_option mqtt_option_table[] = {
	{ "version", "5|3.1.1", "5",
		"MQTT's version; a server that refuses 5 is asked with 3.1.1" },
	{ "client_id", "TEXT", NULL, "who we are to the server (default: random)" },
	{ "keepalive", "TIME", "30s",
		"a server silent for so long after a question is gone; 0 asks never" },
	{ "session", "TIME", NULL,
		"the server keeps subscriptions and events so long for client_id" },
	{ "will_topic", "TOPIC", NULL, "where the server publishes the will if we vanish" },
	{ "will", "BODY", NULL, "the will's body" },
	{ "will_qos", "0|1|2", "0", "the will's QoS" },
	{ "will_retain", "yes|no", "no", "whether the will is retained" },
	{ "alias", "N", "0", "topic aliases to publish by, as far as the server allows (5)" },
	{ "receive_maximum", "N", "1024", "events received and not answered at once (5)" },
	{ "max_packet", "SIZE", "64M", "the largest packet taken from the server" },
	{ "watch_drops", "yes|no", "yes",
		"sub: ask for the server's count of dropped events (Mosquitto), and warn" },
	{ "driver", "mbus|paho", "mbus", "which code speaks MQTT" },
	{ "ws_path", "PATH", NULL, "the path of a WebSocket (paho; default /mqtt)" },
	{ "proxy", "HOST:PORT", NULL, "an HTTP proxy to connect through (paho)" },
	{ NULL, NULL, NULL, NULL }
};

static int
read_choice(const struct broker *b, const char *name, const char *const *choices, struct error *err)
{
	const char *value = broker_xopt(b, name);
	int i;

	for (i = 0; choices[i]; i++)
		if (strcmp(value, choices[i]) == 0)
			return i;
	return error_set(err, ERR_USAGE, "-X mqtt.%s=%s: one of %s, %s%s%s", name, value, choices[0],
		choices[1], choices[2] ? ", " : "", choices[2] ? choices[2] : "");
}

static int
read_number(const struct broker *b, const char *name, unsigned least, uint16_t *n,
	struct error *err)
{
	const char *value = broker_xopt(b, name);
	uint64_t v;

	if (!units_count(value, UINT16_MAX, &v) || v < least)
		return error_set(err, ERR_USAGE, "-X mqtt.%s=%s: a number from %u to 65535", name,
			value, least);
	*n = (uint16_t)v;
	return 0;
}

/* Whole seconds, rounded up. */
static int
read_seconds(const struct broker *b, const char *name, uint64_t most, uint64_t *seconds,
	struct error *err)
{
	const char *value = broker_xopt(b, name);
	uint64_t ms;

	*seconds = 0;
	if (!value)
		return 0;
	if (!units_duration_ms(value, &ms) || ms > most * 1000)
		return error_set(err, ERR_USAGE, "-X mqtt.%s=%s: a time up to %llus", name, value,
			(unsigned long long)most);
	*seconds = (ms + 999) / 1000;
	return 0;
}

static int
read_client_id(const struct broker *b, struct mqtt_options *o, struct error *err)
{
	const char *given = broker_xopt(b, "client_id");
	unsigned char random[ID_RANDOM];

	if (!given) {
		/* Letters and digits, not over 23: what every server must take. */
		if (getrandom(random, sizeof random, 0) != sizeof random)
			return error_sys(err, ERR_LOCAL_IO, "no random client id");
		memcpy(o->client_id, "mbus", 4);
		hex_encode(o->client_id + 4, random, sizeof random);
		o->client_id[4 + 2 * sizeof random] = '\0';
		return 0;
	}
	if (!*given || !mqtt_text_valid(bytes_str(given)))
		return error_set(err, ERR_USAGE, "-X mqtt.client_id: UTF-8, 1 to 65535 bytes");
	snprintf(o->client_id, sizeof o->client_id, "%s", given);
	return 0;
}

static int
read_will(const struct broker *b, struct mqtt_options *o, struct error *err)
{
	static const char *const qos[] = { "0", "1", "2", NULL }, *const yes[] = { "no", "yes", NULL };
	int q = read_choice(b, "will_qos", qos, err), r;

	r = q < 0 ? -1 : read_choice(b, "will_retain", yes, err);
	if (r < 0)
		return -1;
	o->will_qos = (unsigned char)q;
	o->will_retain = r;
	o->will = broker_xopt(b, "will");
	o->will_topic = broker_xopt(b, "will_topic");
	if (o->will && !o->will_topic)
		return error_set(err, ERR_USAGE, "-X mqtt.will: there is no mqtt.will_topic");
	if (!o->will_topic)
		return 0;
	if (mqtt_check_topic(bytes_str(o->will_topic), err) < 0) {
		err->kind = ERR_USAGE;
		return error_prefix(err, "-X mqtt.will_topic");
	}
	if (o->will && strlen(o->will) > MQTT_TEXT_MAX / 2)
		return error_set(err, ERR_USAGE, "-X mqtt.will: over %u bytes", MQTT_TEXT_MAX / 2);
	return 0;
}

/* Of WebSockets and proxies. */
static int
read_way(const struct broker *b, struct mqtt_options *o, struct error *err)
{
	const char *path = broker_xopt(b, "ws_path");

	o->ws_path = path ? path : "/mqtt";
	if (*o->ws_path != '/' || strpbrk(o->ws_path, " \r\n"))
		return error_set(err, ERR_USAGE, "-X mqtt.ws_path=%s: begins with / and has no blanks",
			o->ws_path);
	o->proxy = broker_xopt(b, "proxy");
	if (o->proxy && (!*o->proxy || strpbrk(o->proxy, " \r\n/@")))
		return error_set(err, ERR_USAGE, "-X mqtt.proxy: HOST:PORT, without a user");
	return 0;
}

int
mqtt_options_read(const struct broker *b, struct mqtt_options *o, struct error *err)
{
	static const char *const versions[] = { "5", "3.1.1", NULL };
	static const char *const yes[] = { "no", "yes", NULL };
	const char *packet = broker_xopt(b, "max_packet");
	int version = read_choice(b, "version", versions, err), drops;
	uint64_t n;

	drops = version < 0 ? -1 : read_choice(b, "watch_drops", yes, err);
	if (drops < 0)
		return -1;
	o->watch_drops = drops;
	o->version = version == 0 ? MQTT_V5 : MQTT_V311;
	if (read_seconds(b, "keepalive", UINT16_MAX, &n, err) < 0)
		return -1;
	o->keepalive = (uint16_t)n;
	if (read_seconds(b, "session", UINT32_MAX, &n, err) < 0)
		return -1;
	o->session = (uint32_t)n;
	if (o->session && !broker_xopt(b, "client_id"))
		return error_set(err, ERR_USAGE, "-X mqtt.session: wants a mqtt.client_id, or nobody "
			"could come back to it");
	if (!units_size(packet, &n) || n < 1024 || n > MQTT_BODY_MAX)
		return error_set(err, ERR_USAGE, "-X mqtt.max_packet=%s: a size from 1K to %u",
			packet, MQTT_BODY_MAX);
	o->max_packet = (uint32_t)n;
	if (read_number(b, "alias", 0, &o->alias, err) < 0 ||
	    read_number(b, "receive_maximum", 1, &o->receive_maximum, err) < 0)
		return -1;
	if (read_client_id(b, o, err) < 0 || read_way(b, o, err) < 0)
		return -1;
	return read_will(b, o, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker's -X options: see mqtt_options.h. */
#include "backends/mqtt/mqtt_options.h"

#include <stdio.h>
#include <sys/random.h>

#include "backends/mqtt/mqtt_map.h"
#include "core/text.h"

enum { ID_RANDOM = 8 };			/* bytes of a made-up client id */

#define AT(type, member) XOPT_##type(struct mqtt_owner, opt.member)

const struct broker_option mqtt_option_table[] = {
	{ "version", "5|3.1.1", "5",
		"MQTT's version; a server that refuses 5 is asked with 3.1.1",
		AT(CHOICE, version_at) },
	{ "client_id", "TEXT", NULL, "who we are to the server (default: random)" },
	{ "keepalive", "TIME", "30s",
		"a server silent for so long after a question is gone; 0 asks never",
		AT(TIME, keepalive_ms), .most = UINT16_MAX * 1000u },
	{ "session", "TIME", NULL,
		"the server keeps subscriptions and events so long for client_id",
		AT(TIME, session_ms), .most = UINT32_MAX * UINT64_C(1000) },
	{ "will_topic", "TOPIC", NULL, "where the server publishes the will if we vanish",
		AT(STR, will_topic) },
	{ "will", "BODY", NULL, "the will's body", AT(STR, will) },
	{ "will_qos", "0|1|2", "0", "the will's QoS", AT(CHOICE, will_qos) },
	{ "will_retain", "yes|no", "no", "whether the will is retained", AT(BOOL, will_retain) },
	{ "alias", "N", "0", "topic aliases to publish by, as far as the server allows (5)",
		AT(COUNT, alias), .most = UINT16_MAX, .use = BROKER_FOR_PUB },
	{ "receive_maximum", "N", "1024", "events received and not answered at once (5)",
		AT(COUNT, receive_maximum), .least = 1, .most = UINT16_MAX, .use = BROKER_FOR_SUB },
	{ "max_packet", "SIZE", "64M", "the largest packet taken from the server",
		AT(SIZE, max_packet), .least = 1024, .most = MQTT_BODY_MAX },
	{ "watch_drops", "yes|no", "yes",
		"ask for the server's count of dropped events (Mosquitto), and warn",
		AT(BOOL, watch_drops), .use = BROKER_FOR_SUB },
	{ "driver", "mbus|paho", "mbus", "which code speaks MQTT" },
	{ "ws_path", "PATH", NULL, "the path of a WebSocket (paho; default /mqtt)",
		AT(STR, ws_path) },
	{ "proxy", "HOST:PORT", NULL, "an HTTP proxy to connect through (paho)", AT(STR, proxy) },
	{ NULL, NULL, NULL, NULL }
};

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
check_will(const struct mqtt_options *o, struct error *err)
{
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
check_way(struct mqtt_options *o, struct error *err)
{
	o->ws_path = o->ws_path ? o->ws_path : "/mqtt";
	if (*o->ws_path != '/' || strpbrk(o->ws_path, " \r\n"))
		return error_set(err, ERR_USAGE, "-X mqtt.ws_path=%s: begins with / and has no blanks",
			o->ws_path);
	if (o->proxy && (!*o->proxy || strpbrk(o->proxy, " \r\n/@")))
		return error_set(err, ERR_USAGE, "-X mqtt.proxy: HOST:PORT, without a user");
	return 0;
}

int
mqtt_options_read(const struct broker *b, struct mqtt_options *o, struct error *err)
{
	o->version = o->version_at == 0 ? MQTT_V5 : MQTT_V311;
	/* Whole seconds, rounded up. */
	o->keepalive = (uint16_t)((o->keepalive_ms + 999) / 1000);
	o->session = (uint32_t)((o->session_ms + 999) / 1000);
	if (o->session && !broker_xopt(b, "client_id"))
		return error_set(err, ERR_USAGE, "-X mqtt.session: wants a mqtt.client_id, or nobody "
			"could come back to it");
	if (read_client_id(b, o, err) < 0 || check_way(o, err) < 0)
		return -1;
	return check_will(o, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's reason codes mean, in words and as errors: see mqtt_map.h. */
#include <stdio.h>

#include "backends/mqtt/mqtt_map.h"

/* MQTT's names, version 5. */
static const struct {
	unsigned char code;
	const char *text;
} words[] = {
	{ 0x00, "Success" },
	{ 0x04, "Disconnect with will message" },
	{ 0x10, "No matching subscribers" },
	{ 0x11, "No subscription existed" },
	{ 0x18, "Continue authentication" },
	{ 0x19, "Re-authenticate" },
	{ 0x80, "Unspecified error" },
	{ 0x81, "Malformed packet" },
	{ 0x82, "Protocol error" },
	{ 0x83, "Implementation specific error" },
	{ 0x84, "Unsupported protocol version" },
	{ 0x85, "Client identifier not valid" },
	{ 0x86, "Bad user name or password" },
	{ 0x87, "Not authorized" },
	{ 0x88, "Server unavailable" },
	{ 0x89, "Server busy" },
	{ 0x8a, "Banned" },
	{ 0x8b, "Server shutting down" },
	{ 0x8c, "Bad authentication method" },
	{ 0x8d, "Keep alive timeout" },
	{ 0x8e, "Session taken over" },
	{ 0x8f, "Topic filter invalid" },
	{ 0x90, "Topic name invalid" },
	{ 0x91, "Packet identifier in use" },
	{ 0x92, "Packet identifier not found" },
	{ 0x93, "Receive maximum exceeded" },
	{ 0x94, "Topic alias invalid" },
	{ 0x95, "Packet too large" },
	{ 0x96, "Message rate too high" },
	{ 0x97, "Quota exceeded" },
	{ 0x98, "Administrative action" },
	{ 0x99, "Payload format invalid" },
	{ 0x9a, "Retain not supported" },
	{ 0x9b, "QoS not supported" },
	{ 0x9c, "Use another server" },
	{ 0x9d, "Server moved" },
	{ 0x9e, "Shared subscriptions not supported" },
	{ 0x9f, "Connection rate exceeded" },
	{ 0xa0, "Maximum connect time" },
	{ 0xa1, "Subscription identifiers not supported" },
	{ 0xa2, "Wildcard subscriptions not supported" },
};

unsigned
mqtt_reason_of_connack(unsigned code)
{
	static const unsigned char of[] = { 0, 0x84, 0x85, 0x88, 0x86, 0x87 };

	return code < sizeof of ? of[code] : 0x80;
}

/* "Not authorized"; never NULL. */
static const char *
reason_text(unsigned reason)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].code == reason)
			return words[i].text;
	return "a reason that MQTT does not know";
}

enum error_kind
mqtt_reason_kind(unsigned reason, enum mqtt_where where)
{
	bool going = where == MQTT_AT_CONNECT || where == MQTT_AT_END;

	switch (reason) {
	case 0x86: case 0x87: case 0x8a: case 0x8c:
		return ERR_AUTH;
	case 0x84: case 0x9a: case 0x9b: case 0x9e: case 0xa1: case 0xa2:
		return ERR_NOTFOUND;
	case 0x85:
		/* The id is the user's. */
		return ERR_USAGE;
	case 0x8e:
		/* Two with one id would take the session from each other for ever. */
		return going ? ERR_USAGE : ERR_REFUSED;
	default:
		return going ? ERR_CONNECT : ERR_REFUSED;
	}
}

int
mqtt_reason_error(struct error *err, enum mqtt_where where, const char *doing, unsigned reason,
	struct bytes said)
{
	return error_set(err, mqtt_reason_kind(reason, where), "%s: %s (0x%02x)%s%.*s", doing,
		reason_text(reason), reason, said.n ? ": " : "", BYTES_FMT(said));
}

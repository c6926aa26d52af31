/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's reason codes mean, in words and as errors: see mqtt_map.h. */
#include <stdio.h>

#include "backends/mqtt/mqtt_map.h"

/*
 * MQTT's names, version 5, and what they are: as the end of a connection (or instead of
 * one), and of one event or subscription. ERR_AUTH, ERR_NOTFOUND and ERR_USAGE end the
 * run; the others are tried again, those that do not pass as link_refused() has it. The
 * manual has this table as well.
 * Two with one client id would take the session from each other for ever: so that ends
 * the one to whom the server says it.
 */
static const struct reason {
	unsigned char code;
	const char *text;
	enum error_kind end, one;
	enum mqtt_again again;
} reasons[] = {
	{ 0x00, "Success", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x04, "Disconnect with will message", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x10, "No matching subscribers", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x11, "No subscription existed", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x18, "Continue authentication", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x19, "Re-authenticate", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x80, "Unspecified error", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x81, "Malformed packet", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x82, "Protocol error", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x83, "Implementation specific error", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x84, "Unsupported protocol version", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
	{ 0x85, "Client identifier not valid", ERR_USAGE, ERR_USAGE, MQTT_FAULT },
	{ 0x86, "Bad user name or password", ERR_AUTH, ERR_AUTH, MQTT_FAULT },
	{ 0x87, "Not authorized", ERR_AUTH, ERR_AUTH, MQTT_FAULT },
	{ 0x88, "Server unavailable", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x89, "Server busy", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x8a, "Banned", ERR_AUTH, ERR_AUTH, MQTT_FAULT },
	{ 0x8b, "Server shutting down", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x8c, "Bad authentication method", ERR_AUTH, ERR_AUTH, MQTT_FAULT },
	{ 0x8d, "Keep alive timeout", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x8e, "Session taken over", ERR_USAGE, ERR_REFUSED, MQTT_FAULT },
	{ 0x8f, "Topic filter invalid", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x90, "Topic name invalid", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x91, "Packet identifier in use", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x92, "Packet identifier not found", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x93, "Receive maximum exceeded", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x94, "Topic alias invalid", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x95, "Packet too large", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x96, "Message rate too high", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x97, "Quota exceeded", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x98, "Administrative action", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0x99, "Payload format invalid", ERR_CONNECT, ERR_REFUSED, MQTT_FAULT },
	{ 0x9a, "Retain not supported", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
	{ 0x9b, "QoS not supported", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
	{ 0x9c, "Use another server", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x9d, "Server moved", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0x9e, "Shared subscriptions not supported", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
	{ 0x9f, "Connection rate exceeded", ERR_CONNECT, ERR_REFUSED, MQTT_NEXT },
	{ 0xa0, "Maximum connect time", ERR_CONNECT, ERR_REFUSED, MQTT_PASSES },
	{ 0xa1, "Subscription identifiers not supported", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
	{ 0xa2, "Wildcard subscriptions not supported", ERR_NOTFOUND, ERR_NOTFOUND, MQTT_FAULT },
};

static const struct reason *
reason_of(unsigned code)
{
	static const struct reason unknown = { 0, "a reason that MQTT does not know", ERR_CONNECT,
		ERR_REFUSED, MQTT_FAULT };

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].code == code)
			return &reasons[i];
	return &unknown;
}

unsigned
mqtt_reason_of_connack(unsigned code)
{
	static const unsigned char of[] = { 0, 0x84, 0x85, 0x88, 0x86, 0x87 };

	return code < sizeof of ? of[code] : 0x80;
}

enum error_kind
mqtt_reason_kind(unsigned code, enum mqtt_where where)
{
	const struct reason *r = reason_of(code);

	return where == MQTT_AT_CONNECT || where == MQTT_AT_END ? r->end : r->one;
}

enum mqtt_again
mqtt_reason_again(unsigned code)
{
	return reason_of(code)->again;
}

int
mqtt_reason_error(struct error *err, enum mqtt_where where, const char *doing, unsigned code,
	struct bytes said)
{
	return error_set(err, mqtt_reason_kind(code, where), "%s: %s (0x%02x)%s%.*s", doing,
		reason_of(code)->text, code, said.n ? ": " : "", BYTES_FMT(said));
}

void
mqtt_reason_advise(struct error *err, const struct broker_options *o)
{
	size_t n = strlen(err->text);

	if (err->kind == ERR_AUTH)
		snprintf(err->text + n, sizeof err->text - n, ": %s", o->username || o->password.p ?
			"wrong user name or password?" :
			"it wants a user (--username, --password-file)");
}

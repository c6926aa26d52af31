/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker's -X options, for every driver of it. */
#ifndef MBUS_MQTT_OPTIONS_H
#define MBUS_MQTT_OPTIONS_H

#include "backends/proto/mqtt.h"
#include "core/broker.h"

extern const struct broker_option mqtt_option_table[];

struct mqtt_options {
	enum mqtt_version version;	/* the first to be tried */
	char client_id[MQTT_TEXT_MAX + 1];
	uint16_t keepalive;		/* seconds; 0: none */
	uint32_t session;		/* seconds that it is kept; 0: a clean start */
	const char *will_topic;		/* NULL: no will */
	const char *will;
	unsigned char will_qos;
	bool will_retain;
	uint16_t alias;			/* topic aliases used at most */
	uint16_t receive_maximum;	/* received and not answered at once */
	uint32_t max_packet;		/* the largest packet taken */
	bool watch_drops;		/* ask for the server's count of them */
	const char *ws_path;		/* of a WebSocket */
	const char *proxy;		/* NULL: none */
};

/* -1: err names the option. */
int mqtt_options_read(const struct broker *, struct mqtt_options *, struct error *);

#endif

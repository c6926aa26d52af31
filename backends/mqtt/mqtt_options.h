/* SPDX-License-Identifier: Apache-2.0 */
/* The mqtt broker's -X options, for every driver of it. */
#ifndef MBUS_MQTT_OPTIONS_H
#define MBUS_MQTT_OPTIONS_H

#include "backends/proto/mqtt.h"
#include "core/broker.h"

extern const struct broker_option mqtt_option_table[];

struct mqtt_options {
	/* As the rows say. */
	int version_at;			/* 5, 3.1.1 */
	uint64_t keepalive_ms, session_ms;
	const char *will_topic;		/* NULL: no will */
	const char *will;
	int will_qos;
	bool will_retain;
	uint64_t alias;			/* topic aliases used at most */
	uint64_t receive_maximum;	/* received and not answered at once */
	uint64_t max_packet;		/* the largest packet taken */
	bool watch_drops;		/* ask for the server's count of them */
	const char *ws_path;		/* of a WebSocket */
	const char *proxy;		/* NULL: none */
	/* What they mean. */
	enum mqtt_version version;	/* the first to be tried */
	char client_id[MQTT_TEXT_MAX + 1];
	uint16_t keepalive;		/* seconds; 0: none */
	uint32_t session;		/* seconds that it is kept; 0: a clean start */
};

/* How the instance of each driver begins: where the rows put their values. */
struct mqtt_owner {
	struct broker b;
	struct mqtt_options opt;
};

/* -1: err names the option. */
int mqtt_options_read(const struct broker *, struct mqtt_options *, struct error *);

#endif

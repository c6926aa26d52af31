/* SPDX-License-Identifier: Apache-2.0 */
/* One connection as paho has it: what its three files share. See paho.h. */
#ifndef MBUS_PAHO_CLIENT_H
#define MBUS_PAHO_CLIENT_H

#include "backends/paho/paho.h"

struct paho_client {
	struct paho_box *box;
	struct paho_connect to;
	char *id;			/* its own copies: paho may take its time */
	char *proxy, *tls_proxy;	/* NULL: none */
	uint32_t generation;
	MQTTAsync handle;		/* the helper's */
	struct paho_server server;	/* the callback's, then the loop's */
	int fd;				/* -1: not known; with the box's lock */
	bool closing;			/* with the box's lock: nothing waits any more */
	bool holds, settled;		/* with the box's lock: paho's thread waits */
	bool ack_none;			/* atomic */
	bool greeted;			/* atomic */
	bool dialing, skipped;		/* the callback's; the helper's */
	struct client_ask *asks;	/* the helper's */
};

/* What a subscription's callback is told by; freed with the client. */
struct client_ask {
	struct paho_client *client;
	void *about;
	struct client_ask *next;
};

/* ---- paho_callback.c ---- */

void paho_client_note(struct paho_client *, enum paho_note_kind, void *about, int code,
	unsigned reason, char *text);
/* MQTTAsync's callbacks, and whose they are: of the connection a client, of an event it,
 * of a subscription a client_ask, of a barrier a client. Those of version 5 end in 5. */
void paho_on_connected(void *, MQTTAsync_successData *);
void paho_on_connected5(void *, MQTTAsync_successData5 *);
void paho_on_not_connected(void *, MQTTAsync_failureData *);
void paho_on_not_connected5(void *, MQTTAsync_failureData5 *);
void paho_on_lost(void *, char *cause);
void paho_on_goodbye(void *, MQTTProperties *, enum MQTTReasonCodes);
void paho_on_sent(void *, MQTTAsync_successData *);
void paho_on_sent5(void *, MQTTAsync_successData5 *);
void paho_on_not_sent(void *, MQTTAsync_failureData *);
void paho_on_not_sent5(void *, MQTTAsync_failureData5 *);
void paho_on_subscribed(void *, MQTTAsync_successData *);
void paho_on_subscribed5(void *, MQTTAsync_successData5 *);
void paho_on_not_subscribed(void *, MQTTAsync_failureData *);
void paho_on_not_subscribed5(void *, MQTTAsync_failureData5 *);
void paho_on_barrier(void *, MQTTAsync_successData *);
void paho_on_barrier5(void *, MQTTAsync_successData5 *);
int paho_on_message(void *, char *topic, int topic_size, MQTTAsync_message *);

/* ---- paho_trace.c ---- */

void paho_trace_begin(void);
/* It costs too much to be on all the time. */
void paho_trace_for(struct paho_client *, bool on);
/* In a callback of the connection, of this thread's last lines: the socket of the
 * CONNACK for that client id, or -1; whether a CONNECT was sent (asked once); why it
 * failed (NULL: not known; the caller frees it), and whether that was TLS's fault. */
int paho_trace_socket(const char *id);
bool paho_trace_greeted(void);
char *paho_trace_why(bool *tls);
void paho_trace_forget(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* paho's callbacks: in its threads, with its lock held. See paho.h. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backends/paho/paho_client.h"

enum {
	MESSAGES_MAX = 1024,		/* taken from paho, and not yet by the loop */
	MESSAGE_BYTES_MAX = 256 * 1024
};

/* ---- callbacks of the connection ---- */

void
paho_client_note(struct paho_client *c, enum paho_note_kind kind, void *about, int code,
	unsigned reason, char *text)
{
	const struct paho_note n = { kind, c->generation, about, code, reason, text };

	paho_box_note(c->box, &n);
}

static void
note_greeting(struct paho_client *c)
{
	if (paho_trace_greeted())
		__atomic_store_n(&c->greeted, true, __ATOMIC_RELAXED);
	paho_trace_for(c, false);
}

static void
connected(struct paho_client *c, bool session)
{
	const int on = 1;
	int fd = paho_trace_socket(c->id);

	note_greeting(c);
	c->server.session = session;
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	pthread_mutex_lock(&c->box->lock);
	c->fd = fd;
	pthread_mutex_unlock(&c->box->lock);
	paho_trace_forget();
	paho_client_note(c, NOTE_CONNECTED, NULL, 0, 0, NULL);
}

void
paho_on_connected(void *arg, MQTTAsync_successData *data)
{
	connected(arg, data->alt.connect.sessionPresent);
}

/* A number that CONNACK may say. */
static unsigned
server_says(MQTTProperties *props, enum MQTTPropertyCodes id, unsigned otherwise)
{
	return MQTTProperties_hasProperty(props, id) ?
		(unsigned)MQTTProperties_getNumericValue(props, id) : otherwise;
}

void
paho_on_connected5(void *arg, MQTTAsync_successData5 *data)
{
	struct paho_client *c = arg;
	struct paho_server *s = &c->server;
	MQTTProperties *p = &data->properties;

	s->max_packet = server_says(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, MQTT_BODY_MAX);
	s->receive_maximum = server_says(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, UINT16_MAX);
	s->max_qos = (unsigned char)server_says(p, MQTTPROPERTY_CODE_MAXIMUM_QOS, 2);
	s->retain = server_says(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE, 1);
	s->wildcard = server_says(p, MQTTPROPERTY_CODE_WILDCARD_SUBSCRIPTION_AVAILABLE, 1);
	s->subscription_id = server_says(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE, 1);
	s->shared = server_says(p, MQTTPROPERTY_CODE_SHARED_SUBSCRIPTION_AVAILABLE, 1);
	connected(c, data->alt.connect.sessionPresent);
}

static void
note_failure(struct paho_client *c, int code)
{
	bool tls;
	char *why = paho_trace_why(&tls);

	paho_client_note(c, NOTE_LOST, NULL, code, tls, why);
}

static void
not_connected(struct paho_client *c, int code)
{
	note_greeting(c);
	/* A server of 3.1.1 answers a CONNECT of 5 as it knows it. */
	if (code > 0 && code < 0x80)
		paho_client_note(c, NOTE_LOST, NULL, 0, mqtt_reason_of_connack((unsigned)code), NULL);
	else if (code > 0)
		paho_client_note(c, NOTE_LOST, NULL, 0, (unsigned)code, NULL);
	else
		note_failure(c, code);
}

void
paho_on_not_connected(void *arg, MQTTAsync_failureData *data)
{
	not_connected(arg, data->code);
}

void
paho_on_not_connected5(void *arg, MQTTAsync_failureData5 *data)
{
	not_connected(arg, data->code);
}

void
paho_on_lost(void *arg, char *cause)
{
	(void)cause;		/* paho gives none */
	note_failure(arg, MQTTASYNC_DISCONNECTED);
}

/* DISCONNECT, version 5. */
void
paho_on_goodbye(void *arg, MQTTProperties *props, enum MQTTReasonCodes reason)
{
	MQTTProperty *said = MQTTProperties_getProperty(props, MQTTPROPERTY_CODE_REASON_STRING);

	paho_client_note(arg, NOTE_LOST, NULL, 0, (unsigned)reason, said ?
		xmemdup0(said->value.data.data, (size_t)said->value.data.len) : NULL);
}

/* ---- callbacks of commands ---- */

/* paho looks for what is under way by its id alone: a SUBACK or an UNSUBACK of that id
 * would confirm an event. Only with an event's own answer it gives that back. */
static void
note_sent(struct paho_event *e, const MQTTAsync_message *m)
{
	static const char why[] = "an answer of another kind than what was asked";

	if (m->qos == e->qos && m->payloadlen == (int)e->size)
		paho_client_note(e->client, NOTE_SENT, e, 0, 0, NULL);
	else
		paho_client_note(e->client, NOTE_BROKEN, NULL, 0, 0, xstrdup(why));
}

void
paho_on_sent(void *arg, MQTTAsync_successData *data)
{
	note_sent(arg, &data->alt.pub.message);
}

/* paho leaves out the reason of a success. */
void
paho_on_sent5(void *arg, MQTTAsync_successData5 *data)
{
	note_sent(arg, &data->alt.pub.message);
}

void
paho_on_not_sent(void *arg, MQTTAsync_failureData *data)
{
	struct paho_event *e = arg;

	paho_client_note(e->client, NOTE_NOT_SENT, e, data->code < 0 ? data->code : -1, 0, NULL);
}

static char *
reason_string(MQTTProperties *props)
{
	MQTTProperty *said = MQTTProperties_getProperty(props, MQTTPROPERTY_CODE_REASON_STRING);

	return said ? xmemdup0(said->value.data.data, (size_t)said->value.data.len) : NULL;
}

void
paho_on_not_sent5(void *arg, MQTTAsync_failureData5 *data)
{
	struct paho_event *e = arg;

	/* Where the code is below 0, paho leaves the rest as it is. */
	if (data->code < 0)
		paho_client_note(e->client, NOTE_NOT_SENT, e, data->code, 0, NULL);
	else
		paho_client_note(e->client, NOTE_NOT_SENT, e, 0, (unsigned)data->reasonCode,
			reason_string(&data->properties));
}

void
paho_on_subscribed(void *arg, MQTTAsync_successData *data)
{
	struct client_ask *ask = arg;

	paho_client_note(ask->client, NOTE_SUBSCRIBED, ask->about, 0, (unsigned)data->alt.qos, NULL);
}

void
paho_on_subscribed5(void *arg, MQTTAsync_successData5 *data)
{
	struct client_ask *ask = arg;

	paho_client_note(ask->client, NOTE_SUBSCRIBED, ask->about, 0, (unsigned)data->reasonCode, NULL);
}

void
paho_on_not_subscribed(void *arg, MQTTAsync_failureData *data)
{
	struct client_ask *ask = arg;

	paho_client_note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about,
		data->code < 0 ? data->code : 0, 0x80, NULL);
}

void
paho_on_not_subscribed5(void *arg, MQTTAsync_failureData5 *data)
{
	struct client_ask *ask = arg;

	if (data->code < 0)
		paho_client_note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about, data->code, 0, NULL);
	else
		paho_client_note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about, 0, (unsigned)data->reasonCode,
			reason_string(&data->properties));
}

void
paho_on_barrier(void *arg, MQTTAsync_successData *data)
{
	(void)data;
	paho_client_note(arg, NOTE_BARRIER, NULL, 0, 0, NULL);
}

void
paho_on_barrier5(void *arg, MQTTAsync_successData5 *data)
{
	(void)data;
	paho_client_note(arg, NOTE_BARRIER, NULL, 0, 0, NULL);
}

/* ---- an event that has come ---- */

/* Until it is settled, or must go: then without an answer. */
static void
hold(struct paho_client *c)
{
	c->holds = true;
	c->settled = false;
	while (!c->settled && !c->closing)
		pthread_cond_wait(&c->box->room, &c->box->lock);
	/* No more is sent; what was sent before still arrives. */
	if (!c->settled && c->fd >= 0)
		shutdown(c->fd, SHUT_WR);
	c->holds = false;
}

/* Texts are not all checked by paho. */
static bool
texts_valid(const MQTTProperties *props)
{
	for (int i = 0; i < props->count; i++) {
		const MQTTProperty *p = &props->array[i];
		int type = MQTTProperty_getType(p->identifier);
		bool pair = type == MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR;

		if ((pair || type == MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING) &&
		    !mqtt_text_valid(bytes_of(p->value.data.data, (size_t)p->value.data.len)))
			return false;
		if (pair &&
		    !mqtt_text_valid(bytes_of(p->value.value.data, (size_t)p->value.value.len)))
			return false;
	}
	return true;
}

/* What no server may send; NULL: it is all right. */
static const char *
fault_of(const struct paho_message *in)
{
	if (!in->topic_size || !mqtt_text_valid(bytes_of(in->topic, in->topic_size)))
		return "a topic that is no UTF-8 text";
	if (memchr(in->topic, '+', in->topic_size) || memchr(in->topic, '#', in->topic_size))
		return "a topic with wildcards";
	return texts_valid(&in->m->properties) ? NULL : "a property that is no UTF-8 text";
}

int
paho_on_message(void *arg, char *topic, int topic_size, MQTTAsync_message *m)
{
	struct paho_client *c = arg;
	struct paho_box *box = c->box;
	struct paho_message in = {
		.generation = c->generation,
		.waits = m->qos > 0 && !__atomic_load_n(&c->ack_none, __ATOMIC_RELAXED),
		.topic = topic,
		.topic_size = topic_size > 0 ? (size_t)topic_size : strlen(topic),
		.m = m,
	};
	size_t size = in.topic_size + (size_t)m->payloadlen;

	in.large = size > c->to.opt->max_packet;
	in.fault = fault_of(&in);
	if (in.large || in.fault) {
		in.waits = m->qos > 0;	/* so that it is not answered */
		paho_message_free(&in);
		in.m = NULL;
		size = 0;
	}
	pthread_mutex_lock(&box->lock);
	while (!c->closing && (box->messages.n >= MESSAGES_MAX ||
	    box->message_bytes >= MESSAGE_BYTES_MAX))
		pthread_cond_wait(&box->room, &box->lock);
	box->message_bytes += size;
	paho_box_message(box, &in);
	if (in.waits)
		hold(c);
	pthread_mutex_unlock(&box->lock);
	return 1;
}

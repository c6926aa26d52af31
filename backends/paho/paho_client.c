/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection as paho has it. What the loop calls here only adds a command; the
 * rest runs in the helper thread (client_run) or in paho's threads (the callbacks,
 * with paho's lock held).
 *
 * paho's public interface leaves three things open, which are got at this way:
 *	- Destroying the last client waits for the end of paho's threads, in steps of
 *	  100 ms. So there is one more, which never connects and never goes.
 *	- A client's socket is needed to cut it off, and to have it send small packets
 *	  at once. paho's trace names it, with the CONNACK, right before the callback.
 *	- Why a connection failed: the trace, and OpenSSL's error queue at that moment.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backends/paho/paho.h"

enum {
	MESSAGES_MAX = 1024,		/* taken from paho, and not yet by the loop */
	MESSAGE_BYTES_MAX = 256 * 1024,
	CONNECT_TIMEOUT_S = 24 * 3600,	/* the loop has a time-out of its own */
	IDS_SKIPPED = 30000
};

struct paho_client {
	struct paho_box *box;
	struct paho_connect to;
	char *id;			/* its own copy: paho may take its time */
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

/* ---- what paho says by its trace ---- */

static __thread char traced_connack[300];
static __thread char traced_error[160];
static __thread bool traced_connect, traced_tls, traced_wish;

/* It costs too much to be on all the time. */
static void
trace_for(struct paho_client *c, bool on)
{
	static int dialing;
	int n;

	if (c->dialing == on)
		return;
	c->dialing = on;
	n = __atomic_add_fetch(&dialing, on ? 1 : -1, __ATOMIC_RELAXED);
	if (n <= 1)
		MQTTAsync_setTraceLevel(n ? MQTTASYNC_TRACE_MINIMUM : MQTTASYNC_TRACE_ERROR);
}

static void
traced_forget(void)
{
	traced_error[0] = '\0';
	traced_tls = traced_wish = false;
}

/* The first error is the cause of those behind it. */
static void
traced_by_tls(void)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	if (!why || traced_tls)
		return;
	traced_tls = true;
	snprintf(traced_error, sizeof traced_error, "%s", why);
}

static void
on_trace(enum MQTTASYNC_TRACE_LEVELS level, char *line)
{
	const char *p;

	(void)level;
	if (strstr(line, " <- CONNACK"))
		snprintf(traced_connack, sizeof traced_connack, "%s", line);
	else if (strstr(line, " -> CONNECT "))
		traced_connect = true;
	else if (strstr(line, "read server certificate request"))
		traced_wish = true;
	else if (strstr(line, "SSLSocket error "))
		traced_by_tls();
	else if ((p = strstr(line, "Socket error ")) && !strstr(p, "(11)") && !strstr(p, "(115)"))
		snprintf(traced_error, sizeof traced_error, "%.*s",
			(int)strcspn(p + 13, "("), p + 13);
	else if (strstr(line, "getaddrinfo failed"))
		snprintf(traced_error, sizeof traced_error, "no address for this name");
	else if (strstr(line, "rc from X509_check_ip_asc is") && !strstr(line, "is 1"))
		snprintf(traced_error, sizeof traced_error, "the certificate is for another name");
}

/* Once for all clients. */
static void
paho_begin(void)
{
	static MQTTAsync never;

	/* Else a tcp:// connection, too, would go where these point. */
	unsetenv("http_proxy");
	unsetenv("https_proxy");
	MQTTAsync_setTraceCallback(on_trace);
	MQTTAsync_create(&never, "tcp://127.0.0.1:1", "mbus", MQTTCLIENT_PERSISTENCE_NONE, NULL);
}

/* ---- callbacks of the connection ---- */

static void
note(struct paho_client *c, enum paho_note_kind kind, void *about, int code, unsigned reason,
	char *text)
{
	const struct paho_note n = { kind, c->generation, about, code, reason, text };

	box_note(c->box, &n);
}

static void
note_greeting(struct paho_client *c)
{
	if (traced_connect)
		__atomic_store_n(&c->greeted, true, __ATOMIC_RELAXED);
	traced_connect = false;
	trace_for(c, false);
}

/* "TIME FD ID <- CONNACK rc: 0", with or without the time. -1: it is not known. */
static int
socket_of_connack(const char *id)
{
	const char *end = strstr(traced_connack, " <- CONNACK"), *p;
	int fd = -1, type = 0;
	size_t n = strlen(id);
	socklen_t size = sizeof type;

	if (end && (size_t)(end - traced_connack) > n + 1 && memcmp(end - n, id, n) == 0 &&
	    end[-(ptrdiff_t)n - 1] == ' ') {
		for (p = end - n - 1; p > traced_connack && p[-1] >= '0' && p[-1] <= '9';)
			p--;
		fd = atoi(p);
	}
	traced_connack[0] = '\0';
	return fd > 2 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
		type == SOCK_STREAM ? fd : -1;
}

static void
connected(struct paho_client *c, bool session)
{
	const int on = 1;
	int fd = socket_of_connack(c->id);

	note_greeting(c);
	c->server.session = session;
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	pthread_mutex_lock(&c->box->lock);
	c->fd = fd;
	pthread_mutex_unlock(&c->box->lock);
	traced_forget();
	note(c, NOTE_CONNECTED, NULL, 0, 0, NULL);
}

static void
on_connected(void *arg, MQTTAsync_successData *data)
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

static void
on_connected5(void *arg, MQTTAsync_successData5 *data)
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
	/* What paho itself says ("TCP/TLS connect failure") is no reason. */
	const char *why = traced_error[0] ? traced_error : NULL;

	/* Its word on ours comes, in TLS 1.3, when paho has begun to write, and then is
	 * not read any more. */
	if (traced_wish && !traced_tls) {
		traced_tls = true;
		why = "ended by the server, which had asked for a certificate";
	}
	note(c, NOTE_LOST, NULL, code, traced_tls, why ? xstrdup(why) : NULL);
	traced_forget();
}

static void
not_connected(struct paho_client *c, int code)
{
	note_greeting(c);
	if (code > 0 && c->to.version == MQTT_V311)
		note(c, NOTE_LOST, NULL, 0, mqtt_reason_of_connack((unsigned)code), NULL);
	else if (code > 0)
		note(c, NOTE_LOST, NULL, 0, (unsigned)code, NULL);
	else
		note_failure(c, code);
}

static void
on_not_connected(void *arg, MQTTAsync_failureData *data)
{
	not_connected(arg, data->code);
}

static void
on_not_connected5(void *arg, MQTTAsync_failureData5 *data)
{
	not_connected(arg, data->code);
}

static void
on_lost(void *arg, char *cause)
{
	(void)cause;		/* paho gives none */
	note_failure(arg, MQTTASYNC_DISCONNECTED);
}

/* DISCONNECT, version 5. */
static void
on_goodbye(void *arg, MQTTProperties *props, enum MQTTReasonCodes reason)
{
	MQTTProperty *said = MQTTProperties_getProperty(props, MQTTPROPERTY_CODE_REASON_STRING);

	note(arg, NOTE_LOST, NULL, 0, (unsigned)reason, said ?
		xmemdup0(said->value.data.data, (size_t)said->value.data.len) : NULL);
}

/* ---- callbacks of commands ---- */

static void
on_sent(void *arg, MQTTAsync_successData *data)
{
	struct paho_event *e = arg;

	(void)data;
	note(e->client, NOTE_SENT, e, 0, 0, NULL);
}

static void
on_sent5(void *arg, MQTTAsync_successData5 *data)
{
	struct paho_event *e = arg;

	/* Of QoS 0 nothing was answered. */
	note(e->client, NOTE_SENT, e, 0, e->qos ? (unsigned)data->reasonCode : 0, NULL);
}

static void
on_not_sent(void *arg, MQTTAsync_failureData *data)
{
	struct paho_event *e = arg;

	note(e->client, NOTE_NOT_SENT, e, data->code < 0 ? data->code : -1, 0, NULL);
}

static char *
reason_string(MQTTProperties *props)
{
	MQTTProperty *said = MQTTProperties_getProperty(props, MQTTPROPERTY_CODE_REASON_STRING);

	return said ? xmemdup0(said->value.data.data, (size_t)said->value.data.len) : NULL;
}

static void
on_not_sent5(void *arg, MQTTAsync_failureData5 *data)
{
	struct paho_event *e = arg;

	/* Where the code is below 0, paho leaves the rest as it is. */
	if (data->code < 0)
		note(e->client, NOTE_NOT_SENT, e, data->code, 0, NULL);
	else
		note(e->client, NOTE_NOT_SENT, e, 0, (unsigned)data->reasonCode,
			reason_string(&data->properties));
}

static void
on_subscribed(void *arg, MQTTAsync_successData *data)
{
	struct client_ask *ask = arg;

	note(ask->client, NOTE_SUBSCRIBED, ask->about, 0, (unsigned)data->alt.qos, NULL);
}

static void
on_subscribed5(void *arg, MQTTAsync_successData5 *data)
{
	struct client_ask *ask = arg;

	note(ask->client, NOTE_SUBSCRIBED, ask->about, 0, (unsigned)data->reasonCode, NULL);
}

static void
on_not_subscribed(void *arg, MQTTAsync_failureData *data)
{
	struct client_ask *ask = arg;

	note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about, data->code < 0 ? data->code : 0, 0x80,
		NULL);
}

static void
on_not_subscribed5(void *arg, MQTTAsync_failureData5 *data)
{
	struct client_ask *ask = arg;

	if (data->code < 0)
		note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about, data->code, 0, NULL);
	else
		note(ask->client, NOTE_NOT_SUBSCRIBED, ask->about, 0, (unsigned)data->reasonCode,
			reason_string(&data->properties));
}

static void
on_barrier(void *arg, MQTTAsync_successData *data)
{
	(void)data;
	note(arg, NOTE_BARRIER, NULL, 0, 0, NULL);
}

static void
on_barrier5(void *arg, MQTTAsync_successData5 *data)
{
	(void)data;
	note(arg, NOTE_BARRIER, NULL, 0, 0, NULL);
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

static int
on_message(void *arg, char *topic, int topic_size, MQTTAsync_message *m)
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

	pthread_mutex_lock(&box->lock);
	while (!c->closing && (box->messages.n >= MESSAGES_MAX ||
	    box->message_bytes >= MESSAGE_BYTES_MAX))
		pthread_cond_wait(&box->room, &box->lock);
	box->message_bytes += in.topic_size + (size_t)m->payloadlen;
	box_message(box, &in);
	if (in.waits)
		hold(c);
	pthread_mutex_unlock(&box->lock);
	return 1;
}

/* ---- commands, in the helper ---- */

static void
add_number(MQTTProperties *props, enum MQTTPropertyCodes id, uint32_t n)
{
	MQTTProperty p = { .identifier = id };

	p.value.integer4 = n;
	MQTTProperties_add(props, &p);
}

static void
set_tls(const struct paho_connect *to, MQTTAsync_SSLOptions *ssl)
{
	const struct tls_options *t = to->broker->tls;

	if (!t || !t->insecure)
		ssl->verify = 1;
	ssl->enableServerCertAuth = ssl->verify;
	if (!t)
		return;
	ssl->trustStore = t->ca;
	ssl->keyStore = t->cert;
	ssl->privateKey = t->key;
}

static int
client_dial(struct paho_client *c)
{
	const MQTTAsync_connectOptions plain = MQTTAsync_connectOptions_initializer;
	const MQTTAsync_connectOptions five = MQTTAsync_connectOptions_initializer5;
	const struct mqtt_options *opt = c->to.opt;
	const struct broker_options *b = c->to.broker;
	bool v5 = c->to.version == MQTT_V5;
	MQTTAsync_connectOptions o = v5 ? five : plain;
	MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
	MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;
	MQTTProperties props = MQTTProperties_initializer, will_props = MQTTProperties_initializer;
	int r;

	o.MQTTVersion = v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
	o.keepAliveInterval = opt->keepalive;
	o.connectTimeout = CONNECT_TIMEOUT_S;
	o.context = c;
	if (v5) {
		o.cleanstart = !opt->session;
		o.onSuccess5 = on_connected5;
		o.onFailure5 = on_not_connected5;
		if (opt->session)
			add_number(&props, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, opt->session);
		MQTTProperty max = { .identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM };
		max.value.integer2 = opt->receive_maximum;
		MQTTProperties_add(&props, &max);
		add_number(&props, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, opt->max_packet);
		o.connectProperties = &props;
	} else {
		o.cleansession = !opt->session;
		o.onSuccess = on_connected;
		o.onFailure = on_not_connected;
	}
	if (c->to.will.p) {
		will.topicName = opt->will_topic;
		will.payload.data = c->to.will.p;
		will.payload.len = (int)c->to.will.n;
		will.qos = opt->will_qos;
		will.retained = opt->will_retain;
		o.will = &will;
		if (v5)
			o.willProperties = &will_props;
	}
	o.username = b->username;
	o.binarypwd.data = b->password.p;
	o.binarypwd.len = (int)b->password.n;
	if (c->to.tls) {
		set_tls(&c->to, &ssl);
		o.ssl = &ssl;
	}
	o.httpProxy = o.httpsProxy = opt->proxy;
	r = MQTTAsync_connect(c->handle, &o);
	MQTTProperties_free(&props);
	return r;
}

/* In the loop these were words for the user; here is what paho says of itself. */
static char *
code_text(int code)
{
	const char *s = MQTTAsync_strerror(code);

	return s ? xstrdup(s) : NULL;
}

static void
run_connect(struct paho_client *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	MQTTAsync_createOptions o = MQTTAsync_createOptions_initializer;
	int r;

	pthread_once(&once, paho_begin);
	o.MQTTVersion = c->to.version == MQTT_V5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
	o.maxBufferedMessages = MQTT_BODY_MAX;
	trace_for(c, true);
	r = MQTTAsync_createWithOptions(&c->handle, c->to.uri, c->id,
		MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
	if (box_is_over(c->box))
		return;
	if (r == MQTTASYNC_SUCCESS) {
		MQTTAsync_setCallbacks(c->handle, c, on_lost, on_message, NULL);
		MQTTAsync_setDisconnected(c->handle, c, on_goodbye);
		r = client_dial(c);
	}
	if (r != MQTTASYNC_SUCCESS)
		note(c, NOTE_LOST, NULL, r, 0, code_text(r));
}

/* In a session that was kept, the server may still hold some of the packet ids of QoS 2
 * that an earlier client used; paho would begin with the same. Each call that is
 * refused for its options uses one up. */
static void
skip_ids(struct paho_client *c)
{
	MQTTAsync_responseOptions wrong = MQTTAsync_responseOptions_initializer;
	unsigned n = (unsigned)(loop_clock_ns() / 1000 % IDS_SKIPPED);

	if (c->to.version == MQTT_V5)
		wrong.struct_version = 0;
	else
		wrong.onSuccess5 = on_barrier5;
	while (n--)
		MQTTAsync_unsubscribe(c->handle, "mbus", &wrong);
}

static void
run_publish(struct paho_client *c, struct paho_event *e)
{
	MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
	int r;

	if (c->server.session && !c->skipped)
		skip_ids(c);
	c->skipped = true;
	o.context = e;
	if (c->to.version == MQTT_V5) {
		o.onSuccess5 = on_sent5;
		o.onFailure5 = on_not_sent5;
		o.properties = e->props;
	} else {
		o.onSuccess = on_sent;
		o.onFailure = on_not_sent;
	}
	r = MQTTAsync_send(c->handle, e->topic, (int)e->size, e->payload, e->qos, e->retain, &o);
	if (r != MQTTASYNC_SUCCESS)
		note(c, NOTE_NOT_SENT, e, r, 0, code_text(r));
}

static void
run_subscribe(struct paho_client *c, const struct paho_command *k)
{
	MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;
	struct client_ask *ask = xcalloc(1, sizeof *ask);
	int r;

	*ask = (struct client_ask){ c, k->about, c->asks };
	c->asks = ask;
	o.context = ask;
	if (c->to.version == MQTT_V5) {
		o.onSuccess5 = on_subscribed5;
		o.onFailure5 = on_not_subscribed5;
		if (k->no_retained)
			o.subscribeOptions.retainHandling = 2;
		if (k->id)
			add_number(&o.properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, k->id);
	} else {
		o.onSuccess = on_subscribed;
		o.onFailure = on_not_subscribed;
	}
	r = MQTTAsync_subscribe(c->handle, k->filter, k->qos, &o);
	if (r != MQTTASYNC_SUCCESS)
		note(c, NOTE_NOT_SUBSCRIBED, k->about, r, 0, code_text(r));
	MQTTProperties_free(&o.properties);
}

/* An UNSUBSCRIBE of what is not subscribed to changes nothing, and is answered. */
static void
run_unsubscribe(struct paho_client *c, const char *filter, bool barrier)
{
	MQTTAsync_responseOptions o = MQTTAsync_responseOptions_initializer;

	if (barrier) {
		o.context = c;
		if (c->to.version == MQTT_V5)
			o.onSuccess5 = on_barrier5;
		else
			o.onSuccess = on_barrier;
	}
	MQTTAsync_unsubscribe(c->handle, filter, &o);
}

static void
run_destroy(struct paho_client *c)
{
	struct client_ask *next;

	if (c->handle)
		MQTTAsync_destroy(&c->handle);
	trace_for(c, false);
	note(c, NOTE_GONE, NULL, 0, 0, NULL);
	for (struct client_ask *ask = c->asks; ask; ask = next) {
		next = ask->next;
		free(ask);
	}
	free(c->id);
	free(c);
}

void
client_run(const struct paho_command *k)
{
	switch (k->kind) {
	case COMMAND_CONNECT: run_connect(k->client); break;
	case COMMAND_PUBLISH: run_publish(k->client, k->about); break;
	case COMMAND_SUBSCRIBE: run_subscribe(k->client, k); break;
	case COMMAND_UNSUBSCRIBE: run_unsubscribe(k->client, k->filter, false); break;
	case COMMAND_BARRIER: run_unsubscribe(k->client, "mbus/barrier/of/nothing", true); break;
	case COMMAND_DESTROY: run_destroy(k->client); break;
	case COMMAND_QUIT: break;
	}
	free(k->filter);
}

/* ---- for the loop ---- */

static void
command(struct paho_client *c, const struct paho_command *k)
{
	struct error err;

	box_command(c->box, k, &err);	/* the helper runs: it cannot fail */
}

struct paho_client *
client_new(struct paho_box *box, const struct paho_connect *to, uint32_t generation,
	struct error *err)
{
	struct paho_client *c = xcalloc(1, sizeof *c);
	const struct paho_command k = { .kind = COMMAND_CONNECT, .client = c };

	c->box = box;
	c->to = *to;
	c->id = xstrdup(to->opt->client_id);
	c->generation = generation;
	c->fd = -1;
	c->server = (struct paho_server){ .max_packet = MQTT_BODY_MAX, .receive_maximum = UINT16_MAX,
		.max_qos = 2, .retain = true, .wildcard = true, .shared = true };
	if (box_command(box, &k, err) == 0)
		return c;
	free(c->id);
	free(c);
	return NULL;
}

void
client_close(struct paho_client *c)
{
	pthread_mutex_lock(&c->box->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->box->room);
	pthread_mutex_unlock(&c->box->lock);
	command(c, &(struct paho_command){ .kind = COMMAND_DESTROY, .client = c });
}

void
client_no_acks(struct paho_client *c)
{
	__atomic_store_n(&c->ack_none, true, __ATOMIC_RELAXED);
}

void
client_settle(struct paho_client *c)
{
	pthread_mutex_lock(&c->box->lock);
	c->settled = true;
	pthread_cond_broadcast(&c->box->room);
	pthread_mutex_unlock(&c->box->lock);
}

const struct paho_server *
client_server(const struct paho_client *c)
{
	return &c->server;
}

bool
client_greeted(const struct paho_client *c)
{
	return __atomic_load_n(&c->greeted, __ATOMIC_RELAXED);
}

void
client_publish(struct paho_client *c, struct paho_event *e)
{
	e->client = c;
	command(c, &(struct paho_command){ .kind = COMMAND_PUBLISH, .client = c, .about = e });
}

void
client_subscribe(struct paho_client *c, struct bytes filter, unsigned char qos, bool no_retained,
	uint32_t id, void *about)
{
	command(c, &(struct paho_command){ .kind = COMMAND_SUBSCRIBE, .client = c, .about = about,
		.filter = xmemdup0(filter.p, filter.n), .qos = qos, .no_retained = no_retained,
		.id = id });
}

void
client_unsubscribe(struct paho_client *c, struct bytes filter)
{
	command(c, &(struct paho_command){ .kind = COMMAND_UNSUBSCRIBE, .client = c,
		.filter = xmemdup0(filter.p, filter.n) });
}

void
client_barrier(struct paho_client *c)
{
	command(c, &(struct paho_command){ .kind = COMMAND_BARRIER, .client = c });
}

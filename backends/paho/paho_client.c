/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection as paho has it. What the loop calls here only adds a command, which
 * runs in the helper thread (paho_client_run).
 */
#include <stdio.h>
#include <stdlib.h>

#include "backends/paho/paho_client.h"

enum {
	CONNECT_TIMEOUT_S = 24 * 3600,	/* the loop has a time-out of its own */
	IDS_SKIPPED = 30000
};

/* Once for all clients. Destroying the last client waits for the end of paho's threads, in
 * steps of 100 ms; so there is one more, which never connects and never goes. */
static void
paho_begin(void)
{
	static MQTTAsync never;

	paho_trace_begin();
	MQTTAsync_create(&never, "tcp://127.0.0.1:1", "mbus", MQTTCLIENT_PERSISTENCE_NONE, NULL);
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
		o.onSuccess5 = paho_on_connected5;
		o.onFailure5 = paho_on_not_connected5;
		if (opt->session)
			add_number(&props, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, opt->session);
		MQTTProperty max = { .identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM };
		max.value.integer2 = opt->receive_maximum;
		MQTTProperties_add(&props, &max);
		add_number(&props, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, opt->max_packet);
		o.connectProperties = &props;
	} else {
		o.cleansession = !opt->session;
		o.onSuccess = paho_on_connected;
		o.onFailure = paho_on_not_connected;
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
	o.httpProxy = c->proxy;
	o.httpsProxy = c->tls_proxy;
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
	paho_trace_for(c, true);
	r = MQTTAsync_createWithOptions(&c->handle, c->to.uri, c->id,
		MQTTCLIENT_PERSISTENCE_NONE, NULL, &o);
	if (paho_box_is_over(c->box))
		return;
	if (r == MQTTASYNC_SUCCESS) {
		MQTTAsync_setCallbacks(c->handle, c, paho_on_lost, paho_on_message, NULL);
		MQTTAsync_setDisconnected(c->handle, c, paho_on_goodbye);
		r = client_dial(c);
	}
	if (r != MQTTASYNC_SUCCESS)
		paho_client_note(c, NOTE_LOST, NULL, r, 0, code_text(r));
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
		wrong.onSuccess5 = paho_on_barrier5;
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
		o.onSuccess5 = paho_on_sent5;
		o.onFailure5 = paho_on_not_sent5;
		o.properties = e->props;
	} else {
		o.onSuccess = paho_on_sent;
		o.onFailure = paho_on_not_sent;
	}
	r = MQTTAsync_send(c->handle, e->topic, (int)e->size, e->payload, e->qos, e->retain, &o);
	if (r != MQTTASYNC_SUCCESS)
		paho_client_note(c, NOTE_NOT_SENT, e, r, 0, code_text(r));
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
		o.onSuccess5 = paho_on_subscribed5;
		o.onFailure5 = paho_on_not_subscribed5;
		if (k->no_retained)
			o.subscribeOptions.retainHandling = 2;
		if (k->id)
			add_number(&o.properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, k->id);
	} else {
		o.onSuccess = paho_on_subscribed;
		o.onFailure = paho_on_not_subscribed;
	}
	r = MQTTAsync_subscribe(c->handle, k->filter, k->qos, &o);
	if (r != MQTTASYNC_SUCCESS)
		paho_client_note(c, NOTE_NOT_SUBSCRIBED, k->about, r, 0, code_text(r));
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
			o.onSuccess5 = paho_on_barrier5;
		else
			o.onSuccess = paho_on_barrier;
	}
	MQTTAsync_unsubscribe(c->handle, filter, &o);
}

static void
client_free(struct paho_client *c)
{
	free(c->id);
	free(c->proxy);
	free(c->tls_proxy);
	free(c);
}

static void
run_destroy(struct paho_client *c)
{
	struct client_ask *next;

	if (c->handle)
		MQTTAsync_destroy(&c->handle);
	paho_trace_for(c, false);
	paho_client_note(c, NOTE_GONE, NULL, 0, 0, NULL);
	for (struct client_ask *ask = c->asks; ask; ask = next) {
		next = ask->next;
		free(ask);
	}
	client_free(c);
}

void
paho_client_run(const struct paho_command *k)
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

	paho_box_command(c->box, k, &err);	/* the helper runs: it cannot fail */
}

/* paho 1.3.14 refuses a proxy for TLS without a scheme, and takes the plain one
 * for that when there is none; it drops "http" of the one and "https" of the other,
 * which say nothing of the proxy itself. */
static char *
proxy_url(const char *scheme, const char *proxy)
{
	size_t size;
	char *url;

	if (!proxy)
		return NULL;
	size = strlen(scheme) + strlen("://") + strlen(proxy) + 1;
	url = xcalloc(1, size);
	snprintf(url, size, "%s://%s", scheme, proxy);
	return url;
}

struct paho_client *
paho_client_new(struct paho_box *box, const struct paho_connect *to, uint32_t generation,
	struct error *err)
{
	struct paho_client *c = xcalloc(1, sizeof *c);
	const struct paho_command k = { .kind = COMMAND_CONNECT, .client = c };

	c->box = box;
	c->to = *to;
	c->id = xstrdup(to->opt->client_id);
	c->proxy = proxy_url("http", to->opt->proxy);
	c->tls_proxy = proxy_url("https", to->opt->proxy);
	c->generation = generation;
	c->fd = -1;
	c->server = (struct paho_server){ .max_packet = MQTT_BODY_MAX, .receive_maximum = UINT16_MAX,
		.max_qos = 2, .retain = true, .wildcard = true, .shared = true };
	if (paho_box_command(box, &k, err) == 0)
		return c;
	client_free(c);
	return NULL;
}

void
paho_client_close(struct paho_client *c)
{
	pthread_mutex_lock(&c->box->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->box->room);
	pthread_mutex_unlock(&c->box->lock);
	command(c, &(struct paho_command){ .kind = COMMAND_DESTROY, .client = c });
}

void
paho_client_no_acks(struct paho_client *c)
{
	__atomic_store_n(&c->ack_none, true, __ATOMIC_RELAXED);
}

void
paho_client_settle(struct paho_client *c)
{
	pthread_mutex_lock(&c->box->lock);
	c->settled = true;
	pthread_cond_broadcast(&c->box->room);
	pthread_mutex_unlock(&c->box->lock);
}

const struct paho_server *
paho_client_server(const struct paho_client *c)
{
	return &c->server;
}

bool
paho_client_greeted(const struct paho_client *c)
{
	return __atomic_load_n(&c->greeted, __ATOMIC_RELAXED);
}

void
paho_client_publish(struct paho_client *c, struct paho_event *e)
{
	e->client = c;
	command(c, &(struct paho_command){ .kind = COMMAND_PUBLISH, .client = c, .about = e });
}

void
paho_client_subscribe(struct paho_client *c, struct bytes filter, unsigned char qos,
	bool no_retained, uint32_t id, void *about)
{
	command(c, &(struct paho_command){ .kind = COMMAND_SUBSCRIBE, .client = c, .about = about,
		.filter = xmemdup0(filter.p, filter.n), .qos = qos, .no_retained = no_retained,
		.id = id });
}

void
paho_client_unsubscribe(struct paho_client *c, struct bytes filter)
{
	command(c, &(struct paho_command){ .kind = COMMAND_UNSUBSCRIBE, .client = c,
		.filter = xmemdup0(filter.p, filter.n) });
}

void
paho_client_barrier(struct paho_client *c)
{
	command(c, &(struct paho_command){ .kind = COMMAND_BARRIER, .client = c });
}

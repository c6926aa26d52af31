/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user said, as properties of the library. Ours come first, then what the
 * options of mbus mean, then -X: the user has the last word.
 */
#include "backends/kafka/kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/address.h"
#include "core/tls.h"

enum { KAFKA_PORT = 9092 };

const struct broker_option kafka_options[] = {
	{ "missing", "wait|fail", "wait",
		"whether a topic that is not there is waited for, or is the end",
		XOPT_CHOICE(struct kafka_broker, missing_fails), .use = BROKER_FOR_SUB },
	{ "one_cpu", "yes|no", "yes",
		"one CPU for its threads, which takes half of the CPU time",
		XOPT_BOOL(struct kafka_broker, one_cpu), .use = BROKER_FOR_SUB },
	{ "sasl.password", "PASSWORD", NULL, "as --password-file", true },
	{ "ssl.key.password", "PASSWORD", NULL, "of the private key of --tls-key", true },
	{ "ssl.keystore.password", "PASSWORD", NULL, "of ssl.keystore.location", true },
	{ "sasl.oauthbearer.client.secret", "SECRET", NULL, "for sasl.oauthbearer.method=oidc",
		true },
	{ NULL, NULL, NULL, NULL, false }
};

/* A library's word of a bad property, as an error of ours. */
static int
bad_property(struct error *err, const char *name, rd_kafka_conf_res_t res, const char *why)
{
	if (res == RD_KAFKA_CONF_UNKNOWN)
		return error_set(err, ERR_USAGE, "-X %s: neither an option of the kafka broker nor "
			"a property of librdkafka %s (-B kafka -X list shows them)", name,
			rd_kafka_version_str());
	return error_set(err, ERR_USAGE, "-X %s: %s", name, why);
}

/* What an option of mbus says. */
static const char *const ours[][2] = {
	{ "group.id", "the group is sub -g NAME" },
	{ "ssl.key.pem", "the key is in a file: --tls-key FILE" },
	{ "enable.auto.commit", "what is committed is what was written: --ack" },
	{ "enable.auto.offset.store", "what is committed is what was written: --ack" },
	{ "enable.partition.eof", "the end is sub -e" },
	{ "auto.offset.reset", "where to begin is -o beginning, end, N, -N or s@TIME" },
	{ "log.queue", "the library's lines are those of --debug" },
};

int
kafka_conf_check(const char *name, const char *value, unsigned *use, struct error *err)
{
	rd_kafka_conf_t *conf;
	rd_kafka_conf_res_t res;
	char why[300];

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strcmp(name, ours[i][0]) == 0)
			return error_set(err, ERR_USAGE, "-X %s: %s", name, ours[i][1]);
	/* While partitions are handed over one by one, a commit that is under way when the
	 * member joins again stops the whole group (seen with 2.0.2). */
	if (strcmp(name, "partition.assignment.strategy") == 0 && strstr(value, "cooperative"))
		return error_set(err, ERR_USAGE, "-X %s: range or roundrobin, not %.60s", name,
			value);
	conf = rd_kafka_conf_new();
	res = rd_kafka_conf_set(conf, name, value, why, sizeof why);
	rd_kafka_conf_destroy(conf);
	*use = kafka_conf_use(name);
	return res == RD_KAFKA_CONF_OK ? 0 : bad_property(err, name, res, why);
}

static bool
is_ours(const char *name, bool *secret)
{
	for (const struct broker_option *o = kafka_options; o->name; o++)
		if (strcmp(o->name, name) == 0) {
			*secret = o->secret;
			return true;
		}
	return false;
}

bool
kafka_conf_is_ours(const char *name)
{
	bool secret;

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strcmp(name, ours[i][0]) == 0)
			return true;
	return is_ours(name, &secret);
}

/* ---- where the servers are ---- */

int
kafka_conf_servers(struct kafka_broker *kb, struct error *err)
{
	const char *text = kb->b.opts.address ? kb->b.opts.address : kb->b.ops->default_address;
	struct bytes list = bytes_str(text), one;
	struct buf out = BUF_INIT;
	int r = 0;

	while (r == 0 && address_next(&list, &one)) {
		struct address a;
		bool v6;

		r = address_parse(one, &a, err);
		if (r < 0)
			break;
		if (a.socket.p)
			r = error_set(err, ERR_USAGE, "the address of a Kafka server is HOST:PORT, "
				"not a Unix socket");
		v6 = a.host.n && memchr(a.host.p, ':', a.host.n);
		if (buf_len(&out))
			buf_add_ch(&out, ',');
		buf_addf(&out, v6 ? "[%.*s]:%u" : "%.*s:%u", a.host.n ? (int)a.host.n : 9,
			a.host.n ? a.host.p : "127.0.0.1", a.port ? a.port : KAFKA_PORT);
	}
	if (r == 0)
		kb->servers = xstrdup(buf_cstr(&out));
	buf_release(&out);
	return r;
}

/* ---- the properties ---- */

struct making {
	rd_kafka_conf_t *conf;
	struct error *err;
	bool bad;
};

static void
set(struct making *m, const char *name, const char *value)
{
	char why[300];
	rd_kafka_conf_res_t res;

	if (m->bad)
		return;
	res = rd_kafka_conf_set(m->conf, name, value, why, sizeof why);
	if (res != RD_KAFKA_CONF_OK) {
		m->bad = true;
		bad_property(m->err, name, res, why);
	}
}

/* What only newer libraries have. */
static void
set_if_known(struct making *m, const char *name, const char *value)
{
	char why[300];

	rd_kafka_conf_set(m->conf, name, value, why, sizeof why);
}

static void
set_number(struct making *m, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	set(m, name, text);
}

const char *
kafka_conf_given(const struct kafka_broker *kb, const char *name)
{
	for (size_t i = kb->b.opts.nxopts; i-- > 0;) {
		const char *x = kb->b.opts.xopts[i].name;

		if (strcmp(strncmp(x, "kafka.", 6) == 0 ? x + 6 : x, name) == 0)
			return kb->b.opts.xopts[i].value;
	}
	return NULL;
}

/* PLAIN, which is the default, and SCRAM; others have tickets and tokens. */
static bool
wants_password(const struct kafka_broker *kb)
{
	const char *how = kafka_conf_given(kb, "sasl.mechanism");

	if (!how)
		how = kafka_conf_given(kb, "sasl.mechanisms");
	return !how || strcasecmp(how, "PLAIN") == 0 || strncasecmp(how, "SCRAM-", 6) == 0;
}

static void
set_security(struct making *m, const struct kafka_broker *kb)
{
	const struct broker_options *o = &kb->b.opts;
	const struct tls_options *t = o->tls;
	bool sasl = o->username || o->password.p || kafka_conf_given(kb, "sasl.mechanism") ||
		kafka_conf_given(kb, "sasl.mechanisms");
	char *password;

	if (t && t->sni) {
		m->bad = true;
		error_set(m->err, ERR_NOTFOUND, "--tls-sni: librdkafka asks for the name of the "
			"host, and for no other");
		return;
	}
	/* The library refuses one without the other, and a consumer of 2.0 dies of it. */
	if (sasl && wants_password(kb)) {
		bool user = o->username || kafka_conf_given(kb, "sasl.username");
		bool password_is_there = o->password.p || kafka_conf_given(kb, "sasl.password");

		if (user != password_is_there) {
			m->bad = true;
			error_set(m->err, ERR_USAGE, user ? "a user wants a password "
				"(--password-file FILE, or MBUS_PASSWORD)" :
				"a password wants a user (--username USER)");
			return;
		}
	}
	if (t || sasl)
		set(m, "security.protocol", t ? sasl ? "sasl_ssl" : "ssl" : "sasl_plaintext");
	if (t && t->ca)
		set(m, "ssl.ca.location", t->ca);
	if (t && t->cert) {
		set(m, "ssl.certificate.location", t->cert);
		set(m, "ssl.key.location", t->key ? t->key : t->cert);
	}
	if (t && t->insecure)
		set(m, "enable.ssl.certificate.verification", "false");
	if (sasl && !kafka_conf_given(kb, "sasl.mechanism") &&
	    !kafka_conf_given(kb, "sasl.mechanisms"))
		set(m, "sasl.mechanism", "PLAIN");
	if (o->username)
		set(m, "sasl.username", o->username);
	if (o->password.p) {
		password = xmemdup0(o->password.p, o->password.n);
		set(m, "sasl.password", password);
		explicit_bzero(password, o->password.n);
		free(password);
	}
}

/* A name of the user's, in the words of his option. */
static bool
set_codec(struct making *m, const char *name)
{
	static const char *const codecs[] = { "none", "gzip", "snappy", "lz4", "zstd" };

	for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
		if (strcmp(codecs[i], name) == 0) {
			set(m, "compression.codec", name);
			return true;
		}
	m->bad = true;
	error_set(m->err, ERR_USAGE, "--compress: '%.60s' is none of none, gzip, snappy, lz4, zstd",
		name);
	return false;
}

static void
set_producer(struct making *m, const struct kafka_broker *kb)
{
	static const char *const acks[] = {
		[PUBLISH_ACK_BROKER] = "1", [PUBLISH_ACK_NONE] = "0", [PUBLISH_ACK_ALL] = "all",
	};
	const struct broker_options *o = &kb->b.opts;
	char id[160] = "mbus-", *end = id + 5;

	/* What must not wait is flushed; without it the library's thread would begin to
	 * send while ours is still giving, a few events at a time. */
	set(m, "linger.ms", "5");
	set(m, "batch.num.messages", "10000");
	set(m, "queue.buffering.max.messages", "10000000");
	set(m, "queue.buffering.max.kbytes", "2097151");
	/* How large an event may be is for the server to say. */
	set(m, "message.max.bytes", "1000000000");
	/* A topic that was made is there, however long the servers take to tell each other. */
	set(m, "topic.metadata.propagation.max.ms", o->create ? "30000" : "3000");
	set_number(m, "message.timeout.ms", o->timeout_ms > INT32_MAX ? INT32_MAX : o->timeout_ms);
	/* As Java's, so that a key's events and tombstones are in one partition whoever
	 * writes them. */
	set(m, "partitioner", "murmur2_random");
	if (o->compress && !set_codec(m, o->compress))
		return;
	/* The default: what go-micro's asks for is acks=1, but a leader's word alone is lost
	 * with the leader, and the same event twice is nobody's wish. */
	if (o->ack == PUBLISH_ACK_BROKER && !kafka_conf_given(kb, "acks") &&
	    !kafka_conf_given(kb, "request.required.acks")) {
		set(m, "acks", "all");
		if (!kafka_conf_given(kb, "enable.idempotence"))
			set(m, "enable.idempotence", "true");
	} else if (o->ack != PUBLISH_ACK_BROKER) {
		set(m, "acks", acks[o->ack]);
		if (o->ack == PUBLISH_ACK_ALL && !kafka_conf_given(kb, "enable.idempotence"))
			set(m, "enable.idempotence", "true");
	}
	if (!o->transaction && kafka_conf_given(kb, "transactional.id")) {
		m->bad = true;
		error_set(m->err, ERR_USAGE, "-X transactional.id: that is --transaction");
		return;
	}
	if (o->transaction && !kafka_conf_given(kb, "transactional.id")) {
		gethostname(end, sizeof id - 40);
		end = id + strlen(id);
		snprintf(end, (size_t)(id + sizeof id - end), "-%d-%llx", (int)getpid(),
			(unsigned long long)loop_clock_ns());
		set(m, "transactional.id", id);
	}
}

static void
set_consumer(struct making *m, const struct kafka_broker *kb, const char *group, bool to_end)
{
	bool one_cpu = kb->one_cpu;

	if (group)
		set(m, "group.id", group);
	set(m, "enable.auto.commit", "false");
	set(m, "enable.auto.offset.store", "false");
	/* Positions are given by number; one that has been deleted meanwhile is followed by
	 * the first that is still there, so that nothing is passed over that could be had. */
	set(m, "auto.offset.reset", "earliest");
	set(m, "topic.metadata.refresh.interval.ms", "5000");
	/* A fetcher whose queue is full looks again a second later; before librdkafka 2.2,
	 * whatever it is told. On one CPU the queue is full only when the output is what is
	 * slow, and then 200000 records, or 64 MiB, last about as long as that. Otherwise it
	 * must be longer. What bounds the memory is the bytes; and, as each record costs 300
	 * more than it has, the number when they are small. */
	set_if_known(m, "fetch.queue.backoff.ms", "10");
	set(m, "queued.min.messages", one_cpu ? "200000" : "1000000");
	set(m, "queued.max.messages.kbytes", "65536");
	/* One answer is taken whole, whatever the queue has; of 100 partitions it would be
	 * 50 MB. (It may not be below that property.) */
	if (!kafka_conf_given(kb, "message.max.bytes"))
		set(m, "fetch.max.bytes", "8388608");
	set(m, "fetch.wait.max.ms", to_end ? "10" : "100");
	set(m, "fetch.error.backoff.ms", "50");
	if (to_end)
		set(m, "enable.partition.eof", "true");
}

static void
set_given(struct making *m, const struct kafka_broker *kb)
{
	for (size_t i = 0; i < kb->b.opts.nxopts && !m->bad; i++) {
		const char *name = kb->b.opts.xopts[i].name;
		bool secret = false;

		if (strncmp(name, "kafka.", 6) == 0)
			name += 6;
		if (!is_ours(name, &secret) || secret)
			set(m, name, kb->b.opts.xopts[i].value);
	}
}

rd_kafka_conf_t *
kafka_conf_make(struct kafka_broker *kb, rd_kafka_type_t type, const char *group, bool to_end,
	struct error *err)
{
	struct making m = { rd_kafka_conf_new(), err, false };
	unsigned ms = kb->b.opts.connect_timeout_ms;

	set(&m, "bootstrap.servers", kb->servers);
	set(&m, "client.id", "mbus");
	set(&m, "log.queue", "true");
	set(&m, "socket.nagle.disable", "true");
	set(&m, "socket.keepalive.enable", "true");
	set(&m, "reconnect.backoff.ms", "50");
	set(&m, "reconnect.backoff.max.ms", "500");
	/* That is ours to say, a moment before the library would. */
	set_number(&m, "socket.connection.setup.timeout.ms", ms < 500 ? 1000 : ms > 299500 ?
		300000 : ms + 500);
	set_security(&m, kb);
	if (type == RD_KAFKA_PRODUCER)
		set_producer(&m, kb);
	else
		set_consumer(&m, kb, group, to_end);
	set_given(&m, kb);
	if (kb->pub && kb->pub->resend == RESEND_DONE)
		set(&m, "batch.num.messages", "1");
	if (!m.bad)
		return m.conf;
	rd_kafka_conf_destroy(m.conf);
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* backends/kafka/kafka_conf: what the options of mbus become as properties of
 * librdkafka, as the library itself tells them. */
#include "tests/unit/test.h"

#ifndef HAVE_KAFKA
TEST(left_out)
{
}
#else
#include "backends/kafka/kafka_conf.c"	/* NOLINT */
#include "backends/kafka/kafka_show.c"	/* NOLINT */

static const struct broker_ops ops = { .name = "kafka", .default_address = "127.0.0.1:9092" };
static struct tls_options tls;
static struct broker_xopt xopts[8];
static struct kafka_broker kb;
static struct error err;

/* As with no option at all. */
static void
begin(void)
{
	free(kb.servers);
	memset(&kb, 0, sizeof kb);
	memset(&tls, 0, sizeof tls);
	err = (struct error)ERROR_INIT;
	kb.b.ops = &ops;
	kb.b.opts.connect_timeout_ms = 5000;
	kb.b.opts.timeout_ms = 30000;
	kb.b.opts.xopts = xopts;
	kb.one_cpu = true;
}

static void
give(const char *name, const char *value)
{
	xopts[kb.b.opts.nxopts++] = (struct broker_xopt){ name, value };
}

static rd_kafka_conf_t *
make(rd_kafka_type_t type, const char *group, bool to_end)
{
	if (!kb.servers && kafka_conf_servers(&kb, &err) < 0)
		return NULL;
	return kafka_conf_make(&kb, type, group, to_end, &err);
}

/* A property of what is made with these options; "(none)": it has no value. */
static const char *
value_of(rd_kafka_type_t type, const char *group, bool to_end, const char *name)
{
	static char text[600];
	size_t n = sizeof text;
	rd_kafka_conf_t *conf = make(type, group, to_end);

	if (!conf)
		return err.text;
	if (rd_kafka_conf_get(conf, name, text, &n) != RD_KAFKA_CONF_OK || !*text)
		strcpy(text, "(none)");
	rd_kafka_conf_destroy(conf);
	return text;
}
#define pub(name) value_of(RD_KAFKA_PRODUCER, NULL, false, name)
#define sub(name) value_of(RD_KAFKA_CONSUMER, NULL, false, name)

/* Made or refused? */
static enum error_kind
refused(rd_kafka_type_t type)
{
	rd_kafka_conf_t *conf = make(type, NULL, false);

	if (!conf)
		return err.kind;
	rd_kafka_conf_destroy(conf);
	return ERR_NONE;
}

static const char *
servers(const char *address)
{
	begin();
	kb.b.opts.address = address;
	return kafka_conf_servers(&kb, &err) < 0 ? err.text : kb.servers;
}

TEST(where_the_servers_are)
{
	check_str(servers(NULL), "127.0.0.1:9092");
	check_str(servers("h"), "h:9092");
	check_str(servers("h:1,k,10.0.0.1:3"), "h:1,k:9092,10.0.0.1:3");
	check_str(servers("[::1]:5,[fe80::1]"), "[::1]:5,[fe80::1]:9092");
	check_str(servers(":7"), "127.0.0.1:7");
	servers("/run/kafka.sock");
	check_int(err.kind, ERR_USAGE);
	servers("h:99999");
	check_int(err.kind, ERR_USAGE);
	begin();
	check_str(pub("bootstrap.servers"), "127.0.0.1:9092");
}

TEST(users)
{
	begin();
	check_str(pub("security.protocol"), "plaintext");
	check_str(pub("sasl.username"), "(none)");
	kb.b.opts.username = "me";
	kb.b.opts.password = bytes_str("it's");
	check_str(pub("security.protocol"), "sasl_plaintext");
	check_str(pub("sasl.mechanism"), "PLAIN");
	check_str(pub("sasl.username"), "me");
	check_str(pub("sasl.password"), "it's");
	check_str(sub("sasl.password"), "it's");
	give("sasl.mechanism", "SCRAM-SHA-512");
	check_str(pub("sasl.mechanism"), "SCRAM-SHA-512");
	kb.b.opts.tls = &tls;
	check_str(pub("security.protocol"), "sasl_ssl");
}

/* The library knows two names of the mechanism; and one alone asks for SASL. */
TEST(a_mechanism_alone)
{
	begin();
	give("kafka.sasl.mechanisms", "OAUTHBEARER");
	check_str(pub("security.protocol"), "sasl_plaintext");
	check_str(pub("sasl.mechanisms"), "OAUTHBEARER");
}

TEST(encryption)
{
	begin();
	kb.b.opts.tls = &tls;
	check_str(sub("security.protocol"), "ssl");
	check_str(sub("enable.ssl.certificate.verification"), "true");
	check_str(sub("ssl.endpoint.identification.algorithm"), rd_kafka_version() < 0x02000000 ?
		"none" : "https");
	check_str(sub("ssl.ca.location"), "(none)");
	tls.ca = "ca.pem";
	tls.cert = "me.pem";
	check_str(sub("ssl.ca.location"), "ca.pem");
	check_str(sub("ssl.certificate.location"), "me.pem");
	check_str(sub("ssl.key.location"), "me.pem");
	tls.key = "me.key";
	check_str(sub("ssl.key.location"), "me.key");
	tls.insecure = true;
	check_str(sub("enable.ssl.certificate.verification"), "false");
	give("ssl.key.password", "hush");
	check_str(sub("ssl.key.password"), "hush");
	tls.sni = "other.example";
	check_int(refused(RD_KAFKA_CONSUMER), ERR_NOTFOUND);
}

TEST(acks)
{
	static const struct {
		enum publish_ack ack;
		const char *x, *value, *acks, *idempotent;
	} rows[] = {
		{ PUBLISH_ACK_BROKER, NULL, NULL, "-1", "true" },
		{ PUBLISH_ACK_ALL, NULL, NULL, "-1", "true" },
		{ PUBLISH_ACK_NONE, NULL, NULL, "0", "false" },
		{ PUBLISH_ACK_BROKER, "acks", "1", "1", "false" },
		{ PUBLISH_ACK_BROKER, "kafka.request.required.acks", "1", "1", "false" },
		{ PUBLISH_ACK_BROKER, "enable.idempotence", "false", "-1", "false" },
		{ PUBLISH_ACK_ALL, "enable.idempotence", "false", "-1", "false" },
		/* The user's last word. */
		{ PUBLISH_ACK_NONE, "acks", "all", "-1", "false" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin();
		kb.b.opts.ack = rows[i].ack;
		if (rows[i].x)
			give(rows[i].x, rows[i].value);
		check_str(pub("acks"), rows[i].acks);
		check_str(pub("enable.idempotence"), rows[i].idempotent);
	}
}

TEST(publishing)
{
	begin();
	check_str(pub("compression.codec"), "none");
	check_str(pub("transactional.id"), "(none)");
	check_str(pub("message.timeout.ms"), "30000");
	kb.b.opts.compress = "lz4";
	check_str(pub("compression.codec"), "lz4");
	kb.b.opts.timeout_ms = 1500;
	check_str(pub("message.timeout.ms"), "1500");
	kb.b.opts.timeout_ms = UINT32_MAX;
	check_str(pub("message.timeout.ms"), "2147483647");
	kb.b.opts.timeout_ms = 0;
	check_str(pub("message.timeout.ms"), "0");
	kb.b.opts.compress = "rot13";
	check_int(refused(RD_KAFKA_PRODUCER), ERR_USAGE);
}

TEST(a_transaction_has_a_name_of_its_own)
{
	char first[600];

	begin();
	kb.b.opts.transaction = true;
	strcpy(first, pub("transactional.id"));
	check(strncmp(first, "mbus-", 5) == 0);
	check(strcmp(first, pub("transactional.id")) != 0);
	give("transactional.id", "mine");
	check_str(pub("transactional.id"), "mine");
}

/* What must be so for the events' fates and the groups' places to be true. */
TEST(subscribing)
{
	begin();
	check_str(sub("group.id"), "(none)");
	check_str(value_of(RD_KAFKA_CONSUMER, "g", false, "group.id"), "g");
	check_str(sub("enable.auto.commit"), "false");
	check_str(sub("enable.auto.offset.store"), "false");
	check_str(sub("isolation.level"), "read_committed");
	check_str(sub("enable.partition.eof"), "false");
	check_str(value_of(RD_KAFKA_CONSUMER, NULL, true, "enable.partition.eof"), "true");
	check_str(value_of(RD_KAFKA_CONSUMER, NULL, true, "fetch.wait.max.ms"), "10");
	check_str(sub("queued.max.messages.kbytes"), "65536");
	check_str(sub("fetch.queue.backoff.ms"), rd_kafka_version() < 0x020200ff ? "(none)" : "10");
	kb.one_cpu = false;
	check_str(sub("queued.max.messages.kbytes"), "65536");
	give("queued.max.messages.kbytes", "1024");
	check_str(sub("queued.max.messages.kbytes"), "1024");
	check_str(sub("fetch.max.bytes"), "8388608");
	give("message.max.bytes", "50000000");
	check_str(sub("fetch.max.bytes"), "52428800");
}

TEST(connecting)
{
	begin();
	check_str(sub("socket.connection.setup.timeout.ms"), "5500");
	kb.b.opts.connect_timeout_ms = 1;	/* below what the library takes */
	check_str(sub("socket.connection.setup.timeout.ms"), "1000");
	kb.b.opts.connect_timeout_ms = UINT32_MAX;
	check_str(sub("socket.connection.setup.timeout.ms"), "300000");
	kb.b.opts.connect_timeout_ms = 0;	/* no limit */
	check_int(refused(RD_KAFKA_CONSUMER), ERR_NONE);
	check_str(sub("reconnect.backoff.max.ms"), "500");
}

TEST(x_in_order_and_ours_are_not_the_librarys)
{
	begin();
	give("linger.ms", "1");
	give("kafka.linger.ms", "7");
	give("missing", "fail");
	give("kafka.one_cpu", "no");
	check_str(pub("queue.buffering.max.ms"), "7");
	check_str(kafka_conf_given(&kb, "linger.ms"), "7");
	check(!kafka_conf_given(&kb, "acks"));
	give("no.such", "1");
	check_int(refused(RD_KAFKA_PRODUCER), ERR_USAGE);
	check(strstr(err.text, "no.such") != NULL);
}

static enum error_kind
checked(const char *name, const char *value)
{
	unsigned use;

	err = (struct error)ERROR_INIT;
	return kafka_conf_check(name, value, &use, &err) < 0 ? err.kind : ERR_NONE;
}

TEST(whose_properties_they_are)
{
	check_int(kafka_conf_use("linger.ms"), BROKER_FOR_PUB);
	check_int(kafka_conf_use("request.timeout.ms"), BROKER_FOR_PUB);	/* a topic's */
	check_int(kafka_conf_use("fetch.min.bytes"), BROKER_FOR_SUB);
	check_int(kafka_conf_use("client.id"), 0);
	check_int(kafka_conf_use("no.such"), 0);
}

TEST(values_are_checked_before_anything_else)
{
	check_int(checked("linger.ms", "5"), ERR_NONE);
	check_int(checked("request.timeout.ms", "5"), ERR_NONE);	/* a topic's */
	check_int(checked("linger.ms", "soon"), ERR_USAGE);
	check(strstr(err.text, "linger.ms") != NULL);
	check_int(checked("compression.codec", "rot13"), ERR_USAGE);
	check_int(checked("no.such", "1"), ERR_USAGE);
	check(strstr(err.text, "no.such") != NULL);
	/* An option of mbus says these. */
	check_int(checked("group.id", "g"), ERR_USAGE);
	check(strstr(err.text, "-g") != NULL);
	check_int(checked("ssl.key.pem", "x"), ERR_USAGE);
	check_int(checked("enable.auto.commit", "true"), ERR_USAGE);
	check_int(checked("enable.auto.offset.store", "true"), ERR_USAGE);
	check_int(checked("enable.partition.eof", "true"), ERR_USAGE);
	check_int(checked("log.queue", "false"), ERR_USAGE);
	check_int(checked("partition.assignment.strategy", "roundrobin"), ERR_NONE);
	check_int(checked("partition.assignment.strategy", "range,cooperative-sticky"), ERR_USAGE);
}

TEST(the_list)
{
	struct buf out = BUF_INIT;
	const char *text;

	kafka_conf_list(&out);
	text = buf_cstr(&out);
	check(strstr(text, rd_kafka_version_str()) != NULL);
	check(strstr(text, "\n  isolation.level=read_uncommitted, read_committed (default "
		"read_committed; sub)\n      ") != NULL);
	check(strstr(text, "\n  fetch.wait.max.ms=0 .. 300000 (default 500; mbus sub: 100)\n      "
		"Maximum time the broker may wait") != NULL);
	check(strstr(text, "\n  socket.keepalive.enable=true, false (default false; mbus: true)\n")
		!= NULL);
	check(strstr(text, "\n  transactional.id=VALUE (no default; pub)\n") != NULL);
	check(strstr(text, "\n  linger.ms=0 .. 900000 (default 5; pub)\n      Alias for") != NULL);
	check(strstr(text, "_cb=") == NULL);
	check(strstr(text, "\n  group.id=") == NULL);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		check(strncmp(line, "      ", 6) != 0 || strcspn(line, "\n") <= 100);
	/* These are above it, among ours. */
	check(strstr(text, "\n  sasl.password=") == NULL);
	check(strstr(text, "\n  ssl.key.password=") == NULL);
	buf_release(&out);
	begin();
}
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_pub PORT TOPIC [PROPERTY=VALUE...]: the smallest correct publisher on
 * librdkafka: each line of stdin is one rd_kafka_produceva() to partition 0, and every
 * delivery report is looked at. Polls when no more input is ready, so that it can also
 * be measured at low rates.
 */
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned long sent, delivered;

static void
die(const char *why)
{
	fprintf(stderr, "kafka_pub: %s\n", why);
	exit(1);
}

static void
report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	(void)rk;
	(void)arg;
	if (m->err)
		die(rd_kafka_err2str(m->err));
	delivered++;
}

static void
produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, char *body, size_t n)
{
	rd_kafka_vu_t vu[] = {
		{ .vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic },
		{ .vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0 },
		{ .vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = { body, n } },
		{ .vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY },
	};
	rd_kafka_error_t *err;

	while ((err = rd_kafka_produceva(rk, vu, sizeof vu / sizeof *vu))) {
		if (rd_kafka_error_code(err) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die(rd_kafka_error_string(err));
		rd_kafka_error_destroy(err);
		rd_kafka_poll(rk, 10);
	}
	if (++sent % 1000 == 0)
		rd_kafka_poll(rk, 0);
}

int
main(int argc, char **argv)
{
	static char buf[256 * 1024];
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_t *topic;
	rd_kafka_t *rk;
	char why[200], servers[40];
	size_t kept = 0;
	ssize_t n;

	if (argc < 3)
		die("usage: kafka_pub PORT TOPIC [PROPERTY=VALUE...]");
	snprintf(servers, sizeof servers, "127.0.0.1:%d", atoi(argv[1]));
	rd_kafka_conf_set(conf, "bootstrap.servers", servers, NULL, 0);
	rd_kafka_conf_set(conf, "queue.buffering.max.messages", "1000000", NULL, 0);
	for (int i = 3; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			die("not PROPERTY=VALUE");
		*value++ = 0;
		if (rd_kafka_conf_set(conf, argv[i], value, why, sizeof why) != RD_KAFKA_CONF_OK)
			die(why);
	}
	rd_kafka_conf_set_dr_msg_cb(conf, report);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	if (!rk)
		die(why);
	topic = rd_kafka_topic_new(rk, argv[2], NULL);
	while ((n = read(STDIN_FILENO, buf + kept, sizeof buf - kept)) > 0) {
		char *p = buf, *end = buf + kept + n, *nl;

		while ((nl = memchr(p, '\n', (size_t)(end - p)))) {
			produce(rk, topic, p, (size_t)(nl - p));
			p = nl + 1;
		}
		kept = (size_t)(end - p);
		memmove(buf, p, kept);
		if (poll(&in, 1, 0) == 0)
			rd_kafka_poll(rk, 0);
	}
	rd_kafka_flush(rk, 60000);
	if (delivered != sent)
		die("not all was delivered");
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}

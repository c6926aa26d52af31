/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_sub PORT TOPIC [COUNT]: the smallest correct subscriber on librdkafka: takes
 * what comes to partition 0 from now on, a thousand at a time, or from the beginning
 * if COUNT is given, and ends after so many. Prints each body and a newline, 64 KiB at
 * a time or when nothing more is there. Says "ready" on descriptor 8.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 1000 };

static char out[64 * 1024 + 64 * 1024];
static size_t out_len;

static void
die(const char *why)
{
	fprintf(stderr, "kafka_sub: %s\n", why);
	exit(1);
}

static void
flush(void)
{
	if (out_len && write(STDOUT_FILENO, out, out_len) != (ssize_t)out_len)
		die("cannot write");
	out_len = 0;
}

static void
print(const rd_kafka_message_t *m)
{
	if (m->err)
		die(rd_kafka_message_errstr(m));
	if (m->len >= 64 * 1024)
		die("a body is too long for me");
	memcpy(out + out_len, m->payload, m->len);
	out_len += m->len;
	out[out_len++] = '\n';
	if (out_len >= 64 * 1024)
		flush();
}

int
main(int argc, char **argv)
{
	unsigned long left = argc > 3 ? strtoul(argv[3], NULL, 10) : ~0ul;
	static rd_kafka_message_t *batch[BATCH];
	const struct rd_kafka_metadata *metadata;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	rd_kafka_t *rk;
	char why[200], servers[40];
	int64_t low, high;

	if (argc < 3)
		die("usage: kafka_sub PORT TOPIC [COUNT]");
	snprintf(servers, sizeof servers, "127.0.0.1:%d", atoi(argv[1]));
	rd_kafka_conf_set(conf, "bootstrap.servers", servers, NULL, 0);
	rd_kafka_conf_set(conf, "queued.min.messages", "10000000", NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
	if (!rk)
		die(why);
	topic = rd_kafka_topic_new(rk, argv[2], NULL);
	/* Without this, starting would cost 500 ms. */
	if (rd_kafka_metadata(rk, 0, topic, &metadata, 10000))
		die("no metadata");
	rd_kafka_metadata_destroy(metadata);
	if (rd_kafka_query_watermark_offsets(rk, argv[2], 0, &low, &high, 10000))
		die("no offsets");
	queue = rd_kafka_queue_new(rk);
	if (rd_kafka_consume_start_queue(topic, 0, argc > 3 ? low : high, queue))
		die("cannot start");
	if (write(8, "ready\n", 6) == 6)
		close(8);
	while (left) {
		/* What is there, or else what comes first. */
		ssize_t n = rd_kafka_consume_batch_queue(queue, 0, batch, BATCH);

		if (!n) {
			flush();
			n = rd_kafka_consume_batch_queue(queue, 1000, batch, 1);
		}
		for (ssize_t i = 0; i < n; i++) {
			if (left) {
				print(batch[i]);
				left--;
			}
			rd_kafka_message_destroy(batch[i]);
		}
	}
	flush();
	rd_kafka_consume_stop(topic, 0);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}

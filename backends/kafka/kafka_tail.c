/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the last N events of a partition begin. Offsets do not tell: the marks of
 * transactions, what was aborted, and what a compacted topic has given up have some, too.
 * So what is between is read, from N offsets before the end, and when that was less than N
 * events, from further back. A handle of its own does it, in the thread that asks.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

enum { TAIL_BATCH = 1000, TAIL_POLL_MS = 100 };

struct window {
	int64_t *offsets;		/* of the events in it */
	size_t n, cap;
};

static void
window_add(struct window *w, int64_t offset)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 256;
		w->offsets = xrealloc(w->offsets, w->cap * sizeof *w->offsets);
	}
	w->offsets[w->n++] = offset;
}

/* true: there is nothing behind it in the window. */
static bool
window_take(struct window *w, const rd_kafka_message_t *m, int64_t end)
{
	if (m->err)
		return m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && m->offset >= end;
	if (m->offset >= end)
		return true;
	window_add(w, m->offset);
	return m->offset + 1 == end;
}

/* The events from `at` up to before `end`. */
static bool
window_read(struct window *w, rd_kafka_topic_t *rkt, int32_t part, int64_t at, int64_t end,
	const struct kafka_ask *ask)
{
	rd_kafka_message_t **batch = xcalloc(TAIL_BATCH, sizeof *batch);
	bool done = false;

	w->n = 0;
	if (rd_kafka_consume_start(rkt, part, at) == 0) {
		while (!done && !kafka_ask_over(ask)) {
			ssize_t n = rd_kafka_consume_batch(rkt, part, TAIL_POLL_MS, batch,
				TAIL_BATCH);

			for (ssize_t i = 0; i < n; i++) {
				done = done || window_take(w, batch[i], end);
				rd_kafka_message_destroy(batch[i]);
			}
		}
		rd_kafka_consume_stop(rkt, part);
	}
	free(batch);
	return done;
}

static int64_t
tail_of(rd_kafka_topic_t *rkt, int32_t part, int64_t first, int64_t end, int64_t want,
	const struct kafka_ask *ask)
{
	int64_t at = end - want > first ? end - want : first, before = end, nearest = at;
	struct window w = { NULL, 0, 0 };

	while (at < before && window_read(&w, rkt, part, at, before, ask)) {
		int64_t back = end - at;

		if (w.n)
			nearest = w.offsets[(int64_t)w.n > want ? (int64_t)w.n - want : 0];
		want -= (int64_t)w.n;
		if (want <= 0 || at == first)
			break;
		before = at;
		back = back > want ? back : want;
		at = at - back > first ? at - back : first;
	}
	free(w.offsets);
	return nearest;
}

void
kafka_tails(rd_kafka_conf_t **conf, rd_kafka_topic_partition_list_t *from,
	const rd_kafka_topic_partition_list_t *end, const int64_t *want,
	const struct kafka_ask *ask)
{
	rd_kafka_t *rk = NULL;
	char why[200];

	for (int i = 0; i < from->cnt; i++) {
		rd_kafka_topic_partition_t *tp = &from->elems[i];
		rd_kafka_topic_t *rkt;

		if (want[i] <= 0 || end->elems[i].offset <= tp->offset)
			continue;
		if (!rk)
			rk = rd_kafka_new(RD_KAFKA_CONSUMER, *conf, why, sizeof why);
		if (!rk)
			return;
		*conf = NULL;
		rkt = rd_kafka_topic_new(rk, tp->topic, NULL);
		if (!rkt)
			continue;
		tp->offset = tail_of(rkt, tp->partition, tp->offset, end->elems[i].offset, want[i],
			ask);
		rd_kafka_topic_destroy(rkt);
	}
	if (rk)
		rd_kafka_destroy(rk);
}

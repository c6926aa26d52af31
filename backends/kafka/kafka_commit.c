/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was acknowledged (with --ack none: delivered) is committed, one commit under way
 * at a time; and at the end the last of it, before the group is left.
 */
#include "backends/kafka/kafka.h"

#include "core/log.h"

enum {
	COMMIT_MS = 50,			/* between two commits */
	COMMIT_COOPERATIVE_MS = 1000,
	COMMIT_AGAIN_MS = 200
};

int
kafka_group_dirty(struct kafka_subs *su, rd_kafka_topic_partition_list_t *list)
{
	int n = 0;

	for (struct kafka_topic *t = su->topics; t; t = t->next)
		for (int32_t i = 0; i < t->nparts; i++) {
			struct kafka_mark *m = &t->parts[i]->mark;

			if (m->gone || m->done < 0 || m->done == m->stored)
				continue;
			n++;
			if (!list)
				continue;
			rd_kafka_topic_partition_list_add(list, t->name.p, i)->offset = m->done;
			m->stored = m->done;
		}
	return n;
}

static void
group_left(struct kafka_subs *su)
{
	rd_kafka_queue_t *q = su->group.leaving;
	static const uint64_t one = 1;
	rd_kafka_error_t *e;

	if (q)
		return;
	su->group.leaving = q = rd_kafka_queue_new(su->client.rk);
	rd_kafka_queue_io_event_enable(q, su->client.wake, &one, sizeof one);
	e = rd_kafka_consumer_close_queue(su->client.rk, q);
	if (e) {
		rd_kafka_error_destroy(e);
		broker_drained(&su->client.kb->b);
	}
}

void
kafka_group_next(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;

	if (g->committing)
		return;
	if (g->state == GROUP_REVOKE)
		loop_defer(su->client.kb->b.loop, &g->task);
	else if (su->draining && !kafka_group_dirty(su, NULL))
		group_left(su);
}

static bool
worth_again(rd_kafka_resp_err_t code)
{
	return code != RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION &&
		code != RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID &&
		code != RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID &&
		code != RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED &&
		code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED &&
		code != RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST;
}

void
kafka_group_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
	void *arg)
{
	struct kafka_client *c = arg;
	struct kafka_subs *su = c->kb->sub;
	struct kafka_group *g;
	struct error err;

	(void)rk;
	if (!su)
		return;
	g = &su->group;
	g->committing = false;
	for (int i = 0; list && i < list->cnt && !code; i++)
		code = list->elems[i].err;
	if (code && code != RD_KAFKA_RESP_ERR__NO_OFFSET) {
		kafka_error(&err, code, NULL);
		if (!g->warned)
			log_warn("group %s: not stored so far: %s", g->name, err.text);
		g->warned = true;
		for (int i = 0; list && i < list->cnt; i++)
			if (worth_again(code) || !su->draining)
				kafka_group_part(su, &list->elems[i])->mark.stored = -1;
		if (worth_again(code) && g->state != GROUP_REVOKE) {
			loop_timer_set(c->kb->b.loop, &g->commit, COMMIT_AGAIN_MS);
			return;
		}
	} else {
		g->commits++;
		if (g->warned)
			log_verbose("group %s: stored again", g->name);
		g->warned = false;
	}
	if (!code && kafka_group_dirty(su, NULL))
		kafka_group_commit(su);
	kafka_group_next(su);
}

static void
commit_now(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	rd_kafka_topic_partition_list_t *list;

	if (g->committing || g->leaving)
		return;
	list = rd_kafka_topic_partition_list_new(8);
	if (kafka_group_dirty(su, list)) {
		g->committed_ns = loop_clock_ns();
		g->committing = rd_kafka_commit(su->client.rk, list, 1) == 0;
	}
	rd_kafka_topic_partition_list_destroy(list);
}

static void
commit_timer(struct loop_timer *t)
{
	struct kafka_subs *su = t->arg;

	commit_now(su);
	kafka_group_next(su);
}

void
kafka_group_commit(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	/* Here a member keeps its partitions while it joins again, and a commit that meets
	 * that moment costs it all of them. */
	uint64_t ms = g->cooperative ? COMMIT_COOPERATIVE_MS : COMMIT_MS;
	bool waited_for = su->draining || g->state == GROUP_REVOKE;

	if (g->committing || (!waited_for && loop_timer_is_set(&g->commit)))
		return;
	if (waited_for || loop_clock_ns() - g->committed_ns >= ms * 1000000)
		commit_now(su);
	else
		loop_timer_set(su->client.kb->b.loop, &g->commit, ms);
}

void
kafka_group_ack(struct kafka_subs *su, uint64_t first, uint64_t last, bool ok)
{
	kafka_marks_settle(&su->group.marks, first, last, ok);
	if (kafka_group_dirty(su, NULL))
		kafka_group_commit(su);
	kafka_group_next(su);
}

void
kafka_group_delivered(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	uint64_t first = g->delivered + 1, last = su->client.kb->b.delivered;

	if (!g->on_delivery || last < first)
		return;
	g->delivered = last;
	kafka_group_ack(su, first, last, true);
}

/* ---- the end ---- */

bool
kafka_group_closing(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	ssize_t n;

	if (!g->leaving)
		return false;
	/* Records come here, too, which are for whoever has the partitions next. */
	while ((n = rd_kafka_consume_batch_queue(g->leaving, 0, su->batch, KAFKA_BATCH)) > 0)
		for (ssize_t i = 0; i < n; i++)
			rd_kafka_message_destroy(su->batch[i]);
	if (rd_kafka_consumer_closed(su->client.rk))
		broker_drained(&su->client.kb->b);
	return true;
}

void
kafka_group_drain(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;

	loop_timer_clear(su->client.kb->b.loop, &g->commit);
	if (kafka_group_dirty(su, NULL))
		commit_now(su);
	kafka_group_next(su);
}

void
kafka_group_lag(struct kafka_subs *su)
{
	for (struct kafka_topic *t = su->topics; t; t = t->next)
		for (int32_t i = 0; i < t->nparts; i++) {
			struct kafka_mark *m = &t->parts[i]->mark;
			int64_t low, high;

			if (m->gone || m->done < 0)
				continue;
			/* The end as the last answer had it; without one, as it was when
			 * the partition was taken. */
			if (rd_kafka_get_watermark_offsets(su->client.rk, t->name.p, i, &low, &high) ||
			    high < 0)
				high = t->parts[i]->end;
			if (high < 0)
				continue;
			log_verbose("group %s: %s[%d] at %lld, lag %lld", su->group.name, t->name.p,
				(int)i, (long long)m->done,
				(long long)(high > m->done ? high - m->done : 0));
		}
}

void
kafka_commit_init(struct kafka_subs *su)
{
	su->group.commit = (struct loop_timer){ .fn = commit_timer, .arg = su };
}

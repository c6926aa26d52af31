/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member of a group: partitions come and go. A partition that was never committed is
 * committed where we begin, so that what comes while the group is away is not lost
 * to it.
 *
 * A rebalance is answered outside of the library's callback: an assignment once the
 * stored offsets are known, a revocation once what was delivered is acknowledged and
 * committed, or has taken too long.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

enum {
	PATIENCE_MS = 3000,		/* for the output, before partitions are given away */
	WAIT_MS = 5000			/* for partitions, before it is said */
};

/* ---- assignments ---- */

struct stored_ask {
	struct kafka_ask ask;
	rd_kafka_topic_partition_list_t *stored, *first, *from, *end, *until;
	bool want_end;
	int64_t until_ms;		/* -1: the end is where it is now */
	struct position start;		/* where nothing is stored */
	rd_kafka_conf_t *looker;	/* for its tail */
	rd_kafka_resp_err_t code;
};

static void
stored_drop(struct kafka_ask *a)
{
	struct stored_ask *s = (struct stored_ask *)a;

	if (s->stored)
		rd_kafka_topic_partition_list_destroy(s->stored);
	if (s->looker)
		rd_kafka_conf_destroy(s->looker);
	if (s->first)
		rd_kafka_topic_partition_list_destroy(s->first);
	if (s->from)
		rd_kafka_topic_partition_list_destroy(s->from);
	if (s->end)
		rd_kafka_topic_partition_list_destroy(s->end);
	if (s->until)
		rd_kafka_topic_partition_list_destroy(s->until);
	free(s);
}

/* Repeats what fails for a while. */
static bool
ask_list(struct stored_ask *s, rd_kafka_topic_partition_list_t *list, bool committed)
{
	for (unsigned i = 0;; i++) {
		int ms = kafka_ask_slice_ms(&s->ask, i);

		s->code = committed ? rd_kafka_committed(s->ask.rk, list, ms) :
			rd_kafka_offsets_for_times(s->ask.rk, list, ms);
		for (int j = 0; !s->code && j < list->cnt; j++)
			s->code = list->elems[j].err;
		if (!s->code || s->code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
		    s->code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
			return !s->code;
		if (kafka_ask_over(&s->ask))
			return false;
		kafka_ask_nap(&s->ask);
	}
}

static bool
ask_times(struct stored_ask *s, rd_kafka_topic_partition_list_t **list, int64_t time)
{
	for (unsigned i = 0;; i++) {
		rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_copy(s->stored);

		for (int j = 0; j < l->cnt; j++)
			l->elems[j].offset = time;
		if (*list)
			rd_kafka_topic_partition_list_destroy(*list);
		*list = l;
		if (ask_list(s, l, false))
			return true;
		if (i >= 8 || kafka_ask_over(&s->ask))
			return false;
	}
}

static void
stored_tails(struct stored_ask *s)
{
	int64_t *want = xcalloc((size_t)s->stored->cnt, sizeof *want);

	for (int i = 0; i < s->stored->cnt; i++)
		want[i] = s->stored->elems[i].offset < 0 ? s->start.n : 0;
	kafka_tails(&s->looker, s->from, s->end, want, &s->ask);
	free(want);
}

static void
stored_run(struct kafka_ask *a)
{
	struct stored_ask *s = (struct stored_ask *)a;
	bool some = false, had = false;
	int64_t time = s->start.kind == POSITION_TIME ? s->start.n :
		s->start.kind == POSITION_END ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;

	if (!s->stored->cnt || !ask_list(s, s->stored, true))
		return;
	for (int i = 0; i < s->stored->cnt; i++) {
		some = some || s->stored->elems[i].offset < 0;
		had = had || s->stored->elems[i].offset >= 0;
	}
	if (had && !ask_times(s, &s->first, RD_KAFKA_OFFSET_BEGINNING))
		return;
	if (some && !ask_times(s, &s->from, time))
		return;
	if (s->want_end || (some && time != RD_KAFKA_OFFSET_BEGINNING) ||
	    s->start.kind == POSITION_TAIL || s->start.kind == POSITION_OFFSET)
		if (!ask_times(s, &s->end, RD_KAFKA_OFFSET_END))
			return;
	if (some && s->looker)
		stored_tails(s);
	if (s->want_end && s->until_ms >= 0)
		ask_times(s, &s->until, s->until_ms);
}

static int64_t
start_of(const struct stored_ask *s, int i)
{
	int64_t n = s->start.n, from, end;

	if (s->stored->elems[i].offset >= 0) {
		from = s->first->elems[i].offset;
		return s->stored->elems[i].offset < from ? from : s->stored->elems[i].offset;
	}
	from = s->from->elems[i].offset;
	end = s->end ? s->end->elems[i].offset : from;
	switch (s->start.kind) {
	case POSITION_OFFSET:
		return n < from ? from : n > end ? end : n;
	default:
		return from >= 0 ? from : end;
	}
}

static void
say_parts(const struct kafka_group *g, const char *what,
	const rd_kafka_topic_partition_list_t *list)
{
	struct buf b = BUF_INIT;

	if (log_level < LOG_VERBOSE)
		return;
	for (int i = 0; i < list->cnt && i < 20; i++)
		buf_addf(&b, "%s%s[%d]", i ? ", " : "", list->elems[i].topic,
			(int)list->elems[i].partition);
	log_verbose("group %s: %s %s%s", g->name, what, list->cnt ? buf_cstr(&b) :
		"no partition", list->cnt > 20 ? " and more" : "");
	buf_release(&b);
}

static void
take_part(struct kafka_subs *su, struct stored_ask *s, int i)
{
	rd_kafka_topic_partition_t *tp = &s->stored->elems[i];
	struct kafka_part *part = kafka_group_part(su, tp);
	struct kafka_sub *ks = part->topic->ks;
	bool had = tp->offset >= 0;

	part->next = start_of(s, i);
	if (had && part->next > tp->offset)
		log_warn("group %s: %s[%d]: up to %lld events were deleted before they were read "
			"(offsets %lld to %lld)", su->group.name, tp->topic, (int)tp->partition,
			(long long)(part->next - tp->offset), (long long)tp->offset,
			(long long)part->next - 1);
	part->mark = (struct kafka_mark)KAFKA_MARK_INIT;
	part->mark.done = part->next;
	if (had)
		part->mark.stored = tp->offset;
	part->revoking = false;
	tp->offset = part->next;
	if (ks && ks->s && ks->s->opts.ended && s->end && !ks->told) {
		part->end = s->until && s->until->elems[i].offset >= 0 ?
			s->until->elems[i].offset : s->end->elems[i].offset;
		part->ended = part->next >= part->end;
		ks->nleft += !part->ended;
	}
}

static void
stored_done(struct kafka_ask *a)
{
	struct stored_ask *s = (struct stored_ask *)a;
	struct kafka_subs *su = a->client->kb->sub;
	struct kafka_group *g = &su->group;
	rd_kafka_error_t *e = NULL;
	struct error err;

	if (g->state != GROUP_ASSIGN || g->leaving)
		return;
	g->state = GROUP_CALM;
	if (s->code) {
		kafka_client_unanswered(a->client, s->code, &err);
		kafka_sub_tell_all(su, &err);
		return;
	}
	for (int i = 0; i < s->stored->cnt; i++)
		take_part(su, s, i);
	if (su->group.cooperative)
		e = rd_kafka_incremental_assign(su->client.rk, s->stored);
	else
		rd_kafka_assign(su->client.rk, s->stored);
	if (e) {
		log_verbose("group %s: %s", g->name, rd_kafka_error_string(e));
		rd_kafka_error_destroy(e);
	}
	say_parts(g, "has", s->stored);
	g->assigned = true;
	loop_timer_clear(su->client.kb->b.loop, &g->waits);
	su->client.up = true;
	loop_timer_clear(su->client.kb->b.loop, &su->client.deadline);
	if (kafka_group_dirty(su, NULL))
		kafka_group_commit(su);
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		kafka_sub_tell(ks, NULL);
		kafka_sub_check_ended(ks);
	}
}

/* At the first assignment -o holds; a partition that comes later and has nothing
 * stored is new, and read whole. */
static void
group_assign(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	struct stored_ask *s = xcalloc(1, sizeof *s);
	const struct subscribe_options *o = NULL;

	for (struct kafka_sub *ks = su->subs; ks && !o; ks = ks->next)
		o = ks->s ? &ks->s->opts : NULL;
	s->ask.run = stored_run;
	s->ask.done = stored_done;
	s->ask.drop = stored_drop;
	s->stored = g->list;
	g->list = NULL;
	s->start.kind = POSITION_BEGINNING;
	if (!g->assigned && o) {
		s->start = o->from;
		if (!s->start.kind || s->start.kind == POSITION_STORED)
			s->start.kind = POSITION_END;
		if (s->start.kind == POSITION_TAIL)
			s->looker = kafka_client_looker(su->client.kb);
		s->want_end = o->ended != NULL;
		s->until_ms = o->until.kind == POSITION_TIME ? o->until.n : -1;
	}
	if (!g->assigned)
		s->ask.until_ns = kafka_client_until(&su->client);
	kafka_ask_start(&su->client, &s->ask);
}

/* ---- the server that keeps the group ---- */

struct look_ask {
	struct kafka_ask ask;
	rd_kafka_topic_partition_list_t *list;
	bool unanswered;
	rd_kafka_resp_err_t code;
};

static void
look_drop(struct kafka_ask *a)
{
	rd_kafka_topic_partition_list_destroy(((struct look_ask *)a)->list);
	free(a);
}

/* Any answer will do. */
static void
look_run(struct kafka_ask *a)
{
	struct look_ask *l = (struct look_ask *)a;

	for (unsigned i = 0; !l->unanswered; i++) {
		l->code = rd_kafka_committed(a->rk, l->list, kafka_ask_slice_ms(a, i));
		if (l->code != RD_KAFKA_RESP_ERR__TIMED_OUT &&
		    l->code != RD_KAFKA_RESP_ERR__WAIT_COORD &&
		    l->code != RD_KAFKA_RESP_ERR__TRANSPORT)
			return;
		l->unanswered = kafka_ask_over(a);
		kafka_ask_nap(a);
	}
}

static void
look_done(struct kafka_ask *a)
{
	struct look_ask *l = (struct look_ask *)a;
	struct error err;

	if (!l->unanswered || a->client->kb->sub->group.assigned)
		return;
	kafka_client_unanswered(a->client, l->code, &err);
	kafka_sub_tell_all(a->client->kb->sub, &err);
}

void
kafka_group_look(struct kafka_subs *su)
{
	struct look_ask *l;

	if (!su->client.kb->b.opts.connect_timeout_ms)
		return;
	l = xcalloc(1, sizeof *l);
	l->ask.run = look_run;
	l->ask.done = look_done;
	l->ask.drop = look_drop;
	l->ask.until_ns = kafka_client_until(&su->client);
	l->list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(l->list, su->subs->topic.p, 0);
	kafka_ask_start(&su->client, &l->ask);
}

/* With none of its topics there, whatever comes to be assigned is new. */
void
kafka_group_missing(struct kafka_subs *su)
{
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		if (ks->s && !ks->missing_told)
			return;
	su->group.assigned = true;
	loop_timer_clear(su->client.kb->b.loop, &su->group.waits);
}

/* ---- revocations ---- */

static bool
still_out(struct kafka_subs *su)
{
	for (int i = 0; i < su->group.list->cnt; i++)
		if (kafka_group_part(su, &su->group.list->elems[i])->mark.out)
			return true;
	return false;
}

static void
give_away(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;
	rd_kafka_topic_partition_list_t *list = g->list;
	rd_kafka_error_t *e = NULL;

	loop_timer_clear(su->client.kb->b.loop, &g->patience);
	g->list = NULL;
	g->state = GROUP_CALM;
	for (int i = 0; i < list->cnt; i++) {
		struct kafka_part *part = kafka_group_part(su, &list->elems[i]);

		kafka_marks_forget(&g->marks, &part->mark);
		part->mark.gone = true;
		part->revoking = false;
		kafka_sub_part_ended(part);
	}
	if (su->group.cooperative)
		e = rd_kafka_incremental_unassign(su->client.rk, list);
	else
		rd_kafka_assign(su->client.rk, NULL);
	if (e) {
		log_verbose("group %s: %s", g->name, rd_kafka_error_string(e));
		rd_kafka_error_destroy(e);
	}
	rd_kafka_topic_partition_list_destroy(list);
	kafka_group_wait(su);
	kafka_group_next(su);
}

static void
group_patience(struct loop_timer *t)
{
	struct kafka_subs *su = t->arg;

	if (su->group.state != GROUP_REVOKE)
		return;
	log_verbose("group %s: partitions go before all that was delivered is acknowledged; it "
		"will come again", su->group.name);
	give_away(su);
}

static void
group_task(struct loop_task *t)
{
	struct kafka_subs *su = t->arg;
	struct kafka_group *g = &su->group;

	if (!g->list || g->leaving)
		return;
	if (g->state == GROUP_ASSIGN) {
		group_assign(su);
		return;
	}
	if (g->state != GROUP_REVOKE)
		return;
	if (!rd_kafka_assignment_lost(su->client.rk)) {
		if (!loop_timer_is_set(&g->patience))
			loop_timer_set(su->client.kb->b.loop, &g->patience, PATIENCE_MS);
		if (still_out(su))
			return;
		if (kafka_group_dirty(su, NULL))
			kafka_group_commit(su);
		if (g->committing)
			return;
	}
	give_away(su);
}

void
kafka_group_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
	void *arg)
{
	struct kafka_client *c = arg;
	struct kafka_subs *su = c->kb->sub;
	struct kafka_group *g = su ? &su->group : NULL;
	bool take = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
	const char *protocol = rd_kafka_rebalance_protocol(rk);

	/* Asked once: the answer is another thread's. */
	if (g)
		g->cooperative = protocol && strcmp(protocol, "COOPERATIVE") == 0;
	if (!g || g->leaving || (!take && code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
		if (g && g->cooperative && !take) {
			rd_kafka_error_t *e = rd_kafka_incremental_unassign(rk, list);

			if (e)
				rd_kafka_error_destroy(e);
		} else {
			rd_kafka_assign(rk, NULL);
		}
		return;
	}
	if (g->list)
		rd_kafka_topic_partition_list_destroy(g->list);
	g->list = rd_kafka_topic_partition_list_copy(list);
	g->state = take ? GROUP_ASSIGN : GROUP_REVOKE;
	if (!take) {
		say_parts(g, rd_kafka_assignment_lost(rk) ? "has lost" : "gives away", list);
		for (int i = 0; i < list->cnt; i++)
			kafka_group_part(su, &list->elems[i])->revoking = true;
	}
	loop_defer(c->kb->b.loop, &g->task);
}

/* Not a word comes from the library meanwhile. */
static void
group_waited(struct loop_timer *t)
{
	struct kafka_subs *su = t->arg;

	log_verbose("group %s: no word of its partitions for %d s: a member does not answer, or "
		"the one that leads cannot deal them out (mbus-kafka(7), Groups)", su->group.name,
		WAIT_MS / 1000);
}

void
kafka_group_wait(struct kafka_subs *su)
{
	if (!su->draining)
		loop_timer_set(su->client.kb->b.loop, &su->group.waits, WAIT_MS);
}

void
kafka_group_init(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;

	g->task = (struct loop_task){ .fn = group_task, .arg = su };
	g->patience = (struct loop_timer){ .fn = group_patience, .arg = su };
	g->waits = (struct loop_timer){ .fn = group_waited, .arg = su };
	kafka_commit_init(su);
}

void
kafka_group_release(struct kafka_subs *su)
{
	struct kafka_group *g = &su->group;

	loop_task_cancel(&g->task);
	loop_timer_clear(su->client.kb->b.loop, &g->patience);
	loop_timer_clear(su->client.kb->b.loop, &g->waits);
	loop_timer_clear(su->client.kb->b.loop, &g->commit);
	if (g->list)
		rd_kafka_topic_partition_list_destroy(g->list);
	g->list = NULL;
	if (g->leaving) {
		rd_kafka_queue_io_event_enable(g->leaving, -1, NULL, 0);
		rd_kafka_queue_destroy(g->leaving);
	}
	kafka_marks_release(&g->marks);
}

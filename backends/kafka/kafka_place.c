/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partitions there are, and where to begin and end in them, for subscriptions
 * without a group. Two questions: the topics, then offsets. The library is given
 * numbers only: "the end" is where it was when the subscription was said to be live,
 * and a place it had to look up itself it would look up half a second later.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

/* ---- offsets ---- */

enum { AT_FROM, AT_END, AT_UNTIL, AT_LISTS };

struct offsets_ask {
	struct kafka_ask ask;
	rd_kafka_topic_partition_list_t *at[AT_LISTS];	/* NULL: not needed; offsets are times */
	int64_t *tails;			/* of each: how many events are wanted, or 0 */
	rd_kafka_conf_t *looker;	/* there are such */
	rd_kafka_resp_err_t code;
};

static void
offsets_drop(struct kafka_ask *a)
{
	struct offsets_ask *o = (struct offsets_ask *)a;

	for (int i = 0; i < AT_LISTS; i++)
		if (o->at[i])
			rd_kafka_topic_partition_list_destroy(o->at[i]);
	if (o->looker)
		rd_kafka_conf_destroy(o->looker);
	free(o->tails);
	free(o);
}

/* One try; what cannot be had yet (a leader is being elected) is an error. */
static rd_kafka_resp_err_t
offsets_try(struct offsets_ask *o, rd_kafka_topic_partition_list_t **list, unsigned attempt)
{
	rd_kafka_topic_partition_list_t *copy = rd_kafka_topic_partition_list_copy(*list);
	rd_kafka_resp_err_t code =
		rd_kafka_offsets_for_times(o->ask.rk, copy, kafka_ask_slice_ms(&o->ask, attempt));

	for (int i = 0; !code && i < copy->cnt; i++)
		code = copy->elems[i].err;
	if (!code) {
		rd_kafka_topic_partition_list_destroy(*list);
		*list = copy;
	} else {
		rd_kafka_topic_partition_list_destroy(copy);
	}
	return code;
}

static bool
is_final(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
		code == RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT;
}

static void
offsets_run(struct kafka_ask *a)
{
	struct offsets_ask *o = (struct offsets_ask *)a;

	for (int i = 0; i < AT_LISTS; i++)
		for (unsigned attempt = 0; o->at[i]; attempt++) {
			o->code = offsets_try(o, &o->at[i], attempt);
			if (!o->code || is_final(o->code))
				break;
			if (kafka_ask_over(a))
				return;
			kafka_ask_nap(a);
		}
	if (o->looker && !o->code)
		kafka_tails(&o->looker, o->at[AT_FROM], o->at[AT_END], o->tails, a);
}

static int64_t
place_of(const struct position *p, int64_t from, int64_t end)
{
	int64_t n = p->n;

	switch (p->kind) {
	case POSITION_TIME:
		return from >= 0 ? from : end;
	case POSITION_OFFSET:
		return n < from ? from : n > end ? end : n;
	default:
		return from;
	}
}

static void
part_start(struct kafka_subs *su, const struct offsets_ask *o, int i)
{
	const rd_kafka_topic_partition_t *tp = &o->at[AT_FROM]->elems[i];
	struct kafka_topic *t = kafka_sub_topic(su, bytes_str(tp->topic));
	struct kafka_part *part = kafka_topic_part(t, tp->partition);
	struct kafka_sub *ks = t->ks;
	int64_t from = tp->offset, end, until;

	if (!ks || part->started)
		return;
	end = o->at[AT_END] ? o->at[AT_END]->elems[i].offset : from;
	until = o->at[AT_UNTIL] ? o->at[AT_UNTIL]->elems[i].offset : -1;
	part->started = true;
	part->next = ks->told ? from : place_of(&ks->s->opts.from, from, end);
	if (ks->s->opts.ended) {
		part->end = until >= 0 ? until : end;
		if (part->next >= part->end) {
			part->ended = true;
			return;
		}
		ks->nleft++;
	}
	log_debug("%s[%d]: from %lld to %lld", tp->topic, (int)tp->partition,
		(long long)part->next, (long long)part->end);
	if (rd_kafka_consume_start_queue(t->rkt, tp->partition, part->next, su->client.queue) < 0) {
		struct error err;

		kafka_error(&err, rd_kafka_last_error(), NULL);
		kafka_sub_tell(ks, &err);
	}
}

static void
offsets_done(struct kafka_ask *a)
{
	struct offsets_ask *o = (struct offsets_ask *)a;
	struct kafka_subs *su = a->client->kb->sub;
	struct error err;

	su->placing = false;
	if (o->code) {
		kafka_client_unanswered(a->client, o->code, &err);
		kafka_sub_tell_all(su, &err);
		return;
	}
	for (int i = 0; i < o->at[AT_FROM]->cnt; i++)
		part_start(su, o, i);
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		kafka_sub_tell(ks, NULL);
		kafka_sub_check_ended(ks);
	}
}

static void
offsets_add(struct offsets_ask *o, int which, const char *topic, int32_t part, int64_t time)
{
	if (!o->at[which])
		o->at[which] = rd_kafka_topic_partition_list_new(16);
	rd_kafka_topic_partition_list_add(o->at[which], topic, part)->offset = time;
}

/* The times of a partition: special ones are the beginning and the end. All lists have
 * all partitions, in the same order. */
static void
offsets_want(struct offsets_ask *o, const struct kafka_sub *ks, const char *topic, int32_t part)
{
	const struct position *from = &ks->s->opts.from, *until = &ks->s->opts.until;
	enum position_kind kind = ks->told ? POSITION_BEGINNING : from->kind;

	offsets_add(o, AT_FROM, topic, part, kind == POSITION_TIME ? from->n :
		kind == POSITION_DEFAULT || kind == POSITION_END || kind == POSITION_STORED ?
		RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING);
	if (ks->s->opts.ended || kind == POSITION_TIME || kind == POSITION_TAIL ||
	    kind == POSITION_OFFSET || o->at[AT_END])
		offsets_add(o, AT_END, topic, part, RD_KAFKA_OFFSET_END);
	o->tails = xrealloc(o->tails, (size_t)o->at[AT_FROM]->cnt * sizeof *o->tails);
	o->tails[o->at[AT_FROM]->cnt - 1] = kind == POSITION_TAIL ? from->n : 0;
	if (kind == POSITION_TAIL && !o->looker)
		o->looker = kafka_client_looker(ks->kb);
	if (until->kind == POSITION_TIME)
		offsets_add(o, AT_UNTIL, topic, part, until->n);
}

/* ---- topics ---- */

struct topics_ask {
	struct kafka_ask ask;
	bool all;
	const struct rd_kafka_metadata *md;
	rd_kafka_resp_err_t code;
};

static void
topics_drop(struct kafka_ask *a)
{
	struct topics_ask *t = (struct topics_ask *)a;

	if (t->md)
		rd_kafka_metadata_destroy(t->md);
	free(t);
}

static void
topics_run(struct kafka_ask *a)
{
	struct topics_ask *t = (struct topics_ask *)a;

	for (unsigned i = 0;; i++) {
		t->code = rd_kafka_metadata(a->rk, t->all, NULL, &t->md, kafka_ask_slice_ms(a, i));
		if (!t->code || kafka_ask_over(a))
			return;
		kafka_ask_nap(a);
	}
}

static bool
is_missing(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
		code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
		code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

/* A topic that is not there. true: it is waited for. */
static bool
sub_missing(struct kafka_sub *ks)
{
	struct error err;

	if (ks->kb->missing_fails || ks->s->opts.ended) {
		error_set(&err, ERR_NOTFOUND, "there is no such topic");
		kafka_sub_tell(ks, &err);
		return false;
	}
	if (!ks->missing_told)
		log_warn("%.*s: there is no such topic yet; waiting for it", BYTES_FMT(ks->topic));
	ks->missing_told = true;
	return true;
}

static void
topic_take(struct kafka_subs *su, struct offsets_ask *o, const rd_kafka_metadata_topic_t *mt,
	bool *soon)
{
	struct bytes name = bytes_str(mt->topic);
	struct kafka_sub *ks = kafka_sub_of_topic(su, name);
	struct kafka_topic *t;
	struct error err;

	if (!ks || !ks->s)
		return;
	if (mt->err && is_missing(mt->err)) {
		*soon = true;
		if (!ks->is_regex)
			sub_missing(ks);
		return;
	}
	if (mt->err) {
		kafka_error(&err, mt->err, NULL);
		if (!ks->is_regex)
			kafka_sub_tell(ks, &err);
		return;
	}
	if (!ks->is_regex && ks->s->opts.partition >= mt->partition_cnt) {
		kafka_error_partition(&err, mt->topic, ks->s->opts.partition, mt->partition_cnt);
		kafka_sub_tell(ks, &err);
		return;
	}
	t = kafka_sub_topic(su, name);
	t->ks = ks;
	for (int i = 0; i < mt->partition_cnt; i++) {
		struct kafka_part *part = kafka_topic_part(t, mt->partitions[i].id);

		if (part->started || (ks->told && ks->s->opts.ended) ||
		    (ks->s->opts.partition >= 0 && ks->s->opts.partition != part->id))
			continue;
		if (mt->partitions[i].err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
			*soon = true;
		else
			offsets_want(o, ks, mt->topic, part->id);
	}
}

/* All lists must be of one length: what only some partitions need, all get. */
static void
offsets_even(struct offsets_ask *o)
{
	for (int w = AT_END; w < AT_LISTS; w++) {
		rd_kafka_topic_partition_list_t *all = o->at[AT_FROM], *l = o->at[w], *even;

		if (!l || l->cnt == all->cnt)
			continue;
		even = rd_kafka_topic_partition_list_copy(all);
		for (int i = 0; i < even->cnt; i++) {
			rd_kafka_topic_partition_t *e = &even->elems[i], *has =
				rd_kafka_topic_partition_list_find(l, e->topic, e->partition);

			e->offset = has ? has->offset : RD_KAFKA_OFFSET_END;
		}
		rd_kafka_topic_partition_list_destroy(l);
		o->at[w] = even;
	}
}

static void
topics_done(struct kafka_ask *a)
{
	struct topics_ask *t = (struct topics_ask *)a;
	struct kafka_broker *kb = a->client->kb;
	struct kafka_subs *su = kb->sub;
	struct offsets_ask *o;
	struct error err;
	bool soon = false;

	su->placing = false;
	if (t->code || !t->md) {
		kafka_error(&err, t->code, NULL);
		kafka_sub_tell_all(su, &err);
		return;
	}
	kafka_client_is_up(a->client);
	su->client.up = true;
	loop_timer_clear(kb->b.loop, &su->client.deadline);
	o = xcalloc(1, sizeof *o);
	for (int i = 0; i < t->md->topic_cnt; i++)
		topic_take(su, o, &t->md->topics[i], &soon);
	loop_timer_set(kb->b.loop, &su->refresh, soon ? KAFKA_MISSING_MS : KAFKA_REFRESH_MS);
	if (!o->at[AT_FROM]) {
		free(o);
		for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
			kafka_sub_tell(ks, NULL);
			kafka_sub_check_ended(ks);
		}
		return;
	}
	offsets_even(o);
	o->ask.run = offsets_run;
	o->ask.done = offsets_done;
	o->ask.drop = offsets_drop;
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		if (ks->s && !ks->told)
			o->ask.until_ns = kafka_client_until(a->client);
	su->placing = true;
	kafka_ask_start(a->client, &o->ask);
}

void
kafka_place_start(struct kafka_broker *kb)
{
	struct kafka_subs *su = kb->sub;
	struct topics_ask *t;

	if (su->placing)
		return;
	t = xcalloc(1, sizeof *t);
	t->ask.run = topics_run;
	t->ask.done = topics_done;
	t->ask.drop = topics_drop;
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		t->all = t->all || ks->is_regex;
	su->placing = true;
	kafka_ask_start(&su->client, &t->ask);
}

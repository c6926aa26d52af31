/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the servers know, for `mbus topics`: topics, their partitions and offsets, and
 * how far groups are. One thread asks it all, step by step; nothing of it is fast, and
 * nobody waits for it but the user.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/listing.h"
#include "core/log.h"

struct list_ask {
	struct kafka_ask ask;
	char **topics;
	const char **refused;
	size_t n, nrefused;
	bool groups;
	rd_kafka_resp_err_t code;
	char why[300];
	/* What was found. */
	const struct rd_kafka_metadata *md;
	rd_kafka_topic_partition_list_t *first, *end;
	const struct rd_kafka_group_list *found;
	rd_kafka_event_t **places;	/* of each group; NULL: nothing is stored */
};

static void
list_drop(struct kafka_ask *a)
{
	struct list_ask *l = (struct list_ask *)a;

	for (size_t i = 0; i < l->n; i++)
		free(l->topics[i]);
	free(l->topics);
	free(l->refused);
	for (int i = 0; l->places && i < l->found->group_cnt; i++)
		if (l->places[i])
			rd_kafka_event_destroy(l->places[i]);
	free(l->places);
	if (l->found)
		rd_kafka_group_list_destroy(l->found);
	if (l->first)
		rd_kafka_topic_partition_list_destroy(l->first);
	if (l->end)
		rd_kafka_topic_partition_list_destroy(l->end);
	if (l->md)
		rd_kafka_metadata_destroy(l->md);
	free(l);
}

/* ---- in the thread ---- */

static bool
is_wanted(const struct list_ask *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->topics[i], name) == 0)
			return true;
	return !l->n;
}

static bool
list_metadata(struct list_ask *l)
{
	for (unsigned i = 0;; i++) {
		l->code = rd_kafka_metadata(l->ask.rk, 1, NULL, &l->md,
			kafka_ask_slice_ms(&l->ask, i));
		if (!l->code || kafka_ask_over(&l->ask))
			return !l->code;
		kafka_ask_nap(&l->ask);
	}
}

static bool
is_there(const struct list_ask *l, const char *name)
{
	for (int i = 0; i < l->md->topic_cnt; i++)
		if (strcmp(l->md->topics[i].topic, name) == 0)
			return true;
	return false;
}

/* A list of all leaves out what the user may not see; asked for it by name, the server
 * says so. */
static void
list_refused(struct list_ask *l)
{
	l->refused = xcalloc(l->n + 1, sizeof *l->refused);
	for (size_t i = 0; i < l->n; i++) {
		rd_kafka_topic_t *rkt;
		const struct rd_kafka_metadata *md;

		if (is_there(l, l->topics[i]))
			continue;
		rkt = rd_kafka_topic_new(l->ask.rk, l->topics[i], NULL);
		if (!rkt)
			continue;		/* no name for a topic */
		if (!rd_kafka_metadata(l->ask.rk, 0, rkt, &md, kafka_ask_slice_ms(&l->ask, 4))) {
			if (md->topic_cnt && md->topics[0].err ==
			    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
				l->refused[l->nrefused++] = l->topics[i];
			rd_kafka_metadata_destroy(md);
		}
		rd_kafka_topic_destroy(rkt);
	}
}

/* What cannot be had (a partition without a leader) stays unknown. */
static void
list_offsets(struct list_ask *l)
{
	l->first = rd_kafka_topic_partition_list_new(64);
	for (int i = 0; i < l->md->topic_cnt; i++) {
		const rd_kafka_metadata_topic_t *t = &l->md->topics[i];

		for (int j = 0; is_wanted(l, t->topic) && j < t->partition_cnt; j++)
			if (t->partitions[j].leader >= 0)
				rd_kafka_topic_partition_list_add(l->first, t->topic,
					t->partitions[j].id)->offset = RD_KAFKA_OFFSET_BEGINNING;
	}
	l->end = rd_kafka_topic_partition_list_copy(l->first);
	for (int i = 0; i < l->end->cnt; i++)
		l->end->elems[i].offset = RD_KAFKA_OFFSET_END;
	if (!l->first->cnt)
		return;
	rd_kafka_offsets_for_times(l->ask.rk, l->first, kafka_ask_slice_ms(&l->ask, 4));
	rd_kafka_offsets_for_times(l->ask.rk, l->end, kafka_ask_slice_ms(&l->ask, 4));
}

static rd_kafka_event_t *
list_places(struct list_ask *l, const char *group)
{
	rd_kafka_queue_t *q = rd_kafka_queue_new(l->ask.rk);
	rd_kafka_ListConsumerGroupOffsets_t *want =
		rd_kafka_ListConsumerGroupOffsets_new(group, NULL);
	rd_kafka_event_t *ev = NULL;

	rd_kafka_ListConsumerGroupOffsets(l->ask.rk, &want, 1, NULL, q);
	while (!ev && !kafka_ask_over(&l->ask))
		ev = rd_kafka_queue_poll(q, 250);
	rd_kafka_ListConsumerGroupOffsets_destroy(want);
	rd_kafka_queue_destroy(q);
	return ev;
}

static void
list_run(struct kafka_ask *a)
{
	struct list_ask *l = (struct list_ask *)a;

	if (!list_metadata(l))
		return;
	list_refused(l);
	list_offsets(l);
	if (!l->groups)
		return;
	l->code = rd_kafka_list_groups(a->rk, NULL, &l->found, kafka_ask_slice_ms(a, 4));
	if (l->code == RD_KAFKA_RESP_ERR__PARTIAL)
		l->code = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (l->code || !l->found)
		return;
	l->places = xcalloc((size_t)l->found->group_cnt + 1, sizeof *l->places);
	for (int i = 0; i < l->found->group_cnt; i++)
		l->places[i] = list_places(l, l->found->groups[i].group);
}

/* ---- as the core has it ---- */

static int64_t
offset_in(rd_kafka_topic_partition_list_t *list, const char *topic, int32_t part)
{
	rd_kafka_topic_partition_t *tp = rd_kafka_topic_partition_list_find(list, topic, part);

	return tp && !tp->err && tp->offset >= 0 ? tp->offset : -1;
}

/* Servers and the library have them in any order; what is shown has one. */
static int
by_part(const void *a, const void *b)
{
	int64_t x = ((const struct listed_part *)a)->id, y = ((const struct listed_part *)b)->id;

	return (x > y) - (x < y);
}

static int
by_place(const void *a, const void *b)
{
	const struct listed_place *x = a, *y = b;
	int r = strcmp(x->topic, y->topic);

	return r ? r : (x->partition > y->partition) - (x->partition < y->partition);
}

static void
make_topic(struct list_ask *l, const rd_kafka_metadata_topic_t *t, struct listed_topic *to)
{
	struct listed_part *parts = xcalloc((size_t)t->partition_cnt + 1, sizeof *parts);

	for (int i = 0; i < t->partition_cnt; i++) {
		const rd_kafka_metadata_partition_t *p = &t->partitions[i];

		parts[i] = (struct listed_part){ p->id, p->leader, (size_t)p->replica_cnt,
			(size_t)p->isr_cnt, offset_in(l->first, t->topic, p->id),
			offset_in(l->end, t->topic, p->id) };
	}
	qsort(parts, (size_t)t->partition_cnt, sizeof *parts, by_part);
	*to = (struct listed_topic){ t->topic, (size_t)t->partition_cnt, parts };
}

static const rd_kafka_topic_partition_list_t *
places_of(rd_kafka_event_t *ev)
{
	const rd_kafka_ListConsumerGroupOffsets_result_t *res;
	const rd_kafka_group_result_t **groups;
	size_t n = 0;

	if (!ev || rd_kafka_event_error(ev))
		return NULL;
	res = rd_kafka_event_ListConsumerGroupOffsets_result(ev);
	groups = res ? rd_kafka_ListConsumerGroupOffsets_result_groups(res, &n) : NULL;
	return n ? rd_kafka_group_result_partitions(groups[0]) : NULL;
}

static void
make_group(struct list_ask *l, int i, struct listed_group *to)
{
	const struct rd_kafka_group_info *g = &l->found->groups[i];
	const rd_kafka_topic_partition_list_t *list = places_of(l->places[i]);
	struct listed_place *places = xcalloc(list ? (size_t)list->cnt + 1 : 1, sizeof *places);
	size_t n = 0;

	for (int j = 0; list && j < list->cnt; j++) {
		const rd_kafka_topic_partition_t *tp = &list->elems[j];

		if (tp->offset >= 0 && is_wanted(l, tp->topic))
			places[n++] = (struct listed_place){ tp->topic, tp->partition, tp->offset,
				offset_in(l->end, tp->topic, tp->partition) };
	}
	qsort(places, n, sizeof *places, by_place);
	/* It was listed; but what the library asks about it is for groups of the older kind
	 * only, and to that the server says that there is none. */
	if (strcmp(g->state, "Dead") == 0 && !g->member_cnt) {
		log_warn("group %s: of a kind (KIP-848) that librdkafka %s cannot ask about: its "
			"state and members are not known", g->group, rd_kafka_version_str());
		*to = (struct listed_group){ g->group, "?", SIZE_MAX, n, places };
		return;
	}
	*to = (struct listed_group){ g->group, g->state, (size_t)g->member_cnt, n, places };
}

static int
by_topic(const void *a, const void *b)
{
	return strcmp(((const struct listed_topic *)a)->name, ((const struct listed_topic *)b)->name);
}

static int
by_group(const void *a, const void *b)
{
	return strcmp(((const struct listed_group *)a)->name, ((const struct listed_group *)b)->name);
}

static void
list_tell(struct kafka_broker *kb, const struct listing *l, const struct error *err)
{
	listing_fn *fn = kb->listed;

	kb->listed = NULL;
	if (fn)
		fn(&kb->b, l, err, kb->listed_arg);
}

static void
list_done(struct kafka_ask *a)
{
	struct list_ask *l = (struct list_ask *)a;
	struct kafka_broker *kb = a->client->kb;
	struct listing out = { 0 };
	struct listed_topic *topics;
	struct listed_group *groups;
	struct error err;

	if (l->code || !l->md) {
		kafka_error(&err, l->code, NULL);
		if (a->client->last.kind)
			err = a->client->last;
		list_tell(kb, NULL, &err);
		return;
	}
	topics = xcalloc((size_t)l->md->topic_cnt + 1, sizeof *topics);
	groups = xcalloc(l->found ? (size_t)l->found->group_cnt + 1 : 1, sizeof *groups);
	for (int i = 0; i < l->md->topic_cnt; i++)
		if (is_wanted(l, l->md->topics[i].topic))
			make_topic(l, &l->md->topics[i], &topics[out.ntopics++]);
	for (int i = 0; l->places && i < l->found->group_cnt; i++) {
		make_group(l, i, &groups[out.ngroups]);
		if (groups[out.ngroups].nplaces || !l->n)
			out.ngroups++;
		else
			free((void *)groups[out.ngroups].places);
	}
	qsort(topics, out.ntopics, sizeof *topics, by_topic);
	qsort(groups, out.ngroups, sizeof *groups, by_group);
	out.topics = topics;
	out.groups = groups;
	out.refused = l->refused;
	out.nrefused = l->nrefused;
	list_tell(kb, &out, NULL);
	for (size_t i = 0; i < out.ntopics; i++)
		free((void *)topics[i].parts);
	for (size_t i = 0; i < out.ngroups; i++)
		free((void *)groups[i].places);
	free(topics);
	free(groups);
}

/* ---- the op ---- */

static void
list_poll(struct kafka_client *c)
{
	rd_kafka_poll(c->rk, 0);
}

static void
list_failed(struct kafka_client *c, const struct error *err)
{
	list_tell(c->kb, NULL, err);
}

int
kafka_list_start(struct broker *b, const char *const *topics, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	struct kafka_broker *kb = kafka_of(b);
	struct list_ask *l;

	kb->lister = xcalloc(1, sizeof *kb->lister);
	kb->lister->poll = list_poll;
	kb->lister->failed = list_failed;
	if (kafka_client_open(kb->lister, kb, RD_KAFKA_CONSUMER, NULL, false, err) < 0)
		return -1;
	kb->listed = fn;
	kb->listed_arg = arg;
	l = xcalloc(1, sizeof *l);
	l->ask.run = list_run;
	l->ask.done = list_done;
	l->ask.drop = list_drop;
	l->topics = xcalloc(n + 1, sizeof *l->topics);
	for (l->n = 0; l->n < n; l->n++)
		l->topics[l->n] = xstrdup(topics[l->n]);
	l->groups = groups;
	kafka_ask_start(kb->lister, &l->ask);
	return 0;
}

void
kafka_list_close(struct kafka_broker *kb)
{
	kb->listed = NULL;
	if (!kb->lister)
		return;
	kafka_client_close(kb->lister);
	free(kb->lister);
	kb->lister = NULL;
}

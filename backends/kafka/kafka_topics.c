/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all who deal with subscriptions have in common: their topics and partitions, what
 * the user is told, and when a subscription is at its end.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

/* ---- topics and partitions ---- */

/* Of the server's own ones nobody thinks who writes an expression. */
static bool
is_internal(struct bytes name)
{
	return name.n >= 2 && memcmp(name.p, "__", 2) == 0;
}

struct kafka_sub *
kafka_sub_of_topic(struct kafka_subs *su, struct bytes name)
{
	struct kafka_sub *found = NULL;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		if (!ks->s)
			continue;
		if (!ks->is_regex && bytes_eq(ks->topic, name))
			return ks;
		if (ks->is_regex && !found && (ks->internal || !is_internal(name)) &&
		    pattern_is_in(&ks->regex, name))
			found = ks;
	}
	return found;
}

struct kafka_topic *
kafka_sub_topic(struct kafka_subs *su, struct bytes name)
{
	struct kafka_topic *t = su->topics;

	while (t && !bytes_eq(t->name, name))
		t = t->next;
	if (t)
		return t;
	t = xcalloc(1, sizeof *t);
	t->name = bytes_of(xmemdup0(name.p, name.n), name.n);
	t->ks = kafka_sub_of_topic(su, name);
	if (!su->group.name)
		t->rkt = rd_kafka_topic_new(su->client.rk, t->name.p, NULL);
	t->next = su->topics;
	su->topics = t;
	return t;
}

struct kafka_part *
kafka_topic_part(struct kafka_topic *t, int32_t id)
{
	if (id >= t->nparts) {
		t->parts = xrealloc(t->parts, ((size_t)id + 1) * sizeof *t->parts);
		while (t->nparts <= id) {
			struct kafka_part *p = xcalloc(1, sizeof *p);

			p->topic = t;
			p->id = t->nparts;
			p->next = p->end = -1;
			p->mark = (struct kafka_mark)KAFKA_MARK_INIT;
			t->parts[t->nparts++] = p;
		}
	}
	return t->parts[id];
}

struct kafka_part *
kafka_group_part(struct kafka_subs *su, const rd_kafka_topic_partition_t *tp)
{
	return kafka_topic_part(kafka_sub_topic(su, bytes_str(tp->topic)), tp->partition);
}

/* ---- what the user is told ---- */

void
kafka_sub_tell(struct kafka_sub *ks, const struct error *err)
{
	if (!ks->s || ks->told)
		return;
	ks->told = true;
	broker_subscribed(ks->s, err);
}

void
kafka_sub_tell_all(struct kafka_subs *su, const struct error *err)
{
	struct kafka_broker *kb = su->client.kb;
	bool told = false;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		told = told || (ks->s && !ks->told);
		kafka_sub_tell(ks, err);
	}
	if (!told && err)
		broker_failed(&kb->b, err);
}

void
kafka_sub_check_ended(struct kafka_sub *ks)
{
	if (!ks->s || ks->ended || !ks->told || ks->nleft || !ks->s->opts.ended)
		return;
	ks->ended = true;
	broker_ended(ks->s);
}

void
kafka_sub_part_ended(struct kafka_part *part)
{
	struct kafka_sub *ks = part->topic->ks;

	if (part->ended || part->end < 0)
		return;
	part->ended = true;
	if (ks && ks->nleft) {
		ks->nleft--;
		kafka_sub_check_ended(ks);
	}
}

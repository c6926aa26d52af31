/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions. All of them share one handle: without a group each partition is
 * fetched from a place of our own (kafka_place.c), with a group the server says which
 * (kafka_group.c).
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

enum { PAUSED_TICK_MS = 1000 };

/* ---- topics and partitions ---- */

struct kafka_sub *
sub_of_topic(struct kafka_subs *su, struct bytes name)
{
	struct kafka_sub *found = NULL;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		if (!ks->s)
			continue;
		if (!ks->is_regex && bytes_eq(ks->topic, name))
			return ks;
		/* Names of Kafka's topics have no NUL. */
		if (ks->is_regex && !found && regexec(&ks->regex, name.p, 0, NULL, 0) == 0)
			found = ks;
	}
	return found;
}

struct kafka_topic *
sub_topic(struct kafka_subs *su, struct bytes name)
{
	struct kafka_topic *t = su->topics;

	while (t && !bytes_eq(t->name, name))
		t = t->next;
	if (t)
		return t;
	t = xcalloc(1, sizeof *t);
	t->name = bytes_of(xmemdup0(name.p, name.n), name.n);
	t->ks = sub_of_topic(su, name);
	if (!su->group.name)
		t->rkt = rd_kafka_topic_new(su->client.rk, t->name.p, NULL);
	t->next = su->topics;
	su->topics = t;
	return t;
}

struct kafka_part *
topic_part(struct kafka_topic *t, int32_t id)
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

/* ---- what the user is told ---- */

void
sub_tell(struct kafka_sub *ks, const struct error *err)
{
	if (!ks->s || ks->told)
		return;
	ks->told = true;
	broker_subscribed(ks->s, err);
}

void
sub_tell_all(struct kafka_subs *su, const struct error *err)
{
	struct kafka_broker *kb = su->client.kb;
	bool told = false;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		told = told || (ks->s && !ks->told);
		sub_tell(ks, err);
	}
	if (!told && err)
		broker_failed(&kb->b, err);
}

static void
subs_failed(struct kafka_client *c, const struct error *err)
{
	sub_tell_all(c->kb->sub, err);
}

void
sub_check_ended(struct kafka_sub *ks)
{
	if (!ks->s || ks->ended || !ks->told || ks->nleft || !ks->s->opts.ended)
		return;
	ks->ended = true;
	broker_ended(ks->s);
}

void
sub_part_ended(struct kafka_part *part)
{
	struct kafka_sub *ks = part->topic->ks;

	if (part->ended || part->end < 0)
		return;
	part->ended = true;
	if (ks && ks->nleft) {
		ks->nleft--;
		sub_check_ended(ks);
	}
}

/* ---- starting ---- */

static void
subscribe_group(struct kafka_subs *su)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
	rd_kafka_resp_err_t code;
	struct error err;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		if (ks->s)
			rd_kafka_topic_partition_list_add(list, ks->topic.p,
				RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(su->client.rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (!code) {
		group_wait(su);
		return;
	}
	kafka_error(&err, code, NULL);
	sub_tell_all(su, &err);
}

static void
subs_start(struct loop_task *t)
{
	struct kafka_broker *kb = t->arg;
	struct kafka_subs *su = kb->sub;
	bool to_end = false;
	struct error err;

	if (!su->subs)
		return;
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		to_end = to_end || (ks->s && ks->s->opts.ended);
	if (!su->client.rk && client_open(&su->client, kb, RD_KAFKA_CONSUMER, su->group.name, to_end,
	    &err) < 0) {
		sub_tell_all(su, &err);
		return;
	}
	if (su->group.name) {
		subscribe_group(su);
		return;
	}
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		if (ks->s && !ks->is_regex)
			sub_topic(su, ks->topic);	/* so that it is asked for */
	place_start(kb);
}

static void
subs_refresh(struct loop_timer *t)
{
	struct kafka_broker *kb = t->arg;

	place_start(kb);
}

/* A pause that lasts: the group must hear from us, or it thinks us dead. What comes by
 * then is held. */
static void
paused_tick(struct loop_timer *t)
{
	struct kafka_subs *su = t->arg;

	if (!su->paused)
		return;
	if (!su->paused_there) {
		rd_kafka_topic_partition_list_t *list = NULL;

		if (rd_kafka_assignment(su->client.rk, &list) == 0 && list) {
			rd_kafka_pause_partitions(su->client.rk, list);
			rd_kafka_topic_partition_list_destroy(list);
			su->paused_there = true;
		}
	}
	read_poll(&su->client);
	loop_timer_set(su->client.kb->b.loop, &su->paused_tick, PAUSED_TICK_MS);
}

static struct kafka_subs *
subs_new(struct kafka_broker *kb)
{
	struct kafka_subs *su = xcalloc(1, sizeof *su);

	su->client.kb = kb;
	su->client.poll = read_poll;
	su->client.failed = subs_failed;
	su->client.counts = true;
	su->client.one_cpu = kb->one_cpu;
	su->start = (struct loop_task){ .fn = subs_start, .arg = kb };
	su->refresh = (struct loop_timer){ .fn = subs_refresh, .arg = kb };
	su->paused_tick = (struct loop_timer){ .fn = paused_tick, .arg = su };
	envelope_init(&su->envelope);
	group_init(su);
	kb->sub = su;
	return su;
}

/* Of a topic, or an expression. The library would wait for a topic that cannot be. */
static bool
is_name(struct bytes name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789._-";

	if (!name.n || memchr(name.p, 0, name.n))
		return false;
	if (*name.p == '^')
		return true;
	for (size_t i = 0; i < name.n; i++)
		if (!strchr(letters, name.p[i]))
			return false;
	return name.n <= 249;
}

int
sub_subscribe(struct subscription *s, struct error *err)
{
	struct kafka_broker *kb = kafka_of(s->broker);
	struct kafka_subs *su = kb->sub ? kb->sub : subs_new(kb);
	const struct subscribe_options *o = &s->opts;
	struct kafka_sub *ks, **end = &su->subs;
	int code;

	if (o->from.kind == POSITION_ID)
		return error_set(err, ERR_USAGE, "-o %.60s: an event of Kafka has an offset, which is "
			"a number", o->from.text);
	if (o->from.kind == POSITION_STORED && !o->group)
		return error_set(err, ERR_USAGE, "-o stored: where a group stopped, and there is no -g");
	if (su->subs && (su->group.name != o->group) &&
	    (!su->group.name || !o->group || strcmp(su->group.name, o->group) != 0))
		return error_set(err, ERR_NOTFOUND, "the kafka broker has one group for all of its "
			"subscriptions");
	if (!is_name(s->topic))
		return error_set(err, ERR_USAGE, "a topic of Kafka has 1 to 249 letters, digits, '.', "
			"'_' and '-'; one that begins with '^' is an expression for them");
	ks = xcalloc(1, sizeof *ks);
	ks->kb = kb;
	ks->s = s;
	ks->is_regex = s->topic.p[0] == '^';
	if (ks->is_regex && (code = regcomp(&ks->regex, s->topic.p, REG_EXTENDED | REG_NOSUB))) {
		char why[120];

		regerror(code, &ks->regex, why, sizeof why);
		free(ks);
		return error_set(err, ERR_USAGE, "not a regular expression: %s", why);
	}
	ks->topic = bytes_of(xmemdup0(s->topic.p, s->topic.n), s->topic.n);
	s->priv = ks;
	su->group.name = o->group;
	su->group.on_delivery = o->ack == SUBSCRIBE_ACK_NONE;
	while (*end)
		end = &(*end)->next;
	*end = ks;
	loop_defer(kb->b.loop, &su->start);
	return 0;
}

void
sub_unsubscribe(struct subscription *s)
{
	struct kafka_sub *ks = s->priv;

	if (ks)
		ks->s = NULL;
	s->priv = NULL;
}

void
sub_pause(struct kafka_broker *kb, bool on)
{
	struct kafka_subs *su = kb->sub;

	if (!su || su->paused == on)
		return;
	su->paused = on;
	if (on) {
		if (su->group.name && su->client.rk)
			loop_timer_set(kb->b.loop, &su->paused_tick, PAUSED_TICK_MS);
		return;
	}
	loop_timer_clear(kb->b.loop, &su->paused_tick);
	if (su->paused_there) {
		rd_kafka_topic_partition_list_t *list = NULL;

		if (rd_kafka_assignment(su->client.rk, &list) == 0 && list) {
			rd_kafka_resume_partitions(su->client.rk, list);
			rd_kafka_topic_partition_list_destroy(list);
		}
		su->paused_there = false;
	}
	if (su->client.rk)
		client_again(&su->client);
}

void
sub_drain(struct kafka_broker *kb)
{
	struct kafka_subs *su = kb->sub;

	if (!su || !su->client.rk || !su->group.name) {
		broker_drained(&kb->b);
		return;
	}
	su->draining = true;
	sub_pause(kb, false);
	group_drain(su);
}

void
sub_close(struct kafka_broker *kb)
{
	struct kafka_subs *su = kb->sub;

	if (!su)
		return;
	loop_task_cancel(&su->start);
	loop_timer_clear(kb->b.loop, &su->refresh);
	loop_timer_clear(kb->b.loop, &su->paused_tick);
	if (su->group.name && su->client.rk && log_level >= LOG_VERBOSE)
		group_lag(su);
	group_release(su);
	for (size_t i = 0; i < su->nheld; i++)
		rd_kafka_message_destroy(su->held[i]);
	free(su->held);
	for (struct kafka_topic *t = su->topics, *next; t; t = next) {
		next = t->next;
		for (int32_t i = 0; i < t->nparts; i++)
			free(t->parts[i]);
		free(t->parts);
		if (t->rkt)
			rd_kafka_topic_destroy(t->rkt);
		free((char *)t->name.p);
		free(t);
	}
	client_close(&su->client);
	for (struct kafka_sub *ks = su->subs, *next; ks; ks = next) {
		next = ks->next;
		if (ks->is_regex)
			regfree(&ks->regex);
		free((char *)ks->topic.p);
		free(ks);
	}
	envelope_release(&su->envelope);
	buf_release(&su->copy);
	free(su->headers);
	free(su);
	kb->sub = NULL;
}

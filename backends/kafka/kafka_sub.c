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

static void
subs_failed(struct kafka_client *c, const struct error *err)
{
	kafka_sub_tell_all(c->kb->sub, err);
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
		kafka_group_look(su);
		kafka_group_wait(su);
		return;
	}
	kafka_error(&err, code, NULL);
	kafka_sub_tell_all(su, &err);
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
	if (!su->client.rk && kafka_client_open(&su->client, kb, RD_KAFKA_CONSUMER,
	    su->group.name, to_end, &err) < 0) {
		kafka_sub_tell_all(su, &err);
		return;
	}
	if (su->group.name) {
		subscribe_group(su);
		return;
	}
	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next)
		if (ks->s && !ks->is_regex)
			kafka_sub_topic(su, ks->topic);	/* so that it is asked for */
	kafka_place_start(kb);
}

static void
subs_refresh(struct loop_timer *t)
{
	struct kafka_broker *kb = t->arg;

	kafka_place_start(kb);
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
	kafka_read_poll(&su->client);
	loop_timer_set(su->client.kb->b.loop, &su->paused_tick, PAUSED_TICK_MS);
}

/* From the library's own search for topics, unless somebody asks for one of them. */
static void
hide_internal(const struct kafka_subs *su, rd_kafka_conf_t *conf)
{
	bool any = false;
	size_t given = 0;

	for (struct kafka_sub *ks = su->subs; ks; ks = ks->next) {
		any = any || ks->is_regex;
		if (ks->internal)
			return;
	}
	rd_kafka_conf_get(conf, "topic.blacklist", NULL, &given);
	if (any && given <= 1)
		rd_kafka_conf_set(conf, "topic.blacklist", "^__", NULL, 0);
}

static void
subs_configure(struct kafka_client *c, rd_kafka_conf_t *conf)
{
	if (!c->kb->sub->group.name)
		return;
	hide_internal(c->kb->sub, conf);
	rd_kafka_conf_set_rebalance_cb(conf, kafka_group_rebalance);
	rd_kafka_conf_set_offset_commit_cb(conf, kafka_group_committed);
}

static struct kafka_subs *
subs_new(struct kafka_broker *kb)
{
	struct kafka_subs *su = xcalloc(1, sizeof *su);

	su->client.kb = kb;
	su->client.poll = kafka_read_poll;
	su->client.failed = subs_failed;
	su->client.configure = subs_configure;
	su->client.counts = true;
	su->client.one_cpu = kb->one_cpu;
	su->start = (struct loop_task){ .fn = subs_start, .arg = kb };
	su->refresh = (struct loop_timer){ .fn = subs_refresh, .arg = kb };
	su->paused_tick = (struct loop_timer){ .fn = paused_tick, .arg = su };
	envelope_init(&su->envelope);
	kafka_group_init(su);
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

/* As the library is to have it: for it an expression is what begins with '^'. */
static void
name_topic(struct kafka_sub *ks, struct bytes topic)
{
	struct buf b = BUF_INIT;

	ks->internal = memmem(topic.p, topic.n, "__", 2);
	if (ks->is_regex && (!topic.n || *topic.p != '^'))
		buf_addf(&b, "^.*(%.*s)", BYTES_FMT(topic));
	else
		buf_add_bytes(&b, topic);
	ks->topic = bytes_of(xmemdup0(buf_data(&b), buf_len(&b)), buf_len(&b));
	buf_release(&b);
}

int
kafka_sub_subscribe(struct subscription *s, struct error *err)
{
	struct kafka_broker *kb = kafka_of(s->broker);
	struct kafka_subs *su = kb->sub ? kb->sub : subs_new(kb);
	const struct subscribe_options *o = &s->opts;
	struct kafka_sub *ks, **end = &su->subs;

	if (o->from.kind == POSITION_ID)
		return error_set(err, ERR_USAGE, "-o %.60s: an event of Kafka has an offset, which is "
			"a number", o->from.text);
	if (o->from.kind == POSITION_STORED && !o->group)
		return error_set(err, ERR_USAGE, "-o stored: where a group stopped, and there is no -g");
	if (o->partition >= 0 && o->group)
		return error_set(err, ERR_USAGE, "--partition: a group's members are told which "
			"partitions are theirs: without -g");
	if (su->subs && (su->group.name != o->group) &&
	    (!su->group.name || !o->group || strcmp(su->group.name, o->group) != 0))
		return error_set(err, ERR_NOTFOUND, "the kafka broker has one group for all of its "
			"subscriptions");
	if (!o->regex && !is_name(s->topic))
		return error_set(err, ERR_USAGE, "a topic of Kafka has 1 to 249 letters, digits, '.', "
			"'_' and '-'; one that begins with '^' is an expression for them");
	ks = xcalloc(1, sizeof *ks);
	ks->kb = kb;
	ks->s = s;
	ks->is_regex = o->regex || s->topic.p[0] == '^';
	if (ks->is_regex && pattern_compile(&ks->regex, s->topic, err) < 0) {
		free(ks);
		return -1;
	}
	name_topic(ks, s->topic);
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
kafka_sub_unsubscribe(struct subscription *s)
{
	struct kafka_sub *ks = s->priv;

	if (ks)
		ks->s = NULL;
	s->priv = NULL;
}

void
kafka_sub_pause(struct kafka_broker *kb, bool on)
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
		kafka_client_again(&su->client);
}

void
kafka_sub_drain(struct kafka_broker *kb)
{
	struct kafka_subs *su = kb->sub;

	if (!su || !su->client.rk || !su->group.name) {
		broker_drained(&kb->b);
		return;
	}
	su->draining = true;
	kafka_sub_pause(kb, false);
	kafka_group_drain(su);
}

void
kafka_sub_close(struct kafka_broker *kb)
{
	struct kafka_subs *su = kb->sub;

	if (!su)
		return;
	loop_task_cancel(&su->start);
	loop_timer_clear(kb->b.loop, &su->refresh);
	loop_timer_clear(kb->b.loop, &su->paused_tick);
	if (su->group.name && su->client.rk && log_level >= LOG_VERBOSE)
		kafka_group_lag(su);
	if (su->group.name && su->client.rk && (su->group.committing || kafka_group_dirty(su, NULL)))
		log_warn("group %s: not all that was written could be stored: it will come again",
			su->group.name);
	kafka_group_release(su);
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
	kafka_client_close(&su->client);
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

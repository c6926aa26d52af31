/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus topics: what a broker keeps. Topics with their partitions and offsets, groups
 * and how far behind they are. A command of its own and not a form of `mbus registry`:
 * that shows who is there, this what is kept, and no broker has both.
 */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/shown.h"
#include "core/json.h"
#include "core/listing.h"
#include "core/text.h"
#include "core/units.h"

struct topics_args {
	struct common_args common;
	uint64_t timeout_ms;
	bool json;
};

struct topics {
	const struct topics_args *args;
	struct loop *loop;
	struct broker *broker;
	const char *const *names;
	size_t n;
	struct buf out;
	struct error *err;
	struct loop_timer deadline;
	bool failed;
	enum error_kind lacks;		/* the gravest of what was not shown */
};

static void
topics_fail(struct topics *t, const struct error *err)
{
	if (!t->failed)
		*t->err = *err;
	t->failed = true;
	loop_stop(t->loop);
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
is_of(const char *topic, const char *address, const struct listed_topic *t)
{
	return same(topic, t->name) && same(address, t->address);
}

/* ---- as text ---- */

static void
add_i64(struct buf *out, int64_t n)
{
	if (n < 0)
		buf_add_ch(out, '?');
	else
		buf_add_u64(out, (uint64_t)n);
}

/* ", 3 lost" of what is there to be told. */
static void
add_some(struct buf *out, int64_t n, const char *what)
{
	if (n > 0)
		buf_addf(out, ", %lld %s", (long long)n, what);
}

static void
text_address(struct buf *out, const struct listed_address *a)
{
	buf_addf(out, "at %s  %zu attached", a->address, a->nattached);
	if (a->bytes >= 0) {
		buf_add_str(out, ", ");
		units_add_size(out, (uint64_t)a->bytes);
	}
	if (a->state)
		buf_addf(out, ", %s", a->state);
	buf_add_ch(out, '\n');
}

static void
text_subscriber(struct buf *out, const struct listed_subscriber *s)
{
	const char *gap = "  ";

	if (s->pid >= 0)
		buf_addf(out, "  pid %lld", (long long)s->pid);
	buf_add_str(out, "  ");
	add_shown(out, s->program ? s->program : "?");
	if (s->where) {
		buf_add_str(out, " (");
		add_shown(out, s->where);
		buf_add_ch(out, ')');
	}
	if (s->group) {
		buf_addf(out, "%sgroup ", gap);
		add_shown(out, s->group);
		gap = ", ";
	}
	if (s->lag >= 0) {
		buf_addf(out, "%slag %lld", gap, (long long)s->lag);
		gap = ", ";
	}
	if (s->dropped >= 0)
		buf_addf(out, "%s%lld dropped", gap, (long long)s->dropped);
	buf_add_ch(out, '\n');
}

/* One without partitions: who reads it. */
static void
text_plain_topic(struct buf *out, const struct listing *l, const struct listed_topic *t)
{
	add_shown(out, t->name);
	buf_addf(out, "  %s", t->kind ? t->kind : "");
	if (t->nsubscribers >= 0)
		buf_addf(out, "%s%lld subscriber%s", t->kind ? ", " : "",
			(long long)t->nsubscribers, t->nsubscribers == 1 ? "" : "s");
	if (t->events >= 0 && t->nsubscribers < 0)
		buf_addf(out, ", %lld event%s", (long long)t->events, t->events == 1 ? "" : "s");
	else
		add_some(out, t->events, t->events == 1 ? "event" : "events");
	add_some(out, t->lost, "lost by groups that ended");
	buf_add_ch(out, '\n');
	for (size_t i = 0; i < l->nsubscribers; i++)
		if (is_of(l->subscribers[i].topic, l->subscribers[i].address, t))
			text_subscriber(out, &l->subscribers[i]);
}

static void
text_topic(struct buf *out, const struct listed_topic *t)
{
	buf_addf(out, "%s  %zu partition%s\n", t->name, t->nparts, t->nparts == 1 ? "" : "s");
	for (size_t i = 0; i < t->nparts; i++) {
		const struct listed_part *p = &t->parts[i];

		buf_addf(out, "  [%lld]  ", (long long)p->id);
		add_i64(out, p->first);
		buf_add_str(out, "...");
		add_i64(out, p->end);
		if (p->leader < 0)
			buf_add_str(out, "  no leader");
		else
			buf_addf(out, "  leader %lld", (long long)p->leader);
		buf_addf(out, ", in sync %zu of %zu\n", p->ninsync, p->nreplicas);
	}
}

static int64_t
place_lag(const struct listed_place *p)
{
	if (p->id)
		return p->lag;
	return p->end < 0 ? -1 : p->end > p->offset ? p->end - p->offset : 0;
}

static void
text_group(struct buf *out, const struct listed_group *g)
{
	buf_add_str(out, "group ");
	add_shown(out, g->name);
	buf_addf(out, "  %s", g->state ? g->state : "");
	if (g->nmembers != SIZE_MAX)
		buf_addf(out, "%s%zu member%s", g->state ? ", " : "", g->nmembers,
			g->nmembers == 1 ? "" : "s");
	buf_add_ch(out, '\n');
	for (size_t i = 0; i < g->nplaces; i++) {
		const struct listed_place *p = &g->places[i];

		buf_add_str(out, "  ");
		add_shown(out, p->topic);
		if (p->partition >= 0)
			buf_addf(out, "[%lld]", (long long)p->partition);
		buf_add_str(out, "  at ");
		if (p->id)
			add_shown(out, p->id);
		else
			buf_addf(out, "%lld", (long long)p->offset);
		buf_add_str(out, ", lag ");
		add_i64(out, place_lag(p));
		if (p->id)
			add_some(out, p->pending, "pending");
		buf_add_ch(out, '\n');
	}
}

/* ---- as JSON ---- */

static void
json_name(struct buf *out, const char *member, const char *text)
{
	buf_addf(out, "\"%s\":", member);
	if (utf8_valid(text, strlen(text)))
		json_add_string(out, bytes_str(text));
	else
		json_add_go_string(out, bytes_str(text));
}

static void
json_number(struct buf *out, const char *member, int64_t n)
{
	if (n < 0)
		buf_addf(out, ",\"%s\":null", member);
	else
		buf_addf(out, ",\"%s\":%lld", member, (long long)n);
}

/* ,"member":"text", or null. */
static void
json_text(struct buf *out, const char *member, const char *text)
{
	buf_add_ch(out, ',');
	if (text)
		json_name(out, member, text);
	else
		buf_addf(out, "\"%s\":null", member);
}

static void
json_address(struct buf *out, const struct listed_address *a)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"address\"");
	json_text(out, "address", a->address);
	buf_addf(out, ",\"attached\":%zu", a->nattached);
	json_number(out, "bytes", a->bytes);
	json_text(out, "state", a->state);
	buf_add_str(out, "}\n");
}

static void
json_subscriber(struct buf *out, const struct listed_subscriber *s)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"subscriber\"");
	if (s->address)
		json_text(out, "address", s->address);
	json_text(out, "topic", s->topic);
	json_text(out, "group", s->group);
	json_number(out, "pid", s->pid);
	json_text(out, "program", s->program);
	json_text(out, "where", s->where);
	json_number(out, "lag", s->lag);
	json_number(out, "dropped", s->dropped);
	buf_add_str(out, "}\n");
}

static void
json_topic(struct buf *out, const struct listed_topic *t)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"topic\",");
	json_name(out, "topic", t->name);
	if (t->address)
		json_text(out, "address", t->address);
	if (t->kind)
		json_text(out, "kind", t->kind);
	if (!t->parts) {
		json_number(out, "subscribers", t->nsubscribers);
		json_number(out, "events", t->events);
		json_number(out, "lost", t->lost);
	}
	buf_add_str(out, ",\"partitions\":[");
	for (size_t i = 0; i < t->nparts; i++) {
		const struct listed_part *p = &t->parts[i];

		buf_addf(out, "%s{\"partition\":%lld", i ? "," : "", (long long)p->id);
		json_number(out, "leader", p->leader);
		buf_addf(out, ",\"replicas\":%zu,\"in_sync\":%zu", p->nreplicas, p->ninsync);
		json_number(out, "first", p->first);
		json_number(out, "end", p->end);
		buf_add_ch(out, '}');
	}
	buf_add_str(out, "]}\n");
}

static void
json_group(struct buf *out, const struct listed_group *g)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"group\",");
	json_name(out, "group", g->name);
	if (g->address)
		json_text(out, "address", g->address);
	json_text(out, "state", g->state);
	if (g->nmembers != SIZE_MAX)
		buf_addf(out, ",\"members\":%zu", g->nmembers);
	buf_add_str(out, ",\"places\":[");
	for (size_t i = 0; i < g->nplaces; i++) {
		const struct listed_place *p = &g->places[i];

		buf_add_str(out, i ? ",{" : "{");
		json_name(out, "topic", p->topic);
		json_number(out, "partition", p->partition);
		json_number(out, "offset", p->id ? -1 : p->offset);
		if (p->id)
			json_text(out, "id", p->id);
		json_number(out, "lag", place_lag(p));
		if (p->id)
			json_number(out, "pending", p->pending);
		buf_add_ch(out, '}');
	}
	buf_add_str(out, "]}\n");
}

/* ---- the whole ---- */

/* What is at one address stands behind it; NULL: all there is. */
static void
text_at(struct buf *out, const struct listing *l, const char *address)
{
	for (size_t i = 0; i < l->ntopics; i++) {
		const struct listed_topic *t = &l->topics[i];

		if (!same(t->address, address))
			continue;
		if (t->parts)
			text_topic(out, t);
		else
			text_plain_topic(out, l, t);
	}
	for (size_t i = 0; i < l->ngroups; i++)
		if (same(l->groups[i].address, address))
			text_group(out, &l->groups[i]);
}

static void
text_listing(struct buf *out, const struct listing *l)
{
	for (size_t i = 0; i < l->naddresses; i++) {
		text_address(out, &l->addresses[i]);
		text_at(out, l, l->addresses[i].address);
	}
	text_at(out, l, NULL);
}

static void
json_listing(struct buf *out, const struct listing *l)
{
	for (size_t i = 0; i < l->naddresses; i++)
		json_address(out, &l->addresses[i]);
	for (size_t i = 0; i < l->ntopics; i++)
		json_topic(out, &l->topics[i]);
	for (size_t i = 0; i < l->nsubscribers; i++)
		json_subscriber(out, &l->subscribers[i]);
	for (size_t i = 0; i < l->ngroups; i++)
		json_group(out, &l->groups[i]);
	if (l->more) {
		buf_add_str(out, "{\"v\":1,\"type\":\"incomplete\"");
		json_text(out, "why", l->more);
		buf_add_str(out, "}\n");
	}
}

/* ---- the run ---- */

static bool
is_listed(const struct listing *l, const char *name)
{
	for (size_t i = 0; i < l->ntopics; i++)
		if (strcmp(l->topics[i].name, name) == 0)
			return true;
	return false;
}

static bool
is_refused(const struct listing *l, const char *name)
{
	for (size_t i = 0; i < l->nrefused; i++)
		if (strcmp(l->refused[i], name) == 0)
			return true;
	return false;
}

static void
topics_listed(struct broker *b, const struct listing *l, const struct error *err, void *arg)
{
	struct topics *t = arg;

	(void)b;
	if (err) {
		topics_fail(t, err);
		return;
	}
	if (t->args->json)
		json_listing(&t->out, l);
	else
		text_listing(&t->out, l);
	if (l->more)
		log_warn("%s", l->more);
	for (size_t i = 0; i < t->n; i++) {
		if (is_listed(l, t->names[i]))
			continue;
		if (is_refused(l, t->names[i])) {
			log_error("%s: not allowed", t->names[i]);
			t->lacks = error_graver(t->lacks, ERR_AUTH);
		} else {
			log_error("%s: there is no such topic", t->names[i]);
			t->lacks = error_graver(t->lacks, ERR_NOTFOUND);
		}
	}
	loop_stop(t->loop);
}

static void
topics_connected(struct broker *b, const struct error *err, void *arg)
{
	struct topics *t = arg;
	struct error e;

	if (err)
		topics_fail(t, err);
	else if (b->ops->list(b, t->names, t->n, true, topics_listed, t, &e) < 0)
		topics_fail(t, &e);
}

static void
topics_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	topics_fail(arg, err);
}

static void
topics_deadline(struct loop_timer *timer)
{
	struct error err;

	error_set(&err, ERR_TIMEOUT, "timed out");
	topics_fail(timer->arg, &err);
}

static const struct broker_notify topics_notify = {
	.connected = topics_connected,
	.failed = topics_failed,
};

static int
topics_loop(struct topics *t, struct broker_options *opts)
{
	struct topics_args *a = (struct topics_args *)(uintptr_t)t->args;

	opts->notify = &topics_notify;
	opts->notify_arg = t;
	t->broker = common_open(&a->common, t->loop, opts, t->err);
	if (!t->broker)
		return -1;
	if (!t->broker->ops->list)
		return error_set(t->err, ERR_NOTFOUND, "the %s broker keeps nothing that could be "
			"listed", t->broker->ops->name);
	loop_timer_set(t->loop, &t->deadline, a->timeout_ms);
	if (broker_connect(t->broker, t->err) < 0)
		return -1;
	loop_run(t->loop);
	return t->failed ? -1 : stdout_write(&t->out, t->err);
}

static int
topics_run(void *args, int noperands, char **operands, struct error *err)
{
	struct topics t = { .args = args, .err = err, .names = (const char *const *)operands,
		.n = (size_t)noperands };
	struct broker_options opts = { 0 };
	int r;

	t.loop = loop_new(err);
	if (!t.loop)
		return -1;
	t.deadline = (struct loop_timer){ .fn = topics_deadline, .arg = &t };
	r = topics_loop(&t, &opts);
	loop_timer_clear(t.loop, &t.deadline);
	common_close(t.broker, &opts);
	loop_free(t.loop);
	buf_release(&t.out);
	return r < 0 ? -1 : error_exit_status(t.lacks);
}

#define A struct topics_args

static const struct opt topics_opts[] = {
	{ "json", 'J', OPT_FLAG(A, json), .group = "Output",
		.help = "one line of JSON a topic, and a group" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .def = "30s", .min = 1,
		.help = "give up after this time (status 124)" },
	{ NULL }
};

const struct command cmd_topics = {
	.name = "topics",
	.summary = "show the topics and groups that a broker keeps",
	.synopsis = "[OPTION...] [TOPIC...]",
	.many_topics = true,
	.opts = topics_opts,
	.args_size = sizeof(struct topics_args),
	.uses = USE_BROKER | USE_SERVER | USE_CONNECT | USE_REGISTRY,
	.broker_use = BROKER_FOR_TOPICS,
	.notes = "Partitions show the first offset and the next; groups where they are.",
	.examples = "  mbus topics -B kafka\n"
		"  mbus topics -B kafka -J orders | jq -r 'select(.type == \"group\")'\n",
	.run = topics_run,
};

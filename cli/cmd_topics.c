/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus topics: what a broker keeps. Topics with their partitions and offsets, groups
 * and how far behind they are. A command of its own and not a form of `mbus registry`:
 * that shows who is there, this what is kept, and no broker has both.
 */
#include <stdlib.h>

#include "cli/cli.h"
#include "core/json.h"
#include "core/text.h"

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

/* ---- as text ---- */

static void
add_i64(struct buf *out, int64_t n)
{
	if (n < 0)
		buf_add_ch(out, '?');
	else
		buf_add_u64(out, (uint64_t)n);
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

static void
text_group(struct buf *out, const struct listed_group *g)
{
	buf_addf(out, "group %s  %s, %zu member%s\n", g->name, g->state, g->nmembers,
		g->nmembers == 1 ? "" : "s");
	for (size_t i = 0; i < g->nplaces; i++) {
		const struct listed_place *p = &g->places[i];

		buf_addf(out, "  %s[%lld]  at %lld, lag ", p->topic, (long long)p->partition,
			(long long)p->offset);
		add_i64(out, p->end < 0 ? -1 : p->end > p->offset ? p->end - p->offset : 0);
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

static void
json_topic(struct buf *out, const struct listed_topic *t)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"topic\",");
	json_name(out, "topic", t->name);
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
	buf_add_ch(out, ',');
	json_name(out, "state", g->state);
	buf_addf(out, ",\"members\":%zu,\"places\":[", g->nmembers);
	for (size_t i = 0; i < g->nplaces; i++) {
		const struct listed_place *p = &g->places[i];

		buf_add_str(out, i ? ",{" : "{");
		json_name(out, "topic", p->topic);
		json_number(out, "partition", p->partition);
		json_number(out, "offset", p->offset);
		json_number(out, "lag", p->end < 0 ? -1 : p->end > p->offset ?
			p->end - p->offset : 0);
		buf_add_ch(out, '}');
	}
	buf_add_str(out, "]}\n");
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
	for (size_t i = 0; i < l->ntopics; i++)
		(t->args->json ? json_topic : text_topic)(&t->out, &l->topics[i]);
	for (size_t i = 0; i < l->ngroups; i++)
		(t->args->json ? json_group : text_group)(&t->out, &l->groups[i]);
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
	.opts = topics_opts,
	.args_size = sizeof(struct topics_args),
	.notes = "Partitions show the first offset and the next; groups where they are.",
	.examples = "  mbus topics -B kafka\n"
		"  mbus topics -B kafka -J orders | jq -r 'select(.type == \"group\")'\n",
	.run = topics_run,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server has, for `mbus topics`: channels that somebody subscribes to, and streams
 * with their groups. Channels are named in one answer, and then counted; streams are found
 * among all keys (SCAN), of which no more than -X redis.scan are looked at, because a
 * server may have a hundred million and answers others meanwhile. Of a cluster it is what
 * one node has.
 */
#include "backends/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/listing.h"

enum {
	AT_ONCE = 500			/* names in a question; keys in a step of SCAN */
};

struct redis_list {
	struct redis_broker *rb;
	const char *const *names;
	size_t n;
	bool groups;
	listing_fn *fn;
	void *arg;
	size_t waits;			/* for so many answers */
	bool failed;
	struct error err;
	uint64_t looked, keys;		/* of the budget; DBSIZE: 0 not asked for */
	bool cluster;
	char more[240];
	struct listed_topic *topics;
	struct listed_group *group_rows;
	const char **refused;
	size_t ntopics, ngroups, nrefused;
	char **kept;			/* what they point to */
	size_t nkept;
};

static const char *
keep(struct redis_list *l, struct bytes text)
{
	if (l->nkept % 64 == 0)
		l->kept = xrealloc(l->kept, (l->nkept + 64) * sizeof *l->kept);
	return l->kept[l->nkept++] = xmemdup0(text.p, text.n);
}

static void
list_free(struct redis_list *l)
{
	for (size_t i = 0; i < l->ngroups; i++)
		free((void *)(uintptr_t)l->group_rows[i].places);
	for (size_t i = 0; i < l->nkept; i++)
		free(l->kept[i]);
	free(l->kept);
	free(l->topics);
	free(l->group_rows);
	free(l->refused);
	free(l);
}

void
redis_list_release(struct redis_broker *rb)
{
	if (rb->list)
		list_free(rb->list);
	rb->list = NULL;
}

/* ---- the end ---- */

static int
by_name(const void *a, const void *b)
{
	const struct listed_topic *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : strcmp(x->kind, y->kind);
}

static int
by_group(const void *a, const void *b)
{
	const struct listed_group *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : strcmp(x->places->topic, y->places->topic);
}

/* SCAN may name a key twice. */
static void
sort(struct redis_list *l)
{
	size_t n = 0;

	if (l->ntopics)
		qsort(l->topics, l->ntopics, sizeof *l->topics, by_name);
	for (size_t i = 0; i < l->ntopics; i++)
		if (!n || by_name(&l->topics[n - 1], &l->topics[i]) != 0)
			l->topics[n++] = l->topics[i];
	l->ntopics = n;
	if (l->ngroups)
		qsort(l->group_rows, l->ngroups, sizeof *l->group_rows, by_group);
	n = 0;
	for (size_t i = 0; i < l->ngroups; i++)
		if (n && by_group(&l->group_rows[n - 1], &l->group_rows[i]) == 0)
			free((void *)(uintptr_t)l->group_rows[i].places);
		else
			l->group_rows[n++] = l->group_rows[i];
	l->ngroups = n;
}

static void
say_more(struct redis_list *l)
{
	size_t streams = 0;
	int n = 0;

	for (size_t i = 0; i < l->ntopics; i++)
		streams += l->topics[i].events >= 0;
	if (l->keys)
		n = snprintf(l->more, sizeof l->more, "at least %zu stream%s: %llu of %llu keys were "
			"looked at (-X redis.scan=N)%s", streams, streams == 1 ? "" : "s",
			(unsigned long long)l->looked, (unsigned long long)l->keys,
			l->cluster ? "; " : "");
	if (l->cluster)
		snprintf(l->more + n, sizeof l->more - (size_t)n, "%s is one node of a cluster: what "
			"others have is not shown", link_name(l->rb->main->p.link));
}

static void
list_end(struct redis_list *l)
{
	struct redis_broker *rb = l->rb;
	struct listing out;

	sort(l);
	say_more(l);
	out = (struct listing){ .topics = l->topics, .ntopics = l->ntopics, .groups = l->group_rows,
		.ngroups = l->ngroups, .refused = l->refused, .nrefused = l->nrefused,
		.more = *l->more ? l->more : NULL };
	rb->list = NULL;
	l->fn(&rb->b, l->failed ? NULL : &out, l->failed ? &l->err : NULL, l->arg);
	list_free(l);
}

/* After each answer, when it has asked what it leads to. */
static void
answered(struct redis_list *l)
{
	if (!--l->waits)
		list_end(l);
}

static struct buf *
ask(struct redis_list *l, pipeline_answer *fn, void *arg, size_t nwords)
{
	l->waits++;
	return redis_command(l->rb->main, fn, arg, nwords);
}

static struct redis_list *
list_of(struct pipeline *p)
{
	return ((struct redis_conn *)p)->rb->list;
}

static void
fail(struct redis_list *l, const struct resp_value *v, const char *what)
{
	if (l->failed)
		return;
	l->failed = true;
	redis_error(v, &l->err);
	error_prefix(&l->err, "%s", what);
}

/* ---- streams ---- */

static bool
is_field(const struct resp_value *v, const char *name)
{
	return v->type == RESP_STRING && bytes_eq(resp_bytes(v), bytes_str(name));
}

static void
add_group(struct redis_list *l, const char *topic, const struct resp_value *g)
{
	struct listed_place *place = xcalloc(1, sizeof *place);
	struct listed_group *row;
	const struct resp_value *v = g + 1;

	if (l->ngroups % 64 == 0)
		l->group_rows = xrealloc(l->group_rows, (l->ngroups + 64) * sizeof *l->group_rows);
	row = &l->group_rows[l->ngroups++];
	*place = (struct listed_place){ .topic = topic, .partition = -1, .offset = -1, .end = -1,
		.lag = -1, .pending = -1, .id = "0-0" };
	*row = (struct listed_group){ .name = "", .nplaces = 1, .places = place };
	for (int64_t i = 0; i + 1 < g->n; i += 2) {
		const struct resp_value *to = v + v->size;

		if (is_field(v, "name"))
			row->name = keep(l, resp_bytes(to));
		else if (is_field(v, "last-delivered-id"))
			place->id = keep(l, resp_bytes(to));
		else if (is_field(v, "consumers") && to->type == RESP_INTEGER)
			row->nmembers = (size_t)to->n;
		else if (is_field(v, "pending") && to->type == RESP_INTEGER)
			place->pending = to->n;
		else if (is_field(v, "lag") && to->type == RESP_INTEGER)
			place->lag = to->n;	/* from 7.0; null: not known */
		v = to + to->size;
	}
}

static void
groups_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer, *g = v + 1;

	if (v->type != RESP_ARRAY && !redis_says(v, "ERR no such key"))
		fail(l, v, e->arg);
	for (int64_t i = 0; v->type == RESP_ARRAY && i < v->n; i++, g += g->size)
		if (g->type == RESP_ARRAY)
			add_group(l, e->arg, g);
	answered(l);
}

static struct listed_topic *
add_topic(struct redis_list *l, const char *name, const char *kind)
{
	struct listed_topic *t;

	if (l->ntopics % 64 == 0)
		l->topics = xrealloc(l->topics, (l->ntopics + 64) * sizeof *l->topics);
	t = &l->topics[l->ntopics++];
	*t = (struct listed_topic){ .name = name, .kind = kind, .nsubscribers = -1, .events = -1 };
	return t;
}

/* Of those that were asked for by name: it may be none, or not for us. */
static void
length_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer;
	struct buf *out;

	if (v->type == RESP_INTEGER) {
		add_topic(l, e->arg, "stream")->events = v->n;
		if (l->groups) {
			out = ask(l, groups_reply, e->arg, 3);
			resp_word_str(out, "XINFO");
			resp_word_str(out, "GROUPS");
			resp_word_str(out, e->arg);
		}
	} else if (redis_says(v, "NOPERM")) {
		l->refused = xrealloc(l->refused, (l->nrefused + 1) * sizeof *l->refused);
		l->refused[l->nrefused++] = e->arg;
	} else if (v->type != RESP_INTEGER && !redis_says(v, "WRONGTYPE")) {
		fail(l, v, e->arg);
	}
	answered(l);
}

/* What XLEN says of a stream that is there and empty, it says of none, too. */
static void
exists_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer;
	struct buf *out;

	if (v->type != RESP_INTEGER || v->n) {
		out = ask(l, length_reply, e->arg, 2);
		resp_word_str(out, "XLEN");
		resp_word_str(out, e->arg);
	}
	answered(l);
}

static void
ask_length(struct redis_list *l, const char *name, bool by_name)
{
	struct buf *out = ask(l, by_name ? exists_reply : length_reply, (void *)(uintptr_t)name, 2);

	resp_word_str(out, by_name ? "EXISTS" : "XLEN");
	resp_word_str(out, name);
}

static void
size_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer;

	(void)e;
	l->keys = v->type == RESP_INTEGER && v->n > 0 ? (uint64_t)v->n : l->looked;
	answered(l);
}

static pipeline_answer scan_reply;

static void
scan(struct redis_list *l, struct bytes cursor)
{
	struct buf *out = ask(l, scan_reply, NULL, 6);

	resp_word_str(out, "SCAN");
	resp_word(out, cursor);
	resp_word_str(out, "COUNT");
	resp_word_u64(out, AT_ONCE);
	resp_word_str(out, "TYPE");
	resp_word_str(out, "stream");
}

/* A name with a NUL in it cannot be shown, nor asked for. */
static bool
is_text(struct bytes name)
{
	return !memchr(name.p, 0, name.n);
}

static void
scan_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer, *key;
	struct bytes cursor;

	(void)e;
	if (v->type != RESP_ARRAY || v->n != 2 || v[2].type != RESP_ARRAY) {
		fail(l, v, "streams cannot be looked for");
		answered(l);
		return;
	}
	cursor = resp_bytes(&v[1]);
	key = v + 3;
	for (int64_t i = 0; i < v[2].n; i++, key += key->size)
		if (is_text(resp_bytes(key)))
			ask_length(l, keep(l, resp_bytes(key)), false);
	l->looked += AT_ONCE;
	if (bytes_eq(cursor, BYTES("0")))
		;
	else if (l->rb->scan && l->looked >= l->rb->scan)
		resp_word_str(ask(l, size_reply, NULL, 1), "DBSIZE");
	else
		scan(l, cursor);
	answered(l);
}

/* ---- channels ---- */

static void
numsub_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer, *name = v + 1;

	(void)e;
	if (v->type != RESP_ARRAY)
		fail(l, v, "channels cannot be counted");
	for (int64_t i = 0; v->type == RESP_ARRAY && i + 1 < v->n; i += 2) {
		const struct resp_value *count = name + name->size;

		if (count->type == RESP_INTEGER && count->n && is_text(resp_bytes(name)))
			add_topic(l, keep(l, resp_bytes(name)), "channel")->nsubscribers = count->n;
		name = count + count->size;
	}
	answered(l);
}

static struct buf *
ask_numsub(struct redis_list *l, size_t n)
{
	struct buf *out = ask(l, numsub_reply, NULL, 2 + n);

	resp_word_str(out, "PUBSUB");
	resp_word_str(out, l->rb->mode == MODE_SHARDED ? "SHARDNUMSUB" : "NUMSUB");
	return out;
}

static void
channels_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer, *name = v + 1;
	struct buf *out = NULL;

	(void)e;
	if (v->type != RESP_ARRAY)
		fail(l, v, "channels cannot be listed");
	for (int64_t i = 0; v->type == RESP_ARRAY && i < v->n; i++, name += name->size) {
		if (i % AT_ONCE == 0)
			out = ask_numsub(l, (size_t)(v->n - i < AT_ONCE ? v->n - i : AT_ONCE));
		resp_word(out, resp_bytes(name));
	}
	answered(l);
}

/* ---- both ---- */

static void
cluster_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_list *l = list_of(p);
	const struct resp_value *v = answer;

	(void)e;
	l->cluster = v->type == RESP_STRING;
	answered(l);
}

static void
ask_channels(struct redis_list *l)
{
	struct buf *out;

	if (l->n) {
		out = ask_numsub(l, l->n);
		for (size_t i = 0; i < l->n; i++)
			resp_word_str(out, l->names[i]);
		return;
	}
	out = ask(l, channels_reply, NULL, 2);
	resp_word_str(out, "PUBSUB");
	resp_word_str(out, l->rb->mode == MODE_SHARDED ? "SHARDCHANNELS" : "CHANNELS");
}

int
redis_list(struct broker *b, const char *const *topics, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	struct redis_broker *rb = (struct redis_broker *)b;
	struct redis_list *l = xcalloc(1, sizeof *l);
	bool all = !broker_xopt_given(b, "mode");
	struct buf *out;

	(void)err;
	*l = (struct redis_list){ .rb = rb, .names = topics, .n = n, .groups = groups, .fn = fn,
		.arg = arg };
	rb->list = l;
	out = ask(l, cluster_reply, NULL, 2);
	resp_word_str(out, "CLUSTER");
	resp_word_str(out, "INFO");
	if (all || rb->mode != MODE_STREAM)
		ask_channels(l);
	for (size_t i = 0; (all || rb->mode == MODE_STREAM) && i < n; i++)
		ask_length(l, topics[i], true);
	if ((all || rb->mode == MODE_STREAM) && !n)
		scan(l, BYTES("0"));
	return 0;
}

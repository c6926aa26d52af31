/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries that were gone before they were read: a stream may be trimmed past its reader,
 * who gets the next that is there and would not notice. From 7.0 a server numbers what is
 * added (XINFO STREAM, entries-added), so that the reader who counts knows how many it
 * has not seen: asked when it begins, and, when it has been behind, once it is at the end
 * again; in between from time to time, if all that is there is behind its place.
 *
 * A group's place has such a number, too; a member looks once, when it comes to a group
 * that was there before it.
 */
#include "backends/redis/redis.h"

#include <inttypes.h>

#include "core/log.h"

struct info {
	uint64_t added, length;
	struct redis_id first, last;	/* of what is there; ever given */
	bool known;
};

static bool
is_field(const struct resp_value *v, const char *name)
{
	return v->type == RESP_STRING && bytes_eq(resp_bytes(v), bytes_str(name));
}

static bool
number(const struct resp_value *v, uint64_t *to)
{
	*to = v->type == RESP_INTEGER && v->n > 0 ? (uint64_t)v->n : 0;
	return v->type == RESP_INTEGER;
}

static void
read_info(const struct resp_value *v, struct info *i)
{
	const struct resp_value *name = v + 1;

	*i = (struct info){ 0 };
	for (int64_t n = 0; v->type == RESP_ARRAY && n + 1 < v->n; n += 2) {
		const struct resp_value *to = name + name->size;

		if (is_field(name, "length"))
			number(to, &i->length);
		else if (is_field(name, "entries-added"))
			i->known = number(to, &i->added);
		else if (is_field(name, "last-generated-id"))
			redis_id_parse(resp_bytes(to), &i->last);
		else if (is_field(name, "recorded-first-entry-id"))
			redis_id_parse(resp_bytes(to), &i->first);
		name = to + to->size;
	}
}

/* Is all that is there behind that place, and something was? */
static bool
all_behind(const struct info *i, struct redis_id at)
{
	return redis_id_cmp(i->last, at) > 0 && (!i->length || redis_id_cmp(i->first, at) > 0);
}

static void
say(const struct redis_sub *rs, uint64_t n, const char *whose)
{
	log_warn("%.*s: %" PRIu64 " %s missing: trimmed or deleted before %s", BYTES_FMT(rs->topic), n,
		n == 1 ? "entry is" : "entries are", whose);
}

static void
info_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_sub *rs = e->arg;
	struct info i;

	(void)p;
	read_info(answer, &i);
	if (redis_says(answer, "ERR no such key")) {	/* it will have all there is */
		rs->seen = 0;
		rs->counts = true;
	} else if (!i.known) {
		return;
	} else if (redis_id_cmp(i.last, rs->at) <= 0) {	/* at the end */
		if (rs->counts && i.added > rs->seen)
			say(rs, i.added - rs->seen, "they were read");
		rs->seen = i.added;
		rs->counts = true;
		rs->behind = false;
	} else if (all_behind(&i, rs->at)) {
		uint64_t before = i.added - i.length;	/* that place */

		if (rs->counts && before > rs->seen)
			say(rs, before - rs->seen, "they were read");
		rs->seen = before;
		rs->counts = true;
	}
}

/* Of entries that were read, all that is told is in rs->at and rs->seen: both as of now,
 * because the read that is asked for behind it has not been answered. */
static void
ask(struct redis_sub *rs, pipeline_answer *fn)
{
	struct buf *out = redis_command(rs->conn, fn, rs, 3);

	resp_word_str(out, "XINFO");
	resp_word_str(out, "STREAM");
	resp_word(out, rs->topic);
	rs->asked_ns = loop_clock_ns();
}

void
redis_missed_begin(struct redis_sub *rs)
{
	rs->counts = false;
	ask(rs, info_reply);
}

void
redis_missed_look(struct redis_sub *rs)
{
	if (rs->behind && loop_clock_ns() - rs->asked_ns > REDIS_MISSED_MS * UINT64_C(1000000))
		ask(rs, info_reply);
}

/* ---- a group ---- */

static void
groups_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_sub *rs = e->arg;
	const struct resp_value *v = answer, *g = v + 1;
	struct info i = { .added = e->id, .length = e->last, .first = rs->first, .last = rs->last };

	(void)p;
	for (int64_t n = 0; v->type == RESP_ARRAY && n < v->n; n++, g += g->size) {
		const struct resp_value *name = g + 1;
		struct redis_id at = { 0, 0 };
		uint64_t read = 0;
		bool ours = false, known = false;

		for (int64_t k = 0; g->type == RESP_ARRAY && k + 1 < g->n; k += 2) {
			const struct resp_value *to = name + name->size;

			if (is_field(name, "name"))
				ours = bytes_eq(resp_bytes(to), bytes_str(rs->rb->group));
			else if (is_field(name, "last-delivered-id"))
				redis_id_parse(resp_bytes(to), &at);
			else if (is_field(name, "entries-read"))
				known = number(to, &read);
			name = to + to->size;
		}
		if (ours && known && all_behind(&i, at) && i.added - i.length > read)
			say(rs, i.added - i.length - read, "the group got to them");
	}
}

static void
group_info_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	struct redis_sub *rs = e->arg;
	struct info i;
	struct buf *out;

	read_info(answer, &i);
	if (!i.known || !rs->s)
		return;
	rs->first = i.first;
	rs->last = i.last;
	out = redis_command_of(c, groups_reply, rs, i.added, i.length, 3);
	resp_word_str(out, "XINFO");
	resp_word_str(out, "GROUPS");
	resp_word(out, rs->topic);
}

void
redis_missed_group(struct redis_sub *rs)
{
	ask(rs, group_info_reply);
}

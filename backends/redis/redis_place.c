/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a subscription to a stream begins: the positions of -o as ids, for which the
 * stream is asked for its last one, and making the group that goes on from there.
 */
#include "backends/redis/redis.h"

#include <stdio.h>

#include "core/log.h"

enum { BACK_AT_ONCE = 1000 };		/* entries looked at on the way back */

/* Not live yet, each of the user's addresses is tried once; then it is said. */
static bool
may_pass(struct redis_conn *c, const struct redis_sub *rs, unsigned what)
{
	if (!rs || rs->told)
		return what & REDIS_PASSES;
	return what & REDIS_NEXT && c->rb->moves++ < link_addresses(c->p.link);
}

void
redis_stream_failed(struct redis_conn *c, struct redis_sub *rs, const struct resp_value *v)
{
	struct bytes address;
	struct error err;
	unsigned slot, what;
	bool ask;

	if (redis_moved(v, &slot, &address, &ask) && c == c->rb->main &&
	    link_redirect(c->p.link, address, &err) == 0) {
		c->rb->asking = ask;
		c->p.failed = true;
		return;
	}
	what = redis_error(v, &err);
	if (may_pass(c, rs, what)) {
		redis_fail(c, v);
	} else if (rs) {
		if (what & REDIS_PASSES)
			redis_error_here(c, v, &err);
		redis_sub_told(rs, &err);
		rs->ended = true;
	} else {
		if (c->rb->subs && !c->rb->subs->next)
			error_prefix_bytes(&err, c->rb->subs->topic);
		broker_failed(&c->rb->b, &err);
	}
}

static void
placed(struct redis_sub *rs)
{
	rs->placed = true;
	redis_sub_told(rs, NULL);
}

/* ---- the group ---- */

static void
group_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	const struct resp_value *v = answer;
	struct redis_sub *rs = e->arg;
	struct redis_broker *rb = c->rb;
	enum position_kind from;

	if (!rs->s) {
		redis_stream_next(c);
		return;
	}
	from = rs->s->opts.from.kind;
	if (v->type == RESP_ERROR && !redis_says(v, "BUSYGROUP")) {
		redis_stream_failed(c, rs, v);
		redis_stream_next(c);
		return;
	}
	if (v->type == RESP_ERROR && !rs->told && from != POSITION_DEFAULT && from != POSITION_STORED)
		log_warn("%.*s: the group %s is there already and goes on where it stopped",
			BYTES_FMT(rs->topic), rb->group);
	if (v->type == RESP_STATUS && rs->told && (rs->at.ms || rs->at.seq))
		log_warn("%.*s: the group %s had gone; made again, behind %llu-%llu, the last that "
			"this member was given: what others had not acknowledged is lost to it",
			BYTES_FMT(rs->topic), rb->group, (unsigned long long)rs->at.ms,
			(unsigned long long)rs->at.seq);
	else if (v->type == RESP_STATUS && rs->told)
		log_warn("%.*s: the group %s had gone, and its stream; made again, from the "
			"beginning of what is there", BYTES_FMT(rs->topic), rb->group);
	rs->own = rb->named || rs->told;
	rs->own_at = (struct redis_id){ 0, 0 };
	rs->claim = rb->claim_ms > 0;
	snprintf(rs->claim_at, sizeof rs->claim_at, "0-0");
	redis_group_client(c);
	if (v->type == RESP_ERROR)
		redis_missed_group(rs);
	placed(rs);
	redis_stream_next(c);
}

/* XGROUP CREATE behind rs->at. */
static void
make_group(struct redis_sub *rs)
{
	struct redis_broker *rb = rs->rb;
	struct buf *out = redis_trial(rs->conn, group_reply, rs, 6);

	resp_word_str(out, "XGROUP");
	resp_word_str(out, "CREATE");
	resp_word(out, rs->topic);
	resp_word_str(out, rb->group);
	redis_id_word(out, rs->at);
	resp_word_str(out, "MKSTREAM");
}

/* ---- the place ---- */

static pipeline_answer place_reply;

static void
look_back(struct redis_sub *rs, struct redis_id from, uint64_t n)
{
	struct buf *out = redis_trial(rs->conn, place_reply, rs, 6);

	resp_word_str(out, "XREVRANGE");
	resp_word(out, rs->topic);
	if (rs->tailed)
		redis_id_word(out, from);
	else
		resp_word_str(out, "+");
	resp_word_str(out, "-");
	resp_word_str(out, "COUNT");
	resp_word_u64(out, n < BACK_AT_ONCE ? n : BACK_AT_ONCE);
}

void
redis_stream_place(struct redis_sub *rs)
{
	const struct position *p = &rs->s->opts.from;

	if (!rs->conn->p.ready)		/* when it is */
		return;
	rs->tailed = false;
	rs->left = !rs->told && p->kind == POSITION_TAIL && p->n > 0 ? (uint64_t)p->n : 0;
	look_back(rs, rs->at, rs->left ? rs->left : 1);
}

/* Where an event of that position is the first. */
static struct redis_id
place_of(const struct redis_sub *rs)
{
	const struct position *p = &rs->s->opts.from;
	struct redis_id id = { 0, 0 };

	switch (p->kind) {
	case POSITION_BEGINNING:
		break;
	case POSITION_ID:
		redis_id_parse(bytes_str(p->text), &id);
		return redis_id_before(id);
	case POSITION_OFFSET:
	case POSITION_TIME:
		id.ms = p->n > 0 ? (uint64_t)p->n : 0;
		return redis_id_before(id);
	case POSITION_DEFAULT:
	case POSITION_END:
	case POSITION_STORED:
	case POSITION_TAIL:
		return rs->last;
	}
	return id;
}

static void
at_place(struct redis_sub *rs)
{
	if (rs->rb->group) {
		make_group(rs);
		return;
	}
	redis_missed_begin(rs);
	placed(rs);
}

/* Until the end of what is there: of a stream that is not, there is none. */
static void
exists_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	const struct resp_value *v = answer;
	struct redis_sub *rs = e->arg;
	struct error err;

	if (rs->s && v->type == RESP_INTEGER && !v->n) {
		error_set(&err, ERR_NOTFOUND, "there is no such stream");
		redis_sub_told(rs, &err);
		rs->ended = true;
	} else if (rs->s) {
		at_place(rs);
	}
	redis_stream_next((struct redis_conn *)p);
}

/* A member of a group goes on behind the last that it was given, unless the stream is
 * another one by now. */
static void
place_member(struct redis_sub *rs)
{
	if (!rs->tailed || redis_id_cmp(rs->last, rs->at) < 0)
		rs->at = (struct redis_id){ 0, 0 };
}

static void
find_place(struct redis_sub *rs, const struct resp_value *v)
{
	const struct position *from = &rs->s->opts.from;
	const struct resp_value *e = v + 1;
	struct redis_id oldest = { 0, 0 };
	struct buf *out;

	for (int64_t i = 0; i < v->n; i++, e += e->size) {
		if (e->type != RESP_ARRAY || e->n < 1 || !redis_id_parse(resp_bytes(&e[1]), &oldest))
			continue;
		if (!rs->tailed) {
			rs->tailed = true;
			rs->last = oldest;
		}
	}
	if (rs->told && rs->rb->group) {
		place_member(rs);
	} else if (rs->left && v->n > 0) {
		rs->at = redis_id_before(oldest);
		rs->left -= (uint64_t)v->n < rs->left ? (uint64_t)v->n : rs->left;
		if (rs->left && (uint64_t)v->n == BACK_AT_ONCE) {
			look_back(rs, rs->at, rs->left);
			return;
		}
	} else if (from->kind != POSITION_TAIL || !rs->tailed || !from->n) {
		rs->at = place_of(rs);
	}
	if (rs->tailed || !rs->s->opts.ended) {
		rs->tailed = true;
		at_place(rs);
		return;
	}
	rs->tailed = true;
	out = redis_trial(rs->conn, exists_reply, rs, 2);
	resp_word_str(out, "EXISTS");
	resp_word(out, rs->topic);
}

static void
place_reply(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	const struct resp_value *v = answer;
	struct redis_sub *rs = e->arg;

	if (rs->s && v->type != RESP_ARRAY)
		redis_stream_failed(c, rs, v);
	else if (rs->s)
		find_place(rs, v);
	redis_stream_next(c);
}

int
redis_stream_check(const struct position *p, const char *group, struct error *err)
{
	struct redis_id id;

	if (p->kind == POSITION_ID && !redis_id_parse(bytes_str(p->text), &id))
		return error_set(err, ERR_USAGE, "%.80s: no id of a stream's entry (such as "
			"1526919030474-55)", p->text);
	if (p->kind == POSITION_STORED && !group)
		return error_set(err, ERR_USAGE, "where a group stopped is known with a group (-g) "
			"only");
	return 0;
}

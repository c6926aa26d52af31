/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a subscription to a stream begins: the positions of -o as ids, for which the
 * stream is asked for its last one, and making the group that goes on from there.
 */
#include "backends/redis/redis.h"

#include <stdio.h>

#include "core/log.h"

enum { BACK_AT_ONCE = 1000 };		/* entries looked at on the way back */

void
stream_failed(struct redis_conn *c, struct redis_sub *rs, const struct resp_value *v)
{
	struct bytes address;
	struct error err;
	unsigned slot;
	bool ask;

	if (cluster_moved(v, &slot, &address, &ask) && !ask &&
	    c == c->rb->main && link_redirect(c->link, address, &err) == 0) {
		c->failed = true;
		return;
	}
	redis_error_greeting(c, v, &err);
	if (err.kind == ERR_CONNECT) {
		conn_failed(c, &err);
		return;
	}
	redis_error(v, &err);
	if (rs) {
		sub_told(rs, &err);
		rs->ended = true;
	} else {
		broker_failed(&c->rb->b, &err);
	}
}

void
stream_group(struct redis_sub *rs)
{
	struct redis_broker *rb = rs->rb;
	struct buf *out = conn_command(rs->conn, EXPECT_GROUP, rs->cookie, 6);

	resp_word_str(out, "XGROUP");
	resp_word_str(out, "CREATE");
	resp_word(out, rs->topic);
	resp_word_str(out, rb->group);
	id_word(out, rs->at);
	resp_word_str(out, "MKSTREAM");
}

static void
look_back(struct redis_sub *rs, struct redis_id from, uint64_t n)
{
	struct buf *out = conn_command(rs->conn, EXPECT_PLACE, rs->cookie, 6);

	resp_word_str(out, "XREVRANGE");
	resp_word(out, rs->topic);
	if (rs->tailed)
		id_word(out, from);
	else
		resp_word_str(out, "+");
	resp_word_str(out, "-");
	resp_word_str(out, "COUNT");
	resp_word_u64(out, n < BACK_AT_ONCE ? n : BACK_AT_ONCE);
}

void
stream_place(struct redis_sub *rs)
{
	const struct position *p = &rs->s->opts.from;

	if (!rs->conn->ready)		/* when it is */
		return;
	rs->tailed = false;
	rs->left = p->kind == POSITION_TAIL && p->n > 0 ? (uint64_t)p->n : 0;
	look_back(rs, rs->at, rs->left ? rs->left : 1);
}

static void
placed(struct redis_sub *rs)
{
	rs->placed = true;
	sub_told(rs, NULL);
	if (rs->s)
		loop_defer(rs->rb->loop, &rs->rb->read);
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
		id_parse(bytes_str(p->text), &id);
		return id_before(id);
	case POSITION_OFFSET:
	case POSITION_TIME:
		id.ms = p->n > 0 ? (uint64_t)p->n : 0;
		return id_before(id);
	case POSITION_DEFAULT:
	case POSITION_END:
	case POSITION_STORED:
	case POSITION_TAIL:
		return rs->last;
	}
	return id;
}

void
stream_place_reply(struct redis_conn *c, struct redis_sub *rs, const struct resp_value *v)
{
	const struct resp_value *e = v + 1;
	struct redis_id oldest = { 0, 0 };

	if (v->type != RESP_ARRAY) {
		stream_failed(c, rs, v);
		return;
	}
	for (int64_t i = 0; i < v->n; i++, e += e->size) {
		if (e->type != RESP_ARRAY || e->n < 1 || !id_parse(resp_bytes(&e[1]), &oldest))
			continue;
		if (!rs->tailed) {
			rs->tailed = true;
			rs->last = oldest;
		}
	}
	if (rs->left && v->n > 0) {
		rs->at = id_before(oldest);
		rs->left -= (uint64_t)v->n < rs->left ? (uint64_t)v->n : rs->left;
		if (rs->left && (uint64_t)v->n == BACK_AT_ONCE) {
			look_back(rs, rs->at, rs->left);
			return;
		}
	} else if (rs->s->opts.from.kind != POSITION_TAIL || !rs->tailed || !rs->s->opts.from.n) {
		rs->at = place_of(rs);
	}
	rs->tailed = true;
	if (rs->rb->group)
		stream_group(rs);
	else
		placed(rs);
}

void
stream_group_reply(struct redis_conn *c, struct redis_sub *rs, const struct resp_value *v)
{
	enum position_kind from = rs->s->opts.from.kind;
	struct buf *out;

	if (v->type == RESP_ERROR && !redis_says(v, "BUSYGROUP")) {
		stream_failed(c, rs, v);
		return;
	}
	if (v->type == RESP_ERROR && !rs->told && from != POSITION_DEFAULT && from != POSITION_STORED)
		log_warn("%.*s: the group %s is there already and goes on where it stopped",
			BYTES_FMT(rs->topic), rs->rb->group);
	if (v->type == RESP_STATUS && rs->told)
		log_warn("%.*s: the group %s had gone; made again, from the beginning of what is "
			"there", BYTES_FMT(rs->topic), rs->rb->group);
	rs->own = rs->rb->named || rs->told;
	rs->own_at = (struct redis_id){ 0, 0 };
	rs->claim = rs->rb->claim_ms > 0;
	snprintf(rs->claim_at, sizeof rs->claim_at, "0-0");
	if (!c->client_id) {
		out = conn_command(c, EXPECT_CLIENT_ID, 0, 2);
		resp_word_str(out, "CLIENT");
		resp_word_str(out, "ID");
	}
	placed(rs);
}

int
stream_check(const struct position *p, const char *group, struct error *err)
{
	struct redis_id id;

	if (p->kind == POSITION_ID && !id_parse(bytes_str(p->text), &id))
		return error_set(err, ERR_USAGE, "%.80s: no id of a stream's entry (such as "
			"1526919030474-55)", p->text);
	if (p->kind == POSITION_STORED && !group)
		return error_set(err, ERR_USAGE, "where a group stopped is known with a group (-g) "
			"only");
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a server: what is said first, whom the replies go to, and what
 * happens when it goes. What is under way on it is a core/pipeline, which answers
 * take by place. See redis.h for which connections there are.
 */
#include "backends/redis/redis.h"

#include <stdlib.h>

#include "core/log.h"

enum greet { GREET_AUTH = 1, GREET_SELECT, GREET_PING };

enum { SECOND_TRIES = 3, SECOND_AGAIN_MS = 100 };

static const struct link_scheme schemes[] = {
	{ "redis", false }, { "rediss", true }, { "redis+unix", false }, { NULL, false }
};

static struct redis_conn *
conn_of(struct pipeline *p)
{
	return (struct redis_conn *)p;
}

/* ---- the greeting ---- */

/* -X redis.db, else the path of the URL: redis://host/3; of a socket ?db=3. */
static int
conn_db(struct redis_conn *c, uint64_t *db)
{
	const struct address *a = link_address((c->role == ROLE_SECOND ? c->rb->main : c)->p.link);
	struct bytes text = a->path;

	*db = c->rb->db;
	if (a->query.p && a->query.n > 3 && memcmp(a->query.p, "db=", 3) == 0)
		text = bytes_of(a->query.p + 3, a->query.n - 3);
	if (c->rb->db_given || !text.n)
		return 0;
	if (text.n > 9)
		return -1;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return -1;
		*db = *db * 10 + (uint64_t)(text.p[i] - '0');
	}
	return 0;
}

static void
conn_greet(struct pipeline *p)
{
	struct redis_conn *c = conn_of(p);
	const struct broker_options *o = &c->rb->b.opts;
	struct buf *out = pipeline_out(p);
	struct error err;
	uint64_t db;

	c->ngreet = c->greeted = 0;
	c->client_id = 0;
	resp_reset(&c->reader);
	if (conn_db(c, &db) < 0) {
		error_set(&err, ERR_USAGE, "%s: the path of the URL is no number of a database",
			link_name(p->link));
		pipeline_fail(p, &err);
		return;
	}
	if (o->username || o->password.p) {
		resp_command(out, o->username ? 3 : 2);
		resp_word_str(out, "AUTH");
		if (o->username)
			resp_word_str(out, o->username);
		resp_word(out, o->password.p ? o->password : BYTES(""));
		c->greet[c->ngreet++] = GREET_AUTH;
	}
	if (db && c->role != ROLE_NODE) {
		resp_command(out, 2);
		resp_word_str(out, "SELECT");
		resp_word_u64(out, db);
		c->greet[c->ngreet++] = GREET_SELECT;
	}
	/* Some answer is wanted before this counts as a server of ours. */
	resp_command(out, 1);
	resp_word_str(out, "PING");
	c->greet[c->ngreet++] = GREET_PING;
	pipeline_kick(p);
}

static void
conn_ready(struct redis_conn *c)
{
	struct redis_broker *rb = c->rb;
	bool first = c->role == ROLE_MAIN && !c->p.ever;

	pipeline_ready(&c->p);
	if (first)
		return;
	if (c->role == ROLE_MAIN && rb->second)
		redis_conn_follow(rb);
	if (rb->mode == MODE_STREAM)
		redis_stream_resume(c);
	else
		redis_pubsub_resume(c);
}

static void
conn_greeted(struct redis_conn *c, const struct resp_value *v)
{
	enum greet g = c->greet[c->greeted++];
	struct error err;

	/* A user who may not PING has proved to be one by the AUTH before it. */
	if (v->type == RESP_ERROR && !(g == GREET_PING && redis_says(v, "NOPERM"))) {
		redis_fail(c, v);
	} else if (v->type != RESP_STATUS && v->type != RESP_ERROR) {
		error_set(&err, ERR_CONNECT, "%s: this is no Redis server", link_name(c->p.link));
		pipeline_fail(&c->p, &err);
	} else if (c->greeted == c->ngreet) {
		conn_ready(c);
	}
}

/* ---- replies ---- */

static void
conn_reply(struct redis_conn *c, const struct resp_value *v)
{
	struct redis_broker *rb = c->rb;
	struct flight_entry *e;
	struct error err;

	if (c->greeted < c->ngreet) {
		conn_greeted(c, v);
		return;
	}
	c->tries = 0;
	if (v->type == RESP_ARRAY && rb->mode != MODE_STREAM && redis_pubsub_push(c, v))
		return;
	e = pipeline_front(&c->p);
	if (e && (e->state & PIPE_EVENT)) {
		redis_pub_reply(c, v);
	} else if (e) {
		pipeline_reply(&c->p, v);
	} else if (v->type == RESP_ERROR) {
		redis_fail(c, v);
	} else {
		error_set(&err, ERR_CONNECT, "%s: an answer to no question", link_name(c->p.link));
		pipeline_refused(&c->p, &err);
	}
}

static size_t
conn_data(struct pipeline *p, char *data, size_t n)
{
	struct redis_conn *c = conn_of(p);
	struct error err;
	size_t used = 0;
	ssize_t took;

	c->rb->read_us = redis_clock_us();
	while (used < n && !p->failed) {
		took = resp_read(&c->reader, data + used, n - used);
		if (took == 0)
			break;
		if (took < 0) {
			error_set(&err, ERR_CONNECT, p->ready ? "%s: what the server sent makes no "
				"sense: %s" : "%s: this is no Redis server: %s",
				link_name(p->link), c->reader.error);
			pipeline_refused(p, &err);
			break;
		}
		used += (size_t)took;
		c->took = (size_t)took;
		conn_reply(c, c->reader.v);
	}
	redis_pub_unhold(c);
	return used;
}

static void
conn_ping(struct pipeline *p)
{
	struct redis_conn *c = conn_of(p);

	/* A read that waits is answered in time by itself. */
	if (c->rb->reading != c)
		resp_word_str(redis_command(c, NULL, NULL, 1), "PING");
}

/* ---- the end of a connection ---- */

static void
conn_forget(struct redis_conn *c)
{
	c->ngreet = c->greeted = 0;
	c->proved = false;
	resp_reset(&c->reader);
	if (c->rb->reading == c)
		c->rb->reading = NULL;
	for (struct redis_sub *rs = c->rb->subs; rs && c->rb->mode != MODE_STREAM; rs = rs->next)
		if (rs->conn == c)
			rs->placed = false;
	redis_pub_unhold(c);
}

/* Main decides what becomes of its second. */
static void
second_lost(struct redis_conn *c, const struct error *err, bool fresh)
{
	struct redis_broker *rb = c->rb;

	if (!rb->main->p.ready)
		return;
	if (fresh)
		link_comes_back(rb->main->p.link, false);
	if (fresh || ++c->tries > SECOND_TRIES)
		pipeline_refused(&rb->main->p, err);
	else
		loop_timer_set(rb->loop, &c->again, SECOND_AGAIN_MS);
}

static void
second_again(struct loop_timer *t)
{
	struct redis_conn *c = t->arg;

	if (c->rb->main->p.ready)
		pipeline_start(&c->p);
}

/* A server that cuts a slow reader says nothing; it looks like any other loss. */
static bool
was_slow(const struct redis_broker *rb)
{
	uint64_t now = loop_clock_ns(), second = 1000000000;

	return rb->mode != MODE_STREAM && rb->event_ns &&
		(rb->paused || now - rb->event_ns < second ||
		(rb->paused_ns && now - rb->paused_ns < 10 * second));
}

/* What is not live yet has nothing to come back for. */
static bool
is_fresh(const struct redis_conn *c)
{
	for (const struct redis_sub *rs = c->rb->subs; rs; rs = rs->next)
		if (rs->s && rs->conn == c && !rs->told)
			return true;
	return false;
}

static bool
conn_lost(struct pipeline *p, struct error *why, bool *again)
{
	struct redis_conn *c = conn_of(p);
	struct redis_broker *rb = c->rb;
	bool fresh = is_fresh(c);

	conn_forget(c);
	if (c->role == ROLE_SECOND) {
		*again = true;
		second_lost(c, why, fresh);
		return false;
	}
	if (c == rb->subscriber || (rb->subs && c->role == ROLE_NODE)) {
		rb->cut = was_slow(rb);
		if (rb->cut && !*again) {
			struct error was = *why;

			error_set(why, was.kind, "%.300s (too slow for the server? its setting is "
				"client-output-buffer-limit pubsub)", was.text);
		}
	}
	if (rb->count > 1)
		rb->count = rb->count / 2;
	if (c->role == ROLE_MAIN && rb->second) {
		loop_timer_clear(rb->loop, &rb->second->again);
		link_close(rb->second->p.link);
		conn_forget(rb->second);
		pipeline_forget(&rb->second->p, why, *again);
	}
	return true;
}

/* ---- commands ---- */

/* While a slot is on its way, its new node wants to be told that we know. */
static void
say_asking(struct redis_conn *c)
{
	struct buf *out;

	if (!c->rb->asking)
		return;
	out = pipeline_ask(&c->p, NULL, NULL, 0, 0);
	resp_command(out, 1);
	resp_word_str(out, "ASKING");
}

struct buf *
redis_command_of(struct redis_conn *c, pipeline_answer *fn, void *arg, uint64_t first,
	uint64_t last, size_t nwords)
{
	struct buf *out;

	say_asking(c);
	out = pipeline_ask(&c->p, fn, arg, first, last);
	resp_command(out, nwords);
	return out;
}

struct buf *
redis_command(struct redis_conn *c, pipeline_answer *fn, void *arg, size_t nwords)
{
	return redis_command_of(c, fn, arg, 0, 0, nwords);
}

struct buf *
redis_trial(struct redis_conn *c, pipeline_answer *fn, struct redis_sub *rs, size_t nwords)
{
	struct buf *out;

	say_asking(c);
	out = pipeline_trial(&c->p, fn, rs, 0, 0, rs && !rs->told);
	resp_command(out, nwords);
	return out;
}

/* ---- life ---- */

static const struct pipeline_ops conn_ops = {
	.greet = conn_greet,
	.data = conn_data,
	.lost = conn_lost,
	.ping = conn_ping,
};

/* address NULL: the user's. */
static struct link_options
conn_link(struct redis_conn *c, const char *address)
{
	free(c->address);
	c->address = address ? xstrdup(address) : NULL;
	if (address)
		c->opts.address = c->address;
	return (struct link_options){
		.broker = &c->opts,
		.default_address = c->rb->b.ops->default_address,
		.schemes = schemes,
		.port = 6379,
		.tls_port = 6379,
		.input_max = c->rb->reply_max,
	};
}

struct redis_conn *
redis_conn_new(struct redis_broker *rb, enum redis_role role, const char *address,
	struct error *err)
{
	struct redis_conn *c = xcalloc(1, sizeof *c);
	struct pipeline_options o = {
		.broker = &rb->b,
		.keepalive_ms = rb->keepalive_ms,
		.main = role != ROLE_SECOND,
	};

	c->rb = rb;
	c->role = role;
	c->opts = rb->b.opts;
	if (role == ROLE_SECOND)
		c->opts.reconnect = 0;
	c->again.fn = second_again;
	c->again.arg = c;
	o.link = conn_link(c, address);
	if (pipeline_open(&c->p, &o, &conn_ops, NULL, err) < 0) {
		redis_conn_free(c);
		return NULL;
	}
	c->p.ever = role == ROLE_NODE;		/* its end is the end of the run */
	c->p.keeps = rb->mode != MODE_PUBSUB || c->opts.reconnect || role == ROLE_SECOND;
	pipeline_pause(&c->p, rb->paused && role == ROLE_NODE);
	return c;
}

void
redis_conn_free(struct redis_conn *c)
{
	if (!c)
		return;
	loop_timer_clear(c->rb->loop, &c->again);
	pipeline_release(&c->p);
	resp_release(&c->reader);
	free(c->address);
	free(c);
}

/* The server that main has, whichever of the user's that is. */
static void
second_address(const struct redis_broker *rb, struct buf *text)
{
	const struct address *a = link_address(rb->main->p.link);

	if (a->scheme.p && !a->socket.p)
		buf_addf(text, "%.*s://", BYTES_FMT(a->scheme));
	buf_add_str(text, link_name(rb->main->p.link));
}

struct redis_conn *
redis_conn_second(struct redis_broker *rb)
{
	struct buf text = BUF_INIT;
	struct error err;

	if (rb->second)
		return rb->second;
	second_address(rb, &text);
	rb->second = redis_conn_new(rb, ROLE_SECOND, buf_cstr(&text), &err);
	buf_release(&text);
	if (!rb->second) {
		pipeline_fail(&rb->main->p, &err);
		return rb->main;
	}
	if (rb->main->p.ready)
		pipeline_start(&rb->second->p);
	return rb->second;
}

void
redis_conn_follow(struct redis_broker *rb)
{
	struct redis_conn *c = rb->second;
	struct buf text = BUF_INIT;
	struct link_options o;
	struct error err;

	second_address(rb, &text);
	if (strcmp(c->address, buf_cstr(&text)) != 0) {
		o = conn_link(c, buf_cstr(&text));
		if (pipeline_relink(&c->p, &o, &err) < 0) {
			pipeline_fail(&rb->main->p, &err);
			buf_release(&text);
			return;
		}
	}
	pipeline_start(&c->p);
	buf_release(&text);
}

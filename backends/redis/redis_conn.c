/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a server: what is said first, the replies in their order, and
 * what happens when it goes. See redis.h for which connections there are.
 */
#include "backends/redis/redis.h"

#include <stdlib.h>

#include "core/log.h"

enum greet { GREET_AUTH = 1, GREET_SELECT, GREET_PING };

enum { SECOND_TRIES = 3, SECOND_AGAIN_MS = 100 };

static const struct link_scheme schemes[] = {
	{ "redis", false }, { "rediss", true }, { "redis+unix", false }, { NULL, false }
};

/* ---- the greeting ---- */

/* -X redis.db, else the path of the URL: redis://host/3; of a socket ?db=3. */
static int
conn_db(struct redis_conn *c, uint64_t *db)
{
	const struct address *a = link_address((c->role == ROLE_SECOND ? c->rb->main : c)->link);
	struct bytes text = a->path;

	*db = c->rb->db >= 0 ? (uint64_t)c->rb->db : 0;
	if (a->query.p && a->query.n > 3 && memcmp(a->query.p, "db=", 3) == 0)
		text = bytes_of(a->query.p + 3, a->query.n - 3);
	if (c->rb->db >= 0 || !text.n)
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
conn_opened(struct link *l)
{
	struct redis_conn *c = link_arg(l);
	const struct broker_options *o = &c->rb->b.opts;
	struct buf *out = link_out(l);
	struct error err;
	uint64_t db;

	c->failed = c->ready = false;
	c->ngreet = c->greeted = 0;
	c->pinged = false;
	c->client_id = 0;
	resp_reset(&c->reader);
	if (conn_db(c, &db) < 0) {
		error_set(&err, ERR_USAGE, "%s: the path of the URL is no number of a database",
			link_name(l));
		conn_failed(c, &err);
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
	link_kick(l);
}

static void
conn_is_ready(struct redis_conn *c)
{
	struct redis_broker *rb = c->rb;

	link_ready(c->link);
	c->ready = true;
	c->tries = 0;
	c->heard_ns = loop_now_ns(rb->loop);
	if (rb->keepalive_ms)
		loop_timer_set(rb->loop, &c->alive, rb->keepalive_ms / 2 + 1);
	pub_resume(c);
	if (c->role == ROLE_MAIN && !rb->ever) {
		rb->ever = true;
		broker_connected(&rb->b, NULL);
	} else {
		if (c->role == ROLE_MAIN && rb->second)
			conn_follow(rb);
		if (rb->mode == MODE_STREAM)
			stream_resume(c);
		else
			pubsub_resume(c);
	}
	if (rb->paused)
		link_pause(c->link, true);
}

static void
conn_greeted(struct redis_conn *c, const struct resp_value *v)
{
	enum greet g = c->greet[c->greeted++];
	struct error err;

	/* A user who may not PING has proved to be one by the AUTH before it. */
	if (v->type == RESP_ERROR && !(g == GREET_PING && redis_says(v, "NOPERM"))) {
		redis_error_greeting(c, v, &err);
		conn_failed(c, &err);
	} else if (v->type != RESP_STATUS && v->type != RESP_ERROR) {
		error_set(&err, ERR_CONNECT, "%s: this is no Redis server", link_name(c->link));
		conn_failed(c, &err);
	} else if (c->greeted == c->ngreet) {
		conn_is_ready(c);
	}
}

/* ---- replies ---- */

static void
conn_reply(struct redis_conn *c, const struct resp_value *v)
{
	struct redis_broker *rb = c->rb;
	struct flight_entry e;
	struct redis_sub *rs;
	struct error err;

	if (c->greeted < c->ngreet) {
		conn_greeted(c, v);
		return;
	}
	if (v->type == RESP_ARRAY && rb->mode != MODE_STREAM && pubsub_push(c, v))
		return;
	if (!flight_count(&c->flight)) {
		error_set(&err, ERR_CONNECT, "%s: an answer to no question", link_name(c->link));
		if (v->type == RESP_ERROR)
			redis_error_greeting(c, v, &err);
		conn_failed(c, &err);
		return;
	}
	e = *flight_front(&c->flight);
	if (e.state == EXPECT_EVENT) {
		pub_reply(c, &e, v);
		return;
	}
	flight_pop(&c->flight);
	if (e.copy_size)
		buf_consume(&c->keep, e.copy_size);
	rs = sub_by_cookie(rb, e.id);
	switch ((enum redis_expect)e.state) {
	case EXPECT_PONG:
		c->pinged = false;
		break;
	case EXPECT_SUBSCRIBE:
		if (rs)
			pubsub_reply(c, rs, v);
		break;
	case EXPECT_AUDIENCE:
		pubsub_audience_reply(c, v);
		break;
	case EXPECT_SLOTS:
		cluster_slots(c, v);
		break;
	case EXPECT_PLACE:
	case EXPECT_GROUP:
	case EXPECT_READ:
	case EXPECT_CLAIM:
		stream_reply(c, &e, rs, v);
		break;
	case EXPECT_ACK:
	case EXPECT_LAST:
	case EXPECT_PENDING:
	case EXPECT_UNBLOCK:
		group_reply(c, &e, e.state == EXPECT_ACK ? e.copy : rs, v);
		break;
	case EXPECT_CLIENT_ID:
		c->client_id = v->type == RESP_INTEGER ? (uint64_t)v->n : 0;
		break;
	case EXPECT_NOTHING:
		if (v->type == RESP_ERROR && !rb->late_error && rb->b.opts.ack == PUBLISH_ACK_NONE) {
			rb->late_error = true;
			redis_error(v, &err);
			log_warn("some events were refused: %s", err.text);
		}
		break;
	case EXPECT_EVENT:
	case EXPECT_UNSUBSCRIBE:
	case EXPECTS:
		break;
	}
}

static size_t
conn_data(struct link *l, char *p, size_t n)
{
	struct redis_conn *c = link_arg(l);
	struct error err;
	size_t used = 0;
	ssize_t took;

	c->heard_ns = loop_now_ns(c->rb->loop);
	c->rb->read_us = redis_clock_us();
	while (used < n && !c->failed) {
		took = resp_read(&c->reader, p + used, n - used);
		if (took == 0)
			break;
		if (took < 0) {
			error_set(&err, ERR_CONNECT, c->ready ? "%s: what the server sent makes no "
				"sense: %s" : "%s: this is no Redis server: %s",
				link_name(l), c->reader.error);
			conn_failed(c, &err);
			break;
		}
		used += (size_t)took;
		c->took = (size_t)took;
		conn_reply(c, c->reader.v);
	}
	if (c->rb->b.opts.ack == PUBLISH_ACK_NONE)
		pub_written(c);
	return c->failed ? n : used;
}

static void
conn_drained(struct link *l)
{
	pub_written(link_arg(l));
}

/* ---- the end of a connection ---- */

static void
conn_forget(struct redis_conn *c, const struct error *err, bool again)
{
	uint64_t written = link_written(c->link);

	c->ready = c->failed = false;
	c->ngreet = c->greeted = 0;
	resp_reset(&c->reader);
	loop_timer_clear(c->rb->loop, &c->alive);
	loop_task_cancel(&c->written);
	if (c->rb->reading == c)
		c->rb->reading = NULL;
	for (struct redis_sub *rs = c->rb->subs; rs && c->rb->mode != MODE_STREAM; rs = rs->next)
		if (rs->conn == c)
			rs->placed = false;
	pub_lost(c, written, err, again);
}

/* Main decides what becomes of its second. */
static void
second_lost(struct redis_conn *c, const struct error *err)
{
	struct redis_broker *rb = c->rb;

	conn_forget(c, err, true);
	if (!rb->main->ready)
		return;
	if (++c->tries > SECOND_TRIES)
		conn_failed(rb->main, err);
	else
		loop_timer_set(rb->loop, &c->again, SECOND_AGAIN_MS);
}

static void
second_again(struct loop_timer *t)
{
	struct redis_conn *c = t->arg;

	if (c->rb->main->ready)
		link_start(c->link);
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

static void
conn_lost(struct link *l, const struct error *why, bool again)
{
	struct redis_conn *c = link_arg(l);
	struct redis_broker *rb = c->rb;
	struct error err = *why;

	if (c->role == ROLE_SECOND) {
		second_lost(c, why);
		return;
	}
	if (c == rb->subscriber || (rb->subs && c->role == ROLE_NODE)) {
		rb->cut = was_slow(rb);
		if (rb->cut && !again)
			error_set(&err, why->kind, "%.300s (too slow for the server? its setting is "
				"client-output-buffer-limit pubsub)", why->text);
	}
	if (rb->count > 1)
		rb->count = rb->count / 2;
	conn_forget(c, &err, again);
	if (c->role == ROLE_MAIN && rb->second) {
		loop_timer_clear(rb->loop, &rb->second->again);
		link_close(rb->second->link);
		conn_forget(rb->second, &err, again);
	}
	if (again)
		return;
	if (!rb->ever)
		broker_connected(&rb->b, &err);
	else
		broker_failed(&rb->b, &err);
}

void
conn_failed(struct redis_conn *c, const struct error *err)
{
	if (c->failed)
		return;
	c->failed = true;
	link_fail(c->link, err);
}

/* ---- keep-alive ---- */

static bool
conn_has_event(const struct redis_conn *c)
{
	for (uint64_t seq = c->flight.first; seq != c->flight.next; seq++)
		if (flight_at(&c->flight, seq)->state == EXPECT_EVENT)
			return true;
	return false;
}

static void
conn_alive(struct loop_timer *t)
{
	struct redis_conn *c = t->arg;
	struct redis_broker *rb = c->rb;
	uint64_t silent_ms = (loop_clock_ns() - c->heard_ns) / 1000000, next;
	struct error err;

	if (!c->ready || c->failed)
		return;
	if (rb->paused) {		/* we do not listen */
		c->heard_ns = loop_clock_ns();
		silent_ms = 0;
	}
	/* Events have a time of their own. */
	if (silent_ms >= rb->keepalive_ms && !conn_has_event(c)) {
		error_set(&err, ERR_CONNECT, "%s: nothing heard for %llu ms", link_name(c->link),
			(unsigned long long)silent_ms);
		conn_failed(c, &err);
		return;
	}
	if (silent_ms >= rb->keepalive_ms / 2 && !c->pinged && rb->reading != c) {
		c->pinged = true;
		resp_word_str(conn_command(c, EXPECT_PONG, 0, 1), "PING");
	}
	next = silent_ms < rb->keepalive_ms / 2 ? rb->keepalive_ms / 2 - silent_ms :
		silent_ms < rb->keepalive_ms ? rb->keepalive_ms - silent_ms : rb->keepalive_ms;
	loop_timer_set(rb->loop, t, next + 1);
}

/* ---- commands ---- */

struct buf *
conn_command(struct redis_conn *c, enum redis_expect what, uint64_t id, size_t nwords)
{
	struct flight_entry *e = flight_push(&c->flight);
	struct buf *out = link_out(c->link);

	e->state = what;
	e->id = id;
	resp_command(out, nwords);
	link_kick(c->link);
	return out;
}

/* ---- life ---- */

static void
conn_written(struct loop_task *t)
{
	struct redis_conn *c = t->arg;

	if (c->ready && !c->failed)
		link_flush(c->link);
	pub_written(c);
}

static const struct link_ops conn_link_ops = {
	.on_open = conn_opened,
	.on_data = conn_data,
	.on_drained = conn_drained,
	.on_lost = conn_lost,
};

/* address NULL: the user's. */
static int
conn_link(struct redis_conn *c, const char *address, struct error *err)
{
	const struct link_options o = {
		.broker = &c->opts,
		.default_address = c->rb->b.ops->default_address,
		.schemes = schemes,
		.port = 6379,
		.tls_port = 6379,
		.input_max = c->rb->reply_max,
	};

	link_free(c->link);
	free(c->address);
	c->address = address ? xstrdup(address) : NULL;
	if (address)
		c->opts.address = c->address;
	c->link = link_new(c->rb->loop, &o, &conn_link_ops, c, err);
	return c->link ? 0 : -1;
}

struct redis_conn *
conn_new(struct redis_broker *rb, enum redis_role role, const char *address, struct error *err)
{
	struct redis_conn *c = xcalloc(1, sizeof *c);

	c->rb = rb;
	c->role = role;
	c->opts = rb->b.opts;
	if (role == ROLE_SECOND)
		c->opts.reconnect = 0;
	c->alive.fn = conn_alive;
	c->deadline.fn = pub_deadline;
	c->again.fn = second_again;
	c->written.fn = conn_written;
	c->alive.arg = c->deadline.arg = c->again.arg = c->written.arg = c;
	if (conn_link(c, address, err) < 0) {
		conn_free(c);
		return NULL;
	}
	return c;
}

void
conn_free(struct redis_conn *c)
{
	if (!c)
		return;
	loop_timer_clear(c->rb->loop, &c->alive);
	loop_timer_clear(c->rb->loop, &c->deadline);
	loop_timer_clear(c->rb->loop, &c->again);
	loop_task_cancel(&c->written);
	link_free(c->link);
	resp_release(&c->reader);
	flight_release(&c->flight);
	buf_release(&c->keep);
	free(c->address);
	free(c);
}

/* The server that main has, whichever of the user's that is. */
static void
second_address(const struct redis_broker *rb, struct buf *text)
{
	const struct address *a = link_address(rb->main->link);

	if (a->scheme.p && !a->socket.p)
		buf_addf(text, "%.*s://", BYTES_FMT(a->scheme));
	buf_add_str(text, link_name(rb->main->link));
}

struct redis_conn *
conn_second(struct redis_broker *rb)
{
	struct buf text = BUF_INIT;
	struct error err;

	if (rb->second)
		return rb->second;
	second_address(rb, &text);
	rb->second = conn_new(rb, ROLE_SECOND, buf_cstr(&text), &err);
	buf_release(&text);
	if (!rb->second) {
		conn_failed(rb->main, &err);
		return rb->main;
	}
	if (rb->main->ready)
		link_start(rb->second->link);
	return rb->second;
}

void
conn_follow(struct redis_broker *rb)
{
	struct buf text = BUF_INIT;
	struct error err;

	second_address(rb, &text);
	if (strcmp(rb->second->address, buf_cstr(&text)) != 0 &&
	    conn_link(rb->second, buf_cstr(&text), &err) < 0)
		conn_failed(rb->main, &err);
	else
		link_start(rb->second->link);
	buf_release(&text);
}

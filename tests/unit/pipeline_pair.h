/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A core/pipeline over real sockets, for its tests: a broker of lines, and a server that
 * says what the test makes it say. An event is "E ID BODY", a question "Q"; of the answers "+" and
 * "-WHY" are for what comes next by place, "+ID" is by name, "." is a barrier's, "~" a
 * refusal that passes, and "P" a sign of life.
 */
#ifndef MBUS_TESTS_UNIT_PIPELINE_PAIR_H
#define MBUS_TESTS_UNIT_PIPELINE_PAIR_H

#include "core/pipeline.h"
#include "tests/unit/link_pair.h"

enum { IDS = 4096 };

struct user {
	struct toy t;
	struct broker b;
	struct pipeline p;
	int connected, failed, rooms, lost, pings, answered, drained;
	struct error why;
	enum fate fate[IDS];
	char text[IDS][80];
	int told[IDS];
	int ntold;
	uint64_t answers_id;
	bool silent, repeat, quota_gone;
};

static struct user *u;		/* the test's */

/* ---- the core's side ---- */

static void
outcome(struct broker *b, const struct outcome *o, void *arg)
{
	(void)b, (void)arg;
	u->told[o->id]++;
	u->ntold++;
	u->fate[o->id] = o->fate;
	snprintf(u->text[o->id], sizeof u->text[o->id], "%.79s", o->error ? o->error->text : "");
}

static void
connected(struct broker *b, const struct error *err, void *arg)
{
	(void)b, (void)arg;
	u->connected++;
	if (err)
		u->why = *err;
}

static void
failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b, (void)arg;
	u->failed++;
	u->why = *err;
}

static void
room(struct broker *b, void *arg)
{
	(void)b, (void)arg;
	u->rooms++;
}

static const struct broker_notify notify = {
	.outcome = outcome, .room = room, .connected = connected, .failed = failed
};

/* ---- the broker's side ---- */

static void
greet(struct pipeline *p)
{
	buf_add_str(pipeline_out(p), "hello");
	pipeline_kick(p);
}

static void
answered(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	check(p->arg == u && e->arg == &u->t && strcmp(answer, "+") == 0);
	u->answered++;
	u->answers_id = e->id * 1000 + e->last;
}

static void
line(struct pipeline *p, char *text)
{
	struct flight_entry *e;
	struct error err;
	uint64_t seq;

	error_set(&err, ERR_REFUSED, "%s", text + 1);
	if (*text == '+' && text[1]) {
		seq = pipeline_find(p, (uint32_t)atoi(text + 1));
		if (seq != PIPE_NONE)
			pipeline_end(p, seq, FATE_CONFIRMED, NULL);
		return;
	}
	if (*text == 'P')
		return;
	e = pipeline_front(p);
	need(e);
	if (!(e->state & PIPE_EVENT))
		pipeline_reply(p, text);
	else if (*text == '~' && pipeline_retry(p, &err, true))
		;
	else
		pipeline_settle(p, *text == '+' ? FATE_CONFIRMED : FATE_REFUSED, &err);
}

static size_t
data(struct pipeline *p, char *s, size_t n)
{
	size_t used = 0;
	char *end;

	if (!p->ready) {
		if (n < 7)
			return 0;
		pipeline_ready(p);
		used = 7;
	}
	while (!p->failed && (end = memchr(s + used, '\n', n - used))) {
		*end = '\0';
		line(p, s + used);
		used = (size_t)(end + 1 - s);
	}
	return used;
}

static bool
lost(struct pipeline *p, struct error *why, bool *again)
{
	(void)p, (void)again;
	u->lost++;
	error_prefix(why, "gone");
	return true;
}

static void
ping(struct pipeline *p)
{
	u->pings++;
	if (u->b.draining) {
		buf_add_str(pipeline_ask(p, NULL, NULL, 0, 0), "D\n");
		return;
	}
	buf_add_str(pipeline_out(p), "P\n");
	pipeline_kick(p);
}

static bool
send_marked(struct pipeline *p, struct flight_entry *e, struct bytes kept, struct buf *out)
{
	(void)p;
	if (u->quota_gone)
		return false;
	if (e->state & PIPE_SENT)
		buf_add_ch(out, '*');
	buf_add_bytes(out, kept);
	return true;
}

static const struct pipeline_ops ops = { greet, data, lost, ping, NULL };
static const struct pipeline_ops ops_marked = { greet, data, lost, ping, send_marked };

/* ---- the two of them ---- */

static bool
user_open(struct pipeline_options o, const struct pipeline_ops *with, int reconnect,
	unsigned timeout_ms, enum publish_ack ack)
{
	struct error err;

	u = xcalloc(1, sizeof *u);
	toy_init(&u->t);
	if (!server_open(&u->t.server, u->t.loop, "127.0.0.1:0"))
		return false;
	u->t.server.no_echo = true;	/* the test speaks */
	u->t.broker.reconnect = reconnect;
	if (!u->t.broker.address)
		u->t.broker.address = u->t.server.address;
	u->b.loop = u->t.loop;
	u->b.opts = u->t.broker;
	u->b.opts.timeout_ms = timeout_ms;
	u->b.opts.ack = ack;
	u->b.opts.notify = &notify;
	u->b.opts.window_events = u->b.opts.window_bytes = 1 << 30;
	o.broker = &u->b;
	o.main = true;
	o.link = u->t.opts;
	if (pipeline_open(&u->p, &o, with, u, &err) < 0)
		return false;
	u->p.keeps = reconnect != 0;
	pipeline_start(&u->p);
	for (int i = 0; i < 400 && !u->connected; i++)
		run_for(u->t.loop, 5);
	buf_clear(&u->t.server.got);
	return u->connected == 1 && u->p.ready;
}

static bool
simple(int reconnect)
{
	return user_open((struct pipeline_options){ 0 }, &ops, reconnect, 0, PUBLISH_ACK_BROKER);
}

static void
user_close(void)
{
	pipeline_close(&u->p);
	pipeline_release(&u->p);
	run_for(u->t.loop, 2);
	server_close(&u->t.server);
	loop_free(u->t.loop);
	free(u);
}

static void
event(uint64_t id, size_t body)
{
	struct publication p = { .id = id, .size = 1 };
	struct buf *out = pipeline_begin(&u->p);

	u->b.flying_events++;
	u->b.flying_bytes++;
	buf_addf(out, "E %u ", (unsigned)id);
	memset(buf_room(out, body), 'x', body);
	buf_added(out, body);
	buf_add_ch(out, '\n');
	pipeline_commit(&u->p, &p, (u->silent ? PIPE_SILENT : 0) | (u->repeat ? PIPE_REPEAT : 0));
}

static void
question(void)
{
	buf_add_str(pipeline_ask(&u->p, answered, &u->t, 7, 8), "Q\n");
}

static void
says(const char *text)
{
	if (u->t.server.s) {
		buf_add_str(stream_out(u->t.server.s), text);
		stream_kick(u->t.server.s);
	}
	run_for(u->t.loop, 20);
}

static void
server_got(const char *want)
{
	run_for(u->t.loop, 20);
	if (buf_len(&u->t.server.got) >= 5 && memcmp(buf_data(&u->t.server.got), "hello", 5) == 0)
		buf_consume(&u->t.server.got, 5);
	check_bytes(buf_bytes(&u->t.server.got), bytes_str(want));
	buf_clear(&u->t.server.got);
}

/* The fates in the order of the ids: c, r, u, and "-" for none. */
static void
fates_are(const char *want)
{
	char got[IDS] = "";

	for (size_t i = 0; want[i]; i++) {
		check(u->told[i] <= 1);
		got[i] = u->told[i] ? "cru"[u->fate[i]] : '-';
	}
	check_str(got, want);
}

/* A new connection is there, whose server is silent behind its welcome. */
static void
comes_again(void)
{
	int was = u->t.server.accepted;

	buf_clear(&u->t.server.got);
	for (int i = 0; i < 400 && (u->t.server.accepted == was || !u->p.ready); i++)
		run_for(u->t.loop, 1);
	need(u->p.ready);
}

#endif

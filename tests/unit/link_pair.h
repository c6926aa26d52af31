/* SPDX-License-Identifier: Apache-2.0 */
/* A link and a server for it in one loop, for the tests of core/link. The server
 * answers each "hello" by "welcome", and echoes what follows. */
#ifndef MBUS_TESTS_UNIT_LINK_PAIR_H
#define MBUS_TESTS_UNIT_LINK_PAIR_H

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/link.h"
#include "core/log.h"
#include "core/tls.h"
#include "tests/unit/run_for.h"
#include "tests/unit/test.h"

struct server {
	struct loop *loop;
	struct listener *listener;
	struct stream *s;		/* the newest; NULL: gone */
	struct tls *tls;		/* NULL: plain */
	int accepted;
	bool silent;			/* reads, and says nothing */
	bool no_echo;			/* ... but its welcome */
	struct error error;		/* of the last that ended; kind NONE: by itself */
	struct buf got;
	char address[128];
};

struct client {
	struct loop *loop;
	struct link *link;
	int opened, lost, lost_for_good, drained, ready;
	struct error error;		/* of the last on_lost */
	uint64_t written;		/* at the last on_lost */
	uint64_t opened_ns;
	struct buf got;			/* behind the welcome */
	const char *redirect;		/* where to go on the first byte behind it */
	bool free_in_open, free_in_data, free_in_lost, close_in_data, start_in_lost;
	struct error fail_in_open, fail_in_data;	/* kind NONE: no */
};

/* ---- the server ---- */

static size_t
server_data(struct stream *s, char *p, size_t n)
{
	struct server *v = stream_arg(s);

	buf_add(&v->got, p, n);
	if (!v->silent) {
		if (n >= 5 && memcmp(p, "hello", 5) == 0)
			buf_add_str(stream_out(s), "welcome");
		else if (!v->no_echo)
			buf_add(stream_out(s), p, n);
		stream_kick(s);
	}
	return n;
}

static void
server_closed(struct stream *s, const struct error *err)
{
	struct server *v = stream_arg(s);

	v->error = err ? *err : (struct error)ERROR_INIT;
	if (v->s == s)
		v->s = NULL;
	stream_close(s);
}

static const struct stream_ops server_ops = {
	.on_data = server_data,
	.on_closed = server_closed,
};

static void
server_accepted(struct listener *l, struct stream *s, void *arg)
{
	struct server *v = arg;
	struct error err;

	(void)l;
	stream_close(v->s);
	v->s = s;
	v->accepted++;
	stream_set_arg(s, v);
	if (v->tls)
		check_int(stream_start_tls(s, v->tls, NULL, &err), 0);
}

static bool
server_open(struct server *v, struct loop *loop, const char *address)
{
	struct error err;

	v->loop = loop;
	v->listener = listener_open(loop, address, &server_ops, NULL, server_accepted, v, &err);
	if (!v->listener) {
		printf("# %s\n", err.text);
		return false;
	}
	snprintf(v->address, sizeof v->address, "%s", listener_address(v->listener));
	return true;
}

static void
server_cut(struct server *v)
{
	stream_close(v->s);
	v->s = NULL;
}

static void
server_close(struct server *v)
{
	server_cut(v);
	listener_close(v->listener);
	v->listener = NULL;
	buf_release(&v->got);
}

/* ---- the client ---- */

static void
client_free(struct client *c)
{
	link_free(c->link);
	c->link = NULL;
}

static void
client_opened(struct link *l)
{
	struct client *c = link_arg(l);

	c->opened++;
	c->opened_ns = loop_clock_ns();
	check(c->link == l && !link_is_ready(l));
	if (c->free_in_open) {
		client_free(c);
		return;
	}
	if (c->fail_in_open.kind)
		link_fail(l, &c->fail_in_open);
	buf_add_str(link_out(l), "hello");
	link_kick(l);
}

static size_t
client_data(struct link *l, char *p, size_t n)
{
	struct client *c = link_arg(l);
	struct error err;

	if (!link_is_ready(l)) {
		if (n < 7)
			return 0;
		check(memcmp(p, "welcome", 7) == 0);
		c->ready++;
		link_ready(l);
		check(link_is_ready(l));
		return 7;
	}
	buf_add(&c->got, p, n);
	if (c->fail_in_data.kind)
		link_fail(l, &c->fail_in_data);
	if (c->redirect) {
		check_int(link_redirect(l, bytes_str(c->redirect), &err), 0);
		c->redirect = NULL;
	}
	if (c->close_in_data)
		link_close(l);
	else if (c->free_in_data)
		client_free(c);
	return n;
}

static void
client_drained(struct link *l)
{
	struct client *c = link_arg(l);

	c->drained++;
}

static void
client_lost(struct link *l, const struct error *err, bool again)
{
	struct client *c = link_arg(l);

	c->lost++;
	c->lost_for_good += !again;
	c->error = *err;
	c->written = link_written(l);
	check(!link_is_ready(l));
	if (c->free_in_lost)
		client_free(c);
	else if (c->start_in_lost && !again)
		link_start(l);
}

static const struct link_ops client_ops = {
	.on_open = client_opened,
	.on_data = client_data,
	.on_drained = client_drained,
	.on_lost = client_lost,
};

static const struct link_scheme schemes[] = {
	{ "toy", false }, { "toys", true }, { "toy+unix", false }, { NULL, false }
};

/* What a test has: one of each, to which it adds. */
struct toy {
	struct loop *loop;
	struct server server;
	struct client client;
	struct broker_options broker;
	struct link_options opts;
};

static void
toy_init(struct toy *t)
{
	struct error err;

	memset(t, 0, sizeof *t);
	t->loop = t->client.loop = loop_new(&err);
	t->broker.connect_timeout_ms = 2000;
	t->opts = (struct link_options){ .broker = &t->broker,
		.default_address = "127.0.0.1:1", .schemes = schemes, .port = 1, .tls_port = 2 };
	log_level = LOG_QUIET;
}

/* The link, started. */
static bool
toy_start(struct toy *t, const char *address)
{
	struct error err;

	t->broker.address = address;
	t->client.link = link_new(t->loop, &t->opts, &client_ops, &t->client, &err);
	if (!t->client.link) {
		printf("# %s\n", err.text);
		return false;
	}
	link_start(t->client.link);
	return true;
}

/* Until it is ready so often, was lost for good, or ms have passed. */
static void
toy_run(struct toy *t, int ready, unsigned ms)
{
	uint64_t end = loop_clock_ns() + ms * 1000000ull;

	while (loop_clock_ns() < end && t->client.ready < ready && !t->client.lost_for_good)
		run_for(t->loop, 5);
}

/* A server, and a link to it that is ready. */
static inline bool
toy_open(struct toy *t, int reconnect)
{
	toy_init(t);
	t->broker.reconnect = reconnect;
	if (!server_open(&t->server, t->loop, "127.0.0.1:0") ||
	    !toy_start(t, t->server.address))
		return false;
	run_for(t->loop, 20);
	toy_run(t, 1, 2000);	/* should the machine be busy, or this be valgrind */
	return t->client.ready == 1 && link_is_ready(t->client.link);
}

static inline void
toy_close(struct toy *t)
{
	client_free(&t->client);
	run_for(t->loop, 5);
	server_close(&t->server);
	buf_release(&t->client.got);
	loop_free(t->loop);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a stream and what happened to them, for the tests of core/stream. */
#ifndef MBUS_TESTS_UNIT_STREAM_PAIR_H
#define MBUS_TESTS_UNIT_STREAM_PAIR_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "core/stream.h"
#include "tests/unit/run_for.h"
#include "tests/unit/test.h"

/* One side, and what happened to it. */
struct side {
	struct stream *s;
	struct loop *loop;
	int opened, closed, drained;
	struct error error;		/* of the last on_closed; kind NONE: end of input */
	struct buf got;
	size_t take;			/* bytes taken by each on_data; 0: all */
	size_t whole;			/* takes nothing before so many are there */
	size_t pause_after;		/* bytes; 0: never */
	bool close_in_data, close_in_closed, echo, stop_when_closed;
	size_t stop_at;			/* bytes got */
	unsigned feeds;			/* so often, what is read makes one more byte be there */
	int feed;
};

static void
side_opened(struct stream *s)
{
	struct side *x = stream_arg(s);

	x->opened++;
}

static size_t
side_data(struct stream *s, char *p, size_t n)
{
	struct side *x = stream_arg(s);
	size_t take = x->take && x->take < n ? x->take : n;

	if (x->whole && n < x->whole)
		return 0;
	buf_add(&x->got, p, take);
	if (x->feeds) {
		x->feeds--;
		check_int(write(x->feed, "+", 1), 1);
	}
	memset(p, 0xdd, take);		/* it is ours to write to */
	if (x->echo) {
		buf_add(stream_out(s), buf_data(&x->got) + buf_len(&x->got) - take, take);
		stream_kick(s);
	}
	if (x->close_in_data) {
		stream_close(s);
		x->s = NULL;
	} else if (x->pause_after && buf_len(&x->got) >= x->pause_after) {
		stream_pause(s, true);
	}
	if (x->stop_at && buf_len(&x->got) >= x->stop_at)
		loop_stop(x->loop);
	return take;
}

static void
side_drained(struct stream *s)
{
	struct side *x = stream_arg(s);

	x->drained++;
}

static void
side_closed(struct stream *s, const struct error *err)
{
	struct side *x = stream_arg(s);

	x->closed++;
	memset(&x->error, 0, sizeof x->error);
	if (err)
		x->error = *err;
	if (x->close_in_closed || err) {
		stream_close(s);
		x->s = NULL;
	}
	if (x->stop_when_closed)
		loop_stop(x->loop);
}

static const struct stream_ops ops = {
	.on_open = side_opened,
	.on_data = side_data,
	.on_drained = side_drained,
	.on_closed = side_closed,
};

static void
accepted(struct listener *l, struct stream *s, void *arg)
{
	struct side *x = arg;

	(void)l;
	if (x->s) {
		stream_close(s);
		return;
	}
	x->s = s;
	stream_set_arg(s, x);
}

/* A listener, and a connection to it: as a stream (client set) or a socket. */
struct pair {
	struct loop *loop;
	struct listener *listener;
	struct side server, client;
	int fd;
};

static bool
pair_open(struct pair *p, const char *address, bool client, const struct stream_limits *limits)
{
	struct error err = ERROR_INIT;

	memset(p, 0, sizeof *p);
	p->fd = -1;
	p->loop = p->server.loop = p->client.loop = loop_new(&err);
	p->listener = listener_open(p->loop, address, &ops, limits, accepted, &p->server, &err);
	if (!p->listener) {
		printf("# %s\n", err.text);
		return false;
	}
	if (client) {
		p->client.s = stream_connect(p->loop, listener_address(p->listener), &ops, limits,
			&p->client, &err);
	} else {
		struct sockaddr_in a = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		a.sin_port = htons((uint16_t)atoi(strrchr(listener_address(p->listener), ':') + 1));
		p->fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(p->fd, (struct sockaddr *)&a, sizeof a) < 0)
			return false;
	}
	run_for(p->loop, 10);
	return p->server.s != NULL;
}

static void
pair_close(struct pair *p)
{
	stream_close(p->server.s);
	stream_close(p->client.s);
	listener_close(p->listener);
	if (p->fd >= 0)
		close(p->fd);
	buf_release(&p->server.got);
	buf_release(&p->client.got);
	loop_free(p->loop);
}

#endif

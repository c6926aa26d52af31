/* SPDX-License-Identifier: Apache-2.0 */
/* core/stream and core/listener over real sockets: loopback TCP and Unix sockets. The
 * other side is a plain socket of the test, or a second stream. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/stream.h"
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
stop_at(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
run_for(struct loop *l, unsigned ms)
{
	struct loop_timer t = { .fn = stop_at, .arg = l };

	loop_timer_set(l, &t, ms);
	loop_run(l);
	loop_timer_clear(l, &t);
}

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

static void
echo_over(const char *address)
{
	struct pair p;

	need(pair_open(&p, address, true, NULL));
	check_int(p.client.opened, 1);
	check(stream_is_open(p.client.s));
	p.server.echo = true;
	buf_add_str(stream_out(p.client.s), "hello");
	stream_kick(p.client.s);
	p.client.stop_at = 5;
	run_for(p.loop, 1000);
	check_bytes(buf_bytes(&p.client.got), BYTES("hello"));
	pair_close(&p);
}

TEST(tcp4) { echo_over("127.0.0.1:0"); }
TEST(tcp6) { echo_over("[::1]:0"); }
TEST(name) { echo_over("localhost:0"); }

TEST(unix_socket)
{
	char path[64], address[80];
	struct pair p;

	snprintf(path, sizeof path, "/tmp/mbus-test-%d.sock", (int)getpid());
	snprintf(address, sizeof address, "unix:%s", path);
	echo_over(address);
	check(access(path, F_OK) < 0);	/* unlinked */
	need(pair_open(&p, address, true, NULL));
	check_str(stream_peer(p.server.s), "unix");
	check_str(stream_peer(p.client.s), address);
	check_str(listener_address(p.listener), address);
	pair_close(&p);
}

/* Taken in pieces of any size, the bytes are the same and in order. */
TEST(partial_takes)
{
	static const size_t takes[] = { 1, 7, 4095, 4096, 4097, 100000 };

	for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
		enum { LEN = 300000 };
		char *sent = xmalloc(LEN);
		struct pair p;

		for (size_t k = 0; k < LEN; k++)
			sent[k] = (char)(k * 7 + (k >> 8));
		need(pair_open(&p, "127.0.0.1:0", true, NULL));
		p.server.take = takes[i];
		p.server.stop_at = LEN;
		buf_add(stream_out(p.client.s), sent, LEN);
		stream_kick(p.client.s);
		run_for(p.loop, 3000);
		check_int(buf_len(&p.server.got), LEN);
		check(memcmp(buf_bytes(&p.server.got).p, sent, buf_len(&p.server.got)) == 0);
		pair_close(&p);
		free(sent);
	}
}

/* What is not taken comes again, with more behind it. */
TEST(waiting_for_more)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	p.server.whole = 10;
	check_int(write(p.fd, "01234", 5), 5);
	run_for(p.loop, 10);
	check_int(buf_len(&p.server.got), 0);
	check_int(write(p.fd, "56789abc", 8), 8);
	run_for(p.loop, 10);
	check_bytes(buf_bytes(&p.server.got), BYTES("0123456789abc"));
	pair_close(&p);
}

TEST(input_limit)
{
	struct stream_limits limits = { .input_max = 1000 };
	char junk[5000] = "";
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, &limits));
	p.server.whole = 100000;
	check_int(write(p.fd, junk, 999), 999);
	run_for(p.loop, 10);
	check_int(p.server.closed, 0);
	check_int(write(p.fd, junk, sizeof junk), sizeof junk);
	run_for(p.loop, 10);
	check_int(p.server.closed, 1);
	check(strstr(p.server.error.text, "more than 1000 bytes"));
	check_int(p.server.error.kind, ERR_CONNECT);
	pair_close(&p);
}

TEST(end_of_input_is_not_the_end)
{
	char reply[20];
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	check_int(write(p.fd, "question", 8), 8);
	shutdown(p.fd, SHUT_WR);
	run_for(p.loop, 10);
	check_bytes(buf_bytes(&p.server.got), BYTES("question"));
	check_int(p.server.closed, 1);
	check_int(p.server.error.kind, ERR_NONE);
	need(p.server.s && stream_is_open(p.server.s));
	run_for(p.loop, 20);		/* told once */
	check_int(p.server.closed, 1);
	buf_add_str(stream_out(p.server.s), "answer");
	stream_shutdown(p.server.s);
	run_for(p.loop, 10);
	check_int(read(p.fd, reply, sizeof reply), 6);
	check_int(read(p.fd, reply, sizeof reply), 0);
	pair_close(&p);
}

static void
reset(int fd)
{
	struct linger now = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}

TEST(reset_by_the_peer)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	check_int(write(p.fd, "last words", 10), 10);
	reset(p.fd);
	p.fd = -1;
	run_for(p.loop, 20);
	check_int(p.server.closed, 1);
	check_int(p.server.error.kind, ERR_CONNECT);
	check(p.server.s == NULL);
	pair_close(&p);
}

/* Writing fails first; what the peer had said before is still given out. */
TEST(last_words_are_read_though_writing_fails)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	check_int(write(p.fd, "last words", 10), 10);
	close(p.fd);
	p.fd = -1;
	for (int i = 0; i < 5; i++) {	/* the first write makes the peer reset */
		buf_add_str(stream_out(p.server.s), "too late");
		stream_flush(p.server.s);
		usleep(1000);
	}
	check_int(p.server.closed, 0);	/* not from within our own calls */
	run_for(p.loop, 20);
	check_bytes(buf_bytes(&p.server.got), BYTES("last words"));
	check(p.server.closed >= 1);
	check_int(p.server.error.kind, ERR_CONNECT);
	pair_close(&p);
}

/* After the end of input the second call tells when output cannot go either. */
TEST(gone_after_end_of_input)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	shutdown(p.fd, SHUT_WR);
	run_for(p.loop, 10);
	check_int(p.server.closed, 1);
	reset(p.fd);
	p.fd = -1;
	run_for(p.loop, 20);
	check_int(p.server.closed, 2);
	check_int(p.server.error.kind, ERR_CONNECT);
	pair_close(&p);
}

TEST(pausing)
{
	struct pair p;
	size_t had;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	fcntl(p.fd, F_SETFL, O_NONBLOCK);
	p.server.take = 10;
	p.server.pause_after = 30;
	check_int(write(p.fd, "0123456789012345678901234567890123456789", 40), 40);
	run_for(p.loop, 20);
	check_int(buf_len(&p.server.got), 30);
	/* A peer that sends on is held up: the kernel's buffers fill, ours do not. */
	for (char junk[65536] = ""; write(p.fd, junk, sizeof junk) > 0;)
		run_for(p.loop, 1);
	check_int(buf_len(&p.server.got), 30);
	p.server.pause_after = 0;
	p.server.take = 0;
	had = buf_len(&p.server.got);
	stream_pause(p.server.s, false);
	check_int(buf_len(&p.server.got), had);	/* not from within our call */
	run_for(p.loop, 50);
	check(buf_len(&p.server.got) > 100000);
	pair_close(&p);
}

/* A peer that hangs up while we do not read must not make the loop spin, and is
 * noticed when we read again, after all it said. */
TEST(hang_up_while_paused)
{
	struct pair p;
	struct timespec a, b;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	stream_pause(p.server.s, true);
	check_int(write(p.fd, "before", 6), 6);
	run_for(p.loop, 10);
	reset(p.fd);
	p.fd = -1;
	run_for(p.loop, 10);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	run_for(p.loop, 200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	check((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 100);
	check_int(p.server.closed, 0);
	stream_pause(p.server.s, false);
	run_for(p.loop, 20);
	check_int(p.server.closed, 1);
	pair_close(&p);
}

TEST(closed_in_a_callback)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	p.server.take = 1;
	p.server.close_in_data = true;
	check_int(write(p.fd, "abc", 3), 3);
	run_for(p.loop, 10);
	check_bytes(buf_bytes(&p.server.got), BYTES("a"));
	check_int(p.server.closed, 0);	/* no callback after stream_close() */
	pair_close(&p);

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	p.server.close_in_closed = true;
	shutdown(p.fd, SHUT_WR);
	run_for(p.loop, 10);
	check_int(p.server.closed, 1);
	check(p.server.s == NULL);
	pair_close(&p);
}

/* What was flushed arrives although the stream is closed at once. */
TEST(flush_and_close)
{
	char text[20];
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	buf_add_str(stream_out(p.server.s), "goodbye");
	stream_flush(p.server.s);
	stream_close(p.server.s);
	p.server.s = NULL;
	check_int(read(p.fd, text, sizeof text), 7);
	check_int(read(p.fd, text, sizeof text), 0);
	pair_close(&p);
}

static size_t
read_all(struct pair *p, size_t want)
{
	char junk[65536];
	size_t got = 0;
	ssize_t n;

	while (got < want && (n = read(p->fd, junk, sizeof junk)) != 0) {
		got += n > 0 ? (size_t)n : 0;
		run_for(p->loop, 0);
	}
	return got;
}

/* More than the kernel takes: it waits, leaves later, and the end of that is told
 * once. */
TEST(output_that_waits)
{
	enum { LEN = 20000000 };
	struct pair p;
	char *big = xcalloc(1, LEN);

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	fcntl(p.fd, F_SETFL, O_NONBLOCK);
	buf_add(stream_out(p.server.s), big, LEN);
	stream_kick(p.server.s);
	run_for(p.loop, 10);
	check(buf_len(stream_out(p.server.s)) > 0);
	check_int(p.server.drained, 0);
	check_int(read_all(&p, LEN), LEN);
	run_for(p.loop, 10);
	check_int(p.server.drained, 1);
	check_int(buf_len(stream_out(p.server.s)), 0);
	check(stream_out(p.server.s)->cap <= 1 << 20);	/* given back */
	/* Nothing waited: nothing to tell. */
	buf_add_str(stream_out(p.server.s), "x");
	stream_kick(p.server.s);
	run_for(p.loop, 10);
	check_int(p.server.drained, 1);
	free(big);
	pair_close(&p);
}

/* The user's own stream_flush() may be what empties it. */
TEST(drained_by_a_flush)
{
	enum { LEN = 20000000 };
	struct pair p;
	char *big = xcalloc(1, LEN), junk[65536];
	size_t left = LEN;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	fcntl(p.fd, F_SETFL, O_NONBLOCK);
	buf_add(stream_out(p.server.s), big, LEN);
	stream_flush(p.server.s);
	check(buf_len(stream_out(p.server.s)) > 0);
	while (buf_len(stream_out(p.server.s)) && left) {
		ssize_t n = read(p.fd, junk, sizeof junk);

		left -= n > 0 ? (size_t)n : 0;
		stream_flush(p.server.s);
	}
	check_int(p.server.drained, 0);	/* not from within our call */
	run_for(p.loop, 10);
	check_int(p.server.drained, 1);
	free(big);
	pair_close(&p);
}

/* A large message does not stay in memory when it has been taken. */
TEST(input_is_given_back)
{
	enum { LEN = 8000000 };
	struct pair p;
	char *big = xcalloc(1, LEN);

	need(pair_open(&p, "127.0.0.1:0", true, NULL));
	p.server.whole = p.server.stop_at = LEN;
	buf_add(stream_out(p.client.s), big, LEN);
	stream_kick(p.client.s);
	run_for(p.loop, 3000);
	check_int(buf_len(&p.server.got), LEN);
	free(big);
	pair_close(&p);
}

/* ---- connecting ---- */

TEST(refused)
{
	struct pair p;
	struct side x = { .stop_when_closed = true };
	struct error err;
	char address[64];

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	snprintf(address, sizeof address, "%s", listener_address(p.listener));
	listener_close(p.listener);
	p.listener = NULL;
	x.loop = p.loop;
	x.s = stream_connect(p.loop, address, &ops, NULL, &x, &err);
	if (x.s) {
		check_int(x.closed, 0);	/* never from within */
		run_for(p.loop, 1000);
		check_int(x.closed, 1);
		err = x.error;
	}
	check_int(x.opened, 0);
	check_int(err.kind, ERR_CONNECT);
	check(strstr(err.text, address) && strstr(err.text, "refused"));
	pair_close(&p);
}

TEST(connect_timeout)
{
	struct stream_limits limits = { .connect_timeout_ms = 60 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	struct error err;
	struct loop *l = loop_new(&err);
	struct side x = { .loop = l, .stop_when_closed = true };
	int fd = socket(AF_INET, SOCK_STREAM, 0), fill[4];
	char address[64];
	uint64_t begin;

	/* A listener whose queue is full answers nobody. */
	need(bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 0) == 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&a, sizeof a);
	}
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(a.sin_port));
	begin = loop_clock_ns();
	x.s = stream_connect(l, address, &ops, &limits, &x, &err);
	need(x.s);
	run_for(l, 2000);
	check_int(x.closed, 1);
	check(strstr(x.error.text, "within 60 ms"));
	check(loop_clock_ns() - begin >= 59 * 1000000ull);
	check(loop_clock_ns() - begin < 1000 * 1000000ull);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(fd);
	loop_free(l);
}

TEST(idle_timeout)
{
	struct stream_limits limits = { .idle_timeout_ms = 100 };
	struct pair p;
	uint64_t begin;

	need(pair_open(&p, "127.0.0.1:0", false, &limits));
	p.server.stop_when_closed = true;
	for (int i = 0; i < 4; i++) {	/* kept up by traffic */
		run_for(p.loop, 50);
		check_int(write(p.fd, "x", 1), 1);
	}
	check_int(p.server.closed, 0);
	run_for(p.loop, 5);
	begin = loop_clock_ns();
	run_for(p.loop, 2000);
	check_int(p.server.closed, 1);
	check(strstr(p.server.error.text, "nothing for 100 ms"));
	check(loop_clock_ns() - begin < 500 * 1000000ull);
	pair_close(&p);
}

TEST(output_before_the_connection_is_up)
{
	struct error err;
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	stream_close(p.server.s);
	p.server.s = NULL;
	p.client.s = stream_connect(p.loop, listener_address(p.listener), &ops, NULL, &p.client, &err);
	need(p.client.s);
	buf_add_str(stream_out(p.client.s), "early");
	stream_kick(p.client.s);
	p.server.stop_at = 5;
	run_for(p.loop, 1000);
	check_bytes(buf_bytes(&p.server.got), BYTES("early"));
	pair_close(&p);
}

TEST(closed_before_it_connected)
{
	struct error err;
	struct loop *l = loop_new(&err);
	struct side x = { .loop = l };

	x.s = stream_connect(l, "127.0.0.1:1", &ops, NULL, &x, &err);
	stream_close(x.s);
	stream_close(NULL);
	run_for(l, 20);
	check_int(x.closed, 0);
	loop_free(l);
}

TEST(listening_paused)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", true, NULL));
	stream_close(p.server.s);
	stream_close(p.client.s);
	p.server.s = p.client.s = NULL;
	listener_pause(p.listener, true);
	p.client.s = stream_connect(p.loop, listener_address(p.listener), &ops, NULL, &p.client,
		&(struct error)ERROR_INIT);
	run_for(p.loop, 20);
	check(p.server.s == NULL);
	listener_pause(p.listener, false);
	run_for(p.loop, 20);
	check(p.server.s != NULL);
	pair_close(&p);
}

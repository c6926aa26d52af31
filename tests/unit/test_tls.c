/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under core/stream: the module of this build, over loopback TCP. What the
 * certificates say is the business of tests/bats/tls.bats. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/stream.h"
#include "core/tls.h"
#include "tests/unit/modules.h"
#include "tests/unit/test.h"

struct side {
	struct stream *s;
	struct tls *tls;		/* NULL: plain */
	int opened, ended;
	struct error error;		/* kind NONE: none, or the end of input */
	struct buf got;
	size_t take, pause_after, reply_after;
	bool echo, close_when_open, begin_paused;
};

static void
side_opened(struct stream *s)
{
	struct side *x = stream_arg(s);

	if (!x)
		return;
	x->opened++;
	if (x->close_when_open) {
		stream_close(s);
		x->s = NULL;
	}
}

static size_t
side_data(struct stream *s, char *p, size_t n)
{
	struct side *x = stream_arg(s);
	size_t take = x->take && x->take < n ? x->take : n;

	buf_add(&x->got, p, take);
	if (x->echo) {
		buf_add(stream_out(s), p, take);
		stream_kick(s);
	}
	if (x->pause_after && buf_len(&x->got) >= x->pause_after) {
		x->pause_after = 0;
		stream_pause(s, true);
	}
	return take;
}

static void
side_closed(struct stream *s, const struct error *err)
{
	struct side *x = stream_arg(s);

	x->ended++;
	if (err)
		x->error = *err;
	if (err || !x->reply_after) {
		stream_close(s);
		x->s = NULL;
		return;
	}
	/* The peer has ended its side, and still listens. */
	buf_add_str(stream_out(s), "bye");
	stream_shutdown(s);
}

static const struct stream_ops ops = {
	.on_open = side_opened,
	.on_data = side_data,
	.on_closed = side_closed,
};

static void
stop_now(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
run_for(struct loop *l, unsigned ms)
{
	struct loop_timer t = { .fn = stop_now, .arg = l };

	loop_timer_set(l, &t, ms);
	loop_run(l);
	loop_timer_clear(l, &t);
}

/* Until it has ended, or so many bytes are there, or 20 seconds have passed. */
static void
run_until(struct loop *l, const struct side *x, size_t n)
{
	for (int i = 0; i < 2000 && buf_len(&x->got) < n && !x->ended; i++)
		run_for(l, 10);
}

static void
accepted(struct listener *l, struct stream *s, void *arg)
{
	struct side *x = arg;
	struct error err;

	(void)l;
	x->s = s;
	stream_set_arg(s, x);
	if (x->tls)
		check_int(stream_start_tls(s, x->tls, NULL, &err), 0);
	if (x->begin_paused)
		stream_pause(s, true);
}

struct pair {
	struct loop *loop;
	struct listener *listener;
	struct side server, client;
};

static unsigned patience_ms = 20000;

enum who { BOTH, SERVER_ONLY, CLIENT_ONLY, VERIFIED, NEITHER };

static bool
pair_open(struct pair *p, enum who who)
{
	static const char *const hosts[] = { "127.0.0.1", NULL };
	struct tls_options server = { .on = true };
	struct tls_options client = { .on = true, .insecure = who != VERIFIED };
	struct stream_limits limits = { .connect_timeout_ms = patience_ms };
	struct error err = ERROR_INIT;

	find_modules();
	memset(p, 0, sizeof *p);
	p->loop = loop_new(&err);
	if (who != CLIENT_ONLY && who != NEITHER &&
	    !(p->server.tls = tls_server(&server, hosts, &err)))
		goto failed;
	if (who != SERVER_ONLY && who != NEITHER &&
	    !(p->client.tls = tls_client(&client, &err)))
		goto failed;
	p->listener = listener_open(p->loop, "127.0.0.1:0", &ops, &limits, accepted, &p->server,
		&err);
	p->client.s = stream_connect(p->loop, listener_address(p->listener), &ops, &limits,
		&p->client, &err);
	if (p->client.tls && stream_start_tls(p->client.s, p->client.tls, "127.0.0.1", &err) < 0)
		goto failed;
	return true;
failed:
	printf("# %s\n", err.text);
	return false;
}

static void
pair_close(struct pair *p)
{
	stream_close(p->server.s);
	stream_close(p->client.s);
	listener_close(p->listener);
	run_for(p->loop, 1);
	tls_free(p->server.tls);
	tls_free(p->client.tls);
	buf_release(&p->server.got);
	buf_release(&p->client.got);
	loop_free(p->loop);
}

static void
fill(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_ch(b, (char)(i * 7 + (i >> 9)));
}

static void
check_filled(const struct buf *b, size_t n)
{
	struct buf want = BUF_INIT;

	fill(&want, n);
	check_int(buf_len(b), n);
	check(buf_len(b) == n && memcmp(buf_data(b), buf_data(&want), n) == 0);
	buf_release(&want);
}

TEST(there_and_back)
{
	static const size_t sizes[] = { 1, 4095, 4096, 4097, 16384, 16385, 300000, 3000000 };

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct pair p;

		need(pair_open(&p, BOTH));
		p.server.echo = true;
		/* What is written before the handshake is over leaves after it. */
		fill(stream_out(p.client.s), sizes[i]);
		stream_kick(p.client.s);
		check(!stream_is_open(p.client.s));
		run_until(p.loop, &p.client, sizes[i]);
		need(p.client.s);
		check_int(p.client.opened, 1);
		check(stream_is_open(p.client.s) && !stream_is_shaking(p.client.s));
		check_filled(&p.server.got, sizes[i]);
		check_filled(&p.client.got, sizes[i]);
		pair_close(&p);
	}
}

/* What the library holds while the user does not read is not forgotten: nothing on
 * the descriptor tells of it. */
TEST(paused_with_bytes_in_the_library)
{
	static const size_t after[] = { 1, 4096, 16384, 100000 };

	for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
		struct pair p;

		need(pair_open(&p, BOTH));
		p.server.take = 1000;
		p.server.pause_after = after[i];
		fill(stream_out(p.client.s), 250000);
		run_until(p.loop, &p.server, after[i]);
		run_for(p.loop, 20);
		check(buf_len(&p.server.got) < 250000);
		stream_pause(p.server.s, false);
		run_until(p.loop, &p.server, 250000);
		check_filled(&p.server.got, 250000);
		pair_close(&p);
	}
}

/* A peer that does not read: the library has encrypted the front of the output, and the
 * kernel has not taken it. What is behind stream_begun() can be cut out, and is never
 * seen; what is before it arrives as it was. Without TLS nothing is begun. */
TEST(what_is_begun_stays)
{
	for (int tls = 0; tls <= 1; tls++) {
		size_t begun, cut = 0;
		struct buf *out;
		struct pair p;

		need(pair_open(&p, tls ? BOTH : NEITHER));
		p.server.pause_after = 1;
		out = stream_out(p.client.s);
		fill(out, 1);
		stream_kick(p.client.s);
		run_until(p.loop, &p.server, 1);
		buf_clear(&p.server.got);
		fill(out, 16000000);
		stream_kick(p.client.s);
		run_for(p.loop, 50);
		begun = (size_t)(stream_begun(p.client.s) - stream_written(p.client.s));
		check(tls ? begun > 0 && begun <= 16384 : begun == 0);
		need(buf_len(out) > begun + 1000000);
		cut = buf_len(out) - begun;
		buf_truncate(out, begun);
		buf_add_str(out, "and nothing else");
		stream_pause(p.server.s, false);
		run_until(p.loop, &p.server, 16000000 - cut + 16);
		run_for(p.loop, 20);
		check_int(buf_len(&p.server.got), 16000000 - cut + 16);
		check(memcmp(buf_data(&p.server.got) + 16000000 - cut, "and nothing else", 16) == 0);
		buf_truncate(&p.server.got, 16000000 - cut);
		check_filled(&p.server.got, 16000000 - cut);
		check_int(stream_begun(p.client.s), stream_written(p.client.s));
		pair_close(&p);
	}
}

TEST(paused_before_the_handshake)
{
	struct pair p;

	need(pair_open(&p, BOTH));
	p.server.begin_paused = true;
	fill(stream_out(p.client.s), 100);
	for (int i = 0; i < 200 && !p.client.opened; i++)
		run_for(p.loop, 10);
	check_int(p.client.opened, 1);
	check_int(buf_len(&p.server.got), 0);
	stream_pause(p.server.s, false);
	run_until(p.loop, &p.server, 100);
	check_filled(&p.server.got, 100);
	pair_close(&p);
}

/* The end of one direction, with the last bytes right before it; then of the other. */
TEST(half_closed)
{
	struct pair p;

	need(pair_open(&p, BOTH));
	p.server.reply_after = 1;
	fill(stream_out(p.client.s), 70000);
	stream_shutdown(p.client.s);
	run_until(p.loop, &p.client, 3);
	for (int i = 0; i < 200 && !p.client.ended; i++)
		run_for(p.loop, 10);
	check_filled(&p.server.got, 70000);
	check_bytes(buf_bytes(&p.client.got), BYTES("bye"));
	check_int(p.client.ended, 1);
	check_int(p.client.error.kind, ERR_NONE);
	pair_close(&p);
}

TEST(closed_at_once_and_in_between)
{
	struct pair p;

	need(pair_open(&p, BOTH));
	pair_close(&p);
	need(pair_open(&p, BOTH));
	p.client.close_when_open = true;
	run_until(p.loop, &p.server, 1);
	check(p.client.s == NULL);
	check(p.server.s == NULL);
	check_int(p.server.error.kind, ERR_NONE);
	pair_close(&p);
	need(pair_open(&p, BOTH));
	p.server.close_when_open = true;
	fill(stream_out(p.client.s), 2000000);
	run_until(p.loop, &p.client, 1);
	check(p.client.s == NULL);
	pair_close(&p);
}

TEST(not_verified)
{
	struct pair p;

	need(pair_open(&p, VERIFIED));
	run_until(p.loop, &p.client, 1);
	run_until(p.loop, &p.server, 1);
	check_int(p.client.opened, 0);
	check_int(p.client.error.kind, ERR_AUTH);
	check(strstr(p.client.error.text, "signed by itself"));
	check_int(p.server.error.kind, ERR_AUTH);
	check(strstr(p.server.error.text, "does not accept our certificate"));
	pair_close(&p);
}

TEST(plain_on_one_side)
{
	struct pair p;

	need(pair_open(&p, SERVER_ONLY));
	buf_add_str(stream_out(p.client.s), "POST / HTTP/1.1\r\n\r\n");
	run_until(p.loop, &p.server, 1);
	run_for(p.loop, 50);
	check_int(p.server.error.kind, ERR_CONNECT);
	check(strstr(p.server.error.text, "plain HTTP to a TLS port"));
	check(memmem(buf_data(&p.client.got), buf_len(&p.client.got), "400 Bad Request", 15));
	pair_close(&p);

	need(pair_open(&p, SERVER_ONLY));
	fill(stream_out(p.client.s), 5000);
	run_until(p.loop, &p.server, 1);
	run_for(p.loop, 50);
	check_int(p.server.error.kind, ERR_CONNECT);
	check(strstr(p.server.error.text, "not TLS"));
	pair_close(&p);

	need(pair_open(&p, CLIENT_ONLY));
	for (int i = 0; i < 100 && !p.server.s; i++)
		run_for(p.loop, 10);
	need(p.server.s);
	buf_add_str(stream_out(p.server.s), "HTTP/1.1 400 Bad Request\r\n\r\n");
	stream_kick(p.server.s);
	run_until(p.loop, &p.client, 1);
	check_int(p.client.error.kind, ERR_CONNECT);
	check(strstr(p.client.error.text, "plain text, not TLS"));
	pair_close(&p);
}

/* Neither side waits for ever. */
TEST(no_answer)
{
	struct pair p;

	patience_ms = 300;
	need(pair_open(&p, CLIENT_ONLY));
	run_for(p.loop, 500);
	check_int(p.client.error.kind, ERR_CONNECT);
	check(strstr(p.client.error.text, "TLS handshake within 300 ms"));
	pair_close(&p);
	need(pair_open(&p, SERVER_ONLY));
	run_for(p.loop, 500);
	check_int(p.server.error.kind, ERR_CONNECT);
	check(strstr(p.server.error.text, "TLS handshake within 300 ms"));
	pair_close(&p);
	patience_ms = 20000;
}

/* A Unix socket, and a name that is looked up: the transport's descriptor comes late. */
TEST(over_other_sockets)
{
	static const char *const hosts[] = { "localhost", NULL };
	struct tls_options server = { .on = true }, client = { .on = true, .insecure = true };
	struct tls_options strict = { .on = true };
	char path[64], address[2][80];
	struct error err = ERROR_INIT;
	struct stream_limits limits = { .connect_timeout_ms = 20000 };

	find_modules();
	snprintf(path, sizeof path, "/tmp/mbus-test-tls-%d.sock", (int)getpid());
	for (int i = 0; i < 2; i++) {
		struct pair p = { .loop = loop_new(&err) };
		struct tls *verifies = tls_client(&strict, &err);
		const char *host = i ? "localhost" : NULL;

		p.server.tls = tls_server(&server, hosts, &err);
		p.client.tls = tls_client(&client, &err);
		need(p.server.tls && p.client.tls && verifies);
		p.listener = listener_open(p.loop, i ? "127.0.0.1:0" : path, &ops, &limits, accepted,
			&p.server, &err);
		need(p.listener);
		snprintf(address[0], sizeof address[0], "unix://%s", path);
		snprintf(address[1], sizeof address[1], "localhost%s",
			strrchr(listener_address(p.listener), i ? ':' : '/'));
		p.client.s = stream_dial(p.loop, address[i], &ops, &limits, &p.client, &err);
		need(p.client.s);
		/* Nothing to look for in the certificate. */
		if (!host) {
			check_int(stream_start_tls(p.client.s, verifies, host, &err), -1);
			check(strstr(err.text, path) && strstr(err.text, "--tls-sni"));
		}
		check_int(stream_start_tls(p.client.s, p.client.tls, host, &err), 0);
		p.server.echo = true;
		fill(stream_out(p.client.s), 100000);
		stream_kick(p.client.s);
		run_until(p.loop, &p.client, 100000);
		check_int(p.client.opened, 1);
		check_filled(&p.client.got, 100000);
		tls_free(verifies);
		pair_close(&p);
	}
}

/* Closed before there was a descriptor. */
TEST(closed_while_it_is_looked_up)
{
	struct tls_options client = { .on = true, .insecure = true };
	struct error err = ERROR_INIT;
	struct loop *l = loop_new(&err);
	struct side x = { NULL };
	struct tls *tls;

	find_modules();
	tls = tls_client(&client, &err);
	need(tls);
	x.s = stream_dial(l, "localhost:1", &ops, NULL, &x, &err);
	need(x.s);
	check_int(stream_start_tls(x.s, tls, "localhost", &err), 0);
	stream_close(x.s);
	run_for(l, 20);
	check_int(x.ended, 0);
	x.s = stream_dial(l, "localhost:1", &ops, NULL, &x, &err);
	need(x.s);
	check_int(stream_start_tls(x.s, tls, "localhost", &err), 0);
	run_until(l, &x, 1);
	check_int(x.ended, 1);
	check(strstr(x.error.text, "localhost:1: cannot connect: "));
	tls_free(tls);
	loop_free(l);
}

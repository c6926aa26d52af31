/* SPDX-License-Identifier: Apache-2.0 */
/* core/stream while it connects and idles, and a listener that pauses. */
#include <netinet/tcp.h>

#include "core/stream_impl.h"
#include "tests/unit/stream_pair.h"

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

/* What fails at once is told by the call itself, and in words that name the address. */
TEST(no_such_socket)
{
	static const char *const none[] = {
		"/tmp/mbus-test-none.sock", "unix:/tmp/mbus-test-none.sock",
		"unix:///tmp/mbus-test-none.sock", "/tmp",
	};
	struct error err;
	struct loop *l = loop_new(&err);

	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		check(stream_connect(l, none[i], &ops, NULL, NULL, &err) == NULL);
		check_int(err.kind, ERR_CONNECT);
		check(strncmp(err.text, none[i], strlen(none[i])) == 0);
		check(strstr(err.text, ": cannot connect: "));
	}
	loop_free(l);
}

static int
option(const struct stream *s, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof value;

	getsockopt(s->watch.fd, level, name, &value, &len);
	return value;
}

/* A host that has gone without a word is found out by the kernel within a minute. */
TEST(options_of_tcp)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", true, NULL));
	check_int(option(p.client.s, IPPROTO_TCP, TCP_NODELAY), 1);
	check_int(option(p.server.s, IPPROTO_TCP, TCP_NODELAY), 1);
	check_int(option(p.client.s, SOL_SOCKET, SO_KEEPALIVE), 1);
	check_int(option(p.server.s, SOL_SOCKET, SO_KEEPALIVE), 1);
	check_int(option(p.client.s, IPPROTO_TCP, TCP_KEEPIDLE) +
		option(p.client.s, IPPROTO_TCP, TCP_KEEPINTVL) *
		option(p.client.s, IPPROTO_TCP, TCP_KEEPCNT), 60);
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

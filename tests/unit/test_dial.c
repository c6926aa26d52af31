/* SPDX-License-Identifier: Apache-2.0 */
/* core/stream to addresses of the user's: names, several addresses, full queues. What
 * a name means is said by an /etc/hosts of the test's own, where it may have one. */
#include <sched.h>
#include <sys/mount.h>

#include "core/resolve.h"
#include "tests/unit/stream_pair.h"

static struct side
dial(struct loop *l, const char *address, const struct stream_limits *limits, unsigned ms)
{
	static struct side x;
	struct error err = ERROR_INIT;

	buf_release(&x.got);
	x = (struct side){ .loop = l, .stop_when_closed = true };
	x.s = stream_dial(l, address, &ops, limits, &x, &err);
	if (!x.s) {
		x.error = err;
		return x;
	}
	check_int(x.closed, 0);		/* never from within */
	for (unsigned i = 0; i < ms && !x.opened && !x.closed; i += 10)
		run_for(l, 10);
	return x;
}

static int
port_of(const struct listener *l)
{
	return atoi(strrchr(listener_address(l), ':') + 1);
}

TEST(by_name)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "LOCALHOST" };
	char address[64];
	struct pair p;
	struct side x;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	for (size_t i = 0; i < 3; i++) {
		stream_close(p.server.s);
		p.server.s = NULL;
		snprintf(address, sizeof address, "%s:%d", names[i], port_of(p.listener));
		/* Where ::1 comes first, nobody listens there. */
		x = dial(p.loop, address, NULL, 5000);
		check_int(x.opened, 1);
		check_int(x.closed, 0);
		need(x.s);
		check_str(stream_peer(x.s), address);
		p.server.stop_at = buf_len(&p.server.got) + 5;
		buf_add_str(stream_out(x.s), "hello");
		stream_kick(x.s);
		run_for(p.loop, 2000);
		check_int(buf_len(&p.server.got), (i + 1) * 5);
		stream_close(x.s);
		run_for(p.loop, 1);
	}
	pair_close(&p);
}

TEST(names_that_are_none)
{
	static const char *const bad[] = {
		"", ":80", "x", "local host:80", "localhost:", "localhost:0", "localhost:65536",
		"localhost:http", "a/b:80", "[localhost]:80", "user@localhost:80", "localhost:80:80",
	};
	struct error err;
	struct loop *l = loop_new(&err);
	char name[300];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		check(stream_dial(l, bad[i], &ops, NULL, NULL, &err) == NULL);
		check_int(err.kind, ERR_CONNECT);
		check(strstr(err.text, "not an address"));
	}
	memset(name, 'a', sizeof name);
	memcpy(name + 270, ":80", 4);
	check(stream_dial(l, name, &ops, NULL, NULL, &err) == NULL);
	loop_free(l);
}

TEST(a_name_of_nobody)
{
	struct error err;
	struct loop *l = loop_new(&err);
	struct stream_limits limits = { .connect_timeout_ms = 20000 };
	struct side x = dial(l, "no-such-host.invalid:80", &limits, 30000);

	check_int(x.closed, 1);
	check_int(x.error.kind, ERR_CONNECT);
	check(strstr(x.error.text, "no-such-host.invalid:80: cannot look up the name: "));
	loop_free(l);
}

TEST(refused_by_all_addresses)
{
	struct error err;
	struct loop *l = loop_new(&err);
	struct side x = dial(l, "localhost:1", NULL, 5000);

	check_int(x.opened, 0);
	check_int(x.closed, 1);
	check_int(x.error.kind, ERR_CONNECT);
	check_str(x.error.text, "localhost:1: cannot connect: Connection refused");
	loop_free(l);
}

/* Given up at every moment, also while the thread is at it. */
TEST(closed_while_it_is_looked_up)
{
	struct error err;
	struct loop *l = loop_new(&err);
	struct side x = { .loop = l };

	for (int i = 0; i < 50; i++) {
		x.s = stream_dial(l, i % 2 ? "localhost:1" : "no-such-host.invalid:1", &ops, NULL, &x,
			&err);
		need(x.s);
		buf_add_str(stream_out(x.s), "early");
		stream_kick(x.s);
		for (int k = 0; k < i % 5 && !x.closed; k++)
			run_for(l, 0);
		stream_close(x.s);
		x.s = NULL;
		x.closed = 0;
		run_for(l, 0);
	}
	usleep(50000);
	loop_free(l);
}

/* A word of the test's own in /etc/hosts; false: it may not have one. */
static bool
own_hosts(const char *text)
{
	char path[] = "/tmp/mbus-test-hosts-XXXXXX";
	int fd = mkstemp(path);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
		unshare(CLONE_NEWNS) == 0 && mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount(path, "/etc/hosts", "", MS_BIND, NULL) == 0;

	if (fd >= 0)
		close(fd);
	unlink(path);
	return ok;
}

/* The first address does not answer at all, the second refuses, the third is right.
 * (The C library puts 127.0.0.1 first, as the one that is nearest.) */
TEST(addresses_in_turn)
{
	struct stream_limits limits = { .connect_timeout_ms = 900 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int silent = socket(AF_INET, SOCK_STREAM, 0), fill[4];
	uint64_t begin;
	char address[64];
	struct pair p;
	struct side x;

	if (!own_hosts("127.0.0.1 many.test\n127.0.0.3 many.test\n127.0.0.2 many.test\n"
	    "127.0.0.1 silent.test\n127.0.0.3 refusing.test\n127.0.0.4 refusing.test\n"))
		return;
	need(pair_open(&p, "127.0.0.2:0", true, NULL));
	stream_close(p.server.s);
	p.server.s = NULL;
	/* A listener whose queue is full answers nobody. */
	a.sin_port = htons((uint16_t)port_of(p.listener));
	need(bind(silent, (struct sockaddr *)&a, sizeof a) == 0 && listen(silent, 0) == 0);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], (struct sockaddr *)&a, sizeof a);
	}
	snprintf(address, sizeof address, "many.test:%d", port_of(p.listener));
	begin = loop_clock_ns();
	x = dial(p.loop, address, &limits, 3000);
	check_int(x.opened, 1);
	check(loop_clock_ns() - begin > 250 * 1000000ull);	/* a third of the time */
	check(loop_clock_ns() - begin < 900 * 1000000ull);
	stream_close(x.s);
	/* It alone gets all of the time. */
	snprintf(address, sizeof address, "silent.test:%d", port_of(p.listener));
	begin = loop_clock_ns();
	x = dial(p.loop, address, &limits, 3000);
	check_int(x.closed, 1);
	check(strstr(x.error.text, "silent.test:") && strstr(x.error.text, "connecting within 900 ms"));
	check(loop_clock_ns() - begin > 890 * 1000000ull);
	snprintf(address, sizeof address, "refusing.test:%d", port_of(p.listener));
	x = dial(p.loop, address, &limits, 3000);
	check_int(x.closed, 1);
	check(strstr(x.error.text, "refusing.test:") && strstr(x.error.text, "refused"));
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(silent);
	pair_close(&p);
}

/* connect() does not wait where a Unix socket's queue is full: it is tried again. */
TEST(a_unix_socket_with_a_full_queue)
{
	struct stream_limits limits = { .connect_timeout_ms = 300 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), fill, got;
	struct error err = ERROR_INIT;
	struct loop *l = loop_new(&err);
	struct side x;
	struct side y = { .loop = l };

	snprintf(a.sun_path, sizeof a.sun_path, "/tmp/mbus-test-%d.full", (int)getpid());
	unlink(a.sun_path);
	need(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 0) == 0);
	fill = socket(AF_UNIX, SOCK_STREAM, 0);
	need(connect(fill, (struct sockaddr *)&a, sizeof a) == 0);
	x = dial(l, a.sun_path, &limits, 2000);
	check_int(x.closed, 1);
	check(strstr(x.error.text, a.sun_path) && strstr(x.error.text, "connecting within 300 ms"));
	/* And gets through when there is room. */
	y.s = stream_connect(l, a.sun_path, &ops, &limits, &y, &err);
	need(y.s);
	run_for(l, 50);
	check_int(y.opened, 0);
	got = accept(fd, NULL, NULL);
	run_for(l, 100);
	check_int(y.opened, 1);
	stream_close(y.s);
	close(got);
	close(fill);
	close(fd);
	unlink(a.sun_path);
	loop_free(l);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How core/link gets through: several addresses, names, servers that do not answer. */
#include <arpa/inet.h>
#include <dirent.h>

#include "tests/unit/link_pair.h"

static int
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;
}

/* A listener whose queue is full answers nobody. */
struct dead {
	int fd, fill[4];
	char address[64];
};

static bool
dead_open(struct dead *d)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	d->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(d->fd, (struct sockaddr *)&a, len) < 0 || listen(d->fd, 0) < 0)
		return false;
	getsockname(d->fd, (struct sockaddr *)&a, &len);
	for (int i = 0; i < 4; i++) {
		d->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(d->fill[i], (struct sockaddr *)&a, sizeof a);
	}
	snprintf(d->address, sizeof d->address, "127.0.0.1:%u", ntohs(a.sin_port));
	return true;
}

static void
dead_close(struct dead *d)
{
	close(d->fd);
	for (int i = 0; i < 4; i++)
		close(d->fill[i]);
}

/* Starts, and runs until it is ready or lost; how long that was. */
static unsigned
reach(struct toy *t, const char *address, unsigned most_ms)
{
	uint64_t begin = loop_clock_ns();

	if (toy_start(t, address))
		toy_run(t, 1, most_ms);
	return (unsigned)((loop_clock_ns() - begin) / 1000000);
}

TEST(first_of_several_refuses)
{
	struct server gone = { 0 };
	char list[300];
	struct toy t;

	toy_init(&t);
	need(server_open(&gone, t.loop, "127.0.0.1:0"));
	listener_close(gone.listener);
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	snprintf(list, sizeof list, "%s,toy://%s,127.0.0.1:1", gone.address, t.server.address);
	check(reach(&t, list, 1000) < 200);
	check_int(t.client.ready, 1);
	check_int(t.client.lost, 0);
	check_str(link_name(t.client.link), t.server.address);
	toy_close(&t);
}

TEST(first_of_several_does_not_answer)
{
	struct dead dead;
	char list[300];
	unsigned ms;
	struct toy t;

	toy_init(&t);
	t.broker.connect_timeout_ms = 600;
	need(dead_open(&dead));
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	snprintf(list, sizeof list, "%s,%s", dead.address, t.server.address);
	ms = reach(&t, list, 2000);
	check(ms >= 250 && ms < 560);
	check_int(t.client.ready, 1);
	toy_close(&t);
	dead_close(&dead);
}

/* It takes the connection, and then says nothing: the next one is asked. */
TEST(first_of_several_is_silent)
{
	struct server silent = { .silent = true };
	char list[300];
	struct toy t;

	toy_init(&t);
	t.broker.connect_timeout_ms = 600;
	need(server_open(&silent, t.loop, "127.0.0.1:0"));
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	snprintf(list, sizeof list, "%s,%s", silent.address, t.server.address);
	check(reach(&t, list, 2000) < 560);
	check_int(t.client.opened, 2);
	check_int(t.client.lost, 1);
	check_int(t.client.lost_for_good, 0);
	check(strstr(t.client.error.text, "no answer to the greeting within 300 ms"));
	check_int(t.client.ready, 1);
	server_close(&silent);
	toy_close(&t);
}

TEST(none_answers)
{
	struct dead dead[2];
	char list[300];
	unsigned ms;
	struct toy t;

	toy_init(&t);
	t.broker.connect_timeout_ms = 600;
	need(dead_open(&dead[0]) && dead_open(&dead[1]));
	snprintf(list, sizeof list, "%s,%s", dead[0].address, dead[1].address);
	ms = reach(&t, list, 2000);
	check(ms >= 550 && ms < 900);
	check_int(t.client.opened, 0);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strstr(t.client.error.text, dead[0].address));
	check(strstr(t.client.error.text, dead[1].address));
	check(strstr(t.client.error.text, "no answer to connecting within"));
	toy_close(&t);
	dead_close(&dead[0]);
	dead_close(&dead[1]);
}

TEST(silent_server)
{
	unsigned ms;
	struct toy t;

	toy_init(&t);
	t.broker.connect_timeout_ms = 300;
	t.server.silent = true;
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	ms = reach(&t, t.server.address, 2000);
	check(ms >= 300 && ms < 600);
	check_int(t.client.opened, 1);
	check_int(t.client.lost, 1);
	check_int(t.client.lost_for_good, 1);
	check(strstr(t.client.error.text, "no answer to the greeting within 300 ms"));
	toy_close(&t);
}

/* Likewise when it was there before: the tries go on. */
TEST(silent_after_a_while)
{
	struct toy t;

	need(toy_open(&t, -1));
	t.broker.connect_timeout_ms = 250;
	t.server.silent = true;
	server_cut(&t.server);
	run_for(t.loop, 600);
	check(t.client.opened >= 2);
	check_int(t.client.ready, 1);
	check_int(t.client.lost_for_good, 0);
	t.server.silent = false;
	toy_run(&t, 2, 3000);
	check_int(t.client.ready, 2);
	toy_close(&t);
}

TEST(unix_sockets)
{
	char path[64], url[128], want[300];
	struct toy t;

	snprintf(path, sizeof path, "/tmp/mbus-link-%d.sock", (int)getpid());
	snprintf(url, sizeof url, "unix:%s", path);
	for (int i = 0; i < 4; i++) {
		static const char *const before[] = { "", "unix:", "unix://", "toy+unix://" };

		toy_init(&t);
		need(server_open(&t.server, t.loop, url));
		snprintf(want, sizeof want, "%s%s%s", before[i], path, i > 1 ? "?x=1" : "");
		reach(&t, want, 1000);
		check_int(t.client.ready, 1);
		check_str(link_name(t.client.link), url);
		toy_close(&t);
	}
	toy_init(&t);
	reach(&t, path, 1000);
	check_int(t.client.lost_for_good, 1);
	snprintf(want, sizeof want, "%s: cannot connect: No such file or directory", url);
	check_str(t.client.error.text, want);
	check_int(t.client.error.kind, ERR_CONNECT);
	toy_close(&t);
}

/* ---- names ---- */

TEST(localhost)
{
	static const char *const names[] = { "localhost", "LocalHost.", "a.localhost", "" };
	char address[128];
	struct toy t;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		toy_init(&t);
		need(server_open(&t.server, t.loop, "127.0.0.1:0"));
		snprintf(address, sizeof address, "%s%s", names[i],
			strrchr(t.server.address, ':'));
		need(toy_start(&t, address));
		check_int(threads(), 1);
		toy_run(&t, 1, 1000);
		check_int(t.client.ready, 1);
		check(strstr(link_name(t.client.link), *names[i] ? address : "localhost:"));
		toy_close(&t);
	}
	/* Who listens on ::1 only is found, too. */
	toy_init(&t);
	need(server_open(&t.server, t.loop, "[::1]:0"));
	snprintf(address, sizeof address, "localhost%s", strrchr(t.server.address, ':'));
	check(reach(&t, address, 1000) < 500);
	check_int(t.client.ready, 1);
	toy_close(&t);
	/* Refused by both is told of once, with the address that was tried. */
	toy_init(&t);
	need(server_open(&t.server, t.loop, "[::1]:0"));
	listener_close(t.server.listener);
	t.server.listener = NULL;
	snprintf(address, sizeof address, "localhost%s", strrchr(t.server.address, ':'));
	reach(&t, address, 1000);
	check(strncmp(t.client.error.text, address, strlen(address)) == 0);
	check(strstr(t.client.error.text, "refused"));
	check(!strchr(t.client.error.text, ';'));
	toy_close(&t);
}

TEST(numbers_need_no_thread)
{
	struct toy t;

	toy_init(&t);
	need(toy_start(&t, "[::1]:1,127.0.0.1:1,localhost:1"));
	check_int(threads(), 1);
	toy_run(&t, 1, 500);
	check_int(t.client.lost_for_good, 1);
	check(strncmp(t.client.error.text, "[::1]:1: cannot connect: ", 25) == 0);
	check(strstr(t.client.error.text, "; 127.0.0.1:1: cannot connect: "));
	check(strstr(t.client.error.text, "; localhost:1: cannot connect: "));
	toy_close(&t);
}

/* Whether or not there is a DNS server to ask. */
TEST(unknown_host)
{
	char list[300];
	struct toy t;

	toy_init(&t);
	t.broker.connect_timeout_ms = 500;
	check(reach(&t, "no.such.host.invalid", 2000) < 900);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strncmp(t.client.error.text, "no.such.host.invalid:1: ", 24) == 0);
	toy_close(&t);

	toy_init(&t);
	t.broker.connect_timeout_ms = 1000;
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	snprintf(list, sizeof list, "no.such.host.invalid,%s", t.server.address);
	check(reach(&t, list, 2000) < 900);
	check_int(t.client.ready, 1);
	toy_close(&t);
}

/* The machine's own name is looked up by a thread, which leaves nothing behind. */
TEST(names_by_a_thread)
{
	char name[256] = "", address[300];
	struct toy t;

	need(gethostname(name, sizeof name - 1) == 0);
	toy_init(&t);
	need(server_open(&t.server, t.loop, "0.0.0.0:0"));
	snprintf(address, sizeof address, "%s%s", name, strrchr(t.server.address, ':'));
	need(toy_start(&t, address));
	check_int(t.client.opened, 0);
	toy_run(&t, 1, 3000);
	if (t.client.ready)
		check_str(link_name(t.client.link), address);
	else			/* the machine does not know itself */
		check(strstr(t.client.error.text, "the name"));
	toy_close(&t);
}

TEST(given_up_while_looking_up)
{
	struct toy t;

	for (int i = 0; i < 20; i++) {
		toy_init(&t);
		need(toy_start(&t, "no.such.host.invalid:6379"));
		if (i % 2)
			link_close(t.client.link);
		toy_close(&t);
		check_int(t.client.lost, 0);
	}
}

TEST(given_up_while_connecting)
{
	struct dead dead;
	struct toy t;

	toy_init(&t);
	need(dead_open(&dead));
	need(toy_start(&t, dead.address));
	run_for(t.loop, 10);
	toy_close(&t);
	check_int(t.client.lost, 0);
	dead_close(&dead);
}

/* ---- what is no address ---- */

TEST(bad_addresses)
{
	static const struct {
		const char *address, *want;
	} rows[] = {
		{ "http://a", "http://: no address of this broker; its URLs begin with "
			"toy://, toys://, toy+unix://" },
		{ "http://u:secret@a", "http://: no address of this broker; its URLs begin with "
			"toy://, toys://, toy+unix://" },
		{ "a:b", "a:b: a port is a number" },
		{ "a,,b", "an empty address" },
		{ ",", "an empty address" },
		{ "toy://u:secret@a:b", "toy://...: a port is a number" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct error err;
		struct toy t;

		toy_init(&t);
		t.broker.address = rows[i].address;
		check(!link_new(t.loop, &t.opts, &client_ops, NULL, &err));
		check_int(err.kind, ERR_USAGE);
		check_str(err.text, rows[i].want);
		toy_close(&t);
	}
}

TEST(default_address)
{
	struct toy t;

	toy_init(&t);
	need(toy_start(&t, NULL));
	check_str(link_name(t.client.link), "127.0.0.1:1");
	toy_close(&t);
	toy_init(&t);
	need(toy_start(&t, "TOY://example.com/path"));
	check_str(link_name(t.client.link), "example.com:1");
	check_bytes(link_address(t.client.link)->path, BYTES("path"));
	toy_close(&t);
}

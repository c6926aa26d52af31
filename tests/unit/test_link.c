/* SPDX-License-Identifier: Apache-2.0 */
/* core/link over real sockets: its life with one server. */
#include "tests/unit/link_pair.h"

static void
say(struct toy *t, const char *text)
{
	buf_add_str(link_out(t->client.link), text);
	link_kick(t->client.link);
}

TEST(there_and_back)
{
	struct toy t;

	need(toy_open(&t, 0));
	check_int(t.client.opened, 1);
	check_str(link_name(t.client.link), t.server.address);
	check_bytes(link_address(t.client.link)->host, BYTES("127.0.0.1"));
	say(&t, "some text");
	run_for(t.loop, 20);
	check_bytes(buf_bytes(&t.client.got), BYTES("some text"));
	check_int(link_written(t.client.link), 5 + 9);
	toy_close(&t);
	check_int(t.client.lost, 0);
}

TEST(lost_and_not_made_again)
{
	struct toy t;

	need(toy_open(&t, 0));
	server_cut(&t.server);
	run_for(t.loop, 20);
	check_int(t.client.lost, 1);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strstr(t.client.error.text, t.server.address));
	check_int(t.client.written, 5);
	run_for(t.loop, 300);
	check_int(t.server.accepted, 1);
	toy_close(&t);
}

TEST(lost_and_made_again)
{
	struct toy t;

	need(toy_open(&t, -1));
	for (int i = 1; i <= 2; i++) {
		server_cut(&t.server);
		run_for(t.loop, 20);
		check_int(t.client.lost, i);
		check_int(t.client.lost_for_good, 0);
		toy_run(&t, i + 1, 1000);
		check_int(t.client.ready, i + 1);
		check_int(t.client.opened, i + 1);
	}
	say(&t, "some text");
	run_for(t.loop, 20);
	check_bytes(buf_bytes(&t.client.got), BYTES("some text"));
	toy_close(&t);
}

TEST(refused)
{
	struct toy t;

	toy_init(&t);
	t.broker.reconnect = -1;	/* is for connections that were there */
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	listener_close(t.server.listener);
	t.server.listener = NULL;
	need(toy_start(&t, t.server.address));
	check_int(t.client.lost, 0);	/* not from within */
	run_for(t.loop, 50);
	check_int(t.client.opened, 0);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strstr(t.client.error.text, t.server.address));
	check(strstr(t.client.error.text, "refused"));
	toy_close(&t);
}

TEST(tries_are_counted_and_pauses_grow)
{
	uint64_t begin, took_ms;
	struct toy t;

	need(toy_open(&t, 3));
	listener_close(t.server.listener);
	t.server.listener = NULL;
	server_cut(&t.server);
	begin = loop_clock_ns();
	toy_run(&t, 2, 5000);
	took_ms = (loop_clock_ns() - begin) / 1000000;
	check(took_ms >= 700 * 8 / 10 && took_ms < 2000);	/* 100 + 200 + 400 */
	check_int(t.client.lost, 2);		/* the one that was open; the end */
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strncmp(t.client.error.text, "not connected again in 3 tries: ", 32) == 0);
	check(strstr(t.client.error.text, "refused"));
	toy_close(&t);
}

TEST(started_once_more)
{
	struct toy t;

	need(toy_open(&t, 0));
	t.client.start_in_lost = true;
	server_cut(&t.server);
	for (int i = 0; i < 400 && t.client.ready < 2; i++)
		run_for(t.loop, 5);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.ready, 2);
	link_close(t.client.link);
	link_start(t.client.link);
	for (int i = 0; i < 400 && t.client.ready < 3; i++)
		run_for(t.loop, 5);
	check_int(t.client.ready, 3);
	check_int(t.client.lost, 1);
	toy_close(&t);
}

/* A server that takes us and lets us go again is not asked ten times a second. */
TEST(short_lives)
{
	struct toy t;
	int accepted;

	need(toy_open(&t, -1));
	for (uint64_t end = loop_clock_ns() + 1200 * 1000000ull; loop_clock_ns() < end;) {
		run_for(t.loop, 5);
		if (link_is_ready(t.client.link))
			server_cut(&t.server);
	}
	accepted = t.server.accepted;
	check(accepted >= 3 && accepted <= 6);	/* at 0, 100, 300, 700 */
	toy_close(&t);
}

/* ---- what is said ---- */

static char said[4096];

static int
listen_to_stderr(int *was)
{
	int fds[2];

	*was = dup(2);
	if (pipe(fds) < 0)
		return -1;
	dup2(fds[1], 2);
	close(fds[1]);
	log_level = LOG_WARN;
	return fds[0];
}

static void
stop_listening(int fd, int was)
{
	ssize_t n;

	dup2(was, 2);
	close(was);
	n = read(fd, said, sizeof said - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	log_level = LOG_QUIET;
}

TEST(said_once)
{
	char want[512];
	struct toy t;
	int fd, was, n;

	need(toy_open(&t, -1));
	fd = listen_to_stderr(&was);
	listener_close(t.server.listener);
	server_cut(&t.server);
	run_for(t.loop, 450);		/* two tries in vain */
	need(server_open(&t.server, t.loop, t.server.address));
	toy_run(&t, 2, 3000);
	check_int(t.client.ready, 2);
	stop_listening(fd, was);
	n = snprintf(want, sizeof want,
		"mbus: warning: connection to %s lost: the server closed the connection; connecting again\n"
		"mbus: warning: connected to %s again after 0.", t.server.address, t.server.address);
	check_bytes(bytes_of(said, (size_t)n), bytes_str(want));
	check_str(said + n + 1, " s\n");
	toy_close(&t);
}

/* Nothing to tell: it is the caller who words the end of a run. */
TEST(not_said)
{
	struct toy t;
	int fd, was;

	need(toy_open(&t, 0));
	fd = listen_to_stderr(&was);
	server_cut(&t.server);
	run_for(t.loop, 20);
	stop_listening(fd, was);
	check_str(said, "");
	toy_close(&t);
}

/* ---- pausing ---- */

TEST(pause_is_kept)
{
	struct toy t;

	need(toy_open(&t, -1));
	server_cut(&t.server);
	run_for(t.loop, 20);
	check_int(t.client.lost, 1);
	link_pause(t.client.link, true);	/* between two connections */
	toy_run(&t, 2, 1000);
	check_int(t.client.ready, 2);		/* the greeting was heard */
	say(&t, "some text");
	run_for(t.loop, 30);
	check_bytes(buf_bytes(&t.server.got), BYTES("hellohellosome text"));
	check_int(buf_len(&t.client.got), 0);
	link_pause(t.client.link, false);
	run_for(t.loop, 30);
	check_bytes(buf_bytes(&t.client.got), BYTES("some text"));
	toy_close(&t);
}

/* ---- from within ---- */

TEST(freed_in_callbacks)
{
	struct toy t;

	toy_init(&t);
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	t.client.free_in_open = true;
	need(toy_start(&t, t.server.address));
	run_for(t.loop, 30);
	check_int(t.client.opened, 1);
	check_int(t.client.lost, 0);
	toy_close(&t);

	need(toy_open(&t, -1));
	t.client.free_in_data = true;
	say(&t, "x");
	run_for(t.loop, 30);
	check(t.client.link == NULL);
	check_int(t.client.lost, 0);
	toy_close(&t);

	for (int reconnect = -1; reconnect <= 0; reconnect++) {
		need(toy_open(&t, reconnect));
		t.client.free_in_lost = true;
		server_cut(&t.server);
		run_for(t.loop, 300);
		check_int(t.client.lost, 1);
		check_int(t.client.ready, 1);
		toy_close(&t);
	}
}

TEST(closed_in_data)
{
	struct toy t;

	need(toy_open(&t, -1));
	t.client.close_in_data = true;
	say(&t, "x");
	run_for(t.loop, 300);
	check_int(t.client.lost, 0);
	check_int(t.server.accepted, 1);
	check(t.server.s == NULL);		/* it has seen the end */
	toy_close(&t);
}

/* The last words leave. */
TEST(closed_politely)
{
	struct toy t;

	need(toy_open(&t, -1));
	buf_clear(&t.server.got);
	buf_add_str(link_out(t.client.link), "goodbye");
	link_close(t.client.link);
	check(!link_is_ready(t.client.link));
	run_for(t.loop, 30);
	check_bytes(buf_bytes(&t.server.got), BYTES("goodbye"));
	check(t.server.s == NULL);
	check_int(t.client.lost, 0);
	toy_close(&t);
}

/* Also when there is something that we have not read: the kernel would reset the
 * connection then, and the server might not see our last words. */
TEST(closed_politely_with_unread_input)
{
	static char text[50000];
	struct toy t;

	need(toy_open(&t, -1));
	link_pause(t.client.link, true);
	buf_add(link_out(t.client.link), text, sizeof text);
	link_kick(t.client.link);
	run_for(t.loop, 50);
	buf_clear(&t.server.got);
	buf_add_str(link_out(t.client.link), "goodbye");
	link_close(t.client.link);
	run_for(t.loop, 30);
	check_bytes(buf_bytes(&t.server.got), BYTES("goodbye"));
	check(t.server.s == NULL);
	check_int(t.server.error.kind, ERR_NONE);
	toy_close(&t);
}

TEST(failed_by_the_user)
{
	static const struct {
		enum error_kind kind;
		bool again;
	} rows[] = {
		{ ERR_CONNECT, true }, { ERR_REFUSED, true }, { ERR_TIMEOUT, true },
		{ ERR_AUTH, false }, { ERR_USAGE, false }, { ERR_NOTFOUND, false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct toy t;

		need(toy_open(&t, -1));
		error_set(&t.client.fail_in_data, rows[i].kind, "%s: no good", t.server.address);
		say(&t, "x");
		run_for(t.loop, 20);
		check_int(t.client.lost, 1);
		check_int(t.client.lost_for_good, !rows[i].again);
		check_int(t.client.error.kind, rows[i].kind);
		check(strstr(t.client.error.text, ": no good"));
		check(t.server.s == NULL);
		t.client.fail_in_data.kind = ERR_NONE;
		toy_run(&t, 2, 1000);
		check_int(t.client.ready, 1 + rows[i].again);
		toy_close(&t);
	}
}

/* Refuses what the server says next, and waits for the end or the next connection. */
static void
refuse(struct toy *t, const char *why)
{
	int ready = t->client.ready;
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: %s", link_name(t->client.link), why);
	link_refused(t->client.link, &err);
	toy_run(t, ready + 1, 3000);
}

TEST(the_same_fault_ends_it)
{
	struct toy t;

	need(toy_open(&t, -1));
	refuse(&t, "no such thing");
	refuse(&t, "no such thing");
	link_progress(t.client.link);		/* all is forgotten */
	refuse(&t, "no such thing");
	refuse(&t, "no such thing");
	check_int(t.client.ready, 5);
	refuse(&t, "no such thing");
	check_int(t.client.lost_for_good, 1);
	check(strncmp(t.client.error.text, "3 times in a row: 127.0.0.1:", 28) == 0);
	check(strstr(t.client.error.text, ": no such thing"));
	toy_close(&t);
}

TEST(another_fault_is_not_the_same)
{
	struct toy t;

	need(toy_open(&t, -1));
	refuse(&t, "no such thing");
	refuse(&t, "no such thing");
	refuse(&t, "another");
	refuse(&t, "no such thing");
	check_int(t.client.ready, 5);
	toy_close(&t);
	need(toy_open(&t, -1));
	refuse(&t, "no such thing");
	refuse(&t, "no such thing");
	server_cut(&t.server);			/* not in a row */
	toy_run(&t, 4, 3000);
	refuse(&t, "no such thing");
	check_int(t.client.ready, 5);
	toy_close(&t);
}

TEST(a_fault_that_is_not_the_servers_is_not_counted)
{
	struct error err;
	struct toy t;

	need(toy_open(&t, -1));
	for (int i = 2; i <= 4; i++) {
		error_set(&err, ERR_CONNECT, "no sign of life");
		link_fail(t.client.link, &err);
		link_refused(t.client.link, &err);	/* too late */
		toy_run(&t, i, 3000);
		check_int(t.client.ready, i);
	}
	check_int(t.client.lost_for_good, 0);
	toy_close(&t);
}

TEST(hung_up_on_what_was_asked)
{
	struct toy t;

	need(toy_open(&t, -1));
	link_trial(t.client.link, true);
	server_cut(&t.server);
	toy_run(&t, 2, 3000);
	link_trial(t.client.link, true);
	link_trial(t.client.link, false);	/* answered */
	server_cut(&t.server);
	toy_run(&t, 3, 3000);
	for (int i = 4; i <= 6; i++) {
		check_int(t.client.ready, i - 1);
		link_trial(t.client.link, true);
		server_cut(&t.server);
		toy_run(&t, i, 3000);
	}
	check_int(t.client.lost_for_good, 1);
	toy_close(&t);
}

TEST(nothing_to_come_back_for)
{
	struct toy t;

	need(toy_open(&t, -1));
	link_comes_back(t.client.link, false);
	link_comes_back(t.client.link, true);
	server_cut(&t.server);
	toy_run(&t, 2, 3000);
	check_int(t.client.ready, 2);
	link_comes_back(t.client.link, false);
	server_cut(&t.server);
	toy_run(&t, 3, 500);
	check_int(t.client.lost_for_good, 1);
	t.client.lost_for_good = 0;
	link_start(t.client.link);		/* a new life */
	toy_run(&t, 3, 3000);
	server_cut(&t.server);
	toy_run(&t, 4, 3000);
	check_int(t.client.ready, 4);
	toy_close(&t);
}

TEST(failed_while_greeting)
{
	struct error err;
	struct toy t;

	toy_init(&t);
	t.broker.reconnect = -1;
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	error_set(&t.client.fail_in_open, ERR_REFUSED, "not me");
	need(toy_start(&t, t.server.address));
	run_for(t.loop, 300);
	check_int(t.client.opened, 1);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.ready, 0);
	check_int(t.client.error.kind, ERR_REFUSED);
	check_str(t.client.error.text, "not me");
	/* There is nothing to fail any more. */
	error_set(&err, ERR_CONNECT, "no");
	link_fail(t.client.link, &err);
	link_ready(t.client.link);
	run_for(t.loop, 20);
	check_int(t.client.lost, 1);
	toy_close(&t);
}

/* ---- redirects ---- */

TEST(redirected)
{
	struct server other = { 0 };
	struct toy t;
	char port[16];

	need(toy_open(&t, 0));
	need(server_open(&other, t.loop, "127.0.0.1:0"));
	snprintf(port, sizeof port, "%s", strrchr(other.address, ':'));
	t.client.redirect = port;	/* the same host */
	say(&t, "x");
	run_for(t.loop, 50);
	check_int(t.client.lost, 1);
	check_int(t.client.lost_for_good, 0);
	check_int(t.client.ready, 2);
	check_int(other.accepted, 1);
	check_str(link_name(t.client.link), other.address);
	/* It is not there any more: the user's list is tried then. */
	t.broker.reconnect = 1;
	server_close(&other);
	toy_run(&t, 3, 1000);
	check_int(t.client.ready, 3);
	check_int(t.server.accepted, 2);
	check_str(link_name(t.client.link), t.server.address);
	toy_close(&t);
}

TEST(redirected_in_a_circle)
{
	struct error err = ERROR_INIT;
	struct toy t;
	int n = 0;

	need(toy_open(&t, 0));
	while (n < 100 && link_redirect(t.client.link, bytes_str(t.server.address), &err) == 0) {
		n++;
		run_for(t.loop, 10);
		toy_run(&t, n + 1, 1000);
	}
	check_int(n, 16);
	check_int(err.kind, ERR_CONNECT);
	check(strstr(err.text, "redirected 16 times in a row"));
	check_int(t.client.ready, 17);
	check_int(link_redirect(t.client.link, BYTES("what is this"), &err), -1);
	toy_close(&t);
}

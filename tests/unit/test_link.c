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

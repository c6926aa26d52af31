/* SPDX-License-Identifier: Apache-2.0 */
/* core/pipeline_fate: what becomes of events whose time is over, or connection gone. */
#include "tests/unit/pipeline_pair.h"

/* Of what a peer that does not read was sent, what may have left is unknown and the
 * rest is refused; and what is refused never arrives, in whole or in part, not even
 * from between the questions. */
TEST(expired)
{
	for (int keeps = 0; keeps <= 1; keeps++) {
		struct buf want = BUF_INIT;
		int unknown = 0, refused = 0;

		need(user_open((struct pipeline_options){ 0 }, &ops, keeps ? -1 : 0, 1500,
			PUBLISH_ACK_BROKER));
		event(0, 1);
		run_for(u->t.loop, 20);
		says("+\n");
		buf_clear(&u->t.server.got);
		need(u->t.server.s);
		stream_pause(u->t.server.s, true);
		for (uint64_t id = 1; id < 400; id++) {
			event(id, 30000);
			if (id % 50 == 0)
				question();
		}
		for (int i = 0; i < 200 && !u->told[399]; i++)
			says("P\n");	/* it lives */
		check_int(u->told[0], 1);
		check_int(u->fate[0], FATE_CONFIRMED);
		event(400, 10);			/* behind them all */
		for (int id = 1; id < 400; id++) {
			need(u->told[id] == 1 && u->fate[id] != FATE_CONFIRMED);
			unknown += u->fate[id] == FATE_UNKNOWN;
			refused += u->fate[id] == FATE_REFUSED;
			check_int(u->fate[id], refused ? FATE_REFUSED : FATE_UNKNOWN);
			if (!refused) {
				buf_addf(&want, "E %d ", id);
				memset(buf_room(&want, 30000), 'x', 30000);
				buf_added(&want, 30000);
				buf_add_ch(&want, '\n');
			}
			if (id % 50 == 0)
				buf_add_str(&want, "Q\n");
		}
		check(unknown > 5 && refused > 100);
		check_str(u->text[1], "no answer within 1.5 s");
		check_str(u->text[399], "not sent within 1.5 s");
		buf_add_str(&want, "E 400 xxxxxxxxxx\n");
		need(u->t.server.s);
		stream_pause(u->t.server.s, false);
		for (int i = 0; i < 400 && buf_len(&u->t.server.got) < buf_len(&want); i++)
			run_for(u->t.loop, 5);
		run_for(u->t.loop, 20);
		check_bytes(buf_bytes(&u->t.server.got), buf_bytes(&want));
		/* They keep their places; those that are gone have none. */
		need(u->t.server.s);
		for (int i = 0; i < unknown + 7; i++)
			buf_add_str(stream_out(u->t.server.s), "+\n");
		says("+\n");
		check_int(u->answered, 7);
		check_int(u->told[400], 1);
		check_int(u->fate[400], FATE_CONFIRMED);
		check_int(flight_count(&u->p.ring), 0);
		check_int(buf_len(&u->p.keep), 0);
		check_int(u->failed, 0);
		buf_release(&want);
		user_close();
	}
}

/* While there is no connection nothing leaves, so what is over then is refused; and it
 * is not sent with the next connection. */
TEST(expired_between_connections)
{
	need(user_open((struct pipeline_options){ 0 }, &ops, -1, 150, PUBLISH_ACK_BROKER));
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	check(!u->p.ready);
	event(0, 1);
	event(1, 1);
	comes_again();
	server_got("E 0 x\nE 1 x\n");
	server_cut(&u->t.server);
	listener_pause(u->t.server.listener, true);
	run_for(u->t.loop, 20);
	event(2, 1);
	run_for(u->t.loop, 200);
	event(3, 1);
	listener_pause(u->t.server.listener, false);
	comes_again();
	server_got("E 3 x\n");
	fates_are("uur-");
	user_close();
}

TEST(lost_for_good)
{
	need(simple(0));
	event(0, 1);
	run_for(u->t.loop, 20);
	server_cut(&u->t.server);
	event(1, 1);			/* into a connection that has gone */
	run_for(u->t.loop, 30);
	check_int(u->fate[0], FATE_UNKNOWN);
	check_int(u->ntold, 2);
	check_int(u->lost, 1);
	check_int(u->failed, 1);
	check_int(u->connected, 1);
	check_int(u->why.kind, ERR_CONNECT);
	check(strncmp(u->why.text, "gone: ", 6) == 0);
	check(strstr(u->text[0], "before an answer came (gone: "));
	user_close();
}

/* What was not sent goes out over the next connection, what was is unknown, and the
 * questions of the old one are forgotten. */
TEST(lost_and_made_again)
{
	need(simple(-1));
	event(0, 1);
	question();
	event(1, 1);
	run_for(u->t.loop, 20);
	says("+\n");
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	fates_are("cu-");
	event(2, 1);
	event(3, 1);
	comes_again();
	server_got("E 2 x\nE 3 x\n");
	check_int(u->answered, 0);
	says("+\n+\n");
	fates_are("cucc");
	check_int(u->connected, 1);
	check_int(u->failed, 0);
	check_int(buf_len(&u->p.keep), 0);
	user_close();
}

/* What may be sent again is, marked as the broker wants it, by the name it had, as far as
 * the server takes it. */
TEST(repeated)
{
	need(user_open((struct pipeline_options){ .names = 100 }, &ops_marked, -1, 0,
		PUBLISH_ACK_BROKER));
	u->repeat = true;
	for (uint64_t id = 0; id < 4; id++)
		event(id, 1);
	server_got("E 0 x\nE 1 x\nE 2 x\nE 3 x\n");
	says("+2\n");
	u->quota_gone = true;
	event(4, 1);
	server_got("");
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	comes_again();
	server_got("");
	u->quota_gone = false;
	pipeline_send(&u->p);
	server_got("*E 0 x\n*E 2 x\n*E 3 x\nE 4 x\n");
	fates_are("-c---");
	says("+5\n+1\n+3\n+4\n");
	fates_are("ccccc");
	check_int(buf_len(&u->p.keep), 0);
	check_int(flight_count(&u->p.ring), 0);
	user_close();
}

/* Only what the kernel took is confirmed; an answer is not waited for, but its place is
 * kept. */
TEST(ack_none)
{
	int confirmed = 0;

	need(user_open((struct pipeline_options){ 0 }, &ops, 0, 0, PUBLISH_ACK_NONE));
	log_level = LOG_QUIET;
	event(0, 1);
	run_for(u->t.loop, 20);
	fates_are("c");
	check_int(flight_count(&u->p.ring), 1);
	says("-late\n");
	check(u->p.late);
	fates_are("c");
	check_int(flight_count(&u->p.ring), 0);
	need(u->t.server.s);
	stream_pause(u->t.server.s, true);
	for (uint64_t id = 1; id < 400; id++)
		event(id, 30000);
	run_for(u->t.loop, 50);
	for (int id = 1; id < 400; id++)
		confirmed += u->told[id];
	check(confirmed > 5 && confirmed < 390);
	check_int(u->told[399], 0);
	check((uint64_t)confirmed * 30000 <= link_written(u->p.link));
	u->silent = true;
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	check_int(u->fate[399], FATE_REFUSED);
	user_close();
}

TEST(ack_none_of_what_nobody_answers)
{
	need(user_open((struct pipeline_options){ 0 }, &ops, 0, 0, PUBLISH_ACK_NONE));
	u->silent = true;
	event(0, 1);
	event(1, 1);
	run_for(u->t.loop, 20);
	fates_are("cc");
	check_int(flight_count(&u->p.ring), 0);
	user_close();
}

/* No answer to anything for the whole time of an event: where the publisher waits for
 * room, or bytes for the peer, that is the end; where it does not, it is not. */
TEST(no_answer_at_all)
{
	for (int full = 0; full <= 1; full++) {
		need(user_open((struct pipeline_options){ 0 }, &ops, 0, 150, PUBLISH_ACK_BROKER));
		event(0, 1);
		u->b.was_full = full;
		run_for(u->t.loop, 250);
		fates_are("u");
		check_int(u->failed, full);
		if (full)
			check(strstr(u->why.text, "no answer to anything within 0.15 s"));
		user_close();
	}
	need(user_open((struct pipeline_options){ 0 }, &ops, 0, 150, PUBLISH_ACK_BROKER));
	need(u->t.server.s);
	stream_pause(u->t.server.s, true);
	for (uint64_t id = 0; id < 400; id++)
		event(id, 30000);
	run_for(u->t.loop, 250);
	check_int(u->failed, 1);
	check_int(u->ntold, 400);
	user_close();
}

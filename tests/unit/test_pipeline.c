/* SPDX-License-Identifier: Apache-2.0 */
/* core/pipeline: order, answers, keep-alive; for fates see test_pipeline_fate.c. */
#include <time.h>

#include "tests/unit/pipeline_pair.h"

static void
passed(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	(void)answer;
	pipeline_confirm(p, e->id, false);
}

static void
was_drained(struct broker *b, void *arg)
{
	(void)b, (void)arg;
	u->drained++;
}

TEST(answers_by_place)
{
	need(simple(0));
	event(0, 1);
	question();
	event(1, 1);
	event(2, 1);
	server_got("E 0 x\nQ\nE 1 x\nE 2 x\n");
	fates_are("---");
	says("+\n+\n-no\n");
	fates_are("cr-");
	check_str(u->text[1], "no");
	check_int(u->answered, 1);
	check_int(u->answers_id, 7008);
	says("+\n");
	fates_are("crc");
	check_int(u->b.flying_events, 0);
	check_int(u->b.flying_bytes, 0);
	check(!pipeline_front(&u->p));
	check_int(flight_count(&u->p.ring), 0);
	user_close();
}

TEST(cancelled)
{
	for (int keeps = 0; keeps <= 1; keeps++) {
		need(simple(keeps ? -1 : 0));
		event(0, 1);
		buf_add_str(pipeline_begin(&u->p), "half an ev");
		pipeline_cancel(&u->p);
		event(1, 1);
		server_got("E 0 x\nE 1 x\n");
		user_close();
	}
}

/* Names go around, answers come in any order, and what is answered twice, or was never
 * asked, is nobody's. */
TEST(answers_by_name)
{
	need(user_open((struct pipeline_options){ .names = 5 }, &ops, 0, 0, PUBLISH_ACK_BROKER));
	for (uint64_t id = 0; id < 12; id += 4) {
		for (uint64_t i = id; i < id + 4; i++) {
			check_int(pipeline_next_name(&u->p), 1 + i % 5);
			event(i, 1);
		}
		check_int(pipeline_find(&u->p, 1 + (uint32_t)(id + 4) % 5), PIPE_NONE);
		check_int(pipeline_find(&u->p, 0), PIPE_NONE);
		check_int(pipeline_find(&u->p, 6), PIPE_NONE);
		for (uint64_t i = id + 4; i-- > id;) {
			char text[20];

			snprintf(text, sizeof text, "+%u\n+%u\n+9\n", 1 + (unsigned)i % 5,
				1 + (unsigned)i % 5);
			says(text);
			check_int(u->ntold, 2 * id + 4 - i);
		}
		check_int(flight_count(&u->p.ring), 0);
	}
	fates_are("cccccccccccc");
	user_close();
}

/* What nobody answers is confirmed by the answer to what was asked behind it. */
TEST(barriers)
{
	need(simple(0));
	u->silent = true;
	event(0, 1);
	event(1, 1);
	buf_add_str(pipeline_ask(&u->p, passed, NULL, u->p.ring.next, 0), "Q\n");
	event(2, 1);
	server_got("E 0 x\nE 1 x\nQ\nE 2 x\n");
	says(".\n");
	fates_are("cc-");
	check(!pipeline_front(&u->p));
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	fates_are("ccu");
	user_close();
}

TEST(drained_when_all_is_answered)
{
	need(simple(0));
	u->b.draining = true;
	u->b.drained = was_drained;
	event(0, 1);
	pipeline_drain(&u->p);
	server_got("E 0 x\nD\n");
	says("+\n");
	check_int(u->drained, 0);
	says("+\n");
	check_int(u->drained, 1);
	u->b.draining = true;
	server_cut(&u->t.server);
	run_for(u->t.loop, 20);
	pipeline_drain(&u->p);
	check_int(u->drained, 2);
	user_close();
}

/* A server that is the wrong one for now: all that it refuses goes to the next, in its
 * order, when it has answered all. */
TEST(refused_for_now)
{
	struct server other = { 0 };
	char both[300];

	need(simple(-1));
	need(server_open(&other, u->t.loop, "127.0.0.1:0"));
	snprintf(both, sizeof both, "%s,%s", u->t.server.address, other.address);
	u->t.broker.address = both;
	pipeline_close(&u->p);
	need(pipeline_relink(&u->p, &u->t.opts, &u->why) == 0);
	other.no_echo = true;
	pipeline_start(&u->p);
	for (int i = 0; i < 200 && !u->p.ready; i++)
		run_for(u->t.loop, 5);
	buf_clear(&u->t.server.got);
	for (uint64_t id = 0; id < 4; id++)
		event(id, 1);
	server_got("E 0 x\nE 1 x\nE 2 x\nE 3 x\n");
	says("+\n~wait\n");
	check(u->p.ready && u->p.held);
	event(4, 1);
	server_got("");
	says("-never\n~wait\n");
	for (int i = 0; i < 200 && !(u->p.ready && other.accepted); i++)
		run_for(u->t.loop, 5);
	run_for(u->t.loop, 20);
	check_bytes(buf_bytes(&other.got), BYTES("helloE 1 x\nE 3 x\nE 4 x\n"));
	fates_are("c-r--");
	server_close(&other);
	user_close();
	/* Where there will be no other connection it is refused. */
	need(simple(0));
	event(0, 1);
	run_for(u->t.loop, 20);
	says("~wait\n");
	fates_are("r");
	user_close();
}

TEST(moved_to_another)
{
	struct pipeline second;
	struct user *mine;
	struct error err;

	need(simple(-1));
	mine = u;
	need(pipeline_open(&second, &mine->p.opts, &ops, mine, &err) == 0);
	second.opts.main = false;
	event(0, 3);
	event(1, 5);
	event(2, 7);
	need(pipeline_front(&u->p));
	pipeline_settle(&u->p, FATE_CONFIRMED, NULL);
	need(pipeline_front(&u->p));
	pipeline_move(&u->p, &second);		/* not connected yet */
	check_bytes(buf_bytes(&second.keep), BYTES("E 1 xxxxx\n"));
	need(pipeline_front(&u->p));
	pipeline_move(&u->p, &u->p);		/* once more */
	run_for(u->t.loop, 20);
	check_bytes(buf_bytes(&u->t.server.got),
		BYTES("E 0 xxx\nE 1 xxxxx\nE 2 xxxxxxx\nE 2 xxxxxxx\n"));
	fates_are("c--");
	pipeline_forget(&second, &u->why, false);
	fates_are("cr-");
	check_int(u->connected, 1);
	check_int(u->failed, 0);
	pipeline_release(&second);
	user_close();
}

/* A server that hangs up at a question: at once the end, if nothing was live; else at the
 * third time. */
TEST(hung_up_at_a_question)
{
	for (int fresh = 1; fresh >= 0; fresh--) {
		int n = 0;

		need(simple(-1));
		while (n < 6 && !u->failed) {
			for (int k = 0; k < 400 && !u->p.ready; k++)
				run_for(u->t.loop, 5);
			need(u->p.ready);
			buf_add_str(pipeline_trial(&u->p, answered, &u->t, 0, 0, fresh), "Q\n");
			run_for(u->t.loop, 20);
			server_cut(&u->t.server);
			run_for(u->t.loop, 50);
			n++;
		}
		check_int(n, fresh ? 1 : 3);
		user_close();
	}
	/* Answered, it is an ordinary loss. */
	need(simple(-1));
	buf_add_str(pipeline_trial(&u->p, answered, &u->t, 7, 8, true), "Q\n");
	run_for(u->t.loop, 20);
	says("+\n");
	check_int(u->answered, 1);
	server_cut(&u->t.server);
	comes_again();
	check_int(u->failed, 0);
	user_close();
}

/* A server that says nothing for the whole time is gone, whatever is under way, unless
 * we do not listen. */
TEST(kept_alive)
{
	need(user_open((struct pipeline_options){ .keepalive_ms = 1000 }, &ops, 0, 0,
		PUBLISH_ACK_BROKER));
	event(0, 1);
	for (int i = 0; i < 3; i++) {
		run_for(u->t.loop, 600);
		says("P\n");
	}
	check(u->pings >= 1);
	check_int(u->lost, 0);
	pipeline_pause(&u->p, true);
	run_for(u->t.loop, 1300);
	check_int(u->lost, 0);
	pipeline_pause(&u->p, false);
	run_for(u->t.loop, 100);
	check_int(u->lost, 0);
	event(1, 1);
	for (int i = 0; i < 1000 && !u->lost; i++)
		run_for(u->t.loop, 10);
	check_int(u->lost, 1);
	check_int(u->failed, 1);
	check(strstr(u->why.text, "nothing heard for "));
	fates_are("uu");
	user_close();
}

/* Who stood still himself, a process that was stopped, has not listened: the server is asked
 * again before it counts as gone. */
TEST(stood_still)
{
	struct timespec still = { .tv_sec = 1, .tv_nsec = 200000000 };

	need(user_open((struct pipeline_options){ .keepalive_ms = 1000 }, &ops, 0, 0,
		PUBLISH_ACK_BROKER));
	run_for(u->t.loop, 100);
	nanosleep(&still, NULL);
	run_for(u->t.loop, 20);
	check_int(u->lost, 0);
	check(u->pings >= 1);
	says("P\n");
	run_for(u->t.loop, 300);
	check_int(u->lost, 0);
	user_close();
}

/* A server that wants to hear from us is asked though it speaks, and while we do not
 * listen; not twice without an answer. */
TEST(beats)
{
	uint64_t begin;

	need(user_open((struct pipeline_options){ .keepalive_ms = 1000, .beat = true }, &ops, 0, 0,
		PUBLISH_ACK_BROKER));
	for (int i = 0; i < 200 && u->pings < 3; i++) {
		run_for(u->t.loop, 80);
		says("P\n");
	}
	check_int(u->pings, 3);
	pipeline_pause(&u->p, true);
	u->pings = 0;
	begin = loop_clock_ns();
	for (int i = 0; i < 400 && u->pings < 4; i++)
		run_for(u->t.loop, 50);
	check_int(u->pings, 4);
	check(loop_clock_ns() - begin > 1500000000);	/* one in each half */
	check_int(u->lost, 0);
	pipeline_pause(&u->p, false);
	u->pings = 0;
	for (int i = 0; i < 1000 && !u->lost; i++)
		run_for(u->t.loop, 10);
	check_int(u->pings, 0);
	check_int(u->lost, 1);
	user_close();
}

TEST(refused_three_times)
{
	struct error err;

	need(user_open((struct pipeline_options){ 0 }, &ops, -1, 0, PUBLISH_ACK_BROKER));
	error_set(&err, ERR_CONNECT, "no");
	for (int i = 1; i <= 3; i++) {
		check_int(u->failed, 0);
		for (int k = 0; k < 200 && !u->p.ready; k++)
			run_for(u->t.loop, 5);
		pipeline_refused(&u->p, &err);
		run_for(u->t.loop, 20);
		check_int(u->lost, i);
	}
	check_int(u->failed, 1);
	user_close();
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends/memory, below the broker: filters, records, rings; and a process that is
 * killed at every single step that it can be killed at.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/unit/memory_bus.h"

/* ---- filters ---- */

TEST(filters)
{
	static const struct {
		const char *filter, *topic;
		bool matches;
	} rows[] = {
		{ "a", "a", true }, { "a", "b", false }, { "*", "a", true }, { "*", "a.b", false },
		{ ">", "a", true }, { ">", "a.b.c", true }, { "a.>", "a", false },
		{ "a.>", "a.b", true }, { "a.>", "a.b.c", true }, { "*.b", "a.b", true },
		{ "*.b", "a.b.c", false }, { "a.*.c", "a.b.c", true }, { "a.*.c", "a..c", true },
		{ "a*", "a*", true }, { "a*", "ab", false }, { "a.b", "a", false },
		{ "a", "a.b", false }, { "*.*", "a.b", true }, { "*.>", "a.b.c", true },
		{ "*.>", "a", false }, { "", "a", false }, { "a.", "a.", true },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (memory_matches(bytes_str(rows[i].filter), bytes_str(rows[i].topic)) !=
		    rows[i].matches)
			test_failed(__FILE__, __LINE__, "%s %s", rows[i].filter, rows[i].topic);
	check(memory_is_pattern(BYTES("a.*")));
	check(memory_is_pattern(BYTES("a.>")));
	check(!memory_is_pattern(BYTES("a*.b>")));
	check(memory_bad_filter(BYTES("a.>.b")) != NULL);
	check(memory_bad_filter(BYTES("")) != NULL);
	check(memory_bad_filter(BYTES("a.>")) == NULL);
	check(memory_bad_topic(BYTES("a.*")) != NULL);
	check(memory_bad_topic(BYTES("with blanks")) == NULL);
}

/* ---- records ---- */

TEST(records)
{
	struct header headers[] = {
		{ BYTES("a"), BYTES("1") }, { BYTES("a"), { NULL, 0 } }, { BYTES("\0\xff"), BYTES("") },
	};
	struct message m = { headers, 3, BYTES("key"), BYTES("bo\0dy") };
	struct properties props = { BYTES("text/plain"), BYTES("r"), BYTES("\0"), 5000 };
	struct memory_headers got = { 0 };
	struct buf b = BUF_INIT;
	struct error err;
	struct event ev;

	check_int(memory_encode(&b, BYTES("t.u"), &m, &props, 77, &err), 0);
	check_int(buf_len(&b) % 8, 0);
	need(memory_decode(buf_bytes(&b), &ev, &got));
	check_bytes(ev.topic, BYTES("t.u"));
	check_bytes(ev.msg.key, BYTES("key"));
	check_bytes(ev.msg.body, BYTES("bo\0dy"));
	check_int(ev.msg.nheaders, 3);
	check_bytes(ev.msg.headers[0].value, BYTES("1"));
	check(ev.msg.headers[1].value.p == NULL);
	check(ev.msg.headers[2].value.p != NULL);
	check_bytes(ev.msg.headers[2].name, BYTES("\0\xff"));
	check_bytes(ev.props.content_type, BYTES("text/plain"));
	check_bytes(ev.props.reply_to, BYTES("r"));
	check_bytes(ev.props.correlation, BYTES("\0"));
	check_int(ev.props.ttl_ms, 5000);
	check_int(ev.time_us, 77);

	/* Cut anywhere, it is refused. */
	for (size_t n = 0; n < buf_len(&b); n++)
		check(!memory_decode(bytes_of(buf_data(&b), n), &ev, &got));
	buf_clear(&b);
	m = (struct message){ 0 };
	check_int(memory_encode(&b, BYTES("t"), &m, NULL, 0, &err), 0);
	need(memory_decode(buf_bytes(&b), &ev, &got));
	check(ev.msg.body.p == NULL && ev.msg.key.p == NULL && ev.msg.nheaders == 0);
	check_int(ev.props.ttl_ms, -1);
	buf_release(&b);
	free(got.v);
}

/* ---- a ring ---- */

/* Publishes n bodies of growing size one by one and reads them back. */
TEST(round_and_round)
{
	struct memory_place place = test_place("ring");
	struct memory_router router = { 0 };
	struct memory_headers headers = { 0 };
	struct memory_chunk chunk = { 0 };
	struct memory_cursor c;
	struct test_batch b = { 0 };
	struct memory_bus *m;
	struct error err;
	uint32_t sub, slowest;
	size_t done, unheard;
	char body[3000];

	need(memory_open(&m, &place, true, &err) == 0);
	need(subscribe_to(m, "t", NULL, DROP_NOT, &sub, &c));
	for (size_t i = 0; i < 3000; i++) {
		struct bytes record;
		struct event ev;

		memset(body, (int)i, i);
		batch_clear(&b);
		batch_add(&b, "t", bytes_of(body, i));
		check_int(memory_write(m, &router, buf_data(&b.bytes), b.items, 1, &done, &unheard,
			&slowest), WROTE_ALL);
		/* What is at the ring's end may be nothing but padding. */
		for (int got = 0, tries = 0; !got && tries < 2; tries++) {
			need(memory_fill(m, &c, &chunk, &err) == 1);
			got = memory_next(m, &chunk, &record, &err);
			c.position = chunk.position;
			need(got == 1 || tries == 0);
		}
		need(memory_decode(record, &ev, &headers));
		check_bytes(ev.msg.body, bytes_of(body, i));
		check_int(memory_next(m, &chunk, &record, &err), 0);
		c.position = chunk.position;
		done_to(m, sub, c.position, 1);
	}
	/* Nobody reads: it is full, and says who is the slowest. */
	do {
		batch_clear(&b);
		batch_add(&b, "t", bytes_of(body, 1000));
	} while (memory_write(m, &router, buf_data(&b.bytes), b.items, 1, &done, &unheard,
		&slowest) == WROTE_ALL);
	check_int(slowest, sub);
	batch_clear(&b);
	batch_add(&b, "other", BYTES(""));
	check_int(memory_write(m, &router, buf_data(&b.bytes), b.items, 1, &done, &unheard,
		&slowest), WROTE_ALL);
	check_int(unheard, 1);
	need(lock_surely(m));
	memory_unsubscribe(m, sub);
	memory_unlock(m);
	memory_close(m);
	check(!memory_exists(&place));
	memory_router_release(&router);
	buf_release(&b.bytes);
	free(chunk.p);
	free(headers.v);
}

/* ---- killed at each step ---- */

static long steps_left;

static void
die_at_step(const char *step)
{
	(void)step;
	if (steps_left-- == 0)
		raise(SIGKILL);
}

/* All that a process can do to a bus. It tells by a byte what it has confirmed. */
static void
live(struct memory_bus *m, int tell)
{
	struct memory_router router = { 0 };
	struct test_batch b = { 0 };
	struct memory_cursor c, g;
	uint32_t sub, member, lossy, slowest, claim;
	uint64_t from, to;
	size_t done, unheard;
	char large[20000];
	struct error err;

	memset(large, 'L', sizeof large);
	if (memory_bell_open(m, &err) < 0 ||
	    !subscribe_to(m, "t", NULL, DROP_NOT, &sub, &c) ||
	    !subscribe_to(m, "t", "g", DROP_NOT, &member, &g) ||
	    !subscribe_to(m, "t", NULL, DROP_NEW, &lossy, &c))
		_exit(3);
	for (int i = 0; i < 3; i++) {
		batch_clear(&b);
		batch_add(&b, "t", i == 1 ? bytes_of(large, sizeof large) : BYTES("small"));
		if (i == 1 && !batch_stub(m, &b))
			_exit(4);
		if (memory_write(m, &router, buf_data(&b.bytes), b.items, 1, &done, &unheard,
		    &slowest) != WROTE_ALL || write(tell, "", 1) != 1)
			_exit(5);
	}
	for (int i = 0; i < 2; i++) {
		if (!lock_surely(m))
			_exit(6);
		if (memory_claim(m, member, 1, 0, &claim, &from, &to)) {
			if (i)
				memory_claim_back(m, member, claim, to, to);
			else
				memory_claim_ack(m, member, claim, to, to, 1);
		}
		memory_unlock(m);
	}
	done_to(m, sub, c.position, 0);
	if (!lock_surely(m))
		_exit(7);
	memory_unsubscribe(m, sub);
	memory_unsubscribe(m, member);
	memory_unsubscribe(m, lossy);
	memory_unlock(m);
	memory_close(m);
	_exit(0);
}

/* What has arrived at a reader: whole, in order, n in all. */
static int
count_arrived(struct memory_bus *m, struct memory_cursor *c, uint32_t sub)
{
	struct memory_headers headers = { 0 };
	struct memory_chunk chunk = { 0 };
	struct error err;
	int n = 0, r;

	while ((r = memory_fill(m, c, &chunk, &err)) > 0) {
		struct bytes record;

		while ((r = memory_next(m, &chunk, &record, &err)) > 0) {
			struct memory_mapping map = { 0 };
			struct memory_record h;
			struct event ev;
			bool stub;

			memcpy(&h, record.p, sizeof h);
			stub = h.flags & RECORD_BODY;
			if (stub && memory_body_map(m, record, &map, &record, &err) < 0) {
				test_failed(__FILE__, __LINE__, "%s", err.text);
				break;
			}
			check(memory_decode(record, &ev, &headers));
			check_int(stub, n % 3 == 1);
			check_int(ev.msg.body.n, stub ? 20000 : 5);
			check(ev.msg.body.p[ev.msg.body.n - 1] == (stub ? 'L' : 'l'));
			memory_body_unmap(&map);
			n++;
		}
		c->position = chunk.position;
		done_to(m, sub, c->position, 0);
	}
	check(r == 0);
	free(chunk.p);
	free(headers.v);
	return n;
}

/* What the group has not acknowledged can be claimed: returns how many bytes' worth of
 * claims there were, all now acknowledged. */
static int
count_claims(struct memory_bus *m, uint32_t member)
{
	uint32_t claim;
	uint64_t from, to, last = 0;
	int n = 0;

	while (n < 100) {
		bool got;

		if (!lock_surely(m))
			return -1;
		got = memory_claim(m, member, 1, 0, &claim, &from, &to);
		if (got)
			memory_claim_ack(m, member, claim, to, to, 1);
		memory_unlock(m);
		if (!got)
			break;
		if (from < last)
			return -1;	/* twice, or not the oldest first */
		last = to;
		n++;
	}
	return n;
}

/* One life that ends at step k. false: it was not that long. */
static bool
one_life(const struct memory_place *place, long k, bool first)
{
	struct memory_bus *m = NULL;
	struct memory_cursor c = { 0 }, g;
	struct memory_router router = { 0 };
	struct test_batch b = { 0 };
	uint32_t sub = 0, member = 0, slowest;
	size_t done, unheard;
	int tell[2], status = 0, confirmed = 0, arrived, claims;
	char byte;
	struct error err;
	pid_t pid;

	/* With others there, or alone: then it makes the bus and removes it. */
	if (!first && (memory_open(&m, place, true, &err) < 0 ||
	    !subscribe_to(m, "t", NULL, DROP_NOT, &sub, &c) ||
	    !subscribe_to(m, "t", "g", DROP_NOT, &member, &g)))
		return test_failed(__FILE__, __LINE__, "%s", err.text), false;
	if (pipe2(tell, O_CLOEXEC) < 0)
		return false;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct memory_bus *mine;

		steps_left = k;
		memory_step_hook = die_at_step;
		if (memory_open(&mine, place, true, &err) < 0)
			_exit(2);
		live(mine, tell[1]);
	}
	close(tell[1]);
	waitpid(pid, &status, 0);
	while (read(tell[0], &byte, 1) == 1)
		confirmed++;
	close(tell[0]);
	check(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		test_failed(__FILE__, __LINE__, "step %ld: exit %d", k, WEXITSTATUS(status));
	if (first) {
		/* Whoever comes next finds a bus that works. */
		if (memory_open(&m, place, true, &err) < 0 ||
		    !subscribe_to(m, "t", NULL, DROP_NOT, &sub, &c))
			return test_failed(__FILE__, __LINE__, "step %ld: %s", k, err.text), false;
	} else {
		arrived = count_arrived(m, &c, sub);
		if (arrived < confirmed || arrived > confirmed + 1)
			test_failed(__FILE__, __LINE__, "step %ld: %d confirmed, %d arrived", k,
				confirmed, arrived);
		if (!lock_surely(m))
			return test_failed(__FILE__, __LINE__, "step %ld: locked", k), false;
		memory_reap(m);
		memory_unlock(m);
		claims = count_claims(m, member);
		/* All but the one that it may have acknowledged. */
		if (claims < arrived - 1 || claims > arrived)
			test_failed(__FILE__, __LINE__, "step %ld: %d arrived, %d claimed", k, arrived,
				claims);
	}
	/* It can be written to, and everything of the dead is gone. */
	batch_add(&b, "t", BYTES("small"));
	check_int(memory_write(m, &router, buf_data(&b.bytes), b.items, 1, &done, &unheard,
		&slowest), WROTE_ALL);
	check_int(unheard, 0);
	if (!lock_surely(m))
		return test_failed(__FILE__, __LINE__, "step %ld: locked", k), false;
	memory_reap(m);
	memory_unsubscribe(m, sub);
	if (!first)
		memory_unsubscribe(m, member);
	memory_reclaim(m, c.ring);
	for (uint32_t i = 0; memory_sub_at(m, i); i++)
		check_int(memory_sub_at(m, i)->state, STATE_FREE);
	for (uint32_t i = 0; memory_ring_at(m, i); i++)
		check_int(memory_ring_at(m, i)->state, STATE_FREE);
	memory_unlock(m);
	memory_close(m);
	if (memory_exists(place))
		test_failed(__FILE__, __LINE__, "step %ld: the bus is left", k);
	memory_router_release(&router);
	buf_release(&b.bytes);
	return WIFSIGNALED(status);
}

static void
all_lives(bool first)
{
	struct memory_place place = test_place(first ? "alone" : "steps");
	long k = 0;

	while (k < 2000 && one_life(&place, k, first))
		k++;
	printf("# killed at %ld steps\n", k);
	check(k >= 60 && k < 2000);
}

TEST(killed_at_each_step_beside_others) { all_lives(false); }
TEST(killed_at_each_step_alone) { all_lives(true); }

/* ---- what is not ours ---- */

TEST(of_another_layout)
{
	struct memory_place place = test_place("layout");
	struct memory_bus *m, *other;
	struct error err;

	need(memory_open(&m, &place, true, &err) == 0);
	m->head->layout = MEMORY_LAYOUT + 1;
	check_int(memory_open(&other, &place, false, &err), -1);
	check(strstr(err.text, "layout 2") && strstr(err.text, "layout 1"));
	check_int(err.kind, ERR_CONNECT);
	m->head->layout = MEMORY_LAYOUT;
	memory_close(m);
}

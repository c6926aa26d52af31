/* SPDX-License-Identifier: Apache-2.0 */
/* core/stream and core/listener over real sockets: loopback TCP and Unix sockets. The
 * other side is a plain socket of the test, or a second stream. */
#include "tests/unit/stream_pair.h"

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
	static const char *const spelt[] = { "unix:", "unix://", "" };
	char path[64], address[80];
	struct pair p;

	snprintf(path, sizeof path, "/tmp/mbus-test-%d.sock", (int)getpid());
	for (size_t i = 0; i < sizeof spelt / sizeof *spelt; i++) {
		snprintf(address, sizeof address, "%s%s", spelt[i], path);
		echo_over(address);
		check(access(path, F_OK) < 0);	/* unlinked */
		need(pair_open(&p, address, true, NULL));
		check_str(stream_peer(p.server.s), "unix");
		check_str(stream_peer(p.client.s), address);
		check_str(listener_address(p.listener), address);
		/* Each spelling is the same socket. */
		check(access(path, F_OK) == 0);
		pair_close(&p);
	}
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

/* What is there as soon as the last was read is left to grow; what was waited for is
 * not, neither at first nor after that. */
TEST(naps_under_load)
{
	enum { NAP_MS = 300, FEEDS = 3 };
	struct pair p;
	uint64_t begin;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	stream_lazy(p.server.s, NAP_MS * 1000);
	p.server.feed = p.fd;
	p.server.feeds = FEEDS;
	p.server.stop_at = 1 + FEEDS;
	begin = loop_clock_ns();
	check_int(write(p.fd, "a", 1), 1);
	run_for(p.loop, 5000);
	check_bytes(buf_bytes(&p.server.got), BYTES("a+++"));
	check((loop_clock_ns() - begin) / 1000000 >= FEEDS * NAP_MS);
	p.server.stop_at = 0;
	run_for(p.loop, 2 * NAP_MS);
	p.server.stop_at = 2 + FEEDS;
	begin = loop_clock_ns();
	check_int(write(p.fd, "b", 1), 1);
	run_for(p.loop, 5000);
	check((loop_clock_ns() - begin) / 1000000 < NAP_MS);
	check_bytes(buf_bytes(&p.server.got), BYTES("a+++b"));
	pair_close(&p);
}

/* Paused while it naps, and the end of input while it naps. */
TEST(naps_are_interrupted)
{
	struct pair p;

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	stream_lazy(p.server.s, 300 * 1000);
	p.server.feed = p.fd;
	p.server.feeds = 1;
	check_int(write(p.fd, "a", 1), 1);
	run_for(p.loop, 50);
	stream_pause(p.server.s, true);
	run_for(p.loop, 400);
	check_bytes(buf_bytes(&p.server.got), BYTES("a"));
	stream_pause(p.server.s, false);
	p.server.stop_at = 2;
	run_for(p.loop, 5000);
	check_bytes(buf_bytes(&p.server.got), BYTES("a+"));
	p.server.feeds = 1;
	p.server.stop_at = 0;
	check_int(write(p.fd, "b", 1), 1);
	run_for(p.loop, 50);
	p.server.stop_when_closed = p.server.close_in_closed = true;
	close(p.fd);
	p.fd = -1;
	run_for(p.loop, 5000);
	check_int(p.server.closed, 1);
	check_bytes(buf_bytes(&p.server.got), BYTES("a+b+"));
	pair_close(&p);
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

/* All streams of a thread read into one place. */
TEST(left_overs_are_kept_apart)
{
	static const size_t sizes[] = { 1, 70000, 3, 4096, 65536, 65535, 100, 250000, 65537, 9 };
	struct buf sent[2] = { BUF_INIT, BUF_INIT };
	struct pair p[2];
	unsigned seed = 7;

	for (int i = 0; i < 2; i++) {
		need(pair_open(&p[i], "127.0.0.1:0", false, NULL));
		p[i].server.take = i ? 50001 : 977;
		p[i].server.whole = i ? 66000 : 978;
	}
	for (size_t k = 0; k < 40; k++) {
		int i = k % 3 == 0;
		size_t n = sizes[k % (sizeof sizes / sizeof *sizes)];
		char *at = buf_room(&sent[i], n);

		for (size_t b = 0; b < n; b++)
			at[b] = (char)((seed = seed * 1103515245 + 12345) >> 16);
		buf_added(&sent[i], n);
		for (size_t done = 0; done < n;) {
			ssize_t w = send(p[i].fd, at + done, n - done, MSG_DONTWAIT);

			done += w > 0 ? (size_t)w : 0;
			run_for(p[i].loop, 1);
		}
	}
	for (int i = 0; i < 2; i++) {
		size_t left;

		run_for(p[i].loop, 20);
		need(p[i].server.s);
		left = buf_len(&sent[i]) - buf_len(&p[i].server.got);
		check(left < p[i].server.whole);
		/* No more is kept than a few times what is left. */
		check(stream_memory(p[i].server.s) <= left + 4096);
		p[i].server.whole = 0;
		check_int(write(p[i].fd, "end", 3), 3);
		buf_add(&sent[i], "end", 3);
		run_for(p[i].loop, 20);
		check_int(stream_memory(p[i].server.s), 0);
		check_bytes(buf_bytes(&p[i].server.got), buf_bytes(&sent[i]));
		pair_close(&p[i]);
		buf_release(&sent[i]);
	}
}

TEST(written_and_trimmed)
{
	struct pair p;
	char got[64];

	need(pair_open(&p, "127.0.0.1:0", false, NULL));
	p.server.echo = true;
	check_int(stream_memory(p.server.s), 0);
	check_int(write(p.fd, "hello", 5), 5);
	run_for(p.loop, 10);
	check_int(read(p.fd, got, sizeof got), 5);
	check_int(stream_written(p.server.s), 5);
	check(stream_memory(p.server.s) > 0);
	stream_trim(p.server.s);
	check_int(stream_memory(p.server.s), 0);
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
	check_int(p.server.closed, 1);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Input for publishing, and output that does not wait: cli/input.c, output.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/input.h"
#include "cli/output.h"
#include "tests/unit/test.h"

static struct error err;
static char dir[200];

static const char *
path_of(const char *name)
{
	static char path[sizeof dir + 40];
	const char *tmp = getenv("TMPDIR");

	if (!*dir) {
		snprintf(dir, sizeof dir, "%s/mbus-test.XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(dir))
			abort();
	}
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* ---- input ---- */

/* Takes all there is, into one buffer: "LEN:item," each. */
struct reader {
	struct input in;
	struct loop *loop;
	struct buf got;
	size_t items, want;		/* stops the loop at so many */
	bool ended, held;
};

static void
take(struct input *in)
{
	struct reader *r = in->arg;
	enum input_got g;
	size_t n;
	char *p;

	if (r->held)
		return;
	while ((g = input_next(in, &p, &n, &err)) == INPUT_ITEM) {
		buf_addf(&r->got, "%zu:", n);
		buf_add(&r->got, p, n);
		buf_add_ch(&r->got, ',');
		memset(p, '#', n);		/* it is ours */
		if (++r->items == r->want) {
			loop_stop(r->loop);
			return;
		}
	}
	if (g == INPUT_LATER)
		return;
	r->ended = g == INPUT_END;
	loop_stop(r->loop);
}

static struct bytes delim;		/* p NULL: a newline */

static void
reader_open(struct reader *r, const char *path, enum input_mode mode)
{
	memset(r, 0, sizeof *r);
	r->loop = loop_new(&err);
	r->in.ready = take;
	r->in.arg = r;
	r->in.delim = delim;
	check_int(input_open(&r->in, r->loop, path, mode, &err), 0);
}

static void
reader_close(struct reader *r)
{
	input_close(&r->in);
	input_release(&r->in);
	buf_release(&r->got);
	loop_free(r->loop);
}

static void
put_file(const char *path, struct bytes content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	check_int(write(fd, content.p, content.n), content.n);
	close(fd);
}

/* The same bytes from a file and, in pieces, from a FIFO. */
static void
check_input(struct bytes content, enum input_mode mode, struct bytes want, size_t piece)
{
	struct reader r;
	const char *path;
	int fd;

	path = path_of("file");
	put_file(path, content);
	reader_open(&r, path, mode);
	take(&r.in);
	if (!r.ended)
		loop_run(r.loop);
	check(r.ended);
	check_bytes(buf_bytes(&r.got), want);
	check_int(r.in.line, r.items);
	reader_close(&r);

	path = path_of("fifo");
	mkfifo(path, 0600);
	reader_open(&r, path, mode);		/* no writer yet: does not wait, does not end */
	take(&r.in);
	check(!r.ended);
	fd = open(path, O_WRONLY | O_NONBLOCK);
	for (size_t i = 0; i < content.n; i += piece) {
		size_t n = content.n - i < piece ? content.n - i : piece;

		check_int(write(fd, content.p + i, n), n);
		r.in.readable = true;
		take(&r.in);
	}
	close(fd);
	loop_run(r.loop);
	check(r.ended);
	check_bytes(buf_bytes(&r.got), want);
	reader_close(&r);
}

TEST(lines)
{
	check_input(BYTES("a\n\nb\r\nlast"), INPUT_LINES, BYTES("1:a,0:,2:b\r,4:last,"), 1);
	check_input(BYTES("a\n\nb\r\nlast\n"), INPUT_LINES, BYTES("1:a,0:,2:b\r,4:last,"), 2);
	check_input(BYTES("\n"), INPUT_LINES, BYTES("0:,"), 1);
	check_input(BYTES("\n\n"), INPUT_LINES, BYTES("0:,0:,"), 1);
	check_input(BYTES("a\0b\n\xff\n"), INPUT_LINES, BYTES("3:a\0b,1:\xff,"), 3);
	check_input(BYTES(""), INPUT_LINES, BYTES(""), 1);
}

TEST(other_delimiters)
{
	delim = BYTES("\0");
	check_input(BYTES("a\n\0\0b\0last"), INPUT_LINES, BYTES("2:a\n,0:,1:b,4:last,"), 1);
	check_input(BYTES("a\0"), INPUT_LINES, BYTES("1:a,"), 1);
	check_input(BYTES("a\0b\n"), INPUT_WHOLE, BYTES("4:a\0b\n,"), 1);
	delim = BYTES("--");
	for (size_t piece = 1; piece < 8; piece++) {
		check_input(BYTES("a-b----c---d--"), INPUT_LINES, BYTES("3:a-b,0:,1:c,2:-d,"), piece);
		check_input(BYTES("-"), INPUT_LINES, BYTES("1:-,"), piece);
		check_input(BYTES("--"), INPUT_LINES, BYTES("0:,"), piece);
		check_input(BYTES("---"), INPUT_LINES, BYTES("0:,1:-,"), piece);
		check_input(BYTES("-\n-"), INPUT_LINES, BYTES("3:-\n-,"), piece);
	}
	delim = bytes_of(NULL, 0);
}

TEST(whole)
{
	check_input(BYTES("a\n\0b\r\nlast"), INPUT_WHOLE, BYTES("10:a\n\0b\r\nlast,"), 3);
	check_input(BYTES(""), INPUT_WHOLE, BYTES("0:,"), 1);
}

/* Lines of all lengths around the size of a chunk, and much longer ones. */
TEST(long_lines)
{
	static const size_t lengths[] = { 65535, 65536, 65537, 0, 131071, 200000, 1, 3000000,
		65536 };
	struct buf content = BUF_INIT, want = BUF_INIT;

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		memset(buf_room(&content, lengths[i]), 'a' + (int)i, lengths[i]);
		buf_addf(&want, "%zu:", lengths[i]);
		buf_add(&want, content.data + content.end, lengths[i]);
		buf_add_ch(&want, ',');
		buf_added(&content, lengths[i]);
		buf_add_ch(&content, '\n');
	}
	check_input(buf_bytes(&content), INPUT_LINES, buf_bytes(&want), 50000);
	buf_clear(&want);
	buf_addf(&want, "%zu:", buf_len(&content));
	buf_add_bytes(&want, buf_bytes(&content));
	buf_add_ch(&want, ',');
	check_input(buf_bytes(&content), INPUT_WHOLE, buf_bytes(&want), 65536);
	buf_release(&content);
	buf_release(&want);
}

TEST(late_lines_come_when_they_come)
{
	const char *path = path_of("late");
	struct reader r;
	int fd;

	mkfifo(path, 0600);
	reader_open(&r, path, INPUT_LINES);
	take(&r.in);
	fd = open(path, O_WRONLY);
	r.want = 1;
	check_int(write(fd, "a\nb", 3), 3);
	loop_run(r.loop);
	check_bytes(buf_bytes(&r.got), BYTES("1:a,"));
	r.want = 2;
	check_int(write(fd, "\n", 1), 1);
	loop_run(r.loop);
	check_bytes(buf_bytes(&r.got), BYTES("1:a,1:b,"));
	close(fd);
	loop_run(r.loop);
	check(r.ended);
	reader_close(&r);
}

static void
stop(struct loop_timer *t)
{
	loop_stop(t->arg);
}

/* A user that cannot take more is not woken again and again, even when the
 * writer has gone; and nothing is lost. */
TEST(held_up)
{
	const char *path = path_of("held");
	struct reader r;
	struct loop_timer timer = { .fn = stop };
	struct timespec a, b;
	int fd;

	mkfifo(path, 0600);
	reader_open(&r, path, INPUT_LINES);
	take(&r.in);
	fd = open(path, O_WRONLY);
	check_int(write(fd, "a\nb\n", 4), 4);
	close(fd);
	r.held = true;
	timer.arg = r.loop;
	loop_timer_set(r.loop, &timer, 200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	loop_run(r.loop);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	check((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 100);
	check_int(r.items, 0);
	r.held = false;
	take(&r.in);
	if (!r.ended)
		loop_run(r.loop);
	check_bytes(buf_bytes(&r.got), BYTES("1:a,1:b,"));
	check(r.ended);
	reader_close(&r);
}

TEST(input_errors)
{
	struct loop *loop = loop_new(&err);
	struct input in = { .ready = take };
	size_t n;
	char *p;

	check_int(input_open(&in, loop, path_of("none"), INPUT_LINES, &err), -1);
	check_int(err.kind, ERR_LOCAL_IO);
	check(strstr(err.text, "/none: No such file") != NULL);
	check_int(input_open(&in, loop, "/", INPUT_WHOLE, &err), 0);
	in.readable = true;
	check_int(input_next(&in, &p, &n, &err), INPUT_FAILED);
	check_str(err.text, "/: Is a directory");
	input_close(&in);
	input_release(&in);
	loop_free(loop);
}

/* ---- output ---- */

static int progressed;

static void
progress(struct output *o)
{
	progressed++;
	if (o->over || !output_pending(o))
		loop_stop(o->loop);
}

/* Writes more than the kernel holds to a reader that is slow at first. */
static void
check_slow_reader(int to, int from)
{
	struct loop *loop = loop_new(&err);
	struct output o = { .progress = progress };
	struct buf got = BUF_INIT;
	size_t total = 0;
	bool same = true;

	check_int(output_open(&o, loop, to, "stdout", &err), 0);
	for (int i = 0; i < 40000; i++)
		buf_addf(&o.buf, "line %d\n", i);
	total = output_pending(&o);
	check_int(output_position(&o), total);
	output_flush(&o);		/* must not wait */
	check(output_pending(&o) > 0 && output_pending(&o) < total);
	check_int(o.written + output_pending(&o), total);
	while (buf_len(&got) < total) {
		ssize_t n = read(from, buf_room(&got, 65536), 65536);

		if (n <= 0)
			break;
		buf_added(&got, (size_t)n);
		if (output_pending(&o)) {
			struct loop_timer t = { .fn = stop, .arg = loop };

			loop_timer_set(loop, &t, 20);
			loop_run(loop);
			loop_timer_clear(loop, &t);
		}
	}
	check_int(o.written, total);
	check_int(buf_len(&got), total);
	for (int i = 0; i < 40000 && same; i++) {
		char line[20];
		size_t n = (size_t)sprintf(line, "line %d\n", i);

		same = buf_len(&got) >= n && memcmp(buf_data(&got), line, n) == 0;
		if (same)
			buf_consume(&got, n);
	}
	check(same);
	check(!(fcntl(to, F_GETFL) & O_NONBLOCK));	/* theirs is as it was */
	output_close(&o);
	buf_release(&got);
	loop_free(loop);
}

TEST(output_pipe)
{
	int fd[2];

	need(pipe(fd) == 0);
	check_slow_reader(fd[1], fd[0]);
	close(fd[0]);
	close(fd[1]);
}

TEST(output_socket)
{
	int fd[2];

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
	check_slow_reader(fd[1], fd[0]);
	close(fd[0]);
	close(fd[1]);
}

/* The reader goes while nothing is being written. */
TEST(output_reader_gone)
{
	struct loop *loop = loop_new(&err);
	struct output o = { .progress = progress };
	struct loop_timer t = { .fn = stop, .arg = loop };
	int fd[2];

	need(pipe(fd) == 0);
	check_int(output_open(&o, loop, fd[1], "stdout", &err), 0);
	close(fd[0]);
	loop_timer_set(loop, &t, 1000);
	loop_run(loop);
	check(o.over);
	check_int(o.error.kind, ERR_NONE);
	buf_add_str(&o.buf, "x");
	output_flush(&o);
	check_int(o.written, 0);
	output_close(&o);
	/* And when it had gone before. */
	o = (struct output){ .progress = progress };
	check_int(output_open(&o, loop, fd[1], "stdout", &err), 0);
	loop_run(loop);
	check(o.over);
	output_close(&o);
	close(fd[1]);
	loop_timer_clear(loop, &t);
	loop_free(loop);
}

TEST(output_errors)
{
	struct loop *loop = loop_new(&err);
	struct output o = { .progress = progress };
	int fd = open("/dev/full", O_WRONLY);

	check_int(output_open(&o, loop, fd, "stdout", &err), 0);
	buf_add_str(&o.buf, "x");
	progressed = 0;
	output_flush(&o);
	check_int(progressed, 1);
	check(o.over);
	check_int(o.error.kind, ERR_LOCAL_IO);
	check_str(o.error.text, "stdout: No space left on device");
	output_close(&o);
	close(fd);
	o = (struct output){ .progress = progress };
	check_int(output_open(&o, loop, fd, "stdout", &err), -1);
	check_str(err.text, "stdout: Bad file descriptor");
	output_close(&o);
	loop_free(loop);
}

/* An event of many megabytes does not stay for ever. */
TEST(output_gives_memory_back)
{
	struct loop *loop = loop_new(&err);
	struct output o = { .progress = progress };
	int fd = open("/dev/null", O_WRONLY);

	check_int(output_open(&o, loop, fd, "stdout", &err), 0);
	memset(buf_room(&o.buf, 5000000), 'x', 5000000);
	buf_added(&o.buf, 5000000);
	output_flush(&o);
	check_int(o.written, 5000000);
	check(o.buf.cap < 1000000);
	output_close(&o);
	close(fd);
	loop_free(loop);
}

__attribute__((destructor)) static void
clean(void)
{
	static const char *const names[] = { "file", "fifo", "late", "held" };

	if (!*dir)
		return;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(path_of(names[i]));
	rmdir(dir);
}

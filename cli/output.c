/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output that does not wait: see output.h.
 *
 * Setting O_NONBLOCK on descriptor 1 would set it for everybody who shares the
 * pipe or the terminal, the shell included. Opening /proc/self/fd/1 anew gives
 * an open file of our own on the same pipe or terminal. Where that cannot be
 * (no /proc, somebody else's terminal), a pipe that poll(2) calls writable takes
 * PIPE_BUF bytes without waiting.
 */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* An empty buffer that one large event has blown up is given back. */
enum { OUTPUT_KEEP = 1024 * 1024 };

static void
output_end(struct output *o, int why)
{
	if (o->over)
		return;
	o->over = true;
	loop_fd_del(o->loop, &o->watch);
	if (why != EPIPE && why != ECONNRESET) {
		errno = why;
		error_sys(&o->error, ERR_LOCAL_IO, "%s", o->name);
	}
	o->progress(o);
}

static void
output_ready(struct loop_fd *w, unsigned ready)
{
	struct output *o = w->arg;

	/* Reading is never asked for: it means that the other side has gone. */
	if (ready & LOOP_READ) {
		output_end(o, EPIPE);
		return;
	}
	o->full = false;
	output_flush(o);
	if (!o->full && !o->over)
		loop_fd_set(o->loop, w, 0);
}

static int
open_anew(int fd)
{
	char path[40];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

int
output_open(struct output *o, struct loop *loop, int fd, const char *name, struct error *err)
{
	struct stat st;

	o->loop = loop;
	o->name = name;
	o->kind = OUTPUT_PLAIN;
	o->watch = (struct loop_fd){ .fn = output_ready, .arg = o, .fd = fd };
	if (fstat(fd, &st) < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s", name);
	if (S_ISSOCK(st.st_mode)) {
		o->kind = OUTPUT_SOCKET;
	} else if (S_ISFIFO(st.st_mode) || isatty(fd)) {
		int anew = open_anew(fd);

		o->kind = anew < 0 ? OUTPUT_POLL : OUTPUT_NONBLOCK;
		o->reopened = anew >= 0;
		if (o->reopened)
			fd = anew;
	}
	if (o->kind == OUTPUT_PLAIN)
		return 0;
	o->watch.fd = fd;
	/* Without events: to hear when the reader goes while nothing is written. */
	return loop_fd_add(loop, &o->watch, fd, 0, err);
}

void
output_close(struct output *o)
{
	if (o->loop)
		loop_fd_del(o->loop, &o->watch);
	if (o->reopened)
		close(o->watch.fd);
	o->reopened = false;
	buf_release(&o->buf);
}

static ssize_t
write_some(struct output *o, const char *p, size_t n)
{
	struct pollfd pfd = { .fd = o->watch.fd, .events = POLLOUT };

	switch (o->kind) {
	case OUTPUT_SOCKET:
		return send(o->watch.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case OUTPUT_POLL:
		if (poll(&pfd, 1, 0) == 0) {
			errno = EAGAIN;
			return -1;
		}
		return write(o->watch.fd, p, n < PIPE_BUF ? n : PIPE_BUF);
	default:
		return write(o->watch.fd, p, n);
	}
}

void
output_flush(struct output *o)
{
	uint64_t before = o->written;

	while (buf_len(&o->buf) && !o->full && !o->over) {
		ssize_t n = write_some(o, buf_data(&o->buf), buf_len(&o->buf));

		if (n >= 0) {
			o->written += (uint64_t)n;
			buf_consume(&o->buf, (size_t)n);
		} else if (errno == EAGAIN) {
			o->full = true;
			loop_fd_set(o->loop, &o->watch, LOOP_WRITE);
		} else if (errno != EINTR) {
			output_end(o, errno);
			return;
		}
	}
	if (o->written == before)
		return;
	if (!buf_len(&o->buf) && o->buf.cap > OUTPUT_KEEP)
		buf_release(&o->buf);
	o->progress(o);
}

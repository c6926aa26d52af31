/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input for publishing: see input.h.
 *
 * One read(2) a turn of the loop, at least 64 KiB of room each, and memchr over
 * what came. The rest of a line that is not complete moves to the front before
 * the next read: as a rule some hundred bytes. What was searched is remembered,
 * so that a line of many megabytes is looked at once.
 */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_CHUNK = 64 * 1024, INPUT_CHUNK_MAX = 1024 * 1024 };

/* An item that is larger than this is a mistake: /dev/zero, say. */
#define INPUT_ITEM_MAX ((size_t)1 << 30)

static void
input_ready(struct loop_fd *w, unsigned ready)
{
	struct input *in = w->arg;

	(void)ready;
	in->readable = true;
	in->ready(in);
	/* The user is busy elsewhere (its window is full): do not be woken for
	 * what is known. A hang-up would be told over and over otherwise. */
	if (in->readable && w->added)
		loop_fd_del(in->loop, w);
}

int
input_open(struct input *in, struct loop *loop, const char *path, enum input_mode mode,
	struct error *err)
{
	bool std = !path || strcmp(path, "-") == 0;
	struct stat st;

	in->name = std ? "stdin" : path;
	in->loop = loop;
	in->mode = mode;
	in->line = 0;
	in->eof = in->done = false;
	in->searched = 0;
	buf_clear(&in->buf);
	in->watch = (struct loop_fd){ .fn = input_ready, .arg = in, .fd = STDIN_FILENO };
	/* Not blocking: a FIFO is opened before its writer, and polled for it. */
	if (!std)
		in->watch.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (in->watch.fd < 0 || fstat(in->watch.fd, &st) < 0) {
		error_sys(err, ERR_LOCAL_IO, "%s", in->name);
		input_close(in);
		return -1;
	}
	in->regular = S_ISREG(st.st_mode);
	in->readable = in->regular;
	if (in->regular && mode == INPUT_WHOLE && st.st_size > 0 &&
	    (uint64_t)st.st_size <= INPUT_ITEM_MAX)
		buf_room(&in->buf, (size_t)st.st_size + 1);
	return 0;
}

void
input_close(struct input *in)
{
	if (in->loop)
		loop_fd_del(in->loop, &in->watch);
	if (in->watch.fd > STDIN_FILENO)
		close(in->watch.fd);
	in->watch.fd = -1;
}

uint64_t
input_taken(const struct input *in)
{
	off_t at = in->regular ? lseek(in->watch.fd, 0, SEEK_CUR) : -1;

	return at < 0 || (size_t)at < buf_len(&in->buf) ? 0 : (uint64_t)at - buf_len(&in->buf);
}

bool
input_again(struct input *in)
{
	in->readable = in->readable || in->regular;
	return in->regular;
}

void
input_release(struct input *in)
{
	buf_release(&in->buf);
}

/* One read. Sets eof at the end. */
static int
input_read(struct input *in, struct error *err)
{
	struct buf *b = &in->buf;
	size_t rest = buf_len(b), room;
	ssize_t n;

	if (rest > INPUT_ITEM_MAX)
		return error_set(err, ERR_LOCAL_IO, "%s: %s of more than 1 GiB", in->name,
			in->mode == INPUT_LINES ? "a line" : "a body");
	if (b->start) {
		memmove(b->data, buf_data(b), rest);
		b->start = 0;
		b->end = rest;
	}
	/* A file of known size has one byte to spare, to meet its end with. */
	if (!(in->regular && in->mode == INPUT_WHOLE && b->cap > rest))
		buf_room(b, INPUT_CHUNK);
	room = b->cap - b->end;
	/* Lines are best read in pieces that stay in the cache. */
	if (room > INPUT_CHUNK && in->mode == INPUT_LINES && rest < INPUT_CHUNK)
		room = INPUT_CHUNK;
	else if (room > INPUT_CHUNK_MAX && !in->regular)
		room = INPUT_CHUNK_MAX;
	do
		n = read(in->watch.fd, b->data + b->end, room);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return error_sys(err, ERR_LOCAL_IO, "%s", in->name);
	if (n == 0)
		in->eof = true;
	else if (n > 0)
		buf_added(b, (size_t)n);
	/* All of a small file is read at once; else once a turn. */
	in->readable = in->regular && in->mode == INPUT_WHOLE;
	return 0;
}

static char *
find_delim(const char *p, size_t n, struct bytes delim)
{
	return delim.n == 1 ? memchr(p, *delim.p, n) : memmem(p, n, delim.p, delim.n);
}

/* A complete item that is in the buffer. */
static bool
input_take(struct input *in, char **p, size_t *n)
{
	struct buf *b = &in->buf;
	struct bytes delim = in->delim.p ? in->delim : BYTES("\n");
	size_t len = buf_len(b);
	char *nl;

	*p = buf_data(b);
	if (in->mode == INPUT_WHOLE) {
		if (!in->eof || in->done)
			return false;
		in->done = true;
		if (!len)
			*p = buf_room(b, 1);
		*n = len;
		in->line++;
		return true;
	}
	nl = len > in->searched ? find_delim(*p + in->searched, len - in->searched, delim) : NULL;
	if (nl) {
		*n = (size_t)(nl - *p);
		b->start += *n + delim.n;	/* not consumed to the front: it is lent out */
		in->searched = 0;
		in->line++;
		return true;
	}
	/* The beginning of a delimiter may be there already. */
	in->searched = len < delim.n ? 0 : len - delim.n + 1;
	if (!in->eof || !len)
		return false;
	*n = len;
	b->start += len;
	in->searched = 0;
	in->line++;
	return true;
}

enum input_got
input_next(struct input *in, char **p, size_t *n, struct error *err)
{
	while (!input_take(in, p, n)) {
		if (in->eof)
			return INPUT_END;
		if (!in->readable) {
			if (!in->watch.added && loop_fd_add(in->loop, &in->watch, in->watch.fd,
			    LOOP_READ, err) < 0)
				return INPUT_FAILED;
			return INPUT_LATER;
		}
		if (input_read(in, err) < 0)
			return INPUT_FAILED;
	}
	return INPUT_ITEM;
}

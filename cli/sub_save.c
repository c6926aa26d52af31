/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of what sub receives: see sub_save.h. */
#include "cli/sub_save.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/opt.h"

/* One behind the highest number that is there. */
static uint64_t
next_number(int dir)
{
	int fd = dup(dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uint64_t next = 1;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return next;
	}
	while ((e = readdir(d))) {
		char *end;
		unsigned long long n = strtoull(e->d_name, &end, 10);

		if (end - e->d_name >= 6 && (strcmp(end, ".body") == 0 || strcmp(end, ".json") == 0) &&
		    n >= next && n < UINT64_MAX)
			next = n + 1;
	}
	closedir(d);
	return next;
}

int
sub_save_open(struct sub_save *s, const char *dir, const char *tee, const char *broker,
	struct error *err)
{
	*s = (struct sub_save){ .dir = -1, .tee = -1, .dir_name = dir, .tee_name = tee };
	s->json = (struct formatter){ .format = &format_json, .broker = broker };
	if (dir) {
		if (mkdir(dir, 0777) < 0 && errno != EEXIST)
			return error_sys(err, ERR_LOCAL_IO, "--save %s", opt_shown(dir));
		s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->dir < 0)
			return error_sys(err, ERR_LOCAL_IO, "--save %s", opt_shown(dir));
		s->next = next_number(s->dir);
	}
	if (tee) {
		s->tee = open(tee, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (s->tee < 0)
			return error_sys(err, ERR_LOCAL_IO, "--tee %s", opt_shown(tee));
	}
	return 0;
}

int
sub_save_close(struct sub_save *s, struct error *err)
{
	int r = s->tee >= 0 ? sub_save_flush(s, err) : 0;

	buf_release(&s->printed);
	buf_release(&s->line);
	buf_release(&s->json.line);
	if (s->dir >= 0)
		close(s->dir);
	/* Some file systems say only here that there was no room. */
	if (s->tee >= 0 && close(s->tee) < 0 && r == 0)
		r = error_sys(err, ERR_LOCAL_IO, "--tee %s", opt_shown(s->tee_name));
	s->dir = s->tee = -1;
	return r;
}

static int
write_all(int fd, struct bytes b)
{
	while (b.n) {
		ssize_t n = write(fd, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		b = bytes_of(b.p + n, b.n - (size_t)n);
	}
	return 0;
}

/* A file that is there is nobody's to overwrite. */
static int
write_file(struct sub_save *s, const char *kind, struct bytes b, struct error *err)
{
	char name[40];
	int fd, r;

	snprintf(name, sizeof name, "%06llu.%s", (unsigned long long)s->next, kind);
	fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	r = fd < 0 ? -1 : write_all(fd, b);
	if (fd >= 0 && (close(fd) < 0 || r < 0))
		r = -1;
	if (r < 0)
		return error_sys(err, ERR_LOCAL_IO, "--save: %s/%s", opt_shown(s->dir_name), name);
	return 0;
}

int
sub_save_event(struct sub_save *s, const struct event *ev, uint64_t n, struct error *err)
{
	if (s->dir < 0)
		return 0;
	buf_clear(&s->line);
	format_add(&s->json, &s->line, ev, n);
	/* The one that is complete only with the other comes last. */
	if (write_file(s, "body", ev->msg.body, err) < 0 ||
	    write_file(s, "json", buf_bytes(&s->line), err) < 0)
		return -1;
	s->next++;
	return 0;
}

int
sub_save_flush(struct sub_save *s, struct error *err)
{
	int r = write_all(s->tee, buf_bytes(&s->printed));

	if (r < 0)
		error_sys(err, ERR_LOCAL_IO, "--tee %s", opt_shown(s->tee_name));
	buf_clear(&s->printed);
	return r;
}

int
sub_save_printed(struct sub_save *s, struct bytes b, struct error *err)
{
	enum { BATCH = 64 * 1024 };

	if (s->tee < 0)
		return 0;
	buf_add_bytes(&s->printed, b);
	return buf_len(&s->printed) < BATCH ? 0 : sub_save_flush(s, err);
}

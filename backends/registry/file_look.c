/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the directory: what is a node, what is stale, and lookups.
 *
 * A file is stale when its owner has ended (the pid is gone, or is another process
 * by its start time; told within one pid namespace only), or when it has not been
 * touched for its time to live. Whoever finds a stale one of the same user removes
 * it; that of another user is left alone.
 *
 * A lookup is one reading of the directory, in the loop's next turn: nothing has to
 * be waited for. Lookups that were begun together are answered by one reading, and
 * all have heard of everything before the first is told that it is over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "backends/registry/file.h"

enum {
	TMP_MAX_MS = 60 * 1000,		/* older, its writer was killed */
	ZOMBIE = 1			/* no start time that a program could have */
};

struct file_ask {
	struct file_ask *next;
	struct lookup *user;		/* NULL: cancelled */
	struct bytes service;		/* p NULL: the list */
};

/* ---- processes ---- */

/* When a process began; 0: cannot be told; ZOMBIE: it has ended, and was not waited
 * for. */
static uint64_t
start_of(uint64_t pid)
{
	char path[64], text[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* "7 (any ) name) S 1 ...": the third field follows the last bracket. */
	p = strrchr(text, ')');
	if (p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X'))
		return ZOMBIE;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

/* The pid namespace of this process; 0: cannot be told, as where /proc is that of
 * another namespace. */
static uint64_t
own_ns(struct file_registry *f)
{
	char pid[24] = "";
	struct stat st;

	if (!f->self.ns && readlink("/proc/self", pid, sizeof pid - 1) > 0 &&
	    strtol(pid, NULL, 10) == getpid() && stat("/proc/self/ns/pid", &st) == 0)
		f->self.ns = st.st_ino;
	return f->self.ns;
}

const struct file_owner *
file_self(struct file_registry *f)
{
	if (!f->self.pid) {
		f->self.pid = (uint64_t)getpid();
		f->self.start = start_of(f->self.pid);
		own_ns(f);
	}
	return &f->self;
}

static bool
has_ended(struct file_registry *f, const struct file_owner *o)
{
	uint64_t start;

	if (!o->pid || !o->ns || o->ns != own_ns(f))
		return false;
	/* A process has many nodes, and most often they follow each other. */
	if (o->pid == f->alive.pid && o->start == f->alive.start)
		return false;
	/* Not by /proc, which may hide the processes of others. */
	if (kill((pid_t)o->pid, 0) < 0 && errno == ESRCH)
		return true;
	start = o->start ? start_of(o->pid) : 0;
	if (start && start != o->start)
		return true;
	f->alive = *o;
	return false;
}

/* ---- files ---- */

/* Not touched for longer than that; nor may it be from a future as far. */
static bool
is_older(const struct stat *st, uint64_t ms)
{
	struct timespec now;
	double age;		/* some file systems know times that overflow an integer */

	clock_gettime(CLOCK_REALTIME, &now);
	age = ((double)now.tv_sec - (double)st->st_mtim.tv_sec) * 1e3 +
		(double)(now.tv_nsec - st->st_mtim.tv_nsec) / 1e6;
	return age > (double)ms || age < -(double)ms;
}

const char *
file_stale(struct file_registry *f, const struct file_owner *o, uint64_t ttl_ms,
	const struct stat *st)
{
	if (has_ended(f, o))
		return "its process has ended";
	if (is_older(st, ttl_ms))
		return "its time to live is over";
	return NULL;
}

void
file_reap(struct file_registry *f, const char *name, const struct stat *st)
{
	struct stat now;

	if (st->st_uid != geteuid() || fstatat(f->dir, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (now.st_ino == st->st_ino && now.st_mtim.tv_sec == st->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == st->st_mtim.tv_nsec && unlinkat(f->dir, name, 0) == 0)
		log_verbose("file: %s/%s is removed", f->path, name);
}

const char *
file_text(struct file_registry *f, const char *name, struct buf *text, struct stat *st)
{
	/* Without waiting: it may be a pipe. */
	int fd = openat(f->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *why = NULL;
	ssize_t n = 0;

	buf_clear(text);
	if (fd < 0 && errno == ENOENT)
		return "";
	if (fd < 0)
		return errno == ELOOP ? "it is a link" : "it cannot be opened";
	if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		why = "it is no regular file";
	else if (st->st_size > FILE_NODE_MAX)
		why = "it is over 1 MiB";
	while (!why) {
		/* One more than there is, so that most often one read sees the end. */
		size_t room = (size_t)st->st_size + 1;

		n = read(fd, buf_room(text, room), room);
		if (n < 0)
			why = "it cannot be read";
		else
			buf_added(text, (size_t)n);
		if (n < (ssize_t)room)
			break;
		if (buf_len(text) > FILE_NODE_MAX)
			why = "it is over 1 MiB";
	}
	close(fd);
	return why;
}

const char *
file_judge(struct file_registry *f, const char *name, struct file_node *out, struct buf *text,
	const struct stat *st)
{
	char right[FILE_NAME_LEN + 1];
	const char *why = file_node_read(out, buf_data(text), buf_len(text));

	if (why)
		return why;
	file_node_name(right, &out->service);
	if (strcmp(right, name) != 0)
		return "its name is not that of its node";
	why = file_stale(f, &out->owner, out->ttl_ms, st);
	if (why)
		file_reap(f, name, st);
	return why;
}

/* What a killed writer left behind. */
static void
reap_tmp(struct file_registry *f, const char *name)
{
	struct stat st;

	if (fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    is_older(&st, TMP_MAX_MS))
		file_reap(f, name, &st);
}

void
file_too_many(const struct file_registry *f)
{
	log_warn("file: %s holds more than %d nodes or %d MiB: the rest is ignored", f->path,
		FILE_NODES_MAX, FILE_READ_MAX >> 20);
}

int
file_each(struct file_registry *f, void (*fn)(struct file_registry *, const char *, void *),
	void *arg, struct error *err)
{
	/* Of its own: a duplicate would share the position with others. */
	int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	f->alive.pid = 0;
	if (!d) {
		error_sys(err, ERR_LOCAL_IO, "file registry: %s cannot be read", f->path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(d))) {
		if (file_node_is_name(e->d_name))
			fn(f, e->d_name, arg);
		else if (strncmp(e->d_name, FILE_TMP_PREFIX, strlen(FILE_TMP_PREFIX)) == 0)
			reap_tmp(f, e->d_name);
	}
	closedir(d);
	return 0;
}

/* ---- lookups ---- */

struct reading {
	size_t nodes, bytes;
	bool full;
};

static bool
is_wanted(const struct file_registry *f, const char *name)
{
	for (const struct file_ask *a = f->running; a; a = a->next)
		if (a->user && (!a->service.p || file_node_of_service(name, a->service)))
			return true;
	return false;
}

static void
report(struct file_registry *f)
{
	const struct service *s = &f->node.service;
	struct service only_name = { .name = s->name, .version = BYTES("") };

	for (struct file_ask *a = f->running; a; a = a->next) {
		if (!a->user)
			continue;
		if (!a->service.p)
			a->user->found(a->user, a->user->nodes ? s : &only_name);
		else if (bytes_eq(a->service, s->name))
			a->user->found(a->user, s);
	}
}

static void
look_at(struct file_registry *f, const char *name, void *arg)
{
	struct reading *r = arg;
	const char *why;
	struct stat st;

	if (r->full || !is_wanted(f, name))
		return;
	if (r->nodes == FILE_NODES_MAX || r->bytes > FILE_READ_MAX) {
		r->full = true;
		file_too_many(f);
		return;
	}
	why = file_text(f, name, &f->text, &st);
	if (!why)
		why = file_judge(f, name, &f->node, &f->text, &st);
	r->nodes++;
	r->bytes += buf_len(&f->text);
	if (!why)
		report(f);
	else if (*why)
		log_verbose("file: %s/%s is ignored: %s", f->path, name, why);
}

static int
read_directory(struct file_registry *f, struct error *err)
{
	struct reading r = { 0 };
	int open = file_dir_open(f, false, err);

	return open <= 0 ? open : file_each(f, look_at, &r, err);
}

static void
look(struct loop_timer *t)
{
	struct file_registry *f = t->arg;
	struct error err = ERROR_INIT;
	int rc;

	f->running = f->asks;
	f->asks = NULL;
	rc = read_directory(f, &err);
	for (struct file_ask *a = f->running; a; a = a->next) {
		struct lookup *user = a->user;

		if (!user)
			continue;
		a->user = NULL;
		user->priv = NULL;
		user->done(user, rc < 0 ? &err : NULL);
	}
	while (f->running) {
		struct file_ask *a = f->running;

		f->running = a->next;
		free(a);
	}
}

static int
ask(struct file_registry *f, struct lookup *l, struct bytes service, struct error *err)
{
	struct file_ask *a;

	if (file_dir_open(f, false, err) < 0)
		return -1;
	a = xcalloc(1, sizeof *a + service.n);
	if (service.p) {
		a->service = bytes_of(a + 1, service.n);
		memcpy(a + 1, service.p, service.n);
	}
	a->user = l;
	a->next = f->asks;
	f->asks = a;
	l->priv = a;
	if (!loop_timer_is_set(&f->look)) {
		/* A timer, not a task: who asks again whenever a lookup is over must
		 * not keep the loop from its other work. One that is due since
		 * ever: a delay of 0 would count from the turn's beginning. */
		f->look.fn = look;
		f->look.arg = f;
		loop_timer_set_at(f->base.loop, &f->look, 0);
	}
	return 0;
}

int
file_get(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	return ask((struct file_registry *)r, l, name, err);
}

int
file_list(struct registry *r, struct lookup *l, struct error *err)
{
	return ask((struct file_registry *)r, l, bytes_of(NULL, 0), err);
}

/* The rest is freed by look(). */
void
file_cancel(struct registry *r, struct lookup *l)
{
	struct file_ask *a = l->priv;

	(void)r;
	l->priv = NULL;
	if (a)
		a->user = NULL;
}

void
file_look_release(struct file_registry *f)
{
	loop_timer_clear(f->base.loop, &f->look);
	while (f->asks) {
		struct file_ask *a = f->asks;

		f->asks = a->next;
		free(a);
	}
	file_node_release(&f->node);
	buf_release(&f->text);
}

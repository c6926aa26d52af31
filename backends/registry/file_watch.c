/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching the directory.
 *
 * inotify is only the bell: when it rings, the directory is compared with what was
 * known, so that nothing is lost when its queue overflows, and a file that is
 * written in pieces or in vain is no news. What was known is kept as text: a node
 * that goes is told of in full.
 *
 * No bell rings when an owner is killed or a file is not touched any more, so every
 * SWEEP_MS the owners are looked at, too. A directory that was removed is made anew
 * then.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "backends/registry/file.h"

enum {
	SWEEP_MS = 2000,
	BELL_MS = 20,			/* between scans, whatever rings ... */
	REST = 4,			/* ... and as many times what the last one took */
	READS_MAX = 16,			/* of the bell, in one turn */
	BUCKETS = 256			/* a power of two */
};

struct file_known {
	struct file_known *next;
	char name[FILE_NAME_LEN + 1];
	unsigned pass;			/* the scan that saw it last */
	bool live;			/* false: looked at, and no node */
	struct stat st;
	struct file_owner owner;
	uint64_t ttl_ms;
	char *text;			/* of a live one */
	size_t len;
};

/* ---- what is known ---- */

static struct file_known **
bucket_of(struct file_registry *f, const char *name)
{
	/* The last digits of the node's hash. */
	unsigned h = (unsigned)strtoul((char[]){ name[47], name[48], 0 }, NULL, 16);

	if (!f->known)
		f->known = xcalloc(BUCKETS, sizeof(struct file_known *));
	return &f->known[h & (BUCKETS - 1)];
}

/* NULL: there are too many. */
static struct file_known *
know(struct file_registry *f, const char *name)
{
	struct file_known **bucket = bucket_of(f, name), *k;

	for (k = *bucket; k; k = k->next)
		if (strcmp(k->name, name) == 0)
			return k;
	if (f->nknown == FILE_NODES_MAX)
		return NULL;
	k = xcalloc(1, sizeof *k);
	memcpy(k->name, name, sizeof k->name);
	k->next = *bucket;
	*bucket = k;
	f->nknown++;
	return k;
}

static void
drop_text(struct file_registry *f, struct file_known *k)
{
	f->known_bytes -= k->text ? k->len : 0;
	free(k->text);
	k->text = NULL;
}

/* Forgets what the scan of that number did not see; 0: everything. */
static void
forget(struct file_registry *f, unsigned pass)
{
	for (size_t i = 0; f->known && i < BUCKETS; i++)
		for (struct file_known **p = &f->known[i], *k; (k = *p);) {
			if (pass && k->pass == pass) {
				p = &k->next;
				continue;
			}
			*p = k->next;
			drop_text(f, k);
			free(k);
			f->nknown--;
		}
}

/* ---- telling ---- */

static void
tell(struct file_registry *f, enum registry_action action, const struct file_known *k)
{
	const struct service *s = &f->watch_node.service;

	/* A copy: reading decodes in place. */
	buf_clear(&f->watch_text);
	buf_add(&f->watch_text, k->text, k->len);
	if (!f->watches || file_node_read(&f->watch_node, buf_data(&f->watch_text), k->len))
		return;
	for (struct watch *w = f->watches; w; w = f->next_watch) {
		f->next_watch = w->next;
		if (!w->name.p || bytes_eq(w->name, s->name))
			w->changed(w, action, s);
	}
	f->next_watch = NULL;
}

/* It has gone, or is not believed any more. */
static void
lose(struct file_registry *f, struct file_known *k)
{
	if (!k->live)
		return;
	k->live = false;
	tell(f, REGISTRY_DELETE, k);
	drop_text(f, k);
}

/* ---- comparing ---- */

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
		a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
ignore(const struct file_registry *f, const struct file_known *k, const char *why)
{
	if (*why)
		log_verbose("file: %s/%s is ignored: %s", f->path, k->name, why);
}

static const char *
full(struct file_registry *f)
{
	if (!f->full)
		file_too_many(f);
	f->full = true;
	return "";
}

/* Its text has to be read anew. */
static void
read_again(struct file_registry *f, struct file_known *k, bool quiet)
{
	enum registry_action action = k->live ? REGISTRY_UPDATE : REGISTRY_CREATE;
	struct file_node *n = &f->watch_node;
	struct buf *t = &f->watch_text;
	const char *why = file_text(f, k->name, t, &k->st);
	size_t len = buf_len(t);
	char *text = NULL;
	bool same;

	if (!why && f->known_bytes + len > FILE_READ_MAX)
		why = full(f);
	if (!why) {
		text = xmemdup0(buf_data(t), len);	/* judging spoils the other */
		why = file_judge(f, k->name, n, t, &k->st);
	}
	if (why) {
		ignore(f, k, why);
		free(text);
		lose(f, k);
		return;
	}
	same = k->live && k->len == len && memcmp(k->text, text, len) == 0;
	drop_text(f, k);
	f->known_bytes += len;
	k->text = text;
	k->len = len;
	k->owner = n->owner;
	k->ttl_ms = n->ttl_ms;
	k->live = true;
	if (!same && !quiet)
		tell(f, action, k);
}

struct scan {
	bool quiet;			/* the first: nothing is news */
	bool owners;			/* look at them, too */
};

static void
see(struct file_registry *f, const char *name, void *arg)
{
	const struct scan *scan = arg;
	struct file_known *k;
	const char *why;
	struct stat st;

	if (fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	k = know(f, name);
	if (!k) {
		full(f);
		return;
	}
	k->pass = f->pass;
	if (!is_same_file(&st, &k->st)) {
		k->st = st;
		read_again(f, k, scan->quiet);
		return;
	}
	why = k->live && scan->owners ? file_stale(f, &k->owner, k->ttl_ms, &st) : NULL;
	if (!why)
		return;
	ignore(f, k, why);
	file_reap(f, name, &st);
	lose(f, k);
}

/* Opens the directory, makes it if need be, and hangs the bell on it. */
static int
attach(struct file_registry *f, struct error *err)
{
	const uint32_t mask = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR;
	char path[64];

	if (file_dir_open(f, true, err) < 0)
		return -1;
	if (f->watched == f->opened)
		return 0;
	/* What is open, and not what has its name by now. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", f->dir);
	if (inotify_add_watch(f->changes.fd, path, mask) < 0)
		return error_sys(err, ERR_LOCAL_IO, "file registry: cannot watch %s%s", f->path,
			errno == ENOSPC ? " (fs.inotify.max_user_watches)" : "");
	f->watched = f->opened;
	return 0;
}

static int
compare(struct file_registry *f, struct scan *scan, struct error *err)
{
	unsigned pass = f->pass = f->pass == UINT_MAX ? 1 : f->pass + 1;

	if (attach(f, err) < 0 || file_each(f, see, scan, err) < 0)
		return -1;
	for (size_t i = 0; f->known && i < BUCKETS; i++)
		for (struct file_known *k = f->known[i]; k; k = k->next)
			if (k->pass != pass)
				lose(f, k);
	forget(f, pass);
	return 0;
}

static void
stop(struct file_registry *f)
{
	loop_timer_clear(f->base.loop, &f->bell);
	loop_timer_clear(f->base.loop, &f->sweep);
	if (f->changes.fd >= 0) {
		loop_fd_del(f->base.loop, &f->changes);
		close(f->changes.fd);
	}
	f->changes.fd = -1;
	f->watched = 0;
	forget(f, 0);
}

static void
scan_now(struct file_registry *f, bool owners)
{
	struct scan scan = { .owners = owners };
	uint64_t begin = loop_clock_ns(), rest;
	struct error err;

	f->scanning = true;
	if (compare(f, &scan, &err) < 0)
		log_verbose("%s", err.text);
	f->scanning = false;
	rest = REST * (loop_clock_ns() - begin);
	if (rest < BELL_MS * 1000000ull)
		rest = BELL_MS * 1000000ull;
	f->next_scan_ns = loop_clock_ns() + rest;
	if (!f->watches)
		stop(f);
}

/* ---- when ---- */

static void
bell_rang(struct loop_timer *t)
{
	scan_now(t->arg, false);
}

static void
sweep_due(struct loop_timer *t)
{
	struct file_registry *f = t->arg;

	loop_timer_set(f->base.loop, t, SWEEP_MS);
	scan_now(f, true);
}

/* Files that are being written, and whatever else may lie there, are no news. */
static bool
is_news(const char *p, ssize_t n)
{
	const struct inotify_event *e;

	for (const char *end = p + (n > 0 ? n : 0); p < end; p += sizeof *e + e->len) {
		e = (const struct inotify_event *)(const void *)p;
		if (e->len == 0 || file_node_is_name(e->name))
			return true;
	}
	return false;
}

static void
changed(struct loop_fd *w, unsigned ready)
{
	struct file_registry *f = w->arg;
	_Alignas(struct inotify_event) char events[4096];
	bool news = false;
	ssize_t n;

	(void)ready;
	/* Not for as long as somebody makes more of them. */
	for (int i = 0; i < READS_MAX && (n = read(w->fd, events, sizeof events)) > 0; i++)
		news |= is_news(events, n);
	if (news && !loop_timer_is_set(&f->bell))
		loop_timer_set_at(f->base.loop, &f->bell, f->next_scan_ns);
}

/* ---- the ops ---- */

static int
start(struct file_registry *f, struct error *err)
{
	struct scan first = { .quiet = true, .owners = true };
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "file registry: inotify%s",
			errno == EMFILE ? " (fs.inotify.max_user_instances)" : "");
	f->changes.fn = changed;
	f->bell.fn = bell_rang;
	f->sweep.fn = sweep_due;
	f->changes.arg = f->bell.arg = f->sweep.arg = f;
	f->changes.fd = fd;
	if (loop_fd_add(f->base.loop, &f->changes, fd, LOOP_READ, err) < 0 ||
	    compare(f, &first, err) < 0) {
		stop(f);
		return -1;
	}
	loop_timer_set(f->base.loop, &f->sweep, SWEEP_MS);
	return 0;
}

int
file_watch(struct registry *r, struct watch *w, struct error *err)
{
	struct file_registry *f = (struct file_registry *)r;

	if (f->changes.fd < 0 && start(f, err) < 0)
		return -1;
	w->next = f->watches;
	f->watches = w;
	w->added = true;
	return 0;
}

void
file_unwatch(struct registry *r, struct watch *w)
{
	struct file_registry *f = (struct file_registry *)r;

	for (struct watch **p = &f->watches; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	if (f->next_watch == w)
		f->next_watch = w->next;
	w->added = false;
	if (!f->watches && !f->scanning)
		stop(f);
}

void
file_watch_release(struct file_registry *f)
{
	for (struct watch *w = f->watches; w; w = w->next)
		w->added = false;
	f->watches = NULL;
	stop(f);
	free(f->known);
	file_node_release(&f->watch_node);
	buf_release(&f->watch_text);
}

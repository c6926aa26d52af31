/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file registry: for programs of one machine, without the network. A node is a
 * file in a directory that by default only its user can reach. See file.h for what
 * is in which file.
 *
 * A file is written under another name and then renamed, so that nobody sees half of
 * one; touched when its node is registered again; removed at the end. Whose process
 * was killed leaves one that others recognise (file_look.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "backends/registry/file.h"

struct file_entry {
	struct file_entry *next;
	char name[FILE_NAME_LEN + 1];
	struct buf text;
	dev_t dev;			/* of the file as it was written */
	ino_t ino;
};

/* ---- writing ---- */

static int
write_all(int fd, struct bytes text)
{
	while (text.n) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text = bytes_of(text.p + n, text.n - (size_t)n);
	}
	return 0;
}

/* What is in f->out as a file of that name, which is new. */
static int
write_tmp(struct file_registry *f, const char *name, struct stat *st)
{
	int fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int saved;

	if (fd < 0)
		return -1;
	if (write_all(fd, buf_bytes(&f->out)) == 0 && fchmod(fd, f->mode) == 0 &&
	    fstat(fd, st) == 0) {
		close(fd);
		return 0;
	}
	saved = errno;
	close(fd);
	unlinkat(f->dir, name, 0);
	errno = saved;
	return -1;
}

static int
write_file(struct file_registry *f, struct file_entry *e, struct error *err)
{
	char tmp[sizeof FILE_TMP_PREFIX + 16];
	struct stat st;
	uint64_t r;

	if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
		r = loop_clock_ns() ^ (uint64_t)getpid() << 40;
	snprintf(tmp, sizeof tmp, FILE_TMP_PREFIX "%016llx", (unsigned long long)r);
	if (write_tmp(f, tmp, &st) < 0)
		return error_sys(err, ERR_LOCAL_IO, "file registry: cannot write to %s "
			"(--registry-address DIR names another)", f->path);
	if (renameat(f->dir, tmp, f->dir, e->name) == 0) {
		e->dev = st.st_dev;
		e->ino = st.st_ino;
		buf_clear(&e->text);
		buf_add_bytes(&e->text, buf_bytes(&f->out));
		return 0;
	}
	error_sys(err, ERR_LOCAL_IO, "file registry: cannot make %s/%s", f->path, e->name);
	if (fstatat(f->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid != geteuid())
		error_set(err, ERR_LOCAL_IO, "file registry: user %u has registered this node: "
			"%s/%s", (unsigned)st.st_uid, f->path, e->name);
	unlinkat(f->dir, tmp, 0);
	return -1;
}

/* Is it still the file that was written for this entry? The number alone does not
 * tell: it is given again. */
static bool
is_in_place(struct file_registry *f, const struct file_entry *e)
{
	struct stat st;

	return fstatat(f->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == e->dev &&
		st.st_ino == e->ino && st.st_uid == geteuid() &&
		st.st_size == (off_t)buf_len(&e->text);
}

static struct file_entry **
find_entry(struct file_registry *f, const char *name)
{
	struct file_entry **p = &f->entries;

	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

static void
free_entry(struct file_entry *e)
{
	buf_release(&e->text);
	free(e);
}

static void
take_away(struct file_registry *f, struct file_entry **at)
{
	struct file_entry *e = *at;

	if (f->dir >= 0 && is_in_place(f, e))
		unlinkat(f->dir, e->name, 0);
	*at = e->next;
	free_entry(e);
}

/* ---- the ops ---- */

static int
add(struct registry *r, const struct service *s, unsigned ttl_ms, struct registry_reply *reply,
	struct error *err)
{
	struct file_registry *f = (struct file_registry *)r;
	char name[FILE_NAME_LEN + 1];
	struct file_entry **at, *e;
	const char *why;

	(void)reply;
	buf_clear(&f->out);
	why = file_node_write(&f->out, s, file_self(f), ttl_ms ? ttl_ms : 1);
	if (why)
		return error_set(err, ERR_USAGE, "file registry: a node of %.*s cannot be "
			"registered: %s", BYTES_FMT(s->name), why);
	if (file_dir_open(f, true, err) < 0)
		return -1;
	file_node_name(name, s);
	at = find_entry(f, name);
	e = *at;
	/* The same again: it is touched, unless somebody took it for stale. */
	if (e && bytes_eq(buf_bytes(&e->text), buf_bytes(&f->out)) && is_in_place(f, e) &&
	    utimensat(f->dir, name, NULL, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (!e) {
		e = xcalloc(1, sizeof *e);
		memcpy(e->name, name, sizeof name);
		*at = e;
	}
	if (write_file(f, e, err) == 0)
		return 0;
	/* A node that was there stays ours: the next refresh tries again. */
	if (!e->ino) {
		*find_entry(f, name) = e->next;
		free_entry(e);
	}
	return -1;
}

static void
remove_node(struct registry *r, const struct service *s)
{
	struct file_registry *f = (struct file_registry *)r;
	char name[FILE_NAME_LEN + 1];
	struct file_entry **at;

	if (s->nnodes != 1)
		return;
	file_node_name(name, s);
	at = find_entry(f, name);
	if (*at)
		take_away(f, at);
}

struct expulsion {
	struct bytes service, id;
	int done;
	bool foreign;			/* there is one of another user's */
	uid_t uid;
	int failed;			/* an errno */
};

static void
expel_one(struct file_registry *f, const char *name, void *arg)
{
	struct expulsion *x = arg;
	const struct service *s = &f->node.service;
	struct stat st;

	if (!file_node_of_service(name, x->service) || file_text(f, name, &f->text, &st) ||
	    file_node_read(&f->node, buf_data(&f->text), buf_len(&f->text)) ||
	    !bytes_eq(s->name, x->service) || !bytes_eq(s->nodes->id, x->id))
		return;
	if (st.st_uid != geteuid()) {
		x->foreign = true;
		x->uid = st.st_uid;
	} else if (unlinkat(f->dir, name, 0) == 0) {
		x->done++;
	} else if (errno != ENOENT) {
		x->failed = errno;
	}
}

static int
expel(struct registry *r, struct bytes service, struct bytes id, struct registry_reply *reply,
	struct error *err)
{
	struct file_registry *f = (struct file_registry *)r;
	struct expulsion x = { .service = service, .id = id };
	int open = file_dir_open(f, false, err);

	if (open <= 0)
		return open;
	if (file_each(f, expel_one, &x, err) < 0)
		return -1;
	errno = x.failed;
	if (x.failed)
		return error_sys(err, ERR_LOCAL_IO, "file registry: cannot remove from %s", f->path);
	if (!x.done && x.foreign)
		return error_set(err, ERR_LOCAL_IO, "file registry: user %u has registered this "
			"node", (unsigned)x.uid);
	reply->count = x.done;
	return 0;
}

static int
init(struct registry *r, struct error *err)
{
	struct file_registry *f = (struct file_registry *)r;

	(void)err;
	f->dir = f->changes.fd = -1;
	return 0;
}

static void
release(struct registry *r)
{
	struct file_registry *f = (struct file_registry *)r;

	while (f->entries)
		take_away(f, &f->entries);
	file_watch_release(f);
	file_look_release(f);
	file_dir_close(f);
	buf_release(&f->out);
}

static const struct broker_option options[] = {
	{ NULL }
};

const struct registry_ops file_registry_ops = {
	.name = "file",
	.default_address = "$XDG_RUNTIME_DIR/mbus/registry",
	.size = sizeof(struct file_registry),
	.options = options,
	.init = init,
	.release = release,
	.add = add,
	.remove = remove_node,
	.get = file_get,
	.list = file_list,
	.cancel = file_cancel,
	.watch = file_watch,
	.unwatch = file_unwatch,
	.expel = expel,
};

MODULE_REGISTRY(file_registry_ops);

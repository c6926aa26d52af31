/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directory the file registry is, and whether it can be trusted.
 *
 * By default it is one that only this user can write to: whoever can write there
 * can register a node for any topic and receive its events. So each part of it that
 * mbus makes is opened by way of its parent, without following links, and has to be
 * this user's. A directory that the user names may be shared: that is how two users
 * come to see each other. It is refused only where anybody, or a group that is not
 * the user's own, may remove or replace the files of others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/registry/file.h"

#define HOW_TO "--registry-address DIR names another"

enum { OPEN_DIR = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

void
file_dir_close(struct file_registry *f)
{
	if (f->dir >= 0)
		close(f->dir);
	f->dir = -1;
	free(f->path);
	f->path = NULL;
}

/* Is what is open still the directory that others would open? */
static bool
has_been_removed(const struct file_registry *f)
{
	struct stat st;

	return fstat(f->dir, &st) < 0 || st.st_nlink == 0;
}

/* ---- the default ---- */

/* Nobody else can write there. */
static int
check_private(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s", path);
	if (st.st_uid != geteuid())
		return error_set(err, ERR_LOCAL_IO, "%s belongs to user %u, not to you (%u); "
			HOW_TO, path, (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 022)
		return error_set(err, ERR_LOCAL_IO, "others may write to %s: chmod 700 it, or "
			HOW_TO, path);
	return 0;
}

/* Goes from the directory fd, which it closes, to the one below of that name. Adds
 * to the path. The new descriptor, -1, or -2: it is not there. */
static int
step_down(int fd, struct buf *path, const char *name, bool create, struct error *err)
{
	int below;

	buf_addf(path, "/%s", name);
	if (create && mkdirat(fd, name, 0700) < 0 && errno != EEXIST) {
		error_sys(err, ERR_LOCAL_IO, "cannot make %s (" HOW_TO ")", buf_cstr(path));
		close(fd);
		return -1;
	}
	below = openat(fd, name, OPEN_DIR | O_NOFOLLOW);
	close(fd);
	if (below < 0 && errno == ENOENT && !create)
		return -2;
	if (below < 0 && (errno == ELOOP || errno == ENOTDIR))
		return error_set(err, ERR_LOCAL_IO, "%s is a link or no directory: remove it; "
			HOW_TO, buf_cstr(path));
	if (below < 0)
		return error_sys(err, ERR_LOCAL_IO, "cannot open %s (" HOW_TO ")", buf_cstr(path));
	if (check_private(below, buf_cstr(path), err) < 0) {
		close(below);
		return -1;
	}
	return below;
}

/* The user's runtime directory, or /tmp where the machine makes none. -1: err. */
static int
open_base(struct buf *path, const char **first, struct error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int fd;

	*first = "mbus";
	if (runtime && *runtime) {
		if (*runtime != '/')
			return error_set(err, ERR_USAGE, "XDG_RUNTIME_DIR=%s is no absolute path; "
				HOW_TO, runtime);
		buf_add_str(path, runtime);
		fd = open(runtime, OPEN_DIR);
		if (fd < 0)
			return error_sys(err, ERR_LOCAL_IO, "XDG_RUNTIME_DIR=%s cannot be opened "
				"(unset it; " HOW_TO ")", runtime);
		if (check_private(fd, runtime, err) == 0)
			return fd;
		error_prefix(err, "XDG_RUNTIME_DIR");
		close(fd);
		return -1;
	}
	buf_addf(path, "/run/user/%u", (unsigned)geteuid());
	fd = open(buf_cstr(path), OPEN_DIR | O_NOFOLLOW);
	if (fd >= 0) {
		if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
			return fd;
		close(fd);
	}
	buf_clear(path);
	buf_add_str(path, "/tmp");
	fd = open("/tmp", OPEN_DIR);
	*first = NULL;
	return fd < 0 ? error_sys(err, ERR_LOCAL_IO, "/tmp (" HOW_TO ")") : fd;
}

static int
open_default(struct buf *path, bool create, struct error *err)
{
	char own[32];
	const char *first;
	int fd = open_base(path, &first, err);

	if (fd < 0)
		return -1;
	if (!first) {
		snprintf(own, sizeof own, "mbus-%u", (unsigned)geteuid());
		first = own;
	}
	fd = step_down(fd, path, first, create, err);
	return fd < 0 ? fd : step_down(fd, path, "registry", create, err);
}

/* ---- one that the user names ---- */

/* A link is followed if it is this user's own, or the system's. */
static int
open_following(const char *path, struct error *err)
{
	struct stat st;
	int fd = open(path, OPEN_DIR | O_NOFOLLOW);

	if (fd >= 0 || errno == ENOENT)
		return fd;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		if (st.st_uid != geteuid() && st.st_uid != 0)
			return error_set(err, ERR_LOCAL_IO, "%s is a link that user %u made: name "
				"the directory itself", path, (unsigned)st.st_uid);
		fd = open(path, OPEN_DIR);
	}
	return fd < 0 ? error_sys(err, ERR_LOCAL_IO, "%s", path) : fd;
}

static int
open_given(struct buf *path, const char *given, bool create, struct error *err)
{
	struct stat st;
	int fd;

	if (!strchr(given, '/'))
		return error_set(err, ERR_USAGE, "--registry-address %s: the file registry wants a "
			"directory with a / in it (./%s?)", given, given);
	buf_add_str(path, given);
	err->kind = ERR_NONE;
	fd = open_following(given, err);
	if (fd < 0 && err->kind)
		return -1;
	if (fd < 0 && !create)
		return -2;
	if (fd < 0) {
		if (mkdir(given, 0700) < 0 && errno != EEXIST)
			return error_sys(err, ERR_LOCAL_IO, "cannot make %s", given);
		fd = open(given, OPEN_DIR | O_NOFOLLOW);
		if (fd < 0)
			return error_sys(err, ERR_LOCAL_IO, "%s", given);
	}
	if (fstat(fd, &st) < 0 || (st.st_mode & S_ISVTX))
		return fd;
	if (st.st_mode & S_IWOTH)
		error_set(err, ERR_LOCAL_IO, "anybody may remove the files of others in %s: "
			"chmod +t it", given);
	else if ((st.st_mode & S_IWGRP) && st.st_gid != getegid())
		error_set(err, ERR_LOCAL_IO, "group %u may remove the files of others in %s: "
			"chmod +t it", (unsigned)st.st_gid, given);
	else
		return fd;
	close(fd);
	return -1;
}

int
file_dir_open(struct file_registry *f, bool create, struct error *err)
{
	const char *given = f->base.opts.address;
	struct buf path = BUF_INIT;
	struct stat st;
	int fd;

	if (f->dir >= 0 && !has_been_removed(f))
		return 1;
	file_dir_close(f);
	if (given && *given)
		fd = open_given(&path, given, create, err);
	else
		fd = open_default(&path, create, err);
	if (fd == -1)
		error_prefix(err, "file registry");
	if (fd == -2)
		log_verbose("file: %s is not there: nobody has registered", buf_cstr(&path));
	if (fd >= 0) {
		f->dir = fd;
		f->opened++;
		f->path = xmemdup0(buf_data(&path), buf_len(&path));
		/* Who may read the directory is to read the files, whatever the umask. */
		f->mode = 0600 | (fstat(fd, &st) == 0 ? st.st_mode & 044 : 0);
		log_debug("file: the directory is %s", f->path);
	}
	buf_release(&path);
	return fd >= 0 ? 1 : fd == -2 ? 0 : -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where the config file is, and reading it: see settings.h. */
#include "cli/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/secret.h"

enum { FILE_MAX_BYTES = 65536 };

/* NULL: nowhere. */
static char *
default_path(void)
{
	const char *dir = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf path = BUF_INIT;
	char *text;

	if (dir && *dir == '/')		/* a relative one is none, by its definition */
		buf_addf(&path, "%s/mbus/config", dir);
	else if (home && *home == '/')
		buf_addf(&path, "%s/.config/mbus/config", home);
	else
		return NULL;
	text = xmemdup0(buf_data(&path), buf_len(&path));
	buf_release(&path);
	return text;
}

static int
read_fd(struct settings *s, int fd, struct error *err)
{
	char text[FILE_MAX_BYTES + 1];
	size_t n = 0;
	ssize_t r;

	while ((r = read(fd, text + n, sizeof text - n)) != 0) {
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_sys(err, ERR_LOCAL_IO, "%s", s->file);
		n += (size_t)r;
		if (n > FILE_MAX_BYTES)
			return error_set(err, ERR_USAGE, "%s: more than %d bytes", s->file,
				FILE_MAX_BYTES);
	}
	/* With a URL in it there may be a password in it. */
	s->kept = memmem(text, n, "://", 3);
	s->text = s->kept ? (char *)secret_keep(text, n).p : xmemdup0(text, n);
	explicit_bzero(text, n);
	return profile_parse(s->text, n, s->file, &s->profile, err);
}

static bool
has_password(const char *value)
{
	size_t n = strlen(value);
	char *copy = xmemdup0(value, n);
	size_t masked = secret_mask(copy, n, false);
	bool has = masked != n || memcmp(copy, value, n) != 0;

	explicit_bzero(copy, n);
	free(copy);
	return has;
}

/* What others write is not what the user says: "exec" runs commands, "address" and
 * "cafile" say whom to trust. A file that was named is the user's choice whoever owns it,
 * and a project's may be a group's. And a secret that others can read is none any more. */
static int
check_mode(const struct common_args *c, const struct stat *st, struct error *err)
{
	const struct settings *s = c->settings;

	if (!c->config && st->st_uid != geteuid() && st->st_uid != 0)
		return error_set(err, ERR_USAGE, "%s: it is user %u's, who could say here what "
			"is run: not read (chown it, or name it by --config)", s->file,
			(unsigned)st->st_uid);
	if (st->st_mode & (c->config ? 002 : 022))
		return error_set(err, ERR_USAGE, "%s: others may write to it, who could say here "
			"what is run: not read (chmod go-w)", s->file);
	for (size_t i = 0; (st->st_mode & 044) && i < s->profile.n; i++)
		if (has_password(s->profile.v[i].value))
			return error_set(err, ERR_USAGE, "%s:%u: a password stands here, and "
				"others can read the file (chmod 600)", s->file,
				s->profile.v[i].line);
	return 0;
}

/* Is a default file that cannot be opened one that is not there for this user? A HOME
 * that is another's (su, cron, a container) cannot be looked into. */
static bool
is_absent(const char *path)
{
	struct stat st;

	return errno == ENOENT || errno == ENOTDIR || (errno == EACCES && stat(path, &st) < 0);
}

static int
open_file(struct common_args *c, struct settings *s, struct error *err)
{
	int fd, why;

	s->file = c->config ? xmemdup0(c->config, strlen(c->config)) : default_path();
	if (!s->file)
		return -2;
	fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		return fd;
	why = errno;
	if (!c->config && is_absent(s->file))
		return -2;
	errno = why;
	return error_sys(err, ERR_LOCAL_IO, "%s", s->file);
}

int
settings_read(struct common_args *c, struct error *err)
{
	struct settings *s = xcalloc(1, sizeof *s);
	struct stat st = { 0 };
	int fd, r;

	settings_release(c);
	c->settings = s;
	fd = open_file(c, s, err);
	if (fd < 0) {
		if (fd == -2 && c->profile && strcmp(c->profile, "default") != 0)
			return error_set(err, ERR_USAGE, "there is no profile '%s': there is no "
				"file %s", opt_shown(c->profile), s->file ? s->file :
				"of them, and no HOME to look for it");
		return fd == -2 ? 0 : -1;
	}
	r = read_fd(s, fd, err);
	if (r == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		r = check_mode(c, &st, err);
	close(fd);
	return r;
}

void
settings_release(struct common_args *c)
{
	struct settings *s = c->settings;

	if (!s)
		return;
	if (!s->kept)
		free(s->text);
	for (size_t i = 0; i < s->nx; i++)
		free(s->x[i]);
	free(s->x);
	profile_release(&s->profile);
	free(s->file);
	free(s->v);
	free(s);
	c->settings = NULL;
}

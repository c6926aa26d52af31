/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get --select: one of a service's nodes.
 *
 *	random		any
 *	round-robin	the one behind that of the last call, in the order of versions, ids
 *			and addresses. What is kept is which one that was, so nodes may
 *			come and go
 *	hash		the one whose id, version and address give the largest hash with
 *			the key: when a node comes or goes, only keys of that node move
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/registry_cmd.h"

enum { STATE_MAX = 4096 };		/* bytes of what is kept of a node */

static bool
strategy_is(const struct registry_args *a, const char *word)
{
	return strcmp(a->strategy ? a->strategy : "random", word) == 0;
}

int
registry_select_check(const struct registry_args *a, struct error *err)
{
	if (a->strategy && !a->select)
		return error_set(err, ERR_USAGE, "--strategy says which node: it belongs to --select");
	if (a->strategy && !strategy_is(a, "random") && !strategy_is(a, "round-robin") &&
	    !strategy_is(a, "hash"))
		return error_set(err, ERR_USAGE, "--strategy is random, round-robin or hash, not %s",
			opt_shown(a->strategy));
	if (a->hash_key && !strategy_is(a, "hash"))
		return error_set(err, ERR_USAGE, "--hash-key belongs to --strategy hash");
	if (!a->hash_key && strategy_is(a, "hash"))
		return error_set(err, ERR_USAGE, "--strategy hash: of what? (--hash-key K)");
	return 0;
}

/* FNV-1a, and at the end all bits into all: the largest of many is to be anyone. */
static uint64_t
hash(uint64_t h, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	return (h ^ 0xff) * 0x100000001b3;
}

static uint64_t
mix(uint64_t h)
{
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;
	h = (h ^ h >> 27) * 0x94d049bb133111eb;
	return h ^ h >> 31;
}

#define HASH_BEGIN 0xcbf29ce484222325

static size_t
by_hash(const struct inquiry *q)
{
	uint64_t key = hash(HASH_BEGIN, bytes_str(q->args->hash_key)), best = 0;
	size_t chosen = 0;

	for (size_t i = 0; i < q->nfound; i++) {
		const struct found *f = q->found[i];
		uint64_t h = mix(hash(hash(hash(key, f->version), f->node.id), f->node.address));

		if (h > best) {
			best = h;
			chosen = i;
		}
	}
	return chosen;
}

static int
at_random(struct inquiry *q, size_t *chosen)
{
	uint64_t r;

	if (getrandom(&r, sizeof r, 0) != sizeof r)
		return error_sys(q->err, ERR_LOCAL_IO, "no random number");
	*chosen = (size_t)(r % q->nfound);
	return 0;
}

/* ---- round robin ---- */

/* Makes each folder of the path that is not there, the last one aside. */
static void
make_folders(char *path)
{
	for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
}

static int
open_state(struct inquiry *q, struct buf *path)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const char *registry = q->registry->ops->name, *address = q->registry->opts.address;
	uint64_t h = hash(hash(HASH_BEGIN, bytes_str(registry)),
		address ? bytes_str(address) : BYTES(""));
	int fd;

	if (base && *base == '/')
		buf_add_str(path, base);
	else if (home && *home == '/')
		buf_addf(path, "%s/.local/state", home);
	else
		return error_set(q->err, ERR_LOCAL_IO, "--strategy round-robin keeps its place in a "
			"file: set HOME or XDG_STATE_HOME");
	buf_addf(path, "/mbus/round-robin/%016llx",
		(unsigned long long)mix(hash(h, bytes_str(q->operands[0]))));
	make_folders((char *)buf_cstr(path));
	fd = open(buf_cstr(path), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_sys(q->err, ERR_LOCAL_IO, "--strategy round-robin: %s", buf_cstr(path));
	return fd;
}

/* One call after the other, so that no two of them have the same place. */
static int
read_state(int fd, struct buf *last)
{
	ssize_t n;

	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -1;
	n = pread(fd, buf_room(last, STATE_MAX), STATE_MAX, 0);
	if (n < 0)
		return -1;
	buf_added(last, (size_t)n);
	return 0;
}

static void
add_state(struct buf *out, const struct found *f)
{
	buf_add_bytes(out, f->version);
	buf_add_ch(out, '\0');
	buf_add_bytes(out, f->node.id);
	buf_add_ch(out, '\0');
	buf_add_bytes(out, f->node.address);
	if (buf_len(out) > STATE_MAX)
		buf_truncate(out, STATE_MAX);
}

static int
write_state(int fd, const struct buf *state)
{
	size_t n = buf_len(state);

	return pwrite(fd, buf_data(state), n, 0) == (ssize_t)n && ftruncate(fd, (off_t)n) == 0 ?
		0 : -1;
}

/* A NUL sorts before all else, so the order of these texts is that of the nodes. */
static size_t
behind(const struct inquiry *q, const struct buf *last)
{
	struct buf s = BUF_INIT;
	size_t i;

	for (i = 0; i < q->nfound; i++) {
		buf_clear(&s);
		add_state(&s, q->found[i]);
		if (bytes_cmp(buf_bytes(&s), buf_bytes(last)) > 0)
			break;
	}
	buf_release(&s);
	return i < q->nfound ? i : 0;
}

static int
in_turn(struct inquiry *q, size_t *chosen)
{
	struct buf path = BUF_INIT, state = BUF_INIT;
	int fd = open_state(q, &path), r = fd < 0 ? -1 : 0;

	if (fd >= 0 && read_state(fd, &state) < 0)
		r = error_sys(q->err, ERR_LOCAL_IO, "--strategy round-robin: %s", buf_cstr(&path));
	if (r == 0) {
		*chosen = behind(q, &state);
		buf_clear(&state);
		add_state(&state, q->found[*chosen]);
		if (write_state(fd, &state) < 0)
			r = error_sys(q->err, ERR_LOCAL_IO, "--strategy round-robin: %s",
				buf_cstr(&path));
	}
	if (fd >= 0)
		close(fd);
	buf_release(&path);
	buf_release(&state);
	return r;
}

int
registry_select(struct inquiry *q, size_t *chosen)
{
	if (strategy_is(q->args, "round-robin"))
		return in_turn(q, chosen);
	if (strategy_is(q->args, "random"))
		return at_random(q, chosen);
	*chosen = by_hash(q);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coming to a bus, making it, leaving it, removing it.
 *
 * Who opens or leaves holds the lock of one byte (SETUP) meanwhile, so that "the last
 * one removes it" and "I come" never overlap; the kernel frees that, too, when its
 * owner dies. A bus is made by filling the file and writing its first 64 bytes last: a
 * file that begins with zeros was not finished, nobody is attached to it, and whoever
 * comes next makes it anew.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

enum { HEAD_BYTES = 64, OPEN_TRIES = 100 };

#define SLOT_BYTE ((off_t)1 << 40)
#define SETUP_BYTE ((off_t)1 << 41)

int
memory_damaged(const struct memory_bus *m, struct error *err, const char *what)
{
	return error_set(err, ERR_CONNECT, "the bus %s is damaged: %s (%s)", m->place.name, what,
		m->path);
}

/* ---- locks of bytes, the kernel's ---- */

static int
byte_lock(int fd, int type, off_t at)
{
	struct flock l = { .l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &l);
}

/* Has another open file locked any of n bytes? */
static bool
byte_locked(int fd, off_t at, off_t n)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = n };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

bool
memory_alive(const struct memory_bus *m, uint32_t slot, uint32_t generation)
{
	if (slot >= MEMORY_SLOTS || LOAD(m->slots[slot].generation) != generation)
		return false;
	return slot == m->slot || byte_locked(m->fd, SLOT_BYTE + slot, 1);
}

static void
nap(long ns)
{
	struct timespec ts = { 0, ns };

	nanosleep(&ts, NULL);
}

/* The others hold it for microseconds; one that was stopped meanwhile, for longer. */
static bool
setup_lock(int fd, unsigned wait_ms)
{
	uint64_t begin = 0;

	while (byte_lock(fd, F_WRLCK, SETUP_BYTE) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return false;
		if (!begin)
			begin = memory_now_ms();
		else if (memory_now_ms() - begin > wait_ms)
			return false;
		nap(50000);
	}
	return true;
}

static void
setup_unlock(int fd)
{
	byte_lock(fd, F_UNLCK, SETUP_BYTE);
}

/* ---- memory that goes away ---- */

/* Somebody made a file shorter that is mapped here. Nothing can be saved, but it can
 * be said. */
static void
sigbus(int signo)
{
	static const char text[] = "mbus: the memory broker: a file of the bus was cut short while "
		"it was in use\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);

	(void)signo;
	(void)n;
	_exit(6);
}

static void
catch_sigbus(void)
{
	struct sigaction sa = { .sa_handler = sigbus };

	sigaction(SIGBUS, &sa, NULL);
}

int
memory_back(struct memory_bus *m, uint64_t at, uint64_t n)
{
	int r;

	do
		r = posix_fallocate(m->fd, (off_t)at, (off_t)n);
	while (r == EINTR);
	errno = r;
	return r ? -1 : 0;
}

/* ---- the folder ---- */

static int
open_folder(struct memory_bus *m, bool create, struct error *err)
{
	struct stat st;
	bool made = create && mkdir(m->path, 0700) == 0;

	if (create && !made && errno != EEXIST)
		return error_sys(err, errno == EACCES ? ERR_AUTH : ERR_LOCAL_IO, "%s", m->path);
	m->dir = open(m->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->dir < 0 && errno == ENOENT)
		return 0;
	if (m->dir < 0 && (errno == ELOOP || errno == ENOTDIR))
		return error_set(err, ERR_CONNECT, "%s: a symbolic link or a file, not a bus",
			m->path);
	if (m->dir < 0)
		return error_sys(err, errno == EACCES ? ERR_AUTH : ERR_LOCAL_IO, "%s", m->path);
	if (fstat(m->dir, &st) < 0 || st.st_uid != m->place.uid)
		return error_set(err, ERR_AUTH, "%s: belongs to user %u, not to %u", m->path,
			(unsigned)st.st_uid, (unsigned)m->place.uid);
	if (made && m->place.mode != 0600)
		fchmod(m->dir, 01700 | (m->place.mode & 060 ? 070 : 0) |
			(m->place.mode & 06 ? 07 : 0));
	return 1;
}

/* ---- the segment ---- */

static uint64_t
file_bytes(uint64_t ring_bytes)
{
	return MEMORY_DATA_AT + MEMORY_RINGS * ring_bytes;
}

static int
no_space(const struct memory_bus *m, struct error *err)
{
	return error_sys(err, ERR_LOCAL_IO, "no room for the bus %s in %s", m->place.name,
		m->place.folder);
}

/* Under SETUP, nobody is attached. */
static int
make_segment(struct memory_bus *m, struct error *err)
{
	struct timespec ts;
	struct memory_head h = { .layout = MEMORY_LAYOUT, .page = MEMORY_PAGE,
		.ring_bytes = m->place.ring_bytes, .file_bytes = file_bytes(m->place.ring_bytes) };

	clock_gettime(CLOCK_REALTIME, &ts);
	memcpy(h.magic, MEMORY_MAGIC, sizeof h.magic);
	h.made_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	memory_step("making");
	if (ftruncate(m->fd, 0) < 0 || ftruncate(m->fd, (off_t)h.file_bytes) < 0 ||
	    memory_back(m, 0, MEMORY_SUBS_AT) < 0)
		return no_space(m, err);
	fchmod(m->fd, m->place.mode);
	memory_step("made all but its beginning");
	if (pwrite(m->fd, &h, HEAD_BYTES, 0) != HEAD_BYTES)
		return no_space(m, err);
	memory_step("made");
	return 0;
}

/* 1: a bus; 0: one that was not finished; -1. */
static int
check_segment(struct memory_bus *m, const struct stat *st, struct error *err)
{
	static const char zeros[HEAD_BYTES];
	union { struct memory_head h; char bytes[HEAD_BYTES]; } u;
	ssize_t n = pread(m->fd, u.bytes, HEAD_BYTES, 0);

	if (n < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s/bus", m->path);
	if (n == 0 || (n == HEAD_BYTES && memcmp(u.bytes, zeros, HEAD_BYTES) == 0))
		return 0;
	if (n < HEAD_BYTES || memcmp(u.h.magic, MEMORY_MAGIC, sizeof u.h.magic) != 0)
		return error_set(err, ERR_CONNECT, "%s/bus is no bus of mbus (mbus topics -B memory "
			"-b %s -X memory.remove=all removes it)", m->path, m->place.name);
	if (u.h.layout != MEMORY_LAYOUT || u.h.page != MEMORY_PAGE)
		return error_set(err, ERR_CONNECT, "the bus %s has layout %u, and this mbus %s knows "
			"layout %u", m->place.name, (unsigned)u.h.layout, MBUS_VERSION,
			(unsigned)MEMORY_LAYOUT);
	if (u.h.ring_bytes < MEMORY_RING_MIN || u.h.ring_bytes > UINT64_C(1) << 30 ||
	    u.h.ring_bytes % MEMORY_PAGE || u.h.file_bytes != file_bytes(u.h.ring_bytes))
		return memory_damaged(m, err, "its sizes do not add up");
	if ((uint64_t)st->st_size != u.h.file_bytes ||
	    (uint64_t)st->st_blocks * 512 < MEMORY_SUBS_AT)
		return memory_damaged(m, err, "it was cut short");
	m->ring_bytes = u.h.ring_bytes;
	m->mine_alone = st->st_uid == geteuid() && !(st->st_mode & 022);
	return 1;
}

static int
map_segment(struct memory_bus *m, struct error *err)
{
	m->map = mmap(NULL, MEMORY_DATA_AT, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return error_sys(err, ERR_LOCAL_IO, "%s/bus", m->path);
	}
	catch_sigbus();
	m->head = (struct memory_head *)m->map;
	m->slots = (struct memory_slot *)(m->map + MEMORY_SLOTS_AT);
	m->bodies = (struct memory_body *)(m->map + MEMORY_BODIES_AT);
	return 0;
}

/* Under SETUP. The slot's owner before is provably gone: what it was making is in
 * nobody's way, and its generation ends its claims to everything. */
static int
take_slot(struct memory_bus *m, struct error *err)
{
	struct memory_slot *s;
	struct stat st;
	uint32_t n;

	for (m->slot = 0; m->slot < MEMORY_SLOTS; m->slot++)
		if (byte_lock(m->fd, F_WRLCK, SLOT_BYTE + m->slot) == 0)
			break;
	if (m->slot == MEMORY_SLOTS)
		return error_set(err, ERR_CONNECT, "the bus %s is full: %d processes use it",
			m->place.name, MEMORY_SLOTS);
	s = &m->slots[m->slot];
	if (s->body) {
		memory_body_unlink(m, m->slot, s->generation, s->body);
		s->body = 0;
	}
	m->generation = LOAD(s->generation) + 1;
	m->me = (m->slot + 1) | (m->generation & 0x1fffff) << 10;
	STORE(s->wants, WANTS_NOTHING);
	STORE(s->bell, (s->bell & ~3u) + 4);
	STORE(s->generation, m->generation);
	s->pid = getpid();
	s->pid_ns = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
	snprintf(s->program, sizeof s->program, "%s", program_invocation_short_name);
	n = LOAD(m->head->slots);
	if (n <= m->slot)
		STORE(m->head->slots, m->slot + 1);
	return 0;
}

/* ---- opening ---- */

enum opened { OPENED, OPEN_AGAIN, OPEN_NONE, OPEN_FAILED };

/* Under SETUP, on a file that is still the bus. */
static enum opened
open_locked(struct memory_bus *m, bool create, const struct stat *st, struct error *err)
{
	int r = check_segment(m, st, err);
	struct stat now;

	if (r == 0 && !create)
		return OPEN_NONE;
	if (r == 0 && make_segment(m, err) < 0) {
		if (ftruncate(m->fd, 0) < 0)	/* gives back what it got */
			error_prefix(err, "%s", m->path);
		return OPEN_FAILED;
	}
	if (r == 0 && (fstat(m->fd, &now) < 0 || (r = check_segment(m, &now, err)) <= 0))
		return OPEN_FAILED;
	if (r < 0 || map_segment(m, err) < 0 || take_slot(m, err) < 0)
		return OPEN_FAILED;
	return OPENED;
}

static enum opened
open_once(struct memory_bus *m, bool create, struct error *err)
{
	int how = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (create ? O_CREAT : 0);
	int r = open_folder(m, create, err);
	enum opened o;
	struct stat st;

	if (r <= 0)
		return r < 0 ? OPEN_FAILED : create ? OPEN_AGAIN : OPEN_NONE;
	m->fd = openat(m->dir, "bus", how, 0600);
	if (m->fd < 0 && errno == ENOENT)	/* of a folder that was removed, too */
		return create ? OPEN_AGAIN : OPEN_NONE;
	if (m->fd < 0 && errno == ELOOP)
		error_set(err, ERR_CONNECT, "%s/bus: a symbolic link, not a bus", m->path);
	else if (m->fd < 0)
		error_sys(err, errno == EACCES ? ERR_AUTH : ERR_LOCAL_IO, "%s/bus", m->path);
	if (m->fd < 0)
		return OPEN_FAILED;
	if (fstat(m->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		error_set(err, ERR_CONNECT, "%s/bus: not a file", m->path);
		return OPEN_FAILED;
	}
	if (st.st_uid != m->place.uid) {
		error_set(err, ERR_AUTH, "%s/bus: belongs to user %u, not to %u", m->path,
			(unsigned)st.st_uid, (unsigned)m->place.uid);
		return OPEN_FAILED;
	}
	if (!setup_lock(m->fd, m->place.wait_ms)) {
		error_set(err, ERR_CONNECT, "the bus %s: another process has begun to open or "
			"leave it and stands still", m->place.name);
		return OPEN_FAILED;
	}
	memory_step("opening");
	o = fstat(m->fd, &st) < 0 || st.st_nlink == 0 ? OPEN_AGAIN :
		open_locked(m, create, &st, err);
	setup_unlock(m->fd);
	return o;
}

static void
let_go(struct memory_bus *m)
{
	for (uint32_t i = 0; i < MEMORY_RINGS; i++)
		if (m->rings[i])
			munmap(m->rings[i], m->ring_bytes);
	memset(m->rings, 0, sizeof m->rings);
	if (m->map)
		munmap(m->map, MEMORY_DATA_AT);
	for (uint32_t i = 0; m->bells && i < MEMORY_SLOTS; i++)
		if (m->bells[i])
			close(m->bells[i] - 1);
	free(m->bells);
	if (m->bell >= 0)
		close(m->bell);
	if (m->fd >= 0)
		close(m->fd);
	if (m->dir >= 0)
		close(m->dir);
	m->map = NULL;
	m->bells = NULL;
	m->fd = m->dir = m->bell = -1;
}

static struct memory_bus *
bus_new(const struct memory_place *place)
{
	struct memory_bus *m = xcalloc(1, sizeof *m);

	m->place = *place;
	m->fd = m->dir = m->bell = -1;
	snprintf(m->path, sizeof m->path, "%.400s/mbus.%u.%s", place->folder,
		(unsigned)place->uid, place->name);
	return m;
}

int
memory_open(struct memory_bus **out, const struct memory_place *place, bool create,
	struct error *err)
{
	struct memory_bus *m = bus_new(place);
	enum opened o = OPEN_AGAIN;

	*out = NULL;
	for (int i = 0; o == OPEN_AGAIN && i < OPEN_TRIES; i++) {
		let_go(m);
		o = open_once(m, create, err);
	}
	if (o == OPEN_AGAIN)
		error_set(err, ERR_CONNECT, "%s: it is removed as often as it is opened", m->path);
	if (o == OPENED) {
		*out = m;
		return 0;
	}
	/* What a failed attempt has made, it takes away, if it is empty. */
	if (o == OPEN_FAILED && create && m->fd >= 0 && setup_lock(m->fd, 100)) {
		struct stat st;

		if (fstat(m->fd, &st) == 0 && st.st_size == 0 && st.st_nlink &&
		    unlinkat(m->dir, "bus", 0) == 0)
			rmdir(m->path);
	}
	let_go(m);
	free(m);
	return o == OPEN_NONE ? 0 : -1;
}

/* ---- leaving ---- */

static void
remove_files(struct memory_bus *m)
{
	int fd = dup(m->dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	/* First the segment: who has opened it sees that it is gone. */
	unlinkat(m->dir, "bus", 0);
	memory_step("removing");
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	rewinddir(d);
	while ((e = readdir(d)))
		if (strncmp(e->d_name, "bell.", 5) == 0 || strncmp(e->d_name, "body.", 5) == 0)
			unlinkat(m->dir, e->d_name, 0);
	closedir(d);
	rmdir(m->path);
}

/* A group keeps its place for some time after its last member has gone. */
static bool
keeps_group(struct memory_bus *m)
{
	uint64_t now = memory_now_ms();
	uint32_t n = LOAD(m->head->groups);

	for (uint32_t i = 0; i < n && i < MEMORY_GROUPS; i++) {
		struct memory_group *g = memory_group_at(m, i);
		uint64_t idle = g ? LOAD(g->idle_ms) : 0, keep = g ? g->keep_ms : 0;

		if (g && LOAD(g->state) == STATE_USED && (!idle || now - idle < keep))
			return true;
	}
	return false;
}

void
memory_close(struct memory_bus *m)
{
	bool setup = setup_lock(m->fd, 1000), last;

	/* Who cannot get it leaves all the same; the next one to leave looks again. */
	last = setup && !byte_locked(m->fd, SLOT_BYTE, MEMORY_SLOTS);
	if (last && memory_lock(m)) {
		memory_reap(m);		/* groups whose members were killed begin to end */
		memory_unlock(m);
	}
	m->slots[m->slot].pid = 0;
	memory_step("leaving");
	byte_lock(m->fd, F_UNLCK, SLOT_BYTE + m->slot);
	if (last && !keeps_group(m))
		remove_files(m);
	let_go(m);
	free(m);
}

/* By name and not by way of memory_open(): what is to go may be no bus any more. The
 * header of one that is mapped by others says to them that it was removed. */
int
memory_remove(const struct memory_place *place, bool unused, bool *none, struct error *err)
{
	struct memory_bus *m = bus_new(place);
	int r = open_folder(m, false, err);
	struct error ignored;
	struct stat st;

	*none = r == 0;
	if (r > 0) {
		m->fd = openat(m->dir, "bus", O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		r = 0;
		if (m->fd >= 0 && !setup_lock(m->fd, place->wait_ms))
			r = error_set(err, ERR_CONNECT, "the bus %s: another process stands still "
				"while it opens or leaves it", place->name);
		else if (unused && m->fd >= 0 && byte_locked(m->fd, SLOT_BYTE, MEMORY_SLOTS))
			r = error_set(err, ERR_REFUSED, "the bus %s is in use", place->name);
		if (r == 0 && m->fd >= 0 && fstat(m->fd, &st) == 0 && S_ISREG(st.st_mode) &&
		    check_segment(m, &st, &ignored) > 0 && map_segment(m, &ignored) == 0) {
			m->slot = MEMORY_SLOTS;
			STORE(m->head->removed, 1);
			for (uint32_t i = 0; i < MEMORY_SLOTS; i++)
				memory_ring_bell(m, i);
		}
		if (r == 0)
			remove_files(m);
	}
	let_go(m);
	free(m);
	return r;
}

bool
memory_exists(const struct memory_place *place)
{
	char path[512];

	snprintf(path, sizeof path, "%.400s/mbus.%u.%s", place->folder, (unsigned)place->uid,
		place->name);
	return access(path, F_OK) == 0 || errno != ENOENT;
}

/* ---- which there are ---- */

void
memory_buses(const char *folder, uint32_t uid, struct buf *names, size_t *n)
{
	char prefix[32];
	size_t len = (size_t)snprintf(prefix, sizeof prefix, "mbus.%u.", (unsigned)uid);
	DIR *d = opendir(folder);
	struct dirent *e;

	*n = 0;
	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, prefix, len) == 0 && e->d_name[len] &&
		    strlen(e->d_name + len) <= 64) {
			buf_add(names, e->d_name + len, strlen(e->d_name + len) + 1);
			++*n;
		}
	if (d)
		closedir(d);
}

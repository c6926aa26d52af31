/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bells: how a process that sleeps in its event loop is woken. A futex cannot be
 * waited for together with descriptors, and a descriptor cannot be reached through
 * shared memory; a FIFO has a name, in the bus's own folder, and works between network
 * and pid namespaces. A byte is written once a sleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

static void
bell_name(char name[16], uint32_t slot)
{
	snprintf(name, 16, "bell.%u", (unsigned)slot);
}

/* Read and write, so that it never sees an end of file. */
int
memory_bell_open(struct memory_bus *m, struct error *err)
{
	char name[16];
	struct stat st;

	if (m->bell >= 0)
		return 0;
	bell_name(name, m->slot);
	if (mkfifoat(m->dir, name, m->place.mode) < 0 ? errno != EEXIST :
	    fchmodat(m->dir, name, m->place.mode, 0) < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s/%s", m->path, name);
	m->bell = openat(m->dir, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (m->bell < 0 || fstat(m->bell, &st) < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s/%s", m->path, name);
	if (!S_ISFIFO(st.st_mode)) {
		close(m->bell);
		m->bell = -1;
		return error_set(err, ERR_LOCAL_IO, "%s/%s: no FIFO", m->path, name);
	}
	memory_bell_drain(m);
	return 0;
}

/* Only its owner starts an epoch. */
static void
bell_set(struct memory_bus *m, enum memory_bell state)
{
	uint32_t *bell = &m->slots[m->slot].bell;
	uint32_t epoch = __atomic_load_n(bell, __ATOMIC_RELAXED) & ~3u;

	__atomic_store_n(bell, (epoch + 4) | (uint32_t)state, __ATOMIC_SEQ_CST);
}

void
memory_bell_sleep(struct memory_bus *m)
{
	bell_set(m, BELL_ASLEEP);
	FENCE();
}

void
memory_bell_wake(struct memory_bus *m)
{
	if ((m->slots[m->slot].bell & 3) != BELL_AWAKE)
		bell_set(m, BELL_AWAKE);
}

void
memory_bell_drain(struct memory_bus *m)
{
	char bytes[64];

	while (read(m->bell, bytes, sizeof bytes) == (ssize_t)sizeof bytes)
		;
}

void
memory_bell_poke(struct memory_bus *m)
{
	ssize_t n = write(m->bell, "", 1);

	(void)n;	/* full of bytes it wakes as well */
}

/* The FIFO stays when its slot changes hands, so an end once opened stays good. */
static int
bell_of(struct memory_bus *m, uint32_t slot)
{
	char name[16];
	struct stat st;
	int fd;

	if (!m->bells)
		m->bells = xcalloc(MEMORY_SLOTS, sizeof *m->bells);
	if (m->bells[slot])
		return m->bells[slot] - 1;
	bell_name(name, slot);
	fd = openat(m->dir, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	m->bells[slot] = fd + 1;
	return fd;
}

void
memory_ring_bell(struct memory_bus *m, uint32_t slot)
{
	uint32_t *bell, seen;
	int fd;

	if (slot >= MEMORY_SLOTS)
		return;
	bell = &m->slots[slot].bell;
	seen = __atomic_load_n(bell, __ATOMIC_SEQ_CST);
	if ((seen & 3) != BELL_ASLEEP)
		return;
	fd = bell_of(m, slot);
	memory_step("ring");
	/* EAGAIN: it is full of bytes, which wake as well. EPIPE: nobody is there. */
	if (fd >= 0 && (write(fd, "", 1) == 1 || errno == EAGAIN)) {
		memory_step("rung");
		__atomic_compare_exchange_n(bell, &seen, (seen & ~3u) | BELL_RUNG, false,
			__ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} else {
		m->suspects = true;
	}
}

void
memory_ring_wanting(struct memory_bus *m, enum memory_wants wants)
{
	uint32_t n = LOAD(m->head->slots);

	for (uint32_t i = 0; i < n && i < MEMORY_SLOTS; i++)
		if (i != m->slot && LOAD(m->slots[i].wants) == (uint32_t)wants)
			memory_ring_bell(m, i);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records too large for a ring: each in a file of its own beside the segment, which
 * the record in the ring names. It is written before the record is published, never
 * changed, and removed when all readers have passed the record (memory_reclaim).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

static void
body_name(char name[64], uint32_t slot, uint32_t generation, uint64_t number)
{
	snprintf(name, 64, "body.%u.%u.%llu", (unsigned)slot, (unsigned)generation,
		(unsigned long long)number);
}

void
memory_body_unlink(struct memory_bus *m, uint32_t slot, uint32_t generation, uint64_t number)
{
	char name[64];

	body_name(name, slot, generation, number);
	unlinkat(m->dir, name, 0);
}

static int
write_all(int fd, const char *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t w = pwrite(fd, p + at, n - at, (off_t)at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		at += (size_t)w;
	}
	return 0;
}

int
memory_body_make(struct memory_bus *m, const char *p, size_t n, struct memory_stub *stub)
{
	char name[64];
	int fd, r, saved;

	*stub = (struct memory_stub){ m->slot, m->generation, ++m->bodies_made, n };
	/* Noted first: who takes the slot after our death removes it. */
	STORE(m->slots[m->slot].body, stub->number);
	memory_step("making a body");
	body_name(name, stub->slot, stub->generation, stub->number);
	fd = openat(m->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (m->place.mode != 0600)
		fchmod(fd, m->place.mode);
	r = write_all(fd, p, n);
	saved = errno;
	close(fd);
	memory_step("made a body");
	if (r < 0)
		unlinkat(m->dir, name, 0);
	errno = saved;
	return r;
}

int
memory_body_map(struct memory_bus *m, struct bytes record, struct memory_mapping *map,
	struct bytes *whole, struct error *err)
{
	struct memory_stub stub;
	struct stat st;
	char name[64];
	int fd;

	*map = (struct memory_mapping){ 0 };
	if (record.n < sizeof(struct memory_record) + sizeof stub)
		return memory_damaged(m, err, "a record is too short");
	memcpy(&stub, record.p + sizeof(struct memory_record), sizeof stub);
	body_name(name, stub.slot, stub.generation, stub.number);
	fd = openat(m->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return memory_damaged(m, err, "a large event's file is not there");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || stub.size > INT32_MAX ||
	    (uint64_t)st.st_size != stub.size || stub.size < sizeof(struct memory_record)) {
		close(fd);
		return memory_damaged(m, err, "a large event's file has not its size");
	}
	map->n = stub.size;
	map->p = mmap(NULL, map->n, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (map->p == MAP_FAILED) {
		map->p = NULL;
		return error_sys(err, ERR_LOCAL_IO, "%s/%s", m->path, name);
	}
	/* Where others could change it while it is parsed, a copy is. */
	if (!m->mine_alone) {
		map->copy = xmalloc(map->n);
		memcpy(map->copy, map->p, map->n);
	}
	*whole = bytes_of(map->copy ? map->copy : map->p, map->n);
	return 0;
}

void
memory_body_unmap(struct memory_mapping *map)
{
	if (map->p)
		munmap(map->p, map->n);
	free(map->copy);
	*map = (struct memory_mapping){ 0 };
}

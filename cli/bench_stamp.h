/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `mbus bench` puts in front of the body of each of its events: whose it is, its
 * number, and when it should have been sent. 24 bytes:
 *
 *	0	4	the run
 *	4	2	the publisher
 *	6	1	enum stamp_flags
 *	7	5	its number
 *	12	8	when it was due, in nanoseconds
 *	20	4	a sum over all that
 *
 * little-endian, as both ends are this program. Behind it the body is the same in
 * every event, so that a byte that was changed on the way is seen.
 */
#ifndef MBUS_CLI_BENCH_STAMP_H
#define MBUS_CLI_BENCH_STAMP_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { STAMP_BYTES = 24 };

enum stamp_flags {
	STAMP_WARM = 1,			/* of the warm-up: counted, but not measured */
	STAMP_END = 2,			/* no event: the publisher has ended, and its body
					 * says how (struct stamp_end) */
	STAMP_FILE = 4			/* what is behind it is a file's (--payload) */
};

struct stamp {
	uint32_t run;
	uint16_t publisher;
	uint8_t flags;
	uint64_t number;		/* 40 bits */
	uint64_t due_ns;
};

static inline uint32_t
stamp_sum(const char *p)
{
	uint64_t a, b;
	uint32_t c;

	memcpy(&a, p, 8);
	memcpy(&b, p + 8, 8);
	memcpy(&c, p + 16, 4);
	a = (a ^ c) * UINT64_C(0x9e3779b97f4a7c15);
	b = (b ^ a >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)((a ^ b) >> 32);
}

static inline void
stamp_write(char *p, const struct stamp *s)
{
	uint32_t run = htole32(s->run), sum;
	uint64_t head = htole64((uint64_t)s->publisher | (uint64_t)s->flags << 16 |
		s->number << 24), due = htole64(s->due_ns);

	memcpy(p, &run, 4);
	memcpy(p + 4, &head, 8);
	memcpy(p + 12, &due, 8);
	sum = stamp_sum(p);
	memcpy(p + 20, &sum, 4);
}

/* false: it is none, or was changed. */
static inline bool
stamp_read(const char *p, size_t n, struct stamp *s)
{
	uint32_t run, sum;
	uint64_t head, due;

	if (n < STAMP_BYTES)
		return false;
	memcpy(&run, p, 4);
	memcpy(&head, p + 4, 8);
	memcpy(&due, p + 12, 8);
	memcpy(&sum, p + 20, 4);
	head = le64toh(head);
	s->run = le32toh(run);
	s->publisher = (uint16_t)head;
	s->flags = (uint8_t)(head >> 16);
	s->number = head >> 24;
	s->due_ns = le64toh(due);
	return sum == stamp_sum(p);
}

#endif

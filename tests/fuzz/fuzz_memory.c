/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bus in which anything may stand: the input overwrites parts of a segment that was
 * made properly (first two bytes of each piece: where and how long), then everything is
 * done to it that a process does. Nothing may crash or go on for ever.
 *
 * The first byte says whether it is a single record instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_ring(struct memory_bus *m, struct memory_cursor c)
{
	static struct memory_headers headers;
	static struct memory_chunk chunk;
	struct bytes record;
	struct event ev;
	struct error err;

	for (int i = 0; i < 50 && memory_fill(m, &c, &chunk, &err) > 0; i++) {
		while (memory_next(m, &chunk, &record, &err) > 0) {
			struct memory_mapping map;
			struct memory_record h;

			memcpy(&h, record.p, sizeof h);
			if (!(h.flags & RECORD_BODY))
				memory_decode(record, &ev, &headers);
			else if (memory_body_map(m, record, &map, &record, &err) == 0)
				memory_body_unmap(&map);
		}
		c.position = chunk.position;
	}
}

/* Where there is something: the control blocks and the first ring's bytes. */
static void
scribble(struct memory_bus *m, const uint8_t *p, size_t n)
{
	static const uint64_t places[] = {
		64, MEMORY_SLOTS_AT, MEMORY_BODIES_AT, MEMORY_SUBS_AT, MEMORY_GROUPS_AT,
		MEMORY_RINGS_AT, MEMORY_RINGS_AT + MEMORY_PAGE,
	};
	struct error err;

	while (n > 4) {
		size_t where = p[0] % 8, off = p[1] | (size_t)(p[2] & 15) << 8, len = p[3] % 64;
		char *to = where < 7 ? m->map + places[where] : memory_ring_data(m, 0, &err);

		p += 4;
		n -= 4;
		if (len > n)
			len = n;
		/* The page behind the head is the slots'. */
		if (to && off + len <= (where ? 4096u : 4000u))
			memcpy(to + off, p, len);
		p += len;
		n -= len;
	}
}

static void
use(struct memory_bus *m, uint32_t sub, struct memory_cursor c)
{
	struct memory_router router = { 0 };
	struct message msg = { .body = BYTES("body") };
	struct memory_item item = { 0 };
	struct memory_wish wish = { .filter = BYTES("b.*") };
	struct buf b = BUF_INIT;
	size_t done, unheard;
	uint32_t slowest, claim, more;
	uint64_t from, to;
	struct error err;

	memory_encode(&b, BYTES("t"), &msg, NULL, 0, &err);
	item.size = (uint32_t)buf_len(&b);
	for (int i = 0; i < 3; i++)
		memory_write(m, &router, buf_data(&b), &item, 1, &done, &unheard, &slowest);
	read_ring(m, c);
	if (memory_lock(m)) {
		if (memory_claim(m, sub, 4, 1, &claim, &from, &to)) {
			struct memory_cursor member = c;

			member.position = from;
			member.until = to;
			read_ring(m, member);
			memory_claim_ack(m, sub, claim, to, from + 8, 1);
			memory_claim_back(m, sub, claim, to, to);
		}
		memory_claimed_by_others(m, sub);
		memory_claimable(m, sub);
		if (memory_subscribe(m, &wish, &more, &err) == 0)
			memory_unsubscribe(m, more);
		memory_reap(m);
		memory_reclaim(m, 0);
		memory_unsubscribe(m, sub);
		memory_unlock(m);
	}
	memory_bell_sleep(m);
	memory_ring_wanting(m, WANTS_ROOM);
	memory_router_release(&router);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memory_headers headers;
	struct memory_place place = { .folder = "/dev/shm", .uid = (uint32_t)geteuid(),
		.mode = 0600, .ring_bytes = MEMORY_RING_MIN, .wait_ms = 1000 };
	struct memory_wish wish = { .filter = BYTES("t"), .group = BYTES("g") };
	struct memory_cursor c = { .until = UINT64_MAX };
	struct memory_bus *m;
	struct event ev;
	struct error err;
	uint32_t sub = 0, plain = 0;
	bool none;

	if (size < 1)
		return 0;
	if (data[0] & 1) {
		memory_decode(bytes_of(data + 1, size - 1), &ev, &headers);
		return 0;
	}
	snprintf(place.name, sizeof place.name, "fuzz-%d", (int)getpid());
	if (memory_open(&m, &place, true, &err) < 0)
		abort();
	if (memory_lock(m)) {
		memory_subscribe(m, &wish, &sub, &err);
		wish.group = bytes_of(NULL, 0);
		memory_subscribe(m, &wish, &plain, &err);
		memory_unlock(m);
	}
	scribble(m, data + 1, size - 1);
	use(m, sub, c);
	memory_close(m);
	memory_remove(&place, false, &none, &err);
	return 0;
}

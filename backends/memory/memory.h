/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory broker: a bus in shared memory as a broker in a loop. memory_layout.h
 * says what a bus is and why it holds, memory_bus.h is what one process does with it;
 * here is when.
 *
 * PUBLISHING. What one turn of the loop publishes is encoded into a private batch; at
 * the turn's end (or at 64 KiB) it is written to the rings under one lock, and the
 * outcomes follow. What finds no room waits, and is refused when its time is over.
 *
 * SUBSCRIBING. A turn copies what is there, up to a bounded number of bytes of each
 * subscription, delivers it, and leaves its own bell rung while there is more. When
 * nothing is, output is written and acknowledged; then it looks a few times more, if
 * it was busy, and sleeps at its bell: no timer, but where it waits for what nobody
 * rings for (see memory_rest() in memory.c).
 */
#ifndef MBUS_MEMORY_H
#define MBUS_MEMORY_H

#include "backends/memory/memory_bus.h"
#include "core/broker.h"

/* A subscription, until all its deliveries are settled. */
struct memory_reader {
	struct subscription *sub;	/* NULL: unsubscribed */
	struct memory_reader *next;
	uint32_t index;			/* in the bus's table */
	bool live, group, bodies;	/* bodies: it has read some */
	uint64_t until_ns;		/* not live yet: when that fails */
	struct memory_cursor cursor;
	struct memory_chunk chunk;
	uint32_t claim;			/* the one that the cursor is in */
	uint64_t claim_to;		/* 0: none */
	size_t unsettled;		/* deliveries */
	bool waits;			/* for other members to wake up */
	uint64_t rung, polite_until_ns;	/* for which of their sleeps, and how long */
	uint64_t ignored[16];		/* sleeps that it has waited for in vain */
	unsigned nignored;
	uint64_t told;			/* drops that were said */
};

enum memory_settled { NOT_SETTLED, SETTLED_DONE, SETTLED_FAILED };

/* A delivery that is not acknowledged, or not told to the bus. */
struct memory_taken {
	struct memory_reader *reader;
	uint64_t end, claim_to;
	uint32_t claim, events;
	enum memory_settled settled;
};

struct memory_waiting {
	uint64_t id, until_ns;
	size_t size;
};

struct memory_broker {
	struct broker b;
	struct memory_place place;
	bool named;			/* the user said which bus */
	/* -X: */
	int drop;			/* enum memory_drop */
	uint64_t keep_ms, again_ms;
	uint64_t claim_max;
	int mode;			/* 600, 660 or 666: an index */
	int remove;			/* 0, 1: what nobody uses, 2: all */
	struct memory_bus *bus;		/* NULL: there is none yet */
	bool over;			/* it failed; that was said */
	struct loop_fd bell;
	struct loop_timer look;
	struct loop_task rest;
	struct loop_idle idle;
	bool poked;			/* we have rung our own bell */
	bool hot;			/* it was rung right after it went to sleep */
	uint64_t slept_ns;
	struct memory_headers headers;
	/* publishing */
	struct buf bytes;
	struct buf last_topic;		/* of the event published last: it is a good one */
	struct memory_item *items;
	struct memory_waiting *waiting;
	size_t n, first, cap;
	int64_t time_us;		/* of this batch; 0: to be asked */
	bool writing, full;		/* full: waits for room, space or the lock */
	struct loop_task commit;
	struct memory_router router;
	uint32_t full_ring;		/* which ring has no room; MEMORY_RINGS: not that */
	uint64_t full_floor;		/* what its floor was */
	struct error why;		/* what it waits for */
	uint64_t moved_ns;		/* when an event was last taken */
	uint64_t unheard;
	/* subscribing */
	struct memory_reader *readers;
	struct memory_taken *taken;	/* a ring of cap_taken, a power of two */
	size_t cap_taken;
	uint64_t taken_first, taken_next;	/* their numbers: delivered + 1 ... */
	bool paused, settling, reading;
	unsigned busy;			/* turns in a row that found something */
	/* --wait */
	audience_fn *audience;
	void *audience_arg;
	struct buf audience_topic;
	unsigned audience_n;
};

static inline struct memory_broker *
memory_of(struct broker *b)
{
	return (struct memory_broker *)b;
}

/* memory.c */
int memory_attach(struct memory_broker *, bool create, struct error *);
void memory_fail(struct memory_broker *, const struct error *);
/* Sleep, at the end of this turn, if there is nothing to do. */
void memory_rest_soon(struct memory_broker *);
/* Look again in the next turn. */
void memory_look_soon(struct memory_broker *);
/* "pid 12 (mbus), group g" of a reader of the tables. */
void memory_describe(struct memory_bus *, uint32_t reader, struct buf *);

/* memory_pub.c */
int memory_publish(struct broker *, const struct publication *, struct error *);
void memory_commit(struct memory_broker *);
/* Somebody moved since it was full. */
bool memory_has_room(struct memory_broker *);
void memory_pub_release(struct memory_broker *);

/* memory_sub.c */
int memory_subscribe_op(struct subscription *, struct error *);
void memory_unsubscribe_op(struct subscription *);
void memory_ack(struct broker *, uint64_t first, uint64_t last, bool ok);
void memory_pause(struct broker *, bool);
void memory_drain(struct broker *);
/* What there is to read: true if there may be more. */
bool memory_read(struct memory_broker *);
/* Something to read, without a look at anything else. */
bool memory_readable(struct memory_broker *);
void memory_sub_release(struct memory_broker *);

/* memory_list.c */
int memory_list(struct broker *, const char *const *, size_t, bool, listing_fn *, void *,
	struct error *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bus in shared memory looks like, and why nobody who dies can break it.
 *
 * A bus is a folder /dev/shm/mbus.UID.NAME with
 *	bus		the segment, laid out below; sparse, and every page of it that is
 *			touched has been asked for first (posix_fallocate), so that a full
 *			/dev/shm is an error and no SIGBUS
 *	bell.N		a FIFO: the process in slot N sleeps in its event loop until
 *			somebody writes a byte to it
 *	body.S.G.N	a record too large for a ring, written once, read by all
 *
 * There is a ring of records for every FILTER that somebody subscribes to (a topic, or
 * a pattern), not for every topic that is published: a publisher writes an event to
 * each ring whose filter it matches, mostly one. So a topic that nobody wants costs
 * nothing, there may be any number of them, and all subscribers of a filter see one
 * order. A subscription is a cursor in the ring; a group is one place in it that its
 * members share.
 *
 * WHO IS ALIVE. A process (or an instance of it) owns a slot by an open-file-description
 * lock on a byte far behind the end of the segment. The kernel drops it when the
 * process dies, however and in whatever pid namespace. A slot whose byte nobody has
 * locked is provably dead, and so is an owner whose generation is no longer the
 * slot's. Pid and name are for show.
 *
 * WHO MAY CHANGE WHAT. All of the segment but four things is changed by the owner of
 * `lock` alone: slot.bell (its owner and ringers, by compare and exchange),
 * slot.generation, pid, ... (who locked the slot's byte), sub.cursor (its owner,
 * forward only), ring.want (anybody, a hint). The lock names its owner's slot and
 * generation. Who waits for it for over a millisecond asks the kernel whether the
 * owner lives, and takes it over from a dead one by compare and exchange. It inherits
 * a sound bus, because of the ORDER OF STORES:
 *
 *  1. Records are written behind the head, where no reader looks, and one store of
 *     `head` publishes the batch. A writer that dies before it leaves bytes that
 *     nobody has seen, and the next writer begins at the same head. How many events that
 *     are stands in `count`, of which one of two entries is for this head: the other
 *     one is written before the head is.
 *  2. Everything that has a state (ring, sub, group, claim, body) is filled in first
 *     and gets its state last; it is freed by its state first. The list of a ring's
 *     readers is written before its count, and an entry that is in it twice (its
 *     remover died) is only looked at twice.
 *  3. A claim of a group's member is stored before the group's place moves behind it;
 *     who claims next begins behind the place and behind all claims. So a range is
 *     claimed once, and one that a dead member has left changes its owner by one store.
 *  4. A sleeper is rung BEFORE the head is stored that it sleeps for, so that a
 *     publisher that is killed owes nobody a wake-up: a reader sets its bell to ASLEEP,
 *     then looks at the heads again, then at the lock. If the lock is free, the next
 *     writer sees ASLEEP under it and rings first. If it is not, the reader only dozes,
 *     for a millisecond. Who rings marks the bell with RUNG, by a compare and exchange
 *     on the epoch of this very sleep: one wake-up a sleep, not one an event.
 *  5. A publisher is told "confirmed" after the heads of all rings are stored.
 *  6. The writer never passes the cursor of a live reader, nor the first claim of a
 *     group; a cursor moves after its events are printed. Cursors of the provably dead
 *     are freed by whoever lacks the room.
 *
 * NOTHING READ FROM IT IS TRUSTED. Any process that may open the segment may write
 * anything into it at any time. Every index, offset and length is copied to a local
 * variable first and checked there; records are copied out of the ring before they are
 * parsed. What does not add up ends the run with "the bus is damaged".
 */
#ifndef MBUS_MEMORY_LAYOUT_H
#define MBUS_MEMORY_LAYOUT_H

#include <stdint.h>

#define MEMORY_MAGIC "mbus\r\n\x1a\x01"

enum {
	MEMORY_LAYOUT = 1,		/* to be counted up with every change below */
	MEMORY_PAGE = 4096,
	MEMORY_SLOTS = 1000,		/* processes attached at once; < 1023 */
	MEMORY_SUBS = 4096,		/* subscriptions */
	MEMORY_GROUPS = 512,
	MEMORY_RINGS = 1024,		/* different filters subscribed to */
	MEMORY_BODIES = 256,		/* large records that not all have read */
	MEMORY_CLAIMS = 64,		/* of all members of a group */
	MEMORY_READERS = 256,		/* cursors and groups of a ring */
	MEMORY_FILTER_MAX = 2048,	/* bytes of a topic or pattern */
	MEMORY_GROUP_MAX = 255,
	MEMORY_RING_MIN = 64 * 1024	/* bytes of a ring that are there from the start */
};

/* slot.bell is epoch << 2 | one of these. */
enum memory_bell { BELL_AWAKE, BELL_ASLEEP, BELL_RUNG };

enum memory_wants { WANTS_NOTHING, WANTS_ROOM, WANTS_AUDIENCE };

struct memory_slot {
	_Alignas(64) uint32_t generation;	/* counts its owners */
	uint32_t bell;
	int32_t pid;			/* as its own namespace has it; 0: left */
	uint32_t wants;			/* what it wants to be rung for, beside events */
	uint64_t body;			/* number of the body that it is making, or 0 */
	uint64_t pid_ns;		/* which namespace that is */
	char program[16];
};

enum memory_state { STATE_FREE, STATE_USED };
enum memory_drop { DROP_NOT, DROP_OLD, DROP_NEW };

/* A subscription: a reader with a cursor, or a member of a group. */
struct memory_sub {
	_Alignas(64) uint32_t state;
	uint32_t slot, generation;	/* whose it is */
	uint32_t ring;
	uint32_t group;			/* index + 1; 0: none, it has a cursor */
	uint32_t drop;
	uint64_t dropped;		/* events passed by, with DROP_NEW: the writer's */
	uint64_t start_events;		/* ring.events when it came */
	_Alignas(64) uint64_t cursor;	/* all before this has been done with */
	uint64_t events;		/* how many that were, since it came */
	uint64_t lost;			/* events overwritten, with DROP_OLD: its own */
};

struct memory_claim {
	uint32_t state;
	uint32_t sub, slot, generation;	/* the member; sub: index + 1, 0: given back */
	uint64_t from, to;		/* positions; from moves as events are acknowledged */
	uint64_t taken_ms;		/* CLOCK_BOOTTIME */
	uint32_t again, pad;		/* how often it was given back */
};

struct memory_group {
	_Alignas(64) uint32_t state;
	uint32_t ring;
	uint64_t next;			/* nothing before it is unclaimed */
	uint64_t start_events;		/* ring.events when it was made */
	uint64_t done;			/* events acknowledged */
	uint64_t idle_ms;		/* CLOCK_BOOTTIME since which it has no member; 0: has */
	uint64_t keep_ms;		/* ends that long after */
	uint32_t name_n, pad;
	char name[256];
	struct memory_claim claims[MEMORY_CLAIMS];
};

struct memory_body {
	uint32_t state;
	uint32_t ring;
	uint64_t end;			/* position behind the record that names it */
	uint32_t slot, generation;	/* body.SLOT.GENERATION.NUMBER */
	uint64_t number, size;
};

struct memory_ring {
	_Alignas(64) uint64_t head;	/* behind the last record that is published */
	struct { uint64_t head, events; } count[2];	/* events published up to a head */
	uint64_t writing;		/* >= head: bytes before this may be being written */
	uint64_t size;			/* bytes; shrinks in the first lap, when /dev/shm is full */
	_Alignas(64) uint64_t floor;	/* a position that no reader is before: may be old */
	uint64_t backed;		/* bytes of it that have pages */
	uint32_t state, nreaders;
	uint32_t want, pad;		/* somebody waits for room */
	uint64_t lost;			/* events that ended groups had not acknowledged */
	uint32_t filter_n, private_sub;	/* private_sub: index + 1 of its only reader (DROP_NEW) */
	uint32_t pattern;
	uint32_t olds;			/* readers with DROP_OLD */
	/* Where the first record in each sixteenth begins, and its number: for a reader
	 * that was overtaken. */
	uint64_t mark[16], mark_events[16];
	/* sub index, or MEMORY_SUBS + group index */
	uint16_t readers[MEMORY_READERS];
	char filter[MEMORY_FILTER_MAX];
};

struct memory_head {
	char magic[8];
	uint32_t layout, page;
	uint64_t ring_bytes;		/* a ring's share of the file, and its greatest size */
	uint64_t file_bytes;
	uint64_t made_ms;		/* since 1970 */
	uint64_t spare[3];
	_Alignas(64) uint32_t lock;	/* 0, or slot + 1 | generation << 10 | LOCK_WAITED */
	_Alignas(64) uint32_t version;	/* counts changes of the rings */
	uint32_t removed;		/* by mbus topics -X memory.remove: all are to leave */
	uint32_t slots;			/* how many were ever used */
	uint32_t subs, groups, rings;	/* how many have pages */
};

#define LOCK_WAITED 0x80000000u
#define MEMORY_BODIES_MAX (UINT64_C(64) << 20)	/* bytes of bodies a ring may have, or one */

/* What begins every record in a ring; then topic, key, headers, properties, body. */
struct memory_record {
	uint32_t size;			/* of all of it in the ring, a multiple of 8 */
	uint16_t flags;
	uint16_t topic_n;
	uint32_t key_n, nheaders;
	uint32_t body_n, pad;
	int64_t time_us;
};

enum memory_record_flags {
	RECORD_PAD = 1,			/* nothing but size: to the end of the ring */
	RECORD_BODY = 2,		/* the record is in a file: struct memory_stub follows */
	RECORD_KEY = 4,			/* has a key */
	RECORD_NULL = 8,		/* its body is null */
	RECORD_PROPS = 16		/* has properties */
};

struct memory_stub {
	uint32_t slot, generation;
	uint64_t number, size;
};

/* Offsets in the segment. */
#define MEMORY_UP(n) (((n) + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE)
#define MEMORY_SLOTS_AT ((uint64_t)MEMORY_PAGE)
#define MEMORY_BODIES_AT (MEMORY_SLOTS_AT + MEMORY_UP(MEMORY_SLOTS * sizeof(struct memory_slot)))
#define MEMORY_SUBS_AT (MEMORY_BODIES_AT + MEMORY_UP(MEMORY_BODIES * sizeof(struct memory_body)))
#define MEMORY_GROUPS_AT (MEMORY_SUBS_AT + MEMORY_UP(MEMORY_SUBS * sizeof(struct memory_sub)))
#define MEMORY_RINGS_AT (MEMORY_GROUPS_AT + MEMORY_UP(MEMORY_GROUPS * sizeof(struct memory_group)))
#define MEMORY_DATA_AT (MEMORY_RINGS_AT + MEMORY_RINGS * (uint64_t)MEMORY_PAGE)

_Static_assert(sizeof(struct memory_head) <= MEMORY_PAGE, "the head is a page");
_Static_assert(sizeof(struct memory_ring) <= MEMORY_PAGE, "a ring's head is a page");
_Static_assert(sizeof(struct memory_group) <= MEMORY_PAGE, "a group is up to a page");
_Static_assert(sizeof(struct memory_sub) == 128 && sizeof(struct memory_slot) == 64, "lines");
_Static_assert(sizeof(struct memory_record) == 32, "a record's head");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process's hold on a bus. No loop and no broker in here: the tests that stop a
 * writer at each step, and the fuzzer, use it as it is.
 *
 * Everything belongs to one thread. Nothing blocks for longer than MEMORY_LOCK_MS,
 * but opening, which waits for others who open or leave at the same moment.
 */
#ifndef MBUS_MEMORY_BUS_H
#define MBUS_MEMORY_BUS_H

#include <stdbool.h>
#include <stddef.h>

#include "backends/memory/memory_layout.h"
#include "core/buf.h"
#include "core/error.h"
#include "core/message.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)
#define FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)

enum {
	MEMORY_LOCK_MS = 10,		/* the longest that memory_lock() waits */
	MEMORY_CHUNK = 64 * 1024	/* what a reader copies at a time */
};

/* Which bus, and how it is made when it is not there. */
struct memory_place {
	const char *folder;		/* "/dev/shm" */
	char name[65];
	uint32_t uid;			/* whose */
	unsigned mode;			/* 0600, 0660, 0666 */
	uint64_t ring_bytes;
	unsigned wait_ms;		/* for others who open it */
};

struct memory_bus {
	struct memory_place place;
	char path[512];			/* of its folder */
	int dir, fd;
	bool mine_alone;		/* nobody but this user can write to it */
	uint32_t slot, generation;
	uint32_t me;			/* what stands in the lock */
	uint64_t ring_bytes;
	char *map;			/* up to MEMORY_DATA_AT */
	struct memory_head *head;
	struct memory_slot *slots;
	struct memory_body *bodies;
	char *rings[MEMORY_RINGS];	/* data of each, where it was needed */
	int *bells;			/* by slot: the ends to write to, + 1 */
	int bell;			/* ours, to be watched; -1: none yet */
	uint32_t subs, groups, nrings;	/* copies of what has pages, checked */
	uint64_t bodies_made;
	bool suspects;			/* a sleeper could not be rung: somebody died */
};

/* Called at every step that a process might die at, with its name, when set. */
extern void (*memory_step_hook)(const char *step);
static inline void
memory_step(const char *step)
{
	if (__builtin_expect(memory_step_hook != NULL, 0))
		memory_step_hook(step);
}

/* Between two looks at what another CPU is about to change. */
static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

uint64_t memory_now_ms(void);		/* CLOCK_BOOTTIME: the same for all on this host */

/* "the bus NAME is damaged: ..." (ERR_CONNECT) */
int memory_damaged(const struct memory_bus *, struct error *, const char *what);

/* ---- memory_open.c: coming and going ---- */

/* *out NULL and 0: there is none (and it was not to be made). Otherwise -1. */
int memory_open(struct memory_bus **out, const struct memory_place *, bool create,
	struct error *);
/* There is a folder of this name. */
bool memory_exists(const struct memory_place *);
/* Gives the slot back, and removes the bus if it was the last and nothing is kept. */
void memory_close(struct memory_bus *);
/* Removes a bus, whatever is in its folder; attached processes are told. unused: only
 * when nobody is attached (ERR_REFUSED). *none: there is nothing. */
int memory_remove(const struct memory_place *, bool unused, bool *none, struct error *);
/* Somebody owns this slot in this generation, and lives. */
bool memory_alive(const struct memory_bus *, uint32_t slot, uint32_t generation);
/* The names of the buses of a user. */
void memory_buses(const char *folder, uint32_t uid, struct buf *names, size_t *n);

/* ---- memory_lock.c ---- */

/* false: not to be had within MEMORY_LOCK_MS: memory_lock_owner() says who has it.
 * When it was inherited from a dead process, what that left is reaped. */
bool memory_lock(struct memory_bus *);
void memory_unlock(struct memory_bus *);
/* The slot of the present owner; MEMORY_SLOTS: nobody. */
uint32_t memory_lock_owner(const struct memory_bus *);
bool memory_is_locked(const struct memory_bus *);

/* ---- memory_bell.c ---- */

int memory_bell_open(struct memory_bus *, struct error *);	/* ours */
/* Before sleeping. The caller then looks at what it waits for once more. */
void memory_bell_sleep(struct memory_bus *);
/* Awake again (or staying so). */
void memory_bell_wake(struct memory_bus *);
void memory_bell_drain(struct memory_bus *);
void memory_bell_poke(struct memory_bus *);	/* rings our own */
/* Rings a slot if it sleeps and was not rung for this sleep. */
void memory_ring_bell(struct memory_bus *, uint32_t slot);
/* All who sleep and want this beside events. */
void memory_ring_wanting(struct memory_bus *, enum memory_wants);

/* ---- memory_table.c: rings, subscriptions; under the lock where it says so ---- */

/* NULL: no such index. */
struct memory_sub *memory_sub_at(struct memory_bus *, uint32_t);
struct memory_group *memory_group_at(struct memory_bus *, uint32_t);
struct memory_ring *memory_ring_at(struct memory_bus *, uint32_t);
/* The data of a ring, mapped; NULL: err says why. */
char *memory_ring_data(struct memory_bus *, uint32_t, struct error *);
/* Its size as it is now, checked; 0: damaged. To be asked after the head was read. */
uint64_t memory_ring_size(const struct memory_bus *, const struct memory_ring *);

struct memory_wish {
	struct bytes filter, group;	/* group.p NULL: none */
	enum memory_drop drop;
	uint64_t keep_ms;
};

/* Under the lock. -1: err says why (no space, table full). */
int memory_subscribe(struct memory_bus *, const struct memory_wish *, uint32_t *sub,
	struct error *);
void memory_unsubscribe(struct memory_bus *, uint32_t sub);	/* under the lock */
/* Under the lock: frees what the dead have left, ends groups whose time is over. */
void memory_reap(struct memory_bus *);
/* Under the lock: bodies that all have read. */
void memory_reclaim(struct memory_bus *, uint32_t ring);
/* Under the lock: a position that nobody is before. *slowest: sub index of who is
 * there, or MEMORY_SUBS + group. */
uint64_t memory_floor(struct memory_bus *, struct memory_ring *, uint32_t *slowest);
/* How many events were published, with the head that this holds for. */
uint64_t memory_ring_events(const struct memory_ring *, uint64_t *head);
/* More bytes of the segment get pages. -1: there is no space. */
int memory_back(struct memory_bus *, uint64_t at, uint64_t n);

/* ---- memory_match.c ---- */

bool memory_is_pattern(struct bytes filter);
/* NULL, or what is wrong with it. */
const char *memory_bad_filter(struct bytes filter);
const char *memory_bad_topic(struct bytes topic);
bool memory_matches(struct bytes filter, struct bytes topic);

/* The rings that a topic's events go to. */
struct memory_targets {
	uint32_t version;
	bool known;
	char *topic;
	size_t topic_n;
	uint32_t n;
	uint16_t ring[MEMORY_RINGS];
};

struct memory_router {
	struct memory_targets *slot[64];
	struct goal *goals;		/* memory_write()'s own, from its first event on */
};

/* What holds at this moment; good until the next call. NULL: damaged. */
struct memory_targets *memory_route(struct memory_bus *, struct memory_router *,
	struct bytes topic);
void memory_router_release(struct memory_router *);

/* ---- memory_record.c: bytes of one record; no shared memory in here ---- */

/* Appends it. -1: too large (err: ERR_REFUSED). */
int memory_encode(struct buf *, struct bytes topic, const struct message *,
	const struct properties *, int64_t time_us, struct error *);

/* Reads one: n bytes at p, which nobody else can change. headers is grown as needed
 * and belongs to the caller. false: it does not add up. */
struct memory_headers {
	struct header *v;
	size_t cap;
};
bool memory_decode(struct bytes record, struct event *, struct memory_headers *);

/* ---- memory_write.c ---- */

enum memory_wrote {
	WROTE_ALL,
	WROTE_FULL,			/* not all: no room in a ring */
	WROTE_BUSY,			/* the lock was not to be had */
	WROTE_NO_SPACE,			/* /dev/shm is full */
	WROTE_DAMAGED
};

/* A record of a batch: where it is in the batch's bytes, and the whole of it, where
 * that is a stub (RECORD_BODY). */
struct memory_item {
	size_t at, whole_at;
	uint32_t size;
	bool stub;
	bool same;			/* known to have the topic of the record before it */
};

/* Publishes from the front; *done: how many records are in all their rings, *unheard:
 * how many of them nobody subscribes to. On WROTE_FULL *slowest says who holds it up
 * (as memory_floor). */
enum memory_wrote memory_write(struct memory_bus *, struct memory_router *, const char *bytes,
	const struct memory_item *, size_t n, size_t *done, size_t *unheard, uint32_t *slowest);

/* ---- memory_read.c ---- */

/* Where a reader is in a ring: private. */
struct memory_cursor {
	uint32_t ring;
	uint64_t position, events;	/* events: ring.events there, as far as known */
	uint64_t until;			/* not beyond this */
	enum memory_drop drop;
	uint64_t lost;			/* overwritten before it could be read */
};

/* What was copied: records to be walked through by memory_next(). */
struct memory_chunk {
	char *p;
	size_t n, at, cap;
	uint64_t position;		/* in the ring, of what is at p + at */
};

/* Copies what is there, up to MEMORY_CHUNK. 1: something; 0: nothing; -1: err. */
int memory_fill(struct memory_bus *, struct memory_cursor *, struct memory_chunk *,
	struct error *);
/* The next record of the chunk. 1, 0 (no more in it) or -1: damaged. */
int memory_next(struct memory_bus *, struct memory_chunk *, struct bytes *record,
	struct error *);

/* The mapping of a body; its record is *whole. */
struct memory_mapping {
	void *p;
	size_t n;
	char *copy;
};
int memory_body_map(struct memory_bus *, struct bytes record, struct memory_mapping *,
	struct bytes *whole, struct error *);
void memory_body_unmap(struct memory_mapping *);

/* ---- memory_body.c ---- */

/* Writes a body's file. -1: errno. */
int memory_body_make(struct memory_bus *, const char *p, size_t n, struct memory_stub *);
void memory_body_unlink(struct memory_bus *, uint32_t slot, uint32_t generation, uint64_t number);

/* ---- memory_group.c: all under the lock ---- */

/* Takes up to max records for a member. false: there is nothing. *claim: its index. */
bool memory_claim(struct memory_bus *, uint32_t sub, unsigned max, uint64_t again_ms,
	uint32_t *claim, uint64_t *from, uint64_t *to);
/* Its events before `position` are acknowledged, n of them. false: it is no longer his. */
bool memory_claim_ack(struct memory_bus *, uint32_t sub, uint32_t claim, uint64_t to,
	uint64_t position, uint64_t n);
/* Its first events, up to `end`, are not done: another member shall have them. false:
 * the claim is no longer his at all. */
bool memory_claim_back(struct memory_bus *, uint32_t sub, uint32_t claim, uint64_t to,
	uint64_t end);
/* Other members have claims, which they may die with. */
bool memory_claimed_by_others(struct memory_bus *, uint32_t sub);
/* A position before which everything is acknowledged. */
uint64_t memory_group_floor(const struct memory_group *);
/* Something is to be claimed. Without the lock: a hint. */
bool memory_claimable(struct memory_bus *, uint32_t sub);
/* Its members, of those that have subscriptions. */
size_t memory_members(struct memory_bus *, uint32_t group);

#endif

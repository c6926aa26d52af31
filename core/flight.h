/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way to a server, in the order it was sent: a ring that a backend
 * pushes to when it writes a publication and pops from when the answer comes. Each
 * has a sequence number, by which an answer that names its event (a packet id) finds
 * it. Nothing is allocated once the ring has grown to the window.
 *
 * Most use it by way of core/pipeline.h, which says whose the fields are.
 */
#ifndef MBUS_CORE_FLIGHT_H
#define MBUS_CORE_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

struct pipeline;
struct flight_entry;
typedef void pipeline_answer(struct pipeline *, const struct flight_entry *, const void *);

struct flight_entry {
	uint64_t id;			/* the publication's; a question's: the first number it
					 * is about ... */
	uint64_t last;			/* ... and the last */
	size_t size;			/* publication_size() */
	uint64_t until_ns;		/* loop_clock_ns() at which its time is over; 0: never */
	uint64_t end;			/* where its bytes end in the connection ... */
	size_t bytes;			/* ... and how many they are */
	pipeline_answer *answer;	/* a question's: who is told of the answer ... */
	void *arg;			/* ... and about what */
	void *copy;			/* the backend's: what to send again, or NULL */
	size_t copy_size;		/* so many bytes of it are kept, to send again */
	unsigned state;			/* the backend's; 0 at first */
};

struct flight {
	struct flight_entry *ring;
	size_t cap;			/* a power of two, or 0 */
	uint64_t first, next;		/* sequence numbers: [first ... next) are in the ring */
};

static inline size_t flight_count(const struct flight *f) { return (size_t)(f->next - f->first); }

static inline struct flight_entry *
flight_at(const struct flight *f, uint64_t seq)
{
	return &f->ring[seq & (f->cap - 1)];
}

/* The oldest; there must be one. */
static inline struct flight_entry *flight_front(const struct flight *f)
{
	return flight_at(f, f->first);
}
static inline void flight_pop(struct flight *f) { f->first++; }

void flight_grow(struct flight *);

/* A new last one, zeroed; its sequence number is f->next - 1. */
static inline struct flight_entry *
flight_push(struct flight *f)
{
	struct flight_entry *e;

	if (f->next - f->first == f->cap)
		flight_grow(f);
	e = flight_at(f, f->next++);
	*e = (struct flight_entry){ 0 };
	return e;
}

void flight_release(struct flight *);	/* the ring; copies are the backend's to free */

#endif

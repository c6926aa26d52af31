/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend must do about events that it has delivered: from an event's number
 * (broker_deliver()) to a delivery tag, an id, an offset. A ring by number, from the
 * oldest about which something is still to be done.
 *
 *	n = b->delivered + 1;
 *	e = ledger_add(l, n); e->id = ...;	before broker_deliver()
 *	if (broker_deliver(s, &ev) == EVENT_DROPPED) ledger_at(l, n)->state = LEDGER_FAILED;
 *	ops->ack: ledger_settle(l, &first, &last, ok), then a command for what is LEDGER_OK
 *	   (or LEDGER_FAILED) in first ... last; the answer: ledger_done(l, n); ledger_trim(l)
 *	the connection has gone: ledger_forget(l), unless what is said about it on the next
 *	   one counts, too
 *
 * Numbers that were never added, or are trimmed, or of a connection that has gone, lead
 * nowhere: acknowledging them does nothing.
 */
#ifndef MBUS_CORE_LEDGER_H
#define MBUS_CORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_state {
	LEDGER_DONE,			/* nothing is to be done */
	LEDGER_OUT,			/* with the user */
	LEDGER_OK,			/* acknowledged; the broker is to be told, or is being told */
	LEDGER_FAILED			/* to be given back */
};

struct ledger_entry {
	uint64_t id, seq;		/* the backend's name for it */
	void *of;			/* the backend's: whose it is */
	enum ledger_state state;
};

struct ledger {
	struct ledger_entry *ring;
	size_t cap;			/* a power of two, or 0 */
	uint64_t first, next;		/* numbers [first ... next) are in the ring */
};

static inline struct ledger_entry *
ledger_at(const struct ledger *l, uint64_t number)
{
	return &l->ring[number & (l->cap - 1)];
}
static inline bool ledger_has(const struct ledger *l, uint64_t number)
{
	return number >= l->first && number < l->next;
}

/* A new last one, LEDGER_OUT; number is over all before. */
struct ledger_entry *ledger_add(struct ledger *, uint64_t number);
/* What is with the user in that range has been handled. Narrows the range to what is in
 * the ring; false: nothing of it is. */
bool ledger_settle(struct ledger *, uint64_t *first, uint64_t *last, bool ok);
static inline void ledger_done(struct ledger *l, uint64_t number)
{
	if (ledger_has(l, number))
		ledger_at(l, number)->state = LEDGER_DONE;
}
/* Those at the front that are done leave. */
void ledger_trim(struct ledger *);
/* Is anything in that state? */
bool ledger_any(const struct ledger *, enum ledger_state);
/* All leave: their connection has gone. */
void ledger_forget(struct ledger *);
void ledger_release(struct ledger *);

#endif

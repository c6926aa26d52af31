/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that is lost is made again: whether, when, and what is said of it
 * ("connection to NAME lost: WHY; connecting again", "connected to NAME again after
 * 2.3 s"). core/link is one user; the other are brokers whose connections are a
 * library's.
 */
#ifndef MBUS_CORE_RETRY_H
#define MBUS_CORE_RETRY_H

#include <stdint.h>

#include "core/error.h"

struct retry {
	bool refused;			/* the present connection ends by what the server itself
					 * said or sent, and will again */
	bool stays_away;		/* there is nothing to come back for */
	bool had;			/* a connection was ready */
	unsigned tries;			/* since it went; counted by the user */
	unsigned step;			/* of the pause's doubling */
	unsigned short_lives;		/* connections in a row */
	unsigned faults;		/* in a row, without progress, for the same reason: */
	struct error fault;
	uint64_t ready_ns, lost_ns;	/* lost_ns 0: there is nothing to tell when it is back */
	uint64_t random;
};

/* From the beginning: nothing was ever connected. */
void retry_begin(struct retry *);
/* The server has answered the greeting. */
void retry_ready(struct retry *, const char *name);
/* A connection that was ready has gone. */
void retry_lost(struct retry *, const char *name, struct error *err);
/* There is none, for this reason; most: broker_options.reconnect, attempts in a row, -1:
 * for ever. The pause before the next attempt, in ms; or -1, this is the end: nothing was
 * ever ready, or it was tried often enough, or trying again will not mend it
 * (retry_is_final(), or the same fault three times). err may be prefixed. */
int retry_next(struct retry *, const char *name, int most, struct error *err);
/* An event was delivered, not for the second time, or confirmed. */
static inline void retry_progress(struct retry *r) { r->faults = 0; }

/* Trying again mends none of these. */
bool retry_is_final(enum error_kind);
/* Of an error's text what is behind "NAME: ". */
const char *retry_reason(const char *name, const char *text);

#endif

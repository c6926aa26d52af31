/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's name to its addresses, without blocking: the C library's look-up (files,
 * DNS, whatever the system uses) in a thread of its own, because a DNS server that
 * does not answer would keep us for ten seconds and more. Who never has a name to
 * look up never has a thread.
 */
#ifndef MBUS_CORE_RESOLVE_H
#define MBUS_CORE_RESOLVE_H

#include "core/net.h"

enum { RESOLVE_MAX = 16 };		/* addresses of one name that are looked at */

struct resolve;

/* flags: AI_*. NULL: err says why no look-up can be begun (without the name). */
struct resolve *resolve_start(const char *host, int flags, struct error *);
/* Readable when it is over. */
int resolve_fd(const struct resolve *);
/* What it brought, in the order to be tried, with port 0. 0: nothing, and err says
 * why, without the name. The look-up must be over; it is freed. */
size_t resolve_take(struct resolve *, union sockaddr_any out[RESOLVE_MAX], struct error *);
/* Gives it up, over or not. NULL is allowed. */
void resolve_cancel(struct resolve *);

#endif

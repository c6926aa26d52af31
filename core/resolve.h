/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of hosts to IP addresses without blocking: a thread asks the C library, and
 * the loop is woken when it knows. The thread owns what it uses, so a look-up can be
 * given up at any time, and the process may end before it; it holds up neither.
 */
#ifndef MBUS_CORE_RESOLVE_H
#define MBUS_CORE_RESOLVE_H

#include "core/loop.h"
#include "core/net.h"

enum { RESOLVE_MAX = 16 };		/* addresses of one name; others are left out */

struct resolved {
	size_t n;
	union sockaddr_any addr[RESOLVE_MAX];	/* with the port that was asked for */
};

/* What nobody needs to be asked: an IP address (v6 without brackets), and localhost
 * (RFC 6761), which is 127.0.0.1 and then ::1. false: it is another name. */
bool resolve_now(struct bytes host, unsigned port, struct resolved *);

struct resolve;
/* Once, from the loop; err NULL: at least one address. The look-up is freed when it
 * returns; a cancel in it does nothing. */
typedef void resolve_fn(const struct resolved *, const struct error *err, void *arg);

/* NULL: err says why no thread could be had. */
struct resolve *resolve_start(struct loop *, struct bytes host, unsigned port, resolve_fn *,
	void *arg, struct error *);
/* No callback is made in or after it. NULL is allowed. */
void resolve_cancel(struct resolve *);

#endif

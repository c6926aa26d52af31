/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry had when it was last looked at, to tell what has changed since: for
 * watches of registries with a server, which say that something has changed and not
 * always what, and after a lost connection not even that.
 *
 *	known_begin(); known_see() for each node; known_end(): those not seen have gone
 */
#ifndef MBUS_REGISTRY_KNOWN_H
#define MBUS_REGISTRY_KNOWN_H

#include "core/registry.h"

enum { KNOWN_MAX = 100000 };	/* nodes; more are not watched, and that is said once */

struct known;

struct known_table {
	/* Called by known_end() and known_forget(); a service with one node, borrowed. */
	void (*changed)(void *arg, enum registry_action, const struct service *);
	void *arg;
	bool quiet;			/* nothing is told: what is there from the beginning */

	struct known **slots;
	size_t nslots, n;
	unsigned pass;
	bool full;
};

void known_begin(struct known_table *);
/* One node of the service. Of two with one id the first counts. */
void known_see(struct known_table *, const struct service *, const struct node *);
/* What was not seen since known_begin() has gone: of the service of that name, or (p
 * NULL) of all. */
void known_end(struct known_table *, struct bytes service);
/* A node has gone. */
void known_forget(struct known_table *, struct bytes service, struct bytes id);
void known_release(struct known_table *);

#endif

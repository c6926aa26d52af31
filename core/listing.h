/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a broker has, for `mbus topics`: struct broker_ops, list. Topics with or without
 * partitions, groups and how far they are, subscribers, addresses. Whoever lists owns it;
 * it is good for the length of the call.
 */
#ifndef MBUS_CORE_LISTING_H
#define MBUS_CORE_LISTING_H

#include <stddef.h>
#include <stdint.h>

struct listed_part {
	int64_t id, leader;		/* leader -1: there is none */
	size_t nreplicas, ninsync;
	int64_t first, end;		/* offsets; end: of the next event. -1: not known */
};

/* What is of no use for a broker is 0 or NULL. */
struct listed_topic {
	const char *name;
	size_t nparts;
	const struct listed_part *parts;
	const char *address;		/* of listed_address, where there are several */
	/* Without partitions: -1: not known. */
	int64_t nsubscribers, events;	/* events: so many have gone through it */
	int64_t lost;			/* that a group which has ended had not acknowledged */
	const char *kind;		/* where a broker has several: "channel", "stream" */
};

/* How far a group is in a partition, or in a topic that has none. */
struct listed_place {
	const char *topic;
	int64_t partition, offset, end;	/* partition -1: none; end -1: not known */
	const char *id;			/* where it is no number: the last it was given; then, */
	int64_t lag, pending;		/* behind that; given out, not acknowledged; -1: not known */
};

struct listed_group {
	const char *name, *state;
	size_t nmembers;		/* SIZE_MAX: not known */
	size_t nplaces;
	const struct listed_place *places;
	const char *address;
};

/* Who subscribes, where a broker can tell. NULL, -1: not known, or none. */
struct listed_subscriber {
	const char *topic, *group, *program;
	const char *where;		/* another host, or what else tells where it is */
	const char *address;
	int64_t pid;
	int64_t lag, dropped;		/* events */
};

/* What there are several of under one broker (buses, servers). */
struct listed_address {
	const char *address, *state;	/* state NULL: well */
	size_t nattached;
	int64_t bytes;			/* memory that it has; -1: not known */
};

struct listing {
	size_t ntopics, ngroups, nsubscribers, naddresses, nrefused;
	const struct listed_subscriber *subscribers;
	const struct listed_address *addresses;
	const struct listed_topic *topics;
	const struct listed_group *groups;
	const char *const *refused;	/* of those asked for: not for this user to know */
	const char *more;		/* NULL: that is all; else why there may be more */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who subscribes, as far as the registry tells: lookups of both http_dialects' services
 * (one lookup brings the nodes of all topics of all processes), and, for a publisher
 * that stays, watches on them. It knows nothing of routes and events: its user is told.
 */
#ifndef MBUS_HTTP_DIRECTORY_H
#define MBUS_HTTP_DIRECTORY_H

#include "backends/http/peers.h"
#include "core/loop.h"

struct directory_user {
	/* Does anybody wait for nodes of that topic? */
	bool (*wanted)(void *arg, struct bytes topic);
	/* There is a node of that topic which is not believed; why: a literal. */
	void (*refused)(void *arg, struct bytes topic, const struct node *, const char *why);
	/* Nodes came or went. */
	void (*changed)(void *arg);
	/* A lookup of both http_dialects has ended. err: it could not be done. */
	void (*looked_up)(void *arg, const struct error *err);
};

/* An address that alone is sent to: -X http.only. */
struct pin {
	struct bytes host;
	unsigned port;			/* 0: any */
};

struct directory {
	struct peers peers;
	struct registry *registry;
	struct loop *loop;
	const char *const *services;	/* by dialect; NULL: not spoken */
	const struct directory_user *user;
	void *arg;
	struct pin *pins;
	size_t npins;
	struct lookup lookup[DIALECTS];
	struct watch watch[DIALECTS];
	bool looking[DIALECTS];
	bool hit;			/* this lookup found somebody who was asked for */
	bool doubts;			/* goodbyes were said that anybody may have said */
	unsigned lookups;		/* begun so far */
	uint64_t looked_ns;		/* when the last one ended; 0: never */
	struct loop_timer watch_timer;
};

/* services: as above, kept. only: the value of -X http.only, or NULL. */
int http_directory_init(struct directory *, struct registry *, struct loop *,
	const char *const *services, const char *only, const struct directory_user *, void *arg,
	struct error *);
/* Forgets all and ends what is under way. */
void http_directory_stop(struct directory *);
void http_directory_release(struct directory *);
/* Starts a lookup unless one is under way; ends by user->looked_up(). full: it does not
 * end before its time, whatever it finds. -1: could not even be asked. */
int http_directory_look(struct directory *, bool full, struct error *);
bool http_directory_is_looking(const struct directory *);
/* The lookup that has ended, or is under way, may have ended before all had answered. */
bool http_directory_was_quick(const struct directory *);

#endif

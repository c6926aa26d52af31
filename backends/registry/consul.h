/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the consul registry have in common. Nodes are services of a consul
 * agent, described as go-micro's plugin does it.
 *
 *	consul.c	the ops; options
 *	consul_own.c	our own nodes: registered, kept alive, removed
 *	consul_look.c	lookups, and how consul's answers are read
 *	consul_tags.c	the tags in which go-micro keeps what consul has no place for
 *	consul_watch.c	changes, by blocking queries
 */
#ifndef MBUS_REGISTRY_CONSUL_H
#define MBUS_REGISTRY_CONSUL_H

#include <cjson/cJSON.h>

#include "backends/client/http_client.h"
#include "backends/registry/known.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/tls.h"

enum {
	CONSUL_BODY_MAX = 32 << 20,	/* bytes of an answer */
	CONSUL_TAG_MAX = 1 << 20	/* what a tag may inflate to */
};

enum consul_health { CONSUL_PASSING, CONSUL_NOT_CRITICAL, CONSUL_ANY };

struct consul_own;
struct consul_ask;
struct consul_removal;
struct consul_watch;

struct consul {
	struct registry base;
	struct tls_options tls;		/* -X, else the common ones or the environment's */
	struct http_client_options http;
	int health;			/* -X: enum consul_health */
	const char *token;		/* NULL: none */
	struct http_client *client;	/* made by the first call */
	struct consul_own *own;
	struct consul_ask *asks;	/* lookups and removals under way */
	struct consul_removal *removals;
	struct consul_watch *watches;
	struct watch *next_watch;
};

/* Another connection to the server, with the token. NULL: err is set. */
struct http_client *consul_client(struct consul *, struct error *);
/* The one for calls that are answered at once. */
int consul_open(struct consul *, struct error *);

/* ---- consul_own.c ---- */

int consul_add(struct registry *, const struct service *, unsigned ttl_ms, struct registry_reply *,
	struct error *);
void consul_remove(struct registry *, const struct service *);
int consul_expel(struct registry *, struct bytes service, struct bytes id, struct registry_reply *,
	struct error *);
void consul_forget(struct registry *, struct registry_reply *);
bool consul_busy(const struct registry *);
void consul_own_release(struct consul *);

/* ---- consul_look.c ---- */

int consul_get(struct registry *, struct bytes name, struct lookup *, struct error *);
int consul_list(struct registry *, struct lookup *, struct error *);
void consul_cancel(struct registry *, struct lookup *);
void consul_look_release(struct consul *);
/* Calls found for each node of an answer to /v1/health/service/NAME; why: a literal if it is
 * not to be believed, for its health. The service has one node; all is borrowed. */
void consul_each(struct consul *, struct bytes name, const cJSON *doc,
	void (*found)(void *arg, const struct service *, const char *why), void *arg);
/* The document of an answer. NULL: err says why there is none. */
cJSON *consul_document(struct http_client *, const struct http_answer *, struct error *);

/* ---- consul_tags.c ---- */

/* What the tags of a service say. */
struct consul_tags {
	struct bytes version, endpoints;
	struct keyval *metadata;	/* sorted by key */
	size_t nmetadata;
	size_t cap;
	struct buf text;		/* of all of it */
	struct buf tidied;
};

/* Appends the tags as a JSON array. */
void consul_tags_write(struct buf *, const struct service *);
/* All zero is ready for use; the result is good until the next read. Foreign tags, and
 * those that are broken, say nothing. */
void consul_tags_read(struct consul_tags *, const cJSON *array);
void consul_tags_release(struct consul_tags *);

/* ---- consul_watch.c ---- */

int consul_watch(struct registry *, struct watch *, struct error *);
void consul_unwatch(struct registry *, struct watch *);
void consul_watch_release(struct consul *);

#endif

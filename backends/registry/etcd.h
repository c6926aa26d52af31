/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the etcd registry have in common. A node is a key of etcd's, as
 * go-micro has it: PREFIX/SERVICE/ID, whose value is the JSON of the service with that one
 * node, attached to a lease. Spoken is etcd's JSON gateway, which is HTTP: what gRPC says,
 * without a second transport, and with the client that consul needs as well.
 *
 *	etcd.c		the ops; options
 *	etcd_call.c	calls, and the token that goes with them
 *	etcd_own.c	our own nodes and their leases
 *	etcd_look.c	lookups, and how keys and values are read
 *	etcd_watch.c	changes, by a stream of events
 */
#ifndef MBUS_REGISTRY_ETCD_H
#define MBUS_REGISTRY_ETCD_H

#include "backends/client/http_client.h"
#include "backends/registry/known.h"
#include "backends/registry/micro_json.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/tls.h"

enum { ETCD_BODY_MAX = 64 << 20 };	/* bytes of an answer */

struct etcd_own;
struct etcd_ask;
struct etcd_expel;
struct etcd_watch;
struct etcd_call;

struct etcd {
	struct registry base;
	struct tls_options tls;		/* -X, or the common ones */
	struct http_client_options http;
	const char *prefix;
	const char *username;		/* NULL: none */
	const char *password_given;	/* -X */
	struct bytes password;
	struct http_client *client;	/* made by the first call */

	struct http_call authenticate;
	struct bytes token;		/* p NULL: none */
	struct etcd_call *waiting;	/* for one */

	struct etcd_own *own;
	struct etcd_ask *asks;
	struct etcd_watch *watches;
};

/* ---- etcd_call.c ---- */

/* A question. Embedded in its user's struct, zeroed but for done, part, arg. */
struct etcd_call {
	/* doc: of a 200, borrowed (NULL where part() took it); else err. */
	void (*done)(struct etcd_call *, const cJSON *doc, const struct error *err);
	bool (*part)(struct etcd_call *, char *p, size_t n);
	void *arg;
	struct http_client *client;	/* NULL: the common one */

	struct etcd *e;			/* NULL: not under way */
	struct http_call http;
	const char *path;
	struct buf body;
	bool again;			/* with another token */
	bool waits;
	struct etcd_call *next;
};

/* path is a literal. The body is taken, and left empty. */
void etcd_ask(struct etcd *, struct etcd_call *, const char *path, struct buf *body);
void etcd_cancel(struct etcd_call *);
/* The one client for calls that are answered at once. */
int etcd_open(struct etcd *, struct error *);
void etcd_call_release(struct etcd *);

/* Appends ,"name":"base64 of value" (with the comma if the buffer does not end in '{'). */
void etcd_add_bytes(struct buf *, const char *name, struct bytes value);
/* The key of a node; service alone: what the keys of its nodes begin with; neither: of all.
 * p NULL: not given. */
void etcd_add_key(struct buf *, const struct etcd *, struct bytes service, struct bytes id);
/* "key" and "range_end" of all keys that begin so. */
void etcd_add_range(struct buf *, struct bytes prefix);

/* ---- etcd_own.c ---- */

int etcd_add(struct registry *, const struct service *, unsigned ttl_ms, struct registry_reply *,
	struct error *);
void etcd_remove(struct registry *, const struct service *);
int etcd_expel(struct registry *, struct bytes service, struct bytes id, struct registry_reply *,
	struct error *);
void etcd_forget(struct registry *, struct registry_reply *);
bool etcd_busy(const struct registry *);
void etcd_own_release(struct etcd *);

/* ---- etcd_look.c ---- */

int etcd_get(struct registry *, struct bytes name, struct lookup *, struct error *);
int etcd_list(struct registry *, struct lookup *, struct error *);
void etcd_cancel_lookup(struct registry *, struct lookup *);
void etcd_look_release(struct etcd *);
/* Reads an entry ("kv", "prev_kv", of "kvs"); NULL, or why it is no service: a literal. The
 * result is good as long as *doc, which the caller deletes in any case. */
const char *etcd_read(struct micro_json *, const cJSON *kv, cJSON **doc);

/* ---- etcd_watch.c ---- */

int etcd_watch(struct registry *, struct watch *, struct error *);
void etcd_unwatch(struct registry *, struct watch *);
void etcd_watch_release(struct etcd *);

#endif

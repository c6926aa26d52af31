/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Registry contract: who offers which service, at which addresses. It
 * mirrors go-micro's Registry interface (Register, Deregister, GetService,
 * ListServices, Watch, String); `register` is a C keyword, hence add, remove,
 * get, list, watch.
 *
 * A registry belongs to the thread of its loop. Nothing blocks: lookups end by
 * a callback. Everything handed to a callback is borrowed for its length.
 *
 * HOW TO ADD A REGISTRY: backends/registry/NAME.c with its struct registry_ops
 * last, a line in core/backends.def, a line in the Makefile.
 */
#ifndef MBUS_CORE_REGISTRY_H
#define MBUS_CORE_REGISTRY_H

#include "core/broker.h"

struct keyval {
	struct bytes key, value;
};

struct node {
	struct bytes id;
	struct bytes address;		/* host:port, [v6]:port */
	const struct keyval *metadata;
	size_t nmetadata;
};

/* go-micro's registry.Service. A found service has one or more nodes. */
struct service {
	struct bytes name;
	struct bytes version;
	const struct keyval *metadata;
	size_t nmetadata;
	const struct node *nodes;
	size_t nnodes;
	struct bytes endpoints;		/* as endpoints_tidy() makes it; p NULL: none */
};

/* Metadata by key; p NULL when absent. */
struct bytes node_meta(const struct node *, const char *key);
/* As Go writes a map: sorted by key, null when there is none. */
void metadata_add_json(struct buf *, const struct keyval *, size_t n);

struct registry;
struct tls_options;

struct registry_options {
	const char *address;		/* MICRO_REGISTRY_ADDRESS; NULL: default */
	const struct broker_xopt *xopts;	/* those for this registry: "mdns.wait" */
	size_t nxopts;
	unsigned use;			/* enum broker_use: what the broker beside it is for, whose
					 * options are taken; 0: all */
	/* For a registry with a server, by its caps: */
	const struct tls_options *tls;	/* core/tls.h; NULL: none were given */
	unsigned connect_timeout_ms;	/* to connect, and for each answer */
	const char *username;		/* NULL: none */
	struct bytes password;		/* p NULL: none. Never to be shown or logged */
};

enum registry_caps {
	REGISTRY_SERVER = 1,		/* there is a server: connect_timeout_ms */
	REGISTRY_TLS = 2,
	REGISTRY_USER = 4,		/* username and password */
	REGISTRY_READ_ONLY = 8		/* nothing is registered through it */
};

/* What was asked of a registry that takes its time to answer: embedded in its user's
 * struct, which sets done and arg and keeps it until done, or registry_forget(). */
struct registry_reply {
	/* err NULL: it is done. From the loop, never from within the call. */
	void (*done)(struct registry_reply *, const struct error *err);
	void *arg;
	int count;			/* expel: how many nodes there were */
	void *priv;			/* the registry's; NULL: nothing is under way */
};

/* One lookup under way: embedded in its user's struct, fields set by the user
 * before registry_get() or registry_list(). Lookups begun together (the http broker
 * asks for two services) end together: one that finds nothing does not hold up one
 * that has found what was looked for. */
struct lookup {
	/* A service (one version, the nodes of one answer) was found; the same
	 * node may be reported more than once. Returns true if it is one that
	 * the user was looking for: a registry without an end of answers (mdns)
	 * then waits only for further answers to stop coming. For a list,
	 * only service->name is set. */
	bool (*found)(struct lookup *, const struct service *);
	/* The lookup is over; err NULL: all is well (perhaps nothing was found).
	 * Never called from within registry_get(). Nothing is called after it. */
	void (*done)(struct lookup *, const struct error *err);
	/* MAY. A node was heard of that would be reported if it were believed; why:
	 * a literal, with the name of the option if one decides it. */
	void (*refused)(struct lookup *, const struct service *, const char *why);
	void *arg;
	bool all;			/* wait the full time whatever comes */
	bool nodes;			/* of a list: with nodes, where they cost nothing
					 * more; else they come one get() later */
	void *priv;			/* the registry's; NULL: not under way */
};

enum registry_action { REGISTRY_CREATE, REGISTRY_UPDATE, REGISTRY_DELETE };

/* A watch: likewise embedded. */
struct watch {
	struct bytes name;		/* of the service; p NULL: all */
	void (*changed)(struct watch *, enum registry_action, const struct service *);
	void *arg;
	struct watch *next;		/* the registry's */
	bool added;
};

struct registry_ops {
	const char *name;
	const char *default_address;
	bool fixed_address;		/* there is no other: one that is given is refused */
	size_t size;			/* of the instance, which begins with struct registry */
	const struct broker_option *options;	/* their values are in the instance before
					 * init(): core/xopt.h */
	enum registry_caps caps;
	bool unique_ids;		/* an id is of one node of one service: another service's
					 * node with it would take its place */
	bool hearsay;			/* anybody may say anything: one node's address is
					 * not changed by what is said later */

	/* MUST, as in struct broker_ops. init does no I/O: sockets are opened by
	 * the first call that needs them. */
	int (*init)(struct registry *, struct error *);
	/* MUST. Says goodbye for what is still registered, then frees. */
	void (*release)(struct registry *);
	/* MUST. Registers the service with its one node; again: refreshes. ttl_ms: how
	 * long it is good without a refresh. 0: it is live; REGISTRY_LATER: the reply
	 * will say; -1: err says why this cannot be registered here. */
	int (*add)(struct registry *, const struct service *, unsigned ttl_ms,
		struct registry_reply *, struct error *);
	/* MUST. By service name, version and node id; unknown ones are ignored. Where
	 * a server has to hear it, `busy` until it has. */
	void (*remove)(struct registry *, const struct service *);
	/* MUST. Both are asynchronous; -1: could not even be asked. */
	int (*get)(struct registry *, struct bytes name, struct lookup *, struct error *);
	int (*list)(struct registry *, struct lookup *, struct error *);
	void (*cancel)(struct registry *, struct lookup *);
	/* MUST. Until unwatched. */
	int (*watch)(struct registry *, struct watch *, struct error *);
	void (*unwatch)(struct registry *, struct watch *);
	/* MAY. Why go-micro programs would not find a node with this id under
	 * this service name ("label over 63 bytes"); NULL: they would. */
	const char *(*foreign)(struct registry *, struct bytes service, struct bytes id);
	/* MAY. Takes away whoever's node has this id, of any version: reply->count says
	 * how many there were. A live service comes back when it registers again.
	 * 0, REGISTRY_LATER, -1 as for add. */
	int (*expel)(struct registry *, struct bytes service, struct bytes id,
		struct registry_reply *, struct error *);
	/* MUST where add or expel answers REGISTRY_LATER: done is not called. */
	void (*forget)(struct registry *, struct registry_reply *);
	/* MAY. A removal is on its way to the server. When none is any more, the
	 * registry calls registry_settled(). */
	bool (*busy)(const struct registry *);
};

enum { REGISTRY_LATER = 1 };

struct registry {
	const struct registry_ops *ops;
	struct loop *loop;
	struct registry_options opts;
	bool settling;			/* registry_settle() waits */
};

struct registry *registry_new(const char *name, struct loop *, const struct registry_options *,
	struct error *);
void registry_free(struct registry *);
const struct registry_ops *registry_find(const char *name, struct error *);
extern const struct backend registry_table[];

int registry_add(struct registry *, const struct service *, unsigned ttl_ms,
	struct registry_reply *, struct error *);
void registry_remove(struct registry *, const struct service *);
int registry_get(struct registry *, struct bytes name, struct lookup *, struct error *);
int registry_list(struct registry *, struct lookup *, struct error *);
void registry_cancel(struct registry *, struct lookup *);	/* done is not called */
int registry_watch(struct registry *, struct watch *, struct error *);
void registry_unwatch(struct registry *, struct watch *);
const char *registry_foreign(struct registry *, struct bytes service, struct bytes id);
/* -1 with ERR_NOTFOUND, too, where nodes can be taken away by their own processes only. */
int registry_expel(struct registry *, struct bytes service, struct bytes id,
	struct registry_reply *, struct error *);
void registry_forget(struct registry *, struct registry_reply *);	/* done is not called */
/* Before the end: runs the loop until what was removed is removed, at most ms. */
void registry_settle(struct registry *, unsigned ms);
void registry_settled(struct registry *);	/* for registries: see busy */
/* What a service is that has a name of go-micro's own making ("subscribers of ..."), for
 * people; NULL: nothing is known. */
const char *registry_explain(struct bytes service);
/* The value of a -X option "NAME.option" of this registry, or its default. */
const char *registry_xopt(const struct registry *, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the forms of `mbus registry` have in common.
 *
 *	cmd_registry.c		the command, its options, which form
 *	registry_look.c		list, get: the answers of one lookup
 *	registry_select.c	get --select: one of the nodes
 *	registry_watch.c	watch
 *	registry_wait.c		wait: lookups until there are enough nodes
 *	registry_join.c		register, deregister
 *	registry_probe.c	whether a service is well (registry_probe.h)
 */
#ifndef MBUS_CLI_REGISTRY_CMD_H
#define MBUS_CLI_REGISTRY_CMD_H

#include "cli/cli.h"
#include "cli/found.h"
#include "cli/interrupt.h"
#include "cli/output.h"

struct registry_args {
	struct common_args common;
	uint64_t count, timeout_ms;
	bool json, longer, select;
	const char *strategy, *hash_key;
	const char *service_version, *node_id, *healthy, *endpoints;
	struct opt_list meta;
};

struct inquiry {
	struct registry_args *args;
	char **operands;		/* behind the form's word */
	int noperands;
	struct loop *loop;
	struct registry *registry;
	struct error *err;
	enum error_kind kind;		/* what it ends with */
	struct loop_timer deadline;
	/* Lookups: list, get, wait. */
	struct lookup lookup;
	struct found **found;
	size_t nfound, cap;
	size_t bytes;			/* of them */
	unsigned nrefused;
	struct error refused;		/* the first that is not believed, and why */
	uint64_t lost;			/* not kept: too much, or nobody reads */
	/* watch */
	uint64_t changes;
	int signo;			/* ended by it; 0: not */
};

/* Each form of the command. The exit status; -1: q->err is set. */
int registry_run_list(struct inquiry *);
int registry_run_get(struct inquiry *);
int registry_run_watch(struct inquiry *);
int registry_run_wait(struct inquiry *);
int registry_run_register(struct inquiry *);
int registry_run_deregister(struct inquiry *);

/* ---- registry_look.c ---- */

/* The callbacks of q->lookup, for one that is done by loop_stop(). */
void registry_look_init(struct inquiry *);
/* Forgets what was found. */
void registry_look_clear(struct inquiry *);
/* Keeps a copy of a node. */
void registry_look_put(struct inquiry *, const struct service *, const struct node *);
/* Runs the lookup that was started, and sorts what it found, each once. */
int registry_look_run(struct inquiry *);
/* Of what was found, each once. */
void registry_look_sort(struct inquiry *);

/* ---- registry_select.c ---- */

/* -1: --strategy and what belongs to it do not go together. */
int registry_select_check(const struct registry_args *, struct error *);
/* The index of one of the nodes found, of which there is at least one. -1: err is set. */
int registry_select(struct inquiry *, size_t *chosen);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry has told of, kept and shown.
 *
 * As text a line is one node, its fields two spaces apart; control characters
 * and bytes that are no UTF-8 are shown as \xNN. As JSON a line is one version
 * of a service with its nodes; a name or id that is not UTF-8 becomes name_b64,
 * id_b64, as in our events. action is "create", "update" or "delete" of a watch,
 * else "found".
 */
#ifndef MBUS_CLI_FOUND_H
#define MBUS_CLI_FOUND_H

#include "core/buf.h"
#include "core/registry.h"

/* One node of one version; of a list only the name. One allocation: free() it. */
struct found {
	struct bytes name, version, endpoints;
	struct node node;
};

/* node NULL: the name alone. */
struct found *found_new(const struct service *, const struct node *);
/* For qsort() of struct found *: by name, version, id, address. */
int found_cmp(const void *, const void *);

void found_add_name(struct buf *, const struct found *);
void found_add_name_json(struct buf *, const struct found *);
/* "greeter  v1.2.0  greeter-1  10.0.0.5:8080  k=v k=v", without metadata if that
 * is not wanted; action, if not NULL, comes first. */
void found_add_text(struct buf *, const char *action, const struct found *, bool metadata);
/* A line for each endpoint of f[0...n), as below: "  Hello(Request{name string}) Response". */
void found_add_endpoints(struct buf *, struct found *const *f, size_t n);
void found_add_address(struct buf *, const struct found *);
/* Ends with what go-micro's own names mean in words.
 * "greeter  v1.2.0  2 nodes  10.0.0.5:8080 10.0.0.6:8080" of f[0...n), as below. */
void found_add_version(struct buf *, struct found *const *f, size_t n);
/* A line for f[0...n), which are nodes of one version of one service. */
void found_add_json(struct buf *, const char *action, struct found *const *f, size_t n);

#endif

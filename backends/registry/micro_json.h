/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go-micro's JSON of a service, as its registries with a server (etcd, zookeeper) keep it:
 *
 *	{"name":..,"version":..,"metadata":{..},"endpoints":[..],
 *	 "nodes":[{"id":..,"address":..,"metadata":{..}}]}
 *
 * Read by way of cJSON, as documents are; so a string ends at a NUL. No I/O.
 */
#ifndef MBUS_REGISTRY_MICRO_JSON_H
#define MBUS_REGISTRY_MICRO_JSON_H

#include <cjson/cJSON.h>

#include "core/registry.h"

enum { MICRO_JSON_METADATA_MAX = 4096 };	/* entries of a node */

struct micro_json {
	struct service service;		/* the result: good until the next read, and as long
					 * as the document. Its nodes have an id, an address */
	struct node *nodes;
	struct keyval **metadata;	/* one array a node */
	size_t cap;
	struct buf endpoints;
};

/* All zero is ready for use. NULL, or why the document is no service: a literal. */
const char *micro_json_read(struct micro_json *, const cJSON *);
void micro_json_release(struct micro_json *);

/* The text of a member that is a string; n 0 where it is none. Borrowed. */
struct bytes micro_json_text(const cJSON *object, const char *member);
/* An object of strings as metadata, sorted; other members are left out. Allocated:
 * *n entries, NULL for none. */
struct keyval *micro_json_metadata(const cJSON *object, size_t *n);
/* Appends the endpoints of an array, tidied; nothing where they are not go-micro's. */
void micro_json_endpoints(struct buf *, const cJSON *array);

/* Appends a service with one node. In go-micro's key order of v4.10.1 and before. */
void micro_json_write(struct buf *, const struct service *);
/* Why a service cannot be written so: a literal; NULL: it can. */
const char *micro_json_why_not(const struct service *);

#endif

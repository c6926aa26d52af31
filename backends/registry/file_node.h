/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of one node's file in the file registry: go-micro's JSON of a service
 * with its one node, and what tells whether it is still true:
 *
 *	{"name":"micro.http.broker","version":"ff.http.broadcast","metadata":null,
 *	 "endpoints":null,"nodes":[{"metadata":{"topic":"t"},"id":"t-1",
 *	 "address":"127.0.0.1:8000"}],"ttl_ms":60000,"pid":7,"pid_start":9,"pid_ns":5}
 *
 * "name_b64" and the like stand for what is not UTF-8, as in our events. No I/O; a
 * reader's memory is its struct's and is reused.
 */
#ifndef MBUS_REGISTRY_FILE_NODE_H
#define MBUS_REGISTRY_FILE_NODE_H

#include "core/json.h"
#include "core/registry.h"

enum {
	FILE_NODE_MAX = 1 << 20,	/* bytes of text */
	FILE_NODE_METADATA_MAX = 1024,	/* entries */
	FILE_NAME_LEN = 16 + 1 + 32 + 5	/* SERVICE-NODE.node, both in hex */
};

/* The process that registered a node. What is 0 is not known. */
struct file_owner {
	uint64_t pid;
	uint64_t start;		/* field 22 of /proc/PID/stat: a pid comes again */
	uint64_t ns;		/* its pid namespace: there alone the pid says anything */
};

/* The name of the file: a hash of the service, by which a lookup finds its own
 * without opening the others', and one of service, version and id. */
void file_node_name(char out[FILE_NAME_LEN + 1], const struct service *);
/* Is this the form of such a name? */
bool file_node_is_name(const char *name);
/* Is it, going by the hash, of that service? */
bool file_node_of_service(const char *name, struct bytes service);

/* NULL, or why this cannot be written: a literal. s has one node. */
const char *file_node_write(struct buf *, const struct service *, const struct file_owner *,
	unsigned ttl_ms);

struct file_node {
	struct service service;	/* the result, with one node: good until the next read */
	struct node node;
	struct file_owner owner;
	uint64_t ttl_ms;

	struct keyval *metadata;
	size_t cap;
	struct json_scan scan;
	struct buf tidied;	/* the endpoints */
};

/* All zero is ready for use. */
void file_node_release(struct file_node *);
/* NULL, or why this is not one: a literal. The text is decoded in place and must
 * stay as long as the result is used. */
const char *file_node_read(struct file_node *, char *text, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TXT record in which go-micro's mdns registry keeps what DNS has no place
 * for: a JSON object, zlib, lower-case hex, character-strings of 255 bytes.
 * Written in the key order of v4.10.2 and later, read in any, from any zlib
 * stream. No I/O; a reader's memory is its struct's and is reused.
 */
#ifndef MBUS_PROTO_MICRO_TXT_H
#define MBUS_PROTO_MICRO_TXT_H

#include "core/json.h"
#include "core/registry.h"

enum {
	MICRO_TXT_JSON_MAX = 1 << 20,	/* a packet may inflate to this and no further */
	MICRO_TXT_METADATA_MAX = 4096	/* entries */
};

/* Appends the data of the TXT record. Metadata is sorted by key, as Go does; none
 * of it is null. */
void micro_txt_write(struct buf *, struct bytes service, struct bytes version,
	const struct keyval *metadata, size_t nmetadata, struct bytes endpoints);

struct micro_txt {
	struct bytes service, version;	/* the result: good until the next read */
	struct bytes endpoints;		/* tidied (core/endpoints.h); p NULL: none */
	struct keyval *metadata;	/* sorted by key, each key once */
	size_t nmetadata;

	size_t cap;
	struct buf hex, json, strings, tidied;
	struct json_scan *scan;
	void *inflater;
};

void micro_txt_init(struct micro_txt *);
void micro_txt_release(struct micro_txt *);
/* NULL, or why this is not one: a string literal. */
const char *micro_txt_read(struct micro_txt *, struct bytes data);

#endif

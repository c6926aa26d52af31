/* SPDX-License-Identifier: Apache-2.0 */
/* The table by which results are written as JSON and read again; see bench_json.c. */
#ifndef MBUS_CLI_BENCH_JSON_H
#define MBUS_CLI_BENCH_JSON_H

#include "cli/bench_out.h"

enum field_type {
	FIELD_END, FIELD_U64, FIELD_UNSIGNED, FIELD_I64, FIELD_DOUBLE, FIELD_BOOL,
	FIELD_TEXT,			/* char[size] */
	FIELD_TIME,			/* int64_t, microseconds since 1970 */
	FIELD_ROLE, FIELD_LIMIT, FIELD_KIND
};

struct json_field {
	const char *path;		/* "published.confirmed"; NULL ends a table */
	enum field_type type;
	size_t offset, size;
};

/* A member that is a list of objects: pointer and size_t beside each other. */
struct json_array {
	const char *name;
	size_t list, n, size;
	const struct json_field *fields;
};

extern const struct json_field result_fields[], part_fields[], listener_fields[],
	interval_fields[], curve_fields[];
extern const struct json_array result_arrays[];	/* ends with name NULL */
extern const char *const limit_names[];		/* by enum bench_limit; ends with NULL */

/* Reads one line that json_result() wrote. *is: it was a result; else out is empty. What
 * it has that is not known is skipped. -1: no JSON, or another version. */
int json_read_result(const char *p, size_t n, struct bench_result *out, bool *is, struct error *);

#endif

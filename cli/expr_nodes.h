/* SPDX-License-Identifier: Apache-2.0 */
/* What expr_parse.c makes of an expression and expr.c evaluates. */
#ifndef MBUS_CLI_EXPR_NODES_H
#define MBUS_CLI_EXPR_NODES_H

#include <regex.h>

#include "cli/expr.h"
#include "core/buf.h"
#include "core/json.h"

enum expr_kind { EXPR_OR, EXPR_AND, EXPR_NOT, EXPR_COMPARE };

enum expr_field {
	EXPR_TOPIC, EXPR_KEY, EXPR_BODY, EXPR_SIZE, EXPR_TS, EXPR_HEADER, EXPR_JSON,
	EXPR_META_BROKER, EXPR_META_PARTITION, EXPR_META_OFFSET, EXPR_META_ID, EXPR_META_QOS,
	EXPR_META_RETAIN, EXPR_META_REPLY, EXPR_META_TTL, EXPR_META_CONTENT_TYPE,
	EXPR_META_CORRELATION, EXPR_META_WIRE, EXPR_META_TS
};

enum expr_op { EXPR_IS_THERE, EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE, EXPR_MATCH,
	EXPR_NO_MATCH };

enum expr_type { EXPR_STRING, EXPR_NUMBER, EXPR_TRUE, EXPR_FALSE, EXPR_NULL };

/* A literal, or what a field holds. */
struct expr_value {
	enum expr_type type;
	struct bytes text;		/* of a string; a number as it is written */
};

struct expr_node {
	enum expr_kind kind;
	unsigned left, right;		/* EXPR_OR, EXPR_AND, EXPR_NOT (left): nodes */
	/* EXPR_COMPARE: */
	enum expr_field field;
	enum expr_op op;
	char *name;			/* of a header; the steps of a pointer, each behind its '/' */
	size_t name_len;
	struct expr_value literal;	/* its text is allocated */
	int64_t time_us;		/* of a literal that a time is compared with */
	regex_t regex;
	bool has_regex;
};

struct expr {
	struct expr_node *nodes;
	unsigned n, root;
	bool headers;
	struct buf scratch;		/* a copy of the body, for the scanner; of bytes with
					 * escapes decoded */
	struct buf seen;		/* by a regular expression */
	struct json_scan scan;
};

#endif

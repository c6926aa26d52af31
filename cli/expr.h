/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions on events: sub --where and --expect.
 *
 *	header.type == "created" && json /id >= 7 && !(topic ~ "^test")
 *
 *	expr	= and { "||" and }		and = not { "&&" not }
 *	not	= "!" not | "(" expr ")" | field [ op literal ]
 *	op	= == != < <= > >= ~ !~
 *	field	= topic | key | body | size | ts | header.NAME | header."NAME"
 *		| meta.NAME | json POINTER
 *	literal	= "..." with JSON's escapes | a number | true | false | null
 *
 * A field alone asks whether it is there. A field that is not there makes every
 * comparison false but != and !~. Numbers are compared as numbers where both sides are
 * numbers, else bytes are compared. ~ is a POSIX extended regular expression; it sees
 * the first 64 KiB of a field. Of a header that comes twice, any that fits counts. A time
 * (ts) is compared with milliseconds since 1970 or with an RFC 3339 time in quotes. A
 * body that is no JSON has no json; POINTER is RFC 6901's, quoted where it has blanks.
 */
#ifndef MBUS_CLI_EXPR_H
#define MBUS_CLI_EXPR_H

#include "core/error.h"
#include "core/message.h"

struct expr;

/* NULL: err (ERR_USAGE) says what is wrong and at which character. option: "--where". */
struct expr *expr_compile(const char *option, const char *text, struct error *);
void expr_free(struct expr *);		/* NULL is allowed */
/* broker: for meta.broker. Allocates nothing once its buffer has grown. */
bool expr_is_true(struct expr *, const struct event *, const char *broker);
/* Does it look at headers? */
bool expr_wants_headers(const struct expr *);

#endif

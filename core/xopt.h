/* SPDX-License-Identifier: Apache-2.0 */
/*
 * -X options: the rows in which a broker or a registry lists its own. A row says what
 * the value is, what bounds it, who has an effect of it, and where it goes in the
 * instance; so a wrong one is refused in one place, in the same words, and -X list,
 * --list -J and completion know what the parser knows.
 */
#ifndef MBUS_CORE_XOPT_H
#define MBUS_CORE_XOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/error.h"

/* What the value of a -X option is, and in the row: where it goes. */
enum broker_option_type {
	XOPT_T_TEXT,			/* the backend reads it by broker_xopt() */
	XOPT_T_STR,			/* const char *, of least ... most bytes; NULL: not
					 * given, and no default */
	XOPT_T_BOOL,			/* bool: "yes", "no" */
	XOPT_T_COUNT,			/* uint64_t: a whole number, least ... most */
	XOPT_T_TIME,			/* uint64_t: milliseconds, likewise */
	XOPT_T_SIZE,			/* uint64_t: bytes, likewise */
	XOPT_T_CHOICE			/* int: which of arg, "pubsub|sharded|stream" */
};

/* What an instance is for. */
enum broker_use {
	BROKER_FOR_PUB = 1 << 0,
	BROKER_FOR_SUB = 1 << 1,
	BROKER_FOR_TOPICS = 1 << 2
};

/* One -X option: name without the broker's (the registry's) prefix. */
struct broker_option {
	const char *name;
	const char *arg;		/* placeholder: "new|old|both" */
	const char *value;		/* default; NULL: none */
	const char *help;
	bool secret;			/* given as @FILE only, and never shown; init()
					 * finds what the file holds */
	enum broker_option_type type;	/* with the place in the instance, which is
					 * filled before init(): see XOPT_AT */
	unsigned place;
	uint64_t least, most;		/* most 0: no bound */
	unsigned use;			/* enum broker_use: where it has an effect, and is not
					 * refused; 0: everywhere */
};

/* Type and place in one, with the member's type checked at compile time. */
#define XOPT_AT(s, m, t, code) \
	.type = (code), .place = offsetof(s, m) + 0 * sizeof(char[ \
	__builtin_types_compatible_p(__typeof__(((s *)0)->m), t) ? 1 : -1])
#define XOPT_STR(s, m) XOPT_AT(s, m, const char *, XOPT_T_STR)
#define XOPT_BOOL(s, m) XOPT_AT(s, m, bool, XOPT_T_BOOL)
#define XOPT_COUNT(s, m) XOPT_AT(s, m, uint64_t, XOPT_T_COUNT)
#define XOPT_TIME(s, m) XOPT_AT(s, m, uint64_t, XOPT_T_TIME)
#define XOPT_SIZE(s, m) XOPT_AT(s, m, uint64_t, XOPT_T_SIZE)
#define XOPT_CHOICE(s, m) XOPT_AT(s, m, int, XOPT_T_CHOICE)

/* What the user gave with -X, in order. Strings are borrowed for ever (argv). */
struct broker_xopt {
	const char *name, *value;
};

/* The row of that name (without prefix), NULL: there is none. rows may be NULL. */
const struct broker_option *xopt_find(const struct broker_option *rows, const char *name);
/* Puts the value of each typed row where it says, in the instance; value() gives the
 * user's, else the row's, else NULL: then the place stays as it is. -1: a value is none
 * (ERR_USAGE: "-X OWNER.NAME=VALUE: what it should be"). */
int xopt_read(void *instance, const char *owner, const struct broker_option *rows,
	const char *(*value)(const void *instance, const char *name), struct error *);
/* Has the option `name`, as the user wrote it, an effect in what is wanted (0: in
 * anything)? -1: no, and err (ERR_USAGE) says in what it has. */
int xopt_check_use(const char *name, unsigned use, unsigned wanted, struct error *);
/* "pub", "pub and sub": who has an effect of a -X option. */
void broker_add_use(struct buf *, unsigned use);
/* " from 1 to 10,000", ", at least 1 s"; nothing where nothing bounds it. */
void xopt_add_bounds(struct buf *, const struct broker_option *);

#endif

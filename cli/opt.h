/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options are a table. One row feeds the parser, --help, the completion of the
 * shells and the test that compares them with the man page.
 *
 * A command's values live in a struct of its own, whose FIRST member is
 * `struct common_args common` (cli/cli.h); a row says which member its value
 * goes to, by a macro that checks the member's type:
 *
 *	struct pub_args {
 *		struct common_args common;
 *		const char *topic;
 *		bool lines;
 *		uint64_t wait;
 *		struct opt_list headers;
 *	};
 *
 *	static const struct opt pub_opts[] = {
 *		{ "topic", 't', OPT_STR(struct pub_args, topic), .arg = "TOPIC",
 *			.group = "What", .flags = OPT_ONCE, .help = "publish to TOPIC" },
 *		{ "lines", 'l', OPT_FLAG(struct pub_args, lines),
 *			.help = "each line of stdin is an event" },
 *		{ "header", 'H', OPT_LIST(struct pub_args, headers), .arg = "N:V",
 *			.help = "add a header" },
 *		{ "wait", 0, OPT_NUM(struct pub_args, wait), .arg = "N", .min = 1,
 *			.help = "wait for N subscribers first" },
 *		{ NULL }
 *	};
 *
 * How a command line is read (opt_parse):
 *	--name VALUE, --name=VALUE; '_' may be written for '-'; never abbreviated
 *	-n VALUE, -nVALUE; letters without a value may be bundled (-lq)
 *	options may come after operands; "--" ends them; "-" is an operand
 *	a value may begin with '-' ("-m -5")
 * Nothing else is accepted: an unknown option is a usage error that names the
 * nearest one, or says what mbus calls it (the hints in cli/opt_hint.c).
 *
 * Strings are borrowed from argv and the environment for the program's life.
 */
#ifndef MBUS_CLI_OPT_H
#define MBUS_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/error.h"

enum opt_type {
	OPT_T_FLAG,		/* bool: becomes true */
	OPT_T_SET,		/* int: becomes opt->value; the last one wins */
	OPT_T_STR,		/* const char *; NULL: not given */
	OPT_T_NUM,		/* uint64_t, a whole number; 0: not given */
	OPT_T_DUR,		/* uint64_t, milliseconds: "5", "500ms", "2m" */
	OPT_T_SIZE,		/* uint64_t, bytes: "4096", "64K" */
	OPT_T_FD,		/* int, an open descriptor; -1: not given */
	OPT_T_INT,		/* int64_t, a whole number; -1: not given */
	OPT_T_CHOICE,		/* int: index in opt->choices */
	OPT_T_MASK,		/* unsigned: bit i for choice i; "a,b" and repeated: or-ed */
	OPT_T_LIST		/* struct opt_list: every value, in order */
};

struct opt_list {
	const char **v;
	size_t n;
};

enum opt_flags {
	OPT_ONCE = 1,		/* a second time is a usage error (else: the last one wins);
				 * only in the first 64 rows of a table */
	OPT_ALL = 2,		/* OPT_SIZE: the word "all" is UINT64_MAX */
	OPT_STOP = 4,		/* what follows is not looked at: --help, --version */
	OPT_HIDDEN = 8,		/* not in --help, completion, man page */
	OPT_URL = 16,		/* OPT_STR: "://" must be in it */
	OPT_MORE = 64,		/* in the short --help by its name only */
	OPT_EMPTY = 32		/* OPT_STR, OPT_LIST: the empty value says something, too */
};

struct opt {
	const char *name;	/* without "--", with '-' between words; "": only a letter;
				 * NULL ends a table */
	char letter;		/* 0: none */
	unsigned char type;	/* enum opt_type */
	unsigned short offset;
	int value;		/* of OPT_SET */
	unsigned char flags;
	const char *arg;	/* placeholder of the value: "TOPIC", "N", "DUR" */
	const char *choices;	/* OPT_CHOICE, OPT_MASK: "auto|always|never" */
	const char *def;	/* default, as the user would write it; shown by --help */
	const char *env;	/* environment variable; set and not empty: before def */
	const char *aliases;	/* other names: "G queue" is -G and --queue */
	const char *complete;	/* what its value is: "file", "broker", "registry", "xopt",
				 * "url" */
	const char *group;	/* heading in --help from this row on */
	const char *help;	/* a phrase without capital and full stop; is wrapped */
	uint64_t min, max;	/* OPT_NUM, OPT_DUR, OPT_SIZE; max 0: none. OPT_INT: max */
	/* Where it has an effect, for cli/heed.h, which refuses it elsewhere. */
	unsigned needs;		/* enum broker_caps: one of these; 0: nothing */
	const unsigned *choice_needs;	/* OPT_CHOICE: the same, by value */
	const char *idle;	/* values that ask for nothing, with blanks between */
	unsigned char use;	/* enum use, of a row all commands share; 0: in every command */
};

/* The options of a command line, in their order; opt_parse() adds to it. Names and
 * values are borrowed from argv. */
struct opt_given {
	struct opt_was {
		const struct opt *opt;
		struct bytes name;	/* as it was written, without dashes */
		const char *value;	/* NULL: it takes none */
	} *v;
	size_t n;
};

/* Type and place in one, with the member's type checked at compile time. */
#define OPT_AT(s, m, t, code) \
	.type = (code), .offset = offsetof(s, m) + 0 * sizeof(char[ \
	__builtin_types_compatible_p(__typeof__(((s *)0)->m), t) ? 1 : -1])
#define OPT_FLAG(s, m) OPT_AT(s, m, bool, OPT_T_FLAG)
#define OPT_SET(s, m, v) OPT_AT(s, m, int, OPT_T_SET), .value = (v)
#define OPT_STR(s, m) OPT_AT(s, m, const char *, OPT_T_STR)
#define OPT_NUM(s, m) OPT_AT(s, m, uint64_t, OPT_T_NUM)
#define OPT_DUR(s, m) OPT_AT(s, m, uint64_t, OPT_T_DUR)
#define OPT_SIZE(s, m) OPT_AT(s, m, uint64_t, OPT_T_SIZE)
#define OPT_FD(s, m) OPT_AT(s, m, int, OPT_T_FD)
#define OPT_INT(s, m) OPT_AT(s, m, int64_t, OPT_T_INT)
#define OPT_CHOICE(s, m) OPT_AT(s, m, int, OPT_T_CHOICE)
#define OPT_MASK(s, m) OPT_AT(s, m, unsigned, OPT_T_MASK)
#define OPT_LIST(s, m) OPT_AT(s, m, struct opt_list, OPT_T_LIST)

/* A set of rows: the command's own, then those all commands share. */
struct opt_set {
	const struct opt *own, *common;	/* each ends with name NULL */
	const char *command;		/* for the hints; "" is mbus itself */
	struct opt_given *given;	/* what is there; NULL: nobody asks */
};

/* Writes every row's default into args (zeroed memory), then what the
 * environment says. */
int opt_defaults(const struct opt *rows, void *args, struct error *);
/* Puts a value where its row says. where: what to blame in a message, "--wait",
 * "MICRO_REGISTER_TTL". NULL for a row that takes none. */
int opt_store(const struct opt *, void *args, const char *where, const char *value,
	struct error *);
/* Reads argv[0...argc) into args and moves the operands to its front. Their
 * number, or -1. first_only: the first operand ends it; *used is then the
 * number of words before it. */
int opt_parse(const struct opt_set *, void *args, int argc, char **argv, bool first_only,
	int *used, struct error *);
/* "-k" or "--key", as it was written. Good until the next call. */
const char *opt_was_named(const struct opt_was *);
/* Frees the lists in args (tests and fuzzing; a program just ends). */
void opt_release(const struct opt *rows, void *args);

/* The row of a long name or an alias ('_' counts as '-'), or of a letter. */
const struct opt *opt_find(const struct opt_set *, const char *name, size_t len);
const struct opt *opt_find_letter(const struct opt_set *, char letter);
bool opt_takes_value(const struct opt *);
/* The nth name of a choice list "a|b|c"; n 0 when there is no such. */
struct bytes opt_choice(const char *choices, size_t i);

/* A value as it may be shown: without the passwords of URLs, and not all of a long
 * one. Good until the next call. */
const char *opt_shown(const char *value);

/* What users of kcat, mosquitto and others mean by what is written; NULL: no
 * hint. An option mbus does not have; one without a value that has something
 * behind it (attached: in the same word); a value that does not fit. */
const char *opt_hint(const struct opt_set *, const char *name, size_t len);
const char *opt_hint_next(const struct opt_set *, char letter, const char *next, bool attached);
const char *opt_hint_value(const struct opt_set *, const char *shown, const char *value);
/* The option most like a mistyped one, with its dashes. */
bool opt_nearest(const struct opt_set *, const char *name, size_t len, char *out, size_t size);

/* The option part of help: groups, aligned, wrapped to 80 columns. brief: what is needed
 * every day, without what stands behind a ';'; the rows with OPT_MORE by their names,
 * below. */
void opt_help(struct buf *, const struct opt *rows, bool brief);

#endif

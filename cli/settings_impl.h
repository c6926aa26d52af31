/* SPDX-License-Identifier: Apache-2.0 */
/* For settings*.c alone: the lines of the config file on their way to what holds. */
#ifndef MBUS_CLI_SETTINGS_IMPL_H
#define MBUS_CLI_SETTINGS_IMPL_H

#include "cli/settings.h"

enum layer {
	LAYER_NONE,
	LAYER_DEFAULT,		/* [default] */
	LAYER_CHOSEN_ENV,	/* the section that MBUS_PROFILE names */
	LAYER_ENV,
	LAYER_CHOSEN,		/* the one of --profile */
	LAYER_LINE		/* the command line */
};

struct entry {
	const struct profile_line *line;
	const struct opt *opt;
	enum layer layer;
	bool out;		/* it does not hold here */
};

struct applying {
	void *args;
	struct common_args *c;
	struct settings *s;
	const struct opt_set *set;
	const struct command *cmd;
	struct error *err;
	struct entry *v;
	size_t n;
	char **operands;
	int noperands;
};

/* ERR_USAGE that names file and line; -1. */
int settings_line_error(struct applying *, const struct profile_line *, const char *what);
bool settings_is_called(const struct opt *, const char *name);

/* settings_where.c: where to connect and as whom is one thing. */
bool settings_is_where(const struct opt *);
/* The name of the broker that has the URL's scheme; "": none. */
const char *settings_broker_of(const char *url);
void settings_drop_elsewhere(struct applying *);
/* A layer that names both, broker and URL, contradicts itself, as a command line does. */
int settings_check_where(struct applying *);

/* settings_fit.c: the file has `json = yes`, and the line --body. On a line the two
 * contradict each other; a default gives way. */
void settings_drop_unfit(struct applying *);

#endif

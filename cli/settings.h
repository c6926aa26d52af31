/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config file: options that hold where nobody says otherwise. What comes first:
 *
 *	an option  >  a URL's parameter  >  --profile  >  the environment
 *		>  MBUS_PROFILE  >  [default]  >  the default
 *
 * What the file says and does not apply (to this command, this broker) is ignored, as it
 * is with the environment; what no command has is refused. Where to connect and as whom
 * (broker, address, url, username, password-file) is one thing: a layer that names a
 * broker or a URL takes those below it away, unless they are for the same broker.
 *
 * At most one open(2): of --config, MBUS_CONFIG or $XDG_CONFIG_HOME/mbus/config.
 */
#ifndef MBUS_CLI_SETTINGS_H
#define MBUS_CLI_SETTINGS_H

#include "cli/cli.h"
#include "cli/profile.h"

/* One that holds: what it was put into, and where it stands. */
struct setting {
	const struct opt *opt;
	const char *value;
	const char *section;
	unsigned line;
};

struct settings {
	char *file;			/* NULL: there is none */
	char *text;			/* of it; NULL: none */
	bool kept;			/* by core/secret.h, which frees it */
	char **x;			/* "BROKER.NAME=VALUE", in xopts */
	size_t nx;
	struct profile profile;
	struct setting *v;
	size_t n;
};

/* After the command line was read: puts what the file says into args, whose first
 * member is common_args and whose rows are those of set. cmd NULL: of mbus itself. The
 * operands are looked at, for what a default goes with (cli/settings_fit.c). */
int settings_apply(void *args, const struct opt_set *set, const struct command *cmd,
	int noperands, char **operands, struct error *);
/* Reads the file, and no more; for what completes the names of profiles. */
int settings_read(struct common_args *, struct error *);
void settings_release(struct common_args *);

/* The setting that this row's value comes from; NULL: not from the file. */
const struct setting *settings_find(const struct common_args *, const struct opt *);

#endif

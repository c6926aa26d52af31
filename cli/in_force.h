/* SPDX-License-Identifier: Apache-2.0 */
/* What would be used, and where each value comes from; secrets are not among it. */
#ifndef MBUS_CLI_IN_FORCE_H
#define MBUS_CLI_IN_FORCE_H

#include "cli/cli.h"

struct in_force {
	const char *option;		/* "broker", "mqtt.version" */
	const char *value;		/* NULL: none */
	const char *from;		/* "option", "url", "profile", "environment", "default",
					 * "unset" */
	const char *place;		/* "--broker", "?qos", "FILE:7 [work]", "MICRO_BROKER";
					 * NULL: none */
	const char *only;		/* the commands that have it: "pub sub"; NULL: all */
};

typedef void in_force_fn(const struct in_force *, void *arg);

/* All of the common options and the -X options that were given. common_url() has been
 * called. The strings are good for the call. */
void in_force_each(const struct common_args *, in_force_fn *, void *arg);
/* The same of one, by its name; option NULL: there is no such. The strings are good
 * until the next call. */
struct in_force in_force_one(const struct common_args *, const char *option);
/* "option --broker", "profile FILE:7 [work]", "default" */
void in_force_add_origin(struct buf *, const struct in_force *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing that is said on the command line is without effect: each option acts, or is
 * refused with what lacks. The rule stands here, what it goes by in the rows of the
 * options (`use`, `needs`, `idle`: cli/opt.h), in each command (`uses`) and in the
 * capabilities of brokers.
 *
 * Refused with ERR_USAGE: what contradicts the command; with ERR_NOTFOUND: what this
 * broker has not, before it is asked for anything. What the environment says and does
 * not apply is ignored. Exempt: -q, -v, --debug, --color, and all where the broker is
 * BROKER_HEEDLESS.
 */
#ifndef MBUS_CLI_HEED_H
#define MBUS_CLI_HEED_H

#include "cli/cli.h"

/* Has this command a use for what was given? */
int heed_command(const struct common_args *, struct error *);
/* Of mbus itself (--list): nothing but its own options. */
int heed_alone(const struct common_args *, const struct opt *own, struct error *);
/* Has a broker of these ops, and this instance of it (NULL: it is not made yet)? */
int heed_broker(const struct common_args *, const struct broker_ops *, const struct broker *,
	struct error *);
/* What this option asks of a broker: one of these capabilities; 0: of none. */
unsigned heed_wanted(const struct opt_was *);
/* Was this option on the command line? By its main name. */
bool heed_given(const struct common_args *, const char *name);

#endif

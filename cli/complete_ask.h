/* SPDX-License-Identifier: Apache-2.0 */
/* For completion: the names that the broker or the registry of a command line knows. */
#ifndef MBUS_CLI_COMPLETE_ASK_H
#define MBUS_CLI_COMPLETE_ASK_H

#include "cli/cli.h"

enum { COMPLETE_ASK_MS = 300 };		/* who types does not wait longer */

typedef void complete_name_fn(const char *name, void *arg);

/* The topics (services: of `mbus registry`) there are by these words, which stand behind
 * "mbus" and before the word under the cursor. Whatever goes wrong, there are none; what
 * would ask the user for something is not done. What it opened stays open: the process
 * ends. */
void complete_ask(const struct command *, int nwords, char **words, complete_name_fn *,
	void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting another program, with what main() and the loop took from it given back: no
 * signal blocked, SIGPIPE not ignored. It gets our descriptors 0 to 2 and a process
 * group of its own, so that a Ctrl-C reaches it by us only.
 */
#ifndef MBUS_CLI_SPAWN_H
#define MBUS_CLI_SPAWN_H

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

#include "core/error.h"

/* argv[0] is looked for in PATH. Its pid, or -1: err says why. */
pid_t spawn_program(char *const argv[], struct error *);
/* The same for /bin/sh -c COMMAND, with /dev/null as stdin. */
pid_t spawn_shell(const char *command, struct error *);

/* What these do, for who has descriptors and an environment of its own (or, for a command
 * that belongs to our terminal, our process group). 0 and the pid, or an errno. */
int spawn_as(const char *file, char *const argv[], char *const env[],
	const posix_spawn_file_actions_t *files, bool own_group, pid_t *pid);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Telling a script that all is live: --ready-fd FD and --ready CMD. */
#ifndef MBUS_CLI_READY_H
#define MBUS_CLI_READY_H

#include <sys/types.h>

/* Writes "ready" to fd and closes it (-1: none), starts the command by /bin/sh (NULL:
 * none). Its pid, or 0. What does not work is warned of. */
pid_t ready_tell(int fd, const char *command);
/* After SIGCHLD: warns if the command has failed. *pid is 0 once it has ended. */
void ready_reap(pid_t *pid);

#endif

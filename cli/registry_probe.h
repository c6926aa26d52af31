/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a service well? Either it accepts a connection at its address, or a command of the
 * user's says so by status 0. One probe at a time; nothing blocks.
 */
#ifndef MBUS_CLI_REGISTRY_PROBE_H
#define MBUS_CLI_REGISTRY_PROBE_H

#include <sys/types.h>

#include "core/loop.h"
#include "core/net.h"

struct probe {
	/* Set by the user before probe_begin(). */
	struct loop *loop;
	const char *command;		/* for /bin/sh; NULL: connect to the address */
	union sockaddr_any address;
	uint64_t timeout_ms;		/* longer, and it has failed */
	void (*done)(struct probe *, bool ok);	/* never from within probe_begin() */
	void *arg;
	/* Private. */
	pid_t pid;			/* of the command; 0: none */
	struct loop_fd conn;
	struct loop_timer limit;
	bool running, connected;
};

void probe_begin(struct probe *);
/* After SIGCHLD. */
void probe_reap(struct probe *);
/* Ends one that is under way; done is not called. */
void probe_end(struct probe *);

#endif

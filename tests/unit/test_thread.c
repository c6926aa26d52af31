/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that was given up while it runs is remembered: cli/main.c asks. */
#include "core/thread.h"

#include <netdb.h>
#include <poll.h>

#include "core/resolve.h"
#include "tests/unit/test.h"

static struct resolve *
look_up(const char *host, int flags)
{
	struct error err = ERROR_INIT;

	return resolve_start(host, flags, &err);
}

TEST(looked_up)
{
	union sockaddr_any found[RESOLVE_MAX];
	struct error err = ERROR_INIT;
	struct resolve *r = look_up("127.0.0.1", AI_NUMERICHOST);
	struct pollfd fd;

	need(r);
	fd = (struct pollfd){ .fd = resolve_fd(r), .events = POLLIN };
	check_int(poll(&fd, 1, 10000), 1);
	check_int(resolve_take(r, found, &err), 1);
	resolve_cancel(NULL);
	check(!thread_abandoned());
}

TEST(given_up)
{
	/* The look-up may be over first, if this thread is not let run. */
	for (int i = 0; i < 100 && !thread_abandoned(); i++)
		resolve_cancel(look_up("name.invalid", 0));
	check(thread_abandoned());
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for calls that block: one that was given up while it runs is remembered
 * (cli/main.c asks), and a call that must not take long is not waited for longer. */
#include "core/thread.h"

#include <netdb.h>
#include <poll.h>

#include "core/loop.h"
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

static int ran;

static void
nap(void *ms)
{
	poll(NULL, 0, *(int *)ms);
	__atomic_add_fetch(&ran, 1, __ATOMIC_RELEASE);
}

TEST(bounded)
{
	int none = 0, soon = 50;
	static int late = 600;
	uint64_t since = loop_clock_ns();

	check(thread_bounded(nap, &none, 10000));
	check(thread_bounded(nap, &soon, 10000));
	check_int(ran, 2);
	check(loop_clock_ns() - since < UINT64_C(8000000000));
	check(!thread_bounded(nap, &late, 100));
	check(thread_abandoned());
	/* It goes on, and ends what is left. */
	for (int i = 0; i < 500 && __atomic_load_n(&ran, __ATOMIC_ACQUIRE) < 3; i++)
		poll(NULL, 0, 10);
	check_int(ran, 3);
}

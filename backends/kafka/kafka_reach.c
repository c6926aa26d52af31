/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which address of a name to connect to. The library takes one of them by lot, and when
 * that refuses, says that the server is down: with "localhost", which is ::1 as well as
 * 127.0.0.1, every second start would fail. So a name that has several is looked up
 * here: they are tried as core/link does, one behind the other without waiting long,
 * and the first that takes a connection is the only one the library gets to know. When
 * none does it gets all of them, and says itself what is wrong.
 *
 * Called in the library's threads: it has nothing but its arguments.
 */
#include "backends/kafka/kafka.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	REACH_MAX = 16,			/* addresses of a name */
	REACH_NEXT_MS = 100,		/* an address gets ahead of the next one */
	REACH_MS = 2000			/* all of them have, together */
};

struct attempts {
	struct pollfd fds[REACH_MAX];
	struct addrinfo *to[REACH_MAX];
	nfds_t n, open;
};

/* Whether the address has taken the connection at once. */
static bool
attempt(struct attempts *at, struct addrinfo *to)
{
	struct pollfd *p = &at->fds[at->n];

	at->to[at->n++] = to;
	*p = (struct pollfd){ .events = POLLOUT };
	p->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return false;
	if (connect(p->fd, to->ai_addr, to->ai_addrlen) == 0)
		return true;
	if (errno == EINPROGRESS) {
		at->open++;
		return false;
	}
	close(p->fd);
	p->fd = -1;
	return false;
}

/* Which of those that were begun is connected by now; NULL: none. */
static struct addrinfo *
look(struct attempts *at, int ms)
{
	int n = poll(at->fds, at->n, ms);

	for (nfds_t i = 0; n > 0 && i < at->n; i++) {
		struct pollfd *p = &at->fds[i];
		int error = 0;
		socklen_t size = sizeof error;

		if (p->fd < 0 || !p->revents)
			continue;
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && !error)
			return at->to[i];
		close(p->fd);
		p->fd = -1;
		at->open--;
	}
	return NULL;
}

static struct addrinfo *
first_to_answer(struct addrinfo *list)
{
	struct attempts at = { .n = 0 };
	struct addrinfo *found = NULL, *next = list;
	uint64_t end = loop_clock_ns() + REACH_MS * UINT64_C(1000000);

	while (!found && (next || at.open) && loop_clock_ns() < end) {
		if (next && at.n < REACH_MAX) {
			found = attempt(&at, next) ? next : NULL;
			next = next->ai_next;
		} else {
			next = NULL;
		}
		if (!found && at.open)
			found = look(&at, REACH_NEXT_MS);
	}
	for (nfds_t i = 0; i < at.n; i++)
		if (at.fds[i].fd >= 0)
			close(at.fds[i].fd);
	return found;
}

int
kafka_reach(const char *host, const char *port, const struct addrinfo *hints,
	struct addrinfo **list, void *arg)
{
	struct addrinfo *found, **at;
	int r;

	(void)arg;
	if (!host) {
		freeaddrinfo(*list);
		return 0;
	}
	r = getaddrinfo(host, port, hints, list);
	if (r || !(*list)->ai_next)
		return r;
	found = first_to_answer(*list);
	if (!found)
		return 0;
	for (at = list; *at != found;)
		at = &(*at)->ai_next;
	*at = found->ai_next;
	found->ai_next = NULL;
	freeaddrinfo(*list);
	*list = found;
	return 0;
}

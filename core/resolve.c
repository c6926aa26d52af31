/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up names: see resolve.h. A look-up cannot be stopped; one that was given
 * up goes on by itself, and whoever of both sides is done with it last frees it.
 */
#include <netdb.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/resolve.h"
#include "core/thread.h"

struct resolve {
	unsigned refs;			/* ours, the thread's */
	int over;			/* eventfd */
	int flags;
	int code;			/* of getaddrinfo() */
	struct addrinfo *found;
	char host[];
};

/* Is the other side still there? */
static bool
resolve_unref(struct resolve *r)
{
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL))
		return true;
	if (r->found)
		freeaddrinfo(r->found);
	close(r->over);
	free(r);
	return false;
}

static void *
resolve_run(void *arg)
{
	struct resolve *r = arg;
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = r->flags };

	r->code = getaddrinfo(r->host, NULL, &want, &r->found);
	eventfd_write(r->over, 1);
	resolve_unref(r);
	return NULL;
}

struct resolve *
resolve_start(const char *host, int flags, struct error *err)
{
	size_t n = strlen(host) + 1;
	struct resolve *r = xcalloc(1, sizeof *r + n);

	memcpy(r->host, host, n);
	r->flags = flags;
	r->refs = 2;
	r->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->over >= 0 && thread_start(resolve_run, r) == 0)
		return r;
	error_set(err, ERR_CONNECT, "out of %s", r->over < 0 ? "descriptors" : "threads");
	if (r->over >= 0)
		close(r->over);
	free(r);
	return NULL;
}

int
resolve_fd(const struct resolve *r)
{
	return r->over;
}

size_t
resolve_take(struct resolve *r, union sockaddr_any out[RESOLVE_MAX], struct error *err)
{
	eventfd_t ignored;
	size_t n = 0;

	/* Orders the thread's words before our reading them. */
	eventfd_read(r->over, &ignored);
	for (struct addrinfo *i = r->found; i && n < RESOLVE_MAX; i = i->ai_next)
		if (i->ai_family == AF_INET || i->ai_family == AF_INET6) {
			memset(&out[n], 0, sizeof out[n]);
			memcpy(&out[n++], i->ai_addr, i->ai_addrlen);
		}
	if (!n)
		error_set(err, ERR_CONNECT, "%s", gai_strerror(r->code ? r->code : EAI_NONAME));
	resolve_unref(r);
	return n;
}

void
resolve_cancel(struct resolve *r)
{
	if (r && resolve_unref(r))
		thread_abandon();
}

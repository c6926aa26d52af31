/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up names: see resolve.h. A look-up is shared by its thread and the loop,
 * and the last of the two frees it: a thread inside getaddrinfo() cannot be stopped,
 * only left to itself.
 */
#include "core/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/buf.h"

struct resolve {
	int owners;			/* atomic */
	int done;			/* atomic */
	int fd;				/* an eventfd: wakes the loop */
	char *host;
	unsigned port;
	/* The thread's, until it is done. */
	struct resolved found;
	int code, sys;			/* of getaddrinfo(), and its errno */
	/* The loop's alone. */
	struct loop *loop;
	struct loop_fd watch;
	resolve_fn *fn;
	void *arg;
};

static void
set_port(union sockaddr_any *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

static bool
ends_with(struct bytes b, struct bytes end)
{
	return b.n >= end.n && strncasecmp(b.p + b.n - end.n, end.p, end.n) == 0;
}

/* The name itself, and all below it. */
static bool
is_localhost(struct bytes host)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	return ends_with(host, BYTES("localhost")) &&
		(host.n == 9 || host.p[host.n - 10] == '.');
}

static bool
add_number(struct resolved *r, const char *text, unsigned port)
{
	union sockaddr_any *a = &r->addr[r->n];

	memset(a, 0, sizeof *a);
	if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1)
		a->sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) == 1)
		a->sa.sa_family = AF_INET6;
	else
		return false;
	set_port(a, port);
	r->n++;
	return true;
}

bool
resolve_now(struct bytes host, unsigned port, struct resolved *r)
{
	char text[INET6_ADDRSTRLEN] = "";

	r->n = 0;
	if (is_localhost(host))
		return add_number(r, "127.0.0.1", port) && add_number(r, "::1", port);
	if (!host.n || host.n >= sizeof text || memchr(host.p, '\0', host.n))
		return false;
	memcpy(text, host.p, host.n);
	return add_number(r, text, port);
}

/* ---- the thread ---- */

static void
resolve_drop(struct resolve *r)
{
	if (__atomic_sub_fetch(&r->owners, 1, __ATOMIC_ACQ_REL))
		return;
	close(r->fd);
	free(r->host);
	free(r);
}

static void
look_up(struct resolve *r)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *list = NULL;

	r->code = getaddrinfo(r->host, NULL, &want, &list);
	r->sys = errno;
	for (const struct addrinfo *i = list; i && r->found.n < RESOLVE_MAX; i = i->ai_next) {
		union sockaddr_any *a = &r->found.addr[r->found.n];

		if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
			continue;
		memset(a, 0, sizeof *a);
		memcpy(a, i->ai_addr, i->ai_addrlen);
		set_port(a, r->port);
		r->found.n++;
	}
	if (list)
		freeaddrinfo(list);
}

static void *
resolve_thread(void *arg)
{
	struct resolve *r = arg;

	look_up(r);
	__atomic_store_n(&r->done, 1, __ATOMIC_RELEASE);
	eventfd_write(r->fd, 1);
	resolve_drop(r);
	return NULL;
}

/* Without any signal: those of the process are the loop's. */
static int
thread_start(struct resolve *r)
{
	sigset_t all, was;
	pthread_attr_t attr;
	pthread_t thread;
	int code;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	code = pthread_create(&thread, &attr, resolve_thread, r);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	pthread_attr_destroy(&attr);
	return code;
}

/* ---- the loop's side ---- */

static void
resolve_failed(const struct resolve *r, struct error *err)
{
	const char *why = r->code == EAI_SYSTEM ? strerror(r->sys) :
		r->code ? gai_strerror(r->code) : "it has no address";

	error_set(err, ERR_CONNECT, "the name cannot be looked up: %s", why);
}

static void
resolve_ready(struct loop_fd *w, unsigned ready)
{
	struct resolve *r = w->arg;
	resolve_fn *fn = r->fn;
	struct error err;

	(void)ready;
	if (!__atomic_load_n(&r->done, __ATOMIC_ACQUIRE))
		return;
	loop_fd_del(r->loop, &r->watch);
	r->fn = NULL;
	if (r->found.n) {
		fn(&r->found, NULL, r->arg);
	} else {
		resolve_failed(r, &err);
		fn(NULL, &err, r->arg);
	}
	resolve_drop(r);
}

struct resolve *
resolve_start(struct loop *loop, struct bytes host, unsigned port, resolve_fn *fn, void *arg,
	struct error *err)
{
	struct resolve *r = xcalloc(1, sizeof *r);

	r->owners = 1;
	r->host = xmemdup0(host.p, host.n);
	r->port = port;
	r->loop = loop;
	r->fn = fn;
	r->arg = arg;
	r->watch.fn = resolve_ready;
	r->watch.arg = r;
	r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->fd < 0) {
		error_sys(err, ERR_LOCAL_IO, "the name cannot be looked up");
	} else if (loop_fd_add(loop, &r->watch, r->fd, LOOP_READ, err) == 0) {
		r->owners = 2;
		errno = thread_start(r);
		if (!errno)
			return r;
		loop_fd_del(loop, &r->watch);
		r->owners = 1;
		error_sys(err, ERR_LOCAL_IO, "no thread to look up the name");
	}
	resolve_drop(r);
	return NULL;
}

void
resolve_cancel(struct resolve *r)
{
	if (!r || !r->fn)
		return;
	loop_fd_del(r->loop, &r->watch);
	r->fn = NULL;
	resolve_drop(r);
}

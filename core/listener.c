/* SPDX-License-Identifier: Apache-2.0 */
/* The listening side of streams: see stream.h. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/stream_impl.h"
#include "core/units.h"

enum {
	ACCEPT_BATCH = 64,		/* a turn, so that the others get theirs */
	ACCEPT_RETRY_MS = 100,		/* after running out of descriptors */
	RESOLVE_MS = 5000		/* where the user set no time-out */
};

struct listener {
	struct loop *loop;
	const struct stream_ops *ops;
	struct stream_limits limits;
	accept_fn *fn;
	void *arg;
	struct loop_fd watch;
	struct loop_timer retry;
	union sockaddr_any bound;
	bool paused, complained;
	char path[sizeof(struct sockaddr_storage)];	/* of a Unix socket, to be unlinked */
	char address[sizeof(struct sockaddr_storage) + 8];
};

static void
listener_watch(struct listener *l)
{
	bool on = !l->paused && !loop_timer_is_set(&l->retry);

	loop_fd_set(l->loop, &l->watch, on ? LOOP_READ : 0);
}

static void
listener_retry(struct loop_timer *t)
{
	listener_watch(t->arg);
}

static bool
listener_accept(struct listener *l)
{
	union sockaddr_any a;
	socklen_t len = sizeof a;
	struct error err;
	struct stream *s;
	int fd = accept4(l->watch.fd, &a.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (!l->complained)
				log_warn("%s: cannot take more connections: %s", l->address,
					strerror(errno));
			l->complained = true;
			loop_timer_set(l->loop, &l->retry, ACCEPT_RETRY_MS);
			listener_watch(l);
		}
		return errno == ECONNABORTED || errno == EINTR;
	}
	stream_tune(fd, a.sa.sa_family);
	s = stream_make(l->loop, fd, l->ops, &l->limits, NULL);
	if (a.sa.sa_family == AF_UNIX)
		snprintf(s->peer, sizeof s->peer, "unix");
	else
		net_text(&a, s->peer);
	if (stream_accepted(s, &err) < 0) {
		log_warn("%s: %s", s->peer, err.text);
		stream_close(s);
		return true;
	}
	l->fn(l, s, l->arg);
	return true;
}

static void
listener_ready(struct loop_fd *w, unsigned ready)
{
	struct listener *l = w->arg;

	(void)ready;
	for (int i = 0; i < ACCEPT_BATCH && w->added && !l->paused; i++)
		if (!listener_accept(l))
			break;
}

/* ---- opening ---- */

static int
listener_bind(const union sockaddr_any *a, socklen_t len, struct error *err)
{
	int on = 1, fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_sys(err, ERR_CONNECT, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, &a->sa, len) < 0 || listen(fd, SOMAXCONN) < 0) {
		error_sys(err, ERR_CONNECT, "cannot listen");
		close(fd);
		return -1;
	}
	return fd;
}

/* Looks up a name in a thread of the C library's, because a DNS server that does
 * not answer would keep us for ten seconds and more. A look-up that is given up
 * goes on by itself, so what it uses is left to it. */
static int
resolve_within(const char *name, const struct addrinfo *want, unsigned timeout_ms,
	struct addrinfo **res)
{
	struct timespec bound = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	struct gaicb *job = xcalloc(1, sizeof *job), *const jobs[] = { job };
	struct addrinfo *hints = xmalloc(sizeof *hints);
	int code;

	*hints = *want;
	job->ar_name = xstrdup(name);
	job->ar_service = "0";
	job->ar_request = hints;
	code = getaddrinfo_a(GAI_NOWAIT, (struct gaicb **)jobs, 1, NULL);
	if (code == 0) {
		while (gai_error(job) == EAI_INPROGRESS &&
		    gai_suspend((const struct gaicb *const *)jobs, 1, &bound) == EAI_INTR)
			continue;
		code = gai_error(job);
		if (code == EAI_INPROGRESS && gai_cancel(job) != EAI_CANCELED)
			return EAI_AGAIN;
	}
	*res = job->ar_result;
	free((char *)job->ar_name);
	free(hints);
	free(job);
	return code;
}

/* host, perhaps a name, to an address without a port. */
static int
listener_resolve(struct bytes host, unsigned timeout_ms, union sockaddr_any *a, socklen_t *len,
	struct error *err)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST };
	struct addrinfo *res = NULL;
	char *name = xmemdup0(host.p, host.n);
	int code;

	code = getaddrinfo(host.n ? name : NULL, "0", &want, &res);
	if (code == EAI_NONAME) {
		want.ai_flags = AI_PASSIVE;
		code = resolve_within(name, &want, timeout_ms ? timeout_ms : RESOLVE_MS, &res);
	}
	if (code == 0) {
		memcpy(a, res->ai_addr, res->ai_addrlen);
		*len = res->ai_addrlen;
		freeaddrinfo(res);
	} else {
		error_set(err, ERR_CONNECT, "%s: %s", name, gai_strerror(code));
	}
	free(name);
	return code ? -1 : 0;
}

/* "8000" or "8000-8100" */
static bool
port_range(struct bytes text, uint64_t *from, uint64_t *to)
{
	char word[16], *dash;

	if (text.n >= sizeof word)
		return false;
	memcpy(word, text.p, text.n);
	word[text.n] = '\0';
	dash = strchr(word, '-');
	if (dash)
		*dash = '\0';
	if (!units_count(word, 65535, from))
		return false;
	*to = *from;
	return !dash || (units_count(dash + 1, 65535, to) && *to >= *from);
}

static void
set_port(union sockaddr_any *a, uint64_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

static int
listener_open_tcp(const char *address, unsigned timeout_ms, struct error *err)
{
	struct bytes host, port;
	union sockaddr_any a;
	socklen_t len;
	uint64_t from, to;
	int fd = -1;

	if (!net_split(bytes_str(address), &host, &port) || !port_range(port, &from, &to))
		return error_set(err, ERR_USAGE,
			"%s: not an address to listen on (host:port, host:min-max, [v6]:port, :0)",
			address);
	if (listener_resolve(host, timeout_ms, &a, &len, err) < 0)
		return -1;
	for (uint64_t p = from; p <= to && fd < 0; p++) {
		set_port(&a, p);
		fd = listener_bind(&a, len, err);
	}
	return fd < 0 ? error_prefix(err, "%s", address) : fd;
}

static int
listener_open_unix(struct listener *l, const char *address, struct error *err)
{
	union sockaddr_any a;
	socklen_t len;
	struct bytes path;
	int fd;

	if (stream_address(bytes_str(address), &a, &len) < 0)
		return error_set(err, ERR_USAGE, "%s: a socket path of 1 to 107 bytes", address);
	fd = listener_bind(&a, len, err);
	if (fd < 0)
		return error_prefix(err, "%s", address);
	stream_unix_path(bytes_str(address), &path);
	snprintf(l->path, sizeof l->path, "%.*s", BYTES_FMT(path));
	return fd;
}

struct listener *
listener_open(struct loop *loop, const char *address, const struct stream_ops *ops,
	const struct stream_limits *limits, accept_fn *fn, void *arg, struct error *err)
{
	struct listener *l = xcalloc(1, sizeof *l);
	socklen_t len = sizeof l->bound;
	struct bytes path;
	bool local = stream_unix_path(bytes_str(address), &path);
	int fd = local ? listener_open_unix(l, address, err) :
		listener_open_tcp(address, limits ? limits->connect_timeout_ms : 0, err);

	if (fd < 0) {
		free(l);
		return NULL;
	}
	l->loop = loop;
	l->ops = ops;
	if (limits)
		l->limits = *limits;
	l->fn = fn;
	l->arg = arg;
	l->retry.fn = listener_retry;
	l->watch.fn = listener_ready;
	l->watch.arg = l->retry.arg = l;
	getsockname(fd, &l->bound.sa, &len);
	if (local)
		snprintf(l->address, sizeof l->address, "%s", address);
	else
		net_text(&l->bound, l->address);
	if (loop_fd_add(loop, &l->watch, fd, LOOP_READ, err) < 0) {
		close(fd);
		free(l);
		return NULL;
	}
	return l;
}

void
listener_close(struct listener *l)
{
	if (!l)
		return;
	loop_fd_del(l->loop, &l->watch);
	loop_timer_clear(l->loop, &l->retry);
	close(l->watch.fd);
	if (l->path[0])
		unlink(l->path);
	free(l);
}

const char *
listener_address(const struct listener *l)
{
	return l->address;
}

void
listener_pause(struct listener *l, bool on)
{
	l->paused = on;
	listener_watch(l);
}

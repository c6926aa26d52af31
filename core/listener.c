/* SPDX-License-Identifier: Apache-2.0 */
/* The listening side of streams: see stream.h. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/resolve.h"
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
	int on = 1, off = 0;
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_sys(err, ERR_CONNECT, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (a->sa.sa_family == AF_INET6 && net_is_any(a))
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, &a->sa, len) < 0 || listen(fd, SOMAXCONN) < 0) {
		error_sys(err, ERR_CONNECT, "cannot listen");
		close(fd);
		return -1;
	}
	return fd;
}

/* A name to one of its addresses: the first of IPv4, as Go chooses, because localhost
 * is ::1 first on many machines and not all peers speak IPv6. Nothing else is to be
 * done meanwhile: there is no subscriber before it listens. */
static int
resolve_within(const char *name, unsigned timeout_ms, union sockaddr_any *a, struct error *err)
{
	union sockaddr_any found[RESOLVE_MAX];
	struct resolve *r = resolve_start(name, AI_PASSIVE, err);
	struct pollfd over = { .events = POLLIN };
	uint64_t end = loop_clock_ns() + timeout_ms * 1000000ull, now;
	size_t n, i = 0;
	int ready = 0;

	if (!r)
		return error_prefix(err, "%s", name);
	over.fd = resolve_fd(r);
	while (!ready && (now = loop_clock_ns()) < end) {
		ready = poll(&over, 1, (int)((end - now) / 1000000) + 1);
		if (ready < 0)
			ready = 0;	/* a signal */
	}
	if (!ready) {
		resolve_cancel(r);
		return error_set(err, ERR_CONNECT, "%s: %s", name, gai_strerror(EAI_AGAIN));
	}
	n = resolve_take(r, found, err);
	if (!n)
		return error_prefix(err, "%s", name);
	while (i < n && found[i].sa.sa_family != AF_INET)
		i++;
	*a = found[i < n ? i : 0];
	return 0;
}

/* host, perhaps a name, to an address without a port. */
static int
listener_resolve(struct bytes host, unsigned timeout_ms, union sockaddr_any *a, struct error *err)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST };
	struct addrinfo *res = NULL;
	char *name = xmemdup0(host.p, host.n);
	int code, r = 0;

	code = getaddrinfo(host.n ? name : NULL, "0", &want, &res);
	if (code == EAI_NONAME) {
		r = resolve_within(name, timeout_ms ? timeout_ms : RESOLVE_MS, a, err);
	} else if (code) {
		r = error_set(err, ERR_CONNECT, "%s: %s", name, gai_strerror(code));
	} else {
		memcpy(a, res->ai_addr, res->ai_addrlen);
		freeaddrinfo(res);
	}
	free(name);
	return r;
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

/* The first free port of these. */
static int
listener_bind_range(union sockaddr_any *a, uint64_t from, uint64_t to, struct error *err)
{
	int fd = -1;

	for (uint64_t p = from; p <= to && fd < 0; p++) {
		net_set_port(a, (unsigned)p);
		fd = listener_bind(a, net_size(a), err);
	}
	return fd;
}

static int
listener_open_tcp(const char *address, unsigned timeout_ms, struct error *err)
{
	struct bytes host, port;
	union sockaddr_any a;
	uint64_t from, to;
	int fd = -1;

	if (!net_split(bytes_str(address), &host, &port) || !port_range(port, &from, &to))
		return error_set(err, ERR_USAGE,
			"%s: not an address to listen on (host:port, host:min-max, [v6]:port, :0)",
			address);
	/* No host is all addresses, of both families where there are both, as in Go. */
	if (!host.n) {
		a = (union sockaddr_any){ .in6 = { .sin6_family = AF_INET6 } };
		fd = listener_bind_range(&a, from, to, err);
	}
	if (fd < 0 && listener_resolve(host, timeout_ms, &a, err) < 0)
		return -1;
	if (fd < 0)
		fd = listener_bind_range(&a, from, to, err);
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

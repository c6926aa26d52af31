/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an address to a stream that is open: looking up its name, connecting, the
 * transport's handshake, and the time that all of it may take.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/resolve.h"
#include "core/stream_impl.h"
#include "core/units.h"

enum {
	UNIX_AGAIN_MS = 10,		/* a Unix socket whose queue is full */
	EACH_MS = 2000			/* of several addresses, without a time-out */
};

/* What is needed beyond one connect(): a name to look up, several addresses, or a
 * socket that is to be tried again. */
struct dial {
	struct resolve *resolve;	/* NULL: it is over */
	struct loop_fd watch;		/* the look-up's */
	struct loop_timer next;		/* this address has had its time */
	union sockaddr_any addr[RESOLVE_MAX];
	size_t n, at;
	unsigned port;
	struct error error;		/* the first that says more than "no way there" */
	bool telling;
};

/* ---- addresses ---- */

void
stream_tune(int fd, int family)
{
	int on = 1;

	if (family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Who serves us need not speak for hours, and a host or a way to it that has gone
 * says nothing: the kernel asks, and ends the connection within a minute. (Of
 * peers that we serve, time-outs of our own take care.) */
static void
stream_probe(int fd, int family)
{
	int idle_s = 30, every_s = 10, times = 3;

	if (family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

bool
stream_unix_path(struct bytes text, struct bytes *path)
{
	*path = text;
	if (text.n >= 5 && memcmp(text.p, "unix:", 5) == 0) {
		path->p += 5;
		path->n -= 5;
		if (path->n > 2 && memcmp(path->p, "///", 3) == 0) {	/* as in a URL */
			path->p += 2;
			path->n -= 2;
		}
		return true;
	}
	return text.n && *text.p == '/';
}

int
stream_address(struct bytes text, union sockaddr_any *a, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&a->ss;
	struct bytes path;

	if (!stream_unix_path(text, &path))
		return net_parse(text, a, len) ? 0 : -1;
	if (!path.n || path.n >= sizeof un->sun_path || memchr(path.p, '\0', path.n))
		return -1;
	memset(a, 0, sizeof *a);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.n);
	*len = (socklen_t)sizeof *un;
	return 0;
}

/* ---- connecting ---- */

/* A socket that connects to it; -1 with errno. */
static int
attempt(const union sockaddr_any *a, socklen_t len)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), code;

	if (fd < 0)
		return -1;
	stream_tune(fd, a->sa.sa_family);
	stream_probe(fd, a->sa.sa_family);
	if (connect(fd, &a->sa, len) == 0 || errno == EINPROGRESS)
		return fd;
	code = errno;
	close(fd);
	errno = code;
	return -1;
}

void
stream_dial_end(struct stream *s)
{
	struct dial *d = s->dial;

	if (!d)
		return;
	loop_fd_del(s->loop, &d->watch);	/* while its descriptor is still ours */
	resolve_cancel(d->resolve);
	loop_timer_clear(s->loop, &d->next);
	free(d);
	s->dial = NULL;
}

/* The address at hand failed, with errno. */
static void
dial_note(struct stream *s)
{
	struct dial *d = s->dial;
	bool no_way = errno == ENETUNREACH || errno == EHOSTUNREACH ||
		errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT;

	if (!d->telling)
		error_sys(&d->error, ERR_CONNECT, "%s: cannot connect", s->peer);
	d->telling |= !no_way;
	d->at++;
}

/* Tries the addresses that are left, up to one that does not fail at once. */
static void
dial_try(struct stream *s)
{
	struct dial *d = s->dial;
	unsigned patience_ms = s->limits.connect_timeout_ms;
	struct error err;
	int fd;

	for (; d->at < d->n; dial_note(s)) {
		union sockaddr_any *a = &d->addr[d->at];
		bool local = a->sa.sa_family == AF_UNIX;

		fd = attempt(a, local ? sizeof(struct sockaddr_un) : net_size(a));
		if (fd < 0 && local && errno == EAGAIN) {
			loop_timer_set(s->loop, &d->next, UNIX_AGAIN_MS);
			return;
		}
		if (fd < 0)
			continue;
		s->watch.fd = fd;
		if (loop_fd_add(s->loop, &s->watch, fd, LOOP_WRITE, &err) < 0) {
			stream_ended(s, &err);
			return;
		}
		/* The last has all the time that is left. */
		if (d->at + 1 < d->n)
			loop_timer_set(s->loop, &d->next,
				patience_ms ? patience_ms / d->n : EACH_MS);
		return;
	}
	err = d->error;
	stream_ended(s, &err);
}

/* The descriptor's address failed, with errno. */
static void
dial_failed(struct stream *s)
{
	int code = errno;

	loop_timer_clear(s->loop, &s->dial->next);
	loop_fd_del(s->loop, &s->watch);
	close(s->watch.fd);
	s->watch.fd = -1;
	errno = code;
	dial_note(s);
	dial_try(s);
}

static void
dial_next(struct loop_timer *t)
{
	struct stream *s = t->arg;

	if (s->watch.fd < 0) {		/* that Unix socket again */
		dial_try(s);
		return;
	}
	errno = ETIMEDOUT;
	dial_failed(s);
}

static void
dial_looked_up(struct loop_fd *w, unsigned ready)
{
	struct stream *s = w->arg;
	struct dial *d = s->dial;
	struct error err;

	(void)ready;
	loop_fd_del(s->loop, w);
	d->n = resolve_take(d->resolve, d->addr, &err);
	d->resolve = NULL;
	if (!d->n) {
		error_prefix(&err, "%s: cannot look up the name", s->peer);
		stream_ended(s, &err);
		return;
	}
	for (size_t i = 0; i < d->n; i++)
		net_set_port(&d->addr[i], d->port);
	dial_try(s);
}

static struct dial *
dial_new(struct stream *s)
{
	struct dial *d = xcalloc(1, sizeof *d);

	d->watch.fn = dial_looked_up;
	d->next.fn = dial_next;
	d->watch.arg = d->next.arg = s;
	s->dial = d;
	return d;
}

/* ---- opening ---- */

static void
stream_begin(struct stream *s)
{
	s->open = true;
	stream_touch(s);
	loop_timer_clear(s->loop, &s->timer);
	if (s->limits.idle_timeout_ms)
		loop_timer_set(s->loop, &s->timer, s->limits.idle_timeout_ms);
	stream_watch(s);
	if (buf_len(&s->out) || s->shut)
		stream_kick(s);
	if (s->ops->on_open)
		s->ops->on_open(s);
}

static void
stream_shake(struct stream *s)
{
	struct error err;
	int wants = s->transport->handshake(s, &err);

	if (wants < 0) {
		stream_ended(s, &err);
	} else if (wants > 0) {
		s->read_wants = (unsigned char)wants;
		stream_watch(s);
	} else {
		s->shaking = false;
		s->read_wants = LOOP_READ;
		/* The peer's first bytes may have come with the end of it. */
		s->more = true;
		loop_timer_set_at(s->loop, &s->again, 0);
		stream_begin(s);
	}
}

static void
stream_opened(struct stream *s)
{
	int code = 0;
	socklen_t len = sizeof code;

	getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &code, &len);
	if (code) {
		errno = code;
		if (s->dial)
			dial_failed(s);
		else
			stream_failed(s, "cannot connect");
		return;
	}
	s->connecting = false;
	stream_dial_end(s);
	if (s->shaking)
		stream_shake(s);
	else
		stream_begin(s);
}

void
stream_comes(struct stream *s, unsigned ready)
{
	if (!s->connecting)
		stream_shake(s);
	else if (ready & (LOOP_WRITE | LOOP_READ))
		stream_opened(s);
}

void
stream_late(struct stream *s)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: no answer to %s within %u ms", s->peer,
		s->dial && s->dial->resolve ? "looking up its name" :
		s->connecting ? "connecting" : "the TLS handshake", s->limits.connect_timeout_ms);
	stream_ended(s, &err);
}

/* ---- beginning ---- */

void
stream_set_transport(struct stream *s, const struct transport *t, void *state)
{
	s->transport = t;
	s->state = state;
	s->shaking = t->handshake != NULL;
	if (s->open && s->shaking) {		/* accepted, or late: not open yet after all */
		s->open = false;
		s->read_wants = LOOP_READ | LOOP_WRITE;	/* the one that speaks first may be us */
		loop_timer_clear(s->loop, &s->timer);
		if (s->limits.connect_timeout_ms)
			loop_timer_set(s->loop, &s->timer, s->limits.connect_timeout_ms);
		stream_watch(s);
	}
}

int
stream_accepted(struct stream *s, struct error *err)
{
	s->open = true;
	stream_touch(s);
	if (s->limits.idle_timeout_ms)
		loop_timer_set(s->loop, &s->timer, s->limits.idle_timeout_ms);
	return loop_fd_add(s->loop, &s->watch, s->watch.fd, LOOP_READ, err);
}

static struct stream *
stream_started(struct loop *loop, int fd, const char *address, const struct stream_ops *ops,
	const struct stream_limits *limits, void *arg)
{
	struct stream *s = stream_make(loop, fd, ops, limits, arg);

	snprintf(s->peer, sizeof s->peer, "%s", address);
	s->connecting = true;
	if (s->limits.connect_timeout_ms)
		loop_timer_set(loop, &s->timer, s->limits.connect_timeout_ms);
	return s;
}

struct stream *
stream_connect(struct loop *loop, const char *address, const struct stream_ops *ops,
	const struct stream_limits *limits, void *arg, struct error *err)
{
	union sockaddr_any a;
	socklen_t len;
	struct stream *s;
	int fd;

	if (stream_address(bytes_str(address), &a, &len) < 0) {
		error_set(err, ERR_CONNECT, "%s: not an address "
			"(host:port, [v6]:port, /PATH or unix:PATH)", address);
		return NULL;
	}
	/* What fails at once (no route, no such socket file) is told at once. */
	fd = attempt(&a, len);
	if (fd < 0 && (a.sa.sa_family != AF_UNIX || errno != EAGAIN)) {
		error_sys(err, ERR_CONNECT, "%s: cannot connect", address);
		return NULL;
	}
	s = stream_started(loop, fd, address, ops, limits, arg);
	if (fd < 0) {
		struct dial *d = dial_new(s);

		d->addr[d->n++] = a;
		loop_timer_set(loop, &d->next, UNIX_AGAIN_MS);
	} else if (loop_fd_add(loop, &s->watch, fd, LOOP_WRITE, err) < 0) {
		stream_close(s);
		return NULL;
	}
	return s;
}

/* A name as DNS has them, or as people call their machines. */
static bool
is_name(struct bytes host)
{
	for (size_t i = 0; i < host.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._",
		    host.p[i]) || !host.p[i])
			return false;
	return host.n > 0 && host.n < 254;
}

/* And all names below it: RFC 6761 lets nobody else say what they mean. */
static bool
is_localhost(struct bytes host)
{
	static const char word[] = "localhost";
	size_t n = sizeof word - 1;

	host.n -= host.n && host.p[host.n - 1] == '.';
	return host.n >= n && strncasecmp(host.p + host.n - n, word, n) == 0 &&
		(host.n == n || host.p[host.n - n - 1] == '.');
}

static void
dial_localhost(struct dial *d, unsigned port)
{
	union sockaddr_any *a = d->addr;

	memset(a, 0, 2 * sizeof *a);
	a[0].in.sin_family = AF_INET;
	a[0].in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a[1].in6.sin6_family = AF_INET6;
	a[1].in6.sin6_addr = in6addr_loopback;
	net_set_port(&a[0], port);
	net_set_port(&a[1], port);
	d->n = 2;
}

struct stream *
stream_dial(struct loop *loop, const char *address, const struct stream_ops *ops,
	const struct stream_limits *limits, void *arg, struct error *err)
{
	union sockaddr_any a;
	socklen_t len;
	struct bytes host, port;
	struct resolve *r;
	struct stream *s;
	struct dial *d;
	uint64_t n;
	char *name;

	if (stream_address(bytes_str(address), &a, &len) == 0 || *address == '[' ||
	    !net_split(bytes_str(address), &host, &port) || !is_name(host) ||
	    !units_count(port.p, 65535, &n) || !n)
		return stream_connect(loop, address, ops, limits, arg, err);
	if (is_localhost(host)) {
		s = stream_started(loop, -1, address, ops, limits, arg);
		d = dial_new(s);
		dial_localhost(d, (unsigned)n);
		loop_timer_set_at(loop, &d->next, 0);	/* told by the loop only */
		return s;
	}
	name = xmemdup0(host.p, host.n);
	r = resolve_start(name, 0, err);
	free(name);
	if (!r) {
		error_prefix(err, "%s: cannot look up the name", address);
		return NULL;
	}
	s = stream_started(loop, -1, address, ops, limits, arg);
	d = dial_new(s);
	d->resolve = r;
	d->port = (unsigned)n;
	if (loop_fd_add(loop, &d->watch, resolve_fd(r), LOOP_READ, err) < 0) {
		stream_close(s);
		return NULL;
	}
	return s;
}

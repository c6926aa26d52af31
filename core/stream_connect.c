/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an address to a stream that is open: connecting, the transport's
 * handshake, and the time that both may take.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/stream_impl.h"

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
		stream_failed(s, "cannot connect");
		return;
	}
	s->connecting = false;
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
	if (s->open && s->shaking) {		/* accepted: not open yet after all */
		s->open = false;
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
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		error_sys(err, ERR_CONNECT, "%s: cannot make a socket", address);
		return NULL;
	}
	stream_tune(fd, a.sa.sa_family);
	stream_probe(fd, a.sa.sa_family);
	s = stream_make(loop, fd, ops, limits, arg);
	snprintf(s->peer, sizeof s->peer, "%s", address);
	s->connecting = true;
	/* What fails at once (no route, no such socket file) is told at once. */
	if (connect(fd, &a.sa, len) < 0 && errno != EINPROGRESS) {
		error_sys(err, ERR_CONNECT, "%s: cannot connect", address);
		stream_close(s);
		return NULL;
	}
	if (loop_fd_add(loop, &s->watch, fd, LOOP_WRITE, err) < 0) {
		stream_close(s);
		return NULL;
	}
	if (s->limits.connect_timeout_ms)
		loop_timer_set(loop, &s->timer, s->limits.connect_timeout_ms);
	return s;
}

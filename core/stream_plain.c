/* SPDX-License-Identifier: Apache-2.0 */
/* The plain transport: bytes as they are, over TCP or a Unix socket. */
#include <unistd.h>

#include "core/stream_impl.h"

static ssize_t
plain_read(struct stream *s, void *p, size_t n)
{
	return recv(s->watch.fd, p, n, 0);
}

static ssize_t
plain_write(struct stream *s, const void *p, size_t n)
{
	return send(s->watch.fd, p, n, MSG_NOSIGNAL);
}

static void
plain_close(struct stream *s)
{
	if (s->watch.fd >= 0)
		close(s->watch.fd);
}

static bool
plain_shutdown(struct stream *s)
{
	shutdown(s->watch.fd, SHUT_WR);
	return true;
}

const struct transport transport_plain = {
	.read = plain_read,
	.write = plain_write,
	.close = plain_close,
	.shutdown = plain_shutdown,
};

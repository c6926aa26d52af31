/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a stream, for stream.c, listener.c and the transports only. */
#ifndef MBUS_CORE_STREAM_IMPL_H
#define MBUS_CORE_STREAM_IMPL_H

#include "core/net.h"
#include "core/stream.h"

struct stream {
	struct loop *loop;
	const struct stream_ops *ops;
	const struct transport *transport;
	void *arg;
	struct stream_limits limits;
	struct loop_fd watch;
	struct loop_timer timer;	/* connecting, then idleness */
	struct loop_timer again;	/* reads what epoll cannot know of */
	struct loop_task flush, resume, free;
	struct buf in, out;		/* in: only what on_data left */
	size_t read_size;
	uint64_t written;
	uint64_t active_ns;		/* when something was last read or written */
	struct error error;		/* why it is broken */
	bool connecting, shaking, open, paused;
	bool eof;			/* the peer sends no more */
	bool waiting;			/* the kernel did not take all output */
	bool drained;			/* ... and now it has */
	bool broken;			/* writing failed; reading finds the end */
	bool shut, shut_again, shut_done;
	bool dead;			/* the user closed it */
	/* For the transport to set. What its last read and write, or its handshake,
	 * wait for: LOOP_READ or LOOP_WRITE ... */
	unsigned char read_wants, write_wants;
	bool more;			/* ... that there is more it can read without waiting ... */
	bool told;			/* ... and why it failed, in `error`. */
	void *state;			/* its own */
	char peer[NET_TEXT_MAX + 64];
};

extern const struct transport transport_plain;

/* A stream over a descriptor, which it owns from then on; not yet watched. */
struct stream *stream_make(struct loop *, int fd, const struct stream_ops *,
	const struct stream_limits *, void *arg);
/* Another transport than the plain one, before the first turn of the loop; begins
 * with its handshake. */
void stream_set_transport(struct stream *, const struct transport *, void *state);
/* For an accepted one: open at once. */
int stream_accepted(struct stream *, struct error *);
/* No delays, keep-alive. */
void stream_tune(int fd, int family);
/* "host:port", "[v6]:port" (IP addresses only) or "unix:PATH". -1: none of them. */
int stream_address(struct bytes text, union sockaddr_any *, socklen_t *);

#endif

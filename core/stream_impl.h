/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a stream, for these only:
 *
 *	stream.c		an open one
 *	stream_connect.c	one that is to be open
 *	listener.c		accepting them
 *	stream_plain.c, tls	the transports
 */
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
	unsigned lazy_us;		/* how long a nap is; 0: none */
	bool napping;			/* `again` will read; epoll is not to */
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
	size_t begun;			/* so many bytes of `out` it has taken a copy of, if it
					 * could not send them yet: they count later */
	void *state;			/* its own */
	struct dial *dial;		/* while there is more than one connect() to it */
	char peer[NET_TEXT_MAX + 64];
};

extern const struct transport transport_plain;

/* A stream over a descriptor, which it owns from then on; not yet watched. */
struct stream *stream_make(struct loop *, int fd, const struct stream_ops *,
	const struct stream_limits *, void *arg);
/* Another transport than the plain one, before the first turn of the loop; begins
 * with its handshake. Only then does a connecting stream have its descriptor. */
void stream_set_transport(struct stream *, const struct transport *, void *state);
/* For an accepted one: open at once. */
int stream_accepted(struct stream *, struct error *);
/* No delays, keep-alive. */
void stream_tune(int fd, int family);
/* "host:port", "[v6]:port" (IP addresses only), "/PATH", "unix:PATH" or
 * "unix:///PATH". -1: none of them. */
int stream_address(struct bytes text, union sockaddr_any *, socklen_t *);
/* The path of a Unix socket, of any length; false: that is no such address. */
bool stream_unix_path(struct bytes text, struct bytes *path);

/* Between stream.c and stream_connect.c. What is waited for, from its state: */
void stream_watch(struct stream *);
void stream_touch(struct stream *);
/* Tells the user, from the loop, that the stream has ended. */
void stream_ended(struct stream *, const struct error *);
void stream_failed(struct stream *, const char *doing);	/* with errno */
/* Connecting or shaking: the descriptor is ready; the time is over. */
void stream_comes(struct stream *, unsigned ready);
void stream_late(struct stream *);
void stream_dial_end(struct stream *);

#endif

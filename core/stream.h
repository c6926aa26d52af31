/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream over a loop: TCP or Unix socket, client or accepted side. Every
 * wire codec of ours sits on it, so that time-outs, limits, errors and fault
 * behaviour are written once. What moves the bytes is a struct transport: the
 * plain one is stream_plain.c, TLS is another (core/tls.h).
 *
 * Input arrives in one linear buffer and is parsed in place: on_data gets all
 * that is there and returns how much it took; the rest comes again with more
 * behind it. Output is appended to stream_out() and leaves at the end of the
 * loop's turn, or when stream_flush() is called.
 *
 * LIFE. stream_connect() or an accepting listener makes one; stream_close()
 * ends it from the user's side: no callback is made after it, its descriptor is
 * closed at once (what was flushed is sent by the kernel, the rest is dropped; after
 * stream_shutdown() unread input is thrown away first, so that it arrives)
 * and its memory is freed by the loop at the end of the turn. on_closed tells
 * that it ended from the other side; the user calls stream_close() then, too.
 * Callbacks are made by the loop only, never from within a call of the user's.
 */
#ifndef MBUS_CORE_STREAM_H
#define MBUS_CORE_STREAM_H

#include <sys/types.h>

#include "core/buf.h"
#include "core/error.h"
#include "core/loop.h"

struct stream;

struct stream_ops {
	/* Connected, and the transport's handshake is over (of an accepted stream:
	 * only where there is a handshake). MAY be NULL. */
	void (*on_open)(struct stream *);
	/* n bytes at p, in the stream's buffer, writable for in-place decoding.
	 * Returns how many were taken, 0...n. MUST. */
	size_t (*on_data)(struct stream *, char *p, size_t n);
	/* All output was handed to the kernel after it had been waiting. MAY. */
	void (*on_drained)(struct stream *);
	/* err NULL: the peer will send no more (what it sent was given to
	 * on_data before); output can still go out until stream_close(), and a
	 * second call, with an error, tells when it cannot. Else: could not
	 * connect, time-out, reset, input over the limit: nothing goes any more.
	 * MUST. */
	void (*on_closed)(struct stream *, const struct error *err);
};

/* A way of moving bytes. read and write are like read(2) and write(2) on a
 * non-blocking descriptor; what else they may leave in the stream is said in
 * stream_impl.h. */
struct transport {
	ssize_t (*read)(struct stream *, void *, size_t);
	ssize_t (*write)(struct stream *, const void *, size_t);
	void (*close)(struct stream *);
	/* No more output: tells the peer. false: to be called again when the
	 * descriptor can be written. */
	bool (*shutdown)(struct stream *);
	/* Before the first byte of the user's. 0: it is over; LOOP_READ or
	 * LOOP_WRITE: to be called again then; -1: err says why not. NULL: none. */
	int (*handshake)(struct stream *, struct error *);
};

struct stream_limits {
	size_t input_max;		/* unparsed input kept; beyond: on_closed (0: 16 MiB) */
	unsigned connect_timeout_ms;	/* the handshake included; 0: none */
	unsigned idle_timeout_ms;	/* nothing read nor written for so long; 0: none */
};

/* address: "host:port" (the host as an IP address), "[v6]:port"; a Unix socket's
 * path as "/PATH", "unix:PATH" or "unix:///PATH". NULL and err when it is not one,
 * or when it fails at once. What is said later names the address, too. */
struct stream *stream_connect(struct loop *, const char *address, const struct stream_ops *,
	const struct stream_limits *, void *arg, struct error *);
/* The same for addresses of the user's own, in which the host may be a name: it is
 * looked up meanwhile (localhost by nobody: it is 127.0.0.1, then ::1), and its
 * addresses are tried in turn. limits' time is for all of it. (What others tell is no
 * reason to look up names.) */
struct stream *stream_dial(struct loop *, const char *address, const struct stream_ops *,
	const struct stream_limits *, void *arg, struct error *);
void stream_close(struct stream *);

void *stream_arg(const struct stream *);
void stream_set_arg(struct stream *, void *);
/* The peer's address as text, for messages: "127.0.0.1:8080". */
const char *stream_peer(const struct stream *);

/* Where output goes. Call stream_kick() after appending. */
struct buf *stream_out(struct stream *);
void stream_kick(struct stream *);	/* send at the end of the turn */
void stream_flush(struct stream *);	/* send now what the kernel takes */
/* Stop and start reading; what was read before is given out when started. */
void stream_pause(struct stream *, bool);
/* For who receives many small messages: under load, that is when there is something to
 * read without having waited for it, each read is put off by so many microseconds (0:
 * never), so that one reads what many would have. A read that has waited is not. */
void stream_lazy(struct stream *, unsigned us);
bool stream_is_open(const struct stream *);
/* For who bounds the memory of many streams: bytes that this one holds for input not
 * taken and output not sent, how many it has ever sent, and giving back what it keeps
 * in empty buffers. */
size_t stream_memory(const struct stream *);
uint64_t stream_written(const struct stream *);
/* How far the transport has begun to take: TLS that could not send has encrypted the
 * front of the output already, and what counts on it later are these bytes, whatever
 * stands there then. Only what is behind may still be cut out or changed. (The peer can
 * make nothing of what was begun and not written.) */
uint64_t stream_begun(const struct stream *);
void stream_trim(struct stream *);
/* The transport's handshake is not over, or was what failed. */
bool stream_is_shaking(const struct stream *);
/* No more output: a FIN after what is in stream_out() has left. */
void stream_shutdown(struct stream *);

/* ---- listening ---- */

struct listener;
/* A connection came in; the stream is the callee's: it must set its arg (or
 * close it). It must not close the listener. */
typedef void accept_fn(struct listener *, struct stream *, void *arg);

/* address: "host:port", "host:min-max" (the first free one), ":0", "[::1]:0", or a
 * Unix socket's path as above. host may be a name; it is looked up here, once, blocking for up to
 * limits->connect_timeout_ms (0: 5 s). */
struct listener *listener_open(struct loop *, const char *address, const struct stream_ops *,
	const struct stream_limits *, accept_fn *, void *arg, struct error *);
void listener_close(struct listener *);
/* "127.0.0.1:44259": the address that was bound. */
const char *listener_address(const struct listener *);
void listener_pause(struct listener *, bool);

#endif

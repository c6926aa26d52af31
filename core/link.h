/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection to a server, and its coming back: what every broker with a
 * server of its own needs and no codec should know. It goes through the addresses
 * the user gave (looking up names without blocking), connects, starts TLS, bounds
 * all of that by one time-out, and when the connection goes makes another as often
 * as the user allows, with growing pauses.
 *
 *	new -> start -> [looking up, connecting, TLS] -> on_open: the backend greets
 *	   -> link_ready(): the server has answered the greeting; on_data as it comes
 *	   -> on_lost: forget the connection. Perhaps on_open again, later.
 *
 * What is said to the user is said here, once: "connection to ADDR lost: WHY;
 * connecting again" and "connected to ADDR again after 2.3 s" (warnings).
 *
 * One thread, the loop's; nothing blocks. Callbacks are made by the loop only, but
 * link_fail() may be called from within them.
 */
#ifndef MBUS_CORE_LINK_H
#define MBUS_CORE_LINK_H

#include "core/address.h"
#include "core/broker.h"
#include "core/stream.h"

struct link;

struct link_ops {
	/* The stream is open (TLS and all): greet the server. MUST. */
	void (*on_open)(struct link *);
	/* As in stream.h. MUST. */
	size_t (*on_data)(struct link *, char *p, size_t n);
	/* As in stream.h. MAY. */
	void (*on_drained)(struct link *);
	/* The connection has gone, or none could be made. again: another will be
	 * tried by itself; if not, this is the end of the link, and err is what the
	 * run should end with. Called once for each on_open, and once at the end of
	 * tries that never got so far. link_written() still counts the connection
	 * that has gone. The link may be freed, or started once more, from in it. MUST. */
	void (*on_lost)(struct link *, const struct error *err, bool again);
};

/* A scheme of URLs, and whether it means TLS. */
struct link_scheme {
	const char *name;		/* NULL ends the list */
	bool tls;
};

struct link_options {
	const struct broker_options *broker;	/* address, tls, connect_timeout_ms, reconnect */
	const char *default_address;		/* where broker->address is NULL */
	const struct link_scheme *schemes;	/* others are a usage error that names these */
	unsigned port, tls_port;		/* where an address names none */
	size_t input_max;			/* as in struct stream_limits */
	bool tls_later;				/* TLS begins when link_secure() says so */
};

/* Checks the addresses and loads TLS if one of them wants it; no I/O. What the options
 * point to is borrowed for the link's life. TLS is wanted by a scheme, or by
 * broker->tls->on for all addresses, Unix sockets too. NULL: err says why. */
struct link *link_new(struct loop *, const struct link_options *, const struct link_ops *,
	void *arg, struct error *);
/* Closes at once; no callback is made in or after it. NULL is allowed. */
void link_free(struct link *);
/* Begins to connect. Each address, and each IP address of a name, gets its share of
 * broker->connect_timeout_ms, from looking up the name to link_ready(). Only a
 * connection that was ready once is made again by itself (broker->reconnect). */
void link_start(struct link *);
/* Closes the connection politely: what is in the output leaves as far as the kernel
 * takes it now, then FIN. No callback is made in or after it; link_start() begins
 * again. */
void link_close(struct link *);

/* The server has answered the greeting: the time-out for connecting ends, and the
 * tries are counted from the beginning again. */
void link_ready(struct link *);
/* This connection is no good (a broken message, an answer that never came): ends it,
 * as if it had been lost for that reason. err->kind ERR_AUTH, ERR_USAGE and
 * ERR_NOTFOUND, which trying again will not mend, end the link. on_lost follows from
 * the loop, on_data no more. err should begin with link_name() and ": ", as those of
 * the link do. Without a connection it does nothing. */
void link_fail(struct link *, const struct error *err);
/* The same for what the server itself says or sends, a refusal or a packet that no server
 * may send, and will again: when the same ends three connections in a row that had been
 * ready, without a link_progress() between, it is the end of the link. */
void link_refused(struct link *, const struct error *err);
/* The same, and another of the user's addresses, if there is one, is tried before this
 * one: it is not the server for what is wanted (a replica), but may be later. */
void link_fail_next(struct link *, const struct error *err);
/* While it is on, something was asked that a server may answer by hanging up: a connection
 * that goes counts as refused. A new connection begins without. */
void link_trial(struct link *, bool);
/* An event was delivered, not for the second time, or confirmed. */
void link_progress(struct link *);
/* Whether a connection that is lost is made again; link_start() says it is. Who waits for
 * the word that decides whether there is anything to come back for says no. */
void link_comes_back(struct link *, bool);
/* Connects to another address instead of this one from now on (a cluster's redirect):
 * on_lost follows from the loop, with again set, then on_open. The text is copied;
 * ":PORT" is another port of the same host. What the user gave is tried when that one
 * does not answer. -1: not an address, or there were too many of them in a row; the
 * connection stays. */
int link_redirect(struct link *, struct bytes address, struct error *);

/* With tls_later: the present address is one that TLS is wanted for. */
bool link_wants_tls(const struct link *);
/* From on_data, which must have taken all there is, and with nothing in link_out(): from
 * here on the connection speaks TLS. When the handshake is over on_open comes again. -1:
 * it cannot be begun; call link_fail(). */
int link_secure(struct link *, struct error *);
/* A server has told of another: it is tried, too, after the user's own, when a connection
 * is made again. Known ones and what is no address are nothing; up to 64 are kept. It
 * speaks TLS if the present one does, whose name its certificate may have as well when
 * the address is a number. */
void link_learn(struct link *, struct bytes address);

void *link_arg(const struct link *);
bool link_is_ready(const struct link *);
/* The present address, taken apart, and as text for messages ("127.0.0.1:6379",
 * "unix:/run/redis.sock"); before connecting the first of the list. */
const struct address *link_address(const struct link *);
const char *link_name(const struct link *);
/* How many addresses the user gave. */
size_t link_addresses(const struct link *);

/* The stream's, while on_open has been and on_lost has not: */
struct buf *link_out(struct link *);
void link_kick(struct link *);
void link_flush(struct link *);
/* How many bytes of this connection the kernel has taken; in on_lost and up to the
 * next on_open, of the one that was. */
uint64_t link_written(const struct link *);
/* As stream_begun(): bytes up to here cannot be taken out of link_out() any more. Without
 * a connection as link_written(). */
uint64_t link_begun(const struct link *);
/* Stops and starts reading. Kept over a reconnection, but the answer to the greeting
 * is read in any case: it takes effect with link_ready(). May be called at any time. */
void link_pause(struct link *, bool);
/* As stream_lazy(). Kept over a reconnection. May be called at any time. */
void link_lazy(struct link *, unsigned us);

#endif

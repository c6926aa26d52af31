/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP client for documents: one connection to one server, over core/link (so with its
 * addresses, TLS, time-outs and words), on which calls are made in their order, each
 * once the one before has been answered. What waits long (a blocking query, a stream of
 * changes) has a client of its own.
 *
 * The connection is made by the first call and kept while the server keeps it. A call
 * whose connection died before a byte of its answer came, one that had answered others
 * before, is sent once more: servers close idle connections at any time. So calls are to
 * be such that twice is as good as once.
 *
 * Compiled into each module that speaks to such a server. One thread, the loop's;
 * nothing blocks.
 */
#ifndef MBUS_CLIENT_HTTP_CLIENT_H
#define MBUS_CLIENT_HTTP_CLIENT_H

#include "core/link.h"
#include "core/loop.h"

struct http_client;

struct http_client_options {
	const char *what;		/* for messages: "consul" */
	const char *address;		/* NULL: default_address. Several: tried in turn */
	const char *default_address;
	unsigned port;			/* where an address names none */
	const struct tls_options *tls;	/* NULL: by https:// alone */
	unsigned timeout_ms;		/* to connect */
	size_t body_max;		/* of an answer */
};

/* What is handed to done() is borrowed for its length. */
struct http_answer {
	unsigned status;
	struct bytes head, body;	/* the body is empty where part() took it */
};

/* A call: embedded in its user's struct, zeroed but for what is set here. */
struct http_call {
	/* err NULL: answered, with whatever status. Once for each http_client_ask(),
	 * from the loop; the call may be used again, and others be asked, in it. */
	void (*done)(struct http_call *, const struct http_answer *, const struct error *err);
	/* MAY. The body of a 200, as it comes; p is writable. false: enough, and done()
	 * is not called. */
	bool (*part)(struct http_call *, char *p, size_t n);
	void *arg;
	unsigned timeout_ms;		/* from being sent to the end of the answer; 0: none */

	/* The client's. */
	struct http_client *client;	/* NULL: not under way */
	struct http_call *next;
	struct buf request;
	bool again;			/* it is sent for the second time */
};

/* NULL: err says what is wrong with an address, or TLS. Strings are borrowed. */
struct http_client *http_client_new(struct loop *, const struct http_client_options *,
	struct error *);
/* Closes; calls are forgotten. Not from within a callback. NULL is allowed. */
void http_client_free(struct http_client *);
/* A header that every request has from now on, instead of those given before; value p
 * NULL: none. Copied (the copy is wiped). */
void http_client_header(struct http_client *, const char *name, struct bytes value);
/* method and content_type are literals; target and body are copied. content_type NULL:
 * no body. */
void http_client_ask(struct http_client *, struct http_call *, const char *method,
	struct bytes target, const char *content_type, struct bytes body);
/* done() is not called. NULL-safe for a call that is not under way. */
void http_client_cancel(struct http_call *);
/* "consul at 127.0.0.1:8500", for messages. */
const char *http_client_name(struct http_client *);

/* The value of a header, without blanks around it; p NULL: there is none. */
struct bytes http_answer_header(const struct http_answer *, const char *name);
/* Words for an answer that is none of those wanted: "consul at ADDR: 403: Permission
 * denied"; the kind by the status. Returns -1. */
int http_answer_error(struct http_client *, const struct http_answer *, struct error *);

/* A segment of a path: all but A-Za-z0-9-_.~ as %XX. */
void http_add_segment(struct buf *, struct bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client protocol of NATS: lines, some with a payload behind them, and headers in
 * front of that. No I/O, no clock, and nothing is copied: what is read lies in the
 * buffer that it arrived in.
 *
 *	MSG orders.new 7 5\r\n				subject, subscription, bytes
 *	hello\r\n
 *	HMSG orders.new 7 reply.here 22 27\r\n		... of the headers, of all
 *	NATS/1.0\r\n
 *	id: 8\r\n
 *	\r\n
 *	hello\r\n
 *
 * What a server passes on was written by others, and the server looks at no header: so
 * a line of theirs that makes no sense is left out, and is no fault of the server's.
 */
#ifndef MBUS_PROTO_NATS_H
#define MBUS_PROTO_NATS_H

#include <sys/types.h>

#include "core/buf.h"
#include "core/message.h"

enum {
	NATS_LINE = 4096,		/* of a command: what servers take */
	NATS_INFO_LINE = 1024 * 1024,	/* of what a server says: it may name many servers */
	NATS_PAYLOAD_MAX = (64 << 20) + (64 << 10),
	NATS_URLS = 64
};

/* ---- what a server says ---- */

enum nats_op { NATS_INFO, NATS_MSG, NATS_PING, NATS_PONG, NATS_OK, NATS_ERR };

struct nats_frame {
	enum nats_op op;
	struct bytes text;		/* INFO: JSON; ERR: its words, without quotes */
	uint64_t sid;			/* MSG (and HMSG): */
	struct bytes subject, reply;	/* reply.p NULL: none */
	struct bytes head;		/* the headers as they are; p NULL: none */
	char *body;
	size_t n;
};

/* The frame that begins at p. Returns how many bytes it has; 0: not all of it is there
 * yet; -1: this is not NATS, *why says so. */
ssize_t nats_read(struct nats_frame *, char *p, size_t n, const char **why);

/* The headers of an event; the list is reused from one to the next. */
struct nats_head {
	struct header *v;
	size_t n, cap;
	unsigned status;		/* 503: nobody listens there; 0: it is an event */
	struct bytes description;
	bool odd;			/* something in it made no sense, and was left out */
};
void nats_head_read(struct nats_head *, struct bytes block);
void nats_head_release(struct nats_head *);

struct nats_info {
	struct bytes name, version, nonce;	/* p NULL: it does not say */
	bool headers, auth, tls_required, tls_available, lame, jetstream;
	uint64_t max_payload;			/* 0: it does not say */
	struct bytes urls[NATS_URLS];		/* other servers: HOST:PORT */
	size_t nurls;
};
/* Decodes in place: what it finds borrows from the text. -1: it is no object. */
int nats_info_read(struct nats_info *, struct bytes text);

/* The subject in the server's words about what is not allowed:
 * `Permissions Violation for Publish to "orders.new"`. Decodes in place. false: those are
 * other words. */
bool nats_err_subject(struct bytes text, const char *words, struct bytes *subject);

/* ---- JetStream ---- */

/* What a stream answers to an event, or a server to who asks about streams and consumers;
 * what is not in it is 0. */
struct nats_answer {
	struct bytes stream;			/* it took the event, ... */
	uint64_t seq;				/* ... with this number, ... */
	bool duplicate;				/* ... or had it */
	struct bytes name;			/* the consumer's */
	uint64_t pending;			/* events that it has not delivered */
	uint64_t ack_wait_ns;			/* so long it waits for an answer of ours */
	struct bytes filter;			/* the subject it is for; p NULL: all */
	struct bytes first;			/* of the streams that were asked for ... */
	size_t nstreams;			/* ... so many */
	struct bytes error;			/* the server's words; p NULL: none */
	uint64_t code;				/* its number for that */
};
/* Decodes in place. -1: it is no JSON object. */
int nats_answer_read(struct nats_answer *, char *p, size_t n);

/* One of the streams, or of the consumers of one, that a server lists. */
struct nats_listed {
	struct bytes name;
	bool durable;
	uint64_t replicas;			/* 0: it does not say */
	uint64_t first, last, messages;		/* a stream's */
	uint64_t acked;				/* a consumer's: all up to here */
	uint64_t pending, unanswered;		/* not delivered; delivered and not acknowledged */
};
typedef void nats_listed_fn(const struct nats_listed *, void *arg);
/* Calls fn for each in the list of that name ("streams", "consumers"), which decodes in
 * place. *total: so many there are. -1: it is no such answer. */
int nats_list_read(char *p, size_t n, const char *list, nats_listed_fn *, void *arg, uint64_t *total);

/* What the reply subject of an event of a stream says. */
struct nats_place {
	uint64_t delivered;			/* how often, with this time */
	uint64_t seq, consumer_seq;
	uint64_t time_ns, pending;
};
bool nats_place_read(struct nats_place *, struct bytes reply);

/* ---- what a client says ---- */

struct nats_connect {
	const char *user, *token;		/* NULL: none */
	struct bytes password;
	struct bytes jwt, nkey, sig;		/* n 0: none */
	bool tls, headers, echo;
	const char *name;
};
void nats_write_connect(struct buf *, const struct nats_connect *);
/* group NULL: none. */
void nats_write_sub(struct buf *, struct bytes subject, const char *group, uint64_t sid);
void nats_write_unsub(struct buf *, uint64_t sid);

/* An event: begin, append the body, end. The guess of its length, if it is right in the
 * number of its digits, saves moving it. */
struct nats_pub {
	struct bytes subject, reply;		/* reply.n 0: none */
	const struct header *headers;
	size_t nheaders;
	bool id;				/* the caller's: one of them is Nats-Msg-Id */
};
struct nats_mark {
	size_t digits, ndigits, payload;	/* where the size stands; where it counts from */
};
struct nats_mark nats_begin(struct buf *, const struct nats_pub *, size_t guess);
/* The size of the payload, headers and all. */
size_t nats_end(struct buf *, const struct nats_mark *);
/* The same of an event that was written, as it stands at its beginning. */
size_t nats_payload_of(struct bytes event);

/* What NATS does not let be a subject, or a header: NULL, or why. wild: tokens * and >
 * may be in it. */
const char *nats_bad_subject(struct bytes, bool wild);
const char *nats_bad_group(const char *);
const char *nats_bad_header(const struct header *);
/* Does a subject with wildcards mean this one? */
bool nats_matches(struct bytes wild, struct bytes subject);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 as codec: fed bytes, it yields a head or "need more" or an error; it
 * knows nothing of sockets, clocks or allocation. Used by both sides of the
 * http broker and by the tests. Bodies are the caller's: after a head, either
 * content_length bytes follow, or chunks (http_chunked), or (a response
 * without either) everything up to the end of the connection. A response that
 * can have no body (1xx, 204, 304) is given as one of length 0.
 *
 * Strict where leniency is how requests get smuggled: two lengths, equal or not,
 * length together with chunked, a transfer coding other than chunked, a space
 * before a colon, folded lines, NUL, bare CR, bare LF are errors.
 */
#ifndef MBUS_PROTO_HTTP_H
#define MBUS_PROTO_HTTP_H

#include <stdint.h>

#include "core/buf.h"

enum { HTTP_HEAD_MAX = 64 * 1024 };	/* longer heads are an error (431) */

struct http_head {
	/* request */
	struct bytes method, target;	/* target as sent: "/?id=a+b" */
	/* response */
	unsigned status;		/* 100...599. A request that is HTTP_BAD: what to
					 * answer, for http_add_bad_request() */
	struct bytes reason;
	/* both */
	unsigned minor;			/* HTTP/1.x */
	bool keep_alive;		/* by version and Connection. Never for a request of
					 * HTTP/1.0: our replies do not say keep-alive */
	bool chunked;
	bool has_length;
	uint64_t content_length;
	bool expect_continue;
	struct bytes content_type;	/* p NULL: none */
	struct bytes host;
	size_t size;			/* bytes of the head, its empty line included */
};

enum http_result {
	HTTP_OK,
	HTTP_MORE,			/* not complete yet */
	HTTP_BAD			/* *error says why; answer head->status and close */
};

/* p[0...n) begins with a request (response) head. All bytes in head borrow from
 * p. *error: a string literal. After HTTP_MORE, call again with all bytes from the
 * beginning of the head. */
enum http_result http_request_parse(struct http_head *, const char *p, size_t n,
	const char **error);
enum http_result http_response_parse(struct http_head *, const char *p, size_t n,
	const char **error);

/* A head that drips in would be read from its beginning for each drop. Is it worth a
 * try now that there are n bytes? Zeroed before each head. */
struct http_drip {
	size_t tried, seen;
};
bool http_head_ripe(struct http_drip *, const char *p, size_t n);

/* A chunked body, decoded in place: http_chunked() is given the bytes behind
 * the head, moves the data together to the front (p[0...*len)), and sets *used to
 * the bytes of wire it took. State is kept from call to call: while it answers
 * HTTP_MORE it took all n bytes; keep p[0...*len) and call it with what comes
 * next. HTTP_OK: the last chunk and the trailer were taken. max: limit of the
 * decoded body. *error has Go's words where Go has some: go-micro answers 500,
 * "Error reading request body: <*error>", and closes. */
struct http_chunks {
	uint64_t left;			/* of the current chunk */
	uint64_t total;
	unsigned char state;
	unsigned char digits;
	unsigned trailer;		/* bytes skipped: extensions too */
};
void http_chunks_init(struct http_chunks *);
enum http_result http_chunked(struct http_chunks *, char *p, size_t n, uint64_t max,
	size_t *used, size_t *len, const char **error);

/* The value of a query parameter of a target, decoded ('+' is a space, %XX) into
 * out (whose content it replaces), as Go's url.Query() reads it (first one wins).
 * false: not there. */
bool http_query(struct bytes target, const char *name, struct buf *out);
/* The path of a target: up to '?'; of an absolute-form one, behind the authority. */
struct bytes http_path(struct bytes target);
/* Escaped as Go's url.QueryEscape: space '+', kept A-Za-z0-9-_.~, else %XX. */
void http_add_query_escaped(struct buf *, struct bytes);

/* The request a go-micro publisher sends, byte for byte:
 * POST <path>?id=<id> and the five headers. Only the head: the envelope of
 * content_length bytes goes behind it. The id is escaped here. */
void http_add_publish_head(struct buf *, struct bytes path, struct bytes id, struct bytes host,
	size_t content_length);

/* The replies of a go-micro subscriber. date: the value of
 * the Date header, 29 bytes, from http_date(). close: adds "Connection: close". */
void http_add_ok(struct buf *, const char *date, bool close);
/* {"id":"go.micro.broker","code":..,"detail":..,"status":..}; 405 gets Go's
 * X-Content-Type-Options header and a newline, as http.Error writes it. */
void http_add_error(struct buf *, unsigned status, struct bytes detail, const char *date,
	bool close);
/* Go's "404 page not found" of the old dialect's other paths. */
void http_add_page_not_found(struct buf *, const char *date, bool close);
/* A malformed request, as Go's server answers it: "HTTP/1.1 400 Bad Request: <why>",
 * text/plain, Connection: close, "400 Bad Request: <why>". why may be NULL. */
void http_add_bad_request(struct buf *, unsigned status, const char *why);

/* "Sat, 21 Nov 2026 10:38:57 GMT" for seconds since 1970; 29 bytes and a NUL. */
void http_date(char out[30], int64_t seconds);

#endif

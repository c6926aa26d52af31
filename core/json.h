/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON on the event path: a writer of strings and a pull scanner, neither of
 * which allocates for what it reads. What registries say is read by it, too.
 */
#ifndef MBUS_CORE_JSON_H
#define MBUS_CORE_JSON_H

#include "core/buf.h"

/* Quoted and escaped, as Go's encoding/json writes it:
 * < > & U+2028 U+2029 as \uXXXX, \n \r \t \b \f, other controls \u00XX, invalid
 * UTF-8 bytes as \ufffd, the rest raw. */
void json_add_go_string(struct buf *, struct bytes);
/* Quoted and escaped for our event lines (mbus-sub(1)): controls, U+007F, U+2028
 * and U+2029 as \uXXXX; the bytes must be valid UTF-8. */
void json_add_string(struct buf *, struct bytes);

/* Is this one JSON value with nothing but white space around it? As Go's
 * json.Valid has it: UTF-8 inside strings is not looked at. Made to say no at
 * the first byte that cannot be. */
bool json_valid(const char *p, size_t n);

enum json_token {
	JSON_END,		/* nothing but white space is left */
	JSON_OBJECT, JSON_OBJECT_END, JSON_ARRAY, JSON_ARRAY_END,
	JSON_STRING,		/* text: the escaped inside; see json_unescape() */
	JSON_NUMBER,		/* text: its characters */
	JSON_TRUE, JSON_FALSE, JSON_NULL,
	JSON_KEY,		/* an object's key; text as for a string. ':' is taken */
	JSON_ERROR		/* error says what, at says where */
};

#define JSON_DEPTH_MAX 10000	/* as Go's decoder */

struct json_scan {
	const char *p, *end;	/* what is left */
	const char *begin;
	struct bytes text;	/* of the last string, key or number */
	bool escaped;		/* the last string or key has a backslash */
	bool ascii;		/* ... and has no byte over 0x7f, escapes aside */
	bool quiet;		/* set after init: no words for errors are made up */
	const char *error;	/* in the words of Go's decoder where it has them:
				 * "unexpected end of JSON input", "invalid
				 * character 'x' after top-level value" */
	char error_buf[96];
	size_t at;		/* offset of the error: the bad byte, or the end */
	unsigned depth;
	unsigned char state;
	unsigned char stack[JSON_DEPTH_MAX / 8 + 1];	/* object or array, one bit each */
};

void json_scan_init(struct json_scan *, const char *p, size_t n);
/* The next token; commas and colons are checked and skipped. */
enum json_token json_next(struct json_scan *);
/* Skips the value whose first token was `first` (its rest, if it is an object
 * or array). false: error as in json_next(). */
bool json_skip(struct json_scan *, enum json_token first);
/* The decoded bytes of the last string's or key's text. Decodes in place, over
 * the text (whose memory must be writable when `escaped` is set), and returns
 * them; lone surrogates become U+FFFD. Invalid UTF-8 is left alone if tmp is
 * NULL; else each such byte becomes U+FFFD, as in Go, by way of tmp: the result
 * is appended to it and borrows from it, so it ends when tmp grows. */
struct bytes json_unescape(struct json_scan *, struct buf *tmp);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of brokers as people write them. One of
 *
 *	HOST  HOST:PORT  [V6]  [V6]:PORT  :PORT
 *	/PATH/OF/A/SOCKET  unix:PATH
 *	SCHEME://[USER[:PASSWORD]@][HOST][:PORT][/PATH][?QUERY]
 *	SCHEME+unix://[USER[:PASSWORD]@]/PATH[?QUERY], unix:///PATH
 *
 * or several of them with commas, and blanks where people put them, between.
 * Everything borrows from the text. Nothing here looks up names or does any I/O.
 */
#ifndef MBUS_CORE_ADDRESS_H
#define MBUS_CORE_ADDRESS_H

#include "core/bytes.h"
#include "core/error.h"

struct address {
	struct bytes scheme;		/* as written; p NULL: none */
	struct bytes host;		/* without brackets; n 0: none given */
	unsigned port;			/* 0: none given */
	struct bytes socket;		/* path of a Unix socket; p NULL: it is TCP */
	struct bytes path;		/* of a URL, without its '/': "0", "a/b"; n 0: none */
	struct bytes query;		/* of a URL, without its '?'; p NULL: none */
	struct bytes userinfo;		/* of a URL, still %-encoded; p NULL: none */
};

/* Takes the first of a list off its front, without the blanks around it; a comma in a
 * URL's userinfo does not end it. false: nothing is left. */
bool address_next(struct bytes *list, struct bytes *one);
/* -1: err (ERR_USAGE) says what is wrong, and quotes no text that has an '@' in it: a
 * password may be there. */
int address_parse(struct bytes one, struct address *, struct error *);

/* Decodes %XX in place in a buffer of n bytes; the new length. A '%' without two
 * hex digits stays. */
size_t address_decode(char *p, size_t n);

#endif

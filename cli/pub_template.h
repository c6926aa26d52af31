/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mbus pub --template`: what stands in braces in a topic, a key, the values of headers
 * and a body is replaced, event by event:
 *
 *	{n}		the event's number in this run, from 1
 *	{ts}		the time, as 2026-11-21T06:55:30.618709Z
 *	{uuid}		a random UUID (version 4)
 *	{rand:N}	N random hexadecimal digits, 1 to 64
 *	{env:NAME}	the environment's NAME, where it is set
 *
 * Only these; all else in braces stays, so that JSON does. "{{" is a "{".
 */
#ifndef MBUS_CLI_PUB_TEMPLATE_H
#define MBUS_CLI_PUB_TEMPLATE_H

#include "core/broker.h"
#include "core/buf.h"

/* Which fields may read the environment: not what comes from elsewhere, line by line. */
enum pub_template_env {
	TEMPLATE_ENV_TOPIC = 1, TEMPLATE_ENV_KEY = 2, TEMPLATE_ENV_HEADERS = 4,
	TEMPLATE_ENV_BODY = 8
};

struct pub_template {
	unsigned env;			/* enum pub_template_env */
	/* Private; zeroed at first. */
	uint64_t n;			/* of the event */
	int64_t now_us;			/* its {ts}; 0: not read yet */
	struct buf *bufs;		/* one for each field that changes */
	size_t nbufs, cap_bufs;
	struct header *headers;
	size_t cap_headers;
};

/* Replaces what there is; the publication borrows from here then, until the next call.
 * The array of headers has room for one more. */
void pub_template_apply(struct pub_template *, struct publication *, uint64_t n);
void pub_template_release(struct pub_template *);

#endif

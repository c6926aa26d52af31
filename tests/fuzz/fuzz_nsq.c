/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an nsqd sends, from any bytes. What must hold:
 *  - a frame that is there whole is the same when more follows, and is not there when a
 *    byte of it is missing;
 *  - what it is made of lies inside the input;
 *  - the answer to IDENTIFY is read or refused, and a read one is JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/proto/nsq.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
	     abort(); } } while (0)

static void
one(char *p, size_t n)
{
	struct nsq_identity id = { false, 1, 1 };
	struct nsq_frame f, g;
	ssize_t took = nsq_frame(&f, p, n);
	char *alone;

	if (took <= 0)
		return;
	must((size_t)took <= n && f.p >= p + 8 && f.p + f.n == p + took);
	must(f.kind != NSQ_MESSAGE || (f.id == f.p - NSQ_ID && f.id >= p));
	alone = malloc((size_t)took);
	memcpy(alone, p, (size_t)took);
	must(nsq_frame(&g, alone, (size_t)took) == took && g.kind == f.kind && g.n == f.n);
	must(nsq_frame(&g, alone, (size_t)took - 1) == 0);
	free(alone);
	if (f.kind == NSQ_ANSWER && nsq_identity(&id, bytes_of(f.p, f.n)) == 0)
		must(json_valid(f.p, f.n) && id.rdy_max && id.msg_timeout_ms);
	one(p + took, n - (size_t)took);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = malloc(n + 1);

	memcpy(copy, data, n);
	one(copy, n);
	free(copy);
	return 0;
}

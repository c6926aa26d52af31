/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESP2 from any bytes, with hiredis as the second opinion. What must hold:
 *  - what our reader reads, hiredis reads, and both the same; what ours has not got all
 *    of, hiredis has not either (ours may refuse what is over its bounds);
 *  - cut at random places and moved in memory, ours reads the same as from a whole;
 *  - sizes add up, texts lie inside the input;
 *  - what was read, written as a command, comes back as an array of the same words.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/proto/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
	     abort(); } } while (0)

static void
must_equal(const struct resp_value **v, const redisReply *h)
{
	static const int types[] = { REDIS_REPLY_STATUS, REDIS_REPLY_ERROR, REDIS_REPLY_INTEGER,
		REDIS_REPLY_STRING, REDIS_REPLY_ARRAY, REDIS_REPLY_NIL };
	const struct resp_value *at = (*v)++;

	must(types[at->type] == h->type);
	if (at->type == RESP_INTEGER)
		must(at->n == h->integer);
	if (at->p)
		must((size_t)at->n == h->len && (!h->len || memcmp(at->p, h->str, h->len) == 0));
	if (at->type == RESP_ARRAY) {
		must((size_t)at->n == h->elements);
		for (size_t i = 0; i < h->elements; i++)
			must_equal(v, h->element[i]);
	}
	must(*v == at + at->size);
}

static void
must_be_inside(const struct resp_reader *r, const char *p, size_t n)
{
	must(r->nv > 0 && r->v[0].size == r->nv);
	for (size_t i = 0; i < r->nv; i++)
		if (r->v[i].p)
			must(r->v[i].n >= 0 && r->v[i].p > p &&
				r->v[i].p + r->v[i].n + 2 <= p + n);
}

/* The reply at p from a copy that grows by what the seed says. */
static ssize_t
read_cut(struct resp_reader *r, const char *p, size_t n, uint32_t seed)
{
	size_t have = 0;

	for (;;) {
		char *copy = malloc(have + 1);
		ssize_t took;

		memcpy(copy, p, have);
		took = resp_read(r, copy, have);
		if (took > 0)
			must_be_inside(r, copy, (size_t)took);
		free(copy);
		if (took || have == n)
			return took;
		seed = seed * 1103515245 + 12345;
		have += 1 + (seed >> 16) % 40;
		if (have > n)
			have = n;
	}
}

static void
must_come_back(const struct resp_reader *r)
{
	struct buf b = BUF_INIT;
	struct resp_reader again = { 0 };
	size_t words = 0, i = 1;

	for (size_t j = 0; j < r->nv; j++)
		words += r->v[j].p != NULL;
	resp_command(&b, words);
	for (size_t j = 0; j < r->nv; j++) {
		size_t begun;

		if (!r->v[j].p)
			continue;
		if (j % 2) {
			resp_word(&b, resp_bytes(&r->v[j]));
			continue;
		}
		begun = resp_word_begin(&b, (size_t)r->v[j].n * (j % 3));
		buf_add_bytes(&b, resp_bytes(&r->v[j]));
		resp_word_end(&b, begun);
	}
	must(resp_read(&again, buf_data(&b), buf_len(&b)) == (ssize_t)buf_len(&b));
	must(again.v[0].n == (int64_t)words && again.nv == words + 1);
	for (size_t j = 0; j < r->nv; j++)
		if (r->v[j].p)
			must(bytes_eq(resp_bytes(&r->v[j]), resp_bytes(&again.v[i++])));
	resp_release(&again);
	buf_release(&b);
}

/* hiredis allocates at once what an array says it has. */
static bool
is_modest(const uint8_t *p, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		digits = p[i] >= '0' && p[i] <= '9' ? digits + 1 : 0;
		if (digits > 5)
			return false;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct resp_reader r = { 0 }, cut = { 0 };
	redisReader *h;
	const char *p = (const char *)data;
	uint32_t seed = 0;

	if (!is_modest(data, n)) {
		read_cut(&cut, p, n, 1);
		resp_release(&cut);
		return 0;
	}
	h = redisReaderCreate();
	for (size_t i = 0; i < n && i < 8; i++)
		seed = seed * 31 + data[i];
	redisReaderFeed(h, p, n);
	while (n) {
		void *reply = NULL;
		int status = redisReaderGetReply(h, &reply);
		ssize_t took = resp_read(&r, p, n), pieces;
		const struct resp_value *v = r.v;

		pieces = read_cut(&cut, p, n, seed++);
		must(pieces == took);
		if (took > 0) {
			must(status == REDIS_OK && reply);
			must_be_inside(&r, p, (size_t)took);
			must_equal(&v, reply);
			must_come_back(&r);
		} else if (took < 0) {
			/* hiredis may not have come so far, or not mind. */
			must(r.error);
		} else if (took == 0) {
			must(!reply);
		}
		if (reply)
			freeReplyObject(reply);
		if (took <= 0 || status != REDIS_OK)
			break;
		p += took;
		n -= (size_t)took;
	}
	redisReaderFree(h);
	resp_release(&r);
	resp_release(&cut);
	return 0;
}

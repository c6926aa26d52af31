/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_sub PORT CHANNEL [COUNT]: the smallest correct subscriber on hiredis' reader.
 * Prints each body and a newline, 64 KiB at a time or when nothing more is there.
 * Says "ready" on descriptor 8 when it has subscribed.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FEED = 16 * 1024 };	/* the reader moves what is left after each reply */

static char out[64 * 1024 + 1024];
static size_t out_len;

static void
die(const char *why)
{
	fprintf(stderr, "redis_sub: %s\n", why);
	exit(1);
}

static void
flush(void)
{
	if (out_len && write(STDOUT_FILENO, out, out_len) != (ssize_t)out_len)
		die("cannot write");
	out_len = 0;
}

static void
print(const redisReply *body)
{
	if (body->len >= 1024)
		die("a body is too long for me");
	memcpy(out + out_len, body->str, body->len);
	out_len += body->len;
	out[out_len++] = '\n';
	if (out_len >= 64 * 1024)
		flush();
}

int
main(int argc, char **argv)
{
	unsigned long left = argc > 3 ? strtoul(argv[3], NULL, 10) : ~0ul;
	static char buf[FEED];
	redisContext *c;
	redisReply *r;
	ssize_t n;

	if (argc < 3)
		die("usage: redis_sub PORT CHANNEL [COUNT]");
	c = redisConnect("127.0.0.1", atoi(argv[1]));
	if (!c || c->err)
		die(c ? c->errstr : "out of memory");
	r = redisCommand(c, "SUBSCRIBE %s", argv[2]);
	if (!r || r->type != REDIS_REPLY_ARRAY)
		die("cannot subscribe");
	freeReplyObject(r);
	if (write(8, "ready\n", 6) == 6)
		close(8);
	while (left && (n = read(c->fd, buf, sizeof buf)) > 0) {
		redisReaderFeed(c->reader, buf, (size_t)n);
		while (left && redisReaderGetReply(c->reader, (void **)&r) == REDIS_OK && r) {
			if (r->type != REDIS_REPLY_ARRAY || r->elements != 3)
				die("not a message");
			print(r->element[2]);
			freeReplyObject(r);
			left--;
		}
		if (n < FEED)
			flush();
	}
	flush();
	redisFree(c);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_pub PORT CHANNEL: the smallest correct publisher on hiredis. Each line of
 * stdin is one PUBLISH; up to 1000 are under way, and every reply is looked at. Sends
 * when no more input is ready, so that it can also be measured at low rates.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 1000 };

static redisContext *c;
static unsigned under_way;

static void
die(const char *why)
{
	fprintf(stderr, "redis_pub: %s\n", why);
	exit(1);
}

static void
replies(unsigned leave)
{
	while (under_way > leave) {
		redisReply *r;

		if (redisGetReply(c, (void **)&r) != REDIS_OK)
			die(c->errstr);
		if (r->type != REDIS_REPLY_INTEGER)
			die(r->str ? r->str : "not a number");
		freeReplyObject(r);
		under_way--;
	}
}

int
main(int argc, char **argv)
{
	static char buf[256 * 1024];
	const char *words[3] = { "PUBLISH", argc > 2 ? argv[2] : "" };
	size_t lens[3] = { 7, strlen(words[1]) }, kept = 0;
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	if (argc != 3)
		die("usage: redis_pub PORT CHANNEL");
	c = redisConnect("127.0.0.1", atoi(argv[1]));
	if (!c || c->err)
		die(c ? c->errstr : "out of memory");
	while ((n = read(STDIN_FILENO, buf + kept, sizeof buf - kept)) > 0) {
		char *p = buf, *end = buf + kept + n, *nl;

		while ((nl = memchr(p, '\n', (size_t)(end - p)))) {
			words[2] = p;
			lens[2] = (size_t)(nl - p);
			redisAppendCommandArgv(c, 3, words, lens);
			if (++under_way == WINDOW)
				replies(WINDOW / 2);
			p = nl + 1;
		}
		kept = (size_t)(end - p);
		memmove(buf, p, kept);
		if (poll(&in, 1, 0) == 0)
			replies(0);
	}
	replies(0);
	redisFree(c);
	return 0;
}

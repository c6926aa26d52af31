/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's errors mean for the program: their first word says it. The text
 * is the server's own, with a word of ours in front where that helps. mbus-redis(7)
 * shows this table (tests/bats/redis.bats holds the two together).
 */
#include "backends/redis/redis.h"

#include <strings.h>

enum { SAME = REDIS_PASSES, NEXT = REDIS_PASSES | REDIS_NEXT };

static const struct {
	const char *start;		/* of the error's text */
	enum error_kind kind;
	unsigned what;
	const char *say;		/* NULL: nothing */
} meanings[] = {
	{ "NOPERM", ERR_AUTH, 0, "not allowed" },
	{ "NOAUTH", ERR_AUTH, 0, "the server wants a user or a password" },
	{ "WRONGPASS", ERR_AUTH, 0, "wrong user name or password" },
	{ "ERR invalid password", ERR_AUTH, 0, "wrong password" },
	{ "ERR AUTH <password> called without", ERR_AUTH, 0,
		"a password was given, and the server has none" },
	{ "ERR Client sent AUTH, but no password", ERR_AUTH, 0,
		"a password was given, and the server has none" },
	{ "DENIED", ERR_AUTH, 0, "the server takes connections of its own host only" },
	{ "ERR unknown command", ERR_NOTFOUND, 0, "this server is too old for that" },
	{ "ERR This instance has cluster support disabled", ERR_NOTFOUND, 0, NULL },
	{ "ERR DB index", ERR_NOTFOUND, 0, "no such database" },
	{ "ERR invalid DB index", ERR_USAGE, 0, NULL },
	{ "ERR SELECT is not allowed", ERR_NOTFOUND, 0, "a cluster has no databases" },
	{ "WRONGTYPE", ERR_REFUSED, 0, "it is no stream" },
	{ "CROSSSLOT", ERR_NOTFOUND, 0,
		"these topics live on different nodes of the cluster: one sub each" },
	{ "LOADING", ERR_REFUSED, NEXT, "the server has just started" },
	{ "MASTERDOWN", ERR_REFUSED, NEXT, "a replica without its master" },
	{ "READONLY", ERR_REFUSED, NEXT, "this server is a replica" },
	{ "BUSY Redis", ERR_REFUSED, SAME, "the server runs a script" },
	{ "CLUSTERDOWN", ERR_REFUSED, SAME, NULL },
	{ "TRYAGAIN", ERR_REFUSED, SAME, NULL },
	{ "ERR max number of clients reached", ERR_CONNECT, NEXT, NULL },
	{ NULL, ERR_REFUSED, 0, NULL }
};

static size_t
meaning(struct bytes text)
{
	size_t i = 0;

	for (; meanings[i].start; i++) {
		size_t n = strlen(meanings[i].start);

		if (text.n >= n && strncasecmp(text.p, meanings[i].start, n) == 0)
			break;
	}
	return i;
}

bool
redis_says(const struct resp_value *v, const char *word)
{
	size_t n = strlen(word);

	return v->type == RESP_ERROR && (size_t)v->n >= n && memcmp(v->p, word, n) == 0;
}

unsigned
redis_error(const struct resp_value *v, struct error *err)
{
	struct bytes text = v->type == RESP_ERROR ? resp_bytes(v) :
		BYTES("an answer to another question");
	size_t i = meaning(text);
	int n = text.n < 300 ? (int)text.n : 300;

	if (meanings[i].say)
		error_set(err, meanings[i].kind, "%s (%.*s)", meanings[i].say, n, text.p);
	else
		error_set(err, meanings[i].kind, "%.*s", n, text.p);
	return meanings[i].what;
}

unsigned
redis_error_here(const struct redis_conn *c, const struct resp_value *v, struct error *err)
{
	unsigned what = redis_error(v, err);

	if (what & REDIS_PASSES)
		err->kind = ERR_CONNECT;
	error_prefix(err, "%s", link_name(c->p.link));
	return what;
}

void
redis_fail(struct redis_conn *c, const struct resp_value *v)
{
	struct error err;
	unsigned what = redis_error_here(c, v, &err);

	if (what & REDIS_NEXT)
		pipeline_fail_next(&c->p, &err);
	else if (what & REDIS_PASSES)
		pipeline_fail(&c->p, &err);
	else
		pipeline_refused(&c->p, &err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server's errors mean for the program: their first word says it. The text
 * is the server's own, with a word of ours in front where that helps.
 */
#include "backends/redis/redis.h"

#include <strings.h>

static const struct {
	const char *start;		/* of the error's text */
	enum error_kind kind;
	bool passes;			/* by itself, so trying again is no nonsense */
	const char *say;		/* NULL: nothing */
} meanings[] = {
	{ "NOPERM", ERR_AUTH, false, "not allowed" },
	{ "NOAUTH", ERR_AUTH, false, "the server wants a user or a password" },
	{ "WRONGPASS", ERR_AUTH, false, "wrong user name or password" },
	{ "ERR invalid password", ERR_AUTH, false, "wrong password" },
	{ "ERR AUTH <password> called without", ERR_AUTH, false,
		"a password was given, and the server has none" },
	{ "ERR Client sent AUTH, but no password", ERR_AUTH, false,
		"a password was given, and the server has none" },
	{ "DENIED", ERR_AUTH, false, "the server takes connections of its own host only" },
	{ "ERR unknown command", ERR_NOTFOUND, false, "this server is too old for that" },
	{ "ERR This instance has cluster support disabled", ERR_NOTFOUND, false, NULL },
	{ "ERR DB index", ERR_NOTFOUND, false, "no such database" },
	{ "ERR invalid DB index", ERR_USAGE, false, NULL },
	{ "ERR SELECT is not allowed", ERR_NOTFOUND, false, "a cluster has no databases" },
	{ "WRONGTYPE", ERR_REFUSED, false, "it is no stream" },
	{ "CROSSSLOT", ERR_NOTFOUND, false,
		"these topics live on different nodes of the cluster: one sub each" },
	{ "LOADING", ERR_REFUSED, true, "the server has just started" },
	{ "MASTERDOWN", ERR_REFUSED, true, "a replica without its master" },
	{ "BUSY", ERR_REFUSED, true, "the server runs a script" },
	{ "CLUSTERDOWN", ERR_REFUSED, true, NULL },
	{ "TRYAGAIN", ERR_REFUSED, true, NULL },
	{ "READONLY", ERR_REFUSED, false, "this server is a replica" },
	{ "ERR max number of clients reached", ERR_CONNECT, true, NULL },
	{ NULL, ERR_REFUSED, false, NULL }
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

void
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
}

void
redis_error_greeting(struct redis_conn *c, const struct resp_value *v, struct error *err)
{
	redis_error(v, err);
	if (v->type == RESP_ERROR && meanings[meaning(resp_bytes(v))].passes)
		err->kind = ERR_CONNECT;
	error_prefix(err, "%s", link_name(c->link));
}

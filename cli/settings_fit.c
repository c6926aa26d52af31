/* SPDX-License-Identifier: Apache-2.0 */
/* What a config file's options go with: see settings_impl.h. */
#include "cli/settings_impl.h"

#include <stdio.h>
#include <string.h>

#include "cli/heed.h"

#define OUTPUTS "json format mosquitto-format line hex body raw exec"
#define BODIES "message file stdin lines json empty null delim null-delim key-delim"
#define WHOLE "BODY message stdin empty"
#define MANY "lines json delim null-delim key-delim repeat loop"
#define TIMES "rate interval pace"

/* Names of options with blanks between; "=WORD" is the first operand, WORD any, BODY and
 * TOPIC are those of pub. What has no rule fits wherever its option does. */
struct rule {
	const char *command, *option;
	const char *with;		/* NULL, or: it goes with one of these ... */
	const char *against;		/* ... and with none of these */
};

static const struct rule rules[] = {
	{ "pub", "topic", NULL, "TOPIC" },
	{ "pub", "message", NULL, BODIES " BODY" },
	{ "pub", "file", NULL, WHOLE },
	{ "pub", "stdin", NULL, BODIES " BODY" },
	{ "pub", "lines", NULL, WHOLE " json" },
	{ "pub", "json", NULL, WHOLE " lines delim null-delim key-delim key" },
	{ "pub", "empty", NULL, BODIES " BODY" },
	{ "pub", "null", NULL, WHOLE " json" },
	{ "pub", "delim", NULL, WHOLE " json null-delim" },
	{ "pub", "null-delim", NULL, WHOLE " json delim" },
	{ "pub", "key-delim", NULL, WHOLE " json key" },
	{ "pub", "key", NULL, "key-delim" },
	{ "pub", "keep-meta", "json", NULL },
	{ "pub", "report", NULL, "report-fd" },
	{ "pub", "report-fd", NULL, "report" },
	{ "pub", "report-all", "report report-fd", NULL },
	{ "pub", "request", NULL, "reply-to transaction tee repeat loop count" },
	{ "pub", "reply-to", NULL, "request" },
	{ "pub", "replies", "request", NULL },
	{ "pub", "transaction", NULL, "request" },
	{ "pub", "tee", NULL, "request" },
	{ "pub", "loop", NULL, "lines json stdin delim null-delim key-delim request" },
	{ "pub", "fail-fast", MANY, NULL },
	{ "pub", "count", MANY, NULL },
	{ "pub", "rate", MANY, TIMES },
	{ "pub", "interval", MANY, TIMES },
	{ "pub", "pace", "json", TIMES },

	{ "sub", "json", NULL, OUTPUTS },
	{ "sub", "format", NULL, OUTPUTS },
	{ "sub", "mosquitto-format", NULL, OUTPUTS },
	{ "sub", "line", NULL, OUTPUTS },
	{ "sub", "hex", NULL, OUTPUTS },
	{ "sub", "body", NULL, OUTPUTS },
	{ "sub", "raw", NULL, OUTPUTS },
	{ "sub", "exec", NULL, OUTPUTS },
	{ "sub", "body-json", "json", NULL },
	{ "sub", "pretty", NULL, "format mosquitto-format line hex body raw exec" },
	{ "sub", "local-time", NULL, "json body raw hex exec" },
	{ "sub", "max-body", NULL, OUTPUTS },
	{ "sub", "delim", OUTPUTS, "null-delim no-newline exec" },
	{ "sub", "null-delim", OUTPUTS, "delim no-newline exec" },
	{ "sub", "no-newline", OUTPUTS, "delim null-delim exec" },
	{ "sub", "jobs", "exec", NULL },
	{ "sub", "retry", "exec", NULL },
	{ "sub", "exec-timeout", "exec", NULL },
	{ "sub", "on-fail", "exec", NULL },
	{ "sub", "reply", "exec", NULL },
	{ "sub", "tee", NULL, "exec" },
	{ "sub", "topic", NULL, "WORD" },
	{ "sub", "check", NULL, "count end idle" },

	{ "bench", "msgs", NULL, "duration =sub =merge =compare" },
	{ "bench", "duration", NULL, "msgs =sub =merge =compare" },
	{ "bench", "size", NULL, "payload =sub =merge =compare" },
	{ "bench", "payload", NULL, "size =sub =merge =compare" },
	{ "bench", "header", NULL, "=sub =merge =compare" },
	{ "bench", "key", NULL, "=sub =merge =compare" },
	{ "bench", "pubs", NULL, "=sub =merge =compare" },
	{ "bench", "subs", NULL, "=merge =compare" },
	{ "bench", "groups", "subs", "=pub =merge =compare" },
	{ "bench", "topics", NULL, "=merge =compare" },
	{ "bench", "topic", NULL, "=merge =compare" },
	{ "bench", "run", NULL, "=merge =compare" },
	{ "bench", "rate", NULL, "=sub =merge =compare" },
	{ "bench", "inflight", NULL, "=sub =merge =compare" },
	{ "bench", "warmup", NULL, "=sub =merge =compare" },
	{ "bench", "qos", NULL, "=merge =compare" },
	{ "bench", "ack", NULL, "=sub =merge =compare" },
	{ "bench", "sub-ack", NULL, "=pub =merge =compare" },
	{ "bench", "compress", NULL, "=sub =merge =compare" },
	{ "bench", "create", NULL, "=sub =merge =compare" },
	{ "bench", "timeout", NULL, "=merge =compare" },
	{ "bench", "max-loss", NULL, "=pub =merge =compare" },
	{ "bench", "max-p99", NULL, "=merge =compare" },
	{ "bench", "min-rate", NULL, "=merge =compare" },
	{ "bench", "repeat", NULL, "=pub =sub =merge =compare" },
	{ "bench", "brokers", NULL, "on broker address url =pub =sub =merge =compare" },
	{ "bench", "on", NULL, "brokers broker address url =pub =sub =merge =compare" },
	{ "bench", "compare", NULL, "=merge =compare" },
	{ "bench", "fail-slower", "compare =compare", NULL },

	{ "registry", "count", "=watch =wait", NULL },
	{ "registry", "select", "=get", "json" },
	{ "registry", "strategy", "select", NULL },
	{ "registry", "hash-key", "strategy", NULL },
	{ "registry", "service-version", "=register", NULL },
	{ "registry", "node-id", "=register", NULL },
	{ "registry", "meta", "=register", NULL },
	{ "registry", "endpoints", "=register", NULL },
	{ "registry", "healthy", "=register", NULL },
	{ "registry", "register-ttl", "=register", NULL },
	{ "registry", "register-interval", "=register", NULL },
	{ "registry", "long", "=list", "json" },
	{ "registry", "json", "=list =get =watch", "long select" },
	{ "registry", "timeout", "=list =get =watch =wait", NULL },
};

static const struct rule *
rule_of(const char *command, const char *option)
{
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (strcmp(rules[i].option, option) == 0 && strcmp(rules[i].command, command) == 0)
			return &rules[i];
	return NULL;
}

static bool any_is_so(const struct applying *, const char *words, enum layer above);

/* Is this word of a rule so: by the line, or by what the file says in a higher layer (of
 * one layer two things contradict each other, as on a line)? */
static bool
is_so(const struct applying *a, struct bytes word, enum layer above)
{
	char name[40];

	snprintf(name, sizeof name, "%.*s", (int)word.n, word.p);
	if (*name == '=')
		return a->noperands && strcmp(a->operands[0], name + 1) == 0;
	if (strcmp(name, "WORD") == 0)
		return a->noperands;
	if (strcmp(name, "TOPIC") == 0)
		return a->noperands > 1 || (a->noperands && any_is_so(a, BODIES, LAYER_LINE));
	if (strcmp(name, "BODY") == 0)
		return a->noperands + heed_given(a->c, "topic") > 1;
	for (size_t i = 0; i < a->n; i++)
		if (!a->v[i].out && a->v[i].layer > above && settings_is_called(a->v[i].opt, name))
			return true;
	return heed_given(a->c, name);
}

static bool
any_is_so(const struct applying *a, const char *words, enum layer above)
{
	while (words && *words) {
		size_t n = strcspn(words, " ");

		if (is_so(a, bytes_of(words, n), above))
			return true;
		words += n + (words[n] == ' ');
	}
	return false;
}

void
settings_drop_unfit(struct applying *a)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < a->n; i++) {
			struct entry *e = &a->v[i];
			const struct rule *r = a->cmd && !e->out ?
				rule_of(a->cmd->name, e->opt->name) : NULL;

			if (r && ((r->with && !any_is_so(a, r->with, LAYER_NONE)) ||
			    any_is_so(a, r->against, e->layer)))
				e->out = again = true;
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub -x: a command for each event (cli/exec.h), and what is made of its end.
 *
 *	status 0	acknowledged; with --reply, once what it printed is published and
 *			that is confirmed
 *	else		with --on-fail TOPIC the event is published there, and acknowledged
 *			once that is confirmed; without, it is given back to the broker,
 *			and the run ends with status 1
 *
 * What is to be published goes by a broker instance of its own: the same broker with the
 * same options, connected when the first is needed.
 */
#ifndef MBUS_CLI_SUB_EXEC_H
#define MBUS_CLI_SUB_EXEC_H

#include "cli/cli.h"

struct sub_exec_args {
	const char *command, *on_fail;
	uint64_t jobs, retries, timeout_ms;
	bool reply;
};

struct sub_exec;

/* The event of that number is done with. ok false: it is to be given back. */
typedef void sub_exec_settled_fn(uint64_t number, bool ok, void *arg);
/* Something could not be published; err's kind is what the run ends with. */
typedef void sub_exec_failed_fn(const struct error *err, void *arg);

struct sub_exec *sub_exec_new(struct common_args *, const struct sub_exec_args *, struct loop *,
	const char *broker, sub_exec_settled_fn *, sub_exec_failed_fn *, void *arg);
void sub_exec_free(struct sub_exec *);		/* NULL is allowed */
void sub_exec_take(struct sub_exec *, const struct event *, uint64_t n);
/* One that no command is for: acknowledged, outside of the broker's callbacks. */
void sub_exec_skip(struct sub_exec *, const struct event *);
void sub_exec_reap(struct sub_exec *);		/* after SIGCHLD */
void sub_exec_stop(struct sub_exec *);		/* starts no more */
/* Waiting, running, or being published; too many to take more. */
size_t sub_exec_count(const struct sub_exec *);
bool sub_exec_is_full(const struct sub_exec *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for events: sub -x. Each event is given to a /bin/sh -c of its own:
 *
 *	descriptor 0	the body
 *	descriptor 3	the event as a line of JSON, exactly (sub -J)
 *	environment	MBUS_TOPIC, MBUS_KEY, MBUS_TS, MBUS_N, MBUS_HEADER_<NAME>: for
 *			convenience; what is over 4 KiB or has a NUL is left out
 *	stdout, stderr	ours; stdout is kept instead, if it is to be a reply
 *
 * Up to `jobs` run at a time; events of one key in their order. One that fails is run
 * again up to `retries` times, after a growing pause. Each ends by one call of `done`.
 *
 * Body and JSON are anonymous files, not pipes: a command that reads neither, or only
 * some, hangs nobody, and nothing has to be pumped. Each command has a process group of
 * its own, so that a Ctrl-C for us is not one for it, and a time-out ends all of it.
 *
 * One thread, the loop's; nothing blocks.
 */
#ifndef MBUS_CLI_EXEC_H
#define MBUS_CLI_EXEC_H

#include "core/error.h"
#include "core/loop.h"
#include "core/message.h"

struct exec;

struct exec_options {
	const char *command, *broker;
	unsigned jobs, retries;
	uint64_t timeout_ms;		/* of each run; 0: none */
	bool keep_output;		/* what it prints is for `done` */
	/* The event's last run has ended; ok: with status 0. Everything is good for the
	 * length of the call. */
	void (*done)(const struct event *, bool ok, struct bytes output, void *arg);
	void *arg;
};

struct exec *exec_new(struct loop *, const struct exec_options *);
/* Ends what runs; no call of `done` is made in or after it. NULL is allowed. */
void exec_free(struct exec *);
/* Takes a copy. n: the event's number for MBUS_N. */
void exec_take(struct exec *, const struct event *, uint64_t n);
/* After SIGCHLD. */
void exec_reap(struct exec *);
/* No more are started: what waits is given back, by `done` with ok false at once; what
 * runs may end. */
void exec_stop(struct exec *);
/* How many are waiting or running; how many of them may be had before the broker should
 * be asked to wait. */
size_t exec_count(const struct exec *);
bool exec_is_full(const struct exec *);

#endif

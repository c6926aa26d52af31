/* SPDX-License-Identifier: Apache-2.0 */
/* For cmd_sub.c and sub_events.c alone: a run of mbus sub. */
#ifndef MBUS_CLI_SUB_IMPL_H
#define MBUS_CLI_SUB_IMPL_H

#include "cli/ends.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/sub_options.h"
#include "cli/sub_save.h"
#include "cli/sub_stats.h"

struct sub {
	struct sub_args *args;
	struct subscribe_options how;
	struct loop *loop;
	struct broker *broker;
	struct broker_options opts;
	struct output out;
	struct formatter format;
	struct sub_filter filter;
	struct sub_save save;
	struct sub_stats *stats;	/* NULL: none are wanted */
	struct sub_exec *exec;		/* with -x: it settles the events, one by one */
	bool silent;			/* nothing is printed but these */
	bool plain;			/* events are printed, all of them, and no more is done */
	uint64_t printed;		/* events that passed the filter; else formatted */
	uint64_t unexpected;		/* that --expect is not true of */
	uint64_t last, acked;		/* their last number; the last acknowledged */
	struct ends ends;
	unsigned wires;			/* enum event_wire that were told, as bits */
	size_t ntopics, nlive, nended;
	bool ending;			/* no more events are taken */
	bool paused, listening;
	bool cut;			/* some output was left unwritten */
	bool torn;			/* only the rest of one event is awaited */
	bool gone;			/* stdout takes no more; that was said */
	enum error_kind kind;		/* what it ends with */
	struct interrupt interrupt;
	struct loop_task settle;
	struct loop_idle idle;
	struct loop_timer deadline, drain, quiet;
	uint64_t counted, counted_ns;	/* for --idle: printed, and when that was new */
	pid_t ready_pid;
};

/* ---- sub_events.c ---- */

/* Nothing more is taken, and the run ends with this, or what is graver; once sub_settle()
 * has looked. sub_fail() says why, if the run has not ended already. */
void sub_end(struct sub *, enum error_kind);
void sub_fail(struct sub *, const struct error *);
/* Acknowledges all that is written whole. */
void sub_ack(struct sub *);
/* Commands of -x that run, and events that wait for one. */
size_t sub_commands(const struct sub *);
/* Fewer events came than -c or -e wants. */
bool sub_is_short(const struct sub *);
/* The task that acknowledges, and decides whether the run is over. */
void sub_settle(struct loop_task *);
/* For struct output and the loop: something was written; nothing more is to be read. */
void sub_progress(struct output *);
void sub_idle(struct loop_idle *);
/* For sub_exec: an event's command has ended; none can be started. */
void sub_settled(uint64_t number, bool ok, void *arg);
void sub_exec_failed(const struct error *, void *arg);
/* The handler of all subscriptions. */
enum handled sub_event(struct subscription *, const struct event *, void *arg);

#endif

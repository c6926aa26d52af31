/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How events go from the source of `mbus pub` to the broker: how often each (--repeat),
 * how many (-c), filled in (--template), without what the broker cannot carry (--omit),
 * and when (--rate, --interval, --pace).
 *
 * Times are moments of one clock, reckoned from the first event: what was late, because
 * the broker had no room, is made up for, and nothing drifts. An input that had nothing
 * to say is owed nothing: after a pause the reckoning begins anew.
 */
#ifndef MBUS_CLI_PUB_FLOW_H
#define MBUS_CLI_PUB_FLOW_H

#include "cli/pub_source.h"
#include "cli/pub_template.h"

struct pub_flow {
	bool dry;			/* no more events will come */
	bool cut;			/* by --fail-fast: there may be more */
	/* Private. */
	const struct pub_args *args;
	struct pub_source *source;
	const struct broker *broker;
	struct loop *loop;
	struct loop_timer timer;
	void (*due)(void *arg);
	void *arg;
	struct pub_template template;
	struct publication last;	/* as the source has it, for its repetitions */
	uint64_t left;			/* of which so many are to come */
	uint64_t taken;
	uint64_t rate, per_ns;		/* rate events each per_ns; 0: no such */
	double pace;			/* 0: none */
	uint64_t base_ns, steps;	/* the next one's time: base_ns + steps / rate * per_ns */
	uint64_t due_ns;		/* of the event that waits, or was last */
	int64_t first_us;		/* the time of the round's first event; -1: none yet */
	uint64_t round;			/* of the source, that this is of */
	bool starved, begun;
};

/* -1: err (ERR_USAGE): options that contradict each other or mean nothing here. After
 * pub_source_init(). The struct needs no preparation. */
int pub_flow_init(struct pub_flow *, const struct pub_args *, struct pub_source *,
	struct error *);
/* due is called when the event that pub_flow_waits() for can go. */
void pub_flow_start(struct pub_flow *, struct loop *, const struct broker *,
	void (*due)(void *arg), void *arg);
void pub_flow_release(struct pub_flow *);

/* As pub_source_next(). */
bool pub_flow_next(struct pub_flow *, struct publication *);
/* Is it too early for this event, the last that was taken? */
bool pub_flow_waits(struct pub_flow *, const struct publication *);
/* An event was not confirmed. */
void pub_flow_failed(struct pub_flow *);
/* After the run: what would have come, without waiting for it. A pipe's writer is not
 * waited for, and a --loop not gone round again. */
bool pub_flow_rest(struct pub_flow *, struct publication *);

#endif

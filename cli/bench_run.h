/* SPDX-License-Identifier: Apache-2.0 */
/* One run of mbus bench, as its parent sees it; see bench.h. */
#ifndef MBUS_CLI_BENCH_RUN_H
#define MBUS_CLI_BENCH_RUN_H

#include <sys/types.h>

#include "cli/bench_result.h"
#include "core/loop.h"

struct bench_child {
	struct bench_worker worker;	/* what it was born with */
	struct bench_run_state *run;
	pid_t pid;			/* 0: it has been waited for */
	struct loop_fd watch;		/* our end of the socket */
	bool closed, killed;
	int status;
	uint64_t rss_kib;
};

enum bench_phase {
	PHASE_MAKE, PHASE_SUBS, PHASE_PUBS,	/* these become ready */
	PHASE_RUN,
	PHASE_DRAIN,			/* all is published; what has not come yet? */
	PHASE_LINGER,			/* all has come; does anything come twice? */
	PHASE_QUIT, PHASE_OVER
};

struct bench_run_state {
	const struct bench_job *job;
	struct bench_result *result;
	struct bench_shared *shared;
	size_t shared_bytes;
	struct bench_child *children;	/* subscribers, publishers, then the maker */
	unsigned nchildren;		/* places; those not started yet have no kind */
	struct loop *loop;
	enum bench_phase phase;
	struct loop_timer tick, deadline, interval;
	uint64_t changed_ns, progress;	/* when something came last, or the phase began */
	uint64_t last_ns;		/* when something came last */
	uint64_t phase_ns, begin_ns;
	uint64_t busy0, all0;		/* of the machine, when it began */
	struct hist *now, *before, *part;	/* end-to-end, for intervals */
	uint64_t published, received, interval_ns;
	const struct bench_watcher *watcher;
	void *arg;
};

/* Who looks on. All may be NULL. */
struct bench_watcher {
	void (*begun)(const struct bench_result *, void *arg);	/* everybody is ready */
	/* every --interval; left_ns: of the time that is known to be left, else 0 */
	void (*interval)(const struct bench_result *, const struct bench_interval *,
		uint64_t left_ns, void *arg);
};

/* Runs it, whatever becomes of it: the result says. loop: the caller's, which has its
 * signals; bench_interrupt() ends it early. */
void bench_run(struct bench_run_state *, struct loop *, const struct bench_job *,
	const struct bench_watcher *, void *arg, struct bench_result *);
void bench_interrupt(struct bench_run_state *);

/* ---- bench_watch.c: what is seen of it while it goes ---- */

/* How busy the machine is, from now on; end: in between. */
void watch_begin(struct bench_run_state *);
void watch_end(struct bench_run_state *);
/* One interval has gone by, up to now. The timer does it every --interval. */
void watch_interval(struct bench_run_state *, uint64_t now);
void watch_timer(struct loop_timer *);
/* A counter's sum over all workers. */
uint64_t run_sum(const struct bench_run_state *, size_t offset);
#define SUM(run, field) run_sum(run, offsetof(struct worker_slot, field))

/* ---- bench_audit.c ---- */

/* Fills what the workers counted, and what became of the events, when all have ended. */
void bench_collect(struct bench_run_state *);
/* The audit alone: listeners, and the sums of them. */
void bench_audit(struct bench_run_state *);
struct worker_slot *child_slot(const struct bench_run_state *, unsigned i);

#endif

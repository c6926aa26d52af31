/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus bench, inside. One run is a parent and its workers, each publisher and each
 * subscriber a process of its own with its own connection and loop:
 *
 *	cmd_bench.c	options; which runs, in which order; the exit status
 *	bench_plan.c	the runs: every broker with every size, --repeat times
 *	bench_run.c	one run: starts the workers, tells them when, collects;
 *			bench_watch.c what is seen of it meanwhile
 *	bench_worker.c	a worker's life: connects, says it is ready, goes, ends
 *	bench_pub.c	what a publisher does in it, bench_sub.c a subscriber, bench_ear.c
 *			both with what they hear
 *	bench_audit.c	what was sent held against what came
 *	bench_print.c, bench_json.c, bench_plot.c ...	what is made of the results
 *
 * Why processes and not threads: what a library keeps for a whole process (librdkafka's
 * threads, OpenSSL's locks, one CPU for kafka's) is then each worker's own, as it would
 * be with that many programs; the CPU time and the memory of each are the kernel's
 * figures, library threads included; and one that hangs or dies is ended and counted,
 * and the run with it, without hanging the others. They share a segment, one slot each,
 * in which they count: reading it costs them nothing.
 */
#ifndef MBUS_CLI_BENCH_H
#define MBUS_CLI_BENCH_H

#include "cli/bench_set.h"
#include "cli/bench_stamp.h"
#include "cli/cli.h"
#include "core/hist.h"

enum bench_role { BENCH_BOTH, BENCH_PUB, BENCH_SUB, BENCH_RTT };

enum {
	BENCH_WORKERS_MAX = 1000,	/* of each kind */
	BENCH_TOPICS_MAX = 10000,
	BENCH_ADDRESS_MAX = 200,
	BENCH_ID_MAX = 32,		/* letters of a run's id */
	BENCH_BODY_MAX = 256 << 20
};

struct bench_args {
	struct common_args common;
	uint64_t msgs, pubs, subs, queues, topics, inflight, repeat, create;
	uint64_t duration_ms, interval_ms, drain_ms, stall_ms, timeout_ms;
	int64_t qos;
	int ack, sub_ack;
	bool json;
	const char *sizes, *payload, *rate, *warmup, *topic, *run, *key, *compress;
	const char *brokers, *out, *csv, *hdr, *plot, *compare;
	const char *max_loss, *max_p99, *min_rate, *fail_slower;
	struct opt_list headers, on;
};

/* What one run is to do. Everything in it is set before the workers are forked. */
struct bench_job {
	const struct bench_args *args;
	struct common_args common;	/* with this run's broker */
	enum bench_role role;
	unsigned pubs, subs, queues, topics;	/* queues 0: each subscriber gets all */
	char id[BENCH_ID_MAX + 1];
	uint32_t run;			/* the id, in stamps */
	const char *topic;		/* with several: a '.' and a number behind it */
	char *body;			/* STAMP_BYTES, then what every body has */
	size_t size;			/* of the body */
	bool file;			/* it is --payload's */
	const struct header *headers;
	size_t nheaders;
	uint64_t msgs;			/* to measure, of all publishers; 0: by time */
	uint64_t duration_ns;		/* 0: by number */
	uint64_t warm_msgs, warm_ns;
	unsigned create;		/* partitions of topics that are made; 0: none are */
	double rate;			/* a second, of all publishers; 0: as fast as confirmed */
};

enum worker_state {
	WORKER_STARTING, WORKER_READY, WORKER_RUNNING,
	WORKER_DONE,			/* a publisher: all is sent and has its outcome */
	WORKER_ENDED			/* its runs are written */
};

/* A worker's slot of the shared segment. It alone writes there; counts only grow. */
struct worker_slot {
	enum worker_state state;
	enum error_kind kind;		/* not ERR_NONE: it failed, and text says how */
	char text[sizeof ((struct error *)0)->text];
	char address[BENCH_ADDRESS_MAX];
	char broker[32];		/* its name */
	/* All events, the warm-up's included. */
	uint64_t taken, confirmed, refused, unknown;
	uint64_t arrived, distinct, duplicated, disordered, corrupted, foreign;
	/* The measured ones. */
	uint64_t measured, bytes;	/* confirmed resp. arrived, each once */
	uint64_t first_ns, last_ns;	/* when the first was due resp. came, and when the
					 * last was confirmed resp. came */
	uint64_t over_ns;		/* when a publisher had no more to send */
	uint64_t due;			/* published, by their due times */
	uint64_t late;			/* sent over a millisecond after they were due,
					 * though the window had room */
	uint64_t full_ns;		/* how long the window had none */
	uint64_t early;			/* came before they were sent, by two clocks */
	uint64_t user_ns, sys_ns;	/* CPU time since the first */
	/* A subscriber alone: what publishers said when they ended. */
	uint64_t ends, end_pubs, end_confirmed;
	struct error first_refusal;	/* the first event that was not confirmed, and why */
	struct hist call, ack, e2e;
};

struct bench_shared {
	uint64_t stamp_offset;		/* of stamps over CLOCK_MONOTONIC: so that machines
					 * can be compared as far as their clocks agree */
	volatile uint64_t start_ns;	/* CLOCK_MONOTONIC; set before the workers go */
	struct worker_slot slots[];
};

/* Bytes on the control socket. */
enum bench_word {
	WORD_GO = 'G',			/* to a publisher: begin at start_ns */
	WORD_STOP = 'S',		/* publish no more */
	WORD_QUIT = 'Q',		/* write the runs, close, end */
	WORD_TELL = 'T'			/* from a worker: look at my state */
};

/* One worker, in its process. */
struct bench_worker {
	const struct bench_job *job;
	struct bench_shared *shared;
	struct worker_slot *slot;
	unsigned index;			/* of its kind */
	int control, runs_fd;
	struct loop *loop;
	struct broker *broker;
	struct broker_options opts;
	const struct worker_kind *kind;
	void *own;			/* the kind's struct */
	struct loop_fd watch;
	bool going, stopping, quitting;
	uint64_t user0_ns, sys0_ns;
	struct loop_timer abort;
};

/* What publishers and subscribers do differently. */
struct worker_kind {
	const char *name;
	void (*prepare)(struct bench_worker *);		/* fills opts and own */
	void (*connected)(struct bench_worker *);	/* ... and calls worker_ready() */
	void (*go)(struct bench_worker *);
	void (*stop)(struct bench_worker *);		/* ... and calls worker_done() */
	void (*outcome)(struct bench_worker *, const struct outcome *);
	void (*room)(struct bench_worker *);
	void (*write_runs)(struct bench_worker *);
	void (*release)(struct bench_worker *);
};
extern const struct worker_kind worker_pub, worker_sub, worker_make;

/* What a worker leaves in its file: fates of a publisher's numbers that are not
 * confirmed, numbers that came to a subscriber. */
enum run_what { RUN_ARRIVED, RUN_REFUSED, RUN_UNKNOWN };
struct run_record {
	uint32_t what, publisher;
	struct bench_run run;
};

/* The whole life of a worker; returns the exit status of its process. */
int worker_main(struct bench_worker *);
void worker_ready(struct bench_worker *);
void worker_done(struct bench_worker *);
void worker_failed(struct bench_worker *, const struct error *);
void worker_write(struct bench_worker *, enum run_what, unsigned publisher,
	const struct bench_set *);
/* CPU time from now on is the measured events'. */
void worker_cpu_begin(struct bench_worker *);
void worker_cpu_end(struct bench_worker *);
/* The nth topic, resp. that of the answers to the nth publisher. Good until the next
 * call. */
struct bytes job_topic(const struct bench_job *, unsigned n, bool answers);
/* What bodies have behind the stamp: the same n bytes in every process. */
void bench_fill(char *p, size_t n);

/* The body of the last event of a publisher, behind its stamp. */
struct stamp_end {
	uint64_t taken, confirmed, refused, unknown, publishers, sum;
};
static inline uint64_t
stamp_end_sum(const struct stamp_end *e)
{
	return (e->taken ^ e->confirmed << 8 ^ e->refused << 16 ^ e->unknown << 24 ^
		e->publishers << 48) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The measure of a subscriber or of one who awaits answers: shared by both kinds. */
struct bench_ear {
	struct bench_worker *w;
	struct ear_pub {
		struct bench_set came;
		uint64_t *high;		/* one more than the highest number, by topic */
		bool ended;
	} *pubs;
	size_t npubs;
	char *fill;			/* what bodies should be */
	size_t nfill;
	uint64_t last, acked;		/* numbers of events, for broker_ack() */
	struct loop_task settle;
	struct loop_idle idle;
};
enum heard { HEARD_NEW, HEARD_AGAIN, HEARD_BAD, HEARD_END };
void ear_open(struct bench_ear *, struct bench_worker *);
enum heard ear_hear(struct bench_ear *, unsigned topic, const struct event *, struct stamp *);
void ear_write_runs(struct bench_ear *);
void ear_close(struct bench_ear *);

#endif

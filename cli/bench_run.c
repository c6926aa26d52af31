/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: starts the workers, tells them when to begin and to end, looks whether they
 * get on, and sees to it that it ends, whatever they or the broker do. Every phase has
 * a bound:
 *
 *	becoming ready		--connect-timeout and some for the subscription
 *	the run			--stall without anything confirmed or received
 *	what is under way	--drain after the last that came
 *	closing			BENCH_CLOSE_MS, then they are killed
 */
#include "cli/bench_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/thread.h"

enum {
	BENCH_TICK_MS = 2,
	BENCH_LINGER_MS = 50,
	BENCH_READY_MS = 25000,		/* beyond --connect-timeout: groups take their time */
	BENCH_CLOSE_MS = 10000
};

static void run_next(struct bench_run_state *);

struct worker_slot *
child_slot(const struct bench_run_state *run, unsigned i)
{
	return &run->shared->slots[i];
}

static void
run_failed(struct bench_run_state *run, enum error_kind kind, const char *text)
{
	if (!run->result->kind)
		snprintf(run->result->text, sizeof run->result->text, "%s", text);
	run->result->kind = error_graver(run->result->kind, kind);
}

/* ---- children ---- */

static void
child_say(struct bench_child *c, enum bench_word word)
{
	char ch = (char)word;

	if (c->pid && !c->closed && send(c->watch.fd, &ch, 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		kill(c->pid, SIGKILL);	/* it has not listened for a long time */
}

static void
all_say(struct bench_run_state *run, enum bench_word word)
{
	for (unsigned i = 0; i < run->nchildren; i++)
		child_say(&run->children[i], word);
}

/* The child's side of fork(). Interrupts are the parent's business. */
static _Noreturn void
child_main(struct bench_run_state *run, struct bench_child *c)
{
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_TIMERSLACK, 1000);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	for (unsigned i = 0; i < run->nchildren; i++)
		if (run->children[i].watch.added)
			close(run->children[i].watch.fd);
	status = worker_main(&c->worker);
	if (thread_abandoned())
		_exit(status);
	exit(status);
}

static void child_ready(struct loop_fd *, unsigned);

static int
child_start(struct bench_run_state *run, const struct worker_kind *kind, unsigned index,
	struct error *err)
{
	unsigned at = index + (kind == &worker_sub ? 0 : kind == &worker_pub ? run->job->subs :
		run->job->subs + run->job->pubs);
	struct bench_child *c = &run->children[at];
	int fd[2];

	c->run = run;
	c->worker = (struct bench_worker){ .job = run->job, .shared = run->shared,
		.slot = child_slot(run, at), .index = index };
	c->worker.runs_fd = memfd_create("mbus-bench", MFD_CLOEXEC);
	if (c->worker.runs_fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "memory for a %s", kind->name);
	c->worker.kind = kind;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0) {
		return error_sys(err, ERR_LOCAL_IO, "a socket for a %s", kind->name);
	}
	c->worker.control = fd[1];
	c->watch.fn = child_ready;
	c->watch.arg = c;
	c->pid = fork();
	if (c->pid == 0) {
		close(fd[0]);
		child_main(run, c);
	}
	close(fd[1]);
	if (c->pid < 0) {
		c->pid = 0;
		close(fd[0]);
		return error_sys(err, ERR_LOCAL_IO, "a process for a %s", kind->name);
	}
	return loop_fd_add(run->loop, &c->watch, fd[0], LOOP_READ, err);
}

static void
start_all(struct bench_run_state *run, const struct worker_kind *kind, unsigned n)
{
	struct error err;

	for (unsigned i = 0; i < n; i++)
		if (child_start(run, kind, i, &err) < 0) {
			run_failed(run, err.kind, err.text);
			break;
		}
}

/* A worker says that it has failed, or ends before it was asked to. */
static void
child_failed(struct bench_child *c, enum error_kind kind, const char *why)
{
	struct bench_run_state *run = c->run;
	unsigned of = c->worker.kind == &worker_pub ? run->job->pubs : run->job->subs;
	char text[sizeof run->result->text];

	if (c->worker.kind == &worker_make || of == 1)
		snprintf(text, sizeof text, "%s", why);
	else
		snprintf(text, sizeof text, "%s %u: %s", c->worker.kind->name,
			c->worker.index + 1, why);
	run_failed(run, kind, text);
}

static void
child_ready(struct loop_fd *f, unsigned ready)
{
	struct bench_child *c = f->arg;
	struct bench_run_state *run = c->run;
	char word;
	ssize_t n = recv(f->fd, &word, 1, MSG_DONTWAIT);

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		int fd = f->fd;

		c->closed = true;
		loop_fd_del(run->loop, f);
		close(fd);
		if (c->worker.slot->state != WORKER_ENDED && run->phase < PHASE_QUIT)
			child_failed(c, ERR_UNKNOWN, "it has died");
	} else if (c->worker.slot->kind) {
		child_failed(c, c->worker.slot->kind, c->worker.slot->text);
	}
	run_next(run);
}

/* ---- time ---- */

static void
set_phase(struct bench_run_state *run, enum bench_phase phase)
{
	run->phase = phase;
	run->phase_ns = run->changed_ns = loop_clock_ns();
}

/* ---- phases ---- */

static void
run_begin(struct bench_run_state *run)
{
	struct worker_slot *s = child_slot(run, 0);
	struct bench_result *r = run->result;

	snprintf(r->address, sizeof r->address, "%s", s->address);
	run->begin_ns = run->interval_ns = loop_clock_ns() + 2000000;
	run->shared->start_ns = run->begin_ns;
	watch_begin(run);
	set_phase(run, PHASE_RUN);
	if (run->watcher && run->watcher->begun)
		run->watcher->begun(r, run->arg);
	for (unsigned i = 0; i < run->nchildren; i++)
		if (run->children[i].worker.kind != &worker_make)
			child_say(&run->children[i], WORD_GO);
	loop_timer_set_at(run->loop, &run->interval,
		run->begin_ns + run->job->args->interval_ms * 1000000u);
}

/* Looks whether something has come or was confirmed; returns the time. */
static uint64_t
run_progress(struct bench_run_state *run)
{
	uint64_t now = loop_clock_ns();
	uint64_t progress = SUM(run, confirmed) + SUM(run, refused) + SUM(run, arrived);

	if (progress != run->progress) {
		run->progress = progress;
		run->changed_ns = run->last_ns = now;
	}
	return now;
}

static void
run_quit(struct bench_run_state *run)
{
	if (run->phase >= PHASE_QUIT)
		return;
	if (run->phase >= PHASE_RUN) {
		watch_end(run);
		/* What is left of a last interval, if there is much of it, and without the wait
		 * for what did not come. */
		run_progress(run);
		if (run->last_ns > run->interval_ns + run->job->args->interval_ms * 250000u)
			watch_interval(run, run->last_ns);
	}
	loop_timer_clear(run->loop, &run->interval);
	set_phase(run, PHASE_QUIT);
	all_say(run, WORD_QUIT);
}

static bool
all_in_state(const struct bench_run_state *run, const struct worker_kind *kind,
	enum worker_state state)
{
	for (unsigned i = 0; i < run->nchildren; i++)
		if (run->children[i].worker.kind == kind && !run->children[i].closed &&
		    child_slot(run, i)->state < state)
			return false;
	return true;
}

/* Has each subscriber, or the members of each queue together, got so many? */
static bool
all_came(const struct bench_run_state *run)
{
	const struct bench_job *job = run->job;
	unsigned n = job->queues ? job->queues : job->subs;

	for (unsigned l = 0; l < n; l++) {
		uint64_t distinct = 0, ends = 0, pubs = 0, want = 0;

		for (unsigned i = l; i < job->subs; i += n) {
			const struct worker_slot *s = child_slot(run, i);

			distinct += s->distinct;
			ends += s->ends;
			pubs = s->end_pubs > pubs ? s->end_pubs : pubs;
			want += s->end_confirmed;
		}
		if (job->role == BENCH_SUB ? !pubs || ends < pubs || distinct < want :
		    distinct < SUM(run, confirmed))
			return false;
	}
	return true;
}

/* A subscriber alone: every publisher has said that it has ended. */
static bool
all_ended(const struct bench_run_state *run)
{
	uint64_t ends = 0, pubs = 0;

	for (unsigned i = 0; i < run->job->subs; i++) {
		ends += child_slot(run, i)->ends;
		if (child_slot(run, i)->end_pubs > pubs)
			pubs = child_slot(run, i)->end_pubs;
	}
	return pubs && ends >= pubs;
}

static void
run_stop(struct bench_run_state *run)
{
	all_say(run, WORD_STOP);
}

/* Nothing gets on any more. */
static void
run_stalled(struct bench_run_state *run)
{
	char text[200];
	bool ever = SUM(run, confirmed) || SUM(run, arrived);

	snprintf(text, sizeof text, "nothing was confirmed and nothing came for %g s: given up",
		(double)run->job->args->stall_ms / 1000);
	run_failed(run, ever ? ERR_UNKNOWN : ERR_CONNECT, text);
	run_quit(run);
}

/* With few events a second it is quiet for long, and nothing is wrong. */
static uint64_t
gap_ns(const struct bench_job *job)
{
	double gap = job->rate > 0 ? 2e9 * job->pubs / job->rate : 0;

	return gap < 1e18 ? (uint64_t)gap : UINT64_C(1000000000000000000);
}

static void
run_look(struct bench_run_state *run)
{
	uint64_t now = run_progress(run), quiet, since = now - run->phase_ns;
	const struct bench_args *a = run->job->args;
	bool idle = SUM(run, taken) == SUM(run, confirmed) + SUM(run, refused) + SUM(run, unknown);

	quiet = now - run->changed_ns;
	switch (run->phase) {
	case PHASE_MAKE:
	case PHASE_SUBS:
	case PHASE_PUBS:
		if (since > (a->common.connect_timeout_ms + BENCH_READY_MS) * 1000000u) {
			run_failed(run, ERR_CONNECT, run->phase == PHASE_SUBS ?
				"the subscribers did not become live" :
				"the publishers did not become ready");
			run_quit(run);
		}
		break;
	case PHASE_RUN:
		if (run->job->role == BENCH_SUB) {
			if (all_came(run) || (all_ended(run) && quiet > a->drain_ms * 1000000u))
				set_phase(run, PHASE_LINGER);
			else if (run->progress && quiet > a->stall_ms * 1000000u)
				run_stalled(run);
		} else if (quiet > a->stall_ms * 1000000u + (idle ? gap_ns(run->job) : 0)) {
			run_stalled(run);
		}
		break;
	case PHASE_DRAIN:
		if (all_came(run))
			set_phase(run, PHASE_LINGER);
		else if (quiet > a->drain_ms * 1000000u)
			run_quit(run);
		break;
	case PHASE_LINGER:
		if (since > BENCH_LINGER_MS * 1000000u)
			run_quit(run);
		break;
	case PHASE_QUIT:
		if (since > BENCH_CLOSE_MS * UINT64_C(1000000))
			for (unsigned i = 0; i < run->nchildren; i++)
				if (run->children[i].pid && !run->children[i].killed) {
					run->children[i].killed = true;
					kill(run->children[i].pid, SIGKILL);
				}
		break;
	case PHASE_OVER:
		break;
	}
}

static void
run_reap(struct bench_run_state *run)
{
	bool any = false;

	for (unsigned i = 0; i < run->nchildren; i++) {
		struct bench_child *c = &run->children[i];
		struct rusage u;

		if (c->pid && (run->phase == PHASE_QUIT || c->closed) &&
		    wait4(c->pid, &c->status, WNOHANG, &u) == c->pid) {
			c->pid = 0;
			c->rss_kib = (uint64_t)u.ru_maxrss;
		}
		any = any || c->pid;
	}
	if (run->phase == PHASE_QUIT && !any) {
		set_phase(run, PHASE_OVER);
		loop_stop(run->loop);
	}
}

/* Something has happened: is it time for what comes next? */
static void
run_next(struct bench_run_state *run)
{
	const struct bench_job *job = run->job;
	bool failed = run->result->kind;

	if (run->phase < PHASE_RUN && failed)
		run_quit(run);
	if (run->phase == PHASE_MAKE && all_in_state(run, &worker_make, WORKER_READY)) {
		child_say(&run->children[run->nchildren - 1], WORD_QUIT);
		set_phase(run, PHASE_SUBS);
		start_all(run, &worker_sub, job->subs);
	}
	if (run->phase == PHASE_SUBS && all_in_state(run, &worker_sub, WORKER_READY)) {
		set_phase(run, PHASE_PUBS);
		start_all(run, &worker_pub, job->pubs);
	}
	if (run->phase == PHASE_PUBS && all_in_state(run, &worker_pub, WORKER_READY))
		run_begin(run);
	if (run->phase == PHASE_RUN && failed)
		run_stop(run);
	if (run->phase == PHASE_RUN && job->pubs && all_in_state(run, &worker_pub, WORKER_DONE)) {
		set_phase(run, PHASE_DRAIN);
		if (job->role != BENCH_BOTH)
			run_quit(run);
	}
	run_reap(run);
}

static void
tick_timer(struct loop_timer *t)
{
	struct bench_run_state *run = t->arg;

	run_look(run);
	run_next(run);
	loop_timer_set(run->loop, t, run->phase == PHASE_RUN ? 20 : BENCH_TICK_MS);
}

static void
deadline_timer(struct loop_timer *t)
{
	struct bench_run_state *run = t->arg;

	run_failed(run, ERR_TIMEOUT, "timed out (-W)");
	bench_interrupt(run);
}

void
bench_interrupt(struct bench_run_state *run)
{
	if (run->phase < PHASE_RUN || run->job->role == BENCH_SUB)
		run_quit(run);
	else
		run_stop(run);
}

/* ---- the whole ---- */

static struct bench_shared *
map_shared(size_t bytes, struct error *err)
{
	struct bench_shared *s = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct timespec t;

	if (s == MAP_FAILED) {
		error_sys(err, ERR_LOCAL_IO, "memory for %zu MiB of counters", bytes >> 20);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	s->stamp_offset = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - loop_clock_ns();
	return s;
}

static bool
makes_topics(const struct bench_job *job)
{
	return job->create && job->role != BENCH_SUB &&
		(job->common.ops->caps & BROKER_CREATE);
}

static void
run_workers(struct bench_run_state *run)
{
	run->tick = (struct loop_timer){ .fn = tick_timer, .arg = run };
	run->deadline = (struct loop_timer){ .fn = deadline_timer, .arg = run };
	run->interval = (struct loop_timer){ .fn = watch_timer, .arg = run };
	if (run->job->args->timeout_ms)
		loop_timer_set(run->loop, &run->deadline, run->job->args->timeout_ms);
	loop_timer_set(run->loop, &run->tick, BENCH_TICK_MS);
	set_phase(run, PHASE_SUBS);
	if (makes_topics(run->job)) {
		set_phase(run, PHASE_MAKE);
		start_all(run, &worker_make, 1);
	} else if (run->job->subs) {
		start_all(run, &worker_sub, run->job->subs);
	}
	run_next(run);
	if (run->phase != PHASE_OVER)
		loop_run(run->loop);
	loop_timer_clear(run->loop, &run->tick);
	loop_timer_clear(run->loop, &run->deadline);
	loop_timer_clear(run->loop, &run->interval);
}

void
bench_run(struct bench_run_state *run, struct loop *loop, const struct bench_job *job,
	const struct bench_watcher *watcher, void *arg, struct bench_result *result)
{
	unsigned n = job->subs + job->pubs + 1;
	struct error err;

	*run = (struct bench_run_state){ .loop = loop, .job = job, .result = result,
		.watcher = watcher, .arg = arg };
	run->shared_bytes = sizeof *run->shared + n * sizeof *run->shared->slots;
	run->shared = map_shared(run->shared_bytes, &err);
	if (!run->shared) {
		run_failed(run, err.kind, err.text);
		return;
	}
	run->children = xcalloc(n, sizeof *run->children);
	run->nchildren = n;
	run->now = xcalloc(1, sizeof *run->now);
	run->before = xcalloc(1, sizeof *run->before);
	run->part = xcalloc(1, sizeof *run->part);
	run_workers(run);
	bench_collect(run);
	for (unsigned i = 0; i < n; i++) {
		if (run->children[i].worker.kind)
			close(run->children[i].worker.runs_fd);
		if (run->children[i].watch.added) {
			loop_fd_del(loop, &run->children[i].watch);
			close(run->children[i].watch.fd);
		}
	}
	free(run->children);
	free(run->now);
	free(run->before);
	free(run->part);
	munmap(run->shared, run->shared_bytes);
	*run = (struct bench_run_state){ .phase = PHASE_OVER };
}

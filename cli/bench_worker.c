/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a worker, whatever its kind: connect, become ready, go, end; and the
 * words to and from the parent. See bench.h.
 */
#include "cli/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void
tell(struct bench_worker *w)
{
	char word = WORD_TELL;

	/* The parent has gone: its end of the socket says so, too. */
	if (send(w->control, &word, 1, MSG_NOSIGNAL) < 0)
		loop_stop(w->loop);
}

void
worker_ready(struct bench_worker *w)
{
	const char *address = broker_address(w->broker);
	const char *scheme = address ? strstr(address, "://") : NULL;

	snprintf(w->slot->address, sizeof w->slot->address, "%s", scheme ? scheme + 3 :
		address ? address : "");
	w->slot->state = WORKER_READY;
	tell(w);
}

void
worker_done(struct bench_worker *w)
{
	if (w->slot->state >= WORKER_DONE)
		return;
	worker_cpu_end(w);
	w->slot->state = WORKER_DONE;
	tell(w);
}

void
worker_failed(struct bench_worker *w, const struct error *err)
{
	if (w->slot->kind || w->quitting)
		return;
	snprintf(w->slot->text, sizeof w->slot->text, "%s", err->text);
	w->slot->kind = err->kind;
	tell(w);
}

static uint64_t
ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

void
worker_cpu_begin(struct bench_worker *w)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	w->user0_ns = ns_of(u.ru_utime);
	w->sys0_ns = ns_of(u.ru_stime);
}

void
worker_cpu_end(struct bench_worker *w)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	w->slot->user_ns = ns_of(u.ru_utime) - w->user0_ns;
	w->slot->sys_ns = ns_of(u.ru_stime) - w->sys0_ns;
}

struct bytes
job_topic(const struct bench_job *job, unsigned n, bool answers)
{
	static char name[600];
	int len;

	if (answers)
		len = snprintf(name, sizeof name, "%s.answers.%u", job->topic, n);
	else if (job->topics > 1)
		len = snprintf(name, sizeof name, "%s.%u", job->topic, n);
	else
		len = snprintf(name, sizeof name, "%s", job->topic);
	return bytes_of(name, (size_t)len);
}

void
bench_fill(char *p, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t x = UINT64_C(88172645463325252);

	/* Not to be compressed, and yet text. */
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = letters[x >> 58];
	}
}

/* ---- what is left behind ---- */

struct writing {
	struct bench_worker *w;
	struct run_record record;
	struct buf out;
};

static void
flush_runs(struct writing *wr)
{
	const char *p = buf_data(&wr->out);
	size_t n = buf_len(&wr->out);

	while (n) {
		ssize_t r = write(wr->w->runs_fd, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		p += r;
		n -= (size_t)r;
	}
	buf_clear(&wr->out);
}

static void
add_run(const struct bench_run *run, void *arg)
{
	struct writing *wr = arg;

	wr->record.run = *run;
	buf_add(&wr->out, &wr->record, sizeof wr->record);
	if (buf_len(&wr->out) > 64 * 1024)
		flush_runs(wr);
}

void
worker_write(struct bench_worker *w, enum run_what what, unsigned publisher,
	const struct bench_set *set)
{
	struct writing wr = { .w = w, .record = { .what = what, .publisher = publisher } };

	set_each(set, add_run, &wr);
	flush_runs(&wr);
	buf_release(&wr.out);
}

/* ---- words of the parent ---- */

static void
quit(struct bench_worker *w)
{
	w->quitting = true;
	loop_stop(w->loop);
}

static void
control_ready(struct loop_fd *f, unsigned ready)
{
	struct bench_worker *w = f->arg;
	char word;
	ssize_t n = recv(f->fd, &word, 1, MSG_DONTWAIT);

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || word == WORD_QUIT) {
		quit(w);
	} else if (word == WORD_GO) {
		w->going = true;
		w->slot->state = WORKER_RUNNING;
		w->kind->go(w);
	} else if (word == WORD_STOP && !w->stopping) {
		w->stopping = true;
		w->kind->stop(w);
	}
}

/* ---- what the broker says ---- */

static void
on_connected(struct broker *b, const struct error *err, void *arg)
{
	struct bench_worker *w = arg;

	(void)b;
	if (err)
		worker_failed(w, err);
	else
		w->kind->connected(w);
}

static void
on_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	worker_failed(arg, err);
}

static void
on_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct bench_worker *w = arg;

	(void)b;
	w->kind->outcome(w, o);
}

static void
on_room(struct broker *b, void *arg)
{
	struct bench_worker *w = arg;

	(void)b;
	w->kind->room(w);
}

static const struct broker_notify notify = {
	.connected = on_connected,
	.failed = on_failed,
	.outcome = on_outcome,
	.room = on_room,
};

static int
run_loop(struct bench_worker *w, struct error *err)
{
	const struct bench_args *a = w->job->args;
	struct common_args *common = (struct common_args *)&w->job->common;

	w->opts.notify = &notify;
	w->opts.notify_arg = w;
	w->opts.timeout_ms = (unsigned)(a->stall_ms + 5000);
	w->opts.window_bytes = 4 * 1024 * 1024;
	w->opts.create = w->job->create;
	w->kind->prepare(w);
	w->watch = (struct loop_fd){ .fn = control_ready, .arg = w };
	if (loop_fd_add(w->loop, &w->watch, w->control, LOOP_READ, err) < 0)
		return -1;
	w->broker = common_open(common, w->loop, &w->opts, err);
	if (!w->broker)
		return -1;
	snprintf(w->slot->broker, sizeof w->slot->broker, "%s", w->broker->ops->name);
	if (w->opts.wire == WIRE_RAW && !(w->broker->caps & BROKER_RAW))
		return error_set(err, ERR_NOTFOUND, "the %s broker has no --wire raw: everybody on "
			"it speaks go-micro's", w->broker->ops->name);
	if (broker_connect(w->broker, err) < 0)
		return -1;
	return 0;
}

int
worker_main(struct bench_worker *w)
{
	struct error err = ERROR_INIT;

	w->loop = loop_new(&err);
	if (!w->loop) {
		snprintf(w->slot->text, sizeof w->slot->text, "%s", err.text);
		w->slot->kind = err.kind;
		return 1;
	}
	worker_cpu_begin(w);
	if (run_loop(w, &err) < 0)
		worker_failed(w, &err);
	if (!w->quitting)
		loop_run(w->loop);
	if (w->slot->state < WORKER_DONE)
		worker_cpu_end(w);
	w->quitting = true;
	w->kind->write_runs(w);
	w->slot->state = WORKER_ENDED;
	common_close(w->broker, &w->opts);
	w->kind->release(w);
	loop_fd_del(w->loop, &w->watch);
	loop_free(w->loop);
	close(w->control);
	close(w->runs_fd);
	return 0;
}

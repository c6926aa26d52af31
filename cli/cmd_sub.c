/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus sub: prints events.
 *
 * The story of an event: the broker calls sub_event(), which formats it into the
 * output buffer; the buffer is written when 64 KiB are in it or nothing more is
 * ready to be read; what has been written is acknowledged, a whole batch in one
 * call, by the task sub_settle(), which runs outside of the broker's callbacks.
 * That task is also the one place that decides whether the run is over.
 */
#include "cli/sub_impl.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/heed.h"
#include "cli/position.h"
#include "cli/ready.h"

enum {
	SUB_DRAIN_MS = 1000,		/* for a reader that is slow, when the run ends */
	SUB_EXEC_DRAIN_MS = 10000,	/* for commands that still run then */
	SUB_TORN_MS = 5000		/* more, for the rest of an event that is partly out */
};

/* ---- being ready ---- */

static void
sub_reap(int signo, void *arg)
{
	struct sub *s = arg;

	(void)signo;
	ready_reap(&s->ready_pid);
	if (s->exec)
		sub_exec_reap(s->exec);
}

static void
sub_banner(struct sub *s)
{
	const char *address = broker_address(s->broker);
	struct buf names = BUF_INIT;

	for (size_t i = 0; i < s->args->topics.n; i++) {
		if (i)
			buf_add_str(&names, ", ");
		buf_add_str(&names, s->args->topics.v[i]);
	}
	log_verbose("subscribed to %s%s%s (%s%s%s)", buf_cstr(&names),
		s->args->group ? ", group " : "", s->args->group ? s->args->group : "",
		s->broker->ops->name, address ? " " : "", address ? address : "");
	buf_release(&names);
}

/* While the reader of the output holds us up, what has come is not known. */
static void
sub_quiet(struct loop_timer *t)
{
	struct sub *s = t->arg;
	uint64_t idle_ns = s->args->idle_ms * 1000000, now = loop_clock_ns();

	if (s->paused || output_pending(&s->out) || sub_commands(s) || s->counted != s->printed)
		s->counted_ns = now;
	if (now - s->counted_ns >= idle_ns)
		sub_end(s, ERR_NONE);
	else
		loop_timer_set_at(s->loop, t, s->counted_ns + idle_ns);
}

/* Every subscription is live: say so to whoever waits for it. */
static void
sub_ready(struct sub *s)
{
	if (log_level >= LOG_VERBOSE)
		sub_banner(s);
	s->ready_pid = ready_tell(s->args->ready_fd, s->args->ready);
	s->counted_ns = loop_clock_ns();
	if (s->args->idle_ms)
		sub_quiet(&s->quiet);
	if (s->args->check)
		sub_end(s, ERR_NONE);
	else if (s->out.over)		/* since before */
		loop_defer(s->loop, &s->settle);
}

static void
sub_subscribed(struct subscription *sub, const struct error *err, void *arg)
{
	struct sub *s = arg;
	struct error e;

	if (err) {
		e = *err;
		error_prefix_bytes(&e, sub->topic);
		sub_fail(s, &e);
	} else if (++s->nlive == s->ntopics && !s->ending) {
		sub_ready(s);
	}
}

/* With -e: all that was there of one topic has come. */
static void
sub_ended(struct subscription *sub, void *arg)
{
	struct sub *s = arg;

	(void)sub;
	if (++s->nended == s->ntopics)
		sub_end(s, ERR_NONE);
}

/* ---- the run ---- */

static void
sub_connected(struct broker *b, const struct error *err, void *arg)
{
	struct sub *s = arg;
	struct error e;

	if (err) {
		sub_fail(s, err);
		return;
	}
	s->listening = true;
	for (size_t i = 0; i < s->ntopics && !s->ending; i++) {
		struct bytes topic = bytes_str(s->args->topics.v[i]);

		if (!broker_subscribe(b, topic, &s->how, sub_event, sub_subscribed, s, &e)) {
			error_prefix_bytes(&e, topic);
			sub_fail(s, &e);
		}
	}
}

static void
sub_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	sub_fail(arg, err);
}

static const struct broker_notify sub_notify = {
	.connected = sub_connected,
	.failed = sub_failed,
};

/* No event is taken any more, but what was taken should still come out; a
 * reader that does not read cannot keep the program for ever. */
static void
sub_hurry(struct sub *s, enum error_kind kind)
{
	loop_timer_set(s->loop, &s->drain, s->exec ? SUB_EXEC_DRAIN_MS : SUB_DRAIN_MS);
	sub_end(s, kind);
	if (s->exec)
		sub_exec_stop(s->exec);
}

static void
sub_give_up(struct sub *s)
{
	log_error("stdout is full: the last event is cut off, %zu of its bytes were not written",
		output_pending(&s->out));
	s->cut = true;
	s->kind = error_graver(s->kind, ERR_LOCAL_IO);
	loop_stop(s->loop);
}

/* The reader stands still. What is partly out has to go out, or somebody takes a piece
 * of an event for an event; what is behind it is dropped, and not acknowledged. */
static void
sub_drained(struct loop_timer *t)
{
	struct sub *s = t->arg;
	size_t pending = output_pending(&s->out), keep, dropped;
	uint64_t position;

	if (sub_commands(s)) {
		log_error("%zu commands had not ended: their events are given back",
			sub_commands(s));
		s->kind = error_graver(s->kind, ERR_REFUSED);
		loop_stop(s->loop);
		return;
	}
	if (s->out.over || !pending)
		return;
	if (s->torn) {
		sub_give_up(s);
		return;
	}
	sub_ack(s);
	dropped = ends_cut(&s->ends, s->out.written, &position);
	keep = (size_t)(position - s->out.written);
	s->last = s->ends.n ? s->ends.v[s->ends.n - 1].event : s->ends.whole;
	buf_truncate(&s->out.buf, keep);
	if (dropped) {
		log_warn("stdout is full: %zu events (%zu bytes) were not written", dropped,
			pending - keep);
		s->cut = true;
		if (!s->interrupt.signo)
			s->kind = error_graver(s->kind, ERR_TIMEOUT);
	}
	s->torn = true;
	if (keep)
		loop_timer_set(s->loop, t, SUB_TORN_MS);
	else
		loop_stop(s->loop);
}

static void
sub_deadline(struct loop_timer *t)
{
	struct sub *s = t->arg;
	uint64_t count = s->args->count;

	if (s->ending) {	/* only the reader is awaited any more */
		sub_hurry(s, ERR_NONE);
		return;
	}
	if (s->nlive < s->ntopics)
		log_error("timed out before the subscription was live");
	else if (!s->printed)
		log_error("timed out: no event");
	else if (count)
		log_error("timed out: %llu of %llu events", (unsigned long long)s->printed,
			(unsigned long long)count);
	else if (sub_is_short(s))
		log_error("timed out before the end");
	sub_hurry(s, sub_is_short(s) || !s->printed ? ERR_TIMEOUT : ERR_NONE);
}

static void
sub_interrupted(struct interrupt *i)
{
	sub_hurry(i->arg, ERR_NONE);
}

/* 0 when the run went its way, whatever came of it: s->kind says. */
static int
sub_loop(struct sub *s, struct error *err)
{
	struct sub_args *a = s->args;

	s->interrupt = (struct interrupt){ .fn = sub_interrupted, .arg = s };
	s->out.progress = sub_progress;
	s->out.arg = s;
	if (interrupt_watch(&s->interrupt, s->loop, err) < 0 ||
	    ((a->ready || a->exec.command) && loop_signal(s->loop, SIGCHLD, sub_reap, s, err) < 0) ||
	    output_open(&s->out, s->loop, STDOUT_FILENO, "stdout", err) < 0)
		return -1;
	s->opts.reconnect = -1;
	s->opts.use = a->exec.on_fail || a->exec.reply ? BROKER_FOR_PUB : 0;
	s->opts.notify = &sub_notify;
	s->opts.notify_arg = s;
	s->broker = common_open(&a->common, s->loop, &s->opts, err);
	if (!s->broker)
		return -1;
	s->format.broker = s->filter.broker = s->broker->ops->name;
	s->format.terminal = isatty(STDOUT_FILENO);
	s->format.color = common_color(&a->common, STDOUT_FILENO);
	if (sub_save_open(&s->save, a->save, a->tee, s->format.broker, err) < 0)
		return -1;
	if (a->exec.command)
		s->exec = sub_exec_new(&a->common, &a->exec, s->loop, s->format.broker, sub_settled,
			sub_exec_failed, s);
	if (a->stats_ms)
		s->stats = sub_stats_new(s->loop, a->stats_ms, !s->silent);
	if (a->timeout_ms)
		loop_timer_set(s->loop, &s->deadline, a->timeout_ms);
	if (broker_connect(s->broker, err) < 0)
		return -1;
	loop_run(s->loop);
	return 0;
}

static void
sub_close(struct sub *s)
{
	enum error_kind kind;
	struct error err;

	sub_stats_free(s->stats);
	sub_exec_free(s->exec);
	s->exec = NULL;
	if (s->unexpected > 1)
		log_error("%llu of %llu events are not as --expect says",
			(unsigned long long)s->unexpected, (unsigned long long)s->printed);
	if (sub_save_close(&s->save, &err) < 0) {
		log_error("%s", err.text);
		s->kind = error_graver(s->kind, err.kind);
	}
	loop_timer_clear(s->loop, &s->deadline);
	loop_timer_clear(s->loop, &s->drain);
	loop_timer_clear(s->loop, &s->quiet);
	sub_ack(s);
	kind = s->kind;		/* what happens while the broker closes does not count */
	common_close(s->broker, &s->opts);
	s->kind = kind;
	output_close(&s->out);
	ends_release(&s->ends);
	loop_idle_del(s->loop, &s->idle);
	loop_task_cancel(&s->settle);
	loop_free(s->loop);
}

/* What the broker is asked for. */
static int
sub_how(struct sub *s, struct error *err)
{
	const struct sub_args *a = s->args;

	s->how = subscribe_defaults;
	s->how.group = a->group;
	s->how.ack = (enum subscribe_ack)a->ack;
	s->how.qos = (int)a->qos;
	s->how.partition = a->partition;
	s->how.no_retained = a->no_retained;
	s->how.regex = a->regex;
	s->how.no_headers = !sub_output_wants_headers(&s->format) &&
		!sub_filter_wants_headers(&s->filter) && !a->save;
	s->silent = (a->stats_ms || a->exec.command) && !sub_output_is_chosen(&a->output);
	s->plain = !a->stats_ms && !a->exec.command && !a->save && !a->tee && !s->filter.on &&
		!s->filter.expect;
	if (s->silent && a->tee)
		return error_set(err, ERR_USAGE, "--tee writes what is printed, and with %s that is "
			"nothing: %s", a->exec.command ? "-x" : "--stats alone", a->exec.command ?
			"--save keeps events" : "choose an output, or --save");
	if (a->exec.command && sub_output_is_chosen(&a->output))
		return error_set(err, ERR_USAGE, "-x and an output: with -x the command is what "
			"prints (it has the event on descriptor 3)");
	if (!a->exec.command && (a->exec.jobs || a->exec.retries || a->exec.timeout_ms ||
	    a->exec.on_fail || a->exec.reply))
		return error_set(err, ERR_USAGE, "-j, --retry, --exec-timeout, --on-fail and --reply go "
			"with -x CMD");
	for (size_t i = 0; i < a->offsets.n; i++)
		if (position_parse(a->offsets.v[i], &s->how.from, &s->how.until, err) < 0)
			return -1;
	if (a->end || s->how.until.kind)
		s->how.ended = sub_ended;
	return 0;
}

static int
sub_start_run(struct sub *s, struct error *err)
{
	int r;

	s->loop = loop_new(err);
	if (!s->loop)
		return -1;
	s->settle = (struct loop_task){ .fn = sub_settle, .arg = s };
	s->idle = (struct loop_idle){ .fn = sub_idle, .arg = s };
	s->deadline = (struct loop_timer){ .fn = sub_deadline, .arg = s };
	s->drain = (struct loop_timer){ .fn = sub_drained, .arg = s };
	s->quiet = (struct loop_timer){ .fn = sub_quiet, .arg = s };
	loop_idle_add(s->loop, &s->idle);
	r = sub_loop(s, err);
	sub_close(s);
	return r;
}

static int
sub_run(void *args, int noperands, char **operands, struct error *err)
{
	struct sub_args *a = args;
	struct sub s = { .args = a, .save = { .dir = -1, .tee = -1 } };
	int r;

	r = common_url(&a->common, err);
	if (r == 0)
		r = sub_options_topics(a, noperands, operands, err);
	if (r == 0)
		r = sub_output_choose(&a->output, &s.format, err);
	if (r == 0 && s.format.format != &format_text && heed_given(&a->common, "max-body"))
		r = error_set(err, ERR_USAGE, "--max-body is for the default output; the others "
			"have all of a body");
	if (r == 0)
		r = sub_filter_init(&s.filter, &a->filter, err);
	if (r == 0)
		r = sub_how(&s, err);
	if (r == 0)
		r = common_prepare(&a->common, err);
	s.ntopics = a->topics.n;
	if (r == 0)
		r = sub_start_run(&s, err);
	sub_output_release(&s.format);
	sub_filter_release(&s.filter);
	if (a->output.delim)
		free((char *)s.format.end.p);
	if (r < 0)
		return -1;
	/* Interrupted with a task unfinished, the shell is to see a signal. */
	if (s.interrupt.signo && (sub_is_short(&s) || (a->count && s.cut)) && !s.kind)
		interrupt_die(s.interrupt.signo);
	return error_exit_status(s.kind);
}

const struct command cmd_sub = {
	.name = "sub",
	.summary = "print the events of topics",
	.synopsis = "[OPTION...] TOPIC...",
	.many_topics = true,
	.opts = sub_opts,
	.args_size = sizeof(struct sub_args),
	.uses = USE_BROKER | USE_SERVER | USE_CONNECT | USE_EVENTS | USE_REGISTRY | USE_LISTEN,
	.broker_use = BROKER_FOR_SUB,
	.notes = "Ends by -c, -W, -e, -w, a signal, or when the reader of its output has gone.",
	.examples = "  mbus sub orders\n"
		"  mbus sub -J orders > orders.jsonl\n"
		"  mbus sub -f '%T{%H:%M:%S} %t %{header:id} %s\\n' orders\n"
		"  mbus sub --body -c 1 -W 5 replies --ready 'mbus pub requests ping'\n",
	.run = sub_run,
};

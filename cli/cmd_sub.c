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
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/ends.h"
#include "cli/heed.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/position.h"
#include "cli/ready.h"
#include "cli/sub_options.h"
#include "cli/sub_save.h"
#include "cli/sub_stats.h"

enum {
	SUB_PENDING_MAX = 256 * 1024,	/* more unwritten output: reading is paused */
	SUB_DRAIN_MS = 1000,		/* for a reader that is slow, when the run ends */
	SUB_EXEC_DRAIN_MS = 10000,	/* for commands that still run then */
	SUB_TORN_MS = 5000		/* more, for the rest of an event that is partly out */
};

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

/* ---- output and acknowledgement ---- */

static void
sub_end(struct sub *s, enum error_kind kind)
{
	s->kind = error_graver(s->kind, kind);
	s->ending = true;
	loop_defer(s->loop, &s->settle);
}

static void
sub_fail(struct sub *s, const struct error *err)
{
	if (!s->ending)
		log_error("%s", err->text);
	sub_end(s, err->kind);
}

/* What --tee wants is in its file before the event may be acknowledged. */
static void
sub_flush_tee(struct sub *s)
{
	struct error err;

	if (!buf_len(&s->save.printed) || sub_save_flush(&s->save, &err) == 0)
		return;
	log_error("%s", err.text);
	sub_end(s, err.kind);
}

/* Writes what is there and remembers up to which event that is. */
static void
sub_flush(struct sub *s)
{
	sub_flush_tee(s);
	if (!output_pending(&s->out) || s->out.over)
		return;
	output_flush(&s->out);
	if (!output_pending(&s->out))
		ends_all(&s->ends);
}

static void
sub_ack(struct sub *s)
{
	uint64_t last;

	ends_written(&s->ends, s->out.written);
	/* Also those of which nothing is printed. */
	last = output_pending(&s->out) || s->out.over ? s->ends.whole : s->last;
	if (last <= s->acked || s->exec)
		return;
	broker_ack(s->broker, s->acked + 1, last, true);
	s->acked = last;
}

static void
sub_pause(struct sub *s, bool on)
{
	if (s->paused != on && s->listening) {
		s->paused = on;
		broker_pause(s->broker, on);
	}
}

/* Of -x: how many events are still with a command. */
static size_t
sub_commands(const struct sub *s)
{
	return s->exec ? sub_exec_count(s->exec) : 0;
}

/* What -c or -e asks for has not come yet. */
static bool
sub_is_short(const struct sub *s)
{
	if (s->args->count && s->printed >= s->args->count)
		return false;
	return s->args->count || (s->how.ended && s->nended < s->ntopics);
}

/* Nobody reads on. That ends a run without an end; another has not done what it was
 * asked for. */
static void
sub_gone(struct sub *s)
{
	bool unread = sub_is_short(s) ||
		((s->args->count || s->how.ended) && output_pending(&s->out));

	s->gone = true;
	if (s->out.error.kind)
		log_error("%s", s->out.error.text);
	else if (unread)
		log_error("the reader of stdout has gone before %s",
			s->args->count ? "-c was reached" : "the end");
	sub_end(s, s->out.error.kind ? s->out.error.kind : unread ? ERR_REFUSED : ERR_NONE);
}

static void
sub_settle(struct loop_task *t)
{
	struct sub *s = t->arg;

	if (s->ending)
		sub_flush(s);
	sub_ack(s);
	/* A reader counts from when there may be something to read; also when the run
	 * ends anyway, for what -c asked for was then not printed. */
	if (s->out.over && !s->gone && s->nlive == s->ntopics && !s->args->check)
		sub_gone(s);
	if (s->ending && (s->out.over || !output_pending(&s->out)) && !sub_commands(s))
		loop_stop(s->loop);
	else if (s->ending || output_pending(&s->out) > SUB_PENDING_MAX ||
	    (s->exec && sub_exec_is_full(s->exec)))
		sub_pause(s, true);
	else if (!output_pending(&s->out))
		sub_pause(s, false);
}

static void
sub_progress(struct output *o)
{
	struct sub *s = o->arg;

	loop_defer(s->loop, &s->settle);
}

/* Also the moment at which --idle sees that something has come: once a batch, so
 * that no event costs a look at the clock. */
static void
sub_idle(struct loop_idle *h)
{
	struct sub *s = h->arg;

	if (s->counted != s->printed) {
		s->counted = s->printed;
		s->counted_ns = loop_now_ns(s->loop);
	}
	sub_flush(s);
	/* Events of which nothing is printed are settled, too. */
	if (s->last != s->acked && !output_pending(&s->out))
		loop_defer(s->loop, &s->settle);
}

/* Into the output, and to wherever else. -1: some copy could not be kept. */
static int
sub_print(struct sub *s, const struct event *ev, struct error *err)
{
	size_t before = output_pending(&s->out);

	if (s->plain) {
		format_add(&s->format, &s->out.buf, ev, s->printed);
		return 0;
	}
	if (sub_save_event(&s->save, ev, s->printed, err) < 0)
		return -1;
	if (s->exec) {
		sub_exec_take(s->exec, ev, s->printed);
		if (sub_exec_is_full(s->exec))
			loop_defer(s->loop, &s->settle);
	}
	if (s->silent)
		return 0;
	format_add(&s->format, &s->out.buf, ev, s->printed);
	return sub_save_printed(&s->save, bytes_of(buf_data(&s->out.buf) + before,
		output_pending(&s->out) - before), err);
}

/* With -x events are settled as their commands end. One that is given back comes again,
 * to somebody; a broker with offsets cannot give one back, so that no more are taken. */
static void
sub_settled(uint64_t number, bool ok, void *arg)
{
	struct sub *s = arg;

	broker_ack(s->broker, number, number, ok);
	if (!ok && !(s->ending && s->interrupt.signo)) {
		s->kind = error_graver(s->kind, ERR_REFUSED);
		if (s->broker->caps & BROKER_PARTITION)
			sub_end(s, ERR_REFUSED);
	}
	loop_defer(s->loop, &s->settle);
}

static void
sub_exec_failed(const struct error *err, void *arg)
{
	sub_fail(arg, err);
}

static void
sub_judge(struct sub *s, const struct event *ev)
{
	if (sub_filter_expected(&s->filter, ev))
		return;
	if (!s->unexpected++)
		log_error("event %llu is not as --expect says", (unsigned long long)s->printed);
	s->kind = error_graver(s->kind, ERR_REFUSED);
}

/* Which form it was that --wire auto found. */
static void
sub_tell_wire(struct sub *s, const struct event *ev)
{
	s->wires |= 1u << ev->wire;
	log_verbose("%.*s: %s", BYTES_FMT(ev->topic), ev->wire == EVENT_WIRE_MICRO ?
		"events come in go-micro's envelope" : "events come as bare bodies");
}

static enum handled
sub_event(struct subscription *sub, const struct event *ev, void *arg)
{
	struct sub *s = arg;
	struct error err;

	(void)sub;
	if (s->ending)
		return EVENT_DROPPED;
	if (!s->plain && !sub_filter_passes(&s->filter, ev)) {
		s->last = ev->number;
		/* Nobody else settles it with -x; broker_ack() may not be called from here. */
		if (s->exec)
			sub_exec_skip(s->exec, ev);
		return EVENT_TAKEN;
	}
	s->printed++;
	if (sub_print(s, ev, &err) < 0) {
		sub_fail(s, &err);
		return EVENT_DROPPED;
	}
	if (!s->plain) {
		if (s->stats)
			sub_stats_count(s->stats, ev);
		sub_judge(s, ev);
	}
	s->last = ev->number;
	if (log_level >= LOG_VERBOSE && !(s->wires & 1u << ev->wire))
		sub_tell_wire(s, ev);
	ends_add(&s->ends, output_position(&s->out), ev->number);
	if (output_pending(&s->out) >= OUTPUT_BATCH) {
		sub_flush(s);
		if (output_pending(&s->out) > SUB_PENDING_MAX)
			loop_defer(s->loop, &s->settle);
	}
	if (s->printed == s->args->count)
		sub_end(s, ERR_NONE);
	return EVENT_TAKEN;
}

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

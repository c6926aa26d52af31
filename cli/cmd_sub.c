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

#include "cli/cli.h"
#include "cli/delim.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/position.h"
#include "cli/ready.h"

enum {
	SUB_PENDING_MAX = 256 * 1024,	/* more unwritten output: reading is paused */
	SUB_DRAIN_MS = 1000,		/* for a reader that is slow, when the run ends */
	SUB_MARKS = 8
};

struct sub_args {
	struct common_args common;
	struct opt_list topics, offsets;
	const char *group, *ready, *delim;
	uint64_t count, timeout_ms, idle_ms, max_body;
	int64_t qos;
	int ready_fd, ack;
	bool json, body, raw, end, check, no_retained, no_newline, nul;
};

/* Once this much of the output is written, the events up to this number are. */
struct sub_mark {
	uint64_t position, event;
};

struct sub {
	struct sub_args *args;
	struct subscribe_options how;
	struct loop *loop;
	struct broker *broker;
	struct broker_options opts;
	struct output out;
	struct formatter format;
	uint64_t printed;		/* events formatted */
	uint64_t last, acked;		/* their last number; the last acknowledged */
	struct sub_mark marks[SUB_MARKS];
	unsigned nmarks;
	size_t ntopics, nlive, nended;
	bool ending;			/* no more events are taken */
	bool paused, listening;
	bool cut;			/* some output was left unwritten */
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

/* Writes what is there and remembers up to which event that is. */
static void
sub_flush(struct sub *s)
{
	if (!output_pending(&s->out) || s->out.over)
		return;
	if (!s->nmarks || s->marks[s->nmarks - 1].event != s->last) {
		/* With a reader so slow, less exactly: the newest two become one. */
		if (s->nmarks == SUB_MARKS)
			s->nmarks--;
		s->marks[s->nmarks++] =
			(struct sub_mark){ output_position(&s->out), s->last };
	}
	output_flush(&s->out);
}

static void
sub_ack(struct sub *s)
{
	unsigned n = 0;
	uint64_t last = s->acked;

	while (n < s->nmarks && s->marks[n].position <= s->out.written)
		last = s->marks[n++].event;
	/* When the reader makes room again, all leaves that has come meanwhile, also
	 * behind the last mark. */
	if (!output_pending(&s->out) && !s->out.over)
		last = s->last;
	if (last == s->acked)
		return;
	broker_ack(s->broker, s->acked + 1, last, true);
	s->acked = last;
	s->nmarks -= n;
	memmove(s->marks, s->marks + n, s->nmarks * sizeof *s->marks);
}

static void
sub_pause(struct sub *s, bool on)
{
	if (s->paused != on && s->listening) {
		s->paused = on;
		broker_pause(s->broker, on);
	}
}

static void
sub_settle(struct loop_task *t)
{
	struct sub *s = t->arg;

	if (s->ending)
		sub_flush(s);
	sub_ack(s);
	/* Also when the run ends anyway: what -c asked for was then not printed. */
	if (s->out.over && !s->gone) {
		s->gone = true;
		if (s->out.error.kind)
			log_error("%s", s->out.error.text);
		sub_end(s, s->out.error.kind);
	}
	if (s->ending && (s->out.over || !output_pending(&s->out)))
		loop_stop(s->loop);
	else if (s->ending || output_pending(&s->out) > SUB_PENDING_MAX)
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
}

static enum handled
sub_event(struct subscription *sub, const struct event *ev, void *arg)
{
	struct sub *s = arg;

	(void)sub;
	if (s->ending)
		return EVENT_DROPPED;
	format_add(&s->format, &s->out.buf, ev, ++s->printed);
	s->last = ev->number;
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

	if (s->paused || output_pending(&s->out) || s->counted != s->printed)
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
	loop_timer_set(s->loop, &s->drain, SUB_DRAIN_MS);
	sub_end(s, kind);
}

static void
sub_drained(struct loop_timer *t)
{
	struct sub *s = t->arg;

	if (s->out.over || !output_pending(&s->out))
		return;
	log_warn("stdout is full: %zu bytes were not written", output_pending(&s->out));
	s->cut = true;
	if (!s->interrupt.signo)
		s->kind = error_graver(s->kind, ERR_TIMEOUT);
	loop_stop(s->loop);
}

/* What -c or -e asks for has not come yet. */
static bool
sub_is_short(const struct sub *s)
{
	if (s->args->count && s->printed >= s->args->count)
		return false;
	return s->args->count || (s->how.ended && s->nended < s->ntopics);
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
	    (a->ready && loop_signal(s->loop, SIGCHLD, sub_reap, s, err) < 0) ||
	    output_open(&s->out, s->loop, STDOUT_FILENO, "stdout", err) < 0)
		return -1;
	s->opts.reconnect = -1;
	s->opts.notify = &sub_notify;
	s->opts.notify_arg = s;
	s->broker = common_open(&a->common, s->loop, &s->opts, err);
	if (!s->broker)
		return -1;
	s->format.broker = s->broker->ops->name;
	s->format.terminal = isatty(STDOUT_FILENO);
	s->format.color = common_color(&a->common, STDOUT_FILENO);
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
	loop_timer_clear(s->loop, &s->deadline);
	loop_timer_clear(s->loop, &s->drain);
	loop_timer_clear(s->loop, &s->quiet);
	common_close(s->broker, &s->opts);
	output_close(&s->out);
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
	s->how.no_retained = a->no_retained;
	s->how.no_headers = a->body || a->raw;
	for (size_t i = 0; i < a->offsets.n; i++)
		if (position_parse(a->offsets.v[i], &s->how.from, &s->how.until, err) < 0)
			return -1;
	if (a->end || s->how.until.kind)
		s->how.ended = sub_ended;
	return 0;
}

static int
sub_format(struct sub *s, struct error *err)
{
	const struct sub_args *a = s->args;

	if (a->json + a->body + a->raw > 1)
		return error_set(err, ERR_USAGE, "only one of --json, --body, --raw");
	if ((a->delim != NULL) + a->nul + a->no_newline > 1)
		return error_set(err, ERR_USAGE, "only one of -D, -0, -N");
	if ((a->delim || a->nul || a->no_newline) && !(a->json || a->body || a->raw))
		return error_set(err, ERR_USAGE, "-D, -0 and -N go with --body, --raw or -J");
	s->format.format = a->json ? &format_json : a->body ? &format_body :
		a->raw ? &format_raw : &format_text;
	s->format.max_body = a->max_body;
	if (a->nul)
		s->format.end = bytes_of("", 1);
	else if (a->no_newline)
		s->format.end = BYTES("");
	return a->delim ? delim_parse("-D", a->delim, &s->format.end, err) : 0;
}

static int
sub_topics(struct sub_args *a, int noperands, char **operands, struct error *err)
{
	size_t n = a->topics.n, more = noperands > 0 ? (size_t)noperands : 1;

	if (noperands || (!n && a->common.topic)) {
		a->topics.v = xrealloc(a->topics.v, (n + more) * sizeof *a->topics.v);
		if (!noperands)
			a->topics.v[n++] = a->common.topic;
		for (int i = 0; i < noperands; i++)
			a->topics.v[n++] = operands[i];
		a->topics.n = n;
	}
	if (!n)
		return error_set(err, ERR_USAGE, "which topic?");
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(a->topics.v[i], a->topics.v[j]) == 0)
				return error_set(err, ERR_USAGE, "topic %s is given twice",
					opt_shown(a->topics.v[i]));
	if (a->ready_fd > STDERR_FILENO)
		fcntl(a->ready_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int
sub_start_run(struct sub *s, struct error *err)
{
	enum error_kind kind;
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
	kind = s->kind;		/* what happens while it closes does not count */
	sub_close(s);
	s->kind = kind;
	return r;
}

static int
sub_run(void *args, int noperands, char **operands, struct error *err)
{
	struct sub_args *a = args;
	struct sub s = { .args = a };
	int r;

	r = common_url(&a->common, err);
	if (r == 0)
		r = sub_topics(a, noperands, operands, err);
	if (r == 0)
		r = sub_how(&s, err);
	if (r == 0)
		r = sub_format(&s, err);
	if (r == 0)
		r = common_prepare(&a->common, err);
	s.ntopics = a->topics.n;
	if (r == 0)
		r = sub_start_run(&s, err);
	if (a->delim)
		free((char *)s.format.end.p);
	if (r < 0)
		return -1;
	/* Interrupted with a task unfinished, the shell is to see a signal. */
	if (s.interrupt.signo && (sub_is_short(&s) || (a->count && s.cut)) && !s.kind)
		interrupt_die(s.interrupt.signo);
	return error_exit_status(s.kind);
}

#define A struct sub_args

static const struct opt sub_opts[] = {
	{ "topic", 't', OPT_LIST(A, topics), .arg = "TOPIC", .group = "What",
		.help = "subscribe to TOPIC, as the operands do; may be repeated" },
	{ "group", 'g', OPT_STR(A, group), .arg = "NAME", .aliases = "G queue",
		.help = "share the events with the other members of group NAME (go-micro's "
			"queue): each event goes to one of them" },
	{ "offset", 'o', OPT_LIST(A, offsets), .arg = "POS",
		.help = "begin at beginning, end, stored (where the group stopped), N, -N (the "
			"last N), s@T or an id; e@T: end at T (milliseconds, or RFC 3339)" },
	{ "qos", 0, OPT_INT(A, qos), .arg = "0|1|2", .max = 2,
		.help = "the highest quality of service to deliver with" },
	{ "no-retained", 'R', OPT_FLAG(A, no_retained),
		.help = "not the events that the broker has kept, new ones only" },
	{ "ack", 0, OPT_CHOICE(A, ack), .arg = "WHEN", .choices = "auto|after-write|none",
		.def = "auto", .help = "acknowledge an event when it is written (auto: where the "
			"broker can be told), or not" },
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .aliases = "C", .min = 1,
		.group = "When to end",
		.help = "after N events" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .min = 1,
		.help = "after this time, whatever has come: status 124 if no event or fewer "
			"than -c asked for were printed" },
	{ "end", 'e', OPT_FLAG(A, end),
		.help = "when all has come that was there at the beginning" },
	{ "idle", 'w', OPT_DUR(A, idle_ms), .arg = "DUR", .min = 1,
		.max = UINT64_C(1000) * 86400 * 365,
		.help = "when nothing has come for this time" },
	{ "check", 0, OPT_FLAG(A, check), .help = "when every subscription is live" },
	{ "json", 'J', OPT_FLAG(A, json), .group = "Output (one of)",
		.help = "one line of JSON an event, which pub -J reads" },
	{ "body", 0, OPT_FLAG(A, body), .help = "the body and a newline" },
	{ "raw", 0, OPT_FLAG(A, raw), .help = "the bytes of the body, and nothing else" },
	{ "delim", 'D', OPT_STR(A, delim), .arg = "STR",
		.help = "STR and not a newline behind each event (\\n, \\t, \\0, \\xHH are "
			"read); behind those of --raw, too" },
	{ "null-delim", '0', OPT_FLAG(A, nul), .help = "the same with a NUL" },
	{ "no-newline", 'N', OPT_FLAG(A, no_newline), .help = "nothing behind each event" },
	{ "max-body", 0, OPT_SIZE(A, max_body), .arg = "SIZE", .def = "4096", .flags = OPT_ALL,
		.help = "show so much of a body in the default output; all shows all" },
	{ "ready", 0, OPT_STR(A, ready), .arg = "CMD", .group = "Being live",
		.help = "run CMD by /bin/sh once every subscription is live" },
	{ "ready-fd", 0, OPT_FD(A, ready_fd), .arg = "FD",
		.help = "write the line \"ready\" to this descriptor then, and close it" },
	{ NULL }
};

const struct command cmd_sub = {
	.name = "sub",
	.summary = "print the events of topics",
	.synopsis = "[OPTION...] TOPIC...",
	.opts = sub_opts,
	.args_size = sizeof(struct sub_args),
	.notes = "Ends by -c, -W, -e, -w, a signal, or when the reader of its output has gone.",
	.examples = "  mbus sub orders\n"
		"  mbus sub -J orders > orders.jsonl\n"
		"  mbus sub --body -c 1 -W 5 replies --ready 'mbus pub requests ping'\n",
	.run = sub_run,
};

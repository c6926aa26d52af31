/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus pub: publishes events and says what became of each.
 *
 * The story of an event: pub_pump() takes the next one from the source
 * (cli/pub_source.h), by way of cli/pub_flow.h, and gives it to the broker; when the broker's window is full
 * the event waits in p->next, and with it the source, until there is room. Each
 * event ends in exactly one of confirmed, refused and unknown; the run is over
 * when the source is dry and every event has its end.
 */
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/pub_flow.h"
#include "cli/pub_options.h"
#include "cli/pub_report.h"
#include "cli/pub_request.h"

enum {
	PUB_WINDOW_BYTES = 4 * 1024 * 1024,
	PUB_TEXTS = 64			/* distinct errors that are told */
};

struct pub {
	struct pub_args *args;
	struct loop *loop;
	struct broker *broker;
	struct broker_options opts;
	struct interrupt interrupt;
	struct publication next;	/* taken from the source, not yet by the broker */
	bool has_next, started, stopped;
	bool finished, aborted;		/* with --transaction */
	uint64_t taken, confirmed, refused, unknown;	/* by the broker; what became of them */
	enum error_kind kind;		/* the gravest */
	uint64_t told[PUB_TEXTS];	/* hashes of the errors that were told */
	size_t ntold;
	struct loop_timer deadline;	/* of --wait */
	struct loop_task pump;
	struct pub_report report;
	bool kept;			/* next is in it */
	struct pub_flow flow;
	struct pub_request request;
	struct progress progress;
	uint64_t size;			/* of the input, for that */
	struct pub_source source;
};

/* ---- what is said ---- */

static bool
pub_is_new(struct pub *p, const char *text)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
	for (size_t i = 0; i < p->ntold; i++)
		if (p->told[i] == h)
			return false;
	if (p->ntold == PUB_TEXTS)
		return false;
	p->told[p->ntold++] = h;
	return true;
}

/* An event was not confirmed. Each text once: with a place, so that there is
 * something to look at, and without the many others that met the same. */
static void
pub_tell(struct pub *p, uint64_t id, const struct error *err)
{
	enum { SAME = 32 };		/* bytes of a topic that tell it from a reason */
	struct bytes topic = p->source.topic;
	struct error told = *err;
	struct buf place = BUF_INIT;

	p->kind = error_graver(p->kind, err->kind);
	if (!pub_is_new(p, err->text))
		return;
	pub_source_place(&p->source, id, &place);
	if (buf_len(&place))
		error_prefix(&told, "%s", buf_cstr(&place));
	/* Backends that name the topic need not hear it from here again. */
	else if (topic.n && strncmp(err->text, topic.p, topic.n < SAME ? topic.n : SAME) != 0)
		error_prefix_bytes(&told, topic);
	log_error("%s", told.text);
	buf_release(&place);
}

static void
add_count(struct buf *b, uint64_t n, const char *what)
{
	if (n)
		buf_addf(b, ", %llu %s", (unsigned long long)n, what);
}

/* The counts, and what has no outcome by now: it is under way, so unknown. */
static void
pub_summary(struct pub *p)
{
	uint64_t bad = p->source.bad, all = p->taken + bad, failed;
	bool cut = p->stopped && (!p->flow.dry || p->flow.cut || p->has_next);
	struct buf why = BUF_INIT;
	const char *text;

	if (p->aborted) {
		p->refused += p->confirmed;
		p->confirmed = 0;
	}
	failed = all - p->confirmed;
	p->unknown = p->taken - p->confirmed - p->refused;
	p->kind = error_graver(p->kind, p->source.kind);
	if (p->unknown)
		p->kind = error_graver(p->kind, ERR_UNKNOWN);
	add_count(&why, p->refused, "refused");
	add_count(&why, p->unknown, "unknown");
	add_count(&why, bad, bad == 1 ? "bad line" : "bad lines");
	if (cut)
		buf_add_str(&why, ", the rest not sent");
	text = buf_cstr(&why);
	if (p->interrupt.signo)
		log_error("interrupted: %llu confirmed%s", (unsigned long long)p->confirmed, text);
	else if (cut && all)
		log_error("stopped: %llu confirmed%s", (unsigned long long)p->confirmed, text);
	else if (failed && all > 1)
		log_error("%llu of %llu not delivered: %s", (unsigned long long)failed,
			(unsigned long long)all, text + 2);
	else
		log_verbose("%llu confirmed%s", (unsigned long long)p->confirmed, text);
	if (p->source.omitted)
		log_verbose("fields were left out of %llu events",
			(unsigned long long)p->source.omitted);
	buf_release(&why);
}

/* ---- the outcome ---- */

static void
pub_stop(struct pub *p)
{
	p->stopped = true;
	loop_stop(p->loop);
}

static void
pub_fail(struct pub *p, const struct error *err)
{
	if (!p->stopped && pub_is_new(p, err->text))
		log_error("%s", err->text);
	p->kind = error_graver(p->kind, err->kind);
	pub_stop(p);
}

static void
pub_end_if_done(struct pub *p)
{
	if (p->flow.dry && (!p->has_next || p->flow.cut) &&
	    p->taken == p->confirmed + p->refused + p->unknown && pub_request_over(&p->request))
		pub_stop(p);
}

/* The source's id of an event. */
static uint64_t
pub_id(const struct pub *p, uint64_t id)
{
	return p->report.on ? pub_report_id(&p->report, id) : id;
}

static void
pub_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct pub *p = arg;

	(void)b;
	switch (o->fate) {
	case FATE_CONFIRMED:
		p->confirmed++;
		if (p->request.on)
			pub_request_await(&p->request);
		break;
	case FATE_REFUSED:
		p->refused++;
		pub_tell(p, pub_id(p, o->id), o->error);
		break;
	case FATE_UNKNOWN:
		p->unknown++;
		pub_tell(p, pub_id(p, o->id), o->error);
		break;
	}
	if (p->report.on)
		pub_report_fate(&p->report, o->id, o->fate, o->error);
	if (o->fate != FATE_CONFIRMED)
		pub_flow_failed(&p->flow);
	pub_end_if_done(p);
}

/* ---- the pump ---- */

static void
pub_pump(struct pub *p)
{
	struct error err;

	while (p->started && !p->stopped) {
		int r;

		if (!p->has_next) {
			if (!pub_flow_next(&p->flow, &p->next))
				break;
			p->has_next = true;
			p->kept = false;
			if (p->request.on)
				pub_request_mark(&p->request, &p->next);
		}
		if (p->flow.cut)
			break;
		if (pub_flow_waits(&p->flow, &p->next))
			return;
		if (pub_report_full(&p->report))
			return;
		if (p->report.on && !p->kept) {
			p->next.id = pub_report_keep(&p->report, &p->next);
			p->kept = true;
		}
		/* Counted before: the outcome may come from within. */
		p->has_next = false;
		p->taken++;
		r = broker_publish(p->broker, &p->next, &err);
		if (r == PUBLISH_FULL) {
			p->taken--;
			p->has_next = true;
			return;
		}
		if (r < 0) {
			p->refused++;
			pub_tell(p, pub_id(p, p->next.id), &err);
			if (p->report.on)
				pub_report_fate(&p->report, p->next.id, FATE_REFUSED, &err);
			pub_flow_failed(&p->flow);
		}
	}
	if (p->started)
		pub_end_if_done(p);
}

static void
pub_pump_task(struct loop_task *t)
{
	pub_pump(t->arg);
}

static void
pub_input_ready(struct input *in)
{
	pub_pump(in->arg);
}

static void
pub_room_again(struct broker *b, void *arg)
{
	struct pub *p = arg;

	(void)b;
	loop_defer(p->loop, &p->pump);
}

static void
pub_due(void *arg)
{
	pub_pump(arg);
}

static void
pub_report_room(struct output *o)
{
	struct pub *p = o->arg;

	if (p->has_next)
		loop_defer(p->loop, &p->pump);
}

/* What the broker has not taken: in the report it was refused, of a file all the rest. */
static void
pub_report_unsent(struct pub *p)
{
	static const struct error unsent = { ERR_CONNECT, "not sent: the run ended before" };

	while (p->report.reports && p->broker) {
		if (!p->has_next && !pub_flow_rest(&p->flow, &p->next))
			break;
		if (pub_report_full(&p->report)) {
			log_error("the report has not all that was not sent: its reader is slow");
			p->kind = error_graver(p->kind, ERR_LOCAL_IO);
			break;
		}
		if (!p->has_next || !p->kept)
			p->next.id = pub_report_keep(&p->report, &p->next);
		p->has_next = p->kept = false;
		pub_report_fate(&p->report, p->next.id, FATE_REFUSED, &unsent);
	}
}

/* ---- progress ---- */

static void
pub_progress(struct progress *g, struct progress_now *now)
{
	struct pub *p = g->arg;

	now->events = p->confirmed + p->refused + p->unknown;
	now->flying = p->taken - now->events;
	now->part = p->args->count ? now->events : pub_source_taken(&p->source);
	now->whole = p->args->count ? p->args->count : p->size;
}

/* On a terminal, where it is known how much there is to do, and nothing else is written
 * there all the time. */
static void
pub_show_progress(struct pub *p)
{
	struct pub_args *a = p->args;
	bool many = p->source.by_line || a->files.n > 1 || a->count;

	if (!many || log_level == LOG_QUIET || !isatty(STDERR_FILENO) ||
	    ((a->tee || a->report || a->report_fd >= 0) && isatty(STDOUT_FILENO)))
		return;
	if (!a->loop)
		p->size = pub_source_size(&p->source);
	if (!p->size && (!a->count || isatty(STDIN_FILENO)))
		return;
	p->progress.now = pub_progress;
	p->progress.arg = p;
	progress_start(&p->progress, p->loop);
}

/* ---- connecting and waiting ---- */

static void
pub_start(struct pub *p)
{
	loop_timer_clear(p->loop, &p->deadline);
	p->started = true;
	pub_show_progress(p);
	loop_defer(p->loop, &p->pump);
}

static void
pub_audience(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	if (err)
		pub_fail(arg, err);
	else
		pub_start(arg);
}

static void
pub_deadline(struct loop_timer *t)
{
	struct pub *p = t->arg;
	struct error err;

	error_set(&err, ERR_TIMEOUT, "%.*s: fewer than %llu subscribers after %g s; nothing sent",
		BYTES_FMT(p->source.topic), (unsigned long long)p->args->wait,
		(double)p->args->timeout_ms / 1000);
	pub_fail(p, &err);
}

static void
pub_reachable(struct pub *p)
{
	struct broker *b = p->broker;
	struct error e;

	if (!p->args->wait) {
		pub_start(p);
	} else {
		loop_timer_set(p->loop, &p->deadline, p->args->timeout_ms);
		if (broker_audience(b, p->source.topic, (unsigned)p->args->wait,
		    pub_audience, p, &e) < 0)
			pub_fail(p, &e);
	}
}

static void
pub_replies_live(void *arg, const struct error *err)
{
	if (err)
		pub_fail(arg, err);
	else
		pub_reachable(arg);
}

static void
pub_replies_changed(void *arg)
{
	struct pub *p = arg;

	if (p->started)
		pub_end_if_done(p);
}

static void
pub_connected(struct broker *b, const struct error *err, void *arg)
{
	struct pub *p = arg;
	struct error e;

	if (err)
		pub_fail(p, err);
	else if (!p->request.on)
		pub_reachable(p);
	else if (pub_request_start(&p->request, b, p->loop, pub_replies_live,
	    pub_replies_changed, p, &e) < 0)
		pub_fail(p, &e);
}

static void
pub_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	pub_fail(arg, err);
}

static void
pub_finished(struct broker *b, const struct error *err, void *arg)
{
	struct pub *p = arg;

	(void)b;
	if (err) {
		log_error("the transaction failed: %s", err->text);
		p->kind = error_graver(p->kind, err->kind);
		/* Not told what became of it: then nobody knows. */
		if (err->kind == ERR_UNKNOWN)
			p->confirmed = 0;
		else
			p->aborted = true;
	}
	p->finished = true;
	loop_stop(p->loop);
}

static const struct broker_notify pub_notify = {
	.outcome = pub_outcome,
	.room = pub_room_again,
	.connected = pub_connected,
	.failed = pub_failed,
	.finished = pub_finished,
};

static void
pub_interrupted(struct interrupt *i)
{
	pub_stop(i->arg);
}

/* ---- the run ---- */

/* All of the run, or nothing of it. */
static void
pub_finish(struct pub *p)
{
	bool ok = !p->kind && !p->interrupt.signo && !p->source.bad && !p->source.kind &&
		p->flow.dry && !p->flow.cut && !p->has_next && p->taken == p->confirmed;

	if (!p->args->transaction || !p->started)
		return;
	if (!ok) {
		p->aborted = true;
		log_error("the transaction is aborted: nothing is published");
	}
	broker_finish(p->broker, ok);
	while (!p->finished)
		loop_run(p->loop);
}

/* Nobody said which form, where there are two. */
static void
pub_tell_wire(const struct pub *p)
{
	if (p->opts.wire == WIRE_AUTO && (p->broker->caps & BROKER_RAW) && !p->broker->ops->bare)
		log_verbose("events go out in go-micro's form, as no --wire was given (--wire raw: "
			"bare bodies)");
}

/* 0 when the run went its way, whatever came of it: p->kind says. */
static int
pub_loop(struct pub *p, struct error *err)
{
	struct pub_args *a = p->args;

	p->interrupt = (struct interrupt){ .fn = pub_interrupted, .arg = p };
	p->deadline = (struct loop_timer){ .fn = pub_deadline, .arg = p };
	p->pump = (struct loop_task){ .fn = pub_pump_task, .arg = p };
	/* A file that is not there is better known before anything is sent. */
	pub_source_open(&p->source, p->loop, pub_input_ready, p);
	if (p->source.dry) {
		p->flow.dry = true;
		return 0;
	}
	if (interrupt_watch(&p->interrupt, p->loop, err) < 0 ||
	    pub_report_open(&p->report, a, &p->source, p->loop, pub_report_room, p, err) < 0)
		return -1;
	p->opts.timeout_ms = a->timeout_ms > UINT32_MAX ? UINT32_MAX : (unsigned)a->timeout_ms;
	p->opts.window_events = a->inflight;
	p->opts.window_bytes = PUB_WINDOW_BYTES;
	p->opts.ack = (enum publish_ack)a->ack;
	p->opts.publishes = true;
	p->opts.transaction = a->transaction;
	p->opts.create = (unsigned)a->create;
	p->opts.compress = a->compress;
	p->opts.notify = &pub_notify;
	p->opts.notify_arg = p;
	p->broker = common_open(&a->common, p->loop, &p->opts, err);
	if (!p->broker)
		return -1;
	if (p->opts.wire == WIRE_RAW && !(p->broker->caps & (BROKER_RAW | BROKER_HEEDLESS)))
		return error_set(err, ERR_NOTFOUND, "--wire: the %s broker has no --wire raw: "
			"everybody on it speaks go-micro's", p->broker->ops->name);
	if (pub_source_broker(&p->source, p->broker, err) < 0)
		return -1;
	pub_report_broker(&p->report, p->broker);
	pub_flow_start(&p->flow, p->loop, p->broker, pub_due, p);
	if (log_level >= LOG_VERBOSE)
		pub_tell_wire(p);
	if (broker_connect(p->broker, err) < 0)
		return -1;
	if (!p->stopped)	/* connecting may have ended it already */
		loop_run(p->loop);
	progress_end(&p->progress);
	pub_finish(p);
	return 0;
}

static int
pub_start_run(struct pub *p, struct error *err)
{
	struct error e;
	int r;

	p->loop = loop_new(err);
	if (!p->loop)
		return -1;
	r = pub_loop(p, err);
	if (r == 0)
		pub_summary(p);
	if (r == 0) {
		pub_report_rest(&p->report, p->has_next && p->kept ? p->next.id : UINT64_MAX);
		pub_report_unsent(p);
	}
	if (pub_report_close(&p->report, &e) < 0) {
		log_error("%s", e.text);
		p->kind = error_graver(p->kind, e.kind);
	}
	loop_timer_clear(p->loop, &p->deadline);
	pub_flow_release(&p->flow);
	p->kind = error_graver(p->kind, pub_request_end(&p->request, r < 0 || p->interrupt.signo ||
		p->kind));
	common_close(p->broker, &p->opts);
	return r;
}

static int
pub_run(void *args, int noperands, char **operands, struct error *err)
{
	struct pub p;
	int r;

	memset(&p, 0, offsetof(struct pub, source));
	p.args = args;
	if (common_url(&p.args->common, err) < 0)
		return -1;
	pub_source_excuse(p.args);
	r = pub_source_init(&p.source, p.args, noperands, operands, err);
	if (r == 0)
		r = pub_flow_init(&p.flow, p.args, &p.source, err);
	if (r == 0)
		r = pub_request_init(&p.request, p.args, err);
	if (r == 0)
		r = common_prepare(&p.args->common, err);
	if (r == 0)
		r = pub_start_run(&p, err);
	pub_source_release(&p.source);
	loop_free(p.loop);
	if (r < 0)
		return -1;
	if (p.interrupt.signo)
		interrupt_die(p.interrupt.signo);
	return error_exit_status(p.kind);
}

const struct command cmd_pub = {
	.name = "pub",
	.summary = "publish events",
	.synopsis = "[OPTION...] [TOPIC] [BODY|-]",
	.opts = pub_opts,
	.args_size = sizeof(struct pub_args),
	.uses = USE_BROKER | USE_SERVER | USE_CONNECT | USE_EVENTS | USE_REGISTRY,
	.broker_use = BROKER_FOR_PUB,
	.notes = "Status 0 means that every event was confirmed.",
	.examples = "  mbus pub orders '{\"id\":7}'\n"
		"  mbus pub orders -H id:7 -f order.json\n"
		"  tail -f log | mbus pub -l log\n"
		"  mbus sub -J orders | mbus pub -J -t orders.copy\n"
		"  mbus pub -J --pace 2 < recording.jsonl\n"
		"  mbus pub --request greeter Ann\n",
	.run = pub_run,
};

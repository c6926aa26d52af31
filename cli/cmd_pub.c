/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus pub: publishes events and says what became of each.
 *
 * The story of an event: pub_pump() takes the next one from the source
 * (cli/pub_source.h) and gives it to the broker; when the broker's window is full
 * the event waits in p->next, and with it the source, until there is room. Each
 * event ends in exactly one of confirmed, refused and unknown; the run is over
 * when the source is dry and every event has its end.
 */
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/pub_source.h"

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
	bool cut = p->stopped && (!p->source.dry || p->has_next);
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
	if (p->source.dry && !p->has_next && p->taken == p->confirmed + p->refused + p->unknown)
		pub_stop(p);
}

static void
pub_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct pub *p = arg;

	(void)b;
	switch (o->fate) {
	case FATE_CONFIRMED:
		p->confirmed++;
		break;
	case FATE_REFUSED:
		p->refused++;
		pub_tell(p, o->id, o->error);
		break;
	case FATE_UNKNOWN:
		p->unknown++;
		pub_tell(p, o->id, o->error);
		break;
	}
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
			if (!pub_source_next(&p->source, &p->next))
				break;
			if (p->args->omit)
				pub_source_omit(&p->source,
					broker_publication_caps(p->broker, &p->next), &p->next);
			p->has_next = true;
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
			pub_tell(p, p->next.id, &err);
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

/* ---- connecting and waiting ---- */

static void
pub_start(struct pub *p)
{
	loop_timer_clear(p->loop, &p->deadline);
	p->started = true;
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
pub_connected(struct broker *b, const struct error *err, void *arg)
{
	struct pub *p = arg;
	struct error e;

	if (err) {
		pub_fail(p, err);
	} else if (!p->args->wait) {
		pub_start(p);
	} else {
		loop_timer_set(p->loop, &p->deadline, p->args->timeout_ms);
		if (broker_audience(b, p->source.topic, (unsigned)p->args->wait,
		    pub_audience, p, &e) < 0)
			pub_fail(p, &e);
	}
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
		p->source.dry && !p->has_next && p->taken == p->confirmed;

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
	if (p->source.dry)
		return 0;
	if (interrupt_watch(&p->interrupt, p->loop, err) < 0)
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
	if (p->opts.wire == WIRE_RAW && !(p->broker->caps & BROKER_RAW))
		return error_set(err, ERR_NOTFOUND, "the %s broker has no --wire raw: everybody on "
			"it speaks go-micro's", p->broker->ops->name);
	pub_source_broker(&p->source, p->broker);
	if (broker_connect(p->broker, err) < 0)
		return -1;
	if (!p->stopped)	/* connecting may have ended it already */
		loop_run(p->loop);
	pub_finish(p);
	return 0;
}

static int
pub_start_run(struct pub *p, struct error *err)
{
	int r;

	p->loop = loop_new(err);
	if (!p->loop)
		return -1;
	r = pub_loop(p, err);
	if (r == 0)
		pub_summary(p);
	loop_timer_clear(p->loop, &p->deadline);
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
	r = pub_source_init(&p.source, p.args, noperands, operands, err);
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

#define A struct pub_args

static const struct opt pub_opts[] = {
	{ "topic", 't', OPT_STR(A, topic), .arg = "TOPIC", .flags = OPT_ONCE, .group = "What",
		.help = "publish to TOPIC; the first operand is then the body" },
	{ "message", 'm', OPT_STR(A, message), .arg = "BODY", .flags = OPT_ONCE,
		.help = "the body, as the second operand is" },
	{ "file", 'f', OPT_LIST(A, files), .arg = "FILE", .complete = "file",
		.help = "the contents of FILE are the body; may be repeated, one event each" },
	{ "stdin", 's', OPT_FLAG(A, all_stdin),
		.help = "all of stdin is the body; so is BODY -, and no body when stdin is no "
			"terminal" },
	{ "lines", 'l', OPT_FLAG(A, lines),
		.help = "each line of stdin (or of -f FILE) is an event, published when it comes" },
	{ "json", 'J', OPT_FLAG(A, json),
		.help = "each line is an event in JSON, as sub -J writes it; -t overrides its "
			"topic, -H its headers" },
	{ "header", 'H', OPT_LIST(A, headers), .arg = "N:V",
		.help = "add header N with value V (N=V is the same; N alone has a null value)" },
	{ "delim", 'D', OPT_STR(A, delim), .arg = "STR", .flags = OPT_ONCE,
		.help = "as -l, and STR and not a newline ends a line (\\n, \\t, \\0, \\xHH are "
			"read)" },
	{ "null-delim", '0', OPT_FLAG(A, nul), .help = "as -l, and a NUL ends a line" },
	{ "key-delim", 'K', OPT_STR(A, key_delim), .arg = "STR", .flags = OPT_ONCE,
		.help = "as -l, and what is before STR in a line is the event's key" },
	{ "empty", 'n', OPT_FLAG(A, empty), .help = "the body is empty" },
	{ "null", 'Z', OPT_FLAG(A, null),
		.help = "the body is null, which is not empty; with -l, -m and others: where it "
			"is empty" },
	{ "key", 'k', OPT_STR(A, key), .arg = "KEY", .flags = OPT_ONCE,
		.help = "the event's key" },
	{ "content-type", 0, OPT_STR(A, content_type), .arg = "TYPE", .flags = OPT_ONCE,
		.help = "header Content-Type; a body that is JSON gets application/json without "
			"being told, unless TYPE is none" },
	{ "omit", 0, OPT_MASK(A, omit), .arg = "FIELD,...", .choices = "key|null|repeat|binary|header",
		.help = "leave out of an event what the broker cannot carry (key, null, repeat, "
			"binary, header), instead of refusing the event" },
	{ "keep-meta", 0, OPT_FLAG(A, keep_meta),
		.help = "with -J: publish with the partition, qos, retain, reply, ttl, "
			"content_type and correlation of a line's meta" },
	{ "qos", 0, OPT_INT(A, qos), .arg = "0|1|2", .max = 2, .group = "As the broker has it",
		.help = "quality of service (mqtt: 1 when not told)" },
	{ "retain", 'r', OPT_FLAG(A, retain),
		.help = "the broker keeps the event for subscribers to come" },
	{ "partition", 0, OPT_INT(A, partition), .arg = "N", .max = INT32_MAX,
		.help = "publish to partition N" },
	{ "ttl", 0, OPT_DUR(A, ttl_ms), .arg = "DUR", .min = 1,
		.help = "the event is of no use after this time" },
	{ "reply-to", 0, OPT_STR(A, reply_to), .arg = "TOPIC", .flags = OPT_ONCE,
		.help = "the topic that an answer is wanted on" },
	{ "compress", 'z', OPT_STR(A, compress), .arg = "CODEC", .flags = OPT_ONCE,
		.help = "compress events, as kafka can (none, gzip, snappy, lz4, zstd)" },
	{ "create", 0, OPT_NUM(A, create), .arg = "N", .min = 1, .max = 100000,
		.help = "make a topic that is not there, with N partitions" },
	{ "transaction", 0, OPT_FLAG(A, transaction),
		.help = "all events or none: they count when the last is confirmed, and none does "
			"when one is not, when a line is bad, when the run is interrupted" },
	{ "ack", 0, OPT_CHOICE(A, ack), .arg = "WHO", .choices = "broker|none|all",
		.def = "broker", .help = "an event is confirmed when the broker has it, when it "
			"was sent (none), when the broker's replicas have it (all)" },
	{ "wait", 0, OPT_NUM(A, wait), .arg = "N", .max = 1000000, .group = "Delivery",
		.help = "wait for N subscribers of the topic first, up to -W (then status 124, "
			"and nothing is sent)" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .def = "30s", .min = 1,
		.help = "time for each event to be confirmed, and for --wait" },
	{ "inflight", 0, OPT_NUM(A, inflight), .arg = "N", .min = 1,
		.max = 1000000, .help = "events under way at once (else what suits the broker)" },
	{ NULL }
};

const struct command cmd_pub = {
	.name = "pub",
	.summary = "publish events",
	.synopsis = "[OPTION...] [TOPIC] [BODY|-]",
	.opts = pub_opts,
	.args_size = sizeof(struct pub_args),
	.notes = "Status 0 means that every event was confirmed.",
	.examples = "  mbus pub orders '{\"id\":7}'\n"
		"  mbus pub orders -H id:7 -f order.json\n"
		"  tail -f log | mbus pub -l log\n"
		"  mbus sub -J orders | mbus pub -J -t orders.copy\n",
	.run = pub_run,
};

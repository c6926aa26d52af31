/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus bench: how fast is a broker, with what latency, and did it lose anything. The
 * story of a run is in bench.h; here are the options, the order of the runs, where
 * their results go, and the exit status.
 */
#include "cli/bench_auto.h"
#include "cli/bench_run.h"
#include "cli/interrupt.h"
#include "cli/pub_options.h"
#include "cli/sub_options.h"
#include "core/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
	struct bench_args *args;
	struct bench_plan plan;
	struct loop *loop;
	struct interrupt interrupt;
	struct bench_run_state run;
	bool one;			/* one run in all: told at length */
	bool terminal, progress;	/* stdout is one; the line on stderr */
	bool shown;			/* that line is there, and is to go */
	int out_fd;			/* of --out; -1: none */
	enum error_kind kind;
	struct error local;		/* of writing */
	struct bench_results old;	/* of --compare */
};

/* ---- where things go ---- */

static void
say(struct bench *b, struct buf *out)
{
	struct error err;

	if (stdout_write(out, &err) < 0 && !b->local.kind)
		b->local = err;
	buf_release(out);
}

static void
keep(struct bench *b, const struct buf *line)
{
	struct bytes left = buf_bytes(line);

	while (b->out_fd >= 0 && left.n && !b->local.kind) {
		ssize_t n = write(b->out_fd, left.p, left.n);

		if (n < 0 && errno != EINTR)
			error_sys(&b->local, ERR_LOCAL_IO, "--out %s", b->args->out);
		else if (n > 0)
			left = bytes_of(left.p + n, left.n - (size_t)n);
	}
}

static void
clear_progress(struct bench *b)
{
	if (b->shown && write(STDERR_FILENO, "\r\33[K", 4) < 0)
		b->progress = false;
	b->shown = false;
}

static void
on_begun(const struct bench_result *r, void *arg)
{
	struct bench *b = arg;
	struct buf out = BUF_INIT;

	if (b->args->json || !b->one)
		return;
	print_head(&out, r);
	say(b, &out);
}

static void
on_interval(const struct bench_result *r, const struct bench_interval *v, uint64_t left_ns,
	void *arg)
{
	struct bench *b = arg;
	struct buf out = BUF_INIT;

	if (b->progress) {
		buf_add_str(&out, "\r\33[K");
		if (!b->one)
			buf_addf(&out, "%s  ", r->broker);
		print_progress(&out, v, left_ns);
		b->shown = true;
		if (write(STDERR_FILENO, buf_data(&out), buf_len(&out)) < 0)
			b->progress = false;
		buf_clear(&out);
	}
	json_interval(&out, r, v);
	keep(b, &out);
	if (!b->args->json) {
		buf_clear(&out);
		if (b->one && !b->terminal)
			print_interval(&out, r, v);
	}
	say(b, &out);
}

static const struct bench_watcher watcher = { .begun = on_begun, .interval = on_interval };

/* ---- the runs ---- */

/* Is it what was asked for? What is not is said on stderr. */
static void
judge(struct bench *b, struct bench_result *r)
{
	const struct bench_plan *p = &b->plan;
	const struct bench_figures *f = result_latency(r);
	double pub = result_pub_rate(r), sub = result_sub_rate(r), rate;
	struct error err = ERROR_INIT;

	if (r->kind || !r->ran)
		return;
	if (r->nlisteners > 1)
		sub /= (double)r->nlisteners;
	rate = r->role == BENCH_SUB || (r->role == BENCH_BOTH && sub < pub) ? sub : pub;
	if (r->corrupted)
		error_set(&err, ERR_REFUSED, "%llu events were corrupted",
			(unsigned long long)r->corrupted);
	else if (plan_loss(p, r) > p->max_loss)
		error_set(&err, ERR_REFUSED, "%llu events were lost, of %llu (--max-loss %s)",
			(unsigned long long)r->lost, (unsigned long long)r->expected,
			b->args->max_loss ? b->args->max_loss : "0");
	else if (p->max_p99_ns && f->p99 > p->max_p99_ns)
		error_set(&err, ERR_REFUSED, "p99 is %.3f ms, over --max-p99 %s",
			(double)f->p99 / 1e6, b->args->max_p99);
	else if (p->min_rate >= 0 && rate < p->min_rate)
		error_set(&err, ERR_REFUSED, "the rate is %.0f/s, under --min-rate %s", rate,
			b->args->min_rate);
	if (!err.kind)
		return;
	r->kind = err.kind;
	memcpy(r->text, err.text, sizeof r->text);
}

/* rate: of a step of --rate auto; below 0: as the options say. */
static const struct bench_result *
one_run(struct bench *b, size_t target, size_t size, double rate)
{
	unsigned n = (unsigned)b->plan.nresults;
	struct bench_result *r = plan_result(&b->plan);
	struct bench_job job;
	struct error err;
	struct buf out = BUF_INIT;
	int ok = plan_job(&b->plan, target, size, n, &job, &err);

	if (rate >= 0)
		job.rate = rate;
	job_describe(&job, r);
	r->target = (unsigned)target;
	if (ok < 0) {
		r->kind = err.kind;
		memcpy(r->text, err.text, sizeof r->text);
	} else {
		bench_run(&b->run, b->loop, &job, &watcher, b, r);
		if (rate < 0)
			judge(b, r);
	}
	clear_progress(b);
	if (r->kind && rate <= 0)
		log_error("%s%s%s", b->one ? "" : r->broker, b->one ? "" : ": ", r->text);
	job_release(&job);
	if (rate <= 0)
		b->kind = error_graver(b->kind, r->kind);
	json_result(&out, r);
	keep(b, &out);
	if (!b->args->json) {
		buf_clear(&out);
		if (b->one)
			print_result(&out, r);
	}
	say(b, &out);
	return r;
}

static bool
goes_on(const struct bench *b)
{
	return !b->interrupt.signo && !b->local.kind;
}

/* --rate auto, of one broker with one size. */
static void
auto_runs(struct bench *b, size_t target, size_t size)
{
	struct bench_auto a = { 0 };
	size_t first = b->plan.nresults;
	struct buf out = BUF_INIT;
	struct error err;
	double rate;

	while (goes_on(b) && (rate = auto_next(&a)) >= 0)
		auto_told(&a, &b->plan, one_run(b, target, size, rate));
	if (!goes_on(b) || b->plan.nresults == first || !(a.top > 0))
		return;
	json_auto(&out, &a, &b->plan.results[first]);
	keep(b, &out);
	if (!b->args->json) {
		buf_clear(&out);
		if (b->plan.ntargets * b->plan.nsizes > 1) {
			buf_addf(&out, "\n%s %s, ", b->plan.results[first].broker,
				b->plan.results[first].address);
			units_add_size(&out, b->plan.sizes[size]);
		}
		print_auto(&out, &a, b->plan.results + first, b->plan.nresults - first);
	}
	say(b, &out);
	if (a.highest > 0 && !(a.highest < b->plan.min_rate))
		return;
	error_set(&err, ERR_REFUSED, a.highest > 0 ? "the highest rate that holds is under "
		"--min-rate" : "no rate holds");
	log_error("%s: %s", b->plan.results[first].broker, err.text);
	b->kind = error_graver(b->kind, err.kind);
}

static void
all_runs(struct bench *b)
{
	const struct bench_plan *p = &b->plan;
	uint64_t rounds = b->args->repeat ? b->args->repeat : 1;
	struct buf out = BUF_INIT;

	b->one = p->ntargets * p->nsizes * rounds == 1 && !p->rate_auto;
	for (size_t s = 0; s < p->nsizes && p->rate_auto; s++)
		for (size_t t = 0; t < p->ntargets; t++)
			auto_runs(b, t, s);
	if (p->rate_auto)
		return;
	/* In turn, A B A B: what the machine does meanwhile meets all of them. */
	for (size_t s = 0; s < p->nsizes; s++)
		for (uint64_t i = 0; i < rounds; i++)
			for (size_t t = 0; t < p->ntargets; t++)
				if (goes_on(b))
					one_run(b, t, s, -1);
	if (!b->one && !b->args->json) {
		print_table(&out, p->results, p->nresults);
		say(b, &out);
	}
}

/* ---- what is made of all of them ---- */

static void
compare(struct bench *b)
{
	const struct bench_plan *p = &b->plan;
	struct buf out = BUF_INIT;
	bool slower, sees;

	if (!b->args->compare || !p->nresults)
		return;
	sees = print_compare(&out, &b->old, b->args->compare, p->results, p->nresults, p->fail_slower,
		&slower);
	if (b->args->json) {	/* stdout is for JSON */
		for (char *s = (char *)buf_cstr(&out), *line; (line = strsep(&s, "\n"));)
			if (*line)
				log_warn("%s", line);
		buf_release(&out);
	} else {
		say(b, &out);
	}
	if (p->fail_slower >= 0 && !sees) {
		log_error("--fail-slower: too few runs, then or now, to tell (%d of each)",
			COMPARE_FAIL_RUNS);
		b->kind = error_graver(b->kind, ERR_USAGE);
	}
	if (!slower)
		return;
	log_error("slower than %s by more than --fail-slower %s", b->args->compare,
		b->args->fail_slower);
	b->kind = error_graver(b->kind, ERR_REFUSED);
}

static void
write_files(struct bench *b)
{
	const struct bench_args *a = b->args;
	const struct bench_result *r = b->plan.results;
	size_t n = b->plan.nresults;
	struct buf out = BUF_INIT;

	if (a->csv && !b->local.kind) {
		csv_results(&out, r, n);
		file_write(a->csv, &out, &b->local);
	}
	for (size_t i = 0; i < n && a->hdr && !b->local.kind; i++) {
		struct buf name = BUF_INIT;

		buf_add_str(&name, a->hdr);
		if (n > 1)
			buf_addf(&name, ".%zu", i + 1);
		buf_clear(&out);
		hdr_result(&out, &r[i]);
		file_write(buf_cstr(&name), &out, &b->local);
		buf_release(&name);
	}
	if (a->plot && !b->local.kind) {
		buf_clear(&out);
		svg_results(&out, r, n);
		file_write(a->plot, &out, &b->local);
	}
	buf_release(&out);
}

static void
interrupted(struct interrupt *i)
{
	struct bench *b = i->arg;

	bench_interrupt(&b->run);
}

static int
start(struct bench *b, struct error *err)
{
	b->interrupt = (struct interrupt){ .fn = interrupted, .arg = b };
	b->loop = loop_new(err);
	if (!b->loop || interrupt_watch(&b->interrupt, b->loop, err) < 0)
		return -1;
	if (b->args->out) {
		b->out_fd = open(b->args->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (b->out_fd < 0)
			return error_sys(err, ERR_LOCAL_IO, "--out %s", b->args->out);
	}
	b->terminal = isatty(STDOUT_FILENO);
	b->progress = isatty(STDERR_FILENO) && b->args->common.log_level > LOG_QUIET &&
		(b->terminal || b->args->json);
	all_runs(b);
	compare(b);
	write_files(b);
	if (b->local.kind) {
		*err = b->local;
		return -1;
	}
	return 0;
}

/* ---- mbus bench merge A B ---- */

static int
merge(struct bench *b, int n, char **files, struct error *err)
{
	struct bench_results half[2] = { { 0 }, { 0 } };
	struct bench_result *r;
	struct buf out = BUF_INIT;
	int ok = 0;

	if (b->args->compare || b->args->fail_slower)
		return error_set(err, ERR_USAGE, "merge: --compare is for a run (or: mbus bench "
			"compare OLD NEW)");
	if (n != 2)
		return error_set(err, ERR_USAGE, "merge: two files, of mbus bench pub and of mbus "
			"bench sub");
	b->plan.args = b->args;
	r = plan_result(&b->plan);
	for (int i = 0; i < 2 && ok == 0; i++)
		ok = results_read(files[i], &half[i], err);
	if (ok == 0)
		ok = results_merge(&half[0], &half[1], r, err);
	results_release(&half[0]);
	results_release(&half[1]);
	if (ok < 0)
		return -1;
	if (r->kind)
		log_error("%s", r->text);
	b->kind = r->kind;
	if (b->args->json) {
		json_result(&out, r);
	} else {
		print_head(&out, r);
		print_result(&out, r);
		print_clocks(&out, r);
	}
	say(b, &out);
	if (b->args->out && !b->local.kind) {
		json_result(&out, r);
		file_write(b->args->out, &out, &b->local);
		buf_release(&out);
	}
	write_files(b);
	if (b->local.kind)
		*err = b->local;
	return b->local.kind ? -1 : 0;
}

/* ---- mbus bench compare OLD NEW ---- */

static int
compare_saved(struct bench *b, int n, char **files, struct error *err)
{
	struct bench_results is;
	int r;

	if (n != 2)
		return error_set(err, ERR_USAGE, "compare: two files of results, the older first");
	if (b->args->compare)
		return error_set(err, ERR_USAGE, "compare: the older results are the first operand");
	if (b->args->json || b->args->out)
		return error_set(err, ERR_USAGE, "compare: there is no new result to write");
	b->plan.args = b->args;
	b->args->compare = files[0];
	if (plan_words(&b->plan, err) < 0 || results_read(files[0], &b->old, err) < 0 ||
	    results_read(files[1], &is, err) < 0)
		return -1;
	b->plan.results = is.v;
	b->plan.nresults = is.n;
	compare(b);
	write_files(b);
	r = b->local.kind ? -1 : 0;
	if (r < 0)
		*err = b->local;
	return r;
}

static int
bench_main(void *args, int noperands, char **operands, struct error *err)
{
	struct bench b = { .args = args, .out_fd = -1 };
	const char *vain = plan_run_option(args);
	bool saved = noperands && (strcmp(operands[0], "merge") == 0 ||
		strcmp(operands[0], "compare") == 0);
	int r;

	if (saved && vain) {
		r = error_set(err, ERR_USAGE, "%s is for a run, and %s makes none", vain, operands[0]);
	} else if (saved && operands[0][0] == 'm') {
		r = merge(&b, noperands - 1, operands + 1, err);
	} else if (saved) {
		r = compare_saved(&b, noperands - 1, operands + 1, err);
	} else {
		r = plan_init(&b.plan, args, noperands, operands, err);
		if (r == 0 && b.args->compare)
			r = results_read(b.args->compare, &b.old, err);
		if (r == 0)
			r = start(&b, err);
	}
	results_release(&b.old);
	if (b.out_fd >= 0 && close(b.out_fd) < 0 && r == 0)
		r = error_sys(err, ERR_LOCAL_IO, "--out %s", b.args->out);
	loop_free(b.loop);
	plan_release(&b.plan);
	if (r < 0)
		return -1;
	if (b.interrupt.signo)
		interrupt_die(b.interrupt.signo);
	return error_exit_status(b.kind);
}

#define A struct bench_args

static const struct opt bench_opts[] = {
	{ "msgs", 'n', OPT_NUM(A, msgs), .arg = "N", .min = 1, .max = UINT64_C(1) << 39,
		.aliases = "num-records count", .group = "How much",
		.help = "measure N events, of all publishers together (100000 when neither -n nor -d "
			"is given)" },
	{ "duration", 'd', OPT_DUR(A, duration_ms), .arg = "DUR", .min = 1, .max = 86400000 * 7,
		.help = "measure for so long" },
	{ "size", 's', OPT_STR(A, sizes), .arg = "SIZE,...", .aliases = "record-size",
		.help = "bytes of a body (128, 4K, 1M; 128 when not told); several are measured one "
			"after the other" },
	{ "payload", 0, OPT_STR(A, payload), .arg = "FILE", .complete = "file",
		.help = "bodies are what is in FILE, behind the 24 bytes that each event has" },
	{ "header", 'H', OPT_LIST(A, headers), .arg = "N:V", .help = "add a header to each event",
		.needs = BROKER_HEADER },
	{ "key", 'k', OPT_STR(A, key), .arg = "KEY", .flags = OPT_ONCE,
		.help = "the key of each event", .needs = BROKER_KEY },
	{ "pubs", 'x', OPT_NUM(A, pubs), .arg = "N", .min = 1, .max = BENCH_WORKERS_MAX,
		.aliases = "clients", .help = "publishers, a process each (1)" },
	{ "subs", 'y', OPT_NUM(A, subs), .arg = "N", .min = 1, .max = BENCH_WORKERS_MAX,
		.help = "subscribers, a process each (1); with pub: wait until there are so many" },
	{ "groups", 'g', OPT_NUM(A, queues), .arg = "N", .min = 1, .max = BENCH_WORKERS_MAX,
		.aliases = "G group queue",
		.help = "the subscribers are members of N groups (queues), each of which gets every "
			"event once", .needs = BROKER_GROUP },
	{ "topics", 0, OPT_NUM(A, topics), .arg = "N", .min = 1, .max = BENCH_TOPICS_MAX,
		.help = "spread the events over N topics" },
	{ "topic", 't', OPT_STR(A, topic), .arg = "TOPIC", .flags = OPT_ONCE,
		.help = "the topic (mbus.bench.ID when not told)" },
	{ "run", 0, OPT_STR(A, run), .arg = "ID", .flags = OPT_ONCE,
		.help = "the run's id, by which pub and sub on two machines find each other" },
	{ "rate", 'r', OPT_STR(A, rate), .arg = "RATE|auto", .aliases = "throughput",
		.group = "How fast",
		.help = "publish so many events a second, evenly, whatever becomes of them (20000, "
			"20k, 90/m); latency counts from when each was due" },
	{ "inflight", 0, OPT_NUM(A, inflight), .arg = "N", .min = 1, .max = 1000000,
		.help = "events under way at once (else what suits the broker; rtt: 1)" },
	{ "warmup", 0, OPT_STR(A, warmup), .arg = "N|DUR|PCT",
		.help = "publish so much more before it, and do not measure that (10%)" },
	{ "qos", 0, OPT_INT(A, qos), .arg = "0|1|2", .max = 2, .group = "As the broker has it",
		.help = "quality of service (mqtt: 1 when not told)", .needs = BROKER_QOS },
	{ "ack", 0, OPT_CHOICE(A, ack), .arg = "WHO", .choices = "broker|none|all",
		.def = "broker", .help = "an event is confirmed when the broker has it, when it was "
			"sent (none), when the broker's replicas have it (all)",
		.choice_needs = publish_ack_needs },
	{ "sub-ack", 0, OPT_CHOICE(A, sub_ack), .arg = "WHEN", .choices = "auto|after-write|none",
		.def = "auto", .help = "subscribers acknowledge what they have counted, or not",
		.choice_needs = subscribe_ack_needs },
	{ "compress", 'z', OPT_STR(A, compress), .arg = "CODEC", .flags = OPT_ONCE,
		.help = "compress events, as kafka can", .needs = BROKER_COMPRESS },
	{ "create", 0, OPT_NUM(A, create), .arg = "N", .min = 1, .max = 100000,
		.help = "make topics that are not there, with N partitions (1 where the topic is the "
			"run's own)", .needs = BROKER_CREATE },
	{ "drain", 0, OPT_DUR(A, drain_ms), .arg = "DUR", .def = "5s", .min = 1, .max = 86400000,
		.group = "When to give up",
		.help = "how long nothing may come before what is under way counts as lost" },
	{ "stall", 0, OPT_DUR(A, stall_ms), .arg = "DUR", .def = "30s", .min = 1, .max = 86400000,
		.help = "end the run when nothing is confirmed and nothing comes for so long" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .min = 1, .max = 86400000 * 7,
		.help = "the whole of a run (then status 124)" },
	{ "max-loss", 0, OPT_STR(A, max_loss), .arg = "N|PCT",
		.help = "status 1 when more events are lost (0)" },
	{ "max-p99", 0, OPT_STR(A, max_p99), .arg = "DUR",
		.help = "status 1 when the 99th percentile of the latency is over DUR" },
	{ "min-rate", 0, OPT_STR(A, min_rate), .arg = "RATE",
		.help = "status 1 when fewer events a second are confirmed, or come" },
	{ "repeat", 0, OPT_NUM(A, repeat), .arg = "N", .min = 1, .max = 1000,
		.group = "Several runs", .help = "make each run N times, in turn" },
	{ "brokers", 0, OPT_STR(A, brokers), .arg = "NAME,...",
		.help = "measure each of these brokers at its own address, in one table" },
	{ "on", 0, OPT_LIST(A, on), .arg = "URL", .complete = "url",
		.help = "measure the broker of URL; may be repeated" },
	{ "interval", 0, OPT_DUR(A, interval_ms), .arg = "DUR", .def = "1s", .min = 10,
		.max = 86400000, .group = "Output",
		.help = "tell how it goes so often" },
	{ "json", 'J', OPT_FLAG(A, json), .help = "lines of JSON: intervals and results" },
	{ "out", 0, OPT_STR(A, out), .arg = "FILE", .complete = "file",
		.help = "write these lines to FILE" },
	{ "csv", 0, OPT_STR(A, csv), .arg = "FILE", .complete = "file",
		.help = "write a line of CSV for each run" },
	{ "hdr", 0, OPT_STR(A, hdr), .arg = "FILE", .complete = "file",
		.help = "write the latencies as HdrHistogram's tools do (of several runs: FILE.1, "
			"FILE.2 ...)" },
	{ "plot", 0, OPT_STR(A, plot), .arg = "FILE.svg", .complete = "file",
		.help = "draw latency by percentile, and rate over time" },
	{ "compare", 0, OPT_STR(A, compare), .arg = "FILE", .complete = "file",
		.help = "say what is faster and slower than in FILE, which --out wrote" },
	{ "fail-slower", 0, OPT_STR(A, fail_slower), .arg = "PCT",
		.help = "with --compare: status 1 when something is slower by more than PCT percent" },
	{ NULL }
};

const struct command cmd_bench = {
	.name = "bench",
	.summary = "measure a broker: rate, latency, losses",
	.synopsis = "[OPTION...] [both|pub|sub|rtt]\n[OPTION...] merge FILE FILE\n[OPTION...] compare OLD NEW",
	.words = "both|pub|sub|rtt|merge|compare",
	.opts = bench_opts,
	.args_size = sizeof(struct bench_args),
	.uses = USE_BROKER | USE_SERVER | USE_CONNECT | USE_EVENTS | USE_REGISTRY | USE_LISTEN,
	.broker_use = BROKER_FOR_PUB | BROKER_FOR_SUB,
	.notes = "Publishers and subscribers are processes of their own; subscribers are live before\n"
		"the first event. Status 1: events were lost, refused, corrupted, or --max-p99 and\n"
		"the like do not hold.",
	.examples = "  mbus bench -B redis -n 1000000 -s 100\n"
		"  mbus bench -B mqtt --rate 20000 -d 30s --max-p99 5ms\n"
		"  mbus bench rtt -B http --registry file\n"
		"  mbus bench --brokers http,redis,mqtt --repeat 5 --plot brokers.svg\n"
		"  mbus bench -B mqtt --rate auto --max-p99 5ms\n",
	.run = bench_main,
};

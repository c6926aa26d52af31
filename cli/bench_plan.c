/* SPDX-License-Identifier: Apache-2.0 */
/* The options of mbus bench as runs: see bench_plan.h. */
#include "cli/bench_plan.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cli/connect.h"
#include "core/units.h"

/* ---- words ---- */

/* A number with a fraction; *end: what is behind it. Independent of the locale. */
static bool
read_number(const char *text, double *v, const char **end)
{
	const char *p = text;
	double scale = 1;
	unsigned digits = 0;

	*v = 0;
	for (; *p >= '0' && *p <= '9'; p++, digits++)
		*v = *v * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, digits++)
			*v += (*p - '0') * (scale /= 10);
	*end = p;
	return digits && digits < 16;
}

bool
plan_duration_ns(const char *text, uint64_t *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {
		{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "", 1e9 },
		{ "m", 60e9 }, { "h", 3600e9 }, { NULL, 0 }
	};
	const char *end;
	double v;

	if (!read_number(text, &v, &end))
		return false;
	for (size_t i = 0; units[i].name; i++)
		if (strcmp(end, units[i].name) == 0) {
			v = v * units[i].ns + 0.5;
			*ns = v < 1e18 ? (uint64_t)v : 0;
			return *ns > 0;
		}
	return false;
}

bool
plan_rate(const char *text, double *rate)
{
	const char *end;

	if (!read_number(text, rate, &end))
		return false;
	if (*end == 'k' || *end == 'K' || *end == 'M')
		*rate *= *end++ == 'M' ? 1e6 : 1e3;
	if (strcmp(end, "/m") == 0)
		*rate /= 60;
	else if (*end && strcmp(end, "/s") != 0)
		return false;
	return *rate < 1e10;
}

static int
read_percent(const char *option, const char *text, double *v, bool *part, struct error *err)
{
	const char *end;

	if (!read_number(text, v, &end) || (*end && strcmp(end, "%") != 0) || (*end && !part))
		return error_set(err, ERR_USAGE, "%s: '%.40s' is no number%s", option, text,
			part ? " and no percentage" : "");
	if (part)
		*part = *end;
	return 0;
}

static int
read_warmup(struct bench_plan *p, const char *text, struct error *err)
{
	const char *end;
	double v;

	if (!text)
		text = "10%";
	if (read_number(text, &v, &end) && strcmp(end, "%") == 0 && v <= 1000)
		p->warm_part = v / 100;
	else if (units_count(text, UINT64_C(1) << 39, &p->warm_msgs))
		;
	else if (!isdigit((unsigned char)text[strlen(text) - 1]) &&
	    plan_duration_ns(text, &p->warm_ns))
		;
	else
		return error_set(err, ERR_USAGE, "--warmup: '%.40s' is no number of events, no time "
			"(2s) and no percentage", text);
	return 0;
}

int
plan_words(struct bench_plan *p, struct error *err)
{
	const struct bench_args *a = p->args;

	p->min_rate = p->fail_slower = -1;
	if (a->rate && strcmp(a->rate, "auto") == 0)
		p->rate_auto = true;
	else if (a->rate && !plan_rate(a->rate, &p->rate))
		return error_set(err, ERR_USAGE, "--rate: '%.40s' is no rate (20000, 20k/s, 90/m) "
			"and not auto", a->rate);
	if (a->max_p99 && !plan_duration_ns(a->max_p99, &p->max_p99_ns))
		return error_set(err, ERR_USAGE, "--max-p99: '%.40s' is no time (5ms)", a->max_p99);
	if (a->min_rate && !plan_rate(a->min_rate, &p->min_rate))
		return error_set(err, ERR_USAGE, "--min-rate: '%.40s' is no rate", a->min_rate);
	if (a->max_loss &&
	    read_percent("--max-loss", a->max_loss, &p->max_loss, &p->max_loss_part, err) < 0)
		return -1;
	if (a->fail_slower) {
		char text[40];
		size_t n = strcspn(a->fail_slower, "%");

		snprintf(text, sizeof text, "%.*s", (int)(n < 39 ? n : 39), a->fail_slower);
		if (a->fail_slower[n] && a->fail_slower[n + 1])
			return error_set(err, ERR_USAGE, "--fail-slower: '%.40s' is no percentage",
				a->fail_slower);
		if (read_percent("--fail-slower", text, &p->fail_slower, NULL, err) < 0)
			return -1;
		if (!a->compare)
			return error_set(err, ERR_USAGE, "--fail-slower goes with --compare");
	}
	return read_warmup(p, a->warmup, err);
}

/* ---- lists ---- */

static int
read_sizes(struct bench_plan *p, struct error *err)
{
	const char *text = p->args->sizes ? p->args->sizes : "128";

	while (*text) {
		size_t n = strcspn(text, ",");
		char one[40];

		snprintf(one, sizeof one, "%.*s", (int)(n < 39 ? n : 39), text);
		p->sizes = xrealloc(p->sizes, (p->nsizes + 1) * sizeof *p->sizes);
		if (!units_size(one, &p->sizes[p->nsizes]))
			return error_set(err, ERR_USAGE, "-s: '%s' is no size (128, 4K, 1M)", one);
		if (p->sizes[p->nsizes] < STAMP_BYTES)
			return error_set(err, ERR_USAGE, "-s %s: at least %d bytes, in which an event "
				"says whose it is, its number and its time", one, STAMP_BYTES);
		if (p->sizes[p->nsizes++] > BENCH_BODY_MAX)
			return error_set(err, ERR_USAGE, "-s %s: at most %d MiB", one,
				BENCH_BODY_MAX >> 20);
		text += n + (text[n] == ',');
	}
	return p->nsizes ? 0 : error_set(err, ERR_USAGE, "-s: no size");
}

static int
read_payload(struct bench_plan *p, struct error *err)
{
	const char *path = p->args->payload;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct buf b = BUF_INIT;
	ssize_t n = 1;

	if (!path)
		return 0;
	if (p->args->sizes)
		return error_set(err, ERR_USAGE, "--payload says how large a body is, and so does "
			"-s: one of them");
	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "--payload %s", path);
	while (n > 0 && buf_len(&b) <= BENCH_BODY_MAX - STAMP_BYTES) {
		n = read(fd, buf_room(&b, 65536), 65536);
		if (n > 0)
			buf_added(&b, (size_t)n);
	}
	if (n < 0)
		error_sys(err, ERR_LOCAL_IO, "--payload %s", path);
	close(fd);
	p->file = buf_data(&b);		/* buf b begins at its allocation: nothing was consumed */
	p->nfile = buf_len(&b);
	if (n < 0)
		return -1;
	if (p->nfile > BENCH_BODY_MAX - STAMP_BYTES)
		return error_set(err, ERR_USAGE, "--payload %s: over %d MiB", path,
			BENCH_BODY_MAX >> 20);
	p->sizes = xcalloc(1, sizeof *p->sizes);
	p->sizes[p->nsizes++] = p->nfile + STAMP_BYTES;
	return 0;
}

/* ---- the whole ---- */

static int
read_role(struct bench_plan *p, int n, char **operands, struct error *err)
{
	if (n > 1)
		return error_set(err, ERR_USAGE, "one role: both, pub, sub or rtt");
	for (int i = 0; n && i < 4; i++)
		if (strcmp(operands[0], result_role(i)) == 0) {
			p->role = (enum bench_role)i;
			return 0;
		}
	return n ? error_set(err, ERR_USAGE, "'%s' is no role: both, pub, sub, rtt (or merge, compare); a "
		"topic is -t TOPIC", opt_shown(operands[0])) : 0;
}

static int
check_id(const char *id, struct error *err)
{
	size_t n = id ? strlen(id) : 1;

	if (id && (!n || n > BENCH_ID_MAX - 4 || id[strspn(id, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")]))
		return error_set(err, ERR_USAGE, "--run: 1 to %d letters, digits, '_' and '-'",
			BENCH_ID_MAX - 4);
	return 0;
}

static int
check(const struct bench_plan *p, const struct bench_args *a, struct error *err)
{
	bool alone = p->role == BENCH_PUB || p->role == BENCH_SUB;

	if (a->msgs && a->duration_ms)
		return error_set(err, ERR_USAGE, "-n says when it is over, and so does -d: one of "
			"them");
	if (p->role == BENCH_SUB) {
		const char *vain = a->rate ? "--rate" : a->msgs ? "-n" : a->duration_ms ? "-d" :
			a->headers.n ? "-H" : a->key ? "-k" : a->warmup ? "--warmup" :
			a->inflight ? "--inflight" : a->pubs ? "-x" : a->ack ? "--ack" :
			a->compress ? "-z" : a->create ? "--create" : a->sizes ? "-s" : NULL;

		if (vain)
			return error_set(err, ERR_USAGE, "%s is the publishers' business: give it to "
				"mbus bench pub", vain);
		if (!a->run && !a->topic)
			return error_set(err, ERR_USAGE, "--run ID: the one that is given to mbus "
				"bench pub, too");
	}
	if (p->role == BENCH_PUB && (a->queues || a->sub_ack))
		return error_set(err, ERR_USAGE, "%s is the subscribers' business: give it to mbus "
			"bench sub", a->queues ? "-g" : "--sub-ack");
	if (p->role == BENCH_PUB && a->max_loss)
		return error_set(err, ERR_USAGE, "--max-loss: publishers alone do not know what came");
	if (p->role == BENCH_RTT && a->subs > 1 && a->queues != 1)
		return error_set(err, ERR_USAGE, "rtt: -y %llu: each question is to be answered once "
			"(-g 1 makes them share)", (unsigned long long)a->subs);
	if (a->queues > (a->subs ? a->subs : 1))
		return error_set(err, ERR_USAGE, "-g: more queues than subscribers (-y)");
	if (p->rate_auto && (alone || a->msgs))
		return error_set(err, ERR_USAGE, alone ? "--rate auto wants publishers and "
			"subscribers in one place" : "--rate auto goes by time (-d), not by -n");
	if (alone && p->ntargets * p->nsizes * (a->repeat ? a->repeat : 1) > 1)
		return error_set(err, ERR_USAGE, "%s alone is one run: no --brokers, --repeat, list "
			"of sizes", result_role(p->role));
	/* A gate that can never close would be worse than none. */
	if (a->fail_slower && a->repeat < 5)
		return error_set(err, ERR_USAGE, "--fail-slower: fewer than five runs tell nothing "
			"(--repeat 5)");
	if (p->rate_auto && (a->repeat || a->compare))
		return error_set(err, ERR_USAGE, "--rate auto: no %s", a->repeat ? "--repeat" :
			"--compare");
	return check_id(a->run, err);
}

const char *
plan_run_option(const struct bench_args *a)
{
	const struct {
		bool given;
		const char *name;
	} options[] = {
		{ a->msgs, "-n" }, { a->duration_ms, "-d" }, { a->sizes, "-s" },
		{ a->payload, "--payload" }, { a->headers.n, "-H" }, { a->key, "-k" },
		{ a->pubs, "-x" }, { a->subs, "-y" }, { a->queues, "-g" },
		{ a->topics, "--topics" }, { a->topic, "-t" }, { a->run, "--run" },
		{ a->rate, "--rate" }, { a->inflight, "--inflight" }, { a->warmup, "--warmup" },
		{ a->qos >= 0, "--qos" }, { a->ack, "--ack" }, { a->sub_ack, "--sub-ack" },
		{ a->compress, "-z" }, { a->create, "--create" }, { a->timeout_ms, "-W" },
		{ a->max_loss, "--max-loss" }, { a->max_p99, "--max-p99" },
		{ a->min_rate, "--min-rate" }, { a->repeat, "--repeat" },
		{ a->brokers, "--brokers" }, { a->on.n, "--on" }, { NULL, NULL }
	};
	size_t i = 0;

	while (options[i].name && !options[i].given)
		i++;
	return options[i].name;
}

double
plan_loss(const struct bench_plan *p, const struct bench_result *r)
{
	if (!p->max_loss_part)
		return (double)r->lost;
	return r->expected ? 100 * (double)r->lost / (double)r->expected : 0;
}

int
plan_init(struct bench_plan *p, struct bench_args *a, int noperands, char **operands,
	struct error *err)
{
	*p = (struct bench_plan){ .args = a };
	if (read_role(p, noperands, operands, err) < 0 || plan_words(p, err) < 0 ||
	    read_payload(p, err) < 0 || (!p->nsizes && read_sizes(p, err) < 0) ||
	    plan_targets(p, err) < 0)
		return -1;
	for (size_t i = 0; i < p->ntargets; i++)
		if (check(p, plan_args(p, i), err) < 0)
			return -1;
	p->duration_ns = a->duration_ms * 1000000u;
	if (p->rate_auto && !p->duration_ns)
		p->duration_ns = UINT64_C(3000000000);
	return 0;
}

void
plan_release(struct bench_plan *p)
{
	plan_targets_release(p);
	for (size_t i = 0; i < p->nresults; i++)
		result_release(&p->results[i]);
	free(p->sizes);
	free(p->file);
	free(p->results);
}

struct bench_result *
plan_result(struct bench_plan *p)
{
	p->results = xrealloc(p->results, (p->nresults + 1) * sizeof *p->results);
	p->results[p->nresults] = (struct bench_result){ 0 };
	return &p->results[p->nresults++];
}

/* ---- jobs ---- */

static void
make_id(struct bench_plan *p, struct bench_job *job, unsigned n)
{
	uint32_t h = 2166136261u, any = 0;

	if (p->args->run && n == 0)
		snprintf(job->id, sizeof job->id, "%s", p->args->run);
	else if (p->args->run)
		snprintf(job->id, sizeof job->id, "%.*s-%u", BENCH_ID_MAX - 4, p->args->run, n % 1000);
	else if (getrandom(&any, sizeof any, 0) == (ssize_t)sizeof any)
		snprintf(job->id, sizeof job->id, "%08x", any);
	for (const char *c = job->id; *c; c++)
		h = (h ^ (unsigned char)*c) * 16777619u;
	job->run = h;
}

static void
fill_numbers(struct bench_plan *p, struct bench_job *job)
{
	const struct bench_args *a = p->args;

	job->rate = p->rate;
	job->duration_ns = p->duration_ns;
	job->msgs = a->msgs ? a->msgs : job->duration_ns ? 0 : 100000;
	job->warm_msgs = p->warm_msgs;
	job->warm_ns = p->warm_ns;
	if (p->warm_part > 0) {
		job->warm_msgs = (uint64_t)(p->warm_part * (double)job->msgs + 0.5);
		job->warm_ns = (uint64_t)(p->warm_part * (double)job->duration_ns + 0.5);
	}
}

int
plan_job(struct bench_plan *p, size_t target, size_t size, unsigned n, struct bench_job *job,
	struct error *err)
{
	const struct bench_target *t = &p->targets[target];
	struct bench_args *a = plan_args(p, target);
	struct error other;
	char topic[80];
	int r;

	*job = (struct bench_job){ .args = a, .common = a->common, .role = p->role,
		.headers = t->headers, .nheaders = t->nheaders, .file = p->file != NULL };
	if (t->broker) {
		job->common.broker = job->common.env_broker = t->broker;
		job->common.address = job->common.env_address = NULL;
		job->common.url = NULL;
	}
	job->pubs = p->role == BENCH_SUB ? 0 : a->pubs ? (unsigned)a->pubs : 1;
	job->subs = p->role == BENCH_PUB ? 0 : a->subs ? (unsigned)a->subs : 1;
	job->queues = (unsigned)a->queues;
	job->topics = a->topics ? (unsigned)a->topics : 1;
	make_id(p, job, n);
	fill_numbers(p, job);
	job->size = p->sizes[size];
	job->body = xmalloc(job->size);
	memset(job->body, 0, STAMP_BYTES);
	if (p->file)
		memcpy(job->body + STAMP_BYTES, p->file, p->nfile);
	else
		bench_fill(job->body + STAMP_BYTES, job->size - STAMP_BYTES);
	plan_given(p, job);
	r = connect_urls(&job->common, err);
	/* In any case the list is this job's own from here on. */
	if ((plan_xopts(p, job, r == 0 ? err : &other) < 0 && r == 0) || r < 0)
		return -1;
	snprintf(topic, sizeof topic, "mbus.bench.%s", job->id);
	job->topic = xstrdup(a->topic ? a->topic : job->common.topic ? job->common.topic : topic);
	if (strlen(job->topic) > 255)
		return error_set(err, ERR_USAGE, "the topic has over 255 bytes");
	if (common_prepare(&job->common, err) < 0)
		return -1;
	/* Where topics have partitions they must be there; ours we make. */
	job->create = a->create ? (unsigned)a->create :
		!a->topic && !job->common.topic && (job->common.ops->caps & BROKER_PARTITION) ? 1 : 0;
	return 0;
}

void
job_release(struct bench_job *job)
{
	connect_release(&job->common);
	free(job->common.xpairs);
	free(job->common.given.v);
	free((char *)job->topic);
	free(job->body);
	*job = (struct bench_job){ 0 };
}

void
job_describe(const struct bench_job *job, struct bench_result *r)
{
	static const char *const acks[] = { "broker", "none", "all" };
	static const char *const wires[] = { "auto", "micro", "raw" };
	const struct bench_args *a = job->args;
	const char *address = job->common.server ? job->common.server : job->common.address;
	const char *scheme = address ? strstr(address, "://") : NULL;
	struct timespec now;

	result_machine(r);
	clock_gettime(CLOCK_REALTIME, &now);
	r->began_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	snprintf(r->broker, sizeof r->broker, "%s", job->common.broker);
	/* Until a connection says better. */
	snprintf(r->address, sizeof r->address, "%s", scheme ? scheme + 3 : address ? address : "");
	snprintf(r->id, sizeof r->id, "%s", job->id);
	snprintf(r->topic, sizeof r->topic, "%s", job->topic ? job->topic : "");
	snprintf(r->ack, sizeof r->ack, "%s", acks[a->ack]);
	snprintf(r->wire, sizeof r->wire, "%s", wires[a->common.wire]);
	r->role = (int)job->role;
	r->pubs = job->pubs;
	r->subs = job->subs;
	r->queues = job->queues;
	r->topics = job->topics;
	r->size = job->size;
	r->inflight = a->inflight;
	r->warm_msgs = job->warm_msgs;
	r->warm_ns = job->warm_ns;
	r->headers = job->nheaders;
	r->qos = a->qos;
	r->tls = connect_tls(&job->common.tls);
	r->rate = job->rate;
	r->machine_busy = 101;
}

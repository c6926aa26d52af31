/* SPDX-License-Identifier: Apache-2.0 */
/* Repeats, counts, fills in and paces what is published: see pub_flow.h. */
#include "cli/pub_flow.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/units.h"

#define SECOND_NS UINT64_C(1000000000)
#define PACE_MAX_NS 1e18	/* some thirty years */

/* ---- the options ---- */

static int
usage(struct error *err, const char *text)
{
	return error_set(err, ERR_USAGE, "%s", text);
}

/* "100", "100/s", "30/m", "5/h" */
static int
read_rate(struct pub_flow *f, const char *text, struct error *err)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "", SECOND_NS }, { "/s", SECOND_NS }, { "/m", 60 * SECOND_NS },
		{ "/h", 3600 * SECOND_NS } };
	size_t n = strspn(text, "0123456789");
	char digits[16] = "";

	for (size_t i = 0; n && n < sizeof digits && i < sizeof units / sizeof *units; i++) {
		if (strcmp(text + n, units[i].unit) != 0)
			continue;
		memcpy(digits, text, n);
		f->per_ns = units[i].ns;
		if (units_count(digits, 1000000000, &f->rate) && f->rate)
			return 0;
	}
	return error_set(err, ERR_USAGE, "--rate: '%s' is no rate: a whole number of events a "
		"second (1 to 1000000000), or N/m, N/h (slower: --interval DUR)", opt_shown(text));
}

static int
read_pace(struct pub_flow *f, const char *text, struct error *err)
{
	char *end;
	double x = *text >= '0' && *text <= '9' ? strtod(text, &end) : 0;

	if (!(x >= 0.001 && x <= 1e6) || strspn(text, "0123456789.") != (size_t)(end - text) ||
	    (*end && strcmp(end, "x") != 0))
		return error_set(err, ERR_USAGE, "--pace: '%s' is no speed: 1 is that of the "
			"recording, 2 twice that (0.001 to 1000000)", opt_shown(text));
	f->pace = x;
	return 0;
}

/* Those that have no meaning for one event. */
static int
check_many(const struct pub_args *a, const struct pub_source *s, struct error *err)
{
	const char *name = a->rate ? "--rate" : a->interval_ms ? "--interval" :
		a->count ? "-c" : a->fail_fast ? "--fail-fast" : NULL;

	if (!name || s->by_line || a->files.n > 1 || a->repeat || a->loop)
		return 0;
	return error_set(err, ERR_USAGE, "%s is for more than one event, and there is one "
		"(--repeat N and --loop publish it again)", name);
}

int
pub_flow_init(struct pub_flow *f, const struct pub_args *a, struct pub_source *s,
	struct error *err)
{
	unsigned all = TEMPLATE_ENV_TOPIC | TEMPLATE_ENV_KEY | TEMPLATE_ENV_HEADERS |
		TEMPLATE_ENV_BODY;

	*f = (struct pub_flow){ .args = a, .source = s, .first_us = -1 };
	if ((a->rate != NULL) + (a->interval_ms != 0) + (a->pace != NULL) > 1)
		return usage(err, "only one of --rate, --interval, --pace");
	if (a->pace && !a->json)
		return usage(err, "--pace goes with -J: it goes by the times of recorded events");
	if (check_many(a, s, err) < 0)
		return -1;
	if (a->loop && a->transaction && !a->count)
		return usage(err, "--loop never ends, so the --transaction would not (-c N ends it)");
	if (a->rate && read_rate(f, a->rate, err) < 0)
		return -1;
	if (a->pace && read_pace(f, a->pace, err) < 0)
		return -1;
	if (a->interval_ms) {
		f->rate = 1;
		f->per_ns = a->interval_ms * 1000000;
	}
	/* What somebody else wrote into a line reads no environment of ours. */
	if (a->json)
		all = (s->topic.p ? TEMPLATE_ENV_TOPIC : 0) | (s->key.p ? TEMPLATE_ENV_KEY : 0);
	else if (s->by_line)
		all &= ~(unsigned)(TEMPLATE_ENV_BODY | (s->key_delim.p ? TEMPLATE_ENV_KEY : 0));
	f->template.env = all;
	return 0;
}

static void
flow_due(struct loop_timer *t)
{
	struct pub_flow *f = t->arg;

	f->due(f->arg);
}

void
pub_flow_start(struct pub_flow *f, struct loop *loop, const struct broker *b,
	void (*due)(void *arg), void *arg)
{
	f->loop = loop;
	f->broker = b;
	f->due = due;
	f->arg = arg;
	f->timer = (struct loop_timer){ .fn = flow_due, .arg = f };
}

void
pub_flow_release(struct pub_flow *f)
{
	if (f->loop)
		loop_timer_clear(f->loop, &f->timer);
	pub_template_release(&f->template);
}

/* ---- which event ---- */

static void
fill_in(struct pub_flow *f, struct publication *p)
{
	struct pub_source *s = f->source;
	struct message *m = &p->msg;

	pub_template_apply(&f->template, p, f->taken);
	/* Whether a body is JSON is known now. */
	if (s->mark_json && m->body.n && json_valid(m->body.p, m->body.n))
		f->template.headers[m->nheaders++] = s->headers[s->nheaders];
}

bool
pub_flow_next(struct pub_flow *f, struct publication *p)
{
	struct pub_source *s = f->source;

	if (f->dry)
		return false;
	if (!f->left) {
		if (!pub_source_next(s, &f->last)) {
			f->starved = true;
			f->cut = s->fail_fast && s->kind;
			f->dry = s->dry || f->cut;
			return false;
		}
		if (f->args->omit)
			pub_source_omit(s, broker_publication_caps(f->broker, &f->last), &f->last);
		f->left = f->args->repeat ? f->args->repeat : 1;
	}
	*p = f->last;
	f->left--;
	f->taken++;
	f->begun = false;
	if (f->args->template)
		fill_in(f, p);
	f->dry = (s->dry && !f->left) || f->taken == f->args->count;
	return true;
}

void
pub_flow_failed(struct pub_flow *f)
{
	if (!f->args->fail_fast || f->dry)
		return;
	f->dry = f->cut = true;
}

bool
pub_flow_rest(struct pub_flow *f, struct publication *p)
{
	if (f->args->loop || (f->args->count && f->taken >= f->args->count))
		return false;
	f->source->fail_fast = false;
	f->dry = f->source->dry && !f->left;
	while (!f->dry) {
		if (pub_flow_next(f, p))
			return true;
		if (!pub_source_again(f->source))
			return false;
	}
	return false;
}

/* ---- when ---- */

/* The moment of the next event, by rate. */
static uint64_t
moment(const struct pub_flow *f)
{
	uint64_t whole = f->steps / f->rate, rest = f->steps % f->rate;

	/* rest < 10^9, per_ns < 10^16: by parts, so that nothing overflows. */
	return f->base_ns + whole * f->per_ns + rest * (f->per_ns / f->rate) +
		rest * (f->per_ns % f->rate) / f->rate;
}

static void
reckon(struct pub_flow *f, const struct publication *p, uint64_t now)
{
	int64_t ts = p->opts ? p->opts->time_us : -1;
	double ns;

	if (f->rate) {
		if (!f->steps)
			f->base_ns = now;
		f->due_ns = moment(f);
		if (f->starved && f->due_ns < now) {
			f->base_ns = f->due_ns = now;
			f->steps = 0;
		}
		f->steps++;
	} else if (ts >= 0) {
		if (f->first_us < 0 || f->round != f->source->round) {
			f->first_us = ts;
			f->base_ns = f->due_ns > now ? f->due_ns : now;
			f->round = f->source->round;
		}
		/* An event that is older than the first goes at once. */
		ns = (double)(ts - f->first_us) * 1000 / f->pace;
		f->due_ns = f->base_ns + (ns > PACE_MAX_NS ? (uint64_t)PACE_MAX_NS : ns > 0 ? (uint64_t)ns : 0);
	}
	f->starved = false;
}

bool
pub_flow_waits(struct pub_flow *f, const struct publication *p)
{
	uint64_t now;

	if (!f->rate && !(f->pace > 0))
		return false;
	now = loop_clock_ns();
	if (!f->begun) {
		reckon(f, p, now);
		f->begun = true;
	}
	if (f->due_ns <= now)
		return false;
	loop_timer_set_at(f->loop, &f->timer, f->due_ns);
	return true;
}

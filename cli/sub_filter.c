/* SPDX-License-Identifier: Apache-2.0 */
/* Which events sub takes notice of: see sub_filter.h. */
#include "cli/sub_filter.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* "10", "0.5%": the share of all 64-bit numbers. */
static int
read_sample(struct sub_filter *f, const char *text, struct error *err)
{
	char *end;
	double percent = strtod(text, &end);

	if (*end == '%')
		end++;
	if (end == text || *end || !(percent > 0 && percent <= 100) || *text == '+')
		return error_set(err, ERR_USAGE, "--sample: '%s' is no percentage, as 10 or 0.5",
			opt_shown(text));
	f->below = percent >= 100 ? UINT64_MAX : (uint64_t)(percent / 100 * 0x1p64);
	return 0;
}

int
sub_filter_init(struct sub_filter *f, const struct sub_filter_args *a, struct error *err)
{
	f->args = a;
	f->below = UINT64_MAX;
	f->on = a->exclude.n || a->where || a->skip || a->sample;
	if (a->where && !(f->where = expr_compile("--where", a->where, err)))
		return -1;
	if (a->expect && !(f->expect = expr_compile("--expect", a->expect, err)))
		return -1;
	for (size_t i = 0; i < a->exclude.n; i++)
		if (!*a->exclude.v[i])
			return error_set(err, ERR_USAGE, "--exclude: it is empty");
	if (!a->sample)
		return 0;
	if (getrandom(&f->random, sizeof f->random, GRND_NONBLOCK) != sizeof f->random)
		f->random = (uint64_t)time(NULL);
	f->random |= 1;
	return read_sample(f, a->sample, err);
}

void
sub_filter_release(struct sub_filter *f)
{
	expr_free(f->where);
	expr_free(f->expect);
	buf_release(&f->topic);
}

bool
sub_filter_wants_headers(const struct sub_filter *f)
{
	return (f->where && expr_wants_headers(f->where)) ||
		(f->expect && expr_wants_headers(f->expect));
}

static bool
is_excluded(struct sub_filter *f, const struct event *ev)
{
	const struct opt_list *globs = &f->args->exclude;

	buf_clear(&f->topic);
	buf_add_bytes(&f->topic, ev->topic);
	for (size_t i = 0; i < globs->n; i++)
		if (fnmatch(globs->v[i], buf_cstr(&f->topic), 0) == 0)
			return true;
	return false;
}

/* xorshift64*: a sample is no secret. */
static uint64_t
next_random(struct sub_filter *f)
{
	f->random ^= f->random >> 12;
	f->random ^= f->random << 25;
	f->random ^= f->random >> 27;
	return f->random * UINT64_C(0x2545f4914f6cdd1d);
}

bool
sub_filter_passes_on(struct sub_filter *f, const struct event *ev)
{
	if (f->args->exclude.n && is_excluded(f, ev))
		return false;
	if (f->where && !expr_is_true(f->where, ev, f->broker))
		return false;
	if (f->skipped < f->args->skip) {
		f->skipped++;
		return false;
	}
	return f->below == UINT64_MAX || next_random(f) < f->below;
}

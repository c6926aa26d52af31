/* SPDX-License-Identifier: Apache-2.0 */
/* Which events sub takes notice of: --exclude, --where, --skip, --sample, in that order;
 * and --expect, which judges those that are left. */
#ifndef MBUS_CLI_SUB_FILTER_H
#define MBUS_CLI_SUB_FILTER_H

#include "cli/expr.h"
#include "cli/opt.h"

/* The options; zeroed: every event. */
struct sub_filter_args {
	struct opt_list exclude;	/* globs on the topic */
	const char *where, *expect, *sample;
	uint64_t skip;
};

struct sub_filter {
	const struct sub_filter_args *args;
	const char *broker;		/* its name, the user's to set */
	struct expr *where, *expect;
	uint64_t skipped;		/* of --skip */
	uint64_t below;			/* a random number below this is in the sample ... */
	uint64_t random;		/* ... of which this is the state */
	struct buf topic;
	bool on;			/* there is something to filter by */
};

/* -1: err (ERR_USAGE). */
int sub_filter_init(struct sub_filter *, const struct sub_filter_args *, struct error *);
void sub_filter_release(struct sub_filter *);
bool sub_filter_wants_headers(const struct sub_filter *);
/* Is the event one to print and count? */
bool sub_filter_passes_on(struct sub_filter *, const struct event *);
static inline bool
sub_filter_passes(struct sub_filter *f, const struct event *ev)
{
	return !f->on || sub_filter_passes_on(f, ev);
}
/* Is it as --expect says? */
static inline bool
sub_filter_expected(struct sub_filter *f, const struct event *ev)
{
	return !f->expect || expr_is_true(f->expect, ev, f->broker);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting again: see retry.h. */
#include "core/retry.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/loop.h"

enum {
	PAUSE_FIRST_MS = 100,
	PAUSE_MAX_MS = 5000,
	PAUSE_STEPS = 6,		/* 100 ms doubled so often is over the longest */
	STABLE_MS = 1000,		/* a connection that lived so long was one */
	FAULTS_MAX = 3			/* of one kind, in a row: no more tries */
};

bool
retry_is_final(enum error_kind kind)
{
	return kind == ERR_AUTH || kind == ERR_USAGE || kind == ERR_NOTFOUND;
}

const char *
retry_reason(const char *name, const char *text)
{
	size_t n = strlen(name);

	return strncmp(text, name, n) == 0 && strncmp(text + n, ": ", 2) == 0 ?
		text + n + 2 : text;
}

void
retry_begin(struct retry *r)
{
	*r = (struct retry){ .random = loop_clock_ns() ^ (uintptr_t)r };
}

void
retry_ready(struct retry *r, const char *name)
{
	uint64_t ms;

	r->had = true;
	r->tries = 0;
	r->ready_ns = loop_clock_ns();
	if (r->lost_ns) {
		ms = (r->ready_ns - r->lost_ns) / 1000000;
		log_warn("connected to %s again after %u.%u s", name,
			(unsigned)(ms / 1000), (unsigned)(ms / 100 % 10));
	}
	r->lost_ns = 0;
}

/* What the server ends connections with. The name is no part of the reason. */
static void
count_fault(struct retry *r, const char *name, struct error *err)
{
	const char *why = retry_reason(name, err->text);

	if (!r->refused || strcmp(why, r->fault.text) != 0)
		r->faults = 0;
	if (!r->refused)
		return;
	r->faults++;
	snprintf(r->fault.text, sizeof r->fault.text, "%s", why);
	r->refused = false;
	if (r->faults == FAULTS_MAX)
		error_prefix(err, "%d times in a row", (int)FAULTS_MAX);
}

void
retry_lost(struct retry *r, const char *name, struct error *err)
{
	uint64_t lived_ns = loop_clock_ns() - r->ready_ns;

	/* A server that greets and goes, over and over, is not asked ten times a
	 * second. */
	r->short_lives = lived_ns < STABLE_MS * 1000000ull ? r->short_lives + 1 : 0;
	r->step = r->short_lives ? r->short_lives - 1 : 0;
	count_fault(r, name, err);
}

/* 100 ms, doubled each time up to 5 s, and up to a fifth more or less, so that all
 * clients of a server that was restarted do not come back at once. */
static unsigned
pause_ms(struct retry *r)
{
	unsigned ms = r->step < PAUSE_STEPS ? PAUSE_FIRST_MS << r->step : PAUSE_MAX_MS;

	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	r->step++;
	return ms * 8 / 10 + (unsigned)((r->random >> 33) % (ms * 4 / 10 + 1));
}

int
retry_next(struct retry *r, const char *name, int most, struct error *err)
{
	unsigned ms;

	if (!r->had || r->stays_away || r->faults >= FAULTS_MAX || retry_is_final(err->kind) ||
	    (most >= 0 && r->tries >= (unsigned)most)) {
		if (r->tries)
			error_prefix(err, "not connected again in %u %s", r->tries,
				r->tries == 1 ? "try" : "tries");
		return -1;
	}
	if (r->lost_ns) {		/* that was said */
		log_verbose("%s", err->text);
	} else {
		r->lost_ns = loop_clock_ns();
		log_warn("connection to %s lost: %s; connecting again", name,
			retry_reason(name, err->text));
	}
	ms = pause_ms(r);
	log_verbose("%s: connecting again in %u.%u s", name, ms / 1000, ms / 100 % 10);
	return (int)ms;
}

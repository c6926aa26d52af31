/* SPDX-License-Identifier: Apache-2.0 */
/* Where a subscription begins and ends: see position.h. */
#include "cli/position.h"

#include <time.h>

#include "cli/opt.h"
#include "core/units.h"

static int
read_time(const char *option, const char *text, struct position *to, struct error *err)
{
	struct timespec now;
	uint64_t n;
	int64_t us;

	to->kind = POSITION_TIME;
	if (*text == '-' && units_duration_ms(text + 1, &n)) {
		clock_gettime(CLOCK_REALTIME, &now);
		to->n = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)n;
		if (to->n < 0)
			to->n = 0;
	} else if (units_count(text, INT64_MAX, &n))
		to->n = (int64_t)n;
	else if (units_time_us(text, &us))
		to->n = us / 1000;
	else
		return error_set(err, ERR_USAGE, "-o %s: '%s' is no time (milliseconds since "
			"1970, 2026-11-21T06:55:30Z, or -1h: an hour ago)", option, opt_shown(text));
	return 0;
}

static bool
is_id(const char *text)
{
	if (*text < '0' || *text > '9')
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	return true;
}

static int
read_from(const char *text, struct position *from, struct error *err)
{
	static const struct {
		const char *word;
		enum position_kind kind;
	} words[] = {
		{ "beginning", POSITION_BEGINNING },
		{ "end", POSITION_END },
		{ "stored", POSITION_STORED },
	};
	uint64_t n;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].word, text) == 0) {
			from->kind = words[i].kind;
			return 0;
		}
	if (strncmp(text, "s@", 2) == 0)
		return read_time("s@T", text + 2, from, err);
	if (units_count(text, INT64_MAX, &n)) {
		from->kind = POSITION_OFFSET;
		from->n = (int64_t)n;
	} else if (*text == '-' && units_count(text + 1, INT64_MAX, &n)) {
		from->kind = POSITION_TAIL;
		from->n = (int64_t)n;
	} else if (is_id(text)) {
		from->kind = POSITION_ID;
		from->text = text;
	} else {
		return error_set(err, ERR_USAGE, "-o: '%s' is none of beginning, end, stored, N, "
			"-N, s@T, e@T, an id", opt_shown(text));
	}
	return 0;
}

int
position_parse(const char *text, struct position *from, struct position *until,
	struct error *err)
{
	struct position *to = strncmp(text, "e@", 2) == 0 ? until : from;

	if (to->kind)
		return error_set(err, ERR_USAGE, "-o: %s twice", to == until ?
			"where to end is said" : "where to begin is said");
	return to == until ? read_time("e@T", text + 2, until, err) :
		read_from(text, from, err);
}

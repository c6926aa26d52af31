/* SPDX-License-Identifier: Apache-2.0 */
/* Where a subscription begins and ends: see position.h. */
#include "cli/position.h"

#include <time.h>

#include "cli/opt.h"
#include "core/units.h"

/* n digits at *p, which moves on; -1: others are there. */
static int
digits(const char **p, int n)
{
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static bool
one_of(const char **p, const char *chars)
{
	if (!**p || !strchr(chars, **p))
		return false;
	(*p)++;
	return true;
}

/* "2026-11-21", 'T' or a blank, "06:55:30", perhaps a fraction, then Z or +01:00. */
static bool
read_rfc3339(const char *p, int64_t *ms)
{
	struct tm tm = { 0 };
	int64_t fraction = 0, zone = 0;
	int sign, day, hours, minutes;
	time_t t;

	if ((tm.tm_year = digits(&p, 4)) < 0 || !one_of(&p, "-") ||
	    (tm.tm_mon = digits(&p, 2)) < 1 || !one_of(&p, "-") ||
	    (tm.tm_mday = digits(&p, 2)) < 1 || !one_of(&p, "Tt ") ||
	    (tm.tm_hour = digits(&p, 2)) < 0 || !one_of(&p, ":") ||
	    (tm.tm_min = digits(&p, 2)) < 0 || !one_of(&p, ":") ||
	    (tm.tm_sec = digits(&p, 2)) < 0)
		return false;
	if (tm.tm_mon > 12 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	    tm.tm_sec > 60)
		return false;
	if (one_of(&p, ".")) {
		if (*p < '0' || *p > '9')
			return false;
		for (int unit = 100; *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (!one_of(&p, "Zz")) {
		sign = *p == '-' ? -1 : 1;
		if (!one_of(&p, "+-") || (hours = digits(&p, 2)) < 0 || !one_of(&p, ":") ||
		    (minutes = digits(&p, 2)) < 0 || hours > 23 || minutes > 59)
			return false;
		zone = sign * (hours * 60 + minutes) * INT64_C(60000);
	}
	if (*p)
		return false;
	if (tm.tm_sec == 60) {
		tm.tm_sec = 59;
		fraction += 1000;
	}
	day = tm.tm_mday;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	/* The 31st of a month that has none would be a day of the next. */
	if (tm.tm_mday != day)
		return false;
	*ms = (int64_t)t * 1000 + fraction - zone;
	return *ms >= 0;
}

static int
read_time(const char *option, const char *text, struct position *to, struct error *err)
{
	uint64_t n;

	to->kind = POSITION_TIME;
	if (units_count(text, INT64_MAX, &n))
		to->n = (int64_t)n;
	else if (!read_rfc3339(text, &to->n))
		return error_set(err, ERR_USAGE, "-o %s: '%s' is no time (milliseconds since "
			"1970, or 2026-11-21T06:55:30Z)", option, opt_shown(text));
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

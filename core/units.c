/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations, sizes, counts and times, in and out. See units.h.
 *
 * No floating point: what is read is exact, so that "0.1s" is 100 ms and not
 * 99, and what is printed does not depend on the locale.
 */
#include "core/units.h"

#include <string.h>
#include <time.h>

struct unit {
	const char *name;
	uint64_t one;
};

/* In microseconds. */
static const struct unit durations[] = {
	{ "us", 1 }, { "ms", 1000 }, { "s", 1000000 }, { "", 1000000 },
	{ "m", 60 * 1000000ull }, { "h", 3600 * 1000000ull }, { "d", 86400 * 1000000ull },
	{ NULL, 0 }
};

static const struct unit sizes[] = {
	{ "", 1 }, { "B", 1 },
	{ "K", 1ull << 10 }, { "M", 1ull << 20 }, { "G", 1ull << 30 }, { "T", 1ull << 40 },
	{ "k", 1ull << 10 }, { "m", 1ull << 20 }, { "g", 1ull << 30 }, { "t", 1ull << 40 },
	{ "KiB", 1ull << 10 }, { "MiB", 1ull << 20 }, { "GiB", 1ull << 30 }, { "TiB", 1ull << 40 },
	{ "kB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 }, { "TB", 1000000000000 },
	{ "KB", 1000 },
	{ NULL, 0 }
};

static const struct unit printed_sizes[] = {
	{ "B", 1 }, { "KiB", 1ull << 10 }, { "MiB", 1ull << 20 }, { "GiB", 1ull << 30 },
	{ "TiB", 1ull << 40 }, { "PiB", 1ull << 50 }, { "EiB", 1ull << 60 },
	{ NULL, 0 }
};

static const struct unit printed_durations[] = {
	{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
	{ NULL, 0 }
};

/* ---- in ---- */

static const struct unit *
find_unit(const struct unit *u, const char *name)
{
	while (u->name && strcmp(u->name, name) != 0)
		u++;
	return u->name ? u : NULL;
}

/* A number as written: whole + frac / scale. Digits beyond the twelfth behind
 * the point are only asked whether they are all 0. */
struct number {
	uint64_t whole, frac, scale;
	bool more, point;
};

static const char *
scan_number(const char *p, struct number *n)
{
	unsigned digits = 0;

	*n = (struct number){ .scale = 1 };
	for (; *p >= '0' && *p <= '9'; p++, digits++)
		if (__builtin_mul_overflow(n->whole, 10, &n->whole) ||
		    __builtin_add_overflow(n->whole, (uint64_t)(*p - '0'), &n->whole))
			return NULL;
	if (*p == '.') {
		n->point = true;
		digits = 0;
		for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
			if (n->scale < 1000000000000) {
				n->frac = n->frac * 10 + (uint64_t)(*p - '0');
				n->scale *= 10;
			} else {
				n->more = n->more || *p != '0';
			}
		}
	}
	return digits ? p : NULL;
}

/* One number and its unit, in microseconds, up to the next whole one; NULL: it is none.
 * *bare: it has no unit. */
static const char *
scan_duration(const char *p, unsigned __int128 *us, bool *bare)
{
	char name[4] = "";
	struct number n;
	const struct unit *u;
	size_t len = 0;

	p = scan_number(p, &n);
	if (!p)
		return NULL;
	while (len + 1 < sizeof name && p[len] >= 'a' && p[len] <= 'z') {
		name[len] = p[len];
		len++;
	}
	u = find_unit(durations, name);
	if (!u)
		return NULL;
	*bare = !len;
	/* frac * one is below 10^12 * 10^11: both need the wide type. */
	*us = (unsigned __int128)n.frac * u->one;
	*us = *us / n.scale + (*us % n.scale || n.more) + (unsigned __int128)n.whole * u->one;
	return p + len;
}

/* Up to the next whole one, because a wait that was asked for must not become
 * none: "0.1ms" is 1 ms. Several, as Go writes them ("1m30s"), each have a unit. */
bool
units_duration_ms(const char *text, uint64_t *ms)
{
	unsigned __int128 us, sum = 0;
	unsigned n = 0;
	bool bare;

	do {
		text = scan_duration(text, &us, &bare);
		if (!text || (bare && (n || *text)))
			return false;
		sum += us;
		n++;
	} while (*text && n < 16);
	sum = (sum + 999) / 1000;
	if (*text || sum > UNITS_DURATION_MAX_MS)
		return false;
	*ms = (uint64_t)sum;
	return true;
}

/* Down to a whole byte; "1.5" without a unit is a slip and not a size. */
bool
units_size(const char *text, uint64_t *bytes)
{
	struct number n;
	const char *p = scan_number(text, &n);
	const struct unit *u = p ? find_unit(sizes, p) : NULL;
	unsigned __int128 v;

	if (!u || (n.point && u->one == 1))
		return false;
	v = (unsigned __int128)n.frac * u->one / n.scale + (unsigned __int128)n.whole * u->one;
	if (v > UINT64_MAX)
		return false;
	*bytes = (uint64_t)v;
	return true;
}

bool
units_count(const char *text, uint64_t max, uint64_t *n)
{
	struct number v;
	const char *p = scan_number(text, &v);

	if (!p || *p || v.point || v.whole > max)
		return false;
	*n = v.whole;
	return true;
}

/* ---- out ---- */

/* RFC 3339 has four digits for the year: what lies outside of them shows as the
 * first or the last moment that it can say. */
#define TIME_MIN (INT64_C(-62167219200) * 1000000)
#define TIME_MAX (INT64_C(253402300800) * 1000000 - 1)
#define DAY_US INT64_C(86400000000)

static inline __attribute__((always_inline)) char *
put_digits(char *out, unsigned v, unsigned digits)
{
	for (unsigned i = digits; i--; v /= 10)
		out[i] = (char)('0' + v % 10);
	return out + digits;
}

/* From days since 0000-01-01. Counts years from 1 March, so that the day which
 * leap years add is the last of its year: from March of the year -400, to have
 * nothing negative. Every 400 years (146097 days) are alike. */
static char *
put_date(char *out, unsigned days)
{
	unsigned since = days + 146097 - 60;
	unsigned era = since / 146097, day = since % 146097;
	unsigned year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	unsigned yday = day - (365 * year + year / 4 - year / 100);
	unsigned m = (5 * yday + 2) / 153;	/* 0 is March; months are 153 days in 5 */
	unsigned month = m < 10 ? m + 3 : m - 9;

	out = put_digits(out, era * 400 + year + (month <= 2) - 400, 4);
	*out++ = '-';
	out = put_digits(out, month, 2);
	*out++ = '-';
	return put_digits(out, yday - (153 * m + 2) / 5 + 1, 2);
}

static void
add_time(struct buf *b, int64_t us, bool micro)
{
	char *begin = buf_room(b, 32), *out = begin;
	unsigned s, frac;

	us = us < TIME_MIN ? TIME_MIN : us > TIME_MAX ? TIME_MAX : us;
	us -= TIME_MIN;
	s = (unsigned)(us % DAY_US / 1000000);
	frac = (unsigned)(us % 1000000);
	out = put_date(out, (unsigned)(us / DAY_US));
	*out++ = 'T';
	out = put_digits(out, s / 3600, 2);
	*out++ = ':';
	out = put_digits(out, s / 60 % 60, 2);
	*out++ = ':';
	out = put_digits(out, s % 60, 2);
	*out++ = '.';
	out = micro ? put_digits(out, frac, 6) : put_digits(out, frac / 1000, 3);
	*out++ = 'Z';
	buf_added(b, (size_t)(out - begin));
}

void
units_add_time_us(struct buf *b, int64_t time_us)
{
	add_time(b, time_us, true);
}

void
units_add_time_ms(struct buf *b, int64_t time_us)
{
	add_time(b, time_us, false);
}

/* Two digits behind the point, in the largest unit that v reaches once rounded:
 * 1048575 bytes are "1.00 MiB" and not "1024.00 KiB". */
static void
add_scaled(struct buf *b, uint64_t v, const struct unit *u)
{
	const struct unit *next = u + 1;
	unsigned __int128 hundredths = (unsigned __int128)v * 100;

	for (; next->name; u = next++) {
		unsigned __int128 whole = (hundredths + u->one / 2) / u->one * u->one;

		if (whole < (unsigned __int128)next->one * 100)
			break;
	}
	if (u->one == 1) {
		buf_add_u64(b, v);
	} else {
		char frac[3] = ".";
		uint64_t h = (uint64_t)((hundredths + u->one / 2) / u->one);

		buf_add_u64(b, h / 100);
		put_digits(frac + 1, (unsigned)(h % 100), 2);
		buf_add(b, frac, 3);
	}
	buf_add_ch(b, ' ');
	buf_add_str(b, u->name);
}

void
units_add_size(struct buf *b, uint64_t bytes)
{
	add_scaled(b, bytes, printed_sizes);
}

void
units_add_duration_ns(struct buf *b, uint64_t ns)
{
	add_scaled(b, ns, printed_durations);
}

void
units_add_count(struct buf *b, uint64_t n)
{
	char text[32], *p = text + sizeof text;
	unsigned digits = 0;

	do {
		if (digits && digits % 3 == 0)
			*--p = ',';
		*--p = (char)('0' + n % 10);
		digits++;
	} while (n /= 10);
	buf_add(b, p, (size_t)(text + sizeof text - p));
}

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
bool
units_time_us(const char *p, int64_t *us)
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
		for (int unit = 100000; *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (!one_of(&p, "Zz")) {
		sign = *p == '-' ? -1 : 1;
		if (!one_of(&p, "+-") || (hours = digits(&p, 2)) < 0 || !one_of(&p, ":") ||
		    (minutes = digits(&p, 2)) < 0 || hours > 23 || minutes > 59)
			return false;
		zone = sign * (hours * 60 + minutes) * 60;
	}
	if (*p)
		return false;
	if (tm.tm_sec == 60) {
		tm.tm_sec = 59;
		fraction += 1000000;
	}
	day = tm.tm_mday;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	/* The 31st of a month that has none would be a day of the next. */
	if (tm.tm_mday != day)
		return false;
	*us = ((int64_t)t - zone) * 1000000 + fraction;
	return *us >= 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* sub --stats: see sub_stats.h. Topics are kept in a hash table that only grows, up to
 * TOPICS_MAX of them; what comes of others is counted together. */
#include "cli/sub_stats.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/text.h"
#include "core/units.h"

enum { TOPICS_MAX = 10000, ROWS_DEFAULT = 20, NAME_WIDTH = 40, NAME_LEAST = 10,
	CELLS = 14 + 13 + 14 + 12 + 12		/* the columns behind the name */
};

struct row {
	struct bytes topic;		/* its own copy; p NULL: the others */
	uint64_t hash, events, bytes;
	uint64_t was_events, was_bytes;	/* at the last report */
	uint64_t seen_ns;
};

struct sub_stats {
	struct loop *loop;
	struct loop_timer timer;
	uint64_t period_ns, begin_ns, last_ns;
	struct row *rows, others;
	size_t nrows;
	uint32_t *table;		/* row number + 1, by hash */
	size_t cap;			/* a power of two */
	size_t shown;			/* lines that are on the terminal now */
	bool in_place;
	struct buf out;
	size_t name_width, columns;	/* of a line, in place */
};

/* ---- counting ---- */

static uint64_t
hash_of(struct bytes b)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

static void
table_grow(struct sub_stats *s)
{
	size_t cap = s->cap ? s->cap * 2 : 64;

	free(s->table);
	s->table = xcalloc(cap, sizeof *s->table);
	s->cap = cap;
	for (size_t i = 0; i < s->nrows; i++) {
		size_t at = s->rows[i].hash & (cap - 1);

		while (s->table[at])
			at = (at + 1) & (cap - 1);
		s->table[at] = (uint32_t)i + 1;
	}
}

static struct row *
row_of(struct sub_stats *s, struct bytes topic)
{
	uint64_t h = hash_of(topic);
	struct row *r;
	size_t at;

	if (s->nrows * 2 >= s->cap)
		table_grow(s);
	for (at = h & (s->cap - 1); s->table[at]; at = (at + 1) & (s->cap - 1)) {
		r = &s->rows[s->table[at] - 1];
		if (r->hash == h && bytes_eq(r->topic, topic))
			return r;
	}
	if (s->nrows == TOPICS_MAX)
		return &s->others;
	if ((s->nrows & (s->nrows - 1)) == 0)
		s->rows = xrealloc(s->rows, (s->nrows ? s->nrows * 2 : 1) * sizeof *s->rows);
	r = &s->rows[s->nrows++];
	*r = (struct row){ .topic = { xmemdup0(topic.p ? topic.p : "", topic.n), topic.n },
		.hash = h };
	s->table[at] = (uint32_t)s->nrows;
	return r;
}

void
sub_stats_count(struct sub_stats *s, const struct event *ev)
{
	struct row *r = row_of(s, ev->topic);

	r->events++;
	r->bytes += ev->msg.body.n;
	r->seen_ns = loop_now_ns(s->loop);
}

/* ---- showing ---- */

/* What was said elsewhere never acts on a terminal, nor does it break a line. Of one that
 * is longer than most columns the beginning. */
static size_t
add_name(struct buf *out, struct bytes b, size_t most)
{
	size_t width = 0;

	for (const char *p = b.p, *end = b.p + b.n; p < end; width++) {
		unsigned len = utf8_seq(p, (size_t)(end - p));

		if (width + 4 > most) {
			buf_add_ch(out, '~');
			return width + 1;
		}
		if (len && utf8_is_shown(p, len)) {
			buf_add(out, p, len);
			p += len;
			continue;
		}
		buf_addf(out, "\\x%02x", (unsigned char)*p++);
		width += 3;
	}
	return width;
}

static double
rate(uint64_t n, uint64_t ns)
{
	return ns ? (double)n * 1e9 / (double)ns : 0;
}

static void
add_rate(struct buf *out, double r)
{
	if (r >= 100)
		units_add_count(out, (uint64_t)(r + 0.5));
	else
		buf_addf(out, "%.1f", r);
	buf_add_str(out, "/s");
}

/* To the right in a column. */
static void
add_right(struct buf *out, struct buf *cell, size_t width)
{
	for (size_t n = buf_len(cell); n < width; n++)
		buf_add_ch(out, ' ');
	buf_add_bytes(out, buf_bytes(cell));
	buf_clear(cell);
}

/* A line that the terminal would break in two would not be gone over again. All behind
 * the name is ASCII. */
static void
end_line(struct sub_stats *s)
{
	size_t width = s->name_width + CELLS, over = width > s->columns ? width - s->columns : 0;

	if (s->in_place && over)
		buf_truncate(&s->out, buf_len(&s->out) - (over < CELLS ? over : CELLS));
	buf_add_ch(&s->out, '\n');
}

static void
add_row(struct sub_stats *s, const struct row *r, uint64_t now_ns, uint64_t ns)
{
	struct buf cell = BUF_INIT;
	size_t width;

	width = add_name(&s->out, r->topic.p ? r->topic : BYTES("(others)"),
		s->in_place ? s->name_width : SIZE_MAX);
	for (; width < s->name_width; width++)
		buf_add_ch(&s->out, ' ');
	units_add_count(&cell, r->events);
	add_right(&s->out, &cell, 14);
	add_rate(&cell, rate(r->events - r->was_events, ns));
	add_right(&s->out, &cell, 13);
	units_add_size(&cell, (uint64_t)rate(r->bytes - r->was_bytes, ns));
	buf_add_str(&cell, "/s");
	add_right(&s->out, &cell, 14);
	units_add_size(&cell, r->events ? r->bytes / r->events : 0);
	add_right(&s->out, &cell, 12);
	buf_addf(&cell, "%.1f s ago", (double)(now_ns - r->seen_ns) / 1e9);
	add_right(&s->out, &cell, 12);
	end_line(s);
	buf_release(&cell);
}

/* The busiest first; then those that were seen last. */
static int
by_rate(const void *a, const void *b)
{
	const struct row *x = *(const struct row *const *)a, *y = *(const struct row *const *)b;
	uint64_t i = x->events - x->was_events, j = y->events - y->was_events;

	if (i != j)
		return i < j ? 1 : -1;
	if (x->seen_ns != y->seen_ns)
		return x->seen_ns < y->seen_ns ? 1 : -1;
	return bytes_cmp(x->topic, y->topic);
}

/* Topics that it has lines for; sets how wide it is, but for the last column. */
static size_t
measure_terminal(struct sub_stats *s)
{
	struct winsize size;
	bool told = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;
	size_t room;

	s->columns = told && size.ws_col > 1 ? size.ws_col - 1u : 79;
	room = s->columns > CELLS ? s->columns - CELLS : 0;
	s->name_width = room < NAME_LEAST ? NAME_LEAST : room > NAME_WIDTH ? NAME_WIDTH : room;
	return told && size.ws_row >= 4 ? size.ws_row - 3u : ROWS_DEFAULT;
}

/* One write, so that nobody else's line comes between. */
static void
write_out(struct sub_stats *s)
{
	struct bytes b = buf_bytes(&s->out);

	while (b.n) {
		ssize_t n = write(STDERR_FILENO, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		b = bytes_of(b.p + n, b.n - (size_t)n);
	}
	buf_clear(&s->out);
}

static void
report(struct sub_stats *s, bool last)
{
	const struct row **order = xmalloc((s->nrows + 1) * sizeof *order);
	uint64_t now = loop_clock_ns(), ns = now - s->last_ns;
	size_t n = 0, most = s->in_place ? measure_terminal(s) : SIZE_MAX;

	for (size_t i = 0; i < s->nrows; i++)
		if (s->in_place || last || s->rows[i].events != s->rows[i].was_events)
			order[n++] = &s->rows[i];
	if (s->others.events != s->others.was_events)
		order[n++] = &s->others;
	qsort(order, n, sizeof *order, by_rate);
	/* At the end: what there was in all. */
	for (size_t i = 0; last && i < s->nrows; i++)
		s->rows[i].was_events = s->rows[i].was_bytes = 0;
	if (last)
		s->others.was_events = s->others.was_bytes = 0, ns = now - s->begin_ns;
	if (s->in_place && s->shown)
		buf_addf(&s->out, "\033[%zuA\033[J", s->shown);
	if (n) {
		buf_addf(&s->out, "%-*s%14s%13s%14s%12s%12s", (int)s->name_width, "topic", "events",
			"rate", "bytes", "mean size", "last");
		end_line(s);
	}
	s->shown = n > 0;
	for (size_t i = 0; i < n && i < most; i++, s->shown++)
		add_row(s, order[i], now, ns);
	if (n > most) {
		buf_addf(&s->out, "(%zu more topics)\n", n - most);
		s->shown++;
	}
	write_out(s);
	for (size_t i = 0; i < s->nrows; i++) {
		s->rows[i].was_events = s->rows[i].events;
		s->rows[i].was_bytes = s->rows[i].bytes;
	}
	s->others.was_events = s->others.events;
	s->others.was_bytes = s->others.bytes;
	s->last_ns = now;
	free(order);
}

static void
on_timer(struct loop_timer *t)
{
	struct sub_stats *s = t->arg;

	report(s, false);
	loop_timer_set_at(s->loop, t, s->last_ns + s->period_ns);
}

struct sub_stats *
sub_stats_new(struct loop *loop, uint64_t period_ms, bool out)
{
	struct sub_stats *s = xcalloc(1, sizeof *s);

	s->loop = loop;
	s->period_ns = period_ms * 1000000;
	s->begin_ns = s->last_ns = loop_clock_ns();
	s->in_place = isatty(STDERR_FILENO) && !(out && isatty(STDOUT_FILENO));
	s->name_width = NAME_WIDTH;
	s->timer = (struct loop_timer){ .fn = on_timer, .arg = s };
	loop_timer_set_at(loop, &s->timer, s->last_ns + s->period_ns);
	return s;
}

void
sub_stats_free(struct sub_stats *s)
{
	if (!s)
		return;
	report(s, true);
	loop_timer_clear(s->loop, &s->timer);
	for (size_t i = 0; i < s->nrows; i++)
		free((char *)s->rows[i].topic.p);
	free(s->rows);
	free(s->table);
	buf_release(&s->out);
	free(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One line that tells how far a run is: see progress.h. */
#include "cli/progress.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/log.h"
#include "core/units.h"

enum {
	FIRST_MS = 500,			/* a run that is shorter needs none */
	NEXT_MS = 200,
	WIDTH_DEFAULT = 80
};

#define SECOND_NS 1000000000

static struct progress *running;

static void
add_left(struct buf *out, uint64_t seconds)
{
	if (seconds >= 3600)
		buf_addf(out, "  %llu:%02llu:%02llu left", (unsigned long long)(seconds / 3600),
			(unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
	else
		buf_addf(out, "  %llu:%02llu left", (unsigned long long)(seconds / 60),
			(unsigned long long)(seconds % 60));
}

void
progress_line(struct buf *out, const struct progress_now *now, double rate, uint64_t ran_ns,
	size_t width)
{
	size_t begin = buf_len(out);
	double part = now->whole ? (double)now->part / (double)now->whole : 0;
	double left = part > 0 ? (double)ran_ns / SECOND_NS * (1 - part) / part : -1;

	buf_add_str(out, "pub: ");
	units_add_count(out, now->events);
	buf_add_str(out, " events");
	if (now->whole)
		buf_addf(out, "  %u %%", (unsigned)(part > 1 ? 100 : part * 100));
	buf_add_str(out, "  ");
	units_add_count(out, (uint64_t)(rate + 0.5));
	buf_add_str(out, "/s  ");
	units_add_count(out, now->flying);
	buf_add_str(out, " in flight");
	/* Nobody waits for a hundred days. */
	if (left >= 0 && left < 100 * 86400)
		add_left(out, (uint64_t)(left + 0.5));
	if (buf_len(out) - begin > width)
		buf_truncate(out, begin + width);
}

/* One write, so that nobody else's line comes between. */
static void
put(struct progress *p)
{
	struct bytes b = buf_bytes(&p->out);

	while (b.n) {
		ssize_t n = write(STDERR_FILENO, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		b = bytes_of(b.p + n, b.n - (size_t)n);
	}
	buf_clear(&p->out);
}

/* As wide as it is now. The last column stays free: a cursor behind it is on the next
 * line for some terminals. */
static size_t
columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return WIDTH_DEFAULT - 1;
	return size.ws_col - 1u;
}

static void
hide(void)
{
	struct progress *p = running;

	if (!p || !p->shown)
		return;
	p->shown = false;
	buf_add_str(&p->out, "\r\033[K");
	put(p);
}

static void
on_timer(struct loop_timer *t)
{
	struct progress *p = t->arg;
	struct progress_now now = { 0 };
	uint64_t ns = loop_clock_ns();
	double rate;

	p->now(p, &now);
	rate = (double)(now.events - p->last_events) * SECOND_NS / (double)(ns - p->last_ns);
	p->rate = p->rate > 0 ? p->rate * 0.7 + rate * 0.3 : rate;
	p->last_ns = ns;
	p->last_events = now.events;
	buf_add_str(&p->out, "\r");
	progress_line(&p->out, &now, p->rate, ns - p->begin_ns, columns());
	buf_add_str(&p->out, "\033[K");
	p->shown = true;
	put(p);
	loop_timer_set(p->loop, t, NEXT_MS);
}

void
progress_start(struct progress *p, struct loop *loop)
{
	p->loop = loop;
	p->begin_ns = p->last_ns = loop_clock_ns();
	p->timer = (struct loop_timer){ .fn = on_timer, .arg = p };
	running = p;
	log_before = hide;
	loop_timer_set(loop, &p->timer, FIRST_MS);
}

void
progress_end(struct progress *p)
{
	if (running != p)
		return;
	hide();
	running = NULL;
	log_before = NULL;
	loop_timer_clear(p->loop, &p->timer);
	buf_release(&p->out);
}

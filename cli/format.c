/* SPDX-License-Identifier: Apache-2.0 */
/* The two formats that print bodies only, and the time stamp all others share:
 * see format.h. */
#include "cli/format.h"

#include "core/units.h"

/* Both ends of the years that have four digits. */
#define YEAR_10000 INT64_C(253402300800)

static void
stamp_set(struct format_stamp *s, int64_t second)
{
	struct buf text = BUF_INIT;

	units_add_time_us(&text, second * 1000000);
	memcpy(s->text, buf_data(&text), sizeof s->text - 1);
	buf_release(&text);
	s->second = second;
	s->set = true;
}

void
format_add_time(struct format_stamp *s, struct buf *out, int64_t time_us, unsigned digits)
{
	int64_t second = time_us / 1000000;
	uint32_t fraction;
	char *p;

	if (time_us < 0 || second >= YEAR_10000) {	/* rare: go the long way */
		if (digits == 3)
			units_add_time_ms(out, time_us);
		else
			units_add_time_us(out, time_us);
		return;
	}
	if (!s->set || second != s->second)
		stamp_set(s, second);
	fraction = (uint32_t)(time_us % 1000000);
	if (digits == 3)
		fraction /= 1000;
	p = buf_room(out, sizeof s->text + digits);
	memcpy(p, s->text, sizeof s->text - 1);
	p += sizeof s->text - 1;
	for (unsigned i = digits; i-- > 0; fraction /= 10)
		p[i] = (char)('0' + fraction % 10);
	p[digits] = 'Z';
	buf_added(out, sizeof s->text + digits);
}

static void
body_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	struct bytes end = f->end.p ? f->end : BYTES("\n");

	(void)n;
	buf_room(out, ev->msg.body.n + end.n);
	buf_add_bytes(out, ev->msg.body);
	buf_add_bytes(out, end);
}

static void
raw_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	(void)n;
	buf_add_bytes(out, ev->msg.body);
	buf_add_bytes(out, f->end);
}

const struct format format_body = { .name = "body", .add = body_add };
const struct format format_raw = { .name = "raw", .add = raw_add };

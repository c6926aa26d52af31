/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of events and their offsets: see kafka_marks.h. */
#include "backends/kafka/kafka_marks.h"

#include <stdlib.h>

#include "core/buf.h"

enum { RING_FIRST = 1024 };

static struct kafka_marks_entry *
entry(struct kafka_marks *m, uint64_t number)
{
	return &m->ring[number & (m->cap - 1)];
}

void
kafka_marks_release(struct kafka_marks *m)
{
	free(m->ring);
	*m = (struct kafka_marks){ 0 };
}

static void
grow(struct kafka_marks *m, uint64_t span)
{
	struct kafka_marks old = *m;

	while (m->cap < span)
		m->cap = m->cap ? 2 * m->cap : RING_FIRST;
	m->ring = xcalloc(m->cap, sizeof *m->ring);
	for (uint64_t i = old.first; i < old.next; i++)
		*entry(m, i) = *entry(&old, i);
	free(old.ring);
}

void
kafka_marks_add(struct kafka_marks *m, uint64_t number, struct kafka_mark *mark, int64_t offset)
{
	if (m->first == m->next)
		m->first = m->next = number;
	if (number - m->first >= m->cap)
		grow(m, number - m->first + 1);
	/* Other subscriptions' events lie between. */
	while (m->next < number)
		*entry(m, m->next++) = (struct kafka_marks_entry){ NULL, 0, MARK_DONE };
	*entry(m, m->next++) = (struct kafka_marks_entry){ mark, offset, MARK_OUT };
	mark->out++;
}

/* What has no open event before it. */
static void
advance(struct kafka_marks *m)
{
	while (m->first < m->next) {
		struct kafka_marks_entry *e = entry(m, m->first);

		if (e->state == MARK_OUT)
			return;
		m->first++;
		if (!e->mark)
			continue;
		if (e->state == MARK_FAILED)
			e->mark->stuck = true;
		else if (!e->mark->stuck)
			e->mark->done = e->offset + 1;
	}
}

void
kafka_marks_settle(struct kafka_marks *m, uint64_t first, uint64_t last, bool ok)
{
	if (first < m->first)
		first = m->first;
	for (uint64_t i = first; i <= last && i < m->next; i++) {
		struct kafka_marks_entry *e = entry(m, i);

		if (e->state != MARK_OUT)
			continue;
		e->state = ok ? MARK_DONE : MARK_FAILED;
		if (e->mark)
			e->mark->out--;
	}
	advance(m);
}

void
kafka_marks_forget(struct kafka_marks *m, const struct kafka_mark *mark)
{
	for (uint64_t i = m->first; i < m->next; i++) {
		struct kafka_marks_entry *e = entry(m, i);

		if (e->mark == mark) {
			e->mark = NULL;
			e->state = MARK_DONE;
		}
	}
	advance(m);
}

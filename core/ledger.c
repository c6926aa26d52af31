/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done about delivered events: see ledger.h. */
#include "core/ledger.h"

#include <stdlib.h>

#include "core/buf.h"

enum { LEDGER_FIRST = 256 };

static void
ledger_grow(struct ledger *l)
{
	struct ledger old = *l;

	l->cap = old.cap ? old.cap * 2 : LEDGER_FIRST;
	l->ring = xcalloc(l->cap, sizeof *l->ring);
	for (uint64_t n = old.first; n < old.next; n++)
		*ledger_at(l, n) = *ledger_at(&old, n);
	free(old.ring);
}

struct ledger_entry *
ledger_add(struct ledger *l, uint64_t number)
{
	struct ledger_entry *e;

	if (l->first == l->next)
		l->first = l->next = number;
	/* Numbers between are of what nobody acknowledges. */
	for (;;) {
		if (l->next - l->first == l->cap)
			ledger_grow(l);
		e = ledger_at(l, l->next);
		*e = (struct ledger_entry){ .state = LEDGER_DONE };
		if (l->next++ == number)
			break;
	}
	e->state = LEDGER_OUT;
	return e;
}

bool
ledger_settle(struct ledger *l, uint64_t *first, uint64_t *last, bool ok)
{
	bool any = false;

	if (*first < l->first)
		*first = l->first;
	if (*last >= l->next)
		*last = l->next - 1;
	if (l->first == l->next || *first > *last)
		return false;
	for (uint64_t n = *first; n <= *last; n++) {
		struct ledger_entry *e = ledger_at(l, n);

		if (e->state != LEDGER_OUT)
			continue;
		e->state = ok ? LEDGER_OK : LEDGER_FAILED;
		any = true;
	}
	return any;
}

void
ledger_trim(struct ledger *l)
{
	while (l->first != l->next && ledger_at(l, l->first)->state == LEDGER_DONE)
		l->first++;
}

bool
ledger_any(const struct ledger *l, enum ledger_state state)
{
	for (uint64_t n = l->first; n != l->next; n++)
		if (ledger_at(l, n)->state == state)
			return true;
	return false;
}

void
ledger_forget(struct ledger *l)
{
	l->first = l->next;
}

void
ledger_release(struct ledger *l)
{
	free(l->ring);
	*l = (struct ledger){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait: until there are enough nodes of a service. A watch says when to look again, and
 * lookups say what there is: who was there before the watch began is told by no change.
 * Where a change may be lost on its way (mdns), it is looked again now and then.
 */
#include "cli/registry_cmd.h"

enum {
	SOON_MS = 10,			/* after a change: there may be more of them */
	AGAIN_MS = 500			/* where nobody may have said anything */
};

struct waiting {
	struct inquiry *in;
	struct watch watch;
	struct loop_timer again;
	bool looking, changed;
	size_t seen;			/* by the last lookup that ended */
};

static uint64_t
wanted(const struct waiting *w)
{
	return w->in->args->count ? w->in->args->count : 1;
}

static void
wait_look(struct waiting *w)
{
	struct inquiry *q = w->in;

	registry_look_clear(q);
	w->changed = false;
	/* That of another address under the same id is another node; of a second
	 * answer registry_look_sort() makes one. */
	if (registry_get(q->registry, bytes_str(q->operands[0]), &q->lookup, q->err) < 0) {
		q->kind = q->err->kind;
		loop_stop(q->loop);
		return;
	}
	w->looking = true;
}

static void
wait_again(struct loop_timer *t)
{
	struct waiting *w = t->arg;

	if (!w->looking)
		wait_look(w);
}

static void
wait_changed(struct watch *watch, enum registry_action action, const struct service *s)
{
	struct waiting *w = watch->arg;

	(void)s;
	if (action == REGISTRY_DELETE)
		return;
	w->changed = true;
	if (!w->looking)
		loop_timer_set(w->in->loop, &w->again, SOON_MS);
}

static void
wait_done(struct lookup *l, const struct error *err)
{
	struct waiting *w = l->arg;
	struct inquiry *q = w->in;

	w->looking = false;
	if (err) {
		*q->err = *err;
		q->kind = err->kind;
		loop_stop(q->loop);
		return;
	}
	registry_look_sort(q);
	w->seen = q->nfound;
	log_debug("%zu of %llu nodes", q->nfound, (unsigned long long)wanted(w));
	if (q->nfound >= wanted(w))
		loop_stop(q->loop);
	else if (w->changed)
		loop_timer_set(q->loop, &w->again, SOON_MS);
	else if (q->registry->ops->hearsay)
		loop_timer_set(q->loop, &w->again, AGAIN_MS);
}

static bool
wait_found(struct lookup *l, const struct service *s)
{
	struct waiting *w = l->arg;
	struct inquiry *q = w->in;

	for (size_t i = 0; i < s->nnodes && q->nfound < wanted(w); i++) {
		registry_look_put(q, s, &s->nodes[i]);
		registry_look_sort(q);
	}
	return q->nfound >= wanted(w);
}

static void
wait_deadline(struct loop_timer *t)
{
	struct waiting *w = t->arg;
	struct inquiry *q = w->in;

	error_set(q->err, ERR_TIMEOUT, "timed out: %zu of %llu nodes of service %s (%s)", w->seen,
		(unsigned long long)wanted(w), opt_shown(q->operands[0]), q->registry->ops->name);
	q->kind = ERR_TIMEOUT;
	loop_stop(q->loop);
}

int
registry_run_wait(struct inquiry *q)
{
	struct waiting w = { .in = q };

	w.watch = (struct watch){ .name = bytes_str(q->operands[0]), .changed = wait_changed,
		.arg = &w };
	w.again = (struct loop_timer){ .fn = wait_again, .arg = &w };
	q->deadline = (struct loop_timer){ .fn = wait_deadline, .arg = &w };
	q->lookup.found = wait_found;
	q->lookup.done = wait_done;
	q->lookup.arg = &w;
	q->lookup.refused = NULL;
	q->lookup.all = false;
	if (registry_watch(q->registry, &w.watch, q->err) < 0)
		return -1;
	if (q->args->timeout_ms)
		loop_timer_set(q->loop, &q->deadline, q->args->timeout_ms);
	wait_look(&w);
	loop_run(q->loop);
	registry_cancel(q->registry, &q->lookup);
	registry_unwatch(q->registry, &w.watch);
	loop_timer_clear(q->loop, &w.again);
	loop_timer_clear(q->loop, &q->deadline);
	return q->kind ? -1 : 0;
}

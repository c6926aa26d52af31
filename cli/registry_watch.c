/* SPDX-License-Identifier: Apache-2.0 */
/* watch: changes are printed as they are heard. */
#include <stdlib.h>
#include <unistd.h>

#include "cli/registry_cmd.h"

enum {
	REGISTRY_DRAIN_MS = 1000,	/* for a slow reader of stdout, at the end */
	UNREAD_MAX = 16 << 20		/* changes that nobody reads are not kept beyond this */
};

struct watching {
	struct inquiry *in;
	struct watch watch;
	struct output out;
	struct interrupt interrupt;
	struct loop_idle idle;
	struct loop_task settle;
	struct loop_timer drain;
	bool ending;
};

static const char *const action_name[] = {
	[REGISTRY_CREATE] = "create",
	[REGISTRY_UPDATE] = "update",
	[REGISTRY_DELETE] = "delete",
};

/* Takes no more changes; what was printed should still come out. */
static void
watch_end(struct watching *q, enum error_kind kind)
{
	if (q->ending)
		return;
	q->ending = true;
	q->in->kind = kind;
	loop_timer_set(q->in->loop, &q->drain, REGISTRY_DRAIN_MS);
	loop_defer(q->in->loop, &q->settle);
}

static void
watch_changed(struct watch *w, enum registry_action action, const struct service *s)
{
	struct watching *q = w->arg;
	struct buf *out = &q->out.buf;

	if (q->ending)
		return;
	if (buf_len(out) > UNREAD_MAX) {
		if (!q->in->lost++)
			log_warn("stdout is not read: changes are lost");
		return;
	}
	q->in->lost = 0;
	for (size_t i = 0; i < s->nnodes; i++) {
		struct found *f = found_new(s, &s->nodes[i]);

		if (q->in->args->json)
			found_add_json(out, action_name[action], &f, 1);
		else
			found_add_text(out, action_name[action], f, false);
		free(f);
	}
	if (++q->in->changes == q->in->args->count)
		watch_end(q, ERR_NONE);
	else if (output_pending(&q->out) >= OUTPUT_BATCH)
		loop_defer(q->in->loop, &q->settle);
}

static void
watch_settle(struct loop_task *t)
{
	struct watching *q = t->arg;

	output_flush(&q->out);
	if (q->out.over && q->out.error.kind && !q->in->kind) {
		*q->in->err = q->out.error;
		q->in->kind = q->in->err->kind;
	}
	if (q->out.over || (q->ending && !output_pending(&q->out)))
		loop_stop(q->in->loop);
}

static void
watch_progress(struct output *o)
{
	struct watching *q = o->arg;

	if (o->over || q->ending)
		loop_defer(q->in->loop, &q->settle);
}

static void
watch_idle(struct loop_idle *h)
{
	struct watching *q = h->arg;

	if (output_pending(&q->out))
		output_flush(&q->out);
}

static void
watch_deadline(struct loop_timer *t)
{
	struct watching *q = t->arg;

	if (!q->in->args->count && q->in->changes) {
		watch_end(q, ERR_NONE);
		return;
	}
	error_set(q->in->err, ERR_TIMEOUT, q->in->args->count ? "timed out: %llu of %llu changes" :
		"timed out: no change", (unsigned long long)q->in->changes,
		(unsigned long long)q->in->args->count);
	watch_end(q, ERR_TIMEOUT);
}

static void
watch_drained(struct loop_timer *t)
{
	struct watching *q = t->arg;

	log_warn("stdout is full: %zu bytes were not written", output_pending(&q->out));
	loop_stop(q->in->loop);
}

static void
watch_interrupted(struct interrupt *i)
{
	watch_end(i->arg, ERR_NONE);
}

static int
watch_loop(struct watching *q)
{
	if (interrupt_watch(&q->interrupt, q->in->loop, q->in->err) < 0 ||
	    registry_watch(q->in->registry, &q->watch, q->in->err) < 0)
		return -1;
	log_verbose("watching %s (%s)", q->watch.name.p ? q->watch.name.p : "all services",
		q->in->registry->ops->name);
	if (q->in->args->timeout_ms)
		loop_timer_set(q->in->loop, &q->in->deadline, q->in->args->timeout_ms);
	loop_idle_add(q->in->loop, &q->idle);
	loop_run(q->in->loop);
	loop_idle_del(q->in->loop, &q->idle);
	return q->in->kind ? -1 : 0;
}

int
registry_run_watch(struct inquiry *in)
{
	struct watching w = { .in = in }, *q = &w;
	int r;

	q->watch = (struct watch){ .name = bytes_str(in->noperands ? in->operands[0] : NULL),
		.changed = watch_changed, .arg = q };
	q->interrupt = (struct interrupt){ .fn = watch_interrupted, .arg = q };
	q->idle = (struct loop_idle){ .fn = watch_idle, .arg = q };
	q->settle = (struct loop_task){ .fn = watch_settle, .arg = q };
	q->drain = (struct loop_timer){ .fn = watch_drained, .arg = q };
	in->deadline = (struct loop_timer){ .fn = watch_deadline, .arg = q };
	q->out.progress = watch_progress;
	q->out.arg = q;
	if (output_open(&q->out, in->loop, STDOUT_FILENO, "stdout", in->err) < 0)
		return -1;
	r = watch_loop(q);
	loop_timer_clear(in->loop, &q->drain);
	loop_timer_clear(in->loop, &in->deadline);
	registry_unwatch(in->registry, &q->watch);
	loop_task_cancel(&q->settle);
	output_close(&q->out);
	/* Interrupted with a task unfinished, the shell is to see a signal. */
	if (r == 0 && in->changes < in->args->count)
		in->signo = q->interrupt.signo;
	return r;
}

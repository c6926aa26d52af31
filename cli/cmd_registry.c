/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus registry: what the registry knows, to find out why two programs do not
 * meet. `list` and `get` collect the answers of one lookup, sort them and print
 * each thing once; `watch` prints changes as they are heard. With -v the
 * registry itself says on stderr what it heard and did not believe.
 */
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/found.h"
#include "cli/interrupt.h"
#include "cli/output.h"

enum {
	REGISTRY_DRAIN_MS = 1000,	/* for a slow reader of stdout, at the end */
	FOUND_MAX = 32 << 20,		/* bytes of answers to one lookup */
	UNREAD_MAX = 16 << 20		/* changes that nobody reads are not kept beyond this */
};

struct registry_args {
	struct common_args common;
	uint64_t count, timeout_ms;
	bool json;
};

struct inquiry {
	const struct registry_args *args;
	struct loop *loop;
	struct registry *registry;
	struct error *err;
	enum error_kind kind;		/* what it ends with */
	struct loop_timer deadline;
	/* list and get */
	struct lookup lookup;
	struct found **found;
	size_t nfound, cap;
	size_t bytes;			/* of them */
	unsigned nrefused;
	struct error refused;		/* the first that is not believed, and why */
	/* watch */
	struct watch watch;
	struct output out;
	struct interrupt interrupt;
	struct loop_idle idle;
	struct loop_task settle;
	struct loop_timer drain;
	uint64_t changes;
	uint64_t lost;			/* not kept, since nobody reads */
	bool ending;
};

/* ---- list and get: what was found ---- */

static void
put_found(struct inquiry *q, struct found *f)
{
	if (q->nfound == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 16;
		q->found = xrealloc(q->found, q->cap * sizeof *q->found);
	}
	q->found[q->nfound++] = f;
}

static size_t
node_size(const struct node *n)
{
	size_t size = n->id.n + n->address.n;

	for (size_t i = 0; i < n->nmetadata; i++)
		size += n->metadata[i].key.n + n->metadata[i].value.n + sizeof *n->metadata;
	return size;
}

static bool
found(struct lookup *l, const struct service *s)
{
	struct inquiry *q = l->arg;

	if (q->bytes > FOUND_MAX) {
		if (!q->lost++)
			log_warn("more than %d MiB of answers: the rest is not shown", FOUND_MAX >> 20);
		return true;
	}
	for (size_t i = 0; i < s->nnodes; i++)
		q->bytes += node_size(&s->nodes[i]);
	if (s->nnodes == 0)
		put_found(q, found_new(s, NULL));
	for (size_t i = 0; i < s->nnodes; i++)
		put_found(q, found_new(s, &s->nodes[i]));
	return true;
}

static void
refused(struct lookup *l, const struct service *s, const char *why)
{
	struct inquiry *q = l->arg;

	if (!q->nrefused++ && s->nnodes)
		error_set(&q->refused, ERR_NOTFOUND, "%.*s at %.*s: %s",
			BYTES_FMT(s->nodes[0].id), BYTES_FMT(s->nodes[0].address), why);
}

/* A node may answer more than once. */
static void
sort_found(struct inquiry *q)
{
	size_t n = 0;

	if (q->nfound == 0)
		return;
	qsort(q->found, q->nfound, sizeof *q->found, found_cmp);
	for (size_t i = 0; i < q->nfound; i++) {
		if (n && found_cmp(&q->found[n - 1], &q->found[i]) == 0)
			free(q->found[i]);
		else
			q->found[n++] = q->found[i];
	}
	q->nfound = n;
}

static void
looked_up(struct lookup *l, const struct error *err)
{
	struct inquiry *q = l->arg;

	if (err) {
		*q->err = *err;
		q->kind = err->kind;
	}
	loop_stop(q->loop);
}

static void
lookup_deadline(struct loop_timer *t)
{
	struct inquiry *q = t->arg;

	error_set(q->err, ERR_TIMEOUT, "timed out before the registry answered");
	q->kind = ERR_TIMEOUT;
	loop_stop(q->loop);
}

/* Runs the lookup that was started; -1: err is set. */
static int
wait_lookup(struct inquiry *q)
{
	q->deadline.fn = lookup_deadline;
	if (q->args->timeout_ms)
		loop_timer_set(q->loop, &q->deadline, q->args->timeout_ms);
	loop_run(q->loop);
	registry_cancel(q->registry, &q->lookup);
	sort_found(q);
	return q->kind ? -1 : 0;
}

static int
print_found(struct inquiry *q, void (*add)(struct inquiry *, struct buf *))
{
	struct buf out = BUF_INIT;
	int r;

	add(q, &out);
	r = stdout_write(&out, q->err);
	buf_release(&out);
	return r;
}

static void
add_names(struct inquiry *q, struct buf *out)
{
	for (size_t i = 0; i < q->nfound; i++) {
		if (q->args->json)
			found_add_name_json(out, q->found[i]);
		else
			found_add_name(out, q->found[i]);
	}
}

static int
run_list(struct inquiry *q, const char *name)
{
	(void)name;
	if (registry_list(q->registry, &q->lookup, q->err) < 0 || wait_lookup(q) < 0)
		return -1;
	if (q->nfound == 0)
		log_verbose("no service is registered (%s)", q->registry->ops->name);
	return print_found(q, add_names);
}

static void
add_nodes(struct inquiry *q, struct buf *out)
{
	for (size_t i = 0, n; i < q->nfound; i += n) {
		for (n = 1; i + n < q->nfound; n++)
			if (!bytes_eq(q->found[i + n]->version, q->found[i]->version))
				break;
		if (q->args->json)
			found_add_json(out, "found", q->found + i, n);
		for (size_t k = 0; !q->args->json && k < n; k++)
			found_add_text(out, NULL, q->found[i + k], true);
	}
}

static int
run_get(struct inquiry *q, const char *name)
{
	if (registry_get(q->registry, bytes_str(name), &q->lookup, q->err) < 0 ||
	    wait_lookup(q) < 0)
		return -1;
	if (q->nfound == 0 && q->nrefused)
		return error_set(q->err, ERR_NOTFOUND, "no node of service %s is believed (%s); %s",
			name, q->registry->ops->name, q->refused.text);
	if (q->nfound == 0)
		return error_set(q->err, ERR_NOTFOUND, "no node of service %s answered (%s); "
			"`mbus registry list` shows which services are there, "
			"-v what was heard and not believed", name, q->registry->ops->name);
	return print_found(q, add_nodes);
}

/* ---- watch ---- */

static const char *const action_name[] = {
	[REGISTRY_CREATE] = "create",
	[REGISTRY_UPDATE] = "update",
	[REGISTRY_DELETE] = "delete",
};

/* Takes no more changes; what was printed should still come out. */
static void
watch_end(struct inquiry *q, enum error_kind kind)
{
	if (q->ending)
		return;
	q->ending = true;
	q->kind = kind;
	loop_timer_set(q->loop, &q->drain, REGISTRY_DRAIN_MS);
	loop_defer(q->loop, &q->settle);
}

static void
watch_changed(struct watch *w, enum registry_action action, const struct service *s)
{
	struct inquiry *q = w->arg;
	struct buf *out = &q->out.buf;

	if (q->ending)
		return;
	if (buf_len(out) > UNREAD_MAX) {
		if (!q->lost++)
			log_warn("stdout is not read: changes are lost");
		return;
	}
	q->lost = 0;
	for (size_t i = 0; i < s->nnodes; i++) {
		struct found *f = found_new(s, &s->nodes[i]);

		if (q->args->json)
			found_add_json(out, action_name[action], &f, 1);
		else
			found_add_text(out, action_name[action], f, false);
		free(f);
	}
	if (++q->changes == q->args->count)
		watch_end(q, ERR_NONE);
	else if (output_pending(&q->out) >= OUTPUT_BATCH)
		loop_defer(q->loop, &q->settle);
}

static void
watch_settle(struct loop_task *t)
{
	struct inquiry *q = t->arg;

	output_flush(&q->out);
	if (q->out.over && q->out.error.kind && !q->kind) {
		*q->err = q->out.error;
		q->kind = q->err->kind;
	}
	if (q->out.over || (q->ending && !output_pending(&q->out)))
		loop_stop(q->loop);
}

static void
watch_progress(struct output *o)
{
	struct inquiry *q = o->arg;

	if (o->over || q->ending)
		loop_defer(q->loop, &q->settle);
}

static void
watch_idle(struct loop_idle *h)
{
	struct inquiry *q = h->arg;

	if (output_pending(&q->out))
		output_flush(&q->out);
}

static void
watch_deadline(struct loop_timer *t)
{
	struct inquiry *q = t->arg;

	if (!q->args->count && q->changes) {
		watch_end(q, ERR_NONE);
		return;
	}
	error_set(q->err, ERR_TIMEOUT, q->args->count ? "timed out: %llu of %llu changes" :
		"timed out: no change", (unsigned long long)q->changes,
		(unsigned long long)q->args->count);
	watch_end(q, ERR_TIMEOUT);
}

static void
watch_drained(struct loop_timer *t)
{
	struct inquiry *q = t->arg;

	log_warn("stdout is full: %zu bytes were not written", output_pending(&q->out));
	loop_stop(q->loop);
}

static void
watch_interrupted(struct interrupt *i)
{
	watch_end(i->arg, ERR_NONE);
}

static int
watch_loop(struct inquiry *q)
{
	if (interrupt_watch(&q->interrupt, q->loop, q->err) < 0 ||
	    registry_watch(q->registry, &q->watch, q->err) < 0)
		return -1;
	log_verbose("watching %s (%s)", q->watch.name.p ? q->watch.name.p : "all services",
		q->registry->ops->name);
	if (q->args->timeout_ms)
		loop_timer_set(q->loop, &q->deadline, q->args->timeout_ms);
	loop_idle_add(q->loop, &q->idle);
	loop_run(q->loop);
	loop_idle_del(q->loop, &q->idle);
	return q->kind ? -1 : 0;
}

static int
run_watch(struct inquiry *q, const char *name)
{
	int r;

	q->watch = (struct watch){ .name = bytes_str(name), .changed = watch_changed, .arg = q };
	q->interrupt = (struct interrupt){ .fn = watch_interrupted, .arg = q };
	q->idle = (struct loop_idle){ .fn = watch_idle, .arg = q };
	q->settle = (struct loop_task){ .fn = watch_settle, .arg = q };
	q->drain = (struct loop_timer){ .fn = watch_drained, .arg = q };
	q->deadline.fn = watch_deadline;
	q->out.progress = watch_progress;
	q->out.arg = q;
	if (output_open(&q->out, q->loop, STDOUT_FILENO, "stdout", q->err) < 0)
		return -1;
	r = watch_loop(q);
	registry_unwatch(q->registry, &q->watch);
	loop_task_cancel(&q->settle);
	output_close(&q->out);
	return r;
}

/* ---- the command ---- */

static const struct {
	const char *word;
	int (*run)(struct inquiry *, const char *name);
	bool needs_name, takes_name, takes_count;
} forms[] = {
	{ "list", run_list, false, false, false },
	{ "get", run_get, true, true, false },
	{ "watch", run_watch, false, true, true },
};

enum { NFORMS = sizeof forms / sizeof *forms };

static int
choose(const struct registry_args *a, int noperands, char **operands, struct error *err)
{
	size_t i = 0;

	if (noperands == 0)
		return error_set(err, ERR_USAGE, "list, get NAME, or watch [NAME]?");
	while (i < NFORMS && strcmp(operands[0], forms[i].word) != 0)
		i++;
	if (i == NFORMS)
		return error_set(err, ERR_USAGE, "no such thing as \"%s\": list, get NAME, or "
			"watch [NAME]", opt_shown(operands[0]));
	if (noperands == 1 && forms[i].needs_name)
		return error_set(err, ERR_USAGE, "%s: of which service?", forms[i].word);
	if (noperands > 1 + forms[i].takes_name)
		return error_set(err, ERR_USAGE, "%s: \"%s\" is too much", forms[i].word,
			opt_shown(operands[1 + forms[i].takes_name]));
	if (a->count && !forms[i].takes_count)
		return error_set(err, ERR_USAGE, "%s: -c is for watch", forms[i].word);
	return (int)i;
}

static int
registry_run(void *args, int noperands, char **operands, struct error *err)
{
	const struct registry_args *a = args;
	struct inquiry q = { .args = a, .err = err };
	int form = choose(a, noperands, operands, err), r = -1;

	if (form < 0)
		return -1;
	q.loop = loop_new(err);
	if (!q.loop)
		return -1;
	q.lookup = (struct lookup){ .found = found, .refused = refused,
		.done = looked_up, .arg = &q, .all = true };
	q.deadline.arg = &q;
	q.registry = common_registry(&a->common, q.loop, err);
	if (q.registry)
		r = forms[form].run(&q, noperands > 1 ? operands[1] : NULL);
	registry_free(q.registry);
	for (size_t i = 0; i < q.nfound; i++)
		free(q.found[i]);
	free(q.found);
	loop_free(q.loop);
	/* Interrupted with a task unfinished, the shell is to see a signal. */
	if (r == 0 && q.interrupt.signo && q.changes < a->count)
		interrupt_die(q.interrupt.signo);
	return r;
}

#define A struct registry_args

static const struct opt registry_opts[] = {
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .min = 1, .group = "When to end",
		.help = "watch: after N changes" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .min = 1,
		.help = "after this time: status 124 if the registry has not answered, resp. "
			"if no change or fewer than -c asked for were seen" },
	{ "json", 'J', OPT_FLAG(A, json), .group = "Output",
		.help = "JSON: a line for each version of a service, with its nodes" },
	{ NULL }
};

const struct command cmd_registry = {
	.name = "registry",
	.summary = "show which services are there, and where",
	.synopsis = "[OPTION...] list\n[OPTION...] get NAME\n[OPTION...] watch [NAME]",
	.opts = registry_opts,
	.args_size = sizeof(struct registry_args),
	.notes = "list prints the names of services; get the nodes of one, with their\n"
		"metadata; watch what is registered and deregistered from now on. With -v,\n"
		"what was heard and not believed is said on stderr.",
	.examples = "  mbus registry list\n"
		"  mbus registry get micro.http.broker\n"
		"  mbus registry -J watch greeter\n",
	.run = registry_run,
};

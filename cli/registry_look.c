/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list and get: they collect the answers of one lookup, sort them and print each thing
 * once. With -v the registry itself says on stderr what it heard and did not believe.
 */
#include <stdlib.h>

#include "cli/registry_cmd.h"

enum {
	FOUND_MAX = 32 << 20,		/* bytes of answers */
	GETS_MAX = 64			/* list -l: lookups begun together */
};

/* ---- what was found ---- */

static void
put_found(struct inquiry *q, struct found *f)
{
	if (q->nfound == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 16;
		q->found = xrealloc(q->found, q->cap * sizeof *q->found);
	}
	q->found[q->nfound++] = f;
}

void
registry_look_put(struct inquiry *q, const struct service *s, const struct node *n)
{
	put_found(q, found_new(s, n));
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
		q->bytes += node_size(&s->nodes[i]) + s->endpoints.n;
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
void
registry_look_sort(struct inquiry *q)
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
int
registry_look_run(struct inquiry *q)
{
	q->deadline.fn = lookup_deadline;
	if (q->args->timeout_ms)
		loop_timer_set(q->loop, &q->deadline, q->args->timeout_ms);
	loop_run(q->loop);
	registry_cancel(q->registry, &q->lookup);
	registry_look_sort(q);
	return q->kind ? -1 : 0;
}

void
registry_look_init(struct inquiry *q)
{
	q->lookup = (struct lookup){ .found = found, .refused = refused, .done = looked_up,
		.arg = q, .all = true };
	q->deadline.arg = q;
}

void
registry_look_clear(struct inquiry *q)
{
	for (size_t i = 0; i < q->nfound; i++)
		free(q->found[i]);
	free(q->found);
	q->found = NULL;
	q->nfound = q->cap = q->bytes = 0;
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

/* How many from the ith on are nodes of one version of one service. */
static size_t
run_of(const struct inquiry *q, size_t i)
{
	size_t n = 1;

	while (i + n < q->nfound && bytes_eq(q->found[i + n]->name, q->found[i]->name) &&
	    bytes_eq(q->found[i + n]->version, q->found[i]->version))
		n++;
	return n;
}

static void
add_versions_json(struct inquiry *q, struct buf *out)
{
	for (size_t i = 0, n; i < q->nfound; i += n) {
		n = run_of(q, i);
		found_add_json(out, "found", q->found + i, n);
	}
}

/* ---- list ---- */

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

static void
add_versions(struct inquiry *q, struct buf *out)
{
	if (q->args->json) {
		add_versions_json(q, out);
		return;
	}
	for (size_t i = 0, n; i < q->nfound; i += n) {
		n = run_of(q, i);
		found_add_version(out, q->found + i, n);
	}
}

/* list -l: lookups of many services at once. */
struct gets {
	struct inquiry *q;
	struct lookup lookup[GETS_MAX];
	size_t left;			/* not done */
};

static bool
get_found(struct lookup *l, const struct service *s)
{
	struct gets *g = l->arg;

	return found(&g->q->lookup, s);
}

static void
get_done(struct lookup *l, const struct error *err)
{
	struct gets *g = l->arg;

	if (err) {
		*g->q->err = *err;
		g->q->kind = err->kind;
	}
	if (--g->left == 0 || err)
		loop_stop(g->q->loop);
}

static int
get_some(struct inquiry *q, struct found *const *names, size_t n)
{
	struct gets g = { .q = q };
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		g.lookup[i] = (struct lookup){ .found = get_found, .done = get_done, .arg = &g,
			.all = true };
		if (registry_get(q->registry, names[i]->name, &g.lookup[i], q->err) < 0) {
			r = -1;
			break;
		}
		g.left++;
	}
	if (r == 0)
		loop_run(q->loop);
	for (size_t i = 0; i < n; i++)
		registry_cancel(q->registry, &g.lookup[i]);
	return r < 0 || q->kind ? -1 : 0;
}

/* What the list has by name only gets its nodes; a service that has none by now has gone. */
static int
complete(struct inquiry *q)
{
	struct found **names = q->found;
	size_t n = q->nfound, k = 0, done;
	int r = 0;

	q->found = NULL;
	q->nfound = q->cap = 0;
	for (size_t i = 0; i < n; i++) {
		if (names[i]->node.address.n)
			put_found(q, names[i]);
		else
			names[k++] = names[i];
	}
	for (done = 0; r == 0 && done < k; done += GETS_MAX)
		r = get_some(q, names + done, k - done < GETS_MAX ? k - done : GETS_MAX);
	for (size_t i = 0; i < k; i++)
		free(names[i]);
	free(names);
	registry_look_sort(q);
	return r;
}

int
registry_run_list(struct inquiry *q)
{
	q->lookup.nodes = q->args->longer;
	if (registry_list(q->registry, &q->lookup, q->err) < 0 || registry_look_run(q) < 0 ||
	    (q->args->longer && complete(q) < 0))
		return -1;
	if (q->nfound == 0)
		log_warn("no service is registered (%s)", q->registry->ops->name);
	return print_found(q, q->args->longer ? add_versions : add_names);
}

/* ---- get ---- */

static void
add_nodes(struct inquiry *q, struct buf *out)
{
	if (q->args->json) {
		add_versions_json(q, out);
		return;
	}
	for (size_t i = 0, n; i < q->nfound; i += n) {
		n = run_of(q, i);
		for (size_t k = 0; k < n; k++)
			found_add_text(out, NULL, q->found[i + k], true);
		found_add_endpoints(out, q->found + i, n);
	}
}

static int
print_selected(struct inquiry *q)
{
	struct buf out = BUF_INIT;
	size_t i;
	int r;

	if (registry_select(q, &i) < 0)
		return -1;
	if (q->args->json)
		found_add_json(&out, "found", &q->found[i], 1);
	else
		found_add_address(&out, q->found[i]);
	r = stdout_write(&out, q->err);
	buf_release(&out);
	return r;
}

/* The mistake of the tutorials: a service in one registry, its client at another. */
static int
not_found(struct inquiry *q, const char *name)
{
	const char *asked = q->registry->ops->name, *address = q->registry->opts.address;

	if (q->nrefused)
		return error_set(q->err, ERR_NOTFOUND, "service not found: no node of %s is "
			"believed (%s); %s", opt_shown(name), asked, q->refused.text);
	return error_set(q->err, ERR_NOTFOUND, "service not found: %s; asked was the registry %s"
		"%s%s: does the service register there, too (--registry, MICRO_REGISTRY)? "
		"`mbus registry list` shows which services are there, -v what was heard and not "
		"believed", opt_shown(name), asked, address && *address ? " at " : "",
		address && *address ? address : "");
}

int
registry_run_get(struct inquiry *q)
{
	const char *name = q->operands[0];

	if (registry_get(q->registry, bytes_str(name), &q->lookup, q->err) < 0 ||
	    registry_look_run(q) < 0)
		return -1;
	if (q->nfound == 0)
		return not_found(q, name);
	return q->args->select ? print_selected(q) : print_found(q, add_nodes);
}

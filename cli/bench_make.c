/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where topics have to be made before anybody can subscribe to them, a worker of its
 * own makes them, by an event to each, before the others start.
 */
#include "cli/bench.h"

#include <stdlib.h>

struct bench_make {
	unsigned ntopics, next, settled;
	struct loop_task more;
	struct bench_worker *w;
};

static struct bytes
topic_of(const struct bench_job *job, unsigned n)
{
	return n < job->topics ? job_topic(job, n, false) : job_topic(job, n - job->topics, true);
}

static void
make_settled(struct bench_worker *w, const struct error *err)
{
	struct bench_make *m = w->own;

	if (err) {
		worker_failed(w, err);
		return;
	}
	if (++m->settled == m->ntopics)
		worker_ready(w);
}

static void
make_more(struct loop_task *t)
{
	struct bench_make *m = t->arg;
	const struct stamp nobody = { 0 };
	char body[STAMP_BYTES];
	struct publication next = { .opts = &publish_defaults };
	struct error err;

	stamp_write(body, &nobody);
	for (; m->next < m->ntopics && !m->w->slot->kind; m->next++) {
		int r;

		next.id = m->next;
		next.topic = topic_of(m->w->job, m->next);
		next.msg.body = bytes_of(body, sizeof body);
		r = broker_publish(m->w->broker, &next, &err);
		if (r == PUBLISH_FULL)
			return;
		if (r < 0)
			make_settled(m->w, &err);
	}
}

static void
make_prepare(struct bench_worker *w)
{
	struct bench_make *m = xcalloc(1, sizeof *m);

	w->own = m;
	m->w = w;
	m->ntopics = w->job->topics + (w->job->role == BENCH_RTT ? w->job->pubs : 0);
	m->more = (struct loop_task){ .fn = make_more, .arg = m };
	w->opts.publishes = true;
}

static void
make_connected(struct bench_worker *w)
{
	struct bench_make *m = w->own;

	loop_defer(w->loop, &m->more);
}

static void
make_nothing(struct bench_worker *w)
{
	(void)w;
}

static void
make_outcome(struct bench_worker *w, const struct outcome *o)
{
	make_settled(w, o->fate == FATE_CONFIRMED ? NULL : o->error);
}

static void
make_room(struct bench_worker *w)
{
	make_connected(w);
}

static void
make_release(struct bench_worker *w)
{
	struct bench_make *m = w->own;

	loop_task_cancel(&m->more);
	free(m);
}

const struct worker_kind worker_make = {
	.name = "maker of topics",
	.prepare = make_prepare,
	.connected = make_connected,
	.go = make_nothing,
	.stop = make_nothing,
	.outcome = make_outcome,
	.room = make_room,
	.write_runs = make_nothing,
	.release = make_release,
};

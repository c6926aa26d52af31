/* SPDX-License-Identifier: Apache-2.0 */
/* A subscriber of mbus bench; with rtt, one that sends each event back. */
#include "cli/bench.h"

#include <stdio.h>
#include <stdlib.h>

struct sub_lane {
	struct bench_sub *s;
	unsigned topic;
};

struct bench_sub {
	struct bench_worker *w;
	struct bench_ear ear;
	struct sub_lane *lanes;		/* a topic each */
	unsigned nlive;
	char group[BENCH_ID_MAX + 40];
	/* With rtt: questions that are to be answered, stamp and all, one after the other,
	 * so that nothing is published from within the delivery. */
	struct buf answers;
	uint64_t id;
	struct loop_task answer;
};

/* ---- answering ---- */

static void
sub_answer(struct loop_task *t)
{
	struct bench_sub *s = t->arg;
	size_t size = s->w->job->size;
	struct publish_options how = publish_defaults;
	struct publication next = { .opts = &how };
	struct error err;

	how.qos = (int)s->w->job->args->qos;
	while (buf_len(&s->answers)) {
		const char *p = buf_data(&s->answers);
		struct stamp stamp = { 0 };
		int r;

		stamp_read(p, size, &stamp);
		next.id = s->id++;
		next.topic = job_topic(s->w->job, stamp.publisher, true);
		next.msg.body = bytes_of(p, size);
		r = broker_publish(s->w->broker, &next, &err);
		if (r == PUBLISH_FULL)
			return;
		if (r < 0 && !s->w->slot->first_refusal.kind)
			s->w->slot->first_refusal = err;
		buf_consume(&s->answers, size);
	}
}

/* ---- events ---- */

static enum handled
sub_event(struct subscription *sub, const struct event *ev, void *arg)
{
	struct sub_lane *lane = arg;
	struct bench_sub *s = lane->s;
	struct worker_slot *slot = s->w->slot;
	struct stamp stamp;
	uint64_t now = loop_clock_ns(), stamped;
	enum heard heard = ear_hear(&s->ear, lane->topic, ev, &stamp);

	(void)sub;
	if (heard == HEARD_NEW && !(stamp.flags & STAMP_WARM)) {
		if (!slot->first_ns) {
			slot->first_ns = now;
			worker_cpu_begin(s->w);
		}
		slot->last_ns = now;
		slot->measured++;
		slot->bytes += ev->msg.body.n;
		stamped = now + s->w->shared->stamp_offset;
		if (stamped >= stamp.due_ns)
			hist_record(&slot->e2e, stamped - stamp.due_ns);
		else
			slot->early++;
	}
	if (heard == HEARD_NEW && s->w->job->role == BENCH_RTT) {
		buf_add(&s->answers, ev->msg.body.p, s->w->job->size);
		loop_defer(s->w->loop, &s->answer);
	}
	return EVENT_TAKEN;
}

/* ---- its life ---- */

static void
sub_prepare(struct bench_worker *w)
{
	struct bench_sub *s = xcalloc(1, sizeof *s);

	w->own = s;
	s->w = w;
	s->lanes = xcalloc(w->job->topics, sizeof *s->lanes);
	s->answer = (struct loop_task){ .fn = sub_answer, .arg = s };
	w->opts.publishes = w->job->role == BENCH_RTT;
	if (!w->opts.publishes)
		w->opts.create = 0;
	ear_open(&s->ear, w);
}

static void
sub_subscribed(struct subscription *sub, const struct error *err, void *arg)
{
	struct sub_lane *lane = arg;
	struct bench_sub *s = lane->s;
	struct error e;

	if (err) {
		e = *err;
		error_prefix_bytes(&e, sub->topic);
		worker_failed(s->w, &e);
	} else if (++s->nlive == s->w->job->topics) {
		worker_ready(s->w);
	}
}

static void
sub_connected(struct bench_worker *w)
{
	struct bench_sub *s = w->own;
	const struct bench_job *job = w->job;
	struct subscribe_options how = subscribe_defaults;
	struct error err;

	if (job->queues) {
		snprintf(s->group, sizeof s->group, "%s-%u", job->id, w->index % job->queues);
		how.group = s->group;
	}
	how.qos = (int)job->args->qos;
	how.ack = (enum subscribe_ack)job->args->sub_ack;
	how.no_headers = true;
	for (unsigned i = 0; i < job->topics; i++) {
		struct bytes topic = job_topic(job, i, false);

		s->lanes[i] = (struct sub_lane){ s, i };
		if (!broker_subscribe(w->broker, topic, &how, sub_event, sub_subscribed,
		    &s->lanes[i], &err)) {
			error_prefix_bytes(&err, topic);
			worker_failed(w, &err);
			return;
		}
	}
}

static void
sub_go(struct bench_worker *w)
{
	(void)w;
}

static void
sub_outcome(struct bench_worker *w, const struct outcome *o)
{
	if (o->fate != FATE_CONFIRMED && !w->slot->first_refusal.kind && o->error)
		w->slot->first_refusal = *o->error;
}

static void
sub_room(struct bench_worker *w)
{
	struct bench_sub *s = w->own;

	loop_defer(w->loop, &s->answer);
}

static void
sub_write_runs(struct bench_worker *w)
{
	struct bench_sub *s = w->own;

	ear_write_runs(&s->ear);
}

static void
sub_release(struct bench_worker *w)
{
	struct bench_sub *s = w->own;

	loop_task_cancel(&s->answer);
	ear_close(&s->ear);
	buf_release(&s->answers);
	free(s->lanes);
	free(s);
}

const struct worker_kind worker_sub = {
	.name = "subscriber",
	.prepare = sub_prepare,
	.connected = sub_connected,
	.go = sub_go,
	.stop = sub_go,
	.outcome = sub_outcome,
	.room = sub_room,
	.write_runs = sub_write_runs,
	.release = sub_release,
};

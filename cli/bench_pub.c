/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher of mbus bench.
 *
 * In the closed loop the next event goes out when the window has room; it was due when
 * it went. In the open loop (--rate) event i is due at begin + i / rate, whatever
 * became of those before it: what the broker holds up is sent late, and its latency
 * counts from when it was due. Otherwise a broker that stands still for a second would
 * show one slow event, and hide the thousand that could not be sent (what wrk2 calls
 * coordinated omission).
 *
 * One look at the clock an event: the end of one call is the beginning of the next.
 */
#include "cli/bench.h"

#include <stdlib.h>

enum {
	PUB_BATCH = 1024,		/* events before the loop looks at other things */
	PUB_LATE_NS = 1000000,
	PUB_TOLD = 16			/* outcomes told in a row that are of one moment */
};

struct flight {
	uint64_t id;			/* the number plus one; 0: free */
	uint64_t due_ns;
};

struct bench_pub {
	struct bench_worker *w;
	struct bench_ear ear;		/* for answers, with rtt */
	struct publication next;
	struct publish_options how;
	struct bytes *topics;
	char *body;
	uint64_t number, limit;		/* of the next event; of the one that is not sent */
	uint64_t warm;			/* numbers below are of the warm-up ... */
	uint64_t warm_ns, end_ns;	/* ... and what is due before warm_ns */
	uint64_t begin_ns;
	double step_ns;			/* between two events; 0: closed loop */
	struct flight *ring;		/* by number; a power of two */
	size_t ring_size;
	bool in_call, over, ending;	/* nothing more is sent; but for the last word */
	uint64_t calling, outcome_ns;	/* 0: no outcome came within the call */
	uint64_t full_since_ns, excused_ns;
	uint64_t outstanding;		/* answers, with rtt */
	uint64_t progress, seen;	/* outcomes and answers, for giving up */
	uint64_t told_ns, told_turn_ns;	/* see told_now() */
	unsigned told;
	unsigned asking;		/* topics whose subscribers are there */
	struct bench_set refused, unknown;
	struct loop_timer again, bound;
	struct loop_task pump;
};

static void pub_pump(struct bench_pub *);
static void pub_check(struct bench_pub *);

static bool
rtt(const struct bench_pub *p)
{
	return p->w->job->role == BENCH_RTT;
}

/* ---- under way ---- */

static struct flight *
flight_of(struct bench_pub *p, uint64_t number)
{
	return &p->ring[number & (p->ring_size - 1)];
}

static void
ring_grow(struct bench_pub *p)
{
	struct flight *old = p->ring;
	size_t n = p->ring_size;

	p->ring_size = n ? 2 * n : 4096;
	p->ring = xcalloc(p->ring_size, sizeof *p->ring);
	for (size_t i = 0; i < n; i++)
		if (old[i].id)
			*flight_of(p, old[i].id - 1) = old[i];
	free(old);
}

static void
take_off(struct bench_pub *p, uint64_t number, uint64_t due_ns)
{
	struct flight *f = flight_of(p, number);

	/* One event may be waiting for its outcome while thousands pass it. */
	while (f->id) {
		ring_grow(p);
		f = flight_of(p, number);
	}
	f->id = number + 1;
	f->due_ns = due_ns;
}

/* Whatever has no outcome by now is unknown. */
static void
give_up(struct bench_pub *p)
{
	struct worker_slot *s = p->w->slot;

	for (size_t i = 0; i < p->ring_size; i++)
		if (p->ring[i].id) {
			set_add(&p->unknown, p->ring[i].id - 1);
			s->unknown++;
			p->ring[i].id = 0;
		}
	p->outstanding = 0;
}

/* ---- outcomes ---- */

static bool
is_measured(const struct bench_pub *p, uint64_t number, uint64_t due_ns)
{
	return number >= p->warm && due_ns >= p->warm_ns;
}

static void
note_failure(struct bench_pub *p, const struct error *err)
{
	struct worker_slot *s = p->w->slot;

	if (!s->first_refusal.kind && err)
		s->first_refusal = *err;
}

/*
 * When an outcome is told: now. What a broker tells in a row was answered at once, and a
 * look at the clock costs as much as an event of the memory broker, so a few of one turn
 * share one. It is the look before the first of them: none seems later than it was known.
 */
static uint64_t
told_now(struct bench_pub *p)
{
	uint64_t turn = loop_now_ns(p->w->loop);

	if (!p->told || turn != p->told_turn_ns) {
		p->told = PUB_TOLD;
		p->told_turn_ns = turn;
		p->told_ns = loop_clock_ns();
	}
	p->told--;
	return p->told_ns;
}

static void
pub_outcome(struct bench_worker *w, const struct outcome *o)
{
	struct bench_pub *p = w->own;
	struct worker_slot *s = w->slot;
	struct flight *f = flight_of(p, o->id);
	uint64_t now;

	if (p->ending && o->id == p->number) {
		worker_done(w);
		return;
	}
	if (f->id != o->id + 1)
		return;			/* it was given up */
	f->id = 0;
	p->progress++;
	if (o->fate == FATE_CONFIRMED) {
		s->confirmed++;
		if (is_measured(p, o->id, f->due_ns)) {
			s->measured++;
			s->bytes += w->job->size;
			if (p->in_call && p->calling == o->id) {
				p->outcome_ns = f->due_ns;	/* see pub_send() */
			} else {
				now = told_now(p);
				hist_record(&s->ack, now - f->due_ns);
				s->last_ns = now;
			}
		}
	} else {
		set_add(o->fate == FATE_REFUSED ? &p->refused : &p->unknown, o->id);
		*(o->fate == FATE_REFUSED ? &s->refused : &s->unknown) += 1;
		note_failure(p, o->error);
		if (p->outstanding)
			p->outstanding--;
	}
	if (p->over)
		pub_check(p);
}

/* ---- the end ---- */

/* The last word to subscribers on other machines. Once; it is no event. */
static void
pub_say_end(struct bench_pub *p)
{
	const struct worker_slot *s = p->w->slot;
	struct stamp stamp = { p->w->job->run, (uint16_t)p->w->index, STAMP_END, p->number,
		loop_clock_ns() + p->w->shared->stamp_offset };
	struct stamp_end end = { s->taken, s->confirmed, s->refused, s->unknown,
		p->w->job->pubs, 0 };
	char body[STAMP_BYTES + sizeof end];
	struct error err;

	end.sum = stamp_end_sum(&end);
	stamp_write(body, &stamp);
	memcpy(body + STAMP_BYTES, &end, sizeof end);
	p->next.id = p->number;
	p->next.topic = p->topics[0];
	p->next.msg.body = bytes_of(body, sizeof body);
	p->ending = true;
	if (broker_publish(p->w->broker, &p->next, &err) != 0)
		worker_done(p->w);
}

static void
pub_check(struct bench_pub *p)
{
	const struct worker_slot *s = p->w->slot;

	if (!p->over || p->ending || s->taken != s->confirmed + s->refused + s->unknown ||
	    p->outstanding)
		return;
	loop_timer_clear(p->w->loop, &p->bound);
	if (p->w->job->role == BENCH_PUB && !s->kind)
		pub_say_end(p);
	else
		worker_done(p->w);
}

static void
pub_bound(struct loop_timer *t)
{
	struct bench_pub *p = t->arg;

	if (p->seen == p->progress) {
		give_up(p);
		if (p->ending)
			worker_done(p->w);
		else
			pub_check(p);
		if (!rtt(p) || p->over)
			return;
		pub_pump(p);
	}
	p->seen = p->progress;
	loop_timer_set(p->w->loop, t, p->w->job->args->drain_ms);
}

static void
pub_over(struct bench_pub *p)
{
	if (p->over)
		return;
	p->over = true;
	p->w->slot->over_ns = loop_clock_ns();
	loop_timer_clear(p->w->loop, &p->again);
	p->seen = p->progress;
	loop_timer_set(p->w->loop, &p->bound, p->w->job->args->drain_ms);
	pub_check(p);
}

/* ---- publishing ---- */

/* now: when the call begins; becomes when it ended. As broker_publish() otherwise. */
static int
pub_send(struct bench_pub *p, uint64_t due_ns, uint64_t *now)
{
	struct worker_slot *s = p->w->slot;
	bool measured = is_measured(p, p->number, due_ns);
	const struct stamp stamp = { p->w->job->run, (uint16_t)p->w->index,
		(uint8_t)((measured ? 0 : STAMP_WARM) | (p->w->job->file ? STAMP_FILE : 0)),
		p->number, due_ns + p->w->shared->stamp_offset };
	uint64_t began = *now;
	struct error err;
	int r;

	if (measured && !s->first_ns) {
		s->first_ns = due_ns;
		worker_cpu_begin(p->w);
	}
	stamp_write(p->body, &stamp);
	p->next.id = p->number;
	if (p->w->job->topics > 1)
		p->next.topic = p->topics[p->number % p->w->job->topics];
	take_off(p, p->number, due_ns);
	p->calling = p->number;
	p->outcome_ns = 0;
	p->in_call = true;
	p->told = 0;			/* the next outcome may be long after */
	s->taken++;
	p->number++;
	p->outstanding += rtt(p);
	r = broker_publish(p->w->broker, &p->next, &err);
	p->in_call = false;
	if (r == PUBLISH_FULL) {
		p->number--;
		s->taken--;
		p->outstanding -= rtt(p);
		flight_of(p, p->number)->id = 0;
		return r;
	}
	if (r < 0) {
		const struct outcome o = { p->number - 1, FATE_REFUSED, &err };

		pub_outcome(p->w, &o);
	}
	*now = loop_clock_ns();
	if (measured) {
		s->due++;
		hist_record(&s->call, *now - began);
		if (p->outcome_ns) {
			hist_record(&s->ack, *now - p->outcome_ns);
			s->last_ns = *now;
		}
	}
	return 0;
}

static uint64_t
due_of(const struct bench_pub *p, uint64_t number)
{
	return p->begin_ns + (uint64_t)((double)number * p->step_ns);
}

static void
pub_pump(struct bench_pub *p)
{
	uint64_t now = loop_clock_ns(), due;
	const struct bench_args *a = p->w->job->args;

	if (!p->w->going || p->over)
		return;
	if (p->full_since_ns) {
		p->w->slot->full_ns += now - p->full_since_ns;
		p->full_since_ns = 0;
		p->excused_ns = now;
	}
	for (unsigned n = 0; n < PUB_BATCH; n++) {
		due = p->step_ns > 0 ? due_of(p, p->number) : now;
		if (p->number == p->limit || due >= p->end_ns) {
			pub_over(p);
			return;
		}
		if (due > now) {
			loop_timer_set_at(p->w->loop, &p->again, due);
			return;
		}
		/* Without a rate the next question waits for an answer. */
		if (rtt(p) && !(p->step_ns > 0) && p->outstanding >= (a->inflight ? a->inflight : 1))
			return;
		if (now - due > PUB_LATE_NS && due > p->excused_ns)
			p->w->slot->late++;
		if (pub_send(p, due, &now) == PUBLISH_FULL) {
			p->full_since_ns = now;
			return;
		}
		if (p->over)		/* it was stopped from within */
			return;
	}
	/* By a timer, not a task: between two turns the loop reads and writes. */
	loop_timer_set_at(p->w->loop, &p->again, now);
}

static void
pub_again(struct loop_timer *t)
{
	pub_pump(t->arg);
}

static void
pub_pump_task(struct loop_task *t)
{
	pub_pump(t->arg);
}

static void
pub_room(struct bench_worker *w)
{
	struct bench_pub *p = w->own;

	loop_defer(w->loop, &p->pump);
}

/* ---- answers ---- */

static enum handled
pub_answer(struct subscription *sub, const struct event *ev, void *arg)
{
	struct bench_pub *p = arg;
	struct stamp stamp;
	uint64_t now = loop_clock_ns() + p->w->shared->stamp_offset;

	(void)sub;
	if (ear_hear(&p->ear, 0, ev, &stamp) != HEARD_NEW)
		return EVENT_TAKEN;
	p->progress++;
	if (!(stamp.flags & STAMP_WARM))
		hist_record(&p->w->slot->e2e, now > stamp.due_ns ? now - stamp.due_ns : 0);
	if (p->outstanding)
		p->outstanding--;
	if (p->over)
		pub_check(p);
	else
		loop_defer(p->w->loop, &p->pump);
	return EVENT_TAKEN;
}

/* ---- its life ---- */

static void
pub_prepare(struct bench_worker *w)
{
	const struct bench_job *job = w->job;
	const struct bench_args *a = job->args;
	struct bench_pub *p = xcalloc(1, sizeof *p);

	w->own = p;
	p->w = w;
	p->limit = job->msgs ? (job->msgs + job->warm_msgs) / job->pubs +
		(w->index < (job->msgs + job->warm_msgs) % job->pubs) : UINT64_MAX;
	p->warm = job->warm_msgs / job->pubs + (w->index < job->warm_msgs % job->pubs);
	p->step_ns = job->rate > 0 ? 1e9 * job->pubs / job->rate : 0;
	p->topics = xcalloc(job->topics, sizeof *p->topics);
	for (unsigned i = 0; i < job->topics; i++) {
		struct bytes t = job_topic(job, i, false);

		p->topics[i] = bytes_of(xmemdup0(t.p, t.n), t.n);
	}
	p->body = xmalloc(job->size);
	memcpy(p->body, job->body, job->size);
	p->how = publish_defaults;
	p->how.qos = (int)a->qos;
	p->next.topic = p->topics[0];
	p->next.opts = &p->how;
	p->next.msg = (struct message){ .headers = job->headers, .nheaders = job->nheaders,
		.key = bytes_str(a->key), .body = bytes_of(p->body, job->size) };
	ring_grow(p);
	p->again = (struct loop_timer){ .fn = pub_again, .arg = p };
	p->bound = (struct loop_timer){ .fn = pub_bound, .arg = p };
	p->pump = (struct loop_task){ .fn = pub_pump_task, .arg = p };
	w->opts.window_events = a->inflight;
	w->opts.ack = (enum publish_ack)a->ack;
	w->opts.publishes = true;
	w->opts.compress = a->compress;
	if (job->role == BENCH_RTT)
		ear_open(&p->ear, w);
}

static void pub_ask(struct bench_pub *);

static void
pub_audience(struct broker *b, const struct error *err, void *arg)
{
	struct bench_pub *p = arg;

	(void)b;
	if (err) {
		worker_failed(p->w, err);
		return;
	}
	p->asking++;
	pub_ask(p);
}

/* Where the broker tells who subscribes, every topic has its subscribers before the
 * first event. */
static void
pub_ask(struct bench_pub *p)
{
	const struct bench_job *job = p->w->job;
	unsigned n = job->role == BENCH_PUB ? (unsigned)job->args->subs : job->subs;
	struct error err;

	if (!n || (job->role != BENCH_PUB && !(p->w->broker->caps & BROKER_AUDIENCE)) ||
	    p->asking == job->topics)
		worker_ready(p->w);
	else if (broker_audience(p->w->broker, p->topics[p->asking], n, pub_audience, p, &err) < 0)
		worker_failed(p->w, &err);
}

static void
pub_subscribed(struct subscription *sub, const struct error *err, void *arg)
{
	struct bench_pub *p = arg;

	(void)sub;
	if (err)
		worker_failed(p->w, err);
	else
		pub_ask(p);
}

static void
pub_connected(struct bench_worker *w)
{
	struct bench_pub *p = w->own;
	struct subscribe_options how = subscribe_defaults;
	const char *field = broker_cannot_carry(broker_publication_caps(w->broker, &p->next),
		&p->next);
	struct error err;

	/* Better now than with every event. */
	if (field) {
		error_set(&err, ERR_NOTFOUND, "the %s broker cannot carry this: %s",
			w->broker->ops->name, field);
		worker_failed(w, &err);
		return;
	}
	if (w->job->role != BENCH_RTT) {
		pub_ask(p);
		return;
	}
	how.qos = (int)w->job->args->qos;
	if (!broker_subscribe(w->broker, job_topic(w->job, w->index, true), &how, pub_answer,
	    pub_subscribed, p, &err))
		worker_failed(w, &err);
}

static void
pub_go(struct bench_worker *w)
{
	struct bench_pub *p = w->own;
	const struct bench_job *job = w->job;

	p->begin_ns = w->shared->start_ns + (job->rate > 0 ? (uint64_t)(1e9 / job->rate * w->index) : 0);
	p->warm_ns = job->warm_ns ? p->begin_ns + job->warm_ns : 0;
	p->end_ns = job->duration_ns ? p->begin_ns + job->warm_ns + job->duration_ns : UINT64_MAX;
	/* An answer that is lost must not end the asking. */
	if (rtt(p))
		loop_timer_set(w->loop, &p->bound, job->args->drain_ms);
	loop_timer_set_at(w->loop, &p->again, p->begin_ns);
}

static void
pub_stop(struct bench_worker *w)
{
	pub_over(w->own);
	if (w->slot->kind)		/* its connection has gone: there is nothing to wait for */
		worker_done(w);
}

static void
pub_write_runs(struct bench_worker *w)
{
	struct bench_pub *p = w->own;

	give_up(p);
	worker_write(w, RUN_REFUSED, w->index, &p->refused);
	worker_write(w, RUN_UNKNOWN, w->index, &p->unknown);
	if (rtt(p))
		ear_write_runs(&p->ear);
}

static void
pub_release(struct bench_worker *w)
{
	struct bench_pub *p = w->own;

	loop_timer_clear(w->loop, &p->again);
	loop_timer_clear(w->loop, &p->bound);
	loop_task_cancel(&p->pump);
	if (rtt(p))
		ear_close(&p->ear);
	set_release(&p->refused);
	set_release(&p->unknown);
	for (unsigned i = 0; i < w->job->topics; i++)
		free((char *)p->topics[i].p);
	free(p->topics);
	free(p->body);
	free(p->ring);
	free(p);
}

const struct worker_kind worker_pub = {
	.name = "publisher",
	.prepare = pub_prepare,
	.connected = pub_connected,
	.go = pub_go,
	.stop = pub_stop,
	.outcome = pub_outcome,
	.room = pub_room,
	.write_runs = pub_write_runs,
	.release = pub_release,
};

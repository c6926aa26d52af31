/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory broker by itself: tight loops on core/broker.h, without what mbus bench
 * measures and checks (rows S*, B6).
 *
 *	micro_memory bus PUBS SUBS N [BYTES [SIZE]]	N events of 100 bytes, published one
 *			by one in a closed loop; each subscriber checks number and order of
 *			each; SIZE: -X memory.size
 *	micro_memory clock N	one to one, with what a measurement cannot do without: a look
 *			at the clock for each event published, and for each that arrives
 *	micro_memory slow N US	one to one, an event each US microseconds
 *	micro_memory rtt N [US]	one event to and fro; US: and so long nothing
 *	micro_memory kill pub|sub N	two publishers, or two subscribers, under full load;
 *			one of them is killed at a random moment, N times
 *
 * Prints one line: seconds, and user and system nanoseconds an event of all publishers
 * and of all subscribers; for rtt the median and the 99th percentile in nanoseconds, for
 * kill those of the longest time that the other subscriber got nothing.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/broker.h"
#include "core/loop.h"

enum { PEERS_MAX = 16, BURST = 1024, ACK = 512 };

/* What the processes share. */
struct shared {
	unsigned live;			/* subscribers */
	uint64_t cpu_ns[2];		/* of publishers, of subscribers */
	uint64_t last_ns, gap_ns;	/* kill: when the last event came, and the longest gap */
};

struct peer {
	struct loop *loop;
	struct broker *broker;
	struct shared *shared;
	unsigned index, npubs;
	bool subscribes, clock, rtt, kill, victim;
	uint64_t pause_us;
	const char *ring_size;
	uint64_t n, number;		/* to be published or received in all; done */
	uint64_t settled, begin_ns, sum;
	uint64_t next[PEERS_MAX];	/* by publisher */
	uint64_t acked;
	struct publication p;
	char *body;
	size_t size;
	uint32_t *took;
	struct loop_timer again;
	struct loop_task send, settle;
	struct loop_idle idle;
};

static struct rusage since;

static uint64_t
cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	timersub(&u.ru_utime, &since.ru_utime, &u.ru_utime);
	timersub(&u.ru_stime, &since.ru_stime, &u.ru_stime);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

static void
die(const struct error *err)
{
	fprintf(stderr, "micro_memory: %s\n", err->text);
	exit(1);
}

/* ---- publishing ---- */

static int
publish(struct peer *w, uint64_t number)
{
	uint64_t head = (uint64_t)w->index << 48 | number;
	struct error err;
	int r;

	memcpy(w->body, &head, sizeof head);
	w->p.id = number;
	r = broker_publish(w->broker, &w->p, &err);
	if (r < 0)
		die(&err);
	return r;
}

static void
pump(struct loop_timer *t)
{
	struct peer *w = t->arg;

	for (int i = 0; i < (w->pause_us ? 1 : BURST); i++) {
		if (w->number == w->n || publish(w, w->number) == PUBLISH_FULL)
			return;
		w->number++;
		if (w->clock)
			w->sum += loop_clock_ns();
	}
	loop_timer_set_at(w->loop, &w->again, loop_now_ns(w->loop) + w->pause_us * 1000);
}

static void
on_room(struct broker *b, void *arg)
{
	struct peer *w = arg;

	(void)b;
	if (!w->subscribes && !w->rtt && !loop_timer_is_set(&w->again))
		loop_timer_set_at(w->loop, &w->again, loop_now_ns(w->loop));
}

static void
on_failed(struct broker *b, const struct error *err, void *arg)
{
	(void)b;
	(void)arg;
	die(err);
}

static void
on_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct peer *w = arg;

	(void)b;
	if (o->fate != FATE_CONFIRMED)
		die(o->error);
	if (++w->settled == w->n && !w->rtt)
		loop_stop(w->loop);
}

/* ---- receiving ---- */

static void
settle(struct peer *w)
{
	if (w->broker->delivered == w->acked)
		return;
	broker_ack(w->broker, w->acked + 1, w->broker->delivered, true);
	w->acked = w->broker->delivered;
}

static void
settle_task(struct loop_task *t)
{
	settle(t->arg);
}

static void
settle_idle(struct loop_idle *i)
{
	settle(i->arg);
}

/* The next question, or the answer. */
static void
send_next(struct loop_task *t)
{
	struct peer *w = t->arg;

	w->begin_ns = w->subscribes ? 0 : loop_clock_ns();
	publish(w, w->number++);
}

static void
send_later(struct loop_timer *t)
{
	struct peer *w = t->arg;

	send_next(&w->send);
}

static void
note_gap(struct shared *s)
{
	uint64_t now = loop_clock_ns();

	if ((int64_t)(now - s->last_ns) > (int64_t)s->gap_ns)
		__atomic_store_n(&s->gap_ns, now - s->last_ns, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->last_ns, now, __ATOMIC_SEQ_CST);
}

static enum handled
on_event(struct subscription *s, const struct event *ev, void *arg)
{
	struct peer *w = arg;
	uint64_t head;
	unsigned from;

	(void)s;
	memcpy(&head, ev->msg.body.p, sizeof head);
	from = (unsigned)(head >> 48);
	if (ev->msg.body.n != w->size || from >= PEERS_MAX ||
	    (!w->kill && (head & UINT64_C(0xffffffffffff)) != w->next[from]++))
		exit(2);
	if (w->kill && !w->victim)
		note_gap(w->shared);
	if (ev->number - w->acked >= ACK)
		loop_defer(w->loop, &w->settle);
	if (w->clock)
		w->sum += loop_clock_ns();
	if (w->rtt) {
		if (!w->subscribes)
			w->took[w->next[from] - 1] = (uint32_t)(loop_clock_ns() - w->begin_ns);
		if (!w->subscribes && w->pause_us && w->number < w->n)
			loop_timer_set_at(w->loop, &w->again,
				loop_clock_ns() + w->pause_us * 1000);
		else if (w->subscribes || w->number < w->n)
			loop_defer(w->loop, &w->send);
	}
	if (ev->number == w->n)
		loop_stop(w->loop);
	return EVENT_TAKEN;
}

static void
on_live(struct subscription *s, const struct error *err, void *arg)
{
	struct peer *w = arg;

	(void)s;
	if (err)
		die(err);
	__atomic_add_fetch(&w->shared->live, 1, __ATOMIC_SEQ_CST);
	/* The events that are to come are the measurement. */
	getrusage(RUSAGE_SELF, &since);
}

/* ---- a process ---- */

static void
peer_run(struct peer *w, unsigned everybody)
{
	static const struct broker_notify notify = { .outcome = on_outcome, .room = on_room,
		.failed = on_failed };
	char address[40];
	struct broker_options o = { .address = address, .timeout_ms = 60000,
		.window_bytes = 4 << 20, .notify = &notify, .notify_arg = w };
	const struct broker_xopt size = { .name = "memory.size", .value = w->ring_size };
	const char *hears = w->rtt && !w->subscribes ? "answers" : "events";
	struct error err;

	if (w->ring_size) {
		o.xopts = &size;
		o.nxopts = 1;
	}
	snprintf(address, sizeof address, "micro-%d", (int)getppid());
	w->loop = loop_new(&err);
	w->body = calloc(1, w->size);
	w->took = w->rtt ? calloc(w->n, sizeof *w->took) : NULL;
	w->again = (struct loop_timer){ .fn = w->rtt ? send_later : pump, .arg = w };
	w->send = (struct loop_task){ .fn = send_next, .arg = w };
	w->settle = (struct loop_task){ .fn = settle_task, .arg = w };
	w->idle = (struct loop_idle){ .fn = settle_idle, .arg = w };
	loop_idle_add(w->loop, &w->idle);
	w->p.topic = bytes_str(w->rtt && w->subscribes ? "answers" : "events");
	w->p.opts = &publish_defaults;
	w->p.msg.body = bytes_of(w->body, w->size);
	w->broker = broker_new("memory", w->loop, &o, &err);
	if (!w->broker || broker_connect(w->broker, &err) < 0)
		die(&err);
	if ((w->subscribes || w->rtt) && !broker_subscribe(w->broker, bytes_str(hears),
	    &subscribe_defaults, on_event, on_live, w, &err))
		die(&err);
	while (!w->subscribes && __atomic_load_n(&w->shared->live, __ATOMIC_SEQ_CST) < everybody)
		usleep(1000);
	getrusage(RUSAGE_SELF, &since);
	if (!w->subscribes && w->rtt)
		loop_defer(w->loop, &w->send);
	else if (!w->subscribes)
		loop_timer_set_at(w->loop, &w->again, loop_now_ns(w->loop));
	loop_run(w->loop);
	settle(w);
	__atomic_add_fetch(&w->shared->cpu_ns[w->subscribes], cpu_ns(), __ATOMIC_SEQ_CST);
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static pid_t
peer_fork(struct peer *w, unsigned everybody)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	peer_run(w, everybody);
	if (w->took && !w->subscribes) {
		qsort(w->took, w->n, sizeof *w->took, by_size);
		printf("%u %u\n", w->took[w->n / 2], w->took[w->n - 1 - w->n / 100]);
	}
	broker_free(w->broker);
	loop_free(w->loop);
	exit(0);
}

/* ---- who is killed ---- */

static void
wait_live(struct shared *s, unsigned n)
{
	while (__atomic_load_n(&s->live, __ATOMIC_SEQ_CST) < n)
		usleep(1000);
}

/* Of a bus whose users were all killed: its next visitor does it. */
static void
take_away(void)
{
	char address[40];
	const struct broker_options o = { .address = address };
	struct error err;
	struct loop *loop = loop_new(&err);
	struct broker *b;

	snprintf(address, sizeof address, "micro-%d", (int)getpid());
	b = loop ? broker_new("memory", loop, &o, &err) : NULL;
	if (!b || broker_connect(b, &err) < 0)
		die(&err);
	broker_free(b);
	loop_free(loop);
}

static int
kill_them(struct peer *w, bool subscriber, unsigned rounds)
{
	uint32_t *gaps = calloc(rounds, sizeof *gaps);
	struct shared *s = w->shared;
	pid_t others[2];

	w->kill = true;
	w->n = UINT64_MAX;
	w->subscribes = true;
	others[0] = peer_fork(w, 0);
	wait_live(s, 1);
	w->subscribes = false;
	others[1] = peer_fork(w, 1);
	w->victim = true;
	w->subscribes = subscriber;
	w->index = 1;
	for (unsigned i = 0; i < rounds; i++) {
		unsigned live = s->live;
		pid_t pid = peer_fork(w, 1);

		if (subscriber)
			wait_live(s, live + 1);
		usleep(20000 + (unsigned)random() % 10000);
		__atomic_store_n(&s->gap_ns, 0, __ATOMIC_SEQ_CST);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		usleep(300000);
		for (int k = 0; k < 2; k++) {
			int status;

			if (waitpid(others[k], &status, WNOHANG) == others[k]) {
				fprintf(stderr, "micro_memory: %s ended: %#x\n",
					k ? "the publisher" : "the subscriber", (unsigned)status);
				kill(others[!k], SIGKILL);
				return 1;
			}
		}
		note_gap(s);
		gaps[i] = (uint32_t)s->gap_ns;
	}
	for (int i = 0; i < 2; i++) {
		kill(others[i], SIGKILL);
		waitpid(others[i], NULL, 0);
	}
	take_away();
	qsort(gaps, rounds, sizeof *gaps, by_size);
	printf("%u %u\n", gaps[rounds / 2], gaps[rounds - 1 - rounds / 100]);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	bool bus = strcmp(what, "bus") == 0 && argc > 4, rtt = strcmp(what, "rtt") == 0;
	bool slow = strcmp(what, "slow") == 0 && argc > 3;
	bool kills = strcmp(what, "kill") == 0 && argc > 3;
	struct peer w = { .rtt = rtt, .clock = strcmp(what, "clock") == 0, .size = 100 };
	unsigned pubs = bus ? (unsigned)atoi(argv[2]) : 1, subs = bus ? (unsigned)atoi(argv[3]) : 1;
	uint64_t n = strtoull(what[0] ? argv[bus ? 4 : kills ? 3 : 2] : "", NULL, 10), begin;
	int status, bad = 0;

	if ((!bus && !rtt && !w.clock && !slow && !kills) || !pubs || pubs > PEERS_MAX || !subs ||
	    n < pubs) {
		fprintf(stderr, "usage: micro_memory bus PUBS SUBS N [BYTES [SIZE]] | clock N | "
			"slow N US | rtt N [US] | kill pub|sub N\n");
		return 2;
	}
	if (bus && argc > 5)
		w.size = strtoull(argv[5], NULL, 10);
	w.ring_size = bus && argc > 6 ? argv[6] : NULL;
	if ((slow || rtt) && argc > 3)
		w.pause_us = strtoull(argv[3], NULL, 10);
	signal(SIGPIPE, SIG_IGN);	/* the bell of who was killed */
	n -= n % pubs;
	w.npubs = pubs;
	w.shared = mmap(NULL, sizeof *w.shared, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w.shared == MAP_FAILED || w.size < 8)
		return 1;
	if (kills)
		return kill_them(&w, strcmp(argv[2], "sub") == 0, (unsigned)n);
	w.subscribes = true;
	w.n = n;
	for (unsigned i = 0; i < subs; i++)
		peer_fork(&w, subs);
	wait_live(w.shared, subs);
	begin = loop_clock_ns();
	w.subscribes = false;
	w.n = n / pubs;
	for (w.index = 0; w.index < pubs; w.index++)
		peer_fork(&w, subs + rtt);
	for (unsigned i = 0; i < pubs + subs; i++)
		if (wait(&status) < 0 || status)
			bad = 1;
	if (!bad && !rtt)
		printf("%.6f %.1f %.1f\n", (double)(loop_clock_ns() - begin) / 1e9,
			(double)w.shared->cpu_ns[0] / (double)n,
			(double)w.shared->cpu_ns[1] / (double)n);
	return bad;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* core/loop: order within a turn, and that everything may be removed and freed from
 * within every callback. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/loop.h"
#include "tests/unit/run_for.h"
#include "tests/unit/test.h"

static char story[400];

static void
tell(const char *what)
{
	strncat(story, what, sizeof story - strlen(story) - 1);
}

static struct loop *
begin(void)
{
	struct error err;

	story[0] = '\0';
	return loop_new(&err);
}

struct part {
	struct loop *loop;
	struct loop_fd fd;
	struct loop_timer timer;
	struct loop_task task;
	struct loop_idle idle;
	const char *name;
	int times;
	struct part *victim;		/* removed and freed by the first call */
	int pipe[2];
};

static void
part_free(struct part *p)
{
	loop_fd_del(p->loop, &p->fd);
	loop_fd_del(p->loop, &p->fd);	/* idempotent */
	loop_timer_clear(p->loop, &p->timer);
	loop_task_cancel(&p->task);
	loop_idle_del(p->loop, &p->idle);
	if (p->pipe[0]) {
		close(p->pipe[0]);
		close(p->pipe[1]);
	}
	memset(p, 0xee, sizeof *p);
	free(p);
}

static void
part_called(struct part *p)
{
	struct part *victim = p->victim;

	tell(p->name);
	p->times++;
	if (victim == p) {
		part_free(p);
		return;
	}
	p->victim = NULL;
	if (victim)
		part_free(victim);
}

static void
on_fd(struct loop_fd *w, unsigned ready)
{
	(void)ready;
	part_called(w->arg);
}

static void
on_timer(struct loop_timer *t)
{
	part_called(t->arg);
}

static void
on_task(struct loop_task *t)
{
	part_called(t->arg);
}

static void
on_idle(struct loop_idle *h)
{
	part_called(h->arg);
}

static struct part *
part_new(struct loop *l, const char *name)
{
	struct part *p = xcalloc(1, sizeof *p);

	p->loop = l;
	p->name = name;
	p->fd.fn = on_fd;
	p->timer.fn = on_timer;
	p->task.fn = on_task;
	p->idle.fn = on_idle;
	p->fd.arg = p->timer.arg = p->task.arg = p->idle.arg = p;
	return p;
}

/* A descriptor that stays readable. */
static struct part *
part_readable(struct loop *l, const char *name)
{
	struct part *p = part_new(l, name);
	struct error err;

	if (pipe(p->pipe) < 0 || write(p->pipe[1], "x", 1) != 1 ||
	    loop_fd_add(l, &p->fd, p->pipe[0], LOOP_READ, &err) < 0)
		abort();
	return p;
}

/* A regular file: always ready, and refused by epoll. */
static struct part *
part_regular(struct loop *l, const char *name)
{
	struct part *p = part_new(l, name);
	char path[] = "/tmp/mbus-test-XXXXXX";
	struct error err;

	p->pipe[0] = mkstemp(path);
	unlink(path);
	p->pipe[1] = dup(p->pipe[0]);
	if (loop_fd_add(l, &p->fd, p->pipe[0], LOOP_READ, &err) < 0 || !p->fd.always)
		abort();
	return p;
}

TEST(timers_in_order)
{
	struct loop *l = begin();
	struct part *p[5];
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	static const unsigned ms[] = { 20, 5, 30, 10, 15 };
	uint64_t now = loop_clock_ns();

	for (int i = 0; i < 5; i++) {
		p[i] = part_new(l, names[i]);
		loop_timer_set(l, &p[i]->timer, 1);
		loop_timer_set_at(l, &p[i]->timer, now + ms[i] * 1000000ull);	/* moved */
	}
	check(loop_timer_is_set(&p[0]->timer));
	run_for(l, 50);
	check_str(story, "bdeac");
	check(!loop_timer_is_set(&p[0]->timer));
	for (int i = 0; i < 5; i++)
		part_free(p[i]);
	loop_free(l);
}

/* Many, set and cleared at random: each that is left fires once and in order. */
static uint64_t last_at;
static unsigned fired, misordered;

static void
on_one_of_many(struct loop_timer *t)
{
	fired++;
	misordered += t->at_ns < last_at;
	last_at = t->at_ns;
}

TEST(many_timers)
{
	enum { MANY = 3000 };
	struct loop *l = begin();
	struct loop_timer *t = xcalloc(MANY, sizeof *t);
	unsigned left = 0;
	/* Times of their own, all in the past: no clock has a say in their order. */
	uint64_t base = loop_clock_ns() - UINT64_C(1000000000);

	fired = misordered = 0;
	last_at = 0;
	srandom(3);
	for (int i = 0; i < MANY; i++)
		t[i].fn = on_one_of_many;
	for (int i = 0; i < 20 * MANY; i++) {
		struct loop_timer *one = &t[random() % MANY];

		if (random() % 3)
			loop_timer_set_at(l, one, base + (uint64_t)random() % 100000);
		else
			loop_timer_clear(l, one);
	}
	for (int i = 0; i < MANY; i++)
		left += loop_timer_is_set(&t[i]);
	run_for(l, 0);
	check_int(fired, left);
	check_int(misordered, 0);
	free(t);
	loop_free(l);
}

/* A timer that sets itself again with no delay must not starve descriptors. */
static void
on_again(struct loop_timer *t)
{
	struct part *p = t->arg;

	p->times++;
	loop_timer_set(p->loop, t, 0);
}

TEST(a_busy_timer_starves_nobody)
{
	struct loop *l = begin();
	struct part *t = part_new(l, "t"), *fd = part_readable(l, "");

	t->timer.fn = on_again;
	loop_timer_set(l, &t->timer, 0);
	run_for(l, 20);
	check(t->times > 10);
	check(fd->times > 10);
	part_free(t);
	part_free(fd);
	loop_free(l);
}

static void
work_and_set(struct loop_timer *t)
{
	struct part *p = t->arg;
	uint64_t begin = loop_clock_ns();

	if (++p->times == 5) {
		loop_stop(p->loop);
		return;
	}
	while (loop_clock_ns() - begin < 20000000)
		;
	loop_timer_set_at(p->loop, t, loop_clock_ns());
}

TEST(a_turn_that_took_long_delays_no_timer)
{
	struct loop *l = begin();
	struct part p = { .loop = l, .timer = { .fn = work_and_set, .arg = &p } };
	struct rusage before, after;
	uint64_t began = loop_clock_ns();

	/* Only voluntary switches tell: a busy machine takes the CPU away, and time. */
	getrusage(RUSAGE_SELF, &before);
	loop_timer_set(l, &p.timer, 0);
	loop_run(l);
	getrusage(RUSAGE_SELF, &after);
	check_int(p.times, 5);
	check(loop_clock_ns() - began >= 80000000);
	check_int(after.ru_nvcsw - before.ru_nvcsw, 0);
	loop_free(l);
}

TEST(removed_by_its_own_callback)
{
	struct loop *l = begin();
	struct part *p[] = { part_readable(l, "f"), part_new(l, "t"), part_new(l, "k"),
		part_new(l, "i"), part_regular(l, "r") };

	loop_timer_set(l, &p[1]->timer, 0);
	loop_defer(l, &p[2]->task);
	loop_idle_add(l, &p[3]->idle);
	for (int i = 0; i < 5; i++)
		p[i]->victim = p[i];
	run_for(l, 20);
	check_int(strlen(story), 5);
	for (const char *c = "ftkir"; *c; c++)
		check(strchr(story, *c));
	loop_free(l);
}

/* Each kind removes and frees another one that is due in the same turn. */
TEST(removed_by_another_callback)
{
	struct part *(*const make[])(struct loop *, const char *) = {
		part_readable, part_regular
	};

	for (int kind = 0; kind < 2; kind++)
		for (int count = 2; count < 8; count++)
			for (int victim = 0; victim < count; victim++) {
				struct loop *l = begin();
				struct part *p[8];

				for (int i = 0; i < count; i++)
					p[i] = make[kind](l, "");
				for (int i = 0; i < count; i++)
					if (i != victim)
						p[i]->victim = p[victim];
				/* Who is called first frees it; the others must not. */
				for (int i = 0; i < count; i++)
					if (i != victim && i != (victim + 1) % count)
						p[i]->victim = NULL;
				p[victim]->times = 0;
				run_for(l, 2);
				for (int i = 0; i < count; i++)
					if (i != victim)
						part_free(p[i]);
				loop_free(l);
			}
}

TEST(timers_and_tasks_removed_by_others)
{
	struct loop *l = begin();
	struct part *a = part_new(l, "a"), *b = part_new(l, "b"), *c = part_new(l, "c"),
		*d = part_new(l, "d"), *e = part_new(l, "e"), *f = part_new(l, "f");

	loop_timer_set(l, &a->timer, 0);
	loop_timer_set(l, &b->timer, 0);
	a->victim = b;
	loop_defer(l, &c->task);
	loop_defer(l, &d->task);
	c->victim = d;
	loop_idle_add(l, &e->idle);
	loop_idle_add(l, &f->idle);
	e->victim = f;
	run_for(l, 10);
	check(!strpbrk(story, "bdf"));
	check(strchr(story, 'a') && strchr(story, 'c') && strchr(story, 'e'));
	part_free(a);
	part_free(c);
	part_free(e);
	loop_free(l);
}

TEST(deferring_twice_is_once)
{
	struct loop *l = begin();
	struct part *a = part_new(l, "a"), *b = part_new(l, "b");

	loop_defer(l, &a->task);
	loop_defer(l, &b->task);
	loop_defer(l, &a->task);
	run_for(l, 5);
	check_str(story, "ab");
	loop_defer(l, &a->task);
	loop_task_cancel(&a->task);
	loop_task_cancel(&a->task);
	run_for(l, 5);
	check_str(story, "ab");
	part_free(a);
	part_free(b);
	loop_free(l);
}

/* Idle hooks: after what is ready, and not while more comes, but not later than
 * LOOP_IDLE_MAX_MS. */
static void
on_busy(struct loop_fd *w, unsigned ready)
{
	struct part *p = w->arg;

	(void)ready;
	p->times++;
}

static struct { unsigned calls; uint64_t last_ns, longest_ns; } idle_seen;

static void
on_idle_seen(struct loop_idle *h)
{
	uint64_t now = loop_clock_ns();

	(void)h;
	if (idle_seen.calls++ && now - idle_seen.last_ns > idle_seen.longest_ns)
		idle_seen.longest_ns = now - idle_seen.last_ns;
	idle_seen.last_ns = now;
}

TEST(idle_hooks_when_busy)
{
	struct loop *l = begin();
	struct part *p = part_readable(l, "");
	struct loop_idle h = { .fn = on_idle_seen };

	memset(&idle_seen, 0, sizeof idle_seen);
	p->fd.fn = on_busy;
	loop_idle_add(l, &h);
	run_for(l, 100);
	check(p->times > 1000);
	check(idle_seen.calls >= 4);
	check(idle_seen.calls < 60);
	loop_idle_del(l, &h);
	part_free(p);
	loop_free(l);
}

TEST(idle_hooks_when_idle)
{
	struct loop *l = begin();
	struct part *p = part_readable(l, "f"), *i = part_new(l, "i");

	p->victim = p;			/* once */
	loop_idle_add(l, &i->idle);
	run_for(l, 30);
	/* At once after the descriptor; and once more when the loop ends. */
	check(strncmp(story, "fi", 2) == 0);
	check(i->times <= 3);
	part_free(i);
	loop_free(l);
}

TEST(descriptors_looked_away_from)
{
	struct loop *l = begin();
	struct part *p = part_readable(l, "p"), *r = part_regular(l, "r");

	loop_fd_set(l, &p->fd, 0);
	loop_fd_set(l, &r->fd, 0);
	run_for(l, 10);
	check_str(story, "");
	loop_fd_set(l, &p->fd, LOOP_READ);
	p->victim = p;
	run_for(l, 10);
	check_str(story, "p");
	part_free(r);
	loop_free(l);
}

static void
on_hang_up(struct loop_fd *w, unsigned ready)
{
	struct part *p = w->arg;

	check(ready & LOOP_READ);
	p->times++;
	loop_fd_del(p->loop, w);
}

TEST(a_hang_up_is_told_without_asking)
{
	struct loop *l = begin();
	struct part *p = part_new(l, "");
	struct error err;

	need(pipe(p->pipe) == 0);
	p->fd.fn = on_hang_up;
	need(loop_fd_add(l, &p->fd, p->pipe[0], 0, &err) == 0);
	close(p->pipe[1]);
	p->pipe[1] = dup(0);
	run_for(l, 10);
	check_int(p->times, 1);
	part_free(p);
	loop_free(l);
}

TEST(a_bad_descriptor)
{
	struct loop *l = begin();
	struct loop_fd w = { .fn = on_fd };
	struct error err;

	check_int(loop_fd_add(l, &w, 9999, LOOP_READ, &err), -1);
	check(!w.added);
	check_int(err.kind, ERR_LOCAL_IO);
	loop_fd_set(l, &w, LOOP_READ);
	loop_fd_del(l, &w);
	loop_free(l);
}

static void
on_signal(int signo, void *arg)
{
	tell(signo == SIGUSR1 ? "1" : "2");
	if (arg)
		loop_stop(arg);
}

TEST(signals)
{
	struct loop *l = begin();
	struct error err;
	sigset_t now;

	need(loop_signal(l, SIGUSR1, on_signal, NULL, &err) == 0);
	need(loop_signal(l, SIGUSR2, on_signal, l, &err) == 0);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	loop_run(l);
	check_str(story, "12");
	loop_free(l);
	sigprocmask(SIG_BLOCK, NULL, &now);
	check(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
}

/* A task that finds something to do in every turn, without a descriptor: idle hooks and
 * timers have their turns meanwhile, and so have descriptors, soon. */
struct blind {
	struct loop *loop;
	struct loop_task task;
	struct loop_idle idle;
	struct loop_timer timer;
	struct loop_fd fd;
	unsigned turns, idles, at_timer, at_fd;
};

static void
blind_task(struct loop_task *t)
{
	struct blind *b = t->arg;

	b->turns++;
	loop_again(b->loop);
	if (b->at_fd && b->at_timer)
		loop_stop(b->loop);
}

static void
blind_idle(struct loop_idle *h)
{
	struct blind *b = h->arg;

	b->idles++;
	loop_defer(b->loop, &b->task);
}

static void
blind_timer(struct loop_timer *t)
{
	struct blind *b = t->arg;

	b->at_timer = b->turns;
}

static void
blind_ready(struct loop_fd *f, unsigned ready)
{
	struct blind *b = f->arg;

	(void)ready;
	b->at_fd = b->turns;
	loop_fd_del(b->loop, f);
}

TEST(turns_without_descriptors)
{
	struct blind b = { .loop = begin() };
	int fds[2];
	struct error err;

	need(pipe(fds) == 0 && write(fds[1], "", 1) == 1);
	b.task = (struct loop_task){ .fn = blind_task, .arg = &b };
	b.idle = (struct loop_idle){ .fn = blind_idle, .arg = &b };
	b.timer = (struct loop_timer){ .fn = blind_timer, .arg = &b };
	b.fd = (struct loop_fd){ .fn = blind_ready, .arg = &b };
	loop_idle_add(b.loop, &b.idle);
	need(loop_fd_add(b.loop, &b.fd, fds[0], LOOP_READ, &err) == 0);
	loop_timer_set(b.loop, &b.timer, 5);
	loop_defer(b.loop, &b.task);
	loop_run(b.loop);
	check(b.at_fd < b.at_timer);
	/* Between the two it asked the kernel some fifty times, and had turns without. */
	check(b.at_timer - b.at_fd > 200);
	check(b.idles + 1 >= b.turns);
	loop_timer_clear(b.loop, &b.timer);
	loop_idle_del(b.loop, &b.idle);
	close(fds[0]);
	close(fds[1]);
	loop_free(b.loop);
}

/* What is deferred when the loop stops still runs, and so do the idle hooks. */
static void
on_stop(struct loop_task *t)
{
	struct part *p = t->arg;

	tell("s");
	loop_stop(p->loop);
	loop_defer(p->loop, &p->victim->task);
}

TEST(stopping)
{
	struct loop *l = begin();
	struct part *a = part_new(l, "a"), *b = part_new(l, "b"), *i = part_new(l, "i");

	a->task.fn = on_stop;
	a->victim = b;
	loop_idle_add(l, &i->idle);
	loop_defer(l, &a->task);
	loop_run(l);
	check_str(story, "sbi");
	part_free(a);
	part_free(b);
	part_free(i);
	loop_free(l);
}

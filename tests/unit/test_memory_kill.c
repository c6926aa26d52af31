/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backends/memory under fire: publishers, subscribers and members of a group are
 * killed at random moments under load and replaced, MEMORY_KILLS times (120; make
 * check-long: 10000). A witness that is never killed sees every stream; held against
 * what the publishers confirmed: nothing lost, doubled, torn or out of order, nobody
 * asleep over an event, and nobody who stands still.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/unit/memory_bus.h"

enum {
	PUBLISHERS = 3, READERS = 2, MEMBERS = 2, WITNESS = 1,
	PROCESSES = PUBLISHERS + READERS + MEMBERS + WITNESS,
	EVENTS = 2000,			/* of one life of a publisher, at most */
	LARGE = 20000,			/* a body that goes by a file */
	HANG_S = 30			/* on a machine with other work to do */
};

/* One life of a publisher. */
struct life {
	uint32_t tried, confirmed;	/* events 1 ... */
	uint32_t seen;			/* by the witness */
	uint8_t group[EVENTS + 1];	/* how often a member got it */
};

struct shared {
	uint32_t stop, faults;
	char fault[600];
	uint64_t beats;			/* publishers' progress */
	uint64_t slept;			/* how often a reader slept */
	uint32_t there;			/* readers and members that have subscribed */
	struct life lives[];
};

static struct shared *all;
static size_t nlives;
static struct memory_place place;

static void
fault(const char *what, unsigned life, unsigned n, unsigned other)
{
	if (__atomic_fetch_add(&all->faults, 1, __ATOMIC_SEQ_CST) == 0)
		snprintf(all->fault, sizeof all->fault, "%s: life %u, event %u, %u", what, life, n,
			other);
}

static unsigned
mix(unsigned life, unsigned n)
{
	unsigned x = life * 2654435761u ^ n * 40503u;

	x ^= x >> 13;
	return x * 2246822519u;
}

static size_t
size_of(unsigned life, unsigned n)
{
	unsigned x = mix(life, n);

	return x % 97 == 0 ? LARGE : 8 + x % 700;
}

static void
fill(char *p, unsigned life, unsigned n, size_t size)
{
	unsigned head[2] = { life, n };

	memset(p, (int)(mix(life, n) >> 24), size);
	memcpy(p, head, sizeof head);
}

/* What an event says it is, if it is whole. */
static bool
is_whole(struct bytes body, unsigned *life, unsigned *n)
{
	unsigned head[2];

	if (body.n < sizeof head)
		return false;
	memcpy(head, body.p, sizeof head);
	*life = head[0];
	*n = head[1];
	if (*life >= nlives || *n < 1 || *n > EVENTS || body.n != size_of(*life, *n))
		return false;
	for (size_t i = sizeof head; i < body.n; i++)
		if (body.p[i] != (char)(mix(*life, *n) >> 24))
			return false;
	return true;
}

static void
nap_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

static struct memory_bus *
attach(void)
{
	struct memory_bus *m;
	struct error err;

	if (memory_open(&m, &place, true, &err) < 0) {
		fault(err.text, 0, 0, 0);
		_exit(1);
	}
	return m;
}

/* ---- who publishes ---- */

static void
write_batch(struct memory_bus *m, struct memory_router *router, struct test_batch *b)
{
	size_t at = 0, done, unheard;
	uint32_t slowest;

	while (at < b->n) {
		enum memory_wrote w = memory_write(m, router, buf_data(&b->bytes), b->items + at,
			b->n - at, &done, &unheard, &slowest);

		at += done;
		if (w == WROTE_DAMAGED || w == WROTE_NO_SPACE) {
			fault("write", (unsigned)w, 0, 0);
			_exit(1);
		}
		if (w == WROTE_FULL && !done) {
			if (memory_lock(m)) {
				memory_reap(m);
				memory_unlock(m);
			}
			nap_us(200);
		}
	}
}

static void
publisher(unsigned life)
{
	struct memory_bus *m = attach();
	struct memory_router router = { 0 };
	struct test_batch b = { 0 };
	struct life *l = &all->lives[life];
	static char body[LARGE];
	unsigned n = 0;

	while (n < EVENTS && !LOAD(all->stop)) {
		unsigned batch = 1 + mix(life, n) % 20, i;

		batch_clear(&b);
		for (i = 0; i < batch && n + i < EVENTS; i++) {
			size_t size = size_of(life, n + i + 1);

			if (size == LARGE && i)
				break;
			fill(body, life, n + i + 1, size);
			batch_add(&b, "t", bytes_of(body, size));
			if (size == LARGE) {
				i++;
				if (!batch_stub(m, &b))
					fault("no space", life, n, 0);
				break;
			}
		}
		STORE(l->tried, n + i);
		write_batch(m, &router, &b);
		n += i;
		STORE(l->confirmed, n);
		__atomic_fetch_add(&all->beats, 1, __ATOMIC_RELAXED);
	}
	while (!LOAD(all->stop))
		nap_us(1000);
	memory_close(m);
	_exit(0);
}

/* ---- who reads ---- */

/* Sleeps as the broker does, and notes when it slept over something. */
static void
sleep_at_bell(struct memory_bus *m, struct memory_cursor *c)
{
	struct memory_ring *r = memory_ring_at(m, c->ring);
	struct pollfd p = { .fd = m->bell, .events = POLLIN };
	bool doze;
	int n;

	memory_bell_sleep(m);
	if (LOAD(r->head) == c->position) {
		doze = memory_is_locked(m);
		n = poll(&p, 1, doze ? 1 : 5000);
		__atomic_fetch_add(&all->slept, 1, __ATOMIC_RELAXED);
		if (n == 0 && !doze && LOAD(r->head) != c->position)
			fault("slept over an event", 0, 0, 0);
	}
	memory_bell_wake(m);
	memory_bell_drain(m);
}

typedef void seen_fn(void *, unsigned life, unsigned n);

/* 1: something was read. */
static int
read_some(struct memory_bus *m, struct memory_cursor *c, struct memory_chunk *chunk,
	struct memory_headers *headers, seen_fn *seen, void *arg)
{
	struct error err;
	struct bytes record;
	int r = memory_fill(m, c, chunk, &err);

	if (r <= 0) {
		if (r < 0)
			fault(err.text, 0, 0, 0);
		return r;
	}
	while ((r = memory_next(m, chunk, &record, &err)) > 0) {
		struct memory_mapping map = { 0 };
		struct memory_record h;
		struct event ev;
		unsigned life = 0, n = 0;

		memcpy(&h, record.p, sizeof h);
		if ((h.flags & RECORD_BODY) && memory_body_map(m, record, &map, &record, &err) < 0) {
			fault(err.text, 0, 0, 0);
			return -1;
		}
		if (!memory_decode(record, &ev, headers) || !is_whole(ev.msg.body, &life, &n)) {
			fault("torn", life, n, 0);
			return -1;
		}
		memory_body_unmap(&map);
		seen(arg, life, n);
	}
	if (r < 0)
		fault(err.text, 0, 0, 0);
	c->position = chunk->position;
	return r < 0 ? -1 : 1;
}

struct reader {
	bool witness;
	uint32_t *last;			/* of each life */
};

static void
reader_seen(void *arg, unsigned life, unsigned n)
{
	struct reader *r = arg;
	uint32_t last = r->last[life];

	/* One that came later begins in the middle. */
	if (n != last + 1 && (last || r->witness))
		fault(n <= last ? "twice, or out of order" : "a gap", life, n, last);
	r->last[life] = n;
	if (r->witness)
		STORE(all->lives[life].seen, n);
}

static void
reader(bool witness)
{
	struct memory_bus *m = attach();
	struct reader r = { witness, calloc(nlives, sizeof(uint32_t)) };
	struct memory_chunk chunk = { 0 };
	struct memory_headers headers = { 0 };
	struct memory_cursor c;
	uint32_t sub;
	struct error err;
	int n = 0;

	if (memory_bell_open(m, &err) < 0 || !subscribe_to(m, "t", NULL, DROP_NOT, &sub, &c))
		fault("subscribe", 0, 0, 0);
	__atomic_fetch_add(&all->there, 1, __ATOMIC_SEQ_CST);
	while (n >= 0 && (!LOAD(all->stop) || (witness && LOAD(all->stop) < 2))) {
		n = read_some(m, &c, &chunk, &headers, reader_seen, &r);
		if (n > 0)
			done_to(m, sub, c.position, 0);
		else if (n == 0)
			sleep_at_bell(m, &c);
		if (n > 0 && memory_lock(m)) {
			memory_reclaim(m, c.ring);
			memory_unlock(m);
		}
	}
	memory_close(m);
	_exit(0);
}

static void
member_seen(void *arg, unsigned life, unsigned n)
{
	(void)arg;
	__atomic_fetch_add(&all->lives[life].group[n], 1, __ATOMIC_RELAXED);
}

static void
member(void)
{
	struct memory_bus *m = attach();
	struct memory_chunk chunk = { 0 };
	struct memory_headers headers = { 0 };
	struct memory_cursor c;
	uint32_t sub, claim;
	uint64_t from, to;

	/* For a while none may be there. */
	if (!subscribe_for(m, "t", "g", DROP_NOT, 60000, &sub, &c))
		fault("subscribe", 0, 0, 0);
	__atomic_fetch_add(&all->there, 1, __ATOMIC_SEQ_CST);
	while (LOAD(all->stop) < 2) {
		bool got = memory_lock(m);

		if (got) {
			got = memory_claim(m, sub, 16, 0, &claim, &from, &to);
			memory_unlock(m);
		}
		if (!got) {
			nap_us(300);
			continue;
		}
		c.position = from;
		c.until = to;
		while (read_some(m, &c, &chunk, &headers, member_seen, NULL) > 0)
			;
		if (lock_surely(m)) {
			memory_claim_ack(m, sub, claim, to, to, 1);
			memory_reclaim(m, c.ring);
			memory_unlock(m);
		}
	}
	if (lock_surely(m)) {
		memory_unsubscribe(m, sub);
		memory_unlock(m);
	}
	memory_close(m);
	_exit(0);
}

/* ---- who kills ---- */

static size_t used;

static pid_t
start(int role)
{
	size_t life = used;
	pid_t pid;

	if (role < PUBLISHERS)
		used++;
	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	if (role < PUBLISHERS)
		publisher((unsigned)life);
	if (role < PUBLISHERS + READERS)
		reader(false);
	if (role < PUBLISHERS + READERS + MEMBERS)
		member();
	reader(true);
	_exit(9);
}

/* Publishers go on. */
static bool
moves(void)
{
	static uint64_t last, since;
	uint64_t now = memory_now_ms(), beats = LOAD(all->beats);

	if (beats != last || !since) {
		last = beats;
		since = now;
	}
	return now - since < HANG_S * 1000;
}

static bool
all_there(void)
{
	return LOAD(all->there) >= READERS + MEMBERS + WITNESS;
}

static bool
witnessed_all(void)
{
	for (size_t i = 0; i < used; i++)
		if (LOAD(all->lives[i].seen) < LOAD(all->lives[i].confirmed))
			return false;
	return true;
}

static bool
members_got_all(void)
{
	for (size_t i = 0; i < used; i++)
		for (uint32_t n = 1; n <= all->lives[i].confirmed; n++)
			if (!all->lives[i].group[n])
				return false;
	return true;
}

static bool
within(bool (*is)(void), int seconds)
{
	uint64_t end = memory_now_ms() + (uint64_t)seconds * 1000;

	while (!is() && memory_now_ms() < end && !LOAD(all->faults))
		nap_us(10000);
	return is();
}

/* What the group would be kept for is over. */
static void
end_group(void)
{
	struct memory_bus *m = attach();
	struct memory_cursor c;
	uint32_t sub;

	if (subscribe_to(m, "t", "g", DROP_NOT, &sub, &c) && lock_surely(m)) {
		memory_unsubscribe(m, sub);
		memory_unlock(m);
	}
	memory_close(m);
}

TEST(nothing_is_lost_doubled_or_torn)
{
	const char *env = getenv("MEMORY_KILLS");
	unsigned kills = env ? (unsigned)atoi(env) : 120, k, doubled = 0;
	unsigned long events = 0;
	pid_t pid[PROCESSES];
	unsigned killed[PROCESSES] = { 0 };

	place = test_place("kill");
	nlives = kills + PUBLISHERS + 1;
	all = mmap(NULL, sizeof *all + nlives * sizeof *all->lives, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	need(all != MAP_FAILED);
	srand(env ? (unsigned)time(NULL) : 1);
	/* The witness and the group are there before the first event. */
	for (int i = PUBLISHERS; i < PROCESSES; i++)
		pid[i] = start(i);
	need(within(all_there, 20));
	for (int i = 0; i < PUBLISHERS; i++)
		pid[i] = start(i);
	for (k = 0; k < kills && !LOAD(all->faults) && moves(); k++) {
		int victim = rand() % (PROCESSES - WITNESS);

		nap_us(rand() % 6000);
		kill(pid[victim], SIGKILL);
		waitpid(pid[victim], NULL, 0);
		killed[victim]++;
		pid[victim] = start(victim);
	}
	check(moves());
	check_int(k, kills);
	STORE(all->stop, 1);
	for (int i = 0; i < PUBLISHERS + READERS; i++)
		waitpid(pid[i], NULL, 0);
	check(within(witnessed_all, 60));
	check(within(members_got_all, 60));
	STORE(all->stop, 2);
	for (int i = PUBLISHERS + READERS; i < PROCESSES; i++)
		waitpid(pid[i], NULL, 0);
	if (all->faults)
		test_failed(__FILE__, __LINE__, "%u faults: %s", all->faults, all->fault);
	for (size_t i = 0; i < used; i++) {
		struct life *l = &all->lives[i];

		events += l->confirmed;
		check(l->seen <= l->tried);
		for (uint32_t n = 1; n <= EVENTS; n++)
			doubled += l->group[n] > 1;
	}
	/* A member that was killed had printed some and not acknowledged them. */
	k = killed[PUBLISHERS + READERS] + killed[PUBLISHERS + READERS + 1];
	check(doubled <= k * 16);
	printf("# %u kills, %lu events confirmed, %u given to another member again, slept %llu times\n",
		kills, events, doubled, (unsigned long long)all->slept);
	end_group();
	check(!memory_exists(&place));
}

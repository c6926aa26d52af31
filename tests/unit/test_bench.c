/* SPDX-License-Identifier: Apache-2.0 */
/* What mbus bench counts with: sets of numbers, runs of them, stamps, words. */
#include "cli/bench_plan.h"

#include <stdlib.h>

#include "tests/unit/test.h"

/* ---- sets and runs ---- */

static void
add_to(const struct bench_run *r, void *arg)
{
	runs_add(arg, r->first, r->n);
}

static struct bench_runs
runs_of_set(const struct bench_set *s)
{
	struct bench_runs r = { 0 };

	set_each(s, add_to, &r);
	return r;
}

TEST(a_set_knows_what_is_in)
{
	struct bench_set s = { 0 };
	struct bench_runs r;

	for (uint64_t i = 0; i < 100000; i++)
		if (i != 5 && i != 40000)
			check(set_add(&s, i));
	check(!set_add(&s, 0) && !set_add(&s, 99999) && !set_add(&s, 33000));
	check_int(s.n, 99998);
	r = runs_of_set(&s);
	check_int(r.n, 3);
	check(r.v[0].first == 0 && r.v[0].n == 5 && r.v[1].first == 6 && r.v[1].n == 39994 &&
		r.v[2].first == 40001 && r.v[2].n == 59999);
	/* What was missing comes late, and then all of a chunk costs nothing. */
	check(set_add(&s, 5) && set_add(&s, 40000));
	check(!s.chunks[0].bits && !s.chunks[1].bits && s.chunks[3].bits);
	runs_release(&r);
	r = runs_of_set(&s);
	check_int(r.n, 1);
	check_int(r.v[0].n, 100000);
	runs_release(&r);
	check(!set_add(&s, UINT64_C(1) << 40));		/* no number can be so large */
	set_release(&s);
}

/* By bits, beside by runs: two random sets, united, intersected, complemented. */
TEST(runs_are_what_bits_say)
{
	uint64_t x = 88172645463325252u;

	for (int round = 0; round < 200; round++) {
		bool a[300] = { false }, b[300] = { false };
		struct bench_runs ra = { 0 }, rb = { 0 }, all = { 0 }, not = { 0 };
		uint64_t both = 0, either = 0, missing = 0, n;

		for (int i = 0; i < 300; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			a[i] = i && x % 8 ? a[i - 1] : x & 256;
			b[i] = i && x % 11 ? b[i - 1] : x & 512;
			both += a[i] && b[i];
			either += a[i] || b[i];
			missing += i < 250 && !a[i];
			if (a[i])
				runs_add(&ra, (uint64_t)i, 1);
			if (b[i])
				runs_add(&rb, (uint64_t)i, 1);
		}
		check(runs_common(&ra, &rb) == both && runs_common(&rb, &ra) == both);
		runs_missing(&not, &ra, 250);
		check(runs_count(&not) == missing && runs_common(&not, &ra) == 0);
		n = runs_unite(&all, &ra, &rb);
		check(n == both);
		check(runs_count(&all) == either);
		for (size_t i = 1; i < all.n; i++)
			check(all.v[i].first > all.v[i - 1].first + all.v[i - 1].n);
		/* Into itself. */
		check(runs_unite(&ra, &ra, &rb) == both && runs_count(&ra) == either);
		runs_release(&ra);
		runs_release(&rb);
		runs_release(&all);
		runs_release(&not);
	}
}

/* ---- stamps ---- */

TEST(a_stamp_comes_back_and_a_changed_one_does_not)
{
	const struct stamp s = { 0xdeadbeef, 999, STAMP_WARM, (UINT64_C(1) << 40) - 1,
		UINT64_C(0x123456789abcdef0) };
	struct stamp t;
	char p[STAMP_BYTES];

	stamp_write(p, &s);
	need(stamp_read(p, sizeof p, &t));
	check(t.run == s.run && t.publisher == s.publisher && t.flags == s.flags &&
		t.number == s.number && t.due_ns == s.due_ns);
	check(!stamp_read(p, sizeof p - 1, &t));
	for (size_t i = 0; i < 8 * sizeof p; i++) {
		p[i / 8] ^= (char)(1 << i % 8);
		check(!stamp_read(p, sizeof p, &t));
		p[i / 8] ^= (char)(1 << i % 8);
	}
	check(stamp_read(p, sizeof p, &t));
}

TEST(bodies_are_the_same_everywhere)
{
	char a[1000], b[1000];

	bench_fill(a, sizeof a);
	bench_fill(b, 500);
	check(memcmp(a, b, 500) == 0);
	for (size_t i = 0; i < sizeof a; i++)
		check(a[i] > ' ' && a[i] < 127);
}

/* ---- words ---- */

TEST(durations)
{
	uint64_t ns;

	check(plan_duration_ns("500us", &ns) && ns == 500000);
	check(plan_duration_ns("1.5ms", &ns) && ns == 1500000);
	check(plan_duration_ns("2", &ns) && ns == 2000000000);
	check(plan_duration_ns("0.25s", &ns) && ns == 250000000);
	check(!plan_duration_ns("", &ns) && !plan_duration_ns("ms", &ns));
	check(!plan_duration_ns("5 ms", &ns) && !plan_duration_ns("-5ms", &ns));
	check(!plan_duration_ns("0", &ns) && !plan_duration_ns("99999999999999999999s", &ns));
}

TEST(rates)
{
	double r;

	check(plan_rate("20000", &r) && r > 19999.9 && r < 20000.1);
	check(plan_rate("20k/s", &r) && r > 19999.9 && r < 20000.1);
	check(plan_rate("1.5M", &r) && r > 1499999 && r < 1500001);
	check(plan_rate("90/m", &r) && r > 1.4999 && r < 1.5001);
	check(plan_rate("0", &r) && !(r > 0));
	check(!plan_rate("auto", &r) && !plan_rate("10/h", &r) && !plan_rate("k", &r));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* core/ledger: from numbers to what is to be done, in ranges and in any order. */
#include "core/ledger.h"
#include "tests/unit/test.h"

/* The states of [from ... from + n), as text. */
static void
states_are(const struct ledger *l, uint64_t from, const char *want)
{
	char got[64] = "";

	for (size_t i = 0; want[i]; i++)
		got[i] = ledger_has(l, from + i) ? "DOKF"[ledger_at(l, from + i)->state] : '-';
	check_str(got, want);
}

TEST(in_ranges_and_out_of_order)
{
	struct ledger l = { 0 };
	uint64_t a = 1, b = 1;

	check(!ledger_settle(&l, &a, &b, true));
	for (uint64_t n = 5; n < 11; n++)
		ledger_add(&l, n)->id = n * 10;
	a = 0, b = 5;
	check(ledger_settle(&l, &a, &b, true));
	check(a == 5 && b == 5);
	a = 8, b = 9;
	check(ledger_settle(&l, &a, &b, false));
	a = 10, b = 100;
	check(ledger_settle(&l, &a, &b, true));
	check(a == 10 && b == 10);
	states_are(&l, 4, "-KOOFFK-");
	/* Only once. */
	a = 5, b = 10;
	check(ledger_settle(&l, &a, &b, false));
	states_are(&l, 4, "-KFFFFK-");
	check(!ledger_settle(&l, &a, &b, true));
	ledger_done(&l, 6);
	ledger_trim(&l);
	check_int(l.first, 5);
	ledger_done(&l, 5);
	ledger_trim(&l);
	check_int(l.first, 7);
	check_int(ledger_at(&l, 7)->id, 70);
	check(ledger_any(&l, LEDGER_OK) && ledger_any(&l, LEDGER_FAILED));
	check(!ledger_any(&l, LEDGER_OUT));
	ledger_done(&l, 3);		/* nowhere */
	ledger_done(&l, 11);
	ledger_forget(&l);
	a = 7, b = 10;
	check(!ledger_settle(&l, &a, &b, true));
	ledger_release(&l);
}

/* Numbers of what nobody acknowledges leave holes; the ring grows with what is in it. */
TEST(holes_and_growth)
{
	struct ledger l = { 0 };
	uint64_t a, b;

	for (uint64_t n = 1000; n < 4000; n += 3)
		ledger_add(&l, n)->seq = n;
	states_are(&l, 1000, "ODDODDO");
	for (uint64_t n = 1000; n < 4000; n += 3)
		check_int(ledger_at(&l, n)->seq, n);
	check_int(l.cap, 4096);
	a = 0, b = UINT64_MAX;
	check(ledger_settle(&l, &a, &b, true));
	for (uint64_t n = a; n <= b; n++)
		ledger_done(&l, n);
	ledger_trim(&l);
	check(l.first == l.next);
	ledger_add(&l, 9000);
	check(l.first == 9000 && l.next == 9001);
	ledger_release(&l);
	check(!l.ring && !l.cap);
}

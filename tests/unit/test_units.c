/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, counts and times. */
#include "core/units.h"

#include "tests/unit/test.h"

static void
check_duration(const char *text, long long want)
{
	uint64_t ms = 77;
	bool ok = units_duration_ms(text, &ms);

	if (ok != (want >= 0) || (ok && ms != (uint64_t)want))
		test_failed(__FILE__, __LINE__, "%s: %d, %llu", text, ok, (unsigned long long)ms);
}

TEST(durations)
{
	check_duration("5", 5000);
	check_duration("1m30s", 90000);
	check_duration("1h2m3.5s", 3723500);
	check_duration("1h0m0s", 3600000);
	check_duration("1s1us", 1001);
	check_duration("0", 0);
	check_duration("500ms", 500);
	check_duration("2m", 120000);
	check_duration("1.5", 1500);
	check_duration("0.2s", 200);
	check_duration(".5", 500);
	check_duration("0.1", 100);
	check_duration("1h", 3600000);
	check_duration("1d", 86400000);
	check_duration("1500us", 2);	/* up: what was asked for must not become nothing */
	check_duration("1us", 1);
	check_duration("0.0000000000001", 1);
	check_duration("0us", 0);
	check_duration("0.5d", 43200000);
	check_duration("9223372036854ms", 9223372036854);
	check_duration("0.000000000000000000000000000000", 0);
}

TEST(durations_that_are_none)
{
	static const char *const bad[] = {
		"", "s", "-1", "+1", " 1", "1 ", "1 s", "1x", "1S", "1e3", "0x10", ".", "5.", "1.s",
		"1..5", "1.5.5", "nan", "inf", "1ms2", "1m30", "1s5", "1mm", "1m 30s", "9223372036855ms",
		"18446744073709551616", "18446744073709551615d", "99999999999999999999999999",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check_duration(bad[i], -1);
}

static void
check_size(const char *text, uint64_t want)
{
	uint64_t v = 77;

	if (!units_size(text, &v) || v != want)
		test_failed(__FILE__, __LINE__, "%s: %llu", text, (unsigned long long)v);
}

TEST(sizes)
{
	static const char *const bad[] = {
		"", "K", "-1", "1.5", "1.5B", "1KK", "1Kb", "1 K", "1e6", "18446744073709551616",
		"16777216T", "1b", "64kib",
	};
	uint64_t v;

	check_size("0", 0);
	check_size("128", 128);
	check_size("128B", 128);
	check_size("64K", 65536);
	check_size("64k", 65536);
	check_size("1M", 1048576);
	check_size("1MiB", 1048576);
	check_size("1MB", 1000000);
	check_size("1kB", 1000);
	check_size("1KB", 1000);
	check_size("2G", 2147483648);
	check_size("1.5M", 1572864);
	check_size("0.1K", 102);
	check_size("1TiB", 1099511627776);
	check_size("18446744073709551615", UINT64_MAX);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (units_size(bad[i], &v))
			test_failed(__FILE__, __LINE__, "%s", bad[i]);
}

TEST(counts)
{
	uint64_t n = 0;

	check(units_count("0", 10, &n) && n == 0);
	check(units_count("10", 10, &n) && n == 10);
	check(units_count("0010", 10, &n) && n == 10);
	check(units_count("18446744073709551615", UINT64_MAX, &n) && n == UINT64_MAX);
	check(!units_count("11", 10, &n));
	check(!units_count("", 10, &n));
	check(!units_count("-1", 10, &n));
	check(!units_count("+1", 10, &n));
	check(!units_count("1.0", 10, &n));
	check(!units_count("1.", 10, &n));
	check(!units_count("1k", 10000, &n));
	check(!units_count(" 1", 10, &n));
	check(!units_count("18446744073709551616", UINT64_MAX, &n));
}

#define check_printed(call, want) \
	do { struct buf b_ = BUF_INIT; struct buf *b = &b_; call; \
	     check_bytes(buf_bytes(b), BYTES(want)); buf_release(b); } while (0)

TEST(times)
{
	check_printed(units_add_time_us(b, 1795244130618709), "2026-11-21T06:55:30.618709Z");
	check_printed(units_add_time_ms(b, 1795244130618709), "2026-11-21T06:55:30.618Z");
	check_printed(units_add_time_us(b, 0), "1970-01-01T00:00:00.000000Z");
	check_printed(units_add_time_us(b, -1), "1969-12-31T23:59:59.999999Z");
	check_printed(units_add_time_us(b, 951782400000000), "2000-02-29T00:00:00.000000Z");
	check_printed(units_add_time_us(b, 4107542399999999), "2100-02-28T23:59:59.999999Z");
	check_printed(units_add_time_us(b, 4107542400000000), "2100-03-01T00:00:00.000000Z");
	check_printed(units_add_time_us(b, INT64_MAX), "9999-12-31T23:59:59.999999Z");
	check_printed(units_add_time_us(b, INT64_MIN), "0000-01-01T00:00:00.000000Z");
	check_printed(units_add_time_us(b, -62162035200000000), "0000-03-01T00:00:00.000000Z");
	check_printed(units_add_time_us(b, -62162035200000001), "0000-02-29T23:59:59.999999Z");
	check_printed(units_add_time_ms(b, 253402300799999999), "9999-12-31T23:59:59.999Z");
}

TEST(printed_sizes)
{
	check_printed(units_add_size(b, 0), "0 B");
	check_printed(units_add_size(b, 1023), "1023 B");
	check_printed(units_add_size(b, 1024), "1.00 KiB");
	check_printed(units_add_size(b, 2558525), "2.44 MiB");
	check_printed(units_add_size(b, 1048575), "1.00 MiB");	/* not 1024.00 KiB */
	check_printed(units_add_size(b, 1048570), "1023.99 KiB");
	check_printed(units_add_size(b, UINT64_MAX), "16.00 EiB");
}

TEST(printed_durations)
{
	check_printed(units_add_duration_ns(b, 0), "0 ns");
	check_printed(units_add_duration_ns(b, 999), "999 ns");
	check_printed(units_add_duration_ns(b, 1000), "1.00 us");
	check_printed(units_add_duration_ns(b, 1200000), "1.20 ms");
	check_printed(units_add_duration_ns(b, 999995), "1.00 ms");
	check_printed(units_add_duration_ns(b, 61005000000), "61.01 s");
	check_printed(units_add_duration_ns(b, UINT64_MAX), "18446744073.71 s");
}

TEST(printed_counts)
{
	check_printed(units_add_count(b, 0), "0");
	check_printed(units_add_count(b, 999), "999");
	check_printed(units_add_count(b, 1000), "1,000");
	check_printed(units_add_count(b, 100000), "100,000");
	check_printed(units_add_count(b, 1234567), "1,234,567");
	check_printed(units_add_count(b, UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(times_read)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-11-21T06:55:30.618709Z", 1795244130618709 },
		{ "2026-11-21 06:55:30.6Z", 1795244130600000 },
		{ "2026-11-21T07:55:30.618709123+01:00", 1795244130618709 },
		{ "2026-11-21t05:25:30-01:30", 1795244130000000 },
	};
	static const char *const bad[] = {
		"", "2026-11-21", "2026-11-21T06:55:30", "2026-02-29T00:00:00Z",
		"1969-12-31T23:59:59Z", "2026-11-21T06:55:30.Z", "2026-11-21T06:55:30Zx",
		"2026-13-01T00:00:00Z", "2026-11-21T24:00:00Z", "2026-11-21T06:55:30+24:00",
	};
	int64_t us;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		check(units_time_us(good[i].text, &us));
		check_int(us, good[i].us);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check(!units_time_us(bad[i], &us));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests: each tests/unit/test_NAME.c is one program. TEST(name) { ... }
 * registers itself; check() notes a failure and goes on, need() ends the test.
 * Output is TAP, so that the runner can count.
 */
#ifndef MBUS_TESTS_UNIT_TEST_H
#define MBUS_TESTS_UNIT_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

void test_register(const char *name, void (*fn)(void));
void test_failed(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool test_eq_bytes(const char *file, int line, const char *what, struct bytes got,
	struct bytes want);

#define TEST(name) \
	static void name(void); \
	__attribute__((constructor)) static void name##_register(void) \
	{ test_register(#name, name); } \
	static void name(void)

#define check(cond) \
	do { if (!(cond)) test_failed(__FILE__, __LINE__, "%s", #cond); } while (0)
#define need(cond) \
	do { if (!(cond)) { test_failed(__FILE__, __LINE__, "%s", #cond); return; } } while (0)
#define check_int(got, want) \
	do { long long g_ = (long long)(got), w_ = (long long)(want); \
	     if (g_ != w_) test_failed(__FILE__, __LINE__, "%s: %lld, not %lld", #got, g_, w_); } while (0)
#define check_str(got, want) \
	test_eq_bytes(__FILE__, __LINE__, #got, bytes_str(got), bytes_str(want))
#define check_bytes(got, want) test_eq_bytes(__FILE__, __LINE__, #got, got, want)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular expression of the user's, looked for in what comes from outside: POSIX
 * extended, of bounded cost. Refused are references back (\1), which POSIX does not have
 * and the C library looks for by trying all ways, and repetitions that are as long as
 * thousands of letters, or dozens of them over one another.
 */
#ifndef MBUS_CORE_PATTERN_H
#define MBUS_CORE_PATTERN_H

#include <regex.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/error.h"

enum {
	PATTERN_MAX = 1000,		/* bytes of one, and places in it, repetitions written out */
	PATTERN_LOOPS = 40,		/* repetitions without a fixed number, written out */
	PATTERN_DEPTH = 32		/* parentheses within parentheses */
};

/* -1: err (ERR_USAGE) says what is wrong with it, in words that go behind its name. Ended
 * by regfree(). */
int pattern_compile(regex_t *, struct bytes text, struct error *err);
/* Is it somewhere in this? No more than the first 4 KiB are looked at. */
bool pattern_is_in(const regex_t *, struct bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passwords, from the moment the program has them until it ends: where they came
 * from they are overwritten, what keeps them is wiped, and from the first one on
 * the process leaves no core dump and its memory, environment and descriptors can
 * be looked at by root alone.
 */
#ifndef MBUS_CORE_SECRET_H
#define MBUS_CORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"

/* The first thing in main(), before any I/O. Words of argv with a URL that has a
 * password become private copies, and the originals, which everybody sees in
 * /proc/PID/cmdline, say "xxxxx" instead. MBUS_PASSWORD is overwritten and taken out
 * of environ, the password of a URL in a MICRO_ or MBUS_ variable likewise, so that
 * children inherit neither. */
void secret_scrub(int argc, char **argv);
/* getenv(3), with the values as they were before. */
const char *secret_env(const char *name);

/* A copy, with a NUL behind it, which secret_wipe() overwrites and frees. */
struct bytes secret_keep(const char *p, size_t n);
/* Before the program ends. */
void secret_wipe(void);

/* Overwrites the passwords of the URLs in text[0...n); the new length. to_blank: a
 * URL ends at a blank (a sentence); else it may go on to the end (a word of argv). */
size_t secret_mask(char *text, size_t n, bool to_blank);

#endif

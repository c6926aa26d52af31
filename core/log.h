/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on stderr: "mbus: pub: ...". One line a call, written with one
 * write(2); control characters in it are shown as \xNN, so that what a peer
 * sent cannot move the cursor.
 */
#ifndef MBUS_CORE_LOG_H
#define MBUS_CORE_LOG_H

enum log_level {
	LOG_QUIET,		/* -q: not even errors */
	LOG_ERROR,
	LOG_WARN,		/* the default */
	LOG_VERBOSE,		/* -v */
	LOG_DEBUG		/* --debug */
};

extern enum log_level log_level;

/* Called before a line is written, if set: what stands in a line of the terminal goes away. */
extern void (*log_before)(void);

/* Name of the subcommand, put behind "mbus: "; a string literal or NULL. */
void log_set_command(const char *);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_verbose(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

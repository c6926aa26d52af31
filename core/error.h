/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, in words for a person and a kind for the program.
 *
 * A struct error belongs to the caller, usually on its stack; nothing in it is
 * allocated. Functions that can fail return 0 or -1 and take a struct error *
 * last (never NULL). The one that finds the fault words it; callers on the way
 * up may put "where" in front (error_prefix); cli/ prints it once.
 *
 * Secrets never go into a text.
 */
#ifndef MBUS_CORE_ERROR_H
#define MBUS_CORE_ERROR_H

#include <stdbool.h>

#include "core/bytes.h"

/* Each kind has one exit status (the table in error.c). */
enum error_kind {
	ERR_NONE,
	ERR_USAGE,		/* 2: a bad option, value or input line */
	ERR_REFUSED,		/* 1: connected, but this was not taken */
	ERR_UNKNOWN,		/* 1: sent, and nobody knows whether it arrived */
	ERR_CONNECT,		/* 3: cannot reach, or lost; retryable */
	ERR_AUTH,		/* 4: authentication or authorization */
	ERR_NOTFOUND,		/* 5: no such thing, nobody there, not supported */
	ERR_LOCAL_IO,		/* 6: a local file, stdin or stdout */
	ERR_TIMEOUT,		/* 124: the time the user gave is over */
	ERR_KINDS
};

struct error {
	enum error_kind kind;
	char text[500];
};

#define ERROR_INIT { ERR_NONE, "" }

/* Fills err and returns -1, so that a failing branch is one line. */
int error_set(struct error *err, enum error_kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with ": " and the text of errno behind it. */
int error_sys(struct error *err, enum error_kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "<fmt>: " in front of the text that is there; returns -1. */
int error_prefix(struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same with bytes from outside (a topic), in which a NUL is shown as \x00. Where
 * there are none, there is no prefix. */
int error_prefix_bytes(struct error *err, struct bytes);

/* The process's exit status for a kind (0 for ERR_NONE). */
int error_exit_status(enum error_kind);
/* The graver of two kinds: the one whose exit status a mixed run ends with. */
enum error_kind error_graver(enum error_kind, enum error_kind);

#endif

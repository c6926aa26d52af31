/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on stderr: see log.h. A line is put together on the stack and written
 * with one write(2): no stdio, no lock, and lines of two processes that share a
 * terminal or a file stay whole.
 *
 * What is valid UTF-8 passes (topics have umlauts); control characters and
 * stray bytes are shown as \xNN, and passwords of URLs as xxxxx, whoever wrote
 * them there.
 */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/secret.h"
#include "core/text.h"

/* Longest text of a line before escaping; what is over it ends in "...". */
#define LINE_MAX_TEXT 2000

enum log_level log_level = LOG_WARN;
void (*log_before)(void);
static const char *command;

void
log_set_command(const char *name)
{
	command = name;
}

static size_t
add(char *out, size_t at, const char *s, size_t n)
{
	memcpy(out + at, s, n);
	return at + n;
}

/* U+0080 ... U+009F move the cursor on some terminals as much as ESC does. */
static bool
shown_as_is(const char *p, unsigned len)
{
	unsigned char c = (unsigned char)*p;

	if (len == 1)
		return c >= 0x20 && c != 0x7f;
	return len > 2 || c != 0xc2 || (unsigned char)p[1] >= 0xa0;
}

static size_t
add_escaped(char *out, size_t at, const char *p, size_t n)
{
	while (n) {
		unsigned len = utf8_seq(p, n);

		if (len && shown_as_is(p, len)) {
			at = add(out, at, p, len);
		} else {
			len = 1;
			at = add(out, at, "\\x", 2);
			hex_encode(out + at, p, 1);
			at += 2;
		}
		p += len;
		n -= len;
	}
	return at;
}

static void
write_all(const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(STDERR_FILENO, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return;		/* nobody to tell */
		p += w;
		n -= (size_t)w;
	}
}

__attribute__((format(printf, 2, 0)))
static void
line(const char *kind, const char *fmt, va_list ap)
{
	char text[LINE_MAX_TEXT + 1], out[4 * LINE_MAX_TEXT + 100];
	int saved = errno, len = vsnprintf(text, sizeof text, fmt, ap);
	size_t n, at = add(out, 0, "mbus: ", 6);
	bool cut = len > LINE_MAX_TEXT;

	if (len < 0)
		return;
	n = secret_mask(text, cut ? LINE_MAX_TEXT : (size_t)len, true);
	while (n && text[n - 1] == '\n')
		n--;
	if (command) {
		at = add(out, at, command, strnlen(command, 40));
		at = add(out, at, ": ", 2);
	}
	at = add(out, at, kind, strlen(kind));
	at = add_escaped(out, at, text, n);
	if (cut)
		at = add(out, at, "...", 3);
	out[at++] = '\n';
	if (log_before)
		log_before();
	write_all(out, at);
	errno = saved;
}

#define LINE_AT(level, kind) do { \
	va_list ap; \
	if (log_level < (level)) \
		return; \
	va_start(ap, fmt); \
	line(kind, fmt, ap); \
	va_end(ap); \
} while (0)

void
log_error(const char *fmt, ...)
{
	LINE_AT(LOG_ERROR, "");
}

void
log_warn(const char *fmt, ...)
{
	LINE_AT(LOG_WARN, "warning: ");
}

void
log_verbose(const char *fmt, ...)
{
	LINE_AT(LOG_VERBOSE, "");
}

void
log_debug(const char *fmt, ...)
{
	LINE_AT(LOG_DEBUG, "debug: ");
}

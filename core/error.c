/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: see error.h. The table below is the one place that knows exit
 * statuses. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PREFIX_MAX = 200 };

/* weight: which of two kinds a mixed run ends with; the heavier wins. */
static const struct {
	int status, weight;
} kinds[ERR_KINDS] = {
	[ERR_NONE] = { 0, 0 },
	[ERR_USAGE] = { 2, 1 },
	[ERR_REFUSED] = { 1, 2 },
	[ERR_UNKNOWN] = { 1, 3 },
	[ERR_TIMEOUT] = { 124, 4 },
	[ERR_NOTFOUND] = { 5, 5 },
	[ERR_CONNECT] = { 3, 6 },
	[ERR_AUTH] = { 4, 7 },
	[ERR_LOCAL_IO] = { 6, 8 },
};

static void __attribute__((format(printf, 3, 0)))
error_vset(struct error *err, enum error_kind kind, const char *fmt, va_list ap)
{
	err->kind = kind;
	vsnprintf(err->text, sizeof err->text, fmt, ap);
}

int
error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, kind, fmt, ap);
	va_end(ap);
	return -1;
}

int
error_sys(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	int saved = errno;
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, kind, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(saved));
	errno = saved;
	return -1;
}

int
error_prefix(struct error *err, const char *fmt, ...)
{
	char was[sizeof err->text];
	size_t len;
	va_list ap;

	memcpy(was, err->text, sizeof was);
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	/* A long topic must leave room for what is wrong with it. */
	if (len > PREFIX_MAX) {
		len = PREFIX_MAX;
		while (len && ((unsigned char)err->text[len] & 0xc0) == 0x80)
			len--;
		memcpy(err->text + len, "...", 3);
		len += 3;
	}
	/* Together they may be longer than the room, and the end is what is cut. */
	snprintf(err->text + len, sizeof err->text - len, ": %.*s",
		(int)(sizeof err->text - len - 3), was);
	return -1;
}

int
error_prefix_bytes(struct error *err, struct bytes b)
{
	char text[PREFIX_MAX + 8];
	size_t n = 0;

	if (!b.n)
		return -1;
	/* One more than is shown, so that error_prefix() sees that it is cut. */
	for (size_t i = 0; i < b.n && n <= PREFIX_MAX; i++) {
		if (b.p[i]) {
			text[n++] = b.p[i];
			continue;
		}
		memcpy(text + n, "\\x00", 4);
		n += 4;
	}
	text[n] = '\0';
	return error_prefix(err, "%s", text);
}

int
error_exit_status(enum error_kind kind)
{
	return kinds[kind].status;
}

enum error_kind
error_graver(enum error_kind a, enum error_kind b)
{
	return kinds[a].weight >= kinds[b].weight ? a : b;
}

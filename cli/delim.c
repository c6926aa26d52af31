/* SPDX-License-Identifier: Apache-2.0 */
/* Delimiters as people write them: see delim.h. */
#include "cli/delim.h"

#include <stdlib.h>

#include "cli/opt.h"
#include "core/text.h"

/* One escape at p, behind the backslash; the number of characters it takes, 0: it is
 * none. */
static size_t
unescape(const char *p, char *out)
{
	static const char names[] = "nrte0\\", values[] = "\n\r\t\033\0\\";
	const char *at = *p ? strchr(names, *p) : NULL;

	if (at) {
		*out = values[at - names];
		return 1;
	}
	return *p == 'x' && p[1] && p[2] && hex_decode(out, p + 1, 2) ? 3 : 0;
}

int
delim_parse(const char *option, const char *text, struct bytes *out, struct error *err)
{
	char *room = xmalloc(strlen(text) + 1);
	size_t n = 0, took;

	for (const char *p = text; *p; n++) {
		if (*p != '\\') {
			room[n] = *p++;
			continue;
		}
		took = unescape(p + 1, room + n);
		if (!took) {
			free(room);
			return error_set(err, ERR_USAGE, "%s: '%s' has an unknown escape (there "
				"are \\n \\r \\t \\e \\0 \\\\ \\xHH)", option, opt_shown(text));
		}
		p += 1 + took;
	}
	if (!n) {
		free(room);
		return error_set(err, ERR_USAGE, "%s: it is empty", option);
	}
	*out = bytes_of(room, n);
	return 0;
}

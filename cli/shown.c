/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others, for people and for programs: see shown.h. */
#include "cli/shown.h"

#include <string.h>

#include "core/json.h"
#include "core/text.h"

void
add_shown(struct buf *out, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n;) {
		unsigned len = utf8_seq(text + i, n - i);

		if (len && utf8_is_shown(text + i, len))
			buf_add(out, text + i, len);
		else
			for (unsigned k = 0; k < (len ? len : 1); k++)
				buf_addf(out, "\\x%02x", (unsigned char)text[i + k]);
		i += len ? len : 1;
	}
}

void
add_json_member(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, ",\"%s\":", name);
	if (!value)
		buf_add_str(out, "null");
	else if (utf8_valid(value, strlen(value)))
		json_add_string(out, bytes_str(value));
	else
		json_add_go_string(out, bytes_str(value));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for people: on one line, indented, coloured; never another value. */
#ifndef MBUS_CLI_JSON_SHOW_H
#define MBUS_CLI_JSON_SHOW_H

#include "core/buf.h"

enum json_space {
	JSON_KEEP,		/* white space as it is */
	JSON_COMPACT,		/* none outside of strings */
	JSON_PRETTY		/* a line for each member, two blanks a level */
};

/* Appends a text that json_valid() takes, and is UTF-8. Numbers and escapes stay as they
 * are written; what does not show (utf8_is_shown()) becomes \uXXXX inside strings. No
 * newline at the end. */
void json_show(struct buf *, struct bytes, enum json_space, bool color);

#endif

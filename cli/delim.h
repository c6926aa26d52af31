/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between events: -D STR, -0 and -K STR. */
#ifndef MBUS_CLI_DELIM_H
#define MBUS_CLI_DELIM_H

#include "core/bytes.h"
#include "core/error.h"

/* STR with its escapes (\n \r \t \e \0 \\ \xHH) read; out is allocated. -1: err
 * (ERR_USAGE), also when it is empty. option: "-D". */
int delim_parse(const char *option, const char *text, struct bytes *out, struct error *err);

#endif

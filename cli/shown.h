/* SPDX-License-Identifier: Apache-2.0 */
/* What others chose, so that it does nothing to a terminal. */
#ifndef MBUS_CLI_SHOWN_H
#define MBUS_CLI_SHOWN_H

#include "core/buf.h"

/* Bytes that show nothing by themselves, or are no UTF-8, as \xNN. */
void add_shown(struct buf *, const char *text);
/* ,"name":"value", or null. */
void add_json_member(struct buf *, const char *name, const char *value);

#endif

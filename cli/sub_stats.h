/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub --stats DUR: a table of topics with rate, size and last seen, on stderr every DUR
 * and at the end. On a terminal it is updated in place, elsewhere each time is a line a
 * topic.
 */
#ifndef MBUS_CLI_SUB_STATS_H
#define MBUS_CLI_SUB_STATS_H

#include "core/loop.h"
#include "core/message.h"

struct sub_stats;

/* Begins when it is made. out: may be written while it is there (then nothing is
 * updated in place: what is printed would be overwritten). */
struct sub_stats *sub_stats_new(struct loop *, uint64_t period_ms, bool out);
/* Says the rest. NULL is allowed. */
void sub_stats_free(struct sub_stats *);
void sub_stats_count(struct sub_stats *, const struct event *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What mbus sub can be told: its options, and where their values go. */
#ifndef MBUS_CLI_SUB_OPTIONS_H
#define MBUS_CLI_SUB_OPTIONS_H

#include "cli/cli.h"
#include "cli/sub_exec.h"
#include "cli/sub_filter.h"
#include "cli/sub_output.h"

struct sub_args {
	struct common_args common;
	struct opt_list topics, offsets;
	struct sub_output output;
	struct sub_filter_args filter;
	struct sub_exec_args exec;
	const char *group, *ready, *save, *tee;
	uint64_t count, timeout_ms, idle_ms, stats_ms;
	int64_t qos, partition;
	int ready_fd, ack;
	bool end, check, no_retained, regex;
};

/* What each choice of --ack asks of a broker. */
extern const unsigned subscribe_ack_needs[];
extern const struct opt sub_opts[];	/* ends with name NULL */

/* Gathers the topics: of -t, of the operands, else of the URL. -1: err (ERR_USAGE). */
int sub_options_topics(struct sub_args *, int noperands, char **operands, struct error *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Which of sub's outputs is wanted: what its options say, as a struct formatter. */
#ifndef MBUS_CLI_SUB_OUTPUT_H
#define MBUS_CLI_SUB_OUTPUT_H

#include "cli/format.h"
#include "core/error.h"

/* As the options say it (zeroed: the default output). */
struct sub_output {
	const char *format, *mosquitto;	/* -f, -F */
	const char *delim;
	uint64_t max_body;
	bool json, body, raw, hex, line, no_newline, nul, body_json, pretty, local_time;
};

/* Fills what the options decide; broker, color and terminal are the caller's. -1: err
 * (ERR_USAGE): a format that is wrong, options that contradict each other. */
int sub_output_choose(const struct sub_output *, struct formatter *, struct error *);
/* Does an option say how events are printed? */
bool sub_output_is_chosen(const struct sub_output *);
/* Are headers looked at? */
bool sub_output_wants_headers(const struct formatter *);
void sub_output_release(struct formatter *);

#endif

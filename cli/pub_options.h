/* SPDX-License-Identifier: Apache-2.0 */
/* What mbus pub can be told: its options, and where their values go. */
#ifndef MBUS_CLI_PUB_OPTIONS_H
#define MBUS_CLI_PUB_OPTIONS_H

#include "cli/cli.h"

struct pub_args {
	struct common_args common;
	const char *topic, *message, *content_type;
	const char *key, *key_delim, *delim, *reply_to, *compress, *report, *rate, *pace;
	struct opt_list files, headers;
	uint64_t wait, inflight, timeout_ms, ttl_ms, create, count, repeat, interval_ms, replies;
	int64_t qos, partition;
	int ack;			/* enum publish_ack */
	int report_fd;
	unsigned omit;			/* enum pub_omit */
	bool all_stdin, lines, json, nul, null, empty, retain, keep_meta, transaction;
	bool report_all, template, tee, loop, fail_fast, request;
};

/* Bits of --omit, in the order of its choices. */
enum pub_omit {
	OMIT_KEY = 1, OMIT_NULL = 2, OMIT_REPEAT = 4, OMIT_BINARY = 8, OMIT_HEADER = 16
};

/* What each choice of --ack asks of a broker. */
extern const unsigned publish_ack_needs[];
extern const struct opt pub_opts[];	/* ends with name NULL */

#endif

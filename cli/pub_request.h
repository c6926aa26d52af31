/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pub --request: each event asks for replies on a topic of this run's own, which are
 * printed as they come. Where the broker has reply topics (MQTT 5, NATS) the event says
 * it there, else in the headers Reply-To and Correlation-Id, as `sub -x --reply` answers.
 */
#ifndef MBUS_CLI_PUB_REQUEST_H
#define MBUS_CLI_PUB_REQUEST_H

#include "cli/format.h"
#include "cli/output.h"
#include "cli/pub_source.h"

struct pub_request {
	bool on;
	uint64_t expected, got;		/* replies: to what was confirmed; that came */
	/* Private. */
	const struct pub_args *args;
	uint64_t each;			/* replies to an event */
	struct broker *broker;
	struct subscription *sub;
	struct buf topic;
	char number[24];		/* of the event that is marked */
	uint64_t marked;
	struct publish_options opts;	/* the marked event's */
	struct header *headers;
	size_t cap_headers;
	struct formatter format;
	struct output out;
	bool out_open;
	struct loop_timer late;
	void (*ready)(void *arg, const struct error *);
	void (*changed)(void *arg);
	void *arg;
};

/* Options that contradict it: -1, err (ERR_USAGE). The struct is zeroed. */
int pub_request_init(struct pub_request *, const struct pub_args *, struct error *);
/* Once the broker is connected. ready() follows when replies can come, or cannot;
 * changed() when one came, or the time for them is over. -1: err. */
int pub_request_start(struct pub_request *, struct broker *, struct loop *,
	void (*ready)(void *arg, const struct error *), void (*changed)(void *arg), void *arg,
	struct error *);
/* The event says where replies go; borrowed until the next. */
void pub_request_mark(struct pub_request *, struct publication *);
/* An event was confirmed: its replies are waited for. */
void pub_request_await(struct pub_request *);
/* All have come, or there is no sense in waiting for more. */
bool pub_request_over(const struct pub_request *);
/* After the run: were there as many as there should be? Says so, unless quietly; then
 * releases. */
enum error_kind pub_request_end(struct pub_request *, bool quietly);

#endif

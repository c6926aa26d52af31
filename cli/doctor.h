/* SPDX-License-Identifier: Apache-2.0 */
/* mbus doctor: what its files have in common. */
#ifndef MBUS_CLI_DOCTOR_H
#define MBUS_CLI_DOCTOR_H

#include "cli/cli.h"
#include "core/registry.h"

struct doctor_args {
	struct common_args common;
	uint64_t timeout_ms;
	bool json;
};

enum result { RESULT_OK, RESULT_NOTE, RESULT_WARN, RESULT_FAIL };

struct doctor {
	struct doctor_args *args;
	const char *topic;		/* NULL: none */
	struct loop *loop;
	struct loop_timer limit;	/* of all */
	struct broker *broker;
	struct broker_options opts;
	struct buf out;
	enum error_kind failed;		/* of the first failure */
	bool over;			/* the step under way has ended */
	bool late;			/* the time of all is over */
	struct error err;		/* of the step under way */
};

/* One line of the report. advice: what to do next; NULL: nothing. */
void doctor_say(struct doctor *, const char *check, enum result, enum error_kind,
	const char *advice, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same of an error. */
void doctor_failed(struct doctor *, const char *check, const struct error *, const char *advice);
/* Runs the loop until the step is over. false: the time of all is over first. */
bool doctor_wait(struct doctor *);
void doctor_done(struct doctor *);

/* doctor_reach.c: can the server be reached? false: it makes no sense to go on. */
bool doctor_reach(struct doctor *);
/* doctor_registry.c: who is there, and who is not believed. */
void doctor_registry(struct doctor *);
/* The name most like the topic, so far. */
struct doctor_near {
	unsigned best;
	char name[100];
};
void doctor_consider(const char *topic, struct bytes name, struct doctor_near *);

#endif

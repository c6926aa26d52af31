/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of each event, for programs: `mbus pub --report FILE` and --report-fd N
 * write a line of JSON for each event that was not confirmed, with --report-all for
 * each event. In it is the event itself as -J reads it; -J reads these lines, too, so
 * that exactly the rest can be tried again.
 *
 *	{"v":1,"type":"fate","fate":"refused","error":"...","status":1,
 *	"place":"stdin:17","event":{"v":1,...}}
 *
 * --tee writes to stdout what was confirmed: with -J the event as a line of JSON, else its
 * body and what ends lines.
 *
 * An event is kept, as it will be written, from when the broker takes it until its fate is known.
 * While it is, its id is a slot's here, and not the source's.
 */
#ifndef MBUS_CLI_PUB_REPORT_H
#define MBUS_CLI_PUB_REPORT_H

#include "cli/format.h"
#include "cli/output.h"
#include "cli/pub_source.h"

struct pub_report {
	bool on, all;			/* on: there is a report, or --tee */
	/* Private. */
	const struct pub_source *source;
	const struct broker *broker;
	bool reports, tees;
	struct output out, tee;
	struct formatter format, tee_format;
	struct loop_idle idle;		/* what is for a pipe does not wait for more */
	struct kept *slots;
	size_t nslots, unused;		/* the first free slot, 1 more; 0: none */
	uint64_t n;			/* events that were kept */
	int fd;				/* that was opened; -1: none */
};

/* Opens what the options name, if they name something. room: called when it takes
 * lines again after pub_report_full(). Released also after -1. */
int pub_report_open(struct pub_report *, const struct pub_args *, const struct pub_source *,
	struct loop *, void (*room)(struct output *), void *arg, struct error *);
void pub_report_broker(struct pub_report *, const struct broker *);
/* Its reader is slow: publish no more for now. */
bool pub_report_full(const struct pub_report *);
/* Keeps the event; its slot is its id from now on. */
uint64_t pub_report_keep(struct pub_report *, const struct publication *);
/* The source's id of a slot. */
uint64_t pub_report_id(const struct pub_report *, uint64_t slot);
/* The fate of the event in this slot, which is free then. err NULL: confirmed. */
void pub_report_fate(struct pub_report *, uint64_t slot, enum fate, const struct error *err);
/* The end: what is still kept has no outcome, so its fate is unknown, but for the one in
 * the slot `waits` (UINT64_MAX: none), which the broker has not taken. */
void pub_report_rest(struct pub_report *, uint64_t waits);
/* Writes what is left, for a second if need be. -1: some of it could not be written. */
int pub_report_close(struct pub_report *, struct error *);

#endif

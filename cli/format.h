/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How `mbus sub` shows events: one struct format each, in a table. A format
 * appends one event to a buffer; it borrows everything, keeps nothing and, once
 * its buffers have grown, allocates nothing.
 *
 * HOW TO ADD A FORMAT: a file with its struct format last, its name below, and
 * the option that chooses it in cli/sub_output.c.
 */
#ifndef MBUS_CLI_FORMAT_H
#define MBUS_CLI_FORMAT_H

#include "core/buf.h"
#include "core/message.h"

/* A time stamp whose date and time are written once a second. */
struct format_stamp {
	bool local;			/* the user's: in the local time zone, else UTC */
	int64_t second;
	char text[sizeof "2026-11-21T06:55:30."];
	char zone[sizeof "+01:00"];
	bool set;
};

/* What a format is told, and what it keeps from one event to the next. */
struct formatter {
	const struct format *format;
	const char *broker;		/* for the metadata */
	bool color;
	bool terminal;			/* control characters are neutralised */
	bool body_json;			/* json: a body that is JSON stands as JSON */
	bool pretty;			/* JSON is indented */
	uint64_t max_body;		/* bytes of a body that are shown; UINT64_MAX: all */
	struct bytes end;		/* behind each event of all but text; p NULL: as the
					 * format has it */
	struct format_program *program;	/* of format_string (cli/format_program.h) */
	struct format_stamp stamp;
	/* From here on private; zeroed at first. */
	struct buf line;		/* what is coloured or indented then */
};

struct format {
	const char *name;
	/* n: the event's number, from 1. */
	void (*add)(struct formatter *, struct buf *, const struct event *, uint64_t n);
};

extern const struct format format_text;	/* for people */
extern const struct format format_json;	/* one line of JSON */
extern const struct format format_body;	/* the body and a newline */
extern const struct format format_raw;	/* the body, and nothing else */
/* format_string, sub -f: cli/format_program.h */
extern const struct format format_hex;	/* the body in hex digits, a line */
extern const struct format format_line;	/* topic, key and body between tabs, a line */

static inline void
format_add(struct formatter *f, struct buf *out, const struct event *ev, uint64_t n)
{
	f->format->add(f, out, ev, n);
}

/* "2026-11-21T06:55:30.618709Z"; digits: 6, or 3 for milliseconds. */
void format_add_time(struct format_stamp *, struct buf *, int64_t time_us, unsigned digits);

/* Somebody else's bytes: as they are, but on a terminal without what could do anything
 * there (lines, tabs and CR LF stay). */
void format_add_shown(struct formatter *, struct buf *, struct bytes);
/* "\\x1b" */
void format_add_hex_escape(struct buf *, unsigned char);
/* A string, {"b64":"..."} where it is no text, or null. */
void format_add_json(struct buf *, struct bytes);
/* What format_json adds, on one line and without an end. */
void format_add_json_event(struct formatter *, struct buf *, const struct event *, uint64_t n,
	bool body_json);
/* A word of the shell that is these bytes: bare, in '...', or in $'...'. */
void format_add_shell(struct buf *, struct bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sub -f FMT` and `sub -F FMT`: a format string, read once, before anything is
 * connected, into a list of steps that each event runs through. The grammar is in
 * mbus-format(7).
 *
 *	native (-f)	%[-][0][WIDTH][.PRECISION]LETTER{ARG}{MODIFIER}...
 *			%{header:NAME}  %{meta:NAME}
 *	mosquitto (-F)	%[-][0][WIDTH][.PRECISION]LETTER, %@X for strftime's %X
 *
 * What is in here is shared by format_compile.c, which makes the steps, and
 * format_string.c, which runs them; others use the three functions at the end.
 */
#ifndef MBUS_CLI_FORMAT_PROGRAM_H
#define MBUS_CLI_FORMAT_PROGRAM_H

#include "cli/format.h"
#include "core/error.h"

enum format_field {
	FIELD_LITERAL,
	/* bytes; not there: nothing is shown */
	FIELD_TOPIC, FIELD_BODY, FIELD_KEY,
	FIELD_HEADERS,			/* n=v,n=v */
	FIELD_PAIRS,			/* n:v n:v, mosquitto's %P */
	FIELD_HEADER,			/* the one named in `text` */
	FIELD_NAME, FIELD_VALUE,	/* inside %h{...} */
	FIELD_CONTENT_TYPE, FIELD_REPLY, FIELD_CORRELATION, FIELD_ID, FIELD_WIRE,
	FIELD_TIME_KIND, FIELD_BROKER,
	FIELD_TIME,			/* by `parts` */
	FIELD_JSON, FIELD_JSON_BODY,	/* a line of -J; with the body as JSON */
	FIELD_EACH,			/* %h{...}: `each`, once a header */
	/* numbers */
	FIELD_FIRST_NUMBER,
	FIELD_BODY_LEN = FIELD_FIRST_NUMBER, FIELD_KEY_LEN, FIELD_TIME_MS, FIELD_PARTITION,
	FIELD_OFFSET, FIELD_QOS, FIELD_RETAIN, FIELD_TTL, FIELD_COUNT,
	FIELD_NONE			/* in a table: there is no such letter */
};

/* How a field's bytes, or a number's digits, are written. */
enum format_encoding {
	ENCODE_PLAIN, ENCODE_HEX, ENCODE_HEX_UPPER, ENCODE_BASE64, ENCODE_JSON, ENCODE_SHELL,
	ENCODE_INT			/* a number as `size` bytes, big- or little-endian */
};

enum { FORMAT_PARTS_MAX = 16, FORMAT_STEPS_MAX = 1000 };

/* A piece of a time: what strftime says, which changes once a second; the seconds since
 * 1970; their fraction. */
struct format_part {
	char *strftime;			/* NULL: one of the others */
	unsigned digits;		/* of the fraction; 0: the seconds */
	char *text;			/* of strftime, for `second` */
	size_t len, size;
};

struct format_times {
	int64_t second;			/* that `text` is of */
	bool set, local;
	size_t n;
	struct format_part part[];
};

struct format_step {
	unsigned char field, encoding, size;
	bool left, zero, little, plain;	/* plain: nothing but the bytes themselves */
	size_t width, precision;	/* in characters; precision SIZE_MAX: all */
	size_t trunc;			/* bytes, whole characters; SIZE_MAX: all */
	struct bytes text;		/* of a literal, a header's name */
	struct format_times *times;
	struct format_program *each;
};

struct format_program {
	struct format_step *steps;
	size_t n;
	struct buf scratch, encoded;	/* grown once, then used for every event */
	bool headers;			/* some step looks at them */
	bool json;
};

/* NULL: err (ERR_USAGE) says what is wrong and at which character. option: "-f".
 * local: times are those of the local time zone, else UTC. */
struct format_program *format_compile(const char *option, const char *text, bool mosquitto,
	bool local, struct error *);
void format_program_free(struct format_program *);	/* NULL is allowed */

/* Runs formatter.program: no end of its own but formatter.end. */
extern const struct format format_string;

#endif

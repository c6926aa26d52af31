/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where `mbus pub` has its events from: the command line, files or stdin, whole,
 * by lines, or as lines of JSON. Makes the publications: topic, headers, body.
 * Reports what cannot be read itself (a line on stderr) and goes on.
 */
#ifndef MBUS_CLI_PUB_SOURCE_H
#define MBUS_CLI_PUB_SOURCE_H

#include <sys/types.h>

#include "cli/event_json.h"
#include "cli/input.h"
#include "cli/pub_options.h"

struct pub_source {
	struct bytes topic;		/* p NULL: each line of -J has its own */
	bool dry;			/* no more events will come */
	uint64_t bad;			/* lines that were skipped */
	uint64_t omitted;		/* events that something was left out of */
	enum error_kind kind;		/* the gravest of what could not be read */
	bool fail_fast;			/* then nothing more is read */
	uint64_t round;			/* of --loop, from 0 */
	/* Private. */
	const struct pub_args *args;
	struct loop *loop;
	struct bytes body;		/* of the one event, where it is no input's */
	bool has_body, by_line;
	bool got;			/* something, in this round */
	off_t stdin_begin;		/* with --loop */
	bool sized;			/* and passed: bytes of the files that are behind */
	uint64_t passed;
	struct bytes key, key_delim;	/* p NULL: none */
	bool apart;			/* there is a key_delim, or -Z */
	struct publish_options opts;	/* what the command line says */
	struct publish_options line_opts;	/* and with it the line's meta */
	bool has_opts, pretty;		/* pretty: JSON over several lines came, and was said */
	struct input in;
	bool in_open;
	const char *const *paths;	/* read one after the other; NULL: stdin */
	size_t npaths, path;
	/* -H and --content-type; behind them one more that is not counted in
	 * nheaders, for a body that is JSON. */
	struct header *headers;
	size_t nheaders;
	bool mark_json;
	struct header *changed;		/* an event's headers after merging, --omit */
	size_t cap_changed;
	struct event_json line;
};

/* What --omit leaves out is no reason to refuse an option that asks for it. */
void pub_source_excuse(struct pub_args *);
/* Reads the options and operands that say what is published. The struct needs
 * no preparation; it must be released even after -1. */
int pub_source_init(struct pub_source *, const struct pub_args *, int noperands,
	char **operands, struct error *);
void pub_source_release(struct pub_source *);

/* What the broker can do is known: a content type goes where it has one, and of lines
 * of JSON what it can carry is read. -1: it cannot carry a header of the command line,
 * and so no event (ERR_NOTFOUND). */
int pub_source_broker(struct pub_source *, const struct broker *, struct error *);

/* Opens the first input, if there is one; ready() is called when there is more
 * after pub_source_next() had nothing. */
void pub_source_open(struct pub_source *, struct loop *, void (*ready)(struct input *),
	void *arg);
/* The next publication: borrows until the next call. false: there is none now,
 * or, when dry, ever. */
bool pub_source_next(struct pub_source *, struct publication *);

/* After pub_source_next() had nothing for now: would it be in vain to ask again at once?
 * Not of a file. */
bool pub_source_again(struct pub_source *);

/* Bytes of all inputs, where they are files; 0: they are not, or there is no input. */
uint64_t pub_source_size(struct pub_source *);
/* After that: so many of them were taken. */
uint64_t pub_source_taken(const struct pub_source *);

/* Leaves out what this broker cannot carry, as far as --omit allows. */
void pub_source_omit(struct pub_source *, unsigned caps, struct publication *);

/* Appends where the publication with this id came from: "stdin:17", "a.json";
 * nothing when it was the command line. */
void pub_source_place(const struct pub_source *, uint64_t id, struct buf *);

#endif

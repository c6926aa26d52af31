/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the file registry have in common: a directory with one file a
 * node, for the programs of one machine.
 *
 *	file.c		the ops; our own nodes: written, touched, removed
 *	file_dir.c	which directory, and whether it can be trusted
 *	file_node.c	the text of a file: no I/O
 *	file_look.c	reading what is there, what is stale; lookups
 *	file_watch.c	changes
 *
 * release() must not be called from a callback; all else may.
 */
#ifndef MBUS_REGISTRY_FILE_H
#define MBUS_REGISTRY_FILE_H

#include <sys/stat.h>

#include "backends/registry/file_node.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/registry.h"

enum {
	FILE_NODES_MAX = 10000,		/* read in one go, or known to a watch */
	FILE_READ_MAX = 64 << 20	/* bytes likewise */
};

#define FILE_TMP_PREFIX ".tmp-"		/* what is being written */

struct file_entry;
struct file_ask;
struct file_known;

struct file_registry {
	struct registry base;
	int dir;			/* -1: not open */
	unsigned opened;		/* how many times: another is another directory */
	char *path;			/* of it */
	mode_t mode;			/* of the files in it */
	struct file_owner self;		/* pid 0: not known yet */
	struct file_owner alive;	/* the last found alive in this reading */

	struct file_entry *entries;	/* our own nodes */
	struct buf out;			/* a file's text being made */

	struct file_ask *asks;		/* lookups that wait for their turn */
	struct file_ask *running;	/* those being answered */
	struct loop_timer look;
	struct file_node node;		/* the file being read, and its text */
	struct buf text;

	struct watch *watches, *next_watch;
	struct loop_fd changes;		/* inotify; fd -1: not watching */
	unsigned watched;		/* the `opened` of the directory it watches */
	struct loop_timer bell, sweep;
	uint64_t next_scan_ns;		/* not before that, whatever rings */
	struct file_known **known;	/* by name */
	size_t nknown, known_bytes;
	bool full;			/* there are more; said once */
	unsigned pass;			/* number of the last scan */
	bool scanning;
	struct file_node watch_node;
	struct buf watch_text;
};

/* ---- file_dir.c ---- */

/* Opens the directory, if it is not; create: makes it when it is not there. 1: it
 * is open; 0: it is not there (without create); -1: err says what to do. */
int file_dir_open(struct file_registry *, bool create, struct error *err);
void file_dir_close(struct file_registry *);

/* ---- file_look.c ---- */

/* This process, as the others can recognise it. */
const struct file_owner *file_self(struct file_registry *);
/* Reads one file. NULL, or why not: a literal, "" for a file that has gone. */
const char *file_text(struct file_registry *, const char *name, struct buf *text, struct stat *);
/* Judges its text, which is decoded in place, and removes it if it is stale and this
 * user's. NULL: *out is a live node; else why not: a literal. */
const char *file_judge(struct file_registry *, const char *name, struct file_node *out,
	struct buf *text, const struct stat *);
/* Why a node is not to be believed any more: a literal; NULL: it is. */
const char *file_stale(struct file_registry *, const struct file_owner *, uint64_t ttl_ms,
	const struct stat *st);
/* Removes a stale file of this user, unless it has been written anew meanwhile. */
void file_reap(struct file_registry *, const char *name, const struct stat *st);
/* Says that there is more than is read. */
void file_too_many(const struct file_registry *);
/* Calls fn with every name of a node's file. -1: err is set. */
int file_each(struct file_registry *, void (*fn)(struct file_registry *, const char *name,
	void *arg), void *arg, struct error *err);

int file_get(struct registry *, struct bytes name, struct lookup *, struct error *);
int file_list(struct registry *, struct lookup *, struct error *);
void file_cancel(struct registry *, struct lookup *);
void file_look_release(struct file_registry *);

/* ---- file_watch.c ---- */

int file_watch(struct registry *, struct watch *, struct error *);
void file_unwatch(struct registry *, struct watch *);
void file_watch_release(struct file_registry *);

#endif

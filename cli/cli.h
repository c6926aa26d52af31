/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of cli/ have in common: a command, the options every command
 * has, and what is made of them.
 *
 * HOW TO ADD A COMMAND
 *	1. cli/cmd_NAME.c: an args struct that begins with struct common_args,
 *	   a table of options (cli/opt.h), run(), and last `const struct command
 *	   cmd_NAME`, whose `uses` says which of the common options it heeds.
 *	2. its name below and in the table of cli/command.c.
 *	3. man/mbus-NAME.1; tests/bats/docs.bats compares it with the table.
 *
 * main() has read the options and the environment before run() is called, has
 * set log_level, and ignores SIGPIPE (write(2) then says EPIPE; a child that is
 * started must get SIG_DFL back).
 */
#ifndef MBUS_CLI_CLI_H
#define MBUS_CLI_CLI_H

#include "cli/opt.h"
#include "core/broker.h"
#include "core/log.h"
#include "core/tls.h"

/* What a command has a use for, of the options that all share. */
enum use {
	USE_BROKER = 1,			/* it asks a broker: -B, -b, --url */
	USE_SERVER = 2,			/* who we are there, and TLS */
	USE_CONNECT = 4,		/* how long connecting may take */
	USE_EVENTS = 8,			/* events pass: --wire, --reconnect */
	USE_REGISTRY = 16,		/* the registry */
	USE_REGISTER = 32,		/* how long something stays registered */
	USE_LISTEN = 64			/* where a broker has no server: -b is our own address */
};

struct command {
	const char *name;
	const char *summary;		/* one line of `mbus --help` */
	const char *synopsis;		/* "[OPTION...] [TOPIC] [BODY|-]"; a '\n' begins
					 * another form */
	const char *words;		/* what the first operand can be: "list|get"; NULL:
					 * anything (for completion only) */
	bool many_topics;		/* every operand is a topic, not the first only (for
					 * completion) */
	const struct opt *opts;		/* its own; the common ones come by themselves */
	size_t args_size;
	unsigned uses;			/* enum use */
	unsigned broker_use;		/* enum broker_use: whose -X options it takes; 0: all */
	const char *notes;		/* lines before the examples in --help; may be NULL */
	const char *examples;		/* lines, indented by two; comments as "  # ..." */
	/* Returns the exit status. -1: err says why; main prints it as
	 * "mbus: NAME: ..." and exits with its kind's status. */
	int (*run)(void *args, int noperands, char **operands, struct error *);
};

extern const struct command cmd_bench, cmd_doctor, cmd_pub, cmd_sub, cmd_registry, cmd_topics;
extern const struct command *const command_table[];	/* ends with NULL */
const struct command *command_find(const char *name);
/* `mbus NAME --help`; all, `mbus help NAME`: with the options that every command has.
 * NULL: mbus itself. */
void command_help(struct buf *, const struct command *, bool all);
/* What `mbus` alone says. */
void command_usage(struct buf *);

enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* The first member of every command's args. */
struct common_args {
	const char *broker, *address;
	const char *registry, *registry_address;
	uint64_t register_ttl_ms, register_interval_ms;
	uint64_t connect_timeout_ms;
	const char *url, *username, *password_file;
	const char *config, *profile;
	struct settings *settings;	/* what the config file says; cli/settings.h */
	struct url_params *params;	/* of url or address; cli/url_params.h */
	const char *reconnect;		/* "N", "no", "always"; NULL: not given ... */
	int reconnect_n;		/* ... and in numbers, as in struct broker_options */
	int wire;			/* enum wire */
	struct tls_options tls;
	struct opt_list xopts;		/* "name=value", as given */
	int color;			/* enum color; ask common_color() */
	int log_level;			/* enum log_level; main has set the global one */
	bool help, version;
	/* What was on the command line, of all rows, and whose it is (NULL: mbus's). */
	struct opt_given given;
	const struct command *command;
	unsigned excused;		/* enum broker_caps that the command makes up for */
	/* Made of xopts by common_resolve(). */
	struct broker_xopt *xpairs;
	size_t nxpairs;
	bool xlist, xdump;		/* -X list, -X dump: main answers them */
	/* Before the command line was read: what it changed is told by these. */
	const char *env_broker, *env_address;
	/* Made of url and address by common_url(). */
	const char *server;		/* without userinfo */
	const char *topic;		/* of a URL's path, where the broker has topics there */
	const char *url_user;
	struct bytes url_password;
	/* Made by common_prepare(). */
	const struct broker_ops *ops;
	struct bytes password;		/* p NULL: none */
};

extern const struct opt common_opts[];

/* Options of mbus itself, before a command's name. */
struct top_args {
	struct common_args common;
	bool list, json;
	const char *completion;		/* the shell's name */
};
extern const struct opt top_opts[];

/* Defaults, then the environment; -1: a variable's value is bad. */
int common_defaults(struct common_args *, struct error *);
/* Splits the -X options at '=', sets the global log_level. main calls it;
 * broker_new() and registry_new() check the names. */
int common_resolve(struct common_args *, struct error *);
/* Frees what common_resolve() and opt_parse() allocated. */
void common_release(struct common_args *);

/* Takes the URLs of --url and --address apart: broker, server, topic, url_user and
 * url_password are right then. For a command that wants the topic; common_prepare()
 * does it, too. Reads no file. */
int common_url(struct common_args *, struct error *);
/* Finds the broker's module and reads the files of passwords: what may wait (a FIFO, a
 * terminal), and so is best called before signals are the loop's. common_open() does
 * it if nobody has. */
int common_prepare(struct common_args *, struct error *);
/* The broker the user chose, with the registry it needs. opts: the caller has
 * filled timeout_ms, window_*, notify, notify_arg, ack, and reconnect with what
 * holds when the user says nothing; the rest is filled here.
 * NULL: err says why. Ends by common_close(). */
struct broker *common_open(struct common_args *, struct loop *, struct broker_options *opts,
	struct error *);
/* Disconnects, frees the broker, then the registry in opts. NULL is allowed. */
void common_close(struct broker *, struct broker_options *opts);
/* The registry alone, for `mbus registry`; registry_free() ends it. */
struct registry *common_registry(struct common_args *, struct loop *, struct error *);

/* Colour on this descriptor? --color, else NO_COLOR, TERM and whether it is a
 * terminal. */
bool common_color(const struct common_args *, int fd);

/* Writes all of it to stdout. A reader that has gone is no error. */
int stdout_write(const struct buf *, struct error *);

/* `mbus --list`, and what -X list and -X dump print. */
void list_backends(struct buf *, bool json);
/* `mbus --list -v`: what would be used, and where each value comes from. */
int list_in_force(struct buf *, struct common_args *, bool json, struct error *);
int list_xopts(struct buf *, const struct common_args *, struct error *);
int dump_xopts(struct buf *, const struct common_args *, struct error *);

/* For the shells' completion: what the last of these words (those behind "mbus")
 * may become, one a line, with a TAB and a description behind it. The line
 * ":file" stands for the names of files.
 * ask: topics and services are asked for, and what that opens is left to the end of the
 * process. */
void complete_words(struct buf *, int nwords, char **words, bool ask);
/* The completion script of "bash", "zsh" or "fish"; p NULL: no such shell. */
struct bytes completion_script(const char *shell);

#endif

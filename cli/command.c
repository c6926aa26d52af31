/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and how mbus explains itself from it. */
#include "cli/cli.h"

#include <string.h>

#define T struct top_args

const struct opt top_opts[] = {
	{ "list", 0, OPT_FLAG(T, list), .group = "mbus itself",
		.help = "show the brokers and registries: what is compiled in, what is not and "
			"why, and what each can do; with -v instead: what would be used, and where "
			"each value comes from" },
	{ "json", 'J', OPT_FLAG(T, json), .help = "--list as lines of JSON" },
	{ "completion", 0, OPT_STR(T, completion), .choices = "bash|zsh|fish",
		.help = "print the completion script of a shell" },
	{ NULL }
};

const struct command *const command_table[] = {
	&cmd_pub,
	&cmd_sub,
	&cmd_bench,
	&cmd_registry,
	&cmd_topics,
	&cmd_doctor,
	NULL
};

const struct command *
command_find(const char *name)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

/* One line a form: "Usage: mbus pub ...", the following ones below it. */
static void
add_synopsis(struct buf *out, const struct command *cmd)
{
	const char *lead = "Usage:";

	for (const char *p = cmd->synopsis; p && *p; lead = "      ") {
		size_t n = strcspn(p, "\n");

		buf_addf(out, "%s mbus %s %.*s\n", lead, cmd->name, (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static void
add_commands(struct buf *out)
{
	buf_add_str(out, "\nCommands:\n");
	for (const struct command *const *c = command_table; *c; c++)
		buf_addf(out, "  %-10s%s\n", (*c)->name, (*c)->summary);
	buf_addf(out, "  %-10s%s\n", "help", "explain mbus or one of its commands");
}

/* Text blocks of a command end with a newline, whatever their authors did. */
static void
add_block(struct buf *out, const char *heading, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (!n)
		return;
	buf_addf(out, "\n%s", heading);
	buf_add(out, text, n);
	if (text[n - 1] != '\n')
		buf_add_ch(out, '\n');
}

static const char top_usage[] =
	"Usage: mbus COMMAND [OPTION...] [ARG...]\n"
	"       mbus --list [-v] [-J]\n"
	"       mbus help [COMMAND]\n";

static const char top_notes[] =
	"Options that every command shares may stand before the command, too. A long\n"
	"option may be written with _ for -, as go-micro does (--broker_address). An\n"
	"option comes before the environment [NAME], that before the file of --config,\n"
	"and that before the default.\n";

static const char top_examples[] =
	"  mbus sub orders                      # in one terminal\n"
	"  mbus pub orders 'hello world'        # in another\n"
	"  mbus sub -J orders | mbus pub -J -t copy\n"
	"  mbus registry list\n";

void
command_usage(struct buf *out)
{
	buf_add_str(out, top_usage);
	add_commands(out);
	buf_add_str(out, "\nmbus --help says more, mbus COMMAND --help about a command.\n");
}

static void
top_help(struct buf *out)
{
	buf_add_str(out, top_usage);
	buf_add_str(out, "\nPublish and subscribe from the shell, as go-micro's programs do.\n");
	add_commands(out);
	opt_help(out, top_opts, false);
	opt_help(out, common_opts, false);
	add_block(out, "", top_notes);
	add_block(out, "Examples:\n", top_examples);
	buf_add_str(out, "\nThe manual: man mbus\n");
}

void
command_help(struct buf *out, const struct command *cmd, bool all)
{
	if (!cmd) {
		top_help(out);
		return;
	}
	add_synopsis(out, cmd);
	buf_addf(out, "\nmbus %s: %s.\n", cmd->name, cmd->summary);
	opt_help(out, cmd->opts, !all);
	if (all)
		opt_help(out, common_opts, false);
	add_block(out, "", cmd->notes);
	add_block(out, "Examples:\n", cmd->examples);
	if (!all)
		buf_addf(out, "\nIn words, with what all commands have (-B, -X, TLS, -v ...): mbus help %s\n"
			"The manual: man mbus-%s\n", cmd->name, cmd->name);
	else
		buf_addf(out, "\nThe manual: man mbus-%s\n", cmd->name);
}

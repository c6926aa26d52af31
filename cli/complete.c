/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the word under the cursor may become, from the same tables that the
 * parser reads. The three scripts in completions/ call `mbus --complete WORDS`
 * and know nothing themselves; they are in the binary, too, for --completion.
 */
#include "cli/complete_ask.h"
#include "cli/settings.h"

#include <stdio.h>
#include <string.h>

#define SCRIPT(shell, file) \
	__asm__(".section .rodata\n" \
		".global completion_" #shell "\n.hidden completion_" #shell "\n" \
		".global completion_" #shell "_end\n.hidden completion_" #shell "_end\n" \
		"completion_" #shell ":\n.incbin \"completions/" file "\"\n" \
		"completion_" #shell "_end:\n.previous\n"); \
	extern const char completion_##shell[], completion_##shell##_end[]

SCRIPT(bash, "mbus.bash");
SCRIPT(zsh, "_mbus");
SCRIPT(fish, "mbus.fish");

struct bytes
completion_script(const char *shell)
{
	const struct {
		const char *shell, *begin, *end;
	} scripts[] = {
		{ "bash", completion_bash, completion_bash_end },
		{ "zsh", completion_zsh, completion_zsh_end },
		{ "fish", completion_fish, completion_fish_end },
	};

	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
		if (strcmp(scripts[i].shell, shell) == 0)
			return bytes_of(scripts[i].begin,
				(size_t)(scripts[i].end - scripts[i].begin));
	return bytes_of(NULL, 0);
}

/* The line up to the cursor, as far as it is understood. */
struct context {
	struct buf *out;
	const struct command *cmd;	/* NULL: none yet */
	bool help;			/* behind `mbus help` */
	struct opt_set set;
	const struct opt *awaits;	/* the option whose value comes next; NULL: none */
	bool only_operands;		/* behind "--" */
	int noperands;			/* of the command */
	struct common_args common;	/* what is known of the line */
	const char *broker, *registry;
	bool ask;
	int nwords;			/* before the one under the cursor */
	char **words;
	const char *word;		/* what is typed of the candidate so far */
	struct bytes before;		/* goes in front of each: "--color=" */
};

static void
candidate(struct context *c, struct bytes text, const char *description)
{
	size_t n = strlen(c->word);

	if (text.n < n || memcmp(text.p, c->word, n) != 0)
		return;
	buf_add_bytes(c->out, c->before);
	buf_add_bytes(c->out, text);
	if (description)
		buf_addf(c->out, "\t%s", description);
	buf_add_ch(c->out, '\n');
}

static void
name_candidates(struct context *c, const struct backend *table)
{
	for (; table->name; table++)
		candidate(c, bytes_str(table->name), table->summary);
}

static void
choice_candidates(struct context *c, const char *choices)
{
	struct bytes one;

	for (size_t i = 0; one = opt_choice(choices, i), one.p; i++)
		candidate(c, one, NULL);
}

static void
xopt_candidates(struct context *c)
{
	struct error err = ERROR_INIT;
	const struct broker_ops *broker = broker_find(c->broker, &err);
	const struct registry_ops *registry = registry_find(c->registry, &err);
	const struct broker_option *o;
	struct buf tmp = BUF_INIT;

	candidate(c, BYTES("list"), "show the options");
	candidate(c, BYTES("dump"), "show what the options are");
	for (o = broker ? broker->options : NULL; o && o->name; o++) {
		buf_clear(&tmp);
		buf_addf(&tmp, "%s=", o->name);
		candidate(c, buf_bytes(&tmp), o->help);
	}
	for (o = registry ? registry->options : NULL; o && o->name; o++) {
		buf_clear(&tmp);
		buf_addf(&tmp, "%s.%s=", registry->name, o->name);
		candidate(c, buf_bytes(&tmp), o->help);
	}
	buf_release(&tmp);
}

static void
url_candidates(struct context *c)
{
	char text[40];

	for (const struct backend *row = broker_table; row->name; row++)
		for (const char *s = row->schemes; s && *s;) {
			size_t n = strcspn(s, " ");

			snprintf(text, sizeof text, "%.*s://", (int)n, s);
			candidate(c, bytes_str(text), row->summary);
			s += n + (s[n] == ' ');
		}
}

static void
profile_candidates(struct context *c)
{
	struct error err = ERROR_INIT;
	const struct settings *s;

	c->common.profile = NULL;	/* the one that is asked for is none yet */
	if (settings_read(&c->common, &err) < 0)
		return;
	s = c->common.settings;
	for (size_t i = 0; i < s->profile.nsections; i++)
		candidate(c, bytes_str(s->profile.sections[i]), s->file);
}

static void
name_candidate(const char *name, void *arg)
{
	struct context *c = arg;
	struct buf line = BUF_INIT;
	struct bytes have = buf_bytes(c->out);
	const char *p;

	/* A registry may tell of it by each of its nodes. */
	buf_addf(&line, "%.*s%s\n", BYTES_FMT(c->before), name);
	p = have.n ? memmem(have.p, have.n, buf_data(&line), buf_len(&line)) : NULL;
	while (p && p != have.p && p[-1] != '\n')
		p = memmem(p + 1, (size_t)(have.p + have.n - p - 1), buf_data(&line),
			buf_len(&line));
	if (!p)
		candidate(c, bytes_str(name), NULL);
	buf_release(&line);
}

/* What the broker knows of, resp. the registry. */
static void
asked_candidates(struct context *c)
{
	if (c->cmd && c->ask)
		complete_ask(c->cmd, c->nwords - (c->awaits != NULL), c->words, name_candidate, c);
}

static void
value_candidates(struct context *c, const struct opt *o)
{
	const char *kind = o->complete ? o->complete : "";

	if (o->choices)
		choice_candidates(c, o->choices);
	else if (strcmp(kind, "broker") == 0)
		name_candidates(c, broker_table);
	else if (strcmp(kind, "registry") == 0)
		name_candidates(c, registry_table);
	else if (strcmp(kind, "url") == 0)
		url_candidates(c);
	else if (strcmp(kind, "profile") == 0)
		profile_candidates(c);
	else if (strcmp(kind, "xopt") == 0)
		xopt_candidates(c);
	else if (strcmp(kind, "topic") == 0)
		asked_candidates(c);
	else if (strcmp(kind, "file") == 0)
		buf_add_str(c->out, ":file\n");
}

static void
option_candidates(struct context *c, const struct opt *rows)
{
	char text[80];

	for (const struct opt *o = rows; o && o->name; o++) {
		if (o->flags & OPT_HIDDEN)
			continue;
		if (*o->name)
			snprintf(text, sizeof text, "--%s", o->name);
		else
			snprintf(text, sizeof text, "-%c", o->letter);
		candidate(c, bytes_str(text), o->help);
	}
}

static void
command_candidates(struct context *c)
{
	for (const struct command *const *cmd = command_table; *cmd; cmd++)
		candidate(c, bytes_str((*cmd)->name), (*cmd)->summary);
	if (!c->help)
		candidate(c, BYTES("help"), "explain mbus or one of its commands");
}

/* ---- understanding what stands before the cursor ---- */

static void
note_value(struct context *c, const struct opt *o, const char *value)
{
	if (o->complete && strcmp(o->complete, "broker") == 0)
		c->broker = value;
	if (o->complete && strcmp(o->complete, "registry") == 0)
		c->registry = value;
	if (strcmp(o->name, "config") == 0)
		c->common.config = value;
	if (o->complete && strcmp(o->complete, "url") == 0) {
		const struct backend *row = broker_of_scheme(bytes_of(value, strcspn(value, ":")));

		if (row)
			c->broker = row->name;
	}
}

static void
skip_option(struct context *c, const char *word)
{
	const struct opt *o = NULL;
	const char *value = NULL;

	if (word[1] == '-') {
		size_t n = strcspn(word + 2, "=");

		o = opt_find(&c->set, word + 2, n);
		value = word[2 + n] ? word + 3 + n : NULL;
	} else {
		for (const char *p = word + 1; *p; p++) {
			o = opt_find_letter(&c->set, *p);
			if (o && opt_takes_value(o)) {
				value = p[1] ? p + 1 : NULL;
				break;
			}
		}
	}
	if (!o || !opt_takes_value(o))
		return;
	if (value)
		note_value(c, o, value);
	else
		c->awaits = o;
}

static void
skip_operand(struct context *c, const char *word)
{
	if (c->cmd || c->help) {
		c->noperands++;
		return;
	}
	c->help = strcmp(word, "help") == 0;
	c->cmd = command_find(word);
	if (c->cmd)
		c->set = (struct opt_set){ c->cmd->opts, common_opts, c->cmd->name };
}

static void
skip_word(struct context *c, const char *word)
{
	if (c->awaits) {
		note_value(c, c->awaits, word);
		c->awaits = NULL;
	} else if (c->only_operands || word[0] != '-' || !word[1]) {
		skip_operand(c, word);
	} else if (strcmp(word, "--") == 0) {
		c->only_operands = true;
	} else {
		skip_option(c, word);
	}
}

/* "--color=al": the value is completed, and the name stays in front. */
static bool
value_in_word(struct context *c)
{
	const char *eq = strchr(c->word, '=');
	const struct opt *o;

	if (!eq || strncmp(c->word, "--", 2) != 0)
		return false;
	o = opt_find(&c->set, c->word + 2, (size_t)(eq - c->word - 2));
	if (o && opt_takes_value(o)) {
		c->before = bytes_of(c->word, (size_t)(eq + 1 - c->word));
		c->word = eq + 1;
		value_candidates(c, o);
	}
	return true;
}

static void
complete_word(struct context *c)
{
	if (c->awaits) {
		value_candidates(c, c->awaits);
	} else if (!c->only_operands && c->word[0] == '-') {
		if (value_in_word(c))
			return;
		option_candidates(c, c->set.own);
		option_candidates(c, c->set.common);
	} else if (!c->cmd && (!c->help || !c->noperands)) {
		command_candidates(c);
	} else if (c->cmd && c->cmd->words && !c->noperands) {
		choice_candidates(c, c->cmd->words);
	} else if (c->cmd && (c->cmd->words ? c->noperands == 1 : c->noperands == 0 ||
	    c->cmd->many_topics)) {
		asked_candidates(c);
	}
}

void
complete_words(struct buf *out, int nwords, char **words, bool ask)
{
	struct error err = ERROR_INIT;
	struct context c = { .out = out, .set = { top_opts, common_opts, "" } };

	common_defaults(&c.common, &err);
	c.broker = c.common.broker;
	c.registry = c.common.registry;
	for (int i = 0; i + 1 < nwords; i++)
		skip_word(&c, words[i]);
	c.nwords = nwords > 0 ? nwords - 1 : 0;
	c.words = words;
	c.ask = ask;
	c.word = nwords > 0 ? words[nwords - 1] : "";
	complete_word(&c);
	common_release(&c.common);
}

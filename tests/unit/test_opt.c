/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: parser, defaults and environment, hints, help, completion,
 * and the common options. Also what a line on stderr looks like (core/log.c). */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "tests/unit/test.h"

struct t_args {
	struct common_args common;
	const char *topic;
	bool lines, json;
	uint64_t count, timeout_ms, max_body;
	int mode, fd;
	unsigned omit;
	struct opt_list headers;
};

#define A struct t_args

static const struct opt rows[] = {
	{ "topic", 't', OPT_STR(A, topic), .arg = "TOPIC", .flags = OPT_ONCE | OPT_EMPTY,
		.group = "What", .help = "the topic" },
	{ "lines", 'l', OPT_FLAG(A, lines), .help = "lines" },
	{ "json", 'J', OPT_FLAG(A, json), .help = "JSON" },
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .min = 1, .max = 1000, .aliases = "C number",
		.group = "How much", .help = "so many" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .def = "30s",
		.env = "MBUS_TEST_TIMEOUT", .help = "so long" },
	{ "max-body", 0, OPT_SIZE(A, max_body), .arg = "SIZE", .def = "4096", .flags = OPT_ALL,
		.help = "so big" },
	{ "fast", 0, OPT_SET(A, mode, 1), .help = "mode 1" },
	{ "slow", 0, OPT_SET(A, mode, 2), .help = "mode 2" },
	{ "ready-fd", 0, OPT_FD(A, fd), .arg = "FD", .help = "a descriptor" },
	{ "omit", 0, OPT_MASK(A, omit), .arg = "FIELD,...", .choices = "key|null|repeat",
		.help = "leave out" },
	{ "header", 'H', OPT_LIST(A, headers), .arg = "N:V", .help = "a header" },
	{ "secret", 0, OPT_FLAG(A, json), .flags = OPT_HIDDEN, .help = "not shown" },
	{ NULL }
};

static struct t_args args;
static struct error err;
static char *words[40];
static int nwords, noperands, used;

/* Splits a line at blanks ('' is an empty word) and reads it. */
static int
parse_as(const char *command, const char *line, bool first_only)
{
	const struct opt_set set = { rows, common_opts, command, NULL };
	static char copy[4000];

	opt_release(rows, &args);
	common_release(&args.common);
	memset(&args, 0, sizeof args);
	err = (struct error)ERROR_INIT;
	if (common_defaults(&args.common, &err) < 0 || opt_defaults(rows, &args, &err) < 0)
		return -1;
	snprintf(copy, sizeof copy, "%s", line);
	nwords = 0;
	for (char *p = strtok(copy, " "); p; p = strtok(NULL, " "))
		words[nwords++] = strcmp(p, "''") == 0 ? p + 2 : p;
	return noperands = opt_parse(&set, &args, nwords, words, first_only, &used, &err);
}

static int
parse(const char *line)
{
	return parse_as("pub", line, false);
}

#define check_fails(line, message) do { \
	check_int(parse(line), -1); \
	check_int(err.kind, ERR_USAGE); \
	check_str(err.text, message); \
} while (0)

TEST(values_are_written_in_every_way)
{
	static const char *const lines[] = {
		"--topic orders", "--topic=orders", "-t orders", "-torders", "-lt orders",
		"-ltorders", "-l -J -t orders --", NULL
	};

	for (int i = 0; lines[i]; i++) {
		check_int(parse(lines[i]), 0);
		check_str(args.topic, "orders");
	}
	check(args.lines && args.json);
	check_int(parse("--topic="), 0);
	check_str(args.topic, "");
	check_int(parse("-t ''"), 0);
	check_str(args.topic, "");
	check_int(parse("--topic=a=b"), 0);
	check_str(args.topic, "a=b");
}

TEST(an_empty_value_is_none)
{
	check_fails("-H ''", "-H: it is empty");
	check_fails("--header= x", "--header: it is empty");
	check_fails("-b ''", "-b: it is empty");
	check_int(parse("-X ''"), 0);	/* this has words of its own */
	check_int(parse("x"), 1);	/* and gives back what that took */
}

TEST(what_was_given_is_noted)
{
	struct opt_given given = { NULL, 0 };
	const struct opt_set set = { rows, common_opts, "pub", &given };
	char *line[] = { (char *)"-lt", (char *)"x", (char *)"--max_body=5", (char *)"-C3",
		(char *)"operand", (char *)"--json" };

	memset(&args, 0, sizeof args);
	check_int(opt_parse(&set, &args, 6, line, false, NULL, &err), 1);
	check_int(given.n, 5);
	check_str(opt_was_named(&given.v[0]), "-l");
	check(!given.v[0].value);
	check_str(opt_was_named(&given.v[1]), "-t");
	check_str(given.v[1].value, "x");
	check_str(opt_was_named(&given.v[2]), "--max_body");
	check_str(given.v[2].opt->name, "max-body");
	check_str(given.v[2].value, "5");
	check_str(opt_was_named(&given.v[3]), "-C");
	check_str(given.v[3].opt->name, "count");
	check_str(opt_was_named(&given.v[4]), "--json");
	free(given.v);
}

TEST(a_value_may_begin_with_a_dash)
{
	check_int(parse("-t -5"), 0);
	check_str(args.topic, "-5");
	check_int(parse("--topic --"), 0);
	check_str(args.topic, "--");
	check_int(parse("-H -J x"), 1);
	check_str(args.headers.v[0], "-J");
	check(!args.json);
}

TEST(underscores_are_dashes)
{
	check_int(parse("--max_body 5 --broker_address=h:1 --register_ttl 60"), 0);
	check_int(args.max_body, 5);
	check_str(args.common.address, "h:1");
	check_int(args.common.register_ttl_ms, 60000);
	check_int(parse("--topic a_b"), 0);
	check_str(args.topic, "a_b");
}

TEST(operands_and_options_mix)
{
	check_int(parse("a -l b - -- -c d"), 5);
	check_str(words[0], "a");
	check_str(words[1], "b");
	check_str(words[2], "-");
	check_str(words[3], "-c");
	check_str(words[4], "d");
	check(args.lines);
	check_int(args.count, 0);
	check_int(parse("''"), 1);
	check_str(words[0], "");
	check_int(parse(""), 0);
}

TEST(the_first_operand_can_end_it)
{
	check_int(parse_as("", "-l -t x pub -J --nonsense", true), 0);
	check_int(used, 3);
	check(args.lines && !args.json);
	check_int(parse_as("", "-l -- --x", true), 0);
	check_int(used, 2);
}

TEST(help_ends_it)
{
	check_int(parse("a --help --nonsense -c"), 1);
	check(args.common.help);
	check_int(parse("-lh"), 0);
	check(args.common.help && args.lines);
	check_int(parse("--version --nonsense"), 0);
	check(args.common.version);
}

TEST(numbers_sizes_durations)
{
	check_int(parse("-c 12 -W 500ms --max-body 64K"), 0);
	check_int(args.count, 12);
	check_int(args.timeout_ms, 500);
	check_int(args.max_body, 65536);
	check_int(parse("--max-body all -W 2m"), 0);
	check(args.max_body == UINT64_MAX);
	check_int(args.timeout_ms, 120000);
	check_int(parse("-c 1 -c 2 --fast --slow"), 0);
	check_int(args.count, 2);
	check_int(args.mode, 2);
	check_fails("-c x", "-c: 'x' is not a whole number up to 1000");
	check_fails("--count=1001", "--count: 1001 is too large, the most is 1000");
	check_fails("-C 0", "-C: 0 is too small, the least is 1");
	check_fails("-W soon", "-W: 'soon' is not a duration (write 5, 0.5, 500ms, 2m, 1h)");
	check_fails("--max-body big",
		"--max-body: 'big' is not a size (write 4096, 64K, 1MiB, all)");
	check_fails("-W all", "-W: 'all' is not a duration (write 5, 0.5, 500ms, 2m, 1h)");
	check_fails("-c ''", "-c: '' is not a whole number up to 1000");
}

TEST(choices_and_masks)
{
	check_int(parse("--color never --omit key,repeat --omit null"), 0);
	check_int(args.common.color, COLOR_NEVER);
	check_int(args.omit, 7);
	check_int(parse("--omit repeat"), 0);
	check_int(args.omit, 4);
	check_int(args.common.color, COLOR_AUTO);
	check_fails("--color=blue", "--color: 'blue' is none of auto, always, never");
	check_fails("--color auto|always", "--color: 'auto|always' is none of auto, always, never");
	check_fails("--omit key,", "--omit: '' is none of key, null, repeat");
	check_fails("--omit ''", "--omit: '' is none of key, null, repeat");
}

TEST(descriptors)
{
	int fd = open("/dev/null", O_RDONLY);
	char line[40];

	check_int(parse("-l"), 0);
	check_int(args.fd, -1);
	snprintf(line, sizeof line, "--ready-fd %d", fd);
	check_int(parse(line), 0);
	check_int(args.fd, fd);
	close(fd);
	check_int(parse(line), -1);
	check(strstr(err.text, "is not open") != NULL);
	check_fails("--ready-fd 99999999999",
		"--ready-fd: '99999999999' is not a file descriptor's number");
	check_fails("--ready-fd -1", "--ready-fd: '-1' is not a file descriptor's number");
}

TEST(lists_keep_order)
{
	check_int(parse("-H a:1 --header=b:2 -Hc:3 -H a:1 -X x=1"), 0);
	need(args.headers.n == 4);
	check_str(args.headers.v[0], "a:1");
	check_str(args.headers.v[1], "b:2");
	check_str(args.headers.v[2], "c:3");
	check_str(args.headers.v[3], "a:1");
}

TEST(what_is_wrong_is_named)
{
	check_fails("--lines=1", "--lines takes no value");
	check_fails("-t", "-t needs a value: -t TOPIC");
	check_fails("--color", "--color needs a value: --color WHEN");
	check_fails("-t a -t b", "-t is given twice; give it once");
	check_fails("-t a --topic=b", "--topic is given twice; give it once");
	check_fails("--hedaer x",
		"unknown option --hedaer; did you mean --header? (mbus help pub lists them)");
	check_fails("--head x",
		"unknown option --head; did you mean --header? (mbus help pub lists them)");
	check_fails("--max_bodi",
		"unknown option --max_bodi; did you mean --max-body? (mbus help pub lists them)");
	check_fails("-j", "unknown option -j; did you mean -J? (mbus help pub lists them)");
	check_fails("-ly", "unknown option -y (mbus help pub lists them)");
	check_fails("--secre",
		"unknown option --secre (mbus help pub lists them)");
	check_fails("--=x", "unknown option -- (mbus help pub lists them)");
	check_int(parse_as("", "--zzzz", true), -1);
	check_str(err.text, "unknown option --zzzz (mbus help lists them)");
}

TEST(a_long_name_with_one_dash_is_not_misread)
{
	check_fails("-topic x", "-topic: a long option has two dashes: --topic");
	check_fails("-broker=http", "-broker: a long option has two dashes: --broker");
	check_int(parse("-topics"), 0);
	check_str(args.topic, "opics");
}

TEST(long_words_are_cut)
{
	char line[600];

	snprintf(line, sizeof line, "--%0500d", 1);
	check_int(parse(line), -1);
	check(strlen(err.text) < 150);
	snprintf(line, sizeof line, "-c %0500d", 0);
	check_int(parse(line), -1);
	check(strlen(err.text) < 150);
}

TEST(users_of_other_tools_are_told)
{
	static const struct { const char *command, *line, *part; } cases[] = {
		{ "sub", "-h localhost -t x", "-b HOST:PORT" },
		{ "pub", "-hlocalhost", "-b HOST:PORT" },
		{ "sub", "-q 1", "QoS" },
		{ "pub", "-q1 x", "QoS" },
		{ "pub", "-p 1883", "-b HOST:PORT" },
		{ "sub", "-u me", "user" },
		{ "sub", "-V 5", "--version" },
		{ "pub", "-P", "producer already" },
		{ "sub", "-P secret", "mbus pub" },
		{ "sub", "-C -t x", "kcat" },
		{ "sub", "-c -t x", "mosquitto" },
		{ "sub", "-T a/#", "--exclude GLOB" },
		{ "sub", "-k 60", "-X mqtt.keepalive=" },
		{ "sub", "-n 5", "-c N" },
		{ "sub", "--from-beginning", "-o beginning" },
		{ "", "-L", "mbus topics" },
		{ "pub", "t -1.5", "behind --" },
		{ "pub", "--quite", "--quiet" },
		{ "pub", "--tpoic x", "--topic" },
		{ "pub", "-i me", "-X mqtt.client_id=" },
		{ "pub", "--password x", "--password-file" },
		{ "pub", "--pw=x", "MBUS_PASSWORD" },
		{ "pub", "--user x", "--username" },
		{ "sub", "--retain", "--no-retained" },
		{ "sub", "-d", "--debug" },
		{ "sub", "--capath x", "--tls-ca" },
		{ "sub", "--key x", "--tls-key" },
		{ "sub", "--bootstrap-server=h", "-b HOST:PORT" },
		{ "", "-P", "mbus pub" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		check_int(parse_as(cases[i].command, cases[i].line, false), -1);
		check_int(err.kind, ERR_USAGE);
		if (!strstr(err.text, cases[i].part))
			test_failed(__FILE__, __LINE__, "%s: %s", cases[i].line, err.text);
	}
	/* What only looks like it. */
	check_int(parse("-q 3 x"), 2);
	check_int(parse("x -q"), 1);
	check_int(parse("x -h"), 1);
	check_int(parse("-h -t"), 0);
	check_int(parse_as("", "-h pub", false), 0);
}

TEST(flag_before_environment_before_default)
{
	check_int(parse(""), 0);
	check_int(args.timeout_ms, 30000);
	check_str(args.common.broker, "http");
	setenv("MBUS_TEST_TIMEOUT", "7", 1);
	setenv("MICRO_BROKER", "null", 1);
	check_int(parse(""), 0);
	check_int(args.timeout_ms, 7000);
	check_str(args.common.broker, "null");
	check_int(parse("-W 2 -B memory"), 0);
	check_int(args.timeout_ms, 2000);
	check_str(args.common.broker, "memory");
	setenv("MICRO_BROKER", "", 1);
	check_int(parse(""), 0);
	check_str(args.common.broker, "http");
	setenv("MBUS_TEST_TIMEOUT", "x", 1);
	check_fails("", "MBUS_TEST_TIMEOUT: 'x' is not a duration (write 5, 0.5, 500ms, 2m, 1h)");
	unsetenv("MBUS_TEST_TIMEOUT");
	unsetenv("MICRO_BROKER");
}

TEST(go_micro_environment)
{
	static const char *const names[] = { "MICRO_BROKER", "MICRO_BROKER_ADDRESS",
		"MICRO_REGISTRY", "MICRO_REGISTRY_ADDRESS", "MICRO_REGISTER_TTL",
		"MICRO_REGISTER_INTERVAL" };

	for (size_t i = 0; i < 6; i++)
		setenv(names[i], i < 4 ? names[i] : "9", 1);
	check_int(parse(""), 0);
	check_str(args.common.broker, names[0]);
	check_str(args.common.address, names[1]);
	check_str(args.common.registry, names[2]);
	check_str(args.common.registry_address, names[3]);
	check_int(args.common.register_ttl_ms, 9000);
	check_int(args.common.register_interval_ms, 9000);
	for (size_t i = 0; i < 6; i++)
		unsetenv(names[i]);
}

TEST(x_options_are_split_at_the_first_equals)
{
	check_int(parse("-X a=1 -X mdns.b==2 -Xc= -X list"), 0);
	check_int(common_resolve(&args.common, &err), 0);
	check(args.common.xlist);
	need(args.common.nxpairs == 3);
	check_str(args.common.xpairs[0].name, "a");
	check_str(args.common.xpairs[0].value, "1");
	check_str(args.common.xpairs[1].name, "mdns.b");
	check_str(args.common.xpairs[1].value, "=2");
	check_str(args.common.xpairs[2].value, "");
	check_int(parse("-X a"), 0);
	check_int(common_resolve(&args.common, &err), -1);
	check_int(err.kind, ERR_USAGE);
	check_int(parse("-X =a"), 0);
	check_int(common_resolve(&args.common, &err), -1);
	check_int(parse("-qvq"), 0);
	check_int(common_resolve(&args.common, &err), 0);
	check_int(log_level, LOG_QUIET);
	log_level = LOG_WARN;
}

TEST(colour)
{
	int fd = open("/dev/null", O_WRONLY);

	setenv("TERM", "xterm", 1);
	parse("--color always");
	setenv("NO_COLOR", "1", 1);
	check(common_color(&args.common, fd));
	unsetenv("NO_COLOR");
	parse("");
	check(!common_color(&args.common, fd));		/* no terminal */
	parse("--color never");
	check(!common_color(&args.common, fd));
	close(fd);
}

TEST(help_fits_and_has_every_row)
{
	struct buf out = BUF_INIT;
	size_t column = 0;
	const char *text;

	opt_help(&out, rows, false);
	opt_help(&out, common_opts, false);
	text = buf_cstr(&out);
	for (const char *p = text; *p; p++) {
		column = *p == '\n' ? 0 : column + 1;
		check(column < 80);
	}
	check(strstr(text, "\nWhat:\n  -t, --topic TOPIC       the topic\n") != NULL);
	check(strstr(text, "  -c, --count N           so many (also -C, --number)\n") != NULL);
	check(strstr(text, "so long (default 30s) [MBUS_TEST_TIMEOUT]\n") != NULL);
	check(strstr(text, "      --omit FIELD,...    leave out\n") != NULL);
	check(strstr(text, "\n  -X NAME=VALUE   ") != NULL);
	check(strstr(text, "secret") == NULL);
	buf_release(&out);
}

/* Every command's tables are sound: that the program itself cannot check. */
TEST(tables_are_sound)
{
	const struct opt *tables[8] = { top_opts, common_opts };
	int n = 2;

	for (const struct command *const *c = command_table; *c; c++)
		tables[n++] = (*c)->opts;
	for (int t = 0; t < n; t++) {
		const struct opt_set set = { tables[t], t == 1 ? NULL : common_opts, "" };
		int row = 0;

		for (const struct opt *o = tables[t]; o->name; o++, row++) {
			if (*o->name)
				check(opt_find(&set, o->name, strlen(o->name)) == o);
			else
				check(o->letter);
			if (o->letter)
				check(opt_find_letter(&set, o->letter) == o);
			check(o->help && *o->help);
			check(row || o->group);
			check(!(o->flags & OPT_ONCE) || row < 64);
			check(!o->arg || opt_takes_value(o));
			if (o->type == OPT_T_CHOICE || o->type == OPT_T_MASK)
				check(o->choices != NULL);
			check(strlen(o->name) < 38);
		}
	}
}

static const char *
completed(int n, const char *const *line)
{
	static char text[20000];
	struct buf out = BUF_INIT;

	complete_words(&out, n, (char **)line, false);
	snprintf(text, sizeof text, "%s", buf_cstr(&out));
	buf_release(&out);
	return text;
}
#define complete(...) \
	completed(sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), \
		(const char *[]){ __VA_ARGS__ })

TEST(completion)
{
	const char *p;

	check(strncmp(complete("p"), "pub\t", 4) == 0);
	check(strstr(complete(""), "\nregistry\t") != NULL);
	check(strncmp(complete("-B", "null", "su"), "sub\t", 4) == 0);
	check_str(complete("pub", "--color", "al"), "always\n");
	check_str(complete("pub", "--color=al"), "--color=always\n");
	check_str(complete("pub", "--colour=al"), "");
	check_str(complete("pub", "-q=al"), "");
	check(strncmp(complete("pub", "--broker-a"), "", 1) == 0);
	check(strstr(complete("pub", "-"), "\n-X\t") != NULL);
	check(strncmp(complete("pub", "-B", "nul"), "null\t", 5) == 0);
	check(strncmp(complete("pub", "-qB", "nul"), "null\t", 5) == 0);
	check(strncmp(complete("pub", "--registry", ""), "mdns\t", 5) == 0);
	check_str(complete("pub", "--", "-"), "");
	check_str(complete("pub", "x", ""), "");
	p = complete("pub", "-X", "");
	check(strncmp(p, "list\t", 5) == 0);
	check_str(complete("--completion", "z"), "zsh\n");
	check(strstr(complete("help", ""), "sub\t") != NULL);
	check_str(complete("help", "sub", ""), "");
	check(strstr(completed(0, NULL), "pub\t") != NULL);
	check(completion_script("bash").n > 100);
	check(completion_script("zsh").n > 100);
	check(completion_script("fish").n > 100);
	check(!completion_script("tcsh").p);
}

/* ---- core/log.c ---- */

static char logged[20000];

static void
with_stderr(void (*fn)(void))
{
	int p[2], saved = dup(STDERR_FILENO);
	ssize_t n = 0;

	if (pipe(p) < 0)
		return;
	dup2(p[1], STDERR_FILENO);
	close(p[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(p[0], logged, sizeof logged - 1);
	logged[n < 0 ? 0 : n] = '\0';
	close(p[0]);
}

static void
say_all(void)
{
	log_error("e %s", "\xc3\xa4\x1b[31m\n\x80\xc2\x9b\x7f");
	log_warn("w");
	log_verbose("v");
	log_debug("d\n");
}

static void
say_long(void)
{
	log_error("%05000d", 1);
}

TEST(lines_on_stderr)
{
	log_set_command(NULL);
	log_level = LOG_WARN;
	with_stderr(say_all);
	check_str(logged, "mbus: e \xc3\xa4\\x1b[31m\\x0a\\x80\\xc2\\x9b\\x7f\nmbus: warning: w\n");
	log_level = LOG_QUIET;
	with_stderr(say_all);
	check_str(logged, "");
	log_level = LOG_DEBUG;
	log_set_command("pub");
	with_stderr(say_all);
	check(strstr(logged, "\nmbus: pub: v\nmbus: pub: debug: d\n") != NULL);
	with_stderr(say_long);
	check_int(strlen(logged), strlen("mbus: pub: ") + 2000 + strlen("...\n"));
	log_set_command(NULL);
	log_level = LOG_WARN;
}

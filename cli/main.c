/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus: finds the command, reads its options, runs it, says once what went
 * wrong, and turns that into the exit status.
 *
 * It starts fast because it does little: no locale, no stdio, no library but
 * what the chosen backend needs (and that only when it is opened).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/heed.h"
#include "cli/settings.h"
#include "cli/url_params.h"
#include "core/nearest.h"
#include "core/secret.h"
#include "core/thread.h"

/* A descriptor of 0...2 that is closed would be given to the next socket, and
 * "mbus sub >&-" would write events into it. In its place goes one that fails
 * in the same way: reading from stdin, writing to stdout say EBADF. */
static void
hold_standard_fds(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(6);
}

static int
failed(const struct error *err)
{
	log_error("%s", err->text);
	return error_exit_status(err->kind);
}

/* What was asked for is in out: prints it. */
static int
print(struct buf *out)
{
	struct error err = ERROR_INIT;
	int status = stdout_write(out, &err) < 0 ? failed(&err) : 0;

	buf_release(out);
	return status;
}

static int
print_help(const struct command *cmd, bool all)
{
	struct buf out = BUF_INIT;

	command_help(&out, cmd, all);
	return print(&out);
}

static int
print_version(void)
{
	struct buf out = BUF_INIT;

	buf_add_str(&out, "mbus " MBUS_VERSION "\n");
	return print(&out);
}

static int
print_list(bool json)
{
	struct buf out = BUF_INIT;

	list_backends(&out, json);
	return print(&out);
}

static int
print_in_force(struct common_args *c, bool json)
{
	struct error err = ERROR_INIT;
	struct buf out = BUF_INIT;

	if (list_in_force(&out, c, json, &err) < 0) {
		buf_release(&out);
		return failed(&err);
	}
	return print(&out);
}

static int
print_xopts(struct common_args *c)
{
	struct error err = ERROR_INIT;
	struct buf out = BUF_INIT;

	if ((c->url && common_url(c, &err) < 0) ||
	    (c->xlist ? list_xopts : dump_xopts)(&out, c, &err) < 0) {
		buf_release(&out);
		return failed(&err);
	}
	return print(&out);
}

static int
print_completion(const char *shell)
{
	struct bytes text = completion_script(shell);
	struct error err = ERROR_INIT;
	struct buf out = BUF_INIT;

	if (!text.p) {
		error_set(&err, ERR_USAGE, "--completion: '%.60s' is none of bash, zsh, fish",
			shell);
		return failed(&err);
	}
	buf_add_bytes(&out, text);
	return print(&out);
}

static _Noreturn void
complete(int nwords, char **words)
{
	struct buf out = BUF_INIT;

	int status;

	log_level = LOG_QUIET;
	complete_words(&out, nwords, words, true);
	status = print(&out);
	secret_wipe();
	_exit(status);		/* who was asked may take its time to let go */
}

/* What other tools call their commands. */
static const struct {
	const char *name, *mbus;
} foreign[] = {
	{ "consume", "events are received by mbus sub" },
	{ "consumer", "events are received by mbus sub" },
	{ "produce", "events are published by mbus pub" },
	{ "producer", "events are published by mbus pub" },
	{ "broker", "that is mbus pub and mbus sub" },
	{ "list", "mbus --list, mbus topics or mbus registry list" },
	{ "services", "that is mbus registry list" },
	{ "version", "that is mbus --version" },
};

static int
unknown_command(const char *name)
{
	struct error err = ERROR_INIT;
	const char *near = NULL;
	struct buf names = BUF_INIT;
	unsigned best = 3;

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		if (strcmp(foreign[i].name, name) == 0) {
			error_set(&err, ERR_USAGE, "unknown command '%s': %s", name,
				foreign[i].mbus);
			return failed(&err);
		}
	for (const struct command *const *c = command_table; *c; c++) {
		size_t n = strlen((*c)->name);
		/* "publish", "subscribe" */
		unsigned d = strncmp(name, (*c)->name, n) == 0 ? 0 :
			edit_distance(name, (*c)->name);

		if (d < best && d < n) {
			best = d;
			near = (*c)->name;
		}
		buf_addf(&names, "%s%s", c == command_table ? "" : ", ", (*c)->name);
	}
	if (near)
		error_set(&err, ERR_USAGE, "unknown command '%s'; did you mean %s? "
			"(commands: %s)", opt_shown(name), near, buf_cstr(&names));
	else
		error_set(&err, ERR_USAGE, "unknown command '%s' (commands: %s)",
			opt_shown(name), buf_cstr(&names));
	buf_release(&names);
	return failed(&err);
}

/* Help and version come before everything that could be wrong in the environment
 * or in the operands. *status is set when that was the answer. */
static bool
answered(const struct command *cmd, const struct common_args *c, int *status)
{
	if (c->help)
		*status = print_help(cmd, false);
	else if (c->version)
		*status = print_version();
	else
		return false;
	return true;
}

static int
run(const struct command *cmd, struct common_args *c, int noperands, char **operands)
{
	struct error err = ERROR_INIT;
	int status;

	if (common_resolve(c, &err) < 0)
		return failed(&err);
	if (c->xlist || c->xdump)
		return print_xopts(c);
	if (heed_command(c, &err) < 0)
		return failed(&err);
	status = cmd->run(c, noperands, operands, &err);
	return status < 0 ? failed(&err) : status;
}

/* common: what was given before the command's name, moved from there; env: what
 * was wrong with the environment. */
static int
run_command(const struct command *cmd, struct common_args *common, struct error *env,
	int argc, char **argv)
{
	struct common_args *args = xcalloc(1, cmd->args_size);
	const struct opt_set set = { cmd->opts, common_opts, cmd->name, &args->given };
	struct error err = ERROR_INIT;
	int noperands, status = 0;

	log_set_command(cmd->name);
	*args = *common;
	args->command = cmd;
	common->xopts = (struct opt_list){ NULL, 0 };
	common->given = (struct opt_given){ NULL, 0 };
	if (opt_defaults(cmd->opts, args, &err) < 0 && !env->kind)
		*env = err;
	noperands = opt_parse(&set, args, argc, argv, false, NULL, &err);
	log_level = (enum log_level)args->log_level;
	if (noperands < 0)
		status = failed(&err);
	else if (answered(cmd, args, &status))
		;
	else if (env->kind)
		status = failed(env);
	else if (settings_apply(args, &set, cmd, noperands, argv, &err) < 0 ||
	    url_params_apply(args, &set, cmd, &err) < 0)
		status = failed(&err);
	else
		status = run(cmd, args, noperands, argv);
	common_release(args);
	opt_release(cmd->opts, args);
	free(args);
	return status;
}


static int
help_command(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct top_args args = { 0 };
	const struct opt_set set = { top_opts, common_opts, "", NULL };
	int n = opt_parse(&set, &args, argc, argv, false, NULL, &err);
	const struct command *cmd = n > 0 ? command_find(argv[0]) : NULL;

	common_release(&args.common);
	if (n > 1)
		n = error_set(&err, ERR_USAGE, "help takes one command, not %d", n);
	if (n < 0)
		return failed(&err);
	if (n == 0 || cmd || strcmp(argv[0], "help") == 0)
		return print_help(cmd, true);
	return unknown_command(argv[0]);
}

/* `mbus` alone is a question, too, but not one that succeeded. */
static int
usage(void)
{
	struct buf out = BUF_INIT;

	command_usage(&out);
	if (log_level > LOG_QUIET && write(STDERR_FILENO, buf_data(&out), buf_len(&out)) < 0)
		log_level = LOG_QUIET;		/* nobody to tell */
	buf_release(&out);
	return 2;
}

/* No command: `mbus --list`, `mbus -X list`, or nothing that makes sense. */
static int
run_top(struct top_args *args, const struct error *env)
{
	const struct opt_set set = { top_opts, common_opts, "", NULL };
	bool in_force = args->list && args->common.log_level >= LOG_VERBOSE;
	struct error err = ERROR_INIT;

	if ((args->completion || (args->list && !in_force)) && heed_alone(&args->common, top_opts, &err) < 0)
		return failed(&err);
	if (args->completion)
		return print_completion(args->completion);
	if (args->list && !in_force)
		return print_list(args->json);
	if (env->kind)
		return failed(env);
	if (settings_apply(args, &set, NULL, 0, NULL, &err) < 0 ||
	    url_params_apply(args, &set, NULL, &err) < 0 ||
	    common_resolve(&args->common, &err) < 0)
		return failed(&err);
	if (in_force)
		return print_in_force(&args->common, args->json);
	return args->common.xlist || args->common.xdump ? print_xopts(&args->common) : usage();
}

static int
dispatch(struct top_args *args, struct error *env, int argc, char **argv)
{
	const struct command *cmd = argc ? command_find(argv[0]) : NULL;
	struct error err = ERROR_INIT;
	int status;

	/* Behind --help and --version nothing was looked at: no command is an option. */
	if (argc && argv[0][0] == '-' && answered(NULL, &args->common, &status))
		return status;
	if (argc && !cmd && strcmp(argv[0], "help") != 0)
		return unknown_command(argv[0]);
	if (answered(cmd, &args->common, &status))
		return status;
	if (!argc)
		return run_top(args, env);
	if (args->list || args->json || args->completion) {
		error_set(&err, ERR_USAGE, "%s belongs to mbus itself, not before a command",
			args->list ? "--list" : args->json ? "-J" : "--completion");
		return failed(&err);
	}
	if (!cmd)
		return help_command(argc - 1, argv + 1);
	return run_command(cmd, &args->common, env, argc - 1, argv + 1);
}

static int
start(int argc, char **argv)
{
	struct error err = ERROR_INIT, env = ERROR_INIT;
	struct top_args args = { 0 };
	const struct opt_set set = { top_opts, common_opts, "", &args.common.given };
	int used = 0, n, status;

	common_defaults(&args.common, &env);
	n = opt_parse(&set, &args, argc, argv, true, &used, &err);
	log_level = (enum log_level)args.common.log_level;
	status = n < 0 ? failed(&err) : dispatch(&args, &env, argc - used, argv + used);
	common_release(&args.common);
	return status;
}

int
main(int argc, char **argv)
{
	int status;

	secret_scrub(argc, argv);
	hold_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "--complete") == 0)
		complete(argc - 2, argv + 2);
	status = argc > 1 ? start(argc - 1, argv + 1) : start(0, argv);
	secret_wipe();
	if (thread_abandoned())
		_exit(status);
	return status;
}

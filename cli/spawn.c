/* SPDX-License-Identifier: Apache-2.0 */
/* See spawn.h. */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "core/one_cpu.h"

int
spawn_as(const char *file, char *const argv[], char *const env[],
	const posix_spawn_file_actions_t *files, bool own_group, pid_t *pid)
{
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	int e;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
		(own_group ? POSIX_SPAWN_SETPGROUP : 0)));
	one_cpu_hold(false);
	e = posix_spawnp(pid, file, files, &attr, argv, env);
	one_cpu_hold(true);
	posix_spawnattr_destroy(&attr);
	return e;
}

static pid_t
spawn(const char *file, char *const argv[], const posix_spawn_file_actions_t *files,
	struct error *err)
{
	pid_t pid = -1;

	errno = spawn_as(file, argv, environ, files, true, &pid);
	return errno ? error_sys(err, ERR_LOCAL_IO, "cannot run %s", file) : pid;
}

pid_t
spawn_program(char *const argv[], struct error *err)
{
	return spawn(argv[0], argv, NULL, err);
}

pid_t
spawn_shell(const char *command, struct error *err)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	posix_spawn_file_actions_t files;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	pid = spawn("/bin/sh", argv, &files, err);
	posix_spawn_file_actions_destroy(&files);
	return pid;
}

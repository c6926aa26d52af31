/* SPDX-License-Identifier: Apache-2.0 */
/* Being live, for scripts: see ready.h. */
#include "cli/ready.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/spawn.h"
#include "core/log.h"

static pid_t
spawn(const char *command)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	pid_t pid = 0;
	int e = spawn_as("/bin/sh", argv, environ, NULL, false, &pid);

	if (!e)
		return pid;
	log_warn("--ready: cannot run /bin/sh: %s", strerror(e));
	return 0;
}

pid_t
ready_tell(int fd, const char *command)
{
	if (fd >= 0) {
		if (write(fd, "ready\n", 6) < 0)
			log_warn("--ready-fd %d: %s", fd, strerror(errno));
		if (fd > STDERR_FILENO)
			close(fd);
	}
	return command ? spawn(command) : 0;
}

void
ready_reap(pid_t *pid)
{
	int status;

	if (*pid <= 0 || waitpid(*pid, &status, WNOHANG) != *pid)
		return;
	*pid = 0;
	if (WIFSIGNALED(status))
		log_warn("--ready: the command was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		log_warn("--ready: the command's exit status is %d", WEXITSTATUS(status));
}

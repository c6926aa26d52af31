/* SPDX-License-Identifier: Apache-2.0 */
/* See registry_probe.h. */
#include "cli/registry_probe.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/spawn.h"
#include "core/log.h"

static void
finish(struct probe *p, bool ok)
{
	probe_end(p);
	p->done(p, ok);
}

/* By now it is known; or, with the time over, it never will be. */
static void
limit_due(struct loop_timer *t)
{
	struct probe *p = t->arg;

	if (p->pid)
		log_verbose("--healthy: the command takes too long and is ended");
	finish(p, p->connected);
}

static void
conn_ready(struct loop_fd *w, unsigned ready)
{
	struct probe *p = w->arg;
	socklen_t len = sizeof(int);
	int e = 0;

	(void)ready;
	if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	finish(p, e == 0);
}

/* What is known at once is told in the next turn, by the timer. */
static void
connect_to(struct probe *p)
{
	struct error err;
	int fd = socket(p->address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	p->conn = (struct loop_fd){ .fn = conn_ready, .arg = p, .fd = fd };
	if (fd >= 0 && connect(fd, &p->address.sa, net_size(&p->address)) == 0)
		p->connected = true;
	else if (fd >= 0 && errno == EINPROGRESS &&
	    loop_fd_add(p->loop, &p->conn, fd, LOOP_WRITE, &err) == 0)
		return;
	loop_timer_set(p->loop, &p->limit, 0);
}

void
probe_begin(struct probe *p)
{
	struct error err;

	p->running = true;
	p->connected = false;
	p->conn.fd = -1;
	p->limit.fn = limit_due;
	p->limit.arg = p;
	loop_timer_set(p->loop, &p->limit, p->timeout_ms);
	if (!p->command) {
		connect_to(p);
		return;
	}
	p->pid = spawn_shell(p->command, &err);
	if (p->pid > 0)
		return;
	p->pid = 0;
	log_warn("--healthy: %s", err.text);
	loop_timer_set(p->loop, &p->limit, 0);
}

void
probe_reap(struct probe *p)
{
	int status;

	if (!p->pid || waitpid(p->pid, &status, WNOHANG) != p->pid)
		return;
	p->pid = 0;
	log_debug("--healthy: wait status 0x%x", status);
	finish(p, status == 0);
}

void
probe_end(struct probe *p)
{
	loop_timer_clear(p->loop, &p->limit);
	if (p->pid) {
		kill(-p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
		p->pid = 0;
	}
	if (p->running && p->conn.fd >= 0) {
		loop_fd_del(p->loop, &p->conn);
		close(p->conn.fd);
	}
	p->conn.fd = -1;
	p->running = false;
}

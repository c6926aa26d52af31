/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for events: see exec.h. */
#include "cli/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/spawn.h"
#include "core/log.h"

enum {
	ENV_VALUE_MAX = 4096, ENV_MAX = 128 * 1024,
	OUTPUT_MAX = 16 * 1024 * 1024,
	LOOK_AHEAD = 64,		/* waiting events that are looked at for one to run */
	PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 5000,
	KILL_MS = 2000			/* from SIGTERM to SIGKILL, at a time-out */
};

/* One event. */
struct job {
	struct exec *exec;
	struct job *next;		/* in the list it is in */
	struct event *event;		/* kept */
	uint64_t n;
	unsigned tries;
	pid_t pid;			/* 0: it does not run */
	int output;			/* a file; -1: none */
	bool late;			/* over its time */
	struct loop_timer timer;	/* of its time, or of the pause before the next try */
};

struct list {
	struct job *first, **last;
	size_t n;
};

struct exec {
	struct exec_options opts;
	struct loop *loop;
	struct list waiting, running, pausing;
	struct formatter json;
	struct buf line, env;
	struct loop_task pump;		/* events are taken within a broker's callback, and
					 * none of it may end there */
	bool stopped;
};

/* ---- lists ---- */

static void
list_add(struct list *l, struct job *j)
{
	j->next = NULL;
	*l->last = j;
	l->last = &j->next;
	l->n++;
}

static void
list_del(struct list *l, struct job *j)
{
	struct job **at = &l->first;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	if (l->last == &j->next)
		l->last = at;
	l->n--;
}

static bool
same_key(const struct job *a, const struct job *b)
{
	struct bytes x = a->event->msg.key, y = b->event->msg.key;

	return x.p && y.p && bytes_eq(x, y);
}

/* Does one before it have its key? A list ends at `end`. */
static bool
key_is_in(const struct list *l, const struct job *end, const struct job *j)
{
	for (const struct job *o = l->first; o && o != end; o = o->next)
		if (same_key(o, j))
			return true;
	return false;
}

/* ---- the end of one ---- */

static void
job_free(struct job *j)
{
	loop_timer_clear(j->exec->loop, &j->timer);
	if (j->output >= 0)
		close(j->output);
	event_free(j->event);
	free(j);
}

/* Not in any list any more. */
static void
job_done(struct job *j, bool ok)
{
	struct exec *x = j->exec;
	struct bytes out = { NULL, 0 };
	struct stat st;
	char *map = NULL;

	if (ok && j->output >= 0 && fstat(j->output, &st) == 0 && st.st_size > 0) {
		out.n = (size_t)st.st_size;
		map = mmap(NULL, out.n, PROT_READ, MAP_PRIVATE, j->output, 0);
		if (map == MAP_FAILED) {
			map = NULL;
			ok = false;
		}
		out.p = map;
	} else if (j->output >= 0) {
		out = BYTES("");
	}
	x->opts.done(j->event, ok, out, x->opts.arg);
	if (map)
		munmap(map, out.n);
	job_free(j);
}

/* ---- what a command is given ---- */

/* An anonymous file with these bytes, to be read from its beginning. -1: errno. */
static int
file_of(const char *name, struct bytes b)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	while (fd >= 0 && b.n) {
		ssize_t n = write(fd, b.p, b.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int e = errno;

			close(fd);
			errno = e;
			return -1;
		}
		b = bytes_of(b.p + n, b.n - (size_t)n);
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

/* NAME=VALUE and a NUL, where that can be. */
static bool
add_variable(struct buf *env, const char *prefix, struct bytes name, struct bytes value)
{
	size_t begin = buf_len(env);

	if (!value.p || value.n > ENV_VALUE_MAX || memchr(value.p, 0, value.n) ||
	    begin + value.n + name.n > ENV_MAX)
		return false;
	buf_add_str(env, prefix);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		buf_add_ch(env, (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_');
	}
	buf_add_ch(env, '=');
	buf_add_bytes(env, value);
	buf_add_ch(env, 0);
	return true;
}

/* Is the variable at `at` there before? The first of a clash wins. */
static bool
is_there(const struct buf *env, size_t at)
{
	const char *p = buf_data(env), *name = p + at;
	size_t n = strcspn(name, "=") + 1;

	for (const char *v = p; v < name; v += strlen(v) + 1)
		if (strncmp(v, name, n) == 0)
			return true;
	return false;
}

/* Ours without any MBUS_ of these names, and the event's. Allocated; the strings are in
 * exec->env and environ. */
static char **
make_environ(struct exec *x, const struct job *j)
{
	static const char *const ours[] = { "MBUS_TOPIC=", "MBUS_KEY=", "MBUS_TS=", "MBUS_N=",
		"MBUS_HEADER_" };
	const struct event *ev = j->event;
	struct format_stamp stamp = { 0 };
	struct buf text = BUF_INIT;
	size_t n = 0, count = 0, old = 0;
	char **env;

	buf_clear(&x->env);
	count += add_variable(&x->env, "MBUS_TOPIC", BYTES(""), ev->topic);
	count += add_variable(&x->env, "MBUS_KEY", BYTES(""), ev->msg.key);
	if (ev->time_kind != EVENT_TIME_NONE) {
		format_add_time(&stamp, &text, ev->time_us, 6);
		count += add_variable(&x->env, "MBUS_TS", BYTES(""), buf_bytes(&text));
		buf_clear(&text);
	}
	buf_add_u64(&text, j->n);
	count += add_variable(&x->env, "MBUS_N", BYTES(""), buf_bytes(&text));
	buf_release(&text);
	for (size_t i = 0; i < ev->msg.nheaders; i++) {
		size_t at = buf_len(&x->env);

		if (!add_variable(&x->env, "MBUS_HEADER_", ev->msg.headers[i].name,
		    ev->msg.headers[i].value))
			continue;
		if (is_there(&x->env, at))
			buf_truncate(&x->env, at);
		else
			count++;
	}
	while (environ[old])
		old++;
	env = xmalloc((old + count + 1) * sizeof *env);
	for (size_t i = 0; i < old; i++) {
		bool taken = false;

		for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
			taken = taken || strncmp(environ[i], ours[k], strlen(ours[k])) == 0;
		if (!taken)
			env[n++] = environ[i];
	}
	for (char *p = buf_data(&x->env), *end = p + buf_len(&x->env); p < end; p += strlen(p) + 1)
		env[n++] = p;
	env[n] = NULL;
	return env;
}

/* 0, or an errno. */
static int
spawn(struct exec *x, struct job *j, int body, int json)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)x->opts.command, NULL };
	posix_spawn_file_actions_t files;
	char **env = make_environ(x, j);
	int e;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, body, 0);
	posix_spawn_file_actions_adddup2(&files, json, 3);
	if (j->output >= 0)
		posix_spawn_file_actions_adddup2(&files, j->output, 1);
	e = spawn_as("/bin/sh", argv, env, &files, true, &j->pid);
	posix_spawn_file_actions_destroy(&files);
	free(env);
	if (e)
		j->pid = 0;
	return e;
}

/* A descriptor of ours that is not 0 to 3, so that putting one in its place in the child
 * does not overwrite another. */
static int
above(int fd)
{
	int up;

	if (fd < 0 || fd > 3)
		return fd;
	up = fcntl(fd, F_DUPFD_CLOEXEC, 4);
	close(fd);
	return up;
}

/* -1: it could not be started, and that was said. */
static int
job_start(struct job *j)
{
	struct exec *x = j->exec;
	int body, json = -1, e = 0;

	buf_clear(&x->line);
	format_add(&x->json, &x->line, j->event, j->n);
	body = above(file_of("body", j->event->msg.body));
	if (body >= 0)
		json = above(file_of("event", buf_bytes(&x->line)));
	if (j->output >= 0)
		close(j->output);
	j->output = -1;
	if (json >= 0 && x->opts.keep_output)
		j->output = above(memfd_create("output", MFD_CLOEXEC));
	if (json < 0 || (x->opts.keep_output && j->output < 0))
		e = errno;
	if (!e)
		e = spawn(x, j, body, json);
	if (body >= 0)
		close(body);
	if (json >= 0)
		close(json);
	if (e)
		log_error("--exec: cannot run /bin/sh: %s", strerror(e));
	return e ? -1 : 0;
}

/* ---- running ---- */

static void exec_pump(struct exec *);

static void
on_time(struct loop_timer *t)
{
	struct job *j = t->arg;

	if (!j->pid) {		/* the pause is over */
		list_del(&j->exec->pausing, j);
		/* First of all: its key has waited for it. */
		j->next = j->exec->waiting.first;
		if (!j->next)
			j->exec->waiting.last = &j->next;
		j->exec->waiting.first = j;
		j->exec->waiting.n++;
		exec_pump(j->exec);
		return;
	}
	if (!j->late)
		log_error("--exec: event %llu: the command was ended after %g s",
			(unsigned long long)j->n, (double)j->exec->opts.timeout_ms / 1000);
	kill(-j->pid, j->late ? SIGKILL : SIGTERM);
	j->late = true;
	loop_timer_set(j->exec->loop, t, KILL_MS);
}

/* A run has failed; it is in no list. */
static void
job_failed(struct job *j)
{
	struct exec *x = j->exec;
	uint64_t pause = PAUSE_FIRST_MS;

	if (j->tries > x->opts.retries || x->stopped) {
		job_done(j, false);
		return;
	}
	for (unsigned i = 1; i < j->tries && pause < PAUSE_MAX_MS; i++)
		pause *= 2;
	list_add(&x->pausing, j);
	loop_timer_set(x->loop, &j->timer, pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
}

static struct job *
next_to_run(struct exec *x)
{
	struct job *j = x->waiting.first;

	for (unsigned i = 0; j && i < LOOK_AHEAD; i++, j = j->next)
		if (!key_is_in(&x->running, NULL, j) && !key_is_in(&x->pausing, NULL, j) &&
		    !key_is_in(&x->waiting, j, j))
			return j;
	return NULL;
}

static void
exec_pump(struct exec *x)
{
	struct job *j;

	while (!x->stopped && x->running.n < x->opts.jobs && (j = next_to_run(x))) {
		list_del(&x->waiting, j);
		j->tries++;
		j->late = false;
		if (job_start(j) < 0) {
			job_failed(j);
			continue;
		}
		list_add(&x->running, j);
		if (x->opts.timeout_ms)
			loop_timer_set(x->loop, &j->timer, x->opts.timeout_ms);
	}
}

static bool
ended_well(const struct job *j, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !j->late)
		return true;
	if (j->late)
		return false;
	if (WIFSIGNALED(status))
		log_error("--exec: event %llu: the command was ended by signal %d",
			(unsigned long long)j->n, WTERMSIG(status));
	else
		log_error("--exec: event %llu: the command's exit status is %d",
			(unsigned long long)j->n, WEXITSTATUS(status));
	return false;
}

static bool
output_fits(const struct job *j)
{
	struct stat st;

	if (j->output < 0 || fstat(j->output, &st) < 0 || st.st_size <= OUTPUT_MAX)
		return true;
	log_error("--exec: event %llu: a reply of over 16 MiB", (unsigned long long)j->n);
	return false;
}

void
exec_reap(struct exec *x)
{
	struct job *j = x->running.first, *next;
	int status;

	for (; j; j = next) {
		next = j->next;
		if (waitpid(j->pid, &status, WNOHANG) != j->pid)
			continue;
		/* What it has left behind in its group is over its time, too. */
		if (j->late)
			kill(-j->pid, SIGKILL);
		loop_timer_clear(x->loop, &j->timer);
		list_del(&x->running, j);
		j->pid = 0;
		if (ended_well(j, status) && output_fits(j))
			job_done(j, true);
		else
			job_failed(j);
	}
	exec_pump(x);
}

/* ---- the whole ---- */

static void
on_pump(struct loop_task *t)
{
	exec_pump(t->arg);
}

struct exec *
exec_new(struct loop *loop, const struct exec_options *opts)
{
	struct exec *x = xcalloc(1, sizeof *x);

	x->opts = *opts;
	x->loop = loop;
	x->json = (struct formatter){ .format = &format_json, .broker = opts->broker };
	x->pump = (struct loop_task){ .fn = on_pump, .arg = x };
	x->waiting.last = &x->waiting.first;
	x->running.last = &x->running.first;
	x->pausing.last = &x->pausing.first;
	return x;
}

static void
list_free(struct list *l)
{
	struct job *j;

	while ((j = l->first)) {
		list_del(l, j);
		if (j->pid) {
			kill(-j->pid, SIGKILL);
			waitpid(j->pid, NULL, 0);
		}
		job_free(j);
	}
}

void
exec_free(struct exec *x)
{
	if (!x)
		return;
	loop_task_cancel(&x->pump);
	list_free(&x->running);
	list_free(&x->pausing);
	list_free(&x->waiting);
	buf_release(&x->line);
	buf_release(&x->env);
	buf_release(&x->json.line);
	free(x);
}

void
exec_take(struct exec *x, const struct event *ev, uint64_t n)
{
	struct job *j = xcalloc(1, sizeof *j);

	j->exec = x;
	j->event = event_keep(ev);
	j->n = n;
	j->output = -1;
	j->timer = (struct loop_timer){ .fn = on_time, .arg = j };
	list_add(&x->waiting, j);
	loop_defer(x->loop, &x->pump);
}

void
exec_stop(struct exec *x)
{
	struct job *j;

	x->stopped = true;
	while ((j = x->pausing.first)) {
		list_del(&x->pausing, j);
		job_done(j, false);
	}
	while ((j = x->waiting.first)) {
		list_del(&x->waiting, j);
		job_done(j, false);
	}
}

size_t
exec_count(const struct exec *x)
{
	return x->waiting.n + x->running.n + x->pausing.n;
}

bool
exec_is_full(const struct exec *x)
{
	return exec_count(x) >= 2 * (size_t)x->opts.jobs;
}

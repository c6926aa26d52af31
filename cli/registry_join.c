/* SPDX-License-Identifier: Apache-2.0 */
/*
 * register: a service's heart, in the foreground; deregister.
 *
 *	register NAME ADDRESS			until a signal comes
 *	register NAME ADDRESS -- COMMAND	runs the service: registered once it accepts
 *						connections, for as long as it runs
 *
 * With --healthy CMD the service is registered while CMD succeeds. Each beat, every
 * --register-interval, registers again: a registry that was started anew, or whose file
 * somebody has removed, has the node again then.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/registry_cmd.h"
#include "cli/registry_probe.h"
#include "cli/spawn.h"
#include "core/endpoints.h"
#include "core/json.h"
#include "core/net.h"

enum {
	TTL_MS = 60 * 1000, INTERVAL_MS = 30 * 1000,	/* go-micro's */
	RETRY_MS = 250,			/* between probes of what is not well, or not yet */
	CONNECT_MS = 2000
};

struct join {
	struct inquiry *q;
	struct service service;
	struct node node;
	struct buf id, address;
	struct keyval *metadata;
	uint64_t ttl_ms, interval_ms;
	struct interrupt interrupt;	/* without a command of the service's */
	struct loop_timer beat;
	struct probe probe;
	bool probing;			/* by --healthy, or until it has accepted once */
	bool ending;			/* it is registered no more, whatever a probe says */
	bool registered;
	bool failing;			/* to register; said once */
	struct registry_reply reply;	/* of a registry that takes its time */
	struct buf endpoints;
	pid_t pid;			/* of the service; 0: none, or it has ended */
	int status;
};

/* ---- in the registry ---- */

static const char *
registry_name(const struct join *j)
{
	return j->q->registry->ops->name;
}

static void
leave(struct join *j)
{
	/* What is on its way may have arrived. */
	if (!j->registered && !j->reply.priv)
		return;
	registry_forget(j->q->registry, &j->reply);
	registry_remove(j->q->registry, &j->service);
	j->registered = false;
	log_verbose("deregistered %.*s (%s)", BYTES_FMT(j->node.id), registry_name(j));
}

/* The first time is the one that may fail for good. */
static void
give_up(struct join *j, const struct error *err)
{
	*j->q->err = *err;
	j->q->kind = err->kind;
	j->ending = true;
	if (j->pid)
		kill(j->pid, SIGTERM);
	else
		loop_stop(j->q->loop);
}

/* err NULL: it is. */
static void
entered(struct join *j, const struct error *err)
{
	bool first = !j->registered && !j->failing;
	const char *foreign;

	if (err) {
		if (first)
			give_up(j, err);
		else if (!j->failing)
			log_warn("%s; it is tried again", err->text);
		j->failing = true;
		return;
	}
	if (first) {
		foreign = registry_foreign(j->q->registry, j->service.name, j->node.id);
		if (foreign)
			log_warn("programs of go-micro will not find %.*s: %s",
				BYTES_FMT(j->node.id), foreign);
	}
	if (!j->registered || j->failing)
		log_verbose("registered %.*s as %.*s at %.*s (%s)", BYTES_FMT(j->service.name),
			BYTES_FMT(j->node.id), BYTES_FMT(j->node.address), registry_name(j));
	j->registered = true;
	j->failing = false;
}

static void
replied(struct registry_reply *r, const struct error *err)
{
	entered(r->arg, err);
}

static void
enter(struct join *j)
{
	struct error err;
	int r;

	if (j->reply.priv)
		return;
	r = registry_add(j->q->registry, &j->service, (unsigned)j->ttl_ms, &j->reply, &err);
	if (r != REGISTRY_LATER)
		entered(j, r < 0 ? &err : NULL);
}

static void
beat(struct loop_timer *t)
{
	struct join *j = t->arg;

	if (j->ending)
		return;
	if (j->probing) {
		probe_begin(&j->probe);
		return;
	}
	enter(j);
	loop_timer_set(j->q->loop, t, j->interval_ms);
}

static void
probed(struct probe *p, bool ok)
{
	struct join *j = p->arg;

	if (j->ending)
		return;
	if (ok) {
		enter(j);
		/* A connection each time would be one that the service has to handle. */
		if (!p->command)
			j->probing = false;
	} else if (j->registered) {
		log_warn("--healthy: the command failed: %.*s is not registered until it succeeds",
			BYTES_FMT(j->service.name));
		leave(j);
	}
	loop_timer_set(j->q->loop, &j->beat, ok ? j->interval_ms : RETRY_MS);
}

/* ---- signals and the service ---- */

static void
stop_beating(struct join *j)
{
	j->ending = true;
	loop_timer_clear(j->q->loop, &j->beat);
	probe_end(&j->probe);
	leave(j);
}

static void
interrupted(struct interrupt *i)
{
	struct join *j = i->arg;

	stop_beating(j);
	loop_stop(j->q->loop);
}

/* Nobody is to be sent to a service that is about to end, so the registry hears first.
 * A terminal's signals are for all its processes, as they would be without us. */
static void
forward(int signo, void *arg)
{
	struct join *j = arg;

	if (signo != SIGUSR1 && signo != SIGUSR2)
		stop_beating(j);
	if (j->pid)
		kill(signo == SIGINT || signo == SIGQUIT ? -j->pid : j->pid, signo);
}

static void
child_ended(int signo, void *arg)
{
	struct join *j = arg;
	int status;

	(void)signo;
	probe_reap(&j->probe);
	if (!j->pid || waitpid(j->pid, &status, WNOHANG) != j->pid)
		return;
	j->pid = 0;
	j->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	stop_beating(j);
	loop_stop(j->q->loop);
}

static int
watch_signals(struct join *j, bool service)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	struct inquiry *q = j->q;

	if (loop_signal(q->loop, SIGCHLD, child_ended, j, q->err) < 0)
		return -1;
	if (!service)
		return interrupt_watch(&j->interrupt, q->loop, q->err);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct sigaction was;

		if (sigaction(signals[i], NULL, &was) == 0 && was.sa_handler == SIG_IGN)
			continue;
		if (loop_signal(q->loop, signals[i], forward, j, q->err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what was asked for ---- */

static int
set_address(struct join *j, bool service)
{
	const char *given = j->q->operands[1];
	struct bytes host, port;
	char text[NET_TEXT_MAX];
	union sockaddr_any a;
	socklen_t len;
	unsigned n = 0;

	if (!net_split(bytes_str(given), &host, &port))
		return error_set(j->q->err, ERR_USAGE, "register: %s is no address: HOST:PORT or "
			":PORT", opt_shown(given));
	for (size_t i = 0; i < port.n; i++)
		n = port.p[i] >= '0' && port.p[i] <= '9' && n < 65536 ?
			n * 10 + (unsigned)(port.p[i] - '0') : 65536;
	if (n == 0 || n > 65535)
		return error_set(j->q->err, ERR_USAGE, "register: %s has no port from 1 to 65535",
			opt_shown(given));
	if (!host.n)
		buf_add_str(&j->address, "0.0.0.0");
	buf_add_str(&j->address, given);
	if (net_parse(buf_bytes(&j->address), &a, &len)) {
		if (net_is_any(&a)) {
			buf_clear(&j->address);
			buf_add_str(&j->address, net_advertise(&a, text));
			net_parse(buf_bytes(&j->address), &a, &len);
		}
		j->probe.address = a;
	} else if (service && !j->probe.command) {
		return error_set(j->q->err, ERR_USAGE, "register: whether %s accepts connections is "
			"asked of an IP address only (or by --healthy CMD)", opt_shown(given));
	}
	j->node.address = buf_bytes(&j->address);
	return 0;
}

static int
set_metadata(struct join *j)
{
	const struct opt_list *given = &j->q->args->meta;

	j->metadata = xcalloc(given->n + 1, sizeof *j->metadata);
	for (size_t i = 0; i < given->n; i++) {
		size_t n = strcspn(given->v[i], "=");
		struct bytes key = bytes_of(given->v[i], n);

		if (!n || !given->v[i][n])
			return error_set(j->q->err, ERR_USAGE, "--meta %s: KEY=VALUE",
				opt_shown(given->v[i]));
		for (size_t k = 0; k < i; k++)
			if (bytes_eq(j->metadata[k].key, key))
				return error_set(j->q->err, ERR_USAGE, "--meta %.*s is given twice",
					BYTES_FMT(key));
		j->metadata[i] = (struct keyval){ key, bytes_str(given->v[i] + n + 1) };
	}
	j->node.metadata = j->metadata;
	j->node.nmetadata = given->n;
	return 0;
}

/* A line of get -J with endpoints in it, or the array alone. */
static struct bytes
find_endpoints(struct bytes text)
{
	struct json_scan *s = xmalloc(sizeof *s);
	enum json_token t;

	json_scan_init(s, text.p, text.n);
	s->quiet = true;
	t = json_next(s);
	while (t == JSON_OBJECT && json_next(s) == JSON_KEY) {
		bool ours = bytes_eq(s->text, BYTES("endpoints"));
		enum json_token value = json_next(s);
		const char *from = s->p - 1;

		if (!json_skip(s, value))
			break;
		if (ours && value == JSON_ARRAY) {
			text = bytes_of(from, (size_t)(s->p - from));
			break;
		}
	}
	free(s);
	return text;
}

static int
set_endpoints(struct join *j)
{
	const char *path = j->q->args->endpoints, *why;
	bool std = path && strcmp(path, "-") == 0;
	struct buf text = BUF_INIT;
	int fd, r;

	if (!path)
		return 0;
	fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_sys(j->q->err, ERR_LOCAL_IO, "--endpoints %s", opt_shown(path));
	do {
		r = (int)read(fd, buf_room(&text, 65536), 65536);
		if (r > 0)
			buf_added(&text, (size_t)r);
	} while ((r > 0 && buf_len(&text) <= ENDPOINTS_SIZE_MAX) || (r < 0 && errno == EINTR));
	if (r < 0)
		error_sys(j->q->err, ERR_LOCAL_IO, "--endpoints %s", opt_shown(path));
	if (!std)
		close(fd);
	why = r < 0 ? "" : endpoints_tidy(&j->endpoints, find_endpoints(buf_bytes(&text)));
	buf_release(&text);
	if (r >= 0 && why)
		error_set(j->q->err, ERR_USAGE, "--endpoints %s: %s", opt_shown(path), why);
	j->service.endpoints = buf_bytes(&j->endpoints);
	return why ? -1 : 0;
}

static int
set_times(struct join *j)
{
	const struct common_args *c = &j->q->args->common;

	j->ttl_ms = c->register_ttl_ms ? c->register_ttl_ms : TTL_MS;
	j->interval_ms = c->register_interval_ms;
	if (!j->interval_ms)
		j->interval_ms = j->ttl_ms / 2 < INTERVAL_MS ? j->ttl_ms / 2 : INTERVAL_MS;
	if (j->ttl_ms > INT32_MAX)
		return error_set(j->q->err, ERR_USAGE, "--register-ttl: 24 days are the most");
	if (j->interval_ms > j->ttl_ms)
		return error_set(j->q->err, ERR_USAGE, "--register-interval %llu ms is longer than "
			"--register-ttl %llu ms: the service would be gone in between",
			(unsigned long long)j->interval_ms, (unsigned long long)j->ttl_ms);
	if (!j->interval_ms)
		j->interval_ms = 1;
	return 0;
}

static int
set_service(struct join *j, bool service)
{
	const struct registry_args *a = j->q->args;
	char uuid[37];

	if (!*j->q->operands[0])
		return error_set(j->q->err, ERR_USAGE, "register: the service's name is empty");
	j->service = (struct service){ .name = bytes_str(j->q->operands[0]),
		.version = bytes_str(a->service_version ? a->service_version : "latest"),
		.nodes = &j->node, .nnodes = 1 };
	if (a->node_id) {
		buf_add_str(&j->id, a->node_id);
	} else {
		net_uuid(uuid);
		buf_addf(&j->id, "%s-%s", j->q->operands[0], uuid);
	}
	if (!buf_len(&j->id))
		return error_set(j->q->err, ERR_USAGE, "--node-id is empty");
	j->node.id = buf_bytes(&j->id);
	if (set_address(j, service) < 0 || set_metadata(j) < 0 || set_endpoints(j) < 0)
		return -1;
	return set_times(j);
}

static int
live(struct join *j, char **command)
{
	struct inquiry *q = j->q;

	if (watch_signals(j, command) < 0)
		return -1;
	if (command) {
		j->pid = spawn_program(command, q->err);
		if (j->pid < 0) {
			j->pid = 0;
			return -1;
		}
	}
	j->probing = command || j->probe.command;
	beat(&j->beat);
	if (!q->kind || j->pid)
		loop_run(q->loop);
	stop_beating(j);
	return q->kind ? -1 : j->status;
}

int
registry_run_register(struct inquiry *q)
{
	size_t words = q->noperands > 2 ? (size_t)q->noperands - 2 : 0;
	char **command = NULL;
	struct join j = { .q = q, .id = BUF_INIT, .address = BUF_INIT, .endpoints = BUF_INIT };
	int r = -1;

	j.reply = (struct registry_reply){ .done = replied, .arg = &j };

	/* Behind the operands the options may lie. */
	if (words) {
		command = xcalloc(words + 1, sizeof *command);
		memcpy(command, q->operands + 2, words * sizeof *command);
	}
	j.interrupt = (struct interrupt){ .fn = interrupted, .arg = &j };
	j.beat = (struct loop_timer){ .fn = beat, .arg = &j };
	j.probe = (struct probe){ .loop = q->loop, .command = q->args->healthy, .done = probed,
		.arg = &j };
	j.probe.conn.fd = -1;
	if (set_service(&j, command) == 0) {
		j.probe.timeout_ms = q->args->healthy ? j.interval_ms : CONNECT_MS;
		r = live(&j, command);
	}
	free(command);
	free(j.metadata);
	buf_release(&j.id);
	buf_release(&j.address);
	buf_release(&j.endpoints);
	return r;
}

/* ---- deregister ---- */

static void
expelled(struct registry_reply *r, const struct error *err)
{
	struct inquiry *q = r->arg;

	if (err) {
		*q->err = *err;
		q->kind = err->kind;
	}
	loop_stop(q->loop);
}

int
registry_run_deregister(struct inquiry *q)
{
	const char *name = q->operands[0], *id = q->operands[1];
	struct registry_reply reply = { .done = expelled, .arg = q };
	int r = registry_expel(q->registry, bytes_str(name), bytes_str(id), &reply, q->err);

	if (r == REGISTRY_LATER) {
		loop_run(q->loop);
		registry_forget(q->registry, &reply);
	}
	if (r < 0 || q->kind)
		return -1;
	if (reply.count == 0)
		return error_set(q->err, ERR_NOTFOUND, "no node %s of service %.*s (%s)",
			opt_shown(id), BYTES_FMT(bytes_str(name)), q->registry->ops->name);
	return 0;
}

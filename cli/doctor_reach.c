/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is there somebody at the address? A name is looked up, and a connection is made and
 * closed again, so that it can be told whether nothing listens there (refused, at once)
 * or nothing answers (a firewall, another network).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/in_force.h"
#include "core/address.h"
#include "core/resolve.h"

enum { SILENCE_MS = 3000 };

struct reach {
	struct doctor *d;
	struct loop_fd fd;
	struct loop_timer limit;
	bool silent;
};

static void
reach_ready(struct loop_fd *w, unsigned ready)
{
	struct reach *r = w->arg;

	(void)ready;
	doctor_done(r->d);
}

static void
reach_silent(struct loop_timer *t)
{
	struct reach *r = t->arg;

	r->silent = true;
	doctor_done(r->d);
}

/* Waits for a descriptor, at most as long as connecting may take. */
static bool
wait_fd(struct reach *r, int fd, unsigned events)
{
	uint64_t ms = r->d->args->common.connect_timeout_ms;
	struct error err;

	r->silent = false;
	r->fd = (struct loop_fd){ .fn = reach_ready, .arg = r };
	r->limit = (struct loop_timer){ .fn = reach_silent, .arg = r };
	if (loop_fd_add(r->d->loop, &r->fd, fd, events, &err) < 0)
		return false;
	loop_timer_set(r->d->loop, &r->limit, ms < SILENCE_MS ? ms : SILENCE_MS);
	doctor_wait(r->d);
	loop_timer_clear(r->d->loop, &r->limit);
	loop_fd_del(r->d->loop, &r->fd);
	return !r->silent && !r->d->late;
}

/* 0, or an errno; ETIMEDOUT: silence. */
static int
try_connect(struct reach *r, const union sockaddr_any *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e = 0;
	socklen_t len = sizeof e;

	if (fd < 0)
		return errno;
	if (connect(fd, &to->sa, net_size(to)) < 0) {
		e = errno;
		if (e == EINPROGRESS && !wait_fd(r, fd, LOOP_WRITE))
			e = ETIMEDOUT;
		else if (e == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
			e = errno;
	}
	close(fd);
	return e;
}

static size_t
look_up(struct reach *r, const char *host, union sockaddr_any *to, struct error *err)
{
	struct resolve *look = resolve_start(host, 0, err);

	if (!look)
		return 0;
	if (!wait_fd(r, resolve_fd(look), LOOP_READ)) {
		resolve_cancel(look);
		error_set(err, ERR_CONNECT, "the name server does not answer");
		return 0;
	}
	return resolve_take(look, to, err);
}

/* The port that the broker has without TLS; 0: nobody says. */
static unsigned
usual_port(const struct doctor *d)
{
	struct address a;
	struct error err;
	const char *def = d->args->common.ops->default_address;

	return def && !d->args->common.tls.on && address_parse(bytes_str(def), &a, &err) == 0 ?
		a.port : 0;
}

static bool
reach_one(struct reach *r, struct bytes one)
{
	struct doctor *d = r->d;
	union sockaddr_any to[RESOLVE_MAX];
	struct error err = ERROR_INIT;
	struct address a;
	char host[256], text[NET_TEXT_MAX];
	unsigned port;
	size_t n;
	int e = 0;

	if (address_parse(one, &a, &err) < 0) {
		doctor_failed(d, "address", &err, "write -b HOST:PORT or --url SCHEME://HOST");
		return false;
	}
	if (a.socket.p)
		return true;		/* connecting says it all */
	snprintf(host, sizeof host, "%.*s", BYTES_FMT(a.host.n ? a.host : BYTES("localhost")));
	n = look_up(r, host, to, &err);
	if (d->late)
		return false;
	if (!n) {
		doctor_say(d, "resolve", RESULT_FAIL, ERR_CONNECT, "check the spelling of the "
			"host and the name server (getent hosts HOST)", "%s: %s", host, err.text);
		return false;
	}
	doctor_say(d, "resolve", RESULT_OK, ERR_NONE, NULL, "%s is %s%s", host,
		net_host_text(&to[0], text), n > 1 ? " and others" : "");
	port = a.port ? a.port : a.scheme.p && a.scheme.p[a.scheme.n - 1] == 's' &&
		a.scheme.n > 1 && strncmp(a.scheme.p, d->args->common.ops->name, a.scheme.n) != 0 ?
		0 : usual_port(d);
	for (size_t i = 0; port && i < n; i++) {
		net_set_port(&to[i], port);
		e = try_connect(r, &to[i]);
		if (!e || d->late)
			break;
	}
	if (!port || d->late)
		return true;
	if (!e)
		doctor_say(d, "reach", RESULT_OK, ERR_NONE, NULL, "%s:%u accepts connections",
			host, port);
	else if (e == ECONNREFUSED)
		doctor_say(d, "reach", RESULT_FAIL, ERR_CONNECT, "start the server there, or "
			"correct the port", "%s:%u refuses: the host is there, and nothing "
			"listens at this port", host, port);
	else if (e == ETIMEDOUT)
		doctor_say(d, "reach", RESULT_FAIL, ERR_CONNECT, "look for a firewall between, and "
			"whether this is the right host", "%s:%u is silent: not even a refusal "
			"comes back", host, port);
	else
		doctor_say(d, "reach", RESULT_FAIL, ERR_CONNECT, "look at this machine's network",
			"%s:%u: %s", host, port, strerror(e));
	return !e;
}

bool
doctor_reach(struct doctor *d)
{
	const struct common_args *c = &d->args->common;
	const char *text = c->server ? c->server : c->address ? c->address :
		c->ops->default_address;
	struct bytes list = bytes_str(text), one;
	struct reach r = { .d = d };
	bool any = false;

	if (!text || (c->ops->caps & (BROKER_REGISTRY | BROKER_NO_NETWORK)))
		return true;
	while (!d->late && address_next(&list, &one))
		any = reach_one(&r, one) || any;
	return any;
}

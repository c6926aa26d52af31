/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where programs find each other through a registry: can it be asked, is there a way for
 * its multicast, who is there, and who was heard of and not believed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "core/nearest.h"
#include "core/net.h"

enum { NAMES_MAX = 64, TOLD_MAX = 5 };

struct asking {
	struct doctor *d;
	struct registry *r;
	struct lookup lookup;
	struct buf names;		/* of services, each with a NUL behind it */
	size_t nnames, nnodes, nrefused, lookups;
	struct error err;
};

void
doctor_consider(const char *topic, struct bytes name, struct doctor_near *near)
{
	char text[100];
	unsigned d;

	if (!name.n || name.n >= sizeof text || memchr(name.p, '\0', name.n))
		return;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	d = strcasecmp(topic, text) == 0 ? 0 : edit_distance(topic, text);
	if (d < near->best) {
		near->best = d;
		memcpy(near->name, text, name.n + 1);
	}
}

static void
asking_done(struct lookup *l, const struct error *err)
{
	struct asking *a = l->arg;

	if (err)
		a->err = *err;
	doctor_done(a->d);
}

static void
asking_refused(struct lookup *l, const struct service *s, const char *why)
{
	struct asking *a = l->arg;

	if (s->nnodes && a->nrefused++ < TOLD_MAX)
		doctor_say(a->d, "refused", RESULT_WARN, ERR_NONE, "allow it by the option that "
			"is named, if it is to be believed", "%.*s at %.*s is not believed: %s",
			BYTES_FMT(s->nodes[0].id), BYTES_FMT(s->nodes[0].address), why);
}

static bool
name_found(struct lookup *l, const struct service *s)
{
	struct asking *a = l->arg;
	char name[256];

	if (!s->name.n || s->name.n >= sizeof name || a->nnames >= NAMES_MAX)
		return true;
	memcpy(name, s->name.p, s->name.n);
	name[s->name.n] = '\0';
	for (const char *p = buf_data(&a->names), *end = p + buf_len(&a->names); p < end;
	    p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return true;
	buf_add(&a->names, name, s->name.n + 1);
	a->nnames++;
	return true;
}

static bool
node_found(struct lookup *l, const struct service *s)
{
	struct asking *a = l->arg;

	a->nnodes += s->nnodes;
	return true;
}

/* false: it failed, which has been said. */
static bool
ask(struct asking *a, struct bytes name)
{
	struct error err;
	int r;

	a->lookup = (struct lookup){ .found = name.p ? node_found : name_found,
		.done = asking_done, .refused = asking_refused, .arg = a, .all = true };
	a->err = (struct error)ERROR_INIT;
	r = name.p ? registry_get(a->r, name, &a->lookup, &err) :
		registry_list(a->r, &a->lookup, &err);
	if (r == 0 && !doctor_wait(a->d)) {
		registry_cancel(a->r, &a->lookup);
		return false;
	}
	if (r < 0)
		a->err = err;
	if (a->err.kind)
		doctor_failed(a->d, "registry", &a->err, "see mbus registry list -v");
	return !a->err.kind;
}

/* Is there a route for what is sent to a group of hosts? */
static bool
check_multicast(struct doctor *d, const char *address)
{
	union sockaddr_any to;
	socklen_t len;
	int fd, e = 0;

	if (!address || !net_parse(bytes_str(address), &to, &len) ||
	    to.sa.sa_family != AF_INET || !IN_MULTICAST(ntohl(to.in.sin_addr.s_addr)))
		return true;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &to.sa, len) < 0)
		e = errno;
	if (fd >= 0)
		close(fd);
	if (!e) {
		doctor_say(d, "multicast", RESULT_OK, ERR_NONE, NULL, "there is a route to %s",
			address);
		return true;
	}
	doctor_say(d, "multicast", RESULT_WARN, ERR_NONE, "without a network: ip route add "
		"224.0.0.0/4 dev lo, or --registry file", "no route to %s (%s): other hosts are "
		"not found", address, strerror(e));
	return false;
}

static void
tell_nodes(struct asking *a)
{
	if (a->nrefused > TOLD_MAX)
		doctor_say(a->d, "refused", RESULT_WARN, ERR_NONE, NULL, "%zu more nodes are not "
			"believed (mbus registry get -v NAME)", a->nrefused - TOLD_MAX);
	if (a->nnodes)
		doctor_say(a->d, "registry", RESULT_OK, ERR_NONE, NULL, "%s knows of %zu "
			"service%s that %s events, at %zu node%s", a->r->ops->name, a->nnames,
			a->nnames == 1 ? "" : "s", a->nnames == 1 ? "takes" : "take", a->nnodes,
			a->nnodes == 1 ? "" : "s");
	else
		doctor_say(a->d, "registry", RESULT_WARN, ERR_NONE, "is mbus sub (or the service) "
			"running, with the same registry (--registry, MICRO_REGISTRY)? between "
			"hosts: does a firewall pass its packets?", "%s knows of nobody who takes "
			"events", a->r->ops->name);
}

void
doctor_registry(struct doctor *d)
{
	struct asking a = { .d = d, .r = d->opts.registry };
	const char *p, *end;

	if (!a.r)
		return;
	check_multicast(d, a.r->ops->default_address);
	if (ask(&a, bytes_of(NULL, 0))) {
		size_t n = 0;

		for (p = buf_data(&a.names), end = p + buf_len(&a.names); p < end && !d->late;
		    p += strlen(p) + 1) {
			if (!registry_explain(bytes_str(p)))
				continue;
			n++;
			if (!ask(&a, bytes_str(p)))
				break;
		}
		a.nnames = n;
		if (!d->late && !a.err.kind)
			tell_nodes(&a);
	}
	buf_release(&a.names);
}

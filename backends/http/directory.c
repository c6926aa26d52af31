/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups and watches of the http broker's nodes: see directory.h. */
#include "backends/http/directory.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/net.h"

/* A one-shot publisher never pays for watching; one that has lived this long
 * does, and then hears of new subscribers and goodbyes at once. */
enum { WATCH_AFTER_MS = 500 };

/* ---- -X http.only ---- */

/* IP, IP:PORT or [IP]:PORT; false: none of these. */
static bool
pin_set(struct pin *p, struct bytes text)
{
	char host[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
	unsigned char ip[16];
	struct bytes h = text, port;
	int family;

	p->port = 0;
	if (text.n && *text.p == '[' && text.p[text.n - 1] == ']') {
		h = bytes_of(text.p + 1, text.n - 2);
	} else if (net_split(text, &h, &port)) {
		for (size_t i = 0; i < port.n; i++) {
			if (i > 4 || port.p[i] < '0' || port.p[i] > '9')
				return false;
			p->port = p->port * 10 + (unsigned)(port.p[i] - '0');
		}
		if (!p->port || p->port > 65535)
			return false;
	} else {
		h = text;
	}
	if (!h.n || h.n >= sizeof host)
		return false;
	memcpy(host, h.p, h.n);
	host[h.n] = '\0';
	family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, host, ip) != 1 || !inet_ntop(family, ip, canonical, sizeof canonical))
		return false;
	p->host = bytes_of(xstrdup(canonical), strlen(canonical));
	return true;
}

static int
pins_set(struct directory *d, const char *list, struct error *err)
{
	for (const char *p = list; p; p = *p ? p + 1 : NULL) {
		struct bytes text = bytes_of(p, strcspn(p, ","));

		d->pins = xrealloc(d->pins, (d->npins + 1) * sizeof *d->pins);
		if (!pin_set(&d->pins[d->npins], text))
			return error_set(err, ERR_USAGE, "-X http.only=%s: a list of IP addresses, "
				"with or without a port (10.0.0.5, 10.0.0.5:8000, [::1]:8000)", list);
		d->npins++;
		p += text.n;
	}
	return 0;
}

static bool
is_pinned(const struct directory *d, struct bytes address)
{
	char host[NET_TEXT_MAX];
	union sockaddr_any a;
	socklen_t len;

	if (!d->npins)
		return true;
	if (!net_parse(address, &a, &len))
		return false;
	net_host_text(&a, host);
	for (size_t i = 0; i < d->npins; i++)
		if (bytes_eq(d->pins[i].host, bytes_str(host)) && (!d->pins[i].port ||
		    d->pins[i].port == ntohs(a.sa.sa_family == AF_INET6 ? a.in6.sin6_port :
			a.in.sin_port)))
			return true;
	return false;
}

/* ---- what is heard ---- */

static void
hear(struct directory *d, unsigned dialect, const struct service *s, const struct node *n,
	struct bytes topic)
{
	if (is_pinned(d, n->address))
		http_peers_add(&d->peers, dialect, s, n, topic);
	else
		d->user->refused(d->arg, topic, n, "its address is not in -X http.only");
}

static void
tell_changes(struct directory *d)
{
	if (!d->peers.changed)
		return;
	d->peers.changed = false;
	d->user->changed(d->arg);
}

static bool
dir_found(struct lookup *l, const struct service *s)
{
	struct directory *d = l->arg;
	bool wanted = false;

	for (size_t i = 0; i < s->nnodes; i++) {
		const struct node *n = &s->nodes[i];
		struct bytes topic;

		if (!http_peer_topic(s, n, &topic))
			continue;
		hear(d, (unsigned)(l - d->lookup), s, n, topic);
		wanted |= is_pinned(d, n->address) && d->user->wanted(d->arg, topic);
	}
	d->hit |= wanted;
	return wanted;
}

static void
dir_refused(struct lookup *l, const struct service *s, const char *why)
{
	struct directory *d = l->arg;
	struct bytes topic;

	for (size_t i = 0; i < s->nnodes; i++)
		if (http_peer_topic(s, &s->nodes[i], &topic))
			d->user->refused(d->arg, topic, &s->nodes[i], why);
}

static void
dir_changed(struct watch *w, enum registry_action action, const struct service *s)
{
	struct directory *d = w->arg;
	unsigned dialect = (unsigned)(w - d->watch);
	/* Where anybody may say goodbye for anybody, the nodes are asked. */
	unsigned doubt = d->peers.hearsay ? d->lookups + 1 : 0;

	for (size_t i = 0; i < s->nnodes; i++) {
		struct bytes topic;

		if (action == REGISTRY_DELETE)
			d->doubts |= http_peers_goodbye(&d->peers, dialect, s, &s->nodes[i], doubt);
		else if (http_peer_topic(s, &s->nodes[i], &topic))
			hear(d, dialect, s, &s->nodes[i], topic);
	}
	tell_changes(d);
}

/* ---- lookups ---- */

static void
dir_done(struct lookup *l, const struct error *err)
{
	struct directory *d = l->arg;

	d->looking[l - d->lookup] = false;
	if (http_directory_is_looking(d))
		return;
	d->looked_ns = loop_clock_ns();
	if (!err && !http_directory_was_quick(d))
		d->doubts = http_peers_looked_up(&d->peers, d->lookups);
	tell_changes(d);
	d->user->looked_up(d->arg, err);
}

bool
http_directory_is_looking(const struct directory *d)
{
	return d->looking[DIALECT_NEW] || d->looking[DIALECT_OLD];
}

bool
http_directory_was_quick(const struct directory *d)
{
	return d->hit && !d->lookup[DIALECT_NEW].all;
}

static void
watch_later(struct loop_timer *t)
{
	struct directory *d = t->arg;
	struct error err;

	for (unsigned i = 0; i < DIALECTS; i++)
		if (d->services[i] && !d->watch[i].added &&
		    registry_watch(d->registry, &d->watch[i], &err) < 0) {
			log_verbose("http: not watching for subscribers: %s", err.text);
			return;
		}
}

static bool
is_watching(const struct directory *d)
{
	return d->watch[DIALECT_NEW].added || d->watch[DIALECT_OLD].added ||
		loop_timer_is_set(&d->watch_timer);
}

int
http_directory_look(struct directory *d, bool full, struct error *err)
{
	if (http_directory_is_looking(d))
		return 0;
	d->hit = false;
	d->lookups++;
	for (unsigned i = 0; i < DIALECTS; i++) {
		d->lookup[i].all = full || d->doubts;
		if (!d->services[i])
			continue;
		if (registry_get(d->registry, bytes_str(d->services[i]), &d->lookup[i], err) < 0) {
			for (unsigned u = 0; u < i; u++) {
				registry_cancel(d->registry, &d->lookup[u]);
				d->looking[u] = false;
			}
			return -1;
		}
		d->looking[i] = true;
	}
	if (!is_watching(d))
		loop_timer_set(d->loop, &d->watch_timer, WATCH_AFTER_MS);
	return 0;
}

/* ---- life ---- */

int
http_directory_init(struct directory *d, struct registry *registry, struct loop *loop,
	const char *const *services, const char *only, const struct directory_user *user, void *arg,
	struct error *err)
{
	d->registry = registry;
	d->loop = loop;
	d->services = services;
	d->user = user;
	d->arg = arg;
	http_peers_init(&d->peers, registry->ops->hearsay);
	d->peers.wanted = user->wanted;
	d->peers.arg = arg;
	for (unsigned i = 0; i < DIALECTS; i++) {
		d->lookup[i] = (struct lookup){ .found = dir_found, .done = dir_done,
			.refused = dir_refused, .arg = d };
		d->watch[i] = (struct watch){ .name = bytes_str(services[i]),
			.changed = dir_changed, .arg = d };
	}
	d->watch_timer.fn = watch_later;
	d->watch_timer.arg = d;
	return only ? pins_set(d, only, err) : 0;
}

void
http_directory_stop(struct directory *d)
{
	loop_timer_clear(d->loop, &d->watch_timer);
	for (unsigned i = 0; i < DIALECTS; i++) {
		if (d->looking[i])
			registry_cancel(d->registry, &d->lookup[i]);
		d->looking[i] = false;
		registry_unwatch(d->registry, &d->watch[i]);
	}
	http_peers_release(&d->peers);
}

void
http_directory_release(struct directory *d)
{
	for (size_t i = 0; i < d->npins; i++)
		free((char *)d->pins[i].host.p);
	free(d->pins);
	d->pins = NULL;
	d->npins = 0;
}

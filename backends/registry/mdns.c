/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mdns registry: go-micro's default, compatible with it in both directions.
 * No server: who registers a node answers for it by multicast DNS. See mdns.h for
 * what is in which file.
 *
 * Anybody on the network may answer. What can be checked is checked (mdns_allow.c),
 * and nodes of ours on a loopback address are told to this machine only.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/registry/mdns.h"

void
mdns_address(const struct micro_instance *in, union sockaddr_any *out)
{
	memset(out, 0, sizeof *out);
	if (in->v6) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons(in->port);
		memcpy(&out->in6.sin6_addr, in->addr, 16);
	} else {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(in->port);
		memcpy(&out->in.sin_addr, in->addr, 4);
	}
}

const char *
mdns_read_txt(struct mdns *m, const struct micro_instance *in)
{
	const char *why = micro_txt_read(&m->txt, in->txt);

	m->cost += buf_len(&m->txt.json);
	return why;
}

bool
mdns_overspent(const struct mdns *m)
{
	return m->cost >= MDNS_PACKET_COST;
}

/* The target of SRV records, as go-micro has it: the host's name as the system
 * gives it. Nobody resolves it (the address comes along), so where it cannot be
 * a DNS name, another will do. */
static void
set_host(struct dns_name *out)
{
	char name[256] = "";

	if (gethostname(name, sizeof name - 1) < 0 || dns_name_set(out, bytes_str(name)))
		dns_name_set(out, BYTES("localhost"));
}

static int
set_domain(struct mdns *m, const char *text, struct error *err)
{
	struct bytes domain = bytes_str(text);
	const char *why;

	while (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	why = dns_name_set(&m->domain, domain);
	return why ? error_set(err, ERR_USAGE, "-X mdns.domain=%s: %s", text, why) : 0;
}

static int
init(struct registry *r, struct error *err)
{
	struct mdns *m = (struct mdns *)r;

	mdns_socket_init(m);
	micro_txt_init(&m->txt);
	if (mdns_allow(m, m->allow_given, err) < 0)
		return -1;
	set_host(&m->host);
	return set_domain(m, m->domain_given, err);
}

static void
release(struct registry *r)
{
	struct mdns *m = (struct mdns *)r;

	mdns_respond_release(m);
	mdns_query_release(m);
	mdns_watch_release(m);
	mdns_socket_release(m);
	mdns_allow_release(m);
	micro_txt_release(&m->txt);
	buf_release(&m->out);
	buf_release(&m->text);
}

/* Which ids go-micro's programs do not find, or find and then lose what is sent
 * to: its DNS library gives these characters back with a backslash before them. */
static const char *
foreign(struct registry *r, struct bytes service, struct bytes id)
{
	struct mdns *m = (struct mdns *)r;
	struct dns_name name, tail;
	const char *why = micro_service_name(&tail, service, &m->domain);

	if (!why)
		why = micro_name(&name, id, &tail);
	for (size_t i = 0; !why && i < id.n; i++) {
		unsigned char c = (unsigned char)id.p[i];

		if (c < 0x21 || c > 0x7e)
			why = c == ' ' ? "a space in the name" :
				"a byte outside printable ASCII in the name";
		else if (strchr("@;()\"'\\", c))
			why = "one of @ ; ( ) \" ' \\ in the name";
	}
	return why;
}

#define AT(type, member) XOPT_##type(struct mdns, member)
static const struct broker_option options[] = {
	{ "wait", "quick|full", "quick",
	  "a lookup ends when answers stop coming, or after the full 100 ms",
	  AT(CHOICE, wait), .use = BROKER_FOR_PUB | BROKER_FOR_TOPICS },
	{ "domain", "NAME", "micro", "the domain go-micro's programs use (v1.9 and older: local)",
	  AT(STR, domain_given) },
	{ "allow", "LIST", "local,link",
	  "addresses a node may have: local, link, private, any, 10.0.0.0/8, ...",
	  AT(STR, allow_given) },
	{ "interface", "NAME,...", NULL, "only these network interfaces, and loopback",
	  AT(STR, interfaces) },
	{ NULL }
};

const struct registry_ops mdns_registry_ops = {
	.name = "mdns",
	.default_address = "224.0.0.251:5353",
	.fixed_address = true,
	.size = sizeof(struct mdns),
	.options = options,
	.hearsay = true,
	.init = init,
	.release = release,
	.add = mdns_add,
	.remove = mdns_remove,
	.get = mdns_get,
	.list = mdns_list,
	.cancel = mdns_cancel,
	.watch = mdns_watch,
	.unwatch = mdns_unwatch,
	.foreign = foreign,
};

MODULE_REGISTRY(mdns_registry_ops);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses a node may claim: mdns.allow.
 *
 * Anybody on the network can register a node, and publishers send events to where
 * it says that it is. So an address is taken only if the user allowed it, by
 * default if a program of this machine says it (who could receive the events here
 * as well) or if it lies in a network that this machine is in, which is how far
 * multicast goes.
 *
 * Who says so is known by the source address alone. The kernel throws away IPv4
 * packets from outside with an address of this machine as source, and those with
 * ::1; with another IPv6 address of this machine it does not, and so that one
 * proves nothing. On one link the sources of others can be forged.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>

#include "backends/registry/mdns.h"

enum { ALLOW_LOCAL = 1, ALLOW_LINK = 2, ALLOW_PRIVATE = 4, ALLOW_ANY = 8 };

static const struct {
	const char *word;
	unsigned bit;
} words[] = {
	{ "local", ALLOW_LOCAL }, { "link", ALLOW_LINK },
	{ "private", ALLOW_PRIVATE }, { "any", ALLOW_ANY },
};

/* ---- addresses and networks ---- */

/* An address as 16 bytes, IPv4 as ::ffff:a.b.c.d: so what a node says in an AAAA
 * record of that form is what it is, too. */
static bool
to_bytes(const struct sockaddr *sa, unsigned char out[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (sa->sa_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
		return true;
	}
	if (sa->sa_family != AF_INET)
		return false;
	memcpy(out, mapped, 12);
	memcpy(out + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	return true;
}

static bool
is_v4(const unsigned char b[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(b, mapped, 12) == 0;
}

static bool
is_in(const struct mdns_net *net, const unsigned char b[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	return memcmp(net->b, b, whole) == 0 &&
		(rest == 0 || ((net->b[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

static bool
is_in_any(const struct mdns_net *nets, size_t n, const unsigned char b[16])
{
	for (size_t i = 0; i < n; i++)
		if (is_in(&nets[i], b))
			return true;
	return false;
}

/* The last address of an IPv4 network, and the first, which was once used so. */
static bool
is_broadcast(const struct mdns *m, const unsigned char b[16])
{
	for (size_t i = 0; is_v4(b) && i < m->nlinks; i++) {
		const struct mdns_net *net = &m->links[i];
		uint32_t host, mask;

		if (!is_in(net, b) || net->bits < 96 || net->bits > 126)
			continue;
		mask = UINT32_MAX >> (net->bits - 96);
		host = ((uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 |
			b[15]) & mask;
		if (host == mask || host == 0)
			return true;
	}
	return false;
}

static bool
is_private(const unsigned char b[16])
{
	if (!is_v4(b))
		return (b[0] & 0xfe) == 0xfc;
	return b[12] == 10 || (b[12] == 172 && (b[13] & 0xf0) == 16) ||
		(b[12] == 192 && b[13] == 168);
}

static bool
is_link_local6(const unsigned char b[16])
{
	return b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
}

static void
add_net(struct mdns_net **nets, size_t *n, const unsigned char b[16], unsigned bits)
{
	*nets = xrealloc(*nets, (*n + 1) * sizeof **nets);
	memcpy((*nets)[*n].b, b, 16);
	(*nets)[(*n)++].bits = bits;
}

/* ---- the networks that this machine is in ---- */

static unsigned
count_bits(const unsigned char *p, size_t n)
{
	unsigned bits = 0;

	while (bits < n * 8 && p[bits / 8] & (0x80 >> bits % 8))
		bits++;
	return bits;
}

/* Of a point-to-point link the other end is what can be reached. */
void
mdns_link(struct mdns *m, const struct ifaddrs *i)
{
	bool v6 = i->ifa_addr->sa_family == AF_INET6;
	const void *mask = i->ifa_netmask;
	unsigned char b[16];
	unsigned bits = 0;

	if (i->ifa_flags & IFF_LOOPBACK)
		return;
	if ((i->ifa_flags & IFF_POINTOPOINT) && i->ifa_dstaddr && to_bytes(i->ifa_dstaddr, b))
		add_net(&m->links, &m->nlinks, b, 128);
	if (!mask || !to_bytes(i->ifa_addr, b))
		return;
	if (v6)
		bits = count_bits(((const struct sockaddr_in6 *)mask)->sin6_addr.s6_addr, 16);
	else
		bits = count_bits((const void *)&((const struct sockaddr_in *)mask)->sin_addr, 4);
	/* A network of everything is no network; so no mask allows everything. */
	if (bits)
		add_net(&m->links, &m->nlinks, b, v6 ? bits : bits + 96);
}

/* ---- what is believed ---- */

/* This machine for certain. */
static bool
is_here(const union sockaddr_any *from)
{
	return net_is_loopback(from) || (from->sa.sa_family == AF_INET && net_is_ours(from));
}

static bool
is_allowed(const struct mdns *m, const unsigned char b[16])
{
	return (m->allow & ALLOW_ANY) || ((m->allow & ALLOW_PRIVATE) && is_private(b)) ||
		is_in_any(m->allowed, m->nallowed, b);
}

bool
mdns_is_near(const struct mdns *m, const union sockaddr_any *from)
{
	unsigned char b[16];

	return to_bytes(&from->sa, b) && (is_link_local6(b) ||
		is_in_any(m->links, m->nlinks, b) || is_allowed(m, b) || net_is_ours(from));
}

const char *
mdns_unusable(const struct micro_instance *in)
{
	unsigned char b[16];
	union sockaddr_any a;

	if (!in->has_addr)
		return "it says no address";
	if (in->port == 0)
		return "its port is 0";
	mdns_address(in, &a);
	to_bytes(&a.sa, b);
	if (net_is_any(&a))
		return "its address is the wildcard";
	if (is_v4(b) ? b[12] == 0 || b[12] >= 224 : b[0] == 0xff)
		return "its address is no host's";
	if (is_link_local6(b))
		return "its address is link-local, which is none without an interface";
	return NULL;
}

const char *
mdns_disbelieve(const struct mdns *m, const struct micro_instance *in,
	const union sockaddr_any *from)
{
	const char *why = mdns_unusable(in);
	bool here = is_here(from);
	unsigned char b[16];
	union sockaddr_any a;

	if (why)
		return why;
	mdns_address(in, &a);
	to_bytes(&a.sa, b);
	if (net_is_loopback(&a) && !here)
		return "its address is loopback, but another machine says so";
	if (is_broadcast(m, b))
		return "its address is no host's";
	if (!here && !mdns_is_near(m, from))
		return "who says so is on no network of this machine (-X mdns.allow)";
	if (is_allowed(m, b) || (here && (m->allow & ALLOW_LOCAL)))
		return NULL;
	if (net_is_ours(&a) && !net_is_ours(from))
		return "its address is this machine's, but another machine says so "
			"(-X mdns.allow)";
	if ((m->allow & ALLOW_LINK) && is_in_any(m->links, m->nlinks, b))
		return NULL;
	return m->allow == (ALLOW_LOCAL | ALLOW_LINK) && !m->nallowed ?
		"its address is on no network of this machine (-X mdns.allow)" :
		"its address is not in -X mdns.allow";
}

bool
mdns_is_from_node(const struct micro_instance *in, const union sockaddr_any *from)
{
	unsigned char node[16], sender[16];
	union sockaddr_any a;

	mdns_address(in, &a);
	if (!to_bytes(&a.sa, node) || !to_bytes(&from->sa, sender))
		return false;
	/* IPv6 multicast comes from link-local addresses, which nodes do not tell. */
	return memcmp(node, sender, 16) == 0 || (is_link_local6(sender) && in->v6) ||
		(net_is_ours(&a) && net_is_ours(from));
}

/* ---- the option ---- */

/* ADDRESS or ADDRESS/BITS */
static bool
parse_net(struct mdns *m, struct bytes text)
{
	const char *slash = memchr(text.p, '/', text.n);
	size_t n = slash ? (size_t)(slash - text.p) : text.n;
	char host[INET6_ADDRSTRLEN];
	unsigned char b[16] = { [10] = 0xff, [11] = 0xff };
	unsigned width = 32, bits = 0;

	if (n >= sizeof host)
		return false;
	memcpy(host, text.p, n);
	host[n] = '\0';
	if (inet_pton(AF_INET, host, b + 12) != 1) {
		if (inet_pton(AF_INET6, host, b) != 1)
			return false;
		width = 128;
	}
	for (const char *p = slash ? slash + 1 : NULL; p && p < text.p + text.n; p++) {
		if (*p < '0' || *p > '9' || bits > 128)
			return false;
		bits = bits * 10 + (unsigned)(*p - '0');
	}
	if (!slash)
		bits = width;
	if (bits > width || (slash && slash + 1 == text.p + text.n))
		return false;
	add_net(&m->allowed, &m->nallowed, b, bits + 128 - width);
	return true;
}

int
mdns_allow(struct mdns *m, const char *list, struct error *err)
{
	for (const char *p = list;; p++) {
		struct bytes text = bytes_of(p, strcspn(p, ","));
		bool known = false;

		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (bytes_eq(text, bytes_str(words[i].word))) {
				m->allow |= words[i].bit;
				known = true;
			}
		if (!known && !parse_net(m, text))
			return error_set(err, ERR_USAGE, "-X mdns.allow=%s: a list of local, link, "
				"private, any, addresses and networks (10.0.0.0/8)", list);
		p += text.n;
		if (!*p)
			return 0;
	}
}

void
mdns_allow_release(struct mdns *m)
{
	free(m->allowed);
	free(m->links);
}

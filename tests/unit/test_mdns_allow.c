/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes mdns.allow lets be believed. The interfaces are made up; what depends
 * on real ones is in tests/bats/mdns_lies.bats. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include "backends/registry/mdns.h"
#include "tests/unit/test.h"

static union sockaddr_any
host(const char *text)
{
	union sockaddr_any a = { .sa = { .sa_family = AF_UNSPEC } };

	if (inet_pton(AF_INET, text, &a.in.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &a.in6.sin6_addr) == 1)
		a.sa.sa_family = AF_INET6;
	return a;
}

static struct micro_instance
at(const char *text)
{
	struct micro_instance in = { .port = 80, .has_addr = true };

	in.v6 = inet_pton(AF_INET6, text, in.addr) == 1;
	if (!in.v6)
		inet_pton(AF_INET, text, in.addr);
	return in;
}

static void
join(struct mdns *m, unsigned flags, const char *address, const char *mask, const char *other)
{
	union sockaddr_any a = host(address), n = host(mask ? mask : ""),
		o = host(other ? other : "");
	struct ifaddrs i = { .ifa_flags = IFF_UP | flags, .ifa_addr = &a.sa,
		.ifa_netmask = mask ? &n.sa : NULL, .ifa_dstaddr = other ? &o.sa : NULL };

	mdns_link(m, &i);
}

static void
start(struct mdns *m, const char *list)
{
	struct error err = ERROR_INIT;

	memset(m, 0, sizeof *m);
	need(mdns_allow(m, list, &err) == 0);
	join(m, 0, "198.51.100.2", "255.255.255.128", NULL);
	join(m, 0, "198.18.5.2", "255.255.255.255", NULL);
	join(m, IFF_POINTOPOINT, "203.0.113.1", "255.255.255.255", "203.0.113.9");
	join(m, IFF_LOOPBACK, "100.64.0.1", "255.192.0.0", NULL);
	join(m, 0, "100.127.0.1", "0.0.0.0", NULL);
	join(m, 0, "100.127.0.2", NULL, NULL);
	join(m, 0, "2001:db8:1::2", "ffff:ffff:ffff:ff00::", NULL);
	join(m, 0, "fe80::5", "ffff:ffff:ffff:ffff::", NULL);
}

static const char *
said(const struct mdns *m, const char *address, const char *from)
{
	struct micro_instance in = at(address);
	union sockaddr_any a = host(from);

	return mdns_disbelieve(m, &in, &a);
}

#define NEIGHBOUR "198.51.100.3"
#define FAR "its address is on no network of this machine (-X mdns.allow)"
#define NO_HOST "its address is no host's"
#define LOOPBACK "its address is loopback, but another machine says so"
#define UNLISTED "its address is not in -X mdns.allow"

TEST(by_default)
{
	static const struct { const char *address, *why; } claims[] = {
		{ NEIGHBOUR, NULL }, { "198.51.100.4", NULL }, { "198.51.100.126", NULL },
		{ "198.51.100.127", NO_HOST }, { "198.51.100.0", NO_HOST }, { "198.51.100.128", FAR },
		{ "198.18.5.2", NULL }, { "198.18.5.3", FAR }, { "203.0.113.9", NULL },
		{ "203.0.113.8", FAR }, { "100.64.0.2", FAR }, { "100.127.0.3", FAR },
		{ "8.8.8.8", FAR }, { "172.30.255.1", FAR }, { "::ffff:198.51.100.4", NULL },
		{ "::ffff:8.8.8.8", FAR }, { "::ffff:198.51.100.127", NO_HOST },
		{ "2001:db8:1::77", NULL }, { "2001:db8:1:ff::1", NULL }, { "2001:db8:1:100::1", FAR },
		{ "64:ff9b::198.51.100.4", FAR }, { "::198.51.100.4", FAR },
		{ "127.0.0.1", LOOPBACK }, { "127.255.255.254", LOOPBACK }, { "::1", LOOPBACK },
		{ "::ffff:127.0.0.1", LOOPBACK },
		{ "0.0.0.0", "its address is the wildcard" }, { "::", "its address is the wildcard" },
		{ "::ffff:0.0.0.0", "its address is the wildcard" }, { "0.0.0.1", NO_HOST },
		{ "224.0.0.1", NO_HOST }, { "255.255.255.255", NO_HOST }, { "ff02::1", NO_HOST },
		{ "::ffff:224.0.0.1", NO_HOST },
		{ "fe80::7", "its address is link-local, which is none without an interface" },
	};
	struct mdns m;

	start(&m, "local,link");
	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
		check_str(said(&m, claims[i].address, NEIGHBOUR), claims[i].why);
	/* By a neighbour over IPv6, whose source is link-local. */
	check_str(said(&m, "2001:db8:1::77", "fe80::77"), NULL);
	/* Of this machine. */
	check_str(said(&m, "8.8.8.8", "127.0.0.1"), NULL);
	check_str(said(&m, "127.0.0.1", "127.0.0.1"), NULL);
	check_str(said(&m, "::1", "::1"), NULL);
	check_str(said(&m, "198.51.100.127", "127.0.0.1"), NO_HOST);
	/* Nobody's neighbour, wherever it says to be. */
	check_str(said(&m, NEIGHBOUR, "8.8.8.8"),
		"who says so is on no network of this machine (-X mdns.allow)");
	check_str(said(&m, NEIGHBOUR, "2001:db8:2::1"),
		"who says so is on no network of this machine (-X mdns.allow)");
	mdns_allow_release(&m);
}

TEST(what_is_missing)
{
	struct micro_instance in = at("198.51.100.4");

	check_str(mdns_unusable(&in), NULL);
	in.port = 0;
	check_str(mdns_unusable(&in), "its port is 0");
	in.has_addr = false;
	check_str(mdns_unusable(&in), "it says no address");
}

TEST(lists)
{
	static const struct { const char *list, *address, *why; } cases[] = {
		{ "any", "8.8.8.8", NULL }, { "any", "127.0.0.1", LOOPBACK }, { "any", "0.0.0.0",
			"its address is the wildcard" },
		{ "link", "198.51.100.4", NULL }, { "link", "8.8.8.8", UNLISTED },
		{ "local", "198.51.100.4", UNLISTED },
		{ "private", "10.255.0.1", NULL }, { "private", "172.31.0.1", NULL },
		{ "private", "172.32.0.1", UNLISTED }, { "private", "192.168.9.9", NULL },
		{ "private", "192.169.9.9", UNLISTED }, { "private", "fd12::1", NULL },
		{ "private", "fe12::1", UNLISTED }, { "private", "198.51.100.4", UNLISTED },
		{ "10.0.0.0/8", "10.9.9.9", NULL }, { "10.0.0.0/8", "11.0.0.0", UNLISTED },
		{ "10.0.0.0/9", "10.128.0.0", UNLISTED }, { "10.0.0.0/9", "10.127.0.0", NULL },
		{ "10.1.2.3", "10.1.2.3", NULL }, { "10.1.2.3", "10.1.2.2", UNLISTED },
		{ "0.0.0.0/0", "8.8.8.8", NULL }, { "0.0.0.0/0", "2001:db8::1", UNLISTED },
		{ "::/0", "2001:db8::1", NULL }, { "::/0", "8.8.8.8", NULL },
		{ "fd00::/8", "fdff::1", NULL }, { "fd00::/8", "fc00::1", UNLISTED },
		{ "2001:db8::1", "2001:db8::1", NULL }, { "2001:db8::1", "2001:db8::2", UNLISTED },
		{ "8.8.8.8,link", "8.8.8.8", NULL }, { "8.8.8.8,link", "8.8.8.9", UNLISTED },
		{ "127.0.0.0/8", "127.0.0.1", LOOPBACK },
	};
	struct mdns m;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		start(&m, cases[i].list);
		check_str(said(&m, cases[i].address, NEIGHBOUR), cases[i].why);
		mdns_allow_release(&m);
	}
	start(&m, "10.0.0.0/8");
	check_str(said(&m, "127.0.0.1", "127.0.0.1"), UNLISTED);
	check_str(said(&m, "10.1.1.1", "10.200.0.1"), NULL);	/* who says so is in the list, too */
	mdns_allow_release(&m);
}

TEST(goodbyes)
{
	struct micro_instance four = at("198.51.100.4"), six = at("2001:db8:1::77"), own =
		at("127.0.0.1");
	union sockaddr_any it = host("198.51.100.4"), other = host(NEIGHBOUR),
		link = host("fe80::4"), here = host("127.0.0.1");

	check(mdns_is_from_node(&four, &it));
	check(!mdns_is_from_node(&four, &other));
	check(!mdns_is_from_node(&four, &link));
	check(mdns_is_from_node(&six, &link));
	check(mdns_is_from_node(&own, &here));
	check(!mdns_is_from_node(&own, &other));
}

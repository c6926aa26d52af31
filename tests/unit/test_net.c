/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text, and which are this machine's. What depends on the interfaces
 * (net_advertise of a wildcard) is in tests/bats/mdns.bats, in namespaces. */
#include "core/net.h"
#include "tests/unit/test.h"

static const char *
round_trip(const char *text)
{
	static char out[NET_TEXT_MAX];
	union sockaddr_any a;
	socklen_t len;

	return net_parse(bytes_str(text), &a, &len) ? net_text(&a, out) : NULL;
}

static union sockaddr_any
addr(const char *text)
{
	union sockaddr_any a = { .sa = { .sa_family = AF_UNSPEC } };
	socklen_t len;

	net_parse(bytes_str(text), &a, &len);
	return a;
}

TEST(split)
{
	static const struct { const char *in, *host, *port; } good[] = {
		{ "127.0.0.1:80", "127.0.0.1", "80" }, { ":0", "", "0" },
		{ "host.name:1-2", "host.name", "1-2" }, { "[::1]:80", "::1", "80" },
		{ "[]:80", "", "80" },
	};
	static const char *const bad[] = { "", "host", "host:", "::1:80", "[::1]", "[::1]80",
		"[::1:80", "[::1]:", "a:b:c", "[::1]:80:90" };
	struct bytes host, port;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		need(net_split(bytes_str(good[i].in), &host, &port));
		check_bytes(host, bytes_str(good[i].host));
		check_bytes(port, bytes_str(good[i].port));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (net_split(bytes_str(bad[i]), &host, &port))
			test_failed(__FILE__, __LINE__, "\"%s\" was split", bad[i]);
	check(!net_split(bytes_of(NULL, 0), &host, &port));
}

TEST(parse_and_text)
{
	static const char *const bad[] = { ":80", "localhost:80", "1.2.3:80", "1.2.3.4:65536",
		"1.2.3.4:99999999", "1.2.3.4:8x", "1.2.3.4:-1", "[1.2.3.4]:80", "::1:80",
		"[::1]:", "[::g]:1", "1.2.3.4" };

	check_str(round_trip("127.0.0.1:80"), "127.0.0.1:80");
	check_str(round_trip("0.0.0.0:0"), "0.0.0.0:0");
	check_str(round_trip("[::1]:65535"), "[::1]:65535");
	check_str(round_trip("[2001:DB8::0:1]:1"), "[2001:db8::1]:1");
	check_str(round_trip("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (round_trip(bad[i]))
			test_failed(__FILE__, __LINE__, "\"%s\" was parsed", bad[i]);
	union sockaddr_any a;
	socklen_t len;

	check(!net_parse(bytes_of("1.2.3.4\0:1", 10), &a, &len));
}

TEST(kinds)
{
	union sockaddr_any a = addr("127.9.9.9:1"), none = { .sa = { .sa_family = AF_UNIX } };
	char out[NET_TEXT_MAX];

	check(net_is_loopback(&a) && !net_is_any(&a) && net_is_ours(&a));
	check_str(net_host_text(&a, out), "127.9.9.9");
	a = addr("[::1]:1");
	check(net_is_loopback(&a) && net_is_ours(&a));
	a = addr("[::ffff:127.0.0.1]:1");
	check(net_is_loopback(&a));
	a = addr("0.0.0.0:1");
	check(net_is_any(&a) && !net_is_loopback(&a));
	a = addr("[::]:1");
	check(net_is_any(&a));
	a = addr("192.0.2.77:1");
	check(!net_is_any(&a) && !net_is_loopback(&a) && !net_is_ours(&a));
	check(!net_is_ours(&none) && !net_is_any(&none) && !net_is_loopback(&none));
	check_str(net_host_text(&none, out), "?");
}

TEST(advertise_keeps_what_is_fixed)
{
	union sockaddr_any a = addr("192.0.2.77:81");
	char out[NET_TEXT_MAX];

	check_str(net_advertise(&a, out), "192.0.2.77:81");
	a = addr("127.0.0.1:81");
	check_str(net_advertise(&a, out), "127.0.0.1:81");
}

/* A wildcard becomes an address with the same port, of a family that reaches it. */
TEST(advertise_replaces_the_wildcard)
{
	union sockaddr_any a = addr("0.0.0.0:81"), got;
	char out[NET_TEXT_MAX];
	socklen_t len;

	need(net_parse(bytes_str(net_advertise(&a, out)), &got, &len));
	check_int(got.sa.sa_family, AF_INET);
	check(got.in.sin_port == a.in.sin_port);
	a = addr("[::]:81");
	need(net_parse(bytes_str(net_advertise(&a, out)), &got, &len));
	check(got.in.sin_port == a.in6.sin6_port);
}

TEST(uuid)
{
	char a[37], b[37];

	net_uuid(a);
	net_uuid(b);
	check_int(strlen(a), 36);
	check(strcmp(a, b) != 0);
	for (int i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23)
			check(a[i] == '-');
		else
			check(strchr("0123456789abcdef", a[i]));
	}
	check(a[14] == '4');
	check(strchr("89ab", a[19]));
}

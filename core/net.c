/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text, which of them are this machine's, and which of them to
 * tell others. getifaddrs() costs a netlink dump, so who asks about every
 * packet is answered from a list that is at most a second old.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "core/net.h"
#include "core/text.h"

enum {
	OURS_MAX = 256,			/* addresses kept; with more, each call looks */
	OURS_MAX_AGE_S = 1
};

/* An address as 16 bytes, IPv4 as ::ffff:a.b.c.d, so that one comparison does. */
struct addr16 {
	unsigned char b[16];
};

static const unsigned char mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool
to_addr16(const struct sockaddr *sa, struct addr16 *out)
{
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(out->b, mapped_prefix, sizeof mapped_prefix);
		memcpy(out->b + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
		return true;
	case AF_INET6:
		memcpy(out->b, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
		return true;
	default:
		return false;
	}
}

static bool
is_v4(const struct addr16 *a)
{
	return memcmp(a->b, mapped_prefix, sizeof mapped_prefix) == 0;
}

static bool
is_loopback(const struct addr16 *a)
{
	static const unsigned char one[16] = { [15] = 1 };

	return is_v4(a) ? a->b[12] == 127 : memcmp(a->b, one, 16) == 0;
}

/* 10/8, 172.16/12, 192.168/16, fc00::/7 */
static bool
is_private(const struct addr16 *a)
{
	if (!is_v4(a))
		return (a->b[0] & 0xfe) == 0xfc;
	return a->b[12] == 10 || (a->b[12] == 172 && (a->b[13] & 0xf0) == 16) ||
		(a->b[12] == 192 && a->b[13] == 168);
}

/* fe80::/10: means nothing without an interface, so it is no use to others. */
static bool
is_link_local6(const struct addr16 *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool
net_split(struct bytes address, struct bytes *host, struct bytes *port)
{
	const char *p = address.p, *end, *colon;

	if (address.n == 0)
		return false;
	end = p + address.n;
	if (*p == '[') {
		const char *close = memchr(p, ']', address.n);

		if (!close || end - close < 3 || close[1] != ':')
			return false;
		*host = bytes_of(p + 1, (size_t)(close - p) - 1);
		colon = close + 1;
	} else {
		colon = memchr(p, ':', address.n);
		if (!colon || colon + 1 == end)
			return false;
		*host = bytes_of(p, (size_t)(colon - p));
	}
	*port = bytes_of(colon + 1, (size_t)(end - colon) - 1);
	return !memchr(port->p, ':', port->n);
}

bool
net_parse(struct bytes address, union sockaddr_any *out, socklen_t *len)
{
	struct bytes host, port;
	char text[INET6_ADDRSTRLEN];
	unsigned n = 0;

	if (!net_split(address, &host, &port) || host.n >= sizeof text || port.n > 5)
		return false;
	if (memchr(host.p, '\0', host.n))
		return false;
	for (size_t i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
		n = n * 10 + (unsigned)(port.p[i] - '0');
	}
	if (n > 65535)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	memset(out, 0, sizeof *out);
	if (*address.p != '[' && inet_pton(AF_INET, text, &out->in.sin_addr) == 1) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons((uint16_t)n);
		*len = sizeof out->in;
		return true;
	}
	if (*address.p == '[' && inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons((uint16_t)n);
		*len = sizeof out->in6;
		return true;
	}
	return false;
}

void
net_set_port(union sockaddr_any *a, unsigned port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons((uint16_t)port);
	else
		a->in.sin_port = htons((uint16_t)port);
}

const char *
net_host_text(const union sockaddr_any *a, char *out)
{
	const void *addr = a->sa.sa_family == AF_INET6 ? (const void *)&a->in6.sin6_addr :
		(const void *)&a->in.sin_addr;

	if ((a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6) ||
	    !inet_ntop(a->sa.sa_family, addr, out, NET_TEXT_MAX))
		memcpy(out, "?", 2);
	return out;
}

const char *
net_text(const union sockaddr_any *a, char *out)
{
	char host[NET_TEXT_MAX];

	net_host_text(a, host);
	if (a->sa.sa_family == AF_INET6)
		snprintf(out, NET_TEXT_MAX, "[%.46s]:%u", host, ntohs(a->in6.sin6_port));
	else
		snprintf(out, NET_TEXT_MAX, "%.46s:%u", host,
			a->sa.sa_family == AF_INET ? ntohs(a->in.sin_port) : 0u);
	return out;
}

bool
net_is_loopback(const union sockaddr_any *a)
{
	struct addr16 x;

	return to_addr16(&a->sa, &x) && is_loopback(&x);
}

bool
net_is_any(const union sockaddr_any *a)
{
	static const unsigned char zero[16];
	struct addr16 x;

	if (!to_addr16(&a->sa, &x))
		return false;
	return memcmp(x.b, zero, 16) == 0 || (is_v4(&x) && memcmp(x.b + 12, zero, 4) == 0);
}

/* A list per thread: loops are not shared, and neither is this. */
static __thread struct {
	struct addr16 addr[OURS_MAX];
	size_t n;
	bool complete;			/* false: there are more than fit */
	time_t read_s;			/* 0: never */
} ours;

static bool
ours_read(const struct addr16 *want)
{
	struct ifaddrs *list;
	struct addr16 a;
	bool found = false;

	ours.n = 0;
	ours.complete = true;
	if (getifaddrs(&list) != 0)
		return false;
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		if (!i->ifa_addr || !to_addr16(i->ifa_addr, &a))
			continue;
		found = found || memcmp(&a, want, sizeof a) == 0;
		if (ours.n < OURS_MAX)
			ours.addr[ours.n++] = a;
		else
			ours.complete = false;
	}
	freeifaddrs(list);
	return found;
}

bool
net_is_ours(const union sockaddr_any *a)
{
	struct addr16 want;
	struct timespec now;

	if (!to_addr16(&a->sa, &want))
		return false;
	if (is_loopback(&want))
		return true;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (!ours.complete || ours.read_s == 0 || now.tv_sec - ours.read_s > OURS_MAX_AGE_S) {
		ours.read_s = now.tv_sec + !now.tv_sec;
		return ours_read(&want);
	}
	for (size_t i = 0; i < ours.n; i++)
		if (memcmp(&ours.addr[i], &want, sizeof want) == 0)
			return true;
	return false;
}

/* Lower is better: private, other, loopback; of equals the first in go-micro's
 * order: interfaces by index, IPv4 before IPv6, loopback interfaces last. */
static uint64_t
advertise_rank(const struct ifaddrs *i, const struct addr16 *a)
{
	uint64_t rank = is_loopback(a) ? 2 : !is_private(a);

	rank = rank << 1 | ((i->ifa_flags & IFF_LOOPBACK) != 0);
	rank = rank << 32 | (if_nametoindex(i->ifa_name) & 0x7fffffff) << 1;
	return rank | !is_v4(a);
}

/*
 * go-micro takes an address of either family whatever was bound, and a
 * link-local one where there is nothing better; both would only be failures of
 * those who connect, so here an IPv4 socket gets an IPv4 address, and nobody
 * gets fe80::.
 */
const char *
net_advertise(const union sockaddr_any *bound, char *out)
{
	union sockaddr_any best = *bound;
	uint64_t best_rank = UINT64_MAX;
	struct ifaddrs *list;
	struct addr16 a;

	if (!net_is_any(bound) || getifaddrs(&list) != 0)
		return net_text(bound, out);
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		uint64_t rank;

		if (!i->ifa_addr || !to_addr16(i->ifa_addr, &a) || is_link_local6(&a))
			continue;
		if (bound->sa.sa_family == AF_INET && !is_v4(&a))
			continue;
		rank = advertise_rank(i, &a);
		if (rank >= best_rank)
			continue;
		best_rank = rank;
		memset(&best, 0, sizeof best);
		best.sa.sa_family = i->ifa_addr->sa_family;
		if (best.sa.sa_family == AF_INET) {
			memcpy(&best.in.sin_addr, a.b + 12, 4);
			best.in.sin_port = bound->sa.sa_family == AF_INET ? bound->in.sin_port :
				bound->in6.sin6_port;
		} else {
			memcpy(&best.in6.sin6_addr, a.b, 16);
			best.in6.sin6_port = bound->in6.sin6_port;
		}
	}
	freeifaddrs(list);
	return net_text(&best, out);
}

void
net_uuid(char out[37])
{
	unsigned char r[16];
	size_t got = 0;

	/* getrandom() of 16 bytes fails only where the system call is missing. */
	while (got < sizeof r) {
		ssize_t n = getrandom(r + got, sizeof r - got, 0);

		if (n < 0 && errno != EINTR)
			abort();
		got += n > 0 ? (size_t)n : 0;
	}
	r[6] = (r[6] & 0x0f) | 0x40;
	r[8] = (r[8] & 0x3f) | 0x80;
	hex_encode(out, r, 4);
	for (unsigned group = 0, from = 4; group < 4; group++) {
		unsigned len = group == 3 ? 6 : 2;

		out[from * 2 + group] = '-';
		hex_encode(out + from * 2 + group + 1, r + from, len);
		from += len;
	}
	out[36] = '\0';
}

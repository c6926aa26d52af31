/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces and sockets of the mdns registry.
 *
 * Every packet to the group names its interface and its source address
 * (IP_PKTINFO), for three reasons: without a route for 224.0.0.0/4 the kernel
 * knows no interface; with one it knows only that one; and on loopback it would
 * choose the source 0.0.0.0, to which nobody can answer.
 *
 * Programs of this machine all listen on loopback, so packets that leave by
 * another interface are not looped back as well: each hears a query once, and
 * not once for every bridge the machine has.
 *
 * IPv6 is used where an interface has no IPv4 address, and only there.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/registry/mdns.h"

enum {
	BATCH = 16,
	DRAIN_MAX = 256,		/* batches: nobody may keep us reading for ever, ... */
	DRAIN_MS = 100,			/* ... nor for long */
	PACKET_ROOM = 65536,
	RECEIVE_BUFFER = 1 << 20	/* a burst of answers of some thousand nodes */
};

struct mdns_batch {
	struct mmsghdr head[BATCH];
	struct iovec iov[BATCH];
	union sockaddr_any from[BATCH];
	char room[];			/* BATCH times; the kernel gives pages as used */
};

static const char group4[4] = { (char)224, 0, 0, (char)251 };
static const unsigned char group6[16] = { 0xff, 0x02, [15] = 0xfb };

/* ---- interfaces ---- */

static bool
in_list(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len == n && memcmp(p, name, n) == 0)
			return true;
		p += len;
	}
	return false;
}

static bool
is_wanted(const struct mdns *m, const struct ifaddrs *i)
{
	unsigned flags = i->ifa_flags;

	if (!(flags & IFF_UP) || !(flags & (IFF_LOOPBACK | IFF_MULTICAST)))
		return false;
	return (flags & IFF_LOOPBACK) || !m->interfaces || in_list(m->interfaces, i->ifa_name);
}

static struct mdns_if *
find_if(struct mdns *m, unsigned index)
{
	for (size_t k = 0; k < m->nifs; k++)
		if (m->ifs[k].index == index)
			return &m->ifs[k];
	return NULL;
}

/* The first address of an interface is taken, IPv4 before IPv6. */
static void
take_if(struct mdns *m, const struct ifaddrs *i)
{
	bool loopback = i->ifa_flags & IFF_LOOPBACK;
	unsigned index = if_nametoindex(i->ifa_name);
	struct mdns_if *f;

	if (index == 0 || find_if(m, index))
		return;
	m->ifs = xrealloc(m->ifs, (m->nifs + 1) * sizeof *m->ifs);
	f = &m->ifs[m->nifs++];
	if (loopback && m->nifs > 1) {
		*f = m->ifs[0];
		f = &m->ifs[0];
	}
	f->index = index;
	f->loopback = loopback;
	f->v6 = i->ifa_addr->sa_family == AF_INET6;
	if (!f->v6)
		f->addr = ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
}

/* A name in mdns.interface that no interface has is a mistake. */
static int
check_names(const struct mdns *m, struct error *err)
{
	for (const char *p = m->interfaces; p && *p; p += *p == ',') {
		size_t len = strcspn(p, ",");
		char name[IF_NAMESIZE];

		if (len < sizeof name) {
			memcpy(name, p, len);
			name[len] = '\0';
		}
		if (len >= sizeof name || (len && if_nametoindex(name) == 0))
			return error_set(err, ERR_USAGE,
				"mdns.interface: no interface is named %.*s", (int)len, p);
		p += len;
	}
	return 0;
}

int
mdns_interfaces(struct mdns *m, struct error *err)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	struct ifaddrs *list;

	if (check_names(m, err) < 0)
		return -1;
	if (getifaddrs(&list) != 0)
		return error_sys(err, ERR_CONNECT, "mdns: cannot list the network interfaces");
	m->nifs = m->nlinks = 0;
	for (struct ifaddrs *i = list; i; i = i->ifa_next)
		if (i->ifa_addr && (i->ifa_flags & IFF_UP) &&
		    (!m->interfaces || in_list(m->interfaces, i->ifa_name)))
			mdns_link(m, i);
	for (size_t f = 0; f < 2; f++)
		for (struct ifaddrs *i = list; i; i = i->ifa_next)
			if (i->ifa_addr && i->ifa_addr->sa_family == families[f] &&
			    is_wanted(m, i))
				take_if(m, i);
	freeifaddrs(list);
	if (m->nifs == 0)
		return error_set(err, ERR_CONNECT, "mdns: no network interface is up");
	return 0;
}

bool
mdns_needs_v6(const struct mdns *m)
{
	for (size_t i = 0; i < m->nifs; i++)
		if (m->ifs[i].v6)
			return true;
	return false;
}

/* ---- receiving ---- */

static struct mdns_batch *
new_batch(void)
{
	struct mdns_batch *b = xmalloc(sizeof *b + BATCH * (size_t)PACKET_ROOM);

	memset(b, 0, sizeof *b);
	for (size_t i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->room + i * PACKET_ROOM, PACKET_ROOM };
		b->head[i].msg_hdr.msg_iov = &b->iov[i];
		b->head[i].msg_hdr.msg_iovlen = 1;
		b->head[i].msg_hdr.msg_name = &b->from[i];
	}
	return b;
}

void
mdns_receive(struct mdns_socket *s, bool all)
{
	struct mdns_batch *b = s->m->batch;
	uint64_t end = loop_clock_ns() + DRAIN_MS * 1000000ull;
	int n, turns = 0;

	do {
		for (size_t i = 0; i < BATCH; i++)
			b->head[i].msg_hdr.msg_namelen = sizeof b->from[i];
		n = recvmmsg(s->watch.fd, b->head, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct mdns_packet packet = { b->iov[i].iov_base, b->head[i].msg_len,
				&b->from[i], b->head[i].msg_hdr.msg_namelen };

			s->packet(s, &packet);
			/* A callback of the user may have closed it. */
			if (s->watch.fd < 0)
				return;
		}
	} while (all && n == BATCH && ++turns < DRAIN_MAX && loop_clock_ns() < end);
}

static void
readable(struct loop_fd *w, unsigned ready)
{
	(void)ready;
	mdns_receive(w->arg, false);
}

/* ---- sockets ---- */

static void
start_socket(struct mdns *m, struct mdns_socket *s)
{
	s->m = m;
	s->watch.fd = -1;
	s->watch.fn = readable;
	s->watch.arg = s;
}

void
mdns_close(struct mdns_socket *s)
{
	if (s->watch.fd < 0)
		return;
	loop_fd_del(s->m->base.loop, &s->watch);
	close(s->watch.fd);
	s->watch.fd = -1;
}

static int
socket_failed(int fd, struct error *err, const char *what)
{
	error_sys(err, ERR_CONNECT, "mdns: %s", what);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
watch_socket(struct mdns *m, struct mdns_socket *s, int fd, struct error *err)
{
	if (!m->batch)
		m->batch = new_batch();
	if (loop_fd_add(m->base.loop, &s->watch, fd, LOOP_READ, err) < 0) {
		close(fd);
		s->watch.fd = -1;
		return -1;
	}
	return 0;
}

/* Where the user's choice comes down to one interface, the port is not even open
 * to the others. */
static void
bind_to_only(const struct mdns *m, int fd)
{
	char name[IF_NAMESIZE];

	for (size_t i = 1; i < m->nifs; i++)
		if (m->ifs[i].index != m->ifs[0].index)
			return;
	if (m->interfaces && m->nifs && if_indextoname(m->ifs[0].index, name) &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)) < 0)
		log_debug("mdns: cannot bind to %s: %s", name, strerror(errno));
}

static int
udp_socket(struct mdns *m, struct mdns_socket *s, bool v6, struct error *err)
{
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, size = RECEIVE_BUFFER;

	if (fd < 0)
		return socket_failed(fd, err, "cannot open a UDP socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	bind_to_only(m, fd);
	s->v6 = v6;
	s->loop = true;			/* as the kernel begins */
	return fd;
}

int
mdns_open(struct mdns *m, struct mdns_socket *s, bool v6, struct error *err)
{
	int fd;

	start_socket(m, s);
	fd = udp_socket(m, s, v6, err);
	return fd < 0 ? -1 : watch_socket(m, s, fd, err);
}

/* Joining twice is an error that means all is well. A kernel that allows only so
 * many (igmp_max_memberships) serves the first ones, loopback among them. */
static void
join_all(struct mdns *m, struct mdns_socket *s)
{
	for (size_t i = 0; i < m->nifs; i++) {
		const struct mdns_if *f = &m->ifs[i];
		struct ip_mreqn four = { .imr_address = f->addr, .imr_ifindex = (int)f->index };
		struct ipv6_mreq six = { .ipv6mr_interface = f->index };
		int rc;

		if (f->v6 != s->v6)
			continue;
		memcpy(&four.imr_multiaddr, group4, sizeof group4);
		memcpy(&six.ipv6mr_multiaddr, group6, sizeof group6);
		rc = s->v6 ? setsockopt(s->watch.fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &six,
				sizeof six) :
			setsockopt(s->watch.fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &four, sizeof four);
		if (rc < 0 && errno != EADDRINUSE)
			log_debug("mdns: interface %u cannot be listened on: %s", f->index,
				strerror(errno));
	}
}

static void
port_packet(struct mdns_socket *s, const struct mdns_packet *packet)
{
	struct micro_reader reader;
	struct micro_instance in;
	struct dns_reader dns;

	if (!dns_open(&dns, packet->p, packet->n)) {
		log_debug("mdns: a packet of %zu bytes is no DNS message", packet->n);
		return;
	}
	if (!(dns.flags & DNS_FLAG_QR)) {
		mdns_answer(s->m, packet, &dns);
		return;
	}
	s->m->cost = 0;
	micro_read(&reader, &dns);
	while (!mdns_overspent(s->m) && micro_next(&reader, &in) > 0) {
		s->m->cost += MDNS_NODE_COST;
		mdns_dispute(s->m, &in, packet->from);
		mdns_announced(s->m, &in, packet->from);
	}
}

static int
open_port(struct mdns *m, struct mdns_socket *s, bool v6, struct error *err)
{
	union sockaddr_any a = {
		.in6 = { .sin6_family = AF_INET6, .sin6_port = htons(MDNS_PORT) } };
	int fd = udp_socket(m, s, v6, err), one = 1;

	if (fd < 0)
		return -1;
	if (!v6)
		a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(MDNS_PORT) };
	/* As go-micro's library shares it; SO_REUSEPORT would share with fewer. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, &a.sa, v6 ? sizeof a.in6 : sizeof a.in) < 0)
		return socket_failed(fd, err, "UDP port 5353 cannot be shared");
	s->packet = port_packet;
	return watch_socket(m, s, fd, err);
}

/* An interface or an address came or went. What came is not looked at: the list
 * is read anew, which is rare. */
static void
interfaces_changed(struct loop_fd *w, unsigned ready)
{
	struct mdns *m = ((struct mdns_socket *)w->arg)->m;
	struct error err = ERROR_INIT;
	char skip[8192];

	(void)ready;
	while (recv(w->fd, skip, sizeof skip, MSG_DONTWAIT) > 0)
		;
	if (mdns_interfaces(m, &err) < 0) {
		log_debug("%s", err.text);
		return;
	}
	if (m->port6.watch.fd < 0 && mdns_needs_v6(m) && open_port(m, &m->port6, true, &err) < 0)
		log_debug("%s", err.text);
	join_all(m, &m->port4);
	if (m->port6.watch.fd >= 0)
		join_all(m, &m->port6);
}

/* Without it (some sandboxes refuse) new interfaces are just not noticed. */
static void
watch_interfaces(struct mdns *m)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	struct error err = ERROR_INIT;

	if (fd < 0)
		return;
	m->changes.watch.fn = interfaces_changed;
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    loop_fd_add(m->base.loop, &m->changes.watch, fd, LOOP_READ, &err) < 0) {
		close(fd);
		m->changes.watch.fd = -1;
	}
}

int
mdns_open_port(struct mdns *m, struct error *err)
{
	struct error ignored = ERROR_INIT;

	if (m->port4.watch.fd >= 0)
		return 0;
	if (mdns_interfaces(m, err) < 0 || open_port(m, &m->port4, false, err) < 0)
		return -1;
	join_all(m, &m->port4);
	if (mdns_needs_v6(m) && open_port(m, &m->port6, true, &ignored) == 0)
		join_all(m, &m->port6);
	watch_interfaces(m);
	return 0;
}

/* ---- sending ---- */

static void
set_loop(struct mdns_socket *s, bool on)
{
	int value = on;

	if (s->loop == on)
		return;
	if (s->v6)
		setsockopt(s->watch.fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &value, sizeof value);
	else
		setsockopt(s->watch.fd, IPPROTO_IP, IP_MULTICAST_LOOP, &value, sizeof value);
	s->loop = on;
}

static bool
send_by(struct mdns_socket *s, const struct mdns_if *f, struct bytes packet)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { .room = { 0 } };
	union sockaddr_any to = { .in = { .sin_family = AF_INET, .sin_port = htons(MDNS_PORT) } };
	struct iovec iov = { (void *)(uintptr_t)packet.p, packet.n };
	struct msghdr msg = { .msg_name = &to, .msg_namelen = sizeof to.in, .msg_iov = &iov,
		.msg_iovlen = 1 };

	if (f->v6) {
		to.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
			.sin6_port = htons(MDNS_PORT), .sin6_scope_id = f->index };
		memcpy(&to.in6.sin6_addr, group6, sizeof group6);
		msg.msg_namelen = sizeof to.in6;
	} else {
		struct in_pktinfo info = { .ipi_ifindex = (int)f->index, .ipi_spec_dst = f->addr };

		memcpy(&to.in.sin_addr, group4, sizeof group4);
		control.align.cmsg_level = IPPROTO_IP;
		control.align.cmsg_type = IP_PKTINFO;
		control.align.cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(&control.align), &info, sizeof info);
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control;
	}
	return sendmsg(s->watch.fd, &msg, MSG_DONTWAIT) >= 0;
}

unsigned
mdns_multicast(struct mdns_socket *s, struct bytes packet, bool loopback_only)
{
	const struct mdns *m = s->m;
	/* Loopback is served by one family, and all programs of this machine listen there:
	 * the other family's socket need not be heard by them. */
	bool on_loopback = m->nifs && m->ifs[0].loopback && m->ifs[0].v6 != s->v6;
	unsigned sent = 0;

	for (size_t i = 0; i < m->nifs; i++) {
		const struct mdns_if *f = &m->ifs[i];

		if (f->v6 != s->v6 || (loopback_only && !f->loopback))
			continue;
		set_loop(s, f->loopback || !on_loopback);
		if (send_by(s, f, packet)) {
			sent++;
			on_loopback = on_loopback || f->loopback;
		} else {
			int saved = errno;

			log_debug("mdns: cannot send by interface %u: %s", f->index,
				strerror(saved));
			errno = saved;
		}
	}
	return sent;
}

void
mdns_socket_init(struct mdns *m)
{
	start_socket(m, &m->port4);
	start_socket(m, &m->port6);
	start_socket(m, &m->changes);
}

void
mdns_socket_release(struct mdns *m)
{
	mdns_close(&m->port4);
	mdns_close(&m->port6);
	mdns_close(&m->changes);
	free(m->batch);
	free(m->ifs);
}

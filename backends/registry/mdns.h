/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the mdns registry have in common.
 *
 *	mdns.c		options, the ops
 *	mdns_allow.c	what is believed
 *	mdns_socket.c	interfaces, sockets, sending to all, receiving in batches
 *	mdns_query.c	lookups: from an ephemeral port, as go-micro asks
 *	mdns_backlog.c	has this machine read the question?
 *	mdns_respond.c	our own nodes: answers, probes, announcements, goodbyes
 *	mdns_watch.c	other nodes' announcements
 *
 * Port 5353 is opened by the first node registered or the first watch; a lookup
 * needs only its own socket. release() must not be called from a callback; all
 * else may.
 */
#ifndef MBUS_REGISTRY_MDNS_H
#define MBUS_REGISTRY_MDNS_H

#include "backends/proto/micro_dns.h"
#include "backends/proto/micro_txt.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/net.h"
#include "core/registry.h"

struct ifaddrs;

enum { MDNS_PORT = 5353 };

/* What one packet may cost, in bytes of metadata; go-micro's packets have a node
 * each. What comes behind in that packet is not looked at. */
enum { MDNS_PACKET_COST = 1 << 20, MDNS_NODE_COST = 256 };

struct mdns;

/* An interface that packets go out of: up, with an address of the family, and
 * either loopback or able to multicast. Loopback first. */
struct mdns_if {
	unsigned index;
	bool loopback;
	bool v6;			/* it has no IPv4 address: ff02::fb is used */
	struct in_addr addr;		/* its first one, without v6 */
};

struct mdns_net {
	unsigned char b[16];		/* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;
};

struct mdns_packet {
	const char *p;
	size_t n;
	const union sockaddr_any *from;
	socklen_t from_len;
};

/* A UDP socket and who is told of its packets. */
struct mdns_socket {
	struct loop_fd watch;		/* fd -1: not open */
	struct mdns *m;
	void (*packet)(struct mdns_socket *, const struct mdns_packet *);
	void *arg;
	bool v6;
	bool loop;			/* the state of IP_MULTICAST_LOOP */
};

struct mdns_round;
struct mdns_entry;
struct mdns_known;
struct mdns_batch;

enum mdns_wait { MDNS_QUICK, MDNS_FULL };

struct mdns {
	struct registry base;
	struct dns_name domain;		/* "micro." */
	struct dns_name host;		/* "vm.": the target of our SRVs */
	int wait;			/* -X: enum mdns_wait */
	const char *interfaces;		/* "eth0,eth1"; NULL: all */
	const char *domain_given, *allow_given;

	unsigned allow;			/* mdns.allow: its words, as bits */
	struct mdns_net *allowed;	/* and its networks */
	size_t nallowed;
	struct mdns_net *links;		/* networks that this machine is in */
	size_t nlinks;

	struct mdns_if *ifs;
	size_t nifs;
	struct mdns_socket port4, port6;	/* 5353 */
	struct mdns_socket changes;	/* netlink: interfaces came or went */
	struct mdns_batch *batch;	/* memory for received packets */

	struct mdns_round *rounds;
	struct loop_task sweep;		/* frees rounds that have ended */

	struct mdns_entry *entries;
	struct buf out;			/* the packet being made */

	struct watch *watches, *next_watch;
	struct mdns_known **known;	/* instances that were announced, by name */
	size_t nknown;
	uint64_t known_seed;

	struct micro_txt txt;		/* of the packet being read */
	struct buf text;		/* likewise: the node's id */
	size_t cost;			/* of that packet so far */
};

/* ---- mdns_socket.c ---- */

void mdns_socket_init(struct mdns *);
void mdns_socket_release(struct mdns *);
/* Reads the list of interfaces anew. -1: there is none to send from. */
int mdns_interfaces(struct mdns *, struct error *);
/* An ephemeral port; arg is for packet(). */
int mdns_open(struct mdns *, struct mdns_socket *, bool v6, struct error *);
void mdns_close(struct mdns_socket *);
/* Port 5353 with the group joined on every interface. Idempotent. */
int mdns_open_port(struct mdns *, struct error *);
/* To the group, out of every interface that this socket's family serves. How
 * many times it was sent. Sent to programs of this machine once: on loopback. */
unsigned mdns_multicast(struct mdns_socket *, struct bytes packet, bool loopback_only);
/* Reads what is there, a batch or (all) until nothing is left. */
void mdns_receive(struct mdns_socket *, bool all);
/* Some interface is reached by IPv6 only. */
bool mdns_needs_v6(const struct mdns *);

/* ---- mdns_backlog.c ---- */

enum mdns_backlog { MDNS_BACKLOG_NONE, MDNS_BACKLOG_SOME, MDNS_BACKLOG_UNKNOWN };

/* Does a socket of this machine at port 5353 have packets that were not read? */
enum mdns_backlog mdns_backlog(struct mdns *, bool v6_too);

/* ---- mdns.c ---- */

/* The address part of an instance, with its port. */
void mdns_address(const struct micro_instance *, union sockaddr_any *);

/* Reads its TXT into m->txt, on the packet's account. NULL, or why it cannot be. */
const char *mdns_read_txt(struct mdns *, const struct micro_instance *);
/* Has this packet cost more than one may? */
bool mdns_overspent(const struct mdns *);

/* ---- mdns_allow.c ---- */

int mdns_allow(struct mdns *, const char *list, struct error *);
void mdns_allow_release(struct mdns *);
/* Notes the network of an interface's address. */
void mdns_link(struct mdns *, const struct ifaddrs *);
/* NULL, or why nobody could use such a node: a literal. */
const char *mdns_unusable(const struct micro_instance *);
/* NULL, or why a node that says this from that address is not believed: a literal. */
const char *mdns_disbelieve(const struct mdns *, const struct micro_instance *,
	const union sockaddr_any *from);
/* Is that a machine to listen to at all? */
bool mdns_is_near(const struct mdns *, const union sockaddr_any *from);
/* May the machine have said it that the node's address is of? */
bool mdns_is_from_node(const struct micro_instance *, const union sockaddr_any *from);

/* ---- mdns_query.c ---- */

int mdns_get(struct registry *, struct bytes name, struct lookup *, struct error *);
int mdns_list(struct registry *, struct lookup *, struct error *);
void mdns_cancel(struct registry *, struct lookup *);
void mdns_query_release(struct mdns *);

/* ---- mdns_respond.c ---- */

int mdns_add(struct registry *, const struct service *, unsigned ttl_ms, struct registry_reply *,
	struct error *);
void mdns_remove(struct registry *, const struct service *);
void mdns_respond_release(struct mdns *);
/* A query on port 5353. */
void mdns_answer(struct mdns *, const struct mdns_packet *, const struct dns_reader *);
/* Somebody announces an instance: is it one of ours, and another's? */
void mdns_dispute(struct mdns *, const struct micro_instance *, const union sockaddr_any *from);

/* ---- mdns_watch.c ---- */

int mdns_watch(struct registry *, struct watch *, struct error *);
void mdns_unwatch(struct registry *, struct watch *);
void mdns_watch_release(struct mdns *);
void mdns_announced(struct mdns *, const struct micro_instance *, const union sockaddr_any *from);

#endif

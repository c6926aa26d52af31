/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets of go-micro's mdns registry, over dns.h: what its nodes ask,
 * answer and announce, byte for byte, and what is taken from theirs. No I/O.
 *
 *	greeter.micro.			the service: asked for by type PTR
 *	greeter-1.greeter.micro.	an instance: node id, service, domain
 *	_services.micro.		its instances are the names of services
 */
#ifndef MBUS_PROTO_MICRO_DNS_H
#define MBUS_PROTO_MICRO_DNS_H

#include "backends/proto/dns.h"

enum { MICRO_TTL = 120, MICRO_LIST_PORT = 9999 };

/* What one node says: SRV, A or AAAA, TXT. */
struct micro_instance {
	struct dns_name name;		/* "greeter-1.greeter.micro." */
	struct dns_name service;	/* "greeter.micro."; not set when read */
	struct dns_name host;		/* "vm."; likewise */
	uint16_t port;
	bool v6;
	unsigned char addr[16];		/* 4 or 16 bytes */
	bool has_addr;			/* always, when written */
	uint32_t ttl;			/* when read: of its last record */
	struct bytes txt;		/* character-strings (micro_txt.h) */
};

/* <id>.<service>.<domain>.: NULL, or why there cannot be such a name. */
const char *micro_name(struct dns_name *, struct bytes id, const struct dns_name *service);
/* <service>.<domain>.: likewise. */
const char *micro_service_name(struct dns_name *, struct bytes service,
	const struct dns_name *domain);

/* What a lookup sends: 41 bytes for micro.http.broker. */
void micro_add_query(struct buf *, uint16_t id, const struct dns_name *service);
/* Appends the answer of this instance to a query; false (nothing is appended): it
 * has none. The query is read from its beginning. */
bool micro_add_answer(struct buf *, const struct dns_reader *query, const struct micro_instance *);
void micro_add_probe(struct buf *, uint16_t id, const struct micro_instance *);
/* ttl 0: goodbye. */
void micro_add_announcement(struct buf *, uint32_t ttl, const struct micro_instance *);

/* The instances in a response, one after the other: each SRV begins one, and
 * what follows up to the next is its. An A goes before an AAAA. Nothing is
 * asked of the order of answer and question, nor of the echoed question, which
 * v1 leaves out. */
struct micro_reader {
	struct dns_reader dns;
	struct dns_record rr;
	bool pending;			/* rr is a SRV not yet taken */
};

void micro_read(struct micro_reader *, const struct dns_reader *);
/* 1; no more: 0; malformed: -1. txt borrows from the packet; it may be empty. */
int micro_next(struct micro_reader *, struct micro_instance *);

#endif

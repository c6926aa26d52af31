/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, as mDNS uses them) as codec: names, a reader that
 * walks a packet in place, a writer that appends one to a buffer. No sockets,
 * no clocks, nothing allocated by the reader. What a packet says to go-micro is
 * the business of micro_dns.h.
 *
 * A packet comes from anybody on the network: every length is checked, and a
 * compression pointer may only point backwards, so that reading always ends.
 */
#ifndef MBUS_PROTO_DNS_H
#define MBUS_PROTO_DNS_H

#include <stdint.h>

#include "core/buf.h"

enum {
	DNS_NAME_MAX = 255,		/* octets on the wire, root label included */
	DNS_LABEL_MAX = 63,
	DNS_PACKET_MAX = 65507,		/* what UDP over IPv4 carries */
	DNS_HEAD_SIZE = 12
};

enum dns_type {
	DNS_A = 1, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_ANY = 255
};

enum { DNS_IN = 1, DNS_CLASS_MASK = 0x7fff, DNS_TOP_BIT = 0x8000 };	/* QU, cache flush */

enum {
	DNS_FLAG_QR = 0x8000, DNS_FLAG_AA = 0x0400,
	DNS_OPCODE_MASK = 0x7800, DNS_RCODE_MASK = 0x000f
};

/* A name on the wire without compression: labels with their lengths, then the
 * root label. Bytes are compared exactly: go-micro does not fold case. */
struct dns_name {
	unsigned n;			/* 1 (the root alone) ... DNS_NAME_MAX */
	unsigned char b[DNS_NAME_MAX + 1];
};

/* From dotted text without a last dot; any byte but '.' may be in a label. NULL,
 * or why it cannot be a name: a string literal. */
const char *dns_name_set(struct dns_name *, struct bytes dotted);
/* Puts the labels of tail behind those of name. */
const char *dns_name_add(struct dns_name *, const struct dns_name *tail);
bool dns_name_eq(const struct dns_name *, const struct dns_name *);
/* Does name end in tail with at least one label before it? */
bool dns_name_is_under(const struct dns_name *, const struct dns_name *tail);
/* The labels before tail (of which name must be under), with dots between them;
 * tail NULL: all of them. */
void dns_name_text(struct buf *, const struct dns_name *, const struct dns_name *tail);

/* ---- reading ---- */

struct dns_reader {
	const unsigned char *p;
	size_t n, at;
	uint16_t id, flags;
	unsigned questions, records;	/* left: answers, authority and additional are one run */
	unsigned answers, authority, additional;	/* as the head says */
};

struct dns_question {
	struct dns_name name;
	uint16_t type, class;
};

struct dns_record {
	struct dns_name name;
	uint16_t type, class;
	uint32_t ttl;
	const unsigned char *data;
	size_t ndata;
};

struct dns_srv {
	uint16_t priority, weight, port;
	struct dns_name target;
};

/* false: too short for a head. */
bool dns_open(struct dns_reader *, const void *p, size_t n);
/* One question, resp. record: 1; no more of them: 0; malformed: -1. Records
 * begin behind the questions, which are skipped if they were not read. */
int dns_next_question(struct dns_reader *, struct dns_question *);
int dns_next_record(struct dns_reader *, struct dns_record *);
/* The data of a SRV. false: malformed. */
bool dns_read_srv(const struct dns_reader *, const struct dns_record *, struct dns_srv *);
/* Joins the character-strings of a TXT. false: malformed. */
bool dns_read_txt(struct bytes data, struct buf *out);

/* ---- writing ---- */

enum { DNS_COMPRESS_MAX = 64 };

/* One message, appended to a buffer. Names are compressed as go-micro's library
 * does it: the longest suffix seen before; a SRV's target is written out, but
 * may be pointed at. */
struct dns_writer {
	struct buf *out;
	size_t base;			/* where the message begins */
	bool compress;
	unsigned nnames;
	uint16_t names[DNS_COMPRESS_MAX];	/* offsets of suffixes that can be pointed at */
};

enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

void dns_begin(struct dns_writer *, struct buf *out, uint16_t id, uint16_t flags, bool compress);
void dns_add_question(struct dns_writer *, const struct dns_name *, uint16_t type, uint16_t class);
void dns_add_ptr(struct dns_writer *, enum dns_section, const struct dns_name *, uint32_t ttl,
	const struct dns_name *target);
void dns_add_srv(struct dns_writer *, enum dns_section, const struct dns_name *, uint32_t ttl,
	const struct dns_srv *);
/* An A (4 bytes), AAAA (16) or TXT (character-strings as dns_add_strings() makes
 * them) record. */
void dns_add_data(struct dns_writer *, enum dns_section, const struct dns_name *, uint16_t type,
	uint32_t ttl, struct bytes data);
/* Text as character-strings of 255 bytes, the last one shorter; none if empty. */
void dns_add_strings(struct buf *, struct bytes text);

#endif

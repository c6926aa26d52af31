/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of go-micro's mdns registry: see micro_dns.h. */
#include "backends/proto/micro_dns.h"

enum { PRIORITY = 10, WEIGHT = 1 };	/* of a SRV; both 0 in a probe */

/* What a question gets, as bits; in this order in the packet. */
enum { SAY_PTR = 1, SAY_SRV = 2, SAY_ADDR = 4, SAY_TXT = 8 };

const char *
micro_name(struct dns_name *out, struct bytes id, const struct dns_name *service)
{
	const char *why = dns_name_set(out, id);

	return why ? why : dns_name_add(out, service);
}

const char *
micro_service_name(struct dns_name *out, struct bytes service, const struct dns_name *domain)
{
	return micro_name(out, service, domain);
}

/* ---- writing ---- */

void
micro_add_query(struct buf *out, uint16_t id, const struct dns_name *service)
{
	struct dns_writer w;

	dns_begin(&w, out, id, 0, true);
	dns_add_question(&w, service, DNS_PTR, DNS_IN);
}

static unsigned
what_to_say(const struct micro_instance *in, const struct dns_question *q)
{
	unsigned addr = q->type == (in->v6 ? DNS_AAAA : DNS_A) ? SAY_ADDR : 0;

	if (dns_name_eq(&q->name, &in->service))
		return q->type == DNS_PTR || q->type == DNS_ANY ?
			SAY_PTR | SAY_SRV | SAY_ADDR | SAY_TXT : 0;
	if (dns_name_eq(&q->name, &in->name)) {
		switch (q->type) {
		case DNS_ANY:
			return SAY_SRV | SAY_ADDR | SAY_TXT;
		case DNS_SRV:
			return SAY_SRV | SAY_ADDR;
		case DNS_TXT:
			return SAY_TXT;
		default:
			return addr;
		}
	}
	return dns_name_eq(&q->name, &in->host) ? addr : 0;
}

static void
say(struct dns_writer *w, enum dns_section section, const struct micro_instance *in,
	unsigned what, uint32_t ttl)
{
	struct dns_srv srv = { PRIORITY, WEIGHT, in->port, in->host };

	if (section == DNS_AUTHORITY)
		srv.priority = srv.weight = 0;
	if (what & SAY_PTR)
		dns_add_ptr(w, section, &in->service, ttl, &in->name);
	if (what & SAY_SRV)
		dns_add_srv(w, section, &in->name, ttl, &srv);
	if (what & SAY_ADDR)
		dns_add_data(w, section, &in->host, in->v6 ? DNS_AAAA : DNS_A, ttl,
			bytes_of(in->addr, in->v6 ? 16 : 4));
	if (what & SAY_TXT)
		dns_add_data(w, section, &in->name, DNS_TXT, ttl, in->txt);
}

bool
micro_add_answer(struct buf *out, const struct dns_reader *query, const struct micro_instance *in)
{
	struct dns_reader r = *query;
	struct dns_question q;
	struct dns_writer w;
	unsigned what = 0;
	uint16_t id = 0;

	while (dns_next_question(&r, &q) > 0) {
		unsigned more = what_to_say(in, &q);

		what |= more;
		if (more && (q.class & DNS_TOP_BIT))
			id = query->id;
	}
	if (!what)
		return false;
	dns_begin(&w, out, id, DNS_FLAG_QR | DNS_FLAG_AA, true);
	for (r = *query; dns_next_question(&r, &q) > 0;)
		dns_add_question(&w, &q.name, q.type, q.class);
	/* Once, however often it is asked for: who forges a source would have its bytes
	 * multiplied. */
	say(&w, DNS_ANSWER, in, what, MICRO_TTL);
	return true;
}

void
micro_add_probe(struct buf *out, uint16_t id, const struct micro_instance *in)
{
	struct dns_writer w;

	dns_begin(&w, out, id, 0, false);
	dns_add_question(&w, &in->name, DNS_PTR, DNS_IN);
	say(&w, DNS_AUTHORITY, in, SAY_SRV | SAY_TXT, MICRO_TTL);
}

void
micro_add_announcement(struct buf *out, uint32_t ttl, const struct micro_instance *in)
{
	struct dns_writer w;

	dns_begin(&w, out, 0, DNS_FLAG_QR, false);
	say(&w, DNS_ANSWER, in, SAY_SRV | SAY_ADDR | SAY_TXT, ttl);
}

/* ---- reading ---- */

void
micro_read(struct micro_reader *r, const struct dns_reader *dns)
{
	r->dns = *dns;
	r->pending = false;
}

/* Takes an address or a TXT into the instance; others are not for us. */
static void
take_record(struct micro_instance *in, const struct dns_record *rr)
{
	if (rr->type == DNS_A && rr->ndata == 4 && !(in->has_addr && !in->v6)) {
		in->v6 = false;
		in->has_addr = true;
		memcpy(in->addr, rr->data, 4);
	} else if (rr->type == DNS_AAAA && rr->ndata == 16 && !in->has_addr) {
		in->v6 = true;
		in->has_addr = true;
		memcpy(in->addr, rr->data, 16);
	} else if (rr->type == DNS_TXT && dns_name_eq(&rr->name, &in->name)) {
		in->txt = bytes_of(rr->data, rr->ndata);
	} else {
		return;
	}
	in->ttl = rr->ttl;
}

int
micro_next(struct micro_reader *r, struct micro_instance *in)
{
	struct dns_srv srv;
	int rc = 1;

	while (!r->pending) {
		rc = dns_next_record(&r->dns, &r->rr);
		if (rc <= 0)
			return rc;
		r->pending = r->rr.type == DNS_SRV;
	}
	r->pending = false;
	if (!dns_read_srv(&r->dns, &r->rr, &srv))
		return -1;
	in->name = r->rr.name;
	in->port = srv.port;
	in->ttl = r->rr.ttl;
	in->v6 = in->has_addr = false;
	memset(in->addr, 0, sizeof in->addr);
	in->txt = bytes_of("", 0);
	while ((rc = dns_next_record(&r->dns, &r->rr)) > 0) {
		if (r->rr.type == DNS_SRV) {
			r->pending = true;
			return 1;
		}
		take_record(in, &r->rr);
	}
	return rc < 0 ? -1 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets on port 5353. Properties: reading ends, and yields names that are
 * names and bytes inside the packet; a query is answered by packets that read
 * back as the same instance with the question echoed; what is read of a response
 * and announced again reads the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "backends/proto/micro_dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

static void
check_name(const struct dns_name *n)
{
	unsigned at = 0;

	must(n->n >= 1 && n->n <= DNS_NAME_MAX);
	while (n->b[at]) {
		must(n->b[at] <= DNS_LABEL_MAX);
		at += n->b[at] + 1u;
		must(at < n->n);
	}
	must(at + 1 == n->n);
}

/* Set from the text of its labels, a name without dots in them is the same. */
static void
check_text(const struct dns_name *n)
{
	struct buf text = BUF_INIT;
	struct dns_name again;
	bool dots = false;

	for (unsigned at = 0; n->b[at]; at += n->b[at] + 1u)
		dots = dots || memchr(n->b + at + 1, '.', n->b[at]);
	dns_name_text(&text, n, NULL);
	if (!dots && n->n > 1) {
		must(!dns_name_set(&again, buf_bytes(&text)));
		must(dns_name_eq(n, &again));
	}
	buf_release(&text);
}

static void
check_same(const struct micro_instance *a, const struct micro_instance *b)
{
	must(dns_name_eq(&a->name, &b->name));
	must(a->port == b->port && a->has_addr == b->has_addr && a->v6 == b->v6);
	must(memcmp(a->addr, b->addr, a->v6 ? 16 : 4) == 0);
	must(bytes_eq(a->txt, b->txt));
}

static void
check_one(const struct buf *packet, const struct micro_instance *in, uint32_t ttl)
{
	struct micro_instance got;
	struct micro_reader r;
	struct dns_reader dns;

	must(dns_open(&dns, buf_data(packet), buf_len(packet)));
	micro_read(&r, &dns);
	must(micro_next(&r, &got) == 1);
	check_same(in, &got);
	must(got.ttl == ttl);
	must(micro_next(&r, &got) == 0);
}

static void
check_instance(struct micro_instance *in)
{
	struct buf out = BUF_INIT, query = BUF_INIT;
	struct dns_reader q;
	struct dns_question echo;

	if (!in->has_addr)
		return;
	dns_name_set(&in->host, BYTES("host"));
	dns_name_set(&in->service, BYTES("service.micro"));
	micro_add_announcement(&out, MICRO_TTL, in);
	if (buf_len(&out) <= DNS_PACKET_MAX)
		check_one(&out, in, MICRO_TTL);
	buf_clear(&out);
	micro_add_query(&query, 7, &in->service);
	must(dns_open(&q, buf_data(&query), buf_len(&query)));
	must(micro_add_answer(&out, &q, in));
	if (buf_len(&out) <= DNS_PACKET_MAX && !dns_name_eq(&in->name, &in->host)) {
		check_one(&out, in, MICRO_TTL);
		must(dns_open(&q, buf_data(&out), buf_len(&out)));
		must(dns_next_question(&q, &echo) == 1);
		must(dns_name_eq(&echo.name, &in->service) && echo.type == DNS_PTR);
	}
	buf_release(&out);
	buf_release(&query);
}

static void
check_query(const struct dns_reader *dns)
{
	struct micro_instance in = { .port = 1, .has_addr = true, .txt = BYTES("\1x") };
	struct dns_reader r = *dns, answer;
	struct dns_question q, echo;
	struct buf out = BUF_INIT;

	while (dns_next_question(&r, &q) > 0) {
		check_name(&q.name);
		check_text(&q.name);
		if (dns->questions > 16)
			continue;
		dns_name_set(&in.host, BYTES("host"));
		dns_name_set(&in.name, BYTES("i"));
		in.service = q.name;
		if (dns_name_add(&in.name, &in.service))
			continue;
		buf_clear(&out);
		if (!micro_add_answer(&out, dns, &in))
			continue;
		must(dns_open(&answer, buf_data(&out), buf_len(&out)));
		must(answer.answers > 0);
		must(dns_next_question(&answer, &echo) == 1);
		while (dns_next_record(&answer, &(struct dns_record){ .type = 0 }) > 0)
			;
		must(answer.records == 0 && answer.at == answer.n);
	}
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct micro_instance in;
	struct micro_reader r;
	struct dns_reader dns;
	char *p = malloc(size);	/* no byte behind it */

	memcpy(p, data, size);
	if (dns_open(&dns, p, size)) {
		check_query(&dns);
		micro_read(&r, &dns);
		while (micro_next(&r, &in) > 0) {
			check_name(&in.name);
			check_text(&in.name);
			must(in.txt.n == 0 || (in.txt.p >= p && in.txt.p + in.txt.n <= p + size));
			check_instance(&in);
		}
	}
	free(p);
	return 0;
}

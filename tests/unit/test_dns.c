/* SPDX-License-Identifier: Apache-2.0 */
/* DNS codec, go-micro's mdns packets and its TXT record, against the bytes of real
 * go-micro processes (mdns_packets.h). */
#include <stdlib.h>
#include <zlib.h>

#include "backends/proto/micro_dns.h"
#include "backends/proto/micro_txt.h"
#include "core/text.h"
#include "tests/unit/mdns_packets.h"
#include "tests/unit/test.h"

static struct bytes
unhex(const char *hex)
{
	static char room[8][2048];
	static unsigned turn;
	char *out = room[turn++ % 8];
	size_t n = strlen(hex);

	if (!hex_decode(out, hex, n))
		abort();
	return bytes_of(out, n / 2);
}

static struct dns_name
name(const char *text)
{
	struct dns_name n;

	if (dns_name_set(&n, bytes_str(text)))
		abort();
	return n;
}

static const char *
text_of(const struct dns_name *n)
{
	static struct buf out[4];
	static unsigned turn;
	struct buf *b = &out[turn++ % 4];

	buf_clear(b);
	dns_name_text(b, n, NULL);
	return buf_cstr(b);
}

/* The TXT record of a captured response. */
static struct bytes
txt_of(const char *hex)
{
	struct bytes p = unhex(hex);
	struct micro_reader r;
	struct micro_instance in = { .port = 0 };
	struct dns_reader dns;

	dns_open(&dns, p.p, p.n);
	micro_read(&r, &dns);
	return micro_next(&r, &in) == 1 ? in.txt : bytes_of(NULL, 0);
}

static struct micro_instance
greeter(void)
{
	struct micro_instance in = { .port = 9090, .has_addr = true, .addr = { 127, 0, 0, 1 } };

	in.service = name("greeter.micro");
	in.name = name("greeter-1.greeter.micro");
	in.host = name("vm");
	in.txt = txt_of(ANSWER_HEX);
	return in;
}

TEST(names)
{
	char label63[64], long_name[300];
	struct dns_name n = name("a.bc"), tail = name("micro");

	check_bytes(bytes_of(n.b, n.n), BYTES("\1a\2bc\0"));
	check(!dns_name_add(&n, &tail));
	check_bytes(bytes_of(n.b, n.n), BYTES("\1a\2bc\5micro\0"));
	check(dns_name_is_under(&n, &tail));
	check(!dns_name_is_under(&tail, &tail));
	check(!dns_name_is_under(&n, &(struct dns_name){ 7, "\5Micro" }));
	check_str(text_of(&n), "a.bc.micro");

	memset(label63, 'x', 63);
	label63[63] = '\0';
	check(!dns_name_set(&n, bytes_str(label63)));
	check_int(n.n, 65);
	check_str(dns_name_set(&n, BYTES("")), "empty name");
	check(dns_name_set(&n, BYTES("a.")));
	check(dns_name_set(&n, BYTES(".a")));
	check(dns_name_set(&n, BYTES("a..b")));
	check(!dns_name_set(&n, BYTES("a\0b \xff")));
	memset(long_name, 'x', sizeof long_name);
	check_str(dns_name_set(&n, bytes_of(long_name, 64)), "label over 63 bytes");
	for (size_t i = 63; i < sizeof long_name; i += 64)
		long_name[i] = '.';
	check_str(dns_name_set(&n, bytes_of(long_name, 254)), "name over 255 bytes");
	check(!dns_name_set(&n, bytes_of(long_name, 253)));
	check_int(n.n, 255);
	check_str(dns_name_add(&n, &tail), "name over 255 bytes");
}

/* A suffix that begins in the middle of a label is none. */
/* Labels of that many bytes, without and with the root behind. */
static struct bytes
labels(const char *lens, bool text)
{
	static char out[300];
	size_t n = 0;

	for (const char *l = lens; *l; l++) {
		size_t len = (unsigned char)*l;

		if (!text || n)
			out[n++] = text ? '.' : (char)len;
		memset(out + n, 'a', len);
		n += len;
	}
	if (!text)
		out[n++] = 0;
	return bytes_of(out, n);
}

TEST(names_have_255_bytes_and_no_more)
{
	struct dns_name n, tail = name("micro");
	struct buf out = BUF_INIT;
	struct dns_writer w;
	struct dns_reader r;
	struct dns_question q;

	check(dns_name_set(&n, labels("\77\77\77\75", true)) == NULL);
	check_int(n.n, 255);
	/* It is written and read as it is. */
	dns_begin(&w, &out, 1, 0, false);
	dns_add_question(&w, &n, DNS_PTR, DNS_IN);
	need(dns_open(&r, buf_data(&out), buf_len(&out)));
	check_int(dns_next_question(&r, &q), 1);
	check(dns_name_eq(&q.name, &n));
	check_int(dns_next_question(&r, &q), 0);
	check_str(dns_name_set(&n, labels("\77\77\77\76", true)), "name over 255 bytes");
	check_str(dns_name_set(&n, labels("\100", true)), "label over 63 bytes");
	/* One byte more on the wire. */
	buf_truncate(&out, 12);
	buf_add_bytes(&out, labels("\77\77\77\76", false));
	buf_add(&out, "\0\14\0\1", 4);
	need(dns_open(&r, buf_data(&out), buf_len(&out)));
	check_int(dns_next_question(&r, &q), -1);
	/* And put together. */
	check(dns_name_set(&n, labels("\77\77\77\67", true)) == NULL);
	check(dns_name_add(&n, &tail) == NULL);
	check_int(n.n, 255);
	check(dns_name_set(&n, labels("\77\77\77\70", true)) == NULL);
	check_str(dns_name_add(&n, &tail), "name over 255 bytes");
	buf_release(&out);
}

/* A response with one SRV, whose data is length bytes of these. */
static int
read_srv_of(const char *data, size_t length)
{
	struct buf out = BUF_INIT;
	struct dns_name owner = name("x.micro");
	struct micro_reader r;
	struct micro_instance in;
	struct dns_reader dns;
	struct dns_writer w;
	int rc;

	dns_begin(&w, &out, 1, DNS_FLAG_QR, false);
	dns_add_data(&w, DNS_ANSWER, &owner, DNS_SRV, 120, bytes_of(data, length));
	dns_open(&dns, buf_data(&out), buf_len(&out));
	micro_read(&r, &dns);
	rc = micro_next(&r, &in);
	check_int(rc == 1 ? in.port : 9, 9);
	buf_release(&out);
	return rc;
}

TEST(the_name_fills_the_rest_of_a_srv)
{
	static const char data[] = "\0\1\0\2\0\11\1a\0\0\0";

	check_int(read_srv_of(data, 9), 1);
	check_int(read_srv_of(data, 10), -1);
	check_int(read_srv_of(data, 8), -1);
	check_int(read_srv_of(data, 6), -1);
	check_int(read_srv_of(data, 0), -1);
}

TEST(what_an_instance_takes_of_the_records_behind_its_srv)
{
	struct buf out = BUF_INIT;
	struct dns_name own = name("x.micro"), other = name("y.micro"), host = name("vm");
	struct dns_srv srv = { 1, 2, 9, host };
	struct micro_reader r;
	struct micro_instance in;
	struct dns_reader dns;
	struct dns_writer w;

	dns_begin(&w, &out, 1, DNS_FLAG_QR, true);
	dns_add_data(&w, DNS_ANSWER, &own, DNS_TXT, 1, BYTES("\1a"));	/* before: nobody's */
	dns_add_srv(&w, DNS_ANSWER, &own, 2, &srv);
	dns_add_data(&w, DNS_ANSWER, &other, DNS_TXT, 3, BYTES("\1b"));
	dns_add_data(&w, DNS_ANSWER, &host, DNS_AAAA, 4, BYTES("0123456789abcdef"));
	dns_add_data(&w, DNS_ANSWER, &host, DNS_A, 5, BYTES("abc"));
	dns_add_data(&w, DNS_ANSWER, &host, DNS_A, 6, BYTES("abcd"));
	dns_add_data(&w, DNS_ANSWER, &host, DNS_A, 7, BYTES("efgh"));
	dns_add_data(&w, DNS_ANSWER, &host, DNS_AAAA, 8, BYTES("ghijklmnopqrstuv"));
	dns_open(&dns, buf_data(&out), buf_len(&out));
	micro_read(&r, &dns);
	need(micro_next(&r, &in) == 1);
	check_bytes(in.txt, BYTES(""));
	check(in.has_addr && !in.v6);
	check_bytes(bytes_of(in.addr, 4), BYTES("abcd"));
	check_int(in.ttl, 6);
	check_int(micro_next(&r, &in), 0);
	buf_release(&out);
}

TEST(name_is_under_at_labels)
{
	struct dns_name n = name("ab.x"), tail;

	tail.n = 3;
	memcpy(tail.b, "\1x", 3);
	check(dns_name_is_under(&n, &tail));
	n = name("a\1x");
	check(!dns_name_is_under(&n, &tail));
}

TEST(query)
{
	struct buf out = BUF_INIT;
	struct dns_name n = name("micro.http.broker.micro");

	micro_add_query(&out, 0x5a7a, &n);
	check_bytes(buf_bytes(&out), unhex(HTTP_QUERY_HEX));
	check_int(buf_len(&out), 41);
	buf_clear(&out);
	n = name("greeter.micro");
	micro_add_query(&out, 0x5be0, &n);
	check_bytes(buf_bytes(&out), unhex(QUERY_HEX));
	buf_release(&out);
}

static void
check_answer(const char *query_hex, const char *answer_hex, const struct micro_instance *in)
{
	struct bytes query = unhex(query_hex);
	struct buf out = BUF_INIT;
	struct dns_reader r;

	need(dns_open(&r, query.p, query.n));
	need(micro_add_answer(&out, &r, in));
	check_bytes(buf_bytes(&out), unhex(answer_hex));
	buf_release(&out);
}

TEST(answers_are_go_micros)
{
	struct micro_instance in = greeter();

	check_answer(QUERY_HEX, ANSWER_HEX, &in);

	in = (struct micro_instance){ .port = 35755, .has_addr = true, .addr = { 127, 0, 0, 1 } };
	in.service = name("micro.http.broker.micro");
	in.name = name("go.micro.topic.foo-0eab78db-b2b6-4c93-b0cd-f4e5b25ffe0f"
		".micro.http.broker.micro");
	in.host = name("vm");
	in.txt = txt_of(HTTP_ANSWER_HEX);
	check_answer(HTTP_QUERY_HEX, HTTP_ANSWER_HEX, &in);

	in = (struct micro_instance){ .port = 9999, .has_addr = true, .txt = BYTES("") };
	in.service = name("_services.micro");
	in.name = name("greeter._services.micro");
	in.host = name("vm");
	check_answer(LIST_QUERY_HEX, LIST_ANSWER_HEX, &in);
}

TEST(announcements_are_go_micros)
{
	struct micro_instance in = greeter();
	struct buf out = BUF_INIT;

	micro_add_probe(&out, 0x005a, &in);
	check_bytes(buf_bytes(&out), unhex(PROBE_HEX));
	buf_clear(&out);
	micro_add_announcement(&out, 120, &in);
	check_bytes(buf_bytes(&out), unhex(ANNOUNCEMENT_HEX));
	buf_clear(&out);
	micro_add_announcement(&out, 0, &in);
	check_bytes(buf_bytes(&out), unhex(GOODBYE_HEX));
	buf_release(&out);
}

/* How many records of which type an instance answers a question with; -1: none. */
static int
ask(const struct micro_instance *in, const char *what, uint16_t type, uint16_t class, char *types)
{
	struct buf q = BUF_INIT, out = BUF_INIT;
	struct dns_name n = name(what);
	struct dns_reader r;
	struct dns_record rr;
	struct dns_writer w;
	int count = 0, id = 0;

	dns_begin(&w, &q, 0x1234, 0, true);
	dns_add_question(&w, &n, type, class);
	dns_open(&r, buf_data(&q), buf_len(&q));
	if (micro_add_answer(&out, &r, in)) {
		dns_open(&r, buf_data(&out), buf_len(&out));
		id = r.id;
		while (dns_next_record(&r, &rr) > 0)
			types[count++] = rr.type == DNS_PTR ? 'P' : rr.type == DNS_SRV ? 'S' :
				rr.type == DNS_A ? 'A' : rr.type == DNS_AAAA ? '6' : 'T';
	}
	types[count] = '\0';
	buf_release(&q);
	buf_release(&out);
	return id;
}

TEST(what_is_asked_often_is_answered_once)
{
	struct micro_instance in = greeter();
	struct buf q = BUF_INIT, out = BUF_INIT;
	struct dns_name service = name("greeter.micro"), host = name("vm");
	struct dns_reader r;
	struct dns_record rr;
	struct dns_writer w;
	int count = 0;

	dns_begin(&w, &q, 1, 0, true);
	dns_add_question(&w, &host, DNS_A, DNS_IN | DNS_TOP_BIT);
	for (int i = 0; i < 7; i++) {
		dns_add_question(&w, &service, DNS_PTR, DNS_IN);
		dns_add_question(&w, &in.name, DNS_ANY, DNS_IN);
	}
	dns_open(&r, buf_data(&q), buf_len(&q));
	need(micro_add_answer(&out, &r, &in));
	dns_open(&r, buf_data(&out), buf_len(&out));
	check_int(r.id, 1);
	while (dns_next_record(&r, &rr) > 0)
		count++;
	check_int(count, 4);
	buf_release(&q);
	buf_release(&out);
}

TEST(what_is_answered)
{
	struct micro_instance in = greeter();
	char t[16];

	ask(&in, "greeter.micro", DNS_PTR, DNS_IN, t), check_str(t, "PSAT");
	ask(&in, "greeter.micro", DNS_ANY, DNS_IN, t), check_str(t, "PSAT");
	ask(&in, "greeter.micro", DNS_SRV, DNS_IN, t), check_str(t, "");
	ask(&in, "Greeter.micro", DNS_PTR, DNS_IN, t), check_str(t, "");
	ask(&in, "greeter-1.greeter.micro", DNS_ANY, DNS_IN, t), check_str(t, "SAT");
	ask(&in, "greeter-1.greeter.micro", DNS_SRV, DNS_IN, t), check_str(t, "SA");
	ask(&in, "greeter-1.greeter.micro", DNS_TXT, DNS_IN, t), check_str(t, "T");
	ask(&in, "greeter-1.greeter.micro", DNS_A, DNS_IN, t), check_str(t, "A");
	ask(&in, "greeter-1.greeter.micro", DNS_AAAA, DNS_IN, t), check_str(t, "");
	ask(&in, "greeter-1.greeter.micro", DNS_PTR, DNS_IN, t), check_str(t, "");
	ask(&in, "vm", DNS_A, DNS_IN, t), check_str(t, "A");
	ask(&in, "vm", DNS_ANY, DNS_IN, t), check_str(t, "");
	check_int(ask(&in, "greeter.micro", DNS_PTR, DNS_IN, t), 0);
	check_int(ask(&in, "greeter.micro", DNS_PTR, DNS_IN | DNS_TOP_BIT, t), 0x1234);
	in.v6 = true;
	ask(&in, "greeter.micro", DNS_PTR, DNS_IN, t), check_str(t, "PS6T");
	ask(&in, "vm", DNS_A, DNS_IN, t), check_str(t, "");
	ask(&in, "vm", DNS_AAAA, DNS_IN, t), check_str(t, "6");
}

static void
check_read(const char *hex, const char *want_name, unsigned port, uint32_t ttl)
{
	struct bytes p = unhex(hex);
	struct micro_instance in;
	struct micro_reader r;
	struct dns_reader dns;

	need(dns_open(&dns, p.p, p.n));
	micro_read(&r, &dns);
	check_int(micro_next(&r, &in), 1);
	check_str(text_of(&in.name), want_name);
	check_int(in.port, port);
	check_int(in.ttl, ttl);
	check(in.has_addr && !in.v6);
	check_int(micro_next(&r, &in), 0);
}

TEST(responses_are_read)
{
	check_read(ANSWER_HEX, "greeter-1.greeter.micro", 9090, 120);
	check_read(ANSWER_V1_HEX, "greeter-1.greeter.micro", 9090, 120);
	check_read(ANNOUNCEMENT_HEX, "greeter-1.greeter.micro", 9090, 120);
	check_read(GOODBYE_HEX, "greeter-1.greeter.micro", 9090, 0);
	check_read(LIST_ANSWER_HEX, "greeter._services.micro", 9999, 120);
	check_read(LIST_ANSWER_V1_HEX, "greeter._services.micro", 9999, 120);
}

/* Several in one packet, AAAA before A, and one without an address. */
TEST(several_instances)
{
	struct micro_instance a = greeter(), b = greeter(), got;
	struct dns_srv srv = { 0, 0, 1, a.host };
	struct buf out = BUF_INIT;
	struct micro_reader r;
	struct dns_reader dns;
	struct dns_writer w;
	struct bytes six = BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");

	b.name = name("greeter-2.greeter.micro");
	dns_begin(&w, &out, 0, DNS_FLAG_QR, true);
	dns_add_ptr(&w, DNS_ANSWER, &a.service, 120, &a.name);
	dns_add_srv(&w, DNS_ANSWER, &a.name, 120, &srv);
	dns_add_data(&w, DNS_ANSWER, &a.host, DNS_AAAA, 120, six);
	dns_add_data(&w, DNS_ANSWER, &a.host, DNS_A, 120, BYTES("\12\0\0\1"));
	dns_add_data(&w, DNS_ANSWER, &a.host, DNS_AAAA, 120, six);
	srv.port = 2;
	dns_add_srv(&w, DNS_ANSWER, &b.name, 7, &srv);
	dns_add_data(&w, DNS_ADDITIONAL, &b.name, DNS_TXT, 7, BYTES("\1x"));
	need(dns_open(&dns, buf_data(&out), buf_len(&out)));
	micro_read(&r, &dns);
	check_int(micro_next(&r, &got), 1);
	check_str(text_of(&got.name), "greeter-1.greeter.micro");
	check(got.has_addr && !got.v6 && got.addr[0] == 10);
	check_int(micro_next(&r, &got), 1);
	check_str(text_of(&got.name), "greeter-2.greeter.micro");
	check(!got.has_addr);
	check_int(got.port, 2);
	check_bytes(got.txt, BYTES("\1x"));
	check_int(micro_next(&r, &got), 0);
	buf_release(&out);
}

/* Cut anywhere, a packet is malformed or shorter, and never read beyond. */
TEST(cut_packets)
{
	struct bytes whole = unhex(HTTP_ANSWER_HEX);

	for (size_t n = 0; n < whole.n; n++) {
		char *p = malloc(n ? n : 1);
		struct micro_instance in;
		struct micro_reader r;
		struct dns_reader dns;

		memcpy(p, whole.p, n);
		if (dns_open(&dns, p, n)) {
			micro_read(&r, &dns);
			check_int(micro_next(&r, &in), -1);
		}
		free(p);
	}
}

TEST(bad_names)
{
	static const struct bytes bad[] = {
		BYTES("\xc0\x0c"),			/* itself */
		BYTES("\xc0\x20" "12345678901234567890"),	/* forwards */
		BYTES("\1a\xc0\x0c"),			/* into a loop */
		BYTES("\xc0\x0e\xc0\x0c"),		/* around */
		BYTES("\x40" "a\0"),			/* neither label nor pointer */
		BYTES("\x80\0"),
		BYTES("\x3f" "a\0"),			/* beyond the end */
		BYTES("\xc0"),
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char p[64] = { 0, 0, 0, 0, 0, 1 };
		struct dns_question q;
		struct dns_reader r;

		memcpy(p + 12, bad[i].p, bad[i].n);
		need(dns_open(&r, p, 12 + bad[i].n));
		check_int(dns_next_question(&r, &q), -1);
	}
}

/* Pointer after pointer, each allowed by itself. */
static void
read_through(unsigned pointers, int want)
{
	char p[3000] = { [5] = 2 };
	struct dns_question q;
	struct dns_reader r;
	size_t n = 17;			/* behind a question for the root */

	memcpy(p + n, "\xc0\x0c", 2);
	for (unsigned i = 1; i < pointers; i++) {
		p[n + 2 * i] = (char)(0xc0 | (n + 2 * i - 2) >> 8);
		p[n + 2 * i + 1] = (char)((n + 2 * i - 2) & 0xff);
	}
	need(dns_open(&r, p, n + 2 * pointers + 4));
	need(dns_next_question(&r, &q) == 1);
	r.at = n + 2 * (pointers - 1);
	check_int(dns_next_question(&r, &q), want);
}

TEST(long_ways_to_a_name)
{
	read_through(1, 1);
	read_through(128, 1);
	read_through(129, -1);
	read_through(1000, -1);
}

/* A reader's memory is used again: nothing of the node before is left in it. */
TEST(an_ipv4_address_is_all)
{
	struct micro_instance out = { .name = name("x.y"), .host = name("h"), .port = 80,
		.addr = { 10, 0, 0, 1 }, .has_addr = true, .txt = BYTES("") }, in;
	struct buf packet = BUF_INIT;
	struct micro_reader r;
	struct dns_reader dns;

	micro_add_announcement(&packet, MICRO_TTL, &out);
	memset(&in, 0xff, sizeof in);
	need(dns_open(&dns, buf_data(&packet), buf_len(&packet)));
	micro_read(&r, &dns);
	need(micro_next(&r, &in) == 1);
	check_int(in.addr[0], 10);
	for (size_t i = 4; i < sizeof in.addr; i++)
		check_int(in.addr[i], 0);
	buf_release(&packet);
}

/* ---- TXT ---- */

static void
check_txt(struct bytes hex, const char *version, const char *topic)
{
	struct buf strings = BUF_INIT;
	struct micro_txt t;

	micro_txt_init(&t);
	dns_add_strings(&strings, hex);
	check_str(micro_txt_read(&t, buf_bytes(&strings)), NULL);
	check_bytes(t.service, BYTES("micro.http.broker"));
	check_bytes(t.version, bytes_str(version));
	need(t.nmetadata == 3);
	check_bytes(t.metadata[2].key, BYTES("topic"));
	check_bytes(t.metadata[2].value, bytes_str(topic));
	check_bytes(t.metadata[0].value, BYTES("http"));
	buf_release(&strings);
	micro_txt_release(&t);
}

TEST(txt_of_every_age)
{
	/* v0.21 to v4.10.1 */
	check_txt(BYTES("789c3ccdb10ec2300c04d07fb939ca07786764426237890311218e1c97a5eabfa302"
		"ea7aa7bbb7e222f6ae494078d5641a1fee23de4c9f6208b88acdaa1d84528e8a73e2e90838"
		"f53cb4769fa0beb4167016e7cccea015ff0fc23e43c094b4d8ee146e5310e03a6a02e1aef1"
		"477f835854b16d9f000000ffff020c3503"), "ff.http.broadcast", "go.micro.topic.foo");
	/* v4.10.2 and later */
	check_txt(BYTES("789c3ccc31ae02310c84e1bb4c1de500e95ff92a247a93381011e2c8f6d2acf6ee28"
		"8068e71f7d3bfed9a99013d28e8bca9d150937f78900e3bc2923a152374680cb6c19095789"
		"8f9655e27b88550447c089f5d9f2fa7fe252e2d70c38b35a93b1b4fa4b54329923e06f9429"
		"6db8218dadf7e3150000ffffad0b3503"), "ff.http.broadcast", "go.micro.topic.foo");
	/* a stored block, two strings */
	check_txt(BYTES("780101790086ff7b2253657276696365223a226d6963726f2e687474702e62726f6b"
		"6572222c2256657273696f6e223a227131222c22456e64706f696e7473223a6e756c6c2c22"
		"4d65746164617461223a7b2262726f6b6572223a2268747470222c22736563757265223a22"
		"66616c7365222c22746f706963223a2274227d7dd29028a1"), "q1", "t");
}

static struct bytes
inflated(struct bytes strings)
{
	static char json[100000];
	struct buf hex = BUF_INIT;
	uLongf n = sizeof json;

	if (!dns_read_txt(strings, &hex) || !hex_decode(buf_data(&hex), buf_data(&hex), buf_len(&hex)) ||
	    uncompress((Bytef *)json, &n, (Bytef *)buf_data(&hex), buf_len(&hex) / 2) != Z_OK)
		n = 0;
	buf_release(&hex);
	return bytes_of(json, n);
}

TEST(txt_written)
{
	const struct keyval kv[] = { { BYTES("topic"), BYTES("a<b\0\xc3\xb6") },
		{ BYTES("broker"), BYTES("http") }, { BYTES("secure"), BYTES("false") } };
	struct buf out = BUF_INIT;
	struct micro_txt t;

	micro_txt_write(&out, BYTES("micro.http.broker"), BYTES("q1"), kv, 3,
		(struct bytes){ NULL, 0 });
	check_bytes(inflated(buf_bytes(&out)), BYTES("{\"Metadata\":{\"broker\":\"http\","
		"\"secure\":\"false\",\"topic\":\"a\\u003cb\\u0000\xc3\xb6\"},"
		"\"Service\":\"micro.http.broker\",\"Version\":\"q1\",\"Endpoints\":null}"));
	micro_txt_init(&t);
	check_str(micro_txt_read(&t, buf_bytes(&out)), NULL);
	check_bytes(t.metadata[2].value, kv[0].value);
	micro_txt_release(&t);

	buf_clear(&out);
	micro_txt_write(&out, BYTES("s"), BYTES(""), NULL, 0, (struct bytes){ NULL, 0 });
	check_bytes(inflated(buf_bytes(&out)),
		BYTES("{\"Metadata\":null,\"Service\":\"s\",\"Version\":\"\",\"Endpoints\":null}"));
	buf_release(&out);
}

/* Deflated otherwise than by Go, but out comes the same text to the byte. */
TEST(txt_written_is_go_micros_text)
{
	static const struct keyval a = { BYTES("a"), BYTES("b") };
	static const struct keyval kv[] = { { BYTES("topic"), BYTES("go.micro.topic.foo") },
		{ BYTES("secure"), BYTES("false") }, { BYTES("broker"), BYTES("http") } };
	struct buf out = BUF_INIT, ours = BUF_INIT;

	micro_txt_write(&out, BYTES("greeter"), BYTES("1.2"), &a, 1, (struct bytes){ NULL, 0 });
	buf_add_bytes(&ours, inflated(buf_bytes(&out)));
	check(buf_len(&ours) > 0);
	check_bytes(buf_bytes(&ours), inflated(txt_of(ANSWER_HEX)));
	buf_clear(&out);
	buf_clear(&ours);
	micro_txt_write(&out, BYTES("micro.http.broker"), BYTES("ff.http.broadcast"), kv, 3,
		(struct bytes){ NULL, 0 });
	buf_add_bytes(&ours, inflated(buf_bytes(&out)));
	check_bytes(buf_bytes(&ours), inflated(txt_of(HTTP_ANSWER_HEX)));
	buf_release(&out);
	buf_release(&ours);
}

/* Any JSON as a TXT record. */
static const char *
read_json(struct micro_txt *t, struct bytes json)
{
	struct buf hex = BUF_INIT, strings = BUF_INIT;
	uLongf n = compressBound(json.n);
	char *zip = malloc(n);
	const char *why;

	if (compress((Bytef *)zip, &n, (const Bytef *)json.p, json.n) != Z_OK)
		abort();
	hex_encode(buf_room(&hex, 2 * n), zip, n);
	buf_added(&hex, 2 * n);
	dns_add_strings(&strings, buf_bytes(&hex));
	why = micro_txt_read(t, buf_bytes(&strings));
	buf_release(&hex);
	buf_release(&strings);
	free(zip);
	return why;
}

TEST(txt_as_go_reads_it)
{
	struct micro_txt t;

	micro_txt_init(&t);
	check_str(read_json(&t, BYTES(" {\"x\":[1,{}],\"sERVICE\":\"s\",\"Version\":null,"
		"\"Endpoints\":[{\"name\":\"a\"}],\"Metadata\":{\"b\":\"1\",\"a\":null,\"b\":\"2\"}} ")),
		NULL);
	check_bytes(t.service, BYTES("s"));
	check_bytes(t.version, BYTES(""));
	need(t.nmetadata == 2);
	check_bytes(t.metadata[0].value, BYTES(""));
	check_bytes(t.metadata[1].value, BYTES("2"));
	check_str(read_json(&t, BYTES("{\"Service\":\"a\xff\\ud800\",\"Metadata\":{\"\xfe\":\"\xff\"}}")),
		NULL);
	check_bytes(t.service, BYTES("a\xef\xbf\xbd\xef\xbf\xbd"));
	need(t.nmetadata == 1);
	check_bytes(t.metadata[0].key, BYTES("\xef\xbf\xbd"));
	check(read_json(&t, BYTES("{\"Service\":1}")));
	check(read_json(&t, BYTES("{\"Metadata\":{\"a\":1}}")));
	check(read_json(&t, BYTES("{\"Metadata\":[]}")));
	check(read_json(&t, BYTES("[]")));
	check(read_json(&t, BYTES("{}x")));
	check(read_json(&t, BYTES("{\"Service\"")));
	check_str(read_json(&t, BYTES("{}")), NULL);
	check(micro_txt_read(&t, BYTES("")));
	check(micro_txt_read(&t, BYTES("\2xy")));
	check(micro_txt_read(&t, BYTES("\3ab")));
	check(micro_txt_read(&t, BYTES("\2ab")));
	micro_txt_release(&t);
}

TEST(txt_bomb)
{
	char *json = malloc(4 << 20);
	struct micro_txt t;

	memset(json, ' ', 4 << 20);
	micro_txt_init(&t);
	check_str(read_json(&t, bytes_of(json, 4 << 20)), "TXT: inflates to more than 1 MiB");
	check(t.json.cap < 4u << 20);
	memcpy(json + (500 << 10), "{}", 2);
	check_str(read_json(&t, bytes_of(json, 900 << 10)), NULL);
	micro_txt_release(&t);
	free(json);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* NATS: literal bytes of nats-server 2.9 and 2.15 and of go-micro's plugin, each cut at
 * every byte; what may be a subject and a header. */
#include <stdlib.h>

#include "backends/proto/nats.h"
#include "backends/proto/nats_key.h"
#include "tests/unit/test.h"

/* A frame as text: "MSG t.a 1 - head body" */
static void
show(struct buf *b, const struct nats_frame *f)
{
	static const char *const names[] = { "INFO", "MSG", "PING", "PONG", "OK", "ERR" };

	buf_addf(b, "%s", names[f->op]);
	if (f->op != NATS_MSG) {
		buf_addf(b, f->text.n ? " %.*s" : "", BYTES_FMT(f->text));
		return;
	}
	buf_addf(b, " %.*s %llu %.*s [%.*s] [%.*s]", BYTES_FMT(f->subject), (unsigned long long)f->sid,
		f->reply.p ? (int)f->reply.n : 1, f->reply.p ? f->reply.p : "-",
		BYTES_FMT(f->head), (int)f->n, f->body);
}

/* want NULL: it is refused. */
static void
reads_as(const char *file, int line, struct bytes in, const char *want)
{
	for (size_t cut = 0; cut <= in.n; cut++) {
		char *part = malloc(cut + 1), *all = malloc(in.n + 1);
		struct buf got = BUF_INIT;
		struct nats_frame f;
		const char *why;
		ssize_t n = 0;

		memcpy(part, in.p, cut);
		memcpy(all, in.p, in.n);
		if (cut < in.n && cut)
			n = nats_read(&f, part, cut, &why);
		free(part);
		if (n && want)
			test_failed(file, line, "cut at %zu: %zd", cut, n);
		n = nats_read(&f, all, in.n, &why);
		if (!want && n >= 0)
			test_failed(file, line, "not refused: %zd", n);
		if (want && n != (ssize_t)in.n)
			test_failed(file, line, "cut at %zu, then all: %zd of %zu (%s)", cut, n, in.n, why);
		if (want && n > 0) {
			show(&got, &f);
			test_eq_bytes(file, line, "frame", buf_bytes(&got), bytes_str(want));
		}
		buf_release(&got);
		free(all);
	}
}
#define reads(lit, want) reads_as(__FILE__, __LINE__, BYTES(lit), want)

TEST(frames)
{
	reads("PING\r\n", "PING");
	reads("PONG\r\n", "PONG");
	reads("+OK\r\n", "OK");
	reads("PING\n", "PING");
	reads("-ERR 'Authorization Violation'\r\n", "ERR Authorization Violation");
	reads("-ERR\r\n", "ERR");
	reads("INFO {\"a\":1} \r\n", "INFO {\"a\":1}");
	reads("MSG t.a 1 34\r\n{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}\r\n",
		"MSG t.a 1 - [] [{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}]");
	reads("MSG t.a 1 r.b 0\r\n\r\n", "MSG t.a 1 r.b [] []");
	reads("MSG t.a 18 4\r\n\r\n\1\n\r\n", "MSG t.a 18 - [] [\r\n\1\n]");
	reads("HMSG a 7 12 17\r\nNATS/1.0\r\n\r\nhello\r\n", "MSG a 7 - [NATS/1.0\r\n\r\n] [hello]");
	reads("HMSG a 7 r 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "MSG a 7 r [NATS/1.0 503\r\n\r\n] []");
}

TEST(no_frames)
{
	reads("PINGS\r\n", NULL);
	reads("\r\n", NULL);
	reads("HTTP/1.1 400 Bad Request\r\n", NULL);
	reads("MSG t.a 1\r\n", NULL);
	reads("MSG t.a 1 2 3 4\r\nabcd\r\n", NULL);
	reads("MSG t.a x 4\r\nabcd\r\n", NULL);
	reads("MSG t.a 1 -4\r\nabcd\r\n", NULL);
	reads("MSG t.a 1 99999999999999999999\r\nabcd\r\n", NULL);
	reads("MSG t.a 1 999999999\r\nabcd\r\n", NULL);
	reads("MSG t.a 1 4\r\nabcdef\r\n", NULL);
	reads("HMSG a 7 18 17\r\nNATS/1.0\r\n\r\nhello\r\n", NULL);
	reads("MSG a b c d e f g h 1\r\nx\r\n", NULL);
}

static void
has_headers(const char *file, int line, struct bytes block, unsigned status, bool odd, const char *want)
{
	struct nats_head h = { 0 };
	struct buf got = BUF_INIT;

	nats_head_read(&h, block);
	for (size_t i = 0; i < h.n; i++)
		buf_addf(&got, "%.*s=%.*s;", BYTES_FMT(h.v[i].name), BYTES_FMT(h.v[i].value));
	test_eq_bytes(file, line, "headers", buf_bytes(&got), bytes_str(want));
	if (h.status != status || h.odd != odd)
		test_failed(file, line, "status %u, odd %d", h.status, h.odd);
	buf_release(&got);
	nats_head_release(&h);
}
#define headers(lit, status, odd, want) has_headers(__FILE__, __LINE__, BYTES(lit), status, odd, want)

TEST(headers_are_kept_as_they_are)
{
	headers("NATS/1.0\r\n\r\n", 0, false, "");
	headers("NATS/1.0\r\nA: 1\r\na:2\r\nA:   3 \r\nb:\r\n\r\n", 0, false, "A=1;a=2;A=3 ;b=;");
	headers("NATS/1.0 503\r\n\r\n", 503, false, "");
	headers("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Stream: 1\r\n\r\n", 100, false,
		"Nats-Last-Stream=1;");
	headers("NATS/1.0\r\nnothing\r\nx:y:z\r\n\r\n", 0, true, "x=y:z;");
	headers("HTTP/1.0\r\nx:y\r\n\r\n", 0, true, "x=y;");
	headers("", 0, false, "");
	headers("NATS/1.0\r\nx:y", 0, false, "x=y;");
	headers("NATS/1.0 99999999999999999999\r\n\r\n", 9999, false, "");
}

TEST(info)
{
	char text[] = "{\"server_id\":\"ND\",\"server_name\":\"a\\u0062\",\"version\":\"2.9.10\",\"proto\":1,"
		"\"headers\":true,\"max_payload\":1048576,\"auth_required\":true,\"nonce\":\"xyz\","
		"\"tls_available\":true,\"ldm\":true,\"connect_urls\":[\"127.0.0.1:1\",7,{\"a\":[]},\"[::1]:2\"],"
		"\"xkey\":null,\"version2\":[1]}";
	char odd[] = "{\"headers\":1,\"max_payload\":\"x\",\"server_name\":[\"x\"],\"connect_urls\":{}}";
	struct nats_info i;

	need(nats_info_read(&i, bytes_str(text)) == 0);
	check_bytes(i.name, BYTES("ab"));
	check_bytes(i.version, BYTES("2.9.10"));
	check_bytes(i.nonce, BYTES("xyz"));
	check(i.headers && i.auth && i.tls_available && i.lame && !i.tls_required);
	check_int(i.max_payload, 1048576);
	need(i.nurls == 2);
	check_bytes(i.urls[0], BYTES("127.0.0.1:1"));
	check_bytes(i.urls[1], BYTES("[::1]:2"));
	need(nats_info_read(&i, bytes_str(odd)) == 0);
	check(!i.headers && !i.max_payload && !i.name.p && !i.nurls);
	check(nats_info_read(&i, BYTES("[]")) < 0);
	check(nats_info_read(&i, BYTES("{\"headers\":true")) < 0);
	check(nats_info_read(&i, BYTES("{} {}")) < 0);
	check(nats_info_read(&i, BYTES("")) < 0);
}

TEST(what_is_not_allowed)
{
	char sub[] = "Permissions Violation for Subscription to \"a.>\" using queue \"q\"";
	char pub[] = "Permissions Violation for Publish to \"a\\\"b\\\\c\"";
	char cut[] = "Permissions Violation for Publish to \"a";
	struct bytes s;

	need(nats_err_subject(bytes_str(sub), "Permissions Violation for Subscription to ", &s));
	check_bytes(s, BYTES("a.>"));
	check(!nats_err_subject(bytes_str(pub), "Permissions Violation for Subscription to ", &s));
	need(nats_err_subject(bytes_str(pub), "Permissions Violation for Publish to ", &s));
	check_bytes(s, BYTES("a\"b\\c"));
	check(!nats_err_subject(bytes_str(cut), "Permissions Violation for Publish to ", &s));
}

static void
writes_as(const char *file, int line, const struct nats_pub *p, size_t guess, struct bytes body,
	const char *want)
{
	struct buf b = BUF_INIT;
	struct nats_mark m;

	buf_add_str(&b, "x");
	m = nats_begin(&b, p, guess);
	buf_add_bytes(&b, body);
	nats_end(&b, &m);
	test_eq_bytes(file, line, "event", bytes_of(buf_data(&b) + 1, buf_len(&b) - 1), bytes_str(want));
	buf_release(&b);
}

TEST(events_are_written)
{
	static const struct header h[] = { { BYTES("a"), BYTES("1") }, { BYTES("A"), BYTES("") } };
	struct nats_pub plain = { .subject = BYTES("t.a") }, reply = { BYTES("t.a"), BYTES("r"), NULL, 0 };
	struct nats_pub heads = { BYTES("t"), BYTES(""), h, 2 }, both = { BYTES("t"), BYTES("r"), h, 1 };

	/* What the guess is makes no difference. */
	for (size_t guess = 0; guess < 20000; guess = guess * 7 + 1) {
		writes_as(__FILE__, __LINE__, &plain, guess, BYTES("{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}"),
			"PUB t.a 34\r\n{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}\r\n");
		writes_as(__FILE__, __LINE__, &plain, guess, BYTES(""), "PUB t.a 0\r\n\r\n");
		writes_as(__FILE__, __LINE__, &reply, guess, BYTES("hello"), "PUB t.a r 5\r\nhello\r\n");
		writes_as(__FILE__, __LINE__, &heads, guess, BYTES("hello"),
			"HPUB t 23 28\r\nNATS/1.0\r\na: 1\r\nA: \r\n\r\nhello\r\n");
		writes_as(__FILE__, __LINE__, &both, guess, BYTES(""),
			"HPUB t r 18 18\r\nNATS/1.0\r\na: 1\r\n\r\n\r\n");
	}
	check_int(nats_payload_of(BYTES("PUB t.a 5\r\nhello\r\n")), 5);
	check_int(nats_payload_of(BYTES("PUB t.a 0\r\n\r\n")), 0);
}

TEST(connect)
{
	struct nats_connect c = { .user = "me", .password = BYTES("a\"b"), .headers = true, .echo = true,
		.name = "mbus" };
	struct buf b = BUF_INIT;

	nats_write_connect(&b, &c);
	check_bytes(buf_bytes(&b), BYTES("CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,"
		"\"name\":\"mbus\",\"user\":\"me\",\"pass\":\"a\\\"b\",\"lang\":\"c\",\"version\":\"" MBUS_VERSION
		"\",\"protocol\":1,\"echo\":true,\"headers\":true,\"no_responders\":true}\r\n"));
	buf_clear(&b);
	nats_write_sub(&b, BYTES("t.a"), "q1", 1);
	nats_write_sub(&b, BYTES("t.a"), NULL, 12);
	nats_write_unsub(&b, 1);
	check_bytes(buf_bytes(&b), BYTES("SUB t.a q1 1\r\nSUB t.a  12\r\nUNSUB 1\r\n"));
	buf_release(&b);
}

TEST(subjects)
{
	static const char *const good[] = { "a", "a.b", "$JS.API", "a-b_c/d", "\xc3\xbc", "a*b", "x>" };
	static const char *const wild[] = { "*", ">", "a.*.b", "a.>", "*.>" };
	static const char *const bad[] = { "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPUB x 0\r\n",
		"a.>.b", ">.a", "a\x7f" };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		check(!nats_bad_subject(bytes_str(good[i]), false));
	for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
		check(!nats_bad_subject(bytes_str(wild[i]), true));
		check(nats_bad_subject(bytes_str(wild[i]), false));
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check(nats_bad_subject(bytes_str(bad[i]), true));
	check(nats_bad_subject(BYTES("a\0b"), true));
	check(!nats_bad_group("workers.a"));
	check(nats_bad_group("") && nats_bad_group("a b") && nats_bad_group("a\r\n"));
}

TEST(wildcards)
{
	check(nats_matches(BYTES("a.b"), BYTES("a.b")) && nats_matches(BYTES(">"), BYTES("a")));
	check(nats_matches(BYTES("a.*"), BYTES("a.b")) && !nats_matches(BYTES("a.*"), BYTES("a.b.c")));
	check(nats_matches(BYTES("a.>"), BYTES("a.b.c")) && !nats_matches(BYTES("a.>"), BYTES("a")));
	check(nats_matches(BYTES("*.b"), BYTES("a.b")) && !nats_matches(BYTES("*"), BYTES("a.b")));
	check(!nats_matches(BYTES("a"), BYTES("a.b")) && !nats_matches(BYTES("a.b"), BYTES("a")));
}

TEST(headers_that_may_not_be)
{
	struct header good = { BYTES("X-Y"), BYTES("a: b ") }, h;

	check(!nats_bad_header(&good));
	for (const char *p = " :\t\r\n\x7f\x80\xff\x01"; *p; p++) {
		h = (struct header){ bytes_of(p, 1), BYTES("") };
		check(nats_bad_header(&h));
	}
	h = (struct header){ BYTES(""), BYTES("x") };
	check(nats_bad_header(&h));
	h = (struct header){ BYTES("x"), BYTES("a\rb") };
	check(nats_bad_header(&h));
	h.value = BYTES("a\nb");
	check(nats_bad_header(&h));
	h.value = BYTES(" a");
	check(nats_bad_header(&h));
}

/* Made by openssl and put into text by tests/tools/nats_keys. */
static const char seed_text[] = "SUAFYCVUA766D7H3W6CP3Y5RKG5EEB5PAE4ISWKF4UDYGXU4U36O3DF3OA",
	public_text[] = "UAUNP73LM7PCHVO6MIXSFEAERRCC5TJWX7GZLF5RJVZJBWYRZJG2JQTX";
static const unsigned char public_key[NATS_KEY] = {
	0x28, 0xd7, 0xff, 0x6b, 0x67, 0xde, 0x23, 0xd5, 0xde, 0x62, 0x2f, 0x22, 0x90, 0x04, 0x8c, 0x44,
	0x2e, 0xcd, 0x36, 0xbf, 0xcd, 0x95, 0x97, 0xb1, 0x4d, 0x72, 0x90, 0xdb, 0x11, 0xca, 0x4d, 0xa4
};

TEST(keys)
{
	static const char *const bad[] = { "", "S", "SUA", "SUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"su", public_text };
	unsigned char seed[NATS_KEY];
	char text[NATS_PUBLIC_TEXT + 1], one[sizeof seed_text + 4];

	check(!nats_seed_read(bytes_str(seed_text), seed));
	snprintf(one, sizeof one, " %s\r\n", seed_text);
	check(!nats_seed_read(bytes_str(one), seed));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check(nats_seed_read(bytes_str(bad[i]), seed));
	/* One wrong character anywhere. */
	for (size_t i = 0; i < sizeof seed_text - 1; i++) {
		memcpy(one, seed_text, sizeof seed_text);
		one[i] = one[i] == 'A' ? 'B' : 'A';
		if (i < sizeof seed_text - 2)	/* the last has bits without a meaning */
			check(nats_seed_read(bytes_str(one), seed));
		one[i] = '\0';
		check(nats_seed_read(bytes_of(one, sizeof seed_text - 1), seed));
	}
	nats_public_text(public_key, text);
	check_str(text, public_text);
}

TEST(creds)
{
	struct bytes jwt, seed;
	struct buf b = BUF_INIT;

	check(nats_creds_split(BYTES("x\r\n-----BEGIN NATS USER JWT-----\r\na.b.c\r\n------END NATS USER JWT------\n\n"
		"-----BEGIN USER NKEY SEED-----\nSUX\n------END"), &jwt, &seed));
	check_bytes(jwt, BYTES("a.b.c"));
	check_bytes(seed, BYTES("SUX"));
	check(!nats_creds_split(BYTES("-----BEGIN NATS USER JWT-----\na\n"), &jwt, &seed));
	check(!nats_creds_split(BYTES("-----BEGIN NATS USER JWT-----\n------END\n-----BEGIN USER NKEY SEED-----\nx"), &jwt, &seed));
	check(!nats_creds_split(BYTES(""), &jwt, &seed));
	for (size_t n = 0; n < 5; n++) {
		nats_add_base64url(&b, (const unsigned char *)"\xfb\xff\xbf\x00\x10", n);
		buf_add_ch(&b, ' ');
	}
	check_bytes(buf_bytes(&b), BYTES(" -w -_8 -_-_ -_-_AA "));
	buf_release(&b);
}

TEST(answers_of_streams)
{
	char ok[] = "{\"stream\":\"A\", \"seq\":12,\"duplicate\": true,\"domain\":{\"x\":[1]}}";
	char no[] = "{\"type\":\"x\",\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong \\u0061\"}}";
	char made[] = "{\"stream_name\":\"A\",\"name\":\"c1\",\"config\":{\"ack_wait\":30000000000,\"name\":\"no\"},"
		"\"num_pending\":7,\"delivered\":{\"stream_seq\":1}}";
	char names[] = "{\"total\":2,\"streams\":[\"A\",\"B\"]}", none[] = "{\"streams\":null}", bad[] = "{\"seq\":";
	struct nats_answer a;

	need(nats_answer_read(&a, ok, strlen(ok)) == 0);
	check_bytes(a.stream, BYTES("A"));
	check(a.seq == 12 && a.duplicate && !a.error.p);
	need(nats_answer_read(&a, no, strlen(no)) == 0);
	check_bytes(a.error, BYTES("wrong a"));
	check(a.code == 10071 && !a.stream.p);
	need(nats_answer_read(&a, made, strlen(made)) == 0);
	check_bytes(a.name, BYTES("c1"));
	check(a.pending == 7 && a.ack_wait_ns == 30000000000);
	need(nats_answer_read(&a, names, strlen(names)) == 0);
	check_bytes(a.first, BYTES("A"));
	check_int(a.nstreams, 2);
	need(nats_answer_read(&a, none, strlen(none)) == 0);
	check_int(a.nstreams, 0);
	check(nats_answer_read(&a, bad, strlen(bad)) < 0);
	check(nats_answer_read(&a, bad, 0) < 0);
}

TEST(places_in_streams)
{
	struct nats_place p;

	need(nats_place_read(&p, BYTES("$JS.ACK.S.c.2.17.3.1700000000000000001.40")));
	check(p.delivered == 2 && p.seq == 17 && p.consumer_seq == 3 && p.pending == 40);
	check(p.time_ns == 1700000000000000001);
	need(nats_place_read(&p, BYTES("$JS.ACK._.hash.S.c.1.5.6.7.8.tok")));
	check(p.delivered == 1 && p.seq == 5 && p.consumer_seq == 6 && p.time_ns == 7 && p.pending == 8);
	check(!nats_place_read(&p, BYTES("$JS.ACK.S.c.2.17.3.1")));
	check(!nats_place_read(&p, BYTES("$JS.ACK.S.c.2.x.3.1.0")));
	check(!nats_place_read(&p, BYTES("_INBOX.a.b.c.d.e.f.g.h")));
	check(!nats_place_read(&p, BYTES("$JS.ACK.")));
}

static void
show_listed(const struct nats_listed *l, void *arg)
{
	buf_addf(arg, "%.*s %d %llu %llu %llu %llu %llu %llu;", BYTES_FMT(l->name), l->durable,
		(unsigned long long)l->replicas, (unsigned long long)l->first, (unsigned long long)l->last,
		(unsigned long long)l->acked, (unsigned long long)l->pending,
		(unsigned long long)l->unanswered);
}

TEST(lists)
{
	char streams[] = "{\"type\":\"x\",\"total\":2,\"streams\":[{\"config\":{\"name\":\"A\",\"subjects\":[\"a.>\"],"
		"\"num_replicas\":3},\"state\":{\"messages\":5,\"first_seq\":2,\"last_seq\":9,\"name\":\"no\"}},{\"config\":{}}]}";
	char consumers[] = "{\"total\":1,\"consumers\":[{\"stream_name\":\"A\",\"name\":\"w\",\"config\":{\"durable_name\":\"w\","
		"\"num_replicas\":0},\"delivered\":{\"stream_seq\":8},\"ack_floor\":{\"stream_seq\":4},\"num_ack_pending\":4,"
		"\"num_pending\":1}]}";
	char odd[] = "{\"streams\":{}}", cut[] = "{\"total\":1,\"streams\":[{\"config\":{";
	struct buf got = BUF_INIT;
	uint64_t total;

	need(nats_list_read(streams, strlen(streams), "streams", show_listed, &got, &total) == 0);
	check_int(total, 2);
	check_bytes(buf_bytes(&got), BYTES("A 0 3 2 9 0 0 0;"));
	buf_clear(&got);
	need(nats_list_read(consumers, strlen(consumers), "consumers", show_listed, &got, &total) == 0);
	check_bytes(buf_bytes(&got), BYTES("w 1 0 0 0 4 1 4;"));
	check(nats_list_read(odd, strlen(odd), "streams", show_listed, &got, &total) < 0);
	check(nats_list_read(cut, strlen(cut), "streams", show_listed, &got, &total) < 0);
	buf_release(&got);
}

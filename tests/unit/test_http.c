/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 codec, reading; test_http_write.c is the other half. Requests and
 * replies are literal, as go-micro programs exchanged them.
 */
#include <stdlib.h>

#include "tests/unit/http_literals.h"
#include "tests/unit/test.h"

static const char *error;

/* In an allocation of just that size, so that a sanitizer sees reading beyond. */
static enum http_result
parse_copy(struct http_head *h, bool response, const char *p, size_t n)
{
	char *copy = xmalloc(n ? n : 1);
	struct http_head scratch;
	enum http_result r;

	memcpy(copy, p, n);
	error = NULL;
	r = response ? http_response_parse(&scratch, copy, n, &error)
		: http_request_parse(&scratch, copy, n, &error);
	free(copy);
	error = NULL;
	/* the fields shall borrow from the literal */
	if ((response ? http_response_parse : http_request_parse)(h, p, n, &error) != r)
		test_failed(__FILE__, __LINE__, "two results for the same bytes");
	return r;
}

static enum http_result
parse_request(struct http_head *h, struct bytes b)
{
	return parse_copy(h, false, b.p, b.n);
}

static enum http_result
parse_response(struct http_head *h, struct bytes b)
{
	return parse_copy(h, true, b.p, b.n);
}

/* ---- heads ---- */

TEST(request_of_go_micro_v5)
{
	struct http_head h;

	need(parse_request(&h, BYTES(V5_REQUEST "{\"Header\":{}}")) == HTTP_OK);
	check_bytes(h.method, BYTES("POST"));
	check_bytes(h.target, BYTES("/?id=go.micro.topic.foo-" UUID));
	check_bytes(h.host, BYTES("127.0.0.1:35755"));
	check_bytes(h.content_type, BYTES("application/json"));
	check_int(h.size, sizeof V5_REQUEST - 1);
	check_int(h.content_length, 86);
	check_int(h.minor, 1);
	check(h.has_length);
	check(h.keep_alive);
	check(!h.chunked);
	check(!h.expect_continue);
}

TEST(reply_of_go_micro_v5)
{
	struct http_head h;

	need(parse_response(&h, BYTES(V5_REPLY V5_REPLY)) == HTTP_OK);
	check_int(h.status, 200);
	check_bytes(h.reason, BYTES("OK"));
	check_int(h.size, sizeof V5_REPLY - 1);
	check(h.has_length);
	check_int(h.content_length, 0);
	check(h.keep_alive);
	check(!h.content_type.p);
}

TEST(every_proper_prefix_wants_more)
{
	struct http_head h;

	for (size_t n = 0; n < sizeof V5_REQUEST - 1; n++)
		if (parse_copy(&h, false, V5_REQUEST, n) != HTTP_MORE)
			test_failed(__FILE__, __LINE__, "request cut at %zu", n);
	for (size_t n = 0; n < sizeof V5_REPLY - 1; n++)
		if (parse_copy(&h, true, V5_REPLY, n) != HTTP_MORE)
			test_failed(__FILE__, __LINE__, "reply cut at %zu", n);
}

TEST(header_names_and_words_in_any_case)
{
	struct http_head h;

	need(parse_request(&h, BYTES("POST /x HTTP/1.1\r\nhOST:a\r\nCONNECTION:\tfoo, Close \r\n"
		"content-type: \t text/x \t\r\nTransfer-Encoding: CHUNKED\r\n"
		"eXpect: 100-Continue\r\n\r\n")) == HTTP_OK);
	check_bytes(h.host, BYTES("a"));
	check_bytes(h.content_type, BYTES("text/x"));
	check(h.chunked);
	check(h.expect_continue);
	check(!h.keep_alive);
	check(!h.has_length);
}

TEST(keep_alive_by_version_and_connection)
{
	static const struct { const char *version, *connection; bool request, response; } t[] = {
		{ "1.1", "", true, true },
		{ "1.1", "Connection: close\r\n", false, false },
		{ "1.1", "Connection: keep-alive, close\r\n", false, false },
		{ "1.1", "Connection: closed,,\r\n", true, true },
		{ "1.1", "Connection: x\r\nConnection: close\r\n", false, false },
		{ "1.0", "", false, false },
		{ "1.0", "Connection: Keep-Alive\r\n", false, true },
		{ "1.2", "", true, true }
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct buf b = BUF_INIT;
		struct http_head h;

		buf_addf(&b, "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", t[i].version, t[i].connection);
		check(parse_request(&h, buf_bytes(&b)) == HTTP_OK);
		check_int(h.keep_alive, t[i].request);
		check_int(h.minor, t[i].version[2] - '0');
		buf_clear(&b);
		buf_addf(&b, "HTTP/%s 200 OK\r\n%s\r\n", t[i].version, t[i].connection);
		check(parse_response(&h, buf_bytes(&b)) == HTTP_OK);
		check_int(h.keep_alive, t[i].response);
		buf_release(&b);
	}
}

TEST(other_good_requests)
{
	struct http_head h;

	need(parse_request(&h, BYTES("get http://h:1/p?id=1 HTTP/1.0\r\n\r\n")) == HTTP_OK);
	check(!h.host.p);
	need(parse_request(&h, BYTES("P / HTTP/1.1\r\nHost:\r\n\r\n")) == HTTP_OK);
	check_bytes(h.host, BYTES(""));
	need(parse_request(&h, BYTES("POST /\xc3\xa9 HTTP/1.1\r\nHost: [::1]:80\r\nX: \xff\t\r\n"
		"Content-Length: 7\r\n\r\n")) == HTTP_OK);
	check_int(h.content_length, 7);
	need(parse_request(&h, BYTES("POST / HTTP/1.1\r\nHost: a\r\n"
		"Content-Length: 9223372036854775807\r\n\r\n")) == HTTP_OK);
	check(h.content_length == INT64_MAX);
	need(parse_request(&h, BYTES("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")) == HTTP_OK);
	check(!h.expect_continue);
}

struct refusal {
	struct bytes head;
	unsigned status;
	const char *why;
};

#define REFUSED(status, why, lit) { { "" lit, sizeof(lit) - 1 }, status, why }
#define AFTER(status, why, lit) \
	REFUSED(status, why, "POST / HTTP/1.1\r\nHost: a\r\n" lit "\r\n\r\n")

static const struct refusal refused_requests[] = {
	REFUSED(400, "malformed request line", "GARBAGE\r\n\r\n"),
	REFUSED(400, "malformed request line", "\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request line", "GET / FTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed HTTP version", "GET / HTTP/a.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed HTTP version", "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
	REFUSED(505, "unsupported protocol version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
	REFUSED(505, "unsupported protocol version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request target", "POST * HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request target", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	REFUSED(400, "malformed request target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "malformed request target", "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "control character in the head", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
	REFUSED(400, "control character in the head", "\x16\x03\x01\x02"),
	REFUSED(400, "control character in the head", "G\x7f"),
	REFUSED(400, "a line ends with a bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
	REFUSED(400, "bare CR in the head", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
	REFUSED(400, "missing required Host header", "GET / HTTP/1.1\r\n\r\n"),
	AFTER(400, "more than one Host header", "Host: b"),
	AFTER(400, "more than one Host header", "Host: a"),
	REFUSED(400, "malformed Host header", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	REFUSED(400, "malformed Host header", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	AFTER(400, "invalid header name", "X : a"),
	AFTER(400, "invalid header name", "Content-Length : 5"),
	AFTER(400, "invalid header name", ": a"),
	AFTER(400, "invalid header name", "X\x80: a"),
	AFTER(400, "header line without a colon", "foo"),
	AFTER(400, "folded header line", "X: b\r\n folded: 1"),
	AFTER(400, "folded header line", "\tX: b"),
	REFUSED(400, "folded header line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
	AFTER(400, "control character in the head", "X: a\0b"),
	AFTER(400, "control character in the head", "X: a\x01" "b"),
	AFTER(400, "bare CR in the head", "X: a\rb"),
	AFTER(400, "Content-Length is empty", "Content-Length: "),
	AFTER(400, "Content-Length is not a number", "Content-Length: +1"),
	AFTER(400, "Content-Length is not a number", "Content-Length: -1"),
	AFTER(400, "Content-Length is not a number", "Content-Length: 1, 1"),
	AFTER(400, "Content-Length is not a number", "Content-Length: 0x1"),
	AFTER(400, "Content-Length is too large", "Content-Length: 9223372036854775808"),
	AFTER(400, "Content-Length is too large", "Content-Length: 99999999999999999999999"),
	AFTER(400, "more than one Content-Length", "Content-Length: 1\r\nContent-Length: 2"),
	AFTER(400, "more than one Content-Length", "Content-Length: 1\r\nContent-Length: 1"),
	AFTER(400, "more than one Content-Length", "Content-Length: 0\r\nX: y\r\ncontent-length: 0"),
	AFTER(400, "both Content-Length and Transfer-Encoding",
		"Transfer-Encoding: chunked\r\nContent-Length: 3"),
	AFTER(400, "both Content-Length and Transfer-Encoding",
		"Content-Length: 0\r\nTransfer-Encoding: chunked"),
	AFTER(501, "unsupported transfer encoding", "Transfer-Encoding: gzip"),
	AFTER(501, "unsupported transfer encoding", "Transfer-Encoding: gzip, chunked"),
	AFTER(501, "unsupported transfer encoding", "Transfer-Encoding:"),
	AFTER(501, "unsupported transfer encoding", "Transfer-Encoding: xchunked"),
	AFTER(501, "unsupported transfer encoding",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
	REFUSED(400, "Transfer-Encoding in HTTP/1.0",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	AFTER(417, "unknown expectation", "Expect: foo")
};

TEST(refused_requests_say_why)
{
	for (size_t i = 0; i < sizeof refused_requests / sizeof *refused_requests; i++) {
		const struct refusal *t = &refused_requests[i];
		struct http_head h;
		enum http_result r = parse_request(&h, t->head);

		if (r != HTTP_BAD)
			test_failed(__FILE__, __LINE__, "not refused: %zu (%s)", i, t->why);
		else if (strcmp(error, t->why) != 0 || h.status != t->status)
			test_failed(__FILE__, __LINE__, "%zu: %u %s, not %u %s", i, h.status, error,
				t->status, t->why);
	}
}

TEST(refused_responses)
{
	static const struct refusal t[] = {
		REFUSED(0, "", "\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 20\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 2000 OK\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 2x0 OK\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 099 OK\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 600 OK\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1  200 OK\r\n\r\n"),
		REFUSED(0, "", "HTTP/2.0 200 OK\r\n\r\n"),
		REFUSED(0, "", "ICY 200 OKAY \r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nX: 1\r\n y\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
			"Transfer-Encoding: chunked\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			"Content-Length: 5\r\n\r\n"),
		REFUSED(0, "", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct http_head h;

		if (parse_response(&h, t[i].head) != HTTP_BAD || !error)
			test_failed(__FILE__, __LINE__, "not refused: %zu", i);
	}
}

TEST(other_good_responses)
{
	struct http_head h;

	need(parse_response(&h, BYTES("HTTP/1.1 200\r\n\r\n")) == HTTP_OK);
	check_bytes(h.reason, BYTES(""));
	check(!h.has_length);
	need(parse_response(&h, BYTES("HTTP/1.1 404 Not \xc3\xa9 Found\r\nHost: a b\r\nHost: c\r\n"
		"Expect: x\r\nTransfer-Encoding: chunked\r\n\r\n")) == HTTP_OK);
	check_int(h.status, 404);
	check_bytes(h.reason, BYTES("Not \xc3\xa9 Found"));
	check(h.chunked);
	/* no body whatever they say */
	need(parse_response(&h, BYTES("HTTP/1.1 100 Continue\r\n\r\n")) == HTTP_OK);
	check(h.has_length && h.content_length == 0);
	need(parse_response(&h, BYTES("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n")) == HTTP_OK);
	check_int(h.content_length, 0);
	need(parse_response(&h, BYTES("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"))
		== HTTP_OK);
	check(!h.chunked);
}

TEST(a_head_has_a_limit)
{
	static const char begin[] = "POST / HTTP/1.1\r\nHost: a\r\nX: ";
	size_t n = HTTP_HEAD_MAX + 100;
	char *big = xmalloc(n);
	struct http_head h;

	memset(big, 'a', n);
	memcpy(big, begin, sizeof begin - 1);
	check(parse_copy(&h, false, big, HTTP_HEAD_MAX - 1) == HTTP_MORE);
	check(parse_copy(&h, false, big, HTTP_HEAD_MAX) == HTTP_BAD);
	check_int(h.status, 431);
	memcpy(big + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	check(parse_copy(&h, false, big, n) == HTTP_OK);
	check_int(h.size, HTTP_HEAD_MAX);
	/* one more is too long, also when it is all there */
	memcpy(big + HTTP_HEAD_MAX - 4, "a\r\n\r\n", 5);
	check(parse_copy(&h, false, big, n) == HTTP_BAD);
	check_int(h.status, 431);
	free(big);
}

/* Fed byte by byte, it is tried rarely, and yet complete heads at once. */
TEST(heads_that_drip_in)
{
	static const char *const heads[] = {
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nA: b\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n",
	};
	struct buf many = BUF_INIT;
	struct http_drip drip;
	size_t tries = 0;
	struct http_head h;
	const char *why;

	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		size_t len = strlen(heads[i]), n;

		drip = (struct http_drip){ 0 };
		for (n = 1; n <= len; n++)
			if (http_head_ripe(&drip, heads[i], n) &&
			    http_request_parse(&h, heads[i], n, &why) != HTTP_MORE)
				break;
		check(n <= len);
	}
	buf_add_str(&many, "GET / HTTP/1.1\r\n");
	while (buf_len(&many) < HTTP_HEAD_MAX)
		buf_add_str(&many, "a:b\r\n");
	drip = (struct http_drip){ 0 };
	for (size_t n = 1; n < HTTP_HEAD_MAX; n++)
		if (http_head_ripe(&drip, buf_data(&many), n)) {
			need(http_request_parse(&h, buf_data(&many), n, &why) == HTTP_MORE);
			tries++;
		}
	check(tries < 20);
	check(http_head_ripe(&drip, buf_data(&many), HTTP_HEAD_MAX));
	buf_release(&many);
}

/* ---- chunked bodies ---- */

/* Fed in pieces of `piece` bytes; the decoded body is left in out. */
static enum http_result
decode(struct bytes wire, size_t piece, uint64_t max, struct buf *out, size_t *rest)
{
	enum http_result r = HTTP_MORE;
	struct http_chunks c;
	size_t at = 0;

	http_chunks_init(&c);
	buf_clear(out);
	while (at < wire.n && r == HTTP_MORE) {
		size_t n = wire.n - at < piece ? wire.n - at : piece, used, len;
		char *copy = xmalloc(n);

		memcpy(copy, wire.p + at, n);
		r = http_chunked(&c, copy, n, max, &used, &len, &error);
		check(used <= n && len <= used);
		check(r != HTTP_MORE || used == n);
		buf_add(out, copy, len);
		at += used;
		free(copy);
	}
	*rest = wire.n - at;
	return r;
}

TEST(chunked_bodies_in_pieces)
{
	struct bytes wire = BYTES("1\r\nh\r\n4;x=\"y\"\r\nello\r\n00A\r\n, world!!!\r\n"
		"0;last\r\nA: b\r\nC: d\r\n\r\nPOST ");
	struct buf out = BUF_INIT;

	for (size_t piece = 1; piece <= wire.n; piece++) {
		size_t rest;

		check(decode(wire, piece, 15, &out, &rest) == HTTP_OK);
		check_bytes(buf_bytes(&out), BYTES("hello, world!!!"));
		check_int(rest, 5);
		check(decode(wire, piece, 14, &out, &rest) == HTTP_BAD);
		check_str(error, "the body is too large");
	}
	for (size_t cut = 0; cut < wire.n - 5; cut++) {
		size_t rest;

		check(decode(bytes_of(wire.p, cut), 3, 100, &out, &rest) == HTTP_MORE);
		check_int(rest, 0);
	}
	buf_release(&out);
}

TEST(chunked_bodies_refused)
{
	static const struct refusal t[] = {
		REFUSED(0, "invalid byte in chunk length", "zz\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "invalid byte in chunk length", "1 \r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "invalid byte in chunk length", "-1\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "invalid byte in chunk length", "0x1\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "invalid byte in chunk length", ";x\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "empty hex number for chunk length", "\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "malformed chunked encoding", "1\r\ntx\r\n0\r\n\r\n"),
		REFUSED(0, "malformed chunked encoding", "1\r\nt\rx0\r\n\r\n"),
		REFUSED(0, "malformed chunked encoding", "1\rxt\r\n0\r\n\r\n"),
		REFUSED(0, "malformed chunked encoding", "1;\x01\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "malformed chunked encoding", "0\r\n\rx"),
		REFUSED(0, "malformed chunked encoding", "0\r\nA: b\rx"),
		REFUSED(0, "chunked line ends with bare LF", "1\nt\n0\n\n"),
		REFUSED(0, "chunked line ends with bare LF", "1;x\nt\n0\n\n"),
		REFUSED(0, "chunked line ends with bare LF", "0\r\n\n"),
		REFUSED(0, "http chunk length too large", "11111111111111111\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "the body is too large", "ffffffffffffffff\r\nt\r\n0\r\n\r\n"),
		REFUSED(0, "the body is too large", "1\r\nt\r\nffffffffffffffff\r\nt\r\n")
	};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		size_t rest;

		if (decode(t[i].head, 100, 1000, &out, &rest) != HTTP_BAD)
			test_failed(__FILE__, __LINE__, "not refused: %zu (%s)", i, t[i].why);
		else
			check_str(error, t[i].why);
	}
	buf_release(&out);
}

TEST(a_trailer_has_a_limit)
{
	struct buf wire = BUF_INIT, out = BUF_INIT;
	size_t rest;

	buf_add_str(&wire, "0\r\n");
	for (int i = 0; i < 100000; i++)
		buf_add_str(&wire, "A: b\r\n");
	check(decode(buf_bytes(&wire), 1000, 1000, &out, &rest) == HTTP_BAD);
	check_str(error, "too much beside the data of a chunked body");
	buf_release(&wire);
	buf_release(&out);
}

/* ---- targets ---- */

TEST(paths)
{
	check_bytes(http_path(BYTES("/?id=a")), BYTES("/"));
	check_bytes(http_path(BYTES("/_sub?id=a?b")), BYTES("/_sub"));
	check_bytes(http_path(BYTES("/_sub")), BYTES("/_sub"));
	check_bytes(http_path(BYTES("http://h:1/_sub?x=/")), BYTES("/_sub"));
	check_bytes(http_path(BYTES("http://h:1?x=/")), BYTES("/"));
	check_bytes(http_path(BYTES("http://h:1")), BYTES("/"));
	check_bytes(http_path(BYTES("*")), BYTES("*"));
	check_bytes(http_path(BYTES("?")), BYTES(""));
}

TEST(queries_as_go_reads_them)
{
	static const struct { const char *target, *value; } t[] = {
		{ "/?id=a", "a" },
		{ "/?id=a+b%40c%3A%28d%29-u", "a b@c:(d)-u" },
		{ "/?x=1&id=a&id=b", "a" },
		{ "/?%69d=a", "a" },
		{ "/?id", "" },
		{ "/?id=", "" },
		{ "/?id=a=b", "a=b" },
		{ "/?id=a?b", "a?b" },
		{ "/?&&id=%c3%A9&", "\xc3\xa9" },
		{ "/?id=%zz&id=b", "b" },
		{ "/?id=%4&id=b", "b" },
		{ "/?id=%&id=b", "b" },
		{ "/?id=a;b&id=c", "c" },
		{ "/?%zz=1&id=c", "c" },
		{ "http://h/?id=a", "a" },
		{ "/", NULL },
		{ "/?", NULL },
		{ "/?ID=a", NULL },
		{ "/?idx=a&xid=a&i=d", NULL },
		{ "/id=a", NULL },
		{ "", NULL }
	};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		buf_clear(&out);
		buf_add_str(&out, "what was there");
		if (http_query(bytes_str(t[i].target), "id", &out) != (t[i].value != NULL))
			test_failed(__FILE__, __LINE__, "%s", t[i].target);
		check_bytes(buf_bytes(&out), t[i].value ? bytes_str(t[i].value) : BYTES(""));
	}
	check(http_query(BYTES("/?id=a%00b"), "id", &out));
	check_bytes(buf_bytes(&out), BYTES("a\0b"));
	buf_release(&out);
}

TEST(escaping_comes_back)
{
	struct buf target = BUF_INIT, out = BUF_INIT;
	char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	buf_add_str(&target, "/?x=y&id=");
	http_add_query_escaped(&target, bytes_of(all, sizeof all));
	check(http_query(buf_bytes(&target), "id", &out));
	check_bytes(buf_bytes(&out), bytes_of(all, sizeof all));
	buf_clear(&out);
	http_add_query_escaped(&out, BYTES("a b@c:(d)-u_.~/\xc3\xa9+%"));
	check_bytes(buf_bytes(&out), BYTES("a+b%40c%3A%28d%29-u_.~%2F%C3%A9%2B%25"));
	buf_release(&target);
	buf_release(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 codec, writing: a publisher's requests as go-micro programs sent
 * them, replies and refusals as Go 1.26's net/http wrote them for a handler that
 * does what go-micro's does.
 */
#include <stdlib.h>
#include <time.h>

#include "backends/proto/envelope.h"
#include "tests/unit/http_literals.h"
#include "tests/unit/test.h"

TEST(publish_head_is_go_micros)
{
	struct buf out = BUF_INIT;

	http_add_publish_head(&out, BYTES("/"), BYTES("go.micro.topic.foo-" UUID),
		BYTES("127.0.0.1:35755"), 86);
	check_bytes(buf_bytes(&out), BYTES(V5_REQUEST));
	buf_clear(&out);
	http_add_publish_head(&out, BYTES("/_sub"), BYTES("a b-1"), BYTES("[::1]:9"), 0);
	check_bytes(buf_bytes(&out), BYTES("POST /_sub?id=a+b-1 HTTP/1.1\r\nHost: [::1]:9\r\n"
		"User-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\n"
		"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"));
	buf_release(&out);
}

/* A request with its body, as both broker dialects' publishers wrote them. */
static void
check_publication(const char *path, struct bytes id, struct bytes host, const char *topic_header,
	struct header h, struct bytes body, struct bytes want)
{
	struct header topic = { bytes_str(topic_header), BYTES("go.micro.topic.foo") };
	struct message m = { .headers = &h, .nheaders = 1, .body = body };
	struct buf out = BUF_INIT, envelope = BUF_INIT;

	envelope_write(&envelope, &m, &topic, 1);
	http_add_publish_head(&out, bytes_str(path), id, host, buf_len(&envelope));
	buf_add_bytes(&out, buf_bytes(&envelope));
	check_bytes(buf_bytes(&out), want);
	buf_release(&out);
	buf_release(&envelope);
}

#define V5_ID "go.micro.topic.foo-" UUID
#define V1_ID "go.micro.topic.foo-045ac2e5-bcd1-4105-9129-3023adbf739f"
#define HEAD(target, host, length) "POST " target " HTTP/1.1\r\nHost: " host "\r\n" \
	"User-Agent: Go-http-client/1.1\r\nContent-Length: " length "\r\n" \
	"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"

TEST(publications_are_go_micros)
{
	const struct header id = { BYTES("id"), BYTES("0") };
	const struct header odd = { BYTES("b<>&"), BYTES("x\"\\/") };

	/* v1.18.0 */
	check_publication("/_sub", BYTES(V1_ID), BYTES("10.77.0.1:36231"), ":topic", id,
		BYTES("hello <world>"), BYTES(HEAD("/_sub?id=" V1_ID, "10.77.0.1:36231", "81")
		"{\"Header\":{\":topic\":\"go.micro.topic.foo\",\"id\":\"0\"},"
		"\"Body\":\"aGVsbG8gPHdvcmxkPg==\"}"));
	check_publication("/_sub", BYTES(V1_ID), BYTES("10.77.0.1:36231"), ":topic", odd,
		BYTES("hi"), BYTES(HEAD("/_sub?id=" V1_ID, "10.77.0.1:36231", "87")
		"{\"Header\":{\":topic\":\"go.micro.topic.foo\","
		"\"b\\u003c\\u003e\\u0026\":\"x\\\"\\\\/\"},\"Body\":\"aGk=\"}"));
	/* v2.9.1 to v5.30.0 */
	check_publication("/", BYTES(V5_ID), BYTES("127.0.0.1:35755"), "Micro-Topic", id,
		BYTES("hello <world>"), BYTES(V5_REQUEST
		"{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\",\"id\":\"0\"},"
		"\"Body\":\"aGVsbG8gPHdvcmxkPg==\"}"));
	check_publication("/", BYTES(V5_ID), BYTES("127.0.0.1:35755"), "Micro-Topic", odd,
		BYTES("hi"), BYTES(HEAD("/?id=" V5_ID, "127.0.0.1:35755", "92")
		"{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\","
		"\"b\\u003c\\u003e\\u0026\":\"x\\\"\\\\/\"},\"Body\":\"aGk=\"}"));
}

TEST(replies_are_go_micros)
{
	struct buf out = BUF_INIT;

	http_add_ok(&out, DATE, false);
	check_bytes(buf_bytes(&out), BYTES(V5_REPLY));
	buf_clear(&out);
	http_add_ok(&out, DATE, true);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 200 OK\r\nDate: " DATE "\r\n"
		"Content-Length: 0\r\nConnection: close\r\n\r\n"));
	buf_clear(&out);
	http_add_error(&out, 500, BYTES("Topic not found"), DATE, false);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 500 Internal Server Error\r\nDate: " DATE "\r\n"
		"Content-Length: 95\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
		"{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Topic not found\","
		"\"status\":\"Internal Server Error\"}"));
	buf_clear(&out);
	http_add_error(&out, 500, BYTES("Topic not found"), DATE, true);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 500 Internal Server Error\r\nDate: " DATE "\r\n"
		"Content-Length: 95\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Connection: close\r\n\r\n"
		"{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"Topic not found\","
		"\"status\":\"Internal Server Error\"}"));
	buf_clear(&out);
	http_add_error(&out, 404, BYTES("no subscription"), DATE, false);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 404 Not Found\r\nDate: " DATE "\r\n"
		"Content-Length: 83\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
		"{\"id\":\"go.micro.broker\",\"code\":404,\"detail\":\"no subscription\","
		"\"status\":\"Not Found\"}"));
	buf_clear(&out);
	http_add_error(&out, 405, BYTES("Method not allowed"), DATE, false);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 405 Method Not Allowed\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
		"Date: " DATE "\r\nContent-Length: 89\r\n\r\n"
		"{\"id\":\"go.micro.broker\",\"code\":400,\"detail\":\"Method not allowed\","
		"\"status\":\"Bad Request\"}\n"));
	buf_clear(&out);
	http_add_error(&out, 500, BYTES("a\"<b>\n"), DATE, false);
	check_bytes(bytes_of(buf_data(&out) + buf_len(&out) - 98, 98),
		BYTES("{\"id\":\"go.micro.broker\",\"code\":500,\"detail\":\"a\\\"\\u003cb\\u003e\\n\","
		"\"status\":\"Internal Server Error\"}"));
	buf_clear(&out);
	http_add_page_not_found(&out, DATE, false);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 404 Not Found\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
		"Date: " DATE "\r\nContent-Length: 19\r\n\r\n404 page not found\n"));
	buf_clear(&out);
	http_add_page_not_found(&out, DATE, true);
	check_bytes(buf_bytes(&out), BYTES("HTTP/1.1 404 Not Found\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
		"Date: " DATE "\r\nContent-Length: 19\r\nConnection: close\r\n\r\n"
		"404 page not found\n"));
	buf_release(&out);
}

TEST(refusals_are_gos)
{
	static const struct { unsigned status; const char *why; struct bytes reply; } t[] = {
#define GO(status, why, line, body) { status, why, { \
	"HTTP/1.1 " line "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" body, \
	sizeof("HTTP/1.1 " line "\r\nContent-Type: text/plain; charset=utf-8\r\n" \
	"Connection: close\r\n\r\n" body) - 1 } }
		GO(400, NULL, "400 Bad Request", "400 Bad Request"),
		GO(400, "missing required Host header",
			"400 Bad Request: missing required Host header",
			"400 Bad Request: missing required Host header"),
		GO(505, "unsupported protocol version",
			"505 HTTP Version Not Supported: unsupported protocol version",
			"505 HTTP Version Not Supported: unsupported protocol version"),
		GO(431, "the head is too long", "431 Request Header Fields Too Large",
			"431 Request Header Fields Too Large"),
		GO(501, "unsupported transfer encoding", "501 Not Implemented",
			"Unsupported transfer encoding")
	};
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		buf_clear(&out);
		http_add_bad_request(&out, t[i].status, t[i].why);
		check_bytes(buf_bytes(&out), t[i].reply);
	}
	buf_release(&out);
}

TEST(what_we_write_we_can_read)
{
	struct buf out = BUF_INIT;
	struct http_head h;
	const char *why;

	http_add_error(&out, 500, BYTES("x"), DATE, true);
	need(http_response_parse(&h, buf_data(&out), buf_len(&out), &why) == HTTP_OK);
	check_int(h.status, 500);
	check(!h.keep_alive);
	check_int(h.size + h.content_length, buf_len(&out));
	check_bytes(h.content_type, BYTES("text/plain; charset=utf-8"));
	buf_clear(&out);
	http_add_bad_request(&out, 400, "x");
	need(http_response_parse(&h, buf_data(&out), buf_len(&out), &why) == HTTP_OK);
	check(!h.has_length && !h.chunked && !h.keep_alive);
	buf_release(&out);
}

TEST(dates)
{
	char out[30], want[40];

	http_date(out, 1795257537);
	check_str(out, DATE);
	http_date(out, 0);
	check_str(out, "Thu, 01 Jan 1970 00:00:00 GMT");
	http_date(out, -1);
	check_str(out, "Wed, 31 Dec 1969 23:59:59 GMT");
	http_date(out, 951782400);
	check_str(out, "Tue, 29 Feb 2000 00:00:00 GMT");
	http_date(out, INT64_MAX);
	check_str(out, "Fri, 31 Dec 9999 23:59:59 GMT");
	http_date(out, INT64_MIN);
	check_str(out, "Wed, 01 Mar 0000 00:00:00 GMT");
	/* each day of 1000...3000 against the C library (in the C locale) */
	for (int64_t day = -354285; day < 376200; day++) {
		time_t s = day * 86400 + (day & 0xffff);
		struct tm tm;

		http_date(out, s);
		gmtime_r(&s, &tm);
		strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
		if (strcmp(out, want) != 0) {
			test_failed(__FILE__, __LINE__, "%s, not %s", out, want);
			break;
		}
	}
}

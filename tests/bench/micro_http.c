/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP codec costs, in ns per operation, for go-micro's request and its
 * reply. Prints the lowest of several rounds, as micro_envelope does. For people;
 * nothing is judged by it.
 */
#include <stdio.h>
#include <time.h>

#include "backends/proto/http.h"

enum { ROUNDS = 30, LOOPS = 20000 };

#define ID "go.micro.topic.foo-0eab78db-b2b6-4c93-b0cd-f4e5b25ffe0f"
#define DATE "Sat, 21 Nov 2026 10:38:57 GMT"

static const char request[] = "POST /?id=" ID " HTTP/1.1\r\nHost: 127.0.0.1:35755\r\n"
	"User-Agent: Go-http-client/1.1\r\nContent-Length: 86\r\n"
	"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n";
static const char reply[] = "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Length: 0\r\n\r\n";

static struct http_head head;
static struct buf out;
static volatile size_t sink;		/* keeps results alive */

static void
read_request(void)
{
	const char *error;

	http_request_parse(&head, request, sizeof request - 1, &error);
	sink += head.size;
}

static void
read_reply(void)
{
	const char *error;

	http_response_parse(&head, reply, sizeof reply - 1, &error);
	sink += head.size;
}

static void
read_query(void)
{
	sink += http_query(BYTES("/?id=" ID), "id", &out);
}

static void
write_request(void)
{
	buf_clear(&out);
	http_add_publish_head(&out, BYTES("/"), BYTES(ID), BYTES("127.0.0.1:35755"), 86);
}

static void
write_reply(void)
{
	buf_clear(&out);
	http_add_ok(&out, DATE, false);
}

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
run(const char *name, void (*fn)(void))
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), ns;

		for (int i = 0; i < LOOPS; i++)
			fn();
		ns = (now_ns() - start) / LOOPS;
		best = ns < best ? ns : best;
	}
	printf("%-32s %8.1f ns\n", name, best);
}

int
main(void)
{
	run("read a request head (208 B)", read_request);
	run("read a reply (75 B)", read_reply);
	run("read the id of a target", read_query);
	run("write a request head", write_request);
	run("write a reply", write_reply);
	buf_release(&out);
	return 0;
}

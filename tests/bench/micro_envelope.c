/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the codecs on the event path cost, in ns per operation: the envelope
 * both ways, and what it is made of. Prints the lowest of several rounds (the
 * machine is rarely alone, and others can only add). For people; nothing is
 * judged by it.
 */
#include <stdio.h>
#include <time.h>

#include "backends/proto/envelope.h"
#include "core/text.h"
#include "core/units.h"

enum { ROUNDS = 30 };

static struct header headers[2];
static struct message msg;
static struct header extra;
static struct buf out, wire, copy, work;
static struct envelope env;
static struct bytes input;
static char body[65536];
static volatile size_t sink;		/* keeps results alive */

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Times fn; per is the number of bytes it goes through, or 0. */
static void
run(const char *name, void (*fn)(void), size_t per)
{
	double best = 1e18, ns, start;
	long loops = 1;

	do {
		loops *= 2;
		start = now_ns();
		for (long i = 0; i < loops; i++)
			fn();
	} while (now_ns() - start < 2e6);
	for (int r = 0; r < ROUNDS; r++) {
		start = now_ns();
		for (long i = 0; i < loops; i++)
			fn();
		ns = (now_ns() - start) / (double)loops;
		best = ns < best ? ns : best;
	}
	printf("%-34s %10.1f ns", name, best);
	if (per)
		printf("  %6.2f GB/s", (double)per / best);
	putchar('\n');
}

static void
do_write(void)
{
	buf_clear(&out);
	envelope_write(&out, &msg, &extra, 1);
	sink += buf_len(&out);
}

/* Reading spoils its input, so a fresh copy is part of what is timed here; the
 * line "copy" tells how much of it. */
static void
do_copy(void)
{
	memcpy(buf_data(&work), input.p, input.n);
	__asm__ volatile("" : : "r"(buf_data(&work)) : "memory");
}

static void
do_read(void)
{
	do_copy();
	sink += (size_t)envelope_read(&env, buf_data(&work), input.n) + env.msg.body.n;
}

static void
do_looks_like(void)
{
	sink += envelope_looks_like(input.p, input.n);
}

static void
do_valid(void)
{
	sink += json_valid(input.p, input.n);
}

static void
do_utf8(void)
{
	sink += utf8_valid(input.p, input.n);
}

static void
do_event_string(void)
{
	buf_clear(&out);
	json_add_string(&out, input);
	sink += buf_len(&out);
}

static void
do_go_string(void)
{
	buf_clear(&out);
	json_add_go_string(&out, input);
	sink += buf_len(&out);
}

static void
do_encode(void)
{
	buf_clear(&out);
	buf_add_base64(&out, input.p, input.n);
	sink += buf_len(&out);
}

static void
do_decode(void)
{
	size_t len;

	sink += base64_decode(buf_data(&copy), &len, input.p, input.n) + len;
}

static void
do_time(void)
{
	buf_clear(&out);
	units_add_time_us(&out, INT64_C(1795244130618709) + (int64_t)(sink & 0xffff));
	sink += buf_len(&out);
}

static void
envelopes(size_t size)
{
	char name[64];

	msg.body = bytes_of(body, size);
	buf_clear(&wire);
	envelope_write(&wire, &msg, &extra, 1);
	input = buf_bytes(&wire);
	buf_room(&work, input.n + 1);
	printf("-- body of %zu B, two headers and the topic's: %zu B on the wire\n", size, input.n);
	snprintf(name, sizeof name, "envelope_write");
	run(name, do_write, input.n);
	run("copy", do_copy, input.n);
	run("copy and envelope_read", do_read, input.n);
	run("envelope_looks_like", do_looks_like, input.n);

	/* The same with a space in front: the general way. */
	buf_clear(&copy);
	buf_add_ch(&copy, ' ');
	buf_add_bytes(&copy, input);
	input = buf_bytes(&copy);
	run("copy and envelope_read, general", do_read, input.n);
}

static void
on(const char *name, void (*fn)(void), struct bytes over)
{
	input = over;
	run(name, fn, over.n);
}

int
main(void)
{
	static const char object[] = "{\"id\":7,\"name\":\"Grace Hopper\","
		"\"tags\":[\"a\",\"b\",\"c\"],\"address\":{\"city\":\"New York\","
		"\"zip\":\"10001\",\"ok\":true},\"score\":1.5e2}";

	for (size_t i = 0; i < sizeof body; i++)
		body[i] = "the quick brown fox jumps over the lazy dog "[i % 44];
	headers[0] = (struct header){ BYTES("id"), BYTES("0") };
	headers[1] = (struct header){ BYTES("trace-id"), BYTES("4bf92f3577b34da6") };
	extra = (struct header){ BYTES("Micro-Topic"), BYTES("go.micro.topic.foo") };
	msg.headers = headers;
	msg.nheaders = 2;
	envelope_init(&env);
	buf_room(&copy, 2 * sizeof body);

	envelopes(100);
	envelopes(1024);
	envelopes(sizeof body);

	puts("-- parts");
	on("json_valid, object", do_valid, bytes_of(object, sizeof object - 1));
	on("json_valid, plain words", do_valid, bytes_of(body, 100));
	on("json_valid, almost a number", do_valid, BYTES("12:30:01 started"));
	on("utf8_valid, ASCII 100 B", do_utf8, bytes_of(body, 100));
	on("utf8_valid, ASCII 64 KiB", do_utf8, bytes_of(body, sizeof body));
	on("json_add_string 100 B", do_event_string, bytes_of(body, 100));
	on("json_add_string 64 KiB", do_event_string, bytes_of(body, sizeof body));
	on("json_add_go_string 18 B", do_go_string, BYTES("go.micro.topic.foo"));
	on("base64_encode 100 B", do_encode, bytes_of(body, 100));
	on("base64_encode 64 KiB", do_encode, bytes_of(body, sizeof body));
	buf_clear(&wire);
	buf_add_base64(&wire, body, 100);
	on("base64_decode 136 chars", do_decode, buf_bytes(&wire));
	buf_clear(&wire);
	buf_add_base64(&wire, body, sizeof body);
	on("base64_decode 87384 chars", do_decode, buf_bytes(&wire));
	on("units_add_time_us", do_time, bytes_of("", 0));

	envelope_release(&env);
	buf_release(&out);
	buf_release(&wire);
	buf_release(&copy);
	buf_release(&work);
	return 0;
}

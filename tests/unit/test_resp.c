/* SPDX-License-Identifier: Apache-2.0 */
/* RESP2: literal bytes of go-micro's redis plugin and of redis-server 7.0, each cut at
 * every byte. */
#include <stdlib.h>

#include "backends/proto/resp.h"
#include "tests/unit/test.h"

/* A reply as text: "[message t.a {...}]", with types: +status -error :n $string ~ */
static void
show(struct buf *b, const struct resp_value **v)
{
	const struct resp_value *at = (*v)++;

	switch (at->type) {
	case RESP_STATUS:
	case RESP_ERROR:
	case RESP_STRING:
		buf_add_ch(b, "+-:$"[at->type]);
		buf_add_bytes(b, resp_bytes(at));
		break;
	case RESP_INTEGER:
		buf_addf(b, ":%lld", (long long)at->n);
		break;
	case RESP_NULL:
		buf_add_ch(b, '~');
		break;
	case RESP_ARRAY:
		buf_add_ch(b, '[');
		for (int64_t i = 0; i < at->n; i++) {
			if (i)
				buf_add_ch(b, ' ');
			show(b, v);
		}
		buf_add_ch(b, ']');
		if (*v != at + at->size)
			buf_addf(b, "size %u", at->size);
		break;
	}
}

/* The whole, then in two pieces cut at every place, from memory that moves. */
static void
reads_as(const char *file, int line, struct bytes in, const char *want)
{
	struct resp_reader r = { 0 };
	struct buf got = BUF_INIT;

	for (size_t cut = 0; cut <= in.n; cut++) {
		char *part = malloc(cut + 1), *all = malloc(in.n + 1);
		const struct resp_value *v;
		ssize_t n = 0;

		memcpy(part, in.p, cut);
		memcpy(all, in.p, in.n);
		if (cut < in.n)
			n = resp_read(&r, part, cut);
		free(part);
		if (n)
			test_failed(file, line, "cut at %zu: %zd", cut, n);
		n = resp_read(&r, all, in.n);
		if (n != (ssize_t)in.n)
			test_failed(file, line, "cut at %zu, then all: %zd of %zu (%s)", cut, n, in.n,
				r.error ? r.error : "");
		if (n > 0) {
			v = r.v;
			buf_clear(&got);
			show(&got, &v);
			test_eq_bytes(file, line, "reply", buf_bytes(&got), bytes_str(want));
			if (v != r.v + r.nv)
				test_failed(file, line, "%zu values", r.nv);
		}
		free(all);
	}
	buf_release(&got);
	resp_release(&r);
}
#define READS(lit, want) reads_as(__FILE__, __LINE__, BYTES(lit), want)

static void
fails_as(const char *file, int line, struct bytes in, const char *want)
{
	struct resp_reader r = { 0 };
	ssize_t n = resp_read(&r, in.p, in.n);

	if (n != -1)
		test_failed(file, line, "%zd", n);
	else
		test_eq_bytes(file, line, "error", bytes_str(r.error), bytes_str(want));
	resp_release(&r);
}
#define FAILS(lit, want) fails_as(__FILE__, __LINE__, BYTES(lit), want)

TEST(scalars)
{
	READS("+OK\r\n", "+OK");
	READS("+\r\n", "+");
	READS("-WRONGPASS invalid username-password pair or user is disabled.\r\n",
		"-WRONGPASS invalid username-password pair or user is disabled.");
	READS(":0\r\n", ":0");
	READS(":-1\r\n", ":-1");
	READS(":9223372036854775807\r\n", ":9223372036854775807");
	READS(":-9223372036854775808\r\n", ":-9223372036854775808");
	READS("$0\r\n\r\n", "$");
	READS("$3\r\nfoo\r\n", "$foo");
	READS("$4\r\n\r\n\r\n\r\n", "$\r\n\r\n");
	READS("$-1\r\n", "~");
	READS("*-1\r\n", "~");
	READS("*0\r\n", "[]");
}

TEST(nested)
{
	READS("*3\r\n$7\r\nmessage\r\n$3\r\nt.a\r\n$34\r\n{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}\r\n",
		"[$message $t.a ${\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}]");
	READS("*3\r\n$9\r\nsubscribe\r\n$3\r\nt.a\r\n:1\r\n", "[$subscribe $t.a :1]");
	READS("*4\r\n$8\r\npmessage\r\n$3\r\nt.*\r\n$3\r\nt.a\r\n$2\r\nhi\r\n",
		"[$pmessage $t.* $t.a $hi]");
	READS("*1\r\n*2\r\n$2\r\nst\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nbody\r\n$0\r\n\r\n"
		"*2\r\n$3\r\n2-0\r\n*-1\r\n",
		"[[$st [[$1-0 [$k $v $body $]] [$2-0 ~]]]]");
	READS("*3\r\n*0\r\n*1\r\n*0\r\n:5\r\n", "[[] [[]] :5]");
	READS("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "[[[[[[[:1]]]]]]]");
}

TEST(one_behind_the_other)
{
	static const char in[] = ":1\r\n:22\r\n*1\r\n+x\r\n:3";
	struct resp_reader r = { 0 };
	size_t at = 0;
	ssize_t n;
	int found = 0;

	while ((n = resp_read(&r, in + at, sizeof in - 1 - at)) > 0) {
		at += (size_t)n;
		found++;
	}
	check_int(n, 0);
	check_int(found, 3);
	check_bytes(bytes_str(in + at), BYTES(":3"));
	/* The connection goes; the next begins anew. */
	resp_reset(&r);
	check_int(resp_read(&r, "+OK\r\n", 5), 5);
	check_int(r.nv, 1);
	resp_release(&r);
}

TEST(not_resp)
{
	FAILS("HTTP/1.1 400 Bad Request\r\n", "no type of RESP2");
	FAILS("%1\r\n", "no type of RESP2");
	FAILS("\r\n", "no type of RESP2");
	FAILS(":\r\n", "no number where one belongs");
	FAILS(":+1\r\n", "no number where one belongs");
	FAILS(":01\r\n", "no number where one belongs");
	FAILS(":-0\r\n", "no number where one belongs");
	FAILS(":1 \r\n", "no number where one belongs");
	FAILS(":9223372036854775808\r\n", "no number where one belongs");
	FAILS(":-9223372036854775809\r\n", "no number where one belongs");
	FAILS(":11111111111111111111111111", "no number where one belongs");
	FAILS("$-2\r\n", "a length below nothing");
	FAILS("*-2\r\n", "a length below nothing");
	FAILS("$9223372036854775807\r\n", "a string of such a length");
	FAILS("$1\r\nab\r\n", "a string that is longer than was said");
	FAILS("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "arrays too deep in arrays");
	FAILS("*4194304\r\n", "an array of so many elements");
	FAILS("*9223372036854775807\r\n", "an array of so many elements");
	FAILS("*2\r\n*4194303\r\n", "an array of so many elements");
}

TEST(a_line_ends)
{
	struct resp_reader r = { 0 };
	char *p = malloc(RESP_LINE + 10);

	memset(p, '+', RESP_LINE + 10);
	check_int(resp_read(&r, p, RESP_LINE), 0);
	check_int(resp_read(&r, p, RESP_LINE + 10), -1);
	check_str(r.error, "a line without an end");
	resp_release(&r);
	free(p);
	/* As hiredis of 2023 has it; the protocol does not allow it. */
	FAILS("-ERR one\n-ERR two\r\n", "a line with half of a line's end in it");
	FAILS("+a\rb\r\n", "a line with half of a line's end in it");
	FAILS("+\r\r\n", "a line with half of a line's end in it");
}

/* A large string is not looked at again before all of it is there. */
TEST(large)
{
	struct resp_reader r = { 0 };
	size_t n = 1 << 20;
	char *p = malloc(n + 30);
	int head = sprintf(p, "$%zu\r\n", n);

	memset(p + head, 'x', n);
	memcpy(p + head + n, "\r\n", 2);
	check_int(resp_read(&r, p, (size_t)head), 0);
	check_int(r.need, (size_t)head + n + 2);
	check_int(resp_read(&r, p, (size_t)head + n), 0);
	check_int(resp_read(&r, p, (size_t)head + n + 2), (ssize_t)((size_t)head + n + 2));
	check_int(r.v[0].n, (long long)n);
	check_int(r.need, 0);
	resp_release(&r);
	free(p);
}

/* As go-micro's plugin writes them. */
TEST(commands)
{
	struct buf b = BUF_INIT;

	resp_command(&b, 3);
	resp_word_str(&b, "PUBLISH");
	resp_word(&b, BYTES("t.a"));
	resp_word(&b, BYTES("{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}"));
	check_bytes(buf_bytes(&b), BYTES("*3\r\n$7\r\nPUBLISH\r\n$3\r\nt.a\r\n"
		"$34\r\n{\"Header\":{\"k\":\"v\"},\"Body\":\"aGk=\"}\r\n"));
	buf_clear(&b);
	resp_command(&b, 2);
	resp_word_str(&b, "SUBSCRIBE");
	resp_word_str(&b, "t.a");
	check_bytes(buf_bytes(&b), BYTES("*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\nt.a\r\n"));
	buf_clear(&b);
	resp_word(&b, BYTES("\0\r\n"));
	resp_word(&b, bytes_of(NULL, 0));
	resp_word_u64(&b, UINT64_MAX);
	check_bytes(buf_bytes(&b), BYTES("$3\r\n\0\r\n\r\n$0\r\n\r\n$20\r\n18446744073709551615\r\n"));
	buf_release(&b);
}

/* Whatever was guessed of a length, the right one is written. */
TEST(guesses)
{
	static const size_t guesses[] = { 0, 1, 9, 10, 99, 100, 12345 };
	static const size_t lengths[] = { 0, 1, 9, 10, 11, 99, 100, 1000 };

	for (size_t g = 0; g < sizeof guesses / sizeof *guesses; g++) {
		for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
			struct buf b = BUF_INIT, want = BUF_INIT;
			char text[1000];
			size_t begun;

			memset(text, 'x', sizeof text);
			buf_add_str(&b, "before");
			begun = resp_word_begin(&b, guesses[g]);
			buf_add(&b, text, lengths[l]);
			resp_word_end(&b, begun);
			buf_add_str(&want, "before");
			resp_word(&want, bytes_of(text, lengths[l]));
			check_bytes(buf_bytes(&b), buf_bytes(&want));
			buf_release(&b);
			buf_release(&want);
		}
	}
}

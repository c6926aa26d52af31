/* SPDX-License-Identifier: Apache-2.0 */
/* core/buf: growing, taking from the front, and what stays where it is. */
#include <stdlib.h>

#include "core/buf.h"
#include "tests/unit/test.h"

TEST(empty)
{
	struct buf b = BUF_INIT;

	check_int(buf_len(&b), 0);
	check_bytes(buf_bytes(&b), BYTES(""));
	check_str(buf_cstr(&b), "");
	buf_add(&b, NULL, 0);
	buf_add_str(&b, "");
	buf_consume(&b, 0);
	buf_clear(&b);
	check_int(buf_len(&b), 0);
	buf_release(&b);
	buf_release(&b);
	check(b.data == NULL && b.cap == 0);
}

TEST(adding)
{
	struct buf b = BUF_INIT;

	buf_add(&b, "a\0b", 3);
	buf_add_ch(&b, '\0');
	buf_add_str(&b, "text");
	buf_add_bytes(&b, BYTES("\xff"));
	check_bytes(buf_bytes(&b), BYTES("a\0b\0text\xff"));
	buf_truncate(&b, 3);
	check_bytes(buf_bytes(&b), BYTES("a\0b"));
	buf_release(&b);
}

TEST(numbers)
{
	static const struct { uint64_t n; const char *text; } cases[] = {
		{ 0, "0" }, { 9, "9" }, { 10, "10" }, { 99999, "99999" },
		{ UINT64_MAX, "18446744073709551615" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b = BUF_INIT;

		buf_add_u64(&b, cases[i].n);
		check_str(buf_cstr(&b), cases[i].text);
		buf_release(&b);
	}
}

TEST(formatting)
{
	struct buf b = BUF_INIT;

	buf_addf(&b, "%s", "");
	check_int(buf_len(&b), 0);
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%d,%s;", i, i % 2 ? "odd" : "even");
	check(memcmp(buf_data(&b), "0,even;1,odd;2,even;", 20) == 0);
	/* Just the room there is: the NUL of vsnprintf() must not be written behind it. */
	buf_release(&b);
	buf_room(&b, 256);
	buf_addf(&b, "%255s", "x");
	check_int(buf_len(&b), 255);
	buf_addf(&b, "y");
	check_int(buf_len(&b), 256);
	check_int(buf_cstr(&b)[255], 'y');
	buf_release(&b);
}

/* The NUL of buf_cstr() is not content. */
TEST(c_string)
{
	struct buf b = BUF_INIT;

	buf_add_str(&b, "one");
	check_str(buf_cstr(&b), "one");
	buf_add_str(&b, " two");
	check_str(buf_cstr(&b), "one two");
	buf_consume(&b, 4);
	check_str(buf_cstr(&b), "two");
	buf_release(&b);
}

TEST(consuming_copies_nothing)
{
	struct buf b = BUF_INIT;
	const char *at;

	buf_add_str(&b, "0123456789");
	at = buf_data(&b);
	buf_consume(&b, 4);
	check(buf_data(&b) == at + 4);
	check_bytes(buf_bytes(&b), BYTES("456789"));
	/* Emptied, it begins at the front again. */
	buf_consume(&b, 6);
	check_int(b.start, 0);
	check_int(b.end, 0);
	buf_release(&b);
}

/* Adding and taking at random: the content is always what a model says, and the
 * allocation stays in proportion. */
TEST(any_sequence)
{
	enum { MODEL = 1 << 20 };
	char *model = xmalloc(MODEL);
	size_t from = 0, to = 0, peak = 0;
	struct buf b = BUF_INIT;
	unsigned char next = 0;

	srandom(7);
	for (int step = 0; step < 20000 && to < MODEL - 5000; step++) {
		size_t n = (size_t)random() % (random() % 10 ? 60 : 4000);

		if (random() % 2) {
			char *p = buf_room(&b, n);

			for (size_t i = 0; i < n; i++)
				p[i] = model[to + i] = (char)next++;
			buf_added(&b, n);
			to += n;
		} else {
			if (n > to - from)
				n = to - from;
			buf_consume(&b, n);
			from += n;
		}
		need(b.start <= b.end && b.end <= b.cap);
		need(buf_len(&b) == to - from);
		need(memcmp(buf_bytes(&b).p, model + from, to - from) == 0);
		peak = to - from > peak ? to - from : peak;
		need(b.cap <= 4 * (peak + 4000));
	}
	buf_release(&b);
	free(model);
}

/* A queue of constant length must not grow for ever, nor be moved at each step. */
TEST(steady_queue)
{
	struct buf b = BUF_INIT;
	size_t moves = 0;

	for (int i = 0; i < 100000; i++) {
		size_t before = b.start;

		buf_add(&b, "0123456789abcdef", 16);
		moves += b.start < before;
		if (buf_len(&b) > 1000)
			buf_consume(&b, 16);
	}
	check(b.cap <= 8192);
	check(moves < 10000);
	buf_release(&b);
}

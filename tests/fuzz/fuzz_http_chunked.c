/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked bodies. Properties: the same bytes give the same data, result and
 * length whether they come at once or in pieces (the first byte of the input
 * says how large); no more is decoded than allowed; a body written as chunks is
 * read back.
 */
#include "tests/fuzz/http.h"

enum { MAX = 4096 };

struct decoded {
	enum http_result result;
	struct buf data;
	size_t used;
};

static void
decode(struct decoded *d, const char *p, size_t n, size_t piece)
{
	struct http_chunks c;

	http_chunks_init(&c);
	*d = (struct decoded){ .result = HTTP_MORE };
	while (d->used < n && d->result == HTTP_MORE) {
		size_t take = n - d->used < piece ? n - d->used : piece, used, len;
		const char *error = NULL;
		char *copy = xmalloc(take);

		memcpy(copy, p + d->used, take);
		d->result = http_chunked(&c, copy, take, MAX, &used, &len, &error);
		must(len <= used && used <= take);
		must(d->result != HTTP_MORE || used == take);
		must(d->result != HTTP_BAD || (error && *error));
		buf_add(&d->data, copy, len);
		d->used += used;
		free(copy);
	}
	must(buf_len(&d->data) <= MAX);
}

/* Chunks of odd sizes made of the input, and back. */
static void
check_round_trip(const char *p, size_t n, size_t piece)
{
	struct buf wire = BUF_INIT;
	struct decoded d;

	if (n > MAX)
		n = MAX;
	for (size_t at = 0, size; at < n; at += size) {
		size = 1 + (unsigned char)p[at] % 50;
		if (size > n - at)
			size = n - at;
		buf_addf(&wire, at & 1 ? "%zx\r\n" : "%zX;a=b\r\n", size);
		buf_add(&wire, p + at, size);
		buf_add_str(&wire, "\r\n");
	}
	buf_add_str(&wire, "000\r\nX: y\r\n\r\nrest");
	decode(&d, buf_data(&wire), buf_len(&wire), piece);
	must(d.result == HTTP_OK && d.used == buf_len(&wire) - 4);
	must(bytes_eq(buf_bytes(&d.data), bytes_of(p, n)));
	buf_release(&d.data);
	buf_release(&wire);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data + 1;
	struct decoded whole, pieces;
	size_t piece;

	if (n < 2)
		return 0;
	piece = 1 + data[0] % 32;
	n--;
	decode(&whole, p, n, n);
	decode(&pieces, p, n, piece);
	must(whole.result == pieces.result && whole.used == pieces.used);
	must(bytes_eq(buf_bytes(&whole.data), buf_bytes(&pieces.data)));
	buf_release(&whole.data);
	buf_release(&pieces.data);
	check_round_trip(p, n, piece);
	return 0;
}

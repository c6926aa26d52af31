/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go-micro's envelope from any bytes. What must hold:
 *  - the short way and the general one say the same (a space in front makes any
 *    text one for the general way);
 *  - what is read is sorted, each name once, all of it UTF-8;
 *  - what is read, written, and read again is the same; written twice, the same
 *    bytes;
 *  - what looks like an envelope can be read, and looking changes nothing;
 *  - a text that is not JSON is refused, and only such a one for its syntax;
 *  - a message of any bytes can be written, and its body comes back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/proto/envelope.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
	     abort(); } } while (0)

/* Without a byte behind it, so that the sanitizer sees reads beyond n. */
static char *
copy(const void *p, size_t n, size_t space)
{
	char *c = malloc(n + space);

	memset(c, ' ', space);
	if (n)
		memcpy(c + space, p, n);
	return c;
}

static void
must_equal(const struct message *a, const struct message *b)
{
	must(a->nheaders == b->nheaders && !a->headers == !b->headers);
	for (size_t i = 0; i < a->nheaders; i++) {
		must(bytes_eq(a->headers[i].name, b->headers[i].name));
		must(bytes_eq(a->headers[i].value, b->headers[i].value));
		must(a->headers[i].name.p && a->headers[i].value.p);
	}
	must(!a->body.p == !b->body.p && bytes_eq(a->body, b->body));
}

static void
must_be_in_order(const struct message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		const struct header *h = &m->headers[i];

		must(i == 0 || bytes_cmp(h[-1].name, h->name) < 0);
		must(utf8_valid(h->name.p, h->name.n) && utf8_valid(h->value.p, h->value.n));
	}
}

static void
must_come_back(const struct message *m)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct envelope e;
	char *p;

	envelope_init(&e);
	envelope_write(&once, m, NULL, 0);
	must(envelope_looks_like(buf_data(&once), buf_len(&once)));
	p = copy(buf_data(&once), buf_len(&once), 0);
	must(envelope_read(&e, p, buf_len(&once)) == 0);
	must_equal(m, &e.msg);
	envelope_write(&twice, &e.msg, NULL, 0);
	must(bytes_eq(buf_bytes(&once), buf_bytes(&twice)));
	free(p);
	buf_release(&once);
	buf_release(&twice);
	envelope_release(&e);
}

static void
read_it(const uint8_t *data, size_t n)
{
	static struct envelope kept;	/* reused, as a connection does */
	char *p = copy(data, n, 0), *q = copy(data, n, 1);
	bool looks = envelope_looks_like(p, n);
	bool valid = json_valid(p, n);
	struct envelope fresh;
	int r;

	must(n == 0 || memcmp(p, data, n) == 0);
	envelope_init(&fresh);
	r = envelope_read(&kept, p, n);
	must(envelope_read(&fresh, q, n + 1) == r);
	must(strcmp(kept.error, fresh.error) == 0);
	if (r == 0) {
		must(valid);
		must_equal(&kept.msg, &fresh.msg);
		must_be_in_order(&kept.msg);
		must_come_back(&kept.msg);
	} else {
		bool type = strncmp(kept.error, "json: ", 6) == 0 ||
			strncmp(kept.error, "illegal base64 ", 15) == 0;

		must(kept.error[0] && !looks && valid == type);
	}
	free(p);
	free(q);
	envelope_release(&fresh);
}

/* The input as a message: three names and values by the lengths of its first six
 * bytes, the rest the body. */
static void
write_it(const uint8_t *data, size_t n)
{
	struct header h[3];
	struct message m = { .headers = h, .nheaders = 3 };
	const uint8_t *p = data + 6, *end = data + n;
	struct buf b = BUF_INIT;
	struct envelope e;

	if (n < 6)
		return;
	for (int i = 0; i < 6; i++) {
		size_t len = data[i] < end - p ? data[i] : (size_t)(end - p);

		*(i % 2 ? &h[i / 2].value : &h[i / 2].name) = bytes_of(p, len);
		p += len;
	}
	m.body = bytes_of(p, (size_t)(end - p));
	envelope_init(&e);
	envelope_write(&b, &m, &h[0], 1);
	must(envelope_looks_like(buf_data(&b), buf_len(&b)));
	must(envelope_read(&e, buf_data(&b), buf_len(&b)) == 0);
	must(bytes_eq(e.msg.body, m.body) && e.msg.body.p);
	must_be_in_order(&e.msg);
	if (utf8_valid(h[0].name.p, h[0].name.n) && utf8_valid(h[0].value.p, h[0].value.n)) {
		bool found = false;

		for (size_t i = 0; i < e.msg.nheaders; i++)
			found = found || (bytes_eq(e.msg.headers[i].name, h[0].name) &&
				bytes_eq(e.msg.headers[i].value, h[0].value));
		/* Another name that is not UTF-8 may have become the same. */
		must(found || !utf8_valid(h[1].name.p, h[1].name.n) ||
			!utf8_valid(h[2].name.p, h[2].name.n));
	}
	envelope_release(&e);
	buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	read_it(data, n);
	write_it(data, n);
	return 0;
}

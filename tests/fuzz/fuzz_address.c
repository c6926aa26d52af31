/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of brokers. Properties: a list's pieces and its commas are the list; what
 * an address is taken apart to lies in it, and put together again means the same; no
 * error quotes what stands before an '@'; what is %-encoded decodes to what it was.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/address.h"
#include "core/buf.h"

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%d: %s\n", __LINE__, #cond); abort(); } } while (0)

static void
must_lie_in(struct bytes part, struct bytes whole)
{
	must(!part.p || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void
must_be_same(struct bytes a, struct bytes b)
{
	must(!a.p == !b.p && bytes_eq(a, b));
}

static void
put_together(struct buf *b, const struct address *a)
{
	bool v6 = a->host.n && memchr(a->host.p, ':', a->host.n);

	if (a->scheme.p)
		buf_addf(b, "%.*s://", BYTES_FMT(a->scheme));
	else if (a->socket.p && *a->socket.p != '/')
		buf_add_str(b, "unix:");
	if (a->userinfo.p) {
		buf_add_bytes(b, a->userinfo);
		buf_add_ch(b, '@');
	}
	buf_add_bytes(b, a->socket);
	buf_addf(b, v6 ? "[%.*s]" : "%.*s", BYTES_FMT(a->host));
	if (a->port)
		buf_addf(b, ":%u", a->port);
	if (a->path.n) {
		buf_add_ch(b, '/');
		buf_add_bytes(b, a->path);
	}
	if (a->query.p) {
		buf_add_ch(b, '?');
		buf_add_bytes(b, a->query);
	}
}

static void
check_parts(struct bytes one, const struct address *a)
{
	struct buf b = BUF_INIT;
	struct address again;
	struct error err;

	must_lie_in(a->scheme, one);
	must_lie_in(a->host, one);
	must_lie_in(a->socket, one);
	must_lie_in(a->path, one);
	must_lie_in(a->query, one);
	must_lie_in(a->userinfo, one);
	must(a->port <= 65535 && a->host.n <= 253 && a->socket.n <= 107);
	must(!a->socket.p || (a->socket.n && !a->host.n && !a->port && !a->path.n));
	must(a->scheme.p || (!a->userinfo.p && !a->query.p && !a->path.n));
	put_together(&b, a);
	if (buf_len(&b)) {		/* ":0" is none, so this has a host, a port or a path */
		must(address_parse(buf_bytes(&b), &again, &err) == 0);
		must_be_same(again.scheme, a->scheme);
		must_be_same(again.socket, a->socket);
		must_be_same(again.query, a->query);
		must_be_same(again.userinfo, a->userinfo);
		must(bytes_eq(again.host, a->host) && bytes_eq(again.path, a->path));
		must(again.port == a->port);
	}
	buf_release(&b);
}

static void
check_secret(struct bytes one)
{
	const char *at = memchr(one.p, '@', one.n);
	struct buf b = BUF_INIT;
	struct error err = ERROR_INIT;
	struct address a;

	if (!at || memmem(one.p, one.n, "HuSh", 4))
		return;
	buf_add(&b, one.p, (size_t)(at - one.p));
	buf_add_str(&b, "HuShHuSh");
	buf_add(&b, at, one.n - (size_t)(at - one.p));
	if (address_parse(buf_bytes(&b), &a, &err) < 0)
		must(!strstr(err.text, "HuSh"));
	buf_release(&b);
}

static void
check_one(struct bytes one)
{
	struct error err = ERROR_INIT;
	struct address a;

	if (address_parse(one, &a, &err) == 0)
		check_parts(one, &a);
	else
		must(err.kind == ERR_USAGE && *err.text);
	check_secret(one);
}

static void
check_decoding(struct bytes text)
{
	char *copy = xmemdup0(text.p, text.n);
	struct buf b = BUF_INIT;

	must(address_decode(copy, text.n) <= text.n);
	for (size_t i = 0; i < text.n; i++)
		buf_addf(&b, i % 2 ? "%%%02x" : "%%%02X", (unsigned char)text.p[i]);
	must(address_decode(buf_data(&b), buf_len(&b)) == text.n);
	must(!text.n || memcmp(buf_data(&b), text.p, text.n) == 0);
	buf_release(&b);
	free(copy);
}

/* Those around the pieces are not in them. */
static void
add_without_blanks(struct buf *to, struct bytes from)
{
	for (size_t i = 0; i < from.n; i++)
		if (from.p[i] != ' ' && from.p[i] != '\t')
			buf_add_ch(to, from.p[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = xmalloc(size + 1);		/* its end is the end */
	struct bytes whole, list, one;
	struct buf joined = BUF_INIT, given = BUF_INIT;

	copy = xrealloc(copy, size ? size : 1);
	memcpy(copy, data, size);
	whole = list = bytes_of(copy, size);
	while (address_next(&list, &one)) {
		must_lie_in(one, whole);
		check_one(one);
		add_without_blanks(&joined, one);
		if (list.n)
			buf_add_ch(&joined, ',');
	}
	add_without_blanks(&given, whole);
	if (buf_len(&joined) + 1 == buf_len(&given))	/* a last comma has nothing behind it */
		buf_add_ch(&joined, ',');
	must(bytes_eq(buf_bytes(&joined), buf_bytes(&given)));
	buf_release(&joined);
	buf_release(&given);
	check_decoding(whole);
	free(copy);
	return 0;
}

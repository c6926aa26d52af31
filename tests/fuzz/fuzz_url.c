/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of URLs. Properties: what is left of a list of addresses is a list of as
 * many, which has no parameters any more and is otherwise the same, user and password
 * included; names are there once; no error shows a value or a password; parameters that
 * are encoded again are read as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/url_params.h"
#include "core/address.h"
#include "core/broker.h"

#define must(cond) \
	do { if (!(cond)) { fprintf(stderr, "%d: %s\n", __LINE__, #cond); abort(); } } while (0)

static void
encode(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_addf(out, "%%%02x", (unsigned char)*text);
}

static void
check_again(const struct url_params *p)
{
	struct buf text = BUF_INIT, rest = BUF_INIT;
	struct url_params again = { 0 };
	struct error err;

	buf_add_str(&text, "mqtt://h?");
	for (size_t i = 0; i < p->n; i++) {
		encode(&text, p->v[i].name);
		buf_add_ch(&text, '=');
		encode(&text, p->v[i].value);
		buf_add_ch(&text, '&');
	}
	must(url_params_take(buf_bytes(&text), NULL, &again, &rest, &err) == 0);
	must(bytes_eq(buf_bytes(&rest), BYTES("mqtt://h")) && again.n == p->n);
	for (size_t i = 0; i < p->n; i++) {
		must(strcmp(again.v[i].name, p->v[i].name) == 0);
		must(strcmp(again.v[i].value, p->v[i].value) == 0);
	}
	url_params_release(&again);
	buf_release(&text);
	buf_release(&rest);
}

static void
must_be_same(struct bytes a, struct bytes b)
{
	must(!a.p == !b.p && bytes_eq(a, b));
}

/* Each of the rest is the one it was, without its query. */
static void
check_rest(struct bytes list, struct bytes rest)
{
	struct bytes one, left;
	struct address a, b;
	struct error err;

	while (address_next(&list, &one)) {
		must(address_parse(one, &a, &err) == 0);
		if (!one.n && !rest.n)
			return;
		must(address_next(&rest, &left));
		must(address_parse(left, &b, &err) == 0);
		must_be_same(a.scheme, b.scheme);
		must_be_same(a.userinfo, b.userinfo);
		must_be_same(a.host, b.host);
		must_be_same(a.socket, b.socket);
		must(bytes_eq(a.path, b.path) && a.port == b.port);
		must(!b.query.p || schemes_have("ws", b.scheme));
	}
	must(!address_next(&rest, &left));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = xmalloc(size + 1);
	struct bytes list = bytes_of(copy, size);
	struct url_params p = { 0 };
	struct buf rest = BUF_INIT;
	struct error err = ERROR_INIT;

	copy = xrealloc(copy, size ? size : 1);
	list.p = copy;
	if (size)
		memcpy(copy, data, size);
	if (url_params_take(list, "ws", &p, &rest, &err) == 0) {
		check_rest(list, buf_bytes(&rest));
		check_again(&p);
	} else {
		must(err.kind == ERR_USAGE && *err.text);
	}
	url_params_release(&p);
	buf_release(&rest);
	free(copy);
	return 0;
}

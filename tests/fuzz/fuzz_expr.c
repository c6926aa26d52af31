/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions on events. Properties: a text is compiled or refused in the words of one
 * usage error; what was compiled is true or false of any event, the same twice; its
 * negation is the opposite.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/expr.h"
#include "core/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(cond) do { if (!(cond)) abort(); } while (0)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmemdup0(data, size), *body;
	size_t n = strlen(text);
	struct bytes rest = bytes_of(data + (n < size ? n + 1 : size), n < size ? size - n - 1 : 0);
	struct event ev = event_none;
	struct header h[2] = { { BYTES("h"), rest }, { rest, { NULL, 0 } } };
	struct buf not = BUF_INIT;
	struct error err;
	struct expr *e;

	body = xmemdup0(rest.p, rest.n);
	ev.topic = rest;
	ev.msg = (struct message){ h, 2, BYTES("k"), bytes_of(body, rest.n) };
	ev.time_us = 1000000;
	e = expr_compile("--where", text, &err);
	if (e) {
		bool is = expr_is_true(e, &ev, "b");

		must(expr_is_true(e, &ev, "b") == is);
		expr_free(e);
		buf_addf(&not, "!(%s)", text);
		e = expr_compile("--where", buf_cstr(&not), &err);
		if (e)	/* else it is too deep */
			must(expr_is_true(e, &ev, "b") == !is);
		expr_free(e);
	} else {
		must(err.kind == ERR_USAGE && !strchr(err.text, '\n'));
	}
	free(body);
	buf_release(&not);
	free(text);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* core/listener and addresses: what can be listened on and connected to. */
#include <stdlib.h>

#include "core/stream.h"
#include "tests/unit/test.h"

static size_t
ignore_data(struct stream *s, char *p, size_t n)
{
	(void)s;
	(void)p;
	return n;
}

static void
ignore_end(struct stream *s, const struct error *err)
{
	(void)err;
	stream_close(s);
}

static const struct stream_ops ops = { .on_data = ignore_data, .on_closed = ignore_end };

static void
accepted(struct listener *l, struct stream *s, void *arg)
{
	(void)l;
	(void)arg;
	stream_close(s);
}

TEST(addresses_that_are_none)
{
	static const char *const bad[] = {
		"", "x", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:1x",
		"::1:80", "[::1]", "[127.0.0.1]:80", "unix:", "256.0.0.1:80",
		"tmp/x", "unix",
		("/0123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789"),
		("unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789"),
	};
	static const char *const bad_listen[] = {
		"", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:2-1",
		"127.0.0.1:1-99999", "127.0.0.1:-", "127.0.0.1:1-", "127.0.0.1:-1", "::1:80", "[::1]",
		"unix:",
	};
	struct error err;
	struct loop *l = loop_new(&err);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		memset(&err, 0, sizeof err);
		check(stream_connect(l, bad[i], &ops, NULL, NULL, &err) == NULL);
		check_int(err.kind, ERR_CONNECT);
		check(err.text[0]);
	}
	for (size_t i = 0; i < sizeof bad_listen / sizeof *bad_listen; i++) {
		memset(&err, 0, sizeof err);
		check(listener_open(l, bad_listen[i], &ops, NULL, accepted, NULL, &err) == NULL);
		check_int(err.kind, ERR_USAGE);
	}
	loop_free(l);
}

/* ---- listening ---- */

TEST(port_ranges)
{
	struct error err;
	struct loop *l = loop_new(&err);
	struct listener *a, *b, *c;
	char range[40], one[40];
	int port;

	a = listener_open(l, "127.0.0.1:0", &ops, NULL, accepted, NULL, &err);
	need(a);
	port = atoi(strrchr(listener_address(a), ':') + 1);
	snprintf(range, sizeof range, "127.0.0.1:%d-%d", port, port + 20 > 65535 ? 65535 : port + 20);
	snprintf(one, sizeof one, "127.0.0.1:%d", port);
	b = listener_open(l, range, &ops, NULL, accepted, NULL, &err);
	need(b);
	check(strcmp(listener_address(b), listener_address(a)) != 0);
	c = listener_open(l, one, &ops, NULL, accepted, NULL, &err);
	check(c == NULL);
	check_int(err.kind, ERR_CONNECT);
	check(strstr(err.text, one) && strstr(err.text, "in use"));
	listener_close(a);
	listener_close(b);
	loop_free(l);
}

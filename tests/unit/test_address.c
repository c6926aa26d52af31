/* SPDX-License-Identifier: Apache-2.0 */
/* core/address: what people write, and what they write wrongly. */
#include "core/address.h"
#include "tests/unit/test.h"

static struct bytes
str(const char *s)
{
	return bytes_str(s);
}

/* NULL: not there (p NULL); for host and path: empty. */
static void
reads(const char *text, const char *scheme, const char *userinfo, const char *host,
	unsigned port, const char *sock, const char *path, const char *query)
{
	struct error err = ERROR_INIT;
	struct address a;

	if (address_parse(str(text), &a, &err) < 0) {
		test_failed(__FILE__, __LINE__, "%s: %s", text, err.text);
		return;
	}
	check_bytes(a.scheme, str(scheme));
	check(!a.scheme.p == !scheme);
	check_bytes(a.userinfo, str(userinfo));
	check(!a.userinfo.p == !userinfo);
	check(bytes_eq(a.host, str(host)));
	check_int(a.port, port);
	check_bytes(a.socket, str(sock));
	check(!a.socket.p == !sock);
	check(bytes_eq(a.path, str(path)));
	check_bytes(a.query, str(query));
	check(!a.query.p == !query);
}

TEST(hosts)
{
	reads("a", NULL, NULL, "a", 0, NULL, NULL, NULL);
	reads("broker-1.example.com:6379", NULL, NULL, "broker-1.example.com", 6379, NULL, NULL,
		NULL);
	reads("127.0.0.1:1", NULL, NULL, "127.0.0.1", 1, NULL, NULL, NULL);
	reads("my_host.:65535", NULL, NULL, "my_host.", 65535, NULL, NULL, NULL);
	reads(":80", NULL, NULL, NULL, 80, NULL, NULL, NULL);
	reads("[::1]", NULL, NULL, "::1", 0, NULL, NULL, NULL);
	reads("[::1]:80", NULL, NULL, "::1", 80, NULL, NULL, NULL);
	reads("unix", NULL, NULL, "unix", 0, NULL, NULL, NULL);
	reads("unix.example.com:1", NULL, NULL, "unix.example.com", 1, NULL, NULL, NULL);
}

TEST(sockets)
{
	reads("/run/a b.sock", NULL, NULL, NULL, 0, "/run/a b.sock", NULL, NULL);
	reads("/run/x?y", NULL, NULL, NULL, 0, "/run/x?y", NULL, NULL);
	reads("unix:x.sock", NULL, NULL, NULL, 0, "x.sock", NULL, NULL);
	reads("unix:/run/x", NULL, NULL, NULL, 0, "/run/x", NULL, NULL);
	reads("unix:///run/x", "unix", NULL, NULL, 0, "/run/x", NULL, NULL);
	reads("redis+unix:///run/x?db=1", "redis+unix", NULL, NULL, 0, "/run/x", NULL, "db=1");
	reads("redis+unix://u:p@/run/x", "redis+unix", "u:p", NULL, 0, "/run/x", NULL, NULL);
}

TEST(urls)
{
	reads("redis://h", "redis", NULL, "h", 0, NULL, NULL, NULL);
	reads("redis://h:1/", "redis", NULL, "h", 1, NULL, NULL, NULL);
	reads("Redis://h:1/0", "Redis", NULL, "h", 1, NULL, "0", NULL);
	reads("redis:///0", "redis", NULL, NULL, 0, NULL, "0", NULL);
	reads("redis://", "redis", NULL, NULL, 0, NULL, NULL, NULL);
	reads("redis://:6380", "redis", NULL, NULL, 6380, NULL, NULL, NULL);
	reads("a+b-c.9://[fe80::1]:7/p/q?r=s&t=/u", "a+b-c.9", NULL, "fe80::1", 7, NULL, "p/q",
		"r=s&t=/u");
	reads("tcp://h?", "tcp", NULL, "h", 0, NULL, NULL, "");
	reads("tcp://u@h", "tcp", "u", "h", 0, NULL, NULL, NULL);
	reads("tcp://@h", "tcp", "", "h", 0, NULL, NULL, NULL);
	reads("tcp://:p@h:1", "tcp", ":p", "h", 1, NULL, NULL, NULL);
	/* What is not encoded is understood all the same, where it can be. */
	reads("tcp://u:p@ss:w#rd,x@h:1/p", "tcp", "u:p@ss:w#rd,x", "h", 1, NULL, "p", NULL);
	reads("tcp://u:%2f%40@h", "tcp", "u:%2f%40", "h", 0, NULL, NULL, NULL);
}

static void
is_wrong(const char *text, size_t n, const char *want)
{
	struct error err = ERROR_INIT;
	struct address a;

	check_int(address_parse(bytes_of(text, n), &a, &err), -1);
	check_int(err.kind, ERR_USAGE);
	check_str(err.text, want);
	check(!strstr(err.text, "secret"));
}

TEST(wrong)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "an empty address" },
		{ "a:", "a:: a port is a number from 1 to 65535" },
		{ "a:0", "a:0: a port is a number from 1 to 65535" },
		{ "a:65536", "a:65536: a port is a number from 1 to 65535" },
		{ "a:100000000000000000000", "a:100000000000000000000: "
			"a port is a number from 1 to 65535" },
		{ "a:b", "a:b: a port is a number" },
		{ "a:+1", "a:+1: a port is a number" },
		{ "::1", "::1: an IPv6 address stands in brackets, as [::1]:PORT" },
		{ "[::1", "[::1: a '[' without its ']'" },
		{ "[::1]x", "[::1]x: only :PORT may follow a ']'" },
		{ "[]:1", "[]:1: only an IPv6 address stands in brackets" },
		{ "[1.2.3.4]:1", "[1.2.3.4]:1: only an IPv6 address stands in brackets" },
		{ "a b", "a b: not the name of a host" },
		{ "a/0", "a/0: not the name of a host" },
		{ "h\303\266st", "h\303\266st: not the name of a host" },
		{ "unix:", "unix:: a socket's path has 1 to 107 bytes" },
		{ "unix://x", "unix://x: a socket's URL has three slashes: unix:///PATH" },
		{ "redis+unix://h/x", "redis+unix://h/x: "
			"a socket's URL has three slashes: unix:///PATH" },
		{ "unix://", "unix://: a socket's path has 1 to 107 bytes" },
		{ "://a", "://a: no scheme in front of the ://" },
		{ "1x://a", "1x://a: no scheme in front of the ://" },
		/* A password may be anywhere in these. */
		{ "u:secret@h", "a user stands in a URL: SCHEME://USER@HOST" },
		{ "x y://u:secret@h", "no scheme in front of the ://" },
		{ "redis://u:secret@h:x", "redis://...: a port is a number" },
		{ "redis://u:sec/ret@h", "redis://...: an '@' behind the host; in a password "
			"write %2F for '/', %3F for '?', elsewhere %40 for '@'" },
		{ "redis://h/secret@", "redis://...: an '@' behind the host; in a password "
			"write %2F for '/', %3F for '?', elsewhere %40 for '@'" },
		{ "redis://u:12?secret@h", "redis://...: an '@' behind the host; in a password "
			"write %2F for '/', %3F for '?', elsewhere %40 for '@'" },
		{ "redis://u:secret?x@h", "redis://...: an '@' behind the host; in a password "
			"write %2F for '/', %3F for '?', elsewhere %40 for '@'" },
	};
	char path[200] = "/";
	struct error err;
	struct address a;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_wrong(rows[i].text, strlen(rows[i].text), rows[i].want);
	is_wrong("a\0b:1", 5, "a\\x00b:1: a NUL in an address");
	memset(path + 1, 'x', 107);
	check_int(address_parse(bytes_of(path, 107), &a, &err), 0);
	check_int(address_parse(bytes_of(path, 108), &a, &err), -1);
	check(strstr(err.text, "x: a socket's path has 1 to 107 bytes"));
}

TEST(lists)
{
	static const struct {
		const char *list, *want[5];
	} rows[] = {
		{ "", { NULL } },
		{ "a", { "a" } },
		{ "a,b:1,[::1]:2", { "a", "b:1", "[::1]:2" } },
		{ "a,", { "a" } },
		{ ",a", { "", "a" } },
		{ "a,,b", { "a", "", "b" } },
		{ "r://u:p,q@h:1,s", { "r://u:p,q@h:1", "s" } },
		{ "r://a,r://u:p,q@b,c", { "r://a", "r://u:p,q@b", "c" } },
		{ "r://u:p@a,r://u:p@b/0,/run/x,unix:y", { "r://u:p@a", "r://u:p@b/0", "/run/x",
			"unix:y" } },
		{ "a, b:1 ,\t[::1]:2 ", { "a", "b:1", "[::1]:2" } },
		{ "r://u:p,q@h:1, r://a", { "r://u:p,q@h:1", "r://a" } },
		{ " ", { NULL } },
		{ "a, ", { "a" } },
		{ "r://a?b,c@d", { "r://a?b", "c@d" } },
		{ "r://a,b?x@c", { "r://a", "b?x@c" } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct bytes list = str(rows[i].list), one;
		size_t n = 0;

		while (n < 5 && address_next(&list, &one)) {
			check(rows[i].want[n]);
			check_bytes(one, str(rows[i].want[n]));
			n++;
		}
		check(n < 5 && !rows[i].want[n]);
	}
}

TEST(decoding)
{
	static const char *const rows[][2] = {
		{ "", "" }, { "abc", "abc" }, { "%61%62C", "abC" }, { "%2f%2F", "//" },
		{ "%", "%" }, { "%4", "%4" }, { "%4g", "%4g" }, { "%%41", "%A" }, { "a%2541", "a%41" },
		{ "%g1%41", "%g1A" },
	};
	char nul[] = "a%00b";

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[32];
		size_t n = strlen(rows[i][0]);

		memcpy(text, rows[i][0], n);
		n = address_decode(text, n);
		check_bytes(bytes_of(text, n), str(rows[i][1]));
	}
	check_int(address_decode(nul, 5), 3);
	check(memcmp(nul, "a\0b", 3) == 0);
}

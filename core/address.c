/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of brokers: see address.h. A password may be in any of them, at a place
 * where a slip of the hand put it; so a text with an '@' in it is never quoted.
 */
#include "core/address.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/un.h>

#include "core/text.h"

enum {
	HOST_MAX = 253,
	SOCKET_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1,
	QUOTE_MAX = 200
};

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct bytes
skip(struct bytes b, size_t n)
{
	return bytes_of(b.p + n, b.n - n);
}

/* Where the first of the characters is; b.n: nowhere. */
static size_t
find_any(struct bytes b, const char *chars)
{
	size_t i = 0;

	while (i < b.n && !(b.p[i] && strchr(chars, b.p[i])))
		i++;
	return i;
}

/* The length of a scheme that "://" follows; 0: there is none. */
static size_t
scheme_length(struct bytes b)
{
	size_t i = 0;

	if (!b.n || !is_alpha(*b.p))
		return 0;
	while (i < b.n && (is_alpha(b.p[i]) || is_digit(b.p[i]) || strchr("+.-", b.p[i])))
		i++;
	return b.n - i >= 3 && memcmp(b.p + i, "://", 3) == 0 ? i : 0;
}

/* How much of an authority is userinfo, its '@' included. */
static size_t
userinfo_length(struct bytes b)
{
	size_t n = find_any(b, "/?");

	while (n && b.p[n - 1] != '@')
		n--;
	return n;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
address_next(struct bytes *list, struct bytes *one)
{
	size_t n;

	while (list->n && is_blank(*list->p))
		*list = skip(*list, 1);
	if (!list->n)
		return false;
	n = scheme_length(*list);
	if (n) {
		n += 3;
		n += userinfo_length(skip(*list, n));
	}
	n += find_any(skip(*list, n), ",");
	*one = bytes_of(list->p, n);
	*list = skip(*list, n < list->n ? n + 1 : n);
	while (one->n && is_blank(one->p[one->n - 1]))
		one->n--;
	return true;
}

/* ---- parsing ---- */

static int __attribute__((format(printf, 3, 4)))
wrong(struct error *err, struct bytes one, const char *fmt, ...)
{
	char text[QUOTE_MAX];
	size_t scheme = scheme_length(one);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (scheme && memchr(one.p, '@', one.n))
		return error_set(err, ERR_USAGE, "%.*s://...: %s", (int)scheme, one.p, text);
	error_set(err, ERR_USAGE, "%s", text);
	if (!memchr(one.p, '@', one.n))
		error_prefix_bytes(err, one);
	return -1;
}

/* A name as DNS has them, or as people call their machines. */
static bool
host_is_fine(struct bytes host)
{
	for (size_t i = 0; i < host.n; i++)
		if (!is_alpha(host.p[i]) && !is_digit(host.p[i]) && !strchr("-._", host.p[i]))
			return false;
	return host.n <= HOST_MAX;
}

static int
parse_port(struct bytes one, struct bytes text, struct address *a, struct error *err)
{
	unsigned n = 0;

	for (size_t i = 0; i < text.n && i < 6; i++) {
		if (!is_digit(text.p[i]))
			return wrong(err, one, "a port is a number");
		n = n * 10 + (unsigned)(text.p[i] - '0');
	}
	if (!n || n > 65535 || text.n > 5)
		return wrong(err, one, "a port is a number from 1 to 65535");
	a->port = n;
	return 0;
}

/* HOST HOST:PORT [V6] [V6]:PORT :PORT */
static int
parse_host(struct bytes one, struct bytes text, struct address *a, struct error *err)
{
	char v6[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t n;

	if (text.n && *text.p == '[') {
		n = find_any(text, "]");
		if (n == text.n)
			return wrong(err, one, "a '[' without its ']'");
		a->host = bytes_of(text.p + 1, n - 1);
		if (a->host.n < sizeof v6) {
			memcpy(v6, a->host.p, a->host.n);
			v6[a->host.n] = '\0';
		}
		if (a->host.n >= sizeof v6 || strlen(v6) != a->host.n ||
		    inet_pton(AF_INET6, v6, &in6) != 1)
			return wrong(err, one, "only an IPv6 address stands in brackets");
		text = skip(text, n + 1);
		if (text.n && *text.p != ':')
			return wrong(err, one, "only :PORT may follow a ']'");
	} else {
		n = find_any(text, ":");
		a->host = bytes_of(text.p, n);
		text = skip(text, n);
		if (text.n && find_any(skip(text, 1), ":") < text.n - 1)
			return wrong(err, one, "an IPv6 address stands in brackets, as [::1]:PORT");
		if (!host_is_fine(a->host))
			return wrong(err, one, "not the name of a host");
	}
	return text.n ? parse_port(one, skip(text, 1), a, err) : 0;
}

static int
parse_socket(struct bytes one, struct bytes path, struct address *a, struct error *err)
{
	if (!path.n || path.n > SOCKET_MAX)
		return wrong(err, one, "a socket's path has 1 to %d bytes", (int)SOCKET_MAX);
	a->socket = path;
	return 0;
}

static bool
is_unix(struct bytes scheme)
{
	return (scheme.n == 4 && strncasecmp(scheme.p, "unix", 4) == 0) ||
		(scheme.n > 5 && strncasecmp(scheme.p + scheme.n - 5, "+unix", 5) == 0);
}

static int
parse_url(struct bytes one, size_t scheme, struct address *a, struct error *err)
{
	struct bytes rest = skip(one, scheme + 3), authority;
	size_t n = userinfo_length(rest);

	a->scheme = bytes_of(one.p, scheme);
	if (n) {
		a->userinfo = bytes_of(rest.p, n - 1);
		rest = skip(rest, n);
	}
	n = find_any(rest, "/?");
	authority = bytes_of(rest.p, n);
	rest = skip(rest, n);
	n = find_any(rest, "?");
	if (n < rest.n) {
		a->query = skip(rest, n + 1);
		rest.n = n;
	}
	if (memchr(rest.p, '@', rest.n) || (a->query.n && memchr(a->query.p, '@', a->query.n)))
		return wrong(err, one, "an '@' behind the host; in a password write %%2F for '/', "
			"%%3F for '?', elsewhere %%40 for '@'");
	if (is_unix(a->scheme)) {
		if (authority.n)
			return wrong(err, one, "a socket's URL has three slashes: unix:///PATH");
		return parse_socket(one, rest, a, err);
	}
	if (rest.n)
		a->path = skip(rest, 1);
	return parse_host(one, authority, a, err);
}

int
address_parse(struct bytes one, struct address *a, struct error *err)
{
	size_t scheme;

	*a = (struct address){ 0 };
	if (!one.n)
		return error_set(err, ERR_USAGE, "an empty address");
	if (memchr(one.p, '\0', one.n))
		return wrong(err, one, "a NUL in an address");
	if (*one.p == '/')
		return parse_socket(one, one, a, err);
	if ((scheme = scheme_length(one)))
		return parse_url(one, scheme, a, err);
	if (one.n >= 5 && memcmp(one.p, "unix:", 5) == 0)
		return parse_socket(one, skip(one, 5), a, err);
	if (memmem(one.p, one.n, "://", 3))
		return wrong(err, one, "no scheme in front of the ://");
	if (memchr(one.p, '@', one.n))
		return wrong(err, one, "a user stands in a URL: SCHEME://USER@HOST");
	return parse_host(one, one, a, err);
}

size_t
address_decode(char *p, size_t n)
{
	size_t to = 0;

	for (size_t i = 0; i < n; to++) {
		if (p[i] == '%' && n - i > 2 && hex_decode(&p[to], &p[i + 1], 2)) {
			i += 3;
		} else {
			p[to] = p[i++];
		}
	}
	return to;
}

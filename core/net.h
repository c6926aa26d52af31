/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text and the machine's interfaces. Nothing here blocks. */
#ifndef MBUS_CORE_NET_H
#define MBUS_CORE_NET_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/bytes.h"
#include "core/error.h"

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage ss;
};

/* Splits "host:port", "[v6]:port", ":port" into host (without brackets) and
 * port text. false: no port, or not of that form. */
bool net_split(struct bytes address, struct bytes *host, struct bytes *port);
/* IP address (no names) and port to a sockaddr; false if it is not one. */
bool net_parse(struct bytes address, union sockaddr_any *, socklen_t *);
/* What connect() and bind() want to be told about an IP address. */
static inline socklen_t
net_size(const union sockaddr_any *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof a->in6 : sizeof a->in;
}
void net_set_port(union sockaddr_any *, unsigned port);
/* "127.0.0.1:80" or "[::1]:80"; out has room for NET_TEXT_MAX. */
#define NET_TEXT_MAX 64
const char *net_text(const union sockaddr_any *, char *out);
/* The address alone, without port and brackets. */
const char *net_host_text(const union sockaddr_any *, char *out);
bool net_is_loopback(const union sockaddr_any *);
bool net_is_any(const union sockaddr_any *);
/* Is this (ignoring the port) an address of one of this machine's interfaces? */
bool net_is_ours(const union sockaddr_any *);

/* The address to advertise for a bound one, as go-micro's addr.Extract does it:
 * a wildcard host becomes the first private address of the interfaces, else the
 * first public, else the first loopback one. out has room for NET_TEXT_MAX; returns
 * it. */
const char *net_advertise(const union sockaddr_any *bound, char *out);

/* RFC 4122 version 4, lower case, 36 characters and a NUL. */
void net_uuid(char out[37]);

#endif

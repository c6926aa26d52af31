/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where to connect, as whom, and how: --url, -b, the user and the password, TLS.
 * cli/common.c uses it for every command.
 */
#ifndef MBUS_CLI_CONNECT_H
#define MBUS_CLI_CONNECT_H

#include "cli/cli.h"
#include "core/registry.h"

/* Checks what was given, as far as it does not depend on the broker. */
int connect_check(struct common_args *, struct error *);
/* Takes the URLs apart, once: see common_url(). */
int connect_urls(struct common_args *, struct error *);
void connect_release(struct common_args *);

/* Is TLS asked for? Any of its options does, also one that says how. */
bool connect_tls(const struct tls_options *);

/* The user and password, TLS and time-outs of a registry that is asked by itself, and the
 * files of its secret -X options. An option that it has no use for is refused. */
int connect_registry(struct common_args *, const struct registry_ops *, struct registry_options *,
	struct error *);
/* Of a registry beside a broker only the latter: the common options are the broker's. */
int connect_registry_secrets(struct common_args *, const struct registry_ops *, struct error *);

/* The first option given that only a broker has a use for; NULL: none. */
const char *connect_given(const struct common_args *);

/* Reads the file of the password, and those of secret -X options, whose values it
 * replaces. The ops of the args must be set. */
int connect_secrets(struct common_args *, struct error *);
/* Then fills address, tls, username, password, reconnect, wire and connect_timeout_ms
 * of opts. */
int connect_options(const struct common_args *, struct broker_options *opts, struct error *);

/* The contents of a file with a secret, without the newline at its end; path "-": the
 * first line of stdin, of which no byte more is read. what: the option, for errors. */
int connect_secret(const char *what, const char *path, struct bytes *out, struct error *);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is there to choose from: the tables of brokers, drivers and registries, which are
 * core/backends.def and the Makefile's word on what was built; and what a backend exports
 * that is a module of its own. How to write one stands at the head of core/broker.h.
 */
#ifndef MBUS_CORE_BACKEND_H
#define MBUS_CORE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"
#include "core/error.h"

struct broker_ops;
struct registry_ops;
struct tls_ops;

enum backend_state {
	BACKEND_BUILTIN,	/* in the binary */
	BACKEND_MODULE,		/* a shared object, loaded when chosen */
	BACKEND_NOT_BUILT	/* known, not part of this build */
};

/* A row of core/backends.def. */
struct backend {
	const char *name;
	const char *schemes;		/* of URLs that mean it, separated by blanks; NULL: none */
	const char *summary;
	const char *package;		/* the Debian package with its library; NULL: none */
	const void *ops;		/* of a built-in one; else NULL */
};

extern const struct backend broker_table[];	/* ends with name NULL */
/* Other implementations of brokers, chosen by -X BROKER.driver=NAME where the
 * broker's table of options has "driver", or by one of the schemes in their row, which
 * only they speak; their ops have the broker's name. */
extern const struct backend driver_table[];
bool backend_has_scheme(const struct backend *, struct bytes scheme);
/* Is it one of these, with blanks between? NULL: none. */
bool schemes_have(const char *schemes, struct bytes scheme);
/* The broker that a URL's scheme means; NULL: none. */
const struct backend *broker_of_scheme(struct bytes scheme);
enum backend_state backend_state(const struct backend *);

/* What a module exports under the name mbus_module. */
#define MODULE_ABI 7
struct module {
	unsigned abi;			/* MODULE_ABI */
	size_t broker_size;		/* sizeof(struct broker_ops) it was built with */
	const struct broker_ops *const *brokers;	/* end with NULL; may be NULL */
	const struct registry_ops *const *registries;	/* likewise */
	const struct tls_ops *tls;	/* may be NULL (core/tls.h) */
};

/* At the end of a backend's file: exports it when it is built as a module. */
#ifdef MBUS_MODULE
#define MODULE_EXPORT(brokers, registries, tls) \
	__attribute__((visibility("default"))) extern const struct module mbus_module; \
	const struct module mbus_module = { MODULE_ABI, sizeof(struct broker_ops), \
		brokers, registries, tls }
#define MODULE_BROKER(ops) \
	MODULE_EXPORT(((const struct broker_ops *const[]){ &(ops), NULL }), NULL, NULL)
#define MODULE_REGISTRY(ops) \
	MODULE_EXPORT(NULL, ((const struct registry_ops *const[]){ &(ops), NULL }), NULL)
#define MODULE_TLS(ops) MODULE_EXPORT(NULL, NULL, &(ops))
#else
#define MODULE_BROKER(ops) _Static_assert(sizeof(ops) > 0, "")
#define MODULE_REGISTRY(ops) _Static_assert(sizeof(ops) > 0, "")
#define MODULE_TLS(ops) _Static_assert(sizeof(ops) > 0, "")
#endif

/* Finds name in a table (broker_table, registry_table), loads its module if it
 * is one. NULL: err has one of the three messages. what: "broker". */
const void *backend_find(const struct backend *table, const char *what, const char *name,
	struct error *);

#endif
